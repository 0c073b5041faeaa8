"""Which inner values of a network the page shows: what each convolution computes, or the first layer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from xpnet.errors import ShapeError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

__all__ = ["Inspected", "inspected"]

SIDE = 28  # pixels: the height and width of the images
MOST = 64  # the number of pictures of one layer that are shown
STRONGEST = 16  # units of a first layer without convolutions
ACTIVATIONS = (
    "Relu",
    "LeakyRelu",
    "Elu",
    "Selu",
    "Gelu",
    "Sigmoid",
    "Tanh",
    "HardSwish",
    "Softplus",
)
FOLLOWED = ("BatchNormalization", *ACTIVATIONS)  # what still belongs to a layer
RESHAPING = ("Flatten", "Reshape", "Identity", "Squeeze", "Unsqueeze")  # it keeps the pixels' order


class Inspected(NamedTuple):
    """A network whose inner values are outputs, and what the page has to know of it.

    Attributes
    ----------
    model : onnx.ModelProto
    description : dict
        `input` and `shape`, the name and the shape of one image; `scores`, the name of the output, and
        `are_scores`, whether it is before softmax; `views`, the names of the further outputs for each image;
        `maps`, a dict for each convolution (output, count, title, text); `units`, one for the first layer, or
        None: also weight, the output with its weights, and by_unit, whether they are a row for each unit.
    outputs : int
        The number of scores.
    """

    model: "ModelProto"
    description: dict[str, Any]
    outputs: int


def inspected(model: "ModelProto") -> Inspected:
    """The network with the outputs that the page shows; the model that is given is not changed.

    Parameters
    ----------
    model : onnx.ModelProto
        With one input, (n, 784), (n, 28, 28) or (n, 1, 28, 28) in float32, and one output, (n, outputs).

    Raises
    ------
    ShapeError
        Inputs or outputs are others.
    """
    found = type(model)()
    found.CopyFrom(model)
    graph = found.graph
    shape = _image_shape(graph)
    scores = graph.output[0].name
    maps = _maps(graph)
    units = None if maps else _first_layer(graph)
    views = [view["output"] for view in [*maps, *([units] if units else [])]]
    for name in views:
        _add_output(graph, name)
    if units:
        units["weight"] = _add_copy(graph, units["weight"])
    before = {node.output[0]: node.op_type for node in graph.node}
    source = _before_identity(graph, scores)
    description = {
        "input": graph.input[0].name,
        "shape": shape,
        "scores": scores,
        "are_scores": before.get(source) != "Softmax",
        "views": views,
        "maps": maps,
        "units": units,
    }
    return Inspected(found, description, _sizes(graph.output[0])[-1])


def _image_shape(graph: "GraphProto") -> list[int]:
    """The shape of one image, as the network takes it, (1, ...)."""
    from onnx import TensorProto

    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    given = [
        (value.type.tensor_type.elem_type, _sizes(value)) for value in [*inputs, *graph.output]
    ]
    if len(inputs) == 1 and len(graph.output) == 1:
        (kind, shape), (_, scores) = given
        images = [[SIDE * SIDE], [SIDE, SIDE], [1, SIDE, SIDE]]
        if kind == TensorProto.FLOAT and shape[1:] in images and len(scores) == 2 and scores[1] > 0:
            return [1, *shape[1:]]
    shapes = ", ".join(
        f"{TensorProto.DataType.Name(kind)} ({', '.join(str(n or 'n') for n in shape)})"
        for kind, shape in given
    )
    raise ShapeError(
        "The page draws one digit of 28 x 28 grey pixels: expected a network from FLOAT (n, 784), (n, 28, 28) or "
        f"(n, 1, 28, 28) to (n, classes), got inputs and outputs {shapes}."
    )


def _sizes(value: "ValueInfoProto") -> list[int]:
    """The shape of an input or output, where 0 stands for any size."""
    return [size.dim_value for size in value.type.tensor_type.shape.dim]


def _maps(graph: "GraphProto") -> list[dict[str, Any]]:
    """A description of what each convolution of images computes."""
    weights = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    maps: list[dict[str, Any]] = []
    for node in graph.node:
        kernel = weights.get(node.input[1]) if node.op_type == "Conv" else None
        if kernel is None or len(kernel) != 4:
            continue
        count, _, height, width = kernel
        output, followed = _end_of_layer(graph, node)
        shown = min(count, MOST)
        title = f"Convolution {len(maps) + 1}: {count} kernels of {height} × {width}"
        text = f"Blue: where each kernel responds{followed}."
        if not followed.endswith("ReLU"):
            text += " Orange: below zero."
        if shown < count:
            text += f" The first {shown} are shown."
        maps.append({"output": output, "count": shown, "title": title, "text": text})
    return maps


def _end_of_layer(graph: "GraphProto", node: "NodeProto") -> tuple[str, str]:
    """The value after the normalization and the activation that follow a node; and these in words."""
    words = {"BatchNormalization": "batch normalization", "Relu": "ReLU"}
    followed: list[str] = []
    readers = _readers(graph)
    while len(readers.get(node.output[0], ())) == 1:
        (following,) = readers[node.output[0]]
        if following.op_type not in FOLLOWED:
            break
        node = following
        followed.append(words.get(node.op_type, node.op_type))
    after = f", after {' and '.join(followed)}" if followed else ""
    return node.output[0], after


def _first_layer(graph: "GraphProto") -> dict[str, Any] | None:
    """A description of the first layer's strongest units, if it multiplies all pixels by weights."""
    readers = _readers(graph)
    value = graph.input[0].name
    while len(readers.get(value, ())) == 1:
        (node,) = readers[value]
        if node.op_type not in RESHAPING:
            return _units(graph, node, value)
        value = node.output[0]
    return None


def _units(graph: "GraphProto", node: "NodeProto", value: str) -> dict[str, Any] | None:
    """A description of the layer that begins at a node, if that is a product of all pixels and weights."""
    weights = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    if node.op_type not in ("Gemm", "MatMul") or node.input[0] != value:
        return None
    shape = weights.get(node.input[1])
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    by_unit = bool(attributes.get("transB", 0))
    pixels = 1 if by_unit else 0
    if shape is None or len(shape) != 2 or shape[pixels] != SIDE * SIDE:
        return None
    count = min(STRONGEST, shape[1 - pixels])
    return {
        "output": node.output[0],
        "weight": node.input[1],
        "by_unit": by_unit,
        "count": count,
        "title": f"The first layer: {shape[1 - pixels]} units",
        "text": f"The {count} units that respond most, the strongest first: their weights times the input. Blue "
        "speaks for the unit, orange against it.",
    }


def _readers(graph: "GraphProto") -> Mapping[str, list["NodeProto"]]:
    """The nodes that read each value."""
    found: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def _before_identity(graph: "GraphProto", name: str) -> str:
    """The value that this one is a copy of, if it is one."""
    source = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    while name in source:
        name = source[name]
    return name


def _add_output(graph: "GraphProto", name: str) -> None:
    """Make an inner value an output, too."""
    from onnx import TensorProto, helper

    if name not in {value.name for value in graph.output}:
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))


def _add_copy(graph: "GraphProto", name: str) -> str:
    """Make a constant an output, by another name, which is returned."""
    from onnx import helper

    copy = f"{name} of the page"
    graph.node.append(helper.make_node("Identity", [name], [copy]))
    _add_output(graph, copy)
    return copy
