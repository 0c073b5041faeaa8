"""`xpnet export`: the file computes what `xpnet predict` does, from samples as the data set has them."""

import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from xpnet.cli.commands import app
from xpnet.cli.run_folder import RunFolder

onnx = pytest.importorskip("onnx", reason="it writes the files: pip install onnx")
runtime = pytest.importorskip("onnxruntime", reason="it runs the files: pip install onnxruntime")


def xpnet(*args):
    """Run the command; returns the exit code, and what it has printed, on one line."""
    answer = CliRunner().invoke(app, [str(arg) for arg in args])
    return answer.exit_code, " ".join(answer.output.split())


def trained(*args):
    """Train for an epoch, without drawing curves; returns the run folder, the last argument."""
    code, output = xpnet("train", *args[:-1], "--no-compile", "--quiet", "--out", args[-1])
    assert code == 0, output
    return args[-1]


def results(path, x):
    """What ONNX Runtime computes."""
    session = runtime.InferenceSession(path.read_bytes())
    (given,) = session.get_inputs()
    (y,) = session.run(None, {given.name: x.astype("float32")})
    return y


def metadata(path):
    return {x.key: x.value for x in onnx.load(path).metadata_props}


def write_idx(path, array):
    """A file of bytes as MNIST has them."""
    head = np.asarray([0x800 + array.ndim, *array.shape], ">u4")
    path.write_bytes(head.tobytes() + array.astype("u1").tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def images(folder):
    """A run on 40 images of noise, of 12 x 12 pixels, in files like MNIST's."""
    rng = np.random.default_rng(0)
    data = folder / "images"
    data.mkdir()
    for name in ("train", "t10k"):
        write_idx(data / f"{name}-images-idx3-ubyte", rng.integers(0, 256, (40, 12, 12)))
        write_idx(data / f"{name}-labels-idx1-ubyte", np.arange(40) % 4)
    flags = ("mnist", "--data-dir", data, "--model", "lenet", "--epochs", 1, "--batch-size", 10)
    return trained(*flags, folder / "images-run")


@pytest.fixture(scope="module")
def table(folder):
    """A CSV table of 60 rows with a class, and features far from mean 0 and variance 1."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 3)) * [1.0, 20.0, 300.0] + [5.0, -60.0, 0.0]
    rows = [f"{a},{b},{c},{'yes' if a > 5.0 else 'no'},{2.0 * a - b}" for a, b, c in x]
    path = folder / "table.csv"
    path.write_text("\n".join(["a,b,c,answer,price", *rows]) + "\n", encoding="utf-8")
    return path, x


def network_scores(run, x):
    """What the network of a run computes from the numbers that it takes."""
    found = RunFolder(run).trained()
    return np.asarray(found.model.scores(found.build(), x.astype("float32")))


def test_a_file_takes_pixels_as_they_are(images, tmp_path):
    path = tmp_path / "net.onnx"
    code, output = xpnet("export", images, path)
    assert code == 0
    assert "11 operators of opset 20" in output
    assert "input (batch, 1, 12, 12)" in output
    assert "output (batch, 10)" in output
    x = np.random.default_rng(2).integers(0, 256, (5, 1, 12, 12))
    expected = network_scores(images, x / 255)
    np.testing.assert_allclose(results(path, x), expected, rtol=1e-5, atol=1e-5)
    assert json.loads(metadata(path)["classes"]) == list("0123456789")
    described = json.loads(metadata(path)["preprocessing"])
    assert described["included"]
    assert (described["input"]["mean"], described["input"]["scale"]) == (0.0, 255.0)
    assert described["image"] == [1, 12, 12]


def test_without_preprocessing_it_takes_what_the_network_takes(images, tmp_path):
    path = tmp_path / "net.onnx"
    assert xpnet("export", images, path, "--no-preprocessing")[0] == 0
    x = np.random.default_rng(2).uniform(size=(3, 1, 12, 12))
    np.testing.assert_allclose(results(path, x), network_scores(images, x), rtol=1e-5, atol=1e-5)
    assert not json.loads(metadata(path)["preprocessing"])["included"]
    assert "Div" not in [node.op_type for node in onnx.load(path).graph.node]


def test_a_table_is_standardized_in_the_file(table, folder, tmp_path):
    csv, x = table
    run = trained(
        csv, "--target", "answer", "--features", "a,b,c", "--epochs", 1, folder / "table-run"
    )
    path = tmp_path / "net.onnx"
    code, output = xpnet("export", run, path)
    assert code == 0
    assert "numbers before they are standardised, which the file does: a, b, c" in output
    _, output = xpnet("export", run, tmp_path / "bare.onnx", "--no-preprocessing")
    assert "numbers standardised, as Schema.read returns them: a, b, c" in output
    _, printed = xpnet("predict", run, csv)
    first = printed.split()[1].split(",")  # "1,no,0.7612", after the header
    scores = results(path, x)
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert json.loads(metadata(path)["classes"])[probabilities[0].argmax()] == first[1]
    assert probabilities[0].max() == pytest.approx(float(first[2]), abs=1e-4)
    assert json.loads(metadata(path)["preprocessing"])["features"] == ["a", "b", "c"]


def test_a_regression_returns_numbers_in_their_units(table, folder, tmp_path):
    csv, x = table
    flags = ("--target", "price", "--features", "a,b,c", "--task", "regress", "--epochs", 2)
    run = trained(csv, *flags, folder / "price-run")
    path = tmp_path / "net.onnx"
    assert xpnet("export", run, path)[0] == 0
    _, printed = xpnet("predict", run, csv)
    expected = [float(line.split(",")[1]) for line in printed.split()[1:]]
    np.testing.assert_allclose(results(path, x)[:, 0], expected, rtol=1e-4)
    assert "classes" not in metadata(path)


def test_an_archive_is_standardized_in_the_file(table, folder, tmp_path):
    _, x = table
    archive = folder / "rows.npz"
    np.savez(archive, x=x, t=np.arange(60) % 2)
    run = trained(archive, "--epochs", 1, folder / "rows-run")
    path = tmp_path / "net.onnx"
    assert xpnet("export", run, path)[0] == 0
    figures = json.loads(metadata(path)["preprocessing"])["input"]
    scaled = (x - figures["mean"]) / figures["scale"]
    np.testing.assert_allclose(results(path, x), network_scores(run, scaled), rtol=1e-4, atol=1e-5)


def test_a_page_is_refused_for_images_of_another_size(images, tmp_path):
    code, output = xpnet("export", images, "--page", tmp_path / "page.html")
    assert code == 2
    words = " ".join(output.replace("│", "").split())  # the frame of the message
    assert "expected a run on mnist, with images of shape (1, 28, 28)" in words
    assert "was trained on mnist, with images of shape (1, 12, 12)" in words
    assert list(tmp_path.iterdir()) == []


def test_batch_and_opset_may_be_chosen(images, tmp_path):
    path = tmp_path / "net.onnx"
    code, output = xpnet("export", images, path, "--batch", 3, "--opset", 21)
    assert code == 0
    assert "opset 21" in output
    assert "input (3, 1, 12, 12)" in output
    assert onnx.load(path).opset_import[0].version == 21


def test_errors_are_one_line_and_leave_no_file(images, tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"mine")
    for args, message in (
        ((images, path), "expected a new file; it exists"),
        ((images, tmp_path / "none" / "net.onnx"), "there is no such folder"),
        ((tmp_path / "none", tmp_path / "new.onnx"), "expected a run folder"),
        ((images, tmp_path / "new.onnx", "--opset", 3), "expected an opset from 18"),
        ((images, tmp_path / "new.onnx", "--batch", 0), "--batch"),
        ((images, tmp_path / "new.onnx", "--batch", 10**400), "--batch"),
    ):
        code, output = xpnet("export", *args)
        assert code == 2
        assert message in output or message.capitalize() in output
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, output = xpnet("export", images, tmp_path / "new.onnx")
    assert (code, "pip install 'xpnet[onnx]'" in output) == (2, True)
    assert path.read_bytes() == b"mine"
    assert [x.name for x in tmp_path.iterdir()] == ["net.onnx"]
