"""The run folder: whole after every epoch, and enough to rebuild the model."""

import json
import math
import os

import numpy as np
import pytest

import xpnet
from xpnet import functions as F, serialization
from xpnet.metrics import accuracy
from xpnet.training import Callback, Run, Trainer, open_run
from xpnet.training.run import free_path

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


def test_a_run_is_written_and_opened_on_any_backend(backend, clusters, tmp_path):
    """The weights, the table and the settings; the rebuilt model scores as the trained one."""
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


def test_after_every_epoch_the_folder_is_whole(clusters, tmp_path):
    """Whoever kills the process later finds the last epoch's weights, and their test."""
    found = []

    class Look(Callback):
        def on_epoch(self, trainer):
            config = json.loads((tmp_path / "config.json").read_text())
            state = serialization.load_file(tmp_path / "model.safetensors")[0]
            np.testing.assert_array_equal(state["layers.0.W"], trainer.model[0].W.data)
            found.append((config["epochs_finished"], config["finished"]))
            assert config["test_accuracy"] == trainer.history["test_accuracy"][-1]

    fit(tmp_path, clusters, Look(), epochs=2)
    assert found == [(1, False), (2, True)]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "config.json", "history.csv", "model.safetensors",
    ]  # fmt: skip


def test_an_interrupted_run_claims_no_test(clusters, tmp_path):
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
    np.testing.assert_array_equal(state["layers.0.W"], trainer.model[0].W.data)


def test_nothing_is_overwritten(tmp_path):
    """A folder with something in it, or a file, is refused; an empty folder will do."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(xpnet.StateError, match="full is a folder that is not empty"):
        Run(tmp_path / "full", CONFIG)
    with pytest.raises(xpnet.StateError, match="x is a file"):
        free_path(tmp_path / "full" / "x", "mnist")
    assert free_path(tmp_path / "empty", "mnist") == tmp_path / "empty"


def test_where_no_folder_can_be_made_is_known_before(tmp_path, monkeypatch):
    """Below a file, and in a folder that may not be written to."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(xpnet.StateError, match=r"file/a/b cannot be made: .*file is a file.*--out"):
        free_path(file / "a" / "b", "mnist")
    file.unlink()
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(xpnet.StateError, match=f"{tmp_path} cannot be written to.*--out"):
            free_path(path, "mnist")


def test_default_paths_differ(tmp_path, monkeypatch):
    """Two runs that start in the same second have folders of their own."""
    monkeypatch.chdir(tmp_path)
    paths = set()
    for _ in range(3):
        path = free_path(None, "mnist")
        path.mkdir(parents=True)
        paths.add(path)
    assert len(paths) == 3
    assert all(path.parent.name == "runs" and path.name.startswith("mnist-2") for path in paths)


def described(**changed):
    """The metadata of a run, with something wrong in it."""
    return {"xpnet": json.dumps({**CONFIG, "epochs": 3, "epochs_finished": 3, **changed})}


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
def test_weights_without_their_description_are_an_error(metadata, tmp_path):
    """Whatever is wrong with it is a StateError, and names the file."""
    model = xpnet.MLP(**ARCHITECTURE, rng=0)
    serialization.save(model, tmp_path / "model.safetensors", metadata)
    with pytest.raises(xpnet.StateError, match=r"model\.safetensors: (its metadata|these are)"):
        open_run(tmp_path).build()


def test_the_metadata_are_the_whole_configuration(clusters, tmp_path):
    """The weights alone tell how they came about: every setting, the versions and the result."""
    fit(tmp_path, clusters)
    _, metadata = serialization.load_file(tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    assert json.loads(metadata["xpnet"]) == config
    assert CONFIG.items() <= config.items()


def test_config_is_json_whatever_was_measured(clusters, tmp_path):
    """JSON has no NaN: a figure that is none is an error, and not a file that none can read."""
    run = Run(tmp_path, {**CONFIG, "lr": math.nan})
    trainer = Trainer(xpnet.MLP(**ARCHITECTURE), F.softmax_cross_entropy, None)
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.on_start(trainer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_scores_that_are_not_finite_name_the_file(backend, value, clusters, tmp_path):
    """As those of weights that are none, or that are too large."""
    fit(tmp_path, clusters)
    state, metadata = serialization.load_file(tmp_path / "model.safetensors")
    state["layers.2.W"] = np.full_like(state["layers.2.W"], value)
    serialization.save_file(state, tmp_path / "model.safetensors", metadata)
    trained = open_run(tmp_path)
    with pytest.raises(xpnet.StateError, match=r"model\.safetensors: .* not finite"):
        trained.scores(trained.build(), np.full((1, 4), 9.0))


def test_a_folder_that_is_no_run_is_an_error(tmp_path):
    """It says what makes one."""
    with pytest.raises(xpnet.StateError, match=r"expected a run folder with model\.safetensors"):
        open_run(tmp_path)


def test_a_file_of_a_run_is_not_the_run(clusters, tmp_path):
    fit(tmp_path / "r1", clusters)
    with pytest.raises(xpnet.StateError, match=rf"Give its folder, {tmp_path / 'r1'}\."):
        open_run(tmp_path / "r1" / "model.safetensors")
