"""Arguments that share memory with the state: they are copied before a step changes it in place.

Eager code puts new arrays into the places of a state, so `step(layer.weight.data)` reads the old weights until
its end. An executor that changes the state where it is would let it read new ones.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

import numpy as np

from xpnet._typing import Array

__all__ = ["Changed", "StateMemory", "is_own"]


class Changed:
    """The memory that a step changes.

    Parameters
    ----------
    arrays : iterable of NumPy arrays
        Row-major, and apart from each other.
    """

    def __init__(self, arrays: Iterable[Array] = ()) -> None:
        found = sorted((_address(x), _address(x) + x.nbytes) for x in arrays if x.nbytes)
        self._starts = [start for start, _ in found]
        self._ends = [end for _, end in found]

    def apart(self, x: Array) -> Array:
        """x itself, or a copy if it shares memory with what is changed."""
        if not self._starts:
            return x
        if x.flags.c_contiguous:
            start = _address(x)
            end = start + x.nbytes
        else:
            start, end = _bounds(x)
        before = bisect_left(self._starts, end) - 1  # the last one that begins before x ends
        if before >= 0 and self._ends[before] > start:
            return x.copy()
        return x


def _address(x: Array) -> int:
    address: int = x.__array_interface__["data"][0]
    return address


def _bounds(x: Array) -> tuple[int, int]:
    """The addresses of the first byte of an array, and after the last one."""
    start = end = _address(x)
    for n, stride in zip(x.shape, x.strides, strict=True):
        reach = (n - 1) * stride
        if reach < 0:
            start += reach
        else:
            end += reach
    return start, end + x.itemsize


class StateMemory(np.ndarray[Any, Any]):
    """Memory that an executor has made for states: the base of their arrays."""


def is_own(x: Array) -> bool:
    """Whether an array lies in memory that an executor has made, and nobody else."""
    return isinstance(x.base, StateMemory)
