"""In one launch all parameters move exactly as they do one by one, bit for bit."""

import threading

import numpy as np
import pytest

import xpnet
from tests.optimizers.cases import CASES, go, parameters
from xpnet import Parameter, to_numpy
from xpnet.kernels import update as kernels
from xpnet.kernels.lookup import kernel

STEPS = 100
WITH_FORMULA = [case for case in CASES if case.kind is not xpnet.LAMB]


def without_kernel(kind):
    """The same optimizer, with the portable code only."""
    return type(kind.__name__, (kind,), {"formula": lambda self, o: None})


def bits(moving):
    """Everything that a step changes: the parameters and their state."""
    arrays = [p.data for p in moving.parameters]
    arrays += [x for s in moving.state for x in s.values() if hasattr(x, "dtype")]
    counts = [x for s in moving.state for x in s.values() if not hasattr(x, "dtype")]
    return [(str(x.dtype), to_numpy(x).tobytes()) for x in arrays], counts


def trajectory(kind, options, dtype, steps=STEPS):
    """Steps of two groups, the second with its own rate and decay; with a schedule and a new rate."""
    a, b, c = parameters(dtype)
    groups = [{"params": [a]}, {"params": [b, c], "lr": 0.005, "weight_decay": 0.2}]
    moving = kind(groups, **options)

    def rate(t):
        moving.factor = 1.0 - 0.6 * t / STEPS
        if t == 50:
            moving.lr = 2.0 * moving.lr

    go(moving, range(steps), rate)
    return moving


@pytest.fixture
def launched(monkeypatch):
    """A list with the number of parameters that each launch has moved."""
    counts = []
    run = kernels._launch

    def counted(kernel, numbers, moves):
        counts.append(len(moves))
        run(kernel, numbers, moves)

    monkeypatch.setattr(kernels, "_launch", counted)
    return counts


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("case", WITH_FORMULA, ids=str)
def test_a_hundred_steps(cupy_backend, launched, case, dtype):
    fast = trajectory(case.kind, case.options, dtype)
    assert launched == [1, 2] * STEPS
    slow = trajectory(without_kernel(case.kind), case.options, dtype)
    assert launched == [1, 2] * STEPS
    assert bits(fast) == bits(slow)


def test_every_optimizer_except_lamb_has_a_formula():
    """LAMB's step is proportional to norms of the whole parameter."""
    for case in CASES:
        moving = case.kind([Parameter([1.0])], **case.options)
        assert (moving.formula(moving.defaults) is None) == (case.kind is xpnet.LAMB)


def with_gradients(backend, shapes, kind=xpnet.Adam, **options):
    """An optimizer of parameters of these shapes, all with gradients."""
    rng = np.random.default_rng(0)
    ps = [Parameter(backend.asarray(rng.standard_normal(shape), "float32")) for shape in shapes]
    for p in ps:
        p.grad = backend.asarray(rng.standard_normal(p.shape), "float32")
    return kind(ps, **options)


def twice(backend, shapes, change=lambda ps: None):
    """Three steps with the kernel and three without, after a change to the parameters."""
    found = []
    for kind in (xpnet.Adam, without_kernel(xpnet.Adam)):
        moving = with_gradients(backend, shapes, kind)
        change(moving.parameters)
        for _ in range(3):
            moving.step()
        found.append(bits(moving))
    return found


def test_lengths_around_a_block(cupy_backend):
    """No number is left out or moved twice; there are empty parameters among the others."""
    n = kernels.SHARE
    fast, slow = twice(cupy_backend, [(n,), (0,), (n + 1,), (0, 3), (1,), (2 * n - 1,), (), (0,)])
    assert fast == slow


def test_more_parameters_than_a_launch_has_room_for(cupy_backend, launched):
    fast, slow = twice(cupy_backend, [(3,)] * 200)
    assert fast == slow
    assert len(launched) == 3 * 3  # of 82, 82 and 36
    assert sum(launched) == 3 * 200


def test_gradients_with_gaps(cupy_backend, launched):
    """Transposed, reversed and broadcast gradients are copied before the launch."""

    def change(ps):
        a, b, c = ps
        a.grad = cupy_backend.xp.asarray(a.grad.T, order="C", copy=True).T
        b.grad = b.grad[::-1]
        c.grad = cupy_backend.xp.broadcast_to(c.grad[:1], c.shape)

    fast, slow = twice(cupy_backend, [(3, 4), (5,), (6,)], change)
    assert fast == slow
    assert launched == [3, 3, 3]


@pytest.mark.parametrize(
    "change",
    [
        lambda p: setattr(p, "data", p.data.T.copy().T),
        lambda p: setattr(p, "data", p.data[::-1]),
        lambda p: setattr(p, "grad", p.grad.astype("float64")),
        lambda p: setattr(p, "data", p.data.astype("float64")),
    ],
    ids=["transposed", "reversed", "a wide gradient", "a wide parameter"],
)
def test_parameters_that_do_not_fit_move_by_the_portable_code(cupy_backend, launched, change):
    """All others still move in one launch."""
    fast, slow = twice(cupy_backend, [(3, 4), (4, 3), (5,)], lambda ps: change(ps[1]))
    assert fast == slow
    assert launched == [2, 2, 2]


def test_parameters_of_different_age(cupy_backend, launched):
    """Adam's coefficients depend on a parameter's step: parameters with the same step move together."""
    found = []
    for kind in (xpnet.NAdam, without_kernel(xpnet.NAdam)):
        moving = with_gradients(cupy_backend, [(3,), (4,), (5,)], kind)
        late, *_ = moving.parameters
        kept, late.grad = late.grad, None
        moving.step()
        late.grad = kept
        moving.step()
        moving.step()
        found.append(bits(moving))
    assert found[0] == found[1]
    assert launched == [2, 1, 2, 1, 2]


def test_parameters_without_gradient_stay(cupy_backend, launched):
    moving = with_gradients(cupy_backend, [(3,), (4,)])
    _, b = moving.parameters
    before, b.grad = to_numpy(b).tolist(), None
    moving.step()
    assert launched == [1]
    assert to_numpy(b).tolist() == before
    assert [s["t"] for s in moving.state] == [1, 0]


def test_an_error_moves_nothing(cupy_backend):
    moving = with_gradients(cupy_backend, [(3,), (4,)])
    before = bits(moving)
    moving.parameters[1].grad = cupy_backend.asarray([1.0])
    with pytest.raises(xpnet.ShapeError, match=r"gradient of shape \(4,\), got \(1,\)"):
        moving.step()
    assert bits(moving) == before


def test_parameters_stay_the_same_arrays_and_graphs_go_out_of_date(cupy_backend):
    p = Parameter(cupy_backend.asarray([1.0, 2.0]))
    array, loss = p.data, xpnet.functions.sum(p * p)
    p.grad = cupy_backend.asarray([1.0, 1.0])
    xpnet.SGD([p], lr=0.5).step()
    assert p.data is array
    assert to_numpy(array).tolist() == [0.5, 1.5]
    with pytest.raises(xpnet.GradientError, match="compute the loss again"):
        loss.backward()


def test_a_subclass_with_an_update_of_its_own_has_no_formula(cupy_backend):
    """The parent's formula would be a different step."""

    class Backwards(xpnet.SGD):
        def update(self, p, g, s, c):
            p += c["lr"] * g
            return p

    moving = with_gradients(cupy_backend, [(3,)], Backwards, lr=0.5)
    (p,) = moving.parameters
    expected = to_numpy(p) + np.float32(0.5) * to_numpy(p.grad)
    moving.step()
    assert to_numpy(p).tolist() == expected.tolist()


def test_two_threads_with_an_optimizer_each(cupy_backend):
    """Each launch has its own list of addresses."""
    made = [with_gradients(cupy_backend, [(40,), (50,)]) for _ in range(3)]
    alone, *others = made

    def train(moving):
        for _ in range(50):
            moving.step()

    threads = [threading.Thread(target=train, args=(moving,)) for moving in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    train(alone)
    assert bits(others[0]) == bits(others[1]) == bits(alone)


def test_which_arrays_have_a_kernel(cupy_backend):
    x = cupy_backend.asarray([1.0])
    assert kernel("update", x) is not None
    assert kernel("update", to_numpy(x)) is None


def test_parameters_on_two_devices(cupy_backend, launched):
    """Each device gets a launch of its own, whichever is current."""
    import cupy

    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one GPU, and this test needs two")
    moving = []
    for where in ("cupy:0", "cupy:1"):
        with xpnet.using(where) as home:
            moving += with_gradients(home, [(3,), (4,)]).parameters
    together = xpnet.Adam(moving)
    for _ in range(3):
        together.step()
    assert launched == [2, 2] * 3
    assert [p.data.device.id for p in moving] == [0, 0, 1, 1]
    assert bits(together)[0][:2] == bits(together)[0][2:4]  # they started from the same values
