"""What a recorded step consists of: values, and the operations that compute them.

    Value       an array of the step, known by its shape and dtype; or a number of the host
    Operation   one call: a function of the standard ("add", "matmul"), or a kernel ("cross_entropy")
    Program     a step: its inputs, its operations in order, its results, and the new state

An operation is pure: it computes new values and changes none. `p -= lr * g` is recorded as a product, a
difference, and the fact that the state p has a new value. So the order of operations matters only as far
as values are needed; an executor decides which results share memory, and updates state in place.

One operation computes nothing: "hand_over", which lets a function of Python have arrays of the step while
it goes on, as `xpnet._each_step.hand_over` says. It has no outputs, and is done for what it does.

All executors are given a Program. What an operation means is defined by its `function`, which computes
it on arrays of the library of the recording; an executor may know its name, and do it in another way.
"""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Literal

from xpnet._typing import Array, DType

__all__ = ["Operation", "Program", "Value", "alike", "leaves", "replaced"]

Source = Literal["argument", "state", "host", "constant", "operation"]


@dataclass(eq=False, slots=True)
class Value:
    """An array of a step, or a number of the host.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype of the library, or None
        None: a Python float that is computed at each step, such as a learning rate. Like any Python
        number it takes the dtype of the array that it is combined with.
    source : str
        "argument": an argument of the step. "state": an array that the step can reach and may
        change: a parameter, a buffer, a moment of an optimizer. "host": computed in Python at each
        step, see `each_step`. "constant": the same in all steps. "operation": computed.
    index : int
        Which argument, state or host value it is; which of the operation's outputs.
    array : array or None
        A constant's.
    name : str
        What a reader would call it: "model.layers.0.weight", "x".
    operation : Operation or None
        What computes it.
    fixed : bool
        Whether it is a state whose array stays where it is, because it is in a tuple.
    rebound : bool
        Whether it is a state in whose places the step puts another array. The old one keeps its numbers, for
        those who hold it; they see the new numbers of one that the step changes in place.
    """

    shape: tuple[int, ...]
    dtype: DType | None
    source: Source
    index: int = 0
    array: Array | None = None
    name: str = ""
    operation: "Operation | None" = field(default=None, repr=False)  # a repr of all before it
    fixed: bool = False
    rebound: bool = False


@dataclass(eq=False, slots=True)
class Operation:
    """One call of a function of arrays.

    Attributes
    ----------
    name : str
        The standard's name of the function ("add", "take", "linalg.inv"), "getitem", "set_item", or
        the name of a kernel: see `xpnet.kernels`, where names and arguments are documented.
    function : callable
        Computes it on the library's own arrays: function(*args, **options).
    args : tuple
        Values, Python numbers, None, dtypes, slices, and (nested) tuples, lists and dicts of these.
    options : dict
        The keyword arguments, likewise.
    outputs : list of Value
        The arrays of the result in the order of `leaves`.
    result : Any
        The result as the function returns it, with Values for arrays: one Value for most functions.
    where : str
        "file:line" of the user's code that made the call.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    outputs: list[Value] = field(default_factory=list)
    result: Any = None
    where: str = ""

    def inputs(self) -> list[Value]:
        """The Values among its arguments, in order; one that occurs twice is listed twice."""
        found: list[Value] = []
        _add_values(self.args, found)
        if self.options:
            _add_values(self.options, found)
        return found


@dataclass(eq=False, slots=True)
class Program:
    """A step as a list of operations.

    Attributes
    ----------
    arguments, states, hosts : list of Value
        The inputs. A Value's `index` is its place in its list.
    operations : list of Operation
        In an order in which each value is computed before it is used.
    outputs : list of Value
        What the step returns; they may be inputs or constants too.
    updates : dict from int to Value
        The new values of the states that the step changes, by the index of the state.
    """

    arguments: list[Value]
    states: list[Value]
    hosts: list[Value]
    operations: list[Operation]
    outputs: list[Value]
    updates: dict[int, Value]


def _add_values(tree: Any, found: list[Value]) -> None:
    """Append the Values among the leaves of a tree; passes do so for each operation, many times."""
    if isinstance(tree, Value):
        found.append(tree)
    elif isinstance(tree, (tuple, list)):
        for x in tree:
            _add_values(x, found)
    elif isinstance(tree, dict):
        for x in tree.values():
            _add_values(x, found)
    elif isinstance(tree, slice):
        _add_values((tree.start, tree.stop, tree.step), found)


def leaves(tree: Any) -> Iterator[Any]:
    """What is in nested tuples, lists, dicts and slices, in order."""
    found: list[Any] = []
    _collect(tree, found)
    return iter(found)


_TREES = (tuple, list, dict, slice)


def _collect(tree: Any, found: list[Any]) -> None:
    """Add the leaves of a tree to a list: in half the time that nested generators take."""
    if not isinstance(tree, _TREES):
        found.append(tree)
    elif isinstance(tree, dict):
        for x in tree.values():
            _collect(x, found)
    elif isinstance(tree, slice):
        found += (tree.start, tree.stop, tree.step)
    else:
        for x in tree:
            _collect(x, found)


def replaced(tree: Any, new: Callable[[Any], Any]) -> Any:
    """The same tree with new(x) for each leaf x."""
    if not isinstance(tree, _TREES):
        return new(tree)
    if isinstance(tree, dict):
        return alike(tree, {name: replaced(x, new) for name, x in tree.items()})
    if isinstance(tree, slice):
        return slice(new(tree.start), new(tree.stop), new(tree.step))
    parts = [replaced(x, new) for x in tree]
    if hasattr(tree, "_fields"):  # a named tuple
        return type(tree)(*parts)
    return parts if type(tree) is list else type(tree)(parts)


def alike(tree: dict[Any, Any], items: dict[Any, Any]) -> dict[Any, Any]:
    """A dict of the class of `tree`, with its attributes, such as a factory, and with these items."""
    if type(tree) is dict:
        return items
    made = copy(tree)
    dict.update(made, items)  # a class may store items in a way of its own
    return made
