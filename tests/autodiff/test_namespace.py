"""array_namespace, and the namespace of Variables that it returns."""

import pytest

from xpnet import Variable, array_namespace, functions as F, to_numpy, using


def test_the_namespace_of_an_array_is_that_of_its_library(backend, xp, array):
    """It is the one that array-api-compat returns, for one array and for several."""
    assert array_namespace(array([1.0])) is xp
    assert array_namespace(array([1.0]), 2.0, None, array([3])) is xp


def test_the_namespace_of_a_variable_is_differentiable(backend, array):
    """One Variable among arrays is enough, at any position."""
    x = array([1.0])
    for arguments in ((Variable(x), x), (x, Variable(x)), (2.0, Variable(x))):
        assert array_namespace(*arguments).exp is F.exp


def test_the_namespace_has_dtypes_and_constants(backend, array):
    """They are the library's own."""
    ours = array_namespace(Variable(array([1.0])))
    theirs = array_namespace(array([1.0]))
    assert ours.float32 is theirs.float32
    assert ours.pi == theirs.pi
    assert ours.isdtype(theirs.int32, "integral")
    assert ours.finfo(theirs.float32).bits == 32


def test_an_unknown_function_raises_attribute_error(backend, array):
    """A function of the library that xpnet lacks is missing, and not passed through."""
    xp = array_namespace(Variable(array([1.0])))
    assert not hasattr(xp, "no_such_function")
    with pytest.raises(AttributeError, match=r"xpnet.functions over .* has no 'from_numpy'"):
        _ = xp.from_numpy
    assert "xpnet.functions over" in repr(xp)


@pytest.mark.parametrize("x", [1.0, "text", [1.0, 2.0]])
def test_arguments_without_an_array_raise(x):
    """The message contains the type of the argument."""
    with pytest.raises(
        TypeError, match=f"Expected an array or a Variable, got .*{type(x).__name__}"
    ):
        array_namespace(x)
    with pytest.raises(TypeError, match="got nothing"):
        array_namespace()


def test_arrays_of_different_libraries_raise():
    """Both as arrays and as Variables."""
    with using("numpy") as numpy, using("array_api_strict") as strict:
        a = numpy.asarray([1.0])
        b = strict.asarray([1.0])
    for x, y in ((a, b), (Variable(a), b), (Variable(a), Variable(b))):
        with pytest.raises(TypeError, match="different libraries do not mix"):
            F.add(x, y)


def test_third_party_code_runs_on_arrays_and_variables(backend, array):
    """A softmax written against the standard returns arrays for arrays and Variables for Variables."""

    def softmax(x):
        xp = array_namespace(x)
        e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        return e / xp.sum(e, axis=-1, keepdims=True)

    x = array([[1.0, 2.0, 3.0]])
    assert to_numpy(softmax(x)).sum() == pytest.approx(1.0)
    y = softmax(Variable(x))
    assert y.requires_grad
    assert to_numpy(y).tolist() == to_numpy(softmax(x)).tolist()


@pytest.mark.parametrize("name", ["vectorize", "array", "ndarray", "T"])
def test_a_function_outside_of_the_standard_is_missing(backend, array, name):
    """Even if the library has it: the library's function would lose the gradient."""
    with pytest.raises(AttributeError, match=f"has no '{name}'"):
        getattr(array_namespace(Variable(array(1.0))), name)


def test_dtypes_and_constants_are_those_of_the_library(backend, array):
    xp = array_namespace(Variable(array(1.0)))
    assert (xp.float32, xp.int64, xp.pi) == (backend.xp.float32, backend.xp.int64, backend.xp.pi)
    assert xp.isdtype(xp.float32, "real floating")


def test_every_name_of_the_standard_exists():
    """array-api-strict lists the names of the standard, and few others."""
    strict = pytest.importorskip("array_api_strict", reason="it lists the standard's names")
    own = {"ArrayAPIStrictFlags", "Device", "__version__", "get_array_api_strict_flags"} | {
        name for name in strict.__all__ if name.startswith(("set_array", "reset_array"))
    }
    missing = {name for name in strict.__all__ if not hasattr(F, name)} - own
    assert missing == set()
    with using("array_api_strict"):
        over = array_namespace(F.zeros(1))
        assert {name for name in strict.__all__ if not hasattr(over, name)} - own == set()
    for extension in ("linalg", "fft"):
        names = {n for n in getattr(strict, extension).__all__ if not n.startswith("_")}
        assert len(names) > 10
        for namespace in (F, over):
            assert {n for n in names if not hasattr(getattr(namespace, extension), n)} == set()


def test_the_array_object_has_the_standards_attributes(backend, array):
    """All attributes of array-api-strict's Array, except for in-place operators, for which Python
    uses the ordinary ones.
    """
    strict = pytest.importorskip("array_api_strict", reason="its Array has the standard's methods")
    theirs = {
        n for n in dir(type(strict.asarray(1.0))) if not n.startswith("_") or n.endswith("__")
    }
    theirs -= {f"__i{n}__" for n in ("add", "and", "floordiv", "lshift", "matmul", "mod", "mul")}
    theirs -= {f"__i{n}__" for n in ("or", "pow", "rshift", "sub", "truediv", "xor")}
    v = Variable(array([[1.0]]))
    assert {n for n in theirs if not hasattr(v, n)} - {
        "__buffer__",
        "__dict__",
        "__module__",
    } == set()


def test_a_variables_namespace_is_one_object(backend, array):
    """Every call returns the same one, also for devices without a hash (CuPy's)."""
    xp = array_namespace(Variable(array([1.0])))
    assert array_namespace(Variable(array([[2]]))) is xp
    assert xp.linalg is array_namespace(Variable(array([1.0]))).linalg
