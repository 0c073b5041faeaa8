"""Numbers that a step itself reads, of those that an action reads anew in each step."""

import copy
import inspect
import operator
import pickle
from functools import partial

import numpy as np
import pytest

import xpnet
from xpnet import functions as F
from xpnet._each_step import each_step
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.executors.library import LibraryExecutor
from xpnet.errors import CompileError
from xpnet.training import MixedPrecision

compile_it = partial(Compiled, executor=LibraryExecutor)


def adam():
    """An optimizer of one parameter, which is [1.0]."""
    p = xpnet.Parameter(np.ones(1))
    return p, xpnet.Adam([p], lr=0.1)


def moving(p, o):
    """A step of the optimizer, and one of proximal decay, which reads the learning rate itself."""

    def step(x):
        o.zero_grad()
        F.sum(p * x).backward()
        o.step()
        p.data = p.data * (1.0 - 0.5 * o.lr * o.factor)
        return p.data * 1.0

    return step


def test_a_rate_that_the_step_reads_may_change_without_another_plan():
    eager = adam()
    compiled = adam()
    steps = moving(*eager), compile_it(moving(*compiled))
    for i in range(9):
        for _, o in (eager, compiled):
            o.lr = 0.1 / max(i - 3, 1)  # the same in all recordings
            o.factor = 2.0 if i > 5 else 1.0
        assert np.array_equal(steps[0](np.ones(1)), steps[1](np.ones(1)))
    assert len(steps[1].replays) == 1
    assert type(compiled[1]) is xpnet.Adam


def test_code_that_a_rate_selects_is_refused_with_the_line():
    _, o = adam()
    with pytest.raises(CompileError, match=r"test_reads\.py:\d+: the step reads a number"):
        compile_it(lambda x: x if o.lr > 0.5 else -x)(np.ones(1))


@pytest.mark.parametrize(
    ("read", "change"),
    [
        (lambda o: o.defaults["lr"], lambda o: setattr(o, "lr", 10.0)),
        (lambda o: o.groups[0]["lr"], lambda o: o.groups[0].update(lr=10.0)),
        (lambda o: o.defaults["betas"][0], lambda o: o.defaults.update(betas=(0.5, 0.9))),
        (lambda o: o.state[0]["t"], lambda o: o.state[0].update(t=7)),
        (lambda o: vars(o)["factor"], lambda o: setattr(o, "factor", 10.0)),
        (lambda o: vars(o)["defaults"]["lr"], lambda o: setattr(o, "lr", 10.0)),
        (lambda o: o.__dict__["groups"][0]["lr"], lambda o: o.groups[0].update(lr=10.0)),
        (lambda o: o.state_dict()["groups.0.lr"], lambda o: o.groups[0].update(lr=10.0)),
        (lambda o: copy.copy(o).lr, lambda o: setattr(o, "lr", 10.0)),
        (lambda o: copy.deepcopy(o).factor, lambda o: setattr(o, "factor", 10.0)),
        (lambda o: o.__reduce_ex__(2)[2]["factor"], lambda o: setattr(o, "factor", 10.0)),
        (lambda o: getattr(o, "lr"), lambda o: setattr(o, "lr", 10.0)),  # noqa: B009 - another route
        (operator.attrgetter("lr"), lambda o: setattr(o, "lr", 10.0)),
        (lambda o: dict(inspect.getmembers(o))["lr"], lambda o: setattr(o, "lr", 10.0)),
    ],
)
def test_what_is_read_of_the_options_is_compared(read, change):
    o = xpnet.Adam([{"params": [xpnet.Parameter(np.ones(1))], "lr": 0.5}])
    compiled = compile_it(lambda x: x * read(o))
    for _ in range(5):
        assert compiled(np.ones(1)) == [read(o)]
    before = read(o)
    change(o)
    assert read(o) != before
    assert compiled(np.ones(1)) == [read(o)]


def test_counts_that_the_step_also_changes_are_refused_with_the_line():
    p, o = adam()
    move = moving(p, o)

    def step(x):
        y = move(x)
        return y if o.state[0]["t"] > 5 else -y

    with pytest.raises(CompileError, match=r"test_reads\.py:\d+: the step reads state of a Adam"):
        compile_it(step)(np.ones(1))


def test_all_counts_that_vars_show_are_refused_if_the_step_changes_them():
    p, o = adam()
    move = moving(p, o)
    with pytest.raises(
        CompileError, match=r"test_reads\.py:\d+: the step reads __dict__ of a Adam"
    ):
        compile_it(lambda x: move(x) * vars(o)["factor"])(np.ones(1))


def test_options_that_only_the_optimizer_reads_need_no_new_plan():
    """The user's function names them, and does not run in the step."""
    p, o = adam()

    class Learner:
        def __init__(self):
            self.optimizer = o
            self.move = moving(p, o)

        def report(self):
            return self.optimizer.defaults["lr"], self.optimizer.state[0]["t"]

        def step(self, x):
            return self.move(x)

    learner = Learner()
    compiled = compile_it(learner.step)
    for i in range(8):
        o.lr = 0.1 / (i + 1)
        compiled(np.ones(1))
        assert learner.report() == (o.lr, i + 1)
    assert len(compiled.replays) == 1


def test_the_scale_of_mixed_precision():
    precision = MixedPrecision(xpnet.MLP(1, [1], 1, rng=0), scale=2.0)
    compiled = compile_it(lambda x: x * precision.scale)
    for scale in (2.0, 2.0, 2.0, 2.0, 4.0, 8.0):
        precision.scale = scale
        assert compiled(np.ones(1)) == [scale]
    assert len(compiled.replays) == 1


def test_an_optimizer_that_is_copied_while_a_step_is_recorded():
    p, o = adam()
    copies = []

    def step(x):
        def copied():
            copies.extend([copy.deepcopy(o), pickle.loads(pickle.dumps(o))])

        each_step(copied)
        return p.data * x

    compiled = compile_it(step)
    compiled(np.ones(1))
    assert [type(x) for x in copies] == [xpnet.Adam] * 2


@pytest.mark.parametrize("name", ["decay", "updates"])
def test_the_numbers_of_an_average(name):
    average = xpnet.ExponentialMovingAverage([xpnet.Parameter(np.ones(1))], decay=0.5)
    compiled = compile_it(lambda x: x * getattr(average, name))
    for _ in range(5):
        assert compiled(np.ones(1)) == [getattr(average, name)]
    average.decay = 0.75
    average.update()
    assert compiled(np.ones(1)) == [getattr(average, name)]


def test_an_object_of_the_users_with_numbers_of_each_step():
    class Schedule:
        numbers_of_each_step = ("count", "rates")
        __slots__ = ("count", "rates")

        def __init__(self):
            self.count = 0
            self.rates = [0.5, 0.25]

        def counted(self):
            self.count += 1
            return self.rates[self.count % 2]

    schedule = Schedule()
    compiled = compile_it(lambda x: x * each_step(schedule.counted) + schedule.rates[0])
    for i in range(6):
        assert compiled(np.ones(1)) == [schedule.rates[(i + 1) % 2] + schedule.rates[0]]
    schedule.rates[0] = 3.0
    for i in range(6, 12):
        assert compiled(np.ones(1)) == [schedule.rates[(i + 1) % 2] + 3.0]
    assert type(schedule) is Schedule
