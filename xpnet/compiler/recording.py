"""Recording arrays: they compute as the library's own, and keep a record of what was computed.

A `RecordedArray` is put in the place of each array that a step can reach. The step then runs as it is,
on real numbers, while each call of a function of the standard, each operator, and each kernel becomes
an `Operation`.
"""

import copy
import operator
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from sysconfig import get_paths
from types import FrameType, ModuleType
from typing import Any, NamedTuple, Self

import array_api_compat as compat
import numpy as np

from xpnet import _each_step, _libraries
from xpnet._libraries import library_of
from xpnet._libraries._base import Library
from xpnet._typing import Array, Device, Namespace
from xpnet.autodiff.namespace import _namespace_of, array_types
from xpnet.autodiff.variable import Variable
from xpnet.backend import Backend, array_like, current, to_numpy, using
from xpnet.compiler.record import Operation, Value, leaves, replaced
from xpnet.compiler.sharing import memory_of, overlap
from xpnet.kernels.lookup import Kernel

__all__ = ["Failure", "RecordedArray", "RecordedNumber", "Recorder", "recorded_type", "unwrapped"]

NOT_THE_USERS = (
    str(Path(__file__).parent.parent),
    *(get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    "<frozen ",
)
"""Where code is that an error is not in: xpnet, Python's own library, and packages."""

FACTS = frozenset(
    [
        *("isdtype", "finfo", "iinfo", "result_type", "can_cast", "broadcast_shapes"),
        *("__array_namespace_info__", "__array_api_version__"),
    ]
)
"""Functions of a namespace that return facts, not arrays."""

SHAPES_FROM_VALUES = frozenset(
    ("nonzero", "argwhere", "unique_all", "unique_counts", "unique_inverse", "unique_values")
)
"""Functions whose result has a shape that depends on values."""


class Failure(NamedTuple):
    """Why a step cannot be replayed.

    Attributes
    ----------
    where : str
        "file:line" of the user's code.
    what : str
        What the step does there.
    advice : str
        What to do instead.
    """

    where: str
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.advice}".removeprefix(": ")


BRANCH = "Choose between arrays with F.where, or decide where the step is called."
READ = "Return the array, and read it where the step is called."
INDEX = "Index with the array itself, by F.take, or pass the number as an argument of the step."
OUTSIDE = "Write into an array that the function can reach by its attributes, or return a new one."
NUMBER = "Compute with the number, or use it in an action of xpnet.compiler.each_step."
METHOD = "Use a function of the array API standard or of xpnet.functions, which change no array."
SHAPE = "Keep all places, and set those that do not count to 0 with F.where."
ADVICE = {"bool": BRANCH, "int": INDEX, "index": INDEX}


@cache
def _is_users(filename: str) -> bool:
    return not filename.startswith(NOT_THE_USERS)


def where() -> str:
    """The innermost call that is the user's, as "file:line"."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the one way to a caller
    while frame is not None and not _is_users(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return ""
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def unwrapped(x: Any) -> Any:
    """The library's array in a RecordedArray, a RecordedNumber's float; anything else as it is."""
    if isinstance(x, RecordedArray):
        return x.array
    return x.number if type(x) is RecordedNumber else x


class RecordedArray:
    """An array that keeps a record of what is computed from it.

    Outside of its recording, in another thread or after it, it computes as the library's array does,
    and nothing is recorded.

    Attributes
    ----------
    array : array
        The library's own.
    value : Value
        What it is in the record. An operator that changes the array in place, `x += y`, replaces it.
    recorder : Recorder
    stale : str
        Where its memory was changed through another array; "" if it was not.
    """

    __slots__ = ("__weakref__", "array", "recorder", "stale", "value")
    __hash__ = object.__hash__
    namespace: Namespace  # of the subclass

    def __init__(self, array: Array, value: Value, recorder: "Recorder") -> None:
        self.array = array
        self.value = value
        self.recorder = recorder
        self.stale = ""

    shape: Any = property(lambda x: tuple(x.array.shape))
    dtype: Any = property(lambda x: x.array.dtype)
    ndim: Any = property(lambda x: x.array.ndim)
    size: Any = property(lambda x: compat.size(x.array))
    device: Any = property(lambda x: compat.device(x.array))

    def __array_namespace__(self, *, api_version: str | None = None) -> Namespace:
        return self.namespace

    @property
    def T(self) -> Array:  # noqa: N802 - the standard's name
        return called("matrix_transpose", _transposed, (self,), {})

    @property
    def mT(self) -> Array:  # noqa: N802 - the standard's name
        return called("matrix_transpose", _matrix_transposed, (self,), {})

    def to_device(self, device: Device, /, *, stream: Any = None) -> Array:
        return called("to_device", compat.to_device, (self, device), {"stream": stream})

    def __getitem__(self, key: Any) -> Array:
        if any(_is_computed_mask(x) for x in leaves(key)):
            self.recorder.fail("selects by a mask, x[mask]: a shape that depends on values", SHAPE)
        return called("getitem", operator.getitem, (self, key), {})

    def __setitem__(self, key: Any, value: Array) -> None:
        self.array[replaced(key, unwrapped)] = unwrapped(value)
        self.recorder.changed_in_place(self, "set_item", _with_item, (self, key, value))

    def recorded_kernels(self, table: Mapping[str, Kernel]) -> dict[str, Kernel]:
        """The kernels of the library, each as an operation of its name: for `xpnet.kernels`."""
        return {name: _recorded_kernel(name, found) for name, found in table.items()}

    def recorded_windows(self, module: ModuleType) -> Any:
        """The functions of a module for convolution and pooling, recorded: for `xpnet.kernels`."""
        return _recorded_module(module)

    def recorded_check(self, check: Callable[..., Array], *args: Any) -> None:
        """check(array, *args) returns the array, or raises an error: for `xpnet.kernels.bounds`.

        It is an operation whose result takes the place of this array, so whatever reads the array
        from now on is computed after the check.
        """
        check(self.array, *args)
        self.recorder.checked(self, check, args)

    def created_like(self, x: Any) -> Array:
        """`array_like(x, self)`, recorded: for `xpnet.backend`."""
        return called("array_like", array_like, (x, self), {})

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """NumPy's own function of NumPy's arrays: `np.exp(x)`, and `numpy_array + x`."""
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        name = (
            UFUNCS.get(ufunc.__name__, ufunc.__name__) if method == "__call__" else f"np.{method}"
        )
        if "out" not in options:
            return called(name, function, inputs, options)
        (out,) = options.pop("out")
        function(*replaced(inputs, unwrapped), out=unwrapped(out), **replaced(options, unwrapped))
        if not isinstance(out, RecordedArray):
            self.recorder.fail("writes into an array that it did not compute", OUTSIDE)
            return out
        return out.recorder.changed_in_place(out, name, function, inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        """NumPy's own function of NumPy's arrays: `np.sum(x)`."""
        name = function.__name__
        if "out" in options:
            self.recorder.fail(f"calls np.{name} with out=", OUTSIDE)
        if name in SHAPES_FROM_VALUES or name in ("array_equal", "allclose", "unique"):
            self.recorder.fail(f"calls np.{name}, which reads values", READ)
        return called(f"np.{name}", function, args, options)

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Array]:
        return (self[i] for i in range(len(self.array)))

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

    def __contains__(self, x: Any) -> bool:
        return unwrapped(x) in self.recorder.read("in", self)

    def item(self) -> Any:
        return self.recorder.read("item", self).item()

    def tolist(self) -> Any:
        return self.recorder.read("tolist", self).tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        found = to_numpy(self)
        return np.array(found, dtype=dtype, copy=True) if copy else np.asarray(found, dtype=dtype)

    def __dlpack__(self, **options: Any) -> Any:
        return self.recorder.read("dlpack", self).__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __copy__(self) -> Array:
        return called("asarray", _copied, (self,), {})

    def __deepcopy__(self, memo: Any) -> Array:
        return called("asarray", _copied, (self,), {})

    def __reduce__(self) -> Any:
        return copy.copy, (self.array,)

    def __repr__(self) -> str:
        return repr(self.recorder.read("repr", self))

    def __str__(self) -> str:
        return str(self.recorder.read("str", self))

    def __format__(self, spec: str) -> str:
        return format(self.recorder.read("format", self), spec)

    def __getattr__(self, name: str) -> Any:
        """What arrays of the library have beyond the standard: `x.sum()`, `x.real`."""
        if name.startswith("_") or name in OWN:
            raise AttributeError(f"{type(self).__name__} has no {name!r}.", name=name, obj=self)
        found = getattr(self.array, name)
        if name in ("real", "imag"):
            return called(name, operator.attrgetter(name), (self,), {})
        if name in ("itemsize", "nbytes", "strides"):
            return found
        if callable(found):
            return partial(_called_method, self, name)
        raise AttributeError(
            f"Expected a function of the array API standard or of xpnet.functions in a compiled "
            f"step, got x.{name} of an array. Read it outside of the step.",
            name=name,
            obj=self,
        )


OWN = frozenset(
    [
        *RecordedArray.__slots__,
        *("backward", "cleargrad", "creator", "data", "grad", "node", "raw_grad", "requires_grad"),
        *("zero_grad", "flags", "base"),
    ]
)
"""Attributes of this class, and those by which others are recognized: arrays of a library may have them."""

METHODS = frozenset(
    [
        *("all", "any", "argmax", "argmin", "argsort", "astype", "clip", "conj", "conjugate"),
        *("copy", "cumprod", "cumsum", "diagonal", "dot", "flatten", "max", "mean", "min", "prod"),
        *("ravel", "repeat", "reshape", "round", "squeeze", "std", "sum", "swapaxes", "take"),
        *("trace", "transpose", "var"),
        *("abs", "amax", "amin", "clone", "contiguous", "detach", "double", "exp", "expand"),
        *("float", "log", "long", "matmul", "mm", "permute", "pow", "sigmoid", "sqrt", "square"),
        *("tanh", "to", "type", "unsqueeze", "view"),
    ]
)
"""Methods of NumPy's and PyTorch's arrays, and of others, that change no array."""


def _called_method(x: RecordedArray, name: str, *args: Any, **options: Any) -> Any:
    """x.name(*args, **options), recorded."""
    if name not in METHODS or "out" in options:
        x.recorder.fail(f"calls x.{name}() of an array", METHOD)
    return called(f"x.{name}", _by_name(name), (x, *args), options)


@cache
def _by_name(name: str) -> Callable[..., Any]:
    """The function that calls a method of this name."""

    def call(x: Array, *args: Any, **options: Any) -> Any:
        return getattr(x, name)(*args, **options)

    return call


UFUNCS = {
    "true_divide": "divide",
    "power": "pow",
    "absolute": "abs",
    "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift",
    "right_shift": "bitwise_right_shift",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
}
"""The standard's names of NumPy's functions that have another one there."""


def _transposed(x: Array) -> Array:
    return x.T


def _matrix_transposed(x: Array) -> Array:
    return x.mT


def _copied(x: Array) -> Array:
    return compat.array_namespace(x).asarray(x, copy=True)


def _with_item(x: Array, key: Any, value: Array) -> Array:
    return library_of(x).with_item(x, key, value)


def _is_computed_mask(x: Any) -> bool:
    """Whether x is a recorded array of booleans."""
    return isinstance(x, RecordedArray) and "bool" in str(x.dtype) and x.value.source != "constant"


def _read_to_numpy(x: RecordedArray) -> Any:
    return to_numpy(x.recorder.read("np.asarray", x))


to_numpy.register(RecordedArray, _read_to_numpy)


def _operator(name: str, function: Callable[..., Any], change: Any = None) -> tuple[Any, Any, Any]:
    """x op y, y op x and x op= y."""

    def forward(x: RecordedArray, y: Array) -> Array:
        if isinstance(y, Variable):  # its own operator records the derivative too
            return NotImplemented
        return called(name, function, (x, y), {})

    def reflected(x: RecordedArray, y: Array) -> Array:
        return called(name, function, (y, x), {})

    def in_place(x: RecordedArray, y: Array) -> Array:
        if isinstance(y, Variable):
            return NotImplemented
        if not library_of(x.array).mutable:
            return called(name, function, (x, y), {})
        before = x.array
        after = change(before, unwrapped(y))
        if after is not before:  # NumPy's scalars cannot be changed
            return called(name, function, (x, y), {})
        return x.recorder.changed_in_place(x, name, function, (x, y))

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
    _change = getattr(operator, f"i{_method}")
    _forward, _reflected, _in_place = _operator(_name, _function, _change)
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
UNARY: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("negative", "neg", operator.neg),
    ("positive", "pos", operator.pos),
    ("abs", "abs", abs),
    ("bitwise_invert", "invert", operator.invert),
)
for _name, _method, _unary in UNARY:
    setattr(
        RecordedArray,
        f"__{_method}__",
        lambda x, name=_name, function=_unary: called(name, function, (x,), {}),
    )


def _recorded_kernel(name: str, found: Kernel) -> Kernel:
    takes = found.takes
    if name == "update":
        return Kernel(_recorded_update(found.run), lambda *xs: takes(*map(unwrapped, xs)))
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

    def with_record(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that belongs to the library, from another package, recorded."""
        return _recorded_function(name, function)

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


def _recorded_update(run: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel "update", which changes its arrays in place, as an operation that returns new ones."""

    def moved(formula: str, numbers: Any, slots: Any, moves: Any) -> Any:
        new = [(_copied(p), g, [_copied(x) for x in state]) for p, g, state in moves]
        run(formula, numbers, slots, new)
        return [(p, state) for p, _, state in new]

    def update(formula: str, numbers: Any, slots: Any, moves: Any) -> Any:
        left = run(formula, replaced(numbers, unwrapped), slots, replaced(moves, unwrapped))
        active = _each_step.recorder.get()
        made = [move for i, move in enumerate(moves) if i not in left]
        if made and isinstance(active, Recorder):
            active.updated(moved, (formula, numbers, slots, made))
        return left

    return update


def _recorded_function(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        return called(name, function, args, options)

    return call


class RecordedLibrary(Library):
    """The library of recording arrays: what the library of their arrays does, recorded."""

    def __init__(self, library: Library) -> None:
        self.inner = library
        for name in ("name", "aliases", "package", "gpu_package", "mutable", "wraps_indices"):
            setattr(self, name, getattr(library, name))
        self.needs_writable_memory = library.needs_writable_memory
        self.slices_backwards = library.slices_backwards

    def selected(self, device: Device) -> Any:
        return self.inner.selected(device)

    def owns(self, x: object) -> bool:
        return False  # found by the type of the array

    def has_values(self, x: Array) -> bool:
        return False  # code that would check them on the host does not

    def to_host(self, x: Array) -> Any:
        return to_numpy(x)

    def to_device(self, x: Array, device: Device, stream: Any = None) -> Array:
        return called("to_device", self.inner.to_device, (x, device), {"stream": stream})

    def assigns_by_arrays(self, may_repeat: bool, one_value: bool) -> bool:
        return self.inner.assigns_by_arrays(may_repeat, one_value)

    def set_item(self, x: Array, key: Any, value: Array | complex) -> Array:
        if not self.mutable:
            return called("set_item", self.inner.set_item, (x, key, value), {})
        x[key] = value
        return x

    def with_item(self, x: Array, key: Any, value: Array | complex) -> Array:
        return called("set_item", self.inner.with_item, (x, key, value), {})

    def last_at(self, places: Array, size: int) -> Array:
        return called("last_at", self.inner.last_at, (places, size), {})

    def scatter_add(self, x: Array, indices: Array, values: Array) -> Array:
        args = (x, indices, values)
        found = self.inner.scatter_add(*map(unwrapped, args))
        if found is not unwrapped(x):
            return recorded("scatter_add", self._scattered, args, {}, found)
        return x.recorder.changed_in_place(x, "scatter_add", self._scattered, args)

    def _scattered(self, x: Array, indices: Array, values: Array) -> Array:
        """A new array: x after x[indices[i], ...] += values[i, ...] for each i."""
        return self.inner.scatter_add(_copied(x), indices, values)


@cache
def recorded_type(xp: Namespace, kind: type) -> type[RecordedArray]:
    """The class of the recording arrays for one class of arrays, with their namespace."""
    name = xp.__name__.removeprefix("array_api_compat.")
    members = {"__slots__": (), "namespace": recording_namespace(xp), "__module__": __name__}
    made = type(f"RecordedArray[{name}]", (RecordedArray,), members)
    if kind is not np.generic:  # `as_array` makes arrays of NumPy's scalars
        array_types.add(made)
    return made


@cache
def recording_namespace(xp: Namespace) -> RecordingNamespace:
    """The one recording namespace of a library: namespaces are compared by identity."""
    return RecordingNamespace(xp)


class RecordingBackend(Backend):
    """The backend that is current during a recording: arrays that are created are recorded."""

    __slots__ = ()

    def asarray(self, x: object, dtype: Any = None) -> Array:
        plain = Backend(self.name, getattr(self.xp, "_xp", self.xp), self.device, self.dtype)
        if isinstance(x, RecordedArray):
            return called("asarray", plain.asarray, (x,), {"dtype": dtype})
        if hasattr(x, "dtype"):  # an array of somebody else's: it is noted where it is used
            return plain.asarray(x, dtype)
        return called("asarray", plain.asarray, (x,), {"dtype": dtype})


@contextmanager
def recording_backend() -> Iterator[None]:
    """A block in which `current()` records what it creates."""
    backend = current()
    if isinstance(backend, RecordingBackend):
        yield
        return
    xp = recording_namespace(backend.xp)
    with using(RecordingBackend(backend.name, xp, backend.device, backend.dtype)):
        yield


def called(
    name: str, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """function(*args, **options) on the library's arrays, as an operation of the active record."""
    result = function(*replaced(args, unwrapped), **replaced(options, unwrapped))
    return recorded(name, function, args, options, result)


def recorded(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    options: dict[str, Any],
    result: Any,
) -> Any:
    """The result of a call as recording arrays, and the call in the active record."""
    active = _each_step.recorder.get()
    if not isinstance(active, Recorder):  # the recording is over, or another thread's
        return result
    if name in SHAPES_FROM_VALUES:
        active.fail(f"calls {name}, whose result has a shape that depends on values", SHAPE)
    return active.operation(name, function, args, options, result)


class Recorder:
    """What is recorded while a step runs: operations, numbers of the host, and what cannot be replayed.

    Use it in a `with` block.

    Parameters
    ----------
    done : sequence
        Results of the first actions, which were computed already: they are not called again.

    Attributes
    ----------
    operations : list of Operation
    hosts : list of Value
        Numbers and arrays that Python computes at each step.
    recipes : list of tuple
        How each of the hosts is computed: ("action", i, path) is a part of the result of action i;
        ("derived", function, args) is computed from other hosts, which are Values in args.
    actions : list of functions
        See `each_step`.
    results : list
        Their results, with Values for what became a host.
    failures : list of Failure
        Why the step cannot be replayed.
    foreign : list of Value
        Arrays that the step found in none of its cells or arguments.
    libraries : dict from Value to str
        The name of the library of each array.
    known : dict from int to Value
        Arrays that are in places which cannot be assigned to, such as tuples, by their ids.
    watch : function or None
        Called before and after each action.
    traced : bool
        Whether an array has no numbers, since a function of the library traces the step: `jax.jit`.
    """

    def __init__(self, done: Any = ()) -> None:
        self.operations: list[Operation] = []
        self.hosts: list[Value] = []
        self.recipes: list[tuple[Any, ...]] = []
        self.actions: list[Callable[[], Any]] = []
        self.results: list[Any] = []
        self.returned: list[Any] = []  # what the actions returned, as they are
        self.failures: list[Failure] = []
        self.foreign: list[Value] = []
        self.libraries: dict[Value, str] = {}
        self.known: dict[int, Value] = {}
        self.watch: Callable[[], None] | None = None
        self.traced = False
        self._done = list(done)
        self._live: dict[int | None, list[weakref.ref[RecordedArray]]] = {}  # by their memory
        self._tokens: list[Any] = []
        self._backend: Any = None

    def __enter__(self) -> Self:
        self._backend = recording_backend()
        self._backend.__enter__()
        self._tokens.append(_each_step.recorder.set(self))
        return self

    def __exit__(self, *error: object) -> None:
        _each_step.recorder.reset(self._tokens.pop())
        self._backend.__exit__(None, None, None)

    def wrap(self, array: Array, value: Value) -> RecordedArray:
        """An array as a RecordedArray for this value."""
        own_kind = np.generic if isinstance(array, np.generic) else type(array)
        kind = recorded_type(compat.array_namespace(array), own_kind)  # type: ignore[arg-type]
        if kind not in _libraries._by_type:  # noqa: SLF001 - its table of types
            _libraries._by_type[kind] = RecordedLibrary(library_of(array))  # noqa: SLF001
        self.libraries[value] = library_of(array).name
        self.traced |= not library_of(array).has_values(array)
        x = kind(array, value, self)
        self._live.setdefault(memory_of(array), []).append(weakref.ref(x))
        return x

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
        for x in leaves((args, options)):
            if isinstance(x, RecordedArray) and x.array is result:
                return x  # nothing was computed, such as by astype(x, x.dtype, copy=False)
        done = self._new(name, function, args, options)
        wrapped = replaced(result, lambda x: self._output(x, done))
        done.result = replaced(wrapped, lambda x: getattr(x, "value", x))
        self.operations.append(done)
        return wrapped

    def _new(self, name: str, function: Any, args: Any, options: Any) -> Operation:
        done = Operation(name, function, (), {}, where=where())
        for x in leaves((args, options)):
            if isinstance(x, RecordedArray) and x.stale and x.recorder is self:
                what = f"reads memory that was changed through another array in {x.stale}"
                self.failures.append(Failure(done.where, what, "Copy the array before the change."))
        done.args = replaced(args, self._value_of)
        done.options = replaced(options, self._value_of)
        return done

    def changed_in_place(
        self, x: RecordedArray, name: str, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> RecordedArray:
        """Record that x was changed: its memory already is. `function` computes the new array."""
        if _each_step.recorder.get() is not self or x.recorder is not self:
            return x
        done = self._new(name, function, args, {})
        if x.value.source == "argument":
            what = f"the step changes the argument {x.value.name} in place"
            self.failures.append(Failure(done.where, what, "Return the new array."))
        self._mark_stale(x, done.where)
        dtype = x.dtype
        widest = _result_dtype(name, args)
        value = self._add_output(done, x.array, widest or dtype)
        self.operations.append(done)
        done.result = value
        if widest is not None and widest != dtype:
            xp = compat.array_namespace(x.array)
            cast = Operation("astype", xp.astype, (value, dtype), {}, where=done.where)
            value = self._add_output(cast, x.array, dtype)
            cast.result = value
            self.operations.append(cast)
        x.value = value
        return x

    def checked(self, x: RecordedArray, check: Callable[..., Array], args: tuple[Any, ...]) -> None:
        """Record that `check` has returned x, and not raised an error."""
        if _each_step.recorder.get() is not self or x.recorder is not self:
            return
        done = self._new("checked", check, (x, *args), {})
        done.result = x.value = self._add_output(done, x.array, x.dtype)
        self.operations.append(done)

    def updated(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Record the kernel "update": parameters and slots are changed already."""
        done = self._new("update", function, args, {})
        moves = args[-1]
        result = []
        for p, _, state in moves:
            new = []
            for x in (p, *state):
                self._mark_stale(x, done.where)
                value = self._add_output(done, x.array, x.dtype)
                new.append(value)
            result.append((new[0], new[1:]))
        for (p, _, state), (value, values) in zip(moves, result, strict=True):
            p.value = value
            for x, new_value in zip(state, values, strict=True):
                x.value = new_value
        done.result = result
        self.operations.append(done)

    def _add_output(self, operation: Operation, array: Array, dtype: Any) -> Value:
        value = Value(tuple(array.shape), dtype, "operation", len(operation.outputs))
        value.operation = operation
        operation.outputs.append(value)
        return value

    def _mark_stale(self, x: RecordedArray, line: str) -> None:
        """Mark the arrays that share memory with x, whose memory has changed."""
        memory = memory_of(x.array)
        keys = [*self._live] if memory is None else [memory, None]
        for key in keys:
            for other in self._alive(key):
                if other is not x and not other.stale and overlap(other.array, x.array):
                    other.stale = line

    def _alive(self, memory: int | None) -> list[RecordedArray]:
        """The recording arrays that are parts of some memory; forgets those that are gone."""
        references = self._live.get(memory, [])
        found = [x for x in (reference() for reference in references) if x is not None]
        if len(found) < len(references):
            self._live[memory] = [weakref.ref(x) for x in found]
        return found

    def _output(self, x: Any, operation: Operation) -> Any:
        if not compat.is_array_api_obj(x):
            return x
        return self.wrap(x, self._add_output(operation, x, x.dtype))

    def _value_of(self, x: Any) -> Any:
        """The Value of an array or a host number among the arguments of a call."""
        if isinstance(x, RecordedArray):
            if x.recorder is self:
                return x.value
            x = x.array  # left over from an earlier recording
        elif type(x) is RecordedNumber:
            return x.value
        elif isinstance(x, (type, ModuleType)) or not compat.is_array_api_obj(x):
            return x
        value = self.known.get(id(x))
        if value is None:
            value = Value(tuple(x.shape), x.dtype, "constant", array=x, name=where())
            self.known[id(x)] = value  # which keeps x alive, so that its id remains its own
            self.foreign.append(value)
        return value

    # --- what cannot be replayed --------------------------------------------------------------

    def fail(self, what: str, advice: str) -> None:
        """Note that the step does something that cannot be replayed."""
        if _each_step.recorder.get() is self:
            self.failures.append(Failure(where(), f"the step {what}", advice))

    def read(self, kind: str, x: RecordedArray) -> Array:
        """Note that the step reads a value, and return the array."""
        self.fail(
            f"reads a value: {kind}(x) of an array of shape {x.shape}", ADVICE.get(kind, READ)
        )
        return x.array

    # --- numbers of the host ------------------------------------------------------------------

    def each_step(self, action: Callable[[], Any]) -> Any:
        """Call `action` now, and at each replay: see `each_step`."""
        number = len(self.actions)
        self.actions.append(action)
        if number < len(self._done):
            result = self._done[number]
        else:
            result = self._ran(action)
        self.returned.append(result)
        wrapped = self._with_hosts(result, number, ())
        self.results.append(replaced(wrapped, _value_or_self))
        return wrapped

    def _ran(self, action: Callable[[], Any]) -> Any:
        """The result of an action, which is not recorded."""
        if self.watch is not None:
            self.watch()
        token = _each_step.recorder.set(None)
        try:
            result = action()
        finally:
            _each_step.recorder.reset(token)
        if self.watch is not None:
            self.watch()
        return replaced(result, unwrapped)

    def _with_hosts(self, x: Any, number: int, path: tuple[Any, ...]) -> Any:
        """The result of action `number`, or the part at `path`, with recorded numbers and arrays."""
        if isinstance(x, dict):
            return {key: self._with_hosts(part, number, (*path, key)) for key, part in x.items()}
        if isinstance(x, (tuple, list)):
            parts = [self._with_hosts(part, number, (*path, i)) for i, part in enumerate(x)]
            return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
        if isinstance(x, float) and not isinstance(x, np.generic):
            return self.number(float(x), ("action", number, path))
        if compat.is_array_api_obj(x):
            value = self._new_host(tuple(x.shape), x.dtype, ("action", number, path))
            return self.wrap(x, value)
        return x

    def _new_host(self, shape: tuple[int, ...], dtype: Any, recipe: tuple[Any, ...]) -> Value:
        value = Value(shape, dtype, "host", len(self.hosts))
        self.hosts.append(value)
        self.recipes.append(recipe)
        return value

    def number(self, x: float, recipe: tuple[Any, ...]) -> "RecordedNumber":
        """A number that is computed at each step."""
        return RecordedNumber(x, self._new_host((), None, recipe), self)


def _value_or_self(x: Any) -> Any:
    return x.value if isinstance(x, RecordedArray) or type(x) is RecordedNumber else x


def _result_dtype(name: str, args: tuple[Any, ...]) -> Any:
    """The dtype of `x op y` for x op= y, if it may be another one than that of x; else None."""
    x, y = args[0], args[-1]
    if name in ("set_item", "scatter_add") or not isinstance(y, RecordedArray):
        return None
    if y.dtype == x.dtype and name != "divide":
        return None
    xp = compat.array_namespace(x.array)
    return x.dtype if y.dtype == x.dtype else xp.result_type(x.array, y.array)


class RecordedNumber:
    """A number that Python computes at each step: a float that remembers how it was computed.

    It is no subclass of float: C code would read the number of a float without a trace, and the
    replay would repeat it.
    """

    __slots__ = ("number", "recorder", "value")

    def __init__(self, number: float, value: Value, recorder: Recorder) -> None:
        self.number = number
        self.value = value
        self.recorder = recorder

    __class__ = property(lambda _: float)  # for isinstance(x, float)

    def _read(self, kind: str) -> float:
        self.recorder.fail(f"reads a number of the step: {kind}", NUMBER)
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
        return float, (self.number,)

    def __repr__(self) -> str:
        return repr(self._read("repr(x)"))

    def is_integer(self) -> bool:
        return self._read("is_integer").is_integer()


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
        recipe = ("derived", function, tuple(_value_or_self(x) for x in (a, b)))
        return recorder.number(found, recipe)

    return compute, lambda x, y: compute(y, x)


def _number_function(function: Callable[..., Any]) -> Any:
    def compute(x: RecordedNumber) -> RecordedNumber:
        return x.recorder.number(function(x.number), ("derived", function, (x.value,)))

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
