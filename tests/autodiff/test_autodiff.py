"""Variables, Functions and backward: results are compared with formulas."""

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


def test_the_gradient_of_a_product_is_the_other_factor(backend64, array):
    """d(ab)/da = b and d(ab)/db = a."""
    a = Variable(array([2.0, 3.0]))
    b = Variable(array([5.0, 7.0]))
    F.sum(a * b).backward()
    assert_close(a.grad, [5.0, 7.0])
    assert_close(b.grad, [2.0, 3.0])


def test_gradients_of_two_paths_add_up(backend64, array):
    """A Variable that is used twice gets the sum of both gradients: (x^2 + 3x)' = 2x + 3."""
    x = Variable(array(4.0))
    (x * x + 3.0 * x).backward()
    assert_close(x.grad, 11.0)


def test_backward_adds_to_grad_until_zero_grad(backend64, array):
    """`grad` accumulates over calls of backward, until zero_grad."""
    x = Variable(array(3.0))
    for _ in range(2):
        (x * x).backward()
    assert_close(x.grad, 12.0)
    x.zero_grad()
    assert x.grad is None


def test_shared_gradients_are_not_changed_in_place(backend64, array):
    """add passes the same array to both inputs; a second contribution to one must not reach the other."""
    a = Variable(array([1.0, 1.0]))
    b = Variable(array([1.0, 1.0]))
    F.sum((a + b) + 2.0 * a).backward()
    assert_close(a.grad, [3.0, 3.0])
    assert_close(b.grad, [1.0, 1.0])


def test_derivatives_have_any_order(backend64, array):
    """The first four derivatives of x^4 are 4x^3, 12x^2, 24x, 24."""
    x = Variable(array(2.0))
    y = x * x * x * x
    for expected in (32.0, 48.0, 48.0, 24.0):
        (y,) = gradients(y, [x], create_graph=True)
        assert_close(y, expected, rtol=1e-12)


def test_double_backward_through_grad(backend64, array):
    """As in DeZero: backward(create_graph=True), then backward on the gradient; sin'' = -sin."""
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
    """Shapes (3, 1) and (4,) are broadcast; each gradient is summed to the shape of its input."""
    a = Variable(array([[1.0], [2.0], [3.0]]))
    b = Variable(array([1.0, 2.0, 3.0, 4.0]))
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
    """The gradient of a float32 input that was promoted to float64 is float32."""
    with using("numpy") as single, using("numpy", dtype="float64") as double:
        x = Variable(single.asarray([1.0, 2.0]))
        F.sum(x * double.asarray([3.0, 4.0])).backward()
        assert x.grad.dtype == single.dtype
        assert_close(x.grad, [3.0, 4.0])


class Counted(Function):
    """The product a b, which logs which gradients it is asked for."""

    def __init__(self, log):
        self.log = log

    def forward(self, a, b):
        return a * b

    def backward(self, gy, a, b):
        self.log.append(self.needs)
        return gy * b if self.needs[0] else None, gy * a if self.needs[1] else None


def test_only_requested_gradients_are_computed(backend64, array):
    """Neither an array nor a Variable outside of the list of `gradients` needs a gradient."""
    log = []
    data = array([1.0, 2.0])
    w = Variable(array([3.0, 4.0]))
    F.sum(Counted(log)(data, w)).backward()
    a = Variable(data)
    b = Variable(data)
    gradients(F.sum(Counted(log)(a, b)), [b])
    assert log == [(False, True), (False, True)]


def test_branches_that_do_not_lead_to_an_input_are_skipped(backend64, array):
    """gradients(y, [x]) does not call the rules of a branch without x."""
    log = []
    x = Variable(array(2.0))
    w = Variable(array(3.0))
    y = x * x + Counted(log)(w, w)
    (g,) = gradients(y, [x])
    assert_close(g, 4.0)
    assert log == []


def test_gradients_with_respect_to_an_intermediate_variable(backend64, array):
    """One call of gradients can ask for an intermediate Variable and for its input."""
    x = Variable(array(3.0))
    h = x * x
    gh, gx = gradients(h * h, [h, x])
    assert_close(gh, 18.0)
    assert_close(gx, 108.0)


def test_the_gradient_with_respect_to_an_unused_variable_is_zero(backend64, array):
    """y does not depend on z: dy/dz is zero and has the shape of z."""
    x = Variable(array(3.0))
    z = Variable(array([1.0, 2.0]))
    _, gz = gradients(x * x, [x, z])
    assert_close(gz, [0.0, 0.0])


class ProductAndSum(Function):
    """A Function with two outputs: a b and a + b."""

    def forward(self, a, b):
        return a * b, a + b

    def backward(self, gy, y, a, b):
        g_product, g_sum = gy
        product, _ = y
        return g_product * product / a + g_sum, g_product * a + g_sum


def test_every_output_of_a_function_is_differentiable(backend64, array):
    """Derivatives through both outputs, up to third order."""

    def f(a, b):
        product, total = ProductAndSum()(a, b)
        return product * product * total

    check_gradients(f, array([1.5, 2.0]), array([0.5, 3.0]), order=3)


@pytest.mark.parametrize("which", [0, 1])
def test_an_unused_output_contributes_no_gradient(backend64, array, which):
    """If one of two outputs is not used, the gradient of the other is correct."""
    a = Variable(array(3.0))
    b = Variable(array(5.0))
    ProductAndSum()(a, b)[which].backward()
    assert_close(a.grad, [5.0, 1.0][which])
    assert_close(b.grad, [3.0, 1.0][which])


def test_several_outputs_are_arrays_for_array_inputs(backend64, array):
    """Arrays in, arrays out; and under no_grad the outputs are constant Variables."""
    a = array([1.0, 2.0])
    assert [type(y) for y in ProductAndSum()(a, a)] == [type(a)] * 2
    with no_grad():
        outputs = ProductAndSum()(Variable(a), a)
    assert [y.requires_grad for y in outputs] == [False, False]


def test_no_grad_records_nothing(backend64, array):
    """Under no_grad the values are the same, and backward raises an error that names no_grad."""
    x = Variable(array(3.0))
    with no_grad():
        y = x * x
    assert_close(y, 9.0)
    assert y.creator is None
    with pytest.raises(GradientError, match="no_grad"):
        y.backward()


def test_backward_from_integers_names_them(backend64, array):
    """As in `Variable(np.array(2))` for 2.0: integers have no gradients."""
    x = Variable(F.astype(array(2.0), backend64.xp.int32))
    with pytest.raises(
        GradientError, match=r"or integers, such as Variable\(2\) for Variable\(2.0\)"
    ):
        (x * x).backward()


def test_no_grad_is_also_a_decorator(backend64, array):
    """@no_grad() turns recording off while the function runs; afterwards it is on again."""

    @no_grad()
    def f(x):
        return x * x

    x = Variable(array(3.0))
    assert not f(x).requires_grad
    assert (x * x).requires_grad


def test_arrays_in_arrays_out(backend, array):
    """A function of plain arrays returns a plain array."""
    x = array([1.0, 4.0])
    y = F.sqrt(x)
    assert type(y) is type(x)
    assert_close(y, [1.0, 2.0], rtol=1e-6)


def test_constants_have_no_history(backend, array):
    """Comparisons, indices and integers require no gradient."""
    x = Variable(array([1.0, 4.0]))
    assert not (x > 2.0).requires_grad
    assert not F.argmax(x).requires_grad
    assert not Variable(array([1, 2])).requires_grad


def test_long_chains_neither_recurse_nor_leak_memory(backend64, array):
    """100,000 multiplications by 1: the gradient is 1, and the graph is freed without the garbage collector."""
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
    """After derivatives of first and second order, the garbage collector finds nothing."""
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


def test_intermediates_that_no_rule_needs_are_freed(backend64, array):
    """The rule of relu names only its output: its input array is freed at once."""
    if backend64.name != "numpy":
        pytest.skip("not every library's arrays support weak references; NumPy's do")
    x = Variable(array([1.0, -2.0]))
    h = x + 1.0
    seen = weakref.ref(h.data)
    y = F.relu(h)
    del h
    assert seen() is None
    F.sum(y).backward()
    assert_close(x.grad, [1.0, 0.0])


def test_backward_of_a_vector_needs_gy(backend, array):
    """The message says which argument to pass; with it, the gradient is weighted."""
    x = Variable(array([1.0, 2.0]))
    y = x * x
    with pytest.raises(GradientError, match=r"pass gy of that shape"):
        y.backward()
    y.backward(array([1.0, 10.0]))
    assert_close(x.grad, [2.0, 40.0])


def test_gy_with_a_different_shape_raises(backend, array):
    """The message contains both shapes."""
    x = Variable(array([1.0, 2.0]))
    with pytest.raises(ShapeError, match=r"Expected gy of shape \(2,\), got \(3,\)"):
        (x * x).backward(array([1.0, 1.0, 1.0]))


def test_a_scalar_gy_is_broadcast(backend, array):
    """backward(1), as the lessons write it, starts from ones."""
    x = Variable(array([1.0, 2.0]))
    (x * x).backward(1)
    assert_close(x.grad, [2.0, 4.0])


def test_the_gradient_with_respect_to_a_constant_raises(backend, array):
    """For a Variable with requires_grad=False, gradients raises instead of returning zero."""
    x = Variable(array(2.0))
    c = Variable(array(3.0), requires_grad=False)
    with pytest.raises(GradientError, match="require a gradient; one of xs does not"):
        gradients(x * c, [c])


def test_a_function_without_backward_raises(backend, array):
    """The error names the Function."""

    class Half(Function):
        def forward(self, x):
            return 0.5 * x

    with pytest.raises(GradientError, match="Half defines no backward"):
        Half()(Variable(array(1.0))).backward()


def test_a_missing_gradient_of_an_input_raises(backend, array):
    """If a rule returns None where a gradient is needed, the error names the Function."""

    class Lopsided(Function):
        def forward(self, a, b):
            return a * b

        def backward(self, gy, b):
            return gy * b, None

    with pytest.raises(GradientError, match="Lopsided"):
        Lopsided()(Variable(array(1.0)), Variable(array(1.0))).backward()


def test_a_function_without_forward_raises():
    """The error names the class."""

    class Empty(Function):
        pass

    with pytest.raises(NotImplementedError, match="Empty defines no forward"):
        Empty()(1.0)


def test_a_rule_that_names_an_unknown_input_raises():
    """A misspelt name is reported when the class is defined."""
    words = (
        r"Bad.backward expected, after gy, y \(the output\) and the inputs \('x',\), got \('z',\)"
    )
    with pytest.raises(TypeError, match=words):

        class Bad(Function):
            def forward(self, x):
                return x

            def backward(self, gy, z):
                return gy * z


@pytest.mark.parametrize(("args", "options"), [((3.0,), {}), ((), {"factor": 3.0})])
def test_a_function_without_init_rejects_arguments(args, options):
    class Twice(Function):
        def forward(self, x):
            return 2.0 * x

        def backward(self, gy):
            return 2.0 * gy

    with pytest.raises(TypeError, match=r"^Twice\(\) takes no arguments$"):
        Twice(*args, **options)


def test_a_function_cannot_be_called_twice(backend, array):
    """A second call would overwrite what the first one kept for backward."""
    f = ProductAndSum()
    x = Variable(array(1.0))
    f(x, x)
    with pytest.raises(RuntimeError, match="make a new one"):
        f(x, x)


def test_variables_of_scalars_and_lists_follow_the_current_backend(backend):
    """Numbers and lists become arrays of the current backend, with its dtype."""
    v = Variable([[1.0, 2.0], [3.0, 4.0]])
    assert type(v.data) is type(backend.asarray(0.0))
    assert v.dtype == backend.dtype
    assert v.shape == (2, 2)
    assert (v.ndim, v.size, len(v)) == (2, 4, 2)


def test_a_variable_of_a_variable_raises(backend):
    """A Variable is not wrapped a second time."""
    with pytest.raises(TypeError, match="got a Variable"):
        Variable(Variable(1.0))


def test_integers_cannot_require_gradients(backend, array):
    """requires_grad=True raises for integers."""
    with pytest.raises(GradientError, match="Only floating-point"):
        Variable(array([1, 2]), requires_grad=True)


def test_data_and_grad_are_arrays_and_not_numpy_scalars():
    """A full reduction in NumPy returns a scalar; a Variable holds a 0-d array nevertheless."""
    with using("numpy") as backend:
        x = Variable(backend.asarray([1.0, 2.0]))
        y = F.sum(x) * F.sum(x)
        y.backward()
        assert type(y.data) is type(x.data)
        z = Variable(3.0)
        (z * z).backward()
        assert isinstance(z.grad, type(x.data))


def test_the_repr_contains_the_class_and_the_values(backend, array):
    """Both for a Parameter and for a Variable."""
    assert repr(Parameter(array([1.0]))).startswith("Parameter(")
    assert "1." in repr(Variable(array([1.0])))


def test_the_namespace_of_a_variable_is_xpnets(backend, array):
    """array_namespace of a Variable has the differentiable functions."""
    x = Variable(array([1.0]))
    assert array_namespace(x).exp is F.exp
    assert to_numpy(x).tolist() == [1.0]


# --- mistakes in rules and in calls ---------------------------------------------------------------


def sum_with_rule(gradient_of):
    """A Function that computes a sum, with the given code as its backward rule."""

    class Careless(Function):
        def forward(self, x):
            return array_namespace(x).sum(x)

        def backward(self, gy, x):
            return gradient_of(gy, x)

    return Careless()


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (lambda gy, x: gy, r"Careless.backward expected .* \(3,\) .*, got .* shape \(\)"),
        (lambda gy, x: x[:2], r"expected a gradient of shape \(3,\) .*, got .* shape \(2,\)"),
        (lambda gy, x: 0.0, r"expected a gradient of shape \(3,\) for an input, got 0.0"),
        (lambda gy, x: (gy * x, gy), r"returned 2 gradients for 1 input"),
    ],
)
def test_a_gradient_with_the_wrong_shape_raises(backend, array, rule, words):
    y = sum_with_rule(rule)(Variable(array([1.0, 2.0, 3.0])))
    with pytest.raises(GradientError, match=words):
        y.backward()


def test_an_input_named_like_the_output_raises():
    with pytest.raises(TypeError, match="y .the output. and the inputs"):

        class Product(Function):
            def forward(self, x, y):
                return x * y

            def backward(self, gy, y, x):
                return gy * y, gy * x


def test_an_overridden_forward_changes_the_order_of_inputs(backend, array):
    """A subclass that overrides only forward may name its inputs in another order."""
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

    x = Variable(array(5.0))
    factor = array(3.0)
    for y in (Scaled()(x, factor), Swapped()(factor, x)):
        given.clear()
        y.backward()
        assert_close(given.pop(), 3.0)


def test_broadcasting_is_undone_in_new_and_existing_axes_at_once(backend, array):
    """Shape (3, 1) was broadcast to (2, 3, 4): the gradient is summed over axes 0 and 2."""
    x = Variable(array([[1.0], [2.0], [3.0]]))
    wide = array([[[1.0] * 4] * 3] * 2)
    y = x * wide
    array_namespace(y).sum(y).backward()
    assert_close(x.grad, [[8.0], [8.0], [8.0]])


def test_gradients_with_a_variable_instead_of_a_list_raises(backend, array):
    x = Variable(array(2.0))
    with pytest.raises(TypeError, match=r"write gradients\(y, \[x\]\)"):
        gradients(x * x, x)


def test_gy_is_converted_to_the_dtype_of_the_output(backend, array):
    """gy may be a list; integers become floating-point numbers of the output's dtype."""
    x = Variable(array([1.0, 2.0]))
    x.backward([3, 4])
    assert x.grad.dtype == backend.dtype
    assert_close(x.grad, [3.0, 4.0])
    (g,) = gradients(x, [x], array([3, 4]))
    assert g.dtype == backend.dtype
    with pytest.raises(ShapeError, match=r"Expected gy of shape \(2,\), got \(3,\)"):
        x.backward([1.0, 1.0, 1.0])


def test_functions_of_constants_are_not_recorded(backend, array):
    x = Variable(array([1.0]), requires_grad=False)
    assert (x * x).creator is None
    assert not (x * x).requires_grad


def test_a_parameter_owns_a_copy(backend, array):
    """An optimizer changes the copy in place; the array that was passed in stays as it was."""
    x = array([1.0, 2.0])
    p = Parameter(x)
    p.grad = array([1.0, 1.0])
    xpnet.SGD([p], lr=0.5).step()
    assert_close(p, [0.5, 1.5])
    assert_close(x, [1.0, 2.0])


def test_a_parameter_of_integers_raises(backend, array):
    with pytest.raises(GradientError, match="Only floating-point"):
        Parameter(array([1, 2]))


def test_a_parameter_of_complex_numbers_raises():
    """Gradient descent with complex parameters would need the conjugate of the gradient."""
    with using("numpy"), pytest.raises(GradientError, match="A Parameter is real"):
        Parameter([1j])


def test_a_recorded_rule_receives_the_same_output_variable_as_the_caller(backend64, array):
    """The output exp(x) in the rule can be differentiated with respect to the caller's exp(x)."""

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


def test_a_real_input_of_a_complex_function_has_a_real_gradient():
    """Re(g dy) with dy = 1j dx: the gradient is minus the imaginary part of g."""
    with using("numpy", "float64") as backend:
        x = Variable(backend.asarray([1.0, 2.0]))
        (x * 1j).backward(backend.asarray([1j, 3.0 + 2j]))
        assert_close(x.grad, [-1.0, -2.0])


def test_backward_of_a_complex_number_needs_gy():
    with using("numpy", "float64") as backend:
        z = Variable(backend.asarray(1.0 + 2.0j))
        with pytest.raises(GradientError, match="pass gy=1.0 for the derivative of a holomorphic"):
            (z * z).backward()
        (z * z).backward(1.0)
        assert_close(z.grad, 2.0 + 4.0j)


def test_a_tensor_that_requires_a_gradient_in_torch_raises():
    """With two tapes, each would record only a part of the computation."""
    torch = pytest.importorskip(
        "torch", reason="only its tensors record what is computed from them"
    )
    with pytest.raises(TypeError, match=r"x\.detach\(\)"):
        Variable(torch.ones(2, requires_grad=True))


def test_a_gradient_from_another_library_raises(backend, array):
    """JAX's functions accept NumPy's arrays, so that the gradient would become an array of NumPy."""
    if backend.name == "numpy":
        pytest.skip("the other library is NumPy")
    x = Variable(array([1.0, 2.0]))
    with pytest.raises(TypeError, match="Arrays of different libraries do not mix"):
        (x + 1.0).backward(xpnet.to_numpy(array([1.0, 1.0])))


def test_a_complex_gy_for_a_real_output_raises(backend, array):
    with pytest.raises(GradientError, match="Expected a real gy"):
        Variable(array(1.0)).backward(1j)


def test_a_parameter_may_have_a_dtype_that_numpy_lacks():
    """The copy of the array is made by its own library."""
    torch = pytest.importorskip("torch", reason="NumPy has no bfloat16")
    assert Parameter(torch.ones(2, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_a_rule_that_takes_a_number_receives_a_python_float(backend, array):
    """Only if backward starts at its Function; otherwise its gradient is an array."""
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
def test_a_variable_of_something_other_than_numbers_raises(data):
    with pytest.raises(xpnet.ArgumentTypeError, match="Variable expected numbers, got an array of"):
        xpnet.Variable(data)
