"""Masks drawn on the GPU: the numbers are Philox's, and setting a state repeats them."""

import copy
import json
import pickle

import numpy as np
import pytest

import xpnet
from xpnet import BackendError, StateError, Variable, functions as F, random, to_numpy
from xpnet.kernels import philox
from xpnet.random import DeviceGenerator
from xpnet.training import Trainer

RTOL = {"float16": 1e-3, "float32": 1e-7, "float64": 1e-15}
# From the paper's authors: counter, key, and the block (Random123, kat_vectors).
KNOWN = [
    ((0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**64 - 1, 2**64 - 1), 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x85A308D3243F6A88, 0x0370734413198A2E),
        0x299F31D0A4093822,
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def block_of(key, number, high=0):
    """The definition, in Python's integers."""
    low, top = 0xFFFFFFFF, 32
    c = [number & low, number >> top, high & low, high >> top]
    k = [key & low, key >> top]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> top) ^ c[1] ^ k[0], b & low, (a >> top) ^ c[3] ^ k[1], a & low]
        k = [(k[0] + 0x9E3779B9) & low, (k[1] + 0xBB67AE85) & low]
    return c


@pytest.fixture
def seeded():
    """`manual_seed`; after the test, xpnet's own streams are what they were before."""
    before = random.state()
    yield xpnet.manual_seed
    random.set_state(before)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter, key, expected):
    """The definition that the tests below compare with returns the numbers that the authors published."""
    assert tuple(block_of(key, *counter)) == expected


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers_of_the_kernel(cupy_backend, counter, key, expected):
    assert tuple(to_numpy(philox.words(key, *counter)).tolist()) == expected


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 2, 2), (0, 4)])
def test_a_mask_is_drawn_from_the_stream(cupy_backend, dtype, shape):
    """It is made block by block from the generator's position, with 24 bits per number."""
    rng, p = DeviceGenerator(7), 0.3
    rng.advance(5)
    n = int(np.prod(shape))
    blocks = [block_of(rng.key, 5 + i) for i in range(-(-n // 4))]
    u = np.asarray([w >> 8 for block in blocks for w in block][:n]) / 2.0**24
    expected = np.where(u >= np.float32(p), 1.0 / 0.7, 0.0).reshape(shape)
    found = philox.drawn_mask(rng, cupy_backend.asarray(np.zeros(shape, dtype)), p)
    assert found.dtype == dtype
    np.testing.assert_allclose(to_numpy(found), expected, rtol=RTOL[dtype])
    assert rng.counter == 5 + len(blocks)


def test_dropout_on_the_device(cupy_backend, seeded):
    """0.8 of 100,000 numbers stay, within five standard deviations; the gradient has the same mask."""
    seeded(3, device=True)
    x = Variable(cupy_backend.asarray(np.ones(100_000, "float32")))
    y = F.dropout(x, 0.2)
    F.sum(y).backward()
    assert to_numpy(x.grad).tolist() == to_numpy(y).tolist()
    share = float((to_numpy(y) != 0.0).mean())
    assert abs(share - 0.8) < 5.0 * (0.2 * 0.8 / 100_000) ** 0.5
    assert (to_numpy(F.dropout(x, 0.2)) != to_numpy(y)).any()
    assert float(F.sum(F.dropout(x, 1.0))) == 0.0
    assert F.dropout(x, 0.0) is x


def test_a_checkpointed_function_draws_its_mask_again(cupy_backend, seeded):
    """It draws from xpnet's stream, and from a generator of its own."""
    own = DeviceGenerator(5)
    x = cupy_backend.asarray(np.ones((8, 8), "float32"))
    for rng in (None, own):
        seeded(3, device=True)
        v = Variable(x)
        y = xpnet.gradient_checkpoint(lambda x, rng=rng: F.dropout(x * x, 0.5, rng=rng))(v)
        F.sum(y).backward()
        assert to_numpy(v.grad).tolist() == (2.0 * to_numpy(y)).tolist()


def test_a_state_repeats_the_masks(seeded):
    """Through JSON too; after a state without a device stream, the host draws the masks again."""
    seeded(4)
    plain = random.state()
    seeded(4, device=True)
    random.mask_rng(None).advance(9)
    kept = json.loads(json.dumps(random.state()))
    seeded(5)
    random.set_state(kept)
    rng = random.mask_rng(None)
    assert (rng.key, rng.counter) == (DeviceGenerator(4).key, 9)
    random.set_state(plain)
    assert not isinstance(random.mask_rng(None), DeviceGenerator)
    assert random.state() == plain


@pytest.mark.parametrize("wrong", [{"key": -1}, {"counter": 2**64}, {"bit_generator": "PCG64"}])
def test_an_invalid_state_is_an_error(wrong):
    rng = DeviceGenerator(1)
    before = rng.state
    with pytest.raises(StateError, match="Expected the state of a DeviceGenerator"):
        random.set_state(before | wrong, rng)
    assert rng.state == before


def test_a_generator_is_copied_and_pickled():
    rng = DeviceGenerator(1)
    rng.advance(3)
    for other in (copy.deepcopy(rng), pickle.loads(pickle.dumps(rng))):
        assert other.state == rng.state
        assert other.advance(1) == 3
    assert rng.counter == 3
    with pytest.raises(AttributeError, match="only dropout masks, and has no 'normal'"):
        rng.normal()


def test_on_another_library_it_is_an_error(backend, array, seeded):
    """Numbers are never drawn on the host instead."""
    if backend.name.startswith("cupy"):
        pytest.skip("CuPy draws them")
    seeded(0, device=True)
    for rng in (None, DeviceGenerator(1)):
        with pytest.raises(
            BackendError, match="expected a CuPy array, to draw its mask on the GPU, got an"
        ):
            F.dropout(array([1.0, 2.0]), 0.5, rng=rng)
    F.dropout(array([1.0, 2.0]), 0.5, rng=0)


@pytest.mark.parametrize("own", [False, True], ids=["the process's stream", "a layer's own"])
def test_a_training_resumes_bit_for_bit(cupy_backend, seeded, tmp_path, own):
    """Masks continue where they stopped."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(24, 4)).astype("float32"), rng.integers(0, 3, 24)

    def trainer():
        seeded(1, device=not own)
        dropout = xpnet.Dropout(0.5, rng=DeviceGenerator(2) if own else None)
        layers = [xpnet.Affine(4, 8, rng=0), dropout, xpnet.Affine(8, 3, rng=1)]
        model = xpnet.Sequential(*layers)
        return Trainer(model, F.softmax_cross_entropy, xpnet.Adam(model.parameters()), rng=3)

    whole = trainer()
    whole.fit(data, epochs=3, batch_size=8)
    half = trainer()
    half.fit(data, epochs=1, batch_size=8)
    half.save(tmp_path / "half")
    again = trainer()
    xpnet.manual_seed(99)
    again.fit(data, epochs=3, batch_size=8, resume=tmp_path / "half")
    for p, q in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert to_numpy(p).tobytes() == to_numpy(q).tobytes()
