"""Functions that change the places of numbers, not the numbers. Parameters are the standard's."""

import operator
from collections.abc import Sequence
from itertools import accumulate, pairwise, zip_longest

from xpnet._typing import Array
from xpnet.autodiff._views import is_repeated, view
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, ShapeError
from xpnet.functions._registry import axes_of, from_front, standard, structural
from xpnet.functions._shapes import Axis, slice_along
from xpnet.functions.elementwise import not_equal, subtract
from xpnet.functions.indexing import Pick


class Reshape(Function):
    def __init__(self, shape: tuple[int, ...], copy: bool | None) -> None:
        self.shape = shape
        self.options = {} if copy is None else {"copy": copy}

    def forward(self, x: Array) -> Array:
        self.x_shape = x.shape
        return array_namespace(x).reshape(x, self.shape, **self.options)

    def backward(self, gy: Array) -> Array:
        return array_namespace(gy).reshape(gy, self.x_shape)


class PermuteDims(Function):
    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return array_namespace(x).permute_dims(x, self.axes)

    def backward(self, gy: Array) -> Array:
        return array_namespace(gy).permute_dims(gy, _inverse(self.axes))


class BroadcastTo(Function):
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        return array_namespace(x).broadcast_to(x, self.shape)

    def backward(self, gy: Array) -> Array:
        return gy  # the tape sums it to the shape of x


class Flip(Function):
    def __init__(self, axis: Axis) -> None:
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

    def backward(self, gy: Array) -> tuple[Array, ...]:
        return tuple(slice_along(gy, self.axis, a, b) for a, b in pairwise(self.ends))


class Roll(Function):
    def __init__(self, shift: tuple[int, ...], axis: tuple[int, ...]) -> None:
        self.shift = shift
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return array_namespace(x).roll(x, self.shift, axis=self.axis)

    def backward(self, gy: Array) -> Array:
        back = tuple(-s for s in self.shift)
        return array_namespace(gy).roll(gy, back, axis=self.axis)


class Triangle(Function):
    def __init__(self, name: str, k: int) -> None:
        self.name = name
        self.k = k

    def forward(self, x: Array) -> Array:
        return getattr(array_namespace(x), self.name)(x, k=self.k)

    def backward(self, gy: Array) -> Array:
        return getattr(array_namespace(gy), self.name)(gy, k=self.k)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes another one."""
    return tuple(axes.index(i) for i in range(len(axes)))


# For each kind of view: how it is computed from a Variable, and what that Variable becomes after a
# write into the view.


def _reshaped(x: Array, shape: tuple[int, ...]) -> Array:
    return Reshape(shape, None)(x)


def _with_reshaped(x: Array, shape: tuple[int, ...], y: Array) -> Array:
    return Reshape(x.shape, None)(y)


def _with_or_without_axes(x: Array, shape: tuple[int, ...]) -> Array:
    """A view in a shape that differs only in axes of length 1."""
    return view(_reshaped(x, shape), x, shape, _reshaped, _with_reshaped)


def _permuted(x: Array, axes: tuple[int, ...]) -> Array:
    return PermuteDims(axes)(x)


def _with_permuted(x: Array, axes: tuple[int, ...], y: Array) -> Array:
    return PermuteDims(_inverse(axes))(y)


def _flipped(x: Array, axes: tuple[int, ...]) -> Array:
    return Flip(axes)(x)


def _with_flipped(x: Array, axes: tuple[int, ...], y: Array) -> Array:
    return Flip(axes)(y)


def _repeated(x: Array, shape: tuple[int, ...]) -> Array:
    return BroadcastTo(shape)(x)


def _with_repeated(x: Array, shape: tuple[int, ...], y: Array) -> Array:
    """y itself, which is all of x: only an x that was not repeated can be written to."""
    return y


@standard
def reshape(x: Array, /, shape: tuple[int, ...], *, copy: bool | None = None) -> Array:
    """The same numbers in another shape; one length may be -1, and is then computed.

    `copy=True` always copies; `copy=False` raises an error where a copy is needed. Unless copied, a
    Variable is a view: a write into it changes x.

    Parameters
    ----------
    x : array or Variable, any shape
    shape : tuple of int
        As many numbers as x has.
    copy : bool, optional

    Returns
    -------
    array or Variable, of that shape

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.reshape(F.asarray([1.0, 2.0, 3.0, 4.0]), (2, 2))
    Variable(array([[1., 2.],
           [3., 4.]], dtype=float32))
    """
    y = Reshape(shape, copy)(x)
    if copy or is_repeated(x):  # a number that is repeated has to be copied to each of its places
        return y
    return view(y, x, shape, _reshaped, _with_reshaped)


@standard
def permute_dims(x: Array, /, axes: tuple[int, ...]) -> Array:
    """The axes of x in another order: axis i of the result is axis axes[i] of x.

    Parameters
    ----------
    x : array or Variable
    axes : tuple of int
        Each axis of x once.

    Returns
    -------
    array or Variable

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.permute_dims(F.ones((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    axes = tuple(from_front(a, x.ndim, "permute_dims") for a in axes)
    return view(PermuteDims(axes)(x), x, axes, _permuted, _with_permuted)


@standard
def broadcast_to(x: Array, /, shape: tuple[int, ...]) -> Array:
    """x repeated along new axes, and along those of length 1, up to `shape`.

    Parameters
    ----------
    x : array or Variable
    shape : tuple of int

    Returns
    -------
    array or Variable, of that shape

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.broadcast_to(F.asarray([1.0, 2.0]), (2, 2))
    Variable(array([[1., 2.],
           [1., 2.]], dtype=float32))
    """
    y = _repeated(x, tuple(shape))
    put = _with_repeated if y.shape == x.shape else None  # repeated numbers cannot be written to
    return view(y, x, tuple(shape), _repeated, put)


@standard
def broadcast_arrays(*arrays: Array) -> tuple[Array, ...]:
    """The arrays, each repeated to the shape that they broadcast to.

    Parameters
    ----------
    *arrays : arrays or Variables

    Returns
    -------
    tuple of arrays or Variables, all of one shape

    Raises
    ------
    ShapeError
        The shapes do not broadcast.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> a, b = F.broadcast_arrays(F.ones((3, 1)), F.ones((1, 4)))
    >>> a.shape, b.shape
    ((3, 4), (3, 4))
    """
    shape = broadcast_shapes(*(x.shape for x in arrays))
    return tuple(broadcast_to(x, shape) for x in arrays)


@structural
def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that arrays of these shapes broadcast to.

    Counted from the end, the lengths of an axis must be equal, 1, or missing.

    Parameters
    ----------
    *shapes : tuples of int

    Returns
    -------
    tuple of int

    Raises
    ------
    ShapeError
        They do not broadcast.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.broadcast_shapes((3, 1), (1, 4))
    (3, 4)
    """
    result = []
    for lengths in zip_longest(*(shape[::-1] for shape in shapes), fillvalue=1):
        longer = {n for n in lengths if n != 1}
        if len(longer) > 1:
            given = " and ".join(str(tuple(shape)) for shape in shapes)
            raise ShapeError(f"broadcast_shapes expected shapes that broadcast, got {given}.")
        result.append(longer.pop() if longer else 1)
    return tuple(reversed(result))


@standard
def expand_dims(x: Array, /, axis: int | tuple[int, ...]) -> Array:
    """x with new axes of length 1 at `axis`, counted in the result.

    Parameters
    ----------
    x : array or Variable
    axis : int or tuple of int

    Returns
    -------
    array or Variable

    Raises
    ------
    IndexingError
        The result has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.expand_dims(F.ones(3), axis=0).shape
    (1, 3)
    """
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    new_axes = axes_of(axis, x.ndim + count, "expand_dims")
    if len(set(new_axes)) < len(new_axes):
        raise ArgumentError(f"expand_dims expected different axes, got {axis}.")
    shape = list(x.shape)
    for a in sorted(new_axes):
        shape.insert(a, 1)
    return _with_or_without_axes(x, tuple(shape))


@standard
def squeeze(x: Array, /, axis: int | tuple[int, ...]) -> Array:
    """x without the axes `axis`, each of which must have length 1.

    Parameters
    ----------
    x : array or Variable
    axis : int or tuple of int

    Returns
    -------
    array or Variable

    Raises
    ------
    IndexingError
        x has no such axis.
    ArgumentError
        An axis does not have length 1.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.squeeze(F.ones((1, 3)), axis=0).shape
    (3,)
    """
    axes = set(axes_of(axis, x.ndim, "squeeze"))
    if any(x.shape[a] != 1 for a in axes):
        raise ArgumentError(
            f"squeeze expected axes of length 1, got axis {axis} for x of shape {tuple(x.shape)}."
        )
    return _with_or_without_axes(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


@standard
def moveaxis(
    x: Array, source: int | tuple[int, ...], destination: int | tuple[int, ...], /
) -> Array:
    """x with the axes `source` at the places `destination`; the others keep their order.

    Parameters
    ----------
    x : array or Variable
    source, destination : int or tuple of int
        As many of each.

    Returns
    -------
    array or Variable

    Raises
    ------
    IndexingError
        x has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.moveaxis(F.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    sources = axes_of(source, x.ndim, "moveaxis")
    places = axes_of(destination, x.ndim, "moveaxis")
    if not len(sources) == len(places) == len(set(sources)) == len(set(places)):
        raise ArgumentError(
            "moveaxis expected different axes, and as many different places, got "
            f"{source} and {destination}."
        )
    axes = [a for a in range(x.ndim) if a not in sources]
    for place, a in sorted(zip(places, sources, strict=True)):
        axes.insert(place, a)
    return permute_dims(x, tuple(axes))


@standard
def concat(arrays: Sequence[Array], /, *, axis: int | None = 0) -> Array:
    """The arrays one after another along `axis`; with None, all flattened first.

    Parameters
    ----------
    arrays : sequence of arrays or Variables
        Of one shape, but for their lengths along `axis`.
    axis : int or None, default 0

    Returns
    -------
    array or Variable

    Raises
    ------
    IndexingError
        The arrays have no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.concat([F.asarray([1.0]), F.asarray([2.0, 3.0])])
    Variable(array([1., 2., 3.], dtype=float32))
    """
    if not arrays:
        raise ArgumentError("concat expected one array or more, got an empty sequence.")
    if axis is None:
        return concat([reshape(x, (-1,)) for x in arrays], axis=0)
    return Concat(axis)(*arrays)


@standard
def stack(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    """Arrays of one shape side by side along a new axis.

    Parameters
    ----------
    arrays : sequence of arrays or Variables
    axis : int, default 0
        The place of the new axis in the result.

    Returns
    -------
    array or Variable

    Raises
    ------
    ShapeError
        The shapes differ.
    IndexingError
        The result has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.stack([F.asarray([1.0, 2.0]), F.asarray([3.0, 4.0])])
    Variable(array([[1., 2.],
           [3., 4.]], dtype=float32))
    """
    shapes = {tuple(x.shape) for x in arrays}
    if not shapes:
        raise ArgumentError("stack expected one array or more, got an empty sequence.")
    if len(shapes) > 1:
        given = " and ".join(str(tuple(x.shape)) for x in arrays)
        raise ShapeError(f"stack expected arrays of one shape, got {given}.")
    return concat([expand_dims(x, axis=axis) for x in arrays], axis=axis)


@standard
def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The parts of x along `axis`, without that axis: the inverse of `stack`.

    Parameters
    ----------
    x : array or Variable, at least one dimension
    axis : int, default 0

    Returns
    -------
    tuple of arrays or Variables

    Raises
    ------
    IndexingError
        x has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> a, b = F.unstack(F.asarray([[1.0, 2.0], [3.0, 4.0]]))
    >>> b
    Variable(array([3., 4.], dtype=float32))
    """
    axis = from_front(axis, x.ndim, "unstack")
    before = (slice(None),) * axis
    return tuple(x[(*before, i, ...)] for i in range(x.shape[axis]))


@standard
def flip(x: Array, /, *, axis: Axis = None) -> Array:
    """x with the order of the numbers reversed along `axis`, or along all axes.

    Parameters
    ----------
    x : array or Variable, any shape
    axis : int, tuple of int or None, default None

    Returns
    -------
    array or Variable, shape of x

    Raises
    ------
    IndexingError
        x has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.flip(F.asarray([1.0, 2.0, 3.0]))
    Variable(array([3., 2., 1.], dtype=float32))
    """
    axes = axes_of(axis, x.ndim, "flip")
    return view(_flipped(x, axes), x, axes, _flipped, _with_flipped)


@standard
def roll(x: Array, /, shift: int | tuple[int, ...], *, axis: Axis = None) -> Array:
    """x with the numbers moved by `shift` places along `axis`; those beyond the end come first.

    With axis None they are moved in the order of the flattened array.

    Parameters
    ----------
    x : array or Variable, any shape
    shift : int or tuple of int
        A number for each of the axes, or one for all.
    axis : int, tuple of int or None, default None

    Returns
    -------
    array or Variable, shape of x

    Raises
    ------
    IndexingError
        x has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.roll(F.asarray([1.0, 2.0, 3.0]), 1)
    Variable(array([3., 1., 2.], dtype=float32))
    """
    shifts = shift if isinstance(shift, (tuple, list)) else (shift,)
    shifts = tuple(operator.index(s) for s in shifts)
    if axis is None:
        return reshape(Roll(shifts, (0,))(reshape(x, (-1,))), x.shape)
    axes = axes_of(axis, x.ndim, "roll")
    if len(shifts) != len(axes):  # one shift for all axes
        shifts = shifts * len(axes)
    return Roll(shifts, axes)(x)


@standard
def tile(x: Array, repetitions: tuple[int, ...], /) -> Array:
    """x repeated as a tile, repetitions[i] times along axis i; new axes come first.

    Parameters
    ----------
    x : array or Variable, any shape
    repetitions : tuple of int

    Returns
    -------
    array or Variable

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.tile(F.asarray([1.0, 2.0]), (2,))
    Variable(array([1., 2., 1., 2.], dtype=float32))
    """
    return Pick(lambda x: array_namespace(x).tile(x, repetitions))(x)


@standard
def repeat(x: Array, repeats: Array | int, /, *, axis: int | None = None) -> Array:
    """Each number of x `repeats` times in a row along `axis`, or in the flattened x.

    `repeats` is an int, or an array of integers with one number for each place along the axis.

    Parameters
    ----------
    x : array or Variable, any shape
    repeats : int, or array of integers
    axis : int or None, default None

    Returns
    -------
    array or Variable

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.repeat(F.asarray([1.0, 2.0]), 2)
    Variable(array([1., 1., 2., 2.], dtype=float32))
    """
    times = data_of(repeats)
    return Pick(lambda x: array_namespace(x).repeat(x, times, axis=axis))(x)


@standard
def tril(x: Array, /, *, k: int = 0) -> Array:
    """The numbers of each matrix on and below its k-th diagonal; above it 0.

    Parameters
    ----------
    x : array or Variable, shape (..., m, n)
    k : int, default 0
        Above 0, a diagonal above the main one.

    Returns
    -------
    array or Variable, shape of x

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.tril(F.ones((2, 2)))
    Variable(array([[1., 0.],
           [1., 1.]], dtype=float32))
    """
    return Triangle("tril", k)(x)


@standard
def triu(x: Array, /, *, k: int = 0) -> Array:
    """The numbers of each matrix on and above its k-th diagonal; below it 0.

    Parameters
    ----------
    x : array or Variable, shape (..., m, n)
    k : int, default 0
        Above 0, a diagonal above the main one.

    Returns
    -------
    array or Variable, shape of x

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.triu(F.ones((2, 2)))
    Variable(array([[1., 1.],
           [0., 1.]], dtype=float32))
    """
    return Triangle("triu", k)(x)


@standard
def meshgrid(*arrays: Array, indexing: str = "xy") -> tuple[Array, ...]:
    """The coordinates of a grid: for n vectors, n arrays of n dimensions.

    Array i holds vector i along axis i, and repeats it along the other axes. With indexing "xy" the
    first two axes are exchanged: y changes from row to row.

    Parameters
    ----------
    *arrays : arrays or Variables, one dimension each
    indexing : {"xy", "ij"}, default "xy"

    Returns
    -------
    tuple of arrays or Variables, all of one shape

    Raises
    ------
    ArgumentError
        `indexing` is neither.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> a, b = F.meshgrid(F.asarray([1.0, 2.0]), F.asarray([3.0, 4.0, 5.0]))
    >>> a.shape, b.shape
    ((3, 2), (3, 2))
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f'meshgrid expected indexing "xy" or "ij", got {indexing!r}.')
    axes = list(range(len(arrays)))
    if indexing == "xy" and len(arrays) > 1:
        axes[0], axes[1] = axes[1], axes[0]
    lines = []
    for x, axis in zip(arrays, axes, strict=True):
        shape = [1] * len(arrays)
        shape[axis] = -1
        lines.append(reshape(x, tuple(shape)))
    full_shape = broadcast_shapes(*(x.shape for x in lines))
    return tuple(_repeated(x, full_shape) for x in lines)


@standard
def diff(
    x: Array,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: Array | None = None,
    append: Array | None = None,
) -> Array:
    """The differences of neighbours along `axis`, taken `n` times: x[1:] - x[:-1].

    `prepend` and `append` are arrays that are first put before and after x.

    Parameters
    ----------
    x : array or Variable, any shape
        Of numbers.
    axis : int, default -1
    n : int, default 1
    prepend, append : array or Variable, optional
        They have the shape of x, but for the length along `axis`.

    Returns
    -------
    array or Variable
        It is shorter by n along `axis`.

    Raises
    ------
    IndexingError
        x has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.diff(F.asarray([1.0, 3.0, 6.0]))
    Variable(array([2., 3.], dtype=float32))
    """
    axis = from_front(axis, x.ndim, "diff")
    parts = [part for part in (prepend, x, append) if part is not None]
    if len(parts) > 1:
        x = concat(parts, axis=axis)
    minus = not_equal if has_dtype(x, "bool") else subtract
    for _ in range(n):
        x = minus(slice_along(x, axis, 1, None), slice_along(x, axis, None, -1))
    return x
