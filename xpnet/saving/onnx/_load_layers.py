"""Nodes as layers of xpnet: which layer an operator is equal to, and with which parameters."""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from xpnet import functions as F
from xpnet._typing import Array
from xpnet.autodiff.variable import Parameter
from xpnet.backend import current
from xpnet.errors import StateError
from xpnet.layers import (
    ELU,
    GELU,
    GRU,
    LSTM,
    RNN,
    Affine,
    AvgPool1d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Buffer,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GroupNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    LogSoftmax,
    MaxPool1d,
    MaxPool2d,
    ReLU,
    Reshape,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
)
from xpnet.layers.initializers import zeros
from xpnet.saving.onnx._load_file import File, Node
from xpnet.saving.onnx._load_folding import Folding
from xpnet.saving.onnx._load_network import Operator
from xpnet.saving.onnx._load_operators import present, together
from xpnet.saving.onnx._load_windows import Geometry

__all__ = ["LAYERS", "RECURRENT", "Constants", "Recurrent", "affine", "recurrent"]

HostArray = np.ndarray[Any, Any]


class Constants:
    """The constants of a graph, and the parameters and buffers that are made of them.

    Attributes
    ----------
    arrays : dict of str to NumPy array
    learned : set of str
        The names of those that become parameters; the other ones stay as they are.
    shapes : dict of str to tuple
        The shapes of values, as far as known.
    opset : int
    """

    def __init__(self, folding: Folding, file: File) -> None:
        self.arrays = folding.arrays
        self.learned = folding.learned
        self.shapes = file.shapes
        self.opset = file.opset
        self.recurrent: dict[Any, Layer] = {}  # the layers of recurrent nodes, by their weights
        self._tensors: dict[tuple[Any, ...], Parameter | Buffer] = {}
        self._uses: dict[str, set[tuple[Any, ...]]] = {}
        for node in folding.nodes:
            for place, name in enumerate(node.inputs):
                use = (node.kind, place, repr(sorted(node.attributes.items(), key=str)))
                self._uses.setdefault(name, set()).add(use)

    def array(self, node: Node, place: int) -> HostArray | None:
        """The constant that a node has as an input; None if it is left out, or not constant."""
        return self.arrays.get(self.name(node, place))

    def name(self, node: Node, place: int) -> str:
        """The name of a node's input; "" if it is left out."""
        return "".join(node.inputs[place : place + 1])

    def owns(self, node: Node, *places: int) -> bool:
        """Whether a layer can hold these inputs: floating-point constants in one arrangement.

        A matrix that others read as well may be transposed there: then it stays as it is in the file.
        """
        for place in places:
            name = self.name(node, place)
            array = self.arrays.get(name)
            if array is None or array.dtype.kind != "f":
                return False
            if array.ndim == 2 and len(self._uses[name]) > 1:
                return False
        return True

    def tensor(self, name: str, array: HostArray | None = None) -> Parameter | Buffer:
        """A constant, in another arrangement if one is given, as what a layer holds of it.

        Two layers that use one constant in the same way share one parameter.

        Raises
        ------
        StateError
            Another layer has it in another arrangement: two parameters would learn apart.
        """
        if array is None:
            array = self.arrays[name]
        key = (name, array.shape, array.strides)
        if key not in self._tensors:
            if name in self.learned and any(name == other for other, *_ in self._tensors):
                raise StateError(
                    f"the tensor {name!r} is read in two arrangements, which one parameter cannot have."
                )
            kind: Any = Buffer
            if name in self.learned:
                kind = Parameter
            self._tensors[key] = kind(current().asarray(np.array(array, order="C")))
        return self._tensors[key]

    def parameter(self, name: str, array: HostArray | None = None) -> Parameter:
        """`tensor` as a parameter, which is not trained if the file has it as a plain constant."""
        tensor = self.tensor(name, array)
        if isinstance(tensor, Parameter):
            return tensor
        fixed = Parameter(tensor.data)
        fixed.requires_grad = False
        return fixed

    def rank(self, name: str) -> int | None:
        """How many axes a value has, if that is known."""
        if name not in self.shapes:
            return None
        return len(self.shapes[name])


Made = Sequence[Layer] | None  # the layers of a node, one after another; None if they would differ


def filled(layer: Any, c: Constants, node: Node, weight: int, bias: int | None) -> Any:
    """The layer with inputs of a node as its parameters `weight` and `bias`."""
    layer.weight = c.parameter(c.name(node, weight))
    layer.bias = None
    if bias is not None and c.name(node, bias):
        layer.bias = c.parameter(c.name(node, bias))
    return layer


def affine(c: Constants, weight: str, bias: str, is_transposed: bool) -> Layer | None:
    """x @ weight + bias as a layer, if bias is one number per column."""
    W = c.arrays[weight]
    if W.ndim != 2 or 0 in W.shape:
        return None
    if is_transposed:
        W = W.T
    if bias:
        b = c.arrays[bias]
        if b.size != W.shape[1] or b.shape[-1:] != W.shape[1:] or b.dtype != W.dtype:
            return None
    layer = Affine(W.shape[0], W.shape[1], bias=False, weight=zeros)
    layer.weight = c.parameter(weight, W)
    if bias:
        layer.bias = c.parameter(bias, c.arrays[bias].reshape(-1))
    return layer


def gemm(node: Node, c: Constants) -> Made:
    """A B + C, where A are rows."""
    options = node.attributes
    if options.get("transA", 0) or options.get("alpha", 1.0) != 1.0:
        return None
    bias = c.name(node, 2)
    if bias and options.get("beta", 1.0) != 1.0:
        return None
    if not _owns_weight_and_bias(node, c):
        return None
    layer = affine(c, node.inputs[1], bias, bool(options.get("transB", 0)))
    return present(layer) or None


# --- windows --------------------------------------------------------------------------------------


def _geometry(node: Node, kernel: tuple[int, ...]) -> Geometry:
    get = node.attributes.get
    auto_pad = get("auto_pad", "NOTSET")
    return Geometry.of(kernel, get("strides"), get("dilations"), get("pads"), auto_pad)


def _padding(window: Geometry) -> tuple[list[Layer], tuple[int, ...]]:
    """What pads x before the window slides, and how much the layer of the window pads by itself."""
    pairs = window.pairs()
    nothing = (0,) * len(window.kernel)
    if pairs is None:
        options = window._asdict()
        del options["pads"]
        return [Operator("SamePad", (...,), options)], nothing
    if all(before == after for before, after in pairs):
        return [], tuple(before for before, _ in pairs)
    amounts = [0, 0, *(p[0] for p in pairs), 0, 0, *(p[1] for p in pairs)]
    return [Operator("Pad", (...,), {"pads": tuple(amounts)})], nothing


def conv(node: Node, c: Constants) -> Made:
    """A convolution with constant weights, of signals or images."""
    W = c.array(node, 1)
    if W is None or W.ndim not in (3, 4) or 0 in W.shape or not _owns_weight_and_bias(node, c):
        return None
    groups = node.attributes.get("group", 1)
    window = _geometry(node, W.shape[2:])
    before, padding = _padding(window)
    kind: Any = {3: Conv1d, 4: Conv2d}[W.ndim]
    layer = kind(
        W.shape[1] * groups,
        W.shape[0],
        window.kernel,
        window.strides,
        padding,
        window.dilations,
        groups,
        bias=False,
        weight=zeros,
    )
    return [*before, filled(layer, c, node, 1, 2)]


def conv_transpose(node: Node, c: Constants) -> Made:
    """The transpose of a convolution, where both ends are cut alike."""
    W = c.array(node, 1)
    if W is None or W.ndim not in (3, 4) or 0 in W.shape or not _owns_weight_and_bias(node, c):
        return None
    window = _geometry(node, W.shape[2:])
    pairs = window.pairs() or ()
    if window.auto_pad != "NOTSET" or "output_shape" in node.attributes:
        return None
    if any(before != after for before, after in pairs):
        return None
    groups = node.attributes.get("group", 1)
    kind: Any = {3: ConvTranspose1d, 4: ConvTranspose2d}[W.ndim]
    layer = kind(
        W.shape[0],
        W.shape[1] * groups,
        window.kernel,
        window.strides,
        tuple(before for before, _ in pairs),
        tuple(node.attributes.get("output_padding") or (0,) * len(window.kernel)),
        groups,
        bias=False,
        dilation=window.dilations,
        weight=zeros,
    )
    return [filled(layer, c, node, 1, 2)]


def _owns_weight_and_bias(node: Node, c: Constants) -> bool:
    places = [1, 2]
    if not c.name(node, 2):
        places = [1]
    return c.owns(node, *places)


def max_pool(node: Node, c: Constants) -> Made:
    """The maximum under a window, where both ends have the same padding."""
    return _pool(node, (MaxPool1d, MaxPool2d), {})


def average_pool(node: Node, c: Constants) -> Made:
    """The mean under a window, where both ends have the same padding."""
    counts = bool(node.attributes.get("count_include_pad", 0))
    return _pool(node, (AvgPool1d, AvgPool2d), {"count_include_pad": counts})


def _pool(node: Node, kinds: tuple[Any, Any], options: dict[str, Any]) -> Made:
    kernel = node.attributes["kernel_shape"]
    window = _geometry(node, kernel)
    pairs = window.pairs()
    if len(kernel) > 2 or pairs is None or any(before != after for before, after in pairs):
        return None
    padding = tuple(before for before, _ in pairs)
    if not any(padding):
        options.pop("count_include_pad", None)
    options["ceil_mode"] = bool(node.attributes.get("ceil_mode", 0))
    options["dilation"] = _shortest(window.dilations)
    sizes = map(_shortest, (kernel, window.strides, padding))
    return [kinds[len(kernel) - 1](*sizes, **options)]


def _shortest(sizes: tuple[int, ...]) -> Any:
    """(2, 2) as 2, as people write it."""
    if len(set(sizes)) == 1:
        return sizes[0]
    return tuple(sizes)


# --- normalizations -------------------------------------------------------------------------------


class BatchNorm(BatchNorm2d):
    """`BatchNorm2d` for x of any number of axes."""

    places: ClassVar[tuple[tuple[str, ...], ...]] = (  # type: ignore[assignment]
        (),
        ("length",),
        ("height", "width"),
        ("depth", "height", "width"),
    )


def batch_norm(node: Node, c: Constants) -> Made:
    """Batch normalization with running statistics, which goes on in training."""
    if not c.owns(node, 1, 2, 3, 4):
        return None
    rank = c.rank(node.inputs[0])
    kind: Any = {2: BatchNorm1d, 3: BatchNorm1d, 4: BatchNorm2d}.get(rank or 0, BatchNorm)
    scale = c.arrays[node.inputs[1]]
    layer = kind(
        scale.size,
        eps=_decimal(node.attributes.get("epsilon", 1e-5)),
        momentum=round(1.0 - _decimal(node.attributes.get("momentum", 0.9)), 7),
    )
    filled(layer, c, node, 1, 2)
    layer.running_mean = c.tensor(node.inputs[3])
    layer.running_var = c.tensor(node.inputs[4])
    return [layer]


def _decimal(x: float) -> float:
    """A float32 as the shortest decimal number that is rounded to it: 1e-05, not 9.99999e-06."""
    return float(str(np.float32(x)))


def layer_norm(node: Node, c: Constants) -> Made:
    """Layer normalization with a weight of the shape that is normalized."""
    if not _owns_weight_and_bias(node, c):
        return None
    shape = c.arrays[node.inputs[1]].shape
    axis = node.attributes.get("axis", -1)
    if axis >= 0:
        axis -= c.rank(node.inputs[0]) or 0
    has_other_shape = any(c.arrays[name].shape != shape for name in node.inputs[1:] if name)
    if axis != -len(shape) or has_other_shape:
        return None
    layer = LayerNorm(shape, eps=_decimal(node.attributes.get("epsilon", 1e-5)))
    return [filled(layer, c, node, 1, 2)]


def group_norm(node: Node, c: Constants) -> Made:
    """Group normalization with a weight for each channel: opset 21 and later."""
    if c.opset < 21 or not c.owns(node, 1, 2):
        return None
    channels = c.arrays[node.inputs[1]].size
    eps = _decimal(node.attributes.get("epsilon", 1e-5))
    layer = GroupNorm(node.attributes["num_groups"], channels, eps=eps)
    return [filled(layer, c, node, 1, 2)]


def instance_norm(node: Node, c: Constants) -> Made:
    """Instance normalization: each channel is a group."""
    if not c.owns(node, 1, 2):
        return None
    channels = c.arrays[node.inputs[1]].size
    layer = GroupNorm(channels, channels, eps=_decimal(node.attributes.get("epsilon", 1e-5)))
    return [filled(layer, c, node, 1, 2)]


# --- layers without parameters --------------------------------------------------------------------


def dropout(node: Node, c: Constants) -> Made:
    """Dropout, which is nothing in evaluation."""
    ratio = node.attributes.get("ratio", 0.5)
    if c.name(node, 1):
        given = c.array(node, 1)
        if given is None:
            return None
        ratio = given.item()
    return [Dropout(_decimal(ratio))]


def flatten(node: Node, c: Constants) -> Made:
    """All axes but the batch joined."""
    if node.attributes.get("axis", 1) == 1:
        return [Flatten()]
    return None


def reshape(node: Node, c: Constants) -> Made:
    """A shape that leaves the batch as it is."""
    shape = c.array(node, 1)
    if shape is None or shape.size < 2 or 0 in shape[1:]:
        return None
    batch, *rest = shape.tolist()
    size = _numbers_per_sample(c.shapes.get(node.inputs[0]))
    copies = batch == 0 and not node.attributes.get("allowzero", 0)
    if not copies and (batch != -1 or math.prod(rest) != size):
        return None
    if len(rest) == 1 and rest[0] in (-1, size):
        return [Flatten()]
    return [Reshape(*rest)]


def _numbers_per_sample(shape: tuple[int | str | None, ...] | None) -> int | None:
    """How many numbers a sample has, if that is known."""
    sizes = (shape or ())[1:]
    known = [n for n in sizes if isinstance(n, int)]
    if not sizes or len(known) < len(sizes):
        return None
    return math.prod(known)


def softmax_like(kind: Any) -> Callable[[Node, Constants], Made]:
    """A layer along one axis. Before opset 13, an operator joined all axes from its own one on."""

    def made(node: Node, c: Constants) -> Made:
        if c.opset >= 13:
            return [kind(dim=node.attributes.get("axis", -1))]
        axis = node.attributes.get("axis", 1)
        rank = c.rank(node.inputs[0])
        if axis == -1 or (rank is not None and axis % rank == rank - 1):
            return [kind(dim=-1)]
        return None

    return made


def scaler(node: Node, c: Constants) -> Made:
    """scikit-learn's StandardScaler: its numbers are buffers, which move with the model."""
    operands = {}
    for name, default in (("offset", 0.0), ("scale", 1.0)):
        values = np.asarray(node.attributes.get(name, (default,)), np.float32)
        operands[name] = Buffer(current().asarray(values))
    return [Operator("Scaler", (..., "offset", "scale"), {}, operands)]


def linear_regressor(node: Node, c: Constants) -> Made:
    """scikit-learn's linear models: the coefficients are parameters."""
    get = node.attributes.get
    rows = get("targets", 1)
    operands = {}
    for name, shape in (("coefficients", (rows, -1)), ("intercepts", (rows,))):
        if get(name):
            values = np.asarray(get(name), np.float32).reshape(shape)
            operands[name] = Parameter(current().asarray(values))
    return [Operator("LinearRegressor", (..., *operands), {}, operands)]


# --- recurrent layers -----------------------------------------------------------------------------


class Recurrent(Layer):
    """An RNN, LSTM or GRU with the arguments and results of ONNX's operator.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
    reverse : bool
        Whether it reads sequences from their end only.
    batch_first : bool
        Whether x, y and the states begin with the batch: ONNX's layout 1.

    Notes
    -----
    `y, y_h, y_c = layer(x, lengths, h_0, c_0)`. x : shape (length, batch, features); y : shape
    (length, directions, batch, n); states : shape (directions, batch, n).
    """

    def __init__(self, layer: Any, reverse: bool = False, batch_first: bool = False) -> None:
        self.layer = layer
        self.reverse = reverse
        self.batch_first = batch_first

    def forward(
        self, x: Array, lengths: Array | None = None, *states: Array | None
    ) -> tuple[Array, ...]:
        if self.batch_first:
            x = F.moveaxis(x, 1, 0)
        given = [self._initial(state, x) for state in states]
        if self.reverse:
            x = F.flip(x, axis=0)
        if lengths is not None:
            lengths = together(lengths, x)[0]
        y, *ends = self.layer(x, lengths, *given)
        if self.reverse:
            y = F.flip(y, axis=0)
        directions = 1 + self.layer.bidirectional
        y = F.reshape(y, (*y.shape[:2], directions, self.layer.hidden_size))
        if not self.batch_first:
            return F.permute_dims(y, (0, 2, 1, 3)), *ends
        return F.permute_dims(y, (1, 0, 2, 3)), *(F.moveaxis(end, 1, 0) for end in ends)

    def _initial(self, state: Array | None, x: Array) -> Array | None:
        """An initial state on the device of x, of shape (directions, batch, n)."""
        if state is None:
            return None
        state = together(state, x)[0]
        if self.batch_first:
            state = F.moveaxis(state, 1, 0)
        return state

    def __repr__(self) -> str:
        options = [name for name in ("reverse", "batch_first") if getattr(self, name)]
        return f"Recurrent({', '.join([repr(self.layer), *(f'{name}=True' for name in options)])})"


RECURRENT: dict[str, tuple[Any, tuple[int, ...], list[str]]] = {
    # The layer, the places of its gates in ONNX's order, and the activations of a direction.
    "RNN": (RNN, (0,), ["Tanh"]),
    "GRU": (GRU, (1, 0, 2), ["Sigmoid", "Tanh"]),
    "LSTM": (LSTM, (0, 2, 3, 1), ["Sigmoid", "Tanh", "Tanh"]),
}


def recurrent(node: Node, c: Constants) -> Recurrent:
    """A recurrent layer; nodes with the same weights share it."""
    get = node.attributes.get
    same = ("activations", "linear_before_reset")
    key = (node.kind, node.inputs[1:4], *(get(name) for name in same))
    if key not in c.recurrent:
        c.recurrent[key] = _recurrent(node, c)
    is_reverse = get("direction", "forward") == "reverse"
    return Recurrent(c.recurrent[key], is_reverse, bool(get("layout", 0)))


def _recurrent(node: Node, c: Constants) -> Layer:
    """An RNN, LSTM or GRU with the weights of a node, its gates in PyTorch's order."""
    kind, order, _ = RECURRENT[node.kind]
    W = c.arrays[node.inputs[1]]
    directions, rows, features = W.shape
    n = rows // len(order)
    options: dict[str, Any] = {"bidirectional": directions == 2, "bias": bool(c.name(node, 3))}
    if node.kind == "GRU":
        options["reset_after"] = bool(node.attributes.get("linear_before_reset", 0))
    if node.kind == "RNN":
        activations = node.attributes.get("activations") or ["Tanh"]
        options["nonlinearity"] = activations[0].lower()
    layer: Layer = kind(features, n, **options)
    arrays = {"weight_ih": W, "weight_hh": c.arrays[node.inputs[2]]}
    if options["bias"]:
        arrays["bias_ih"], arrays["bias_hh"] = np.split(c.arrays[node.inputs[3]], 2, axis=1)
    for direction in range(directions):
        for name, array in arrays.items():
            gates = np.split(array[direction], len(order))
            rows_in_order = np.concatenate([gates[i] for i in order])
            suffix = "_reverse" * direction
            setattr(layer, f"{name}_l0{suffix}", Parameter(current().asarray(rows_in_order)))
    return layer


def plain(kind: Any, **options: Any) -> Callable[[Node, Constants], Made]:
    """A layer without parameters."""

    def made(node: Node, c: Constants) -> Made:
        return [kind(**options)]

    return made


def sloped(kind: Any, alpha: float) -> Callable[[Node, Constants], Made]:
    """A layer with a slope or a limit, which is `alpha` by default."""

    def made(node: Node, c: Constants) -> Made:
        return [kind(_decimal(node.attributes.get("alpha", alpha)))]

    return made


def gelu(node: Node, c: Constants) -> Made:
    """GELU, exact or approximated."""
    return [GELU(node.attributes.get("approximate", "none"))]


LAYERS: dict[str, Callable[[Node, Constants], Made]] = {
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Dropout": dropout,
    "Elu": sloped(ELU, 1.0),
    "Flatten": flatten,
    "Gelu": gelu,
    "Gemm": gemm,
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "LeakyRelu": sloped(LeakyReLU, 0.01),
    "LinearRegressor": linear_regressor,
    "LogSoftmax": softmax_like(LogSoftmax),
    "MaxPool": max_pool,
    "Relu": plain(ReLU),
    "Reshape": reshape,
    "Scaler": scaler,
    "Sigmoid": plain(Sigmoid),
    "Softmax": softmax_like(Softmax),
    "Softplus": plain(Softplus, threshold=math.inf),
    "Tanh": plain(Tanh),
}
