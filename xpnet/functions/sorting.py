"""Sorting, and sets: the different numbers of an array.

Sorting picks every number of x once, so its derivative sends each gradient back to the place that
the number came from. Among equal numbers the library decides which place that is.
"""

from typing import NamedTuple

import array_api_compat as compat

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Variable, as_constant, data_of
from xpnet.functions._registry import constant, from_front, standard
from xpnet.functions.indexing import along_axis, take
from xpnet.functions.manipulation import reshape


class UniqueAll(NamedTuple):
    """The result of `unique_all`."""

    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


class UniqueCounts(NamedTuple):
    """The result of `unique_counts`."""

    values: Array
    counts: Array


class UniqueInverse(NamedTuple):
    """The result of `unique_inverse`."""

    values: Array
    inverse_indices: Array


@constant
def argsort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """The indices that sort x along `axis`; with `stable`, equal numbers keep their order.

    Parameters
    ----------
    x : array or Variable, any shape
        Of real numbers.
    axis : int, default -1
    descending : bool, default False
    stable : bool, default True
        Equal numbers keep their order.

    Returns
    -------
    array or Variable of integers, shape of x

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.argsort(F.asarray([3.0, 1.0, 2.0]))
    Variable(array([1, 2, 0]))
    """


@standard
def sort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """x with the numbers along `axis` in order.

    Parameters
    ----------
    x : array or Variable, any shape
        Of real numbers.
    axis : int, default -1
    descending : bool, default False
    stable : bool, default True
        Equal numbers keep their order.

    Returns
    -------
    array or Variable, shape of x

    Raises
    ------
    IndexingError
        x has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.sort(F.asarray([3.0, 1.0, 2.0]), descending=True)
    Variable(array([3., 2., 1.], dtype=float32))
    """
    axis = from_front(axis, x.ndim, "sort")
    order = argsort(x, axis=axis, descending=descending, stable=stable)
    return along_axis(x, data_of(order), axis)


@constant
def isin(x1: Array, x2: Array, /, *, invert: bool = False) -> Array:
    """Whether each number of x1 occurs in x2; with `invert`, whether it does not.

    Parameters
    ----------
    x1, x2 : arrays or Variables, any shapes; one of them may be a Python number
    invert : bool, default False

    Returns
    -------
    array or Variable of booleans, shape of x1

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.isin(F.asarray([1, 2, 3]), F.asarray([2, 3]))
    Variable(array([False,  True,  True]))
    """


@standard
@follows
def unique_all(x: Array, /) -> UniqueAll:
    """The different numbers of x, with the places and the count of each.

    Parameters
    ----------
    x : array or Variable, any shape
        Of numbers.

    Returns
    -------
    values : array or Variable, shape (n,)
        Differentiable, in the order of the library.
    indices : array of integers, shape (n,)
        The first place of each value in the flattened x.
    inverse_indices : array of integers, of the shape of x
        values[inverse_indices] equals x.
    counts : array of integers, shape (n,)

    Examples
    --------
    >>> from xpnet import functions as F, to_numpy
    >>> found = F.unique_all(F.asarray([30.0, 10.0, 30.0]))
    >>> {name: to_numpy(x).tolist() for name, x in found._asdict().items()}
    {'values': [10.0, 30.0], 'indices': [1, 0], 'inverse_indices': [1, 0, 1], 'counts': [1, 2]}
    """
    inverse = _inverse_indices(data_of(x))
    xp = array_namespace(inverse)
    flat = xp.reshape(inverse, (-1,))
    order = xp.argsort(flat, stable=True)
    # 0 0 0 1 2 2 ...: group i has the places of value i. Its first is also the first in x, since the
    # sorting is stable; its length is the count.
    grouped = xp.take(flat, order, axis=0)
    n = 0
    if flat.shape[0]:
        n = int(xp.max(flat)) + 1
    groups = xp.arange(n, dtype=flat.dtype, device=compat.device(flat))
    begin = xp.searchsorted(grouped, groups, side="left")
    end = xp.searchsorted(grouped, groups, side="right")
    indices = xp.take(order, begin, axis=0)
    values = take(reshape(x, (-1,)), indices)
    constants = (indices, inverse, end - begin)
    if isinstance(x, Variable):
        constants = tuple(map(as_constant, constants))
    return UniqueAll(values, *constants)


def _inverse_indices(x: Array) -> Array:
    """The `inverse_indices` of an array, in its shape: some libraries return them flat."""
    xp = array_namespace(x)
    return xp.reshape(xp.unique_inverse(x).inverse_indices, x.shape)


@standard
def unique_counts(x: Array, /) -> UniqueCounts:
    """The different numbers of x, and how often each occurs.

    Parameters
    ----------
    x : array or Variable, any shape

    Returns
    -------
    values, counts : arrays or Variables, shape (n,)
        A named tuple.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> values, counts = F.unique_counts(F.asarray([2, 1, 2]))
    >>> values, counts
    (Variable(array([1, 2])), Variable(array([1, 2])))
    """
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


@standard
def unique_inverse(x: Array, /) -> UniqueInverse:
    """The different numbers of x, and the index of the value at each place of x.

    Parameters
    ----------
    x : array or Variable, any shape

    Returns
    -------
    values : array or Variable, shape (n,)
    inverse_indices : array or Variable of integers, shape of x
        In a named tuple.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> values, places = F.unique_inverse(F.asarray([2, 1, 2]))
    >>> places
    Variable(array([1, 0, 1]))
    """
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


@standard
def unique_values(x: Array, /) -> Array:
    """The different numbers of x, as an array of one dimension.

    Parameters
    ----------
    x : array or Variable, any shape

    Returns
    -------
    array or Variable, shape (n,)

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.unique_values(F.asarray([2.0, 1.0, 2.0]))
    Variable(array([1., 2.], dtype=float32))
    """
    return unique_all(x).values
