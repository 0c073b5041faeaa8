"""xpnet as its users write it: eager, and compiled for an executor."""

import numpy as np

import xpnet
from benchmarks.peers.contender import Contender
from benchmarks.peers.workloads import Weights, Workload
from xpnet import compiler, functions as F
from xpnet.compiler.executors import choose
from xpnet.compiler.executors._base import Executor
from xpnet.compiler.record import Program


def network(workload: Workload, wide: int = 1) -> xpnet.Layer:
    """The workload's network; LeNet with so many times as many channels and units."""
    if workload.convolutional:
        a, b, c, d = (n * wide for n in (6, 16, 120, 84))
        return xpnet.Sequential(
            xpnet.Conv2d(1, a, 5, padding=2), xpnet.ReLU(), xpnet.MaxPool2d(2),
            xpnet.Conv2d(a, b, 5), xpnet.ReLU(), xpnet.MaxPool2d(2), xpnet.Flatten(),
            xpnet.Affine(25 * b, c), xpnet.ReLU(), xpnet.Affine(c, d), xpnet.ReLU(),
            xpnet.Affine(d, 10),
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
    """The same step, recorded and replayed by the C library: many steps in one call.

    An XPNET_EXECUTOR in the environment is of no importance: the executor is the class's.
    """

    executor = "c"

    def __init__(self, workload: Workload, x: np.ndarray, t: np.ndarray, weights: Weights) -> None:
        super().__init__(workload, x, t, weights)
        # Rehearsed: also the first steps, which are compared with the others', are the plan's.
        self.compiled = compiler.Compiled(self.step, executor=self._chosen, rehearse=True)

    def _chosen(self, program: Program) -> Executor:
        return choose(program, "numpy", forced=self.executor)

    def run(self, indices: np.ndarray) -> None:
        self.compiled.scan(indices)
        self._require_executor()

    def _require_executor(self) -> None:
        """Raise RuntimeError if a step was run by something else than the executor."""
        running = [replay.executor.name for replay in self.compiled.replays]
        if running != [self.executor]:
            raise RuntimeError(
                f"The plans were expected to be one, of executor {self.executor!r}, but are {running}: "
                f"{self.compiled.explain()}"
            )


class CompiledSingle(Compiled):
    """The same, with one call for each step, as in a loop that does something else in between."""

    def run(self, indices: np.ndarray) -> None:
        for rows in indices:
            self.compiled(rows)
        self._require_executor()


class CompiledNumPy(Compiled):
    """The same, by the NumPy executor."""

    executor = "numpy"


CONTENDERS = {
    "xpnet": Eager,
    "xpnet-compiled-c": Compiled,
    "xpnet-compiled-c-single": CompiledSingle,
    "xpnet-compiled-numpy": CompiledNumPy,
}
