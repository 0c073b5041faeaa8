"""Recurrences: the formulas step by step, rules against differences, and padding."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tests.functions import composites
from xpnet import ShapeError, Variable, functions as F, gradients, to_numpy, using
from xpnet.functions._recurrence import GRUResetBefore
from xpnet.testing import assert_close, check_gradients

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
HURRIED = settings(max_examples=20, deadline=None, derandomize=True, database=None)


def drawn(name, length=3, batch=2, n=2, seed=0):
    """z, the first states, W (and b): the arguments of the function of that name, as NumPy's
    arrays.
    """
    rng = np.random.default_rng(seed)
    rows = GATES[name] * n
    arrays = [rng.standard_normal((length, batch, rows)), rng.standard_normal((batch, n))]
    if name == "lstm":
        arrays.append(rng.standard_normal((batch, n)))
    arrays.append(rng.standard_normal((rows, n)))
    return [*arrays, rng.standard_normal(rows)] if name == "gru" else arrays


def called(name, arrays, mask=None, functions=F, **options):
    """All outputs as one array."""
    function = getattr(functions, name)
    if mask is not None:
        options["mask"] = mask
    y = function(*arrays, **options)
    return F.concat(y, axis=2) if isinstance(y, tuple) else y


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


def test_lstm_formula(backend64, array):
    """One unit, one sample, two steps, in plain Python."""
    z = [[0.5, -1.0, 0.25, 2.0], [-0.5, 1.5, -2.0, 0.1]]
    W = [0.3, -0.2, 0.7, 0.4]
    h = 0.1
    c = -0.6
    states = []
    cells = []
    for step in z:
        i, f, g, o = (a + w * h for a, w in zip(step, W, strict=True))
        c = sigmoid(f) * c + sigmoid(i) * math.tanh(g)
        h = sigmoid(o) * math.tanh(c)
        states.append([[h]])
        cells.append([[c]])
    arrays = [[[step] for step in z], [[0.1]], [[-0.6]], [[w] for w in W]]
    got = F.lstm(*map(array, arrays))
    assert_close(got[0], states, rtol=1e-14)
    assert_close(got[1], cells, rtol=1e-14)


def test_gru_formula(backend64, array):
    """One unit, one sample, two steps, in plain Python."""
    z = [[0.5, -1.0, 0.25], [-0.5, 1.5, -2.0]]
    W = [0.3, -0.2, 0.7]
    b = [0.1, 0.2, 0.3]
    h = 0.1
    states = []
    for step in z:
        a = [w * h + bias for w, bias in zip(W, b, strict=True)]
        r = sigmoid(step[0] + a[0])
        u = sigmoid(step[1] + a[1])
        h = (1.0 - u) * math.tanh(step[2] + r * a[2]) + u * h
        states.append([[h]])
    arrays = [[[step] for step in z], [[0.1]], [[w] for w in W], b]
    assert_close(F.gru(*map(array, arrays)), states, rtol=1e-14)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_rnn_formula(backend64, array, nonlinearity):
    """One unit, one sample, three steps, in plain Python."""
    h = 0.1
    states = []
    for z in (0.5, -2.0, 1.0):
        h = z + 0.7 * h
        h = math.tanh(h) if nonlinearity == "tanh" else max(h, 0.0)
        states.append([[h]])
    z = array([[[0.5]], [[-2.0]], [[1.0]]])
    got = F.rnn(z, array([[0.1]]), array([[0.7]]), nonlinearity=nonlinearity)
    assert_close(got, states, rtol=1e-14)


@pytest.mark.parametrize("name", GATES)
def test_fused_equals_the_composite(backend64, array, name):
    """In value and in every gradient."""
    arrays = [array(a.tolist()) for a in drawn(name)]
    got = []
    for functions in (F, composites):
        xs = [Variable(a) for a in arrays]
        y = called(name, xs, functions=functions)
        got.append([y, *gradients(F.sum(y * y), xs)])
    for fused, composite in zip(*got, strict=True):
        assert_close(fused, composite, rtol=1e-11, atol=1e-14)
    assert_close(called(name, arrays), got[0][0], rtol=1e-14)  # arrays in, an array out


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("name", GATES)
def test_first_and_second_derivatives(backend64, array, order, name, padded):
    """By all arguments, against differences."""
    mask = array([[True, True], [False, True]]) if padded else None
    arrays = [array(a.tolist()) for a in drawn(name, length=2)]
    check_gradients(lambda *xs: called(name, xs, mask), *arrays, order=order)


def test_derivatives_of_relu_and_of_the_cells(backend64, array, order):
    """Away from the corner of relu; and by the cells only."""
    arrays = [array(a.tolist()) for a in drawn("rnn")]
    check_gradients(lambda *xs: F.rnn(*xs, nonlinearity="relu"), *arrays, order=1)
    arrays = [array(a.tolist()) for a in drawn("lstm", length=2)]
    check_gradients(lambda *xs: F.lstm(*xs)[1], *arrays, order=order)


def test_third_derivative():
    """The rules can themselves be differentiated."""
    with using("numpy", dtype="float64"):
        for name in GATES:
            z, *rest = drawn(name, length=2, batch=1, n=1)
            check_gradients(lambda z, name=name, rest=rest: called(name, [z, *rest]), z, order=3)


@pytest.mark.usefixtures("eager")
def test_gru_without_bias(backend64, array):
    """None stands for a bias of zeros."""
    z, h, W, b = (array(a.tolist()) for a in drawn("gru"))
    assert_close(F.gru(z, h, W), F.gru(z, h, W, 0.0 * b), rtol=1e-14)
    check_gradients(F.gru, z, h, W, order=1)


@pytest.mark.parametrize("name", GATES)
@settings(HURRIED, max_examples=12)
@given(
    length=st.integers(1, 5),
    batch=st.integers(0, 3),
    n=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_fused_equals_the_composite_in_any_shape(name, length, batch, n, seed):
    """Also for an empty batch."""
    with using("numpy", dtype="float64"):
        hosts = drawn(name, length, batch, n, seed)
        got = []
        for functions in (F, composites):
            xs = [Variable(a) for a in hosts]
            y = called(name, xs, functions=functions)
            got.append([y, *gradients(F.sum(y * y), xs)])
        for fused, composite in zip(*got, strict=True):
            assert_close(fused, composite, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", GATES)
@settings(HURRIED, max_examples=12)
@given(
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_padding_changes_neither_state_nor_gradients(name, lengths, seed):
    """Each sequence has the result of the sequence by itself, cut to its length; padding has no
    gradient.
    """
    length = 4
    mask = np.arange(length)[:, None] < np.asarray(lengths)
    z, *states, W = drawn(name, length, len(lengths), 2, seed)[: 4 if name == "lstm" else 3]
    with using("numpy", dtype="float64"):
        v = Variable(z)
        y = called(name, [v, *states, W], mask)
        (gz,) = gradients(F.sum(y * y), [v])
        start = np.concatenate(states, axis=1)
        for k, n in enumerate(lengths):
            row = slice(k, k + 1)
            if n:
                alone = called(name, [z[:n, row], *(s[row] for s in states), W])
                assert_close(to_numpy(y)[:n, row], alone, rtol=1e-13)
            last = to_numpy(y)[n - 1, k] if n else start[k]
            assert_close(to_numpy(y)[n:, k], np.broadcast_to(last, (length - n, last.size)))
            assert not to_numpy(gz)[n:, k].any()


@pytest.mark.parametrize("name", GATES)
def test_float32_stays_float32_and_large_scores_are_finite(backend, array, name):
    """Gradients are finite as well."""
    z, *rest = (Variable(array(a.astype("float32").tolist())) for a in drawn(name))
    for scores in (z, z * 1e4):
        y = called(name, [scores, *rest])
        grads = gradients(F.sum(y), [z, *rest])
        assert all(a.dtype == backend.dtype for a in (y, *grads))
        assert all(np.isfinite(to_numpy(a)).all() for a in (y, *grads))


def test_shapes_that_do_not_fit_are_errors(backend, array):
    """The message shows all shapes."""
    z, h, c, W = (array(a.astype("float32").tolist()) for a in drawn("lstm"))
    with pytest.raises(ShapeError) as caught:
        F.lstm(z, h[:1, :], c, W)
    assert str(caught.value) == (
        "lstm expected z of shape (length, batch, 4 n) with a length of 1 or more, states of shape "
        "(batch, n) and weight of shape (4 n, n), got (3, 2, 8), (1, 2), (2, 2), (8, 2)."
    )
    for wrong in ((z[:0, ...], h, c, W), (z[0, ...], h, c, W), (z, h, c, W[:4, :])):
        with pytest.raises(ShapeError, match="lstm expected z of shape"):
            F.lstm(*wrong)
    with pytest.raises(ShapeError, match="rnn expected z .* weight of shape .n, n., got"):
        F.rnn(z, h, W)
    with pytest.raises(ShapeError, match="gru expected z of shape"):
        F.gru(z, h, W)
    with pytest.raises(ShapeError, match=r"lstm expected a mask of shape \(3, 2\), got \(3,\)\."):
        F.lstm(z, h, c, W, array([True, True, False]))
    with pytest.raises(TypeError, match=r"lstm expected a mask of booleans, got .*int"):
        F.lstm(z, h, c, W, array([[1, 1]] * 3))
    with pytest.raises(ValueError, match="rnn expected nonlinearity 'tanh' or 'relu', got 'sin'"):
        F.rnn(z[..., :2], h, W[:2, :], nonlinearity="sin")


# --- a GRU whose gate comes before the product ----------------------------------------------------


def of_the_paper(z, h, W, b):
    """Every step in NumPy, as ONNX defines linear_before_reset=0."""
    n = h.shape[1]
    states = []
    for zt in z:
        r = 1.0 / (1.0 + np.exp(-(zt[:, :n] + h @ W[:n].T + b[:n])))
        u = 1.0 / (1.0 + np.exp(-(zt[:, n : 2 * n] + h @ W[n : 2 * n].T + b[n : 2 * n])))
        new = np.tanh(zt[:, 2 * n :] + (r * h) @ W[2 * n :].T + b[2 * n :])
        h = (1.0 - u) * new + u * h
        states.append(h)
    return np.stack(states)


def test_gru_that_resets_before(backend64, array, order):
    """Compared with the paper's formula, and its derivatives with differences, with and without a
    bias.
    """
    hosts = drawn("gru")
    arrays = [array(a) for a in hosts]
    y = F.gru(*arrays, reset_after=False)
    assert_close(y, of_the_paper(*hosts), rtol=1e-12)
    assert_close(y, composites.gru(*arrays, reset_after=False), rtol=1e-12)
    assert np.abs(to_numpy(y) - to_numpy(F.gru(*arrays))).max() > 0.01

    def call(*xs):
        return F.gru(*xs, reset_after=False)

    check_gradients(call, *arrays, order=order)
    check_gradients(call, *arrays[:3], order=order)


@pytest.mark.usefixtures("eager")
def test_padding_of_a_gru_that_resets_before(backend64, array):
    """The state does not change at padding, which has no gradient."""
    arrays = [array(a) for a in drawn("gru")]
    mask = array([[True, True], [True, False], [False, False]], "bool")

    def call(*xs):
        return F.gru(*xs, mask=mask, reset_after=False)

    y = to_numpy(call(*arrays))
    assert_close(y[2], y[1])
    assert_close(y[1, 1], y[0, 1])
    check_gradients(call, *arrays)


@pytest.mark.usefixtures("eager")
def test_each_output_of_a_gru_that_resets_before(backend64, array):
    """The gates and the weighed states have derivatives too, which second derivatives need."""
    arrays = [array(a) for a in drawn("gru")]

    def outputs(*xs):
        y = GRUResetBefore()(*xs, None)
        return F.concat([F.sin(part) for part in y], axis=2)

    check_gradients(outputs, *arrays)
