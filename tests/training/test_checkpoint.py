"""Checkpoints: the content of the file, and files that are no checkpoint of this training."""

import json
import random

import numpy as np
import pytest
import safetensors.numpy

import xpnet
from tests.training import resumable
from xpnet import functions as F
from xpnet._saved import finite
from xpnet.autodiff import tree
from xpnet.metrics import F1, accuracy
from xpnet.training import Callback, Checkpoint, Trainer, checkpoint


class LinearDecay(Callback):
    """A user's callback with a state: the learning rate falls epoch by epoch, in equal steps."""

    lr = 0.0

    def on_start(self, trainer):
        if not trainer.resumed or not self.lr:
            self.lr = trainer.optimizer.lr
        self.on_epoch(trainer)

    def on_epoch(self, trainer):
        trainer.optimizer.lr = self.lr * (1.0 - len(trainer.history) / trainer.epochs)

    def on_end(self, trainer):
        trainer.optimizer.lr = self.lr

    def state_dict(self):
        return {"lr": self.lr}

    def load_state_dict(self, state):
        self.lr = finite(state, "lr", 0.0)


@pytest.fixture
def saved(tmp_path):
    """A training of two epochs, and its checkpoint."""
    trainer = resumable.fit(tmp_path, epochs=2)
    return trainer, tmp_path / Checkpoint.LAST


def everything(trainer):
    """What the trainer is, as a text that shows every bit."""
    text, arrays = checkpoint.flattened(trainer.state_dict())
    return text, {name: x.tobytes() for name, x in arrays.items()}


def test_the_file_is_safetensors_and_json(saved):
    """Tensors have the names of the parts; everything else is a JSON text."""
    path = saved[1]
    with safetensors.safe_open(path, framework="numpy") as file:
        names, metadata = set(file.keys()), file.metadata()
    assert {
        "model.layers.0.weight",
        "model.layers.1.running_mean",
        "optimizer.0.m",
        "average.0",
    } <= names
    state = json.loads(metadata["state"])
    assert state["position"]["epoch"] == 2
    assert state["steps"] == 8
    assert [row["epoch"] for row in state["history"]["rows"]] == [1, 2]
    assert set(state["random"]["layers"]) == {"layers.3.rng"}
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []


def test_a_round_trip_keeps_every_bit(saved):
    trainer, path = saved
    fresh = resumable.make(path.parent, seed=8)
    fresh.loader = trainer.loader
    fresh.load(path)
    trainer.model.load_state_dict(checkpoint.read(path)["model"])  # it had its best ones
    trainer.learner.average.load_state_dict(checkpoint.read(path)["average"])
    assert everything(fresh) == everything(trainer)


def damaged(path, change):
    """The file, with something changed in its tensors or its text."""
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    change(tensors, metadata)
    path.write_bytes(safetensors.numpy.save(tensors, metadata))


def _flip(tensors, metadata):
    tensors["model.layers.0.weight"].view("u1")[0, 0] ^= 1


def _lose(tensors, metadata):
    del tensors["optimizer.1.v"]


def _text(tensors, metadata):
    metadata["state"] = metadata["state"].replace('"steps": 8', '"steps": 9')


def _sealed(text):
    """A text with a checksum that fits: not damaged, but wrong."""

    def change(tensors, metadata):
        metadata["state"] = text(metadata["state"])
        metadata["check"] = checkpoint.text_checksum(metadata["state"], metadata["crc32"])

    return change


HARMS = {
    "flipped": (_flip, r"the array model\.layers\.0\.weight is damaged"),
    "lost": (_lose, r"the array optimizer\.1\.v is missing"),
    "text": (_text, "its text is damaged"),
    "no text": (lambda _, m: m.pop("state"), "does not describe a checkpoint"),
    "no list": (_sealed(lambda _: "[" * 100000), "does not describe a checkpoint"),
    "foreign": (lambda _, m: m.clear(), "another safetensors file"),
    "empty": (_sealed(lambda _: "{}"), "of another training"),
    "name": (_sealed(lambda s: s.replace('"model.layers.0.weight"}', '"gone"}')), "not describe"),
    "rows": (_sealed(lambda s: s.replace('"epoch": 2, "batch"', '"epoch": 3, "batch"')), "3 epochs"),
    "random": (_sealed(lambda s: s.replace('"PCG64"', '"MT"')), "generator"),
    "layers": (_sealed(lambda s: s.replace('"layers.3.rng"', '"layers.4.rng"')), "generators"),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_file_is_named_and_nothing_changes(saved, harm):
    """Neither the trainer, nor its history, nor any stream of random numbers."""
    trainer, path = saved
    change, said = HARMS[harm]
    damaged(path, change)
    trainer.learner.progress.updating = True  # as after an error within a step
    before, vars_before = everything(trainer), dict(vars(trainer))
    learner_before = dict(vars(trainer.learner))
    with pytest.raises(xpnet.StateError, match=rf"last\.safetensors: .*{said}"):
        trainer.fit(resumable.data(), resumable.data(), 3, 20, resume=path)
    assert everything(trainer) == before
    assert vars(trainer) == vars_before
    assert vars(trainer.learner) == learner_before
    assert trainer.learner.updating


@pytest.mark.parametrize("length", [0, 7, 100, 5000, -1])
def test_an_incomplete_file_is_named(saved, length):
    trainer, path = saved
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(xpnet.StateError, match=r"last\.safetensors: .*(cut|cannot be read)"):
        trainer.fit(resumable.data(), None, 3, 20, resume=path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(xpnet.StateError, match="no such file"):
        resumable.make(tmp_path).fit(resumable.data(), resume=tmp_path / "none", batch_size=20)


def small(optimizer=xpnet.Momentum, hidden=8, dtype="float32", **options):
    with xpnet.using("numpy", dtype):
        model = xpnet.MLP(4, hidden, 3, rng=0)
        return Trainer(
            model, F.softmax_cross_entropy, optimizer(model.parameters()), rng=0, **options
        )


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: small(xpnet.Adam), "Adam"),
        (lambda: small(hidden=9), r"layers\.0\.weight of shape \(4, 9\), got \(4, 8\)"),
        (lambda: small(hidden=[8, 8]), r"lacks .*layers\.4\.weight"),
        (lambda: small(average=0.9), "lacks an entry 'average', but the trainer has one"),
        (
            lambda: small(dtype="float64"),
            r"layers\.0\.weight is of dtype float32; the model's is float64",
        ),
    ],
    ids=["optimizer", "width", "depth", "average", "dtype"],
)
def test_another_trainings_checkpoint_is_refused(clusters, tmp_path, other, said):
    """The message names what does not fit, and the model is unchanged."""
    path = tmp_path / "c.safetensors"
    trainer = small()
    trainer.fit(clusters, None, 1, 20)
    trainer.save(path)
    other = other()
    before = everything(other)
    with pytest.raises(
        xpnet.StateError, match=rf"(?s)c\.safetensors: .*another training.*{said}"
    ) as caught:
        other.fit(clusters, None, 2, 20, resume=path)
    assert "StateError" not in str(caught.value)  # its message, not its repr
    assert everything(other) == before


def test_a_checkpoint_with_an_average_needs_a_trainer_with_one(clusters, tmp_path):
    small(average=0.9).save(tmp_path / "c.safetensors")
    with pytest.raises(xpnet.StateError, match="has an entry 'average', but the trainer has none"):
        small().fit(clusters, None, 2, 20, resume=tmp_path / "c.safetensors")


class Stop(Callback):
    """Presses Ctrl-C after a number of batches."""

    def __init__(self, batches):
        self.left = batches

    def on_step(self, trainer):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("data", "size", "said"),
    [
        (lambda x, t: (x, t), 10, "batch_size=20; now it is 10"),
        (lambda x, t: (x[1:], t[1:]), 20, "samples=110; now it is 109"),
    ],
    ids=["batches", "samples"],
)
def test_within_an_epoch_the_batches_must_be_the_same(clusters, tmp_path, data, size, said):
    trainer = small(callbacks=[Stop(3)])
    trainer.fit(clusters, None, 2, 20)
    trainer.save(tmp_path / "c.safetensors")
    with pytest.raises(xpnet.StateError, match=said):
        small().fit(data(*clusters), None, 2, size, resume=tmp_path / "c.safetensors")


def test_the_states_of_callbacks_and_metrics_are_saved(clusters, tmp_path):
    """A metric that is no mean, within an epoch; a learning rate that falls per epoch."""

    def make(*callbacks):
        measures, all_callbacks = [accuracy, F1(average="macro")], [LinearDecay(), *callbacks]
        return small(metrics=measures, callbacks=all_callbacks, accumulate=2)

    whole = make()
    whole.fit(clusters, clusters, 4, 20)
    broken = make(Checkpoint(tmp_path), Stop(16))  # with 6 batches per epoch: within the third
    broken.fit(clusters, clusters, 4, 20)
    assert (len(broken.history), broken.batch, broken.optimizer.lr) == (2, 4, 0.01)
    fresh = make()
    history = fresh.fit(clusters, clusters, 4, 20, resume=tmp_path / Checkpoint.LAST)
    assert fresh.resumed
    for column in ("train_loss", "train_f1", "train_accuracy", "test_f1", "lr"):
        assert history[column] == whole.history[column]
    for name, x in whole.model.state_dict().items():
        np.testing.assert_array_equal(fresh.model.state_dict()[name], x)
    assert fresh.optimizer.lr == 0.01


def test_a_step_of_several_batches_is_not_saved_half_done(clusters, tmp_path):
    """With 5 batches per step, the checkpoint is that after the step before."""
    trainer = small(callbacks=[Checkpoint(tmp_path, every_steps=1), Stop(8)], accumulate=5)
    trainer.fit(clusters, None, 4, 10)
    assert checkpoint.read(tmp_path / Checkpoint.LAST)["position"]["batch"] == 5


def test_a_finished_training_can_be_resumed_for_more_epochs(clusters, tmp_path):
    """Three epochs and then two more equal five."""
    whole, first, then = small(), small(), small()
    whole.fit(clusters, None, 5, 20)
    first.fit(clusters, None, 3, 20)
    first.save(tmp_path / "c.safetensors")
    again = then.fit(clusters, None, 3, 20, resume=tmp_path / "c.safetensors")
    assert again["train_loss"] == first.history["train_loss"]  # nothing was left to do
    history = then.fit(clusters, None, 5, 20, resume=tmp_path / "c.safetensors")
    assert history["train_loss"] == whole.history["train_loss"]


class Keeps(Callback):
    """Has whatever it was given for a state."""

    def __init__(self, value=None):
        self.value = value

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, 2.5, "three", None, True, 2**70], [1, 2.5, "three", None, True, 2**70]),
        (float("inf"), float("inf")),
        (np.asarray([1.0, 2.0], ">f4"), [1.0, 2.0]),
        ({"a.b": np.ones(1), "a": {"b": np.zeros(2)}}, {"a.b": [1.0], "a": {"b": [0.0, 0.0]}}),
        (np.asfortranarray([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    ],
)
def test_the_state_of_a_callback_is_restored(tmp_path, value, expected):
    small(callbacks=[Keeps(value)]).save(tmp_path / "c.safetensors")
    keeps = Keeps()
    small(callbacks=[keeps]).load(tmp_path / "c.safetensors")
    lists = tree.map(lambda x: x.tolist() if hasattr(x, "dtype") else x, keeps.value)
    assert lists == expected


@pytest.mark.parametrize("value", [{1, 2}, b"x", {1: 2}, {"$array": "x"}, np.asarray(["text"])])
def test_a_value_that_cannot_be_saved_is_named(tmp_path, value):
    """When it is written, not when it is read."""
    with pytest.raises(TypeError, match=r"numbers, strings, .*; callbacks\.Keeps\.0\.value is "):
        small(callbacks=[Keeps(value)]).save(tmp_path / "c.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file(saved, monkeypatch):
    trainer, path = saved
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left") as caught:
        trainer.save(path)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 2


def test_the_temporary_files_of_a_killed_process_are_removed(tmp_path):
    (tmp_path / ".last.safetensors.4711.part").write_bytes(b"half")
    (tmp_path / ".mine.part").write_bytes(b"")
    resumable.fit(tmp_path, epochs=1)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".mine.part", "best.safetensors", "last.safetensors"]


@pytest.mark.parametrize("options", [{"every_steps": 0}, {"every_seconds": -1.0}])
def test_intervals_between_checkpoints_must_be_positive(tmp_path, options):
    with pytest.raises(ValueError, match="> 0, got"):
        Checkpoint(tmp_path, **options)


def test_checkpoints_are_written_at_intervals_of_seconds(clusters, tmp_path):
    """A tiny interval: after each batch; a day: only at the end of epochs."""
    for seconds, batch in ((1e-9, 3), (86400.0, 0)):
        folder = tmp_path / f"{batch}"

        class Look(Callback):
            order = 2

            def on_step(self, trainer, folder=folder, batch=batch):
                if trainer.batch == 3:
                    state = checkpoint.read(folder / Checkpoint.LAST)
                    assert state["position"]["batch"] == batch
                    raise KeyboardInterrupt

        small(callbacks=[Checkpoint(folder, every_seconds=seconds), Look()]).fit(
            clusters, None, 1, 20
        )


# --- a checkpoint with valid checksums and invalid content ----------------------------------------


def paths(tree, path=()):
    """The path to each leaf and each branch of a tree."""
    if path:
        yield path
    if isinstance(tree, (dict, list)):
        for name, child in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from paths(child, (*path, name))


def changed(tree, path, value):
    """The tree with another value at a path; without it, if the value is DELETED."""
    tree = json.loads(json.dumps(tree))
    branch = tree
    for name in path[:-1]:
        branch = branch[name]
    if value is DELETED:
        del branch[path[-1]]
    else:
        branch[path[-1]] = value
    return tree


DELETED = object()
VALUES = [
    10**400, -(10**400), 2**63, -5, -1, 0, 1.5, -2.5, float("nan"), float("inf"), -float("inf"), 1e308,
    True, None, "x", "", [], {}, [1], {"a": 1}, {"$array": "model.layers.0.weight"}, {"$array": "none"},
    DELETED,
]  # fmt: skip


@pytest.fixture(scope="module")
def within(tmp_path_factory):
    """The tree and the arrays of a checkpoint within an epoch, and the folder of its file."""
    folder = tmp_path_factory.mktemp("within")
    with xpnet.using("numpy"):
        trainer = resumable.make(folder)
        trainer.callbacks = [*trainer.callbacks, Stop(18), LinearDecay()]
        trainer.fit(resumable.loader(), resumable.data(), resumable.EPOCHS)
    with safetensors.safe_open(folder / Checkpoint.LAST, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        tree = json.loads(file.metadata()["state"])
    assert tree["position"]["batch"] == 4
    return tree, arrays, folder


@pytest.fixture
def resume(within, tmp_path):
    """A function: whether a trainer takes a tree for its checkpoint; if not, that it is unchanged."""
    _, arrays, _ = within
    trainer = resumable.make(tmp_path, seed=4)
    trainer.callbacks = [*trainer.callbacks, LinearDecay()]
    trainer.loader = resumable.loader()
    trainer.step(*(x[:20] for x in resumable.data()))  # an optimizer with a state of its own
    before = resumable.dump(trainer)

    def resume(tree, arrays=arrays):
        path = tmp_path / "c.safetensors"
        text = json.dumps(tree)
        sums = json.dumps({name: checkpoint.checksum(x) for name, x in arrays.items()})
        check = checkpoint.text_checksum(text, sums)
        metadata = {"format": checkpoint.FORMAT, "state": text, "crc32": sums, "check": check}
        path.write_bytes(safetensors.numpy.save(arrays, metadata))
        assert resumable.dump(trainer) == before
        try:
            trainer.load(path)
        except xpnet.StateError as error:
            assert str(path) in str(error)
            assert resumable.dump(trainer) == before
            return False
        held = json.loads(checkpoint.flattened(trainer.state_dict())[0])
        parts = ("model", "optimizer", "average", "precision", "steps", "damping")
        for part in (*parts, "position", "history", "meter"):
            assert held[part] == tree[part]
        assert held["random"]["global"] == tree["random"]["global"]
        assert held["random"]["layers"] == tree["random"]["layers"]
        before_load.restore()
        return True

    before_load = trainer._snapshot()
    return resume


WRONG = [
    ("steps", -5), ("steps", float("inf")), ("steps", 10**400),
    ("steps", 8.0), ("steps", True), ("position.batch", -1),
    ("position.batch", 8), ("position.batch", "4"), ("position.epoch", 3), ("position.epoch", None),
    ("position.seconds", float("nan")), ("position.seconds", -1.0), ("damping", "x"),
    ("damping", float("inf")), ("optimizer.lr", 10**400), ("optimizer.lr", 0.0),
    ("optimizer.lr", float("nan")), ("optimizer.lr", -1), ("optimizer.betas.0", 1.0),
    ("optimizer.factor", float("inf")), ("optimizer.0.t", -1), ("optimizer.0.t", 10**400),
    ("optimizer.0.m", 0.0), ("optimizer.decoupled_weight_decay", 1), ("average.updates", -1),
    ("average.updates", float("inf")), ("average.0", None), ("precision.scale", 0.0),
    ("precision.scale", 10**400), ("precision.good", -1), ("precision", None), ("meter", None),
    ("meter.seen", 0), ("meter.seen", 10**400), ("meter.sums.loss", "x"), ("meter.sums", {}),
    ("history.rows.0.epoch", 7), ("history.rows.0.train_loss", "x"), ("history", {}), ("history.rows", {}), ("loader.seed", -1),
    ("loader.seed", "x"), ("random.global.state.state", -1), ("random.global.state.inc", 2**200),
    ("random.layers.layers.3.rng", None), ("callbacks.LinearDecay.0.lr", float("inf")),
    ("callbacks.EarlyStopping.0.weights", 3), ("callbacks", None), ("model", []),
]  # fmt: skip


def located(tree, dotted):
    """The path of a name with dots in it, as there are in those of layers and options."""
    found = [path for path in paths(tree) if ".".join(map(str, path)) == dotted]
    assert len(found) == 1, dotted
    return found[0]


def test_invalid_numbers_are_refused_and_change_nothing(within, resume):
    """Each is refused before the trainer is changed."""
    tree = within[0]
    for dotted, value in WRONG:
        assert not resume(changed(tree, located(tree, dotted), value)), (dotted, value)
    assert resume(tree)


def test_any_changed_value_is_refused_or_loaded(within, resume):
    """A random value in a random place: the trainer is unchanged, or has what the file holds."""
    tree, rng = within[0], random.Random(0)
    places = list(paths(tree))
    taken = [resume(changed(tree, rng.choice(places), rng.choice(VALUES))) for _ in range(400)]
    assert 0 < sum(taken) < 100


def test_arrays_of_other_shapes_dtypes_and_names_are_refused(within, resume):
    tree, arrays, _ = within
    changes = [
        lambda x: x[:1], lambda x: x.reshape(-1)[None], lambda x: x.astype("f8"),
        lambda x: x.astype("i4"), lambda x: x.astype("c8"),
    ]  # fmt: skip
    for name in ("model.layers.0.weight", "model.layers.1.running_mean"):
        for change in changes:
            assert not resume(tree, {**arrays, name: change(arrays[name])})
    for name in ("optimizer.0.m", "average.0"):
        assert not resume(tree, {**arrays, name: arrays[name][:1]})
        assert not resume(tree, {**arrays, name: arrays[name].astype("c8")})
    assert not resume(tree, {k: x for k, x in arrays.items() if k != "optimizer.0.m"})


class Raises(Keeps):
    """Changes what it holds, and then finds that it cannot load the state."""

    def load_state_dict(self, state):
        self.value.append(1)
        self.more = state
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), MemoryError()])
def test_a_callback_that_cannot_load_its_state_changes_nothing(clusters, tmp_path, error):
    """Everything else had been loaded; a KeyboardInterrupt stays a KeyboardInterrupt."""
    trainer = small(callbacks=[Keeps([0])])
    trainer.fit(clusters, None, 1, 20)
    trainer.save(tmp_path / "c.safetensors")
    inner = [0]
    callback = Raises(inner)
    callback.error = error
    other = small(callbacks=[callback])
    state = checkpoint.read(tmp_path / "c.safetensors")
    state["callbacks"] = {"Raises.0": {"value": 1}}
    before = resumable.dump(other)
    expected = xpnet.StateError if isinstance(error, Exception) else type(error)
    with pytest.raises(expected):
        other.load_state_dict(state)
    assert resumable.dump(other) == before
    assert callback.value is inner
    assert inner == [0]


@pytest.mark.parametrize("rule", xpnet.optimizers.BY_NAME)
def test_an_optimizer_loads_a_state_completely_or_not_at_all(rule):
    """Also without a trainer."""
    parameters = [xpnet.Parameter([1.0, 2.0]), xpnet.Parameter([[3.0]])]
    optimizer = xpnet.optimizers.optimizer(rule, parameters, 0.1)
    for p in parameters:
        p.grad = p.data * 0.5
    optimizer.step()
    before = repr((optimizer.state, optimizer.defaults, optimizer.factor))
    state = optimizer.state_dict()
    numbers = [n for n, x in state.items() if isinstance(x, (int, float)) and "." not in n[2:]]
    for name in [*numbers, "lr", "weight_decay"]:
        for value in (10**400, float("nan"), None, "x", *([-1] if name != "factor" else [])):
            wrong = {**state, name: value, "factor": 0.25 if name != "factor" else value}
            with pytest.raises(xpnet.StateError):
                optimizer.load_state_dict(wrong)
            assert repr((optimizer.state, optimizer.defaults, optimizer.factor)) == before
    optimizer.load_state_dict({**state, "factor": 0.25})
    assert optimizer.factor == 0.25
