"""The array object of the standard: its attributes and operators, around an array called `data`."""

from collections.abc import Callable, Iterator
from math import prod
from operator import attrgetter, index
from typing import Any

import array_api_compat as compat

from xpnet._hints import METHODS, hinted
from xpnet._libraries.devices import arrived
from xpnet._typing import Array, Device, DType
from xpnet.autodiff._export import Exported
from xpnet.autodiff.namespace import (
    API_VERSIONS,
    DifferentiableNamespace,
    NoArrayError,
    array_namespace,
    functions,
    methods,
    namespace_over,
    ufuncs,
)
from xpnet.backend import to_numpy
from xpnet.errors import ArgumentError, ArgumentTypeError, ShapeError

Unary = Callable[[Any], Array]
Binary = Callable[[Any, Array], Array]


def _unary(name: str) -> Unary:
    """The operator that is the function of this name, which is looked up when it is used."""
    return lambda x: functions[name](x)


def _binary(name: str) -> Binary:
    """`x1 op x2`; if x2 is neither an array nor a number, Python asks x2 for the result.

    A list is not asked: `[1.0, 2.0] * x` would repeat the list, and `x == [1.0, 2.0]` would be False.
    """

    def operate(x1: Array, x2: Array) -> Array:
        try:
            return functions[name](x1, x2)
        except NoArrayError:
            if isinstance(x1, (list, tuple)) or isinstance(x2, (list, tuple)):
                raise
            return NotImplemented

    return operate


def _both(name: str) -> tuple[Binary, Binary]:
    """`x op other`, and `other op x`, which Python calls if `other` does not implement it."""
    operate = _binary(name)
    return operate, lambda x, other: operate(other, x)


def _augmented(sign: str, operate: Binary) -> Binary:
    """`x op= other`: x itself changes, as in NumPy, for every reference to it."""

    def assign(x: Array, other: Array) -> Array:
        y = operate(x, other)
        if y is NotImplemented:
            return y
        return methods["in_place"](x, y, sign)

    return assign


@hinted(METHODS)
class ArrayObject(Exported):
    """The standard's array object, around an array called `data`.

    Attributes are those of `data`. Operators are the differentiable functions; there are no methods
    that repeat them. `float(x)`, `int(x)`, `bool(x)` and `complex(x)` copy the number to the host.
    NumPy's functions, such as `np.exp(x)`, are the differentiable ones (NEP 13 and NEP 18).
    """

    __slots__ = ()
    __hash__ = object.__hash__  # by identity, because == is elementwise

    data: Array

    # Layers read these in every call: `attrgetter` does it without a Python frame.
    shape: Any = property(attrgetter("data.shape"))
    dtype: DType = property(attrgetter("data.dtype"))
    ndim: Any = property(attrgetter("data.ndim"))

    @property
    def size(self) -> int:
        return prod(self.data.shape)

    @property
    def device(self) -> Device:
        return compat.device(self.data)

    @property
    def mT(self) -> Array:  # noqa: N802 - the standard's name
        if self.ndim < 2:
            raise ShapeError(f"x.mT expected two dimensions or more, got shape {self.shape}.")
        return functions["matrix_transpose"](self)

    @property
    def T(self) -> Array:  # noqa: N802 - the standard's name
        if self.ndim != 2:
            raise ShapeError(f"x.T expected two dimensions, got shape {self.shape}; see x.mT.")
        return self.mT

    def __array_namespace__(self, *, api_version: str | None = None) -> DifferentiableNamespace:
        if api_version is not None and api_version not in API_VERSIONS:
            raise ArgumentError(
                f"Expected one of the standard's {API_VERSIONS}, got {api_version!r}."
            )
        data = self.data
        return namespace_over(array_namespace(data), compat.device(data))

    def __array_ufunc__(self, ufunc: Any, how: str, *inputs: Array, **options: Any) -> Array:
        if how == "__call__" and not options and ufunc in ufuncs:
            try:
                return ufuncs[ufunc](*inputs)
            except NoArrayError:
                pass  # an input is a nested list, or another package's array
        return methods["__array_ufunc__"](ufunc, how, *inputs, **options)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        return methods["__array_function__"](self, function, types, args, kwargs)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in METHODS]

    def __len__(self) -> int:
        if not self.shape:
            raise ArgumentTypeError("An array without dimensions has no length.")
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Array]:
        return (self[i, ...] for i in range(len(self)))

    # These five copy numbers to the host, and so wait until the GPU has finished its work. `arrived`
    # makes the checks that were postponed until then.

    def __bool__(self) -> bool:
        value = bool(self.data)
        arrived()
        return value

    def __int__(self) -> int:
        value = int(self.data)
        arrived()
        return value

    def __float__(self) -> float:
        self.require_explicit()
        value = float(self.data)
        arrived()
        return value

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        shown = format(self.data, spec)
        arrived()
        return shown

    def __complex__(self) -> complex:
        self.require_explicit()
        value = complex(self.data)
        arrived()
        return value

    def __index__(self) -> int:
        return index(to_numpy(self.data))  # CuPy's arrays have no __index__

    __add__, __radd__ = _both("add")
    __sub__, __rsub__ = _both("subtract")
    __mul__, __rmul__ = _both("multiply")
    __truediv__, __rtruediv__ = _both("divide")
    __floordiv__, __rfloordiv__ = _both("floor_divide")
    __mod__, __rmod__ = _both("remainder")
    __pow__, __rpow__ = _both("pow")
    __matmul__, __rmatmul__ = _both("matmul")
    __and__, __rand__ = _both("bitwise_and")
    __or__, __ror__ = _both("bitwise_or")
    __xor__, __rxor__ = _both("bitwise_xor")
    __lshift__, __rlshift__ = _both("bitwise_left_shift")
    __rshift__, __rrshift__ = _both("bitwise_right_shift")
    __iadd__ = _augmented("+", __add__)
    __isub__ = _augmented("-", __sub__)
    __imul__ = _augmented("*", __mul__)
    __itruediv__ = _augmented("/", __truediv__)
    __ifloordiv__ = _augmented("//", __floordiv__)
    __imod__ = _augmented("%", __mod__)
    __ipow__ = _augmented("**", __pow__)
    __imatmul__ = _augmented("@", __matmul__)
    __iand__ = _augmented("&", __and__)
    __ior__ = _augmented("|", __or__)
    __ixor__ = _augmented("^", __xor__)
    __ilshift__ = _augmented("<<", __lshift__)
    __irshift__ = _augmented(">>", __rshift__)
    __neg__ = _unary("negative")
    __pos__ = _unary("positive")
    __abs__ = _unary("abs")
    __invert__ = _unary("bitwise_invert")
    __lt__ = _binary("less")
    __le__ = _binary("less_equal")
    __gt__ = _binary("greater")
    __ge__ = _binary("greater_equal")
    __eq__ = _binary("equal")
    __ne__ = _binary("not_equal")

    def __getitem__(self, key: Any) -> Array:
        return methods["__getitem__"](self, key)

    def __setitem__(self, key: Any, value: Array) -> None:
        methods["__setitem__"](self, key, value)

    def to_device(self, device: Device, /, *, stream: Any = None) -> Array:
        """The same numbers on another device of this library; gradients are moved back."""
        return methods["to_device"](self, device, stream=stream)
