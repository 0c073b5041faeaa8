"""Evaluation: a model's outputs, loss and metrics in batches, without recording a graph."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from xpnet.autodiff import tree
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.backend import current, on_current_device, using
from xpnet.data._placement import place
from xpnet.distributed import Communicator
from xpnet.errors import DataError, ShapeError
from xpnet.layers import Layer
from xpnet.layers.hooks import evaluating
from xpnet.training._checks import check_batches, checked, require_samples
from xpnet.training.batches import (
    Arrays,
    Data,
    Loader,
    loader_of,
    on_device,
    output,
    pair,
    part_of,
    samples,
    slices,
)
from xpnet.training.learner import Loss
from xpnet.training.meter import Meter, Metric

if TYPE_CHECKING:
    from xpnet.training._compiled import CompiledMeasure

BATCH = 1000  # samples: large enough to be fast, small enough that no layer's output is large


def predict(model: Layer, x: Arrays | Loader, batch_size: int = BATCH) -> Arrays:
    """The model's output for all of `x`.

    Parameters
    ----------
    model : Layer
    x : array of any library, or nested list; shape (n, ...), n at least 1; or a DataLoader
        It is sent to the current backend's device in one piece, floating-point numbers in the
        model's dtype. For a model of several inputs, x is a tuple of arrays. A loader's batches are
        x or (x, t), in the order of its first epoch.
    batch_size : int

    Returns
    -------
    array, shape (n, ...)
        On that device. If the model returns a tuple or dict, a tuple or dict of such arrays.

    Raises
    ------
    ShapeError
        x has no samples; or the outputs of several batches cannot be joined, because they do not
        have a row for each sample.
    DataError
        x does not fit on the device, or a loader has no batches.

    Notes
    -----
    The model is not changed, so several threads may share one: its layers are in evaluation mode
    in this call only. If another thread trains the model at the same time, a prediction may use
    weights of two different steps.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.training import predict
    >>> predict(xpnet.Affine(3, 2, rng=0), F.ones((5, 3))).shape
    (5, 2)
    """
    with in_dtype_of(model):
        return _predict(model, x, batch_size)


@on_current_device
def _predict(model: Layer, x: Arrays | Loader, batch_size: int) -> Arrays:
    outputs: list[Any] = []
    for batch in _inputs(x, batch_size):
        with evaluating():  # not around the loop: a loader's own computations are not part of it
            y = output(model, batch)
        outputs.append(tree.map(data_of, y))
        shapes = [tuple(getattr(leaf, "shape", ())) for leaf in tree.leaves(outputs[-1])]
        # An output of any shape is returned as it is if there is only one.
        if len(outputs) > 1 and any(shape[:1] != (samples(batch),) for shape in shapes):
            raise ShapeError(
                f"Expected outputs with a row for each of {samples(batch)} samples, got shapes "
                f"{shapes}: such batches cannot be joined. Predict all samples in one batch: set "
                "batch_size to their number."
            )
    if not outputs:
        raise DataError("Expected data to predict, got a loader without batches.")
    return tree.map(lambda *ys: array_namespace(*ys).concat(ys, axis=0), *outputs)


def _inputs(x: Arrays | Loader, batch_size: int) -> Iterator[Arrays]:
    """The inputs in batches: those of a loader, or slices of arrays."""
    if not hasattr(x, "epoch"):
        x = on_device(x)
        for part in slices(require_samples(x), batch_size):
            yield part_of(x, part)
        return
    for batch in x.epoch(1):
        if isinstance(batch, tuple) and len(batch) == 2:
            batch = batch[0]  # (x, t)
        yield batch


def evaluate(
    model: Layer,
    loss: Loss,
    data: Any,
    metrics: Sequence[Metric] = (),
    batch_size: int = BATCH,
) -> dict[str, float]:
    """The mean loss and metrics over all of `data`, by name: "loss", "accuracy", ...

    Parameters
    ----------
    model : Layer
    loss : function `(y, t) -> mean over the batch`
    data : (x, t), DataLoader, or iterable of batches (x, t)
        Arrays of any library, shapes (n, ...), n at least 1; sent to the current backend's device,
        floating-point numbers in the model's dtype.
    metrics : sequence of metrics
        As for `Trainer`.
    batch_size : int
        For arrays; a loader or iterable has its own batches.

    Returns
    -------
    dict of str to float

    Raises
    ------
    ShapeError
        There are no samples, or the lengths of x and t differ.
    DataError
        A value is NaN or infinite, or a label is outside the model's classes.

    Examples
    --------
    A model whose scores are its input:

    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.metrics import accuracy
    >>> from xpnet.training import evaluate
    >>> x = F.asarray([[2.0, 0.0], [0.0, 2.0]])
    >>> evaluate(xpnet.Sequential(), F.softmax_cross_entropy, (x, F.asarray([0, 0])), [accuracy])
    {'loss': 1.1269, 'accuracy': 0.5}
    """
    with in_dtype_of(model):
        return measure(model, loss, prepared(model, data), metrics, batch_size)


def in_dtype_of(model: Layer) -> AbstractContextManager[Any]:
    """A block in which data are created in the model's dtype instead of the backend's.

    Users' data are often float64, and a layer refuses inputs whose dtype differs from its own. For a
    model without parameters, or of another library than the backend, the block changes nothing.
    """
    backend = current()
    p = next(model.parameters(), None)
    if p is None or p.dtype == backend.dtype or array_namespace(p.data) is not backend.xp:
        return nullcontext()
    return using(backend._replace(dtype=p.dtype))


def prepared(model: Layer, data: Any) -> Data | Loader:
    """Data that `measure` can use any number of times: checked arrays on the device, or a loader."""
    if isinstance(data, tuple):
        return checked_on_device(model, data)
    return loader_of(data)


def checked_on_device(model: Layer, data: Data) -> Data:
    """Arrays x and t on the current backend's device, after the checks of `checked`."""
    backend = current()
    x, t = tree.map(lambda host: place(host, backend), checked(model, data))
    return x, t


@on_current_device
def measure(
    model: Layer,
    loss: Loss,
    data: Data | Loader,
    metrics: Sequence[Metric],
    batch_size: int = BATCH,
    compiled: "CompiledMeasure | None" = None,
    communicator: Communicator | None = None,
) -> dict[str, float]:
    """The mean loss and metrics, as `evaluate` returns them, for data that `prepared` returned.

    With `compiled`, which has the same model, loss and metrics, batches are computed by it. With a
    `communicator`, the data are this rank's share, and the figures are those of all ranks together.
    """
    meter = Meter(metrics)
    has_shares = communicator is not None and communicator.size > 1
    for x, t in _pairs(data, batch_size):
        if has_shares and not samples(t):  # a batch of fewer samples than ranks
            continue
        with evaluating():
            if compiled is None:
                y = output(model, x)
                meter.add(loss(y, t), y, t)
            else:
                compiled.add_to(meter, x, t)
    if communicator is not None:
        meter = meter.of_all_ranks(communicator)
    if not meter.seen:
        raise DataError("Expected data to evaluate, got a loader without batches.")
    figures = meter.result()
    if not math.isfinite(figures["loss"]) and not isinstance(data, tuple):
        check_batches(model, data, 1)
    return figures


def _pairs(data: Data | Loader, batch_size: int) -> Iterable[Data]:
    """The data in batches (x, t): slices of arrays, or the first epoch of a loader."""
    if isinstance(data, tuple):
        return (part_of(data, part) for part in slices(samples(data[1]), batch_size))
    return (pair(batch, "the data") for batch in data.epoch(1))
