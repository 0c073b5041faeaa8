"""Batches: the data that a training accepts, as epochs of pairs (x, t) on the device."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Protocol

import array_api_compat as compat

from xpnet._libraries.devices import follows
from xpnet._printable import counted
from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.namespace import array_namespace
from xpnet.backend import Backend, current, to_numpy
from xpnet.data._placement import place
from xpnet.distributed import Communicator, share_of
from xpnet.distributed.agreement import digest
from xpnet.errors import ArgumentError, ArgumentTypeError, DataError, StateError
from xpnet.layers import Layer

Arrays = Any  # an array of samples, or a tuple or dict of arrays with one sample per row
Data = tuple[Arrays, Arrays]  # x and t: samples and their targets


class Loader(Protocol):
    """The attributes that a training needs of its data; `xpnet.data.DataLoader` has them."""

    samples: int | None  # per epoch; None if the number is unknown
    seed: int  # of the order of the samples

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches of an epoch, counted from 1, without the first `start` of them."""
        ...


class Batches:
    """Any iterable of batches (x, t) as a loader: each epoch iterates over it again.

    Parameters
    ----------
    source : iterable
        Its items are pairs of arrays of any library. A batch that is on the device already is not
        copied. To resume within an epoch, the batches before that place are computed and skipped,
        so a training is repeated exactly only if the iterable returns the same batches each time.

    Raises
    ------
    TypeError
        `source` is not iterable, or is an array, or is an iterator, which can be used only once.
    """

    samples: int | None = None
    seed: int = 0  # not used: the order is the iterable's

    def __init__(self, source: Iterable[Any]) -> None:
        used_once = hasattr(source, "__next__")
        is_array = hasattr(source, "shape")
        if used_once or is_array or not hasattr(source, "__iter__"):
            raise ArgumentTypeError(
                "Expected (x, t), a DataLoader, or an iterable of batches that can be iterated over "
                f"once per epoch, got a {type(source).__name__}. Pass samples and targets as one "
                "argument, (x, t), and a generator function as DataLoader(function)."
            )
        self.source = source

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches of an epoch, from number `start`, on the current backend's device."""
        backend = current()
        for number, batch in enumerate(islice(self.source, start, None), start):
            x, t = pair(batch, f"batch {number} of epoch {epoch}")
            yield (
                tree.map(lambda a: _moved(a, backend), x),
                tree.map(lambda a: _moved(a, backend), t),
            )


def loader_of(data: Any) -> Loader:
    """`data` itself if it is a loader, else a loader of the batches that it consists of."""
    if hasattr(data, "epoch") and hasattr(data, "seed"):
        loader: Loader = data
        return loader
    return Batches(data)


class Share:
    """A loader that has one rank's part of each batch of another loader, which every rank computes.

    A loader that can compute the part alone has a method `share`, as `DataLoader` has.

    Parameters
    ----------
    loader : Loader
    rank, ranks : int
        The number of the part, and of all parts.
    """

    def __init__(self, loader: Loader, rank: int, ranks: int) -> None:
        self._loader = loader
        self._rank = rank
        self._ranks = ranks
        self.samples = loader.samples
        self.batch_size = getattr(loader, "batch_size", None)

    @property
    def seed(self) -> int:
        """The seed of the order of the samples."""
        return self._loader.seed

    @seed.setter
    def seed(self, seed: int) -> None:
        self._loader.seed = seed

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The parts of the batches of an epoch, from number `start`."""
        for number, batch in enumerate(self._loader.epoch(epoch, start), start):
            yield share_of_data(
                pair(batch, f"batch {number} of epoch {epoch}"), self._rank, self._ranks
            )


def shared(data: Data | Loader, communicator: Communicator) -> Data | Loader:
    """The part of data that the rank of a communicator has: of arrays, or of each batch of a loader."""
    if communicator.size == 1:
        return data
    if isinstance(data, tuple):
        return share_of_data(data, communicator.rank, communicator.size)
    return shared_loader(data, communicator)


def shared_loader(loader: Loader, communicator: Communicator) -> Loader:
    """`shared` of a loader."""
    if communicator.size == 1:
        return loader
    kind = getattr(loader, "share", partial(Share, loader))
    share: Loader = kind(communicator.rank, communicator.size)
    return share


def share_of_data(data: Data, rank: int, ranks: int) -> Data:
    """A rank's part of the samples x and of their targets t."""
    part = share_of(samples(data[1]), rank, ranks)
    return part_of(data[0], part), part_of(data[1], part)


COMPARED = 1000  # rows, by which ranks recognize that they have the same arrays


def require_same_data(communicator: Communicator, name: str, data: Data | Loader) -> None:
    """Raise an error on all ranks unless they have the same data, as far as their outline shows it.

    Parameters
    ----------
    communicator : Communicator
    name : str
        "train" or "test", for the message.
    data : (x, t) or Loader
        The whole, not this rank's share. Of arrays, about `COMPARED` rows are compared.

    Raises
    ------
    DataError
        A rank has other data than rank 0.
    """
    everyone = communicator.allgather(_outline(data))
    first = everyone[0]
    for rank, own in enumerate(everyone):
        if own == first:
            continue
        found = {key: own.get(key) for key in own if own.get(key) != first.get(key)}
        expected = {key: first.get(key) for key in found}
        raise DataError(
            f"Expected the same {name} data on all ranks, got {found} on rank {rank} and {expected} on "
            "rank 0. Give each rank the whole data: it takes its share of each batch by itself."
        )


def _outline(data: Data | Loader) -> dict[str, Any]:
    """What shows whether two ranks have the same data."""
    if isinstance(data, tuple):
        return {"samples": samples(data[1]), "digest": _digest_of_some(data)}
    outline = {name: x for name, x in loader_state(data).items() if name != "seed"}
    resident = getattr(data, "resident_data", None)
    if resident is not None:
        outline["digest"] = _digest_of_some(resident)
    return outline


def _digest_of_some(data: Arrays) -> list[int]:
    """The digests of about `COMPARED` rows of each array, evenly spaced."""
    step = max(samples(data) // COMPARED, 1)
    return [digest(x[::step, ...]) for x in tree.leaves(data)]


def rows_of(loader: Loader, epoch: int, batch: int) -> Sequence[int] | None:
    """The row numbers of a batch's samples in the data; None if the loader does not know them."""
    if not hasattr(loader, "rows"):
        return None
    rows: Sequence[int] | None = loader.rows(epoch, batch)
    return rows


def pair(batch: Any, where: str) -> Data:
    """A batch as x and t.

    Raises
    ------
    DataError
        It is not a pair; `where` is part of the message.
    """
    is_sequence = isinstance(batch, (tuple, list))
    if is_sequence and len(batch) == 2:
        return batch[0], batch[1]
    given = f"{len(batch)} entries" if is_sequence else f"a {type(batch).__name__}"
    raise DataError(
        f"Expected a pair (x, t) in {where}, got {given}. Pass arrays as a tuple (x, t); for a model "
        "that reproduces its input, pass the samples twice: (x, x)."
    )


# --- samples --------------------------------------------------------------------------------------


def samples(batch: Arrays) -> int:
    """The number of samples in a batch: an array, or a tuple or dict of arrays."""
    if hasattr(batch, "shape"):
        return int(batch.shape[0])
    return int(tree.leaves(batch)[0].shape[0])


def slices(n: int, batch_size: int) -> Iterator[slice]:
    """The slices that divide n samples into batches; the last batch may be smaller."""
    if batch_size < 1:
        raise ArgumentError(f"Expected batch_size >= 1, got {batch_size}.")
    # min, because the array API standard does not define slices that end outside an array.
    return (slice(i, min(i + batch_size, n)) for i in range(0, n, batch_size))


def part_of(data: Arrays, part: slice) -> Arrays:
    """The samples of a slice, of an array or of each array in a tuple or dict."""
    return tree.map(lambda x: x[part, ...], data)


def output(model: Layer, x: Arrays) -> Any:
    """The model's output: a tuple of arrays is passed by position, a dict by name."""
    if isinstance(x, tuple):
        return model(*x)
    if isinstance(x, dict):
        return model(**x)
    return model(x)


# --- host and device ------------------------------------------------------------------------------


def on_host(x: Any) -> Arrays:
    """`x`, of any library or a nested list, as NumPy's array; likewise a tuple or dict of arrays."""
    if isinstance(x, dict) or (isinstance(x, tuple) and all(hasattr(a, "shape") for a in x)):
        return tree.map(to_numpy, x)
    return to_numpy(x)


def on_device(x: Any) -> Arrays:
    """`x`, as `on_host` accepts it, on the current backend's device.

    Floating-point numbers are converted to the backend's dtype.

    Raises
    ------
    DataError
        It does not fit on the device.
    """
    backend = current()
    return tree.map(lambda host: place(host, backend), on_host(x))


@follows
def _moved(x: Array, backend: Backend) -> Array:
    """`x` on the device and in the floating-point dtype of `backend`; `x` itself if it is there."""
    if compat.is_array_api_obj(x):
        xp = array_namespace(x)
        if xp is backend.xp and compat.device(x) == backend.device:
            if xp.isdtype(x.dtype, "real floating") and x.dtype != backend.dtype:
                return xp.astype(x, backend.dtype)
            return x
    return place(to_numpy(x), backend)


# --- the state of a loader ------------------------------------------------------------------------


def loader_state(loader: Loader) -> dict[str, Any]:
    """What decides which batches an epoch has: the seed of their order, and their sizes."""
    return {
        "seed": loader.seed,
        "samples": loader.samples,
        "batch_size": getattr(loader, "batch_size", None),
        "layout": getattr(loader, "layout", None),
    }


def load_loader_state(loader: Loader, state: dict[str, Any], batch: int) -> None:
    """Set a loader's seed to the saved one, so that its batches have the saved order.

    Parameters
    ----------
    loader : Loader
    state : dict
        What `loader_state` returned.
    batch : int
        The number of batches of the current epoch that were learned from; if it is above 0, the
        loader must have as many samples, the same batch size and, if it reads blocks, the same blocks
        and buffer as the saved one.

    Raises
    ------
    StateError
        The state is invalid, or it was saved within an epoch of other batches.
    """
    own = loader_state(loader)
    seed = state["seed"]
    if type(seed) is not int or seed < 0:
        raise StateError(f"Expected the seed of the batches to be an integer >= 0, got {seed!r}.")
    if batch:
        for name in ("samples", "batch_size", "layout"):
            if own[name] != state[name]:
                raise StateError(
                    f"It was written within an epoch of {name}={state[name]}; now it is {own[name]}."
                )
        n = own["samples"]
        size = own["batch_size"]
        if n and size and (batch - 1) * size >= n:
            raise StateError(
                f"It was written after batch {batch} of an epoch of {counted(n, 'sample')}."
            )
    loader.seed = seed
