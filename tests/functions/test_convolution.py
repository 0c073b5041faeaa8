"""Convolution: against loops and PyTorch, its derivatives against differences."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import xpnet
from xpnet import ShapeError, Variable, functions as F, gradients, to_numpy
from xpnet.functions import _windows as windows
from xpnet.testing import assert_close, check_gradients

DRAWN = settings(max_examples=25, deadline=None, derandomize=True, database=None)

# x, weight, options
CASES = {
    "one number": ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    "plain": ((2, 3, 5, 4), (4, 3, 3, 2), {}),
    "a signal": ((2, 2, 7), (3, 2, 3), {"stride": 2, "padding": 1}),
    "a volume": ((1, 1, 3, 4, 3), (2, 1, 2, 2, 2), {"padding": (0, 1, 0)}),
    "kernel of 1": ((2, 3, 3, 2), (2, 3, 1, 1), {}),
    "kernel of 1, moved": ((2, 3, 4, 5), (2, 3, 1, 1), {"stride": (2, 3), "padding": 1}),
    "groups": ((2, 4, 4, 4), (6, 2, 2, 3), {"groups": 2, "stride": (2, 1)}),
    "a kernel for each channel": ((2, 3, 4, 4), (3, 1, 3, 3), {"groups": 3, "padding": (1, 0)}),
    "dilated": ((1, 2, 7, 6), (2, 2, 3, 2), {"dilation": (3, 2), "padding": (2, 1)}),
    "the last are not met": ((2, 1, 6, 7), (1, 1, 2, 3), {"stride": (3, 3)}),
    "same": ((1, 2, 4, 3), (2, 2, 4, 3), {"padding": "same", "dilation": (1, 2)}),
    "valid": ((1, 2, 4, 3), (2, 2, 4, 3), {"padding": "valid"}),
    "an empty batch": ((0, 2, 4, 4), (3, 2, 3, 3), {"padding": 1}),
}
TRANSPOSED = {
    "one number": ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    "plain": ((2, 3, 3, 4), (3, 2, 3, 2), {}),
    "a signal": ((2, 2, 4), (2, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    "groups": ((2, 4, 2, 3), (4, 3, 2, 2), {"groups": 2, "stride": (2, 3)}),
    "dilated": ((1, 2, 3, 2), (2, 2, 2, 3), {"dilation": (2, 3), "output_padding": (1, 2)}),
    "an empty batch": ((0, 2, 3, 3), (2, 3, 2, 2), {"stride": 2}),
}


def several(value, d):
    return value if isinstance(value, tuple) else (value,) * d


def by_loops(x, W, b, *, stride=1, padding=0, dilation=1, groups=1):
    """The formula of the docstring, number by number."""
    d = x.ndim - 2
    s = several(stride, d)
    g = several(dilation, d)
    k = W.shape[2:]
    if padding == "same":
        around = [(gi * (ki - 1) // 2, -(-gi * (ki - 1) // 2)) for gi, ki in zip(g, k, strict=True)]
    else:
        around = [(p, p) for p in several(0 if padding == "valid" else padding, d)]
    x = np.pad(x, [(0, 0), (0, 0), *around])
    reach = [gi * (ki - 1) + 1 for gi, ki in zip(g, k, strict=True)]
    out = [(n - r) // si + 1 for n, r, si in zip(x.shape[2:], reach, s, strict=True)]
    y = np.zeros((x.shape[0], W.shape[0], *out))
    per_in = W.shape[1]
    per_out = W.shape[0] // groups
    for o, place in product(range(W.shape[0]), product(*map(range, out))):
        y[(slice(None), o, *place)] = b[o]
        for c, at in product(range(per_in), product(*map(range, k))):
            met = [p * si + a * gi for p, si, a, gi in zip(place, s, at, g, strict=True)]
            channel = o // per_out * per_in + c
            y[(slice(None), o, *place)] += x[(slice(None), channel, *met)] * W[(o, c, *at)]
    return y


def transposed_by_loops(x, W, b, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    """Each number is spread by the kernel; then the padding is cut off."""
    d = x.ndim - 2
    s = several(stride, d)
    g = several(dilation, d)
    k = W.shape[2:]
    p = several(padding, d)
    more = several(output_padding, d)
    axes = zip(x.shape[2:], s, g, k, more, strict=True)
    whole = [(n - 1) * si + gi * (ki - 1) + 1 + m for n, si, gi, ki, m in axes]
    y = np.zeros((x.shape[0], W.shape[1] * groups, *whole))
    per_in = W.shape[0] // groups
    per_out = W.shape[1]
    for c, place in product(range(W.shape[0]), product(*map(range, x.shape[2:]))):
        for o, at in product(range(per_out), product(*map(range, k))):
            met = [q * si + a * gi for q, si, a, gi in zip(place, s, at, g, strict=True)]
            channel = c // per_in * per_out + o
            y[(slice(None), channel, *met)] += x[(slice(None), c, *place)] * W[(c, o, *at)]
    inner = [slice(pi, n - pi) for pi, n in zip(p, whole, strict=True)]
    return y[(slice(None), slice(None), *inner)] + b.reshape(-1, *[1] * d)


def drawn_arrays(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("case", CASES)
def test_conv_is_its_formula(backend64, array, case):
    """Every library, in float64; with and without a bias."""
    x_shape, W_shape, options = CASES[case]
    x, W, b = drawn_arrays(x_shape, W_shape, W_shape[0])
    y = F.conv(array(x), array(W), array(b), **options)
    assert_close(y, by_loops(x, W, b, **options), rtol=1e-12, atol=1e-12)
    y = F.conv(array(x), array(W), **options)
    assert_close(y, by_loops(x, W, 0.0 * b, **options), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", TRANSPOSED)
def test_conv_transpose_is_its_formula(backend64, array, case):
    """Every library, in float64."""
    x_shape, W_shape, options = TRANSPOSED[case]
    x, W, b = drawn_arrays(x_shape, W_shape, W_shape[1] * options.get("groups", 1))
    y = F.conv_transpose(array(x), array(W), array(b), **options)
    assert_close(y, transposed_by_loops(x, W, b, **options), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", [None, "padded", "groups"])
def test_derivatives(backend64, array, order, case):
    """First and second order by x, weight and bias, against differences, on every library."""
    groups = 2 if case == "groups" else 1
    options = {"groups": groups, "stride": (2, 1), "padding": (1, 0) if case == "padded" else 0}
    x, W, b = drawn_arrays((1, 2, 2, 3), (2, 2 // groups, 2, 2), 2)
    check_gradients(lambda *xs: F.conv(*xs, **options), array(x), array(W), array(b), order=order)
    x, W = drawn_arrays((1, 2, 2, 1), (2, 2 // groups, 2, 2))
    xs = (array(a) for a in (x, W, *drawn_arrays(W.shape[1] * groups)))
    check_gradients(lambda *xs: F.conv_transpose(*xs, **options), *xs, order=order)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("case", ["groups", "same", "a signal"])
def test_the_rules_equal_the_derivatives_of_the_portable_code(backend64, array, case):
    """The portable code, differentiated as a composite, has the gradients of the three rules."""
    x_shape, W_shape, options = CASES[case]
    xs = [Variable(array(a)) for a in drawn_arrays(x_shape, W_shape, W_shape[0])]
    y = F.conv(*xs, **options)
    window, groups = y.creator.window, y.creator.groups
    composed = windows.correlate(*xs, window, groups)
    assert_close(composed, y, rtol=1e-12, atol=1e-12)
    gy = array(drawn_arrays(y.shape)[0])
    for g, expected in zip(gradients(y, xs, gy), gradients(composed, xs, gy), strict=True):
        assert_close(g, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("eager")
def test_third_derivatives(backend64, array):
    """The three functions are closed under differentiation."""
    x, W = drawn_arrays((1, 1, 4), (1, 1, 2))
    check_gradients(lambda x, W: F.tanh(F.conv(x, W, stride=2)), array(x), array(W), order=3)


def test_float32_stays_float32(backend, array):
    """In the value and in the gradients, on every library."""
    x, W, b = (Variable(array(a, "float32")) for a in drawn_arrays((2, 2, 5, 5), (3, 2, 3, 3), 3))
    y = F.max_pool(F.conv(x, W, b, padding=1), 2, stride=1)
    gs = gradients(F.sum(y * y), [x, W, b])
    assert [a.dtype for a in (y.data, *gs)] == [backend.dtype] * 4


@pytest.mark.usefixtures("eager")
def test_an_empty_batch_has_gradients_of_zero(backend, array):
    """The gradients of the weights are zeros of their shapes."""
    x, W, b = (Variable(array(a, "float32")) for a in drawn_arrays((0, 2, 5, 5), (3, 2, 3, 3), 3))
    gx, gW, gb = gradients(F.sum(F.conv(x, W, b)), [x, W, b])
    assert gx.shape == (0, 2, 5, 5)
    assert_close(gW, np.zeros((3, 2, 3, 3)))
    assert_close(gb, [0.0, 0.0, 0.0])


def test_any_memory_layout():
    """NumPy's arrays with gaps, negative strides or Fortran order give the result of their copies."""
    x, W = drawn_arrays((4, 4, 6, 6), (2, 2, 3, 3))
    with xpnet.using("numpy", dtype="float64"):
        for a in (x[::2, ::2], x[::-2, 1:3, ::-1], np.asfortranarray(x[:, :2]), x[:, :2].mT):
            for V in (W, W[::-1, :, :, ::-1], np.asfortranarray(W)):
                expected = by_loops(a.copy(), V.copy(), np.zeros(2))
                assert_close(F.conv(a, V), expected, rtol=1e-12, atol=1e-12)
                gy = np.asfortranarray(expected)
                plain = gradients(y := F.conv(v := Variable(a.copy()), V.copy()), [v], gy.copy())
                assert_close(gradients(F.conv(v := Variable(a), V), [v], gy)[0], plain[0])
                assert y.shape == expected.shape


@st.composite
def convolutions(draw):
    """Shapes of x and weight, and options, for a convolution of signals or images."""
    d = draw(st.integers(1, 2))

    def axes(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(d))

    kernel = axes(1, 4)
    stride = axes(1, 3)
    dilation = axes(1, 2)
    padding = axes(0, 2)
    reach = [g * (k - 1) + 1 for k, g in zip(kernel, dilation, strict=True)]
    least = [max(1, r - 2 * p) for r, p in zip(reach, padding, strict=True)]
    size = tuple(n + draw(st.integers(0, 5)) for n in least)
    groups = draw(st.integers(1, 3))
    cin = draw(st.integers(1, 3))
    cout = draw(st.integers(1, 3))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    batch = draw(st.integers(1, 4))
    return (batch, groups * cin, *size), (groups * cout, cin, *kernel), options


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-10), ("float32", 1e-5)])
@DRAWN
@given(data=st.data())
def test_conv_agrees_with_pytorch(dtype, rtol, data):
    """Value and all gradients, over drawn shapes, strides, paddings, dilations and groups."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    x_shape, W_shape, options = data.draw(convolutions())
    theirs = [torch.nn.functional.conv1d, torch.nn.functional.conv2d][len(x_shape) - 3]
    shapes = (x_shape, W_shape, W_shape[0])
    agree(torch, F.conv, theirs, shapes, options, dtype, rtol)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-10), ("float32", 1e-5)])
@DRAWN
@given(data=st.data())
def test_conv_transpose_agrees_with_pytorch(dtype, rtol, data):
    """Value and all gradients; with padding added to the output, too."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    (batch, _, *size), (cin, per, *kernel), options = data.draw(convolutions())
    most = [max(s, g) for s, g in zip(options["stride"], options["dilation"], strict=True)]
    more = tuple(data.draw(st.integers(0, m - 1)) for m in most)
    keys = ("stride", "dilation", "padding")
    axes = zip(size, kernel, *(options[key] for key in keys), more, strict=True)
    if any((n - 1) * s - 2 * p + g * (k - 1) + m < 0 for n, k, s, g, p, m in axes):
        options["padding"] = 0  # otherwise the result would be empty
    theirs = [torch.nn.functional.conv_transpose1d, torch.nn.functional.conv_transpose2d]
    shapes = ((batch, cin, *size), (cin, per, *kernel), per * options["groups"])
    options["output_padding"] = more
    agree(torch, F.conv_transpose, theirs[len(size) - 1], shapes, options, dtype, rtol)


def agree(torch, ours, theirs, shapes, options, dtype, rtol):
    hosts = [a.astype(dtype) for a in drawn_arrays(*shapes)]
    tensors = [torch.tensor(a, requires_grad=True) for a in hosts]
    expected = theirs(*tensors, **options)
    gy = np.random.default_rng(1).normal(size=expected.shape).astype(dtype)
    expected.backward(torch.tensor(gy))
    with xpnet.using("numpy"):
        xs = [Variable(a) for a in hosts]
        y = ours(*xs, **options)
        pairs = [(y, expected), *zip(gradients(y, xs, gy), (t.grad for t in tensors), strict=True)]
        for actual, wanted in pairs:
            wanted = wanted.numpy(force=True)
            atol = rtol * float(
                abs(wanted).max(initial=0.0)
            )  # relative to the largest, since these are sums
            assert to_numpy(actual).dtype == dtype
            assert_close(actual, wanted, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    ("x", "W", "options", "match"),
    [
        ((2, 3, 5), (4, 3, 3, 3), {}, r"conv expected x of shape \(batch, channels"),
        ((3, 5, 5), (4, 3, 3, 3), {}, r"For one sample use x\[None, ...\]"),
        ((2, 2, 5, 5), (4, 3, 3, 3), {}, r"x of 3 channels .* got \(2, 2, 5, 5\)"),
        ((2, 3, 2, 5), (4, 3, 3, 3), {}, r"window of \(3, 3\) does not fit into \(2, 5\)\."),
        ((2, 3, 2, 5), (4, 3, 3, 3), {"dilation": 2, "padding": 1}, r"dilated to \(5, 5\)"),
        ((2, 4, 5, 5), (3, 2, 3, 3), {"groups": 2}, "groups that divide the 3"),
        ((2, 4, 5, 5), (4, 4, 3, 3), {"groups": 0}, "got 0"),
    ],
)
def test_shapes_that_do_not_fit_are_errors(x, W, options, match):
    """The message says what was expected and what was given."""
    with pytest.raises(ShapeError, match=match):
        F.conv(np.zeros(x), np.zeros(W), **options)


def test_invalid_options_are_errors():
    """Strides, paddings and their number are checked, also those of the transpose."""
    x = np.zeros((1, 2, 5, 5))
    W = np.zeros((2, 2, 3, 3))
    b = np.zeros(3)
    for option in ({"stride": 0}, {"stride": (1, 1, 1)}, {"padding": -1}, {"dilation": 1.5}):
        with pytest.raises(ValueError, match="Expected a whole number from"):
            F.conv(x, W, **option)
    with pytest.raises(ValueError, match='"same" expected a stride of 1'):
        F.conv(x, W, padding="same", stride=2)
    with pytest.raises(ValueError, match='"same" or "valid", got \'full\''):
        F.conv(x, W, padding="full")
    with pytest.raises(ShapeError, match=r"bias of shape \(2,\), got \(3,\)"):
        F.conv(x, W, b)
    with pytest.raises(ShapeError, match="x of 2 channels"):
        F.conv_transpose(x[:, :1], W)
    with pytest.raises(ValueError, match="output_padding smaller than the stride"):
        F.conv_transpose(x, W, output_padding=1)
    with pytest.raises(ShapeError, match=r"a result of \(-1, -1\) places"):
        F.conv_transpose(x, W, padding=4)


def test_arrays_of_two_libraries_are_an_error():
    """NumPy's kernel would accept the other library's array as its own."""
    strict = pytest.importorskip("array_api_strict", reason="the other library")
    with pytest.raises(TypeError, match="Arrays of different libraries do not mix"):
        F.conv(np.zeros((1, 1, 3, 3)), strict.zeros((1, 1, 2, 2)))
