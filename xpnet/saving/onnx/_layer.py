"""A layer that becomes nodes: what the functions that write layers use, and the tables that they are in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from xpnet import layers
from xpnet.compiler.record import Value
from xpnet.saving.onnx._graph import Graph
from xpnet.saving.onnx._lowering import Edge, Lowering
from xpnet.saving.onnx._network import LayerCall, in_dtype
from xpnet.saving.onnx._sizes import Size

__all__ = [
    "Entry",
    "Names",
    "Table",
    "Weights",
    "Writer",
    "Writes",
    "entry_of",
    "operators_of",
    "plainly",
]

Names = str | list[str]
Writes = Callable[..., Names]


@dataclass(eq=False)
class Weights:
    """The parameters and buffers of a model as initializers of a graph, each written once.

    Attributes
    ----------
    graph : Graph
    names : mapping of int to str
        The names of parameters and buffers in the model, by their ids.
    dtype : numpy.dtype
    """

    graph: Graph
    names: Mapping[int, str]
    dtype: Any
    _written: dict[Any, str] = field(default_factory=dict)

    def __call__(
        self, *holders: Any, form: str = "", change: Callable[..., Any] | None = None
    ) -> str:
        """The name of a parameter or buffer in the graph.

        Parameters
        ----------
        *holders : Parameter or Buffer
            Several become one array, by `change`, which has the name of the first one.
        form : str
            What distinguishes this `change` from others of the same arrays.
        change : function, optional
            change(*arrays) returns the array to write; by default it is the only one.
        """
        key = (form, *map(id, holders))
        if key not in self._written:
            arrays = [in_dtype(holder.data, self.dtype) for holder in holders]
            array = arrays[0]
            if change is not None:
                array = change(*arrays)
            name = self.names.get(id(holders[0]), "weight")
            self._written[key] = self.graph.parameter(name, array)
        return self._written[key]


class Writer(NamedTuple):
    """A layer that is being written: what its function adds nodes with.

    Attributes
    ----------
    layer : xpnet.Layer
    path : str
        Its name in the model.
    to : Lowering
    weights : Weights
    table : mapping
        The functions that write layers.
    wanted : tuple of bool
        For each of its results, whether something reads it.
    """

    layer: Any
    path: str
    to: Lowering
    weights: Weights
    table: "Table"
    wanted: tuple[bool, ...] = (True,)

    def node(self, operator: str, *inputs: str | Edge, **attributes: Any) -> str:
        """A node with one output, whose name begins with the layer's."""
        return self.nodes(operator, 1, *inputs, **attributes)[0]

    def nodes(
        self, operator: str, outputs: int | Sequence[bool], *inputs: str | Edge, **attributes: Any
    ) -> list[str]:
        """A node with several outputs."""
        given = [name_of(x) for x in inputs]
        name = f"{self.path}/{operator}".removeprefix("/")
        return self.to.graph.nodes(operator, given, outputs, name, **attributes)

    def parameters(self, *holders: Any) -> list[str]:
        """The names of the layer's own parameters or buffers, without those that are None."""
        return [self.weights(holder) for holder in holders if holder is not None]

    def parameter_or(self, holder: Any, value: float, size: int | Sequence[int]) -> str:
        """The name of a parameter; of an array of one number if it is None."""
        if holder is not None:
            return self.weights(holder)
        return self.number(np.full(size, value))

    def number(self, x: Any) -> str:
        """A constant of the model's dtype."""
        return self.to.constant(x, self.weights.dtype)

    def reshape(self, x: str | Edge, *shape: int | Size) -> str:
        """x in another shape; ONNX infers the one length that depends on the batch."""
        sizes = [_or_open(n) for n in shape]
        if sizes.count(-1) > 1 or 0 in sizes:
            return self.to.reshaped(name_of(x), shape)
        return self.node("Reshape", x, self.to.integers(*sizes))

    def written(self, name: str, x: str | Edge, shape: tuple[Any, ...]) -> str:
        """The result of a layer within this one, of an x of this shape."""
        path = f"{self.path}.{name}".removeprefix(".")
        inner = self._replace(layer=getattr(self.layer, name), path=path)
        edge = Edge(name_of(x), shape, self.weights.dtype)
        found = self.table[kind_of(self.table, inner.layer)].write(inner, edge)
        return found if isinstance(found, str) else found[0]


def name_of(x: str | Edge) -> str:
    """The name of an array in the graph."""
    return x.name if isinstance(x, Edge) else x


def _or_open(n: int | Size) -> int:
    """A length; -1 for one that depends on the batch."""
    return n if isinstance(n, int) else -1


class Entry(NamedTuple):
    """How a class of layers is written.

    Attributes
    ----------
    write : function
        write(writer, *edges) adds the nodes, and returns the names of the results.
    takes : function
        takes(layer, call, options): whether it can write this call.
    """

    write: Writes
    takes: Callable[[Any, LayerCall, Mapping[str, Any]], bool]


Table = dict[type, Entry]
"""By the class of a layer: how it is written."""


def plainly(layer: Any, call: LayerCall, options: Mapping[str, Any]) -> bool:
    """Whether a layer is called with arrays only."""
    return not options and all(isinstance(x, Value) for x in call.inputs)


def operators_of(table: Table) -> Callable[..., Callable[[Writes], Writes]]:
    """A decorator that enters a function into a table, by the classes of layers that it writes."""

    def writes(*kinds: type, takes: Callable[..., bool] = plainly) -> Callable[[Writes], Writes]:
        """The function below writes layers of these classes, in the calls that `takes` allows."""

        def add(write: Writes) -> Writes:
            table.update(dict.fromkeys(kinds, Entry(write, takes)))
            return write

        return add

    return writes


def kind_of(table: Mapping[type, Any], layer: layers.Layer) -> Any:
    """The class in the table that a layer is of, or inherits all its methods from; or None."""
    for kind in type(layer).__mro__:
        if kind in table:
            return kind
        if _changes(kind):
            return None
    return None


def entry_of(table: Table, layer: layers.Layer) -> Entry | None:
    """How a layer is written; None if it is not in the table."""
    return table.get(kind_of(table, layer))


def _changes(kind: type) -> bool:
    """Whether a class replaces something of its base classes, apart from `__init__` and the like."""
    own = [name for name in vars(kind) if name == "__call__" or not name.startswith("__")]
    return any(hasattr(base, name) for base in kind.__mro__[1:] for name in own)
