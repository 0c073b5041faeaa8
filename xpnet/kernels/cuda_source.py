"""The CUDA files beside these modules, compiled for each dtype when they are first needed.

CuPy compiles them with NVRTC, NVIDIA's compiler at run time, and keeps the result on disk for the next
process. Nothing here imports CuPy before there is a CuPy array.
"""

from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

from xpnet._typing import Array
from xpnet.errors import ArgumentError, ArgumentTypeError

THREADS = 256  # per block
Grid = tuple[tuple[int], tuple[int]]  # of a launch: its blocks, and the threads of each block
SHORT = 1 << 30  # arrays of fewer numbers have indices of 32 bits, which a GPU divides faster

C_TYPES = {  # the type in the CUDA code for each dtype
    "float16": "__half",
    "float32": "float",
    "float64": "double",
    "complex64": "Complex<float>",
    "complex128": "Complex<double>",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long long",
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "uint32": "unsigned int",
    "uint64": "unsigned long long",
}

COMPLEX = """
template <class R>
struct Complex {
  R real, imag;
  __device__ Complex(int value = 0) : real(value), imag(0) {}
  __device__ Complex& operator+=(const Complex& other) {
    real += other.real;
    imag += other.imag;
    return *this;
  }
};
"""

Callee = TypeVar("Callee", bound=Callable[..., Any])


@cache
def cupy() -> ModuleType:
    """The module cupy, which is imported already wherever there is a CuPy array."""
    return import_module("cupy")


@cache
def current_device() -> Callable[[], int]:
    """CuPy's function that returns the number of the calling thread's current device."""
    found: Callable[[], int] = cupy().cuda.runtime.getDevice
    return found


@cache
def compiled(files: tuple[str, ...], name: str, dtype: str, *definitions: str) -> Any:
    """The kernel `name` from files in this folder, for arrays of `dtype`.

    Parameters
    ----------
    files : tuple of str
        The files that make up the source, in order.
    name : str
    dtype : str
        In the source, `T` is its C type, and `A` the type in which numbers of that type are added up.
    *definitions : str
        Lines of code to put before the files.

    Raises
    ------
    TypeError
        There is no kernel for arrays of that dtype.
    """
    if dtype not in C_TYPES:
        raise ArgumentTypeError(f"{name} expected numbers, {', '.join(C_TYPES)}, got {dtype}.")
    head = type_definitions(dtype)
    if dtype.startswith("complex"):
        head.insert(0, COMPLEX)
    from importlib import resources  # imports thirty modules, which only CuPy's arrays need

    folder = resources.files("xpnet.kernels")
    sources = [(folder / file).read_text("utf-8") for file in files]
    code = "\n".join([*head, *definitions, *sources])
    return cupy().RawModule(code=code).get_function(name)


def type_definitions(dtype: str) -> list[str]:
    """Lines of C that define T, the type of a dtype, and A, the one in which sums are taken."""
    if dtype == "float16":
        return ["#include <cuda_fp16.h>", "typedef __half T;", "typedef float A;"]
    return [f"typedef {C_TYPES[dtype]} T;", f"typedef {C_TYPES[dtype]} A;"]


def index_type(short: bool) -> str:
    """A line of C that defines I, the type of an index: of 32 bits if the arrays are short."""
    if short:
        return "typedef int I;"
    return "typedef long long I;"


def one_thread_each(size: int) -> Grid:
    """The grid of a launch with one thread for each of `size` numbers."""
    return (-(-size // THREADS),), (THREADS,)


def on_its_device(kernel: Callee) -> Callee:
    """Decorator: the kernel runs on the device of its first array, whichever device is current.

    CuPy launches a kernel on the thread's current device, and puts new arrays there.
    """

    @wraps(kernel)
    def computed(x: Array, *rest: Any) -> Array:
        if x.data.device_id == current_device()():
            return kernel(x, *rest)
        with x.device:
            return kernel(x, *rest)

    return computed  # type: ignore[return-value]


def alike(*xs: Array | None) -> list[Array]:
    """The arrays as C-contiguous arrays of the dtype to which they promote; None stays None.

    Raises
    ------
    ValueError
        The arrays lie on different devices.
    """
    arrays = [x for x in xs if x is not None]
    devices = {x.data.device_id for x in arrays}
    if len(devices) > 1:
        raise ArgumentError(
            f"Expected arrays on one device, got some on the GPUs {sorted(devices)}."
        )
    dtype = arrays[0].dtype
    if any(x.dtype != dtype for x in arrays):
        dtype = cupy().result_type(*arrays)
    contiguous = cupy().ascontiguousarray
    return [x if x is None else contiguous(x, dtype) for x in xs]
