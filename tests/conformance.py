"""Run the array API's conformance suite on xpnet.functions and on the library beneath it.

    python tests/conformance.py CHECKOUT [--library numpy ...] [--examples 10]

CHECKOUT is a clone of data-apis/array-api-tests with its submodule; the suite is not on PyPI, and
nothing of it is copied here. For each library and each version of the standard, both are tested with
the same seeds. xpnet must not fail or skip a test that the library beneath it passes. Some tests of
the suite draw numbers, and find a defect of a library (such as expm1 of -0 + 0j) only for some draws:
tests that only xpnet fails run again on the library, with fifty times as many numbers and five seeds.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parent.parent
LIBRARIES = {
    "numpy": "array_api_compat.numpy",
    "array_api_strict": "array_api_strict",
    "torch": "array_api_compat.torch",
}
VERSIONS = ("2024.12", "2025.12")


class Result(NamedTuple):
    """The outcome of the suite: how many tests passed, and which ones failed or were skipped."""

    passed: int
    failed: set
    skipped: set

    def __str__(self):
        return f"{self.passed:,} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"


def run(checkout, module, library, version, examples, only="", seed=None):
    """Run the suite, or the tests that match `only`, on a module; xpnet's backend is `library`."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            *(sys.executable, "-m", "pytest", "array_api_tests", "-q", "-p", "no:cacheprovider"),
            *("--max-examples", str(examples), "--hypothesis-disable-deadline"),
            *(["--derandomize"] if seed is None else [f"--hypothesis-seed={seed}"]),
            *("--junitxml", str(report), *(["-k", only] if only else [])),
        ]
        environment = os.environ | {
            "ARRAY_API_TESTS_MODULE": module,
            "ARRAY_API_TESTS_VERSION": version,
            "PYTHONPATH": str(ROOT),
            "XPNET_BACKEND": library,
        }
        output = subprocess.run(
            command, cwd=checkout, env=environment, check=False, capture_output=True, text=True
        )
        if not report.exists():
            sys.exit(f"The suite did not run on {module}:\n{output.stdout}{output.stderr}")
        tests = list(ET.parse(report).iter("testcase"))
    if not tests:
        sys.exit(f"The suite found no tests for {module}:\n{output.stdout}")

    def names_with(tag):
        return {f"{t.get('classname')}::{t.get('name')}" for t in tests if t.find(tag) is not None}

    failed = names_with("failure") | names_with("error")
    skipped = names_with("skipped")
    return Result(len(tests) - len(failed) - len(skipped), failed, skipped)


def new_failures(checkout, library, version, examples):
    """Run the suite on both, print the counts, and return the failures that only xpnet has."""
    pair = (LIBRARIES[library], "xpnet.functions")
    beneath, ours = (run(checkout, m, library, version, examples) for m in pair)
    print(f"{version}  {pair[0]:24} {beneath}")
    print(f"{version}  {pair[1] + ' on ' + library:24} {ours}", flush=True)
    new = ours.failed - beneath.failed
    if new:
        only = " or ".join({name.rpartition("::")[2].partition("[")[0] for name in new})
        for seed in range(5):
            again = run(checkout, pair[0], library, version, 50 * examples, only, seed)
            new -= again.failed
    return new | ours.skipped - beneath.skipped


def main():
    """Exit with 1 if xpnet fails or skips a test that the library beneath it passes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--library", nargs="+", choices=LIBRARIES, default=["numpy"])
    parser.add_argument("--examples", type=int, default=10)
    arguments = parser.parse_args()
    if not (arguments.checkout / "array_api_tests").is_dir():
        sys.exit(f"{arguments.checkout} is not a checkout of data-apis/array-api-tests.")
    failures = []
    for library in arguments.library:
        for version in VERSIONS:
            new = new_failures(arguments.checkout, library, version, arguments.examples)
            failures += [f"{library}, {version}: {name}" for name in sorted(new)]
    print("\n".join(failures) or "xpnet fails no test that the library beneath it passes.")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
