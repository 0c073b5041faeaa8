"""Whether two recordings of a step agree: only then is it known what a replay has to do.

What differs between two calls with the same key was computed outside of the record: a number from a
counter, an array that was drawn. A replay would repeat it, so it is an error that names the line.
"""

from collections.abc import Callable
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from xpnet._printable import counted
from xpnet.compiler.record import Operation, Program, Value, leaves
from xpnet.compiler.recording import Recorder

__all__ = ["difference"]


def difference(
    a: Program, b: Program, a_numbers: Recorder, b_numbers: Recorder, trees: tuple[Any, Any]
) -> str | None:
    """What differs between two recordings of one step; None if they agree.

    Parameters
    ----------
    a, b : Program
    a_numbers, b_numbers : Recorder
        With the recipes of the numbers of the host.
    trees : tuple
        The results of both calls, and what they put into which places, with Values for arrays.

    Returns
    -------
    str or None
        A sentence with "file:line".
    """
    same = _Correspondence()
    for kind in ("arguments", "states"):
        same.add(getattr(a, kind), getattr(b, kind))
    found = _of_actions(a_numbers, b_numbers, same)
    if found is not None:
        return found
    for first, second in zip(a.operations, b.operations, strict=False):
        found = _of_operations(first, second, same)
        if found is not None:
            return found
    if len(a.operations) != len(b.operations):
        return _of_counts(a, b)
    if not same.trees(*trees):
        return (
            "The step returns or keeps something else in two calls, with the same arguments: a replay "
            "would repeat the first. If that is an array, create it with functions of xpnet."
        )
    for i, state in enumerate(b.states):
        x = a.updates.get(i)
        y = b.updates.get(i)
        if x is not y and (x is None or y is None or not same.values(x, y)):
            return (
                f"The step puts another array into {state.name} in each call, and not one that it "
                "computed from its arguments and state. Create it with functions of xpnet."
            )
    return None


class _Correspondence:
    """Which Value of one recording is which of the other."""

    def __init__(self) -> None:
        self.of: dict[Value, Value] = {}

    def add(self, xs: list[Value], ys: list[Value]) -> None:
        self.of.update(zip(xs, ys, strict=True))

    def values(self, x: Value, y: Value) -> bool:
        if x.source == "constant" and y.source == "constant":
            return x.array is y.array or _equal_scalars(x.array, y.array)
        return self.of.get(x) is y

    def trees(self, x: Any, y: Any) -> bool:
        """Whether two trees are the same, with corresponding Values in the same places."""
        if isinstance(x, Value) or isinstance(y, Value):
            return isinstance(x, Value) and isinstance(y, Value) and self.values(x, y)
        if type(x) is not type(y):
            return False
        if isinstance(x, (tuple, list)):
            return len(x) == len(y) and all(map(self.trees, x, y))
        if isinstance(x, dict):
            return [*x] == [*y] and all(self.trees(x[key], y[key]) for key in x)
        if isinstance(x, slice):
            return self.trees((x.start, x.stop, x.step), (y.start, y.stop, y.step))
        return _equal(x, y)


def _equal(x: Any, y: Any) -> bool:
    """Whether two leaves that are no arrays are the same; NaN is equal to NaN."""
    if x is y:
        return True
    try:
        return bool(x == y) or bool(x != x and y != y)  # noqa: PLR0124 - only NaN is not itself
    except Exception:  # noqa: BLE001 - of an object that compares in its own way
        return False


def _equal_scalars(x: Any, y: Any) -> bool:
    """Whether two of NumPy's scalars, which are new objects each time, have the same number."""
    if hasattr(x, "__array_interface__") and type(x) is type(y) and not hasattr(x, "__setitem__"):
        return x.dtype == y.dtype and _equal(x, y)
    return False


class _Sameness:
    """Whether functions are one, or were made by the same code from what is the same.

    Parameters
    ----------
    are_same : function of two objects that functions hold
        The object of a method, the arguments of a partial, the variables of a closure.
    """

    def __init__(self, are_same: Callable[[Any, Any], bool]) -> None:
        self._are_same = are_same
        self._seen: set[int] = set()  # a function may be a variable of its own closure

    def __call__(self, f: Any, g: Any) -> bool:
        if f is g or id(f) in self._seen:
            return True
        if type(f) is not type(g) or isinstance(f, CodeType):
            return False
        if isinstance(f, FunctionType):
            self._seen.add(id(f))
        if isinstance(f, _MADE):
            xs = _parts_of(f)
            ys = _parts_of(g)
            return len(xs) == len(ys) and all(map(self, xs, ys))
        return self._are_same(f, g)


def _have_same_numbers(x: Any, y: Any) -> bool:
    """Whether two objects that actions hold are the same if they are numbers or text.

    Others may be new ones in each call, such as the list of what an optimizer updates.
    """
    return type(x) not in (bool, int, float, complex, str, bytes) or _equal(x, y)


_MADE = (partial, MethodType, FunctionType, tuple)


def _parts_of(f: Any) -> tuple[Any, ...]:
    """What a function is made of, such as its code and the variables of its closure; a tuple itself."""
    if isinstance(f, partial):
        return f.func, f.args, tuple(f.keywords.items())
    if isinstance(f, MethodType):
        return f.__func__, f.__self__
    if isinstance(f, FunctionType):
        defaults = f.__defaults__, tuple((f.__kwdefaults__ or {}).items())
        return f.__code__, *defaults, *map(_content, f.__closure__ or ())
    return tuple(f)


def _content(cell: CellType) -> Any:
    """What a variable of a closure holds; None if it is not assigned yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _named(f: Any) -> str:
    """A function by its module and its name."""
    while isinstance(f, partial):
        f = f.func
    name = getattr(f, "__qualname__", None) or getattr(f, "__name__", None)
    if name is None:
        return f"a {type(f).__name__}"
    module = getattr(f, "__module__", None)
    return f"{module}.{name}" if module else str(name)


def _of_actions(a: Recorder, b: Recorder, same: _Correspondence) -> str | None:
    if len(a.actions) != len(b.actions):
        return (
            f"The step calls each_step {len(a.actions)} times in one call, and {len(b.actions)} "
            "times in the next one."
        )
    if len(a.hosts) == len(b.hosts):
        same.add(a.hosts, b.hosts)
    for x, y in zip(a.results, b.results, strict=True):
        if not same.trees(x, y):
            return (
                f"An action of each_step returns {_shown(x)} in one call, and {_shown(y)} in the next: "
                "only floats and arrays may differ."
            )
    for x, y in zip(a.recipes, b.recipes, strict=True):
        if x[0] != y[0] or x[1] != y[1] or not same.trees(x[2], y[2]):
            return "The step computes its numbers in two ways in two calls."
    for f, g in zip(a.actions, b.actions, strict=True):
        if not _Sameness(_have_same_numbers)(f, g):
            return (
                f"each_step is given {_named(f)} in one call, and {_named(g)} in the next, or a function "
                "that holds another number: a replay would call the first. Read what differs in the action."
            )
    return None


def _of_operations(a: Operation, b: Operation, same: _Correspondence) -> str | None:
    """What differs between two operations at the same place."""
    if a.name != b.name:
        return (
            f"{b.where}: the step computes {a.name!r} in one call, and {b.name!r} in the next, with "
            "the same arguments."
        )
    if not _Sameness(_equal)(a.function, b.function):
        return (
            f"{b.where}: {b.name} is {_named(a.function)} in one call, and {_named(b.function)} in the "
            "next, with the same arguments, or one that holds something else."
        )
    xs = [*leaves((a.args, a.options))]
    ys = [*leaves((b.args, b.options))]
    if not same.trees((a.args, a.options), (b.args, b.options)):
        for x, y in zip(xs, ys, strict=False):
            if not same.trees(x, y):
                return _of_leaves(a, b, x, y)
        return f"{b.where}: {a.name} has other arguments in two calls."
    if [_kind(x) for x in a.outputs] != [_kind(x) for x in b.outputs]:
        return f"{b.where}: {a.name} returns arrays of another shape or dtype in two calls."
    same.add(a.outputs, b.outputs)
    return None


def _of_leaves(a: Operation, b: Operation, x: Any, y: Any) -> str:
    """What differs between two arguments."""
    if isinstance(x, Value) and isinstance(y, Value):
        if y.source == "constant":
            return (
                f"{b.where}: {b.name} is given an array of shape {y.shape} that is another one in "
                "each call, and that the step did not compute from its arguments and state: a replay "
                "would repeat its numbers. Create it outside of the step, or with like=, as np.zeros(n, like=x); "
                "pass it as an argument; or "
                "create it in an action of xpnet.compiler.each_step."
            )
        return f"{b.where}: {b.name} is given other arrays in two calls."
    return (
        f"{b.where}: {b.name} is given {_shown(x)} in one call, and {_shown(y)} in the next: a replay "
        "would repeat the first. Pass the number as an argument of the step, as an array, or compute "
        "it in an action of xpnet.compiler.each_step."
    )


def _of_counts(a: Program, b: Program) -> str:
    longer = max(a, b, key=lambda program: len(program.operations))
    first = longer.operations[min(len(a.operations), len(b.operations))]
    return (
        f"{first.where}: the step has {counted(len(a.operations), 'operation')} in one call, and "
        f"{len(b.operations)} in the next, with the same arguments; the first that only one of them "
        f"has is {first.name!r}."
    )


def _kind(x: Value) -> tuple[Any, str]:
    return x.shape, str(x.dtype)


def _shown(x: Any) -> str:
    if isinstance(x, Value):
        return f"an array of shape {x.shape}" if x.dtype is not None else "a number"
    text = repr(x)
    return text if len(text) <= 60 else text[:57] + "..."
