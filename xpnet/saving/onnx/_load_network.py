"""What a loaded graph consists of besides xpnet's own layers: single operators, and the graph."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from inspect import signature
from typing import Any, NamedTuple

import numpy as np

from xpnet._printable import counted, printable
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import Parameter, data_of
from xpnet.errors import ArgumentTypeError, ShapeError
from xpnet.layers import Buffer, Layer
from xpnet.saving.onnx._load_operators import (
    DTYPES,
    ML_OPERATORS,
    OPERATORS,
    is_on_host,
    together,
)
from xpnet.saving.onnx._load_windows import WINDOW_OPERATORS, same_pad

__all__ = ["Input", "Network", "Operator", "Step", "function_of", "parameters_of"]

FUNCTIONS = {**OPERATORS, **ML_OPERATORS, **WINDOW_OPERATORS, "SamePad": same_pad}
SHOWN = 4  # numbers of a constant in a repr; of a larger one, its shape


def function_of(kind: str) -> Any:
    """The function of an operator, by ONNX's name of it."""
    return FUNCTIONS[kind]


@cache
def parameters_of(kind: str) -> Mapping[str, Any]:
    """The parameters of an operator's function."""
    return signature(FUNCTIONS[kind], eval_str=True).parameters


class Operator(Layer):
    """One of ONNX's operators that no layer of xpnet is equal to.

    Parameters
    ----------
    kind : str
        ONNX's name for it: "Add".
    arguments : sequence
        The operator's inputs: `...` stands for an input of the layer, a string for one of the
        `operands`, an array of NumPy for a constant, None for an input that is left out.
    attributes : mapping
        The operator's attributes.
    operands : mapping of str to Parameter or Buffer
        The tensors of the file that it computes with, by their names there.

    Examples
    --------
    >>> Operator("Clip", [..., np.float32(0.0), np.float32(6.0)])
    Clip(0.0, 6.0)
    """

    def __init__(
        self,
        kind: str,
        arguments: Sequence[Any] = (...,),
        attributes: Mapping[str, Any] | None = None,
        operands: Mapping[str, Parameter | Buffer] | None = None,
    ) -> None:
        self.kind = kind
        self.arguments = tuple(arguments)
        self.attributes = dict(attributes or {})
        self.operands = dict(operands or {})

    def forward(self, *xs: Array) -> Any:
        for operand in self.operands.values():
            for x in xs:
                self._require_one_library(x, operand.data)
        rest = iter(xs)
        inputs = []
        for argument in self.arguments:
            if argument is ...:
                argument = next(rest)
            elif isinstance(argument, str):
                argument = self.operands[argument]
            if isinstance(argument, Buffer):
                argument = argument.data
            inputs.append(argument)
        while inputs and inputs[-1] is None:
            inputs.pop()
        return function_of(self.kind)(*inputs, **self.attributes)

    def _require_one_library(self, x: Array, operand: Array) -> None:
        """Raise TypeError for numbers of another library; shapes are NumPy's on any library."""
        if not (is_on_host(x) and has_dtype(x, "integral", "bool")):
            array_namespace(x, operand)

    def shown(self, *names: str) -> str:
        """The operator with names for its inputs: "Add(x, y)"."""
        rest = iter(names)
        inputs = []
        for argument in self.arguments:
            if argument is ...:
                argument = next(rest) or None
            inputs.append(_shown(argument))
        while inputs and inputs[-1] == "None":
            inputs.pop()
        known = parameters_of(self.kind)
        options = [
            f"{name}={value!r}"
            for name, value in self.attributes.items()
            if name not in ("opset", "count") and not np.array_equal(value, known[name].default)
        ]
        return f"{self.kind}({', '.join([*inputs, *options])})"

    def __repr__(self) -> str:
        slots = [a for a in self.arguments if a is ...]
        names = ["..."] * len(slots)
        shown = printable(self.shown(*names))
        if len(slots) == 1 and self.arguments[0] is ...:  # as for layers, which do not show x
            return shown.replace("(..., ", "(").replace("(...)", "()")
        return shown


def _shown(argument: Any) -> str:
    """An argument of an operator in its repr."""
    if isinstance(argument, (np.ndarray, np.generic)):
        if argument.size > SHOWN:
            return f"<{argument.dtype} of shape {argument.shape}>"
        return str(argument.tolist())
    return str(argument)


class Input(NamedTuple):
    """An input of a graph: its name, its dtype as in TensorProto, and its shape as far as known."""

    name: str
    kind: int
    shape: tuple[int | str | None, ...] | None

    def require(self, x: Array) -> None:
        """Raise an error unless x has the dtype and, where it is known, the shape of this input."""
        if not hasattr(x, "shape"):
            raise ArgumentTypeError(
                f"expected an array as {self.name}, got a {type(x).__name__}; "
                "xpnet.current().asarray(x) makes one."
            )
        expected = DTYPES[self.kind]
        given = str(x.dtype).rpartition(".")[2]  # "torch.float32"
        is_any_integer = "int" in expected and has_dtype(x, "integral")
        if given != expected and not is_any_integer:
            raise ArgumentTypeError(
                f"expected {self.name} of {expected}, got {x.dtype}; cast it with xp.astype first."
            )
        shape = tuple(x.shape)
        if self.shape is None:
            return
        fits = len(shape) == len(self.shape) and all(
            n == size or not isinstance(size, int)
            for n, size in zip(shape, self.shape, strict=True)
        )
        if not fits:
            raise ShapeError(f"expected {self.name} of shape {self.shown_shape()}, got {shape}.")

    def shown_shape(self) -> str:
        """The shape, with a name or "?" for a length that is free."""
        return f"({', '.join(str(n or '?') for n in self.shape or ())})"

    def __str__(self) -> str:
        if self.shape is None:
            return self.name
        return f"{self.name}: {self.shown_shape()}"


def _require_inputs(inputs: Sequence[Input], xs: Sequence[Array]) -> None:
    """Raise an error unless these arrays are a graph's inputs."""
    if len(xs) != len(inputs):
        raise ArgumentTypeError(
            f"expected {counted(len(inputs), 'input')}, each as an argument, got {len(xs)}."
        )
    for x, expected in zip(xs, inputs, strict=True):
        expected.require(x)


class Step(NamedTuple):
    """The call of one layer: its name, and the names of the values that it reads and makes."""

    layer: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Network(Layer):
    """Layers that are called in turn, each with values that others have made: a loaded ONNX graph.

    Its repr is the graph, a layer a line.

    Parameters
    ----------
    inputs : sequence of Input
    outputs : sequence of str
        The names of the values that a call returns.
    layers : mapping of str to Layer
    steps : sequence of Step
        In the order in which they run.

    Attributes
    ----------
    input_names, output_names : tuple of str
        Of the values that a call takes, each as an argument, and returns: one array, or a tuple.
    layers : dict of str to Layer
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        outputs: Sequence[str],
        layers: Mapping[str, Layer],
        steps: Sequence[Step],
        output_names: Sequence[str] = (),
    ) -> None:
        self.inputs = tuple(inputs)
        self.input_names = tuple(x.name for x in inputs)
        self.output_names = tuple(output_names or outputs)
        self.outputs = tuple(outputs)
        self.layers = dict(layers)
        self.steps = tuple(steps)

    def forward(self, *xs: Array) -> Array | tuple[Array, ...]:
        self._require_inputs(xs)
        values: dict[str, Array | None] = {"": None}  # the name of an argument that is left out
        values.update(zip(self.input_names, xs, strict=True))
        readers = Counter(name for step in self.steps for name in step.inputs)
        readers.update(self.outputs)
        for layer, inputs, outputs in self.steps:
            made = self.layers[layer](*(values[name] for name in inputs))
            if len(outputs) == 1 and not isinstance(made, tuple):
                made = (made,)
            values.update(zip(outputs, made, strict=False))
            for name in inputs:  # what nobody reads any more is let go
                readers[name] -= 1
                if not readers[name]:
                    values.pop(name, None)
        # A shape that is returned moves from the host to the device of the inputs.
        found = together(*(values[name] for name in self.outputs), *xs)[: len(self.outputs)]
        if len(found) == 1:
            return found[0]
        return found

    def _require_inputs(self, xs: tuple[Array, ...]) -> None:
        """Raise an error unless these are the graph's inputs, in the library of its parameters."""
        try:
            _require_inputs(self.inputs, xs)
        except (ArgumentTypeError, ShapeError) as error:
            error.add_note(f"in {self._head()}")  # not the whole graph, as a layer's would be
            raise
        arrays = [data_of(x) for x in xs]
        arrays += [p.data for _, p in zip(range(1), self.parameters(), strict=False)]
        if arrays:
            array_namespace(*arrays)  # raises an error if they are of two libraries

    def __repr__(self) -> str:
        lines = []
        for step in self.steps:
            layer = self.layers[step.layer]
            if isinstance(layer, Operator):
                call = layer.shown(*step.inputs)
            else:
                call = f"{layer!r}({', '.join(name or 'None' for name in step.inputs)})"
            lines.append(f"\n{', '.join(step.outputs)} = {call}".replace("\n", "\n  "))
        return self._head() + printable("".join(lines), keep="\n")

    def _head(self) -> str:
        """The first line of the repr."""
        return printable(
            f"Network({', '.join(map(str, self.inputs))}) -> {', '.join(self.outputs)}"
        )
