"""The time of a training step in relation to its matrix products.

    python benchmarks/step.py            xpnet and hand-written NumPy
    python benchmarks/step.py --others   also PyTorch and JAX, if they are installed
    python benchmarks/step.py --check    exit code 1 if xpnet exceeds its limit

A step gathers a batch from MNIST, computes Affine, ReLU, Affine, softmax cross entropy and the
gradients, and updates the parameters by SGD, in float32, on one thread. Each round measures, for every
contender, ten times the five matrix products that every implementation needs, written into existing
arrays (`np.matmul(out=)`), and then ten steps. So other load on the machine affects all alike, and
steps follow each other, as in a training. The figure is the ratio of the medians. PyTorch and JAX are
measured after xpnet and NumPy, one at a time, because their threads and caches would slow down the
others.
"""

import os

# Some machines set this to Haswell, which halves NumPy's speed.
os.environ.pop("OPENBLAS_CORETYPE", None)
for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

import xpnet
from xpnet import functions as F
from xpnet.data import load_mnist

LIMITS = {(80, 200): 1.65, (32, 32): 5.0}  # (hidden, batch): xpnet's limit, in times the products
LR = 0.1
Step = Callable[[np.ndarray], object]


def products(hidden: int, batch: int) -> Step:
    """The five matrix products of a step: x W1, h W2, h.T g, g W2.T, x.T gh."""
    rng = np.random.default_rng(0)
    sizes = [(batch, 784), (784, hidden), (batch, hidden), (hidden, 10), (batch, 10)]
    x, W1, h, W2, g = (rng.random(size, dtype=np.float32) for size in sizes)
    out = [np.empty(size, np.float32) for size in (h.shape, g.shape, W2.shape, h.shape, W1.shape)]

    def step(_: np.ndarray) -> None:
        np.matmul(x, W1, out=out[0])
        np.matmul(h, W2, out=out[1])
        np.matmul(h.T, g, out=out[2])
        np.matmul(g, W2.T, out=out[3])
        np.matmul(x.T, h, out=out[4])

    return step


def by_xpnet(hidden: int, x: np.ndarray, t: np.ndarray) -> Step:
    """A step with xpnet's layers and tape, as a user writes it."""
    xpnet.use("numpy")
    model = xpnet.MLP(784, hidden, 10, rng=0)
    optimizer = xpnet.SGD(model.parameters(), lr=LR)

    def step(batch: np.ndarray) -> object:
        loss = F.softmax_cross_entropy(model(x.take(batch, axis=0)), t.take(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def by_hand(hidden: int, x: np.ndarray, t: np.ndarray) -> Step:
    """The textbook's step, in NumPy only."""
    W1, b1, W2, b2 = (p.data for p in xpnet.MLP(784, hidden, 10, rng=0).parameters())

    def step(batch: np.ndarray) -> object:
        xb = x.take(batch, axis=0)
        tb = t.take(batch)
        rows = np.arange(len(batch))
        h = np.maximum(xb @ W1 + b1, 0)
        y = h @ W2 + b2
        e = np.exp(y - y.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        loss = -np.log(p[rows, tb]).mean()
        p[rows, tb] -= 1
        p /= len(batch)
        gW2 = h.T @ p
        gb2 = p.sum(axis=0)
        gh = p @ W2.T
        gh *= h > 0
        for w, g in ((W1, xb.T @ gh), (b1, gh.sum(axis=0)), (W2, gW2), (b2, gb2)):
            w -= LR * g
        return loss

    return step


def by_torch(hidden: int, x: np.ndarray, t: np.ndarray) -> Step:
    """A step of PyTorch in eager mode."""
    import torch

    torch.set_num_threads(1)
    model = torch.nn.Sequential(
        torch.nn.Linear(784, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    xs = torch.from_numpy(x)
    ts = torch.from_numpy(t)

    def step(batch: np.ndarray) -> object:
        index = torch.from_numpy(batch)
        loss = torch.nn.functional.cross_entropy(model(xs[index]), ts[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def by_jax(hidden: int, x: np.ndarray, t: np.ndarray) -> Step:
    """A step of JAX, compiled as a whole, including the gather."""
    import jax
    import jax.numpy as jnp

    params = [jnp.asarray(p.data) for p in xpnet.MLP(784, hidden, 10, rng=0).parameters()]
    xs = jnp.asarray(x)
    ts = jnp.asarray(t)

    def loss(params: list, xb: object, tb: object) -> object:
        W1, b1, W2, b2 = params
        scores = jax.nn.log_softmax(jax.nn.relu(xb @ W1 + b1) @ W2 + b2)
        return -jnp.mean(jnp.take_along_axis(scores, tb[:, None], axis=1))

    @jax.jit
    def update(params: list, batch: object) -> list:
        grads = jax.grad(loss)(params, xs[batch], ts[batch])
        return [p - LR * g for p, g in zip(params, grads, strict=True)]

    def step(batch: np.ndarray) -> object:
        params[:] = update(params, batch)
        return jax.block_until_ready(params)

    return step


def ratios(
    hidden: int, batch: int, contenders: dict[str, Callable[..., Step]], rounds: int
) -> dict[str, tuple[float, float]]:
    """For each contender: microseconds per step, and the ratio to the time of the products."""
    (x, t), _ = load_mnist()
    rng = np.random.default_rng(0)
    floor = products(hidden, batch)
    steps = {name: make(hidden, x, t) for name, make in contenders.items()}
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in steps}
    for _ in range(rounds):
        batches = rng.integers(0, len(x), (10, batch))
        for name, step in steps.items():
            for run, into in zip((floor, step), times[name], strict=True):
                for rows in batches:
                    start = time.perf_counter()
                    run(rows)
                    into.append(time.perf_counter() - start)
    medians = {name: [statistics.median(part) for part in pair] for name, pair in times.items()}
    return {name: (1e6 * own, own / floor) for name, (floor, own) in medians.items()}


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--others", action="store_true", help="also PyTorch and JAX")
    parser.add_argument("--check", action="store_true", help="exit with 1 above xpnet's limit")
    args = parser.parse_args()
    turns: list[dict[str, Callable[..., Step]]] = [{"xpnet": by_xpnet, "NumPy by hand": by_hand}]
    for module, name, make in (("torch", "PyTorch", by_torch), ("jax", "JAX jit", by_jax)):
        if args.others and find_spec(module):
            turns.append({name: make})
    missed = False
    for (hidden, batch), limit in LIMITS.items():
        print(f"784-{hidden}-10, batch {batch}: times the five products (limit {limit} for xpnet)")
        for contenders in turns:
            for name, (micro, ratio) in ratios(hidden, batch, contenders, args.rounds).items():
                print(f"  {name:14s} {ratio:6.2f}   {micro:8.1f} us per step")
                missed |= name == "xpnet" and ratio > limit
    return int(missed and args.check)


if __name__ == "__main__":
    sys.exit(main())
