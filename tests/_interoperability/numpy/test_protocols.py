"""NumPy's protocols on Variables (NEP 13, NEP 18), which never convert to NumPy."""

import inspect
import operator

import numpy as np
import pytest

from xpnet import (
    ArgumentTypeError,
    GradientError,
    IndexingError,
    Parameter,
    Variable,
    XpnetError,
    functions as F,
    gradients,
    using,
)
from xpnet._interoperability.numpy.creation import CREATIONS
from xpnet._interoperability.numpy.protocols import INSTEAD
from xpnet._interoperability.numpy.registry import as_arrays, implementations
from xpnet._interoperability.numpy.ufuncs import REDUCTIONS, RUNNING, elementwise_calls
from xpnet.testing import assert_close, check_gradients

DISPATCHER = type(np.mean)
UFUNCS = sorted({f.__name__ for f in vars(np).values() if isinstance(f, np.ufunc)})
FUNCTIONS = {
    f"{'' if module is np else module.__name__.partition('.')[2] + '.'}{f.__name__}": f
    for module in (np, np.linalg, np.fft)
    for f in map(module.__dict__.get, module.__all__)
    if isinstance(f, DISPATCHER) and f.__module__ == module.__name__
}
FUNCTIONS.update({name: getattr(np, name) for name in CREATIONS})  # those in C are no dispatchers
FUNCTIONS["lib.stride_tricks.sliding_window_view"] = np.lib.stride_tricks.sliding_window_view
WITHOUT = {"bitwise_count", "frexp", "gcd", "isnat", "lcm", "spacing"}
"""Ufuncs that are not implemented."""


def test_numpy_has_the_functions_that_are_tested():
    assert len(UFUNCS) > 80
    assert len(FUNCTIONS) > 200


@pytest.mark.parametrize("name", UFUNCS)
def test_each_ufunc_is_implemented_or_names_an_alternative(name):
    ufunc = getattr(np, name)
    if name in elementwise_calls:
        return
    assert name in WITHOUT
    with using("numpy"), pytest.raises(ArgumentTypeError, match=f"np.{name} has no diff.* Write "):
        ufunc(*[Variable(np.ones(2))] * ufunc.nin)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_is_implemented_or_names_an_alternative(name):
    """The protocol is called as NumPy calls it."""
    if name in implementations:
        return
    v = Variable(np.ones(2))
    with pytest.raises(ArgumentTypeError, match=rf"np\.{name} has no differentiable.* Write ") as e:
        v.__array_function__(FUNCTIONS[name], (Variable,), (v,), {})
    assert "xpnet.to_numpy(x): the result has no gradient" in str(e.value)


def test_each_implementation_has_a_name_of_numpy():
    """An older NumPy may lack some."""
    newer = {"unstack", "cumulative_sum", "cumulative_prod", "astype", "trapezoid"}
    assert set(implementations) - newer <= set(FUNCTIONS)
    assert set(elementwise_calls) - {"matvec", "vecmat", "vecdot"} <= set(UFUNCS)
    assert set(INSTEAD) - {"array2string"} <= set(FUNCTIONS)
    assert not set(INSTEAD) & set(implementations)


@pytest.mark.parametrize("name", sorted(implementations))
def test_each_parameter_of_numpy_is_a_parameter_of_the_implementation(name):
    """So no valid call raises Python's error about an unexpected argument."""
    if name not in FUNCTIONS:
        pytest.skip("this NumPy does not have it")
    try:
        theirs = inspect.signature(FUNCTIONS[name]).parameters
    except ValueError:
        pytest.skip("NumPy has no signature for it")
    ours = inspect.signature(implementations[name].function).parameters
    flexible = any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in ours.values())
    named = [n for n, p in theirs.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    positional = (inspect.Parameter.POSITIONAL_ONLY,)
    keyword = [n for n in named if theirs[n].kind not in positional]
    assert flexible or set(keyword) <= set(ours)


# --- numbers and arrays on the left ---------------------------------------------------------------

OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.mod]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("left", [np.float64(2.0), np.asarray(2.0), np.asarray([2.0, 3.0])])
def test_an_array_of_numpy_may_be_on_the_left(op, left):
    with using("numpy", dtype="float64"):
        v = Variable(np.asarray([1.3, 0.7]))
        y = op(left, v)
        assert isinstance(y, Variable)
        assert_close(y, op(left, v.data))
        check_gradients(lambda x: op(left, x), v.data)


@pytest.mark.parametrize("op", COMPARISONS)
def test_an_array_of_numpy_may_be_on_the_left_of_a_comparison(op):
    with using("numpy"):
        left, v = np.asarray([1.0, 2.0, 3.0]), Variable(np.asarray([2.0, 2.0, 2.0]))
        y = op(left, v)
        assert isinstance(y, Variable)
        assert not y.requires_grad
        assert y.data.tolist() == op(left, v.data).tolist()


def test_a_matrix_of_numpy_may_be_on_the_left_of_a_product():
    with using("numpy", dtype="float64"):
        left = np.asarray([[1.0, 2.0], [3.0, 4.0]])
        check_gradients(lambda x: left @ x, np.asarray([1.0, -1.0]))


@pytest.mark.parametrize("op", [operator.iadd, operator.isub, operator.imul, operator.itruediv])
def test_in_place_operators_refuse_to_write_a_variable_into_an_array(op):
    with using("numpy"):
        left = np.asarray([1.0, 2.0])
        with pytest.raises(XpnetError, match=r"array .= x would write.*Write y = y . x"):
            op(left, Variable(np.asarray([3.0, 4.0])))
        assert left.tolist() == [1.0, 2.0]


def test_in_place_operators_write_a_constant_into_an_array():
    with using("numpy"):
        left = np.asarray([1.0, 2.0])
        before = left
        left += Variable(np.asarray([3.0, 4.0]), requires_grad=False)
        assert left is before
        assert left.tolist() == [4.0, 6.0]


def test_arrays_of_several_libraries_are_refused(backend, array):
    if backend.name == "numpy":
        pytest.skip("the other library is NumPy")
    v, left = Variable(array([1.0, 2.0])), np.ones(2, dtype=np.float32)
    calls = [
        lambda: np.add(left, v),
        lambda: np.concatenate([left, v]),
        lambda: np.where(left > 0, v, 0.0),
        lambda: np.dot(left, v),
        lambda: left * v,
        lambda: np.float32(2.0) * v,
    ]
    for call in calls:
        with pytest.raises(ArgumentTypeError, match=r"do not mix.*asarray\(x\); .* x\.item\(\)"):
            call()


# --- arguments of ufuncs --------------------------------------------------------------------------


@pytest.fixture
def v():
    with using("numpy", dtype="float64"):
        yield Variable(np.asarray([0.5, 1.5]))


def test_dtype_is_that_of_the_computation(v):
    y = np.exp(v, dtype=np.float32)
    assert y.dtype == np.float32
    assert_close(y, np.exp(v.data, dtype=np.float32))
    (g,) = gradients(F.sum(y), [v])
    assert g.dtype == np.float64


def test_arguments_that_change_nothing_are_accepted(v):
    y = np.add(v, 1.0, casting="same_kind", order="K", subok=True, where=True, out=None)
    assert_close(y, [1.5, 2.5])
    assert_close(np.vecdot(v[:, None], v[:, None], axis=0), [2.5])


@pytest.mark.parametrize(
    ("option", "value", "instead"),
    [
        ("where", np.asarray([True, False]), r"np\.where\(mask, result, other\)"),
        ("casting", "no", "astype"),
        ("order", "F", "The library decides about the layout"),
        ("signature", "d->d", "Leave it out"),
    ],
)
def test_refused_arguments_name_an_alternative(v, option, value, instead):
    with pytest.raises(ArgumentTypeError, match=rf"no argument {option}=.*{instead}"):
        np.exp(v, **{option: value})


@pytest.mark.parametrize("out", [np.zeros(2), Variable(np.zeros(2))])
def test_out_is_refused(v, out):
    with pytest.raises(ArgumentTypeError, match=r"Write y = np\.exp\(x\)"):
        np.exp(v, out=out)
    with pytest.raises(ArgumentTypeError, match="out="):
        np.sum(v, out=np.zeros(()))
    with pytest.raises(ArgumentTypeError, match="out="):
        np.mean(v, None, None, np.zeros(()))
    with pytest.raises(ArgumentTypeError, match="out="):
        np.add.reduce(v, out=np.zeros(()))
    with pytest.raises(ArgumentTypeError, match="out="):
        np.multiply.outer(v, v, out=np.zeros((2, 2)))


# --- methods of ufuncs ----------------------------------------------------------------------------

M = np.asarray([[1.5, 0.5, 2.0], [0.25, 3.0, 1.0]])


@pytest.mark.parametrize("name", [*REDUCTIONS, "logaddexp"])
def test_reduce_is_the_reduction_of_that_name(v, name):
    reduce = getattr(np, name).reduce
    for options in ({}, {"axis": 1}, {"axis": None}, {"axis": 1, "keepdims": True}):
        y = reduce(Variable(M), **options)
        assert_close(y, reduce(M, **options), rtol=1e-14)
        if y.requires_grad:
            check_gradients(lambda x, options=options: reduce(x, **options), M)


def test_reduce_takes_arguments_by_position(v):
    assert_close(np.add.reduce(Variable(M), 1, np.float64, None, True), M.sum(1, keepdims=True))
    assert_close(
        np.add.reduce(Variable(M), initial=2.0, where=M > 1),
        np.add.reduce(M, initial=2.0, where=M > 1),
    )
    assert_close(np.maximum.reduce(Variable(M), initial=2.5), np.maximum.reduce(M, initial=2.5))


@pytest.mark.parametrize("name", RUNNING)
def test_accumulate_is_the_cumulative_reduction(v, name):
    accumulate = getattr(np, name).accumulate
    assert_close(accumulate(Variable(M)), accumulate(M))
    check_gradients(lambda x: accumulate(x, axis=1), M)


@pytest.mark.parametrize("name", ["add", "multiply", "subtract", "maximum", "power"])
def test_outer_has_all_pairs(v, name):
    outer = getattr(np, name).outer
    x = np.asarray([0.7, 1.1])
    assert_close(outer(Variable(M), Variable(x)), outer(M, x))
    check_gradients(lambda a, b: outer(a, b), M, x)
    check_gradients(lambda b: outer([1.0, 2.0], b), x)


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda v: np.subtract.reduce(v), r"but np\.add\.reduce"),
        (lambda v: np.maximum.accumulate(v), r"np\.add\.accumulate"),
        (lambda v: np.multiply.at(v, 0, 1.0), r"but np\.add\.at .* x\[indices\] = "),
        (lambda v: np.add.reduceat(v, [0, 1]), r"np\.stack"),
    ],
)
def test_methods_that_are_not_implemented_name_an_alternative(v, call, instead):
    with pytest.raises(ArgumentTypeError, match=instead):
        call(v)


WRITES = {
    "copyto": lambda x, v: np.copyto(x, v),
    "putmask": lambda x, v: np.putmask(x, x > 0.0, v),
    "place": lambda x, v: np.place(x, x == 0.0, v),
    "add.at": lambda x, v: np.add.at(x, [0, 1], v),
}


@pytest.mark.parametrize("name", WRITES)
def test_what_is_written_into_an_array_of_numpy_would_lose_its_gradient(v, name):
    with pytest.raises(GradientError, match=rf"np\.{name} would write .* np\.zeros\(n, like=x\)"):
        WRITES[name](np.zeros((2, 2)), v)


@pytest.mark.parametrize("name", WRITES)
def test_what_is_written_into_a_leaf_is_an_error(v, name):
    """Its numbers would change under the graph that was computed from them."""
    leaf = Variable(np.zeros((2, 2)))
    with pytest.raises(GradientError, match="leaf"):
        WRITES[name](leaf, v)


INVALID = {
    "add.at of integers": lambda v: np.add.at(np.zeros(2, int, like=v), [0], 1),
    "bincount of a matrix": lambda v: np.bincount([[0], [1]], weights=v),
    "bincount of negative numbers": lambda v: np.bincount([0, -1], weights=v),
    "fill_diagonal of a vector": lambda v: np.fill_diagonal(np.copy(v), 0.0),
    "insert into real numbers": lambda v: np.insert(v, 1, v[0] * 1j),
    "insert into integers": lambda v: np.insert(np.arange(2), 1, v[0]),
    "insert out of range": lambda v: np.insert(v, 3, 0.0),
    "nanquantile above 1": lambda v: np.nanquantile(v, 1.5),
    "piecewise with three functions": lambda v: np.piecewise(v, [v > 0], [np.sin] * 3),
    "sliding_window_view of a longer window": lambda v: np.lib.stride_tricks.sliding_window_view(
        v, 3
    ),
    "sliding_window_view with two windows": lambda v: np.lib.stride_tricks.sliding_window_view(
        v, (1, 1)
    ),
}


@pytest.mark.parametrize("call", INVALID.values(), ids=INVALID)
def test_invalid_arguments_name_what_was_expected(v, call):
    with pytest.raises(XpnetError, match=r"np\.[\w.]+ expected .*"):
        call(v)


def test_a_vandermonde_matrix_may_have_no_columns(v):
    assert np.vander(v, 0).shape == np.vander(v.data, 0).shape == (2, 0)


def test_ufuncs_may_have_several_outputs(v):
    for call in (np.modf, lambda x: np.divmod(x, 0.4)):
        parts = call(v)
        assert isinstance(parts, tuple)
        for part, expected in zip(parts, call(v.data), strict=True):
            assert_close(part, expected, rtol=1e-14)
    fraction, whole = np.modf(v)
    assert fraction.requires_grad
    assert not whole.requires_grad


# --- other packages -------------------------------------------------------------------------------


class Labelled:
    """An array of another package, with protocols of its own."""

    __array_priority__ = 1

    def __array_ufunc__(self, ufunc, how, *inputs, **options):
        return "theirs"

    def __array_function__(self, function, types, args, kwargs):
        return "theirs"

    def __radd__(self, other):
        return "theirs"


def test_the_protocol_of_another_packages_array_is_called(v):
    theirs = Labelled()
    assert np.add(v, theirs) == "theirs"
    assert np.add(theirs, v) == "theirs"
    assert np.concatenate([v, theirs]) == "theirs"
    assert v + theirs == "theirs"


def test_an_unknown_operand_is_an_error(v):
    for call in (lambda: np.add(v, "a"), lambda: np.add(v, None), lambda: np.multiply(v, object())):
        with pytest.raises(TypeError):
            call()


def test_special_functions_of_scipy_are_implemented_by_xpnet(v):
    special = pytest.importorskip("scipy.special", reason="its ufuncs ask their arguments")
    for name in ("erf", "gammaln", "psi", "expit", "log_ndtr", "i0e"):
        function = getattr(special, name)
        assert_close(function(v), function(v.data), rtol=1e-13)
        check_gradients(function, v.data)
    with pytest.raises(XpnetError, match="'airy' is not NumPy's.*custom_rule"):
        special.airy(v)


def test_a_ufunc_made_of_a_python_function_is_refused(v):
    double = np.frompyfunc(lambda x: 2 * x, 1, 1)
    with pytest.raises(XpnetError, match="is not NumPy's"):
        double(v)


# --- code that is written with np. ----------------------------------------------------------------


def test_result_type_accepts_variables_and_dtypes(backend64, array):
    v = Variable(array([1.0]))
    assert np.result_type(v, 2.0) == v.dtype
    assert np.result_type(v, np.float32) == v.dtype
    assert np.mean(v, dtype="float32").dtype == backend64.xp.float32
    assert np.astype(v, np.float32).dtype == backend64.xp.float32
    assert np.zeros_like(v, dtype=float).dtype == backend64.xp.float64


def test_a_network_written_with_numpy_is_trained(backend, array):
    """The loss falls, on the library of the parameters."""
    W, b = Parameter(array([[0.1], [-0.2]])), Parameter(array([0.0]))
    x = Variable(array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]]), requires_grad=False)
    t = Variable(array([[1.0], [0.0], [1.0]]), requires_grad=False)
    losses = []
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-(np.dot(x, W) + b)))
        loss = -np.mean(t * np.log(p) + (1.0 - t) * np.log(1.0 - p))
        for q in (W, b):
            q.zero_grad()
        loss.backward()
        for q in (W, b):
            q.data = q.data - 0.5 * q.grad
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]
    assert type(loss.data) is type(W.data)


WITH_AXIS = {
    "take": lambda x, axis: np.take(x, [0], axis=axis),
    "quantile": lambda x, axis: np.quantile(x, 0.5, axis=axis),
    "diff": lambda x, axis: np.diff(x, axis=axis),
    "swapaxes": lambda x, axis: np.swapaxes(x, axis, 0),
    "split": lambda x, axis: np.split(x, 1, axis=axis),
    "delete": lambda x, axis: np.delete(x, 0, axis=axis),
    "trapezoid": lambda x, axis: np.trapezoid(x, axis=axis),
    "gradient": lambda x, axis: np.gradient(x, axis=axis),
}


@pytest.mark.parametrize("name", WITH_AXIS)
def test_an_invalid_axis_is_an_error(name):
    x = Variable(np.arange(6.0).reshape(2, 3))
    for axis in (-2, -1, 0, 1):
        WITH_AXIS[name](x, axis)
    for axis in (-3, 2, 7):
        message = rf"^np\.{name} expected an axis from -2 to 1, got axis {axis}\.$"
        with pytest.raises(IndexingError, match=message):
            WITH_AXIS[name](x, axis)


@pytest.mark.parametrize("axis", [-1, 52])
def test_einsum_refuses_an_axis_that_has_no_letter(axis):
    """NumPy refuses the same axes."""
    x = Variable(np.eye(2))
    with pytest.raises(ValueError, match=rf"np\.einsum expected axes from 0 to 51, got {axis}\."):
        np.einsum(x, [0, axis], [0])
    with pytest.raises(ValueError, match=r"\[0, 52\)"):
        np.einsum(x.data, [0, axis], [0])


def test_digitize_and_delete_refuse_what_numpy_refuses():
    x = Variable(np.asarray([1.0, 2.0]))
    with pytest.raises(ValueError, match="bins in ascending or descending order, got neither"):
        np.digitize(x, [1.0, 3.0, 2.0])
    with pytest.raises(ValueError, match=r"a mask of shape \(2,\), got \(3,\)"):
        np.delete(x, [True, False, True])


def test_only_python_numbers_in_a_list_adapt_their_dtype():
    """Booleans stay booleans, and arrays keep their dtype."""
    x = Variable(np.asarray([1.0, 2.0], "float32"))
    for given, dtype in (
        ([1, 2], "float32"),
        ([1.5, 2], "float32"),
        ([True, False], "bool"),
        ([np.asarray([1, 2])], "int64"),
        ([np.asarray([1.0, 2.0], "float16")], "float16"),
    ):
        assert as_arrays(x, given)[1].dtype == dtype


@pytest.mark.parametrize(
    "create",
    [
        lambda x: np.zeros(2, like=x),
        lambda x: np.empty((2, 1), like=x),
        lambda x: np.eye(2, like=x),
        lambda x: np.identity(2, like=x),
        lambda x: np.full(2, 0.1, like=x),
        lambda x: np.array([0, 0.1], like=x),
        lambda x: np.arange(0, 1, 0.1, like=x),
        lambda x: np.real(np.zeros(2, like=x * 1j)) + 0.1,
        lambda x: np.real(np.array([0.1j], like=x)),
    ],
)
def test_an_array_like_a_variable_has_at_least_its_digits(backend64, array, create):
    """PyTorch's default is float32, in which 0.1 is another number."""
    x = Variable(array([0.1]))
    assert create(x).dtype == x.dtype


def test_an_array_like_a_variable_has_the_library_s_default_dtype_at_least(backend64, array):
    x = Variable(array([0.1]))
    narrow = F.astype(x, backend64.xp.float32)
    assert np.zeros(2, like=narrow).dtype == backend64.xp.zeros(2).dtype
    assert np.zeros(2, np.float32, like=x).dtype == backend64.xp.float32
    assert np.array([1, 2], like=x).dtype == backend64.xp.asarray([1, 2]).dtype
    assert np.array(narrow, like=x).dtype == narrow.dtype


def test_full_keeps_the_sign_of_zero(backend64, array):
    x = Variable(array([1.0]))
    assert_close(F.signbit(np.full(2, F.asarray(array([-0.0])), like=x)), [True, True])
    assert_close(np.full((2,), True, like=x), [True, True])


@pytest.mark.parametrize(
    "call",
    [
        lambda v, x: np.stack([x, v]),
        lambda v, x: np.stack([v, x]),
        lambda v, x: np.linalg.solve(np.eye(2, like=v) + x[:, None] * x, v),
        lambda v, x: np.linalg.solve(np.linalg.cholesky(np.diag(v)), x),
        lambda v, x: np.where(v > 1.0, x, v),
        lambda v, x: np.convolve(x, v),
    ],
)
def test_an_array_of_the_library_of_a_variable_may_stand_beside_it(backend64, array, call):
    """CuPy's arrays implement NumPy's protocol themselves, and know nothing of Variables."""
    x = array([0.5, 2.0])
    v = array([1.5, 0.5])
    expected = call(np.asarray([1.5, 0.5]), np.asarray([0.5, 2.0]))
    y = call(Variable(v), x)
    assert isinstance(y, Variable)
    assert_close(y, expected, rtol=1e-12)
    check_gradients(lambda v: call(v, x), v)
