"""One contender on one workload, in a process of its own.

    python -m benchmarks.peers.worker xpnet W1

It reads a line for each request from its input, and answers with a line of JSON:

    check N     train N steps from the initial weights, and save the weights: {"weights": a file}
    run         train one chunk of steps: {"seconds": the time of a step, "busy": the share of the CPU}
    memory      {"mebibytes": the largest memory so far}
"""

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.contender import Contender, NotOfferedError, maker
from benchmarks.peers.workloads import Indices, data, initial_weights, workload_named

CHUNK = 0.25  # seconds


class Worker:
    """A contender that has been started, and how many steps it trains at a time."""

    def __init__(self, name: str, workload_name: str) -> None:
        self.workload = workload_named(workload_name)
        self.make = maker(name)
        self.x, self.t = data(self.workload)
        began = time.perf_counter()
        self.contender = self._new()
        self.steps = self.workload.steps
        self.indices = Indices(len(self.x), self.workload.batch)
        if self.contender.whole_chunks:
            self.contender.run(self.indices.next(self.steps))
        else:
            self.contender.run(self.indices.next(5))  # what compiles does so now
            self.steps = self._fitting()
        self.first = time.perf_counter() - began

    def _new(self) -> Contender:
        return self.make(self.workload, self.x, self.t, initial_weights(self.workload))

    def _fitting(self) -> int:
        """How many steps take about CHUNK seconds."""
        began = time.perf_counter()
        self.contender.run(self.indices.next(5))
        each = (time.perf_counter() - began) / 5
        return max(5, min(self.workload.steps, int(CHUNK / each)))

    def check(self, steps: int) -> dict[str, Any]:
        """Train a new contender for some steps, and save its weights."""
        indices = Indices(len(self.x), self.workload.batch, seed=1).next(steps)
        contender = self._new()
        contender.run(indices)
        file, path = tempfile.mkstemp(suffix=".npz")
        os.close(file)
        np.savez(path, *contender.weights())
        return {"weights": path}

    def run(self) -> dict[str, Any]:
        """Train a chunk; a tenth of one before it brings the caches back from the other workers."""
        if not self.contender.whole_chunks:
            self.contender.run(self.indices.next(max(3, self.steps // 10)))
        indices = self.indices.next(self.steps)
        cpu = time.process_time()
        began = time.perf_counter()
        self.contender.run(indices)
        seconds = time.perf_counter() - began
        busy = (time.process_time() - cpu) / seconds
        return {"seconds": seconds / self.steps, "busy": busy}

    def memory(self) -> dict[str, Any]:
        """The largest memory of the process so far."""
        status = Path("/proc/self/status")
        if (
            status.exists()
        ):  # on Linux, ru_maxrss begins with that of the process which started this one
            (line,) = [x for x in status.read_text().splitlines() if x.startswith("VmHWM:")]
            return {"mebibytes": int(line.split()[1]) / 1024}
        return {"mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main(name: str, workload: str) -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is not an answer
    try:
        worker = Worker(name, workload)
    except NotOfferedError as error:
        print(json.dumps({"skipped": str(error)}), file=answers)
        return
    print(json.dumps({"first": worker.first, "steps": worker.steps}), file=answers)
    for line in sys.stdin:
        request, *numbers = line.split()
        answer = getattr(worker, request)(*map(int, numbers))
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main(*sys.argv[1:3])
