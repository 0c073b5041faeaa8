"""What a call has changed apart from arrays is put back, if it is known what was there."""

import itertools
import random
from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.state import survey
from xpnet.compiler.undo import Undo, Undone


class Held(SimpleNamespace):
    pass


def held():
    return Held(
        number=1.5, text="a", nothing=None, rng=np.random.default_rng(3), inner=Held(number=2),
        numbers=[1, 2, 3], names={"a": 1, "b": [5]}, kinds={1, 2}, last=deque([1, 2, 3], maxlen=3),
        pair=(1, [2]),
    )  # fmt: skip


def image(x):
    """All that is in an object, in an order that does not depend on when it came there."""
    if isinstance(x, Held):
        return {name: image(child) for name, child in sorted(vars(x).items())}
    if isinstance(x, dict):
        return {name: image(child) for name, child in sorted(x.items())}
    if isinstance(x, (list, tuple, deque)):
        return type(x).__name__, [image(child) for child in x]
    if isinstance(x, set):
        return set(x)
    if isinstance(x, np.random.Generator):
        return x.bit_generator.state
    return x


CHANGES = {
    "a number": lambda x: setattr(x, "number", 2.5),
    "an object in place of None": lambda x: setattr(x, "nothing", [1]),
    "a number in an object": lambda x: setattr(x.inner, "number", 3),
    "another object": lambda x: setattr(x, "inner", Held(number=9)),
    "a new attribute": lambda x: setattr(x, "new", 1),
    "an attribute that is gone": lambda x: delattr(x, "text"),
    "a draw": lambda x: x.rng.random(),
    "a longer list": lambda x: x.numbers.append(4),
    "a shorter list": lambda x: x.numbers.pop(),
    "an empty list": lambda x: x.numbers.clear(),
    "an item": lambda x: x.numbers.__setitem__(0, 7),
    "another list": lambda x: (x.numbers.append(4), setattr(x, "numbers", [1, 2, 3, 4])),
    "another entry": lambda x: x.names.update(c=3),
    "an entry that is gone": lambda x: x.names.pop("b"),
    "a list in a dict": lambda x: x.names["b"].append(6),
    "a list in a tuple": lambda x: x.pair[1].append(3),
    "a set": lambda x: (x.kinds.discard(1), x.kinds.add(5)),
    "a deque that is full": lambda x: x.last.append(4),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_undone(change):
    x = held()
    before = image(x)
    undo = Undo(survey(x))
    CHANGES[change](x)
    assert image(x) != before
    assert undo.is_possible()
    undo.undo()
    assert image(x) == before


def test_xpnets_own_stream_is_where_it_was():
    xpnet.manual_seed(3)
    undo = Undo(survey(held()))
    first = xpnet.random.default_rng().random()
    undo.undo()
    assert xpnet.random.default_rng().random() == first


def test_bytes_that_are_changed_in_place_are_not_known():
    x = Held(text=bytearray(b"abc"))
    undo = Undo(survey(x))
    assert undo.is_possible()
    x.text[0] = 0
    assert not undo.is_possible()


# --- a call that is undone ------------------------------------------------------------------------


def undone(step):
    return Compiled(step, fallback=True, rehearse=True, undo=True)


def test_a_call_that_cannot_be_recorded_was_not_made():
    x = Held(array=np.ones(3), calls=0, losses=[])

    def step(y):
        x.array += y
        x.calls += 1
        x.losses.append(float(x.array[0]))
        return x.array

    compiled = undone(step)
    with pytest.raises(Undone):
        compiled(np.ones(3))
    assert "float" in compiled.reason
    assert (x.array.tolist(), x.calls, x.losses) == ([1.0] * 3, 0, [])
    assert compiled(np.ones(3)).tolist() == [2.0] * 3  # from now on it runs as it is
    assert (x.calls, x.losses) == (1, [2.0])


def test_a_call_that_creates_something_was_not_made():
    """It may be made again, and then there is nothing left to create."""
    x = Held(array=np.ones(3), cache=None)

    def step(y):
        if x.cache is None:
            x.cache = [2.0]
        x.array += y
        return x.array * x.cache[0]

    compiled = undone(step)
    with pytest.raises(Undone):
        compiled(np.ones(3))
    assert compiled.reason is None
    assert (x.array.tolist(), x.cache) == ([1.0] * 3, None)
    step(np.ones(3))
    assert compiled(np.ones(3)).tolist() == [6.0] * 3
    assert len(compiled.replays) == 1


def test_draws_that_differ_in_each_recording_are_undone():
    x = Held(rng=np.random.default_rng(4))

    def step(y):
        return y * x.rng.normal(size=3)

    compiled = undone(step)
    for _ in range(2):  # a step may create something when it is called first
        with pytest.raises(Undone):
            compiled(np.ones(3))
    assert "draws random numbers" in compiled.reason
    assert x.rng.bit_generator.state == np.random.default_rng(4).bit_generator.state


DRAWS = {
    "np.random": lambda _: np.random.random(),  # noqa: NPY002 - users have it
    "random": lambda _: random.random(),
    "a RandomState": lambda x: x.state.random_sample(),
    "a Random": lambda x: x.python.random(),
    "xpnet": lambda _: xpnet.random.default_rng().random(),
}


def seeded():
    """Generators that have not drawn yet."""
    np.random.seed(4)  # noqa: NPY002 - users have it
    random.seed(4)
    xpnet.manual_seed(4)
    return Held(state=np.random.RandomState(4), python=random.Random(4))


@pytest.mark.parametrize("name", DRAWS)
def test_draws_of_each_kind_of_generator_are_undone(name):
    draw = DRAWS[name]
    first = draw(seeded())
    x = seeded()
    with pytest.raises(Undone):
        undone(lambda y: y * draw(x))(np.ones(3))
    assert draw(x) == first


def counting():
    yield from (1.0, 2.0, 3.0)


@pytest.mark.parametrize("make", [counting, lambda: itertools.cycle([1.0, 2.0, 3.0])])
def test_a_step_that_can_reach_a_generator_is_not_rehearsed(make):
    x = Held(numbers=make())
    compiled = undone(lambda y: y * next(x.numbers))
    with pytest.raises(Undone):
        compiled(np.ones(1))
    assert "x.numbers" in compiled.reason
    assert [compiled(np.ones(1)).tolist() for _ in range(3)] == [[1.0], [2.0], [3.0]]


def test_what_cannot_be_undone_is_the_result_of_the_call():
    x = Held(text=bytearray(b"abc"), array=np.ones(3))

    def step(y):
        x.text[0] = 0
        x.array += y * float(y[0])
        return x.array

    compiled = undone(step)
    assert compiled(np.ones(3)).tolist() == [2.0] * 3
    assert compiled.reason is not None


def test_without_being_asked_for_a_call_is_made():
    def step(y):
        return y * float(y[0])

    compiled = Compiled(step, fallback=True, rehearse=True)
    assert compiled(np.ones(3)).tolist() == [1.0] * 3
    assert compiled.reason is not None
