"""Monitor: which epoch was the best so far."""

import math
from typing import TYPE_CHECKING, Literal

from xpnet.errors import ArgumentError

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer

Mode = Literal["auto", "min", "max"]
LOSS_WORDS = ("loss", "error")  # small values are good in a column with such a name


class Monitor:
    """Finds the best epoch by a column of the history.

    Parameters
    ----------
    column : str or None
        By default "validation_loss"; or "test_loss" if there are no validation data, and "train_loss"
        if there are no test data either.
    mode : {"auto", "min", "max"}
        Whether small or large values are good. With "auto", small values are good if the column's
        name contains "loss" or "error"; otherwise large ones are.
    min_delta : float
        A value counts as an improvement if it is better than the best one by more than this.
    """

    def __init__(self, column: str | None, mode: Mode, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f"Expected mode 'auto', 'min' or 'max', got {mode!r}.")
        if not min_delta >= 0.0:
            raise ArgumentError(f"Expected min_delta >= 0, got {min_delta}.")
        self.column = column
        self.mode = mode
        self.min_delta = float(min_delta)

    def values(self, trainer: "Trainer") -> list[float]:
        """The value of the column in each epoch.

        Raises
        ------
        ValueError
            The history has no such column.
        """
        history = trainer.history
        column = self.name(trainer)
        if history.rows and column not in history:
            raise ArgumentError(
                f"Expected a column of the history to follow, one of {', '.join(history.columns)}; "
                f"got {column!r}."
            )
        return history[column]

    def best(self, trainer: "Trainer") -> int:
        """The best epoch, counted from 1; 0 if no epoch has finished or no value is finite."""
        sign = 1.0 if self.small_is_good(trainer) else -1.0
        best = 0
        least = math.inf
        for epoch, value in enumerate(self.values(trainer), 1):
            loss = sign * value  # small is good; if it is NaN, the comparison below is False
            # The first finite value is the best so far, however large it is and min_delta is.
            if loss < least - (self.min_delta if best else 0.0):
                best = epoch
                least = loss
        return best

    def name(self, trainer: "Trainer") -> str:
        """The name of the column."""
        if self.column:
            return self.column
        if trainer.validated:
            return "validation_loss"
        return "test_loss" if trainer.tested else "train_loss"

    def small_is_good(self, trainer: "Trainer") -> bool:
        """Whether small values are good."""
        if self.mode != "auto":
            return self.mode == "min"
        name = self.name(trainer)
        return any(word in name for word in LOSS_WORDS)
