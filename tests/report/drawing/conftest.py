"""Networks that were trained for a few seconds, as ONNX, their pages, and a browser that opens them."""

import hashlib
import os
from functools import partial

import numpy as np
import pytest

import xpnet
from tests.report.drawing.browser import BROWSER, Browser
from tests.report.drawing.digits import DIGITS
from xpnet import functions as F, models
from xpnet.data import load_mnist
from xpnet.errors import DataError
from xpnet.report.drawing import drawing_page, find_runtime, runtime as module
from xpnet.saving import export_onnx
from xpnet.training import Trainer

FILES = {module.MODULE: b"export default 1;", module.WASM: b"\0asm"}


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The two files of onnxruntime-web are small ones; the cache is empty, and nothing is named."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setattr(module, "CHECKSUMS", digests)
    monkeypatch.setenv("XPNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(module.VARIABLE, raising=False)


@pytest.fixture
def package(small, tmp_path):
    """The folder of the package, with small files."""
    return written(tmp_path / "package", FILES)


def written(folder, files):
    """The folder of a package with these files."""
    (folder / "dist").mkdir(parents=True)
    for name, content in files.items():
        (folder / "dist" / name).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def runtime():
    """onnxruntime-web, from the cache or from npm."""
    try:
        return find_runtime()
    except DataError as error:
        pytest.skip(f"onnxruntime-web is not there: {error}")


def trained(model, shape, epochs, samples):
    """The model after a short training on MNIST."""
    (x, t), _ = load_mnist()
    optimizer = xpnet.Adam(model.parameters(), lr=0.002)
    trainer = Trainer(model, F.softmax_cross_entropy, optimizer, rng=0)
    trainer.fit((np.reshape(x[:samples], (-1, *shape)), t[:samples]), epochs=epochs)
    return model


@pytest.fixture(scope="session")
def lenet():
    """A small LeNet as ONNX."""
    with xpnet.using("numpy"):
        model = models.lenet((1, 28, 28), 10, channels=(8, 16), hidden=64, rng=0)
        return export_onnx(trained(model, (1, 28, 28), 2, 15_000), None, (1, 28, 28))


@pytest.fixture(scope="session")
def mlp():
    """A perceptron as ONNX."""
    with xpnet.using("numpy"):
        model = trained(xpnet.MLP(784, [64], 10, rng=0), (784,), 2, 15_000)
        return export_onnx(model, None, (784,))


@pytest.fixture(scope="session")
def lenet_page(lenet, runtime, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "lenet.html"
    return drawing_page(path, lenet, subtitle="LeNet, trained on MNIST", runtime=runtime)


@pytest.fixture(scope="session")
def mlp_page(mlp, runtime, tmp_path_factory):
    return drawing_page(tmp_path_factory.mktemp("page") / "mlp.html", mlp, runtime=runtime)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A browser without a network."""
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome was found; XPNET_BROWSER names one")
    if not hasattr(os, "posix_spawnp"):
        pytest.skip("the pipes to the browser are those of POSIX")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium):
    """The browser; after the test, no page has complained in the console or requested anything."""
    chromium.prefer(color_scheme="light", reduced_motion="no-preference")
    yield chromium
    assert chromium.complaints() == []
    assert chromium.requested() == []


@pytest.fixture(scope="session")
def drawing():
    """drawing(browser, "3", by="mouse") draws a digit on a clear sheet, and returns the page's answer."""

    def act(browser, name, by="mouse"):
        browser.press("c")
        left, top, side = browser.box("pad")
        for stroke in DIGITS[name]:
            getattr(browser, by)([(left + x * side, top + y * side) for x, y in stroke])
        browser.settle()
        return browser.run("document.getElementById('name').textContent")

    return act


@pytest.fixture
def draw(browser, drawing):
    """draw("3", by="mouse") does so in the browser of the test."""
    return partial(drawing, browser)
