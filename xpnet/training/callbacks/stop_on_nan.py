"""StopOnNaN: find the first layer whose output is NaN or infinite."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import DataError, TrainingError
from xpnet.layers import Layer
from xpnet.training._checks import Rows, check_batch
from xpnet.training._snapshot import copied
from xpnet.training.batches import Arrays, on_host, pair, rows_of, samples
from xpnet.training.callback import Callback, Progress
from xpnet.training.callbacks.probe import probing

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class StopOnNaN(Callback):
    """Ends a training whose loss is NaN or infinite, and reports the step and layer where that began.

    The trainer notices such a loss only at the next log line, because a check in each step would make
    a GPU wait. By then NaN has spread to all weights, and does not show where it began. So at each
    log line this callback copies the state of the training, on the device. When a loss is NaN or
    infinite, the steps since the last copy are repeated from it, with the same batches and the same
    random numbers, while each layer is watched. At the end the model has the weights of that copy,
    the last ones for which the loss was known to be finite.

    As long as the loss is finite, the cost is a copy of weights and optimizer per log line (four per
    second by default), in memory and in time; a step costs nothing.

    The data must be arrays, a loader, or an iterable that returns the same batches again.

    Raises
    ------
    TrainingError
        The message names the epoch, the batch and the layer, and whether its output or the gradient
        of its output was the first that was not finite; or the place in the data, if the cause is
        there.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.training import StopOnNaN, Trainer
    >>> class Broken(xpnet.Layer):
    ...     def forward(self, x):
    ...         return x + float("inf")
    >>> model = xpnet.Sequential(xpnet.Affine(3, 2), Broken(), xpnet.ReLU())
    >>> optimizer = xpnet.SGD(model.parameters(), lr=0.1)
    >>> trainer = Trainer(model, F.l1_loss, optimizer, callbacks=[StopOnNaN()])
    >>> trainer.fit((F.ones((4, 3)), F.ones((4, 2))), batch_size=4)
    Traceback (most recent call last):
    xpnet.errors.TrainingError: The loss became inf: in epoch 1, batch 0, layers.1 = Broken() was
    the first layer whose output was not finite. The learning rate was 0.1: ...
    """

    order: ClassVar[int] = -1
    reads_gradients: ClassVar[bool] = False
    saved: dict[str, Any]  # the copy of the state from which steps are repeated

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
        # In the middle of a step nothing is copied: repeating starts from the copy before it.
        if trainer.between_steps:
            self.saved = copied(trainer.state_dict())

    def _error(self, trainer: "Trainer", loss: float) -> TrainingError:
        """Repeat the steps since the last copy, and return an error that names the first cause."""
        end = trainer.batch
        trainer.load_state_dict(self.saved)
        begin = trainer.batch
        epoch = len(trainer.history) + 1
        trainer.learner.keeps_gradients = True  # they are looked at
        where = ", but not when the steps since the last log line were repeated"
        for number, x, t, rows in self._batches(trainer, epoch, begin, end):
            cause = _of_any_rank(trainer, _cause_in_data(trainer, x, t, rows))
            cause = cause or _of_any_rank(trainer, _cause_in_step(trainer, x, t, rows))
            if cause:
                where = f": in epoch {epoch}, batch {number}, {cause}"
                break
        trainer.load_state_dict(self.saved)
        return TrainingError(
            f"The loss became {loss}{where}. The learning rate was {trainer.lr:g}: try a smaller one, "
            f"or clip the gradients (clip=1.0, --clip 1). The model has its weights of batch {begin} again."
        )

    def _batches(
        self, trainer: "Trainer", epoch: int, begin: int, end: int
    ) -> Iterator[tuple[int, Arrays, Arrays, Rows | None]]:
        """The batches `begin` to `end` - 1 of an epoch: number, x, t, and their rows in the data."""
        loader = trainer.loader
        if loader is None:
            return
        for number, batch in zip(range(begin, end), loader.epoch(epoch, begin), strict=False):
            x, t = pair(batch, "the data")
            yield number, x, t, rows_of(loader, epoch, number)


def _of_any_rank(trainer: "Trainer", cause: str) -> str:
    """The cause that the first rank has found: all of them stop there. "" if none has found one."""
    return next(filter(None, trainer.communicator.allgather(cause)), "")


def _cause_in_data(trainer: "Trainer", x: Arrays, t: Arrays, rows: Rows | None) -> str:
    """Describe what in a batch is not finite; "" if all is."""
    if all(_is_finite(a) for a in tree.leaves((x, t))):
        return ""
    return _fault_of_data(trainer, x, t, rows)


def _cause_in_step(trainer: "Trainer", x: Arrays, t: Arrays, rows: Rows | None) -> str:
    """Repeat a step, and describe what in it was the first that was not finite; "" if all was."""
    outputs: list[str] = []
    gradients: list[str] = []
    # In mixed precision, gradients that overflow are expected, and lead to a smaller scale.
    exact = trainer.learner.precision is None
    on_gradient = _recorder(gradients, "output's gradient") if exact else None
    if not samples(t):  # this rank has no share of the batch
        trainer.learner.step_without_samples(x, t)
        return ""
    with probing(trainer.model, _recorder(outputs, "output"), on_gradient):
        _, loss = trainer.step(x, t)
    if not outputs and not _is_finite(data_of(loss)):
        unknown = "the outputs of all layers were finite, and the loss was not: look at the targets"
        return _fault_of_data(trainer, x, t, rows) or unknown
    if outputs:
        return outputs[0]
    if gradients:
        return gradients[0]
    return _fault_of_parameters(trainer.model, exact)


def _recorder(found: list[str], what: str) -> Callable[[str, Layer, Array], None]:
    """A function for `probing`; it adds to `found` the first layer whose array is not finite.

    `what` names the arrays that the function is called with, such as "output".
    """

    def record(name: str, layer: Layer, y: Array) -> None:
        if not found and not _is_finite(y):
            description = repr(layer)
            if "\n" in description:  # that of a layer which contains others
                description = type(layer).__name__
            found.append(f"{name} = {description} was the first layer whose {what} was not finite")

    return record


def _fault_of_parameters(model: Layer, exact: bool) -> str:
    """Describe the first parameter whose gradient or value is not finite; "" if all are finite.

    Gradients are checked first, and only if `exact`.
    """
    for name, p in model.named_parameters():
        if exact and p.raw_grad is not None and not _is_finite(data_of(p.raw_grad)):
            return f"{name} was the first parameter whose gradient was not finite"
    for name, p in model.named_parameters():
        if not _is_finite(p.data):
            return f"{name} was the first parameter that the step made NaN or infinite"
    return ""


def _fault_of_data(trainer: "Trainer", x: Arrays, t: Arrays, rows: Rows | None) -> str:
    """Describe what is wrong with the samples of a batch; "" if nothing is."""
    try:
        check_batch(trainer.model, on_host(x), on_host(t), rows)
    except DataError as error:
        return f"the data are at fault. {error}".rstrip(".")
    return ""


def _is_finite(x: Array) -> bool:
    """Whether x has no NaN and no infinity; True for integers and booleans."""
    xp = array_namespace(x)
    return not has_dtype(x, "real floating") or bool(xp.all(xp.isfinite(x)))
