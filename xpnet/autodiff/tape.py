"""The walk back: from an output to what it was computed from, node by node.

The tape consists of nodes. A node is one call of a Function, an Output of a call that has several,
or a leaf: a Variable that was not computed. The walk needs these attributes of it:

    parents          the nodes of the inputs, None for a constant; () for a leaf
    created          its place in the order of creation, after those of all its parents
    changed          its place in that order when it was last changed in place; 0 if it never was
    shape, dtype     of the output
    pullback(gy)     of a call: the gradients of the inputs, from the gradient `gy` of the output
    needs            of a call, set by the walk: for each input, whether its gradient is needed
    index            of an Output: its place among the outputs of the call

For a call y = f(x) the walk multiplies gy, the gradient of y, by the derivative of f, and so obtains
gx, the gradient of x. Where several nodes use x, its gradient is the sum of theirs.

Only one thread at a time may walk a graph. The arrays that a graph was computed from must not change
before the walk. Variables ensure that themselves, and an optimizer's step is detected where a
Parameter was saved; other changes of an array in place are not detected.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

import array_api_compat as compat

from xpnet._libraries.devices import follow, follows, known, stays
from xpnet._printable import counted
from xpnet._typing import Array, DType
from xpnet.autodiff._half_precision import total
from xpnet.autodiff._messages import described
from xpnet.autodiff.namespace import (
    DifferentiableNamespace,
    array_namespace,
    array_types,
    as_array,
    has_dtype,
)
from xpnet.backend import array_like
from xpnet.errors import GradientError, ShapeError

if TYPE_CHECKING:
    from xpnet.autodiff.function import Function

Node: TypeAlias = Any
"""A `FunctionNode`, an `Output`, or a `Variable` that is a leaf; None for a constant."""

creation_order = count(1)

recording: ContextVar[bool] = ContextVar("xpnet_recording", default=True)


@contextmanager
def no_grad() -> Iterator[None]:
    """A block, or a decorated function, in which nothing is recorded: `with no_grad(): ...`.

    Examples
    --------
    >>> import xpnet
    >>> x = xpnet.Variable(3.0)
    >>> with xpnet.no_grad():
    ...     y = x * x
    >>> y.requires_grad, y.creator
    (False, None)
    """
    with recorded(on=False):
        yield


@contextmanager
def recorded(on: bool = True) -> Iterator[None]:
    """A block in which everything is recorded or, with `on=False`, nothing, whatever surrounds it."""
    token = recording.set(on)
    try:
        yield
    finally:
        recording.reset(token)


class Output:
    """One of several outputs of a call. The call needs their gradients together, in one tuple."""

    __slots__ = ("__weakref__", "created", "dtype", "index", "parents", "shape")
    changed = 0

    def __init__(self, call: Node, index: int, y: Array) -> None:
        self.parents = (call,)
        self.created = next(creation_order)
        self.index = index
        self.shape = y.shape
        self.dtype = y.dtype

    @property
    def function(self) -> "Function":
        """The Function that was called."""
        function: Function = self.parents[0].function
        return function


def function_name(node: Node) -> str:
    """The name of a node's Function, for messages."""
    return type(node.function).__name__


def completed(
    gy: dict[int, Array], shapes_and_dtypes: Sequence[tuple[tuple[int, ...], DType]]
) -> tuple[Array, ...]:
    """The gradients of all outputs of a call: those in `gy`, and zeros for the others."""
    some_gradient = next(iter(gy.values()))
    xp = array_namespace(some_gradient)
    device = compat.device(some_gradient)
    gradients = []
    for i, (shape, dtype) in enumerate(shapes_and_dtypes):
        g = gy.get(i)
        if g is None:
            g = xp.zeros(shape, dtype=dtype, device=device)
        gradients.append(g)
    return tuple(gradients)


@stays
def walk(
    starts: Sequence[tuple[Node, Array]],
    wanted: Sequence[Node] | None,
    create_graph: bool,
    through: bool = True,
    arrived: Callable[[Node, Array], None] | None = None,
) -> list[tuple[Node, Array]]:
    """The gradients with respect to the `wanted` nodes or, if `wanted` is None, to every leaf.

    Parameters
    ----------
    starts : sequence of (node, gradient)
        The gradients are arrays, or Variables to record the walk itself.
    wanted : sequence of nodes, or None
    create_graph : bool
        Whether the rules run on Variables, so that the walk is recorded.
    through : bool
        Whether a path may lead through one wanted node to another; otherwise it ends at the first.
    arrived : function (leaf, gradient), optional
        It is called for each leaf as soon as its gradient is complete, while the walk continues.

    Returns
    -------
    list of (node, gradient)
        In the order of `wanted`, without the nodes that no start depends on.
    """
    nodes, wanted, useful = _plan([node for node, _ in starts], wanted, through)
    wanted_ids = set(map(id, wanted))
    grads = _sums(starts)
    if arrived is not None:
        nodes = _with_leaves_early(nodes)
    for node in nodes:
        parents = node.parents
        if not parents:  # a leaf
            if arrived is not None:
                for leaf, g in _found([node], grads):
                    arrived(leaf, g)
            continue
        key = id(node)
        if key not in wanted_ids:
            g = grads.pop(key, None)  # it is not needed again: this frees its memory
        elif through:
            g = grads.get(key)
        else:
            continue
        if g is None:
            continue
        if known.several:  # on a machine with several GPUs: compute where g is
            follow(g)
        if node.__class__ is Output:  # its call gathers the gradients of all outputs in a dict
            _add(grads.setdefault(id(parents[0]), {}), node.index, g)
            continue
        # `map`, because a comprehension would be one more Python frame for each node.
        needs = tuple(map(useful.__contains__, map(id, parents)))
        if True in needs:
            node.needs = needs
            _add_gradients(node, g, grads, create_graph)
    return _found(wanted, grads)


def _plan(
    roots: Sequence[Node], wanted: Sequence[Node] | None, through: bool
) -> tuple[list[Node], Sequence[Node], Collection[int]]:
    """The nodes to visit, latest first; the wanted ones; and the ids of all that lead to these."""
    ends: Collection[int] = ()
    if wanted is not None and not through:
        ends = set(map(id, wanted))
    reached = _reached_from(roots, ends)
    # The latest first: then the gradient of a node is complete when the walk arrives there.
    nodes = sorted(reached.values(), key=attrgetter("created"), reverse=True)
    if wanted is None:
        return nodes, [node for node in nodes if not node.parents], reached
    return nodes, wanted, _leading_to(wanted, nodes)


def _with_leaves_early(nodes: Sequence[Node]) -> list[Node]:
    """The nodes, latest first, with each leaf right after the last call whose gradient it needs."""
    calls = [node for node in nodes if node.parents]
    found: list[Node] = []  # earliest first: so the first call that uses a leaf is the last visited
    seen: set[int] = set()
    for call in reversed(calls):
        for p in call.parents:
            if p is not None and not p.parents and id(p) not in seen:
                seen.add(id(p))
                found.append(p)
        found.append(call)
    unused = [node for node in nodes if not node.parents and id(node) not in seen]
    return [*reversed(found), *unused]


def _found(wanted: Sequence[Node], grads: dict[int, Array]) -> list[tuple[Node, Array]]:
    """The wanted nodes that the walk has reached, with their gradients."""
    found = []
    for node in wanted:
        g = grads.get(id(node))
        if g is not None:
            if type(g) not in array_types:
                g = as_array(g)
            found.append((node, g))
    return found


def _reached_from(roots: Sequence[Node], ends: Collection[int]) -> dict[int, Node]:
    """The roots and all nodes that they depend on, by id; no path continues beyond the `ends`."""
    seen = dict(zip(map(id, roots), roots, strict=True))
    stack = list(seen.values())
    while stack:
        node = stack.pop()
        if id(node) in ends:
            continue
        for p in node.parents:
            if p is not None and id(p) not in seen:
                seen[id(p)] = p
                stack.append(p)
    return seen


def _leading_to(wanted: Sequence[Node], nodes: Sequence[Node]) -> set[int]:
    """The ids of the nodes that depend on a wanted node; `nodes` come latest first."""
    useful = set(map(id, wanted))
    for node in reversed(nodes):
        if any(id(p) in useful for p in node.parents):
            useful.add(id(node))
    return useful


def _sums(starts: Sequence[tuple[Node, Array]]) -> dict[int, Any]:
    """The gradients to start from, by the ids of their nodes; those of one node are added up."""
    grads: dict[int, Any] = {}
    for node, g in starts:
        if known.several:
            follow(g)
        _add(grads, id(node), g)
    return grads


def _add(sums: dict[int, Any], key: int, g: Array) -> None:
    """Add a gradient to the sum under a key; never in place, because arrays may be shared."""
    sums[key] = sums[key] + g if key in sums else g


def _add_gradients(node: Node, g: Array, grads: dict[int, Any], create_graph: bool) -> None:
    """Compute the gradients of a call's inputs from the gradient `g` of its output, and add them."""
    parents = node.parents
    gxs = node.pullback(g, create_graph)
    if len(gxs) != len(parents):
        gxs = _without_left_out(gxs, node)
    for p, needed, gx in zip(parents, node.needs, gxs, strict=True):
        if not needed:
            continue
        if known.several:
            follow(gx)
        # Nearly all gradients of a first derivative fit already: this saves the call.
        if create_graph or getattr(gx, "shape", None) != p.shape or gx.dtype is not p.dtype:
            gx = fit(gx, p, node, create_graph)
        key = id(p)
        grads[key] = grads[key] + gx if key in grads else gx  # `_add`, without its frame


def _without_left_out(gxs: Sequence[Array | None], node: Node) -> Sequence[Array | None]:
    """A rule's gradients without the None for each input that the call left out."""
    count = len(node.parents)
    if len(gxs) < count or any(gx is not None for gx in gxs[count:]):
        given = f"{counted(len(gxs), 'gradient')} for {counted(count, 'input')}"
        raise GradientError(f"{function_name(node)}.backward returned {given}.")
    return gxs[:count]


@follows
def seed(y: Array, gy: Array) -> Array:
    """The gradient to start from: `gy` as an array that fits `y`, by default 1 for a single number.

    Parameters
    ----------
    y : array
    gy : array, Variable, nested list or scalar of the shape of y, or None

    Returns
    -------
    array or Variable, of the shape and dtype of y

    Raises
    ------
    GradientError
        `gy` is None, but y is complex or more than one number; or `gy` is complex, but y is not.
    ShapeError
        `gy` has another shape.
    """
    if type(gy) is type(y) and gy.shape == y.shape and gy.dtype == y.dtype:
        return gy
    xp = array_namespace(y)
    if gy is None:
        _require_one_real_number(y)
        gy = 1
    if isinstance(gy, (int, float)):
        return xp.full_like(y, gy)
    if isinstance(gy, complex):
        gy = xp.full(y.shape, gy, dtype=xp.result_type(y, xp.complex64), device=compat.device(y))
    if isinstance(gy, (list, tuple)):
        gy = array_like(gy, y)
    array_namespace(y, gy)  # raises where they are of different libraries
    if gy.shape != y.shape:
        raise ShapeError(f"Expected gy of shape {tuple(y.shape)}, got {tuple(gy.shape)}.")
    if has_dtype(gy, "complex floating") and not has_dtype(y, "complex floating"):
        raise GradientError(f"Expected a real gy, for a Variable of {y.dtype}, got {gy.dtype}.")
    if gy.dtype == y.dtype:
        return gy
    return array_namespace(gy).astype(gy, y.dtype)


def _require_one_real_number(y: Array) -> None:
    """Raise GradientError unless `backward` of y may be called without a gradient to start from."""
    if compat.size(y) != 1:
        raise GradientError(
            f"For a Variable of shape {tuple(y.shape)}, pass gy of that shape, the gradient to "
            "start from; or reduce it to one number first, for example with F.sum."
        )
    if has_dtype(y, "complex floating"):
        raise GradientError(
            "A complex number cannot be minimized; pass gy=1.0 for the derivative of a holomorphic "
            "function, or compute a real number from it first, for example with F.abs."
        )


def edge(roots: Iterable[Node], start: int) -> list[Node]:
    """The first nodes, on the paths back from `roots`, that were created before `start`."""
    found: list[Node] = []
    seen: set[int] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.created < start:
            found.append(node)
        else:
            stack += [p for p in node.parents if p is not None]
    return found


def fit(g: Array | None, node: Node, user: Node, create_graph: bool) -> Array:
    """The gradient `g`, from the call `user`, in the shape and dtype of the input `node`.

    It undoes broadcasting and promotion.
    """
    if g is None:
        raise GradientError(f"{function_name(user)} has no derivative with respect to an input.")
    if getattr(g, "shape", None) != node.shape:
        g = _summed(g, node.shape, user)
    if create_graph and not isinstance(array_namespace(g), DifferentiableNamespace):
        name = function_name(user)
        raise GradientError(
            f"{name}.backward returned an array for a Variable: its graph is lost. Compute with "
            "the Variable itself, not with its data."
        )
    if g.dtype == node.dtype:
        return g
    xp = array_namespace(g)
    if has_dtype(g, "complex floating") and not xp.isdtype(node.dtype, "complex floating"):
        # A real number was combined with complex ones: it has no imaginary part that could move.
        g = xp.real(g)
    if g.dtype == node.dtype:
        return g
    return xp.astype(g, node.dtype)


def _summed(g: Array, shape: tuple[int, ...], user: Node) -> Array:
    """`g` summed over the axes along which an array of that shape was broadcast."""
    # Broadcasting puts new axes in front. A Python number has no `ndim`, and is an error below.
    new_axes = getattr(g, "ndim", -1) - len(shape)
    if new_axes >= 0:
        rest = g.shape[new_axes:]
        if rest == shape:
            return total(g, tuple(range(new_axes)) if new_axes > 1 else 0)
        if all(n in (1, m) for n, m in zip(shape, rest, strict=True)):
            stretched = [i + new_axes for i, n in enumerate(shape) if n == 1]
            return array_namespace(g).reshape(total(g, (*range(new_axes), *stretched)), shape)
    raise GradientError(
        f"{function_name(user)}.backward expected a gradient of shape {tuple(shape)} for an input, got "
        f"{described(g)}."
    )
