"""CuPy on the emulated device, for the tests of the emulation; without it they are skipped."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.host_cuda.device import NOT_EMULATED, emulated

ROOT = Path(__file__).parents[2]

# Scripts that build the device, and modules for CuPy's folder, which pytest's doctests must not import.
collect_ignore = [
    "build.py",
    "cupy_wheel.py",
    "sdist.py",
    "steps.py",
    "stubs.py",
    "thrust.py",
    "bit_generator.py",
]

# Variables that a child process takes only from its test, and not from this process.
SETTINGS = {"HOST_CUDA_DEVICES", "HOST_CUDA_MEMORY", "HOST_CUDA_PEERS", "HOST_CUDA_SHUFFLE"}


@pytest.fixture
def cupy():
    """CuPy, if the CUDA of this process is the emulation."""
    if not emulated():
        pytest.skip(NOT_EMULATED)
    return importlib.import_module("cupy")


@pytest.fixture
def child(cupy):
    """A function that runs Python code in a new process, with additional environment variables.

    It returns what the process printed; if the process fails, the test fails with its error output.
    """

    def run(code, **variables):
        inherited = {k: v for k, v in os.environ.items() if k not in SETTINGS}
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={**inherited, "PYTHONPATH": path, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def handle(cupy):
    """CuPy's handle of cuBLAS, whose pointer mode is restored after the test."""
    library = importlib.import_module("cupy_backends.cuda.libs.cublas")
    handle = cupy.cuda.device.get_cublas_handle()
    mode = library.getPointerMode(handle)
    yield handle
    library.setPointerMode(handle, mode)
