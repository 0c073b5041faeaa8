"""NumPy's queries of arrays: shapes, dtypes, whether elements are close; and arrays like others."""

import math
from collections.abc import Callable
from typing import Any

from xpnet._interoperability.numpy.registry import (
    REFUSED,
    Axis,
    Shape,
    as_arrays,
    as_tuple,
    cast,
    dtype_of,
    implements,
    is_floating,
    namespace_of,
    not_available,
    on_data,
    positive_axis,
)
from xpnet._typing import Array, Device, DType, Namespace
from xpnet.autodiff.namespace import array_namespace, functions, has_dtype

# --- shapes and dtypes ----------------------------------------------------------------------------


@implements("shape")
def shape(a: Array) -> tuple[int, ...]:
    """np.shape: the lengths of the axes."""
    return tuple(a.shape)


@implements("ndim")
def ndim(a: Array) -> int:
    """np.ndim: the number of axes."""
    return int(a.ndim)


@implements("size")
def size(a: Array, axis: Axis = None) -> int:
    """np.size: the number of elements, or the length of some axes."""
    lengths = tuple(a.shape)
    if axis is not None:
        lengths = tuple(lengths[positive_axis(i, a.ndim, "size")] for i in as_tuple(axis))
    return math.prod(lengths)


@implements("iscomplexobj")
def iscomplexobj(x: Array) -> bool:
    """np.iscomplexobj: whether the dtype is complex."""
    return has_dtype(x, "complex floating")


@implements("isrealobj")
def isrealobj(x: Array) -> bool:
    """np.isrealobj: whether the dtype is not complex."""
    return not has_dtype(x, "complex floating")


@implements("result_type", refuses=())
def result_type(*arrays_and_dtypes: Array | DType) -> DType:
    """np.result_type: the dtype that arrays, dtypes and numbers promote to."""
    xp = namespace_of(*arrays_and_dtypes)
    return functions["result_type"](*(_as_dtype(xp, x) for x in arrays_and_dtypes))


def _as_dtype(xp: Namespace, x: Array | DType) -> Array | DType:
    """A dtype as the library's own; arrays and numbers unchanged."""
    is_named = isinstance(x, (type, str))
    is_numpys = type(x).__module__.startswith("numpy.dtype")
    is_librarys = hasattr(x, "itemsize") and not hasattr(x, "shape")
    if is_named or is_numpys or is_librarys:
        return dtype_of(xp, x)
    return x


@implements("can_cast", refuses=("casting",))
def can_cast(from_: Array | DType, to: DType, casting: str = "safe") -> bool:
    """np.can_cast: whether a dtype can be promoted to another one."""
    xp = namespace_of(from_)
    can: bool = functions["can_cast"](from_, dtype_of(xp, to))
    return can


# --- arrays like others ---------------------------------------------------------------------------


def _like(name: str) -> Callable[..., Any]:
    """One of np.zeros_like, np.ones_like and np.empty_like."""

    def like(
        a: Array,
        dtype: DType | None = None,
        order: str = "K",
        subok: bool = True,
        shape: Shape = None,
        *,
        device: Device | None = None,
    ) -> Array:
        """An array without a gradient, of the same library and on the same device."""
        xp = array_namespace(a)
        dtype = dtype_of(xp, dtype)
        if device not in (None, "cpu"):
            raise not_available(f"{name}_like", "device")
        if shape is None:
            return getattr(xp, f"{name}_like")(a, dtype=dtype)
        return getattr(xp, name)(as_tuple(shape), dtype=dtype or a.dtype, device=a.device)

    return implements(f"{name}_like")(like)


zeros_like = _like("zeros")
ones_like = _like("ones")
empty_like = _like("empty")


@implements("full_like", refuses=(*REFUSED, "device"))
def full_like(
    a: Array,
    fill_value: Array,
    dtype: DType | None = None,
    order: str = "K",
    subok: bool = True,
    shape: Shape = None,
    *,
    device: Device | None = None,
) -> Array:
    """np.full_like: a number everywhere, which may be a Variable, or an array that broadcasts."""
    xp = namespace_of(a, fill_value)
    dtype = a.dtype if dtype is None else dtype_of(xp, dtype)
    shape = tuple(a.shape) if shape is None else as_tuple(shape)
    value, _ = as_arrays(fill_value, a)
    value = cast(value, dtype)
    # The sum is an array of its own: a broadcast one may be read-only.
    return xp.broadcast_to(value, shape) + xp.zeros_like(value)


# --- comparisons ----------------------------------------------------------------------------------


@implements("isclose")
@on_data
def isclose(
    a: Array, b: Array, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Array:
    """np.isclose: |a - b| <= atol + rtol |b|; equal infinities are close."""
    a, b = as_arrays(a, b)
    xp = array_namespace(a, b)
    if not (is_floating(a) and is_floating(b)):
        floating = xp.float64
        if is_floating(a) or is_floating(b):
            floating = xp.result_type(a, b)
        a = xp.astype(a, floating)
        b = xp.astype(b, floating)
    finite = xp.logical_and(xp.isfinite(a), xp.isfinite(b))
    x = xp.where(finite, a, xp.zeros_like(a))
    y = xp.where(finite, b, xp.zeros_like(b))
    near = xp.logical_and(finite, xp.abs(x - y) <= atol + rtol * xp.abs(y))
    close = xp.logical_or(near, a == b)
    if not equal_nan:
        return close
    return xp.logical_or(close, xp.logical_and(xp.isnan(a), xp.isnan(b)))


@implements("allclose")
@on_data
def allclose(
    a: Array, b: Array, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """np.allclose: whether all elements are close."""
    close = isclose(a, b, rtol, atol, equal_nan)
    return bool(array_namespace(close).all(close))


@implements("array_equal")
@on_data
def array_equal(a1: Array, a2: Array, equal_nan: bool = False) -> bool:
    """np.array_equal: whether shapes and elements are equal."""
    a1, a2 = as_arrays(a1, a2)
    if tuple(a1.shape) != tuple(a2.shape):
        return False
    xp = array_namespace(a1, a2)
    same = a1 == a2
    if equal_nan and is_floating(a1) and is_floating(a2):
        same = xp.logical_or(same, xp.logical_and(xp.isnan(a1), xp.isnan(a2)))
    return bool(xp.all(same))


@implements("array_equiv")
@on_data
def array_equiv(a1: Array, a2: Array) -> bool:
    """np.array_equiv: whether the shapes broadcast, and the elements are equal."""
    a1, a2 = as_arrays(a1, a2)
    xp = array_namespace(a1, a2)
    sides = zip(reversed(a1.shape), reversed(a2.shape), strict=False)
    if not all(n == m or 1 in (n, m) for n, m in sides):
        return False
    return bool(xp.all(a1 == a2))


@implements("isposinf")
@on_data
def isposinf(x: Array, out: Array | None = None) -> Array:
    """np.isposinf: elementwise, whether it is positive infinity."""
    return x == math.inf


@implements("isneginf")
@on_data
def isneginf(x: Array, out: Array | None = None) -> Array:
    """np.isneginf: elementwise, whether it is negative infinity."""
    return x == -math.inf


@implements("isreal")
@on_data
def isreal(x: Array) -> Array:
    """np.isreal: elementwise, whether the imaginary part is 0."""
    xp = array_namespace(x)
    if has_dtype(x, "complex floating"):
        return xp.imag(x) == 0
    return xp.ones_like(x, dtype=xp.bool)


@implements("iscomplex")
@on_data
def iscomplex(x: Array) -> Array:
    """np.iscomplex: elementwise, whether the imaginary part is not 0."""
    xp = array_namespace(x)
    if has_dtype(x, "complex floating"):
        return xp.imag(x) != 0
    return xp.zeros_like(x, dtype=xp.bool)
