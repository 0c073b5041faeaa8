"""Small data sets, and fixtures that run the command line as a user does."""

import json
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
import safetensors.numpy
from typer.testing import CliRunner

from tests.processes import environment
from xpnet.cli.commands import app
from xpnet.compiler.c import build, load
from xpnet.data import load_mnist
from xpnet.training import Run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def c_library():
    """Compile the C library before any command runs, so that none of them reports that it waits."""
    if build.find_compilers():
        load.wait()


@pytest.fixture
def drawing():
    """For tests of the curves and the sample images: they are drawn."""


@pytest.fixture(autouse=True)
def without_drawing(request, monkeypatch):
    """In this process, the curves of a run are an empty file, and sample images are not drawn: it takes half of a short run.

    They are drawn where a test asks for `drawing`, in each process that a test starts, and in tests/plots.
    """

    def touch(history, folder):
        if len(history):
            (folder / Run.CURVES).touch()

    if "drawing" not in request.fixturenames:
        monkeypatch.setattr("xpnet.cli.train._draw", touch)
        monkeypatch.setattr("xpnet.cli.setup.SamplePicture.on_start", lambda self, trainer: None)


NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte",
         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")  # fmt: skip


def write_idx(path, array):
    """An IDX file of bytes, by the format's own definition."""
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(head + array.astype("u1").tobytes())


@pytest.fixture(scope="session")
def write_digits():
    """A function that makes a folder of four IDX files from (images, labels) twice."""

    def write(folder, train, test):
        folder.mkdir(exist_ok=True)
        for name, array in zip(NAMES, (*train, *test), strict=True):
            write_idx(folder / name, array)
        return folder

    return write


@pytest.fixture(scope="session")
def digits(write_digits, tmp_path_factory):
    """A folder with the first 2000 training and 400 test images of MNIST, as four IDX files."""
    sets = load_mnist(normalize=False, flatten=False)
    first = [(x[:n, 0], t[:n]) for (x, t), n in zip(sets, (2000, 400), strict=True)]
    return write_digits(tmp_path_factory.mktemp("digits"), *first)


@pytest.fixture(scope="session")
def few_digits(write_digits, tmp_path_factory):
    """Likewise with the first 200 and 50 images, for models that take longer."""
    sets = load_mnist(normalize=False, flatten=False)
    first = [(x[:n, 0], t[:n]) for (x, t), n in zip(sets, (200, 50), strict=True)]
    return write_digits(tmp_path_factory.mktemp("few"), *first)


@pytest.fixture(scope="session")
def flowers(tmp_path_factory):
    """A CSV table of 60 rows: three kinds, each around its own center, and far apart."""
    rng = np.random.default_rng(0)
    kinds = ["crocus", "iris", "rose"]
    lines = ["length,width,kind"]
    for i in range(60):
        x, y = 10.0 * np.asarray([(0, 0), (1, 0), (0, 1)][i % 3]) + rng.standard_normal(2)
        lines.append(f"{x:.4f},{y:.4f},{kinds[i % 3]}")
    path = tmp_path_factory.mktemp("tables") / "flowers.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def plane(tmp_path_factory):
    """A CSV table of 80 rows: price = 3000 + 50 a - 20 b is the middle column."""
    rng = np.random.default_rng(1)
    rows = [(a, 3000 + 50 * a - 20 * b, b) for a, b in rng.uniform(-2, 2, (80, 2))]
    path = tmp_path_factory.mktemp("tables") / "plane.csv"
    text = "\n".join(",".join(f"{v:.6f}" for v in row) for row in rows)
    path.write_text(f"a,price,b\n{text}\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def scores():
    """A function that computes, with NumPy only, the scores of a run on a folder's test images."""
    activations = {
        "relu": lambda x: np.maximum(x, 0),
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh,
    }

    def compute(run, folder):
        """The scores, (n, 10), in float64, and the labels, (n,)."""
        config = json.loads((run / "config.json").read_text())
        state = safetensors.numpy.load_file(run / "model.safetensors")
        y = np.fromfile(folder / NAMES[2], "u1", offset=16).reshape(-1, 784) / 255
        layers = sorted({int(name.split(".")[1]) for name in state})
        for i in layers:
            y = y @ state[f"layers.{i}.weight"].astype("f8") + state[f"layers.{i}.bias"]
            if i != layers[-1]:
                y = activations[config["activation"]](y)
        return y, np.fromfile(folder / NAMES[3], "u1", offset=8)

    return compute


class Answer:
    """What a command printed, and its exit code."""

    def __init__(self, result):
        self.code, self.out, self.err = result.exit_code, result.stdout, result.stderr
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            result.exception
        )

    @property
    def output(self):
        """The error output as one line, without the colours and typer's frame."""
        plain = re.sub(r"\x1b\[[\d;]*m", "", self.err)
        return " ".join(word for word in plain.split() if word.strip("│╭╮╰╯─"))


@pytest.fixture
def run_xpnet(monkeypatch):
    """A function that runs a command in this process."""
    monkeypatch.delenv("XPNET_BACKEND", raising=False)

    def run(*args, **env):
        env = {"COLUMNS": "200", "TERMINAL_WIDTH": "200", **env}
        return Answer(CliRunner().invoke(app, [str(a) for a in args], env=env))

    return run


@pytest.fixture
def train(run_xpnet, digits, tmp_path):
    """A function that trains for a moment into tmp_path/"run"; flags given later take precedence."""
    short = ("--epochs", 1, "--batch-size", 500, "--hidden", 8)

    def run(*flags, **env):
        place = ("--data-dir", digits, "--out", tmp_path / "run")
        return run_xpnet("train", *place, *short, *flags, **env)

    return run


@pytest.fixture(scope="session")
def start():
    """A function that starts a command as a process of its own, whose output is piped to the test.

    A process is killed after 90 seconds, and at the latest when the tests end.
    """
    started = []

    def run(*args, program=("-m", "xpnet"), stdout=subprocess.PIPE, **env):
        kept = environment(FORCE_COLOR="1", OPENBLAS_NUM_THREADS="1")
        for name in ("XPNET_BACKEND", "COLUMNS"):
            kept.pop(name, None)
        # Where Ctrl-C is ignored, as in a script's background jobs, children would inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            [sys.executable, *program, *map(str, args)],
            stdout=stdout, stderr=subprocess.PIPE, text=True, env=kept | env,
        )  # fmt: skip
        signal.signal(signal.SIGINT, before)
        started.append((process, Timer(90, process.kill)))
        started[-1][1].start()
        return process

    yield run
    for process, timer in started:
        timer.cancel()
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


@pytest.fixture(scope="session")
def run_folder(start, digits, tmp_path_factory):
    """A finished run on the small data set, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    process = start(
        "train", "--data-dir", digits, "--epochs", 4, "--hidden", "32,16", "--out", folder
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert err == ""
    return folder, out


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """The first test digits, 7 2 1 0 4, as PNG files: as they are, and dark on light, larger."""
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path_factory.mktemp("pictures")
    (_, _), (x, t) = load_mnist(normalize=False, flatten=False)
    for i, label in enumerate(t[:5]):
        pixels = x[i, 0]
        image.fromarray(pixels).save(folder / f"{label}.png")
        dark = image.fromarray(255 - np.pad(pixels, 8)).resize((132, 132))
        dark.convert("RGB").save(folder / f"{label}-drawn.png")
    return folder
