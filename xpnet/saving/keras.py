"""Weights to and from Keras 3, as the list of arrays that its models give and take.

    load_keras_weights(model, keras_model.get_weights())
    keras_model.set_weights(keras_weights(model))
    load_keras_weights(model, "net.keras")      # without Keras: pip install "xpnet[keras]"

Keras need not be installed. Its lists have no names, so arrays are matched by their order and checked by
their shapes; `print(match_keras_weights(model, weights))` shows what goes where before it is done. What
differs between the two:

    Dense, Embedding                    nothing
    Conv1D, Conv2D, DepthwiseConv2D     the kernel is (*kernel_size, in, out), here (out, in, *kernel_size)
    Conv1DTranspose, Conv2DTranspose    (*kernel_size, out, in), here (in, out, *kernel_size)
    BatchNormalization                  gamma, beta, moving_mean, moving_variance
    LayerNormalization, GroupNormalization      gamma, beta
    LSTM, GRU, SimpleRNN, Bidirectional of one  transposed; GRU's gates in another order; one bias or two
    MultiHeadAttention                  four products with an axis for the heads, here two

Images are (height, width, channels) in Keras: `x` is to be permuted, and so are the rows of a Dense kernel
after Flatten, which these functions do. Constants are no weights: Keras has epsilon=1e-3 for its
normalizations, here it is `eps=1e-5` by default.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from xpnet._printable import aligned, counted
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Parameter
from xpnet.backend import to_numpy
from xpnet.errors import ArgumentTypeError, StateError
from xpnet.layers import (
    GRU,
    LSTM,
    RNN,
    Affine,
    BatchNorm1d,
    BatchNorm2d,
    Buffer,
    Conv1d,
    ConvTranspose1d,
    Embedding,
    GroupNorm,
    Layer,
    LayerNorm,
    MultiheadAttention,
)
from xpnet.layers.base import require_real
from xpnet.saving._keras_file import read_keras_file
from xpnet.saving._keras_flatten import Flattened, channels_before_flatten

__all__ = [
    "KerasMatch",
    "keras_weights",
    "load_keras_weights",
    "match_keras_weights",
]

BatchNorm = (BatchNorm1d, BatchNorm2d)


Tensor: TypeAlias = Parameter | Buffer


class _Slot(NamedTuple):
    """One of Keras's arrays: which tensors of a model are in it, and how.

    Attributes
    ----------
    tensors : tuple of Parameter or Buffer
    shape : tuple of int
        The array's shape.
    note : str
        What differs, for a reader.
    load : callable
        From the array to the arrays of the tensors.
    dump : callable
        The reverse.
    rows : slice
        The rows of the tensors that the array has: all of them, except in attention.
    """

    tensors: tuple[Tensor, ...]
    shape: tuple[int, ...]
    note: str
    load: Callable[[Array], Sequence[Array]]
    dump: Callable[..., Array]
    rows: slice = slice(None)


Row: TypeAlias = tuple[str, str, str, str, str]


class KerasMatch(NamedTuple):
    """Which of Keras's arrays belongs to which tensors of a model; it prints as a table.

    Attributes
    ----------
    rows : list of tuple of str
        The lines of the table: names here, the array's index and shape in Keras, what is changed, and
        what the pair is matched by: "shape" if no other array has this shape, else "order".

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F, saving
    >>> match = saving.match_keras_weights(xpnet.Affine(2, 3), [F.ones((2, 3)), F.zeros(3)])
    >>> match.rows[0]
    ('weight', '0', '(2, 3)', '', 'shape')
    """

    rows: list[Row]

    def __str__(self) -> str:
        return aligned([("name", "Keras", "shape", "", "matched by"), *self.rows])


Weights: TypeAlias = Sequence[Array] | str | Path


def keras_weights(model: Layer, flattened: Flattened | None = None) -> list[Array]:
    """The weights of a model as `keras_model.set_weights` takes them.

    Parameters
    ----------
    model : Layer
    flattened : mapping of str to sequence of int, optional
        For an Affine that follows a Flatten, by its name: the shape of a sample before the Flatten,
        (channels, height, width). It is needed only where the layers before do not show the channels,
        or the model has a Reshape: an empty mapping says that what it reshapes has the same order there.

    Returns
    -------
    list of numpy.ndarray
        Copies, in the order of the model's layers.

    Raises
    ------
    StateError
        A layer has parameters that no layer of Keras has, or numbers in an order that cannot be known; or
        `flattened` is needed.

    Examples
    --------
    >>> import xpnet
    >>> [w.shape for w in keras_weights(xpnet.Sequential(xpnet.Conv2d(1, 8, 3), xpnet.BatchNorm2d(8)))]
    [(3, 3, 1, 8), (8,), (8,), (8,), (8,), (8,)]
    """
    arrays = []
    for slot in _all_slots(model, flattened):
        x = slot.dump(*[_part(to_numpy(tensor.data), slot) for tensor in slot.tensors])
        arrays.append(array_namespace(x).asarray(x, copy=True))
    return arrays


def match_keras_weights(
    model: Layer, weights: Weights, flattened: Flattened | None = None
) -> KerasMatch:
    """Which of Keras's arrays belongs to which tensors of a model, by their order.

    Nothing is changed.

    Parameters
    ----------
    model, weights, flattened
        As for `load_keras_weights`.

    Returns
    -------
    KerasMatch

    Raises
    ------
    StateError
        As from `load_keras_weights`; the message shows the table up to the first array that does not
        fit.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F, saving
    >>> theirs = [F.ones((5, 5, 1, 8)), F.zeros(8)]  # what a Conv2D's get_weights() returns
    >>> print(saving.match_keras_weights(xpnet.Conv2d(1, 8, 5), theirs))
    name    Keras  shape                            matched by
    weight  0      (5, 5, 1, 8)  axes (2, 3, 1, 0)  shape
    bias    1      (8,)                             shape
    """
    match, _ = _matched(model, weights, flattened)
    return match


def load_keras_weights(model: Layer, weights: Weights, flattened: Flattened | None = None) -> None:
    """Set the parameters and running averages of a model from those of the same model in Keras.

    Parameters
    ----------
    model : Layer
        With the layers of the Keras model in the same order. Each tensor keeps its dtype and device.
    weights : sequence of arrays, or path
        What `keras_model.get_weights()` returns; or a .keras file of a Sequential or Functional model,
        which is read without Keras and without h5py.
    flattened : mapping, optional
        As for `keras_weights`.

    Raises
    ------
    StateError
        The number of arrays or a shape differs, an array is complex, a layer has parameters that no layer
        of Keras has, `flattened` is needed, or the file cannot be read. Then nothing is changed.
    ArgumentTypeError
        `weights` is neither a sequence nor a path, such as a Keras model itself.
    MissingPackageError
        For a file: pyfive is not installed.

    Notes
    -----
    Keras has one bias for an LSTM or SimpleRNN, and PyTorch and xpnet have two that are added: the second
    one becomes 0.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F, saving
    >>> theirs = [F.asarray([[2.0], [3.0]]), F.asarray([0.5])]  # what Dense(1).get_weights() returns
    >>> model = xpnet.Affine(2, 1)
    >>> saving.load_keras_weights(model, theirs)
    >>> float(model(F.asarray([[1.0, 10.0]]))[0, 0])  # 1 * 2 + 10 * 3 + 0.5
    32.5
    """
    _, new = _matched(model, weights, flattened)
    state = dict(model.state_dict())
    state.update(new)
    model.load_state_dict(state)


def _matched(
    model: Layer, weights: Weights, flattened: Flattened | None
) -> tuple[KerasMatch, dict[str, Array]]:
    """The table, and the new arrays by their names in `state_dict`."""
    if isinstance(weights, (str, Path)):
        weights = read_keras_file(Path(weights))
    elif isinstance(weights, Mapping) or not isinstance(weights, Iterable):
        raise ArgumentTypeError(
            f"Expected Keras's weights as a list of arrays, or a path, got a {type(weights).__name__}. Pass "
            "keras_model.get_weights()."
        )
    arrays = [to_numpy(x) for x in weights]
    slots = list(_all_slots(model, flattened))
    names = {id(tensor): name for name, tensor in _tensors(model)}
    counts = Counter(tuple(x.shape) for x in arrays)
    rows: list[Row] = []
    new = _New(model)
    for i, (slot, x) in enumerate(zip(slots, arrays, strict=False)):
        own = [names[id(tensor)] for tensor in slot.tensors]
        shape = tuple(x.shape)
        evidence = "shape" if counts[shape] == 1 else "order"
        rows.append((", ".join(own), str(i), str(shape), slot.note, evidence))
        if shape != slot.shape:
            raise StateError(
                f"{model!r}: expected array {i} of shape {slot.shape} for {own[0]}, got {shape}.\n"
                f"{KerasMatch(rows)}\nThe layers or their order differ."
            )
        require_real(model, own[0], slot.tensors[0].data, x)
        for name, part in zip(own, slot.load(x), strict=True):
            new.put(name, part, slot)
    if len(slots) != len(arrays):
        raise StateError(
            f"{model!r}: expected {counted(len(slots), 'array')}, got {len(arrays)}.\n{KerasMatch(rows)}"
        )
    return KerasMatch(rows), new.arrays


class _New:
    """The arrays that a model is to get, by their names; each number is set once, or to the same."""

    def __init__(self, model: Layer) -> None:
        self.model = model
        self.arrays: dict[str, Array] = {}
        self.is_set: dict[str, Array] = {}  # which numbers are

    def put(self, name: str, x: Array, slot: _Slot) -> None:
        """Set the numbers that a slot has of a tensor."""
        if name not in self.arrays:
            own = to_numpy(dict(_tensors(self.model))[name].data)
            self.arrays[name] = own.copy()
            self.is_set[name] = own != own  # noqa: PLR0124 - False everywhere, but for NaN
            self.is_set[name][...] = False
        if self.is_set[name][slot.rows].any() and (self.arrays[name][slot.rows] != x).any():
            raise StateError(f"{self.model!r}: two of Keras's arrays are {name} here, but differ.")
        self.arrays[name][slot.rows] = x
        self.is_set[name][slot.rows] = True


def _part(x: Array, slot: _Slot) -> Array:
    """The rows of a tensor's array that a slot has."""
    return x if slot.rows == slice(None) else x[slot.rows]


def _tensors(model: Layer) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _all_slots(model: Layer, flattened: Flattened | None) -> Iterator[_Slot]:
    """Keras's arrays in its order: layer by layer, each layer once.

    Raises
    ------
    StateError
        A parameter is in none of them.
    """
    channels = channels_before_flatten(model, flattened)
    done: set[int] = set()  # layers, and what is in them
    covered: set[int] = set()
    for path, layer in model.named_layers():
        if id(layer) in done:
            continue
        slots = _slots(layer, channels.get(path))
        if slots is not None:
            done |= {id(inner) for inner in layer.sublayers()}
            covered |= {id(tensor) for slot in slots for tensor in slot.tensors}
            yield from slots
    unknown = [name for name, p in model.named_parameters() if id(p) not in covered]
    if unknown:
        raise StateError(
            f"{model!r}: no layer of Keras has the parameters {unknown}. Hand over the layers that it has "
            "one by one: load_keras_weights(model.encoder, weights[:6])."
        )


def _slots(layer: Layer, channels: int | None) -> list[_Slot] | None:
    """The arrays of a layer in Keras; None if Keras has no such layer."""
    for kinds, slots in _BY_KIND.items():
        if isinstance(layer, kinds):
            return slots(layer, channels)
    return None


def _same(tensor: Tensor | None) -> list[_Slot]:
    """A tensor that Keras has as it is; nothing for a layer that is without it."""
    if tensor is None:
        return []
    return [_Slot((tensor,), tuple(tensor.data.shape), "", lambda x: (x,), lambda x: x)]


def _affine(layer: Affine, channels: int | None) -> list[_Slot]:
    weight = _same(layer.weight)[0]
    if channels is not None:
        rows, columns = weight.shape
        places = rows // channels

        def load(x: Array) -> Sequence[Array]:
            return (x.reshape(places, channels, columns).swapaxes(0, 1).reshape(rows, columns),)

        def dump(x: Array) -> Array:
            return x.reshape(channels, places, columns).swapaxes(0, 1).reshape(rows, columns)

        note = f"rows from (places, {channels}) to ({channels}, places)"
        weight = weight._replace(note=note, load=load, dump=dump)
    return [weight, *_same(layer.bias)]


def _convolution(layer: Any, channels: int | None) -> list[_Slot]:
    """(*kernel, in, out) for (out, in, *kernel), of a transposed one (*kernel, out, in) for (in, out, *kernel).

    In both cases the two axes are in reverse order behind those of the kernel.
    """
    shape = tuple(layer.weight.data.shape)
    axes = (*range(2, len(shape)), 1, 0)
    back = (len(shape) - 1, len(shape) - 2, *range(len(shape) - 2))
    slot = _Slot(
        (layer.weight,),
        tuple(shape[i] for i in axes),
        f"axes {axes}",
        lambda x: (x.transpose(back),),
        lambda x: x.transpose(axes),
    )
    if isinstance(layer, Conv1d) and 1 < layer.groups == layer.in_channels:
        slot = _depthwise(layer, slot)
    return [slot, *_same(layer.bias)]


def _depthwise(layer: Any, slot: _Slot) -> _Slot:
    """Keras's DepthwiseConv: (*kernel, in, multiplier) in place of (*kernel, 1, in * multiplier)."""
    shape = (*slot.shape[:-2], layer.in_channels, layer.out_channels // layer.in_channels)
    return slot._replace(
        shape=shape,
        note="of each channel",
        load=lambda x: slot.load(x.reshape(slot.shape)),
        dump=lambda x: slot.dump(x).reshape(shape),
    )


def _normalization(layer: Any, channels: int | None) -> list[_Slot]:
    if isinstance(layer, LayerNorm) and len(layer.normalized_shape) > 1:
        return _normalization_of_images(layer)
    slots = [*_same(layer.weight), *_same(layer.bias)]
    if isinstance(layer, BatchNorm):
        slots += [*_same(layer.running_mean), *_same(layer.running_var)]
    return slots


def _normalization_of_images(layer: LayerNorm) -> list[_Slot]:
    """A LayerNorm over (channels, height, width), in Keras over (height, width, channels)."""
    tensors = [tensor for tensor in (layer.weight, layer.bias) if tensor is not None]
    if tensors and len(layer.normalized_shape) != 3:
        raise StateError(
            f"{layer!r}: its axes are in another order in Keras if one of them is channels, which their "
            "sizes do not show. Hand over the layers before and after it on their own, and set its weight and "
            "bias by load_state_dict."
        )
    return [
        _Slot(
            (tensor,),
            (*tensor.data.shape[1:], tensor.data.shape[0]),
            "axes (1, 2, 0)",
            lambda x: (x.transpose(2, 0, 1),),
            lambda x: x.transpose(1, 2, 0),
        )
        for tensor in tensors
    ]


def _embedding(layer: Embedding, channels: int | None) -> list[_Slot]:
    return _same(layer.weight)


def _recurrent(layer: Any, channels: int | None) -> list[_Slot]:
    """Kernel, recurrent kernel and bias of each layer and direction."""
    slots = []
    is_gru = isinstance(layer, GRU)
    ordered = _update_before_reset if is_gru else _as_it_is
    note = "transposed, gates reordered" if is_gru else "transposed"
    for i in range(layer.num_layers):
        for suffix in ("", "_reverse") if layer.bidirectional else ("",):
            for name in (f"weight_ih_l{i}{suffix}", f"weight_hh_l{i}{suffix}"):
                p = getattr(layer, name)
                shape = tuple(p.data.shape)[::-1]
                slots.append(
                    _Slot((p,), shape, note, lambda x: (ordered(x.T),), lambda x: ordered(x).T)
                )
            if layer.bias:
                biases = [getattr(layer, f"bias_{name}_l{i}{suffix}") for name in ("ih", "hh")]
                slots.append(_bias(biases, ordered, two=is_gru and layer.reset_after))
    return slots


def _bias(biases: Sequence[Parameter], ordered: Callable[[Array], Array], *, two: bool) -> _Slot:
    """The bias of a recurrent layer: both rows for a GRU, else the sum of the two."""
    tensors = tuple(biases)
    size = tensors[0].data.shape[0]
    if two:
        return _Slot(
            tensors,
            (2, size),
            "gates reordered",
            lambda x: (ordered(x[0]), ordered(x[1])),
            lambda ih, hh: array_namespace(ih).stack([ordered(ih), ordered(hh)]),
        )
    return _Slot(
        tensors,
        (size,),
        "the second one is 0",
        lambda x: (ordered(x), 0.0 * x),
        lambda ih, hh: ordered(ih + hh),
    )


def _as_it_is(x: Array) -> Array:
    return x


def _update_before_reset(x: Array) -> Array:
    """The first two of three gates, which are blocks of rows, in each other's place."""
    n = x.shape[0] // 3
    return array_namespace(x).concat([x[n : 2 * n, ...], x[:n, ...], x[2 * n :, ...]])


def _attention(layer: MultiheadAttention, channels: int | None) -> list[_Slot]:
    """Kernel and bias of query, key, value and output, with an axis for the heads."""
    E = layer.embed_dim
    heads = (layer.num_heads, layer.head_dim)
    slots = []
    for i, (letter, width) in enumerate((("q", E), ("k", layer.kdim), ("v", layer.vdim))):
        rows = slice(i * E, (i + 1) * E)
        if hasattr(layer, "in_proj_weight"):
            slots.append(_projection(layer.in_proj_weight, width, heads, rows))
        else:
            own = getattr(layer, f"{letter}_proj_weight")
            slots.append(_projection(own, width, heads, slice(None)))
        if layer.in_proj_bias is not None:
            slots.append(_heads(layer.in_proj_bias, heads, (E,), rows))
    out = layer.out_proj
    slots.append(_heads(out.weight, (*heads, E), (E, E), slice(None)))
    return [*slots, *_same(out.bias)]


def _projection(p: Parameter, width: int, heads: tuple[int, int], rows: slice) -> _Slot:
    """(width, heads, size of a head) for rows of (heads * size, width)."""
    return _Slot(
        (p,),
        (width, *heads),
        "heads joined, transposed",
        lambda x: (x.reshape(width, -1).T,),
        lambda x: x.T.reshape(width, *heads),
        rows,
    )


def _heads(p: Parameter, shape: tuple[int, ...], own: tuple[int, ...], rows: slice) -> _Slot:
    """A tensor whose axis for the heads is joined with the one that follows."""
    return _Slot(
        (p,), shape, "heads joined", lambda x: (x.reshape(own),), lambda x: x.reshape(shape), rows
    )


_BY_KIND: dict[Any, Callable[[Any, int | None], list[_Slot]]] = {
    Affine: _affine,
    (Conv1d, ConvTranspose1d): _convolution,  # their subclasses for images too
    (*BatchNorm, LayerNorm, GroupNorm): _normalization,
    Embedding: _embedding,
    (RNN, LSTM, GRU): _recurrent,
    MultiheadAttention: _attention,
}
