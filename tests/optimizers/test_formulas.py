"""Each optimizer with its defaults against its formula, in plain Python, number by number."""

import math

import pytest

import xpnet
from xpnet import Parameter, functions as F
from xpnet.optimizers import BY_NAME
from xpnet.testing import assert_close

START = [1.0, -2.0, 0.5]
CURVE = [3.0, 0.5, 1.0]  # the loss is sum(CURVE * p^2) / 2, its gradient CURVE * p


def sgd(p, g, s, t):
    return p - 0.1 * g


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
    xpnet.AdaGrad: adagrad,
    xpnet.Adadelta: adadelta,
    xpnet.RMSProp: rmsprop,
    xpnet.Adam: adam,
    xpnet.AdamW: adamw,
    xpnet.NAdam: nadam,
    xpnet.RAdam: radam,
    xpnet.Lion: lion,
}


@pytest.mark.parametrize("kind", FORMULAS, ids=lambda kind: kind.__name__)
def test_formula(backend64, kind):
    """Twenty steps of the whole way: loss, backward, step."""
    expected = []
    for p, c in zip(START, CURVE, strict=True):
        state = {}
        for t in range(1, 21):
            p = FORMULAS[kind](p, c * p, state, t)
        expected.append(p)
    p = Parameter(backend64.asarray(START))
    curve, moving = backend64.asarray(CURVE), kind([p])
    for _ in range(20):
        moving.zero_grad()
        (0.5 * F.sum(p * p * curve)).backward()
        moving.step()
    assert_close(p, expected, rtol=1e-10)


def test_lamb_scales_by_the_whole_parameter(backend64):
    """One step, by hand: m / (1 - b1) = g and sqrt(v / (1 - b2)) = |g|, so d = sign(g)."""
    p = Parameter(backend64.asarray([3.0, 4.0]))
    p.grad = backend64.asarray([0.5, -2.0])
    xpnet.LAMB([p], lr=0.1, eps=0.0).step()
    trust = 5.0 / math.sqrt(2.0)
    assert_close(p, [3.0 - 0.1 * trust, 4.0 + 0.1 * trust], rtol=1e-12)


def test_lamb_starts_from_zeros(backend):
    """Where the parameter is 0, the step is lr times the direction."""
    p = Parameter(backend.asarray([0.0, 0.0]))
    p.grad = backend.asarray([0.5, -2.0])
    xpnet.LAMB([p], lr=0.1).step()
    assert_close(p, [-0.1, 0.1], rtol=1e-5)
    p = Parameter(backend.asarray([0.0, 1.0]))
    p.grad = backend.asarray([0.0, 0.0])
    xpnet.LAMB([p], lr=0.1).step()
    assert xpnet.to_numpy(p).tolist() == [0.0, 1.0]


def test_every_optimizer_has_a_formula():
    assert {*FORMULAS, xpnet.LAMB} == set(BY_NAME.values())
