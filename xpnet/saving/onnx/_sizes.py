"""Two recordings of one function, at two batch sizes, as one: what differs is computed from the batch size.

A record has fixed shapes. Where a number of two records differs, it depends on the size of the batch; at
3 and 5 samples, the numbers 12 and 20 are 4 * batch, and 1/3 and 1/5 are 1 / batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnet._printable import counted
from xpnet._typing import Array
from xpnet.backend import to_numpy
from xpnet.compiler.record import Operation, Program, Value
from xpnet.errors import CompileError

__all__ = ["Batch", "Dimension", "Ratio", "Size", "at", "batch_sizes"]


@dataclass(frozen=True)
class Size:
    """A whole number of the form times * batch + plus."""

    times: int
    plus: int = 0

    def at(self, batch: int) -> int:
        """The number at a batch size."""
        return self.times * batch + self.plus

    def __str__(self) -> str:
        text = f"{self.times} * batch {self.plus:+d}"
        return text.removeprefix("1 * ").removesuffix(" +0")


@dataclass(frozen=True)
class Ratio:
    """A number of the form factor * above / below, of which one or both depend on the batch.

    1 / batch is in the gradient of a mean; n / (n - 1) corrects the variance of n numbers.
    """

    factor: float
    above: "Dimension"
    below: "Dimension"

    def at(self, batch: int) -> float:
        """The number at a batch size."""
        ratio: float = at(self.above, batch) / at(self.below, batch)
        return self.factor * ratio


Dimension = int | Size


def at(x: Any, batch: int) -> Any:
    """A number at a batch size; those that do not depend on it are as they are."""
    if isinstance(x, (Size, Ratio)):
        return x.at(batch)
    return x


class Batch:
    """The correspondence of two records, the first of which is the one that is read.

    Parameters
    ----------
    first, second : int
        The sizes of the batch in the two; equal if there is only one record.
    """

    def __init__(self, first: int, second: int) -> None:
        self.first = first
        self.second = second
        self.is_variable = first != second
        self.shapes: dict[Value, tuple[Dimension, ...]] = {}
        self._same: dict[Value, Value] = {}  # the second record's values to the first one's

    def add(self, x: Value, y: Value) -> None:
        """Note that a value of the first record is that of the second."""
        self._same[y] = x
        if len(x.shape) != len(y.shape) or str(x.dtype) != str(y.dtype):
            raise CompileError(
                f"{_place(x)}an array of shape {x.shape} at batch size {self.first} has the shape {y.shape} "
                f"at {self.second}: the number of axes and the dtype must not depend on the batch."
            )
        self.shapes[x] = tuple(map(self.size, x.shape, y.shape))

    def size(self, x: int, y: int) -> Dimension:
        """What is x in the first record and y in the second."""
        if x == y:
            return x
        times, rest = divmod(x - y, self.first - self.second)
        plus = x - times * self.first
        if rest or plus < -abs(times):  # such as the square of the batch size
            raise CompileError(
                f"Expected sizes that grow in proportion to the batch, got {x} at batch size {self.first} "
                f"and {y} at {self.second}. Export with a fixed batch: dynamic_batch=False."
            )
        return Size(times, plus)

    def merged(self, x: Any, y: Any) -> Any:
        """Arguments of an operation in the two records, with Sizes and Ratios where they differ."""
        if isinstance(x, Value) and isinstance(y, Value):
            self._require_same(x, y)
            return x
        if type(x) is not type(y):
            raise _different(x, y)
        if isinstance(x, (tuple, list)):
            if len(x) != len(y):
                raise _different(x, y)
            parts = [self.merged(a, b) for a, b in zip(x, y, strict=True)]
            if hasattr(x, "_fields"):
                return type(x)(*parts)
            return type(x)(parts)
        if isinstance(x, dict):
            if [*x] != [*y]:
                raise _different([*x], [*y])
            return {key: self.merged(part, y[key]) for key, part in x.items()}
        if isinstance(x, slice):
            return slice(*(self.merged(getattr(x, s), getattr(y, s)) for s in _SLICE))
        return self._number(x, y)

    def _number(self, x: Any, y: Any) -> Any:
        if type(x) is int:
            return self.size(x, y)
        if x is y or bool(x == y) or (isinstance(x, float) and np.isnan(x) and np.isnan(y)):
            return x
        if isinstance(x, float):
            for ratio in _ratios(x, self.first):
                if np.isclose(ratio.at(self.second), y, rtol=1e-9, atol=0.0):
                    return ratio
        raise _different(x, y)

    def _require_same(self, x: Value, y: Value) -> None:
        if x.source == "constant" and y.source == "constant":
            if x not in self.shapes:
                self.add(x, y)
            if x.array is not y.array and not _are_equal(x.array, y.array):
                raise CompileError(
                    f"{_place(x)}an array that was not computed in the function differs with the batch size: "
                    "create it from the shape of an argument, or export with dynamic_batch=False."
                )
        elif self._same.get(y) is not x:
            raise CompileError(f"{_place(x)}other arrays are used at another batch size.")

    def arguments(self, x: Operation, y: Operation) -> tuple[Any, dict[str, Any]]:
        """The arguments of an operation of the first record, and notes the shapes of its outputs."""
        try:
            if x.name != y.name or len(x.outputs) != len(y.outputs):
                raise _different(x.name, y.name)
            found = self.merged(x.args, y.args), self.merged(x.options, y.options)
            for a, b in zip(x.outputs, y.outputs, strict=True):
                self.add(a, b)
        except CompileError as error:
            raise CompileError(f"{x.where}: {x.name}: {error}") from None
        return found

    def require_same_length(self, x: Program, y: Program) -> None:
        """Raise CompileError unless two records have as many operations."""
        if len(x.operations) != len(y.operations):
            raise CompileError(
                f"The function computes {counted(len(x.operations), 'operation')} at batch size {self.first}, and "
                f"{len(y.operations)} at {self.second}. Export with a fixed batch: dynamic_batch=False."
            )


def _ratios(x: float, batch: int) -> Iterator[Ratio]:
    """What a number at a batch size may be."""
    one = Size(1)
    yield Ratio(x * batch, 1, one)
    yield Ratio(x / batch, one, 1)
    if x > 1.0:
        count = max(1, round(x / (x - 1.0) / batch))
        yield Ratio(1.0, Size(count), Size(count, -1))
    elif x < 1.0:
        count = max(1, round(1.0 / (1.0 - x) / batch))
        yield Ratio(1.0, Size(count, -1), Size(count))


_SLICE = ("start", "stop", "step")


def _place(x: Value) -> str:
    return f"{x.name or x.source}: "


def _are_equal(x: Array | None, y: Array | None) -> bool:
    return bool(np.array_equal(to_numpy(x), to_numpy(y)))


def _different(x: Any, y: Any) -> CompileError:
    return CompileError(
        f"got {x!r} at one batch size and {y!r} at another. Export with a fixed batch: dynamic_batch=False."
    )


def batch_sizes(first: Sequence[Value], second: Sequence[Value]) -> tuple[int, int]:
    """The sizes of the batch in two records: those of the first dimension that differs in an argument."""
    for x, y in zip(first, second, strict=True):
        for n, m in zip(x.shape, y.shape, strict=True):
            if n != m:
                return n, m
    return 1, 1
