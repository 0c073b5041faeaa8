"""Ranks with a GPU of NVIDIA each: NCCL carries the arrays from GPU to GPU, and MPI everything else.

NCCL is that of CuPy (`cupy.cuda.nccl`). Its calls are on a stream of their own, beside the one that
computes, and two events keep the two in order. The host waits for neither.
"""

from importlib import import_module
from typing import Any

from xpnet._libraries import library_of
from xpnet._typing import Array
from xpnet.distributed.base import (
    Communicator,
    Compression,
    Json,
    Operation,
    Pending,
    require_known,
)
from xpnet.errors import BackendError


class NCCLCommunicator(Communicator):
    """A rank with a GPU: arrays of CuPy are reduced by NCCL, all others by another communicator.

    Parameters
    ----------
    control : Communicator
        Carries the id by which the ranks find each other, small values, and arrays on the host:
        usually an `MPICommunicator`.

    Raises
    ------
    BackendError
        CuPy has no NCCL here.

    Notes
    -----
    Each rank needs a GPU of its own, which is current when the communicator is created: see
    `local_spec`.

    Examples
    --------
    In each process that `mpiexec -n 2` has started, on a machine with two GPUs:

    >>> communicator = NCCLCommunicator(MPICommunicator())  # doctest: +SKIP
    >>> communicator.allreduce(cupy.ones(2)).tolist()  # doctest: +SKIP
    [2.0, 2.0]

    As if CuPy had no NCCL:

    >>> import sys
    >>> from unittest import mock
    >>> from xpnet.distributed import NCCLCommunicator, SingleProcess
    >>> with mock.patch.dict(sys.modules, {"cupy.cuda.nccl": None}):
    ...     NCCLCommunicator(SingleProcess())
    Traceback (most recent call last):
        ...
    xpnet.errors.BackendError: CuPy has no NCCL here. Install it with CUDA's libraries, ...
    """

    name = "NCCL"

    def __init__(self, control: Communicator) -> None:
        if not is_available():
            raise BackendError(
                "CuPy has no NCCL here. Install it with CUDA's libraries, for example: pip install "
                "nvidia-nccl-cu13; or let MPI carry the arrays: communicator('mpi')."
            )
        self.control = control
        self.rank = control.rank
        self.size = control.size
        self.local_rank = control.local_rank
        self._cupy = import_module("cupy")
        self._nccl = import_module("cupy.cuda.nccl")
        unique = list(self._nccl.get_unique_id()) if self.rank == 0 else None
        unique = control.allgather(unique)[0]
        self._comm = self._nccl.NcclCommunicator(self.size, tuple(unique), self.rank)
        self._stream = self._cupy.cuda.Stream(non_blocking=True)
        names = ("float16", "float32", "float64", "int32", "int64", "uint8")
        self._dtypes = {name: getattr(self._nccl, f"NCCL_{name.upper()}") for name in names}

    def allreduce_start(
        self, x: Array, op: Operation = "sum", compression: Compression | None = None
    ) -> Pending:
        require_known(op, compression)
        if not self._carries(x):
            return self.control.allreduce_start(x, op, compression)
        x = self._cupy.ascontiguousarray(x)
        operation = getattr(self._nccl, f"NCCL_{op.upper()}")
        if compression is None:
            sent = x
            kind = self._dtypes[x.dtype.name]
        elif compression == "float16":
            sent = x.astype(self._cupy.float16)
            kind = self._nccl.NCCL_FLOAT16
        else:
            sent = _to_bfloat16(self._cupy, x)
            kind = self._nccl.NCCL_BFLOAT16
        done = self._reduced(sent, kind, operation)

        def result() -> Array:
            self._cupy.cuda.get_current_stream().wait_event(done)
            if compression == "bfloat16":
                return _from_bfloat16(self._cupy, sent).astype(x.dtype)
            return sent.astype(x.dtype, copy=False)

        return Pending(None, result)

    def broadcast(self, x: Array, root: int = 0) -> Array:
        if not self._carries(x):
            return self.control.broadcast(x, root)
        x = self._cupy.ascontiguousarray(x)
        stream = self._cupy.cuda.get_current_stream().ptr
        kind = self._nccl.NCCL_UINT8
        self._comm.broadcast(x.data.ptr, x.data.ptr, x.nbytes, kind, root, stream)
        return x

    def allgather(self, value: Json) -> list[Json]:
        return self.control.allgather(value)

    def abort(self, reason: str) -> None:
        self.control.abort(reason)

    def leave(self, reason: str) -> bool:
        return self.control.leave(reason)

    def barrier(self) -> None:
        self.control.barrier()

    def close(self) -> None:
        self._comm.destroy()
        self.control.close()

    def _carries(self, x: Array) -> bool:
        """Whether NCCL sends an array: it is CuPy's, of a dtype that NCCL knows."""
        return library_of(x).name == "cupy" and x.dtype.name in self._dtypes

    def _reduced(self, x: Array, dtype: int, operation: int) -> Any:
        """Start to reduce x in place; returns the event that marks the end."""
        ready = self._cupy.cuda.get_current_stream().record()
        self._stream.wait_event(ready)
        pointer = x.data.ptr
        self._comm.allReduce(pointer, pointer, x.size, dtype, operation, self._stream.ptr)
        return self._stream.record()


def is_available() -> bool:
    """Whether CuPy has NCCL, which is a package of its own."""
    try:
        nccl = import_module("cupy.cuda.nccl")
    except ImportError:
        return False
    return bool(getattr(nccl, "available", False))


def _to_bfloat16(cupy: Any, x: Array) -> Array:
    """The bits of numbers in bfloat16, rounded to the nearest: see `xpnet.distributed._host`."""
    bits = x.astype(cupy.float32).view(cupy.uint32)
    upper = bits >> 16
    rounded = (bits + (0x7FFF + (upper & 1))) >> 16
    is_nan = (bits & 0x7FFFFFFF) > 0x7F800000
    return cupy.where(is_nan, upper | 0x40, rounded).astype(cupy.uint16)


def _from_bfloat16(cupy: Any, bits: Array) -> Array:
    return (bits.astype(cupy.uint32) << 16).view(cupy.float32)
