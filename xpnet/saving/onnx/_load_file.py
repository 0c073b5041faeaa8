"""ONNX files: parsed, checked, and their tensors read, also from files beside them."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xpnet.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    MissingPackageError,
    StateError,
)
from xpnet.saving.onnx._load_network import Input
from xpnet.saving.onnx._load_operators import DTYPES

if TYPE_CHECKING:
    import onnx

__all__ = ["NEWEST", "OLDEST", "File", "Node", "opened"]

OLDEST = 7  # the first opset with NumPy's broadcasting
NEWEST = 28  # the last whose operators were compared with those of `_load_operators`
INFERRED = 1024  # bytes of the largest constants that the inference of shapes may look at


class Node(NamedTuple):
    """A node of a graph: its operator, the names of its inputs and outputs, its attributes."""

    kind: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


class File(NamedTuple):
    """What was read from a file.

    Attributes
    ----------
    where : str
        The file, for errors.
    opset : int
    inputs : list of Input
        Without those that have an initializer.
    outputs : list of str
    nodes : list of Node
    tensors : dict of str to NumPy array
        The initializers.
    shapes : dict of str to tuple
        The shapes of values, as far as ONNX infers them; a length is a number, a name or None.
    """

    where: str
    opset: int
    inputs: list[Input]
    outputs: list[str]
    nodes: list[Node]
    tensors: dict[str, np.ndarray[Any, Any]]
    shapes: dict[str, tuple[int | str | None, ...]]


def parsed(source: Any) -> tuple["onnx.ModelProto", str, Path | None]:
    """The model of a file, of bytes or as given; what to call it; and the folder of a file.

    Raises
    ------
    MissingPackageError
        The package onnx is not installed.
    DataError
        The file cannot be read, or is not a model of ONNX.
    """
    try:
        import onnx
        from google.protobuf import message
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            'load_onnx needs the package onnx: pip install "xpnet[onnx]"', name=error.name
        ) from error
    if isinstance(source, onnx.ModelProto):
        copy = onnx.ModelProto()
        copy.CopyFrom(source)
        return copy, "the model", None
    folder = None
    where = "the bytes"
    if isinstance(source, (str, PathLike)):
        path = Path(source)
        where = str(path)
        folder = path.parent
        try:
            source = path.read_bytes()
        except OSError as error:
            raise DataError(f"{where}: expected an ONNX file, got {error}.") from error
    if not isinstance(source, (bytes, bytearray, memoryview)):
        raise ArgumentTypeError(
            "load_onnx expected a path, the bytes of a file or an onnx.ModelProto, got a "
            f"{type(source).__name__}."
        )
    model = onnx.ModelProto()
    try:
        model.ParseFromString(bytes(source))
    except message.DecodeError as error:
        raise DataError(f"{where}: expected an ONNX model, got other bytes ({error}).") from error
    return model, where, folder


def opened(
    source: Any,
    outputs: Sequence[str] | None,
    require_covered: Callable[[Node, set[str], int, str], None],
) -> File:
    """A file, read and checked.

    Parameters
    ----------
    source : path, bytes or ModelProto
    outputs : sequence of str, optional
        The values that are wanted, by default the graph's outputs; only the nodes that they depend on are
        read.
    require_covered : callable
        Called with each node in turn, the values that are needed, the opset and the file's name. It
        raises an error for a node that is not covered, before any tensor is read.
    """
    model, where, folder = parsed(source)
    graph = model.graph
    if not model.ir_version or not graph.ByteSize():
        raise DataError(f"{where}: expected an ONNX model, got one without a version or a graph.")
    if graph.sparse_initializer:
        raise StateError(f"{where}: expected dense initializers, got sparse ones.")
    model = _inlined(model)
    graph = model.graph
    opset = _opset(model, where)
    wanted = _wanted(graph, outputs, where)
    needed = _reduced(graph, wanted)
    nodes = [_node(proto, where) for proto in graph.node]
    for node in nodes:
        require_covered(node, needed, opset, where)
    tensors = {proto.name: _tensor(proto, folder, where) for proto in graph.initializer}
    light = _checked(model, tensors, where)
    # What nothing depends on, such as a queue of training data, need not be passed.
    given = [x for x in graph.input if x.name in needed and x.name not in tensors]
    inputs = [_input(value, where) for value in given]
    return File(where, opset, inputs, wanted, nodes, tensors, dict(_shapes(light)))


def _wanted(graph: "onnx.GraphProto", outputs: Sequence[str] | None, where: str) -> list[str]:
    """The names of the values that are wanted; ArgumentError for one that the graph does not have."""
    of_graph = [value.name for value in graph.output]
    known = {name for node in graph.node for name in node.output}
    known.update(value.name for value in (*graph.input, *graph.initializer))
    if outputs is None:
        if not of_graph or not known.issuperset(of_graph):
            raise StateError(f"{where}: expected a graph that makes its outputs, {of_graph}.")
        return of_graph
    for name in outputs:
        if name not in known:
            raise ArgumentError(
                f"{where}: expected outputs that are values of the graph, got {name!r}. Its own "
                f"outputs are {of_graph}; every output of a node is a value too."
            )
    return list(outputs)


def _reduced(graph: "onnx.GraphProto", wanted: Sequence[str]) -> set[str]:
    """Leave only what some values depend on in the graph; return the names of these values."""
    needed = set(wanted)
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
    tensors = [proto for proto in graph.initializer if proto.name in needed]
    kept = nodes[::-1]
    del graph.node[:]
    del graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(tensors)
    return needed


def _inlined(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The model with the nodes of its own functions in place of their calls."""
    if not model.functions:
        return model
    from onnx import inliner

    return inliner.inline_local_functions(model)


def _opset(model: "onnx.ModelProto", where: str) -> int:
    """The version of ONNX's own operators; StateError if it is not one of those covered."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 0))
    if not opset and "ai.onnx.ml" in versions:
        opset = OLDEST  # none of its own operators are in the file
    if not OLDEST <= opset <= NEWEST:
        raise StateError(
            f"{where}: expected operators of an opset from {OLDEST} to {NEWEST}, got "
            f"{opset or 'none'}. onnx.version_converter.convert_version(model, 20) may convert it."
        )
    return int(opset)


def _node(proto: "onnx.NodeProto", where: str) -> Node:
    from onnx import helper

    attributes = {}
    for attribute in proto.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.type == attribute.TENSOR:
            value = _tensor(value, None, where)
        elif hasattr(value, "__iter__") and not isinstance(value, (bytes, str)):
            value = tuple(map(_decoded, value))
        attributes[attribute.name] = _decoded(value)
    domain = proto.domain
    if domain == "ai.onnx":  # the long name of ONNX's own
        domain = ""
    return Node(
        proto.op_type, domain, proto.name, tuple(proto.input), tuple(proto.output), attributes
    )


def _decoded(value: Any) -> Any:
    """A string, which protobuf has as bytes; other values as they are."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value


def _input(value: "onnx.ValueInfoProto", where: str) -> Input:
    kind = value.type.tensor_type.elem_type
    if kind not in DTYPES:
        raise StateError(
            f"{where}: expected inputs of {', '.join(DTYPES.values())}, got {value.name!r} of "
            f"{_name_of(kind)}."
        )
    return Input(value.name, kind, _shape(value))


def _shape(value: "onnx.ValueInfoProto") -> tuple[int | str | None, ...] | None:
    """The shape of a value: numbers, names, and None where nothing is known; None without a rank."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    sizes: list[int | str | None] = []
    for dim in tensor.shape.dim:
        size = dim.dim_param or None
        if dim.HasField("dim_value"):
            size = dim.dim_value
        sizes.append(size)
    return tuple(sizes)


def _shapes(
    model: "onnx.ModelProto",
) -> Iterator[tuple[str, tuple[int | str | None, ...]]]:
    graph = model.graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        shape = _shape(value)
        if shape is not None:
            yield value.name, shape


def _checked(
    model: "onnx.ModelProto", tensors: Mapping[str, np.ndarray[Any, Any]], where: str
) -> "onnx.ModelProto":
    """The model without its large tensors, checked by ONNX, and with the shapes that it infers.

    A large initializer becomes an input here, so that nothing is copied and no file is looked for.
    """
    import onnx
    from onnx import helper

    light = onnx.ModelProto()
    light.ir_version = max(model.ir_version, 4)  # from 4 on, an initializer need not be an input
    light.opset_import.extend(model.opset_import)
    light.graph.name = model.graph.name or "graph"
    light.graph.node.extend(model.graph.node)
    light.graph.value_info.extend(model.graph.value_info)
    light.graph.input.extend(value for value in model.graph.input if value.name not in tensors)
    for proto in model.graph.initializer:
        if tensors[proto.name].nbytes <= INFERRED and not _is_external(proto):
            light.graph.initializer.append(proto)
        else:
            light.graph.input.append(
                helper.make_tensor_value_info(proto.name, proto.data_type, list(proto.dims))
            )
    try:
        onnx.checker.check_model(light)
        return onnx.shape_inference.infer_shapes(light, data_prop=True)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        RuntimeError,
    ) as error:
        raise StateError(f"{where}: ONNX's own check of the graph failed: {error}") from error


# --- tensors --------------------------------------------------------------------------------------


def _is_external(proto: "onnx.TensorProto") -> bool:
    return bool(proto.data_location == proto.EXTERNAL)


def _tensor(proto: "onnx.TensorProto", folder: Path | None, where: str) -> np.ndarray[Any, Any]:
    """A tensor as an array; StateError if it is of another dtype, or not of its own shape."""
    from onnx import numpy_helper

    name = f"{where}: the tensor {proto.name!r}"
    if proto.data_type not in DTYPES:
        raise StateError(
            f"{name}: expected one of {', '.join(DTYPES.values())}, got {_name_of(proto.data_type)}."
        )
    dtype = np.dtype(DTYPES[proto.data_type])
    shape = tuple(proto.dims)
    if any(n < 0 for n in shape):
        raise StateError(f"{name}: expected a shape, got {shape}.")
    if _is_external(proto):
        raw = _external_bytes(proto, folder, name, math.prod(shape) * dtype.itemsize)
        return np.frombuffer(raw, dtype.newbyteorder("<")).reshape(shape).astype(dtype)
    try:
        return np.asarray(numpy_helper.to_array(proto), dtype)
    except (ValueError, TypeError) as error:
        raise StateError(f"{name} is corrupt: {error}.") from error


def _name_of(kind: int) -> str:
    """ONNX's name for a dtype, such as BFLOAT16."""
    from onnx import TensorProto

    if kind not in TensorProto.DataType.values():
        return f"the unknown dtype {kind}"
    return str(TensorProto.DataType.Name(kind))


def _external_bytes(proto: "onnx.TensorProto", folder: Path | None, name: str, size: int) -> bytes:
    """The bytes of a tensor that are in another file of the model's folder."""
    entries = {entry.key: entry.value for entry in proto.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise StateError(
            f"{name} is in another file, {location!r}: pass the path of the model, in whose folder "
            "it is."
        )
    root = folder.resolve()
    path = (root / location).resolve()
    if not location or not path.is_relative_to(root):
        raise StateError(
            f"{name}: expected a file in the folder of the model, {root}, got {location!r}."
        )
    if not path.is_file():
        raise StateError(
            f"{name} is in the file {location!r}, which is missing: expected it in the folder of the model, "
            f"{root}. Copy it there with the model."
        )
    try:
        offset = int(entries.get("offset", 0))
        length = int(entries.get("length", size))
    except ValueError as error:
        raise StateError(f"{name}: expected an offset and a length, got {entries}.") from error
    if length != size or offset < 0 or offset + size > path.stat().st_size:
        raise StateError(
            f"{name}: expected {size} bytes from {offset} on in {path.name}, which has "
            f"{path.stat().st_size}; its entry states {length}. The file is truncated, or is that of "
            "another model."
        )
    with path.open("rb") as file:
        file.seek(offset)
        data: bytes = file.read(size)
    return data
