"""CuPy's solvers are made to raise errors; det, which is defined for every matrix, is not."""

from types import SimpleNamespace

import pytest

from xpnet.kernels.solvers import linalg_of


def test_other_libraries_keep_their_own(backend):
    if backend.name.startswith("cupy"):
        assert linalg_of(backend.xp) is not backend.xp.linalg
    else:
        assert linalg_of(backend.xp) is backend.xp.linalg


def test_solvers_raise_an_error_with_the_reason(cupy_backend):
    """The solver here raises as CuPy's do: only in the mode in which CuPy checks."""
    import cupy
    import cupyx

    def solver(x):
        if cupyx.geterr()["linalg"] == "raise":
            raise cupy.linalg.LinAlgError("Error reported by dgetrf in cuSOLVER. devInfo = 2.")
        return x

    def confused(x):
        raise cupy.linalg.LinAlgError("2-dimensional array given.")

    functions = {"inv": solver, "cholesky": solver, "eigh": solver, "solve": confused}
    linalg = SimpleNamespace(**functions)
    loud = linalg_of(_Namespace("array_api_compat.cupy", linalg))
    for name, reason in (
        ("inv", "Singular"),
        ("cholesky", "Matrix is not positive"),
        ("eigh", "No conv"),
    ):
        with pytest.raises(cupy.linalg.LinAlgError, match=f"{name}: {reason}.*devInfo = 2"):
            getattr(loud, name)(1.0)
    with pytest.raises(cupy.linalg.LinAlgError, match="^2-dimensional"):
        loud.solve(1.0)
    assert cupyx.geterr()["linalg"] != "raise"


class _Namespace:
    def __init__(self, name, linalg):
        self.__name__, self.linalg = name, linalg
