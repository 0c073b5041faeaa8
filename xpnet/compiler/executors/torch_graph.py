"""A step of PyTorch on a GPU as one CUDA graph: one launch for all of its kernels.

A graph reads and writes the same memory in each run. So arguments are copied to arrays that the graph
reads, the new state is written over the old one, and results are copied from what the graph writes.
The copies, the graph, and what is done before and after it are ordered by the current stream.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Protocol

from xpnet._typing import Array
from xpnet.compiler.executors.straight_line import Step

__all__ = ["CUDAGraph", "Captured", "Graph"]


class Graph(Protocol):
    """Work on a GPU that is captured once, and launched any number of times."""

    def capture(self, work: Callable[[], list[Array]]) -> list[Array]:
        """Capture what `work` launches, without running it; returns the arrays that it will write."""

    def replay(self) -> None:
        """Launch what was captured."""


class CUDAGraph:
    """PyTorch's CUDA graph."""

    def __init__(self) -> None:
        self._cuda = import_module("torch").cuda
        self._graph = self._cuda.CUDAGraph()

    def capture(self, work: Callable[[], list[Array]]) -> list[Array]:
        """Capture what `work` launches, without running it; returns the arrays that it will write."""
        with self._cuda.graph(self._graph):
            return work()

    def replay(self) -> None:
        """Launch what was captured."""
        self._graph.replay()


class Captured:
    """A step that is captured in a graph when it is first called, and launched in each call.

    Parameters
    ----------
    step : Step
    states : list of tensors
        They are written over.
    updated : list of int
        The states for which the step returns new values.
    graph : Graph
    """

    def __init__(
        self, step: Step, states: Sequence[Array], updated: Sequence[int], graph: Graph
    ) -> None:
        self._step = step
        self._states = list(states)
        self._updated = list(updated)
        self._graph = graph
        self._inputs: list[Array] | None = None
        self._outputs: list[Array] = []

    def __call__(self, arguments: Sequence[Array], hosts: Sequence[Any]) -> list[Array]:
        """Run the step; the results have memory of their own.

        Parameters
        ----------
        hosts : sequence
            Tensors; a number of the host that is among them is not read by the step.
        """
        given = [*arguments, *hosts]
        if self._inputs is None:
            self._capture(given, len(arguments))
        for own, x in zip(self._inputs or [], given, strict=True):
            if hasattr(own, "copy_"):
                own.copy_(x)
        self._graph.replay()
        return [x.clone() for x in self._outputs]

    def _capture(self, given: Sequence[Any], count: int) -> None:
        inputs = [x.clone() if hasattr(x, "clone") else x for x in given]

        def work() -> list[Array]:
            outputs, updates = self._step(inputs[:count], self._states, inputs[count:])
            for i, x in zip(self._updated, updates, strict=True):
                if x is not self._states[i]:
                    self._states[i].copy_(x)
            return outputs

        self._outputs = self._graph.capture(work)
        self._inputs = inputs
