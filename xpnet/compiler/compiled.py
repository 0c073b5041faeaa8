"""Compiled: a function whose calls are recorded, and then replayed."""

import copy
import re
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial, update_wrapper
from operator import attrgetter
from types import MethodType
from typing import Any, ClassVar

import numpy as np

from xpnet._printable import counted
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Variable, constant
from xpnet.compiler import float_errors
from xpnet.compiler.call import (
    Recording,
    array_key,
    cell_keys,
    exclusive,
    is_recording,
    objects_in,
    recorded_call,
    roots_of,
)
from xpnet.compiler.calls import unwrapped
from xpnet.compiler.executors import choose
from xpnet.compiler.executors._base import Executor
from xpnet.compiler.failures import METHOD, line_of
from xpnet.compiler.guard import difference
from xpnet.compiler.plan import Plan
from xpnet.compiler.record import Program, leaves, replaced
from xpnet.compiler.recording import Done
from xpnet.compiler.rehearsal import Before
from xpnet.compiler.replay import Mismatch, Replay, Results, context
from xpnet.compiler.state import SCALARS, Survey, comparable, is_array, survey
from xpnet.compiler.undo import Undo, Undone
from xpnet.errors import ArgumentTypeError, CompileError, ShapeError

__all__ = ["Compiled", "Recording", "compile", "recorded_call"]


REHEARSALS = 5  # recordings of one call: more than two if the first ones create something
MOST_KEYS = 256
MOST_PLANS = 64  # the ones that were used last are kept, with their memory
MOST_RECORDINGS = 256  # more than there are replays
CALLS_FOR_A_RECORDING = 16  # calls without a recording, after too many recordings


class _Key:
    """Calls with one key, apart from which gradients they found: their recordings and their plans."""

    def __init__(self) -> None:
        self.calls = 0
        self.last: dict[tuple[bool, ...], Recording] = {}
        self.replays: list[Replay] = []
        self.holds: Any = None  # the objects whose ids are in the key


class Compiled:
    """A function that is recorded in its first calls, and replayed in the following ones.

    Parameters
    ----------
    function : callable
        A step: it takes and returns arrays, constant Variables, and trees of them, and may change
        the arrays that it refers to, such as parameters.
    fallback : bool
        Whether to run the function as it is where it cannot be compiled, or raises an error only when
        it is recorded; `reason` then says why. By default that is an error.
    keep_grad : bool
        Whether the gradients of parameters are kept after a step that has used them itself.
    executor : function from Program to Executor, optional
        What runs a plan. By default it is chosen by the library.
    rehearse : bool
        Whether a call is recorded and undone, two or three times, and then made by the plan, so that all
        calls are: see `xpnet.compiler.rehearsal`. By default the first three calls are made by the function itself.
    undo : bool
        Whether a call is undone if its rehearsal fails: it raises `xpnet.compiler.undo.Undone`, and the
        caller makes it in another way. By default it is the call that ran as it is.

    Attributes
    ----------
    function : callable
    reason : str or None
        Why the function runs as it is.
    trouble : str
        The same, or why most of its calls do; empty if they do not.
    replays : list of Replay
        What was compiled so far.

    Notes
    -----
    The first three calls of a kind are made by the function itself, with recording arrays in the places of
    arrays. A kind is: the shapes, dtypes and devices of arrays; the values of other arguments; the blocks
    around the call, such as `no_grad`; and the numbers, strings and objects that the function can reach in
    closures, in globals that its code names, in attributes, lists and dicts. If one of them changes, the
    function is recorded anew. The second recording and the third
    must agree; what differs, such as a number that a file contains, is an error that names the line. What
    a function computes in Python apart from arrays (printing, counting, drawing) is not repeated: it
    belongs in an action of `each_step`. A function that draws elsewhere, from a generator that it can
    reach or by functions of `random` or `numpy.random` that it names, is not compiled.

    Some things are not looked into, and are compared in the recordings only: values that are read from a
    file, a clock, the environment, a context variable, a `threading.local` or a weak reference; the
    generators of other packages; the variables of modules and classes of installed packages, apart from that
    of the function itself; names that are looked up dynamically, as by `getattr(module, name)`, `globals()`
    or `eval`; objects of Python's library that the function changes, such as files and queues; generators,
    and iterators such as `zip` and `map`, other than those of Python's containers. With `rehearse`, a function that can reach such a generator runs as it is.

    The numbers of an optimizer, such as its learning rate, may change in each step without another plan.
    The function may compute with them, `x * optimizer.lr`. If it reads the dicts and lists that hold them
    itself, as `optimizer.groups[0]["lr"]` or `vars(optimizer)`, these are compared as other numbers are. A
    number that it reads past the object's attributes, as by `object.__getattribute__(optimizer, "factor")`
    or `repr(optimizer)`, is not noticed, and is repeated.

    A call in which an action of `each_step` changes a number that no action has changed before is not
    replayed: it runs as it is, so that the code after the action reads the new number.

    NumPy's warnings of overflow, division by zero and invalid values come from calls that run as they are,
    not from replays. In a block of `np.errstate(over="raise")`, or where NumPy is to print, log or call
    something instead, all calls run as they are.

    A number among the arguments belongs to the kind of a call: for each value there is a plan. Pass a
    number that changes, such as a learning rate, as an array: `np.asarray(0.1)`. The 64 plans that were
    used last are kept. A function whose calls are nearly all of new kinds runs as it is most of the time,
    because a recording takes longer than a call.

    A plan may move the arrays that the function refers to into memory of its own: `p.data` is then
    another array, with the same numbers. Arrays that share memory are therefore refused. Whoever keeps an
    array of the state, or puts it into another model, finds what eager code would have left in it: the old
    numbers if the step puts a new array into the place, the new ones if it changes the array in place, as
    optimizers do. The latter holds for the executors of NumPy's arrays; the others may separate the two.

    Gradients of parameters that a step computes and uses itself are None after a replay, unless
    `keep_grad`. Others, such as those that are added up over several calls, are kept.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> step = xpnet.compile(lambda x: F.exp(x) - 1.0)
    >>> for size in (1, 1, 1, 1, 2, 2, 2):
    ...     y = step(F.zeros(size).data)
    >>> len(step.replays), step.reason  # a plan for each shape
    (2, None)
    """

    reached_by_steps: ClassVar[tuple[str, ...]] = ("function",)  # for a step that calls it

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        fallback: bool = False,
        keep_grad: bool = False,
        executor: Callable[[Program], Executor] | None = None,
        rehearse: bool = False,
        undo: bool = False,
    ) -> None:
        if not callable(function):
            raise ArgumentTypeError(
                f"Expected a function to compile, got {type(function).__name__}. Pass the function "
                "itself, not its result: compile(step), not compile(step(x))."
            )
        update_wrapper(self, function, updated=())
        self.function = function
        self.fallback = fallback
        self.keep_grad = keep_grad
        self.rehearse = rehearse
        self.undo = undo
        self.reason: str | None = None
        self.trouble = ""
        self.replays: list[Replay] = []
        self._executor = executor
        self._keys: dict[Any, _Key] = {}
        self._written: set[tuple[int, Any]] = set()  # what actions change
        self._drawn: dict[int, Any] = {}  # the generators that actions draw from
        self._read: set[tuple[int, Any]] = set()  # numbers of each step that steps read themselves
        self._varying: set[tuple[int, Any]] = set()  # NumPy's scalars that steps change
        self._changed: dict[tuple[int, Any], str] = {}  # what steps have changed otherwise
        self._uses_numpy = False
        self._current: Replay | None = None
        self._by_use: dict[Replay, None] = {}
        self._recordings_left: float = MOST_RECORDINGS
        self._lock = threading.RLock()

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        """A method, if it is the attribute of a class: the object is its first argument."""
        return self if owner is None else MethodType(self, owner)

    def __copy__(self) -> "Compiled":
        """A copy has the same function and options; it has no plans, and makes its own."""
        return self._with(self.function)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Compiled":
        return self._with(copy.deepcopy(self.function, memo))

    def __reduce__(self) -> Any:
        """A function of a module that `compile` has decorated is pickled by its name, as functions are."""
        name: str | None = getattr(self, "__qualname__", None)
        module = sys.modules.get(getattr(self, "__module__", None) or "")
        if name is not None and "<locals>" not in name:
            try:
                found = attrgetter(name)(module)
            except AttributeError:
                found = None
            if found is self:
                return name
        return self._with, (self.function,)

    @property
    def _with(self) -> Callable[[Callable[..., Any]], "Compiled"]:
        """Makes a Compiled with these options."""
        return partial(
            type(self),
            fallback=self.fallback,
            keep_grad=self.keep_grad,
            executor=self._executor,
            rehearse=self.rehearse,
            undo=self.undo,
        )

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the function: recorded in the first calls with these shapes, and then replayed."""
        if self._runs_as_it_is():
            return self.function(*args, **options)
        with self._lock:
            done: Any = ()
            current = self._current
            if current is not None and current.ready(args, options):
                try:
                    return self._replayed(current, args, options)
                except Mismatch as mismatch:
                    done = mismatch.done
            return self._other(args, options, done)

    def _other(self, args: Any, options: Any, done: Any) -> Any:
        """A call that the last plan does not fit: another one, or the function itself, recorded."""
        tried = {id(self._current)}
        for replay in self.replays:
            if id(replay) not in tried and replay.ready(args, options):
                tried.add(id(replay))
                try:
                    return self._replayed(replay, args, options, done)
                except Mismatch as mismatch:
                    done = mismatch.done
        with exclusive():
            return self._renewed(args, options, done, tried)

    def _renewed(self, args: Any, options: Any, done: Any, tried: set[int]) -> Any:
        """A call for which no plan is ready: numbers or arrays may be others, but equal."""
        try:
            found = survey(*roots_of(self.function, args, options), varying=self._varying)
        except CompileError as error:  # of an argument, or because there is too much to look at
            problem = str(error)
        else:
            iterator = found.unknown_iterator() if self.rehearse else None
            if iterator is None:
                return self._by_survey(found, args, options, done, tried)
            problem = (
                f"The step can reach {iterator.place.name}, a {type(iterator.value).__name__}: what it takes "
                "from it while it is recorded could not be put back. Take it outside of the step."
            )
        self._give_up(problem)
        if self.undo and not done:
            raise Undone
        return self._as_it_is(args, options, done)

    def _as_it_is(self, args: Any, options: Any, done: Any, changes: Any = ()) -> Any:
        """The result of the function itself, of which some actions ran already: see `Done`."""
        if not done:
            return self.function(*args, **options)
        with Done(done, changes):
            return self.function(*args, **options)

    def _by_survey(self, found: Survey, args: Any, options: Any, done: Any, tried: set[int]) -> Any:
        """A call by a plan for which it is ready after renewal; else it is recorded."""
        presence = tuple(place.get() is not None for place in found.gradients)
        key = self._keys.get(self._signature(found, cell_keys(found), args, options))
        for replay in key.replays if key is not None else ():
            if (id(replay) in tried and done) or not replay.fits(presence):
                continue
            if not replay.renew(found):
                continue
            try:
                return self._replayed(replay, args, options, done)
            except Mismatch as mismatch:
                done = mismatch.done
        return self._record(args, options, done)

    def _replayed(self, replay: Replay, args: Any, options: Any, done: Any = ()) -> Any:
        """The result of a plan, which is from now on the one that is tried first."""
        try:
            result = replay.run(args, options, done)
        except Mismatch as mismatch:
            if mismatch.changes is None:
                raise
            return self._as_it_is(args, options, mismatch.done, mismatch.changes)
        if replay is not self._current:
            self._make_current(replay)
        if self._recordings_left < MOST_RECORDINGS:
            self._add_recordings(1)
        return result

    def _make_current(self, replay: Replay) -> None:
        """Try this plan first from now on; the plans are in the order in which they were used."""
        self._current = replay
        self._by_use.pop(replay, None)
        self._by_use[replay] = None

    def _signature(self, found: Survey, cells: Any, args: Any, options: Any) -> Any:
        """What is equal for all calls that one plan is for."""
        arguments = tuple(_argument_key(x) for x in leaves((args, options)))
        shape = _structure((args, options))
        return shape, arguments, context(), cells, found.signature(self._written, self._read)

    def _record(self, args: Any, options: Any, done: Any) -> Any:
        """A call that runs as it is and is recorded; after three of a kind there is a plan."""
        if (
            self._recordings_left < 1 and not done
        ):  # which of a call's actions ran is in a recording
            self._add_recordings(1 / CALLS_FOR_A_RECORDING)
            return self.function(*args, **options)
        if self.rehearse:
            return self._rehearsed(args, options, done)
        before = Before() if self.fallback else None
        return _kept(*self._recorded(args, options, done, before))

    def _rehearsed(self, args: Any, options: Any, done: Any) -> Any:
        """A call that is recorded as often as a plan needs it, and then made by the plan."""
        others = None
        if self.undo and not done:
            others = Undo(survey(*roots_of(self.function, args, options), varying=self._varying))
        plans = len(self.replays)
        first = before = Before()
        for _ in range(REHEARSALS):
            result, recording = self._recorded(args, options, done, before)
            if recording is None or recording.recorder.traced:
                return _kept(result, recording)
            if self.reason is not None or not before.can_undo(recording):
                if others is None or not others.is_possible():
                    return _kept(result, recording)
                others.undo()
                before.undo()
                raise Undone
            before.undo()
            done = before.done
            before = Before()
            if len(self.replays) > plans:
                break
        if len(self.replays) > plans and self.replays[-1].ready(args, options):
            try:
                return self.replays[-1].run(args, options, done)
            except BaseException:  # as in a replay: see `Replay.run`
                first.undo_actions()
                raise
        return _kept(*self._recorded(args, options, done, before))

    def _recorded(
        self, args: Any, options: Any, done: Any, before: Before | None
    ) -> tuple[Any, Recording | None]:
        """The result of a call that runs as it is, and its recording if it could be recorded."""
        try:
            recording = recorded_call(self.function, args, options, done, self._varying, before)
        except CompileError:
            raise
        except Exception as error:
            if before is None or not (self.fallback and before.can_undo_error):
                if "Recorded" not in str(error):
                    raise
                raise CompileError(
                    f"{self._name} cannot be compiled: {_described(error)}"
                ) from error
            problem = _described(error)
        else:
            return self._looked_at(recording, args, options), recording
        before.undo_error()
        ran = [*before.done, *done[len(before.done) :]]
        result = self._as_it_is(args, options, ran)  # if it raises too, that is the error
        self._give_up(problem)
        return result, None

    def _looked_at(self, recording: Recording, args: Any, options: Any) -> Any:
        """The result of a call that was recorded; a plan is made if it is the third of a kind."""
        self._varying |= recording.varying
        result = recording.result
        recording.result = None  # its arrays are the caller's
        recording.recorder.returned = []
        if recording.recorder.traced:  # by jax.jit, which compiles what the step does
            return result
        self._written |= recording.written
        recording.drawn |= self._drawn
        self._drawn = recording.drawn
        self._read |= recording.read
        signature = self._signature(recording.before, recording.cell_keys, args, options)
        key = self._keys.get(signature)
        if key is None:
            key = self._new_key(signature)
            key.holds = (recording.before, objects_in((args, options)))
        key.calls += 1
        self._add_recordings(-1)
        problem = self._problem(recording) or self._planned(key, recording, args, options)
        self._changed.update(recording.changes)
        if problem is not None:
            self._give_up(problem)
        return result

    def _new_key(self, signature: Any) -> _Key:
        """The entry for a new kind of call; the oldest ones for which there is no plan are forgotten."""
        if len(self._keys) >= MOST_KEYS:
            for old in [x for x, key in self._keys.items() if not key.replays]:
                del self._keys[old]
        key = self._keys[signature] = _Key()
        return key

    def _problem(self, recording: Recording) -> str | None:
        """Why this recording cannot be replayed; None if it can."""
        failures = list(dict.fromkeys(map(str, recording.recorder.failures)))
        iterator = recording.before.unknown_iterator()
        foreign = recording.recorder.foreign
        if iterator is not None and foreign:
            failures.append(
                f"{foreign[0].name}: the step is given an array, perhaps by {iterator.place.name}, a "
                f"{type(iterator.value).__name__}. Take it outside of the step, and pass it as an argument."
            )
        for place, change in recording.changes.items():
            if place in self._changed:  # a step may create something when it is called first
                failures.append(
                    f"{change}: a replay would not. Do it in an action of xpnet.compiler.each_step, or "
                    "outside of the step."
                )
        if not failures:
            return None
        return "\n".join(failures)

    def _planned(self, key: _Key, recording: Recording, args: Any, options: Any) -> str | None:
        """Make a plan if the last recording agrees with this one; returns what differs.

        The first recording of a kind may differ from the second one: it may have created something. Unless
        it is a rehearsal, it does not count at all.
        """
        last = key.last.get(recording.presence)
        if key.calls == 2:
            key.last.clear()
        if key.calls > 1 or self.rehearse:
            key.last[recording.presence] = recording
        if last is None:
            return None
        found = difference(
            last.program,
            recording.program,
            last.recorder,
            recording.recorder,
            ((last.tree, last.stores), (recording.tree, recording.stores)),
        )
        if found is not None:
            return None if key.calls == 2 else found
        if recording.changes or recording.varying:
            return None
        try:
            replay = Replay(recording, args, options, self._written, self.keep_grad, self._make)
        except CompileError as error:  # of the executor
            return str(error)
        self._uses_numpy |= recording.library in ("numpy", "")
        key.replays.append(replay)
        key.last.clear()
        self.replays.append(replay)
        self._make_current(replay)
        self._forget_plans()
        return None

    def _forget_plans(self) -> None:
        """Forget the plans that were not used for the longest time, with their memory."""
        while len(self.replays) > MOST_PLANS:
            oldest = next(iter(self._by_use))
            del self._by_use[oldest]
            self.replays.remove(oldest)
            for signature, key in list(self._keys.items()):
                if oldest in key.replays:
                    key.replays.remove(oldest)
                    if not key.replays:
                        del self._keys[signature]

    def _make(self, program: Program, library: str) -> Executor:
        """The executor for a program."""
        if self._executor is not None:
            return self._executor(program)
        return choose(program, library)

    def _give_up(self, problem: str) -> None:
        if not self.fallback:
            raise CompileError(f"{self._name} cannot be compiled: {problem}")
        self.reason = self.trouble = problem
        self._current = None
        self._by_use.clear()
        self._keys.clear()
        self.replays.clear()

    def scan(self, *stacked: Any) -> Any:
        """Many calls in one: call i is given x[i] of each array x of the arguments.

        Parameters
        ----------
        *stacked : arrays, or trees of arrays, that are equally long
            (steps, ...): what the function takes, stacked along a new first axis.

        Returns
        -------
        tree
            What the function returns, with the arrays of all calls stacked along a new first axis,
            and numbers in lists; of anything else, that of the last call.

        Raises
        ------
        ShapeError
            The arrays are not equally long, or there are none.
        Undone
            With `undo`, the first call could not be rehearsed; no call was made.
        """
        count = _length(stacked)
        results: list[Results] = []
        with self._lock:
            while (i := sum(part.calls for part in results)) < count:
                args = replaced(stacked, partial(_at, i))
                current = None if self._runs_as_it_is() else self._ready_for(args)
                if current is None:
                    results.append(_one_result(self._one_of_many(args, bool(results))))
                    continue
                mismatch = current.run_steps(stacked, i, count, results)
                if mismatch is not None:
                    i = sum(part.calls for part in results)
                    args = replaced(stacked, partial(_at, i))
                    results.append(_one_result(self._after(mismatch, args)))
        return _joined(results)

    def _ready_for(self, args: Any) -> Replay | None:
        """A plan that is ready for a call of `scan`, the last one if it can be; None if there is none."""
        current = self._current
        if current is not None and current.ready(args, {}):
            return current
        for replay in self.replays:
            if replay is not current and replay.ready(args, {}):
                self._make_current(replay)
                return replay
        return None

    def _one_of_many(self, args: Any, is_later: bool) -> Any:
        """A call of `scan`; a later one cannot be left to the caller, as those before it were made."""
        try:
            return self(*args)
        except Undone:
            if not is_later:
                raise
            return self.function(*args)

    @property
    def scans_in_one_call(self) -> bool:
        """Whether there are plans, and `scan` runs each of them many times without Python in between."""
        return bool(self.replays) and all(x.runs_many_in_one for x in self.replays)

    def _after(self, mismatch: Mismatch, args: Any) -> Any:
        """The result of a call in which an action of `each_step` has selected other code."""
        if mismatch.changes is None:
            return self._other(args, {}, mismatch.done)
        return self._as_it_is(args, {}, mismatch.done, mismatch.changes)

    def _runs_as_it_is(self) -> bool:
        """Whether calls are neither recorded nor replayed.

        The function cannot be compiled, the call is part of another recording, or NumPy is to raise errors.
        """
        if self.reason is not None or is_recording():
            return True
        return self._uses_numpy and float_errors.are_reported()

    @property
    def plans(self) -> list[Plan]:
        """The plans so far: print one to see what runs, and where."""
        return [Plan(replay.program, replay.executor, self._name) for replay in self.replays]

    @property
    def _name(self) -> str:
        function = self.function
        while isinstance(function, partial):
            function = function.func
        return getattr(function, "__name__", type(function).__name__)

    def _add_recordings(self, more: float) -> None:
        """Change how many recordings are left, and note whether there are too few."""
        self._recordings_left = max(self._recordings_left + more, 0)
        self.trouble = ""
        if self._recordings_left < REHEARSALS:
            self.trouble = (
                f"{self._name} mostly runs as it is: its calls are of more kinds than plans are kept "
                f"for ({MOST_PLANS}), or each is of a new kind. Pass numbers that change as arrays, and "
                "arrays of few shapes."
            )

    def explain(self) -> str:
        """What is not compiled, and why, as text for a reader."""
        if self.reason is not None:
            return f"{self._name} runs as it is. {self.reason}"
        if self.trouble:
            return self.trouble
        if not self.replays:
            return f"{self._name} has no plan so far: the first three calls of a kind are recorded."
        return "\n\n".join(plan.explain() for plan in self.plans)

    def __repr__(self) -> str:
        if self.reason is not None:
            return f"Compiled({self._name}, runs as it is)"
        count = len(self.replays)
        return f"Compiled({self._name}, {counted(count, 'plan')})"

    def __str__(self) -> str:
        if not self.replays or self.reason is not None:
            return f"{self!r}: {self.explain()}"
        return "\n\n".join(map(str, self.plans))


def _kept(result: Any, recording: Recording | None) -> Any:
    """The result of a recorded call that is not undone: what it has handed over is received now."""
    if recording is not None:
        for receiver, args in recording.recorder.handed_over:
            receiver(*args)
        recording.recorder.handed_over.clear()
    return result


_OF_RECORDING = re.compile(
    r"'?(<class ')?[\w.]*Recorded(Array|Number)(\[[\w.]*\])?('>)?'?( object)?"
)


def _described(error: Exception) -> str:
    """Why a function cannot be compiled that raises this error only when it is recorded."""
    text = _OF_RECORDING.sub("an array that is recorded", str(error)).rstrip(".")
    found = f"the step raises {type(error).__name__} when it is recorded ({text})"
    return f"{line_of(error)}: {found}. {METHOD}".removeprefix(": ")


def _argument_key(x: Any) -> Any:
    if isinstance(x, Variable):
        return Variable, array_key(unwrapped(x.data))
    if is_array(x):
        return isinstance(x, np.generic), array_key(unwrapped(x))
    if isinstance(x, SCALARS):
        return comparable(x)
    return id(x)


def _structure(tree: Any) -> Any:
    """A tree without its leaves."""
    if isinstance(tree, dict):
        return type(tree), tuple((key, _structure(x)) for key, x in tree.items())
    if isinstance(tree, (tuple, list)):
        return type(tree), tuple(map(_structure, tree))
    return None


def _length(stacked: Any) -> int:
    """How many calls there are for stacked arguments."""
    lengths = {x.shape[0] if x.shape else 0 for x in leaves(stacked) if hasattr(x, "shape")}
    if len(lengths) != 1 or 0 in lengths:
        raise ShapeError(
            "scan expected arrays with one call after the other along their first axis, equally "
            f"many, got lengths {sorted(lengths)}."
        )
    return int(lengths.pop())


def _at(i: int, x: Any) -> Any:
    """x[i] of an array or a Variable; anything else as it is."""
    return x[i, ...] if hasattr(x, "shape") else x


def _one_result(result: Any) -> Results:
    """The result of one call."""
    columns = [[x.data if isinstance(x, Variable) else x] for x in leaves(result)]
    return Results(result, 1, columns)


def _joined(results: list[Results]) -> Any:
    """The results of all calls, stacked leaf by leaf."""
    columns = zip(*(part.columns for part in results), strict=True)

    def joined(x: Any) -> Any:
        found = next(columns)
        if isinstance(x, Variable):
            return constant(_one_array(found))
        if is_array(x):
            return _one_array(found)
        if isinstance(x, (int, float)) and not isinstance(x, bool):
            return [number for column in found for number in column]
        return x

    return replaced(results[-1].last, joined)


def _one_array(columns: Sequence[Any]) -> Any:
    """One array of columns that are arrays, or lists of arrays."""
    arrays = [array_namespace(*x).stack(list(x)) if isinstance(x, list) else x for x in columns]
    return arrays[0] if len(arrays) == 1 else array_namespace(*arrays).concat(arrays)


def compile(
    function: Callable[..., Any], *, fallback: bool = False, keep_grad: bool = False
) -> Compiled:
    """Record a function of arrays in its first calls, and replay it without Python in later ones.

    It may be a training step, which changes parameters and the state of an optimizer, or a function of
    arrays alone, such as `xpnet.grad(f)`. It is also a decorator, of functions and of methods.

    Parameters
    ----------
    function : callable
        It takes and returns arrays, constant Variables, numbers, and tuples, lists and dicts of these.
        What it refers to (a model, an optimizer) it may read and change.
    fallback : bool
        Whether a function that cannot be compiled runs as it is. By default that is an error.
    keep_grad : bool
        Whether the gradients of parameters are kept after a step that has used them itself.

    Returns
    -------
    Compiled
        It is called as the function is. `print` shows its plans; `explain()` what is not compiled.

    Raises
    ------
    ArgumentTypeError
        `function` cannot be called.
    CompileError
        Not here, but in one of the first calls: a replay would not do what the function does. The error
        names the line that reads a value (`float(loss)`, `if loss > 1`), the generator that random
        numbers are drawn from outside of xpnet, or what is counted or kept in a list.

    See Also
    --------
    Compiled : which calls share a plan, and what is compared.

    Notes
    -----
    A replay gives none of NumPy's warnings of overflow, division by zero and invalid values. Where NumPy is
    to raise errors instead, as in a block of `np.errstate(over="raise")`, calls run as they are.

    Some things are not noticed, and a replay differs from the function: an exception that the function
    catches, raised for the first time in a replay (`except LinAlgError`: the replay raises it);
    `type(x) is np.ndarray`, False while the function is recorded (use isinstance); and what is looked up
    dynamically, read from objects of Python's library, or a number that a generator yields, if it was the same
    in two recordings. docs/performance.md has the list.

    Examples
    --------
    A function of arrays:

    >>> import numpy as np, xpnet
    >>> def energy(x):
    ...     return xpnet.functions.sum((x[1:] - x[:-1]) ** 2)
    >>> slope = xpnet.compile(xpnet.grad(energy))
    >>> for _ in range(3):  # recorded
    ...     y = slope(np.asarray([1.0, 3.0, 2.0]))
    >>> slope(np.asarray([0.0, 1.0, 5.0]))  # replayed
    array([-2., -6.,  8.])

    A training step:

    >>> model = xpnet.MLP(2, [4], 1, rng=0)
    >>> optimizer = xpnet.Adam(model.parameters())
    >>> @xpnet.compile
    ... def step(x, t):
    ...     loss = xpnet.functions.mean((model(x) - t) ** 2)
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> x = np.ones((8, 2), dtype=np.float32)
    >>> losses = [float(step(x, x[:, :1])) for _ in range(5)]
    >>> losses[4] < losses[0]
    True
    """
    return Compiled(function, fallback=fallback, keep_grad=keep_grad)
