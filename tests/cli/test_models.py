"""`--model`, by name or from a file, and the other flags of the training."""

import json
import re

import numpy as np
import pytest
import safetensors.numpy

import xpnet
from xpnet import models, optimizers, schedules
from xpnet.cli import settings
from xpnet.cli.flags import RATES

NET = """
import math
import xpnet
from xpnet import functions as F

class Net(xpnet.Layer):
    def __init__(self, n, outputs):
        self.first, self.last = xpnet.Affine(n, 12), xpnet.Affine(12, outputs)

    def forward(self, x):
        return self.last(F.relu(self.first(F.reshape(x, (x.shape[0], -1)))))

def net(input_shape, outputs):
    return Net(math.prod(input_shape), outputs)
"""


def config_of(run):
    return json.loads((run / "config.json").read_text())


@pytest.fixture
def learn(run_xpnet, few_digits, tmp_path):
    """A function that trains on a few images for a moment."""

    def run(*flags, **env):
        place = ("--data-dir", few_digits, "--out", tmp_path / "run", "--epochs", 1)
        return run_xpnet("train", *place, "--batch-size", 50, *flags, **env)

    return run


@pytest.mark.parametrize("name", optimizers.BY_NAME)
def test_every_optimizer_has_a_learning_rate(name):
    """The command line's own, where MNIST needs another than the default of the class."""
    flags = {"dataset": "mnist", "model": "mlp", "task": "classify", "optimizer": name}
    flags |= {"lr": None, "precision": None, "dtype": "float32"}
    settings._settle_learning(flags)
    own = optimizers.optimizer(name, [xpnet.Parameter([1.0])]).lr
    assert flags["lr"] == RATES.get(name, own)
    assert RATES.get(name) != own  # or the entry would not be needed


def test_the_help_names_every_schedule(run_xpnet):
    out = " ".join(re.sub(r"[│\s]+", " ", run_xpnet("train", "--help").out).split())
    for name in schedules.BY_NAME:
        assert re.search(rf"[ ,:]{name}[ ,;]", out), name


# --- models by name -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.BY_NAME)
def test_each_model_is_trained_tested_and_used(learn, run_xpnet, pictures, tmp_path, name):
    """Its run folder is sufficient to build it again."""
    answer = learn("--model", name)
    assert (answer.code, answer.err) == (0, "")
    run = tmp_path / "run"
    printed = re.search(r"accuracy (\S+)%", run_xpnet("evaluate", run).out)[1]
    assert printed == f"{100 * config_of(run)['test_accuracy']:.2f}"
    answer = run_xpnet("predict", run, pictures / "7.png")
    assert answer.code == 0
    assert re.fullmatch(r".*7\.png +\d +\d+\.\d\d%\n", answer.out)


@pytest.mark.parametrize("name", ["lenet", "transformer"])
def test_a_model_learns_the_same_on_every_backend(backend, learn, run_xpnet, tmp_path, name):
    """From one seed; dropout is drawn on the host."""
    if name == "transformer" and backend.name.startswith("jax"):
        pytest.skip("JAX compiles each function for each shape; there, one model is enough")
    assert learn("--model", name, "--out", tmp_path / "numpy").code == 0
    answer = learn("--model", name, "--backend", backend.name)
    assert (answer.code, answer.err) == (0, "")
    losses = [config_of(tmp_path / run)["test_loss"] for run in ("numpy", "run")]
    assert losses[1] == pytest.approx(losses[0], rel=5e-3)
    answer = run_xpnet("evaluate", tmp_path / "run", "--backend", backend.name)
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize("flags", [["--hidden", "8"], ["--activation", "relu"]])
def test_flags_of_the_mlp_are_refused_for_other_models(learn, tmp_path, flags):
    answer = learn("--model", "lenet", *flags)
    assert (answer.code, answer.out) == (2, "")
    assert f"'{flags[0]}': it is for the model mlp; the model is lenet." in answer.output
    assert list(tmp_path.iterdir()) == []


# --- models of one's own --------------------------------------------------------------------------


def test_a_function_in_a_file_may_build_the_model(learn, run_xpnet, few_digits, pictures, tmp_path):
    """The run keeps a copy of the file, so the file itself may change."""
    path = tmp_path / "my nets.py"
    path.write_text(NET)
    answer = learn("--model", f"{path}:net", "--epochs", 3)
    assert (answer.code, answer.err) == (0, "")
    run = tmp_path / "run"
    assert (run / "model.py").read_text() == NET
    state = safetensors.numpy.load_file(run / "model.safetensors")
    assert {n: x.shape for n, x in state.items()} == {
        "first.weight": (784, 12), "first.bias": (12,), "last.weight": (12, 10), "last.bias": (10,),
    }  # fmt: skip
    path.unlink()
    printed = re.search(r"accuracy (\S+)%", run_xpnet("evaluate", run).out)[1]
    x = np.fromfile(few_digits / "t10k-images-idx3-ubyte", "u1", offset=16).reshape(-1, 784) / 255
    t = np.fromfile(few_digits / "t10k-labels-idx1-ubyte", "u1", offset=8)
    h = np.maximum(x @ state["first.weight"].astype("f8") + state["first.bias"], 0)
    y = h @ state["last.weight"].astype("f8") + state["last.bias"]
    assert printed == f"{100 * (y.argmax(axis=1) == t).mean():.2f}"
    assert run_xpnet("predict", run, pictures / "7.png").code == 0
    assert not (run / "__pycache__").exists()
    answer = run_xpnet("train", "--resume", run, "--epochs", 4, "--quiet")
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected a Python file with the function net; there is no such file"),
        ("", "expected a function net in it, found: none."),
        ("def other(s, n): pass\nnet = 3", "expected a function net in it, found: other."),
        ("def net(s, n): return", ":net: expected it to return a Layer, .*returned a NoneType"),
        ("def net(s): pass", ":net: called as .*fails: TypeError: net.* 1 positional"),
        (
            "def net(s, n):\n    return 1 / 0",
            ":net: .* line 2: ZeroDivisionError: division by zero",
        ),
        ("def net(s, n):\n    raise SystemExit(3)", ":net: .* line 2: SystemExit: 3"),
        ("raise SystemExit(3)", "cannot be executed: line 1: SystemExit: 3"),
        ("x = [1\ny = 2", "cannot be executed: line 1: SyntaxError"),
        ("\nraise ValueError('no')", "cannot be executed: line 2: ValueError: no"),
        ("import neighbour", "No module named 'neighbour'.* The file must be self-contained"),
        (
            "import xpnet\nnet = lambda s, n: xpnet.Sequential(xpnet.Flatten(), xpnet.Affine(784, 3))",
            r"net.py:net: Sequential expected to return .* shape \(batch, 10\), returned \(2, 3\)",
        ),
        (
            "import xpnet\nnet = lambda s, n: xpnet.Affine(3, n)",
            r"net.py:net: the model fails on 2 .*Affine\(3 -> 10\) expected x of shape \(batch, 3\)",
        ),
        (
            "import xpnet\nclass net(xpnet.Layer):\n  def __init__(*a): pass\n  forward = lambda s, x: x.y",
            r"net.py:net: the model fails on 2 samples of shape .*: line 4: AttributeError",
        ),
    ],
)
def test_an_invalid_model_function_is_an_error_of_one_sentence(learn, tmp_path, text, message):
    path = tmp_path / "net.py"
    if text is not None:
        path.write_text(text)
    (tmp_path / "neighbour.py").write_text("")
    answer = learn("--model", f"{path}:net")
    assert (answer.code, answer.out) == (2, "")
    assert answer.output.startswith("Error: ")
    assert re.search(message, answer.output), answer.output
    assert not (tmp_path / "run").exists()


def test_a_run_without_its_copy_of_the_file_is_an_error(learn, run_xpnet, tmp_path):
    (tmp_path / "net.py").write_text(NET)
    assert learn("--model", f"{tmp_path / 'net.py'}:net").code == 0
    copy = tmp_path / "run" / "model.py"
    copy.unlink()
    answer = run_xpnet("evaluate", tmp_path / "run")
    assert (answer.code, answer.out) == (2, "")
    assert f"Error: {copy}: expected a Python file with the function net" in answer.output


# --- how it learns --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", schedules.BY_NAME)
def test_each_schedule_is_that_of_the_library(learn, tmp_path, name):
    """The column lr has the rate of the last step of each epoch."""
    assert learn("--schedule", name, "--lr", 0.01, "--epochs", 4, "--hidden", 4).code == 0
    lines = (tmp_path / "run" / "history.csv").read_text().splitlines()
    column = lines[0].split(",").index("lr")
    found = [float(line.split(",")[column]) for line in lines[1:]]
    schedule = schedules.schedule(name, steps=16, epochs=4)
    expected = [0.01 * schedule(4 * epoch + 3) for epoch in range(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_weight_decay_and_clipping_change_the_weights(learn, tmp_path):
    """Without the flag, adamw has its own decay."""

    def weights(*flags):
        run = tmp_path / re.sub(r"\W", "", "".join(map(str, flags)) or "plain")
        assert learn("--hidden", 4, "--quiet", "--out", run, *flags).code == 0
        return safetensors.numpy.load_file(run / "model.safetensors")["layers.0.weight"].tobytes()

    runs = [(), ("--weight-decay", 0.1), ("--clip", 0.01), ("--weight-decay", 0.1, "--clip", 0.01)]
    assert len({weights(*flags) for flags in runs}) == 4
    own = weights("--optimizer", "adamw")
    assert own == weights("--optimizer", "adamw", "--weight-decay", 0.01)
    assert own != weights("--optimizer", "adamw", "--weight-decay", 0)


@pytest.mark.parametrize("model", ["mlp", "lenet"])
def test_augmented_images_differ_in_each_epoch(learn, tmp_path, model):
    """So they are harder to learn; the test images are unchanged."""
    losses = []
    for flags in ([], ["--augment"]):
        run = tmp_path / f"run{len(flags)}"
        assert learn("--model", model, "--epochs", 6, "--out", run, "--quiet", *flags).code == 0
        rows = (run / "history.csv").read_text().splitlines()
        losses.append(float(rows[-1].split(",")[1]))
    assert losses[1] > losses[0]


def test_float16_is_used_if_the_library_supports_it(backend, learn, tmp_path):
    """The weights stay float32; otherwise the error names what is missing."""
    answer = learn("--precision", "float16", "--backend", backend.name, "--hidden", 8)
    if backend.name.startswith("array_api_strict"):
        assert (answer.code, answer.out) == (2, "")
        assert "has no float16" in answer.output
        return
    assert (answer.code, answer.err) == (0, "")
    assert "in float16, momentum" in answer.out
    state = safetensors.numpy.load_file(tmp_path / "run" / "model.safetensors")
    assert {x.dtype.name for x in state.values()} == {"float32"}


def test_an_unsuitable_precision_is_named(learn, tmp_path):
    answer = learn("--precision", "bfloat16", "--backend", "numpy")
    assert (answer.code, answer.out) == (2, "")
    assert "numpy has no bfloat16" in answer.output
    answer = learn("--precision", "float16", "--dtype", "float64")
    assert "'--precision': float16 goes with --dtype float32" in answer.output
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_writes_event_files(learn, run_xpnet, tmp_path):
    """A resumed run writes another file, and the first does not prevent that."""
    pytest.importorskip("tensorboard")
    assert learn("--tensorboard", "--hidden", 4).code == 0
    run = tmp_path / "run"
    assert len(list((run / "tensorboard").glob("events.out.tfevents.*"))) == 1
    assert run_xpnet("train", "--resume", run, "--epochs", 2).code == 0
    assert sum(path.stat().st_size for path in (run / "tensorboard").iterdir()) > 500


def test_without_tensorboard_the_error_names_what_to_install(learn, tmp_path, monkeypatch):
    for module in ("tensorboard", "tensorboard.summary.writer.event_file_writer"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    answer = learn("--tensorboard")
    assert (answer.code, answer.out) == (2, "")
    assert "is not installed. Install it with: pip install tensorboard" in answer.output
    assert list(tmp_path.iterdir()) == []
