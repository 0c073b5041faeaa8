"""Callback: what looks on while a Trainer works. Those that xpnet has are in `callbacks/`."""

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class Progress(NamedTuple):
    """Where a training stands, a few times a second.

    Attributes
    ----------
    epoch, epochs : int
        The epoch that runs, from 1, and how many there are to be.
    seen, samples : int
        How many samples the epoch has gone through, and how many it has; 0 for a stream, whose
        samples nobody has counted.
    figures : dict of str to float
        "loss" and the metrics that are means, by name: means over the epoch so far.
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

    The trainer shows its `model`, `optimizer`, `epochs`, `history` and whatever else it has; it
    ends after the epoch that runs if a callback calls `trainer.stop()`.

    Attributes
    ----------
    order : int
        Callbacks are told in the order of this number, and those of equal numbers in the order
        in which the trainer was given them: -1 for those who decide something, 0 for those who
        look on, 1 for those who save what the others have come to.
    """

    order: ClassVar[int] = 0

    def on_start(self, trainer: "Trainer") -> None:
        """The data are checked; the first epoch is about to begin, or (`trainer.resumed`) to go on."""

    def on_step(self, trainer: "Trainer") -> None:
        """A batch has been learned. Who does not write this is not asked: that costs nothing."""

    def on_log(self, trainer: "Trainer", progress: Progress) -> None:
        """A log line's worth of steps is done."""

    def on_epoch(self, trainer: "Trainer") -> None:
        """An epoch is over; `trainer.history` has its row."""

    def on_end(self, trainer: "Trainer") -> None:
        """The training is over: complete, or interrupted (`trainer.history.interrupted`).

        It is not called after an error.
        """

    def on_error(self, trainer: "Trainer", error: BaseException) -> None:
        """The training ends with this error: close what is open."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to remember of this callback: numbers, texts, arrays, by name."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave; arrays come as NumPy's."""
