"""The cost of recording: an elementwise function of a small Variable, and of its array.

    python benchmarks/overhead.py [--check]

The program prints the time of one call in microseconds, the minimum of many rounds, on NumPy. For the
array it calls NumPy's own function; for the Variable, xpnet makes the same call and creates a node of
the tape. With `--check`, the exit code is 1 if a Variable takes over 3 microseconds more.
"""

import argparse
import sys
import timeit
from collections.abc import Callable

import numpy as np

from xpnet import Variable, functions as F, using

LIMIT = 3.0  # microseconds
ROUNDS = 15
CALLS = 5_000
FUNCTIONS = {  # NumPy's function for the array, xpnet's for the Variable, the number of arguments
    "tanh": (np.tanh, F.tanh, 1),
    "exp": (np.exp, F.exp, 1),
    "add": (np.add, F.add, 2),
    "multiply": (np.multiply, F.multiply, 2),
    "maximum": (np.maximum, F.maximum, 2),
}


def microseconds(function: Callable[..., object], arguments: list[object]) -> float:
    """The time of one call."""
    timer = timeit.Timer(lambda: function(*arguments))
    return min(timer.repeat(ROUNDS, CALLS)) / CALLS * 1e6


def main() -> None:
    """Print a row for each function."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help=f"fail above {LIMIT} microseconds")
    check = parser.parse_args().check
    worst = 0.0
    print(f"{'of 3 numbers':12} {'array':>7} {'Variable':>9} {'more':>6}")
    with using("numpy", dtype="float64") as backend:
        x = backend.asarray([0.1, -0.2, 0.3])
        for name, (plain, ours, arity) in FUNCTIONS.items():
            array = microseconds(plain, [x] * arity)
            variable = microseconds(ours, [Variable(x)] * arity)
            worst = max(worst, variable - array)
            print(f"{name:12} {array:7.2f} {variable:9.2f} {variable - array:6.2f}")
    sys.exit(check and worst > LIMIT)


if __name__ == "__main__":
    main()
