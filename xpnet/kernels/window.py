"""How a window slides over the spatial axes of an array: the numbers, without the arrays."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from math import prod
from numbers import Integral
from typing import Any, Self

from xpnet.errors import ArgumentError, ShapeError

Sizes = tuple[int, ...]
Lengths = int | tuple[int, ...]  # one for all axes, or one for each
Key = tuple[slice, ...]


@dataclass(frozen=True)
class Window:
    """A window of `kernel` numbers an axis, `dilation` apart, that moves on by `stride`.

    Parameters
    ----------
    size : tuple of int
        The lengths of the spatial axes it slides over.
    kernel, stride, dilation : tuple of int, one for each axis
    padding : tuple of pairs of int
        How many numbers are thought before and after each axis.
    places : tuple of int, optional
        How many places the window takes along each axis; unless given, all that there are.

    Raises
    ------
    ShapeError
        The window does not fit into the padded axes.
    """

    size: Sizes
    kernel: Sizes
    stride: Sizes
    padding: tuple[tuple[int, int], ...]
    dilation: Sizes
    places: Sizes | None = None

    def __post_init__(self) -> None:
        if any(r > p for r, p in zip(self.reach, self.padded, strict=True)):
            dilated = f", dilated to {self.reach}" if self.reach != self.kernel else ""
            padded = f", padded to {self.padded}" if self.padded != self.size else ""
            raise ShapeError(
                f"A window of {self.kernel}{dilated} does not fit into {self.size}{padded}. "
                "Take a smaller kernel, more padding or larger images."
            )

    @cached_property
    def reach(self) -> Sizes:
        """How many numbers of each axis lie under the window, from its first to its last."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @cached_property
    def padded(self) -> Sizes:
        """The lengths of the axes with the padding."""
        return tuple(n + a + b for n, (a, b) in zip(self.size, self.padding, strict=True))

    @cached_property
    def out(self) -> Sizes:
        """How many places the window takes along each axis."""
        if self.places is not None:
            return self.places
        axes = zip(self.padded, self.reach, self.stride, strict=True)
        return tuple((n - r) // s + 1 for n, r, s in axes)

    @cached_property
    def positions(self) -> int:
        """How many places the window takes in all."""
        return prod(self.out)

    @cached_property
    def numbers(self) -> int:
        """How many numbers the window has."""
        return prod(self.kernel)

    @property
    def pads(self) -> bool:
        """Whether there is any padding."""
        return any(a or b for a, b in self.padding)

    @property
    def inner(self) -> Key:
        """Where the axes lie within the padded ones."""
        return tuple(slice(a, a + n) for n, (a, _) in zip(self.size, self.padding, strict=True))

    @property
    def offsets(self) -> Iterator[Sizes]:
        """The numbers of the window, row by row."""
        return product(*map(range, self.kernel))

    def under(self, offset: Sizes, start: Sizes | None = None, stop: Sizes | None = None) -> Key:
        """What of the padded axes meets one number of the window at its places start to stop."""
        start, stop = start or (0,) * len(self.out), stop or self.out
        axes = zip(offset, self.dilation, self.stride, start, stop, strict=True)
        return tuple(slice(o * d + a * s, o * d + (b - 1) * s + 1, s) for o, d, s, a, b in axes)

    def inside(self, offset: Sizes) -> tuple[Key, Key] | None:
        """The places at which one number of the window meets no padding, and what it meets there.

        Slices of the axes of the output, and of the axes without padding; None if there are none.
        """
        places, met = [], []
        axes = zip(
            offset, self.dilation, self.stride, self.padding, self.size, self.out, strict=True
        )
        for o, d, s, (before, _), n, out in axes:
            at = o * d - before  # what the first place meets
            first, last = max(0, -(at // s)), min(out - 1, (n - 1 - at) // s)
            if first > last:
                return None
            places.append(slice(first, last + 1))
            met.append(slice(at + first * s, at + last * s + 1, s))
        return tuple(places), tuple(met)

    @property
    def turned(self) -> "Window | None":
        """The window that goes back, from the places to what they met; None if it cannot.

        It moves by 1, and so must this one; and it needs padding that is not negative.
        """
        padding = []
        axes = zip(self.reach, self.padding, self.out, self.size, self.stride, strict=True)
        for r, (before, _), out, n, s in axes:
            first = r - 1 - before
            last = n + r - 1 - out - first
            if s != 1 or first < 0 or last < 0 or out == 0:
                return None
            padding.append((first, last))
        return Window(self.out, self.kernel, self.stride, tuple(padding), self.dilation)

    @cached_property
    def lifted(self) -> "Window":
        """The same over images that all lie in one row."""
        size, kernel, stride = (1, *self.size), (1, *self.kernel), (1, *self.stride)
        padding, dilation = ((0, 0), *self.padding), (1, *self.dilation)
        return Window(size, kernel, stride, padding, dilation, (1, *self.out))

    def blocks(self, rows: int, room: int) -> Iterator[tuple[Sizes, Sizes]]:
        """The places in blocks, as (start, stop): so many rows, and about `room` places in each.

        A row is what lies at one place of the first axis; its places are neighbours in memory.
        """
        ranges = []
        for n in reversed(self.out[1:]):
            ranges.append(_split(n, room))
            room //= n
        ranges.append(_split(self.out[0], rows))
        for block in product(*reversed(ranges)):
            start, stop = zip(*block, strict=True)
            yield start, stop

    @classmethod
    def over(
        cls, size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
    ) -> Self:
        """A window with as much padding before an axis as after it."""
        return cls(size, kernel, stride, tuple((p, p) for p in padding), dilation)


@lru_cache(maxsize=1024)
def sliding(
    size: Sizes,
    kernel: Sizes,
    stride: Sizes,
    padding: tuple[tuple[int, int], ...],
    dilation: Sizes,
    places: Sizes | None = None,
) -> Window:
    """The `Window` with these arguments, cached: a training step asks for the same ones each time."""
    return Window(size, kernel, stride, padding, dilation, places)


def _split(n: int, most: int) -> list[tuple[int, int]]:
    """0 to n in as few parts as can be, of at most so many, and about equal."""
    parts = -(-n // max(most, 1))
    return [(n * i // parts, n * (i + 1) // parts) for i in range(parts)]


def lengths(value: Lengths, d: int, least: int = 1) -> tuple[int, ...]:
    """One whole number, or one for each of d axes, as a tuple."""
    if type(value) is int and value >= least:
        return (value,) * d
    several: tuple[Any, ...] = tuple(value) if isinstance(value, Iterable) else (value,) * d
    if len(several) != d or not all(isinstance(n, Integral) and int(n) >= least for n in several):
        raise ArgumentError(
            f"Expected a whole number from {least}, or {d} of them, one for each axis, "
            f"got {value!r}."
        )
    return tuple(map(int, several))


def padded(
    padding: Lengths | str,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """How many zeros before and after each axis: numbers, "same" or "valid"."""
    if padding == "same":
        if stride != (1,) * len(stride):
            raise ArgumentError(f'padding="same" expected a stride of 1, got {stride}.')
        more = [g * (k - 1) for k, g in zip(kernel, dilation, strict=True)]
        return tuple((m // 2, m - m // 2) for m in more)
    if isinstance(padding, str) and padding != "valid":
        raise ArgumentError(f'Expected padding as numbers, "same" or "valid", got {padding!r}.')
    around = (0,) * len(kernel) if isinstance(padding, str) else lengths(padding, len(kernel), 0)
    return tuple((p, p) for p in around)
