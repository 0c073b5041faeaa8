"""Trees: nested dicts, lists and tuples whose leaves are arrays.

A model's parameters are rarely one array: `{"W": W, "b": b}` is a tree, and so is a list of such dicts.
Named tuples are trees too. None is a tree without leaves; anything else is a leaf.

>>> leaves({"W": [1.0, 2.0], "b": None, "name": "first"})
[1.0, 2.0, 'first']
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from copy import copy
from typing import Any, TypeAlias

from xpnet.errors import ArgumentTypeError

Leaf: TypeAlias = Any
Tree: TypeAlias = Any
"""A leaf, None, or a dict, list or tuple of trees."""


def leaves(tree: Tree) -> list[Leaf]:
    """The leaves of a tree, from left to right; dicts keep their own order."""
    return [leaf for _, leaf in matched(tree, tree)]


def rebuild(tree: Tree, values: Iterable[Leaf]) -> Tree:
    """A tree like `tree` with `values`, from left to right, for leaves.

    >>> rebuild({"W": [0, 0], "b": None}, [1, 2])
    {'W': [1, 2], 'b': None}
    """
    rest = iter(values)
    return _mapped(lambda _: next(rest), tree)


def map(f: Callable[..., Leaf], tree: Tree, *rest: Tree) -> Tree:
    """A tree of f(leaf, ...), with the leaves of `tree` and of other trees like it.

    Raises
    ------
    TypeError
        One of the others is another kind of tree; the message names the place.

    Examples
    --------
    >>> parameters, slopes = {"w": 1.0, "b": 2.0}, {"b": 10.0, "w": 20.0}
    >>> map(lambda p, g: p - 0.1 * g, parameters, slopes)
    {'w': -1.0, 'b': 1.0}
    """
    if not rest:  # the usual case, and fast: it runs for each batch of a loader
        return _mapped(f, tree)
    columns = [[leaf for _, leaf in matched(tree, other)] for other in (tree, *rest)]
    return rebuild(tree, (f(*row) for row in zip(*columns, strict=True)))


def matched(model: Tree, tree: Tree, path: str = "") -> Iterator[tuple[str, Tree]]:
    """(path, what `tree` has there) for each leaf of `model`.

    A path is what one would write after the tree's name: "['W'][0]".

    Raises
    ------
    ArgumentTypeError
        `tree` does not have the same keys, or is not nested in the same way.
    """
    expected = _children(model)
    if expected is None:
        yield path, tree
        return
    given = _children(tree)
    if given is None or given.keys() != expected.keys():
        where = f", at {path}." if path else "."
        raise ArgumentTypeError(
            f"Expected a tree like {_described(model, expected)}, got {_described(tree, given)}{where}"
        )
    for key, child in expected.items():
        yield from matched(child, given[key], f"{path}[{key!r}]")


def _children(tree: Tree) -> Mapping[Hashable, Tree] | None:
    """The parts of a tree by key or by place; None for a leaf."""
    if tree is None:  # a tree without parts
        return {}
    if isinstance(tree, dict):
        return tree
    if isinstance(tree, (list, tuple)):
        return dict(enumerate(tree))
    return None


def _mapped(f: Callable[[Leaf], Leaf], tree: Tree) -> Tree:
    """A tree of f(leaf)."""
    if tree is None:
        return None
    children = _children(tree)
    if children is not None:
        return with_parts(tree, {key: _mapped(f, child) for key, child in children.items()})
    return f(tree)


def with_parts(tree: Tree, parts: Mapping[Any, Tree]) -> Tree:
    """A dict, list or tuple like `tree` with other parts, which are given by their keys or places."""
    if isinstance(tree, dict):
        new = copy(tree)  # it may be of a subclass of dict
        new.update(parts)
        return new
    if isinstance(tree, list):
        return list(parts.values())
    if hasattr(tree, "_fields"):  # a named tuple
        return type(tree)(*parts.values())
    return tuple(parts.values())


def _described(tree: Tree, children: Mapping[Hashable, Tree] | None) -> str:
    """The type of a tree and its keys, for messages."""
    if tree is None:
        return "None"
    kind = type(tree).__name__
    return f"{kind} of {list(children)}" if children else kind
