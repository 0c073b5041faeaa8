"""Learning rates that fall: with the epochs, or where a training gets no further.

What depends on the step alone is a schedule: `Trainer(schedule=...)` and `xpnet.schedules`.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from xpnet._saved import finite
from xpnet.training.callback import Callback
from xpnet.training.callbacks.monitor import Mode, Monitor

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class LinearDecay(Callback):
    """Lets the learning rate fall, epoch by epoch in equal steps: of 4, to 3/4, 2/4 and 1/4.

    The first epochs learn fast, and the last settle what the batches' noise stirs up. At the end
    the optimizer has its rate back.
    """

    lr: float = 0.0

    def on_start(self, trainer: "Trainer") -> None:
        if not trainer.resumed or not self.lr:
            self.lr = trainer.optimizer.lr
        self.on_epoch(trainer)

    def on_epoch(self, trainer: "Trainer") -> None:
        trainer.optimizer.lr = self.lr * (1.0 - len(trainer.history) / trainer.epochs)

    def on_end(self, trainer: "Trainer") -> None:
        trainer.optimizer.lr = self.lr

    def state_dict(self) -> dict[str, Any]:
        return {"lr": self.lr}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.lr = finite(state, "lr", 0.0)


class ReduceOnPlateau(Callback):
    """Makes the learning rate smaller where a figure of the history gets no better.

    The rate is the optimizer's, by the schedule's factor if there is one, by
    `schedules.reduce_on_plateau` of the history so far: PyTorch's rule of that name. A function of
    the history alone, it goes on with a training as it was.

    Parameters
    ----------
    monitor : str, optional
        A column of the history; unless given, the loss of the test, or of the training where there
        is no test.
    factor : float
        What the rate is multiplied by, each time.
    patience : int
        How many epochs without a better one are borne.
    mode : {"auto", "min", "max"}
        Whether small or large is good: see `Monitor`.
    **options
        Whatever else `schedules.reduce_on_plateau` has: threshold, cooldown, ...
    """

    order: ClassVar[int] = -1

    def __init__(
        self,
        monitor: str | None = None,
        factor: float = 0.1,
        patience: int = 10,
        mode: Mode = "auto",
        **options: Any,
    ) -> None:
        self.monitor = Monitor(monitor, mode)
        self.options = {"factor": factor, "patience": patience, **options}

    def on_start(self, trainer: "Trainer") -> None:
        self.on_epoch(trainer)

    def on_epoch(self, trainer: "Trainer") -> None:
        from xpnet.schedules import reduce_on_plateau

        mode = "min" if self.monitor.small(trainer) else "max"
        values = self.monitor.values(trainer)
        trainer.damping = reduce_on_plateau(values, mode=mode, **self.options)
