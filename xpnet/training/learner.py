"""Learner: how a model learns from one batch, from its inputs to updated weights."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from operator import index
from typing import TYPE_CHECKING, Any

import array_api_compat as compat

from xpnet._libraries import library_of
from xpnet._libraries.devices import stays
from xpnet._saved import finite, mapping, whole
from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Parameter, Variable
from xpnet.compiler import Compiled
from xpnet.compiler.executors import hands_over
from xpnet.distributed import (
    Communicator,
    GradientSum,
    SingleProcess,
    using,
    without_samples,
)
from xpnet.distributed.base import Compression, require_known
from xpnet.errors import ArgumentError, ArgumentTypeError, CompileError, StateError
from xpnet.layers import Layer
from xpnet.layers._contents import require_no_loose_variables
from xpnet.layers._context import hooks, unhooked
from xpnet.optimizers import ExponentialMovingAverage, Optimizer
from xpnet.training._compiled import CompiledParts, Parts, Progress, is_observed, is_watched
from xpnet.training._observed import undone
from xpnet.training._own import has_own, methods_of
from xpnet.training.batches import Arrays, samples

if TYPE_CHECKING:
    from xpnet.training.precision import MixedPrecision

Loss = Callable[[Any, Any], Any]  # (y, t) -> mean over the batch
Clip = float | Callable[[Iterable[Parameter]], Any]  # the largest norm, or what changes gradients


class Learner:
    """A model and how it learns from a batch: the part of a `Trainer` that has no loop.

    Parameters
    ----------
    model, loss, optimizer, schedule, clip, accumulate, precision, average, compile
        As for `Trainer`; likewise communicator and compression.

    Attributes
    ----------
    steps : int
        The number of updates so far.
    gathered : int
        The number of batches whose gradients have been added up since the last update; it is above 0
        between two calls of `step` only if several batches make a step.
    keeps_gradients : bool
        Whether the parameters have their gradients after a compiled step, as they do after others.
    observed_gradients : list of (Parameter, gradient)
        Those that parameters have only because the last step was observed.
    is_distributed : bool
        Whether there are other ranks, with whose gradients those of this one are added up.
    unit : float or None
        The number of samples that all ranks divide the weights of their batches by: about that of a
        step. None: that of the first step.
    communicates : bool
        Whether layers exchange statistics with other ranks, in the middle of a step.
    signals : tuple of bool
        What the next step tells the other ranks: see `signaled`.
    signaled : tuple of bool
        For each signal, whether one of the ranks has told it in the last step.
    damping : float or None
        The factor that `ReduceOnPlateau` has set; None if there is no such callback.

    Notes
    -----
    The learning rate of a step is the product of three numbers:

        lr = optimizer.lr * schedule(steps) * damping

    `optimizer.lr` stays what the user chose. `schedule` is a function of the number of steps, and
    `damping` depends on the history. Their product is assigned to `optimizer.factor` before each
    step; without a schedule and without `damping`, `optimizer.factor` is left as it is.
    """

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer,
        *,
        schedule: Callable[[int], float] | None = None,
        clip: Clip | None = None,
        accumulate: int = 1,
        precision: "str | MixedPrecision | None" = None,
        average: float | ExponentialMovingAverage | None = None,
        compile: bool | None = None,
        communicator: Communicator | None = None,
        compression: Compression | None = None,
    ) -> None:
        if index(accumulate) < 1:
            raise ArgumentError(f"Expected accumulate >= 1, got {accumulate}.")
        _require_function("loss", loss)
        if schedule is not None:
            _require_function("schedule", schedule)
        _require_optimizer_of(model, optimizer)
        require_no_loose_variables(model)
        if isinstance(precision, str):
            from xpnet.training.precision import MixedPrecision

            precision = MixedPrecision(model, precision)
        if isinstance(average, (int, float)):
            average = ExponentialMovingAverage(model.parameters(), average)
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.clip = clip
        self.accumulate = accumulate
        self.precision = precision
        self.average = average
        self.compile = compile
        self.communicator = communicator or SingleProcess()
        self.compression = compression
        require_known("sum", compression)
        self.is_distributed = self.communicator.size > 1
        self.unit: float | None = None
        self.signals: tuple[bool, ...] = ()
        self.signaled: tuple[bool, ...] = ()
        self._sum: GradientSum | None
        self._is_in_step = False
        self.progress = Progress()
        self.keeps_gradients = True
        self._plain: Parts | None = None
        self._compiled: CompiledParts | None = None
        self.observed_gradients: list[tuple[Parameter, Any]] = []
        self.reset()

    def reset(self) -> None:
        """Count the steps from 0 again, and discard gradients that were gathered."""
        self.steps = 0
        self.damping: float | None = None
        self.progress.updating = False
        self.gathered = 0
        self._gathered_samples = 0
        self._first_size = 1  # the number of samples of the first of the gathered batches
        self._sum = None  # which a step that was interrupted may have left half done
        self._is_in_step = False
        self.communicates = self.is_distributed and any(map(_communicates, self.model.sublayers()))

    def step(self, x: Arrays, t: Arrays) -> tuple[Any, Variable]:
        """Learn from one batch: forward, backward, update. Nothing is transferred to the host.

        Parameters
        ----------
        x, t : array of shape (n, ...), or a tuple or dict of such arrays
            The samples and their targets, on the device and in the dtype of the model. With a
            communicator these are the share of this rank, and all ranks call `step`.

        Returns
        -------
        y : Variable, or a tuple or dict of Variables
            The model's output, before the update.
        loss : Variable, shape ()
            The loss of y.

        Raises
        ------
        StateError
            With a communicator: the last step has failed on this rank, and the others wait for it.
        """
        if is_observed() and self.is_compiling:
            with self.observed(x, t):
                return self.step(x, t)
        if self.observed_gradients:
            self.forget_observed()
        parts = self._parts()
        found = None
        if parts.in_one and self.batch_is_step and not self.is_distributed:
            found = parts.whole(x, t)
        if found is not None:
            self.end_update()
        else:
            self._begin_batch(samples(t))
            sends = self.sends(isinstance(parts, CompiledParts))
            with self._among_ranks():
                found = parts.gradients(x, t, self.weight(samples(t)), not self.gathered, sends)
            self.end_batch(samples(t))
        self._require_compiled()
        return found

    def step_without_samples(self, x: Arrays, t: Arrays) -> None:
        """Take part in a step of which this rank has no samples: x and t are empty.

        If layers of the model communicate, the model computes with two samples of zeros, whose weight
        is 0.
        """
        if not self.gathered:
            self.optimizer.zero_grad()
        self._begin_batch(0)
        if self.communicates:
            parts = self._parts()
            sends = self.sends(isinstance(parts, CompiledParts))
            with without_samples(), self._among_ranks():
                x, t = tree.map(_two_zeros, (x, t))
                parts.gradients(x, t, 0.0, not self.gathered, sends)
        self.end_batch(0)

    def end_batch(self, n: int) -> None:
        """Count a batch of n samples whose gradients were added; make the step if it was the last."""
        self._count(n)
        self.signaled = ()
        if self.gathered >= self.accumulate:  # which a callback may have made smaller
            self.update()
        self._is_in_step = False

    def _among_ranks(self) -> AbstractContextManager[Any]:
        """A block in which layers find this learner's communicator, also where `Trainer.fit` is not used."""
        return using(self.communicator) if self.is_distributed else nullcontext()

    def sends(self, is_compiled: bool) -> bool:
        """Whether gradients of the next batch are sent to other ranks while its walk back goes on.

        A compiled step that has but one bucket is not interrupted: nothing is left to compute then. Nor
        is one on a library whose plans do not hand over arrays.
        """
        if not self.is_distributed or self.gathered + 1 < self.accumulate:
            return False
        if not is_compiled:
            return True
        buckets = self.gradient_sum().buckets
        return len(buckets) > 1 and all(hands_over(library_of(b[0].data).name) for b in buckets)

    @property
    def updating(self) -> bool:
        """Whether an update has begun and not finished: some weights have moved, and others have not."""
        return self.progress.updating

    @contextmanager
    def observed(self, x: Arrays, t: Arrays) -> Iterator[None]:
        """A block for a step on a batch, which hooks have seen before: they see nothing of the block.

        Before it, the calls of layers in such a step are made for the hooks, and nothing is changed. A
        step that does not keep its gradients is given those that were computed then.
        """
        self.forget_observed()
        gradients = self._gradients_for_hooks(x, t)
        with unhooked():
            yield
        for p, gradient in gradients:
            if p.raw_grad is None and gradient is not None:
                p.raw_grad = gradient
                self.observed_gradients.append((p, gradient))

    def forget_observed(self) -> None:
        """Remove the gradients of a step that was observed: the next one begins as any other."""
        for p, gradient in self.observed_gradients:
            if p.raw_grad is gradient:
                p.raw_grad = None
        self.observed_gradients.clear()

    def _gradients_for_hooks(self, x: Arrays, t: Arrays) -> list[tuple[Parameter, Any]]:
        """The gradients of a step, as the optimizer would use them, while hooks see the calls of layers."""
        parts = Parts(self)
        n = samples(t)
        with undone([self.model, self.loss], self.optimizer.parameters), self._among_ranks():
            parts.gradients(x, t, self.weight(n), not self.gathered)
            weight = 1.0
            if self.is_distributed:
                weight = (self.unit or 1.0) / (self._gathered_samples + n)
            elif self.gathered:
                weight = self._first_size / (self._gathered_samples + n)
            parts.prepared(weight)
            parts.clip_gradients()
            return [(p, p.raw_grad) for p in self.optimizer.parameters]

    @property
    def batch_is_step(self) -> bool:
        """Whether the next batch alone makes a step, which can be computed as a whole."""
        return self.accumulate == 1 and self.precision is None and not self.gathered

    @property
    def has_own_update(self) -> bool:
        """Whether `update` is that of this class: a step as a whole does not call it."""
        return has_own(self, _UPDATE)

    @property
    def is_compiling(self) -> bool:
        """Whether steps are compiled, at least in part, as far as is known."""
        if not self.may_compile or (hooks.get() and not is_observed()):
            return False
        return self._compiled is None or not self._compiled.run_as_they_are

    @property
    def may_compile(self) -> bool:
        """Whether steps may be compiled, as far as it is asked for and layers do not communicate."""
        return self.compile is not False and not self.communicates

    def weight(self, n: int) -> float:
        """The factor of the loss of a batch of n samples, before its gradients are added up.

        The loss is a mean over its batch. With g_i the gradient of batch i and n_i its number of
        samples, the gradient of the mean over all samples of k batches is

            (n_1 g_1 + ... + n_k g_k) / (n_1 + ... + n_k)
                = (g_1 + (n_2 / n_1) g_2 + ... + (n_k / n_1) g_k) * n_1 / (n_1 + ... + n_k)

        This is n_i / n_1, which is 1 for batches of equal size; `update` multiplies by the last
        factor. With several ranks, a number that all of them know is in the place of n_1, so that
        their sum is already weighted.
        """
        if self.is_distributed:
            return n / (self.unit or 1.0)
        return n / self._first_size if self.gathered else 1.0

    def _begin_batch(self, n: int) -> None:
        """Before a batch of n samples: before the first one, the ranks add up the samples of theirs.

        Raises
        ------
        StateError
            The last batch has failed here. The other ranks wait for it: they would take the gradients
            of this batch for those of the last one.
        """
        if not self.is_distributed:
            return
        is_half_done = self._sum is not None and self._sum.is_half_done
        if self._is_in_step or is_half_done:
            raise StateError(
                "Expected the last step to have ended on all ranks, but it has failed on this one. "
                "Load a state on all ranks (load_state_dict), or begin anew (reset)."
            )
        self._is_in_step = True
        if self.unit is None:
            self.unit = float(sum(self.communicator.allgather(n)))

    def _count(self, n: int) -> None:
        """Note that the gradients of a batch of n samples have been added."""
        if not self.gathered:
            self._first_size = n
        self.gathered += 1
        self._gathered_samples += n

    @stays
    def update(self) -> None:
        """Move the weights along the gradients that were gathered since the last update."""
        if is_observed():  # it calls no layer that the hooks could observe
            with unhooked():
                self._update()
        else:
            self._update()

    def _update(self) -> None:
        parts = self._parts()
        weight = 1.0
        if self.accumulate > 1 or self.gathered > 1:
            self._forget_frozen()
        if self.is_distributed:
            totals = self.gradient_sum().finish(self._gathered_samples, self.signals)
            self.signaled = tuple(n > 0 for n in totals.signals)
            weight = (self.unit or 1.0) / totals.samples
        elif self.gathered > 1:
            weight = self._first_size / self._gathered_samples
        finite = None
        if weight != 1.0 or self.precision is not None:
            finite = parts.prepared(weight)
        self.gathered = 0
        self._gathered_samples = 0
        self.progress.updating = True
        # In half precision a step whose gradients overflow is skipped.
        if finite is None or self.precision is None or self.precision.adjusted(bool(finite)):
            if not parts.clips:
                parts.clip_gradients()
            self.begin_update()
            parts.move()
        self.end_update()

    def _forget_frozen(self) -> None:
        """Remove the gradients of parameters that were frozen after some of the batches of this step.

        They are not moved, and the ranks do not add them up.
        """
        for p in self.optimizer.parameters:
            if not p.requires_grad:
                p.raw_grad = None

    def gradient_sum(self) -> GradientSum:
        """What adds up the gradients of all ranks; a new one if the optimizer has other parameters."""
        parameters = self.optimizer.parameters
        if self._sum is None or not self._sum.is_of(parameters):
            self._sum = GradientSum(parameters, self.communicator, self.compression)
        return self._sum

    def begin_update(self) -> None:
        """Note that the weights are about to move, and set the learning rate of this step."""
        self.progress.updating = True
        if self.schedule is not None or self.damping is not None:
            self.optimizer.factor = self._factor()

    def end_update(self) -> None:
        """Count an update that is finished."""
        self.steps += 1
        self.progress.updating = False

    def _parts(self) -> Parts | CompiledParts:
        """The parts of this step: compiled, unless they cannot be, or their layers are watched."""
        if self.may_compile and not is_watched():
            compiled = self._compiled
            if compiled is None or not compiled.is_of(self):
                compiled = self._compiled = CompiledParts(self)
            if not compiled.run_as_they_are:
                return compiled
        plain = self._plain
        if plain is None or not plain.is_of(self):
            plain = self._plain = Parts(self)
        return plain

    @property
    def compiled(self) -> list[Compiled]:
        """The compiled functions that steps consist of, as far as they were called."""
        return [] if self._compiled is None else self._compiled.used()

    @property
    def reason(self) -> str:
        """Why steps, or a part of them, are not compiled; empty if they are, or none was made yet."""
        if self.compile is False:
            return "compile=False"
        if self.communicates:
            return "layers exchange statistics with other ranks within a step."
        if hooks.get() and not is_observed():
            return "hooks watch the calls of layers, and may change what these return."
        return "" if self._compiled is None else self._compiled.reason

    def _require_compiled(self) -> None:
        """Raise CompileError if the step had to be compiled, and cannot be."""
        if self.compile and self.reason:
            raise CompileError(f"The step cannot be compiled: {self.reason}")

    def _factor(self) -> float:
        """The product of the schedule's factor and `damping`."""
        factor = 1.0
        if self.schedule is not None:
            factor = float(self.schedule(self.steps))
        if self.damping is not None:
            factor *= self.damping
        return factor

    @property
    def lr(self) -> float:
        """The learning rate of the last step."""
        return self.optimizer.lr * self.optimizer.factor

    def averaged(self) -> AbstractContextManager[None]:
        """A block in which the model has the averaged weights, if there is an average."""
        return nullcontext() if self.average is None else self.average.applied()

    def state_dict(self) -> dict[str, Any]:
        """The states of model, optimizer, average and precision, `steps` and `damping`."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "precision": self.precision.state_dict() if self.precision else None,
            "steps": self.steps,
            "damping": self.damping,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned.

        Raises
        ------
        StateError
            The state is that of another model, optimizer, average or precision. What was loaded
            before the error stays loaded: `Trainer.load_state_dict` undoes it.
        """
        steps = whole(state, "steps")
        damping = None
        if state["damping"] is not None:
            damping = finite(state, "damping", 0.0)
        self._require_same_dtypes(state["model"])
        self.model.load_state_dict(mapping(state, "model"))
        self.optimizer.load_state_dict(mapping(state, "optimizer"))
        for name, part in (("average", self.average), ("precision", self.precision)):
            if part is None and state[name] is not None:
                raise StateError(f"The checkpoint has an entry {name!r}, but the trainer has none.")
            if part is not None:
                if state[name] is None:
                    raise StateError(
                        f"The checkpoint lacks an entry {name!r}, but the trainer has one."
                    )
                part.load_state_dict(mapping(state, name))
        self.reset()  # a state is saved between two steps: no gradients are gathered
        self.steps = steps
        self.damping = damping

    def __getstate__(self) -> dict[str, Any]:
        # A copy makes its own records of its own arrays.
        own: dict[str, Any] = {
            "_plain": None,
            "_compiled": None,
            "_sum": None,
            "observed_gradients": [],
        }
        return {**vars(self), **own}

    def _require_same_dtypes(self, saved: dict[str, Array]) -> None:
        """Refuse weights of another width, which `Layer.load_state_dict` would convert."""
        for name, x in self.model.state_dict().items():
            own = _dtype_name(x)
            given = _dtype_name(saved.get(name, x))
            # Widths of integers may differ: JAX has no int64 by default.
            if own != given and "int" not in own:
                raise StateError(f"{name} is of dtype {given}; the model's is {own}.")


_UPDATE = methods_of(Learner, "update")


def _communicates(layer: Layer) -> bool:
    """Whether a layer exchanges statistics with other ranks."""
    return bool(getattr(layer, "sync", False))


def _two_zeros(x: Array) -> Array:
    """Two samples of zeros, in place of none."""
    return array_namespace(x).zeros((2, *x.shape[1:]), dtype=x.dtype, device=compat.device(x))


def _dtype_name(x: Array) -> str:
    """The name of x's dtype without that of its library: "float32" for `torch.float32`."""
    return str(x.dtype).rpartition(".")[2]


def _require_function(name: str, function: object) -> None:
    if not callable(function):
        raise ArgumentTypeError(f"Expected a function as {name}, got {function!r}.")


def _require_optimizer_of(model: Layer, optimizer: object) -> None:
    if not isinstance(optimizer, Optimizer):
        raise ArgumentTypeError(
            f"Expected an optimizer, such as SGD(model.parameters()), got {optimizer!r}."
        )
    own = {id(p) for p in model.parameters()}
    if not any(id(p) in own for p in optimizer.parameters):
        raise ArgumentError(
            f"Expected an optimizer of this model's parameters, got {optimizer!r}, which has none "
            "of them: is it another model's?"
        )
