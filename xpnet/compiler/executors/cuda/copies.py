"""What a CUDA graph is given and returns: arrays are copied, and numbers stored, in one launch.

A graph reads and writes the memory that it was captured with. So the arguments of a call are copied to
that memory before the graph is launched, and its results from there afterwards. The numbers of the host
are part of the launch's argument: no buffer on the host has to stay unchanged until the device has read
it.
"""

from collections.abc import Sequence
from functools import cache
from importlib import resources
from struct import Struct
from typing import Any

from xpnet._typing import Array
from xpnet.kernels.cuda_source import THREADS, cupy
from xpnet.kernels.update import WORDS, launch_arguments

__all__ = ["copy_all"]

SHARE = 1 << 14  # bytes that a block of threads copies
MOST = 100  # copies in a launch


def copy_all(pairs: Sequence[tuple[Array, Array]], numbers: Sequence[float], to: int) -> None:
    """Copy arrays, and store numbers, on the current device and stream.

    Parameters
    ----------
    pairs : sequence of (array, array)
        Each a source and a target: contiguous, and of equal size and dtype.
    numbers : sequence of float
    to : int
        The address in the device's memory where the numbers go, as float64.
    """
    remaining = [(x.data.ptr, y.data.ptr, y.nbytes) for x, y in pairs if y.nbytes]
    while remaining or numbers:
        part = remaining[:MOST]
        room = WORDS - 3 - 4 * len(part)
        _launch(part, numbers[:room], to)
        remaining = remaining[MOST:]
        numbers = numbers[room:]
        to += 8 * room


def _launch(copies: Sequence[tuple[int, int, int]], numbers: Sequence[float], to: int) -> None:
    words: list[int] = []
    blocks = 0
    for source, target, size in copies:
        blocks += -(-size // SHARE)
        words += [source, target, size, blocks]
    given = launch_arguments()
    layout = _layout(len(words), len(numbers))
    layout.pack_into(given.memory, 0, len(copies), len(numbers), to, *words, *numbers)
    _kernel()((max(blocks, 1),), (THREADS,), (given.pointer,))


@cache
def _layout(words: int, numbers: int) -> Struct:
    """The layout of `struct Given` in copies.cu, as far as it is used."""
    return Struct(f"3q{words}q{numbers}d")


@cache
def _kernel() -> Any:
    source = (resources.files("xpnet.compiler.executors.cuda") / "copies.cu").read_text("utf-8")
    definitions = f"#define WORDS {WORDS}\n#define SHARE {SHARE}LL\n"
    return cupy().RawKernel(definitions + source, "xpnet_copies")
