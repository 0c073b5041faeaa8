"""Losses as scikit-learn defines them, for weighted samples, with the penalty on the weights.

    log_loss          -sum_j t_j log p_j                        p is the softmax, or the sigmoid, of the output
    squared_error     sum_j (y_j - t_j)^2 / 2
    poisson           sum_j t_j log(t_j / p_j) - t_j + p_j      p is the exponential of the output
    absolute_error    sum_j |y_j - t_j|
    huber             sum_j d^2 / 2 where d = |y_j - t_j| is below 1, else d - 1/2

j counts the outputs. The loss of a batch is the mean of these, with the weights of the samples,

    sum_i w_i l_i / sum_i w_i    +    alpha / 2  sum W^2 / sum_i w_i

over all weight matrices W of the network, but not over its biases.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet import functions as F
from xpnet._typing import Array
from xpnet.autodiff.variable import Parameter

__all__ = ["BY_NAME", "Objective", "softmax_targets"]

Mean = Callable[
    [Any, Any, Any], Any
]  # (y, t, w) -> the mean over the batch; w has shape (n, 1), or None


class Objective:
    """A loss for a `Trainer`: the mean over the batch, and the penalty.

    Parameters
    ----------
    mean : function (y, t, w) -> mean over the batch
        One of `BY_NAME`; or a user's function (y, t) with `is_own`.
    is_own : bool
    matrices : sequence of Parameter
        What the penalty is on.
    alpha : float
        Its factor.

    Attributes
    ----------
    divisor : float
        What the mean is divided by in `reported`: scikit-learn follows the sum over the outputs, and
        reports their mean.
    """

    def __init__(
        self,
        mean: Callable[..., Any],
        *,
        is_own: bool = False,
        matrices: Sequence[Parameter] = (),
        alpha: float = 0.0,
        divisor: float = 1.0,
    ) -> None:
        self._mean = mean
        self._is_own = is_own
        self._matrices = tuple(matrices) if alpha else ()
        self._alpha = alpha
        self.divisor = divisor

    def __call__(self, y: Array, t: Any) -> Any:
        loss = self.of_data(y, t)
        if not self._matrices:
            return loss
        squares = [F.sum(W * W) for W in self._matrices]
        penalty = sum(squares[1:], squares[0]) * (0.5 * self._alpha)
        samples = _total(t[1]) if isinstance(t, tuple) else int(y.shape[0])
        return loss + penalty / samples

    def of_data(self, y: Array, t: Any) -> Any:
        """The loss without the penalty."""
        weight = None
        if isinstance(t, tuple):
            t, weight = t
        return self._mean(y, t) if self._is_own else self._mean(y, t, weight)

    def reported(self, loss: float, of_data: float) -> float:
        """The loss with the mean over the outputs in place of their sum."""
        return loss - of_data * (1.0 - 1.0 / self.divisor)


def _total(weight: Array) -> Any:
    """The sum of the weights; 1 if all of them are 0, so that such a batch changes nothing."""
    total = F.sum(weight)
    return F.where(total == 0.0, 1.0, total)


def _mean_of(losses: Array, weight: Array | None) -> Any:
    """The mean over the samples of the sum over the outputs."""
    if weight is None:
        return F.sum(losses) / int(losses.shape[0])
    return F.sum(losses * weight) / _total(weight)


def softmax_cross_entropy(y: Array, t: Array, weight: Array | None) -> Any:
    """For class numbers t; with weights t has rows, in which they are already: `softmax_targets`."""
    loss = F.softmax_cross_entropy(y, t)
    if weight is None:
        return loss
    return loss * int(y.shape[0]) / _total(weight)


def softmax_targets(numbers: NDArray[Any], weight: NDArray[Any], classes: int) -> NDArray[Any]:
    """Rows with the weight of a sample in the place of its class."""
    return np.asarray(np.eye(classes)[numbers] * weight)


def binary_cross_entropy(y: Array, t: Array, weight: Array | None) -> Any:
    """The sum over independent labels."""
    outputs = int(y.shape[1])
    loss = F.binary_cross_entropy_with_logits(y, t, weight)
    if weight is None:
        return loss * outputs if outputs > 1 else loss
    return loss * int(y.shape[0]) * outputs / _total(weight)


def squared_error(y: Array, t: Array, weight: Array | None) -> Any:
    """Half of the squared error."""
    if weight is None:
        return F.mean_squared_error(y, t) * (0.5 * int(y.shape[1]))
    difference = y - t
    return _mean_of(difference * difference, weight) * 0.5


def poisson(y: Array, t: Array, weight: Array | None) -> Any:
    """Half of the Poisson deviance; y is the logarithm of the prediction."""
    # t log t is 0 for t = 0, and NaN in the branch that is not taken.
    entropy = F.where(t > 0.0, t * F.log(F.where(t > 0.0, t, 1.0)), 0.0)
    return _mean_of(entropy - t * y - t + F.exp(y), weight)


def absolute_error(y: Array, t: Array, weight: Array | None) -> Any:
    """The absolute error."""
    return _mean_of(F.abs(y - t), weight)


def huber(y: Array, t: Array, weight: Array | None) -> Any:
    """Squares for small differences, and absolute values for large ones, from 1 on."""
    d = F.abs(y - t)
    square = F.minimum(d, 1.0)
    return _mean_of(square * (d - 0.5 * square), weight)


BY_NAME: dict[str, Mean] = {
    "squared_error": squared_error,
    "poisson": poisson,
    "absolute_error": absolute_error,
    "huber": huber,
}
