"""The launches and transfers of training steps on images and sequences, counted on the emulated device.

Each test states the most launches that are allowed, and what they are for: a change that needs another
launch has to state it here.
"""

import numpy as np
import pytest

import xpnet
from tests.host_cuda.device import counting, emulated
from xpnet import Variable, functions as F, gradients, layers, models
from xpnet.random import DeviceGenerator

IMAGES = (4, 1, 28, 28)
ROWS = (4, 28, 28)


@pytest.fixture
def on_device(cupy_backend):
    """The backend, on the device that counts."""
    if not emulated():
        pytest.skip("launches can be counted only on the emulated CUDA device")
    return cupy_backend


def numbers(backend, *shape):
    return backend.asarray(np.random.default_rng(0).random(shape, dtype="float32"))


def counted(work, times=3):
    """The counts of the last of several runs; the first ones compile kernels and fill the memory pool."""
    for _ in range(times):
        with counting(names=True) as counts:
            work()
    return counts


def training_step(backend, model, x):
    """A function that makes one training step of the model with Adam."""
    optimizer = xpnet.Adam(model.parameters())
    t = backend.asarray(np.arange(x.shape[0]) % 10)

    def step():
        optimizer.zero_grad()
        F.softmax_cross_entropy(model(x), t).backward()
        optimizer.step()

    return step


def stays_on_the_device(counts):
    """Nothing goes to or from the host, nothing waits, no memory is allocated, nothing is compiled."""
    waits = counts.to_device, counts.to_host, counts.synchronizes, counts.records, counts.waits
    memory = counts.allocations, counts.frees, counts.compilations
    return not any(waits) and not any(memory)


# --- models ---------------------------------------------------------------------------------------


def test_lenet(on_device):
    """2 convolutions (9 launches with the gradient for x, 6 without, biases included), 2 poolings (2),
    2 affine layers (5), 3 activations (2), the loss (2) and the step: 38."""
    model = models.lenet(IMAGES[1:], 10, dropout=0.0, rng=0)
    counts = counted(training_step(on_device, model, numbers(on_device, *IMAGES)))
    assert counts.total <= 38, counts.names
    assert stays_on_the_device(counts), counts.names


def test_dropout_sends_its_masks(on_device):
    """One transfer and two launches for each: the masks are drawn on the host."""
    model = models.lenet(IMAGES[1:], 10, dropout=0.5, rng=0)
    counts = counted(training_step(on_device, model, numbers(on_device, *IMAGES)))
    assert counts.total <= 38 + 4, counts.names
    assert (counts.to_device, counts.to_host, counts.synchronizes) == (2, 0, 0), counts.names


def test_dropout_draws_its_masks_on_the_device(on_device):
    """With `device=True`: three launches for each mask, and no transfer."""
    model = models.lenet(IMAGES[1:], 10, dropout=0.5, rng=0)
    for layer in model:
        if isinstance(layer, layers.Dropout):
            layer.rng = DeviceGenerator(0)
    counts = counted(training_step(on_device, model, numbers(on_device, *IMAGES)))
    assert counts.total <= 38 + 6, counts.names
    assert stays_on_the_device(counts), counts.names


def test_resnet(on_device):
    """9 convolutions without a bias (3 launches; backward 2 and 3), 9 batch norms (2; backward 2), and
    the sums of the residual connections."""
    model = models.resnet(IMAGES[1:], 10, rng=0)
    counts = counted(training_step(on_device, model, numbers(on_device, *IMAGES)))
    assert counts.total <= 136, counts.names
    assert stays_on_the_device(counts), counts.names


def test_lstm(on_device):
    """28 steps of 2 launches forward and 2 backward; and what surrounds them."""
    model = models.lstm(ROWS[1:], 10, rng=0)
    counts = counted(training_step(on_device, model, numbers(on_device, *ROWS)))
    assert counts.total <= 28 * 4 + 25, counts.names
    assert stays_on_the_device(counts), counts.names


def test_transformer(on_device):
    """Its attention and its layer normalization are mostly the portable code."""
    model = models.transformer(ROWS[1:], 10, dropout=0.0, rng=0)
    counts = counted(training_step(on_device, model, numbers(on_device, *ROWS)))
    assert counts.total <= 178, counts.names
    assert stays_on_the_device(counts), counts.names


@pytest.fixture
def drawn_on_the_device():
    """Masks drawn from the process's own stream, which is restored after the test."""
    before = xpnet.random.state()
    xpnet.manual_seed(0, device=True)
    yield
    xpnet.random.set_state(before)


def test_a_transformer_that_draws_its_masks_on_the_device(on_device, drawn_on_the_device):
    """Three launches for each of its nine dropouts: one draws, and two apply."""
    model = models.transformer(ROWS[1:], 10)
    counts = counted(training_step(on_device, model, numbers(on_device, *ROWS)))
    assert counts.total <= 178 + 3 * 9, counts.names
    assert stays_on_the_device(counts), counts.names


# --- layers and functions -------------------------------------------------------------------------


def there_and_back(function, *arrays):
    """The launches of a function, and those of its gradients with respect to all its arrays.

    Its gradient begins with an array that is there already.
    """
    leaves = [Variable(x) for x in arrays]
    gy = function(*leaves).data + 0.0
    there = counted(lambda: function(*leaves))
    both = counted(lambda: gradients(function(*leaves), leaves, gy))
    assert stays_on_the_device(both), both.names
    return there.total, both.total - there.total


def test_convolution(on_device):
    """Gather, product, put in place; gather and product; gather, product, fold; and the bias."""
    x, W = numbers(on_device, 4, 6, 14, 14), numbers(on_device, 8, 6, 3, 3)
    b = numbers(on_device, 8)
    assert there_and_back(lambda x, W, b: F.conv(x, W, b, padding=1), x, W, b) == (3, 6)
    assert there_and_back(lambda x, W: F.conv(x, W, stride=2), x, W) == (3, 5)


def test_transposed_convolution(on_device):
    x, W = numbers(on_device, 4, 8, 7, 7), numbers(on_device, 8, 6, 3, 3)
    b = numbers(on_device, 6)
    assert there_and_back(lambda x, W, b: F.conv_transpose(x, W, b, stride=2), x, W, b) == (3, 6)


def test_convolution_in_groups(on_device):
    """Transposed stacks of matrices are copied: the smaller of the two, never the columns."""
    x = numbers(on_device, 4, 6, 14, 14)
    W, each = numbers(on_device, 8, 3, 3, 3), numbers(on_device, 6, 1, 3, 3)
    assert there_and_back(lambda x, W: F.conv(x, W, groups=2), x, W) == (3, 8)
    assert there_and_back(lambda x, W: F.conv(x, W, groups=6), x, each) == (3, 5)


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (lambda x: F.max_pool(x, 2), (1, 1)),
        (lambda x: F.max_pool(x, 3, stride=2, padding=1), (1, 1)),
        (lambda x: F.avg_pool(x, 2), (2, 2)),
        (lambda x: F.avg_pool(x, 3, padding=1, count_include_pad=False), (4, 2)),
        (F.global_avg_pool, (1, 1)),
        (F.global_max_pool, (1, 1)),
    ],
    ids=["max", "max, overlapping", "mean", "mean of what is there", "global mean", "global max"],
)
def test_pooling(on_device, pool, expected):
    assert there_and_back(pool, numbers(on_device, 4, 6, 14, 14)) == expected


def test_normalization(on_device):
    """Statistics, then the result; backward the sums, then the gradient; and sums for the weights."""
    x, w, b = numbers(on_device, 4, 6, 5, 5), numbers(on_device, 6), numbers(on_device, 6)
    assert there_and_back(lambda x, w, b: F.batch_norm(x, None, None, w, b)[0], x, w, b) == (2, 2)
    assert there_and_back(lambda x, w, b: F.group_norm(x, 3, w, b), x, w, b) == (2, 3)
    rows = numbers(on_device, 4, 7, 6)
    assert there_and_back(lambda x, w, b: F.layer_norm(x, 6, w, b), rows, w, b) == (2, 3)


def test_running_statistics_cost_no_launch(on_device):
    layer = layers.BatchNorm2d(6)
    x = numbers(on_device, 4, 6, 5, 5)
    assert counted(lambda: layer(x)).total == 2


def test_flattening_images_copies_nothing(on_device):
    x, W = numbers(on_device, 4, 1, 8, 8), numbers(on_device, 3, 1, 3, 3)
    images = F.max_pool(F.conv(x, W), 2)
    assert counted(lambda: layers.Flatten()(images)).total == 0


def test_a_clip_brings_no_numbers_to_the_host(on_device):
    """array_api_compat's clip would: it uses masks, for which the host waits."""
    x = numbers(on_device, 4, 6)
    assert there_and_back(lambda x: F.clip(x, 0.2, 0.8), x)[0] == 2
    counts = counted(lambda: F.huber_loss(x, x, delta=0.5))
    assert stays_on_the_device(counts), counts.names
