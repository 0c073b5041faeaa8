"""Checkpoint: the training, kept while it goes."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from xpnet.errors import ArgumentError, StateError
from xpnet.saving.safetensors import sweep
from xpnet.training._claim import Claim, require_new
from xpnet.training.callback import Callback
from xpnet.training.callbacks.monitor import Mode, Monitor
from xpnet.training.checkpoint import steps_of

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class Checkpoint(Callback):
    """Writes the training to a folder, so that whatever ends it, it can go on: `fit(resume=...)`.

        last.safetensors    as it was at the last epoch's end, or since, or at Ctrl-C
        best.safetensors    as it was after the best epoch so far

    Each is whole at any moment, and holds all of the training: see `xpnet.training.checkpoint`.

    Parameters
    ----------
    folder : str or path-like
        It is created if need be; that of a `Run` will do. One training at a time writes to it, and a
        new training does not overwrite what an older one has left there.
    every_steps : int, optional
        Write after so many batches too; where several make a step, after the step.
    every_seconds : float, optional
        Write when so much time has passed since the last one.
    monitor, mode : str
        What the best epoch is the best in: see `Monitor`. Unless given, the loss of the test, or of
        the training where there is no test.
    best : bool
        Whether to keep the best at all.
    """

    LAST, BEST = "last.safetensors", "best.safetensors"
    order: ClassVar[int] = 1  # the others have come to their conclusions, which are saved with it

    def __init__(
        self,
        folder: str | os.PathLike[str],
        every_steps: int | None = None,
        every_seconds: float | None = None,
        monitor: str | None = None,
        mode: Mode = "auto",
        best: bool = True,
    ) -> None:
        for name, value in (("every_steps", every_steps), ("every_seconds", every_seconds)):
            if value is not None and not value > 0:
                raise ArgumentError(f"Expected {name} > 0, got {value}.")
        self.folder, self.best = Path(folder), best
        self.every_steps, self.every_seconds = every_steps, every_seconds
        self.monitor = Monitor(monitor, mode)
        self.claim = Claim(self.folder)

    @property
    def last(self) -> Path:
        """The file to go on from."""
        return self.folder / self.LAST

    def on_start(self, trainer: "Trainer") -> None:
        """Claim the folder; remove what a killed process has left half written.

        Raises
        ------
        StateError
            Another training is writing to the folder, or an older one has written to it that this
            one does not resume.
        """
        self.claim.acquire()
        try:
            self._require_own(trainer)
            sweep(self.folder, self.LAST, self.BEST)
            self._write(trainer)
        except BaseException:
            self.claim.release()
            raise

    def _require_own(self, trainer: "Trainer") -> None:
        """Refuse to overwrite another training, an older one or one that has resumed this one."""
        resumed = trainer.resumed_from
        if resumed is None or not self.last.exists() or not resumed.parent.samefile(self.folder):
            require_new(self.last, self.folder / self.BEST)
        elif resumed.samefile(self.last) and steps_of(self.last) != trainer.steps:
            raise StateError(
                f"{self.last}: another training has resumed it meanwhile, and ended. Resume it again."
            )

    def on_step(self, trainer: "Trainer") -> None:
        if not trainer.whole:
            return
        steps = self.every_steps is not None and trainer.batch - self.batch >= self.every_steps
        if steps or (
            self.every_seconds is not None and time.monotonic() - self.when >= self.every_seconds
        ):
            self._write(trainer)

    def on_epoch(self, trainer: "Trainer") -> None:
        # The best one first: killed between the two, the training comes to this epoch's end again.
        if self.best and self.monitor.best(trainer) == len(trainer.history):
            trainer.save(self.folder / self.BEST)
        self._write(trainer)

    def on_end(self, trainer: "Trainer") -> None:
        """After Ctrl-C; unless that was pressed again, and broke a step off: then the last one holds."""
        if trainer.history.interrupted and trainer.whole:
            self._write(trainer)
        self.claim.release()

    def on_error(self, trainer: "Trainer", error: BaseException) -> None:
        self.claim.release()

    def _write(self, trainer: "Trainer") -> None:
        trainer.save(self.last)
        self.batch, self.when = trainer.batch, time.monotonic()
