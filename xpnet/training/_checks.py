"""Checks: data that cannot be learned from are refused with the first sample that is at fault.

Data are checked on the host, before the training or after its loss became NaN or infinite: to check
each batch in its step would make a GPU wait.

Where a function takes `rows`, these are the row numbers that the samples of a batch have in the data.
"""

from collections.abc import Sequence
from itertools import islice

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
    """`data` on the host, after checks that the model can learn from them.

    NaN in the inputs and labels outside the model's classes would lead to a NaN loss, or to a
    wrong one, without an error.

    Raises
    ------
    ShapeError, DataError
        The data do not fit the model; the message names the place.
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
        The message names the first sample that is at fault.
    """
    require_finite("x", x, rows)
    require_finite("t", t, rows)
    backend = current()
    first = tree.map(lambda a: place(a[:1, ...], backend), x)
    with evaluating():
        y = output(model, first)  # raises the model's own error if x does not fit
    if hasattr(y, "ndim") and hasattr(t, "ndim") and t.ndim == y.ndim - 1:
        require_classes(t, y.shape[-1], rows)


def check_batches(model: Layer, loader: Loader, epoch: int, batches: int | None = None) -> None:
    """Look for invalid data in the first batches of an epoch, or in all, after the loss became NaN.

    Raises
    ------
    DataError
        A batch has NaN, infinity or a label outside the classes. The message has its row in the
        data if the loader knows that, or its place in the batch.
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
        There are none, or x has no axis of samples.
    """
    for a in tree.leaves(x):
        if a.ndim == 0 or a.shape[0] == 0:
            raise ShapeError(f"Expected samples, x of shape (n, ...), got shape {tuple(a.shape)}.")
    return samples(x)


def require_classes(t: Array, classes: int, rows: Rows | None = None) -> None:
    """Refuse integer targets that are no class of the model's.

    Raises
    ------
    DataError
        The message has the range of the labels and the first row outside the classes.
    """
    xp = array_namespace(t)
    if not has_dtype(t, "integral"):
        return
    low = int(xp.min(t))
    high = int(xp.max(t))
    if low < 0 or high >= classes:
        entry = _first((t < 0) | (t >= classes))
        row = entry // max(t.size // t.shape[0], 1)
        sample = row if rows is None else int(rows[row])
        raise DataError(
            f"The labels go from {low} to {high}, but the model has {classes} outputs, for the "
            f"classes 0 to {classes - 1}. The first label outside these is that of sample {sample}."
        )


def require_finite(name: str, data: Arrays, rows: Rows | None = None) -> None:
    """Refuse NaN and infinity, which would make all weights NaN within a step or two.

    Raises
    ------
    DataError
        The message has the first place of such a value.
    """
    for path, x in tree.matched(data, data):
        if x.dtype.kind in "USOMm":
            raise DataError(
                f"Expected numbers in {name}{path}, got {x.dtype}: encode texts as numbers first."
            )
        xp = array_namespace(x)
        # A finite sum shows in one pass that all values are finite. An infinite one may be an
        # overflow, so then each value is looked at.
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
    """The index along each axis that belongs to a flat index."""
    index: list[int] = []
    for length in reversed(shape):
        flat, i = divmod(flat, length)
        index.insert(0, i)
    return index
