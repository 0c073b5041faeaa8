"""The geometry of a window that slides over the spatial axes of an array."""

from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from itertools import product
from math import prod
from numbers import Integral
from typing import Any

from xpnet.errors import ArgumentError, ShapeError

Sizes = tuple[int, ...]
Lengths = int | tuple[int, ...]  # one for all axes, or one for each
Padding = tuple[tuple[int, int], ...]  # for each axis, how much before it and after it
Key = tuple[slice, ...]
Blocks = Iterator[tuple[Sizes, Sizes]]  # the first place of a block, and the one after its last


class Window:
    """A window of `kernel` numbers per axis, `dilation` apart, that moves by `stride`.

    Parameters
    ----------
    size : tuple of int
        The lengths of the spatial axes that it slides over.
    kernel, stride, dilation : tuple of int, one for each axis
    padding : tuple of pairs of int
        How many numbers are added before and after each axis; negative ones are cut off.
    places : tuple of int, optional
        How many places the window takes along each axis; by default, as many as fit.

    Raises
    ------
    ShapeError
        The window does not fit into the padded axes.
    """

    def __init__(
        self,
        size: Sizes,
        kernel: Sizes,
        stride: Sizes,
        padding: Padding,
        dilation: Sizes,
        places: Sizes | None = None,
    ) -> None:
        self.size = size
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.places = places
        self._require_fit()

    def _arguments(self) -> tuple[Sizes | Padding | None, ...]:
        return self.size, self.kernel, self.stride, self.padding, self.dilation, self.places

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Window) and self._arguments() == other._arguments()

    def __hash__(self) -> int:
        return hash(self._arguments())

    def __repr__(self) -> str:
        return f"Window{self._arguments()}"

    def _require_fit(self) -> None:
        if all(r <= p for r, p in zip(self.reach, self.padded, strict=True)):
            return
        window = f"{self.kernel}"
        if self.reach != self.kernel:
            window += f", dilated to {self.reach}"
        images = f"{self.size}"
        if self.padded != self.size:
            images += f", padded to {self.padded}"
        raise ShapeError(
            f"A window of {window} does not fit into {images}. "
            "Take a smaller kernel, more padding or larger images."
        )

    @cached_property
    def reach(self) -> Sizes:
        """How many numbers of each axis the window spans, from its first to its last."""
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
        """How many places the window takes in total."""
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
        """The index of each number of the window, row by row."""
        return product(*map(range, self.kernel))

    def under(self, offset: Sizes, start: Sizes | None = None, stop: Sizes | None = None) -> Key:
        """What one number of the window meets in the padded axes, at the places from start to stop.

        By default, at all places.
        """
        if start is None:
            start = (0,) * len(self.out)
        if stop is None:
            stop = self.out
        axes = zip(offset, self.dilation, self.stride, start, stop, strict=True)
        return tuple(slice(o * d + a * s, o * d + (b - 1) * s + 1, s) for o, d, s, a, b in axes)

    def inside(self, offset: Sizes) -> tuple[Key, Key] | None:
        """The places at which one number of the window meets no padding, and what it meets there.

        Returns slices of the output's axes, and slices of the axes without padding; None if it meets
        padding everywhere.
        """
        places = []
        met = []
        axes = zip(
            offset, self.dilation, self.stride, self.padding, self.size, self.out, strict=True
        )
        for o, d, s, (before, _), n, out in axes:
            at = o * d - before  # what the first place meets
            first = max(0, -(at // s))  # the first place i with at + i s >= 0
            last = min(out - 1, (n - 1 - at) // s)  # the last one with at + i s < n
            if first > last:
                return None
            places.append(slice(first, last + 1))
            met.append(slice(at + first * s, at + last * s + 1, s))
        return tuple(places), tuple(met)

    @property
    def turned(self) -> "Window | None":
        """The window of the transposed convolution, which leads from the places to what they met.

        None unless this window moves by 1 and the other one needs no negative padding.
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
        """The same window over images with one more axis, of length 1, in front."""
        return Window(
            size=(1, *self.size),
            kernel=(1, *self.kernel),
            stride=(1, *self.stride),
            padding=((0, 0), *self.padding),
            dilation=(1, *self.dilation),
            places=(1, *self.out),
        )

    def blocks(self, rows: int, room: int) -> Blocks:
        """The places in blocks, as (start, stop): up to `rows` rows, with about `room` places in each.

        A row holds all places at one index of the first axis; they are neighbours in memory.
        """
        ranges = []
        for n in reversed(self.out[1:]):
            ranges.append(_split(n, room))
            room //= n
        ranges.append(_split(self.out[0], rows))
        for block in product(*reversed(ranges)):
            start, stop = zip(*block, strict=True)
            yield start, stop


@lru_cache(maxsize=1024)
def sliding(
    size: Sizes,
    kernel: Sizes,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    places: Sizes | None = None,
) -> Window:
    """The `Window` with these arguments, cached, as each training step asks for the same ones."""
    return Window(size, kernel, stride, padding, dilation, places)


def _split(n: int, most: int) -> list[tuple[int, int]]:
    """The range from 0 to n, cut into as few and as equal parts as possible, each of at most `most`."""
    parts = -(-n // max(most, 1))
    return [(n * i // parts, n * (i + 1) // parts) for i in range(parts)]


def lengths(value: Lengths, d: int, least: int = 1) -> tuple[int, ...]:
    """A whole number for all of d axes, or one for each of them, as a tuple.

    Raises
    ------
    ArgumentError
        A number is below `least`, or there are not d of them.
    """
    if type(value) is int and value >= least:
        return (value,) * d
    if isinstance(value, Iterable):
        several: tuple[Any, ...] = tuple(value)
    else:
        several = (value,) * d
    if len(several) != d or not all(isinstance(n, Integral) and int(n) >= least for n in several):
        raise ArgumentError(
            f"Expected a whole number from {least}, or {d} of them, one for each axis, "
            f"got {value!r}."
        )
    return tuple(map(int, several))


def padding_pairs(
    padding: Lengths | str,
    kernel: Sizes,
    stride: Sizes,
    dilation: Sizes,
) -> Padding:
    """How many zeros are added before and after each axis.

    Parameters
    ----------
    padding : int, tuple of int, "same" or "valid"
        With "same", enough for the output to have the size of the input. With "valid", none.
    kernel, stride, dilation : tuple of int, one for each axis

    Raises
    ------
    ArgumentError
        `padding` is neither of these; or it is "same" and the stride is not 1.
    """
    if padding == "same":
        if stride != (1,) * len(stride):
            raise ArgumentError(f'padding="same" expected a stride of 1, got {stride}.')
        more = [g * (k - 1) for k, g in zip(kernel, dilation, strict=True)]
        return tuple((m // 2, m - m // 2) for m in more)
    if isinstance(padding, str) and padding != "valid":
        raise ArgumentError(f'Expected padding as numbers, "same" or "valid", got {padding!r}.')
    if isinstance(padding, str):
        return ((0, 0),) * len(kernel)
    return tuple((p, p) for p in lengths(padding, len(kernel), 0))
