"""Recompute instead of keep: less memory for a graph, against a second run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from functools import wraps
from typing import Any

from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff._traced_call import fresh, name_of, slopes, standing_for, tracked
from xpnet.autodiff._views import root_of, write
from xpnet.autodiff.function import Function, call_of
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.tape import Node, creation_order, edge, recording
from xpnet.autodiff.variable import Variable, node_of, variable_of
from xpnet.errors import GradientError
from xpnet.random import default_rng, notes


def gradient_checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """f with the same values and derivatives, that keeps its inputs and no more.

    What f computes on the way is forgotten, and computed again when a derivative asks for it. Of n
    layers in sqrt(n) checkpoints, about 2 sqrt(n) results are in memory at once instead of n, for
    the price of one more forward pass. Griewank, "Achieving logarithmic growth of temporal and
    spatial complexity in reverse automatic differentiation", 1992; Chen et al., "Training deep
    nets with sublinear memory cost", 2016.

    Parameters
    ----------
    f : callable
        Of arrays, Variables and anything else; it may use Parameters and other Variables from
        outside. It is run twice and must compute the same: what it draws from xpnet's generator
        (`manual_seed`), or from one by way of `default_rng`, as layers do, it draws again; what it
        changes outside of itself, it changes twice. In mixed precision both runs are.

    Returns
    -------
    callable
        Takes and gives what f does. A derivative of second order keeps the second run's graph.

    Raises
    ------
    GradientError
        From the walk back: the second run would not use what the first one did, or did not.

    Examples
    --------
    >>> x = Variable(2.0)
    >>> cube = gradient_checkpoint(lambda x: x * x * x)
    >>> cube(x).backward()
    >>> float(x.grad)
    12.0
    """

    @wraps(f, updated=())
    def light(*args: Any, **kwargs: Any) -> Any:
        if not recording.get():
            return f(*args, **kwargs)
        run = _Run(f, args, kwargs)
        before = [
            variable_of(x.data, node_of(x)) for x in run.given
        ]  # f may write into what it reaches
        y, closure = run([x.data for x in before])
        leaves = tree.leaves([y, run.written()])
        arrays = [leaf.data for leaf in leaves if tracked(leaf)]
        if not arrays or not (run.given or closure):
            return y  # of nothing that would ask for its gradient again
        outputs = _GradientCheckpoint(run, arrays)(*before, *map(standing_for, closure))
        rest = iter(outputs if isinstance(outputs, tuple) else (outputs,))
        given = [next(rest) if tracked(leaf) else leaf for leaf in leaves]
        y, written = tree.rebuild([y, run.written()], given)
        run.write_back(written)
        return y

    return light


class _GradientCheckpoint(Function):
    """What f computed from what it was given, and from the nodes that its closure led to."""

    def __init__(self, run: "_Run", arrays: Sequence[Array]) -> None:
        self.run = run
        self.arrays = tuple(arrays)

    def forward(self, *inputs: Array) -> Any:
        arrays, self.arrays = self.arrays, ()
        return arrays if len(arrays) > 1 else arrays[0]

    def backward(self, gy: Array, *inputs: Array) -> Any:
        gys = gy if isinstance(gy, tuple) else (gy,)
        given = inputs[: len(self.run.given)]
        known = call_of(self).parents[len(given) :]
        with self.run.as_before():
            y, closure = self.run(given)
        ys = [v for v in tree.leaves([y, self.run.written()]) if tracked(v)]
        if {id(node) for node in closure} != {id(node) for node in known} or len(ys) != len(gys):
            raise GradientError(
                f"gradient_checkpoint({name_of(self.run.f)}): the second run did not use what the first "
                "one did. It must be a function of its arguments, and of a closure that stays."
            )
        nodes = [*self.run.nodes, *known]
        found = slopes(ys, gys, nodes, create_graph=isinstance(gys[0], Variable))
        for i, x in enumerate(given):
            if found[i] is None:  # f need not use all that it is given
                found[i] = array_namespace(x).zeros_like(x)
        return tuple(found)


class _Run:
    """f(*args, **kwargs), again and again: in the context of now, on `inputs` of its own."""

    def __init__(self, f: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self.f, self.tree = f, [args, kwargs]
        self.given = [x for x in tree.leaves(self.tree) if tracked(x)]
        self.context = copy_context()  # its mode too, who watches, and which casts stand in
        self.drawn = {None: default_rng().bit_generator.state}
        self.context.run(notes.set, (*notes.get(), self.drawn))

    def __call__(self, given: Sequence[Any]) -> tuple[Any, list[Node]]:
        """What f returns for these numbers, and the nodes outside of f that it was computed from."""
        self.inputs = [fresh(x) for x in given]
        self.nodes = [node_of(x) for x in self.inputs]
        rest, mine = iter(self.inputs), {id(node) for node in self.nodes}
        args, kwargs = tree.map(lambda x: next(rest) if tracked(x) else x, self.tree)
        start = next(creation_order)
        y = self.context.copy().run(self.f, *args, **kwargs)
        leaves = tree.leaves([y, self.written()])
        ends = edge([node_of(leaf) for leaf in leaves if tracked(leaf)], start)
        return y, [node for node in ends if id(node) not in mine]

    def written(self) -> list[Any]:
        """Those of the arguments that f has written into; None for the others."""
        pairs = zip(self.inputs, self.nodes, strict=True)
        return [None if node_of(x) is node else x for x, node in pairs]

    def write_back(self, written: Sequence[Any]) -> None:
        """Write into what was given what f wrote into its own; a leaf stays as it is."""
        for x, y in zip(self.given, written, strict=True):
            if y is not None and root_of(x).node is not None:
                write(x, y)

    @contextmanager
    def as_before(self) -> Iterator[None]:
        """A block with the generators where they stood before the first run."""
        with ExitStack() as stack:
            for rng, state in reversed(self.drawn.items()):  # of one stream, the first note counts
                generator = default_rng(rng).bit_generator
                stack.callback(setattr, generator, "state", generator.state)
                generator.state = state
            yield
