"""The environment of a run: what the last bits of its numbers depend on besides its settings.

With another number of threads, another version of the BLAS, another executor of compiled steps or
another kind of processor, a sum is added up in another order, and so rounded differently.
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
    """The BLAS of the backend's library, with the processor that it has detected, and its threads.

    The entries are "blas", such as "openblas 0.3.27 Haswell", and "threads", their number.
    A library without a BLAS of its own uses NumPy's. The result is empty if nothing is known, as on
    a GPU.
    """
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    for library in (current().library.name, "numpy", ""):  # "" is in every path: any BLAS
        found = [pool for pool in pools if library in pool["filepath"]]
        if found:
            parts = (found[0].get(key) for key in ("internal_api", "version", "architecture"))
            name = " ".join(str(part) for part in parts if part)
            return {"blas": name, "threads": max(pool["num_threads"] for pool in found)}
    return {}


def executor(compiled: bool, possible: bool = True) -> dict[str, Any]:
    """What runs the steps, as "executor": "NumPy", "C (compiled for x86-64-v4)", "jax.jit".

    For C also "executor_threads", how many threads compute an operation, and "products", what computes
    matrix products: see `xpnet.compiler.c.choices.products`.

    Parameters
    ----------
    compiled : bool
        Whether steps are to be compiled. NumPy's executor rounds as steps that are not.
    possible : bool
        Whether they can be, as far as is known. If not, "steps" is CANNOT.
    """
    from xpnet.training._compiled import executor_details

    library = current().library.name
    if not compiled:
        return {"executor": "NumPy" if library == "numpy" else "operation by operation"}
    if not possible:
        return {**executor(False), "steps": CANNOT}
    found: dict[str, Any] = {"executor": executor_details(library)}
    if found["executor"].startswith("C ("):
        from xpnet.compiler.c.blas import usable_threads
        from xpnet.compiler.c.choices import products

        found["executor_threads"] = usable_threads()
        found["products"] = products(found["executor_threads"])
    return found


CANNOT = "cannot be compiled"


def environment(compiled: bool, possible: bool = True) -> dict[str, Any]:
    """Versions, threads, executor and ranks, if there are several, by name.

    The parameters are those of `executor`.
    """
    from xpnet.distributed import current as communicator

    ranks = communicator().size
    several = {"ranks": ranks} if ranks > 1 else {}
    return {**versions(), **threads(), **executor(compiled, possible), **several}


def recorded(config: object) -> dict[str, Any]:
    """The environment in the config.json of a run, without entries that are invalid."""
    if not isinstance(config, dict) or not isinstance(config.get("versions"), dict):
        return {}
    names = ("blas", "threads", "executor", "executor_threads", "products", "steps", "ranks")
    others = {name: config.get(name) for name in names}
    found = {**config["versions"], **others}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, (str, int)) and _is_printable(f"{name}{value}")
    }


def _is_printable(text: str) -> bool:
    """Whether a text from a file can be printed: short, and without control characters."""
    return text.isprintable() and len(text) < 100


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The entries that both have and that differ, each as "numpy 2.0.0 -> 2.1.0"."""
    if before:  # a run on one rank does not say so
        before = {"ranks": 1, **before}
        now = {"ranks": 1, **now}
    names = [name for name in before if name in now and before[name] != now[name]]
    return [f"{name} {before[name]} -> {now[name]}" for name in names]
