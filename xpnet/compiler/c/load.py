"""Find and load the C library that suits this processor.

It comes from the wheel (`binaries/`), or from the cache, where a C compiler of this machine puts it
(`build.py`). Compiling takes some seconds, once; another process does it, while NumPy computes.

A process decides once whether it computes in C: a training that began on NumPy would round differently
from then on, and could not be repeated to the last bit. So a library that is compiled too late for this
process is for the next one. XPNET_EXECUTOR decides by force: "c" waits for the compiler, and raises if
there is no library; "numpy" loads none.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xpnet.compiler.c import build
from xpnet.errors import ArgumentError, CompileError

__all__ = ["Library", "find", "forced", "status", "variants", "wait"]

BINARIES = Path(__file__).parent / "binaries"
SECONDS_TO_LOAD = 10.0  # milliseconds, unless the machine is busy
SECONDS_TO_COMPILE = 180.0

# What each variant needs, in NumPy's names of what a processor can do.
NEEDS = {
    "x86-64-v4": ({"X86_V4"}, {"AVX512_SKX"}),
    "x86-64-v3": ({"X86_V3"}, {"AVX2", "FMA3", "F16C"}),
    "x86-64-v2": ({"X86_V2"}, {"SSE42", "POPCNT"}),
}


class Library:
    """The C library.

    Attributes
    ----------
    path : Path
    origin : str
        "binary": from the wheel. "compiled": from the cache.
    variant : str
        Such as "x86-64-v4".
    sources : str
        The digest of the sources that it was built from.
    codes : dict from str to int
        The number of each operation, by its name ("product_f32").
    c : ctypes.CDLL
        Its functions: `xpnet_run` and others.
    """

    def __init__(self, path: Path, origin: str, variant: str) -> None:
        self.path = path
        self.origin = origin
        self.variant = variant
        try:
            self.c = ctypes.CDLL(str(path))
            self._declare()
        except (OSError, AttributeError) as error:
            raise CompileError(f"The C library {path} cannot be loaded: {error}") from error
        expected = build.sources_digest()
        self.sources = self.c.xpnet_sources().decode()
        if self.sources != expected:
            raise CompileError(
                f"The C library {path} was built from other sources: expected {expected}, got "
                f"{self.sources}."
            )
        self.codes: dict[str, int] = {}
        while (name := self.c.xpnet_operation(len(self.codes))) is not None:
            self.codes[name.decode()] = len(self.codes)

    def _declare(self) -> None:
        """The types of the functions' parameters and results."""
        pointer = ctypes.c_void_p
        size = ctypes.c_int64
        self.c.xpnet_sources.restype = ctypes.c_char_p
        self.c.xpnet_operation.restype = ctypes.c_char_p
        self.c.xpnet_operation.argtypes = [size]
        self.c.xpnet_run.restype = size
        self.c.xpnet_run.argtypes = [pointer, pointer, pointer, pointer, size, pointer]
        self.c.chain_operation.argtypes = [ctypes.c_char_p]
        for end in ("_f32", "_f64"):
            scratch = getattr(self.c, f"run_product_scratch{end}")
            scratch.restype = size
            scratch.argtypes = [pointer, size, size]
            for name in ("correlate", "correlate_maxima", "spread", "weigh", "cross_entropy"):
                getattr(self.c, f"{name}_scratch{end}").restype = size
        self.c.xpnet_time.restype = ctypes.c_double
        self.c.xpnet_time.argtypes = [pointer, pointer, pointer, pointer, size, size, pointer]

    def __repr__(self) -> str:
        return f"Library({str(self.path)!r}, {self.origin!r}, {self.variant!r})"


def forced() -> str | None:
    """The executor that XPNET_EXECUTOR names: "c", "numpy" or None."""
    given = os.environ.get("XPNET_EXECUTOR", "")
    if given not in ("", "c", "numpy"):
        raise ArgumentError(
            f'The environment variable XPNET_EXECUTOR is "c", "numpy" or empty, but got {given!r}.'
        )
    return given or None


def variants() -> list[str]:
    """The variants that this processor can run, the best one first."""
    _, machine = build.system_and_machine()
    if machine == "aarch64":
        return ["aarch64"]
    if machine != "x86-64":
        return []
    features = _features()
    return [name for name, needs in NEEDS.items() if any(each <= features for each in needs)]


def _features() -> set[str]:
    """What the processor can do, as far as NumPy knows."""
    config: Any = np.show_config(mode="dicts")
    found = config.get("SIMD Extensions", {})
    return {*found.get("baseline", ()), *found.get("found", ())}


class _Search:
    """The search for the library, which is made once per process.

    Attributes
    ----------
    library : Library or None
        As soon as it is there.
    reasons : list of str
        Why it is not.
    decided : bool
        Whether this process has decided what it computes with.
    chosen : Library or None
        What it has decided for; None: NumPy.
    ended : bool
        Whether the thread has found the library, or the reasons.
    looked : threading.Event
        Set as soon as it has ended, or another process compiles the library.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.library: Library | None = None
        self.reasons: list[str] = []
        self.decided = False
        self.chosen: Library | None = None
        self.ended = False
        self.looked = threading.Event()

    def started(self) -> threading.Thread:
        """The thread that searches; the first call starts it."""
        with self.lock:
            if self.thread is None:
                self.thread = threading.Thread(target=self._search, name="xpnet-c", daemon=True)
                self.thread.start()
            return self.thread

    def decide(self) -> Library | None:
        """The library if it was there at the first call, and None if it was not: from now on."""
        with self.lock:
            if not self.decided:
                self.chosen = self.library
                self.decided = True
            return self.chosen

    def after_fork(self) -> None:
        """Begin anew, in the child of a fork, a search that had not ended: its thread is not there."""
        self.lock = threading.Lock()
        if not self.ended:
            self.thread = None
            self.reasons = []
            self.looked = threading.Event()

    def _search(self) -> None:
        """Set `library`, or give the reasons why there is none."""
        try:
            self._find()
        except Exception as error:  # noqa: BLE001 - a thread has nobody to raise it to
            self.reasons.append(f"The C library cannot be looked for: {error!r}")
        self.ended = True
        self.looked.set()

    def _find(self) -> None:
        possible = variants()
        if not possible:
            self.reasons.append(build.no_library())
            return
        system, machine = build.system_and_machine()
        for variant in possible:
            if system not in ("linux", "macos", "windows"):
                break
            path = BINARIES / build.Target(system, machine, variant).file_name
            if path.exists() and self._load(path, "binary", variant):
                return
        try:
            path = build.cached_apart(possible[0], when_started=self.looked.set)
        except CompileError as error:
            self.reasons.append(str(error))
            return
        self._load(path, "compiled", possible[0])

    def _load(self, path: Path, origin: str, variant: str) -> bool:
        try:
            self.library = Library(path, origin, variant)
        except CompileError as error:
            self.reasons.append(str(error))
        return self.library is not None


_search = _Search()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_search.after_fork)


def find(waiting: Callable[[], None] | None = None) -> Library | None:
    """The library that this process computes with; None: there is none, or it was not there in time.

    The first call decides. It starts a thread that searches, and waits as long as it takes to load a
    library from the wheel or the cache, but not for a compiler, unless it is given `waiting`.

    Parameters
    ----------
    waiting : function, optional
        It is called, to tell the user, before the first call waits for the compiler, for at most
        SECONDS_TO_COMPILE.
    """
    if forced() == "numpy":
        return None
    if not _search.decided:
        thread = _search.started()
        _search.looked.wait(timeout=SECONDS_TO_LOAD)
        if waiting is not None and not _search.ended:
            waiting()
            thread.join(timeout=SECONDS_TO_COMPILE)
    return _search.decide()


def wait() -> Library:
    """The library, as soon as it is compiled.

    Raises
    ------
    CompileError
        If there is none; it gives the reasons.
    """
    _search.started().join()
    if _search.library is None:
        raise CompileError(f"There is no C library: {' '.join(_search.reasons)}")
    return _search.library


def status() -> str:
    """One line on the library: which it is, or why this process does without."""
    library = _search.chosen if _search.decided else _search.library
    if library is not None:
        return f"{library.origin} for {library.variant} ({library.path.name})"
    if _search.thread is None:
        return "not looked for yet"
    if _search.thread.is_alive():
        return "being compiled, for processes that start later"
    if _search.library is not None:
        return "compiled after this process had begun with NumPy"
    return f"none, so NumPy computes: {' '.join(_search.reasons)}"
