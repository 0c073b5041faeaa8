"""The run folder: whole after every epoch, and enough to rebuild the model."""

import json

import numpy as np
import pytest

import xpnet
from xpnet import functions as F
from xpnet import serialization
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


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"xpnet": "not json"},
        {"xpnet": "[1]"},
        {"xpnet": "{}"},
        {"xpnet": json.dumps({**CONFIG, "architecture": {"in_features": 4}})},
        {"xpnet": json.dumps({k: v for k, v in CONFIG.items() if k != "seed"}).replace("4", "5")},
    ],
    ids=["none", "text", "list", "empty", "half", "others"],
)
def test_weights_without_their_description_are_an_error(metadata, tmp_path):
    """Whatever is wrong with it is a StateError, and names the file where that says something."""
    model = xpnet.MLP(**ARCHITECTURE, rng=0)
    serialization.save(model, tmp_path / "model.safetensors", metadata)
    with pytest.raises(xpnet.StateError):
        open_run(tmp_path).build()


def test_a_folder_that_is_no_run_is_an_error(tmp_path):
    """It says what makes one."""
    with pytest.raises(xpnet.StateError, match=r"expected a run folder with model\.safetensors"):
        open_run(tmp_path)
