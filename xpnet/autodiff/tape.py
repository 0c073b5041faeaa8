"""The walk back: from an output to what it was computed from, node by node.

The tape is made of nodes. A node is one call of a Function, an Output of a call that has several, or
a leaf: a Variable that nothing was computed into. All the walk needs of them is this:

    parents          the nodes that went in, None for a constant; () for a leaf
    created          when it was created: after all its parents
    changed          when it was last changed in place, which only leaves are; else 0
    shape, dtype     of what came out
    pullback(gy)     of a call: from the gradient of what came out, that of each parent

One thread walks a graph at a time. Arrays that a graph was computed from stay as they are until the
walk back: Variables see to that themselves, and an optimizer's step is noticed where a Parameter
itself was kept; what else changes an array in place is not.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from operator import attrgetter
from typing import Any

import array_api_compat as compat

from xpnet._libraries.devices import follow, follows, known, stays
from xpnet._typing import Array
from xpnet.autodiff._half_precision import total
from xpnet.autodiff.namespace import (
    DifferentiableNamespace,
    array_namespace,
    array_types,
    as_array,
    has_dtype,
)
from xpnet.backend import array_like
from xpnet.errors import GradientError, ShapeError

Node = Any
clock = count(1)

recording: ContextVar[bool] = ContextVar("xpnet_recording", default=True)


@contextmanager
def no_grad() -> Iterator[None]:
    """A block, or a decorated function, in which nothing is recorded: `with no_grad(): ...`."""
    with recorded(on=False):
        yield


@contextmanager
def recorded(on: bool = True) -> Iterator[None]:
    """A block that is recorded, whatever surrounds it; or, `on=False`, is not."""
    token = recording.set(on)
    try:
        yield
    finally:
        recording.reset(token)


class Output:
    """One of several outputs of a call: it hands its gradient to its place among them."""

    __slots__ = ("__weakref__", "created", "dtype", "index", "parents", "shape")
    changed = 0

    def __init__(self, call: Node, index: int, y: Array) -> None:
        self.parents = (call,)
        self.created = next(clock)
        self.index = index
        self.shape = y.shape
        self.dtype = y.dtype

    @property
    def function(self) -> Any:
        """The Function that was called."""
        return self.parents[0].function


def name_of(node: Node) -> str:
    """What to call in a message the Function whose call this node is."""
    return type(node.function).__name__


def completed(gy: dict[int, Any], several: Sequence[tuple[Any, Any]]) -> tuple[Any, ...]:
    """The gradients of all outputs, of these shapes and dtypes: 0 where nothing was made of one."""
    (g, *_) = gy.values()
    zeros, device = array_namespace(g).zeros, compat.device(g)
    return tuple(
        gy[i] if i in gy else zeros(shape, dtype=dtype, device=device)
        for i, (shape, dtype) in enumerate(several)
    )


@stays
def walk(
    starts: Sequence[tuple[Node, Any]],
    wanted: Sequence[Node] | None,
    create_graph: bool,
    through: bool = True,
) -> list[tuple[Node, Any]]:
    """The gradients of some nodes by the `wanted` ones (None: by every leaf), and no others.

    Parameters
    ----------
    starts : sequence of (node, gradient)
        The gradients are arrays, or Variables to record the walk itself.
    wanted : sequence of nodes, or None
    create_graph : bool
        Whether the rules are to run on Variables.
    through : bool
        Whether ways may lead on from one wanted node to another; else they end at the first.

    Returns
    -------
    list of (node, gradient)
        In the order of `wanted`, without the nodes that no start depends on.
    """
    nodes, wanted, useful = _plan([node for node, _ in starts], wanted, through)
    grads = _sums(starts)
    ends = set(map(id, wanted))
    for node in nodes:
        parents = node.parents
        if not parents:
            continue
        key = id(node)
        if key not in ends:
            g = grads.pop(key, None)  # nobody asks for it again: its memory is free
        elif through:
            g = grads.get(key)
        else:
            continue
        if g is None:
            continue
        if known.several:
            follow(g)
        if node.__class__ is Output:
            _add(grads.setdefault(id(parents[0]), {}), node.index, g)
            continue
        # By `map`, since a comprehension would be one more Python frame for each node.
        needs = tuple(map(useful.__contains__, map(id, parents)))
        if True in needs:
            node.needs = needs
            _hand_on(node, g, grads, create_graph)
    found = []
    for node in wanted:
        g = grads.get(id(node))
        if g is not None:
            found.append((node, g if type(g) in array_types else as_array(g)))
    return found


def _sums(starts: Sequence[tuple[Node, Any]]) -> dict[int, Any]:
    """The gradients to start from by the ids of their nodes, added up where one is there twice."""
    grads: dict[int, Any] = {}
    for node, g in starts:
        if known.several:
            follow(g)
        _add(grads, id(node), g)
    return grads


def _plan(
    roots: Sequence[Node], wanted: Sequence[Node] | None, through: bool
) -> tuple[list[Node], Sequence[Node], Collection[int]]:
    """The nodes to visit, latest first; the wanted ones; and the ids of all that lead to these."""
    if wanted is None:
        reached = _reached_from(roots, ())
        nodes = sorted(reached.values(), key=attrgetter("created"), reverse=True)
        return nodes, [node for node in nodes if not node.parents], reached
    reached = _reached_from(roots, () if through else set(map(id, wanted)))
    nodes = sorted(reached.values(), key=attrgetter("created"), reverse=True)
    return nodes, wanted, _leading_to(wanted, nodes)


def _leading_to(wanted: Sequence[Node], nodes: Sequence[Node]) -> set[int]:
    """The ids of the nodes that depend on a wanted node; `nodes` are given latest first."""
    useful = {id(node) for node in wanted}
    for node in reversed(nodes):
        if any(id(p) in useful for p in node.parents):
            useful.add(id(node))
    return useful


def _hand_on(node: Node, g: Array, grads: dict[int, Any], create_graph: bool) -> None:
    """Add to the gradients of a call's inputs what its rule makes of the gradient `g`."""
    parents = node.parents
    gxs = node.pullback(g, create_graph)
    if len(gxs) != len(parents):
        gxs = _without_left_out(gxs, node)
    for p, needed, gx in zip(parents, node.needs, gxs, strict=True):
        if not needed:
            continue
        if known.several:
            follow(gx)
        if create_graph or getattr(gx, "shape", None) != p.shape or gx.dtype is not p.dtype:
            gx = _fit(gx, p, node, create_graph)
        key = id(p)
        grads[key] = grads[key] + gx if key in grads else gx  # never in place: gx may be shared


def _without_left_out(gxs: Sequence[Any], node: Node) -> Sequence[Any]:
    """A rule's answers without the None for each input that the call has left out."""
    count = len(node.parents)
    if len(gxs) < count or any(gx is not None for gx in gxs[count:]):
        given = f"{len(gxs)} gradients for {count} inputs"
        raise GradientError(f"{name_of(node)}.backward gave {given}.")
    return gxs[:count]


def _add(sums: dict[Any, Any], key: Any, g: Array) -> None:
    """Add a gradient to the sum under a key; never in place, as `g` may be shared."""
    sums[key] = sums[key] + g if key in sums else g


@follows
def seed(y: Array, gy: Array) -> Any:
    """The gradient to start from: `gy`, found or made to fit `y`; 1 for a single number."""
    if type(gy) is type(y) and gy.shape == y.shape and gy.dtype == y.dtype:
        return gy
    xp = array_namespace(y)
    if gy is None and compat.size(y) != 1:
        raise GradientError(
            f"For a Variable of shape {tuple(y.shape)}, pass gy of that shape, the gradient to "
            "start from; or make one number of it first, say with F.sum."
        )
    if gy is None and has_dtype(y, "complex floating"):
        raise GradientError(
            "A complex number is not to be made small; pass gy=1.0 for the derivative of a "
            "holomorphic function, or make a real number of it first, say with F.abs."
        )
    if gy is None or isinstance(gy, (int, float)):
        return xp.full_like(y, 1 if gy is None else gy)
    if isinstance(gy, complex):
        gy = xp.full(y.shape, gy, dtype=xp.result_type(y, xp.complex64), device=compat.device(y))
    if isinstance(gy, (list, tuple)):
        gy = array_like(gy, y)
    array_namespace(y, gy)  # of one library, or an error
    if gy.shape != y.shape:
        raise ShapeError(f"Expected gy of shape {tuple(y.shape)}, got {tuple(gy.shape)}.")
    if has_dtype(gy, "complex floating") and not has_dtype(y, "complex floating"):
        raise GradientError(f"Expected a real gy, for a Variable of {y.dtype}, got {gy.dtype}.")
    return gy if gy.dtype == y.dtype else array_namespace(gy).astype(gy, y.dtype)


def _reached_from(roots: Sequence[Node], ends: Collection[int]) -> dict[int, Node]:
    """The roots and all that they came from, by identity; no way leads on from the `ends`."""
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


def edge(roots: Iterable[Node], start: int) -> list[Node]:
    """The first nodes, on the ways back from `roots`, that were created before `start`."""
    found, seen, stack = [], set(), list(roots)
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


def _fit(g: Array, node: Node, user: Node, create_graph: bool) -> Any:
    """Undo broadcasting and promotion: give `g`, from `user`, the shape and dtype of the node."""
    if g is None:
        raise GradientError(f"{name_of(user)} has no derivative by an input.")
    if getattr(g, "shape", None) != node.shape:
        g = _summed(g, node.shape, user)
    if create_graph and not isinstance(array_namespace(g), DifferentiableNamespace):
        name = name_of(user)
        raise GradientError(f"{name}.backward gave an array for a Variable: its graph is lost.")
    if g.dtype == node.dtype:
        return g
    xp = array_namespace(g)
    if has_dtype(g, "complex floating") and not xp.isdtype(node.dtype, "complex floating"):
        g = xp.real(g)  # a real number met complex ones: it has no imaginary part to move
    return g if g.dtype == node.dtype else xp.astype(g, node.dtype)


def _summed(g: Array, shape: tuple[int, ...], user: Node) -> Any:
    """`g` summed over the axes along which an array of that shape was repeated."""
    lead = getattr(g, "ndim", -1) - len(shape)
    if lead >= 0:
        rest = g.shape[lead:]
        if rest == shape:
            return total(g, tuple(range(lead)) if lead > 1 else 0)
        if all(n in (1, m) for n, m in zip(shape, rest, strict=True)):
            stretched = (i + lead for i, n in enumerate(shape) if n == 1)
            return array_namespace(g).reshape(total(g, (*range(lead), *stretched)), shape)
    given = f"of shape {tuple(g.shape)}" if hasattr(g, "shape") else f"{g!r}"
    raise GradientError(
        f"{name_of(user)}.backward gave the gradient {given} for an input of shape {tuple(shape)}."
    )
