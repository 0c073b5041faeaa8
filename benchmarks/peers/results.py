"""What a benchmark has measured, as a file: the figures, the machine and the versions."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.peers.race import Figures

PACKAGES = ("numpy", "torch", "jax", "mygrad", "keras")


def machine() -> dict[str, Any]:
    """What the figures depend on: the processor, the system, versions, and what else runs (load)."""
    from xpnet import __version__

    versions = {"xpnet": __version__}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "load": os.getloadavg()[1] if hasattr(os, "getloadavg") else 0.0,
    }


def _processor() -> str:
    """The processor's name; on Linux, `platform` does not know it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(": ")[2]
    return platform.processor()


def save(path: Path, threads: int, results: dict[Any, Any]) -> None:
    """Write results to a file, as JSON.

    Parameters
    ----------
    path : Path
    threads : int
        How many each contender might use; 0 for all cores.
    results : nested dicts
        Their leaves are Figures, or what JSON has.
    """
    record = {"machine": machine(), "threads": threads, "results": _plain(results)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> dict[str, Any]:
    """What `save` has written, with Figures as leaves and sizes as int keys again."""
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    record["results"] = _restored(record["results"])
    return record


def _plain(tree: Any) -> Any:
    """Nested dicts as JSON has them."""
    if isinstance(tree, Figures):
        return tree._asdict()
    if isinstance(tree, dict):
        return {str(key): _plain(x) for key, x in tree.items()}
    return tree


def _restored(tree: Any) -> Any:
    """The opposite of `_plain`."""
    if not isinstance(tree, dict):
        return tree
    if set(tree) == set(Figures._fields):
        return Figures(**tree)
    return {int(key) if key.isdigit() else key: _restored(x) for key, x in tree.items()}


def footnote(record: dict[str, Any]) -> str:
    """The machine and the versions of a record, for a page; and whether it was busy meanwhile."""
    found = record["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    threads = record["threads"] or found["cores"]
    text = (
        f"Measured with {threads} {'thread' if threads == 1 else 'threads'} on {found['processor']} "
        f"({found['cores']} cores), {found['system']}, Python {found['python']}; {versions}."
    )
    if found["load"] > threads + 1:
        text += (
            f" Other programs were running (load average {found['load']:.1f}): these figures are only "
            "indicative."
        )
    return text
