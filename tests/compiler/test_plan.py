"""Plans: what is printed, and which executor is chosen."""

import operator

import numpy as np
import pytest

import xpnet
from tests.compiler.programs import SIZES, Builder, assert_equal_bits, interpreted, recorded_step
from xpnet.compiler.executors import choose
from xpnet.compiler.executors.numpy import NumPyExecutor
from xpnet.compiler.passes import cleaned
from xpnet.compiler.plan import Plan


def plan_of(name="mlp"):
    program, *_ = recorded_step(name)
    return Plan(program, choose(program, "numpy", "numpy"), "step")


@pytest.mark.parametrize("name", SIZES)
def test_a_plan_fits_into_80_columns(name):
    lines = str(plan_of(name)).splitlines()
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", SIZES)
def test_a_plan_shows_each_operation_with_its_shape_under_its_line(name):
    plan = plan_of(name)
    text = str(plan)
    for n, operation in enumerate(plan.program.operations, 1):
        (row,) = [x for x in text.splitlines() if x.startswith(f"  {n:>3}  ")]
        assert str(operation.outputs[0].shape) in row
    assert "programs.py:" in text


def test_a_chain_that_was_shown_is_not_spelled_out_for_each_parameter():
    """Adam has the same one for all parameters: what differs is shown."""
    program, *_ = recorded_step("mlp", lambda p: xpnet.Adam(p, lr=0.01))
    text = str(Plan(program, choose(program, "numpy", "numpy")))
    assert text.count("sqrt, divide") == 1
    assert text.count("as in row") == 5
    rows = text[text.index("as in row") :].splitlines()
    assert "number" not in rows[1]
    for i in range(6):
        assert f"state.{i}.m" in text


@pytest.mark.parametrize(
    ("folder", "shown"), [("project", "src/train.py:3"), ("elsewhere", "train.py:3")]
)
def test_lines_are_relative_to_the_working_folder(tmp_path, monkeypatch, folder, shown):
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    builder = singular_program()
    for operation in builder.program.operations:
        operation.where = f"{tmp_path / 'project' / 'src' / 'train.py'}:3"
    plan = Plan(builder.program, choose(builder.program, "numpy", "numpy"))
    assert shown in str(plan).splitlines()
    assert f"linalg.inv -> (3, 3) float32, at {shown}" in plan.explain()


def test_a_plan_names_parameters_memory_and_the_reason():
    plan = plan_of()
    text = str(plan)
    assert f"{len(plan.recorded.operations)} operations were recorded" in text
    assert f"{len(plan.program.operations)} run, by NumPy" in text
    assert "weight" in text
    assert "state       6 arrays" in text
    assert "arena" in text
    assert "chosen      the caller names it" in text


def test_the_source_of_a_plan_is_that_of_its_executor():
    plan = plan_of()
    assert plan.source == plan.executor.source
    assert "np.matmul" in plan.source


def singular_program():
    """x @ inv(x + 1), twice its tanh: a step with one operation that NumPy's functions compute."""
    builder = Builder()
    x = builder.input("argument", np.eye(3, dtype="f"))
    moved = builder.apply("add", operator.add, x, 1.0)
    inverse = builder.apply("linalg.inv", np.linalg.inv, moved)
    product = builder.apply("matmul", operator.matmul, x, inverse)
    builder.program.outputs = [builder.apply("tanh", np.tanh, product)]
    return builder


def test_explain_names_what_the_library_computes_with_its_line():
    program = singular_program().program
    text = Plan(program, choose(program, "numpy", "numpy"), "step").explain()
    assert "NumPy (1 operation), 1 call of the library, NumPy (2 operations)" in text
    assert "linalg.inv -> (3, 3) float32, at drawn.py:1" in text


def test_explain_says_so_if_all_is_compiled():
    text = plan_of().explain()
    assert text == "NumPy computes all operations of step itself."


def test_the_environment_forces_numpy(monkeypatch):
    monkeypatch.setenv("XPNET_EXECUTOR", "numpy")
    program, *_ = recorded_step("mlp")
    executor = choose(program, "numpy")
    assert isinstance(executor, NumPyExecutor)
    assert executor.reason == "XPNET_EXECUTOR names it"


def test_without_a_c_library_numpy_runs_the_step_and_the_plan_says_why(monkeypatch):
    from xpnet.compiler.c import load

    monkeypatch.delenv("XPNET_EXECUTOR", raising=False)
    monkeypatch.setattr(load, "find", lambda: None)
    monkeypatch.setattr(load, "status", lambda: "none: no compiler was found")
    program, *_ = recorded_step("mlp")
    plan = Plan(program, choose(program, "numpy"))
    assert plan.executor.name == "numpy"
    assert "chosen      C library: none: no compiler was found" in str(plan)


def test_c_by_force_raises_if_there_is_no_library(monkeypatch):
    from xpnet.compiler.c import load

    def no_library():
        raise xpnet.CompileError("There is no C library: no compiler was found")

    monkeypatch.setattr(load, "wait", no_library)
    program, *_ = recorded_step("mlp")
    with pytest.raises(xpnet.CompileError, match="no compiler was found"):
        choose(program, "numpy", "c")


@pytest.mark.parametrize("forced", ["fortran", ""])
def test_another_executor_is_refused(forced):
    program, *_ = recorded_step("mlp")
    with pytest.raises(xpnet.ArgumentError, match='"c" or "numpy"'):
        choose(program, "numpy", forced)


def test_a_library_without_an_executor_replays_the_recorded_functions():
    program, *arrays = recorded_step("mlp")
    executor = choose(program, "array_api_strict")
    assert executor.name == "library"
    arguments, states, hosts = arrays
    executor.bind([np.array(x) for x in states])
    outputs, expected = interpreted(program, arguments, states, hosts)
    assert_equal_bits(executor.run(arguments, hosts), outputs)
    assert_equal_bits(executor.states, expected)


def test_the_numpy_executor_reports_its_memory():
    program, *_ = recorded_step("mlp")
    executor = NumPyExecutor(cleaned(program, "numpy"))
    lines, arena = executor.describe()
    assert lines == f"executor: numpy, {executor.source.count(chr(10))} lines of generated source"
    memory = executor.memory
    assert arena == f"arena: {memory.arena_size} bytes (largest live set: {memory.live_size})"
