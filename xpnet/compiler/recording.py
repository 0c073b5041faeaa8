"""The recorder: what is recorded while a step runs."""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import enumerate as all_threads, get_ident
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Self

import array_api_compat as compat
import numpy as np

from xpnet import _each_step, _libraries
from xpnet._libraries import library_of
from xpnet._typing import Array, DType, Namespace
from xpnet.compiler import float_errors
from xpnet.compiler.calls import Recorded, is_fact, unwrapped
from xpnet.compiler.failures import (
    ACTION,
    ADVICE,
    DETACH,
    ERRORS,
    METHOD,
    READ,
    STALE,
    THREAD,
    Failure,
    where,
)
from xpnet.compiler.origins import is_users_code
from xpnet.compiler.record import Operation, Value, alike, leaves, replaced
from xpnet.compiler.recorded_array import RecordedArray, recorded_type, with_item
from xpnet.compiler.recorded_library import RecordedLibrary, recording_backend
from xpnet.compiler.recorded_number import RecordedNumber, value_or_self
from xpnet.compiler.sharing import has_identity, memory_of, overlap

if TYPE_CHECKING:
    from xpnet.compiler.rehearsal import Before

__all__ = ["Done", "Recorder"]


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
    of_user : list of bool
        Whether they may run code of the user's, which may change a number that it did not change before.
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
    is_in_place : function
        Whether a recorded array is in a place, where other threads may find it.
    before : Before or None
        It keeps copies of the arrays that are changed in place.
    traced : bool
        Whether an array has no numbers, since a function of the library traces the step: `jax.jit`.
    handed_over : list of (function, arguments)
        What `hand_over` was given: the functions are to be called if the call is not undone.
    steps : dict from int to (layer, Step)
        What layers remember of a `forward` within the call, by their ids, for `backward`.
    """

    def __init__(self, done: Any = ()) -> None:
        self.operations: list[Operation] = []
        self.hosts: list[Value] = []
        self.recipes: list[tuple[Any, ...]] = []
        self.actions: list[Callable[[], Any]] = []
        self.of_user: list[bool] = []
        self.results: list[Any] = []
        self.returned: list[Any] = []  # what the actions returned, as they are
        self.failures: list[Failure] = []
        self.foreign: list[Value] = []
        self.libraries: dict[Value, str] = {}
        self.known: dict[int, Value] = {}
        self.watch: Callable[[], None] | None = None
        self.is_in_place: Callable[[Recorded], bool] = lambda _: False
        self.before: Before | None = None
        self.traced = False
        self.handed_over: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.steps: dict[int, Any] | None = {}
        self._done = list(done)
        self._live: dict[int | None, list[weakref.ref[RecordedArray]]] = {}  # by their memory
        self._tokens: list[Any] = []
        self._thread: int | None = None
        self._reports = False  # whether NumPy raised errors of floats when the recording began
        self._threads: set[int | None] = set()  # those that ran when the recording began
        self._backend: Any = None

    def __enter__(self) -> Self:
        self._backend = recording_backend()
        self._backend.__enter__()
        self._tokens.append(_each_step.recorder.set(self))
        self._thread = get_ident()
        self._reports = float_errors.are_reported()
        self._threads = {thread.ident for thread in all_threads()}
        return self

    def __exit__(self, *error: object) -> None:
        _each_step.recorder.reset(self._tokens.pop())
        self.steps = {}  # without the arrays of this call
        self._backend.__exit__(None, None, None)

    def kind_of(self, xp: Namespace, kind: type) -> type[RecordedArray]:
        """The class of the recording arrays for one class of arrays; a subclass may choose another."""
        return recorded_type(xp, kind)

    def wrap(self, array: Array, value: Value) -> RecordedArray:
        """An array as a RecordedArray for this value."""
        own_kind = np.generic if isinstance(array, np.generic) else type(array)
        kind = self.kind_of(compat.array_namespace(array), own_kind)
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
            self._require_fact(name, args, options)
            return result
        for x in leaves((args, options)):
            if isinstance(x, RecordedArray) and x.array is result and has_identity(result):
                return x  # nothing was computed, such as by astype(x, x.dtype, copy=False)
        if float_errors.are_reported() and not self._reports:
            self.fail("computes where np.errstate raises or prints", ERRORS)
        done = self._new(name, function, args, options)
        wrapped = replaced(result, lambda x: self._output(x, done))
        done.result = replaced(wrapped, value_or_self)
        self.operations.append(done)
        return wrapped

    def _require_fact(self, name: str, args: Any, options: Any) -> None:
        """Note that a call whose result holds no array has read values, or changed an array."""
        if is_fact(name):
            return
        if any(isinstance(x, RecordedArray) for x in leaves((args, options))):
            self.fail(f"calls {name}, which reads an array or changes it", READ)

    def _new(self, name: str, function: Any, args: Any, options: Any) -> Operation:
        done = Operation(name, function, (), {}, where=where())
        for x in leaves((args, options)):
            if isinstance(x, RecordedArray) and x.stale and x.recorder is self:
                what = f"the step reads an array that was changed through another one in {x.stale}"
                self.failures.append(Failure(done.where, what, STALE))
        done.args = replaced(args, self._value_of)
        done.options = replaced(options, self._value_of)
        return done

    def note_memory(self, array: Array) -> None:
        """Note that an array is older than the step: a copy is kept before it is changed."""
        if self.before is not None:
            self.before.add_memory(array)

    def about_to_change(self, array: Array, is_known: bool = True) -> None:
        """Keep a copy of an array that the step will change in place: see `Before.keep`."""
        if self.before is not None and _each_step.recorder.get() is self:
            self.before.keep(array, is_known)

    def about_to_write(self, out: Any) -> None:
        """Keep copies of the arrays that a function of the library is to write into."""
        for x in leaves(out):
            if compat.is_array_api_obj(x):
                self.about_to_change(unwrapped(x), isinstance(x, RecordedArray))

    def changed_in_place(
        self,
        x: RecordedArray,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        options: Mapping[str, Any] = MappingProxyType({}),
        computed: DType | None = None,
    ) -> RecordedArray:
        """Record that x was changed: its memory already is.

        `function` computes the new array, with the dtype `computed`: by default that of `x op y`.
        """
        if x.recorder is not self or not self._is_of_this_thread(x):
            return x
        done = self._new(name, function, args, dict(options))
        self._mark_stale(x, done.where)
        self._require_no_argument(x, done)
        dtype = x.dtype
        if computed is None:
            computed = _result_dtype(name, args) or dtype
        value = self._add_output(done, x.array, computed)
        self.operations.append(done)
        done.result = value
        if computed != dtype:
            xp = compat.array_namespace(x.array)
            cast = Operation("astype", xp.astype, (value, dtype), {}, where=done.where)
            value = self._add_output(cast, x.array, dtype)
            cast.result = value
            self.operations.append(cast)
        x.value = value
        self._change_whole(x)
        return x

    def _require_no_argument(self, x: RecordedArray, change: Operation) -> None:
        """Note that the caller would find an argument that the step has changed in place."""
        if x.value.source == "argument":
            what = f"the step changes the argument {x.value.name} in place"
            self.failures.append(Failure(change.where, what, "Return the new array."))

    def _change_whole(self, x: RecordedArray) -> None:
        """Record that the array y, of which x is the part y[key], has changed with it."""
        while x.part_of is not None:
            y, key = x.part_of
            done = self._new("set_item", with_item, (y, key, x), {})
            self._require_no_argument(y, done)
            done.result = y.value = self._add_output(done, y.array, y.dtype)
            self.operations.append(done)
            x = y

    def _is_of_this_thread(self, x: RecordedArray) -> bool:
        """Whether a change of x is recorded; one by another thread of the step would be lost."""
        if _each_step.recorder.get() is self:
            return True
        self.fail("changes an array in another thread", THREAD, x)
        return False

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
        """Mark the arrays that share memory with x, whose memory has changed, apart from its wholes."""
        wholes = list(_wholes(x))
        memory = memory_of(x.array)
        keys = [*self._live] if memory is None else [memory, None]
        for key in keys:
            for other in self._alive(key):
                if other is x or other.stale or any(other is y for y in wholes):
                    continue
                if overlap(other.array, x.array):
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
        if getattr(
            x.dtype, "hasobject", False
        ):  # its memory holds references, which a replay has not
            self.fail("computes an array of Python's objects", METHOD)
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
            if getattr(x, "requires_grad", False):  # in a block of torch.no_grad it would not be
                self.fail("computes with a tensor of PyTorch's that requires a gradient", DETACH)
            self.known[id(x)] = value  # which keeps x alive, so that its id remains its own
            self.foreign.append(value)
        return value

    def hand_over(self, receiver: Callable[..., None], args: tuple[Any, ...]) -> None:
        """Record an operation without results: see `hand_over`."""
        self.operations.append(self._new("hand_over", receiver, args, {}))
        self.handed_over.append((receiver, replaced(args, unwrapped)))

    # --- what cannot be replayed --------------------------------------------------------------

    def fail(self, what: str, advice: str, x: Recorded | None = None) -> None:
        """Note that the step does something that cannot be replayed, with x perhaps in another thread."""
        if _each_step.recorder.get() is self or (x is not None and self.is_used_by_step(x)):
            self.failures.append(Failure(where(self._thread), f"the step {what}", advice))

    def read(self, kind: str, x: RecordedArray) -> Array:
        """Note that the step reads a value, and return the array."""
        if kind in ("np.asarray", "dlpack"):  # it may be written to, too
            self.about_to_change(x.array)
        what = f"reads a value: {kind}(x) of an array of shape {x.shape}"
        self.fail(what, ADVICE.get(kind, READ), x)
        return x.array

    def is_used_by_step(self, x: Recorded) -> bool:
        """Whether it is the step that uses x here: itself, in an action, or in another thread.

        What is in a place may be used by an action, and by any thread that ran before.
        """
        if _each_step.recorder.get() is self:
            return True
        is_running = bool(self._tokens)
        return is_running and (get_ident() not in self._threads or not self.is_in_place(x))

    def computed_elsewhere(self, name: str, x: Recorded) -> None:
        """Note a call of a function of x that is not recorded, if it is the step that makes it."""
        if get_ident() == self._thread:
            self.fail(f"calls {name} of an array or a number of its own in an action", ACTION, x)
        else:
            self.fail(f"calls {name} in another thread", THREAD, x)

    # --- numbers of the host ------------------------------------------------------------------

    def each_step(self, action: Callable[[], Any]) -> Any:
        """Call `action` now, and at each replay: see `each_step`."""
        number = len(self.actions)
        self.actions.append(action)
        self.of_user.append(is_users_code(action))
        if number < len(self._done):
            result = self._done[number]
        else:
            result = self._ran(action)
        self.returned.append(result)
        wrapped = self._with_hosts(result, number, ())
        self.results.append(replaced(wrapped, value_or_self))
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
            items = {key: self._with_hosts(part, number, (*path, key)) for key, part in x.items()}
            return alike(x, items)
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

    def number(self, x: float, recipe: tuple[Any, ...]) -> RecordedNumber:
        """A number that is computed at each step."""
        number = RecordedNumber(x, self._new_host((), None, recipe), self)
        if _each_step.recorder.get() is not self:
            self.computed_elsewhere("an operator", number)
        return number


def _result_dtype(name: str, args: tuple[Any, ...]) -> Any:
    """The dtype of `x op y` for x op= y, if it may be another one than that of x; else None."""
    x = args[0]
    y = args[-1]
    if name in ("set_item", "scatter_add") or not isinstance(y, RecordedArray):
        return None
    if y.dtype == x.dtype and name != "divide":
        return None
    xp = compat.array_namespace(x.array)
    return x.dtype if y.dtype == x.dtype else xp.result_type(x.array, y.array)


def _wholes(x: RecordedArray) -> Iterator[RecordedArray]:
    """The arrays that x is a part of."""
    while x.part_of is not None:
        x = x.part_of[0]
        yield x


class Done:
    """A block in which the first actions of `each_step` are not called: they ran already.

    Nothing is recorded.

    Parameters
    ----------
    results : sequence
        What these actions returned.
    changes : sequence of (Place, value)
        What the last one of them has changed: it is put into its place when that action would be called.
    """

    def __init__(self, results: Sequence[Any], changes: Sequence[tuple[Any, Any]] = ()) -> None:
        self.steps: dict[int, Any] | None = None
        self._results = list(results)
        self._changes = changes
        self._tokens: list[Any] = []

    def __enter__(self) -> None:
        self._tokens.append(_each_step.recorder.set(self))

    def __exit__(self, *error: object) -> None:
        _each_step.recorder.reset(self._tokens.pop())

    def each_step(self, action: Callable[[], Any]) -> Any:
        """What the action returned, or returns now."""
        if self._results:
            result = self._results.pop(0)
            if not self._results:
                for place, x in self._changes:
                    place.set(x)
            return result
        token = _each_step.recorder.set(None)
        try:
            return action()
        finally:
            _each_step.recorder.reset(token)

    def hand_over(self, receiver: Callable[..., None], args: tuple[Any, ...]) -> None:
        """Call the receiver: nothing is recorded."""
        receiver(*args)
