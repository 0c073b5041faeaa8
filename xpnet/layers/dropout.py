"""Dropout: random zeros in training, so that no unit can rely on a few others."""

from xpnet import functions as F
from xpnet._typing import Array, Rng
from xpnet.errors import ArgumentError
from xpnet.layers._input_checks import misfit, require_floating
from xpnet.layers.base import Layer
from xpnet.random import default_rng


class Dropout(Layer):
    """In training each number is set to 0 with probability p, else divided by 1 - p. Any shape.

    So its mean over all masks is the number itself, and in evaluation (`model.eval()`) the layer
    returns x unchanged.

    Parameters
    ----------
    p : float
        The probability that a number is set to 0, from 0 to 1.
    rng : int, numpy.random.Generator, xpnet.random.DeviceGenerator or None
        The source of the masks; None: the generator of `xpnet.manual_seed`. A generator of the
        layer's own is one of its `named_generators`, so checkpoints include its state.

    Notes
    -----
    Masks are drawn on the host: with one seed they are the same on every backend. A DeviceGenerator,
    and `manual_seed(seed, device=True)`, draw them on the GPU, with CuPy. Source: see
    `xpnet.functions.dropout`.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> layer = xpnet.Dropout(0.5, rng=0)
    >>> y = layer(F.ones(1000))
    >>> sorted(set(xpnet.to_numpy(y).tolist()))
    [0.0, 2.0]
    >>> layer.eval()(F.ones(3))
    Variable(array([1., 1., 1.], dtype=float32))
    """

    def __init__(self, p: float = 0.5, *, rng: Rng = None) -> None:
        if not 0.0 <= p <= 1.0:
            raise ArgumentError(f"Dropout expected a probability p from 0 to 1, got {p}.")
        self.p = p
        self.rng = None if rng is None else default_rng(rng)

    def forward(self, x: Array) -> Array:
        if not hasattr(x, "shape"):
            raise misfit(self, x, ("...",))
        require_floating(self, x, ("...",))
        if not self.training:
            return x
        return F.dropout(x, self.p, rng=self.rng)

    def __repr__(self) -> str:
        return f"Dropout(p={self.p})"


def inner_dropout(p: float, rng: Rng) -> Dropout:
    """A Dropout within another layer; with p = 0 it has no generator, and so no state to save."""
    return Dropout(p, rng=rng if p else None)
