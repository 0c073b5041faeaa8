"""x[key], for keys of integers, slices, `...` and None."""

from numbers import Integral
from typing import Any

import array_api_compat as compat

from xpnet.autodiff import Function
from xpnet.backend import with_item
from xpnet.errors import GradientError
from xpnet.namespace import array_namespace, differentiable


class GetItem(Function):
    def __init__(self, key: tuple[Any, ...]) -> None:
        self.key = key

    def forward(self, x: Any) -> Any:
        self.was = x.shape
        return x[self.key]

    def backward(self, gy: Any) -> Any:
        return PutItem(self.key, self.was)(gy)


class PutItem(Function):
    """Zeros of `shape`, but x at [key]: it undoes x[key], and x[key] undoes it."""

    def __init__(self, key: tuple[Any, ...], shape: tuple[int, ...]) -> None:
        self.key, self.to = key, shape

    def forward(self, x: Any) -> Any:
        xp = array_namespace(x)
        zeros = xp.zeros(self.to, dtype=x.dtype, device=compat.device(x))
        place = tuple(k for k in self.key if k is not None)  # to assign to new axes is not standard
        return with_item(zeros, place, xp.reshape(x, zeros[place].shape))

    def backward(self, gy: Any) -> Any:
        return gy[self.key]


def getitem(x: Any, key: Any) -> Any:
    """x[key]; a key must be an int, a slice, `...`, None, or a tuple of them.

    An array as key picks a number more than once, or as many as it pleases; its derivative is
    not written yet, and a Variable refuses it.
    """
    keys = tuple(int(k) if _is_integer(k) else k for k in _as_tuple(key))
    for k in keys:
        if not (k is None or k is ... or isinstance(k, slice) or _is_integer(k)):
            raise GradientError(
                f"x[key] of a Variable expected integers, slices, ... and None, got "
                f"{type(k).__name__}. To pick by condition, use F.where."
            )
    _check_bounds(keys, x.shape)
    return GetItem(keys)(x)


def _as_tuple(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _is_integer(k: Any) -> bool:
    """NumPy's integers too; True is a mask."""
    return isinstance(k, Integral) and not isinstance(k, bool)


def _check_bounds(keys: tuple[Any, ...], shape: tuple[int, ...]) -> None:
    """Not every library does: JAX takes the last number in place of one that is not there."""
    axes = [k for k in keys if k is not None]
    before = axes.index(...) if ... in axes else len(axes)
    for i, k in enumerate(axes):
        axis = i if i < before else i + len(shape) - len(axes)
        if isinstance(k, int) and not (axis < len(shape) and -shape[axis] <= k < shape[axis]):
            raise IndexError(f"Index {k} is out of range for axis {axis} of shape {tuple(shape)}.")


differentiable["__getitem__"] = getitem
