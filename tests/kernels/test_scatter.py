"""Rows added up by index on CuPy: equal to NumPy's sums for every dtype, with the same bits each time."""

import numpy as np
import pytest

from xpnet import Adam, Affine, Embedding, Flatten, Sequential, functions as F, to_numpy
from xpnet._libraries import library_of
from xpnet.kernels.scatter import added_by_index
from xpnet.testing import assert_close
from xpnet.training import Trainer

DTYPES = [
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip
NUMBERS = [2, 0, -1, 2, -4, 0, 2]


def expected(x, numbers, length):
    """The definition, one row after another."""
    y = np.zeros((length, *x.shape[1:]), x.dtype)
    for number, row in zip(numbers, x, strict=True):
        y[number] += row
    return y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rest", [(), (3,), (2, 3)])
def test_rows_of_every_dtype(cupy_backend, dtype, rest):
    """Indices from the front and from the end; small integers wrap around as NumPy's do."""
    x = (np.arange(np.prod((7, *rest))) * 3).reshape(7, *rest).astype(dtype)
    if np.dtype(dtype).kind == "c":
        x = x * np.asarray(1 - 2j, dtype)
    y = added_by_index(cupy_backend.asarray(x), cupy_backend.asarray(np.asarray(NUMBERS)), 4)
    assert y.dtype == x.dtype
    assert to_numpy(y).tolist() == expected(x, NUMBERS, 4).tolist()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "uint64"])
def test_numbers_of_every_dtype(cupy_backend, dtype):
    numbers = np.asarray([2, 0, 1, 2], dtype)
    x = np.asarray([1.0, 2.0, 3.0, 4.0], "float32")
    y = added_by_index(cupy_backend.asarray(x), cupy_backend.asarray(numbers), 4)
    assert to_numpy(y).tolist() == [2.0, 3.0, 5.0, 0.0]


def test_it_agrees_with_the_portable_sum(cupy_backend):
    """The matrix may be a view."""
    rng = np.random.default_rng(0)
    x = cupy_backend.asarray(rng.normal(size=(6, 50)).astype("float32")).T
    numbers = cupy_backend.asarray(rng.integers(-9, 9, 50))
    zeros = cupy_backend.xp.zeros((9, 6), dtype=x.dtype)
    portable = library_of(x).scatter_add(zeros, numbers, x)
    assert_close(added_by_index(x, numbers, 9), portable, rtol=1e-6)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (4, 0)])
def test_nothing_to_add(cupy_backend, shape):
    x, numbers = np.zeros(shape, "float32"), np.zeros(shape[:1], "int64")
    y = added_by_index(cupy_backend.asarray(x), cupy_backend.asarray(numbers), 5)
    assert to_numpy(y).tolist() == np.zeros((5, *shape[1:])).tolist()
    assert added_by_index(cupy_backend.asarray(x), cupy_backend.asarray(numbers), 0).shape[0] == 0


def test_float16_is_added_up_in_float32(cupy_backend):
    """In float16 itself the sum of ones ends at 2048."""
    x = cupy_backend.asarray(np.ones(3000, "float16"))
    y = added_by_index(x, cupy_backend.asarray(np.zeros(3000, "int64")), 1)
    assert float(y[0]) == 3000.0


def test_the_same_bits_each_time(cupy_backend):
    """Rows are added in the order in which they occur, as NumPy adds them one after another."""
    x = np.random.default_rng(0).normal(size=(500, 2)).astype("float32")
    numbers = np.random.default_rng(1).integers(0, 3, 500)
    here = cupy_backend.asarray(x), cupy_backend.asarray(numbers)
    first, second = to_numpy(added_by_index(*here, 3)), to_numpy(added_by_index(*here, 3))
    assert first.tobytes() == second.tobytes() == expected(x, numbers, 3).tobytes()


def test_a_training_with_an_embedding_resumes_bit_for_bit(cupy_backend, tmp_path):
    """Rows that occur often get the same sum in every run."""
    rng = np.random.default_rng(0)
    data = rng.integers(0, 3, (64, 9)), rng.integers(0, 2, 64)

    def trainer():
        layers = [Embedding(3, 4, rng=0), Flatten(), Affine(36, 2, rng=1)]
        model = Sequential(*layers)
        return Trainer(model, F.softmax_cross_entropy, Adam(model.parameters()), rng=3)

    whole, half, again = trainer(), trainer(), trainer()
    whole.fit(data, epochs=2, batch_size=32)
    half.fit(data, epochs=1, batch_size=32)
    half.save(tmp_path / "half")
    again.fit(data, epochs=2, batch_size=32, resume=tmp_path / "half")
    for p, q in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert to_numpy(p).tobytes() == to_numpy(q).tobytes()
