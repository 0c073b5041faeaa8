"""The moving average: its formula, the block in which it holds, and its state."""

import gc
from contextvars import copy_context

import numpy as np
import pytest

import xpnet
from xpnet import Parameter, StateError, Variable, functions as F, to_numpy
from xpnet.optimizers import ExponentialMovingAverage
from xpnet.testing import assert_close

WAY = [[1.0, 2.0], [3.0, -1.0], [0.0, 0.0], [8.0, 4.0]]  # where the parameter is, step by step


@pytest.mark.parametrize("warmup", [False, True])
def test_formula(backend, warmup):
    """The average of all parameters so far, in plain NumPy."""
    p = Parameter(backend.asarray(WAY[0]))
    average, expected = ExponentialMovingAverage([p], 0.9, warmup), np.asarray(WAY[0])
    for t, x in enumerate(WAY[1:], 1):
        p.data = backend.asarray(x)
        average.update()
        decay = min(0.9, (1 + t) / (10 + t)) if warmup else 0.9
        expected = decay * expected + (1 - decay) * np.asarray(x)
    with average.applied():
        assert p.dtype == backend.dtype
        assert_close(p, expected.astype("float32"), rtol=1e-6)
    assert to_numpy(p).tolist() == WAY[-1]


def test_is_pytorchs(backend):
    """torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn, begun with the first update."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    theirs = torch.nn.Linear(2, 2, bias=False)
    model = torch.optim.swa_utils.AveragedModel(
        theirs, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.75)
    )
    rng = np.random.default_rng(0)
    p = average = None
    for t in range(20):
        x = rng.standard_normal((2, 2)).astype("float32")
        with torch.no_grad():
            theirs.weight.copy_(torch.tensor(x))
        model.update_parameters(theirs)
        if t == 0:
            p = Parameter(backend.asarray(x))
            average = ExponentialMovingAverage([p], 0.75)
        else:
            p.data = backend.asarray(x)
            average.update()
    assert_close(average.averages[0], model.module.weight.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_training_goes_on_after_an_evaluation(backend):
    """In the block the model is its average; after it, also after an error, it is itself."""
    model = xpnet.Affine(2, 1, rng=0)
    x = backend.asarray([[1.0, 2.0]])
    before, average = to_numpy(model(x)).copy(), ExponentialMovingAverage(model.parameters(), 0.5)
    moving = xpnet.SGD(model.parameters(), lr=1.0)
    F.sum(model(x)).backward()
    moving.step()
    average.update()
    after = to_numpy(model(x)).copy()

    def looked_at():
        with average.applied():
            assert_close(model(x), (before + after) / 2, rtol=1e-6)
            moving.step()  # nothing of this is to last
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        looked_at()
    assert to_numpy(model(x)).tobytes() == after.tobytes()
    with average.applied():
        assert_close(model(x), (before + after) / 2, rtol=1e-6)


def test_variables_can_be_averaged(backend):
    """Like an optimizer, it accepts Variables that are not Parameters."""
    x = Variable(backend.asarray(WAY[0]))
    average = ExponentialMovingAverage([x], 0.5)
    x.data = backend.asarray(WAY[1])
    average.update()
    with average.applied():
        assert to_numpy(x).tolist() == [2.0, 0.5]
    assert to_numpy(x).tolist() == WAY[1]


def test_a_graph_keeps_the_numbers_that_it_was_recorded_with(backend):
    """From before the block in it, and from the block after it."""
    p = Parameter(backend.asarray([1.0, 2.0]))
    average = ExponentialMovingAverage([p], 0.5)
    p.data = backend.asarray([3.0, 6.0])
    average.update()
    before = F.sum(p * p)
    with average.applied():
        before.backward()
        assert to_numpy(p.grad).tolist() == [6.0, 12.0]
        p.zero_grad()
        within = F.sum(p * p)
    within.backward()
    assert to_numpy(p.grad).tolist() == [4.0, 8.0]


def test_a_context_that_outlives_the_block_shows_no_other_parameter_an_average(backend):
    """It refers to the parameters, so that none of those created later gets their id."""
    first = [Parameter(backend.asarray([1.0])) for _ in range(200)]
    average = ExponentialMovingAverage(first, 0.5)
    with average.applied():
        context = copy_context()
    del first, average
    gc.collect()
    later = [Parameter(backend.asarray([2.0])) for _ in range(200)]
    kept = ExponentialMovingAverage(later, 0.5)
    assert [context.run(lambda p=p: float(p.data[0])) for p in later] == [2.0] * 200
    assert len(kept.averages) == 200


def test_resuming_is_bit_for_bit(backend):
    p = Parameter(backend.asarray(WAY[0]))
    average = ExponentialMovingAverage([p], 0.9, warmup=True)
    p.data = backend.asarray(WAY[1])
    average.update()
    state = {
        name: to_numpy(x).copy() if hasattr(x, "dtype") else x
        for name, x in average.state_dict().items()
    }
    again = ExponentialMovingAverage([p], 0.9, warmup=True)
    again.load_state_dict(state)
    p.data = backend.asarray(WAY[3])
    average.update()
    again.update()
    assert again.updates == 2
    assert to_numpy(again.averages[0]).tobytes() == to_numpy(average.averages[0]).tobytes()


def test_data_of_a_parameter_with_an_average_are_an_array(backend):
    """A Variable is refused, in the block and outside of it, as it is without an average."""
    p = Parameter(backend.asarray(WAY[0]))
    average = ExponentialMovingAverage([p], 0.5)
    value = Variable(backend.asarray(WAY[1]))
    with pytest.raises(TypeError, match="Write p.data = value.data"):
        p.data = value
    with average.applied(), pytest.raises(TypeError, match="Write p.data = value.data"):
        p.data = value
    assert to_numpy(p).tolist() == WAY[0]


def test_errors(backend):
    """No parameters, an invalid decay, a state of something else."""
    p = Parameter(backend.asarray([1.0, 2.0]))
    with pytest.raises(ValueError, match="no parameters"):
        ExponentialMovingAverage([])
    for decay in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="0 <= decay < 1"):
            ExponentialMovingAverage([p], decay)
    average = ExponentialMovingAverage([p])
    with pytest.raises(StateError, match=r"lacks \['0', 'updates'\]"):
        average.load_state_dict({})
    with pytest.raises(StateError, match=r"expected 0 of shape \(2,\), got \(3,\)"):
        average.load_state_dict({"0": np.zeros(3, "float32"), "updates": 1})
    assert repr(average) == "ExponentialMovingAverage(decay=0.999)"
