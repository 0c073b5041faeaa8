"""Processes that tests start: they import this checkout, and what PYTHONPATH had before."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def environment(first="", **variables):
    """The environment for a process: this one's, with the checkout on the path, and one BLAS thread.

    On the emulated CUDA device PYTHONPATH is where CuPy is found. A folder that is `first` comes
    before all of it. Threads that wait for a busy core take longer than one.
    """
    path = os.pathsep.join(filter(None, (first, str(ROOT), os.environ.get("PYTHONPATH", ""))))
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return one | os.environ | {"PYTHONPATH": path} | variables


def example(name, *flags, first="", **variables):
    """The finished process of a program in examples/."""
    return subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py", *map(str, flags)],
        cwd=ROOT,
        env=environment(first, PYTHONIOENCODING="utf-8", **variables),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
