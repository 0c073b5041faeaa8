"""float16 and bfloat16: a sum of many numbers needs more precision, or a larger range, than these.

The sum of 4,096 ones in float16 is 2,048, because 2,049 is not a float16; the sum of 70,000 is
infinite. So sums inside xpnet's own rules are accumulated in float32, and rounded once.
"""

from xpnet._typing import Array, DType
from xpnet.autodiff.namespace import array_namespace

_known: dict[tuple[type, DType], bool] = {}  # whether a dtype has 16 bits, by its type and itself


def is_half(x: Array) -> bool:
    """Whether x is an array or a Variable of float16 or bfloat16."""
    dtype = getattr(x, "dtype", None)
    key = type(dtype), dtype
    half = _known.get(key)
    if half is None:
        half = str(getattr(dtype, "name", dtype)).endswith("float16")
        _known[key] = half
    return half


def in_full(x: Array) -> Array:
    """x in float32 if it is of float16 or bfloat16, otherwise x itself."""
    if not is_half(x):
        return x
    xp = array_namespace(x)
    return xp.astype(x, xp.float32)


def total(x: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    """The sum over `axis` in the dtype of x; for float16 and bfloat16, accumulated in float32."""
    xp = array_namespace(x)
    if not is_half(x):
        return xp.sum(x, axis=axis, keepdims=keepdims)
    return xp.astype(xp.sum(x, axis=axis, keepdims=keepdims, dtype=xp.float32), x.dtype)
