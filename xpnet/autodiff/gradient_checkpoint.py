"""`gradient_checkpoint`: compute intermediate results again instead of keeping them.

A graph then takes less memory, and the walk back more time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial, wraps
from typing import Any

from xpnet._each_step import each_step
from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff._traced_call import fresh, name_of, slopes, standing_for, tracked
from xpnet.autodiff._views import root_of, write
from xpnet.autodiff.function import Arrays, Function, call_of
from xpnet.autodiff.tape import Node, creation_order, edge, recording, seed
from xpnet.autodiff.tree import Tree
from xpnet.autodiff.variable import Variable, node_of, variable_of
from xpnet.errors import GradientError
from xpnet.random import default_rng, notes


def gradient_checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """f with the same values and derivatives, of which only the inputs are kept in memory.

    Intermediate results of f are computed again when a derivative needs them. If n layers are divided
    among sqrt(n) checkpoints, about 2 sqrt(n) results are in memory at once instead of n, for the
    cost of one more forward pass.

    Sources: Griewank, "Achieving logarithmic growth of temporal and spatial complexity in reverse
    automatic differentiation", 1992; Chen et al., "Training deep nets with sublinear memory cost",
    2016.

    Parameters
    ----------
    f : callable
        A function of arrays, Variables and anything else. It may use Parameters and other Variables
        from outside. It runs twice and must compute the same: random numbers from xpnet's generator
        (`manual_seed`), or from one that it passes to `default_rng`, as layers do, are the same in
        both runs; what f changes outside of itself, it changes twice. Both runs use the precision of
        the first.

    Returns
    -------
    callable
        Takes the arguments of f and returns its results. A second derivative keeps the graph of the
        second run.

    Raises
    ------
    GradientError
        From the walk back: the second run did not use the same Variables as the first.

    Examples
    --------
    >>> x = Variable(2.0)
    >>> cube = gradient_checkpoint(lambda x: x * x * x)
    >>> cube(x).backward()
    >>> float(x.grad)
    12.0
    """

    @wraps(f, updated=())
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        # It names nothing but a function that other processes import: cloudpickle sends them a function of a
        # notebook by value, this one with it.
        return _checkpointed(f, args, kwargs)

    return checkpointed


def _checkpointed(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The results of f, with one node of the graph in place of those that f would add."""
    if not recording.get():
        return f(*args, **kwargs)
    run = _Run(f, args, kwargs)
    # The nodes of the inputs as they are now: f may write into what it is given.
    before = [variable_of(x.data, node_of(x)) for x in run.given]
    y, closure = run([x.data for x in before])
    leaves = tree.leaves([y, run.written()])
    arrays = [leaf.data for leaf in leaves if tracked(leaf)]
    if not arrays or not (run.given or closure):
        return y  # no derivative will be computed
    outputs = GradientCheckpoint(run, arrays)(*before, *map(standing_for, closure))
    rest = iter(_as_tuple(outputs))
    replaced = [next(rest) if tracked(leaf) else leaf for leaf in leaves]
    y, written = tree.rebuild([y, run.written()], replaced)
    run.write_back(written)
    return y


def _as_tuple(arrays: Arrays) -> tuple[Array, ...]:
    """A tuple of arrays as it is; one array as a tuple."""
    return arrays if isinstance(arrays, tuple) else (arrays,)


class GradientCheckpoint(Function):
    """The results of f as a function of its inputs and of the nodes that its closure led to."""

    def __init__(self, run: "_Run", arrays: Sequence[Array]) -> None:
        self.run = run
        self.arrays = tuple(arrays)

    def forward(self, *inputs: Array) -> Arrays:
        arrays = self.arrays
        self.arrays = ()  # the results are not kept
        return arrays if len(arrays) > 1 else arrays[0]

    def backward(self, gy: Arrays, *inputs: Array) -> tuple[Array, ...]:
        gys = _as_tuple(gy)
        given = inputs[: len(self.run.given)]
        first_closure = call_of(self).parents[len(given) :]
        with self.run.generators_as_before():
            y, closure = self.run(given)
        ys = [v for v in tree.leaves([y, self.run.written()]) if tracked(v)]
        same_closure = set(map(id, closure)) == set(map(id, first_closure))
        if not same_closure or len(ys) != len(gys):
            raise GradientError(
                f"gradient_checkpoint({name_of(self.run.f)}): the second run did not use what the "
                "first one did. It must depend only on its arguments, and on a closure that does "
                "not change."
            )
        nodes = [*self.run.nodes, *first_closure]
        found = slopes(ys, gys, nodes, create_graph=isinstance(gys[0], Variable))
        for i, x in enumerate(given):
            if found[i] is None:  # f does not depend on this input
                found[i] = seed(x, 0.0)  # zeros, on the device of x
        return tuple(found)


class _Run:
    """f(*args, **kwargs), to be run several times: each time with its own inputs, in one context."""

    def __init__(
        self, f: Callable[..., Any], args: Sequence[Tree], kwargs: Mapping[str, Tree]
    ) -> None:
        self.f = f
        self.tree = [args, kwargs]
        self.given = [x for x in tree.leaves(self.tree) if tracked(x)]
        self.context = copy_context()  # with the mode of layers, their hooks, and the precision
        # For each generator, its state before f first used it: `default_rng` notes that here.
        self.drawn: dict[Any, Any] = {}
        each_step(partial(_note_own, self.drawn))
        self.context.run(notes.set, (*notes.get(), self.drawn))

    def __call__(self, given: Sequence[Array]) -> tuple[Tree, list[Node]]:
        """The result of f for these inputs, and the nodes outside of f that it was computed from."""
        self.inputs = [fresh(x) for x in given]
        self.nodes = [node_of(x) for x in self.inputs]
        rest = iter(self.inputs)
        args, kwargs = tree.map(lambda x: next(rest) if tracked(x) else x, self.tree)
        start = next(creation_order)
        y = self.context.copy().run(self.f, *args, **kwargs)
        leaves = tree.leaves([y, self.written()])
        ends = edge([node_of(leaf) for leaf in leaves if tracked(leaf)], start)
        mine = {id(node) for node in self.nodes}
        return y, [node for node in ends if id(node) not in mine]

    def written(self) -> list[Variable | None]:
        """The inputs that f has written into; None in place of the others."""
        pairs = zip(self.inputs, self.nodes, strict=True)
        return [None if node_of(x) is node else x for x, node in pairs]

    def write_back(self, written: Sequence[Variable | None]) -> None:
        """Write what f wrote into its own inputs into the caller's; a leaf is not changed."""
        for x, y in zip(self.given, written, strict=True):
            if y is not None and root_of(x).node is not None:
                write(x, y)

    @contextmanager
    def generators_as_before(self) -> Iterator[None]:
        """A block in which the generators are in the state that they had before the first run."""
        now: list[tuple[Any, Any]] = []  # generators and their states at the start of the block
        each_step(partial(_go_back, self.drawn, now))
        try:
            yield
        finally:
            each_step(partial(_go_on, now))


def _note_own(drawn: dict[Any, Any]) -> None:
    """Begin the notes of a step: the state of xpnet's own generator."""
    drawn.clear()
    drawn[None] = default_rng().bit_generator.state


def _go_back(drawn: dict[Any, Any], now: list[tuple[Any, Any]]) -> None:
    """Set the noted states, after adding the present ones to `now`."""
    # In reverse: if a stream was noted twice, the first note is the state before the run.
    for rng, state in reversed(drawn.items()):
        generator = default_rng(rng).bit_generator
        now.append((generator, generator.state))
        generator.state = state


def _go_on(now: list[tuple[Any, Any]]) -> None:
    """Set the states that `_go_back` found."""
    while now:
        generator, state = now.pop()
        generator.state = state
