"""History: what a training went through, a row an epoch."""

import csv
import math
import os
from pathlib import Path

from xpnet.errors import MissingKeyError
from xpnet.saving.safetensors import replacing

Row = dict[str, float]


class History:
    """One row an epoch, finished epochs alone.

    The columns of a row, and of the file:

        epoch            from 1
        train_loss       the mean over the epoch's samples, each taken before the step that learned
        train_accuracy   from it: so of weights that were still changing, on average half an
                         epoch younger than those of the test. A column for each metric.
        test_loss        the mean over the test data, with the weights at the epoch's end;
        test_accuracy    absent where there are no test data
        lr               the learning rate of the epoch's last step
        seconds          of the epoch, its test included
        samples_per_s    training samples a second, the test left out

    Attributes
    ----------
    rows : list of dict of str to float
    interrupted : bool
        Whether Ctrl-C ended the training before its last epoch did.
    kept : int or None
        The epoch whose weights the model was given back at the end (`EarlyStopping`); None: it
        has the last ones.

    Examples
    --------
    >>> history = History()
    >>> history.append({"epoch": 1, "train_loss": 0.5})
    >>> history.append({"epoch": 2, "train_loss": 0.25})
    >>> history["train_loss"]
    [0.5, 0.25]
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.interrupted = False
        self.kept: int | None = None

    def append(self, row: Row) -> None:
        """Add the row of an epoch that is over."""
        self.rows.append(row)

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    def __getitem__(self, column: str) -> list[float]:
        if self.rows and column not in self.columns:
            raise MissingKeyError(f"{column!r}; there are {', '.join(self.columns)}")
        return [row.get(column, math.nan) for row in self.rows]

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order; none before the first row."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write all rows as comma-separated values, a line of names first, to six digits."""
        with replacing(path) as temporary, Path(temporary).open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns or ["epoch"])
            for row in self.rows:  # a place stays empty where a row lacks what another has
                cells = (row.get(column) for column in self.columns)
                writer.writerow(["" if cell is None else f"{cell:.6g}" for cell in cells])

    def __repr__(self) -> str:
        return f"History({len(self)} epochs{', interrupted' if self.interrupted else ''})"
