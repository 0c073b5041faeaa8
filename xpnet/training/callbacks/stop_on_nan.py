"""StopOnNaN: which layer was the first to give a number that is none."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import DataError, TrainingError
from xpnet.layers import Layer
from xpnet.training import checkpoint, evaluation
from xpnet.training.batches import pair, rows_of
from xpnet.training.callback import Callback, Progress
from xpnet.training.callbacks.probe import Look, probing

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class StopOnNaN(Callback):
    """Where a loss becomes infinite or NaN, tells the step and the layer in which that began.

    The trainer sees such a loss at the next log line, when all weights are lost to it. So this
    callback keeps, at each log line, a copy of the training as it is, on the device. When a
    loss is no number the steps since then are done again from that copy, and watched layer by
    layer: the same batches, the same random numbers. The model is left with the weights of the
    last log line at which all was well.

    While all is well it costs a copy of weights and optimizer a log line (four a second, unless
    told otherwise), in memory and in time; a step costs nothing.

    The data must be a loader's or arrays, or an iterable that gives the same batches again.

    Raises
    ------
    TrainingError
        With the epoch, the batch, the layer's name, and whether its output or its gradient was
        the first; or with the data's place, if they had it.
    """

    order: ClassVar[int] = -1

    def on_start(self, trainer: "Trainer") -> None:
        self._keep(trainer)

    def on_log(self, trainer: "Trainer", progress: Progress) -> None:
        if math.isfinite(progress.figures["loss"]):
            self._keep(trainer)
            return
        raise self._error(trainer, f"The loss became {progress.figures['loss']}")

    def on_epoch(self, trainer: "Trainer") -> None:
        self._keep(trainer)

    def _keep(self, trainer: "Trainer") -> None:
        if trainer.whole:  # else the one before will do
            self.kept = checkpoint.copied(checkpoint.capture(trainer))

    def _error(self, trainer: "Trainer", said: str) -> TrainingError:
        end = trainer.batch
        checkpoint.restore(trainer, self.kept)
        begin, place = trainer.batch, ""
        epoch = len(trainer.history) + 1
        for number, (x, t) in enumerate(self._again(trainer, begin, end), begin):
            rows = None if trainer.loader is None else rows_of(trainer.loader, epoch, number)
            if place := self._first(trainer, x, t, rows):
                place = f": in epoch {epoch}, batch {number}, {place}"
                break
        checkpoint.restore(trainer, self.kept)
        lost = place or ", but not when the steps since the last log line were done again"
        return TrainingError(
            f"{said}{lost}. The learning rate was {trainer.lr:g}: try a smaller one, or cut the "
            f"gradients (clip=1.0). The model has its weights of batch {begin} again."
        )

    def _again(self, trainer: "Trainer", begin: int, end: int) -> Iterator[Any]:
        if trainer.loader is not None:
            batches = trainer.loader.epoch(len(trainer.history) + 1, begin)
            for _, batch in zip(range(begin, end), batches, strict=False):
                yield pair(batch, "the data")

    def _first(self, trainer: "Trainer", x: Array, t: Array, rows: Any) -> str:
        """Do a step; what in it was the first that is not finite, or nothing."""
        if not all(_finite(a) for a in tree.leaves((x, t))):
            return _of_data(trainer, x, t, rows)
        outputs: list[str] = []
        gradients: list[str] = []

        def into(found: list[str], what: str) -> Look:
            def look(name: str, layer: Layer, y: Array) -> None:
                if not found and not _finite(y):
                    kind = repr(layer) if "\n" not in repr(layer) else type(layer).__name__
                    found.append(f"{name} = {kind} was the first layer whose {what} was not finite")

            return look

        exact = trainer.precision is None  # else gradients that overflow are part of the plan
        back = into(gradients, "output's gradient") if exact else None
        with probing(trainer.model, into(outputs, "output"), back):
            _, loss = trainer.step(x, t)
        if not outputs and not _finite(data_of(loss)):
            none = "all layers gave numbers, and the loss of these was none: look at the targets"
            return _of_data(trainer, x, t, rows) or none
        if outputs or gradients:
            return (outputs or gradients)[0]
        for name, p in trainer.model.named_parameters():
            if exact and p.raw_grad is not None and not _finite(data_of(p.raw_grad)):
                return f"{name} was the first parameter whose gradient was not finite"
        for name, p in trainer.model.named_parameters():
            if not _finite(p.data):
                return f"{name} was the first parameter that the step made infinite"
        return ""


def _of_data(trainer: "Trainer", x: Array, t: Array, rows: Any) -> str:
    """What is wrong with the samples of a batch, or nothing."""
    try:
        evaluation.inspect(trainer.model, evaluation.on_host(x), evaluation.on_host(t), rows)
    except DataError as error:
        return f"the data are at fault. {error}".rstrip(".")
    return ""


def _finite(x: Array) -> bool:
    xp = array_namespace(x)
    return not has_dtype(x, "real floating") or bool(xp.all(xp.isfinite(x)))
