"""What a model is made of: a table of layers, output shapes, parameters, multiply-adds, memory."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import array_api_compat as compat

from xpnet._libraries import library_of
from xpnet._printable import cells, padded, printable
from xpnet._typing import Array, DType
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Parameter, data_of
from xpnet.backend import current
from xpnet.layers import Layer
from xpnet.layers._contents import contents
from xpnet.layers.hooks import untouched, watching

__all__ = [
    "Row",
    "Summary",
    "summary",
]

Shape = tuple[int, ...]
WIDTH = 48  # characters of a layer's description; what is longer is cut


@dataclass
class Row:
    """A layer of the table.

    Attributes
    ----------
    depth : int
        How many layers it stands in.
    name : str
        Its path of attributes, "layers.0"; of the model itself, "".
    kind : str
        Its repr, or of a layer made of layers the class.
    shapes : list of tuple of int
        Of its outputs, for a batch of one; empty if it was not called.
    parameters : int
        Numbers in its own parameters, those of the layers in it left out, and those that another
        row has counted.
    multiply_adds : int
        Of its own, for one sample, all its calls together.
    """

    depth: int
    name: str
    kind: str
    shapes: list[Shape] = field(default_factory=list)
    parameters: int = 0
    multiply_adds: int = 0


@dataclass(repr=False)
class Summary:
    """What `summary` found; its str and its repr are the table.

    Attributes
    ----------
    rows : list of Row
    batch_axis : int
        Of inputs and outputs.
    parameters, trainable : int
        Numbers in all parameters, each counted once; those of them that learn.
    multiply_adds : int
        For one sample: products of matrices and kernels. What is done number by number
        (activations, normalization, biases) is not counted.
    parameter_bytes, buffer_bytes : int
    activation_bytes : int
        For one sample: the input and every layer's output, each array once, as a training keeps
        them for its way back.
    """

    rows: list[Row]
    batch_axis: int = 0
    parameters: int = 0
    trainable: int = 0
    multiply_adds: int = 0
    parameter_bytes: int = 0
    buffer_bytes: int = 0
    activation_bytes: int = 0

    def __repr__(self) -> str:
        head = ("Layer", "Output shape", "Parameters", "Multiply-adds")
        table = [head, *(_cells(row, self.batch_axis) for row in self.rows)]
        widths = [max(cells(row[i]) for row in table) for i in range(len(head))]
        lines = []
        for row in table:
            columns = [padded(row[i], widths[i], right=i > 1) for i in range(len(head))]
            lines.append("  ".join(columns).rstrip())
        rule = "-" * (sum(widths) + 6)
        frozen = self.parameters - self.trainable
        kept = f", {frozen:,} of them frozen" if frozen else ""
        buffers = f", buffers {_size(self.buffer_bytes)}" if self.buffer_bytes else ""
        memory = f"parameters {_size(self.parameter_bytes)}{buffers}, "
        memory += f"activations {_size(self.activation_bytes)} a sample"
        totals = [
            f"Parameters     {self.parameters:,}{kept}",
            f"Multiply-adds  {self.multiply_adds:,} a sample",
            f"Memory         {memory}",
        ]
        return "\n".join([lines[0], rule, *lines[1:], rule, *totals])


def summary(
    model: Layer,
    input_shape: Shape | Sequence[Shape],
    dtype: DType | None = None,
    batch_axis: int = 0,
) -> Summary:
    """Run one sample of zeros through `model`, and tell what each layer makes of it.

    Parameters
    ----------
    model : Layer
        It is run in evaluation and without a tape; its flags, buffers and random numbers are
        afterwards as they were.
    input_shape : tuple of int, or list of them
        Of one sample, without the batch; of a model with several inputs, a list.
    dtype : dtype or its name, optional
        Of the input: "int64" for an `Embedding`. Unless given, that of the first parameter.
    batch_axis : int
        Where the batch of one is put: 1 for sequences of a model that is not `batch_first`.

    Returns
    -------
    Summary

    Examples
    --------
    >>> import xpnet
    >>> print(summary(xpnet.MLP(784, 80, 10), (784,)))
    Layer                   Output shape  Parameters  Multiply-adds
    ---------------------------------------------------------------
    MLP                     (batch, 10)
      0: Affine(784 -> 80)  (batch, 80)       62,800         62,720
      1: ReLU()             (batch, 80)
      2: Affine(80 -> 10)   (batch, 10)          810            800
    ---------------------------------------------------------------
    Parameters     63,610
    Multiply-adds  63,520 a sample
    Memory         parameters 254.4 kB, activations 3.8 kB a sample
    """
    shapes: list[Any] = input_shape if isinstance(input_shape, list) else [input_shape]
    inputs = [_zeros(model, tuple(shape), dtype, batch_axis) for shape in shapes]
    seen: set[int] = set()
    rows: dict[int, Row] = {}  # by layer
    for name, layer in model.named_layers():
        depth = sum(f"{name}.".startswith(f"{r.name}." if r.name else "") for r in rows.values())
        plain = all(layer is other for other in layer.sublayers())
        row = rows[id(layer)] = Row(depth, name, repr(layer) if plain else type(layer).__name__)
        for p in _own_parameters(layer):
            row.parameters += 0 if id(p) in seen else p.size
            seen.add(id(p))
    arrays = list(inputs)  # kept till the end, so that no two have one id

    def record(layer: Layer, xs: tuple[Any, ...], y: Array) -> None:
        outputs = [data_of(v) for v in (y if isinstance(y, tuple) else (y,)) if hasattr(v, "shape")]
        row = rows[id(layer)]
        row.shapes = [tuple(v.shape) for v in outputs]
        row.multiply_adds += _multiply_adds(layer, [data_of(x) for x in xs], row.shapes)
        arrays.extend(outputs)

    with untouched(model), watching(model.sublayers(), record):
        model(*inputs)
    found = Summary(list(rows.values()), batch_axis)
    for p in model.parameters():
        found.parameters += p.size
        found.trainable += p.size if p.requires_grad else 0
        found.parameter_bytes += _bytes(p.data)
    found.buffer_bytes = sum(_bytes(b.data) for _, b in model.named_buffers())
    found.multiply_adds = sum(row.multiply_adds for row in found.rows)
    found.activation_bytes = sum(map(_bytes, {id(x): x for x in arrays}.values()))
    return found


# --- multiply-adds ------------------------------------------------------------------------------

Count = Callable[[Any, list[Any], list[Shape]], int]  # layer, inputs, output shapes


def _matrices(layer: Any, xs: list[Any], outputs: list[Shape]) -> int:
    """Every row of the input goes through every matrix of the layer's own, once."""
    rows = math.prod(xs[0].shape[:-1])
    return int(rows * sum(p.size for p in _own_parameters(layer) if p.ndim == 2))


def _kernels(layer: Any, xs: list[Any], outputs: list[Shape]) -> int:
    """Every place of the output, or where kernels are laid down, of the input, takes all weights."""
    shape = xs[0].shape if "Transpose" in type(layer).__name__ else outputs[0]
    places: int = math.prod(shape[-(layer.weight.ndim - 2) :])
    return places * int(layer.weight.size)


def _attention(layer: Any, xs: list[Any], outputs: list[Shape]) -> int:
    """Projections by the layer's own matrices, then queries by keys, and weights by values."""
    query, key, value = (*xs, None, None)[:3]
    key = query if key is None else key
    value = key if value is None else value
    length = key.shape[1 if layer.batch_first else 0]
    width, rows = query.shape[-1], math.prod(query.shape[:-1])
    # Each of the three has a matrix (its own width, width), be they apart or one above the other.
    projections = sum(math.prod(x.shape) * width for x in (query, key, value))
    return int(projections + 2 * rows * length * width)


MULTIPLY_ADDS: dict[str, Count] = {
    **dict.fromkeys(("Affine", "RNN", "LSTM", "GRU"), _matrices),
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d"), _kernels),
    **dict.fromkeys(("ConvTranspose1d", "ConvTranspose2d"), _kernels),
    "MultiheadAttention": _attention,
}
"""How to count, by the name of a layer's class or of one that it is made from.

A layer of your own may be added, or have a method `multiply_adds(inputs, output_shapes)`.
"""


def _multiply_adds(layer: Any, xs: list[Any], outputs: list[Shape]) -> int:
    if hasattr(layer, "multiply_adds"):
        return int(layer.multiply_adds(xs, outputs))
    for kind in type(layer).__mro__:
        if kind.__name__ in MULTIPLY_ADDS:
            return MULTIPLY_ADDS[kind.__name__](layer, xs, outputs)
    return 0


# --- the model's insides --------------------------------------------------------------------------


def _own_parameters(layer: Layer) -> Iterator[Parameter]:
    """The parameters of a layer that are in no layer within it."""
    for _, owner, value in contents(layer):
        if owner is layer and isinstance(value, Parameter):
            yield value


def _zeros(model: Layer, shape: Shape, dtype: DType, axis: int) -> Any:
    """A batch of one, where the model's parameters are."""
    p = next(model.parameters(), None)
    if p is None:
        backend = current()
        xp, device, own = backend.xp, backend.device, backend.dtype
        home = backend.selected()
    else:
        xp, device, own = array_namespace(p.data), compat.device(p.data), p.data.dtype
        home = library_of(p.data).selected(device)
    dtype = getattr(xp, dtype) if isinstance(dtype, str) else dtype or own
    shape = (*shape[:axis], 1, *shape[axis:])
    with home:
        return xp.zeros(shape, dtype=dtype, device=device)


# --- the table ------------------------------------------------------------------------------------


def _cells(row: Row, batch_axis: int) -> tuple[str, ...]:
    name = row.name.rpartition(".")[2]
    text = "  " * row.depth + (f"{name}: " if name else "") + " ".join(row.kind.split())
    text = printable(text)
    text = text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
    shapes = [
        f"({', '.join('batch' if i == batch_axis else str(n) for i, n in enumerate(shape))})"
        for shape in row.shapes
    ]
    numbers = (f"{n:,}" if n else "" for n in (row.parameters, row.multiply_adds))
    return (text, ", ".join(shapes) or "not called", *numbers)


def _bytes(x: Array) -> int:
    xp, dtype = array_namespace(x), x.dtype
    if xp.isdtype(dtype, "bool"):
        return math.prod(x.shape)
    info = xp.iinfo if xp.isdtype(dtype, "integral") else xp.finfo
    return int(math.prod(x.shape) * info(dtype).bits) // 8


def _size(n: int) -> str:
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if n >= 10**power:
            return f"{n / 10**power:,.1f} {unit}"
    return f"{n} bytes"
