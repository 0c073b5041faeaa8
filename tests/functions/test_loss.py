"""Losses: values against formulas and PyTorch, gradients against differences."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import xpnet
from xpnet import ShapeError, Variable, functions as F, gradients, to_numpy, using
from xpnet.testing import assert_close, check_gradients


def test_mean_squared_error(backend64, array, order):
    """mean((y - t)^2) over all numbers: (1 + 0 + 4 + 9) / 4."""
    y = array([[1.0, 2.0], [3.0, 4.0]])
    t = array([[0.0, 2.0], [1.0, 7.0]])
    assert_close(F.mean_squared_error(y, t), 3.5)
    check_gradients(F.mean_squared_error, y, t, order=order)


@pytest.mark.parametrize(
    "loss",
    [
        "mean_squared_error",
        "l1_loss",
        "huber_loss",
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "kl_divergence",
    ],
)
def test_targets_do_not_broadcast(backend, array, loss):
    """(3, 1) against (3,) is an error that names both shapes."""
    with pytest.raises(ShapeError, match=rf"{loss} expected .* \(3, 1\), got \(3,\). Reshape"):
        getattr(F, loss)(array([[0.5], [0.5], [0.5]]), array([1.0, 0.0, 1.0]))
    with pytest.raises(TypeError, match="expected an array or a Variable for t, got list"):
        getattr(F, loss)(array([0.5]), [1.0])
    with pytest.raises(ShapeError, match=rf"{loss} expected .* \(1,\), got \(\)\. Reshape"):
        getattr(F, loss)(array([0.5]), 1.0)


@pytest.mark.parametrize(
    "loss",
    [
        F.mean_squared_error,
        F.l1_loss,
        F.huber_loss,
        F.binary_cross_entropy,
        F.binary_cross_entropy_with_logits,
    ],
)
def test_targets_may_be_integers(backend, array, loss):
    """With the value of floating-point targets; float32 stays float32."""
    y = array([[0.25], [0.75]])
    found = loss(y, array([[0], [1]]))
    expected = loss(y, array([[0.0], [1.0]]))
    assert found.dtype == backend.dtype
    assert_close(found, expected)


def test_integer_predictions_do_not_overflow():
    """(0 - 300)^2 and (0 - 200)^2: 65000 on average."""
    with xpnet.using("numpy") as backend:
        y = backend.asarray([0, 0], "int8")
        t = backend.asarray([300, 200])
        assert float(F.mean_squared_error(y, t)) == 65000.0
        with pytest.raises(TypeError, match="target of real numbers, got complex128"):
            F.mean_squared_error(backend.asarray([1.0]), backend.asarray([1.0 + 5.0j]))


def test_l1_loss(backend64, array, order):
    """mean(|y - t|): (1 + 0 + 2 + 3) / 4; where they are equal the derivative is 0."""
    y = array([[1.0, 2.0], [3.0, 4.0]])
    t = array([[0.0, 2.0], [1.0, 7.0]])
    assert_close(F.l1_loss(y, t), 1.5)
    v = Variable(y)
    (g,) = gradients(F.l1_loss(v, t), [v])
    assert_close(g, [[0.25, 0.0], [0.25, -0.25]])
    check_gradients(F.l1_loss, y, t + 0.5, order=order)


def test_huber_loss(backend64, array, order):
    """A parabola within delta, straight lines beyond: (0.5 * 0.25 + 0 + 0.5 * 1.5 + 0.5 * 2.75) / 4."""
    y = array([[0.5, 2.0], [3.0, 4.0]])
    t = array([[0.0, 2.0], [1.25, 7.0]])
    assert_close(F.huber_loss(y, t, delta=0.5), (0.125 + 0.0 + 0.75 + 1.375) / 4.0)
    for delta in (0.4, 1.0, 2.0):
        check_gradients(lambda y, t: F.huber_loss(y, t, delta=delta), y, t, order=order)  # noqa: B023
    v = Variable(array([0.0, 1.0, -1.0]))
    (g,) = gradients(F.huber_loss(v, array([0.0, 0.0, 0.0])), [v], create_graph=True)
    assert_close(g, [0.0, 1.0 / 3.0, -1.0 / 3.0])
    (gg,) = gradients(F.sum(g), [v])
    assert_close(gg[0], 1.0 / 3.0)  # smooth at 0


def test_huber_loss_of_large_errors(backend, array):
    """They are not squared, so they do not overflow."""
    loss = F.huber_loss(array([1e30, -1e30]), array([0.0, 0.0]))
    assert float(loss) == pytest.approx(1e30, rel=1e-5)
    with pytest.raises(ValueError, match="positive delta, got 0"):
        F.huber_loss(array([1.0]), array([0.0]), delta=0.0)


def test_hinge_loss_of_two_classes(backend64, array, order):
    """mean(max(0, 1 - x t)): (0 + 1.5 + 0.5 + 4) / 4; the slope at the margin itself is 0."""
    x = array([[2.0, -0.5], [-0.5, 3.0]])
    t = array([[1.0, 1.0], [-1.0, -1.0]])
    assert_close(F.hinge_loss(x, t), 1.5)
    assert_close(F.hinge_loss(x, array([[1, 1], [-1, -1]])), 1.5)
    assert_close(F.hinge_loss(x, t, margin=0.0), (0.0 + 0.5 + 0.0 + 3.0) / 4.0)
    check_gradients(lambda x: F.hinge_loss(x, t), x, order=order)
    v = Variable(array([1.0]))
    assert_close(gradients(F.hinge_loss(v, array([1.0])), [v])[0], [0.0])


def test_hinge_loss_of_class_numbers(backend64, array, order):
    """Rows (1, 3, 2.5) of class 1, and (0, 1, 0) of class 0: 0.5 / 3 and (2 + 1) / 3."""
    x = array([[1.0, 3.0, 2.5], [0.0, 1.0, 0.0]])
    t = array([1, 0])
    assert_close(F.hinge_loss(x, t), (0.5 / 3.0 + 3.0 / 3.0) / 2.0, rtol=1e-14)
    check_gradients(lambda x: F.hinge_loss(x, t, margin=0.9), x, order=order)


@pytest.mark.parametrize("t", [[0, 3], [-1, 0]])
def test_hinge_loss_is_infinite_for_a_class_out_of_range(backend, array, t):
    x = array([[1.0, 3.0, 2.5], [0.0, 1.0, 0.0]])
    assert to_numpy(F.hinge_loss(x, array(t))) == math.inf


def test_hinge_loss_is_infinite_for_targets_other_than_1_and_minus_1(backend, array):
    """0 and 1 where -1 and 1 are expected: never a plausible loss."""
    assert to_numpy(F.hinge_loss(array([1.0, 2.0]), array([0, 1]))) == math.inf


def test_hinge_loss_refuses_invalid_targets(backend, array):
    x = array([[1.0, 3.0, 2.5], [0.0, 1.0, 0.0]])
    with pytest.raises(ShapeError, match=r"\(2,\) \(class numbers\) or \(2, 3\) \(-1 or 1\)"):
        F.hinge_loss(x, array([[1], [0]]))
    with pytest.raises(TypeError, match="integer class numbers, got .*float32"):
        F.hinge_loss(x, array([1.0, 0.0]))
    with pytest.raises(TypeError, match="expected an array or a Variable for t, got list"):
        F.hinge_loss(x, [1, 0])


TOLERANCES = {"float32": (1e-5, 1e-6), "float64": (1e-10, 1e-13)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    n=st.integers(1, 5),
    m=st.integers(1, 6),
    delta=st.sampled_from([0.5, 1.0, 3.0]),
    seed=st.integers(0, 2**16),
)
def test_losses_agree_with_torch(dtype, n, m, delta, seed):
    """Values, and gradients with respect to prediction and target."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    T = torch.nn.functional
    rng = np.random.default_rng(seed)
    x, s = (rng.normal(size=(n, m)).astype(dtype) for _ in range(2))
    t = rng.integers(0, m, n)
    pairs = [
        (F.mean_squared_error, T.mse_loss),
        (F.l1_loss, T.l1_loss),
        (
            lambda x, s: F.huber_loss(x, s, delta=delta),
            lambda x, s: T.huber_loss(x, s, delta=delta),
        ),
        (
            lambda x, s: F.hinge_loss(x, t, margin=delta),
            lambda x, s: T.multi_margin_loss(x, torch.tensor(t), margin=delta),
        ),
    ]
    rtol, atol = TOLERANCES[dtype]
    with using("numpy", dtype=dtype):
        for ours, theirs in pairs:
            xs = [Variable(x), Variable(s)]
            tensors = [torch.tensor(a, requires_grad=True) for a in (x, s)]
            loss = ours(*xs)
            expected = theirs(*tensors)
            assert loss.dtype == np.dtype(dtype)
            assert_close(loss, expected.detach().numpy(), rtol=rtol, atol=atol)
            loss.backward()
            expected.backward()
            for a, b in zip(xs, tensors, strict=True):
                if b.grad is not None:
                    assert_close(a.grad, b.grad.numpy(), rtol=rtol, atol=atol)
