"""Changes that break xpnet on CuPy make the tests fail: each kind of mistake, in a copy of the tree.

Each row replaces one line of xpnet by one that a reviewer might overlook. The tests named in the row
must then fail with a message that shows the reason, and pass in the unchanged copy. On NumPy, no test
would notice these changes.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.host_cuda.device import emulated

ROOT = Path(__file__).parents[2]


class Breakage(NamedTuple):
    """A line of xpnet, its replacement, the tests that fail, and a part of what they print."""

    path: str
    line: str
    instead: str
    tests: str
    message: str


GRAPH = "tests/compiler/test_cupy_graph.py"
ORDER = "tests/kernels/test_transfer_order.py"

BREAKAGES = {
    "a NumPy array mixed in": Breakage(
        "xpnet/functions/dropout.py",
        "made = maker_like(x)",
        "made = lambda mask: mask",
        "tests/functions/test_dropout.py::test_a_seed_determines_the_mask",
        "numpy",
    ),
    "a missing device": Breakage(
        "xpnet/_libraries/cupy.py",
        "block: AbstractContextManager[Any] = device",
        "block = super().selected(device)",
        "tests/test_second_device.py",
        "different from the current device",
    ),
    "an unhashable key": Breakage(
        "xpnet/autodiff/namespace.py",
        "key = (xp, device_key(device))",
        "key = (xp, device)",
        "tests/autodiff/test_namespace.py::test_the_namespace_of_a_variable_is_differentiable",
        "unhashable type: 'cupy.cuda.device.Device'",
    ),
    "a copy on the wrong stream": Breakage(
        "xpnet/data/_transfer.py",
        "buffer.staging.set(buffer.pinned, stream=self.stream)",
        "buffer.staging.set(buffer.pinned, stream=self.cupy.cuda.Stream.null)",
        ORDER,
        "Arrays are not equal",
    ),
    "a copy without a wait": Breakage(
        "xpnet/data/_transfer.py",
        "compute.wait_event(slot.full)",
        "slot.full.done",
        ORDER,
        "Arrays are not equal",
    ),
    "a buffer that is overwritten too early": Breakage(
        "xpnet/data/_transfer.py",
        "self.stream.wait_event(slot.free)",
        "slot.free.done",
        ORDER,
        "Arrays are not equal",
    ),
    "a method that CuPy lacks": Breakage(
        "xpnet/data/_transfer.py",
        "buffer.staging.copy()",
        "buffer.staging.clone()",
        f"{ORDER}::test_a_loader_with_a_thread_delivers_the_same_as_one_without",
        "has no attribute 'clone'",
    ),
    "a number that is frozen in a graph": Breakage(
        "xpnet/compiler/executors/cuda/graph.py",
        "self._numbers[i] if x.dtype is None",
        "0.5 if x.dtype is None",
        f"{GRAPH}::test_a_schedule_changes_each_step",
        "Arrays are not equal",
    ),
    "a graph whose memory others are given": Breakage(
        "xpnet/compiler/executors/cuda/graph.py",
        "with cuda.using_allocator(self._memory.allocate), stream:",
        "with stream:",
        f"{GRAPH}::test_memory_that_others_free_and_use",
        "illegal memory access|Not equal|not equal|assert",
    ),
    "a graph that is launched before its memory is free": Breakage(
        "xpnet/compiler/executors/cuda/graph.py",
        "if stream.ptr != self._stream.ptr:",
        "if not stream.ptr:",
        f"{GRAPH}::test_calls_on_several_streams",
        "Not equal to tolerance",
    ),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the tree."""
    if not emulated():
        pytest.skip("CUDA is not emulated in this process: see tests/host_cuda/README.md")
    folder = tmp_path_factory.mktemp("tree")
    for name in ("xpnet", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.fixture
def broken(tree):
    """A function that breaks the copy, which is restored after the test."""
    originals = {}

    def break_it(breakage):
        path = tree / breakage.path
        source = path.read_text("utf-8")
        originals[path] = source
        assert source.count(breakage.line) == 1, (
            f"{breakage.path} has the line {breakage.line!r} {source.count(breakage.line)} times: "
            "choose another line to break"
        )
        path.write_text(source.replace(breakage.line, breakage.instead), encoding="utf-8")

    yield break_it
    for path, source in originals.items():
        path.write_text(source, encoding="utf-8")


def run(tree, *arguments):
    """The exit code and the output of a Python program, run in the copy."""
    path = os.pathsep.join([str(tree), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": path, "XPNET_TEST_BACKENDS": "cupy"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


PYTEST = ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")


def test_the_tests_pass_in_the_unchanged_copy(tree):
    code, out = run(tree, *PYTEST, *{breakage.tests for breakage in BREAKAGES.values()})
    assert code == 0, out
    assert "skipped" not in out, out


@pytest.mark.parametrize("name", BREAKAGES)
def test_the_line_and_the_tests_of_a_breakage_exist(name):
    """This test also runs without the device, so that a renamed test is noticed everywhere."""
    breakage = BREAKAGES[name]
    assert (ROOT / breakage.path).read_text("utf-8").count(breakage.line) == 1
    path, _, test = breakage.tests.partition("::")
    assert f"def {test}" in (ROOT / path).read_text("utf-8")


@pytest.mark.parametrize("name", BREAKAGES)
def test_the_tests_fail_in_the_broken_copy(tree, broken, name):
    breakage = BREAKAGES[name]
    broken(breakage)
    code, out = run(tree, *PYTEST, breakage.tests)
    assert code == 1, out  # tests failed; other codes mean that no test ran
    assert re.search(breakage.message, out), out


def test_a_method_that_cupy_lacks_is_found_without_a_device(tree, broken):
    """tests/cupy_names.py, which needs only CuPy's wheel, reports it."""
    broken(BREAKAGES["a method that CuPy lacks"])
    code, out = run(tree, "tests/cupy_names.py")
    assert code == 1, out
    assert re.search(r"xpnet/data/_transfer\.py:\d+: buffer\.staging\.clone: ", out), out
