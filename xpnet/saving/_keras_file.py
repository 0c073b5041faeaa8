"""The weights in a .keras file: a zip archive with a description in JSON, and arrays in HDF5."""

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from xpnet._typing import Array
from xpnet.errors import MissingPackageError, StateError

# Parts of a layer that have weights of their own, in the order of `layer.weights`.
PARTS = (
    *("layer", "forward_layer", "backward_layer", "cell"),
    *("query_dense", "key_dense", "value_dense", "output_dense"),
)


def read_keras_file(path: Path) -> list[Array]:
    """The arrays of a .keras file, in the order of `keras_model.get_weights()`.

    Nothing of the file is executed.

    Parameters
    ----------
    path : Path
        Of a Sequential or Functional model, which may contain others.

    Raises
    ------
    StateError
        The file cannot be read, or its model is a class of its own: its description then has no order
        of layers.
    MissingPackageError
        pyfive is not installed.
    """
    try:
        pyfive = import_module("pyfive")
    except ImportError as error:
        raise MissingPackageError(
            'A .keras file is read by pyfive: pip install "xpnet[keras]". With Keras, pass '
            "keras.saving.load_model(path).get_weights() instead."
        ) from error
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            weights = pyfive.File(io.BytesIO(archive.read("model.weights.h5")))
        return list(_of_model(config, weights, str(path)))
    except StateError:
        raise
    except Exception as error:  # damage is found by several packages, each in its own way
        raise StateError(f"{path}: expected a .keras file of Keras 3: {error}.") from error


def _of_model(config: Mapping[str, Any], group: Any, where: str) -> Iterator[Array]:
    """The arrays of a model's layers, in the order of its description."""
    layers = config["config"].get("layers")
    if config["class_name"] not in ("Sequential", "Functional", "Model") or layers is None:
        raise StateError(
            f"{where}: expected a Sequential or Functional model, got {config['class_name']}. Load it with "
            "Keras, and pass its get_weights()."
        )
    seen: Counter[str] = Counter()
    known: set[str] = set()
    for layer in layers:
        name = _group_name(layer["class_name"])
        seen[name] += 1
        if seen[name] > 1:
            name = f"{name}_{seen[name] - 1}"
        known.add(name)
        found = group["layers"]
        if name not in found:
            continue  # a layer without weights
        if "layers" in layer["config"]:
            yield from _of_model(layer, found[name], where)
        else:
            _require_known_order(layer, found[name], f"{where}: {name}")
            yield from _of_layer(found[name], f"{where}: {name}")
    others = [
        key for key in group["layers"] if key not in known and _has_arrays(group["layers"][key])
    ]
    if others:
        raise StateError(
            f"{where} has weights of layers that its description lacks, {sorted(others)}."
        )


def _require_known_order(layer: Mapping[str, Any], group: Any, where: str) -> None:
    """Raise StateError for a class that is not Keras's own, if several of its parts have weights."""
    parts = [key for key in group if key != "vars" and _has_arrays(group[key])]
    if len(parts) > 1 and not layer.get("module", "").startswith("keras"):
        raise StateError(f"{where} has parts of an unknown order, {sorted(parts)}.")


def _of_layer(group: Any, where: str) -> Iterator[Array]:
    """The arrays of a layer: its own, then those of its parts."""
    keys = set(group)
    if "vars" in keys:
        variables = group["vars"]
        for key in sorted(variables, key=int):
            yield _array(variables[key])
    for part in PARTS:
        if part in keys:
            yield from _of_layer(group[part], f"{where}.{part}")
    others = [key for key in keys - {"vars", *PARTS} if _has_arrays(group[key])]
    if others:
        raise StateError(f"{where} has parts of an unknown order, {sorted(others)}.")


def _array(variable: Any) -> Array:
    """The numbers of a variable. bfloat16, which HDF5 does not have, is the first half of a float32."""
    x = variable[...]
    if variable.attrs.get("dtype") not in (b"bfloat16", "bfloat16"):
        return x
    halves = x.view("uint16").astype("uint32")
    return (halves << 16).view("float32")


def _has_arrays(item: Any) -> bool:
    """Whether an array is in a group, or in a group within."""
    if hasattr(item, "shape"):
        return True
    return any(_has_arrays(item[key]) for key in item)


def _group_name(class_name: str) -> str:
    """The name that Keras gives the group of a class: "conv2d_transpose" for Conv2DTranspose.

    >>> [_group_name(name) for name in ("Conv2D", "LSTM", "BatchNormalization", "Conv2DTranspose")]
    ['conv2d', 'lstm', 'batch_normalization', 'conv2d_transpose']
    """
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
