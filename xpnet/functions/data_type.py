"""Changing dtypes and devices, and questions about dtypes."""

from types import SimpleNamespace
from typing import Any

import array_api_compat as compat

from xpnet._libraries import library_of
from xpnet._typing import Array, Device, DType
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import FLOATING, Variable, as_constant, data_of
from xpnet.backend import current
from xpnet.functions._registry import method, standard, structural


class AsType(Function):
    def __init__(self, dtype: DType) -> None:
        self.to = dtype

    def forward(self, x: Array) -> Array:
        return array_namespace(x).astype(x, self.to)

    def backward(self, gy: Array) -> Array:
        return gy  # the tape undoes promotion


class ToDevice(Function):
    def __init__(self, device: Device, stream: Any) -> None:
        self.to, self.stream = device, stream

    def forward(self, x: Array) -> Array:
        self.was = compat.device(x)
        return library_of(x).to_device(x, self.to, self.stream)

    def backward(self, gy: Array) -> Array:
        return ToDevice(self.was, None)(gy)


@method("to_device")
def to_device(x: Array, device: Device, /, *, stream: Any = None) -> Array:
    """x on another device of its library; its gradient comes back from there."""
    if isinstance(x, Variable) and stream is None and device == x.device:
        return x
    return ToDevice(device, stream)(x)


@standard
def astype(x: Array, dtype: DType, /, *, copy: bool = True, device: Device | None = None) -> Array:
    """x in another dtype, and on another device if one is given.

    One without fractions has no derivative, and remembers nothing. The result may share memory
    with x if `copy` is False.
    """
    if device is not None and device != compat.device(data_of(x)):
        x = to_device(x, device)
    if array_namespace(x).isdtype(dtype, FLOATING):
        return x if x.dtype == dtype and not copy else AsType(dtype)(x)
    y = array_namespace(data_of(x)).astype(data_of(x), dtype, copy=copy)
    return as_constant(y) if isinstance(x, Variable) else y


def _library(*xs: Array) -> Array:
    """The library of the arrays among `xs`, or of the current backend."""
    arrays = [data_of(x) for x in xs if _is_array(x)]
    return array_namespace(*arrays) if arrays else current().xp


def _is_array(x: Array) -> bool:
    """An array, or a dtype? NumPy's dtypes are classes, whose attributes look like an array's."""
    return isinstance(x, Variable) or (compat.is_array_api_obj(x) and not isinstance(x, type))


@structural
def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether a dtype, or that of an array, becomes another one by promotion."""
    can: bool = _library(from_).can_cast(from_.dtype if _is_array(from_) else from_, to)
    return can


@structural
def finfo(type: Any, /) -> Any:
    """The limits of a floating-point dtype, or an array's: bits, eps, max, min, smallest_normal.

    They are Python's numbers, as the standard says: NumPy's, which some libraries give, are arrays
    of NumPy, and mix with no other library's.
    """
    limits = _library(type).finfo(type.dtype if _is_array(type) else type)
    numbers = {n: float(getattr(limits, n)) for n in ("eps", "max", "min", "smallest_normal")}
    return SimpleNamespace(bits=limits.bits, dtype=limits.dtype, **numbers)


@structural
def iinfo(type: Any, /) -> Any:
    """The limits of an integer dtype, or an array's: bits, max, min."""
    return _library(type).iinfo(type.dtype if _is_array(type) else type)


@structural
def isdtype(dtype: DType, kind: Any) -> bool:
    """Whether a dtype is another one, or of a kind, such as "real floating"; or one of several."""
    answer: bool = current().xp.isdtype(dtype, kind)
    return answer


@structural
def result_type(*arrays_and_dtypes: Any) -> Any:
    """The dtype that arrays, dtypes and Python scalars promote to."""
    return _library(*arrays_and_dtypes).result_type(*map(data_of, arrays_and_dtypes))
