"""Dropout's masks, drawn on the GPU with CuPy: Philox4x32-10, a block of four numbers per thread.

A block is computed from its counter and a key by ten rounds of multiplication. So every thread computes
its own numbers, in any order, and they are the same on every device. The words of the counter are, from
the lowest, the two halves of the block's number, and two zeros; the words of the key are its two halves.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from functools import cache
from typing import Any

from xpnet._typing import Array
from xpnet.kernels.cuda_source import cupy
from xpnet.kernels.lookup import Kernel
from xpnet.random import DeviceGenerator

ROUNDS = """
    unsigned int word[4] = {(unsigned int)block, (unsigned int)(block >> 32), high, higher};
    unsigned int low_key = (unsigned int)key, high_key = (unsigned int)(key >> 32);
    for (int round = 0; round < 10; ++round) {
        unsigned long long a = 0xD2511F53ull * word[0], b = 0xCD9E8D57ull * word[2];
        unsigned int first = (unsigned int)(b >> 32) ^ word[1] ^ low_key;
        unsigned int third = (unsigned int)(a >> 32) ^ word[3] ^ high_key;
        word[0] = first;
        word[1] = (unsigned int)b;
        word[2] = third;
        word[3] = (unsigned int)a;
        low_key += 0x9E3779B9u;
        high_key += 0xBB67AE85u;
    }
"""
MASK = f"""
    unsigned long long block = first_block + i;
    unsigned int high = 0, higher = 0;
    {ROUNDS}
    for (int k = 0; k < 4 && 4 * i + k < n; ++k) {{
        float u = (word[k] >> 8) * (1.0f / 16777216.0f);  // 24 bits, as NumPy draws a float32
        mask[4 * i + k] = (T)(u >= p ? factor : 0.0);
    }}
"""
WORDS = f"""
    unsigned int high = high_words, higher = high_words >> 32;
    {ROUNDS}
    for (int k = 0; k < 4; ++k) words[4 * i + k] = word[k];
"""


@cache
def _mask() -> Any:
    """The kernel of `drawn_mask`."""
    return cupy().ElementwiseKernel(
        "uint64 key, uint64 first_block, int64 n, float32 p, float64 factor",
        "raw T mask",
        MASK,
        "xpnet_philox_mask",
        no_return=True,
    )


@cache
def _words() -> Any:
    """The kernel of `words`."""
    return cupy().ElementwiseKernel(
        "uint64 key, uint64 block, uint64 high_words",
        "raw uint32 words",
        WORDS,
        "xpnet_philox_words",
        no_return=True,
    )


def drawn_mask(rng: DeviceGenerator, x: Array, p: float) -> Array:
    """For each number of x, 0 with probability p, else 1 / (1 - p): one launch.

    Parameters
    ----------
    rng : DeviceGenerator
        It advances by one block for every four numbers.
    x : CuPy array
        The mask has its shape and dtype, and lies on its device.
    p : float
        From 0 to 1.
    """
    y = cupy().empty(x.shape, dtype=x.dtype)
    n = x.size
    blocks = -(-n // 4)
    first = rng.advance(blocks)
    if n:
        kept_share = 1.0 - p
        factor = 1.0 / kept_share if kept_share else 1.0  # for p = 1 no number is kept
        _mask()(rng.key, first, n, p, factor, y, size=blocks)
    return y


def words(key: int, block: int, high: int = 0) -> Array:
    """The four numbers of a block; `high` is the upper two words of its counter. Only tests use it."""
    y = cupy().empty(4, dtype="uint32")
    _words()(key, block, high, y, size=1)
    return y


KERNELS = {"drawn_mask": Kernel(drawn_mask)}
