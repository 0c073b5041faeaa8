"""Several workers, of which each is allowed to run in turn: A B C, C B A, A B C, ...

So whatever slows down the machine for a while slows down all of them, and their ratios stay.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.peers.workloads import WORKLOADS

ROOT = Path(__file__).parent.parent.parent
# After how many steps the weights of all contenders are compared, and how far they may be apart. Sums
# are rounded in different orders, and Adam turns a gradient that is 0 but for rounding into a step of lr.
CHECKS = {"sgd": (20, 1e-6), "momentum": (6, 1e-6), "adam": (2, 1e-5)}
# On random numbers, after more steps one of the thousands of units of a wide network is so near 0 that
# rounding decides whether ReLU lets it through.
MOST_STEPS_ON_RANDOM_NUMBERS = 10


class Figures(NamedTuple):
    """A contender's times of a step, in seconds, one for each chunk; or why there are none."""

    times: list[float]
    first: float = 0.0
    mebibytes: float = 0.0
    skipped: str = ""

    @property
    def median(self) -> float:
        """The median of the times."""
        return statistics.median(self.times)


def environment(threads: int) -> dict[str, str]:
    """The environment of a worker, in which every library uses that many threads."""
    env = dict(os.environ)
    env.pop("OPENBLAS_CORETYPE", None)  # set on some machines, to a kernel of half the speed
    for library in ("OMP", "OPENBLAS", "MKL"):
        env[f"{library}_NUM_THREADS"] = str(threads)
    if threads == 1:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        env["XLA_FLAGS"] = flags
    env["JAX_PLATFORMS"] = "cpu"
    env["PYTHONPATH"] = str(ROOT)
    return env


def missing_package(stderr: str) -> str:
    """Which package a process that failed did not find.

    Raises
    ------
    RuntimeError
        It failed for another reason.
    """
    last = stderr.strip().rpartition("\n")[2]
    kind, _, text = last.partition(": ")
    if kind != "ModuleNotFoundError":
        raise RuntimeError(f"A measured process failed:\n{stderr}")
    return f"{text.rpartition(' ')[2].strip(chr(39))} is not installed"


class Process:
    """A worker's process."""

    def __init__(self, name: str, workload: str, threads: int, pinned: bool) -> None:
        command = [sys.executable, "-m", "benchmarks.peers.worker", name, workload]
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(threads),
            cwd=ROOT,
        )
        if pinned and cores:
            os.sched_setaffinity(self.process.pid, set(cores[:threads]))
        self.started = self._answer()

    def ask(self, request: str) -> dict[str, Any]:
        """The worker's answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended with {self.process.wait()}.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def race(
    names: list[str], workload: str, optimizer: str, chunks: int, threads: int = 1
) -> dict[str, Figures]:
    """The figures of these contenders on a workload.

    Raises
    ------
    ValueError
        A contender's weights after some steps are not those of the others: it computes something
        else.
    """
    running: dict[str, Process] = {}
    figures: dict[str, Figures] = {}
    for name in names:
        process = Process(name, workload, threads, pinned=True)
        reason = process.started.get("skipped")
        if reason:
            figures[name] = Figures([], skipped=reason)
            process.close()
        else:
            running[name] = process
    try:
        steps, tolerance = CHECKS[optimizer]
        if workload not in WORKLOADS:
            steps = min(steps, MOST_STEPS_ON_RANDOM_NUMBERS)
        agreement(running, steps, tolerance)
        times: dict[str, list[float]] = {name: [] for name in running}
        for i in range(chunks):
            for name in list(running)[:: 1 if i % 2 == 0 else -1]:
                times[name].append(_chunk(running[name]))
        for name, process in running.items():
            memory = process.ask("memory")["mebibytes"]
            figures[name] = Figures(times[name], process.started["first"], memory)
    finally:
        for process in running.values():
            process.close()
    return {name: figures[name] for name in names}


def _chunk(process: Process, attempts: int = 4) -> float:
    """The seconds of a step in a chunk; measured again while another process takes the core."""
    answer = process.ask("run")
    for _ in range(attempts - 1):
        if answer["busy"] > 0.97:
            break
        answer = process.ask("run")
    return float(answer["seconds"])


def agreement(running: dict[str, Process], steps: int, tolerance: float) -> None:
    """Compare the weights of all contenders after the same steps with those of the first.

    All weights of a network are one vector, and the difference is relative to its length: a bias that
    has moved from 0 by little is a sum in which almost everything cancels.

    Raises
    ------
    ValueError
        They differ by more than the tolerance.
    """
    expected = None
    for name, process in running.items():
        path = Path(process.ask(f"check {steps}")["weights"])
        with np.load(path) as saved:
            weights = [saved[key].reshape(-1) for key in saved.files]
        path.unlink()
        if not weights:  # the products alone
            continue
        mine = np.concatenate(weights).astype(np.float64)
        if expected is None:
            expected = mine
        off = np.linalg.norm(mine - expected) / np.linalg.norm(expected)
        if not off < tolerance:
            raise ValueError(
                f"{name} computes something else: after {steps} steps its weights are {off:.1e} "
                "from those of the first contender, relative to their norm."
            )
