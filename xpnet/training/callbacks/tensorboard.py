"""TensorBoard: event files, as TensorBoard reads them."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet.training.callback import Callback, Progress
from xpnet.training.callbacks.statistics import Statistics

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class TensorBoard(Callback):
    """Writes the figures of a training to a folder: look at them with `tensorboard --logdir`.

        train/loss, test/loss      and each metric, an epoch a point, at the number of the step
        running/loss               the mean of the epoch so far, a log line a point
        lr, samples_per_s
        layers.0.W/grad_norm       whatever `Statistics` found, if the trainer has such a callback

    It needs the package tensorboard, and no TensorFlow: `pip install "xpnet[tensorboard]"`.

    Parameters
    ----------
    folder : str or path-like
        Of this run alone. A training that goes on adds a file, and TensorBoard forgets the points
        that lie after the checkpoint.

    Raises
    ------
    ModuleNotFoundError
        tensorboard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.folder, self._writer_of = Path(folder), EventFileWriter
        self.writer: Any = None
        self.shown = 0  # rows of the Statistics

    def on_start(self, trainer: "Trainer") -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        self.writer = self._writer_of(str(self.folder))
        start = SessionLog(status=SessionLog.START)  # what was there from this step on is forgotten
        step = trainer.steps + 1 if trainer.resumed else 0
        self.writer.add_event(Event(wall_time=time.time(), step=step, session_log=start))
        self.shown = sum(len(s.rows) for s in self._statistics(trainer)) if trainer.resumed else 0

    def on_log(self, trainer: "Trainer", progress: Progress) -> None:
        figures = {f"running/{name}": value for name, value in progress.figures.items()}
        self._write(trainer.steps, figures | {"samples_per_s": progress.samples_per_s})

    def on_epoch(self, trainer: "Trainer") -> None:
        row, figures = trainer.history.rows[-1], {}
        for name, value in row.items():
            part, _, figure = name.partition("_")
            if part in ("train", "test"):
                figures[f"{part}/{figure}"] = value
        self._write(trainer.steps, {**figures, "lr": row["lr"]})
        for statistics in self._statistics(trainer):
            for found in statistics.rows[self.shown :]:
                own = {k: v for k, v in found.items() if k not in ("epoch", "step")}
                self._write(int(found["step"]), own)
            self.shown = len(statistics.rows)
        self.writer.flush()

    def _statistics(self, trainer: "Trainer") -> list[Statistics]:
        return [c for c in trainer.callbacks if isinstance(c, Statistics)][:1]

    def _write(self, step: int, figures: dict[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in figures.items()]
        event = Event(wall_time=time.time(), step=step, summary=Summary(value=values))
        self.writer.add_event(event)

    def on_end(self, trainer: "Trainer") -> None:
        self.writer.close()

    def on_error(self, trainer: "Trainer", error: BaseException) -> None:
        self.writer.close()
