"""ONNX's operators as functions: what the nodes of a loaded graph compute.

The signature of a function is what is covered of its operator. Parameters that may be passed by
position are ONNX's inputs, those by name are its attributes, with ONNX's names and defaults; a
`Literal` lists the values of an attribute that are covered. `opset` is the version of the operators
that the file has, for the few that depend on it, and `count` the number of outputs.

Shapes, and what is computed from them, are arrays on the host: NumPy's. So all these functions take
them too, and `together` moves them to the device of the arrays that they meet.
"""

import math
from collections.abc import Callable, Sequence
from functools import reduce as fold
from typing import Any, Literal

import array_api_compat as compat
import numpy as np

from xpnet import functions as F
from xpnet._libraries import library_of
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.backend import to_numpy
from xpnet.errors import IndexingError, ShapeError

__all__ = ["DTYPES", "ML_OPERATORS", "OPERATORS", "Dtype", "ints", "padded", "present", "together"]

Ints = Sequence[int] | Array  # an attribute in old opsets, an input in later ones
Function = Callable[..., Any]
Dtype = Literal[1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13]  # of TensorProto: those of the standard
DTYPES: dict[int, str] = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32"}
DTYPES |= {7: "int64", 9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64"}
KINDS: dict[str, Any] = {name: kind for kind, name in DTYPES.items()}


# --- arrays of the host among those of a device ---------------------------------------------------


def is_on_host(x: Array) -> bool:
    """Whether x is an array of NumPy, and no Variable."""
    return isinstance(x, (np.ndarray, np.generic))


def ints(x: Ints | None) -> tuple[int, ...]:
    """Integers of any form as Python's; none if x is left out."""
    if x is None:
        return ()
    if isinstance(x, (list, tuple)):
        return tuple(x)
    return tuple(int(n) for n in to_numpy(data_of(x)).reshape(-1).tolist())


def number(x: Array) -> Any:
    """A single number as Python's."""
    return to_numpy(data_of(x)).reshape(()).item()


def together(*xs: Array) -> tuple[Array, ...]:
    """Arrays that can be computed with: those of the host move to the device of the others."""
    arrays = (data_of(x) for x in xs if hasattr(x, "shape"))
    like = next((x for x in arrays if not is_on_host(x)), None)
    if like is None:
        return xs
    found = list(xs)
    for i, x in enumerate(xs):
        if is_on_host(x):
            found[i] = moved(x, like)
    return tuple(found)


def present(*xs: Array | None) -> tuple[Array, ...]:
    """Those of some inputs that are not left out."""
    return tuple(x for x in xs if x is not None)


def moved(x: Array, like: Array) -> Array:
    """An array of the host as one of the library and on the device of `like`."""
    device = compat.device(like)
    with library_of(like).selected(device):
        return array_namespace(like).asarray(np.array(x), device=device)


def dtype_like(x: Array, kind: int) -> Any:
    """A dtype of TensorProto as that of the library of x."""
    return getattr(array_namespace(data_of(x)), DTYPES[kind])


# --- elementwise ----------------------------------------------------------------------------------


def elementwise(function: Function) -> Function:
    """An operator of two inputs that broadcast."""

    def operator(x: Array, y: Array) -> Array:
        return function(*together(x, y))

    return operator


def variadic(function: Function) -> Function:
    """An operator of one input or more, two of which are combined at a time."""

    def operator(x: Array, *more: Array) -> Array:
        return fold(function, together(x, *more))

    return operator


def mean(x: Array, *more: Array) -> Array:
    """The mean of several arrays, which broadcast."""
    return F.divide(fold(F.add, together(x, *more)), float(1 + len(more)))


def divide(x: Array, y: Array) -> Array:
    """x / y; for integers rounded towards zero."""
    x, y = together(x, y)
    if has_dtype(x, "real floating"):
        return F.divide(x, y)
    q = F.floor_divide(x, y)
    if not has_dtype(x, "signed integer"):
        return q
    is_below = F.logical_and(F.not_equal(F.multiply(q, y), x), F.less(q, 0))
    return F.add(q, F.astype(is_below, q.dtype))


def mod(x: Array, y: Array, *, fmod: Literal[0, 1] = 0) -> Array:
    """The remainder of x / y, with the sign of y; with `fmod`, with that of x, as in C."""
    x, y = together(x, y)
    if not fmod or has_dtype(x, "unsigned integer"):
        return F.remainder(x, y)
    size = F.remainder(F.abs(x), F.abs(y))
    return F.where(F.less(x, 0), F.negative(size), size)


def power(x: Array, y: Array) -> Array:
    """x to the power y, in the dtype of x."""
    dtype = x.dtype
    if is_on_host(y) and y.ndim == 0 and not is_on_host(data_of(x)):
        y = y.item()  # a Python number, with which x ** 2 is a square
    else:
        x, y = together(x, y)
        if has_dtype(x, "real floating"):
            y = F.astype(y, dtype)
        else:
            x = F.astype(x, y.dtype)
    return F.astype(F.pow(x, y), dtype, copy=False)


def where(condition: Array, x: Array, y: Array) -> Array:
    """x where `condition` is true, else y."""
    return F.where(*together(condition, x, y))


def clip(x: Array, min: Array | float | None = None, max: Array | float | None = None) -> Array:
    """x, limited to the range from `min` to `max`; where these cross, `max`."""
    if min is not None:
        x = F.maximum(*together(x, min))
    if max is not None:
        x = F.minimum(*together(x, max))
    return x


def cast(x: Array, *, to: Dtype, saturate: int = 1) -> Array:
    """x in another dtype; numbers become True where they are not 0."""
    if DTYPES[to] == "bool" and not has_dtype(x, "bool"):
        return F.not_equal(x, 0)
    return F.astype(x, dtype_like(x, to))


def cast_like(x: Array, like: Array, *, saturate: int = 1) -> Array:
    """x in the dtype of another array."""
    name = str(data_of(like).dtype).rpartition(".")[2]
    return cast(x, to=KINDS[name])


def is_infinite(x: Array, *, detect_negative: int = 1, detect_positive: int = 1) -> Array:
    """Where x is infinite, of the signs that are asked for."""
    found = F.isinf(x)
    if not detect_negative:
        found = F.logical_and(found, F.greater(x, 0))
    if not detect_positive:
        found = F.logical_and(found, F.less(x, 0))
    return found


def hard_sigmoid(x: Array, *, alpha: float = 0.2, beta: float = 0.5) -> Array:
    """alpha x + beta, limited to the range from 0 to 1."""
    return clip(F.add(F.multiply(x, alpha), beta), 0.0, 1.0)


def hard_swish(x: Array) -> Array:
    """x times its hard sigmoid: Howard et al., "Searching for MobileNetV3", 2019."""
    return F.multiply(x, hard_sigmoid(x, alpha=1.0 / 6.0))


def leaky_relu(x: Array, *, alpha: float = 0.01) -> Array:
    """x where it is positive, else alpha x."""
    return F.leaky_relu(x, alpha)


def prelu(x: Array, slope: Array) -> Array:
    """x where it is positive, else slope x: He et al., "Delving deep into rectifiers", 2015."""
    x, slope = together(x, slope)
    return F.where(F.less(x, 0), F.multiply(slope, x), x)


def elu(x: Array, *, alpha: float = 1.0) -> Array:
    """x where it is positive, else alpha (exp(x) - 1)."""
    return F.elu(x, alpha)


def celu(x: Array, *, alpha: float = 1.0) -> Array:
    """x where it is positive, else alpha (exp(x / alpha) - 1)."""
    return F.multiply(F.elu(F.divide(x, alpha), 1.0), alpha)


def selu(
    x: Array, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875
) -> Array:
    """gamma times the ELU: Klambauer et al., "Self-normalizing neural networks", 2017."""
    return F.multiply(F.elu(x, alpha), gamma)


def thresholded_relu(x: Array, *, alpha: float = 1.0) -> Array:
    """x where it is above alpha, else 0."""
    return F.where(F.greater(x, alpha), x, F.zeros_like(x))


def shrink(x: Array, *, bias: float = 0.0, lambd: float = 0.5) -> Array:
    """x, moved towards 0 by `bias`; 0 between -lambd and lambd."""
    low = F.where(F.less(x, -lambd), F.add(x, bias), F.zeros_like(x))
    return F.where(F.greater(x, lambd), F.subtract(x, bias), low)


def softsign(x: Array) -> Array:
    """x / (1 + |x|)."""
    return F.divide(x, F.add(F.abs(x), 1.0))


def softplus(x: Array) -> Array:
    """log(1 + exp(x))."""
    return F.softplus(x, threshold=math.inf)


def mish(x: Array) -> Array:
    """x tanh(softplus(x)): Misra, "Mish", 2019."""
    return F.multiply(x, F.tanh(softplus(x)))


def swish(x: Array, *, alpha: float = 1.0) -> Array:
    """x sigmoid(alpha x)."""
    return F.multiply(x, F.sigmoid(F.multiply(x, alpha)))


def gelu(x: Array, *, approximate: Literal["none", "tanh"] = "none") -> Array:
    """x Phi(x)."""
    return F.gelu(x, approximate)


def identity(x: Array) -> Array:
    """x itself."""
    return x


def dropout(
    x: Array,
    ratio: Array | float = 0.5,
    training_mode: Array | None = None,
    *,
    seed: int = 0,
    is_test: int = 1,
) -> Array:
    """x itself, as in evaluation."""
    return x


# --- softmax and its like -------------------------------------------------------------------------


def along(function: Function) -> Function:
    """An operator along one axis; before opset 13, along all axes from that one on."""

    def operator(x: Array, *, axis: int | None = None, opset: int) -> Array:
        if axis is None:
            axis = -1
            if opset < 13:
                axis = 1
        if opset >= 13:
            return function(x, axis)
        shape = tuple(x.shape)
        rows = math.prod(shape[:axis])
        return F.reshape(function(F.reshape(x, (rows, -1)), -1), shape)

    return operator


def hardmax(x: Array, axis: int) -> Array:
    """1 at the first of the largest numbers along an axis, and 0 elsewhere."""
    places = F.expand_dims(F.argmax(x, axis=axis), axis=axis)
    axis %= x.ndim
    sizes = [1] * x.ndim
    sizes[axis] = x.shape[axis]
    (numbers,) = together(np.arange(x.shape[axis]).reshape(sizes), x)[:1]
    return F.astype(F.equal(places, numbers), x.dtype)


# --- reductions -----------------------------------------------------------------------------------


def reduction(
    function: Function, prepare: Function = identity, finish: Function = identity
) -> Function:
    """An operator that reduces axes, all of them by default."""

    def operator(
        x: Array, axes: Ints | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Array:
        over = ints(axes) or None
        if over is None and noop_with_empty_axes:
            return finish(prepare(x))
        y = function(prepare(x), axis=over, keepdims=bool(keepdims))
        return F.astype(finish(y), x.dtype, copy=False)  # the standard sums int32 in int64

    return operator


def largest(x: Array, *, axis: Any, keepdims: bool) -> Array:
    """The largest number along some axes; True if there is one."""
    if has_dtype(x, "bool"):
        return F.any(x, axis=axis, keepdims=keepdims)
    return F.max(x, axis=axis, keepdims=keepdims)


def smallest(x: Array, *, axis: Any, keepdims: bool) -> Array:
    """The smallest number along some axes; False if there is one."""
    if has_dtype(x, "bool"):
        return F.all(x, axis=axis, keepdims=keepdims)
    return F.min(x, axis=axis, keepdims=keepdims)


def log_sum_exp(x: Array, *, axis: Any, keepdims: bool) -> Array:
    """The logarithm of the sum of exponentials, without overflow."""
    return F.logsumexp(x, axis=axis, keepdims=keepdims)


def extreme(function: Function) -> Function:
    """The index of the largest or the smallest number along an axis."""

    def operator(
        x: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: Literal[0, 1] = 0
    ) -> Array:
        keeps = bool(keepdims)
        if not select_last_index:
            return function(x, axis=axis, keepdims=keeps)
        found = function(F.flip(x, axis=axis), axis=axis, keepdims=keeps)
        return F.subtract(x.shape[axis] - 1, found)

    return operator


def lp_normalization(x: Array, *, axis: int = -1, p: Literal[1, 2] = 2) -> Array:
    """x, divided by its norm along an axis; zeros stay."""
    if p == 1:
        size = F.sum(F.abs(x), axis=axis, keepdims=True)
    else:
        size = F.sqrt(F.sum(F.square(x), axis=axis, keepdims=True))
    return F.divide(x, F.where(F.equal(size, 0), F.ones_like(size), size))


def cumulative_sum(
    x: Array, axis: Array, *, exclusive: Literal[0, 1] = 0, reverse: Literal[0, 1] = 0
) -> Array:
    """The sums of all numbers up to each along an axis."""
    along = number(axis)
    if reverse:
        x = F.flip(x, axis=along)
    y = F.cumulative_sum(x, axis=along, dtype=x.dtype)
    if exclusive:
        y = F.subtract(y, x)
    if reverse:
        y = F.flip(y, axis=along)
    return y


# --- shapes ---------------------------------------------------------------------------------------


def shape(x: Array, *, start: int = 0, end: int | None = None) -> Array:
    """The shape of x, or some of its axes, on the host."""
    return np.asarray(tuple(x.shape)[start:end], dtype=np.int64)


def size(x: Array) -> Array:
    """How many numbers x has, on the host."""
    return np.asarray(math.prod(x.shape), dtype=np.int64)


def reshape(x: Array, shape: Ints, *, allowzero: Literal[0, 1] = 0) -> Array:
    """x in another shape; a 0 in it means the length of the same axis of x."""
    sizes = list(ints(shape))
    for i, n in enumerate(sizes):
        if n == 0 and not allowzero:
            sizes[i] = x.shape[i]
    return F.reshape(x, tuple(sizes))


def flatten(x: Array, *, axis: int = 1) -> Array:
    """x as a matrix: the axes before `axis` joined, and the others."""
    if axis < 0:
        axis += x.ndim
    return F.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


def transpose(x: Array, *, perm: Sequence[int] | None = None) -> Array:
    """x with its axes in another order; by default, in the opposite one."""
    return F.permute_dims(x, tuple(perm or reversed(range(x.ndim))))


def squeeze(x: Array, axes: Ints | None = None) -> Array:
    """x without axes of length 1; by default, without all of them."""
    if axes is None:
        return F.squeeze(x, axis=tuple(i for i, n in enumerate(x.shape) if n == 1))
    return F.squeeze(x, axis=ints(axes))


def unsqueeze(x: Array, axes: Ints) -> Array:
    """x with new axes of length 1."""
    places = ints(axes)
    ndim = x.ndim + len(places)
    if any(not -ndim <= a < ndim for a in places) or len({a % ndim for a in places}) < len(places):
        raise ShapeError(f"Unsqueeze expected different axes within {ndim}, got {ints(axes)}.")
    sizes = list(x.shape)
    for place in sorted(a % ndim for a in places):
        sizes.insert(place, 1)
    return F.reshape(x, tuple(sizes))


def concat(x: Array, *more: Array, axis: int) -> Array:
    """Arrays one after another along an axis."""
    return F.concat(together(x, *more), axis=axis)


def split(
    x: Array,
    split: Ints | None = None,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
    count: int,
) -> tuple[Array, ...]:
    """The parts of x along an axis: equal ones by default, of which the last may be shorter."""
    length = x.shape[axis]
    if split is None:
        part = -(-length // (num_outputs or count))
        sizes = tuple(max(0, min(part, length - i * part)) for i in range(num_outputs or count))
    else:
        sizes = ints(split)
    if sum(sizes) != length:
        raise ShapeError(f"Split expected parts that add up to {length}, got {sizes}.")
    parts = []
    start = 0
    for n in sizes:
        parts.append(_sliced(x, axis, slice(start, start + n)))
        start += n
    return tuple(parts)


def _sliced(x: Array, axis: int, part: slice) -> Array:
    key = [slice(None)] * x.ndim
    key[axis] = part
    return F.getitem(x, tuple(key))


def slices(
    x: Array,
    starts: Ints,
    ends: Ints,
    axes: Ints | None = None,
    steps: Ints | None = None,
) -> Array:
    """A part of x: from a start to an end, in steps, along some axes."""
    first = ints(starts)
    places = ints(axes) or range(len(first))
    paces = ints(steps) or (1,) * len(first)
    key = [slice(None)] * x.ndim
    for start, end, axis, step in zip(first, ints(ends), places, paces, strict=True):
        key[axis] = _bounded(start, end, step, x.shape[axis])
    return F.getitem(x, tuple(key))


def _bounded(start: int, end: int, step: int, n: int) -> slice:
    """A slice along n places: the bounds that ONNX clamps; a start of n - 1 and a step of -1 too."""
    start, stop, step = slice(start, end, step).indices(n)
    if end < -n and step < 0:
        stop = -1
    if stop < 0:
        return slice(start, None, step)
    return slice(start, stop, step)


def gather(x: Array, indices: Array, *, axis: int = 0) -> Array:
    """The numbers of x at `indices` along an axis; negative ones count from the end."""
    if is_on_host(indices) and indices.ndim == 0:
        key: list[Any] = [slice(None)] * x.ndim
        key[axis] = int(indices)
        return F.getitem(x, tuple(key))
    return F.take(*_from_front(x, indices, axis), axis=axis)


def gather_elements(x: Array, indices: Array, *, axis: int = 0) -> Array:
    """The numbers of x at `indices` along an axis, each at its place along the others."""
    x, indices = _from_front(x, indices, axis)
    before = tuple(slice(0, n) for n in indices.shape)
    key = list(before)
    key[axis] = slice(None)
    return F.take_along_axis(F.getitem(x, tuple(key)), indices, axis=axis)


def _from_front(x: Array, indices: Array, axis: int) -> tuple[Array, Array]:
    """x, and the indices along an axis counted from its start."""
    n = x.shape[axis]
    if is_on_host(indices):
        if indices.size and not (-n <= indices.min() and indices.max() < n):
            raise IndexingError(f"Gather expected indices from {-n} to {n - 1} along axis {axis}.")
        indices = np.where(indices < 0, indices + n, indices)
        x, indices = together(x, indices)
        return x, indices
    x, indices = together(x, data_of(indices))
    return x, F.where(F.less(indices, 0), F.add(indices, n), indices)


def expand(x: Array, shape: Ints) -> Array:
    """x, repeated along axes of length 1 so that it broadcasts with a shape."""
    return F.broadcast_to(x, F.broadcast_shapes(tuple(x.shape), ints(shape)))


def tile(x: Array, repeats: Ints) -> Array:
    """x, repeated along each axis."""
    return F.tile(x, ints(repeats))


def pad(
    x: Array,
    pads: Ints,
    constant_value: Array | None = None,
    axes: Ints | None = None,
    *,
    mode: Literal["constant", "reflect", "edge", "wrap"] = "constant",
    value: float = 0.0,
) -> Array:
    """x with more numbers before and after its axes, or fewer, where a number of pads is negative."""
    if constant_value is not None:
        value = number(constant_value)
    amounts = ints(pads)
    places = ints(axes) or range(x.ndim)
    for i, axis in enumerate(places):
        x = _padded_along(x, axis, amounts[i], amounts[i + len(places)], mode, value)
    return x


def padded(x: Array, pairs: Sequence[tuple[int, int]], value: float) -> Array:
    """x with `value` before and after each of its last axes."""
    for i, (before, after) in enumerate(pairs):
        x = _padded_along(x, x.ndim - len(pairs) + i, before, after, "constant", value)
    return x


def _padded_along(x: Array, axis: int, before: int, after: int, mode: str, value: float) -> Array:
    """x with numbers before and after one axis."""
    n = x.shape[axis]
    if before < 0 or after < 0:
        x = _sliced(x, axis, slice(max(0, -before), n - max(0, -after)))
        n = x.shape[axis]
        before = max(before, 0)
        after = max(after, 0)
    if not before and not after:
        return x
    if mode == "constant":
        parts = [_filled(x, axis, before, value), x, _filled(x, axis, after, value)]
        return F.concat([part for part in parts if part.shape[axis]] or [x], axis=axis)
    places = np.arange(-before, n + after)
    if mode == "edge":
        places = places.clip(0, n - 1)
    elif mode == "wrap":
        places %= n
    else:
        period = max(2 * (n - 1), 1)
        places = np.abs((places + n - 1) % period - (n - 1))
    return gather(x, places, axis=axis)


def _filled(x: Array, axis: int, n: int, value: float) -> Array:
    """`value` everywhere, in the shape of x with n places along an axis."""
    data = data_of(x)
    sizes = list(data.shape)
    sizes[axis] = n
    xp = array_namespace(data)
    return xp.full(tuple(sizes), value, dtype=data.dtype, device=compat.device(data))


def depth_to_space(x: Array, *, blocksize: int, mode: Literal["DCR", "CRD"] = "DCR") -> Array:
    """Groups of channels as blocks of pixels: PyTorch's PixelShuffle is the mode CRD."""
    n, c, h, w = x.shape
    b = blocksize
    if mode == "DCR":
        y = F.permute_dims(F.reshape(x, (n, b, b, c // b**2, h, w)), (0, 3, 4, 1, 5, 2))
    else:
        y = F.permute_dims(F.reshape(x, (n, c // b**2, b, b, h, w)), (0, 1, 4, 2, 5, 3))
    return F.reshape(y, (n, c // b**2, h * b, w * b))


def space_to_depth(x: Array, *, blocksize: int, mode: Literal["DCR", "CRD"] = "DCR") -> Array:
    """Blocks of pixels as groups of channels."""
    n, c, h, w = x.shape
    b = blocksize
    order = (0, 3, 5, 1, 2, 4)
    if mode == "CRD":
        order = (0, 1, 3, 5, 2, 4)
    y = F.permute_dims(F.reshape(x, (n, c, h // b, b, w // b, b)), order)
    return F.reshape(y, (n, c * b**2, h // b, w // b))


def trilu(x: Array, k: Array | None = None, *, upper: Literal[0, 1] = 1) -> Array:
    """The upper or the lower triangle of matrices."""
    diagonal = sum(ints(k))  # 0 by default
    if upper:
        return F.triu(x, k=diagonal)
    return F.tril(x, k=diagonal)


def one_hot(indices: Array, depth: Array, values: Array, *, axis: int = -1) -> Array:
    """values[1] at the places that the indices name along a new axis, and values[0] elsewhere."""
    n = int(number(depth))
    places = F.expand_dims(indices, axis=axis % (indices.ndim + 1))
    sizes = [1] * places.ndim
    sizes[axis] = n
    places, numbers, values = together(places, np.arange(n).reshape(sizes), values)
    wrapped = F.where(F.less(places, 0), F.add(places, n), places)
    wrapped = F.astype(wrapped, numbers.dtype)
    return F.where(F.equal(wrapped, numbers), values[1], values[0])


def constant_of_shape(shape: Ints, *, value: Array | None = None) -> Array:
    """One number everywhere, on the host."""
    if value is None:
        value = np.zeros(1, np.float32)
    return np.full(ints(shape), value.reshape(()), dtype=value.dtype)


def number_range(start: Array, limit: Array, delta: Array) -> Array:
    """From `start` to before `limit`, on the host."""
    dtype = to_numpy(data_of(start)).dtype
    return np.arange(number(start), number(limit), number(delta), dtype=dtype)


# --- products -------------------------------------------------------------------------------------


def matmul(x: Array, y: Array) -> Array:
    """The product of matrices, or of stacks of them."""
    return F.matmul(*together(x, y))


def gemm(
    a: Array,
    b: Array,
    c: Array | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: Literal[0, 1] = 0,
    transB: Literal[0, 1] = 0,
) -> Array:
    """alpha A B + beta C, with A and B transposed if wanted."""
    a, b = together(a, b)
    if transA:
        a = F.matrix_transpose(a)
    if transB:
        b = F.matrix_transpose(b)
    y = F.matmul(a, b)
    if alpha != 1.0:
        y = F.multiply(y, alpha)
    if c is None:
        return y
    y, c = together(y, c)
    if beta != 1.0:
        c = F.multiply(c, beta)
    return F.add(y, c)


def einsum(*xs: Array, equation: str) -> Array:
    """Einstein's summation convention."""
    return F.einsum(equation, *together(*xs))


# --- the domain ai.onnx.ml: what scikit-learn's models consist of ---------------------------------


def scaler(
    x: Array,
    offset: Array | Sequence[float] = (0.0,),
    scale: Array | Sequence[float] = (1.0,),
) -> Array:
    """(x - offset) scale, in float32: a StandardScaler."""
    x, shift, factor = together(x, _float32(offset, (-1,)), _float32(scale, (-1,)))
    return F.multiply(F.subtract(F.astype(x, shift.dtype, copy=False), shift), factor)


NORMS: dict[str, Literal[1, 2]] = {"L1": 1, "L2": 2}


def normalizer(x: Array, *, norm: Literal["L1", "L2"]) -> Array:
    """Each row of x, divided by its norm."""
    return lp_normalization(x, axis=-1, p=NORMS[norm])


def binarizer(x: Array, *, threshold: float = 0.0) -> Array:
    """1 where x is above the threshold, else 0."""
    return F.astype(F.greater(x, threshold), x.dtype)


def array_feature_extractor(x: Array, indices: Array) -> Array:
    """The columns of x that the indices name; of a vector, as a row."""
    y = gather(x, F.reshape(indices, (-1,)), axis=-1)
    if y.ndim == 1:
        y = F.reshape(y, (1, -1))
    return y


def linear_regressor(
    x: Array,
    coefficients: Array | Sequence[float],
    intercepts: Array | Sequence[float] | None = None,
    *,
    targets: int = 1,
    post_transform: Literal["NONE"] = "NONE",
) -> Array:
    """x W + b, in float32; the coefficients have a row for each target."""
    x, W = together(x, _float32(coefficients, (targets, -1)))
    y = F.matmul(F.astype(x, W.dtype, copy=False), F.matrix_transpose(W))
    if intercepts is None:
        return y
    return F.add(*together(y, _float32(intercepts, (targets,))))


def _float32(numbers: Array | Sequence[float], shape: tuple[int, ...]) -> Array:
    """An attribute as an array; a tensor that a layer holds as it is."""
    if hasattr(numbers, "shape"):
        return numbers
    return np.asarray(numbers, np.float32).reshape(shape)


OPERATORS: dict[str, Function] = {
    "Abs": F.abs,
    "Acos": F.acos,
    "Acosh": F.acosh,
    "Add": elementwise(F.add),
    "And": elementwise(F.logical_and),
    "ArgMax": extreme(F.argmax),
    "ArgMin": extreme(F.argmin),
    "Asin": F.asin,
    "Asinh": F.asinh,
    "Atan": F.atan,
    "Atanh": F.atanh,
    "BitwiseAnd": elementwise(F.bitwise_and),
    "BitwiseNot": F.bitwise_invert,
    "BitwiseOr": elementwise(F.bitwise_or),
    "BitwiseXor": elementwise(F.bitwise_xor),
    "Cast": cast,
    "CastLike": cast_like,
    "Ceil": F.ceil,
    "Celu": celu,
    "Clip": clip,
    "Concat": concat,
    "ConstantOfShape": constant_of_shape,
    "Cos": F.cos,
    "Cosh": F.cosh,
    "CumSum": cumulative_sum,
    "DepthToSpace": depth_to_space,
    "Div": divide,
    "Dropout": dropout,
    "Einsum": einsum,
    "Elu": elu,
    "Equal": elementwise(F.equal),
    "Erf": F.special.erf,
    "Exp": F.exp,
    "Expand": expand,
    "Flatten": flatten,
    "Floor": F.floor,
    "Gather": gather,
    "GatherElements": gather_elements,
    "Gelu": gelu,
    "Gemm": gemm,
    "Greater": elementwise(F.greater),
    "GreaterOrEqual": elementwise(F.greater_equal),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "Hardmax": along(hardmax),
    "Identity": identity,
    "IsInf": is_infinite,
    "IsNaN": F.isnan,
    "LeakyRelu": leaky_relu,
    "Less": elementwise(F.less),
    "LessOrEqual": elementwise(F.less_equal),
    "Log": F.log,
    "LogSoftmax": along(F.log_softmax),
    "LpNormalization": lp_normalization,
    "MatMul": matmul,
    "Max": variadic(F.maximum),
    "Mean": mean,
    "Min": variadic(F.minimum),
    "Mish": mish,
    "Mod": mod,
    "Mul": elementwise(F.multiply),
    "Neg": F.negative,
    "Not": F.logical_not,
    "OneHot": one_hot,
    "Or": elementwise(F.logical_or),
    "PRelu": prelu,
    "Pad": pad,
    "Pow": power,
    "Range": number_range,
    "Reciprocal": F.reciprocal,
    "ReduceL1": reduction(F.sum, prepare=F.abs),
    "ReduceL2": reduction(F.sum, prepare=F.square, finish=F.sqrt),
    "ReduceLogSum": reduction(F.sum, finish=F.log),
    "ReduceLogSumExp": reduction(log_sum_exp),
    "ReduceMax": reduction(largest),
    "ReduceMean": reduction(F.mean),
    "ReduceMin": reduction(smallest),
    "ReduceProd": reduction(F.prod),
    "ReduceSum": reduction(F.sum),
    "ReduceSumSquare": reduction(F.sum, prepare=F.square),
    "Relu": F.relu,
    "Reshape": reshape,
    "Round": F.round,
    "Selu": selu,
    "Shape": shape,
    "Shrink": shrink,
    "Sigmoid": F.sigmoid,
    "Sign": F.sign,
    "Sin": F.sin,
    "Sinh": F.sinh,
    "Size": size,
    "Slice": slices,
    "Softmax": along(F.softmax),
    "Softplus": softplus,
    "Softsign": softsign,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Sqrt": F.sqrt,
    "Squeeze": squeeze,
    "Sub": elementwise(F.subtract),
    "Sum": variadic(F.add),
    "Swish": swish,
    "Tan": F.tan,
    "Tanh": F.tanh,
    "ThresholdedRelu": thresholded_relu,
    "Tile": tile,
    "Transpose": transpose,
    "Trilu": trilu,
    "Unsqueeze": unsqueeze,
    "Where": where,
    "Xor": elementwise(F.logical_xor),
}

ML_OPERATORS: dict[str, Function] = {
    "ArrayFeatureExtractor": array_feature_extractor,
    "Binarizer": binarizer,
    "LinearRegressor": linear_regressor,
    "Normalizer": normalizer,
    "Scaler": scaler,
}
