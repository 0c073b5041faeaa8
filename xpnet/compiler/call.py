"""One call of a step that is recorded: the arrays that it can reach are replaced while it runs."""

import inspect
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from operator import is_
from typing import Any, NamedTuple

import array_api_compat as compat
import numpy as np

from xpnet._libraries import library_of
from xpnet._libraries.devices import device_key
from xpnet._typing import Array
from xpnet.autodiff.namespace import as_array
from xpnet.autodiff.variable import Variable, constant, variable_of
from xpnet.compiler.calls import unwrapped
from xpnet.compiler.failures import STALE, TUPLE, Failure, where
from xpnet.compiler.generators import Draws
from xpnet.compiler.origins import owned_by
from xpnet.compiler.reads import noted
from xpnet.compiler.record import Program, Value, alike, leaves, replaced
from xpnet.compiler.recorded_array import RecordedArray
from xpnet.compiler.recorded_number import RecordedNumber, value_or_self
from xpnet.compiler.recording import Recorder
from xpnet.compiler.rehearsal import Before
from xpnet.compiler.sharing import conflicting, has_identity
from xpnet.compiler.state import (
    ITERATORS,
    SCALARS,
    Entry,
    Place,
    Survey,
    is_array,
    is_dtype,
    survey,
)
from xpnet.errors import CompileError
from xpnet.optimizers import averaging

__all__ = [
    "Constant",
    "Recording",
    "Scalar",
    "exclusive",
    "is_recording",
    "objects_in",
    "recorded_call",
    "roots_of",
]

_record_lock = threading.RLock()

_holds_lock: ContextVar[bool] = ContextVar("xpnet_compiler_holds_lock", default=False)


@contextmanager
def exclusive() -> Iterator[None]:
    """A block for one thread at a time, in which arrays may be replaced by recording arrays.

    Another thread's call must not find them. Compiled functions that are called within the block, also
    by actions of `each_step`, run as they are: they wait for no lock that another thread might hold
    while it waits for this one.
    """
    with _record_lock:
        token = _holds_lock.set(True)
        try:
            yield
        finally:
            _holds_lock.reset(token)


def is_recording() -> bool:
    """Whether this code is called within an `exclusive` block."""
    return _holds_lock.get()


class Constant(NamedTuple):
    """In the tree of a result: a Variable without history, of the array with this Value."""

    value: Value


class Scalar(NamedTuple):
    """In the tree of a result: one of NumPy's numbers, `np.float64(2.0)`; a replay computes a 0-d array."""

    value: Value


Found = dict[tuple[int, Any], tuple[Place, Value]]
"""The places that hold recorded arrays after a call, by their ids."""


@dataclass(eq=False)
class Recording:
    """One call of a step, and what was recorded of it.

    Attributes
    ----------
    result : Any
        What the call returned: real numbers.
    program : Program
        Not cleaned. Its outputs are the arrays of the result.
    cells : list of lists of Place
        For each state, the places that hold its array.
    tree : Any
        The result with Values in place of arrays and of numbers of the host.
    writes : list of (Place, Value)
        Places that hold a new array after the call, which are no cells of a state.
    gradients : list of (Place, Value, bool)
        The gradients of Variables that the step computes, and whether it has used them itself.
    before : Survey
        What the step could reach before the call.
    presence : tuple of bool
        For each place of a gradient in `before`, whether there was one.
    written : set of Place ids
        The numbers that actions of `each_step` have changed.
    drawn : dict from int to generator
        The generators that actions draw from, by their ids.
    read : set of Place ids
        The numbers of each step that the step itself may have read.
    changes : dict from Place id to str
        What else the step has changed: a replay would not.
    library : str
        The name of the library of its arrays; "" if they are of several.
    varying : set of Place ids
        The scalars of NumPy that the step has changed.
    cell_keys : tuple
        See `cell_keys`.
    stores : list of (Place id, Value)
        What `writes` and `gradients` put where, for the guard.
    held : list of arrays or None
        For each state, its array if it is in no place that can be assigned to.
    recorder : Recorder
    """

    result: Any
    program: Program
    cells: list[list[Place]]
    tree: Any
    recorder: Recorder
    before: Survey
    presence: tuple[bool, ...]
    library: str
    varying: set[tuple[int, Any]]
    cell_keys: Any
    stores: list[tuple[tuple[int, Any], Value]]
    held: list[Array | None]
    writes: list[tuple[Place, Value]]
    gradients: list[tuple[Place, Value, bool]]
    written: set[tuple[int, Any]]
    drawn: dict[int, Any]
    read: set[tuple[int, Any]]
    changes: dict[tuple[int, Any], str]


def objects_in(args: Any) -> list[Any]:
    """The arguments that are neither arrays nor scalars: a model, for example."""
    return [x for x in leaves(args) if not is_argument(x) and not isinstance(x, SCALARS)]


def roots_of(function: Callable[..., Any], args: Any, options: Any) -> list[Any]:
    """What a call can reach its arrays from."""
    roots = [function, *objects_in((tuple(args), options))]
    averages = averaging._applied.get()  # noqa: SLF001 - of the block around the call
    if averages:
        roots.append(averages)
    return roots


def is_argument(x: Any) -> bool:
    """Whether x is an array, or a Variable, which becomes an input of the step.

    Raises
    ------
    CompileError
        It is a Variable that requires a gradient, or was computed with one.
    """
    if not isinstance(x, Variable):
        return is_array(x)
    if x.requires_grad:
        raise CompileError(
            "Expected arrays or constant Variables as arguments of a compiled function, got a "
            "Variable that requires a gradient. Pass x.data, and create the Variable within the "
            "function; or let the function refer to it, as it does to a model."
        )
    return True


def cell_keys(found: Survey) -> tuple[Any, ...]:
    """For each cell, the kind of array in it, and which cells hold the same array."""
    number: dict[Any, int] = {}
    keys = []
    for place in found.cells:
        x = unwrapped(place.get())
        keys.append((number.setdefault(_identity(x, place), len(number)), array_key(x)))
    return tuple(keys)


def _identity(x: Array, place: Place) -> Any:
    """What is equal for the places that hold one array."""
    if has_identity(unwrapped(x)):
        return id(x)
    return place.id


def array_key(x: Array) -> Any:
    """What is equal for two arrays that one plan may be given."""
    kind = np.ndarray if isinstance(x, np.generic) else type(x)  # NumPy returns both
    return kind, tuple(x.shape), str(x.dtype), device_key(compat.device(x))


def _replaced_in_tuple(x: Any, new: Callable[[Any], Any]) -> Any:
    """A tuple with new(x) for each x in it, and in tuples in it; lists and dicts remain the same ones."""
    if not isinstance(x, tuple):
        return new(x)
    parts = [_replaced_in_tuple(part, new) for part in x]
    return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)


class _Call:
    """The parts of `recorded_call`, and what they share."""

    def __init__(
        self,
        roots: Sequence[Any],
        done: Sequence[Any],
        varying: Collection[tuple[int, Any]],
    ) -> None:
        self.survey = partial(survey, *roots, varying=varying)
        self.recorder = Recorder(done)
        self.before = self.survey()
        self.snapshot = self.before.snapshot()
        self.start = list(self.snapshot)
        self.draws = Draws(self.before.generators)
        self.written: set[tuple[int, Any]] = set()
        self.varying: set[tuple[int, Any]] = set()
        self.in_action = False
        self.cells: list[list[Place]] = []
        self.states: list[RecordedArray] = []
        self.held: list[Array] = []
        self.lost: dict[tuple[int, Any], str] = {}
        self.read: dict[tuple[int, Any], Failure] = {}
        self.initial: list[Value] = []
        self.of_place: dict[tuple[int, Any], int] = {}
        self.tuples: list[tuple[Place, Any, Any]] = []  # what was there, and what took its place
        self.in_place_of: Callable[[Any], Any] = unwrapped
        self.presence = tuple(place.get() is not None for place in self.before.gradients)
        self.cell_keys = cell_keys(self.before)
        self.recorder.watch = self.watch
        self.recorder.is_in_place = self.is_in_place

    def watch(self) -> None:
        """Note what changes within an action. It is called before and after each of them."""
        if self.in_action:
            for entry, _, _ in self.before.changed_since(self.snapshot):
                self.written.add(entry.place.id)
            self.draws.resume()
        else:
            self.draws.pause()
        self.snapshot = self.before.snapshot()
        self.in_action = not self.in_action

    def is_in_place(self, x: Any) -> bool:
        """Whether x is, or was at first, in a place where code of other threads may find it, too."""
        held = map(_held, [*self.before.cells, *self.before.gradients])
        arrays = [y.data if isinstance(y, Variable) else y for y in held]
        return any(x is y for y in [*self.states, *arrays])

    def replace_states(self) -> None:
        """Put a RecordedArray into each cell."""
        number: dict[Any, int] = {}
        for place in [*self.before.cells, *self.before.gradients]:
            x = place.get()
            if x is None or isinstance(x, Variable):  # its array is in a cell of its own
                continue
            key = _identity(x, place)
            if key not in number:
                number[key] = len(self.states)
                self._add_state(unwrapped(x), place.name)
            i = number[key]
            if place.is_settable:
                self.cells[i].append(place)
                self.of_place[place.id] = i
            else:
                self.recorder.known[id(x)] = self.initial[i]
                self.initial[i].fixed = True
        recorded = {key: self.states[i] for key, i in number.items()}
        self.in_place_of = lambda x: recorded.get(id(x), x) if is_array(x) else x
        for x, places in zip(self.states, self.cells, strict=True):
            for place in places:
                place.set(x)
        for place in self.before.tuples:
            given = place.get()
            made = _replaced_in_tuple(given, self.in_place_of)
            self.tuples.append((place, given, made))
            place.set(made)

    def note_read(self, owner: Any, name: str, places: Iterable[tuple[int, Any]]) -> None:
        """Note that the step reads what holds numbers of each step, such as `optimizer.groups`."""
        line = where()
        what = f"the step reads {name} of a {type(owner).__name__}"
        for place_id in places:
            self.read.setdefault(place_id, Failure(line, what, COUNTED))

    def require_unwritten(self) -> None:
        """Note that the step reads a number that an action changes: a replay would repeat the first one."""
        both = [failure for place_id, failure in self.read.items() if place_id in self.written]
        self.recorder.failures += dict.fromkeys(both)

    def _add_state(self, x: Array, name: str) -> None:
        _require_known_class(self.recorder, x, name)
        value = Value(tuple(x.shape), x.dtype, "state", len(self.states), name=name)
        self.initial.append(value)
        self.states.append(self.recorder.wrap(x, value))
        self.recorder.note_memory(x)
        self.cells.append([])
        self.held.append(x)

    def restore(self) -> Found:
        """Put the libraries' arrays back; returns the places that hold recorded arrays at the end."""
        found: Found = {}
        for place, given, made in self.tuples:
            if _held(place) is made:
                place.set(given)
        for places in self.cells:
            for place in places:
                self._restore(place, found)
                self._note_other(place, found)
        after = self.survey()
        for place in [*after.cells, *after.gradients]:
            self._restore(place, found)
        for place in after.tuples:  # those that the step has made
            given = place.get()
            if any(isinstance(x, RecordedArray) for x in leaves(given)):
                place.set(_replaced_in_tuple(given, unwrapped))
        for place, _, value, _ in after.entries:
            if type(value) is RecordedNumber:
                if place.is_settable:
                    place.set(value.number)
                self.recorder.failures.append(_kept_number(place))
        self.after = after
        return found

    def _restore(self, place: Place, found: Found) -> None:
        x = _held(place)
        if isinstance(x, Variable):  # the gradient of `backward(create_graph=True)`
            if isinstance(x.data, RecordedArray):
                self.require_current(x.data, place.name)
                found[place.id] = (place, x.data.value)
                x.data = as_array(x.data.array)
            return
        if not isinstance(x, RecordedArray):
            return
        self.require_current(x, place.name)
        if not place.is_settable:
            return
        # A state remains an array where NumPy returns a scalar, and a masked array where it is one.
        place.set(x.array if isinstance(x.array, np.ndarray) else as_array(x.array))
        if x.recorder is self.recorder:
            found[place.id] = (place, x.value)
            i = self.of_place.get(place.id)
            if i is not None and x is not self.states[i]:
                self.initial[i].rebound = True

    def require_current(self, x: RecordedArray, name: str) -> None:
        """Note that the record does not have the numbers that are in the memory of x."""
        if x.stale and x.recorder is self.recorder:
            self.recorder.failures.append(_stale(x, name))

    def _note_other(self, place: Place, found: Found) -> None:
        """Note what is in a cell now if the step has put something else there."""
        if place.id in found or place.is_gradient:
            return
        x = _held(place)
        if is_array(x):
            value = self.recorder._value_of(x)  # noqa: SLF001 - of this package
            found[place.id] = (place, value)
        else:
            change = f"the step changes {place.name} from an array to {_short(x)}"
            self.lost[place.id] = change

    def require_unchanged(self, found: Found) -> None:
        """Put back what a traced step has replaced by arrays without numbers.

        Raises
        ------
        CompileError
            There was any.
        """
        changed = [place for place, _ in found.values() if not _has_values(place.get())]
        if not changed:
            return
        for place in changed:
            i = self.of_place.get(place.id)
            place.set(None if i is None else self.held[i])
        raise CompileError(
            f"The step changes {changed[0].name}, but it is traced, by jax.jit for example: the change "
            "would have no numbers. Call the compiled function itself; it runs the step by jax.jit "
            "already."
        )

    def changes(self) -> dict[tuple[int, Any], str]:
        """What the step has changed outside of actions, apart from arrays."""
        self.draws.pause()
        found = {}
        tuples = {place.id for place, _, _ in self.tuples}  # of recording arrays, in that snapshot
        for entry, _, now in self.before.changed_since(self.snapshot):
            if entry.place.id not in tuples:
                found[entry.place.id] = now
        for entry, _, now in self.before.changed_since(self.start):
            if entry.place.id not in self.written:
                found[entry.place.id] = now
        named = dict(self.lost)
        for key, move in self.draws.moved.items():
            named[key, "state"] = f"the step draws random numbers from {move.name}"
        for entry, before in zip(self.before.entries, self.start, strict=True):
            if entry.place.id in found:
                now = found[entry.place.id]
                if isinstance(before, np.generic) and isinstance(now, (np.generic, np.ndarray)):
                    self.varying.add(entry.place.id)
                    continue
                named[entry.place.id] = _described_change(entry, before, now)
        return named


COUNTED = (
    "It holds numbers that an action of each_step changes: read them in an action, too, or outside of the "
    "step."
)


def _held(place: Place) -> Any:
    """What a place holds; None if it is gone."""
    try:
        return place.get()
    except (AttributeError, KeyError, IndexError, ValueError):
        return None


def _has_values(x: Any) -> bool:
    """Whether x is no array that only stands for one, while JAX traces a function."""
    x = x.data if isinstance(x, Variable) else x
    return not is_array(x) or library_of(x).has_values(x)


def _described_change(entry: Entry, before: Any, now: Any) -> str:
    name = entry.place.name
    kind = entry.kind
    if kind == "keys" and isinstance(_held(entry.place), ITERATORS):
        return f"the step advances {name}, which is an iterator"
    if kind == "keys" and isinstance(now, int):
        return f"the step changes the length of {name} from {before} to {now}"
    if kind == "keys":
        return f"the step changes the keys of {name} from {_short(before)} to {_short(now)}"
    return f"the step changes {name} from {_short(before)} to {_short(now)}"


def _short(x: Any) -> str:
    if not isinstance(x, (*SCALARS, tuple, frozenset)):
        return f"a {type(x).__name__}"
    text = repr(x)
    return text if len(text) <= 50 else text[:47] + "..."


def _require_known_class(recorder: Recorder, x: Array, name: str) -> None:
    """Note that a replay would compute without what a subclass of NumPy's arrays adds, such as a mask."""
    if isinstance(x, np.ndarray) and type(x) not in (np.ndarray, np.memmap):
        what = f"{name} is a {type(x).__name__}: a replay would compute with its numbers alone"
        recorder.failures.append(Failure("", what, "Pass np.asarray(x)."))


def _kept_number(place: Place) -> Failure:
    what = f"the step keeps a number of each_step in {place.name}"
    return Failure("", what, "Assign it in the action itself.")


def _stale(x: RecordedArray, name: str) -> Failure:
    return Failure(x.stale, f"the step changes {name} through another array", STALE)


def recorded_call(
    function: Callable[..., Any],
    args: Sequence[Any],
    options: Mapping[str, Any] | None = None,
    done: Sequence[Any] = (),
    varying: Collection[tuple[int, Any]] = (),
    before: Before | None = None,
) -> Recording:
    """Call the function, and record it.

    Parameters
    ----------
    function : function
    args, options
        What it is called with.
    done : sequence
        The results of the first actions of `each_step`, which ran already for this call.
    varying : collection of Place ids
        See `survey`.
    before : Before, optional
        It is given what is needed to undo the call.
    """
    options = dict(options or {})
    with exclusive():
        call = _Call(roots_of(function, args, options), done, varying)
        given = _Arguments(call.recorder, function, args, options)
        found: Found = {}
        if before is not None:
            before.begin(call, found)
            call.recorder.before = before
        with owned_by(function), _replaced(call, found), given.written_back(), call.recorder:
            if isinstance(function, partial):  # its arrays are arguments that it has already
                own = function.keywords.items()
                first = _replaced_in_tuple(function.args, call.in_place_of)
                more = {name: _replaced_in_tuple(x, call.in_place_of) for name, x in own}
                result = function.func(*first, *given.args, **{**more, **given.options})
            else:
                result = function(*given.args, **given.options)
        if call.recorder.traced:
            call.require_unchanged(found)
    return _finished(call, given.values, result, found)


@contextmanager
def _replaced(call: _Call, found: Found) -> Iterator[None]:
    """A block in which cells hold recording arrays; at its end, `found` has those that were there."""
    try:
        call.replace_states()
        with noted(call.before.counting, call.note_read):
            yield
    finally:
        try:
            found.update(call.restore())
        except KeyboardInterrupt:  # no recording array may be left in its place
            call.restore()
            raise


class _Arguments:
    """The arguments of a call with recording arrays, in lists and dicts of their own.

    Attributes
    ----------
    values : list of Value
        One for each array, in the order of `leaves`.
    args, options
        What the function is called with.
    """

    def __init__(
        self, recorder: Recorder, function: Callable[..., Any], args: Any, options: Any
    ) -> None:
        self.values: list[Value] = []
        self._recorder = recorder
        self._containers: list[_Container] = []
        self._given: dict[int, Any] = {}  # what the caller gave, by the id of what took its place
        self._made: list[Any] = []  # which keeps these ids
        names = _names_of(function, len(args))
        self.args = [self._replaced(x, name) for x, name in zip(args, names, strict=True)]
        self.options = {name: self._replaced(x, name) for name, x in options.items()}

    def _replaced(self, x: Any, name: str) -> Any:
        """An argument, or what is in it, with recording arrays."""
        if isinstance(x, slice):
            return slice(*(self._leaf(part, name) for part in (x.start, x.stop, x.step)))
        if isinstance(x, dict):
            items = {key: self._replaced(part, f"{name}.{key}") for key, part in x.items()}
            return self._container(x, alike(x, items), name)
        if not isinstance(x, (tuple, list)):
            return self._leaf(x, name)
        parts = [self._replaced(part, f"{name}.{i}") for i, part in enumerate(x)]
        if hasattr(x, "_fields"):
            return type(x)(*parts)
        if isinstance(x, tuple):
            return type(x)(parts)
        return self._container(x, parts if type(x) is list else type(x)(parts), name)

    def _container(self, x: Any, made: Any, name: str) -> Any:
        self._containers.append(_Container(x, made, _items(made), name))
        self._take_place_of(x, made)
        return made

    def _leaf(self, x: Any, name: str) -> Any:
        if not is_argument(x):
            return x
        array = unwrapped(x.data if isinstance(x, Variable) else x)
        _require_known_class(self._recorder, array, name)
        value = Value(tuple(array.shape), array.dtype, "argument", len(self.values), name=name)
        self.values.append(value)
        made: Any = self._recorder.wrap(array, value)
        self._recorder.note_memory(array)
        if isinstance(x, Variable):
            made = variable_of(made, None)
        self._take_place_of(x, made)
        return made

    def _take_place_of(self, x: Any, made: Any) -> None:
        self._given[id(made)] = x
        self._made.append(made)

    @contextmanager
    def written_back(self) -> Iterator[None]:
        """A block at whose end the caller's lists and dicts hold what the step has written into them."""
        try:
            yield
        finally:
            for container in self._containers:
                if not _are_same(container.items, _items(container.made)):
                    self._write_back(container)

    def _write_back(self, container: "_Container") -> None:
        what = f"the step changes the argument {container.name}"
        advice = "Return what is new; or keep it in an object that the function can reach by its attributes."
        self._recorder.failures.append(Failure("", what, advice))
        given = container.given
        if isinstance(given, dict):
            given.clear()
            given.update({key: self._own(x) for key, x in container.made.items()})
        else:
            given[:] = map(self._own, container.made)

    def _own(self, x: Any) -> Any:
        """What the caller finds for something that the step has left in a list or dict."""
        return self._given[id(x)] if id(x) in self._given else replaced(x, plain)


class _Container(NamedTuple):
    """A list or dict among the arguments.

    Attributes
    ----------
    given : list or dict
        The caller's.
    made : list or dict
        What the function is given.
    items : list
        What was in that.
    name : str
    """

    given: Any
    made: Any
    items: list[Any]
    name: str


def _items(container: Any) -> list[Any]:
    """The items of a list; the keys of a dict, and its items."""
    if isinstance(container, dict):
        return [*container, *container.values()]
    return list(container)


def _are_same(xs: list[Any], ys: list[Any]) -> bool:
    """Whether two lists have the same objects in them."""
    return len(xs) == len(ys) and all(map(is_, xs, ys))


def _names_of(function: Callable[..., Any], count: int) -> list[str]:
    """The names of the first arguments: "x", or "batches.0" for one of `*batches`."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # of a function that is written in C
        parameters = []
    if not parameters:
        return [f"argument {i}" for i in range(count)]
    names = []
    for i in range(count):
        parameter = parameters[min(i, len(parameters) - 1)]
        name = parameter.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            name = f"{name}.{i - len(parameters) + 1}"
        names.append(name)
    return names


def _require_results(call: _Call, result: Any) -> None:
    """Note what a replay cannot return."""
    for x in leaves(result):
        if not (isinstance(x, (Variable, type, *SCALARS)) or is_array(x) or is_dtype(x)):
            what = f"the step returns a {type(x).__name__}"
            advice = "Return arrays, Variables, numbers, or tuples, lists and dicts of these."
            call.recorder.failures.append(Failure("", what, advice))
        array = x.data if isinstance(x, Variable) else x
        if isinstance(array, RecordedArray):
            call.require_current(array, "an array that it returns")


def _finished(
    call: _Call,
    arguments: list[Value],
    result: Any,
    found: Found,
) -> Recording:
    """The recording of a call that has returned."""
    recorder = call.recorder
    _require_results(call, result)
    call.require_unwritten()
    used = {id(x) for operation in recorder.operations for x in operation.inputs()}
    _require_memory_of_their_own(call, used)
    tree = replaced(result, value_of)
    outputs = [x for x in leaves(tree) if isinstance(x, Value) and x.source != "host"]
    updates, changed = _updates(call, found)
    writes, gradients = _others(call, found)
    program = Program(
        arguments, call.initial, recorder.hosts, recorder.operations, outputs, updates
    )
    changes = call.changes()
    stores = [(place.id, value) for place, value in changed + writes + gradients]
    pairs = zip(call.held, call.cells, strict=True)
    return Recording(
        result=replaced(result, plain),
        program=program,
        cells=call.cells,
        tree=tree,
        recorder=recorder,
        before=call.before,
        presence=call.presence,
        library=_library_of(recorder, used),
        varying=call.varying,
        cell_keys=call.cell_keys,
        stores=stores,
        held=[x if not places else None for x, places in pairs],
        writes=changed + writes,
        gradients=[(place, value, id(value) in used) for place, value in gradients],
        written=call.written,
        drawn=call.draws.by_actions,
        read=set(call.read),
        changes=changes,
    )


def _updates(call: _Call, found: Found) -> tuple[dict[int, Value], list[tuple[Place, Value]]]:
    """The new values of states; and of places that are no longer cells of one state."""
    updates: dict[int, Value] = {}
    writes: list[tuple[Place, Value]] = []
    for i, places in enumerate(call.cells):
        initial = call.initial[i]
        changed = _changed(places, initial, found)
        if initial.fixed and (changed or call.states[i].value is not initial):
            what = f"the step changes {initial.name}, which is in a tuple"
            call.recorder.failures.append(Failure("", what, TUPLE))
        if not changed:
            continue
        value = changed[0][1]
        is_one = all(x is value for _, x in changed) and len(changed) == len(places)
        if is_one and value.shape == initial.shape and value.dtype == initial.dtype:
            updates[i] = value
            _require_own(call, i, value)
        else:
            writes += changed
    return updates, writes


def _changed(places: list[Place], initial: Value, found: Found) -> list[tuple[Place, Value]]:
    """The places of a state that hold another array than before, apart from gradients."""
    own = [place for place in places if not place.is_gradient and place.id in found]
    now = [(place, found[place.id][1]) for place in own]
    return [(place, value) for place, value in now if value is not initial]


def _others(call: _Call, found: Found) -> tuple[list[tuple[Place, Value]], ...]:
    """What is in places that held no array before; and the new gradients."""
    writes = []
    gradients = []
    for place_id, (place, value) in found.items():
        state = call.of_place.get(place_id)
        if place.is_gradient:
            if state is None or value is not call.initial[state]:
                gradients.append((place, value))
        elif state is None:
            writes.append((place, value))
    return writes, gradients


def _require_own(call: _Call, i: int, value: Value) -> None:
    """Note that a replay cannot do what the step does, if two states are one array afterwards."""
    if value.source == "state" and library_of(call.states[i].array).mutable:
        what = f"the step stores the array of {value.name} in {call.initial[i].name} too"
        advice = "Store a copy, F.asarray(x, copy=True): what changes one would change the other."
        call.recorder.failures.append(Failure("", what, advice))


def _require_memory_of_their_own(call: _Call, used: set[int]) -> None:
    """Note that a replay would separate arrays that share memory, if the step computes with one."""
    own = [i for i, places in enumerate(call.cells) if not any(x.is_gradient for x in places)]
    for first, second in conflicting([call.held[i] for i in own]):
        a = call.states[own[first]]
        b = call.states[own[second]]
        names = (call.initial[own[first]].name, call.initial[own[second]].name)
        is_changed = a.value.source != "state" or b.value.source != "state"
        if is_changed or id(a.value) in used or id(b.value) in used:
            what = f"{names[0]} and {names[1]} share memory, which a replay would separate"
            advice = (
                "Keep a copy, F.asarray(x, copy=True), or one array of which the step takes a part."
            )
            call.recorder.failures.append(Failure("", what, advice))


def _library_of(recorder: Recorder, used: set[int]) -> str:
    """The name of the library of the arrays that a step uses; "" if there are several."""
    found = {
        name
        for value, name in recorder.libraries.items()
        if value.source != "state" or id(value) in used
    }
    return found.pop() if len(found) == 1 else ""


def value_of(x: Any) -> Any:
    """The Value of a recorded array or number, or of the array in a Variable."""
    if isinstance(x, Variable):
        return Constant(x.data.value) if isinstance(x.data, RecordedArray) else x
    if isinstance(x, RecordedArray) and isinstance(x.array, np.generic):
        return Scalar(x.value)
    return value_or_self(x)


def plain(x: Any) -> Any:
    """A result without recording arrays; Variables become constants."""
    if isinstance(x, Variable):
        if isinstance(x.data, RecordedArray):
            return constant(x.data.array)
        return constant(x.data) if x.node is not None else x
    return unwrapped(x)
