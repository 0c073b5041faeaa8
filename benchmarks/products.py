"""The C library's matrix products against NumPy's, one thread, float32.

    OPENBLAS_NUM_THREADS=1 taskset -c 0 python benchmarks/products.py [SHAPE ...]

The program compiles xpnet/compiler/c/product.c for this processor (cc, gcc or clang), and prints a row for each
product of the training steps of four networks (W1 784-80-10, batch 200; W2 784-1024-1024-10, batch 256;
L LeNet's dense layers with the batch as the last axis, 128; W4 784-32-10, batch 32) and for small batches of
layers of 256 units: the best times of interleaved rounds, in microseconds of the thread, and the ratio.
NumPy's is `np.matmul(..., out=)` of arrays that begin at a multiple of 64 bytes. Of the processor's own
limit, measured by multiply-adds in registers, the share that each reaches is printed in percent. SHAPE: only
the products whose names contain it.
"""

import argparse
import ctypes
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from benchmarks.peers.processor import Limit, NoCompilerError, aligned, compiled, filled

ROUNDS = 15
SECONDS = 0.0003  # a round takes about so long, or one product

# Calls the product many times: a call from Python takes longer than a small product.
LOOP = r"""
EXPORT double repeat(int64_t times, const int64_t* sizes, real alpha, const real* a, const real* b,
                     real beta, real* c, real* scratch, int64_t scratch_size) {
    const int64_t* s = sizes;
    const double start = seconds();
    for (int64_t i = 0; i < times; i++) {
        NAME(product)(s[0], s[1], s[2], alpha, a, s[3], s[4], b, s[5], s[6], beta, c, s[7], s[8], NULL,
                      scratch, scratch_size, NULL);
    }
    return (seconds() - start) / (double)times;
}
"""


class Product(NamedTuple):
    """A product of (m, k) and (k, n) matrices.

    Attributes
    ----------
    name : str
        The network and the matrices.
    m, n, k : int
        Sizes.
    transposed : str
        Which of the matrices "a", "b", "c" are transposed in memory.
    adds : bool
        Whether the product is added to c, as a step of gradient descent does.
    """

    name: str
    m: int
    n: int
    k: int
    transposed: str = ""
    adds: bool = False


PRODUCTS = [
    Product("W1 x W1", 200, 80, 784),
    Product("W1 h W2", 200, 10, 80),
    Product("W1 d W2.T", 200, 80, 10, "b"),
    Product("W1 h.T d", 80, 10, 200, "a", adds=True),
    Product("W1 x.T d", 784, 80, 200, "a", adds=True),
    Product("W4 x W1", 32, 32, 784),
    Product("W4 h W2", 32, 10, 32),
    Product("W4 d W2.T", 32, 32, 10, "b"),
    Product("W4 h.T d", 32, 10, 32, "a", adds=True),
    Product("W4 x.T d", 784, 32, 32, "a", adds=True),
    Product("W2 x W1", 256, 1024, 784),
    Product("W2 h W2", 256, 1024, 1024),
    Product("W2 h W3", 256, 10, 1024),
    Product("W2 d W3.T", 256, 1024, 10, "b"),
    Product("W2 h.T d3", 1024, 10, 256, "a"),
    Product("W2 d W2.T", 256, 1024, 1024, "b"),
    Product("W2 h.T d", 1024, 1024, 256, "a"),
    Product("W2 x.T d", 784, 1024, 256, "a"),
    Product("L W.T x", 120, 128, 400, "a"),
    Product("L W d", 400, 128, 120),
    Product("L x d.T", 400, 120, 128, "b", adds=True),
    Product("L W2.T x", 84, 128, 120, "a"),
    Product("L x d2.T", 120, 84, 128, "b", adds=True),
    Product("L W3.T x", 10, 128, 84, "a"),
    Product("L x d3.T", 84, 10, 128, "b", adds=True),
    *(Product(f"256 forward, batch {m}", m, 256, 256) for m in (1, 4, 16, 64)),
    *(Product(f"256 backward, batch {m}", m, 256, 256, "b") for m in (1, 4, 16, 64)),
    *(Product(f"256 weight, batch {m}", 256, 256, m, "a", adds=True) for m in (1, 4, 16, 64)),
]


def library_in(folder: Path) -> ctypes.CDLL:
    """The product, compiled for this processor."""
    library = compiled("product.c", folder, LOOP)
    number, pointer, size = ctypes.c_float, ctypes.c_void_p, ctypes.c_int64
    first = [size, pointer, number, pointer, pointer]
    library.repeat.argtypes = [*first, number, pointer, pointer, size]
    library.repeat.restype = ctypes.c_double
    library.product_scratch_f32.argtypes = [size] * 9
    library.product_scratch_f32.restype = size
    return library


def matrix(rows: int, columns: int, *, transposed: bool) -> np.ndarray:
    """A matrix whose rows, or whose columns, are contiguous."""
    if transposed:
        return filled(columns, rows).T
    return filled(rows, columns)


def times(library: ctypes.CDLL, product: Product) -> tuple[float, float]:
    """The best time of the C library and of NumPy, in seconds."""
    m, n, k = product.m, product.n, product.k
    a = matrix(m, k, transposed="a" in product.transposed)
    b = matrix(k, n, transposed="b" in product.transposed)
    c = matrix(m, n, transposed="c" in product.transposed)
    strides = [step // 4 for x in (a, b, c) for step in x.strides]
    sizes = np.array([m, n, k, *strides], np.int64)
    scratch = aligned(library.product_scratch_f32(*sizes.tolist()) + 1)
    addresses = [x.ctypes.data for x in (sizes, a, b, c, scratch)]
    repeats = max(1, min(2000, int(SECONDS * 1e11 / (2 * m * n * k))))
    own = []
    numpy = []
    for _ in range(ROUNDS):
        alpha = -1e-6 if product.adds else 1.0
        where, left, right, result, memory = addresses
        last = (result, memory, scratch.size)
        own.append(library.repeat(repeats, where, alpha, left, right, float(product.adds), *last))
        start = time.thread_time()
        for _ in range(repeats):
            np.matmul(a, b, out=c)
        numpy.append((time.thread_time() - start) / repeats)
    return min(own), min(numpy)


def report(library: ctypes.CDLL, names: Sequence[str]) -> None:
    """Print a row for each product."""
    registers = Limit(library)
    limit = 2 * max(registers.run(16e6) for _ in range(50))
    print(f"The processor's limit: {limit / 1e9:.0f} GFLOP/s")
    print(
        f"{'product':24} {'m x k x n':>16} {'C':>9} {'of limit':>9} {'NumPy':>9} {'of limit':>9} ratio"
    )
    for product in PRODUCTS:
        if names and not any(name in product.name for name in names):
            continue
        own, numpy = times(library, product)
        flops = 2 * product.m * product.n * product.k
        shape = f"{product.m} x {product.k} x {product.n}"
        shares = [f"{flops / seconds / limit:9.0%}" for seconds in (own, numpy)]
        row = f"{product.name:24} {shape:>16} {own * 1e6:9.2f} {shares[0]} {numpy * 1e6:9.2f} {shares[1]}"
        print(f"{row} {own / numpy:5.2f}", flush=True)


def main() -> int:
    """Compile, measure, print; without a compiler, print that."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("shapes", nargs="*", help="only products whose names contain one of these")
    parser.add_argument("--check", action="store_true", help="accepted, as there is no limit")
    names = parser.parse_args().shapes
    with tempfile.TemporaryDirectory() as folder:
        try:
            library = library_in(Path(folder))
        except NoCompilerError as error:
            print(f"Nothing is measured. {error}")
            return 0
        report(library, names)
    return 0


if __name__ == "__main__":
    sys.exit(main())
