"""How the parameters of forward and backward are read, and that attributes belong to the author."""

import copy
import functools
from dataclasses import dataclass

import pytest

from xpnet import Function, GradientError, Variable, custom_rule, functions as F, gradients
from xpnet.autodiff import _signatures
from xpnet.autodiff._signatures import Rule, rule_of
from xpnet.autodiff.namespace import array_namespace
from xpnet.testing import assert_close, check_gradients

NAMES_THE_TAPE_MIGHT_USE = (
    *("shape", "dtype", "needs", "used", "born", "created", "changed", "parents", "takes", "rest"),
    *("takes_y", "takes_number", "broadcasts", "options", "node", "kept", "y", "like", "outputs"),
    *("function", "index", "data", "grad", "requires_grad", "creator", "pullback", "rule", "keeps"),
    *("_inputs", "_y", "_like", "_nodes", "_node", "_outputs", "__dict__x", "_Function_node"),
    *("inputs", "saved", "pick", "places", "__xpnet_node__", "__xpnet_called__"),
)


def logged(method):
    """A decorator as users write it."""

    @functools.wraps(method)
    def call(*args, **options):
        return method(*args, **options)

    return call


# --- attributes ----------------------------------------------------------------------------------


def test_a_function_may_set_attributes_named_shape_and_dtype(backend64, array):
    """The sum divided by 4, from the attribute `shape`, and not from the shape of the input."""

    class Total(Function):
        def __init__(self):
            self.shape = (2, 2)
            self.dtype = "mine"

        def forward(self, x):
            return array_namespace(x).sum(x) / (self.shape[0] * self.shape[1])

        def backward(self, gy, x):
            assert self.dtype == "mine"
            return gy * array_namespace(x).ones_like(x) / (self.shape[0] * self.shape[1])

    x = Variable(array([[1.0] * 5] * 3))
    Total()(x).backward()
    assert_close(x.grad, [[0.25] * 5] * 3)


@pytest.mark.parametrize("value", [None, 0, -1, "yes", (), [object()], float("nan")])
@pytest.mark.parametrize("where", ["instance", "class"])
def test_no_attribute_of_a_function_collides_with_the_tape(backend64, array, where, value):
    class Cube(Function):
        def forward(self, x):
            return x * x * x

        def backward(self, gy, x):
            return 3.0 * gy * x * x

    if where == "class":
        for name in NAMES_THE_TAPE_MIGHT_USE:
            setattr(Cube, name, value)

    def cube(x):
        f = Cube()
        if where == "instance":
            vars(f).update(dict.fromkeys(NAMES_THE_TAPE_MIGHT_USE, value))
        before = dict(vars(f))
        y = f(x)
        assert vars(f) == before
        if isinstance(y, Variable) and y.requires_grad:
            assert y.creator is f
        return y

    x = Variable(array([1.0, -2.0]))
    (g,) = gradients(cube(x), [x], array([1.0, 1.0]), create_graph=True)
    (gg,) = gradients(g, [x], array([1.0, 1.0]))
    assert_close(g, [3.0, 12.0])
    assert_close(gg, [6.0, -12.0])
    assert_close(cube(x), [1.0, -8.0])


def test_no_attribute_collides_for_a_function_with_two_outputs(backend64, array, order):
    class SinCos(Function):
        def __init__(self):
            self.shape = self.used = self.outputs = self.like = "mine"

        def forward(self, x):
            xp = array_namespace(x)
            return xp.sin(x), xp.cos(x)

        def backward(self, gy, y):
            return gy[0] * y[1] - gy[1] * y[0]

    def product(x):
        s, c = SinCos()(x)
        return s * c

    check_gradients(product, array([0.3, 1.0]), order=order)


def test_no_method_of_a_function_collides_with_the_tape(backend64, array, order):
    class Double(Function):
        def pullback(self):
            raise AssertionError

        def parents(self):
            raise AssertionError

        needs = parents

        def forward(self, x):
            return 2.0 * x

        def backward(self, gy):
            return 2.0 * gy

    check_gradients(lambda x: +Double()(x), array([1.0, 2.0]), order=order)


def test_a_function_may_have_slots_or_be_a_frozen_dataclass(backend64, array, order):
    """Also a class with unusual special methods, and one that does not call Function.__new__."""

    class Slotted(Function):
        __slots__ = ("factor",)

        def __init__(self, factor):
            self.factor = factor

        def forward(self, x):
            return x * self.factor

        def backward(self, gy):
            return gy * self.factor

    @dataclass(frozen=True)
    class Frozen(Function):
        factor: float

        forward = Slotted.forward
        backward = Slotted.backward

    class Unusual(Slotted):
        def __getattr__(self, name):
            return self

        def __bool__(self):
            raise AssertionError

        def __len__(self):
            return 0

        def __eq__(self, other):
            raise AssertionError

        __hash__ = None

    class Bare(Slotted):
        def __new__(cls, _factor):
            return object.__new__(cls)

    for kind in (Slotted, Frozen, Unusual, Bare):
        check_gradients(lambda x, kind=kind: kind(3.0)(x), array([1.0, 2.0]), order=order)


def test_a_function_cannot_be_called_twice(backend64, array):
    class Twice(Function):
        def forward(self, x):
            return 2.0 * x

        def backward(self, gy):
            return 2.0 * gy

    f = Twice()
    x = Variable(array(1.0))
    assert_close(f(array(1.0)), f(array(1.0)))  # calls on arrays are not recorded
    f(x)
    with pytest.raises(GradientError, match="make a new one"):
        f(x)
    with pytest.raises(TypeError, match=r"Twice\(\) takes no arguments"):
        Twice(3.0)


def test_a_copy_of_a_called_function_was_not_called(backend64, array):
    """The copy has the attributes of its author, in the dict and in slots, and a node of its own."""

    class Scaled(Function):
        __slots__ = ("factor",)

        def __init__(self, factor):
            self.factor = factor
            self.name = "scaled"

        def forward(self, x):
            return x * self.factor

        def backward(self, gy):
            return gy * self.factor

    f = Scaled(3.0)
    x = Variable(array(2.0))
    f(x).backward()
    other = copy.copy(f)
    assert (other.factor, other.name) == (3.0, "scaled")
    other(x).backward()
    assert_close(x.grad, 6.0)
    with pytest.raises(GradientError, match="make a new one"):
        other(x)


def test_needs_is_defined_only_while_a_rule_runs(backend64, array):
    class Product(Function):
        def forward(self, a, b):
            return a * b

        def backward(self, gy, a, b):
            asked.append(self.needs)
            return gy * b, gy * a

    asked = []
    f = Product()
    assert not hasattr(f, "needs")
    y = f(Variable(array(2.0)), array(3.0))
    with pytest.raises(AttributeError, match=r"Product\.needs is known only while"):
        f.needs  # noqa: B018
    y.backward()
    assert asked == [(True, False)]


# --- names ---------------------------------------------------------------------------------------


def forward(self, x, factor):
    return x * factor


def wrapped(self, gy, factor):
    return gy * factor, None


def with_the_output(self, gy, factor, y):
    assert y.shape == gy.shape
    return gy * factor, None


def by_keyword(self, gy, *, y, factor):
    assert y.shape == gy.shape
    return gy * factor, None


def with_an_option(self, gy, scale=1.0, factor=None, *, more=0.0):
    return gy * (scale * factor + more), None


def positional_only(self, gy, factor, /):
    return gy * factor, None


def unnamed(gy, factor):
    return gy * factor, None


RULES = {
    "plain": wrapped,
    "wrapped": logged(wrapped),
    "wrapped twice": logged(logged(wrapped)),
    "the output last": with_the_output,
    "by keyword": by_keyword,
    "wrapped, by keyword": logged(by_keyword),
    "an option": with_an_option,
    "positional only": positional_only,
    "a partial method": functools.partialmethod(with_an_option, more=0.0),
    "a static method": staticmethod(unnamed),
    "a class method": classmethod(wrapped),
    "a callable": functools.partial(unnamed),
}


@pytest.mark.parametrize("name", RULES)
def test_the_parameters_of_every_kind_of_rule_are_read(backend64, array, order, name):
    class Scale(Function):
        forward = logged(forward) if "wrapped" in name else forward
        backward = RULES[name]

    check_gradients(lambda x: Scale()(x, array([2.0, 3.0])), array([1.0, -1.0]), order=order)


def test_forward_may_take_any_number_of_inputs(backend64, array, order):
    """*xs of forward are passed to *xs of backward."""

    class Product(Function):
        def forward(self, factor, *xs):
            y = factor
            for x in xs:
                y = y * x
            return y

        def backward(self, gy, y, factor, *xs):
            return tuple(gy * y / x for x in (factor, *xs))

    check_gradients(
        lambda *xs: +Product()(*xs), *(array([x, 2.0 * x]) for x in (1.0, 2.0, 3.0)), order=order
    )


def test_an_omitted_input_has_its_default_in_backward(backend64, array, order):
    class Shifted(Function):
        def forward(self, x, shift=0.5):
            return (x + shift) * (x + shift)

        def backward(self, gy, x, shift):
            return 2.0 * gy * (x + shift), None

    check_gradients(lambda x: +Shifted()(x), array([1.0, 2.0]), order=order)
    x = Variable(array(1.0))
    Shifted()(x).backward()
    assert_close(x.grad, 3.0)


def anonymous(self, *everything):
    return everything


def kept_by_keyword(self, gy, **kept):
    return gy


def without_gy(self):
    return None


def another_rest(self, gy, *others):
    return gy


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (anonymous, r"parameter \*everything, which does not say what to save"),
        (kept_by_keyword, r"parameter \*\*kept"),
        (another_rest, r"parameter \*others"),
        (without_gy, "expected gy as its first parameter"),
        (type, "cannot be read|parameter"),
        (
            lambda self, gy, z: gy,
            r"y \(the output\) and the inputs \('x', 'factor'\), got \('z',\)",
        ),
    ],
)
def test_a_rule_with_invalid_parameters_raises_at_class_definition(rule, words):
    with pytest.raises(TypeError, match=words):
        type("Scale", (Function,), {"forward": forward, "backward": rule})


def test_a_custom_rule_may_be_decorated(backend64, array, order):
    """Wrapped, as a partial, and plain; with options that have defaults."""

    def rule(gy, scale=1.0, x=None, *, more=0.0):
        return gy * (3.0 * x * x * scale + more)

    for decorated in (logged(rule), functools.partial(rule, more=0.0), rule):
        cube = custom_rule(decorated)(lambda x: x * x * x)
        check_gradients(cube, array([1.0, 2.0]), order=order)


def test_a_rule_may_return_a_list(backend64, array, order):
    class Product(Function):
        def forward(self, a, b):
            return a * b

        def backward(self, gy, a, b):
            return [gy * b, gy * a]

    check_gradients(
        lambda a, b: +Product()(a, b), array([1.0, 2.0]), array([3.0, 4.0]), order=order
    )
    assert F.multiply(2.0, array(3.0)) == 6.0


def test_a_rule_keeps_its_arguments_and_passes_them_on():
    """By position, by name if it is keyword-only, or by its default if it was omitted."""
    assert Rule(inputs=(0, 1)).arguments([1.0, 2.0]) == ([1.0, 2.0], {})
    assert Rule(names=("a", None)).arguments([1.0, 2.0]) == ([2.0], {"a": 1.0})
    assert Rule(names=("a",), rest=1).arguments([1.0, 2.0, 3.0]) == ([2.0, 3.0], {"a": 1.0})
    assert Rule(inputs=(0, 2), defaults=((2, 5.0),)).saved([1.0]) == [1.0, 5.0]
    assert Rule(inputs=(0, 2), defaults=((2, 5.0),)).saved([1.0, 2.0, 3.0]) == [1.0, 3.0]
    assert Rule(inputs=(0,), rest=2).saved([1.0, 2.0, 3.0, 4.0]) == [1.0, 3.0, 4.0]
    assert Rule().saved([1.0]) == []


def functions_of(kind):
    """The Functions that are derived from a class, at any depth."""
    for cls in kind.__subclasses__():
        yield cls
        yield from functions_of(cls)


def test_the_short_way_to_a_rule_finds_what_inspect_finds(monkeypatch):
    """Most methods are read from their code objects, which is ten times as fast."""
    own = [cls for cls in functions_of(Function) if cls.__module__.startswith("xpnet.")]
    short = {cls: rule for cls in own if (rule := _signatures._rule_of_plain(cls)) is not None}
    assert len(short) > len(own) / 3
    monkeypatch.setattr(_signatures, "_rule_of_plain", lambda cls: None)
    for cls, rule in short.items():
        by_inspect = rule_of(cls)
        for part in ("inputs", "rest", "y_at", "names", "defaults"):
            assert getattr(rule, part) == getattr(by_inspect, part), (cls, part)


@pytest.mark.parametrize(
    "methods",
    [
        {"forward": lambda self, x: x, "backward": staticmethod(lambda gy, x: gy)},
        {"forward": lambda self, x: x, "backward": lambda self, gy, x, factor=2.0: gy},
        {"forward": lambda self, x: x, "backward": logged(lambda self, gy, x: gy)},
        {"forward": lambda self, *xs: xs[0], "backward": lambda self, gy, *xs: (gy,)},
        {"forward": lambda self, x, y: x, "backward": lambda self, gy, y: (gy, gy)},
        {"forward": lambda self, x, /: x, "backward": lambda self, gy, *, x: gy},
    ],
    ids=["static", "default", "decorated", "rest", "an input called y", "by name"],
)
def test_methods_that_are_not_plain_are_left_to_inspect(methods):
    assert _signatures._rule_of_plain(type("Other", (), methods)) is None
