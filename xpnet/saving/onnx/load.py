"""ONNX files as models of xpnet, which can be trained further."""

import re
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin

from xpnet.errors import DataError, StateError
from xpnet.layers import (
    Embedding,
    Flatten,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    Layer,
    Sequential,
    SiLU,
)
from xpnet.saving.onnx._load_file import File, Node, opened
from xpnet.saving.onnx._load_folding import INVALID, Folding, failed, options_of
from xpnet.saving.onnx._load_layers import (
    LAYERS,
    RECURRENT,
    Constants,
    Recurrent,
    affine,
    recurrent,
)
from xpnet.saving.onnx._load_network import Network, Operator, Step, parameters_of
from xpnet.saving.onnx._load_operators import ML_OPERATORS, OPERATORS
from xpnet.saving.onnx._load_windows import WINDOW_OPERATORS

if TYPE_CHECKING:
    import onnx

__all__ = ["load_onnx"]


def load_onnx(
    source: "str | PathLike[str] | bytes | onnx.ModelProto",
    *,
    outputs: str | Sequence[str] | None = None,
) -> Layer:
    """A model of an ONNX file, as a layer that computes the same and can be trained further.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
        Tensors in other files are found in the folder of the path, and nowhere else.
    outputs : str or sequence of str, optional
        The values of the graph that the model returns; by default, the graph's outputs. Any output
        of a node will do, such as the features before the last layer. Only what they depend on is
        loaded.

    Returns
    -------
    Layer
        If the graph is a chain of layers, a `Sequential` of xpnet's own: Affine, Conv2d, ReLU, ...
        Otherwise a layer whose repr is the graph, a layer a line: a call takes the graph's inputs, each
        as an argument, and returns its output, or a tuple of them. The model is in evaluation, on
        the current backend, and in the dtypes of the file.

    Raises
    ------
    StateError
        An operator, or the value of an attribute, is not covered: the message names the first one.
        Or the graph is not valid, or a tensor is missing, truncated or of a dtype that the array
        API standard does not have.
    DataError
        The file cannot be read, or is not an ONNX model.
    ArgumentError
        The graph has no value of a name in `outputs`.
    MissingPackageError
        The package onnx is not installed.

    Notes
    -----
    Floating-point initializers of one axis or more are parameters, except running statistics, which
    are buffers. Single numbers and the values of Constant nodes are constants: ONNX does not record
    what was trained. To keep a parameter as it is, set `requires_grad = False`. Layers that share an
    initializer share a parameter; PyTorch's older exporter merges initializers that are equal, such as
    the norms of a network that was never trained.

    Unless the model is a `Sequential`, a layer has the name of its weight in the file: from
    "features.0.weight" comes the parameter "layers.features.0.weight". The initializer "position" of an
    Add is the parameter "layers.add.operands.position". Before you train the model, call
    `model.train()`: then batch normalization uses the statistics of the batch, and dropout drops.

    Opsets from 7 on are covered, with the operators that layers and functions of xpnet have equals
    of. Shapes may be free; what is computed from them is computed on the host.

    Examples
    --------
    >>> import xpnet
    >>> import onnx  # doctest: +SKIP
    >>> model = xpnet.saving.load_onnx(onnx.parser.parse_model('''
    ...     <ir_version: 8, opset_import: ["" : 17]>
    ...     agraph (float[batch, 3] x) => (float[batch, 2] y)
    ...     <float[2, 3] fc.weight = {1, 2, 3, 4, 5, 6}, float[2] fc.bias = {0, 1}>
    ...     { h = Gemm <transB = 1> (x, fc.weight, fc.bias)
    ...       y = Relu(h) }'''))  # doctest: +SKIP
    >>> model  # doctest: +SKIP
    Sequential(
      Affine(3 -> 2)
      ReLU()
    )
    """
    if isinstance(outputs, str):
        outputs = [outputs]
    try:
        file = opened(source, outputs, _require_covered)
    except UnicodeDecodeError as error:
        raise DataError(f"expected an ONNX model, got names that are no text: {error}") from error
    return _Assembly(file).model().eval()


# --- what is covered ------------------------------------------------------------------------------


KNOWN: dict[str, set[str]] = {
    "": {*OPERATORS, *WINDOW_OPERATORS, *RECURRENT, "Constant"},
    "ai.onnx.ml": {*ML_OPERATORS},
}
"""The operators that are covered, by their domains."""


def _require_covered(node: Node, needed: set[str], opset: int, where: str) -> None:
    """Raise StateError if an operator, an attribute or an output is not covered."""
    problem = _uncovered(node, needed)
    if not problem:
        return
    message = (
        f"{where}: expected operators that xpnet has equals of, got {problem} in the node "
        f"{node.name or node.outputs[0]!r} (opset {opset})."
    )
    if node.kind == "ZipMap":
        message += " skl2onnx writes none with options={'zipmap': False}."
    elif node.inputs and node.inputs[0]:
        message += f" What comes before it is loaded with outputs={node.inputs[0]!r}."
    raise StateError(message)


def _uncovered(node: Node, needed: set[str]) -> str:
    """What of a node is not covered, in words; "" if all is."""
    if node.kind not in KNOWN.get(node.domain, ()):
        return f"{node.kind}, of the domain {node.domain or 'ai.onnx'},"
    for name, value in node.attributes.items():
        if not _covers(node.kind, name, value):
            return f"{node.kind} with {name}={value!r}"
    if node.kind not in ("Split", *RECURRENT):
        more = [name for name in node.outputs[1:] if name in needed and name]
        if more:
            return f"{node.kind} with a further output, {more[0]!r},"
    if node.kind == "LSTM" and any(node.inputs[7:]):
        return "LSTM with peepholes"
    if node.kind == "Dropout" and any(node.inputs[2:]):
        return "Dropout with an input training_mode"
    return ""


def _covers(kind: str, name: str, value: Any) -> bool:
    """Whether an operator is covered with this value of an attribute."""
    if kind == "Constant":
        return name in ("value", "value_float", "value_floats", "value_int", "value_ints")
    if kind in RECURRENT:
        return _covers_recurrent(kind, name, value)
    parameter = parameters_of(kind).get(name)
    if parameter is None or name in ("opset", "count"):
        return False
    if get_origin(parameter.annotation) is Literal:
        return value in get_args(parameter.annotation)
    return True


def _covers_recurrent(kind: str, name: str, value: Any) -> bool:
    """Whether a recurrent operator is covered with this value of an attribute."""
    if name == "activations":
        usual = RECURRENT[kind][2]
        found = [list(value[i : i + len(usual)]) for i in range(0, len(value), len(usual))]
        if kind == "RNN":
            return all(names == found[0] and names in (["Tanh"], ["Relu"]) for names in found)
        return all(names == usual for names in found)
    allowed: dict[str, Any] = {
        "input_forget": (0,),
        "linear_before_reset": (0, 1),
        "layout": (0, 1),
    }
    if name in ("hidden_size", "direction"):
        return True
    return name in allowed and value in allowed[name]


# --- from nodes to layers -------------------------------------------------------------------------


class _Call(NamedTuple):
    """A layer, a name for it, and the values that it reads and makes."""

    layer: Layer
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class _Assembly:
    """The model of a file under construction.

    Attributes
    ----------
    nodes : list of Node
        Those that remain when what is constant has been computed.
    constants : Constants
    readers : dict of str to list of Node
        The nodes that read a value; None stands for the caller, who is given the graph's outputs.
    calls : list of _Call
    """

    def __init__(self, file: File) -> None:
        folding = Folding(file)
        self.file = file
        self.nodes = folding.nodes
        self.outputs = folding.outputs
        self.constants = Constants(folding, file)
        self.readers: dict[str, list[Node | None]] = {name: [None] for name in self.outputs}
        for node in self.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)
        self.calls: list[_Call] = []

    # --- layers -----------------------------------------------------------------------------------

    def model(self) -> Layer:
        """The layer for the whole graph."""
        done: set[int] = set()
        for node in self.nodes:
            if id(node) in done:
                continue
            try:
                done.update(map(id, self._add(node)))
            except INVALID as error:
                raise failed(self.file, node, error) from error
        made = {name for call in self.calls for name in call.outputs}
        made.update(x.name for x in self.file.inputs)
        for name in dict.fromkeys(self.outputs):
            if name not in made:
                self._add_constant(name, name)
        chain = self._chain()
        if chain is not None:
            return Sequential(*chain)
        return self._network()

    def _add(self, node: Node) -> Sequence[Node]:
        """Add the call of a node; return the nodes after it that the call computes as well."""
        for fused in (self._affine, self._embedding, self._global_pool, self._silu):
            found = fused(node)
            if found is not None:
                layer, name, more = found
                x = node.inputs[isinstance(layer, Embedding)]  # Gather has the table first
                self._append(layer, name, (x,), more[-1].outputs[:1])
                return more
        c = self.constants
        layers = None
        if node.kind in RECURRENT:
            return self._add_recurrent(node)
        x = c.name(node, 0)
        if node.kind in LAYERS and x and x not in c.arrays:
            layers = LAYERS[node.kind](node, c)
        if layers is None:
            layer, inputs = self._operator(node)
            self._append(layer, _snake(node.kind), inputs, node.outputs)
            return ()
        for i, layer in enumerate(layers[:-1]):
            name = f"{node.outputs[0]}:{i}"
            self._append(layer, _snake(layer.kind), (x,), (name,))  # type: ignore[attr-defined]
            x = name
        self._append(layers[-1], self._name(node), (x,), node.outputs[:1])
        return ()

    def _append(
        self, layer: Layer, name: str, inputs: Iterable[str], outputs: Iterable[str]
    ) -> None:
        made = list(outputs)
        while len(made) > 1 and made[-1] not in self.readers:
            made.pop()  # nobody reads it
        self.calls.append(_Call(layer, name, tuple(inputs), tuple(made)))

    def _add_constant(self, name: str, value: str) -> None:
        """Add a call that returns a constant, as `value`."""
        tensor = self.constants.tensor(name)
        self._append(Operator("Identity", (name,), {}, {name: tensor}), "constant", (), (value,))

    def _operator(self, node: Node) -> tuple[Operator, list[str]]:
        """The operator of a node with its constants, and the names of its other inputs."""
        c = self.constants
        arguments: list[Any] = []
        operands = {}
        inputs = []
        for name in node.inputs:
            array = c.arrays.get(name)
            if not name:
                arguments.append(None)
            elif array is None:
                arguments.append(...)
                inputs.append(name)
            elif array.dtype.kind == "f" and array.ndim:
                arguments.append(name)
                operands[name] = c.tensor(name)
            else:
                arguments.append(array)
        return Operator(node.kind, arguments, options_of(node, self.file.opset), operands), inputs

    def _add_recurrent(self, node: Node) -> Sequence[Node]:
        """Add the call of a recurrent layer, whose weights are constants."""
        c = self.constants
        for place, name in ((1, "W"), (2, "R"), (3, "B")):
            if c.name(node, place) and c.array(node, place) is None:
                raise StateError(f"{name} is computed from inputs: expected constant weights.")
        layer: Any = recurrent(node, c)
        inputs = [node.inputs[0], *(c.name(node, place) for place in (4, 5, 6))]
        for i, name in enumerate(inputs[1:], start=1):
            if name in c.arrays:
                inputs[i] = f"{name}:{node.outputs[0]}"
                self._add_constant(name, inputs[i])
        while not inputs[-1]:
            inputs.pop()
        outputs = list(node.outputs)
        after = self._joined_directions(node, layer)
        if after:
            layer = layer.layer
            outputs[0] = after[-1].outputs[0]
        self._append(layer, _snake(node.kind), inputs, outputs)
        return after

    def _joined_directions(self, node: Node, layer: Any) -> list[Node]:
        """The nodes that give y of a recurrent operator the shape that it has in xpnet and PyTorch."""
        if layer.reverse or layer.batch_first:
            return []
        y = node.outputs[0]
        squeeze = self._only_reader(y, "Squeeze")
        if squeeze is not None and self._axes(squeeze) == (1,):  # the axis of one direction
            return [squeeze]
        moved = self._only_reader(y, "Transpose")
        if moved is None or moved.attributes.get("perm") != (0, 2, 1, 3):
            return []
        joined = self._only_reader(moved.outputs[0], "Reshape")
        if joined is None or not self._joins(joined, y, layer.layer):
            return []
        return [moved, joined]

    def _joins(self, node: Node, y: str, layer: Any) -> bool:
        """Whether a Reshape of y, (length, batch, directions, n), joins the last two axes."""
        shape = self._target(node)
        length, _, batch, _ = (*(self.constants.shapes.get(y) or ()), None, None, None, None)[:4]
        width = layer.hidden_size * (1 + layer.bidirectional)
        keeps = shape[:1] in ((0,), (length,)) and shape[1:2] in ((0,), (-1,), (batch,))
        return keeps and shape[2:] in ((-1,), (width,))

    def _target(self, node: Node) -> tuple[int, ...]:
        """The shape that a Reshape asks for, if it is constant."""
        shape = self.constants.array(node, 1)
        if shape is None:
            return ()
        return tuple(shape.tolist())

    def _axes(self, node: Node) -> tuple[int, ...]:
        """The axes of a Squeeze or a reduction, which are an input or an attribute."""
        given = self.constants.array(node, 1)
        if given is not None:
            return tuple(given.tolist())
        return tuple(node.attributes.get("axes", ()))

    def _affine(self, node: Node) -> tuple[Layer, str, list[Node]] | None:
        """x @ W as an Affine layer, with the sum after it as its bias."""
        c = self.constants
        x, weight, *_ = (*node.inputs, "", "")
        rank = c.rank(x)
        is_product = node.kind == "MatMul" and x not in c.arrays and (rank is None or rank > 1)
        if not is_product or not c.owns(node, 1):
            return None
        add = self._only_reader(node.outputs[0], "Add")
        if add is not None:
            place = int(add.inputs[0] == node.outputs[0])
            if c.owns(add, place):
                bias = add.inputs[place]
                layer = affine(c, weight, bias, is_transposed=False)
                if layer is not None:
                    return layer, _stem(weight, bias), [add]
        layer = affine(c, weight, "", is_transposed=False)
        if layer is None:
            return None
        return layer, _stem(weight), [node]

    def _embedding(self, node: Node) -> tuple[Layer, str, list[Node]] | None:
        """The rows of a matrix that an input of the graph names."""
        c = self.constants
        is_table = node.kind == "Gather" and not node.attributes.get("axis", 0) and c.owns(node, 0)
        if not is_table or node.inputs[1] not in {x.name for x in self.file.inputs}:
            return None
        W = c.arrays[node.inputs[0]]
        if W.ndim != 2 or 0 in W.shape:
            return None
        layer = Embedding(1, W.shape[1])  # draws no weights that are then replaced
        layer.num_embeddings = W.shape[0]
        layer.weight = c.parameter(node.inputs[0])
        return layer, _stem(node.inputs[0]), [node]

    def _global_pool(self, node: Node) -> tuple[Layer, str, list[Node]] | None:
        """A pool of all places, and the Flatten or Squeeze after it: xpnet's layer does both."""
        kinds = {"GlobalAveragePool": GlobalAvgPool2d, "GlobalMaxPool": GlobalMaxPool2d}
        kinds |= {"ReduceMean": GlobalAvgPool2d, "ReduceMax": GlobalMaxPool2d}
        if node.kind not in kinds or self.constants.rank(node.inputs[0]) != 4:
            return None
        layer = kinds[node.kind]()
        name = _snake(node.kind)
        if node.kind.startswith("Reduce"):
            if {n % 4 for n in self._axes(node)} != {2, 3}:
                return None
            if not node.attributes.get("keepdims", 1):
                return layer, name, [node]
        after = self._flattening(node.outputs[0])
        if after is None:
            return None
        return layer, name, [after]

    def _flattening(self, pooled: str) -> Node | None:
        """The node that makes (batch, channels) of (batch, channels, 1, 1)."""
        c = self.constants
        for kind in ("Flatten", "Reshape", "Squeeze"):
            node = self._only_reader(pooled, kind)
            if node is None:
                continue
            if kind == "Squeeze":
                fits = {n % 4 for n in self._axes(node)} == {2, 3}
            else:
                layers = LAYERS[kind](node, c)
                fits = layers is not None and isinstance(layers[0], Flatten)
            if fits:
                return node
        return None

    def _silu(self, node: Node) -> tuple[Layer, str, list[Node]] | None:
        """x times its sigmoid."""
        if node.kind != "Sigmoid":
            return None
        product = self._only_reader(node.outputs[0], "Mul")
        if product is None or set(product.inputs) != {node.inputs[0], node.outputs[0]}:
            return None
        return SiLU(), "silu", [product]

    def _only_reader(self, name: str, kind: str) -> Node | None:
        """The node of a kind that alone reads a value; None if there is none, or others read it."""
        readers = self.readers.get(name, [])
        if len(readers) == 1 and readers[0] is not None and readers[0].kind == kind:
            return readers[0]
        return None

    def _name(self, node: Node) -> str:
        """A name for the layer of a node: that of its weight in the file, else of its operator."""
        c = self.constants
        names = [name for name in node.inputs[1:] if name in c.learned]
        if names and node.kind not in ("Reshape", *RECURRENT):
            return _stem(*names[:2])
        return _snake(node.kind)

    # --- the whole --------------------------------------------------------------------------------

    def _chain(self) -> list[Layer] | None:
        """The layers, if each reads only what the one before it has made."""
        if len(self.file.inputs) != 1 or len(self.outputs) != 1 or not self.calls:
            return None
        value = self.file.inputs[0].name
        for call in self.calls:
            if call.inputs != (value,) or len(call.outputs) != 1:
                return None
            if getattr(call.layer, "kind", "") in ("Shape", "Size", "Split"):
                return None  # they return shapes, and tuples
            if isinstance(call.layer, (Recurrent, *(kind for kind, *_ in RECURRENT.values()))):
                return None
            (value,) = call.outputs
        if value != self.outputs[0]:
            return None
        return [call.layer for call in self.calls]

    def _network(self) -> Network:
        """The layers as a graph, with short names for its values."""
        taken = {x.name for x in self.file.inputs}
        shown = {x.name: x.name for x in self.file.inputs} | {"": ""}
        layers = {}
        steps = []
        for call in self.calls:
            name = _unused(call.name, taken)
            taken.add(name)
            layers[name] = call.layer
            inputs = tuple(shown[value] for value in call.inputs)
            outputs: tuple[str, ...] = (name,)
            if len(call.outputs) > 1:
                outputs = tuple(f"{name}[{i}]" for i in range(len(call.outputs)))
            shown.update((v, o) for v, o in zip(call.outputs, outputs, strict=True) if v)
            steps.append(Step(name, inputs, outputs))
        returned = [shown[name] for name in self.outputs]
        return Network(self.file.inputs, returned, layers, steps, self.file.outputs)


def _stem(*names: str) -> str:
    """What the names of a layer's parameters begin with: "features.0" of "features.0.weight".

    >>> _stem("onnx::MatMul_7", "fc1.bias")
    'fc1'
    """
    for name in names:
        match = re.fullmatch(r"(.+?)[._/](weight|bias|kernel|gamma|W|w|b|B)", name)
        if match:
            return match[1].removeprefix(
                "layers."
            )  # which is what a Sequential of xpnet begins with
    return names[0]


def _snake(kind: str) -> str:
    """The name of an operator as that of a value: "global_average_pool" of "GlobalAveragePool"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()


def _unused(name: str, taken: set[str]) -> str:
    """The name, with a number after it if it is taken."""
    found = name
    n = 1
    while found in taken:
        n += 1
        found = f"{name}_{n}"
    return found
