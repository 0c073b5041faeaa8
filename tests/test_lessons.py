"""The code of the lessons runs with the names of `xpnet.lessons`."""

import inspect

import numpy as np
import pytest

import xpnet
from xpnet import functions as F, lessons
from xpnet.testing import assert_close


@pytest.fixture
def mutable(backend64):
    """A function that creates an array that can be changed in place."""
    if backend64.name.startswith("jax"):
        pytest.skip("JAX's arrays cannot be changed in place, which the lessons do")
    return lambda values: backend64.asarray(np.asarray(values).copy(), dtype=backend64.dtype)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# --- lesson 1 --------------------------------------------------------------------------------------


def test_forward_and_backward_of_the_bill_in_lesson_1(backend64):
    apples = lessons.MulLayer()
    mandarins = lessons.MulLayer()
    fruit = lessons.AddLayer()
    taxed = lessons.MulLayer()
    total = taxed.forward(fruit.forward(apples.forward(100, 4), mandarins.forward(70, 3)), 1.1)
    d_fruit, d_tax = taxed.backward(1)
    d_apples = fruit.backward(d_fruit)
    d_mandarins = fruit.backward(d_fruit)
    d_apple_price, d_apple_count = apples.backward(d_apples)
    d_mandarin_price, d_mandarin_count = mandarins.backward(d_mandarins)
    found = [total, d_apple_price, d_apple_count, d_mandarin_price, d_mandarin_count, d_tax]
    assert [round(float(x), 12) for x in found] == [671.0, 4.4, 110.0, 3.3, 77.0, 610.0]
    assert [f"{float(d):.1f}" for d in (d_apples, d_mandarins)] == ["1.1", "1.1"]


def test_backward_of_an_add_layer_raises_if_the_shapes_of_the_summands_differ(backend64, array):
    node = lessons.AddLayer()
    node.forward(array([[1.0, 2.0]]), array([3.0]))
    with pytest.raises(xpnet.GradientError, match=r"\(1, 2\) and \(1,\).*xpnet.Add"):
        node.backward(array([[1.0, 1.0]]))


def test_backward_before_forward_raises():
    with pytest.raises(xpnet.GradientError, match=r"Relu\.backward: call Relu\.forward"):
        lessons.Relu().backward(1)


# --- lesson 2 --------------------------------------------------------------------------------------


def test_gradient_descent_finds_the_linear_rule_of_lesson_2(mutable, rng):
    x = rng.uniform(-5.0, 5.0, (100, 10))
    rule = rng.uniform(-5.0, 5.0, (10, 1))
    w = mutable(np.zeros((10, 1)))
    b = mutable(np.zeros((1, 1)))
    layers = {"w": lessons.MulLayer(w), "b": lessons.AddLayer(b)}
    last = lessons.MSELayer(mutable(x @ rule + 3.0))
    for _ in range(800):
        y = mutable(x)
        for layer in layers.values():
            y = layer.forward(y)
        last.forward(y)
        dout = last.backward()
        for layer in reversed(layers.values()):
            dout = layer.backward(dout)
        w -= 0.03 * layers["w"].grad
        b -= 0.03 * layers["b"].grad
    assert float(last.loss) < 1e-20
    assert_close(w, rule, rtol=1e-9)
    assert_close(b, [[3.0]], rtol=1e-9)


def test_the_mean_squared_error_of_lesson_2_has_the_correct_derivative(backend64, array):
    layer = lessons.MSELayer(array([[1.0], [3.0]]))
    assert float(layer.forward(array([[2.0], [7.0]]))) == 8.5
    assert_close(layer.backward(), [[1.0], [4.0]])


# --- lesson 4 --------------------------------------------------------------------------------------


class Linear(lessons.Function):
    def forward(self, x, W, b):
        y = F.matmul(x, W)
        return y if b is None else y + b

    def backward(self, gy):
        x, W, b = self.inputs
        gb = None if b.data is None else lessons.sum_to(gy, b.shape)
        return lessons.matmul(gy, W.T), lessons.matmul(x.T, gy), gb


class Sigmoid(lessons.Function):
    def forward(self, x):
        return 1 / (1 + F.exp(-x))

    def backward(self, gy):
        y = self.outputs[0]()
        return gy * y * (1 - y)


def test_a_function_can_read_its_inputs_and_outputs(backend64, array, rng):
    x, W, b = (xpnet.Variable(array(rng.normal(size=s))) for s in ((5, 3), (3, 2), (2,)))
    ours = F.sum(Sigmoid()(Linear()(x, W, b)) ** 2)
    theirs = F.sum(F.sigmoid(F.linear(x, W, b)) ** 2)
    assert_close(ours.data, theirs.data)
    for a, g in zip(
        xpnet.gradients(ours, [x, W, b]), xpnet.gradients(theirs, [x, W, b]), strict=True
    ):
        assert_close(a, g)


def test_the_data_of_an_input_that_is_none_are_none(backend64, array, rng):
    x, W = (xpnet.Variable(array(rng.normal(size=s))) for s in ((5, 3), (3, 2)))
    found = xpnet.gradients(F.sum(Linear()(x, W, None)), [x, W])
    for a, g in zip(found, xpnet.gradients(F.sum(F.matmul(x, W)), [x, W]), strict=True):
        assert_close(a, g)


def test_the_functions_of_lesson_4_have_second_derivatives(backend64, array):
    x = xpnet.Variable(array([0.5, -1.0]))
    (slope,) = xpnet.gradients(F.sum(Sigmoid()(x)), [x], create_graph=True)
    (bend,) = xpnet.gradients(F.sum(slope), [x])
    s = 1.0 / (1.0 + np.exp(-np.array([0.5, -1.0])))
    assert_close(slope.data, s * (1.0 - s))
    assert_close(bend, s * (1.0 - s) * (1.0 - 2.0 * s))


@pytest.mark.parametrize("shape", [(), (3,), (1, 3), (2, 1), (4, 2, 3), (1, 1, 1)])
def test_sum_to_is_the_gradient_of_broadcasting(backend64, array, shape):
    x = np.arange(24.0).reshape(4, 2, 3)
    weights = np.ones(shape)
    expected = xpnet.grad(lambda w: F.sum(w * array(x)))(array(weights))
    assert_close(lessons.sum_to(array(x), shape), xpnet.to_numpy(expected))


# --- lesson 5 --------------------------------------------------------------------------------------


class TwoLayerNet:
    def __init__(self, array, rng, sizes):
        inputs, hidden, outputs = sizes
        self.params = {
            "W1": array(0.3 * rng.normal(size=(inputs, hidden))),
            "b1": array(np.zeros(hidden)),
            "W2": array(0.3 * rng.normal(size=(hidden, outputs))),
            "b2": array(np.zeros(outputs)),
        }
        self.affine1 = lessons.Affine(self.params["W1"], self.params["b1"])
        self.affine2 = lessons.Affine(self.params["W2"], self.params["b2"])
        self.layers = [self.affine1, lessons.Relu(), self.affine2]
        self.last = lessons.SoftmaxWithLoss()

    def loss(self, x, t):
        for layer in self.layers:
            x = layer.forward(x)
        return self.last.forward(x, t)

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.last.backward(1)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return {
            "W1": self.affine1.dW,
            "b1": self.affine1.db,
            "W2": self.affine2.dW,
            "b2": self.affine2.db,
        }

    def numerical_gradient(self, x, t):
        return {
            key: lessons.numerical_gradient(lambda _: self.loss(x, t), p)
            for key, p in self.params.items()
        }


@pytest.fixture
def problem(mutable, rng):
    """A small network, samples, and their classes as one-hot rows of floats, without a gradient."""
    x = rng.normal(size=(30, 6))
    t = np.eye(3)[np.argmax(x[:, :3], axis=1)]
    return TwoLayerNet(mutable, rng, (6, 8, 3)), mutable(x), mutable(t)


def test_the_two_gradients_of_lesson_5_agree(problem):
    net, x, t = problem
    slow = net.numerical_gradient(x, t)
    fast = net.gradient(x, t)
    for key in fast:
        assert_close(fast[key], xpnet.to_numpy(slow[key]), rtol=1e-6, atol=1e-9)


def test_the_training_loop_of_lesson_5_needs_no_zero_grad(problem):
    net, x, t = problem
    first = float(net.loss(x, t))
    for _ in range(300):
        grad = net.gradient(x, t)
        for key in net.params:
            net.params[key] -= 0.5 * grad[key]
    assert first > 0.9
    assert float(net.loss(x, t)) < 0.05


def test_class_numbers_and_one_hot_rows_give_the_same_loss_and_gradient(problem, backend64):
    net, x, t = problem
    numbers = backend64.asarray(np.argmax(xpnet.to_numpy(t), axis=1))
    one_hot = net.gradient(x, t), float(net.last.loss)
    by_number = net.gradient(x, numbers), float(net.last.loss)
    assert one_hot[1] == pytest.approx(by_number[1], rel=1e-12)
    assert_close(one_hot[0]["W1"], xpnet.to_numpy(by_number[0]["W1"]))


def test_softmax_with_loss_keeps_the_probabilities(backend64, array):
    layer = lessons.SoftmaxWithLoss()
    loss = layer.forward(array([[0.0, np.log(3.0)]]), backend64.asarray([1]))
    assert_close(layer.y, [[0.25, 0.75]])
    assert float(loss) == pytest.approx(-np.log(0.75))
    assert_close(layer.backward(), [[0.25, -0.25]])


def test_affine_flattens_each_sample(mutable, rng):
    x = rng.normal(size=(2, 3, 4))
    W = rng.normal(size=(12, 5))
    layer = lessons.Affine(mutable(W), mutable(np.zeros(5)))
    assert_close(layer.forward(mutable(x)), x.reshape(2, 12) @ W)
    dx = layer.backward(mutable(np.ones((2, 5))))
    assert_close(dx, np.broadcast_to(W.sum(axis=1), (2, 12)).reshape(2, 3, 4))


def test_forward_and_backward_of_sigmoid_and_relu(backend64, array):
    relu = lessons.Relu()
    sigmoid = lessons.Sigmoid()
    assert_close(relu.forward(array([-1.0, 0.0, 2.0])), [0.0, 0.0, 2.0])
    assert_close(relu.backward(array([5.0, 5.0, 5.0])), [0.0, 0.0, 5.0])
    assert_close(sigmoid.forward(array([0.0])), [0.5])
    assert_close(sigmoid.backward(array([8.0])), [2.0])


def test_the_dict_may_contain_parameters(rng):
    params = {"W": xpnet.Parameter(rng.normal(size=(3, 2))), "b": xpnet.Parameter(np.zeros(2))}
    layer = lessons.Affine(params["W"], params["b"])
    x = rng.normal(size=(4, 3))
    before = layer.forward(x)
    layer.backward(np.ones((4, 2)))
    params["b"].data = params["b"].data - 1.0 * layer.db
    assert_close(layer.forward(x), before - 4.0)


def test_numerical_gradient_restores_an_array_of_any_layout(mutable):
    x = mutable([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).T
    gradient = lessons.numerical_gradient(lambda x: F.sum(x * x * x), x)
    assert_close(gradient, 3.0 * np.array([[1.0, 16.0], [4.0, 25.0], [9.0, 36.0]]), rtol=1e-6)
    assert_close(x, [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]], rtol=0, atol=0)


def test_numerical_gradient_restores_the_array_after_an_error(mutable):
    x = mutable([1.0, 2.0])

    def broken(x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lessons.numerical_gradient(broken, x)
    assert_close(x, [1.0, 2.0], rtol=0, atol=0)


def test_immutable_arrays_raise():
    jnp = pytest.importorskip("jax.numpy", reason="its arrays are immutable")
    with pytest.raises(xpnet.ArgumentTypeError, match="in place, which JAX"):
        lessons.Affine(jnp.zeros((2, 3)), jnp.zeros(3))
    with xpnet.using("jax"), pytest.raises(xpnet.ArgumentTypeError, match="in place, which JAX"):
        lessons.Affine([[1.0]], [0.0])  # lists become arrays of the current backend


def test_load_mnist_has_the_options_of_the_lessons():
    with xpnet.using("numpy", "float64"):
        (x, t), (x_test, t_test) = lessons.load_mnist(normalize=True, one_hot_label=True)
    assert (x.shape, t.shape, x_test.shape, t_test.shape) == (
        (60_000, 784),
        (60_000, 10),
        (10_000, 784),
        (10_000, 10),
    )
    assert x.dtype == t.dtype == np.float64
    assert (t.sum(axis=1) == 1.0).all()
    assert 0.99 < x.max() <= 1.0


def test_load_mnist_returns_rows_of_float32_and_class_numbers_by_default():
    with xpnet.using("numpy"):
        (x, t), (x_test, t_test) = lessons.load_mnist()
    assert (x.shape, t.shape, x_test.shape, t_test.shape) == (
        (60_000, 784),
        (60_000,),
        (10_000, 784),
        (10_000,),
    )
    assert x.dtype == np.float32
    assert 0.99 < x.max() <= 1.0
    assert t[:5].tolist() == [5, 0, 4, 1, 9]


def test_every_name_of_the_lessons_has_a_docstring():
    for name in lessons.__all__:
        assert inspect.getdoc(getattr(lessons, name)), name
