"""How tests query the emulated CUDA device: whether there is one, and what it has done.

from tests.host_cuda.device import counting, emulated, empty_launches

with counting() as counts:
    optimizer.step()
assert counts.launches == 1 and counts.to_host == 0
"""

import ctypes
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

DEVICE_NAME = "Emulated CUDA device (host)"
NOT_EMULATED = "CUDA is not emulated in this process: see tests/host_cuda/README.md"


@dataclass
class Counts:
    """How often each thing happened in a block ``with counting()``; filled when the block ends.

    The counted fields are in the order of ``enum class Event`` in ``src/host_cuda.h``.
    """

    launches: int = 0  #: kernels, and calls of libraries other than products
    products: int = 0  #: products of matrices by cuBLAS, a batch counts once
    to_device: int = 0  #: copies from the host to a device
    to_host: int = 0  #: copies from a device to the host
    on_device: int = 0  #: copies within a device and between devices
    memsets: int = 0
    synchronizes: int = 0  #: explicit waits of the host for a device, a stream or an event
    allocations: int = 0  #: cudaMalloc, which CuPy's memory pool calls when it has to grow
    frees: int = 0  #: cudaFree
    compilations: int = 0  #: kernels handed to NVRTC for the first time in the process
    records: int = 0  #: events recorded
    waits: int = 0  #: streams made to wait for an event
    graphs: int = 0  #: graphs launched, each with all that was captured in it
    names: list[str] = field(default_factory=list)  #: with ``names=True``: each event, in order

    @property
    def total(self) -> int:
        """The operations that the device was given: launches, products, memsets and graphs."""
        return self.launches + self.products + self.memsets + self.graphs


COUNTED = [item.name for item in fields(Counts) if item.name != "names"]


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The CUDA driver of this process if it is the emulation, else None."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    return driver if hasattr(driver, "host_cuda_counts") else None


def emulated() -> bool:
    """Whether the CUDA in this process is the emulation."""
    return _library() is not None


def _emulation() -> ctypes.CDLL:
    """The emulation's library.

    Raises
    ------
    RuntimeError
        There is no CUDA in this process, or it is not the emulation.
    """
    library = _library()
    if library is None:
        raise RuntimeError(
            "expected the emulated CUDA device in this process, but libcuda.so.1 is missing or a "
            "real driver's: start Python with the environment that tests/host_cuda/build.py prints"
        )
    return library


def _counted(library: ctypes.CDLL) -> list[int]:
    values = (ctypes.c_longlong * len(COUNTED))()
    known = library.host_cuda_counts(values, len(COUNTED))
    if known != len(COUNTED):
        raise RuntimeError(
            f"device.py names {len(COUNTED)} events, but the library counts {known}: build it anew"
        )
    return list(values)


def _logged(library: ctypes.CDLL) -> list[str]:
    size = library.host_cuda_log(None, 0)
    log = ctypes.create_string_buffer(size + 1)
    library.host_cuda_log(log, size)
    return log.value.decode().splitlines()


@contextmanager
def counting(*, names: bool = False) -> Iterator[Counts]:
    """Count what the device does in the block, in all threads of the process.

    Parameters
    ----------
    names : bool
        Also keep the name of each event: ``launch cupy_add__float32_float32_float32``.

    Yields
    ------
    Counts
        All zeros until the block ends.
    """
    library = _emulation()
    counts = Counts()
    if names:
        library.host_cuda_logging(1)
    before = _counted(library)
    try:
        yield counts
    finally:
        for name, new, old in zip(COUNTED, _counted(library), before, strict=True):
            setattr(counts, name, new - old)
        if names:
            counts.names = _logged(library)
            library.host_cuda_logging(0)


@contextmanager
def empty_launches() -> Iterator[None]:
    """Let kernels, products and copies do nothing in the block, to time Python's own cost.

    Arrays that were computed in the block hold no results: do not use them afterwards.
    """
    library = _emulation()
    library.host_cuda_set_empty(1)
    try:
        yield
    finally:
        library.host_cuda_set_empty(0)


@contextmanager
def shuffled(seed: int) -> Iterator[None]:
    """Let work in streams run late and in random order in the block, in all threads of the process.

    Work that no event, no synchronization and no rule of the default stream orders may run in any
    order, so a missing wait gives a wrong result with some seeds. ``HOST_CUDA_SHUFFLE`` does the same
    for a whole process.

    Parameters
    ----------
    seed : int
        Chooses the order. The same seed gives the same order if a single host thread submits work.
    """
    library = _emulation()
    before = library.host_cuda_shuffle(1, ctypes.c_ulonglong(seed))
    try:
        yield
    finally:
        library.host_cuda_shuffle(before, ctypes.c_ulonglong(seed))
