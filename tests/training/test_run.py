"""The run folder: complete after every epoch, and sufficient to rebuild the model."""

import json
import math
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import xpnet
from xpnet import functions as F, models
from xpnet.metrics import accuracy
from xpnet.saving import safetensors as serialization
from xpnet.training import Callback, Checkpoint, EarlyStopping, Run, TrainedModel, Trainer, open_run
from xpnet.training.run import claim_path

ARCHITECTURE = {"in_features": 4, "hidden": [8], "out_features": 3, "activation": "tanh"}
CONFIG = {
    "architecture": ARCHITECTURE,
    "dtype": "float32",
    "dataset": "mnist",
    "data_dir": None,
    "seed": 4,
}


def fit(folder, clusters, *callbacks, epochs=3):
    """Train a small model into `folder`."""
    model = xpnet.MLP(**ARCHITECTURE, rng=0)
    run = Run(folder, CONFIG)
    optimizer = xpnet.Adam(model.parameters(), 0.05)
    trainer = Trainer(
        model, F.softmax_cross_entropy, optimizer, [accuracy], [run, *callbacks], rng=0
    )
    trainer.fit(clusters, clusters, epochs, 20)
    return trainer


def test_a_run_on_other_data_than_a_table_predicts_none(clusters, tmp_path):
    """The error says how its samples are predicted."""
    fit(tmp_path / "run", clusters)
    with pytest.raises(
        xpnet.StateError, match=r"expected a run .* on a table; .* on mnist. .*run.build\(\), x"
    ):
        open_run(tmp_path / "run").predict("new.csv")


def test_a_run_is_written_and_opened_on_any_backend(backend, clusters, tmp_path):
    """The weights, the history and the settings; the rebuilt model scores as the trained one."""
    trainer = fit(tmp_path / "a" / "run", clusters)
    config = json.loads((tmp_path / "a" / "run" / "config.json").read_text())
    assert config["seed"] == 4
    assert config["finished"]
    assert config["epochs_finished"] == 3
    assert config["test_accuracy"] == trainer.history["test_accuracy"][-1]
    assert config["versions"]["numpy"] == np.__version__
    assert config["versions"]["xpnet"] == xpnet.__version__
    assert backend.name.partition(":")[0] in config["versions"]
    assert "unknown" not in config["versions"].values()
    assert config["device"] == backend.describe()
    lines = (tmp_path / "a" / "run" / "history.csv").read_text().splitlines()
    assert len(lines) == 4
    trained = open_run(tmp_path / "a" / "run")
    assert (trained.dtype, trained.dataset, trained.data_dir) == ("float32", "mnist", None)
    x = backend.asarray(clusters[0])
    expected = xpnet.to_numpy(trainer.model(x))
    np.testing.assert_array_equal(xpnet.to_numpy(trained.build()(x)), expected)
    with xpnet.using("numpy"):
        np.testing.assert_allclose(
            xpnet.to_numpy(trained.build()(clusters[0])), expected, rtol=1e-4, atol=1e-5
        )


def test_after_every_epoch_the_folder_is_complete(clusters, tmp_path):
    """If the process is killed later, the last epoch's weights and test figures are there."""
    found = []

    class Look(Callback):
        def on_epoch(self, trainer):
            config = json.loads((tmp_path / "config.json").read_text())
            state = serialization.load_file(tmp_path / "model.safetensors")[0]
            np.testing.assert_array_equal(state["layers.0.weight"], trainer.model[0].weight.data)
            found.append((config["epochs_finished"], config["finished"]))
            assert config["test_accuracy"] == trainer.history["test_accuracy"][-1]

    fit(tmp_path, clusters, Look(), epochs=2)
    assert found == [(1, False), (2, True)]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "config.json", "history.csv", "model.safetensors",
    ]  # fmt: skip


def test_an_interrupted_run_has_no_test_figures(clusters, tmp_path):
    """Its weights are newer than the last test."""

    class Stop(Callback):
        def on_log(self, trainer, progress):
            if progress.epoch == 2:
                raise KeyboardInterrupt

    trainer = fit(tmp_path, clusters, Stop())
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["interrupted"]
    assert not config["finished"]
    assert config["test_accuracy"] is None
    state = serialization.load_file(tmp_path / "model.safetensors")[0]
    np.testing.assert_array_equal(state["layers.0.weight"], trainer.model[0].weight.data)


def test_nothing_is_overwritten(tmp_path):
    """A folder that is not empty, or a file, is refused; an empty folder is accepted."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(xpnet.StateError, match="full is a folder that is not empty"):
        Run(tmp_path / "full", CONFIG)
    with pytest.raises(xpnet.StateError, match="x is a file"):
        claim_path(tmp_path / "full" / "x", "mnist")
    with claim_path(tmp_path / "empty", "mnist") as claim:
        assert claim.folder == tmp_path / "empty"
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_folder_that_cannot_be_created_is_refused_before_the_training(tmp_path, monkeypatch):
    """Below a file, and in a folder that is not writable."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(
        xpnet.StateError, match=r"file/a/b cannot be created: .*file is a file.*--out"
    ):
        claim_path(file / "a" / "b", "mnist")
    file.unlink()
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(xpnet.StateError, match=f"{tmp_path} cannot be written to.*--out"):
            claim_path(path, "mnist")


def test_default_paths_differ(tmp_path, monkeypatch):
    """Two runs that start in the same second have different folders."""
    monkeypatch.chdir(tmp_path)
    claims = [claim_path(None, "mnist") for _ in range(3)]
    paths = {claim.folder for claim in claims}
    assert len(paths) == 3
    assert all(path.parent.name == "runs" and path.name.startswith("mnist-2") for path in paths)
    assert all(path.is_dir() for path in paths)
    for claim in reversed(claims):
        claim.release()
    assert list(tmp_path.iterdir()) == []  # nothing was written


def described(**changed):
    """The metadata of a run, with something wrong in it."""
    return {
        "xpnet": json.dumps(
            {**CONFIG, "epochs": 3, "epochs_finished": 3, "finished": True, **changed}
        )
    }


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"xpnet": "not json"},
        {"xpnet": "[1]"},
        {"xpnet": "{}"},
        {"xpnet": "[" * 100_000},
        described(architecture={"in_features": 4}),
        described(architecture=[4, 8, 3]),
        described(architecture={**ARCHITECTURE, "in_features": 5}),
        described(architecture={**ARCHITECTURE, "hidden": 1.5}),
        described(architecture={**ARCHITECTURE, "hidden": [[8]]}),
        described(architecture={**ARCHITECTURE, "activation": ["relu"]}),
        described(dtype="banana"),
        described(data_dir=5),
        described(data_dir=["a"]),
        described(epochs_finished=None),
    ],
    ids=range(15),
)
def test_weights_without_a_valid_description_are_an_error(metadata, tmp_path):
    """Whatever is wrong with it, the error is a StateError that names the file."""
    model = xpnet.MLP(**ARCHITECTURE, rng=0)
    serialization.save(model, tmp_path / "model.safetensors", metadata)
    with pytest.raises(xpnet.StateError, match=r"model\.safetensors: (its metadata|these are)"):
        open_run(tmp_path).build()


def test_the_metadata_of_the_weights_have_the_whole_configuration(clusters, tmp_path):
    """Every setting, the versions and the result."""
    fit(tmp_path, clusters)
    _, metadata = serialization.load_file(tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    assert json.loads(metadata["xpnet"]) == config
    assert CONFIG.items() <= config.items()


def test_config_json_is_valid_json_whatever_was_measured(clusters, tmp_path):
    """JSON has no NaN: a NaN figure is an error, and never an invalid file."""
    run = Run(tmp_path, {**CONFIG, "lr": math.nan})
    model = xpnet.MLP(**ARCHITECTURE)
    trainer = Trainer(model, F.softmax_cross_entropy, xpnet.SGD(model.parameters()))
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.on_start(trainer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_scores_that_are_not_finite_are_an_error_that_names_the_file(
    backend, value, clusters, tmp_path
):
    """Weights that are NaN, or that are too large, lead to such scores."""
    fit(tmp_path, clusters)
    state, metadata = serialization.load_file(tmp_path / "model.safetensors")
    state["layers.2.weight"] = np.full_like(state["layers.2.weight"], value)
    serialization.save_file(state, tmp_path / "model.safetensors", metadata)
    trained = open_run(tmp_path)
    with pytest.raises(xpnet.StateError, match=r"model\.safetensors: .* not finite"):
        trained.scores(trained.build(), np.full((1, 4), 9.0))


def test_the_repr_of_a_trained_model_has_no_weights(clusters, tmp_path):
    """A notebook displays it; the weights would fill pages."""
    fit(tmp_path, clusters)
    shown = repr(open_run(tmp_path))
    assert len(shown) < 400
    assert shown.startswith(f"TrainedModel(file={str(tmp_path / 'model.safetensors')!r}, ")
    assert "67 weights, 3 of 3 epochs" in shown  # 4 * 8 + 8 + 8 * 3 + 3


def test_a_folder_that_is_no_run_is_an_error(tmp_path):
    """The message names the command that writes one."""
    with pytest.raises(xpnet.StateError, match=r"expected a run folder with model\.safetensors"):
        open_run(tmp_path)


def test_a_file_of_a_run_folder_is_refused_with_a_hint(clusters, tmp_path):
    fit(tmp_path / "r1", clusters)
    with pytest.raises(xpnet.StateError, match=rf"Give its folder, {tmp_path / 'r1'}\."):
        open_run(tmp_path / "r1" / "model.safetensors")


def test_a_model_by_name_is_built_again(clusters, tmp_path, monkeypatch):
    """By its name in `xpnet.models`, with its options; its weights are those of the run."""
    asked = []

    def build(name, input_shape, outputs, **options):
        asked.append((name, input_shape, outputs, options))
        return xpnet.MLP(*input_shape, options["width"], outputs, rng=options["rng"])

    monkeypatch.setattr("xpnet.models.build", build)
    architecture = {"model": "mine", "input_shape": [4], "outputs": 3, "width": 6}
    model = xpnet.MLP(4, 6, 3, rng=5)
    trainer = Trainer(
        model, F.softmax_cross_entropy, xpnet.SGD(model.parameters(), 0.1), [accuracy],
        [Run(tmp_path, {**CONFIG, "architecture": architecture})], 0,
    )  # fmt: skip
    trainer.fit(clusters, clusters, 1, 20)
    built = open_run(tmp_path).build()
    assert asked == [("mine", (4,), 3, {"width": 6, "rng": 0})]
    np.testing.assert_array_equal(built[0].weight.data, model[0].weight.data)


def test_every_model_of_xpnet_is_built_again(clusters, tmp_path):
    """By its own name: the same scores, on the same backend."""
    architecture = {"model": "mlp", "input_shape": [4], "outputs": 3, "hidden": [5]}
    model = models.build("mlp", (4,), 3, hidden=[5], rng=1)
    trainer = Trainer(
        model, F.softmax_cross_entropy, xpnet.SGD(model.parameters(), 0.1), [accuracy],
        [Run(tmp_path, {**CONFIG, "architecture": architecture})], 0,
    )  # fmt: skip
    trainer.fit(clusters, clusters, 1, 20)
    trained = open_run(tmp_path)
    np.testing.assert_array_equal(
        trained.scores(trained.build(), clusters[0]), trainer.predict(clusters[0])
    )


@pytest.mark.parametrize(
    "architecture",
    [
        {"model": "nobody", "input_shape": [4], "outputs": 3},
        {"model": "mlp", "outputs": 3},
        {"model": "mlp", "input_shape": 4, "outputs": 3},
        {"model": ["mlp"], "input_shape": [4], "outputs": 3},
        {"model": "mlp", "input_shape": [4], "outputs": 3, "nonsense": 1},
    ],
)
def test_a_model_that_cannot_be_built_is_named(tmp_path, architecture):
    model = xpnet.MLP(**ARCHITECTURE, rng=0)
    serialization.save(model, tmp_path / "model.safetensors", described(architecture=architecture))
    with pytest.raises(xpnet.StateError, match=r"model\.safetensors: its metadata"):
        open_run(tmp_path).build()


def train(folder, clusters, *callbacks, resume=None, again=False, average=None):
    """Four epochs into `folder`, from the beginning or from a checkpoint."""
    model = xpnet.MLP(**ARCHITECTURE, rng=0)
    run = Run(folder, CONFIG, again=again)
    trainer = Trainer(
        model, F.softmax_cross_entropy, xpnet.Adam(model.parameters(), 0.05), [accuracy],
        [*callbacks, run, Checkpoint(folder)], 0, average=average,
    )  # fmt: skip
    trainer.fit(clusters, clusters, 4, 20, resume=resume)
    return trainer


def test_a_run_is_resumed_in_its_folder(clusters, tmp_path):
    """Ctrl-C in the third epoch, then resumed to the end: the files of an uninterrupted run."""

    class Stop(Callback):
        def on_step(self, trainer):
            if trainer.steps == 15:
                raise KeyboardInterrupt

    train(tmp_path / "whole", clusters)
    train(tmp_path / "run", clusters, Stop())
    assert json.loads((tmp_path / "run" / "config.json").read_text())["epochs_finished"] == 2
    with pytest.raises(xpnet.StateError, match="not empty"):
        train(tmp_path / "run", clusters)
    (tmp_path / "run" / ".history.csv.4711.part").touch()  # of a process that was killed
    train(tmp_path / "run", clusters, resume=tmp_path / "run" / Checkpoint.LAST, again=True)
    for name in ("whole", "run"):
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == [
            "best.safetensors", "config.json", "history.csv", "last.safetensors", "model.safetensors",
        ]  # fmt: skip
    whole, run = (open_run(tmp_path / name) for name in ("whole", "run"))
    assert run.epochs_finished == 4
    for name, x in whole.state.items():
        np.testing.assert_array_equal(run.state[name], x)
    tables = (
        (tmp_path / name / "history.csv").read_text().splitlines() for name in ("whole", "run")
    )
    for a, b in zip(*tables, strict=True):
        assert a.split(",")[:6] == b.split(",")[:6]


def test_only_a_run_folder_can_be_resumed(tmp_path):
    with pytest.raises(xpnet.StateError, match=r"folder of a run, with model\.safetensors"):
        Run(tmp_path, CONFIG, again=True)


def test_the_weights_in_the_folder_are_those_that_were_tested(clusters, tmp_path):
    """The averaged ones; and those of the best epoch, if these were restored."""

    class Worse(Callback):
        order = -2

        def on_epoch(self, trainer):
            trainer.history.rows[-1]["test_loss"] = float(len(trainer.history))

    trainer = train(tmp_path, clusters, Worse(), EarlyStopping(patience=2), average=0.5)
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["finished"], config["epochs_finished"], config["test_loss"]) == (True, 3, 1.0)
    assert config["test_accuracy"] == trainer.history["test_accuracy"][0]
    assert config["kept_epoch"] == trainer.history.kept == 1
    trained = open_run(tmp_path)
    y = trained.scores(trained.build(), clusters[0])
    np.testing.assert_array_equal(y, trainer.predict(clusters[0]))
    assert float(accuracy(y, clusters[1])) == pytest.approx(config["test_accuracy"])


# --- metadata that ask for too much ---------------------------------------------------------------

IMAGE = {"input_shape": [1, 28, 28], "outputs": 10}
ROWS = {"input_shape": [20, 4], "outputs": 3}
LARGE = [
    {**ARCHITECTURE, "hidden": [25_000, 25_000]}, {**ARCHITECTURE, "hidden": 10**9},
    {**ARCHITECTURE, "hidden": [10**30]}, {**ARCHITECTURE, "in_features": 10**9},
    {**ARCHITECTURE, "out_features": 10**12}, {**ARCHITECTURE, "hidden": [0] * 500_000},
    {**ARCHITECTURE, "hidden": [1] * 500_000}, {**ARCHITECTURE, "hidden": [0, 10**12, 0]},
    {"model": "mlp", **ROWS, "hidden": [30_000, 30_000]}, {"model": "mlp", **ROWS, "outputs": 10**10},
    {"model": "mlp", "input_shape": [10**5, 10**5], "outputs": 3},
    {"model": "lenet", **IMAGE, "hidden": 10**8}, {"model": "lenet", **IMAGE, "channels": [10**5, 10**5]},
    {"model": "lenet", "input_shape": [1, 10**6, 10**6], "outputs": 10},
    {"model": "resnet", **IMAGE, "blocks": 10**9}, {"model": "resnet", **IMAGE, "channels": [10**5] * 3},
    {"model": "resnet", "input_shape": [10**9, 8, 8], "outputs": 10},
    {"model": "resnet", **IMAGE, "channels": [16] * 500_000},
    {"model": "lstm", **ROWS, "hidden": 10**5}, {"model": "lstm", **ROWS, "layers": 10**9},
    {"model": "lstm", **ROWS, "hidden": 0, "layers": 10**9},
    {"model": "lstm", **ROWS, "hidden": 10**5, "bidirectional": True},
    {"model": "transformer", **ROWS, "width": 10**5}, {"model": "transformer", **ROWS, "layers": 10**9},
    {"model": "transformer", **ROWS, "hidden": 10**9},
    {"model": "transformer", **ROWS, "width": 0, "layers": 10**9},
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(LARGE)))
def test_a_model_larger_than_its_weights_is_refused_before_it_takes_memory(tmp_path, number):
    """A file of 11 kB can ask neither for gigabytes nor for endless layers."""
    model = xpnet.MLP(30, [40, 30], 10, rng=0)
    path = tmp_path / "model.safetensors"
    serialization.save(model, path, described(architecture=LARGE[number]))
    trained = open_run(tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(xpnet.StateError, match=r"model\.safetensors: (its metadata|these are)"):
            trained.build()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40e6


WRONG_NUMBERS = [
    -1,
    0,
    1.5,
    math.nan,
    math.inf,
    "8",
    None,
    True,
    [],
    {},
    10**400,
    [[8]],
    [None],
    -(2**70),
]
OPTIONS = {
    "mlp": ["hidden", "activation"], "lenet": ["channels", "hidden", "dropout"],
    "resnet": ["channels", "blocks"], "lstm": ["hidden", "layers", "bidirectional", "dropout"],
    "transformer": ["width", "heads", "layers", "hidden", "dropout"],
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_invalid_options_are_an_error_or_give_a_model_that_the_weights_fit(tmp_path, name):
    """For each model, each option with each invalid value."""
    shape = (20, 4) if name in ("mlp", "lstm", "transformer") else (1, 12, 12)
    model = models.build(name, shape, 3, rng=0)
    state = {k: np.asarray(x) for k, x in model.state_dict().items()}
    right = {"model": name, "input_shape": list(shape), "outputs": 3}
    refused = 0
    for option in [*OPTIONS[name], "input_shape", "outputs", "model", "rng", "nonsense"]:
        for value in WRONG_NUMBERS:
            trained = TrainedModel(
                tmp_path / "model.safetensors",
                state,
                {**right, option: value},
                "float32",
                "x",
                None,
                1,
                1,
                finished=True,
            )
            try:
                built = trained.build()
            except xpnet.StateError:
                refused += 1
            else:
                assert built.state_dict().keys() == state.keys()
    assert refused > 60


def test_the_files_do_not_contain_the_name_of_the_user(clusters, tmp_path, monkeypatch):
    """The home folder, which has the user's name, is ~ in them; for another user it is theirs."""
    home = tmp_path / "home" / "alice"
    monkeypatch.setattr(Path, "home", lambda: home)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    model = xpnet.MLP(**ARCHITECTURE, rng=0)
    settings = {
        **CONFIG, "dataset": str(home / "my data" / "flowers.csv"), "test": str(home / "test.csv"),
        "data_dir": "/elsewhere", "model": str(home / "net.py:net"), "out": "runs/x",
    }  # fmt: skip
    trainer = Trainer(
        model, F.softmax_cross_entropy, xpnet.Adam(model.parameters(), 0.05),
        callbacks=[Run(tmp_path / "run", settings)], rng=0,
    )  # fmt: skip
    trainer.fit(clusters, clusters, 1, 20)
    _, metadata = serialization.load_file(tmp_path / "run" / "model.safetensors")
    for text in (metadata["xpnet"], (tmp_path / "run" / "config.json").read_text()):
        shared = json.loads(text)
        names = ("dataset", "test", "data_dir", "model", "out")
        assert [shared[name] for name in names] == [
            "~/my data/flowers.csv", "~/test.csv", "/elsewhere", "~/net.py:net", "runs/x",
        ]  # fmt: skip
    trained = open_run(tmp_path / "run")
    assert trained.dataset == str(home / "my data" / "flowers.csv")
    assert trained.data_dir == "/elsewhere"
    bob = home.with_name("bob")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(bob))
    assert open_run(tmp_path / "run").dataset == str(bob / "my data" / "flowers.csv")
