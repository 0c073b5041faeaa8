"""The emulated libraries run their work in the stream of their handle."""

import pytest

from tests.host_cuda.device import NOT_EMULATED, emulated

if not emulated():
    pytest.skip(NOT_EMULATED, allow_module_level=True)

# Each step needs the result of the previous one; all run late unless something waits for them.
CHAIN = """
import cupy, cupy.cublas, numpy
a = numpy.random.default_rng(0).normal(size=(6, 6))
with cupy.cuda.Stream(non_blocking=True) as stream:
    x = cupy.asarray(a) * 1.0
    product = x @ x
    inverse = cupy.linalg.inv(product)
    spectrum = cupy.fft.fft(inverse)
    factor = cupy.linalg.cholesky(inverse @ inverse.T)
    noise = cupy.random.RandomState(0).normal(size=(6, 6))
    total = spectrum + factor + 0 * noise
    norm = cupy.cublas.nrm2(product.ravel(), out=numpy.zeros(()))
expected = numpy.linalg.inv(a @ a)
expected = numpy.fft.fft(expected) + numpy.linalg.cholesky(expected @ expected.T)
"""

ONE_STREAM = """
assert numpy.allclose(norm, numpy.linalg.norm(a @ a)), "the host did not wait for its number"
stream.synchronize()
assert numpy.allclose(total.get(), expected)
"""

TWO_STREAMS = """
with cupy.cuda.Stream(non_blocking=True) as other:
    if {ordered}:
        other.wait_event(stream.record())
    seen = total @ total
other.synchronize()
print("right" if numpy.allclose(seen.get(stream=other), expected @ expected) else "wrong")
"""

NO_WAIT = CHAIN.replace("    norm = cupy.cublas.nrm2(product.ravel(), out=numpy.zeros(()))\n", "")


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_libraries_keep_the_order_of_one_stream(child, seed):
    child(CHAIN + ONE_STREAM, HOST_CUDA_SHUFFLE=seed)


def test_a_missing_wait_is_noticed_and_an_event_fixes_it(child):
    """A wrong result without the event shows that the work does run late."""
    seeds = ("1", "2", "3", "4")
    seen = {
        ordered: {
            child(NO_WAIT + TWO_STREAMS.format(ordered=ordered), HOST_CUDA_SHUFFLE=seed).strip()
            for seed in seeds
        }
        for ordered in (False, True)
    }
    assert "wrong" in seen[False]
    assert seen[True] == {"right"}
