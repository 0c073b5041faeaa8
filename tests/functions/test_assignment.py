"""x[key] = value and x += value: values, derivatives of each order, views, and errors."""

import copy
import pickle

import array_api_compat as compat
import numpy as np
import pytest

import xpnet
from xpnet import (
    ArgumentTypeError,
    GradientError,
    IndexingError,
    Parameter,
    ShapeError,
    Variable,
    functions as F,
    grad,
    gradient_checkpoint,
    gradients,
    hessian,
    jvp,
    no_grad,
    vjp,
)
from xpnet.autodiff.namespace import array_namespace
from xpnet.testing import assert_close, check_gradients

X = np.arange(12.0).reshape(3, 4) / 7.0 - 0.6
ROW = X[1] * X[2] + 0.3
ONE = np.asarray(0.7)
PAIR = np.asarray([0.4, -1.3])
MASK = X * 7.0 % 2.0 > 0.9

# name -> (key, value); keys hold NumPy's arrays, which become arrays of each library.
CASES = {
    "an integer": ((1,), ROW),
    "a negative integer": ((-1, ...), ROW),
    "one number": ((0, 2), ONE),
    "a slice": ((slice(1, 3),), X[:2] ** 2),
    "a step": ((slice(None), slice(1, None, 2)), X[:, :2]),
    "a negative step": ((slice(None, None, -1),), X**2),
    "two negative steps": ((slice(2, 0, -1), slice(None, None, -2)), X[:2, :2]),
    "an ellipsis": ((..., 0), X[:, 1]),
    "all": ((...,), X**2),
    "a new axis": ((None, 1), ROW[None, :]),
    "new axes": ((slice(0, 2), None, ..., None), X[:2, None, :, None]),
    "a value that broadcasts": ((slice(0, 2),), ROW),
    "a column that broadcasts": ((slice(0, 2), slice(1, 3)), PAIR[:, None]),
    "a value with an axis too many": ((0,), ROW[None, :]),
    "a single number for all": ((...,), ONE),
    "a mask": ((MASK,), ONE),
    "a mask, one for each": ((MASK,), np.linspace(-1.0, 1.0, int(MASK.sum()))),
    "a mask of rows": ((np.asarray([True, False, True]),), X[:2] ** 2),
    "nothing": ((slice(2, 2),), X[:0]),
    "an empty mask": ((np.zeros((3, 4), dtype=bool),), ONE),
    "integers": ((np.asarray([2, 0]), np.asarray([1, 3])), PAIR),
    "integers for rows": ((np.asarray([2, 0]),), X[:2] ** 2),
    "integers that repeat": ((np.asarray([1, 1]), np.asarray([3, 3])), PAIR),
    "rows that repeat": ((np.asarray([0, 2, 0, -3]),), X[[0, 1, 2, 0]] ** 2),
    "rows that repeat, one value": ((np.asarray([0, 2, 0]),), ONE),
    "no integers": ((np.asarray([], dtype=np.int64),), X[:0]),
    "an integer and integers": ((1, np.asarray([3, 0, 3])), np.asarray([0.1, 0.2, 0.3])),
}

STRICT_REFUSES = {  # as in the standard: integer arrays for only some of the axes
    "integers for rows",
    "rows that repeat",
    "rows that repeat, one value",
    "no integers",
}


@pytest.fixture(params=CASES)
def case(request, backend64):
    """(key, value), in NumPy's arrays."""
    name = request.param
    key, value = CASES[request.param]
    if backend64.name.startswith("array_api_strict"):
        if name in STRICT_REFUSES:
            pytest.skip("array-api-strict, like the standard, has no integer arrays for some axes")
        if all(isinstance(k, int | slice) for k in key) and len(key) < 2:
            key = (*key, ...)  # array-api-strict requires an index for every axis
        elif None in [k if k is None else 0 for k in key] and ... not in key:
            key = (*key, ...)
    return key, value


def in_library(key, array):
    """The key with arrays of the library; a single mask is not put into a tuple."""
    keys = tuple(array(k) if isinstance(k, np.ndarray) else k for k in key)
    return keys[0] if len(keys) == 1 else keys


def assigned(key):
    """A function (x, value) -> x after the assignment, times a weight for each place."""

    def f(x, value):
        xp = array_namespace(x)
        y = xp.asarray(x, copy=True)
        y[key] = value
        return y * y * y

    return f


def after(key, x, value):
    """NumPy's result."""
    x = x.copy()
    x[key] = value
    return x


def test_values_and_derivatives(array, order, case):
    """Values are compared with NumPy, derivatives with respect to x and the value with differences: to the
    second, on JAX the first.
    """
    key, value = case
    y = assigned(in_library(key, array))(Variable(array(X)), Variable(array(value)))
    assert_close(y, after(key, X, value) ** 3, rtol=1e-14)
    check_gradients(assigned(in_library(key, array)), array(X), array(value), order=order)


def test_values_and_gradients_agree_with_jax(array, case):
    jax = pytest.importorskip("jax", reason="its .at is what this is compared with")
    jnp = jax.numpy
    key, value = case
    shape = value.shape[max(0, value.ndim - X[key].ndim) :]

    def theirs(x, value):
        return jnp.sum(jnp.cos(x.at[key].set(jnp.reshape(value, shape))))

    with jax.enable_x64(True):
        expected = jax.grad(theirs, (0, 1))(jnp.asarray(X), jnp.asarray(value))
        expected = [np.asarray(g) for g in expected]
    x = Variable(array(X))
    v = Variable(array(value))
    y = F.asarray(x, copy=True)
    y[in_library(key, array)] = v
    for g, e in zip(gradients(F.sum(F.cos(y)), [x, v]), expected, strict=True):
        assert_close(g, e, rtol=1e-13, atol=1e-15)


# --- what was computed before keeps its numbers ---------------------------------------------------


def test_a_graph_keeps_the_numbers_that_it_was_computed_from(backend64, array):
    """To second order: x y is 2 a^2 b for the a before the assignment, and so are its derivatives."""
    a = Variable(array([1.0, 2.0]))
    b = Variable(array([3.0, 4.0]))
    x = 2.0 * a
    before = x * x * b
    x[0] = b[1]
    behind = x * x * b
    ga, gb = gradients(F.sum(before), [a, b], create_graph=True)
    assert_close(ga, [24.0, 64.0])  # 8 a b
    assert_close(gb, [4.0, 16.0])
    gga, ggb = gradients(F.sum(ga * gb), [a, b])  # of 32 a^3 b
    assert_close(gga, [96.0 * 3.0, 96.0 * 4.0 * 4.0])
    assert_close(ggb, [32.0, 32.0 * 8.0])
    ga, gb = gradients(F.sum(behind), [a, b])
    assert_close(ga, [0.0, 64.0])
    assert_close(gb, [16.0, 16.0 + 2.0 * 4.0 * 3.0])


def test_a_value_may_be_a_part_of_the_array_itself(backend64, array):
    """As in NumPy: with its numbers from before the assignment."""
    a = Variable(array([1.0, 2.0, 3.0]))
    x = a * a
    x[1:] = x[:-1]
    assert_close(x, [1.0, 1.0, 4.0])
    x[...] = x
    x[0] = x[2] * x[1]
    x[:] = x[::-1]
    assert_close(x, [4.0, 1.0, 4.0])
    x.backward([1.0, 10.0, 100.0])
    assert_close(a.grad, [2.0 * (100.0 * 4.0 + 10.0), 4.0 * (1.0 + 100.0), 0.0])


def test_an_array_can_be_filled_in_a_loop(backend64, array, order):
    """Geometric growth: y[i] = r y[i - 1]."""

    def grown(r):
        xp = array_namespace(r)
        y = xp.zeros((5,), dtype=r.dtype, device=compat.device(r))
        y[0] = 1.0
        for i in range(1, 5):
            y[i] = r * y[i - 1]
        return y

    r = Variable(array(2.0))
    y = grown(r)
    assert y.requires_grad
    assert_close(y, [1.0, 2.0, 4.0, 8.0, 16.0])
    y.backward(array([1.0] * 5))
    assert_close(r.grad, 1.0 + 4.0 + 12.0 + 32.0)
    check_gradients(grown, array(1.5), order=order)


@pytest.mark.parametrize("what", ["x", "value", "both", "neither"])
def test_which_variables_have_a_history_after_an_assignment(backend64, array, what):
    x = Variable(array([1.0, 2.0, 3.0]), requires_grad=what in ("x", "both"))
    v = Variable(array(5.0), requires_grad=what in ("value", "both"))
    y = F.asarray(x, copy=True)
    same = y
    y[1] = v
    assert same is y
    assert y.requires_grad == (what != "neither")
    assert_close(y, [1.0, 5.0, 3.0])
    assert_close(x, [1.0, 2.0, 3.0])
    if what != "neither":
        (y * y).backward(array([1.0] * 3))
        assert x.grad is None if what == "value" else x.grad[1] == 0.0
        assert v.grad is None if what == "x" else float(v.grad) == 10.0


def test_assignment_to_zero_dimensional_and_complex_arrays(backend64, array, order):
    def f(x, v):
        y = x * x
        y[...] = v * y
        y[()] = y * 2.0
        return y

    check_gradients(f, array(1.5), array(-0.5), order=order)

    def g(x, v):
        z = x * (1.0 + 2.0j)
        z[0] = v  # a real number among complex ones
        z[1:] = z[1:] * 1j
        return array_namespace(z).real(z * z)

    check_gradients(g, array([1.5, 0.5, 2.0]), array(-0.5), order=order)


def test_a_value_of_another_width_is_cast(backend64, array):
    """As in NumPy: the array keeps its dtype, and the gradient of the value has the value's dtype."""
    xp = backend64.xp
    x = F.astype(Variable(array([1.0, 2.0])), xp.float32)
    v = Variable(array(3.0))
    x[0] = v
    assert x.dtype == xp.float32
    (g,) = gradients(F.sum(x), [v])
    assert g.dtype == v.dtype
    assert_close(g, 1.0)


# --- transforms ----------------------------------------------------------------------------------


def writes(x):
    """A function that writes into its own argument: x1 x2^2, x0 + x2."""
    x[0] = x[1] * x[2] ** 2 + x[0] * 0.0
    x[1:2] += x[2:]
    return array_namespace(x).sum(x * x)


def pure(x):
    a = x[0]
    b = x[1]
    c = x[2]
    return (b * c**2) ** 2 + (b + c) ** 2 + c**2 + 0.0 * a


def test_transforms_of_a_function_that_writes_into_its_argument(backend64, array, order):
    x = array([1.0, 2.0, -0.5])
    u = array([0.3, -1.0, 2.0])
    assert_close(grad(writes)(x), grad(pure)(x))
    assert_close(hessian(writes)(x), hessian(pure)(x))
    for ours, theirs in zip(jvp(writes, (x,), (u,)), jvp(pure, (x,), (u,)), strict=True):
        assert_close(ours, theirs)
    y, pull = vjp(writes, x)
    assert_close(y, pure(x))
    assert_close(pull(2.0)[0], 2.0 * grad(pure)(x))
    assert_close(x, [1.0, 2.0, -0.5])  # f received Variables of its own
    check_gradients(lambda x: grad(writes)(+x), x, order=order)


def test_gradient_checkpoint_of_a_function_that_writes_into_its_argument(backend64, array):
    a = Variable(array([1.0, 2.0, -0.5]))
    (expected,) = gradients(pure(a * a), [a])
    (g,) = gradients(gradient_checkpoint(writes)(a * a), [a], create_graph=True)
    assert_close(g, expected)
    (gg,) = gradients(F.sum(g), [a])
    (second,) = gradients(F.sum(gradients(pure(a * a), [a], create_graph=True)[0]), [a])
    assert_close(gg, second)
    (leaf,) = gradients(gradient_checkpoint(writes)(a), [a])
    assert_close(leaf, gradients(pure(a), [a])[0])


@pytest.mark.parametrize("wrap", [lambda f: f, gradient_checkpoint])
def test_a_write_into_an_argument_is_visible_to_the_caller(backend64, array, wrap):
    def scale(x, factor):
        x *= factor

    a = Variable(array([1.0, 2.0]))
    r = Variable(array(3.0))
    x = a * a
    wrap(scale)(x, r)
    assert_close(x, [3.0, 12.0])
    ga, gr = gradients(F.sum(x), [a, r])
    assert_close(ga, [6.0, 12.0])
    assert_close(gr, 5.0)


# --- x += value ----------------------------------------------------------------------------------

OPERATORS = {
    "+=": (lambda x, y: x.__iadd__(y), lambda x, y: x + y),
    "-=": (lambda x, y: x.__isub__(y), lambda x, y: x - y),
    "*=": (lambda x, y: x.__imul__(y), lambda x, y: x * y),
    "/=": (lambda x, y: x.__itruediv__(y), lambda x, y: x / y),
    "**=": (lambda x, y: x.__ipow__(y), lambda x, y: x**y),
    "//=": (lambda x, y: x.__ifloordiv__(y), lambda x, y: x // y),
    "%=": (lambda x, y: x.__imod__(y), lambda x, y: x % y),
}
BITWISE = {
    "&=": (lambda x, y: x.__iand__(y), lambda x, y: x & y),
    "|=": (lambda x, y: x.__ior__(y), lambda x, y: x | y),
    "^=": (lambda x, y: x.__ixor__(y), lambda x, y: x ^ y),
    "<<=": (lambda x, y: x.__ilshift__(y), lambda x, y: x << y),
    ">>=": (lambda x, y: x.__irshift__(y), lambda x, y: x >> y),
}


@pytest.mark.parametrize("sign", OPERATORS)
def test_augmented_assignment(backend64, array, order, sign):
    """The Variable stays the same object; its numbers and derivatives are those of the operator."""
    augment, plain = OPERATORS[sign]

    def f(x, y):
        z = same = +x
        assert augment(z, y) is z
        assert same is z
        z = x[1:] * 1.0
        z = augment(z, y)
        return array_namespace(x).concat([same, z])

    def g(x, y):
        return array_namespace(x).concat([plain(x, y), plain(x[1:], y)])

    x = array([1.5, 2.5, 0.7])
    y = array(1.2)
    assert_close(f(Variable(x), Variable(y)), g(x, y))
    if sign in ("//=", "%="):
        assert f(Variable(x), y).requires_grad == (sign == "%=")
    else:
        check_gradients(f, x, y, order=order)


@pytest.mark.parametrize("sign", BITWISE)
def test_augmented_assignment_by_bitwise_operators(backend, array, sign):
    augment, plain = BITWISE[sign]
    x = array([12, 5, 7])
    y = array([1, 2, 3])
    z = same = Variable(array([12, 5, 7]))
    z = augment(z, y)
    assert z is same
    assert_close(z, plain(x, y))
    m = Variable(array([[2.0, 0.0], [1.0, 1.0]]), requires_grad=False)
    w = m
    m @= array([[1.0, 1.0], [0.0, 1.0]])
    assert w is m
    assert_close(m, [[2.0, 2.0], [1.0, 2.0]])


def test_augmented_assignment_to_items(backend64, array, order):
    """x[key] += y adds once for a slice; for repeated integers the last sum wins, as in NumPy."""

    def f(x, y):
        z = x * x
        z[0] += y[0]
        z[1:] *= y
        z[..., -1] -= 1.0
        z[:2] /= z[2]
        z[z > 1.0] *= 2.0
        return z

    x = np.asarray([1.5, 2.5, 0.7])
    y = np.asarray([0.3, 2.0])
    assert_close(f(Variable(array(x)), Variable(array(y))), f(x, y))
    check_gradients(f, array(x), array(y), order=order)
    z = Variable(array(x)) * 1.0
    i = array(np.asarray([0, 2, 0]))
    z[i] += array(np.asarray([1.0, 2.0, 3.0]))
    assert_close(z, [4.5, 2.5, 2.7])


def test_an_augmented_assignment_to_a_view_is_not_repeated_by_setitem(backend64, array):
    """Python evaluates x[key] += 1 as x[key].__iadd__(1), and then assigns the result to x[key]."""
    x = Variable(array([1.0, 2.0])) * 1.0
    part = x[:1]
    part += 1.0
    node = x.node
    x[:1] = part
    assert x.node is node
    x[1:] = part
    assert x.node is not node
    assert_close(x, [2.0, 2.0])


# --- views ---------------------------------------------------------------------------------------

VIEWS = {  # name -> (the view, an index in it, where that is in x)
    "a row": (lambda xp, x: x[1, ...], (2,), (1, 2)),
    "a slice": (lambda xp, x: x[:, 1:3], (0, 1), (0, 2)),
    "a negative step": (lambda xp, x: x[::-1, ::-2], (0, 1), (2, 1)),
    "a new axis": (lambda xp, x: x[None, ..., None], (0, 1, 2, 0), (1, 2)),
    "one number": (lambda xp, x: x[2, 3], (), (2, 3)),
    "all of it": (lambda xp, x: x[...], (1, 1), (1, 1)),
    "a row of a row": (lambda xp, x: x[1:, ...][0, ...][1:3], (1,), (1, 2)),
    "reshape": (lambda xp, x: xp.reshape(x, (2, -1)), (1, 0), (1, 2)),
    "reshape of a transpose": (lambda xp, x: xp.reshape(x.T, (-1,)), (5,), (2, 1)),
    "a step in a flat view": (lambda xp, x: xp.reshape(x, (-1,))[::5], (2,), (2, 2)),
    "T": (lambda xp, x: x.T, (3, 1), (1, 3)),
    "mT": (lambda xp, x: x.mT, (3, 1), (1, 3)),
    "matrix_transpose": (lambda xp, x: xp.matrix_transpose(x), (3, 1), (1, 3)),
    "permute_dims": (lambda xp, x: xp.permute_dims(x[None, ...], (2, 0, 1)), (3, 0, 1), (1, 3)),
    "moveaxis": (lambda xp, x: xp.moveaxis(x, 0, 1), (3, 1), (1, 3)),
    "expand_dims": (lambda xp, x: xp.expand_dims(x, axis=1), (2, 0, 1), (2, 1)),
    "squeeze": (lambda xp, x: xp.squeeze(x[:, 1:2], axis=1), (2,), (2, 1)),
    "flip": (lambda xp, x: xp.flip(x), (0, 0), (2, 3)),
    "flip of an axis": (lambda xp, x: xp.flip(x, axis=1), (1, 0), (1, 3)),
    "unstack": (lambda xp, x: xp.unstack(x, axis=1)[2], (1,), (1, 2)),
    "iteration": (lambda xp, x: list(x)[2], (1,), (2, 1)),
    "asarray": (lambda xp, x: xp.asarray(x), (2, 1), (2, 1)),
    "astype without a copy": (lambda xp, x: xp.astype(x, x.dtype, copy=False), (2, 1), (2, 1)),
    "to_device": (lambda xp, x: x.to_device(x.device), (2, 1), (2, 1)),
    "broadcast_to its shape": (lambda xp, x: xp.broadcast_to(x, (3, 4)), (2, 1), (2, 1)),
    "a diagonal": (lambda xp, x: xp.linalg.diagonal(x), (2,), (2, 2)),
    "real": (lambda xp, x: xp.real(x), (2, 1), (2, 1)),
}


@pytest.mark.usefixtures("sampled")  # the tape knows the views; writes are tested above
@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("name", VIEWS)
def test_a_write_through_a_view_reaches_its_base(backend64, array, name, recorded):
    make, index, place = VIEWS[name]
    a = Variable(array(X), requires_grad=recorded)
    x = a * 1.0
    v = make(array_namespace(x), x)
    w = make(array_namespace(x), x)
    value = Variable(array(5.0), requires_grad=recorded)
    v[index] = value
    expected = X.copy()
    expected[place] = 5.0
    assert_close(x, expected)
    assert_close(v, make(array_namespace(x), x).data)  # the view itself, and another one
    assert_close(w, make(array_namespace(x), x).data)
    assert float(v[index]) == float(w[index]) == 5.0
    for y in (x, v, w):
        assert y.requires_grad == recorded
    if recorded:
        gx, gv = gradients(F.sum(x * x), [a, value])
        assert_close(gx, 2.0 * np.where(expected == 5.0, 0.0, X))
        assert_close(gv, 10.0)
        gv, gw = (gradients(F.sum(y * y), [value])[0] for y in (v, w))
        assert_close(gv, 10.0)
        assert_close(gw, 10.0)


@pytest.mark.usefixtures("sampled")  # likewise
@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("name", VIEWS)
def test_a_write_into_the_base_changes_its_views(backend64, array, name, recorded):
    make, index, place = VIEWS[name]
    x = Variable(array(X), requires_grad=recorded) * 1.0
    v = make(array_namespace(x), x)
    before = v * v
    x[place] = value = Variable(array(5.0), requires_grad=recorded)
    assert float(v[index]) == 5.0
    assert float(before[index]) != 25.0
    if recorded:
        assert_close(gradients(F.sum(v * v), [value])[0], 10.0)
        assert_close(gradients(F.sum(before), [value])[0], 0.0)


def test_the_imaginary_part_is_a_view_too(backend64, array):
    z = Variable(array([1.0, 2.0]), requires_grad=False) * (1.0 + 3.0j)
    F.imag(z)[0] = 5.0
    F.real(z)[1] = 7.0
    assert_close(z, [1.0 + 5.0j, 7.0 + 6.0j])


def test_rows_can_be_changed_in_a_loop(backend64, array):
    x = Variable(array(X), requires_grad=False)
    for i, row in enumerate(x):
        row[0] = 10.0 * i
        row[1:] *= 2.0
        row -= 1.0
    expected = X * 2.0 - 1.0
    expected[:, 0] = [-1.0, 9.0, 19.0]
    assert_close(x, expected)


def test_a_write_through_two_views_and_a_fraction_added_to_integers(backend, array):
    x = Variable(array([[0.0, 0.0], [0.0, 0.0]]), requires_grad=False)
    x[0, ...][1] = 5.0
    assert_close(x, [[0.0, 5.0], [0.0, 0.0]])
    i = Variable(array([2, 4]))
    with pytest.raises(TypeError):
        i[:] += 1.1
    assert_close(i, [2, 4])


def test_a_copy_is_not_a_view(backend64, array):
    x = Variable(array(X), requires_grad=False)
    xp = array_namespace(x)
    copies = [
        xp.asarray(x, copy=True), xp.reshape(x, (3, 4), copy=True), +x, xp.roll(x, 0, axis=0),
        xp.concat([x]), xp.astype(x, x.dtype), xp.meshgrid(x[0, ...], x[:, 0])[0], x[x > -9.0],
        copy.copy(x[0, ...]), copy.deepcopy(x[0, ...]), pickle.loads(pickle.dumps(x[0, ...])),
    ]  # fmt: skip
    for y in copies:
        y[...] = 9.0
        assert_close(x, X)


def test_a_broadcast_view_cannot_be_written_to(backend64, array):
    x = Variable(array([1.0, 2.0]), requires_grad=False)
    y = F.broadcast_to(x, (3, 2))
    for z in (y, y[0, ...], F.flip(y), y.T, F.expand_dims(y, axis=0), F.broadcast_arrays(x, y)[0]):
        with pytest.raises(ValueError, match=r"holds each number once.*broadcast.*copy=True"):
            z[..., 0] = 5.0
        with pytest.raises(ValueError, match=r"x \*= value expected .* each number once"):
            z *= 2.0
    assert_close(y, [[1.0, 2.0]] * 3)
    flat = F.reshape(y, (-1,))  # a copy, also on NumPy
    flat[0] = 5.0
    assert_close(flat, [5.0, 2.0, 1.0, 2.0, 1.0, 2.0])
    assert_close(x, [1.0, 2.0])


def test_a_long_chain_of_views(backend64, array):
    if backend64.name != "numpy":
        pytest.skip("views are the same for every library; NumPy is the fastest")
    x = v = Variable(array([1.0, 2.0]), requires_grad=False)
    for _ in range(3001):
        v = v[::-1]
    v[0] = 7.0
    assert_close(x, [1.0, 7.0])
    x[0] = 8.0
    assert_close(v, [7.0, 8.0])


def test_a_view_whose_data_is_replaced_is_no_longer_a_view(backend64, array):
    x = Variable(array([1.0, 2.0]), requires_grad=False)
    v = x[:1]
    v.data = array([5.0])
    x[0] = 3.0
    v[0] = 4.0
    assert_close(v, [4.0])
    assert_close(x, [3.0, 2.0])
    v = x[:1]
    v.requires_grad = True
    (v * v).backward(array([1.0]))
    assert_close(v.grad, [6.0])
    assert repr(v).startswith("Variable(")


# --- leaves, and blocks without recording ---------------------------------------------------------

WRITES = {
    "an item": lambda x: x.__setitem__(0, 1.0),
    "all": lambda x: x.__setitem__(..., x * 2.0),
    "a mask": lambda x: x.__setitem__(x > 0.0, 0.0),
    "a view": lambda x: x[1:].__setitem__(0, 1.0),
    "a view of a view": lambda x: F.flip(x[1:]).__setitem__(0, 1.0),
    "+=": lambda x: x.__iadd__(1.0),
    "-= of a view": lambda x: x[:1].__isub__(1.0),
}
UPDATE = (Parameter, "+=")  # this is allowed: see tests/test_parameters.py


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in (Variable, Parameter) for name in WRITES if (kind, name) != UPDATE],
)
def test_a_leaf_that_requires_a_gradient_cannot_be_written_to(backend64, array, name, kind):
    x = kind(array([1.0, 2.0]))
    with pytest.raises(GradientError, match=r"leaf.*copy=True.*F\.where.*no_grad"):
        WRITES[name](x)
    assert_close(x, [1.0, 2.0])
    assert x.creator is None


def test_a_leaf_can_be_written_to_without_recording(backend64, array):
    """As in PyTorch; an earlier graph has kept the previous numbers."""
    given = array([1.0, 2.0])
    x = Variable(given)
    y = x * x
    with no_grad():
        x[0] = 5.0
        x[1:] *= 2.0
    assert x.requires_grad
    assert x.creator is None
    assert_close(x, [5.0, 4.0])
    assert_close(given, [1.0, 2.0])
    (g,) = gradients(F.sum(y), [x], create_graph=True)
    assert_close(g, [2.0, 4.0])
    F.sum(x * x).backward()
    assert_close(x.grad, [10.0, 8.0])


def test_without_recording_a_computed_variable_keeps_its_history(backend64, array):
    """As in PyTorch: the assignment is not differentiated."""
    a = Variable(array([1.0, 2.0]))
    x = 3.0 * a
    with no_grad():
        x[0] = Variable(array(7.0))
        y = x[:]
    assert not y.requires_grad
    assert_close(x, [7.0, 6.0])
    (g,) = gradients(F.sum(x * x), [a])
    assert_close(g, [2.0 * 7.0 * 3.0, 2.0 * 6.0 * 3.0])


# --- what is refused ------------------------------------------------------------------------------


def test_a_value_that_would_change_the_dtype_is_an_error(backend, array):
    """A write keeps the dtype of x; nothing is truncated."""
    xp = backend.xp
    i = Variable(array([2, 4]))
    b = Variable(array([True, False]))
    f = Variable(array([1.0, 2.0]), requires_grad=False)
    z = f * 1j
    u = Variable(xp.asarray([1, 2], dtype=xp.uint8, device=compat.device(i.data)))
    for x, value in (
        (i, 1.7), (i, array(1.7)), (i, f[0]), (i, 1j), (f, 1j), (f, z[0]), (b, 1), (b, 0.5),
    ):  # fmt: skip
        with pytest.raises(ArgumentTypeError, match=r"keeps x in its dtype.*xp\.astype"):
            x[0] = value
    for x, value in ((i, f), (f, z), (u, i)):
        with pytest.raises(TypeError):
            x += value
    assert_close(i, [2, 4])
    assert_close(f, [1.0, 2.0])
    i[0] = True
    f[0] = 3
    z[0] = 2.0
    b[1] = True
    u[0] = 7
    assert_close(i, [1, 4])
    assert_close(f, [3.0, 2.0])
    assert_close(z, [2.0, 2.0j])
    assert_close(b, [True, True])
    assert_close(u, [7, 2])


def test_shapes_and_keys_that_do_not_fit(backend64, array):
    x = Variable(array(X)) * 1.0
    node = x.node
    empty = array(np.zeros(0, dtype="int64"))
    for key, value in (
        ((0, ...), array([1.0, 2.0])),
        ((empty, empty), array([1.0, 2.0])),
        ((..., None), array([1.0, 2.0])),
        ((x.data > -9.0), array([1.0, 2.0])),
        ((array(np.asarray([0, 1])), array(np.asarray([0, 1]))), array([1.0, 2.0, 3.0])),
    ):
        with pytest.raises(ShapeError, match=r"broadcasts to the shape of x\[key\], \("):
            x[key] = value
    for key in ((3, ...), (0, -5)):
        with pytest.raises(IndexingError, match="out of range"):
            x[key] = 1.0
    for key in ("a", 1.5, (0, "a"), True):
        with pytest.raises(IndexingError, match="expected integers, slices"):
            x[key] = 1.0
    with pytest.raises(ShapeError, match=r"x \+= value .* result has shape \(2, 3, 4\)"):
        x += array(np.zeros((2, 3, 4)))
    assert x.node is node
    assert_close(x, X)


def test_an_array_of_another_library_is_refused(backend64, array):
    if backend64.name == "numpy":
        pytest.skip("the other library is NumPy")
    x = Variable(array(X)) * 1.0
    with pytest.raises(TypeError, match="different libraries"):
        x[0, ...] = X[1]


def test_lists_as_keys_and_as_values(backend64, array):
    """Also lists of Variables."""
    a = Variable(array([1.0, 2.0]))
    x = Variable(array([0.0] * 4), requires_grad=False)
    x[[3, 0]] = [a[0], a[1] * 2.0]
    x[1:3] = [7, 8.0]
    x[[]] = 5.0
    assert_close(x, [4.0, 7.0, 8.0, 1.0])
    assert_close(gradients(F.sum(x), [a])[0], [1.0, 2.0])
    xpnet.to_numpy(x)


# --- invalid values and keys -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "a", {}, {1.0}, object()])
def test_the_error_names_a_value_that_is_not_a_number(backend, array, value):
    x = Variable(array([1.0, 2.0])) * 2
    with pytest.raises(xpnet.ArgumentTypeError, match=f"expected .*, got {type(value).__name__}"):
        x[0] = value
    assert_close(x, array([2.0, 4.0]))


@pytest.mark.parametrize("size", [1, 3])
def test_a_mask_of_another_shape_is_an_indexing_error(backend, array, size):
    x = Variable(array([1.0, 2.0])) * 2
    mask = array([1.0] * size) > 0
    words = rf"expected a mask of shape \(2,\), got \({size},\)"
    with pytest.raises(xpnet.IndexingError, match=words):
        x[mask] = 0.0
    with pytest.raises(xpnet.IndexingError, match=words):
        _ = x[mask]


def test_a_mask_of_a_later_axis_has_its_shape(backend, array):
    if backend.name.startswith("array_api_strict"):
        pytest.skip("array-api-strict takes a mask alone")
    x = Variable(array([[1.0, 2.0, 3.0]])) * 2
    mask = array([1.0, -1.0, 1.0]) > 0
    assert_close(x[:, mask], array([[2.0, 6.0]]))
    assert_close(x[..., mask], array([[2.0, 6.0]]))
    assert_close(x[None, 0, mask], array([[2.0, 6.0]]))
    with pytest.raises(xpnet.IndexingError, match=r"expected a mask of shape \(1,\), got \(3,\)"):
        _ = x[mask, ...]


def test_the_error_names_a_key_of_floating_point_numbers(backend, array):
    x = Variable(array([1.0, 2.0])) * 2
    for key in (array([1.0]), Variable(array(1.0))):
        with pytest.raises(xpnet.IndexingError, match="got an array of .*float"):
            _ = x[key]
        with pytest.raises(xpnet.IndexingError, match="got an array of .*float"):
            x[key] = 0.0


def test_a_list_picks_the_same_numbers_for_reading_and_for_writing(backend64, array):
    v = Variable(array([1.0, 3.0, 5.0]))
    y = v[[2, 0, 2]]
    assert_close(y, array([5.0, 1.0, 5.0]))
    F.sum(y * y).backward()
    assert_close(v.grad, array([2.0, 0.0, 20.0]))
    assert v[[]].shape == (0,)


def test_a_list_of_booleans_is_a_mask(backend64, array):
    v = Variable(array([1.0, 3.0, 5.0]))
    y = v[[True, False, True]]
    F.sum(y * y).backward()
    assert_close(v.grad, array([2.0, 0.0, 10.0]))
