"""What a Flatten does to the order of numbers: Keras has the channels last, xpnet has them first."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from xpnet import layers as L
from xpnet.errors import StateError

Flattened: TypeAlias = Mapping[str, Sequence[int]]
"""The shape of a sample before Flatten, (channels, *places), by the name of the Affine that follows."""

PASSING = (
    *(L.ELU, L.GELU, L.LeakyReLU, L.ReLU, L.Sigmoid, L.SiLU, L.Softplus, L.Tanh, L.Dropout),
    *(L.AvgPool1d, L.AvgPool2d, L.MaxPool1d, L.MaxPool2d),
)
"""Layers without weights, after which there are as many channels as before."""

CHANNELS_LAST = (L.Affine, L.Embedding, L.LayerNorm, L.MultiheadAttention)
"""Layers whose features are the last axis, as in Keras; a LayerNorm only if it is over one axis."""


def channels_before_flatten(model: L.Layer, flattened: Flattened | None) -> dict[str, int]:
    """The number of channels before a Flatten, by the name of the Affine layer that follows it.

    Parameters
    ----------
    model : Layer
    flattened : mapping, or None
        The shapes that the caller knows; what it does not name is found where the layers show it.

    Raises
    ------
    StateError
        The layers do not show it; another layer with weights follows a Flatten; or there is a Reshape, and
        `flattened` is None.
    """
    given = flattened or {}
    found = {path: int(shape[0]) for path, shape in _checked(model, given)}
    for flatten, before, after in _flattens(model):
        path, layer = after
        channels = _channels(before)
        if path in given or channels == 0:
            continue
        if not isinstance(layer, L.Affine):
            raise StateError(f"{model!r}: after {flatten}, expected an Affine, got {layer!r}.")
        if channels is None:
            raise _unknown(model, flatten, path)
        found[path] = channels
    if flattened is None:
        _require_visible(model)
        _require_same_order(model)
    return found


def _flattens(
    model: L.Layer,
) -> Iterator[tuple[str, list[L.Layer], tuple[str, L.Layer]]]:
    """Each Flatten within a Sequential: its name, the layers before it, and the next one with weights."""
    for chain in _chains(model):
        for i, (path, layer) in enumerate(chain):
            if not isinstance(layer, L.Flatten):
                continue
            rest = [(name, x) for name, x in chain[i + 1 :] if not isinstance(x, PASSING)]
            if rest:
                yield path, [x for _, x in chain[:i]], rest[0]


def _require_visible(model: L.Layer) -> None:
    """Raise StateError if a Flatten is in no Sequential: it is not known what follows it."""
    visible = {id(x) for chain in _chains(model) for _, x in chain}
    for path, layer in model.named_layers():
        if isinstance(layer, L.Flatten) and id(layer) not in visible:
            raise _unknown(model, path, "fc")


def _require_same_order(model: L.Layer) -> None:
    """Raise StateError if there is a Reshape, unless it makes images of one channel from rows."""
    has_images = False
    for path, layer in model.named_layers():
        has_images |= isinstance(layer, (L.Conv1d, L.ConvTranspose1d))
        if not isinstance(layer, L.Reshape) or (layer.shape[:1] == (1,) and not has_images):
            continue
        raise StateError(
            f"{model!r}: {path}, {layer!r}, has its numbers in another order in Keras if channels are among them. "
            "If they are not, pass flattened={}. If it makes rows, pass the shape of a sample before it, by the "
            "name of the Affine that follows: flattened={'fc': (channels, height, width)}. If it makes images "
            "of rows, hand over the layers before it on their own, with the columns of their last kernel permuted."
        )


def _checked(model: L.Layer, given: Flattened) -> Iterator[tuple[str, Sequence[int]]]:
    """The shapes by name; StateError if a name is not that of an Affine, or a shape has another size."""
    known = dict(model.named_layers())
    for path, shape in given.items():
        layer = known.get(path)
        size = 1
        for n in shape:
            size *= n
        if not isinstance(layer, L.Affine) or size != layer.in_features:
            raise StateError(
                f"`flattened` expected the name of an Affine and the shape of its input before Flatten, got "
                f"{path!r}: {tuple(shape)}, for {layer!r}."
            )
        yield path, shape


def _unknown(model: L.Layer, flatten: str, affine: str) -> StateError:
    return StateError(
        f"{model!r}: {flatten} joins channels and places, which are in another order in Keras, and the layers do "
        "not show how many channels there are. Pass the shape of a sample before it, by the name of the Affine "
        f"that follows: flattened={{{affine!r}: (channels, height, width)}}; for rows of numbers, (size,)."
    )


def _channels(before: Sequence[L.Layer]) -> int | None:
    """The channels after these layers; 0 if the features are the last axis; None if unknown."""
    for layer in reversed(before):
        if isinstance(layer, (L.Conv1d, L.ConvTranspose1d)):
            return layer.out_channels
        if isinstance(layer, (L.BatchNorm1d, L.BatchNorm2d)):
            return layer.num_features
        if isinstance(layer, L.GroupNorm):
            return layer.num_channels
        if isinstance(layer, L.LayerNorm) and len(layer.normalized_shape) > 1:
            continue  # over channels and places, or over places and features
        if isinstance(layer, CHANNELS_LAST):
            return 0
        if not isinstance(layer, PASSING):
            return None
    return None


def _chains(model: L.Layer) -> Iterator[list[tuple[str, L.Layer]]]:
    """The layers of each Sequential, one after another, with their names; nested ones are unfolded."""
    inner: set[int] = set()
    for path, layer in model.named_layers():
        if _is_chain(layer) and id(layer) not in inner:
            chain = list(_unfolded(path, layer))
            inner |= {id(x) for x in layer.sublayers() if _is_chain(x)}
            yield chain


def _unfolded(path: str, layer: L.Layer) -> Iterator[tuple[str, L.Layer]]:
    if not isinstance(layer, L.Sequential) or not _is_chain(layer):
        yield path, layer
        return
    for i, inner in enumerate(layer.layers):
        yield from _unfolded(f"{path}.layers.{i}".removeprefix("."), inner)


def _is_chain(layer: L.Layer) -> bool:
    return isinstance(layer, L.Sequential) and not isinstance(layer, L.Residual)
