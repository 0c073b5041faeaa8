"""The contract of a compiled step: it computes what the same Python computes without a record.

Each layer, loss, optimizer and option is run twice from the same start, once as it is and once
compiled, for so many steps that most of them are replayed. On the executors whose operations are those
of the recording, the results agree bit for bit; the C executor sums in another order.
"""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
import xpnet.compiler
from tests.layers.cases import LAYERS, Integers
from tests.optimizers.cases import CASES, SHAPES, slope
from xpnet import (
    CompileError,
    Parameter,
    Variable,
    functions as F,
    layers as L,
    optimizers,
    schedules,
)
from xpnet.autodiff import grad, gradient_checkpoint, tree
from xpnet.compiler.c import load
from xpnet.compiler.executors import choose
from xpnet.training import Callback, MixedPrecision, ReduceOnPlateau, Statistics, Trainer

EXECUTORS = ("numpy", "c")
STEPS = 8
EXACT = SimpleNamespace(rtol=0.0, atol=0.0)
ROUNDED = {  # in C, which sums in another order
    "float64": SimpleNamespace(rtol=1e-9, atol=1e-11),
    "float32": SimpleNamespace(rtol=2e-4, atol=2e-5),
}


@pytest.fixture(params=EXECUTORS)
def executor(request, monkeypatch):
    """An executor on NumPy, by force."""
    if request.param == "c":
        require_c()
    monkeypatch.setenv("XPNET_EXECUTOR", request.param)
    with xpnet.using("numpy", dtype="float64"):
        yield request.param


def require_c():
    """Skip the test where there is no C library."""
    try:
        load.wait()
    except CompileError as error:
        pytest.skip(str(error))


def agree(executor, found, expected):
    """Assert that two trees of arrays, Variables and numbers are equal, to rounding in C."""
    found = tree.leaves(found)
    expected = tree.leaves(expected)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        if isinstance(b, Variable):
            assert isinstance(a, Variable)
        a = xpnet.to_numpy(a)
        b = xpnet.to_numpy(b)
        assert a.dtype == b.dtype
        close = ROUNDED.get(b.dtype.name, EXACT) if executor == "c" else EXACT
        np.testing.assert_allclose(a, b, rtol=close.rtol, atol=close.atol)


LEFT_TO_NUMPY = {
    "GlobalMaxPool2d": {"take_along_axis"},  # an index for each row: so far in this layer alone
}
"""The operations of layers that the C executor leaves to NumPy, with the reasons."""


def left_to_numpy(compiled):
    """The operations between those that an executor has itself."""
    return {x.name for replay in compiled.replays for x in replay.executor.calls()}


def twice(executor, make, batches, between=None, left=frozenset()):
    """Run `make()`, a function with its state, as it is and compiled; all results must agree.

    The C executor must have all operations but those that are `left`.

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
    assert {replay.executor.name for replay in compiled.replays} == {executor}
    if executor == "c":
        assert left_to_numpy(compiled) == left


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
    left = LEFT_TO_NUMPY.get(name, set())
    twice(executor, lambda: step_of(case.layer(), inputs), batches, between, left)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_in_c_in_float32(name, monkeypatch):
    """In the dtype that is trained in: other kernels of C, and other sizes of tiles."""
    require_c()
    monkeypatch.setenv("XPNET_EXECUTOR", "c")
    case = LAYERS[name]
    batches = []
    for seed in range(STEPS):
        arrays = [np.asarray(x) for x in case.hosts(seed)]
        batches.append(tuple(x.astype("f") if x.dtype == "float64" else x for x in arrays))
    with xpnet.using("numpy"):
        left = LEFT_TO_NUMPY.get(name, set())
        twice("c", lambda: step_of(case.layer(), case.inputs(case.at())), batches, left=left)


@pytest.mark.parametrize(
    "name", [name for name, case in LAYERS.items() if case.sizes.get("n", (0,))[0] == 1]
)
def test_a_batch_of_one_is_computed_in_c(name):
    """Products, views and reductions of one sample are recorded by other names than those of several."""
    require_c()
    case = LAYERS[name]
    sizes = case.at(n=1)
    with xpnet.using("numpy"):
        step, _ = step_of(case.build(sizes), case.inputs(sizes))
        in_c = partial(choose, library="numpy", forced="c")
        compiled = xpnet.compiler.Compiled(step, executor=in_c, rehearse=True)
        arrays = [np.asarray(x) for x in case.hosts(n=1)]
        compiled(*[x.astype("f") if x.dtype == "float64" else x for x in arrays])
    assert left_to_numpy(compiled) == LEFT_TO_NUMPY.get(name, set())


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
        tuple(np.asarray(slope(i, t, p.data)) for i, p in enumerate(points)) for t in range(1, 17)
    ]  # RAdam divides by the gradients' size from its sixth step on
    twice(executor, make, batches, between)


def test_momentum_that_changes_and_is_switched_off_for_a_while(executor):
    def between(i, step):
        if 2 <= i < 12:
            step.optimizer.defaults["momentum"] = 0.0 if 6 <= i < 9 else 0.9 - 0.01 * i

    def sgd(params, lr):
        return xpnet.SGD(params, lr, momentum=0.9, nesterov=True)

    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(4, 5)), CLASSES) for _ in range(14)]
    twice(executor, of_two_layers(sgd), batches, between)


def of_two_layers(kind):
    """A step of a network of two layers, and what it changes."""

    def make():
        model = L.MLP(5, 4, 3, activation="tanh", rng=0)
        optimizer = kind(model.parameters(), lr=0.01)

        def step(x, t):
            loss = F.softmax_cross_entropy(model(x), t)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        step.model = model
        step.optimizer = optimizer
        return step, lambda: [*model.state_dict().values(), *optimizer.state_dict().values()]

    return make


@pytest.mark.parametrize("kind", [xpnet.Adam, optimizers.NAdam, optimizers.RAdam])
def test_a_layer_that_is_frozen_for_a_while(executor, kind):
    """Its parameters have made fewer steps than the others, and so have other coefficients."""

    def between(i, step):
        for p in list(step.model.parameters())[:2]:
            p.requires_grad = not 5 <= i < 9

    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(4, 5)), CLASSES) for _ in range(16)]
    twice(executor, of_two_layers(kind), batches, between)


def test_a_state_that_is_loaded_with_unequal_counts(executor):
    def between(i, step):
        if i in (6, 9):
            state = step.optimizer.state_dict()
            for j, t in enumerate((20, 2, 20, 2) if i == 6 else (3, 3, 7, 7)):
                state[f"{j}.t"] = t
            step.optimizer.load_state_dict(state)

    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(4, 5)), CLASSES) for _ in range(14)]
    twice(executor, of_two_layers(xpnet.Adam), batches, between)


# --- training ---------------------------------------------------------------------------------------


def network():
    # No bias before the normalization, which undoes it: its gradient would be rounding errors only.
    return L.Sequential(
        L.Affine(6, 8, bias=False, rng=1), L.BatchNorm1d(8), L.ReLU(), L.Dropout(0.2, rng=2), L.Dropout(0.1),
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
    "schedule with warmup": lambda: {"schedule": schedules.warmup(schedules.cosine(30), 10)},
    "reduce on plateau": lambda: {"callbacks": [ReduceOnPlateau(patience=0, threshold=0.1)]},
}


def trainer_of(compile, options, **more):
    model = network()
    optimizer = xpnet.Adam(model.parameters(), lr=0.02)
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


def replayed(executor, trainer):
    """Assert that steps of a training were replayed, and by this executor."""
    replays = [replay for step in trainer.compiled for replay in step.replays]
    assert {replay.executor.name for replay in replays} == {executor}


@pytest.mark.parametrize("name", TRAININGS)
def test_trainings(executor, name):
    options = TRAININGS[name]
    plain = trainer_of(False, options)
    compiled = trainer_of(True, options)
    for trainer in (plain, compiled):
        xpnet.manual_seed(5)  # of the masks of one of the layers
        trainer.fit(data(), data(50), 6, 20)
    assert not compiled.learner.reason
    replayed(executor, compiled)
    agree(executor, numbers(compiled), numbers(plain))
    assert xpnet.random.state(compiled.model.layers[3].rng) == xpnet.random.state(
        plain.model.layers[3].rng
    )


def test_a_short_last_batch_is_a_plan_of_its_own(executor):
    compiled = trainer_of(True, dict)
    compiled.fit(data(), None, 6, 20)
    [step] = compiled.compiled
    shapes = {replay.program.arguments[0].shape for replay in step.replays}
    assert shapes == {(20,), (10,)}


@pytest.mark.parametrize("precision", ["float16", "overflows"])
def test_mixed_precision(executor, precision):
    """The scale is halved and doubled by the host, between the parts of a step."""

    def make(compile):
        with xpnet.using("numpy"):
            options = {"accumulate": 2, "clip": 0.5}
            trainer = trainer_of(compile, lambda: options)
            mixed = MixedPrecision(trainer.model, growth_interval=3)
            if precision == "overflows":
                mixed.scale = 2.0**24
            trainer.learner.precision = mixed
            xpnet.manual_seed(5)
            trainer.fit(data(), data(50), 6, 20)
        return trainer

    plain = make(False)
    compiled = make(True)
    assert not compiled.learner.reason
    replayed(executor, compiled)
    assert compiled.learner.precision.state_dict() == plain.learner.precision.state_dict()
    found = numbers(compiled)
    if executor == "c":
        pytest.skip("float16 runs on NumPy: see the other executor")
    agree(executor, found, numbers(plain))


@pytest.mark.parametrize("first", [False, True], ids=["from eager", "from compiled"])
@pytest.mark.parametrize("name", ["plain", "everything", "schedule one-cycle"])
def test_resuming(executor, name, first, tmp_path):
    """A training that is resumed, compiled or not, computes what an uninterrupted one does."""
    options = TRAININGS[name]
    whole = trainer_of(False, options)
    xpnet.manual_seed(5)
    whole.fit(data(), data(50), 6, 20)
    before = trainer_of(first, options)
    xpnet.manual_seed(5)
    before.fit(data(), data(50), 3, 20)
    before.save(tmp_path / "last.safetensors")
    after = trainer_of(not first, options)
    after.fit(data(), data(50), 6, 20, resume=tmp_path / "last.safetensors")
    replayed(executor, before if first else after)
    agree(executor, numbers(after), numbers(whole))


@pytest.mark.parametrize("first", [False, True], ids=["from eager", "from compiled"])
def test_resuming_mixed_precision(executor, first, tmp_path):
    """The scale of the loss, and when it grows again, are those of an uninterrupted training."""

    def make(compile):
        trainer = trainer_of(compile, dict)
        trainer.learner.precision = MixedPrecision(trainer.model, growth_interval=7)
        return trainer

    with xpnet.using("numpy"):
        whole = make(False)
        xpnet.manual_seed(5)
        whole.fit(data(), data(50), 6, 20)
        before = make(first)
        xpnet.manual_seed(5)
        before.fit(data(), data(50), 3, 20)
        before.save(tmp_path / "last.safetensors")
        after = make(not first)
        after.fit(data(), data(50), 6, 20, resume=tmp_path / "last.safetensors")
    replayed(executor, before if first else after)
    scale = whole.learner.precision.state_dict()
    assert after.learner.precision.state_dict() == scale
    assert scale["scale"] > MixedPrecision(whole.model).scale
    if executor == "numpy":  # in C, sums in another order are other float16 numbers
        agree(executor, numbers(after), numbers(whole))


class ReadsGradients(Callback):
    """Notes the gradients after each step, and watches the layers in some of them."""

    def __init__(self):
        self.seen = []

    def on_step(self, trainer):
        self.seen += [np.array(p.raw_grad) for p in trainer.model.parameters()]


@pytest.mark.parametrize("name", ["plain", "clip", "accumulate"])
def test_gradients_are_there_for_a_callback(executor, name):
    found = []
    for compile in (False, True):
        callback = ReadsGradients()
        trainer = trainer_of(compile, TRAININGS[name], callbacks=[callback])
        xpnet.manual_seed(5)
        trainer.fit(data(), None, 2, 20)
        found.append(callback.seen)
    replayed(executor, trainer)
    agree(executor, found[1], found[0])


def test_watched_steps_run_as_they_are(executor):
    """A callback that watches layers in some steps sees the same as without compilation."""
    found = []
    for compile in (False, True):
        callback = Statistics()
        trainer = trainer_of(compile, dict, callbacks=[callback], log_every=0.0)
        xpnet.manual_seed(5)
        trainer.fit(data(), None, 2, 20)
        found.append((callback.rows, numbers(trainer)))
    assert len(found[0][0]) > 2
    agree(executor, found[1], found[0])


def test_what_a_user_changes_between_steps(executor):
    """Clipping, the loss, the mode of the model, and options of the optimizer."""

    def other_loss(y, t):
        return F.softmax_cross_entropy(y, t, label_smoothing=0.25)

    trainers = [trainer_of(False, dict), trainer_of(True, dict)]
    x, t = data()
    results = []
    for trainer in trainers:
        xpnet.manual_seed(5)
        learner = trainer.learner
        losses = []
        for i in range(40):
            if i == 8:
                learner.clip = 0.01
            if i == 14:
                learner.optimizer.defaults["weight_decay"] = 0.5
            if i == 20:
                trainer.model.eval()
            if i == 25:
                trainer.model.train()
            if i == 28:
                learner.loss = other_loss
            if i == 33:
                learner.damping = 0.1
            losses.append(learner.step(x[i : i + 20], t[i : i + 20])[1])
        assert learner.steps == 40
        results.append([losses, trainer.model.state_dict(), learner.optimizer.state_dict()])
    agree(executor, results[1], results[0])


# --- functions of arrays ----------------------------------------------------------------------------


def rosenbrock(x):
    return F.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def test_the_gradient_of_a_function(executor):
    slope_of = grad(rosenbrock)
    compiled = xpnet.compiler.compile(slope_of)
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        x = rng.normal(size=100)
        agree(executor, compiled(x), slope_of(x))
        inner = np.zeros(100)  # the formula of the gradient
        inner[1:] += 200.0 * (x[1:] - x[:-1] ** 2)
        inner[:-1] += -400.0 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2.0 * (1.0 - x[:-1])
        np.testing.assert_allclose(xpnet.to_numpy(compiled(x)), inner, rtol=1e-12, atol=1e-9)
    assert compiled.replays


def test_second_derivatives_in_a_step(executor):
    """A physics-informed network, as in examples/physics_informed.py."""

    def make():
        model = L.MLP(1, [8, 8], 1, activation="tanh", rng=0)
        optimizer = xpnet.Adam(model.parameters())

        def u(t):
            return 1.0 + model(t) * F.tanh(0.5 * t**2)

        def derivative(f):
            return grad(lambda t: F.sum(f(t)))

        velocity = derivative(u)
        acceleration = derivative(velocity)

        def step(points):
            residual = acceleration(points) + 0.3 * velocity(points) + u(points)
            loss = F.mean(residual**2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step, lambda: list(model.state_dict().values())

    batches = [(np.linspace(0.0, 1.0 + i, 16)[:, None],) for i in range(STEPS)]
    twice(executor, make, batches)


def test_checkpointed_layers_draw_the_same_masks(executor):
    """The second run of a `gradient_checkpoint` draws what the first one did, in each replay."""

    def make():
        layers = [L.Affine(5, 5, rng=0), L.Dropout(0.5, rng=1), L.Dropout(0.3)]
        inner = L.Sequential(*layers)
        optimizer = xpnet.SGD(inner.parameters(), lr=0.1)
        rerun = gradient_checkpoint(inner)
        xpnet.manual_seed(5)

        def step(x):
            x = Variable(x, requires_grad=True)
            loss = F.mean(rerun(x) ** 2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss, x.raw_grad

        return step, lambda: list(inner.state_dict().values())

    results = []
    for compiles in (False, True):
        step, state = make()
        run = xpnet.compiler.compile(step) if compiles else step
        batches = np.random.default_rng(0).normal(size=(STEPS, 4, 5))
        results.append([[run(x), [a.copy() for a in state()]] for x in batches])
    agree(executor, results[1], results[0])
