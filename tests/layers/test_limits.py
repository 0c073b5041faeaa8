"""The rows of limits.py are true of each library."""

import pytest

from tests.layers.limits import LIMITS


@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_as_stated(backend, name):
    library = backend.name.partition(":")[0]
    assert LIMITS[name].able(backend) == (library not in LIMITS[name].lacks)
