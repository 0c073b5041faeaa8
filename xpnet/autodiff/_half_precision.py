"""float16 and bfloat16: what sums of many numbers need, which have too few bits and too little range.

4,096 ones added in float16 are 2,048, for 2,049 is no float16; 70,000 are infinite. So sums inside
xpnet's own rules are accumulated in float32, and rounded once.
"""

from typing import Any

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace

_known: dict[tuple[type, Any], bool] = {}  # by dtype: whether it has 16 bits


def is_half(x: Array) -> bool:
    """Whether x is an array or a Variable of float16 or bfloat16."""
    dtype = getattr(x, "dtype", None)
    key = type(dtype), dtype
    half = _known.get(key)
    if half is None:
        half = _known[key] = str(getattr(dtype, "name", dtype)).endswith("float16")
    return half


def in_full(x: Array) -> Any:
    """x in float32 if it is of 16 bits, otherwise as it is."""
    if not is_half(x):
        return x
    xp = array_namespace(x)
    return xp.astype(x, xp.float32)


def total(x: Array, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over `axis` in the dtype of x, accumulated in float32 where that has 16 bits."""
    xp = array_namespace(x)
    if not is_half(x):
        return xp.sum(x, axis=axis, keepdims=keepdims)
    return xp.astype(xp.sum(x, axis=axis, keepdims=keepdims, dtype=xp.float32), x.dtype)
