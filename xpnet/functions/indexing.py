"""x[key], for keys of integers, slices, `...` and None."""

from typing import Any

import array_api_compat as compat

from xpnet.autodiff import Function
from xpnet.backend import with_item
from xpnet.errors import GradientError
from xpnet.namespace import array_namespace, differentiable


class GetItem(Function):
    def __init__(self, key: Any) -> None:
        self.key = key

    def forward(self, x: Any) -> Any:
        self.was = x.shape
        return x[self.key]

    def backward(self, gy: Any) -> Any:
        return PutItem(self.key, self.was)(gy)


class PutItem(Function):
    """Zeros of `shape`, but x at [key]: it undoes x[key], and x[key] undoes it."""

    def __init__(self, key: Any, shape: tuple[int, ...]) -> None:
        self.key, self.to = key, shape

    def forward(self, x: Any) -> Any:
        xp = array_namespace(x)
        zeros = xp.zeros(self.to, dtype=x.dtype, device=compat.device(x))
        keys = self.key if isinstance(self.key, tuple) else (self.key,)
        place = tuple(k for k in keys if k is not None)  # to assign to new axes is not standard
        return with_item(zeros, place, xp.reshape(x, zeros[place].shape))

    def backward(self, gy: Any) -> Any:
        return gy[self.key]


def getitem(x: Any, key: Any) -> Any:
    """x[key]; a key must be an int, a slice, `...`, None, or a tuple of them.

    An array as key picks a number more than once, or as many as it pleases; its derivative is
    not written yet, and a Variable refuses it.
    """
    for k in key if isinstance(key, tuple) else (key,):
        if not (k is None or k is ... or isinstance(k, (int, slice))):
            raise GradientError(
                f"x[key] of a Variable expected integers, slices, ... and None, got "
                f"{type(k).__name__}. To pick by condition, use F.where."
            )
    return GetItem(key)(x)


differentiable["__getitem__"] = getitem
