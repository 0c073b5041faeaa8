"""benchmarks/peers: the contenders compute the same, or the race between them means nothing."""

import numpy as np
import pytest

from benchmarks.peers import by_xpnet, contender as register
from benchmarks.peers.contender import MODULES, NotOfferedError, maker, use_of_threads
from benchmarks.peers.race import CHECKS, environment, missing_package
from benchmarks.peers.workloads import (
    Indices,
    Workload,
    initial_weights,
    multiply_adds,
    products,
    workload_named,
)
from xpnet.compiler.c import load
from xpnet.compiler.executors import choose
from xpnet.errors import CompileError

STEPS = 3
WORKLOADS = [
    Workload("sgd", (12, 16, 10), "sgd", 0.1, 8, 10),
    Workload("adam", (12, 16, 16, 10), "adam", 1e-3, 8, 10),
    Workload("lenet", (), "momentum", 0.02, 4, 10),
]
ROOM = 3  # data are of so many batches
LEARNERS = [name for name in MODULES if name not in ("products", "limit", "torch-compile")]
"""The contenders that train. torch.compile takes a minute, and differs from torch-fused by one call."""


def samples(workload):
    """Random samples, and their classes."""
    rng = np.random.default_rng(0)
    inputs = 784 if workload.convolutional else workload.widths[0]
    n = ROOM * workload.batch
    return rng.random((n, inputs), np.float32), rng.integers(10, size=n)


def contender(name, workload):
    """A contender; the test is skipped if its library is not installed."""
    if "compiled-c" in name:
        try:
            load.wait()
        except CompileError as error:
            pytest.skip(f"the contender runs the C library: {error}")
    try:
        return maker(name)(workload, *samples(workload), initial_weights(workload))
    except NotOfferedError as error:
        pytest.skip(str(error))


def batches(workload):
    """The rows of each step, drawn as the worker draws them."""
    return Indices(ROOM * workload.batch, workload.batch, seed=1).next(STEPS)


def vector(weights):
    """All weights as one vector."""
    return np.concatenate([w.reshape(-1) for w in weights]).astype(np.float64)


def by_hand(workload):
    """The weights after all steps, by hand-tuned NumPy."""
    reference = contender("numpy", workload)
    reference.run(batches(workload))
    return vector(reference.weights())


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
@pytest.mark.parametrize("name", [name for name in LEARNERS if name != "numpy"])
def test_a_contender_computes_what_numpy_by_hand_does(name, workload):
    mine = contender(name, workload)
    before = vector(initial_weights(workload))
    assert np.array_equal(vector(mine.weights()), before)
    mine.run(batches(workload))
    after = vector(mine.weights())
    expected = by_hand(workload)
    _, tolerance = CHECKS[workload.optimizer]
    moved = np.linalg.norm(expected - before)
    assert moved > 100 * tolerance * np.linalg.norm(before)  # not to have moved would be seen
    assert np.linalg.norm(after - expected) < tolerance * np.linalg.norm(expected)


@pytest.mark.parametrize("name", ["products", "limit"])
def test_what_does_not_train_has_no_weights(name):
    mine = contender(name, WORKLOADS[0])
    mine.run(batches(WORKLOADS[0]))
    assert mine.weights() == []


@pytest.mark.parametrize(
    ("name", "executor"),
    [
        ("xpnet-compiled-c", "c"),
        ("xpnet-compiled-c-single", "c"),
        ("xpnet-compiled-numpy", "numpy"),
    ],
)
def test_a_compiled_contender_runs_its_executor_whatever_the_environment_says(
    name, executor, monkeypatch
):
    monkeypatch.setenv("XPNET_EXECUTOR", "numpy" if executor == "c" else "c")
    mine = contender(name, WORKLOADS[0])
    mine.run(batches(WORKLOADS[0])[:1])
    (plan,) = mine.compiled.plans  # after one step: what is compared is the plan's
    assert plan.executor.name == executor


def test_a_contender_that_runs_another_executor_is_an_error(monkeypatch):
    def numpy_instead(program, library, forced):
        return choose(program, library, "numpy")

    monkeypatch.setattr(by_xpnet, "choose", numpy_instead)
    mine = contender("xpnet-compiled-c", WORKLOADS[0])
    with pytest.raises(RuntimeError, match=r"executor 'c', but are \['numpy'\]"):
        mine.run(batches(WORKLOADS[0]))


def test_a_step_that_is_not_compiled_is_an_error(monkeypatch):
    mine = contender("xpnet-compiled-numpy", WORKLOADS[0])
    monkeypatch.setattr(mine.compiled, "reason", "it reads a value")
    with pytest.raises(RuntimeError, match="it reads a value"):
        mine.run(batches(WORKLOADS[0]))


def test_a_library_that_is_not_installed_is_not_offered(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(register, "import_module", missing)
    with pytest.raises(NotOfferedError, match="^torch is not installed$"):
        maker("torch")


def test_a_process_without_a_package_is_left_out_and_any_other_failure_is_not():
    assert missing_package("Traceback\nModuleNotFoundError: No module named 'keras'\n") == (
        "keras is not installed"
    )
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        missing_package("Traceback\nZeroDivisionError: division by zero\n")


def test_multiply_adds_are_those_of_all_products():
    workload = WORKLOADS[1]
    b = workload.batch
    forward = b * (12 * 16 + 16 * 16 + 16 * 10)
    by_data = b * (16 * 16 + 16 * 10)  # the first layer's is not needed
    assert multiply_adds(workload) == 2 * forward + by_data
    assert products(workload)[0] == (b, 12, 16)


def test_a_size_names_a_workload():
    workload = workload_named("3x64x128")
    assert workload.widths == (64, 64, 64, 10)
    assert (workload.batch, workload.optimizer) == (128, "sgd")


def test_batches_are_drawn_without_repetition_until_the_data_are_used_up():
    rows = Indices(24, 8).next(6)
    for epoch in (rows[:3], rows[3:]):
        assert sorted(epoch.reshape(-1)) == list(range(24))
    assert not np.array_equal(rows[:3], rows[3:])


def test_every_contender_says_what_threads_do():
    for name in MODULES:
        assert use_of_threads(name)
    assert use_of_threads("xpnet-compiled-c-single").startswith("xpnet divides")
    assert use_of_threads("xpnet").startswith("OpenBLAS")


def test_workers_have_as_many_threads_as_asked(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    one = environment(1)
    assert "OPENBLAS_CORETYPE" not in one
    assert "intra_op_parallelism_threads=1" in one["XLA_FLAGS"]
    two = environment(2)
    assert {two[f"{x}_NUM_THREADS"] for x in ("OMP", "OPENBLAS", "MKL")} == {"2"}
