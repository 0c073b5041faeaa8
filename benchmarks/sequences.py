"""A training step of an LSTM, a Transformer and a physics-informed network, and a gradient.

    python benchmarks/sequences.py                      every task in every library that is installed
    python benchmarks/sequences.py lstm --libraries xpnet,xpnet-compiled,torch,jax

    lstm          (64, 28, 28): 28 steps of 28 numbers; 64 units, and a dense layer; Adam
    transformer   (32, 28, 64): two encoder layers, 4 heads, 128 hidden units, mean, dense layer; Adam
    physics       u'' + 0.3 u' + u at 64 points, for a network 1-32-32-1 (examples/physics_informed.py), in float64:
                  the mean of its squares, whose gradient goes through both derivatives; Adam
    rosenbrock    value and gradient of Rosenbrock's function of 100 variables, in float64

Each library runs in a process of its own, with one thread; the rounds of all libraries alternate. The
figure is the median of the rounds' medians.
"""

import argparse
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from benchmarks.peers.race import environment, missing_package
from benchmarks.peers.results import save
from xpnet.compiler.c import load
from xpnet.errors import CompileError

Step = Callable[[], Any]
TASKS = ("lstm", "transformer", "physics", "rosenbrock")
LIBRARIES = ("xpnet", "xpnet-compiled", "torch", "jax")
ROUNDS = 3
CHUNK = 0.3  # seconds
DAMPING = 0.3
END = 2.0 * math.pi
WIDTHS = (1, 32, 32, 1)
Results = dict[str, dict[str, list[float | str]]]  # by task and library: each round's seconds


def samples(task: str) -> tuple[np.ndarray, np.ndarray]:
    """A batch of sequences and their classes."""
    rng = np.random.default_rng(0)
    shape = {"lstm": (64, 28, 28), "transformer": (32, 28, 64)}[task]
    return rng.standard_normal(shape, np.float32), rng.integers(10, size=shape[0])


def points() -> np.ndarray:
    """The times at which the equation is to hold."""
    return np.linspace(0.0, END, 64)[:, None]


def solution(xp: Any, network: Callable[[Any], Any], t: Any) -> Any:
    """The network's u(t), which is 1 with slope 0 at t = 0."""
    return 1.0 + network(t * (2.0 / END) - 1.0) * xp.tanh(0.5 * t**2)


def rosenbrock(xp: Any, x: Any) -> Any:
    """The sum of 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2."""
    return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


# --- xpnet ----------------------------------------------------------------------------------------


def by_xpnet(task: str, compiled: bool) -> Step:
    """A step in xpnet, eager or compiled."""
    import xpnet
    from xpnet import functions as F

    if task == "rosenbrock":
        function: Any = xpnet.value_and_grad(lambda x: rosenbrock(F, x))
        arguments: Any = [np.linspace(-1.0, 1.0, 100)]
    elif task == "physics":
        function = _physics_by_xpnet()
        arguments = [points()]
    else:
        function = _network_by_xpnet(task)
        arguments = samples(task)
    if compiled:
        function = xpnet.compile(function)
    return lambda: function(*arguments)


def _network_by_xpnet(task: str) -> Step:
    import xpnet
    from xpnet import functions as F

    model: Any
    if task == "lstm":
        recurrent = xpnet.LSTM(28, 64, batch_first=True, rng=0)
        head = xpnet.Affine(64, 10, rng=0)
        parameters = [*recurrent.parameters(), *head.parameters()]

        def model(x: np.ndarray) -> Any:
            return head(recurrent(x)[0][:, -1, :])
    else:
        encoder = xpnet.TransformerEncoder(
            [xpnet.TransformerEncoderLayer(64, 4, 128, 0.0, batch_first=True) for _ in range(2)]
        )
        head = xpnet.Affine(64, 10, rng=0)
        parameters = [*encoder.parameters(), *head.parameters()]

        def model(x: np.ndarray) -> Any:
            return head(F.mean(encoder(x), axis=1))

    optimizer = xpnet.Adam(parameters)

    def step(x: np.ndarray, t: np.ndarray) -> Any:
        loss = F.softmax_cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def _physics_by_xpnet() -> Step:
    import xpnet
    from xpnet import functions as F

    with xpnet.using("numpy", "float64"):
        model = xpnet.MLP(1, [32, 32], 1, activation="tanh", rng=0)
    optimizer = xpnet.Adam(model.parameters())

    def u(t: Any) -> Any:
        return solution(F, model, t)

    def derivative(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return xpnet.grad(lambda t: F.sum(f(t)))

    velocity = derivative(u)
    acceleration = derivative(velocity)

    def step(t: np.ndarray) -> Any:
        loss = F.mean((acceleration(t) + DAMPING * velocity(t) + u(t)) ** 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


# --- PyTorch --------------------------------------------------------------------------------------


def by_torch(task: str) -> Step:
    """A step in PyTorch."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    if task == "rosenbrock":
        point = torch.linspace(-1.0, 1.0, 100, dtype=torch.float64, requires_grad=True)

        def gradient() -> Any:
            return torch.autograd.grad(rosenbrock(torch, point), point)

        return gradient
    if task == "physics":
        return _physics_by_torch()
    x, t = map(torch.from_numpy, samples(task))
    body: Any
    if task == "lstm":
        body = nn.LSTM(28, 64, batch_first=True)
    else:
        layer = nn.TransformerEncoderLayer(64, 4, 128, 0.0, batch_first=True)
        body = nn.TransformerEncoder(layer, 2)
    head = nn.Linear(64, 10)
    optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()])

    def step() -> None:
        y = body(x)
        last = y[0][:, -1] if task == "lstm" else y.mean(1)
        loss = nn.functional.cross_entropy(head(last), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _physics_by_torch() -> Step:
    import torch
    from torch import nn

    layers: list[Any] = []
    for inputs, outputs in pairwise(WIDTHS):
        layers += [nn.Linear(inputs, outputs, dtype=torch.float64), nn.Tanh()]
    model = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(model.parameters())
    t = torch.from_numpy(points()).requires_grad_()

    def derivative(y: Any) -> Any:
        return torch.autograd.grad(y.sum(), t, create_graph=True)[0]

    def step() -> None:
        u = solution(torch, model, t)
        velocity = derivative(u)
        loss = ((derivative(velocity) + DAMPING * velocity + u) ** 2).mean()
        optimizer.zero_grad()
        loss.backward(inputs=list(model.parameters()))
        optimizer.step()

    return step


# --- JAX ------------------------------------------------------------------------------------------


def by_jax(task: str) -> Step:
    """A step in JAX, jitted."""
    import jax
    import jax.numpy as jnp

    if task == "rosenbrock":
        jax.config.update("jax_enable_x64", True)
        gradient = jax.jit(jax.value_and_grad(lambda x: rosenbrock(jnp, x)))
        point = jnp.linspace(-1.0, 1.0, 100)
        return lambda: jax.block_until_ready(gradient(point))
    if task == "physics":
        return _trained_by_jax(*_physics_by_jax())
    x, t = map(jnp.asarray, samples(task))
    network, p = (_jax_lstm if task == "lstm" else _jax_transformer)()

    def loss(p: Any) -> Any:
        scores = jax.nn.log_softmax(network(p, x))
        return -jnp.take_along_axis(scores, t[:, None], 1).mean()

    return _trained_by_jax(loss, p)


def _trained_by_jax(loss: Callable[[Any], Any], p: Any) -> Step:
    """A step of Adam, jitted."""
    import jax
    import jax.numpy as jnp

    @jax.jit
    def step(p: Any, m: Any, v: Any, count: Any) -> Any:
        g = jax.grad(loss)(p)
        over = jax.tree.map
        m = over(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = over(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate = 1e-3 / (1 - 0.9**count)
        root = jnp.sqrt(1 - 0.999**count)
        return over(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), p, m, v), m, v

    zeros = jax.tree.map(jnp.zeros_like, p)
    state = [p, zeros, zeros, 0.0]

    def run() -> None:
        state[3] += 1.0
        state[:3] = step(*state)
        jax.block_until_ready(state[0])

    return run


def _physics_by_jax() -> tuple[Callable[[Any], Any], Any]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    t = jnp.asarray(points())
    p = [(_uniform(*shape).astype("float64"), jnp.zeros(shape[1])) for shape in pairwise(WIDTHS)]

    def network(p: Any, x: Any) -> Any:
        for weight, bias in p[:-1]:
            x = jnp.tanh(x @ weight + bias)
        weight, bias = p[-1]
        return x @ weight + bias

    def derivative(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return jax.grad(lambda t: jnp.sum(f(t)))

    def loss(p: Any) -> Any:
        def u(t: Any) -> Any:
            return solution(jnp, partial(network, p), t)

        velocity = derivative(u)
        return jnp.mean((derivative(velocity)(t) + DAMPING * velocity(t) + u(t)) ** 2)

    return loss, p


def _uniform(*shape: int) -> Any:
    import jax.numpy as jnp

    bound = shape[0] ** -0.5
    return jnp.asarray(np.random.default_rng(0).uniform(-bound, bound, shape), jnp.float32)


def _jax_lstm() -> tuple[Any, Any]:
    import jax
    import jax.numpy as jnp
    from jax import lax

    p = {"x": _uniform(28, 256), "h": _uniform(64, 256), "b": jnp.zeros(256), "W": _uniform(64, 10)}

    def network(p: Any, x: Any) -> Any:
        z = jnp.swapaxes(x @ p["x"] + p["b"], 0, 1)

        def step(state: Any, z: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(z + h @ p["h"], 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        zeros = jnp.zeros((x.shape[0], 64))
        (h, _), _ = lax.scan(step, (zeros, zeros), z)
        return h @ p["W"]

    return network, p


def _jax_transformer() -> tuple[Any, Any]:
    import jax
    import jax.numpy as jnp

    layer = {
        "qkv": _uniform(64, 192), "out": _uniform(64, 64), "up": _uniform(64, 128),
        "down": _uniform(128, 64), "b1": jnp.zeros(192), "b2": jnp.zeros(64), "b3": jnp.zeros(128),
        "b4": jnp.zeros(64), "g1": jnp.ones(64), "s1": jnp.zeros(64), "g2": jnp.ones(64),
        "s2": jnp.zeros(64),
    }  # fmt: skip
    p = {"layers": [layer, dict(layer)], "W": _uniform(64, 10)}

    def norm(x: Any, scale: Any, shift: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * scale + shift

    def network(p: Any, x: Any) -> Any:
        n, length, _ = x.shape
        for q in p["layers"]:
            parts = jnp.split(x @ q["qkv"] + q["b1"], 3, axis=-1)
            query, key, value = (a.reshape(n, length, 4, 16).transpose(0, 2, 1, 3) for a in parts)
            weights = jax.nn.softmax(query @ key.swapaxes(-1, -2) / 4.0)
            joined = (weights @ value).transpose(0, 2, 1, 3).reshape(x.shape)
            x = norm(x + joined @ q["out"] + q["b2"], q["g1"], q["s1"])
            hidden = jax.nn.relu(x @ q["up"] + q["b3"])
            x = norm(x + hidden @ q["down"] + q["b4"], q["g2"], q["s2"])
        return x.mean(1) @ p["W"]

    return network, p


# --- measuring ------------------------------------------------------------------------------------


def maker(library: str, task: str) -> Step:
    """The step of a library."""
    if library == "torch":
        return by_torch(task)
    if library == "jax":
        return by_jax(task)
    return by_xpnet(task, compiled=library == "xpnet-compiled")


def chunk(step: Step) -> float:
    """The seconds of a step: the median of five chunks."""
    for _ in range(5):  # what compiles does so now
        step()
    began = time.perf_counter()
    step()
    each = time.perf_counter() - began
    n = max(3, int(CHUNK / each))
    times = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(n):
            step()
        times.append((time.perf_counter() - began) / n)
    return statistics.median(times)


@cache
def no_library() -> str:
    """Why xpnet cannot compute in C; empty if it can."""
    try:
        load.wait()
    except CompileError as error:
        return str(error)
    return ""


def measured(library: str, task: str) -> float | str:
    """The seconds of a step, from a process of its own; or why it cannot be measured here.

    Raises
    ------
    RuntimeError
        The process failed otherwise.
    """
    if library == "xpnet-compiled" and no_library():
        return no_library()
    env = dict(environment(threads=1), XPNET_EXECUTOR="c")  # no plan waits for the C compiler
    command = [sys.executable, __file__, "--one", library, task]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        return missing_package(done.stderr)
    return float(done.stdout)


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="*", choices=[*TASKS, []])
    parser.add_argument("--libraries", default=",".join(LIBRARIES))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--check", action="store_true", help="accepted, as there is no limit")
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(chunk(maker(*options.one)))
        return 0
    results: Results = {}
    for task in options.tasks or TASKS:
        found: dict[str, list[float | str]] = {x: [] for x in options.libraries.split(",")}
        for _ in range(options.rounds):
            for library, rounds in found.items():
                rounds.append(measured(library, task))
        results[task] = found
        print(f"{task}: measured", file=sys.stderr, flush=True)
    print(markdown(results))
    if options.out:
        save(options.out, 1, results)
    return 0


def markdown(results: Results) -> str:
    """The table: a row for each task, a column for each library."""
    libraries = list(next(iter(results.values())))
    lines = ["| | " + " | ".join(libraries) + " |", "|---|" + "---:|" * len(libraries)]
    for task, found in results.items():
        cells = [_cell(found[library]) for library in libraries]
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(rounds: list[float | str]) -> str:
    times = [x for x in rounds if isinstance(x, float)]
    if not times:
        return f"({rounds[0]})"
    return f"{statistics.median(times) * 1e6:,.0f} us"


if __name__ == "__main__":
    sys.exit(main())
