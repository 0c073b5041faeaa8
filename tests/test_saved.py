"""Reading saved numbers: an invalid one raises an error with its name."""

import math

import pytest

import xpnet
from xpnet import _saved as saved


@pytest.mark.parametrize("value", [0, 3, 2**63 - 1])
def test_an_integer_is_returned(value):
    assert saved.whole({"n": value}, "n") == value


@pytest.mark.parametrize("value", [-1, 2**63, 10**400, 1.0, True, None, "3", math.inf, [3]])
def test_something_other_than_an_integer_raises_with_its_name(value):
    with pytest.raises(xpnet.StateError, match="Expected n to be an integer >= 0, got"):
        saved.whole({"n": value}, "n")
    with pytest.raises(xpnet.StateError, match="got None"):
        saved.whole({}, "n")


@pytest.mark.parametrize("value", [0, -3, 2.5, 1e308, 5e-324])
def test_a_finite_number_is_returned_as_a_float(value):
    found = saved.finite({"x": value}, "x")
    assert type(found) is float
    assert found == value


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 10**400, -(10**309), True, None, "1"]
)
def test_something_other_than_a_finite_number_raises_with_its_name(value):
    with pytest.raises(xpnet.StateError, match="Expected x to be a finite number, got"):
        saved.finite({"x": value}, "x")


def test_a_number_below_the_minimum_raises_with_the_minimum():
    with pytest.raises(xpnet.StateError, match="finite number >= 0, got -0.5"):
        saved.finite({"x": -0.5}, "x", 0.0)
    with pytest.raises(xpnet.StateError, match="integer >= 1, got 0"):
        saved.whole({"x": 0}, "x", 1)


def test_a_message_abbreviates_a_long_value():
    with pytest.raises(xpnet.StateError, match="got an integer of 1329 bits"):
        saved.whole({"x": 10**400}, "x")
    with pytest.raises(xpnet.StateError, match=r"got \['a', .*\.\.\."):
        saved.mapping({"x": ["a"] * 1000}, "x")
