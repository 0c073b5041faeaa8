"""The PyTorch executor: PyTorch's own functions, in place where an array is not needed any more.

Three things take time in a small step on PyTorch. The namespace of the standard wraps each function,
to promote dtypes as the standard says: where all dtypes are equal, PyTorch's function does the same. A
Python number is made a tensor in each call: here it is a tensor of no axes that is made once. And new
memory is fetched for each result: a result takes the memory of an operand that nobody reads later,
which for large parameters is the largest share of all.

The new value of a state is written over the old one wherever it is computed number by number from it.

On a GPU the operations are launched one by one: the step is not captured as a CUDA graph. A graph would
hold the numbers of the host, which are tensors on the CPU here, as they were when it was captured.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar

from xpnet._printable import counted
from xpnet._typing import Array
from xpnet.compiler.buffers import may_share, owners
from xpnet.compiler.executors.library import LibraryExecutor
from xpnet.compiler.passes.rewriting import Rewriting, readers
from xpnet.compiler.record import Operation, Program, Value

__all__ = ["TorchExecutor"]

IN_PLACE = {"add": "add_", "divide": "div_", "multiply": "mul_", "subtract": "sub_"}
"""PyTorch's methods that write the result over their first operand."""

COMMUTATIVE = ("add", "multiply")
BINARY = {"add": "add", "divide": "div", "multiply": "mul", "subtract": "sub"}
EXTREMES = {"maximum": "maximum", "minimum": "minimum"}
COMPARISONS = {
    "equal": "eq",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "not_equal": "ne",
}
UNARY = ("abs", "exp", "expm1", "log", "log1p", "negative", "sqrt", "square", "tanh")
TWO_OPERANDS = BINARY | EXTREMES | COMPARISONS


class TorchExecutor(LibraryExecutor):
    """Runs the program by PyTorch's functions, without the wrappers of a namespace.

    States that are written over have memory of their own, which nobody else has an array of. Where an
    array requires a gradient of PyTorch's own, the functions of the program run as they were recorded:
    PyTorch keeps operands for its derivatives, so they must not be written over.
    """

    name: ClassVar[str] = "torch"

    def __init__(self, program: Program) -> None:
        self._numbers: list[tuple[int, Any]] = []
        super().__init__(program)
        self._recorded = LibraryExecutor(program)
        self._memory: set[int] = set()  # the addresses of the states that are written over
        with _torch().inference_mode(False):  # the numbers can be changed inside and outside of it
            self._tensors = [
                _torch().zeros((), dtype=dtype, device="cpu") for _, dtype in self._numbers
            ]

    def prepared(self, program: Program) -> Program:
        """The program with PyTorch's functions, in place where they can be."""
        numbers = _Numbers(len(program.hosts))
        changed = _with_torch_functions(program, numbers)
        self._numbers = [(x.index, dtype) for x, dtype in numbers.hosts]
        changed, self._written = _with_results_in_place(changed)
        return replace(changed, hosts=[*program.hosts, *numbers.hosts.values()])

    def bind(self, states: Sequence[Array]) -> list[Array]:
        """Take over the state, with copies of the arrays that will be written over.

        Somebody else may hold the given ones: an earlier call may have returned them. They may also
        have elements that share memory, as `expand` makes them, or be of an `inference_mode`.
        """
        with _torch().inference_mode(False):
            own = [x.clone() if i in self._written else x for i, x in enumerate(states)]
        self._memory = {_address(own[i]) for i in self._written}
        return super().bind(own)

    def run(self, arguments: Sequence[Array], hosts: Sequence[Any]) -> list[Array]:
        """Run one step: see `Executor.run`."""
        if _torch().is_grad_enabled() and any(x.requires_grad for x in (*arguments, *self.states)):
            self._recorded.states = self.states
            return self._recorded.run(arguments, hosts)
        for (i, _), tensor in zip(self._numbers, self._tensors, strict=True):
            tensor.fill_(hosts[i])
        if any(_address(x) in self._memory for x in arguments):  # `step(layer.weight.data)`
            arguments = [x.clone() for x in arguments]
        return super().run(arguments, [*hosts, *self._tensors])

    def describe(self) -> list[str]:
        """Lines for `print(plan)`."""
        functions = [x.function for x in self.program.operations]
        count = sum(x in _in_place_functions().values() for x in functions)
        line = f"executor: torch ({counted(len(functions), 'operation')}, {count} of them in place)"
        return [line, *self.notes()]

    def notes(self) -> list[str]:
        """What PyTorch could do on a GPU, and is not used: see `Executor.notes`."""
        if not _torch().cuda.is_available():
            return []
        return ["graph: on a GPU, operations are launched one by one; no CUDA graph is captured"]


@cache
def _torch() -> ModuleType:
    return import_module("torch")


def _address(x: Array) -> int:
    """Where the memory begins that a tensor is a view of."""
    address: int = x.untyped_storage().data_ptr()
    return address


@cache
def _in_place_functions() -> dict[str, Callable[..., Array]]:
    tensor = _torch().Tensor
    return {name: getattr(tensor, method) for name, method in IN_PLACE.items()}


# --- PyTorch's functions ---------------------------------------------------------------------------


class _Numbers:
    """Tensors without axes for the numbers of a program: each number once for a dtype.

    Parameters
    ----------
    first : int
        How many host values the program has.

    Attributes
    ----------
    hosts : dict from (Value, dtype) to Value
        For a number of the host, another host value: the number as a tensor of this dtype.
    """

    def __init__(self, first: int) -> None:
        self.hosts: dict[tuple[Value, Any], Value] = {}
        self._first = first
        self._constants: dict[Any, Value] = {}

    def value(self, x: Value | float, dtype: Any) -> Value:
        """The value for a number.

        It is a tensor on the CPU: functions of arrays on any device take one that has no axes.
        """
        if isinstance(x, Value):
            index = self._first + len(self.hosts)
            return self.hosts.setdefault((x, dtype), Value((), dtype, "host", index))
        key = type(x), repr(x), dtype
        if key not in self._constants:
            array = _torch().tensor(x, dtype=dtype, device="cpu")
            self._constants[key] = Value((), dtype, "constant", array=array)
        return self._constants[key]


def _with_torch_functions(program: Program, numbers: _Numbers) -> Program:
    """The program with PyTorch's own functions for operations on arrays of one dtype."""
    rewriting = Rewriting(program)
    for operation in program.operations:
        copy = rewriting.copy(operation)
        found = _torch_form(copy, numbers)
        if found is not None:
            copy.function, copy.args = found
            copy.options = {}
    return rewriting.program()


def _torch_form(
    operation: Operation, numbers: _Numbers
) -> tuple[Callable[..., Array], tuple[Any, ...]] | None:
    """The function and the arguments that do the same; None to leave the operation as it is."""
    name = operation.name
    args = operation.args
    if name in ("sum", "max"):
        return _reduction(operation)
    if name == "matrix_transpose" and len(args) == 1:
        return _matrix_transposed, args
    if operation.options or len(args) != {"where": 3, **dict.fromkeys(UNARY, 1)}.get(name, 2):
        return None
    if name in UNARY:
        return (getattr(_torch(), name), args) if _is_float(args[0]) else None
    if name == "where":
        first = args[:1]
        operands = _of_one_dtype(args[1:], numbers) if _is_condition(args[0]) else None
    else:
        first = ()
        known = name in TWO_OPERANDS and not _is_reciprocal(operation)
        operands = _of_one_dtype(args, numbers) if known else None
    if operands is None:
        return None
    return getattr(_torch(), TWO_OPERANDS.get(name, name)), (*first, *operands)


def _is_reciprocal(operation: Operation) -> bool:
    """Whether it is `number / x`, which PyTorch computes as the reciprocal of x times the number."""
    x = operation.args[0]
    is_number = not isinstance(x, Value) or x.dtype is None
    return operation.function is operator.truediv and is_number


def _is_condition(x: Any) -> bool:
    """Whether x is an array of booleans."""
    return isinstance(x, Value) and "bool" in str(x.dtype)


def _is_float(x: Any) -> bool:
    """Whether x is an array in 32 or 64 bits."""
    return isinstance(x, Value) and str(x.dtype) in ("torch.float32", "torch.float64")


def _of_one_dtype(args: Sequence[Any], numbers: _Numbers) -> tuple[Value, ...] | None:
    """Arrays of one floating-point dtype, and numbers as arrays of it; None if dtypes differ."""
    arrays = [x for x in args if isinstance(x, Value) and x.dtype is not None]
    if len({x.dtype for x in arrays}) != 1 or not _is_float(arrays[0]):
        return None
    operands: list[Value] = []
    for x in args:
        if isinstance(x, Value) and x.dtype is not None:
            operands.append(x)
        elif isinstance(x, Value) or type(x) in (int, float):
            operands.append(numbers.value(x, arrays[0].dtype))
        else:
            return None
    return tuple(operands)


def _reduction(
    operation: Operation,
) -> tuple[Callable[..., Array], tuple[Any, ...]] | None:
    x = operation.args[0]
    options = dict(operation.options)
    axis = options.pop("axis", None)
    keepdims = options.pop("keepdims", False)
    if options or len(operation.args) != 1 or not _is_float(x):
        return None
    if operation.outputs[0].dtype != x.dtype or x.shape == ():
        return None
    if axis is None or axis == ():  # without axes PyTorch's functions reduce all of them
        return None
    function = _torch().sum if operation.name == "sum" else _torch().amax
    return function, (x, axis, keepdims)


def _matrix_transposed(x: Array) -> Array:
    return x.mT


# --- results in place ------------------------------------------------------------------------------


def _with_results_in_place(program: Program) -> tuple[Program, set[int]]:
    """The program with functions that write a result over an operand that nobody reads later.

    Returns the indices of the states that are written over, too.
    """
    last = {x: i for i, operation in enumerate(program.operations) for x in operation.inputs()}
    over = _written_over(program, last)
    free = _free(program) | over
    operations = []
    for i, operation in enumerate(program.operations):
        now_free = {x for x in operation.inputs() if x in free and last[x] == i}
        place = _place(operation, now_free & over)
        if place is None:
            place = _place(operation, now_free)
        operations.append(operation if place is None else _in_place(operation, place))
    written = {i for i, state in enumerate(program.states) if state in free}
    return replace(program, operations=operations), written


def _free(program: Program) -> set[Value]:
    """The values that have memory of their own, and of which nobody has a view."""
    kept = {*program.outputs, *program.updates.values()}
    read = readers(program)
    return {
        x
        for operation in program.operations
        for x in operation.outputs
        if not may_share(operation)
        and x not in kept
        and not any(may_share(reader) for reader in read.get(x, []))
    }


def _written_over(program: Program, last: dict[Value, int]) -> set[Value]:
    """The states whose new values are written over them, and the values in between.

    Not those in whose places the step puts new arrays: somebody may hold the old ones.
    """
    held = _held(program)
    found: set[Value] = set()
    for i, new in program.updates.items():
        if program.states[i].rebound:
            continue
        path = _path(program, program.states[i], new, last)
        if path[-1] is new and held.isdisjoint(path):
            found.update(path[:-1])
    return found


def _held(program: Program) -> set[Value]:
    """The outputs, and the values that may share memory with a result of the step other than themselves."""
    held = {*program.outputs}
    for x in (*program.outputs, *program.updates.values()):
        held |= owners(x) - {x}
    return held


def _path(program: Program, state: Value, new: Value, last: dict[Value, int]) -> list[Value]:
    """A state, and the values that can be written over it one after the other, until its new value."""
    path = [state]
    views = _last_views(program, last)
    while path[-1] is not new:
        x = path[-1]
        i = last.get(x)
        if i is None or views.get(x, -1) >= i:
            return path
        operation = program.operations[i]
        place = _place(operation, {x})
        if place is None:
            return path
        path.append(operation.outputs[0])
    return path


def _last_views(program: Program, last: dict[Value, int]) -> dict[Value, int]:
    """For each value with views, the last operation that reads one of them."""
    found: dict[Value, int] = {}
    for operation in reversed(program.operations):
        if not may_share(operation):
            continue
        for y in operation.outputs:
            end = max(last.get(y, -1), found.get(y, -1))
            for x in operation.inputs():
                found[x] = max(found.get(x, -1), end)
    return found


def _place(operation: Operation, free: set[Value]) -> int | None:
    """Which operand of an operation its result can be written over; None if there is none."""
    if operation.name not in IN_PLACE or operation.options or len(operation.args) != 2:
        return None
    y = operation.outputs[0]
    for n in (0, 1) if operation.name in COMMUTATIVE else (0,):
        x = operation.args[n]
        if isinstance(x, Value) and (x.shape, x.dtype) == (y.shape, y.dtype) and x in free:
            return n
    return None


def _in_place(operation: Operation, place: int) -> Operation:
    """The operation that writes its result over an operand."""
    args = operation.args if place == 0 else operation.args[::-1]
    function = _in_place_functions()[operation.name]
    return replace(operation, function=function, args=args)
