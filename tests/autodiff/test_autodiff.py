"""Variables, Functions and the walk: against formulas."""

import gc
import math
import weakref

import numpy as np
import pytest

import xpnet
from xpnet import (
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
from xpnet.testing import assert_close, check_gradients


def test_gradient_of_a_product_is_the_other_factor(backend64, array):
    """d(ab)/da = b and d(ab)/db = a."""
    a, b = Variable(array([2.0, 3.0])), Variable(array([5.0, 7.0]))
    F.sum(a * b).backward()
    assert_close(a.grad, [5.0, 7.0])
    assert_close(b.grad, [2.0, 3.0])


def test_gradients_of_two_paths_add_up(backend64, array):
    """A Variable that is used twice gets the sum of both gradients: (x^2 + 3x)' = 2x + 3."""
    x = Variable(array(4.0))
    (x * x + 3.0 * x).backward()
    assert_close(x.grad, 11.0)


def test_backward_twice_adds_and_zero_grad_forgets(backend64, array):
    """`grad` is a sum over calls of backward, until zero_grad."""
    x = Variable(array(3.0))
    for _ in range(2):
        (x * x).backward()
    assert_close(x.grad, 12.0)
    x.zero_grad()
    assert x.grad is None


def test_shared_gradients_are_not_written_into(backend64, array):
    """add hands one array to both inputs; a second contribution to one must not reach the other."""
    a, b = Variable(array([1.0, 1.0])), Variable(array([1.0, 1.0]))
    F.sum((a + b) + 2.0 * a).backward()
    assert_close(a.grad, [3.0, 3.0])
    assert_close(b.grad, [1.0, 1.0])


def test_derivatives_of_any_order(backend64, array):
    """The first four derivatives of x^4 are 4x^3, 12x^2, 24x, 24."""
    x = Variable(array(2.0))
    y = x * x * x * x
    for expected in (32.0, 48.0, 48.0, 24.0):
        (y,) = gradients(y, [x], create_graph=True)
        assert_close(y, expected, rtol=1e-12)


def test_double_backward_through_grad(backend64, array):
    """DeZero's way: backward(create_graph=True), then backward on the gradient; sin'' = -sin."""
    x = Variable(array(1.0))
    F.sin(x).backward(create_graph=True)
    g = x.grad
    x.zero_grad()
    g.backward()
    assert_close(x.grad, -math.sin(1.0), rtol=1e-12)


def test_first_order_gradients_are_plain_arrays(backend, array):
    """Without create_graph nothing is wrapped: `grad` is an array of the backend."""
    x = Variable(array([1.0, 2.0]))
    F.sum(x * x).backward()
    assert isinstance(x.grad, type(x.data))
    assert x.grad.dtype == backend.dtype


def test_broadcasting_is_undone(backend64, array):
    """A (3, 1) and a (4,) each get a gradient of their own shape: sums over what they met."""
    a, b = Variable(array([[1.0], [2.0], [3.0]])), Variable(array([1.0, 2.0, 3.0, 4.0]))
    F.sum(a * b).backward()
    assert_close(a.grad, [[10.0], [10.0], [10.0]])
    assert_close(b.grad, [6.0, 6.0, 6.0, 6.0])


def test_float32_stays_float32(backend, array):
    """Python scalars do not promote, forward or backward, at first and second order."""
    x = Variable(array([0.5, 2.0]))
    y = 1.0 - F.tanh(2.0 * x + 1.0) ** 2 / 3.0
    (g,) = gradients(F.sum(y), [x], create_graph=True)
    (gg,) = gradients(F.sum(g), [x])
    assert y.dtype == g.dtype == gg.dtype == backend.dtype


def test_promotion_is_undone():
    """The gradient of a float32 that met a float64 is float32."""
    with using("numpy") as single, using("numpy", dtype="float64") as double:
        x = Variable(single.asarray([1.0, 2.0]))
        F.sum(x * double.asarray([3.0, 4.0])).backward()
        assert x.grad.dtype == single.dtype
        assert_close(x.grad, [3.0, 4.0])


class Counted(Function):
    """a b, counting the gradients it computes."""

    def __init__(self, log):
        self.log = log

    def forward(self, a, b):
        return a * b

    def backward(self, gy, a, b):
        self.log.append(self.needs)
        return gy * b if self.needs[0] else None, gy * a if self.needs[1] else None


def test_only_gradients_asked_for_are_computed(backend64, array):
    """Data given as an array needs no gradient, nor does what `gradients` was not asked for."""
    log, data, w = [], array([1.0, 2.0]), Variable(array([3.0, 4.0]))
    F.sum(Counted(log)(data, w)).backward()
    a, b = Variable(data), Variable(data)
    gradients(F.sum(Counted(log)(a, b)), [b])
    assert log == [(False, True), (False, True)]


def test_branches_that_lead_nowhere_are_not_walked(backend64, array):
    """gradients(y, [x]) does not call rules of a branch without x."""
    log, x, w = [], Variable(array(2.0)), Variable(array(3.0))
    y = x * x + Counted(log)(w, w)
    (g,) = gradients(y, [x])
    assert_close(g, 4.0)
    assert log == []


def test_gradient_by_an_intermediate(backend64, array):
    """gradients can ask for a Variable on the way, and for what lies before it, in one walk."""
    x = Variable(array(3.0))
    h = x * x
    gh, gx = gradients(h * h, [h, x])
    assert_close(gh, 18.0)
    assert_close(gx, 108.0)


def test_gradient_by_what_was_not_used_is_zero(backend64, array):
    """y does not depend on z: dy/dz is 0, of z's shape."""
    x, z = Variable(array(3.0)), Variable(array([1.0, 2.0]))
    _, gz = gradients(x * x, [x, z])
    assert_close(gz, [0.0, 0.0])


class DivMod(Function):
    """Two outputs: a b and a + b."""

    def forward(self, a, b):
        return a * b, a + b

    def backward(self, gy, y, a, b):
        g_product, g_sum = gy
        product, _ = y
        return g_product * product / a + g_sum, g_product * a + g_sum


def test_function_with_several_outputs(backend64, array):
    """Each output is differentiable, once and twice."""

    def f(a, b):
        product, total = DivMod()(a, b)
        return product * product * total

    check_gradients(f, array([1.5, 2.0]), array([0.5, 3.0]), order=3)


@pytest.mark.parametrize("which", [0, 1])
def test_dropped_output_has_gradient_zero(backend64, array, which):
    """Where one of two outputs is thrown away, the other's gradient is right."""
    a, b = Variable(array(3.0)), Variable(array(5.0))
    DivMod()(a, b)[which].backward()
    assert_close(a.grad, [5.0, 1.0][which])
    assert_close(b.grad, [3.0, 1.0][which])


def test_several_outputs_of_arrays_are_arrays(backend64, array):
    """Arrays in, arrays out; and under no_grad constants come out."""
    a = array([1.0, 2.0])
    assert [type(y) for y in DivMod()(a, a)] == [type(a)] * 2
    with no_grad():
        outputs = DivMod()(Variable(a), a)
    assert [y.requires_grad for y in outputs] == [False, False]


def test_no_grad_records_nothing(backend64, array):
    """Under no_grad the numbers are the same, and backward is an error that says why."""
    x = Variable(array(3.0))
    with no_grad():
        y = x * x
    assert_close(y, 9.0)
    assert y.creator is None
    with pytest.raises(GradientError, match="no_grad"):
        y.backward()


def test_no_grad_decorates(backend64, array):
    """@no_grad() is a block around a function; recording is on again behind it."""

    @no_grad()
    def f(x):
        return x * x

    x = Variable(array(3.0))
    assert not f(x).requires_grad
    assert (x * x).requires_grad


def test_arrays_in_arrays_out(backend, array):
    """A function of plain arrays computes and wraps nothing."""
    x = array([1.0, 4.0])
    y = F.sqrt(x)
    assert type(y) is type(x)
    assert_close(y, [1.0, 2.0], rtol=1e-6)


def test_constants_have_no_history(backend, array):
    """Comparisons and indices are Variables without a creator; integers require no gradient."""
    x = Variable(array([1.0, 4.0]))
    assert not (x > 2.0).requires_grad
    assert not F.argmax(x).requires_grad
    assert not Variable(array([1, 2])).requires_grad


def test_long_chains_neither_recurse_nor_leak(backend64, array):
    """100,000 multiplications by 1: the gradient is 1, and all is freed without the collector."""
    if backend64.name != "numpy":
        pytest.skip("the tape is the same for every library; NumPy is the fastest")
    x = Variable(array(2.0))
    gc.disable()
    try:
        y = x
        for _ in range(100_000):
            y = y * 1.0
        y.backward()
        creator = weakref.ref(y.creator)
        del y
        assert creator() is None
    finally:
        gc.enable()
    assert_close(x.grad, 1.0)


def test_steps_leave_no_reference_cycles(backend64, array):
    """After steps of first and second order, the collector finds nothing."""
    x = Variable(array([0.5, 1.0]))
    gc.collect()
    gc.disable()
    try:
        for create_graph in (False, True):
            y = F.sum(F.tanh(x) * F.softmax(x))
            (g,) = gradients(y, [x], create_graph=create_graph)
            if create_graph:
                F.sum(g * g).backward()
            del y, g
        x.zero_grad()
        del x
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_intermediates_nobody_names_are_freed(backend64, array):
    """relu's rule names its output alone: the array that went into it is freed at once."""
    if backend64.name != "numpy":
        pytest.skip("only NumPy's arrays can be watched by a weak reference in every library")
    x = Variable(array([1.0, -2.0]))
    h = x + 1.0
    seen = weakref.ref(h.data)
    y = F.relu(h)
    del h
    assert seen() is None
    F.sum(y).backward()
    assert_close(x.grad, [1.0, 0.0])


def test_backward_needs_gy_for_more_than_a_number(backend, array):
    """A vector has no gradient of its own; the message says what to do."""
    x = Variable(array([1.0, 2.0]))
    y = x * x
    with pytest.raises(GradientError, match=r"pass gy of that shape"):
        y.backward()
    y.backward(array([1.0, 10.0]))
    assert_close(x.grad, [2.0, 40.0])


def test_gy_of_another_shape_is_an_error(backend, array):
    """The message has both shapes."""
    x = Variable(array([1.0, 2.0]))
    with pytest.raises(ShapeError, match=r"Expected gy of shape \(2,\), got \(3,\)"):
        (x * x).backward(array([1.0, 1.0, 1.0]))


def test_scalar_gy(backend, array):
    """backward(1), the lessons' way, is backward from ones."""
    x = Variable(array([1.0, 2.0]))
    (x * x).backward(1)
    assert_close(x.grad, [2.0, 4.0])


def test_asking_by_a_constant_is_an_error(backend, array):
    """A gradient by a Variable that requires none is refused, never zero."""
    x, c = Variable(array(2.0)), Variable(array(3.0), requires_grad=False)
    with pytest.raises(GradientError, match="requires none"):
        gradients(x * c, [c])


def test_function_without_backward_is_an_error(backend, array):
    """A missing derivative raises and names the Function."""

    class Half(Function):
        def forward(self, x):
            return 0.5 * x

    with pytest.raises(GradientError, match="Half defines no backward"):
        Half()(Variable(array(1.0))).backward()


def test_missing_gradient_of_an_input_is_an_error(backend, array):
    """A rule that answers None where a gradient is needed raises, and names the Function."""

    class Lopsided(Function):
        def forward(self, a, b):
            return a * b

        def backward(self, gy, b):
            return gy * b, None

    with pytest.raises(GradientError, match="Lopsided"):
        Lopsided()(Variable(array(1.0)), Variable(array(1.0))).backward()


def test_function_without_forward_is_an_error():
    """The message names the class."""

    class Empty(Function):
        pass

    with pytest.raises(NotImplementedError, match="Empty defines no forward"):
        Empty()(1.0)


def test_rule_that_names_no_input_is_an_error():
    """Misspelt names are found when the class is made."""
    with pytest.raises(TypeError, match=r"Bad: y is the output, \('x',\) go in; not \('z',\)"):

        class Bad(Function):
            def forward(self, x):
                return x

            def backward(self, gy, z):
                return gy * z


@pytest.mark.parametrize(("args", "options"), [((3.0,), {}), ((), {"factor": 3.0})])
def test_a_function_without_init_takes_no_arguments(args, options):
    class Twice(Function):
        def forward(self, x):
            return 2.0 * x

        def backward(self, gy):
            return 2.0 * gy

    with pytest.raises(TypeError, match=r"^Twice\(\) takes no arguments$"):
        Twice(*args, **options)


def test_function_is_one_node(backend, array):
    """A second call of the same Function would overwrite the first one's memory: an error."""
    f, x = DivMod(), Variable(array(1.0))
    f(x, x)
    with pytest.raises(RuntimeError, match="make a new one"):
        f(x, x)


def test_variable_of_scalars_and_lists_follows_the_switch(backend):
    """What is no array is born on the backend in force, in its dtype."""
    v = Variable([[1.0, 2.0], [3.0, 4.0]])
    assert type(v.data) is type(backend.asarray(0.0))
    assert v.dtype == backend.dtype
    assert v.shape == (2, 2)
    assert (v.ndim, v.size, len(v)) == (2, 4, 2)


def test_variable_of_a_variable_is_an_error(backend):
    """Wrapping twice is a mistake."""
    with pytest.raises(TypeError, match="got a Variable"):
        Variable(Variable(1.0))


def test_integers_cannot_require_gradients(backend, array):
    """requires_grad=True of integers is refused."""
    with pytest.raises(GradientError, match="Only floating-point"):
        Variable(array([1, 2]), requires_grad=True)


def test_data_are_arrays_never_numpy_scalars():
    """A full reduction of NumPy gives a scalar; a Variable holds a 0-d array all the same."""
    with using("numpy") as backend:
        x = Variable(backend.asarray([1.0, 2.0]))
        y = F.sum(x) * F.sum(x)
        y.backward()
        assert type(y.data) is type(x.data)
        z = Variable(3.0)
        (z * z).backward()
        assert isinstance(z.grad, type(x.data))


def test_repr_and_parameter(backend, array):
    """The repr has the class and the numbers."""
    assert repr(Parameter(array([1.0]))).startswith("Parameter(")
    assert "1." in repr(Variable(array([1.0])))


def test_recording_is_on_the_arrays_library(backend, array):
    """array_namespace of a Variable is ours, of its data the library's."""
    x = Variable(array([1.0]))
    assert array_namespace(x).exp is F.exp
    assert to_numpy(x).tolist() == [1.0]


# --- what a careless rule, or a careless call, must not do unseen ---------------------------------


def made_by(gradient_of):
    """A Function that sums, with this as its rule."""

    class Careless(Function):
        def forward(self, x):
            return array_namespace(x).sum(x)

        def backward(self, gy, x):
            return gradient_of(gy, x)

    return Careless()


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (lambda gy, x: gy, r"Careless.backward gave the gradient of shape \(\) for .* \(3,\)"),
        (lambda gy, x: x[:2], r"gave the gradient of shape \(2,\) for .* \(3,\)"),
        (lambda gy, x: 0.0, r"gave the gradient 0.0 for"),
        (lambda gy, x: (gy * x, gy), r"gave 2 gradients for 1 inputs"),
    ],
)
def test_a_rule_of_the_wrong_shape_is_found_out(backend, array, rule, words):
    y = made_by(rule)(Variable(array([1.0, 2.0, 3.0])))
    with pytest.raises(GradientError, match=words):
        y.backward()


def test_an_input_called_like_the_output_is_refused():
    with pytest.raises(TypeError, match="y is the output"):

        class Product(Function):
            def forward(self, x, y):
                return x * y

            def backward(self, gy, y, x):
                return gy * y, gy * x


def test_a_forward_alone_renames_what_the_rule_is_given(backend, array):
    """A subclass that writes forward anew has its own order of inputs."""
    given = []

    class Scaled(Function):
        def forward(self, x, factor):
            return x * factor

        def backward(self, gy, factor):
            given.append(factor)
            return gy * factor, gy * factor

    class Swapped(Scaled):
        def forward(self, factor, x):
            return x * factor

    x, factor = Variable(array(5.0)), array(3.0)
    for y in (Scaled()(x, factor), Swapped()(factor, x)):
        given.clear()
        y.backward()
        assert_close(given.pop(), 3.0)


def test_broadcasting_is_undone_in_new_and_old_axes_at_once(backend, array):
    """(3, 1) met (2, 3, 4): the gradient is summed over both, and has its shape again."""
    x, wide = Variable(array([[1.0], [2.0], [3.0]])), array([[[1.0] * 4] * 3] * 2)
    y = x * wide
    array_namespace(y).sum(y).backward()
    assert_close(x.grad, [[8.0], [8.0], [8.0]])


def test_gradients_of_a_single_variable_without_its_list(backend, array):
    x = Variable(array(2.0))
    with pytest.raises(TypeError, match=r"write gradients\(y, \[x\]\)"):
        gradients(x * x, x)


def test_the_gradient_to_start_from_is_given_the_outputs_dtype(backend, array):
    """A list will do; integers become the output's floating-point numbers."""
    x = Variable(array([1.0, 2.0]))
    x.backward([3, 4])
    assert x.grad.dtype == backend.dtype
    assert_close(x.grad, [3.0, 4.0])
    (g,) = gradients(x, [x], array([3, 4]))
    assert g.dtype == backend.dtype
    with pytest.raises(ShapeError, match=r"Expected gy of shape \(2,\), got \(3,\)"):
        x.backward([1.0, 1.0, 1.0])


def test_functions_of_constants_alone_are_not_recorded(backend, array):
    x = Variable(array([1.0]), requires_grad=False)
    assert (x * x).creator is None
    assert not (x * x).requires_grad


def test_a_parameter_owns_a_copy(backend, array):
    """What an optimizer changes in place is not the array that it was made of, nor read-only."""
    x = array([1.0, 2.0])
    p = Parameter(x)
    p.grad = array([1.0, 1.0])
    xpnet.SGD([p], lr=0.5).step()
    assert_close(p, [0.5, 1.5])
    assert_close(x, [1.0, 2.0])


def test_integers_are_no_parameters(backend, array):
    with pytest.raises(GradientError, match="Only floating-point"):
        Parameter(array([1, 2]))


def test_complex_numbers_are_no_parameters():
    """To climb a real loss by complex numbers takes the conjugate of their gradient."""
    with using("numpy"), pytest.raises(GradientError, match="A Parameter is real"):
        Parameter([1j])


def test_an_output_of_several_is_itself_when_the_rule_is_recorded(backend64, array):
    """The y that a recorded rule is given is the y that the caller holds: d2/da2 of exp, by exp."""

    class Two(Function):
        def forward(self, x):
            xp = array_namespace(x)
            return xp.exp(x), xp.astype(x, xp.int64)

        def backward(self, gy, y):
            return gy[0] * y[0]

    x = Variable(array([0.5, 1.0]))
    a, n = Two()(x)
    assert not n.requires_grad
    (gx,) = gradients(a, [x], gy=array([1.0, 1.0]), create_graph=True)
    (g,) = gradients(gx, [a], gy=array([1.0, 1.0]))
    assert_close(g, [1.0, 1.0])


def test_a_real_number_among_complex_ones_has_a_real_gradient():
    """Re(g dy) with dy = 1j dx: the imaginary part of g counts, negative."""
    with using("numpy", "float64") as backend:
        x = Variable(backend.asarray([1.0, 2.0]))
        (x * 1j).backward(backend.asarray([1j, 3.0 + 2j]))
        assert_close(x.grad, [-1.0, -2.0])


def test_a_complex_number_is_no_loss():
    with using("numpy", "float64") as backend:
        z = Variable(backend.asarray(1.0 + 2.0j))
        with pytest.raises(GradientError, match="pass gy=1.0 for the derivative of a holomorphic"):
            (z * z).backward()
        (z * z).backward(1.0)
        assert_close(z.grad, 2.0 + 4.0j)


def test_a_tensor_that_torch_records_is_refused():
    """Two tapes side by side would each have half of the truth."""
    torch = pytest.importorskip("torch", reason="its tensors alone record themselves")
    with pytest.raises(TypeError, match=r"x\.detach\(\)"):
        Variable(torch.ones(2, requires_grad=True))


def test_a_gradient_of_another_library_is_refused(backend, array):
    """NumPy's would be accepted by JAX's rules, and the gradient come out as NumPy's."""
    if backend.name == "numpy":
        pytest.skip("the other library is NumPy")
    x = Variable(array([1.0, 2.0]))
    with pytest.raises(TypeError, match="Arrays of different libraries do not mix"):
        (x + 1.0).backward(xpnet.to_numpy(array([1.0, 1.0])))


def test_a_complex_gradient_is_refused(backend, array):
    with pytest.raises(GradientError, match="Expected a real gy"):
        Variable(array(1.0)).backward(1j)


def test_a_parameter_of_a_type_that_numpy_lacks():
    """Its copy stays in its own library."""
    torch = pytest.importorskip("torch", reason="NumPy has no bfloat16")
    assert Parameter(torch.ones(2, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_a_rule_that_takes_a_number_starts_without_an_array(backend, array):
    """Where the walk begins with its Function; further on, what comes back is an array."""
    given = []

    class Total(Function, takes_number=True):
        def forward(self, x):
            return array_namespace(x).sum(x)

        def backward(self, gy, x):
            given.append(gy)
            return array_namespace(x).ones_like(x) * gy

    x = Variable(array([1.0, 2.0]))
    y = Total()(x)
    y.backward()
    assert given.pop() == 1.0
    assert_close(x.grad, [1.0, 1.0])
    for z, gy, slope in ((Total()(x), 3.0, 3.0), (2.0 * Total()(x), None, 2.0)):
        (gx,) = gradients(z, [x], gy)
        assert tuple(given.pop().shape) == ()
        assert_close(gx, [slope, slope])
    (itself,) = gradients(y, [y])
    assert (tuple(itself.shape), itself.dtype) == ((), y.dtype)
    assert float(itself) == 1.0
    assert not given


@pytest.mark.parametrize(
    "data",
    [
        np.asarray(["a", "b"]),
        np.asarray([None, 1.0]),
        np.asarray("2024-01-01", dtype="datetime64[D]"),
        np.asarray([1], dtype="timedelta64[s]"),
    ],
    ids=["text", "objects", "dates", "durations"],
)
def test_a_variable_of_what_are_no_numbers_is_refused(data):
    with pytest.raises(xpnet.ArgumentTypeError, match="Variable expected numbers, got an array of"):
        xpnet.Variable(data)
