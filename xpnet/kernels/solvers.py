"""Linear algebra that raises errors on CuPy: a matrix without an inverse is an error, as on NumPy.

By default CuPy does not check the status that its solvers report, because a check makes the host wait
for the GPU: the Cholesky factor of a matrix that is not positive definite is silently unfinished. So
xpnet turns the check on. It costs one transfer of a few bytes per call of a solver, whose kernels take
far longer. Functions that use no solver (`det`, `slogdet`, products, norms) do not wait.
"""

from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module
from typing import Any

from xpnet._typing import Namespace
from xpnet.kernels.cuda_source import cupy

REASONS = {  # by the name of the function; "No convergence" for all others
    "inv": "Singular matrix",
    "solve": "Singular matrix",
    "cholesky": "Matrix is not positive definite",
}


@cache
def linalg_of(xp: Namespace) -> Any:
    """The extension `linalg` of a namespace, with functions that raise if there is no result.

    Raises
    ------
    numpy.linalg.LinAlgError
        Raised by its functions on NumPy and CuPy: there is no inverse, no factor, or no convergence.
        PyTorch raises an error of its own; JAX returns NaN.
    """
    if xp.__name__ == "array_api_compat.cupy":
        return _Checked(xp.linalg)
    return xp.linalg


class _Checked:
    """CuPy's `linalg`, with functions that check what the solver reports."""

    def __init__(self, linalg: Any) -> None:
        self._linalg = linalg

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self._linalg, name)

        @wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            try:
                with import_module("cupyx").errstate(linalg="raise"):
                    return function(*args, **options)
            except cupy().linalg.LinAlgError as error:
                if "devInfo" not in str(error) and "info" not in str(error):
                    raise  # an error of another kind, such as one about a shape
                reason = REASONS.get(name, "No convergence")
                raise type(error)(f"{name}: {reason}. {error}") from error

        setattr(self, name, call)
        return call
