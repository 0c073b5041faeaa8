"""`xpnet predict`: the class in a picture and its probability."""

import re

import numpy as np
import pytest

from xpnet.data import load_mnist

LABELS = "72104"  # MNIST's first five test images


@pytest.fixture(scope="module")
def good_run(start, tmp_path_factory):
    """A run that has learned the digits: one epoch on all of MNIST."""
    run = tmp_path_factory.mktemp("good") / "run"
    process = start("train", "--hidden", 64, "--epochs", 1, "--quiet", "--out", run)
    _, err = process.communicate()
    assert process.returncode == 0, err
    return run


def test_digits_in_images_of_mnist_and_in_drawings_are_predicted(
    backend, run_xpnet, good_run, pictures
):
    """White on black as in MNIST, and black on white, larger and in colour; on any backend."""
    paths = [pictures / f"{d}{kind}.png" for d in LABELS for kind in ("", "-drawn")]
    answer = run_xpnet("predict", good_run, *paths, "--backend", backend.name)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert len(lines) == len(paths)
    for path, line in zip(paths, lines, strict=True):
        digit, percent = re.fullmatch(rf"{re.escape(str(path))} +(\d) +(\d+\.\d\d)%", line).groups()
        assert digit == path.name[0]
        assert 50 < float(percent) <= 100


def test_the_probability_is_the_softmax_of_numpy(run_xpnet, run_folder, scores, digits, pictures):
    """The pictures are the first test images, so their scores are the first rows."""
    y, _ = scores(run_folder[0], digits)
    e = np.exp(y[:5])
    p = e / e.sum(axis=1, keepdims=True)
    answer = run_xpnet("predict", run_folder[0], *(pictures / f"{d}.png" for d in LABELS))
    found = re.findall(r"\.png  (\d) +(\d+\.\d\d)%$", answer.out, re.MULTILINE)
    assert [int(digit) for digit, _ in found] == p.argmax(axis=1).tolist()
    np.testing.assert_allclose([float(s) for _, s in found], 100 * p.max(axis=1), atol=0.01)


def test_a_file_that_is_no_picture_is_reported_and_others_are_predicted(
    run_xpnet, run_folder, pictures, tmp_path
):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty").mkdir()
    bad = [tmp_path / "none.png", tmp_path / "text.png", tmp_path / "empty"]
    answer = run_xpnet(
        "predict", run_folder[0], bad[0], pictures / "7.png", *bad[1:], pictures / "1.png"
    )
    assert answer.code == 2
    assert [line.split()[0] for line in answer.out.splitlines()] == [
        str(pictures / "7.png"), str(pictures / "1.png"),
    ]  # fmt: skip
    errors = answer.err.splitlines()
    assert len(errors) == 3
    for path, error in zip([bad[2], *bad[:2]], errors, strict=True):  # folders are read first
        assert error.startswith(f"Error: {path}: ")
    assert "no such file" in errors[1]


def test_without_pillow_the_error_names_what_to_install(
    run_xpnet, run_folder, monkeypatch, tmp_path
):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    answer = run_xpnet("predict", run_folder[0], tmp_path / "x.png")
    assert (answer.code, answer.out) == (2, "")
    assert "needs Pillow" in answer.output
    assert answer.output.endswith("pip install pillow")


def test_the_help_states_the_limits(run_xpnet):
    out = " ".join(run_xpnet("predict", "--help").out.split())
    assert "a picture shows one digit without a frame" in out
    assert "one object that fills the picture" in out


@pytest.fixture(scope="module")
def clothes(write_digits, tmp_path_factory):
    """A folder of ten kinds of 28 x 28 images: a light bar on black, lower for each class."""
    x = np.zeros((200, 28, 28))
    for i in range(200):
        x[i, 2 * (i % 10) + 4 : 2 * (i % 10) + 6, 4:24] = 200 + i % 50
    t = np.arange(200) % 10
    return write_digits(tmp_path_factory.mktemp("clothes"), (x, t), (x[:50], t[:50])), x


@pytest.mark.parametrize("model", ["mlp", "lenet"])
def test_pictures_for_other_data_sets_are_read_as_these_store_them(
    run_xpnet, clothes, model, tmp_path
):
    """As stored, and as a photograph, larger and dark on light; the class has its name."""
    image = pytest.importorskip("PIL.Image")
    folder, x = clothes
    flags = ("--data-dir", folder, "--model", model, "--epochs", 12, "--out", tmp_path / "run")
    answer = run_xpnet("train", "fashion-mnist", *flags, "--batch-size", 20, "--quiet")
    assert answer.code == 0
    assert "accuracy 100.00%" in answer.out
    stored, photograph = tmp_path / "stored.png", tmp_path / "photograph.png"
    image.fromarray(x[3].astype("u1")).save(stored)
    large = np.kron(255 - x[3], np.ones((10, 10))).astype("u1")
    image.fromarray(np.stack([large] * 3, axis=-1)).save(photograph)
    answer = run_xpnet("predict", tmp_path / "run", stored, photograph)
    assert (answer.code, answer.err) == (0, "")
    first, second = answer.out.splitlines()
    assert re.fullmatch(rf"{re.escape(str(stored))} +Dress +\d+\.\d\d%", first)
    assert re.fullmatch(rf"{re.escape(str(photograph))} +Dress +\d+\.\d\d%", second)


def test_pictures_of_another_size_are_resized(run_xpnet, write_digits, pictures, tmp_path):
    """For a network on 14 x 14 pixels."""
    (x, t), _ = load_mnist(normalize=False, flatten=False)
    small = (x[:100, 0, ::2, ::2], t[:100])
    data = write_digits(tmp_path / "small", small, small)
    flags = ("--data-dir", data, "--epochs", 1, "--hidden", 8, "--out", tmp_path / "run")
    assert run_xpnet("train", *flags).code == 0
    answer = run_xpnet("predict", tmp_path / "run", pictures / "7.png")
    assert (answer.code, answer.err) == (0, "")
    assert re.fullmatch(r".*7\.png  \d +\d+\.\d\d%\n", answer.out)
