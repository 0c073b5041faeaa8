"""TensorBoard: write the figures of a training to event files, which TensorBoard shows."""

import math
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

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
    """Writes the figures of a training to a folder, which `tensorboard --logdir` shows.

        train/loss, test/loss         and each metric: a point per epoch, at the number of the step
        running/loss                  and each mean metric: over the epoch so far, a point per log line
        lr                            the learning rate, a point per epoch
        samples_per_s                 the speed, a point per log line
        layers.0.weight/grad_norm     the figures of `Statistics`, if the trainer has that callback
        weights/layers.0.weight       a histogram of each parameter at an epoch's end
        gradients/layers.0.weight     a histogram of its gradient in the epoch's last step

    It needs the package tensorboard, but not TensorFlow: `pip install "xpnet[tensorboard]"`.

    Parameters
    ----------
    folder : str or path-like
        For this training only: a new training refuses the folder of an older one. A resumed training
        adds a file, and TensorBoard discards the older points after the checkpoint.
    histograms : bool
        Whether to write histograms. Their cost is a sort of all parameters once per epoch.

    Raises
    ------
    ModuleNotFoundError
        tensorboard is not installed.
    StateError
        Raised by `fit`: the folder has the files of an older training.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.training import TensorBoard, Trainer
    >>> data = F.asarray([[1.0]]), F.asarray([[2.0]])
    >>> model = xpnet.Affine(1, 1, weight="zeros")
    >>> optimizer = xpnet.SGD(model.parameters(), lr=0.125)
    >>> with TemporaryDirectory() as folder:
    ...     callbacks = [TensorBoard(folder)]  # tensorboard --logdir folder
    ...     trainer = Trainer(model, F.mean_squared_error, optimizer, callbacks=callbacks)
    ...     history = trainer.fit(data, epochs=2, batch_size=1)
    ...     (file,) = Path(folder).iterdir()
    ...     b"train/loss" in file.read_bytes()
    True
    """

    only_on_root: ClassVar[bool] = True

    def __init__(self, folder: str | os.PathLike[str], histograms: bool = True) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.folder = Path(folder)
        self.histograms = histograms
        self.writer: Any = None
        self.written = 0  # the number of rows of the Statistics that have been written
        self._open_writer = EventFileWriter

    def on_start(self, trainer: "Trainer") -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        if not trainer.resumed:
            require_new(*sorted(self.folder.glob("events.out.tfevents.*")))
        self.writer = self._open_writer(str(self.folder))
        step = 0
        self.written = 0
        if trainer.resumed:
            step = trainer.steps + 1
            self.written = sum(len(s.rows) for s in self._statistics(trainer))
        # The start of a session makes TensorBoard discard older points from this step on.
        start = SessionLog(status=SessionLog.START)
        self.writer.add_event(Event(wall_time=time.time(), step=step, session_log=start))

    def on_log(self, trainer: "Trainer", progress: Progress) -> None:
        figures = {f"running/{name}": value for name, value in progress.figures.items()}
        self._write(trainer.steps, figures | {"samples_per_s": progress.samples_per_s})

    def on_epoch(self, trainer: "Trainer") -> None:
        row = trainer.history.rows[-1]
        figures = {}
        for name, value in row.items():
            part, _, figure = name.partition("_")
            if part in ("train", "test"):
                figures[f"{part}/{figure}"] = value
        self._write(trainer.steps, {**figures, "lr": row["lr"]})
        for statistics in self._statistics(trainer):
            for watched in statistics.rows[self.written :]:
                figures = {k: v for k, v in watched.items() if k not in ("epoch", "step")}
                self._write(int(watched["step"]), figures)
            self.written = len(statistics.rows)
        if self.histograms:
            self._write_histograms(trainer)
        self.writer.flush()

    def _statistics(self, trainer: "Trainer") -> list[Statistics]:
        """The trainer's first `Statistics`, if it has any."""
        return [c for c in trainer.callbacks if isinstance(c, Statistics)][:1]

    def _write(self, step: int, figures: dict[str, float]) -> None:
        """Write a point at `step` for each figure, by its tag."""
        self._event(step, [{"tag": tag, "simple_value": value} for tag, value in figures.items()])

    def _write_histograms(self, trainer: "Trainer") -> None:
        values = []
        for name, p in trainer.model.named_parameters():
            for part, x in (("weights", p.data), ("gradients", p.raw_grad)):
                histogram = None if x is None else _histogram(data_of(x))
                if histogram is not None:
                    values.append({"tag": f"{part}/{name}", "histo": histogram})
        self._event(trainer.steps, values)

    def _event(self, step: int, values: list[dict[str, Any]]) -> None:
        """Write values, each the arguments of TensorBoard's `Summary.Value`."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(**value) for value in values])
        self.writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))

    def on_end(self, trainer: "Trainer") -> None:
        self.writer.close()

    def on_error(self, trainer: "Trainer", error: BaseException) -> None:
        if self.writer is not None:  # it is None if the training failed to start
            self.writer.close()


def _histogram(x: Array) -> Any:
    """TensorBoard's histogram of x, in 30 bins; None if x is empty or not finite."""
    from tensorboard.compat.proto.histogram_pb2 import HistogramProto

    if 0 in x.shape:
        return None
    xp = array_namespace(x)
    x = xp.sort(xp.reshape(x, (-1,)))
    low = float(x[0])
    high = float(x[-1])
    total = float(xp.sum(x))
    squares = float(xp.sum(x * x))
    if not math.isfinite(squares):
        return None
    ends = [low + (high - low) * (i / BINS) for i in range(1, BINS)] + [high]
    limits = xp.asarray(ends, dtype=x.dtype, device=compat.device(x))
    # The number of values up to each limit; the differences are the counts of the bins.
    below = to_numpy(xp.searchsorted(x, limits, side="right")).tolist()
    return HistogramProto(
        min=low,
        max=high,
        num=x.shape[0],
        sum=total,
        sum_squares=squares,
        bucket_limit=ends,
        bucket=[b - a for a, b in pairwise([0, *below])],
    )
