"""Which arrays share memory.

A recorded step is pure: a change of one array changes no other one. Where two arrays share memory that is
not so, and a replay, which may also move them, would compute something else.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnet._typing import Array

__all__ = ["conflicting", "has_identity", "memory_of", "overlap", "overlapping"]

WORK = 10_000  # steps of the search for a common element; after that there may be one


class _Extent(NamedTuple):
    """The memory that an array is in: from the address `start` to before `stop`."""

    start: int
    stop: int


def has_identity(x: Array) -> bool:
    """Whether another name of the same object is the same array: not so for NumPy's numbers.

    NumPy has one object for all that are True, `numpy.True_`, and one for all that are False.
    """
    return not isinstance(x, np.generic)


def overlap(x: Array, y: Array) -> bool:
    """Whether two arrays share memory. PyTorch's and CuPy's: whether the memory between their ends overlaps.

    JAX's arrays never change, so it does not matter for them: False.
    """
    if type(x) is not type(y):
        return False
    if isinstance(x, np.ndarray):
        return bool(np.may_share_memory(x, y)) and _have_common_element(x, y)
    if hasattr(x, "_array"):  # array-api-strict
        return overlap(x._array, y._array)  # noqa: SLF001 - it has no public name
    a = _extent(x)
    b = _extent(y)
    return a is not None and b is not None and a.start < b.stop and b.start < a.stop


def overlapping(arrays: Sequence[Array]) -> Iterator[tuple[int, int]]:
    """All i < j for which arrays[i] and arrays[j] share memory: in about the time of sorting them."""
    extents = [(_extent(x), i) for i, x in enumerate(arrays)]
    found = sorted((extent, i) for extent, i in extents if extent is not None)
    before: list[tuple[_Extent, int]] = []  # those that end behind the start of the present one
    for extent, i in found:
        before = [(other, j) for other, j in before if other.stop > extent.start]
        for _, j in before:
            if overlap(arrays[i], arrays[j]):
                yield min(i, j), max(i, j)
        before.append((extent, i))


def conflicting(arrays: Sequence[Array]) -> Iterator[tuple[int, int]]:
    """The same without arrays that are both read-only: a replay may separate them.

    These are NumPy's, such as data of which x and t are parts.
    """
    for i, j in overlapping(arrays):
        if not (_is_read_only(arrays[i]) and _is_read_only(arrays[j])):
            yield i, j


def _is_read_only(x: Array) -> bool:
    return isinstance(x, np.ndarray) and not x.flags.writeable


def memory_of(x: Array) -> int | None:
    """A number for the memory that x is a part of: arrays with different ones share none.

    None if it is not known: an array in memory that another object has allocated.
    """
    if hasattr(x, "_array"):  # array-api-strict
        return memory_of(x._array)  # noqa: SLF001 - it has no public name
    if isinstance(x, np.ndarray):
        while isinstance(x.base, np.ndarray):
            x = x.base
        return id(x) if x.base is None else None
    if hasattr(x, "untyped_storage"):  # PyTorch
        return int(x.untyped_storage().data_ptr())
    return id(getattr(getattr(x, "data", None), "mem", None))  # CuPy


def _have_common_element(x: Array, y: Array) -> bool:
    try:
        return bool(np.shares_memory(x, y, max_work=WORK))  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def _extent(x: Any) -> _Extent | None:
    """Where an array is; None if it is empty, or of a library whose arrays do not change."""
    if hasattr(x, "_array"):  # array-api-strict
        return _extent(x._array)  # noqa: SLF001 - it has no public name
    if 0 in x.shape:
        return None
    if isinstance(x, np.ndarray):
        return _between(x.__array_interface__["data"][0], x.shape, x.strides, x.itemsize)
    if hasattr(x, "untyped_storage"):  # PyTorch
        size = x.element_size()
        return _between(x.data_ptr(), x.shape, [size * stride for stride in x.stride()], size)
    memory: Any = getattr(x, "data", None)  # CuPy
    if hasattr(memory, "mem"):
        return _between(memory.ptr, x.shape, x.strides, x.itemsize)
    return None


def _between(address: int, shape: Sequence[int], strides: Sequence[int], size: int) -> _Extent:
    """From the first byte of an array to its last one."""
    ends = [stride * (length - 1) for stride, length in zip(strides, shape, strict=True)]
    start = address + sum(end for end in ends if end < 0)
    stop = address + sum(end for end in ends if end > 0) + size
    return _Extent(start, stop)
