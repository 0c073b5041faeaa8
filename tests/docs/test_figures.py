"""Figures of the README and of docs/ that every machine agrees on: limits, defaults, counts, sizes and scores.

Those that depend on the machine, times and rates, stand beside the command that measures them. Other figures are held
by the tests of their pages: what a program prints, tables that a command writes, functions that are counted.
"""

import inspect
import re
import subprocess
import sys

import numpy as np
import pytest

import xpnet
from docs.builder import sources
from tests.processes import environment
from xpnet import _html, distributed
from xpnet.autodiff.namespace import API_VERSIONS
from xpnet.data import columns, stored
from xpnet.distributed import gradients, mpi
from xpnet.training.precision import MixedPrecision


def read(name):
    return (sources.ROOT / name).read_text(encoding="utf-8")


def default(function, name):
    return inspect.signature(function).parameters[name].default


CUPY = re.search(r'^CUPY = "(\d+\.\d+)', read("tests/host_cuda/cupy_wheel.py"), re.MULTILINE)[1]
"""The version that the tests on the emulated device run on."""

STATED = [
    ("README.md", f"version {API_VERSIONS[-1]}"),
    ("README.md", f"the real CuPy {CUPY},"),
    ("docs/distributed.md", f"*buckets* of up to {gradients.BUCKET >> 20} MB"),
    ("docs/distributed.md", f"without a pause for {1000.0 * mpi.PATIENCE:g} ms"),
    (
        "docs/distributed.md",
        f"more than {default(distributed.communicator, 'timeout'):g} seconds",
    ),
    ("docs/half-precision.md", f"positive number is {np.finfo('f2').smallest_subnormal:.0e}"),
    ("docs/half-precision.md", f"after {default(MixedPrecision, 'growth_interval'):,} good steps"),
    ("docs/larger-than-memory.md", f"`buffer` ({stored.BUFFER >> 20} MiB by default)"),
    ("docs/larger-than-memory.md", f"{stored.BLOCK >> 20} MiB of other files"),
    ("docs/notebooks.md", f"of more than {_html.MOST} epochs"),
    ("docs/tables.md", f"each of the {columns.MOST_CATEGORIES} most frequent values"),
]


@pytest.mark.parametrize(("page", "figure"), STATED)
def test_a_page_states_the_figure_of_the_code(page, figure):
    text = re.sub(r"\s+", " ", read(page)).replace("6e-8", "6e-08")
    assert figure in text


def test_the_weights_of_the_network_of_the_lesson_are_counted():
    model = xpnet.MLP(784, [80], 10)
    weights = sum(p.data.size for p in model.parameters())
    text = re.sub(r"\s+", " ", read("docs/lessons/two-layer-network.md"))
    assert f"each of {weights:,} weights" in text


def test_the_size_of_an_install_is_the_limit_that_the_session_build_holds():
    """In MB of 2^20 bytes: the packages that xpnet needs, and xpnet without MNIST."""
    limits = re.findall(r"> (\d+\.\d+) \* 2\*\*20", read("noxfile.py"))
    assert len(limits) == 3
    packages, own, _ = map(float, limits)
    assert f": {packages + own:g} MB at most, and MNIST |" in read("README.md")


def test_the_launches_of_a_step_are_those_that_are_counted():
    """tests/kernels/test_launches.py holds the table to the code."""
    counted, _ = re.findall(
        r"^\| 784-80-10, SGD, batch 200 \| (\d+) \| \d+ \|", read("benchmarks/gpu.md"), re.MULTILINE
    )
    assert f"device: {counted} launches for 784-80-10 with SGD" in read("README.md")


def test_the_scores_of_the_readme_are_those_of_the_benchmark():
    """benchmarks/end_to_end.py trains with the same flags, and writes docs/performance.md."""
    page = read("docs/performance.md").partition("<!-- end_to_end: begin -->")[2]
    mlp, lenet = map(float, re.findall(r"^\| xpnet \| [\d.]+ \| ([\d.]+)% \|", page, re.MULTILINE))
    readme = read("README.md")
    assert f"Test accuracy {mlp:.2f}%" in readme
    assert f"a test accuracy of {lenet:.1f} % on MNIST" in readme


ROW = re.compile(r"^ +(\d+) +([\d.]+) +([\d.]+)% +([\d.]+) +([\d.]+)% ", re.MULTILINE)
"""Epoch, loss and accuracy in training, and on test data; seconds follow."""


def test_the_first_training_of_the_readme_prints_what_it_says(tmp_path):
    """Another BLAS, or NumPy in place of C, rounds differently: losses to 0.005, accuracies to 0.3 %."""
    stated = np.array(ROW.findall(read("README.md")), dtype=float)
    done = subprocess.run(
        [sys.executable, "-m", "xpnet", "train", "mnist", "--out", tmp_path / "run"],
        env=environment(COLUMNS="100"),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    printed = np.array(ROW.findall(done.stdout), dtype=float)
    assert stated.shape == (10, 5)
    np.testing.assert_allclose(printed[:, [0, 1, 3]], stated[:, [0, 1, 3]], rtol=0, atol=0.005)
    np.testing.assert_allclose(printed[:, [2, 4]], stated[:, [2, 4]], rtol=0, atol=0.3)


@pytest.mark.parametrize(
    "name",
    sorted(x.relative_to(sources.DOCS / "ko").as_posix() for x in sources.DOCS.glob("ko/**/*.md")),
)
def test_both_languages_state_the_same_figures(name):
    """Numbers with a point or a percent sign, outside of programs: accuracies, times and versions."""
    origin = {page: source for source, page in sources.FROM_ROOT.items()}
    english = figures(read(origin.get(name, f"docs/{name}")))
    assert figures(read(f"docs/ko/{name}")) == english


def figures(text):
    """The numbers of a text that have a point or a percent sign, sorted."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"\]\([^)]*\)", "", text)
    return sorted(re.findall(r"(?<![\w.])\d+\.\d+(?!\.?\d)|\d+(?= ?%)", text))
