"""einsum: NumPy's values, PyTorch's and JAX's gradients, and errors that name subscripts and shapes."""

import re
from importlib import import_module

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from xpnet import (
    ArgumentError,
    ArgumentTypeError,
    ShapeError,
    Variable,
    functions as F,
    gradients,
    using,
)
from xpnet.testing import assert_close, check_gradients

FIXED = {  # name: the subscripts, and the shapes
    "a product of matrices": ("ij,jk->ik", (2, 3), (3, 4)),
    "both transposed": ("ji,kj->ik", (3, 2), (4, 3)),
    "an outer product": ("i,j->ij", (2,), (3,)),
    "an inner product": ("i,i", (3,), (3,)),
    "an elementwise product": ("ij,ij->ij", (2, 3), (2, 3)),
    "a stack of products": ("bik,bjk->bij", (2, 2, 3), (2, 4, 3)),
    "attention's scores": ("bihd,bjhd->bhij", (2, 3, 2, 4), (2, 2, 2, 4)),
    "a bilinear form": ("bi,ij,bj->b", (2, 3), (3, 4), (2, 4)),
    "a diagonal": ("ii->i", (3, 3)),
    "a trace": ("ii", (3, 3)),
    "a trace of three axes": ("iii->", (2, 2, 2)),
    "two diagonals": ("iijj->ji", (2, 2, 3, 3)),
    "a diagonal within a product": ("iji,jk->ik", (2, 3, 2), (3, 2)),
    "a transpose": ("ijk->kji", (2, 1, 3)),
    "a sum over all": ("ij->", (2, 3)),
    "nothing": ("ij->ij", (2, 3)),
    "an output in alphabetical order": ("ca,bc", (2, 3), (4, 2)),
    "capitals before small letters": ("b,B", (2,), (3,)),
    "blanks": (" i j , j k -> i k ", (2, 3), (3, 2)),
    "an ellipsis": ("...ij,...jk->...ik", (2, 1, 2, 3), (3, 3, 2)),
    "an ellipsis in front by itself": ("i...,i...", (2, 3), (2, 1)),
    "an ellipsis that is summed": ("i...->i", (2, 3, 2)),
    "an ellipsis for no axes": ("...i,i->...", (3,), (3,)),
    "lengths of 1 that broadcast": ("ij,ij->ij", (1, 3), (2, 1)),
    "a length of 1 that is summed": ("ij,jk->ik", (2, 1), (3, 2)),
    "a number": (",ij->ij", (), (2, 2)),
    "no axes": ("ij,j->i", (2, 0), (0,)),
    "separate sums": ("ij,kl->", (2, 3), (2, 2)),
    "a chain": ("ij,jk,kl,lm->im", (2, 3), (3, 2), (2, 4), (4, 2)),
    "Khatri-Rao": ("ir,jr,kr->ijk", (2, 3), (2, 3), (2, 3)),
}
NUMPY_REFUSES = {"an ellipsis that is summed"}  # PyTorch accepts it

HURRIED = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def hosts_of(shapes):
    rng = np.random.default_rng(3)
    return [rng.normal(size=shape) for shape in shapes]


def by_numpy(subscripts, hosts):
    """NumPy's value; where NumPy is stricter than the others, with the letters written out."""
    subscripts = subscripts.replace(" ", "")
    if subscripts == "i...->i":
        subscripts = "ijk->i"
    return np.einsum(subscripts, *hosts)


@pytest.mark.usefixtures("sampled")  # the gradients of all of them are compared with JAX's below
@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("optimize", [True, False])
def test_values_and_gradients(backend64, array, order, name, optimize):
    subscripts, *shapes = FIXED[name]
    hosts = hosts_of(shapes)
    arrays = [array(host) for host in hosts]

    def f(*xs):
        return F.einsum(subscripts, *xs, optimize=optimize)

    expected = by_numpy(subscripts, hosts)
    assert_close(f(*arrays), expected, rtol=1e-12, atol=1e-14)
    y = f(*map(Variable, arrays))
    assert isinstance(y, Variable)
    assert_close(y, expected, rtol=1e-12, atol=1e-14)
    check_gradients(f, *arrays, order=order)


@st.composite
def calls(draw):
    """Subscripts, and shapes for them: letters with lengths, repeated, of length 1, or "..."."""
    sizes = {c: draw(st.integers(1, 3)) for c in "abcdE"}
    dots = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    terms = []
    shapes = []
    for _ in range(draw(st.integers(1, 3))):
        letters = draw(st.lists(st.sampled_from(sorted(sizes)), max_size=4))
        lengths = [sizes[c] for c in letters]
        for i, c in enumerate(letters):  # axes of one diagonal have equal lengths
            if letters.count(c) == 1 and draw(st.integers(0, 5)) == 0:
                lengths[i] = 1
        at = draw(st.integers(0, len(letters)))
        mine = dots[draw(st.integers(0, len(dots))) :] if draw(st.booleans()) else None
        if mine is not None:
            letters[at:at] = ["..."]
            lengths[at:at] = mine
        terms.append("".join(letters))
        shapes.append(tuple(lengths))
    subscripts = ",".join(terms)
    if draw(st.booleans()):
        there = sorted(set(subscripts) - {",", "."})
        kept = draw(st.lists(st.sampled_from(there), unique=True)) if there else []
        if "..." in subscripts:
            kept.insert(draw(st.integers(0, len(kept))), "...")
        subscripts += "->" + "".join(kept)
    return subscripts, shapes


@HURRIED
@given(call=calls(), seed=st.integers(0, 99), optimize=st.sampled_from([True, False, "greedy"]))
def test_any_subscripts_agree_with_numpy_and_torch(call, seed, optimize):
    """Values with NumPy, gradients with PyTorch, in float64."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    subscripts, shapes = call
    rng = np.random.default_rng(seed)
    hosts = [rng.normal(size=shape) for shape in shapes]
    expected = np.einsum(subscripts, *hosts)
    weights = rng.uniform(0.5, 1.5, expected.shape)
    tensors = [torch.tensor(host, requires_grad=True) for host in hosts]
    (torch.einsum(subscripts, *tensors) * torch.tensor(weights)).sum().backward()
    with using("numpy", dtype="float64"):
        xs = [Variable(host) for host in hosts]
        y = F.einsum(subscripts, *xs, optimize=optimize)
        assert_close(y, expected, rtol=1e-10, atol=1e-12)
        found = gradients(F.sum(y * weights), xs)
    for g, tensor in zip(found, tensors, strict=True):
        assert_close(g, tensor.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", sorted(FIXED.keys() - {"no axes"} - NUMPY_REFUSES))
def test_gradients_agree_with_jax(name):
    jax = pytest.importorskip("jax", reason="JAX is the oracle of this test")
    subscripts, *shapes = FIXED[name]
    hosts = hosts_of(shapes)

    def number(*xs):
        y = jax.numpy.einsum(subscripts.replace(" ", ""), *xs)
        return (y * y).sum()

    with using("jax", dtype="float64") as there:
        places = tuple(range(len(hosts)))
        theirs = jax.grad(number, argnums=places)(*map(there.asarray, hosts))
    with using("numpy", dtype="float64"):
        xs = [Variable(host) for host in hosts]
        y = F.einsum(subscripts, *xs)
        ours = gradients(F.sum(y * y), xs)
    for g, expected in zip(ours, theirs, strict=True):
        assert_close(g, expected, rtol=1e-10, atol=1e-12)


def test_complex_numbers(backend64, array, order):
    """Nothing is conjugated, as in NumPy."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 2, 3)) + 1j * rng.normal(size=(2, 2, 3))
    arrays = [array(x, "complex128"), array(y, "complex128")]
    assert_close(F.einsum("ij,ij->i", *arrays), np.einsum("ij,ij->i", x, y), rtol=1e-12)
    check_gradients(lambda x, y: F.einsum("ij,kj->ik", x, y), *arrays, order=order)


def test_integers_keep_their_dtype(backend, array):
    """As in NumPy: sums of int32 are int32."""
    x = array([[1, 2], [3, 4]], "int32")
    for subscripts, operands in (("ij->i", (x,)), ("ij,jk->ik", (x, x)), ("ij,ij->", (x, x))):
        y = F.einsum(subscripts, *operands)
        assert y.dtype == x.dtype
        assert_close(y, np.einsum(subscripts, *[[[1, 2], [3, 4]]] * len(operands)))


def test_float32_stays_float32(backend, array):
    x = Variable(array([[1.0, 2.0], [3.0, 4.0]]))
    y = F.einsum("ij,jk,k->", x, x, x[0, :])
    assert y.dtype == backend.dtype
    y.backward()
    assert x.grad.dtype == backend.dtype


def test_the_form_with_integers(backend, array):
    """As in NumPy: the output has the order of the integers, or that of the last list."""
    hosts = hosts_of([(2, 3), (3, 4)])
    x, y = (array(host.tolist()) for host in hosts)
    product = hosts[0] @ hosts[1]
    assert_close(F.einsum(x, [2, 7], y, [7, 0]), product.T, rtol=1e-5)
    assert_close(F.einsum(x, [0, 1], y, [1, 2], [0, 2]), product, rtol=1e-5)
    expected = np.einsum("...a,a...", hosts[0], hosts[0].T)
    found = F.einsum(x, (..., 1), array(hosts[0].T.tolist()), (1, ...))
    assert_close(found, expected, rtol=1e-5)


def test_python_numbers_are_operands(backend, array):
    x = Variable(array([1.0, 2.0]))
    y = F.einsum(",i,->i", 2.0, x, 0.5)
    assert_close(y, [1.0, 2.0])
    F.sum(y).backward()
    assert_close(x.grad, [1.0, 1.0])


def test_the_order_of_products_can_be_given():
    hosts = hosts_of([(2, 3), (3, 4), (4, 2)])
    expected = np.einsum("ij,jk,kl->il", *hosts)
    path = np.einsum_path("ij,jk,kl->il", *hosts, optimize="greedy")[0]
    orders = [path, [(1, 2), (0, 1)], ((0, 2), (0, 1)), [(0, 1, 2)], [(0, 2)], "optimal", "dp"]
    for optimize in orders:
        y = F.einsum("ij,jk,kl->il", *hosts, optimize=optimize)
        assert_close(y, expected, rtol=1e-12)


def test_without_optimize_operands_are_multiplied_from_left_to_right():
    module = import_module("xpnet.functions.einsum")
    shapes = ((3,), (4,), (3,), (4,))
    assert module._planned("i,j,i,j->", shapes, ()).path == ((0, 1), (0, 2), (0, 1))
    orders = [module._strategy_or_path(x) for x in (True, False, "dp", [(0, 1)])]
    assert orders == ["auto", (), "dp", ((0, 1),)]
    with pytest.raises(ArgumentError, match="optimize=True"):
        F.einsum("i,j,i,j->", *map(np.ones, shapes), optimize=[])


def test_the_order_of_products_saves_memory():
    """From left to right this would create an array of 10^12 numbers."""
    x = np.ones(10**6)
    y = np.full(10**6, 2.0)
    assert_close(F.einsum("i,j,i,j->", x, y, x, y), 4e12)


MALFORMED = {  # (the subscripts, and the shapes): a part of the error
    ("ij,jk->iz", (2, 3), (3, 4)): "'z' did not appear",
    ("ij->ii", (2, 3)): "more than once in the output",
    ("ij,jk", (2, 3)): "2, must be equal to the number of operands, 1",
    ("ij", (2, 3), (3, 4)): "1, must be equal to the number of operands, 2",
    ("i1", (2, 3)): "letters",
    ("i.j", (2, 3)): "Ellipses",
    ("i->j->k", (3,)): "'->'",
    ("i>j", (3,)): "'->'",
}
MISFITS = {
    ("ijk", (2, 3)): "expected 3 axes for the subscripts 'ijk', got shape (2, 3)",
    ("ij,jk", (2, 3), (4, 4)): "one length along 'j', or 1, got 3 and 4",
    ("ij,jk->ik", (2, 3, 1), (3, 4)): "expected 2 axes",
    ("ii", (2, 3)): "equal lengths along 'i' to take the diagonal, got 2 and 3",
    ("ii", (1, 3)): "equal lengths along 'i' to take the diagonal, got 1 and 3",
    ("...i,...i", (2, 3), (4, 3)): "2 and 4",
}


@pytest.mark.parametrize("call", [*MALFORMED, *MISFITS], ids=str)
def test_errors_name_the_subscripts_and_the_shapes(call):
    subscripts, *shapes = call
    kind = ArgumentError if call in MALFORMED else ShapeError
    with pytest.raises(kind, match=re.escape((MALFORMED | MISFITS)[call])) as caught:
        F.einsum(subscripts, *map(np.ones, shapes))
    assert repr(subscripts) in str(caught.value)
    assert all(str(shape) in str(caught.value) for shape in shapes)


def test_invalid_arguments_are_errors():
    x = np.ones((2, 2))
    with pytest.raises(ArgumentTypeError, match="operands after its subscripts"):
        F.einsum("ij")
    with pytest.raises(ArgumentTypeError, match="followed by a list of integers"):
        F.einsum(x, x)
    with pytest.raises(ArgumentError, match="from 0 to 51"):
        F.einsum(x, [0, 52])
    with pytest.raises(ArgumentError, match="optimize=True"):
        F.einsum("ij,jk,kl", x, x, x, optimize="fastest")
    for path in ([(0, 3)], [(0, 0)], [()]):
        with pytest.raises(ArgumentError, match="cannot multiply the operands"):
            F.einsum("ij,jk,kl", x, x, x, optimize=path)
