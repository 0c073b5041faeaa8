"""What is said to be lacking is, and what is not said is there: the rows of limits.py."""

import pytest

from tests.layers.limits import LIMITS


@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_as_they_are_told(backend, name):
    library = backend.name.partition(":")[0]
    assert LIMITS[name].able(backend) == (library not in LIMITS[name].lacks)
