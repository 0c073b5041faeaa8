"""Where the emulated cuBLAS and cuSOLVER find BLAS and LAPACK."""

import pytest

from tests.host_cuda.device import NOT_EMULATED, emulated

if not emulated():
    pytest.skip(NOT_EMULATED, allow_module_level=True)

PRODUCT = """
import cupy, numpy
x = numpy.arange(6.0).reshape(2, 3)
assert ((cupy.asarray(x) @ cupy.asarray(x.T)).get() == x @ x.T).all()
assert numpy.allclose(cupy.linalg.inv(cupy.eye(2) * 4).get(), numpy.eye(2) / 4)
"""

# SciPy brings an OpenBLAS of its own, whose integers have 32 bits.
SCIPY_FIRST = "import scipy.linalg, scipy.sparse.linalg\n" + PRODUCT

NAMED = """
import os, numpy
(path,) = {line.split()[-1] for line in open("/proc/self/maps") if "openblas64" in line}
os.environ["HOST_CUDA_LAPACK"] = path
"""

# The library prints to the standard error, which this code returns as its output.
REFUSED = """
import os
read, write = os.pipe()
os.dup2(write, 2)
import cupy
from cupy_backends.cuda.libs import cublas, cusolver
for library in (cublas, cusolver):
    try:
        library.create()
    except RuntimeError as error:
        print(error)
    print(os.read(read, 10000).decode())
"""


@pytest.mark.parametrize("code", [PRODUCT, SCIPY_FIRST], ids=["numpy", "scipy first"])
def test_numpys_openblas_is_found_among_the_loaded_libraries(child, code):
    child(code)


def test_the_environment_can_name_a_library(child):
    child(NAMED + PRODUCT)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/no/such/library.so", "HOST_CUDA_LAPACK cannot be loaded: /no/such/library.so"),
        ("libc.so.6", "HOST_CUDA_LAPACK is libc.so.6, which has no LAPACK with 64-bit integers"),
    ],
)
def test_creating_a_handle_raises_if_the_library_cannot_be_used(child, path, reason):
    printed = child(REFUSED, HOST_CUDA_LAPACK=path)
    assert printed.count(reason) == 2
    assert "CUBLAS_STATUS_NOT_INITIALIZED" in printed
    assert "CUSOLVER_STATUS_NOT_INITIALIZED" in printed
