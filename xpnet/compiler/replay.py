"""Replay: what happens in Python when a call is replayed, as functions that are written once.

    guard(args, options)           whether this plan is for the call: all that selects code is the same
    bound(states)                  whether the cells hold the arrays that the executor changes
    numbers()                      run the actions of `each_step`; the numbers and arrays of the step
    finish(outputs, ...)           store new arrays in their places, and build the result
    columns(outputs, ...)          the results of several calls

They are generated, because a loop over all that they check would take longer than a small step.
"""

import math
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple
from weakref import WeakSet

import array_api_compat as compat
import numpy as np

from xpnet import backend
from xpnet._libraries import library_of
from xpnet._typing import Array
from xpnet.autodiff import tape
from xpnet.autodiff.namespace import array_namespace, as_array
from xpnet.autodiff.variable import Variable, variable_of
from xpnet.compiler.arrangement import Arrangement
from xpnet.compiler.call import Constant, Recording, Scalar, is_argument
from xpnet.compiler.calls import copied, unwrapped
from xpnet.compiler.executors._base import Executor
from xpnet.compiler.failures import TUPLE
from xpnet.compiler.generators import set_state_of, state_of
from xpnet.compiler.origins import is_users_module
from xpnet.compiler.reads import dicts_in
from xpnet.compiler.record import Program, Value, alike, leaves, replaced
from xpnet.compiler.recorded_array import RecordedArray
from xpnet.compiler.sharing import conflicting, has_identity
from xpnet.compiler.state import (
    ITERATORS,
    SCALARS,
    Entry,
    Place,
    Survey,
    comparable,
    is_array,
    keys_of,
)
from xpnet.errors import CompileError
from xpnet.layers import _context, _step_by_step
from xpnet.optimizers import averaging

__all__ = ["Mismatch", "Replay", "Results", "context"]

CONTEXT = (
    tape.recording,
    _context.training_mode,
    _context.hooks,
    _step_by_step.in_a_call,
    backend._block,  # noqa: SLF001 - the current backend
    averaging._applied,  # noqa: SLF001 - the averages of a block
)
"""What a block around a call may change, such as `no_grad()`."""


def context() -> tuple[Any, ...]:
    """The part of a call's key that depends on the blocks around it."""
    values = [variable.get() for variable in CONTEXT]
    values.append(backend._run)  # noqa: SLF001 - the run's backend
    return tuple(x if isinstance(x, bool) or x is None else id(x) for x in values)


MANY = 1000  # steps for which numbers are computed in advance
FEW = 16  # the same if there are arrays among them
MOST_NUMBERS = 2**24  # in the arrays that steps put into places, such as gradients


class Mismatch(Exception):  # noqa: N818 - it is caught where it is raised: the call is recorded
    """An action of `each_step` returned something that selects other code, or changed it.

    Attributes
    ----------
    done : list
        The results of the actions that ran already.
    changes : list of (Place, value), or None
        What the last one of them has changed, if it was not known to change anything. The places hold again
        what they held: code before the action reads that.
    """

    def __init__(self, done: list[Any], changes: Sequence[tuple[Place, Any]] | None = None) -> None:
        super().__init__()
        self.done = done
        self.changes = changes


class Results(NamedTuple):
    """The results of several calls.

    Attributes
    ----------
    last : tree
        The result of the last call.
    calls : int
        How many calls there were.
    columns : list of (array, shape (calls, ...), or list)
        For each leaf of the tree, the arrays or objects of all calls.
    """

    last: Any
    calls: int
    columns: list[Any]


_plans: "WeakSet[Replay]" = WeakSet()  # all that there are
_lock = threading.Lock()  # of this set

_one = [object()]
_LISTED = sys.getrefcount(_one[0])
"""The references to an object that is in one list, and that is read from it to count them."""


class Code:
    """Lines of a Python function, and the objects that they name."""

    def __init__(self, head: str) -> None:
        self.lines = [head]
        self.names: dict[str, Any] = {}
        self._of: dict[int, str] = {}

    def add(self, line: str, depth: int = 1) -> None:
        self.lines.append("    " * depth + line)

    def name(self, x: Any) -> str:
        """A name for an object; a literal for what has one."""
        if x is None or x is True or x is False:
            return repr(x)
        found = self._of.get(id(x))
        if found is None:
            found = self._of[id(x)] = f"x{len(self._of)}"
            self.names[found] = x
        return found

    def function(self, name: str) -> Callable[..., Any]:
        """The function that the lines define."""
        exec("\n".join(self.lines), self.names)  # noqa: S102 - the lines are our own
        function: Callable[..., Any] = self.names[name]
        return function


class Replay:
    """A step that was recorded: when it applies, and how it is run.

    Parameters
    ----------
    recording : Recording
    args, options
        What the recorded call was given.
    written : set of Place ids
        What actions of `each_step` change, which is therefore not compared.
    keep_grad : bool
        See `Compiled`.
    make : function from a Program and the name of a library to an Executor

    Attributes
    ----------
    program : Program
    executor : Executor
    inner : list of int
        How often the executor refers to each array of the state.
    """

    def __init__(
        self,
        recording: Recording,
        args: Any,
        options: Any,
        written: set[tuple[int, Any]],
        keep_grad: bool,
        make: Callable[[Program, str], Executor],
    ) -> None:
        self.recording = recording
        self.written = set(written)
        self.read = set(recording.read)
        self.unmovable: list[str] = []
        self._likes: list[Any] | None = None
        self._given = replaced((args, options), _like)
        self._context = [(variable, variable.get()) for variable in CONTEXT]
        self._run_backend = backend._run  # noqa: SLF001 - the run's backend
        self.arrangement = Arrangement(recording, keep_grad)
        self.program = self.arrangement.program
        self.executor = make(self.program, recording.library)
        self._lent: list[int] = []  # the states that are written over, although the step does not
        if self.executor.in_place:
            states = self.program.states
            self._lent = [i for i in self.program.updates if states[i].rebound]
        self.inner: list[int] = []
        self._references: list[int] = []  # to those that are lent, when they were bound
        places = self._written_places()
        self._numbers, self._saved = _numbers(recording, self.program.hosts, places, self._changes)
        self._finish = self._finishing()
        self._columns = self._collecting()
        self._most_steps = self._count_of_steps()
        self._arguments = self._reading()
        self._bound = self._binding()
        with _lock:
            _plans.add(self)
        if not self.renew(recording.before):
            if self.unmovable:
                raise CompileError(
                    f"{self.unmovable[0]} is in a tuple, and the plan needs it in other memory. "
                    f"{TUPLE} Or make it row-major by F.asarray(x, copy=True)."
                )
            if not self._has_used_up_gradients():
                raise CompileError("The arrays of a step are replaced by another thread.")
            self._guard_by(recording.before)  # bound when there are gradients again

    def _written_places(self) -> list[Place]:
        entries = self.recording.before.entries
        return [entry.place for entry in entries if entry.place.id in self.written]

    # --- when it applies --------------------------------------------------------------------

    def fits(self, presence: Sequence[bool]) -> bool:
        """Whether it is for a call that finds gradients there: those that it does not use may be absent."""
        return all(
            now == then or i in self.arrangement.unused_gradients
            for i, (now, then) in enumerate(zip(presence, self.recording.presence, strict=True))
        )

    def renew(self, found: Survey) -> bool:
        """Compare with what a survey found from now on, and take over the arrays in the cells.

        False if it cannot take them.
        """
        if not self.bind():
            return False
        self._guard_by(found)
        return True

    def _guard_by(self, found: Survey) -> None:
        self.found = found
        self._guard = _guarding(self, found)
        if any(self.recording.recorder.of_user):
            self._unchanged = _unchanging(self, found)

    def _has_used_up_gradients(self) -> bool:
        """Whether the step has removed gradients that it found and computed with."""
        found = [place for places in self.arrangement.places for place in places]
        return any(place.is_gradient and place.get() is None for place in found)

    def _changes(self) -> list[tuple[Place, Any]] | None:
        """What an action of the user's has changed although none did in the recordings; it is put back.

        The step may read it, so this call is not replayed. What is in a container stays changed. None if
        all is as it was.
        """
        if self._unchanged():
            return None
        changed = []
        for entry in self.found.entries:
            place = entry.place
            if entry.kind == "keys" or not _is_compared(entry, self):
                continue
            now = place.get()
            if now is not entry.value:
                changed.append((place, now))
                place.set(entry.value)
        return changed

    def bind(self) -> bool:
        """Give the executor the arrays that are in the cells; False if it cannot take them."""
        is_bound = self._bind()
        states = self.executor.states
        self._references[:] = [sys.getrefcount(states[i]) for i in self._lent if is_bound]
        return is_bound

    def _bind(self) -> bool:
        """`bind`, without the count of references, among which those of this call would be."""
        try:
            given = [
                places[0].get() if places else held
                for places, held in zip(self.arrangement.places, self.arrangement.held, strict=True)
            ]
            is_one = all(
                place.get() is x
                for places, x in zip(self.arrangement.places, given, strict=True)
                for place in places
            )
        except (AttributeError, KeyError, IndexError, ValueError):  # a place is gone
            return False
        if not is_one or not self._are_like(given):
            return False
        arrays = [id(x) for x in given if has_identity(x)]
        if len(set(arrays)) < len(arrays) or self._share_memory(given):
            return False
        others = [i for i in self._lent if self._is_held_elsewhere(given, i)]
        return self._taken(given, others)

    def _is_held_elsewhere(self, given: Sequence[Any], i: int) -> bool:
        """Whether something refers to the array of a state, apart from its places and executors of plans."""
        with _lock:
            plans = list(_plans)
        known = len(self.arrangement.places[i]) + sum(
            inner
            for plan in plans
            for x, inner in zip(plan.executor.states, plan.inner, strict=False)
            if x is given[i]
        )
        return sys.getrefcount(given[i]) > _LISTED + known

    def _are_like(self, given: Sequence[Any]) -> bool:
        """Whether these are arrays like those that the first plan was made for, of the same library."""
        if any(isinstance(x, RecordedArray) or not is_array(x) for x in given):
            return False
        likes = [_like(as_array(x)) for x in given]
        if self._likes is None:
            states = self.program.states
            if any(
                x.shape != y.shape or x.dtype != y.dtype for x, y in zip(likes, states, strict=True)
            ):
                return False
            self._likes = likes
        return likes == self._likes

    def _taken(self, given: Sequence[Array], others: Sequence[int]) -> bool:
        """Whether the executor takes over these arrays; where it has moved one, the new one takes its place.

        Of `others` it is given copies: somebody keeps the old ones.
        """
        before = [sys.getrefcount(given[i]) for i in range(len(given))]
        taken = self.executor.bind(
            [copied(x) if i in others else as_array(x) for i, x in enumerate(given)]
        )  # no NumPy scalars
        if not self.inner:
            self.inner = [
                sys.getrefcount(taken[i]) - (before[i] if taken[i] is given[i] else 1)
                for i in range(len(given))
            ]
        moved = [i for i, x in enumerate(given) if taken[i] is not x]
        states = self.program.states
        self.unmovable = [states[i].name for i in moved if states[i].fixed]
        if self.unmovable:
            return False
        for i in moved:
            for place in self.arrangement.places[i]:
                place.set(taken[i])
        return True

    def _share_memory(self, given: Sequence[Array]) -> bool:
        """Whether arrays of the state, apart from gradients, share memory: see `xpnet.compiler.sharing`."""
        own = [
            x
            for x, places in zip(given, self.arrangement.places, strict=True)
            if not any(place.is_gradient for place in places)
        ]
        return any(True for _ in conflicting(own))

    def ready(self, args: Any, options: Any) -> bool:
        """Whether this plan is for the call; it takes over arrays that others have put in place."""
        if not self._guard(args, options):
            return False
        return self._bound(self.executor.states) or self.bind()

    def _binding(self) -> Callable[[list[Array]], bool]:
        """The function that returns whether the cells hold the arrays of the executor."""
        code = Code("def bound(states):")
        tests = [
            f"{_read(code, place)} is states[{i}]"
            for i, places in enumerate(self.arrangement.places)
            for place in places
        ]
        counted = code.name(sys.getrefcount)
        now = ", ".join(f"{counted}(states[{i}])" for i in self._lent)
        if self._lent:  # nobody else has got one of these arrays, which the executor writes over
            tests.append(f"[{now}] == {code.name(self._references)}")
        _add_tests(code, tests)
        return code.function("bound")

    # --- a run ------------------------------------------------------------------------------

    def run(self, args: Any, options: Any, done: Sequence[Any] = ()) -> Any:
        """The result of the call; `ready` was True for it.

        Parameters
        ----------
        args, options
            The arguments of the call.
        done : sequence
            The results of the first actions of `each_step`, which ran already for this call.

        Raises
        ------
        Mismatch
            An action of `each_step` selects other code.
        """
        saved = self._saved()
        self.executor.done = 0
        try:
            hosts = self._numbers(done, len(done))
            given = self._arguments(args, options)
            try:
                outputs = self.executor.run(given, hosts)
            except BaseException:
                self._finish_last(given, hosts)
                raise
        except Mismatch:
            raise
        except BaseException:
            self._restore([saved])
            raise
        return self._finish(outputs, self.executor.states, given, hosts)

    def run_steps(
        self, stacked: Any, first: int, count: int, results: list["Results"]
    ) -> Mismatch | None:
        """Several calls, from number `first` on; their results are added to `results`.

        Parameters
        ----------
        stacked : tuple
            Arguments with one call after the other along their first axis.
        first, count : int
            The number of the first call, and how many there are.
        results : list

        Returns
        -------
        Mismatch or None
            None: `ready` was True for all calls that were made, at most `count`. Otherwise an action of
            `each_step` selects other code for the next call.
        """
        stop = min(count, first + self._most_steps)
        saved: list[tuple[Any, ...]] = []  # before each step
        positions: list[list[Any]] = []  # of the generators, likewise
        hosts: list[list[Any]] = []
        found = None
        self.executor.done = 0
        try:
            while found is None and first + len(hosts) < stop:
                saved.append(self._saved())
                positions.append([state_of(x) for x in self.recording.drawn.values()])
                try:
                    hosts.append(self._numbers((), 0))
                except Mismatch as mismatch:
                    found = mismatch
            made = slice(first, first + len(hosts))
            given: list[Array] = []
            outputs: list[Any] = []
            if hosts:
                given = [x[made, ...] for x in self._arguments(stacked, {})]
                try:
                    outputs = self.executor.run_steps(given, hosts)
                except BaseException:
                    n = self.executor.done - 1
                    self._finish_last([x[n, ...] for x in given], hosts[n])
                    raise
        except BaseException:
            self._restore(saved, positions)
            raise
        if hosts:
            last = self._finish(
                [_own_last(x) for x in outputs],
                self.executor.states,
                [x[-1, ...] for x in given],
                hosts[-1],
            )
            results.append(Results(last, len(hosts), self._columns(outputs, given, hosts)))
        return found

    @property
    def runs_many_in_one(self) -> bool:
        """Whether nothing happens in Python between two steps of `run_steps`.

        No action of the user's either, which runs before all steps there: it might read what the caller
        changes from step to step.
        """
        return self.executor.runs_many_in_one and not any(self.recording.recorder.of_user)

    def _count_of_steps(self) -> int:
        """How many steps are run in one call, such that their inputs and outputs need little memory."""
        if any(x.dtype is not None for x in self.program.hosts):
            return FEW
        numbers = sum(math.prod(value.shape) for _, value in self.arrangement.writes)
        return max(1, min(MANY, MOST_NUMBERS // max(numbers, 1)))

    def _restore(
        self, saved: Sequence[Sequence[Any]], positions: Sequence[Sequence[Any]] = ()
    ) -> None:
        """Set what actions have changed to what it was before the first step not done.

        `saved` has the numbers before each step, `positions` the states of the generators.
        """
        for numbers in saved[self.executor.done :][:1]:
            for place, x in zip(self._written_places(), numbers, strict=True):
                place.set(x)
        for states in positions[self.executor.done :][:1]:
            for rng, state in zip(self.recording.drawn.values(), states, strict=True):
                set_state_of(rng, state)

    def _finish_last(self, given: Sequence[Array], hosts: Sequence[Any]) -> None:
        """Store what the last step that was done has computed: the following one ended in an error."""
        outputs = self.executor.last
        self.executor.last = None
        if self.executor.done and outputs is not None:
            self._finish(outputs, self.executor.states, given, hosts)

    def _finishing(self) -> Callable[..., Any]:
        """The function that stores new arrays, and returns the result."""
        code = Code("def finish(outputs, states, given, hosts):")
        program = self.program
        if not self.executor.in_place:
            for i in program.updates:
                if program.states[i].shape == ():
                    code.add(f"states[{i}] = {code.name(as_array)}(states[{i}])")
                for place in self.arrangement.places[i]:
                    code.add(_assignment(code, place, f"states[{i}]"))
        owners = {id(p.owner): p.owner for i in program.updates for p in self.arrangement.places[i]}
        variables = [x for x in owners.values() if isinstance(x, Variable)]
        if variables:
            code.add(f"order = next({code.name(tape.creation_order)})")
        for x in variables:
            code.add(f"{code.name(x)}.changed = order")
        for place in self.arrangement.forget:
            code.add(_assignment(code, place, "None"))
        first = len(program.outputs) - len(self.arrangement.writes)
        for i, (place, value) in enumerate(self.arrangement.writes, first):
            array = f"outputs[{i}]"
            if value.shape == ():
                array = f"{code.name(as_array)}({array})"
            code.add(_assignment(code, place, array))
        code.add(f"return {_result(code, self.recording.tree, count())}")
        return code.function("finish")

    def _collecting(self) -> Callable[..., list[Any]]:
        """The function that returns the results of several calls: for each leaf, those of all calls."""
        code = Code("def columns(outputs, given, hosts):")
        number = count()
        columns = [_column(code, x, number) for x in leaves(self.recording.tree)]
        code.add(f"return [{', '.join(columns)}]")
        return code.function("columns")

    def _reading(self) -> Callable[..., list[Array]]:
        """The function that returns the arrays among the arguments, in order."""
        code = Code("def arguments(args, options):")
        arrays: list[str] = []
        args, options = self._given
        _tree_tests(code, args, "args", [], arrays)
        _tree_tests(code, options, "options", [], arrays)
        code.add(f"return [{', '.join(arrays)}]")
        return code.function("arguments")


class _Like(NamedTuple):
    """What is compared of an array among the arguments."""

    variable: type | None
    type: type
    shape: tuple[int, ...]
    dtype: Any
    device: Any  # None: there is only one


def _like(x: Any) -> Any:
    """An argument without the numbers of arrays."""
    if not is_argument(x):
        return x
    variable = type(x) if isinstance(x, Variable) else None
    array = unwrapped(x.data if variable else x)
    device = None if library_of(array).name == "numpy" else compat.device(array)
    return _Like(variable, type(array), array.shape, array.dtype, device)


def _assignment(code: Code, place: Place, value: str) -> str:
    return f"{_access(code, place)} = {value}"


def _access(code: Code, place: Place) -> str:
    """An expression for what a place holds."""
    if place.access == "item":
        key = repr(place.key) if type(place.key) in (int, str) else code.name(place.key)
        return f"{code.name(place.owner)}[{key}]"
    return f"{code.name(place.owner)}.{place.key}"


def _read(code: Code, place: Place) -> str:
    """The same, in the shortest time: an attribute is looked up in the object's dict."""
    owned = getattr(place.owner, "__dict__", None)
    if place.access == "attribute" and isinstance(owned, dict) and place.key in owned:
        return f"{code.name(owned)}[{place.key!r}]"
    return _access(code, place)


def _result(code: Code, tree: Any, number: Iterator[int]) -> str:
    """An expression that builds the result."""
    if isinstance(tree, Constant):
        made = code.name(variable_of)
        return f"{made}({_result(code, tree.value, number)}, None)"
    if isinstance(tree, (Scalar, Value)):
        return _result_array(code, tree, number)
    if isinstance(tree, dict):
        items = [f"{code.name(k)}: {_result(code, x, number)}" for k, x in tree.items()]
        made = "{" + ", ".join(items) + "}"
        return made if type(tree) is dict else f"{code.name(alike)}({code.name(tree)}, {made})"
    if not isinstance(tree, (tuple, list)):
        return code.name(tree)
    parts = "".join(f"{_result(code, x, number)}, " for x in tree)
    if isinstance(tree, list):
        return f"[{parts}]" if type(tree) is list else f"{code.name(type(tree))}([{parts}])"
    named = hasattr(tree, "_fields")
    return f"{code.name(type(tree))}({parts})" if named else f"({parts})"


def _column(code: Code, x: Any, number: Iterator[int]) -> str:
    """An expression for a leaf of the result: what it is in each of `len(hosts)` calls."""
    if not isinstance(x, Value):
        return f"[{code.name(x)}] * len(hosts)"
    if x.source == "constant":
        return f"[{code.name(x.array)}] * len(hosts)"
    if x.source == "host":
        return f"[row[{x.index}] for row in hosts]"
    return _result_array(code, x, number)


def _own_last(x: Array) -> Array:
    """The last of several arrays, in memory of its own: somebody may keep it."""
    return array_namespace(x).asarray(x[-1, ...], copy=True)


def _result_array(code: Code, value: Value | Scalar, number: Iterator[int]) -> str:
    if isinstance(value, Scalar):  # x[()] of a 0-d array
        return f"{_result_array(code, value.value, number)}[()]"
    if value.source == "argument":
        return f"given[{value.index}]"
    if value.source == "host":
        return f"hosts[{value.index}]"
    if value.source == "constant":
        return code.name(value.array)
    return f"outputs[{next(number)}]"


# --- whether a plan applies -------------------------------------------------------------------


def _guarding(replay: Replay, found: Survey) -> Callable[..., bool]:
    """The function `guard(args, options)`: whether all that selects code is as it was."""
    code = Code("def guard(args, options):")
    tests: list[str] = []
    arrays: list[str] = []
    args, options = replay._given  # noqa: SLF001 - of this module
    _tree_tests(code, args, "args", tests, arrays)
    _tree_tests(code, options, "options", tests, arrays)
    for variable, value in replay._context:  # noqa: SLF001
        tests.append(f"{code.name(variable.get)}() is {code.name(value)}")
    tests.append(f"{code.name(backend)}._run is {code.name(replay._run_backend)}")  # noqa: SLF001
    tests += _state_tests(code, replay, found)
    used = {place.id for places in replay.arrangement.places for place in places}
    for place in found.cells:
        if place.id not in used and place.is_settable:  # only its shape may have been used
            _array_tests(code, _like(unwrapped(place.get())), _read(code, place), tests, arrays)
    for i, place in enumerate(found.gradients):
        if i not in replay.arrangement.unused_gradients:
            test = "is not" if replay.recording.presence[i] else "is"
            tests.append(f"{_read(code, place)} {test} None")
    _add_tests(code, tests)
    return code.function("guard")


def _unchanging(replay: Replay, found: Survey) -> Callable[[], bool]:
    """The function `unchanged()`: whether all numbers and objects are as they were."""
    code = Code("def unchanged():")
    _add_tests(code, _state_tests(code, replay, found))
    return code.function("unchanged")


def _state_tests(code: Code, replay: Replay, found: Survey) -> list[str]:
    """Tests that numbers and objects that the step can reach are as they were."""
    tests = [_entry_test(code, entry, replay) for entry in found.entries]
    return [*tests, _order_test(code, replay, found)]


def _add_tests(code: Code, tests: list[str]) -> None:
    """The body of a function that returns whether all tests are passed."""
    code.add("try:")
    for test in dict.fromkeys(tests):
        if test:
            code.add(f"if not ({test}): return False", 2)
    code.add("return True", 2)
    code.add("except (AttributeError, KeyError, IndexError, ValueError, TypeError):")
    code.add("return False", 2)


def _tree_tests(code: Code, x: Any, path: str, tests: list[str], arrays: list[str]) -> None:
    """Tests that an argument is like x; the expressions of its arrays are added to `arrays`."""
    if isinstance(x, _Like):
        _array_tests(code, x, path, tests, arrays)
    elif isinstance(x, (tuple, list)):
        tests.append(f"type({path}) is {code.name(type(x))} and len({path}) == {len(x)}")
        for i, part in enumerate(x):
            _tree_tests(code, part, f"{path}[{i}]", tests, arrays)
    elif isinstance(x, dict):
        keys = code.name(tuple(x))
        tests.append(f"type({path}) is {code.name(type(x))} and tuple({path}) == {keys}" if x
                     else f"not {path}")  # fmt: skip
        for key, part in x.items():
            _tree_tests(code, part, f"{path}[{code.name(key)}]", tests, arrays)
    else:
        tests.append(_value_test(code, path, x))


def _array_tests(code: Code, x: _Like, path: str, tests: list[str], arrays: list[str]) -> None:
    if x.variable is not None:
        tests.append(f"type({path}) is {code.name(x.variable)} and not {path}.requires_grad")
        path += ".data"
    dtype = code.name(x.dtype)
    tests.append(f"type({path}) is {code.name(x.type)} and {path}.shape == {code.name(x.shape)}")
    tests.append(f"({path}.dtype is {dtype} or {path}.dtype == {dtype})")
    if x.device is not None:
        tests.append(f"{code.name(compat.device)}({path}) == {code.name(x.device)}")
    arrays.append(path)


def _value_test(code: Code, path: str, x: Any) -> str:
    """A test that `path` is x, or an equal number."""
    if x is None or isinstance(x, bool) or not isinstance(x, (*SCALARS, tuple)):
        return f"{path} is {code.name(x)}"
    same = code.name(x)
    if isinstance(x, tuple):
        return (
            f"({path} is {same} or {code.name(comparable)}({path}) == {code.name(comparable(x))})"
        )
    kind = code.name(type(x))
    return f"({path} is {same} or type({path}) is {kind} and {_equality(code, path, x)})"


def _equality(code: Code, path: str, x: Any) -> str:
    """A test that `path`, of the type of x, is the same number: see `comparable`."""
    if isinstance(x, (float, complex, np.inexact)) and (x == 0 or x != x):  # noqa: PLR0124 - NaN
        return f"repr({path}) == {code.name(repr(x))}"
    return f"{path} == {code.name(x)}"


def _entry_test(code: Code, entry: Entry, replay: Replay) -> str:
    """A test that a place holds what it held; "" if that need not be tested here."""
    place, kind, value, _ = entry
    if not _is_compared(entry, replay):
        return ""
    path = _read(code, place)
    if kind == "scalar":
        return _value_test(code, path, value)
    if kind == "object":
        return f"{path} is {code.name(value)}"
    return _contents_test(code, place, value, path)


def _is_compared(entry: Entry, replay: Replay) -> bool:
    """Whether a place has to hold what it held."""
    place = entry.place
    free = entry.free and place.id not in replay.read
    if free or place.id in replay.written:
        return False
    return place.is_settable or entry.kind == "keys"


def _contents_test(code: Code, place: Place, value: Any, path: str) -> str:
    """A test of what is in a container, or how much it holds; for the order of keys see `_order_test`."""
    held = place.get()
    if not isinstance(held, tuple):  # that it is the same one is tested; a tuple may be another
        path = code.name(held)
    if isinstance(value, frozenset):
        return f"{path} == {code.name(value)}"
    if isinstance(value, bytes) or isinstance(held, ITERATORS):
        return f"{code.name(keys_of)}({path}) == {code.name(value)}"
    length = f"len({path}) == {len(held)}"
    is_dict_of_object = place.key == "__dict__" and isinstance(held, dict)
    # Attributes are read from this dict, so it must still be the object's.
    return f"{_access(code, place)} is {path} and {length}" if is_dict_of_object else length


def _order_test(code: Code, replay: Replay, found: Survey) -> str:
    """A test that the user's dicts have the keys that they had, in the same order: a loop may follow it.

    In the dicts of layers and optimizers only the number of keys is tested, since there are many.
    """
    inner = {id(x) for owner in found.counting for x in dicts_in(getattr(owner, "__dict__", None))}
    keys: dict[str, Any] = {}
    for place, kind, value, _ in found.entries:
        if kind != "keys" or place.id in replay.written or not _has_an_order(place):
            continue
        held = place.get()
        if id(held) not in inner:
            keys[code.name(held)] = value
    if not keys:
        return ""
    now = "".join(f"*{name}, " for name in keys)
    then = [key for value in keys.values() for key in value]
    return f"[{now}] == {code.name(then)}"


def _has_an_order(place: Place) -> bool:
    """Whether a place holds a dict of the user's with more than one key, or attributes of a user's object."""
    held = place.get()
    if not isinstance(held, dict) or len(held) < 2:
        return False
    is_of_object = place.key == "__dict__" and not isinstance(place.owner, dict)
    return not is_of_object or is_users_module(type(place.owner).__module__)


# --- numbers of the host ----------------------------------------------------------------------


def _numbers(
    recording: Recording, used: list[Value], written: list[Place], changes: Callable[[], Any]
) -> Any:
    """The function `numbers()`, and one that returns the numbers that actions change.

    `changes` returns what an action of the user's has changed otherwise.
    """
    recorder = recording.recorder
    code = Code("def numbers(done, count):")
    code.names["Mismatch"] = Mismatch
    for i, (action, result) in enumerate(zip(recorder.actions, recorder.results, strict=True)):
        code.add(f"r{i} = {code.name(action)}() if count <= {i} else done[{i}]")
        tests: list[str] = []
        _result_tests(code, result, f"r{i}", tests)
        done = ", ".join(f"r{j}" for j in range(i + 1))
        if tests:
            rest = f"[{done}, *done[{i + 1}:]]"
            code.add(f"if not ({' and '.join(tests)}): raise Mismatch({rest})")
        if recorder.of_user[i]:
            code.add(f"found = {code.name(changes)}() if count <= {i} else None")
            code.add(f"if found is not None: raise Mismatch([{done}], found)")
    needed = _needed(recorder, used)
    names: dict[int, str] = {}
    for j, (value, recipe) in enumerate(zip(recorder.hosts, recorder.recipes, strict=True)):
        if id(value) not in needed:
            continue
        if recipe[0] == "action":
            _, i, path = recipe
            names[id(value)] = f"r{i}" + "".join(f"[{code.name(key)}]" for key in path)
            continue
        _, function, args = recipe
        given = [names[id(x)] if isinstance(x, Value) else code.name(x) for x in args]
        code.add(f"h{j} = {code.name(function)}({', '.join(given)})")
        names[id(value)] = f"h{j}"
    code.add(f"return [{', '.join(names[id(value)] for value in used)}]")
    saved = Code("def saved():")
    saved.add(f"return ({''.join(f'{_read(saved, place)}, ' for place in written)})")
    return code.function("numbers"), saved.function("saved")


def _needed(recorder: Any, used: list[Value]) -> set[int]:
    """The ids of the hosts that the used ones are computed from, and of these."""
    needed = {id(value) for value in used}
    for value, recipe in reversed(list(zip(recorder.hosts, recorder.recipes, strict=True))):
        if recipe[0] == "derived" and id(value) in needed:
            needed |= {id(x) for x in recipe[2] if isinstance(x, Value)}
    return needed


def _result_tests(code: Code, x: Any, path: str, tests: list[str]) -> None:
    """Tests that the result of an action is like the recorded one, apart from floats and arrays."""
    if isinstance(x, Value):
        if x.dtype is None:
            tests.append(f"isinstance({path}, float)")
        else:
            tests.append(f"getattr({path}, 'shape', None) == {code.name(x.shape)}")
            tests.append(f"{path}.dtype == {code.name(x.dtype)}")
    elif isinstance(x, dict):
        tests.append(f"isinstance({path}, dict) and {code.name(tuple(x))} == tuple({path})")
        for key, part in x.items():
            _result_tests(code, part, f"{path}[{code.name(key)}]", tests)
    elif isinstance(x, (tuple, list)):
        kind = code.name(type(x))
        tests.append(f"isinstance({path}, {kind}) and len({path}) == {len(x)}")
        for i, part in enumerate(x):
            _result_tests(code, part, f"{path}[{i}]", tests)
    elif x is None or isinstance(x, bool):
        tests.append(f"{path} is {x!r}")
    else:
        tests.append(f"type({path}) is {code.name(type(x))} and {path} == {code.name(x)}")
