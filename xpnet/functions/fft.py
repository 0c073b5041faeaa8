"""Fourier transforms: the standard's extension `fft`, whole, and differentiable to any order.

    from xpnet.functions import fft          fft.rfft(x), of arrays and of Variables
    xp = array_namespace(x)                  xp.fft.rfft(x), of whatever x is

Each of them is linear, y = F x, so its rule is gx = F^T gy. Gradients by complex numbers are
dL/dx - i dL/dy, as everywhere here: the matrix is transposed, and not conjugated. `norm` says which
of both directions is divided by n ("backward", "forward"), or that both are by sqrt(n) ("ortho").
"""

from collections.abc import Sequence
from typing import Any

import array_api_compat as compat

from xpnet._typing import Array, Device, DType
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.errors import ArgumentError
from xpnet.functions._registry import extension, from_front
from xpnet.functions.creation import arange
from xpnet.functions.manipulation import concat

__all__ = [
    "IRFFT",
    "RFFT",
    "Shift",
    "Transform",
    "fft",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfftn",
    "rfft",
    "rfftfreq",
    "rfftn",
]

_OTHER = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


class Transform(Function):
    """`fftn` or `ifftn`: their matrices are symmetric, so that the rule is the function itself.

    The gradient of numbers that were cut off is 0, and that of zeros that were put on is dropped.
    """

    def __init__(self, name: str, lengths: Sequence[int], axes: Sequence[int], norm: str) -> None:
        self.name, self.lengths, self.axes, self.norm = name, tuple(lengths), tuple(axes), norm

    def forward(self, x: Array) -> Array:
        self.was = x.shape
        transform = getattr(array_namespace(x).fft, self.name)
        return transform(x, s=self.lengths, axes=self.axes, norm=self.norm)

    def backward(self, gy: Array) -> Array:
        transform = getattr(array_namespace(gy).fft, self.name)
        gx = transform(gy, axes=self.axes, norm=self.norm)
        for axis in self.axes:
            gx = _fitted(gx, self.was[axis], axis)
        return gx


class _AlongAxis(Function):
    """A real transform to the length n, which remembers the length that it came from."""

    def __init__(self, n: int, axis: int, norm: str) -> None:
        self.n, self.axis, self.norm = n, axis, norm

    def forward(self, x: Array) -> Array:
        self.was = x.shape[self.axis]
        transform = getattr(array_namespace(x).fft, type(self).__name__.lower())
        return transform(x, n=self.n, axis=self.axis, norm=self.norm)


class RFFT(_AlongAxis):
    """The first half of `fft` of real numbers: gx = Re(F (gy 0 ... 0))."""

    def backward(self, gy: Array) -> Array:
        xp = array_namespace(gy)
        gx = xp.real(xp.fft.fft(gy, n=self.n, axis=self.axis, norm=self.norm))
        return _fitted(gx, self.was, self.axis)


class IRFFT(_AlongAxis):
    """The inverse of `rfft`: gx = conj(rfft(gy)), divided by n where this function is.

    That is doubled, but for the first frequency and, of an even n, the last: of all others there
    are two in the whole spectrum, and x holds one.
    """

    def backward(self, gy: Array) -> Array:
        xp, middle = array_namespace(gy), (self.n + 1) // 2
        gx = xp.conj(xp.fft.rfft(gy, axis=self.axis, norm=_other(self.norm)))
        once, twice, last = (
            _part(gx, self.axis, *ends) for ends in ((0, 1), (1, middle), (middle, None))
        )
        gx = xp.concat([once, 2.0 * twice, last], axis=self.axis)
        return _fitted(gx, self.was, self.axis)


class Shift(Function):
    """A permutation: its transpose is its inverse."""

    def __init__(self, name: str, back: str, axes: Any) -> None:
        self.name, self.back, self.axes = name, back, axes

    def forward(self, x: Array) -> Array:
        return getattr(array_namespace(x).fft, self.name)(x, axes=self.axes)

    def backward(self, gy: Array) -> Array:
        return getattr(array_namespace(gy).fft, self.back)(gy, axes=self.axes)


def _part(x: Array, axis: int, start: int | None, stop: int | None) -> Array:
    """x[start:stop] along the axis."""
    return x[(*(slice(None),) * axis, slice(start, stop), ...)]


def _fitted(x: Array, n: int, axis: int) -> Array:
    """The first n numbers along the axis, with zeros after them if there are fewer."""
    xp, given = array_namespace(x), x.shape[axis]
    if given == n:
        return x
    if given > n:
        return _part(x, axis, 0, n)
    shape = (*x.shape[:axis], n - given, *x.shape[axis + 1 :])
    return xp.concat([x, xp.zeros(shape, dtype=x.dtype, device=compat.device(x))], axis=axis)


def _lengths(
    x: Array, s: Sequence[int] | None, axes: Sequence[int] | None, at_least: int = 0
) -> tuple[list[int], list[int]]:
    """Of a transform over several axes: their lengths, and the axes, counted from the front."""
    if axes is None and s is not None:
        raise ArgumentError(f"Expected axes for the lengths s={tuple(s)}, got None.")
    axes = [from_front(a, x.ndim, "fft") for a in (range(x.ndim) if axes is None else axes)]
    s = [-1] * len(axes) if s is None else list(s)
    if len(axes) < at_least:
        raise ArgumentError(f"Expected {at_least} axis or more, for x of {x.ndim}, got none.")
    if len(s) != len(axes):
        raise ArgumentError(
            f"Expected a length for each of the axes {tuple(axes)}, got s={tuple(s)}."
        )
    return [x.shape[a] if n == -1 else n for n, a in zip(s, axes, strict=True)], axes


def _other(norm: str) -> str:
    """The `norm` that divides in the other direction."""
    if norm not in _OTHER:
        raise ArgumentError(f'Expected norm "backward", "ortho" or "forward", got {norm!r}.')
    return _OTHER[norm]


@extension("fft")
def fft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The discrete Fourier transform along `axis`: y[k] = sum over j of x[j] exp(-2 pi i j k / n).

    Parameters
    ----------
    x : array or Variable, complex
    n : int, optional
        Cut x, or put zeros on, to this length; by default, take it as it is.
    axis : int
    norm : "backward", "ortho" or "forward"
        Divide by 1, sqrt(n) or n.

    Returns
    -------
    array or Variable, complex
        Of the shape of x, but n along `axis`.
    """
    axis = from_front(axis, x.ndim, "fft")
    return Transform("fftn", [x.shape[axis] if n is None else n], [axis], norm)(x)


@extension("fft")
def ifft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The inverse of `fft`: y[j] = sum over k of x[k] exp(2 pi i j k / n) / n.

    Parameters are those of `fft`; `norm` divides by n, sqrt(n) or 1.
    """
    axis = from_front(axis, x.ndim, "ifft")
    return Transform("ifftn", [x.shape[axis] if n is None else n], [axis], norm)(x)


@extension("fft")
def fftn(
    x: Array,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Array:
    """`fft` along each of some axes.

    Parameters
    ----------
    x : array or Variable, complex
    s : sequence of ints, optional
        Cut x, or put zeros on, to these lengths; -1 takes the axis as it is. Needs `axes`.
    axes : sequence of ints, optional
        By default, all of them.
    norm : "backward", "ortho" or "forward"
        Divide by 1, sqrt(n) or n, where n is the product of the lengths.

    Returns
    -------
    array or Variable, complex
        Of the shape of x, but s along `axes`.
    """
    return Transform("fftn", *_lengths(x, s, axes), norm)(x)


@extension("fft")
def ifftn(
    x: Array,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Array:
    """The inverse of `fftn`; `norm` divides by n, sqrt(n) or 1."""
    return Transform("ifftn", *_lengths(x, s, axes), norm)(x)


@extension("fft")
def rfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The first half, n // 2 + 1 numbers, of `fft` of real numbers: the rest is its mirror image.

    Parameters are those of `fft`, with a real x.
    """
    axis = from_front(axis, x.ndim, "rfft")
    return RFFT(x.shape[axis] if n is None else n, axis, norm)(x)


@extension("fft")
def irfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The inverse of `rfft`: n real numbers.

    Parameters
    ----------
    x : array or Variable, complex
        The imaginary part of the first number, and for an even n of the last, makes no difference.
    n : int, optional
        The length of the *result*; by default the even one, twice that of x less 2.
    axis : int
    norm : "backward", "ortho" or "forward"
        Divide by n, sqrt(n) or 1.

    Returns
    -------
    array or Variable, real
    """
    axis = from_front(axis, x.ndim, "irfft")
    return IRFFT(2 * (x.shape[axis] - 1) if n is None else n, axis, norm)(x)


@extension("fft")
def rfftn(
    x: Array,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Array:
    """`rfft` along the last of some axes, then `fft` along each of the others.

    Parameters are those of `fftn`, with a real x.
    """
    lengths, axes = _lengths(x, s, axes, at_least=1)
    y = rfft(x, n=lengths[-1], axis=axes[-1], norm=norm)
    return Transform("fftn", lengths[:-1], axes[:-1], norm)(y) if axes[1:] else y


@extension("fft")
def irfftn(
    x: Array,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Array:
    """The inverse of `rfftn`: `ifft` along each but the last of some axes, then `irfft` along it.

    Parameters are those of `fftn`; s has the lengths of the *result*. `norm` is that of `irfft`.
    """
    last = s[-1] if s else -1
    lengths, axes = _lengths(x, s, axes, at_least=1)
    y = Transform("ifftn", lengths[:-1], axes[:-1], norm)(x) if axes[1:] else x
    return irfft(y, n=None if last == -1 else last, axis=axes[-1], norm=norm)


@extension("fft")
def hfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """`fft` of a signal that is its own mirror image, conjugated: n real numbers.

    Parameters are those of `irfft`, with the first half of the signal as x; `norm` divides by 1,
    sqrt(n) or n.
    """
    return irfft(array_namespace(x).conj(x), n=n, axis=axis, norm=_other(norm))


@extension("fft")
def ihfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The inverse of `hfft`: of real numbers, the first half of the signal.

    Parameters are those of `fft`, with a real x; `norm` divides by n, sqrt(n) or 1.
    """
    y = rfft(x, n=n, axis=axis, norm=_other(norm))
    return array_namespace(y).conj(y)


@extension("fft")
def fftshift(x: Array, /, *, axes: int | Sequence[int] | None = None) -> Array:
    """x with the frequency 0, which comes first, moved to the middle of `axes`, or of all axes."""
    return Shift("fftshift", "ifftshift", axes)(x)


@extension("fft")
def ifftshift(x: Array, /, *, axes: int | Sequence[int] | None = None) -> Array:
    """The inverse of `fftshift`."""
    return Shift("ifftshift", "fftshift", axes)(x)


@extension("fft", "structural")
def fftfreq(
    n: int, /, *, d: float = 1.0, dtype: DType | None = None, device: Device | None = None
) -> Any:
    """The frequencies of `fft`: 0, 1, ... and then the negative ones, up to -1, over n d.

    Parameters
    ----------
    n : int
        The length of the transform.
    d : float
        The distance of the samples.
    dtype, device : of the library, optional

    Returns
    -------
    Variable, shape (n,)
    """
    upwards = arange(0.0, float((n + 1) // 2), dtype=dtype, device=device)
    negative = arange(float(-(n // 2)), 0.0, dtype=dtype, device=device)
    return concat([upwards, negative]) / (n * d)


@extension("fft", "structural")
def rfftfreq(
    n: int, /, *, d: float = 1.0, dtype: DType | None = None, device: Device | None = None
) -> Any:
    """The frequencies of `rfft`: 0, 1, ... n // 2, over n d.

    Parameters are those of `fftfreq`.

    Returns
    -------
    Variable, shape (n // 2 + 1,)
    """
    return arange(0.0, float(n // 2 + 1), dtype=dtype, device=device) / (n * d)
