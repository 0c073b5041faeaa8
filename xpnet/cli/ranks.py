"""The ranks of a run that a launcher has started: `mpiexec -n 4 xpnet train`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from xpnet.errors import DataError, DistributedError, MissingPackageError

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
        _leave(rank, error)
        raise


@contextmanager
def not_joined() -> Iterator[None]:
    """A block before `joined`, such as reading the flags: an error that all ranks have is printed once."""
    from xpnet.distributed import communicator, launched

    try:
        yield
    except typer.Exit:
        raise
    except Exception as error:
        found = launched()
        if found is not None and found.size > 1:
            try:
                rank = communicator("mpi")
            except MissingPackageError:  # the error is printed on each rank
                raise error from None
            _leave(rank, error)
        raise


def _leave(rank: "Communicator", error: BaseException) -> None:
    """End the other ranks, unless they have this error too; exit if another rank prints it."""
    message = getattr(error, "message", None) or str(error)  # Click's errors have no other text
    is_printed_here = rank.leave(f"{type(error).__name__}: {message}")
    if isinstance(error, DistributedError) and error.is_told:
        is_printed_here = rank.is_root  # and on the rank that failed
    if not is_printed_here:
        code = 130 if isinstance(error, KeyboardInterrupt) else 2
        raise typer.Exit(code) from error


class CommandOfRanks(TyperCommand):
    """A command that a launcher may start on several ranks."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the flags."""
        with not_joined():
            return super().make_context(*args, **kwargs)


def own_backend(spec: str, communicator: "Communicator") -> str:
    """The backend of a rank: "cupy" is "cupy:1" on the second rank of a machine."""
    from xpnet.backend import using
    from xpnet.distributed import local_spec

    if communicator.size == 1 or local_spec(spec, 0, 1) == spec:
        return spec
    with using(spec) as backend:
        return local_spec(spec, communicator.local_rank, backend.library.device_count())


def require_same_samples(communicator: "Communicator", reading: dict[str, Any]) -> None:
    """Raise a DataError on all ranks unless they have read the same samples: see `Samples.reading`."""
    from xpnet.cli.dataset import describe_changes

    everyone = communicator.allgather({"samples": reading["samples"]})
    for rank, found in enumerate(everyone):
        if found != everyone[0]:
            raise DataError(
                f"Rank {rank} has read other data than rank 0, with {describe_changes(everyone[0], found)}. "
                "All ranks must see the same files."
            )


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
