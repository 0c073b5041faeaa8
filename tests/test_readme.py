"""README.md: its programs run, its links lead to files, and its commands and flags exist."""

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import xpnet
from xpnet.cli.commands import app
from xpnet.testing import assert_close

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The namespace of the README's Python code, run from top to bottom in a folder, and its output."""
    pytest.importorskip("matplotlib", reason="the README's code draws with it")
    printed = []
    # xpnet.use would stay in force for the tests that follow.
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    # That on scikit-learn needs it, and is run by tests/estimators/test_pages.py.
    text = "".join(block for block in blocks if "xpnet.estimators" not in block)
    text, n = re.subn(r"^xpnet\.use\(.*$", "", text, flags=re.MULTILINE)
    assert n == 1
    scope = {"print": printed.append}
    folder = tmp_path_factory.mktemp("readme")
    with xpnet.using("numpy"):
        with contextlib.chdir(folder):
            exec(text, scope)
        scope["folder"] = folder
        yield scope | {"printed": printed}


def test_the_ten_line_example_prints_the_accuracies_in_its_comment(program):
    (accuracies,) = program["printed"]
    documented = re.search(r'print\(.*\["test_accuracy"\]\)  # \[(.*)\]', README).group(1)
    # Another BLAS rounds differently, which changes the classes of a few of the 10,000 images.
    assert accuracies == pytest.approx([float(a) for a in documented.split(",")], abs=0.003)


def test_the_ten_line_example_has_ten_lines():
    lines = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1).splitlines()
    assert len([line for line in lines if line.strip()]) == 10


def test_the_training_loop_learns(program):
    x, t = program["train"]
    assert "test" in program
    losses = [float(program["step"](x[:500], t[:500])) for _ in range(20)]
    assert losses[-1] < 0.7 * losses[0]


def test_the_compiled_step_is_replayed(program):
    fast = program["fast"]
    assert fast.replays
    assert float(program["loss"]) < 1.0
    assert "plan of step" in program["plan"].lower()


def test_the_network_of_the_readme_learns_and_writes_its_files(program):
    assert len(program["history"]["test_accuracy"]) == 3
    assert program["history"]["test_accuracy"][-1] > 0.8
    assert "Conv2d(1 -> 8, kernel_size=5, stride=2)" in program["table"]
    folder = program["folder"]
    assert (folder / "digits.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert {path.name for path in (folder / "digits").iterdir()} == {
        "last.safetensors", "best.safetensors",
    }  # fmt: skip


def test_code_without_xpnet_is_differentiated_twice(program):
    x = np.linspace(0.0, 1.0, 5)
    assert_close(program["slope"], np.sin(2 * x), rtol=1e-12)
    assert_close(program["bend"], np.diag(2 * np.cos(2 * x)), rtol=1e-12)


def test_forward_and_backward_of_a_layer_by_hand(program):
    layer = program["layer"]
    x = program["train"][0][:200]
    y = program["y"]
    assert_close(program["dx"], y @ layer.weight.data.T, rtol=1e-4, atol=1e-5)
    assert_close(layer.weight.grad, x.T @ y, rtol=1e-4, atol=1e-4)
    assert_close(layer.bias.grad, y.sum(axis=0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "examples/README.md"])
def test_links_lead_to_files(name):
    file = ROOT / name
    links = re.findall(r"\]\(([^)#]+)\)", file.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (file.parent / link).exists()] == []


def test_the_commands_and_flags_of_the_readme_exist():
    blocks = "".join(re.findall(r"```\n(.*?)```", README, re.DOTALL))
    commands = re.findall(r"xpnet (train|evaluate|predict|doctor)\b(.*)", blocks)
    assert {command for command, _ in commands} == {"train", "evaluate", "predict", "doctor"}
    for command, rest in commands:
        text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout
        assert [flag for flag in re.findall(r"--[a-z-]+", rest) if flag not in text] == []
