"""Windows drawn by hypothesis, and arrays for them."""

import numpy as np
from hypothesis import HealthCheck, settings, strategies as st

from xpnet.kernels.window import Window

DRAWN = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the fixtures hold no state
)


def window_over(size, kernel, stride, padding, dilation):
    """A window with as much padding before an axis as after it."""
    return Window(size, kernel, stride, tuple((p, p) for p in padding), dilation)


@st.composite
def arrays_and_windows(draw):
    """A window over one to three axes, groups, and arrays x, W, gy and b that fit them."""
    d = draw(st.integers(1, 3))

    def axes(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(d))

    kernel, stride, dilation, padding = axes(1, 3), axes(1, 3), axes(1, 2), axes(0, 2)
    reach = [g * (k - 1) + 1 for k, g in zip(kernel, dilation, strict=True)]
    least = [max(1, r - 2 * p) for r, p in zip(reach, padding, strict=True)]
    size = tuple(n + draw(st.integers(0, 3)) for n in least)
    window = window_over(size, kernel, stride, padding, dilation)
    n, groups, cin, cout = (draw(st.integers(low, 3)) for low in (0, 1, 1, 1))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.integers(-3, 4, (n, groups * cin, *window.size)).astype("float64")
    W = rng.normal(size=(groups * cout, cin, *kernel))
    gy = rng.normal(size=(n, groups * cout, *window.out))
    return window, groups, x, W, gy, rng.normal(size=groups * cout), rng.normal(size=groups * cin)
