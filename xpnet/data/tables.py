"""Tables: load a file or a data frame as training and test data, with a schema by which to read others.

    train, test, schema = load_table("people.csv", target="income")
    print(schema)                                         the data dictionary
    schema.labels(trainer.predict(test[0]))               the names of the classes
    config["table"] = schema.to_dict()                    stored with the model, as JSON
    x, t = Schema.from_dict(config["table"]).read("new.csv")

Features may be numbers, booleans, dates and categories, and values may be missing: `xpnet.data.columns`
describes what becomes of each. Numbers are standardised with the mean and the deviation of the training data.
The target is a class, with any text as its name, or a number. An error names the file, the line and the
column of a cell that cannot be used.
"""

import os
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xpnet._printable import aligned, counted
from xpnet._typing import Array, PathLike
from xpnet.backend import to_numpy
from xpnet.data._csv_notation import MARKS, in_both_notations, pointed
from xpnet.data._csv_numbers import is_missing, missing_texts, numbers_of, require_number
from xpnet.data._csv_reader import Cells, read_csv
from xpnet.data._messages import listed, share, shortened
from xpnet.data._typing import DataFrame, Pair, Task
from xpnet.data.columns import Column, fit_column
from xpnet.data.splitting import Standardizer, split
from xpnet.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError, StateError

_MOST_SHOWN = 30  # rows of the data dictionary for people
VERSION = 1  # of the dict that `Schema.to_dict` returns; 0 had numbers only


@dataclass(frozen=True)
class Schema:
    r"""How the rows of a table become samples: found in the training data, stored with the model.

    `str(schema)` is the data dictionary, a table for people to read.

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
        Applied to the inputs. Those that are 0 or 1 for a category or a missing value have the mean 0 and
        the scale 1.
    dtype : str
        The dtype of x, and of the targets of a regression.
    columns : tuple of Column
        The data dictionary: an entry for each feature, and for constant columns and identifiers.
    rows : int
        The number of training rows.
    header : bool
        Whether the first row has the names of the columns.
    index_col, delimiter, encoding, decimal, ids, missing, drop_missing_target
        The choices with which the table was read: see `load_table`. If `missing` is None, a missing value
        is refused.
    unused : tuple of str
        The columns that were left out.
    answers : Column or None
        The targets of the training rows: how many have each class, or their range. None in a schema that an
        earlier version stored.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from xpnet.data import load_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = pathlib.Path(folder, "fruit.csv")
    ...     _ = table.write_text("grams,fruit\n" + "100,apple\n120,plum\n" * 4)
    ...     train, test, schema = load_table(table)
    ...     _ = table.write_text("grams\n110\n")
    ...     x, t = schema.read(table)
    >>> schema.features, schema.classes
    (('grams',), ('apple', 'plum'))
    >>> x.tolist(), t  # 110 g is the mean; there is no target
    ([[0.0]], None)
    """

    task: Task
    features: tuple[str, ...]
    target: str
    classes: tuple[str, ...]
    standardizer: Standardizer
    dtype: str = "float32"
    columns: tuple[Column, ...] = ()
    rows: int = 0
    header: bool = True
    index_col: str | int | None = None
    delimiter: str | None = None
    encoding: str | None = "utf-8"
    decimal: str = "."
    ids: tuple[str, ...] = ()
    missing: tuple[str, ...] | None = None
    drop_missing_target: bool = False
    unused: tuple[str, ...] = ()
    answers: Column | None = None

    @property
    def inputs(self) -> list[str]:
        """The names of the network's inputs: a category and a date become several."""
        return [name for column in self.feature_columns for name in column.inputs]

    @property
    def feature_columns(self) -> list[Column]:
        """The entries of the features, in order."""
        return [column for column in self.columns if column.name in self.features]

    def read(
        self,
        source: PathLike | DataFrame,
        delimiter: str | None = None,
        decimal: str | None = None,
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Read the samples of another table, whose columns may be in any order.

        Columns other than features and target are ignored. New categories, and gaps in columns that had
        none, are a warning: see `unlike`.

        Parameters
        ----------
        source, delimiter, decimal
            See `cells`.

        Returns
        -------
        x : ndarray, shape (n, inputs)
        t : ndarray or None
            As `load_table` returns it; None if the file has no target column.

        Raises
        ------
        DataError
            As `read_csv`; a feature is missing; or a class does not occur in the training data.
        """
        cells = self.cells(source, delimiter=delimiter, decimal=decimal)
        samples = self.samples(cells)
        for sentence in self.unlike(cells._replace(unused=[])):
            warnings.warn(f"{cells.path}: {sentence}.", stacklevel=2)
        return samples

    def cells(
        self,
        source: PathLike | DataFrame,
        targets: bool = True,
        delimiter: str | None = None,
        decimal: str | None = None,
    ) -> Cells:
        """Read another table without converting its cells, with the features in order.

        Parameters
        ----------
        source : str, path-like or DataFrame
        targets : bool
            Whether to read the targets too. Otherwise their column may hold anything.
        delimiter : str, optional
            By default the one that was chosen for the training data, if any; else it is detected.
        decimal : {".", ","}, optional
            The decimal mark; by default that of the training data.

        Raises
        ------
        DataError
            As `read_csv`; or a feature is missing.
        """
        cells = read_csv(
            source,
            self.target if targets else False,
            delimiter=delimiter or self.delimiter,
            header=self.header,
            index_col=self.index_col,
            encoding=self.encoding,
            features=self.features,
            is_known=True,
            ids=self.ids,
            texts=[column.name for column in self.columns if column.text],
            missing=self.missing,
            decimal=decimal or self.decimal,
        )
        if cells.target is None or not self.drop_missing_target:
            return cells
        return _with_targets(cells, self.task, self.missing or (), drop=True)

    def unlike(self, cells: Cells) -> list[str]:
        """How a table that `cells` has read differs from the training data, in sentences.

        These are columns that are ignored, identifiers that it lacks, categories that did not occur, and
        values that are missing in columns that had no gaps.
        """
        known = {*self.unused, *(column.name for column in self.columns), self.target}
        extra = [name for name in cells.unused if name not in known]
        found = []
        if extra:
            found.append(f"ignored, as the training did not have them: columns {listed(extra)}")
        absent = [name for name in self.ids if name not in cells.ids]
        if absent:
            found.append(
                f"columns {listed(absent)}, which identify the rows, are not there; left empty"
            )
        gaps = missing_texts(self.missing or ())
        values = cells.columns()
        for column in self.feature_columns:
            phrases = column.unlike(values[column.name], gaps, cells.decimal)
            found += [f"column {column.name!r}: {phrase}" for phrase in phrases]
        return found

    def samples(self, cells: Cells) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """x and t of a table that `cells` has read; t is None without a target.

        Raises
        ------
        DataError
            A cell is not of the kind that its column has, or a class was not seen in training.
        """
        x = self.standardizer(self.encode(cells)).astype(self.dtype)
        return x, self.targets(cells)

    def encode(self, cells: Cells) -> NDArray[np.float64]:
        """The inputs before they are standardised, shape (n, inputs)."""
        gaps = missing_texts(self.missing or ())
        values = cells.columns()
        parts = [
            column.encode(
                values[column.name], partial(cells.at, column=column.name), gaps, cells.decimal
            )
            for column in self.feature_columns
        ]
        return np.concatenate(parts, axis=1)

    def labels(self, scores: Array) -> list[str]:
        """The name of the class with the largest score, for each row of a network's output.

        Parameters
        ----------
        scores : array of any library, shape (n, classes)
            What the network returns, or its softmax, the probabilities.

        Raises
        ------
        ArgumentError
            The table was loaded for a regression, which has no classes.
        ShapeError
            There is not one score for each class.

        Examples
        --------
        >>> import pandas
        >>> from xpnet.data import load_table
        >>> table = pandas.DataFrame({"size": range(20), "kind": ["cat", "dog"] * 10})
        >>> train, test, schema = load_table(table, target="kind")
        >>> schema.labels([[0.3, 2.5], [1.5, -1.0]])
        ['dog', 'cat']
        """
        if self.task == "regress":
            raise ArgumentError(
                "Expected the schema of a classification; this one is of a regression, in which the network's "
                "output is the prediction."
            )
        found = to_numpy(scores)
        if found.ndim != 2 or found.shape[1] != len(self.classes):
            raise ShapeError(
                f"Expected scores of shape (n, {len(self.classes)}), one for each class, got {found.shape}."
            )
        return [self.classes[i] for i in found.argmax(axis=1).tolist()]

    def targets(self, cells: Cells) -> NDArray[Any] | None:
        """The targets of a table that `cells` has read, as `load_table` returns them."""
        if cells.target is None:
            return None
        if self.task == "regress":
            return _targets(cells).astype(self.dtype)[:, None]
        number = {name: i for i, name in enumerate(self.classes)}
        t = np.empty(len(cells.t), np.int64)
        for row, label in enumerate(cells.t):
            if label not in number:
                found = number.get(_canonical(label, cells.decimal) or label)
                if found is None:
                    raise DataError(
                        f"{cells.at(row)}: the class {label!r} was not seen in training, which had "
                        f"{listed(self.classes)}"
                    )
                number[label] = found
            t[row] = number[label]
        return t

    def __str__(self) -> str:
        rows = [("column", "kind", "missing", "values")]
        shown = self.columns
        if len(shown) > _MOST_SHOWN:
            shown = shown[: _MOST_SHOWN - 1]
        for column in shown:
            missing = str(column.missing) if column.missing else ""
            name = shortened(column.name, 30)
            rows.append((name, column.kind, missing, column.described(self.rows)))
        kind = "class" if self.classes else "number"
        what = "the target"
        if self.answers is not None:
            what = f"the target: {self._answers_described(self.answers)}"
        if len(shown) < len(self.columns):
            rows.append((f"... and {len(self.columns) - len(shown)} more", "", "", ""))
        rows.append((shortened(self.target, 30), kind, "", what))
        return f"{aligned(rows)}\n{self._summary()}"

    def _answers_described(self, answers: Column) -> str:
        """The classes with their shares, the most frequent first; or the range of the numbers."""
        if not self.classes:
            return answers.described(self.rows)
        found = sorted(
            zip(answers.counts, answers.categories, strict=True), key=lambda pair: -pair[0]
        )
        return listed(f"{shortened(name, 20)} {share(n, self.rows)}" for n, name in found)

    def _summary(self) -> str:
        """What becomes of the columns, in sentences."""
        features = self.feature_columns
        count = len(self.inputs)
        become = "becomes" if len(features) == 1 else "become"
        named = counted(len(features), "feature")
        found = [f"{named} {become} {counted(count, 'input')}."]
        if count == len(features):
            found = [f"{named}."]
        gaps = {column.kind == "category" for column in features if column.missing}
        if False in gaps:
            found.append("A missing number or date becomes the median, and an input marks it.")
        if True in gaps:
            found.append("A missing category is a category of its own.")
        if any(column.others for column in features):
            found.append("Rare categories share an input.")
        return " ".join(found)

    def to_dict(self) -> dict[str, Any]:
        """The schema as a dict that JSON can store."""
        stored = {**asdict(self), "standardizer": self.standardizer._asdict()}
        return {"version": VERSION, **stored}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Self:
        """The schema from the dict that `to_dict` returned.

        Raises
        ------
        StateError
            The dict is not one of a schema, or of a later version.
        """
        try:
            return cls(**_checked_fields(stored))
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise StateError(f"Expected the schema of a table: {error!r}.") from error


def _checked_fields(stored: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `Schema` from a dict.

    Raises
    ------
    KeyError, TypeError, ValueError
        They are missing or invalid.
    """
    if not isinstance(stored, dict):
        raise ArgumentError(f"it is {type(stored).__name__}")
    version = stored.get("version", 0)
    if version not in (0, VERSION):
        raise ArgumentError(
            f"version {version!r}; this xpnet reads {VERSION}: upgrade xpnet to read it"
        )
    scaling = stored["standardizer"]
    mean = tuple(map(float, scaling["mean"]))
    scale = tuple(map(float, scaling["scale"]))
    features = tuple(map(str, stored["features"]))
    task = stored["task"]
    if task not in ("classify", "regress"):
        raise ArgumentError(f"task is {task!r}")
    columns = _checked_columns(stored, features)
    inputs = sum(len(column.inputs) for column in columns if column.name in features)
    if not inputs == len(mean) == len(scale):
        raise ArgumentError(
            f"{counted(inputs, 'input')} of features, but {len(mean)} means and {len(scale)} scales"
        )
    choices = _checked_choices(stored, _CHOICES)
    if version:
        choices |= _checked_choices(stored, _NEW_CHOICES)
        if not 0 < choices["rows"] < 2**63:
            raise ArgumentError(f"rows is {choices['rows']!r}")
    return {
        **choices,
        "task": task,
        "features": features,
        "target": str(stored["target"]),
        "classes": tuple(map(str, stored["classes"])),
        "standardizer": Standardizer(mean, scale),
        "dtype": np.dtype(stored["dtype"]).name,
        "columns": columns,
        "decimal": _checked_decimal(stored.get("decimal", ".")),
        "answers": _checked_answers(stored.get("answers"), tuple(map(str, stored["classes"]))),
    }


def _checked_columns(stored: dict[str, Any], features: tuple[str, ...]) -> tuple[Column, ...]:
    """The data dictionary from a dict; version 0 had none, only features that are numbers."""
    columns = tuple(map(Column, features))
    if stored.get("version"):
        columns = tuple(map(Column.from_dict, stored["columns"]))
    if not {*features} <= {column.name for column in columns}:
        raise ArgumentError(f"features are {features!r}")
    return columns


def _checked_decimal(stored: object) -> str:
    """The decimal mark of a stored schema; those of earlier versions have none, and read points."""
    if not isinstance(stored, str) or stored not in MARKS:
        raise ArgumentError(f"decimal is {stored!r}")
    return stored


def _checked_answers(stored: object, classes: tuple[str, ...]) -> Column | None:
    """The targets of the training rows from a dict; a count for each class."""
    if stored is None:
        return None
    if not isinstance(stored, dict):
        raise ArgumentError(f"answers is {stored!r}")
    answers = Column.from_dict(stored)
    if classes and answers.categories != classes:
        raise ArgumentError(f"answers are {answers!r}")
    return answers


def _checked_choices(stored: dict[str, Any], kinds: dict[str, Any]) -> dict[str, Any]:
    """The choices of these names from a dict; a list becomes a tuple of texts."""
    choices = {}
    for key, kind in kinds.items():
        value = stored[key]
        if not isinstance(value, kind):
            raise ArgumentError(f"{key} is {value!r}")
        if isinstance(value, list | tuple):
            value = tuple(map(str, value))
        choices[key] = value
    return choices


_CHOICES = {  # the arguments with which a table is read, and their types in JSON
    "header": bool,
    "index_col": str | int | None,
    "delimiter": str | None,
    "encoding": str | None,
}
_NEW_CHOICES = {  # those since version 1
    "rows": int,
    "ids": list | tuple,
    "missing": list | tuple | None,
    "drop_missing_target": bool,
    "unused": list | tuple,
}


def load_table(
    source: PathLike | DataFrame,
    target: str | None = None,
    task: Task = "classify",
    test: float | PathLike | DataFrame = 0.2,
    seed: int = 0,
    delimiter: str | None = None,
    header: bool | None = None,
    index_col: str | int | None = None,
    encoding: str | None = None,
    features: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    ids: Sequence[str] = (),
    categories: Sequence[str] = (),
    missing: Sequence[str] = (),
    drop_missing_target: bool = False,
    dtype: DTypeLike = "float32",
    decimal: str = ".",
) -> tuple[Pair, Pair, Schema]:
    r"""Load a table from a text file (CSV, TSV and the like) or a data frame for training and test.

    Parameters
    ----------
    source : str, path-like or DataFrame
        A text file; a file FILE.parquet or FILE.xlsx, which pandas or polars reads; or a data frame of
        pandas or polars.
    target : str, optional
        The column to be predicted; by default the last.
    task : {"classify", "regress"}
        Whether the targets are classes (any text) or numbers.
    test : float, path-like or DataFrame
        The fraction of the rows that is held out for the test (see `split`: class by class, and the
        same rows for the same seed); or another table, which has the test rows.
    seed : int
        The seed of the split.
    delimiter, header, index_col, features
        How the file is read: see `read_csv`. The schema stores these choices, and the reader's own
        decisions, so that other files are read in the same way.
    encoding : str, optional
        The encoding of a text file; by default it is guessed: UTF-8, UTF-16 with a byte order mark,
        CP949 or CP1252.
    drop : sequence of str
        Columns to leave out.
    ids : sequence of str
        Columns that identify the rows: no features, but kept beside the predictions.
    categories : sequence of str
        Columns of numbers that are codes of categories.
    missing : sequence of str
        What stands in place of a missing value, such as "-999", besides an empty cell, NA, N/A, NaN, null,
        None, "?", "-" and "#N/A".
    drop_missing_target : bool
        Whether to leave out rows without a target. By default they are an error.
    dtype : dtype-like
        The dtype of x, and of the targets of a regression.
    decimal : {".", ","}
        The decimal mark of the numbers, as in pandas: "," for 5,1. It is stored in the schema, which reads
        other files with it. Numbers that are numbers already, as in a Parquet file, need none.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of pairs of ndarray
        x : `dtype`, shape (n, inputs), standardised. A category and a date become several inputs.
        t : int64, shape (n,), class numbers; or, for a regression, `dtype`, shape (n, 1), like
        the network's output.
    schema : Schema
        The data dictionary; reads other files in the same way.

    Raises
    ------
    ArgumentTypeError
        A string stands in place of a sequence of strings, or the source is of another type.
    DataError
        As `read_csv`; there is only one class; classes are fractions, or occur in the test file but
        not in the training file; a target of a regression is not a number; a target is missing; a column is
        an identifier, or has dates with two meanings, or numbers with signs, such as $5.1; there are too few
        rows; or the test file is the training file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from xpnet.data import load_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = pathlib.Path(folder, "fruit.csv")
    ...     _ = table.write_text("grams,color,fruit\n" + "100,red,apple\n20,blue,plum\n" * 5)
    ...     (x_train, t_train), (x_test, t_test), schema = load_table(table, test=0.2)
    >>> x_train.shape, x_test.shape, schema.inputs
    ((8, 3), (2, 3), ['grams', 'color=blue', 'color=red'])
    """
    if task not in ("classify", "regress"):
        raise ArgumentError(f"Expected task 'classify' or 'regress', got {task!r}.")
    _require_several(features=features, drop=drop, ids=ids, categories=categories, missing=missing)
    if isinstance(source, (str, os.PathLike)) and isinstance(test, (str, os.PathLike)):
        require_another(source, test)
    cells = read_csv(
        source, target, delimiter, header, index_col, encoding, features,
        drop=drop, ids=ids, texts=True, categories=categories, missing=missing, decimal=decimal,
    )  # fmt: skip
    missing = in_both_notations(missing, decimal)
    cells = _with_targets(cells, task, missing, drop_missing_target)
    if index_col is not None and index_col is not False:
        index_col = cells.index_name  # by its name: the columns of other files may be in any order
    schema = Schema(
        task=task,
        features=tuple(cells.names),
        target=str(cells.target),
        classes=_classes(cells) if task == "classify" else (),
        standardizer=Standardizer((), ()),
        dtype=np.dtype(dtype).name,
        header=cells.header,
        index_col=index_col,
        delimiter=delimiter,
        encoding=encoding,
        decimal=decimal,
        ids=tuple(ids),
        missing=missing,
        drop_missing_target=drop_missing_target,
        unused=tuple(cells.unused),
    )
    if isinstance(test, (int, float)):
        return _split_table(cells, schema, test, seed, categories)
    schema, x = _fitted(schema, cells, np.arange(len(cells.lines)), categories)
    t = schema.targets(cells)
    x_test, t_test = schema.read(test, delimiter)
    if t is None or t_test is None:
        where = test if isinstance(test, (str, os.PathLike)) else "the test"
        raise DataError(f"{where}: no column {cells.target!r}, the target")
    return (x, t), (x_test, t_test), schema


def _require_several(**arguments: Sequence[str] | None) -> None:
    """Refuse a string in place of a sequence of strings: it would be taken as its characters."""
    for name, value in arguments.items():
        if isinstance(value, str):
            raise ArgumentTypeError(
                f"Expected {name} as a sequence of strings, got the string {value!r}. Write {name}=[{value!r}]."
            )


def _split_table(
    cells: Cells, schema: Schema, fraction: float, seed: int, categories: Sequence[str]
) -> tuple[Pair, Pair, Schema]:
    """One table, split into training and test, and prepared by the training rows."""
    t = schema.targets(cells)
    if t is None:
        raise DataError(f"{cells.path}: no column {schema.target!r}, the target")
    groups = t if schema.task == "classify" else t[:, 0]
    try:
        train, rest = split(groups, fraction, seed)
    except DataError as error:
        raise DataError(f"{cells.path}: {error}") from None
    schema, x = _fitted(schema, cells, train, categories)
    return (x[train], t[train]), (x[rest], t[rest]), schema


def _fitted(
    schema: Schema, cells: Cells, rows: NDArray[np.int64], categories: Sequence[str]
) -> tuple[Schema, NDArray[Any]]:
    """The schema with the data dictionary of the training rows, and x of all rows."""
    schema = replace(
        schema,
        columns=_columns(cells, rows, categories, schema),
        rows=len(rows),
        answers=_answers(cells, rows, schema),
    )
    features = tuple(column.name for column in schema.columns if column.inputs)
    schema = replace(schema, features=features)
    if not features:
        raise DataError(f"{cells.path}: expected features, but every column is constant or empty")
    x = schema.encode(cells)
    standardizer = Standardizer.of(x[rows])
    scaled = [
        i < column.scaled for column in schema.feature_columns for i in range(len(column.inputs))
    ]
    mean = np.where(scaled, standardizer.mean, 0.0)
    scale = np.where(scaled, standardizer.scale, 1.0)
    standardizer = Standardizer(tuple(mean.tolist()), tuple(scale.tolist()))
    return replace(schema, standardizer=standardizer), standardizer(x).astype(schema.dtype)


def _columns(
    cells: Cells, rows: NDArray[np.int64], categories: Sequence[str], schema: Schema
) -> tuple[Column, ...]:
    """The data dictionary of the features, and of the columns that identify the rows.

    Raises
    ------
    DataError
        Columns are identifiers, or have no kind.
    """
    gaps = missing_texts(schema.missing or ())
    chosen = rows.tolist()
    found = []
    for name, values in cells.columns().items():
        known: NDArray[np.float64] | list[str]
        if isinstance(values, list):
            known = [values[i] for i in chosen]
        else:
            known = values[rows]
        place = partial(_place, cells, chosen, name)
        found.append(fit_column(name, known, place, gaps, name in categories, cells.decimal))
    identifiers = [column for column in found if column.kind == "identifier"]
    if identifiers:
        names = shlex.quote(
            ",".join(f'"{c.name}"' if "," in c.name else c.name for c in identifiers)
        )
        first = identifiers[0]
        raise DataError(
            f"{cells.path}: nearly all texts differ in {listed(repr(c.name) for c in identifiers)} "
            f"({first.distinct} different texts in {len(rows) - first.missing} training rows), as names, "
            "identifiers and sentences do; a network would learn the rows by heart. Leave these columns out: "
            f"--drop {names}; or keep them beside the predictions: --id {names} (in Python, drop, ids)"
        )
    for name, texts in cells.ids.items():
        distinct = len({texts[i] for i in chosen})
        found.append(Column(name, "identifier", True, parts=(), fill=(), distinct=distinct))
    return tuple(found)


def _answers(cells: Cells, rows: NDArray[np.int64], schema: Schema) -> Column | None:
    """The entry of the target."""
    t = schema.targets(cells)
    if t is None:
        return None
    if schema.task == "regress":
        return fit_column(schema.target, t[rows, 0].astype(np.float64), str, frozenset())
    counts = np.bincount(t[rows], minlength=len(schema.classes)).tolist()
    return Column(
        schema.target, "category", True, parts=(), fill=(),
        categories=schema.classes, counts=tuple(counts), distinct=len(schema.classes),
    )  # fmt: skip


def _place(cells: Cells, rows: Sequence[int], name: str, i: int) -> str:
    return cells.at(rows[i], name)


def _with_targets(cells: Cells, task: Task, missing: Sequence[str], drop: bool) -> Cells:
    """The table without rows that have no target, or as it is if there are none.

    Raises
    ------
    DataError
        There are such rows, and they may not be left out.
    """
    gaps = missing_texts(missing)
    if task == "classify":  # these two may well be names of classes
        gaps -= {"none", "-"} - {text.strip().lower() for text in missing}
    without = [row for row, label in enumerate(cells.t) if is_missing(label, gaps)]
    if not without:
        return cells
    if not drop:
        lines = ", ".join(str(cells.lines[row]) for row in without[:8])
        raise DataError(
            f"{cells.at(without[0])}: the value is missing ({cells.t[without[0]]!r}), as {len(without)} of "
            f"the {len(cells.t)} rows have no target ({cells.unit}s {lines}{', ...' * (len(without) > 8)}). Fill it "
            "in; or leave these rows out: --drop-missing-target (in Python, drop_missing_target=True)"
        )
    out = {*without}
    return cells.taken([row for row in range(len(cells.t)) if row not in out])


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


def _targets(cells: Cells) -> NDArray[np.float64]:
    """The targets of a regression, shape (n,)."""
    found = numbers_of(cells.t, decimal=cells.decimal)
    if found is None:  # the error names the first cell that is not a number
        found = [
            require_number(cell, cells.at(row), decimal=cells.decimal)
            for row, cell in enumerate(cells.t)
        ]
    return np.asarray(found)


def _classes(cells: Cells) -> tuple[str, ...]:
    """The names of the classes in their order."""
    first_rows: dict[str, int] = {}
    for row, label in enumerate(cells.t):
        first_rows.setdefault(label, row)
    numbers = {label: _canonical(label, cells.decimal) for label in first_rows}
    if all(numbers.values()):
        whole = sorted({int(number) for number in numbers.values() if number})
        classes = tuple(map(str, whole))
    elif all(_is_number(label, cells.decimal) for label in first_rows):
        row = next(row for label, row in first_rows.items() if not numbers[label])
        raise DataError(
            f"{cells.at(row)}: {cells.t[row]} is not a class: classes are texts or whole numbers. "
            "To predict numbers: --task regress (in Python, task='regress')"
        )
    else:
        classes = tuple(sorted(first_rows))
    if len(classes) < 2:
        raise DataError(
            f"{cells.path}, column {cells.target!r}: the only class is {classes[0]!r}, but a "
            "classification needs two or more"
        )
    return classes


def _canonical(label: str, decimal: str) -> str | None:
    """A whole number as Python formats it, so that 1, 01 and 1.0 are one class; else None."""
    if not _is_number(label, decimal):
        return None
    label = pointed(label, decimal)
    if not float(label).is_integer():
        return None
    if len(label) < 50 and label.lstrip("+-").isdecimal():
        return str(int(label))  # exact also beyond 2**53, where floats are not
    return str(int(float(label)))


def _is_number(label: str, decimal: str) -> bool:
    try:
        require_number(label, "", decimal=decimal)
    except DataError:
        return False
    return True
