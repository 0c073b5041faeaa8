"""RNN, LSTM, GRU: PyTorch's results, padding, states that are passed on, both styles."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from xpnet import GRU, LSTM, RNN, ShapeError, Variable, functions as F, gradients, to_numpy, using
from xpnet.testing import assert_close, check_gradients

LAYERS = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}
HURRIED = settings(max_examples=25, deadline=None, derandomize=True, database=None)
NEAR = {"float32": {"rtol": 1e-5, "atol": 2e-5}, "float64": {"rtol": 1e-10, "atol": 1e-12}}


def drawn(layer, length, batch, seed=0):
    """An input on the host, and first states."""
    rng, dtype = np.random.default_rng(seed), to_numpy(layer.weight_ih_l0).dtype
    shape = (batch, length) if layer.batch_first else (length, batch)
    x = rng.standard_normal((*shape, layer.input_size)).astype(dtype)
    stack = (layer.num_layers * (1 + layer.bidirectional), batch, layer.hidden_size)
    return x, [rng.standard_normal(stack).astype(dtype) for _ in layer.states]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", LAYERS)
@settings(HURRIED, max_examples=8)  # of each layer, with its biases and without
@given(
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3)),
    length=st.integers(1, 6),
    batch=st.integers(1, 4),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    dtype=st.sampled_from(["float32", "float64"]),
    data=st.data(),
)
def test_agrees_with_pytorch(name, bias, sizes, length, batch, flags, dtype, data):
    """Values, and gradients of input, states and parameters; packed sequences where lengths are."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    rnn, (batch_first, bidirectional, padded, started) = torch.nn.utils.rnn, flags
    options = {"bias": bias, "batch_first": batch_first, "bidirectional": bidirectional}
    if name == "RNN":
        options["nonlinearity"] = data.draw(st.sampled_from(["tanh", "relu"]))
    with using("numpy", dtype=dtype):
        ours = LAYERS[name](*sizes, **options, rng=0)
    theirs = getattr(torch.nn, name)(*sizes, **options).to(getattr(torch, dtype))
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    host, first = drawn(ours, length, batch)
    lengths = [length] * batch
    if padded:
        lengths = data.draw(
            st.lists(st.integers(1, length), min_size=batch, max_size=batch), label="lengths"
        )

    x, *h = (torch.tensor(a, requires_grad=True) for a in (host, *first))
    start = (tuple(h) if name == "LSTM" else h[0]) if started else None
    packed = rnn.pack_padded_sequence(x, lengths, batch_first, enforce_sorted=False)
    y, last = theirs(packed, start)
    y, _ = rnn.pad_packed_sequence(y, batch_first, total_length=length)
    expected = [y, *(last if name == "LSTM" else [last])]
    weights = [np.random.default_rng(9).standard_normal(e.shape).astype(dtype) for e in expected]
    sum((e * torch.tensor(w)).sum() for e, w in zip(expected, weights, strict=True)).backward()

    with using("numpy", dtype=dtype):
        inputs = [Variable(a) for a in (host, *(first if started else []))]
        how = np.asarray(lengths) if padded else None
        got = ours(inputs[0], how, *inputs[1:])
        total = sum(F.sum(g * w) for g, w in zip(got, weights, strict=True))
        parameters = dict(ours.named_parameters())
        grads = gradients(total, [*inputs, *parameters.values()])
    for actual, e in zip(got, expected, strict=True):
        assert_close(actual, e.detach(), **NEAR[dtype])
        assert to_numpy(actual).dtype == dtype
    oracle = [x, *(h if started else []), *(dict(theirs.named_parameters())[k] for k in parameters)]
    for g, e in zip(grads, oracle, strict=True):
        assert_close(g, e.grad, **NEAR[dtype])


@pytest.mark.parametrize("name", LAYERS)
@settings(HURRIED, max_examples=12)
@given(
    bidirectional=st.booleans(),
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    rubbish=st.sampled_from([0.0, 1e30, float("inf"), float("nan")]),
    seed=st.integers(0, 99),
)
def test_padding_has_no_influence(name, bidirectional, lengths, rubbish, seed):
    """Whatever its values, NaN included; its output and its gradient are zeros."""
    with using("numpy", dtype="float64"):
        layer = LAYERS[name](3, 2, 2, bidirectional=bidirectional, rng=seed)
        x, first = drawn(layer, 4, len(lengths), seed)
        padding = np.arange(4)[:, None] >= np.asarray(lengths)
        spoilt = np.where(padding[..., None], rubbish, x)
        answers = []
        for host in (x, spoilt):
            v = Variable(host)
            ys = layer(v, np.asarray(lengths), *first)
            total = sum(F.sum(y * y) for y in ys)
            answers.append([*ys, *gradients(total, [v, *layer.parameters()])])
        for clean, dirty in zip(*answers, strict=True):
            assert_close(dirty, clean, rtol=0.0)
        outputs, gx = to_numpy(answers[0][0]), to_numpy(answers[0][len(ys)])
        assert not outputs[padding].any()
        assert not gx[padding].any()


@pytest.mark.parametrize("name", LAYERS)
def test_lengths_end_each_sequence(backend, array, name):
    """On every library each sequence is processed as if by itself; lengths are arrays or lists."""
    layer = LAYERS[name](2, 2, bidirectional=True, batch_first=True, rng=0)
    x, _ = drawn(layer, 3, 2)
    together = layer(array(x.tolist()), array([3, 1]))
    listed = layer(array(x.tolist()), [3, 1])
    for k, n in enumerate((3, 1)):
        alone = layer(array(x[k : k + 1, :n].tolist()))
        assert_close(to_numpy(together[0])[k : k + 1, :n], alone[0], rtol=1e-5, atol=1e-6)
        for got, expected in zip(together[1:], alone[1:], strict=True):
            assert_close(to_numpy(got)[:, k : k + 1], expected, rtol=1e-5, atol=1e-6)
    assert_close(to_numpy(together[0])[1, 1:], np.zeros((2, 4)))
    for got, expected in zip(listed, together, strict=True):
        assert_close(got, expected)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", LAYERS)
def test_a_sequence_can_be_continued_with_the_last_states(backend, array, name):
    """The last states of the first part are the initial states of the second."""
    layer = LAYERS[name](2, 2, rng=0)
    x, _ = drawn(layer, 2, 2)
    whole = layer(array(x.tolist()))
    y1, *states = layer(array(x[:1].tolist()))
    y2, *last = layer(array(x[1:].tolist()), None, *states)
    near = {"rtol": 1e-5, "atol": 1e-6}
    assert_close(np.concatenate([to_numpy(y1), to_numpy(y2)]), whole[0], **near)
    for got, expected in zip(last, whole[1:], strict=True):
        assert_close(got, expected, **near)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", LAYERS)
def test_both_styles(backend64, array, name):
    """forward and backward give what the tape gives; lengths have no gradient."""
    layer = LAYERS[name](2, 2, bidirectional=True, rng=0)
    x, first = drawn(layer, 3, 2)
    inputs = [array(a.tolist()) for a in (x, *first)]
    lengths = array([2, 3])
    ys = layer.forward(inputs[0], lengths, *inputs[1:])
    assert not any(isinstance(y, Variable) for y in ys)
    found = layer.backward((ys[0], *[None] * (len(ys) - 1)))
    grads = [p.grad for p in layer.parameters()]
    variables = [Variable(a) for a in inputs]
    y, *_ = layer(variables[0], lengths, *variables[1:])
    expected = gradients(y, [*variables, *layer.parameters()], ys[0])
    for actual, e in zip([*found, *grads], expected, strict=True):
        assert_close(actual, e, rtol=1e-12, atol=1e-15)


def test_gradients_of_the_whole_layer():
    """To second order, through both directions, two layers, padding and the first states."""
    with using("numpy", dtype="float64"):
        for name, kind in LAYERS.items():
            layer = kind(1, 1, 2, bidirectional=True, rng=0)
            x, first = drawn(layer, 2, 2)

            def outputs(*xs, layer=layer):
                return F.concat([F.reshape(y, (-1,)) for y in layer(xs[0], [2, 1], *xs[1:])])

            check_gradients(outputs, x, *first, order=2 if name == "GRU" else 1)


@pytest.mark.parametrize("name", LAYERS)
def test_parameters_are_pytorchs(name):
    """Names, shapes, order and first values: uniform within 1 / sqrt(n)."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    for options in ({}, {"bidirectional": True, "num_layers": 2}, {"bias": False}):
        ours = LAYERS[name](40, 25, **options, rng=0)
        theirs = getattr(torch.nn, name)(40, 25, **options)
        assert [(k, p.shape) for k, p in ours.named_parameters()] == [
            (k, tuple(p.shape)) for k, p in theirs.named_parameters()
        ]
        for p in ours.parameters():
            assert 0.15 < np.abs(to_numpy(p)).max() <= 0.2


def test_the_state_is_saved_and_restored():
    """state_dict, and a copy; the same seed gives the same weights."""
    a, b, c = LSTM(3, 4, 2, rng=1), LSTM(3, 4, 2, rng=2), LSTM(3, 4, 2, rng=1)
    x, _ = drawn(a, 5, 2)
    assert_close(a.forward(x)[0], c.forward(x)[0], rtol=0.0)
    b.load_state_dict(a.state_dict())
    assert_close(a.forward(x)[0], b.forward(x)[0], rtol=0.0)
    assert_close(copy.deepcopy(a).forward(x)[0], a.forward(x)[0], rtol=0.0)


@pytest.mark.usefixtures("eager")
def test_dropout_is_between_layers(backend, array):
    """In training, by the layer's own seed; not in evaluation; not after the last."""
    x = array(np.random.default_rng(0).standard_normal((3, 2, 4)).tolist())
    one, two = GRU(4, 5, dropout=0.5, rng=0), GRU(4, 5, 2, dropout=0.5, rng=0)
    assert_close(one(x)[0], one.eval()(x)[0], rtol=0.0)
    assert np.abs(to_numpy(two(x)[0]) - to_numpy(two(x)[0])).max() > 1e-3
    again = [GRU(4, 5, 2, dropout=0.5, rng=0)(x)[0] for _ in range(2)]
    assert_close(*again, rtol=0.0)
    two.eval()
    assert_close(two(x)[0], two(x)[0], rtol=0.0)
    assert [name for name, _ in two.named_generators()] == ["dropout_layer.rng"]
    assert to_numpy(F.count_nonzero(two.train()(x)[0])) == 3 * 2 * 5


def test_repr():
    """Sizes, and what is not as usual."""
    assert repr(RNN(3, 4)) == "RNN(3 -> 4)"
    assert repr(RNN(3, 4, nonlinearity="relu")) == "RNN(3 -> 4, nonlinearity=relu)"
    layer = LSTM(28, 64, 2, bias=False, batch_first=True, dropout=0.1, bidirectional=True)
    assert repr(layer) == (
        "LSTM(28 -> 64, num_layers=2, bias=False, batch_first=True, dropout=0.1, "
        "bidirectional=True)"
    )


@pytest.mark.usefixtures("eager")
def test_shapes_that_do_not_fit_are_errors(backend, array):
    """Expected, given, where, and what to try."""
    layer = LSTM(3, 4, rng=0)
    x = array(np.zeros((5, 2, 3)).tolist())
    with pytest.raises(ShapeError) as caught:
        layer(array([[1.0, 2.0, 3.0]]))
    assert str(caught.value) == (
        "LSTM(3 -> 4) expected x of shape (length, batch, 3), got (1, 3). "
        "For one sample use x[:, None, ...]."
    )
    with pytest.raises(ShapeError, match=r"^GRU.* expected x of shape \(batch, length, 3\), got"):
        GRU(3, 4, batch_first=True)(array([[[1.0, 2.0]]]))
    with pytest.raises(ShapeError, match=r"^LSTM\(3 -> 4\) expected at least one step, got x of"):
        layer(x[:0, ...])
    with pytest.raises(TypeError, match=r"^LSTM\(3 -> 4\) expected x .* and dtype .*float32, got"):
        layer(array(np.zeros((5, 2, 3), int)))
    assert_close(layer(x, [np.int64(1), np.int32(5)])[0], layer(x, array([1, 5]))[0])
    with pytest.raises(ShapeError, match=r"expected lengths of shape \(2,\), got \(3,\)\."):
        layer(x, array([1, 2, 3]))
    with pytest.raises(
        ShapeError, match=r"expected lengths of shape \(2,\), got tuple\. .*\(x, None, h_0, c_0"
    ):
        layer(x, (x, x))
    with pytest.raises(TypeError, match=r"expected lengths of integers, got .*float32\."):
        layer(x, array([1.0, 2.0]))
    with pytest.raises(ShapeError, match=r"h_0 of shape \(layers, batch, n\) = \(1, 2, 4\), got"):
        layer(x, None, array([[1.0] * 4] * 2))
    with pytest.raises(TypeError, match=r"expected x, lengths and h_0 and c_0, got 5 arguments\."):
        layer(x, None, *[array(np.zeros((1, 2, 4)).tolist())] * 3)
    with pytest.raises(ValueError, match="RNN expected nonlinearity 'tanh' or 'relu', got 'sin'"):
        RNN(3, 4, nonlinearity="sin")
    with pytest.raises(ValueError, match="GRU expected sizes and layers of 1 or more, got input_"):
        GRU(3, 0)


@pytest.mark.usefixtures("eager")
def test_an_empty_batch(backend, array):
    """Nothing in, nothing out."""
    for layer in (RNN(3, 4, rng=0), LSTM(3, 4, rng=0), GRU(3, 4, bidirectional=True, rng=0)):
        x = array(np.zeros((5, 1, 3)).tolist())[:, :0, :]
        y, h, *_ = layer(x)
        assert y.shape == (5, 0, 4 * (1 + layer.bidirectional))
        assert h.shape == (1 + layer.bidirectional, 0, 4)
