"""StopOnNaN names where NaN or infinity arose: data, layer, gradient, loss or step."""

import numpy as np
import pytest

import xpnet
from xpnet import functions as F
from xpnet.data import DataLoader
from xpnet.training import Callback, Checkpoint, StopOnNaN, Trainer, checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


class Bad(xpnet.Layer):
    """Returns x in the first calls in training mode, and f(x) afterwards."""

    def __init__(self, calls, f):
        self.calls, self.f, self.seen = calls, f, 0

    def forward(self, x):
        self.seen += self.training
        return self.f(x) if self.seen > self.calls else x


def make(*callbacks, calls=8, f=lambda x: F.log(0.0 * x), loss=F.softmax_cross_entropy, **options):
    model = xpnet.Sequential(
        xpnet.Affine(4, 8, rng=0), xpnet.Sequential(xpnet.ReLU(), Bad(calls, f)), xpnet.Affine(8, 3, rng=1)
    )  # fmt: skip
    optimizer = xpnet.SGD(model.parameters(), options.pop("lr", 0.1))
    return Trainer(model, loss, optimizer, (), [StopOnNaN(), *callbacks], 0, **options)


def test_the_layer_is_named(backend, clusters):
    """It fails in the ninth step, which is noticed at the log line after the eleventh.

    `Bad` counts its calls, so it fails from the beginning when the epoch is repeated: only its name
    matters here.
    """
    trainer = make(log_every=1e9)
    start = {name: xpnet.to_numpy(x).copy() for name, x in trainer.model.state_dict().items()}
    said = (
        r"loss became (nan|-?inf|inf): in epoch 1, batch 0, layers\.1\.layers\.1 = Bad\(\) was the"
    )
    with pytest.raises(
        xpnet.TrainingError, match=said + r" first layer whose output was not finite"
    ):
        trainer.fit(clusters, None, 1, 10)
    for name, x in trainer.model.state_dict().items():
        np.testing.assert_array_equal(xpnet.to_numpy(x), start[name])


def test_the_step_is_found(clusters):
    """Weights that overflow in a batch of the second epoch overflow again when it is repeated."""
    grown = []

    class Grow(Callback):
        def on_step(self, trainer):
            grown.append(trainer.batch)

    model = xpnet.MLP(4, 8, 3, rng=0)
    optimizer = xpnet.SGD(model.parameters(), 0.1)
    schedule = lambda step: 1e25 if step == 14 else 1.0  # noqa: E731 - one step is too far
    trainer = Trainer(
        model,
        F.softmax_cross_entropy,
        optimizer,
        (),
        [StopOnNaN(), Grow()],
        0,
        1e9,
        schedule=schedule,
    )
    with pytest.raises(
        xpnet.TrainingError, match=r"epoch 2, batch 4, (layers\.\d|model)"
    ) as caught:
        trainer.fit(clusters, None, 3, 10)
    assert "weights of batch 0 again" in str(caught.value)
    assert len(grown) == 22
    assert all(np.isfinite(x).all() for x in trainer.model.state_dict().values())


def test_a_gradient_that_is_not_finite_is_found(clusters):
    """sqrt(0) is finite and its derivative is not; the ReLU before it receives that gradient."""
    trainer = make(calls=0, f=lambda x: x + F.sqrt(0.0 * x))
    said = r"layers\.1\.layers\.0 = ReLU\(\) was the first layer whose output's gradient was not"
    with pytest.raises(xpnet.TrainingError, match=said):
        trainer.fit(clusters, None, 2, 10)


def test_a_loss_that_is_not_finite_is_found(clusters):
    trainer = make(calls=9**9, loss=lambda y, t: F.mean(y * 0.0) / 0.0)
    with pytest.raises(
        xpnet.TrainingError, match="outputs of all layers were finite, and the loss was not"
    ):
        trainer.fit(clusters, None, 2, 10)


def test_invalid_data_are_distinguished_from_layers(clusters):
    """In a list of batches, which is not checked before the training."""
    x, t = clusters
    wrong = x.copy()
    wrong[70, 1] = np.nan
    batches = [(a[i : i + 55], t[i : i + 55]) for a in (wrong,) for i in (0, 55)]
    with pytest.raises(
        xpnet.TrainingError, match=r"epoch 1, batch 1, .* in x, got nan at \[15, 1\]"
    ):
        make(calls=9**9).fit(batches, None, 2)
    loader = DataLoader(wrong, t, batch_size=20, shuffle=True, seed=1)
    with pytest.raises(xpnet.TrainingError, match=r"in x, got nan at \[70, 1\], of sample 70"):
        make(calls=9**9).fit(loader, None, 2)


def test_invalid_labels_are_distinguished_from_layers(clusters):
    x, t = clusters
    wrong = np.where(np.arange(110) == 70, 3, t)
    loader = DataLoader(x, wrong, batch_size=20, shuffle=True, seed=1)
    with pytest.raises(xpnet.TrainingError, match=r"the data are at fault.* that of sample 70"):
        make(calls=9**9).fit(loader, None, 2)


def test_a_parameters_gradient_that_is_not_finite_is_found(clusters):
    """The loss uses this parameter directly, so no layer has an output with that gradient."""

    class Own(xpnet.Layer):
        def __init__(self):
            self.linear, self.scale = xpnet.Affine(4, 3, rng=0), xpnet.layers.base.Parameter([0.0])

        def forward(self, x):
            return self.linear(x)

    model = Own()
    trainer = Trainer(
        model,
        lambda y, t: F.softmax_cross_entropy(y, t) + F.sum(F.sqrt(model.scale)),
        xpnet.SGD(model.parameters(), 0.1), (), [StopOnNaN()], 0, 1e9,
    )  # fmt: skip
    with pytest.raises(xpnet.TrainingError, match="scale was the first parameter whose gradient"):
        trainer.fit(clusters, None, 2, 10)


def test_a_step_that_makes_weights_infinite_is_found(clusters):
    """All gradients are finite, and the learning rate is too large."""
    model = xpnet.MLP(4, [], 3, rng=0)
    optimizer = xpnet.SGD(model.parameters(), 0.1)
    trainer = Trainer(
        model, F.softmax_cross_entropy, optimizer, (), [StopOnNaN()], 0, 1e9,
        schedule=lambda step: 1e45,
    )  # fmt: skip
    with pytest.raises(
        xpnet.TrainingError, match=r"layers\.0\.(weight|bias) was the first parameter that the step"
    ):
        trainer.fit(clusters, None, 2, 10)


def test_a_loss_that_is_finite_when_repeated_is_reported(clusters):
    """Random numbers from outside the streams of xpnet differ when the steps are repeated."""
    trainer = make(f=lambda x: F.log(0.0 * x), log_every=1e9)
    bad = trainer.model[1][1]

    class Heal(Callback):
        order = -2

        def on_log(self, trainer, progress):
            bad.calls = 9**9

    trainer.callbacks = [*trainer.callbacks, Heal()]
    with pytest.raises(xpnet.TrainingError, match="but not when the steps .* were repeated"):
        trainer.fit(clusters, None, 1, 10)


def test_gradients_that_were_gathered_are_forgotten_when_steps_are_repeated(clusters):
    """Those of the batch whose loss was NaN are no part of the repeated step."""
    trainer = make(calls=2, log_every=0.0, accumulate=2)  # fails in the first batch of a step
    bad = trainer.model[1][1]

    class Heal(Callback):
        order = -2

        def on_log(self, trainer, progress):
            if not np.isfinite(progress.figures["loss"]):
                bad.calls = 9**9

    trainer.callbacks = [*trainer.callbacks, Heal()]
    with pytest.raises(xpnet.TrainingError, match="but not when the steps .* were repeated"):
        trainer.fit(clusters, None, 1, 10)
    assert (trainer.batch, trainer.between_steps) == (2, True)


def test_a_training_without_nan_is_unchanged(clusters):
    """Bit for bit, although the state is copied at each log line."""
    with_, without = make(calls=9**9, log_every=0.0), make(calls=9**9)
    without.callbacks = []
    a, b = with_.fit(clusters, clusters, 2, 10), without.fit(clusters, clusters, 2, 10)
    assert (a["train_loss"], a["test_loss"]) == (b["train_loss"], b["test_loss"])


def test_gradients_may_overflow_in_mixed_precision(clusters):
    """The scale of the loss handles that; outputs must be finite."""
    trainer = make(calls=9**9, precision="float16", lr=1e6, log_every=0.0, accumulate=2)
    with pytest.raises(xpnet.TrainingError, match="whose output was not finite|not when the steps"):
        trainer.fit(clusters, None, 40, 10)


def test_the_trainers_own_error_names_the_first_parameter(clusters, tmp_path):
    """Without the callback; the message refers to StopOnNaN."""
    trainer = make(Checkpoint(tmp_path), calls=3, log_every=1e9)
    trainer.callbacks = trainer.callbacks[1:]
    with pytest.raises(
        xpnet.TrainingError, match=r"then layers\.0\.weight was not finite: .* StopOnNaN"
    ):
        trainer.fit(clusters, None, 1, 10)
    assert checkpoint.read(tmp_path / Checkpoint.LAST)["steps"] == 0
