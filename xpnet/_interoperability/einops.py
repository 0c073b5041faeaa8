"""einops on Variables: `einops.rearrange(v, "b c h w -> b (c h w)")`, and all its other functions.

einops finds the backend of an array among the subclasses of its `AbstractBackend`. Ours is made when
a Variable is created while einops is imported, so xpnet never imports einops by itself.
"""

from functools import cache
from importlib import import_module
from sys import modules
from typing import Any

from xpnet import functions as F
from xpnet._typing import Array
from xpnet.autodiff.namespace import has_dtype
from xpnet.autodiff.variable import FLOATING, Variable
from xpnet.functions._registry import method


@method("meet_einops")
@cache
def meet_einops() -> None:
    """Make Variables known to einops, which has been imported."""
    backends: Any = import_module("einops._backends")

    class XpnetBackend(backends.AbstractBackend):  # type: ignore[misc]
        framework_name = "xpnet"

        def is_appropriate_type(self, tensor: Any) -> bool:
            return isinstance(tensor, Variable)

        def shape(self, x: Array) -> Array:
            return tuple(x.shape)

        def reshape(self, x: Array, shape: Any) -> Array:
            return F.reshape(x, tuple(shape))

        def transpose(self, x: Array, axes: Any) -> Array:
            return F.permute_dims(x, tuple(axes))

        def reduce(self, x: Array, operation: str, axes: Any) -> Array:
            return getattr(F, operation)(x, axis=tuple(axes))

        def stack_on_zeroth_dimension(self, tensors: Any) -> Any:
            return F.stack(tensors)

        def add_axis(self, x: Array, new_position: int) -> Array:
            return F.expand_dims(x, axis=new_position)

        def tile(self, x: Array, repeats: Any) -> Array:
            return F.tile(x, tuple(repeats))

        def concat(self, tensors: Any, axis: int) -> Any:
            return F.concat(tensors, axis=axis)

        def is_float_type(self, x: Array) -> bool:
            return has_dtype(x, *FLOATING)

        def einsum(self, pattern: str, *x: Any) -> Any:
            return F.einsum(pattern, *x)

    kept.append(XpnetBackend)


kept: list[type] = []
"""The backend: einops finds it only as long as somebody holds it."""

if "einops" in modules:
    meet_einops()
