"""The source of a program for NumPy: its lines, and what the names in it stand for.

Names of arrays are bound once. What changes from step to step is an argument of the generated function.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from keyword import iskeyword
from typing import Any

import numpy as np

from xpnet._typing import Array, DType
from xpnet.compiler.buffers import Block
from xpnet.compiler.executors._base import another_shape
from xpnet.compiler.executors._numpy_memory import Memory
from xpnet.compiler.passes.rewriting import readers
from xpnet.compiler.record import Operation, Value, leaves

__all__ = ["Bound", "Flat", "Lasting", "Pieces", "Source"]

LITERALS = (
    bool,
    int,
    float,
    type(None),
    str,
)  # NumPy's float64 is a float, but is written otherwise
NO_CODE = ("nan", "inf")  # numbers whose repr is no Python code

Lasting = Value | Block | list[Value]
"""What lies in memory: a value, scratch, or values that lie one behind the other."""


@dataclass(eq=False, slots=True)
class Flat:
    """An array as memory: the numbers in one axis.

    Attributes
    ----------
    of : Value, Block or list of Value
    dtype : dtype
    size : int
        How many numbers.
    """

    of: Lasting
    dtype: DType
    size: int


@dataclass(eq=False, slots=True)
class Pieces:
    """Arrays in pieces of equal length, as a list of tuples; of scratch, each piece is the same memory."""

    arrays: list[Flat]
    size: int
    step: int


@dataclass(eq=False, slots=True)
class Bound:
    """What a name of the source stands for: an array that is found when the state is bound.

    Attributes
    ----------
    what : Value, Flat, Pieces, or any constant
    is_constant : bool
    change : function of an array, optional
        Makes the view that is bound in place of the array.
    """

    what: Any
    is_constant: bool = False
    change: Callable[[Array], Array] | None = None
    like: Value | None = None  # of scratch: its shape, if that is not one axis


class Source:
    """The lines of a program's source, and its names.

    Attributes
    ----------
    lines : list of str
    parameters : list of str
        The names of the arguments, and of the numbers of the host.
    bound : dict from str to Bound
        The names that the source uses, other than those of arguments and of what it computes.
    calls : list of Operation
        Those that only their functions compute.
    names : dict
        The name of each value; with other keys, of what several operations use.
    place : int
        The number of the operation that is being written.
    readers : dict from Value to list of Operation
    needed : set of Value
        What the step returns, and new values of the state.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.program = memory.program
        self.bound: dict[str, Bound] = {"np": Bound(np, is_constant=True)}
        self.lines: list[str] = []
        self.calls: list[Operation] = []
        self.names: dict[Any, str] = {}
        self._taken: set[str] = {"np", "slice"}
        self._counts: dict[str, int] = {}  # how often a name was wished for
        self.place = 0
        self.readers = readers(self.program)
        self.needed = {*self.program.outputs, *self.program.updates.values()}
        self.parameters = [self._input(x) for x in self.program.arguments]
        self.parameters += [self._input(x) for x in self.program.hosts]

    # --- names ------------------------------------------------------------------------------------

    def new_name(self, wish: str) -> str:
        """A name that is not taken yet: the wish, or the wish and a number."""
        wish = re.sub("[^0-9A-Za-z]+", "_", wish).strip("_") or "x"
        if wish[0].isdigit() or iskeyword(wish):
            wish = f"_{wish}"
        name = wish
        while name in self._taken:
            self._counts[wish] = self._counts.get(wish, 1) + 1
            name = f"{wish}_{self._counts[wish]}"
        self._taken.add(name)
        return name

    def _input(self, x: Value) -> str:
        wish = x.name or ("x" if x.source == "argument" else "number")
        self.names[x] = self.new_name(wish)
        return self.names[x]

    def name(self, x: Value) -> str:
        """The name of a value; it is bound if the source does not compute it."""
        if x in self.names:
            return self.names[x]
        if x.source == "state":
            wish = _end_of(x.name) or f"state_{x.index}"
        else:
            wish = x.name or (x.operation.name if x.operation else "constant")
        self.names[x] = self.new_name(wish)
        if not self.at_run_time(x):
            self.bound[self.names[x]] = Bound(x)
        return self.names[x]

    def at_run_time(self, x: Value) -> bool:
        """Whether the array of a value, or the one that it is a view of, is another one at each run."""
        root = self.memory.roots.get(x, x)
        return root.source in ("argument", "host") or root in self.memory.local

    def constant(self, x: Any, wish: str) -> str:
        """A name for an object; what Python reads as it is written needs none."""
        if type(x) in LITERALS and repr(x).strip("-") not in NO_CODE:
            return repr(x)
        return self.bind(Bound(x, is_constant=True), wish)

    def bind(self, bound: Bound, wish: str) -> str:
        name = self.new_name(wish)
        self.bound[name] = bound
        return name

    def scratch(self, dtype: DType, size: int, like: Value | None = None) -> str:
        """A name for memory that this operation needs: of one axis, or of the shape of a value."""
        block = self.memory.scratch(self.place, size * np.dtype(dtype).itemsize)
        return self.bind(Bound(Flat(block, dtype, size), like=like), "scratch")

    def view_of(self, name: str, change: Callable[[Array], Array]) -> str:
        """A name for a view of the array of another bound name."""
        return self.bind(replace(self.bound[name], change=change), name)

    def operand(self, x: Any) -> str:
        """The name of a value, or a number as it is."""
        if isinstance(x, Value):
            return self.name(x)
        return self.constant(x, "number")

    def are_below(self, x: Value, bound: int) -> str:
        """The expression that whole numbers, one or more, are all from 0 to bound - 1."""
        name = self.name(x)
        if np.dtype(x.dtype) != np.intp:
            return f"np.minimum.reduce({name}) >= 0 and np.maximum.reduce({name}) < {bound}"
        # in which negative numbers are large
        if name in self.bound:
            unsigned = self.view_of(name, lambda array: array.view(np.uintp))
        else:
            unsigned = self.new_name("unsigned")
            self.lines.append(f"{unsigned} = {name}.view(np.uintp)")
        return f"{unsigned}[{unsigned}.argmax()] < {bound}"  # argmax takes a quarter of max's time

    # --- calls of recorded functions ---------------------------------------------------------------

    def call(self, operation: Operation) -> str:
        """The call of the recorded function."""

        def expression(x: Any) -> str:
            if isinstance(x, Value):
                return self.name(x)
            if type(x) is tuple:
                return f"({''.join(expression(y) + ', ' for y in x)})"
            is_tree = isinstance(x, (tuple, list, dict, slice))
            if is_tree and any(isinstance(y, Value) for y in leaves(x)):
                if isinstance(x, tuple):
                    made = self.constant(_maker(type(x)), type(x).__name__)
                    return f"{made}({', '.join(expression(y) for y in x)})"
                return _container(x, expression)
            return self.constant(x, "option")

        function = self.constant(operation.function, f"{operation.name}_function")
        parts = [expression(x) for x in operation.args]
        parts += [f"{key}={expression(x)}" for key, x in operation.options.items()]
        return f"{function}({', '.join(parts)})"

    def write_call(self, operation: Operation) -> None:
        """An operation that only its function computes."""
        if operation.outputs:
            self.calls.append(operation)
        result = self.new_name("result")
        self.lines.append(f"{result} = {self.call(operation)}")
        for x, path in _paths(operation.result, result):
            self._store(operation, x, path)
        self.lines.append(f"del {result}")  # its memory is free for the next call

    def _store(self, operation: Operation, x: Value, path: str) -> None:
        """Store a result of a function: in memory of the recorded shape, to which another would be broadcast."""
        if x in self.memory.local:
            self.lines.append(f"{self.name(x)} = {path}")
            return
        error = self.bind(Bound(partial(another_shape, operation), is_constant=True), "error")
        self.lines += [
            f"if {path}.shape != {x.shape}: raise {error}({path}.shape, {x.shape})",
            f"np.copyto({self.name(x)}, {path})",
        ]


def _end_of(name: str) -> str:
    """The end of a state's name that is a name: "layers.0.weight" of "model.layers.0.weight.data"."""
    parts = name.removesuffix(".data").split(".")
    first = max(len(parts) - 2, 0)
    while first > 0 and parts[first].isdigit():
        first -= 1
    return "_".join(parts[first:])


def _maker(kind: type) -> Callable[..., Any]:
    """What makes a tuple of a class from its items, each an argument of its own: as `replaced` does."""
    if hasattr(kind, "_fields"):
        return kind
    return lambda *items: kind(items)


def _container(x: Any, expression: Callable[[Any], str]) -> str:
    """A list, dict or slice with values in it, as an expression."""
    if isinstance(x, slice):
        return f"slice({expression(x.start)}, {expression(x.stop)}, {expression(x.step)})"
    if isinstance(x, dict):
        return "{" + ", ".join(f"{key!r}: {expression(y)}" for key, y in x.items()) + "}"
    return "[" + ", ".join(expression(y) for y in x) + "]"


def _paths(tree: Any, path: str) -> list[tuple[Value, str]]:
    """Each Value of a result, and the expression for it."""
    if isinstance(tree, Value):
        return [(tree, path)]
    if isinstance(tree, dict):
        return [pair for key, x in tree.items() for pair in _paths(x, f"{path}[{key!r}]")]
    if isinstance(tree, (tuple, list)):
        return [pair for n, x in enumerate(tree) for pair in _paths(x, f"{path}[{n}]")]
    return []
