"""Tables: load a CSV file as training and test data, with a schema by which to read other files.

    train, test, schema = load_table("iris.csv", target="species")
    config["table"] = schema.to_dict()                    stored with the model, as JSON
    x, t = Schema.from_dict(config["table"]).read("new.csv")

Features are numbers, and are standardised with the mean and the deviation of the training data. The
target is a class, with any text as its name, or a number. An error names the file, the line and the
column of a cell that cannot be used.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xpnet._typing import PathLike
from xpnet.data._csv_numbers import MISSING, require_number
from xpnet.data._csv_reader import Cells, read_csv
from xpnet.data._messages import listed
from xpnet.data._typing import Pair, Task
from xpnet.data.splitting import Standardizer, split
from xpnet.errors import ArgumentError, DataError, StateError


@dataclass(frozen=True)
class Schema:
    """How the rows of a table become samples: found in the training data, stored with the model.

    Attributes
    ----------
    task : {"classify", "regress"}
    features : tuple of str
        The columns that are features, in the order of the network's inputs.
    target : str
        The column that is the target.
    classes : tuple of str
        The names of the classes, by number: whole numbers in ascending order, or texts in
        alphabetical order. Empty for a regression.
    standardizer : Standardizer
        Applied to the features.
    dtype : str
        The dtype of x, and of the targets of a regression.
    header : bool
        Whether the first row has the names of the columns.
    index_col, delimiter, encoding
        The choices with which the table was read: see `read_csv`.
    """

    task: Task
    features: tuple[str, ...]
    target: str
    classes: tuple[str, ...]
    standardizer: Standardizer
    dtype: str = "float32"
    header: bool = True
    index_col: str | int | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"

    def read(
        self, path: PathLike, delimiter: str | None = None
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Read the samples of another file, whose columns may be in any order.

        Columns other than features and target are ignored.

        Returns
        -------
        x : ndarray, shape (n, features)
        t : ndarray or None
            As `load_table` returns it; None if the file has no target column.

        Raises
        ------
        DataError
            As `read_csv`; a feature is missing; or a class does not occur in the training data.
        """
        return self.samples(self.cells(path, delimiter=delimiter))

    def cells(self, path: PathLike, targets: bool = True, delimiter: str | None = None) -> Cells:
        """Read another file without converting its targets, with the features in order.

        Parameters
        ----------
        path : str or path-like
        targets : bool
            Whether to read the targets too. Otherwise their column may hold anything.
        delimiter : str, optional
            By default the one that was chosen for the training data, if any; else it is detected.

        Raises
        ------
        DataError
            As `read_csv`; or a feature is missing.
        """
        return read_csv(
            path,
            self.target if targets else False,
            delimiter=delimiter or self.delimiter,
            header=self.header,
            index_col=self.index_col,
            encoding=self.encoding,
            features=self.features,
            is_known=True,
        )

    def samples(self, cells: Cells) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """x and t of a table that `cells` has read; t is None without a target."""
        x = self.standardizer(cells.x).astype(self.dtype)
        if cells.target is None:
            return x, None
        if self.task == "regress":
            return x, _targets(cells).astype(self.dtype)[:, None]
        number = {name: i for i, name in enumerate(self.classes)}
        t = np.empty(len(cells.t), np.int64)
        for row, label in enumerate(cells.t):
            found = number.get(label, number.get(_canonical(label) or label))
            if found is None:
                raise DataError(
                    f"{cells.at(row)}: the class {label!r} was not seen in training, which had "
                    f"{listed(self.classes)}"
                )
            t[row] = found
        return x, t

    def to_dict(self) -> dict[str, Any]:
        """The schema as a dict that JSON can store."""
        return {**asdict(self), "standardizer": self.standardizer._asdict()}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Self:
        """The schema from the dict that `to_dict` returned.

        Raises
        ------
        StateError
            The dict is not one of a schema.
        """
        try:
            scaling = stored["standardizer"]
            mean = tuple(map(float, scaling["mean"]))
            scale = tuple(map(float, scaling["scale"]))
            features = tuple(map(str, stored["features"]))
            task = stored["task"]
            if task not in ("classify", "regress"):
                raise ArgumentError(f"task is {task!r}")
            if not len(features) == len(mean) == len(scale):
                raise ArgumentError(
                    f"{len(features)} features, but {len(mean)} means and {len(scale)} scales"
                )
            choices = {key: stored[key] for key in _CHOICES}
            for key, kind in _CHOICES.items():
                if not isinstance(choices[key], kind):
                    raise ArgumentError(f"{key} is {choices[key]!r}")
            return cls(
                task=task,
                features=features,
                target=str(stored["target"]),
                classes=tuple(map(str, stored["classes"])),
                standardizer=Standardizer(mean, scale),
                dtype=np.dtype(stored["dtype"]).name,
                **choices,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"Expected the schema of a table: {error!r}.") from error


_CHOICES = {  # the arguments with which a table is read, and their types in JSON
    "header": bool,
    "index_col": str | int | None,
    "delimiter": str | None,
    "encoding": str,
}


def load_table(
    path: PathLike,
    target: str | None = None,
    task: Task = "classify",
    test: float | PathLike = 0.2,
    seed: int = 0,
    delimiter: str | None = None,
    header: bool | None = None,
    index_col: str | int | None = None,
    encoding: str = "utf-8",
    features: Sequence[str] | None = None,
    dtype: DTypeLike = "float32",
) -> tuple[Pair, Pair, Schema]:
    """Load a table from a text file (CSV, TSV and the like) for training and test.

    Parameters
    ----------
    path : str or path-like
    target : str, optional
        The column to be predicted; by default the last.
    task : {"classify", "regress"}
        Whether the targets are classes (any text) or numbers.
    test : float or path-like
        The fraction of the rows that is held out for the test (see `split`: class by class, and the
        same rows for the same seed); or another file, which has the test rows.
    seed : int
        The seed of the split.
    delimiter, header, index_col, encoding, features
        How the file is read: see `read_csv`. The schema stores these choices, and the reader's own
        decisions, so that other files are read in the same way.
    dtype : dtype-like
        The dtype of x, and of the targets of a regression.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of pairs of ndarray
        x : `dtype`, shape (n, features), standardised.
        t : int64, shape (n,), class numbers; or, for a regression, `dtype`, shape (n, 1), like
        the network's output.
    schema : Schema
        Reads other files in the same way.

    Raises
    ------
    DataError
        As `read_csv`; there is only one class; classes are fractions, or occur in the test file but
        not in the training file; a target of a regression is not a number; there are too few rows;
        or the test file is the training file.
    """
    if task not in ("classify", "regress"):
        raise ArgumentError(f"Expected task 'classify' or 'regress', got {task!r}.")
    if not isinstance(test, (int, float)):
        require_another(path, test)
    cells = read_csv(path, target, delimiter, header, index_col, encoding, features)
    if index_col is not None and index_col is not False:
        index_col = cells.index_name  # by its name: the columns of other files may be in any order
    schema = Schema(
        task=task,
        features=tuple(cells.names),
        target=str(cells.target),
        classes=_classes(cells) if task == "classify" else (),
        standardizer=_identity(len(cells.names)),
        dtype=np.dtype(dtype).name,
        header=cells.header,
        index_col=index_col,
        delimiter=delimiter,
        encoding=encoding,
    )
    if isinstance(test, (int, float)):
        return _split_table(cells, schema, test, seed)
    schema = _fitted(schema, cells.x)
    x_test, t_test = schema.read(test, delimiter)
    if t_test is None:
        raise DataError(f"{os.fspath(test)}: no column {cells.target!r}, the target")
    return _pair(schema, cells), (x_test, t_test), schema


def _split_table(
    cells: Cells, schema: Schema, fraction: float, seed: int
) -> tuple[Pair, Pair, Schema]:
    """One table, split into training and test, and standardised with the training rows."""
    _, t = _pair(schema, cells)
    groups = t if schema.task == "classify" else t[:, 0]
    try:
        train, rest = split(groups, fraction, seed)
    except DataError as error:
        raise DataError(f"{cells.path}: {error}") from None
    schema = _fitted(schema, cells.x[train])
    x = schema.standardizer(cells.x).astype(schema.dtype)
    return (x[train], t[train]), (x[rest], t[rest]), schema


def _pair(schema: Schema, cells: Cells) -> Pair:
    """The samples of a table that has targets."""
    x, t = schema.samples(cells)
    if t is None:
        raise DataError(f"{cells.path}: no column {schema.target!r}, the target")
    return x, t


def require_another(path: PathLike, test: PathLike) -> None:
    """Refuse a test file or folder that is the one for training, perhaps under another name."""
    try:
        same = Path(path).samefile(test)
    except OSError:  # one does not exist, which its reader will report
        return
    if same:
        raise DataError(
            f"{os.fspath(test)}: the test data are the training data themselves, so the test would "
            "not measure anything new. Name other data, or give a fraction, such as 0.2"
        )


def _identity(features: int) -> Standardizer:
    """A standardizer that leaves features as they are, until the training rows are known."""
    return Standardizer((0.0,) * features, (1.0,) * features)


def _fitted(schema: Schema, x: NDArray[Any]) -> Schema:
    """The schema with the mean and the deviation of these features."""
    return replace(schema, standardizer=Standardizer.of(x))


def _targets(cells: Cells) -> NDArray[np.float64]:
    """The targets of a regression, shape (n,)."""
    return np.asarray([require_number(cell, cells.at(row)) for row, cell in enumerate(cells.t)])


def _classes(cells: Cells) -> tuple[str, ...]:
    """The names of the classes in their order."""
    first_rows: dict[str, int] = {}
    for row, label in enumerate(cells.t):
        first_rows.setdefault(label, row)
    for label, row in first_rows.items():
        if label.lower() in MISSING - {"none", "-"}:  # these two may well be names of classes
            require_number(label, cells.at(row))  # raises the error for a missing value
    numbers = {label: _canonical(label) for label in first_rows}
    if all(numbers.values()):
        whole = sorted({int(number) for number in numbers.values() if number})
        classes = tuple(map(str, whole))
    elif all(_is_number(label) for label in first_rows):
        row = next(row for label, row in first_rows.items() if not numbers[label])
        raise DataError(
            f"{cells.at(row)}: {cells.t[row]} is not a class: classes are texts or whole numbers. "
            "To predict numbers, use the task 'regress'"
        )
    else:
        classes = tuple(sorted(first_rows))
    if len(classes) < 2:
        raise DataError(
            f"{cells.path}, column {cells.target!r}: the only class is {classes[0]!r}, but a "
            "classification needs two or more"
        )
    return classes


def _canonical(label: str) -> str | None:
    """A whole number as Python formats it, so that 1, 01 and 1.0 are one class; else None."""
    if not _is_number(label) or not float(label).is_integer():
        return None
    if len(label) < 50 and label.lstrip("+-").isdecimal():
        return str(int(label))  # exact also beyond 2**53, where floats are not
    return str(int(float(label)))


def _is_number(label: str) -> bool:
    try:
        require_number(label, "")
    except DataError:
        return False
    return True
