"""New arrays, where the switch says: Variables without history, for code that computes with them.

    F.zeros((2, 3))                           on the current backend, in its dtype
    array_namespace(v).zeros((2, 3))          on the library and device of v, in the library's dtype

A function that makes an array like another one follows that one.
"""

from collections.abc import Callable
from typing import Any

import array_api_compat as compat

from xpnet._libraries import library_of
from xpnet._typing import Array, Device, DType
from xpnet.autodiff._export import export_error
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import FLOATING, Variable, as_constant, data_of
from xpnet.backend import current
from xpnet.errors import ArgumentError, ArgumentTypeError
from xpnet.functions._registry import structural
from xpnet.functions.data_type import astype
from xpnet.functions.manipulation import BroadcastTo, stack

Shape = int | tuple[int, ...]
SCALARS = (bool, int, float, complex)


def born(make: Callable[..., Any], dtype: DType, device: Device) -> Any:
    """What make(dtype, device) gives on the current backend, as a constant Variable.

    Without a dtype the library chooses the kind, from what it is given; of floating-point numbers
    the width is the switch's.
    """
    home = current()
    device = home.device if device is None else device
    with home._replace(device=device).selected():  # CuPy ignores `device=`
        y = make(dtype=dtype, device=device)
        if dtype is None and home.dtype is not None and has_dtype(y, *FLOATING):
            wanted = home.dtype
            if has_dtype(y, "complex floating"):
                wanted = home.xp.result_type(home.dtype, home.xp.complex64)
            if y.dtype != wanted:
                y = make(dtype=wanted, device=device)
    return as_constant(y)


@structural
def asarray(
    obj: Any,
    /,
    *,
    dtype: DType | None = None,
    device: Device | None = None,
    copy: bool | None = None,
) -> Any:
    """`obj` as a Variable.

    Parameters
    ----------
    obj : Variable, array, scalar, or nested sequence of Variables or of scalars
        A Variable keeps its history; an array its dtype, and in its own library its device.
    dtype, device : of the library, optional
    copy : bool, optional
        Ask for new memory (True), or for an error where that is needed (False).
    """
    if isinstance(obj, Variable):
        return _converted(obj, dtype, device, copy)
    if _holds(obj, lambda x: isinstance(x, Variable)):
        if copy is False:
            raise ArgumentError("asarray of several Variables is a copy.")
        return _converted(stack([asarray(x) for x in obj]), dtype, device, None)
    home = current()
    if compat.is_array_api_obj(obj) or _holds(obj, compat.is_array_api_obj):
        at_home = compat.is_array_api_obj(obj) and array_namespace(obj) is home.xp
        if device is None:
            device = compat.device(obj) if at_home else home.device
        with home._replace(device=device).selected():
            return as_constant(home.xp.asarray(obj, dtype=dtype, device=device, copy=copy))
    return born(lambda **where: home.xp.asarray(obj, copy=copy, **where), dtype, device)


def _holds(obj: Any, one: Callable[[Any], bool]) -> bool:
    """Whether a nested sequence holds one of a kind, which is no scalar's."""
    return isinstance(obj, (list, tuple)) and any(
        type(x) not in SCALARS and (one(x) or _holds(x, one)) for x in obj
    )


def _converted(x: Array, dtype: DType, device: Device, copy: bool | None) -> Array:
    """A Variable in another dtype, on another device, or in new memory."""
    dtype = x.dtype if dtype is None else dtype
    device = x.device if device is None else device
    if x.dtype == dtype and x.device == device and not copy:
        return x
    if copy is False:
        name = getattr(dtype, "__name__", dtype)  # NumPy's and JAX's are classes
        raise ArgumentError(f"asarray of {x.dtype} on {x.device} as {name} on {device} is a copy.")
    return astype(x, dtype, device=device)


@structural
def from_dlpack(x: Array, /, *, device: Device | None = None, copy: bool | None = None) -> Array:
    """The array of another library, by DLPack; it has no history here.

    Raises
    ------
    ExportError
        `x` is a Variable that requires a gradient, which would be lost.
    """
    home = current()
    if isinstance(x, Variable) and x.requires_grad:
        raise export_error(x)
    array = data_of(x)
    return as_constant(home.library.from_dlpack(home.xp, array, device, copy))


def _numbers(name: str, *given: Any) -> None:
    if any(isinstance(x, Variable) for x in given):
        raise ArgumentTypeError(
            f"{name} expected Python numbers, got a Variable; compute it from one of 0 to 1."
        )


@structural
def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: DType | None = None,
    device: Device | None = None,
) -> Any:
    """start, start + step, ... up to `stop`, which is not among them; arange(n) starts at 0."""
    _numbers("arange", start, stop, step)
    if stop is None:
        start, stop = 0, start
    xp = current().xp
    return born(lambda **where: xp.arange(start, stop, step, **where), dtype, device)


@structural
def linspace(
    start: complex,
    stop: complex,
    /,
    num: int,
    *,
    dtype: DType | None = None,
    device: Device | None = None,
    endpoint: bool = True,
) -> Any:
    """`num` numbers at equal distances from `start` to `stop`, which is left out on request."""
    _numbers("linspace", start, stop)
    xp = current().xp
    return born(
        lambda **where: xp.linspace(start, stop, num, endpoint=endpoint, **where), dtype, device
    )


@structural
def empty(shape: Shape, *, dtype: DType | None = None, device: Device | None = None) -> Any:
    """An array whose numbers are not set yet."""
    return born(lambda **where: current().xp.empty(shape, **where), dtype, device)


@structural
def zeros(shape: Shape, *, dtype: DType | None = None, device: Device | None = None) -> Any:
    """0 everywhere."""
    return born(lambda **where: current().xp.zeros(shape, **where), dtype, device)


@structural
def ones(shape: Shape, *, dtype: DType | None = None, device: Device | None = None) -> Any:
    """1 everywhere."""
    return born(lambda **where: current().xp.ones(shape, **where), dtype, device)


@structural
def full(
    shape: Shape, fill_value: complex, *, dtype: DType | None = None, device: Device | None = None
) -> Any:
    """`fill_value` everywhere; without a dtype it decides the kind. A Variable is repeated."""
    if isinstance(fill_value, Variable):
        shape = (shape,) if isinstance(shape, int) else shape
        return BroadcastTo(tuple(shape))(_converted(fill_value, dtype, device, None))
    return born(lambda **where: current().xp.full(shape, fill_value, **where), dtype, device)


@structural
def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: DType | None = None,
    device: Device | None = None,
) -> Any:
    """1 on the k-th diagonal, 0 elsewhere."""
    return born(lambda **where: current().xp.eye(n_rows, n_cols, k=k, **where), dtype, device)


def _like(
    name: str, x: Array, *args: Any, dtype: DType | None = None, device: Device | None = None
) -> Array:
    array = data_of(x)
    xp = array_namespace(array)
    there = compat.device(array) if device is None else device
    given = {"dtype": dtype, "device": device}
    options = {key: value for key, value in given.items() if value is not None}
    with library_of(array).selected(there):
        y = getattr(xp, name)(array, *args, **options)
    return as_constant(y) if isinstance(x, Variable) else y


@structural
def empty_like(x: Array, /, *, dtype: DType | None = None, device: Device | None = None) -> Array:
    """An array like x whose numbers are not set yet."""
    return _like("empty_like", x, dtype=dtype, device=device)


@structural
def zeros_like(x: Array, /, *, dtype: DType | None = None, device: Device | None = None) -> Array:
    """Zeros of the shape and dtype of x, where x is."""
    return _like("zeros_like", x, dtype=dtype, device=device)


@structural
def ones_like(x: Array, /, *, dtype: DType | None = None, device: Device | None = None) -> Array:
    """Ones of the shape and dtype of x, where x is."""
    return _like("ones_like", x, dtype=dtype, device=device)


@structural
def full_like(
    x: Array, /, fill_value: complex, *, dtype: DType | None = None, device: Device | None = None
) -> Array:
    """One number everywhere, in the shape and dtype of x, where x is. A Variable is repeated."""
    if isinstance(fill_value, Variable):
        return full(x.shape, fill_value, dtype=dtype or x.dtype, device=device)
    return _like("full_like", x, fill_value, dtype=dtype, device=device)
