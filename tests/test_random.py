"""Random numbers: one stream, which can be found again."""

import json

import numpy as np
import pytest

from xpnet import StateError, manual_seed, random
from xpnet.random import default_rng


def test_a_stream_goes_on_from_its_state_even_through_json():
    """Every bit of PCG64's 128 survives."""
    manual_seed(5)
    default_rng().random(7)
    kept = json.loads(json.dumps(random.state()))
    expected = default_rng().random(9)
    manual_seed(6)
    random.set_state(kept)
    assert default_rng().random(9).tolist() == expected.tolist()


@pytest.mark.parametrize("name", ["MT19937", "Philox", "SFC64", "PCG64DXSM"])
def test_generators_of_other_kinds(name):
    """Those whose state is of arrays, too."""
    mine = default_rng(np.random.Generator(getattr(np.random, name)(0)))
    mine.standard_normal(7)
    kept = json.loads(json.dumps(random.state(mine)))
    expected = mine.random(9)
    random.set_state(kept, mine)
    assert mine.random(9).tolist() == expected.tolist()


def test_a_generator_of_ones_own_is_set_in_place():
    """Whoever holds it goes on from there; xpnet's own stream is not touched."""
    manual_seed(1)
    mine, own = default_rng(3), random.state()
    kept = random.state(mine)
    expected = mine.random(4)
    random.set_state(kept, mine)
    assert mine.random(4).tolist() == expected.tolist()
    assert random.state() == own


@pytest.mark.parametrize(
    "numbers",
    [{}, {"bit_generator": "MT19937"}, {"bit_generator": "PCG64", "state": {"state": "x"}}],
)
def test_what_is_no_state_is_an_error(numbers):
    before = random.state()
    with pytest.raises(StateError, match="Expected the state of a PCG64 generator"):
        random.set_state(numbers)
    assert random.state() == before


def test_the_stream_is_numpys_own():
    """default_rng(7) draws what numpy.random.default_rng(7) draws."""
    assert default_rng(7).random(3).tolist() == np.random.default_rng(7).random(3).tolist()
