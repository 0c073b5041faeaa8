"""Batch normalization over the samples of all ranks of a distributed training."""

from math import prod
from typing import Any

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.distributed.base import Communicator, current, has_samples
from xpnet.errors import ShapeError
from xpnet.functions._in_float32 import cast_like, widened
from xpnet.functions.normalization import RunningStatistics


class SumOverRanks(Function):
    """The sum of the arrays x of all ranks; each rank computes it.

    With L_r the loss of rank r, and y the sum, x of a rank changes the losses of all ranks through y:

        d (L_0 + L_1 + ...) / dx = dL_0 / dy + dL_1 / dy + ...

    So the derivative is a sum over the ranks too. It is that of the sum of the losses, which must be
    weighted by the ranks' numbers of samples: `Learner.weight` does so before the walk back begins.
    """

    def __init__(self, communicator: Communicator) -> None:
        self.communicator = communicator

    def forward(self, x: Array) -> Array:
        copy = array_namespace(x).asarray(x, copy=True)  # which the sum may replace
        return self.communicator.allreduce(copy)

    def backward(self, gy: Array) -> Array:
        return SumOverRanks(self.communicator)(gy)


@follows
def batch_norm_over_ranks(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    running: RunningStatistics | None,
) -> tuple[Array, RunningStatistics | None]:
    """`batch_norm` with the mean and variance over the samples of all ranks; each rank calls it.

    Returns
    -------
    y : array or Variable, of the shape and dtype of `x`
    running : RunningStatistics or None
        After this batch.

    Raises
    ------
    ShapeError
        All ranks together have one number per channel.

    Notes
    -----
    The ranks exchange the sums and the number of samples, and then the sums of the squares of x - mean:
    one after the other, as the mean of squares less the square of the mean would lose digits.
    """
    full = widened("batch_norm", x)
    axes = (0, *range(2, full.ndim))
    one = (1, full.shape[1], *(1,) * (full.ndim - 2))
    xp = array_namespace(full, weight, bias)
    counts = 1.0 if has_samples() else 0.0
    count = xp.ones_like(data_of(full[:, :1, ...]))
    sums = _over_channels(full * counts, axes)
    number = _over_channels(count * counts, axes)
    both = SumOverRanks(current())(xp.concat([sums, number]))
    n = both[-1:]
    if not has_samples() or prod(full.shape) // full.shape[1] < 2:  # else n is not read by the host
        _require_two(n)
    mean = xp.reshape(both[:-1] / n, one)
    c = full - mean
    var = SumOverRanks(current())(_over_channels(c * c * counts, axes)) / n
    y = c * xp.reshape(1.0 / xp.sqrt(var + eps), one)
    # Functions, not operators: some libraries' arrays do not leave an operator to a Variable.
    if weight is not None:
        y = xp.multiply(y, xp.reshape(weight, one))
    if bias is not None:
        y = xp.add(y, xp.reshape(bias, one))
    if running is not None:
        running = _after(running, data_of(mean), data_of(var), data_of(n))
    return cast_like(y, x), running


def _require_two(n: Array) -> None:
    if float(data_of(n)[0]) < 2.0:
        raise ShapeError(
            "BatchNorm(sync=True) expected more than one number per channel, to compute their variance, "
            "on all ranks together. Use a larger batch, or a loader with last='drop'."
        )


def _over_channels(x: Array, axes: tuple[int, ...]) -> Array:
    return array_namespace(x).sum(x, axis=axes)


def _after(running: RunningStatistics, mean: Array, var: Array, n: Any) -> RunningStatistics:
    """The running statistics after a batch of n numbers per channel, n an array of one number."""
    xp = array_namespace(var)
    return running.after_unbiased(mean, var * n / xp.where(n > 1.0, n - 1.0, xp.ones_like(n)))
