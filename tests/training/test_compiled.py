"""A trainer compiles its steps where it can, runs them as they are where it cannot, and says which."""

import io
import threading

import numpy as np
import pytest
from rich.console import Console

import xpnet
from xpnet import CompileError, functions as F, layers
from xpnet.compiler.c import load
from xpnet.data import DataLoader
from xpnet.metrics import F1, accuracy
from xpnet.training import Callback, ProgressBar, Trainer
from xpnet.training._compiled import CompiledMeasure


@pytest.fixture(autouse=True)
def _on_numpy(monkeypatch):
    """The executor whose results are those of eager steps bit for bit."""
    monkeypatch.setenv("XPNET_EXECUTOR", "numpy")
    with xpnet.using("numpy"):
        yield


class Halved(layers.Layer):
    """A layer that decides something by a value of its input."""

    def forward(self, x):
        if float(F.mean(x)) > 0.0:
            return x * 0.5
        return x


class Table(layers.Layer):
    """Rows of a parameter: the library raises an error for those that are not there."""

    def __init__(self):
        self.rows = xpnet.Parameter(np.ones((3, 4), "float32"))

    def forward(self, x):
        return F.take(self.rows, x, axis=0)


def data(n=90):
    rng = np.random.default_rng(0)
    t = np.arange(n) % 3
    return (np.eye(3, 5)[t] + rng.normal(0, 0.5, (n, 5))).astype("float32"), t


def trainer_of(*more, loss=F.softmax_cross_entropy, kind=Trainer, **options):
    model = layers.Sequential(
        layers.Affine(5, 6, rng=0), *more, layers.ReLU(), layers.Affine(6, 3, rng=1)
    )
    optimizer = xpnet.Momentum(model.parameters(), lr=0.1)
    return kind(model, loss, optimizer, rng=2, **options)


def weights(trainer):
    return [p.data for p in trainer.model.parameters()]


def assert_same_weights(a, b):
    for x, y in zip(weights(a), weights(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_steps_are_compiled_by_default():
    trainer = trainer_of(metrics=[accuracy])
    trainer.fit(data(), epochs=2, batch_size=15)
    [step] = trainer.compiled
    assert step.replays
    assert trainer.learner.reason == ""


def test_steps_run_as_they_are_on_request():
    trainer = trainer_of(compile=False)
    trainer.fit(data(), epochs=2, batch_size=15)
    assert trainer.compiled == []
    assert trainer.learner.reason == "compile=False"


def test_a_model_that_reads_values_is_not_compiled():
    """It computes the same as without an attempt, and the reason names the line."""
    trainer = trainer_of(Halved())
    trainer.fit(data(), data(30), epochs=2, batch_size=15)
    assert "test_compiled.py" in trainer.learner.reason
    assert "float" in trainer.learner.reason
    plain = trainer_of(Halved(), compile=False)
    plain.fit(data(), data(30), epochs=2, batch_size=15)
    assert_same_weights(trainer, plain)
    assert trainer.history["test_loss"] == plain.history["test_loss"]


def test_the_reason_is_an_error_where_compilation_is_required():
    trainer = trainer_of(Halved(), compile=True)
    with pytest.raises(CompileError, match=r"test_compiled\.py"):
        trainer.fit(data(), epochs=1, batch_size=15)


def test_the_progress_bar_prints_the_reason_once():
    text = io.StringIO()
    trainer = trainer_of(Halved(), callbacks=[ProgressBar(Console(file=text, width=400))])
    trainer.fit(data(), epochs=3, batch_size=15)
    [line] = [x for x in text.getvalue().splitlines() if "without compilation" in x]
    assert line.startswith("The steps run without compilation: ")
    assert "test_compiled.py:" in line  # the place, and what is read there, in the same line
    assert "reads a value" in line


def test_a_clip_function_that_reads_values_divides_the_step():
    norms = []

    def clip(parameters):
        parameters = list(parameters)
        norms.append(sum(float(F.sum(p.raw_grad**2)) for p in parameters))
        if norms[-1] > 0.01:
            for p in parameters:
                p.raw_grad = p.raw_grad * 0.5

    trainer = trainer_of(clip=clip, compile=True)
    trainer.fit(data(), epochs=3, batch_size=15)
    assert len(norms) == 18
    gradients, move = trainer.learner.compiled[-2:]
    assert gradients.replays
    assert move.replays
    found = list(norms)
    plain = trainer_of(clip=clip, compile=False)
    norms.clear()
    plain.fit(data(), epochs=3, batch_size=15)
    assert found == norms
    assert_same_weights(trainer, plain)


def test_a_metric_that_reads_values_leaves_the_step_compiled():
    def positive(y, t):
        return float(np.mean(xpnet.to_numpy(y) > 0.0))

    trainer = trainer_of(metrics=[positive, F1(average="macro")], compile=True)
    trainer.fit(data(), data(30), epochs=2, batch_size=15)
    plain = trainer_of(metrics=[positive, F1(average="macro")], compile=False)
    plain.fit(data(), data(30), epochs=2, batch_size=15)
    for name in ("train_positive", "train_f1", "test_positive", "test_f1"):
        assert trainer.history[name] == plain.history[name]
    assert any(step.replays for step in trainer.compiled)


@pytest.mark.parametrize("resident", [True, False])
def test_a_number_that_changes_in_each_step_is_the_reason(resident):
    """Each step is of a new kind, so most of them run as they are: that is said, or an error."""
    anneal = {"factor": 1.0}

    def annealed(y, t):
        return F.softmax_cross_entropy(y, t) * anneal["factor"]

    class Anneals(Callback):
        reads_gradients = False

        def on_step(self, trainer):
            anneal["factor"] *= 0.99

    x, t = data(30)
    loader = DataLoader(x, t, batch_size=3, shuffle=True, seed=0, resident=resident)
    trainer = trainer_of(loss=annealed, callbacks=[Anneals()])
    trainer.fit(loader, epochs=20)
    assert "Pass numbers that change as arrays" in trainer.learner.reason
    trainer = trainer_of(loss=annealed, callbacks=[Anneals()], compile=True)
    with pytest.raises(CompileError, match="Pass numbers that change as arrays"):
        trainer.fit(loader, epochs=20)


def test_a_subclass_with_a_step_of_its_own_is_called():
    class Twice(Trainer):
        def step(self, x, t):
            super().step(x, t)
            return super().step(x, t)

    trainer = trainer_of(kind=Twice)
    trainer.fit(data(), epochs=1, batch_size=15)
    assert trainer.steps == 12


def test_after_an_error_of_the_model_its_arrays_are_there_and_nothing_is_saved(tmp_path):
    """The error comes from a step that was to be recorded: its layers have seen recording arrays."""

    class Fails(Callback):
        def on_step(self, trainer):
            if trainer.steps == 5:
                trainer.model.layers[0].weight.data = np.zeros((4, 6), "float32")

    trainer = trainer_of(callbacks=[Fails()])
    with pytest.raises(xpnet.ShapeError):
        trainer.fit(data(), epochs=1, batch_size=15)
    assert trainer.steps == 5
    assert all(type(x) is np.ndarray for x in weights(trainer))
    assert not trainer.between_steps, "a batch is half learned: BatchNorm would have counted it"
    with pytest.raises(xpnet.StateError, match="half done"):
        trainer.save(tmp_path / "c.safetensors")


def test_an_error_in_a_replay_leaves_the_training_between_steps(tmp_path):
    """As an error in the same step without compilation, before the weights move."""
    x = t = np.arange(30) % 3
    for compile in (True, False):
        model = layers.Sequential(Table(), layers.Affine(4, 3, rng=1))
        optimizer = xpnet.Adam(model.parameters())
        trainer = Trainer(model, F.softmax_cross_entropy, optimizer, rng=2, compile=compile)
        for _ in range(5):
            trainer.step(x, t)
        assert bool(trainer.learner.compiled) is compile
        with pytest.raises(IndexError):
            trainer.step(x + 1, t)
        assert trainer.between_steps
        assert trainer.steps == 5
        trainer.save(tmp_path / "checkpoint")


def test_a_layer_that_a_callback_freezes_for_an_epoch():
    """Then its parameters have made fewer steps, and so have another correction of Adam's."""

    class Freezes(Callback):
        def on_epoch(self, trainer):
            for p in trainer.model.layers[0].parameters():
                p.requires_grad = len(trainer.history) % 2 == 0

    def trained(compile):
        model = layers.MLP(5, 6, 3, rng=0)
        optimizer = xpnet.Adam(model.parameters())
        trainer = Trainer(
            model, F.softmax_cross_entropy, optimizer, rng=2, compile=compile, callbacks=[Freezes()]
        )
        trainer.fit(data(), epochs=4, batch_size=15)
        return trainer

    found = trained(True)
    assert_same_weights(found, trained(False))
    assert found.learner.reason == ""


def test_the_averages_of_a_compiled_training_are_those_of_a_plain_one():
    trainer = trainer_of(average=0.5)
    trainer.fit(data(), data(30), epochs=2, batch_size=15)
    plain = trainer_of(average=0.5, compile=False)
    plain.fit(data(), data(30), epochs=2, batch_size=15)
    for a, b in zip(trainer.learner.average.averages, plain.learner.average.averages, strict=True):
        np.testing.assert_array_equal(a, b)
    assert trainer.learner.average.updates == plain.learner.average.updates
    assert trainer.history["test_loss"] == plain.history["test_loss"]


class Pauses:
    """What an executor runs, with a pause in the middle of which averages are half updated."""

    def __init__(self, run, average):
        self.run = run
        self.average = average
        self.begun = threading.Event()
        self.tried = threading.Event()

    def __call__(self, *given):
        average = self.average.averages[0]
        now = average.copy()
        average += 1000.0
        self.begun.set()
        self.tried.wait(5.0)
        average[...] = now
        return self.run(*given)


@pytest.mark.parametrize("resident", [True, False])
def test_another_thread_never_copies_averages_of_half_a_step(resident):
    """It waits until the replay is over."""
    trainer = trainer_of(average=0.5)
    x, t = data()
    loader = DataLoader(x, t, batch_size=15, shuffle=True, seed=0, resident=resident)
    trainer.fit(loader, epochs=1)
    average = trainer.learner.average
    copies = []

    class Paused(Callback):
        reads_gradients = False

        def on_step(self, trainer):
            executor = trainer.compiled[0].replays[-1].executor
            if not isinstance(executor.run, Pauses):
                executor.run = paused = Pauses(executor.run, average)
                thread = threading.Thread(target=copied, args=[paused])
                thread.start()
                threads.append(thread)

    def copied(paused):
        paused.begun.wait(5.0)
        thread = threading.Timer(0.2, paused.tried.set)  # for a copy that waits for the step
        thread.start()
        with average.applied():
            copies.append(float(np.max(np.abs(trainer.model.layers[0].weight.data))))
        paused.tried.set()

    threads = []
    trainer.callbacks = [Paused()]
    trainer.fit(loader, epochs=1)
    for thread in threads:
        thread.join()
    assert len(copies) == 1
    assert copies[0] < 100.0


@pytest.mark.parametrize("executor", ["numpy", "c"])
@pytest.mark.parametrize("average", [None, 0.5])
def test_an_evaluation_is_the_test_after_an_epoch(monkeypatch, executor, average):
    """To the last bit; with other metrics it is another one."""
    if executor == "c":
        try:
            load.wait()
        except CompileError as error:
            pytest.skip(str(error))
    monkeypatch.setenv("XPNET_EXECUTOR", executor)
    trainer = trainer_of(metrics=[accuracy], average=average)
    trainer.fit(data(), data(30), epochs=2, batch_size=15)
    found = trainer.evaluate(data(30))
    assert found == {name: trainer.history[f"test_{name}"][-1] for name in ("loss", "accuracy")}
    trainer.metrics = []
    assert trainer.evaluate(data(30)) == {"loss": found["loss"]}


def test_a_test_with_averages_is_compiled_once(monkeypatch):
    """The averages are other arrays after each epoch: the evaluation is not recorded again."""
    recorded = []

    class Counted(CompiledMeasure):
        def __init__(self, learner, meter):
            super().__init__(learner, meter)
            recorded.append(self)

    monkeypatch.setattr("xpnet.training.trainer.CompiledMeasure", Counted)
    trainer = trainer_of(average=0.5, metrics=[accuracy])
    trainer.fit(data(), data(30), epochs=4, batch_size=15)
    [measure] = recorded
    assert len(measure.compiled.replays) == 1
    plain = trainer_of(average=0.5, metrics=[accuracy], compile=False)
    plain.fit(data(), data(30), epochs=4, batch_size=15)
    assert trainer.history["test_loss"] == plain.history["test_loss"]
    assert (
        trainer.history["test_loss"]
        != trainer_of(metrics=[accuracy]).fit(data(), data(30), epochs=4, batch_size=15)[
            "test_loss"
        ]
    )


def test_c_by_force_without_a_library_is_an_error_not_a_fallback(monkeypatch):
    def wait():
        raise CompileError("There is no C library: no compiler was found")

    monkeypatch.setenv("XPNET_EXECUTOR", "c")
    monkeypatch.setattr(load, "wait", wait)
    trainer = trainer_of()
    before = [w.copy() for w in weights(trainer)]
    with pytest.raises(CompileError, match="no compiler was found"):
        trainer.fit(data(), epochs=1, batch_size=15)
    for w, old in zip(weights(trainer), before, strict=True):
        np.testing.assert_array_equal(w, old)
    trainer_of(compile=False).fit(data(), epochs=1, batch_size=15)  # needs no library
