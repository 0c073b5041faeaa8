"""Cross entropies: values against formulas and PyTorch, gradients against differences."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from xpnet import ShapeError, Variable, functions as F, gradients, to_numpy, using
from xpnet.testing import assert_close, check_gradients

SCORES = [[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [2.0, 2.0, 2.0], [-1.0, 0.25, 0.75]]
CLASSES = [2, 1, 0, 2]
ONE_HOT = [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1]]


def cross_entropy(rows, weights):
    """-sum(w log softmax(x)) / n, in plain Python."""
    total = 0.0
    for row, w in zip(rows, weights, strict=True):
        log_sum = math.log(math.fsum(math.exp(x) for x in row))
        total += math.fsum(wi * (log_sum - xi) for wi, xi in zip(w, row, strict=True))
    return total / len(rows)


def test_softmax_cross_entropy_of_class_numbers(backend64, array, order):
    """The formula; and the fused node equals the composite, to the third derivative."""
    x = array(SCORES)
    t = array(CLASSES)
    onehot = array(np.eye(3)[CLASSES].tolist())

    def composite(x):
        return -F.sum(F.log_softmax(x) * onehot) / 4

    assert_close(F.softmax_cross_entropy(x, t), cross_entropy(SCORES, ONE_HOT), rtol=1e-14)
    assert_close(F.softmax_cross_entropy(Variable(x), t), composite(x), rtol=1e-14)
    v = Variable(x)
    w = Variable(x)
    (g,) = gradients(F.softmax_cross_entropy(v, t), [v])
    (expected,) = gradients(composite(w), [w])
    assert_close(g, expected, rtol=1e-13, atol=1e-16)
    check_gradients(lambda x: F.softmax_cross_entropy(x, t), x, order=3 if order > 1 else 1)


def test_softmax_cross_entropy_of_one_hot_rows(backend64, array):
    """Integer, boolean and floating-point one-hot rows have the loss of class numbers."""
    x = array(SCORES)
    expected = cross_entropy(SCORES, ONE_HOT)
    for rows in (ONE_HOT, np.asarray(ONE_HOT, bool), np.asarray(ONE_HOT, float).tolist()):
        assert_close(F.softmax_cross_entropy(Variable(x), array(rows)), expected, rtol=1e-14)


def test_softmax_cross_entropy_of_weights(backend64, array, order):
    """Rows may be any weights, and need not sum to 1; they have a gradient too."""
    weights = [[0.2, 0.3, 0.4], [1.0, 0.5, 0.0], [0.1, 0.1, 0.8], [0.0, 0.0, 2.0]]
    x = array(SCORES)
    t = array(weights)
    assert_close(F.softmax_cross_entropy(x, t), cross_entropy(SCORES, weights), rtol=1e-14)
    check_gradients(F.softmax_cross_entropy, x, t, order=order)


def test_softmax_cross_entropy_of_sequences(backend64, array, order):
    """Classes are the last axis; the mean is over all other axes."""
    x = array([SCORES, SCORES])
    t = array([CLASSES, CLASSES])
    expected = cross_entropy(SCORES, ONE_HOT)
    assert_close(F.softmax_cross_entropy(x, t), expected, rtol=1e-14)
    check_gradients(lambda x: F.softmax_cross_entropy(x, t), x, order=order)


def test_softmax_cross_entropy_of_large_scores(backend, array):
    """No overflow: a confident correct answer has the loss 0, a confident wrong one its score."""
    x = array([[1e4, 0.0], [1e4, 0.0]])
    t = array([0, 1])
    assert_close(F.softmax_cross_entropy(x, t), 5e3)


@pytest.mark.parametrize("label", [3, -1])
def test_a_class_number_out_of_range_makes_the_loss_infinite(backend, array, label):
    """Never a plausible loss."""
    t = array([2, 1, label, 2])
    assert to_numpy(F.softmax_cross_entropy(Variable(array(SCORES)), t)) == math.inf


def test_softmax_cross_entropy_refuses_invalid_targets(backend, array):
    """Shapes and dtypes of targets that are neither class numbers nor rows."""
    x = array(SCORES)
    with pytest.raises(ShapeError, match=r"shape \(4,\) \(class numbers\) or \(4, 3\) \(one-hot\)"):
        F.softmax_cross_entropy(x, array([[2], [1], [0], [2]]))
    with pytest.raises(TypeError, match=r"expected integer class numbers, got .*float32"):
        F.softmax_cross_entropy(x, array([2.0, 1.0, 0.0, 2.0]))
    images = array([[[1.0, 2.0]] * 3])
    with pytest.raises(ShapeError, match=r"got \(1, 2\). The classes are the last axis of x: F.m"):
        F.softmax_cross_entropy(images, array([[0, 1]]))
    for x_given, t in ((x, [2, 1, 0, 2]), ([[1.0, 2.0]], array([0])), (x, 1)):
        with pytest.raises(TypeError, match="[Ee]xpected an array or a Variable"):
            F.softmax_cross_entropy(x_given, t)
    with pytest.raises(TypeError, match="binary_cross_entropy expected floating-point numbers"):
        F.binary_cross_entropy(array([0, 1]), array([0, 1]))
    with pytest.raises(TypeError, match="expected floating-point numbers, got .*int"):
        F.softmax_cross_entropy(array([[1, 2]]), array([0]))


def test_binary_cross_entropy(backend64, array, order):
    """The formula for probabilities, and the same value from scores."""
    scores = [-3.0, 0.0, 0.5, 2.0]
    targets = [0.0, 1.0, 0.3, 1.0]
    probabilities = [1.0 / (1.0 + math.exp(-s)) for s in scores]
    expected = -math.fsum(
        t * math.log(p) + (1 - t) * math.log(1 - p)
        for p, t in zip(probabilities, targets, strict=True)
    ) / len(targets)
    t = array(targets)
    assert_close(F.binary_cross_entropy(array(probabilities), t), expected, rtol=1e-12)
    assert_close(F.binary_cross_entropy_with_logits(array(scores), t), expected, rtol=1e-12)
    check_gradients(F.binary_cross_entropy, array(probabilities), t, order=order)
    check_gradients(
        F.binary_cross_entropy_with_logits, array(scores), t, order=3 if order > 1 else 1
    )


def test_binary_cross_entropy_is_finite_for_probabilities_of_0_and_1(backend, array):
    """A wrong probability of exactly 0 or 1 has the loss -log(1e-7), a correct one 0."""
    y = F.binary_cross_entropy(array([0.0, 1.0]), array([0.0, 1.0]))
    assert_close(y, 0.0, atol=2e-7)
    y = F.binary_cross_entropy(array([0.0, 0.0]), array([1.0, 1.0]))
    assert_close(y, -math.log(1e-7), rtol=1e-5)


def test_binary_cross_entropy_with_logits_of_large_scores(backend, array):
    """No overflow: the loss of a wrong answer is its score."""
    y = F.binary_cross_entropy_with_logits(array([1e4, -1e4]), array([0.0, 0.0]))
    assert_close(y, 5e3)


def test_a_class_with_the_score_minus_infinity_does_not_count(backend, array):
    """The loss is that of the other classes, log(1 + e), and so is the gradient."""
    x = Variable(array([[0.0, 1.0, -math.inf]]))
    for t in (array([0]), array([[1.0, 0.0, 0.0]])):
        loss = F.softmax_cross_entropy(x, t)
        assert float(loss) == pytest.approx(math.log(1.0 + math.e), rel=1e-6)
        e = 1.0 / (1.0 + math.exp(-1.0))
        assert_close(gradients(loss, [x])[0], [[-e, e, 0.0]], rtol=1e-5, atol=1e-7)


def test_8_bit_labels_with_more_classes_than_8_bits_can_count(backend, array):
    """Class 2 of 300, all scores equal: log 300."""
    loss = F.softmax_cross_entropy(array([[0.0] * 300]), array([2], backend.xp.uint8))
    assert float(loss) == pytest.approx(math.log(300.0), rel=1e-6)


def test_probabilities_of_1_in_half_precision(backend, array):
    """1 - 1e-7 rounds to 1 there, and the logarithm would be -inf."""
    if not hasattr(backend.xp, "float16"):
        pytest.skip("float16 is none of the standard's dtypes; this library keeps to those")
    y, t = (array(v, backend.xp.float16) for v in ([1.0, 0.0], [1.0, 1.0]))
    loss = float(F.binary_cross_entropy(y, t))
    assert loss == pytest.approx(-math.log(2.0**-11) / 2.0, rel=2.0**-10)


def test_a_large_batch_in_half_precision(backend, array):
    """All scores are equal: log 2. The sum over the batch, 69,315, is above float16's range."""
    if not hasattr(backend.xp, "float16"):
        pytest.skip("float16 is none of the standard's dtypes; this library keeps to those")
    x = Variable(array(np.zeros((100_000, 2)).tolist(), backend.xp.float16))
    t = F.zeros((100_000,), dtype=backend.xp.int32).data
    for weight in (None, array([1.0, 1.0])):
        loss = F.softmax_cross_entropy(x, t, weight)
        assert loss.dtype == x.dtype
        assert float(loss) == pytest.approx(math.log(2.0), rel=1e-3)
        (g,) = gradients(loss * 16384.0, [x])  # scaled, as in mixed precision
        assert g.dtype == x.dtype
        assert_close(g[0, :], [-0.08192, 0.08192], rtol=1e-3)


# --- weights, smoothing, divergence -----------------------------------------------------------------

WEIGHT = [0.5, 2.0, 1.25]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_class_weights_make_a_weighted_mean(backend64, array, order, smoothing):
    """The loss of a row is sum(q w (-log p)) for the smoothed target q; the sum is divided by the
    targets' weights.
    """
    q = np.eye(3)[CLASSES] * (1.0 - smoothing) + smoothing / 3.0
    total = 4.0 * cross_entropy(SCORES, (q * WEIGHT).tolist())
    expected = total / sum(WEIGHT[c] for c in CLASSES)
    x = array(SCORES)
    t = array(CLASSES)
    w = array(WEIGHT)
    assert_close(F.softmax_cross_entropy(x, t, w, label_smoothing=smoothing), expected, rtol=1e-13)
    check_gradients(
        lambda x, w: F.softmax_cross_entropy(x, t, w, label_smoothing=smoothing), x, w, order=order
    )


def test_for_rows_the_weighted_sum_is_divided_by_the_batch_size(backend64, array):
    """As in PyTorch: for probabilities the mean is not weighted."""
    rows = np.asarray([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.25, 0.5, 0.25]])
    q = (rows * 0.9 + 0.1 / 3.0) * WEIGHT
    loss = F.softmax_cross_entropy(
        array(SCORES), array(rows.tolist()), array(WEIGHT), label_smoothing=0.1
    )
    assert_close(loss, cross_entropy(SCORES, q.tolist()), rtol=1e-13)


@pytest.mark.parametrize("label", [3, -1])
def test_a_class_number_out_of_range_makes_a_weighted_loss_infinite(backend, array, label):
    """With weights and with smoothing."""
    t = array([2, 1, label, 2])
    for options in ({"weight": array(WEIGHT)}, {"label_smoothing": 0.1}):
        assert to_numpy(F.softmax_cross_entropy(array(SCORES), t, **options)) == math.inf


@pytest.mark.parametrize("options", [{}, {"weight": WEIGHT}, {"label_smoothing": 0.1}])
def test_ignored_rows_do_not_count(backend64, array, order, options):
    """The loss and the gradient are those of the other rows only, in any shape, and for 8-bit
    labels.
    """
    options = {k: array(v) if k == "weight" else v for k, v in options.items()}
    x = array([SCORES, SCORES])
    t = array([[-100, *CLASSES[1:]], [-100] * 4])
    loss = F.softmax_cross_entropy(x, t, **options, ignore_index=-100)
    of_others = F.softmax_cross_entropy(x[0, 1:, :], array(CLASSES[1:]), **options)
    assert_close(loss, of_others, rtol=1e-13)
    check_gradients(
        lambda x: F.softmax_cross_entropy(x, t, **options, ignore_index=-100), x, order=order
    )
    signed = array([-100, *CLASSES[1:]], backend64.xp.int8)
    loss = F.softmax_cross_entropy(x[0, ...], signed, **options, ignore_index=-100)
    assert_close(loss, of_others, rtol=1e-13)
    unsigned = array(CLASSES, backend64.xp.uint8)  # none of them is -100 or 156
    loss = F.softmax_cross_entropy(x[0, ...], unsigned, **options, ignore_index=-100)
    assert_close(loss, F.softmax_cross_entropy(x[0, ...], unsigned, **options), rtol=1e-13)


@pytest.mark.parametrize("options", [{}, {"weight": WEIGHT}, {"label_smoothing": 0.1}])
def test_a_batch_of_ignored_rows_teaches_nothing(backend, array, options):
    """It costs nothing, and its gradient is 0, not nan, which would end a training."""
    options = {k: array(v) if k == "weight" else v for k, v in options.items()}
    x = Variable(array(SCORES))
    loss = F.softmax_cross_entropy(x, array([-1] * 4), **options, ignore_index=-1)
    loss.backward()
    assert to_numpy(loss) == 0.0
    assert (to_numpy(x.grad) == 0.0).all()


def test_ignored_rows_hide_no_other_mistake(backend, array):
    """A number outside is inf, not ignored; rows have no index."""
    x = array(SCORES)
    loss = F.softmax_cross_entropy(x, array([0, -1, 3, 1]), ignore_index=-1)
    assert to_numpy(loss) == math.inf
    with pytest.raises(TypeError, match="expected class numbers with an ignore_index"):
        F.softmax_cross_entropy(x, x, ignore_index=1)


def test_weights_do_not_change_the_dtype_of_the_loss(backend, array):
    """float32 stays float32; integer weights are cast."""
    x = array(SCORES)
    t = array(CLASSES)
    loss = F.softmax_cross_entropy(x, t, array([1, 1, 1]))
    assert loss.dtype == backend.dtype
    assert_close(loss, F.softmax_cross_entropy(x, t), rtol=1e-6)


def test_invalid_weights_and_smoothing_are_errors(backend, array):
    """The message says what was expected and what was given."""
    x = array(SCORES)
    t = array(CLASSES)
    with pytest.raises(ShapeError, match=r"weight of shape \(3,\), one for each class, got \(4,\)"):
        F.softmax_cross_entropy(x, t, array([1.0, 1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match=r"label_smoothing from 0 to 1, got 1.5"):
        F.softmax_cross_entropy(x, t, label_smoothing=1.5)


def test_kl_divergence(backend64, array, order):
    """sum(t log(t / y)), the mean over the rows: 0 where they agree."""
    y = [[0.5, 0.25, 0.25], [0.1, 0.6, 0.3]]
    t = [[0.2, 0.3, 0.5], [0.0, 0.5, 0.5]]
    expected = 0.5 * math.fsum(
        ti * math.log(ti / yi)
        for yr, tr in zip(y, t, strict=True)
        for yi, ti in zip(yr, tr, strict=True)
        if ti > 0.0
    )
    log_y = array(np.log(y).tolist())
    p = array(t)
    assert_close(F.kl_divergence(log_y, p), expected, rtol=1e-13)
    assert_close(F.kl_divergence(log_y, array(y)), 0.0, atol=1e-15)
    check_gradients(F.kl_divergence, log_y, array([[0.2, 0.3, 0.5], [0.1, 0.4, 0.5]]), order=order)
    logs = array([[math.log(v) if v else -math.inf for v in row] for row in t])
    assert_close(F.kl_divergence(log_y, logs, log_target=True), expected, rtol=1e-13)
    check_gradients(
        lambda y, t: F.kl_divergence(y, t, log_target=True), log_y, log_y * 1.5, order=order
    )


def test_kl_divergence_of_a_class_with_probability_0(backend, array):
    """A class with probability 0 in the target does not count, whatever the prediction is."""
    y = Variable(array([[0.0, -math.inf]]))
    for t, log_target in (([[1.0, 0.0]], False), ([[0.0, -math.inf]], True)):
        loss = F.kl_divergence(y, array(t), log_target=log_target)
        assert float(loss) == 0.0
        assert_close(gradients(loss, [y])[0], [[-1.0, 0.0]])


def test_binary_weights(backend64, array, order):
    """mean(w (p t softplus(-x) + (1 - t) softplus(x)))."""
    x = [[-3.0, 0.5], [2.0, 0.0]]
    t = [[0.0, 1.0], [0.3, 1.0]]
    w = [[1.0], [0.5]]
    p = [3.0, 0.25]
    expected = math.fsum(
        w[i][0]
        * (
            p[j] * t[i][j] * math.log1p(math.exp(-x[i][j]))
            + (1.0 - t[i][j]) * math.log1p(math.exp(x[i][j]))
        )
        for i in range(2)
        for j in range(2)
    )
    options = {"weight": array(w), "pos_weight": array(p)}
    x = array(x)
    t = array(t)
    assert_close(F.binary_cross_entropy_with_logits(x, t, **options), expected / 4.0, rtol=1e-13)
    check_gradients(
        lambda x, t: F.binary_cross_entropy_with_logits(x, t, **options), x, t, order=order
    )


def test_binary_weights_do_not_broadcast_the_loss(backend, array):
    """A weight with more axes than the scores is an error, not a mean over more numbers."""
    x = array([0.0, 1.0])
    for name in ("weight", "pos_weight"):
        with pytest.raises(ShapeError, match=r"broadcast to the shape of x, \(2,\), got \(3, 1\)"):
            F.binary_cross_entropy_with_logits(x, x, **{name: array([[1.0], [2.0], [3.0]])})


# --- PyTorch --------------------------------------------------------------------------------------

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
    classes=st.integers(1, 6),
    smoothing=st.sampled_from([0.0, 0.1, 0.75]),
    weighted=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_cross_entropies_agree_with_torch(dtype, n, classes, smoothing, weighted, seed):
    """Values and gradients: weights, smoothing, class numbers and probabilities."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    T = torch.nn.functional
    rng = np.random.default_rng(seed)
    x, s = (rng.normal(size=(n, classes)).astype(dtype) for _ in range(2))
    rows = rng.dirichlet(np.ones(classes), n).astype(dtype)
    t = rng.integers(0, classes, n)
    q = rng.uniform(size=(n, classes)).astype(dtype)
    w, v = rng.uniform(0.5, 2.0, (2, classes)).astype(dtype)
    some = int(t[0]) - 1  # never all classes

    def given(value):
        return value if weighted else None

    def tensor(value):
        return None if given(value) is None else torch.tensor(value)

    pairs = [
        (
            lambda x, s: F.softmax_cross_entropy(x, t, given(w), label_smoothing=smoothing),
            lambda x, s: T.cross_entropy(x, torch.tensor(t), tensor(w), label_smoothing=smoothing),
        ),
        (
            lambda x, s: F.softmax_cross_entropy(
                x, t, given(w), label_smoothing=smoothing, ignore_index=some
            ),
            lambda x, s: T.cross_entropy(
                x, torch.tensor(t), tensor(w), label_smoothing=smoothing, ignore_index=some
            ),
        ),
        (
            lambda x, s: F.softmax_cross_entropy(x, rows, given(w), label_smoothing=smoothing),
            lambda x, s: T.cross_entropy(
                x, torch.tensor(rows), tensor(w), label_smoothing=smoothing
            ),
        ),
        (
            lambda x, s: F.binary_cross_entropy_with_logits(x, q, given(w), pos_weight=given(v)),
            lambda x, s: T.binary_cross_entropy_with_logits(
                x, torch.tensor(q), tensor(w), pos_weight=tensor(v)
            ),
        ),
        (
            lambda x, s: F.kl_divergence(F.log_softmax(x), rows),
            lambda x, s: T.kl_div(T.log_softmax(x, -1), torch.tensor(rows), reduction="batchmean"),
        ),
        (
            lambda x, s: F.kl_divergence(F.log_softmax(x), F.log_softmax(s), log_target=True),
            lambda x, s: T.kl_div(
                T.log_softmax(x, -1), T.log_softmax(s, -1), reduction="batchmean", log_target=True
            ),
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
