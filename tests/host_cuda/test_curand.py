"""The emulated cuRAND, through cupy.random.RandomState."""

import numpy as np
import pytest
from scipy import stats

from tests.host_cuda.device import NOT_EMULATED, counting, emulated

if not emulated():
    pytest.skip(NOT_EMULATED, allow_module_level=True)

import cupy
from cupy_backends.cuda.libs import curand

N = 20000
UNLIKELY = 1e-4  # with the fixed seeds, every test of a distribution gives a larger p-value


@pytest.fixture
def generator():
    """A generator with the seed 0, as CuPy creates it."""
    generator = curand.createGenerator(curand.CURAND_RNG_PSEUDO_DEFAULT)
    curand.setPseudoRandomGeneratorSeed(generator, 0)
    curand.setGeneratorOffset(generator, 0)
    yield generator
    curand.destroyGenerator(generator)


def words(generator, n):
    out = cupy.empty(n, "u4")
    curand.generate(generator, out.data.ptr, n)
    return out.get()


def test_the_words_are_philox(generator):
    # The first known answer of the authors' library Random123: counter 0, key 0, ten rounds.
    assert [f"{word:08x}" for word in words(generator, 4)] == [
        *("6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8")
    ]


def test_the_stream_continues_and_repeats_by_seed_and_offset(generator):
    whole = words(generator, 11)
    assert len(set(whole)) == 11
    curand.setPseudoRandomGeneratorSeed(generator, 0)
    parts = [words(generator, n) for n in (3, 1, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    curand.setGeneratorOffset(generator, 5)
    np.testing.assert_array_equal(words(generator, 6), whole[5:])
    curand.setPseudoRandomGeneratorSeed(generator, 1)
    assert not np.isin(words(generator, 11), whole).any()


def test_a_64_bit_word_is_two_32_bit_words(generator):
    short = words(generator, 8).astype("u8")
    curand.setGeneratorOffset(generator, 0)
    out = cupy.empty(4, "u8")
    curand.generateLongLong(generator, out.data.ptr, 4)
    np.testing.assert_array_equal(out.get(), short[::2] + (short[1::2] << 32))


@pytest.mark.parametrize("dtype", ["f", "d"])
def test_uniform_numbers_have_their_distribution(dtype):
    x = cupy.random.RandomState(1).random_sample(N, dtype=dtype).get()
    assert x.dtype == dtype
    assert 0 <= x.min() < x.max() < 1
    assert stats.kstest(x, "uniform").pvalue > UNLIKELY
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / np.sqrt(N)


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("n", [N, N + 1])
def test_normal_numbers_have_their_distribution(dtype, n):
    x = cupy.random.RandomState(2).normal(3.0, 2.0, n, dtype=dtype).get()
    assert x.shape == (n,)
    assert x.dtype == dtype
    assert stats.kstest((x - 3) / 2, "norm").pvalue > UNLIKELY
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / np.sqrt(N)


@pytest.mark.parametrize("dtype", ["f", "d"])
def test_lognormal_numbers_have_their_distribution(dtype):
    x = cupy.random.RandomState(3).lognormal(1.0, 0.5, N, dtype=dtype).get()
    assert stats.kstest((np.log(x) - 1) / 0.5, "norm").pvalue > UNLIKELY


@pytest.mark.parametrize("mean", [0.5, 30.0, 5000.0])
def test_poisson_numbers_have_their_mean_and_variance(generator, mean):
    out = cupy.empty(N, "u4")
    curand.generatePoisson(generator, out.data.ptr, N, mean)
    x = out.get().astype("d")
    assert abs(x.mean() - mean) < 4 * np.sqrt(mean / N)
    assert abs(x.var() / mean - 1) < 4 * np.sqrt((2 + 1 / mean) / N)
    curand.generatePoisson(generator, out.data.ptr, N, mean)
    assert (out.get() != x).any()


def test_integers_are_uniform_and_follow_the_seed():
    state = cupy.random.RandomState(4)
    x = state.randint(0, 10, N).get()
    assert stats.chisquare(np.bincount(x, minlength=10)).pvalue > UNLIKELY
    again = cupy.random.RandomState(4).randint(0, 10, N).get()
    np.testing.assert_array_equal(x, again)
    other = cupy.random.RandomState(5).randint(0, 10, N).get()
    assert (x != other).any()


def test_drawing_numbers_is_one_launch():
    state = cupy.random.RandomState(6)
    state.standard_normal(8)
    with counting(names=True) as counts:
        state.standard_normal(8)
    assert "launch curandGenerateNormalDouble" in counts.names
    assert counts.to_device == counts.to_host == 0


def test_generators_with_compiled_kernels_raise():
    with pytest.raises(NotImplementedError, match=r"XORWOW runs compiled device code.*RandomState"):
        cupy.random.default_rng(0)


def test_quasirandom_and_destroyed_generators_raise(capfd):
    with pytest.raises(curand.CURANDError, match="TYPE_ERROR"):
        curand.createGenerator(curand.CURAND_RNG_QUASI_SOBOL32)
    generator = curand.createGenerator(curand.CURAND_RNG_PSEUDO_XORWOW)
    curand.destroyGenerator(generator)
    with pytest.raises(curand.CURANDError, match="NOT_INITIALIZED"):
        curand.setGeneratorOffset(generator, 0)
    assert "quasirandom generators are not emulated" in capfd.readouterr().err
