"""The processor's limit: as many multiply-adds as the products of a step have, in registers."""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.peers.contender import Contender, NotOfferedError
from benchmarks.peers.processor import Limit, NoCompilerError, compiled
from benchmarks.peers.workloads import Weights, Workload, multiply_adds


class Registers(Contender):
    """The multiply-adds of a step, without any data: no implementation can be faster on one core."""

    def __init__(self, workload: Workload, x: np.ndarray, t: np.ndarray, weights: Weights) -> None:
        self.count = multiply_adds(workload)
        try:
            with tempfile.TemporaryDirectory() as folder:
                self.limit = Limit(compiled("product_tile.h", Path(folder)))
        except NoCompilerError:
            raise NotOfferedError("no C compiler") from None

    def run(self, indices: np.ndarray) -> None:
        self.limit.run(self.count * len(indices))

    def weights(self) -> Weights:
        return []


CONTENDERS = {"limit": Registers}
