"""Which of two ways to compute a product is taken: measured once per machine, and kept.

The two round differently. If each process measured anew, one that is disturbed could decide otherwise,
and a training would not be repeated to the last bit. So what was measured is kept in the cache folder, in
a file for each BLAS, kind of processor and number of threads; the first process to measure decides.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from filelock import FileLock

from xpnet.compiler.c.blas import find_blas
from xpnet.compiler.c.build import private_folder
from xpnet.errors import CompileError

__all__ = ["is_first_chosen"]

MOST = 10_000  # entries of a file: the oldest ones are forgotten
SECONDS = 10.0  # to wait for another process that writes

_lock = threading.Lock()
_known: dict[str, bool] = {}


def is_first_chosen(key: str, measured: Callable[[], bool]) -> bool:
    """Whether the first of two ways is taken.

    Parameters
    ----------
    key : str
        What it depends on: the library, the operation, its sizes.
    measured : function
        It finds out; it is called if nobody has done so on this machine.
    """
    with _lock:
        if key not in _known:
            _known.update(_read(_file()))
        if key not in _known:
            _known.update(_added({key: measured()}))
        return _known[key]


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


def _read(file: Path | None) -> dict[str, bool]:
    """What a file holds; nothing if it is not there, or damaged."""
    if file is None:
        return {}
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    with suppress(OSError):  # of another user, or read-only
        os.utime(file)  # it was used today: see `build._remove_unused`
    if not isinstance(found, dict):
        return {}
    return {key: x for key, x in found.items() if isinstance(x, bool)}


def _added(new: dict[str, bool]) -> dict[str, bool]:
    """What the file holds after `new` was added; what another process has added before stays."""
    file = _file()
    if file is None:
        return new
    try:
        with FileLock(file.with_suffix(".lock"), timeout=SECONDS):
            merged = {**new, **_read(file)}
            kept = dict(list(merged.items())[:MOST])
            temporary = file.with_suffix(".new")
            temporary.write_text(json.dumps(kept), encoding="utf-8")
            temporary.replace(file)
    except OSError:  # a cache that cannot be written to: this process remembers it itself
        return {**new, **_read(file)}
    return merged
