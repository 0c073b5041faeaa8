"""Recording: what is computed is recorded, on every library, by every function."""

import copy
import functools
import operator
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from numbers import Number
from types import SimpleNamespace

import array_api_compat as compat
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

import xpnet
from tests.functions.cases import CASES, LACKS
from tests.functions.networks import ROWS
from xpnet import Variable, array_namespace, functions as F
from xpnet._each_step import each_step
from xpnet._libraries import library_of
from xpnet.autodiff import tree
from xpnet.compiler.c import load
from xpnet.compiler.compiled import Compiled, recorded_call
from xpnet.compiler.executors import choose
from xpnet.compiler.executors.library import LibraryExecutor
from xpnet.compiler.record import Value
from xpnet.compiler.recorded_array import RecordedArray
from xpnet.errors import CompileError
from xpnet.testing import assert_close

READS = {
    "unique_all": "shape",
    "unique_counts": "shape",
    "unique_inverse": "shape",
    "unique_values": "shape",
}
"""Functions that cannot be compiled, since the shape of their result depends on values."""


def of_gradients(call, count):
    """A function of arrays: a result of the call, and its gradients for the first `count` arrays."""

    def f(*arrays):
        xs = [Variable(x) for x in arrays[:count]]
        y = call(*xs, *arrays[count:])
        leaves = [leaf for leaf in tree.leaves(y) if getattr(leaf, "requires_grad", False)]
        loss = sum(F.sum(F.abs(leaf) ** 2) for leaf in leaves)
        return y, xpnet.gradients(loss, xs)

    return f


def require_replay(f, batches):
    """Assert that a function of arrays gives the same bits compiled and not.

    On NumPy it is run by its executor in Python too, to rounding.
    """
    numpy = all(isinstance(x, (np.ndarray, np.generic)) for x in batches[0])
    for executor in (LibraryExecutor, partial(choose, library="numpy", forced="numpy"))[
        : 1 + numpy
    ]:
        compiled = Compiled(f, executor=executor)
        for batch in batches:
            expected = [xpnet.to_numpy(x) for x in tree.leaves(f(*batch))]
            found = [xpnet.to_numpy(x) for x in tree.leaves(compiled(*batch))]
            for a, b in zip(found, expected, strict=True):
                assert a.dtype == b.dtype
                if executor is not LibraryExecutor:
                    # NumPy's own rounding depends on the strides and the alignment of its arrays.
                    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
                else:
                    np.testing.assert_array_equal(a, b)
        assert compiled.replays


@pytest.mark.usefixtures("sampled")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # a rule may compute what it does not use
@pytest.mark.parametrize(
    ("name", "number"), [(name, i) for name in sorted(CASES) for i in range(len(CASES[name]))]
)
@settings(
    max_examples=1,
    phases=[Phase.generate],
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_functions_of_the_standard(backend64, name, number, data):
    reason = LACKS.get((name, backend64.name.partition(":")[0]))
    if reason is not None:
        pytest.skip(reason)
    call, hosts = data.draw(CASES[name][number])
    xs = [backend64.asarray(host) for host in hosts]
    if name in READS and backend64.name.startswith("torch"):
        with pytest.raises(NotImplementedError, match="unique_all"):  # of PyTorch
            Compiled(lambda *xs: call(array_namespace(*xs), *xs))(*xs)
        return
    if name in READS:
        with pytest.raises(CompileError, match=READS[name]):
            Compiled(lambda *xs: call(array_namespace(*xs), *xs))(*xs)
        return
    f = of_gradients(lambda *xs: call(array_namespace(*xs), *xs), len(xs))
    batches = [xs] * 4 + [[x * 1.0009765625 for x in xs]]
    require_replay(f, batches)


@pytest.mark.usefixtures("sampled")  # what is recorded are functions of the standard
@pytest.mark.parametrize("name", sorted(ROWS))
def test_functions_of_networks(backend64, name):
    row = ROWS[name]
    xs = [backend64.asarray(host) for host in row.hosts()]
    constant = [backend64.asarray(x) if hasattr(x, "dtype") else x for x in row.constant]
    f = of_gradients(row.call, len(xs))
    require_replay(f, [[*(x * (1.0 - i / 64.0) for x in xs), *constant] for i in range(5)])


# --- arrays that record ---------------------------------------------------------------------------

OPERATORS = [
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"),
    *("lt", "le", "gt", "ge", "eq", "ne"),
]
INTEGERS = ["and_", "or_", "xor", "lshift", "rshift", "add", "mod"]


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("other", ["array", "number", "plain array"])
def test_operators(backend64, name, other):
    function = getattr(operator, name)
    constant = backend64.asarray([0.5, 2.0])

    def f(x, y):
        z = {"array": y, "number": 2.0, "plain array": constant}[other]
        return function(x, z), function(z, x)

    x = backend64.asarray([1.5, 2.0])
    y = backend64.asarray([0.5, 4.0])
    require_replay(f, [(x * (1.0 + i), y) for i in range(5)])


@pytest.mark.parametrize("name", INTEGERS)
def test_operators_of_integers(backend64, name):
    function = getattr(operator, name)
    x = backend64.asarray([5, 9])
    require_replay(
        lambda x, y: (function(x, y), function(x, 2), ~x), [(x + i, x) for i in range(5)]
    )


@pytest.mark.parametrize("name", ["neg", "pos", "abs"])
def test_unary_operators(backend64, name):
    x = backend64.asarray([5.0, -9.0])
    require_replay(getattr(operator, name), [(x + i,) for i in range(5)])


IN_PLACE = ["iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow"]


@pytest.mark.parametrize("name", IN_PLACE)
def test_operators_in_place(backend64, name):
    """Other references to the array see the change, on libraries whose arrays change."""
    function = getattr(operator, name)

    def f(x):
        y = x * 1.0
        same = [y]
        y = function(y, x)
        return y, same[0], same[0] + 1.0

    x = backend64.asarray([1.5, 2.0])
    require_replay(f, [(x * (1.0 + i),) for i in range(5)])


def test_operators_in_place_round_as_the_library_does():
    """x += y with a wider y computes in the wider dtype, and then rounds."""

    def f(x, y):
        z = x * np.float32(1.0)
        z += y
        z *= y
        return z

    rng = np.random.default_rng(0)
    x = rng.random(9, dtype="float32")
    require_replay(f, [(x, rng.random(9)) for _ in range(5)])
    with pytest.raises(TypeError):  # NumPy's error
        Compiled(lambda n: operator.iadd(n * 1, 0.5))(np.ones(2, "int64"))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.T,
        lambda x: x.mT,
        lambda x: x[0, ...],
        lambda x: x[..., None, 1:, ::2],
        lambda x: x[1, ...] + x[:, 0],
        lambda x: x[x.shape[0] - 2 :, ...],
        lambda x: x * x.ndim + compat.size(x),
    ],
)
def test_attributes_and_items(backend64, function):
    x = backend64.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    require_replay(function, [(x + i,) for i in range(5)])


def test_rows_and_lengths():
    x = np.arange(6.0).reshape(3, 2)
    require_replay(lambda x: sum(row for row in x) * len(x), [(x + i,) for i in range(5)])


def test_numpys_own_functions_of_arrays():
    constant = np.array([1.0, 2.0])

    def f(x):
        y = np.exp(x) + np.add.reduce(x, axis=0) + constant * x
        return np.concatenate([y, np.where(x > 1.0, x, np.multiply.outer(x, x)[0, 0])]), np.sum(x)

    x = np.array([[0.5, 1.5]])
    require_replay(f, [(x + i / 4.0,) for i in range(5)])


CONSTANT = np.asarray([0.5, 2.0, -1.0])

WITH_VARIABLES = {
    "a ufunc": lambda x: np.arctan2(CONSTANT, x),
    "a ufunc of a number": lambda x: np.multiply(CONSTANT[1], x),
    "the outer method of a ufunc": lambda x: np.multiply.outer(CONSTANT, x),
    "a choice": lambda x: np.where(CONSTANT > 0.0, CONSTANT, x),
    "a product": lambda x: np.dot(CONSTANT, x),
    "a row of arrays": lambda x: np.concatenate([CONSTANT, x]),
    "a list of numbers": lambda x: np.stack([CONSTANT[1], CONSTANT[0] * x[0]]),
    "a solution": lambda x: np.linalg.solve(np.outer(CONSTANT, CONSTANT) + np.diag(CONSTANT), x),
}
"""NumPy's functions of an array and a Variable; each asks the array first."""


def test_an_array_that_numpy_creates_like_another_is_what_it_is_in_eager_code(backend64):
    """One of the other's library, such as CuPy; NumPy refuses arrays of PyTorch and JAX."""

    def step(x):
        return np.zeros(3, like=x) + x

    x = backend64.asarray([1.0, 2.0, 3.0])
    compiled = xpnet.compile(step)
    try:
        expected = step(x)
    except TypeError as error:
        assert "__array_function__" in str(error)
        with pytest.raises(TypeError, match="__array_function__"):
            compiled(x)
        return
    for _ in range(4):
        y = compiled(x)
        assert type(y) is type(expected)
        assert_close(y, expected)


@pytest.mark.parametrize("name", WITH_VARIABLES)
def test_numpys_functions_of_an_array_and_a_variable_are_differentiated(name):
    slope = xpnet.grad(lambda x: np.sum(WITH_VARIABLES[name](x) ** 2))
    points = [np.asarray([0.3, -0.7, 1.1]) + i for i in range(5)]
    require_replay(slope, [(x,) for x in points])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x * 2.0).sum() - x.mean() + x.max(),
        lambda x: x * (x.reshape(-1).transpose() + x.copy().ravel()).reshape(x.shape),
        lambda x: x.real + x.imag,
        lambda x: x * x.nbytes,
    ],
)
def test_methods_that_arrays_have_beyond_the_standard(function):
    x = np.array([[0.5, 1.5], [2.5, -3.0]])
    require_replay(function, [(x + i,) for i in range(5)])


def test_methods_of_pytorchs_arrays():
    torch = pytest.importorskip("torch")
    x = torch.tensor([[0.5, 1.5], [2.5, -3.0]])
    require_replay(
        lambda x: x.exp().sum(dim=1) + x.permute(1, 0).contiguous().view(-1)[:2],
        [(x + i,) for i in range(5)],
    )


def test_a_method_that_changes_its_array_is_refused_and_done():
    held = SimpleNamespace(x=np.array([3.0, 1.0, 2.0]))

    def step():
        held.x.sort()
        return held.x * 1.0

    recording = recorded_call(step, ())
    assert recording.result.tolist() == held.x.tolist() == [1.0, 2.0, 3.0]
    assert "calls x.sort() of an array" in str(recording.recorder.failures[0])


@functools.singledispatch
def kind_of(x):
    return "another object"


@kind_of.register
def _(x: np.ndarray):
    return "an array"


def matched(x):
    match x:
        case np.ndarray():
            return "an array"
        case _:
            return "another object"


def test_a_type_test_of_an_array_has_the_result_that_it_has_in_eager_code(backend64):
    def step(x):
        number = array_namespace(x).sum(x)
        kinds = [isinstance(x, kind) for kind in (type(array), np.ndarray, np.generic, float)]
        kinds += [isinstance(number, kind) for kind in (type(array), np.generic, float, Number)]
        return x * 2.0, [*kinds, kind_of(x), matched(x), bool(np.isscalar(number))]

    array = backend64.asarray([1.0, 2.0])
    expected = step(array)[1]
    compiled = xpnet.compile(step)
    for _ in range(5):
        assert compiled(array)[1] == expected
    assert compiled.replays


@pytest.mark.parametrize(
    "name", ["flags", "base", "data", "__array_interface__", "__array_struct__"]
)
def test_an_attribute_of_the_memory_of_an_array_is_refused(name):
    step = xpnet.compile(lambda x: x * 2.0 if hasattr(x, name) else x * 3.0)
    with pytest.raises(CompileError, match=r"test_recording\.py:\d+: the step reads "):
        step(np.ones(2))


def test_one_of_numpys_numbers_in_the_state_is_put_back():
    held = SimpleNamespace(total=np.zeros(()))

    def step(x):
        held.total = np.sum(x)

    recorded_call(step, (np.ones(3),))
    assert type(held.total) is np.ndarray
    assert held.total == 3.0


def test_what_is_looked_up_in_arrays_to_recognize_others_is_no_attribute():
    def step(x):
        assert not hasattr(x, "backward")
        assert not hasattr(x, "_xp")
        with pytest.raises(AttributeError, match="ndarray.*no attribute 'sums'"):
            x.sums()
        return x * 1.0

    assert not recorded_call(step, (np.ones(2),)).recorder.failures


def test_what_else_arrays_have_is_refused_and_read():
    recording = recorded_call(lambda x: x * list(x.flat)[1], (np.array([1.0, 2.0]),))
    assert recording.result.tolist() == [2.0, 4.0]
    assert "reads x.flat of an array" in str(recording.recorder.failures[0])


def test_out_is_written_as_numpy_does():
    buffer = np.zeros(2)

    def f(x):
        np.add(x, 1.0, out=buffer)
        return buffer * 2.0

    compiled = Compiled(f, executor=LibraryExecutor)
    for i in range(6):
        assert np.array_equal(compiled(np.full(2, float(i))), [2.0 * i + 2.0] * 2)
    assert len(compiled.replays) == 1


def test_libraries_that_special_functions_are_in():
    scipy = pytest.importorskip("scipy.special")
    x = np.array([0.5, 1.5])
    require_replay(lambda x: scipy.erf(x) * 2.0, [(x + i,) for i in range(5)])


@pytest.mark.parametrize("method", ["set_item", "with_item", "scatter_add", "last_at"])
def test_what_the_standard_lacks_is_one_operation(backend64, method):
    places = backend64.asarray([2, 0, 2])

    def f(x, y):
        library = library_of(x)
        if method == "last_at":
            return library.last_at(places, 4)
        if method == "scatter_add":
            return library.scatter_add(x * 1.0, places, y)
        return getattr(library, method)(x * 1.0, (slice(1, 4),), y)

    x = backend64.asarray([1.0] * 4)
    y = backend64.asarray([1.0, 2.0, 3.0])
    require_replay(f, [(x + i, y * i) for i in range(5)])
    names = [o.name for o in recorded_call(f, (x, y)).program.operations]
    expected = "set_item" if "item" in method else method
    assert names == (["last_at"] if method == "last_at" else ["multiply", expected])


def test_creation_is_recorded_and_not_foreign(backend64):
    def f(x):
        made = F.zeros(2) + F.arange(2.0) + F.asarray([1.0, 2.0]) + F.full(2, 0.5)
        return made * x + Variable([3.0, 4.0]).data + F.linspace(0.0, 1.0, 2)

    x = backend64.asarray([1.0, 2.0])
    require_replay(f, [(x + i,) for i in range(5)])
    assert not recorded_call(f, (x,)).recorder.foreign


def test_device_and_namespace(backend64):
    x = backend64.asarray([1.0, 2.0])

    def f(x):
        xp = compat.array_namespace(x)
        assert compat.device(x) == backend64.device
        assert xp.isdtype(x.dtype, "real floating")
        assert xp.result_type(x, xp.float32) == backend64.xp.float64
        return compat.to_device(x * 2.0, compat.device(x))

    require_replay(f, [(x + i,) for i in range(5)])


def test_operations_know_the_line():
    def f(x):
        y = x * 2.0
        return F.softmax(y)

    operations = recorded_call(f, (np.ones(3),)).program.operations
    first = f.__code__.co_firstlineno
    file = f.__code__.co_filename
    assert [o.where for o in operations][:2] == [f"{file}:{first + 1}", f"{file}:{first + 2}"]


def test_a_record_refers_to_no_arrays_but_constants():
    def f(x):
        return x * F.asarray([1.0, 2.0]) + 1.0

    program = recorded_call(f, (np.ones(2),)).program

    def values(operation):
        return list(tree.leaves((operation.args, [*operation.options.values()])))

    for operation in program.operations:
        for x in values(operation):
            assert isinstance(x, type) or not compat.is_array_api_obj(x)
            assert not isinstance(x, RecordedArray)
            assert not isinstance(x, Value) or x.array is None


# --- after the recording, and in other threads ----------------------------------------------------


def left_over(backend):
    """A recording array that outlives its recording."""
    kept = threading.local()  # which is not looked into
    recorded_call(lambda x: setattr(kept, "x", x * 2.0), (backend.asarray([1.0, 2.0]),))
    return kept.x


def test_an_array_that_is_left_over_computes_as_the_librarys(backend64):
    x = left_over(backend64)
    kind = type(backend64.asarray([1.0]))
    assert isinstance(x, RecordedArray)
    assert type(x + 1.0) is kind
    assert type(backend64.xp.exp(x.array)) is kind
    assert type(F.exp(x)) is kind
    assert float(F.sum(x)) == 6.0
    assert np.array_equal(xpnet.to_numpy(x), [2.0, 4.0])
    assert type(copy.deepcopy(x)) is kind
    assert np.array_equal(xpnet.to_numpy(copy.copy(x)), [2.0, 4.0])


def test_copies_and_pickles_are_the_librarys():
    x = left_over(xpnet.current())
    assert type(pickle.loads(pickle.dumps(x))) is np.ndarray
    assert np.array_equal(np.asarray(x), [2.0, 4.0])


USES = {
    "float": lambda x: float(x[0]),
    "a function of NumPy": np.sum,
    "an operator": lambda x: x * 2.0,
    "a function of xpnet": F.exp,
    "np.asarray": np.asarray,
    "a change": lambda x: operator.iadd(x, 1.0),
}


@pytest.mark.parametrize("use", USES)
def test_what_the_step_computes_in_another_thread_is_refused(use):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()  # its thread is older than the recording

        def step(x):
            y = x * 1.0
            return y * float(np.ravel(pool.submit(USES[use], y).result())[0])

        with pytest.raises(
            CompileError, match=r"test_recording\.py:\d+: the step (calls|reads|changes) "
        ):
            Compiled(step)(np.ones(2))


@pytest.mark.parametrize("use", [use for use in USES if use != "a change"])
def test_what_an_action_reads_of_the_arrays_of_its_step_is_refused(use):
    """A replay would call it with the array of the recording."""

    def step(x):
        y = x * 1.0
        return y * each_step(lambda: float(np.ravel(USES[use](y))[0]))

    with pytest.raises(CompileError, match=r"test_recording\.py:\d+: the step (calls|reads) "):
        Compiled(step)(np.ones(2))


def test_an_action_that_computes_with_a_number_of_the_step_is_refused():
    def step(x):
        rate = each_step(lambda: 0.5)
        return x * each_step(lambda: rate * 2.0)

    with pytest.raises(CompileError, match="the step calls an operator .* in an action"):
        Compiled(step)(np.ones(2))


def test_an_action_may_read_the_state():
    w = SimpleNamespace(array=np.ones(2))
    step = Compiled(lambda x: x * each_step(lambda: float(np.sum(w.array))))
    for i in range(6):
        w.array[0] = i
        assert step(np.ones(1)).tolist() == [i + 1.0]
    assert step.replays


def test_another_thread_may_compute_with_the_state():
    w = SimpleNamespace(array=np.ones(2), other=np.ones(2))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()

        def step(x):
            w.other = w.array * x
            monitor = pool.submit(lambda: float(np.sum(w.array)) + float(np.sum(w.other)))
            assert monitor.result() == 4.0
            return w.array * x

        assert not recorded_call(step, (np.ones(2),)).recorder.failures


def test_a_pickle_in_a_step_is_refused():
    def step(x):
        return x * float(pickle.loads(pickle.dumps(x)).sum())

    with pytest.raises(
        CompileError, match=r"test_recording\.py:\d+: the step reads a value: pickle"
    ):
        Compiled(step)(np.ones(2))


def test_an_array_of_objects_is_refused():
    double = np.frompyfunc(lambda x: x * 2.0, 1, 1)
    for step in (lambda x: double(x).astype(float), lambda x: x.astype(object).astype(float)):
        with pytest.raises(CompileError, match=r"test_recording\.py:\d+: .*Python's objects"):
            Compiled(step)(np.ones(2))


def test_errors_of_floats_within_the_step_are_refused():
    def step(x):
        with np.errstate(divide="raise"):
            try:
                return 1.0 / x
            except FloatingPointError:
                return x

    with pytest.raises(CompileError, match=r"test_recording\.py:\d+: .*np\.errstate"):
        Compiled(step)(np.ones(2))
    with np.errstate(divide="raise"):
        assert Compiled(lambda x: 1.0 / x)(np.ones(2)).tolist() == [1.0, 1.0]


# --- what NumPy's functions change ----------------------------------------------------------------


def written_into(ufunc, *inputs, dtype="float64", **options):
    """A function of two arrays: a ufunc that writes into a new one."""

    def f(x, y):
        out = np.zeros_like(x, dtype=dtype)
        ufunc(
            *(given(x, y) for given in inputs), out=out, **{k: v(x, y) for k, v in options.items()}
        )
        return out, out * 2

    return f


@pytest.mark.parametrize(
    "function",
    [
        written_into(np.divide, lambda x, y: x, lambda x, y: y, where=lambda x, y: y != 0.0),
        written_into(np.add, lambda x, y: x, lambda x, y: y, dtype="float32"),
        written_into(np.add, lambda x, y: x.astype("float32"), lambda x, y: 0.1),
        written_into(np.subtract, lambda x, y: 1.0, lambda x, y: y),
        written_into(np.add, lambda x, y: x[0], lambda x, y: 1.0),
        written_into(np.greater, lambda x, y: x, lambda x, y: y, dtype="bool"),
        lambda x, y: np.add.reduce(x, axis=1, out=np.zeros_like(x[0])),
        lambda x, y: np.add.accumulate(x, axis=1, out=np.zeros_like(x)),
    ],
    ids=["where", "narrow", "wide", "number", "broadcast", "bool", "reduce", "accumulate"],
)
def test_out_with_other_options_and_dtypes(function):
    x = np.arange(9.0).reshape(3, 3) / 7.0
    y = np.array([[0.0, 1.0, 2.0]] * 3)
    require_replay(function, [(x * (1.0 + i), np.roll(y, i)) for i in range(5)])


@pytest.mark.parametrize(
    "function",
    [
        lambda x, out: np.sum(x, axis=0, out=out),
        lambda x, out: np.clip(x[0], 0.5, 1.0, out=out),
        lambda x, out: np.take(x[0], [2, 1, 0], out=out),
        lambda x, out: array_namespace(x).add(x[0], 1.0, out=out),
    ],
    ids=["sum", "clip", "take", "namespace"],
)
def test_out_of_functions_that_are_no_ufuncs(function):
    def f(x):
        out = x[0] * 1.0
        return function(x, out) * 2.0, out

    x = np.arange(9.0).reshape(3, 3) / 7.0
    require_replay(f, [(x + i,) for i in range(5)])


def test_out_of_pytorchs_functions():
    torch = pytest.importorskip("torch")

    def f(x):
        out = x * 1.0
        array_namespace(x).add(x, x, out=out)
        return out * 2.0

    require_replay(f, [(torch.ones(2) * i,) for i in range(5)])
    with pytest.raises(CompileError, match="calls relu_, which changes an array"):
        Compiled(lambda x: array_namespace(x).relu_(x * 2.0))(torch.ones(2))


def test_two_arrays_in_out_are_refused_and_written():
    def f(x):
        parts = np.zeros_like(x), np.zeros_like(x)
        np.modf(x, out=parts)
        return parts[0] + 2.0 * parts[1]

    recording = recorded_call(f, (np.array([1.5, 2.25]),))
    assert recording.result.tolist() == [2.5, 4.25]
    assert "calls modf, which writes into several arrays" in str(recording.recorder.failures[0])


TWICE = np.array([0, 0, 2])


def in_place(change):
    """A function that changes a copy of an array, which it returns."""

    def f(x, y):
        z = x * 1.0
        change(z, y)
        return z, z + 1.0

    return f


@pytest.mark.parametrize(
    "change",
    [
        lambda z, y: np.add.at(z, TWICE, y),
        lambda z, y: np.fill_diagonal(z, 7.0),
        lambda z, y: np.copyto(z, y),
        lambda z, y: np.copyto(z, y, where=y > 0.0),
        lambda z, y: np.put(z, [1, 2], y[0]),
        lambda z, y: np.putmask(z, y > 0.0, y),
        lambda z, y: np.place(z, z > 0.0, [5.0]),
        lambda z, y: np.put_along_axis(z, TWICE[:, None], 9.0, axis=1),
    ],
    ids=["at", "fill_diagonal", "copyto", "copyto where", "put", "putmask", "place", "along axis"],
)
def test_functions_of_numpy_that_change_an_array(change):
    x = np.arange(9.0).reshape(3, 3)
    y = np.linspace(-1.0, 1.0, 9).reshape(3, 3)
    require_replay(in_place(change), [(x + i, np.roll(y, i)) for i in range(5)])


def test_a_parameter_that_a_function_of_numpy_changes():
    p = xpnet.Parameter(np.zeros(2))
    compiled = Compiled(lambda y: np.copyto(p.data, y), executor=LibraryExecutor)
    for i in range(6):
        compiled(np.full(2, float(i)))
        assert p.data.tolist() == [i, i]
    assert compiled.replays


def test_an_array_of_elsewhere_that_a_function_of_numpy_changes():
    def f(x):
        new = np.zeros(2)
        np.copyto(new, x)
        return new

    with pytest.raises(CompileError, match="calls np.copyto, which writes into another array"):
        Compiled(f)(np.ones(2))


@pytest.mark.parametrize(
    "read",
    [
        lambda x: np.allclose(x, 1.0),
        lambda x: np.array_equal(x, x),
        lambda x: np.array2string(x),
        lambda x: (
            array_namespace(x).__name__ and np.isclose(x, 1.0).all() and np.array_equiv(x, 1.0)
        ),
    ],
)
def test_results_that_are_no_arrays_are_refused(read):
    with pytest.raises(CompileError, match=r"test_recording\.py:\d+: the step "):
        Compiled(lambda x: (read(x), x * 1.0)[1])(np.ones(2))


@pytest.mark.parametrize(
    "fact",
    [
        lambda x: np.shape(x)[0] + np.ndim(x) + np.size(x),
        lambda x: 1.0 if np.result_type(x, np.float32) == np.float64 else 2.0,
        lambda x: 1.0 if np.iscomplexobj(x) or np.can_cast(x.dtype, "float32") else 2.0,
        lambda x: 1.0 if np.may_share_memory(x, x) else 2.0,
    ],
)
def test_facts_of_shape_and_dtype_are_read(fact):
    require_replay(lambda x: x * fact(x), [(np.arange(3.0) + i,) for i in range(5)])


@pytest.mark.parametrize(
    "function",
    [
        np.flatnonzero,
        lambda x: np.bincount(x.astype(int)),
        np.where,
        lambda x: np.compress(x > 1.0, x),
        lambda x: np.extract(x > 1.0, x),
        np.argwhere,
        np.trim_zeros,
        lambda x: np.intersect1d(x, x),
        lambda x: np.union1d(x, x),
        lambda x: np.setdiff1d(x, x),
        np.unique,
        lambda x: np.repeat(x, x.astype(int)),
        lambda x: x.repeat(x.astype(int)),
        lambda x: np.delete(x, x.astype(int)),
    ],
)
def test_shapes_that_depend_on_values_are_refused(function):
    with pytest.raises(CompileError, match="shape that depends on values"):
        Compiled(function)(np.array([0.0, 1.0, 2.0]))


@pytest.mark.parametrize("name", ["numpy", "c"])
def test_a_shape_that_depends_on_values_is_refused_in_the_replay(name):
    """In a function of which the recording does not know that: what it returns would be broadcast."""
    if name == "c":
        try:
            load.wait()
        except CompileError as error:
            pytest.skip(str(error))

    def first(row):
        return row[: int(row[0])]

    def f(x):
        return np.apply_along_axis(first, 0, x) * 2.0

    compiled = Compiled(f, executor=partial(choose, library="numpy", forced=name))
    for _ in range(4):
        compiled(np.array([3.0, 2.0, 1.0]))
    with pytest.raises(CompileError, match=r"returns an array of shape \(1,\) in a replay"):
        compiled(np.array([1.0, 2.0, 1.0]))


def test_an_array_that_another_thread_changes_is_refused():
    w = SimpleNamespace(array=np.zeros(2))

    def f(x):
        def change():
            w.array += 1.0

        thread = threading.Thread(target=change)
        thread.start()
        thread.join()
        return w.array * x

    with pytest.raises(
        CompileError, match=r"test_recording\.py:\d+: the step changes an array in an"
    ):
        Compiled(f)(np.ones(2))
    assert w.array.tolist() == [1.0, 1.0]


DRAWS = {
    "numpy": lambda xp: xp.random.standard_normal(3),
    "cupy": lambda xp: xp.random.standard_normal(3),
    "torch": lambda xp: xp.randn(3),
}


def test_numbers_that_the_library_draws_are_refused(backend):
    """A pass would compute them once, and each replay would repeat them."""
    draw = DRAWS.get(library_of(backend.asarray(0.0)).name)
    if draw is None:
        pytest.skip("the namespace of the library draws no numbers")
    step = Compiled(lambda x: x + draw(array_namespace(x)))
    with pytest.raises(CompileError, match=r"draws random numbers\. Draw them in an action"):
        step(backend.asarray(np.ones(3)))
