"""custom_rule: a function with a derivative that its author writes."""

import math

import pytest

from xpnet import GradientError, Variable, array_namespace, functions as F, gradients
from xpnet.autodiff import custom_rule, grad, hessian, jvp
from xpnet.testing import assert_close, check_gradients


def sigmoid_times(gy, x):
    return gy / (1.0 + array_namespace(x).exp(-x))


@custom_rule(sigmoid_times)
def log1pexp(x):
    """log(1 + e^x)."""
    xp = array_namespace(x)
    return xp.log1p(xp.exp(x))


def test_derivatives_of_a_custom_rule(backend64, array):
    """The first derivative is the rule; higher ones are derivatives of the rule."""
    check_gradients(log1pexp, array([-2.0, 0.0, 3.0]), order=3)
    assert_close(grad(grad(log1pexp))(0.0), 0.25)
    assert_close(jvp(log1pexp, (0.0,), (3.0,))[1], 1.5)


def test_the_rule_replaces_the_derivative(backend, array):
    """A straight-through estimator: the gradient of rounding is not its derivative."""

    @custom_rule(lambda gy: gy)
    def straight_through(x):
        return array_namespace(x).round(x)

    x = Variable(array([0.4, 1.6]))
    y = straight_through(x)
    assert_close(y, [0.0, 2.0])
    F.sum(y * y).backward()
    assert_close(x.grad, [0.0, 4.0])


def test_arrays_in_arrays_out(backend, array):
    x = array([0.0, 1.0])
    y = log1pexp(x)
    assert type(y) is type(x)
    assert_close(y, [math.log(2.0), math.log(1.0 + math.e)], rtol=1e-6)
    assert (log1pexp.__name__, log1pexp.__doc__) == ("log1pexp", "log(1 + e^x).")


@custom_rule(lambda gy, x, *, limit: array_namespace(gy).clip(gy, -limit, limit))
def clipped(x, *, limit=1.0):
    """x, with a gradient between -limit and limit."""
    return x


def test_options_are_passed_to_the_function_and_to_the_rule(backend, array):
    """They are passed by name and may have defaults; the rule need not take them."""
    for options, expected in (({}, 1.0), ({"limit": 2.5}, 2.5)):
        x = Variable(array([1.0, 1.0]))
        F.sum(F.multiply(clipped(x, **options), array([10.0, 0.5]))).backward()
        assert_close(x.grad, [expected, 0.5])

    @custom_rule(lambda gy, power, x: gy * power * x ** (power - 1))
    def powered(x, *, power):
        return x**power

    assert_close(grad(powered)(2.0, power=3), 12.0)
    with pytest.raises(TypeError, match="missing a required argument: 'power'"):
        powered(Variable(array(2.0)))


def test_the_rule_names_its_arguments_in_any_order(backend64, array, order):
    """The rule receives what it names; inputs may be passed by name and have defaults."""

    @custom_rule(lambda gy, y, b, a: (gy * y / a, gy * a))
    def product(a, b=3.0):
        return a * b

    check_gradients(product, array([2.0, 5.0]), array([3.0, 7.0]), order=order)
    assert_close(grad(lambda b: product(b=b, a=2.0))(7.0), 2.0)
    assert_close(grad(product)(2.0), 3.0)
    assert_close(hessian(product, argnums=(0, 1))(2.0, 3.0)[0][1], 1.0)


def test_a_custom_rule_for_several_outputs(backend64, array):
    """gy and y are tuples in that case."""

    @custom_rule(lambda gy, y, a, b: (gy[0] * b + gy[1], gy[0] * y[0] / b + gy[1]))
    def both(a, b):
        return a * b, a + b

    check_gradients(lambda a, b: both(a, b)[0] * both(a, b)[1], array(2.0), array(3.0), order=3)


def test_a_rule_may_return_none_where_no_gradient_is_needed(backend, array):
    """Where a gradient is needed, None raises an error."""

    @custom_rule(lambda gy, b: (gy * b, None))
    def half(a, b):
        return a * b

    a = Variable(array(2.0))
    b = Variable(array(3.0))
    assert_close(gradients(half(a, b), [a])[0], 3.0)
    with pytest.raises(GradientError, match="half has no derivative with respect to an input"):
        half(a, b).backward()


def test_too_few_gradients_raise(backend, array):
    @custom_rule(lambda gy: gy)
    def product(a, b):
        return a * b

    with pytest.raises(GradientError, match="product.backward returned 1 gradient for 2 inputs"):
        product(Variable(array(2.0)), 3.0).backward()


def test_a_variable_that_is_not_an_argument_raises(backend, array):
    """A Variable from the closure or in an option would silently get no gradient."""
    w = Variable(array(2.0))

    @custom_rule(lambda gy: gy)
    def scaled(x):
        return w * x

    with pytest.raises(GradientError, match="scaled used a Variable that is not among its arg"):
        scaled(array(3.0))
    with pytest.raises(GradientError, match="clipped: the option limit is a Variable"):
        clipped(array(3.0), limit=w)


@pytest.mark.parametrize(
    "rule",
    [
        lambda gy, z: gy,
        lambda gy, *, other: gy,
        lambda: 0.0,
        lambda *, gy: gy,
        lambda gy, x, gradient: gy,
    ],
)
def test_a_rule_with_an_unknown_parameter_raises(rule):
    """It raises when the function is defined, and the message shows both signatures."""
    with pytest.raises(
        TypeError, match=r"is no rule for f\(x, \*, limit=1.0\): its first parameter"
    ):

        @custom_rule(rule)
        def f(x, *, limit=1.0):
            return x


def test_an_argument_named_like_the_output_raises():
    with pytest.raises(TypeError, match="no argument of the function may have this name"):
        custom_rule(lambda gy, y: gy)(lambda x, y: x)


@pytest.mark.parametrize("f", [lambda *xs: xs[0], lambda x, **options: x])
def test_arguments_without_names_raise(f):
    with pytest.raises(TypeError, match="a rule needs arguments with names, not "):
        custom_rule(lambda gy: gy)(f)
    with pytest.raises(TypeError, match="a rule needs arguments with names, not "):
        custom_rule(f)(lambda x: x)
