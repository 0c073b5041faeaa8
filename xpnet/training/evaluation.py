"""What a model says of data, in batches, nothing recorded, nothing learned."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from xpnet.autodiff import data_of
from xpnet.backend import Array, current, to_numpy
from xpnet.errors import DataError, ShapeError
from xpnet.layers import Layer
from xpnet.namespace import array_namespace
from xpnet.tape import no_grad
from xpnet.training.meter import Meter, Metric

Data = tuple[Any, Any]  # x and t: samples and their targets

BATCH = 1000  # samples: large enough to be fast, small enough that no layer's output is large


def predict(model: Layer, x: Any, batch_size: int = BATCH) -> Array:
    """The model's output for all of `x`.

    Parameters
    ----------
    model : Layer
    x : array of any library, or nested list; shape (n, ...), n at least 1
        It is sent to the current backend's device in one piece.
    batch_size : int

    Returns
    -------
    array, shape (n, ...)
        On that device.
    """
    x = on_device(x)
    require_samples(x)
    with evaluating(model):
        batches = [data_of(model(x[part, ...])) for part in slices(x.shape[0], batch_size)]
    return array_namespace(*batches).concat(batches, axis=0)


def evaluate(
    model: Layer,
    loss: Metric,
    data: Data,
    metrics: Sequence[Metric] = (),
    batch_size: int = BATCH,
) -> dict[str, float]:
    """The mean loss and metrics over all of `data`, by name: "loss", "accuracy", ...

    Parameters
    ----------
    data : (x, t)
        Of any library, shapes (n, ...), n at least 1; sent to the current backend's device.
    metrics : sequence of functions `(y, t) -> mean over the batch`

    Raises
    ------
    ShapeError
        There are no samples, or the lengths of x and t differ.
    DataError
        A label is no class of the model's.
    """
    return measured(model, loss, prepared(model, data), metrics, batch_size)


def measured(
    model: Layer, loss: Metric, data: Data, metrics: Sequence[Metric], batch_size: int = BATCH
) -> dict[str, float]:
    """`evaluate` of arrays that are on the device, and known to fit."""
    (x, t), meter = data, Meter(metrics)
    with evaluating(model):
        for part in slices(x.shape[0], batch_size):
            y, tb = model(x[part, ...]), t[part, ...]
            meter.add(loss(y, tb), y, tb)
    return meter.read()


def on_device(x: Any) -> Array:
    """`x`, of any library, on the current backend's device; floating numbers in its dtype.

    Raises
    ------
    DataError
        It does not fit there.
    """
    host, backend = to_numpy(x), current()
    try:
        return backend.asarray(host, dtype=backend.dtype if host.dtype.kind == "f" else None)
    except (MemoryError, RuntimeError) as error:  # each library has an error of its own under these
        raise DataError(
            f"{host.nbytes / 1e6:,.0f} MB of data could not be placed on {backend.name}: {error}. "
            "They stay there for the whole run. Take fewer samples, or a device with more memory."
        ) from error


def prepared(model: Layer, data: Data) -> Data:
    """`data` on the device, found to fit the model before hours are spent on them.

    Class numbers outside the model's classes would make an infinite loss, and no error: to look
    at them in every step would stop a GPU.
    """
    x, t = on_device(data[0]), on_device(data[1])
    require_samples(x)
    if t.ndim == 0 or x.shape[0] != t.shape[0]:
        raise ShapeError(
            f"Expected a target for each of the {x.shape[0]} samples, got targets of shape "
            f"{tuple(t.shape)}."
        )
    xp = array_namespace(t)
    with evaluating(model):
        y = model(x[:1, ...])  # the model's own error, if x does not fit
    if t.ndim == y.ndim - 1 and xp.isdtype(t.dtype, "integral"):
        low, high, classes = int(xp.min(t)), int(xp.max(t)), y.shape[-1]
        if low < 0 or high >= classes:
            raise DataError(
                f"The labels go from {low} to {high}, but the model has {classes} outputs, for "
                f"the classes 0 to {classes - 1}."
            )
    return x, t


def require_samples(x: Array) -> None:
    """Refuse what is no batch of samples, or an empty one."""
    if x.ndim == 0 or x.shape[0] == 0:
        raise ShapeError(f"Expected samples, x of shape (n, ...), got shape {tuple(x.shape)}.")


def slices(n: int, batch_size: int) -> Iterator[slice]:
    """Of n samples, each batch; the last may be short."""
    if batch_size < 1:
        raise ValueError(f"Expected batch_size >= 1, got {batch_size}.")
    # The standard has no slices that end outside an array.
    return (slice(i, min(i + batch_size, n)) for i in range(0, n, batch_size))


@contextmanager
def evaluating(model: Layer) -> Iterator[None]:
    """A block in which nothing is recorded and dropout and the like are off."""
    was = [(layer, layer.training) for layer in model.sublayers()]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for layer, training in was:  # one may have been frozen in evaluation
            layer.training = training
