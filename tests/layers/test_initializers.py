"""Initializers: their variances, and the same bits on every backend."""

import hashlib
import math
import tracemalloc

import pytest

import xpnet
from xpnet import (
    MLP,
    ShapeError,
    functions as F,
    manual_seed,
    to_numpy,
    using,
)
from xpnet.layers import initializers as init
from xpnet.random import BLOCK, default_rng, in_blocks

SHAPE = (300, 200)
VARIANCES = {
    "glorot_normal": 2 / 500,
    "glorot_uniform": 2 / 500,
    "he_normal": 2 / 300,
    "he_uniform": 2 / 300,
    "lecun_normal": 1 / 300,
    "lecun_uniform": 1 / 300,
    "normal": 0.01**2,
}


@pytest.mark.parametrize("name", VARIANCES)
def test_variance(backend, name):
    """Mean 0 and the paper's variance, within the error of 60,000 draws, on the current backend."""
    W = init.initializer(name)(SHAPE, 0)
    assert W.dtype == backend.dtype
    host, std = to_numpy(W).astype("float64"), math.sqrt(VARIANCES[name])
    assert abs(host.mean()) < 4 * std / math.sqrt(60_000)
    assert abs(host.var() / VARIANCES[name] - 1) < 4 * math.sqrt(2 / 60_000)
    if name.endswith("uniform"):
        assert abs(host).max() <= math.sqrt(3) * std


KERNEL = (50, 20, 5, 3)
OF_KERNELS = {"glorot_normal": 2 / 1050, "he_uniform": 2 / 300, "lecun_normal": 1 / 300}


@pytest.mark.parametrize("name", OF_KERNELS)
def test_variance_of_a_kernel(backend, name):
    """For (outputs, channels, *lengths), fan_in is 20 * 5 * 3 and fan_out is 50 * 5 * 3."""
    host = to_numpy(init.initializer(name)(KERNEL, 0)).astype("float64")
    assert host.shape == KERNEL
    assert abs(host.var() / OF_KERNELS[name] - 1) < 4 * math.sqrt(2 / 15_000)


def test_zeros(backend):
    """Zeros, for biases."""
    b = init.zeros((3,))
    assert to_numpy(b).tolist() == [0.0, 0.0, 0.0]
    assert b.dtype == backend.dtype


def test_a_function_can_be_an_initializer(backend):
    """initializer(f) is f; fans need two dimensions or more."""
    assert init.initializer(init.zeros) is init.zeros
    with pytest.raises(ShapeError, match=r"got \(3,\)"):
        init.he_normal((3,))


def test_one_seed_gives_the_same_bits_everywhere(backend):
    """Weights and shuffles: the digest is that of NumPy's own draws, on every backend."""
    manual_seed(7)
    model = MLP(20, [10, 5], 3)
    order = default_rng().permutation(1000)
    bits = b"".join(to_numpy(p).tobytes() for p in model.parameters()) + order.tobytes()
    with using("numpy"):
        manual_seed(7)
        reference = MLP(20, [10, 5], 3)
        expected = b"".join(to_numpy(p).tobytes() for p in reference.parameters())
        expected += default_rng().permutation(1000).tobytes()
    assert hashlib.sha256(bits).hexdigest() == hashlib.sha256(expected).hexdigest()


def test_random_numbers_are_numpys(backend):
    """He's weights are NumPy's standard normal numbers of the seed, scaled, then cast."""
    np = pytest.importorskip("numpy")
    expected = np.random.default_rng(3).standard_normal((4, 2)) * math.sqrt(2 / 4)
    assert to_numpy(init.he_normal((4, 2), 3)).tolist() == expected.astype("float32").tolist()


def test_seeds_differ_and_a_generator_continues(backend):
    """manual_seed restarts the stream, which continues otherwise; a generator is used as it is."""
    manual_seed(1)
    a, b = to_numpy(init.normal((5,))), to_numpy(init.normal((5,)))
    manual_seed(1)
    again = to_numpy(init.normal((5,)))
    assert a.tolist() == again.tolist() != b.tolist()
    rng = default_rng(5)
    assert default_rng(rng) is rng


MANY = (BLOCK // 100 + 7, 251)  # two blocks and a part of a third


def test_blocks_are_one_stream(backend):
    """Numbers drawn a block at a time equal those of a single draw, and the stream continues after them."""
    np = pytest.importorskip("numpy")
    count = MANY[0] * MANY[1]
    assert count > 2 * BLOCK
    assert count % BLOCK
    bound = math.sqrt(3.0 / MANY[0])
    for name, draw in {
        "lecun_normal": lambda rng: rng.standard_normal(MANY) * math.sqrt(1.0 / MANY[0]),
        "lecun_uniform": lambda rng: rng.uniform(-bound, bound, MANY),
    }.items():
        ours, theirs = np.random.default_rng(3), np.random.default_rng(3)
        drawn = to_numpy(init.initializer(name)(MANY, ours))
        np.testing.assert_array_equal(drawn, draw(theirs).astype("float32"))
        assert ours.random() == theirs.random()


def test_layers_draw_from_one_stream():
    """Recurrent weights, a table, a mask of dropout: NumPy's numbers of the seed."""
    np = pytest.importorskip("numpy")
    with using("numpy"):
        cell = xpnet.RNN(300, 300, rng=5)
        expected = np.random.default_rng(5).uniform(
            -1 / math.sqrt(300), 1 / math.sqrt(300), (300, 300)
        )
        np.testing.assert_array_equal(cell.weight_ih_l0.data, expected.astype("float32"))
        table = xpnet.Embedding(*MANY, padding_idx=1, rng=5)
        expected = np.random.default_rng(5).standard_normal(MANY).astype("float32")
        expected[1] = 0.0
        np.testing.assert_array_equal(table.weight.data, expected)
        kept = np.random.default_rng(5).random(MANY, dtype="float32") >= 0.25
        y = F.dropout(np.ones(MANY, "float32"), 0.25, rng=5)
        np.testing.assert_array_equal(y != 0.0, kept)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 3), (BLOCK,), (BLOCK + 1,)])
def test_blocks_of_any_shape(shape):
    """Each number once, in order, whatever is left over for the last block."""
    np = pytest.importorskip("numpy")
    numbers = iter(range(BLOCK + 1))
    drawn = in_blocks(shape, "float64", lambda n: [next(numbers) for _ in range(n)])
    assert drawn.shape == shape
    assert drawn.reshape(-1).tolist() == list(range(drawn.size))
    assert drawn.dtype == np.float64


@pytest.mark.parametrize("name", ["he_normal", "glorot_uniform"])
def test_memory(name):
    """At its peak not much above the result itself: no second array in float64."""
    with using("numpy"):
        init.initializer(name)((2, 2), 0)
        tracemalloc.start()
        try:
            W = init.initializer(name)((1024, 2048), 0)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 1.2 * W.nbytes
