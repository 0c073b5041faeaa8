"""A step beside its gradient: clipping, accumulation, schedule, average, precision, data."""

import math

import numpy as np
import pytest

import xpnet
from xpnet import functions as F, schedules
from xpnet.data import DataLoader
from xpnet.metrics import F1, ConfusionMatrix, accuracy
from xpnet.optimizers import ExponentialMovingAverage, clip_grad_value
from xpnet.training import Callback, ReduceOnPlateau, Trainer
from xpnet.training.meter import Meter
from xpnet.training.precision import MixedPrecision


def make(optimizer=xpnet.SGD, lr=0.5, **options):
    model = xpnet.MLP(4, 8, 3, rng=0)
    optimizer = optimizer(model.parameters(), lr)
    return Trainer(model, F.softmax_cross_entropy, optimizer, rng=0, **options)


def weights(trainer):
    return {name: xpnet.to_numpy(x).copy() for name, x in trainer.model.state_dict().items()}


def assert_close(a, b, **tolerance):
    for name, x in a.items():
        np.testing.assert_allclose(x, b[name], **tolerance)


def test_accumulated_batches_make_the_step_of_one_large_batch(backend, clusters):
    """20, 20 and 7 samples: the mean over all 47, up to rounding. No step is made before the last."""
    x, t = (backend.asarray(a) for a in clusters)
    x = backend.asarray(x, backend.dtype)
    small, large = make(accumulate=3), make()
    start = weights(small)
    for a, b in ((0, 20), (20, 40)):
        small.step(x[a:b, ...], t[a:b, ...])
        assert_close(weights(small), start, rtol=0)
    small.step(x[40:47, ...], t[40:47, ...])
    large.step(x[:47, ...], t[:47, ...])
    assert_close(weights(small), weights(large), rtol=1e-4, atol=1e-6)
    assert small.steps == large.steps == 1


def test_the_batches_left_at_an_epochs_end_make_a_step(clusters):
    """6 batches make a step of 4 and one of 2; the second has 30 samples."""
    steps = []

    class Look(Callback):
        def on_step(self, trainer):
            steps.append((trainer.steps, trainer.between_steps))

    trainer = make(accumulate=4, callbacks=[Look()])
    trainer.fit(clusters, None, 1, 20)
    assert steps == [(0, False), (0, False), (0, False), (1, True), (1, False), (1, False)]
    assert trainer.steps == 2


def test_gradients_are_clipped_to_a_norm(backend, clusters):
    """One step of SGD with rate 0.5 moves all weights together by half of the norm."""
    trainer = make(clip=0.01)
    before = weights(trainer)
    trainer.fit(clusters, None, 1, 110)
    moved = sum(((x - before[name]) ** 2).sum() for name, x in weights(trainer).items())
    assert math.sqrt(moved) == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_clip_may_be_a_function_of_the_parameters(clusters):
    """"""
    trainer = make(clip=lambda parameters: clip_grad_value(parameters, 1e-3))
    before = weights(trainer)
    trainer.fit(clusters, None, 1, 110)
    largest = max(np.abs(x - before[name]).max() for name, x in weights(trainer).items())
    assert largest == pytest.approx(0.5e-3, rel=1e-3)


def test_a_schedule_is_called_once_per_step(clusters):
    """With 6 steps per epoch; the history has the rate of the last step of each epoch."""
    asked = []

    def schedule(step):
        asked.append(step)
        return 1.0 / (1.0 + step)

    trainer = make(lr=0.6, schedule=schedule)
    history = trainer.fit(clusters, None, 2, 20)
    assert asked == list(range(12))
    assert history["lr"] == pytest.approx([0.6 / 6, 0.6 / 12])
    assert trainer.optimizer.lr == 0.6


def test_a_schedule_of_zero_moves_nothing(clusters):
    trainer = make(schedule=schedules.linear(5, 0.0, 0.0))
    before = weights(trainer)
    trainer.fit(clusters, None, 1, 20)
    assert_close(weights(trainer), before, rtol=0)


@pytest.mark.parametrize("given", ["a decay", "an average"])
def test_the_averaged_weights_are_tested_and_the_others_are_trained(backend, clusters, given):
    """By the formula, over six steps; the model itself keeps the last weights."""
    seen = []

    class Look(Callback):
        def on_step(self, trainer):
            seen.append(weights(trainer))

    trainer = make(callbacks=[Look()], average=0.5)
    if given == "an average":
        average = ExponentialMovingAverage(trainer.model.parameters(), 0.5)
        trainer = Trainer(
            trainer.model,
            trainer.loss,
            trainer.optimizer,
            callbacks=[Look()],
            average=average,
            rng=0,
        )
    expected = weights(trainer)
    history = trainer.fit(clusters, clusters, 1, 20)
    for step in seen:
        expected = {name: 0.5 * a + 0.5 * step[name] for name, a in expected.items()}
    with trainer.averaged():
        assert_close(weights(trainer), expected, rtol=1e-5, atol=1e-6)
        by_hand = trainer.model(backend.asarray(clusters[0]))
    assert_close(weights(trainer), seen[-1], rtol=0)
    np.testing.assert_array_equal(
        xpnet.to_numpy(trainer.predict(clusters[0])), xpnet.to_numpy(by_hand)
    )
    loss = float(F.softmax_cross_entropy(by_hand, backend.asarray(clusters[1])))
    assert history["test_loss"][0] == pytest.approx(loss, rel=1e-5)
    assert trainer.evaluate(clusters)["loss"] == history["test_loss"][0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_training_in_half_precision_learns(backend, clusters, dtype):
    """The weights stay float32; if the library has no such dtype, an error names it."""
    try:
        trainer = make(precision=dtype, lr=0.1, accumulate=2)
    except xpnet.BackendError as error:
        assert dtype in str(error)
        return
    history = trainer.fit(clusters, clusters, 12, 10)
    assert history["test_loss"][-1] < 0.2
    assert all(p.dtype == backend.dtype for p in trainer.model.parameters())


def test_a_step_with_gradients_that_overflow_is_left_out(clusters):
    """With a scale of 2^60 all of them do: no weight moves, and the scale is halved each time."""
    trainer = make()
    precision = MixedPrecision(trainer.model, "float16", scale=2.0**60)
    trainer = Trainer(
        trainer.model, trainer.loss, trainer.optimizer, precision=precision, average=0.5, rng=0
    )
    before = weights(trainer)
    trainer.fit(clusters, None, 1, 20)
    assert_close(weights(trainer), before, rtol=0)
    assert precision.scale == 2.0**54
    assert trainer.learner.average.updates == 0


def test_accumulate_is_at_least_one():
    with pytest.raises(ValueError, match="accumulate >= 1, got 0"):
        make(accumulate=0)


# --- data -------------------------------------------------------------------------------------


def test_a_loader_has_its_own_order(backend, clusters):
    """The same batches as from arrays with the same seed.

    The steps are not compiled: on JAX, a step that takes the rows by itself rounds otherwise.
    """
    arrays = make(compile=False)
    seed = int(np.random.default_rng(0).integers(2**63))
    loader = DataLoader(*clusters, batch_size=20, shuffle=True, seed=seed)
    by_loader = make(compile=False)
    a = arrays.fit(clusters, clusters, 2)
    b = by_loader.fit(loader, DataLoader(*clusters, batch_size=50), 2)
    assert a["train_loss"] != b["train_loss"]  # of 100 samples a batch, and of 20
    a = make(compile=False).fit(clusters, clusters, 2, 20)
    assert a["train_loss"] == b["train_loss"]
    assert a["test_loss"] == pytest.approx(b["test_loss"], rel=1e-5)


def test_data_may_be_any_iterable_of_batches(backend, clusters):
    """A list of NumPy's arrays, in its own order; float64 becomes the backend's dtype."""
    x, t = clusters
    batches = [(x[i : i + 55].astype("float64"), t[i : i + 55]) for i in (0, 55)]
    seen = []

    class Listener(Callback):
        def on_log(self, trainer, progress):
            seen.append((progress.seen, progress.samples))

    trainer = make(callbacks=[Listener()], log_every=1e9)
    history = trainer.fit(batches, batches, 3)
    assert seen == [(110, 0)] * 3
    assert history["test_loss"][-1] == pytest.approx(trainer.evaluate(clusters)["loss"], rel=1e-5)
    there = [(backend.asarray(a, backend.dtype), backend.asarray(b)) for a, b in batches]
    again = make()
    assert again.fit(there, None, 3)["train_loss"] == history["train_loss"]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_function_may_return_the_samples(backend, clusters, prefetch):
    """Their number is unknown; the batches are those of the arrays in their order."""
    seen = []

    class Listener(Callback):
        def on_log(self, trainer, progress):
            seen.append((progress.seen, progress.samples))

    def samples():
        yield from zip(*clusters, strict=True)

    stream = DataLoader(samples, batch_size=20, prefetch=prefetch)
    trainer = make(callbacks=[Listener()], log_every=1e9)
    history = trainer.fit(stream, DataLoader(samples, batch_size=20), 2)
    expected = make().fit(DataLoader(*clusters, batch_size=20), None, 2)
    assert history["train_loss"] == expected["train_loss"]
    assert history["test_loss"][-1] == pytest.approx(trainer.evaluate(clusters)["loss"], rel=1e-5)
    assert seen == [(110, 0)] * 2


def test_a_stream_without_samples_is_an_error(clusters):
    epochs = iter([zip(*clusters, strict=True), ()])
    with pytest.raises(xpnet.DataError, match="Expected batches .* got none in epoch 2"):
        make().fit(DataLoader(lambda: iter(next(epochs)), batch_size=20), None, 2)


def bad_data(clusters, fault):
    """Data whose sample 70 is invalid, and a pattern of the error."""
    x, t = clusters
    if fault == "number":
        x = x.copy()
        x[70, 2] = np.nan
        return x, t, r"Expected numbers in x, got nan at \[{}, 2\], of sample {}\. Leave"
    t = np.where(np.arange(110) == 70, 7, t)
    return x, t, "labels go from 0 to 7, .* 3 outputs, .* outside these is that of sample {1}"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("fault", ["number", "label"])
def test_an_invalid_sample_of_a_loader_is_named(backend, clusters, fault):
    """By its row in the data, in whatever order; for a function, by its place in the stream."""
    x, t, said = bad_data(clusters, fault)

    def samples():
        yield from zip(x, t, strict=True)

    good = DataLoader(*clusters, batch_size=20)
    for bad in (
        DataLoader(x, t, batch_size=20, shuffle=True, seed=5, transform=lambda x, rng: x + 1.0),
        DataLoader(x, t, batch_size=20, last="fill"),
        DataLoader(samples, batch_size=20),
    ):
        for run in (
            lambda bad=bad: make().fit(bad, None, 1),
            lambda bad=bad: make().fit(good, bad, 1),
            lambda bad=bad: make().evaluate(bad),
        ):
            with pytest.raises(xpnet.DataError, match=said.format(70, 70)):
                run()
    batches = [(x[i : i + 55], t[i : i + 55]) for i in (0, 55)]
    with pytest.raises(xpnet.DataError, match="In batch 1 of epoch 1: .*" + said.format(15, 15)):
        make().fit(batches, None, 1)


def test_invalid_data_arguments_are_refused(clusters):
    """Each error has what was expected."""
    x, t = clusters
    with pytest.raises(TypeError, match=r"DataLoader\(function\)"):
        make().fit(pair for pair in [(x, t)])
    with pytest.raises(TypeError, match="got a int"):
        make().fit(5)
    with pytest.raises(TypeError, match=r"got a ndarray\. .* one argument, \(x, t\)"):
        make().fit(x, t)
    with pytest.raises(xpnet.DataError, match="Expected batches .* got none in epoch 1"):
        make().fit([])
    with pytest.raises(
        xpnet.DataError, match="Expected data to evaluate, got a loader without batches"
    ):
        make().evaluate([])
    with pytest.raises(xpnet.DataError, match="batch 0 of epoch 1, got 3 entries"):
        make().fit([(x, t, t)])
    with pytest.raises(xpnet.DataError, match=r"in .*, got a ndarray.*\(x, x\)"):
        make().fit(DataLoader(x, batch_size=10))
    with pytest.raises(
        xpnet.DataError, match="batch_size of at most 110, the number of samples, got 111"
    ):
        make().fit(clusters, batch_size=111)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_found_before_the_training(backend, clusters, value):
    x = clusters[0].copy()
    x[17, 3] = x[44, 0] = value
    with pytest.raises(
        xpnet.DataError, match=rf"in x, got {value} at \[17, 3\], of sample 17, and 1 more\. Leave"
    ):
        make().fit((x, clusters[1]), batch_size=10)
    t = np.eye(3)[clusters[1]]
    t[5, 2] = value
    with pytest.raises(
        xpnet.DataError, match=rf"in t, got {value} at \[5, 2\], of sample 5\. Leave"
    ):
        make().fit(clusters, (clusters[0], t), batch_size=10)


def test_texts_are_refused_as_data(clusters):
    names = np.asarray(["red", "green", "blue"])[clusters[1]]
    with pytest.raises(xpnet.DataError, match="Expected numbers in t, got <U5"):
        make().fit((clusters[0], names))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_large_numbers_whose_sum_overflows_are_accepted(clusters):
    x = clusters[0] * np.float32(0)
    x[:, 0] = 3e38
    assert np.isinf(x.sum())
    assert make().evaluate((x, clusters[1]))["loss"] != 0


def test_the_first_label_outside_the_classes_is_named(clusters):
    t = clusters[1].copy()
    t[[30, 40]] = 9
    with pytest.raises(xpnet.DataError, match="The first label outside these is that of sample 30"):
        make().fit((clusters[0], t), batch_size=10)


def test_a_model_of_several_inputs_takes_a_tuple_of_arrays(backend, clusters):
    """By position; or a dict, by name."""

    class Both(xpnet.Layer):
        def __init__(self):
            self.one, self.two = xpnet.MLP(4, [], 3, rng=0), xpnet.MLP(2, [], 3, rng=1)

        def forward(self, a, b):
            return self.one(a) + self.two(b)

    x, t = clusters
    losses = []
    for data in ((x, x[:, :2]), {"a": x, "b": x[:, :2]}):
        model = Both()
        trainer = Trainer(
            model, F.softmax_cross_entropy, xpnet.SGD(model.parameters(), 0.5), [accuracy], rng=0
        )
        losses.append(trainer.fit((data, t), (data, t), 2, 20)["train_loss"])
        assert trainer.predict(data).shape == (110, 3)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("kind", [tuple, dict])
def test_a_model_of_several_outputs_returns_a_tuple_of_arrays(backend, clusters, kind):
    """Or a dict, with targets of the same structure."""
    names = (0, 1) if kind is tuple else ("a", "b")

    def named(*values):
        return values if kind is tuple else dict(zip(names, values, strict=True))

    class Both(xpnet.Layer):
        def __init__(self):
            self.one, self.two = xpnet.MLP(4, [], 3, rng=0), xpnet.MLP(4, [], 2, rng=1)

        def forward(self, x):
            return named(self.one(x), self.two(x))

    def loss(y, t):
        return sum(F.softmax_cross_entropy(y[name], t[name]) for name in names)

    model, (x, t) = Both(), clusters
    trainer = Trainer(model, loss, xpnet.SGD(model.parameters(), 0.5), rng=0)
    data = x, named(t, t % 2)
    losses = trainer.fit(data, data, 3, 55)["test_loss"]
    assert losses[-1] < losses[0]
    y = trainer.predict(x, 55)
    assert type(y) is kind
    assert [tuple(y[name].shape) for name in names] == [(110, 3), (110, 2)]


# --- metrics ----------------------------------------------------------------------------------


def test_a_metric_that_is_no_mean_is_computed_over_the_whole_epoch(backend, clusters):
    """F1 of all test samples at once, in batches of different sizes; columns in the given order."""
    f1 = F1(average="macro")
    trainer = make()
    trainer.metrics = [f1, accuracy]
    history = trainer.fit(clusters, DataLoader(*clusters, batch_size=40), 2, 20)
    y = trainer.predict(clusters[0])
    expected = float(xpnet.metrics.f1(y, backend.asarray(clusters[1]), average="macro"))
    assert history["test_f1"][-1] == pytest.approx(expected, rel=1e-5)
    assert history.columns[1:4] == ["train_loss", "train_f1", "train_accuracy"]
    assert math.isnan(float(f1.compute()))  # the trainer has copies of its own


def test_a_metric_may_be_computed_on_the_host(backend, clusters):
    """It may be a Python number or a NumPy scalar; also in an epoch that was interrupted."""

    def right(y, t):
        return np.mean(np.argmax(xpnet.to_numpy(y), axis=-1) == xpnet.to_numpy(t))

    def half(y, t):
        return 0.5

    trainer = make()
    trainer.metrics = [right, accuracy, half]
    history = trainer.fit(clusters, clusters, 1, 20)
    for part in ("train", "test"):
        assert history[f"{part}_right"] == pytest.approx(history[f"{part}_accuracy"])
        assert history[f"{part}_half"] == [0.5]
    meter, again = Meter([right, half]), Meter([right, half])
    y, t = (backend.asarray(a) for a in ([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]], [1, 1, 0]))
    meter.add(F.softmax_cross_entropy(y, t), y, t)
    again.load_state_dict(meter.state_dict())
    assert again.read() == meter.read()
    assert again.read()["right"] == 2 / 3


def test_a_metric_that_is_no_number_is_refused(clusters):
    """For a function this is noticed in the first batch."""

    def scores(y, t):
        return y

    trainer = make()
    for metric, said in (
        (ConfusionMatrix(), r"confusion_matrix to be a number, got .*\(3, 3\)"),
        (scores, r"scores to be a number, got .*\(20, 3\)"),
    ):
        trainer.metrics = [metric]
        with pytest.raises(xpnet.ShapeError, match=said):
            trainer.fit(clusters, None, 1, 20)


@pytest.mark.parametrize(
    "metrics", [[accuracy, accuracy], [F1(average="macro"), F1(average="micro")], [F1(name="loss")]]
)
def test_two_metrics_of_one_name_are_refused(clusters, metrics):
    trainer = make()
    trainer.metrics = metrics
    with pytest.raises(ValueError, match="different names.* twice"):
        trainer.fit(clusters, None, 1, 20)


def test_the_factor_of_a_plateau_is_not_kept_for_the_next_fit(clusters):
    """And the optimizer's own factor is unchanged if nothing sets it."""

    class Worse(Callback):
        order = -2

        def on_epoch(self, trainer):
            trainer.history.rows[-1]["train_loss"] = float(len(trainer.history))

    trainer = make(lr=0.8, callbacks=[Worse(), ReduceOnPlateau(factor=0.5, patience=0)])
    for _ in range(2):
        assert trainer.fit(clusters, None, 3, 20)["lr"] == pytest.approx([0.8, 0.8, 0.4])
    own = make(lr=0.8)
    own.optimizer.factor = 0.25
    assert own.fit(clusters, None, 1, 20)["lr"] == pytest.approx([0.2])


def test_a_half_done_step_cannot_be_saved(clusters, tmp_path):
    trainer = make(accumulate=2)
    trainer.step(*clusters)
    with pytest.raises(xpnet.StateError, match="half done"):
        trainer.save(tmp_path / "c.safetensors")
    trainer.step(*clusters)
    trainer.save(tmp_path / "c.safetensors")


def test_a_load_forgets_a_half_done_step(clusters, tmp_path):
    """The next step has only its own gradients, and the training can be saved again."""
    x, t = clusters
    file = tmp_path / "c.safetensors"
    trainer = make(accumulate=2)
    trainer.save(file)
    trainer.step(x[:50], t[:50])
    trainer.load(file)
    assert trainer.between_steps
    trainer.save(file)
    expected = make(accumulate=2)
    for each in (trainer, expected):
        each.step(x[:20], t[:20])
        each.step(x[20:50], t[20:50])
    assert trainer.steps == expected.steps == 1
    for name, weight in expected.model.state_dict().items():
        np.testing.assert_array_equal(trainer.model.state_dict()[name], weight)
