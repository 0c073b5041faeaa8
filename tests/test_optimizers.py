"""Optimizers: against their formulas in plain Python, and against PyTorch's where it is."""

import math

import pytest

import xpnet
from xpnet import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    GradientError,
    Momentum,
    Parameter,
    RMSProp,
    functions as F,
    to_numpy,
)
from xpnet.optimizers import BY_NAME, optimizer
from xpnet.testing import assert_close

START = [1.0, -2.0, 0.5]
CURVE = [3.0, 0.5, 1.0]  # the loss is sum(CURVE * p^2) / 2, its gradient CURVE * p


def sgd(p, g, s, t):
    return p - 0.1 * g


def momentum(p, g, s, t):
    s["v"] = 0.9 * s.get("v", 0.0) + g
    return p - 0.01 * s["v"]


def adagrad(p, g, s, t):
    s["s"] = s.get("s", 0.0) + g * g
    return p - 0.01 * g / (math.sqrt(s["s"]) + 1e-10)


def rmsprop(p, g, s, t):
    s["s"] = 0.99 * s.get("s", 0.0) + 0.01 * g * g
    return p - 0.01 * g / (math.sqrt(s["s"]) + 1e-8)


def adam(p, g, s, t):
    s["m"] = 0.9 * s.get("m", 0.0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0.0) + 0.001 * g * g
    m, v = s["m"] / (1 - 0.9**t), s["v"] / (1 - 0.999**t)
    return p - 0.001 * m / (math.sqrt(v) + 1e-8)


def adamw(p, g, s, t):
    return adam(p - 0.001 * 0.01 * p, g, s, t)


FORMULAS = {
    SGD: sgd,
    Momentum: momentum,
    AdaGrad: adagrad,
    RMSProp: rmsprop,
    Adam: adam,
    AdamW: adamw,
}
TORCH = {
    SGD: ("SGD", {"lr": 0.1}),
    Momentum: ("SGD", {"lr": 0.01, "momentum": 0.9}),
    AdaGrad: ("Adagrad", {"lr": 0.01}),
    RMSProp: ("RMSprop", {"lr": 0.01}),
    Adam: ("Adam", {"lr": 0.001}),
    AdamW: ("AdamW", {"lr": 0.001}),
}


def train(backend, kind, steps):
    p = Parameter(backend.asarray(START))
    curve, moving = backend.asarray(CURVE), kind([p])
    for _ in range(steps):
        moving.zero_grad()
        (0.5 * F.sum(p * p * curve)).backward()
        moving.step()
    return p


@pytest.mark.parametrize("kind", FORMULAS, ids=lambda kind: kind.__name__)
def test_formula(backend64, kind):
    """Twenty steps are those of the docstring's formula, number by number."""
    expected = []
    for p, c in zip(START, CURVE, strict=True):
        state = {}
        for t in range(1, 21):
            p = FORMULAS[kind](p, c * p, state, t)
        expected.append(p)
    assert_close(train(backend64, kind, 20), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", TORCH, ids=lambda kind: kind.__name__)
def test_trajectory_is_pytorchs(backend64, kind):
    """A hundred steps end where torch.optim's end, with its defaults."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    name, options = TORCH[kind]
    p = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    theirs = getattr(torch.optim, name)([p], **options)
    for _ in range(100):
        theirs.zero_grad()
        (0.5 * torch.sum(torch.tensor(CURVE, dtype=torch.float64) * p * p)).backward()
        theirs.step()
    assert_close(train(backend64, kind, 100), p.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("kind", FORMULAS, ids=lambda kind: kind.__name__)
def test_float32_stays_float32(backend, kind):
    """Parameters and state keep the dtype; NumPy scalars among the options do not leak in."""
    np = pytest.importorskip("numpy")
    p = train(backend, lambda ps: kind(ps, lr=np.float64(0.01)), 3)
    assert p.dtype == backend.dtype


def test_update_is_in_place_where_the_library_can():
    """On NumPy the array stays the same object: views of it follow."""
    from xpnet import using

    with using("numpy") as backend:
        for kind in FORMULAS:
            p = Parameter(backend.asarray(START))
            data = p.data
            p.grad = backend.asarray(CURVE)
            kind([p]).step()
            assert p.data is data


def test_gradients_are_not_changed(backend, array):
    """step reads gradients; it does not write them."""
    for kind in FORMULAS:
        p = Parameter(backend.asarray(START))
        p.grad = array(CURVE)
        kind([p]).step()
        assert to_numpy(p.grad).tolist() == CURVE


def test_parameters_without_gradient_stay(backend, array):
    """As in PyTorch; but if no parameter has one, backward was forgotten: an error."""
    a, b = Parameter(array(START)), Parameter(backend.asarray(START))
    moving = SGD([a, b])
    with pytest.raises(GradientError, match=r"call loss\.backward"):
        moving.step()
    b.grad = array(CURVE)
    moving.step()
    assert to_numpy(a).tolist() == START
    assert_close(b, [0.7, -2.05, 0.4], rtol=1e-6)
    moving.zero_grad()
    assert b.grad is None


def test_by_name(backend):
    """The command line's names; unknown ones are errors that list them."""
    p = Parameter([1.0])
    assert [type(optimizer(name, [p])) for name in BY_NAME] == list(FORMULAS)
    assert optimizer("adam", [p], 0.5).lr == 0.5
    with pytest.raises(ValueError, match=r"Unknown optimizer 'sdg'. Expected one of: sgd, "):
        optimizer("sdg", [p])


def test_wrong_options_are_errors(backend):
    """No parameters; a learning rate that is not positive, or not a number."""
    with pytest.raises(ValueError, match="no parameters"):
        SGD([])
    for lr in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="expected lr > 0"):
            Adam([Parameter([1.0])], lr=lr)
    assert repr(SGD([Parameter([1.0])], lr=0.5)) == "SGD(lr=0.5)"


def test_base_has_no_update(backend):
    """A subclass without a formula says so."""
    from xpnet.optimizers import Optimizer

    p = Parameter([1.0])
    p.grad = p.data
    with pytest.raises(NotImplementedError):
        Optimizer([p], lr=0.1).step()


def test_adam_counts_the_steps_of_each_parameter(backend, array):
    """PyTorch's: the first step of a parameter is one of lr, however late it comes."""
    early, late = Parameter(array([1.0])), Parameter(array([1.0]))
    adam = xpnet.Adam([early, late], lr=0.01)
    for _ in range(50):
        early.grad = array([2.0])
        adam.step()
    late.grad = array([2.0])
    adam.step()
    assert_close(late, [0.99], rtol=1e-5)


@pytest.mark.parametrize(
    "given",
    [
        lambda p: [p.data],
        lambda p: p,  # its rows
        lambda p: [p * 2.0],
        lambda p: xpnet.Sequential(xpnet.ReLU()),
    ],
)
def test_what_is_no_parameter_is_refused(backend, array, given):
    with pytest.raises(TypeError, match=r"SGD expected Parameters, as model\.parameters\(\) gives"):
        xpnet.SGD(given(Parameter(array([[1.0, 2.0], [3.0, 4.0]]))))


def test_a_parameter_given_twice_is_refused(backend, array):
    p = Parameter(array([1.0]))
    with pytest.raises(ValueError, match="given a parameter twice"):
        xpnet.SGD([p, p])


def test_an_optimizer_does_not_move_with_its_model():
    """Its state would meet arrays of another library."""
    pytest.importorskip("array_api_strict", reason="the other library")
    with xpnet.using("numpy") as backend:
        model = xpnet.Affine(2, 1, rng=0)
        optimizer = xpnet.Momentum(model.parameters())
        model.to("array_api_strict")
        model.W.grad = xpnet.backend.resolve("array_api_strict").asarray([[1.0], [1.0]])
        with pytest.raises(xpnet.StateError, match="make the optimizer after"):
            optimizer.step()
        model.to(backend)
        model.W.grad = backend.asarray([[1.0], [1.0]])
        optimizer.step()
