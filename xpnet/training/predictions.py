"""Predictions of a trained network for the rows of a table: classes with probabilities, or numbers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    values : ndarray, shape (n,)
        The name of each row's class, of dtype str; or its number, float64, in the units of the table.
    classes : list of str
        The names of the classes; empty for a regression.
    probabilities : ndarray, shape (n, classes)
        The probability of each class, in the order of `classes`. For a regression, shape (n, 0).
    """

    title: str
    rows: list[int] | list[str]
    ids: dict[str, list[str]]
    values: NDArray[Any]
    classes: list[str]
    probabilities: NDArray[Any]


def decoded(
    y: Array, classes: Sequence[str], units: Standardizer | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The predictions that a network's output means, and the probabilities of the classes.

    Parameters
    ----------
    y : array, shape (n, classes) or (n, numbers)
        Scores, or standardised numbers.
    classes : sequence of str
        Empty for a regression.
    units : Standardizer or None
        How the numbers of a regression were standardised.

    Returns
    -------
    values : ndarray
        Names of classes, shape (n,); or numbers in their units, shape (n, numbers).
    probabilities : ndarray, shape (n, classes)
    """
    if units is not None:
        numbers = to_numpy(y).astype(np.float64)
        return numbers * units.scale + units.mean, np.zeros((len(numbers), 0))
    probabilities = to_numpy(F.softmax(y))
    return np.asarray(classes)[probabilities.argmax(axis=1)], probabilities
