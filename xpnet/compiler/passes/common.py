"""Common subexpressions: what is computed twice is computed once.

Operations are pure. Two with the same function, on the same values and with the same options, have the
same results. The name alone does not decide: functions of several modules may have one name.
"""

from typing import Any

from xpnet.compiler.passes.rewriting import Rewriting
from xpnet.compiler.record import Operation, Program, Value

__all__ = ["without_repetitions"]


def without_repetitions(program: Program) -> Program:
    """The first of equal operations; the results of the others are its results."""
    rewriting = Rewriting(program)
    first: dict[Any, Operation] = {}
    for operation in program.operations:
        if not operation.outputs:  # it is done for what it does
            rewriting.keep(operation)
            continue
        args = _key((operation.args, operation.options), rewriting)
        key = operation.name, _leaf_key(operation.function), args
        earlier = first.get(key)
        if earlier is None:
            first[key] = rewriting.keep(operation)
            continue
        for old, new in zip(operation.outputs, earlier.outputs, strict=True):
            rewriting.replace(old, new)
    return rewriting.program()


def _key(tree: Any, rewriting: Rewriting) -> Any:
    """A hashable key of arguments; equal for equal ones only.

    To Python 1, 1.0 and True are equal, and so are 0.0 and -0.0; to an operation they are not.
    """
    if isinstance(tree, Value):
        value = rewriting.value(tree)
        if value.source == "constant":
            return ("constant", id(value.array))
        return id(value)
    if isinstance(tree, (tuple, list)):
        return (type(tree), *(_key(x, rewriting) for x in tree))
    if isinstance(tree, dict):
        return tuple((name, _key(tree[name], rewriting)) for name in sorted(tree))
    if isinstance(tree, slice):
        return ("slice", _key((tree.start, tree.stop, tree.step), rewriting))
    return _leaf_key(tree)


def _leaf_key(x: Any) -> Any:
    """A hashable key of an argument that is not an array."""
    if x is None or isinstance(x, (bool, int, float, complex, str)):
        return (type(x), repr(x))
    try:
        hash(x)
    except TypeError:
        return ("object", id(x))
    return (type(x), x)  # a dtype, a device, the window of a convolution
