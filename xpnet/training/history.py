"""History: the figures of a training, one row per epoch."""

import csv
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xpnet._html import html_table
from xpnet._printable import aligned, counted
from xpnet._saved import rows
from xpnet.errors import MissingKeyError, StateError
from xpnet.saving.safetensors import replacing

Row = dict[str, float]


class History:
    """One row for each finished epoch.

    `print(history)` prints them as a table, and a notebook displays one, of more than 60 rows the first and
    the last five. `pandas.DataFrame(history)` and `polars.DataFrame(history.rows)` have the same columns.
    Iteration yields the rows.

    The columns of a row, and of the file:

        epoch            counted from 1
        train_loss       the mean over the epoch's samples, each with the weights before the step
                         that learned from it: so on average these are half an epoch older than
                         the weights of the test
        train_accuracy   likewise; one such column for each metric
        validation_loss  the mean over the validation data, with the weights at the end of the epoch;
                         absent if there are no validation data
        validation_accuracy
                         likewise; one such column for each metric
        test_loss, test_accuracy
                         the same for the test data
        lr               the learning rate of the epoch's last step
        seconds          the time of the epoch, including its test
        samples_per_s    training samples per second, without the test

    Attributes
    ----------
    rows : list of dict of str to float
    interrupted : bool
        Whether Ctrl-C ended the training before its last epoch was complete.
    kept : int or None
        The epoch whose weights `EarlyStopping` has restored at the end; None if the model has its
        last weights.

    Examples
    --------
    >>> history = History()
    >>> history.append({"epoch": 1, "train_loss": 0.5})
    >>> history.append({"epoch": 2, "train_loss": 0.25})
    >>> history["train_loss"]
    [0.5, 0.25]
    >>> print(history)
    epoch  train_loss
        1         0.5
        2        0.25
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.interrupted = False
        self.kept: int | None = None

    def append(self, row: Row) -> None:
        """Add the row of a finished epoch."""
        self.rows.append(row)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    def __getitem__(self, column: str) -> list[float]:
        if self.rows and column not in self.columns:
            raise MissingKeyError(f"{column!r}; there are {', '.join(self.columns)}")
        return [row.get(column, math.nan) for row in self.rows]

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order; empty before the first row."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def keys(self) -> list[str]:
        """The names of the columns, so that `dict(history)` has a list for each of them."""
        return self.columns

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write all rows as comma-separated values, to six digits, after a line of column names."""
        write_rows(path, self.rows, self.columns or ["epoch"])

    def state_dict(self) -> dict[str, Any]:
        """The rows, as a dict that JSON can hold."""
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume with the rows of a state.

        Raises
        ------
        StateError
            They are not rows of numbers, or not those of epochs 1, 2 and so on.
        """
        saved = rows(state)
        if any(row.get("epoch") != i for i, row in enumerate(saved, 1)):
            raise StateError("Expected a history of epochs 1, 2 and so on, got other rows.")
        self.rows = saved

    def __str__(self) -> str:
        """A table of all rows, to four significant digits; whole and large numbers to the unit."""
        if not self.rows:
            return repr(self)
        return aligned([self.columns, *self._table()], left=0)

    def _repr_html_(self) -> str:
        """What a notebook displays: the table, and below it the number of epochs."""
        return html_table(self.columns, self._table(), below=[repr(self)])

    def _table(self) -> list[list[str]]:
        """The rows of the table, below its head."""
        return [[_cell(row, name) for name in self.columns] for row in self.rows]

    def __repr__(self) -> str:
        interrupted = ", interrupted" if self.interrupted else ""
        return f"History({counted(len(self), 'epoch')}{interrupted})"


def _cell(row: Row, name: str) -> str:
    """A number of a table; empty if the row lacks it."""
    if name not in row:
        return ""
    value = row[name]
    if abs(value) >= 1e4:
        return f"{value:,.0f}"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"


def write_rows(path: str | os.PathLike[str], rows: list[Row], columns: list[str]) -> None:
    """Write rows as comma-separated values, to six digits; what a row lacks is left empty."""
    with replacing(path) as temporary, Path(temporary).open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([f"{row[name]:.6g}" if name in row else "" for name in columns])
