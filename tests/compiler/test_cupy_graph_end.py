"""A CUDA graph at its end: what a process prints that exits, or fails, with one. No GPU is needed."""

import subprocess
import sys

import pytest

from tests.processes import environment

EXIT = """
from xpnet.compiler.executors.cuda import graph
kept = graph.Graph.__new__(graph.Graph)
{complete}
for name in [name for name in vars(graph) if not name.startswith("__")]:
    setattr(graph, name, None)  # as Python does with a module that is in use to the end
"""

FAILURE = """
from xpnet.compiler.executors.cuda import graph

def current_device():
    raise OSError("no device")

graph.current_device = lambda: current_device
try:
    graph.Graph(type("Program", (), {"updates": {}}), [])
except OSError as error:
    print(error)
"""


def printed(program):
    """(stdout, stderr) of a new process."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize("complete", ["", "kept._memory = None"])
def test_nothing_is_printed_at_exit(complete):
    assert printed(EXIT.format(complete=complete)) == ("", "")


def test_a_graph_that_could_not_be_made_prints_nothing_else():
    assert printed(FAILURE) == ("no device\n", "")
