"""einops on Variables: `einops.rearrange(v, "b c h w -> b (c h w)")`, and all its other functions.

einops looks for the backend of an array among the subclasses of its `AbstractBackend`. Ours is defined
when a Variable is created after einops was imported, so xpnet itself never imports einops.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from sys import modules
from typing import Any

from xpnet import functions as F
from xpnet._typing import Array
from xpnet.autodiff.namespace import has_dtype
from xpnet.autodiff.variable import FLOATING, Variable
from xpnet.functions._registry import method

backend_classes: list[type] = []
"""Holds the backend: einops finds a subclass only as long as something refers to it."""


@method("meet_einops")
@cache
def meet_einops() -> None:
    """Register Variables with einops, which is imported already."""
    backends: Any = import_module("einops._backends")

    class XpnetBackend(backends.AbstractBackend):  # type: ignore[misc]
        framework_name = "xpnet"

        def is_appropriate_type(self, tensor: Any) -> bool:
            return isinstance(tensor, Variable)

        def shape(self, x: Array) -> tuple[int, ...]:
            return tuple(x.shape)

        def reshape(self, x: Array, shape: Sequence[int]) -> Array:
            return F.reshape(x, tuple(shape))

        def transpose(self, x: Array, axes: Sequence[int]) -> Array:
            return F.permute_dims(x, tuple(axes))

        def reduce(self, x: Array, operation: str, axes: Sequence[int]) -> Array:
            return getattr(F, operation)(x, axis=tuple(axes))

        def stack_on_zeroth_dimension(self, tensors: Sequence[Array]) -> Array:
            return F.stack(tensors)

        def add_axis(self, x: Array, new_position: int) -> Array:
            return F.expand_dims(x, axis=new_position)

        def tile(self, x: Array, repeats: Sequence[int]) -> Array:
            return F.tile(x, tuple(repeats))

        def concat(self, tensors: Sequence[Array], axis: int) -> Array:
            return F.concat(tensors, axis=axis)

        def is_float_type(self, x: Array) -> bool:
            return has_dtype(x, *FLOATING)

        def einsum(self, pattern: str, *x: Array) -> Array:
            return F.einsum(pattern, *x)

    backend_classes.append(XpnetBackend)


if "einops" in modules:
    meet_einops()
