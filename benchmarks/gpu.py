"""How many operations a training step runs on a GPU, and how much time Python needs to start them.

    python benchmarks/gpu.py            on the emulated CUDA device, in the environment that
                                        python tests/host_cuda/build.py --shell prints
    python benchmarks/gpu.py --check    exit code 1 if a network exceeds its limits

It counts kernels and products of matrices, each of which is a launch; copies to and from the device;
waits of the host; and allocations. Python's time is the CPU time of the thread while launches do
nothing: the minimum of many rounds, in milliseconds and in additions `x + y` of CuPy arrays. The ratio
to an addition makes figures from two machines comparable. On a GPU, the driver needs additional time
for each launch, and Python runs ahead while the GPU computes.

Without the emulated device, nothing can be counted; the program reports this, and `--check` passes.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

import xpnet
from xpnet import functions as F, models
from xpnet.compiler.executors.cuda.graph import SWITCH
from xpnet.compiler.executors.cupy import FIRST

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.host_cuda.device import Counts, counting, empty_launches, emulated

Step = Callable[[], object]
ROUNDS = 15


class Figures(NamedTuple):
    """The cost of a step: launches, and Python's time in additions."""

    launches: int
    additions: float


class Network(NamedTuple):
    """A network, and how it is trained."""

    name: str
    model: Callable[[], xpnet.Layer]
    optimizer: Callable[..., xpnet.optimizers.Optimizer]
    shape: tuple[int, ...]
    before: Figures  # measured by this program without kernels for CuPy
    limit: Figures


def with_masks_drawn_on_the_device(model: xpnet.Layer) -> xpnet.Layer:
    """Have all dropout masks drawn on the device from here on, and return the model."""
    xpnet.manual_seed(0, device=True)
    return model


NETWORKS = [
    Network(
        "784-80-10, SGD, batch 200",
        lambda: xpnet.MLP(784, 80, 10, rng=0),
        xpnet.SGD,
        (200, 784),
        Figures(41, 94),
        Figures(14, 46),
    ),
    Network(
        "784-1024-1024-10, Adam, batch 8",
        lambda: xpnet.MLP(784, [1024, 1024], 10, rng=0),
        xpnet.Adam,
        (8, 784),
        Figures(120, 198),
        Figures(21, 78),
    ),
    Network(
        "LeNet, Adam, batch 4",
        lambda: models.lenet((1, 28, 28), 10),
        xpnet.Adam,
        (4, 1, 28, 28),
        Figures(288, 779),
        Figures(70, 260),
    ),
    Network(  # the last network, because it changes where all masks are drawn
        "the same, dropout's masks drawn on the device",
        lambda: with_masks_drawn_on_the_device(models.lenet((1, 28, 28), 10)),
        xpnet.Adam,
        (4, 1, 28, 28),
        Figures(288, 779),
        Figures(70, 260),
    ),
]
HEAD = """
| network | launches | before | copies to and from the device | waits | allocations | \
Python, ms | in x + y | before |
|---|---|---|---|---|---|---|---|---|"""
COMPILED_HEAD = """
| network | launches, compiled | of products | as one graph | copies to and from the device | \
Python, ms | as one graph |
|---|---|---|---|---|---|---|"""
RECORDED = 3  # calls of a compiled step before the first replay


def training(network: Network) -> Step:
    """A function that makes one training step on random numbers."""
    rng = np.random.default_rng(0)
    home = xpnet.current()
    x = home.asarray(rng.random(network.shape, dtype=np.float32))
    t = home.asarray(rng.integers(0, 10, network.shape[0]))
    model = network.model()
    optimizer = network.optimizer(model.parameters())

    def step() -> object:
        loss = F.softmax_cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def compiled(network: Network, graph: bool) -> Step:
    """The same step, compiled and replayed already: as one CUDA graph, or without one."""
    os.environ[SWITCH] = str(int(graph))
    try:
        step = xpnet.compile(training(network))
        for _ in range(RECORDED + FIRST):
            step()
    finally:
        del os.environ[SWITCH]
    return step


def counted(step: Step) -> Counts:
    """The counts of the third step: the first compiles kernels, and the second allocates memory."""
    for _ in range(3):
        with counting() as counts:
            step()
    return counts


def compiled_row(network: Network) -> str:
    """A row of the table of compiled steps."""
    alone = compiled(network, graph=False)
    graph = compiled(network, graph=True)
    before = counted(alone)
    after = counted(graph)
    cells = [network.name, f"{before.total}", f"{before.products}", f"{after.total}"]
    cells += [f"{after.to_device}, {after.to_host}"]
    cells += [f"{microseconds(step, 20) / 1000:.3f}" for step in (alone, graph)]
    return f"| {' | '.join(cells)} |"


def microseconds(step: Step, calls: int) -> float:
    """Python's time for one call of `step` while launches do nothing."""
    best = float("inf")
    with empty_launches():
        step()
        for _ in range(ROUNDS):
            start = time.thread_time()
            for _ in range(calls):
                step()
            best = min(best, time.thread_time() - start)
    return best / calls * 1e6


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail above the limits")
    check = parser.parse_args().check
    if not emulated():
        print("There is no emulated CUDA device in this process: nothing is counted.")
        return
    backend = xpnet.use("cupy")
    x = backend.asarray(np.ones((200, 80), np.float32))
    unit = microseconds(lambda: x + x, 300)
    print(f"x + y: {unit:.1f} us of Python\n{HEAD}")
    exceeded = []
    rows = []
    for network in NETWORKS:
        step = training(network)
        counts = counted(step)
        cost = microseconds(step, 20)
        found = Figures(counts.total, cost / unit)
        cells = [network.name, f"{found.launches}", f"{network.before.launches}"]
        cells += [f"{counts.to_device}, {counts.to_host}", f"{counts.synchronizes}"]
        cells += [f"{counts.allocations}", f"{cost / 1000:.2f}"]
        cells += [f"{found.additions:.0f}", f"{network.before.additions:.0f}"]
        print(f"| {' | '.join(cells)} |", flush=True)
        rows.append(compiled_row(network))
        for name, value, limit in zip(Figures._fields, found, network.limit, strict=True):
            if value > limit:
                exceeded.append(f"{network.name}: {value:.0f} {name}, the limit is {limit:.0f}")
    print("\n".join([COMPILED_HEAD, *rows]))
    if check and exceeded:
        sys.exit("\n".join(exceeded))


if __name__ == "__main__":
    main()
