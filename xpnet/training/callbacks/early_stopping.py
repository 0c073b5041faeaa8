"""EarlyStopping: enough is enough."""

from typing import TYPE_CHECKING, Any, ClassVar

from xpnet.backend import array_like
from xpnet.errors import ArgumentError, StateError
from xpnet.training.callback import Callback
from xpnet.training.callbacks.monitor import Mode, Monitor

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class EarlyStopping(Callback):
    """Ends a training whose figure has not become better for a number of epochs.

    Prechelt, "Early stopping - but when?", in Neural Networks: Tricks of the Trade, 1998.

    Parameters
    ----------
    monitor : str, optional
        A column of the history; unless given, the loss of the test, or of the training where there
        is no test.
    patience : int
        After how many epochs without a better one it ends; 0 and 1: after the first.
    min_delta, mode
        What "better" is: see `Monitor`.
    restore_best : bool
        Give the model the weights of the best epoch at the end; `history.kept` tells which that
        was. Not after Ctrl-C: then it keeps the last ones, from which it can go on.

    Raises
    ------
    ValueError
        At the first epoch: there is no such column.
    """

    order: ClassVar[int] = -1

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
        self.monitor, self.patience = Monitor(monitor, mode, min_delta), patience
        self.restore_best = restore_best
        self.weights: dict[str, Any] | None = None  # of the best epoch

    def on_start(self, trainer: "Trainer") -> None:
        if not trainer.resumed:
            self.weights = None
        self._judge(trainer)

    def on_epoch(self, trainer: "Trainer") -> None:
        if self.restore_best and self.monitor.best(trainer) == len(trainer.history):
            with trainer.averaged():  # those that were measured
                state = trainer.model.state_dict()
                self.weights = {name: array_like(x, x) for name, x in state.items()}
        self._judge(trainer)

    def _judge(self, trainer: "Trainer") -> None:
        """Nothing is counted: the history tells, of a training that goes on as well."""
        best = self.monitor.best(trainer)
        if len(trainer.history) - best >= max(self.patience, 1):
            name = self.monitor.name(trainer).replace("_", " ")
            kept = ", whose weights are kept" if best and self.weights is not None else ""
            trainer.stop(
                f"{name} was best in epoch {best}{kept}" if best else f"no {name} is finite"
            )

    def on_end(self, trainer: "Trainer") -> None:
        if self.weights is not None and not trainer.history.interrupted:
            trainer.model.load_state_dict(self.weights)
            trainer.history.kept = self.monitor.best(trainer)
            if (average := trainer.average) is not None:  # of which these are
                mine = {f"{i}": p.data for i, p in enumerate(average.parameters)}
                average.load_state_dict(average.state_dict() | mine)

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        weights = state.get("weights")
        arrays = isinstance(weights, dict) and all(hasattr(x, "dtype") for x in weights.values())
        if weights is not None and not arrays:
            raise StateError(f"Expected the weights of the best epoch, got {weights!r}.")
        self.weights = weights
