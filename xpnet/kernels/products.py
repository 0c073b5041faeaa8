"""Products of matrices by CuPy, and in a way that a CUDA graph can hold.

CuPy refuses each call of cuBLAS while a stream is captured, since some of them copy a number to the host.
A product of matrices can be captured: NVIDIA's documentation of cuBLAS says so in its section on CUDA
graphs. So within a block `with products:`, the function of cuBLAS is called here directly, in the library
that CuPy has loaded, with the arguments that CuPy would pass. It has a handle of its own, whose stream is
the captured one, and a workspace of its own, which must live as long as the graph: cuBLAS then allocates
nothing.
"""

import ctypes
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from math import prod
from typing import Any, Self

from xpnet._typing import Array, DType
from xpnet.errors import CompileError
from xpnet.kernels.cuda_source import cupy

__all__ = ["Products", "product", "product_or"]

VOLTA = 70  # compute capabilities
AMPERE = 80
HOPPER = 90
TYPES = {"float16": 2, "float32": 0, "float64": 1}  # of cudaDataType
NUMBERS: dict[str, Any] = {
    "float16": ctypes.c_float,
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
}
COMPUTE = {"float16": 68, "float32": 68, "float64": 70}  # of cublasComputeType_t
PEDANTIC = 2  # CuPy's compute types
TF32 = 7
DEFAULT_ALGORITHM = -1  # of cublasGemmAlgo_t
TENSOR_CORES = 99


class _Active(threading.local):
    """What computes this thread's products; None: CuPy."""

    products: "Products | None" = None


_active = _Active()


def product(a: Array, b: Array) -> Array:
    """a @ b, for two matrices or two stacks of them."""
    if a.ndim == 2:
        return product_or(_dot, a, b)
    return product_or(cupy().matmul, a, b)


def product_or(function: Callable[[Array, Array], Array], a: Array, b: Array) -> Array:
    """a @ b in a block `with products:`, if they take these arrays; elsewhere function(a, b)."""
    active = _active.products
    if active is not None and active.takes(a, b):
        return active(a, b)
    return function(a, b)


def _dot(a: Array, b: Array) -> Array:
    return a.dot(b)


class Products:
    """Products by cuBLAS in one stream, without allocations: a context in which `product` uses it.

    Parameters
    ----------
    stream : cupy.cuda.Stream
        It must not be captured yet.
    """

    def __init__(self, stream: Any) -> None:
        self._binding = import_module("cupy_backends.cuda.libs.cublas")
        self.workspace = cupy().empty(_workspace_size(), dtype="uint8")
        self._handle = self._binding.create()
        library = _library(self._binding.__file__)
        _require(library.cublasSetStream_v2(self._pointer(), ctypes.c_void_p(stream.ptr)))
        memory = ctypes.c_void_p(self.workspace.data.ptr)
        _require(
            library.cublasSetWorkspace_v2(
                self._pointer(), memory, ctypes.c_size_t(self.workspace.nbytes)
            )
        )

    def __enter__(self) -> Self:
        _active.products = self
        return self

    def __exit__(self, *error: object) -> None:
        """Destroy the handle; what was captured can still be launched."""
        _active.products = None
        self._binding.destroy(self._handle)

    def takes(self, a: Array, b: Array) -> bool:
        """Whether CuPy would call cuBLAS for a @ b, in a way that is known here."""
        if a.dtype != b.dtype or a.dtype.name not in TYPES or a.ndim != b.ndim:
            return False
        if a.size == 0 or b.size == 0:
            return False
        if a.ndim == 2:
            return bool(a.shape[0] * b.shape[1] > 1)  # for one number, CuPy has a kernel of its own
        batches = a.shape[:-2], b.shape[:-2]
        return a.ndim > 2 and (batches[0] == batches[1] or 1 in map(prod, batches))

    def __call__(self, a: Array, b: Array) -> Array:
        """a @ b, of arrays that it `takes`."""
        if a.ndim == 2:
            return self._of_matrices(a, b)
        if a.dtype == "float16":
            return self._of_stacks(a.astype("float32"), b.astype("float32")).astype("float16")
        return self._of_stacks(a, b)

    def _of_matrices(self, a: Array, b: Array) -> Array:
        """In the order of columns, which cuBLAS expects, the product is that of the transposes."""
        y = cupy().empty((a.shape[0], b.shape[1]), dtype=a.dtype)
        first, transpose_a, step_a = _by_columns(a.T, 0)
        second, transpose_b, step_b = _by_columns(b, 1)
        kind = TYPES[a.dtype.name]
        one, zero = (NUMBERS[a.dtype.name](x) for x in (1, 0))
        _require(
            _library(self._binding.__file__).cublasGemmEx(
                *(self._pointer(), transpose_b, transpose_a, b.shape[1], a.shape[0], a.shape[1]),
                *(ctypes.byref(one), ctypes.c_void_p(second.data.ptr), kind, step_b),
                *(ctypes.c_void_p(first.data.ptr), kind, step_a),
                *(ctypes.byref(zero), ctypes.c_void_p(y.data.ptr), kind, b.shape[1]),
                *(_compute_type(a.dtype), _algorithm(a.dtype)),
            )
        )
        return y

    def _of_stacks(self, a: Array, b: Array) -> Array:
        """As CuPy does, from contiguous arrays; a stack of one matrix is used for all."""
        a = cupy().ascontiguousarray(a)
        b = cupy().ascontiguousarray(b)
        batch = max(a.shape[:-2], b.shape[:-2], key=prod)
        rows, terms = a.shape[-2:]
        columns = b.shape[-1]
        y = cupy().empty((*batch, rows, columns), dtype=a.dtype)
        step_a = rows * terms if prod(a.shape[:-2]) > 1 else 0
        step_b = terms * columns if prod(b.shape[:-2]) > 1 else 0
        kind = TYPES[a.dtype.name]
        one, zero = (NUMBERS[a.dtype.name](x) for x in (1, 0))
        wide = ctypes.c_longlong
        _require(
            _library(self._binding.__file__).cublasGemmStridedBatchedEx(
                *(self._pointer(), 0, 0, columns, rows, terms),
                *(ctypes.byref(one), ctypes.c_void_p(b.data.ptr), kind, columns, wide(step_b)),
                *(ctypes.c_void_p(a.data.ptr), kind, terms, wide(step_a)),
                *(ctypes.byref(zero), ctypes.c_void_p(y.data.ptr), kind, columns),
                *(wide(rows * columns), prod(batch), COMPUTE[a.dtype.name], DEFAULT_ALGORITHM),
            )
        )
        return y

    def _pointer(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self._handle)


@cache
def _library(binding: str) -> ctypes.CDLL:
    """cuBLAS as CuPy has loaded it: names are looked up in what its binding is linked to."""
    return ctypes.CDLL(binding)


def _require(status: int) -> None:
    if status != 0:
        raise CompileError(f"cuBLAS returned the status {status}.")


def _by_columns(x: Array, transpose: int) -> tuple[Array, int, int]:
    """A matrix as cuBLAS takes it: the array, whether it is transposed, and the step between columns."""
    if x.flags.f_contiguous:
        return x, transpose, max(x.strides[1] // x.itemsize, x.shape[0])
    if not x.flags.c_contiguous:
        x = x.copy()
    return x, 1 - transpose, x.strides[0] // x.itemsize


def _compute_type(dtype: DType) -> int:
    """What CuPy's settings, CUPY_TF32 for example, mean to cuBLAS."""
    chosen = import_module("cupy._core").get_compute_type(dtype)
    plain = COMPUTE[dtype.name]
    if chosen == PEDANTIC:
        return plain + 1
    if chosen == TF32:
        return 77
    return plain


def _algorithm(dtype: DType) -> int:
    least = VOLTA if dtype == "float16" else AMPERE
    return TENSOR_CORES if _capability() >= least else DEFAULT_ALGORITHM


def _workspace_size() -> int:
    """In bytes: what NVIDIA recommends, and what cuBLAS takes by itself."""
    return 32 << 20 if _capability() >= HOPPER else 4 << 20


def _capability() -> int:
    return int(cupy().cuda.Device().compute_capability)
