"""A call of a function whose inputs have nodes of their own: what `grad`, `vjp` and `jvp` share.

    x ──► alias ──► f ──► y        only a path through the alias counts as f's x

If f also uses the same x from outside, through its closure, that is another path to y, and is not
differentiated. So nested derivatives are right: each counts its own x only. If f writes into its
arguments, it writes into the aliases.

Whatever else f uses that requires a gradient (a model's parameters, the x of a surrounding
derivative) may be differentiated by later. So if y was computed from such *others*, the derivative is
recorded. They are recognised by the order of creation: the nodes that f creates come after the start
of the call, the others before it.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import array_api_compat as compat

from xpnet._libraries.devices import follow, stays
from xpnet._typing import Array, DType
from xpnet.autodiff import tree
from xpnet.autodiff._export import differentiating
from xpnet.autodiff._messages import advice_about, described
from xpnet.autodiff.function import Function, call_of
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.tape import Node, creation_order, edge, recorded, recording, seed, walk
from xpnet.autodiff.tree import Tree
from xpnet.autodiff.variable import FLOATING, Variable, as_constant, data_of, node_of, variable_of
from xpnet.backend import array_like, current
from xpnet.errors import ArgumentTypeError, GradientError, ShapeError

Callee = Callable[..., Any]


class Alias(Function):
    """The identity: its output is an input of f with a node of its own."""

    def forward(self, x: Array) -> Array:
        return x

    def backward(self, gy: Array) -> Array:
        return gy


class ConstantIn(Function):
    """A derivative g that does not depend on the `others`: their gradient is zeros, not missing.

    Without this node, differentiating g would be an error: nothing was recorded.
    """

    def forward(self, g: Array, *others: Array) -> Array:
        return g

    def backward(self, gy: Array) -> tuple[Array, ...]:
        return (gy, *[_zeros_by(node, gy) for node in call_of(self).parents[1:]])


def _zeros_by(node: Node, gy: Array) -> Array:
    """A gradient of zeros for a node: on the device of a leaf; otherwise on that of gy."""
    if isinstance(node, Variable):
        zeros = seed(node.data, 0.0)
        return as_constant(zeros) if isinstance(gy, Variable) else zeros
    xp = array_namespace(gy)
    return xp.zeros(node.shape, dtype=node.dtype, device=compat.device(gy))


def fresh(x: Array) -> Variable:
    """A Variable with the data of x and a node of its own, which leads to x if x is recorded."""
    with recorded():
        if tracked(x):
            v: Variable = Alias()(x)
        else:
            v = Alias()(Variable(data_of(x)))
            v.node.parents = (None,)  # without a leaf, whose `grad` a `backward` in f would set
    return v


class NoData:
    """In place of the array of a Variable that only stands for its node."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype


def standing_for(node: Node) -> Variable:
    """A Variable with this node, but without data: an input of a Function that does not use them.

    It is on no device: so the other inputs may be on another one than the data of the node.
    """
    return variable_of(NoData(node.dtype), node)


class Call:
    """f(*args, **kwargs) with `fresh` Variables, the xs, for some of `args`; it returns the ys.

    Parameters
    ----------
    f : callable
    argnums : int or sequence of int
        With respect to which of `args` to differentiate.
    args, kwargs : sequence, mapping
    has_aux : bool
        Whether f returns a pair: what is differentiated, and anything else.

    Attributes
    ----------
    y, aux : trees
        What f returned.
    xs, ys : list of Variable
        The leaves of these arguments, and of y.
    nodes : list of nodes
        Those of the xs when f was called; f may write into its arguments.
    others : list of Variable, without data
        They stand for what else y was computed from, and for the given arguments, where these require
        a gradient.
    lifted : bool
        Whether Variables were given, so that Variables are returned.
    recorded : bool
        Whether the derivatives are recorded.
    """

    def __init__(
        self,
        f: Callee,
        argnums: int | Sequence[int],
        args: Sequence[Tree],
        kwargs: Mapping[str, Tree],
        has_aux: bool = False,
    ) -> None:
        self.f = f
        self.single = isinstance(argnums, int)
        places = _places(f, [argnums] if isinstance(argnums, int) else argnums, len(args))
        self.trees = [args[i] for i in places]
        given = _floating_leaves(f, places, args, kwargs)
        self.lifted = any(isinstance(x, Variable) for x in given)
        self.xs = [fresh(x) for x in given]
        self.nodes = [node_of(x) for x in self.xs]
        start = next(creation_order)
        self._run(places, args, kwargs, has_aux)
        mine = {id(node) for node in self.nodes}
        closure = [node for node in edge(self._roots(), start) if id(node) not in mine]
        tracked_given = [node_of(x) for x in given if tracked(x)]
        self.others = [standing_for(node) for node in (*tracked_given, *closure)]
        self.recorded = recording.get() and bool(self.others)

    def _run(
        self, places: Sequence[int], args: Sequence[Tree], kwargs: Mapping[str, Tree], has_aux: bool
    ) -> None:
        """Call f with the xs, and set y, aux and ys."""
        xs = iter(self.xs)
        replaced = list(args)
        for i in places:
            replaced[i] = tree.rebuild(args[i], xs)
        before = differentiating.set(True)
        try:
            with recorded():
                y = self.f(*replaced, **kwargs)
        except (ValueError, SystemError) as error:
            is_numpys = str(error).startswith("setting an array element")
            is_of_c = isinstance(error, SystemError)  # as from a root finder of SciPy
            if (is_numpys or is_of_c) and isinstance(error.__cause__, GradientError):
                raise error.__cause__.with_traceback(error.__traceback__) from None
            raise
        finally:
            differentiating.reset(before)
        self.y: Tree = y
        self.aux: Tree = None
        if has_aux:
            if not (isinstance(y, tuple) and len(y) == 2):
                raise ArgumentTypeError(
                    f"With has_aux=True, {name_of(self.f)} must return (y, aux), got {described(y)}."
                )
            self.y, self.aux = y
        self.ys = tree.leaves(self.y)

    def _roots(self) -> list[Node]:
        """The nodes of the ys.

        Raises
        ------
        GradientError
            Nothing was recorded: the graph was lost, which a gradient of zero would hide.
        """
        for y in self.ys or [self.y]:
            if isinstance(getattr(y, "data", None), Variable):
                raise GradientError(
                    f"{name_of(self.f)} returned {described(y)}, which holds a Variable. Return y.data."
                )
            if not isinstance(y, Variable):
                raise GradientError(
                    f"{name_of(self.f)} returned {described(y)}, which has no record of the "
                    "arguments. Compute it by operators and by functions of array_namespace(x), "
                    "NumPy or xpnet; x.data, float(x), math.sin(x) and other libraries' functions "
                    "keep no record."
                )
        roots = [node_of(y) for y in self.ys if tracked(y)]
        if not roots:
            raise GradientError(
                f"{name_of(self.f)} returned a result for which nothing was recorded: it was "
                "computed under no_grad, by a function without a derivative (such as floor or "
                "argmax), or from none of the arguments. If it is meant to be constant, add "
                "0.0 * x."
            )
        return roots

    def number(self) -> Variable:
        """The output, which must be a single real number."""
        y = self.y
        if isinstance(y, Variable) and compat.size(y.data) == 1 and has_dtype(y, "real floating"):
            return y
        raise GradientError(
            f"Expected {name_of(self.f)} to return a single real number, got {described(y)}. For "
            "the derivative of each number of it, use jacobian; for a combination of them, vjp."
        )

    def pull(self, ys: Sequence[Variable], gys: Sequence[Array]) -> list[Array]:
        """The gradients of sum(y gy), over all ys, with respect to each of the xs."""
        create_graph = self.recorded or (recording.get() and any(map(tracked, gys)))
        found = slopes(ys, gys, self.nodes, create_graph)
        return [self.for_caller(g, x) for g, x in zip(found, self.xs, strict=True)]

    @stays
    def for_caller(self, g: Array | None, x: Variable) -> Array:
        """A gradient of x as an array or a Variable, as the caller expects it; None becomes zeros."""
        follow(x)
        if g is None:
            g = array_namespace(x.data).zeros_like(x.data)
        if not (self.lifted or self.recorded):
            return g
        g = as_constant(g)
        if self.recorded and not tracked(g):
            return ConstantIn()(g, *self.others)
        return g

    def value(self, v: Array) -> Array:
        """A Variable that f returned as the caller expects it; anything else as it is."""
        if not isinstance(v, Variable) or self.recorded:
            return v
        if self.lifted:
            return as_constant(v.data)
        return v.data

    def like_arguments(self, values: Sequence[Array]) -> Tree:
        """A value for each of the xs, as trees like the arguments; for several argnums, a tuple."""
        rest = iter(values)
        trees = tuple(tree.rebuild(t, rest) for t in self.trees)
        return trees[0] if self.single else trees


def slopes(
    ys: Sequence[Tree], gys: Sequence[Array], nodes: Sequence[Node], create_graph: bool
) -> list[Array | None]:
    """The gradients of sum(y gy) over all ys with respect to each of the nodes; None where there is none.

    No path leads through one of the nodes to another: the walk ends at each.
    """
    lift = as_constant if create_graph else data_of
    pairs = zip(ys, gys, strict=True)
    starts = [(node_of(y), lift(seed(y.data, g))) for y, g in pairs if tracked(y)]
    found = {id(node): g for node, g in walk(starts, nodes, create_graph, through=False)}
    return [found.get(id(node)) for node in nodes]


@stays
def dot(xs: Sequence[Array], ys: Sequence[Array]) -> Array:
    """The sum of all x y; for complex numbers, its real part."""
    total: Array = 0.0
    for x, y in zip(xs, ys, strict=True):
        follow(x)
        product = x * y
        xp = array_namespace(product)
        if is_complex(product):
            product = xp.real(product)
        total = total + xp.sum(product)
    return total


def fitting(model: Variable, x: Array, what: str) -> Array:
    """`x`, an array, Variable, scalar or list, as an array like `model`; errors call it `what`."""
    try:
        return seed(model.data, x)
    except ShapeError as error:  # in the message of `seed`, x is called gy
        raise ShapeError(str(error).replace("gy", what)) from None


def name_of(f: Callee) -> str:
    """The name of a function, for messages."""
    return str(getattr(f, "__name__", type(f).__name__))


def tracked(x: Any) -> bool:
    """Whether x is a Variable that requires a gradient."""
    return isinstance(x, Variable) and x.requires_grad


def is_complex(x: Array) -> bool:
    """Whether the numbers of the array x are complex."""
    return has_dtype(x, "complex floating")


def _places(f: Callee, argnums: Sequence[int], count: int) -> list[int]:
    """`argnums`, counted from the front."""
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


def _floating_leaves(
    f: Callee, places: Sequence[int], args: Sequence[Tree], kwargs: Mapping[str, Tree]
) -> list[Array]:
    """The leaves of the arguments at `places`, as arrays or Variables that have derivatives."""
    model = _model(tree.leaves([args, kwargs]))
    return [
        _floating(x, model, f, i, path)
        for i in places
        for path, x in tree.matched(args[i], args[i])
    ]


def _model(leaves: Sequence[Any]) -> Array | None:
    """The array whose library, device and dtype Python's floats get: the first of real numbers."""
    for x in leaves:
        if isinstance(x, Variable) or compat.is_array_api_obj(x):
            data = data_of(x)
            if has_dtype(data, "real floating"):
                return data
    return None


def _floating(x: Any, model: Array | None, f: Callee, i: int, path: str) -> Array:
    """`x` as an array or a Variable that has derivatives.

    Raises
    ------
    ArgumentTypeError
        It has none; the message names argument i of f, and the path within it.
    """
    if isinstance(x, (float, complex)) and not hasattr(x, "dtype"):
        if model is not None and isinstance(x, float):
            return array_like(x, model)
        return current().asarray(x)
    if (isinstance(x, Variable) or compat.is_array_api_obj(x)) and has_dtype(x, *FLOATING):
        return x
    try:
        name = f", {list(inspect.signature(f).parameters)[i]}{path}"
    except (TypeError, ValueError, IndexError):  # not every callable has a signature
        name = path and f", at {path}"
    raise ArgumentTypeError(
        f"{name_of(f)} is to be differentiated with respect to argument {i}{name}: expected floating-point "
        f"numbers, got {described(x)}.{advice_about(x)}"
    )
