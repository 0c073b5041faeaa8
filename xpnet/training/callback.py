"""Callbacks: what looks on while a Trainer works. The library itself draws no progress bar."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class Progress(NamedTuple):
    """Where a training stands, a few times a second.

    Attributes
    ----------
    epoch, epochs : int
        The epoch that runs, from 1, and how many there are to be.
    seen, samples : int
        How many samples the epoch has gone through, and how many it has.
    figures : dict of str to float
        "loss" and the metrics, by name: means over the epoch so far.
    samples_per_s : float
        The speed of this epoch so far.
    """

    epoch: int
    epochs: int
    seen: int
    samples: int
    figures: dict[str, float]
    samples_per_s: float


class Callback:
    """The base of all callbacks: it looks on and does nothing. A subclass writes what it needs.

    The trainer shows its `model`, `optimizer`, `epochs` and `history`.
    """

    def on_start(self, trainer: "Trainer") -> None:
        """The data are checked and on the device; the first epoch is about to begin."""

    def on_log(self, trainer: "Trainer", progress: Progress) -> None:
        """A log line's worth of steps is done."""

    def on_epoch(self, trainer: "Trainer") -> None:
        """An epoch is over; `trainer.history` has its row."""

    def on_end(self, trainer: "Trainer") -> None:
        """The training is over: complete, or interrupted (`trainer.history.interrupted`).

        It is not called after an error.
        """


class LinearDecay(Callback):
    """Lets the learning rate fall, epoch by epoch in equal steps: of 4, to 3/4, 2/4 and 1/4.

    The first epochs learn fast, and the last settle what the batches' noise stirs up. At the end
    the optimizer has its rate back.
    """

    def on_start(self, trainer: "Trainer") -> None:
        self.lr = trainer.optimizer.lr

    def on_epoch(self, trainer: "Trainer") -> None:
        trainer.optimizer.lr = self.lr * (1.0 - len(trainer.history) / trainer.epochs)

    def on_end(self, trainer: "Trainer") -> None:
        trainer.optimizer.lr = self.lr
