"""The ranks of a run that a launcher has started: `mpiexec -n 4 xpnet train`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from xpnet.errors import DistributedError

if TYPE_CHECKING:
    from xpnet.distributed import Communicator
    from xpnet.training._claim import Claim


@contextmanager
def joined(settings: dict[str, Any]) -> "Iterator[Communicator]":
    """A block in which this process is one of the ranks; an error in it ends the others as well."""
    from xpnet.distributed import SingleProcess, communicator, launched

    found = launched()
    if found is None or found.size == 1:
        yield SingleProcess()
        return
    rank = communicator("mpi", settings["timeout"])
    try:
        yield rank
    except typer.Exit:  # as after Ctrl-C, on all ranks
        raise
    except BaseException as error:
        rank.leave(f"{type(error).__name__}: {error}")
        if isinstance(error, DistributedError) and error.is_told and not rank.is_root:
            raise typer.Exit(2) from error  # the rank that failed, and rank 0, print it
        raise


def own_backend(spec: str, communicator: "Communicator") -> str:
    """The backend of a rank: "cupy" is "cupy:1" on the second rank of a machine."""
    from xpnet.backend import using
    from xpnet.distributed import local_spec

    if communicator.size == 1 or local_spec(spec, 0, 1) == spec:
        return spec
    with using(spec) as backend:
        return local_spec(spec, communicator.local_rank, backend.library.device_count())


@contextmanager
def claimed(communicator: "Communicator", claim: "Callable[[], Claim]") -> Iterator[Path]:
    """A block in which rank 0 has claimed a run folder: the folder, on each rank."""
    from xpnet.distributed import on_root

    found: list[Claim] = []
    on_root(communicator, lambda: found.append(claim()))
    own = str(found[0].folder) if found else None
    try:
        yield Path(communicator.allgather(own)[0])
    finally:
        for each in found:
            each.release()
