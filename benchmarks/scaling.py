"""The time of a step against depth, width and batch: where each library stops being overhead.

    python benchmarks/scaling.py                        all sizes; pictures with --pictures FOLDER
    python benchmarks/scaling.py --axis batch --contenders xpnet-compiled-c,jax-jit,torch
    python benchmarks/scaling.py --check                exit code 1 if compiled xpnet is above its limit

Networks of dense layers with ReLU, trained by SGD. One of depth, width and batch varies, the others
are those of BASE. The contenders run in turn, as in `table.py`. The limit is on the ratio of compiled
xpnet to the best of the others, over all sizes.
"""

import argparse
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.peers.race import Figures, race
from benchmarks.peers.results import save

AXES = {  # the sizes of each axis, and the network with "{}" in place of them
    "depth": ("{}x64x64", (2, 4, 8, 16, 32, 64)),
    "width": ("3x{}x64", (16, 64, 256, 1024, 4096)),
    "batch": ("3x256x{}", (1, 4, 16, 64, 256, 1024, 4096)),
}
CONTENDERS = (
    "products",
    "numpy",
    "xpnet",
    "xpnet-compiled-c",
    "xpnet-compiled-numpy",
    "torch",
    "jax-jit",
    "mygrad",
)
OURS = "xpnet-compiled-c"
LIMIT = 1.2  # times the best peer
Results = dict[str, dict[int, dict[str, Figures]]]  # by axis and size


def measured(axes: list[str], contenders: list[str], chunks: int, threads: int) -> Results:
    """The figures of each contender for each size."""
    results: Results = {}
    for axis in axes:
        pattern, sizes = AXES[axis]
        results[axis] = {}
        for size in sizes:
            name = pattern.format(size)
            results[axis][size] = race(contenders, name, "sgd", chunks, threads)
            print(f"{name}: measured", file=sys.stderr, flush=True)
    return results


def best_peer(figures: dict[str, Figures]) -> str:
    """The fastest contender that is not xpnet, and not the products alone; "" if there is none."""
    peers = {
        name: f
        for name, f in figures.items()
        if f.times and name != "products" and not name.startswith("xpnet")
    }
    return min(peers, key=lambda name: peers[name].median, default="")


def ratio_to(peer: str, figures: dict[str, Figures]) -> float:
    """Compiled xpnet's time divided by that of a peer; NaN if one of them was not measured."""
    ours = figures.get(OURS)
    if ours is None or not ours.times or not peer:
        return float("nan")
    return ours.median / figures[peer].median


def markdown(results: Results) -> str:
    """A table for each axis: time of a step, memory, and the ratio to the best peer."""
    tables = []
    for axis, by_size in results.items():
        contenders = list(next(iter(by_size.values())))
        lines = [f"| {axis} | " + " | ".join(contenders) + " | best peer | ratio to it |"]
        lines.append("|---:|" + "---:|" * len(contenders) + "---|---:|")
        for size, figures in by_size.items():
            cells = [_cell(figures[name]) for name in contenders]
            peer = best_peer(figures)
            ratio = f"**{ratio_to(peer, figures):.2f}**"
            lines.append(f"| {size} | " + " | ".join([*cells, peer, ratio]) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _cell(figures: Figures) -> str:
    if not figures.times:
        return f"({figures.skipped})"
    return f"{figures.median * 1e6:,.0f} us, {figures.mebibytes:,.0f} MiB"


def worst(results: Results) -> tuple[float, str]:
    """The largest ratio of compiled xpnet to the best peer, and where it is; NaN if not measured."""
    found = []
    for axis, by_size in results.items():
        for size, figures in by_size.items():
            peer = best_peer(figures)
            ratio = ratio_to(peer, figures)
            if not math.isnan(ratio):
                found.append((ratio, f"{axis} {size}, against {peer}"))
    return max(found, default=(float("nan"), "not measured"))


def summary(results: Results) -> str:
    """The worst ratio and the limit, as a sentence."""
    ratio, where = worst(results)
    return (
        f"The worst ratio of compiled xpnet to the best peer is {ratio:.2f} ({where}); "
        f"the limit is {LIMIT}."
    )


def draw(results: Results, folder: Path) -> None:
    """Draw time and memory against each axis, on logarithmic scales."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "xpnet"  # the same figures are the same file
    folder.mkdir(parents=True, exist_ok=True)
    for axis, by_size in results.items():
        figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
        for name in next(iter(by_size.values())):
            sizes = [size for size, figures in by_size.items() if figures[name].times]
            style = {"linewidth": 2.5 if name == OURS else 1.2, "marker": "o", "markersize": 3}
            times = [by_size[size][name].median * 1e6 for size in sizes]
            memory = [by_size[size][name].mebibytes for size in sizes]
            left.plot(sizes, times, label=name, **style)
            right.plot(sizes, memory, label=name, **style)
        left.set(xscale="log", yscale="log", xlabel=axis, ylabel="microseconds per step")
        right.set(xscale="log", xlabel=axis, ylabel="peak memory of the process, MiB")
        left.legend(fontsize="small")
        figure.savefig(folder / f"performance-{axis}.svg", metadata={"Date": None})
        plt.close(figure)


def main() -> int:
    """Measure, print the tables, and check the limit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--axis", choices=AXES, action="append")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--chunks", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, metavar="FILE")
    options = parser.parse_args()
    axes = options.axis or list(AXES)
    contenders = options.contenders.split(",")
    results = measured(axes, contenders, options.chunks, options.threads)
    print(markdown(results))
    print("\n" + summary(results))
    if options.pictures:
        draw(results, options.pictures)
    if options.out:
        save(options.out, options.threads, results)
    return int(options.check and not worst(results)[0] <= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
