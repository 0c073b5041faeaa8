"""Trees: nested dicts, lists and tuples, with arrays for leaves.

A model's parameters are seldom one array: `{"W": W, "b": b}` is a tree, and so is a list of these.
Tuples may be named. None has no leaves; anything else is one.

>>> leaves({"W": [1.0, 2.0], "b": None, "name": "first"})
[1.0, 2.0, 'first']
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from typing import Any

from xpnet.errors import ArgumentTypeError


def leaves(tree: Any) -> list[Any]:
    """The leaves of a tree, from left to right; dicts keep their own order."""
    return [leaf for _, leaf in matched(tree, tree)]


def rebuild(tree: Any, values: Iterable[Any]) -> Any:
    """A tree built like `tree`, with `values`, from left to right, for leaves.

    >>> rebuild({"W": [0, 0], "b": None}, [1, 2])
    {'W': [1, 2], 'b': None}
    """
    rest = iter(values)
    return _mapped(lambda _: next(rest), tree)


def map(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """A tree of f(leaf, ...), with the leaves of `tree` and of others that are built like it.

    Raises
    ------
    TypeError
        One of the others is built in another way; the message says where.

    Examples
    --------
    >>> parameters, slopes = {"w": 1.0, "b": 2.0}, {"b": 10.0, "w": 20.0}
    >>> map(lambda p, g: p - 0.1 * g, parameters, slopes)
    {'w': -1.0, 'b': 1.0}
    """
    if not rest:  # a loader's batch, in each step
        return _mapped(f, tree)
    columns = [[leaf for _, leaf in matched(tree, other)] for other in (tree, *rest)]
    return rebuild(tree, (f(*row) for row in zip(*columns, strict=True)))


def matched(model: Any, tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, what `tree` has there) for each leaf of `model`; TypeError if it has no such place.

    A path is what one would write behind the tree's name: "['W'][0]".
    """
    expected, given = _children(model), _children(tree)
    if expected is None:
        yield path, tree
    elif given is None or given.keys() != expected.keys():
        raise ArgumentTypeError(
            f"Expected a tree like {_shape_of(model, expected)}, got {_shape_of(tree, given)}"
            + (f", at {path}." if path else ".")
        )
    else:
        for key, child in expected.items():
            yield from matched(child, given[key], f"{path}[{key!r}]")


def _children(tree: Any) -> Mapping[Any, Any] | None:
    """What hangs on a branch, by key or place; None for a leaf."""
    if isinstance(tree, dict):
        return tree
    if isinstance(tree, (list, tuple)):
        return dict(enumerate(tree))
    return {} if tree is None else None


def _mapped(f: Callable[[Any], Any], tree: Any) -> Any:
    if tree is None:
        return None
    if isinstance(tree, dict):
        new = copy(tree)  # of a class of its own, perhaps
        new.update({key: _mapped(f, child) for key, child in tree.items()})
        return new
    if isinstance(tree, (list, tuple)):
        parts = [_mapped(f, child) for child in tree]
        if isinstance(tree, list):
            return parts
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return f(tree)


def _shape_of(tree: Any, children: Mapping[Any, Any] | None) -> str:
    kind = "None" if tree is None else type(tree).__name__
    return f"{kind} of {list(children)}" if children else kind
