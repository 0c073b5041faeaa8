"""Checkpoint: write the state of the training to files while it runs."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from xpnet.distributed import on_root
from xpnet.errors import ArgumentError, StateError
from xpnet.saving.safetensors import sweep
from xpnet.training._claim import Claim, require_new
from xpnet.training.callback import Callback
from xpnet.training.callbacks.monitor import Mode, Monitor
from xpnet.training.checkpoint import steps_of

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class Checkpoint(Callback):
    """Writes checkpoints to a folder, so that the training can be resumed whatever ends it.

        last.safetensors    the newest state: written after each epoch, at Ctrl-C, and as often as
                            `every_steps` and `every_seconds` ask for
        best.safetensors    the state after the best epoch so far

    Each file is complete at any moment and holds the whole state: see `xpnet.training.checkpoint`.
    `fit(resume=folder / "last.safetensors")` resumes the training.

    Parameters
    ----------
    folder : str or path-like
        It is created if necessary, and may be that of a `Run`. Only one training at a time writes to
        it, and a new training does not overwrite the files of an older one.
    every_steps : int, optional
        Also write each time this number of batches has been learned from; if several batches make a
        step, at its end.
    every_seconds : float, optional
        Also write when this time has passed since last.safetensors was written.
    monitor : str, optional
        The column of the history that decides which epoch is the best; by default the loss of the
        validation, or of the test if there are no validation data, or of the training if there are
        no test data either.
    mode : {"auto", "min", "max"}
        Whether small or large values are good: see `Monitor`.
    best : bool
        Whether to write best.safetensors.

    Raises
    ------
    ArgumentError
        A number of steps or seconds is not above 0.
    StateError
        Raised by `fit`: another training writes, or has written, to the folder.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.training import Checkpoint, Trainer
    >>> data = F.asarray([[1.0]]), F.asarray([[2.0]])
    >>> def trainer(*callbacks):
    ...     model = xpnet.Affine(1, 1, weight="zeros")
    ...     optimizer = xpnet.SGD(model.parameters(), lr=0.125)
    ...     return Trainer(model, F.mean_squared_error, optimizer, callbacks=callbacks)
    >>> with TemporaryDirectory() as folder:
    ...     callback = Checkpoint(folder)
    ...     history = trainer(callback).fit(data, epochs=2, batch_size=1)
    ...     history = trainer().fit(data, epochs=3, batch_size=1, resume=callback.last)
    >>> history["train_loss"]  # two epochs before, and one after it was resumed
    [4.0, 1.0, 0.25]
    """

    LAST = "last.safetensors"
    BEST = "best.safetensors"
    order: ClassVar[int] = 1  # after the callbacks whose decisions are part of the state
    reads_gradients: ClassVar[bool] = False

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
        self.folder = Path(folder)
        self.every_steps = every_steps
        self.every_seconds = every_seconds
        self.monitor = Monitor(monitor, mode)
        self.best = best
        self.claim = Claim(self.folder)
        self.batch = 0  # the trainer's `batch` when last.safetensors was written
        self.when = 0.0  # and the time, by time.monotonic

    @property
    def last(self) -> Path:
        """The file to resume from."""
        return self.folder / self.LAST

    def on_start(self, trainer: "Trainer") -> None:
        """Claim the folder, and remove half-written files that a killed process has left there.

        Raises
        ------
        StateError
            Another training is writing to the folder, or has written to it and is not the one that
            is resumed.
        """
        try:
            on_root(trainer.communicator, lambda: self._claim(trainer))
            self._write(trainer)
        except BaseException:
            self.claim.release()
            raise

    def _claim(self, trainer: "Trainer") -> None:
        self.claim.acquire()
        self._require_own(trainer)
        sweep(self.folder, self.LAST, self.BEST)

    def _require_own(self, trainer: "Trainer") -> None:
        """Refuse to overwrite an older training, or one that has resumed the same checkpoint."""
        resumed = trainer.resumed_from
        if resumed is None or not self.last.exists() or not resumed.parent.samefile(self.folder):
            require_new(self.last, self.folder / self.BEST)
        elif resumed.samefile(self.last) and steps_of(self.last) != trainer.steps:
            raise StateError(
                f"{self.last}: another training has resumed it meanwhile, and has written a newer "
                "state to it. Resume it again."
            )

    def on_step(self, trainer: "Trainer") -> None:
        if trainer.between_steps and self._is_due(trainer):
            self._write(trainer)

    def _is_due(self, trainer: "Trainer") -> bool:
        """Whether enough batches or seconds have passed since last.safetensors was written."""
        if self.every_steps is not None and trainer.batch - self.batch >= self.every_steps:
            return True
        if self.every_seconds is None:
            return False
        is_time = time.monotonic() - self.when >= self.every_seconds
        return bool(
            trainer.communicator.allgather(is_time)[0]
        )  # all ranks go by the clock of rank 0

    def on_epoch(self, trainer: "Trainer") -> None:
        # The best one first: if the process is killed between the two, the training is resumed
        # before the end of this epoch, and comes here again.
        if self.best and self.monitor.best(trainer) == len(trainer.history):
            trainer.save(self.folder / self.BEST)
        self._write(trainer)

    def on_end(self, trainer: "Trainer") -> None:
        """Write after Ctrl-C too, unless a second Ctrl-C has interrupted a step."""
        if trainer.history.interrupted and trainer.between_steps:
            self._write(trainer)
        self.claim.release()

    def on_error(self, trainer: "Trainer", error: BaseException) -> None:
        self.claim.release()

    def _write(self, trainer: "Trainer") -> None:
        trainer.save(self.last)
        self.batch = trainer.batch
        self.when = time.monotonic()
