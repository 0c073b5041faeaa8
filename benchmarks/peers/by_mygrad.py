"""MyGrad as its users write it."""

import mygrad
import numpy as np
from mygrad.nnet.activations import relu
from mygrad.nnet.losses import softmax_crossentropy

from benchmarks.peers.contender import Contender, NotOfferedError
from benchmarks.peers.workloads import Weights, Workload


class Eager(Contender):
    """The step, run as it is written."""

    def __init__(self, workload: Workload, x: np.ndarray, t: np.ndarray, weights: Weights) -> None:
        if workload.convolutional or workload.optimizer != "sgd":
            raise NotOfferedError("MyGrad has no optimizers; only SGD is written here")
        self.lr = np.float32(workload.lr)
        self.parameters = [mygrad.tensor(w.copy()) for w in weights]
        self.x = x
        self.t = t

    def run(self, indices: np.ndarray) -> None:
        for rows in indices:
            self._step(self.x[rows], self.t[rows])

    def _step(self, h: np.ndarray, t: np.ndarray) -> None:
        W = self.parameters[::2]
        b = self.parameters[1::2]
        for i in range(len(W)):
            h = mygrad.matmul(h, W[i]) + b[i]
            if i < len(W) - 1:
                h = relu(h)
        softmax_crossentropy(h, t).backward()
        for p in self.parameters:
            p.data -= self.lr * p.grad

    def weights(self) -> Weights:
        return [p.data.copy() for p in self.parameters]


CONTENDERS = {"mygrad": Eager}
