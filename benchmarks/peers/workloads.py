"""What is trained: four networks, from one that is mostly overhead to one that is mostly products.

    W1   784-80-10, SGD, batches of 200          W3   LeNet, momentum, batches of 128
    W2   784-1024-1024-10, Adam, of 256          W4   784-32-10, SGD, of 32

All in float32 on the 60,000 training images of MNIST. A step gathers the rows of a batch from them by
index, and computes the mean cross entropy, its gradients, and the new weights.
"""

from dataclasses import dataclass

import numpy as np

from xpnet.data import load_mnist

Weights = list[np.ndarray]  # of the layers in order: weight, bias, weight, bias, ...


@dataclass(frozen=True)
class Workload:
    """A network and how it is trained.

    Attributes
    ----------
    widths : tuple of int
        Of a network of dense layers: inputs, hidden layers, classes. Empty for LeNet.
    optimizer : str
        "sgd", "momentum" (0.9) or "adam" (0.9, 0.999, eps 1e-8).
    steps : int
        How many steps a timed chunk has, for a contender that takes as long as its products.
    """

    name: str
    widths: tuple[int, ...]
    optimizer: str
    lr: float
    batch: int
    steps: int

    @property
    def convolutional(self) -> bool:
        """Whether the network is LeNet."""
        return not self.widths


WORKLOADS = {
    w.name: w
    for w in (
        Workload("W1", (784, 80, 10), "sgd", 0.1, 200, 600),
        Workload("W2", (784, 1024, 1024, 10), "adam", 1e-3, 256, 15),
        Workload("W3", (), "momentum", 0.02, 128, 40),
        Workload("W4", (784, 32, 10), "sgd", 0.1, 32, 8000),
    )
}

# LeNet: 5x5 convolutions (the first with padding 2), each with ReLU and 2x2 max pooling; dense layers.
CONVOLUTIONS = ((6, 1, 5, 5), (16, 6, 5, 5))
DENSE = ((400, 120), (120, 84), (84, 10))
CLASSES = 10


def initial_weights(workload: Workload) -> Weights:
    """The weights that every contender begins with: uniform, up to 1 / sqrt(fan in); biases 0."""
    rng = np.random.default_rng(0)
    shapes = [*CONVOLUTIONS, *DENSE]
    if not workload.convolutional:
        shapes = list(zip(workload.widths[:-1], workload.widths[1:], strict=True))
    weights = []
    for shape in shapes:
        is_kernel = len(shape) == 4
        fan_in = int(np.prod(shape[1:])) if is_kernel else shape[0]
        outputs = shape[0] if is_kernel else shape[1]
        weights.append((rng.uniform(-1, 1, shape) / np.sqrt(fan_in)).astype(np.float32))
        weights.append(np.zeros(outputs, np.float32))
    return weights


def products(workload: Workload) -> list[tuple[int, int, int]]:
    """(rows, inputs, outputs) of each layer's matrix product; convolutions as products of columns."""
    b = workload.batch
    sizes = [(b * 784, 25, 6), (b * 100, 150, 16), *((b, i, o) for i, o in DENSE)]
    if not workload.convolutional:
        pairs = zip(workload.widths[:-1], workload.widths[1:], strict=True)
        sizes = [(b, i, o) for i, o in pairs]
    return sizes


def multiply_adds(workload: Workload) -> int:
    """How many multiply-adds the products of a step have, forward and backward."""
    count = 0
    for layer, (rows, inputs, outputs) in enumerate(products(workload)):
        passes = 3 if layer else 2  # nobody needs the gradient with respect to the data
        count += passes * rows * inputs * outputs
    return count


def workload_named(name: str) -> Workload:
    """One of WORKLOADS; or "4x64x128": four dense layers, 64 numbers wide, batches of 128, SGD."""
    if name in WORKLOADS:
        return WORKLOADS[name]
    depth, width, batch = map(int, name.split("x"))
    return Workload(name, (width,) * depth + (CLASSES,), "sgd", 0.01, batch, 2000)


def data(workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """The samples in float32, (n, inputs), and their classes in int64.

    These are MNIST's training images, of 784 numbers from 0 to 1; for other widths, random numbers.
    """
    if workload.name not in WORKLOADS:
        rng = np.random.default_rng(0)
        n = 2 * workload.batch
        x = rng.standard_normal((n, workload.widths[0]), np.float32)
        return x, rng.integers(CLASSES, size=n)
    (x, t), _ = load_mnist()
    x = np.asarray(x, np.float32).reshape(len(x), -1)
    return x, np.asarray(t, np.int64)


class Indices:
    """Rows of shuffled batches; when the data are used up, they are shuffled again."""

    def __init__(self, n: int, batch: int, seed: int = 0) -> None:
        self.n = n
        self.batch = batch
        self.rng = np.random.default_rng(seed)
        self.left = np.empty(0, np.int64)

    def next(self, steps: int) -> np.ndarray:
        """The rows of the next batches: shape (steps, batch)."""
        batches = []
        for _ in range(steps):
            if len(self.left) < self.batch:
                self.left = self.rng.permutation(self.n)
            batches.append(self.left[: self.batch])
            self.left = self.left[self.batch :]
        return np.stack(batches)
