"""Invalid configurations and forged run folders lead to errors that name the file."""

import json

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import typer
from typer.testing import CliRunner

from tests.fuzzing import damaged, forged, inputs
from xpnet.cli import config
from xpnet.cli.commands import app
from xpnet.cli.run_folder import RunFolder
from xpnet.errors import XpnetError

CONFIGURATION = """# To repeat this run: xpnet train --config config.toml --out FOLDER
dataset = "/data/table.csv"
target = "kind"
test = 0.2
task = "classify"
augment = false
model = "mlp"
hidden = [256, 128]
activation = "relu"
epochs = 100
batch-size = 32
optimizer = "adam"
lr = 0.003
schedule = "cosine:warmup=2,end=0.1"
weight-decay = 1e-4
clip = 1.0
seed = 0
backend = "numpy"
dtype = "float32"
tensorboard = false
out = "runs/first"
data-dir = "digits"
"""
VALUES = [
    '""', '"\\u0000"', '"\\ud800"', "0", "-1", "nan", "inf", "1e400", "0xffffffffffffffffffff", "true",
    "[]", "[[[]]]", "{}", "{a = 1}", "1979-05-27", "07:32:00", "'''x'''", '"""x\ny"""', '"../../x"',
    '"linear:warmup=1e308"', '"one-cycle:pct_start=2"', '"torch:cuda:9"', '"x.py:f"', '":"',
]  # fmt: skip


def test_fuzz_of_configurations(tmp_path):
    """500 by default: damaged bytes, and unusual values."""
    command = typer.main.get_command(app).commands["train"]
    context = command.make_context("train", [], resilient_parsing=True)
    context.resilient_parsing = False  # but for the values that have no default
    path, rng, refused = tmp_path / config.FILE, np.random.default_rng(0), 0
    lines = CONFIGURATION.splitlines()
    for i in range(inputs(500)):
        if i % 2:
            content = damaged(CONFIGURATION.encode(), rng)
        else:
            text = list(lines)
            for _ in range(rng.integers(1, 4)):
                at = int(rng.integers(1, len(text)))
                key = text[at].partition("=")[0]
                text[at] = f"{key}= {VALUES[rng.integers(0, len(VALUES))]}"
            content = "\n".join(text).encode("utf-8", "surrogatepass")
        path.write_bytes(content)
        path.with_name("config.json").write_bytes(damaged(b'{"environment": {"threads": 1}}', rng))
        try:
            config.from_file(context, path)
        except typer.BadParameter as error:
            refused += 1
            assert str(path) in error.message
            assert len(error.message) < 5000
    assert inputs(500) / 3 < refused < inputs(500)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, flowers, plane, few_digits):
    """Run folders of each kind: a table's classes, its numbers, images as rows and as images."""
    folder = tmp_path_factory.mktemp("runs")
    flags = {
        "classes": [flowers, "--hidden", "4"],
        "numbers": [plane, "--task", "regress", "--target", "price", "--hidden", "4"],
        "pixels": ["--data-dir", few_digits, "--hidden", "4"],
        "images": ["--data-dir", few_digits, "--model", "lenet"],
    }
    for name, words in flags.items():
        words = ["train", *map(str, words), "--epochs", "1", "--quiet", "--out", str(folder / name)]
        assert CliRunner().invoke(app, words).exit_code == 0
    return folder


def test_fuzz_of_run_metadata(runs, tmp_path):
    """500 by default: the description of a model is checked before it is built."""
    valid = []
    for run in sorted(runs.iterdir()):
        with safetensors.safe_open(run / "model.safetensors", framework="numpy") as file:
            metadata = json.loads(file.metadata()["xpnet"])
        weights = safetensors.numpy.load_file(run / "model.safetensors")
        valid.append((weights, metadata, (run / "model.safetensors").read_bytes()))
    rng, refused = np.random.default_rng(0), 0
    file = tmp_path / "model.safetensors"
    for i in range(inputs(500)):
        weights, metadata, content = valid[i % len(valid)]
        if i % 5:
            text = json.dumps(forged(metadata, rng))
            file.write_bytes(safetensors.numpy.save(weights, {"xpnet": text}))
        else:
            file.write_bytes(damaged(content, rng))
        try:
            trained = RunFolder(tmp_path).trained()
            trained.build()
        except XpnetError as error:
            refused += 1
            assert str(tmp_path) in str(error)
    assert inputs(500) / 4 < refused < inputs(500)
