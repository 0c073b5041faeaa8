"""Checks: refuse data that cannot be learned from, and name the first invalid sample.

Data are checked on the host, before the training or after its loss became NaN or infinite: a check of
each batch in its step would make a GPU wait.

The parameter `rows` of these functions has, for each sample of a batch, its row number in the data.
"""

from collections.abc import Sequence
from itertools import islice

from xpnet._printable import counted
from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.backend import current
from xpnet.data._placement import place
from xpnet.errors import DataError, ShapeError
from xpnet.layers import Layer
from xpnet.layers.hooks import evaluating
from xpnet.training.batches import Arrays, Data, Loader, on_host, output, pair, rows_of, samples

Rows = Sequence[int]


def checked(model: Layer, data: Data) -> Data:
    """`data` on the host, after a check that the model can learn from them.

    Without the check, NaN in the inputs and labels outside the model's classes would lead to a loss
    that is NaN or wrong, without an error.

    Raises
    ------
    ShapeError, DataError
        The data do not fit the model, or have an invalid value, whose place the message names.
    """
    x, t = pair(data, "the data")
    x = on_host(x)
    t = on_host(t)
    n = require_samples(x)
    for a in tree.leaves(t):
        if a.ndim == 0 or a.shape[0] != n:
            raise ShapeError(
                f"Expected a target for each of the {n} samples, got targets of shape "
                f"{tuple(a.shape)}."
            )
    check_batch(model, x, t)
    return x, t


def check_batch(model: Layer, x: Arrays, t: Arrays, rows: Rows | None = None) -> None:
    """Refuse samples on the host that are NaN or infinite, and labels outside the model's classes.

    Raises
    ------
    DataError
        The message names the first invalid sample.
    """
    require_finite("x", x, rows)
    require_finite("t", t, rows)
    backend = current()
    first = tree.map(lambda a: place(a[:1, ...], backend), x)
    with evaluating():
        y = output(model, first)  # raises the model's own error if x does not fit
    # A target with one axis less than the output is a label: the index of a class on the last axis.
    if hasattr(y, "ndim") and hasattr(t, "ndim") and t.ndim == y.ndim - 1:
        require_classes(t, y.shape[-1], rows)


def check_batches(model: Layer, loader: Loader, epoch: int, batches: int | None = None) -> None:
    """Check the first batches of an epoch, or all of them, after the loss became NaN or infinite.

    Parameters
    ----------
    model : Layer
    loader : Loader
    epoch : int
        Counted from 1.
    batches : int, optional
        The number of batches to check; by default all.

    Raises
    ------
    DataError
        A batch has NaN, infinity or a label outside the classes. The message names the row in the
        data if the loader knows it, else the batch and the place in it.
    """
    for number, batch in enumerate(islice(loader.epoch(epoch), batches)):
        rows = rows_of(loader, epoch, number)
        where = f"batch {number} of epoch {epoch}"
        x, t = pair(batch, where)
        try:
            check_batch(model, on_host(x), on_host(t), rows)
        except DataError as error:
            if rows is None:
                raise DataError(f"In {where}: {error}") from None
            raise


def require_samples(x: Arrays) -> int:
    """The number of samples in x.

    Raises
    ------
    ShapeError
        x has 0 samples, or no axis of samples.
    """
    for a in tree.leaves(x):
        if a.ndim == 0 or a.shape[0] == 0:
            raise ShapeError(f"Expected samples, x of shape (n, ...), got shape {tuple(a.shape)}.")
    return samples(x)


def require_classes(t: Array, classes: int, rows: Rows | None = None) -> None:
    """Refuse integer targets outside the model's classes.

    Parameters
    ----------
    t : array, shape (n, ...)
        Targets of another dtype are not checked.
    classes : int
        Their number; valid labels go from 0 to classes - 1.
    rows : sequence of int, optional

    Raises
    ------
    DataError
        The message has the range of the labels and the first sample outside the classes.
    """
    xp = array_namespace(t)
    if not has_dtype(t, "integral"):
        return
    low = int(xp.min(t))
    high = int(xp.max(t))
    if low < 0 or high >= classes:
        entry = _first((t < 0) | (t >= classes))
        labels_per_sample = t.size // t.shape[0]
        row = entry // max(labels_per_sample, 1)
        sample = row if rows is None else int(rows[row])
        raise DataError(
            f"The labels go from {low} to {high}, but the model has {counted(classes, 'output')}, for the "
            f"classes 0 to {classes - 1}. The first label outside these is that of sample {sample}."
        )


def require_finite(name: str, data: Arrays, rows: Rows | None = None) -> None:
    """Refuse NaN and infinity, which would make all weights NaN within a step or two.

    Raises
    ------
    DataError
        The message has the place of the first such value.
    """
    for path, x in tree.matched(data, data):  # each array, and its path in the tuple or dict
        if x.dtype.kind in "USOMm":
            raise DataError(
                f"Expected numbers in {name}{path}, got {x.dtype}: encode the values as numbers first."
            )
        xp = array_namespace(x)
        # If the sum is finite, so are all values: one pass shows it. If it is not, it may only have
        # overflowed, so each value is checked.
        if not has_dtype(x, "real floating") or bool(xp.isfinite(xp.sum(x))):
            continue
        invalid = ~xp.isfinite(x)
        if not bool(xp.any(invalid)):
            continue
        index = _unraveled(_first(invalid), x.shape)
        value = float(x[tuple(index)])
        if rows is not None:
            index[0] = int(rows[index[0]])
        others = int(xp.sum(xp.astype(invalid, xp.int64))) - 1
        more = f", and {others} more" if others else ""
        raise DataError(
            f"Expected numbers in {name}{path}, got {value} at {index}, of sample {index[0]}{more}. "
            "Leave such samples out, or fill them with the column's mean."
        )


def _first(mask: Array) -> int:
    """The flat index of the first True."""
    xp = array_namespace(mask)
    return int(xp.argmax(xp.astype(xp.reshape(mask, (-1,)), xp.int32)))


def _unraveled(flat: int, shape: tuple[int, ...]) -> list[int]:
    """The indices along the axes of an array of this shape that belong to a flat index."""
    index: list[int] = []
    for length in reversed(shape):
        flat, i = divmod(flat, length)
        index.insert(0, i)
    return index
