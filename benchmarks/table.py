"""A training step in xpnet and its peers, in times of its matrix products.

    python benchmarks/table.py                        the table, for the peers that are installed
    python benchmarks/table.py --check                exit code 1 if xpnet exceeds a limit
    python benchmarks/table.py --workloads W1,W4 --contenders xpnet-compiled-c,jax-scan
    python benchmarks/table.py --threads 2
    python benchmarks/table.py --out results.json     also machine, versions and every time

The workloads are described in `peers/workloads.py`. Each contender is a process of its own, pinned to
one core, and all run in turn; the figure is the median of its chunks, divided by that of the products,
`np.matmul(out=)` of arrays at multiples of 64 bytes. Before anything is measured, all contenders train a
few steps, and their weights must agree.
"""

import argparse
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.peers.contender import MODULES
from benchmarks.peers.race import Figures, race
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


def missed(results: Results) -> list[str]:
    """The limits that are exceeded by more than the spread of the times."""
    lines = []
    for name, figures in results.items():
        for contender, peers, limit in LIMITS[name]:
            mine = figures.get(contender, Figures([], skipped="not measured"))
            others = [figures[p] for p in peers if p in figures and figures[p].times]
            if not mine.times or not others:
                lines.append(f"{name}: {contender} against {peers}: not measured {mine.skipped}")
                continue
            other = min(others, key=lambda f: f.median)
            ratio = mine.median / other.median
            # Both at their best: what remains above the limit is not noise.
            best = min(mine.times) / min(other.times)
            verdict = "met" if ratio <= limit else "within the spread"
            if min(ratio, best) > limit:
                verdict = "MISSED"
            line = f"{name}: {contender} takes {ratio:.2f} times {' or '.join(peers)}"
            lines.append(f"{line}; the limit is {limit}: {verdict}")
    return lines


def machine() -> dict[str, Any]:
    """What the figures depend on: the processor, the system, and versions."""
    processor = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
        processor = models[0] if models else processor
    versions = {}
    for package in ("xpnet", "numpy", "torch", "jax", "mygrad", "keras"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


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
    lines = missed(results)
    print("\n" + "\n".join(lines))
    if options.out:
        times = {w: {c: f._asdict() for c, f in figures.items()} for w, figures in results.items()}
        record = {"machine": machine(), "threads": options.threads, "times": times}
        options.out.write_text(json.dumps(record, indent=1) + "\n")
    return int(options.check and any("MISSED" in line for line in lines))


if __name__ == "__main__":
    sys.exit(main())
