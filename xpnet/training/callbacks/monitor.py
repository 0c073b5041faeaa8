"""Monitor: which of the epochs was the best."""

import math
from typing import TYPE_CHECKING, Literal

from xpnet.errors import ArgumentError

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer

Mode = Literal["auto", "min", "max"]
SMALL = ("loss", "error")  # what is good when it is small says so in its name


class Monitor:
    """Follows a column of the history.

    Parameters
    ----------
    column : str or None
        None: "test_loss", or "train_loss" where there are no test data.
    mode : {"auto", "min", "max"}
        Whether small or large is good; "auto": small for a column with "loss" or "error" in its
        name, large for any other.
    min_delta : float
        What is better must be better by more than this.
    """

    def __init__(self, column: str | None, mode: Mode, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f"Expected mode 'auto', 'min' or 'max', got {mode!r}.")
        if not min_delta >= 0.0:
            raise ArgumentError(f"Expected min_delta >= 0, got {min_delta}.")
        self.column, self.mode, self.min_delta = column, mode, float(min_delta)

    def values(self, trainer: "Trainer") -> list[float]:
        """The column, of all epochs.

        Raises
        ------
        ValueError
            The history has no such column.
        """
        history, column = trainer.history, self.name(trainer)
        if history.rows and column not in history:
            raise ArgumentError(
                f"Expected a column of the history to follow, one of {', '.join(history.columns)}; "
                f"got {column!r}."
            )
        return history[column]

    def best(self, trainer: "Trainer") -> int:
        """The number of the best epoch, from 1; 0 if there is none: of none, or of NaN alone."""
        best, least, sign = 0, math.inf, 1.0 if self.small(trainer) else -1.0
        for epoch, value in enumerate(self.values(trainer), 1):
            loss = sign * value
            if loss < least - (self.min_delta if best else 0.0):
                best, least = epoch, loss
        return best

    def name(self, trainer: "Trainer") -> str:
        """The column's name."""
        return self.column or ("test_loss" if trainer.tested else "train_loss")

    def small(self, trainer: "Trainer") -> bool:
        """Whether small is good."""
        name = self.name(trainer)
        return any(word in name for word in SMALL) if self.mode == "auto" else self.mode == "min"
