"""Predictions of a trained network for the rows of a table: classes with probabilities, or numbers."""

from collections.abc import Sequence
from typing import NamedTuple

from xpnet import functions as F
from xpnet._typing import Array
from xpnet.backend import to_numpy
from xpnet.data import Standardizer


class Predictions(NamedTuple):
    """What a trained network predicts for the rows of a table, in their order.

    `xpnet.training.TrainedModel.predict` returns it.

    Attributes
    ----------
    title : str
        What the rows are named by: "line" of a text file, counted from 1; "row" of a data frame or a Parquet
        file, counted from 0, or of a spreadsheet, as it counts them; or the name of the index column.
    rows : list of int, or of str if there is an index column
        The name of each row.
    ids : dict of str to list of str
        The columns that identify the rows (``--id``).
    values : list of str or of float
        The name of each row's class, a string also where the table has numbers, such as "1"; or for a
        regression the number, in the units of the table.
    classes : list of str
        The names of the classes; empty for a regression.
    probabilities : numpy.ndarray, shape (n, classes), or None
        The probability of each class, in the order of `classes`. None for a regression.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet.training import Predictions
    >>> p = np.asarray([[0.1, 0.9], [0.7, 0.3]])
    >>> found = Predictions("line", [2, 3], {"name": ["Ann", "Bob"]}, ["low", "high"], ["high", "low"], p)
    >>> dict(zip(found.ids["name"], found.values))
    {'Ann': 'low', 'Bob': 'high'}
    """

    title: str
    rows: list[int] | list[str]
    ids: dict[str, list[str]]
    values: list[str] | list[float]
    classes: list[str]
    probabilities: Array | None


def classified(y: Array, classes: Sequence[str]) -> tuple[list[str], Array]:
    """The names of the most probable classes, and the probabilities of all, for scores of shape (n, classes)."""
    probabilities = to_numpy(F.softmax(y))
    return [classes[i] for i in probabilities.argmax(axis=1).tolist()], probabilities


def in_units(y: Array, units: Standardizer) -> list[list[float]]:
    """Standardised numbers of shape (n, numbers) in their units."""
    numbers: list[list[float]] = (to_numpy(y) * units.scale + units.mean).tolist()
    return numbers
