"""Order, and sets: what is there, each number once.

A sorted array is a choice of numbers, so its derivative leads each gradient back to the place
that the number came from; of equal numbers, to the one that the library picks.
"""

from typing import Any, NamedTuple

import array_api_compat as compat

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Variable, as_constant, data_of
from xpnet.functions._registry import constant, from_front, standard
from xpnet.functions.indexing import along_axis, take
from xpnet.functions.manipulation import reshape


class UniqueAll(NamedTuple):
    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    values: Any
    inverse_indices: Any


@constant
def argsort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The indices that sort x along `axis`; with `stable`, equal numbers keep their order."""


@standard
def sort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """x with the numbers along `axis` in order."""
    axis = from_front(axis, x.ndim, "sort")
    order = argsort(x, axis=axis, descending=descending, stable=stable)
    return along_axis(x, data_of(order), axis)


@constant
def isin(x1: Array, x2: Array, /, *, invert: bool = False) -> Any:
    """Whether each number of x1 is among those of x2; with `invert`, whether it is not."""


@standard
@follows
def unique_all(x: Array, /) -> UniqueAll:
    """The different numbers of x, with where each is, and how often.

    Returns
    -------
    UniqueAll
        `values`, differentiable, in the library's order; `indices`, where each value is first in
        the flattened x; `inverse_indices`, of the shape of x: values[inverse_indices] is x;
        `counts`.
    """
    inverse = _inverse_of(data_of(x))
    xp = array_namespace(inverse)
    flat = xp.reshape(inverse, (-1,))
    order = xp.argsort(flat, stable=True)
    grouped = xp.take(flat, order, axis=0)  # 0 0 0 1 2 2 ...: where does each group begin, and end?
    n = int(xp.max(flat)) + 1 if flat.shape[0] else 0
    groups = xp.arange(n, dtype=flat.dtype, device=compat.device(flat))
    begin, end = (xp.searchsorted(grouped, groups, side=side) for side in ("left", "right"))
    indices = xp.take(order, begin, axis=0)
    found = (indices, inverse, end - begin)
    values = take(reshape(x, (-1,)), indices)
    return UniqueAll(values, *(map(as_constant, found) if isinstance(x, Variable) else found))


def _inverse_of(x: Array) -> Array:
    """The `inverse_indices` of an array, of its shape: not every library reshapes them."""
    xp = array_namespace(x)
    return xp.reshape(xp.unique_inverse(x).inverse_indices, x.shape)


@standard
def unique_counts(x: Array, /) -> UniqueCounts:
    """The different numbers of x, and how often each is there."""
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


@standard
def unique_inverse(x: Array, /) -> UniqueInverse:
    """The different numbers of x, and which of them is at each place."""
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


@standard
def unique_values(x: Array, /) -> Array:
    """The different numbers of x, as an array of one dimension."""
    return unique_all(x).values
