"""NumPy's questions about arrays: shapes, dtypes, whether numbers are close; arrays like others."""

import math
from collections.abc import Callable
from typing import Any

from xpnet._interoperability.numpy.table import (
    REFUSED,
    as_tuple,
    cast,
    constantly,
    dtype_of,
    front,
    is_floating,
    lifted,
    namespace_of,
    not_available,
    numpys,
)
from xpnet._typing import Array, Device, DType, Namespace
from xpnet.autodiff.namespace import array_namespace, functions, has_dtype

# --- shapes and dtypes ----------------------------------------------------------------------------


@numpys("shape")
def shape(a: Array) -> tuple[int, ...]:
    """np.shape: the lengths of the axes."""
    return tuple(a.shape)


@numpys("ndim")
def ndim(a: Array) -> int:
    """np.ndim: the number of axes."""
    return int(a.ndim)


@numpys("size")
def size(a: Array, axis: Any = None) -> int:
    """np.size: how many numbers there are, also along some axes alone."""
    lengths = tuple(a.shape)
    if axis is not None:
        lengths = tuple(lengths[front(i, a.ndim, "size")] for i in as_tuple(axis))
    return math.prod(lengths)


@numpys("iscomplexobj")
def iscomplexobj(x: Array) -> bool:
    """np.iscomplexobj: whether the dtype is complex."""
    return has_dtype(x, "complex floating")


@numpys("isrealobj")
def isrealobj(x: Array) -> bool:
    """np.isrealobj: whether the dtype is not complex."""
    return not has_dtype(x, "complex floating")


@numpys("result_type", refuses=())
def result_type(*arrays_and_dtypes: Any) -> Any:
    """np.result_type: the dtype that arrays, dtypes and numbers promote to."""
    xp = namespace_of(*arrays_and_dtypes)
    return functions["result_type"](*(_as_dtype(xp, x) for x in arrays_and_dtypes))


def _as_dtype(xp: Namespace, x: Array) -> Array:
    """A dtype of NumPy as the library's; arrays and numbers as they are."""
    is_dtype = isinstance(x, (type, str)) or (hasattr(x, "itemsize") and not hasattr(x, "shape"))
    return dtype_of(xp, x) if is_dtype or type(x).__module__.startswith("numpy.dtype") else x


@numpys("can_cast", refuses=("casting",))
def can_cast(from_: Any, to: Any, casting: str = "safe") -> bool:
    """np.can_cast: whether a dtype becomes another one by promotion."""
    xp = namespace_of(from_)
    can: bool = functions["can_cast"](from_, dtype_of(xp, to))
    return can


# --- arrays like others ---------------------------------------------------------------------------


def _like(name: str) -> Callable[..., Any]:
    """np.zeros_like and its kind."""

    def like(
        a: Array,
        dtype: DType | None = None,
        order: str = "K",
        subok: bool = True,
        shape: Any = None,
        *,
        device: Device | None = None,
    ) -> Array:
        """An array without history, where `a` is."""
        xp = array_namespace(a)
        dtype = dtype_of(xp, dtype)
        if device not in (None, "cpu"):
            raise not_available(f"{name}_like", "device")
        if shape is None:
            return getattr(xp, f"{name}_like")(a, dtype=dtype)
        return getattr(xp, name)(as_tuple(shape), dtype=dtype or a.dtype, device=a.device)

    return numpys(f"{name}_like")(like)


zeros_like = _like("zeros")
ones_like = _like("ones")
empty_like = _like("empty")


@numpys("full_like", refuses=(*REFUSED, "device"))
def full_like(
    a: Array,
    fill_value: Any,
    dtype: DType | None = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Device | None = None,
) -> Array:
    """np.full_like: one number everywhere, which may be a Variable, or numbers that broadcast."""
    xp = namespace_of(a, fill_value)
    dtype = a.dtype if dtype is None else dtype_of(xp, dtype)
    (value, _) = lifted(fill_value, a)
    return xp.broadcast_to(
        cast(value, dtype), tuple(a.shape) if shape is None else as_tuple(shape)
    ) + xp.zeros_like(cast(value, dtype))


# --- are numbers close, or of a kind? -------------------------------------------------------------


@numpys("isclose")
@constantly
def isclose(
    a: Array, b: Array, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False
) -> Array:
    """np.isclose: |a - b| <= atol + rtol |b|; equal infinities are close."""
    a, b = lifted(a, b)
    xp = array_namespace(a, b)
    if not (is_floating(a) and is_floating(b)):
        floating = xp.result_type(a, b) if is_floating(a) or is_floating(b) else xp.float64
        a, b = xp.astype(a, floating), xp.astype(b, floating)
    finite = xp.logical_and(xp.isfinite(a), xp.isfinite(b))
    x = xp.where(finite, a, xp.zeros_like(a))
    y = xp.where(finite, b, xp.zeros_like(b))
    near = xp.logical_and(finite, xp.abs(x - y) <= atol + rtol * xp.abs(y))
    close = xp.logical_or(near, a == b)
    if not equal_nan:
        return close
    return xp.logical_or(close, xp.logical_and(xp.isnan(a), xp.isnan(b)))


@numpys("allclose")
@constantly
def allclose(
    a: Array, b: Array, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False
) -> bool:
    """np.allclose: whether all numbers are close."""
    close = isclose(a, b, rtol, atol, equal_nan)
    return bool(array_namespace(close).all(close))


@numpys("array_equal")
@constantly
def array_equal(a1: Array, a2: Array, equal_nan: bool = False) -> bool:
    """np.array_equal: whether shapes and numbers are equal."""
    a1, a2 = lifted(a1, a2)
    if tuple(a1.shape) != tuple(a2.shape):
        return False
    xp = array_namespace(a1, a2)
    same = a1 == a2
    if equal_nan and is_floating(a1) and is_floating(a2):
        same = xp.logical_or(same, xp.logical_and(xp.isnan(a1), xp.isnan(a2)))
    return bool(xp.all(same))


@numpys("array_equiv")
@constantly
def array_equiv(a1: Array, a2: Array) -> bool:
    """np.array_equiv: whether numbers are equal where the shapes broadcast."""
    a1, a2 = lifted(a1, a2)
    xp = array_namespace(a1, a2)
    sides = zip(reversed(a1.shape), reversed(a2.shape), strict=False)
    if not all(n == m or 1 in (n, m) for n, m in sides):
        return False
    return bool(xp.all(a1 == a2))


@numpys("isposinf")
@constantly
def isposinf(x: Array, out: Array | None = None) -> Array:
    """np.isposinf: whether a number is positive infinity."""
    return x == math.inf


@numpys("isneginf")
@constantly
def isneginf(x: Array, out: Array | None = None) -> Array:
    """np.isneginf: whether a number is negative infinity."""
    return x == -math.inf


@numpys("isreal")
@constantly
def isreal(x: Array) -> Array:
    """np.isreal: whether the imaginary part is 0."""
    xp = array_namespace(x)
    return xp.imag(x) == 0 if has_dtype(x, "complex floating") else xp.ones_like(x == x)  # noqa: PLR0124


@numpys("iscomplex")
@constantly
def iscomplex(x: Array) -> Array:
    """np.iscomplex: whether the imaginary part is not 0."""
    xp = array_namespace(x)
    if has_dtype(x, "complex floating"):
        return xp.imag(x) != 0
    return xp.zeros_like(x == x)  # noqa: PLR0124 - booleans of that shape
