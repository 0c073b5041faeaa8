"""Convolution and pooling in C, on one thread: against PyTorch, and against xpnet on NumPy.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/windows.py [--cpu native] [--seconds 1]

For each size, the program prints the time of a convolution, and of it with both its gradients; the
speed of the latter, in 10^9 multiplications and additions a second; and how many times as long PyTorch
(if it is installed) and xpnet on NumPy take. The C library has the batch innermost in memory, the others
get their own layouts. Times are those of the processor, not of the clock, so that other programs matter
less; they are the minimum of rounds that alternate between the three.

Then it prints the convolution and pooling work of a step of LeNet, function by function.
"""

import argparse
import ctypes
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from benchmarks.peers.processor import NoCompilerError, aligned, compiled, filled
from xpnet import Variable, functions as F
from xpnet.compiler.c.windows import window_structure
from xpnet.kernels.window import sliding

ROUNDS = 5  # at least


class Size(NamedTuple):
    """Images (batch, channels, size, size) and a kernel (outputs, channels, kernel, kernel)."""

    name: str
    batch: int
    channels: int
    outputs: int
    size: int
    kernel: int
    padding: int
    stride: int = 1


SIZES = [
    Size("LeNet, first", 128, 1, 6, 28, 5, 2),
    Size("LeNet, second", 128, 6, 16, 14, 5, 0),
    Size("colour images", 64, 3, 32, 32, 3, 1),
    Size("32 channels", 64, 32, 32, 32, 3, 1),
    Size("64 channels", 64, 64, 64, 16, 3, 1),
    Size("128 channels", 64, 128, 128, 8, 3, 1),
    Size("stride 2", 64, 64, 128, 16, 3, 1, 2),
    Size("1 x 1", 64, 64, 128, 16, 1, 0),
    Size("7 x 7", 32, 3, 64, 32, 7, 3),
    Size("batch 1", 1, 64, 64, 16, 3, 1),
    Size("batch 10", 10, 32, 32, 16, 3, 1),
]


def library_in(folder: Path, cpu: str) -> ctypes.CDLL:
    """The C functions for windows, compiled for a kind of processor."""
    return compiled("window.c", folder, others=["weigh.c", "pool.c", "layout.c"], cpu=cpu)


class Call:
    """A C function with its arguments, which stay alive with it."""

    def __init__(self, library: ctypes.CDLL, name: str, *arguments: Any, scratch: int = 0) -> None:
        self.function = getattr(library, f"{name}_f32")
        windows = arguments[:scratch]
        if scratch:
            needs = getattr(library, f"{name}_scratch_f32")
            needs.restype = ctypes.c_int64
            wanted = needs(*map(ctypes.byref, windows))
            arguments = (*arguments, aligned(wanted, dtype=np.uint8))
        self.kept = arguments
        self.arguments = [self._argument(a) for a in arguments]

    @staticmethod
    def _argument(a: Any) -> Any:
        if isinstance(a, np.ndarray):
            return ctypes.c_void_p(a.ctypes.data)
        if isinstance(a, ctypes.Structure):
            return ctypes.byref(a)
        return a if a is None or isinstance(a, ctypes.c_double) else ctypes.c_int64(a)

    def __call__(self) -> None:
        self.function(*self.arguments)


def best(functions: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """The shortest processor time of each function, in seconds; they take turns."""
    found = dict.fromkeys(functions, float("inf"))
    end = time.perf_counter() + seconds * len(functions)
    rounds = 0
    while rounds < ROUNDS or time.perf_counter() < end:
        for name, function in functions.items():
            start = time.thread_time()
            function()
            found[name] = min(found[name], time.thread_time() - start)
        rounds += 1
    return found


def in_c(library: ctypes.CDLL, s: Size) -> dict[str, Callable[[], object]]:
    """The convolution in C, and with both its gradients."""
    padding = ((s.padding, s.padding),) * 2
    window = sliding((s.size,) * 2, (s.kernel,) * 2, (s.stride,) * 2, padding, (1, 1))
    w = window_structure(window, s.batch, s.channels, s.outputs)
    x = filled(s.channels, s.size, s.size, s.batch)
    gx = filled(*x.shape)
    W = filled(s.outputs, s.channels, s.kernel, s.kernel)
    gW = filled(*W.shape)
    b = filled(s.outputs)
    gb = filled(s.outputs)
    y = filled(s.outputs, *window.out, s.batch)
    calls = [
        Call(library, "correlate", w, x, W, b, 0, y, scratch=1),
        Call(library, "spread", w, y, W, None, gx, scratch=1),
        Call(library, "weigh", w, x, y, gW, gb, scratch=1),
    ]

    def all_three() -> None:
        for call in calls:
            call()

    return {"forward": calls[0], "C": all_three}


def in_numpy(s: Size) -> Callable[[], object]:
    """The same by xpnet's functions on NumPy, with the batch innermost as they leave it."""
    shape = (s.channels, s.size, s.size, s.batch)
    x = Variable(np.moveaxis(filled(*shape), -1, 0))
    W = Variable(filled(s.outputs, s.channels, s.kernel, s.kernel))
    b = Variable(filled(s.outputs))

    def step() -> None:
        for variable in (x, W, b):
            variable.grad = None
        y = F.conv(x, W, b, stride=s.stride, padding=s.padding)
        y.backward(y.data)

    return step


def in_torch(s: Size) -> Callable[[], object]:
    """The same by PyTorch, on one thread."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    x = torch.randn(s.batch, s.channels, s.size, s.size, requires_grad=True)
    W = torch.randn(s.outputs, s.channels, s.kernel, s.kernel, requires_grad=True)
    b = torch.randn(s.outputs, requires_grad=True)

    def step() -> None:
        y = torch.nn.functional.conv2d(x, W, b, stride=s.stride, padding=s.padding)
        torch.autograd.grad(y, (x, W, b), y.detach())

    return step


def lenet(library: ctypes.CDLL, batch: int) -> dict[str, Callable[[], object]]:
    """The convolution and pooling work of a step of LeNet, on images of 28 x 28."""
    none = ((0, 0), (0, 0))
    first = sliding((28, 28), (5, 5), (1, 1), ((2, 2), (2, 2)), (1, 1))
    second = sliding((14, 14), (5, 5), (1, 1), none, (1, 1))
    c1 = window_structure(first, batch, 1, 6)
    c2 = window_structure(second, batch, 6, 16)
    p1 = window_structure(sliding((28, 28), (2, 2), (2, 2), none, (1, 1)), batch, 6)
    p2 = window_structure(sliding((10, 10), (2, 2), (2, 2), none, (1, 1)), batch, 16)
    x = filled(1, 28, 28, batch)
    W1 = filled(6, 1, 5, 5)
    W2 = filled(16, 6, 5, 5)
    b = filled(16)
    h1 = filled(6, 14, 14, batch)
    h2 = filled(16, 5, 5, batch)
    at1 = aligned(6, 14, 14, batch, dtype=np.int8)
    at2 = aligned(16, 5, 5, batch, dtype=np.int8)
    g1 = filled(6, 28, 28, batch)
    g2 = filled(16, 10, 10, batch)
    gh = filled(*h1.shape)

    def call(name: str, *arguments: Any, scratch: int = 0) -> Call:
        return Call(library, name, *arguments, scratch=scratch)

    return {
        "first": call("correlate_maxima", c1, p1, x, W1, b, 1, h1, at1, scratch=2),
        "second": call("correlate_maxima", c2, p2, h1, W2, b, 1, h2, at2, scratch=2),
        "place, second": call("place", p2, h2, at2, g2, b.copy()),
        "weigh, second": call("weigh", c2, h1, g2, W2.copy(), None, scratch=1),
        "spread, second": call("spread", c2, g2, W2, None, gh, scratch=1),
        "place, first": call("place", p1, gh, at1, g1, b.copy()),
        "weigh, first": call("weigh", c1, x, g1, W1.copy(), None, scratch=1),
    }


def main() -> int:
    """Print both tables; without a compiler, print that."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cpu", default="native", help="what -march of the C compiler takes")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each size and library")
    parser.add_argument("--check", action="store_true", help="accepted, as there is no limit")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            library = library_in(Path(folder), options.cpu)
        except NoCompilerError as error:
            print(f"Nothing is measured. {error}")
            return 0
        report(library, options.seconds)
    return 0


def report(library: ctypes.CDLL, seconds: float) -> None:
    """Print a row for each size, then one for each function of LeNet's step."""
    has_torch = importlib.util.find_spec("torch") is not None
    print(f"{'':15} {'forward':>10} {'with both':>10} {'speed':>7} {'PyTorch':>8} {'NumPy':>6}")
    for s in SIZES:
        functions = in_c(library, s) | {"NumPy": in_numpy(s)}
        if has_torch:
            functions["PyTorch"] = in_torch(s)
        taken = best(functions, seconds)
        places = ((s.size + 2 * s.padding - s.kernel) // s.stride + 1) ** 2
        work = 6 * s.batch * places * s.outputs * s.channels * s.kernel**2
        torch = f"{taken['PyTorch'] / taken['C']:7.2f}x" if has_torch else ""
        print(
            f"{s.name:15} {taken['forward'] * 1e3:7.3f} ms {taken['C'] * 1e3:7.3f} ms "
            f"{work / taken['C'] / 1e9:7.1f} {torch:>8} {taken['NumPy'] / taken['C']:5.2f}x"
        )
    print("\nA step of LeNet, batch 128, without its dense layers")
    parts = best(lenet(library, 128), seconds / 4)
    for name, each in parts.items():
        print(f"{name:15} {each * 1e6:7.0f} us")
    print(f"{'sum':15} {sum(parts.values()) * 1e6:7.0f} us")


if __name__ == "__main__":
    sys.exit(main())
