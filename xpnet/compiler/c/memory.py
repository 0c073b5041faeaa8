"""Where the values of a program lie: views of pieces of memory, most of them in one arena."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xpnet._typing import Array, DType
from xpnet.compiler.buffers import ALIGNMENT, aligned_empty

__all__ = [
    "ALIGNMENT",
    "Memory",
    "View",
    "aligned_empty",
    "batch_last_strides",
    "contiguous_strides",
]

Kind = Literal["arena", "state", "argument", "host", "constant", "output"]


@dataclass(eq=False, slots=True)
class Memory:
    """A piece of memory.

    Attributes
    ----------
    kind : str
        "arena": of the plan. "state", "argument", "host": a whole input, contiguous. "constant".
        "output": written by the plan, copied to the caller.
    size : int
        Bytes.
    index : int
        The state's, argument's, host's or output's.
    array : array or None
        A constant's.
    first, last : int
        The steps of the plan that use a piece of the arena.
    offset : int
        Bytes from the beginning of the arena.
    """

    kind: Kind
    size: int
    index: int = 0
    array: Array | None = None
    first: int = -1
    last: int = -1
    offset: int = 0

    def used(self, step: int) -> None:
        """Note that a step of the plan reads or writes it."""
        if self.first < 0:
            self.first = step
        self.last = max(self.last, step)


@dataclass(eq=False, slots=True)
class View:
    """An array within a piece of memory.

    Attributes
    ----------
    memory : Memory
    offset : int
        Bytes.
    shape, strides : tuple of int
        The strides are in elements; that of an axis of length 1 says nothing.
    dtype : numpy.dtype
    """

    memory: Memory
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: DType

    @property
    def is_contiguous(self) -> bool:
        """Whether it is row-major without gaps."""
        return self._has_strides(contiguous_strides(self.shape))

    @property
    def is_batch_last(self) -> bool:
        """Whether its first axis is innermost, and the others are row-major, without gaps."""
        return self._has_strides(batch_last_strides(self.shape))

    def _has_strides(self, strides: tuple[int, ...]) -> bool:
        axes = zip(self.shape, self.strides, strides, strict=True)
        return all(n == 1 or given == expected for n, given, expected in axes)

    def shown(self, shape: Sequence[int], strides: Sequence[int], skipped: int = 0) -> "View":
        """The same memory with another shape and other strides, after so many elements."""
        offset = self.offset + skipped * self.dtype.itemsize
        return View(self.memory, offset, tuple(shape), tuple(strides), self.dtype)

    def in_memory(self, memory: Array) -> Array:
        """The NumPy array, given the bytes of its memory."""
        size = self.dtype.itemsize
        strides = tuple(size * s for s in self.strides)
        return np.ndarray(self.shape, self.dtype, memory, self.offset, strides)

    def same_place(self, other: "View") -> bool:
        """Whether each number lies where the other view has it."""
        return (
            self.memory is other.memory
            and self.offset == other.offset
            and self.shape == other.shape
            and all(
                n == 1 or a == b
                for n, a, b in zip(self.shape, self.strides, other.strides, strict=True)
            )
        )


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides, in elements, of a row-major array."""
    strides: list[int] = []
    step = 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def batch_last_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides, in elements, of an array whose first axis is innermost in memory."""
    if not shape:
        return ()
    return (1, *contiguous_strides((*shape[1:], shape[0]))[:-1])
