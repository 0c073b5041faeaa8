"""JAX as its users write it: a step that is jitted, and many steps in one `lax.scan`."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.peers.contender import Contender
from benchmarks.peers.workloads import Weights, Workload

Tree = Any


def dense(p: list[jax.Array], x: jax.Array) -> jax.Array:
    """Dense layers with ReLU between them; p has weights and biases in turn."""
    for W, b in zip(p[:-2:2], p[1:-2:2], strict=True):
        x = jax.nn.relu(x @ W + b)
    return x @ p[-2] + p[-1]


def lenet(p: list[jax.Array], x: jax.Array) -> jax.Array:
    """LeNet on images with the channels last, which is what XLA is fastest with on a CPU."""
    x = x.reshape(-1, 28, 28, 1)
    for kernel, bias, padding in ((p[0], p[1], "SAME"), (p[2], p[3], "VALID")):
        dimensions = ("NHWC", "OIHW", "NHWC")
        x = lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=dimensions)
        window = (1, 2, 2, 1)
        x = lax.reduce_window(jax.nn.relu(x + bias), -jnp.inf, lax.max, window, window, "VALID")
    x = x.transpose(0, 3, 1, 2)  # the order in which the dense layer's weights expect the numbers
    return dense(p[4:], x.reshape(len(x), -1))


def step(workload: Workload, state: Tree, rows: jax.Array, x: jax.Array, t: jax.Array) -> Tree:
    """The weights and the optimizer's state after one step."""
    p, m, v, count = state
    network = lenet if workload.convolutional else dense

    def loss(p: list[jax.Array]) -> jax.Array:
        scores = jax.nn.log_softmax(network(p, x[rows]))
        return -jnp.take_along_axis(scores, t[rows][:, None], 1).mean()

    g = jax.grad(loss)(p)
    over = jax.tree.map
    lr = workload.lr
    if workload.optimizer == "sgd":
        return over(lambda p, g: p - lr * g, p, g), m, v, count
    if workload.optimizer == "momentum":
        m = over(lambda m, g: 0.9 * m + g, m, g)
        return over(lambda p, m: p - lr * m, p, m), m, v, count
    count = count + 1
    m = over(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = over(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    root = jnp.sqrt(1 - 0.999**count)
    rate = lr / (1 - 0.9**count)
    return over(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), p, m, v), m, v, count


class Jit(Contender):
    """One call for each step."""

    def __init__(self, workload: Workload, x: np.ndarray, t: np.ndarray, weights: Weights) -> None:
        p = [jnp.array(w) for w in weights]
        zeros = jax.tree.map(jnp.zeros_like, p)
        self.state = (p, zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(0))
        self.x = jnp.asarray(x)
        self.t = jnp.asarray(t.astype(np.int32))
        self.step = jax.jit(partial(step, workload), donate_argnums=0)

    def run(self, indices: np.ndarray) -> None:
        for rows in indices.astype(np.int32):
            self.state = self.step(self.state, rows, self.x, self.t)
        jax.block_until_ready(self.state)

    def weights(self) -> Weights:
        return [np.array(w) for w in self.state[0]]


class Scan(Jit):
    """One call for many steps."""

    whole_chunks = True  # another number of steps would be compiled anew

    def __init__(self, workload: Workload, x: np.ndarray, t: np.ndarray, weights: Weights) -> None:
        super().__init__(workload, x, t, weights)

        def steps(state: Tree, indices: jax.Array, x: jax.Array, t: jax.Array) -> Tree:
            return lax.scan(
                lambda state, rows: (step(workload, state, rows, x, t), None), state, indices
            )[0]

        self.steps = jax.jit(steps, donate_argnums=0)

    def run(self, indices: np.ndarray) -> None:
        self.state = self.steps(self.state, indices.astype(np.int32), self.x, self.t)
        jax.block_until_ready(self.state)


CONTENDERS = {"jax-jit": Jit, "jax-scan": Scan}
