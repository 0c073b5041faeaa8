"""Trainer: the loop of every training, once."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from xpnet.backend import Array, current
from xpnet.errors import TrainingError
from xpnet.layers import Layer
from xpnet.namespace import array_namespace
from xpnet.optimizers import Optimizer
from xpnet.random import default_rng
from xpnet.training import evaluation
from xpnet.training.callback import Callback, Progress
from xpnet.training.evaluation import Data
from xpnet.training.history import History, Row
from xpnet.training.interrupt import Interrupts
from xpnet.training.meter import Meter, Metric


class Trainer:
    """Fits a model to data.

    Parameters
    ----------
    model : Layer
        Born on the current backend, where the data will go too.
    loss : function `(y, t) -> mean over the batch`
        One of `xpnet.functions`, say `softmax_cross_entropy`.
    optimizer : Optimizer
        Of the model's parameters.
    metrics : sequence of functions `(y, t) -> mean over the batch`
        What else to measure; each gives a column called like the function. See `xpnet.metrics`.
    callbacks : sequence of Callback
        Who looks on.
    rng : int, numpy.random.Generator or None
        Where the order of the samples comes from; None: the generator of `xpnet.manual_seed`. It
        is drawn on the host, so one seed gives the same batches on every backend.
    log_every : float
        Seconds between two log lines: only then, and at an epoch's end, is a number brought from
        the device to the host.

    Attributes
    ----------
    history : History
        Of the last `fit`.
    epochs : int
        How many the last `fit` was asked for.
    """

    def __init__(
        self,
        model: Layer,
        loss: Callable[[Any, Any], Any],
        optimizer: Optimizer,
        metrics: Sequence[Metric] = (),
        callbacks: Sequence[Callback] = (),
        rng: Any = None,
        log_every: float = 0.25,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.metrics, self.callbacks, self.log_every = metrics, callbacks, log_every
        self.rng = rng if rng is None else default_rng(rng)
        self.history, self.epochs = History(), 0

    def fit(
        self, train: Data, test: Data | None = None, epochs: int = 10, batch_size: int = 100
    ) -> History:
        """Go through the training data `epochs` times, in a new order each time.

        Parameters
        ----------
        train, test : (x, t)
            Arrays of any library, or nested lists, of shapes (n, ...) and (n, ...). They are sent
            to the device once, for the whole run, and must fit there. `test`, if given, is
            measured after each epoch.
        epochs, batch_size : int
            1 or more. The last batch of an epoch may be smaller.

        Returns
        -------
        History
            With a row for each finished epoch. Ctrl-C ends `fit` early and raises nothing: the
            model keeps what it has learned, and `history.interrupted` is True. The callbacks'
            `on_end` is not interrupted.

        Raises
        ------
        ShapeError, DataError
            There are no data, they do not fit the model or the device, or a label is no class of
            the model's.
        TrainingError
            The loss, of the training or of the test, became infinite or NaN.
        """
        if epochs < 1:
            raise ValueError(f"Expected epochs >= 1, got {epochs}.")
        train = evaluation.prepared(self.model, train)
        test = evaluation.prepared(self.model, test) if test else None
        self.history, self.epochs = History(), epochs
        self.model.train()
        with Interrupts() as interrupts:
            try:
                self._tell("on_start")
                for epoch in range(1, epochs + 1):
                    self.history.append(self._epoch(epoch, train, test, batch_size))
                    self._tell("on_epoch")
                interrupts.hold()
            except KeyboardInterrupt:
                interrupts.hold()
                self.history.interrupted = len(self.history) < epochs
            self._tell("on_end")
        return self.history

    def _epoch(self, epoch: int, train: Data, test: Data | None, batch_size: int) -> Row:
        """All samples once, then the test: a row of the history."""
        (x, t), xp, clock = train, array_namespace(train[0]), time.perf_counter
        order = current().asarray(default_rng(self.rng).permutation(x.shape[0]))  # one transfer
        meter, progress = Meter(self.metrics), Progress(epoch, self.epochs, 0, x.shape[0], {}, 0.0)
        begin = logged = clock()
        for part in evaluation.slices(x.shape[0], batch_size):
            batch = order[part]
            xb, tb = xp.take(x, batch, axis=0), xp.take(t, batch, axis=0)
            y, loss = self.step(xb, tb)
            meter.add(loss, y, tb)
            if clock() - logged >= self.log_every or meter.seen == progress.samples:
                figures = meter.read()
                logged, speed = clock(), meter.seen / (clock() - begin)
                progress = progress._replace(seen=meter.seen, figures=figures, samples_per_s=speed)
                when = f"in epoch {epoch}, within its first {meter.seen} samples"
                self._require_finite("loss", figures["loss"], when)
                self._tell("on_log", progress)
        row: Row = {"epoch": epoch, **_named("train", progress.figures)}
        if test is not None:
            figures = evaluation.measured(self.model, self.loss, test, self.metrics)
            self._require_finite("test loss", figures["loss"], f"after epoch {epoch}")
            row |= _named("test", figures)
        return row | {"seconds": clock() - begin, "samples_per_s": progress.samples_per_s}

    def step(self, x: Array, t: Array) -> tuple[Any, Any]:
        """Learn from one batch: forward, backward, update. Nothing comes to the host.

        Returns
        -------
        y, loss : Variables
            The model's output and its loss, before the update.
        """
        y = self.model(x)
        loss = self.loss(y, t)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return y, loss

    def evaluate(self, data: Data, batch_size: int = evaluation.BATCH) -> dict[str, float]:
        """The mean loss and metrics over `data`, by name: see `xpnet.training.evaluate`."""
        return evaluation.evaluate(self.model, self.loss, data, self.metrics, batch_size)

    def predict(self, x: Any, batch_size: int = evaluation.BATCH) -> Array:
        """The model's output for `x`: see `xpnet.training.predict`."""
        return evaluation.predict(self.model, x, batch_size)

    def _require_finite(self, name: str, loss: float, when: str) -> None:
        if not math.isfinite(loss):
            raise TrainingError(
                f"The {name} became {loss} {when}. Try a smaller learning rate than "
                f"{self.optimizer.lr:g}, or look for such numbers in the data."
            )

    def _tell(self, event: str, *args: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self, *args)


def _named(prefix: str, figures: dict[str, float]) -> Row:
    return {f"{prefix}_{name}": value for name, value in figures.items()}
