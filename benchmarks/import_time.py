"""What `import xpnet` costs, against `import numpy`: fresh interpreters, taken in turn.

    python benchmarks/import_time.py [runs]

Prints the median of each and their ratio; ends with exit code 1 above the limit of 1.5.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 1.5
ENV = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
ENV.pop("OPENBLAS_CORETYPE", None)  # set on some machines; it changes what NumPy does at import
# Both as pip leaves an installed package: compiled. Here, into a folder that is then removed.
ENV.pop("PYTHONDONTWRITEBYTECODE", None)
CACHE = tempfile.TemporaryDirectory()
ENV["PYTHONPYCACHEPREFIX"] = CACHE.name


def seconds(statement: str) -> float:
    """The time that a fresh interpreter takes for the statement, its own start left out."""
    program = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    run = subprocess.run(
        [sys.executable, "-c", program], env=ENV, check=True, capture_output=True, text=True
    )
    return float(run.stdout)


def main(runs: int) -> int:
    """Compare; 0 within the limit, else 1."""
    statements = "import numpy", "import xpnet"
    for statement in statements:
        seconds(statement)  # compiles, and fills the disk's cache
    times = {statement: [] for statement in statements}
    for i in range(runs):
        for statement in statements[:: 1 if i % 2 else -1]:  # neither is always the first
            times[statement].append(seconds(statement))
    medians = [statistics.median(times[statement]) for statement in statements]
    ratio = medians[1] / medians[0]
    for statement, median in zip(statements, medians, strict=True):
        print(f"{statement:<14} {1000 * median:6.1f} ms   (median of {runs})")
    print(f"{'ratio':<14} {ratio:6.2f}      (limit {LIMIT})")
    return ratio > LIMIT


if __name__ == "__main__":
    start = time.perf_counter()
    code = main(int(sys.argv[1]) if len(sys.argv) > 1 else 21)
    print(f"{'took':<14} {time.perf_counter() - start:6.1f} s")
    sys.exit(code)
