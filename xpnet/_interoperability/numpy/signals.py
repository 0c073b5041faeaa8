"""NumPy's Fourier transforms, and functions of sampled signals: convolution, interpolation, gradients."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import array_api_compat as compat

from xpnet._interoperability.numpy.registry import (
    ADVICE,
    REFUSED,
    Axis,
    Number,
    along,
    as_arrays,
    as_tuple,
    cast,
    dtype_of,
    flat,
    implements,
    lists_as_arrays,
    namespace_of,
    positive_axis,
)
from xpnet._typing import Array, Device, DType
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError

ADVICE["period"] = "Map x into one period first, with np.mod."

# --- np.fft ---------------------------------------------------------------------------------------


OF_REAL = ("rfft", "ihfft", "rfftn")
"""The transforms of real arrays; all others transform complex ones."""


def _complex(a: Array) -> Array:
    """Real numbers as complex ones, since the standard transforms complex arrays only."""
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
        """The transform along one axis."""
        function = getattr(array_namespace(a).fft, name)
        if name not in OF_REAL:
            a = _complex(a)
        return function(a, n=n, axis=axis, norm=norm or "backward")

    return implements(f"fft.{name}")(transform)


for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    _transform(_name)


def _transform_of_many(
    name: str, standard: str, default_axes: tuple[int, ...] | None
) -> Callable[..., Any]:
    """A transform along several axes."""

    def transform(
        a: Array,
        s: Sequence[int] | None = None,
        axes: Sequence[int] | None = default_axes,
        norm: str | None = None,
        out: Array | None = None,
    ) -> Array:
        """The transform along several axes."""
        if s is not None and axes is None:
            axes = tuple(range(-len(s), 0))
        function = getattr(array_namespace(a).fft, standard)
        if standard not in OF_REAL:
            a = _complex(a)
        return function(a, s=s, axes=axes, norm=norm or "backward")

    return implements(f"fft.{name}")(transform)


for _name in ("fftn", "ifftn", "rfftn", "irfftn"):
    _transform_of_many(_name, _name, None)
    _transform_of_many(_name.replace("n", "2"), _name, (-2, -1))


def _shift(name: str) -> Callable[..., Any]:
    """np.fft.fftshift or np.fft.ifftshift."""

    def shift(x: Array, axes: Axis = None) -> Array:
        """The frequency 0 moved to the middle, or back to the front."""
        return getattr(array_namespace(x).fft, name)(x, axes=axes)

    return implements(f"fft.{name}")(shift)


fftshift = _shift("fftshift")
ifftshift = _shift("ifftshift")


# --- convolution ----------------------------------------------------------------------------------


@implements("convolve")
def convolve(a: Array, v: Array, mode: str = "full") -> Array:
    """np.convolve: y[k] = sum over i of a[i] v[k - i], of two vectors."""
    a, v = (flat(x) for x in as_arrays(a, v))
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
    zeros = xp.zeros((m - 1,), dtype=a.dtype, device=device)
    # Row k of the windows has a[k - m + 1], ..., a[k], with zeros beyond the ends.
    padded = xp.concat([zeros, a, zeros])
    rows = xp.arange(first, first + count, device=device)[:, None]
    windows = xp.take(padded, rows + xp.arange(m, device=device)[None, :], axis=0)
    return xp.matmul(windows, xp.flip(v))


@implements("correlate")
def correlate(a: Array, v: Array, mode: str = "valid") -> Array:
    """np.correlate: y[k] = sum over n of a[n + k] conj(v[n]), of two vectors."""
    a, v = (flat(x) for x in as_arrays(a, v))
    xp = array_namespace(a, v)
    if has_dtype(v, "complex floating"):
        v = xp.conj(v)
    if a.shape[0] >= v.shape[0]:
        return convolve(a, xp.flip(v), mode)
    # If v is longer, NumPy correlates v with a, and reverses the result.
    return xp.flip(convolve(xp.flip(a), v, mode))


# --- interpolation and derivatives ----------------------------------------------------------------


@implements("interp", refuses=("period",))
def interp(
    x: Array,
    xp: Array,
    fp: Array,
    left: Array | Number | None = None,
    right: Array | Number | None = None,
    period: float | None = None,
) -> Array:
    """np.interp: linear interpolation between the points (xp, fp), and constants beyond them."""
    x, nodes, values = as_arrays(x, xp, fp)
    ns = array_namespace(x, nodes, values)
    n = nodes.shape[0]
    row = flat(x)
    # Each x lies between the nodes `above - 1` and `above`.
    found = array_namespace(data_of(nodes)).searchsorted(data_of(nodes), data_of(row))
    above = array_namespace(found).clip(found, 1, n - 1)
    x0 = ns.take(nodes, above - 1)
    x1 = ns.take(nodes, above)
    y0 = ns.take(values, above - 1)
    y1 = ns.take(values, above)
    y = y0 + (row - x0) / (x1 - x0) * (y1 - y0)
    y = ns.where(row < nodes[0], values[0] if left is None else left, y)
    y = ns.where(row > nodes[-1], values[-1] if right is None else right, y)
    return ns.reshape(y, x.shape)


@implements("trapezoid")
def trapezoid(y: Array, x: Array | None = None, dx: Array | Number = 1.0, axis: int = -1) -> Array:
    """np.trapezoid: the integral of samples by the trapezoidal rule."""
    y, x = lists_as_arrays(y, x)
    xp = array_namespace(y, x)
    axis = positive_axis(axis, y.ndim, "trapezoid")
    if x is not None and x.ndim == 1:
        dx = _along_axis(xp.diff(x), axis, y.ndim)
    elif x is not None:
        dx = xp.diff(x, axis=axis)
    both = y[along(axis, slice(1, None))] + y[along(axis, slice(None, -1))]
    return xp.sum(dx * both / 2.0, axis=axis)


@implements("gradient")
def gradient(
    f: Array, *varargs: Array, axis: Axis = None, edge_order: int = 1
) -> Array | tuple[Array, ...]:
    """np.gradient: derivatives along axes, by central differences, and one-sided ones at the ends."""
    if axis is None:
        axis = tuple(range(f.ndim))
    axes = [positive_axis(i, f.ndim, "gradient") for i in as_tuple(axis)]
    spacings = list(varargs) or [1.0]
    if len(spacings) == 1:
        spacings *= len(axes)
    if len(spacings) != len(axes):
        raise ArgumentError(
            f"np.gradient expected one spacing, or one for each of {len(axes)} axes, got "
            f"{len(spacings)}."
        )
    slopes = tuple(
        _slope(f, spacing, i, edge_order) for spacing, i in zip(spacings, axes, strict=True)
    )
    return slopes[0] if len(slopes) == 1 else slopes


def _slope(f: Array, spacing: Array, axis: int, edge_order: int) -> Array:
    """The derivative along one axis; `spacing` is the distance of the samples, or their positions."""
    if edge_order not in (1, 2):
        raise ArgumentError(f"np.gradient expected edge_order 1 or 2, got {edge_order}.")
    xp = namespace_of(f, spacing)
    f, spacing = lists_as_arrays(f, spacing)
    n = f.shape[axis]
    if getattr(spacing, "ndim", 0):
        steps = xp.diff(spacing)
    else:
        steps = xp.ones((n - 1,), dtype=f.dtype, device=compat.device(data_of(f))) * spacing
    steps = _along_axis(steps, axis, f.ndim)
    slopes = xp.diff(f, axis=axis) / steps

    all_but_last = along(axis, slice(None, -1))
    all_but_first = along(axis, slice(1, None))
    first = along(axis, slice(0, 1))
    last = along(axis, slice(-1, None))
    step_before = steps[all_but_last]
    step_after = steps[all_but_first]
    slope_before = slopes[all_but_last]
    slope_after = slopes[all_but_first]
    both_steps = step_before + step_after
    # The slope of the parabola through three neighbours, at the one in the middle.
    middle = (slope_before * step_after + slope_after * step_before) / both_steps
    start = slopes[first]
    end = slopes[last]
    if edge_order == 2:  # the slopes of the first and the last parabola at their outer ends
        curvature = (slope_after - slope_before) / both_steps
        start = start - curvature[first] * step_before[first]
        end = end + curvature[last] * step_after[last]
    return xp.concat([start, middle, end], axis=axis)


def _along_axis(x: Array, axis: int, ndim: int) -> Array:
    """A vector as an array of ndim axes that broadcasts along all but one."""
    shape = tuple(-1 if i == axis else 1 for i in range(ndim))
    return array_namespace(x).reshape(x, shape)


@implements("linspace", refuses=(*REFUSED, "device"))
def linspace(
    start: Array,
    stop: Array,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: DType | None = None,
    axis: int = 0,
    *,
    device: Device | None = None,
) -> Array | tuple[Array, Array]:
    """np.linspace: evenly spaced numbers between ends that may be Variables."""
    start, stop = as_arrays(start, stop)
    xp = array_namespace(start, stop)
    intervals = num - 1 if endpoint else num
    intervals = max(intervals, 1)
    both = start + stop
    shares = xp.arange(num, dtype=both.dtype, device=compat.device(data_of(start)))
    shares = xp.reshape(shares / float(intervals), (-1, *(1,) * both.ndim))
    y = start * (1.0 - shares) + stop * shares
    if axis != 0:
        y = xp.moveaxis(y, 0, axis)
    if dtype is not None:
        y = xp.astype(y, dtype_of(xp, dtype))
    if retstep:
        return y, (stop - start) / float(intervals)
    return y


@implements("logspace")
def logspace(
    start: Array,
    stop: Array,
    num: int = 50,
    endpoint: bool = True,
    base: Array | Number = 10.0,
    dtype: DType | None = None,
    axis: int = 0,
) -> Array:
    """np.logspace: base to the powers of np.linspace."""
    start, stop, base = as_arrays(start, stop, base)
    xp = array_namespace(start, stop, base)
    return cast(xp.pow(base, linspace(start, stop, num, endpoint, axis=axis)), dtype)


@implements("geomspace")
def geomspace(
    start: Array,
    stop: Array,
    num: int = 50,
    endpoint: bool = True,
    dtype: DType | None = None,
    axis: int = 0,
) -> Array:
    """np.geomspace: from start to stop, each number the same multiple of the one before."""
    start, stop = as_arrays(start, stop)
    shares = linspace(0.0 * (start + stop), 0.0 * (start + stop) + 1.0, num, endpoint, axis=axis)
    xp = array_namespace(start, stop)
    first, ratio = xp.broadcast_arrays(start, stop / start)
    first, ratio = (xp.expand_dims(z, axis=axis) for z in (first, ratio))
    return cast(first * ratio**shares, dtype)


@implements("unwrap")
def unwrap(
    p: Array, discont: float | None = None, axis: int = -1, *, period: float = 2.0 * math.pi
) -> Array:
    """np.unwrap: with multiples of the period added, so that no step is larger than half of it."""
    axis = positive_axis(axis, p.ndim, "unwrap")
    x = data_of(p)
    xp = array_namespace(x)
    half = period / 2.0
    steps = xp.diff(x, axis=axis)
    wrapped = xp.remainder(steps + half, period) - half
    wrapped = xp.where((wrapped == -half) & (steps > 0), half, wrapped)
    is_small = xp.abs(steps) < (half if discont is None else discont)
    moved = xp.cumulative_sum(xp.where(is_small, 0.0, wrapped - steps), axis=axis)
    none = xp.zeros_like(x[along(axis, slice(0, 1))])
    return p + xp.concat([none, moved], axis=axis)
