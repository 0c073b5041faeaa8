"""Arrays of the state that somebody else holds, too: another plan, or the user.

A step that changes an array in place (`x += y`, an optimizer) changes it for all who hold it. One that puts a
new array into a place leaves the old one as it was. A replay does the same.
"""

from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
from xpnet import functions as F, layers
from xpnet.compiler.c import build, load
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.executors.c import CExecutor
from xpnet.compiler.executors.library import LibraryExecutor
from xpnet.compiler.executors.numpy import NumPyExecutor
from xpnet.compiler.passes import cleaned
from xpnet.compiler.replay import Replay

x = np.arange(1.0, 6.0, dtype=np.float32) / 7.0


@pytest.fixture(params=[NumPyExecutor, CExecutor, LibraryExecutor])
def compile_it(request):
    """What compiles a function for an executor."""
    kind = request.param
    if kind is CExecutor and not build.find_compilers() and not load.BINARIES.exists():
        pytest.skip("there is neither a C compiler (cc, gcc or clang) nor a compiled library")
    return lambda f: Compiled(f, executor=lambda program: kind(cleaned(program, kind.name)))


def adding(count, *, in_place=False):
    """Arrays in a list, to which a step adds; `put` puts others into their places."""
    held = SimpleNamespace(arrays=[np.zeros(5, np.float32) for _ in range(count)])

    def step(x):
        for i in range(count):
            if in_place:
                held.arrays[i] += x * (i + 1.0)
            else:
                held.arrays[i] = held.arrays[i] + x * (i + 1.0)
        return held.arrays[0] * 1.0

    def put(arrays):
        held.arrays[:] = arrays

    return step, lambda: held.arrays, put


def adding_in_place(count):
    return adding(count, in_place=True)


def shrinking(count):
    """Parameters whose `data` a step replaces."""
    parameters = [xpnet.Parameter(np.ones(5, np.float32)) for _ in range(count)]

    def step(x):
        for p in parameters:
            p.data = p.data * 0.5 + x

    def put(arrays):
        for p, array in zip(parameters, arrays, strict=True):
            p.data = array

    return step, lambda: [p.data for p in parameters], put


def learning(count):
    """Parameters that an optimizer changes in place."""
    parameters = [xpnet.Parameter(np.ones(5, np.float32)) for _ in range(count)]
    optimizer = xpnet.Adam(parameters, lr=0.1)

    def step(x):
        optimizer.zero_grad()
        F.sum(
            sum((p * p * x for p in parameters[1:]), parameters[0] * parameters[0] * x)
        ).backward()
        optimizer.step()

    def put(arrays):
        for p, array in zip(parameters, arrays, strict=True):
            p.data = array

    return step, lambda: [p.data for p in parameters], put


def numbers(*gets):
    return [np.array(array) for get in gets for array in get()]


def shared(make, wrap, count, order):
    """All arrays after each call of two steps, of which one was given the other's arrays."""
    step_a, get_a, _ = make(count)
    step_b, get_b, put_b = make(count)
    a = wrap(step_a)
    b = wrap(step_b)
    for _ in range(5):
        a(x)
        b(2.0 * x)
    put_b(get_a())
    found = []
    for name in order * 3:
        if name == "a":
            a(x)
        else:
            b(2.0 * x)
        found += numbers(get_a, get_b)
    return found


@pytest.mark.parametrize("make", [adding, shrinking, adding_in_place, learning])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_two_plans_that_are_given_one_array(compile_it, make, count, order, request):
    changes_in_place = make in (adding_in_place, learning)
    if changes_in_place and "Library" in request.node.name:
        pytest.skip("an executor that changes nothing in place separates the two: see Compiled")
    expected = shared(make, lambda step: step, count, order)
    found = shared(make, compile_it, count, order)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_arrays_that_the_user_keeps_from_step_to_step(compile_it):
    step, get, _ = adding(2)
    compiled = compile_it(step)
    kept = []
    for _ in range(8):
        compiled(x)
        kept.append([get()[0], get()[1][1:3]])
    for n, (whole, part) in enumerate(kept, 1):
        np.testing.assert_allclose(whole, n * x, rtol=1e-6)
        np.testing.assert_allclose(part, 2.0 * n * x[1:3], rtol=1e-6)


def test_running_statistics_that_the_user_keeps(compile_it):
    layer = layers.BatchNorm1d(3)
    twin = layers.BatchNorm1d(3)
    compiled = compile_it(lambda x: layer(x))
    kept = []
    expected = []
    batch = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    for _ in range(8):
        compiled(batch)
        twin(batch)
        kept.append(layer.running_mean.data)
        expected.append(twin.running_mean.data)
    np.testing.assert_allclose(kept, expected, rtol=1e-5)


def test_plans_that_take_turns_need_no_copies(compile_it, monkeypatch):
    """Training, its last batch, and evaluation share the arrays of the model."""
    model = xpnet.Sequential(
        layers.Affine(5, 4, rng=0), layers.BatchNorm1d(4), layers.Affine(4, 3, rng=1)
    )
    optimizer = xpnet.Adam(model.parameters())

    def step(batch):
        loss = F.sum(model(batch) ** 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    train = compile_it(step)
    test = compile_it(lambda batch: model(batch))
    batch = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)

    def epoch():
        train(batch)
        train(batch[:4])
        model.eval()
        test(batch)
        model.train()

    for _ in range(6):
        epoch()
    bound = []
    bind = Replay.bind
    monkeypatch.setattr(Replay, "bind", lambda plan: bound.append(plan) or bind(plan))
    for _ in range(3):
        epoch()
    if train.replays[0].executor.in_place:
        assert bound == []
    else:  # new arrays in each step
        assert len(bound) == 9


def test_what_is_bound_after_the_user_has_let_go(compile_it):
    """A copy is made in one step, not in those after it."""
    step, get, _ = adding(1)
    compiled = compile_it(step)
    for _ in range(5):
        compiled(x)
    kept = get()[0]
    before = kept.copy()
    compiled(x)
    places = set()
    for _ in range(3):
        compiled(x)
        places.add(get()[0].ctypes.data)
    np.testing.assert_array_equal(kept, before)
    np.testing.assert_allclose(get()[0], 9.0 * x, rtol=1e-6)
    if compiled.replays[0].executor.in_place:
        assert len(places) == 1


def test_arrays_that_the_user_keeps_on_every_library(backend):
    held = SimpleNamespace(array=backend.asarray(np.zeros(3), backend.dtype))
    twin = SimpleNamespace(array=held.array)

    def step_of(held):
        def step(x):
            held.array = held.array * 0.5 + x

        return step

    eager = step_of(twin)
    compiled = Compiled(step_of(held))
    x = backend.asarray(np.arange(3.0), backend.dtype)
    kept = []
    expected = []
    for _ in range(8):
        compiled(x)
        eager(x)
        kept.append(held.array)
        expected.append(twin.array)
    assert len(compiled.replays) == 1
    for one, other in zip(kept, expected, strict=True):
        np.testing.assert_allclose(xpnet.to_numpy(one), xpnet.to_numpy(other), rtol=1e-6)
