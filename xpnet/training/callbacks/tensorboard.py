"""TensorBoard: event files, as TensorBoard reads them."""

import math
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.backend import to_numpy
from xpnet.training._claim import require_new
from xpnet.training.callback import Callback, Progress
from xpnet.training.callbacks.statistics import Statistics

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer

BINS = 30  # of a histogram


class TensorBoard(Callback):
    """Writes the figures of a training to a folder: look at them with `tensorboard --logdir`.

        train/loss, test/loss      and each metric, an epoch a point, at the number of the step
        running/loss               the mean of the epoch so far, a log line a point
        lr, samples_per_s
        layers.0.weight/grad_norm  whatever `Statistics` found, if the trainer has such a callback
        weights/layers.0.weight    histograms of each parameter at an epoch's end,
        gradients/layers.0.weight  and of its gradient in the last step

    It needs the package tensorboard, and no TensorFlow: `pip install "xpnet[tensorboard]"`.

    Parameters
    ----------
    folder : str or path-like
        Of this run alone: a new training refuses the folder of an older one. A resumed training
        adds a file, and TensorBoard forgets the points that lie after the checkpoint.
    histograms : bool
        Whether to write these; an epoch's cost a sort of all parameters.

    Raises
    ------
    ModuleNotFoundError
        tensorboard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str], histograms: bool = True) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.folder, self._writer_of = Path(folder), EventFileWriter
        self.writer: Any = None
        self.histograms = histograms
        self.shown = 0  # rows of the Statistics

    def on_start(self, trainer: "Trainer") -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        if not trainer.resumed:
            require_new(*sorted(self.folder.glob("events.out.tfevents.*")))
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
        if self.histograms:
            self._write_histograms(trainer)
        self.writer.flush()

    def _statistics(self, trainer: "Trainer") -> list[Statistics]:
        return [c for c in trainer.callbacks if isinstance(c, Statistics)][:1]

    def _write(self, step: int, figures: dict[str, float]) -> None:
        self._event(step, [{"tag": tag, "simple_value": value} for tag, value in figures.items()])

    def _write_histograms(self, trainer: "Trainer") -> None:
        found = []
        for name, p in trainer.model.named_parameters():
            for part, x in (("weights", p.data), ("gradients", p.raw_grad)):
                if x is not None and (histogram := _histogram(data_of(x))) is not None:
                    found.append({"tag": f"{part}/{name}", "histo": histogram})
        self._event(trainer.steps, found)

    def _event(self, step: int, values: list[dict[str, Any]]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(**value) for value in values])
        self.writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))

    def on_end(self, trainer: "Trainer") -> None:
        self.writer.close()

    def on_error(self, trainer: "Trainer", error: BaseException) -> None:
        if self.writer is not None:  # it is None if the training has failed to start
            self.writer.close()


def _histogram(x: Array) -> Any:
    """How many numbers of x lie in each of 30 parts of their range; None where that is none."""
    from tensorboard.compat.proto.histogram_pb2 import HistogramProto

    if 0 in x.shape:
        return None
    xp = array_namespace(x)
    x = xp.sort(xp.reshape(x, (-1,)))
    low, high, total, squares = (float(v) for v in (x[0], x[-1], xp.sum(x), xp.sum(x * x)))
    if not math.isfinite(squares):
        return None
    ends = [low + (high - low) * (i / BINS) for i in range(1, BINS)] + [high]
    limits = xp.asarray(ends, dtype=x.dtype, device=compat.device(x))
    below = to_numpy(xp.searchsorted(x, limits, side="right")).tolist()
    return HistogramProto(
        min=low, max=high, num=x.shape[0], sum=total, sum_squares=squares,
        bucket_limit=ends, bucket=[b - a for a, b in pairwise([0, *below])],
    )  # fmt: skip
