"""Each optimizer with its defaults against its formula, in plain Python, number by number."""

import math

import pytest

import xpnet
from tests.optimizers.cases import FORMULAS
from xpnet import Parameter, functions as F
from xpnet.optimizers import BY_NAME
from xpnet.testing import assert_close

START = [1.0, -2.0, 0.5]
CURVE = [3.0, 0.5, 1.0]  # the loss is sum(CURVE * p^2) / 2, its gradient CURVE * p


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
