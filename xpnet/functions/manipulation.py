"""Functions that move numbers without changing them. Parameters are the standard's."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from xpnet.autodiff import Function
from xpnet.functions.declare import from_front, standard
from xpnet.namespace import array_namespace


class Reshape(Function):
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.to = shape

    def forward(self, x: Any) -> Any:
        self.was = x.shape
        return array_namespace(x).reshape(x, self.to)

    def backward(self, gy: Any) -> Any:
        return array_namespace(gy).reshape(gy, self.was)


class PermuteDims(Function):
    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Any) -> Any:
        return array_namespace(x).permute_dims(x, self.axes)

    def backward(self, gy: Any) -> Any:
        inverse = tuple(self.axes.index(i) for i in range(len(self.axes)))
        return array_namespace(gy).permute_dims(gy, inverse)


class BroadcastTo(Function):
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.to = shape

    def forward(self, x: Any) -> Any:
        return array_namespace(x).broadcast_to(x, self.to)

    def backward(self, gy: Any) -> Any:
        return gy  # the tape undoes broadcasting


class Flip(Function):
    def __init__(self, axis: int | tuple[int, ...] | None) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return array_namespace(x).flip(x, axis=self.axis)

    def backward(self, gy: Any) -> Any:
        return array_namespace(gy).flip(gy, axis=self.axis)


class Concat(Function):
    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, *xs: Any) -> Any:
        self.axis = from_front(self.axis, xs[0].ndim)
        self.ends = [0, *accumulate(x.shape[self.axis] for x in xs)]
        return array_namespace(*xs).concat(xs, axis=self.axis)

    def backward(self, gy: Any) -> Any:
        before = (slice(None),) * self.axis
        return tuple(gy[(*before, slice(a, b), ...)] for a, b in pairwise(self.ends))


@standard
def reshape(x: Any, /, shape: tuple[int, ...], *, copy: bool | None = None) -> Any:
    """The same numbers in another shape; one length may be -1, and is then computed."""
    if copy is not None:
        raise NotImplementedError("reshape of a Variable knows copy=None alone.")
    return Reshape(shape)(x)


@standard
def permute_dims(x: Any, /, axes: tuple[int, ...]) -> Any:
    """The axes of x in another order: axis i of the result is axis axes[i] of x."""
    return PermuteDims(tuple(from_front(a, x.ndim) for a in axes))(x)


@standard
def broadcast_to(x: Any, /, shape: tuple[int, ...]) -> Any:
    """x repeated along new axes, and along those of length 1, up to `shape`."""
    return BroadcastTo(tuple(shape))(x)


@standard
def expand_dims(x: Any, /, *, axis: int = 0) -> Any:
    """x with a new axis of length 1 at `axis`."""
    axis = from_front(axis, x.ndim + 1)
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


@standard
def squeeze(x: Any, /, axis: int | tuple[int, ...]) -> Any:
    """x without the axes `axis`, each of which must have length 1."""
    axes = {from_front(a, x.ndim) for a in ((axis,) if isinstance(axis, int) else axis)}
    if any(x.shape[a] != 1 for a in axes):
        raise ValueError(f"Only axes of length 1 can be squeezed; shape {x.shape}, axis {axis}.")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


@standard
def concat(arrays: Sequence[Any], /, *, axis: int | None = 0) -> Any:
    """The arrays one after another along `axis`; with None, all flattened first."""
    if axis is None:
        return concat([reshape(x, (-1,)) for x in arrays], axis=0)
    return Concat(axis)(*arrays)


@standard
def stack(arrays: Sequence[Any], /, *, axis: int = 0) -> Any:
    """Arrays of one shape side by side along a new axis."""
    return concat([expand_dims(x, axis=axis) for x in arrays], axis=axis)


@standard
def flip(x: Any, /, *, axis: int | tuple[int, ...] | None = None) -> Any:
    """x with the order of the numbers reversed along `axis`, or along all axes."""
    return Flip(axis)(x)
