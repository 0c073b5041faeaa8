"""The emulated cuBLAS compared with NumPy: everything except products of matrices."""

import numpy as np
import pytest

from tests.host_cuda.arrays import (
    OPERATIONS,
    TYPES,
    assert_close,
    numbers,
)
from tests.host_cuda.device import NOT_EMULATED, emulated

if not emulated():
    pytest.skip(NOT_EMULATED, allow_module_level=True)

import cupy
from cupy import cublas
from cupy_backends.cuda.libs import cublas as library


def on_device(a, order="C"):
    return cupy.asarray(a, order=order)


# --- vectors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
def test_reductions_of_vectors_agree_with_numpy_on_device_and_host(dtype):
    a = numbers((9,), dtype)
    b = numbers((9,), dtype, seed=1)
    x = on_device(a)
    y = on_device(b)
    real = dtype.lower()
    taxicab = np.abs(a.real) + np.abs(a.imag)
    cases = [
        (cublas.dotu, (x, y), np.asarray(np.sum(a * b), dtype)),
        (cublas.dotc, (x, y), np.asarray(np.vdot(a, b), dtype)),
        (cublas.nrm2, (x,), np.asarray(np.linalg.norm(a), real)),
        (cublas.asum, (x,), np.asarray(np.sum(taxicab), real)),
        (cublas.iamax, (x,), np.asarray(np.argmax(taxicab) + 1, "i")),
        (cublas.iamin, (x,), np.asarray(np.argmin(taxicab) + 1, "i")),
    ]
    for function, arguments, expected in cases:
        result = function(*arguments)
        on_host = np.zeros((), expected.dtype)
        function(*arguments, out=on_host)
        for found in (result.get(), on_host):
            np.testing.assert_allclose(found, expected, rtol=1e-5 if real == "f" else 1e-13)


def test_iamax_and_iamin_return_the_first_of_equal_elements():
    x = cupy.asarray([1.0, -3.0, 3.0, 1.0])
    assert int(cublas.iamax(x)) == 2
    assert int(cublas.iamin(x)) == 1


def test_the_norm_of_large_and_small_numbers_does_not_overflow_or_underflow():
    assert float(cublas.nrm2(cupy.asarray([3e38, 3e38], "f")[:1])) == np.float32(3e38)
    assert float(cublas.nrm2(cupy.asarray([3e200, 4e200]))) == pytest.approx(5e200)
    assert float(cublas.nrm2(cupy.asarray([3e-200, 4e-200]))) == pytest.approx(5e-200)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("place", [np.asarray, cupy.asarray])
def test_axpy_and_scal_agree_with_numpy(dtype, place):
    a = numbers((6,), dtype)
    b = numbers((6,), dtype, seed=1)
    y = on_device(b)
    cublas.axpy(place(2, dtype), on_device(a), y)
    assert_close(y, 2 * a + b)
    cublas.scal(place(3, dtype), y)
    assert_close(y, 3 * (2 * a + b))


def test_negative_increments_go_backwards(handle):
    a = numbers((10,), "d")
    b = numbers((5,), "d", seed=1)
    x = on_device(a)
    y = on_device(b)
    result = np.zeros(1)
    library.setPointerMode(handle, library.CUBLAS_POINTER_MODE_HOST)
    library.ddot(handle, 5, x.data.ptr, 2, y.data.ptr, -1, result.ctypes.data)
    assert_close(result[0], a[::2] @ b[::-1])
    library.ddot(handle, 0, x.data.ptr, 1, y.data.ptr, 1, result.ctypes.data)
    assert result[0] == 0


def test_a_scalar_on_the_host_is_read_at_the_call(handle):
    x = cupy.ones(4)
    y = cupy.ones(4)
    alpha = np.array(2.0)
    library.setPointerMode(handle, library.CUBLAS_POINTER_MODE_HOST)
    library.daxpy(handle, 4, alpha.ctypes.data, x.data.ptr, 1, y.data.ptr, 1)
    alpha[...] = 100
    np.testing.assert_array_equal(y.get(), np.full(4, 3.0))


# --- matrices and vectors ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("trans", OPERATIONS)
def test_gemv_agrees_with_numpy(dtype, trans):
    a = numbers((4, 3), dtype)
    x = numbers((3 if trans == "N" else 4,), dtype, seed=1)
    y = numbers((4 if trans == "N" else 3,), dtype, seed=2)
    out = on_device(y)
    cublas.gemv(trans, 2.0, on_device(a, order="F"), on_device(x), -1.0, out)
    assert_close(out, np.asarray(2 * OPERATIONS[trans](a) @ x - y, dtype), scale=4)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("order", "CF")
def test_rank_one_updates_agree_with_numpy(dtype, order):
    a = numbers((4, 3), dtype)
    x = numbers((4,), dtype, seed=1)
    y = numbers((3,), dtype, seed=2)
    updates = [(cublas.geru, y)]
    if order == "F":
        updates.append((cublas.gerc, y.conj()))
    if dtype in "fd":
        updates.append((cublas.ger, y))
    for function, other in updates:
        out = on_device(a, order=order)
        function(2.0, on_device(x), on_device(y), out)
        assert_close(out, np.asarray(a + 2 * np.outer(x, other), dtype), scale=4)


@pytest.mark.parametrize("dtype", ["f", "d"])
def test_the_product_of_a_symmetric_band_and_a_vector_agrees_with_numpy(dtype):
    n = 5
    k = 1
    diagonal = numbers((n,), dtype)
    beside = numbers((n - 1,), dtype, seed=1)
    full = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    band = np.zeros((k + 1, n), dtype, order="F")
    band[1] = diagonal
    band[0, 1:] = beside
    x = numbers((n,), dtype, seed=2)
    y = numbers((n,), dtype, seed=3)
    out = on_device(y)
    cublas.sbmv(k, 2.0, on_device(band, order="F"), on_device(x), -1.0, out)
    assert_close(out, np.asarray(2 * full @ x - y, dtype), scale=4)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("trans", ["N", "T"])
@pytest.mark.parametrize("lower", [False, True])
def test_syrk_writes_only_one_triangle(dtype, trans, lower):
    a = numbers((4, 3), dtype)
    full = a @ a.T if trans == "N" else a.T @ a
    before = np.full(full.shape, 7, dtype)
    out = on_device(before, order="F")
    cublas.syrk(trans, on_device(a, order="F"), out=out, alpha=2.0, beta=1.0, lower=lower)
    part = np.tril if lower else np.triu
    other = np.triu(before, 1) if lower else np.tril(before, -1)
    assert_close(out, np.asarray(part(2 * full + 7) + other, dtype), scale=8)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("transa", OPERATIONS)
@pytest.mark.parametrize("transb", OPERATIONS)
def test_geam_agrees_with_numpy(dtype, transa, transb):
    a = numbers((4, 3) if transa == "N" else (3, 4), dtype)
    b = numbers((4, 3) if transb == "N" else (3, 4), dtype, seed=1)
    x = on_device(a, order="F")
    y = on_device(b, order="F")
    expected = 2 * OPERATIONS[transa](a) - 3 * OPERATIONS[transb](b)
    assert_close(cublas.geam(transa, transb, 2.0, x, -3.0, y), np.asarray(expected, dtype), scale=4)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("side", ["L", "R"])
def test_dgmm_agrees_with_numpy(dtype, side):
    a = numbers((4, 3), dtype)
    x = numbers((4 if side == "L" else 3,), dtype, seed=1)
    expected = x[:, None] * a if side == "L" else a * x
    assert_close(cublas.dgmm(side, on_device(a, order="F"), on_device(x)), expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("uplo", [0, 1])
@pytest.mark.parametrize("trans", [0, 1, 2])
def test_solutions_of_triangular_systems_agree_with_numpy(handle, dtype, side, uplo, trans):
    letter = {"f": "s", "d": "d", "F": "c", "D": "z"}[dtype]
    order = 4 if side == 0 else 3
    triangle = (np.tril, np.triu)[uplo](numbers((2, order, order), dtype) / 4) + np.eye(order)
    a = np.asarray(triangle, dtype)
    b = numbers((2, 4, 3), dtype, seed=1)
    op = list(OPERATIONS.values())[trans]
    inverse = np.linalg.inv(op(a))
    expected = 2 * inverse @ b if side == 0 else 2 * b @ inverse
    x = on_device(a.swapaxes(1, 2))  # column by column
    y = on_device(b.swapaxes(1, 2))
    library.setPointerMode(handle, library.CUBLAS_POINTER_MODE_HOST)
    alpha = np.array(2, dtype)
    solve = getattr(library, f"{letter}trsm")
    solve(handle, side, uplo, trans, 0, 4, 3, alpha.ctypes.data, x.data.ptr, order, y.data.ptr, 4)
    assert_close(y[0].T, np.asarray(expected[0], dtype), scale=16)
    y = on_device(b.swapaxes(1, 2))
    pointers = [cupy.asarray([m[0].data.ptr, m[1].data.ptr], "u8") for m in (x, y)]
    solve = getattr(library, f"{letter}trsmBatched")
    solve(
        *(handle, side, uplo, trans, 0, 4, 3, alpha.ctypes.data),
        *(pointers[0].data.ptr, order, pointers[1].data.ptr, 4, 2),
    )
    assert_close(y.swapaxes(1, 2), np.asarray(expected, dtype), scale=16)


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("uplo", [0, 1])
def test_triangles_are_packed_and_unpacked(handle, dtype, uplo):
    letter = {"f": "s", "d": "d"}[dtype]
    a = numbers((4, 4), dtype)
    x = on_device(a.T)  # column by column
    columns = [a[j:, j] if uplo == 0 else a[: j + 1, j] for j in range(4)]
    packed = cupy.empty(10, dtype)
    getattr(library, f"{letter}trttp")(handle, uplo, 4, x.data.ptr, 4, packed.data.ptr)
    assert_close(packed, np.concatenate(columns))
    y = cupy.zeros((4, 4), dtype)
    getattr(library, f"{letter}tpttr")(handle, uplo, 4, packed.data.ptr, y.data.ptr, 4)
    assert_close(y.T, (np.tril, np.triu)[uplo](a))
