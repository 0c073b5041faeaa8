"""The picture of a graph tells its values and gradients, each at its own wire."""

import sys
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from PIL import Image

import xpnet
from xpnet import GradientError, Variable, functions as F
from xpnet.autodiff.function import Function
from xpnet.autodiff.variable import gradients
from xpnet.plots.graph import BLUE, GREY, INK, RED, ROW, _apart, computational_graph, dot


class Wire(NamedTuple):
    """What is written in a node, and at the wire out of it."""

    title: str
    name: str = ""
    value: str = ""
    gradient: str = ""


def wires(figure):
    """What is written in each node and at the wire to the right of it, from left to right."""
    (axes,) = figure.axes
    nodes, labels = {}, {}
    heights = {INK: (0.05, "value"), RED: (-0.06, "gradient"), BLUE: (0.24, "name")}
    for text in axes.texts[2:]:  # the first two are the legend
        x, y = text.get_position()
        if text.get_va() == "center_baseline":
            nodes[x, round(y, 6)] = text.get_text()
        else:
            dy, field = heights[text.get_color()]
            labels.setdefault(round(y - dy, 6), []).append((x, field, text.get_text()))
    found = []
    for (x, y), title in sorted(nodes.items()):
        at = min((lx for lx, *_ in labels.get(y, []) if lx > x), default=None)
        fields = {field: text for lx, field, text in labels.get(y, []) if lx == at}
        nearer = any(x < other <= (at or x) for other, oy in nodes if oy == y)
        found.append(Wire(title, **({} if nearer else fields)))
    return found


def wire(figure, title):
    (found,) = [w for w in wires(figure) if title in (w.title, w.name)]
    return found


class Split(Function):
    """Two outputs: 2 x and 3 x."""

    def forward(self, x):
        return x * 2.0, x * 3.0

    def backward(self, gy):
        return gy[0] * 2.0 + gy[1] * 3.0


def bill():
    """The first lesson's graph."""
    v = {
        "apple price": Variable(100.0),
        "apple count": Variable(4.0),
        "mandarin price": Variable(70.0),
        "mandarin count": Variable(3.0),
        "tax": Variable(1.1),
    }
    v["apple total"] = v["apple price"] * v["apple count"]
    v["mandarin total"] = v["mandarin price"] * v["mandarin count"]
    v["fruit total"] = v["apple total"] + v["mandarin total"]
    v["total"] = v["fruit total"] * v["tax"]
    return v["total"], v


def network():
    """A small network with its loss."""
    xpnet.manual_seed(0)
    model = xpnet.MLP(2, [3], 2)
    x = xpnet.current().asarray([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5], [-1.0, 1.0]])
    t = xpnet.current().asarray([0, 1, 0, 1])
    return F.softmax_cross_entropy(model(x), t), dict(model.named_parameters())


def composed():
    """Operators with constants, on arrays."""
    W, b = Variable([[1.0, 0.5], [-1.0, 2.0]]), Variable([0.0, 0.1])
    h = F.matmul(xpnet.current().asarray([[1.0, 2.0]]), W) + b
    y = 1.0 / (1.0 + F.exp(-h))
    return F.sum((y - 0.5) ** 2) / 2.0, {"W": W, "b": b, "prediction": y}


def tangle():
    """Leaves that are used early and late, and a variable that meets itself."""
    a, b, c = Variable(1.0), Variable(2.0), Variable(3.0)
    y = (a * b + c) * a * c * c + b + b * b
    return y, {"a": a, "b": b, "a leaf with a rather long name": c}


def split():
    x = Variable(3.0)
    left, right = Split()(x)
    return left * right, {"x": x, "left": left}


def leaf():
    x = Variable(3.0)
    return x, {"x": x}


GRAPHS = [bill, network, composed, tangle, split, leaf]

# --- values and gradients ------------------------------------------------------------------------


def test_the_bill_has_the_lessons_numbers(backend):
    """Every value and gradient of lesson 1, where it belongs."""
    figure = computational_graph(*bill())
    assert {w.title: w[2:] for w in wires(figure) if len(w.title) > 1} == {
        "apple price": ("100", "4.4"),
        "apple count": ("4", "110"),
        "mandarin price": ("70", "3.3"),
        "mandarin count": ("3", "77"),
        "tax": ("1.1", "610"),
    }
    assert {w[1:]: w.title for w in wires(figure) if len(w.title) == 1} == {
        ("apple total", "400", "1.1"): "×",
        ("mandarin total", "210", "1.1"): "×",
        ("fruit total", "610", "1.1"): "+",
        ("total", "671", "1"): "×",
    }


def test_the_bill_is_drawn_from_left_to_right():
    """Each node stands to the right of what went into it; a leaf just before its use."""
    texts = computational_graph(*bill()).axes[0].texts
    x = {text.get_text(): text.get_position()[0] for text in texts}
    assert x["apple price"] == x["mandarin count"] < x["apple total"]
    assert x["apple total"] == x["mandarin total"] < x["fruit total"] < x["total"]
    assert x["apple price"] < x["tax"] < x["total"]
    y = {text.get_text(): text.get_position()[1] for text in texts}
    assert y["apple price"] > y["apple count"] > y["mandarin price"] > y["mandarin count"]


def test_values_that_nobody_kept_are_computed_again():
    """The sum in (a + b) * 2 is kept by no rule, but made of known numbers."""
    a, b = Variable(3.0), Variable(4.0)
    figure = computational_graph(F.sqrt((a + b) * 2.0 + 2.0), {"a": a, "b": b})
    sums = [w for w in wires(figure) if w.title == "+"]
    assert sums[0] == Wire("+", "", "7", "0.25")
    assert wire(figure, "√") == Wire("√", "", "4", "1")


def test_a_value_that_is_not_known_is_left_out():
    """x + 1 keeps neither x nor 1: the constant has no number, and the sum has none either."""
    x = Variable(1.0)
    first, second = (w for w in wires(computational_graph(x + 1.0 + 2.0, {})) if w.title == "+")
    assert first == Wire("+", "", "", "1")
    assert second == Wire("+", "", "4", "1")


def test_a_number_in_a_formula_stands_in_its_box():
    x = Variable(3.0)
    figure = computational_graph(x * 2.5, {"x": x})
    assert sorted(wires(figure)) == [
        Wire("2.5"),
        Wire("x", "", "3", "2.5"),
        Wire("×", "", "7.5", "1"),
    ]


def test_a_constant_has_its_name_and_value_but_no_gradient():
    x, c = Variable(3.0), Variable(2.0, requires_grad=False)
    figure = computational_graph(x * c, {"x": x, "c": c})
    assert wire(figure, "c") == Wire("c", "", "2", "")
    edges = {to_hex(box.get_edgecolor()) for box in boxes(figure, FancyBboxPatch)}
    assert edges == {BLUE, GREY}
    assert wire(computational_graph(x * c, {"x": x}), "constant").value == "2"


def test_powers_show_their_exponent():
    """A number as the exponent is a part of the function, an array is an input."""
    x = Variable(3.0)
    assert wire(computational_graph(x**2, {}), "^2") == Wire("^2", "", "9", "1")
    figure = computational_graph(2.0**x, {"x": x})
    assert wire(figure, "^").value == "8"
    assert wire(figure, "x").gradient == f"{8 * np.log(2.0):.6g}"


def test_one_variable_used_twice_by_one_function():
    """Both wires are drawn, to two places, and its gradient is the sum."""
    x = Variable(3.0)
    figure = computational_graph(x * x, {"x": x})
    assert wire(figure, "x") == Wire("x", "", "3", "6")
    assert len(boxes(figure, FancyArrowPatch)) == 3  # two in, one out


def test_a_shared_leaf_is_one_box_with_the_sum_of_its_gradients():
    """y = (a b + c) a c^2 + b + b^2, differentiated by hand."""
    figure = computational_graph(*tangle())
    a, b, c = 1.0, 2.0, 3.0
    assert float(wire(figure, "a").gradient) == (2 * a * b + c) * c**2
    assert float(wire(figure, "b").gradient) == a * a * c**2 + 1.0 + 2.0 * b
    c_gradient = wire(figure, "a leaf with a rather long name").gradient
    assert float(c_gradient) == a * (2.0 * a * b * c + 3.0 * c**2)


def test_several_outputs():
    """A Function with two outputs has a node for each, with its own value and gradient."""
    figure = computational_graph(*split())
    assert wire(figure, "Split") == Wire("Split")
    assert wire(figure, "[0]") == Wire("[0]", "left", "6", "9")
    assert wire(figure, "[1]") == Wire("[1]", "", "9", "6")
    assert wire(figure, "x").gradient == "36"


def test_one_of_several_outputs():
    x = Variable(3.0)
    figure = computational_graph(Split()(x)[1], {"x": x})
    assert [w.title for w in wires(figure)] == ["x", "Split", "[1]"]
    assert wire(figure, "x").gradient == "3"


def test_arrays_have_their_shape_and_the_norm_of_their_gradient(backend, array):
    """d sum(x^2) / dx = 2 x; for x = (3, 4) its norm is 10."""
    x = Variable(array([3.0, 4.0]))
    figure = computational_graph(F.sum(x * x), {"x": x})
    assert wire(figure, "x") == Wire("x", "", "(2,)", "‖g‖ = 10")
    assert wire(figure, "×") == Wire("×", "", "(2,)", f"‖g‖ = {2**0.5:.3g}")
    assert wire(figure, "Σ") == Wire("Σ", "", "25", "1")


def test_one_number_in_an_array_is_a_number_and_none_is_a_shape():
    x, nothing = Variable([[2.0]]), Variable(np.zeros((0, 3)))
    figure = computational_graph(F.sum(x) + F.sum(nothing), {"x": x, "nothing": nothing})
    assert wire(figure, "x") == Wire("x", "", "2", "1")
    assert wire(figure, "nothing") == Wire("nothing", "", "(0, 3)", "‖g‖ = 0")


def test_a_network_with_its_loss(backend):
    """Parameters by name, data as constants, functions by theirs; the loss at the end."""
    loss, names = network()
    figure = computational_graph(loss, names)
    titles = [w.title for w in wires(figure)]
    assert set(names) < set(titles)
    assert titles.count("Linear") == 2
    assert titles.count("constant") == 2  # x and t
    assert wire(figure, "SoftmaxCrossEntropy").value == f"{float(loss):.6g}"
    loss.backward()
    for name, p in names.items():
        norm = float(np.linalg.norm(xpnet.to_numpy(p.grad)))
        shown = wire(figure, name)
        assert shown.value == str(tuple(p.shape))
        assert float(shown.gradient.removeprefix("‖g‖ = ")) == pytest.approx(norm, rel=5e-3)


def test_an_argument_that_was_left_out_has_no_box():
    x, W = Variable([[1.0, 2.0]]), Variable([[3.0], [4.0]])
    figure = computational_graph(F.linear(x, W), {"x": x, "W": W})
    assert sorted(w.title for w in wires(figure)) == ["Linear", "W", "x"]
    assert wire(figure, "Linear").value == "11"


def test_the_graph_of_a_gradient():
    """d x^3 / dx = 3 x^2 = 12 at 2, whose derivative is 6 x = 12."""
    x = Variable(2.0)
    (slope,) = gradients(x**3, [x], create_graph=True)
    figure = computational_graph(slope, {"x": x, "slope": slope})
    assert wire(figure, "slope")[1:] == ("slope", "12", "1")
    assert wire(figure, "x").gradient == "12"


def test_no_grad_is_touched_also_after_backward():
    x = Variable(3.0)
    y = x * x
    computational_graph(y, {"x": x})
    assert x.grad is None
    y.backward()
    figure = computational_graph(y, {"x": x})
    assert wire(figure, "x").gradient == "6"
    assert float(x.grad) == 6.0


def test_names_of_other_variables_do_not_matter():
    x = Variable(3.0)
    figure = computational_graph(x * 2.0, {"x": x, "elsewhere": Variable(1.0)})
    assert "elsewhere" not in [w.title for w in wires(figure)]


def test_a_name_may_be_empty():
    x = Variable(3.0)
    assert Wire("", "", "3", "2") in wires(computational_graph(x * 2.0, {"": x}))


def test_a_leaf_without_a_name_is_called_by_its_class():
    assert wires(computational_graph(Variable(3.0), {})) == [Wire("Variable", "", "3", "1")]
    assert wires(computational_graph(xpnet.Parameter(3.0), {}))[0].title == "Parameter"


def test_a_long_chain_does_not_recurse():
    x = y = Variable(1.0)
    for _ in range(sys.getrecursionlimit() + 1):
        y = F.sin(y)
    (axes,) = computational_graph(y, {"x": x}).axes
    assert len(axes.patches) > 2 * sys.getrecursionlimit()


# --- how it looks ---------------------------------------------------------------------------------


def boxes(figure, kind):
    return [patch for patch in figure.axes[0].patches if isinstance(patch, kind)]


@pytest.mark.parametrize("graph", GRAPHS)
def test_no_text_meets_another_or_leaves_the_picture(graph):
    figure = computational_graph(*graph())
    renderer = FigureCanvasAgg(figure).get_renderer()
    extents = [(t.get_text(), t.get_window_extent(renderer)) for t in figure.axes[0].texts]
    for i, (text, a) in enumerate(extents):
        assert a.x0 >= 0, text
        assert a.y0 >= 0, text
        assert a.x1 <= figure.bbox.width, text
        assert a.y1 <= figure.bbox.height, text
        assert [other for other, b in extents[:i] if a.overlaps(b)] == []


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_title_fits_into_its_node_and_nodes_stand_apart(graph):
    figure = computational_graph(*graph())
    renderer = FigureCanvasAgg(figure).get_renderer()
    nodes = [box.get_window_extent(renderer) for box in boxes(figure, (Circle, FancyBboxPatch))]
    titles = [t for t in figure.axes[0].texts if t.get_va() == "center_baseline"]
    assert len(nodes) == len(titles)
    for i, (node, title) in enumerate(zip(nodes, titles, strict=True)):
        text = title.get_window_extent(renderer)
        assert node.x0 < text.x0, title
        assert text.x1 < node.x1, title
        assert not any(node.overlaps(other) for other in nodes[:i])


@pytest.mark.parametrize("graph", GRAPHS)
def test_no_wire_runs_through_a_node(graph):
    """It comes near the nodes at its two ends, and no others."""
    figure = computational_graph(*graph())
    renderer = FigureCanvasAgg(figure).get_renderer()
    nodes = [box.get_window_extent(renderer) for box in boxes(figure, (Circle, FancyBboxPatch))]
    arrows = boxes(figure, FancyArrowPatch)
    assert len(arrows) >= len(nodes)
    for arrow in arrows:
        path = arrow.get_transform().transform_path(arrow.get_path())
        line = Path(path.to_polygons(closed_only=False)[0]).interpolated(50).vertices
        touched = [box for box in nodes if box.padded(-4).count_contains(line)]
        ends = [box for box in nodes if box.padded(4).count_contains(line[[0, -1]])]
        assert 1 <= len(ends) <= 2
        assert [box for box in touched if box not in ends] == []


def test_heights_are_the_nearest_that_are_a_row_apart():
    """Two that want one place share it evenly; what has room stays where it wants to be."""
    assert _apart({"high": 9.0, "a": 0.0, "b": 0.0, "low": -9.0}) == pytest.approx(
        {"high": 9.0, "a": ROW / 2, "b": -ROW / 2, "low": -9.0}
    )
    chain = _apart({"a": 0.0, "b": -0.5, "c": -1.0, "d": -1.5})
    assert list(chain.values()) == pytest.approx([-0.75 + ROW * i for i in (1.5, 0.5, -0.5, -1.5)])


def test_functions_are_circles_leaves_are_boxes():
    figure = computational_graph(*bill())
    assert (len(boxes(figure, Circle)), len(boxes(figure, FancyBboxPatch))) == (4, 5)


# --- files, and errors ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_ending_is_the_format(suffix, tmp_path):
    path = tmp_path / f"graph{suffix}"
    computational_graph(*bill(), path)
    sign = {".png": b"\x89PNG", ".svg": b"<svg", ".pdf": b"%PDF"}[suffix]
    assert sign in path.read_bytes()[:1000]


def test_the_path_may_be_text_and_the_picture_has_its_colours(tmp_path):
    computational_graph(*bill(), str(tmp_path / "graph.png"))
    image = Image.open(tmp_path / "graph.png").convert("RGB")
    colours = {colour: n for n, colour in image.getcolors(image.width * image.height)}
    for colour in (INK, RED, BLUE):
        assert colours[tuple(bytes.fromhex(colour[1:]))] > 100
    assert colours[255, 255, 255] > image.width * image.height / 2


def test_an_unknown_ending_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ValueError, match="xyz"):
        computational_graph(*leaf(), tmp_path / "graph.xyz")


def test_more_than_a_number_has_no_graph():
    x = Variable([1.0, 2.0])
    with pytest.raises(GradientError, match=r"one number, got shape \(2,\).*F\.sum"):
        computational_graph(x * x, {"x": x})


@pytest.mark.parametrize("output", [Variable(1), Variable(1.0, requires_grad=False), 3.0])
def test_what_was_not_recorded_has_no_graph(output):
    with pytest.raises(GradientError, match="Expected a Variable that was recorded, got"):
        computational_graph(output, {})


def test_what_was_made_under_no_grad_has_no_graph():
    x = Variable(2.0)
    with xpnet.no_grad():
        y = x * x
    with pytest.raises(GradientError, match="recorded"):
        computational_graph(y, {"x": x})


def test_a_function_without_a_derivative_is_an_error():
    class Halve(Function):
        def forward(self, x):
            return x / 2.0

    with pytest.raises(GradientError, match="Halve defines no backward"):
        computational_graph(Halve()(Variable(1.0)), {})


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "xpnet\[plots\]"'):
        computational_graph(*leaf())


def test_dot_has_each_node_and_each_wire(tmp_path):
    """Of (x + 1) x at 2: two wires out of x; 3 and 6 with their gradients; no matplotlib."""
    x = Variable(2.0)
    text = dot((x + 1.0) * x, {"x": x, 'a "name" & more': Variable(0.0)}, tmp_path / "g.dot")
    lines = [line.strip() for line in text.splitlines()]
    titles = [line.split('"')[1] for line in lines if line.startswith("n") and "shape" in line]
    assert sorted(titles) == ["+", "constant", "x", "\N{MULTIPLICATION SIGN}"]
    wires = [line for line in lines if "->" in line]
    assert len(wires) == 5
    red = f'<br/><font color="{RED}">{{}}</font>'
    assert sum(f"<2{red.format(5)}>" in wire for wire in wires) == 2
    assert sum(f"<3{red.format(2)}>" in wire for wire in wires) == 1
    assert sum(f"<6{red.format(1)}>" in wire for wire in wires) == 1
    assert "label=<>" not in text
    assert (tmp_path / "g.dot").read_text(encoding="utf-8") == text


def test_dot_escapes_names():
    x = Variable(2.0)
    text = dot(x * x, {'a "b" \\ <c> & d': x})
    assert r'label="a \"b\" \\ <c> & d"' in text


@pytest.mark.parametrize(("suffix", "sign"), [(".svg", b"<svg"), (".png", b"\x89PNG")])
def test_the_suffix_is_the_format(tmp_path, suffix, sign):
    x = Variable(2.0)
    computational_graph(x * x, {"x": x}, tmp_path / f"g{suffix}")
    assert sign in (tmp_path / f"g{suffix}").read_bytes()[:1000]
