"""Kernels that compute a chain over the rows of a matrix, and more in the same launch.

`Columns`: a chain, and the sums of the columns of its results: the gradient of an activation and that
of the bias before it. One of its inputs may be a product with few terms, such as that of a gradient by
the scores with the weights of the last layer: a launch of cuBLAS for ten terms takes longer.

`Head`: the end of a classifier. The scores, by a chain that adds a bias, their cross entropy, its
gradient with respect to the scores, and the sums of that gradient's columns.

Sizes of the matrix are arguments of the kernels, so batches of different sizes share a kernel.
"""

from collections.abc import Sequence
from copy import copy
from functools import cache
from importlib import resources
from math import prod
from typing import Any, Literal, NamedTuple, Self

from xpnet._typing import Array, DType
from xpnet.compiler.executors.cuda.chain import OPTIONS, TYPES, lines_of
from xpnet.compiler.passes.chain import Chain
from xpnet.kernels.column_sums import geometry
from xpnet.kernels.cuda import WIDE
from xpnet.kernels.cuda_source import cupy

__all__ = ["MOST_CLASSES", "MOST_SCORES", "MOST_TERMS", "Columns", "Head", "Input", "input_kind"]

MOST_CLASSES = 32  # of a head: a thread keeps the scores of its row
MOST_SCORES = 1 << 16  # of a head, which has one block
MOST_TERMS = 32  # of a product within a kernel
THREADS = 1024  # per block, at most

Kind = Literal["all", "row", "column", "one", "number", "cell", "product"]
"""How an input lies along the matrix: a number for each place, for each column, for each row, one for
all, or a number of the host, by value or in a cell of the device's memory; "product": the product of two
matrices, (rows, terms) and (columns, terms)."""


class Input(NamedTuple):
    """An input of a chain over a matrix."""

    kind: Kind
    dtype: str  # "" for a number of the host


def input_kind(shape: tuple[int, ...], matrix: tuple[int, ...]) -> Kind | None:
    """How an array of some shape lies along a matrix, or a stack whose last axis has the columns.

    None if a kernel over matrices cannot read it.
    """
    if shape == matrix:
        return "all"
    if prod(shape) == 1:
        return "one"
    if shape[-1] == matrix[-1] and prod(shape) == matrix[-1]:
        return "row"
    if len(shape) == len(matrix) and shape[-1] == 1 and shape[:-1] == matrix[:-1]:
        return "column"
    return None


PLACES: dict[Kind, str] = {"all": "i", "row": "column", "column": "row", "one": "0"}


class _Code(NamedTuple):
    """Parts of a kernel's source for a chain."""

    parameters: list[str]
    load: str
    chain: str


def _code(chain: Chain, inputs: Sequence[Input]) -> _Code:
    parameters = []
    load = []
    for n, (kind, dtype) in enumerate(inputs):
        if kind == "number":
            parameters.append(f"const double x{n}")
            load.append(f"const double r{n} = x{n};")
        elif kind == "cell":
            parameters.append(f"const double* x{n}")
            load.append(f"const double r{n} = *x{n};")
        elif kind == "product":
            parameters += [f"const T* x{n}", f"const T* w{n}", f"const long long terms{n}"]
            load.append(
                f"A r{n} = 0; for (long long k = 0; k < terms{n}; ++k) "
                f"r{n} += x{n}[row * terms{n} + k] * w{n}[column * terms{n} + k];"
            )
        else:
            parameters.append(f"const {TYPES[dtype]}* x{n}")
            load.append(f"const {TYPES[dtype]} r{n} = x{n}[{PLACES[kind]}];")
    return _Code(parameters, " ".join(load), "\n".join(lines_of(chain)))


def _defined(definitions: dict[str, str]) -> str:
    """Lines of `#define`; a definition of several lines becomes one."""
    lines = []
    for name, value in definitions.items():
        lines.append(f"#define {name} {' '.join(_without_comments(value).split())}")
    return "\n".join(lines)


def _without_comments(code: str) -> str:
    return "\n".join(line.split("//")[0] for line in code.splitlines())


@cache
def _source(file: str) -> str:
    return (resources.files("xpnet.compiler.executors.cuda") / file).read_text("utf-8")


_built: dict[Any, Any] = {}  # by the code before a file, and the file


def _function(dtype: DType, definitions: dict[str, str], file: str, name: str) -> Any:
    kind = TYPES[str(dtype)]
    head = f"typedef {kind} T;\ntypedef {kind} A;\n{WIDE}\n{_defined(definitions)}\n"
    code = head + _source(file)
    found = _built.get(code)
    if found is None:
        module = cupy().RawModule(code=code, options=OPTIONS)
        found = _built[code] = module.get_function(name)
    return found


class _OverMatrix:
    """What both kernels have in common."""

    def __init__(self, chain: Chain, inputs: Sequence[Input], dtype: DType) -> None:
        self.chain = chain
        self.inputs = tuple(inputs)
        self.dtype = dtype
        self.columns = chain.shape[-1]
        self.rows = prod(chain.shape[:-1])
        self._run: Any = None

    def from_memory(self) -> Self:
        """The same, with the numbers of the host as arrays of no axes: a CUDA graph reads them anew."""
        other = copy(self)
        other.inputs = tuple(
            Input("cell", "") if kind == "number" else Input(kind, dtype)
            for kind, dtype in self.inputs
        )
        other._run = None  # noqa: SLF001 - of this class
        return other

    def _arguments(self, args: Sequence[Any]) -> list[Any]:
        """The inputs as arguments of a launch: contiguous, and a product as two arrays and a number."""
        contiguous = cupy().ascontiguousarray
        remaining = iter(args)
        arguments: list[Any] = []
        for kind, _ in self.inputs:
            x = next(remaining)
            if kind == "number":
                arguments.append(float(x))
                continue
            if kind == "cell":
                arguments.append(x)
                continue
            arguments.append(contiguous(x))
            if kind == "product":
                arguments += [contiguous(next(remaining)), x.shape[-1]]
        return arguments


class Columns(_OverMatrix):
    """A chain, and the sums of the columns of some of its results.

    Parameters
    ----------
    chain : Chain
    inputs : sequence of Input
        One for each input of the chain.
    sums : tuple of int
        The registers whose columns are added up.
    dtype : dtype
        float32 or float64: of the sums.
    """

    def __init__(
        self, chain: Chain, inputs: Sequence[Input], sums: tuple[int, ...], dtype: DType
    ) -> None:
        super().__init__(chain, inputs, dtype)
        self.sums = sums
        steps = chain.steps
        self._outputs = [steps[i - chain.first].dtype for i in chain.results]

    def __call__(self, *args: Any) -> tuple[Array, ...]:
        """The results of the chain, then the sums.

        Parameters
        ----------
        *args : arrays and numbers
            The inputs; two matrices for a product.
        """
        new = cupy().ndarray
        outputs = [new(self.chain.shape, dtype) for dtype in self._outputs]
        sums = [new((self.columns,), self.dtype) for _ in self.sums]
        grid, block, tile = geometry(self.rows, self.columns)
        if self.columns:
            arguments = [*self._arguments(args), *outputs, *sums, self.rows, self.columns, tile]
            self._kernel()(grid, block, tuple(arguments))
        return (*outputs, *sums)

    def _kernel(self) -> Any:
        if self._run is None:
            code = _code(self.chain, self.inputs)
            results = self.chain.results
            outputs = [f"{TYPES[str(x)]}* y{k}" for k, x in enumerate(self._outputs)]
            sums = [f"T* sum{k}" for k in range(len(self.sums))]
            added = [f"sum[{k}] += (A)r{i};" for k, i in enumerate(self.sums)]
            stored = [f"sum{k}[column] = (T)sum[{k}];" for k in range(len(self.sums))]
            definitions = {
                "PARAMETERS": "".join(f"{x}, " for x in [*code.parameters, *outputs, *sums]),
                "LOAD": code.load,
                "CHAIN": code.chain,
                "STORE": " ".join(f"y{k}[i] = r{i};" for k, i in enumerate(results)),
                "COUNT": f"{len(self.sums)}",
                "ADD": " ".join(added),
                "STORE_SUMS": " ".join(stored),
            }
            self._run = _function(self.dtype, definitions, "columns.cu", "xpnet_columns")
        return self._run


class Head(_OverMatrix):
    """Scores by a chain, their softmax cross entropy with class numbers, and its gradient.

    Parameters
    ----------
    chain : Chain
        Of one result, the scores, of shape (rows, classes).
    inputs : sequence of Input
        One for each input of the chain.
    target : str
        The dtype of the class numbers.
    with_sums : bool
        Whether the sums of the gradient's columns are wanted too.
    dtype : dtype
        float32 or float64: of the scores.
    """

    def __init__(
        self, chain: Chain, inputs: Sequence[Input], target: str, with_sums: bool, dtype: DType
    ) -> None:
        super().__init__(chain, inputs, dtype)
        self.target = target
        self.with_sums = with_sums
        self.factor_in_memory = False

    def from_memory(self, factor: bool = False) -> Self:
        """The same, with the numbers of the host as arrays: also `factor`, if that is one of them."""
        other = super().from_memory()
        other.factor_in_memory = factor
        return other

    def __call__(self, t: Array, factor: float, *args: Any) -> tuple[Array, ...]:
        """The loss, the gradient with respect to the scores, and the sums if they are wanted.

        Parameters
        ----------
        t : array of integers, shape (rows,)
        factor : float, or an array of no axes if it is in the device's memory
            The gradient of what is minimized by the loss.
        *args : arrays and numbers
            The inputs of the chain.
        """
        new = cupy().ndarray
        loss = new((), self.dtype)
        gradient = new(self.chain.shape, self.dtype)
        sums = new((self.columns,), self.dtype) if self.with_sums else None
        given = cupy().ascontiguousarray(t)
        for_rows = min(-(-max(self.rows, 1) // 32) * 32, THREADS)
        _, (for_columns,), tile = geometry(self.rows, self.columns)
        block = (max(for_rows, for_columns),)
        if not self.factor_in_memory:
            factor = float(factor)
        rest = given, factor, loss, gradient, sums, self.rows, for_columns // tile
        self._kernel()((1,), block, (*self._arguments(args), *rest))
        return (loss, gradient) if sums is None else (loss, gradient, sums)

    def _kernel(self) -> Any:
        if self._run is None:
            code = _code(self.chain, self.inputs)
            definitions = {
                "PARAMETERS": "".join(f"{x}, " for x in code.parameters),
                "LOAD": code.load,
                "CHAIN": code.chain,
                "SCORE": f"r{self.chain.results[0]}",
                "CLASSES": f"{self.columns}",
                "Target": TYPES[self.target],
                "Factor": "double*" if self.factor_in_memory else "double",
                "FACTOR": "*factor" if self.factor_in_memory else "factor",
            }
            self._run = _function(self.dtype, definitions, "head.cu", "xpnet_head")
        return self._run
