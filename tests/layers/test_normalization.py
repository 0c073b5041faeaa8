"""BatchNorm, LayerNorm, GroupNorm: what they remember, and their errors."""

import numpy as np
import pytest

from xpnet import (
    BatchNorm1d,
    BatchNorm2d,
    GroupNorm,
    LayerNorm,
    ShapeError,
    Variable,
    functions as F,
    to_numpy,
    using,
)
from xpnet.testing import assert_close

BATCHES = np.random.default_rng(0).normal(size=(3, 4, 2)) * 2.0 + 1.0


def test_running_statistics(backend64, array):
    """Each batch moves them by 0.1: the mean, and the variance over n - 1."""
    layer, mean, var = BatchNorm1d(2), np.zeros(2), np.ones(2)
    for batch in BATCHES:
        layer(array(batch.tolist()))
        mean = 0.9 * mean + 0.1 * batch.mean(0)
        var = 0.9 * var + 0.1 * batch.var(0, ddof=1)
    assert_close(layer.running_mean.data, mean, rtol=1e-13)
    assert_close(layer.running_var.data, var, rtol=1e-13)
    assert int(to_numpy(layer.num_batches_tracked.data)) == 3
    y = layer.eval()(array(BATCHES[0].tolist()))
    assert_close(y, (BATCHES[0] - mean) / np.sqrt(var + 1e-5), rtol=1e-12)
    assert_close(layer.running_mean.data, mean, rtol=1e-13)


def test_plain_averages_without_momentum(backend64, array):
    """momentum=None: the average of all batches so far."""
    layer = BatchNorm1d(2, momentum=None)
    for batch in BATCHES:
        layer(array(batch.tolist()))
    assert_close(layer.running_mean.data, BATCHES.mean((0, 1)), rtol=1e-12)
    assert_close(layer.running_var.data, BATCHES.var(1, ddof=1).mean(0), rtol=1e-12)


def test_the_output_is_normalized(backend64, array):
    """Mean 0, variance 1 (less eps) in each channel; then weight and bias."""
    x = array((np.random.default_rng(1).normal(size=(5, 3, 4, 2)) * 7.0 - 3.0).tolist())
    layer = BatchNorm2d(3)
    y = to_numpy(layer(x))
    assert_close(y.mean((0, 2, 3)), np.zeros(3), atol=1e-14)
    assert_close(y.var((0, 2, 3)), np.ones(3), rtol=1e-5)
    layer.weight.data, layer.bias.data = array([1.0, 2.0, 3.0]), array([4.0, 5.0, 6.0])
    expected = y * np.reshape([1.0, 2.0, 3.0], (3, 1, 1)) + np.reshape([4.0, 5.0, 6.0], (3, 1, 1))
    assert_close(layer(x), expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 2), (1, 2, 1), (0, 2)])
def test_one_number_per_channel_has_no_variance(backend, shape):
    """It is an error in training, where y would not depend on x, but not in evaluation."""
    layer, x = BatchNorm1d(2), F.ones(shape).data
    before = {k: to_numpy(v).copy() for k, v in layer.state_dict().items()}
    with pytest.raises(
        ShapeError, match=r"BatchNorm1d\(2\) expected more than one number per channel"
    ):
        layer(x)
    for key, value in layer.state_dict().items():
        assert (to_numpy(value) == before[key]).all()
    assert layer.eval()(x).shape == shape


def test_without_running_statistics_the_batch_counts(backend, array):
    """track_running_stats=False: in evaluation too; and there is nothing to save."""
    layer, x = BatchNorm1d(2, track_running_stats=False), array(BATCHES[0].tolist())
    assert layer.state_dict().keys() == {"weight", "bias"}
    assert_close(layer.eval()(x), layer.train()(x))
    assert BatchNorm1d(2, affine=False, track_running_stats=False).state_dict() == {}


def test_running_statistics_are_not_recorded(backend, array):
    """They are arrays: a second step does not walk back into the first."""
    layer = BatchNorm1d(2)
    x = Variable(array(BATCHES[0].tolist()))
    F.sum(layer(x) * layer(x)).backward()
    assert not isinstance(layer.running_mean.data, Variable)
    assert layer.running_mean.data.dtype == backend.dtype


def test_state_keys_are_those_of_torch():
    """Names and shapes; the number of batches is an integer."""
    state = BatchNorm2d(3).state_dict()
    assert {key: tuple(x.shape) for key, x in state.items()} == {
        "weight": (3,),
        "bias": (3,),
        "running_mean": (3,),
        "running_var": (3,),
        "num_batches_tracked": (),
    }
    assert state["num_batches_tracked"].dtype.kind == "i"
    assert LayerNorm((2, 3)).state_dict().keys() == {"weight", "bias"}


def test_low_precision_input(backend, array):
    """float16 in, float16 out, statistics in float32; a weight must be float16 as well."""
    if not hasattr(backend.xp, "float16"):
        pytest.skip("float16 is none of the standard's dtypes; this library keeps to those")
    x = array(BATCHES[0].tolist(), backend.xp.float16)
    with pytest.raises(TypeError, match="expected .* dtype float32, got float16"):
        BatchNorm1d(2)(x)
    layer = BatchNorm1d(2, affine=False)
    y = layer(x)
    assert y.dtype == backend.xp.float16
    assert layer.running_var.data.dtype == backend.dtype
    assert_close(layer.running_mean.data, 0.1 * BATCHES[0].mean(0), rtol=1e-2)


@pytest.mark.usefixtures("eager")
def test_layer_norm_is_of_each_sample(backend64, array):
    """The result for a sample does not depend on the others in the batch; as with GroupNorm."""
    x = array(BATCHES.tolist())
    for layer in (LayerNorm(2), LayerNorm([4, 2]), GroupNorm(2, 4)):
        assert_close(layer(x[:1, :, :]), layer(x)[:1, :, :], rtol=1e-13)
    assert LayerNorm(3, bias=False).bias is None


def test_integers_are_an_error(backend, array):
    """Which dtype was expected, and what to try."""
    for layer in (BatchNorm1d(2), LayerNorm(2), GroupNorm(1, 2)):
        with pytest.raises(TypeError, match=r"expected .*float32, got .*int.*astype"):
            layer(array([[1, 2], [3, 4]]))


def test_groups_that_do_not_divide_are_an_error(backend):
    with pytest.raises(ShapeError, match="divide the channels, got 3 groups of 4 channels"):
        GroupNorm(3, 4)
    with pytest.raises(ShapeError, match="size of an axis"):
        LayerNorm(())
    with pytest.raises(ShapeError, match=r"of shape \(..., 4\), got \(3,\)\.") as caught:
        LayerNorm(np.int64(4))(F.zeros((3,)))
    assert "For one sample" not in str(caught.value)  # no axis is missing


def test_evaluation_needs_no_count_of_batches(backend64, array):
    """As with weights from before PyTorch 0.4.1, which have running averages and no count."""
    layer = BatchNorm1d(2)
    layer.num_batches_tracked = None
    x = array([[3.0, -1.0]])
    assert_close(layer.eval()(x), [[3.0 / np.sqrt(1.00001), -1.0 / np.sqrt(1.00001)]], rtol=1e-12)


def test_reprs():
    """Sizes, and what is not as usual."""
    with using("numpy"):
        assert repr(BatchNorm1d(4)) == "BatchNorm1d(4)"
        assert (
            repr(BatchNorm2d(4, eps=1e-3, momentum=None, affine=False, track_running_stats=False))
            == "BatchNorm2d(4, eps=0.001, momentum=None, affine=False, track_running_stats=False)"
        )
        assert repr(LayerNorm(4)) == "LayerNorm(4)"
        assert repr(LayerNorm((4, 5), bias=False)) == "LayerNorm((4, 5), bias=False)"
        assert repr(GroupNorm(2, 4, affine=False)) == "GroupNorm(2, 4, affine=False)"
