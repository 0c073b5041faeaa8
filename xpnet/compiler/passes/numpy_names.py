"""NumPy's own functions and methods by the names of the standard: `np.sum(x)` and `x.sum()` are a "sum".

The C library knows operations by the standard's names. An operation is renamed where its arguments are
those that the function of the standard takes; its function stays as it was recorded.
"""

from collections.abc import Callable

from xpnet.compiler.passes.rewriting import Replacement, with_replacements
from xpnet.compiler.record import Operation, Program, Value

__all__ = ["with_names_of_the_standard"]

PREFIXES = ("linalg", "np", "x")
"""What stands before the name of a function of NumPy's, and of a method."""


def with_names_of_the_standard(program: Program) -> Program:
    """The program with the standard's names for functions and methods of NumPy."""
    renamed: dict[Operation, Replacement] = {}
    for operation in program.operations:
        prefix, _, name = operation.name.partition(".")
        if prefix in PREFIXES and name in FORMS and FORMS[name](operation):
            args, options = operation.args, operation.options
            renamed[operation] = Replacement(
                NAMES.get(name, name), operation.function, args, options, operation.outputs
            )
    return with_replacements(program, renamed)


def _takes_one(operation: Operation) -> bool:
    return len(operation.args) == 1 and not operation.options


def _takes_three(operation: Operation) -> bool:
    """clip(x, low, high) with both bounds, where(condition, x, y)."""
    return len(operation.args) == 3 and not operation.options


def _has_axis(operation: Operation) -> bool:
    """f(x, axis), f(x, axis=axis), perhaps with keepdims."""
    return len(operation.args) <= 2 and set(operation.options) <= {"axis", "keepdims"}


def _picks_rows(operation: Operation) -> bool:
    """take(x, indices, axis=0): without an axis it is another function."""
    return len(operation.args) == 2 and list(operation.options) == ["axis"]


def _converts(operation: Operation) -> bool:
    """astype(x, dtype), perhaps with copy."""
    return len(operation.args) <= 2 and set(operation.options) <= {"copy", "dtype"}


def _reshapes(operation: Operation) -> bool:
    """reshape(x, shape) and x.reshape(2, 3), without an order."""
    shape = operation.args[1:]
    if operation.name == "np.reshape":
        return len(shape) == 1 and not operation.options
    return not operation.options


def _multiplies(operation: Operation) -> bool:
    """The products of matrices and vectors: of other arrays, dot is another function."""
    axes = [len(x.shape) for x in operation.args if isinstance(x, Value)]
    return len(axes) == len(operation.args) == 2 and {*axes} <= {1, 2} and not operation.options


NAMES = {
    "amax": "max",
    "amin": "min",
    "concatenate": "concat",
    "copy": "asarray",
    "dot": "matmul",
    "flatten": "reshape",
    "norm": "linalg.vector_norm",
    "ravel": "reshape",
}
"""The standard's names of functions that have another one in NumPy."""

FORMS: dict[str, Callable[[Operation], bool]] = {
    **dict.fromkeys(("all", "amax", "amin", "any", "argmax", "argmin", "max", "mean"), _has_axis),
    **dict.fromkeys(("concatenate", "min", "prod", "stack", "sum"), _has_axis),
    **dict.fromkeys(("copy", "flatten", "norm", "ravel", "round"), _takes_one),
    **dict.fromkeys(("clip", "where"), _takes_three),
    **dict.fromkeys(("dot", "matmul"), _multiplies),
    "astype": _converts,
    "reshape": _reshapes,
    "take": _picks_rows,
}
"""For each name in NumPy, whether the arguments are those of the standard's function."""
