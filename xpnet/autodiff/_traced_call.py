"""A call of a function, on nodes of its own: what all transforms have in common.

    x ──► alias ──► f ──► y        only what comes by way of the alias counts as f's x

If f finds the same x outside of itself, in its closure, that is another way to y. Derivatives
within derivatives come out right because of it, and no two transforms are taken for each other. If f
writes into its arguments, it writes into these Variables of its own.

What f finds that requires a gradient (a model's parameters, the x of a transform around this one)
will be asked for later. So if y was computed from such *others*, the derivative is recorded. They
are told by their age: of what y came from, f made what is younger than the call.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import array_api_compat as compat

from xpnet._libraries.devices import follow, stays
from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.function import Function, call_of
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.tape import Node, creation_order, edge, recorded, recording, seed, walk
from xpnet.autodiff.variable import FLOATING, Variable, as_constant, data_of, node_of
from xpnet.backend import array_like, current
from xpnet.errors import ArgumentTypeError, GradientError, ShapeError

Callee = Callable[..., Any]


class Alias(Function):
    """The identity: a node of a transform's own. If f finds the same x elsewhere, that is another."""

    def forward(self, x: Array) -> Any:
        return x

    def backward(self, gy: Array) -> Any:
        return gy


class Steady(Function):
    """A derivative that does not change with others: theirs is 0, where else there would be none."""

    def forward(self, g: Array, *others: Any) -> Any:
        return g

    def backward(self, gy: Array) -> Any:
        zeros, device = array_namespace(gy).zeros, compat.device(gy)
        others: Any = call_of(self).parents[1:]
        return None, *(zeros(node.shape, dtype=node.dtype, device=device) for node in others)


def fresh(x: Array) -> Variable:
    """A Variable of the numbers of x, with a node of its own: behind it is x, if x has history."""
    with recorded():
        v: Variable = Alias()(x if tracked(x) else Variable(data_of(x)))
    if not tracked(x):
        v.node.parents = (None,)  # no leaf, where `backward` would leave a gradient
    return v


def standing_for(node: Node) -> Variable:
    """A Variable of this node, to be an input; its numbers are not asked for."""
    if isinstance(node, Variable):
        return node
    v = Variable(0.0)
    v.node = node
    return v


class Call:
    """f(*args, **kwargs) with `fresh` Variables in place of some of `args`: the xs of the ys."""

    def __init__(
        self,
        f: Callee,
        argnums: int | Sequence[int],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        has_aux: bool = False,
    ) -> None:
        self.f, self.single = f, isinstance(argnums, int)
        places = _places(f, [argnums] if isinstance(argnums, int) else argnums, len(args))
        self.trees, replaced = [args[i] for i in places], list(args)
        model = _model(tree.leaves([args, kwargs]))
        leaves = [(i, path, x) for i in places for path, x in tree.matched(args[i], args[i])]
        given = [_floating(x, model, f, i, path) for i, path, x in leaves]
        self.lifted = any(isinstance(x, Variable) for x in given)
        self.xs = [fresh(x) for x in given]
        self.nodes = [node_of(x) for x in self.xs]  # f may write into its arguments
        rest, start = iter(self.xs), next(creation_order)
        for i in places:
            replaced[i] = tree.rebuild(args[i], rest)
        with recorded():
            y = f(*replaced, **kwargs)
        if has_aux and not (isinstance(y, tuple) and len(y) == 2):
            raise ArgumentTypeError(f"With has_aux=True, {name_of(f)} must return (y, aux).")
        self.aux: Any
        self.y, self.aux = y if has_aux else (y, None)
        self.ys = tree.leaves(self.y)
        roots, mine = self._roots(), {id(node) for node in self.nodes}
        ends = [node for node in edge(roots, start) if id(node) not in mine]
        self.others = [*filter(tracked, given), *map(standing_for, ends)]
        self.recorded = recording.get() and bool(self.others)

    def _roots(self) -> list[Node]:
        """The nodes of the ys; GradientError if the graph was lost: no zero is to hide that."""
        for y in self.ys or [self.y]:
            if not isinstance(y, Variable):
                raise GradientError(
                    f"{name_of(self.f)} returned {_said(y)}, which remembers nothing of the "
                    "arguments. Compute it by operators and by functions of array_namespace(x) or "
                    "of xpnet; x.data, float(x) and other libraries' functions forget."
                )
        roots = [node_of(y) for y in self.ys if tracked(y)]
        if not roots:
            raise GradientError(
                f"{name_of(self.f)} returned what nothing was recorded for: it was made under "
                "no_grad, of a function without a derivative (such as floor or argmax), or of "
                "none of the arguments. If it is meant to be constant, add 0.0 * x."
            )
        return roots

    def number(self) -> Variable:
        """The output, which must be a single real number."""
        y = self.y
        if isinstance(y, Variable) and compat.size(y.data) == 1 and has_dtype(y, FLOATING[0]):
            return y
        raise GradientError(
            f"Expected {name_of(self.f)} to return a single real number, got {_said(y)}. For the "
            "derivative of each number of it, use jacobian; for a combination of them, vjp."
        )

    def pull(self, ys: Sequence[Variable], gys: Sequence[Any]) -> list[Any]:
        """The gradient of the sum of all y gy by each of the xs."""
        graph = self.recorded or (recording.get() and any(map(tracked, gys)))
        found = slopes(ys, gys, self.nodes, graph)
        return [self.given(g, x) for g, x in zip(found, self.xs, strict=True)]

    @stays
    def given(self, g: Array, x: Variable) -> Any:
        """A gradient by x as the caller is to have it; zeros where there is none."""
        follow(x)
        g = array_namespace(x.data).zeros_like(x.data) if g is None else g
        if not (self.lifted or self.recorded):
            return g
        g = as_constant(g)
        return Steady()(g, *self.others) if self.recorded and not tracked(g) else g

    def value(self, v: Array) -> Any:
        """A Variable that f returned as the caller is to have it; anything else as it is."""
        if not isinstance(v, Variable) or self.recorded:
            return v
        return as_constant(v.data) if self.lifted else v.data

    def like_arguments(self, values: Sequence[Any]) -> Any:
        """A value for each of the xs, built like what was given; for several argnums a tuple."""
        rest = iter(values)
        trees = tuple(tree.rebuild(t, rest) for t in self.trees)
        return trees[0] if self.single else trees


def slopes(
    ys: Sequence[Any], gys: Sequence[Any], nodes: Sequence[Node], create_graph: bool
) -> list[Any]:
    """The gradients of the sum of all y gy by nodes, at which the walk ends; None where none is."""
    lift = as_constant if create_graph else data_of
    pairs = zip(ys, gys, strict=True)
    starts = [(node_of(y), lift(seed(y.data, g))) for y, g in pairs if tracked(y)]
    found = {id(node): g for node, g in walk(starts, nodes, create_graph, through=False)}
    return [found.get(id(node)) for node in nodes]


@stays
def dot(xs: Sequence[Any], ys: Sequence[Any]) -> Any:
    """The sum of all x y; of complex numbers its real part."""
    total: Any = 0.0
    for x, y in zip(xs, ys, strict=True):
        follow(x)
        product = x * y
        xp = array_namespace(product)
        total = total + xp.sum(xp.real(product) if is_complex(product) else product)
    return total


def fitting(model: Variable, x: Array, what: str) -> Any:
    """`x`, an array, Variable, scalar or list, as what goes with `model`; or ShapeError."""
    try:
        return seed(model.data, x)
    except ShapeError as error:
        raise ShapeError(str(error).replace("gy", what)) from None


def name_of(f: Callee) -> str:
    """What to call a function in a message."""
    return str(getattr(f, "__name__", type(f).__name__))


def tracked(x: Array) -> bool:
    """Whether x is a Variable that requires a gradient."""
    return isinstance(x, Variable) and x.requires_grad


def is_complex(x: Array) -> bool:
    """Whether the numbers of the array x are complex."""
    return has_dtype(x, FLOATING[1])


def _places(f: Callee, argnums: Sequence[int], count: int) -> list[int]:
    """argnums, counted from the front."""
    for i in argnums:
        if not -count <= i < count:
            raise ArgumentTypeError(
                f"argnums: there is no positional argument {i}; {name_of(f)} was given {count}. "
                "Arguments given by name are not differentiated."
            )
    places = [i % count for i in argnums]
    if len(set(places)) < len(places):
        raise ArgumentTypeError(
            f"argnums: {tuple(argnums)} names an argument of {name_of(f)} twice."
        )
    return places


def _model(leaves: Sequence[Any]) -> Any:
    """The array whose library, device and dtype Python's floats get: the first of real numbers."""
    arrays = (data_of(x) for x in leaves if isinstance(x, Variable) or compat.is_array_api_obj(x))
    return next((x for x in arrays if has_dtype(x, FLOATING[0])), None)


def _floating(x: Array, model: Any, f: Callee, i: int, path: str) -> Any:
    """`x` as an array or a Variable that has derivatives, or a TypeError that names it."""
    if isinstance(x, (float, complex)) and not hasattr(x, "dtype"):
        beside = model is not None and isinstance(x, float)
        return array_like(x, model) if beside else current().asarray(x)
    if (isinstance(x, Variable) or compat.is_array_api_obj(x)) and has_dtype(x, *FLOATING):
        return x
    try:
        name = f", {list(inspect.signature(f).parameters)[i]}{path}"
    except (TypeError, ValueError, IndexError):  # not every callable tells
        name = path and f", at {path}"
    raise ArgumentTypeError(
        f"{name_of(f)} is to be differentiated by argument {i}{name}: expected floating-point "
        f"numbers, got {_said(x)}."
    )


def _said(x: Array) -> str:
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        kind = "a Variable" if isinstance(x, Variable) else "an array"
        return f"{kind} of {x.dtype}, shape {tuple(x.shape)}"
    plain = x is None or isinstance(x, (int, float, complex, str))
    return repr(x) if plain else f"a {type(x).__name__}"
