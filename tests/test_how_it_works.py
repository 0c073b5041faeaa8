"""docs/how-it-works.md: its code runs, its results are correct, and its miniature agrees with xpnet."""

import doctest
import gc
import re
import weakref
from pathlib import Path
from types import SimpleNamespace

import array_api_compat as compat
import numpy as np
import pytest

import xpnet
from xpnet import functions as F
from xpnet.testing import assert_close, numerical_gradient

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "how-it-works.md"
NAME = PAGE.relative_to(ROOT).as_posix()
TEXT = PAGE.read_text(encoding="utf-8")


# --- running the page ----------------------------------------------------------------------------


def blocks(text):
    """Yield the number of the first line (from 1) and the code of each block of Python."""
    for match in re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield text.count("\n", 0, match.start(1)) + 1, match[1]


def is_call(code):
    """Whether a block is a call with its result, and not a definition."""
    return code.startswith(">>>")


def run(text):
    """Run the blocks of the page from top to bottom, and return their namespace."""
    scope = {"__name__": "how_it_works"}
    runner = doctest.DocTestRunner(verbose=False)
    for line, code in blocks(text):
        if is_call(code):
            example = doctest.DocTestParser().get_doctest(code, {}, NAME, NAME, line - 1)
            example.globs = scope  # not a copy, so that names that a call assigns remain
            output = []
            if runner.run(example, out=output.append, clear_globs=False).failed:
                pytest.fail("".join(output))
        else:
            try:  # with the empty lines, line numbers are those of the file
                exec(compile("\n" * (line - 1) + code, NAME, "exec", dont_inherit=True), scope)
            except Exception as error:
                error.add_note(f"In the block at line {line} of {NAME}.")
                raise
    return scope


@pytest.fixture(scope="module")
def page():
    """The names that the page defines."""
    pytest.importorskip("array_api_strict", reason="section 8 trains on array-api-strict too")
    return SimpleNamespace(**run(TEXT))


def test_every_block_runs_and_every_result_is_correct(page):
    definitions = [code for _, code in blocks(TEXT) if not is_call(code)]
    calls = [code for _, code in blocks(TEXT) if is_call(code)]
    assert (len(definitions), len(calls)) == (11, 12)
    assert all(re.search(r"^[^>.]", code, re.MULTILINE) for code in calls)  # each has a result
    assert TEXT.count("```") == 2 * (len(definitions) + len(calls) + 1)  # one more for the command
    assert page.namespace_over.cache_info().currsize == 2  # Variables over both libraries


def test_the_code_of_the_page_is_short():
    code = "".join(code for _, code in blocks(TEXT) if not is_call(code)).splitlines()
    assert len([line for line in code if line.strip()]) <= 150
    assert max(map(len, code)) <= 100


def test_the_command_of_the_page_runs_this_file():
    (command,) = re.findall(r"^```\n(pytest .*)\n```$", TEXT, re.MULTILINE)
    assert command == f"pytest tests/{Path(__file__).name}"


def test_a_wrong_result_on_the_page_fails():
    """Otherwise the tests above could pass although nothing is compared."""
    before, result, after = TEXT.partition("\n[3.0, 3.0]\n")
    assert result
    line = before.count("\n") + 1  # the line of the call
    with pytest.raises(pytest.fail.Exception, match=rf'{NAME}", line {line}\b'):
        run(before + "\n[3.0, 4.0]\n" + after)


def test_an_error_in_a_definition_has_its_line_in_the_file():
    with pytest.raises(NameError) as caught:
        run("\n\n```python\nx = 1\ny = z\n```\n")
    assert caught.value.__notes__ == [f"In the block at line 4 of {NAME}."]
    assert caught.traceback[-1].lineno + 1 == 5


# --- the miniature and xpnet ---------------------------------------------------------------------


def rational(x):
    return 2.0 / x - x * x / (1.0 + x) + (3.0 - x) * -x


def transcendental(x):
    xp = compat.array_namespace(x)
    return xp.exp(xp.sin(x)) * xp.cos(x) + xp.log(x) * xp.tanh(x)


def shared(x):
    """An intermediate result that is used at several depths."""
    a = x * x
    return a * (a * a) + a + (x + a * x)


def softmax_of_rows(x):
    xp = compat.array_namespace(x)
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True) * x


def reduced(x):
    xp = compat.array_namespace(x)
    return xp.sum(xp.sin(x), axis=0) * xp.max(x, axis=0) + xp.max(x) * xp.sum(x)


def reshaped(x):
    xp = compat.array_namespace(x)
    y = xp.broadcast_to(xp.expand_dims(xp.reshape(x, (3, 2)), axis=1), (3, 4, 2))
    return y * y * xp.reshape(x, (3, 1, 2))


def matrices(x):
    xp = compat.array_namespace(x)
    return xp.matmul(xp.tanh(x), xp.matrix_transpose(x))


EXPRESSIONS = [rational, transcendental, shared, softmax_of_rows, reduced, reshaped, matrices]
X = np.asarray([[0.5, 1.5, 2.25], [1.0, 0.75, 3.0]])
X.flags.writeable = False  # a rule that writes into it fails


@pytest.mark.parametrize("f", EXPRESSIONS)
def test_gradients_agree_with_xpnet_and_with_differences(page, f):
    v = page.Variable(X)
    w = xpnet.Variable(X)
    y = f(v)
    z = f(w)
    assert_close(y.data, z.data, rtol=1e-15)
    (ours,) = page.gradients(y, [v])
    (theirs,) = xpnet.gradients(z, [w], 1.0)
    assert isinstance(ours, np.ndarray)
    assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    assert_close(ours, numerical_gradient(lambda x: np.sum(f(x)), X), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("f", EXPRESSIONS)
def test_second_derivatives_agree_with_xpnet_and_with_differences(page, f):
    def slope(x):
        v = page.Variable(x)
        (gx,) = page.gradients(f(v), [v])
        return gx

    v = page.Variable(X)
    w = xpnet.Variable(X)
    (gv,) = page.gradients(f(v), [v], carry=page.itself)
    (gw,) = xpnet.gradients(f(w), [w], 1.0, create_graph=True)
    assert_close(
        gv.data, slope(X), rtol=1e-12, atol=1e-14
    )  # the rules are the same for both values of `carry`
    (ours,) = page.gradients(gv * gv, [v])
    (theirs,) = xpnet.gradients(gw * gw, [w], 1.0)
    assert_close(ours, theirs, rtol=1e-11, atol=1e-12)
    differences = numerical_gradient(lambda x: np.sum(slope(x) ** 2), X)
    assert_close(ours, differences, rtol=1e-6, atol=1e-6)


def test_the_first_five_derivatives_of_sin(page):
    x = page.Variable(np.linspace(-2.0, 2.0, 9))
    y = page.sin(x)
    for k in range(1, 6):
        (y,) = page.gradients(y, [x], carry=page.itself)
        assert_close(y.data, np.sin(x.data + k * np.pi / 2), atol=1e-14)


def test_newton_steps_agree_with_the_formula(page):
    """For exp(x) - 2x, a step leads to x - (e^x - 2) / e^x."""
    x = np.asarray([-1.0, 0.0, 2.0])
    step = page.newton_step(lambda v: page.exp(v) - 2.0 * v, x)
    assert_close(step, x - 1.0 + 2.0 * np.exp(-x), rtol=1e-14)


SHAPES = [((), (3,)), ((3,), (2, 3)), ((2, 1), (1, 3)), ((2, 3), (2, 3)), ((1, 1, 1), (2, 1, 3))]


@pytest.mark.parametrize("shapes", SHAPES + [pair[::-1] for pair in SHAPES[:-2]])
def test_broadcasting_is_undone(page, shapes):
    """The gradients of sum(a / b) are 1 / b and -a / b^2, summed over axes that were broadcast."""
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(1.0, 2.0, shape) for shape in shapes)
    va = page.Variable(a)
    vb = page.Variable(b)
    ga, gb = page.gradients(va / vb, [va, vb])
    full_a, full_b = np.broadcast_arrays(a, b)
    for g, x, full in ((ga, a, 1.0 / full_b), (gb, b, -full_a / full_b**2)):
        lead = full.ndim - x.ndim
        stretched = tuple(i + lead for i, n in enumerate(x.shape) if n == 1)
        expected = full.sum(axis=(*range(lead), *stretched)).reshape(x.shape)
        assert_close(g, expected, rtol=1e-14)


@pytest.mark.parametrize("carry", ["data_of", "itself"])
def test_promotion_is_undone(page, carry):
    v = page.Variable(np.asarray([1.0, 2.0], dtype=np.float32))
    (g,) = page.gradients(v * np.asarray([3.0, 4.0]), [v], carry=getattr(page, carry))
    assert g.dtype == np.float32
    assert_close(page.data_of(g), [3.0, 4.0])


def test_float32_stays_float32_with_python_numbers(page):
    v = page.Variable(X.astype(np.float32))
    y = rational(v)
    (g,) = page.gradients(y, [v])
    assert (y.dtype, g.dtype) == (np.float32, np.float32)


def test_equal_maxima_share_the_gradient(page):
    x = np.asarray([[2.0, 5.0, 5.0], [1.0, 0.0, -1.0]])
    for axis, keepdims in ((None, False), (0, False), (1, True), (-1, False)):

        def f(x, axis=axis, keepdims=keepdims):
            return compat.array_namespace(x).max(x, axis=axis, keepdims=keepdims)

        v = page.Variable(x)
        w = xpnet.Variable(x)
        (ours,) = page.gradients(f(v), [v])
        (theirs,) = xpnet.gradients(f(w), [w], 1.0)
        assert_close(ours, theirs, rtol=1e-15)
    (g,) = page.gradients(page.table["max"](v), [v])
    assert_close(g, [[0.0, 0.5, 0.5], [0.0, 0.0, 0.0]])


def test_the_gradient_with_respect_to_an_unused_variable_is_zero(page):
    v = page.Variable(X)
    other = page.Variable(X)
    _, g = page.gradients(v * v, [v, other])
    assert g == 0.0


def test_a_long_chain_does_not_recurse(page):
    """3,000 multiplications are more than Python's limit of recursion."""
    v = y = page.Variable(np.asarray(1.0))
    for _ in range(3000):
        y = y * 1.0
    assert y.depth == 3000
    assert [float(g) for g in page.gradients(y, [v])] == [1.0]


def test_a_graph_is_freed_with_its_last_variable(page):
    """Without the garbage collector, because there are no reference cycles."""
    gc.collect()
    gc.disable()
    try:
        v = page.Variable(X)
        a = page.sin(v)
        y = a * a
        (gv,) = page.gradients(y, [v], carry=page.itself)
        alive = [weakref.ref(a), weakref.ref(a.creator)]
        del a, y, gv
        assert [ref() for ref in alive] == [None, None]
    finally:
        gc.enable()


# --- the namespace -------------------------------------------------------------------------------


def test_a_function_without_a_rule_raises(page):
    xp = compat.array_namespace(page.Variable(X))
    with pytest.raises(AttributeError, match="^'cumulative_sum' has no derivative here: give it"):
        xp.cumulative_sum(X)
    assert not hasattr(xp, "cumulative_sum")  # third-party code asks this


def test_the_namespace_has_functions_of_the_standard(page):
    library = compat.array_namespace(X)
    xp = compat.array_namespace(page.Variable(X), 1.0, page.Variable(X))
    assert isinstance(xp, page.Namespace)
    assert all(callable(getattr(xp, name)) and hasattr(library, name) for name in page.table)
    assert len(page.table) == 19
    assert (xp.float32, xp.pi) == (library.float32, library.pi)


def test_numpy_defers_to_a_variable_on_the_right(page):
    v = page.Variable(X)
    for y, expected in ((X * v, X * X), (X + v, X + X), (X - v, 0.0 * X), (X / v, X / X)):
        assert isinstance(y, page.Variable)
        assert_close(y.data, expected)


# --- the network ---------------------------------------------------------------------------------


def test_the_network_of_the_page_has_the_gradients_of_xpnets_functions(page):
    """The same code on Variables of both, and xpnet's fused functions."""
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=n) for n in ((3, 5), (5,), (5, 4), (4,))]
    x = rng.normal(size=(6, 3))
    labels = rng.integers(0, 4, size=6)
    target = np.eye(4)[labels]

    ours = [page.Variable(w) for w in weights]
    expected = page.gradients(page.cross_entropy(page.network(x, *ours), target), ours)

    theirs = [xpnet.Variable(w) for w in weights]
    same_code = page.cross_entropy(page.network(x, *theirs), target)
    W1, b1, W2, b2 = theirs
    scores = F.linear(F.tanh(F.linear(x, W1, b1)), W2, b2)
    fused = F.softmax_cross_entropy(scores, labels) * 6.0  # xpnet's loss is a mean
    for loss in (same_code, fused):
        for g, e in zip(xpnet.gradients(loss, theirs), expected, strict=True):
            assert_close(g, e, rtol=1e-10, atol=1e-13)


def test_the_network_learns_on_every_library(page, xp):
    """The code of the page learns XOR on every library that is installed."""
    p = page.train(xp)
    assert p.shape == (4, 2)
    assert compat.array_namespace(p) is xp
    assert [round(float(p[i, 1])) for i in range(4)] == [0, 1, 1, 0]
    assert all(abs(float(p[i, 0] + p[i, 1]) - 1.0) < 1e-5 for i in range(4))


# --- what the page says about xpnet --------------------------------------------------------------


def test_the_omissions_are_numbered_and_each_links_to_a_file():
    section = TEXT.split("## 9. What was left out\n")[1]
    _, *parts = re.split(r"^(\d+)\. ", section, flags=re.MULTILINE)
    assert list(map(int, parts[::2])) == list(range(1, 12))
    for item in parts[1::2]:
        links = re.findall(r"\[([^]]+)\]\(([^)]+)\)", item)
        assert links
        for label, target in links:
            assert label == f"`{Path(target).name}`" or not label.startswith("`")


def test_the_links_of_the_page_lead_to_sections_and_files():
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    here = {
        "#" + re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    }
    for link in links:
        if link.startswith("#"):
            assert link in here
        elif "://" not in link:
            assert (PAGE.parent / link).is_file(), link


def test_names_of_xpnet_on_the_page_exist():
    v = xpnet.Variable(X)
    assert v.requires_grad
    assert callable(xpnet.no_grad)
    y = F.sum(v * v)
    y.backward(create_graph=True)
    assert isinstance(v.grad, xpnet.Variable)


def test_the_cross_entropy_of_the_page_overflows_and_xpnets_does_not(page):
    """See "Care with numbers" on the page. The softmax of 0 and 1000 is 0 and 1."""
    x = np.asarray([[0.0, 1000.0]])
    t = np.asarray([[1.0, 0.0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        assert not np.isfinite(page.cross_entropy(x, t))
    assert float(F.softmax_cross_entropy(x, np.asarray([0]))) == pytest.approx(1000.0)


def test_comparisons_are_recorded_on_the_page_and_not_in_xpnet(page):
    """See "Constants" on the page."""
    v = page.Variable(X)
    w = xpnet.Variable(X)
    assert (v == X).creator is not None
    assert (w == X).creator is None


def test_a_missing_gradient_raises_in_xpnet_and_not_on_the_page(page):
    """See "Errors" on the page."""

    class Forgetful(page.Function):
        def forward(self, x1, x2):
            return x1 * x2

        def backward(self, gy, y, x1, x2):
            return [gy * x2]

    class ForgetfulToo(xpnet.Function):
        def forward(self, x1, x2):
            return x1 * x2

        def backward(self, gy, x2):
            return (gy * x2,)

    v = page.Variable(X)
    w = xpnet.Variable(X)
    (g,) = page.gradients(Forgetful()(v, v), [v])
    assert_close(g, X)  # and not 2 X
    with pytest.raises(
        xpnet.GradientError, match="ForgetfulToo.backward returned 1 gradient for 2"
    ):
        xpnet.gradients(ForgetfulToo()(w, w), [w], 1.0)
