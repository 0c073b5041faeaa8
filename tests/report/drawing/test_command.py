"""`xpnet export RUN --page FILE.html`: what it writes, and what it refuses."""

import json
import re
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("onnx", reason="the page holds an ONNX file: pip install onnx")

from tests.cli.conftest import NAMES, Answer, write_idx
from xpnet.cli.commands import app
from xpnet.report.drawing import runtime as module


def xpnet(*args):
    """Run a command in this process."""
    env = {"COLUMNS": "200", "TERMINAL_WIDTH": "200"}
    return Answer(CliRunner().invoke(app, [str(a) for a in args], env=env))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """trained("mnist") is the folder of a run on a few random images, or on a table."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("data")
    for name, n in zip(NAMES, (40, 40, 10, 10), strict=True):
        shape = (n, 28, 28) if "images" in name else (n,)
        write_idx(folder / name, rng.integers(0, 256 if "images" in name else 10, shape))
    table = folder / "flowers.csv"
    lines = [f"{x:.3f},{x + y:.3f},{'ab'[int(x > 0.5)]}" for x, y in rng.uniform(size=(40, 2))]
    table.write_text("\n".join(["length,width,kind", *lines, ""]), encoding="utf-8")

    def run(dataset, *flags):
        out = tmp_path_factory.mktemp("runs") / "of-the-test"
        data = (table,) if dataset == "flowers.csv" else (dataset, "--data-dir", folder)
        answer = xpnet("train", *data, "--epochs", 1, "--no-compile", "--out", out, *flags)
        assert answer.code == 0, answer.err
        return out

    return run


@pytest.fixture(scope="module")
def mnist(trained):
    return trained("mnist", "--hidden", 16)


def described(page):
    """What the page holds of its network."""
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="network">(.*?)</script>', text)[1])


def test_a_page_and_a_file(mnist, package, tmp_path):
    """Either of them, or both."""
    page = tmp_path / "page.html"
    answer = xpnet("export", mnist, "--page", page, "--onnxruntime-web", package)
    assert answer.code == 0, answer.err
    assert re.search(r"page\.html: 0\.\d MB, with onnxruntime-web 1\.30\.0\. Open it", answer.out)
    assert described(page)["classes"] == [*"0123456789"]
    text = page.read_text(encoding="utf-8")
    assert re.search(
        r"mlp, 12,730 parameters, run of-the-test\. It recognises \d+\.\d\d % of", text
    )
    file = tmp_path / "net.onnx"
    both = xpnet("export", mnist, file, "--page", tmp_path / "2.html", "--onnxruntime-web", package)
    assert both.code == 0, both.err
    assert file.is_file()
    assert (tmp_path / "2.html").read_bytes() == page.read_bytes()


@pytest.mark.parametrize("model", ["lenet", "resnet"])
def test_convolutions_are_shown(trained, package, tmp_path, model):
    page = tmp_path / "page.html"
    run = trained("mnist", "--model", model)
    answer = xpnet("export", run, "--page", page, "--onnxruntime-web", package)
    assert answer.code == 0, answer.err
    maps = described(page)["maps"]
    assert len(maps) == {"lenet": 2, "resnet": 9}[model]
    after = {"lenet": "after ReLU", "resnet": "after batch normalization"}[model]
    assert all(after in view["text"] for view in maps)


def test_a_network_of_float64_is_written_in_float32(trained, package, tmp_path):
    """No runtime of the browser has convolutions of float64."""
    page = tmp_path / "page.html"
    run = trained("mnist", "--hidden", 16, "--dtype", "float64")
    answer = xpnet("export", run, "--page", page, "--onnxruntime-web", package)
    assert answer.code == 0, answer.err
    assert described(page)["shape"] == [1, 784]


@pytest.mark.parametrize("dataset", ["fashion-mnist", "flowers.csv"])
def test_what_one_does_not_draw_is_refused(trained, package, tmp_path, dataset):
    run = trained(dataset, "--hidden", 8)
    answer = xpnet("export", run, "--page", tmp_path / "page.html", "--onnxruntime-web", package)
    assert answer.code == 2
    assert "'--page': expected a run on mnist" in answer.output
    assert dataset in answer.output
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "'FILE.onnx': expected a file to write, FILE.onnx or --page FILE.html."),
        (("--page", "old.html"), "'--page': old.html: expected a new file; it exists."),
        (("--page", "no/page.html"), "'--page': no/page.html: expected a file in an existing folder"),
        (("--page", "a.html", "--batch", 2), "'--batch': it is for FILE.onnx, which is not given."),
        (("--page", "a.html", "--no-preprocessing"), "'--no-preprocessing': it is for FILE.onnx"),
        (("net.onnx", "--onnxruntime-web", "x"), "'--onnxruntime-web': it is for the page"),
        (("a.html", "--page", "./a.html"), "'--page': expected another file than FILE.onnx"),
        (("loop", "--page", "./loop"), "'--page': expected another file than FILE.onnx"),
    ],
    ids=["nothing", "old file", "no folder", "batch", "preprocessing", "package", "same file", "loop"],
)  # fmt: skip
def test_flags_that_do_not_go_together(mnist, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.html").write_text("old", encoding="utf-8")
    (tmp_path / "loop").symlink_to("loop")
    answer = xpnet("export", mnist, *flags)
    assert answer.code == 2
    assert message in answer.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop", "old.html"]


def test_without_onnxruntime_web_the_message_says_how_to_get_it(
    mnist, small, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = xpnet("export", mnist, "--page", tmp_path / "page.html")
    assert answer.code == 2
    assert "npm was not found. Install Node.js" in answer.output
    assert module.URL in answer.output
    assert not (tmp_path / "page.html").exists()


def test_without_onnx_nothing_is_fetched(mnist, small, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # npm would not be found
    monkeypatch.setitem(sys.modules, "onnx", None)
    answer = xpnet("export", mnist, "--page", tmp_path / "page.html")
    assert answer.code == 2
    assert "pip install 'xpnet[onnx]'" in answer.output
    assert list(tmp_path.iterdir()) == []
