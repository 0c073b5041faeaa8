"""Initializers: their variances, and the same bits on every backend."""

import hashlib
import math

import pytest

from xpnet import MLP, ShapeError, initializers as init, manual_seed, to_numpy, using
from xpnet.random import default_rng

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
    """Mean 0 and the paper's variance, to the error of 60,000 draws; born where the switch says."""
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
    """(outputs, channels, *lengths): 20 * 5 * 3 numbers go in, 50 * 5 * 3 outputs come of one."""
    host = to_numpy(init.initializer(name)(KERNEL, 0)).astype("float64")
    assert host.shape == KERNEL
    assert abs(host.var() / OF_KERNELS[name] - 1) < 4 * math.sqrt(2 / 15_000)


def test_zeros(backend):
    """Zeros, for biases."""
    b = init.zeros((3,))
    assert to_numpy(b).tolist() == [0.0, 0.0, 0.0]
    assert b.dtype == backend.dtype


def test_a_function_is_its_own_initializer(backend):
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


def test_draws_are_numpys(backend):
    """He's weights are NumPy's standard normal numbers of the seed, scaled, then cast."""
    np = pytest.importorskip("numpy")
    expected = np.random.default_rng(3).standard_normal((4, 2)) * math.sqrt(2 / 4)
    assert to_numpy(init.he_normal((4, 2), 3)).tolist() == expected.astype("float32").tolist()


def test_seeds_differ_and_generators_go_on(backend):
    """manual_seed restarts; without it the stream goes on; a generator is used as it is."""
    manual_seed(1)
    a, b = to_numpy(init.normal((5,))), to_numpy(init.normal((5,)))
    manual_seed(1)
    again = to_numpy(init.normal((5,)))
    assert a.tolist() == again.tolist() != b.tolist()
    rng = default_rng(5)
    assert default_rng(rng) is rng
