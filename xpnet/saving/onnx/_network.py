"""A network as a list of operations, in which a layer that ONNX has an operator for is one operation."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from xpnet import random
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Parameter, data_of
from xpnet.backend import to_numpy, using
from xpnet.compiler.call import exclusive
from xpnet.compiler.failures import where
from xpnet.compiler.passes.dead import without_dead_operations
from xpnet.compiler.record import Operation, Program, Value, leaves, replaced
from xpnet.compiler.recorded_array import RecordedArray
from xpnet.compiler.recording import Recorder
from xpnet.errors import CompileError
from xpnet.layers import Buffer, Layer
from xpnet.layers._context import evaluating, hooked, unhooked
from xpnet.layers._stand_ins import StandIns, original
from xpnet.saving.onnx._activations import ActivationRecorder

__all__ = ["LAYER", "LayerCall", "names_in", "record"]

LAYER = "layer"
"""The name of an operation that is a layer; its `function` is the `LayerCall`."""

Holders = dict[str, Parameter | Buffer]


@dataclass
class LayerCall:
    """One call of a layer.

    Attributes
    ----------
    layer : Layer
    path : str
        Its name in the model: "layers.0".
    inputs : tuple
        The arguments of `forward`: Values for arrays.
    wanted : list of bool
        For each of its results, whether something reads it.
    """

    layer: Layer
    path: str
    inputs: tuple[Any, ...]
    wanted: list[bool] = field(default_factory=list)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LayerCall) and self.layer is other.layer

    __hash__ = object.__hash__


class Example(NamedTuple):
    """Inputs to record a model with.

    Attributes
    ----------
    arrays : list of numpy.ndarray
    names : list of str
    """

    arrays: list[np.ndarray[Any, Any]]
    names: list[str]


def record(
    model: Layer, example: Example, dtype: Any, takes: Callable[[LayerCall, Any], bool]
) -> tuple[Program, list[str]]:
    """Run a model in evaluation, once, and list what it computes.

    It is computed with NumPy, whatever library has the model's arrays, and the model stays as it is.

    Parameters
    ----------
    model : Layer
    example : Example
    dtype : numpy.dtype
        Of parameters and buffers of floating-point numbers.
    takes : function
        takes(call, options): whether ONNX has an operator, or several, for this call of a layer.

    Returns
    -------
    program : Program
        Its states are the parameters and buffers, by their names in the model.
    names : list of str
        Names for its outputs: see `names_in`.

    Raises
    ------
    CompileError
        The model computes something that depends on the values of its input in Python.
    """
    holders: Holders = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with exclusive(), using("numpy"), np.errstate(all="ignore"):
        recorder = ActivationRecorder()
        states, pairs = _stand_ins(recorder, holders, dtype)
        pairs += [(g, deepcopy(g)) for _, g in model.named_generators()]
        arguments = [
            Value(x.shape, x.dtype, "argument", i, name=name)
            for i, (name, x) in enumerate(zip(example.names, example.arrays, strict=True))
        ]
        inputs = [recorder.wrap(x, v) for x, v in zip(example.arrays, arguments, strict=True)]
        hook = _OneOperation(model, recorder, dtype, takes)
        with _untouched(model, pairs), hooked(hook), recorder:
            result = model(*inputs)
    outputs = [_output(model, recorder, x) for x in leaves(result)]
    _require_recorded(model, recorder)
    program = Program(arguments, states, recorder.hosts, recorder.operations, outputs, {})
    program = without_dead_operations(program)
    _note_wanted(program)
    return program, names_in(result)


def names_in(result: Any, name: str = "output") -> list[str]:
    """Names for the arrays in a result: "output", or "output_0" and so on; of a dict, its keys."""
    parts: list[tuple[str, Any]] = []
    if isinstance(result, dict):
        prefix = f"{name}_"
        if name == "output":
            prefix = ""
        parts = [(f"{prefix}{key}", x) for key, x in result.items()]
    elif isinstance(result, (tuple, list)):
        parts = [(f"{name}_{i}", x) for i, x in enumerate(result)]
        if len(parts) == 1:
            parts = [(name, result[0])]
    else:
        return [name]
    return [found for part, x in parts for found in names_in(x, part)]


def _note_wanted(program: Program) -> None:
    """Note of each layer which of its results are read."""
    read = set(program.outputs)
    for operation in program.operations:
        read.update(operation.inputs())
    for operation in program.operations:
        if operation.name == LAYER:
            operation.args[0].wanted = [x in read for x in operation.outputs]


def _stand_ins(
    recorder: Recorder, holders: Holders, dtype: Any
) -> tuple[list[Value], list[tuple[Any, Any]]]:
    """For each parameter and buffer its Value, and what takes its place: a recorded NumPy array."""
    states: list[Value] = []
    pairs: list[tuple[Any, Any]] = []
    for name, holder in holders.items():
        array = in_dtype(holder.data, dtype)
        value = Value(array.shape, array.dtype, "state", len(states), array=array, name=name)
        made = _copied(holder, array)
        made.data = recorder.wrap(array, value)
        states.append(value)
        pairs.append((holder, made))
    return states, pairs


def _copied(holder: Parameter | Buffer, array: Array) -> Any:
    """A Parameter or a Buffer, as the holder is, of another array."""
    if isinstance(holder, Parameter):
        return Parameter(array)
    return Buffer(array)


def in_dtype(x: Array, dtype: Any) -> np.ndarray[Any, Any]:
    """A NumPy array of `dtype` if x has floating-point numbers, else of its own dtype."""
    if str(x.dtype).endswith("bfloat16"):  # which NumPy has not
        xp = array_namespace(x)
        x = xp.astype(x, xp.float32)
    array = np.asarray(to_numpy(x))
    if array.dtype.kind in "biu":
        return array
    return array.astype(dtype)


@contextmanager
def _untouched(model: Layer, pairs: list[tuple[Any, Any]]) -> Iterator[None]:
    """A block in evaluation, without a tape, in which calls leave the model as it was."""
    copies = StandIns(model, pairs, copy_back=False)
    with unhooked(), evaluating(), random.aside(), hooked(copies):
        yield


class _OneOperation:
    """A hook: each call of a layer that has an operator becomes one operation."""

    def __init__(
        self,
        model: Layer,
        recorder: Recorder,
        dtype: Any,
        takes: Callable[[LayerCall, Any], bool],
    ) -> None:
        self.recorder = recorder
        self.dtype = dtype
        self.takes = takes
        self.paths = {id(layer): path for path, layer in model.named_layers()}
        self.is_inside = False

    def __call__(self, call: Any, layer: Layer, *xs: Any, **options: Any) -> Any:
        own = original(layer)
        arrays = [data_of(x) for x in xs]
        inputs = tuple(self.recorder._value_of(x) for x in arrays)  # noqa: SLF001 - of the compiler
        made = LayerCall(own, self.paths.get(id(own), ""), inputs)
        if self.is_inside or not self.takes(made, options):
            return call(layer, *xs, **options)
        operations = len(self.recorder.operations)
        failures = len(self.recorder.failures)
        self.is_inside = True
        try:
            y = call(layer, *xs, **options)
        finally:
            self.is_inside = False
        outputs: list[Any] = [getattr(data_of(x), "value", None) for x in leaves(y)]
        if not all(map(_is_computed, outputs)) or not set(outputs).isdisjoint(inputs):
            return y  # it depends on no input, or is one
        del self.recorder.operations[operations:]
        del self.recorder.failures[failures:]
        for x, value in zip(arrays, inputs, strict=True):
            if isinstance(x, RecordedArray):
                x.value = value  # a check of its numbers has made another one of it
        self._add(made, outputs)
        return y

    def _add(self, call: LayerCall, outputs: list[Value]) -> None:
        result: Any = outputs
        if len(outputs) == 1:
            (result,) = outputs
        args = (call, *call.inputs)
        function = partial(_computed, self.dtype)
        done = Operation(LAYER, function, args, {}, outputs, result, where())
        for i, value in enumerate(outputs):
            value.index = i
            value.operation = done
        self.recorder.operations.append(done)


def _is_computed(value: Any) -> bool:
    """Whether something is a Value that an operation has computed."""
    return isinstance(value, Value) and value.source == "operation"


def _computed(dtype: Any, call: LayerCall, *inputs: Any) -> Any:
    """The results of a layer for inputs that are the same in all calls, computed with NumPy."""
    holders: list[Any] = list(call.layer.parameters())
    holders += [holder for _, holder in call.layer.named_buffers()]
    pairs = [(holder, _copied(holder, in_dtype(holder.data, dtype))) for holder in holders]
    with using("numpy"), _untouched(call.layer, pairs):
        found = call.layer(*inputs)
    return replaced(found, data_of)


def _output(model: Layer, recorder: Recorder, x: Any) -> Value:
    """The Value of something that the model returns."""
    array = data_of(x)
    if not isinstance(array, RecordedArray | np.ndarray):
        raise CompileError(
            f"{model!r}: expected a model that returns arrays, or tuples or dicts of them, in order to "
            f"export it; it returned {x!r}."
        )
    value: Value = recorder._value_of(array)  # noqa: SLF001 - of the compiler
    return value


def _require_recorded(model: Layer, recorder: Recorder) -> None:
    """Raise CompileError if the model does something that a graph cannot."""
    if recorder.failures:
        failure = recorder.failures[0]
        what = failure.what.removeprefix("the step ")
        place = failure.where or repr(model)
        raise CompileError(
            f"{place}: expected a model that is a graph of operations, in order to export it, but it "
            f"{what}. {failure.advice}"
        )
    if recorder.hosts:
        raise CompileError(
            f"{model!r}: expected a model that is a graph of operations, in order to export it, but it "
            "draws a random number, or computes one in Python, at each call."
        )
