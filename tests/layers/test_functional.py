"""functional_call: a layer as a pure function, for xpnet.grad and for other libraries' transformations."""

import re
import threading

import numpy as np
import pytest

import xpnet
from tests.layers.cases import LAYERS
from xpnet import (
    Affine,
    BatchNorm1d,
    Dropout,
    GradientError,
    Layer,
    Parameter,
    Sequential,
    StateError,
    Variable,
    functional_call,
    functions as F,
    to_numpy,
)
from xpnet.layers import Buffer
from xpnet.testing import assert_close


def parameters_of(model):
    return {name: p.data for name, p in model.named_parameters()}


def test_it_computes_with_the_given_parameters(backend, array):
    model = Affine(3, 2, rng=0)
    x = array([[1.0, 2.0, 3.0]])
    state = {"weight": array(np.ones((3, 2), "float32")), "bias": array([10.0, 20.0])}
    y = functional_call(model, state, x)
    assert not isinstance(y, Variable)
    assert_close(y, [[16.0, 26.0]])
    assert_close(functional_call(model, {}, x), model(x).data)


def test_names_that_are_left_out_are_the_models_own(backend, array):
    model = Affine(3, 2, rng=0)
    x = array([[1.0, 2.0, 3.0]])
    y = functional_call(model, {"bias": array([0.0, 0.0])}, x)
    assert_close(y, F.matmul(x, model.weight.data), rtol=1e-6)


def test_the_gradient_is_that_of_the_parameters(backend64, array):
    model = xpnet.MLP(3, [4], 2, activation="tanh", rng=0)
    x = array(np.random.default_rng(0).normal(size=(5, 3)))
    ours = xpnet.grad(lambda p: F.sum(functional_call(model, p, x) ** 2))(parameters_of(model))
    F.sum(model(x) ** 2).backward()
    for name, p in model.named_parameters():
        assert_close(ours[name], p.grad, rtol=1e-12)


def test_the_model_stays_as_it_is(backend, array):
    model = Sequential(Affine(2, 3, rng=0), BatchNorm1d(3))
    before = {name: to_numpy(x).copy() for name, x in model.state_dict().items()}
    objects = [id(p) for p in model.parameters()]
    zeros = {name: 0.0 * x for name, x in parameters_of(model).items()}
    functional_call(model, zeros, array([[1.0, 2.0], [3.0, 5.0]]), return_buffers=True)
    assert [id(p) for p in model.parameters()] == objects
    for name, x in model.state_dict().items():
        assert to_numpy(x).tobytes() == before[name].tobytes()


def test_new_running_averages_are_returned(backend, array):
    model = BatchNorm1d(2)
    x = array([[1.0, 2.0], [3.0, 6.0]])
    y, buffers = functional_call(model, {}, x, return_buffers=True)
    expected = model(x)
    assert_close(y, expected.data)
    assert buffers.keys() == {"running_mean", "running_var", "num_batches_tracked"}
    for name, buffer in model.named_buffers():
        assert_close(buffers[name], buffer.data)
    again, _ = functional_call(model, buffers, x, return_buffers=True)
    assert_close(again, y)


def test_new_running_averages_are_not_lost_silently(backend, array):
    model = Sequential(BatchNorm1d(2))
    x = array([[1.0, 2.0], [3.0, 6.0]])
    with pytest.raises(
        StateError, match=r"changed its buffers \['layers.0.num_batches_tracked', .*eval"
    ):
        functional_call(model, {}, x)
    assert functional_call(model.eval(), {}, x).shape == (2, 2)


def test_a_buffer_may_be_given(backend, array):
    class Shift(Layer):
        def __init__(self):
            self.shift = Buffer(array([0.0]))

        def forward(self, x):
            return x + self.shift.data

    assert_close(functional_call(Shift(), {"shift": array([2.0])}, array([1.0])), [3.0])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"W": np.ones(2)}, r"has no \['W'\].*\['bias', 'weight'\]"),
        ({"bias": np.ones(3)}, r"expected bias of shape \(2,\), got \(3,\)"),
        ({"bias": 1.0}, "expected bias to be an array"),
    ],
)
def test_a_state_that_does_not_fit_is_an_error(state, message):
    with pytest.raises(StateError, match=message):
        functional_call(Affine(3, 2), state, np.ones((1, 3), "float32"))


class Everywhere(Layer):
    """Parameters in lists, tuples and dicts, one of them twice, and a layer that refers to its parent."""

    def __init__(self):
        self.w = Parameter([1.0])
        self.several = [self.w, (Parameter([2.0]), {"a": Parameter([3.0])})]
        self.inner = Sequential(Affine(1, 1, rng=0))
        self.inner.parent = self
        self.names = ["not", "copied"]

    def forward(self, x):
        first, (second, rest) = self.several
        assert self.inner.parent is self
        return self.inner(self.w * x + first + second + rest["a"])


def test_parameters_are_found_wherever_a_layer_may_hold_them(backend, array):
    model = Everywhere()
    state = {name: 0.0 * x + 10.0 for name, x in parameters_of(model).items()}
    assert set(state) == {"w", "several.1.0", "several.1.1.a", "inner.layers.0.weight", "inner.layers.0.bias"}  # fmt: skip
    assert_close(functional_call(model, state, array([[1.0]])), [[410.0]])


def test_several_threads_call_one_model():
    model = Affine(1, 1, bias=False)
    wrong = []

    def run(k):
        x = np.ones((1, 1), "float32")
        for _ in range(200):
            y = functional_call(model, {"weight": np.full((1, 1), k, "float32")}, x)
            if y[0, 0] != k:
                wrong.append(k)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- the transformations of JAX -------------------------------------------------------------------


@pytest.fixture
def jax():
    found = pytest.importorskip("jax", reason="the library whose transformations are tested")
    with xpnet.using("jax"):
        yield found


def network():
    return Sequential(
        xpnet.Conv2d(1, 2, 3, rng=0),
        xpnet.GroupNorm(1, 2),
        xpnet.Tanh(),
        xpnet.Flatten(),
        Affine(8, 3, rng=1),
    )


def test_jit_and_grad_of_jax_agree_with_xpnet(jax):
    model = Sequential(Affine(4, 5, rng=0), xpnet.LayerNorm(5), xpnet.Tanh(), Affine(5, 3, rng=1))
    x = jax.numpy.asarray(np.random.default_rng(0).normal(size=(5, 4)).astype("float32"))
    t = jax.numpy.asarray([0, 1, 2, 0, 1])

    def loss(parameters, x, t):
        return F.softmax_cross_entropy(functional_call(model, parameters, x), t)

    value, slopes = jax.jit(jax.value_and_grad(loss))(parameters_of(model), x, t)
    ours = F.softmax_cross_entropy(model(x), t)
    ours.backward()
    assert_close(value, ours, rtol=1e-5)
    for name, p in model.named_parameters():
        assert_close(slopes[name], p.grad, rtol=1e-4, atol=1e-6)


def test_vmap_of_jax_runs_several_models_at_once(jax):
    models = [xpnet.MLP(3, [4], 2, rng=k) for k in range(3)]
    states = [parameters_of(model) for model in models]
    stacked = jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *states)
    x = jax.numpy.ones((5, 3), dtype="float32")
    y = jax.jit(jax.vmap(lambda p: functional_call(models[0], p, x)))(stacked)
    for row, model in zip(y, models, strict=True):
        assert_close(row, model(x).data, rtol=1e-5)


def test_gradients_of_each_sample_by_vmap_and_grad(jax):
    model = Affine(2, 1, rng=0)
    x = jax.numpy.asarray([[1.0, 2.0], [3.0, 4.0]], dtype="float32")

    def loss(parameters, row):
        return F.sum(functional_call(model, parameters, row[None, :]))

    slopes = jax.vmap(jax.grad(loss), in_axes=(None, 0))(parameters_of(model), x)
    assert_close(slopes["weight"], x[:, :, None])


def test_hessian_of_jax(jax):
    """Forward over reverse: sum(W^2 x^2) has the second derivatives 2 x^2."""
    model = Affine(2, 1, bias=False)
    x = jax.numpy.asarray([[3.0, 5.0]], dtype="float32")

    def f(w):
        rows = functional_call(model, {"weight": w}, jax.numpy.eye(2, dtype="float32"))
        return F.sum((x * rows.T) ** 2)

    h = jax.hessian(f)(model.weight.data)
    assert_close(h[:, 0, :, 0], [[18.0, 0.0], [0.0, 50.0]], rtol=1e-6)


def test_transformations_of_jax_take_xpnets_derivatives(jax):
    def f(x):
        return F.sum(F.sin(x) ** 2)

    x = jax.numpy.asarray([[0.1, 0.5], [1.0, 2.0]], dtype="float32")
    assert_close(jax.vmap(xpnet.grad(f))(x), np.sin(2.0 * to_numpy(x)), rtol=1e-5)
    bend = jax.jit(xpnet.hessian(f))(x[0])
    assert_close(bend, np.diag(2.0 * np.cos(2.0 * to_numpy(x[0]))), rtol=1e-5)


def test_batch_norm_trains_under_jit(jax):
    model = Sequential(Affine(2, 3, rng=0), BatchNorm1d(3))
    x = jax.numpy.asarray(np.random.default_rng(0).normal(size=(6, 2)).astype("float32"))

    @jax.jit
    def step(parameters, buffers):
        return functional_call(model, {**parameters, **buffers}, x, return_buffers=True)

    buffers = {name: b.data for name, b in model.named_buffers()}
    for _ in range(2):
        y, buffers = step(parameters_of(model), buffers)
        expected = model(x)
    assert_close(y, expected.data, rtol=1e-4, atol=1e-5)
    for name, b in model.named_buffers():
        assert_close(buffers[name], b.data, rtol=1e-5, atol=1e-6)
    assert all(isinstance(x, jax.Array) for x in model.state_dict().values())  # no tracer is left


def follow_the_advice(error):
    """Call dropout as the message of an error says."""
    (advice,) = re.findall(r"F\.dropout\(.*?\)", str(error.value))
    x = np.ones((2, 2), np.float32)
    assert_close(eval(advice, {"F": F, "x": x, "p": 0.5, "mask": x}), 2.0 * x)


@pytest.mark.parametrize("rng", [None, np.random.default_rng(0)])
def test_masks_that_jit_would_freeze_are_an_error(jax, rng):
    model = Sequential(Affine(2, 3, rng=0), Dropout(0.5, rng=rng))
    x = jax.numpy.ones((4, 2), dtype="float32")
    call = jax.jit(lambda p: functional_call(model, p, x))
    with pytest.raises(GradientError, match="drew random numbers while it was traced") as error:
        call(parameters_of(model))
    follow_the_advice(error)
    functional_call(model, parameters_of(model), x)  # not traced: a mask for each call
    model.eval()
    assert call(parameters_of(model)).shape == (4, 3)


def test_a_mask_that_jit_would_freeze_is_an_error_without_a_functional_call_too(jax):
    x = jax.numpy.ones(1000, dtype="float32")
    for transformed in (jax.jit(F.dropout), jax.jit(Dropout(0.5)), jax.vmap(F.dropout)):
        drew = "dropout drew random numbers while it was traced"
        with pytest.raises(GradientError, match=drew) as error:
            transformed(x[None, :])
        follow_the_advice(error)
    mask = F.dropout(x) > 0.0
    assert_close(jax.jit(lambda x: F.dropout(x, 0.5, mask=mask))(x), 2.0 * mask)
    slopes = [
        jax.grad(lambda x: F.sum(F.dropout(x)))(x) for _ in range(2)
    ]  # runs as it is, each time
    assert not (slopes[0] == slopes[1]).all()


def test_custom_rules_hold_under_jaxs_derivatives(jax):
    check_rules(jax.grad, jax.numpy.asarray)
    reversed_ = reversal()
    x = jax.numpy.asarray([1.0, 2.0])
    assert_close(jax.jit(jax.vmap(jax.grad(reversed_)))(x), [-1.0, -1.0])


def test_custom_rules_hold_under_pytorchs_derivatives():
    torch = pytest.importorskip("torch", reason="the library whose transformations are tested")
    check_rules(torch.func.grad, lambda x: torch.asarray(x, dtype=torch.float32))
    x = torch.ones(2, requires_grad=True)
    (reversal()(x).sum() + F.stop_gradient(x).sum()).backward()
    assert_close(x.grad, [-1.0, -1.0])


def reversal():
    """The identity with a reversed gradient, which is not the derivative that a library would find."""

    def reverse(gy):
        return -gy

    @xpnet.custom_rule(reverse)
    def reversed_(x):
        return 1.0 * x

    return reversed_


def check_rules(grad, asarray):
    """The derivatives of x + stop(x) and of a reversal, of arrays and within a layer."""
    reversed_ = reversal()
    x = asarray([1.0, 2.0])
    assert_close(grad(lambda x: (x * F.stop_gradient(x)).sum())(x), [1.0, 2.0])
    assert_close(grad(lambda x: reversed_(x).sum())(x), [-1.0, -1.0])

    class Both(Layer):
        def __init__(self):
            self.w = Parameter(asarray([3.0]))

        def forward(self, x):
            return reversed_(self.w) * x + F.stop_gradient(self.w) * x

    slope = grad(lambda p: functional_call(Both(), p, x).sum())({"w": asarray([3.0])})
    assert_close(slope["w"], [-3.0])


def test_a_rule_of_several_arguments_under_jax(jax):
    """Broadcasting and promotion are undone; an integer, and a number of Python, have no gradient."""

    def rule(gy, y, a, b, n, scale):
        return gy * b * 2.0, gy * a * 2.0, None, None

    @xpnet.custom_rule(rule)
    def product(a, b, n, scale):
        return a * b * scale

    a = jax.numpy.asarray([[1.0, 2.0]])
    b = jax.numpy.asarray([[3.0], [5.0]])
    n = jax.numpy.asarray([1])
    ga, gb = jax.grad(lambda a, b: product(a, b, n, 7.0).sum(), (0, 1))(a, b)
    assert_close(ga, [[16.0, 16.0]])
    assert_close(gb, [[6.0], [6.0]])


def test_torch_func_differentiates_a_layer():
    torch = pytest.importorskip("torch", reason="the library whose transformations are tested")
    with xpnet.using("torch"):
        model = network()
        x = torch.asarray(np.random.default_rng(0).normal(size=(5, 1, 4, 4)).astype("float32"))
        f = lambda p: F.sum(functional_call(model, p, x) ** 2)  # noqa: E731
        slopes = torch.func.grad(f)(parameters_of(model))
        F.sum(model(x) ** 2).backward()
        for name, p in model.named_parameters():
            assert_close(slopes[name], p.grad, rtol=1e-4, atol=1e-5)
        stacked = {name: torch.stack([p, p]) for name, p in parameters_of(model).items()}
        y = torch.func.vmap(lambda p: functional_call(model, p, x))(stacked)
        assert_close(y[1], model(x).data, rtol=1e-5, atol=1e-6)


ON_JAX = ("Affine", "Embedding, padding", "BatchNorm1d")


@pytest.mark.parametrize(
    "case",
    [pytest.param(name, marks=[] if name in ON_JAX else pytest.mark.slow) for name in LAYERS],
)
def test_jax_differentiates_each_layer_as_xpnet_does(jax, case):
    """By the parameters, in evaluation: JAX by what the functions compute, xpnet by their rules.

    Most are slow: JAX compiles each function for each shape. PyTorch differentiates all in the next test.
    """
    check_each_layer(LAYERS[case], jax.grad, jax.numpy.asarray)


@pytest.mark.parametrize("case", LAYERS)
def test_torch_func_differentiates_each_layer_as_xpnet_does(case):
    torch = pytest.importorskip("torch", reason="the library whose transformations are tested")
    with xpnet.using("torch"):
        check_each_layer(LAYERS[case], torch.func.grad, torch.asarray)


def check_each_layer(case, grad, asarray):
    model = case.layer().eval()
    parameters = parameters_of(model)
    xs = [asarray(x if x.dtype.kind == "i" else x.astype("float32")) for x in case.hosts()]

    def loss(parameters, *xs):
        y = functional_call(model, parameters, *xs)
        ys = y if isinstance(y, tuple) else (y,)
        return sum(F.sum(F.sin(y) * 0.5) for y in ys)

    floating = [i for i, x in enumerate(xs) if "float" in str(x.dtype)]

    def by_inputs(parameters, floats):
        given = list(xs)
        for i, x in zip(floating, floats, strict=True):
            given[i] = x
        return loss(parameters, *given)

    floats = [xs[i] for i in floating]
    ours = xpnet.grad(by_inputs, (0, 1))(parameters, floats)
    theirs = grad(by_inputs, (0, 1))(parameters, floats)
    for name in parameters:
        assert_close(theirs[0][name], ours[0][name], rtol=1e-3, atol=1e-5)
    for mine, other in zip(ours[1], theirs[1], strict=True):
        assert_close(other, mine, rtol=1e-3, atol=1e-5)
