"""A notebook in JupyterLab, in a browser: what somebody sees who runs it."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.report.drawing.browser import BROWSER, TIMEOUT, Browser

MISSING = "it is not installed: nox -s notebooks"
nbformat = pytest.importorskip("nbformat", reason=MISSING)
pytest.importorskip("nbclient", reason=MISSING)
pytest.importorskip("ipykernel", reason=MISSING)
pytest.importorskip("jupyterlab", reason=MISSING)
pytest.importorskip("matplotlib", reason="the notebook draws with it")
pytest.importorskip("sklearn", reason="a block of the README needs scikit-learn")
from tests.notebooks.kernel import cells_of, notebook, readme  # noqa: E402 - after the check that Jupyter is there

MORE = """
summary(net, (1, 28, 28))
# %%
history
# %%
from xpnet import plots

plots.curves(history)
# %%
model = xpnet.MLP(784, [80], 10, rng=0)
trainer = Trainer(model, F.softmax_cross_entropy, xpnet.Adam(model.parameters()), [accuracy], [ProgressBar()], rng=0)
trainer.fit(train, test, epochs=10_000)  # until it is interrupted
"""
"""Cells after the README's: what is displayed, a picture, a training that is looked at while it runs."""

SETTINGS = {
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
}
"""All cells are on the page, also those that are not in view; no window asks for news."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, own_settings):
    """Where JupyterLab runs, with the notebook."""
    for name, content in SETTINGS.items():
        path = own_settings / "SETTINGS" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    made = tmp_path_factory.mktemp("lab")
    nbformat.write(notebook([*readme(), *cells_of(MORE)]), made / "readme.ipynb")
    return made


@pytest.fixture(scope="module")
def server(folder):
    """The address of a JupyterLab without a token, on a free port of this machine only."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    options = {
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": folder,
        "IdentityProvider.token": "",
        "LabApp.expose_app_in_browser": True,
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *flags]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        wait_for(address, process, folder / "server.log")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_for(address, process, log):
    """Wait until the server answers."""
    end = time.monotonic() + TIMEOUT
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        try:
            urllib.request.urlopen(f"{address}/api/status").close()
        except OSError:
            time.sleep(0.1)
        else:
            return


NOTEBOOK = "[...window.jupyterapp?.shell.widgets('main') ?? []][0]"
OUTPUTS = (
    "[...document.querySelectorAll('.jp-CodeCell')][{}].querySelectorAll('.jp-OutputArea-child')"
)
TEXT = f"[...{OUTPUTS}].map(x => x.innerText)"


@pytest.fixture(scope="module")
def lab(server, tmp_path_factory):
    """The browser, in which all cells have run; the last one was interrupted while it was looked at."""
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome was found; XPNET_BROWSER names one")
    if not hasattr(os, "posix_spawnp"):
        pytest.skip("the pipes to the browser are those of POSIX")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    browser.resize(1200, 1000)
    browser.call("Emulation.setFocusEmulationEnabled", enabled=True)
    browser.call("Page.navigate", url=f"{server}/doc/tree/readme.ipynb")
    browser.wait(f"{NOTEBOOK}?.sessionContext?.session?.kernel?.status === 'idle'")
    yield browser
    browser.close()


def command(browser, name, **arguments):
    """Run a command of JupyterLab's menus, and do not wait for its end."""
    browser.run(f"jupyterapp.commands.execute({json.dumps(name)}, {json.dumps(arguments)}); true")


@pytest.fixture(scope="module")
def ran(lab):
    """What was seen of the last cell while it ran: the texts of its outputs, five times per second."""
    command(lab, "notebook:run-all-cells")
    last = len(readme()) + len(cells_of(MORE)) - 1
    seen = []
    end = time.monotonic() + 2 * TIMEOUT
    while len(seen) < 15:
        assert time.monotonic() < end, lab.run(TEXT.format(0))
        if texts := lab.run(TEXT.format(last)):
            seen.append(texts)
        time.sleep(0.2)
    command(lab, "notebook:interrupt-kernel")
    lab.wait(f"{TEXT.format(last)}.join().includes('Interrupted')")
    return seen


def test_progress_is_one_output_that_changes(ran):
    """The header, a line for each epoch and the bar; no line is repeated."""
    assert {len(texts) for texts in ran} == {1}
    tables = [text.rstrip().splitlines() for (text,) in ran]
    assert all(lines[0].startswith("epoch  train loss") for lines in tables)
    bars = [[line for line in lines if "━" in line] for lines in tables]
    assert {len(lines) for lines in bars} == {1}
    assert len({lines[0] for lines in bars}) > 3
    numbers = [line.split()[0] for line in tables[-1][1:-1]]
    assert numbers == [str(i + 1) for i in range(len(numbers))]


def test_no_cell_shows_an_error(ran, lab):
    errors = "[data-mime-type='application/vnd.jupyter.error'], [data-mime-type='application/vnd.jupyter.stderr']"
    assert lab.run(f"[...document.querySelectorAll(`{errors}`)].map(x => x.innerText)") == []


def test_summary_and_history_are_tables(ran, lab):
    """Numbers are aligned to the right, names of layers are indented, and nothing is cut off."""
    first = len(readme())
    rows = f"[...{OUTPUTS.format(first)}[0].querySelectorAll('tr')].map(x => [...x.cells].map(y => y.innerText))"
    assert lab.run(rows)[:3] == [
        ["Layer", "Output shape", "Parameters", "Multiply-adds"],
        ["Sequential", "(batch, 10)", "", ""],
        ["  0: Conv2d(1 -> 8, kernel_size=5, stride=2)", "(batch, 8, 12, 12)", "208", "28,800"],
    ]
    for i in (first, first + 1):
        table = f"{OUTPUTS.format(i)}[0].querySelector('table')"
        assert lab.run(
            f"{table}.scrollWidth <= {table}.closest('.jp-OutputArea-output').clientWidth"
        )
        aligned = f"[...{table}.querySelectorAll('td:last-child')].map(x => getComputedStyle(x).textAlign)"
        assert set(lab.run(aligned)) == {"right"}
    assert "History(3 epochs)" in lab.run(TEXT.format(first + 1))[0]


def test_a_figure_is_on_the_page_once(ran, lab):
    pictures = (
        f"[...{OUTPUTS.format(len(readme()) + 2)}].flatMap(x => [...x.querySelectorAll('img')])"
    )
    assert lab.run(f"{pictures}.map(x => x.complete && x.naturalWidth > 0)") == [True]
    (width,) = lab.run(f"{pictures}.map(x => x.getBoundingClientRect().width)")
    assert 300 < width < 1000


CONTRAST = """
[...document.querySelectorAll('.jp-OutputArea-output pre, .jp-OutputArea-output td, .jp-OutputArea-output p')].map(e => {
  const light = color => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(x => x / 255)
      .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  let below = e;
  while (/rgba\\(.*, 0\\)/.test(getComputedStyle(below).backgroundColor)) below = below.parentElement;
  const pair = [getComputedStyle(e).color, getComputedStyle(below).backgroundColor].map(light);
  return Math.max(...pair) / Math.min(...pair);
})
"""


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_outputs_are_readable_in_both_themes(ran, lab, theme, tmp_path):
    """Texts have the contrast of WCAG 2, level AA. XPNET_SCREENSHOTS names a folder for pictures of the page."""
    command(lab, "apputils:change-theme", theme=theme)
    lab.wait(f"document.body.dataset.jpThemeName === {json.dumps(theme)}")
    ratios = lab.run(CONTRAST)
    assert len(ratios) > 20
    assert min(ratios) >= 4.5
    if pictures := os.environ.get("XPNET_SCREENSHOTS"):
        for i in range(len(readme()), len(readme()) + len(cells_of(MORE))):
            lab.run(f"document.querySelectorAll('.jp-CodeCell')[{i}].scrollIntoView(); true")
            name = re.sub(r"\W", "-", theme.lower())
            lab.screenshot(Path(pictures) / f"{name}-{i}.png", whole=False)
