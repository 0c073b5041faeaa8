"""Arrays of any library as NumPy's arrays on the host, and numbers in 16 bits."""

from collections.abc import Callable

import numpy as np

from xpnet._libraries import library_of
from xpnet._typing import Array
from xpnet.backend import maker_like, to_numpy
from xpnet.distributed.base import (
    Communicator,
    Compression,
    Operation,
    Pending,
    Request,
    require_known,
)
from xpnet.errors import ArgumentTypeError, MissingMethodError

BITS: tuple[Compression, ...] = ("float16", "bfloat16")  # dtypes that MPI does not know


class HostCommunicator(Communicator):
    """A communicator that sends NumPy's arrays: those of other libraries are viewed, or copied."""

    def allreduce_start(
        self, x: Array, op: Operation = "sum", compression: Compression | None = None
    ) -> Pending:
        require_known(op, compression)
        host, returned = staged(x)
        if compression is not None:
            sent = narrowed(host, compression)

            def widen() -> Array:
                host[...] = widened(sent, compression)
                return returned()

            return Pending(self._start(sent, op, compression), widen)
        bits = _bits_of(host)
        sent = host if bits is None else host.view(np.uint16)
        return Pending(self._start(sent, op, bits), returned)

    def broadcast(self, x: Array, root: int = 0) -> Array:
        host, returned = staged(x)
        self._send(host.reshape(-1).view(np.uint8), root).wait()
        return returned()

    def _start(self, host: np.ndarray, op: Operation, bits: Compression | None) -> Request:
        """Start to reduce an array in place; with `bits`, it has the bits of 16-bit numbers."""
        raise MissingMethodError(f"{type(self).__name__} defines no _start.")

    def _send(self, host: np.ndarray, root: int) -> Request:
        """Start to copy the bytes of the root's array to all others."""
        raise MissingMethodError(f"{type(self).__name__} defines no _send.")


def _bits_of(host: np.ndarray) -> Compression | None:
    """Which 16-bit numbers an array has, if any; a dtype takes a while to make its name."""
    if host.dtype.itemsize != 2:
        return None
    return next((bits for bits in BITS if bits == host.dtype.name), None)


def staged(x: Array) -> tuple[np.ndarray, Callable[[], Array]]:
    """A contiguous NumPy array with the numbers of x, and a function that makes the result of it.

    It is the memory of x itself where that is possible, and the result is then x.
    """
    library = library_of(x)
    if library.is_host_memory(x):
        host = to_numpy(x)
        if host.flags.c_contiguous and host.ndim:
            return host, lambda: x
    copy = library.copied_to_host(x)
    made = maker_like(x)
    return copy, lambda: made(copy)


# --- 16 bits --------------------------------------------------------------------------------------


def narrowed(x: np.ndarray, name: Compression) -> np.ndarray:
    """Numbers of 32 or 64 bits as the bits of 16-bit numbers, rounded to the nearest."""
    if x.dtype not in (np.float32, np.float64):
        raise ArgumentTypeError(
            f"Expected float32 or float64 numbers to compress to {name}, got {x.dtype}."
        )
    if name == "float16":
        with np.errstate(over="ignore"):  # the result is infinite, and the training sees it
            return x.astype(np.float16).view(np.uint16)
    # bfloat16 is the upper half of float32. To round, half of the last place is added, less the
    # smallest number where the upper half is even: a tie goes to the even neighbor.
    bits = x.astype(np.float32).view(np.uint32)  # a copy, changed in place below
    half = bits >> 16
    half &= 1
    half += 0x7FFF
    bits += half
    bits >>= 16
    rounded = bits.astype(np.uint16)
    is_nan = np.isnan(x)
    if is_nan.any():  # the addition carries a NaN's last digits into its sign
        rounded[is_nan] = 0x7FC0
    return rounded


def widened(bits: np.ndarray, name: Compression) -> np.ndarray:
    """The float32 numbers whose 16 bits these are."""
    if name == "float16":
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)


def combined(a: np.ndarray, b: np.ndarray, op: Operation, bits: Compression | None) -> np.ndarray:
    """One array of two: their sum, maximum or minimum."""
    function = {"sum": np.add, "max": np.maximum, "min": np.minimum}[op]
    if bits is None:
        result: np.ndarray = function(a, b)
        return result
    return narrowed(function(widened(a, bits), widened(b, bits)), bits)
