"""The file of a run repeats it to the last bit, however often the run was resumed."""

import json
import shutil
import signal
import time
import tomllib

import pytest
import safetensors.numpy
import typer
from threadpoolctl import threadpool_limits

import xpnet
from xpnet import schedules
from xpnet.cli import flags, run_files, setup
from xpnet.cli.run_folder import RunFolder
from xpnet.compiler.c import blas, choices
from xpnet.training import _compiled, environment


def weights_of(run):
    state = safetensors.numpy.load_file(run / "model.safetensors")
    return {name: x.tobytes() for name, x in state.items()}


def settings_of(run):
    return tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))


def history_of(run):
    """The rows without measured times."""
    lines = (run / "history.csv").read_text().splitlines()
    return [line.split(",")[:6] for line in lines]


@pytest.fixture
def trained(run_xpnet, flowers, tmp_path):
    """A function that trains on a small table, and resumes for each further number of epochs."""

    def run(*epochs, flags=()):
        first, *more = epochs
        place = ("--hidden", 4, "--quiet", "--out", tmp_path / "run", *flags)
        assert run_xpnet("train", flowers, "--epochs", first, *place).code == 0
        for number in more:
            answer = run_xpnet("train", "--resume", tmp_path / "run", "--epochs", number, "--quiet")
            assert (answer.code, answer.err) == (0, "")
        return tmp_path / "run"

    return run


def assert_repeated(run_xpnet, run, tmp_path):
    """The file of the run gives the same run again, and the same file."""
    again = tmp_path / "again"
    answer = run_xpnet("train", "--config", run / "config.toml", "--out", again, "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert weights_of(again) == weights_of(run)
    assert history_of(again) == history_of(run)
    assert settings_of(again) == settings_of(run)


@pytest.mark.parametrize(
    ("epochs", "earlier"),
    [
        ((3, 6), "3@6"), ((3, 6, 7), "3@6,6@12"), ((2, 3, 4, 5), "2@4,3@6,4@8"), ((3,), None),
        ((3, 3), None),
    ],
)  # fmt: skip
def test_a_run_that_was_resumed_for_more_epochs_is_repeated(
    trained, run_xpnet, tmp_path, epochs, earlier
):
    """The first epochs had a schedule for fewer."""
    run = trained(*epochs)
    assert settings_of(run)["epochs"] == epochs[-1]
    assert settings_of(run).get("earlier-epochs") == earlier
    assert_repeated(run_xpnet, run, tmp_path)


SCHEDULES = [name for name in schedules.BY_NAME if name != "constant"]


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_resumed_run_is_repeated_on_every_schedule(trained, run_xpnet, tmp_path, name):
    run = trained(3, 5, flags=("--schedule", name, "--optimizer", "adamw", "--clip", 1))
    assert_repeated(run_xpnet, run, tmp_path)


def test_a_resumed_run_with_random_numbers_is_repeated(few_digits, run_xpnet, tmp_path):
    """Augmentation and dropout continue their streams."""
    run, flags = tmp_path / "run", ("--model", "lenet", "--augment", "--batch-size", 50)
    place = ("--data-dir", few_digits, "--out", run, "--quiet")
    assert run_xpnet("train", *place, *flags, "--epochs", 1).code == 0
    assert run_xpnet("train", "--resume", run, "--epochs", 2, "--quiet").code == 0
    assert_repeated(run_xpnet, run, tmp_path)


def test_without_the_earlier_plan_the_run_would_differ(trained, run_xpnet, tmp_path):
    """So the test above has a meaning."""
    run = trained(3, 6)
    again = tmp_path / "again"
    text = (run / "config.toml").read_text().replace('earlier-epochs = "3@6"\n', "")
    (tmp_path / "plain.toml").write_text(text)
    assert (
        run_xpnet("train", "--config", tmp_path / "plain.toml", "--out", again, "--quiet").code == 0
    )
    assert weights_of(again) != weights_of(run)


def test_a_run_that_was_interrupted_and_resumed_for_other_epochs_is_repeated(
    start, run_xpnet, flowers, tmp_path
):
    """Perhaps within an epoch; the plan changes at the step of the interruption, not before."""
    run = tmp_path / "run"
    flags = ("--epochs", 4000, "--hidden", 4, "--batch-size", 4, "--quiet", "--out", run)
    process = start("train", flowers, *flags)
    while not (run / "history.csv").exists() or len(history_of(run)) < 5:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    record = RunFolder(run).record()
    epochs = record.epochs + 2
    with threadpool_limits(1):  # as the process has
        answer = run_xpnet("train", "--resume", run, "--epochs", epochs, "--quiet")
        assert (answer.code, answer.err) == (0, "")
        assert settings_of(run)["earlier-epochs"] == f"4000@{record.steps}"
        assert_repeated(run_xpnet, run, tmp_path)


def test_a_plan_that_is_taken_back_is_not_recorded(trained, run_xpnet, tmp_path):
    """Interrupted, resumed for more epochs, and before a step was done for the old number again."""
    run = trained(3, 6)
    record = RunFolder(run).record()
    for epochs, earlier, expected in [
        (6, [[3, 6]], [[3, 6]]), (8, [[3, 6]], [[3, 6], [6, 12]]), (8, None, [[6, 12]]),
        (3, [[3, 12]], None), (8, [[3, 12]], [[3, 12]]), (6, None, None),
    ]:  # fmt: skip
        settings = {"epochs": epochs, "earlier_epochs": earlier}
        setup.remember_plan(settings, record)
        assert settings["earlier_epochs"] == expected


@pytest.mark.parametrize(
    "text", ["", "3", "3@", "@3", "3@0", "0@3", "3@5,4@5", "3@5,4@4", "a@b", "3@5,"]
)
def test_invalid_plans_are_named(text):
    with pytest.raises(typer.BadParameter, match="expected EPOCHS@STEP"):
        flags.plans(text)


def test_the_change_of_the_learning_rate_is_printed(run_xpnet, flowers, tmp_path):
    """From 0.003 * 1 / 6, after five of six steps, to 0.003 * 6 / 12."""
    run = tmp_path / "run"
    flags = ("--hidden", 4, "--lr", 0.003, "--epochs", 3, "--out", run)
    assert run_xpnet("train", flowers, *flags, "--quiet").code == 0
    out = run_xpnet("train", "--resume", run, "--epochs", 6).out
    assert (
        "Resumed after step 6 for 6 epochs, not 3: the learning rate goes from 0.0005 to 0.0015.\n"
        in out
    )
    out = run_xpnet("train", "--resume", run, "--epochs", 7, "--quiet").out
    assert "learning rate" not in out


# --- where it ran ---------------------------------------------------------------------------------


def test_the_environment_is_recorded_in_the_folder(trained):
    """The versions and threads on which the last bits depend."""
    with threadpool_limits(1):
        run = trained(1)
    config = json.loads((run / "config.json").read_text())
    assert config["threads"] == 1
    assert config["executor"].startswith(("NumPy", "C ("))
    assert config["blas"].startswith(("openblas", "mkl", "accelerate", "blis"))
    assert config["versions"]["xpnet"] == xpnet.__version__
    head = (run / "config.toml").read_text().splitlines()[:2]
    assert head[0] == "# To repeat this run: xpnet train --config config.toml --out FOLDER"
    assert f"numpy {config['versions']['numpy']}" in head[1]
    assert "threads 1" in head[1]
    assert f"executor {config['executor']}" in head[1]


def test_another_executor_is_named(trained, run_xpnet, tmp_path, monkeypatch):
    monkeypatch.setenv("XPNET_EXECUTOR", "numpy")
    run = trained(1)
    assert json.loads((run / "config.json").read_text())["executor"] == "NumPy"
    plain = run_xpnet(
        "train", "--config", run / "config.toml", "--no-compile", "--out", tmp_path / "a"
    )
    assert "last bits" not in plain.out, "NumPy's executor rounds as steps that are not compiled"
    monkeypatch.setattr(environment, "executor", lambda *_: {"executor": "C (binary for v9)"})
    again = run_xpnet("train", "--config", run / "config.toml", "--out", tmp_path / "b")
    assert "executor NumPy -> C (binary for v9). The last bits of a run depend on" in again.out


READS = """
import xpnet

class Reads(xpnet.Layer):
    def forward(self, x):
        return x * 0.5 if float(xpnet.functions.mean(x)) > 0.0 else x

def net(shape, outputs):
    return xpnet.Sequential(xpnet.MLP(*shape, 4, outputs, rng=0), Reads())
"""


@pytest.mark.parametrize("more", [(), (2, 3)])
def test_steps_that_cannot_be_compiled_are_recorded_as_such(
    run_xpnet, flowers, tmp_path, monkeypatch, more
):
    """Although that is known only after the first step; a run that is resumed or repeated expects it."""
    monkeypatch.setattr(_compiled, "executor_details", lambda library: "C (binary for v9)")
    (tmp_path / "net.py").write_text(READS)
    run = tmp_path / "run"
    place = ("--epochs", 1, "--out", run)
    answer = run_xpnet("train", flowers, "--model", f"{tmp_path / 'net.py'}:net", *place)
    assert (answer.code, answer.err) == (0, "")
    for epochs in more:
        answer = run_xpnet("train", "--resume", run, "--epochs", epochs)
        assert "last bits" not in answer.out
    config = json.loads((run / "config.json").read_text())
    assert (config["executor"], config["steps"]) == ("NumPy", "cannot be compiled")
    head = (run / "config.toml").read_text().splitlines()[:3]
    assert head[1].endswith("executor NumPy, steps cannot be compiled.")
    assert not head[2].startswith("#"), "a part that was resumed was computed likewise"
    again = ("--config", run / "config.toml", "--out", tmp_path / "again")
    for how in (("--resume", run, "--epochs", 4), again):
        out = run_xpnet("train", *how).out
        assert "The steps run without compilation: " in out
        assert "last bits" not in out


def test_other_products_are_named(trained, run_xpnet, tmp_path, monkeypatch):
    monkeypatch.setattr(_compiled, "executor_details", lambda library: "C (binary for v9)")
    monkeypatch.setattr(choices, "products", lambda threads: "measured 0123")
    monkeypatch.setattr(blas, "usable_threads", lambda: 1)
    run = trained(1)
    config = json.loads((run / "config.json").read_text())
    assert (config["executor_threads"], config["products"]) == (1, "measured 0123")
    monkeypatch.setattr(choices, "products", lambda threads: "measured 4567")
    out = run_xpnet("train", "--config", run / "config.toml", "--out", tmp_path / "a").out
    assert "products measured 0123 -> measured 4567. The last bits of a run depend on" in out
    out = run_xpnet("train", "--resume", run, "--epochs", 2).out
    assert "Resumed with products measured 0123 -> measured 4567. The last bits may" in out


def test_different_threads_and_versions_are_named(trained, run_xpnet, tmp_path, monkeypatch):
    """When a run is repeated, and when it is resumed; config.toml has them too."""
    with threadpool_limits(1):
        run = trained(2)
        out = run_xpnet("train", "--config", run / "config.toml", "--out", tmp_path / "a").out
        assert "last bits" not in out
    now = {"xpnet": xpnet.__version__, "numpy": "1.2.3", "blas": "another 1", "threads": 64}
    for module in (environment, run_files):
        monkeypatch.setattr(module, "environment", lambda *_: now)
    out = run_xpnet("train", "--config", run / "config.toml", "--out", tmp_path / "b").out
    assert "threads 1 -> 64. The last bits of a run depend on these.\n" in out
    assert f"{run / 'config.toml'}: numpy " in out
    assert " -> 1.2.3, blas " in out
    out = run_xpnet("train", "--resume", run, "--epochs", 3).out
    assert "threads 1 -> 64. The last bits may differ from those of a run that was not" in out
    text = (run / "config.toml").read_text()
    assert "# Not repeated: after step 4 it was resumed with numpy " in text
    assert "threads 1 -> 64.\n" in text
    shutil.rmtree(tmp_path / "a")
    assert run_xpnet("train", "--config", run / "config.toml", "--out", tmp_path / "a").code == 0


@pytest.mark.parametrize(
    "config", [None, "", "[]", "{}", '{"versions": 3}', '{"versions": {"numpy": [1], "a\\n": "b"}}']
)
def test_a_config_json_without_an_environment_is_no_error(trained, run_xpnet, tmp_path, config):
    run = trained(1)
    (run / "config.json").unlink()
    if config is not None:
        (run / "config.json").write_text(config)
    answer = run_xpnet("train", "--config", run / "config.toml", "--out", tmp_path / "again")
    assert (answer.code, answer.err) == (0, "")
    assert "last bits" not in answer.out
