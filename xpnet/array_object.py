"""The array object of the standard: its attributes and operators, for whatever has `data`."""

from collections.abc import Callable, Iterator
from typing import Any

import array_api_compat as compat

from xpnet.namespace import Namespace, array_namespace, differentiable, namespace_over


def _unary(name: str) -> Callable[[Any], Any]:
    return lambda x: differentiable[name](x)


def _binary(name: str) -> Callable[[Any, Any], Any]:
    return lambda x1, x2: differentiable[name](x1, x2)


def _reflected(name: str) -> Callable[[Any, Any], Any]:
    """`other op x`, which Python asks of x when `other` knows no answer."""
    return lambda x, other: differentiable[name](other, x)


class ArrayObject:
    """The standard's array object, around an array called `data`.

    Attributes are those of `data`. Operators are the differentiable functions, by name; there are
    no methods that repeat them. `float(x)` and its kind fetch the number to the host.
    """

    __slots__ = ()
    __array_ufunc__ = None  # numpy_array * x is ours to answer, in __rmul__
    __hash__ = object.__hash__  # == is elementwise; the tape needs identity

    data: Any

    shape = property(lambda x: x.data.shape)
    dtype = property(lambda x: x.data.dtype)
    ndim = property(lambda x: x.data.ndim)
    size = property(lambda x: compat.size(x.data))
    device = property(lambda x: compat.device(x.data))
    T = mT = property(_unary("matrix_transpose"))

    def __array_namespace__(self, *, api_version: str | None = None) -> Namespace:
        return namespace_over(array_namespace(self.data))

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        name = type(self).__name__
        raise TypeError(f"A {name} may lie on a GPU; use xpnet.to_numpy(x) for a NumPy array.")

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("An array of no dimensions has no length.")
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Any]:
        return (self[i, ...] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __complex__(self) -> complex:
        return complex(self.data)

    def __index__(self) -> int:
        return int(self.data.__index__())

    __add__, __radd__ = _binary("add"), _reflected("add")
    __sub__, __rsub__ = _binary("subtract"), _reflected("subtract")
    __mul__, __rmul__ = _binary("multiply"), _reflected("multiply")
    __truediv__, __rtruediv__ = _binary("divide"), _reflected("divide")
    __pow__, __rpow__ = _binary("pow"), _reflected("pow")
    __matmul__, __rmatmul__ = _binary("matmul"), _reflected("matmul")
    __neg__, __pos__, __abs__ = _unary("negative"), _unary("positive"), _unary("abs")
    __lt__, __le__ = _binary("less"), _binary("less_equal")
    __gt__, __ge__ = _binary("greater"), _binary("greater_equal")
    __eq__ = _binary("equal")
    __ne__ = _binary("not_equal")
    __getitem__ = _binary("__getitem__")
