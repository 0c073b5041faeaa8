"""PyTorch, on the CPU, on NVIDIA and AMD GPUs, and on Apple's."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import array_api_compat as compat
import numpy as np

from xpnet._libraries._base import Library, Rule, gibibytes
from xpnet._typing import Array, Device, Namespace


class Torch(Library):
    """PyTorch, on a CPU or a GPU."""

    name = "torch"
    package = "torch"
    gpu_package = "torch"
    needs_writable_memory = True  # PyTorch has no read-only arrays, and warns if given such memory
    slices_backwards = False

    def open(self, device: str, dtype: str) -> tuple[Namespace, Device, str]:
        handle = import_module("torch").device(device or "cpu")
        return import_module("array_api_compat.torch"), handle, f"torch:{handle}"

    def device_count(self) -> int:
        return int(import_module("torch").cuda.device_count())

    def details(self, device: Device) -> list[str]:
        if device.type != "cuda":  # a CPU, or Apple's GPU, whose name PyTorch does not know
            return []
        torch = import_module("torch")
        properties = torch.cuda.get_device_properties(device)
        if torch.version.cuda:
            platform = f"CUDA {torch.version.cuda}"
        else:
            platform = f"HIP {torch.version.hip}"
        return [properties.name, gibibytes(properties.total_memory), platform]

    def owns(self, x: object) -> bool:
        return bool(compat.is_torch_array(x))

    def has_values(self, x: Array) -> bool:
        """False within `torch.func.grad`, `vmap` and the like: there no array has memory to read."""
        functorch = import_module("torch")._C._functorch  # noqa: SLF001 - it has no public name
        return functorch.peek_interpreter_stack() is None

    def to_host(self, x: Array) -> np.ndarray:
        host: np.ndarray = x.numpy(force=True)
        return host

    def without_gradient(self, x: Array) -> Array:
        return x.detach() if x.requires_grad else x

    def with_rule(self, f: Callable[..., Any], rule: Rule, arrays: Sequence[Array]) -> Any:
        if not any(x.requires_grad for x in arrays):
            return None
        return _with_rule(f, rule).apply(*arrays)

    def is_host_memory(self, x: Array) -> bool:
        return bool(x.device.type == "cpu")

    def is_cuda_memory(self, x: Array) -> bool:
        return bool(x.device.type == "cuda" and x.is_contiguous())

    def synchronize(self, x: Array) -> None:
        if x.device.type == "cuda":
            import_module("torch").cuda.current_stream(x.device).synchronize()

    def assigns_by_arrays(self, may_repeat: bool, one_value: bool) -> bool:
        return one_value or not may_repeat

    def _put_in_order(self, last: Array, places: Array, order: Array) -> Array:
        return last.scatter_reduce(0, places, order, "amax")

    def scatter_add(self, x: Array, indices: Array, values: Array) -> Array:
        from_front = indices % max(x.shape[0], 1)  # index_add takes no negative indices
        return x.index_add(0, from_front, values)


def _with_rule(f: Callable[..., Any], rule: Rule) -> Any:
    """f as a function that PyTorch differentiates by a rule: see `Library.with_rule`."""
    base: Any = import_module("torch").autograd.Function

    class WithRule(base):  # type: ignore[misc]
        generate_vmap_rule = True

        @staticmethod
        def forward(*xs: Array) -> Any:
            return f(*xs)

        @staticmethod
        def setup_context(ctx: Any, xs: tuple[Array, ...], y: Any) -> None:
            ctx.is_tuple = isinstance(y, tuple)
            ys = y if ctx.is_tuple else (y,)
            ctx.save_for_backward(*ys, *xs)
            ctx.count = len(ys)

        @staticmethod
        def backward(ctx: Any, *gys: Array) -> Any:
            saved = ctx.saved_tensors
            ys = saved[: ctx.count]
            xs = saved[ctx.count :]
            if ctx.is_tuple:
                return tuple(rule(gys, ys, xs))
            return tuple(rule(gys[0], ys[0], xs))

    return WithRule


library = Torch()
