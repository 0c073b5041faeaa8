"""Numbers of Python that are computed in a graph: an optimizer's coefficients, from the count of its steps."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from xpnet.errors import CompileError
from xpnet.saving.onnx._graph import Graph

__all__ = ["Symbol"]


class Symbol:
    """A number that a graph computes, in float64 or int64, as Python does.

    Parameters
    ----------
    graph : Graph
    name : str
        Its name in the graph.
    dtype : numpy.dtype
        float64; int64 for a count; bool for a comparison, which is 0 or 1 where it is computed with.
    """

    def __init__(self, graph: Graph, name: str, dtype: Any = np.float64) -> None:
        self.graph = graph
        self.name = name
        self.dtype = np.dtype(dtype)

    def in_float(self) -> str:
        """Its name in the graph as a float64 number."""
        if self.dtype == np.float64:
            return self.name
        from onnx import TensorProto

        return self.graph.node("Cast", [self.name], to=TensorProto.DOUBLE)

    def _read(self, *_: Any) -> Any:
        raise CompileError(
            "expected an optimizer that adds, multiplies and raises to powers, got one that reads its "
            "numbers, and so selects what a step computes: a graph computes the same in each step. "
            "Write the choice as a factor of 0 or 1, such as (t > 1)."
        )

    __bool__ = __float__ = __int__ = __index__ = _read
    __eq__ = __ne__ = _read  # Python itself asks for these, as in `x in numbers`
    __hash__ = object.__hash__

    def __neg__(self) -> "Symbol":
        return Symbol(self.graph, self.graph.node("Neg", [self.name]), self.dtype)

    def __abs__(self) -> "Symbol":
        return Symbol(self.graph, self.graph.node("Abs", [self.name]), self.dtype)


def _named(graph: Graph, x: Any, is_whole: bool) -> str:
    """A number by its name in the graph."""
    if isinstance(x, Symbol):
        if is_whole:
            return x.name
        return x.in_float()
    if is_whole:
        return graph.constant(x, np.int64)
    return graph.constant(x, np.float64)


def _is_whole(x: Any) -> bool:
    return isinstance(x, int) or (isinstance(x, Symbol) and x.dtype == np.int64)


def _method(onnx_operator: str, keeps_whole: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """x op y and y op x."""

    def compute(x: Any, y: Any) -> Any:
        if not isinstance(y, (int, float, Symbol)) or not isinstance(x, (int, float, Symbol)):
            return NotImplemented
        own = [z for z in (x, y) if isinstance(z, Symbol)]
        graph = own[0].graph
        is_whole = keeps_whole and _is_whole(x) and _is_whole(y)
        names = [_named(graph, z, is_whole) for z in (x, y)]
        name = graph.node(onnx_operator, names)
        if is_whole:
            return Symbol(graph, name, np.int64)
        return Symbol(graph, name)

    return compute, lambda x, y: compute(y, x)


def _comparison(onnx_operator: str) -> Callable[..., Any]:
    """x < y, or another comparison, of which Python reflects the other forms."""

    def compare(x: Symbol, y: Any) -> Any:
        if not isinstance(y, (int, float, Symbol)):
            return NotImplemented
        names = [_named(x.graph, z, is_whole=False) for z in (x, y)]
        return Symbol(x.graph, x.graph.node(onnx_operator, names), np.bool_)

    return compare


for _operation, _operator in (
    (operator.lt, "Less"),
    (operator.le, "LessOrEqual"),
    (operator.gt, "Greater"),
    (operator.ge, "GreaterOrEqual"),
):
    setattr(Symbol, f"__{_operation.__name__}__", _comparison(_operator))

for _operation, _operator, _keeps in (
    (operator.add, "Add", True),
    (operator.sub, "Sub", True),
    (operator.mul, "Mul", True),
    (operator.truediv, "Div", False),
    (operator.pow, "Pow", False),
):
    _stem = _operation.__name__
    _forward, _reflected = _method(_operator, _keeps)
    setattr(Symbol, f"__{_stem}__", _forward)
    setattr(Symbol, f"__r{_stem}__", _reflected)
