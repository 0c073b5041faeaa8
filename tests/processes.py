"""Helpers to start processes, which import from this checkout and from this process's PYTHONPATH."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def environment(first="", **variables):
    """The environment for a new process: this process's, with the checkout on the path, and one thread.

    PYTHONPATH is kept, because CuPy for the emulated CUDA device is found there. The folder `first`
    comes before all others. One BLAS thread is faster than several that wait for a busy core.
    """
    path = os.pathsep.join(filter(None, (first, str(ROOT), os.environ.get("PYTHONPATH", ""))))
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return one_thread | os.environ | {"PYTHONPATH": path} | variables


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
    """Start a command on a terminal; return its process, and an iterator over its output."""
    import pty

    reader, terminal = pty.openpty()
    process = start(*args, stdout=terminal, COLUMNS=columns, **{"TERM": "xterm-256color", **env})
    os.close(terminal)

    def output():
        try:
            while piece := os.read(reader, 65536):
                yield piece.decode(errors="replace")
        except OSError:  # on Linux, the end of the output
            pass
        finally:
            os.close(reader)

    return process, output()
