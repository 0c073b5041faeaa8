"""xpnet as its users write it: eager, and compiled for an executor."""

import os

import numpy as np

import xpnet
from benchmarks.peers.contender import Contender, NotOfferedError
from benchmarks.peers.workloads import Weights, Workload
from xpnet import functions as F


def network(workload: Workload) -> xpnet.Layer:
    """The workload's network."""
    if workload.convolutional:
        return xpnet.Sequential(
            xpnet.Conv2d(1, 6, 5, padding=2), xpnet.ReLU(), xpnet.MaxPool2d(2),
            xpnet.Conv2d(6, 16, 5), xpnet.ReLU(), xpnet.MaxPool2d(2), xpnet.Flatten(),
            xpnet.Affine(400, 120), xpnet.ReLU(), xpnet.Affine(120, 84), xpnet.ReLU(),
            xpnet.Affine(84, 10),
        )  # fmt: skip
    inputs, *hidden, classes = workload.widths
    return xpnet.MLP(inputs, hidden, classes)


class Eager(Contender):
    """The step, run as it is written."""

    def __init__(self, workload: Workload, x: np.ndarray, t: np.ndarray, weights: Weights) -> None:
        self.model = network(workload)
        names = list(self.model.state_dict())
        self.model.load_state_dict(dict(zip(names, weights, strict=True)))
        parameters = self.model.parameters()
        self.optimizer = {
            "sgd": lambda: xpnet.SGD(parameters, lr=workload.lr),
            "momentum": lambda: xpnet.Momentum(parameters, lr=workload.lr, momentum=0.9),
            "adam": lambda: xpnet.Adam(parameters, lr=workload.lr),
        }[workload.optimizer]()
        self.x = x
        if workload.convolutional:
            self.x = x.reshape(-1, 1, 28, 28)
        self.t = t

    def step(self, rows: np.ndarray) -> xpnet.Variable:
        """Learn from the samples with these numbers."""
        loss = F.softmax_cross_entropy(self.model(self.x[rows]), self.t[rows])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def run(self, indices: np.ndarray) -> None:
        for rows in indices:
            self.step(rows)

    def weights(self) -> Weights:
        return [np.array(w) for w in self.model.state_dict().values()]


class Compiled(Eager):
    """The same step, recorded and replayed: many steps in one call."""

    executor = "c"

    def __init__(self, workload: Workload, x: np.ndarray, t: np.ndarray, weights: Weights) -> None:
        if not hasattr(xpnet, "compile"):
            raise NotOfferedError("this version has no xpnet.compile")
        os.environ["XPNET_EXECUTOR"] = self.executor
        super().__init__(workload, x, t, weights)
        self.compiled = xpnet.compile(self.step)

    def run(self, indices: np.ndarray) -> None:
        self.compiled.scan(indices)


class CompiledNumPy(Compiled):
    """The same, by NumPy's executor."""

    executor = "numpy"


CONTENDERS = {"xpnet": Eager, "xpnet-compiled-c": Compiled, "xpnet-compiled-numpy": CompiledNumPy}
