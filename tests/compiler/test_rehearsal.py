"""What a recorded call has changed is undone: all of it, and nothing else."""

import itertools
import threading
import tracemalloc
from collections import deque
from queue import SimpleQueue
from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
from xpnet import functions as F, layers
from xpnet._each_step import each_step
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.executors.library import LibraryExecutor
from xpnet.errors import CompileError
from xpnet.training import Trainer


@pytest.fixture(autouse=True)
def _with_numpys_executor(monkeypatch):
    """Its results are those of NumPy bit for bit."""
    monkeypatch.setenv("XPNET_EXECUTOR", "numpy")


def rehearsed(step, **options):
    return Compiled(step, rehearse=True, **options)


def host(x):
    return np.array(xpnet.to_numpy(x))


# --- what a call changes ----------------------------------------------------------------------------


def change_by_item(own, x):
    own.state[0] = x[0]


def change_by_operator(own, x):
    own.state += x


def change_by_assignment(own, x):
    own.state = own.state * x


def change_in_a_list(own, x):
    own.several[1] = own.several[1] + own.several[0]


@pytest.mark.parametrize(
    "change",
    [change_by_item, change_by_operator, change_by_assignment, change_in_a_list],
)
def test_a_rehearsed_call_is_made_once(backend, change):
    if change in (change_by_item, change_by_operator) and "jax" in backend.name:
        pytest.skip("arrays of JAX do not change")

    def made():
        own = SimpleNamespace(state=backend.asarray([1.0, 2.0, 3.0]))
        own.several = [backend.asarray([1.0]), backend.asarray([2.0])]

        def step(x):
            change(own, x)
            return own.state * 2.0

        return own, step

    own, step = made()
    expected_own, expected_step = made()
    step = rehearsed(step)
    for i in range(4):
        x = backend.asarray([2.0, 3.0, float(i)])
        np.testing.assert_array_equal(host(step(x)), host(expected_step(x)))
        np.testing.assert_array_equal(host(own.state), host(expected_own.state))
        np.testing.assert_array_equal(host(own.several[1]), host(expected_own.several[1]))
    assert step.replays


def test_gradients_that_a_call_removes_come_back(backend):
    """For each rehearsal; the call computes with them."""
    p = xpnet.Parameter(backend.asarray([1.0, 2.0]))

    def step(x):
        norm = F.sum(p.raw_grad * x)
        p.raw_grad = None
        return norm

    step = rehearsed(step, fallback=True)
    for i in range(4):
        p.raw_grad = backend.asarray([1.0, float(i)])
        assert float(step(backend.asarray([1.0, 1.0]))) == 1.0 + i
        assert p.raw_grad is None


@pytest.mark.parametrize(("first_differs", "recordings"), [(False, 2), (True, 3)])
def test_a_call_is_recorded_until_two_recordings_agree(first_differs, recordings):
    seen = SimpleQueue()  # which is not put back

    def step(x):
        is_first = seen.empty()
        seen.put(True)
        return x * 2.0 + x if first_differs and is_first else x * 2.0

    step = rehearsed(step)
    np.testing.assert_array_equal(step(np.ones(3)), np.full(3, 2.0))
    assert seen.qsize() == recordings
    np.testing.assert_array_equal(step(np.full(3, 4.0)), np.full(3, 8.0))
    assert seen.qsize() == recordings


# --- what others change -----------------------------------------------------------------------------


def test_a_step_of_another_thread_during_an_evaluation_is_not_undone():
    model = layers.Sequential(layers.Affine(5, 3, rng=0))
    weight = model.layers[0].weight.data
    calls = itertools.count()  # which is no place that a replay would have to change

    requests = SimpleQueue()
    answers = SimpleQueue()

    def train():
        while requests.get():
            weight[...] = next(calls)
            answers.put(True)

    def measured(x):
        requests.put(True)
        answers.get()
        return F.mean(model(x))

    thread = threading.Thread(
        target=train
    )  # it runs before the evaluation, which has not started it
    thread.start()
    evaluation = rehearsed(measured)
    evaluation(np.ones((4, 5), "float32"))
    requests.put(False)
    thread.join()
    assert evaluation.replays
    np.testing.assert_array_equal(weight, next(calls) - 1.0)


def test_an_array_that_another_thread_has_put_in_place_is_not_removed():
    """As JAX's arrays are, which do not change in place."""
    own = SimpleNamespace(weight=np.ones(3))
    first = iter([True])

    def load():
        if next(first, False):
            own.weight = np.full(3, 2.0)

    def step(x):
        y = own.weight * x
        thread = threading.Thread(target=load)
        thread.start()
        thread.join()
        return y

    step = rehearsed(step, fallback=True)
    step(np.ones(3))
    np.testing.assert_array_equal(own.weight, np.full(3, 2.0))


# --- memory -----------------------------------------------------------------------------------------


def test_data_that_a_step_only_reads_are_not_copied():
    own = SimpleNamespace(data=np.ones((1000, 1000)), sum=np.zeros(1000))

    def step(rows):
        own.sum += F.sum(F.take(own.data, rows, axis=0), axis=0)

    step = rehearsed(step, executor=LibraryExecutor)  # it takes arrays as they are
    tracemalloc.start()
    step(np.array([0, 2]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < own.data.nbytes / 2
    assert own.sum[0] == 2.0


# --- errors that there are only in a recording ------------------------------------------------------


@pytest.mark.parametrize("rehearse", [False, True])
def test_a_step_whose_code_takes_no_recording_arrays_runs_as_it_is(backend64, rehearse):
    """What it has changed by then is undone: arrays, numbers, containers, draws."""
    if backend64.name != "numpy":
        pytest.skip("memoryview is for NumPy's arrays")

    def made():
        rng = np.random.default_rng(0)
        own = SimpleNamespace(
            state=np.ones(3), count=0, seen=[], last=deque(maxlen=3), by_name={"a": 1}, drawn=0.0
        )
        own.names = {"a"}
        own.actions = 0

        def action():
            own.actions += 1
            return float(own.actions)

        def step(x):
            own.state += x
            own.state = own.state * each_step(action)
            own.count += 1
            own.seen.append(own.count)
            own.last.append(own.count)
            own.by_name[str(own.count)] = own.count
            own.by_name.pop("a", None)
            own.names.add(own.count)
            own.new = own.count
            own.drawn = rng.random()
            return own.state * memoryview(x)[0]

        return own, step

    own, step = made()
    expected_own, expected_step = made()
    step = Compiled(step, fallback=True, rehearse=rehearse)
    x = np.array([0.5, 2.0, 3.0])
    for _ in range(5):
        np.testing.assert_array_equal(step(x), expected_step(x))
        np.testing.assert_array_equal(own.state, expected_own.state)
        for name in ("count", "seen", "last", "by_name", "names", "drawn", "actions", "new"):
            assert getattr(own, name) == getattr(expected_own, name)
    assert "test_rehearsal.py" in step.reason
    assert "TypeError" in step.reason


def test_without_fallback_the_error_is_raised():
    step = rehearsed(lambda x: memoryview(x)[0])
    with pytest.raises(CompileError, match=r"test_rehearsal\.py:\d+: the step raises TypeError"):
        step(np.ones(3))


def test_an_error_of_the_step_itself_is_raised_once_more():
    own = SimpleNamespace(count=0)

    def step(x):
        own.count += 1
        raise KeyError(own.count)

    step = rehearsed(step, fallback=True)
    with pytest.raises(KeyError, match="1"):
        step(np.ones(3))
    assert own.count == 1
    assert step.reason is None


def test_an_error_of_an_action_is_raised_without_another_call():
    calls = []

    def action():
        calls.append(0)
        raise KeyError("x")

    step = rehearsed(lambda x: x * each_step(action), fallback=True)
    with pytest.raises(KeyError):
        step(np.ones(3))
    assert calls == [0]


def test_a_metric_that_takes_no_recording_arrays_does_not_end_a_training():
    """Neither with training data on the device, whose metrics are part of the step, nor with test data."""

    def strict(y, t):
        return float(memoryview(y).cast("B").cast("f")[0])

    def trained(compile):
        xpnet.manual_seed(7)
        model = layers.Sequential(
            layers.Affine(5, 6, rng=0), layers.Dropout(0.5), layers.Affine(6, 3, rng=1)
        )
        optimizer = xpnet.Adam(model.parameters())
        trainer = Trainer(
            model, F.softmax_cross_entropy, optimizer, rng=2, compile=compile, metrics=[strict]
        )
        t = np.arange(90) % 3
        data = (np.eye(3, 5, dtype="float32")[t], t)
        trainer.fit(data, data, epochs=2, batch_size=15)
        return trainer

    found = trained(None)
    expected = trained(False)
    for name in ("train_loss", "train_strict", "test_loss", "test_strict"):
        assert found.history[name] == expected.history[name]


# --- actions that ran already -----------------------------------------------------------------------


def test_an_error_of_the_first_plan_leaves_counts_and_weights():
    """As an error in a later replay does."""

    class Fails(LibraryExecutor):
        def run(self, arguments, hosts):
            raise MemoryError

    weight = xpnet.Parameter(np.ones(3))
    optimizer = xpnet.Adam([weight])

    def step(x):
        optimizer.zero_grad()
        F.sum(weight * x).backward()
        optimizer.step()

    with pytest.raises(MemoryError):
        rehearsed(step, executor=Fails)(np.ones(3))
    assert optimizer.state[0]["t"] == 0
    np.testing.assert_array_equal(weight.data, np.ones(3))


def test_actions_run_once_if_the_call_cannot_be_looked_at_any_more(monkeypatch):
    """An action selects other code, and by now the step reaches too many objects."""
    own = SimpleNamespace(actions=0)
    kinds = iter([0, 0, 0, 0, 1, 0])

    def action():
        own.actions += 1
        return next(kinds)

    def step(x):
        return x * 2.0 if each_step(action) else x

    compiled = Compiled(step, fallback=True)
    for _ in range(4):
        compiled(np.ones(3))
    assert compiled.replays
    monkeypatch.setattr("xpnet.compiler.state.LIMIT", 1)
    np.testing.assert_array_equal(compiled(np.ones(3)), [2.0, 2.0, 2.0])
    assert own.actions == 5
    assert compiled.reason is not None
