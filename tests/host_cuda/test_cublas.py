"""The emulated cuBLAS compared with NumPy: products of matrices, and invalid arguments."""

import numpy as np
import pytest

from tests.host_cuda.arrays import (
    OPERATIONS,
    TYPES,
    assert_close,
    in_order,
    integers,
    numbers,
)
from tests.host_cuda.device import NOT_EMULATED, counting, emulated

if not emulated():
    pytest.skip(NOT_EMULATED, allow_module_level=True)

import cupy
from cupy import cublas
from cupy_backends.cuda.libs import cublas as library


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
def test_products_agree_with_numpy(dtype, first, second):
    a = numbers(first, dtype)
    b = numbers(second, dtype, seed=1)
    assert_close(cupy.matmul(on_device(a), on_device(b)), np.matmul(a, b), scale=4)


@pytest.mark.parametrize("dtype", TYPES)
def test_products_of_views_agree_with_numpy(dtype):
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
    assert np.abs(exact).max() > 2048  # above this, float16 cannot represent all integers
    assert_close(cupy.matmul(on_device(a), on_device(b)), exact.astype("e"))


@pytest.mark.parametrize("out", ["bfloat16", "float32"])
def test_bfloat16_is_computed_in_float32(handle, out):
    # The upper half of a float32 is a bfloat16; it is exact for small integers and their products.
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
def test_gemm_follows_alpha_beta_and_the_operations(dtype, transa, transb):
    a = numbers((4, 3) if transa == "N" else (3, 4), dtype)
    b = numbers((3, 5) if transb == "N" else (5, 3), dtype, seed=1)
    c = numbers((4, 5), dtype, seed=2)
    expected = 2 * OPERATIONS[transa](a) @ OPERATIONS[transb](b) - 3 * c
    for order in "CF":
        if order == "C" and "H" in (transa, transb):
            continue  # CuPy's own restriction: it swaps the factors, and supports only N and T
        out = on_device(c, order=order)
        x = on_device(a, order="F")
        y = on_device(b, order="F")
        cublas.gemm(transa, transb, x, y, out=out, alpha=2.0, beta=-3.0)
        assert_close(out, np.asarray(expected, dtype), scale=8)
        out = on_device(c, order=order)
        alpha = cupy.asarray(2, dtype)  # lies on the device: the pointer mode changes
        cublas.gemm(transa, transb, x, y, out=out, alpha=alpha, beta=cupy.asarray(-3, dtype))
        assert_close(out, np.asarray(expected, dtype), scale=8)


def test_gemm_does_not_read_the_output_if_beta_is_0():
    a = numbers((3, 3), "d")
    out = cupy.full((3, 3), np.nan)
    cublas.gemm("N", "N", on_device(a), on_device(a), out=out, beta=0.0)
    assert_close(out, a @ a)


@pytest.mark.parametrize("dtype", TYPES)
def test_strided_batches_and_batches_of_pointers_agree_with_numpy(handle, dtype):
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


# --- invalid arguments ------------------------------------------------------------------------------


def product(handle, a, b, c, *, ld=3):
    """Multiply two 3 x 3 matrices, given their addresses."""
    factors = np.array([1.0, 0.0])
    library.setPointerMode(handle, library.CUBLAS_POINTER_MODE_HOST)
    library.dgemm(
        *(handle, 0, 0, 3, 3, 3, factors[:1].ctypes.data, a, ld, b, 3),
        *(factors[1:].ctypes.data, c, 3),
    )


def test_a_leading_dimension_that_is_too_small_raises(handle, capfd):
    x = cupy.ones((3, 3))
    with pytest.raises(library.CUBLASError, match="INVALID_VALUE"):
        product(handle, x.data.ptr, x.data.ptr, x.data.ptr, ld=2)
    assert (
        "cublasDgemm: the leading dimension of A is 2, expected at least 3"
        in capfd.readouterr().err
    )


@in_order
def test_memory_of_the_host_raises(handle, capfd):
    x = cupy.ones((3, 3))
    a = np.ones((3, 3))
    with pytest.raises(library.CUBLASError, match="EXECUTION_FAILED"):
        product(handle, x.data.ptr, a.ctypes.data, x.data.ptr)
    assert "no memory of a device" in capfd.readouterr().err


@in_order
def test_an_array_that_is_too_small_raises(handle):
    memory = cupy.cuda.Memory(8 * 9)  # an allocation of its own, not a part of the pool's
    x = cupy.ones((3, 3))
    product(handle, memory.ptr, x.data.ptr, x.data.ptr)
    with pytest.raises(library.CUBLASError, match="EXECUTION_FAILED"):
        product(handle, memory.ptr + 8, x.data.ptr, x.data.ptr)


def test_a_destroyed_handle_raises(capfd):
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


def test_a_type_that_is_not_emulated_raises(handle, capfd):
    x = cupy.ones((4, 4), "i1")
    factors = np.array([1, 0], "i4")
    pointer = factors.ctypes.data
    with pytest.raises(library.CUBLASError, match="NOT_SUPPORTED"):
        library.gemmEx(
            *(handle, 0, 0, 4, 4, 4, pointer, x.data.ptr, 3, 4, x.data.ptr, 3, 4),
            *(pointer, x.data.ptr, 10, 4, 72, 0),
        )
    assert "the cudaDataTypes 3 and 3 to 10" in capfd.readouterr().err
