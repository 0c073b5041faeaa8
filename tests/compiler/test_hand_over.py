"""hand_over: a function of Python is given arrays of a step while it goes on, also of one that is replayed."""

import numpy as np
import pytest

import xpnet
from tests.compiler.test_contract import require_c
from xpnet import CompileError, Parameter, functions as F
from xpnet._each_step import each_step, hand_over
from xpnet.compiler import Compiled, passes
from xpnet.compiler.executors import choose, hands_over
from xpnet.compiler.executors.library import LibraryExecutor
from xpnet.compiler.passes.common import without_repetitions
from xpnet.compiler.record import Operation, Program, Value

CALLS = 7  # the first three are recorded


def chosen(name):
    """What makes an executor for arrays of NumPy."""
    if name == "c":
        require_c()
    if name == "library":
        return lambda program: LibraryExecutor(passes.cleaned(program, "library"))
    return lambda program: choose(program, "numpy", forced=name)


@pytest.fixture(params=["c", "numpy", "library"])
def make(request):
    with xpnet.using("numpy", dtype="float64"):
        yield chosen(request.param)


class Receiver:
    """What it was given so far, which is nothing that a step looks at."""

    reached_by_steps = ()

    def __init__(self, look=None):
        self.seen = []
        self.looked = []
        self._look = look

    def receive(self, *args):
        self.seen.append([np.array(x) if isinstance(x, np.ndarray) else x for x in args])
        if self._look is not None:
            self.looked.append(self._look())


class Descent:
    """A step that changes two parameters, and hands over two arrays before."""

    def __init__(self):
        self.first = Parameter(np.zeros((3, 3)))
        self.second = Parameter(np.zeros((3, 3)))
        self.receiver = Receiver(lambda: np.array(self.first.data))

    def step(self, x):
        g = x @ x
        hand_over(self.receiver.receive, "g", g, g + 1.0)
        self.first.data = self.first.data - g
        total = F.sum(self.first.data)
        self.second.data = self.second.data - F.exp(self.first.data)
        return total


@pytest.mark.parametrize("rehearse", [False, True])
def test_a_receiver_is_called_once_for_each_call_with_its_arrays(make, rehearse):
    plain, replayed = Descent(), Descent()
    compiled = Compiled(replayed.step, executor=make, rehearse=rehearse)
    for i in range(CALLS):
        x = np.full((3, 3), float(i))
        np.testing.assert_array_equal(compiled(x), plain.step(x))
        assert len(replayed.receiver.seen) == i + 1
        name, g, h = replayed.receiver.seen[-1]
        assert name == "g"
        np.testing.assert_array_equal(g, x @ x)
        np.testing.assert_array_equal(h, x @ x + 1.0)
    np.testing.assert_allclose(replayed.second.data, plain.second.data, rtol=1e-12)
    (replay,) = compiled.replays
    assert replay.recording.recorder.handed_over == []  # nothing is kept in memory


def test_it_is_called_while_the_replay_goes_on():
    """On an executor that changes the state in place, it sees the state as it was before."""
    with xpnet.using("numpy", dtype="float64"):
        descent = Descent()
        compiled = Compiled(descent.step, executor=chosen("numpy"))
        for i in range(CALLS):
            before = descent.first.data.copy()
            compiled(np.full((3, 3), float(i)))
            if i > 2:  # the first calls are recorded: it is called at their end
                np.testing.assert_array_equal(descent.receiver.looked[-1], before)
                assert not np.array_equal(descent.first.data, before)


def test_an_error_of_a_receiver_ends_the_replay(make):
    def look():
        if len(receiver.seen) == CALLS:
            raise RuntimeError("the link is down")

    receiver = Receiver(look)

    def step(x):
        hand_over(receiver.receive, x + 1.0)
        return x * 2.0

    compiled = Compiled(step, executor=make)
    x = np.ones(3)
    for _ in range(CALLS - 1):
        compiled(x)
    with pytest.raises(RuntimeError, match="the link is down"):
        compiled(x)
    np.testing.assert_array_equal(compiled(x), x * 2.0)


def test_constants_and_repetitions_are_handed_over_each_time(make):
    receiver = Receiver()

    def step(x):
        ones = F.full((2,), 1.0).data
        hand_over(receiver.receive, ones)
        hand_over(receiver.receive, ones)
        hand_over(receiver.receive, x[::-1])  # a view of an argument
        return x + 1.0

    compiled = Compiled(step, executor=make)
    for i in range(1, CALLS + 1):
        compiled(np.asarray([float(i), 0.0]))
        assert [x.tolist() for (x,) in receiver.seen] == [[1.0, 1.0], [1.0, 1.0], [0.0, i]]
        receiver.seen.clear()


def test_gradients_that_the_step_needs_no_more_are_not_kept(make):
    """A parameter whose gradient was handed over has none: nothing is returned for it."""
    p = Parameter(np.ones(3))
    receiver = Receiver()

    def step(x):
        p.zero_grad()
        F.sum(p * x).backward()
        g = p.raw_grad
        p.zero_grad()
        hand_over(receiver.receive, g)
        return F.sum(x)

    compiled = Compiled(step, executor=make, keep_grad=True, rehearse=True)
    for i in range(CALLS):
        compiled(np.full(3, float(i)))
        p.raw_grad = np.zeros(3)  # as a sum over ranks
    assert [g.tolist() for (g,) in receiver.seen] == [[i] * 3 for i in range(CALLS)]
    (plan, *_) = compiled.plans
    assert len(plan.program.outputs) == 1


def test_a_rehearsal_that_fails_hands_over_nothing_twice(make):
    """The call is made by the function itself: the receivers of its recording are not called too."""
    receiver = Receiver()

    def step(x):
        hand_over(receiver.receive, x * 2.0)
        return float(F.sum(x))  # reads a value

    compiled = Compiled(step, executor=make, fallback=True, rehearse=True)
    for i in range(CALLS):
        compiled(np.full(2, float(i)))
        assert len(receiver.seen) == i + 1
    assert "reads a value" in compiled.reason


def test_a_call_in_which_an_action_selects_other_code_hands_over_once(make):
    """It is not replayed but runs as it is, after its action."""

    class Counted:
        doubled = False

        def __init__(self):
            self.calls = 0
            self.receiver = Receiver()

        def count(self):
            self.calls += 1
            if self.calls == CALLS:
                self.doubled = True

        def step(self, x):
            each_step(self.count)
            hand_over(self.receiver.receive, x * 2.0 if self.doubled else x)
            return x + 1.0

    counted = Counted()
    compiled = Compiled(counted.step, executor=make)
    for i in range(1, CALLS + 3):
        compiled(np.full(2, float(i)))
        assert len(counted.receiver.seen) == i
    firsts = [x.tolist()[0] for (x,) in counted.receiver.seen]
    assert firsts == [i if i < CALLS else 2.0 * i for i in range(1, CALLS + 3)]


def test_plans_say_where_arrays_are_handed_over(make):
    descent = Descent()
    compiled = Compiled(descent.step, executor=make)
    for _ in range(4):
        compiled(np.ones((3, 3)))
    (plan,) = compiled.plans
    assert "operations, receive is given 2 arrays." in plan.explain()
    assert "hand_over" in str(plan)
    assert "The library's own functions compute" not in plan.explain()


def test_without_a_recording_it_is_a_call():
    receiver = Receiver()
    hand_over(receiver.receive, 1, 2)
    assert receiver.seen == [[1, 2]]


def silent_program(x):
    operation = Operation("hand_over", Receiver().receive, (x,), where="train.py:12")
    return Program([x], [], [], [operation, operation], [x], {})


def test_passes_keep_operations_without_results():
    program = silent_program(Value((2,), np.dtype("d"), "argument"))
    for kind in ("c", "numpy", "library"):
        assert len(passes.cleaned(program, kind).operations) == 2
    assert len(without_repetitions(program).operations) == 2


@pytest.mark.parametrize("library", ["CuPy", "JAX"])
def test_a_library_whose_plans_cannot_be_interrupted_is_named(library):
    program = silent_program(Value((2,), np.dtype("d"), "argument"))
    assert not hands_over(library.lower())
    with pytest.raises(CompileError, match=f"train.py:12: .* which a plan for {library} cannot"):
        choose(program, library.lower())


def test_on_each_library(backend):
    """Where plans cannot hand over arrays, the step runs as it is."""
    receiver = Receiver()

    def step(x):
        hand_over(receiver.receive, x * 2.0)
        return x + 1.0

    compiled = Compiled(step, fallback=True)
    for i in range(CALLS):
        compiled(backend.asarray([float(i)], backend.dtype))
    assert [xpnet.to_numpy(x).tolist() for (x,) in receiver.seen] == [
        [2.0 * i] for i in range(CALLS)
    ]
    library = xpnet.backend.library_of(backend.asarray([1.0])).name
    assert (compiled.reason is None) == hands_over(library)
