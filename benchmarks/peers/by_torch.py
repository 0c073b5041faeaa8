"""PyTorch as its users write it: eager, with fused optimizers, and compiled."""

import numpy as np
import torch
from torch import nn

from benchmarks.peers.contender import Contender
from benchmarks.peers.workloads import Weights, Workload


def network(workload: Workload) -> nn.Sequential:
    """The workload's network."""
    if workload.convolutional:
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip
    layers: list[nn.Module] = []
    for inputs, outputs in zip(workload.widths[:-1], workload.widths[1:], strict=True):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Eager(Contender):
    """The step, run as it is written."""

    fused: bool | None = None  # PyTorch's own choice of an implementation of the optimizer
    compiled = False

    def __init__(self, workload: Workload, x: np.ndarray, t: np.ndarray, weights: Weights) -> None:
        self.model = network(workload)
        with torch.no_grad():
            for p, w in zip(self.model.parameters(), weights, strict=True):
                p.copy_(_transposed(torch.from_numpy(w)))
        parameters = self.model.parameters()
        self.optimizer: torch.optim.Optimizer
        if workload.optimizer == "adam":
            self.optimizer = torch.optim.Adam(parameters, lr=workload.lr, fused=self.fused)
        else:
            momentum = 0.9 if workload.optimizer == "momentum" else 0.0
            self.optimizer = torch.optim.SGD(
                parameters, lr=workload.lr, momentum=momentum, fused=self.fused
            )
        self.x = torch.from_numpy(x)
        if workload.convolutional:
            self.x = self.x.view(-1, 1, 28, 28)
        self.t = torch.from_numpy(t)
        self.loss = self._loss
        if self.compiled:
            self.loss = torch.compile(self._loss)

    def _loss(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(self.model(x), t)

    def run(self, indices: np.ndarray) -> None:
        for rows in torch.from_numpy(indices):
            loss = self.loss(self.x[rows], self.t[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def weights(self) -> Weights:
        return [_transposed(p.detach()).numpy().copy() for p in self.model.parameters()]


def _transposed(w: torch.Tensor) -> torch.Tensor:
    """A dense layer's weight: PyTorch's is (outputs, inputs)."""
    return w.T if w.ndim == 2 else w


class Fused(Eager):
    """With the optimizer as one call for each parameter."""

    fused = True


class Compiled(Fused):
    """With the forward pass, the loss and their gradients compiled too."""

    compiled = True


CONTENDERS = {"torch": Eager, "torch-fused": Fused, "torch-compile": Compiled}
