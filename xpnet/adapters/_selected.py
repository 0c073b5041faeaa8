"""Some leaves of a tree: taken out, and put back changed."""

from collections.abc import Callable, Iterable
from typing import Any

from xpnet.autodiff import tree
from xpnet.autodiff.tree import Leaf, Tree


def selected(whole: Tree, wanted: Callable[[Leaf], bool]) -> list[Leaf]:
    """The leaves that are wanted, from left to right."""
    return [leaf for leaf in tree.leaves(whole) if wanted(leaf)]


def replaced(whole: Tree, wanted: Callable[[Leaf], bool], values: Iterable[Any]) -> Tree:
    """The tree with values, from left to right, in place of the leaves that are wanted."""
    rest = iter(values)

    def new(leaf: Leaf) -> Leaf:
        return next(rest) if wanted(leaf) else leaf

    return tree.map(new, whole)
