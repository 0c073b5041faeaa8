"""Dropout: the layer that forgets a little, so that the others learn not to rely on it."""

from xpnet import functions as F
from xpnet._typing import Array, Rng
from xpnet.errors import ArgumentError
from xpnet.layers._input_checks import misfit, require_floating
from xpnet.layers.base import Layer
from xpnet.random import default_rng


class Dropout(Layer):
    """In training each number is 0 with probability p, else divided by 1 - p. Any shape.

    In evaluation (`model.eval()`) it hands x on.

    Parameters
    ----------
    p : float
        How many are left out: from 0 to 1.
    rng : int, numpy.random.Generator, xpnet.random.DeviceGenerator or None
        The source of the masks; None: the generator of `xpnet.manual_seed`. A generator of the
        layer's own is part of `named_generators`, so that checkpoints know it.

    Notes
    -----
    Masks are drawn on the host: one seed gives the same masks on every backend. A DeviceGenerator,
    and `manual_seed(seed, device=True)`, draw them on the GPU, with CuPy. Source: see
    `xpnet.functions.dropout`.
    """

    def __init__(self, p: float = 0.5, rng: Rng = None) -> None:
        if not 0.0 <= p <= 1.0:
            raise ArgumentError(f"Dropout expected a probability p from 0 to 1, got {p}.")
        self.p = p
        self.rng = None if rng is None else default_rng(rng)

    def forward(self, x: Array) -> Array:
        if not hasattr(x, "shape"):
            raise misfit(self, x, ("...",))
        require_floating(self, x, ("...",))
        return F.dropout(x, self.p, rng=self.rng) if self.training else x

    def __repr__(self) -> str:
        return f"Dropout(p={self.p})"
