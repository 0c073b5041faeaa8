"""Batches: whatever a training is given, as epochs of pairs (x, t) on the device."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

import array_api_compat as compat

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.namespace import array_namespace
from xpnet.backend import Backend, current, to_numpy
from xpnet.errors import ArgumentTypeError, DataError

Data = tuple[Any, Any]  # x and t: samples and their targets


class Loader(Protocol):
    """What a training asks of its data: `xpnet.data.DataLoader` is one."""

    samples: int | None
    seed: int

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches of an epoch, from 1, but for the first `start` of them."""
        ...


class Batches:
    """Any iterable of batches (x, t), as a loader: each epoch goes through it anew.

    Parameters
    ----------
    source : iterable
        It gives pairs of arrays, of any library. Where a batch is on the device it is taken as it
        is. To go on within an epoch, the batches before are made and passed over; so a training
        is repeated exactly only if the iterable gives the same batches each time.

    Raises
    ------
    TypeError
        It can be gone through only once, as a generator, or not at all; or it is an array.
    """

    samples: int | None = None
    seed: int = 0  # its order is its own

    def __init__(self, source: Iterable[Any]) -> None:
        refused = hasattr(source, "__next__") or hasattr(source, "shape")
        if refused or not hasattr(source, "__iter__"):
            raise ArgumentTypeError(
                f"Expected (x, t), a DataLoader, or an iterable of batches for each epoch anew, got "
                f"a {type(source).__name__}. Samples and targets are one argument, (x, t). Of a "
                "generator function, give DataLoader(function)."
            )
        self.source = source

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches of an epoch, from number `start` on, on the current backend's device."""
        there = current()
        for number, batch in enumerate(islice(self.source, start, None), start):
            x, t = pair(batch, f"batch {number} of epoch {epoch}")
            yield tree.map(lambda a: near(a, there), x), tree.map(lambda a: near(a, there), t)


def loader_of(data: Any) -> Loader:
    """`data` itself, if it is a loader; else the batches that it gives."""
    return data if hasattr(data, "epoch") and hasattr(data, "seed") else Batches(data)


def rows_of(loader: Loader, epoch: int, batch: int) -> Any:
    """The numbers that a batch's samples have in the data; None if the loader does not know."""
    return loader.rows(epoch, batch) if hasattr(loader, "rows") else None


def pair(batch: Any, where: str) -> Data:
    """A batch as x and t.

    Raises
    ------
    DataError
        It is no such pair; the message says where.
    """
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        given = f"{len(batch)} of them" if isinstance(batch, (tuple, list)) else "one thing"
        raise DataError(
            f"Expected a pair (x, t) in {where}, got {given}. Arrays are a tuple (x, t); to a model "
            "that learns its own input give that twice: (x, x)."
        )
    return batch[0], batch[1]


@follows
def near(x: Array, there: Backend) -> Array:
    """`x` on the device of `there`, floats in its dtype; itself, if it is so already."""
    if compat.is_array_api_obj(x):
        own = array_namespace(x)
        if own is there.xp and compat.device(x) == there.device:
            floating = own.isdtype(x.dtype, "real floating")
            return own.astype(x, there.dtype) if floating and x.dtype != there.dtype else x
    return placed(to_numpy(x), there)


def placed(host: Array, there: Backend) -> Array:
    """An array of the host's on the device of `there`, floats in its dtype.

    Raises
    ------
    DataError
        It does not fit there.
    """
    try:
        return there.asarray(host, dtype=there.dtype if host.dtype.kind == "f" else None)
    except (MemoryError, RuntimeError) as error:  # each library has an error of its own under these
        raise DataError(
            f"{host.nbytes / 1e6:,.0f} MB of data could not be placed on {there.name}: {error}. "
            "They stay there for the whole run. Take fewer samples, a DataLoader, which sends them "
            "batch by batch, or a device with more memory."
        ) from error
