"""Processes that tests start: they import from this checkout, and from this process's PYTHONPATH."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def environment(first="", **variables):
    """The environment for a process: this one's, with the checkout on the path, and one BLAS thread.

    PYTHONPATH is kept, because CuPy for the emulated CUDA device is found there. The folder `first`
    comes before all others. One thread is faster than several that wait for a busy core.
    """
    path = os.pathsep.join(filter(None, (first, str(ROOT), os.environ.get("PYTHONPATH", ""))))
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return one | os.environ | {"PYTHONPATH": path} | variables


def example(name, *flags, first="", **variables):
    """Run a program in examples/, and return the finished process."""
    return subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py", *map(str, flags)],
        cwd=ROOT,
        env=environment(first, PYTHONIOENCODING="utf-8", **variables),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def on_terminal(start, *args, columns="100", **env):
    """A command on a terminal: its process, and an iterator over what it shows."""
    import pty

    ours, theirs = pty.openpty()
    process = start(*args, stdout=theirs, COLUMNS=columns, **{"TERM": "xterm-256color", **env})
    os.close(theirs)

    def shown():
        try:
            while piece := os.read(ours, 65536):
                yield piece.decode(errors="replace")
        except OSError:  # Linux's end of a terminal
            pass
        finally:
            os.close(ours)

    return process, shown()
