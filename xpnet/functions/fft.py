"""Fourier transforms: the standard's complete extension `fft`, differentiable to any order.

    from xpnet.functions import fft          fft.rfft(x), for arrays and for Variables
    xp = array_namespace(x)                  xp.fft.rfft(x), for either

Each of them is linear, y = F x, so its rule is gx = F^T gy. The gradient with respect to a complex number
x + iy is dL/dx - i dL/dy, as everywhere here: the matrix is transposed, not conjugated. `norm` chooses the
direction that divides by n ("backward" or "forward"); with "ortho" both divide by sqrt(n).
"""

from collections.abc import Sequence

import array_api_compat as compat

from xpnet._typing import Array, Device, DType
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.errors import ArgumentError
from xpnet.functions._registry import extension, from_front
from xpnet.functions._shapes import slice_along
from xpnet.functions.creation import arange
from xpnet.functions.manipulation import concat

__all__ = [
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

_OPPOSITE_NORM = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


class Transform(Function):
    """`fftn` or `ifftn`: their matrices are symmetric, so that the rule is the function itself.

    The gradient of numbers that were cut off is 0, and the gradient of added zeros is dropped.
    """

    def __init__(self, name: str, lengths: Sequence[int], axes: Sequence[int], norm: str) -> None:
        self.name = name
        self.lengths = tuple(lengths)
        self.axes = tuple(axes)
        self.norm = norm

    def forward(self, x: Array) -> Array:
        self.x_shape = x.shape
        transform = getattr(array_namespace(x).fft, self.name)
        return transform(x, s=self.lengths, axes=self.axes, norm=self.norm)

    def backward(self, gy: Array) -> Array:
        transform = getattr(array_namespace(gy).fft, self.name)
        gx = transform(gy, axes=self.axes, norm=self.norm)
        for axis in self.axes:
            gx = _resized(gx, self.x_shape[axis], axis)
        return gx


class _RealTransform(Function):
    """A transform between real and complex numbers along one axis, of length n."""

    name: str

    def __init__(self, n: int, axis: int, norm: str) -> None:
        self.n = n
        self.axis = axis
        self.norm = norm

    def forward(self, x: Array) -> Array:
        self.x_length = x.shape[self.axis]
        transform = getattr(array_namespace(x).fft, self.name)
        return transform(x, n=self.n, axis=self.axis, norm=self.norm)


class RFFT(_RealTransform):
    """The first half of `fft` of real numbers: gx = Re(F (gy 0 ... 0))."""

    name = "rfft"

    def backward(self, gy: Array) -> Array:
        xp = array_namespace(gy)
        gx = xp.real(xp.fft.fft(gy, n=self.n, axis=self.axis, norm=self.norm))
        return _resized(gx, self.x_length, self.axis)


class IRFFT(_RealTransform):
    """The inverse of `rfft`: gx = conj(rfft(gy)), divided by n or sqrt(n) if `irfft` itself is.

    All frequencies but the first and, for even n, the last are doubled: each occurs twice in the
    whole spectrum, and x holds one of the two.
    """

    name = "irfft"

    def backward(self, gy: Array) -> Array:
        xp = array_namespace(gy)
        middle = (self.n + 1) // 2
        gx = xp.conj(xp.fft.rfft(gy, axis=self.axis, norm=_opposite(self.norm, "irfft")))
        first = slice_along(gx, self.axis, 0, 1)
        twice = slice_along(gx, self.axis, 1, middle)
        last = slice_along(gx, self.axis, middle, None)
        gx = xp.concat([first, 2.0 * twice, last], axis=self.axis)
        return _resized(gx, self.x_length, self.axis)


class Shift(Function):
    """`fftshift` or `ifftshift`: a permutation, whose transpose is its inverse."""

    def __init__(self, name: str, inverse: str, axes: int | Sequence[int] | None) -> None:
        self.name = name
        self.inverse = inverse
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return getattr(array_namespace(x).fft, self.name)(x, axes=self.axes)

    def backward(self, gy: Array) -> Array:
        return getattr(array_namespace(gy).fft, self.inverse)(gy, axes=self.axes)


def _resized(x: Array, n: int, axis: int) -> Array:
    """The first n numbers along the axis, with zeros after them if there are fewer."""
    length = x.shape[axis]
    if length == n:
        return x
    if length > n:
        return slice_along(x, axis, 0, n)
    xp = array_namespace(x)
    shape = (*x.shape[:axis], n - length, *x.shape[axis + 1 :])
    zeros = xp.zeros(shape, dtype=x.dtype, device=compat.device(x))
    return xp.concat([x, zeros], axis=axis)


def _lengths_and_axes(
    name: str, x: Array, s: Sequence[int] | None, axes: Sequence[int] | None, at_least: int = 0
) -> tuple[list[int], list[int]]:
    """For the transform `name`: the length along each axis, and the axes, counted from the front."""
    if axes is None:
        if s is not None:
            raise ArgumentError(f"{name} expected axes for the lengths s={tuple(s)}, got None.")
        axes = range(x.ndim)
    axes = [from_front(a, x.ndim, name) for a in axes]
    if len(axes) < at_least:
        raise ArgumentError(
            f"{name} expected {at_least} axis or more, for x of {x.ndim} dimensions, got none."
        )
    if s is None:
        return [x.shape[a] for a in axes], axes
    if len(s) != len(axes):
        raise ArgumentError(
            f"{name} expected a length for each of the axes {tuple(axes)}, got s={tuple(s)}."
        )
    return [x.shape[a] if n == -1 else n for n, a in zip(s, axes, strict=True)], axes


def _opposite(norm: str, name: str) -> str:
    """The `norm` that divides in the other direction, for the transform `name`."""
    if norm not in _OPPOSITE_NORM:
        raise ArgumentError(f'{name} expected norm "backward", "ortho" or "forward", got {norm!r}.')
    return _OPPOSITE_NORM[norm]


def _or_length(n: int | None, x: Array, axis: int) -> int:
    """n, or by default the length of x along the axis."""
    return x.shape[axis] if n is None else n


@extension("fft")
def fft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The discrete Fourier transform along `axis`: y[k] = sum over j of x[j] exp(-2 pi i j k / n).

    Parameters
    ----------
    x : array or Variable, complex
    n : int, optional
        Cut x off, or append zeros, to this length; by default, the length of x.
    axis : int
    norm : "backward", "ortho" or "forward"
        Divide by 1, sqrt(n) or n.

    Returns
    -------
    array or Variable, complex
        It has the shape of x, but length n along `axis`.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.fft.fft(F.asarray([1.0, 0.0, 0.0, 0.0], dtype=F.complex64))
    Variable(array([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j], dtype=complex64))
    """
    axis = from_front(axis, x.ndim, "fft")
    return Transform("fftn", [_or_length(n, x, axis)], [axis], norm)(x)


@extension("fft")
def ifft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The inverse of `fft`: y[j] = sum over k of x[k] exp(2 pi i j k / n) / n.

    Parameters
    ----------
    x : array or Variable, complex
    n : int, optional
        Cut x off, or append zeros, to this length; by default, the length of x.
    axis : int, default -1
    norm : "backward", "ortho" or "forward"
        Divide by n, sqrt(n) or 1.

    Returns
    -------
    array or Variable, complex
        It has the shape of x, but length n along `axis`.

    Raises
    ------
    IndexingError
        x has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.fft.ifft(F.ones(4, dtype=F.complex64))
    Variable(array([1.+0.j, 0.+0.j, 0.+0.j, 0.+0.j], dtype=complex64))
    """
    axis = from_front(axis, x.ndim, "ifft")
    return Transform("ifftn", [_or_length(n, x, axis)], [axis], norm)(x)


@extension("fft")
def fftn(
    x: Array,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Array:
    """`fft` along each of several axes.

    Parameters
    ----------
    x : array or Variable, complex
    s : sequence of ints, optional
        Cut x off, or append zeros, to these lengths; -1 keeps the length. Requires `axes`.
    axes : sequence of ints, optional
        By default, all axes.
    norm : "backward", "ortho" or "forward"
        Divide by 1, sqrt(n) or n, where n is the product of the lengths.

    Returns
    -------
    array or Variable, complex
        It has the shape of x, but lengths s along `axes`.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.fft.fftn(F.ones((2, 3), dtype=F.complex64)).shape
    (2, 3)
    """
    return Transform("fftn", *_lengths_and_axes("fftn", x, s, axes), norm)(x)


@extension("fft")
def ifftn(
    x: Array,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Array:
    """The inverse of `fftn`.

    Parameters
    ----------
    x : array or Variable, complex
    s : sequence of ints, optional
        Cut x off, or append zeros, to these lengths; -1 keeps the length. Requires `axes`.
    axes : sequence of ints, optional
        By default, all axes.
    norm : "backward", "ortho" or "forward"
        Divide by n, sqrt(n) or 1, where n is the product of the lengths.

    Returns
    -------
    array or Variable, complex
        It has the shape of x, but lengths s along `axes`.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.fft.ifftn(F.ones((2, 3), dtype=F.complex64)).shape
    (2, 3)
    """
    return Transform("ifftn", *_lengths_and_axes("ifftn", x, s, axes), norm)(x)


@extension("fft")
def rfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The first n // 2 + 1 numbers of `fft` of real numbers: the rest are their conjugates, mirrored.

    Parameters
    ----------
    x : array or Variable, real
    n : int, optional
        Cut x off, or append zeros, to this length; by default, the length of x.
    axis : int, default -1
    norm : "backward", "ortho" or "forward"
        Divide by 1, sqrt(n) or n.

    Returns
    -------
    array or Variable, complex
        It has the shape of x, but length n // 2 + 1 along `axis`.

    Raises
    ------
    IndexingError
        x has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.fft.rfft(F.asarray([1.0, 0.0, 0.0, 0.0]))
    Variable(array([1.+0.j, 1.+0.j, 1.+0.j], dtype=complex64))
    """
    axis = from_front(axis, x.ndim, "rfft")
    return RFFT(_or_length(n, x, axis), axis, norm)(x)


@extension("fft")
def irfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The inverse of `rfft`: n real numbers.

    Parameters
    ----------
    x : array or Variable, complex
        The imaginary part of the first number, and for an even n of the last, is ignored.
    n : int, optional
        The length of the *result*; by default 2 (m - 1) for an x of length m, which is even.
    axis : int
    norm : "backward", "ortho" or "forward"
        Divide by n, sqrt(n) or 1.

    Returns
    -------
    array or Variable, real

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.fft.irfft(F.ones(3, dtype=F.complex64))
    Variable(array([1., 0., 0., 0.], dtype=float32))
    """
    axis = from_front(axis, x.ndim, "irfft")
    if n is None:
        n = 2 * (x.shape[axis] - 1)
    return IRFFT(n, axis, norm)(x)


@extension("fft")
def rfftn(
    x: Array,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Array:
    """`rfft` along the last of several axes, then `fft` along each of the others.

    Parameters
    ----------
    x : array or Variable, real
    s : sequence of ints, optional
        Cut x off, or append zeros, to these lengths; -1 keeps the length. Requires `axes`.
    axes : sequence of ints, optional
        By default, all axes.
    norm : "backward", "ortho" or "forward"
        Divide by 1, sqrt(n) or n, where n is the product of the lengths.

    Returns
    -------
    array or Variable, complex
        It has the shape of x, but lengths s along `axes`, of which the last becomes s // 2 + 1.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.fft.rfftn(F.ones((2, 4))).shape
    (2, 3)
    """
    lengths, axes = _lengths_and_axes("rfftn", x, s, axes, at_least=1)
    y = rfft(x, n=lengths[-1], axis=axes[-1], norm=norm)
    if len(axes) == 1:
        return y
    return Transform("fftn", lengths[:-1], axes[:-1], norm)(y)


@extension("fft")
def irfftn(
    x: Array,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Array:
    """The inverse of `rfftn`: `ifft` along all of several axes but the last, then `irfft` along it.

    Parameters
    ----------
    x : array or Variable, complex
    s : sequence of ints, optional
        The lengths of the *result*; requires `axes`.
    axes : sequence of ints, optional
        By default, all axes.
    norm : "backward", "ortho" or "forward"
        Divide by n, sqrt(n) or 1, where n is the product of the lengths.

    Returns
    -------
    array or Variable, real

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.fft.irfftn(F.ones((2, 3), dtype=F.complex64)).shape
    (2, 4)
    """
    last = None
    if s and s[-1] != -1:
        last = s[-1]
    lengths, axes = _lengths_and_axes("irfftn", x, s, axes, at_least=1)
    if len(axes) > 1:
        x = Transform("ifftn", lengths[:-1], axes[:-1], norm)(x)
    return irfft(x, n=last, axis=axes[-1], norm=norm)


@extension("fft")
def hfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """`fft` of a signal that equals its own mirror image, conjugated: n real numbers.

    Parameters
    ----------
    x : array or Variable, complex
        The first half of the signal.
    n : int, optional
        The length of the *result*; by default 2 (m - 1) for an x of length m, which is even.
    axis : int, default -1
    norm : "backward", "ortho" or "forward"
        Divide by 1, sqrt(n) or n.

    Returns
    -------
    array or Variable, real

    Raises
    ------
    IndexingError
        x has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.fft.hfft(F.ones(3, dtype=F.complex64)).shape
    (4,)
    """
    axis = from_front(axis, x.ndim, "hfft")
    return irfft(array_namespace(x).conj(x), n=n, axis=axis, norm=_opposite(norm, "hfft"))


@extension("fft")
def ihfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The inverse of `hfft`: the first half of the signal, from real numbers.

    Parameters
    ----------
    x : array or Variable, real
    n : int, optional
        Cut x off, or append zeros, to this length; by default, the length of x.
    axis : int, default -1
    norm : "backward", "ortho" or "forward"
        Divide by n, sqrt(n) or 1.

    Returns
    -------
    array or Variable, complex
        It has the shape of x, but length n // 2 + 1 along `axis`.

    Raises
    ------
    IndexingError
        x has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.fft.ihfft(F.ones(4)).shape
    (3,)
    """
    axis = from_front(axis, x.ndim, "ihfft")
    y = rfft(x, n=n, axis=axis, norm=_opposite(norm, "ihfft"))
    return array_namespace(y).conj(y)


@extension("fft")
def fftshift(x: Array, /, *, axes: int | Sequence[int] | None = None) -> Array:
    """x with the frequency 0, which comes first, moved to the middle of `axes`, by default all.

    Parameters
    ----------
    x : array or Variable, any shape
    axes : int or sequence of ints, optional

    Returns
    -------
    array or Variable, shape of x

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.fft.fftshift(F.asarray([0.0, 1.0, -2.0, -1.0]))
    Variable(array([-2., -1.,  0.,  1.], dtype=float32))
    """
    return Shift("fftshift", "ifftshift", axes)(x)


@extension("fft")
def ifftshift(x: Array, /, *, axes: int | Sequence[int] | None = None) -> Array:
    """The inverse of `fftshift`.

    Parameters
    ----------
    x : array or Variable, any shape
    axes : int or sequence of ints, optional

    Returns
    -------
    array or Variable, shape of x

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.fft.ifftshift(F.asarray([-2.0, -1.0, 0.0, 1.0]))
    Variable(array([ 0.,  1., -2., -1.], dtype=float32))
    """
    return Shift("ifftshift", "fftshift", axes)(x)


@extension("fft", "structural")
def fftfreq(
    n: int, /, *, d: float = 1.0, dtype: DType | None = None, device: Device | None = None
) -> Array:
    """The frequencies of `fft`: 0, 1, ... and then the negative ones up to -1, divided by n d.

    Parameters
    ----------
    n : int
        The length of the transform.
    d : float
        The distance between samples.
    dtype, device : of the library, optional

    Returns
    -------
    Variable, shape (n,)

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.fft.fftfreq(4)
    Variable(array([ 0.  ,  0.25, -0.5 , -0.25], dtype=float32))
    """
    upwards = arange(0.0, float((n + 1) // 2), dtype=dtype, device=device)
    negative = arange(float(-(n // 2)), 0.0, dtype=dtype, device=device)
    return concat([upwards, negative]) / (n * d)


@extension("fft", "structural")
def rfftfreq(
    n: int, /, *, d: float = 1.0, dtype: DType | None = None, device: Device | None = None
) -> Array:
    """The frequencies of `rfft`: 0, 1, ... n // 2, divided by n d.

    Parameters
    ----------
    n : int
        The length of the transform.
    d : float, default 1.0
        The distance between samples.
    dtype, device : of the library, optional

    Returns
    -------
    Variable, shape (n // 2 + 1,)

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.fft.rfftfreq(4)
    Variable(array([0.  , 0.25, 0.5 ], dtype=float32))
    """
    return arange(0.0, float(n // 2 + 1), dtype=dtype, device=device) / (n * d)
