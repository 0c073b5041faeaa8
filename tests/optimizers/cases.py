"""What the optimizers' tests share: a valley to go down, and each optimizer with its options."""

from functools import cache
from typing import NamedTuple

import numpy as np

import xpnet
from xpnet import Parameter

SHAPES = [(3, 2), (4,), ()]


class Case(NamedTuple):
    """An optimizer, and PyTorch's with the same formula, or None."""

    kind: type
    options: dict
    theirs: str | None
    more: dict  # options that only theirs needs

    def __str__(self) -> str:
        options = "-".join(f"{name}" for name in self.options if name not in ("lr", "weight_decay"))
        return "-".join(filter(None, (self.kind.__name__, options)))


def case(kind, theirs, more=None, **options):
    return Case(kind, options, theirs, more or {})


CASES = [
    case(xpnet.SGD, "SGD", lr=0.1, weight_decay=0.01),
    case(xpnet.Momentum, "SGD", {"momentum": 0.9}, lr=0.01, weight_decay=0.01),
    case(xpnet.Momentum, "SGD", lr=0.02, momentum=0.7, dampening=0.3, weight_decay=0.01),
    case(xpnet.Nesterov, "SGD", {"nesterov": True}, lr=0.01, momentum=0.8, weight_decay=0.01),
    case(xpnet.AdaGrad, "Adagrad", weight_decay=0.01),
    case(xpnet.AdaGrad, "Adagrad", lr_decay=0.1, initial_accumulator_value=0.5, lr=0.2),
    case(xpnet.Adadelta, "Adadelta", weight_decay=0.01),
    case(xpnet.RMSProp, "RMSprop", weight_decay=0.01),
    case(xpnet.RMSProp, "RMSprop", momentum=0.5, centered=True, lr=0.003),
    case(xpnet.Adam, "Adam", weight_decay=0.01, lr=0.01),
    case(xpnet.Adam, "Adam", amsgrad=True, betas=(0.8, 0.9), lr=0.01),
    case(xpnet.Adam, "Adam", decoupled_weight_decay=True, weight_decay=0.1, lr=0.01),
    case(xpnet.AdamW, "AdamW", lr=0.01),
    case(xpnet.AdamW, "AdamW", amsgrad=True, weight_decay=0.1, lr=0.01),
    case(xpnet.NAdam, "NAdam", weight_decay=0.01),
    case(xpnet.NAdam, "NAdam", decoupled_weight_decay=True, weight_decay=0.1, momentum_decay=0.02),
    case(xpnet.RAdam, "RAdam", weight_decay=0.01, lr=0.01),
    case(xpnet.RAdam, "RAdam", decoupled_weight_decay=True, weight_decay=0.1, lr=0.01),
    case(xpnet.Lion, None, weight_decay=0.1, lr=0.003),
    case(xpnet.LAMB, None, weight_decay=0.1, lr=0.01),
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
