"""Activations that are called as functions, `F.gelu(x)`, as operators.

xpnet asks an array's library for a kernel, faster code for one function, before it computes the function in
several steps. The arrays with which a network is recorded for export say that they have a kernel for each
activation that ONNX has operators for. So it is one operation of the record, of the kernel's name.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from xpnet import functions as F
from xpnet._typing import Array, Namespace
from xpnet.autodiff.namespace import array_types, has_dtype
from xpnet.compiler.recorded_array import RecordedArray
from xpnet.compiler.recording import Recorder
from xpnet.compiler.recording_namespace import recorded_kernel
from xpnet.kernels.lookup import Kernel

__all__ = ["KERNELS", "ActivationRecorder"]


def _is_floating(x: Array, *options: Any) -> bool:
    return has_dtype(x, "real floating")


FUNCTIONS: dict[str, Callable[..., Array]] = {
    "elu": F.elu,
    "gelu": F.gelu,
    "leaky_relu": F.leaky_relu,
    "relu": F.relu,
    "sigmoid": F.sigmoid,
    "silu": F.silu,
    "softplus": F.softplus,
    "tanh_gelu": partial(F.gelu, approximate="tanh"),
}
"""By the name of a kernel: what computes it on the library's own arrays, which have none."""

KERNELS = {name: Kernel(function, _is_floating) for name, function in FUNCTIONS.items()}


class ActivationRecorder(Recorder):
    """A recorder for which each activation is one operation."""

    def kind_of(self, xp: Namespace, kind: type) -> type[RecordedArray]:
        """The class of the recording arrays for one class of arrays."""
        found: Any = super().kind_of(xp, kind)
        return _with_kernels(found)


@cache
def _with_kernels(kind: type[RecordedArray]) -> type[RecordedArray]:
    """A subclass for which the kernels are looked up anew: their tables are by class."""

    def recorded_kernels(x: RecordedArray, table: Mapping[str, Kernel]) -> dict[str, Kernel]:
        return {name: recorded_kernel(name, found) for name, found in {**table, **KERNELS}.items()}

    members = {"__slots__": (), "__module__": __name__, "recorded_kernels": recorded_kernels}
    made = type(kind.__name__, (kind,), members)
    if kind in array_types:
        array_types.add(made)
    return made
