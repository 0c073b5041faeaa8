"""JAX, whose arrays never change, and whose functions may be traced before any number is known."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import array_api_compat as compat

from xpnet._libraries._base import Library, Rule, device_number
from xpnet._typing import Array, Device, Namespace
from xpnet.errors import ArgumentError


class JAX(Library):
    """JAX, on any of its devices."""

    name = "jax"
    package = "jax"
    gpu_package = '"jax[cuda13]"'
    mutable = False

    def open(self, device: str, dtype: str) -> tuple[Namespace, Device, str]:
        jax = import_module("jax")
        if dtype == "float64":
            # JAX narrows all numbers to 32 bits until this is set, and it is set for the process.
            jax.config.update("jax_enable_x64", True)
        platform, _, index = device.partition(":")
        devices = jax.devices(platform or None)
        number = device_number(index)
        if not 0 <= number < len(devices):
            raise ArgumentError(
                f"there is no device {number}; JAX has {len(devices)}, numbered from 0."
            )
        handle = devices[number]
        return import_module("jax.numpy"), handle, f"jax:{handle.platform}:{handle.id}"

    def details(self, device: Device) -> list[str]:
        if device.platform == "cpu":
            return []
        return [device.device_kind]

    def owns(self, x: object) -> bool:
        return bool(compat.is_jax_array(x))

    def has_values(self, x: Array) -> bool:
        return not isinstance(x, import_module("jax").core.Tracer)

    def is_abstract(self, x: Array) -> bool:
        # In `jax.grad` alone, which runs the function each time, the numbers are known.
        return not self.has_values(x) and x.to_concrete_value() is None

    def without_gradient(self, x: Array) -> Array:
        return x if self.has_values(x) else import_module("jax").lax.stop_gradient(x)

    def with_rule(self, f: Callable[..., Any], rule: Rule, arrays: Sequence[Array]) -> Any:
        if all(map(self.has_values, arrays)):
            return None

        def forward(*xs: Array) -> tuple[Any, Any]:
            y = f(*xs)
            return y, (y, xs)

        with_own_rule = import_module("jax").custom_vjp(f)
        with_own_rule.defvjp(forward, lambda saved, gy: tuple(rule(gy, *saved)))
        return with_own_rule(*arrays)

    def set_item(self, x: Array, key: Any, value: Array | complex) -> Array:
        return x.at[key].set(value)

    def with_item(self, x: Array, key: Any, value: Array | complex) -> Array:
        return x.at[key].set(value)

    def assigns_by_arrays(self, may_repeat: bool, one_value: bool) -> bool:
        return not may_repeat

    def _put_in_order(self, last: Array, places: Array, order: Array) -> Array:
        return last.at[places].max(order)

    def scatter_add(self, x: Array, indices: Array, values: Array) -> Array:
        return x.at[indices].add(values)


library = JAX()
