"""What of a network the page shows, and which networks it refuses."""

import json
import re

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the page holds an ONNX file: pip install onnx")

from xpnet.errors import ShapeError
from xpnet.report.drawing import Runtime, drawing_page
from xpnet.report.drawing.graph import inspected
from xpnet.saving.onnx._graph import Graph

NOTHING = Runtime(b"", b"")


def network(layers, shape=(784,), dtype=np.float32, outputs=10):
    """A model with an input of that shape; `layers(graph, x)` returns its output."""
    graph = Graph()
    x = graph.input("x", dtype, ("batch", *shape))
    graph.output("y", layers(graph, x), dtype, ("batch", outputs))
    return graph.model()


def affine(graph, x, rows=784, columns=10, dtype=np.float32):
    return graph.node("Gemm", [x, graph.parameter("weight", np.zeros((rows, columns), dtype))])


def convolved(*following, channels=4, kernel=3):
    """A network with a convolution, and then these operators; and an affine layer."""

    def layers(graph, x):
        weight = np.zeros((channels, 1, kernel, kernel), np.float32)
        x = graph.node("Conv", [x, graph.parameter("kernel", weight)])
        for name in following:
            more = []
            if name == "BatchNormalization":
                more = [graph.parameter(n, np.ones(channels, np.float32)) for n in "abcd"]
            x = graph.node(name, [x, *more])
        x = graph.node("GlobalAveragePool", [x])
        return affine(graph, graph.node("Flatten", [x]), channels)

    return network(layers, (1, 28, 28))


@pytest.mark.parametrize(
    ("following", "text", "last"),
    [
        ((), "Blue: where each kernel responds. Orange: below zero.", "Conv"),
        (("Relu",), "Blue: where each kernel responds, after ReLU.", "Relu"),
        (("BatchNormalization", "Relu"), "Blue: where each kernel responds, after batch normalization and ReLU.", "Relu"),
        (("Tanh",), "Blue: where each kernel responds, after Tanh. Orange: below zero.", "Tanh"),
        (("Neg", "Relu"), "Blue: where each kernel responds. Orange: below zero.", "Conv"),
    ],
)  # fmt: skip
def test_a_convolution_is_shown_with_what_belongs_to_it(following, text, last):
    model = convolved(*following)
    found = inspected(model)
    (view,) = found.description["maps"]
    assert view["text"] == text
    assert view["title"] == "Convolution 1: 4 kernels of 3 × 3"
    made_by = {node.output[0]: node.op_type for node in found.model.graph.node}
    assert made_by[view["output"]] == last
    assert view["output"] in [value.name for value in found.model.graph.output]
    assert len(model.graph.output) == 1  # that of the caller is unchanged
    assert found.description["units"] is None


def test_a_value_that_is_read_twice_is_shown_before_it_is_changed():
    """As the shortcut of a residual block reads it."""

    def layers(graph, x):
        weight = graph.parameter("kernel", np.zeros((1, 1, 1, 1), np.float32))
        x = graph.node("Conv", [x, weight])
        x = graph.node("Add", [x, graph.node("Relu", [x])])
        return affine(graph, graph.node("Flatten", [x]))

    found = inspected(network(layers, (1, 28, 28)))
    (view,) = found.description["maps"]
    assert view["output"] == found.model.graph.node[0].output[0]


def test_of_many_kernels_the_first_are_shown():
    (view,) = inspected(convolved("Relu", channels=100)).description["maps"]
    assert view["count"] == 64
    assert view["text"].endswith("The first 64 are shown.")


def transposed(graph, x):
    weight = graph.parameter("weight", np.zeros((10, 784), np.float32))
    return graph.node("Gemm", [x, weight], transB=1)


def multiplied(graph, x):
    x = graph.node("Flatten", [x])
    return graph.node("MatMul", [x, graph.parameter("weight", np.zeros((784, 10), np.float32))])


@pytest.mark.parametrize(
    ("layers", "shape", "by_unit"),
    [(affine, (784,), False), (transposed, (784,), True), (multiplied, (28, 28), False)],
)
def test_the_first_affine_layer_is_shown(layers, shape, by_unit):
    found = inspected(network(layers, shape))
    assert found.description["maps"] == []
    assert found.description["units"]["by_unit"] is by_unit
    assert found.description["units"]["count"] == 10
    assert found.description["shape"] == [1, *shape]
    names = [value.name for value in found.model.graph.output]
    assert found.description["units"]["weight"] in names
    assert found.description["views"] == [found.description["units"]["output"]]


@pytest.mark.parametrize("last", ["Softmax", "Relu"])
def test_probabilities_are_not_taken_for_scores(last):
    found = inspected(network(lambda graph, x: graph.node(last, [affine(graph, x)])))
    assert found.description["are_scores"] is (last != "Softmax")


def averaged(graph, x):
    x = graph.node("Sqrt", [x])  # not what the page can show
    return affine(graph, x)


def test_of_another_network_the_page_says_that_it_shows_only_the_input(tmp_path):
    path = drawing_page(tmp_path / "page.html", network(averaged), runtime=NOTHING)
    assert "neither a convolution nor a first affine layer" in path.read_text(encoding="utf-8")


def wide(graph, x):
    return affine(graph, x, dtype=np.float64)


def rows(graph, x):
    return affine(graph, x, rows=4)


def colours(graph, x):
    return affine(graph, graph.node("Flatten", [x]), rows=3 * 32 * 32)


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (lambda: network(rows, (4,)), "FLOAT (n, 4), FLOAT (n, 10)"),
        (lambda: network(wide, dtype=np.float64), "DOUBLE (n, 784), DOUBLE (n, 10)"),
        (lambda: network(colours, (3, 32, 32)), "FLOAT (n, 3, 32, 32), FLOAT (n, 10)"),
    ],
    ids=["table", "float64", "colour"],
)
def test_what_takes_no_digits_is_refused(model, given, tmp_path):
    with pytest.raises(ShapeError, match=re.escape(f"got inputs and outputs {given}.")):
        drawing_page(tmp_path / "page.html", model(), runtime=NOTHING)
    assert list(tmp_path.iterdir()) == []


def test_there_is_a_name_for_each_class(tmp_path):
    with pytest.raises(ShapeError, match="each output of the network, 10, got 2"):
        drawing_page(tmp_path / "page.html", network(affine), ["a", "b"], runtime=NOTHING)


def test_the_page_replaces_a_file_and_is_the_same_each_time(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old", encoding="utf-8")
    for _ in range(2):
        assert drawing_page(path, network(affine), runtime=NOTHING) == path
        new = path.read_bytes()
        assert b"old" not in new[:20]
        path.write_bytes(new)
    assert drawing_page(path, network(affine), runtime=NOTHING).read_bytes() == new
    assert list(tmp_path.iterdir()) == [path]
    described = re.search(r'id="network">(.*?)</script>', new.decode())[1]
    assert json.loads(described)["classes"] == [*"0123456789"]
