"""A checkpointed function has the values and derivatives of the plain one, in less memory."""

import gc
import math
import tracemalloc
import weakref
from itertools import pairwise

import numpy as np
import pytest

from xpnet import (
    MLP,
    SGD,
    Affine,
    GradientError,
    Layer,
    Parameter,
    Variable,
    array_namespace,
    current,
    functions as F,
    gradients,
    manual_seed,
    no_grad,
    to_numpy,
    using,
)
from xpnet.autodiff import grad, gradient_checkpoint, hessian, hvp, jvp, value_and_grad
from xpnet.random import default_rng
from xpnet.testing import assert_close, check_gradients

A = [0.5, -1.0]
B = [2.0, 0.3]


def test_values_and_gradients_are_those_of_the_formula(backend64, array):
    """x^3 and 3 x^2; the function runs once for the value, and once more for the gradient."""
    runs = []

    @gradient_checkpoint
    def cube(x):
        """The third power."""
        runs.append(x)
        return x * x * x

    x = Variable(array([1.0, -2.0]))
    y = cube(x)
    assert len(runs) == 1
    F.sum(y).backward()
    assert len(runs) == 2
    assert_close(y, [1.0, -8.0])
    assert_close(x.grad, [3.0, 12.0])
    assert isinstance(x.grad, type(x.data))
    assert (cube.__name__, cube.__doc__) == ("cube", "The third power.")


def skip(a, b):
    """The checkpointed function uses h from the closure, and a, from which h was computed."""
    h = F.sin(a)
    return gradient_checkpoint(lambda z: F.tanh(z * h) + a * z)(h * b)


def nested(a, b):
    return gradient_checkpoint(
        lambda a: F.exp(gradient_checkpoint(lambda z: F.sin(z) * b)(a * b)) * a
    )(a)


def unpacked(a, b):
    """Trees as inputs and outputs, options, and outputs that depend on no input."""

    @gradient_checkpoint
    def f(p, *, times):
        total = p["a"] + p["b"][0]
        return [total * times, {"product": p["a"] * p["b"][0], "count": 3, "none": None}]

    total, rest = f({"a": a, "b": (b,)}, times=2.0)
    assert (rest["count"], rest["none"]) == (3, None)
    return total * rest["product"]


CASES = {
    "argument": lambda a, b: gradient_checkpoint(lambda z: F.tanh(z) * z)(a) * b,
    "closure": lambda a, b: gradient_checkpoint(lambda z: F.tanh(z * a))(b),
    "closure only": lambda a, b: gradient_checkpoint(lambda: F.sin(a) * b)(),
    "skip": skip,
    "nested": nested,
    "twice": gradient_checkpoint(gradient_checkpoint(lambda a, b: F.exp(a * b))),
    "in a row": lambda a, b: gradient_checkpoint(F.sin)(gradient_checkpoint(F.exp)(a) * b),
    "the argument itself": lambda a, b: gradient_checkpoint(lambda z: z)(a) * b * a,
    "trees": unpacked,
    "a derivative within": lambda a, b: gradient_checkpoint(
        grad(lambda z: F.sum(F.sin(z * b) * a))
    )(a),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives_agree_with_differences(backend64, array, name):
    """First, second and third order, with respect to every argument."""
    check_gradients(CASES[name], array(A), array(B), order=3)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_agree_with_jax(backend64, array, name):
    """As for jax.checkpoint, the closure may contain the Variables to differentiate by."""
    jax = pytest.importorskip("jax", reason="JAX is the oracle of this test")
    f = CASES[name]
    plain = {  # without checkpoints, and without xpnet's derivatives
        "argument": lambda a, b: F.tanh(a) * a * b,
        "closure": lambda a, b: F.tanh(b * a),
        "closure only": lambda a, b: F.sin(a) * b,
        "skip": lambda a, b: F.tanh(F.sin(a) * b * F.sin(a)) + a * F.sin(a) * b,
        "nested": lambda a, b: F.exp(F.sin(a * b) * b) * a,
        "twice": lambda a, b: F.exp(a * b),
        "in a row": lambda a, b: F.sin(F.exp(a) * b),
        "the argument itself": lambda a, b: a * b * a,
        "trees": lambda a, b: (a + b) * 2.0 * a * b,
        "a derivative within": lambda a, b: F.cos(a * b) * a * b,
    }[name]
    with using("jax", dtype="float64") as there:
        a = there.asarray(A)
        b = there.asarray(B)
        expected = to_numpy(jax.hessian(lambda a: F.sum(plain(a, b)))(a))
        _, slope = jax.jvp(lambda a, b: F.sum(plain(a, b)), (a, b), (b, a))
        slope = to_numpy(slope)
    a = array(A)
    b = array(B)
    assert_close(hessian(lambda a, b: F.sum(f(a, b)))(a, Variable(b)), expected, 1e-9, 1e-12)
    assert_close(hvp(lambda a: F.sum(f(a, Variable(b))))(a, b), expected @ B, 1e-9, 1e-12)
    assert_close(jvp(lambda a, b: F.sum(f(a, b)), (a, b), (b, a))[1], slope, rtol=1e-9)


def test_gradients_with_respect_to_variables_in_the_closure(backend64, array):
    """sin(z h) + x at z = 2, h = x^2: with respect to the intermediate h, and to x."""
    x = Variable(array(0.5))
    h = x * x
    y = gradient_checkpoint(lambda z: F.sin(z * h) + x)(2.0)
    gh, gx = gradients(y, [h, x])
    assert_close(gh, 2.0 * math.cos(0.5), rtol=1e-12)
    assert_close(gx, 2.0 * math.cos(0.5) + 1.0, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_checkpointed_layers_give_their_parameters_gradients(backend64, array, order):
    """The gradients of the parameters agree with JAX's gradients of the plain formula."""
    jax = pytest.importorskip("jax", reason="JAX is the oracle of this test")
    model = MLP(2, [3, 3], 1, activation="tanh", rng=0)
    x = array([[0.5, -1.0], [2.0, 0.1]])

    def loss_of(f, x):
        if order == 1:
            return F.sum(f(x) ** 2)
        return F.sum(f.slope(x) ** 2)

    def light(x):
        for layer in model:
            x = gradient_checkpoint(layer)(x)
        return x

    light.slope = grad(lambda x: F.sum(light(x)))
    loss_of(light, x).backward()
    found = [p.grad for p in model.parameters()]

    def plain(parameters, x):
        for W, b in zip(parameters[::2], parameters[1::2], strict=True):
            y = x @ W + b
            x = F.tanh(y)
        return y

    def loss(parameters, x):
        if order == 1:
            return F.sum(plain(parameters, x) ** 2)
        return F.sum(jax.grad(lambda x: F.sum(plain(parameters, x)))(x) ** 2)

    with using("jax", dtype="float64") as there:
        parameters = [there.asarray(to_numpy(p)) for p in model.parameters()]
        expected = jax.grad(loss)(parameters, there.asarray(to_numpy(x)))
        expected = [to_numpy(g) for g in expected]
    for g, e in zip(found, expected, strict=True):
        if g is None:  # the slope does not depend on the last bias
            assert not e.any()
        else:
            assert_close(g, e, rtol=1e-9, atol=1e-12)


def test_it_can_decorate_the_forward_of_a_layer(backend64, array):
    """The parameters are attributes of self."""

    class Square(Layer):
        def __init__(self):
            self.w = Parameter(array(3.0))

        @gradient_checkpoint
        def forward(self, x):
            return self.w * x * x

    square = Square()
    square(array(2.0)).backward()
    assert_close(square.w.grad, 4.0)
    y = square.forward(array(2.0))
    assert_close(square.backward(1.0), 12.0)
    assert_close(y, 12.0)


def test_the_second_run_draws_the_same_random_numbers(backend64, array):
    """The second run has the mask of the first; afterwards the stream continues where it was."""
    x = Variable(array([1.0] * 50))

    def dropout(x):
        mask = current().asarray(default_rng().integers(0, 2, 50).astype("float64"))
        return F.multiply(x * x, mask)

    manual_seed(3)
    y = gradient_checkpoint(dropout)(x)
    between = default_rng().random(4)
    F.sum(y).backward()
    after = default_rng().random(4)
    assert_close(x.grad, 2.0 * to_numpy(y))
    rng = np.random.default_rng(3)
    assert_close(y, rng.integers(0, 2, 50).astype("float64"))
    assert (between == rng.random(4)).all()
    assert (after == rng.random(4)).all()


def test_generators_that_are_passed_in_are_rewound_too(backend64, array):
    """Two generators are used in turn, one in a nested checkpoint; both continue afterwards."""
    x = Variable(array([1.0] * 50))
    mine = default_rng(3)
    other = default_rng(4)

    def half(x, rng):
        return F.dropout(x * x, 0.5, rng=rng)

    def f(x):
        return half(gradient_checkpoint(half)(half(x, mine), other), mine)

    y = gradient_checkpoint(f)(x)
    drawn = mine.random(3)
    F.sum(y).backward()
    mask = np.random.default_rng(3)
    more = np.random.default_rng(4)
    kept = 1.0 * (mask.random(50, dtype="float32") >= 0.5)
    kept *= more.random(50, dtype="float32") >= 0.5
    kept *= mask.random(50, dtype="float32") >= 0.5
    assert_close(y, 2.0**7 * kept)
    assert_close(x.grad, 2.0**10 * kept)
    assert (drawn == mask.random(3)).all()
    assert (mine.random(3) == mask.random(3)).all()
    assert (other.random(3) == more.random(3)).all()


def test_the_default_generator_is_rewound_once_under_two_names(backend64, array):
    """It is used by default, and also passed as rng=default_rng()."""
    manual_seed(3)
    x = Variable(array([1.0] * 50))
    rng = default_rng()
    y = gradient_checkpoint(lambda x: F.dropout(F.dropout(x * x, 0.5), 0.5, rng=rng))(x)
    F.sum(y).backward()
    drawn = np.random.default_rng(3)
    kept = 1.0 * (drawn.random(50, dtype="float32") >= 0.5) * (drawn.random(50, "float32") >= 0.5)
    assert_close(y, 4.0 * kept)
    assert_close(x.grad, 8.0 * kept)
    assert rng.random() == drawn.random()


def test_a_new_seed_between_the_runs_stays_in_force(backend64, array):
    """The second run does not change the stream that manual_seed started."""
    x = Variable(array([1.0] * 8))
    manual_seed(3)
    y = gradient_checkpoint(
        lambda x: F.multiply(x * x, current().asarray(default_rng().random(8)))
    )(x)
    manual_seed(4)
    F.sum(y).backward()
    assert_close(x.grad, 2.0 * np.random.default_rng(3).random(8))
    assert default_rng().random() == np.random.default_rng(4).random()


def test_the_second_run_uses_the_backend_of_the_first(backend):
    """Arrays that f creates are of the same library in both runs."""
    backends = []

    @gradient_checkpoint
    def f(x):
        backends.append(current().name)
        return x * Variable(3.0, requires_grad=False)

    x = Variable(2.0)
    y = f(x)
    with using("numpy", dtype="float64"):
        y.backward()
    assert backends == [backend.name] * 2
    assert_close(x.grad, 3.0)


def test_nothing_is_recorded_under_no_grad(backend, array):
    """The result of f is a constant under no_grad; backward may be called under no_grad."""
    w = Parameter(array(2.0))
    f = gradient_checkpoint(lambda x: w * x)
    with no_grad():
        y = f(3.0)
    assert not y.requires_grad
    y = f(3.0)
    with no_grad():
        y.backward()
    assert_close(w.grad, 3.0)


def test_arrays_in_arrays_out(backend, array):
    """Nothing is kept for inputs that need no gradient."""
    x = array([1.0, 2.0])
    y = gradient_checkpoint(F.exp)(x)
    assert type(y) is type(x)
    y = gradient_checkpoint(F.exp)(Variable(x, requires_grad=False))
    assert isinstance(y, Variable)
    assert not y.requires_grad


def test_a_variable_that_the_function_creates_is_not_an_input(backend64, array):
    """The second run creates another one."""
    c = array([3.0, 5.0])
    x = Variable(array([1.0, 2.0]))
    F.sum(gradient_checkpoint(lambda x: x * Variable(c))(x)).backward()
    assert_close(x.grad, [3.0, 5.0])


def test_the_gradient_of_an_unused_argument_is_zero(backend64, array):
    """It has the shape of the argument."""
    a = Variable(array(2.0))
    b = Variable(array([1.0, 2.0]))
    ga, gb = gradients(gradient_checkpoint(lambda a, b: a * a)(a, b), [a, b])
    assert_close(ga, 4.0)
    assert_close(gb, [0.0, 0.0])


def test_backward_may_be_called_several_times(backend64, array):
    """Each call runs f again and adds to grad."""
    a = Variable(array(2.0))
    b = Variable(array(3.0))
    y = gradient_checkpoint(lambda a: a * a * b)(a)
    for _ in range(2):
        y.backward()
    assert_close(a.grad, 24.0)
    assert_close(b.grad, 8.0)
    (gb,) = gradients(y, [b])
    assert_close(gb, 4.0)


def test_the_graph_within_a_checkpoint_is_freed_at_once(backend64, array):
    """After the call no node is left, and the garbage collector finds nothing."""
    seen = []

    def f(x):
        h = F.tanh(x)
        seen.append(weakref.ref(h.creator))
        return h * h

    x = Variable(array([0.5, 1.0]))
    gc.collect()
    gc.disable()
    try:
        y = gradient_checkpoint(f)(x)
        assert [node() for node in seen] == [None]
        (g,) = gradients(F.sum(y), [x], create_graph=True)
        F.sum(g).backward()
        del y, g
        x.zero_grad()
        assert [node() for node in seen] == [None, None]
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_the_first_run_may_create_a_parameter(backend64, array):
    """A layer may create its parameters at its first call; the second run finds them."""

    class Lazy:
        w = None

        def __call__(self, x):
            self.w = self.w or Parameter(array(2.0))
            return self.w * x

    layer = Lazy()
    gradient_checkpoint(layer)(array(3.0)).backward()
    assert_close(layer.w.grad, 3.0)
    layer = Lazy()
    x = Variable(array(3.0))
    gradient_checkpoint(layer)(x).backward()
    assert_close(layer.w.grad, 3.0)
    assert_close(x.grad, 2.0)


def test_an_optimizer_step_between_the_runs_raises(backend, array):
    """The second run would use other weights; the error is the same as without a checkpoint."""
    layer = Affine(2, 1, rng=0)
    y = gradient_checkpoint(lambda x: F.tanh(layer(x)))(array([[0.5, 1.0]]))
    layer.bias.grad = array([1.0])
    SGD([layer.bias]).step()
    with pytest.raises(
        GradientError, match=r"saved a Parameter of shape \(1,\) .* compute the loss"
    ):
        y.backward()


def test_variables_of_the_first_run_may_be_kept(backend64, array):
    """They stay alive, and do not change the gradient."""
    kept = []

    def f(x):
        kept.append(F.tanh(x))
        return kept[-1] * x

    x = Variable(array(2.0))
    gradient_checkpoint(f)(x).backward()
    assert_close(x.grad, math.tanh(2.0) + 2.0 / math.cosh(2.0) ** 2, rtol=1e-12)


def test_a_different_path_in_the_second_run_raises(backend, array):
    """A Variable is not used again, or the output has another shape."""
    a = Variable(array(2.0))
    b = Variable(array([1.0, 2.0]))
    for paths in ([lambda: a * b, lambda: b * 1.0], [lambda: a * b, lambda: a * a]):
        rest = iter(paths)
        y = F.sum(gradient_checkpoint(lambda rest=rest: next(rest)())())
        with pytest.raises(GradientError, match="did not use what the first one did"):
            y.backward()


def test_a_loop_variable_that_changed_between_the_runs_raises(backend, array):
    """The closure refers to the loop variable: the second run would use the last weight for all."""
    x = Variable(array(2.0))
    functions = []
    for w in (Parameter(array(3.0)), Parameter(array(5.0))):
        functions.append(lambda x: w * x)  # noqa: B023 - the mistake
        x = gradient_checkpoint(functions[-1])(x)
    with pytest.raises(GradientError, match="did not use what the first one did"):
        x.backward()


# --- memory ---------------------------------------------------------------------------------------


def layers(x, count):
    """Apply tanh `count` times; each keeps one array of the size of x for its rule."""
    for _ in range(count):
        x = F.tanh(x)
    return x


def peak(count, segments):
    """The peak memory of a forward and a backward pass, in arrays of the size of x."""
    x = Variable(np.linspace(-1.0, 1.0, 8192))
    ends = [count * i // segments for i in range(segments + 1)]
    run = gradient_checkpoint(layers) if segments > 1 else layers
    tracemalloc.start()
    try:
        y = x
        for start, end in pairwise(ends):
            y = run(y, end - start)
        F.sum(y).backward()
        return tracemalloc.get_traced_memory()[1] / x.data.nbytes
    finally:
        tracemalloc.stop()


def test_checkpoints_reduce_memory_to_its_square_root():
    """A pass through n layers takes n arrays; with sqrt(n) checkpoints, about 2 sqrt(n).

    NumPy reports its allocations to tracemalloc.
    """
    with using("numpy", dtype="float64"):
        plain = {n: peak(n, 1) for n in (250, 500, 1000)}
        light = {n: peak(n, round(math.sqrt(n))) for n in (250, 500, 1000)}
    for n, whole in plain.items():
        assert n < whole < 1.05 * n + 10.0
        assert light[n] < 2.0 * math.sqrt(n) + 10.0
    assert 3.8 < plain[1000] / plain[250] < 4.2
    assert 1.7 < light[1000] / light[250] < 2.2
    assert plain[1000] / light[1000] > 12.0


def test_values_and_gradients_of_a_long_chain(backend64, array):
    """992 layers in 32 checkpoints agree, up to rounding, with the chain rule."""
    if backend64.name != "numpy":
        pytest.skip("the tape is the same for every library; NumPy is the fastest")

    def chain(x):
        for _ in range(32):
            x = gradient_checkpoint(layers)(x, 31)
        return F.sum(x)

    value, g = value_and_grad(chain)(array([0.5, -2.0]))
    y = np.array([0.5, -2.0])
    slope = 1.0
    for _ in range(992):
        y = np.tanh(y)
        slope = slope * (1.0 - y * y)
    assert_close(value, y.sum(), rtol=1e-12)
    assert_close(g, slope, rtol=1e-10)
    assert array_namespace(g) is array_namespace(value)
