"""A training step in xpnet and its peers, in times of its matrix products.

    python benchmarks/table.py                        the table, for the peers that are installed
    python benchmarks/table.py --check                exit code 1 if xpnet exceeds a limit, and not only
                                                      by the spread of the times
    python benchmarks/table.py --workloads W1,W4 --contenders xpnet-compiled-c,jax-scan
    python benchmarks/table.py --threads 2            says what each contender uses them for; no limits
    python benchmarks/table.py --out FILE             also machine, versions and every time, as JSON

The workloads are described in `peers/workloads.py`. Each contender is a process of its own, pinned to
one core, and all run in turn; the figure is the median of its chunks, divided by that of the products,
`np.matmul(out=)` of arrays at multiples of 64 bytes. `limit` is what the processor takes for as many
multiply-adds in registers, on one core: its own limit. Before anything is measured, all contenders train a
few steps, and their weights must agree.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.peers.contender import MODULES, use_of_threads
from benchmarks.peers.race import Figures, race
from benchmarks.peers.results import save
from benchmarks.peers.workloads import WORKLOADS

C = "xpnet-compiled-c"
NUMPY = "xpnet-compiled-numpy"
TORCH = ("torch", "torch-fused")
JAX = ("jax-jit", "jax-scan")
LIMITS: dict[str, list[tuple[str, tuple[str, ...], float]]] = {
    # (contender, the peers whose best it is compared with, the largest ratio)
    "W1": [(C, ("products",), 0.95), (C, ("jax-scan",), 0.75), (NUMPY, ("products",), 1.45)],
    "W2": [(C, ("products",), 1.02), (C, JAX, 0.9), (NUMPY, ("products",), 1.35)],
    "W3": [(C, ("products",), 0.45), (C, TORCH, 0.3), (NUMPY, ("products",), 1.9)],
    "W4": [(C, ("products",), 1.1), (C, ("jax-scan",), 0.55), (NUMPY, ("products",), 2.1)],
}
Results = dict[str, dict[str, Figures]]


def measured(workloads: list[str], contenders: list[str], chunks: int, threads: int) -> Results:
    """The figures of each contender on each workload."""
    results = {}
    for name in workloads:
        optimizer = WORKLOADS[name].optimizer
        results[name] = race(contenders, name, optimizer, chunks, threads)
        print(f"{name}: measured", file=sys.stderr, flush=True)
    return results


def markdown(results: Results) -> str:
    """The table: a row for each contender, a column for each workload."""
    names = list(results)
    lines = [
        "| times the products | " + " | ".join(names) + " |",
        "|---|" + "---:|" * len(names),
    ]
    for contender in next(iter(results.values())):
        cells = [_cell(results[name], contender) for name in names]
        lines.append(f"| {contender} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(figures: dict[str, Figures], contender: str) -> str:
    """The ratio to the products and its range, and the time of a step."""
    mine = figures[contender]
    if mine.skipped:
        return f"({mine.skipped})"
    unit = figures["products"].median
    low = min(mine.times) / unit
    high = max(mine.times) / unit
    return f"**{mine.median / unit:.2f}** ({low:.2f} to {high:.2f}), {_time(mine.median)}"


def _time(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} us"
    return f"{seconds * 1e3:.2f} ms"


class Verdict(NamedTuple):
    """Whether a limit is kept, and the sentence that says so."""

    missed: bool
    text: str


def verdicts(results: Results) -> list[Verdict]:
    """Each limit: met, exceeded within the spread of the times, or missed."""
    found = []
    for name, figures in results.items():
        for contender, peers, limit in LIMITS.get(name, ()):
            found.append(_verdict(name, figures, contender, peers, limit))
    return found


def _verdict(
    name: str, figures: dict[str, Figures], contender: str, peers: tuple[str, ...], limit: float
) -> Verdict:
    """One limit. If xpnet was not measured, it is missed; if no peer was, it cannot be."""
    mine = figures.get(contender, Figures([], skipped="not asked for"))
    others = {p: figures[p] for p in peers if p in figures and figures[p].times}
    if not mine.times:
        return Verdict(True, f"{name}: {contender} was not measured ({mine.skipped}): MISSED")
    if not others:
        return Verdict(False, f"{name}: {contender} against {' or '.join(peers)}: no such peer")
    peer = min(others, key=lambda p: others[p].median)
    ratio = mine.median / others[peer].median
    # Both at their best: what remains above the limit is not noise.
    best = min(mine.times) / min(others[peer].times)
    missed = min(ratio, best) > limit
    outcome = "met"
    if ratio > limit:
        outcome = "MISSED" if missed else "exceeded within the spread"
    text = f"{name}: {contender} takes {ratio:.2f} times {peer}; the limit is {limit}: {outcome}"
    return Verdict(missed, text)


def main() -> int:
    """Measure, print the table, and check the limits."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    default = [name for name, (_, named) in MODULES.items() if named]
    parser.add_argument("--contenders", default=",".join(default))
    parser.add_argument("--chunks", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    contenders = options.contenders.split(",")
    if "products" not in contenders:
        contenders.insert(0, "products")
    results = measured(options.workloads.split(","), contenders, options.chunks, options.threads)
    print(markdown(results))
    if options.threads > 1:
        print("\n" + "\n".join(f"{name}: {use_of_threads(name)}." for name in contenders))
    found = verdicts(results) if options.threads == 1 else []
    print("\n" + "\n".join(verdict.text for verdict in found))
    if options.out:
        save(options.out, options.threads, results)
    return int(options.check and any(verdict.missed for verdict in found))


if __name__ == "__main__":
    sys.exit(main())
