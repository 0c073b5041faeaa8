"""Chains as CUDA code: one kernel for a chain, which computes each number of its outputs in registers.

Each step of a chain becomes a line, in the dtype of its result, with the code that CuPy's own function
or xpnet's kernel of that name has. A product and a sum are not contracted to one instruction: standard
functions give the same bits in a chain as one by one.
"""

import math
from typing import Any

import numpy as np

from xpnet._typing import DType
from xpnet.compiler.passes.chain import Chain, Step
from xpnet.kernels import activation, masking
from xpnet.kernels.cuda import WIDE, Elementwise
from xpnet.kernels.cuda_source import cupy

__all__ = ["OPTIONS", "chain_kernel", "has_code", "lines_of"]

OPTIONS = ("--fmad=false",)

TYPES = {  # the C type for each dtype, as CuPy's headers name it
    "bool": "bool",
    "float16": "float16",
    "float32": "float",
    "float64": "double",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long long",
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "uint32": "unsigned int",
    "uint64": "unsigned long long",
}

FLOATING = {  # of floating-point operands
    **{name: f"{name}({{0}})" for name in ("exp", "expm1", "log", "log10", "log1p", "log2")},
    **{name: f"{name}({{0}})" for name in ("cos", "cosh", "sin", "sinh", "tan", "tanh", "sqrt")},
    **{name: f"{name}({{0}})" for name in ("ceil", "floor", "trunc")},
    **{f"a{name}": f"a{name}({{0}})" for name in ("cos", "cosh", "sin", "sinh", "tan", "tanh")},
    "abs": "fabs({0})",
    "atan2": "atan2({0}, {1})",
    "copysign": "copysign({0}, {1})",
    "divide": "{0} / {1}",
    "hypot": "hypot({0}, {1})",
    "maximum": "({0} != {0} ? {0} : {1} != {1} ? {1} : max({0}, {1}))",
    "minimum": "({0} != {0} ? {0} : {1} != {1} ? {1} : min({0}, {1}))",
    "pow": "pow({0}, {1})",
    "reciprocal": "1 / {0}",
    "round": "rint({0})",
    "sign": "({0} != {0} ? {0} : A(({0} > 0) - ({0} < 0)))",
}
NUMERIC = {  # of floating-point operands and integers
    "add": "{0} + {1}",
    "clip": "({1} > {2} ? {2} : {0} < {1} ? {1} : {0} > {2} ? {2} : {0})",
    "multiply": "{0} * {1}",
    "negative": "-{0}",
    "square": "{0} * {0}",
    "subtract": "{0} - {1}",
}
INTEGER = {"bitwise_and": "{0} & {1}", "bitwise_or": "{0} | {1}", "bitwise_xor": "{0} ^ {1}"}
COMPARISONS = {  # the result is bool
    "equal": "{0} == {1}",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "not_equal": "{0} != {1}",
}
LOGICAL = {  # of booleans
    "logical_and": "{0} && {1}",
    "logical_not": "!{0}",
    "logical_or": "{0} || {1}",
    "logical_xor": "{0} != {1}",
    "bitwise_and": "{0} && {1}",
    "bitwise_invert": "!{0}",
    "bitwise_or": "{0} || {1}",
    "bitwise_xor": "{0} != {1}",
}
KERNELS: dict[str, Elementwise] = {  # xpnet's own, whose code sets y
    name: found.run  # type: ignore[misc]
    for name, found in (activation.KERNELS | masking.KERNELS).items()
}


def chain_kernel(chain: Chain) -> Any:
    """The kernel for a chain: a function of its inputs, which returns an array, or a tuple of them."""
    kernel = _built.get(chain.key)
    if kernel is None:
        inputs = [f"{'float64' if x is None else x} r{i}" for i, x in enumerate(chain.inputs)]
        outputs = [f"{_dtype_of(chain, register)} y{i}" for i, register in enumerate(chain.results)]
        stores = [f"y{i} = r{register};" for i, register in enumerate(chain.results)]
        kernel = _built[chain.key] = cupy().ElementwiseKernel(
            ", ".join(inputs),
            ", ".join(outputs),
            "\n".join([*lines_of(chain), *stores]),
            "xpnet_chain",
            preamble=WIDE,
            options=OPTIONS,
        )
    return kernel


_built: dict[Any, Any] = {}  # by the keys of chains: the same kernel for any shape


def has_code(step_name: str, operands: list[DType | None], result: DType) -> bool:
    """Whether a step with operands of these dtypes (None: a number) has CUDA code."""
    dtypes = [np.dtype(x) for x in operands if x is not None]
    if not dtypes or str(result) not in TYPES or any(str(x) not in TYPES for x in dtypes):
        return False
    common = np.result_type(*dtypes)
    if step_name == "astype":
        found = True
    elif step_name in ("where", "zero_unless"):
        found = dtypes[0 if step_name == "where" else -1] == np.bool_
    elif step_name in COMPARISONS:
        found = _is_exact(common, operands)
    elif step_name in KERNELS:
        found = common == result and common.kind == "f"
    else:
        found = common == result and step_name in _codes(common)
    return bool(found)


def _is_exact(common: DType, operands: list[DType | None]) -> bool:
    """Whether comparing in the common dtype of arrays is what the library does.

    It promotes booleans and integers that are compared with a number of another kind.
    """
    return common.kind == "f" or None not in operands


def _codes(dtype: DType) -> dict[str, str]:
    if dtype.kind == "f":
        return FLOATING | NUMERIC
    if dtype.kind == "b":
        return LOGICAL
    return NUMERIC | INTEGER


def lines_of(chain: Chain) -> list[str]:
    """A line of CUDA for each step; registers are r0, r1 and so on, the inputs of the chain first."""
    lines = [
        f"const {_number_type(x)} r{i} = {_literal(x)};"
        for i, x in enumerate(chain.numbers, len(chain.inputs))
    ]
    for i, step in enumerate(chain.steps, chain.first):
        lines.append(_line(chain, step, i))
    return lines


def _line(chain: Chain, step: Step, register: int) -> str:
    kind = TYPES[str(step.dtype)]
    operands = [f"r{i}" for i in step.registers]
    if step.name == "astype":
        return f"const {kind} r{register} = {_cast(kind, operands[0])};"
    if step.name in KERNELS:
        return _block(KERNELS[step.name], kind, operands, register)
    if step.name == "where":
        first, second = (_cast(kind, x) for x in operands[1:])
        return f"const {kind} r{register} = {operands[0]} ? {first} : {second};"
    if step.name == "zero_unless":
        return f"const {kind} r{register} = {operands[1]} ? {operands[0]} : ({kind})(0);"
    dtypes = [_dtype_of(chain, i) for i in step.registers]
    common = np.result_type(*[x for x in dtypes if x is not None])
    computed = "float" if common == np.float16 else TYPES[str(common)]
    code = COMPARISONS.get(step.name) or _codes(common)[step.name]
    numbers = [f"(({computed}){_cast(TYPES[str(common)], x)})" for x in operands]
    value = code.replace("A(", f"({computed})(").format(*numbers)
    return f"const {kind} r{register} = {_cast(kind, value)};"


def _cast(kind: str, value: str) -> str:
    """A conversion; of float16 to integers and booleans, by way of float."""
    return f"({kind})({value})"


def _block(function: Elementwise, kind: str, operands: list[str], register: int) -> str:
    """The code of a function, in a scope of its own."""
    lines = [f"typedef {kind} T;", "T y;"]
    for declaration, operand in zip(function.inputs.split(", "), operands, strict=True):
        type_of_input, name = declaration.split()
        type_of_input = "double" if type_of_input == "float64" else type_of_input
        lines.append(f"const {type_of_input} {name} = ({type_of_input})({operand});")
    code = " ".join(lines)
    return f"{kind} r{register}; {{ {code}\n{function.code}\nr{register} = y; }}"


def _dtype_of(chain: Chain, register: int) -> DType | None:
    """The dtype of a register; None for a number."""
    if register < len(chain.inputs):
        return chain.inputs[register]
    if register < chain.first:
        return None
    return chain.steps[register - chain.first].dtype


def _number_type(x: float) -> str:
    if isinstance(x, bool):
        return "bool"
    return "long long" if isinstance(x, int) else "double"


def _literal(x: float) -> str:
    """A number in C. NVRTC does not define INFINITY and NAN."""
    if isinstance(x, bool):
        return "true" if x else "false"
    if isinstance(x, int):
        return f"{x}LL" if x > -(2**63) else "(-9223372036854775807LL - 1)"
    if math.isnan(x):
        return "(double)__int_as_float(0x7fc00000)"
    if math.isinf(x):
        return f"{'-' if x < 0 else ''}(double)__int_as_float(0x7f800000)"
    return repr(x)
