"""The tests of the C functions once more, under the address and the undefined-behavior sanitizer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compiler.c import conftest


@pytest.mark.slow
def test_no_function_reads_or_writes_outside_of_its_arrays():
    if conftest.sanitized():
        pytest.skip("this process is the one with the sanitizers")
    if conftest.COMPILER is None or not conftest.COMPILER.endswith("gcc"):
        pytest.skip("the library that is preloaded is the one of gcc")
    folder = Path(__file__).parent
    query = [conftest.COMPILER, "-print-file-name=libasan.so"]
    asan = subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip()
    if not Path(asan).is_absolute():
        pytest.skip("gcc has no address sanitizer here")
    environment = os.environ | {
        "XPNET_TEST_SANITIZE": "1",
        "LD_PRELOAD": asan,
        "ASAN_OPTIONS": "detect_leaks=0",
        "XPNET_TEST_BACKENDS": "numpy",  # other libraries do not start under the sanitizer
        "XPNET_TEST_EXAMPLES": "20",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += ["-m", "not slow", "-k", "not older_processors", str(folder)]
    command += [f"--ignore={folder / 'test_build.py'}"]  # it calls no function of the library
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout[-5000:] + finished.stderr[-5000:]
