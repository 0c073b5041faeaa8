"""Two recordings agree, or the error says where they do not."""

import re
from functools import partial

import numpy as np
import pytest

from xpnet import array_namespace, functions as F
from xpnet._each_step import each_step
from xpnet.compiler.call import recorded_call
from xpnet.compiler.guard import difference

x = np.ones(3)


def found(f, g=None, args=(x,)):
    """What differs between recordings of two functions."""
    a = recorded_call(f, args)
    b = recorded_call(g or f, args)
    return difference(a.program, b.program, a.recorder, b.recorder, (a.tree, b.tree))


def test_equal_recordings_agree():
    def f(x):
        c = each_step(lambda: {"a": 2.0, "b": None, "c": (np.ones(3), "name")})
        y = F.sum(x * c["a"] + c["c"][0] * float("nan"))
        return [y, x[1:2], {"n": 3, "nan": float("nan")}], c["a"] * 3.0

    assert found(f) is None
    assert found(f, lambda x: f(x)) is None


constant = np.full(3, 2.0)
drawn = iter(range(1000))

CASES = {
    "another function": (lambda x: x + x, lambda x: x * x, "computes 'add'.*'multiply'"),
    "more operations": (lambda x: x + x, lambda x: (x + x) * x, "1 operation .*2 in the next"),
    "fewer operations": (lambda x: (x + x) * x, lambda x: x + x, "2 operations.*1 in the next"),
    "a number": (lambda x: x + 1.0, lambda x: x + 2.0, r"add is given 1\.0.*2\.0"),
    "the type of a number": (lambda x: x + 1, lambda x: x + 1.0, r"given 1 in.*1\.0"),
    "an option": (
        lambda x: array_namespace(x).sum(x, axis=0),
        lambda x: array_namespace(x).sum(x, axis=-1),
        "sum is given 0 in one call, and -1",
    ),
    "another operand": (lambda x: x * 2.0 + x, lambda x: x + x * 2.0, "other arrays"),
    "a slice": (lambda x: x[1:], lambda x: x[2:], "given 1 in.*2 in"),
    "a foreign array": (lambda x: x + np.ones(3), None, "another one in each call"),
    "the result": (
        lambda x: (x, x + 1.0),
        lambda x: (x + 1.0, x),
        "returns or keeps something else",
    ),
    "a number in the result": (lambda x: (x, next(drawn)), None, "returns or keeps something else"),
    "the structure of the result": (
        lambda x: (x,),
        lambda x: [x],
        "returns or keeps something else",
    ),
    "more actions": (
        lambda x: x,
        lambda x: x * each_step(lambda: 1.0),
        "calls each_step 0 times in one call, and 1",
    ),
    "an integer of an action": (
        lambda x: (each_step(lambda: {"n": next(drawn)}), x)[1],
        None,
        "only floats and arrays may differ",
    ),
    "how a number is computed": (
        lambda x: x * (each_step(lambda: 3.0) * 2.0),
        lambda x: x * (each_step(lambda: 3.0) + 2.0),
        "in two ways",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_differs(name):
    f, g, message = CASES[name]
    with_message = found(f, g)
    assert with_message is not None
    assert re.search(message, with_message), with_message


def test_the_line_is_named():
    def f(x):
        return x + 1.0, x * next(drawn)

    line = f.__code__.co_firstlineno + 1
    assert f"test_guard.py:{line}: multiply is given" in found(f)


def test_the_same_foreign_array_is_a_constant():
    assert found(lambda x: x + constant) is None


def test_updates_of_other_states():
    state = {"a": np.zeros(3), "b": np.zeros(3)}

    def change(key):
        def f(x):
            state[key] = state[key] + x

        return f

    a = recorded_call(change("a"), (x,))
    b = recorded_call(change("b"), (x,))
    # the same states, in the same order, but another one changes
    assert difference(a.program, b.program, a.recorder, b.recorder, (None, None)) is not None


# --- functions of one name ------------------------------------------------------------------------


def scaling(scale):
    """A new function in each call."""
    return lambda: scale


def test_functions_of_one_name_are_told_apart():
    m = np.arange(9.0).reshape(1, 3, 3)
    with_message = found(lambda x: np.trace(x), lambda x: np.linalg.trace(x), (m,))
    assert with_message is not None
    assert re.search(
        r"test_guard\.py:\d+: np\.trace is numpy\.trace in one call, and numpy\.linalg\.trace in the next",
        with_message,
    )


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.add.reduce(x),
        lambda x: x.real,
        lambda x: x.reshape(3, 1),
        lambda x: F.special.erf(x),
        lambda x: F.getitem(x, [0, 2]),
        lambda x: F.asarray([1.0, 2.0, 3.0]) * x,
    ],
)
def test_functions_that_are_made_in_each_call_agree(f):
    assert found(f) is None


@pytest.mark.parametrize(
    ("action", "agrees"),
    [
        (lambda: scaling(2.0), True),
        (lambda: partial(float, "2.0"), True),
        (lambda: partial(len, [0.0] * 3), True),
        (lambda: partial(round, 2.0, ndigits=next(drawn)), False),
        (lambda: scaling(0.0 * next(drawn)), True),
        (lambda: scaling(float(next(drawn))), False),
        (lambda: (lambda: 1.0, lambda: 1.0)[next(drawn) % 2], False),
        (lambda: partial(scaling, next(drawn)), False),
    ],
)
def test_an_action_that_holds_another_number_is_refused(action, agrees):
    """A replay would call the one that was recorded."""

    def f(x):
        made = action()
        each_step(lambda: made is None)
        return x * 2.0

    with_message = found(f)
    if agrees:
        assert with_message is None
    else:
        assert "each_step is given" in with_message


def test_an_action_that_calls_itself():
    def f(x):
        def count(n=3):
            return 1.0 if n == 0 else count(n - 1)

        return x * each_step(count)

    assert found(f) is None
