"""Random numbers: one stream, whose state can be saved and restored."""

import json

import numpy as np
import pytest

from xpnet import ArgumentError, StateError, manual_seed, random
from xpnet.random import default_rng


def test_a_stream_resumes_from_a_state_saved_as_json():
    """The state of PCG64 has 128 bits."""
    manual_seed(5)
    default_rng().random(7)
    saved = json.loads(json.dumps(random.state()))
    expected = default_rng().random(9)
    manual_seed(6)
    random.set_state(saved)
    assert default_rng().random(9).tolist() == expected.tolist()


@pytest.mark.parametrize("name", ["MT19937", "Philox", "SFC64", "PCG64DXSM"])
def test_generators_of_other_kinds_resume_from_their_state(name):
    """Also those whose state contains arrays."""
    mine = default_rng(np.random.Generator(getattr(np.random, name)(0)))
    mine.standard_normal(7)
    saved = json.loads(json.dumps(random.state(mine)))
    expected = mine.random(9)
    random.set_state(saved, mine)
    assert mine.random(9).tolist() == expected.tolist()


def test_set_state_changes_the_given_generator_in_place():
    """xpnet's own stream is unchanged."""
    manual_seed(1)
    mine = default_rng(3)
    own = random.state()
    saved = random.state(mine)
    expected = mine.random(4)
    random.set_state(saved, mine)
    assert mine.random(4).tolist() == expected.tolist()
    assert random.state() == own


@pytest.mark.parametrize(
    "numbers",
    [{}, {"bit_generator": "MT19937"}, {"bit_generator": "PCG64", "state": {"state": "x"}}],
)
def test_an_invalid_state_raises(numbers):
    before = random.state()
    with pytest.raises(StateError, match="Expected the state of a PCG64 generator"):
        random.set_state(numbers)
    assert random.state() == before


def test_the_stream_is_the_same_as_numpys():
    """default_rng(7) draws the same numbers as numpy.random.default_rng(7)."""
    assert default_rng(7).random(3).tolist() == np.random.default_rng(7).random(3).tolist()


@pytest.mark.parametrize("rng", [np.random.default_rng, random.DeviceGenerator])
def test_leaps_lead_to_other_parts_of_a_stream(rng):
    """None: where it was; the same number: the same place; another one: another place."""
    places = []
    for times in (0, 1, 2, 1):
        generator = rng(5)
        random.leap(times, generator)
        places.append(random.state(generator))
    assert places[0] == random.state(rng(5))
    assert places[1] == places[3]
    assert places[0] != places[1] != places[2] != places[0]


def test_xpnets_own_stream_leaps_and_that_for_masks_too():
    random.manual_seed(3, device=True)
    before = random.state()
    random.leap(1)
    after = random.state()
    random.manual_seed(3)
    assert before["state"] != after["state"]
    assert before["device"]["key"] != after["device"]["key"]


def test_a_generator_that_cannot_leap_is_named():
    with pytest.raises(ArgumentError, match="SFC64"):
        random.leap(1, np.random.Generator(np.random.SFC64(0)))
