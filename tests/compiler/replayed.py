"""Training steps, run as they are and by an executor, for the tests of the executors of libraries."""

from functools import partial

import numpy as np
import pytest

import xpnet
from xpnet import functions as F, layers, models
from xpnet.backend import to_numpy
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.passes import cleaned

BATCH = 6
STEPS = 8  # the first three are recorded
SIZES = {  # name of a model: (shape of a sample, options)
    "mlp": ((20,), {"hidden": (16, 8)}),
    "lenet": ((1, 12, 12), {"channels": (4, 6), "hidden": 16, "dropout": 0.0}),
    "lstm": ((5, 4), {"hidden": 8}),
    "transformer": ((5, 4), {"width": 8, "heads": 2, "hidden": 16, "dropout": 0.25}),
}
MODELS = [*SIZES, "normalized"]


def model_of(name):
    """A small model by its name, and the shape of a sample."""
    if name == "normalized":
        made = xpnet.Sequential(
            layers.Conv2d(2, 4, 3, padding=1, rng=0),
            layers.BatchNorm2d(4),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.5, rng=1),
            layers.Affine(4 * 36, 10, rng=2),
        )
        return made, (2, 6, 6)
    shape, options = SIZES[name]
    return models.build(name, shape, 10, rng=0, **options), shape


def executed_by(kind):
    """What makes an executor of a class for a program as recorded."""
    return lambda program: kind(cleaned(program, kind.name))


def stepping(model, optimizer):
    """A training step."""

    def step(x, t):
        loss = F.softmax_cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def batches(backend, shape, steps=STEPS, size=BATCH):
    """A batch for each step."""
    rng = np.random.default_rng(0)
    for _ in range(steps):
        yield (
            backend.asarray(rng.standard_normal((size, *shape)), backend.dtype),
            backend.asarray(rng.integers(0, 10, size)),
        )


def trained(backend, name, optimizer, wrap, halfway=None, steps=STEPS):
    """The losses of a model's steps, and all its arrays afterwards, as NumPy arrays.

    Parameters
    ----------
    optimizer : function of parameters
    wrap : function that is given the step, and returns what is called
    halfway : function of the optimizer, optional
        It is called before the last steps.
    """
    before = xpnet.random.state()
    xpnet.manual_seed(3)
    try:
        model, shape = model_of(name)
        moved = optimizer(model.parameters())
        step = wrap(stepping(model, moved))
        losses = []
        for i, (x, t) in enumerate(batches(backend, shape, steps)):
            if halfway is not None and i == steps - 2:
                halfway(moved)
            losses.append(float(step(x, t)))
        arrays = {**model.state_dict(), **moved.state_dict()}
        return losses, {name: to_numpy(x) for name, x in arrays.items() if hasattr(x, "dtype")}
    finally:
        xpnet.random.set_state(before)


def optimizers():
    """By name, each optimizer with weight decay, as a function of parameters."""
    return {
        name: partial(xpnet.optimizers.optimizer, name, weight_decay=0.01)
        for name in sorted(xpnet.optimizers.BY_NAME)
    }


def rounding_of(test):
    """How far the results of a library's own executor may be from those of the library, by a test's name."""
    if "jax" in test:  # jax.jit fuses operations, and rounds otherwise
        return {"rtol": 1e-5, "atol": 1e-6}
    if "cupy" in test:
        pytest.skip("CuPy's executor adds up in another order: see test_cupy_executor.py")
    return {}


def last_bits(backend, name):
    """The relative difference that a model's numbers may have on a library: 0, but for one case.

    The passes remove pairs of reshapings, which copy a strided array. PyTorch's product of a strided
    array adds up in another order than that of a contiguous one, so the last bits of an LSTM differ.
    """
    if name != "lstm" or not backend.name.startswith("torch"):
        return 0.0
    return 1e-12 if "64" in str(backend.dtype) else 1e-5


def assert_agrees(backend, kind, name, optimizer, rtol, atol=None, halfway=None):
    """Training by an executor has the results of training without one.

    Parameters
    ----------
    kind : class of an executor
    rtol, atol : float
        0 for equal bits.
    """
    # RAdam has other coefficients from its sixth step on.
    steps = 14 if getattr(optimizer, "args", ()) == ("radam",) else STEPS
    losses, arrays = trained(backend, name, optimizer, lambda step: step, halfway, steps)
    made = []

    def compiled(step):
        made.append(Compiled(step, executor=executed_by(kind)))
        return made[0]

    found, others = trained(backend, name, optimizer, compiled, halfway, steps)
    assert len(made[0].replays) == 1, "the later steps were not replayed"
    assert all(isinstance(replay.executor, kind) for replay in made[0].replays)
    atol = rtol if atol is None else atol
    np.testing.assert_allclose(found, losses, rtol, atol)
    assert others.keys() == arrays.keys()
    for key, x in arrays.items():
        assert others[key].dtype == x.dtype
        np.testing.assert_allclose(others[key], x, rtol, atol, err_msg=key)
