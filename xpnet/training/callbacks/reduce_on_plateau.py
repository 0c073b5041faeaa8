"""ReduceOnPlateau: reduce the learning rate of a training that no longer improves.

A learning rate that depends on the step only is a schedule: `Trainer(schedule=...)`, `xpnet.schedules`.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from xpnet.training.callback import Callback
from xpnet.training.callbacks.monitor import Mode, Monitor

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class ReduceOnPlateau(Callback):
    """Multiplies the learning rate by a factor when a figure of the history no longer improves.

    It sets `learner.damping`, one of the three factors of the learning rate (see `Learner`), to the
    result of `schedules.reduce_on_plateau` for the history so far; this is the rule of PyTorch's
    `ReduceLROnPlateau`. It depends on the history only, so a resumed training has the same rates.

    Parameters
    ----------
    monitor : str, optional
        A column of the history; by default the loss of the validation, or of the test if there are no
        validation data, or of the training if there are no test data either.
    factor : float
        The rate is multiplied by it each time.
    patience : int
        The number of epochs without improvement that are tolerated.
    mode : {"auto", "min", "max"}
        Whether small or large values are good: see `Monitor`.
    threshold, least : float
    threshold_mode : {"rel", "abs"}
    cooldown : int
        These are as for `schedules.reduce_on_plateau`.

    Raises
    ------
    ValueError
        Raised after the first epoch: the history has no such column.

    Examples
    --------
    A model that cannot improve, since its loss is 0:

    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.training import ReduceOnPlateau, Trainer
    >>> model = xpnet.Affine(1, 1, weight="zeros")
    >>> optimizer = xpnet.SGD(model.parameters(), lr=0.4)
    >>> reduce = ReduceOnPlateau(factor=0.5, patience=1)
    >>> trainer = Trainer(model, F.mean_squared_error, optimizer, callbacks=[reduce])
    >>> history = trainer.fit((F.ones((1, 1)), F.zeros((1, 1))), epochs=6, batch_size=1)
    >>> history["lr"]
    [0.4, 0.4, 0.4, 0.2, 0.2, 0.1]
    """

    order: ClassVar[int] = -1
    reads_gradients: ClassVar[bool] = False

    def __init__(
        self,
        monitor: str | None = None,
        factor: float = 0.1,
        patience: int = 10,
        mode: Mode = "auto",
        *,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        least: float = 0.0,
    ) -> None:
        self.monitor = Monitor(monitor, mode)
        self.options: dict[str, Any] = {
            "factor": factor,
            "patience": patience,
            "threshold": threshold,
            "threshold_mode": threshold_mode,
            "cooldown": cooldown,
            "least": least,
        }

    def on_start(self, trainer: "Trainer") -> None:
        self.on_epoch(trainer)  # a resumed training has a history already

    def on_epoch(self, trainer: "Trainer") -> None:
        from xpnet.schedules import reduce_on_plateau

        mode = "min" if self.monitor.small_is_good(trainer) else "max"
        values = self.monitor.values(trainer)
        trainer.learner.damping = reduce_on_plateau(values, mode=mode, **self.options)
