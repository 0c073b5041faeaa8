"""Learner: what belongs to a step, from a batch to weights that have moved."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from operator import index
from typing import TYPE_CHECKING, Any

from xpnet._libraries.devices import follow, stays
from xpnet._typing import Array
from xpnet.errors import ArgumentError, ArgumentTypeError, GradientError
from xpnet.layers import Layer
from xpnet.layers._contents import require_no_loose_variables
from xpnet.optimizers import ExponentialMovingAverage, Optimizer, clip_grad_norm
from xpnet.training import evaluation
from xpnet.training.meter import samples

if TYPE_CHECKING:
    from xpnet.training.precision import MixedPrecision


class Learner:
    """A model, and how it learns from a batch: the part of a `Trainer` that has no loop.

    Parameters
    ----------
    model, loss, optimizer, schedule, clip, accumulate, precision, average
        As for `Trainer`.

    Attributes
    ----------
    steps : int
        How many there were.
    gathered : int
        The batches whose gradients wait for others, where several make a step.
    whole : bool
        Whether the weights are those of a step's end, and nothing waits: so that all can be saved.
    damping : float or None
        What the learning rate is multiplied by, beside the schedule, by `ReduceOnPlateau`. Without
        both the optimizer's own factor is left alone.
    """

    def __init__(
        self,
        model: Layer,
        loss: Callable[[Any, Any], Any],
        optimizer: Optimizer,
        *,
        schedule: Callable[[int], float] | None = None,
        clip: float | Callable[[Any], Any] | None = None,
        accumulate: int = 1,
        precision: "str | MixedPrecision | None" = None,
        average: float | ExponentialMovingAverage | None = None,
    ) -> None:
        if index(accumulate) < 1:
            raise ArgumentError(f"Expected accumulate >= 1, got {accumulate}.")
        functions: dict[str, Any] = {"loss": loss, "schedule": schedule}
        for name, function in functions.items():
            if not callable(function) and (name == "loss" or function is not None):
                raise ArgumentTypeError(f"Expected a function as {name}, got {function!r}.")
        given: Any = optimizer
        if not isinstance(given, Optimizer):
            raise ArgumentTypeError(
                f"Expected an optimizer, as SGD(model.parameters()), got {given!r}."
            )
        if not {id(p) for p in optimizer.parameters} & {id(p) for p in model.parameters()}:
            raise ArgumentError(
                f"{optimizer!r} has no parameter of this model: is it another one's?"
            )
        require_no_loose_variables(model)
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.schedule, self.clip, self.accumulate = schedule, clip, accumulate
        if isinstance(precision, str):
            from xpnet.training.precision import MixedPrecision

            precision = MixedPrecision(model, precision)
        if isinstance(average, (int, float)):
            average = ExponentialMovingAverage(model.parameters(), average)
        self.precision, self.average = precision, average
        self.begin()

    def begin(self) -> None:
        """Count from 0 again."""
        self.steps, self.whole = 0, True
        self.damping: float | None = None
        self.gathered, self._samples, self._unit = 0, 0, 1

    def step(self, x: Array, t: Array) -> tuple[Any, Any]:
        """Learn from one batch: forward, backward, update. Nothing comes to the host.

        Returns
        -------
        y, loss : Variables
            The model's output and its loss, before the update.
        """
        with self.precision or nullcontext():
            y = evaluation.output(self.model, x)
            loss = self.loss(y, t)
        if not self.gathered:
            self.optimizer.zero_grad()
        self._backward(loss, samples(t))
        if self.gathered == self.accumulate:
            self.update()
        return y, loss

    def _backward(self, loss: Any, n: int) -> None:
        """Add the gradients of a batch; of several that make a step, each by its samples."""
        if not hasattr(loss, "backward"):
            kind = type(loss).__name__
            raise GradientError(f"The loss is a {kind}: compute it by functions of xpnet alone.")
        if not self.gathered:
            self._unit = n
        if n != self._unit:
            loss = loss * (n / self._unit)
        if self.precision is None:
            loss.backward()
        else:
            self.precision.backward(loss)
        self.gathered += 1
        self._samples += n

    @stays
    def update(self) -> None:
        """Move the weights, along the gradients of the batches since the last time."""
        if self.gathered > 1:
            for p in self.optimizer.parameters:
                follow(p)
                p.raw_grad = (
                    None if p.raw_grad is None else p.raw_grad * (self._unit / self._samples)
                )
        self.gathered = self._samples = 0
        self.whole = False
        if self.precision is None or self.precision.unscale(self.optimizer.parameters):
            if callable(self.clip):
                self.clip(self.optimizer.parameters)
            elif self.clip is not None:
                clip_grad_norm(self.optimizer.parameters, self.clip)
            if self.schedule is not None or self.damping is not None:
                self.optimizer.factor = self._factor()
            self.optimizer.step()
            if self.average is not None:
                self.average.update()
        self.steps += 1
        self.whole = True

    def _factor(self) -> float:
        factor = 1.0 if self.schedule is None else float(self.schedule(self.steps))
        return factor if self.damping is None else factor * self.damping

    @property
    def lr(self) -> float:
        """The learning rate of the last step: the optimizer's, by the factor of the schedule."""
        return self.optimizer.lr * self.optimizer.factor

    def averaged(self) -> AbstractContextManager[None]:
        """A block in which the model has the averaged weights, if there is an average."""
        return nullcontext() if self.average is None else self.average.applied()
