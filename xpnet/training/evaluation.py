"""What a model says of data, in batches, nothing recorded, nothing learned."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.backend import current, on_current_device, to_numpy, using
from xpnet.errors import ArgumentError, DataError, ShapeError
from xpnet.layers import Layer
from xpnet.layers.hooks import evaluating
from xpnet.training._checks import Rows, require_classes, require_numbers, require_samples
from xpnet.training.batches import Data, Loader, loader_of, pair, placed, rows_of
from xpnet.training.meter import Meter, Metric, samples

BATCH = 1000  # samples: large enough to be fast, small enough that no layer's output is large


def predict(model: Layer, x: Array, batch_size: int = BATCH) -> Array:
    """The model's output for all of `x`.

    Parameters
    ----------
    model : Layer
    x : array of any library, or nested list; shape (n, ...), n at least 1; or a DataLoader
        It is sent to the current backend's device in one piece, floating-point numbers in the
        model's dtype. A tuple of arrays is for a model of several inputs. A loader's batches are x,
        or (x, t), in the order of its first epoch.
    batch_size : int

    Returns
    -------
    array, shape (n, ...)
        On that device. A tuple or dict of these, if the model gives that.

    Notes
    -----
    It changes nothing of the model, so that threads may share one: for this call, its layers are in
    evaluation, and in no other. While another thread trains the model, weights of two steps may
    meet in a prediction.
    """
    with at_home(model):
        return _predicted(model, x, batch_size)


@on_current_device
def _predicted(model: Layer, x: Array, batch_size: int) -> Array:
    if hasattr(x, "epoch"):
        parts = (b[0] if isinstance(b, tuple) and len(b) == 2 else b for b in x.epoch(1))
    else:
        x = on_device(x)
        parts = (part_of(x, part) for part in slices(require_samples(x), batch_size))
    batches: list[Any] = []
    for part in parts:
        with evaluating():  # not a loader's own computations
            y = output(model, part)
        batches.append(tree.map(data_of, y))
        shapes = [tuple(getattr(leaf, "shape", ())) for leaf in tree.leaves(batches[-1])]
        if len(batches) > 1 and any(shape[:1] != (samples(part),) for shape in shapes):
            raise ShapeError(
                f"{samples(part)} samples gave outputs of shapes {shapes}, which is not a row for "
                "each: such batches cannot be joined. Predict all samples in one batch_size."
            )
    if not batches:
        raise DataError("The data to be predicted have no batches.")
    return tree.map(lambda *ys: array_namespace(*ys).concat(ys, axis=0), *batches)


def evaluate(
    model: Layer,
    loss: Metric,
    data: Any,
    metrics: Sequence[Metric] = (),
    batch_size: int = BATCH,
) -> dict[str, float]:
    """The mean loss and metrics over all of `data`, by name: "loss", "accuracy", ...

    Parameters
    ----------
    data : (x, t), DataLoader, or iterable of batches (x, t)
        Arrays of any library, shapes (n, ...), n at least 1; sent to the current backend's device,
        floating-point numbers in the model's dtype.
    metrics : sequence of metrics
        As for `Trainer`.

    Raises
    ------
    ShapeError
        There are no samples, or the lengths of x and t differ.
    DataError
        A label is no class of the model's, or a number is none.
    """
    with at_home(model):
        return measured(model, loss, opened(model, data), metrics, batch_size)


def at_home(model: Layer) -> AbstractContextManager[Any]:
    """A block in which data are created in the model's dtype, where that is not the backend's.

    It is for whoever is given data by a user, in float64 as a rule. A layer converts nothing.
    """
    here = current()
    p = next(model.parameters(), None)
    if p is None or p.dtype == here.dtype or array_namespace(p.data) is not here.xp:
        return nullcontext()
    return using(here._replace(dtype=p.dtype))


def opened(model: Layer, data: Any) -> Any:
    """Data that are to be gone through often: arrays on the device, or a loader as it is."""
    return prepared(model, data) if isinstance(data, tuple) else loader_of(data)


@on_current_device
def measured(
    model: Layer, loss: Metric, data: Any, metrics: Sequence[Metric], batch_size: int = BATCH
) -> dict[str, float]:
    """`evaluate` of what `opened` gave."""
    meter = Meter(metrics)
    for x, t in _batches(data, batch_size):
        with evaluating():
            y = output(model, x)
            meter.add(loss(y, t), y, t)
    if not meter.seen:
        raise DataError("The data to be measured have no batches.")
    figures = meter.result()
    if not math.isfinite(figures["loss"]) and not isinstance(data, tuple):
        blame(model, data, 1)
    return figures


def _batches(data: Any, batch_size: int) -> Iterable[Data]:
    if not isinstance(data, tuple):
        return (pair(batch, "the data") for batch in data.epoch(1))
    return (part_of(data, part) for part in slices(samples(data[1]), batch_size))


def output(model: Layer, x: Array) -> Any:
    """The model's output: of a tuple of arrays by position, of a dict by name."""
    if isinstance(x, tuple):
        return model(*x)
    return model(**x) if isinstance(x, dict) else model(x)


def part_of(data: Any, part: slice) -> Any:
    """Those samples, of an array or of each in a tuple or dict."""
    return tree.map(lambda x: x[part, ...], data)


def on_host(x: Array) -> Any:
    """`x`, of any library, as NumPy's; a tuple or dict of arrays, each of them."""
    if isinstance(x, dict) or (isinstance(x, tuple) and all(hasattr(a, "shape") for a in x)):
        return tree.map(to_numpy, x)
    return to_numpy(x)


def on_device(x: Array) -> Array:
    """`x`, of any library, on the current backend's device; floating numbers in its dtype.

    Raises
    ------
    DataError
        It does not fit there.
    """
    there = current()
    return tree.map(lambda host: placed(host, there), on_host(x))


def prepared(model: Layer, data: Data) -> Data:
    """`data` on the device, found to fit the model before hours are spent on them."""
    there = current()
    found = tree.map(lambda host: placed(host, there), checked(model, data))
    return found[0], found[1]


def checked(model: Layer, data: Data) -> Data:
    """`data` on the host, found to fit the model.

    Numbers that are none, and class numbers outside the model's classes, would make a loss that
    is none, and no error: to look at them in every step would stop a GPU.

    Raises
    ------
    ShapeError, DataError
        They do not fit; the message says where.
    """
    x, t = pair(data, "the data")
    x, t = on_host(x), on_host(t)
    n = require_samples(x)
    for a in tree.leaves(t):
        if a.ndim == 0 or a.shape[0] != n:
            raise ShapeError(
                f"Expected a target for each of the {n} samples, got targets of shape "
                f"{tuple(a.shape)}."
            )
    inspect(model, x, t)
    return x, t


def inspect(model: Layer, x: Array, t: Array, rows: Rows | None = None) -> None:
    """Refuse samples on the host that are no numbers, and labels that are no class of the model's.

    `rows` tells what their numbers are in the data, where they are a batch of these.

    Raises
    ------
    DataError
        With the first that is at fault.
    """
    require_numbers("x", x, rows)
    require_numbers("t", t, rows)
    there = current()
    first = tree.map(lambda a: placed(a[:1, ...], there), x)
    with evaluating():
        y = output(model, first)  # the model's own error, if x does not fit
    if hasattr(y, "ndim") and hasattr(t, "ndim") and t.ndim == y.ndim - 1:
        require_classes(t, y.shape[-1], rows)


def blame(model: Layer, loader: Loader, epoch: int, batches: int | None = None) -> None:
    """Look through batches whose loss is no number for one that made it so.

    Afterwards, for to look at each batch in its step would stop a GPU.

    Raises
    ------
    DataError
        One has NaN or infinity, or a label that is no class: with its row in the data, if the
        loader knows that, or its place in the batch.
    """
    for number, batch in enumerate(islice(loader.epoch(epoch), batches)):
        rows = rows_of(loader, epoch, number)
        where = f"batch {number} of epoch {epoch}"
        x, t = pair(batch, where)
        try:
            inspect(model, on_host(x), on_host(t), rows)
        except DataError as error:
            raise DataError(f"{error}" if rows is not None else f"In {where}: {error}") from None


def slices(n: int, batch_size: int) -> Iterator[slice]:
    """Of n samples, each batch; the last may be short."""
    if batch_size < 1:
        raise ArgumentError(f"Expected batch_size >= 1, got {batch_size}.")
    # The standard has no slices that end outside an array.
    return (slice(i, min(i + batch_size, n)) for i in range(0, n, batch_size))
