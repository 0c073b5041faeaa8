"""NumPy's functions that write into an array: np.copyto, np.fill_diagonal, np.putmask, np.place, np.add.at.

What they write into a Variable is recorded, as `x[key] = value` is.
"""

from typing import Any

from xpnet._interoperability.numpy.registry import (
    ADVICE,
    Mask,
    as_arrays,
    flat,
    implements,
    integers,
    is_floating,
)
from xpnet._interoperability.numpy.ufuncs import METHODS, Ufunc
from xpnet._typing import Array
from xpnet.autodiff.derivatives import vjp
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Variable, data_of
from xpnet.errors import ArgumentTypeError, GradientError, ShapeError

ADVICE["wrap"] = "Write x[i, j] = value, for lists of rows i and columns j."


def _require_variable(x: Array, name: str) -> None:
    """Raise if the array to write into is not a Variable, and so keeps no gradient."""
    if not isinstance(x, Variable):
        raise GradientError(
            f"np.{name} would write the numbers of a Variable into an array, which has no gradient. "
            "Create the array with np.zeros(n, like=x), which records what is written into it."
        )


def _repeated(values: Array, count: int) -> Array:
    """The first numbers of flattened values, as many as `count`, which begin anew after the last one."""
    xp = array_namespace(values)
    row = flat(values)
    times = -(-count // max(row.shape[0], 1))
    return xp.tile(row, (times,))[:count]


@implements("copyto", refuses=("casting",))
def copyto(dst: Array, src: Array, casting: str = "same_kind", where: Mask = True) -> None:
    """np.copyto: dst[...] = src, where a mask is true."""
    _require_variable(dst, "copyto")
    if where is True:
        dst[...] = src
        return
    where = integers(dst, where)
    xp = array_namespace(dst)
    dst[...] = xp.where(where, *as_arrays(src, dst)[:1], dst)


@implements("fill_diagonal", refuses=("wrap",))
def fill_diagonal(a: Array, val: Array, wrap: bool = False) -> None:
    """np.fill_diagonal: a[i, i, ..., i] = val."""
    _require_variable(a, "fill_diagonal")
    if a.ndim < 2 or (a.ndim > 2 and len(set(a.shape)) > 1):
        raise ShapeError(
            "np.fill_diagonal expected a matrix, or axes of one length, got shape "
            f"{tuple(a.shape)}."
        )
    places = [*range(min(a.shape))]
    a[(places,) * a.ndim] = _repeated(as_arrays(val, a)[0], len(places))


@implements("putmask")
def putmask(a: Array, /, mask: Array, values: Array) -> None:
    """np.putmask: where the mask is true, the value at that place; few values are repeated."""
    _require_variable(a, "putmask")
    xp = array_namespace(a)
    mask = xp.reshape(integers(a, mask), a.shape)
    a[...] = xp.where(mask, xp.reshape(_repeated(as_arrays(values, a)[0], a.size), a.shape), a)


@implements("place")
def place(arr: Array, mask: Array, vals: Array) -> None:
    """np.place: one value after the other, where the mask is true; few values are repeated."""
    _require_variable(arr, "place")
    mask = array_namespace(arr).reshape(data_of(integers(arr, mask)), arr.shape)
    count = int(array_namespace(mask).count_nonzero(mask))
    arr[mask] = _repeated(as_arrays(vals, arr)[0], count)


def at(name: str, _: Ufunc, x: Array, indices: Any, values: Array | None = None) -> None:
    """np.add.at and np.subtract.at: x[indices] += values, for each index as often as it is there."""
    if name not in ("add", "subtract"):
        raise ArgumentTypeError(
            f"np.{name}.at of a Variable is not available, but np.add.at and np.subtract.at are. "
            "Write x[indices] = a function of x[indices], for indices that do not repeat."
        )
    _require_variable(x, f"{name}.at")
    if not is_floating(x):
        raise ArgumentTypeError(
            f"np.{name}.at expected a Variable of floating-point numbers, got {x.dtype}. Integers have no "
            f"gradient: write np.{name}.at(x.data, indices, values)."
        )
    xp = array_namespace(x)
    # Adding to places is the transpose of taking from them.
    picked, scatter = vjp(lambda z: z[indices], xp.zeros_like(x))
    (added,) = scatter(xp.broadcast_to(xp.astype(as_arrays(values, x)[0], x.dtype), picked.shape))
    x[...] = x + added if name == "add" else x - added


METHODS["at"] = at
