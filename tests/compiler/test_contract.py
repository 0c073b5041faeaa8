"""The contract of a compiled step: it computes what the same Python computes without a record.

Each layer, loss, optimizer and option is run twice from the same start, once as it is and once
compiled, for so many steps that most of them are replayed. On the executors whose operations are those
of the recording, the results agree bit for bit; the C executor sums in another order.
"""

from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
import xpnet.compiler
from tests.layers.cases import LAYERS, Integers
from tests.optimizers.cases import CASES, SHAPES, slope
from xpnet import Parameter, Variable, functions as F, layers as L, optimizers, schedules
from xpnet.autodiff import tree
from xpnet.training import Trainer

EXECUTORS = ("library",)
STEPS = 8
EXACT = SimpleNamespace(rtol=0.0, atol=0.0)
ROUNDED = SimpleNamespace(rtol=1e-9, atol=1e-11)  # in float64: sums in another order


@pytest.fixture(params=EXECUTORS)
def executor(request, monkeypatch):
    """An executor on NumPy, by force."""
    if request.param == "c":
        library = pytest.importorskip("xpnet.compiler.c.library", reason="no C executor here")
        if not library.is_available():
            pytest.skip("the C library is not built here: there is no compiler")
    monkeypatch.setenv("XPNET_EXECUTOR", request.param)
    with xpnet.using("numpy", dtype="float64"):
        yield request.param


def agree(executor, found, expected):
    """Assert that two trees of arrays, Variables and numbers are equal, to rounding in C."""
    close = ROUNDED if executor == "c" else EXACT
    found = tree.leaves(found)
    expected = tree.leaves(expected)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        if isinstance(b, Variable):
            assert isinstance(a, Variable)
        a = xpnet.to_numpy(a)
        b = xpnet.to_numpy(b)
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=close.rtol, atol=close.atol)


def twice(executor, make, batches, between=None):
    """Run `make()`, a function with its state, as it is and compiled; all results must agree.

    Parameters
    ----------
    make : function without parameters
        Returns (step, state): a function of a batch, and a function that returns what it changes.
    batches : list of tuples
    between : function (step number, the state's owner), optional
        What a user changes before that step, in both runs.
    """
    plain, plain_state = make()
    step, state = make()
    compiled = xpnet.compiler.compile(step)
    for i, batch in enumerate(batches):
        if between is not None:
            between(i, plain)
            between(i, step)
        expected = plain(*batch)
        found = compiled(*batch)
        agree(executor, found, expected)
        agree(executor, state(), plain_state())
    assert compiled.replays


# --- layers -----------------------------------------------------------------------------------------


def step_of(layer, inputs):
    """A step that learns to make the outputs of a layer small, and returns all gradients."""
    params = list(layer.parameters())
    optimizer = xpnet.SGD(params, lr=0.01) if params else None

    def step(*arrays):
        xs = [
            x if isinstance(given, Integers) else Variable(x, requires_grad=True)
            for x, given in zip(arrays, inputs, strict=True)
        ]
        y = layer(*xs)
        loss = sum(F.mean(leaf * leaf) + F.mean(F.sin(leaf)) for leaf in tree.leaves(y))
        if params:
            optimizer.zero_grad()
        if isinstance(loss, Variable):
            loss.backward()
        if params:
            optimizer.step()
        return y, loss, [x.raw_grad for x in xs if isinstance(x, Variable)]

    step.layer = layer
    return step, lambda: list(layer.state_dict().values())


@pytest.mark.parametrize("name", LAYERS)
def test_layers(executor, name):
    case = LAYERS[name]
    inputs = case.inputs(case.at())

    def between(i, step):
        if i == STEPS:
            step.layer.eval()
        if i == STEPS + 5:
            step.layer.train()

    batches = [tuple(case.hosts(seed)) for seed in range(STEPS + 7)]
    twice(executor, lambda: step_of(case.layer(), inputs), batches, between)


# --- losses -----------------------------------------------------------------------------------------

CLASSES = np.array([0, 2, 1, 1])
PROBABILITIES = np.random.default_rng(1).dirichlet(np.ones(3), 4)
WEIGHTS = np.array([0.5, 1.0, 2.0])
LOSSES = {
    "mean_squared_error": (F.mean_squared_error, PROBABILITIES),
    "l1_loss": (F.l1_loss, PROBABILITIES),
    "huber_loss": (F.huber_loss, PROBABILITIES),
    "huber_loss, delta": (lambda y, t: F.huber_loss(y, t, delta=0.1), PROBABILITIES),
    "hinge_loss": (F.hinge_loss, CLASSES),
    "softmax_cross_entropy": (F.softmax_cross_entropy, CLASSES),
    "softmax_cross_entropy, of rows": (F.softmax_cross_entropy, PROBABILITIES),
    "softmax_cross_entropy, weighted": (
        lambda y, t: F.softmax_cross_entropy(y, t, weight=WEIGHTS),
        CLASSES,
    ),
    "softmax_cross_entropy, smoothed": (
        lambda y, t: F.softmax_cross_entropy(y, t, label_smoothing=0.1),
        CLASSES,
    ),
    "softmax_cross_entropy, ignored": (
        lambda y, t: F.softmax_cross_entropy(y, t, ignore_index=1),
        CLASSES,
    ),
    "kl_divergence": (lambda y, t: F.kl_divergence(F.log_softmax(y), t), PROBABILITIES),
    "binary_cross_entropy": (lambda y, t: F.binary_cross_entropy(F.sigmoid(y), t), PROBABILITIES),
    "binary_cross_entropy_with_logits": (F.binary_cross_entropy_with_logits, PROBABILITIES),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(executor, name):
    loss_of, targets = LOSSES[name]

    def make():
        model = L.MLP(5, 4, 3, activation="tanh", rng=0)
        optimizer = xpnet.Adam(model.parameters(), lr=0.01)

        def step(x, t):
            loss = loss_of(model(x), t)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step, lambda: list(model.state_dict().values())

    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(4, 5)), np.roll(targets, i, axis=0)) for i in range(STEPS)]
    twice(executor, make, batches)


# --- optimizers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_optimizers(executor, case):
    """All numbers of an optimizer may change between steps."""

    def make():
        rng = np.random.default_rng(0)
        params = [Parameter(rng.standard_normal(shape)) for shape in SHAPES]
        groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.02}]
        optimizer = case.kind(groups, **case.options)

        def step(*gradients):
            for p, g in zip(params, gradients, strict=True):
                p.raw_grad = g
            optimizer.step()

        step.optimizer = optimizer
        return step, lambda: list(optimizer.state_dict().values()) + [p.data for p in params]

    def between(i, step):
        step.optimizer.factor = 1.0 / (i + 1)
        if i == 8:
            step.optimizer.lr /= 3.0
            step.optimizer.groups[1]["lr"] = 0.05
        if i == 11:
            step.optimizer.defaults["weight_decay"] = 0.125

    points = [Parameter(np.random.default_rng(1).standard_normal(shape)) for shape in SHAPES]
    batches = [
        tuple(slope(i, t, p.data) for i, p in enumerate(points)) for t in range(1, 17)
    ]  # RAdam computes otherwise from its sixth step on
    twice(executor, make, batches, between)


# --- training ---------------------------------------------------------------------------------------


def network():
    return L.Sequential(
        L.Affine(6, 8, rng=1), L.BatchNorm1d(8), L.ReLU(), L.Dropout(0.2, rng=2), L.Dropout(0.1),
        L.Affine(8, 3, rng=3),
    )  # fmt: skip


def data(n=130):
    """The last batch of 20 has 10 samples."""
    rng = np.random.default_rng(7)
    t = np.arange(n) % 3
    return np.eye(3, 6)[t] + rng.normal(0, 0.6, (n, 6)), t


def clip_each(parameters):
    """A user's function of arrays."""
    optimizers.clip_grad_value(parameters, 0.05)


def clip_decided(parameters):
    """A user's function that decides something on the host: it cannot be compiled."""
    parameters = list(parameters)
    norm = sum(float(np.sum(p.raw_grad**2)) for p in parameters) ** 0.5
    if norm > 0.5:
        for p in parameters:
            p.raw_grad = p.raw_grad * (0.5 / norm)


TRAININGS = {
    "plain": dict,
    "clip": lambda: {"clip": 0.5},
    "clip by a function": lambda: {"clip": clip_each},
    "clip by a function that reads values": lambda: {"clip": clip_decided},
    "accumulate": lambda: {"accumulate": 3},
    "average": lambda: {"average": 0.9},
    "everything": lambda: {"clip": 0.5, "accumulate": 2, "average": 0.9},
    **{
        f"schedule {name}": lambda name=name: {"schedule": schedules.schedule(name, 40, 6)}
        for name in schedules.BY_NAME
    },
}


def trainer_of(compile, options, rule=xpnet.Adam, **more):
    model = network()
    optimizer = rule(model.parameters(), lr=0.02)
    return Trainer(
        model, F.softmax_cross_entropy, optimizer, rng=4, compile=compile, **options(), **more
    )


def numbers(trainer):
    """All numbers of a training, without the seconds."""
    state = trainer.state_dict()
    rows = [
        [value for name, value in row.items() if name not in ("seconds", "samples_per_s")]
        for row in state["history"]["rows"]
    ]
    return [state["model"], state["optimizer"], state["average"], rows]


@pytest.mark.parametrize("name", TRAININGS)
def test_trainings(executor, name):
    options = TRAININGS[name]
    plain = trainer_of(False, options)
    compiled = trainer_of(True, options)
    for trainer in (plain, compiled):
        xpnet.manual_seed(5)  # of the masks of one of the layers
        trainer.fit(data(), data(50), 6, 20)
    assert not compiled.learner.reason
    agree(executor, numbers(compiled), numbers(plain))
    assert xpnet.random.state(compiled.model.layers[3].rng) == xpnet.random.state(
        plain.model.layers[3].rng
    )
