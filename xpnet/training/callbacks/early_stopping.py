"""EarlyStopping: end a training that no longer improves."""

from typing import TYPE_CHECKING, Any, ClassVar

from xpnet._typing import Array
from xpnet.errors import ArgumentError, StateError
from xpnet.training._snapshot import copied
from xpnet.training.callback import Callback
from xpnet.training.callbacks.monitor import Mode, Monitor

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class EarlyStopping(Callback):
    """Ends a training whose monitored figure has not improved for a number of epochs.

    Parameters
    ----------
    monitor : str, optional
        A column of the history; by default the loss of the validation, or of the test if there are no
        validation data, or of the training if there are no test data either.
    patience : int
        The number of epochs without improvement after which the training ends; 0 is taken as 1.
    min_delta : float
        A figure counts as an improvement if it is better than the best one by more than this.
    mode : {"auto", "min", "max"}
        Whether small or large values are good: see `Monitor`.
    restore_best : bool
        Whether the model gets the weights of the best epoch at the end; `history.kept` is the
        number of that epoch. After Ctrl-C it keeps the last weights, so that the training can be
        resumed.

    Raises
    ------
    ValueError
        Raised after the first epoch: the history has no such column.

    Notes
    -----
    Prechelt, "Early stopping - but when?", in Neural Networks: Tricks of the Trade, 1998.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.training import EarlyStopping, Trainer
    >>> model = xpnet.Affine(1, 1, rng=0)
    >>> callbacks = [EarlyStopping("train_loss", patience=2, min_delta=1.0)]
    >>> trainer = Trainer(model, F.mean_squared_error, xpnet.SGD(model.parameters(), lr=0.01), callbacks=callbacks)
    >>> history = trainer.fit((F.ones((4, 1)), F.ones((4, 1))), epochs=100, batch_size=4)
    >>> len(history["train_loss"]) < 100
    True
    """

    order: ClassVar[int] = -1
    reads_gradients: ClassVar[bool] = False

    def __init__(
        self,
        monitor: str | None = None,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: Mode = "auto",
        restore_best: bool = True,
    ) -> None:
        if patience < 0:
            raise ArgumentError(f"Expected patience >= 0, got {patience}.")
        self.monitor = Monitor(monitor, mode, min_delta)
        self.patience = patience
        self.restore_best = restore_best
        self.weights: dict[str, Array] | None = None  # of the best epoch

    def on_start(self, trainer: "Trainer") -> None:
        if not trainer.resumed:
            self.weights = None
        self._stop_if_due(trainer)

    def on_epoch(self, trainer: "Trainer") -> None:
        if self.restore_best and self.monitor.best(trainer) == len(trainer.history):
            with trainer.averaged():  # the weights that were measured
                self.weights = copied(trainer.model.state_dict())
        self._stop_if_due(trainer)

    def _stop_if_due(self, trainer: "Trainer") -> None:
        """Stop the training if `patience` epochs have passed since the best one."""
        # Everything is computed from the history, so a resumed training needs no counter.
        best = self.monitor.best(trainer)
        if len(trainer.history) - best < max(self.patience, 1):
            return
        name = self.monitor.name(trainer).replace("_", " ")
        if not best:
            trainer.stop(f"no {name} is finite")
        elif self.weights is None:
            trainer.stop(f"{name} was best in epoch {best}")
        else:
            trainer.stop(f"{name} was best in epoch {best}, whose weights are kept")

    def on_end(self, trainer: "Trainer") -> None:
        if self.weights is None or trainer.history.interrupted:
            return
        trainer.model.load_state_dict(self.weights)
        trainer.history.kept = self.monitor.best(trainer)
        average = trainer.learner.average
        if average is not None:
            # The kept weights are averages. They replace the last ones, and the rest of the state
            # stays; the state has the averages by the numbers of their parameters, "0", "1", ...
            kept = {f"{i}": p.data for i, p in enumerate(average.parameters)}
            average.load_state_dict(average.state_dict() | kept)

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        weights = state.get("weights")
        if weights is not None:
            is_dict = isinstance(weights, dict)
            if not is_dict or not all(hasattr(x, "dtype") for x in weights.values()):
                raise StateError(f"Expected the weights of the best epoch, got {weights!r}.")
        self.weights = weights
