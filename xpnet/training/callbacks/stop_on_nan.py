"""StopOnNaN: find the first layer whose output is NaN or infinite."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar

from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import DataError, TrainingError
from xpnet.layers import Layer
from xpnet.training._checks import Rows, check_batch
from xpnet.training._snapshot import copied
from xpnet.training.batches import Arrays, on_host, pair, rows_of
from xpnet.training.callback import Callback, Progress
from xpnet.training.callbacks.probe import probing

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class StopOnNaN(Callback):
    """Where a loss becomes infinite or NaN, reports the step and the layer in which that began.

    The first such layer is known only in the step in which it occurs, and to look at each step would
    make a GPU wait: so the steps since the last log line are repeated from a copy, and watched.

    The trainer notices such a loss at the next log line, when it has spread to all weights. So at
    each log line this callback copies the state of the training, on the device. When a loss is NaN
    or infinite, the steps since then are repeated from that copy, with the same batches and the
    same random numbers, and each layer is watched. The model is left with the weights of the last
    log line at which the loss was finite.

    In a training without such a loss the cost is a copy of weights and optimizer per log line (four
    per second by default), in memory and in time; a step costs nothing.

    The data must be arrays, a loader, or an iterable that returns the same batches again.

    Raises
    ------
    TrainingError
        With the epoch, the batch, the layer's name, and whether its output or its gradient was
        the first; or with the place in the data, if they are the reason.
    """

    order: ClassVar[int] = -1

    def on_start(self, trainer: "Trainer") -> None:
        self._save(trainer)

    def on_log(self, trainer: "Trainer", progress: Progress) -> None:
        if math.isfinite(progress.figures["loss"]):
            self._save(trainer)
            return
        raise self._error(trainer, progress.figures["loss"])

    def on_epoch(self, trainer: "Trainer") -> None:
        self._save(trainer)

    def _save(self, trainer: "Trainer") -> None:
        # If a step is half done, the state before serves as well.
        if trainer.between_steps:
            self.saved = copied(trainer.state_dict())

    def _error(self, trainer: "Trainer", loss: float) -> TrainingError:
        """Repeat the steps since the last log line; the error that names the first cause."""
        end = trainer.batch
        trainer.load_state_dict(self.saved)
        begin = trainer.batch
        epoch = len(trainer.history) + 1
        where = ", but not when the steps since the last log line were repeated"
        for number, x, t, rows in self._batches(trainer, epoch, begin, end):
            cause = _cause_in_step(trainer, x, t, rows)
            if cause:
                where = f": in epoch {epoch}, batch {number}, {cause}"
                break
        trainer.load_state_dict(self.saved)
        return TrainingError(
            f"The loss became {loss}{where}. The learning rate was {trainer.lr:g}: try a smaller one, "
            f"or clip the gradients (clip=1.0). The model has its weights of batch {begin} again."
        )

    def _batches(
        self, trainer: "Trainer", epoch: int, begin: int, end: int
    ) -> Iterator[tuple[int, Arrays, Arrays, Rows | None]]:
        """The batches of an epoch from `begin` to `end`: number, x, t, and their rows in the data."""
        loader = trainer.loader
        if loader is None:
            return
        for number, batch in zip(range(begin, end), loader.epoch(epoch, begin), strict=False):
            x, t = pair(batch, "the data")
            yield number, x, t, rows_of(loader, epoch, number)


def _cause_in_step(trainer: "Trainer", x: Arrays, t: Arrays, rows: Rows | None) -> str:
    """Do a step; what in it was the first that is NaN or infinite, or an empty string."""
    if not all(_is_finite(a) for a in tree.leaves((x, t))):
        return _fault_of_data(trainer, x, t, rows)
    outputs: list[str] = []
    gradients: list[str] = []
    # In mixed precision, gradients that overflow are expected, and lead to a smaller scale.
    exact = trainer.learner.precision is None
    on_gradient = _noting(gradients, "output's gradient") if exact else None
    with probing(trainer.model, _noting(outputs, "output"), on_gradient):
        _, loss = trainer.step(x, t)
    if not outputs and not _is_finite(data_of(loss)):
        unknown = "the outputs of all layers were finite, and the loss was not: look at the targets"
        return _fault_of_data(trainer, x, t, rows) or unknown
    if outputs or gradients:
        return (outputs or gradients)[0]
    return _fault_of_parameters(trainer.model, exact)


def _noting(found: list[str], what: str) -> Callable[[str, Layer, Array], None]:
    """A function to watch layers with; it appends to `found` the first that is not finite."""

    def look(name: str, layer: Layer, y: Array) -> None:
        if not found and not _is_finite(y):
            text = repr(layer)
            if "\n" in text:
                text = type(layer).__name__
            found.append(f"{name} = {text} was the first layer whose {what} was not finite")

    return look


def _fault_of_parameters(model: Layer, exact: bool) -> str:
    """The first parameter whose gradient, if `exact`, or whose value is not finite."""
    for name, p in model.named_parameters():
        if exact and p.raw_grad is not None and not _is_finite(data_of(p.raw_grad)):
            return f"{name} was the first parameter whose gradient was not finite"
    for name, p in model.named_parameters():
        if not _is_finite(p.data):
            return f"{name} was the first parameter that the step made infinite"
    return ""


def _fault_of_data(trainer: "Trainer", x: Arrays, t: Arrays, rows: Rows | None) -> str:
    """What is wrong with the samples of a batch, or an empty string."""
    try:
        check_batch(trainer.model, on_host(x), on_host(t), rows)
    except DataError as error:
        return f"the data are at fault. {error}".rstrip(".")
    return ""


def _is_finite(x: Array) -> bool:
    xp = array_namespace(x)
    return not has_dtype(x, "real floating") or bool(xp.all(xp.isfinite(x)))
