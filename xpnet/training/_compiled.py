"""The parts of a learner's step: what is computed, without the counting around it; and their records.

A step that is recorded once is replayed without Python: see `xpnet.compiler`. What decides something on
the host cannot be a part of a record, so a step consists of parts, and the learner decides between them:

    gradients     the output, the loss, and the gradients of one batch
    prepared      the gradients of several batches divided; in half precision, whether they are finite
    move          clipping, the optimizer's step, the average
    whole         gradients and move in one

`Parts` are these functions. `CompiledParts` are the same, each one recorded.

What cannot be recorded is found out in its first call, which is undone, and then made as all later ones
are: in smaller parts, or as it is. So a training that is resumed makes the same steps.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from xpnet._each_step import each_step, hand_over, recorder
from xpnet._libraries import library_of
from xpnet._libraries.devices import follow, stays
from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.tape import recording
from xpnet.autodiff.variable import Variable, data_of
from xpnet.compiler import Compiled
from xpnet.compiler.c import load
from xpnet.compiler.executors import KINDS
from xpnet.compiler.plan import NAMES
from xpnet.compiler.undo import Undone
from xpnet.distributed import GradientSum
from xpnet.errors import GradientError, StateError
from xpnet.layers._context import hooks, training_mode, unhooked
from xpnet.optimizers import clip_grad_norm
from xpnet.optimizers.averaging import standing_in
from xpnet.training._observed import undone
from xpnet.training.batches import Arrays, output, samples

if TYPE_CHECKING:
    from xpnet.training.learner import Learner
    from xpnet.training.meter import Meter

__all__ = [
    "CompiledMeasure",
    "CompiledParts",
    "Parts",
    "Progress",
    "executor_details",
    "executor_name",
    "is_observed",
    "is_watched",
    "means_of",
    "require_forced",
]


class Progress:
    """Whether a learner is in the middle of an update.

    Attributes
    ----------
    updating : bool
        It is set by an action of the step. The step reaches it, so a replay that fails sets it back.
    """

    def __init__(self) -> None:
        self.updating = False


class Parts:
    """The functions that a step of a learner consists of.

    They do not refer to the learner, whose counters differ in each step.

    Parameters
    ----------
    learner : Learner

    Attributes
    ----------
    in_one : bool
        Whether the learner calls `whole` where a batch makes a step, and not the other parts.
    clips : bool
        Whether `move` clips the gradients; if not, the learner does.
    """

    in_one = False
    clips = True

    def __init__(self, learner: "Learner") -> None:
        self.model = learner.model
        self.loss = learner.loss
        self.optimizer = learner.optimizer
        self.clip = learner.clip
        self.precision = learner.precision
        self.average = learner.average
        self.progress = learner.progress
        self._learner = ref(learner)

    def is_of(self, learner: "Learner") -> bool:
        """Whether these are still the parts of the learner, whose attributes can be changed."""
        return (
            self.model is learner.model
            and self.loss is learner.loss
            and self.optimizer is learner.optimizer
            and self.clip is learner.clip
            and self.precision is learner.precision
            and self.average is learner.average
        )

    def whole(self, x: Arrays, t: Arrays) -> tuple[Any, Variable]:
        """The gradients of one batch, and an update along them; returns the output and the loss."""
        y, loss = self.gradients(x, t, 1.0, True)
        each_step(self._begin_update)
        self.move()
        return y, loss

    def _begin_update(self) -> None:
        learner = self._learner()
        if learner is not None:
            learner.begin_update()

    def gradients(
        self, x: Arrays, t: Arrays, weight: float, first: bool, sends: bool = False
    ) -> tuple[Any, Variable]:
        """The output and the loss; the gradients of `weight` times the loss are in the parameters.

        They are added to those that are there, unless it is the first batch of a step. With `sends` they
        are on their way to the other ranks instead, each bucket as soon as its gradients are final.
        """
        with self.precision or nullcontext():
            y = output(self.model, x)
            loss = self.loss(y, t)
        if not hasattr(loss, "backward"):
            kind = type(loss).__name__
            raise GradientError(
                f"Expected the loss to be a Variable, got {kind}: compute it with functions of "
                "xpnet only."
            )
        if first:
            self.optimizer.zero_grad()
        weighted = loss if weight == 1.0 else loss * weight
        arrived = self._sending() if sends else None
        if self.precision is None:
            weighted.backward(on_gradient=arrived)
        else:
            self.precision.backward(weighted, on_gradient=arrived)
        return y, loss

    def _sending(self) -> Callable[[Any], None]:
        """What the walk back calls with each parameter whose gradient is final."""
        found = self._gradient_sum
        found.begin()
        send = partial(hand_over, self.send_bucket)
        return lambda p: found.arrived(p, send)

    def send_bucket(self, number: int, *gradients: Array) -> None:
        """Send gradients to the other ranks; in a replay, by the sum that the learner has then."""
        self._gradient_sum.start(number, *gradients)

    @property
    def _gradient_sum(self) -> GradientSum:
        learner = self._learner()
        if learner is None:
            raise StateError(
                "Expected the learner of these parts of a step, which sends its gradients, but it is gone. "
                "Keep a reference to it, or to its trainer."
            )
        return learner.gradient_sum()

    @stays
    def prepared(self, weight: float) -> Array | None:
        """Multiply the gradients by `weight`, and in half precision divide them by the loss's scale.

        Returns
        -------
        array, shape (), or None
            In half precision, whether all gradients are finite.
        """
        if weight != 1.0:
            for p in self.optimizer.parameters:
                follow(p)  # of several GPUs, compute on that of p
                if p.raw_grad is not None:
                    p.raw_grad = p.raw_grad * weight
        if self.precision is None:
            return None
        return self.precision.divided(self.optimizer.parameters)

    def move(self) -> None:
        """Move the weights along the gradients."""
        self.clip_gradients()
        self.optimizer.step()
        if self.average is not None:
            self.average.update()

    def clip_gradients(self) -> None:
        """Clip the gradients, if that was asked for."""
        if callable(self.clip):
            self.clip(self.optimizer.parameters)
        elif self.clip is not None:
            clip_grad_norm(self.optimizer.parameters, self.clip)

    def averages(self) -> AbstractContextManager[Any]:
        """A block in which no other thread copies the averages, which `move` changes one by one."""
        return _NOTHING if self.average is None else self.average.updating()


_NOTHING = nullcontext()


class CompiledParts:
    """The parts of a learner's step, each recorded in its first calls, and replayed in later ones.

    Parameters
    ----------
    learner : Learner

    Raises
    ------
    CompileError
        XPNET_EXECUTOR=c asks for the C library, and there is none.

    Attributes
    ----------
    run_as_they_are : bool
        Whether the learner is to call its plain parts from now on.
    in_one, clips
        As for `Parts`.
    """

    def __init__(self, learner: "Learner") -> None:
        require_forced(learner)
        self.run_as_they_are = False
        self.plain = Parts(learner)
        self._averages = self.plain.averages()
        self._keeps = learner.keeps_gradients
        self.in_one = learner.has_own_update
        self.clips = True
        self._compile(self.plain)

    def _compile(self, parts: Parts) -> None:
        self._whole = self._compiled(parts.whole, keep_grad=self._keeps, undo=True)
        self._gradients = self._compiled(parts.gradients, keep_grad=True)
        self._prepared = self._compiled(parts.prepared, keep_grad=True)
        self._move = self._compiled(parts.move, keep_grad=self._keeps)

    def _compiled(
        self, function: Callable[..., Any], keep_grad: bool, undo: bool = False
    ) -> Compiled:
        return Compiled(function, fallback=True, keep_grad=keep_grad, rehearse=True, undo=undo)

    @property
    def reason(self) -> str:
        """Why steps, a part of each step, or most of the steps are not compiled; empty if all are."""
        whole = self._whole.trouble
        return whole or self._gradients.trouble or self._prepared.trouble or self._move.trouble

    def used(self) -> list[Compiled]:
        """The parts that were called."""
        parts = (self._whole, self._gradients, self._prepared, self._move)
        return [part for part in parts if part.replays or part.reason]

    def is_of(self, learner: "Learner") -> bool:
        """Whether these are still the parts of the learner, whose attributes can be changed."""
        return self.plain.is_of(learner) and self._keeps == learner.keeps_gradients

    def whole(self, x: Arrays, t: Arrays) -> tuple[Any, Variable] | None:
        """`Parts.whole`; None if nothing was done, and the step is to be made in parts."""
        try:
            with self._averages:
                result: tuple[Any, Variable] = self._whole(x, t)
        except Undone:
            if callable(self.plain.clip):
                self._divide()
                return None
            with self._averages:
                result = self.plain.whole(x, t)
        if self._whole.reason:
            self.run_as_they_are = True
        return result

    def gradients(
        self, x: Arrays, t: Arrays, weight: float, first: bool, sends: bool = False
    ) -> tuple[Any, Variable]:
        """`Parts.gradients`. If they cannot be compiled, the other parts are not compiled either."""
        with self._without_warnings():
            result: tuple[Any, Variable] = self._gradients(x, t, weight, first, sends)
        if self._gradients.reason:
            self.run_as_they_are = True
        return result

    def prepared(self, weight: float) -> Array | None:
        """`Parts.prepared`."""
        with self._without_warnings():
            finite: Array | None = self._prepared(weight)
        return finite

    def move(self) -> None:
        """`Parts.move`. If it cannot be compiled, the gradients still are, as in the first step."""
        with self._averages:
            self._move()

    def clip_gradients(self) -> None:
        """`Parts.clip_gradients`, which is not recorded: it may read values."""
        self.plain.clip_gradients()

    def _divide(self) -> None:
        """From now on make steps in parts, between which the function that clips runs as it is.

        It may be what reads values or counts. If the model does so, the gradients show it.
        """
        self.clips = False
        self.in_one = False
        others = copy(self.plain)
        others.clip = None  # what the function changes would be looked at before each replay
        self._compile(others)

    def _without_warnings(self) -> AbstractContextManager[Any]:
        precision = self.plain.precision
        return nullcontext() if precision is None else precision.without_warnings()


class CompiledMeasure:
    """What `evaluation.measure` computes of a batch, recorded in its first calls.

    Parameters
    ----------
    learner : Learner
        It has the model and the loss.
    meter : Meter
        It has the metrics.

    Attributes
    ----------
    compiled : Compiled
    """

    def __init__(self, learner: "Learner", meter: "Meter") -> None:
        self._average = learner.average
        self._recorded = _Measure(learner, meter)
        self.compiled = Compiled(self._recorded.batch, fallback=True, rehearse=True)

    def is_of(self, learner: "Learner", meter: "Meter") -> bool:
        """Whether these are still the model, the loss and the average of the learner, and the metrics."""
        return (
            self._recorded.means == meter.means
            and self._recorded.returns_outputs == bool(meter.accumulators)
            and self._recorded.model is learner.model
            and self._recorded.loss is learner.loss
            and self._average is learner.average
        )

    def add_to(self, meter: "Meter", x: Arrays, t: Arrays) -> None:
        """Count a batch in a meter with these metrics; with an average, in a block that applies it."""
        if is_observed():
            self._show(x, t)
        with unhooked():
            if self._average is None:
                means, y = self.compiled(x, t, [])
            else:
                with self._average.as_arrays() as averages:  # they are other arrays in each block
                    means, y = self.compiled(x, t, averages)
        meter.add_means(samples(t), means)
        if meter.accumulators:
            meter.accumulate(y, t)

    def _show(self, x: Arrays, t: Arrays) -> None:
        """Make the calls of layers for the hooks."""
        model = self._recorded.model
        loss = self._recorded.loss
        with undone([model, loss], ()):
            loss(output(model, x), t)


class _Measure:
    """What is recorded of an evaluation: the model, the loss, and the metrics that are means."""

    def __init__(self, learner: "Learner", meter: "Meter") -> None:
        self.model = learner.model
        self.loss = learner.loss
        self.averaged = [] if learner.average is None else learner.average.parameters
        self.means = meter.means
        self.returns_outputs = bool(meter.accumulators)

    def batch(self, x: Arrays, t: Arrays, averages: list[Array]) -> tuple[list[Any], Arrays | None]:
        """The means of a batch, the loss first; and the output, if a metric object needs it."""
        with standing_in(self.averaged, averages):
            y = output(self.model, x)
            loss = self.loss(y, t)
        means = means_of(loss, y, t, self.means)
        return means, tree.map(data_of, y) if self.returns_outputs else None


def means_of(loss: Array, y: Arrays, t: Arrays, metrics: Iterable[Callable[..., Any]]) -> list[Any]:
    """The loss of a batch and its metrics that are means, as arrays: for `Meter.add_means`."""
    y = tree.map(data_of, y)
    return [data_of(loss), *(metric(y, t) for metric in metrics)]


def require_forced(learner: "Learner") -> None:
    """Raise CompileError if XPNET_EXECUTOR=c asks for a C library that is not there.

    It is an error of the machine: steps that cannot be compiled run as they are, these do not.
    """
    if load.forced() == "c":
        libraries = {library_of(p.data).name for p in learner.optimizer.parameters}
        if "numpy" in libraries:
            load.wait()


def executor_name(library: str) -> str:
    """The name of the executor that a step on arrays of a library will have: "C", "jax.jit".

    Raises
    ------
    CompileError
        XPNET_EXECUTOR=c asks for the C library, and there is none.
    """
    if library in KINDS:
        return NAMES[library]
    if library != "numpy":
        return "operation by operation"
    forced = load.forced()
    if forced == "c":
        load.wait()  # raises if there is no library
    elif forced is None and load.find() is not None:
        forced = "c"
    return NAMES[forced or "numpy"]


def executor_details(library: str) -> str:
    """The same with what its roundings depend on: "C (compiled for x86-64-v4)"."""
    name = executor_name(library)
    if library != "numpy" or name != NAMES["c"]:
        return name
    found = load.wait() if load.forced() else load.find()
    return name if found is None else f"{name} ({found.origin} for {found.variant})"


def is_observed() -> bool:
    """Whether the calls of layers are watched here, by hooks that change nothing.

    Then a step runs as it is, for them, is undone, and is made again as if nobody watched.
    """
    found = hooks.get()
    return bool(found) and all(getattr(hook, "only_observes", False) for hook in found)


def is_watched() -> bool:
    """Whether the calls of layers are watched here, or a call would not be that of a usual step.

    Then a step is not replayed from a record: hooks would see nothing of it.
    """
    is_usual = training_mode.get() is None and recording.get()
    return bool(hooks.get()) or not is_usual or recorder.get() is not None
