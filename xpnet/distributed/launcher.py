"""Which launcher has started this process, and the communicator that it calls for."""

import os
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Literal, NamedTuple

from xpnet import backend
from xpnet.distributed.base import Communicator, SingleProcess
from xpnet.errors import ArgumentError

_VARIABLES = (  # of each launcher: its name, and where it leaves size, rank and local rank
    ("Open MPI", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("mpiexec", "PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID"),  # MPICH, Intel MPI, Cray, MVAPICH
    ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID"),
)


class Launched(NamedTuple):
    """What the launcher's environment says of this process.

    Attributes
    ----------
    launcher : str
        "Open MPI", "mpiexec" or "srun".
    rank, size, local_rank : int
        As those of a `Communicator`.

    Examples
    --------
    >>> from xpnet.distributed import launched
    >>> of_slurm = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1"}
    >>> launched(of_slurm)
    Launched(launcher='srun', rank=5, size=8, local_rank=1)
    """

    launcher: str
    rank: int
    size: int
    local_rank: int


def launched(environment: Mapping[str, str] = os.environ) -> Launched | None:
    """What a launcher has left in the environment; None if there is none. Nothing is imported.

    Parameters
    ----------
    environment : mapping of str to str
        The variables of a process; by default this one's.

    Returns
    -------
    Launched or None

    Examples
    --------
    >>> from xpnet.distributed import launched
    >>> launched({"PMI_SIZE": "4", "PMI_RANK": "2", "MPI_LOCALRANKID": "0"})  # of mpiexec
    Launched(launcher='mpiexec', rank=2, size=4, local_rank=0)
    >>> launched({}) is None
    True
    """
    for name, size, rank, local_rank in _VARIABLES:
        if size in environment and rank in environment:
            local = environment.get(local_rank, environment[rank])
            return Launched(name, int(environment[rank]), int(environment[size]), int(local))
    return None


def communicator(
    kind: Literal["auto", "mpi", "nccl"] = "auto", timeout: float | None = 30.0
) -> Communicator:
    """The communicator of this process: a SingleProcess if no launcher has started several.

    Parameters
    ----------
    kind : {"auto", "mpi", "nccl"}
        What carries arrays. "auto": NCCL if the current backend is CuPy and NCCL is there, else MPI.
    timeout : float or None
        The seconds after which a rank that waits for another raises DistributedError; None: never. A
        rank that hangs, or that computes for longer alone, ends the training so.

    Raises
    ------
    MissingPackageError
        Several processes were started, and mpi4py is not installed.

    Notes
    -----
    If an exception ends the program on one rank, the others are ended, too: see `Communicator.leave`.

    Examples
    --------
    In a process that no launcher has started:

    >>> from xpnet import distributed
    >>> distributed.communicator()
    SingleProcess(rank 0 of 1)
    """
    if kind not in ("auto", "mpi", "nccl"):
        raise ArgumentError(f"Expected kind to be 'auto', 'mpi' or 'nccl', got {kind!r}.")
    found = launched()
    if kind == "auto" and (found is None or found.size == 1):
        return SingleProcess()
    from xpnet.distributed.mpi import MPICommunicator

    mpi = MPICommunicator(timeout=timeout)
    _leave_with_errors(mpi)
    if kind == "nccl":
        from xpnet.distributed.nccl import NCCLCommunicator

        return NCCLCommunicator(mpi)
    return mpi if kind == "mpi" else for_backend(mpi)


def for_backend(communicator: Communicator) -> Communicator:
    """NCCL for the same ranks if the current backend is CuPy and NCCL is there; else the given one.

    Parameters
    ----------
    communicator : Communicator

    Returns
    -------
    Communicator

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import distributed
    >>> with xpnet.using("numpy"):
    ...     distributed.run(2, lambda communicator: distributed.for_backend(communicator).name)
    ['threads', 'threads']
    """
    if communicator.size == 1 or backend.current().library.name != "cupy":
        return communicator
    from xpnet.distributed.nccl import NCCLCommunicator, is_available

    return NCCLCommunicator(communicator) if is_available() else communicator


def _leave_with_errors(communicator: Communicator) -> None:
    """Let an exception that nobody handles end the other ranks, after it was printed."""
    print_error = sys.excepthook

    def leave(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        print_error(kind, error, trace)
        communicator.leave(f"{kind.__name__}: {error}")

    sys.excepthook = leave


def local_spec(spec: str, local_rank: int, devices: int) -> str:
    """A backend's spec with the GPU of a rank: "cupy" is "cupy:1" for the second rank of a machine.

    A spec that names a device by its number, or that is not for NVIDIA GPUs, is returned as it is.

    Parameters
    ----------
    spec : str
        See `xpnet.use`.
    local_rank : int
    devices : int
        The number of GPUs of this machine; with more ranks than these, several share one.

    Examples
    --------
    Four ranks on a machine with two GPUs:

    >>> from xpnet.distributed import local_spec
    >>> [local_spec("cupy", local_rank, devices=2) for local_rank in range(4)]
    ['cupy:0', 'cupy:1', 'cupy:0', 'cupy:1']
    >>> local_spec("numpy", 3, devices=2)
    'numpy'
    """
    if spec in ("cupy", "gpu", "cuda", "torch:cuda"):
        return f"{spec}:{local_rank % max(devices, 1)}"
    return spec
