"""The tests of the C functions once more, under the address and the undefined-behavior sanitizer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compiler.c import conftest

FAULTS = {
    "AddressSanitizer: heap-buffer-overflow": "EXPORT int fault(const char* x) { return x[10]; }",
    "runtime error: signed integer overflow": "EXPORT int fault(int* x) { return *x + 0x7fffffff; }",
}


@pytest.mark.slow
def test_no_function_reads_or_writes_outside_of_its_arrays():
    folder = Path(__file__).parent
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += ["-m", "not slow", "-k", "not older_processors", str(folder)]
    command += [f"--ignore={folder / 'test_build.py'}"]  # it calls no function of the library
    finished = run_sanitized(command)
    assert finished.returncode == 0, finished.stdout[-5000:] + finished.stderr[-5000:]


@pytest.mark.slow
@pytest.mark.parametrize("report", FAULTS)
def test_a_fault_is_reported(report, tmp_path):
    """The sanitizers watch a function that is compiled and called as those of the library are."""
    header = f'#include "{conftest.SOURCES / "export.h"}"\n'
    (tmp_path / "fault.c").write_text(header + FAULTS[report])
    script = (
        "import sys, numpy; from pathlib import Path; from tests.compiler.c import conftest\n"
        "conftest.SOURCES = Path(sys.argv[1])\n"
        "library = conftest.compiled(['fault'], Path(sys.argv[1]))\n"
        "library.fault(numpy.ones(10, 'u1').ctypes)"
    )
    finished = run_sanitized([sys.executable, "-c", script, str(tmp_path)])
    assert finished.returncode != 0
    assert report in finished.stderr


def run_sanitized(command):
    """Run a process that compiles the C functions with sanitizers, whose library it has preloaded."""
    if conftest.sanitized():
        pytest.skip("this process is the one with the sanitizers")
    if conftest.COMPILER is None or not conftest.COMPILER.endswith("gcc"):
        pytest.skip("the library that is preloaded is the one of gcc")
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
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
