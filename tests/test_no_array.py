"""For every function, an argument that is not an array is an error that names both."""

import inspect

import numpy as np
import pytest

from xpnet import Variable, XpnetError, functions as F, grad, using
from xpnet.autodiff.namespace import functions, kinds

DECLARED = {name: f for name, f in functions.items() if kinds[name] != "structural"}
NETWORKS = {
    name: getattr(F, name)
    for name in F.__all__
    if name not in functions and callable(getattr(F, name))
}
OTHERWISE = {
    "broadcast_shapes": "its arguments are shapes",
    "einsum": "its first argument is a string",
    "getitem": "a method: x[key]",
    "special.polygamma": "its first argument is an integer",
    "stop_gradient": "it passes on what is no Variable",
}
NONE_IS_COMPARED = {"equal", "not_equal", "isin", "logical_and", "logical_or", "where"}
"""Functions for which NumPy takes None for an object like others."""
NAMES = sorted((DECLARED | NETWORKS).keys() - OTHERWISE.keys())


def arguments(function):
    """The number of arguments that a function requires."""
    parameters = inspect.signature(function).parameters.values()
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return max(1, sum(p.default is p.empty and p.kind in by_position for p in parameters))


@pytest.mark.parametrize(
    "wrong", ["a", [1.0, 2.0], None, object()], ids=["str", "list", "None", "object"]
)
@pytest.mark.parametrize("name", NAMES)
def test_the_error_names_the_function_and_the_argument(name, wrong):
    if wrong is None and name in NONE_IS_COMPARED:
        pytest.skip("NumPy compares None like any object")
    function = (DECLARED | NETWORKS)[name]
    last = name.rpartition(".")[2]
    with using("numpy"):
        others = [Variable(np.ones((2, 2)))] * (arguments(function) - 1)
        with pytest.raises(XpnetError) as caught:
            function(wrong, *others)
    message = str(caught.value)
    assert isinstance(caught.value, TypeError | ValueError)
    assert "expected" in message
    if isinstance(caught.value, TypeError):
        kind = (
            "float"
            if last in ("concat", "stack") and isinstance(wrong, list)
            else type(wrong).__name__
        )
        assert f"got {kind} " in message


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda v: F.sum("a"), "sum expected an array or a Variable for x, got str 'a'"),
        (lambda v: F.matmul([1, 2], v), r"matmul expected .* for x1, got list \[1, 2\].*F.asarray"),
        (lambda v: F.matmul(v, None), "matmul expected .* for x2, got NoneType None"),
        (lambda v: F.mean(None), "mean expected .* for x, got NoneType"),
        (lambda v: F.concat([v, "a"]), r"concat expected .* for arrays\[1\], got str"),
        (lambda v: F.exp(2.0), "exp expected .* for x, got float 2.0"),
        (lambda v: F.add(v, "a"), "add expected .* for x2, got str"),
        (lambda v: F.argmax("a"), "argmax expected .* for x, got str"),
        (lambda v: F.linalg.inv("a"), "inv expected .* for x, got str"),
        (lambda v: F.fft.fft([1.0]), "fft expected .* for x, got list"),
        (lambda v: F.linear(v, "a"), "linear expected .* for weight, got str"),
        (lambda v: F.softmax([1.0], axis=0), "softmax expected .* for x, got list"),
        (lambda v: F.mean_squared_error(v, "a"), "mean_squared_error expected .* for t, got str"),
        (lambda v: v.__array_namespace__().sum("a"), "sum expected .* for x, got str"),
    ],
)
def test_messages(backend, array, call, words):
    with pytest.raises(XpnetError, match=words):
        call(Variable(array([[1.0, 2.0], [3.0, 4.0]])))


def test_a_long_value_is_shortened(backend, array):
    with pytest.raises(XpnetError, match=r"got str 'aaa[^']*\.\.\.\. For") as caught:
        F.sum("a" * 1000)
    assert len(str(caught.value)) < 200


def test_other_errors_do_not_change(backend, array):
    """Too few arguments, an unknown argument, an axis out of range."""
    v = Variable(array([1.0, 2.0]))
    with pytest.raises(TypeError, match="argument"):
        F.sum()
    with pytest.raises(TypeError, match="argument"):
        F.sum(v, axes=1)
    with pytest.raises(IndexError, match="sum expected an axis"):
        F.sum(v, axis=7)


def test_an_operator_leaves_the_other_operand_the_answer():
    class Other:
        def __radd__(self, x):
            return "theirs"

    assert Variable(1.0) + Other() == "theirs"
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = Variable(1.0) + object()


class Column:
    """Shaped like an array, as a column of pandas and a data set of h5py are, but none of the standard's."""

    shape = (2,)
    dtype = np.dtype("float64")

    def __array__(self, dtype=None, copy=None):
        return np.asarray([1.0, 2.0], dtype=dtype)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: F.exp(x),
        lambda x: F.add(np.ones(2), x),
        lambda x: F.sum(Variable(np.ones(2)) * F.exp(x)),
        lambda x: grad(F.sum)(x),
    ],
)
def test_an_object_that_only_holds_numbers_is_an_error_that_says_how_to_pass_them(call):
    with using("numpy"), pytest.raises(TypeError, match=r"got (a )?Column.*np\.asarray\(x\)"):
        call(Column())
