"""CuPy's module ``cupy.cuda.thrust`` on the emulated device; ``cupy_wheel.py`` puts it in its place.

The functions take addresses of device memory, and work on CuPy's current stream.
"""

import ctypes
import math
from collections.abc import Sequence

import numpy as np
from cupy.cuda.stream import get_current_stream
from cupy_backends.cuda.api.runtime import check_status

available = True
SORTED = frozenset("?bBhHiIlLqQefdFD")  # NumPy's characters of the types that Thrust sorts

_library = ctypes.CDLL("libhost_cuda.so")


def get_build_version() -> int:
    """The version of Thrust that this stands for."""
    return 300102


def _call(
    name: str, dtype: object, first: int, second: int | None, rows: int, columns: int
) -> None:
    status = getattr(_library, name)(
        ctypes.c_char(np.dtype(dtype).char.encode()),
        ctypes.c_void_p(first),
        ctypes.c_void_p(second),
        ctypes.c_size_t(rows),
        ctypes.c_size_t(columns),
        ctypes.c_void_p(get_current_stream().ptr),
    )
    check_status(status)


def _check(dtype: object, error: type[Exception], what: str) -> None:
    if np.dtype(dtype).char not in SORTED:
        raise error(f"Sorting {what} with dtype '{dtype}' is not supported")


def sort(dtype: object, data: int, keys: int, shape: Sequence[int]) -> None:
    """Sort the last axis in place; ``keys`` is scratch memory."""
    _check(dtype, NotImplementedError, "arrays")
    _call("host_cuda_sort", dtype, data, None, math.prod(shape[:-1]), shape[-1])


def argsort(dtype: object, indices: int, data: int, keys: int, shape: Sequence[int]) -> None:
    """Write the indices that sort the last axis, and sort the data; ``keys`` is scratch memory."""
    _check(dtype, NotImplementedError, "arrays")
    _call("host_cuda_sort", dtype, data, indices, math.prod(shape[:-1]), shape[-1])


def lexsort(dtype: object, indices: int, keys: int, k: int, n: int) -> None:
    """Write the indices that sort ``n`` columns by ``k`` rows of keys, the last row first."""
    _check(dtype, TypeError, "keys")
    _call("host_cuda_lexsort", dtype, keys, indices, k, n)
