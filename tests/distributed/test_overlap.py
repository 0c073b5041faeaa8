"""Compiled steps: buckets of gradients are on their way while the rest of the walk back is replayed."""

import gc
import importlib.util
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import xpnet
from tests.compiler.test_contract import require_c
from tests.distributed.trainings import assert_same, clusters, on_ranks, train
from tests.processes import ROOT, environment
from xpnet import distributed, functions as F
from xpnet.distributed import GradientSum, gradients
from xpnet.training import learner
from xpnet.training._compiled import Parts
from xpnet.training.learner import Learner

EPOCHS = 6
MPIEXEC = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")


@pytest.fixture
def small_buckets(monkeypatch):
    """A bucket for each parameter: of 32 numbers and 8, and of 24 and 3."""
    monkeypatch.setattr(learner, "GradientSum", partial(GradientSum, bucket_bytes=8))


@pytest.fixture(params=["c", "numpy"])
def executor(request, monkeypatch):
    if request.param == "c":
        require_c()
    monkeypatch.setenv("XPNET_EXECUTOR", request.param)
    return request.param


class Noted(distributed.SingleProcess):
    """A rank whose only other one has the same share; what it sends, and when it waits, is noted."""

    size = 2

    def __init__(self):
        self.events = []

    def allgather(self, value):
        return [value, value]

    def allreduce_start(self, x, op="sum", compression=None):
        self.events.append(x.shape)

        def result():
            self.events.append("wait")
            return x * 2 if op == "sum" else x

        return distributed.Pending(None, result)


@pytest.mark.usefixtures("small_buckets")
@pytest.mark.parametrize(
    "options",
    [
        {"kind": "adam"},
        {"kind": "momentum", "lr": 0.02, "accumulate": 3, "data": clusters(52), "batch_size": 7},
        {"kind": "sgd", "lr": 0.1, "compression": "bfloat16", "rtol": 2e-2},
        {"kind": "sgd", "lr": 0.1, "metrics": [], "clip": 0.5},
    ],
)
def test_buckets_that_overlap_make_the_steps_of_one_rank(executor, options):
    options = dict(options)
    rtol = options.pop("rtol", 1e-6)
    alone = {name: x for name, x in options.items() if name != "compression"}
    together = on_ranks(3, epochs=EPOCHS, **options)
    assert_same(train(None, epochs=EPOCHS, **alone), together, rtol=rtol)
    assert {"step", "gradients"} & set(together.replayed)


@pytest.mark.usefixtures("small_buckets")
def test_mixed_precision_overlaps(executor):
    x, t = clusters(80)
    options = {"precision": "float16", "dtype": "float32", "data": (x.astype("float32"), t)}
    assert_same(train(None, **options), on_ranks(2, **options), rtol=5e-3)


class Steps:
    """Steps of a learner, by a communicator that notes what is sent."""

    def __init__(self, model=None, compile=None):
        self.communicator = Noted()
        self.model = model or xpnet.MLP(4, 8, 3, rng=0)
        self.learner = Learner(
            self.model,
            F.softmax_cross_entropy,
            xpnet.SGD(self.model.parameters(), 0.1),
            communicator=self.communicator,
            compile=compile,
        )

    def events(self, steps):
        """What is sent in the next steps."""
        self.communicator.events = []
        with xpnet.using("numpy", dtype="float64"):
            for _ in range(steps):
                self.learner.step(*clusters(20))
        return self.communicator.events

    @property
    def compiled(self):
        return self.learner.compiled[0]


@pytest.mark.usefixtures("small_buckets")
def test_messages_are_sent_in_one_order_before_any_is_waited_for(executor):
    """That of the last layer first; steps that are rehearsed and replayed send what eager ones send."""
    with xpnet.using("numpy", dtype="float64"):
        compiled = Steps()
        eager = Steps(compile=False)
    a_step = [(3,), (24,), (8,), (32,), (5,), *["wait"] * 5]  # (5,): samples, and who has gradients
    assert compiled.events(6) == eager.events(6) == 6 * a_step
    assert compiled.compiled.replays
    for a, b in zip(compiled.model.parameters(), eager.model.parameters(), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12)


@pytest.mark.usefixtures("small_buckets")
def test_a_plan_says_where_it_sends_a_bucket(executor):
    with xpnet.using("numpy", dtype="float64"):
        steps = Steps()
    steps.events(4)
    text = steps.compiled.plans[-1].explain()
    lines = [line for line in text.splitlines() if line.startswith("After ")]
    counts = [int(line.split()[1]) for line in lines]
    assert len(counts) == 4
    assert counts == sorted(set(counts))
    assert all(line.endswith("send_bucket is given 1 array.") for line in lines)


def test_one_bucket_does_not_interrupt_a_step(executor):
    with xpnet.using("numpy", dtype="float64"):
        steps = Steps()
    steps.events(4)
    assert "After" not in steps.compiled.explain()


@pytest.mark.usefixtures("small_buckets")
def test_a_plan_sends_by_the_sum_that_the_learner_has_now(executor):
    """A learner that is reset, as after an interrupted step, has another one; its plans are kept."""
    with xpnet.using("numpy", dtype="float64"):
        steps = Steps()
        eager = Steps(compile=False)
    before = [*steps.events(4)]
    found = steps.learner.gradient_sum()
    found.start(0, np.ones(3))  # as an interrupted step would have left it
    steps.learner.reset()
    plans = len(steps.compiled.replays)
    assert steps.events(4) == before
    assert steps.learner.gradient_sum() is not found
    assert len(steps.compiled.replays) == plans
    eager.events(8)
    for a, b in zip(steps.model.parameters(), eager.model.parameters(), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12)


class Fragile(xpnet.Function):
    """Twice its argument; the walk back through it may fail."""

    fails = False

    def forward(self, x):
        return 2.0 * x

    def backward(self, gy):
        if Fragile.fails:
            raise RuntimeError("in the first layer")
        return 2.0 * gy


class FragileLayer(xpnet.Layer):
    def forward(self, x):
        return Fragile()(x)


@pytest.mark.usefixtures("small_buckets")
def test_a_step_that_fails_while_gradients_are_on_their_way_is_not_continued(monkeypatch):
    """Those of the last layer are sent, and would be taken for the ones of the next step."""
    with xpnet.using("numpy", dtype="float64"):
        first, *others = xpnet.MLP(4, 8, 3, rng=0).layers
        steps = Steps(xpnet.Sequential(first, FragileLayer(), *others), compile=False)
    a_step = steps.events(1)
    before = {name: np.array(x) for name, x in steps.model.state_dict().items()}
    monkeypatch.setattr(Fragile, "fails", True)
    with pytest.raises(RuntimeError, match="in the first layer"):
        steps.events(1)
    assert steps.communicator.events == [(3,), (24,)]
    monkeypatch.setattr(Fragile, "fails", False)
    with pytest.raises(xpnet.StateError, match="has failed on this one"):
        steps.events(1)
    with pytest.raises(xpnet.StateError, match="has failed on this one"):
        steps.learner.step_without_samples(*clusters(0))
    for name, x in steps.model.state_dict().items():
        np.testing.assert_array_equal(x, before[name])
    steps.learner.reset()
    assert steps.events(2) == 2 * a_step


def over_mpi():
    """What each process of the next test does."""
    learner.GradientSum = partial(GradientSum, bucket_bytes=8)
    options = {"epochs": EPOCHS, "clip": 0.5}
    found = train(distributed.communicator(), **options)
    assert_same(train(None, **options), found)
    assert "step" in found.replayed


@pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
    reason='mpiexec or mpi4py is missing: pip install "xpnet[mpi]"',
)
def test_buckets_of_processes_overlap():
    code = "from tests.distributed.test_overlap import over_mpi; over_mpi()"
    found = subprocess.run(
        [MPIEXEC, "-n", "2", sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_parts_of_a_step_without_their_learner_say_so():
    with xpnet.using("numpy", dtype="float64"):
        steps = Steps()
    parts = Parts(steps.learner)
    del steps
    gc.collect()
    with pytest.raises(xpnet.StateError, match="Keep a reference to it"):
        parts.send_bucket(0)


def test_buckets_that_are_complete_wait_for_those_before():
    """An executor may compute the gradients of a later bucket first."""

    def reduce(communicator):
        parameters = [xpnet.Parameter(np.ones(2)) for _ in range(3)]
        found = gradients.GradientSum(parameters, communicator, bucket_bytes=1)
        started = []
        for number in (2, 0, 1):
            found.start(number, np.full(2, 10.0 * number + communicator.rank))
            started.append(len(found._started))
        found.finish(1)
        return started, [p.raw_grad.tolist() for p in parameters]

    sums = [[41.0, 41.0], [21.0, 21.0], [1.0, 1.0]]
    assert distributed.run(2, reduce) == [([0, 1, 3], sums)] * 2


@pytest.mark.usefixtures("small_buckets")
def test_each_library_sends_buckets(backend64):
    """On JAX and CuPy, whose plans cannot be interrupted, all are sent after the walk back."""
    options = {"epochs": EPOCHS, "spec": backend64, "kind": "adam"}
    assert_same(train(None, **options), on_ranks(2, **options))
