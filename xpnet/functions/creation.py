"""New arrays on the current backend: Variables without history.

    F.zeros((2, 3))                           on the current backend, in its dtype
    array_namespace(v).zeros((2, 3))          on the library and device of v, in the library's dtype

The `*_like` functions create an array on the library and device of their argument.
"""

from collections.abc import Callable
from typing import Any

import array_api_compat as compat

from xpnet._libraries import library_of
from xpnet._libraries.numpy import require_unmasked
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


def created(make: Callable[..., Array], dtype: DType | None, device: Device | None) -> Array:
    """The array make(dtype=..., device=...) on the current backend, as a constant Variable.

    By default the device is the backend's. Without a dtype the library chooses the kind of numbers,
    and the backend the width of floating-point numbers.
    """
    backend = current()
    if device is None:
        device = backend.device
    with backend._replace(device=device).selected():  # CuPy ignores `device=`
        y = make(dtype=dtype, device=device)
        if dtype is None and backend.dtype is not None and has_dtype(y, *FLOATING):
            expected = backend.dtype
            if has_dtype(y, "complex floating"):
                expected = backend.xp.result_type(backend.dtype, backend.xp.complex64)
            if y.dtype != expected:  # again, because a cast would keep what was rounded
                y = make(dtype=expected, device=device)
    return as_constant(y)


@structural
def asarray(
    obj: Any,
    /,
    *,
    dtype: DType | None = None,
    device: Device | None = None,
    copy: bool | None = None,
) -> Array:
    """`obj` as a Variable.

    Parameters
    ----------
    obj : Variable, array, scalar, or nested sequence of Variables or of scalars
        A Variable keeps its history. An array keeps its dtype and, if it is of the current
        backend's library, its device.
    dtype, device : of the library, optional
    copy : bool, optional
        True always copies; False raises an error where a copy is needed. By default, copy only
        where it is needed.

    Returns
    -------
    Variable

    Raises
    ------
    ArgumentError
        A copy is needed, and `copy` is False; or `obj` is a masked array, and some of its numbers are masked.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.asarray([1.0, 2.0])
    Variable(array([1., 2.], dtype=float32))
    """
    if isinstance(obj, Variable):
        return _converted(obj, dtype, device, copy)
    if _contains(obj, _is_variable):
        if copy is False:
            raise ArgumentError(
                "asarray expected one array for copy=False, got several Variables. Leave copy out."
            )
        return _converted(stack([asarray(x) for x in obj]), dtype, device, None)
    require_unmasked(obj)
    backend = current()
    if compat.is_array_api_obj(obj) or _contains(obj, compat.is_array_api_obj):
        if device is None:
            of_backend = compat.is_array_api_obj(obj) and array_namespace(obj) is backend.xp
            device = compat.device(obj) if of_backend else backend.device
        with backend._replace(device=device).selected():
            return as_constant(backend.xp.asarray(obj, dtype=dtype, device=device, copy=copy))
    return created(lambda **options: backend.xp.asarray(obj, copy=copy, **options), dtype, device)


def _is_variable(x: Any) -> bool:
    return isinstance(x, Variable)


def _contains(obj: Any, is_kind: Callable[[Any], bool]) -> bool:
    """Whether a nested sequence contains an object of a kind; scalars are passed over quickly."""
    return isinstance(obj, (list, tuple)) and any(
        type(x) not in SCALARS and (is_kind(x) or _contains(x, is_kind)) for x in obj
    )


def _converted(x: Variable, dtype: DType | None, device: Device | None, copy: bool | None) -> Array:
    """A Variable in another dtype, on another device, or in new memory."""
    if dtype is None:
        dtype = x.dtype
    if device is None:
        device = x.device
    if x.dtype == dtype and x.device == device and not copy:
        return x
    if copy is False:
        name = getattr(dtype, "__name__", dtype)  # NumPy's and JAX's are classes
        raise ArgumentError(
            f"asarray expected {name} on {device} for copy=False, got {x.dtype} on {x.device}. "
            "Leave copy out to have it copied."
        )
    return astype(x, dtype, device=device)


@structural
def from_dlpack(x: Array, /, *, device: Device | None = None, copy: bool | None = None) -> Array:
    """The array of another library, by DLPack, as a Variable without history.

    Parameters
    ----------
    x : array of any library that has DLPack
    device : of the library, optional
    copy : bool, optional
        True always copies; False raises an error where a copy is needed.

    Raises
    ------
    ExportError
        `x` is a Variable that requires a gradient, which would be lost.
    ArgumentError
        On CuPy, a copy to another device is needed, and `copy` is False.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> import numpy as np
    >>> F.from_dlpack(np.asarray([1.0, 2.0], dtype=np.float32))
    Variable(array([1., 2.], dtype=float32))
    """
    backend = current()
    if isinstance(x, Variable) and x.requires_grad:
        raise export_error(x)
    array = data_of(x)
    return as_constant(backend.library.from_dlpack(backend.xp, array, device, copy))


def _require_numbers(name: str, *given: Any) -> None:
    """Raise ArgumentTypeError for a Variable, whose gradient would be lost."""
    if any(isinstance(x, Variable) for x in given):
        raise ArgumentTypeError(
            f"{name} expected Python numbers, got a Variable, whose gradient would be lost. Create "
            "the array with Python numbers, then multiply it by the Variable or add the Variable."
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
) -> Array:
    """start, start + step, ... up to `stop`, which is not included; arange(n) starts at 0.

    Parameters
    ----------
    start : number
        Alone, it is `stop`, and the numbers start at 0.
    stop : number, optional
    step : number, default 1
        Not 0; negative to count down.
    dtype, device : of the library, optional

    Returns
    -------
    Variable, shape (n,)

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.arange(0, 6, 2)
    Variable(array([0, 2, 4]))
    """
    _require_numbers("arange", start, stop, step)
    if stop is None:
        stop = start
        start = 0
    xp = current().xp
    return created(lambda **options: xp.arange(start, stop, step, **options), dtype, device)


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
) -> Array:
    """`num` numbers at equal distances from `start` to `stop`, which `endpoint=False` leaves out.

    Parameters
    ----------
    start, stop : number
    num : int
    dtype, device : of the library, optional
    endpoint : bool, default True
        Whether `stop` is the last of them.

    Returns
    -------
    Variable, shape (num,)

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linspace(0.0, 1.0, 5)
    Variable(array([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32))
    """
    _require_numbers("linspace", start, stop)
    xp = current().xp
    return created(
        lambda **options: xp.linspace(start, stop, num, endpoint=endpoint, **options),
        dtype,
        device,
    )


@structural
def empty(shape: Shape, *, dtype: DType | None = None, device: Device | None = None) -> Array:
    """An array whose numbers are not set yet.

    Parameters
    ----------
    shape : int or tuple of int
    dtype, device : of the library, optional

    Returns
    -------
    Variable, of that shape

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.empty((2, 3)).shape
    (2, 3)
    """
    return created(lambda **options: current().xp.empty(shape, **options), dtype, device)


@structural
def zeros(shape: Shape, *, dtype: DType | None = None, device: Device | None = None) -> Array:
    """An array of zeros.

    Parameters
    ----------
    shape : int or tuple of int
    dtype, device : of the library, optional

    Returns
    -------
    Variable, of that shape

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.zeros((1, 2))
    Variable(array([[0., 0.]], dtype=float32))
    """
    return created(lambda **options: current().xp.zeros(shape, **options), dtype, device)


@structural
def ones(shape: Shape, *, dtype: DType | None = None, device: Device | None = None) -> Array:
    """An array of ones.

    Parameters
    ----------
    shape : int or tuple of int
    dtype, device : of the library, optional

    Returns
    -------
    Variable, of that shape

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.ones((1, 2))
    Variable(array([[1., 1.]], dtype=float32))
    """
    return created(lambda **options: current().xp.ones(shape, **options), dtype, device)


@structural
def full(
    shape: Shape, fill_value: complex, *, dtype: DType | None = None, device: Device | None = None
) -> Array:
    """`fill_value` everywhere; by default it decides the kind of the dtype.

    A Variable as `fill_value` is broadcast to the shape, and differentiated.

    Parameters
    ----------
    shape : int or tuple of int
    fill_value : number or Variable
    dtype, device : of the library, optional

    Returns
    -------
    Variable, of that shape

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.full((2,), 7.0)
    Variable(array([7., 7.], dtype=float32))
    """
    if isinstance(fill_value, Variable):
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        return BroadcastTo(shape)(_converted(fill_value, dtype, device, None))
    return created(lambda **options: current().xp.full(shape, fill_value, **options), dtype, device)


@structural
def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: DType | None = None,
    device: Device | None = None,
) -> Array:
    """1 on the k-th diagonal, 0 elsewhere: shape (n_rows, n_cols), by default (n_rows, n_rows).

    Parameters
    ----------
    n_rows : int
    n_cols : int, optional
    k : int, default 0
        Above 0, a diagonal above the main one.
    dtype, device : of the library, optional

    Returns
    -------
    Variable, shape (n_rows, n_cols)

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.eye(2)
    Variable(array([[1., 0.],
           [0., 1.]], dtype=float32))
    """
    return created(
        lambda **options: current().xp.eye(n_rows, n_cols, k=k, **options), dtype, device
    )


def _created_like(
    name: str, x: Array, *args: Any, dtype: DType | None = None, device: Device | None = None
) -> Array:
    """The result of the library's function of that name, a constant Variable if x is a Variable."""
    array = data_of(x)
    xp = array_namespace(array)
    given = {"dtype": dtype, "device": device}
    options = {key: value for key, value in given.items() if value is not None}
    with library_of(array).selected(compat.device(array) if device is None else device):
        y = getattr(xp, name)(array, *args, **options)
    return as_constant(y) if isinstance(x, Variable) else y


@structural
def empty_like(x: Array, /, *, dtype: DType | None = None, device: Device | None = None) -> Array:
    """An array like x whose numbers are not set yet.

    Parameters
    ----------
    x : array or Variable
    dtype, device : of the library, optional
        By default those of x.

    Returns
    -------
    array or Variable, shape of x

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.empty_like(F.ones((2, 3))).shape
    (2, 3)
    """
    return _created_like("empty_like", x, dtype=dtype, device=device)


@structural
def zeros_like(x: Array, /, *, dtype: DType | None = None, device: Device | None = None) -> Array:
    """Zeros of the shape and dtype of x, on its device.

    Parameters
    ----------
    x : array or Variable
    dtype, device : of the library, optional
        By default those of x.

    Returns
    -------
    array or Variable, shape of x

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.zeros_like(F.ones(2))
    Variable(array([0., 0.], dtype=float32))
    """
    return _created_like("zeros_like", x, dtype=dtype, device=device)


@structural
def ones_like(x: Array, /, *, dtype: DType | None = None, device: Device | None = None) -> Array:
    """Ones of the shape and dtype of x, on its device.

    Parameters
    ----------
    x : array or Variable
    dtype, device : of the library, optional
        By default those of x.

    Returns
    -------
    array or Variable, shape of x

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.ones_like(F.zeros(2))
    Variable(array([1., 1.], dtype=float32))
    """
    return _created_like("ones_like", x, dtype=dtype, device=device)


@structural
def full_like(
    x: Array, /, fill_value: complex, *, dtype: DType | None = None, device: Device | None = None
) -> Array:
    """`fill_value` everywhere, in the shape and dtype of x, on its device.

    A Variable as `fill_value` is broadcast to the shape, and differentiated.

    Parameters
    ----------
    x : array or Variable
    fill_value : number or Variable
    dtype, device : of the library, optional
        By default those of x.

    Returns
    -------
    array or Variable, shape of x

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.full_like(F.ones(2), 7.0)
    Variable(array([7., 7.], dtype=float32))
    """
    if isinstance(fill_value, Variable):
        if dtype is None:
            dtype = x.dtype
        if device is None:
            device = compat.device(data_of(x))
        return full(x.shape, fill_value, dtype=dtype, device=device)
    return _created_like("full_like", x, fill_value, dtype=dtype, device=device)
