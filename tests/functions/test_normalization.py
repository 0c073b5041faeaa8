"""Normalization: the fused node against its composite, NumPy, and differences."""

import numpy as np
import pytest

from xpnet import ShapeError, Variable, functions as F, gradients
from xpnet.testing import assert_close, check_gradients

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 2, 3)) * 2.0 + 1.0


def composite(x, axes, weight=None, bias=None, eps=1e-5):
    """The normalization composed of simple functions, which the fused node is compared with."""
    mean = F.mean(x, axis=axes, keepdims=True)
    var = F.mean((x - mean) * (x - mean), axis=axes, keepdims=True)
    y = (x - mean) / F.sqrt(var + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def batch(x, w=None, b=None):
    return F.batch_norm(x, None, None, w, b)[0]


def batch_composite(x, w=None, b=None):
    w, b = (v if v is None else F.reshape(v, (1, 4, 1, 1)) for v in (w, b))
    return composite(x, (0, 2, 3), w, b)


def layer(x, w=None, b=None):
    return F.layer_norm(x, (2, 3), w, b)


def layer_composite(x, w=None, b=None):
    return composite(x, (2, 3), w, b)


def group(x, w=None, b=None):
    return F.group_norm(x, 2, w, b)


def group_composite(x, w=None, b=None):
    w, b = (v if v is None else F.reshape(v, (1, 2, 2, 1, 1)) for v in (w, b))
    return F.reshape(composite(F.reshape(x, (3, 2, 2, 2, 3)), (2, 3, 4), w, b), (3, 4, 2, 3))


FUSED = {
    "batch": (batch, batch_composite, (4,)),
    "layer": (layer, layer_composite, (2, 3)),
    "group": (group, group_composite, (4,)),
}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("affine", ["", "w", "b", "wb"])
@pytest.mark.parametrize("name", FUSED)
def test_fused_equals_composite(backend64, array, name, affine):
    """Value, gradients, and second derivatives."""
    fused, composite, shape = FUSED[name]
    rng = np.random.default_rng(1)
    given = {key: array(rng.normal(size=shape).tolist()) for key in affine}
    xs = [Variable(array(X.tolist())), *(Variable(v) for v in given.values())]
    dout = Variable(array(rng.normal(size=X.shape).tolist()))

    def results(f):
        y = f(xs[0], **dict(zip(given, xs[1:], strict=True)))
        found = gradients(y, xs, dout, create_graph=True)
        second = gradients(F.sum(found[0] * found[0]), [*xs[: 1 + ("w" in affine)], dout])
        return [y, *found, *second]

    for ours, expected in zip(results(fused), results(composite), strict=True):
        assert_close(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", FUSED)
def test_derivatives_against_differences(backend64, array, order, name):
    fused, _, shape = FUSED[name]
    x, w, b = X[:2, :, :, :2], *np.random.default_rng(2).normal(size=(2, *shape))
    if name == "layer":

        def fused(x, w, b):
            return F.layer_norm(x, 2, w, b)

        w = w[0, :2]
        b = b[0, :2]
    check_gradients(fused, *(array(v.tolist()) for v in (x, w, b)), order=order)


def test_batch_norm_returns_its_statistics(backend64, array, order):
    """The statistics of the batch, without history; or the given ones."""
    x = Variable(array(X.tolist()))
    y, mean, var = F.batch_norm(x)
    assert_close(mean, X.mean((0, 2, 3)), rtol=1e-13)
    assert_close(var, X.var((0, 2, 3)), rtol=1e-13)
    assert not isinstance(mean, Variable)
    same, *_ = F.batch_norm(x, mean, var)
    assert_close(same, y, rtol=1e-12, atol=1e-14)
    w, b = (array(v.tolist()) for v in RNG.normal(size=(2, 4)))
    check_gradients(lambda x, w, b: F.batch_norm(x, mean, var, w, b)[0], x.data, w, b, order=order)


def test_a_large_mean_does_not_cancel_the_variance(backend, array):
    """Mean 1000, deviation 1, in float32: the variance is computed from differences."""
    host = (1000.0 + np.arange(8.0).reshape(8, 1)).astype(np.float32)
    y, _, var = F.batch_norm(array(host.tolist()))
    assert_close(var, [5.25], rtol=1e-6)
    assert_close(y, (np.arange(8.0).reshape(8, 1) - 3.5) / np.sqrt(5.25 + 1e-5), rtol=1e-5)


def test_float16_statistics_are_computed_in_float32(backend, array):
    """Numbers from 65536 would be infinite; the result and the gradient are float16 again."""
    if not hasattr(backend.xp, "float16"):
        pytest.skip("float16 is none of the standard's dtypes; this library keeps to those")
    host = np.linspace(-600.0, 600.0, 4000).reshape(4000, 1)
    x = Variable(array(host.tolist(), backend.xp.float16))
    y, mean, var = F.batch_norm(x)
    assert y.dtype == x.dtype
    assert mean.dtype == var.dtype == backend.xp.float32
    assert_close(var, host.var(0), rtol=1e-3)
    assert_close(y, host / host.std(), rtol=2e-3, atol=2e-3)
    (g,) = gradients(y, [x], F.ones_like(y).data)
    assert g.dtype == x.dtype
    for z in (F.layer_norm(x[None, :, 0], 4000), F.group_norm(x[None, :, 0], 1)):
        assert z.dtype == x.dtype
        assert_close(z[0, :], host[:, 0] / host.std(), rtol=2e-3, atol=2e-3)


def test_shapes_that_do_not_fit_are_errors(backend, array):
    """The message says what was expected and what was given."""
    x = array([[1.0, 2.0, 3.0]])
    with pytest.raises(
        ShapeError, match=r"more than one number per channel.* got x of shape \(1, 3\)"
    ):
        F.batch_norm(x)
    with pytest.raises(ShapeError, match=r"\(batch, channels, ...\), got \(3,\)"):
        F.batch_norm(x[0, :])
    with pytest.raises(ShapeError, match=r"shape \(..., 2, 3\), got \(1, 3\)"):
        F.layer_norm(x, (2, 3))
    with pytest.raises(ShapeError, match=r"into 2 groups, got \(1, 3\)"):
        F.group_norm(x, 2)


def test_integers_are_an_error(backend, array):
    """The message names the function and the dtype that it was given."""
    x = array([[1, 2], [3, 4]])
    for name, f in {
        "batch_norm": F.batch_norm,
        "layer_norm": lambda x: F.layer_norm(x, 2),
        "group_norm": lambda x: F.group_norm(x, 1),
        "normal_cdf": F.gelu,
    }.items():
        with pytest.raises(TypeError, match=f"^{name} expected floating-point numbers, got .*int"):
            f(x)


def test_sizes_may_be_integers_of_numpy_or_lists(backend, array):
    """Those of NumPy too, and lists."""
    x = array([[1.0, 2.0, 4.0]])
    for shape in (np.int64(3), [3], (np.int32(3),)):
        assert_close(F.layer_norm(x, shape), F.layer_norm(x, 3))


def test_equal_numbers_are_normalized_to_0(backend, array):
    """The variance is 0, and eps prevents 0 / 0."""
    assert_close(F.layer_norm(array([[2.0, 2.0, 2.0]]), 3), [[0.0, 0.0, 0.0]])
