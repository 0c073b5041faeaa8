"""Changing dtypes."""

from typing import Any

from xpnet.autodiff import Function, Variable, as_constant, data_of
from xpnet.functions.declare import standard
from xpnet.namespace import array_namespace


class AsType(Function):
    def __init__(self, dtype: Any) -> None:
        self.to = dtype

    def forward(self, x: Any) -> Any:
        return array_namespace(x).astype(x, self.to)

    def backward(self, gy: Any) -> Any:
        return gy  # the tape undoes promotion


@standard
def astype(x: Any, dtype: Any, /, *, copy: bool = True) -> Any:
    """x in another dtype; one without fractions has no derivative, and remembers nothing.

    The result may share memory with x if `copy` is False.
    """
    if array_namespace(x).isdtype(dtype, ("real floating", "complex floating")):
        return AsType(dtype)(x)
    y = array_namespace(data_of(x)).astype(data_of(x), dtype, copy=copy)
    return as_constant(y) if isinstance(x, Variable) else y
