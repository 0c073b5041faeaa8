"""Trainer: the loop of every training, once."""

import math
import os
import time
from collections.abc import Callable, Sequence
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.backend import on_current_device, to_numpy
from xpnet.data.loader import DataLoader
from xpnet.errors import ArgumentError, ArgumentTypeError, DataError, TrainingError
from xpnet.layers import Layer
from xpnet.optimizers import ExponentialMovingAverage, Optimizer
from xpnet.random import default_rng
from xpnet.training import checkpoint, evaluation
from xpnet.training.batches import Loader, loader_of, pair
from xpnet.training.callback import Callback, Progress
from xpnet.training.history import History, Row
from xpnet.training.interrupt import Interrupts
from xpnet.training.learner import Learner
from xpnet.training.meter import Meter, Metric, samples

if TYPE_CHECKING:
    from xpnet.training.precision import MixedPrecision

clock = time.perf_counter


class Trainer(Learner):
    """Fits a model to data.

    Parameters
    ----------
    model : Layer
        Born on the current backend, where the data will go too.
    loss : function `(y, t) -> mean over the batch`
        One of `xpnet.functions`, say `softmax_cross_entropy`.
    optimizer : Optimizer
        Of the model's parameters.
    metrics : sequence of metrics
        What else to measure; each gives a column called like it. See `xpnet.metrics`: functions
        `(y, t) -> mean over the batch`, and objects for what is no mean, as `F1()`.
    callbacks : sequence of Callback
        Who looks on.
    rng, seed : int, numpy.random.Generator or None
        Two names of one thing: where the order of the samples comes from. None: the generator of
        `xpnet.manual_seed`. It is drawn on the host, so one seed gives the same batches on every
        backend.
    log_every : float
        Seconds between two log lines: only then, and at an epoch's end, is a number brought from
        the device to the host.
    schedule : function `step -> factor`, optional
        What the learning rate is multiplied by in each step, from 0; see `xpnet.schedules`.
    clip : float or function of the parameters, optional
        The norm that the gradients, all together, are cut to; or what else is done to them, say
        `lambda parameters: clip_grad_value(parameters, 0.5)`.
    accumulate : int
        So many batches make a step: one on the mean over all their samples. The last step of an
        epoch is one on the batches that are left.
    precision : {"float16", "bfloat16"} or MixedPrecision, optional
        The type to compute in, where weights stay float32: see `xpnet.training.precision`.
    average : float or ExponentialMovingAverage, optional
        The decay of a moving average of the weights, say 0.999. `evaluate`, `predict` and the test
        are of the averaged weights.

    Attributes
    ----------
    history : History
        Of the last `fit`.
    epochs : int
        How many the last `fit` was asked for.
    batch, steps : int
        The batches that the running epoch has learned, and the steps of the whole training.
    resumed, tested : bool
        Whether the last `fit` resumed a checkpoint, and whether it had test data.
    resumed_from : Path or None
        The checkpoint that the last `fit` resumed.
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
        *,
        seed: Any = None,
        schedule: Callable[[int], float] | None = None,
        clip: float | Callable[[Any], Any] | None = None,
        accumulate: int = 1,
        precision: "str | MixedPrecision | None" = None,
        average: float | ExponentialMovingAverage | None = None,
    ) -> None:
        super().__init__(
            model, loss, optimizer,
            schedule=schedule, clip=clip, accumulate=accumulate, precision=precision, average=average,
        )  # fmt: skip
        listed = isinstance(callbacks, (list, tuple))
        if not listed or not all(isinstance(c, Callback) for c in callbacks):
            raise ArgumentTypeError(
                f"Expected callbacks in a list, [Callback(), ...], got {callbacks!r}."
            )
        if rng is not None and seed is not None:
            raise ArgumentError("rng and seed are two names of one thing: give one of them.")
        self.metrics, self.callbacks, self.log_every = metrics, callbacks, log_every
        rng = seed if rng is None else rng
        self.rng = rng if rng is None else default_rng(rng)
        self.loader: Loader | None = None
        self._begin(0)

    def _begin(self, epochs: int) -> None:
        self.history, self.epochs, self.meter = History(), epochs, Meter(self.metrics)
        self.begin()
        self.batch, self.seconds = 0, 0.0
        self.resumed = self.tested = self.stopped = False
        self.reason = ""  # why it was stopped
        self.resumed_from: Path | None = None
        self.interrupts = Interrupts()

    # --- the loop ---------------------------------------------------------------------------

    @on_current_device
    def fit(
        self,
        train: Any,
        test: Any = None,
        epochs: int = 10,
        batch_size: int = 100,
        resume: str | os.PathLike[str] | None = None,
    ) -> History:
        """Go through the training data `epochs` times, in a new order each time.

        Parameters
        ----------
        train, test : (x, t), DataLoader, or iterable of batches (x, t)
            Arrays of any library, or nested lists, of shapes (n, ...) and (n, ...). They are sent
            to the device once, for the whole run, and must fit there; floating-point numbers
            are converted to the model's dtype. Of a model of several inputs, x is a tuple of arrays. A loader or iterable has batches of its own, in an
            order of its own. `test`, if given, is measured after each epoch.
        epochs, batch_size : int
            1 or more, `batch_size` not above the number of samples. The last batch of an epoch may
            be smaller.
        resume : path, optional
            A checkpoint to go on from, of a training that was made in the same way. What it had
            done is done: `epochs` counts from its beginning.

        Returns
        -------
        History
            With a row for each finished epoch. Ctrl-C ends `fit` early, after the step that runs,
            and raises nothing: the model keeps what it has learned, and `history.interrupted` is
            True. The callbacks' `on_end` is not interrupted.

        Raises
        ------
        ShapeError, DataError
            There are no data, they do not fit the model or the device, or a label is no class of
            the model's.
        StateError
            The checkpoint is damaged, or another training's. The trainer is as it was.
        TrainingError
            The loss, of the training or of the test, became infinite or NaN. If it is a loader's
            data that made it so, a DataError, with their row.
        """
        if index(epochs) < 1:
            raise ArgumentError(f"Expected epochs >= 1, got {epochs}.")
        with evaluation.at_home(self.model):
            return self._fit(train, test, epochs, batch_size, resume)

    def _fit(self, train: Any, test: Any, epochs: int, batch_size: int, resume: Any) -> History:
        loader = self._loader(train, batch_size, drawn=resume is None)
        test = None if test is None else evaluation.opened(self.model, test)
        self._start(epochs, loader, resume)
        self.tested = test is not None
        self.model.train()
        with self.interrupts as interrupts:
            try:
                try:
                    with interrupts.later():  # who is told of the end has been told of the start
                        self._tell("on_start")
                    while len(self.history) < epochs and not self.stopped:
                        row = self._epoch(loader, test)
                        with interrupts.later():
                            self._turn(row)
                    interrupts.hold()
                except KeyboardInterrupt:
                    interrupts.hold()
                    self.history.interrupted = len(self.history) < epochs and not self.stopped
                self._tell("on_end")
            except BaseException as error:
                self._tell_of(error)
                raise
        return self.history

    def _epoch(self, loader: Loader, test: Any) -> Row:
        """All samples once, then the test: a row of the history."""
        epoch, watching = len(self.history) + 1, self._watching()
        began, logged, line, means = clock() - self.seconds, clock(), -1, None
        for batch in loader.epoch(epoch, self.batch):
            x, t = pair(batch, f"batch {self.batch} of epoch {epoch}")
            with self.interrupts.later():
                self.whole = False
                y, loss = self.step(x, t)
                self.meter.add(loss, y, t)
                self.batch, self.seconds = self.batch + 1, clock() - began
                self.whole = not self.gathered
            if clock() - logged >= self.log_every:
                means, logged, line = self._log(epoch, loader), clock(), self.batch
            for callback in watching:
                callback.on_step(self)
        if not self.batch:
            raise DataError(
                f"Epoch {epoch} has no batches: expected data that can be gone through."
            )
        if self.gathered:  # of several that make a step
            with self.interrupts.later():
                self.update()
        if line != self.batch:
            means = self._log(epoch, loader)
        row: Row = {"epoch": epoch, **_named("train", self.meter.result(means))}
        speed = self.meter.seen / (clock() - began)
        if test is not None:
            with self.averaged():
                figures = evaluation.measured(self.model, self.loss, test, self.metrics)
            self._require_finite("test loss", figures["loss"], f"after epoch {epoch}")
            row |= _named("test", figures)
        return row | {"lr": self.lr, "seconds": clock() - began, "samples_per_s": speed}

    # --- the model ----------------------------------------------------------------------------

    def evaluate(self, data: Any, batch_size: int = evaluation.BATCH) -> dict[str, float]:
        """The mean loss and metrics over `data`, by name: see `xpnet.training.evaluate`."""
        with self.averaged():
            return evaluation.evaluate(self.model, self.loss, data, self.metrics, batch_size)

    def predict(self, x: Array, batch_size: int = evaluation.BATCH) -> Array:
        """The model's output for `x`: see `xpnet.training.predict`."""
        with self.averaged():
            return evaluation.predict(self.model, x, batch_size)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint, for `fit(resume=path)`: see `xpnet.training.checkpoint`."""
        checkpoint.save(self, path)

    def stop(self, reason: str = "") -> None:
        """End the training after the epoch that runs; for callbacks, which may say why."""
        self.stopped = True
        self.reason = self.reason or reason

    # --- within -------------------------------------------------------------------------------

    def _loader(self, data: Any, batch_size: int, drawn: bool) -> Loader:
        """The data of a training as epochs of batches; arrays are checked, and go to the device."""
        if not isinstance(data, tuple):
            return loader_of(data)
        x, t = evaluation.checked(self.model, data)
        n = samples(t)
        if batch_size > n:
            raise DataError(
                f"A batch of {batch_size} is larger than the data, {n} samples. Take a batch_size "
                f"of {n} or less."
            )
        seed = int(default_rng(self.rng).integers(2**63)) if drawn else 0  # or the checkpoint's
        return DataLoader(x, t, batch_size=batch_size, shuffle=True, seed=seed, resident=True)

    def _start(self, epochs: int, loader: Loader, resume: str | os.PathLike[str] | None) -> None:
        """Begin a new history; or go on with that of a checkpoint, if it fits."""
        before = dict(vars(self))
        self._begin(epochs)
        self.loader = loader
        if resume is not None:
            try:
                checkpoint.load(self, resume)
            except BaseException:
                vars(self).update(before)
                raise
            self.resumed = True
            self.resumed_from = Path(resume)

    def _turn(self, row: Row) -> None:
        """An epoch is over: its row, and nothing of the next one yet."""
        self.whole = False
        self.history.append(row)
        self.batch, self.seconds, self.meter = 0, 0.0, Meter(self.metrics)
        self.whole = True
        self._tell("on_epoch")

    def _log(self, epoch: int, loader: Loader) -> dict[str, float]:
        """Tell of the means so far; refuse to go on if the loss is none."""
        means, seen = self.meter.read(), self.meter.seen
        speed = seen / self.seconds
        progress = Progress(epoch, self.epochs, seen, loader.samples or 0, means, speed)
        self._tell("on_log", progress)
        if not math.isfinite(means["loss"]):
            evaluation.blame(self.model, loader, epoch, self.batch)
        when = f"in epoch {epoch}, within its first {seen} samples"
        self._require_finite("loss", means["loss"], when)
        return means

    def _require_finite(self, name: str, loss: float, when: str) -> None:
        if not math.isfinite(loss):
            raise TrainingError(
                f"The {name} became {loss} {when}. {self._first_that_is_not_finite()}Try a smaller "
                f"learning rate than {self.lr:g}, or look for such numbers in the data."
            )

    def _first_that_is_not_finite(self) -> str:
        for name, x in self.model.state_dict().items():
            xp = array_namespace(x)
            if not bool(to_numpy(xp.all(xp.isfinite(x)))):
                return f"By then {name} was not finite: StopOnNaN tells where it began. "
        return ""

    def _told(self) -> list[Callback]:
        return sorted(self.callbacks, key=lambda callback: callback.order)

    def _watching(self) -> list[Callback]:
        """The callbacks that want to be told of each step."""
        return [c for c in self._told() if type(c).on_step is not Callback.on_step]

    def _tell(self, event: str, *args: Any) -> None:
        for callback in self._told():
            getattr(callback, event)(self, *args)

    def _tell_of(self, error: BaseException) -> None:
        """Tell all callbacks, even if one of them fails at that too."""
        for callback in self._told():
            try:
                callback.on_error(self, error)
            except Exception as another:  # noqa: BLE001 - the first error is the one to raise
                error.add_note(f"{type(callback).__name__}.on_error raised {another!r}.")


def _named(prefix: str, figures: dict[str, float]) -> Row:
    return {f"{prefix}_{name}": value for name, value in figures.items()}
