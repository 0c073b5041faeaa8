"""The environment of a run: what its last bits depend on, beside its settings.

A sum that several threads add up is added up in another order, and so rounded in another way, with
another number of threads, another version of the BLAS, or another kind of processor.
"""

import platform
import sys
from collections.abc import Mapping
from typing import Any

from xpnet.backend import current


def versions() -> dict[str, str]:
    """The versions that a run depends on: xpnet, Python, NumPy and the backend's library."""
    from xpnet import __version__

    found = {"xpnet": __version__, "python": platform.python_version()}
    for library in dict.fromkeys(["numpy", current().library.name]):
        found[library] = str(getattr(sys.modules.get(library), "__version__", "unknown"))
    return found


def threads() -> dict[str, Any]:
    """The BLAS of the backend's library, for the processor it has found, and its threads.

    Empty where nothing is known of them, as on a GPU. Where a library brings no BLAS of its own, it
    is the one that NumPy has.
    """
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    for library in (current().library.name, "numpy", ""):
        own = [pool for pool in pools if library in pool["filepath"]]
        if own:
            parts = (own[0].get(key) for key in ("internal_api", "version", "architecture"))
            name = " ".join(str(part) for part in parts if part)
            return {"blas": name, "threads": max(pool["num_threads"] for pool in own)}
    return {}


def environment() -> dict[str, Any]:
    """Versions and threads, by name."""
    return {**versions(), **threads()}


def recorded(config: Any) -> dict[str, Any]:
    """The environment that config.json of a run has; without what is none."""
    if not isinstance(config, dict) or not isinstance(config.get("versions"), dict):
        return {}
    found = {**config["versions"], "blas": config.get("blas"), "threads": config.get("threads")}
    return {
        name: x for name, x in found.items() if isinstance(x, (str, int)) and _plain(f"{name}{x}")
    }


def _plain(text: str) -> bool:
    return text.isprintable() and len(text) < 100


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is another one now, as "numpy 2.0.0 -> 2.1.0"; of what both have."""
    names = [name for name in before if name in now and before[name] != now[name]]
    return [f"{name} {before[name]} -> {now[name]}" for name in names]
