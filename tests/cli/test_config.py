"""`--config FILE.toml`: flags from a file, and the file that repeats a run."""

import json
import shutil
import tomllib

import pytest
import safetensors.numpy

from xpnet.cli import run_files


def weights_of(run):
    state = safetensors.numpy.load_file(run / "model.safetensors")
    return {name: x.tobytes() for name, x in state.items()}


def settings_of(run):
    return tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))


@pytest.fixture
def write(tmp_path, few_digits):
    """A function that writes a configuration of a training that takes a moment."""

    def write(text="", folder=tmp_path):
        path = folder / "train.toml"
        flags = {"data-dir": f"'{few_digits}'", "epochs": 1, "batch-size": 50, "hidden": 8}
        given = [line.partition("=")[0].strip() for line in text.splitlines()]
        lines = [f"{key} = {value}" for key, value in flags.items() if key not in given]
        path.write_text("\n".join([*lines, text]) + "\n", encoding="utf-8")
        return path

    return write


# --- the file of a run ----------------------------------------------------------------------------


def test_the_file_of_a_run_has_every_setting(train, digits, tmp_path):
    """By the name of the flag, in its own form; defaults are written out."""
    flags = ("--optimizer", "nadam", "--clip", 2, "--schedule", "step:size=1,gamma=0.5",
             "--weight-decay", 0.001, "--seed", 3, "--hidden", "8,6", "--augment")  # fmt: skip
    assert train(*flags).code == 0
    assert settings_of(tmp_path / "run") == {
        "dataset": "mnist", "data-dir": str(digits), "task": "classify", "augment": True,
        "model": "mlp", "hidden": "8,6", "activation": "relu", "epochs": 1, "patience": 0, "batch-size": 500,
        "optimizer": "nadam", "lr": 0.001, "schedule": "step:size=1,gamma=0.5",
        "weight-decay": 0.001, "clip": 2.0, "seed": 3, "backend": "numpy", "dtype": "float32",
        "compile": True, "tensorboard": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    "flags",
    [
        ["--optimizer", "adam", "--clip", 0.5, "--schedule", "cosine", "--lr", 0.1 + 0.2],
        ["--model", "lenet", "--augment", "--weight-decay", 1e-4, "--optimizer", "nesterov"],
        ["--dtype", "float64", "--hidden", "8,4", "--activation", "tanh", "--seed", 12],
    ],
    ids=["clipped", "lenet, augmented", "float64"],
)
def test_the_file_repeats_the_run_to_the_last_bit(run_xpnet, few_digits, tmp_path, flags):
    first, again = tmp_path / "run", tmp_path / "again"
    place = ("--data-dir", few_digits, "--epochs", 2, "--batch-size", 50, "--out", first, "--quiet")
    assert run_xpnet("train", *place, *flags).code == 0
    answer = run_xpnet("train", "--config", first / "config.toml", "--out", again, "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert weights_of(again) == weights_of(first)
    assert settings_of(again) == settings_of(first)


@pytest.mark.parametrize("task", ["classify", "regress"])
def test_the_file_repeats_a_run_on_a_table(run_xpnet, flowers, plane, tmp_path, task):
    """The path of the table is absolute in the file, even if it was relative on the command line."""
    flags = ("--target", "price", "--test", 0.3) if task == "regress" else ()
    table = plane if task == "regress" else flowers
    place = ("--dataset", table, "--task", task, "--epochs", 3, "--hidden", 4, "--seed", 2)
    assert run_xpnet("train", *place, *flags, "--out", tmp_path / "run", "--quiet").code == 0
    assert settings_of(tmp_path / "run")["dataset"] == str(table)
    config = tmp_path / "run" / "config.toml"
    assert run_xpnet("train", "--config", config, "--out", tmp_path / "again", "--quiet").code == 0
    assert weights_of(tmp_path / "again") == weights_of(tmp_path / "run")


# --- a file of one's own --------------------------------------------------------------------------


def test_flags_on_the_command_line_take_precedence(run_xpnet, write, tmp_path):
    """Over the file, which takes precedence over the environment and over defaults."""
    config = write('optimizer = "adam"\nlr = 0.01\nseed = 5\nbackend = "numpy"')
    out = tmp_path / "run"
    answer = run_xpnet(
        "train", "--config", config, "--out", out, "--lr", 0.02, XPNET_BACKEND="array_api_strict"
    )
    assert (answer.code, answer.err) == (0, "")
    settings = settings_of(out)
    expected = {"optimizer": "adam", "lr": 0.02, "seed": 5, "epochs": 1, "backend": "numpy"}
    assert {key: settings[key] for key in expected} == expected


def test_the_data_set_may_be_an_argument_or_a_flag(run_xpnet, write, few_digits, tmp_path):
    """The argument is on the command line, so it takes precedence over the file's."""
    config = write('dataset = "kmnist"')
    assert run_xpnet("train", "--config", config, "--out", tmp_path / "a", "--quiet").code == 0
    assert settings_of(tmp_path / "a")["dataset"] == "kmnist"
    for words in (["mnist"], ["--dataset", "mnist"], ["MNIST", "--dataset", "mnist"]):
        out = tmp_path / f"run{len(words)}{words[0]}"
        assert run_xpnet("train", *words, "--config", config, "--out", out, "--quiet").code == 0
        assert settings_of(out)["dataset"] == "mnist"


def test_paths_in_the_file_are_relative_to_it(run_xpnet, write, flowers, tmp_path, monkeypatch):
    """So a folder with data, model and configuration can be used from anywhere."""
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(flowers, project / "data.csv")
    (project / "net.py").write_text("import xpnet\nnet = lambda s, n: xpnet.MLP(s[0], 4, n)\n")
    (project / "train.toml").write_text(
        'dataset = "data.csv"\nmodel = "net.py:net"\nepochs = 1\nquiet = true\nout = "runs/first"\n'
    )
    monkeypatch.chdir(tmp_path)
    answer = run_xpnet("train", "--config", "project/train.toml")
    assert (answer.code, answer.err) == (0, "")
    run = project / "runs" / "first"
    assert answer.out.startswith("Test accuracy")
    assert settings_of(run)["dataset"] == str(project / "data.csv")
    assert settings_of(run)["model"] == "model.py:net"
    (project / "net.py").unlink()  # the run has its own copy
    config = run / "config.toml"
    assert run_xpnet("train", "--config", config, "--out", tmp_path / "again", "--quiet").code == 0
    assert (tmp_path / "again" / "model.py").is_file()


@pytest.mark.parametrize("hidden", ["8", "[8]", '"8"', "[8, 8]", '"8,8"'])
def test_widths_may_be_a_number_a_list_or_a_string(run_xpnet, write, tmp_path, hidden):
    config = write(f"hidden = {hidden}\nquiet = true")
    assert run_xpnet("train", "--config", config, "--out", tmp_path / "run").code == 0
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    assert described["hidden"] == [8] * hidden.count("8")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "unknown key 'epoch'. Did you mean 'epochs'?"),
        ("batch_size = 3", "unknown key 'batch_size'. Did you mean 'batch-size'?"),
        ("zzz = 3", "unknown key 'zzz'. There are: "),
        ('resume = "runs/x"', "unknown key 'resume'. It can be given on the command line only."),
        ('epochs = "3"', "epochs: expected a whole number, got '3'."),
        ("epochs = 3.0", "epochs: expected a whole number, got 3.0."),
        ("epochs = true", "epochs: expected a whole number, got True."),
        ("epochs = 0", "epochs: "),
        ("lr = 'fast'", "lr: expected a number, got 'fast'."),
        ("lr = -1", "lr: expected a number greater than 0, got -1."),
        ("lr = nan", "lr: expected a number greater than 0, got nan."),
        ("quiet = 1", "quiet: expected true or false, got 1."),
        ("model = 1", "model: expected a string, got 1."),
        ('model = "alexnet"', "model: expected one of mlp, lenet, "),
        ('optimizer = "fast"', "optimizer: expected one of sgd, "),
        ("hidden = [8, 0]", "hidden: expected a width, or widths"),
        ("hidden = [8, 0.5]", "hidden: expected widths, as 80 or [256, 128], got [8, 0.5]."),
        ('schedule = "up"', "schedule: Unknown schedule 'up'."),
        ('dataset = "cifar"', "dataset: expected one of mnist, "),
        ("test = 2.0", "test: expected a number between 0 and 1"),
        ("[model]\nname = 3", "model: expected a string, got {'name': 3}."),
        ("epochs = ", "is not valid TOML: "),
    ],
)
def test_an_error_names_the_file_and_the_key(run_xpnet, write, tmp_path, text, message):
    """And no folder is created."""
    config = write(text)
    answer = run_xpnet("train", "--config", config, "--out", tmp_path / "run")
    assert (answer.code, answer.out) == (2, "")
    assert f"{config}: {message}" in answer.output
    assert not (tmp_path / "run").exists()


def test_a_file_that_cannot_be_read_is_named(run_xpnet, tmp_path):
    answer = run_xpnet("train", "--config", tmp_path / "none.toml")
    assert answer.code == 2
    assert f"{tmp_path / 'none.toml'}: cannot be read: No such file" in answer.output
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    answer = run_xpnet("train", "--config", tmp_path / "bytes.toml")
    assert answer.code == 2
    assert f"{tmp_path / 'bytes.toml'}: is not valid TOML" in answer.output


VALUES = [
    *("plain", 'quotes " and \\ strokes', "tab\t line\n", "\x00\x1b\x7f", "naïve 数 🙂", "a/b", ""),
    *(True, False, 0, -3, 10**12, 0.1, 1e-5, 1e22, 5e-324, 3.0),
]


@pytest.mark.parametrize("value", VALUES)
def test_values_are_written_as_valid_toml(value):
    """Python's own TOML parser reads them back."""
    read = tomllib.loads(f"key = {run_files._toml(value)}\n")["key"]
    assert (read, type(read)) == (value, type(value))
