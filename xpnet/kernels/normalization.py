"""Normalization for CuPy: one launch for the statistics, one for the result; two or three backward.

The axes that are normalized over are the first ones, the last ones, or both. The other axes are
adjacent, and each of their indices is a group, which has its own mean and variance. One block of threads
computes a group. It sums twice, for the mean and for the variance, in an order that depends only on the
sizes.

Source of the scheme, a block for each group and two sums: PyTorch's `batch_norm_collect_statistics`.
"""

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xpnet._typing import Array, DType
from xpnet.kernels.cuda import floating, on_one_device
from xpnet.kernels.cuda_source import SHORT, Grid, compiled, cupy, index_type, one_thread_each
from xpnet.kernels.lookup import Kernel

if TYPE_CHECKING:
    from xpnet.functions.normalization import RunningStatistics

MOST = 1024  # threads of a block; a power of two


class Groups(NamedTuple):
    """An array viewed as (outer, groups, inner): each index of the middle axis is a group."""

    outer: int
    groups: int
    inner: int

    @classmethod
    @lru_cache(maxsize=1024)
    def over(cls, shape: tuple[int, ...], axes: tuple[int, ...]) -> "Groups":
        """The groups whose numbers lie along `axes`; the other axes must be adjacent."""
        others = [axis for axis in range(len(shape)) if axis not in axes]
        if not others:
            return cls(1, 1, math.prod(shape))
        first = others[0]
        last = others[-1] + 1
        return cls(math.prod(shape[:first]), math.prod(shape[first:last]), math.prod(shape[last:]))

    @property
    def grid(self) -> Grid:
        """A block for each group; its threads, a power of two, add up to eight numbers each, or more.

        They add more where the block has the most threads already.
        """
        threads = min(max(1 << (self.outer * self.inner // 8).bit_length(), 32), MOST)
        return (self.groups,), (threads,)


class Weights(NamedTuple):
    """How weights lie along an array: each applies to `run` numbers in a row, in turns of `period`.

    Number i of the array, counted in memory, has weight (i / run) % period.
    """

    run: int
    period: int

    @classmethod
    @lru_cache(maxsize=1024)
    def along(cls, shape: tuple[int, ...], weights: tuple[int, ...] | None) -> "Weights | None":
        """The layout of weights with as many axes as the array; None if they do not fit.

        The axes along which the weights differ, those of a size other than 1, must be adjacent and
        have the sizes of the array.
        """
        own = [axis for axis, n in enumerate(weights or ()) if n != 1]
        if not own:
            return cls(1, 1)
        first = own[0]
        last = own[-1] + 1
        if weights is None or weights[first:last] != shape[first:last]:
            return None
        return cls(math.prod(shape[last:]), math.prod(shape[first:last]))


def normalize(
    x: Array,
    w: Array | None,
    b: Array | None,
    axes: tuple[int, ...],
    eps: float,
    running: "RunningStatistics | None" = None,
) -> tuple[Array, Array, Array, Array, "RunningStatistics | None"]:
    """(x - mean) r w + b with r = 1 / sqrt(var + eps): the mean and variance are those of each group.

    Parameters
    ----------
    x : array
    w, b : arrays with as many axes as x, or None
    axes : tuple of int
        The axes that are normalized over.
    eps : float
    running : RunningStatistics, optional
        As many numbers as there are groups.

    Returns
    -------
    y, mean, var, r : arrays
        All but y keep the axes with size 1.
    running : RunningStatistics or None
        The running statistics after this batch.
    """
    x = cupy().ascontiguousarray(x)
    w = _numbers(w, x)
    b = _numbers(b, x)
    groups = Groups.over(x.shape, axes)
    shape = tuple([1 if axis in axes else n for axis, n in enumerate(x.shape)])
    mean, var, r = (cupy().ndarray(shape, x.dtype) for _ in range(3))
    before, after, momentum = _running(running, x.dtype)
    _launch(
        "moments", groups.grid, x, mean, var, r, eps, _record(groups), *before, *after, momentum
    )
    y = cupy().ndarray(x.shape, x.dtype)
    weights: Any = Weights.along(x.shape, _shape(w, b))
    _launch(
        "normalize", one_thread_each(x.size), x, mean, r, w, b, y, x.size, _record(groups), *weights
    )
    return y, mean, var, r, _moved(running, after)


def normalize_gradients(
    gy: Array,
    x: Array,
    w: Array | None,
    mean: Array,
    r: Array,
    axes: tuple[int, ...],
    shape: tuple[int, ...] | None,
    needs: tuple[bool, ...],
) -> tuple[Array | None, Array | None, Array | None]:
    """The gradients of `normalize` with respect to x, w and b.

    Parameters
    ----------
    gy, x, mean, r : arrays
        The gradient of y, the input of `normalize`, and two of its results.
    w : array or None
    axes : tuple of int
        The axes that were normalized over.
    shape : tuple of int or None
        The shape of w or b; None if there is neither.
    needs : tuple of bool
        Which of the three gradients are needed; the others may be None.
    """
    gy = cupy().ascontiguousarray(gy)
    x = cupy().ascontiguousarray(x)
    w = _numbers(w, x)
    groups = Groups.over(x.shape, axes)
    weights: Any = Weights.along(x.shape, shape)
    even = all(shape is None or shape[axis] == 1 for axis in axes)
    arrays = (gy, x, mean, r)
    gx = None
    gw = None
    gb = None
    if even:  # the weights do not differ within a group
        gb, gw = _sums(arrays, None, groups, groups, weights, mean.shape)
    elif needs[0]:  # they differ, and gx needs the sums of gy w
        gb, gw = _sums(arrays, w, groups, groups, weights, mean.shape)
    if needs[0]:
        gx = cupy().ndarray(x.shape, x.dtype)
        sizes = x.size, _record(groups), *weights, int(even)
        _launch("normalize_gradient", one_thread_each(x.size), *arrays, w, gb, gw, gx, *sizes)
    if not even and (needs[1] or needs[2]):  # gw and gb are sums of gy over other groups
        over = Groups(x.size // (weights.run * weights.period), weights.period, weights.run)
        gb, gw = _sums(arrays, None, over, groups, weights, shape)
    return gx, gw, gb


# --- the launches ---------------------------------------------------------------------------------


def _sums(
    arrays: tuple[Array, Array, Array, Array],
    w: Array | None,
    over: Groups,
    groups: Groups,
    weights: Any,
    shape: tuple[int, ...] | None,
) -> tuple[Array, Array]:
    """The sums of g and of g (x - mean) r over each group of `over`, as arrays of shape `shape`.

    g is gy, the first of the arrays, times the weights w if there are any. mean and r belong to `groups`.
    """
    first, second = (cupy().ndarray(shape, arrays[0].dtype) for _ in range(2))
    sizes = _record(over), _record(groups), *weights
    _launch("gradient_sums", over.grid, *arrays, w, first, second, *sizes)
    return first, second


def _numbers(w: Array | None, x: Array) -> Array | None:
    """The weights in the dtype of x, C-contiguous; None stays None."""
    if w is None:
        return None
    return cupy().ascontiguousarray(w, x.dtype)


def _shape(w: Array | None, b: Array | None) -> tuple[int, ...] | None:
    """The shape of w or, if that is None, of b."""
    if w is not None:
        return tuple(w.shape)
    if b is not None:
        return tuple(b.shape)
    return None


def _running(
    running: "RunningStatistics | None", dtype: DType
) -> tuple[Sequence[Array | None], Sequence[Array | None], float]:
    """Running statistics as the kernel `moments` takes them: old ones, memory for new ones, momentum."""
    if running is None:
        return (None,) * 3, (None,) * 3, 0.0
    before = [
        running.mean.astype(dtype, copy=False),
        running.var.astype(dtype, copy=False),
        running.seen.astype("int64", copy=False),
    ]
    after = [cupy().ndarray(a.shape, a.dtype) for a in before]
    momentum = running.momentum
    if momentum is None:  # the plain mean over all batches
        momentum = -1.0
    return before, after, momentum


def _moved(
    running: "RunningStatistics | None", after: Sequence[Array]
) -> "RunningStatistics | None":
    """The running statistics with the numbers that `moments` computed, in their own dtypes."""
    if running is None:
        return None
    mean, var, seen = after
    return running._replace(
        mean=mean.astype(running.mean.dtype, copy=False),
        var=var.astype(running.var.dtype, copy=False),
        seen=seen.astype(running.seen.dtype, copy=False),
    )


def _launch(name: str, grid: Grid, x: Array, *rest: Any) -> None:
    """Launch a kernel with x as its first argument."""
    _kernel(name, x.dtype, x.size < SHORT)(*grid, (x, *rest))


@cache
def _kernel(name: str, dtype: DType, short: bool) -> Any:
    """A kernel for arrays of a dtype, which are short or not."""
    return compiled(("normalization.cu",), name, dtype.name, index_type(short))


@cache
def _record(groups: Groups) -> Any:
    """The groups as the kernels' `struct Layout`: a record, which CuPy passes by value."""
    return np.array(groups, "int64").view("V24")


def _takes(x: Array, *weights: Any) -> bool:
    """Whether x is float32 or float64, with weights of no more bits, all on the current device."""
    if x.dtype.char not in "fd" or x.size == 0 or not floating(x):
        return False
    given = [w for w in weights if w is not None]
    for w in given:
        if w.dtype.itemsize > x.dtype.itemsize or not on_one_device(w, x):
            return False
    if len({w.shape for w in given}) > 1:
        return False
    return Weights.along(x.shape, _shape(*weights)) is not None


def _takes_gradient(gy: Array, x: Array) -> bool:
    """Whether the gradient has the dtype of x, which `normalize` took, and lies on its device."""
    return floating(gy, x)


KERNELS = {
    "normalize": Kernel(normalize, _takes),
    "normalize_gradients": Kernel(normalize_gradients, _takes_gradient),
}
