"""The folders that ``build.py`` creates are complete or missing, even if a process is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the emulation needs Linux")

HERE = Path(__file__).parent

PUBLISH = """
import sys, time
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from steps import published

def make(folder):
    (folder / "one").write_text("1")
    with (Path(sys.argv[2]) / "made").open("a") as log:
        log.write("made\\n")
    time.sleep(float(sys.argv[3]))
    (folder / "two").write_text("2")

folder = published(Path(sys.argv[2]) / "result", make)
print((folder / "one").read_text(), (folder / "two").read_text())
"""


def publish(folder, seconds):
    """Start a process that takes some seconds to create a folder."""
    command = [sys.executable, "-c", PUBLISH, str(HERE), str(folder), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(path):
    """Wait until a file exists."""
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not appear"
        time.sleep(0.01)


def test_processes_that_start_at_the_same_time_build_once(tmp_path):
    processes = [publish(tmp_path, 0.3) for _ in range(4)]
    assert {process.communicate()[0] for process in processes} == {"1 2\n"}
    assert (tmp_path / "made").read_text() == "made\n"


def test_a_process_that_is_killed_leaves_no_folder(tmp_path):
    killed = publish(tmp_path, 600)
    wait_for(tmp_path / "made")
    assert not (tmp_path / "result").exists()
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert publish(tmp_path, 0).communicate()[0] == "1 2\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "result", "result.lock"]


def test_processes_may_compile_the_same_kernel_at_the_same_time(cupy, tmp_path):
    code = """
import cupy
x = cupy.arange(10)
print(int((x * 3 + 1).sum()))
"""
    kernels = tmp_path / "kernels"
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "HOST_CUDA_KERNELS": str(kernels)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    assert [process.communicate()[0] for process in starts] == ["145\n"] * 3
    assert {path.suffix for path in kernels.iterdir()} == {".so"}  # no incomplete file is left
