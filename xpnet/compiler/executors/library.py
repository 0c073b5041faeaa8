"""Replay on any library: each operation is a call of its function."""

from collections.abc import Sequence
from typing import Any, ClassVar

from xpnet._typing import Array
from xpnet.compiler.executors._base import Executor
from xpnet.compiler.executors.straight_line import straight_line
from xpnet.compiler.record import Program

__all__ = ["LibraryExecutor"]


class LibraryExecutor(Executor):
    """Calls the function of each operation: for libraries that have no executor of their own.

    Nothing is changed in place, since not every library can: the states are new arrays after each run.

    Attributes
    ----------
    source : str
        The Python code that runs.
    """

    name: ClassVar[str] = "library"

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self._step = straight_line(program)
        self._updated = [*program.updates]

    @property
    def source(self) -> str:
        """The Python code that runs."""
        source: str = self._step.source  # type: ignore[attr-defined]
        return source

    def run(self, arguments: Sequence[Array], hosts: Sequence[Any]) -> list[Array]:
        """Run one step: see `Executor.run`."""
        outputs, updates = self._step(arguments, self.states, hosts)
        self._replace(updates)
        return outputs

    def _replace(self, updates: Sequence[Array]) -> None:
        """Store the new values of the states; all of them, once the step has succeeded."""
        for i, x in zip(self._updated, updates, strict=True):
            self.states[i] = x
