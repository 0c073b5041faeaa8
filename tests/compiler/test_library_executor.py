"""The executor for any library: its results are those of the step as it is, bit for bit."""

import weakref

import numpy as np
import pytest

import xpnet
from tests.compiler.replayed import (
    MODELS,
    assert_agrees,
    batches,
    executed_by,
    last_bits,
    model_of,
    optimizers,
    stepping,
    trained,
)
from xpnet import functions as F
from xpnet.autodiff.namespace import array_namespace
from xpnet.backend import current, to_numpy
from xpnet.compiler.compiled import Compiled, recorded_call
from xpnet.compiler.executors.library import LibraryExecutor, with_own_results
from xpnet.compiler.executors.straight_line import straight_line
from xpnet.compiler.record import Operation, Program, Value
from xpnet.training import Trainer


def momentum(parameters):
    return xpnet.Momentum(parameters, lr=0.05)


@pytest.mark.parametrize("name", MODELS)
def test_models(backend, eager, name):
    assert_agrees(backend, LibraryExecutor, name, momentum, last_bits(backend, name))


def test_a_model_on_every_library(backend):
    assert_agrees(backend, LibraryExecutor, "mlp", momentum, rtol=0)


@pytest.mark.parametrize("name", optimizers())
def test_optimizers(backend, eager, name):
    assert_agrees(backend, LibraryExecutor, "mlp", optimizers()[name], rtol=0)


def test_a_learning_rate_that_changes(backend):
    def halfway(optimizer):
        optimizer.lr = 0.5

    assert_agrees(backend, LibraryExecutor, "mlp", momentum, rtol=0, halfway=halfway)
    with_it, _ = trained(backend, "mlp", momentum, lambda step: step, halfway)
    without, _ = trained(backend, "mlp", momentum, lambda step: step)
    assert with_it[-1] != without[-1], "the learning rate should have made a difference"


def test_a_failing_step_changes_no_state(backend):
    """A run that fails before its end leaves the states as they were."""
    model, shape = model_of("mlp")
    step = Compiled(stepping(model, momentum(model.parameters())), executor=LibraryExecutor)
    for x, t in batches(backend, shape, 4):
        step(x, t)
    executor = step.replays[0].executor
    before = list(executor.states)
    numbers = [to_numpy(s).copy() for s in before]
    with pytest.raises(Exception, match=r"."):
        executor.run([x[:, 1:], t], [0.1] * len(executor.program.hosts))
    assert all(a is b for a, b in zip(executor.states, before, strict=True))
    for array, expected in zip(before, numbers, strict=True):
        np.testing.assert_array_equal(to_numpy(array), expected)


def test_old_arrays_keep_their_numbers(backend):
    """Nothing is changed in place: an array that was the state before a run is as it was."""
    model, shape = model_of("mlp")
    step = Compiled(stepping(model, momentum(model.parameters())), executor=LibraryExecutor)
    pairs = list(batches(backend, shape, 6))
    for x, t in pairs[:5]:
        step(x, t)
    held = [p.data for p in model.parameters()]
    numbers = [to_numpy(x).copy() for x in held]
    step(*pairs[5])
    for p, x, expected in zip(model.parameters(), held, numbers, strict=True):
        np.testing.assert_array_equal(to_numpy(x), expected)
        assert not np.array_equal(to_numpy(p.data), expected)


OPTIONS = {
    "plain": {},
    "clipped and averaged": {"clip": 1.0, "average": 0.9},
    "accumulated": {"accumulate": 2},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_trainer_compiles_on_every_library(backend, options):
    """With the executor that is chosen for the library; the last batch of an epoch is shorter."""
    if backend.name.startswith("jax") and options:
        pytest.skip("JAX compiles each function for each shape; this is shown without options")
    rng = np.random.default_rng(0)
    data = rng.standard_normal((110, 20)).astype("float32"), rng.integers(0, 10, 110)
    found = []
    for compiles in (False, True):
        model = xpnet.Sequential(
            xpnet.Affine(20, 16, rng=0), xpnet.ReLU(), xpnet.Dropout(0.3, rng=1),
            xpnet.Affine(16, 10, rng=2),
        )  # fmt: skip
        trainer = Trainer(
            model, F.softmax_cross_entropy, xpnet.Adam(model.parameters()), rng=0,
            compile=compiles, **options,
        )  # fmt: skip
        trainer.fit(data, epochs=2, batch_size=20)
        found.append([to_numpy(p.data) for p in model.parameters()])
    in_order = not backend.name.startswith(("jax", "cupy", "numpy"))
    for x, y in zip(*found, strict=True):
        np.testing.assert_allclose(x, y, rtol=0 if in_order else 1e-4, atol=0 if in_order else 1e-6)


# --- the source ------------------------------------------------------------------------------------


def test_arguments_of_every_kind_are_written_out():
    """Numbers that Python can read back, and objects for the others: NaN, infinity, dtypes, slices."""
    seen = []

    def function(*args, **options):
        seen.append((args, options))
        return {"a": args[0], "b": (args[0],)}

    x = Value((2,), np.dtype("f"), "argument", 0)
    args = (x, -0.0, 1e-300, float("nan"), float("inf"), 3, True, None, "it's", Ellipsis, 2j)
    args += (np.dtype("f"), slice(None, 3), [1, (x, {"k": x})], (), np.float32(0.1))
    operation = Operation("all", function, args, {"axis": (0,)})
    operation.outputs = [Value((2,), np.dtype("f"), "operation", i) for i in range(2)]
    operation.result = {"a": operation.outputs[0], "b": (operation.outputs[1],)}
    program = Program([x], [], [], [operation], operation.outputs[::-1], {})
    array = np.arange(2, dtype="f")
    outputs, updates = straight_line(program)([array], [], [])
    assert outputs[0] is array
    assert outputs[1] is array
    assert updates == []
    given, options = seen[0]
    assert options == {"axis": (0,)}
    expected = (array, *args[1:13], [1, (array, {"k": array})], *args[14:])
    assert repr(given) == repr(expected)
    assert [type(x) for x in given] == [type(x) for x in expected]


def test_arrays_are_freed_after_their_last_use():
    """In a chain of operations two arrays exist at a time, not all of them."""
    alive = []
    most = []

    def function(x):
        y = np.add(x, 1)
        key = object()
        alive.append(key)
        weakref.finalize(y, alive.remove, key)
        most.append(len(alive))
        return y

    x = Value((2,), np.dtype("f"), "argument", 0)
    operations = []
    last = x
    for _ in range(20):
        operation = Operation("next", function, (last,))
        last = Value((2,), np.dtype("f"), "operation", operation=operation)
        operation.outputs = [last]
        operation.result = last
        operations.append(operation)
    program = Program([x], [], [], operations, [last], {})
    outputs, _ = straight_line(program)([np.zeros(2, "f")], [], [])
    np.testing.assert_array_equal(outputs[0], [20, 20])
    assert max(most) == 2


def test_a_traceback_shows_the_line_of_the_operation():
    x = Value((2,), np.dtype("f"), "argument", 0)
    operation = Operation("matmul", np.matmul, (x, x), where="train.py:12")
    y = Value((), np.dtype("f"), "operation", operation=operation)
    operation.outputs = [y]
    operation.result = y
    step = straight_line(Program([x], [], [], [operation], [y], {}))
    with pytest.raises(ValueError, match="matmul") as caught:
        step([np.zeros((2, 3))], [], [])
    shown = "".join(str(line) for line in caught.traceback[-1].source)
    assert "# matmul train.py:12" in shown


def test_a_function_of_arrays_alone(backend64):
    """A gradient of a function that is no step."""

    def f(x):
        return F.sum(F.sin(x) * x)

    x = backend64.asarray(np.linspace(0.0, 1.0, 5))
    plain = xpnet.grad(f)
    fast = Compiled(plain, executor=executed_by(LibraryExecutor))
    for _ in range(5):
        result = fast(x)
    assert len(fast.replays) == 1
    expected = np.cos(to_numpy(x)) * to_numpy(x) + np.sin(to_numpy(x))
    np.testing.assert_allclose(to_numpy(result), expected, rtol=1e-12)


def test_the_program_is_not_changed(backend):
    """An executor leaves the program that it was given as it is."""
    model, shape = model_of("mlp")
    x, t = next(batches(backend, shape, 1))
    program = recorded_call(stepping(model, momentum(model.parameters())), (x, t), {}).program
    before = [(o.name, o.function, o.args) for o in program.operations]
    LibraryExecutor(program)
    assert [(o.name, o.function, o.args) for o in program.operations] == before


# --- results have memory of their own ---------------------------------------------------------------


def program_of(change):
    """A program on two states and an argument of three numbers, whose results `change` returns."""
    f = np.dtype("float32")
    states = [Value((3,), f, "state", i) for i in range(2)]
    (x,) = [Value((3,), f, "argument")]
    operations = []

    def add(name, function, *args):
        operation = Operation(name, function, args)
        operation.result = Value((3,), f, "operation", operation=operation)
        operation.outputs = [operation.result]
        operations.append(operation)
        return operation.result

    outputs, updates = change(add, *states, x)
    return Program([x], states, [], operations, outputs, updates)


def viewed(x):
    return x.view()


CHANGES = {
    "a state that another one is moved to": lambda add, p, q, x: ([], {0: x, 1: p}),
    "a state that is a view of another one": lambda add, p, q, x: (
        [],
        {0: add("add", np.add, p, x), 1: add("x.ravel", viewed, p)},
    ),
    "two states with one value": lambda add, p, q, x: (
        [],
        dict.fromkeys((0, 1), add("add", np.add, p, x)),
    ),
    "a view of a new state by a method": lambda add, p, q, x: (
        [add("x.reshape", viewed, new := add("add", np.add, p, x))],
        {0: new},
    ),
    "a view of an unknown kind": lambda add, p, q, x: (
        [add("unheard_of", viewed, q), new := add("add", np.add, p, x)],
        {0: new},
    ),
    "two views of one array": lambda add, p, q, x: (
        [add("swapaxes", viewed, new := add("add", np.add, p, x)), add("unstack", viewed, new)],
        {},
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_no_result_shares_memory_with_another_one_or_with_an_input(change):
    executor = LibraryExecutor(program_of(change))
    given = [np.full(3, k, "f") for k in (1, 2, 3)]
    executor.bind(given[:2])
    outputs = executor.run(given[2:], [])
    changed = [executor.states[i] for i in executor.program.updates]
    results = [*outputs, *changed]
    for i, x in enumerate(results):
        assert not any(np.shares_memory(x, y) for y in results[:i])
        assert not any(np.shares_memory(x, y) for y in given)


def test_a_state_may_lie_in_the_memory_that_it_had():
    """A table of indices that each step checks is not copied each time."""
    program = program_of(lambda add, p, q, x: ([], {0: add("checked", viewed, p)}))
    assert [o.name for o in with_own_results(program).operations] == ["checked"]


def test_what_is_copied_is_copied_before_it_may_be_written_over():
    program = program_of(lambda add, p, q, x: ([p], {0: add("add", np.add, p, x)}))
    assert [o.name for o in with_own_results(program).operations] == ["copy", "add"]


def remembering(state):
    """A step that keeps a copy of what the state was, and of its argument."""

    def step(x):
        read = state["before"] + state["given"] + state["twice"] + state["again"]
        state["before"] = array_namespace(x).asarray(state["p"], copy=True)
        state["given"] = x * 1.0
        state["p"] = state["p"] - 0.5 * x
        state["twice"] = x * 2.0
        state["again"] = x * 2.0
        return +state["p"], read

    return step


def test_a_state_that_is_a_copy_of_another_one_keeps_its_numbers(backend):
    """With the executor that is chosen for the library."""
    names = ("p", "before", "given", "twice", "again")
    state = {name: backend.asarray(np.zeros(3), backend.dtype) for name in names}
    step = Compiled(remembering(state))
    results = []
    for k in range(1, 8):
        x = backend.asarray(np.full(3, float(k)), backend.dtype)
        results.append(step(x)[0])
        p = -0.25 * k * (k + 1)
        expected = {"p": p, "before": p + 0.5 * k, "given": k, "twice": 2 * k, "again": 2 * k}
        for name, number in expected.items():
            np.testing.assert_array_equal(to_numpy(state[name]), np.full(3, number), err_msg=name)
        assert state["given"] is not x
        assert state["twice"] is not state["again"]
    assert len(step.replays) == 1
    for k, result in enumerate(results, 1):
        np.testing.assert_array_equal(to_numpy(result), np.full(3, -0.25 * k * (k + 1)))


def test_a_transfer_by_the_backend_is_no_identity():
    strict = pytest.importorskip("array_api_strict", reason="it has several devices")
    with xpnet.using("array_api_strict:device1") as backend:
        step = Compiled(lambda x: current().asarray(x) * 2.0, executor=executed_by(LibraryExecutor))
        x = strict.asarray([1.0, 2.0], dtype=strict.float32)
        assert x.device != backend.device
        for _ in range(5):
            found = step(x)
            assert found.device == backend.device
    assert len(step.replays) == 1
