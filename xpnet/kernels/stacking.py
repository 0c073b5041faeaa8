"""The steps of a sequence as one array, for CuPy: one launch, and nothing sent to the device.

CuPy's own `stack` sends a table of addresses for more than eight arrays.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnet._typing import Array
from xpnet.kernels.cuda import Raw, floating
from xpnet.kernels.cuda_source import cupy, one_thread_each
from xpnet.kernels.lookup import Kernel

MOST = 256  # arrays per launch; a kernel's arguments take 4 KB at most

_kernel = Raw("stacking.cu", "xpnet_stack", f"#define MOST {MOST}")


def stack(steps: Sequence[Array]) -> Array:
    """Arrays of one shape and dtype along a new first axis."""
    first = steps[0]
    y = cupy().ndarray((len(steps), *first.shape), first.dtype)
    if y.size == 0:
        return y
    contiguous = [cupy().ascontiguousarray(x) for x in steps]
    for start in range(0, len(steps), MOST):
        part = contiguous[start : start + MOST]
        addresses = np.zeros(MOST, "uint64")
        addresses[: len(part)] = [x.data.ptr for x in part]
        table = addresses.view(f"V{8 * MOST}")
        grid = one_thread_each(len(part) * first.size)
        arguments = (table, y[start:], len(part), first.size)
        _kernel.of(first.dtype)(*grid, arguments)
    return y


def _takes(x: Array, *others: Any) -> bool:
    """Whether these are arrays of one shape and floating-point dtype, all on the current device."""
    return floating(x, *others) and all(y.shape == x.shape for y in others)


KERNELS = {"stack": Kernel(stack, _takes)}
