"""NumPy's functions that create arrays, with `like=`: `np.zeros(3, like=v)` is a Variable.

NEP 35: P. Entschev, "Array creation dispatching with __array_function__", 2020.

So code that fills an array can be differentiated: with `like=x`, the array is NumPy's for an array x,
and for a Variable x it is a Variable, which records what is written into it. Library and device are
those of x. For floating-point numbers, the default dtype is the library's, as NumPy's is without `like=`;
or that of x, if it has more digits: PyTorch's default is float32.

NumPy keeps `like` to itself. Each function here is given it as its first argument.
"""

import operator
from collections.abc import Callable

from xpnet._interoperability.numpy.registry import (
    REFUSED,
    ArrayLike,
    Shape,
    as_tuple,
    dtype_of,
    implements,
    widest_number,
)
from xpnet._typing import Array, DType
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import FLOATING

CREATIONS = frozenset(
    [
        "arange", "array", "asanyarray", "asarray", "ascontiguousarray", "empty", "eye", "full",
        "identity", "ones", "zeros",
    ]
)  # fmt: skip
"""The functions of this module."""
NOT_AVAILABLE = (*REFUSED, "device", "subok")
"""The parameters that accept their default only: the device is that of `like`."""


def _shape(shape: Shape) -> tuple[int, ...]:
    """A shape; a single number is one axis."""
    return tuple(map(operator.index, as_tuple(shape)))


def _dtype(like: Array, dtype: DType | None, numbers: ArrayLike = 1.0) -> DType | None:
    """NumPy's dtype as the library's; by default one for Python numbers, or None: the library decides."""
    xp = array_namespace(like)
    number = widest_number(numbers)
    if dtype is not None or not isinstance(number, (float, complex)):
        return dtype_of(xp, dtype)
    if not has_dtype(like, *FLOATING):
        return None
    x = xp.empty((0,), dtype=like.dtype)
    if has_dtype(x, "complex floating"):
        x = xp.real(x)
    real = xp.result_type(xp.empty((0,)).dtype, x.dtype)
    return xp.result_type(real, xp.complex64) if isinstance(number, complex) else real


def _filled(name: str) -> Callable[..., Array]:
    """One of np.zeros, np.ones and np.empty."""

    def filled(
        like: Array,
        shape: Shape,
        dtype: DType | None = None,
        order: str = "C",
        *,
        device: None = None,
    ) -> Array:
        """An array without a gradient, until something is written into it."""
        xp = array_namespace(like)
        found: Array = getattr(xp, name)(_shape(shape), dtype=_dtype(like, dtype))
        return found

    filled.__name__ = name
    return implements(name, refuses=NOT_AVAILABLE)(filled)


zeros = _filled("zeros")
ones = _filled("ones")
empty = _filled("empty")


@implements("full", refuses=NOT_AVAILABLE)
def full(
    like: Array,
    shape: Shape,
    fill_value: ArrayLike,
    dtype: DType | None = None,
    order: str = "C",
    *,
    device: None = None,
) -> Array:
    """np.full: a number everywhere, which may be a Variable, or an array that broadcasts."""
    xp = array_namespace(like)
    value = xp.asarray(fill_value, dtype=_dtype(like, dtype, fill_value))
    # A copy, since a broadcast array may be read-only.
    return xp.asarray(xp.broadcast_to(value, _shape(shape)), copy=True)


@implements("eye", refuses=NOT_AVAILABLE)
def eye(
    like: Array,
    N: int,
    M: int | None = None,
    k: int = 0,
    dtype: DType | None = None,
    order: str = "C",
    *,
    device: None = None,
) -> Array:
    """np.eye: 1 on a diagonal, and 0 elsewhere."""
    xp = array_namespace(like)
    return xp.eye(N, M, k=k, dtype=_dtype(like, dtype))


@implements("identity")
def identity(like: Array, n: int, dtype: DType | None = None) -> Array:
    """np.identity: a square matrix with 1 on its diagonal."""
    return eye(like, n, dtype=dtype)


@implements("arange", refuses=NOT_AVAILABLE)
def arange(
    like: Array,
    start: float,
    stop: float | None = None,
    step: float = 1,
    dtype: DType | None = None,
    *,
    device: None = None,
) -> Array:
    """np.arange: numbers at equal distances."""
    xp = array_namespace(like)
    numbers = [start, 0 if stop is None else stop, step]
    return xp.arange(start, stop, step, dtype=_dtype(like, dtype, numbers))


@implements("array", refuses=(*NOT_AVAILABLE, "ndmax"))
def array(
    like: Array,
    object: ArrayLike,
    dtype: DType | None = None,
    *,
    copy: bool | None = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    ndmax: int = 0,
) -> Array:
    """np.array: of an array, a number, or lists of numbers, among which may be Variables."""
    made = asarray(like, object, dtype, copy=copy)
    return array_namespace(made).reshape(made, (*(1,) * (ndmin - made.ndim), *made.shape))


@implements("asarray", "asanyarray", "ascontiguousarray", refuses=NOT_AVAILABLE)
def asarray(
    like: Array,
    a: ArrayLike,
    dtype: DType | None = None,
    order: str | None = None,
    *,
    device: None = None,
    copy: bool | None = None,
) -> Array:
    """np.asarray: as np.array, without a copy of an array that is one already."""
    xp = array_namespace(like)
    if copy and isinstance(a, (list, tuple)):
        copy = None  # what is made of a list is new
    return xp.asarray(a, dtype=_dtype(like, dtype, a), copy=copy)
