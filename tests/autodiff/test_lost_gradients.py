"""The number of a Variable is taken without its gradient only where the code says so.

In a function that is differentiated, that is `float(x)`, `complex(x)` or text; everything else that
asks for the number is an error. In a training loop, which calls `backward`, all of them give the
number, as in PyTorch.
"""

import array
import builtins
import cmath
import ctypes
import math
import operator
import statistics
import struct
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import xpnet
from xpnet import GradientError, Parameter, Variable, functions as F, to_numpy
from xpnet.testing import assert_close, check_gradients


def item(a, x):
    a[0] = x


def several(a, x):
    a[0], a[1] = x, x


def added(a, x):
    a[0] += x


def by_a_loop(a, x):
    for a[0] in [x]:
        pass


def in_two_dimensions(a, x):
    a[:, None][1, 0] = x


def of_a_record(a, x):
    b = a.view([("mass", float)])
    b[0]["mass"] = x


def of_a_buffer(a, x):
    memoryview(a)[0] = x


def of_an_attribute(a, x):
    class Point(ctypes.Structure):
        _fields_ = (("x", ctypes.c_double),)

    point = Point()
    point.x = x


STORES = {
    "item": item,
    "several items": several,
    "an item, +=": added,
    "an item, by a loop": by_a_loop,
    "an item of a view": in_two_dimensions,
    "an item of a record": of_a_record,
    "a buffer": of_a_buffer,
    "an array of Python's": lambda a, x: item(array.array("d", [0.0]), x),
    "an attribute": of_an_attribute,
}


def of_a_loop(a, x):
    for y in map(math.sin, [x]):
        a[0] = y


def of_an_unpacked_iterator(a, x):
    (y,) = map(math.sin, [x])
    return y


def on_several_lines(a, x):
    return math.exp(
        x * float(3),
    )


CALLS = {
    "array.fill": lambda a, x: a.fill(x),
    "array.__setitem__": lambda a, x: a.__setitem__(0, x),
    "ndarray.__setitem__": lambda a, x: np.ndarray.__setitem__(a, 0, x),
    "operator.setitem": lambda a, x: operator.setitem(a, 0, x),
    "np.fromiter": lambda a, x: np.fromiter([x, x], float),
    "np.sum, initial": lambda a, x: np.sum(a, initial=x),
    "array.array": lambda a, x: array.array("d", [x]),
    "ctypes": lambda a, x: ctypes.c_double(x),
    "math.sin": lambda a, x: math.sin(x),
    "math.hypot, unpacked": lambda a, x: math.hypot(*[x, x]),
    "math.fsum": lambda a, x: math.fsum([x]),
    "cmath.exp": lambda a, x: cmath.exp(x),
    "statistics.fmean": lambda a, x: statistics.fmean([x]),
    "math.sin, in a loop": of_a_loop,
    "math.sin, unpacked": of_an_unpacked_iterator,
    "math.sin, in a list": lambda a, x: [*map(math.sin, [x])],
    "float, by another name": lambda a, x: list(map(float, [x])),
    "math.sin, with a float beside it": lambda a, x: [float(2), math.sin(x)],
    "math.exp, with a float in it": lambda a, x: math.exp(x / float(3)),
    "math.exp, with a float in front": lambda a, x: math.exp(float(3) * x),
    "math.exp, on several lines": on_several_lines,
}
SCIPY = {
    "quad, of the function": lambda s: lambda a, x: s.integrate.quad(lambda t: t * x, 0.0, 1.0),
    "quad, of a limit": lambda s: lambda a, x: s.integrate.quad(lambda t: t, 0.0, x),
    "brentq": lambda s: lambda a, x: s.optimize.brentq(lambda t: t - x, -9.0, 9.0),
}
DERIVATIVES = {
    "grad": xpnet.grad,
    "value_and_grad": xpnet.value_and_grad,
    "jacobian": xpnet.jacobian,
    "jacobian, by columns": lambda f: xpnet.jacobian(f, columns=True),
    "hessian": xpnet.hessian,
    "hvp": lambda f: lambda x: xpnet.hvp(f)(x, x),
    "vjp": lambda f: lambda x: xpnet.vjp(f, x),
    "jvp": lambda f: lambda x: xpnet.jvp(f, (x,), (x,)),
}


def beside(take, a=None):
    """A function that takes the number of something computed from x, and does not lose all of x."""

    def f(x):
        take(np.zeros(3) if a is None else a, F.sum(x) * 3.0)
        return F.sum(x * x)

    return f


@pytest.mark.parametrize("name", STORES)
def test_a_store_is_an_error_in_a_function_that_is_differentiated(backend64, array, name):
    with pytest.raises(GradientError, match=r"np\.zeros\(n, like=x\)"):
        xpnet.grad(beside(STORES[name]))(array([0.25, 0.75]))


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_takes_the_number_is_an_error_in_a_function_that_is_differentiated(name):
    with xpnet.using("numpy"), pytest.raises(GradientError, match=r"np\.sin\(x\).*custom_rule"):
        xpnet.grad(beside(CALLS[name]))(np.asarray([0.25, 0.75]))


@pytest.mark.parametrize("name", SCIPY)
def test_scipy_s_integral_and_root_are_errors_in_a_function_that_is_differentiated(name):
    pytest.importorskip("scipy", reason="its integrals and roots call C")
    import scipy.integrate
    import scipy.optimize

    with pytest.raises(GradientError, match="custom_rule"):
        xpnet.grad(beside(SCIPY[name](scipy)))(np.asarray([0.25, 0.75]))


@pytest.mark.parametrize("take", [item, CALLS["math.sin"]])
@pytest.mark.parametrize("name", DERIVATIVES)
def test_all_derivatives_refuse_to_lose_a_gradient(name, take):
    with pytest.raises(GradientError, match="no gradient|would be lost"):
        DERIVATIVES[name](beside(take))(np.asarray([0.25, 0.75]))


def test_a_compiled_derivative_refuses_to_lose_a_gradient():
    step = xpnet.compile(xpnet.grad(beside(CALLS["math.sin"])))
    with pytest.raises(xpnet.XpnetError, match="would be lost"):
        step(np.asarray([0.25, 0.75]))


@pytest.mark.parametrize(
    "take", [lambda a, x: operator.setitem(a.flat, 0, x), lambda a, x: struct.pack("d", x)]
)
def test_an_error_that_another_library_replaces_is_an_error_still(take):
    """C code may discard the error of `__float__`, and raise one of its own."""
    with pytest.raises((TypeError, ValueError, struct.error)):
        xpnet.grad(beside(take))(np.asarray([0.25, 0.75]))


# --- the number is wanted -------------------------------------------------------------------------


def of_a_comprehension(x):
    return sum([float(y) for y in [x, x]])


def of_a_call_on_several_lines(x):
    return float(
        x,
    )


def stored_as_float(x):
    a = np.zeros(3)
    a[0] = float(x)
    return a[0]


def as_an_argument(x):
    return math.floor(math.pow(float(x), 1))


WANTED = {
    "float": lambda x: float(x),
    "builtins.float": lambda x: builtins.float(x),
    "complex": lambda x: complex(x),
    "a comprehension": of_a_comprehension,
    "on several lines": of_a_call_on_several_lines,
    "stored as a float": stored_as_float,
    "an argument": as_an_argument,
    "a condition": lambda x: 1 if float(x) > 0 else 0,
    "text, by %": lambda x: "%.1f" % x,  # noqa: UP031
    "text, by %, of several": lambda x: "%s %.1f" % ("x", x),  # noqa: UP031
    "text, by f": lambda x: f"{float(x):.1f}",
    "text, by format": lambda x: format(x, ".1f"),
    "text, by print": lambda x: print(x),  # noqa: T201
    "math.floor": lambda x: math.floor(x),
    "math.isnan": lambda x: math.isnan(x),
    "math.isclose": lambda x: math.isclose(x, 2.0),
    "int": lambda x: int(x),
    "stop_gradient": lambda x: math.sin(F.stop_gradient(x)),
    "no_grad": lambda x: within_no_grad(x),
}


def within_no_grad(x):
    with xpnet.no_grad():
        return math.sin(x * 2.0)


@pytest.mark.parametrize("name", WANTED)
def test_a_number_that_is_asked_for_is_given(name):
    def f(x):
        WANTED[name](F.sum(x) * 3.0)
        return F.sum(x * x)

    assert xpnet.grad(f)(np.asarray([0.25, 0.75])).tolist() == [0.5, 1.5]


@pytest.mark.parametrize("name", [*STORES, *CALLS])
def test_a_training_loop_gets_the_number(name):
    """As PyTorch's does: `losses[i] = loss` is as common there as `float(loss)`."""
    take = (STORES | CALLS)[name]
    w = Parameter(np.asarray([0.25, 0.75]))
    beside(take)(w).backward()
    assert_close(w.grad, [0.5, 1.5])


def test_a_training_loop_stores_its_losses():
    losses = np.zeros(3)
    w = Parameter(np.asarray(2.0))
    for i in range(3):
        loss = w * w
        losses[i] = loss
        w.zero_grad()
        loss.backward()
        w -= 0.25 * w.grad
    assert losses.tolist() == [4.0, 1.0, 0.25]


def test_a_loss_of_stored_numbers_alone_is_an_error_in_a_training_loop():
    w = Parameter(np.asarray(2.0))
    a = np.zeros(3)
    a[0] = w * 3.0
    with pytest.raises(GradientError, match=r"array\[i\] = x"):
        F.sum(Variable(a, requires_grad=False)).backward()


def test_check_gradients_finds_what_a_layer_loses():
    """The limit of a training loop, and the way to find what it cannot refuse."""

    def forward(x):
        y = np.zeros(2)
        y[0] = x[0] * 3.0
        return x * x + y

    x = Parameter(np.asarray([0.25, 0.75]))
    F.sum(forward(x)).backward()
    assert_close(x.grad, [0.5, 1.5])  # of x * x only, as in PyTorch
    with pytest.raises(AssertionError, match="Derivative of order 1"):
        check_gradients(forward, to_numpy(x))
    with pytest.raises(GradientError, match="like=x"):
        xpnet.grad(lambda x: F.sum(forward(x)))(to_numpy(x))


# --- the versions of Python -----------------------------------------------------------------------


def both(x):
    """A wanted number and a lost one, in one function: they are told apart at each run."""
    y = float(x)
    a = np.zeros(1)
    a[0] = x
    return y


def refused(f):
    x = np.asarray(2.0)
    with pytest.raises(GradientError, match=r"like=x|would be lost"):
        xpnet.grad(lambda x: f(x) * x)(x)


def test_instructions_that_python_has_specialized_are_recognized():
    """After some runs, Python replaces instructions by faster ones: STORE_SUBSCR_LIST_INT."""

    def store(a, x):
        a[0] = x

    def take(x):
        return float(x)

    def f(x):
        store(np.zeros(1), x)
        return x * x

    def g(x):
        return take(x) * x

    for _ in range(100):
        store([0], 1.0)
        take(1.0)
    refused(f)
    assert xpnet.grad(g)(np.asarray(3.0)) == 3.0


@pytest.mark.parametrize("how", ["settrace", "setprofile"])
def test_a_traced_function_is_recognized(how, monkeypatch):
    """A debugger, or coverage.py, instruments the code."""

    def ignore(frame, event, argument):
        frame.f_trace_opcodes = how == "settrace"
        return ignore

    before = getattr(sys, how.replace("set", "get"))()
    getattr(sys, how)(ignore)
    try:
        refused(both)
        gradient = xpnet.grad(lambda x: float(x) * x)(np.asarray(3.0))
    finally:
        getattr(sys, how)(before)
    assert gradient == 3.0


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is new in Python 3.12")
def test_a_monitored_function_is_recognized():
    """Each instruction is replaced by an instrumented one."""
    tool, events = sys.monitoring.PROFILER_ID, sys.monitoring.events
    sys.monitoring.use_tool_id(tool, "test")
    seen = []
    sys.monitoring.register_callback(
        tool, events.INSTRUCTION, lambda code, place: seen.append(code)
    )
    sys.monitoring.set_events(tool, events.INSTRUCTION | events.CALL)
    try:
        refused(both)
        gradient = xpnet.grad(lambda x: float(x) * x)(np.asarray(3.0))
    finally:
        sys.monitoring.set_events(tool, 0)
        sys.monitoring.free_tool_id(tool)
    assert gradient == 3.0
    assert both.__code__ in seen


def test_an_instruction_that_is_unknown_is_no_obstacle(monkeypatch):
    """The name `float` is found in any version; the instruction chooses the words only."""
    monkeypatch.setattr("opcode.opname", ["UNKNOWN"] * 256)
    refused(both)
    assert xpnet.grad(lambda x: float(x) * x)(np.asarray(3.0)) == 3.0


def wants(x):
    return float(x) * x


def loses(x):
    return math.sin(x) * x


def test_code_without_positions_is_recognized_by_its_names(monkeypatch):
    """Generated code may have none."""
    for f in (wants, loses):
        monkeypatch.setattr(f, "__code__", f.__code__.replace(co_linetable=b""))
    refused(loses)
    assert xpnet.grad(wants)(np.asarray(3.0)) == 3.0


def test_without_columns_the_line_decides():
    """With `python -X no_debug_ranges`, a line with float(...) may take other numbers as well."""
    program = textwrap.dedent("""
        import math
        import numpy as np, xpnet

        def wants(x):
            return float(x) * x

        def loses(x):
            y = float(2)
            return math.sin(x) * x

        assert [*wants.__code__.co_positions()][-1][2] is None
        assert xpnet.grad(wants)(np.asarray(3.0)) == 3.0
        try:
            xpnet.grad(loses)(np.asarray(3.0))
        except xpnet.GradientError as error:
            print(error)
    """)
    command = [sys.executable, "-X", "no_debug_ranges", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "would be lost" in done.stdout
