"""The chain: elementwise operations that are computed together, number by number.

An operation named "chain" stands for several elementwise operations. Each of its inputs is read once
and each of its outputs is written once; what lies between need never be an array. So an executor that
compiles a chain (one loop in C, one kernel on a GPU) does with one pass over memory what the
operations do with one pass each.

    operation.name       "chain"
    operation.args       the inputs, Values: arrays of any source, and numbers of the host (dtype None)
    operation.options    {"chain": a Chain}
    operation.outputs    one Value for each of `chain.results`, all of shape `chain.shape`
    operation.function   computes it on the library's arrays, step by step: `run_chain`

A Chain is a small straight-line program over registers:

    registers 0 to len(inputs) - 1     the inputs: operation.args
    the next len(numbers)              Python numbers, the same at each run
    the others                         the result of a step each, in order

`multiply(x, 0.5)` and then `tanh` of it, of which both results are needed later:

    Chain(shape=(32, 10), inputs=(float32,), numbers=(0.5,),
          steps=(Step("multiply", (0, 1), float32), Step("tanh", (2,), float32)), results=(2, 3))

Rules that hold for every chain:

- Each step computes an array of shape `chain.shape`. The inputs broadcast to it by the rules of the
  standard: they have that shape, or fewer axes, or axes of length 1; often `()`, one number.
- A register is written once. A step reads only registers before its own.
- The result of a step has the dtype `step.dtype`, which the library chose by its promotion. A Python
  number, and an input of dtype None, takes the dtype of the array that it is combined with. Before a
  step computes, its operands are converted to their common dtype: for arithmetic that is
  `step.dtype`, for a comparison (whose result is bool) it is that of the operands.
- `ELEMENTWISE` below has the names of the steps, with what they compute where the standard does not
  say it. "astype" converts its only operand to `step.dtype`.
- No input shares memory with an output, unless an executor decides to compute in place: as every
  number depends only on the numbers at the same place, an output may take the memory of an input of
  the same shape and dtype.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from xpnet._typing import Array, DType

__all__ = ["ELEMENTWISE", "Chain", "Step", "run_chain"]

ELEMENTWISE: dict[str, int] = {
    # one operand
    **dict.fromkeys(
        ("abs", "acos", "acosh", "asin", "asinh", "astype", "atan", "atanh", "bitwise_invert"), 1
    ),
    **dict.fromkeys(
        ("ceil", "cos", "cosh", "erf", "exp", "expm1", "floor", "isfinite", "isinf"), 1
    ),
    **dict.fromkeys(("isnan", "log", "log10", "log1p", "log2", "logical_not", "negative"), 1),
    **dict.fromkeys(("reciprocal", "round", "sign", "signbit", "sin", "sinh", "sqrt"), 1),
    **dict.fromkeys(("square", "tan", "tanh", "trunc"), 1),
    # two operands
    **dict.fromkeys(("add", "atan2", "bitwise_and", "bitwise_left_shift", "bitwise_or"), 2),
    **dict.fromkeys(("bitwise_right_shift", "bitwise_xor", "copysign", "divide", "equal"), 2),
    **dict.fromkeys(("floor_divide", "greater", "greater_equal", "hypot", "less", "less_equal"), 2),
    **dict.fromkeys(("logaddexp", "logical_and", "logical_or", "logical_xor", "maximum"), 2),
    **dict.fromkeys(("minimum", "multiply", "nextafter", "not_equal", "pow", "remainder"), 2),
    "subtract": 2,
    "relu_gradient": 2,  # (gy, y): gy where y > 0, and +0 elsewhere
    "zero_unless": 2,  # (x, mask): x where the mask is True, and +0 elsewhere, also for NaN
    # recorded on CuPy only: kernels with the code in `xpnet.kernels.activation` and `masking`
    **dict.fromkeys(("gelu", "relu", "sigmoid", "silu", "tanh_gelu"), 1),
    **dict.fromkeys(("elu", "gelu_gradient", "leaky_relu", "sigmoid_gradient"), 2),
    **dict.fromkeys(("silu_gradient", "tanh_gelu_gradient", "tanh_gradient"), 2),
    **dict.fromkeys(("elu_gradient", "leaky_relu_gradient", "masked", "softplus"), 3),
    "softplus_gradient": 4,
    # three operands
    "clip": 3,  # (x, low, high): both bounds
    "where": 3,  # (condition, x, y)
}
"""How many operands each step has, by its name."""


@dataclass(frozen=True, slots=True)
class Step:
    """One elementwise operation of a chain.

    Attributes
    ----------
    name : str
        A key of `ELEMENTWISE`.
    registers : tuple of int
        The operands, in order.
    dtype : dtype
        Of the result.
    function : callable
        Computes it on arrays: function(*operands).
    where : str
        "file:line" of the user's code.
    """

    name: str
    registers: tuple[int, ...]
    dtype: DType
    function: Callable[..., Any] = field(compare=False, repr=False)
    where: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Chain:
    """Elementwise operations as a straight-line program: see this module.

    Attributes
    ----------
    shape : tuple of int
        Of each step's result.
    inputs : tuple of dtype or None
        The dtype of each input; None for a number of the host.
    numbers : tuple of int, float or bool
        Python numbers that the steps use.
    steps : tuple of Step
    results : tuple of int
        The registers that are outputs; each is the result of a step.
    """

    shape: tuple[int, ...]
    inputs: tuple[DType | None, ...]
    numbers: tuple[int | float | bool, ...]
    steps: tuple[Step, ...]
    results: tuple[int, ...]

    @property
    def key(self) -> tuple[Any, ...]:
        """Hashable, and equal for chains that do the same on any shape: 1, 1.0 and True differ."""
        dtypes = tuple(str(dtype) for dtype in self.inputs)
        steps = tuple((step.name, step.registers, str(step.dtype)) for step in self.steps)
        return dtypes, tuple(map(repr, self.numbers)), steps, self.results

    @property
    def first(self) -> int:
        """The register of the first step's result."""
        return len(self.inputs) + len(self.numbers)

    def __str__(self) -> str:
        """One line: "t2 = multiply(x0, 0.5); t3 = tanh(t2)"."""
        names = [f"x{i}" for i in range(len(self.inputs))]
        names += [repr(number) for number in self.numbers]
        parts = []
        for step in self.steps:
            operands = ", ".join(names[register] for register in step.registers)
            parts.append(f"t{len(names)} = {step.name}({operands})")
            names.append(f"t{len(names)}")
        return "; ".join(parts)


def run_chain(*inputs: Array | float, chain: Chain) -> Array | tuple[Array, ...]:
    """Compute a chain on the arrays of any library, step by step.

    Returns
    -------
    array or tuple of arrays
        One array if the chain has one result.
    """
    registers = [*inputs, *chain.numbers]
    for step in chain.steps:
        registers.append(step.function(*[registers[i] for i in step.registers]))
    if len(chain.results) == 1:
        return registers[chain.results[0]]
    return tuple(registers[i] for i in chain.results)
