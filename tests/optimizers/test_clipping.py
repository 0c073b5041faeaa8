"""Clipping: PyTorch's numbers, and what it must not touch."""

import math

import numpy as np
import pytest

import xpnet
from xpnet import GradientError, Parameter, to_numpy
from xpnet.optimizers import clip_grad_norm, clip_grad_value
from xpnet.testing import assert_close

SHAPES = [(4, 3), (3,), ()]


def arrays(scale=1.0):
    rng = np.random.default_rng(0)
    return [(scale * rng.standard_normal(shape)).astype("float32") for shape in SHAPES]


def with_gradients(array, scale=1.0):
    """Parameters with read-only gradients, and one without a gradient."""
    ps = [Parameter(np.zeros(shape, "float32")) for shape in SHAPES]
    ps = [Parameter(xpnet.current().asarray(to_numpy(p))) for p in ps]
    for p, g in zip(ps, arrays(scale), strict=True):
        p.grad = array(g)
    return [*ps, Parameter(xpnet.current().asarray([1.0]))]


@pytest.mark.parametrize("norm_type", [2.0, 1, 3.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.5, 1e6])
def test_norm_is_pytorchs(backend, array, norm_type, max_norm):
    """The norm before, and the gradients after: clipped, or unchanged."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    theirs = [torch.nn.Parameter(torch.zeros(shape)) for shape in SHAPES]
    for p, g in zip(theirs, arrays(), strict=True):
        p.grad = torch.tensor(g)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    ps = with_gradients(array)
    norm = clip_grad_norm(ps, max_norm, norm_type)
    assert norm.dtype == backend.dtype
    assert_close(norm, expected.numpy(), rtol=1e-6)
    for p, q in zip(ps, theirs, strict=False):
        assert p.grad.dtype == backend.dtype
        assert_close(p.grad, q.grad.numpy(), rtol=1e-6)
    assert ps[-1].grad is None


def test_norm_by_hand(backend, array):
    """3 and 4 make 5; cut to 1, they are 0.6 and 0.8."""
    a, b = Parameter(backend.asarray([1.0])), Parameter(backend.asarray([[1.0]]))
    a.grad, b.grad = array([3.0]), array([[4.0]])
    assert float(clip_grad_norm([a, b], 1.0)) == 5.0
    assert_close(a.grad, [0.6], rtol=1e-5)
    assert_close(b.grad, [[0.8]], rtol=1e-5)


def test_gradients_that_share_memory_are_clipped_once(backend):
    """Two parameters of one sum may have one array for a gradient."""
    a, b = Parameter(backend.asarray([1.0, 1.0])), Parameter(backend.asarray([1.0, 1.0]))
    shared = backend.asarray([3.0, 4.0])
    a.grad = b.grad = shared
    clip_grad_norm([a, b], 1.0)
    clip_grad_value([a, b], 10.0)
    expected = np.asarray([3.0, 4.0]) / math.sqrt(50.0)
    assert_close(a.grad, expected.astype("float32"), rtol=1e-5)
    assert_close(b.grad, expected.astype("float32"), rtol=1e-5)
    assert to_numpy(shared).tolist() == [3.0, 4.0]


def test_each_gradient_keeps_its_dtype(backend):
    """For 16-bit gradients the norm is computed in float32, where the square of 40,000 is finite."""
    if not hasattr(backend.xp, "float16"):
        pytest.skip(f"{backend.name} has no float16")
    a, b = Parameter(backend.asarray([1.0], "float16")), Parameter(backend.asarray([1.0]))
    a.grad, b.grad = backend.asarray([4e4], "float16"), backend.asarray([3e4])
    norm = clip_grad_norm([a, b], 1.0)
    assert norm.dtype == b.grad.dtype == backend.dtype
    assert a.grad.dtype == backend.xp.float16
    assert_close(norm, 5e4, rtol=1e-3)
    assert_close(a.grad, np.asarray([0.8], "float16"), rtol=1e-3)
    assert_close(b.grad, [0.6], rtol=1e-3)
    a.grad = backend.asarray([0.0], "float16")
    assert float(clip_grad_norm(a, 1.0)) == float(a.grad[0]) == 0.0


def test_value(backend, array):
    """Each number for itself; a single parameter will do, as in PyTorch."""
    p = Parameter(backend.asarray([1.0, 1.0, 1.0]))
    p.grad = array([-3.0, 0.25, 2.0])
    clip_grad_value(p, 0.5)
    assert to_numpy(p.grad).tolist() == [-0.5, 0.25, 0.5]
    assert p.grad.dtype == backend.dtype


def test_the_norm_is_nan_or_infinite_if_a_gradient_is(backend, array):
    """A step would turn every parameter into NaN; the norm shows it before."""
    a, b = Parameter(backend.asarray([1.0])), Parameter(backend.asarray([1.0]))
    a.grad, b.grad = array([1.0]), array([math.nan])
    assert math.isnan(float(clip_grad_norm([a, b], 1.0)))
    assert math.isnan(float(a.grad[0]))


def test_errors(backend):
    """backward was not called; an invalid limit."""
    p = Parameter(backend.asarray([1.0]))
    for clip in (clip_grad_norm, clip_grad_value):
        with pytest.raises(GradientError, match=r"call loss\.backward\(\) first"):
            clip([p], 1.0)
        for limit in (0.0, -1.0, math.nan):
            with pytest.raises(ValueError, match="> 0"):
                clip([p], limit)
