"""A hundred steps of each optimizer, compared with PyTorch's, or with the paper's in NumPy."""

import numpy as np
import pytest

import xpnet
from tests.optimizers.cases import CASES, go, parameters, slope, start
from xpnet.optimizers import BY_NAME
from xpnet.testing import assert_close

STEPS = 100


def factor(t):
    """What a schedule might give."""
    return 1.0 - 0.6 * t / STEPS


def by_xpnet(case, dtype=None):
    """Two groups, the second with its own rate and decay; a schedule, and a new rate."""
    a, b, c = parameters(dtype)
    groups = [{"params": [a]}, {"params": [b, c], "lr": 0.005, "weight_decay": 0.2}]
    moving = case.kind(groups, **case.options)

    def rate(t):
        moving.factor = factor(t)
        if t == 50:
            moving.lr = 2.0 * moving.lr

    go(moving, range(STEPS), rate)
    return [a, b, c]


def by_torch(case, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    ps = [torch.tensor(x, requires_grad=True) for x in start(dtype)]
    own = case.kind([xpnet.Parameter([1.0])], **case.options).defaults
    own = {"lr": own["lr"], "weight_decay": own["weight_decay"]}
    groups = [{"params": ps[:1], **own}, {"params": ps[1:], "lr": 0.005, "weight_decay": 0.2}]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # or NAdam would keep its product in float32
    try:
        moving = getattr(torch.optim, case.theirs)(groups, **case.options, **case.more)
        for t in range(STEPS):
            base = own["lr"] * (2.0 if t >= 50 else 1.0)
            for group, lr in zip(moving.param_groups, (base, 0.005), strict=True):
                group["lr"] = lr * factor(t)
            for i, p in enumerate(ps):
                p.grad = torch.tensor(slope(i, t, p.detach().numpy()))
            moving.step()
    finally:
        torch.set_default_dtype(before)
    return [p.detach().numpy() for p in ps]


def by_paper(case, dtype):
    xs, states = start(dtype), [{}, {}, {}]
    for t in range(STEPS):
        base = case.options["lr"] * (2.0 if t >= 50 else 1.0)
        for i, x in enumerate(xs):
            lr, decay = (base, case.options["weight_decay"]) if i == 0 else (0.005, 0.2)
            g = slope(i, t, x)
            xs[i] = np.asarray(case.theirs(x, g, states[i], t + 1, lr * factor(t), decay), dtype)
    return xs


def by_others(case, dtype):
    return by_torch(case, dtype) if isinstance(case.theirs, str) else by_paper(case, dtype)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_in_float64(backend64, case):
    """With groups, weight decay, and rates that change."""
    expected = by_others(case, np.float64)
    for p, x in zip(by_xpnet(case), expected, strict=True):
        assert_close(p, x, rtol=1e-10)


MOMENTA = [
    {"momentum": 0.9, "dampening": 0.0, "nesterov": True},
    {"momentum": 0.5, "dampening": 0.3, "nesterov": False},
    {"momentum": 0.0, "dampening": 0.0, "nesterov": False},
]


@pytest.mark.usefixtures("eager")
def test_groups_of_sgd_have_momenta_of_their_own_that_change(backend64):
    """The momentum of a group grows; that of another is 0 for a while, and its velocity waits."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    ps = parameters()
    qs = [torch.tensor(x, requires_grad=True) for x in start()]
    ours = xpnet.SGD([{"params": [p], **o} for p, o in zip(ps, MOMENTA, strict=True)], lr=0.05)
    theirs = torch.optim.SGD(
        [{"params": [q], **o} for q, o in zip(qs, MOMENTA, strict=True)], lr=0.05
    )

    def change(t):
        for groups in (ours.groups, theirs.param_groups):
            groups[0]["momentum"] = 0.9 + 0.002 * t
            groups[1]["momentum"] = 0.0 if 10 <= t < 20 else 0.5

    go(ours, range(30), change)
    for t in range(30):
        change(t)
        for i, q in enumerate(qs):
            q.grad = torch.tensor(slope(i, t, q.detach().numpy()))
        theirs.step()
    assert [list(s) for s in ours.state] == [["t", "v"], ["t", "v"], ["t"]]
    for p, q in zip(ps, qs, strict=True):
        assert_close(p, q.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_in_float32(backend, case):
    """The same in float32, which parameters and state keep."""
    expected = by_others(case, np.float32)
    for p, x in zip(by_xpnet(case), expected, strict=True):
        assert p.dtype == backend.xp.float32
        assert_close(p, x, rtol=1e-5, atol=1e-6)


def test_every_optimizer_has_a_case():
    assert {case.kind for case in CASES} == set(BY_NAME.values())
