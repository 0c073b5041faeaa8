"""Numbers that Python computes at each step, such as a learning rate: they remember how."""

import operator
from collections.abc import Callable
from typing import Any

import array_api_compat as compat
import numpy as np

from xpnet.autodiff.namespace import _namespace_of
from xpnet.compiler.calls import UFUNCS, UNARY, Recorded, called, unwrapped
from xpnet.compiler.failures import NUMBER
from xpnet.compiler.record import Value, replaced
from xpnet.compiler.recorded_array import RecordedArray

__all__ = ["RecordedNumber", "value_or_self"]


class RecordedNumber(Recorded):
    """A number that Python computes at each step: a float that remembers how it was computed.

    It is no subclass of float: C code would read the number of a float without a trace, and the
    replay would repeat it.
    """

    __slots__ = ("number", "recorder", "value")

    def __init__(self, number: float, value: Value, recorder: Any) -> None:
        self.number = number
        self.value = value
        self.recorder = recorder

    plain: Any = property(lambda x: x.number)
    __class__ = property(lambda _: float)  # for isinstance(x, float)

    def _read(self, kind: str) -> float:
        self.recorder.fail(f"reads a number of the step: {kind}", NUMBER, self)
        return self.number

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """`numpy_array * x`, which is recorded; NumPy's functions of x itself read it."""
        arrays = [x for x in inputs if type(x) is not RecordedNumber and hasattr(x, "dtype")]
        if arrays and method == "__call__" and not options:
            return called(UFUNCS.get(ufunc.__name__, ufunc.__name__), ufunc, inputs, {})
        self._read(f"np.{ufunc.__name__}(x)")
        return getattr(ufunc, method)(*replaced(inputs, unwrapped), **replaced(options, unwrapped))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self._read("np.asarray(x)"), dtype=dtype)

    def __float__(self) -> float:
        return self._read("float(x)")

    def __int__(self) -> int:
        return int(self._read("int(x)"))

    def __bool__(self) -> bool:
        return bool(self._read("bool(x)"))

    def __hash__(self) -> int:
        return hash(self._read("hash(x)"))

    def __round__(self, digits: int | None = None) -> Any:
        return round(self._read("round(x)"), digits)

    def __trunc__(self) -> int:
        return int(self._read("trunc(x)"))

    def __format__(self, spec: str) -> str:
        return format(self._read("format(x)"), spec)

    def __str__(self) -> str:
        return str(self._read("str(x)"))

    def __deepcopy__(self, memo: Any) -> "RecordedNumber":
        return self

    def __reduce__(self) -> Any:
        return float, (self._read("pickle(x)"),)

    def __repr__(self) -> str:
        return repr(self._read("repr(x)"))

    def is_integer(self) -> bool:
        return self._read("is_integer").is_integer()


def value_or_self(x: Any) -> Any:
    """The Value of a recorded array or number; anything else as it is."""
    return x.value if isinstance(x, Recorded) else x


def _number_operator(name: str, function: Callable[..., Any]) -> tuple[Any, Any]:
    def compute(a: Any, b: Any) -> Any:
        numbers = [x for x in (a, b) if type(x) is not RecordedNumber]
        if any(isinstance(x, RecordedArray) for x in numbers):
            return NotImplemented
        if any(compat.is_array_api_obj(x) and not hasattr(x, "backward") for x in numbers):
            return called(name, function, (a, b), {})
        if not all(isinstance(x, (int, float)) for x in numbers):
            return NotImplemented
        recorder = (a if type(a) is RecordedNumber else b).recorder
        found = function(unwrapped(a), unwrapped(b))
        recipe = ("derived", function, tuple(value_or_self(x) for x in (a, b)))
        return recorder.number(found, recipe)

    return compute, lambda x, y: compute(y, x)


def _number_function(function: Callable[..., Any]) -> Any:
    def compute(x: RecordedNumber) -> RecordedNumber:
        found: RecordedNumber = x.recorder.number(
            function(x.number), ("derived", function, (x.value,))
        )
        return found

    return compute


for _name, _method, _function in (
    ("add", "add", operator.add),
    ("subtract", "sub", operator.sub),
    ("multiply", "mul", operator.mul),
    ("divide", "truediv", operator.truediv),
    ("floor_divide", "floordiv", operator.floordiv),
    ("remainder", "mod", operator.mod),
    ("pow", "pow", operator.pow),
):
    _forward, _reflected = _number_operator(_name, _function)
    setattr(RecordedNumber, f"__{_method}__", _forward)
    setattr(RecordedNumber, f"__r{_method}__", _reflected)
for _, _method, _unary in UNARY[:3]:
    setattr(RecordedNumber, f"__{_method}__", _number_function(_unary))


def _comparison(name: str, function: Callable[..., Any]) -> Any:
    def compare(x: RecordedNumber, y: Any) -> Any:
        if isinstance(y, RecordedArray) or not isinstance(y, (int, float)):
            return NotImplemented
        return function(x._read(f"a comparison, {name}"), unwrapped(y))  # noqa: SLF001 - of its class

    return compare


for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(RecordedNumber, f"__{_name}__", _comparison(_name, getattr(operator, _name)))

_namespace_of[RecordedNumber] = None  # as for Python's numbers
