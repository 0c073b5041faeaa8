"""Tables: a CSV file in, training and test data out, and what a prediction needs to know of them.

    train, test, schema = load_table("iris.csv", target="species")
    config["table"] = schema.to_dict()                    with the model, as JSON
    x, t = Schema.from_dict(config["table"]).read("new.csv")

Features are numbers, and are standardised with the training data's mean and deviation. The target is a
class, of any text, or a number. What cannot be used is an error that names file, line and column.
"""

import os
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xpnet.data.csv_reader import MISSING, Cells, read_csv, require_number
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
    """

    task: Task
    features: tuple[str, ...]
    target: str
    classes: tuple[str, ...]
    standardizer: Standardizer
    dtype: str = "float32"

    def read(self, path: PathLike, delimiter: str | None = None) -> tuple[Any, Any]:
        """The samples of another file, with columns of the same names, in any order.

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
        header = not _numbered((*self.features, self.target))
        cells = read_csv(path, self.target, delimiter, header, optional_target=True)
        if missing := [name for name in self.features if name not in cells.names]:
            raise DataError(
                f"{cells.path}: no column {missing[0]!r}, which the model needs: it was trained on "
                f"{len(self.features)} features, {len(missing)} of which are missing here"
            )
        cells = cells._replace(x=cells.x[:, [cells.names.index(name) for name in self.features]])
        return self.samples(cells)

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
            return cls(task, features, target, classes, standardizer, dtype)
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"Expected the schema of a table: {error!r}.") from error


def load_table(
    path: PathLike,
    target: str | None = None,
    task: Task = "classify",
    test: float | PathLike = 0.2,
    seed: int = 0,
    delimiter: str | None = None,
    header: bool | None = None,
    dtype: DTypeLike = "float32",
) -> tuple[Pair, Pair, Schema]:
    """Load a CSV table for training and test.

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
    delimiter, header
        As for `read_csv`.
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
        not in the training file; a target of a regression is no number; too few rows.
    """
    if task not in ("classify", "regress"):
        raise ArgumentError(f"Expected task 'classify' or 'regress', got {task!r}.")
    cells = read_csv(path, target, delimiter, header)
    classes = _classes(cells) if task == "classify" else ()
    plain = Standardizer((0.0,) * len(cells.names), (1.0,) * len(cells.names))
    schema = Schema(
        task, tuple(cells.names), str(cells.target), classes, plain, np.dtype(dtype).name
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


def _numbered(names: tuple[str, ...]) -> bool:
    """Whether these are the names of columns without a header."""
    return all(name.startswith("column ") and name[7:].isdecimal() for name in names)
