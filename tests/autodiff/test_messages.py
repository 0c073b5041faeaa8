"""Error messages: what was expected, what was given, and where."""

import pytest

from xpnet import BackendError, ShapeError, Variable, functions as F, to_numpy, using
from xpnet.autodiff._messages import explain


def message(error):
    """An error's message and notes, as Python prints them."""
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


# --- shapes and axes ------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [F.add, F.maximum, F.pow, F.atan2, F.clip, F.less])
@pytest.mark.parametrize("tracked", [False, True])
def test_shapes_that_do_not_broadcast_raise(backend, array, f, tracked):
    """The message is the same for every library, for arrays and for Variables."""
    x1, x2 = array([[1.0, 2.0, 3.0]]), array([[1.0, 2.0], [3.0, 4.0]])
    if tracked:
        x1 = Variable(x1)
    with pytest.raises(ShapeError) as caught:
        f(x1, x2)
    assert message(caught.value).lower() == (
        f"{f.__name__} expected shapes that broadcast, got (1, 3) and (2, 2): counted from the "
        "end, axis -1 has lengths 3 and 2."
    )


def test_operators_name_the_function_and_the_shapes(backend, array):
    v = Variable(array([1.0, 2.0]))
    with pytest.raises(ShapeError, match=r"multiply expected shapes .* got \(2,\) and \(3,\)"):
        v * array([1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match=r"Where expected shapes that broadcast"):
        F.where(v > 1.0, v, array([1.0, 2.0, 3.0]))


AXES = {
    "concat": lambda x: F.concat([x, x], axis=2),
    "cumulative_sum": lambda x: F.cumulative_sum(x, axis=2),
    "diff": lambda x: F.diff(x, axis=2),
    "expand_dims": lambda x: F.expand_dims(x, axis=4),
    "flip": lambda x: F.flip(x, axis=(0, 2)),
    "max": lambda x: F.max(x, axis=(0, -3)),
    "mean": lambda x: F.std(x, axis=2),
    "moveaxis": lambda x: F.moveaxis(x, 2, 0),
    "permute_dims": lambda x: F.permute_dims(x, (0, 2)),
    "rfft": lambda x: F.fft.rfft(x, axis=2),
    "roll": lambda x: F.roll(x, 1, axis=2),
    "sort": lambda x: F.sort(x, axis=2),
    "squeeze": lambda x: F.squeeze(x, axis=2),
    "sum": lambda x: F.sum(x, axis=2),
    "take": lambda x: F.take(x, F.asarray([0]), axis=2),
    "unstack": lambda x: F.unstack(x, axis=2),
    "vector_norm": lambda x: F.linalg.vector_norm(x, axis=2),
}


@pytest.mark.parametrize("name", AXES)
def test_an_axis_out_of_range_raises(backend, array, name):
    """The message names the function, the range and the axis, and is the same on every library."""
    words = rf"^{name} expected an axis from -\d to \d, got axis -?\d: it is out of range\."
    for x in (array([[1.0], [2.0]]), Variable(array([[1.0], [2.0]]))):
        with pytest.raises(IndexError, match=words):
            AXES[name](x)


def test_an_axis_of_a_single_number_raises(backend, array):
    words = "^sum expected no axis, for a single number, got axis 0: it is out of range"
    with pytest.raises(IndexError, match=words):
        F.sum(Variable(array(1.0)), axis=0)


def test_an_error_of_the_library_gets_a_note(backend, array):
    """The note says what the function was given; the library's message stays."""
    with pytest.raises(
        Exception, match=r"Reshape was given an array of float32, shape \(3,\), on "
    ) as caught:
        F.reshape(Variable(array([1.0, 2.0, 3.0])), (2, 2))
    assert len(caught.value.__notes__) == 1


# --- dtypes ---------------------------------------------------------------------------------------


def test_an_unsupported_dtype_raises_with_the_name_of_the_function():
    """array-api-strict follows the standard; other libraries may promote."""
    with using("array_api_strict") as backend:
        v = Variable(backend.asarray([1, 2, 3]))
        with pytest.raises(
            TypeError,
            match=r"floating-point.*\n?sin was given an array of int64, shape \(3,\), on ",
        ):
            F.sin(v)
        with pytest.raises(TypeError, match="bitwise_and was given an array of float32"):
            F.bitwise_and(Variable(backend.asarray([1.0])), 1)


def test_take_requires_integers(backend, array):
    with pytest.raises(TypeError, match="take expected indices of integers, got .*float32"):
        F.take(Variable(array([1.0, 2.0])), array([0.0]))


@pytest.mark.parametrize("key", ["a", 1.0, (0, "a"), True])
def test_an_invalid_key_raises(backend, array, key):
    with pytest.raises(
        IndexError, match=r"x\[key\] expected integers, slices, .* got .*(str|float|bool)"
    ):
        Variable(array([[1.0, 2.0]]))[key]


# --- libraries and devices ------------------------------------------------------------------------


@pytest.mark.parametrize("f", [F.add, F.matmul, F.where, F.hypot])
def test_arrays_of_different_libraries_raise(backend, array, f):
    """In either order: nothing is moved to another library silently."""
    other = "numpy" if backend.name != "numpy" else "array_api_strict"
    with using(other) as there:
        b = Variable(there.asarray([1.0]))
    a = Variable(array([1.0]))
    for x1, x2 in ((a, b), (b, a), (a, b.data), (b, a.data)):
        arguments = (x1 > 0.0, x1, x2) if f is F.where else (x1, x2)
        with pytest.raises(TypeError, match="Arrays of different libraries do not mix: .* and "):
            f(*arguments)


def test_arrays_on_different_devices_raise():
    with using("array_api_strict:device1") as here, using("array_api_strict:device2") as there:
        a, b = Variable(here.asarray([1.0])), Variable(there.asarray([1.0]))
    words = r"multiply expected its arrays on one device, got .*device[12].* and .*device[12].*to_device"
    for x1, x2 in ((a, b), (b, a), (a, b.data)):
        with pytest.raises(BackendError, match=words):
            F.multiply(x1, x2)
    moved = a.to_device(b.device)
    F.sum(moved * b).backward()
    assert a.grad.device == a.device
    assert to_numpy(a.grad).tolist() == [1.0]


def test_explain_leaves_an_error_that_it_cannot_explain():
    """It adds what the function was given; scalars are shown by their value."""

    error = ValueError("strange")
    explain(error, "f", [2.0, None], broadcasts=True)
    assert message(error) == "strange\nf was given 2.0; None"
