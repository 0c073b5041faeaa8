"""The report in a real browser: what it shows on a screen and a phone, and what it requests."""

import json
import re
import subprocess
from html import unescape

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from tests.report.drawing.browser import BROWSER
from xpnet.report import page, report

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium or Chrome was found; XPNET_BROWSER names one"
)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--enable-logging=stderr",
)

# Measures what is on the page, as seen in frames of two widths, and writes it where it can be read.
PROBE = """
<pre id="probe"></pre>
<script>
const measure = (doc, win) => ({
  title: doc.title,
  images: [...doc.images].map(i => [i.complete, i.naturalWidth, Math.round(i.width)]),
  rows: [...doc.querySelectorAll("table")].map(t => t.tBodies[0].rows.length),
  hidden: [...doc.querySelectorAll(".scroll")].map(s => s.scrollWidth - s.clientWidth),
  overflow: doc.documentElement.scrollWidth - win.innerWidth,
  paper: win.getComputedStyle(doc.body).backgroundColor,
  ink: win.getComputedStyle(doc.body).color,
  asked: win.performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:")),
});
window.onload = () => {
  const all = [...document.querySelectorAll("iframe")].map(f => measure(f.contentDocument, f.contentWindow));
  document.getElementById("probe").textContent = JSON.stringify(all);
};
</script>
"""


def dump(path, folder, *flags):
    """The elements of the page after it was loaded, and the messages in the browser's console."""
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder}", *flags, "--dump-dom", path.as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return run.stdout, re.findall(r".*CONSOLE.*", run.stderr)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report with all its parts."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("report")
    targets = rng.integers(0, 10, 300)
    scores = 3.0 * np.eye(10)[targets] + rng.normal(size=(300, 10))
    return report(
        folder / "report.html",
        scores,
        targets,
        images=rng.uniform(size=(300, 1, 28, 28)),
        classes=["T-shirt", *map(str, range(1, 9)), "<b>Ankle boot</b>"],
        history=[{"epoch": i, "train_loss": 1 / i, "train_accuracy": 0.9} for i in range(1, 6)],
        config={"lr": 0.1, "a_setting_with_a_long_name": "x" * 200},
        title="Letters & <others>",
    )


def measured(made, tmp_path, *flags):
    """The page in frames as wide as a screen and a phone, without its own policy."""
    text = made.read_text(encoding="utf-8")
    assert page.POLICY in text
    (tmp_path / "plain.html").write_text(text.replace(page.POLICY, ""), encoding="utf-8")
    frames = "".join(
        f'<iframe src="plain.html" style="width:{width}px;height:800px;border:0"></iframe>'
        for width in (1200, 390)
    )
    outer = tmp_path / "outer.html"
    outer.write_text(f"<!DOCTYPE html><title>outer</title>{frames}{PROBE}", encoding="utf-8")
    dom, complaints = dump(outer, tmp_path / "profile", "--allow-file-access-from-files", *flags)
    assert complaints == []
    return json.loads(unescape(re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL)[1]))


def test_the_page_is_complete_on_a_screen_and_on_a_phone(made, tmp_path):
    """All images and rows are shown, nothing is requested from the network, and nothing overflows."""
    screen, phone = measured(made, tmp_path)
    for shown in (screen, phone):
        assert shown["title"] == "Letters & <others>"
        assert len(shown["images"]) > 2
        assert all(done and width > 0 and drawn > 80 for done, width, drawn in shown["images"])
        assert shown["rows"][:4] == [10, 10, 5, 2]
        assert shown["asked"] == []
        assert shown["overflow"] <= 0
        assert (shown["paper"], shown["ink"]) == ("rgb(255, 255, 255)", "rgb(28, 28, 28)")


def test_long_names_of_samples_are_wrapped(tmp_path):
    """On a screen, all columns of the table of mistakes are seen at once."""
    samples = [f"line {i}, Name Sm{i}th, Mr. Johannes Bob, PassengerId {i}" * 2 for i in range(9)]
    scores = np.eye(2)[[0, 1, 1] * 3]
    made = report(tmp_path / "report.html", scores, np.asarray([0, 1, 0] * 3), samples=samples)
    screen, _ = measured(made, tmp_path)
    assert len(screen["hidden"]) > 1
    assert max(screen["hidden"]) <= 0


def test_the_page_is_dark_if_the_user_prefers_that(made, tmp_path):
    screen, _ = measured(made, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert (screen["paper"], screen["ink"]) == ("rgb(21, 23, 26)", "rgb(232, 232, 232)")


def test_the_content_security_policy_allows_the_page_itself(made, tmp_path):
    """The browser reports no violation, and shows names as text."""
    dom, complaints = dump(made, tmp_path / "profile")
    assert complaints == []
    assert "<title>Letters &amp; &lt;others&gt;</title>" in dom
    assert dom.count("&lt;b&gt;Ankle boot&lt;/b&gt;") > 2


def test_violations_of_the_policy_are_detected(made, tmp_path):
    """An external image and a script in the same page are blocked and reported."""
    text = made.read_text(encoding="utf-8")
    for foreign in ('<img src="other.png">', "<script>1</script>"):
        bad = tmp_path / "bad.html"
        bad.write_text(text.replace("</main>", foreign), encoding="utf-8")
        _, complaints = dump(bad, tmp_path / "profile")
        assert "Content Security Policy" in "".join(complaints)
