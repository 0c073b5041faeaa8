"""What single kernels for CuPy have in common: how they are built, and which arrays they take.

A kernel is built when it is first called, once for each dtype; CuPy keeps the binary for later
processes. Two threads that need it at the same time may both build it, and use either.

Two of CuPy's classes are used. A call takes this much time in Python, including the allocation of its
result (for comparison, x + y takes 4.8 us):

    ElementwiseKernel   4.1 us   any strides, broadcasting, checks of devices
    RawKernel           2.9 us   contiguous memory; the threads of a block may work together
"""

from collections.abc import Callable
from typing import Any

from xpnet._typing import Array, DType
from xpnet.kernels.cuda_source import compiled, cupy, current_device

FLOATS = "efd"  # NumPy's letters for float16, float32 and float64

WIDE = """
__device__ inline float wide(float x) { return x; }  // for float16 too, which converts to float
__device__ inline double wide(double x) { return x; }
"""


def floating(x: Array, *others: Any) -> bool:
    """Whether these arrays have one floating-point dtype, and lie on the current device.

    For arrays on another device the portable code runs.
    """
    dtype = x.dtype
    device = x.data.device_id
    if dtype.char not in FLOATS or device != current_device()():
        return False
    for y in others:
        if type(y) is not type(x) or y.dtype != dtype or y.data.device_id != device:
            return False
    return True


def on_one_device(x: Array, y: Array) -> bool:
    """Whether two arrays lie on one device."""
    return bool(x.data.device_id == y.data.device_id)


class Elementwise:
    """A kernel that computes each number of its result separately: CuPy's ElementwiseKernel.

    A compiled step puts its code into larger kernels: see `xpnet.compiler.executors.cuda.chain`.

    Parameters
    ----------
    name : str
    inputs : str
        Declarations: "T x, T y" are arrays of one dtype, "float64 alpha" is a Python number.
    code : str
        CUDA that sets the number y, of type T. It may compute in type A: float for float16, else T.
    """

    def __init__(self, name: str, inputs: str, code: str) -> None:
        self._built: Any = None
        self._name = f"xpnet_{name}"
        self.inputs = inputs
        self.code = f"typedef decltype(wide(T(0))) A;\n{code}"

    def __call__(self, *xs: Array) -> Array:
        if self._built is None:
            self._built = cupy().ElementwiseKernel(
                self.inputs, "T y", self.code, self._name, preamble=WIDE
            )
        return self._built(*xs)


class Raw:
    """A kernel from a file of CUDA code, compiled for each dtype: CuPy's RawKernel.

    Parameters
    ----------
    file, name : str
        The file in this folder, and the function in it.
    *definitions : str
        Lines of code to put before the file.
    """

    def __init__(self, file: str, name: str, *definitions: str) -> None:
        self._file = file
        self._name = name
        self._definitions = definitions
        self._built: dict[DType, Callable[..., None]] = {}

    def of(self, dtype: DType) -> Callable[..., None]:
        """The kernel for a dtype, to be called with a grid, a block and the arguments."""
        found = self._built.get(dtype)
        if found is None:
            found = compiled((self._file,), self._name, dtype.name, *self._definitions)
            self._built[dtype] = found
        return found
