"""Recording arrays: they compute as the library's own, and keep a record of what was computed.

A `RecordedArray` is put in the place of each array that a step can reach. The step then runs as it is,
on real numbers, while each call of a function of the standard, each operator, and each kernel becomes
an `Operation`.
"""

import copy
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from types import ModuleType
from typing import Any

import array_api_compat as compat
import numpy as np

from xpnet._interoperability.numpy.creation import CREATIONS
from xpnet._libraries import library_of
from xpnet._typing import Array, Device, Namespace
from xpnet.autodiff.namespace import array_types
from xpnet.autodiff.variable import Variable
from xpnet.backend import array_like, to_numpy
from xpnet.compiler.calls import (
    CHANGES,
    UFUNCS,
    UNARY,
    Recorded,
    called,
    copied,
    on_copy,
    unwrapped,
)
from xpnet.compiler.failures import METHOD, OUTSIDE, SHAPE
from xpnet.compiler.origins import is_xpnets_file
from xpnet.compiler.record import Value, leaves, replaced
from xpnet.compiler.recording_namespace import recorded_kernel, recorded_module, recording_namespace
from xpnet.compiler.sharing import has_identity, overlap
from xpnet.errors import MissingAttributeError
from xpnet.kernels.lookup import Kernel

__all__ = ["RecordedArray", "name_of", "recorded_type", "with_item"]


class RecordedArray(Recorded):
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
    part_of : (RecordedArray, key), or None
        The array and the key that it was selected by, if it shares that array's memory.
    """

    __slots__ = ("__weakref__", "array", "part_of", "recorder", "stale", "value")
    __hash__ = object.__hash__
    namespace: Namespace  # of the subclass

    def __init__(self, array: Array, value: Value, recorder: Any) -> None:
        self.array = array
        self.value = value
        self.recorder = recorder
        self.stale = ""
        self.part_of: tuple[RecordedArray, Any] | None = None

    plain: Any = property(lambda x: x.array)
    __class__: Any = property(
        lambda x: x.array.__class__
    )  # isinstance(x, np.ndarray) is as eager code's
    shape: Any = property(lambda x: tuple(x.array.shape))
    dtype: Any = property(lambda x: x.array.dtype)
    ndim: Any = property(lambda x: x.array.ndim)
    size: Any = property(lambda x: x.array.size)  # a method of PyTorch's arrays
    device: Any = property(lambda x: compat.device(x.array))

    def __array_namespace__(self, *, api_version: str | None = None) -> Namespace:
        return self.namespace

    @property
    def T(self) -> Array:  # noqa: N802 - the standard's name
        name = "matrix_transpose" if self.ndim == 2 else "x.T"  # which reverses all axes
        return called(name, _transposed, (self,), {})

    @property
    def mT(self) -> Array:  # noqa: N802 - the standard's name
        return called("matrix_transpose", _matrix_transposed, (self,), {})

    def to_device(self, device: Device, /, *, stream: Any = None) -> Array:
        return called("to_device", compat.to_device, (self, device), {"stream": stream})

    def __getitem__(self, key: Any) -> Array:
        if any(_is_computed_mask(x) for x in leaves(key)):
            self.recorder.fail("selects by a mask, x[mask]: a shape that depends on values", SHAPE)
        part = called("getitem", operator.getitem, (self, key), {})
        is_new = isinstance(part, RecordedArray) and part is not self
        if is_new and _is_basic(key) and overlap(part.array, self.array):
            part.part_of = (self, key)
        return part

    def __setitem__(self, key: Any, value: Array) -> None:
        if isinstance(value, RecordedArray) and self._has_changed_with(value, key):
            return
        self.recorder.about_to_change(self.array)
        self.array[replaced(key, unwrapped)] = unwrapped(value)
        self.recorder.changed_in_place(self, "set_item", with_item, (self, key, value))

    def _has_changed_with(self, part: "RecordedArray", key: Any) -> bool:
        """Whether it is the end of `x[key] += y`, for which Python assigns the part to x[key]."""
        if part.part_of is None or part.stale or self.stale or not _is_basic(key):
            return False
        whole, own_key = part.part_of
        return whole is self and own_key == key

    def recorded_kernels(self, table: Mapping[str, Kernel]) -> dict[str, Kernel]:
        """The kernels of the library, each as an operation of its name: for `xpnet.kernels`."""
        return {name: recorded_kernel(name, found) for name, found in table.items()}

    def recorded_windows(self, module: ModuleType) -> Any:
        """The functions of a module for convolution and pooling, recorded: for `xpnet.kernels`."""
        return recorded_module(module)

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
        if _has_variable(map(type, inputs)):
            return NotImplemented
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        name = name_of(ufunc, method)
        if method == "at":
            return self._changed_first(name, function, inputs, options)
        out = options.get("out", (None,))[0]
        if method == "__call__" and list(options) == ["out"] and isinstance(out, RecordedArray):
            made = function(*replaced(inputs, unwrapped))
            if getattr(made, "shape", None) == out.shape:
                self.recorder.about_to_change(out.array)
                function(*replaced(inputs, unwrapped), out=out.array)
                change = out.recorder.changed_in_place
                return change(out, name, function, inputs, computed=made.dtype)
        return called(name, function, inputs, options)

    def _changed_first(self, name: str, function: Any, args: Any, options: Any) -> Any:
        """function(*args, **options), which changes its first argument in place, recorded."""
        changed = args[0] if args else None
        self.recorder.about_to_change(unwrapped(changed), isinstance(changed, RecordedArray))
        result = function(*replaced(args, unwrapped), **replaced(options, unwrapped))
        if not isinstance(changed, RecordedArray):
            self.recorder.fail(f"calls {name}, which writes into another array", OUTSIDE)
            return result
        change = changed.recorder.changed_in_place
        change(changed, name, on_copy(function), args, options, changed.dtype)
        return result

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        """NumPy's own function of NumPy's arrays: `np.sum(x)`."""
        if _has_variable(types):
            return NotImplemented
        name = f"np.{function.__name__}"
        if function.__name__ in CREATIONS and not isinstance(self.array, np.ndarray):
            options = options | {"like": self}  # NumPy has taken it out; only its own need none
        if function.__name__ in CHANGES:
            return self._changed_first(name, function, args, options)
        return called(name, function, args, options)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), options: Any = None
    ) -> Any:
        """PyTorch's own function of its arrays: `torch.cat([x, y])`."""
        return called(f"torch.{function.__name__}", function, args, options or {})

    def __round__(self, *digits: int) -> Any:
        if not digits:  # an int
            return round(self.recorder.read("round", self))
        return called("x.round", _by_name("round"), (self, *digits), {})

    def __divmod__(self, y: Array) -> Any:
        return called("divmod", divmod, (self, y), {})

    def __rdivmod__(self, y: Array) -> Any:
        return called("divmod", divmod, (y, self), {})

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
        return called("asarray", copied, (self,), {})

    def __deepcopy__(self, memo: Any) -> Array:
        return called("asarray", copied, (self,), {})

    def __reduce__(self) -> Any:
        return copy.copy, (self.recorder.read("pickle", self),)

    def __repr__(self) -> str:
        return repr(self.recorder.read("repr", self))

    def __str__(self) -> str:
        return str(self.recorder.read("str", self))

    def __format__(self, spec: str) -> str:
        return format(self.recorder.read("format", self), spec)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in RecordedArray.__slots__:
            object.__setattr__(self, name, value)
            return
        self.recorder.fail(f"assigns to x.{name} of an array", METHOD)
        self.recorder.about_to_change(self.array)
        setattr(self.array, name, unwrapped(value))

    def __getattr__(self, name: str) -> Any:
        """What arrays of the library have beyond the standard: `x.sum()`, `x.real`."""
        if name in MEMORY and hasattr(self.array, name):
            return getattr(self.recorder.read("np.asarray", self), name)
        if name.startswith("_") or (name in OWN and _is_asked_by_xpnet()):
            raise MissingAttributeError(f"An array that is recorded has no {name!r}.")
        found = getattr(self.array, name)
        if name in ("real", "imag"):
            return called(name, _part, (self, name), {})
        if name in SHAPES:
            return found
        if callable(found) and name not in OWN:
            return partial(_called_method, self, name)
        self.recorder.fail(f"reads x.{name} of an array", METHOD)
        return found


OWN = frozenset(
    [
        *RecordedArray.__slots__,
        *("backward", "cleargrad", "creator", "data", "grad", "node", "raw_grad", "requires_grad"),
        *("zero_grad", "flags", "base"),
    ]
)
"""Attributes of this class, and those by which xpnet recognizes others: arrays of a library may have them."""

MEMORY = frozenset(("__array_interface__", "__array_struct__", "__cuda_array_interface__"))
"""Attributes that say where the numbers of an array are."""


def _is_asked_by_xpnet() -> bool:
    """Whether an attribute of a recording array is asked for by code of xpnet."""
    return is_xpnets_file(sys._getframe(2).f_code.co_filename)  # noqa: SLF001 - the one way to a caller


SHAPES = frozenset(
    [
        *("itemsize", "nbytes", "strides"),
        *("dim", "element_size", "is_complex", "is_cuda", "is_floating_point", "numel"),
    ]
)
"""Attributes and methods of NumPy's and PyTorch's arrays that depend on their shape and dtype only."""

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


def _has_variable(types: Iterable[type]) -> bool:
    """Whether NumPy should ask a Variable instead, whose function records the derivative too."""
    return any(issubclass(kind, Variable) for kind in types)


def _called_method(x: RecordedArray, name: str, *args: Any, **options: Any) -> Any:
    """x.name(*args, **options), recorded."""
    if name not in METHODS:
        x.recorder.fail(f"calls x.{name}() of an array", METHOD)
        x.recorder.about_to_change(x.array)
    return called(f"x.{name}", _by_name(name), (x, *args), options)


@cache
def _by_name(name: str) -> Callable[..., Any]:
    """The function that calls a method of this name."""

    def call(x: Array, *args: Any, **options: Any) -> Any:
        return getattr(x, name)(*args, **options)

    return call


def name_of(ufunc: Any, method: str) -> str:
    """The standard's name of a function of NumPy's; another one's for what only looks like it."""
    name: str = ufunc.__name__
    if getattr(np, name, None) is not ufunc:
        return f"ufunc.{name}.{method}"
    return UFUNCS.get(name, name) if method == "__call__" else f"np.{name}.{method}"


def _transposed(x: Array) -> Array:
    return x.T


def _part(x: Array, name: str) -> Array:
    """The real or the imaginary part of an array."""
    return getattr(x, name)


def _matrix_transposed(x: Array) -> Array:
    return x.mT


def _is_basic(key: Any) -> bool:
    """Whether a key is of integers, slices of them, and `...`: what it selects may share memory."""
    parts = key if isinstance(key, tuple) else (key,)
    numbers = [x for x in parts if x is not Ellipsis and not isinstance(x, slice)]
    bounds = [x for part in parts if isinstance(part, slice) for x in leaves(part) if x is not None]
    return all(type(x) is int for x in (*numbers, *bounds))


def with_item(x: Array, key: Any, value: Array) -> Array:
    """A new array: x after x[key] = value."""
    return library_of(x).with_item(x, key, value)


def _is_computed_mask(x: Any) -> bool:
    """Whether x is a recorded array of booleans."""
    return isinstance(x, RecordedArray) and "bool" in str(x.dtype) and x.value.source != "constant"


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
        x.recorder.about_to_change(before)
        after = change(before, unwrapped(y))
        if after is not before or not has_identity(before):  # NumPy's scalars cannot be changed
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


for _name, _method, _unary in UNARY:
    setattr(
        RecordedArray,
        f"__{_method}__",
        lambda x, name=_name, function=_unary: called(name, function, (x,), {}),
    )


@cache
def recorded_type(xp: Namespace, kind: type) -> type[RecordedArray]:
    """The class of the recording arrays for one class of arrays, with their namespace."""
    name = xp.__name__.removeprefix("array_api_compat.")
    members = {"__slots__": (), "namespace": recording_namespace(xp), "__module__": __name__}
    made = type(f"RecordedArray[{name}]", (RecordedArray,), members)
    if kind is not np.generic:  # `as_array` makes arrays of NumPy's scalars
        array_types.add(made)
    return made
