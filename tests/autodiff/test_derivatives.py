"""Derivatives as functions: compared with formulas, and with JAX on the same code."""

import math
from typing import NamedTuple

import numpy as np
import pytest

from xpnet import (
    MLP,
    Function,
    GradientError,
    Parameter,
    ShapeError,
    Variable,
    array_namespace,
    functions as F,
    gradients,
    no_grad,
    to_numpy,
    using,
)
from xpnet.autodiff import grad, hessian, hvp, jacobian, jvp, tree, value_and_grad, vjp
from xpnet.autodiff.variable import data_of
from xpnet.testing import assert_close


def is_array(x, like):
    """Whether x is an array of the same library, and not a Variable."""
    return type(x) is type(like)


def assert_close_trees(actual, expected, rtol=1e-9, atol=1e-12):
    """Assert that two trees have the same structure, and that their leaves are close."""
    tree.map(lambda a, b: assert_close(a, b, rtol, atol), expected, actual)
    tree.map(lambda a, b: assert_close(a, b, rtol, atol), actual, expected)


# --- one number: grad and value_and_grad ------------------------------------------------------------


def test_gradient_of_a_formula(backend64, array):
    """d/dx sum(x^3) = 3 x^2; the gradient is an array of the same library and dtype."""
    x = array([1.0, -2.0])
    g = grad(lambda x: F.sum(x**3))(x)
    assert is_array(g, x)
    assert g.dtype == x.dtype
    assert_close(g, [3.0, 12.0])


def test_value_and_grad_returns_both(backend64, array):
    x = array([3.0, 4.0])
    value, g = value_and_grad(lambda x: F.sqrt(F.sum(x * x)))(x)
    assert is_array(value, x)
    assert_close(value, 5.0)
    assert_close(g, [0.6, 0.8])


def test_plain_array_api_code_is_differentiated(backend, array):
    """f asks for the namespace of its argument, as SciPy's functions do; float32 stays float32."""

    def rosenbrock(x):
        xp = array_namespace(x)
        return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    g = grad(rosenbrock)(array([0.0, 1.0]))
    assert g.dtype == backend.dtype
    assert_close(g, [-2.0, 200.0], rtol=1e-5)


def test_grad_is_also_a_decorator(backend64):
    """Python's floats become arrays of the current backend; keyword arguments are passed on."""

    @grad
    def slope(x, *, factor):
        """Three times the square."""
        return factor * x * x

    g = slope(2.0, factor=3.0)
    assert is_array(g, backend64.asarray(0.0))
    assert g.dtype == backend64.dtype
    assert_close(g, 12.0)
    assert slope.__name__ == "slope"
    assert slope.__doc__ == "Three times the square."


@pytest.mark.parametrize("argnums", [0, 1, -1, (0, 1), (1, 0), [1]])
def test_argnums_selects_the_arguments(backend64, array, argnums):
    """An int selects one gradient, a tuple several in its order; other arguments reach f unchanged."""
    a = array([2.0, 3.0])
    b = array([5.0, 7.0])

    def f(a, b):
        differentiated = {i % 2 for i in ([argnums] if isinstance(argnums, int) else argnums)}
        assert [isinstance(x, Variable) for x in (a, b)] == [i in differentiated for i in (0, 1)]
        return F.sum(F.multiply(a * a, b))

    by = [2.0 * to_numpy(a) * to_numpy(b), to_numpy(a) ** 2]
    expected = by[argnums] if isinstance(argnums, int) else tuple(by[i] for i in argnums)
    assert_close_trees(grad(f, argnums)(a, b), expected)
    value, found = value_and_grad(f, argnums=argnums)(a, b)
    assert_close(value, 4.0 * 5.0 + 9.0 * 7.0)
    assert_close_trees(found, expected)


class Point(NamedTuple):
    x: object
    y: object


def test_arguments_may_be_nested_trees(backend64, array):
    """Dicts, lists, tuples, named tuples, None, and Python's floats beside arrays."""
    parameters = {
        "W": array([[1.0, 2.0], [3.0, 4.0]]),
        "rest": [(array([1.0, -1.0]), 3.0), None],
        "point": Point(array(2.0), 5.0),
    }

    def f(p):
        (b, factor), nothing = p["rest"]
        assert nothing is None
        return factor * F.sum(p["W"] @ b) + p["point"].x * p["point"].y

    g = grad(f)(parameters)
    expected = {
        "W": np.array([[3.0, -3.0], [3.0, -3.0]]),
        "rest": [(np.array([12.0, 18.0]), np.array(-2.0)), None],
        "point": Point(np.array(5.0), np.array(2.0)),
    }
    assert isinstance(g["point"], Point)
    assert_close_trees(g, expected)


def test_floats_become_arrays_of_the_other_arguments_library(backend):
    """The current backend does not matter: computation follows the arrays."""
    with using("numpy", dtype="float64") as elsewhere:
        x = elsewhere.asarray([1.0, 2.0])
    g = grad(lambda x, a: F.sum(a * x), argnums=(0, 1))(x, 3.0)
    assert [type(part) for part in g] == [np.ndarray, np.ndarray]
    assert_close(g[1], 3.0)
    assert g[1].dtype == np.float64


def test_has_aux_returns_what_f_returns_beside_its_value(backend64, array):
    """Variables are returned as arrays, everything else unchanged."""
    x = array([1.0, 2.0])

    def f(x):
        return F.sum(x * x), {"doubled": 2.0 * x, "name": "f", "largest": F.argmax(x)}

    (value, aux), g = value_and_grad(f, has_aux=True)(x)
    assert_close(value, 5.0)
    assert_close(g, [2.0, 4.0])
    assert is_array(aux["doubled"], x)
    assert_close(aux["doubled"], [2.0, 4.0])
    assert aux["name"] == "f"
    assert int(aux["largest"]) == 1
    g, aux = grad(f, has_aux=True)(x)
    assert_close(g, [2.0, 4.0])
    assert aux["name"] == "f"


def test_has_aux_requires_a_pair(backend, array):
    def f(x):
        return x

    with pytest.raises(TypeError, match=r"has_aux=True, f must return \(y, aux\)"):
        grad(f, has_aux=True)(array(1.0))


def test_a_scalar_of_numpy_is_an_array():
    """np.float64 is both a Python float and an array scalar: it counts as an array."""
    with using("numpy", dtype="float64"):
        g = grad(lambda x: x * x)(np.float64(3.0))
    assert type(g) is np.ndarray
    assert_close(g, 6.0)


# --- derivatives of derivatives ---------------------------------------------------------------------


def test_grad_can_be_applied_to_its_result(backend64):
    """The derivatives of sin are cos, -sin, -cos, sin."""
    f = F.sin
    for expected in (math.cos(0.5), -math.sin(0.5), -math.cos(0.5), math.sin(0.5)):
        f = grad(f)
        assert_close(f(0.5), expected, rtol=1e-12)


def test_third_derivatives_of_a_vector(backend64, array):
    """The third derivative of sum(x^4) is 24 x on the diagonal, and zero elsewhere."""
    third = jacobian(hessian(lambda x: F.sum(x**4)))(array([1.0, 2.0]))
    expected = np.zeros((2, 2, 2))
    expected[0, 0, 0] = 24.0
    expected[1, 1, 1] = 48.0
    assert_close(third, expected)


PERTURBED = [  # f and f'(x), where f computes a derivative itself
    (lambda x: x * grad(lambda y: x + y)(x), lambda x: 1.0),
    (lambda x: x * grad(lambda y: x * y)(2.0), lambda x: 2.0 * x),
    (lambda x: x * grad(lambda y: x * y * y)(x), lambda x: 6.0 * x**2),
    (lambda x: x * grad(lambda y: x)(1.0), lambda x: 0.0),
    (lambda x: grad(lambda y: x * y)(x) * grad(lambda y: y * y)(x), lambda x: 4.0 * x),
    (lambda x: grad(lambda y: grad(lambda z: x * y * z * z)(y))(x), lambda x: 8.0 * x),
    (lambda x: jvp(lambda y: x * y * y, (x,), (x,))[1], lambda x: 6.0 * x**2),
    (lambda x: vjp(lambda y: x * y * y, x)[1](x)[0], lambda x: 6.0 * x**2),
    (lambda x: vjp(lambda y: x * y * y, x)[0], lambda x: 3.0 * x**2),
    (lambda x: jvp(lambda y: x * y * y, (x,), (1.0,))[0], lambda x: 3.0 * x**2),
    (lambda x: hvp(lambda y: x * y * y * y)(x, x), lambda x: 18.0 * x**2),
    (lambda x: grad(lambda y: y)(x) * x, lambda x: 1.0),
    (lambda x: x * value_and_grad(lambda y: x * y)(2.0)[0], lambda x: 4.0 * x),
]


@pytest.mark.parametrize("case", range(len(PERTURBED)))
def test_perturbations_are_not_confused(backend64, case):
    """An inner derivative has its own variable, even if its value is the same number or Variable."""
    f, expected = PERTURBED[case]
    assert_close(grad(f)(3.0), expected(3.0), rtol=1e-12)
    assert is_array(grad(f)(3.0), backend64.asarray(0.0))
    x = Variable(backend64.asarray(3.0))
    f(x).backward()  # backward, through the recorded derivatives
    assert_close(x.grad, expected(3.0), rtol=1e-12)


def test_the_same_variable_in_the_closure_is_constant(backend64, array):
    """Only the argument is differentiated: d/dy (x + y^2) at y = x is 2 x, not 2 x + 1."""
    x = Variable(array(3.0))
    g = grad(lambda y: x + y * y)(x)
    assert_close(g, 6.0)
    g.backward()
    assert_close(x.grad, 2.0)


def test_second_derivatives_of_linear_functions_are_zero(backend64, array):
    """They have the usual shapes; a constant derivative does not count as a lost graph."""
    x = array([1.0, 2.0])
    assert_close(grad(grad(lambda x: 3.0 * x))(2.0), 0.0)
    assert_close(hessian(lambda x: F.sum(3.0 * x))(x), np.zeros((2, 2)))
    assert_close(hvp(lambda x: F.sum(F.relu(x)))(x, x), [0.0, 0.0])
    assert_close(jacobian(jacobian(lambda x: 2.0 * x))(x), np.zeros((2, 2, 2)))


# --- results, and what they depend on ------------------------------------------------------------------


def test_variables_in_variables_out(backend64, array):
    """Results for a Variable that requires a gradient are recorded; for a constant they are constants."""
    x = Variable(array(3.0))
    c = Variable(array(3.0), requires_grad=False)
    value, g = value_and_grad(lambda x: x * x)(x)
    (second,) = gradients(value * g, [x])
    assert_close(second, 6.0 * 9.0)  # (2 x^3)'
    value, g = value_and_grad(lambda x: x * x)(c)
    assert [isinstance(v, Variable) and not v.requires_grad for v in (value, g)] == [True, True]
    assert_close(g, 6.0)


def test_derivatives_depend_on_the_parameters_in_the_closure(backend64, array):
    """A loss that contains u'', with u = a sin(b x), is differentiated with respect to a and b."""
    a = Parameter(array(2.0))
    b = Parameter(array(3.0))
    x = 0.7
    bend = grad(grad(lambda x: a * F.sin(b * x)))(x)
    assert isinstance(bend, Variable)
    assert_close(bend, -18.0 * math.sin(2.1), rtol=1e-12)
    bend.backward()
    assert_close(a.grad, -9.0 * math.sin(2.1), rtol=1e-12)
    expected = -2.0 * (6.0 * math.sin(2.1) + 9.0 * 0.7 * math.cos(2.1))
    assert_close(b.grad, expected, rtol=1e-12)


def test_the_input_gradient_of_a_model_depends_on_its_parameters(backend, array):
    """grad of a function that calls a Layer, and of the Layer itself."""
    model = MLP(2, 3, 1, activation="tanh", rng=0)
    x = array([[0.5, -1.0]])
    for g in (grad(lambda x: F.sum(model(x)))(x), grad(model)(x)):
        F.sum(g * g).backward()
        assert all(p.grad is not None for name, p in model.named_parameters() if "W" in name)
        model.zero_grad()


@pytest.mark.parametrize("derivative", ["aux", "value", "vjp", "jvp", "jacobian", "hvp"])
def test_every_result_depends_on_the_closure(backend64, array, derivative):
    """d/dw of what each function of xpnet.autodiff returns for w x^2 at x = 3, w = 5."""
    w = Parameter(array(5.0))
    x = array(3.0)

    def f(x):
        return w * x * x

    def with_aux(x):
        return f(x), w * x

    results = {
        "aux": lambda: value_and_grad(with_aux, has_aux=True)(x)[0][1],
        "value": lambda: value_and_grad(f)(x)[0],
        "vjp": lambda: vjp(f, x)[1](2.0)[0],
        "jvp": lambda: jvp(f, (x,), (2.0,))[1],
        "jacobian": lambda: jacobian(f)(x),
        "hvp": lambda: hvp(f)(x, 2.0),
    }
    slopes = {"aux": 3.0, "value": 9.0, "vjp": 12.0, "jvp": 12.0, "jacobian": 6.0, "hvp": 4.0}
    y = results[derivative]()
    y.backward()
    assert_close(w.grad, slopes[derivative])
    with no_grad():
        assert is_array(results[derivative](), x)


def test_products_are_differentiable_with_respect_to_their_vectors(backend64, array):
    """vjp, jvp and hvp are linear in gy, in the tangent and in v."""
    gy = Variable(array([1.0, 2.0]))
    (gx,) = vjp(lambda x: x**3, array([1.0, 2.0]))[1](gy)
    (found,) = gradients(F.sum(gx), [gy])
    assert_close(found, [3.0, 12.0])
    _, y_dot = jvp(lambda x: x**3, (array([1.0, 2.0]),), (gy,))
    (found,) = gradients(F.sum(y_dot), [gy])
    assert_close(found, [3.0, 12.0])
    (found,) = gradients(F.sum(hvp(lambda x: F.sum(x**3))(array([1.0, 2.0]), gy)), [gy])
    assert_close(found, [6.0, 12.0])


def test_outer_derivatives_of_inner_derivatives_are_arrays(backend64, array):
    """An inner derivative with respect to data leaves no Variable in the outer result."""
    x = array([1.0, 2.0])

    def loss(w):
        (value, aux), g = value_and_grad(lambda x: (F.sum(w * x * x), x), has_aux=True)(x)
        return F.sum(g * g) + value + F.sum(aux)

    g = grad(loss)(2.0)
    assert is_array(g, x)
    assert_close(g, 40.0 * 2.0 + 5.0, rtol=1e-12)  # (20 w^2 + 5 w)'


def test_the_argument_of_f_receives_no_grad(backend64, array):
    """backward through a recorded derivative sets the grad of the parameters only."""
    w = Parameter(array(2.0))
    seen = []

    def f(x):
        seen.append(x)
        return F.sum(w * x * x)

    F.sum(grad(f)(array([1.0, 2.0]))).backward()
    assert_close(w.grad, 6.0)
    assert [x.grad for x in seen] == [None]


def test_under_no_grad_derivatives_are_computed_and_not_recorded(backend64, array):
    """f is recorded nevertheless; the results are arrays, or constant Variables."""
    w = Parameter(array(2.0))
    x = array(3.0)
    with no_grad():
        for given in (x, Variable(x)):
            value, g = value_and_grad(lambda x: w * x * x)(given)
            assert isinstance(g, Variable) == isinstance(given, Variable)
            assert not getattr(value, "requires_grad", False)
            assert not getattr(g, "requires_grad", False)
            assert_close(g, 12.0)
        assert_close(grad(grad(lambda x: w * x * x))(x), 4.0)
        assert_close(jvp(lambda x: w * x * x, (x,), (1.0,))[1], 12.0)


def test_an_error_in_f_does_not_affect_the_next_derivative(backend, array):
    """If f raises, its own error is raised, and the next derivative is correct."""

    def f(x):
        raise KeyError("of f")

    with pytest.raises(KeyError, match="of f"):
        grad(f)(1.0)
    assert is_array(grad(lambda x: x * x)(array(1.0)), array(1.0))


def test_the_zero_gradient_of_a_parameter_is_on_its_device():
    """The derivative is the constant 2: its gradient with respect to the parameter is zero, on its device."""
    strict = pytest.importorskip("array_api_strict", reason="it has several devices")
    here = strict.Device("device1")
    there = strict.Device("device2")
    parameter = Parameter(strict.asarray([1.0, 2.0], device=there))
    x = Variable(strict.asarray([3.0], device=here))
    slope = grad(lambda x: F.sum(2.0 * x) + F.sum(parameter.to_device(here)))(x)
    loss = F.sum(slope).to_device(there) + F.sum(parameter * parameter)
    loss.backward()
    assert parameter.grad.device == there
    assert_close(parameter.grad, [2.0, 4.0])


# --- zero, or an error ---------------------------------------------------------------------------------


def test_the_gradient_with_respect_to_an_unused_argument_is_zero(backend64, array):
    """It has the shape of the argument, if the value of f depends on another Variable."""
    a = array([1.0, 2.0])
    b = array([[3.0]])
    g = grad(lambda a, b: F.sum(a), argnums=(0, 1))(a, b)
    assert_close_trees(g, (np.ones(2), np.zeros((1, 1))))
    w = Parameter(array(5.0))
    g = grad(lambda x: w * w)(2.0)  # the value depends on w only
    assert_close(g, 0.0)
    assert_close(jacobian(lambda a: {"a": a, "one": F.ones_like(a)})(a)["one"], np.zeros((2, 2)))


LOSING = {
    "grad": lambda f, x: grad(f)(x),
    "hessian": lambda f, x: hessian(f)(x),
    "hvp": lambda f, x: hvp(f)(x, x),
    "jacobian": lambda f, x: jacobian(f)(x),
    "jvp": lambda f, x: jvp(f, (x,), (x,)),
    "vjp": vjp,
}
LOST = [
    (lambda x: 3.0, "f returned 3.0, which has no record"),
    (lambda x: None, "f returned None, which has no record"),
    (
        lambda x: x.data,
        r"f returned an array of .*float\d\d, shape \(\), on .*, which has no record",
    ),
    (lambda x: float(x) * 2.0, "f returned 6.0, which has no record"),
    (F.floor, "f returned a result for which nothing was recorded.*floor"),
    (no_grad()(lambda x: x * x), "f returned a result for which nothing was recorded.*no_grad"),
    (
        lambda x: Variable(x.data, requires_grad=False),
        "f returned a result for which nothing was recorded",
    ),
]


@pytest.mark.parametrize("case", range(len(LOST)))
@pytest.mark.parametrize("derivative", LOSING)
def test_a_lost_graph_raises_instead_of_returning_zero(backend, array, case, derivative):
    lost, words = LOST[case]
    x = array(3.0)

    def f(x):
        return lost(x)

    with pytest.raises(GradientError, match=words):
        LOSING[derivative](f, x)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: x * x, r"got a Variable of .*float\d\d, shape \(2,\)"),
        (lambda x: (F.sum(x), x), "got a tuple"),
        (lambda x: F.sum(x) * 1j, r"got a Variable of .*complex\d+, shape \(\)"),
    ],
)
def test_grad_requires_a_single_real_number(backend, array, f, words):
    """The message contains what f returned, and names the functions for several numbers."""
    with pytest.raises(GradientError, match=words) as caught:
        grad(f)(array([1.0, 2.0]))
    message = str(caught.value)
    assert message.startswith("Expected <lambda> to return a single real number")
    assert "jacobian" in message
    assert "vjp" in message


@pytest.mark.parametrize(
    ("argnums", "given", "words"),
    [
        (
            0,
            (2, 1.0),
            "loss is to be differentiated with respect to argument 0, w: .* numbers, got 2.",
        ),
        (0, (True, 1.0), "argument 0, w: .*, got True."),
        (1, (1.0, {"a": [1.0, "text"]}), r"argument 1, x\['a'\]\[1\]: .*, got 'text'."),
        ((0, 1), (1.0, [1]), r"argument 1, x\[0\]: .*, got 1."),
    ],
)
def test_arguments_without_derivatives_are_named(backend, argnums, given, words):
    """Integers, booleans and strings: by position, name and path."""

    def loss(w, x):
        raise AssertionError("not called")

    with pytest.raises(TypeError, match=words):
        grad(loss, argnums)(*given)


def test_arrays_of_integers_raise(backend, array):
    with pytest.raises(TypeError, match=r"argument 0, x: .* an array of .*int\d\d, shape \(2,\)"):
        grad(F.sum)(array([1, 2]))
    with pytest.raises(TypeError, match=r"argument 0, x: .* a Variable of .*int\d\d, shape \(2,\)"):
        grad(F.sum)(Variable(array([1, 2])))


def test_errors_for_a_callable_without_a_signature_name_the_position(backend):
    """Its arguments have positions, but no names."""

    class Strange:
        __signature__ = "none"

        def __call__(self, x):
            return x

    with pytest.raises(
        TypeError, match=r"Strange is to be .* with respect to argument 0, at \['a'\]: expected"
    ):
        grad(Strange())({"a": 1})


@pytest.mark.parametrize("argnums", [2, -3, (0, 2)])
def test_argnums_out_of_range_raise(backend, argnums):
    def f(a, b):
        return a * b

    with pytest.raises(TypeError, match="no positional argument -?[23]; f was given 2"):
        grad(f, argnums)(1.0, 2.0)


# --- many numbers: vjp, jvp, jacobian -----------------------------------------------------------------


def test_the_function_returned_by_vjp_can_be_called_repeatedly(backend64, array):
    """y = A x: pull(gy) is A^T gy."""
    A = array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    x = array([1.0, -1.0])
    y, pull = vjp(lambda A, x: A @ x, A, x)
    assert is_array(y, x)
    assert_close(y, [-1.0, -1.0, -1.0])
    for gy in ([1.0, 0.0, 0.0], [0.0, 1.0, 2.0]):
        gA, gx = pull(array(gy))
        assert_close(gx, to_numpy(A).T @ gy)
        assert_close(gA, np.outer(gy, to_numpy(x)))
    assert_close(pull([1.0, 0.0, 0.0])[1], [1.0, 2.0])  # gy may be a list


def test_vjp_and_jvp_take_and_return_trees(backend64, array):
    """Inputs and outputs are trees; gradients and tangents have the same structure as these."""

    def f(p):
        return {"product": p["a"] * p["b"], "parts": [p["a"], 3.0 * p["b"]]}

    p = {"a": array([1.0, 2.0]), "b": array([5.0, 7.0])}
    y, pull = vjp(f, p)
    assert_close(y["parts"][1], [15.0, 21.0])
    (g,) = pull({"parts": [array([1.0, 1.0]), array([10.0, 10.0])], "product": array([1.0, 2.0])})
    assert_close_trees(g, {"a": np.array([6.0, 15.0]), "b": np.array([31.0, 34.0])})
    y, y_dot = jvp(f, (p,), ({"b": array([1.0, 0.0]), "a": array([0.0, 1.0])},))
    assert_close_trees(
        y_dot,
        {"product": np.array([1.0, 7.0]), "parts": [np.array([0.0, 1.0]), np.array([3.0, 0.0])]},
    )


def test_vectors_of_a_different_shape_or_structure_raise(backend, array):
    """The message names the vector, and its place in the tree."""
    x = array([1.0, 2.0])
    _, pull = vjp(lambda x: {"a": x * x}, x)
    with pytest.raises(ShapeError, match=r"gradient of y\['a'\] of shape \(2,\), got \(3,\)"):
        pull({"a": array([1.0, 2.0, 3.0])})
    with pytest.raises(TypeError, match="Expected a tree like dict of"):
        pull(x)
    with pytest.raises(ShapeError, match=r"tangent of primals\[0\] of shape \(2,\), got \(1,\)"):
        jvp(lambda x: x * x, (x,), (array([1.0]),))
    with pytest.raises(TypeError, match=r"jvp expected primals and tangents as tuples or lists"):
        jvp(lambda x: x * x, x, x)
    with pytest.raises(TypeError, match=r"tuple of \[0\], got tuple of \[0, 1\]"):
        jvp(lambda x: x * x, (x,), (x, x))
    with pytest.raises(ShapeError, match=r"Expected v of shape \(2,\), got \(1,\)"):
        hvp(lambda x: F.sum(x * x))(x, array([1.0]))
    with pytest.raises(TypeError, match=r"hvp\(sum\) expected x and v, got 1"):
        hvp(F.sum)(x)
    with pytest.raises(ValueError, match="counted from the front, got -1"):
        hvp(F.sum, argnums=-1)


COLUMNS = pytest.mark.parametrize("columns", [False, True], ids=["rows", "columns"])


@COLUMNS
def test_the_axes_of_the_output_come_first_in_a_jacobian(backend64, array, columns):
    """y = x x^T: dy_ij / dx_k = delta_ik x_j + delta_jk x_i."""
    x = array([1.0, 2.0, 3.0])
    J = jacobian(lambda x: x[:, None] * x[None, :], columns=columns)(x)
    assert is_array(J, x)
    one = np.eye(3)
    host = to_numpy(x)
    expected = one[:, None, :] * host[None, :, None] + one[None, :, :] * host[:, None, None]
    assert_close(J, expected)


@COLUMNS
def test_the_jacobian_of_a_number_and_of_an_empty_array(backend64, array, columns):
    """The jacobian of a number is its gradient; that of an empty output has the shape (0, 2)."""
    x = array([1.0, 2.0])
    assert_close(jacobian(lambda x: F.sum(x * x), columns=columns)(x), [2.0, 4.0])
    assert jacobian(lambda x: x[:0] * 1.0, columns=columns)(x).shape == (0, 2)
    assert jacobian(lambda x: F.exp(x), columns=columns)(x[:0]).shape == (0, 0)


@COLUMNS
def test_a_jacobian_by_trees_by_what_is_not_used_and_by_what_is_linear(backend64, array, columns):
    p = {"a": array([[1.0, 2.0], [3.0, 4.0]]), "unused": array([7.0])}
    J = jacobian(lambda p: {"y": p["a"][0, :] ** 3, "z": 2.0 * p["a"][1, 0]}, columns=columns)(p)
    expected = {
        "y": {"a": [[[3.0, 0.0], [0.0, 0.0]], [[0.0, 12.0], [0.0, 0.0]]], "unused": [[0.0], [0.0]]},
        "z": {"a": [[0.0, 0.0], [2.0, 0.0]], "unused": [0.0]},
    }
    for name, by in expected.items():
        for leaf, value in by.items():
            assert is_array(J[name][leaf], p["a"])
            assert_close(J[name][leaf], value)


@COLUMNS
def test_a_jacobian_can_be_differentiated_by_its_argument_and_by_parameters(
    backend64, array, columns
):
    """J = diag(3 w x^2): sum(J) has the derivatives 6 w x by x and 3 sum(x^2) by w."""
    x, w = array([1.0, 2.0]), Parameter(array(5.0))

    def total(x):
        return F.sum(jacobian(lambda x: w * x**3, columns=columns)(x))

    assert_close(grad(total)(x), [30.0, 60.0])
    total(x).backward()
    assert_close(w.grad, 15.0)
    with no_grad():
        assert is_array(jacobian(lambda x: w * x**3, columns=columns)(x), x)


@COLUMNS
@pytest.mark.parametrize(
    ("dtype_of_x", "dtype_of_y"), [("float32", "float64"), ("float64", "float32")]
)
def test_a_jacobian_has_the_dtype_of_x(backend64, array, columns, dtype_of_x, dtype_of_y):
    xp = backend64.xp
    x = xp.astype(array([1.0, 2.0]), getattr(xp, dtype_of_x))
    J = jacobian(lambda x: F.astype(x, getattr(xp, dtype_of_y)) ** 2, columns=columns)(x)
    assert J.dtype == x.dtype
    assert_close(J, [[2.0, 0.0], [0.0, 4.0]])


def test_columns_take_one_pass_back_for_each_number_of_x(backend64, array):
    """The rule of f runs once, recorded; by rows, it runs once for each of 50 numbers."""
    calls = []

    class Cube(Function):
        def forward(self, x):
            return x * x * x

        def backward(self, gy, x):
            calls.append(gy)
            return 3.0 * gy * x * x

    x = array([2.0])
    ones = array(np.ones(50))

    def f(x):
        return Cube()(x) * ones

    assert_close(jacobian(f, columns=True)(x), np.full((50, 1), 12.0))
    assert len(calls) == 1
    jacobian(f)(x)
    assert len(calls) == 51


def test_the_jacobian_of_complex_numbers_raises(backend, array):
    with pytest.raises(GradientError, match=r"jacobian expected real numbers of <lambda>, got .*"):
        jacobian(lambda x: x * 1j)(array([1.0]))
    with pytest.raises(GradientError, match=r"jacobian expected real numbers of <lambda>, got .*"):
        jacobian(lambda x: F.abs(x), columns=True)(F.asarray(array([1.0])) * 1j)


def test_hvp_is_the_product_of_the_hessian_and_a_vector(backend64, array):
    """The Hessian of x^T A x / 2 is (A + A^T) / 2; v comes after x, further arguments after v."""
    host = np.array([[1.0, 2.0, 0.0], [4.0, 3.0, 1.0], [0.0, 5.0, 2.0]])
    A = array(host)
    x = array([1.0, 2.0, 3.0])
    v = array([1.0, 0.0, -1.0])

    def f(x, A, factor=1.0):
        return factor * F.sum(x * F.matmul(A, x)) / 2.0

    expected = (host + host.T) / 2.0
    assert_close(hvp(f)(x, v, A), expected @ to_numpy(v))
    assert_close(hvp(f)(x, v, A, factor=2.0), 2.0 * expected @ to_numpy(v))
    assert_close(hvp(lambda A, x: f(x, A), argnums=1)(A, x, v), expected @ to_numpy(v))
    assert_close(hessian(f)(x, A), expected)


def test_hvp_takes_trees(backend64, array):
    """f = a^2 b: H (va, vb) = (2 b va + 2 a vb, 2 a va)."""
    h = hvp(lambda p: p["a"] * p["a"] * p["b"])
    found = h({"a": array(3.0), "b": array(5.0)}, {"a": array(1.0), "b": array(10.0)})
    assert_close_trees(found, {"a": np.array(70.0), "b": np.array(6.0)})


# --- against JAX --------------------------------------------------------------------------------------


def host(*shape):
    return np.random.default_rng(sum(shape) + len(shape)).normal(size=shape)


# One of two arguments may be an array. array-api-strict's operators reject Variables, so that the code
# below calls functions instead.


def network(p, x):
    for layer in p["layers"]:
        x = F.tanh(F.add(F.matmul(x, layer["W"]), layer["b"]))
    return F.multiply(x, p["scale"])


LAYERS = [{"W": host(2, 3), "b": host(3)}, {"W": host(3, 2), "b": host(2)}]
SMOOTH = {  # functions that return one number, with their arguments: trees of NumPy's arrays
    "polynomial": (
        lambda x, y: F.sum(F.multiply(x**3, y) + F.multiply(y * y, x)),
        (host(3), host(3)),
    ),
    "matrix": (
        lambda A, x: F.multiply(F.sum(A), F.sum(F.tanh(F.matmul(A, x)))),
        (host(2, 3), host(3)),
    ),
    "softmax": (
        lambda x, y: F.sum(F.multiply(F.softmax(x), y * y)),
        (host(2, 4), host(2, 4)),
    ),
    "network": (
        lambda p, x: F.sum(network(p, x) ** 2),
        ({"layers": LAYERS, "scale": np.array(1.5)}, host(4, 2)),
    ),
}


@pytest.fixture
def oracle(backend64):
    """A function that calls one of JAX's transformations on JAX's arrays, and returns NumPy's."""
    jax = pytest.importorskip("jax", reason="JAX is the oracle of these tests")

    def call(transform, *trees):
        with using("jax", dtype="float64") as there:
            result = jax.jit(transform(jax))(*[tree.map(there.asarray, t) for t in trees])
            return tree.map(to_numpy, result)

    return call


@pytest.fixture(params=SMOOTH)
def case(request, array):
    """A function, its arguments as NumPy's and as the backend's arrays, and both as tangents."""
    f, args = SMOOTH[request.param]
    tangents = tree.map(lambda x: np.cos(7.0 * x), args)
    return f, args, tree.map(array, args), tangents, tree.map(array, tangents)


def test_grad_agrees_with_jax(oracle, case):
    f, args, ours, *_ = case
    for argnums in (0, 1, (0, 1)):
        expected = oracle(lambda jax, i=argnums: jax.value_and_grad(f, argnums=i), *args)
        assert_close_trees(value_and_grad(f, argnums)(*ours), expected)


def test_jvp_agrees_with_jax(oracle, case):
    """jax.jvp uses forward mode; xpnet's jvp uses reverse mode twice."""
    f, args, ours, tangents, moving = case
    expected = oracle(lambda jax: lambda a, b: jax.jvp(f, tuple(a), tuple(b)), args, tangents)
    assert_close_trees(jvp(f, ours, moving), expected)


def test_hessian_agrees_with_jax(oracle, case):
    f, args, ours, *_ = case
    for argnums in (1, (0, 1)):
        expected = oracle(lambda jax, i=argnums: jax.hessian(f, argnums=i), *args)
        assert_close_trees(hessian(f, argnums)(*ours), expected)


def test_hvp_agrees_with_jax(oracle, case):
    """In JAX it is the jvp of grad; in xpnet the gradient of a product."""
    f, args, ours, tangents, moving = case

    def there(jax):
        return lambda x, y, v: jax.jvp(lambda x: jax.grad(f)(x, y), (x,), (v,))[1]

    assert_close_trees(hvp(f)(ours[0], moving[0], ours[1]), oracle(there, *args, tangents[0]))


def test_third_derivatives_agree_with_jax(oracle, case):
    """The gradient of the squared norm of an hvp."""
    f, args, ours, tangents, moving = case

    def squares(t):
        return sum((F.sum(leaf * leaf) for leaf in tree.leaves(t)), start=0.0)

    def there(jax):
        def norm(x, y, v):
            return squares(jax.jvp(lambda x: jax.grad(f)(x, y), (x,), (v,))[1])

        return jax.grad(norm)

    found = grad(lambda x: squares(hvp(f)(x, moving[0], ours[1])))(ours[0])
    assert_close_trees(found, oracle(there, *args, tangents[0]))


def test_jacobian_and_vjp_of_trees_agree_with_jax(oracle, array):
    """Inputs and outputs are trees; the jacobian is a tree of trees."""

    def f(p, x):
        y = network(p, x)
        return {"y": y, "moments": (F.sum(y), F.sum(y * y, axis=0))}

    args = SMOOTH["network"][1]
    ours = tree.map(array, args)
    for argnums in (0, (1, 0)):
        expected = oracle(lambda jax, i=argnums: jax.jacrev(f, argnums=i), *args)
        assert_close_trees(jacobian(f, argnums)(*ours), expected)
    y, pull = vjp(f, *ours)
    weights = tree.map(lambda v: np.sin(to_numpy(v)), y)
    expected = oracle(lambda jax: lambda p, x, w: jax.vjp(f, p, x)[1](w), *args, weights)
    assert_close_trees(pull(tree.map(array, weights)), expected)


COMPLEX = {  # functions of z, some of which are not holomorphic
    "product": lambda z: z * z * (2.0 + 1j),
    "exp": lambda z: F.exp(z) * z,
    "conj": lambda z: F.conj(z) * z * z,
    "real": lambda z: F.real(z * z) * F.imag(z),
    "abs": lambda z: F.abs(z) * z,
}


@pytest.mark.parametrize("name", COMPLEX)
def test_derivatives_of_complex_numbers_agree_with_jax(oracle, array, name):
    """The gradient of a real number, and the derivative along a complex direction."""
    f = COMPLEX[name]
    z = host(3) + 1j * host(1, 3)[0]
    z_dot = host(2, 3)[0] + 1j * host(3, 3)[0]

    def real(z):
        y = f(z)
        if array_namespace(y).isdtype(y.dtype, "complex floating"):
            return F.sum(F.real(y * F.conj(y)))
        return F.sum(y * y)

    assert_close_trees(
        value_and_grad(real)(array(z)), oracle(lambda jax: jax.value_and_grad(real), z)
    )
    expected = oracle(lambda jax: lambda z, t: jax.jvp(f, (z,), (t,)), z, z_dot)
    assert_close_trees(jvp(f, (array(z),), (array(z_dot),)), expected)


# --- rules ---------------------------------------------------------------------------


class Root(Function):
    """The x with x^3 + x = a; its rule computes the derivative of the equation by jvp."""

    def forward(self, a):
        x = a * 0.0
        for _ in range(60):
            x = x - (x**3 + x - a) / (3.0 * x * x + 1.0)
        return x

    def backward(self, gy, y):
        return gy / jvp(lambda x: x * x * x + x, (y,), (array_namespace(y).ones_like(y),))[1]


def test_a_rule_may_call_jvp(backend64, array):
    """Implicit differentiation up to third order: x' = 1 / (3 x^2 + 1)."""
    a = array(2.0)  # x = 1

    def solve(a):
        return Root()(a)

    assert_close(grad(solve)(a), 1.0 / 4.0)
    assert_close(grad(grad(solve))(a), -6.0 / 4.0**3, rtol=1e-12)
    slope = grad(grad(grad(solve)))(a)  # (-6x / (3x^2+1)^3)' = (90 x^2 - 6) / (3 x^2 + 1)^5
    assert_close(slope, 84.0 / 4.0**5, rtol=1e-12)
    assert_close(jvp(grad(solve), (a,), (2.0,))[1], -12.0 / 4.0**3, rtol=1e-12)


class Forgetful(Function):
    """x^2, with a rule that computes on arrays instead of Variables."""

    def forward(self, x):
        return x * x

    def backward(self, gy, x):
        return data_of(gy) * 2.0 * data_of(x)


def test_a_second_derivative_through_a_rule_on_arrays_raises(backend64, array):
    """The first derivative is correct; the second would be zero, which is wrong."""
    x = array([1.0, 2.0])

    def f(x):
        return F.sum(Forgetful()(x))

    assert_close(grad(f)(x), [2.0, 4.0])
    with pytest.raises(GradientError, match="Forgetful.backward returned an array for a Variable"):
        hvp(f)(x, x)
