"""What the optimizers' tests share: a valley to go down, and each optimizer with its options."""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

import xpnet
from xpnet import Parameter

SHAPES = [(3, 2), (4,), ()]


# --- each optimizer's formula with its default options, number by number ------------------------------


def sgd(p, g, s, t):
    return p - 0.001 * g


def momentum(p, g, s, t):
    s["v"] = 0.9 * s.get("v", 0.0) + g
    return p - 0.01 * s["v"]


def nesterov(p, g, s, t):
    s["v"] = 0.9 * s.get("v", 0.0) + g
    return p - 0.01 * (g + 0.9 * s["v"])


def adagrad(p, g, s, t):
    s["s"] = s.get("s", 0.0) + g * g
    return p - 0.01 * g / (math.sqrt(s["s"]) + 1e-10)


def adadelta(p, g, s, t):
    s["s"] = 0.9 * s.get("s", 0.0) + 0.1 * g * g
    d = math.sqrt(s.get("u", 0.0) + 1e-6) / math.sqrt(s["s"] + 1e-6) * g
    s["u"] = 0.9 * s.get("u", 0.0) + 0.1 * d * d
    return p - d


def rmsprop(p, g, s, t):
    s["s"] = 0.99 * s.get("s", 0.0) + 0.01 * g * g
    return p - 0.01 * g / (math.sqrt(s["s"]) + 1e-8)


def moments(g, s):
    s["m"] = 0.9 * s.get("m", 0.0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0.0) + 0.001 * g * g
    return s["m"], s["v"]


def adam(p, g, s, t):
    m, v = moments(g, s)
    m, v = m / (1 - 0.9**t), v / (1 - 0.999**t)
    return p - 0.001 * m / (math.sqrt(v) + 1e-8)


def adamw(p, g, s, t):
    return adam(p - 0.001 * 0.01 * p, g, s, t)


def nadam(p, g, s, t):
    m, v = moments(g, s)
    c = [0.9 * (1 - 0.5 * 0.96 ** (0.004 * i)) for i in range(t + 2)]
    product = math.prod(c[1 : t + 1])
    ahead = c[t + 1] * m / (1 - product * c[t + 1]) + (1 - c[t]) * g / (1 - product)
    return p - 0.002 * ahead / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)


def radam(p, g, s, t):
    m, v = moments(g, s)
    most = 2 / (1 - 0.999) - 1
    seen = most - 2 * t * 0.999**t / (1 - 0.999**t)
    step = m / (1 - 0.9**t)
    if seen > 5:
        rise = (seen - 4) * (seen - 2) * most / ((most - 4) * (most - 2) * seen)
        step *= math.sqrt(rise) * math.sqrt(1 - 0.999**t) / (math.sqrt(v) + 1e-8)
    return p - 0.001 * step


def lion(p, g, s, t):
    m = s.get("m", 0.0)
    s["m"] = 0.99 * m + 0.01 * g
    return p - 0.0001 * math.copysign(1.0, 0.9 * m + 0.1 * g)


FORMULAS = {
    xpnet.SGD: sgd,
    xpnet.Momentum: momentum,
    xpnet.Nesterov: nesterov,
    xpnet.Adagrad: adagrad,
    xpnet.Adadelta: adadelta,
    xpnet.RMSprop: rmsprop,
    xpnet.Adam: adam,
    xpnet.AdamW: adamw,
    xpnet.NAdam: nadam,
    xpnet.RAdam: radam,
    xpnet.Lion: lion,
}

# --- the formulas on arrays of those that PyTorch lacks -------------------------------------------


def lion_on_arrays(x, g, s, t, lr, decay):
    """Program 1 of Chen et al."""
    m = s.setdefault("m", np.zeros_like(x))
    direction = np.sign(0.9 * m + 0.1 * g) + decay * x
    s["m"] = 0.99 * m + 0.01 * g
    return x - lr * direction


def lamb_on_arrays(x, g, s, t, lr, decay):
    """Algorithm 2 of You et al., its phi the identity."""
    m, v = s.get("m", 0.0 * x), s.get("v", 0.0 * x)
    s["m"], s["v"] = m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    r = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-6) + decay * x
    size, length = np.sqrt(np.sum(x * x)), np.sqrt(np.sum(r * r))
    return x - lr * (size / length) * r


# --- the options to compare with ------------------------------------------------------------------


class Case(NamedTuple):
    """An optimizer, and PyTorch's with the same formula, or None."""

    kind: type
    options: dict
    theirs: str | Callable
    more: dict  # options that only theirs needs

    def __str__(self) -> str:
        options = "-".join(f"{name}" for name in self.options if name not in ("lr", "weight_decay"))
        return "-".join(filter(None, (self.kind.__name__, options)))


def case(kind, theirs, more=None, **options):
    return Case(kind, options, theirs, more or {})


CASES = [
    case(xpnet.SGD, "SGD", lr=0.1, weight_decay=0.01),
    case(xpnet.SGD, "SGD", lr=0.01, momentum=0.9, weight_decay=0.01),
    case(xpnet.SGD, "SGD", lr=0.02, momentum=0.7, dampening=0.3, weight_decay=0.01),
    case(xpnet.SGD, "SGD", lr=0.01, momentum=0.8, nesterov=True),
    case(xpnet.Momentum, "SGD", {"momentum": 0.9}, lr=0.01, weight_decay=0.01),
    case(xpnet.Momentum, "SGD", lr=0.02, momentum=0.7, dampening=0.3, weight_decay=0.01),
    case(xpnet.Nesterov, "SGD", {"nesterov": True}, lr=0.01, momentum=0.8, weight_decay=0.01),
    case(xpnet.Adagrad, "Adagrad", weight_decay=0.01),
    case(xpnet.Adagrad, "Adagrad", lr_decay=0.1, initial_accumulator_value=0.5, lr=0.2),
    case(xpnet.Adadelta, "Adadelta", weight_decay=0.01),
    case(xpnet.RMSprop, "RMSprop", weight_decay=0.01),
    case(xpnet.RMSprop, "RMSprop", momentum=0.5, centered=True, lr=0.003),
    case(xpnet.Adam, "Adam", weight_decay=0.01, lr=0.01),
    case(xpnet.Adam, "Adam", amsgrad=True, betas=(0.8, 0.9), lr=0.01),
    case(xpnet.Adam, "Adam", decoupled_weight_decay=True, weight_decay=0.1, lr=0.01),
    case(xpnet.AdamW, "AdamW", lr=0.01),
    case(xpnet.AdamW, "AdamW", amsgrad=True, weight_decay=0.1, lr=0.01),
    case(xpnet.NAdam, "NAdam", weight_decay=0.01),
    case(xpnet.NAdam, "NAdam", decoupled_weight_decay=True, weight_decay=0.1, momentum_decay=0.02),
    case(xpnet.RAdam, "RAdam", weight_decay=0.01, lr=0.01),
    case(xpnet.RAdam, "RAdam", decoupled_weight_decay=True, weight_decay=0.1, lr=0.01),
    case(xpnet.Lion, lion_on_arrays, weight_decay=0.1, lr=0.003),
    case(xpnet.LAMB, lamb_on_arrays, weight_decay=0.1, lr=0.01),
]


def start(dtype=np.float64):
    """The initial parameters; one of them contains a zero, one is a single number."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in SHAPES]
    arrays[1][0] = 0.0
    return [np.asarray(x, dtype) for x in arrays]


@cache
def noise(i, t):
    return 0.3 * np.random.default_rng([i, t]).standard_normal(SHAPES[i])


@cache
def curve(i):
    return np.random.default_rng(i).uniform(0.5, 3.0, SHAPES[i])


def slope(i, t, p):
    """The gradient of parameter i in step t: that of a quadratic function, with repeatable noise."""
    return np.asarray(curve(i), p.dtype) * p + np.asarray(noise(i, t), p.dtype)


def go(moving, steps, rate=None):
    """Run an optimizer of xpnet for these steps; `rate` sets it up for each of them."""
    home = xpnet.current()
    for t in steps:
        if rate is not None:
            rate(t)
        for i, p in enumerate(moving.parameters):
            p.grad = home.asarray(slope(i, t, xpnet.to_numpy(p)))
        moving.step()


def parameters(dtype=None):
    home = xpnet.current()
    return [Parameter(home.asarray(x, dtype or home.dtype)) for x in start()]
