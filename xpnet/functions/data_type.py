"""Changing dtypes and devices, and questions about dtypes."""

from types import SimpleNamespace
from typing import Any

import array_api_compat as compat

from xpnet._libraries import library_of
from xpnet._typing import Array, Device, DType, Namespace
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import FLOATING, Variable, as_constant, data_of
from xpnet.backend import current
from xpnet.functions._registry import method, standard, structural


class AsType(Function):
    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype

    def forward(self, x: Array) -> Array:
        return array_namespace(x).astype(x, self.dtype)

    def backward(self, gy: Array) -> Array:
        return gy  # the tape casts it to the dtype of x


class ToDevice(Function):
    def __init__(self, device: Device, stream: Any) -> None:
        self.device = device
        self.stream = stream

    def forward(self, x: Array) -> Array:
        self.x_device = compat.device(x)
        return library_of(x).to_device(x, self.device, self.stream)

    def backward(self, gy: Array) -> Array:
        return ToDevice(self.x_device, None)(gy)


@method("to_device")
def to_device(x: Array, device: Device, /, *, stream: Any = None) -> Array:
    """x on another device of its library; the gradient is sent back to the device of x."""
    if isinstance(x, Variable) and stream is None and device == x.device:
        return x
    return ToDevice(device, stream)(x)


@standard
def astype(x: Array, dtype: DType, /, *, copy: bool = True, device: Device | None = None) -> Array:
    """x in another dtype, and on another device if one is given.

    A result that is not of floating-point numbers has no history. With `copy=False` the result may
    share memory with x.

    Parameters
    ----------
    x : array or Variable, any shape
    dtype : of the library
    copy : bool, default True
        Copy also where x has the dtype already.
    device : of the library, optional

    Returns
    -------
    array or Variable, shape of x

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.astype(F.asarray([1, 2]), F.float32)
    Variable(array([1., 2.], dtype=float32))
    """
    if device is not None and device != compat.device(data_of(x)):
        x = to_device(x, device)
    if array_namespace(x).isdtype(dtype, FLOATING):
        if x.dtype == dtype and not copy:
            return x
        return AsType(dtype)(x)
    y = array_namespace(data_of(x)).astype(data_of(x), dtype, copy=copy)
    return as_constant(y) if isinstance(x, Variable) else y


def _library_of(*xs: Array | DType) -> Namespace:
    """The library of the arrays among `xs`; without an array, the current backend's."""
    arrays = [data_of(x) for x in xs if _is_array(x)]
    return array_namespace(*arrays) if arrays else current().xp


def _is_array(x: Array | DType) -> bool:
    """Whether x is an array, not a dtype: NumPy's dtypes are classes with an array's attributes."""
    return isinstance(x, Variable) or (compat.is_array_api_obj(x) and not isinstance(x, type))


def _dtype_of(x: Array | DType) -> DType:
    """The dtype of an array; a dtype itself."""
    return x.dtype if _is_array(x) else x


@structural
def can_cast(from_: Array | DType, to: DType, /) -> bool:
    """Whether a dtype, or the dtype of an array, promotes to another dtype.

    Parameters
    ----------
    from_ : dtype, array or Variable
    to : dtype

    Returns
    -------
    bool

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.can_cast(F.float32, F.float64)
    True
    """
    answer: bool = _library_of(from_).can_cast(_dtype_of(from_), to)
    return answer


@structural
def finfo(type: Array | DType, /) -> SimpleNamespace:
    """The limits of a floating-point dtype, or of the dtype of an array.

    Parameters
    ----------
    type : dtype, array or Variable
        Of real or complex floating-point numbers.

    Returns
    -------
    object with the attributes bits, dtype, eps, max, min and smallest_normal
        The limits are Python numbers, as the standard prescribes. Some libraries return NumPy
        scalars, which do not mix with other libraries' arrays.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> float(F.finfo(F.float32).eps) == 2.0**-23
    True
    """
    limits = _library_of(type).finfo(_dtype_of(type))
    numbers = {n: float(getattr(limits, n)) for n in ("eps", "max", "min", "smallest_normal")}
    return SimpleNamespace(bits=limits.bits, dtype=limits.dtype, **numbers)


@structural
def iinfo(type: Array | DType, /) -> Any:
    """The limits of an integer dtype, or of the dtype of an array: bits, max, min.

    Parameters
    ----------
    type : dtype, array or Variable
        Of integers.

    Returns
    -------
    object with the attributes bits, max and min

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.iinfo(F.int8).max
    127
    """
    return _library_of(type).iinfo(_dtype_of(type))


@structural
def isdtype(dtype: DType, kind: DType | str | tuple[DType | str, ...]) -> bool:
    """Whether a dtype is another dtype, or of a kind such as "real floating", or one of several.

    Parameters
    ----------
    dtype : of the library
    kind : dtype, str, or tuple of these
        "bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating" or "numeric".

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        There is no such kind.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.isdtype(F.float32, "real floating")
    True
    """
    answer: bool = current().xp.isdtype(dtype, kind)
    return answer


@structural
def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype that arrays, dtypes and Python scalars promote to.

    Parameters
    ----------
    *arrays_and_dtypes : arrays, Variables, dtypes and numbers

    Returns
    -------
    dtype of the library

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.result_type(F.float32, F.float64)
    dtype('float64')
    """
    return _library_of(*arrays_and_dtypes).result_type(*map(data_of, arrays_and_dtypes))
