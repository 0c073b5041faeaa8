"""Recorded operations as ONNX nodes, against NumPy: with the recorded batch, and with others."""

import math

import numpy as np
import pytest

import xpnet
from tests.onnx.runtime import model_of, of_namespace, recording_of, require_equal
from xpnet import functions as F
from xpnet.backend import array_like
from xpnet.compiler.calls import called
from xpnet.errors import CompileError
from xpnet.functions import _windows as windows
from xpnet.functions.convolution import conv, conv_transpose
from xpnet.functions.pooling import avg_pool, max_pool
from xpnet.kernels import kernels
from xpnet.kernels.lookup import kernel
from xpnet.kernels.window import sliding
from xpnet.saving.onnx._indexing import INDEXING
from xpnet.saving.onnx._standard import STANDARD

pytest.importorskip("onnx", reason="it writes the models: pip install onnx")
pytest.importorskip("onnxruntime", reason="it runs the models: pip install onnxruntime")

BATCH = 4

UNARY = """
abs negative positive sign square exp expm1 log log1p log2 log10 sqrt reciprocal
sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh
floor ceil trunc round isnan isinf isfinite logical_not conj
"""
BINARY = """
add subtract multiply divide maximum minimum less less_equal greater greater_equal equal not_equal
logaddexp hypot remainder floor_divide logical_and logical_or logical_xor
"""
ELEMENTWISE = {name: lambda xp, x, y, name=name: getattr(xp, name)(x) for name in UNARY.split()}
ELEMENTWISE |= {
    name: lambda xp, x, y, name=name: getattr(xp, name)(x, y) for name in BINARY.split()
}
"""Functions of numbers, which are tested with NaN, infinities and zeros, too."""

OF_NUMBERS = {
    "add a number": lambda xp, x: x + 1.5,
    "from a number": lambda xp, x: 2 - x,
    "relu": lambda xp, x: xp.maximum(x, 0.0),
    "maximum of a number": lambda xp, x: xp.maximum(x, -0.5),
    "power": lambda xp, x: xp.pow(xp.abs(x), 1.7),
    "square by power": lambda xp, x: x**2,
    "clip": lambda xp, x: xp.clip(x, -0.5, 0.5),
    "clip below": lambda xp, x: xp.clip(x, min=0.25),
    "clip by arrays": lambda xp, x: xp.clip(x, -xp.abs(x) / 2.0, x[:, :1, :1]),
    "where": lambda xp, x: xp.where(x > 0.0, x, -1.0),
    "where of numbers": lambda xp, x: xp.where(x > 0.0, xp.where(x > 1.0, x, 1.0), 0.0),
    "where of booleans": lambda xp, x: xp.where(x > 0.0, x > 1.0, x < -1.0),
    "booleans": lambda xp, x: ((x > 0.0) & (x < 1.0)) | ~(x > -1.0) ^ (x > 2.0),
    "float64": lambda xp, x: xp.astype(x, xp.float64) * 2.0,
    "int64": lambda xp, x: xp.astype(x * 4.0, xp.int64),
    "to bool": lambda xp, x: xp.astype(x, xp.bool),
    "numpy's function": lambda xp, x: np.sum(x, axis=1),
    "numpy's method": lambda xp, x: x.mean(axis=1, keepdims=True),
    "numpy's reshape": lambda xp, x: x.reshape(-1, 15),
    "sum": lambda xp, x: xp.sum(x),
    "sum of axes": lambda xp, x: xp.sum(x, axis=(0, 2)),
    "sum of no axes": lambda xp, x: xp.sum(x, axis=()),
    "sum with axes kept": lambda xp, x: xp.sum(x, axis=-1, keepdims=True),
    "sum in float64": lambda xp, x: xp.sum(x, axis=0, dtype=xp.float64),
    "mean": lambda xp, x: xp.mean(x, axis=(0, 1)),
    "mean of all": lambda xp, x: xp.mean(x),
    "prod": lambda xp, x: xp.prod(x, axis=1),
    "max": lambda xp, x: xp.max(x, axis=1, keepdims=True),
    "min": lambda xp, x: xp.min(x),
    "any": lambda xp, x: xp.any(x > 1.5, axis=1),
    "all": lambda xp, x: xp.all(x > -1.0, axis=(0, 2)),
    "count_nonzero": lambda xp, x: xp.count_nonzero(x > 0.0, axis=1),
    "var": lambda xp, x: xp.var(x, axis=0, correction=1.0),
    "std": lambda xp, x: xp.std(x, axis=(1, 2), keepdims=True),
    "var of all": lambda xp, x: xp.var(x, correction=1),
    "norm": lambda xp, x: xp.linalg.vector_norm(x),
    "norm 1": lambda xp, x: xp.linalg.vector_norm(x, axis=1, ord=1),
    "norm 3": lambda xp, x: xp.linalg.vector_norm(x, axis=1, ord=3, keepdims=True),
    "norm 0": lambda xp, x: xp.linalg.vector_norm(x, axis=1, ord=0),
    "largest": lambda xp, x: xp.linalg.vector_norm(x, axis=(1, 2), ord=math.inf),
    "argmax": lambda xp, x: xp.argmax(x, axis=1),
    "argmin": lambda xp, x: xp.argmin(x, axis=-1, keepdims=True),
    "argmax of all": lambda xp, x: xp.argmax(x),
    "cumulative_sum": lambda xp, x: xp.cumulative_sum(x, axis=1),
    "cumulative_sum from 0": lambda xp, x: xp.cumulative_sum(x, axis=0, include_initial=True),
    "sort": lambda xp, x: xp.sort(x, axis=1),
    "sort down": lambda xp, x: xp.sort(x, descending=True),
    "argsort": lambda xp, x: xp.argsort(xp.round(x), axis=0),
    "matmul": lambda xp, x: x @ xp.matrix_transpose(x),
    "matmul of a vector": lambda xp, x: x @ x[0, 0, :],
    "tensordot": lambda xp, x: xp.tensordot(x, x[0, ...], axes=((2,), (1,))),
    "tensordot of 2": lambda xp, x: xp.tensordot(x, x[1, ...], axes=2),
    "tensordot of the batch": lambda xp, x: xp.tensordot(x, x, axes=([0], [0])),
    "vecdot": lambda xp, x: xp.vecdot(x, x + 1.0, axis=1),
    "outer": lambda xp, x: xp.linalg.outer(x[:, 0, 0], x[0, :, 0]),
    "permute_dims": lambda xp, x: xp.permute_dims(x, (2, 0, 1)),
    "moveaxis": lambda xp, x: xp.moveaxis(x, (0, 1), (-1, 0)),
    "all axes reversed": lambda xp, x: x.T + 0.0,
    "reshape": lambda xp, x: xp.reshape(x, (-1, 5)),
    "reshape with the batch": lambda xp, x: xp.reshape(x, (x.shape[0], 15)),
    "reshape within": lambda xp, x: xp.reshape(x, (5, x.shape[0] * 3)),
    "expand and squeeze": lambda xp, x: xp.squeeze(xp.expand_dims(x, axis=-2), axis=2),
    "squeeze": lambda xp, x: xp.squeeze(x[:, :1, :1], axis=(1, 2)),
    "broadcast_to": lambda xp, x: xp.broadcast_to(x[:, None, ...], (x.shape[0], 2, 3, 5)),
    "broadcast the batch": lambda xp, x: xp.broadcast_to(x[:1, ...], x.shape) * 2.0,
    "broadcast_arrays": lambda xp, x: xp.broadcast_arrays(x[:, :1, :1], x[:1, ...])[1] + x,
    "concat": lambda xp, x: xp.concat([x, x[:, :1, :]], axis=1),
    "concat the batch": lambda xp, x: xp.concat([x[1:, ...], x[:1, ...]]),
    "concat flat": lambda xp, x: xp.concat([x, x[0, ...]], axis=None),
    "stack": lambda xp, x: xp.stack([x, 2.0 * x], axis=-1),
    "unstack": lambda xp, x: [u * v for u, v in [xp.unstack(x, axis=1)[1:]]],
    "flip": lambda xp, x: xp.flip(x, axis=(0, 2)),
    "roll": lambda xp, x: xp.roll(x, (1, -2), axis=(1, 2)),
    "tile": lambda xp, x: xp.tile(x, (2, 1, 2)),
    "tile more axes": lambda xp, x: xp.tile(x[:, 0, 0], (3, 2)),
    "repeat": lambda xp, x: xp.repeat(x, 3, axis=1),
    "repeat all": lambda xp, x: xp.repeat(x, 2),
    "tril": lambda xp, x: xp.tril(x, k=-1),
    "triu": lambda xp, x: xp.triu(x, k=1),
    "zeros": lambda xp, x: x + xp.zeros(x.shape, dtype=x.dtype),
    "ones": lambda xp, x: x * xp.ones((x.shape[0], 1, 1), dtype=x.dtype),
    "full": lambda xp, x: x + xp.full((x.shape[0], 3, 5), 2.5, dtype=x.dtype),
    "zeros_like": lambda xp, x: xp.zeros_like(x) + xp.full_like(x, 0.5) + xp.ones_like(x),
    "empty": lambda xp, x: 0.0 * xp.empty_like(x) + xp.empty(x.shape, dtype=x.dtype) * 0.0,
    "arange": lambda xp, x: x[:, 0, 0] * xp.astype(xp.arange(x.shape[0]), x.dtype),
    "arange back": lambda xp, x: x[:, 0, 0] + xp.arange(x.shape[0], 0, -1, dtype=x.dtype),
    "constants": lambda xp, x: x + xp.eye(5, dtype=x.dtype)[:3, :] * xp.linspace(0, 1, 5, dtype=x.dtype),
    "mean by hand": lambda xp, x: xp.sum(x, axis=0) / x.shape[0] + x[0, ...] * (1.0 / x.shape[0]),
    "number of the batch": lambda xp, x: x * float(x.shape[0]) - x.shape[0] * 15,
    "correction": lambda xp, x: x * (15 * x.shape[0] / (15 * x.shape[0] - 1)),
    "rest": lambda xp, x: x * ((3 * x.shape[0] - 1) / (3 * x.shape[0])),
    "copy": lambda xp, x: xp.asarray(x, copy=True) + 1.0,
    "to_device": lambda xp, x: called("to_device", lambda x, device: 1.0 * x, (x, "cpu"), {}),
    "array_like": lambda xp, x: array_like(x, xp.astype(x, xp.float64)),
    "erf": lambda xp, x: called("special.erf", np.vectorize(math.erf, otypes="f"), (x,), {}),
    "gelu": lambda xp, x: F.gelu(x),
    "einsum": lambda xp, x: F.einsum("bij,bkj->bik", x, x),
}  # fmt: skip

INDEXED = {
    "an index": lambda xp, x, i: x[:, 1, :],
    "indices from the end": lambda xp, x, i: x[-1, ..., -2],
    "slices": lambda xp, x, i: x[1:, ::2, 1:-1],
    "backwards": lambda xp, x, i: x[::-1, :, 3:0:-2],
    "beyond the ends": lambda xp, x, i: [x[:, -9:9, -9::-1] + 1.0, x[:, 1:9, 7::-2] + 1.0],
    "new axes": lambda xp, x, i: x[None, :, 1, None, :, None],
    "integers": lambda xp, x, i: x[i % 2, ...],
    "integers of an axis": lambda xp, x, i: x[:, i % 3, 1:],
    "pairs": lambda xp, x, i: x[i % 2, i % 3, :],
    "pairs in the middle": lambda xp, x, i: x[:, i % 3, i % 5],
    "pairs apart": lambda xp, x, i: x[i % 2, :, i % 5],
    "pairs apart by nothing": lambda xp, x, i: x[:, i % 3, ..., 1],
    "an index and integers": lambda xp, x, i: x[i % 2, 1, :],
    "rows of pairs": lambda xp, x, i: x[i[:, None] % 2, xp.arange(3)[None, :], 2],
    "new axis and integers": lambda xp, x, i: x[:, None, i % 3, :],
    "take": lambda xp, x, i: xp.take(x, i % 3, axis=1),
    "take_along_axis": lambda xp, x, i: xp.take_along_axis(x, i[:, None, None] % 5, axis=2),
    "set an index": lambda xp, x, i: _set(x, (slice(None), 1), 7.0),
    "set a part": lambda xp, x, i: _set(x, (slice(None), slice(1, 3)), x[:, :2, :]),
    "set the first": lambda xp, x, i: _set(x, (slice(None), slice(0, 1)), x[:, 2:, :]),
    "set the last": lambda xp, x, i: _set(x, (..., -1), x[:, :, 0]),
    "set with more axes": lambda xp, x, i: _set(x, (slice(None), 0), x[None, :, 1, :]),
    "set all": lambda xp, x, i: _set(x, ..., x[:1, ...]),
    "set nothing": lambda xp, x, i: _set(x, (slice(None), slice(2, 1)), 1.0),
    "set a sample": lambda xp, x, i: _set(x, (-1, ...), x[0, ...]),
    "set a grid": lambda xp, x, i: _set(x, (slice(1, None), slice(None, None, 2)), 3.0),
    "set pairs": lambda xp, x, i: _set(x, (xp.arange(x.shape[0]), i % 3), 5.0),
    "set by a mask": lambda xp, x, i: _set(x, x > 0.5, 0.0),
    "set rows by a mask": lambda xp, x, i: _set(x, x[:, :, 0] > 0.0, -1.0),
    "gradient of take": lambda xp, x, i: xpnet.vjp(lambda x: F.take(x, i % 3, axis=1), x)[1](
        x[:, i % 3, :]
    )[0],
}


def _set(x, key, value):
    """A copy of x after x[key] = value."""
    y = x + 0.0
    y[key] = value
    return y


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((BATCH, 3, 5)).astype(np.float32)


@pytest.fixture
def i():
    return np.asarray([2, 0, 3, 1])


def check(function, *arrays, **tolerances):
    """Assert that a function is the same in ONNX Runtime: with these arrays, and with other batches."""
    f = of_namespace(function)
    require_equal(model_of(f, arrays), f, arrays, **tolerances)
    model = model_of(f, arrays, [x[:-1, ...] for x in arrays])
    require_equal(model, f, arrays, **tolerances)
    more = [np.concatenate([x, x[:3, ...]]) for x in arrays]
    require_equal(model, f, more, **tolerances)
    return model


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_an_operation_is_numpys_for_any_batch(x, name):
    check(OF_NUMBERS[name], x)


@pytest.mark.parametrize("name", INDEXED)
def test_indexing_is_numpys_for_any_batch(x, i, name):
    check(INDEXED[name], x, i)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_function_of_special_numbers_is_numpys(name):
    numbers = [
        -np.inf,
        -2.5,
        -1.5,
        -1.0,
        -1e-3,
        -0.0,
        0.0,
        1e-3,
        0.5,
        1.0,
        2.5,
        3.5,
        np.inf,
        np.nan,
    ]
    x, y = (z.astype(np.float32) for z in np.meshgrid(numbers, numbers, indexing="ij"))
    f = of_namespace(ELEMENTWISE[name])
    require_equal(model_of(f, (x, y)), f, (x, y))


@pytest.mark.parametrize("dtype", ["float64", "int64", "int32", "int8", "uint8", "bool"])
def test_dtypes_are_promoted_as_by_numpy(dtype):
    x = np.asarray([[0, 1, 5], [3, 2, 1]]).astype(dtype)
    y = np.asarray([[1, 1, 2], [2, 3, 1]]).astype(dtype)

    def f(xp, x, y):
        found = [
            xp.add(x, y),
            xp.multiply(x, y),
            xp.maximum(x, y),
            xp.equal(x, y),
            xp.sum(x, axis=0),
        ]
        found += [x == 1, xp.where(x == y, x, y), xp.max(x, axis=1) if dtype != "bool" else x]
        found += [xp.concat([x, y]), x[::-1, 1:], xp.astype(x, xp.float32), xp.any(x), xp.tril(x)]
        if dtype != "bool":
            found += [
                xp.remainder(x, y),
                xp.floor_divide(x, y),
                x - 1,
                xp.less(x, y),
                xp.clip(x, 1, 3),
            ]
            found += [xp.abs(x), xp.square(x), xp.argmax(x, axis=1), xp.cumulative_sum(x, axis=1)]
            found += [xp.sort(x), x @ xp.matrix_transpose(y), xp.floor(x), xp.isfinite(x), x**2]
        return found

    function = of_namespace(f)
    require_equal(model_of(function, (x, y)), function, (x, y))


def test_integers_and_bits_are_numpys():
    x = np.asarray([-7, -3, 0, 4, 9])
    y = np.asarray([2, -2, 5, 3, -4])

    def f(xp, x, y):
        found = [xp.remainder(x, y), xp.floor_divide(x, y), x & y, x | y, x ^ y, ~x, x / y]
        return [*found, xp.take(x, y % 5, axis=0), xp.astype(x, xp.int32) + 1, xp.sign(x)]

    function = of_namespace(f)
    require_equal(model_of(function, (x, y)), function, (x, y))


# --- xpnet's own operations ---------------------------------------------------------------------------


def with_gradients(f):
    """f, and its gradients for a gradient of the output that depends on it."""

    def of_arrays(xp, *arrays):
        y, pull = xpnet.vjp(f, *arrays)
        return [y, *pull(y * y + 0.5)]

    return of_arrays


WINDOWS = {
    "plain": ({}, (2, 2), (3, 3)),
    "padding and stride": ({"stride": 2, "padding": 1}, (2, 2), (3, 3)),
    "cut off": ({"stride": 3}, (2, 2), (2, 3)),
    "dilation": ({"dilation": 2, "padding": 2}, (2, 2), (3, 2)),
    "groups": ({"groups": 2, "padding": 1}, (4, 1), (3, 3)),
}
"""Options of a convolution, (outputs, channels) and the kernel of its weights."""


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_convolution_and_its_gradients_are_numpys(name, dtype):
    options, channels, size = WINDOWS[name]
    rng = np.random.default_rng(2)
    x = rng.standard_normal((BATCH, 2, 7, 8)).astype(dtype)
    W = rng.standard_normal((*channels, *size)).astype(dtype)
    b = rng.standard_normal(channels[0]).astype(dtype)

    def f(xp, x):
        parts = (x, W + 0.0 * x[0, 0, 0, 0], b + 0.0 * x[0, 0, 0, 0])  # computed, so that all vary
        return with_gradients(lambda x, W, b: conv(x, W, b, **options))(xp, *parts)

    check(f, x, rtol=1e-4, atol=1e-4)


def test_a_convolution_in_one_dimension_and_a_transposed_one_are_numpys():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((BATCH, 2, 9)).astype("float32")
    W = rng.standard_normal((3, 2, 3)).astype("float32")
    V = rng.standard_normal((2, 3, 3)).astype("float32")
    check(with_gradients(lambda x: conv(x, W, None, stride=2, padding=1)), x, atol=1e-4)
    check(with_gradients(lambda x: conv_transpose(x, V, None, stride=2, padding=1)), x, atol=1e-4)


@pytest.mark.parametrize(
    "options", [{}, {"stride": 1}, {"padding": 1}, {"stride": 3}, {"stride": 2, "dilation": 2}]
)
def test_pooling_and_its_gradients_are_numpys(options):
    x = np.random.default_rng(4).standard_normal((BATCH, 2, 7, 8)).astype("float32")
    x = np.round(x, 1)  # so that there are ties
    check(with_gradients(lambda x: max_pool(x, 2, **options)), x, atol=1e-4)
    options.pop("dilation", None)
    check(with_gradients(lambda x: avg_pool(x, 2, **options)), x, atol=1e-4)


def test_the_second_derivative_of_pooling_is_numpys():
    x = np.random.default_rng(5).standard_normal((BATCH, 2, 4, 4)).astype("float32")
    window = sliding((4, 4), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))

    def f(xp, x):
        code = kernels(windows, x)
        y = code.maxima(x, window)
        return code.choose(x * 2.0, x, y, window), code.shares(y, window), code.sums(x, window)

    check(f, x)


@pytest.mark.parametrize("classes", [2, 5])
def test_cross_entropy_and_its_gradient_are_numpys(classes):
    rng = np.random.default_rng(6)
    x = rng.standard_normal((BATCH, classes)).astype("float32")
    t = rng.integers(0, classes, BATCH)

    def f(xp, x, t):
        loss, pull = xpnet.vjp(lambda x: F.softmax_cross_entropy(x, t), x)
        return [loss, *pull(loss)]

    check(f, x, t)


def test_cross_entropy_of_a_class_that_does_not_exist_is_infinite():
    x = np.zeros((BATCH, 3), np.float32)
    t = np.asarray([0, 1, 2, 1])
    f = of_namespace(lambda xp, x, t: kernel("cross_entropy", x, t)(x, t)[0])
    model = model_of(f, (x, t))
    require_equal(model, f, (x, t))
    require_equal(model, f, (x, np.asarray([0, 3, 2, 1])))
    require_equal(model, f, (x, np.asarray([0, -1, 2, 1])))


def test_kernels_of_numpy_are_numpys(x):
    def f(xp, x):
        mask = x > 0.5
        column = kernel("column_sums", x)(x)
        found = [
            kernel("zero_unless", x, mask)(x, mask),
            kernel("relu_gradient", x, x)(x, x),
            column,
        ]
        a = x[..., :1]
        b = x[:, :1, :]
        return [*found, kernel("outer_product", a, b)(a, b)]

    check(f, x)


def test_an_embedding_and_its_gradient_are_numpys():
    rng = np.random.default_rng(7)
    W = rng.standard_normal((6, 3)).astype("float32")
    i = rng.integers(0, 6, (BATCH, 7))
    scale = rng.standard_normal((BATCH, 1)).astype("float32")

    def f(xp, i, scale):
        y, pull = xpnet.vjp(lambda W: F.embedding(i, W), W * scale[0, 0])
        return [y, *pull(y * y)]

    check(f, i, scale)


# --- all that is covered, and what is not -------------------------------------------------------------


def test_each_function_of_the_standard_that_is_covered_has_a_test_here(x, i):
    """What the tests record: so that an entry of a table cannot be without one."""
    y = np.abs(x) + 0.5
    recorded = {"checked", "erf", "scatter_add"}  # of the tests of an embedding and of SciPy's erf
    for table, arrays in ((OF_NUMBERS, (x,)), (INDEXED, (x, i)), (ELEMENTWISE, (y, y))):
        for function in table.values():
            program = recording_of(of_namespace(function), arrays).program
            recorded.update(op.name for op in program.operations)
    assert sorted((STANDARD.keys() | INDEXING.keys()) - recorded) == []


def test_an_operation_that_onnx_lacks_is_an_error_that_names_its_line(x):
    def f(x):
        return xpnet.array_namespace(x).linalg.inv(x[:, :, :3])

    with pytest.raises(CompileError, match=r"test_operations.py:\d+: expected .*'linalg.inv'"):
        model_of(f, (x,))


def test_a_call_in_a_way_that_onnx_lacks_is_an_error_that_names_its_line(x):
    def f(x):
        mask = np.asarray([True, False, True])
        return x[:, mask, :]

    with pytest.raises(
        CompileError, match=r"test_operations.py:\d+: getitem: .* shape that depends"
    ):
        model_of(f, (x,))


@pytest.mark.parametrize(
    ("name", "function", "match"),
    [
        (
            "square",
            lambda xp, x: xp.zeros((x.shape[0] ** 2,)),
            "in proportion to the batch, got 16",
        ),
        ("number", lambda xp, x: x * math.sqrt(x.shape[0]), "got 2.0 at one batch size"),
        ("small", lambda xp, x: x * (0.5 if x.shape[0] > 3 else 0.7), "got 0.5 at one batch size"),
        ("code", lambda xp, x: x + 1.0 if x.shape[0] > 3 else x * 2.0, "got 'add' at one"),
        ("more code", lambda xp, x: x + 1.0 if x.shape[0] > 3 else x, "computes 1 operation at"),
        ("array", lambda xp, x: x[:, 0, 0] + np.ones(x.shape[0], np.float32), "the shape|differs"),
    ],
)
def test_what_depends_on_the_batch_in_another_way_is_an_error(x, name, function, match):
    f = of_namespace(function)
    with pytest.raises(CompileError, match=match):
        model_of(f, (x,), (x[:-1, ...],))
