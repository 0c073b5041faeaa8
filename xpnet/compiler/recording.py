"""Recording arrays: they compute as the library's own, and keep a record of what was computed.

A `RecordedArray` is put in the place of each array that a step can reach. The step then runs as it is,
on real numbers, while each call of a function of the standard, each operator, and each kernel becomes
an `Operation`.
"""

import operator
import sys
from collections.abc import Callable, Mapping
from contextvars import Token
from functools import cache
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import array_api_compat as compat

from xpnet import _each_step
from xpnet._libraries import LIBRARIES, library_of
from xpnet._typing import Array, Namespace
from xpnet.autodiff.namespace import array_types
from xpnet.compiler.record import Operation, Value, leaves, replaced
from xpnet.kernels.lookup import Kernel

__all__ = ["RecordedArray", "Recorder", "recorded_type", "unwrapped"]

OWN = str(Path(__file__).parent.parent)  # frames of xpnet itself are not where an error is

FACTS = frozenset(
    ("isdtype", "finfo", "iinfo", "result_type", "can_cast", "broadcast_shapes")
    + ("__array_namespace_info__", "__array_api_version__")
)
"""Functions of a namespace that return facts, not arrays."""


def where() -> str:
    """ "file:line" of the innermost call that is not within xpnet."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(OWN):
        frame = frame.f_back
    if frame is None:
        return ""
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def unwrapped(x: Any) -> Any:
    """The library's array in a RecordedArray; anything else as it is."""
    return x.array if isinstance(x, RecordedArray) else x


class RecordedArray:
    """An array that keeps a record of what is computed from it.

    Attributes
    ----------
    array : array
        The library's own.
    value : Value
        What it is in the record. An operator that changes the array in place, `x += y`, replaces it.
    recorder : Recorder
    """

    __slots__ = ("__weakref__", "array", "recorder", "value")
    __hash__ = object.__hash__
    __array_ufunc__ = None  # `numpy_array + x` calls x.__radd__
    namespace: Namespace  # of the subclass

    def __init__(self, array: Array, value: Value, recorder: "Recorder") -> None:
        self.array = array
        self.value = value
        self.recorder = recorder

    shape: Any = property(lambda x: tuple(x.array.shape))
    dtype: Any = property(lambda x: x.array.dtype)
    ndim: Any = property(lambda x: x.array.ndim)
    size: Any = property(lambda x: compat.size(x.array))
    device: Any = property(lambda x: compat.device(x.array))

    def __array_namespace__(self, *, api_version: str | None = None) -> Namespace:
        return self.namespace

    @property
    def T(self) -> Array:  # noqa: N802 - the standard's name
        return called("matrix_transpose", lambda x: x.T, (self,), {})

    @property
    def mT(self) -> Array:  # noqa: N802 - the standard's name
        return called("matrix_transpose", lambda x: x.mT, (self,), {})

    def __getitem__(self, key: Any) -> Array:
        return called("getitem", operator.getitem, (self, key), {})

    def __setitem__(self, key: Any, value: Array) -> None:
        self._become(called("set_item", _with_item, (self, key, value), {}))

    def _become(self, other: "RecordedArray") -> None:
        self.array = other.array
        self.value = other.value

    def recorded_kernels(self, table: Mapping[str, Kernel]) -> dict[str, Kernel]:
        """The kernels of the library, each as an operation of its name: for `xpnet.kernels`."""
        return {name: _recorded_kernel(name, found) for name, found in table.items()}

    def recorded_windows(self, module: ModuleType) -> Any:
        """The functions of a module for convolution and pooling, recorded: for `xpnet.kernels`."""
        return _recorded_module(module)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __bool__(self) -> bool:
        return bool(self.recorder.read("bool", self))

    def __int__(self) -> int:
        return int(self.recorder.read("int", self))

    def __float__(self) -> float:
        return float(self.recorder.read("float", self))

    def __complex__(self) -> complex:
        return complex(self.recorder.read("complex", self))

    def __index__(self) -> int:
        return operator.index(self.recorder.read("index", self))

    def __repr__(self) -> str:
        return f"RecordedArray({self.array!r})"


def _with_item(x: Array, key: Any, value: Array) -> Array:
    return library_of(x).with_item(x, key, value)


def _operator(name: str, function: Callable[..., Any]) -> tuple[Any, Any, Any]:
    """x op y, y op x and x op= y."""

    def forward(x: RecordedArray, y: Array) -> Array:
        return called(name, function, (x, y), {})

    def reflected(x: RecordedArray, y: Array) -> Array:
        return called(name, function, (y, x), {})

    def in_place(x: RecordedArray, y: Array) -> Array:
        result = called(name, function, (x, y), {})
        if not isinstance(result, RecordedArray):
            return result
        if result.dtype != x.dtype:
            xp = result.namespace
            result = xp.astype(result, x.dtype)
        if library_of(x.array).mutable:
            x.array[...] = result.array
            result.array = x.array
        x._become(result)
        return x

    return forward, reflected, in_place


for _name, _method, _function in (
    ("add", "add", operator.add),
    ("subtract", "sub", operator.sub),
    ("multiply", "mul", operator.mul),
    ("divide", "truediv", operator.truediv),
    ("floor_divide", "floordiv", operator.floordiv),
    ("remainder", "mod", operator.mod),
    ("pow", "pow", operator.pow),
    ("matmul", "matmul", operator.matmul),
    ("bitwise_and", "and", operator.and_),
    ("bitwise_or", "or", operator.or_),
    ("bitwise_xor", "xor", operator.xor),
    ("bitwise_left_shift", "lshift", operator.lshift),
    ("bitwise_right_shift", "rshift", operator.rshift),
):
    _forward, _reflected, _in_place = _operator(_name, _function)
    setattr(RecordedArray, f"__{_method}__", _forward)
    setattr(RecordedArray, f"__r{_method}__", _reflected)
    setattr(RecordedArray, f"__i{_method}__", _in_place)
for _name, _function in (
    ("less", operator.lt),
    ("less_equal", operator.le),
    ("greater", operator.gt),
    ("greater_equal", operator.ge),
    ("equal", operator.eq),
    ("not_equal", operator.ne),
):
    _forward, _, _ = _operator(_name, _function)
    setattr(RecordedArray, f"__{_function.__name__}__", _forward)
for _name, _method, _function in (
    ("negative", "neg", operator.neg),
    ("positive", "pos", operator.pos),
    ("abs", "abs", abs),
    ("bitwise_invert", "invert", operator.invert),
):
    setattr(
        RecordedArray,
        f"__{_method}__",
        lambda x, name=_name, function=_function: called(name, function, (x,), {}),
    )


def _recorded_kernel(name: str, found: Kernel) -> Kernel:
    takes = found.takes
    return Kernel(_recorded_function(name, found.run), lambda *xs: takes(*map(unwrapped, xs)))


@cache
def _recorded_module(module: ModuleType) -> Any:
    """An object with the functions of a module, recorded."""
    return RecordingNamespace(module)


class RecordingNamespace:
    """A library's namespace whose functions are recorded."""

    def __init__(self, xp: Namespace, prefix: str = "") -> None:
        self._xp = xp
        self._prefix = prefix
        self.__name__ = xp.__name__

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._xp, name)
        if isinstance(found, ModuleType):
            found = RecordingNamespace(found, f"{self._prefix}{name}.")
        elif name in FACTS:
            found = _on_arrays(found)
        elif callable(found) and not isinstance(found, type) and not name.startswith("_"):
            found = _recorded_function(self._prefix + name, found)
        setattr(self, name, found)
        return found


def _on_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        return function(*replaced(args, unwrapped), **replaced(options, unwrapped))

    return call


def _recorded_function(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        return called(name, function, args, options)

    return call


@cache
def recorded_type(xp: Namespace) -> type[RecordedArray]:
    """The class of the recording arrays of a library, by its namespace."""
    name = xp.__name__.removeprefix("array_api_compat.")
    members = {"__slots__": (), "namespace": RecordingNamespace(xp)}
    kind = type(f"RecordedArray[{name}]", (RecordedArray,), members)
    array_types.add(kind)
    return kind


def called(
    name: str, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """function(*args, **options) on the library's arrays, as an operation of the active record."""
    result = function(*replaced(args, unwrapped), **replaced(options, unwrapped))
    active = _each_step.recorder.get()
    if not isinstance(active, Recorder):  # the recording is over, or another thread's
        return result
    return active.operation(name, function, args, options, result)


class Recorder:
    """What is recorded while a step runs: operations, host values and reads of values.

    Use it in a `with` block.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.hosts: list[Value] = []
        self.actions: list[Callable[[], Any]] = []
        self.reads: list[str] = []  # "float in file:line"
        self.foreign: list[Value] = []
        self._token: Token[Any] | None = None

    def __enter__(self) -> "Recorder":
        self._token = _each_step.recorder.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        if self._token is not None:
            _each_step.recorder.reset(self._token)

    def wrap(self, array: Array, value: Value) -> RecordedArray:
        """An array as a RecordedArray for this value."""
        return recorded_type(compat.array_namespace(array))(array, value, self)

    def operation(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        options: dict[str, Any],
        result: Any,
    ) -> Any:
        """Record a call; returns its result with RecordedArrays for arrays."""
        if not any(compat.is_array_api_obj(x) for x in leaves(result)):
            return result
        done = Operation(name, function, (), {}, where=where())
        done.args = replaced(args, self._value_of)
        done.options = replaced(options, self._value_of)
        wrapped = replaced(result, lambda x: self._output(x, done))
        done.result = replaced(wrapped, lambda x: getattr(x, "value", x))
        self.operations.append(done)
        return wrapped

    def _output(self, x: Any, operation: Operation) -> Any:
        if not compat.is_array_api_obj(x):
            return x
        value = Value(tuple(x.shape), x.dtype, "operation", len(operation.outputs))
        value.operation = operation
        operation.outputs.append(value)
        return self.wrap(x, value)

    def _value_of(self, x: Any) -> Any:
        """The Value of an array or a host number among the arguments of a call."""
        if isinstance(x, RecordedArray):
            return x.value
        if isinstance(x, RecordedNumber):
            return x.value
        if compat.is_array_api_obj(x):
            value = Value(tuple(x.shape), x.dtype, "constant", array=x)
            self.foreign.append(value)
            return value
        return x

    def read(self, kind: str, x: RecordedArray) -> Array:
        """Note that the step reads a value, and return the array."""
        self.reads.append(f"{kind} at {where()}")
        return x.array

    def each_step(self, action: Callable[[], Any]) -> Any:
        """Call `action` now, and at each replay: see `each_step`."""
        self.actions.append(action)
        return replaced(action(), self._host)

    def _host(self, x: Any) -> Any:
        if isinstance(x, float):
            value = Value((), None, "host", len(self.hosts))
            self.hosts.append(value)
            number = RecordedNumber(x)
            number.value = value
            return number
        if compat.is_array_api_obj(x):
            value = Value(tuple(x.shape), x.dtype, "host", len(self.hosts))
            self.hosts.append(value)
            return self.wrap(x, value)
        return x


class RecordedNumber(float):
    """A number that Python computes at each step."""

    value: Value


for _library in LIBRARIES.values():
    pass
