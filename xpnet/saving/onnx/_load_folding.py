"""A graph before it becomes layers: what is constant is computed, and shapes are simplified."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from xpnet.errors import StateError, XpnetError
from xpnet.saving.onnx._load_file import File, Node
from xpnet.saving.onnx._load_network import Operator, parameters_of

__all__ = ["INVALID", "Folding", "failed", "needed", "options_of"]

HostArray = np.ndarray[Any, Any]
RECURRENT_OPERATORS = ("GRU", "LSTM", "RNN")
REARRANGING = ("Cast", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""What may be done to a weight once, when it is loaded: the same numbers in another form."""
OF_ZEROS = (*REARRANGING, "Concat", "Expand", "Gather", "Slice", "Tile")
"""What makes zeros of zeros."""
FIXED = {("BatchNormalization", 3), ("BatchNormalization", 4), ("OneHot", 2)}
"""The inputs of operators that are not trained: running statistics, and values to choose from."""
WEIGHTED = (
    *("BatchNormalization", "Conv", "ConvTranspose", "Gemm", "GroupNormalization", "MatMul"),
    *("InstanceNormalization", "LayerNormalization", "PRelu", "RMSNormalization"),
)
"""Operators whose further inputs are weights, also where these are single numbers."""
INVALID = (ArithmeticError, IndexError, KeyError, MemoryError, TypeError, ValueError, XpnetError)
"""What a node raises whose attributes or tensors do not fit each other."""


class Size:
    """A length that is not known before a call: that of a value's axis, or computed from some."""

    def __init__(self, name: Any = None) -> None:
        self.name = name


class Folding:
    """The nodes of a file that depend on its inputs or its parameters; what others make is constant.

    Attributes
    ----------
    nodes : list of Node
    arrays : dict of str to NumPy array
        The constants: initializers and what was computed from them.
    learned : set of str
        The names of the constants that become parameters.
    outputs : list of str
        The names of the graph's outputs, which may be those of equal values.
    """

    def __init__(self, file: File) -> None:
        self.file = file
        self.arrays = dict(file.tensors)
        self.aliases: dict[str, str] = {}
        self.sizes: dict[str, HostArray] = {}  # shapes: arrays of int and of Size
        self.named: dict[Any, Size] = {}
        self.zeros: set[str] = set()
        given = [self._renamed(node) for node in file.nodes]
        given = [node for node in given if node.kind != "Identity"]
        self.learned = _learned(file, given)
        self._uses = Counter(name for node in given for name in node.inputs)
        self._uses.update(self.aliases.get(name, name) for name in file.outputs)
        self._forced = _weights_of_recurrences(given)
        nodes = []
        for node in given:
            remaining = self._simplified(self._renamed(node), node)
            if remaining is not None:
                nodes.append(remaining)
        self.outputs = [self.aliases.get(name, name) for name in file.outputs]
        self.nodes = needed(nodes, self.outputs)

    def _renamed(self, node: Node) -> Node:
        """The node with one name for values that are equal; the output of an Identity gets another."""
        node = node._replace(inputs=tuple(self.aliases.get(name, name) for name in node.inputs))
        if node.kind == "Identity":
            self.aliases[node.outputs[0]] = node.inputs[0]
        return node

    def _simplified(self, node: Node, given: Node) -> Node | None:
        """The node as it remains; None if its outputs are constants now."""
        names = [name for name in node.inputs if name]
        learned = [name for name in names if name in self.learned]
        if node.kind == "Dropout" or not all(name in self.arrays for name in names):
            return self._simplified_shapes(node)
        if learned and node.outputs[0] in self._forced:
            self.learned.update(node.outputs)
        elif learned and node.kind != "Shape":
            return self._rearranged(node, given, learned)
        self.arrays.update(zip(node.outputs, self._computed(node), strict=False))
        return None

    def _rearranged(self, node: Node, given: Node, learned: list[str]) -> Node | None:
        """The node; None if it only rearranges a weight, which is done now."""
        is_only_use = self._uses[given.inputs[0]] == 1
        if node.kind in REARRANGING and is_only_use and learned == [node.inputs[0]]:
            (self.arrays[learned[0]],) = self._computed(node)  # by its name in the file
            self.aliases[node.outputs[0]] = learned[0]
            return None
        return node

    def _computed(self, node: Node) -> tuple[HostArray, ...]:
        """The outputs of a node of constants."""
        if node.kind == "Constant":
            ((name, value),) = node.attributes.items()
            if name == "value":
                return (value,)
            dtype: Any = np.int64
            if "float" in name:
                dtype = np.float32
            return (np.asarray(value, dtype),)
        inputs = [self.arrays.get(name) for name in node.inputs]
        try:
            made = Operator(node.kind, inputs, options_of(node, self.file.opset)).forward()
        except INVALID as error:
            raise failed(self.file, node, error) from error
        if not isinstance(made, tuple):
            made = (made,)
        return tuple(map(np.asarray, made))

    # --- shapes that are computed from shapes -----------------------------------------------------

    def _simplified_shapes(self, node: Node) -> Node | None:
        """The node with constants for shapes that are known, and without initial states of zeros."""
        if self._makes_zeros(node):
            self.zeros.add(node.outputs[0])
        if node.kind in RECURRENT_OPERATORS:
            inputs = list(node.inputs)
            for place in (5, 6):
                if inputs[place : place + 1] and self._is_zero(inputs[place]):
                    inputs[place] = ""  # the default
            return node._replace(inputs=tuple(inputs))
        if node.kind == "Reshape" and node.inputs[1] in self.sizes:
            shape = self._as_constant(self.sizes[node.inputs[1]], node.inputs[0])
            if shape is not None:
                name = f"{node.inputs[1]}:{node.outputs[0]}"
                self.arrays[name] = shape
                self._note_shape(node, shape)
                return node._replace(inputs=(node.inputs[0], name))
        found = self._traced(node)
        if found is None:
            return node
        if all(isinstance(n, int) for n in found.flat):
            self.arrays[node.outputs[0]] = found.astype(np.int64)
            return None
        self.sizes[node.outputs[0]] = found
        return node

    def _note_shape(self, node: Node, shape: HostArray) -> None:
        """What is known of the shape of a Reshape's output, which ONNX could not infer."""
        given = (*(self.file.shapes.get(node.inputs[0]) or ()), *(None,) * len(shape))
        found = [n or given[i] for i, n in enumerate(shape.tolist())]
        for i, n in enumerate(found):
            if n == -1:
                found[i] = None
        self.file.shapes[node.outputs[0]] = tuple(found)

    def _makes_zeros(self, node: Node) -> bool:
        """Whether a node makes zeros, in whatever shape."""
        if node.kind == "ConstantOfShape":
            value = node.attributes.get("value")
            return value is None or not value.any()
        if node.kind not in OF_ZEROS:
            return False
        data = node.inputs[:1]
        if node.kind == "Concat":
            data = node.inputs
        return all(map(self._is_zero, data))

    def _is_zero(self, name: str) -> bool:
        """Whether a value is known to be zeros."""
        return name in self.zeros or (name in self.arrays and not self.arrays[name].any())

    def _size(self, name: Any) -> Size:
        """The length of that name; the same one each time."""
        return self.named.setdefault(name, Size(name))

    def _traced(self, node: Node) -> HostArray | None:
        """What a node makes of shapes, an array of int and of Size; None if it is no shape."""
        if node.kind == "Shape":
            return self._shape(node.inputs[0], node.attributes)
        function = TRACED.get(node.kind)
        if function is None:
            return None
        inputs = []
        for name in node.inputs:
            known = self.sizes.get(name)
            if known is None:
                known = self.arrays.get(name)
                if known is None or known.dtype.kind != "i":
                    return None
                known = known.astype(object)
            inputs.append(known)
        if not inputs or inputs[0].ndim > 1:
            return None
        try:
            made: HostArray | None = function(node, *inputs)
        except (TypeError, ValueError, IndexError):  # it cannot be traced; it can still be run
            return None
        return made

    def _shape(self, x: str, options: Any) -> HostArray | None:
        """The shape of a value, as far as it is known."""
        shape = self.file.shapes.get(x)
        if shape is None:
            return None
        found = np.empty(len(shape), object)
        for i, n in enumerate(shape):
            found[i] = n
            if not isinstance(n, int):
                found[i] = self._size(n or (x, i))
        return found[options.get("start", 0) : options.get("end")]

    def _as_constant(self, sizes: HostArray, x: str) -> HostArray | None:
        """A shape for x as numbers: 0 for the length of the same axis of x, or -1 once."""
        own = self.file.shapes.get(x) or ()
        shape: list[Any] = list(sizes)
        for i, n in enumerate(shape):
            if isinstance(n, Size) and (
                n.name == (x, i) or (n.name and own[i : i + 1] == (n.name,))
            ):
                shape[i] = 0
        unknown = [i for i, n in enumerate(shape) if isinstance(n, Size)]
        if unknown:
            if len(unknown) > 1 or -1 in shape:
                return None
            shape[unknown[0]] = -1
        return np.asarray(shape, np.int64)


def options_of(node: Node, opset: int) -> dict[str, Any]:
    """The attributes of a node, with what else its function asks for."""
    options = dict(node.attributes)
    more = {"opset": opset, "count": len(node.outputs)}
    options.update({k: v for k, v in more.items() if k in parameters_of(node.kind)})
    return options


def failed(file: File, node: Node, error: Exception) -> StateError:
    """The error for a node that cannot be loaded."""
    return StateError(
        f"{file.where}: the node {node.name or node.outputs[0]!r} ({node.kind}, opset "
        f"{file.opset}) cannot be loaded: {error}"
    )


def needed(nodes: Sequence[Node], outputs: Iterable[str]) -> list[Node]:
    """The nodes that some values depend on."""
    wanted = set(outputs)
    found = []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            found.append(node)
            wanted.update(node.inputs)
    return found[::-1]


def _learned(file: File, nodes: Sequence[Node]) -> set[str]:
    """The initializers that become parameters."""
    fixed: set[str] = set()
    weights: set[str] = set()
    products = {node.outputs[0] for node in nodes if node.kind in WEIGHTED}
    for node in nodes:
        fixed.update(name for i, name in enumerate(node.inputs) if (node.kind, i) in FIXED)
        if node.kind in WEIGHTED or (node.kind == "Add" and products.intersection(node.inputs)):
            weights.update(node.inputs)
    found = set()
    for name, array in file.tensors.items():
        is_tensor = array.ndim > 0 and (array.size > 1 or name in weights)
        if array.dtype.kind == "f" and is_tensor and name not in fixed:
            found.add(name)
    return found


def _weights_of_recurrences(nodes: Sequence[Node]) -> set[str]:
    """The weights of recurrent operators, and what these are computed from."""
    found: set[str] = set()
    for node in reversed(nodes):
        if node.kind in RECURRENT_OPERATORS:
            found.update(node.inputs[1:4])
        elif found.intersection(node.outputs):
            found.update(node.inputs)
    return found


# --- operators on shapes: arrays of objects, of at most one axis ------------------------------------


def _gather(node: Node, x: HostArray, places: HostArray) -> HostArray:
    return np.asarray(x[places.astype(np.int64)], object)


def _slice(node: Node, x: HostArray, *bounds: HostArray) -> HostArray | None:
    if not bounds:
        bounds = tuple(np.asarray(node.attributes[name], object) for name in ("starts", "ends"))
    (start,) = bounds[0]
    (end,) = bounds[1]
    if any(step != 1 for steps in bounds[3:] for step in steps):
        return None
    return x[start:end]


def _reshape(node: Node, x: HostArray, shape: HostArray) -> HostArray:
    return x.reshape(shape.astype(np.int64))


def _arithmetic(node: Node, x: HostArray, y: HostArray) -> HostArray:
    """The shape of the result; its lengths are unknown, unless all of them are numbers."""
    made = np.empty(np.broadcast_shapes(x.shape, y.shape), object)
    for i in np.ndindex(made.shape):
        made[i] = Size()
    return made


def _cast(node: Node, x: HostArray) -> HostArray | None:
    if node.attributes["to"] not in (6, 7):  # no integers
        return None
    return x


TRACED: dict[str, Any] = {
    "Add": _arithmetic,
    "Cast": _cast,
    "Concat": lambda _, *xs: np.concatenate([np.atleast_1d(x) for x in xs]),
    "Div": _arithmetic,
    "Gather": _gather,
    "Mul": _arithmetic,
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": lambda _, x, *__: x.reshape(()),
    "Sub": _arithmetic,
    "Unsqueeze": lambda _, x, *__: x.reshape(1),
}
