"""The emulated cuSOLVER, through cupy.linalg, compared with NumPy."""

import numpy as np
import pytest

from tests.host_cuda.arrays import TYPES, adjoint, assert_close, hermitian, in_order, numbers
from tests.host_cuda.device import NOT_EMULATED, counting, emulated

if not emulated():
    pytest.skip(NOT_EMULATED, allow_module_level=True)

import cupy
import cupyx
from cupy.cuda import device
from cupy_backends.cuda.libs import cusolver as library
from cupyx import cusolver, lapack

BATCHES = [(), (3,), (2, 2)]
RECTANGLES = [(5, 5), (7, 4), (4, 7), (40, 3), (3, 40), (1, 1)]


def identity(a):
    return np.broadcast_to(np.eye(a.shape[-1]), a.shape).astype(a.dtype)


# --- linear systems ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("batch", BATCHES)
def test_inverses_solutions_and_determinants_agree_with_numpy(dtype, batch):
    a = numbers((*batch, 5, 5), dtype)
    b = numbers((*batch, 5, 3), dtype, seed=1)
    x = cupy.asarray(a)
    condition = np.linalg.cond(a).max()
    assert_close(cupy.linalg.inv(x), np.linalg.inv(a), scale=condition)
    assert_close(cupy.linalg.solve(x, cupy.asarray(b)), np.linalg.solve(a, b), scale=condition)
    assert_close(cupy.linalg.det(x), np.linalg.det(a), scale=condition)
    for actual, expected in zip(cupy.linalg.slogdet(x), np.linalg.slogdet(a), strict=True):
        assert_close(actual, expected, scale=condition)


def test_systems_with_one_right_hand_side_in_both_memory_orders():
    a = numbers((4, 4), "d")
    b = numbers((4,), "d", seed=1)
    expected = np.linalg.solve(a, b)
    for order in "CF":
        x = cupy.asarray(a, order=order)
        assert_close(cupy.linalg.solve(x, cupy.asarray(b)), expected, scale=100)
        assert_close(cupy.linalg.inv(x), np.linalg.inv(a), scale=100)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("batch", BATCHES)
def test_cholesky_agrees_with_numpy(dtype, batch):
    a = hermitian((*batch, 5, 5), dtype)
    assert_close(cupy.linalg.cholesky(cupy.asarray(a)), np.linalg.cholesky(a), scale=16)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("batch", [(), (3,)])
def test_solutions_by_cholesky_agree_with_numpy(dtype, batch):
    a = hermitian((*batch, 5, 5), dtype)
    b = numbers((*batch, 5, 2), dtype, seed=1)
    condition = np.linalg.cond(a).max()
    actual = lapack.posv(cupy.asarray(a), cupy.asarray(b))
    assert_close(actual, np.linalg.solve(a, b), scale=condition)


@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_singular_matrix_gives_infinity_or_nan_and_raises_on_request(batch):
    singular = cupy.broadcast_to(cupy.asarray([[1.0, 2.0], [2.0, 4.0]]), (*batch, 2, 2))
    ones = cupy.ones((*batch, 2, 1))
    assert not cupy.isfinite(cupy.linalg.inv(singular)).any()
    assert not cupy.isfinite(cupy.linalg.solve(singular, ones)).any()
    assert not cupy.linalg.det(singular).any()
    for call in (cupy.linalg.inv, lambda a: cupy.linalg.solve(a, ones), cupy.linalg.cholesky):
        with cupyx.errstate(linalg="raise"), pytest.raises(np.linalg.LinAlgError, match="2"):
            call(singular)


def test_cholesky_of_an_indefinite_matrix_raises_with_the_order_of_the_minor():
    a = np.stack([np.eye(3), np.diag([1.0, -1.0, 1.0]), np.diag([1.0, 1.0, -1.0])])
    for i, order in ((1, 2), (2, 3)):
        with (
            cupyx.errstate(linalg="raise"),
            pytest.raises(np.linalg.LinAlgError, match=rf"devInfo = \[{order}\]"),
        ):
            cupy.linalg.cholesky(cupy.asarray(a[i]))
    with (
        cupyx.errstate(linalg="raise"),
        pytest.raises(np.linalg.LinAlgError, match=r"devInfo = \[0 2 3\]"),
    ):
        cupy.linalg.cholesky(cupy.asarray(a))


# --- QR ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("shape", RECTANGLES)
@pytest.mark.parametrize("mode", ["reduced", "complete", "r"])
def test_qr_agrees_with_numpy(dtype, batch, shape, mode):
    a = numbers((*batch, *shape), dtype)
    actual = cupy.linalg.qr(cupy.asarray(a), mode=mode)
    expected = np.linalg.qr(a, mode=mode)  # NumPy uses the same algorithm, so that the signs agree
    if mode == "r":
        assert_close(actual, expected, scale=16)
    else:
        assert_close(actual[0], expected.Q, scale=16)
        assert_close(actual[1], expected.R, scale=16)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_least_squares_by_qr_agree_with_numpy(dtype, shape):
    a = numbers(shape, dtype)
    b = numbers((shape[0], 2), dtype, seed=1)
    expected = np.linalg.lstsq(a, b, rcond=None)[0]
    assert_close(lapack.gels(cupy.asarray(a), cupy.asarray(b)), expected, scale=32)


# --- singular values --------------------------------------------------------------------------------


def assert_is_svd_of(a, u, s, vh):
    k = s.shape[-1]
    scale = 4 * max(a.shape[-2:])
    assert_close(s, np.linalg.svd(a, compute_uv=False), scale=scale)
    u, s, vh = (x.get() for x in (u, s, vh))
    assert_close((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], a, scale=scale)
    assert_close(adjoint(u) @ u, identity(adjoint(u) @ u), scale=scale)
    assert_close(vh @ adjoint(vh), identity(vh @ adjoint(vh)), scale=scale)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("shape", RECTANGLES)
def test_svd_agrees_with_numpy(dtype, batch, shape):
    a = numbers((*batch, *shape), dtype)
    x = cupy.asarray(a)
    m, n = shape
    for full in (True, False):
        u, s, vh = cupy.linalg.svd(x, full_matrices=full)
        assert u.shape == (*batch, m, m if full else min(m, n))
        assert vh.shape == (*batch, n if full else min(m, n), n)
        assert_is_svd_of(a, u, s, vh)
    values = cupy.linalg.svd(x, compute_uv=False)
    assert_close(values, np.linalg.svd(a, compute_uv=False), scale=4 * max(shape))
    np.testing.assert_array_equal(x.get(), a)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(5, 5), (7, 4), (4, 7)])
@pytest.mark.parametrize("full", [True, False])
def test_svd_by_jacobi_agrees_with_numpy(dtype, shape, full):
    a = numbers(shape, dtype)
    u, s, v = cusolver.gesvdj(cupy.asarray(a), full_matrices=full)
    assert_is_svd_of(a, u, s, v.conj().T)
    values = cusolver.gesvdj(cupy.asarray(a), compute_uv=False)
    assert_close(values, np.linalg.svd(a, compute_uv=False), scale=32)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(5, 5), (7, 4), (4, 7)])
def test_functions_that_use_singular_values_agree_with_numpy(dtype, shape):
    a = numbers(shape, dtype)
    b = numbers((shape[0], 2), dtype, seed=1)
    x = cupy.asarray(a)
    assert_close(cupy.linalg.pinv(x), np.linalg.pinv(a), scale=32)
    solution = cupy.linalg.lstsq(x, cupy.asarray(b), rcond=None)[0]
    assert_close(solution, np.linalg.lstsq(a, b, rcond=None)[0], scale=32)
    assert int(cupy.linalg.matrix_rank(x)) == np.linalg.matrix_rank(a)
    for order in (2, -2, "nuc", "fro", 1, np.inf):
        assert_close(cupy.linalg.norm(x, order), np.linalg.norm(a, order), scale=32)


def test_the_rank_of_a_matrix_without_full_rank():
    a = numbers((6, 2), "d") @ numbers((2, 5), "d", seed=1)
    assert int(cupy.linalg.matrix_rank(cupy.asarray(a))) == 2


# --- eigenvalues ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("uplo", "LU")
def test_eigenvalues_of_hermitian_matrices_agree_with_numpy(dtype, batch, uplo):
    a = hermitian((*batch, 5, 5), dtype)
    # Only one triangle is read.
    spoiled = np.where(np.tri(5, dtype=bool) if uplo == "L" else np.tri(5, dtype=bool).T, a, np.nan)
    x = cupy.asarray(spoiled, dtype)
    w, v = cupy.linalg.eigh(x, UPLO=uplo)
    assert_close(w, np.linalg.eigvalsh(a), scale=32)
    w = w.get()
    v = v.get()
    assert_close(a @ v, v * w[..., None, :], scale=32)
    assert_close(adjoint(v) @ v, identity(a), scale=32)
    assert_close(cupy.linalg.eigvalsh(x, UPLO=uplo), np.linalg.eigvalsh(a), scale=32)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("batch", BATCHES)
def test_eigenvalues_of_general_matrices_agree_with_numpy(dtype, batch):
    a = numbers((*batch, 5, 5), dtype)
    x = cupy.asarray(a)
    w, v = (y.get() for y in cupy.linalg.eig(x))
    complex_type = dtype.upper()
    assert w.dtype == v.dtype == np.dtype(complex_type)
    assert_close(np.asarray(a @ v, complex_type), v * w[..., None, :], scale=32)
    expected = np.asarray(np.linalg.eigvals(a), complex_type)
    assert_close(np.sort(w, axis=-1), np.sort(expected, axis=-1), scale=64)
    values = cupy.linalg.eigvals(x).get()
    assert_close(np.sort(values, axis=-1), np.sort(expected, axis=-1), scale=64)


def test_the_eigenvectors_of_a_rotation_are_conjugate():
    w, v = (y.get() for y in cupy.linalg.eig(cupy.asarray([[0.0, -1.0], [1.0, 0.0]])))
    assert_close(w, np.array([1j, -1j]))
    assert_close(v[:, 0], v[:, 1].conj())


# --- counts, and invalid arguments ------------------------------------------------------------------


def test_a_factorization_is_counted_as_a_launch_with_its_name():
    a = cupy.asarray(hermitian((3, 3), "f"))
    cupy.linalg.cholesky(a)
    with counting(names=True) as counts:
        cupy.linalg.cholesky(a)
    assert counts.products == 0
    assert "launch cusolverDnSpotrf" in counts.names


def test_a_workspace_that_is_too_small_raises(capfd):
    handle = device.get_cusolver_handle()
    a = cupy.eye(4)
    info = cupy.empty(1, "i")
    size = library.dpotrf_bufferSize(handle, 0, 4, a.data.ptr, 4)
    work = cupy.empty(size)
    library.dpotrf(handle, 0, 4, a.data.ptr, 4, work.data.ptr, size, info.data.ptr)
    with pytest.raises(library.CUSOLVERError, match="INVALID_VALUE"):
        library.dpotrf(handle, 0, 4, a.data.ptr, 4, work.data.ptr, size - 1, info.data.ptr)
    assert "cusolverDnDpotrf: the workspace has" in capfd.readouterr().err


def test_gesvd_with_fewer_rows_than_columns_raises(capfd):
    handle = device.get_cusolver_handle()
    a = cupy.ones((3, 2))  # column by column 2 x 3
    size = library.dgesvd_bufferSize(handle, 2, 3)
    work = cupy.empty(size)
    s = cupy.empty(2)
    info = cupy.empty(1, "i")
    with pytest.raises(library.CUSOLVERError, match="INVALID_VALUE"):
        library.dgesvd(
            *(handle, ord("N"), ord("N"), 2, 3, a.data.ptr, 2, s.data.ptr, 0, 2, 0, 3),
            *(work.data.ptr, size, 0, info.data.ptr),
        )
    assert "gesvd needs m >= n" in capfd.readouterr().err


@in_order
def test_memory_of_the_host_raises(capfd):
    handle = device.get_cusolver_handle()
    a = np.eye(4)
    pivots = cupy.empty(4, "i")
    info = cupy.empty(1, "i")
    work = cupy.empty(library.dgetrf_bufferSize(handle, 4, 4, a.ctypes.data, 4))
    with pytest.raises(library.CUSOLVERError, match="EXECUTION_FAILED"):
        library.dgetrf(
            *(handle, 4, 4, a.ctypes.data, 4, work.data.ptr, pivots.data.ptr, info.data.ptr)
        )
    assert "no memory of a device" in capfd.readouterr().err


def test_a_function_that_is_not_emulated_prints_its_name(capfd):
    handle = device.get_cusolver_handle()
    with pytest.raises(library.CUSOLVERError, match="NOT_SUPPORTED"):
        library.sgebrd_bufferSize(handle, 3, 3)
    assert "cusolverDnSgebrd_bufferSize is not emulated" in capfd.readouterr().err
