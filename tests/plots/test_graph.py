"""The graph in DOT shows each value and each gradient on the edges of its own node."""

import os
import re
import shutil
import sys
from html import unescape
from typing import NamedTuple

import numpy as np
import pytest

import xpnet
from xpnet import ArgumentError, GradientError, Variable, functions as F, gradient_checkpoint
from xpnet.autodiff.function import Function
from xpnet.autodiff.variable import gradients
from xpnet.plots._graph import BLUE, GREY, RED, dot

NODE = re.compile(r'(n\d+) \[label="(.*)", shape=(\w+), color="(#\w+)"\];')
EDGE = re.compile(r"(n\d+) -> (n\d+|end)(?: \[label=<(.*)>\])?;")
FIELDS = {
    "name": re.compile(r"<b>(.*)</b>"),
    "gradient": re.compile(rf'<font color="{RED}">(.*)</font>'),
    "value": re.compile(r"(.*)"),
}


class Node(NamedTuple):
    """What is written in a node, and on the edges that leave it."""

    title: str
    name: str = ""
    value: str = ""
    gradient: str = ""


def parsed(code):
    """The identifiers, titles, shapes and colors of all nodes; and the edges: from, to, label."""
    lines = [line.strip() for line in code.splitlines()[2:-1]]
    lines.remove('end [label="", shape=none];')
    found = [NODE.fullmatch(line) for line in lines]
    boxes = [match.groups() for match in found if match]
    edges = [
        EDGE.fullmatch(line).groups() for line, match in zip(lines, found, strict=True) if not match
    ]
    return boxes, edges


def nodes(code):
    """All nodes, inputs first."""
    boxes, edges = parsed(code)
    labels = {source: label for source, _, label in edges}
    found = []
    for identifier, title, _, _ in boxes:
        fields = {}
        for text in (labels[identifier] or "").split("<br/>"):
            kind, match = next((k, m) for k, e in FIELDS.items() if (m := e.fullmatch(text)))
            fields[kind] = unescape(match[1])
        found.append(Node(title, **fields))
    return found


def node(code, title):
    (found,) = [n for n in nodes(code) if title in (n.title, n.name)]
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
    """Leaves that are used early and late, and a variable that is multiplied with itself."""
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


# --- values and gradients ------------------------------------------------------------------------


def test_the_bill_has_the_lessons_numbers(backend):
    """Each node has its value and gradient from lesson 1."""
    code = dot(*bill())
    assert {w.title: w[2:] for w in nodes(code) if len(w.title) > 1} == {
        "apple price": ("100", "4.4"),
        "apple count": ("4", "110"),
        "mandarin price": ("70", "3.3"),
        "mandarin count": ("3", "77"),
        "tax": ("1.1", "610"),
    }
    assert {w[1:]: w.title for w in nodes(code) if len(w.title) == 1} == {
        ("apple total", "400", "1.1"): "×",
        ("mandarin total", "210", "1.1"): "×",
        ("fruit total", "610", "1.1"): "+",
        ("total", "671", "1"): "×",
    }


def test_nodes_are_listed_inputs_first_in_the_order_of_the_arguments():
    titles = [n.title for n in nodes(dot(*bill()))]
    assert titles == [
        "apple price",
        "apple count",
        "×",
        "mandarin price",
        "mandarin count",
        "×",
        "+",
        "tax",
        "×",
    ]


@pytest.mark.parametrize("graph", [bill, network, composed, tangle, split])
def test_every_edge_leads_to_a_node_that_is_listed_later(graph):
    boxes, edges = parsed(dot(*graph()))
    place = {identifier: i for i, (identifier, *_) in enumerate(boxes)}
    assert all(place[source] < place.get(target, len(boxes)) for source, target, _ in edges)
    assert {source for source, *_ in edges} == set(place)
    assert [source for source, target, _ in edges if target == "end"] == [boxes[-1][0]]


def test_values_that_no_rule_has_kept_are_computed_again():
    """No rule keeps the sum in (a + b) * 2, but its inputs are known."""
    a, b = Variable(3.0), Variable(4.0)
    code = dot(F.sqrt((a + b) * 2.0 + 2.0), {"a": a, "b": b})
    sums = [w for w in nodes(code) if w.title == "+"]
    assert sums[0] == Node("+", "", "7", "0.25")
    assert node(code, "√") == Node("√", "", "4", "1")


def test_an_unknown_value_is_left_out():
    """x + 1 keeps neither x nor 1, so the values of the constant and of the sum are unknown."""
    x = Variable(1.0)
    first, second = (w for w in nodes(dot(x + 1.0 + 2.0, {})) if w.title == "+")
    assert first == Node("+", "", "", "1")
    assert second == Node("+", "", "4", "1")


def test_a_checkpoint_is_not_run_for_its_value():
    """It would run the user's function again; its inputs have their own values, or none."""
    x, w = Variable(1.5), Variable(2.0)
    tripled = w * 3.0
    runs = []

    @gradient_checkpoint
    def scaled(x):
        runs.append(1)
        return x * tripled

    code = dot(scaled(x) + 1.0, {"x": x, "w": w})
    assert node(code, "GradientCheckpoint") == Node("GradientCheckpoint", "", "", "1")
    assert node(code, "×") == Node("×", "", "6", "1.5")
    assert len(runs) == 2, "once to compute, and once to differentiate"


def test_a_number_in_a_formula_is_the_title_of_its_box():
    x = Variable(3.0)
    code = dot(x * 2.5, {"x": x})
    assert sorted(nodes(code)) == [
        Node("2.5"),
        Node("x", "", "3", "2.5"),
        Node("×", "", "7.5", "1"),
    ]


def test_a_constant_has_its_name_and_value_but_no_gradient():
    x, c = Variable(3.0), Variable(2.0, requires_grad=False)
    code = dot(x * c, {"x": x, "c": c})
    assert node(code, "c") == Node("c", "", "2", "")
    boxes, _ = parsed(code)
    assert {title: color for _, title, _, color in boxes} == {"x": BLUE, "c": GREY, "×": BLUE}
    assert node(dot(x * c, {"x": x}), "constant").value == "2"


def test_powers_show_their_exponent():
    """A number is part of the function, an array is an input."""
    x = Variable(3.0)
    assert node(dot(x**2, {}), "^2") == Node("^2", "", "9", "1")
    code = dot(2.0**x, {"x": x})
    assert node(code, "^").value == "8"
    assert node(code, "x").gradient == f"{8 * np.log(2.0):.6g}"


def test_a_variable_that_a_function_takes_twice_has_two_edges():
    """Its gradient is the sum of both."""
    x = Variable(3.0)
    code = dot(x * x, {"x": x})
    assert node(code, "x") == Node("x", "", "3", "6")
    _, edges = parsed(code)
    assert [(source, target) for source, target, _ in edges] == [
        ("n0", "n1"),
        ("n0", "n1"),
        ("n1", "end"),
    ]


def test_a_shared_leaf_is_one_box_with_the_sum_of_its_gradients():
    """y = (a b + c) a c^2 + b + b^2, differentiated by hand."""
    code = dot(*tangle())
    a, b, c = 1.0, 2.0, 3.0
    assert float(node(code, "a").gradient) == (2 * a * b + c) * c**2
    assert float(node(code, "b").gradient) == a * a * c**2 + 1.0 + 2.0 * b
    c_gradient = node(code, "a leaf with a rather long name").gradient
    assert float(c_gradient) == a * (2.0 * a * b * c + 3.0 * c**2)


def test_each_output_of_a_function_is_a_node():
    """It has a value and a gradient of its own."""
    code = dot(*split())
    assert node(code, "Split") == Node("Split")
    assert node(code, "[0]") == Node("[0]", "left", "6", "9")
    assert node(code, "[1]") == Node("[1]", "", "9", "6")
    assert node(code, "x").gradient == "36"


def test_an_unused_output_is_left_out():
    x = Variable(3.0)
    code = dot(Split()(x)[1], {"x": x})
    assert [w.title for w in nodes(code)] == ["x", "Split", "[1]"]
    assert node(code, "x").gradient == "3"


def test_arrays_have_their_shape_and_the_norm_of_their_gradient(backend, array):
    """d sum(x^2) / dx = 2 x; for x = (3, 4) its norm is 10."""
    x = Variable(array([3.0, 4.0]))
    code = dot(F.sum(x * x), {"x": x})
    assert node(code, "x") == Node("x", "", "(2,)", "‖g‖ = 10")
    assert node(code, "×") == Node("×", "", "(2,)", f"‖g‖ = {2**0.5:.3g}")
    assert node(code, "Σ") == Node("Σ", "", "25", "1")


def test_an_array_of_one_element_is_a_number_and_an_empty_one_a_shape():
    x, nothing = Variable([[2.0]]), Variable(np.zeros((0, 3)))
    code = dot(F.sum(x) + F.sum(nothing), {"x": x, "nothing": nothing})
    assert node(code, "x") == Node("x", "", "2", "1")
    assert node(code, "nothing") == Node("nothing", "", "(0, 3)", "‖g‖ = 0")


def test_the_graph_of_a_network_shows_its_parameters_and_functions(backend):
    """Parameters and functions have their names, data are constants, and the loss is at the end."""
    loss, names = network()
    code = dot(loss, names)
    titles = [w.title for w in nodes(code)]
    assert set(names) < set(titles)
    assert titles.count("Linear") == 2
    assert titles.count("constant") == 2  # x and t
    assert node(code, "SoftmaxCrossEntropy").value == f"{float(loss):.6g}"
    loss.backward()
    for name, p in names.items():
        norm = float(np.linalg.norm(xpnet.to_numpy(p.grad)))
        shown = node(code, name)
        assert shown.value == str(tuple(p.shape))
        assert float(shown.gradient.removeprefix("‖g‖ = ")) == pytest.approx(norm, rel=5e-3)


def test_an_omitted_argument_has_no_box():
    x, W = Variable([[1.0, 2.0]]), Variable([[3.0], [4.0]])
    code = dot(F.linear(x, W), {"x": x, "W": W})
    assert sorted(w.title for w in nodes(code)) == ["Linear", "W", "x"]
    assert node(code, "Linear").value == "11"


def test_the_graph_of_a_gradient_is_drawn():
    """d x^3 / dx = 3 x^2 = 12 at 2, whose derivative is 6 x = 12."""
    x = Variable(2.0)
    (slope,) = gradients(x**3, [x], create_graph=True)
    code = dot(slope, {"x": x, "slope": slope})
    assert node(code, "slope")[1:] == ("slope", "12", "1")
    assert node(code, "x").gradient == "12"


def test_gradients_of_the_caller_are_not_changed():
    x = Variable(3.0)
    y = x * x
    dot(y, {"x": x})
    assert x.grad is None
    y.backward()
    code = dot(y, {"x": x})
    assert node(code, "x").gradient == "6"
    assert float(x.grad) == 6.0


def test_names_of_variables_outside_the_graph_are_ignored():
    x = Variable(3.0)
    code = dot(x * 2.0, {"x": x, "elsewhere": Variable(1.0)})
    assert "elsewhere" not in [w.title for w in nodes(code)]


def test_a_name_may_be_empty():
    x = Variable(3.0)
    assert Node("", "", "3", "2") in nodes(dot(x * 2.0, {"": x}))


def test_a_leaf_without_a_name_has_the_name_of_its_class():
    assert nodes(dot(Variable(3.0), {})) == [Node("Variable", "", "3", "1")]
    assert nodes(dot(xpnet.Parameter(3.0), {}))[0].title == "Parameter"


def test_a_long_chain_does_not_recurse():
    x = y = Variable(1.0)
    for _ in range(sys.getrecursionlimit() + 1):
        y = F.sin(y)
    assert len(nodes(dot(y, {"x": x}))) == 2 + sys.getrecursionlimit()


# --- files, and errors ----------------------------------------------------------------------------


def test_functions_are_circles_and_leaves_are_boxes():
    boxes, _ = parsed(dot(*bill()))
    assert [shape for _, _, shape, _ in boxes].count("circle") == 4
    assert [shape for _, _, shape, _ in boxes].count("box") == 5
    boxes, _ = parsed(dot(*network()))
    assert {title: shape for _, title, shape, _ in boxes}["SoftmaxCrossEntropy"] == "ellipse"


@pytest.mark.parametrize("name", ["graph.dot", "graph.gv", "graph"])
def test_the_code_is_written_to_the_file(name, tmp_path):
    code = dot(*bill(), tmp_path / name)
    assert (tmp_path / name).read_text(encoding="utf-8") == code
    assert dot(*bill(), str(tmp_path / name)) == code


@pytest.fixture
def graphviz(tmp_path, monkeypatch):
    """A stand-in for Graphviz's program, which knows svg and writes back what it was given."""
    if os.name != "posix":
        pytest.skip("the stand-in is a script")
    program = tmp_path / "bin" / "dot"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "if sys.argv[1:] != ['-Tsvg']:\n"
        "    sys.exit(f'Format {sys.argv[1]} not recognized')\n"
        "sys.stdout.buffer.write(b'<svg>' + sys.stdin.buffer.read())\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))


@pytest.mark.usefixtures("graphviz")
def test_a_picture_is_drawn_by_graphviz(tmp_path):
    code = dot(*bill(), tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").read_bytes() == b"<svg>" + code.encode()


@pytest.mark.usefixtures("graphviz")
def test_the_suffix_may_have_capitals(tmp_path):
    code = dot(*bill(), tmp_path / "graph.SVG")
    assert (tmp_path / "graph.SVG").read_bytes() == b"<svg>" + code.encode()
    dot(*bill(), tmp_path / "graph.DOT")
    assert (tmp_path / "graph.DOT").read_text(encoding="utf-8") == code


@pytest.mark.usefixtures("graphviz")
def test_a_format_that_graphviz_does_not_know_is_an_error_that_names_it(tmp_path):
    with pytest.raises(
        ArgumentError, match=r"graph\.xyz: Graphviz cannot draw.*-Txyz not recognized"
    ):
        dot(*leaf(), tmp_path / "graph.xyz")
    assert not (tmp_path / "graph.xyz").exists()


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
@pytest.mark.parametrize(
    ("suffix", "sign"), [(".png", b"\x89PNG"), (".svg", b"<svg"), (".pdf", b"%PDF")]
)
def test_graphviz_itself_draws_the_code(suffix, sign, tmp_path):
    path = tmp_path / f"graph{suffix}"
    dot(*network(), path)
    assert sign in path.read_bytes()[:1000]


def test_without_graphviz_the_error_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match=r"(?s)install graphviz.*\.dot file") as caught:
        dot(*leaf(), tmp_path / "graph.svg")
    assert caught.value.name == "graphviz"
    assert not (tmp_path / "graph.svg").exists()


def test_an_output_with_several_elements_is_refused():
    x = Variable([1.0, 2.0])
    with pytest.raises(GradientError, match=r"one number, got shape \(2,\).*F\.sum"):
        dot(x * x, {"x": x})


@pytest.mark.parametrize("output", [Variable(1), Variable(1.0, requires_grad=False), 3.0])
def test_an_output_that_was_not_recorded_is_refused(output):
    with pytest.raises(GradientError, match="Expected a Variable that was recorded, got"):
        dot(output, {})


def test_an_output_computed_under_no_grad_is_refused():
    x = Variable(2.0)
    with xpnet.no_grad():
        y = x * x
    with pytest.raises(GradientError, match="recorded"):
        dot(y, {"x": x})


def test_a_function_without_a_derivative_is_an_error():
    class Halve(Function):
        def forward(self, x):
            return x / 2.0

    with pytest.raises(GradientError, match="Halve defines no backward"):
        dot(Halve()(Variable(1.0)), {})


def test_the_code_has_each_node_and_each_edge():
    """For (x + 1) x at 2: two edges leave x; 3 and 6 have their gradients."""
    x = Variable(2.0)
    code = dot((x + 1.0) * x, {"x": x, 'a "name" & more': Variable(0.0)})
    boxes, edges = parsed(code)
    assert sorted(title for _, title, *_ in boxes) == [
        "+",
        "constant",
        "x",
        "\N{MULTIPLICATION SIGN}",
    ]
    labels = [label for *_, label in edges]
    assert len(labels) == 5
    red = f'<br/><font color="{RED}">{{}}</font>'
    assert labels.count(f"2{red.format(5)}") == 2
    assert labels.count(f"3{red.format(2)}") == 1
    assert labels.count(f"6{red.format(1)}") == 1
    assert "label=<>" not in code


def test_dot_escapes_names():
    x = Variable(2.0)
    text = dot(x * x, {'a "b" \\ <c> & d': x})
    assert r'label="a \"b\" \\ <c> & d"' in text
