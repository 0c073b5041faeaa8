"""A table of a model: its layers, output shapes, parameters, multiply-adds and memory."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import array_api_compat as compat

from xpnet._html import html_table
from xpnet._libraries import library_of
from xpnet._printable import aligned, counted, printable
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
HEAD = ("Layer", "Output shape", "Parameters", "Multiply-adds")
WIDTH = 48  # characters of a layer's description; a longer one is shortened


@dataclass
class Row:
    """A row of the table: one layer.

    Attributes
    ----------
    depth : int
        The number of layers that contain it.
    name : str
        The path of attributes to it, "layers.0"; "" for the model itself.
    kind : str
        Its repr; for a layer that contains others, its class.
    shapes : list of tuple of int
        The shapes of its outputs for a batch of one; empty if it was not called.
    parameters : int
        The number of values in its own parameters: without the layers in it, and without
        parameters that another row has counted.
    multiply_adds : int
        The multiply-adds of the layer itself for one sample, all its calls together.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet.summary import summary
    >>> row = summary(xpnet.MLP(4, 3, 2), (4,)).rows[1]
    >>> row.name, row.kind, row.shapes, row.parameters  # 4 * 3 weights and 3 biases
    ('layers.0', 'Affine(4 -> 3)', [(1, 3)], 15)
    """

    depth: int
    name: str
    kind: str
    shapes: list[Shape] = field(default_factory=list)
    parameters: int = 0
    multiply_adds: int = 0


@dataclass(repr=False)
class Summary:
    """The result of `summary`; its str and its repr are the table, and a notebook displays it.

    Attributes
    ----------
    rows : list of Row
    batch_axis : int
        The axis of the batch in inputs and outputs.
    parameters, trainable : int
        The number of values in all parameters, each parameter once; and in those that require a
        gradient.
    multiply_adds : int
        The multiply-adds of matrix products and convolutions for one sample. Elementwise
        computations (activations, normalization, biases) are not counted.
    parameter_bytes, buffer_bytes : int
    activation_bytes : int
        The memory of the input and of every layer's output for one sample, each array once. In
        training they are kept for the backward pass.

    Examples
    --------
    The layers that cost more than half of the computation:

    >>> import xpnet
    >>> from xpnet.summary import summary
    >>> found = summary(xpnet.models.lenet((1, 28, 28), 10), (1, 28, 28))
    >>> [row.name for row in found.rows if row.multiply_adds > found.multiply_adds / 2]
    ['layers.3']
    >>> found.parameters
    117066
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
        head, *lines = aligned([HEAD, *self._table()], left=2).splitlines()
        rule = "-" * len(head)
        return "\n".join([head, rule, *lines, rule, *self._totals()])

    def _repr_html_(self) -> str:
        """What a notebook displays."""
        totals = [": ".join(line.split(maxsplit=1)) for line in self._totals()]
        return html_table(HEAD, self._table(), below=totals, left=2)

    def _table(self) -> list[tuple[str, ...]]:
        """The rows of the table, below its head."""
        return [_cells(row, self.batch_axis) for row in self.rows]

    def _totals(self) -> list[str]:
        """The lines below the table."""
        parameters = f"{self.parameters:,}"
        frozen = self.parameters - self.trainable
        if frozen:
            parameters += f", {frozen:,} of them frozen"
        memory = f"parameters {_size(self.parameter_bytes)}"
        if self.buffer_bytes:
            memory += f", buffers {_size(self.buffer_bytes)}"
        return [
            f"Parameters     {parameters}",
            f"Multiply-adds  {self.multiply_adds:,} per sample",
            f"Memory         {memory}, activations {_size(self.activation_bytes)} per sample",
        ]


def summary(
    model: Layer,
    input_shape: Shape | list[Shape],
    dtype: DType | str | None = None,
    batch_axis: int = 0,
) -> Summary:
    """Run one sample of zeros through `model`, and describe its layers.

    Parameters
    ----------
    model : Layer
        It is run in evaluation and without a tape; its flags, buffers and random numbers stay as
        they are.
    input_shape : tuple of int, or list of them
        The shape of one sample, without the batch; for a model with several inputs, a list.
    dtype : dtype or its name, optional
        The dtype of the input: "int64" for an `Embedding`. By default that of the first parameter.
    batch_axis : int
        The axis of the batch: 1 for sequences of a model that is not `batch_first`.

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
    Multiply-adds  63,520 per sample
    Memory         parameters 254.4 kB, activations 3.8 kB per sample
    """
    shapes: list[Any] = [input_shape]
    if isinstance(input_shape, list):
        shapes = input_shape
    inputs = [_zeros(model, tuple(shape), dtype, batch_axis) for shape in shapes]
    rows = _rows(model)
    arrays = list(inputs)  # referred to until the end, so that no two have the same id

    def record(layer: Layer, xs: tuple[Any, ...], y: Any) -> None:
        if not isinstance(y, tuple):
            y = (y,)
        outputs = [data_of(output) for output in y if hasattr(output, "shape")]
        row = rows[id(layer)]
        row.shapes = [tuple(output.shape) for output in outputs]
        row.multiply_adds += _multiply_adds(layer, [data_of(x) for x in xs], row.shapes)
        arrays.extend(outputs)

    with untouched(model), watching(model.sublayers(), record):
        model(*inputs)
    found = Summary(list(rows.values()), batch_axis)
    for p in model.parameters():
        found.parameters += p.size
        if p.requires_grad:
            found.trainable += p.size
        found.parameter_bytes += _bytes(p.data)
    found.buffer_bytes = sum(_bytes(b.data) for _, b in model.named_buffers())
    found.multiply_adds = sum(row.multiply_adds for row in found.rows)
    found.activation_bytes = sum(map(_bytes, {id(x): x for x in arrays}.values()))
    return found


def _rows(model: Layer) -> dict[int, Row]:
    """A row for each layer, by its id; a call then adds its output shapes and multiply-adds."""
    rows: dict[int, Row] = {}
    counted: set[int] = set()
    for name, layer in model.named_layers():
        containing = [row for row in rows.values() if _is_within(name, row.name)]
        contains_others = any(layer is not other for other in layer.sublayers())
        kind = type(layer).__name__ if contains_others else repr(layer)
        row = Row(len(containing), name, kind)
        for p in _own_parameters(layer):
            if id(p) not in counted:
                row.parameters += p.size
                counted.add(id(p))
        rows[id(layer)] = row
    return rows


def _is_within(name: str, outer: str) -> bool:
    """Whether a path of attributes leads into another one; every path leads into ""."""
    return not outer or name.startswith(f"{outer}.")


# --- multiply-adds ------------------------------------------------------------------------------

Count = Callable[[Any, list[Any], list[Shape]], int]  # layer, inputs, output shapes


def _matrices(layer: Any, xs: list[Any], outputs: list[Shape]) -> int:
    """Each row of the input is multiplied once by each of the layer's own matrices."""
    rows = math.prod(xs[0].shape[:-1])
    return int(rows * sum(p.size for p in _own_parameters(layer) if p.ndim == 2))


def _kernels(layer: Any, xs: list[Any], outputs: list[Shape]) -> int:
    """All weights are used once for each place of the output; in a transpose, of the input."""
    shape = outputs[0]
    if "Transpose" in type(layer).__name__:
        shape = xs[0].shape
    places: int = math.prod(shape[-(layer.weight.ndim - 2) :])
    return places * int(layer.weight.size)


def _attention(layer: Any, xs: list[Any], outputs: list[Shape]) -> int:
    """Projections by the layer's own matrices, then queries by keys, and weights by values."""
    query, key, value = (*xs, None, None)[:3]  # what was not passed is None
    if key is None:
        key = query
    if value is None:
        value = key
    length = key.shape[1] if layer.batch_first else key.shape[0]
    width = query.shape[-1]
    rows = math.prod(query.shape[:-1])
    # Each of the three is multiplied by a matrix of shape (its own width, width).
    projections = sum(math.prod(x.shape) * width for x in (query, key, value))
    return int(projections + 2 * rows * length * width)


MULTIPLY_ADDS: dict[str, Count] = {
    **dict.fromkeys(("Affine", "RNN", "LSTM", "GRU"), _matrices),
    **dict.fromkeys(("Conv1d", "Conv2d"), _kernels),
    **dict.fromkeys(("ConvTranspose1d", "ConvTranspose2d"), _kernels),
    "MultiheadAttention": _attention,
}
"""How to count, by the name of a layer's class or of one of its base classes.

You can add your own layer here, or give it a method `multiply_adds(inputs, output_shapes)`.
"""


def _multiply_adds(layer: Any, xs: list[Any], outputs: list[Shape]) -> int:
    if hasattr(layer, "multiply_adds"):
        return int(layer.multiply_adds(xs, outputs))
    for kind in type(layer).__mro__:
        if kind.__name__ in MULTIPLY_ADDS:
            return MULTIPLY_ADDS[kind.__name__](layer, xs, outputs)
    return 0


# --- parameters and inputs --------------------------------------------------------------------------


def _own_parameters(layer: Layer) -> Iterator[Parameter]:
    """The parameters of a layer that are in no layer within it."""
    for _, owner, value in contents(layer):
        if owner is layer and isinstance(value, Parameter):
            yield value


def _zeros(model: Layer, shape: Shape, dtype: DType | str | None, axis: int) -> Array:
    """A batch of one, on the device of the model's parameters."""
    p = next(model.parameters(), None)
    if p is None:
        backend = current()
        xp = backend.xp
        device = backend.device
        default = backend.dtype
        on_device = backend.selected()
    else:
        xp = array_namespace(p.data)
        device = compat.device(p.data)
        default = p.data.dtype
        on_device = library_of(p.data).selected(device)
    if dtype is None:
        dtype = default
    elif isinstance(dtype, str):
        dtype = getattr(xp, dtype)
    shape = (*shape[:axis], 1, *shape[axis:])
    with on_device:
        return xp.zeros(shape, dtype=dtype, device=device)


# --- the table ------------------------------------------------------------------------------------


def _cells(row: Row, batch_axis: int) -> tuple[str, ...]:
    """The strings of a row of the table."""
    label = " ".join(row.kind.split())
    name = row.name.rpartition(".")[2]
    if name:
        label = f"{name}: {label}"
    label = printable("  " * row.depth + label)
    if len(label) > WIDTH:
        label = f"{label[: WIDTH - 1]}…"
    shapes = ", ".join(_shown(shape, batch_axis) for shape in row.shapes) or "not called"
    return label, shapes, _shown_count(row.parameters), _shown_count(row.multiply_adds)


def _shown_count(n: int) -> str:
    """The number with commas between the thousands; an empty string for 0."""
    return f"{n:,}" if n else ""


def _shown(shape: Shape, batch_axis: int) -> str:
    """The shape of an output, with "batch" for the size of the batch."""
    sizes = [str(n) for n in shape]
    if 0 <= batch_axis < len(sizes):
        sizes[batch_axis] = "batch"
    return f"({', '.join(sizes)})"


def _bytes(x: Array) -> int:
    """The memory of an array's values."""
    xp = array_namespace(x)
    count: int = math.prod(x.shape)
    if xp.isdtype(x.dtype, "bool"):
        return count
    info = xp.iinfo if xp.isdtype(x.dtype, "integral") else xp.finfo
    return count * int(info(x.dtype).bits) // 8


def _size(n: int) -> str:
    """A number of bytes, in the largest unit of which there is at least one."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if n >= 10**power:
            return f"{n / 10**power:,.1f} {unit}"
    return counted(n, "byte")
