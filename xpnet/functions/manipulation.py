"""Functions that move numbers without changing them. Parameters are the standard's."""

import operator
from collections.abc import Sequence
from itertools import accumulate, pairwise, zip_longest
from typing import Any

from xpnet._typing import Array
from xpnet.autodiff._views import is_repeated, view
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, ShapeError
from xpnet.functions._registry import axes_of, from_front, standard, structural
from xpnet.functions.elementwise import not_equal, subtract
from xpnet.functions.indexing import Pick


class Reshape(Function):
    def __init__(self, shape: tuple[int, ...], copy: bool | None) -> None:
        self.to, self.options = shape, {} if copy is None else {"copy": copy}

    def forward(self, x: Array) -> Array:
        self.was = x.shape
        return array_namespace(x).reshape(x, self.to, **self.options)

    def backward(self, gy: Array) -> Array:
        return array_namespace(gy).reshape(gy, self.was)


class PermuteDims(Function):
    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return array_namespace(x).permute_dims(x, self.axes)

    def backward(self, gy: Array) -> Array:
        inverse = tuple(self.axes.index(i) for i in range(len(self.axes)))
        return array_namespace(gy).permute_dims(gy, inverse)


class BroadcastTo(Function):
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.to = shape

    def forward(self, x: Array) -> Array:
        return array_namespace(x).broadcast_to(x, self.to)

    def backward(self, gy: Array) -> Array:
        return gy  # the tape undoes broadcasting


class Flip(Function):
    def __init__(self, axis: int | tuple[int, ...] | None) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return array_namespace(x).flip(x, axis=self.axis)

    def backward(self, gy: Array) -> Array:
        return array_namespace(gy).flip(gy, axis=self.axis)


class Concat(Function):
    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, *xs: Array) -> Array:
        self.axis = from_front(self.axis, xs[0].ndim, "concat")
        self.ends = [0, *accumulate(x.shape[self.axis] for x in xs)]
        return array_namespace(*xs).concat(xs, axis=self.axis)

    def backward(self, gy: Array) -> Array:
        before = (slice(None),) * self.axis
        return tuple(gy[(*before, slice(a, b), ...)] for a, b in pairwise(self.ends))


class Roll(Function):
    def __init__(self, shift: Any, axis: Any) -> None:
        self.shift, self.axis = shift, axis

    def forward(self, x: Array) -> Array:
        return array_namespace(x).roll(x, self.shift, axis=self.axis)

    def backward(self, gy: Array) -> Array:
        back = tuple(-s for s in self.shift)
        return array_namespace(gy).roll(gy, back, axis=self.axis)


class Triangle(Function):
    def __init__(self, name: str, k: int) -> None:
        self.name, self.k = name, k

    def forward(self, x: Array) -> Array:
        return getattr(array_namespace(x), self.name)(x, k=self.k)

    def backward(self, gy: Array) -> Array:
        return getattr(array_namespace(gy), self.name)(gy, k=self.k)


# What views of a Variable are computed by, and what it becomes if something is written into them.


def _reshaped(x: Array, shape: tuple[int, ...]) -> Array:
    return Reshape(shape, None)(x)


def _with_reshaped(x: Array, shape: tuple[int, ...], y: Array) -> Array:
    return Reshape(x.shape, None)(y)


def _with_or_without_axes(x: Array, shape: tuple[int, ...]) -> Array:
    """A view in a shape that differs in axes of length 1 alone."""
    return view(_reshaped(x, shape), x, shape, _reshaped, _with_reshaped)


def _permuted(x: Array, axes: tuple[int, ...]) -> Array:
    return PermuteDims(axes)(x)


def _with_permuted(x: Array, axes: tuple[int, ...], y: Array) -> Array:
    return PermuteDims(tuple(axes.index(i) for i in range(len(axes))))(y)


def _flipped(x: Array, axes: tuple[int, ...]) -> Array:
    return Flip(axes)(x)


def _with_flipped(x: Array, axes: tuple[int, ...], y: Array) -> Array:
    return Flip(axes)(y)


def _repeated(x: Array, shape: tuple[int, ...]) -> Array:
    return BroadcastTo(shape)(x)


def _once(x: Array, shape: tuple[int, ...], y: Array) -> Array:
    return y


@standard
def reshape(x: Array, /, shape: tuple[int, ...], *, copy: bool | None = None) -> Array:
    """The same numbers in another shape; one length may be -1, and is then computed.

    `copy` asks for new memory (True), or for an error where that is needed (False). A Variable
    without new memory is a view: what is written into it is written into x.
    """
    y = Reshape(shape, copy)(x)
    if copy or is_repeated(x):  # numbers that are one cannot lie one after another
        return y
    return view(y, x, shape, _reshaped, _with_reshaped)


@standard
def permute_dims(x: Array, /, axes: tuple[int, ...]) -> Array:
    """The axes of x in another order: axis i of the result is axis axes[i] of x."""
    axes = tuple(from_front(a, x.ndim, "permute_dims") for a in axes)
    return view(PermuteDims(axes)(x), x, axes, _permuted, _with_permuted)


@standard
def broadcast_to(x: Array, /, shape: tuple[int, ...]) -> Array:
    """x repeated along new axes, and along those of length 1, up to `shape`."""
    y = _repeated(x, tuple(shape))
    return view(y, x, tuple(shape), _repeated, _once if y.shape == x.shape else None)


@standard
def broadcast_arrays(*arrays: Array) -> tuple[Any, ...]:
    """The arrays, each repeated up to the shape that they have in common."""
    shape = broadcast_shapes(*(x.shape for x in arrays))
    return tuple(broadcast_to(x, shape) for x in arrays)


@structural
def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that arrays of these shapes broadcast to.

    Counted from the end, the lengths of an axis are equal, 1, or not there.

    Raises
    ------
    ShapeError
        They do not broadcast.
    """
    lengths = list(zip_longest(*(shape[::-1] for shape in shapes), fillvalue=1))
    if any(len({n for n in axis if n != 1}) > 1 for axis in lengths):
        given = " and ".join(str(tuple(shape)) for shape in shapes)
        raise ShapeError(f"broadcast_shapes expected shapes that broadcast, got {given}.")
    return tuple(next((n for n in axis if n != 1), 1) for axis in reversed(lengths))


@standard
def expand_dims(x: Array, /, axis: int | tuple[int, ...]) -> Array:
    """x with new axes of length 1 at `axis`, counted in the result."""
    more = len(axis) if isinstance(axis, (tuple, list)) else 1
    new = axes_of(axis, x.ndim + more, "expand_dims")
    if len(set(new)) < len(new):
        raise ArgumentError(f"expand_dims expected different axes, got {axis}.")
    lengths = iter(x.shape)
    shape = (1 if i in new else next(lengths) for i in range(x.ndim + len(new)))
    return _with_or_without_axes(x, tuple(shape))


@standard
def squeeze(x: Array, /, axis: int | tuple[int, ...]) -> Array:
    """x without the axes `axis`, each of which must have length 1."""
    axes = set(axes_of(axis, x.ndim, "squeeze"))
    if any(x.shape[a] != 1 for a in axes):
        raise ArgumentError(f"Only axes of length 1 can be squeezed; shape {x.shape}, axis {axis}.")
    return _with_or_without_axes(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


@standard
def moveaxis(
    x: Array, source: int | tuple[int, ...], destination: int | tuple[int, ...], /
) -> Array:
    """x with the axes `source` at the places `destination`; the others keep their order."""
    sources, places = (axes_of(axes, x.ndim, "moveaxis") for axes in (source, destination))
    if len(sources) != len(places) or len(set(sources)) < len(sources):
        raise ArgumentError(
            f"moveaxis expected as many axes as places, got {source}, {destination}."
        )
    moved = dict(zip(places, sources, strict=True))
    others = (a for a in range(x.ndim) if a not in sources)
    return permute_dims(x, tuple(moved[i] if i in moved else next(others) for i in range(x.ndim)))


@standard
def concat(arrays: Sequence[Any], /, *, axis: int | None = 0) -> Any:
    """The arrays one after another along `axis`; with None, all flattened first."""
    if not arrays:
        raise ArgumentError("concat expected one array or more, got none.")
    if axis is None:
        return concat([reshape(x, (-1,)) for x in arrays], axis=0)
    return Concat(axis)(*arrays)


@standard
def stack(arrays: Sequence[Any], /, *, axis: int = 0) -> Any:
    """Arrays of one shape side by side along a new axis."""
    if len({tuple(x.shape) for x in arrays}) > 1:
        given = " and ".join(str(tuple(x.shape)) for x in arrays)
        raise ShapeError(f"stack expected arrays of one shape, got {given}.")
    return concat([expand_dims(x, axis=axis) for x in arrays], axis=axis)


@standard
def unstack(x: Array, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The parts of x along `axis`, without that axis: what `stack` puts together."""
    axis = from_front(axis, x.ndim, "unstack")
    before = (slice(None),) * axis
    return tuple(x[(*before, i, ...)] for i in range(x.shape[axis]))


@standard
def flip(x: Array, /, *, axis: int | tuple[int, ...] | None = None) -> Array:
    """x with the order of the numbers reversed along `axis`, or along all axes."""
    axes = axes_of(axis, x.ndim, "flip")
    return view(_flipped(x, axes), x, axes, _flipped, _with_flipped)


@standard
def roll(
    x: Array, /, shift: int | tuple[int, ...], *, axis: int | tuple[int, ...] | None = None
) -> Array:
    """x with the numbers moved up by `shift` places along `axis`, and round the end.

    With axis None they are moved in the order of the flattened array.
    """
    shifts = shift if isinstance(shift, (tuple, list)) else (shift,)
    shifts = tuple(operator.index(s) for s in shifts)
    if axis is None:
        return reshape(Roll(shifts, (0,))(reshape(x, (-1,))), x.shape)
    axes = axes_of(axis, x.ndim, "roll")
    return Roll(shifts if len(shifts) == len(axes) else shifts * len(axes), axes)(x)


@standard
def tile(x: Array, repetitions: tuple[int, ...], /) -> Array:
    """x as a tile, laid repetitions[i] times along axis i; new axes come first."""
    return Pick(lambda x: array_namespace(x).tile(x, repetitions))(x)


@standard
def repeat(x: Array, repeats: Any, /, *, axis: int | None = None) -> Array:
    """Each number of x `repeats` times in a row along `axis`, or of the flattened x.

    `repeats` is an int, or an array of integers: how often for each place along the axis.
    """
    times = data_of(repeats)
    return Pick(lambda x: array_namespace(x).repeat(x, times, axis=axis))(x)


@standard
def tril(x: Array, /, *, k: int = 0) -> Array:
    """The numbers of each matrix on and below its k-th diagonal; above it 0."""
    return Triangle("tril", k)(x)


@standard
def triu(x: Array, /, *, k: int = 0) -> Array:
    """The numbers of each matrix on and above its k-th diagonal; below it 0."""
    return Triangle("triu", k)(x)


@standard
def meshgrid(*arrays: Array, indexing: str = "xy") -> tuple[Any, ...]:
    """Coordinates of a grid: for n vectors n arrays of n dimensions, each constant along the rest.

    With "xy" the first two axes are exchanged: rows are y.
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f'meshgrid expected indexing "xy" or "ij", got {indexing!r}.')
    order = list(range(len(arrays)))
    if indexing == "xy" and len(arrays) > 1:
        order[:2] = 1, 0
    shapes = [tuple(-1 if axis == i else 1 for axis in range(len(arrays))) for i in order]
    lines = [reshape(x, s) for x, s in zip(arrays, shapes, strict=True)]
    shape = broadcast_shapes(*(x.shape for x in lines))
    return tuple(_repeated(x, shape) for x in lines)


@standard
def diff(
    x: Array, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None
) -> Array:
    """The differences of neighbours along `axis`, taken `n` times: x[1:] - x[:-1].

    `prepend` and `append` are put before and after x first.
    """
    axis = from_front(axis, x.ndim, "diff")
    parts = [part for part in (prepend, x, append) if part is not None]
    x, before = concat(parts, axis=axis) if len(parts) > 1 else x, (slice(None),) * axis
    minus = not_equal if has_dtype(x, "bool") else subtract
    for _ in range(n):
        x = minus(x[(*before, slice(1, None), ...)], x[(*before, slice(None, -1), ...)])
    return x
