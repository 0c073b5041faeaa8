"""The first steps of a process are made as all later ones are, also where steps cannot be recorded.

The C library rounds otherwise than NumPy. So a training that is resumed in a new process, whose first
steps find out what cannot be recorded, shows in its bits whether they were made in another way.
"""

import numpy as np
import pytest

import xpnet
from xpnet import CompileError, functions as F, layers
from xpnet.compiler.c import load
from xpnet.data import DataLoader
from xpnet.metrics import accuracy
from xpnet.training import Trainer


@pytest.fixture(autouse=True, params=["numpy", "c"])
def executor(request, monkeypatch):
    if request.param == "c":
        try:
            load.wait()
        except CompileError as error:
            pytest.skip(str(error))
    monkeypatch.setenv("XPNET_EXECUTOR", request.param)
    with xpnet.using("numpy"):
        yield request.param


def data(n=240):
    rng = np.random.default_rng(0)
    t = np.arange(n) % 3
    return (np.eye(3, 50)[t] + rng.normal(0, 0.5, (n, 50))).astype("float32"), t


def trainer_of(loss=F.softmax_cross_entropy, outputs=3, **options):
    xpnet.manual_seed(5)
    model = layers.Sequential(
        layers.Affine(50, 60, rng=0), layers.BatchNorm1d(60), layers.ReLU(),
        layers.Dropout(0.2), layers.Dropout(0.1, rng=3), layers.Affine(60, outputs, rng=1),
    )  # fmt: skip
    optimizer = xpnet.Adam(model.parameters(), lr=0.01)
    return Trainer(model, loss, optimizer, rng=2, **options)


def reads(y, t):
    """A metric that reads a value."""
    return float(np.mean(xpnet.to_numpy(y) > 0.0))


class Counts:
    """A metric that counts its calls, and reads nothing."""

    def __init__(self):
        self.__name__ = "counts"
        self.calls = 0

    def __call__(self, y, t):
        self.calls += 1
        return accuracy(y, t)


class Clip:
    """A clip function that reads values and keeps them; or only counts."""

    def __init__(self, reads):
        self.reads = reads
        self.norms = []

    def __call__(self, parameters):
        found = list(parameters)
        self.norms.append(1.0)
        if self.reads:
            self.norms[-1] = sum(float(F.sum(p.raw_grad**2)) for p in found)
        for p in found:
            p.raw_grad = p.raw_grad * 0.5


CASES = {
    "a metric that reads": lambda: trainer_of(metrics=[accuracy, reads]),
    "a metric that counts": lambda: trainer_of(metrics=[Counts()]),
    "a clip that reads": lambda: trainer_of(clip=Clip(reads=True)),
    "a clip that counts": lambda: trainer_of(clip=Clip(reads=False)),
    "both": lambda: trainer_of(metrics=[reads], clip=Clip(reads=True)),
    "a clip that reads, after three batches": lambda: trainer_of(
        clip=Clip(reads=True), accumulate=3
    ),
    "nothing": lambda: trainer_of(metrics=[accuracy]),
}


def image(trainer):
    state = trainer.state_dict()
    numbers = {**state["model"], **state["optimizer"]}
    return {name: np.asarray(x).tobytes() for name, x in numbers.items() if hasattr(x, "dtype")}


@pytest.mark.parametrize("case", CASES)
def test_a_training_that_is_resumed_has_the_bits_of_one_that_is_not(case, tmp_path):
    whole = CASES[case]()
    whole.fit(data(), data(60), epochs=3, batch_size=40)
    first = CASES[case]()
    first.fit(data(), data(60), epochs=1, batch_size=40)
    first.save(tmp_path / "c.safetensors")
    second = CASES[case]()
    second.fit(data(), data(60), epochs=3, batch_size=40, resume=tmp_path / "c.safetensors")
    assert image(second) == image(whole)
    for column in second.history.columns:
        if column not in ("seconds", "samples_per_s"):
            assert second.history[column] == whole.history[column], column
    assert whole.compiled[0].replays


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_recorded_is_done_as_often_as_without_compilation(case, executor):
    """Random numbers, counters and lists are undone with the step that was only tried."""
    trainer = CASES[case]()
    trainer.fit(data(), epochs=2, batch_size=40)
    plain = CASES[case]()
    plain.learner.compile = False
    plain.fit(data(), epochs=2, batch_size=40)
    state = trainer.state_dict()["random"]
    assert state == plain.state_dict()["random"]
    assert trainer.steps == plain.steps
    for own, expected in zip(trainer.metrics, plain.metrics, strict=True):
        assert getattr(own, "calls", 0) == getattr(expected, "calls", 0)
    if isinstance(trainer.learner.clip, Clip):
        found = trainer.learner.clip.norms
        np.testing.assert_allclose(found, plain.learner.clip.norms, rtol=1e-4)
    if executor == "numpy":
        assert image(trainer) == image(plain)


@pytest.mark.parametrize("part", [slice(None), slice(0, 49), slice(1, None)])
def test_a_model_that_reproduces_its_input_takes_its_rows_by_itself(part):
    """x and t share memory, which nobody writes to."""

    def loss(y, t):
        return F.mean((y - t) ** 2)

    x, _ = data()
    outputs = x[:, part].shape[1]
    trainer = trainer_of(loss, outputs, compile=True)
    loader = DataLoader(x, x[:, part], batch_size=40, shuffle=True, seed=0, resident=True)
    trainer.fit(loader, epochs=2)
    [step] = trainer.compiled
    assert step._name == "step"
    other = trainer_of(loss, outputs, compile=True)
    copy = x[:, part].copy()
    other.fit(DataLoader(x, copy, batch_size=40, shuffle=True, seed=0, resident=True), epochs=2)
    assert image(trainer) == image(other)
