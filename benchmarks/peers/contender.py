"""What a contender is, and the register of all of them."""

from collections.abc import Callable
from importlib import import_module

import numpy as np

from benchmarks.peers.workloads import Weights, Workload


class NotOfferedError(Exception):
    """A contender cannot run a workload: its library is not installed, or has no such thing."""


class Contender:
    """A training step in one library.

    Parameters
    ----------
    workload : Workload
    x, t : arrays, shapes (n, 784) and (n,)
        All samples, and their classes.
    weights : list of arrays
        To begin with; they are copied.
    """

    whole_chunks = False  # whether every call of `run` must have the same number of steps

    def __init__(self, workload: Workload, x: np.ndarray, t: np.ndarray, weights: Weights) -> None:
        raise NotImplementedError

    def run(self, indices: np.ndarray) -> None:
        """Train with the rows `indices` of the data, one step for each row of it; wait for the end."""
        raise NotImplementedError

    def weights(self) -> Weights:
        """The current weights, in the order and the shapes of the initial ones."""
        raise NotImplementedError


MODULES = {  # the contenders' module, and whether they are measured without being named
    "products": ("by_numpy", True),
    "limit": ("by_processor", True),
    "numpy": ("by_numpy", True),
    "xpnet": ("by_xpnet", True),
    "xpnet-compiled-c": ("by_xpnet", True),
    "xpnet-compiled-c-single": ("by_xpnet", True),
    "xpnet-compiled-numpy": ("by_xpnet", True),
    "torch": ("by_torch", True),
    "torch-fused": ("by_torch", True),
    "torch-compile": ("by_torch", False),
    "jax-jit": ("by_jax", True),
    "jax-scan": ("by_jax", True),
    "mygrad": ("by_mygrad", False),
}

THREADS = {  # what each library does with several threads, by the beginning of its contenders' names
    "products": "OpenBLAS divides large products among the threads",
    "limit": "one core's limit: nothing is divided",
    "numpy": "OpenBLAS divides large products among the threads; all else is on one",
    "xpnet": "OpenBLAS divides large products among the threads; all else is on one",
    "xpnet-compiled-numpy": "OpenBLAS divides large products among the threads; all else is on one",
    "xpnet-compiled-c": "xpnet divides large products, chains, gathers and convolutions among its own threads",
    "torch": "PyTorch divides products and large operations among the threads",
    "jax": "XLA divides large products and operations among the threads",
    "mygrad": "OpenBLAS divides large products among the threads; all else is on one",
}


def use_of_threads(name: str) -> str:
    """What a contender does with several threads."""
    known = [beginning for beginning in THREADS if name.startswith(beginning)]
    return THREADS[max(known, key=len)]


Maker = Callable[[Workload, np.ndarray, np.ndarray, Weights], Contender]


def maker(name: str) -> Maker:
    """What makes the contender of this name.

    Raises
    ------
    NotOfferedError
        Its library is not installed.
    """
    module, _ = MODULES[name]
    try:
        found: Maker = import_module(f"benchmarks.peers.{module}").CONTENDERS[name]
    except ModuleNotFoundError as error:
        raise NotOfferedError(f"{error.name} is not installed") from None
    return found
