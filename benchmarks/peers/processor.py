"""The processor's own limit: how many multiply-adds one core carries out in a second, in float32."""

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SOURCES = Path(__file__).parents[2] / "xpnet" / "compiler" / "c"
FLAGS = [
    *("-std=gnu11", "-O3", "-fPIC", "-shared", "-DREAL_BITS=32"),
    *("-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"),
]
SUMS = 10  # more than a multiply-add takes cycles, times those that begin in one cycle

# What follows the includes of a C file: a clock, and the limit.
LIMIT = r"""
#include <time.h>

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Multiply-adds in registers: additions to SUMS sums, which depend on nothing else. Returns those in a second.
EXPORT double limit(int64_t times, real* result) {
    vreal sum[SUMS], x = load(result), y = load(result + LANES);
    for (int i = 0; i < SUMS; i++) sum[i] = x;
    const double start = seconds();
    for (int64_t k = 0; k < times; k++) {
        UNROLL for (int i = 0; i < SUMS; i++) {
            IN_REGISTER(x);  // else x * y is computed once for all
            sum[i] += x * y;
        }
    }
    const double taken = seconds() - start;
    for (int i = 0; i < SUMS; i++) store(result, load(result) + sum[i]);
    return (double)(SUMS * LANES) * (double)times / taken;
}

EXPORT int64_t lanes(void) { return LANES; }
"""


class NoCompilerError(Exception):
    """There is no C compiler."""


def compiled(
    header: str, folder: Path, code: str = "", others: Sequence[str] = (), cpu: str = "native"
) -> ctypes.CDLL:
    """LIMIT and other C code, compiled for this processor, or for another one.

    Parameters
    ----------
    header : str
        The file of the C library to include: product_tile.h, or another one that includes vector.h.
    folder : Path
        Where to compile.
    code : str
        More functions, which may call `seconds`.
    others : sequence of str
        More files of the C library, which are compiled on their own.
    cpu : str
        What -march of the compiler takes.

    Raises
    ------
    NoCompilerError
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompilerError(
            "No C compiler was found. Expected: cc, gcc or clang. Try: install one of them."
        )
    file = folder / "benchmark.c"
    target = folder / "benchmark.so"
    file.write_text(f'#include "{header}"\n{LIMIT}{code}', encoding="utf-8")
    flags = [*FLAGS, f"-march={cpu}", f"-DSUMS={SUMS}", f"-I{SOURCES}"]
    files = [str(file), *(str(SOURCES / name) for name in others)]
    subprocess.run([compiler, *flags, *files, "-o", str(target), "-lm"], check=True)
    library = ctypes.CDLL(str(target))
    library.limit.argtypes = [ctypes.c_int64, ctypes.c_void_p]
    library.limit.restype = ctypes.c_double
    library.lanes.restype = ctypes.c_int64
    return library


def aligned(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    """Memory for an array, which begins at a multiple of 64 bytes: a line of the cache."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def filled(*shape: int) -> np.ndarray:
    """Random numbers in float32, which begin at a multiple of 64 bytes."""
    x = aligned(*shape)
    x[...] = np.random.default_rng(0).standard_normal(shape)
    return x


class Limit:
    """Multiply-adds in registers, which nothing is faster than.

    Parameters
    ----------
    library : CDLL
        From `compiled`.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.numbers = aligned(64)
        self.at_once = SUMS * int(library.lanes())

    def run(self, count: int) -> float:
        """Carry out about `count` multiply-adds; returns how many there are in a second."""
        self.numbers[:] = 1e-3
        rounds = max(1, round(count / self.at_once))
        return float(self.library.limit(rounds, self.numbers.ctypes.data))
