"""A small problem: points in three clusters, to be classified."""

import numpy as np
import pytest


@pytest.fixture
def clusters():
    """(x, t) of 110 points in 4 dimensions around 3 centres, far apart; nothing is random."""
    rng = np.random.default_rng(7)
    t = np.arange(110) % 3
    centres = np.asarray([[3.0, 0, 0, 0], [0, 3.0, 0, 0], [0, 0, 3.0, 1.0]])
    x = (centres[t] + rng.normal(0, 0.4, (110, 4))).astype("float32")
    return x, t
