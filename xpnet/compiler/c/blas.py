"""The matrix product of the BLAS that NumPy has loaded, as an address that C can call."""

import ctypes
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Blas", "BlasProduct", "find_blas", "usable_cores", "usable_threads"]

NAMES = (
    ("scipy_cblas_{}64_", 64),
    ("cblas_{}64_", 64),
    ("cblas_{}$NEWLAPACK$ILP64", 64),
    ("scipy_cblas_{}", 32),
    ("cblas_{}", 32),
)
"""What the function is called in the libraries there are, and the bits of its integers."""


class BlasProduct(ctypes.Structure):
    """A function as C's `blas` structure has it: its address, and the bits of its integers."""

    _fields_ = [("gemm", ctypes.c_void_p), ("integer_bits", ctypes.c_int64)]


class Blas:
    """NumPy's BLAS.

    Attributes
    ----------
    path : Path
        Of the library.
    products : dict from str to BlasProduct
        For "_f32" and "_f64".
    """

    def __init__(self, path: Path, products: dict[str, BlasProduct]) -> None:
        self.path = path
        self.products = products


@cache
def find_blas() -> Blas | None:
    """NumPy's BLAS; None if it cannot be found."""
    np.matmul(np.ones((2, 2)), np.ones((2, 2)))  # it is loaded now, if it is loaded late
    for path in _libraries():
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        single = _product(library, "sgemm")
        double = _product(library, "dgemm")
        if single is not None and double is not None:
            return Blas(path, {"_f32": single, "_f64": double})
    return None


def _product(library: ctypes.CDLL, routine: str) -> BlasProduct | None:
    """The function of a loaded library, if it has it."""
    for name, bits in NAMES:
        found = getattr(library, name.format(routine), None)
        if found is not None:
            return BlasProduct(ctypes.cast(found, ctypes.c_void_p), bits)
    return None


def _libraries() -> Iterator[Path]:
    """Libraries of BLAS that this process has loaded for NumPy: those of its wheel first."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".libs", package / ".dylibs"):
        for pattern in ("*openblas*", "*mkl_rt*"):
            yield from sorted(folder.glob(pattern))
    from threadpoolctl import threadpool_info

    for each in threadpool_info():
        if each.get("user_api") == "blas":
            yield Path(each["filepath"])
    if sys.platform == "darwin":
        yield Path("/System/Library/Frameworks/Accelerate.framework/Accelerate")


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_threads() -> int:
    """How many threads compute an operation: as many as NumPy's BLAS has, on cores of this process.

    The BLAS follows OMP_NUM_THREADS, the variable of its own (such as OPENBLAS_NUM_THREADS), and
    `threadpoolctl.threadpool_limits`. Without one that is known, OMP_NUM_THREADS counts.
    """
    cores = usable_cores()
    found = [int(x.num_threads) for x in _pools_of_numpy() or _pools()]
    if found:
        return max(min(cores, *found), 1)
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(cores, int(given)) if given.isdecimal() and int(given) > 0 else cores


@cache
def _pools_of_numpy() -> list[Any]:
    """NumPy's BLAS for threadpoolctl, which takes milliseconds to find it."""
    find_blas()  # which loads it
    return [x for x in _pools() if "numpy" in x.filepath]


def _pools() -> list[Any]:
    """All BLAS that are loaded now, as threadpoolctl has them."""
    from threadpoolctl import ThreadpoolController

    pools: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return pools
