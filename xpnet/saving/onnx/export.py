"""A network as an ONNX file, which any ONNX runtime executes, in a browser too.

    export_onnx(model, "net.onnx", (1, 28, 28), classes=list("0123456789"))

The graph is one that a person would draw: a layer that ONNX has an operator for is that operator, with the
layer's name, and its weights have the names of the model's state. What a layer of your own computes with
functions of xpnet or of the array API standard is recorded, function by function.

Files are written and checked with the package onnx, which is the format's own: no other one could know it
better, and it has everything that is needed. ndonnx would write forty nodes for two layers; spox and
onnxscript describe operators in Python, from which nothing is gained where the graph is built by a program.
"""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xpnet import __version__
from xpnet._typing import PathLike
from xpnet.compiler.record import Program
from xpnet.errors import ArgumentError, ArgumentTypeError, CompileError, MissingPackageError
from xpnet.layers import Layer
from xpnet.saving.onnx._graph import OPSET, Graph, tensor_type
from xpnet.saving.onnx._layer import Weights
from xpnet.saving.onnx._layers import has_operator, lowers_of
from xpnet.saving.onnx._network import Example, record
from xpnet.saving.onnx._operations import OPERATIONS, lower, used_inputs
from xpnet.saving.safetensors import replacing

if TYPE_CHECKING:
    import onnx

__all__ = ["export_onnx"]

OLDEST = 18
SIZES = [
    3,
    8,
]  # of the batches with which a model is recorded: a half of them differs, too, and is no line
DTYPES = ("float16", "float32", "float64")

Shape = tuple[int, ...]
Scaling = tuple[Any, Any]


def export_onnx(
    model: Layer,
    path: PathLike | None,
    input_shape: Shape | list[Shape],
    *,
    dynamic_batch: bool = True,
    batch_size: int = 1,
    batch_axis: int = 0,
    opset: int = OPSET,
    dtype: str | None = None,
    input_dtype: str | Sequence[str] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    input_scaling: Scaling | None = None,
    output_scaling: Scaling | None = None,
    classes: Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> "onnx.ModelProto":
    """Write a network to an ONNX file, completely or not at all, and checked by the package onnx.

    Parameters
    ----------
    model : Layer
        It is exported in evaluation, and stays as it is. Its arrays may be those of any library.
    path : str, path-like or None
        The file. An existing one is replaced in one step, once the new one is complete. None: no file.
    input_shape : tuple of int, or list of them
        The shape of one sample, without the batch; for a model with several inputs, a list.
    dynamic_batch : bool
        Whether the file takes batches of any size; else of `batch_size` samples only. The model is
        recorded with batches of 3 and of 8, and what differs follows the inputs. Code that it selects by
        the size, `if len(x) == 1`, is that of these sizes.
    batch_size : int
        The size of all batches, with `dynamic_batch=False`.
    batch_axis : int
        The axis of the batch in the inputs: 1 for sequences of a model that is not `batch_first`.
    opset : int
        The version of ONNX's operators, 18 or later. Runtimes of 2024 and later have 20.
    dtype : {"float16", "float32", "float64"}, optional
        What to convert the weights to; by default, their own dtype. Not all runtimes have all
        operators in float16 and float64: ONNX Runtime's on the CPU has no convolution of float64.
    input_dtype : str or sequence of str, optional
        The dtype of all inputs, or of each: "int64" for an `Embedding`. By default that of the weights.
    input_names, output_names : sequence of str, optional
        By default "input" and "output"; of a model with several inputs, the names of the arguments of
        its `forward`; and "output_0", "output_1" ... of one that returns several arrays, or their keys in
        a dict.
    input_scaling : (mean, scale), optional
        Numbers, or arrays that broadcast to a sample; the scale without 0. The file then takes inputs as they are, and
        computes (x - mean) / scale first: `xpnet.data.Standardizer` of a table; or (0, 255) for pictures
        of bytes, if the network has learned with pixels from 0 to 1.
    output_scaling : (mean, scale), optional
        The file returns y * scale + mean: of a regression whose targets were standardized.
    classes : sequence of str, optional
        Their names, in the order of the outputs. They are in the metadata, as a list in JSON.
    metadata : mapping of str to object, optional
        More of the metadata. What is no string is written as JSON, with arrays as lists.

    Returns
    -------
    onnx.ModelProto
        What was written. Its metadata say "xpnet" (the version), "model" (the class), and "classes", "input_scaling" and
        "output_scaling" if they were given.

    Raises
    ------
    CompileError
        The model reads numbers of its input in Python, has an operation that ONNX has not, or depends
        on the batch size in a way that a file cannot. The message names the place.
    ArgumentError, ArgumentTypeError
        An argument has another value than those above, or is of another type.
    MissingPackageError
        The package onnx is not installed.
    OSError
        The file cannot be written.

    Notes
    -----
    Numbers differ from the model's by rounding, since a runtime may sum in another order. An `Embedding`
    raises an error for an index out of range; in ONNX, -1 is the last row.

    Examples
    --------
    >>> import xpnet
    >>> model = xpnet.MLP(4, 8, 3)
    >>> written = export_onnx(model, "iris.onnx", (4,))  # doctest: +SKIP
    >>> [node.op_type for node in written.graph.node]  # doctest: +SKIP
    ['Gemm', 'Relu', 'Gemm']
    """
    _require_onnx()
    _require_valid(opset, batch_size, dynamic_batch, dtype)
    texts = _metadata(model, classes, input_scaling, output_scaling, metadata)
    shapes = _shapes(model, input_shape, batch_axis)
    kind = np.dtype(dtype or _dtype_of(model))
    names = _input_names(model, len(shapes), input_names)
    before = _pair("input_scaling", input_scaling)
    after = _pair("output_scaling", output_scaling)
    scalings = _Scalings(before, after, kind)
    scalings.require_one_input(shapes)
    dtypes = _input_dtypes(input_dtype, kind, len(shapes))
    sizes = SIZES if dynamic_batch else [batch_size]
    recorded = []
    for n in sizes:
        arrays = [
            _example(shape, n, batch_axis, scalings.dtype_of_scaled(given))
            for shape, given in zip(shapes, dtypes, strict=True)
        ]
        with _noted(arrays, dynamic_batch):
            recorded.append(record(model, Example(arrays, names), kind, has_operator))
    graph = Graph(type(model).__name__, opset)
    if output_names is None:
        output_names = recorded[0][1]
    programs = [program for program, _ in recorded]
    _write(graph, model, programs, scalings, dtypes, output_names)
    found = _checked(graph, texts)
    if path is not None:
        with replacing(path) as temporary:
            temporary.write_bytes(found.SerializeToString())
    return found


@contextmanager
def _noted(arrays: Sequence[Any], dynamic_batch: bool) -> Iterator[None]:
    """A block in which the model is called with these arrays, which errors of the model itself then mention."""
    try:
        yield
    except CompileError:
        raise
    except Exception as error:
        given = ", ".join(f"{x.dtype} of shape {x.shape}" for x in arrays)
        note = (
            f"in the call that was to be recorded, with {given}: see input_shape and input_dtype."
        )
        if dynamic_batch:
            note += " For a model of one batch size, pass dynamic_batch=False and batch_size."
        error.add_note(note)
        raise


def _write(
    graph: Graph,
    model: Layer,
    programs: Sequence[Program],
    scalings: "_Scalings",
    input_dtypes: Sequence[Any],
    output_names: Sequence[str],
) -> None:
    """Add the inputs, the nodes and the outputs to a graph."""
    program, *others = programs
    holders = dict([*model.named_parameters(), *model.named_buffers()])
    paths = {id(holder): name for name, holder in holders.items()}
    weights = Weights(graph, paths, scalings.dtype)
    names = {}
    for i, x in enumerate(program.arguments):
        shape = _named_shape(*(p.arguments[i].shape for p in programs))
        name = graph.input(x.name, input_dtypes[i], shape)
        names[x] = scalings.applied(graph, name, input_dtypes[i])
    used = used_inputs(program)
    names |= {x: weights(holders[x.name]) for x in program.states if x in used}
    found = lower(graph, program, names, *others, table={**OPERATIONS, **lowers_of(weights)})
    outputs = program.outputs
    for y, name in zip(outputs, _distinct("output", output_names, len(outputs)), strict=True):
        sizes = found.shape(y)
        given = graph.output(name, scalings.undone(graph, found[y], sizes), y.dtype, sizes)
        if given != name:
            raise ArgumentError(
                f"Expected output_names that nothing else has, got {name!r}, which is the name of an input or "
                "a parameter."
            )


def _named_shape(*shapes: Shape) -> list[int | str]:
    """A shape with a name for the length that differs between several."""
    named: list[int | str] = list(shapes[0])
    for i, lengths in enumerate(zip(*shapes, strict=True)):
        if len(set(lengths)) > 1:
            named[i] = "batch"
    return named


class _Scalings(NamedTuple):
    """What is computed before the network, and after it."""

    before: Scaling | None
    after: Scaling | None
    dtype: Any

    def require_one_input(self, shapes: Sequence[Shape]) -> None:
        """Raise ArgumentError unless the scaling of the input fits the only one."""
        if self.before is None:
            return
        sizes = [numbers.shape for numbers in self.before]
        if len(shapes) != 1 or any(not _broadcasts(size, shapes[0]) for size in sizes):
            raise ArgumentError(
                f"Expected input_scaling (mean, scale) that broadcasts to the samples of the only input, "
                f"of shape {shapes[0]}; got shapes {sizes} for {len(shapes)} inputs."
            )

    def dtype_of_scaled(self, given: Any) -> Any:
        """The dtype of an input as the network takes it."""
        return given if self.before is None else self.dtype

    def applied(self, graph: Graph, name: str, dtype: Any) -> str:
        """(x - mean) / scale, of an input."""
        if self.before is None:
            return name
        mean, scale = (numbers.astype(self.dtype) for numbers in self.before)
        if dtype != self.dtype:
            name = graph.node("Cast", [name], "scaling/Cast", to=tensor_type(self.dtype))
        if np.any(mean):
            name = graph.node("Sub", [name, graph.constant(mean)], "scaling/Sub")
        return graph.node("Div", [name, graph.constant(scale)], "scaling/Div")

    def undone(self, graph: Graph, name: str, shape: Sequence[int | str]) -> str:
        """y * scale + mean, of an output of this shape."""
        if self.after is None:
            return name
        sizes = [numbers.shape for numbers in self.after]
        if any(not _broadcasts(size, shape) for size in sizes):
            raise ArgumentError(
                f"Expected output_scaling (mean, scale) that broadcasts to the output, of shape {shape}; "
                f"got shapes {sizes}."
            )
        mean, scale = (graph.constant(numbers, self.dtype) for numbers in self.after)
        name = graph.node("Mul", [name, scale], "scaling/Mul")
        return graph.node("Add", [name, mean], "scaling/Add")


def _pair(name: str, given: Scaling | None) -> Scaling | None:
    """(mean, scale) as arrays."""
    if given is None:
        return None
    try:
        mean, scale = (np.asarray(numbers, np.float64) for numbers in given)
    except (TypeError, ValueError):
        mean = scale = np.zeros(())
    if not (np.isfinite(mean).all() and np.isfinite(scale).all() and scale.all()):
        raise ArgumentError(
            f"Expected {name} (mean, scale), of finite numbers, and no scale of 0; got {given!r}."
        )
    return mean, scale


def _broadcasts(shape: Shape, target: Sequence[int | str]) -> bool:
    """Whether an array of this shape broadcasts to that one, which stays the same."""
    pairs = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) <= len(target) and all(n in (1, m) for n, m in pairs)


def _checked(graph: Graph, metadata: Mapping[str, str]) -> "onnx.ModelProto":
    """The model; CompileError if ONNX finds a fault in it."""
    from onnx import checker, shape_inference

    try:
        return graph.model(metadata)
    except (checker.ValidationError, shape_inference.InferenceError) as error:
        raise CompileError(
            f"ONNX refuses the model in opset {graph.opset}: {error}. Try a newer opset, or a dtype of float32."
        ) from error


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401 - only to know whether it is there
    except ImportError as error:
        raise MissingPackageError(
            "ONNX files are written by the package onnx, which is not installed: "
            "pip install 'xpnet[onnx]'."
        ) from error


def _require_valid(opset: int, batch_size: int, dynamic_batch: bool, dtype: str | None) -> None:
    """Raise ArgumentError for options that are not valid."""
    import onnx

    newest = onnx.defs.onnx_opset_version()
    if type(opset) is not int or not OLDEST <= opset <= newest:
        raise ArgumentError(
            f"Expected an opset from {OLDEST} to {newest}, which is the newest of the package onnx "
            f"{onnx.__version__}; got {opset!r}."
        )
    if type(batch_size) is not int or batch_size < 1:
        raise ArgumentError(f"Expected a batch_size of 1 or more, got {batch_size!r}.")
    if batch_size != 1 and dynamic_batch:
        raise ArgumentError(
            f"Expected dynamic_batch=False with batch_size={batch_size}: else the file takes batches of any size."
        )
    if dtype is not None and dtype not in DTYPES:
        raise ArgumentError(f"Expected a dtype of {', '.join(DTYPES)}; got {dtype!r}.")


def _shapes(model: Layer, given: Any, axis: int) -> list[Shape]:
    """The shape of a sample of each input."""
    if not isinstance(model, Layer):
        raise ArgumentTypeError(f"Expected a Layer to export, got a {type(model).__name__}.")
    shapes = [given]
    if isinstance(given, list):
        shapes = given
    for shape in shapes:
        if not isinstance(shape, tuple) or not all(type(n) is int and n > 0 for n in shape):
            raise ArgumentTypeError(
                "Expected the input_shape of a sample, a tuple of lengths such as (1, 28, 28), or a list of "
                f"such tuples for several inputs; got {given!r}."
            )
        if type(axis) is not int or not 0 <= axis <= len(shape):
            raise ArgumentError(
                f"Expected a batch_axis from 0 to {len(shape)} for samples of shape {shape}, got {axis!r}."
            )
    return shapes


def _dtype_of(model: Layer) -> str:
    """The name of the dtype of a model's first parameter; float32 if it has none."""
    name = "float32"
    for p in model.parameters():
        name = str(p.dtype).rpartition(".")[2]
        break
    if name not in DTYPES:
        raise ArgumentError(
            f"Expected a model in {', '.join(DTYPES)}, got one in {name}: choose one by dtype='float32'."
        )
    return name


def _input_dtypes(given: str | Sequence[str] | None, dtype: Any, count: int) -> list[Any]:
    """The dtype of each input."""
    if given is None:
        given = str(dtype)
    if isinstance(given, str):
        given = [given] * count
    try:
        found = list(map(np.dtype, given))
    except TypeError as error:
        raise ArgumentError(
            f"Expected the name of a dtype as input_dtype, got {given!r}."
        ) from error
    if len(found) != count:
        raise ArgumentError(f"Expected an input_dtype for each of {count} inputs, got {given!r}.")
    return found


def _input_names(model: Layer, count: int, names: Sequence[str] | None) -> list[str]:
    """The names of the inputs."""
    if names is None and count > 1:
        parameters = inspect.signature(type(model).forward).parameters
        own = [name for name, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
        if len(own) > count:
            names = own[1 : count + 1]
    return _distinct("input", names, count)


def _distinct(what: str, names: Sequence[str] | None, count: int) -> list[str]:
    """These names, if they are as many; by default "input", or "input_0" and so on."""
    if names is None and count == 1:
        names = [what]
    elif names is None:
        names = [f"{what}_{i}" for i in range(count)]
    given: Any = names
    found: list[str] = []
    if not isinstance(given, str):
        found = [name for name in given if isinstance(name, str) and name]
    if len(given) != count or len(set(found)) != count:
        raise ArgumentError(f"Expected the names of {count} {what}s, each once; got {given!r}.")
    return found


def _example(shape: Shape, batch: int, axis: int, dtype: Any) -> np.ndarray[Any, Any]:
    """A batch of zeros, or of normal numbers."""
    sizes = (*shape[:axis], batch, *shape[axis:])
    kind = np.dtype(dtype)
    if kind.kind in "biu":
        return np.zeros(sizes, kind)
    return np.random.default_rng(0).normal(size=sizes).astype(kind)


def _metadata(
    model: Layer,
    classes: Sequence[str] | None,
    before: Scaling | None,
    after: Scaling | None,
    more: Mapping[str, Any] | None,
) -> dict[str, str]:
    """The metadata: strings as they are, anything else as JSON."""
    if isinstance(classes, str):
        raise ArgumentTypeError(f"Expected classes in a list, got the string {classes!r}.")
    given = {
        "xpnet": __version__,
        "model": type(model).__name__,
        "classes": classes,
        "input_scaling": before,
        "output_scaling": after,
    }
    try:
        given |= more or {}
        return {_name(key): _as_text(x) for key, x in given.items() if x is not None}
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"Expected metadata that map strings to what JSON has, got {more!r}: {error}."
        ) from error


def _name(key: Any) -> str:
    """A key of the metadata."""
    if not isinstance(key, str):
        raise ArgumentTypeError(f"the key {key!r} is no string")
    return key


def _as_text(x: Any) -> str:
    """A string as it is; anything else as JSON, with arrays as lists."""
    if isinstance(x, str):
        return x
    return json.dumps(x, ensure_ascii=False, default=_listed)


def _listed(x: Any) -> Any:
    """An array as lists of numbers."""
    array = np.asarray(x)
    if array.dtype == object:
        raise ArgumentTypeError(f"{x!r} is of {type(x).__name__}")
    return array.tolist()
