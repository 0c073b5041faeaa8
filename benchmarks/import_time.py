"""The time of `import xpnet` and of `import numpy`, measured alternately in new interpreters.

python benchmarks/import_time.py            the medians and their ratio
python benchmarks/import_time.py --check    exit code 1 if the ratio exceeds the limit

Both packages are compiled to bytecode before, as pip does when it installs a package.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT = 1.5
ENV = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
ENV.pop("OPENBLAS_CORETYPE", None)  # set on some machines; it changes what NumPy does at import
# The bytecode is written into a folder that is removed at the end.
ENV.pop("PYTHONDONTWRITEBYTECODE", None)
CACHE = tempfile.TemporaryDirectory()
ENV["PYTHONPYCACHEPREFIX"] = CACHE.name


def seconds(statement: str) -> float:
    """The time that a new interpreter takes for the statement, without its own start."""
    program = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    run = subprocess.run(
        [sys.executable, "-c", program], env=ENV, check=True, capture_output=True, text=True
    )
    return float(run.stdout)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--check", action="store_true", help="exit with 1 above the limit")
    args = parser.parse_args()
    statements = "import numpy", "import xpnet"
    for statement in statements:
        seconds(statement)  # compiles the bytecode, and fills the cache of the file system
    times = {statement: [] for statement in statements}
    for i in range(args.runs):
        for statement in statements[:: 1 if i % 2 else -1]:  # so that neither is always the first
            times[statement].append(seconds(statement))
    medians = [statistics.median(times[statement]) for statement in statements]
    ratio = medians[1] / medians[0]
    for statement, median in zip(statements, medians, strict=True):
        print(f"{statement:<14} {1000 * median:6.1f} ms")
    print(f"{'ratio':<14} {ratio:6.2f}      (limit {LIMIT}; medians of {args.runs} runs)")
    return int(args.check and ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
