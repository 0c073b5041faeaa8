"""L-BFGS: SciPy's minimizer for all samples at once, as scikit-learn calls it."""

from typing import Any

import numpy as np
import scipy.optimize
from numpy.typing import NDArray
from sklearn.utils.optimize import _check_optimize_result

from xpnet._typing import Array
from xpnet.backend import array_like, to_numpy
from xpnet.estimators._losses import Objective
from xpnet.layers import Layer

__all__ = ["minimized"]


def minimized(
    model: Layer,
    objective: Objective,
    x: Array,
    t: Any,
    max_iter: int,
    max_fun: int,
    tol: float,
    verbose: bool,
) -> tuple[float, int]:
    """Train a model; returns its loss, and the number of iterations.

    Parameters
    ----------
    max_iter, max_fun : int
        The largest numbers of iterations, and of computed losses.
    tol : float
        It ends when no derivative is larger.
    verbose : bool
        Whether to print the loss of each iteration.

    Notes
    -----
    Source: Byrd, Lu, Nocedal and Zhu, "A limited memory algorithm for bound constrained optimization",
    SIAM Journal on Scientific Computing 16, 1995.
    """
    model.train()
    parameters = _matrices_first(model)

    def loss_and_gradient(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        _assign(parameters, flat)
        y = model(x)
        loss = objective(y, t)
        for p in parameters:
            p.zero_grad()
        loss.backward()
        return float(loss), _flat([p.raw_grad for p in parameters])

    found = scipy.optimize.minimize(
        loss_and_gradient,
        _flat([p.data for p in parameters]),
        method="L-BFGS-B",
        jac=True,
        callback=_Report() if verbose else None,
        options={"maxfun": max_fun, "maxiter": max_iter, "gtol": tol},
    )
    _assign(parameters, found.x)
    for p in parameters:
        p.zero_grad()
    loss = float(found.fun)
    if objective.divisor != 1.0:
        loss = objective.reported(loss, float(objective.of_data(model(x), t)))
    return loss, int(_check_optimize_result("lbfgs", found, max_iter))


class _Report:
    """Prints the loss of each iteration."""

    def __init__(self) -> None:
        self.iterations = 0

    def __call__(self, intermediate_result: Any) -> None:
        self.iterations += 1
        print(f"Iteration {self.iterations}, loss = {intermediate_result.fun:.8f}")  # noqa: T201


def _matrices_first(model: Layer) -> list[Any]:
    """The parameters in the order of scikit-learn's vector, on which the rounding of sums depends."""
    return sorted(model.parameters(), key=lambda p: p.data.ndim != 2)


def _flat(arrays: list[Array]) -> NDArray[np.float64]:
    """One vector on the host."""
    return np.concatenate([to_numpy(x).reshape(-1) for x in arrays]).astype(np.float64)


def _assign(parameters: list[Any], flat: NDArray[np.float64]) -> None:
    """Set parameters to the parts of a vector."""
    start = 0
    for p in parameters:
        size = int(np.prod(p.data.shape))
        p.data = array_like(flat[start : start + size].reshape(tuple(p.data.shape)), p.data)
        start += size
