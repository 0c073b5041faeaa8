"""The JAX executor: the whole step is one function, which XLA compiles.

Eager JAX compiles each operation and starts it on its own. `jax.jit` traces the program once, and XLA
merges what it can. Host numbers are arguments of weak type, like any Python number in JAX: they take
the dtype of the array that they are combined with, and another number does not compile anew.

No argument is donated. XLA could then write the new state into the memory of the old one, but somebody
else may hold the old array (`before = layer.weight.data`), which JAX would make unusable.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any, ClassVar

from xpnet._typing import Array, DType
from xpnet.compiler.executors.library import LibraryExecutor
from xpnet.compiler.record import Operation, Program, Value
from xpnet.errors import CompileError
from xpnet.kernels.window import Window

__all__ = ["JAXExecutor"]


class JAXExecutor(LibraryExecutor):
    """Runs the program as one compiled function of arguments, state and host values."""

    name: ClassVar[str] = "jax"

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self._eager = self._step
        self._step = import_module("jax").jit(self._eager)
        self._scan = import_module("jax").jit(
            partial(_scanned, self._eager, self._updated), static_argnames="length"
        )
        self._float = _only_float(program)

    def prepared(self, program: Program) -> Program:
        """The program with XLA's own functions where they are faster."""
        return _with_own_functions(program)

    @property
    def source(self) -> str:
        """The Python code that JAX traces."""
        source: str = self._eager.source  # type: ignore[attr-defined]
        return source

    def _replace(self, updates: Sequence[Array]) -> None:
        """Store the new values of the states; none that stand for arrays in a trace of JAX's."""
        if any(isinstance(x, import_module("jax").core.Tracer) for x in updates):
            raise CompileError(
                "The step changes arrays, but it is traced, by jax.jit for example: the changes would "
                "have no numbers. Call the compiled function itself; it runs the step by jax.jit already."
            )
        super()._replace(updates)

    def run_steps(self, arguments: Sequence[Array], hosts: Sequence[Sequence[Any]]) -> list[Array]:
        """Run several steps in one call, by `jax.lax.scan`: see `Executor.run_steps`.

        A scan compares the state's types before and after a step, and it has no host numbers of weak
        type. So if the program has host numbers, and arrays of several floating-point dtypes, its
        steps run one by one.
        """
        if self._float is None and any(x.dtype is None for x in self.program.hosts):
            return super().run_steps(arguments, hosts)
        stacked = [self._stacked(i, [row[i] for row in hosts]) for i in range(len(hosts[0]))]
        outputs, states = self._scan(arguments, self.states, stacked, length=len(hosts))
        self._replace([states[i] for i in self._updated])
        return list(outputs)

    def _stacked(self, i: int, values: list[Any]) -> Array:
        """The values of a host value in each of the steps."""
        jnp = import_module("jax.numpy")
        if self.program.hosts[i].dtype is None:
            return jnp.asarray(values, dtype=self._float)
        return jnp.stack(values)

    def describe(self) -> list[str]:
        """Lines for `print(plan)`."""
        return ["executor: jax (the step is one function, compiled by XLA)"]


def _scanned(
    step: Any,
    updated: list[int],
    arguments: Sequence[Array],
    states: list[Array],
    hosts: list[Array],
    length: int,
) -> tuple[list[Array], list[Array]]:
    """The outputs of `length` steps, stacked, and the states after them."""

    def body(states: list[Array], now: Any) -> tuple[list[Array], list[Array]]:
        outputs, updates = step(now[0], states, now[1])
        after = list(states)
        for i, x in zip(updated, updates, strict=True):
            after[i] = x
        return after, outputs

    steps = list(arguments), hosts
    after, outputs = import_module("jax").lax.scan(body, states, steps, length=length)
    return outputs, after


# --- XLA's own functions ----------------------------------------------------------------------------


def _with_own_functions(program: Program) -> Program:
    """The program with other functions for what XLA computes faster in another way."""
    operations = []
    for operation in program.operations:
        function = operation.function
        if operation.name in OWN and _has_own(operation):
            function = OWN[operation.name]
        operations.append(replace(operation, function=function))
    return replace(program, operations=operations)


def _has_own(operation: Operation) -> bool:
    """Whether XLA's own function can do what an operation with a window does.

    Where there is so much padding that a place meets nothing else, XLA (0.10, on the CPU) reads outside
    of its arrays.
    """
    if str(operation.outputs[0].dtype) not in ("float32", "float64"):
        return False
    (window,) = (x for x in operation.args if isinstance(x, Window))
    pairs = zip(window.reach, _padding(window), strict=True)
    return all(0 <= before < reach and after < reach for reach, (before, after) in pairs)


def _weigh(x: Array, gy: Array, window: Window, groups: int) -> Array:
    """The gradient of a convolution with respect to its weights: see `xpnet.functions._windows.weigh`."""
    jax = import_module("jax")
    shape = (gy.shape[1], x.shape[1] // groups, *window.kernel)
    weights = jax.ShapeDtypeStruct(shape, x.dtype)
    (gW,) = jax.linear_transpose(lambda W: _convolved(x, W, window, groups), weights)(gy)
    return gW


def _spread(gy: Array, W: Array, b: Array | None, window: Window, groups: int) -> Array:
    """The gradient of a convolution with respect to its input: see `xpnet.functions._windows.spread`."""
    jax = import_module("jax")
    shape = (gy.shape[0], W.shape[1] * groups, *window.size)
    images = jax.ShapeDtypeStruct(shape, gy.dtype)
    (gx,) = jax.linear_transpose(lambda x: _convolved(x, W, window, groups), images)(gy)
    if b is None:
        return gx
    return gx + b.reshape(-1, *[1] * len(window.size))


def _convolved(x: Array, W: Array, window: Window, groups: int) -> Array:
    """`xpnet.functions._windows.correlate` without a bias, by XLA's own operation."""
    padding = _padding(window)
    met = [slice(0, n + min(after, 0)) for n, (_, after) in zip(window.size, padding, strict=True)]
    return import_module("jax").lax.conv_general_dilated(
        x[(..., *met)],
        W,
        window.stride,
        [(before, max(after, 0)) for before, after in padding],
        rhs_dilation=window.dilation,
        feature_group_count=groups,
    )


def _padding(window: Window) -> list[tuple[int, int]]:
    """The padding with which exactly the places of the window fit; negative where they need less."""
    axes = zip(window.padding, window.out, window.stride, window.reach, window.size, strict=True)
    return [
        (before, (places - 1) * stride + reach - size - before)
        for (before, _), places, stride, reach, size in axes
    ]


OWN: dict[str, Callable[..., Array]] = {"spread": _spread, "weigh": _weigh}
"""By the name of an operation: XLA's own functions, for float32 and float64.

With them a step of LeNet takes half the time, and two thirds of that of a step written in JAX alone. The
convolution itself stays portable, a product of two matrices: XLA's own takes longer, most of all for
images of one channel. So does its pooling.
"""


def _only_float(program: Program) -> DType | None:
    """The one floating-point dtype of all arrays in a program, of 32 or 64 bits; None if there is none."""
    values: list[Value] = [*program.arguments, *program.states, *program.hosts]
    for operation in program.operations:
        values += [*operation.inputs(), *operation.outputs]
    jnp = import_module("jax.numpy")
    dtypes = {jnp.dtype(x.dtype) for x in values if x.dtype is not None}
    floats = {dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.inexact)}
    found = floats.pop() if len(floats) == 1 else None
    return found if found in (jnp.dtype("float32"), jnp.dtype("float64")) else None
