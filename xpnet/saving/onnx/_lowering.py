"""Lowering: the state of a record that is written into a graph, and what the functions of operations use.

A function that lowers an operation has the signature of that operation in the standard, after two
arguments more: the `Lowering`, and the `Edge` that is to be computed. It returns the names of its results.
An array among its arguments is an `Edge`; a number is Python's, or a `Size` or `Ratio` of the batch.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnet._typing import DType
from xpnet.backend import to_numpy
from xpnet.compiler.call import recorded_call
from xpnet.compiler.passes.dead import without_dead_operations
from xpnet.compiler.passes.numpy_names import FORMS, NAMES, PREFIXES
from xpnet.compiler.record import Operation, Program, Value, leaves, replaced
from xpnet.errors import CompileError
from xpnet.saving.onnx._graph import Graph
from xpnet.saving.onnx._sizes import Batch, Dimension, Ratio, Size, at

__all__ = ["Edge", "Lowering", "Lowers", "Operand", "Shape", "host_dtype", "length", "names_of"]

Shape = tuple[Dimension, ...]

FEW = 64  # a constant array with more numbers, all of them equal, is written as one number


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """An array in the graph.

    Attributes
    ----------
    name : str
        "" for one that is still to be computed.
    shape : tuple of int or Size
    dtype : numpy.dtype or None
        None: a number in float64 that takes the dtype of what it is combined with, as Python's do.
    """

    name: str
    shape: Shape
    dtype: Any


Lowers = Callable[..., Any]
"""A function that lowers an operation: it returns the name of the result, or a list of names."""

Operand = Edge | Size | Ratio | complex
"""What an operation computes with: an array, or a number."""


def names_of(table: dict[str, Lowers]) -> Callable[..., Callable[[Lowers], Lowers]]:
    """A decorator that enters a function into a table, by the names of the operations that it lowers."""

    def named(*names: str) -> Callable[[Lowers], Lowers]:
        """The decorator for a function that lowers the operations of these names."""

        def add(function: Lowers) -> Lowers:
            table.update(dict.fromkeys(names, function))
            return function

        return add

    return named


class Lowering:
    """The state of a program that is written into a graph: which value has which name.

    Parameters
    ----------
    graph : Graph
    values : mapping of Value to str
        The names of the inputs.
    batch : Batch
        What of the shapes depends on the batch.
    table : mapping of str to function
        What lowers an operation, by its name.
    parent : Lowering, optional
        The one that this is a part of: nodes that it has added are not repeated.

    Attributes
    ----------
    added : dict
        The results of the nodes so far, by what they compute.
    """

    def __init__(
        self,
        graph: Graph,
        values: Mapping[Value, str],
        batch: Batch,
        table: Mapping[str, Lowers],
        parent: "Lowering | None" = None,
    ) -> None:
        self.graph = graph
        self.table = table
        self.batch = batch
        self._names = dict(values)
        self._arrays: dict[Value, Any] = {}  # of what is the same in all calls
        self.added: dict[Any, list[str]] = {}
        self._batch_size = ""
        if parent is not None:
            self.added = parent.added
            self._batch_size = parent.batch_size()

    # --- the program ----------------------------------------------------------------------------

    def run(self, program: Program, other: Program | None) -> None:
        """Add the nodes of a program: see `lower`."""
        self._add_inputs(program, other)
        self.batch.require_same_length(program, other or program)
        needed = {id(x) for x in without_dead_operations(program).operations}
        others = (other or program).operations
        for first, second in zip(program.operations, others, strict=True):
            if id(first) in needed:
                self._add(first, *self.batch.arguments(first, second))

    def _add_inputs(self, program: Program, other: Program | None) -> None:
        second = other or program
        for kind in ("arguments", "states", "hosts"):
            for x, y in zip(getattr(program, kind), getattr(second, kind), strict=True):
                self.batch.add(x, y)
        if self._batch_size or other is None:
            return
        for x in program.arguments:
            for axis, n in enumerate(self.batch.shapes[x]):
                if n == Size(1) and x in self._names:
                    given = self.node("Shape", self._names[x], start=axis, end=axis + 1)
                    self._batch_size = given
                    return
        raise CompileError(
            "Expected an argument whose first axis is the batch, at two batch sizes: got none that the "
            "graph has as an input. Pass one, or export with a fixed batch: dynamic_batch=False."
        )

    def _add(self, x: Operation, args: Any, options: dict[str, Any]) -> None:
        """Add the nodes of one operation."""
        if self._is_constant(args, options):
            self._compute(x, args, options)
            return
        name = self._standard_name(x)
        function = self.table.get(name)
        if function is None:
            raise _unknown(x)
        target: Any = [Edge("", self.batch.shapes[v], host_dtype(v.dtype)) for v in x.outputs]
        if isinstance(x.result, Value):
            (target,) = target
        try:
            found = function(
                self, target, *replaced(args, self._edge), **replaced(options, self._edge)
            )
        except CompileError as error:
            raise CompileError(f"{x.where}: {x.name}: {error}") from None
        except TypeError as error:
            raise CompileError(
                f"{x.where}: {x.name} is called in a way that has no ONNX operator: {error}. {_ADVICE}"
            ) from error
        if isinstance(found, str):
            found = [found]
        found += [""] * (len(x.outputs) - len(found))  # what no node of the graph reads
        self._names.update(zip(x.outputs, found, strict=True))

    def _standard_name(self, x: Operation) -> str:
        """The standard's name of an operation: "sum" for NumPy's `np.sum(x)` and `x.sum()`."""
        prefix, _, name = x.name.partition(".")
        if x.name not in self.table and prefix in PREFIXES and name in FORMS and FORMS[name](x):
            return NAMES.get(name, name)
        return x.name

    def _is_constant(self, args: Any, options: Any) -> bool:
        """Whether the arguments are the same in all calls."""
        for x in leaves((args, options)):
            if isinstance(x, (Size, Ratio)):
                return False
            if isinstance(x, Value) and x.source != "constant" and x not in self._arrays:
                return False
        return True

    def _compute(self, x: Operation, args: Any, options: Any) -> None:
        """Compute an operation now."""
        found = x.function(*replaced(args, self._array), **replaced(options, self._array))
        arrays = [y for y in leaves(found) if hasattr(y, "dtype")]
        self._arrays.update(zip(x.outputs, arrays, strict=True))

    def _array(self, x: Any) -> Any:
        if not isinstance(x, Value):
            return x
        return self._arrays.get(x, x.array)

    def _edge(self, x: Any) -> Any:
        """The Edge of a Value; anything else as it is."""
        if not isinstance(x, Value):
            return x
        return Edge(self[x], self.batch.shapes[x], host_dtype(x.dtype))

    def __getitem__(self, x: Value) -> str:
        """The name of a value in the graph."""
        if x not in self._names:
            if x.source != "constant" and x not in self._arrays:
                raise CompileError(
                    f"Expected a name for the input {x.name or x}: add it to `values`."
                )
            self.batch.shapes.setdefault(x, tuple(x.shape))
            self._names[x] = self._written(to_numpy(self._array(x)))
        return self._names[x]

    def _written(self, array: Any) -> str:
        """A constant array; one number where all are equal."""
        array = np.asarray(array)
        if array.size <= FEW or not np.array_equal(
            array, np.broadcast_to(array.flat[0], array.shape)
        ):
            return self.constant(array)
        return self.expanded(self.constant(array.flat[0]), (), array.shape)

    def shape(self, x: Value, batch: str = "batch") -> tuple[int | str, ...]:
        """The shape of a value, for `Graph.output`: a name for a length that depends on the batch."""
        self[x]
        found: list[int | str] = []
        for n in self.batch.shapes[x]:
            if isinstance(n, Size):
                found.append(str(n).replace("batch", batch))
            else:
                found.append(n)
        return tuple(found)

    # --- what the functions of operations use ---------------------------------------------------------

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output; the same one is added once."""
        return self.nodes(operator, 1, *inputs, **attributes)[0]

    def nodes(self, operator: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """A node with several outputs."""
        key = operator, outputs, inputs, repr(sorted(attributes.items()))
        if key not in self.added:
            self.added[key] = self.graph.nodes(operator, list(inputs), outputs, **attributes)
        return self.added[key]

    def constant(self, x: Any, dtype: Any = None) -> str:
        """A number or an array."""
        return self.graph.constant(x, dtype)

    def integers(self, *xs: int) -> str:
        """A list of integers, which is how ONNX is given axes."""
        return self.constant(np.asarray(xs, dtype=np.int64))

    def cast(self, x: Operand, dtype: DType) -> str:
        """An Edge or a number in a dtype."""
        if isinstance(x, Edge):
            return self.converted(x.name, x.dtype, dtype)
        if isinstance(x, Ratio):
            above = self.node(
                "Mul", self.constant(x.factor, np.float64), self.cast(x.above, np.float64)
            )
            found = self.node("Div", above, self.cast(x.below, np.float64))
            return self.converted(found, np.float64, dtype)
        if isinstance(x, Size):
            return self.converted(self.scalar(x), np.int64, dtype)
        return self.constant(x, dtype)

    def converted(self, name: str, own: DType | None, dtype: DType) -> str:
        """A value of the dtype `own` in another one; `own` is None for a number of the host."""
        from onnx import helper

        if own is not None and np.dtype(own) == np.dtype(dtype):
            return name
        if own is None and np.dtype(dtype) == np.float64:
            return name
        return self.node("Cast", name, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def batch_size(self) -> str:
        """The batch size, of shape (1,)."""
        return self._batch_size

    def lengths(self, dims: Sequence[Dimension]) -> str:
        """Integers of shape (len(dims),), some of which may depend on the batch."""
        if all(isinstance(n, int) for n in dims):
            return self.integers(*dims)  # type: ignore[arg-type]
        return self.joined([self._length(n) for n in dims], 0)

    def joined(self, names: Sequence[str], axis: int) -> str:
        """Arrays joined along an axis."""
        if len(names) == 1:
            return names[0]
        return self.node("Concat", *names, axis=axis)

    def _length(self, n: Dimension) -> str:
        if isinstance(n, int):
            return self.integers(n)
        found = self.batch_size()
        if n.times != 1:
            found = self.node("Mul", found, self.integers(n.times))
        if n.plus:
            found = self.node("Add", found, self.integers(n.plus))
        return found

    def scalar(self, n: Dimension) -> str:
        """An integer of shape ()."""
        if isinstance(n, int):
            return self.constant(n, np.int64)
        return self.node("Squeeze", self._length(n), self.integers(0))

    def reshaped(self, name: str, shape: Shape) -> str:
        """An array in another shape: one length that depends on the batch is inferred by ONNX."""
        if 0 in shape:  # else it would mean to keep a length
            return self.node("Reshape", name, self.lengths(shape), allowzero=1)
        variable = [i for i, n in enumerate(shape) if isinstance(n, Size)]
        if len(variable) == 1:
            (i,) = variable
            shape = (*shape[:i], -1, *shape[i + 1 :])
        return self.node("Reshape", name, self.lengths(shape))

    def expanded(self, name: str, shape: Shape, target: Shape) -> str:
        """An array of `shape`, broadcast to `target`."""
        if shape == target:
            return name
        own = (1,) * (len(target) - len(shape)) + shape
        kept = [1 if n == m else m for n, m in zip(own, target, strict=True)]
        return self.node("Expand", name, self.lengths(kept))

    def reduced(self, operator: str, name: str, axes: Sequence[int] | None, keepdims: bool) -> str:
        """A reduction over axes; None stands for all."""
        if axes is not None and not axes:
            return name
        if axes is None:
            return self.node(operator, name, keepdims=int(keepdims))
        return self.node(operator, name, self.integers(*axes), keepdims=int(keepdims))

    def inlined(self, function: Callable[..., Any], *args: Any) -> str:
        """What a function of arrays returns: it is recorded, and the record becomes nodes.

        For operations of xpnet that ONNX has no operator for: their portable implementation.
        """
        edges = [x for x in args if isinstance(x, Edge)]
        batch = Batch(self.batch.first, self.batch.second)
        first = self._recorded(function, args, batch.first)
        second = None
        if batch.is_variable:
            second = self._recorded(function, args, batch.second)
        names = {value: x.name for value, x in zip(first.arguments, edges, strict=True)}
        part = Lowering(self.graph, names, batch, self.table, parent=self)
        part.run(first, second)
        return part[first.outputs[0]]

    def _recorded(self, function: Callable[..., Any], args: Sequence[Any], batch: int) -> Program:
        """A record of the function at a batch size, of arrays of zeros for the edges among `args`."""
        edges = [x for x in args if isinstance(x, Edge)]
        arrays = [np.zeros([at(n, batch) for n in x.shape], x.dtype) for x in edges]

        def call(*given: Any) -> Any:
            of_edge = dict(zip(map(id, edges), given, strict=True))
            return function(*(of_edge.get(id(x), x) for x in args))

        with np.errstate(all="ignore"):
            recording = recorded_call(call, arrays)
        if recording.recorder.failures:
            raise CompileError(str(recording.recorder.failures[0]))
        return recording.program


def host_dtype(dtype: DType) -> Any:
    """NumPy's dtype of the name of a library's dtype; None for None."""
    if dtype is None:
        return None
    try:
        return np.dtype(str(dtype).removeprefix("torch."))
    except TypeError:
        raise CompileError(
            f"Expected a dtype that ONNX and NumPy have, got {dtype}: create the model with dtype='float32'."
        ) from None


def length(shape: Sequence[Dimension]) -> Dimension:
    """The number of elements of a shape, of which one length may depend on the batch."""
    fixed = math.prod(n for n in shape if isinstance(n, int))
    variable = [n for n in shape if isinstance(n, Size)]
    if not variable or fixed == 0:
        return fixed
    if len(variable) > 1:
        raise CompileError("Expected one axis whose length depends on the batch, got several.")
    return Size(variable[0].times * fixed, variable[0].plus * fixed)


_ADVICE = (
    "Write it with other functions of the standard, or leave it out of what is exported; "
    "xpnet.saving.onnx._operations lists what is covered."
)


def _unknown(x: Operation) -> CompileError:
    advice = _ADVICE
    if x.name.startswith(("torch.", "ufunc.")) or "cupy" in str(type(x.function)):
        advice = "Use the functions of xpnet or of the standard for it, or move the model to NumPy first."
    return CompileError(
        f"{x.where}: expected operations that ONNX has an operator for, got {x.name!r}. {advice}"
    )
