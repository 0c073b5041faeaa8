"""cuBLAS of the emulated device against NumPy."""

import numpy as np
import pytest

from tests.host_cuda.arrays import (
    TYPES,
    adjoint,
    assert_close,
    in_order,
    integers,
    numbers,
)
from tests.host_cuda.device import counting, emulated

if not emulated():
    pytest.skip("needs the emulated CUDA device in this process", allow_module_level=True)

import cupy
from cupy import cublas
from cupy.cuda import device
from cupy_backends.cuda.libs import cublas as library

OPERATIONS = {"N": lambda a: a, "T": lambda a: a.swapaxes(-2, -1), "H": adjoint}


@pytest.fixture
def handle():
    """The handle of CuPy, with its modes as they are found."""
    handle = device.get_cublas_handle()
    mode = library.getPointerMode(handle)
    yield handle
    library.setPointerMode(handle, mode)


def on_device(a, order="C"):
    return cupy.asarray(a, order=order)


# --- products of matrices ---------------------------------------------------------------------------

SHAPES = [
    ((5, 7), (7, 3)),
    ((1, 1), (1, 1)),
    ((2, 300), (300, 4)),
    ((7,), (7, 3)),
    ((5, 7), (7,)),
    ((7,), (7,)),
    ((3, 5, 7), (3, 7, 2)),
    ((2, 3, 4, 5), (2, 3, 5, 6)),
    ((3, 5, 7), (7, 2)),
    ((1, 5, 7), (4, 7, 2)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("first", "second"), SHAPES)
def test_products_are_numpys(dtype, first, second):
    a = numbers(first, dtype)
    b = numbers(second, dtype, seed=1)
    assert_close(cupy.matmul(on_device(a), on_device(b)), np.matmul(a, b), scale=4)


@pytest.mark.parametrize("dtype", TYPES)
def test_products_of_views(dtype):
    a = numbers((6, 4), dtype)
    b = numbers((6, 4), dtype, seed=1)
    x = on_device(a)
    y = on_device(b, order="F")
    assert_close(x.T @ y, a.T @ b, scale=4)
    assert_close(x @ y.T, a @ b.T, scale=4)
    assert_close(x[::2] @ y[1::2].T, a[::2] @ b[1::2].T, scale=4)
    assert_close(x.conj().T @ y, a.conj().T @ b, scale=4)


@pytest.mark.parametrize("shape", [((8, 16), (16, 4)), ((3, 8, 16), (3, 16, 4))])
def test_float16_is_computed_in_float32_and_rounded_once(shape):
    a = (integers(shape[0], "f") * 100).astype("e")
    b = (integers(shape[1], "f", seed=1) * 9).astype("e")
    exact = np.matmul(a.astype("d"), b.astype("d"))
    assert np.abs(exact).max() > 2048  # beyond which float16 does not hold all integers
    assert_close(cupy.matmul(on_device(a), on_device(b)), exact.astype("e"))


@pytest.mark.parametrize("out", ["bfloat16", "float32"])
def test_bfloat16_is_computed_in_float32(handle, out):
    # The upper half of a float32 is a bfloat16; small integers and their products need no more.
    a = integers((4, 6), "f")
    b = integers((6, 5), "f", seed=1)
    halves = [on_device((x.T.copy().view("u4") >> 16).astype("u2")) for x in (a, b)]
    c = cupy.empty((5, 4), "u2" if out == "bfloat16" else "f")
    factors = np.array([1, 0], "f")
    types = {"bfloat16": 14, "float32": 0}
    library.gemmEx(
        *(handle, 0, 0, 4, 5, 6, factors[:1].ctypes.data),
        *(halves[0].data.ptr, 14, 4, halves[1].data.ptr, 14, 6),
        *(factors[1:].ctypes.data, c.data.ptr, types[out], 4),
        *(library.CUBLAS_COMPUTE_32F, library.CUBLAS_GEMM_DEFAULT),
    )
    result = c.get().T
    if out == "bfloat16":
        result = (result.astype("u4") << 16).view("f")
    np.testing.assert_array_equal(result, a @ b)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("transa", OPERATIONS)
@pytest.mark.parametrize("transb", OPERATIONS)
def test_gemm_with_factors(dtype, transa, transb):
    a = numbers((4, 3) if transa == "N" else (3, 4), dtype)
    b = numbers((3, 5) if transb == "N" else (5, 3), dtype, seed=1)
    c = numbers((4, 5), dtype, seed=2)
    expected = 2 * OPERATIONS[transa](a) @ OPERATIONS[transb](b) - 3 * c
    for order in "CF":
        if order == "C" and "H" in (transa, transb):
            continue  # CuPy's own restriction: it swaps the factors, and knows N and T
        out = on_device(c, order=order)
        x = on_device(a, order="F")
        y = on_device(b, order="F")
        cublas.gemm(transa, transb, x, y, out=out, alpha=2.0, beta=-3.0)
        assert_close(out, np.asarray(expected, dtype), scale=8)
        out = on_device(c, order=order)
        alpha = cupy.asarray(2, dtype)  # lies on the device: the pointer mode changes
        cublas.gemm(transa, transb, x, y, out=out, alpha=alpha, beta=cupy.asarray(-3, dtype))
        assert_close(out, np.asarray(expected, dtype), scale=8)


def test_what_beta_0_multiplies_is_not_read():
    a = numbers((3, 3), "d")
    out = cupy.full((3, 3), np.nan)
    cublas.gemm("N", "N", on_device(a), on_device(a), out=out, beta=0.0)
    assert_close(out, a @ a)


@pytest.mark.parametrize("dtype", TYPES)
def test_strided_batches_and_batches_of_pointers(handle, dtype):
    a = numbers((3, 4, 2), dtype)
    b = numbers((3, 5, 4), dtype, seed=1)
    x = on_device(a)  # column by column: 2 x 4 and 4 x 5
    y = on_device(b)
    expected = b @ a
    letter = {"f": "s", "d": "d", "F": "c", "D": "z"}[dtype]
    factors = np.array([1, 0], dtype)
    one = factors[:1].ctypes.data
    zero = factors[1:].ctypes.data
    z = cupy.empty((3, 5, 2), dtype)
    strided = getattr(library, f"{letter}gemmStridedBatched")
    strided(
        *(handle, 0, 0, 2, 5, 4, one, x.data.ptr, 2, 8),
        *(y.data.ptr, 4, 20, zero, z.data.ptr, 2, 10, 3),
    )
    assert_close(z, expected, scale=4)
    z.fill(0)
    pointers = [
        cupy.asarray([m.data.ptr + i * m[0].nbytes for i in range(3)], "u8") for m in (x, y, z)
    ]
    batched = getattr(library, f"{letter}gemmBatched")
    batched(
        *(handle, 0, 0, 2, 5, 4, one, pointers[0].data.ptr, 2),
        *(pointers[1].data.ptr, 4, zero, pointers[2].data.ptr, 2, 3),
    )
    assert_close(z, expected, scale=4)


def test_products_are_counted_as_products():
    x = on_device(numbers((4, 4), "f"))
    stacked = on_device(numbers((3, 4, 4), "f"))
    x @ x
    with counting(names=True) as counts:
        x @ x
        stacked @ stacked
        cublas.nrm2(x[0])
    assert counts.products == 2
    assert counts.launches == 1
    names = [name for name in counts.names if "cublas" in name]
    assert names == [
        "product cublasGemmEx",
        "product cublasGemmStridedBatchedEx",
        "launch cublasSnrm2",
    ]


# --- vectors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
def test_reductions_of_vectors_to_the_device_and_to_the_host(dtype):
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


def test_the_first_of_equal_elements_is_found():
    x = cupy.asarray([1.0, -3.0, 3.0, 1.0])
    assert int(cublas.iamax(x)) == 2
    assert int(cublas.iamin(x)) == 1


def test_the_norm_of_large_and_small_numbers_neither_overflows_nor_vanishes():
    assert float(cublas.nrm2(cupy.asarray([3e38, 3e38], "f")[:1])) == np.float32(3e38)
    assert float(cublas.nrm2(cupy.asarray([3e200, 4e200]))) == pytest.approx(5e200)
    assert float(cublas.nrm2(cupy.asarray([3e-200, 4e-200]))) == pytest.approx(5e-200)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("place", [np.asarray, cupy.asarray])
def test_axpy_and_scal(dtype, place):
    a = numbers((6,), dtype)
    b = numbers((6,), dtype, seed=1)
    y = on_device(b)
    cublas.axpy(place(2, dtype), on_device(a), y)
    assert_close(y, 2 * a + b)
    cublas.scal(place(3, dtype), y)
    assert_close(y, 3 * (2 * a + b))


def test_increments_that_are_negative_walk_backwards(handle):
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


def test_a_scalar_of_the_host_is_read_at_the_call(handle):
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
def test_gemv(dtype, trans):
    a = numbers((4, 3), dtype)
    x = numbers((3 if trans == "N" else 4,), dtype, seed=1)
    y = numbers((4 if trans == "N" else 3,), dtype, seed=2)
    out = on_device(y)
    cublas.gemv(trans, 2.0, on_device(a, order="F"), on_device(x), -1.0, out)
    assert_close(out, np.asarray(2 * OPERATIONS[trans](a) @ x - y, dtype), scale=4)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("order", "CF")
def test_rank_one_updates(dtype, order):
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
def test_a_symmetric_band_times_a_vector(dtype):
    n, k = 5, 1
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
def test_syrk_writes_one_triangle(dtype, trans, lower):
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
def test_geam(dtype, transa, transb):
    a = numbers((4, 3) if transa == "N" else (3, 4), dtype)
    b = numbers((4, 3) if transb == "N" else (3, 4), dtype, seed=1)
    x = on_device(a, order="F")
    y = on_device(b, order="F")
    expected = 2 * OPERATIONS[transa](a) - 3 * OPERATIONS[transb](b)
    assert_close(cublas.geam(transa, transb, 2.0, x, -3.0, y), np.asarray(expected, dtype), scale=4)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("side", ["L", "R"])
def test_dgmm(dtype, side):
    a = numbers((4, 3), dtype)
    x = numbers((4 if side == "L" else 3,), dtype, seed=1)
    expected = x[:, None] * a if side == "L" else a * x
    assert_close(cublas.dgmm(side, on_device(a, order="F"), on_device(x)), expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("uplo", [0, 1])
@pytest.mark.parametrize("trans", [0, 1, 2])
def test_triangular_systems(handle, dtype, side, uplo, trans):
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
def test_triangles_in_packed_storage(handle, dtype, uplo):
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


# --- what is refused --------------------------------------------------------------------------------


def product(handle, a, b, c, *, ld=3):
    factors = np.array([1.0, 0.0])
    library.setPointerMode(handle, library.CUBLAS_POINTER_MODE_HOST)
    library.dgemm(
        *(handle, 0, 0, 3, 3, 3, factors[:1].ctypes.data, a, ld, b, 3),
        *(factors[1:].ctypes.data, c, 3),
    )


def test_a_leading_dimension_that_is_too_small_is_refused(handle, capfd):
    x = cupy.ones((3, 3))
    with pytest.raises(library.CUBLASError, match="INVALID_VALUE"):
        product(handle, x.data.ptr, x.data.ptr, x.data.ptr, ld=2)
    assert (
        "cublasDgemm: the leading dimension of A is 2, expected at least 3"
        in capfd.readouterr().err
    )


@in_order
def test_memory_of_the_host_is_refused(handle, capfd):
    x = cupy.ones((3, 3))
    a = np.ones((3, 3))
    with pytest.raises(library.CUBLASError, match="EXECUTION_FAILED"):
        product(handle, x.data.ptr, a.ctypes.data, x.data.ptr)
    assert "no memory of a device" in capfd.readouterr().err


@in_order
def test_an_array_that_is_too_small_is_refused(handle):
    memory = cupy.cuda.Memory(8 * 9)  # an allocation of its own, not a part of the pool's
    x = cupy.ones((3, 3))
    product(handle, memory.ptr, x.data.ptr, x.data.ptr)
    with pytest.raises(library.CUBLASError, match="EXECUTION_FAILED"):
        product(handle, memory.ptr + 8, x.data.ptr, x.data.ptr)


def test_a_handle_that_was_destroyed_is_refused(capfd):
    handle = library.create()
    library.setPointerMode(handle, library.CUBLAS_POINTER_MODE_DEVICE)
    assert library.getPointerMode(handle) == library.CUBLAS_POINTER_MODE_DEVICE
    other = library.create()
    assert library.getPointerMode(other) == library.CUBLAS_POINTER_MODE_HOST
    library.destroy(other)
    library.destroy(handle)
    with pytest.raises(library.CUBLASError, match="NOT_INITIALIZED"):
        library.getPointerMode(handle)
    assert "created and not destroyed" in capfd.readouterr().err


def test_a_type_that_is_not_emulated_is_refused(handle, capfd):
    x = cupy.ones((4, 4), "i1")
    factors = np.array([1, 0], "i4")
    pointer = factors.ctypes.data
    with pytest.raises(library.CUBLASError, match="NOT_SUPPORTED"):
        library.gemmEx(
            *(handle, 0, 0, 4, 4, 4, pointer, x.data.ptr, 3, 4, x.data.ptr, 3, 4),
            *(pointer, x.data.ptr, 10, 4, 72, 0),
        )
    assert "the cudaDataTypes 3 and 3 to 10" in capfd.readouterr().err
