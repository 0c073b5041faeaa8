"""Schedules: PyTorch's values over hundreds of steps, or else values from the formulas."""

import math
import warnings

import pytest
from hypothesis import given, settings, strategies as st

import xpnet
from xpnet import schedules as S

STEPS = 400
HURRIED = settings(max_examples=25, deadline=None, derandomize=True, database=None)


def by_torch(build, steps=STEPS, epoch=False):
    """The rates of PyTorch's scheduler, for a rate of 1 (or a max_lr of 1)."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    moving = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an order of calls that does not matter here
        scheduler, rates = build(torch.optim.lr_scheduler, moving), []
        for _ in range(steps):
            rates.append(moving.param_groups[0]["lr"])
            scheduler.step()
    return rates


CASES = {
    "step": (S.step_decay(30, 0.3), lambda T, o: T.StepLR(o, 30, 0.3)),
    "multi_step": (
        S.multi_step([80, 30, 81, 300]),
        lambda T, o: T.MultiStepLR(o, [30, 80, 81, 300]),
    ),
    "exponential": (S.exponential(0.99), lambda T, o: T.ExponentialLR(o, 0.99)),
    "linear": (S.linear(STEPS), lambda T, o: T.LinearLR(o, 1.0, 0.0, STEPS)),
    "linear_short": (S.linear(150, 0.25, 0.75), lambda T, o: T.LinearLR(o, 0.25, 0.75, 150)),
    "cosine": (S.cosine(STEPS, 0.1), lambda T, o: T.CosineAnnealingLR(o, STEPS, 0.1)),
    "restarts": (
        S.cosine_restarts(70, end=0.2),
        lambda T, o: T.CosineAnnealingWarmRestarts(o, 70, 1, 0.2),
    ),
    "restarts_2": (
        S.cosine_restarts(20, mult=2),
        lambda T, o: T.CosineAnnealingWarmRestarts(o, 20, 2),
    ),
    "restarts_3": (
        S.cosine_restarts(7, mult=3, end=0.01),
        lambda T, o: T.CosineAnnealingWarmRestarts(o, 7, 3, 0.01),
    ),
    "one_cycle": (S.one_cycle(STEPS), lambda T, o: T.OneCycleLR(o, 1.0, STEPS)),
    "one_cycle_linear": (
        S.one_cycle(STEPS, 0.25, "linear", 10.0, 100.0),
        lambda T, o: T.OneCycleLR(
            o,
            1.0,
            STEPS,
            pct_start=0.25,
            anneal_strategy="linear",
            div_factor=10.0,
            final_div_factor=100.0,
        ),
    ),
    "one_cycle_three": (
        S.one_cycle(STEPS, three_phase=True),
        lambda T, o: T.OneCycleLR(o, 1.0, STEPS, three_phase=True),
    ),
    "warmup": (
        S.warmup(S.cosine(300), 100, 0.1),
        lambda T, o: T.SequentialLR(
            o, [T.LinearLR(o, 0.1, 1.0, 100), T.CosineAnnealingLR(o, 300)], [100]
        ),
    ),
    "warmup_step": (
        S.warmup(S.step_decay(50), 20, 0.5),
        lambda T, o: T.SequentialLR(o, [T.LinearLR(o, 0.5, 1.0, 20), T.StepLR(o, 50)], [20]),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_values_are_pytorchs(name):
    ours, theirs = CASES[name]
    steps = STEPS - 1 if "one_cycle" in name else STEPS  # it refuses a step more
    expected = by_torch(theirs, steps)
    assert [ours(n) for n in range(steps)] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_they_are_functions_of_the_step(name):
    """Asked in any order, and again, they say the same; floats, also far beyond the end."""
    schedule = CASES[name][0]
    forth = [schedule(n) for n in range(STEPS)]
    assert [schedule(n) for n in reversed(range(STEPS))] == forth[::-1]
    assert all(isinstance(x, float) for x in forth)
    assert 0.0 <= schedule(10**6) <= 1.0


def test_by_formula():
    """Numbers that one can work out."""
    assert [S.step_decay(2, 0.5)(n) for n in range(5)] == [1.0, 1.0, 0.5, 0.5, 0.25]
    assert [S.multi_step([1, 3], 0.5)(n) for n in range(5)] == [1.0, 0.5, 0.5, 0.25, 0.25]
    assert [S.linear(4)(n) for n in range(6)] == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    assert [S.cosine(2)(n) for n in range(4)] == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert [S.cosine_restarts(2)(n) for n in range(5)] == pytest.approx([1.0, 0.5, 1.0, 0.5, 1.0])
    assert [S.warmup(S.constant(), 3)(n) for n in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert S.warmup(S.linear(4), 0)(1) == 0.75
    assert [S.per_epoch(S.linear(2), 3)(n) for n in range(7)] == [1.0] * 3 + [0.5] * 3 + [0.0]


@pytest.mark.parametrize("options", [{}, {"anneal_strategy": "linear"}, {"three_phase": True}])
def test_momentum_in_one_cycle_is_pytorchs(options):
    """The momentum follows one more curve, upside down."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    moving = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(moving, 1.0, STEPS, **options)
    bump = S.one_cycle(STEPS, div_factor=math.inf, final_div_factor=1.0, **options)
    for n in range(STEPS):
        assert 0.95 - 0.1 * bump(n) == pytest.approx(moving.param_groups[0]["momentum"], rel=1e-9)
        moving.step()
        if n < STEPS - 1:
            scheduler.step()


def test_one_cycle_ends_low_and_stays():
    """1 / 25 at first, 1 at the top, 1 / 250000 at the last step and after it."""
    for steps in (2, 3, 10, 100):
        schedule = S.one_cycle(steps)
        assert schedule(steps - 1) == schedule(steps) == schedule(10 * steps) == 1 / 250000
    assert S.one_cycle(100)(0) == pytest.approx(1 / 25)
    assert S.one_cycle(100)(29) == 1.0


PLATEAUS = [
    {"factor": 0.5, "patience": 3},
    {"factor": 0.1, "patience": 0, "cooldown": 2},
    {"factor": 0.5, "patience": 2, "threshold": 0.1, "threshold_mode": "abs"},
    {"factor": 0.5, "patience": 2, "threshold": 0.05, "mode": "max"},
    {"factor": 0.5, "patience": 1, "mode": "max", "threshold_mode": "abs", "cooldown": 5},
]


@pytest.mark.parametrize("options", PLATEAUS, ids=str)
@HURRIED
@given(
    losses=st.lists(
        st.sampled_from([3.0, 2.0, 1.0, 0.99, 0.9, 0.5, 0.0, -0.5, -1.0, math.nan]), max_size=60
    )
)
def test_plateaus_are_pytorchs(options, losses):
    """PyTorch's object and the function agree after each prefix of a history."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    moving = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(moving, eps=0.0, min_lr=0.01, **options)
    for n, loss in enumerate(losses, 1):
        scheduler.step(loss)
        now = S.reduce_on_plateau(losses[:n], least=0.01, **options)
        assert now == pytest.approx(moving.param_groups[0]["lr"], rel=1e-12)


def test_plateau_by_hand():
    """No history, no fall; then one after patience is at an end."""
    assert S.reduce_on_plateau([]) == 1.0
    losses = [1.0, 0.5, 0.5, 0.5, 0.5]
    found = [S.reduce_on_plateau(losses[:n], factor=0.5, patience=1) for n in range(6)]
    assert found == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5]
    assert S.reduce_on_plateau([1.0] * 100, patience=0, least=0.2) == 0.2


def test_wrong_numbers_are_errors():
    for make in (
        lambda: S.step_decay(0),
        lambda: S.step_decay(5, -0.1),
        lambda: S.multi_step([5], math.nan),
        lambda: S.exponential(-1.0),
        lambda: S.one_cycle(10, div_factor=0.0),
        lambda: S.linear(0),
        lambda: S.linear(5, end=-0.1),
        lambda: S.linear(5, start=math.nan),
        lambda: S.cosine(-1),
        lambda: S.cosine(5, end=-1.0),
        lambda: S.cosine_restarts(5, end=math.inf),
        lambda: S.warmup(S.constant(), 5, start=-0.5),
        lambda: S.cosine(1.5),
        lambda: S.cosine_restarts(5, mult=0),
        lambda: S.one_cycle(1),
        lambda: S.one_cycle(10, pct_start=1.5),
        lambda: S.one_cycle(10, anneal_strategy="cubic"),
        lambda: S.warmup(S.constant(), -1),
        lambda: S.per_epoch(S.constant(), 0),
        lambda: S.reduce_on_plateau([], factor=1.0),
        lambda: S.reduce_on_plateau([], mode="least"),
        lambda: S.reduce_on_plateau([], threshold_mode="all"),
    ):
        with pytest.raises(ValueError, match="^Expected "):
            make()


# --- by name --------------------------------------------------------------------------------------


def test_by_name():
    """Schedules as written on the command line, where lengths are in epochs, and by hand."""
    by_hand = {
        "constant": S.constant(),
        "linear": S.linear(60),
        "linear:end=0.5": S.linear(60, end=0.5),
        "cosine": S.cosine(60),
        "cosine:end=0.1": S.cosine(60, 0.1),
        "cosine-restarts": S.cosine_restarts(10, 2),
        "cosine-restarts:size=2,mult=1": S.cosine_restarts(20, 1),
        "one-cycle": S.one_cycle(60),
        "one-cycle:anneal_strategy=linear, pct_start=0.5": S.one_cycle(60, 0.5, "linear"),
        "step": S.step_decay(20),
        "step:size=1,gamma=0.5": S.step_decay(10, 0.5),
        "multi-step": S.multi_step([30, 50]),
        "multi-step:milestones=2/4,gamma=0.3": S.multi_step([20, 40], 0.3),
        "exponential": S.per_epoch(S.exponential(0.95), 10),
    }
    for text, expected in by_hand.items():
        schedule = S.schedule(text, steps=60, epochs=6)
        assert [schedule(n) for n in range(70)] == [expected(n) for n in range(70)], text
    assert {text.partition(":")[0] for text in by_hand} == set(S.BY_NAME)


def test_warmup_by_name():
    """The warm-up is a part of the training; the schedule is for the rest."""
    schedule = S.schedule("linear:warmup=0.9", steps=60, epochs=6)
    assert schedule(0) == pytest.approx(0.1)
    assert schedule(9) == 1.0
    assert schedule(60) == 0.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sine", r"Unknown schedule 'sine'. Expected one of: constant, linear, cosine, "),
        ("", r"Unknown schedule ''"),
        (
            "cosine:width=3",
            r"Schedule 'cosine:width=3': unknown option 'width'. cosine has: end, warmup.",
        ),
        ("constant:end=3", r"constant has: warmup."),
        ("step:size", r"Schedule 'step:size': expected size to be a whole number, got ''"),
        ("step:size=0.5", r"expected size to be a whole number, got '0.5'"),
        ("step:size=-1", r"Schedule 'step:size=-1': expected step_size"),
        ("step:gamma=a", r"expected gamma to be a number, got 'a'"),
        ("multi-step:milestones=a/b", r"expected milestones to be whole numbers as in 30/60"),
        (
            "linear:warmup=6",
            r"Schedule 'linear:warmup=6': expected a warm-up shorter than 6 epochs",
        ),
        ("linear:warmup=-1", r"expected a warm-up shorter than 6 epochs"),
        ("linear:warmup=nan", r"Schedule 'linear:warmup=nan': "),
        (
            "linear:warmup=1e308",
            r"expected a warm-up shorter than 6 epochs, the training, got 1e\+308",
        ),
        ("linear:end=inf", r"expected end to be a number, got 'inf'"),
        ("linear:end=-1", r"expected end to be a number from 0, got -1.0"),
        ("one-cycle:pct_start=2", r"expected pct_start from 0 to 1, got 2.0"),
    ],
)
def test_errors_by_name(text, message):
    with pytest.raises(ValueError, match=message):
        S.schedule(text, steps=60, epochs=6)


def test_errors_of_lengths():
    for lengths in ({"steps": 0}, {"steps": 1.5}, {"steps": 10, "epochs": 0}):
        with pytest.raises(ValueError, match="to be a whole number from 1, got"):
            S.schedule("linear", **lengths)


@pytest.mark.parametrize("name", S.BY_NAME)
@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (2, 1), (2, 2), (3, 2), (5, 5)])
def test_the_shortest_trainings(name, steps, epochs):
    """Each schedule has a factor for each of one, two, three steps, except one-cycle for one step."""
    if name == "one-cycle" and steps == 1:
        with pytest.raises(
            xpnet.ArgumentError, match="at least 2 steps, one up and one down, got 1. Take"
        ):
            S.schedule(name, steps, epochs)
        return
    schedule = S.schedule(name, steps, epochs)
    factors = [schedule(n) for n in range(steps)]
    assert all(0.0 <= f <= 1.0 for f in factors)
    assert max(factors) > 0.03  # it learns


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (2, 1), (2, 2)])
def test_a_warm_up_of_the_shortest_trainings(steps, epochs):
    """It may take all steps but one; for one epoch the message uses the singular."""
    for name in S.BY_NAME:
        with pytest.raises(
            xpnet.ArgumentError, match=r"a warm-up shorter than \d epochs?, the trai"
        ):
            S.schedule(f"{name}:warmup={epochs}", steps, epochs)
    if steps == 1:
        with pytest.raises(xpnet.ArgumentError, match="shorter than 1 epoch, the training, got 1"):
            S.schedule("linear:warmup=1", steps, epochs)
    else:
        with pytest.raises(xpnet.ArgumentError, match="at least 2 steps"):
            S.schedule(f"one-cycle:warmup={epochs / 2}", steps, epochs)
        assert S.schedule(f"linear:warmup={epochs / 2}", steps, epochs)(1) == 1.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: S.exponential(1e308),
        lambda: S.step_decay(1, 1e200),
        lambda: S.multi_step([1, 2, 3], 1e200),
        lambda: S.exponential(10**400),
        lambda: S.one_cycle(10, div_factor=1e-200, final_div_factor=1e-200),
        lambda: S.linear(10, 1e308, 0.0),
    ],
)
def test_a_factor_that_overflows_is_infinite(make):
    """As in NumPy, and no OverflowError or ZeroDivisionError in the middle of a training."""
    schedule = make()
    assert all(isinstance(schedule(n), float) for n in range(20))
