"""What several ranks gain, and a model of what they would gain on other machines.

    python benchmarks/distributed.py                    all parts; pictures with --pictures FOLDER
    python benchmarks/distributed.py --ranks 4 ping     one part: ping, scaling, gain or model

    ping       the time of an allreduce against its size, by MPI on this machine, and the model fitted to it
    scaling    samples per second on several ranks, against one rank with the same batches
    gain       the time of a step on several ranks, and on ranks with a slower link between them: with
               messages that are waited for, with messages that travel while the step goes on, and both
               with numbers of 16 bits
    model      the same model with the published constants of NVLink and InfiniBand: how long a step must
               compute for communication to take no more than half of the time

The model is that of a ring: each of N ranks sends 2 (N - 1) messages, one after the other, of 1 / N of the
bytes each, so that an allreduce takes

    t = start + 2 (N - 1) latency + 2 (N - 1) / N bytes / bandwidth        seconds

(P. Patarasuk, X. Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009). Each
rank is a process with one thread.

The slower link of `gain` is simulated: a message arrives when that link would have carried it, one after
the other. 1 Gb/s Ethernet by default; `--latency 50 --bandwidth 0.125` are its microseconds and GB/s.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np

import xpnet
from benchmarks.peers import by_xpnet
from benchmarks.peers.race import environment
from benchmarks.peers.results import save
from benchmarks.peers.workloads import Workload, workload_named
from xpnet import distributed, functions as F
from xpnet.distributed import Communicator, Pending
from xpnet.training import Trainer
from xpnet.training.learner import Learner

PARTS = ("ping", "scaling", "gain", "model")
SIZES = tuple(2**n for n in range(10, 25))  # bytes
LENETS = {"W3": 1, "LeNetx2": 2, "LeNetx4": 4}  # so many times as many channels and units
DENSE = ("3x512x256", "3x1024x256", "3x2048x256")
NETWORKS = ("W1", "W2", "W4", *DENSE, *LENETS)
GAINING = ("W2", "3x2048x256")
SAMPLES = 10_000
REPEATS = 21
STEPS = 11


@dataclass(frozen=True)
class Link:
    """What carries messages between neighbours in a ring.

    Attributes
    ----------
    latency : float
        Seconds for each message.
    bandwidth : float
        Bytes per second, in one direction.
    start : float
        Seconds for each allreduce.
    """

    latency: float
    bandwidth: float
    start: float = 0.0

    def allreduce(self, ranks: int, size: float) -> float:
        """The seconds of an allreduce of `size` bytes."""
        if ranks == 1:
            return 0.0
        messages = 2 * (ranks - 1)
        return self.start + messages * self.latency + messages / ranks * size / self.bandwidth


# Latencies: what NCCL itself reckons with for a ring (src/graph/tuning.cc, protocol "simple", 2022).
# Bandwidths: 900 GB/s in both directions together (NVIDIA, "H100 Tensor Core GPU Architecture", 2022);
# one NDR port of 400 Gb/s for each GPU (InfiniBand Trade Association, roadmap).
LINKS = {
    "NVLink 4": Link(latency=3.4e-6, bandwidth=450e9, start=8.4e-6),
    "InfiniBand NDR": Link(latency=9.6e-6, bandwidth=50e9, start=8.4e-6),
}
RANKS = (8, 64, 1024)
BACKWARD = 2 / 3  # the share of a step's computation in which gradients can be sent


def fitted(ranks: int, times: dict[int, float]) -> Link:
    """The link for which the model is nearest to measured times, in their logarithms' scale.

    Parameters
    ----------
    times : dict
        Seconds by bytes. `start` cannot be told from `latency` by one number of ranks, and is 0.
    """
    sizes = np.array(list(times))
    seconds = np.array(list(times.values()))
    messages = 2 * (ranks - 1)
    terms = np.stack([np.full(len(sizes), float(messages)), messages / ranks * sizes], axis=1)
    (latency, per_byte), *_ = np.linalg.lstsq(
        terms / seconds[:, None], np.ones(len(sizes)), rcond=None
    )
    return Link(latency=max(float(latency), 0.0), bandwidth=1 / max(float(per_byte), 1e-15))


# ---- what runs on each rank --------------------------------------------------------------------


def ping(communicator: Communicator) -> dict[str, float]:
    """The seconds of an allreduce, by its bytes."""
    found: dict[str, float] = {}
    for size in SIZES:
        x = np.ones(size // 4, np.float32)
        seconds = []
        for _ in range(REPEATS):
            communicator.barrier()
            began = time.perf_counter()
            communicator.allreduce(x)
            seconds.append(time.perf_counter() - began)
            x[...] = 1.0
        found[str(size)] = max(communicator.allgather(median(seconds)))
    return found


class Around(Communicator):
    """Another communicator, of which a subclass replaces something."""

    def __init__(self, communicator: Communicator) -> None:
        self.inner = communicator
        self.rank = communicator.rank
        self.size = communicator.size
        self.local_rank = communicator.local_rank

    def allreduce_start(self, x: Any, op: Any = "sum", compression: Any = None) -> Pending:
        return self.inner.allreduce_start(x, op, compression)

    def broadcast(self, x: Any, root: int = 0) -> Any:
        return self.inner.broadcast(x, root)

    def allgather(self, value: Any) -> list[Any]:
        return self.inner.allgather(value)

    def abort(self, reason: str) -> None:
        self.inner.abort(reason)


class Timed(Around):
    """Another communicator, and how long this rank was in it.

    Attributes
    ----------
    seconds : float
    """

    def __init__(self, communicator: Communicator) -> None:
        super().__init__(communicator)
        self.seconds = 0.0

    def allreduce_start(self, x: Any, op: Any = "sum", compression: Any = None) -> Pending:
        pending = self._timed(self.inner.allreduce_start, x, op, compression)
        return Pending(Moving(pending), partial(self._timed, pending.wait))

    def broadcast(self, x: Any, root: int = 0) -> Any:
        return self._timed(self.inner.broadcast, x, root)

    def allgather(self, value: Any) -> list[Any]:
        gathered: list[Any] = self._timed(self.inner.allgather, value)
        return gathered

    def _timed(self, function: Any, *args: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*args)
        finally:
            self.seconds += time.perf_counter() - began


class Moving:
    """A request that moves another communicator's message on, and that arrives not before some time.

    `wait` waits for that time only: the message itself is waited for by what makes the result.
    """

    def __init__(self, pending: Pending, arrival: float = 0.0) -> None:
        self._pending = pending
        self._arrival = arrival

    def test(self) -> bool:
        return self._pending.test() and time.perf_counter() >= self._arrival

    def wait(self) -> None:
        remaining = self._arrival - time.perf_counter()
        if remaining > 0.0:  # a sleep of no time takes 50 us
            time.sleep(remaining)


class Slow(Around):
    """Another communicator whose reductions arrive as late as over a link, one after the other."""

    def __init__(self, communicator: Communicator, link: Link) -> None:
        super().__init__(communicator)
        self._link = link
        self._free = 0.0  # when the link has carried all messages so far

    def allreduce_start(self, x: Any, op: Any = "sum", compression: Any = None) -> Pending:
        size = x.size * (x.dtype.itemsize if compression is None else 2)
        pending = self.inner.allreduce_start(x, op, compression)
        began = max(self._free, time.perf_counter())
        self._free = began + self._link.allreduce(self.size, size)
        return Pending(Moving(pending, self._free), pending.wait)


class Waiting(Around):
    """Another communicator whose reductions are waited for where they are started."""

    def allreduce_start(self, x: Any, op: Any = "sum", compression: Any = None) -> Pending:
        result = self.inner.allreduce(x, op, compression)
        return Pending(None, lambda: result)


class Silent(Around):
    """A rank that sends no gradients: its steps take as long as what it computes.

    The numbers of samples, in float64, are sent: gradients would be weighted otherwise.
    """

    def allreduce_start(self, x: Any, op: Any = "sum", compression: Any = None) -> Pending:
        if x.dtype == np.float64:
            return self.inner.allreduce_start(x, op, compression)
        return Pending(None, lambda: x)


def workload_of(name: str) -> Workload:
    """How a network of this name is trained."""
    return workload_named("W3" if name in LENETS else name)


def network_and_data(name: str, samples: int = SAMPLES) -> tuple[Workload, Any, Any, Any]:
    """A workload, its network, and random samples of the right shape."""
    workload = workload_of(name)
    rng = np.random.default_rng(0)
    shape = (1, 28, 28) if workload.convolutional else (workload.widths[0],)
    x = rng.standard_normal((samples, *shape), np.float32)
    model = by_xpnet.network(workload, LENETS.get(name, 1))
    return workload, model, x, rng.integers(10, size=samples)


def optimizer_of(name: str, model: xpnet.Layer) -> xpnet.Optimizer:
    """That of a network: Adam for W2."""
    kind = xpnet.Adam if name == "W2" else xpnet.SGD
    return kind(model.parameters())


def scaling(communicator: Communicator, name: str) -> dict[str, float]:
    """Samples per second of the second epoch, and the share of the time that is communication."""
    workload, model, x, t = network_and_data(name)
    timed = Timed(communicator)
    optimizer = optimizer_of(name, model)
    trainer = Trainer(model, F.softmax_cross_entropy, optimizer, communicator=timed)
    trainer.fit((x, t), epochs=1, batch_size=workload.batch)
    timed.seconds = 0.0
    began = time.perf_counter()
    trainer.fit((x, t), epochs=2, batch_size=workload.batch)
    seconds = time.perf_counter() - began
    return {
        "samples_per_s": 2 * SAMPLES / seconds,
        "communication": timed.seconds / seconds,
        "bytes": 4.0 * sum(int(np.prod(p.shape)) for p in model.parameters()),
        "steps_per_s": 2 * SAMPLES / workload.batch / seconds,
    }


def gain(communicator: Communicator, name: str, link: Link | None) -> dict[str, float]:
    """The seconds of a step, in each way of sending gradients, over a link or as they are sent here."""
    other = communicator if link is None else Slow(communicator, link)
    ways = {
        "computed": step_time(Silent(communicator), name),
        "blocking": step_time(Waiting(other), name),
        "overlapping": step_time(other, name),
        "blocking, 16 bits": step_time(Waiting(other), name, "bfloat16"),
        "overlapping, 16 bits": step_time(other, name, "bfloat16"),
    }
    return {way: max(communicator.allgather(seconds)) for way, seconds in ways.items()}


def step_time(communicator: Communicator, name: str, compression: Any = None) -> float:
    """The seconds of a compiled step on a share of a batch."""
    n = workload_of(name).batch // communicator.size
    _, model, x, t = network_and_data(name, n)
    learner = Learner(
        model,
        F.softmax_cross_entropy,
        optimizer_of(name, model),
        communicator=communicator,
        compression=compression,
    )
    seconds = []
    for _ in range(STEPS + 3):  # of which the first ones are recorded
        communicator.barrier()
        began = time.perf_counter()
        learner.step(x, t)
        seconds.append(time.perf_counter() - began)
    return median(seconds[3:])


def on_rank(part: str, names: Sequence[str], link: Link) -> None:
    """What a process that the launcher has started does: rank 0 prints the results."""
    communicator = distributed.communicator()
    if part == "ping":
        found: Any = ping(communicator)
    elif part == "gain":
        found = {}
        for name in names:
            here = gain(communicator, name, None)
            found[name] = {"this machine": here, "slower": gain(communicator, name, link)}
    else:
        found = {name: scaling(communicator, name) for name in names}
    if communicator.is_root:
        print(json.dumps(found))


# ---- what the program that people start does -----------------------------------------------------


def launched(ranks: int, part: str, *arguments: str) -> Any:
    """The results of a part on so many ranks; the arguments are the names of networks, and options.

    Raises
    ------
    RuntimeError
        A rank failed; its messages are shown.
    """
    command = [sys.executable, str(Path(__file__)), "--on-rank", part, *arguments]
    if ranks > 1:
        mpiexec = shutil.which("mpiexec", path=_path())
        if mpiexec is None:
            raise RuntimeError('mpiexec was not found: pip install "xpnet[mpi]"')
        command = [mpiexec, "-n", str(ranks), *command]
    finished = subprocess.run(
        command, env=environment(1), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    if finished.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {finished.returncode}.")
    return json.loads(finished.stdout.strip().rpartition("\n")[2])


def _path() -> str:
    """Where mpiexec is looked for: first beside this Python, where pip puts it."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def ping_table(ranks: int, times: dict[int, float], link: Link) -> str:
    """Measured and modelled times."""
    lines = [
        (
            f"MPI on this machine, {ranks} ranks: latency {1e6 * link.latency:.1f} us, bandwidth "
            f"{link.bandwidth / 1e9:.2f} GB/s"
        ),
        "",
        "| bytes | allreduce | model |",
        "|---:|---:|---:|",
    ]
    for size, seconds in times.items():
        modelled = link.allreduce(ranks, size)
        lines.append(f"| {size:,} | {1e6 * seconds:,.0f} us | {1e6 * modelled:,.0f} us |")
    return "\n".join(lines)


def scaling_table(ranks: int, one: dict[str, Any], several: dict[str, Any], link: Link) -> str:
    """Samples per second on one rank and on several, and the time of communication."""
    lines = [
        f"| network, batch | parameters | samples/s, 1 rank | {ranks} ranks | gain | communication | model |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, alone in one.items():
        together = several[name]
        modelled = link.allreduce(ranks, together["bytes"]) * together["steps_per_s"]
        lines.append(
            f"| {name}, {workload_of(name).batch} | {together['bytes'] / 4:,.0f} | "
            f"{alone['samples_per_s']:,.0f} | {together['samples_per_s']:,.0f} | "
            f"**{together['samples_per_s'] / alone['samples_per_s']:.2f}** | "
            f"{together['communication']:.0%} | {modelled:.0%} |"
        )
    return "\n".join(lines)


def gain_table(ranks: int, link: Link, found: dict[str, Any]) -> str:
    """The time of a step in each way of sending gradients."""
    slower = f"{1e6 * link.latency:g} us, {link.bandwidth / 1e9:g} GB/s"
    titles = {"this machine": "this machine", "slower": slower}
    ways = list(next(iter(found.values()))["slower"])
    lines = [
        f"Milliseconds of a step on {ranks} ranks:",
        "",
        f"| network, batch | link | {' | '.join(ways)} |",
        f"|---|---|{'---:|' * len(ways)}",
    ]
    for name, by_link in found.items():
        for key, seconds in by_link.items():
            cells = " | ".join(f"{1e3 * seconds[way]:.1f}" for way in ways)
            lines.append(f"| {name}, {workload_of(name).batch} | {titles[key]} | {cells} |")
    return "\n".join(lines)


def least_computation(link: Link, ranks: int, size: float, overlap: bool) -> float:
    """The seconds that a step must compute so that communication takes no more than half of its time.

    With overlap, what is sent during the walk back takes no time of its own.
    """
    seconds = link.allreduce(ranks, size)
    return seconds / (1 + BACKWARD) if overlap else seconds


def model_table() -> str:
    """That time for networks of some sizes."""
    lines = [
        "| link | ranks | parameters | 32 bits | overlapping | 16 bits | overlapping |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, link in LINKS.items():
        for ranks in RANKS:
            for parameters in (10**5, 10**7, 10**9):
                cells = [
                    f"{1e3 * least_computation(link, ranks, size * parameters, overlap):.2f} ms"
                    for size in (4, 2)
                    for overlap in (False, True)
                ]
                lines.append(f"| {name} | {ranks:,} | {parameters:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw_model(folder: Path) -> None:
    """Draw the least computation of a step against the parameters, for each link."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "xpnet"  # the same figures are the same file
    folder.mkdir(parents=True, exist_ok=True)
    parameters = np.logspace(4, 10, 61)
    figure, axes = plt.subplots(
        1, len(LINKS), figsize=(10, 4), sharey=True, layout="constrained", squeeze=False
    )
    ways = (
        ("32 bits", 4, False, "-"),
        ("16 bits", 2, False, "--"),
        ("16 bits, overlapping", 2, True, ":"),
    )
    for ax, (name, link) in zip(axes[0], LINKS.items(), strict=True):
        for color, ranks in zip(("C0", "C1", "C2"), RANKS, strict=True):
            for way, size, overlap, style in ways:
                seconds = [least_computation(link, ranks, size * p, overlap) for p in parameters]
                label = f"{ranks:,} ranks, {way}"
                ax.loglog(parameters, 1e3 * np.array(seconds), style, color=color, label=label)
        ax.set(title=name, xlabel="parameters")
    axes[0][0].set(ylabel="computation of a step, ms")
    axes[0][0].legend(fontsize="x-small")
    figure.suptitle("Below a line, communication takes more than half of the time")
    figure.savefig(folder / "distributed-model.svg", metadata={"Date": None})
    plt.close(figure)


def main() -> int:
    """Measure, fit, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all of them"
    )
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--networks", help="for scaling and gain, separated by commas")
    parser.add_argument(
        "--latency", type=float, default=50, help="of a slower link, in microseconds"
    )
    parser.add_argument("--bandwidth", type=float, default=0.125, help="of that link, in GB/s")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--on-rank", metavar="PART", help=argparse.SUPPRESS)
    options = parser.parse_args()
    slower = Link(1e-6 * options.latency, 1e9 * options.bandwidth)
    if options.on_rank:
        on_rank(options.on_rank, options.parts, slower)
        return 0
    parts = options.parts or PARTS
    unknown = set(parts) - set(PARTS)
    if unknown:
        parser.error(f"expected parts of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    results: dict[str, Any] = {}
    if "ping" in parts or "scaling" in parts:
        times = {int(size): t for size, t in launched(options.ranks, "ping").items()}
        link = fitted(options.ranks, times)
        results["ping"] = times
        print(ping_table(options.ranks, times, link) + "\n")
    if "scaling" in parts:
        names = options.networks.split(",") if options.networks else NETWORKS
        one = launched(1, "scaling", *names)
        several = launched(options.ranks, "scaling", *names)
        results["scaling"] = {"1": one, str(options.ranks): several}
        print(scaling_table(options.ranks, one, several, link) + "\n")
    if "gain" in parts:
        names = options.networks.split(",") if options.networks else GAINING
        numbers = ("--latency", str(options.latency), "--bandwidth", str(options.bandwidth))
        results["gain"] = launched(options.ranks, "gain", *names, *numbers)
        print(gain_table(options.ranks, slower, results["gain"]) + "\n")
    if "model" in parts:
        print(model_table())
        if options.pictures:
            draw_model(options.pictures)
    if options.out:
        save(options.out, 1, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
