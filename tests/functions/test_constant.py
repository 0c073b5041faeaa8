"""Functions without a derivative return the library's own result, as a Variable without history."""

import array_api_compat as compat
import numpy as np
import pytest

from tests.functions.cases import CONSTANT, LACKS, STRUCTURAL, X, of
from xpnet import Variable, array_namespace, to_numpy
from xpnet.autodiff.namespace import kinds


def declared(kind):
    return sorted(name for name, k in kinds.items() if k == kind)


def test_every_constant_and_structural_function_has_a_case():
    assert sorted(CONSTANT) == declared("constant")
    assert sorted(STRUCTURAL) == declared("structural")


def parts(y):
    return y if isinstance(y, tuple) else (y,)


@pytest.fixture
def skip_what_lacks(backend):
    def skip(name):
        library = backend.name.partition(":")[0]
        if (name, library) in LACKS:
            pytest.skip(LACKS[name, library])

    return skip


@pytest.mark.parametrize("name", sorted(CONSTANT))
def test_constant(backend, array, skip_what_lacks, name):
    """On Variables that require a gradient, where their dtype allows it."""
    skip_what_lacks(name)
    hosts, options = CONSTANT[name]
    dtypes = {"f": "float32", "i": "int32", "b": "bool"}
    arrays = [array(host.tolist(), dtypes[host.dtype.kind]) for host in hosts]
    variables = [Variable(x) for x in arrays]
    options = {
        key: array(value.tolist(), "int64") if isinstance(value, np.ndarray) else value
        for key, value in options.items()
    }
    ys = parts(of(name)(array_namespace(*variables), *variables, **options))
    expected = parts(of(name)(array_namespace(*arrays), *arrays, **options))
    for y, theirs in zip(ys, expected, strict=True):
        assert isinstance(y, Variable)
        assert not y.requires_grad
        assert y.creator is None
        assert y.dtype == theirs.dtype
        assert to_numpy(y).tolist() == to_numpy(theirs).tolist()


class _OnHost:
    """The attributes of its array that a case uses, for an array on the host."""

    def __init__(self, host):
        self.dtype = host.dtype
        self.device = "cpu"


@pytest.mark.parametrize("name", sorted(STRUCTURAL))
def test_structural(backend, array, skip_what_lacks, name):
    """The result is the library's own, on the device of the Variable that was given."""
    skip_what_lacks(name)
    x = array(X.tolist())
    v = Variable(
        x, requires_grad=name != "from_dlpack"
    )  # from_dlpack refuses a Variable that requires a gradient
    y = STRUCTURAL[name](array_namespace(v), v)
    if name in ("fft.fftfreq", "fft.rfftfreq") and backend.name.startswith("cupy"):
        # array-api-compat refuses CuPy's devices here, so NumPy computes the expected numbers.
        host = np.asarray(X, "float32")
        theirs = array(STRUCTURAL[name](compat.array_namespace(host), _OnHost(host)).tolist())
    else:
        theirs = STRUCTURAL[name](array_namespace(x), x)
    if not isinstance(y, Variable):
        assert y == theirs
        return
    assert not y.requires_grad
    assert (y.dtype, y.shape, y.device) == (theirs.dtype, theirs.shape, compat.device(theirs))
    assert to_numpy(y).tolist() == to_numpy(theirs).tolist()
