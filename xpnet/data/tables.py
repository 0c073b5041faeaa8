"""Tables: a CSV file in, training and test data out, and what a prediction needs to know of them.

    train, test, schema = load_table("iris.csv", target="species")
    config["table"] = schema.to_dict()                    with the model, as JSON
    x, t = Schema.from_dict(config["table"]).read("new.csv")

Features are numbers, and are standardised with the training data's mean and deviation. The target is a
class, of any text, or a number. What cannot be used is an error that names file, line and column.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xpnet.data._csv_numbers import MISSING, require_number
from xpnet.data._csv_reader import Cells, read_csv
from xpnet.data.splitting import Standardizer, split
from xpnet.errors import ArgumentError, DataError, StateError

Pair = tuple[NDArray[Any], NDArray[Any]]
PathLike = str | os.PathLike[str]
Task = Literal["classify", "regress"]


@dataclass(frozen=True)
class Schema:
    """How the rows of a table become samples: learned from the training data, kept with the model.

    Attributes
    ----------
    task : {"classify", "regress"}
    features : tuple of str
        The columns that are features, in the order of the network's inputs.
    target : str
        The column that is the target.
    classes : tuple of str
        What the classes are called, by number: numbers in ascending order, or texts in
        alphabetical order; none for a regression.
    standardizer : Standardizer
        Applied to the features.
    dtype : str
        Of x, and of the targets of a regression.
    header : bool
        Whether the first row has the columns' names.
    index_col, delimiter, encoding
        As they were chosen: see `read_csv`.
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

    def read(self, path: PathLike, delimiter: str | None = None) -> tuple[Any, Any]:
        """The samples of another file, with columns of the same names, in any order.

        Other columns than features and target are passed over, whatever they hold.

        Returns
        -------
        x : ndarray, shape (n, features)
        t : ndarray or None
            As `load_table` gives it; None if the file has no column for the target.

        Raises
        ------
        DataError
            As `read_csv`; a feature is missing; or a class is none of the training's.
        """
        return self.samples(self.cells(path, delimiter=delimiter))

    def cells(self, path: PathLike, targets: bool = True, delimiter: str | None = None) -> Cells:
        """Another file as it is written, with the features in order.

        Parameters
        ----------
        path : str or path-like
        targets : bool
            Whether to read the targets, too. Otherwise their column may hold anything.
        delimiter : str, optional
            By default that of the training, if one was given; else it is found.

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

    def samples(self, cells: Cells) -> tuple[Any, Any]:
        """x and t of a table as it was read, with the features in order; t None without a target."""
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
                shown = ", ".join(self.classes[:12]) + (", ..." if len(self.classes) > 12 else "")
                raise DataError(
                    f"{cells.at(row)}: the class {label!r} was not seen in training, which had "
                    f"{shown}"
                )
            t[row] = found
        return x, t

    def to_dict(self) -> dict[str, Any]:
        """The schema as JSON can hold it."""
        return {**asdict(self), "standardizer": self.standardizer._asdict()}

    @classmethod
    def from_dict(cls, numbers: dict[str, Any]) -> Self:
        """The schema that `to_dict` described.

        Raises
        ------
        StateError
            These are no numbers of a schema.
        """
        try:
            scaling = numbers["standardizer"]
            standardizer = Standardizer(*(tuple(map(float, scaling[k])) for k in ("mean", "scale")))
            names = {key: tuple(map(str, numbers[key])) for key in ("features", "classes")}
            task, dtype = numbers["task"], np.dtype(numbers["dtype"]).name
            lengths = {len(names["features"]), *map(len, standardizer)}
            if task not in ("classify", "regress") or len(lengths) > 1:
                raise ArgumentError(task, lengths)
            target, features, classes = str(numbers["target"]), names["features"], names["classes"]
            choices = {key: numbers[key] for key in _CHOICES}
            if wrong := [
                key for key, kind in _CHOICES.items() if not isinstance(choices[key], kind)
            ]:
                raise ArgumentError(f"{wrong[0]} is {choices[wrong[0]]!r}")
            return cls(task, features, target, classes, standardizer, dtype, **choices)
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"Expected the schema of a table: {error!r}.") from error


_CHOICES = {  # how a table is read, and of which type JSON has it
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
    """Load a table of text (CSV, TSV and their relatives) for training and test.

    Parameters
    ----------
    path : str or path-like
    target : str, optional
        The column to be predicted; by default the last.
    task : {"classify", "regress"}
        Whether its values are classes (any text) or numbers.
    test : float or path-like
        The share of the rows that is put aside for the test (see `split`: by class, and the same
        rows for the same seed), or another file, with test rows alone.
    seed : int
    delimiter, header, index_col, encoding, features
        How the file is read: see `read_csv`. The schema keeps the choices, also those that were left
        open, so that other files are read in the same way.
    dtype : dtype-like

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of pairs of ndarray
        x : `dtype`, shape (n, features), standardised.
        t : int64, shape (n,), numbers of classes; or, in a regression, `dtype`, shape (n, 1), as
        the network's output is.
    schema : Schema
        What repeats it with another file.

    Raises
    ------
    DataError
        As `read_csv`; there is one class alone; classes are fractions, or in the test file but
        not in the training file; a target of a regression is not a number; there are too few rows;
        or the test file is the training file.
    """
    if task not in ("classify", "regress"):
        raise ArgumentError(f"Expected task 'classify' or 'regress', got {task!r}.")
    if not isinstance(test, (int, float)):
        require_another(path, test)
    cells = read_csv(path, target, delimiter, header, index_col, encoding, features)
    schema = Schema(
        task=task,
        features=tuple(cells.names),
        target=str(cells.target),
        classes=_classes(cells) if task == "classify" else (),
        standardizer=Standardizer((0.0,) * len(cells.names), (1.0,) * len(cells.names)),
        dtype=np.dtype(dtype).name,
        header=cells.header,
        index_col=index_col if index_col is None or index_col is False else cells.index_name,
        delimiter=delimiter,
        encoding=encoding,
    )
    if not isinstance(test, (int, float)):
        schema = _fitted(schema, cells.x)
        tested = schema.read(test, delimiter)
        if tested[1] is None:
            raise DataError(f"{os.fspath(test)}: no column {cells.target!r}, the target")
        return schema.samples(cells), tested, schema
    _, t = schema.samples(cells)
    try:
        train, rest = split(t if task == "classify" else t[:, 0], test, seed)
    except DataError as error:
        raise DataError(f"{cells.path}: {error}") from None
    schema = _fitted(schema, cells.x[train])
    x = schema.standardizer(cells.x).astype(schema.dtype)
    return (x[train], t[train]), (x[rest], t[rest]), schema


def require_another(path: PathLike, test: PathLike) -> None:
    """Refuse a test file or folder that is that of the training, under whatever name."""
    try:
        same = Path(path).samefile(test)
    except OSError:  # one is not there: the reader will report it
        return
    if same:
        raise DataError(
            f"{os.fspath(test)}: the test data are the training data themselves, so the test would be of "
            "what was learned. Name others, or give a share of them, such as 0.2"
        )


def _fitted(schema: Schema, x: NDArray[Any]) -> Schema:
    return Schema(**{**vars(schema), "standardizer": Standardizer.of(x)})


def _targets(cells: Cells) -> NDArray[np.float64]:
    return np.asarray([require_number(cell, cells.at(row)) for row, cell in enumerate(cells.t)])


def _classes(cells: Cells) -> tuple[str, ...]:
    """The names of the classes in their order."""
    first = {label: row for row, label in reversed(list(enumerate(cells.t)))}
    if absent := [label for label in first if label.lower() in MISSING - {"none", "-"}]:
        require_number(absent[0], cells.at(first[absent[0]]))
    numbers = {label: _canonical(label) for label in first}
    if all(numbers.values()):
        names = sorted({int(number) for number in numbers.values() if number})
        found = tuple(map(str, names))
    else:
        if all(_is_number(label) for label in first):
            row = next(row for label, row in first.items() if not numbers[label])
            raise DataError(
                f"{cells.at(row)}: {cells.t[row]} is no class: classes are texts or whole numbers. "
                "To predict numbers, take the task 'regress'"
            )
        found = tuple(sorted(first))
    if len(found) < 2:
        raise DataError(
            f"{cells.path}, column {cells.target!r}: the only class is {found[0]!r}; to learn, two "
            "are needed"
        )
    return found


def _canonical(label: str) -> str | None:
    """A whole number as Python writes it, so that 1, 01 and 1.0 are one class; else None."""
    if not _is_number(label) or not float(label).is_integer():
        return None
    exact = len(label) < 50 and label.lstrip("+-").isdecimal()  # beyond 2**53, where floats are not
    return str(int(label if exact else float(label)))


def _is_number(label: str) -> bool:
    try:
        require_number(label, "")
    except DataError:
        return False
    return True
