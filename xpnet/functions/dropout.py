"""Dropout: numbers are set to 0 at random during training."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import array_api_compat as compat

from xpnet._each_step import each_step
from xpnet._libraries import library_of
from xpnet._libraries.devices import follows
from xpnet._typing import Array, DType, Rng
from xpnet.autodiff._messages import named
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.backend import maker_like
from xpnet.errors import ArgumentError, BackendError, GradientError, ShapeError
from xpnet.functions._in_float32 import as_number
from xpnet.functions._masks import zero_unless
from xpnet.functions._shapes import broadcasts_to
from xpnet.kernels.lookup import kernel
from xpnet.random import draws_on_device, in_blocks, mask_rng, notes


class Masked(Function):
    """x times a mask, which has a factor for each number or each group of numbers, times a scale.

    Where the factor is 0, so is the result, even for an x that is NaN or infinite.
    """

    def __init__(self, mask: Array, scale: float) -> None:
        self.mask = mask
        self.scale = scale
        self.factors: Array | None = None  # the mask times the scale, once computed
        self.not_zero: Array | None = None  # where the mask is not 0

    def forward(self, x: Array) -> Array:
        return self._masked(x)

    def backward(self, gy: Array) -> Array:
        return self._masked(gy)

    def _masked(self, x: Array) -> Array:
        if fast := kernel("masked", x, self.mask):
            return fast(x, self.mask, self.scale)
        if self.factors is None:
            self.factors = self.mask
            if self.scale != 1.0:
                self.factors = self.mask * self.scale
            self.not_zero = self.mask != 0.0
        return zero_unless(self.not_zero, x) * self.factors


class _Like(NamedTuple):
    """What a kernel needs to know of an array to create another one like it."""

    shape: tuple[int, ...]
    dtype: DType
    size: int


def _drawn_on_device(rng: Rng, x: Array, p: float) -> Array:
    """A scaled mask that is drawn on the GPU where x lies."""
    draw = kernel("drawn_mask", x)
    if draw is None:
        raise BackendError(
            "dropout expected a CuPy array, to draw its mask on the GPU, got an array of "
            f"{type(x).__module__}. Draw the mask on the host: manual_seed(seed), without "
            "device=True, or rng=seed."
        )
    like = _Like(tuple(x.shape), x.dtype, x.size)
    library = library_of(x)
    device = compat.device(x)

    def draw_there(generator: Any) -> Array:
        with library.selected(device):  # in a compiled step another one may be current
            return draw(generator, like, p)

    return _drawn(rng, draw_there)


def _drawn_on_host(rng: Rng, x: Array, p: float) -> Array:
    """A mask that is drawn on the host, as an array like x: 0 with probability p, else 1."""
    shape = tuple(x.shape)
    made = maker_like(x)  # not x itself, which would stay alive in a recording

    def draw(generator: Any) -> Array:
        return made(in_blocks(shape, "bool", lambda n: generator.random(n, dtype="float32") >= p))

    return _drawn(rng, draw)


def _drawn(rng: Rng, draw: Callable[[Any], Array]) -> Array:
    """draw(generator) in each step, with the generator that `rng` stands for at that time.

    A `gradient_checkpoint` around this call notes the generator's state in each step too.
    """
    return each_step(partial(_noted, notes.get(), rng, draw))


def _noted(noted: Any, rng: Rng, draw: Callable[[Any], Array]) -> Array:
    token = notes.set(noted)
    try:
        return draw(mask_rng(rng))
    finally:
        notes.reset(token)


def _require_known(x: Array) -> None:
    """Raise GradientError if JAX traces a function: its compiled form would have one mask for ever."""
    if library_of(x).is_abstract(x):
        raise GradientError(
            "dropout drew random numbers while it was traced, and each call of the compiled function would use "
            "the same ones. Draw a mask outside and pass it, F.dropout(x, p, mask=mask); or switch the model to "
            "evaluation, model.eval()."
        )


@named
@follows
def dropout(x: Array, p: float = 0.5, *, mask: Array | None = None, rng: Rng = None) -> Array:
    """x * mask / (1 - p): each number is set to 0 with probability p, and the others are scaled up.

    The expected value of the result is x, so nothing needs to be scaled in evaluation.

    Parameters
    ----------
    x : array or Variable, of floating-point numbers
    p : float
        The probability: 0 keeps all numbers, 1 keeps no number.
    mask : array of booleans or numbers, of x's shape or one that broadcasts to it, optional
        True, or 1, where a number is kept. A mask of shape (batch, channels, 1, 1) drops whole
        channels. By default the mask is drawn on the host, so that a seed yields the same mask on
        every backend, and sent to the device of x.
    rng : int, numpy.random.Generator, xpnet.random.DeviceGenerator or None
        The generator of the mask; None: the generator of `xpnet.manual_seed`. A DeviceGenerator
        draws the mask on the GPU where x lies.

    Returns
    -------
    array or Variable, of the shape and dtype of `x`

    Raises
    ------
    ValueError
        `p` is not from 0 to 1.
    ShapeError
        `mask` does not broadcast to the shape of `x`.
    BackendError
        `rng` is a DeviceGenerator, but x is not a CuPy array.
    GradientError
        The mask is to be drawn while JAX traces a function, in `jax.jit` or `jax.vmap`.

    Notes
    -----
    The gradient is gy * mask / (1 - p). Source: Srivastava, Hinton, Krizhevsky, Sutskever and
    Salakhutdinov, "Dropout: a simple way to prevent neural networks from overfitting", 2014; the
    scaling in training ("inverted") is that of all libraries today.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> y = F.dropout(F.ones(1000), 0.5, rng=0)
    >>> sorted(set(xpnet.to_numpy(y).tolist()))
    [0.0, 2.0]
    """
    p = as_number(p)
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout expected a probability p from 0 to 1, got {p}.")
    if mask is None:
        if p == 0.0:
            return x
        _require_known(data_of(x))
        if draws_on_device(rng):
            return Masked(_drawn_on_device(rng, data_of(x), p), 1.0)(x)
        mask = _drawn_on_host(rng, data_of(x), p)
    else:
        mask = data_of(mask)
        if not broadcasts_to(mask.shape, x.shape):
            raise ShapeError(
                f"dropout expected a mask that broadcasts to the shape of x, {tuple(x.shape)}, "
                f"got {tuple(mask.shape)}."
            )
        mask = array_namespace(mask).astype(mask, x.dtype)
    scale = 1.0 if p == 1.0 else 1.0 / (1.0 - p)  # p = 1 keeps no number that could be scaled
    return Masked(mask, scale)(x)
