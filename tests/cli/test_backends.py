"""A whole training on each array library: MNIST with the accuracy of NumPy.

Without a GPU, CuPy computes on the emulated device, which takes half a minute for the 600 steps.
"""

import csv
import json
import re

import numpy as np
import pytest
import safetensors.numpy

FLAGS = ("--epochs", 1, "--hidden", 80, "--seed", 1)
IMAGES = 10_000  # in MNIST's test set


def trained(run_xpnet, backend, folder):
    """What `xpnet train mnist` printed on a backend, the last row of its history, and its weights."""
    answer = run_xpnet("train", "mnist", *FLAGS, "--backend", backend, "--out", folder)
    assert (answer.code, answer.err) == (0, "")
    with (folder / "history.csv").open(newline="") as file:
        *_, row = csv.DictReader(file)
    figures = {name: float(value) for name, value in row.items()}
    return answer, figures, safetensors.numpy.load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def on_numpy(start, tmp_path_factory):
    """The figures and the weights of the same training on NumPy, in a process of its own."""
    folder = tmp_path_factory.mktemp("numpy") / "run"
    process = start("train", "mnist", *FLAGS, "--quiet", "--out", folder)
    _, err = process.communicate()
    assert process.returncode == 0, err
    figures = json.loads((folder / "config.json").read_text())
    return figures, safetensors.numpy.load_file(folder / "model.safetensors")


def test_mnist_is_learned_as_on_numpy(backend, run_xpnet, on_numpy, pictures, tmp_path):
    """The same seed means the same initial weights and the same batches.

    So the two trainings differ only by the rounding of float32. A product of 784 terms has a relative error
    of about 784**0.5 * 6e-8 = 2e-6, and so has the change of a step; these changes add up to the weights.
    Such small differences change the answer only for an image whose two best scores are as close: for a
    few of 10 000 images at most. The bounds are ten times that.
    """
    if backend.name.startswith("numpy"):
        pytest.skip("NumPy is what the others are compared with; it learns MNIST in `nox -s build`")
    run = tmp_path / "run"
    answer, figures, weights = trained(run_xpnet, backend.name, run)
    expected, expected_weights = on_numpy
    assert expected["test_accuracy"] > 0.95
    assert abs(figures["test_accuracy"] - expected["test_accuracy"]) <= 10 / IMAGES
    assert figures["test_loss"] == pytest.approx(expected["test_loss"], rel=1e-3)
    assert weights.keys() == expected_weights.keys()
    for name, W in expected_weights.items():
        np.testing.assert_allclose(weights[name], W, rtol=0, atol=2e-5, err_msg=name)

    first, _, rest = answer.out.partition("\n")
    where = f"60000 training and 10000 test images, on {backend.describe()} in float32,"
    assert first.startswith(where)
    assert f"Test accuracy {figures['test_accuracy']:.2%}" in rest
    config = json.loads((run / "config.json").read_text())
    assert (config["backend"], config["device"]) == (backend.name, backend.describe())

    for other in ("numpy", backend.name):  # what it learned is of use wherever it is read
        evaluated = run_xpnet("evaluate", run, "--backend", other)
        assert (evaluated.code, evaluated.err) == (0, "")
        (accuracy,) = re.search(
            r"^Test loss .* accuracy (\S+)%$", evaluated.out, re.MULTILINE
        ).groups()
        assert float(accuracy) == pytest.approx(100 * figures["test_accuracy"], abs=0.1)
        predicted = run_xpnet("predict", run, pictures / "7.png", "--backend", other)
        assert (predicted.code, predicted.err) == (0, "")
        assert re.search(r"7\.png +7 +\d", predicted.out)
