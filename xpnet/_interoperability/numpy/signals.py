"""NumPy's Fourier transforms, and functions of samples: convolution, interpolation, gradients."""

from collections.abc import Callable
from typing import Any

import array_api_compat as compat

from xpnet._interoperability.numpy.table import (
    ADVICE,
    REFUSED,
    along,
    as_tuple,
    dtype_of,
    flat,
    front,
    lifted,
    listed,
    namespace_of,
    numpys,
)
from xpnet._typing import Array, Device, DType, Namespace
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError

ADVICE["period"] = "Map x into one period first, with np.mod."

# --- np.fft ---------------------------------------------------------------------------------------


OF_REAL = ("rfft", "ihfft", "rfftn")


def _complex(a: Array) -> Array:
    """Real numbers as complex ones, of which the standard has the transforms."""
    if has_dtype(a, "complex floating"):
        return a
    xp = array_namespace(a)
    return xp.astype(a, xp.result_type(a.dtype, xp.complex64))


def _transform(name: str) -> Callable[..., Any]:
    """A transform along one axis."""

    def transform(
        a: Array,
        n: int | None = None,
        axis: int = -1,
        norm: str | None = None,
        out: Array | None = None,
    ) -> Array:
        """Along one axis."""
        function = getattr(array_namespace(a).fft, name)
        a = a if name in OF_REAL else _complex(a)
        return function(a, n=n, axis=axis, norm=norm or "backward")

    return numpys(f"fft.{name}")(transform)


for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    _transform(_name)


def _transform_of_many(name: str, standard: str, axes_by_default: Any) -> Callable[..., Any]:
    """A transform along several axes."""

    def transform(
        a: Array,
        s: Any = None,
        axes: Any = axes_by_default,
        norm: str | None = None,
        out: Array | None = None,
    ) -> Array:
        """Along several axes."""
        if s is not None and axes is None:
            axes = tuple(range(-len(s), 0))
        function = getattr(array_namespace(a).fft, standard)
        a = a if standard in OF_REAL else _complex(a)
        return function(a, s=s, axes=axes, norm=norm or "backward")

    return numpys(f"fft.{name}")(transform)


for _name in ("fftn", "ifftn", "rfftn", "irfftn"):
    _transform_of_many(_name, _name, None)
    _transform_of_many(_name.replace("n", "2"), _name, (-2, -1))


def _shift(name: str) -> Callable[..., Any]:
    """np.fft.fftshift or np.fft.ifftshift."""

    def shift(x: Array, axes: Any = None) -> Array:
        """The frequency 0 in the middle, or back at the front."""
        return getattr(array_namespace(x).fft, name)(x, axes=axes)

    return numpys(f"fft.{name}")(shift)


fftshift = _shift("fftshift")
ifftshift = _shift("ifftshift")


# --- convolution ----------------------------------------------------------------------------------


@numpys("convolve")
def convolve(a: Array, v: Array, mode: str = "full") -> Array:
    """np.convolve: y[k] = sum over i of a[i] v[k - i], of two vectors."""
    a, v = (flat(x) for x in lifted(a, v))
    if a.shape[0] < v.shape[0]:
        a, v = v, a
    xp = array_namespace(a, v)
    n = a.shape[0]
    m = v.shape[0]
    starts = {"full": (0, n + m - 1), "same": ((m - 1) // 2, n), "valid": (m - 1, n - m + 1)}
    if mode not in starts:
        raise ArgumentError(
            f'np.convolve expected the mode "full", "same" or "valid", got {mode!r}.'
        )
    first, count = starts[mode]
    device = compat.device(data_of(a))
    rim = xp.zeros((m - 1,), dtype=a.dtype, device=device)
    padded = xp.concat([rim, a, rim])
    rows = xp.arange(first, first + count, device=device)[:, None]
    places = rows + xp.arange(m, device=device)[None, :]
    return xp.matmul(xp.take(padded, places, axis=0), xp.flip(v))


@numpys("correlate")
def correlate(a: Array, v: Array, mode: str = "valid") -> Array:
    """np.correlate: y[k] = sum over n of a[n + k] conj(v[n]), of two vectors."""
    a, v = (flat(x) for x in lifted(a, v))
    xp = array_namespace(a, v)
    conjugate = xp.conj(v) if has_dtype(v, "complex floating") else v
    turned = xp.flip(conjugate)
    if a.shape[0] >= v.shape[0]:
        return convolve(a, turned, mode)
    # NumPy computes that of the longer by the shorter, reversed.
    return xp.flip(convolve(xp.flip(a), conjugate, mode))


# --- samples --------------------------------------------------------------------------------------


@numpys("interp", refuses=("period",))
def interp(
    x: Array, xp: Namespace, fp: Array, left: Any = None, right: Any = None, period: Any = None
) -> Array:
    """np.interp: between the points (xp, fp) by straight lines, beyond them constant."""
    x, nodes, values = lifted(x, xp, fp)
    ns = array_namespace(x, nodes, values)
    n = nodes.shape[0]
    found = array_namespace(data_of(nodes)).searchsorted(data_of(nodes), data_of(flat(x)))
    above = array_namespace(found).clip(found, 1, n - 1)
    x0, x1 = (ns.take(nodes, i) for i in (above - 1, above))
    y0, y1 = (ns.take(values, i) for i in (above - 1, above))
    row = flat(x)
    y = y0 + (row - x0) / (x1 - x0) * (y1 - y0)
    y = ns.where(row < nodes[0], values[0] if left is None else left, y)
    y = ns.where(row > nodes[-1], values[-1] if right is None else right, y)
    return ns.reshape(y, x.shape)


@numpys("trapezoid")
def trapezoid(y: Array, x: Array | None = None, dx: Any = 1.0, axis: int = -1) -> Array:
    """np.trapezoid: the integral of samples, by trapezoids."""
    y, x = listed(y, x)
    xp = array_namespace(y, x)
    axis = front(axis, y.ndim, "trapezoid")
    if x is not None:
        dx = xp.diff(x) if x.ndim == 1 else xp.diff(x, axis=axis)
    if x is not None and x.ndim == 1:
        dx = xp.reshape(dx, tuple(-1 if i == axis else 1 for i in range(y.ndim)))
    both = y[along(axis, slice(1, None))] + y[along(axis, slice(None, -1))]
    return xp.sum(dx * both / 2.0, axis=axis)


@numpys("gradient")
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """np.gradient: the derivative along axes, by central differences; at the ends one-sided."""
    axes = (
        list(range(f.ndim))
        if axis is None
        else [front(i, f.ndim, "gradient") for i in as_tuple(axis)]
    )
    spacings = list(varargs) if len(varargs) != 1 else list(varargs) * len(axes)
    spacings = spacings or [1.0] * len(axes)
    if len(spacings) != len(axes):
        raise ArgumentError(
            f"np.gradient expected one spacing, or one for each of {len(axes)} axes, got "
            f"{len(spacings)}."
        )
    slopes = tuple(
        _slope(f, spacing, i, edge_order) for spacing, i in zip(spacings, axes, strict=True)
    )
    return slopes[0] if len(slopes) == 1 else slopes


def _slope(f: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    """The derivative along one axis, for a distance of the samples, or for their places."""
    if edge_order not in (1, 2):
        raise ArgumentError(f"np.gradient expected edge_order 1 or 2, got {edge_order}.")
    xp = namespace_of(f, spacing)
    f, spacing = listed(f, spacing)
    n = f.shape[axis]
    if getattr(spacing, "ndim", 0):
        gaps = xp.reshape(xp.diff(spacing), tuple(-1 if i == axis else 1 for i in range(f.ndim)))
    else:
        gaps = xp.ones((n - 1,), dtype=f.dtype, device=compat.device(data_of(f))) * spacing
        gaps = xp.reshape(gaps, tuple(-1 if i == axis else 1 for i in range(f.ndim)))
    rises = xp.diff(f, axis=axis) / gaps
    before, after = gaps[along(axis, slice(None, -1))], gaps[along(axis, slice(1, None))]
    left, right = rises[along(axis, slice(None, -1))], rises[along(axis, slice(1, None))]
    middle = (left * after + right * before) / (before + after)
    first, last = rises[along(axis, slice(0, 1))], rises[along(axis, slice(-1, None))]
    if edge_order == 2:
        curved = (right - left) / (before + after)
        first = first - curved[along(axis, slice(0, 1))] * before[along(axis, slice(0, 1))]
        last = last + curved[along(axis, slice(-1, None))] * after[along(axis, slice(-1, None))]
    return xp.concat([first, middle, last], axis=axis)


@numpys("linspace", refuses=(*REFUSED, "device"))
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: DType | None = None,
    axis: int = 0,
    *,
    device: Device | None = None,
) -> Any:
    """np.linspace: numbers at equal distances, between ends that may be Variables."""
    start, stop = lifted(start, stop)
    xp = array_namespace(start, stop)
    steps = max(num - 1 if endpoint else num, 1)
    there = compat.device(data_of(start))
    parts = xp.arange(num, dtype=(start + stop).dtype, device=there)
    parts = xp.reshape(parts / float(steps), (-1, *(1,) * (start + stop).ndim))
    y = start * (1.0 - parts) + stop * parts
    y = xp.moveaxis(y, 0, axis) if axis else y
    y = y if dtype is None else xp.astype(y, dtype_of(xp, dtype))
    return (y, (stop - start) / float(steps)) if retstep else y
