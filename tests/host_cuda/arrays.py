"""What the tests of the emulated libraries share: arrays, and how close results must be."""

import os

import numpy as np
import numpy.typing as npt
import pytest

#: A call that reads or writes invalid memory fails at once, unless work runs late: then the device
#: reports the error at a later call, as CUDA does, which would fail one of the tests that follow.
in_order = pytest.mark.skipif(
    "HOST_CUDA_SHUFFLE" in os.environ, reason="work that runs late fails at a later call"
)

TYPES = ("f", "d", "F", "D")  # NumPy's letters for the types that cuBLAS and cuSOLVER support


def numbers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> npt.NDArray[np.generic]:
    """Normal random numbers, complex for complex types."""
    rng = np.random.default_rng(seed)
    real = rng.normal(size=shape)
    return np.asarray(real + 1j * rng.normal(size=shape) if dtype in "FD" else real, dtype)


def integers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> npt.NDArray[np.generic]:
    """Small integers, whose products are exact in every floating-point type."""
    return np.random.default_rng(seed).integers(-3, 4, size=shape).astype(dtype)


def hermitian(shape: tuple[int, ...], dtype: str, seed: int = 0) -> npt.NDArray[np.generic]:
    """Positive definite Hermitian matrices, in an array of shape (..., n, n)."""
    a = numbers(shape, dtype, seed)
    return a @ adjoint(a) + np.eye(shape[-1], dtype=dtype)


def adjoint(a: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """The conjugate transposes of matrices."""
    return a.conj().swapaxes(-2, -1)


#: What cuBLAS may do to a matrix first, by its letter.
OPERATIONS = {"N": lambda a: a, "T": lambda a: a.swapaxes(-2, -1), "H": adjoint}


def assert_close(actual: object, expected: object, *, scale: float = 1.0) -> None:
    """Compare a CuPy array with a NumPy array, in shape, type and value.

    The error that is allowed grows with ``scale``, a bound on the size of the result times the number
    of roundings.
    """
    get = getattr(actual, "get", None)
    result = np.asarray(get() if get else actual)
    wanted = np.asarray(expected)
    assert result.shape == wanted.shape
    assert result.dtype == wanted.dtype
    allowed = 64 * scale * np.finfo(wanted.dtype).eps
    np.testing.assert_allclose(result, wanted, rtol=allowed, atol=allowed)
