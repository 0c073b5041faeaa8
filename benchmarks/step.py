"""What a training step costs beyond its matrix products.

    python benchmarks/step.py            xpnet and hand-written NumPy
    python benchmarks/step.py --others   and PyTorch and JAX, where they are installed
    python benchmarks/step.py --check    exit code 1 if xpnet is over its limit

The step: gather a batch from MNIST, Affine, ReLU, Affine, softmax cross entropy, backward, SGD; in
float32, on one thread. In turn, again and again: ten times the five matrix products that nobody can
do without, written into arrays that are there (`np.matmul(out=)`), then ten steps of a contender. So
whatever else the machine does falls on all alike, and steps follow on steps, as in a training. The
figure is the ratio of the medians. PyTorch and JAX come after xpnet and NumPy, one at a time: threads
and caches of theirs would slow down whoever is next.
"""

import os

# Set to Haswell on some machines, it halves NumPy's speed.
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

LIMITS = {(80, 200): 1.65, (32, 32): 5.0}  # (hidden, batch): times the products, for xpnet
LR = 0.1
Step = Callable[[np.ndarray], object]


def products(hidden: int, batch: int) -> Step:
    """The five: x W1, h W2, h.T g, g W2.T, x.T gh."""
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
    """Layers and the tape, as a user writes it."""
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
    """The textbook's step, in NumPy alone."""
    W1, b1, W2, b2 = (p.data for p in xpnet.MLP(784, hidden, 10, rng=0).parameters())

    def step(batch: np.ndarray) -> object:
        xb, tb, rows = x.take(batch, axis=0), t.take(batch), np.arange(len(batch))
        h = np.maximum(xb @ W1 + b1, 0)
        y = h @ W2 + b2
        e = np.exp(y - y.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        loss = -np.log(p[rows, tb]).mean()
        p[rows, tb] -= 1
        p /= len(batch)
        gW2, gb2, gh = h.T @ p, p.sum(axis=0), p @ W2.T
        gh *= h > 0
        for w, g in ((W1, xb.T @ gh), (b1, gh.sum(axis=0)), (W2, gW2), (b2, gb2)):
            w -= LR * g
        return loss

    return step


def by_torch(hidden: int, x: np.ndarray, t: np.ndarray) -> Step:
    """PyTorch, eager."""
    import torch

    torch.set_num_threads(1)
    model = torch.nn.Sequential(
        torch.nn.Linear(784, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    xs, ts = torch.from_numpy(x), torch.from_numpy(t)

    def step(batch: np.ndarray) -> object:
        index = torch.from_numpy(batch)
        loss = torch.nn.functional.cross_entropy(model(xs[index]), ts[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def by_jax(hidden: int, x: np.ndarray, t: np.ndarray) -> Step:
    """JAX, the whole step compiled, the gather too."""
    import jax
    import jax.numpy as jnp

    params = [jnp.asarray(p.data) for p in xpnet.MLP(784, hidden, 10, rng=0).parameters()]
    xs, ts = jnp.asarray(x), jnp.asarray(t)

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
    """For each contender: microseconds a step, and how many times the products' that is."""
    (x, t), _ = load_mnist()
    rng, floor = np.random.default_rng(0), products(hidden, batch)
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
    parser.add_argument("--others", action="store_true", help="PyTorch and JAX too")
    parser.add_argument("--check", action="store_true", help="exit 1 if xpnet is over its limit")
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
                print(f"  {name:14s} {ratio:6.2f}   {micro:8.1f} us a step")
                missed |= name == "xpnet" and ratio > limit
    return int(missed and args.check)


if __name__ == "__main__":
    sys.exit(main())
