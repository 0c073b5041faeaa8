"""`xpnet train`: the run folder, the output, each flag, and each error."""

import csv
import json
import math
import os
import re
import shutil
import signal
import struct
import sys
import time

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import xpnet
from tests.processes import on_terminal
from xpnet import backend as switch

FILES = ["config.json", "config.toml", "curves.png", "history.csv", "last.safetensors",
         "model.safetensors"]  # fmt: skip
COLUMNS = ["epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "lr", "seconds",
           "samples_per_s"]  # fmt: skip

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals, pty or FIFO")


def config_of(run):
    return json.loads((run / "config.json").read_text())


def rows_of(run):
    with (run / "history.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def weights_of(run):
    return safetensors.numpy.load_file(run / "model.safetensors")


def figures_of(run):
    """The rows without measured times."""
    return [[row[column] for column in COLUMNS[:5]] for row in rows_of(run)]


# --- the run folder ---------------------------------------------------------------------------


def test_config_json_has_every_flag_and_the_result(run_xpnet, digits, tmp_path):
    flags = {
        "backend": "numpy", "hidden": "8,6", "activation": "tanh", "epochs": 2, "batch_size": 400,
        "lr": 0.01, "optimizer": "adam", "seed": 3, "dtype": "float64", "data_dir": str(digits),
        "out": str(tmp_path / "run"),
    }  # fmt: skip
    words = [word for k, v in flags.items() for word in (f"--{k.replace('_', '-')}", v)]
    assert run_xpnet("train", "mnist", *words).code == 0
    config, row = config_of(tmp_path / "run"), rows_of(tmp_path / "run")[-1]
    assert {k: config[k] for k in flags} == flags | {"hidden": [8, 6]}
    assert config["dataset"] == "mnist"
    assert (config["finished"], config["interrupted"], config["epochs_finished"]) == (
        True,
        False,
        2,
    )
    assert config["test_loss"] == pytest.approx(row["test_loss"], rel=1e-5)
    assert config["test_accuracy"] == pytest.approx(row["test_accuracy"], rel=1e-5)
    assert config["versions"]["xpnet"] == xpnet.__version__


def test_the_history_has_a_row_per_epoch(run_folder):
    rows = rows_of(run_folder[0])
    assert list(rows[0]) == COLUMNS
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    losses = [row["train_loss"] for row in rows]
    assert losses == sorted(losses, reverse=True)
    assert 0.8 < rows[-1]["test_accuracy"] <= 1
    assert all(row["seconds"] > 0 and row["samples_per_s"] > 0 for row in rows)


def test_the_weights_are_read_by_safetensors_only(run_folder):
    """Names, shapes and dtype; the metadata have the content of config.json."""
    with safetensors.safe_open(run_folder[0] / "model.safetensors", framework="numpy") as file:
        shapes = {name: file.get_tensor(name).shape for name in file.keys()}  # noqa: SIM118 - no dict
        assert file.get_tensor("layers.0.weight").dtype == np.float32
        described = json.loads(file.metadata()["xpnet"])
    assert shapes == {
        "layers.0.weight": (784, 32), "layers.0.bias": (32,), "layers.2.weight": (32, 16),
        "layers.2.bias": (16,), "layers.4.weight": (16, 10), "layers.4.bias": (10,),
    }  # fmt: skip
    assert described == config_of(run_folder[0])
    assert described["architecture"] == {
        "in_features": 784, "hidden": [32, 16], "out_features": 10, "activation": "relu",
    }  # fmt: skip


def test_a_run_has_six_files_and_the_curves_are_a_picture(drawing, train, tmp_path):
    pytest.importorskip("matplotlib")
    assert train().code == 0
    run = tmp_path / "run"
    assert sorted(path.name for path in run.iterdir()) == FILES
    data = (run / "curves.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data.endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", data[16:24])
    assert width > height > 300


def test_the_curves_of_many_epochs_are_drawn_without_a_warning(drawing, train, tmp_path):
    """Above 40 epochs a line has no points; a warning would be an error here."""
    answer = train("--epochs", 41, "--batch-size", 2000, "--hidden", 2)
    assert (answer.code, answer.err) == (0, "")
    assert len(rows_of(tmp_path / "run")) == 41


def test_by_default_the_folder_is_in_runs(run_xpnet, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = run_xpnet("train", "--data-dir", digits, "--epochs", 1, "--hidden", 8)
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"mnist-\d{8}-\d{6}", folder.name)
    assert answer.out.endswith(f"Run folder: {folder.relative_to(tmp_path)}\n")


def test_the_weights_are_those_of_two_steps_by_hand(train, digits, tmp_path):
    """NumPy, no autodiff: He's weights, all samples in one step, and half the rate in the second."""
    flags = ("--hidden", 6, "--epochs", 2, "--batch-size", 2000, "--dtype", "float64")
    assert train(*flags, "--optimizer", "sgd", "--lr", 0.4, "--seed", 11).code == 0
    x = np.fromfile(digits / "train-images-idx3-ubyte", "u1", offset=16).reshape(-1, 784) / 255
    t = np.fromfile(digits / "train-labels-idx1-ubyte", "u1", offset=8)
    rng = np.random.default_rng(11)
    W1 = rng.standard_normal((784, 6)) * math.sqrt(2 / 784)
    W2 = rng.standard_normal((6, 10)) * math.sqrt(2 / 6)
    b1, b2 = np.zeros(6), np.zeros(10)
    for lr in (0.4, 0.2):
        h = np.maximum(x @ W1 + b1, 0)
        e = np.exp(h @ W2 + b2)
        gy = (e / e.sum(axis=1, keepdims=True) - np.eye(10)[t]) / len(t)
        gh = gy @ W2.T * (h > 0)
        W1, b1 = W1 - lr * x.T @ gh, b1 - lr * gh.sum(axis=0)
        W2, b2 = W2 - lr * h.T @ gy, b2 - lr * gy.sum(axis=0)
    expected = {
        "layers.0.weight": W1,
        "layers.0.bias": b1,
        "layers.2.weight": W2,
        "layers.2.bias": b2,
    }
    state = weights_of(tmp_path / "run")
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(state[name], value, rtol=1e-7, atol=1e-9)


# --- what it prints ---------------------------------------------------------------------------


def test_piped_output_is_a_table_in_plain_text(run_folder):
    """No control characters, even if FORCE_COLOR asks for colours; a line per epoch."""
    folder, out = run_folder
    assert all(c == "\n" or c.isprintable() for c in out)
    line = re.compile(
        r" +(\d+) +(\d\.\d{4}) +(\d+\.\d\d)% +(\d\.\d{4}) +(\d+\.\d\d)% +\d+\.\d +[\d,]+"
    )
    table = [list(map(float, m.groups())) for m in map(line.fullmatch, out.splitlines()) if m]
    rows = figures_of(folder)
    assert len(table) == 4
    np.testing.assert_allclose(np.asarray(table) / [1, 1, 100, 1, 100], rows, atol=6e-5)
    line = (
        "2000 training and 400 test images, on numpy in float32, momentum from lr 0.1, compiled ("
    )
    assert any(f"{line}{name})\n" in out for name in ("C", "NumPy"))
    assert "Affine(784 -> 32)" in out
    end = f"Test accuracy {rows[-1][4]:.2%}, after "
    assert re.fullmatch(re.escape(end) + r"\d+\.\d s\. Run folder: .*small", out.splitlines()[-1])


def test_quiet_prints_the_result_only(train, tmp_path):
    answer = train("--quiet")
    assert (answer.code, answer.err) == (0, "")
    accuracy = rows_of(tmp_path / "run")[-1]["test_accuracy"]
    path = re.escape(str(tmp_path / "run"))
    line = rf"Test accuracy {accuracy:.2%}, after \d+\.\d s\. Run folder: {path}\n"
    assert re.fullmatch(line, answer.out)


LEFT = r"\d+:\d\d:\d\d left"
FIGURES = r"loss (\d\.\d{4})  accuracy (\d+\.\d\d)%  [\d,]+ samples/s"


def without_colours(text):
    return re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", text)


@on_posix
@pytest.mark.parametrize("columns", ["80", "140"])
def test_on_a_terminal_a_bar_shows_the_progress(start, digits, tmp_path, columns):
    """Time left, loss, accuracy, speed; then it is removed, and the cursor is visible again."""
    flags = ("--data-dir", digits, "--epochs", 3, "--hidden", 8, "--out", tmp_path / "run")
    process, shown = on_terminal(start, "train", *flags, columns=columns)
    text = "".join(shown)
    assert process.wait() == 0
    plain = without_colours(text)
    for epoch in (1, 2, 3):
        assert re.search(rf"\r {{4}}{epoch}  +\d\.\d{{4}}", plain)
    loss, accuracy = map(float, re.search(rf"epoch 3/3 ━+ 0:00:00 left  {FIGURES}", plain).groups())
    row = rows_of(tmp_path / "run")[-1]
    assert loss == pytest.approx(row["train_loss"], abs=6e-5)
    assert accuracy == pytest.approx(100 * row["train_accuracy"], abs=6e-3)
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "left" not in plain[plain.rindex("Test accuracy") :]


@on_posix
@pytest.mark.parametrize(
    ("columns", "figures"),
    [
        ("60", r"loss \d\.\d{4}  accuracy \d+\.\d\d%"),
        ("45", r"loss \d\.\d{4}"),
        ("30", ""),
    ],
)
def test_a_narrow_terminal_shows_fewer_figures_completely(
    start, digits, tmp_path, columns, figures
):
    """The time left is the last to be dropped; it is not shown before it is known."""
    flags = ("--data-dir", digits, "--epochs", 3, "--hidden", 8, "--out", tmp_path / "run")
    process, shown = on_terminal(start, "train", *flags, columns=columns)
    plain = without_colours("".join(shown))
    assert process.wait() == 0
    bars = [line.rstrip() for line in re.split(r"[\r\n]+", plain) if "━" in line]
    assert re.fullmatch(rf"epoch 3/3 ━+ {LEFT}  {figures}".strip(), bars[-1])
    assert all(len(line) <= int(columns) and "…" not in line for line in bars)
    assert all(re.search(LEFT, line) for line in bars if "left" in line)


@on_posix
@pytest.mark.parametrize(("flags", "env"), [(["--quiet"], {}), ([], {"TERM": "dumb"})])
def test_no_bar_is_shown_without_a_terminal(start, digits, tmp_path, flags, env):
    flags = [*flags, "--data-dir", digits, "--epochs", 1, "--hidden", 8, "--out", tmp_path / "run"]
    process, shown = on_terminal(start, "train", *flags, **env)
    text = "".join(shown)
    assert process.wait() == 0
    assert "Test accuracy" in text
    assert "━" not in text
    assert "\x1b[?25" not in text


# --- the flags --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hidden", "widths"), [("80", [80]), ("32,16", [32, 16]), (" 7, 5", [7, 5])]
)
def test_hidden_takes_one_or_several_widths(train, tmp_path, hidden, widths):
    assert train("--hidden", hidden).code == 0
    state = weights_of(tmp_path / "run")
    shapes = [x.shape for name, x in sorted(state.items()) if name.endswith("weight")]
    assert shapes == list(zip([784, *widths], [*widths, 10], strict=True))


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_each_activation_is_the_one_that_was_trained(train, scores, digits, tmp_path, activation):
    """NumPy, with that function between the layers, computes the same accuracy and loss."""
    assert train("--activation", activation, "--epochs", 3, "--hidden", "12,12").code == 0
    y, t = scores(tmp_path / "run", digits)
    config = config_of(tmp_path / "run")
    assert config["test_accuracy"] == pytest.approx((y.argmax(axis=1) == t).mean())
    losses = np.log(np.exp(y).sum(axis=1)) - y[range(len(t)), t]
    assert config["test_loss"] == pytest.approx(losses.mean(), rel=1e-4)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw"])
def test_each_optimizer_learns_at_its_default_rate(train, tmp_path, name):
    """160 steps from 10 %, the accuracy of guessing."""
    flags = ("--optimizer", name, "--hidden", 16, "--epochs", 4, "--batch-size", 50)
    answer = train(*flags)
    config = config_of(tmp_path / "run")
    assert config["test_accuracy"] > 0.6
    assert f"{name} from lr {config['lr']:g}" in answer.out


def test_no_two_optimizers_give_the_same_weights(run_xpnet, digits, tmp_path):
    """With one seed and one rate, after three steps."""
    found = set()
    for name in ("sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw"):
        flags = ("--batch-size", 1000, "--epochs", 2, "--hidden", 4, "--lr", 0.01, "--quiet")
        place = ("--data-dir", digits, "--out", tmp_path / name, "--optimizer", name)
        assert run_xpnet("train", *place, *flags).code == 0
        found.add(weights_of(tmp_path / name)["layers.0.weight"].tobytes())
    assert len(found) == 6


def test_float64_is_used_throughout(train, tmp_path):
    assert train("--dtype", "float64").code == 0
    assert {x.dtype.name for x in weights_of(tmp_path / "run").values()} == {"float64"}


def test_the_seed_determines_the_run(run_xpnet, digits, tmp_path):
    """One seed, one run, to the last bit; another seed, another run."""
    runs = [tmp_path / name for name in ("a", "b", "c")]
    for run, seed in zip(runs, (5, 5, 6), strict=True):
        flags = ("--hidden", 8, "--epochs", 2, "--seed", seed, "--quiet")
        assert run_xpnet("train", "--data-dir", digits, "--out", run, *flags).code == 0
    a, b, c = map(figures_of, runs)
    assert a == b != c
    a, b, c = ({k: x.tobytes() for k, x in weights_of(run).items()} for run in runs)
    assert a == b
    assert all(a[name] != c[name] for name in a)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hidden", "0"], "--hidden.*: expected a width, or widths separated by commas"),
        (["--hidden", "-3"], "--hidden"),
        (["--hidden", "80,x"], "--hidden.*: .* got '80,x'"),
        (["--hidden", "80,"], "--hidden"),
        (["--hidden", ""], "--hidden.*: .* got ''"),
        (["--hidden", "9" * 20], "--hidden.*: .* got '9{20}'"),
        (["--lr", "0"], "--lr.*: expected a number greater than 0, got 0"),
        (["--lr", "-0.1"], "--lr.*: expected a number greater than 0, got -0.1"),
        (["--lr", "nan"], "--lr.*: .* got nan"),
        (["--lr", "inf"], "--lr.*: .* got inf"),
        (["--lr", "fast"], "--lr"),
        (["--optimizer", "foo"], "--optimizer.*: expected one of sgd, momentum, .* got 'foo'"),
        (["--activation", "foo"], "--activation.*: expected one of .*relu.*; got 'foo'"),
        (["--dtype", "float16"], "--dtype.*: expected one of float32, float64; got 'float16'"),
        (["--epochs", "0"], "--epochs"),
        (["--epochs", "1.5"], "--epochs"),
        (["--batch-size", "0"], "--batch-size"),
        (["--seed", "-1"], "--seed"),
        (
            ["cifar"],
            "'DATASET': expected one of mnist, fashion-mnist, .*got 'cifar'. .* --data-dir FOLDER",
        ),
        (["--out", ""], "--out.*: expected a folder, got ''"),
        (["--data-dir", ""], "--data-dir.*: expected a folder, got ''"),
        (["--backend", "numpi"], "Unknown backend 'numpi'. Expected library.* numpy, cupy, torch"),
        (["--backend", "numpy:1"], "'numpy:1' cannot be used: NumPy has the device 'cpu' only"),
    ],
)
def test_an_invalid_flag_is_named_and_nothing_is_created(train, tmp_path, flags, message):
    answer = train(*flags)
    assert (answer.code, answer.out) == (2, "")
    assert re.search(message, answer.output)
    assert list(tmp_path.iterdir()) == []


def test_names_may_have_upper_case_letters(train, tmp_path):
    names = ("--optimizer", "Adam", "--activation", "ReLU", "--dtype", "Float32")
    answer = train("MNIST", *names)
    assert (answer.code, answer.err) == (0, "")
    config = config_of(tmp_path / "run")
    found = [config[name] for name in ("dataset", "optimizer", "activation", "dtype")]
    assert found == ["mnist", "adam", "relu", "float32"]


# --- the backends -----------------------------------------------------------------------------


def test_every_backend_learns_the_same(backend, train, tmp_path):
    """With one seed: NumPy's history to the precision of float32, and the backend's name in config.json."""
    assert train("--epochs", 2, "--out", tmp_path / "numpy").code == 0
    assert train("--epochs", 2, "--backend", backend.name).code == 0
    assert config_of(tmp_path / "run")["backend"] == backend.name
    expected = np.asarray(figures_of(tmp_path / "numpy"))
    np.testing.assert_allclose(figures_of(tmp_path / "run"), expected, rtol=2e-3, atol=5e-3)


def test_the_environment_variable_is_the_default_backend(train, tmp_path):
    pytest.importorskip("array_api_strict")
    strict = "array_api_strict:device1"
    assert train(XPNET_BACKEND=strict).code == 0
    assert config_of(tmp_path / "run")["backend"] == strict
    assert train("--backend", "cpu", "--out", tmp_path / "b", XPNET_BACKEND=strict).code == 0
    assert config_of(tmp_path / "b")["backend"] == "numpy"
    answer = train("--out", tmp_path / "c", XPNET_BACKEND="numpi")
    assert answer.code == 2
    assert "Unknown backend 'numpi'" in answer.output
    assert not (tmp_path / "c").exists()


def _refuses_the_gpu(train, tmp_path, monkeypatch):
    """Try to train on a GPU that does not exist; return the message."""
    monkeypatch.setattr(xpnet.training.Trainer, "fit", lambda *_, **__: pytest.fail("it trained"))
    answer = train("--backend", "cupy")
    assert (answer.code, answer.out) == (2, "")
    assert list(tmp_path.iterdir()) == []
    return answer.output


def test_without_a_usable_gpu_the_error_says_why(train, tmp_path, monkeypatch):
    """On a machine like this one."""
    try:
        switch.resolve("cupy")
    except xpnet.BackendError as error:
        reason = str(error)
    else:
        pytest.skip("this machine has a GPU that can be used")
    message = _refuses_the_gpu(train, tmp_path, monkeypatch)
    assert message == "Error: " + " ".join(reason.split())
    assert re.search(
        "'cupy' cannot be used: .*(driver|not installed|overwrite each other)", message
    )


def test_without_cupy_the_error_has_the_command_that_installs_it(train, tmp_path, monkeypatch):
    """On a machine that never had it."""
    monkeypatch.setattr(switch, "_opened", switch._opened.__wrapped__)
    monkeypatch.setattr("importlib.metadata.distributions", list)
    monkeypatch.setitem(sys.modules, "cupy", None)
    message = _refuses_the_gpu(train, tmp_path, monkeypatch)
    assert "the package cupy is not installed" in message
    assert re.search(r'pip install "cupy-cuda1[23]x\[ctk\]"', message)


# --- what may be missing or wrong -------------------------------------------------------------


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def _other_magic(path):
    path.write_bytes(b"PK\x03\x04" + path.read_bytes()[4:])


def _fewer(path):
    head, labels = path.read_bytes()[:4], path.read_bytes()[8:]
    path.write_bytes(head + struct.pack(">I", len(labels) - 1) + labels[:-1])


@pytest.mark.parametrize(
    ("name", "harm", "message"),
    [
        ("train-images-idx3-ubyte", os.remove, "no train-images file"),
        ("train-labels-idx1-ubyte", os.remove, "no train-labels file"),
        ("t10k-images-idx3-ubyte", _cut, "truncated"),
        ("train-images-idx3-ubyte", _other_magic, "magic number"),
        ("t10k-labels-idx1-ubyte", _fewer, "399"),
    ],
)
def test_damaged_data_are_named_and_nothing_is_created(
    train, digits, tmp_path, name, harm, message
):
    data = shutil.copytree(digits, tmp_path / "data")
    harm(data / name)
    answer = train("--data-dir", data)
    assert (answer.code, answer.out) == (2, "")
    assert str(data) in answer.output
    assert name.removesuffix("-idx3-ubyte").removesuffix("-idx1-ubyte") in answer.output
    assert re.search(message, answer.output)
    assert not (tmp_path / "run").exists()


def test_a_missing_data_folder_is_named(train, tmp_path):
    answer = train("--data-dir", tmp_path / "none")
    assert answer.code == 2
    assert str(tmp_path / "none") in answer.output
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_the_error_names_the_files(run_xpnet, tmp_path, monkeypatch):
    """By name, with the flag for their folder; with that no network is needed."""
    pooch = pytest.importorskip("pooch")

    def retrieve(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.setenv("XPNET_CACHE", str(tmp_path / "cache"))
    answer = run_xpnet("train", "--dataset", "kmnist", "--out", tmp_path / "run")
    assert (answer.code, answer.out) == (2, "")
    assert answer.output.startswith(
        "Error: kmnist: train-images-idx3-ubyte.gz could not be fetched"
    )
    assert "--data-dir FOLDER" in answer.output
    assert not (tmp_path / "run").exists()


def test_a_folder_may_have_the_files_of_any_data_set(run_xpnet, few_digits, tmp_path):
    """The classes have the names of the data set."""
    run = tmp_path / "run"
    flags = ("--data-dir", few_digits, "--epochs", 1, "--hidden", 4, "--out", run, "--quiet")
    assert run_xpnet("train", "fashion-mnist", *flags).code == 0
    answer = run_xpnet("evaluate", run)
    assert answer.out.startswith(f"50 test images of {few_digits}, on numpy\n")
    assert re.search(r"^ Ankle boot +\d+ ", answer.out, re.MULTILINE)


@pytest.mark.parametrize("what", ["a folder that is not empty", "a file"])
def test_an_existing_out_is_not_changed(train, tmp_path, what):
    out = tmp_path / "run"
    if what == "a file":
        out.write_text("mine")
        kept = out
    else:
        out.mkdir()
        kept = out / "config.json"
        kept.write_text("mine")
    answer = train()
    assert (answer.code, answer.out) == (2, "")
    assert f"{out} is {what}" in answer.output
    assert kept.read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]


def test_a_folder_that_cannot_be_created_is_an_error_of_one_sentence(train, tmp_path):
    (tmp_path / "file").touch()
    """Before the data are read and anything is printed."""
    answer = train("--out", tmp_path / "file" / "run", "--data-dir", tmp_path / "none")
    assert (answer.code, answer.out) == (2, "")
    assert answer.output.startswith(f"Error: {tmp_path / 'file' / 'run'} cannot be created: ")
    assert "--out" in answer.output


def test_a_full_disk_is_an_error_that_names_file_and_folder(train, tmp_path, monkeypatch):
    """It fills up in the second epoch."""
    write_csv = xpnet.training.History.write_csv

    def fills_up(self, path):
        if len(self) == 2:
            with xpnet.saving.safetensors.replacing(path):
                raise OSError(28, "No space left on device")
        write_csv(self, path)

    monkeypatch.setattr(xpnet.training.History, "write_csv", fills_up)
    answer = train("--epochs", 2)
    run = tmp_path / "run"
    message = f"Error: [Errno 28] No space left on device: '{run / 'history.csv'}'. "
    assert answer.code == 2
    assert answer.err == f"{message}The weights after epoch 2 are in {run}\n"


def test_a_lack_of_memory_is_an_error_of_one_sentence(train, tmp_path):
    """784 times 10^12 weights, more than a processor can address."""
    answer = train("--hidden", 10**12)
    assert (answer.code, answer.out) == (2, "")
    assert re.match("Error: .*allocate", answer.output)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("batch_size", [500, 2000], ids=["training", "test"])
def test_a_learning_rate_that_is_too_high_is_an_error_with_advice(
    train, run_xpnet, tmp_path, batch_size
):
    """With one step per epoch the test reveals it. The weights in the folder are still good."""
    answer = train("--lr", 1e30, "--optimizer", "sgd", "--epochs", 5, "--batch-size", batch_size)
    assert answer.code == 2
    assert re.fullmatch(
        r"Error: The (test )?loss became (nan|inf).* epoch 1.* (smaller learning rate than 1e\+30"
        rf"|rate was 1e\+30: try a smaller one).* The weights before the first epoch are in {tmp_path / 'run'}",
        answer.output,
    )
    assert "Test accuracy" not in answer.out
    assert not config_of(tmp_path / "run")["finished"]
    answer = run_xpnet("evaluate", tmp_path / "run")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("The training was not finished: 0 of 5 epochs.\n")


def test_without_matplotlib_the_curves_are_skipped_with_a_message(
    drawing, train, tmp_path, monkeypatch
):
    class Hidden:
        def find_spec(self, name, *_):
            if name == "matplotlib":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Hidden(), *sys.meta_path])
    answer = train()
    assert (answer.code, answer.err) == (0, "")
    assert "curves.png was skipped: matplotlib is not installed" in answer.out
    assert "pip install matplotlib\n" in answer.out
    assert "Test accuracy" in answer.out
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(
        set(FILES) - {"curves.png"}
    )


# --- Ctrl-C -----------------------------------------------------------------------------------


def _is_a_whole_interrupted_run(run, run_xpnet, digits):
    config, rows = config_of(run), rows_of(run)
    assert (config["interrupted"], config["finished"]) == (True, False)
    assert config["epochs_finished"] == len(rows) >= 1
    assert all(np.isfinite(x).all() for x in weights_of(run).values())
    assert [path.name for path in run.iterdir() if path.name not in FILES] == []
    answer = run_xpnet("evaluate", run, "--data-dir", digits, "--report", run.parent / "page.html")
    assert answer.code == 0
    assert float(re.search(r"accuracy (\d+\.\d\d)%", answer.out)[1]) > 30
    return len(rows)


@on_posix
def test_ctrl_c_keeps_what_was_learned(start, run_xpnet, digits, tmp_path):
    """A complete run folder, which can be evaluated; a line with its path; exit code 130."""
    run = tmp_path / "run"
    process = start("train", "--data-dir", digits, "--epochs", 100000, "--hidden", 8, "--out", run)
    lines = iter(process.stdout.readline, "")
    assert any(line.startswith("    1  ") for line in lines)
    process.send_signal(signal.SIGINT)
    *_, learned, further = lines
    assert process.wait() == 130
    assert process.stderr.read() == ""
    done = _is_a_whole_interrupted_run(run, run_xpnet, digits)
    assert learned == (
        f"Interrupted in epoch {done + 1} of 100000. What was learned so far is in {run}\n"
    )
    assert further == f"To resume: xpnet train --resume {run}\n"


@on_posix
def test_ctrl_c_removes_the_bar(start, run_xpnet, digits, tmp_path):
    """In the middle of a run, which the bar shows; the last line is below the table."""
    run = tmp_path / "run"
    flags = ("--data-dir", digits, "--epochs", 100000, "--hidden", 8, "--out", run)
    process, shown = on_terminal(start, "train", *flags)
    text = ""
    for piece in shown:
        text += piece
        if re.search(rf"epoch \d+/100000 ━+ .* left  {FIGURES}", without_colours(text[-2000:])):
            break
    process.send_signal(signal.SIGINT)
    text += "".join(shown)
    assert process.wait() == 130
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "Interrupted in epoch" in text[text.rindex("\x1b[?25h") :]
    _is_a_whole_interrupted_run(run, run_xpnet, digits)


@on_posix
def test_ctrl_c_before_the_training_leaves_nothing(start, tmp_path):
    """It comes while the data are read."""
    code = (
        "import time, xpnet.cli, xpnet.data as data;"
        "data.load_dataset = lambda *_, **__: (print('reading', flush=True), time.sleep(60));"
        "xpnet.cli.main()"
    )
    process = start("train", "--out", tmp_path / "run", program=("-c", code))
    assert process.stdout.readline() == "reading\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, "", "Interrupted. Nothing was saved.\n")
    assert not (tmp_path / "run").exists()


@on_posix
@pytest.mark.parametrize("pause", [0.001, 0.01, 0.03, 0.1, 0.3])
def test_two_ctrl_c_count_as_one(start, run_xpnet, digits, tmp_path, pause):
    """The second comes while the folder is written, the curves are drawn, or the process ends."""
    run = tmp_path / "run"
    process = start(
        "train", "--data-dir", digits, "--epochs", 100000, "--hidden", 400, "--out", run
    )
    lines = iter(process.stdout.readline, "")
    assert any(line.startswith("    1  ") for line in lines)
    process.send_signal(signal.SIGINT)
    time.sleep(pause)
    process.send_signal(signal.SIGINT)
    *_, learned, further = lines
    assert (process.wait(), process.stderr.read()) == (130, "")
    assert learned.endswith(f"What was learned so far is in {run}\n")
    assert further == f"To resume: xpnet train --resume {run}\n"
    _is_a_whole_interrupted_run(run, run_xpnet, digits)


@on_posix
def test_ctrl_c_after_the_last_epoch_has_no_effect(start, digits, tmp_path):
    """While the curves of a complete run are drawn."""
    code = (
        "import os, signal, xpnet.cli, xpnet.plots as plots\n"
        "def pressed(*args, curves=plots.curves):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return curves(*args)\n"
        "plots.curves = pressed\n"
        "xpnet.cli.main()"
    )
    run = tmp_path / "run"
    flags = ("--data-dir", digits, "--epochs", 1, "--hidden", 8, "--out", run)
    process = start("train", *flags, program=("-c", code))
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert out.endswith(f"Run folder: {run}\n")
    assert sorted(path.name for path in run.iterdir()) == FILES
    assert config_of(run)["finished"]
