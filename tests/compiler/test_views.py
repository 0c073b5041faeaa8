"""Parts of an array that a step changes in place: the whole changes with them, or the step is refused."""

import numpy as np
import pytest

import xpnet
from xpnet.backend import to_numpy
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.executors.c import CExecutor
from xpnet.compiler.executors.library import LibraryExecutor
from xpnet.compiler.executors.numpy import NumPyExecutor
from xpnet.compiler.passes import cleaned
from xpnet.errors import CompileError

CALLS = 6  # the first three are recorded


def changed_part(y):
    part = y[0, ...]
    part *= 3.0


def changed_part_of_part(y):
    y[0, ...][1:][0] = 5.0


def row_by_row(y):
    for i in range(2):
        row = y[i, ...]
        row -= xpnet.array_namespace(row).mean(row)


def added_to_a_row(y):
    y[0, ...] += 1.0


def scaled_column(y):
    y[:, 1] *= 10.0


def two_parts(y):
    first = y[0, ...]
    second = y[1, ...]
    first += second
    second[...] = first


PARTS = [changed_part, changed_part_of_part, row_by_row, added_to_a_row, scaled_column, two_parts]


def arrays(backend):
    for i in range(CALLS):
        yield backend.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]]) * (i + 1.0)


def after(change):
    """A step whose result is an array after a change."""

    def step(x):
        y = x * 2.0
        change(y)
        return y

    return step


@pytest.mark.parametrize("change", PARTS)
@pytest.mark.parametrize("kind", [LibraryExecutor, NumPyExecutor, CExecutor])
def test_a_part_that_is_changed_changes_the_whole(backend64, change, kind):
    if not backend64.library.mutable:
        pytest.skip("its arrays do not change in place")
    if kind is not LibraryExecutor and backend64.name != "numpy":
        pytest.skip("an executor of NumPy's arrays")
    step = after(change)
    compiled = Compiled(step, executor=lambda program: kind(cleaned(program, kind.name)))
    for x in arrays(backend64):
        np.testing.assert_allclose(to_numpy(compiled(x)), to_numpy(step(x)))
    assert compiled.replays


def test_a_state_whose_part_is_changed():
    held = {"w": np.zeros((2, 3))}

    @xpnet.compile
    def step(x):
        held["w"][0][:] = x[0]
        held["w"][1] += x[1]
        return held["w"].sum()

    for i in range(CALLS):
        step(np.ones((2, 3)) * i)
    assert step.replays
    np.testing.assert_array_equal(held["w"], [[5.0] * 3, [15.0] * 3])


def test_a_part_of_an_argument_is_refused():
    def step(x):
        x[0] += 1.0
        return x * 1.0

    with pytest.raises(CompileError, match=r"test_views\.py:\d+: the step changes the argument x"):
        xpnet.compile(step)(np.ones((2, 3)))


def reversed_axes(y):
    y.T[0] = 7.0


def flattened(y):
    y.reshape(-1)[0] = 9.0


def with_an_axis(y):
    y[None][0, 0] = 9.0


def split(y):
    left, _ = np.split(y, [1], axis=1)
    left += 1.0


def squeezed(y):
    np.squeeze(y[None])[0] = 0.0


@pytest.mark.parametrize("change", [reversed_axes, flattened, with_an_axis, split, squeezed])
def test_a_result_that_was_changed_through_another_array_is_refused(change):
    compiled = xpnet.compile(after(change))
    with pytest.raises(
        CompileError, match=r"test_views\.py:\d+: the step changes an array that it"
    ):
        compiled(np.arange(6.0).reshape(2, 3))


def test_a_part_that_is_returned_after_the_whole_was_changed_is_refused():
    def step(x):
        y = x * 2.0
        part = y[1]
        y += 1.0
        return {"part": [xpnet.Variable(part)]}

    with pytest.raises(CompileError, match="the step changes an array that it returns"):
        xpnet.compile(step)(np.ones((2, 3)))


def test_a_state_that_was_changed_through_another_array_is_refused():
    held = {"w": np.zeros((2, 3))}

    def step(x):
        w = x * 1.0
        held["w"] = w
        w.T[0] = 1.0
        return w.shape

    with pytest.raises(CompileError, match=r"the step changes held\.w through another array"):
        xpnet.compile(step)(np.ones((2, 3)))


def test_views_of_pytorch():
    torch = pytest.importorskip("torch")

    def step(x):
        y = x * 2.0
        y.view(-1).__iadd__(1.0)
        return y

    with pytest.raises(CompileError, match="the step changes an array that it returns"):
        xpnet.compile(step)(torch.ones(2, 3))
