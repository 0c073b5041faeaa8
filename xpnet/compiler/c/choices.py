"""Which of two ways to compute a product is taken: measured once per machine, and kept.

The two round differently. If each process measured anew, one that is disturbed could decide otherwise,
and a training would not be repeated to the last bit. So what was measured is kept in the cache folder, in
a file for each BLAS, kind of processor and number of threads; the first process to measure decides. Where
nothing can be kept, nothing is measured: the first way is taken.

What is in a file does not change, it only grows. So a run records the name that a file is given when it
is made: another name means that some products may be computed in the other way.
"""

import hashlib
import json
import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from xpnet.compiler.c.blas import find_blas
from xpnet.compiler.c.build import private_folder
from xpnet.errors import CompileError

__all__ = ["is_first_chosen", "products"]

MOST = 10_000  # entries of a file: the oldest ones are forgotten
SECONDS = 10.0  # to wait for another process that writes
NAME = "name"  # the key of the file's own name, among those of its answers

_lock = threading.Lock()
_known: dict[str, bool] = {}


def is_first_chosen(key: str, measured: Callable[[], bool]) -> bool:
    """Whether the first of two ways is taken.

    Parameters
    ----------
    key : str
        What it depends on: the library, the operation, its sizes.
    measured : function
        It finds out; it is called if nobody has done so on this machine, and the answer can be kept.
    """
    with _lock:
        if key not in _known:
            _known.update(_answers(_read()))
        if key not in _known and _file() is None:
            _known[key] = True
        if key not in _known:
            _known.update(_answers(_added({key: measured()})))
            _known.setdefault(key, True)
        return _known[key]


def products(threads: int) -> str:
    """What computes matrix products on so many threads: "own", "blas" or, by measurements, "measured ...".

    "own" are the C library's products. The measurements are named by the file in which they are kept.
    """
    from xpnet.compiler.c.lower_products import forced_products

    if find_blas() is None:
        return "own"
    forced = forced_products()
    if forced is not None:
        return forced
    if threads > 1:  # those of a BLAS spin after each product
        return "own"
    with _lock:
        found = _read() or _added({})
    return f"measured {found[NAME]}" if found else "own"


@cache
def _file() -> Path | None:
    """Where the answers are kept; None if there is no cache folder that is safe."""
    name = hashlib.sha256(_environment().encode()).hexdigest()[:24]
    try:
        return private_folder() / f"products-{name}.json"
    except (CompileError, OSError):
        return None


def _environment() -> str:
    """NumPy's BLAS, the processor that it has detected, and its threads."""
    from threadpoolctl import threadpool_info

    blas = find_blas()
    if blas is None:
        return ""
    pools = [x for x in threadpool_info() if Path(x["filepath"]).name == blas.path.name]
    names = ("internal_api", "version", "architecture", "num_threads")
    return " ".join([blas.path.name, *(str(x.get(name)) for x in pools for name in names)])


def _read() -> dict[str, Any]:
    """What the file holds, with its name; nothing if it is not there, or damaged."""
    file = _file()
    if file is None:
        return {}
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    with suppress(OSError):  # of another user, or read-only
        os.utime(file)  # it was used today: see `build._remove_unused`
    if not isinstance(found, dict) or not isinstance(found.get(NAME), str):
        return {}
    return found


def _answers(found: dict[str, Any]) -> dict[str, bool]:
    return {key: x for key, x in found.items() if isinstance(x, bool)}


def _added(new: dict[str, bool]) -> dict[str, Any]:
    """What the file holds after `new` was added; what another process has added before stays.

    If it cannot be written to, `new` is not added.
    """
    file = _file()
    if file is None:
        return {}
    try:
        with FileLock(file.with_suffix(".lock"), timeout=SECONDS):
            before = _read()
            merged = {**new, **_answers(before)}
            name = before.get(NAME)
            if name is None or len(merged) > MOST:  # what is forgotten may be measured otherwise
                name = secrets.token_hex(6)
            kept = {NAME: name, **dict(list(merged.items())[:MOST])}
            temporary = file.with_suffix(".new")
            temporary.write_text(json.dumps(kept), encoding="utf-8")
            temporary.replace(file)
    except OSError:
        return _read()
    return {NAME: name, **merged}
