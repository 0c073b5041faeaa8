"""Numbers that a mask cuts off have no gradient, even if the incoming gradient is infinite or NaN.

Each row is a function, its input, and the places whose gradient is 0 because they are not chosen.
The incoming gradient is infinite or NaN there, and 1 elsewhere, so that the rest can be compared
with the result of a finite one.
"""

import numpy as np
import pytest

from xpnet import Layer, Variable, functions as F, gradients, layers as L, to_numpy
from xpnet.testing import assert_close

# The derivative of sqrt at 0, and its products on the way to the mask that cuts it off.
pytestmark = pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")

inf = float("inf")
nan = float("nan")
IMAGE = [[[[4.0, 1.0, 2.0], [3.0, 0.0, 5.0], [2.0, 7.0, 6.0]]]]

ELEMENTWISE = {  # name: f(x), x, which numbers of x are cut off
    "relu": (F.relu, [-1.0, 0.0, 2.0], [0, 1]),
    "leaky_relu of slope 0": (lambda x: F.leaky_relu(x, 0.0), [-1.0, 0.0, 2.0], [0, 1]),
    "elu of alpha 0": (lambda x: F.elu(x, 0.0), [-1.0, 0.0, 2.0], [0, 1]),
    "abs at 0": (F.abs, [0.0, -3.0, 2.0], [0]),
    "maximum": (lambda x: F.maximum(x, 1.0), [-1.0, 0.0, 2.0], [0, 1]),
    "minimum": (lambda x: F.minimum(x, 1.0), [3.0, 0.0, 2.0], [0, 2]),
    "clip": (lambda x: F.clip(x, -1.0, 1.0), [-3.0, 0.5, 2.0], [0, 2]),
    "where": (lambda x: F.where(F.asarray([1, 0, 1]) == 1, x, 7.0), [1.0, 2.0, 3.0], [1]),
    "copysign of 0": (lambda x: F.copysign(x, F.asarray(-1.0)), [0.0, 1.0, 2.0], [0]),
    "hypot at 0": (lambda x: F.hypot(x, F.asarray(0.0)), [0.0, 1.0, 2.0], [0]),
    "power of 0": (lambda x: x**0, [0.0, 1.0, 2.0], [0, 1, 2]),
    "remainder by the divisor": (lambda x: F.remainder(F.asarray(2.5), x), [1.0, 3.0, 4.0], [1, 2]),
    "tril": (lambda x: F.tril(F.reshape(x, (2, 2))), [1.0, 2.0, 3.0, 4.0], [1]),
    "triu": (lambda x: F.triu(F.reshape(x, (2, 2))), [1.0, 2.0, 3.0, 4.0], [2]),
    "softmax of what is ruled out": (F.softmax, [-inf, 1.0, 2.0], [0]),
    "xlogy": (lambda x: F.special.xlogy(F.asarray([0.0, 0.0]), x), [0.0, -1.0], [0, 1]),
    "xlog1py": (lambda x: F.special.xlog1py(F.asarray([0.0, 0.0]), x), [-1.0, -2.0], [0, 1]),
    "rel_entr": (lambda x: F.special.rel_entr(F.asarray([0.0, 1.0]), x), [1.0, 2.0], [0]),
    "dropout": (
        lambda x: F.dropout(x, 0.5, mask=F.asarray([False, True, True])),
        [1.0, 2.0, 3.0],
        [0],
    ),
    "dropout of all": (lambda x: F.dropout(x, 1.0, rng=0), [1.0, 2.0, 3.0], [0, 1, 2]),
}


@pytest.mark.parametrize("above", [inf, -inf, nan])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(backend, array, name, above):
    """The gradient is 0 where x is cut off, and unchanged elsewhere."""
    f, numbers, cut = ELEMENTWISE[name]
    x = Variable(array(numbers))
    y = f(x)
    gy = np.ones(len(numbers), "float32")
    plain = gradients(y, [x], array(gy.reshape(y.shape)))[0]
    gy[cut] = above
    found = gradients(y, [x], array(gy.reshape(y.shape)))[0]
    expected = to_numpy(plain).copy()
    expected[cut] = 0.0
    np.testing.assert_array_equal(to_numpy(found), expected)


@pytest.mark.parametrize("recorded", [False, True])
def test_root_mean_square_of_dead_units(backend, array, recorded):
    """JAX and PyTorch, too, return 0 where relu is 0, though sqrt has an infinite derivative."""
    x = Variable(array([-1.0, 4.0]))
    for f in (F.relu, lambda x: F.maximum(x, 0.0), lambda x: F.clip(x, 0.0, 100.0)):
        y = F.sum(F.sqrt(f(x)))
        (g,) = gradients(y, [x], create_graph=recorded)
        np.testing.assert_array_equal(to_numpy(g), [0.0, 0.25])
        if recorded:
            (second,) = gradients(F.sum(g), [x])
            np.testing.assert_array_equal(to_numpy(second), [0.0, -1.0 / 32.0])


REDUCED = {  # name: f(x), x, the incoming gradient, the expected gradient
    "max": (lambda x: F.max(x, axis=1), [[1.0, 2.0], [3.0, 0.0]], [1.0, inf], [[0, 1], [inf, 0]]),
    "min": (lambda x: F.min(x, axis=1), [[1.0, 2.0], [3.0, 0.0]], [1.0, inf], [[1, 0], [0, inf]]),
    "max of all": (F.max, [1.0, 5.0, 5.0, 2.0], inf, [0.0, inf, inf, 0.0]),
    "norm of 0": (F.linalg.vector_norm, [0.0, 0.0], inf, [0.0, 0.0]),
    "p-norm": (lambda x: F.linalg.vector_norm(x, ord=3), [0.0, 2.0], inf, [0.0, inf]),
    "norm by the largest": (lambda x: F.linalg.vector_norm(x, ord=inf), [1.0, 2.0], inf, [0, inf]),
    "std of equal numbers": (F.std, [3.0, 3.0], 1.0, [0.0, 0.0]),
    "std of equal numbers, steep": (F.std, [3.0, 3.0], inf, [0.0, 0.0]),
    "logsumexp": (F.logsumexp, [-inf, -inf], inf, [0.0, 0.0]),
    "logsumexp of what is ruled out": (F.logsumexp, [-inf, 1.0], inf, [0.0, inf]),
    "sort": (F.sort, [2.0, 1.0], [1.0, inf], [inf, 1.0]),
    "take": (lambda x: x[F.asarray([0, 2])], [1.0, 2.0, 3.0], [inf, 1.0], [inf, 0.0, 1.0]),
    "max_pool": (
        lambda x: F.max_pool(x, 2, stride=1),
        IMAGE,
        [[[[1.0, inf], [inf, 1.0]]]],
        [[[[1, 0, 0], [0, 0, inf], [0, inf, 0]]]],
    ),
    "max_pool of tiles": (
        lambda x: F.max_pool(x[..., :2, :2], 2),
        IMAGE,
        [[[[inf]]]],
        [[[[inf, 0, 0], [0, 0, 0], [0, 0, 0]]]],
    ),
    "max_pool padded": (
        lambda x: F.max_pool(x, 2, stride=2, padding=1),
        IMAGE,
        [[[[inf, 1.0], [1.0, nan]]]],
        [[[[inf, 0, 1], [1, 0, 0], [0, nan, 0]]]],
    ),
    "global_max_pool": (
        F.global_max_pool,
        IMAGE,
        [[inf]],
        [[[[0, 0, 0], [0, 0, 0], [0, inf, 0]]]],
    ),
}


@pytest.mark.parametrize("name", REDUCED)
def test_reductions_and_windows(backend, array, name):
    f, numbers, above, expected = REDUCED[name]
    x = Variable(array(numbers))
    (g,) = gradients(f(x), [x], array(above))
    np.testing.assert_array_equal(to_numpy(g), np.asarray(expected, "float32"))


@pytest.mark.parametrize("name", ["max_pool", "max_pool of tiles", "max_pool padded"])
def test_recorded_windows(backend, array, name):
    """The portable code, which runs on Variables, picks the same numbers as the kernels."""
    f, numbers, above, expected = REDUCED[name]
    x = Variable(array(numbers))
    gy = Variable(array(above))
    (g,) = gradients(f(x), [x], gy, create_graph=True)
    np.testing.assert_array_equal(to_numpy(g), np.asarray(expected, "float32"))


def test_the_gradient_of_a_maximum_that_is_nan_is_nan(backend, array):
    """NaN equals nothing: the gradient of its row is NaN, and that of other rows does not change."""
    x = Variable(array([[1.0, nan], [2.0, 5.0]]))
    (g,) = gradients(F.max(x, axis=1), [x], array([1.0, 1.0]))
    np.testing.assert_array_equal(to_numpy(g), [[nan, nan], [0.0, 1.0]])


LOSSES = {  # name: f(x), whose gradient with respect to x is 0 in the row or number that is left out, and x
    "hinge": (lambda x: F.hinge_loss(x, F.asarray([1.0, 1.0])), [3.0, 4.0], [0, 1]),
    "hinge of classes": (
        lambda x: F.hinge_loss(x, F.asarray([0])),
        [[9.0, 1.0, 2.0]],
        [[0, 0], [0, 1], [0, 2]],
    ),
    "l1": (lambda x: F.l1_loss(x, F.asarray([3.0, 4.0])), [3.0, 4.0], [0, 1]),
    "all rows ignored": (
        lambda x: F.softmax_cross_entropy(x, F.asarray([-1, -1]), ignore_index=-1),
        [[1.0, 2.0], [3.0, 4.0]],
        [[0, 0], [0, 1], [1, 0], [1, 1]],
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_square_root_of_a_loss_of_0(backend, array, name):
    """Its derivative is infinite, and that of numbers that were cut off is 0."""
    f, numbers, _ = LOSSES[name]
    x = Variable(array(numbers))
    (g,) = gradients(F.sqrt(f(x)), [x])
    np.testing.assert_array_equal(to_numpy(g), np.zeros_like(numbers, "float32"))


@pytest.mark.parametrize("garbage", [inf, -inf, nan])
def test_ignored_rows_may_hold_any_numbers(backend, array, garbage):
    """Their gradient is 0, and that of other rows does not depend on them."""
    t = array([0, -1], "int32")
    x = Variable(array([[1.0, 2.0], [garbage, garbage]]))
    loss = F.softmax_cross_entropy(x, t, ignore_index=-1)
    kept = Variable(array([[1.0, 2.0]]))
    alone = F.softmax_cross_entropy(kept, array([0], "int32"))
    assert_close(loss, alone)
    (g,) = gradients(loss, [x])
    (expected,) = gradients(alone, [kept])
    assert_close(g[:1, ...], expected)
    np.testing.assert_array_equal(to_numpy(g)[1], [0.0, 0.0])


@pytest.mark.parametrize("garbage", [inf, -inf])
def test_scores_of_weight_0_may_be_infinite(backend, array, garbage):
    x = Variable(array([2.0, garbage]))
    t = array([1.0, 0.5])
    w = array([1.0, 0.0])
    loss = F.binary_cross_entropy_with_logits(x, t, weight=w)
    assert_close(loss, np.log1p(np.exp(-2.0)) / 2.0, rtol=1e-6)
    (g,) = gradients(loss, [x])
    assert_close(g, [-1.0 / (1.0 + np.exp(2.0)) / 2.0, 0.0], rtol=1e-6)


@pytest.mark.parametrize("garbage", [inf, nan])
@pytest.mark.parametrize("name", ["rnn", "relu", "lstm", "gru", "gru, reset before"])
def test_padding_of_sequences_may_hold_any_numbers(backend, array, name, garbage):
    """The functions themselves are called, with inputs that may be NaN."""
    gates = {"lstm": 4, "gru": 3, "gru, reset before": 3}.get(name, 1)
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((3, 2, gates * 2), dtype="float32")
    W = array(rng.standard_normal((gates * 2, 2), dtype="float32"))
    h = array([[1.0, 1.0]] * 2)
    mask = array([[True, True], [True, False], [False, False]], "bool")
    outputs = []
    for filler in (0.0, garbage):
        numbers[1, 1] = numbers[2] = filler
        z = Variable(array(numbers.copy()))
        w = Variable(W)
        if name == "lstm":
            y = F.lstm(z, h, h, w, mask)[0]
        elif name.startswith("gru"):
            y = F.gru(z, h, w, mask=mask, reset_after=name == "gru")
        else:
            y = F.rnn(z, h, w, mask, "relu" if name == "relu" else "tanh")
        outputs.append([y.data, *gradients(y, [z, w], array(np.ones((3, 2, 2), "float32")))])
    for clean, dirty in zip(*outputs, strict=True):
        np.testing.assert_array_equal(to_numpy(dirty), to_numpy(clean))


def test_relu_in_a_recurrent_network(backend, array):
    """Where h = relu(z) is 0, an infinite gradient is cut off."""
    z = Variable(array([[[-1.0, 2.0]]]))
    h = array([[0.0, 0.0]])
    y = F.rnn(z, h, array([[0.0, 0.0]] * 2), None, "relu")
    (g,) = gradients(y, [z], array([[[inf, 3.0]]]))
    np.testing.assert_array_equal(to_numpy(g), [[[0.0, 3.0]]])


@pytest.mark.parametrize("above", [inf, nan])
def test_queries_that_may_attend_to_no_key(backend, array, above):
    """Their output is 0, and so is every gradient through it."""
    q, k, v = (Variable(array([[1.0, 1.0]] * 2)) for _ in range(3))
    mask = array([[False, False], [True, True]], "bool")
    w = F.attention_weights(q, k, mask)
    gq, gk = gradients(w, [q, k], array([[above, above], [1.0, 0.0]]))
    np.testing.assert_array_equal(to_numpy(gq)[0], [0.0, 0.0])
    assert np.isfinite(to_numpy(gk)).all()
    y = F.scaled_dot_product_attention(q, k, v, mask)
    np.testing.assert_array_equal(to_numpy(y), [[0.0, 0.0], [1.0, 1.0]])


def test_dropout_sets_infinite_numbers_to_0(backend, array):
    """In the forward pass as well."""
    mask = array([[False, True], [True, False]], "bool")
    y = F.dropout(Variable(array([[nan, 2.0], [3.0, inf]])), 0.5, mask=mask)
    np.testing.assert_array_equal(to_numpy(y), [[0.0, 4.0], [6.0, 0.0]])


def test_silu_and_gelu_of_infinite_numbers(backend, array):
    """They are 0 at -inf and x at inf, and their derivatives are 0 and 1."""
    x = Variable(array([-inf, inf]))
    for f in (F.silu, F.gelu, lambda x: F.gelu(x, "tanh")):
        y = f(x)
        np.testing.assert_array_equal(to_numpy(y), [0.0, inf])
        np.testing.assert_array_equal(to_numpy(gradients(y, [x], array([1.0, 1.0]))[0]), [0.0, 1.0])


class RootMeanSquareOfReLU(Layer):
    """What broke: a norm of units, some of them dead for the whole batch."""

    def __init__(self):
        self.first = L.Affine(3, 4, rng=0)

    def forward(self, x):
        return F.sqrt(F.mean(F.square(F.relu(self.first(x))), axis=0))


def test_weights_of_dead_units_stay_finite(backend, array):
    layer = RootMeanSquareOfReLU()
    layer.first.bias.data = backend.asarray(np.asarray([-100.0, 0.0, 0.0, 0.0], "float32"))
    F.sum(
        layer(array(np.random.default_rng(0).standard_normal((8, 3), dtype="float32")))
    ).backward()
    for p in layer.parameters():
        g = to_numpy(p.grad)
        assert np.isfinite(g).all()
        np.testing.assert_array_equal(g[..., 0], np.zeros(g.shape[:-1]))


ABOVE_TORCH = {  # name: ours, and PyTorch's, each with an infinite derivative that the mask cuts off
    "relu": (lambda x: F.sqrt(F.relu(x)), lambda T, x: T.relu(x).sqrt()),
    "std": (lambda x: F.std(0.0 * x + 1.0), lambda T, x: (0.0 * x + 1.0).std(correction=0)),
    "norm": (lambda x: F.linalg.vector_norm(0.0 * x), lambda T, x: T.linalg.vector_norm(0.0 * x)),
    "dropout of all": (
        lambda x: F.sqrt(F.dropout(F.relu(x), 1.0, rng=0)),
        lambda T, x: T.nn.functional.dropout(T.relu(x), 1.0).sqrt(),
    ),
    "max_pool": (
        lambda x: F.sqrt(F.max_pool(F.relu(F.reshape(x, (1, 1, 4))), 2)),
        lambda T, x: T.nn.functional.max_pool1d(T.relu(x.reshape(1, 1, 4)), 2).sqrt(),
    ),
}


@pytest.mark.parametrize("name", ABOVE_TORCH)
def test_gradients_agree_with_pytorch(name):
    torch = pytest.importorskip("torch")
    ours, theirs = ABOVE_TORCH[name]
    numbers = np.asarray([-1.0, -3.0, 0.0, -0.5])
    x = Variable(numbers)
    y = ours(x)
    (g,) = gradients(y, [x], np.ones(y.shape))
    t = torch.tensor(numbers, requires_grad=True)
    y = theirs(torch, t)
    y.backward(torch.ones_like(y))
    assert np.isfinite(g).all()
    np.testing.assert_array_equal(g, t.grad.numpy())


def test_gradients_agree_with_jax():
    """Where relu is 0, JAX's gradient is 0 as well."""
    jax = pytest.importorskip("jax")
    numbers = np.asarray([-1.0, 4.0], "float32")
    expected = jax.grad(lambda x: jax.numpy.sum(jax.numpy.sqrt(jax.nn.relu(x))))(numbers)
    x = Variable(numbers)
    (g,) = gradients(F.sum(F.sqrt(F.relu(x))), [x])
    np.testing.assert_array_equal(g, np.asarray(expected))
