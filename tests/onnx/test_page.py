"""docs/onnx.md: its code runs, prints what it states, and its program for ONNX Runtime needs no xpnet."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import xpnet

pytest.importorskip("onnx", reason="it writes the files: pip install onnx")
pytest.importorskip("onnxruntime", reason="it runs the files: pip install onnxruntime")

from xpnet.cli.commands import app
from xpnet.saving.onnx._load_file import NEWEST, OLDEST
from xpnet.saving.onnx.load import KNOWN

PAGE = Path(__file__).parents[2] / "docs" / "onnx.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = [
    (TEXT.count("\n", 0, match.start(1)), match[1])
    for match in re.finditer(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
]
WITHOUT_XPNET = "import sys\nsys.modules['xpnet'] = None\n"


def run(block, scope):
    """Run a block, and compare what it prints with the comments behind its calls of print."""
    line, code = block
    printed = []
    scope["print"] = lambda *values: printed.append(" ".join(map(str, values)))
    with xpnet.using("numpy"):
        exec(compile("\n" * line + code, PAGE.name, "exec", dont_inherit=True), scope)
    require_stated(code, printed)


def require_stated(code, printed):
    """Assert that this was printed: what the comments state, or what the block of text after it shows."""
    stated = re.findall(r"^print\(.*?\)(?:  # (.*))?$", code, re.MULTILINE)
    assert len(printed) == len(stated)
    for found, expected in zip(printed, stated, strict=True):
        if not expected:
            expected = TEXT.partition(code)[2].split("```")[2].strip("\n")
        assert found.startswith(expected.removesuffix("...").rstrip()), found


def block_with(text):
    """The block of code with this text."""
    (found,) = (block for block in BLOCKS if text in block[1])
    return found


def test_a_run_on_a_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        f"{i % 50},{['Rome', 'Oslo'][i % 2]},{['low', 'high'][i % 50 > 24]}" for i in range(100)
    ]
    Path("people.csv").write_text("\n".join(["age,city,income", *rows]), encoding="utf-8")
    Path("new.csv").write_text("city,age\nOslo,3\nRome,48\n", encoding="utf-8")
    (line,) = (
        command for command in TEXT.splitlines() if command.startswith("$ xpnet export runs/")
    )
    train = ["train", "people.csv", "--epochs", "9", "--out", "runs/people"]
    for command in (train, line.split()[2:]):
        answer = CliRunner().invoke(app, command)
        assert answer.exit_code == 0, answer.output
    import onnxruntime

    run(block_with('open_run("runs/people")'), {"onnxruntime": onnxruntime})


def test_a_network_as_a_file_and_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = {}
    run(block_with("xpnet.models.lenet"), scope)
    run(block_with('InferenceSession("net.onnx")'), scope)
    run(block_with("loaded = load_onnx"), scope)


def test_a_step_trains_without_xpnet_and_comes_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = {"np": np, "xpnet": xpnet}
    run(block_with("def step(x, t)"), scope)
    _, code = block_with('np.load("state.npz")')
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_XPNET + code], capture_output=True, text=True, check=True
    )
    require_stated(code, done.stdout.splitlines())
    run(block_with('np.load("trained.npz")'), scope)


@pytest.mark.filterwarnings("ignore")  # of PyTorch's older exporter, about itself
def test_a_file_of_pytorch(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="the section is about PyTorch")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    scope = {"load_onnx": xpnet.saving.load_onnx}
    run(block_with("import torch"), scope)
    image = scope["image"]
    with torch.no_grad():
        expected = scope["theirs"](image).numpy()
    np.testing.assert_allclose(scope["ours"](image.numpy()).data, expected, rtol=1e-4, atol=1e-6)


def test_each_block_is_run():
    """Three of the file, one of a run, three of the step, and one of PyTorch."""
    assert len(BLOCKS) == 8


def test_what_the_page_states_of_load_onnx_is_so():
    assert f"| opsets | {OLDEST} to {NEWEST} |" in TEXT
    assert f"{len(KNOWN[''])} operators of ONNX, and {len(KNOWN['ai.onnx.ml'])} of scikit" in TEXT
    (row,) = re.findall(r"^\| not \| (.*) \|$", TEXT, re.MULTILINE)
    named = re.findall(r"`(\w+)`", row)
    assert named
    assert not {*named} & (KNOWN[""] | KNOWN["ai.onnx.ml"])
    (row,) = re.findall(r"^\| (?:functions) \| (.*) \|$", TEXT, re.MULTILINE)
    assert {*re.findall(r"`(\w+)`", row)} <= KNOWN[""]


def test_links_lead_to_files():
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT)
    files = [link for link in links if "://" not in link]
    assert files
    assert [link for link in files if not (PAGE.parent / link).exists()] == []
