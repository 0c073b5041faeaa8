"""Trainer: the training loop."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from xpnet._printable import counted
from xpnet._saved import finite, mapping, whole
from xpnet._typing import Array, PathLike
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Variable
from xpnet.backend import array_like, on_current_device, to_numpy
from xpnet.compiler import Compiled
from xpnet.data.loader import DataLoader
from xpnet.distributed import (
    Communicator,
    broadcast_tree,
    on_root,
    require_equal,
    together,
    using,
)
from xpnet.distributed.base import Compression
from xpnet.errors import ArgumentError, ArgumentTypeError, DataError, StateError, TrainingError
from xpnet.layers import Layer
from xpnet.optimizers import ExponentialMovingAverage, Optimizer
from xpnet.random import default_rng
from xpnet.training import checkpoint, evaluation
from xpnet.training._checks import check_batches, checked
from xpnet.training._compiled import CompiledMeasure, is_observed, is_watched
from xpnet.training._own import has_own, methods_of
from xpnet.training._resident import Resident, has_rows
from xpnet.training._snapshot import Snapshot
from xpnet.training._streams import Streams
from xpnet.training.batches import (
    Arrays,
    Data,
    Loader,
    load_loader_state,
    loader_of,
    loader_state,
    pair,
    require_same_data,
    samples,
    shared,
    shared_loader,
)
from xpnet.training.callback import Callback, Progress, reads_gradients
from xpnet.training.history import History, Row
from xpnet.training.interrupt import Interrupts
from xpnet.training.learner import Clip, Learner, Loss
from xpnet.training.meter import Meter, Metric, require_mergeable

if TYPE_CHECKING:
    from xpnet.random import Generator
    from xpnet.training.precision import MixedPrecision


Measured = dict[str, Data | Loader]  # "validation" and "test", if they are given
stopwatch = time.perf_counter

LONGEST_CALL = 0.05
"""Seconds for which several steps may take one call: Ctrl-C and log lines wait for its end."""


class Trainer:
    """Fits a model to data.

    Parameters
    ----------
    model : Layer
        Created on the current backend, to whose device the data are sent too.
    loss : function `(y, t) -> mean over the batch`
        One of `xpnet.functions`, for example `softmax_cross_entropy`.
    optimizer : Optimizer
        It has the model's parameters.
    metrics : sequence of metrics
        What else to measure; each is a column of the history with the metric's name. See
        `xpnet.metrics`: functions `(y, t) -> mean over the batch`, and objects, such as `F1()`, for
        figures that are not means over samples.
    callbacks : sequence of Callback
        Objects that are notified of each epoch and may end the training.
    rng : int, numpy.random.Generator or None
        Draws the order of the samples; by default the generator of `xpnet.manual_seed`. It draws on
        the host, so that one seed means the same batches on every backend.
    log_every : float
        Seconds between two log lines. Numbers are transferred from the device to the host only for
        these lines and at the end of an epoch, because each transfer makes the host wait.
    schedule : function `step -> factor`, optional
        Multiplies the learning rate in each step, counted from 0; see `xpnet.schedules`.
    clip : float or function of the parameters, optional
        The largest norm of all gradients together; or a function that changes them, for example
        `lambda parameters: clip_grad_value(parameters, 0.5)`.
    accumulate : int
        The number of batches that make a step. Its gradient is that of the mean loss over all their
        samples. If fewer batches are left at the end of an epoch, they make a step too. A parameter that
        is frozen (`requires_grad = False`) after some of them is not moved by that step.
    precision : {"float16", "bfloat16"} or MixedPrecision, optional
        The dtype to compute in, while the weights stay float32: see `xpnet.training.precision`.
    average : float or ExponentialMovingAverage, optional
        The decay of a moving average of the weights, for example 0.999. `evaluate`, `predict` and the
        test after each epoch use the averaged weights.
    compile : bool, optional
        Whether to record the training step in its first calls and to replay it without Python from
        then on: see `xpnet.compile`. By default it is compiled where that is possible; if it is not,
        `learner.reason` says why. True: raise CompileError if it is not possible. During `fit`,
        gradients are not kept after a compiled step if no callback reads them and `step` is not
        overridden. Where C has all operations of a step, and nothing is to happen between two steps
        (`on_step`, a schedule), as many are made in one call as take 0.05 s.
    communicator : Communicator, optional
        This rank among others that train the same model together: see `xpnet.distributed`. All ranks
        create the same trainer, and call `fit`, `save` and `state_dict` at the same time, with the
        same data. Each learns from its share of each batch, so `batch_size` and all figures are those
        of the whole. By default there is one rank.
    compression : {"float16", "bfloat16"}, optional
        The 16 bits in which gradients are sent to other ranks. By default they are sent as they are.

    Attributes
    ----------
    learner : Learner
        The model and how it learns from a batch; it has `schedule`, `clip`, `precision`, `average`.
    history : History
        The figures of the last `fit`.
    epochs : int
        The number of epochs that the last `fit` was asked for.
    batch : int
        The number of batches of the current epoch that have been learned from.
    resumed, validated, tested : bool
        Whether the last `fit` resumed a checkpoint, had validation data, and had test data.
    resumed_from : Path or None
        The checkpoint that the last `fit` resumed.
    stopped : bool
        Whether `stop` was called.
    reason : str
        The reason that `stop` was given; empty if there is none.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.metrics import accuracy
    >>> from xpnet.training import Trainer
    >>> x = F.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> t = F.asarray([0, 1, 1, 0])
    >>> model = xpnet.MLP(2, 32, 2, rng=0)
    >>> optimizer = xpnet.Adam(model.parameters(), lr=0.05)
    >>> trainer = Trainer(model, F.softmax_cross_entropy, optimizer, [accuracy], rng=0)
    >>> history = trainer.fit((x, t), epochs=30, batch_size=4)
    >>> float(history["train_accuracy"][-1])
    1.0
    """

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer,
        metrics: Sequence[Metric] = (),
        callbacks: Sequence[Callback] = (),
        rng: "int | Generator | None" = None,
        log_every: float = 0.25,
        *,
        schedule: Callable[[int], float] | None = None,
        clip: Clip | None = None,
        accumulate: int = 1,
        precision: "str | MixedPrecision | None" = None,
        average: float | ExponentialMovingAverage | None = None,
        compile: bool | None = None,
        communicator: Communicator | None = None,
        compression: Compression | None = None,
    ) -> None:
        self.learner = Learner(
            model,
            loss,
            optimizer,
            schedule=schedule,
            clip=clip,
            accumulate=accumulate,
            precision=precision,
            average=average,
            compile=compile,
            communicator=communicator,
            compression=compression,
        )
        is_list = isinstance(callbacks, (list, tuple))
        if not is_list or not all(isinstance(c, Callback) for c in callbacks):
            raise ArgumentTypeError(
                f"Expected callbacks in a list, [Callback(), ...], got {callbacks!r}."
            )
        self.metrics = metrics
        self.callbacks = callbacks
        self.log_every = log_every
        self.rng = None if rng is None else default_rng(rng)
        self.loader: Loader | None = None
        self._reset(0)

    def _reset(self, epochs: int) -> None:
        self.meter = self._new_meter()  # first, since it raises an error for invalid metrics
        self.learner.reset()
        self.epochs = epochs
        self.history = History()
        self.batch = 0
        self.seconds = 0.0  # of the current epoch
        self.resumed = False
        self.resumed_from: Path | None = None
        self.validated = False
        self.tested = False
        self.stopped = False
        self.reason = ""
        self.interrupts = Interrupts()
        self._changing = False  # True while a batch or a row is counted in some attributes only
        self._resident: Resident | None = None  # the compiled steps of this `fit`
        self._measured: CompiledMeasure | None = None  # and its evaluations

    def __repr__(self) -> str:
        return f"Trainer({type(self.model).__name__}, {self.optimizer!r}, {self.history!r})"

    # --- the learner's ------------------------------------------------------------------------

    @property
    def model(self) -> Layer:
        """The model that is trained."""
        return self.learner.model

    @property
    def loss(self) -> Loss:
        """The loss function."""
        return self.learner.loss

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer of the model's parameters."""
        return self.learner.optimizer

    @property
    def communicator(self) -> Communicator:
        """The rank that this trainer is, among those that train together."""
        return self.learner.communicator

    @property
    def steps(self) -> int:
        """The number of updates of the whole training."""
        return self.learner.steps

    @property
    def lr(self) -> float:
        """The learning rate of the last step: see `Learner`."""
        return self.learner.lr

    @property
    def compiled(self) -> list[Compiled]:
        """The compiled functions that steps consist of; print them to see their plans."""
        if self._resident is not None and self._resident.compiled.replays:
            return [self._resident.compiled]
        return self.learner.compiled

    @property
    def between_steps(self) -> bool:
        """Whether the state can be saved: no step is half done, and no batch waits for others."""
        return not (self._changing or self.learner.updating or self.learner.gathered)

    def step(self, x: Arrays, t: Arrays) -> tuple[Any, Variable]:
        """Learn from one batch: see `Learner.step`. A subclass may override this."""
        return self.learner.step(x, t)

    def averaged(self) -> AbstractContextManager[None]:
        """A block in which the model has the averaged weights, if there is an average."""
        return self.learner.averaged()

    # --- the loop ---------------------------------------------------------------------------

    @on_current_device
    def fit(
        self,
        train: Any,
        test: Any = None,
        epochs: int = 10,
        batch_size: int = 100,
        resume: PathLike | None = None,
        validation: Any = None,
    ) -> History:
        """Learn from the training data `epochs` times, in a new order each time.

        Parameters
        ----------
        train, test, validation : (x, t), DataLoader, or iterable of batches (x, t)
            Arrays of any library, or nested lists, each of shape (n, ...): n samples. They are sent
            to the device once, for the whole training, and must fit there; floating-point numbers
            are converted to the model's dtype. For a model of several inputs, x is a tuple of
            arrays. A loader or iterable has its own batches in its own order. If `test` or
            `validation` is given, loss and metrics are measured on it after each epoch. Callbacks
            that decide by these figures, such as `EarlyStopping`, follow those of `validation`, so
            that the test is of data by which nothing was decided; without it, they follow the test.
        epochs, batch_size : int
            1 or more; `batch_size` is at most the number of samples. The last batch of an epoch may
            be smaller.
        resume : path, optional
            A checkpoint of the same training, from which to resume: with the same kind of model,
            optimizer and data. `epochs` counts from the beginning of that training.

        Returns
        -------
        History
            With a row for each finished epoch. Ctrl-C ends `fit` early, after the current step, and
            raises nothing: the model keeps what it has learned, and `history.interrupted` is True.
            While the callbacks' `on_end` runs, Ctrl-C has no effect.

        Raises
        ------
        ValueError
            `epochs` or `batch_size` is below 1.
        ShapeError, DataError
            The data are empty, fewer than `batch_size`, do not fit the model or the device, or have a
            label outside the model's classes; or ranks have different data.
        StateError
            The checkpoint is damaged, or another training's. The trainer is unchanged then.
        TrainingError
            The training, validation or test loss became NaN or infinite. If the cause is in a loader's data, a
            DataError that names their row is raised instead.
        CompileError
            The step cannot be compiled, and the trainer was created with `compile=True`.
        """
        if index(epochs) < 1:
            raise ArgumentError(f"Expected epochs >= 1, got {epochs}.")
        with evaluation.in_dtype_of(self.model), using(self.communicator):
            communicator = self.communicator
            loader = self._loader(train, batch_size, resumed=resume is not None)
            measured: Measured = {}
            for part, data in (("validation", validation), ("test", test)):
                if data is not None:
                    measured[part] = evaluation.prepared(self.model, data)
            if self.learner.is_distributed:
                communicator.barrier()  # a rank that has failed in another `fit` takes no message of it
                for part, found in {"train": loader, **measured}.items():
                    require_same_data(communicator, part, found)
                measured = {part: shared(found, communicator) for part, found in measured.items()}
                loader = shared_loader(loader, communicator)
            self._start(epochs, loader, resume)
            self.validated = validation is not None
            self.tested = test is not None
            return self._run(loader, measured)

    def _run(self, loader: Loader, measured: Measured) -> History:
        """Run the remaining epochs. The inner `try` handles Ctrl-C, and the outer one errors."""
        self.model.train()
        with self._gradients_as_needed(), self.interrupts as interrupts:
            if self.learner.is_distributed:
                interrupts.hold()
            try:
                try:
                    # Deferred, because after Ctrl-C every callback is notified of the end: none of
                    # them may have missed the start.
                    with interrupts.deferred():
                        self._notify("on_start")
                    while not self._is_over():
                        row = self._epoch(loader, measured)
                        with interrupts.deferred():
                            self._finish_epoch(row)
                    interrupts.ignore()
                except KeyboardInterrupt:
                    interrupts.ignore()
                    self.history.interrupted = not self._is_over()
                self._notify("on_end")
            except BaseException as error:
                self._notify_of_error(error)
                raise
        return self.history

    @contextmanager
    def _gradients_as_needed(self) -> Iterator[None]:
        """A block in which compiled steps keep gradients only if somebody may read them."""
        before = self.learner.keeps_gradients
        is_read = not self._has_own_step() or any(map(reads_gradients, self.callbacks))
        self.learner.keeps_gradients = is_read
        try:
            yield
        finally:
            self.learner.keeps_gradients = before

    def _is_over(self) -> bool:
        if self.learner.is_distributed:
            self._agree_on_end()
        return len(self.history) >= self.epochs or self.stopped

    def _agree_on_end(self) -> None:
        """Stop, or raise KeyboardInterrupt, on all ranks if one of them has reason to."""
        interrupts = self.interrupts
        is_pressed = interrupts.pending and not interrupts.ignoring
        told = self.communicator.allgather([self.stopped, self.reason, is_pressed])
        for stopped, reason, _ in told:
            if stopped:
                self.stop(reason)
        if any(pressed for *_, pressed in told):
            raise KeyboardInterrupt

    def _epoch(self, loader: Loader, measured: Measured) -> Row:
        """Learn from all samples once, then measure other data; returns a row of the history."""
        epoch = len(self.history) + 1
        learner = self.learner
        is_distributed = learner.is_distributed
        observers = [c for c in self._called() if type(c).on_step is not Callback.on_step]
        # In a resumed epoch `seconds` is not 0: the epoch counts as begun that much earlier.
        began = stopwatch() - self.seconds
        logged_at = stopwatch()
        logged_batch = -1  # the value of `self.batch` at the last log line
        means = None  # the figures of that line
        together = 0.0 if observers else min(self.log_every, LONGEST_CALL)
        for batch, learn, count in self._batches(loader, epoch, together):
            with self.interrupts.deferred():
                self._changing = True
                if is_distributed:
                    is_time = stopwatch() - logged_at >= self.log_every
                    learner.signals = (is_time, self.interrupts.pending)
                learn(batch)
                self.batch += count
                self.seconds = stopwatch() - began
                self._changing = False
            is_due = stopwatch() - logged_at >= self.log_every
            if is_distributed:
                is_due = self._is_agreed_to_log()
            if is_due:
                means = self._log(epoch, loader)
                logged_at = stopwatch()
                logged_batch = self.batch
            for callback in observers:
                callback.on_step(self)
        if not self.batch:
            raise DataError(f"Expected batches to learn from, got none in epoch {epoch}.")
        if learner.gathered:
            with self.interrupts.deferred():
                learner.update()
        if logged_batch != self.batch:
            means = self._log(epoch, loader)
        return self._row(epoch, means, began, measured)

    def _row(
        self, epoch: int, means: dict[str, float] | None, began: float, measured: Measured
    ) -> Row:
        """The row of the history for an epoch whose batches have been learned from."""
        meter = self.meter.of_all_ranks(self.communicator)
        row: Row = {"epoch": epoch, **_prefixed("train", meter.result(means))}
        samples_per_s = meter.seen / (stopwatch() - began)
        if self.learner.is_distributed:
            self._agree(f"after epoch {epoch}")
        for part, data in measured.items():
            row |= _prefixed(part, self._measure(part, data, epoch))
        row["lr"] = self.lr
        row["seconds"] = stopwatch() - began
        row["samples_per_s"] = samples_per_s
        rows: list[Row] = self.communicator.allgather(row)  # times differ: those of rank 0 count
        return rows[0]

    def _is_agreed_to_log(self) -> bool:
        """After a step of several ranks: whether it was time for a log line on one of them.

        Raises
        ------
        KeyboardInterrupt
            Ctrl-C was pressed on one of them.
        """
        signaled = self.learner.signaled
        if signaled[1:] == (True,):
            raise KeyboardInterrupt
        return signaled[:1] == (True,)

    def _batches(
        self, loader: Loader, epoch: int, together: float
    ) -> Iterator[tuple[Any, Callable[[Any], None], int]]:
        """The remaining batches of an epoch, each with the function that learns from it, and 1.

        Or the rows of several batches and their number, if they can be learned from in one call that takes
        about `together` seconds.
        """
        if not self._can_take_rows(loader):
            for batch in loader.epoch(epoch, self.batch):
                yield pair(batch, f"batch {self.batch} of epoch {epoch}"), self._learn, 1
            return
        has_shares = self.learner.is_distributed
        remaining = deque(loader.rows_on_device(epoch, self.batch))
        while remaining:
            rows = [remaining.popleft()]
            resident = self._resident
            is_empty = has_shares and not rows[0].shape[0]
            if is_empty or resident is None or not resident.suits(self.learner, self.meter):
                yield loader.take(rows[0]), self._learn, 1
                continue
            most = resident.steps_within(together, self.learner)
            while remaining and len(rows) < most and remaining[0].shape == rows[0].shape:
                rows.append(remaining.popleft())
            yield rows, self._learn_rows, len(rows)

    def _can_take_rows(self, loader: Loader) -> TypeGuard[DataLoader]:
        """Whether a step may take the rows of its batch by itself, in its record."""
        learner = self.learner
        is_own = self._has_own_step() and learner.has_own_update
        if not learner.may_compile or not is_own or not has_rows(loader):
            return False
        if self._resident is None or not self._resident.is_of(learner, self.meter):
            self._resident = Resident(learner, loader, self.meter)
        return True

    def _has_own_step(self) -> bool:
        """Whether neither a subclass nor a wrapper changes what a step does, or looks at it."""
        return has_own(self, _STEP) and has_own(self.learner, _LEARNERS_STEP)

    def _learn(self, batch: Data) -> None:
        """Learn from a batch, and count it."""
        x, t = batch
        if self.learner.is_distributed and not samples(t):
            self.learner.step_without_samples(x, t)
            return
        y, loss = self.step(x, t)
        self.meter.add(loss, y, t)

    def _learn_rows(self, batches: Sequence[Array]) -> None:
        """Learn from the samples in the rows of each batch, and count them."""
        if self._resident is not None:
            self._resident.learn(self.learner, batches, self.meter)

    def _measure(self, part: str, data: Data | Loader, epoch: int) -> dict[str, float]:
        """The loss and metrics on the validation or test data after an epoch."""
        with self.averaged():
            figures = evaluation.measure(
                self.model,
                self.loss,
                data,
                self.metrics,
                compiled=self._compiled_measure(),
                communicator=self.communicator,
            )
        self._require_finite(f"{part} loss", figures["loss"], f"after epoch {epoch}")
        return figures

    def _compiled_measure(self) -> CompiledMeasure | None:
        """What evaluates batches after each epoch; None if that is not compiled."""
        learner = self.learner
        if learner.compile is False or (is_watched() and not is_observed()):
            return None
        meter = Meter(self.metrics)
        if self._measured is None or not self._measured.is_of(learner, meter):
            self._measured = CompiledMeasure(learner, meter)
        return self._measured

    def _finish_epoch(self, row: Row) -> None:
        """Add the row of a finished epoch to the history, and reset what belongs to one epoch."""
        self._changing = True
        self.history.append(row)
        self.batch = 0
        self.seconds = 0.0
        self.meter = self._new_meter()
        self._changing = False
        self._notify("on_epoch")

    def _new_meter(self) -> Meter:
        meter = Meter(self.metrics)
        if self.learner.is_distributed:
            require_mergeable(meter.accumulators)
        return meter

    def _log(self, epoch: int, loader: Loader) -> dict[str, float]:
        """Report the means so far; raise if the loss is NaN or infinite."""
        meter = self.meter.of_all_ranks(self.communicator, complete=False)
        means = meter.read()
        seen = meter.seen
        speed = seen / self.seconds
        progress = Progress(epoch, self.epochs, seen, loader.samples or 0, means, speed)
        self._notify("on_log", progress)
        if not math.isfinite(means["loss"]):
            check_batches(self.model, loader, epoch, self.batch)
        when = f"in epoch {epoch}, within its first {counted(seen, 'sample')}"
        self._require_finite("loss", means["loss"], when)
        return means

    def _require_finite(self, name: str, loss: float, when: str) -> None:
        """Raise a TrainingError if a loss is NaN or infinite; it names the first such weight."""
        if math.isfinite(loss):
            return
        hint = ""
        for weight, x in self.model.state_dict().items():
            xp = array_namespace(x)
            if not bool(to_numpy(xp.all(xp.isfinite(x)))):
                hint = (
                    f"By then {weight} was not finite: the callback StopOnNaN finds the layer in "
                    "which this began. "
                )
                break
        raise TrainingError(
            f"The {name} became {loss} {when}. {hint}Try a smaller learning rate than {self.lr:g}, or "
            "look for NaN or very large numbers in the data."
        )

    # --- the model ----------------------------------------------------------------------------

    def evaluate(self, data: Any, batch_size: int = evaluation.BATCH) -> dict[str, float]:
        """The mean loss and metrics over `data`, by name: see `xpnet.training.evaluate`."""
        compiled = None
        if self._measured is not None:  # rounded as the test after each epoch
            compiled = self._compiled_measure()
        with self.averaged(), evaluation.in_dtype_of(self.model):
            found = evaluation.prepared(self.model, data)
            return evaluation.measure(
                self.model, self.loss, found, self.metrics, batch_size, compiled
            )

    def predict(self, x: Arrays | Loader, batch_size: int = evaluation.BATCH) -> Arrays:
        """The model's output for `x`: see `xpnet.training.predict`.

        After a training with `softmax_cross_entropy` these are scores: ``F.softmax(scores)`` are the
        probabilities, and ``F.argmax(scores, axis=1)`` the numbers of the classes, whose names
        `xpnet.data.Schema.labels` returns for a table.
        """
        with self.averaged():
            return evaluation.predict(self.model, x, batch_size)

    def stop(self, reason: str = "") -> None:
        """End the training after the current epoch; for callbacks, which may give a reason."""
        self.stopped = True
        self.reason = self.reason or reason  # the first reason stays

    # --- the start ----------------------------------------------------------------------------

    def _loader(self, data: Any, batch_size: int, resumed: bool) -> Loader:
        """The training data as a loader; arrays are checked and sent to the device."""
        if not isinstance(data, tuple):
            return loader_of(data)
        x, t = checked(self.model, data)
        n = samples(t)
        if batch_size > n:
            raise DataError(
                f"Expected a batch_size of at most {n}, the number of samples, got {batch_size}."
            )
        seed = 0  # a placeholder in a resumed training, which loads the checkpoint's seed
        if not resumed:
            seed = int(default_rng(self.rng).integers(2**63))
        return DataLoader(x, t, batch_size=batch_size, shuffle=True, seed=seed, resident=True)

    def _start(self, epochs: int, loader: Loader, resume: PathLike | None) -> None:
        """Begin a new training, or resume that of a checkpoint."""
        before = self._snapshot()
        try:
            self._reset(epochs)
            self.loader = loader
            if resume is not None:
                on_root(self.communicator, partial(self.load, resume))
            if self.learner.is_distributed:
                self._begin_as_root()
        except BaseException:
            before.restore()
            raise
        if resume is not None:
            self.resumed = True
            self.resumed_from = Path(resume)

    # --- several ranks ------------------------------------------------------------------------

    def _begin_as_root(self) -> None:
        """Begin with the state of rank 0 on all ranks: weights, optimizer, order of the samples."""
        communicator = self.communicator
        state = broadcast_tree(communicator, self._state(self.meter))
        if communicator.is_root:
            together(communicator, lambda: None)
        else:
            together(communicator, lambda: self.load_state_dict(state))
            self.meter = self._new_meter()  # rank 0 has the sums of a resumed epoch
        self._streams().leap(communicator.rank)
        size = getattr(self.loader, "batch_size", None)
        self.learner.unit = None if size is None else float(size * self.learner.accumulate)

    def _agree(self, when: str) -> None:
        """At the end of an epoch: all ranks have the buffers of rank 0, and the same weights.

        Buffers differ where each rank normalizes its share by itself: `BatchNorm2d(sync=False)`.

        Raises
        ------
        DistributedError
            The weights or the states of the optimizer, the average or the precision differ.
        """
        communicator = self.communicator
        for _, buffer in self.model.named_buffers():
            copy = array_like(buffer.data, buffer.data)
            buffer.data = communicator.broadcast(copy)
        state = self.learner.state_dict()
        parts = {name: part for name, part in state.items() if isinstance(part, dict)}
        named = {f"{name}.{key}": x for name, part in parts.items() for key, x in part.items()}
        require_equal(communicator, named, when)
        # Streams that ranks have used unequally, for unequal shares, are where they are after a resume.
        streams = self._streams()
        streams.load_state_dict(communicator.allgather(streams.state_dict())[0])
        streams.leap(communicator.rank)

    # --- callbacks ----------------------------------------------------------------------------

    def _in_order(self) -> list[Callback]:
        """The callbacks by their `order`; `sorted` keeps those with equal numbers as they were."""
        return sorted(self.callbacks, key=lambda callback: callback.order)

    def _called(self) -> list[Callback]:
        """Those that this rank calls."""
        is_root = self.communicator.is_root
        return [c for c in self._in_order() if is_root or not c.only_on_root]

    def _notify(self, event: str, *args: Any) -> None:
        """Call the method of that name, such as "on_epoch", of each callback."""
        for callback in self._called():
            getattr(callback, event)(self, *args)

    def _notify_of_error(self, error: BaseException) -> None:
        """Notify all callbacks, even if one of them fails."""
        for callback in self._called():
            try:
                callback.on_error(self, error)
            except Exception as another:  # noqa: BLE001 - the first error is the one to raise
                error.add_note(f"{type(callback).__name__}.on_error raised {another!r}.")

    def _named_callbacks(self) -> list[tuple[str, Callback]]:
        """Each callback with a name that does not change when the training is resumed.

        It has the class and a number: the second Checkpoint, for example, is "Checkpoint.1".
        """
        counts: dict[str, int] = {}
        named = []
        for callback in self.callbacks:
            kind = type(callback).__name__
            number = counts.get(kind, 0)
            counts[kind] = number + 1
            named.append((f"{kind}.{number}", callback))
        return named

    # --- the state ----------------------------------------------------------------------------

    def save(self, path: PathLike) -> None:
        """Write a checkpoint, for `fit(resume=path)`: see `xpnet.training.checkpoint`.

        With a communicator all ranks call this, and rank 0 writes the file.

        Raises
        ------
        StateError
            A step is half done, or batches wait for others to make a step.
        TypeError
            The state of a callback or metric holds something that a checkpoint cannot hold.
        OSError
            The file cannot be written.
        """
        if not self.between_steps:
            raise StateError(
                f"{path}: expected to save the training between two steps, but a step is half done."
            )
        state = self.state_dict()
        on_root(self.communicator, lambda: checkpoint.write(path, state))

    def load(self, path: PathLike) -> None:
        """Bring the trainer to the state in which another one, of any backend, wrote a checkpoint.

        Raises
        ------
        StateError
            The file is missing or damaged, or another training's; the message names the file. The
            trainer is unchanged then.
        """
        state = checkpoint.read(path)
        try:
            self.load_state_dict(state)
        except StateError as error:
            raise StateError(f"{path}: it is a checkpoint of another training. {error}") from error

    def state_dict(self) -> dict[str, Any]:
        """The state of the training in nested dicts; arrays are not copied.

        A training can be resumed from it only if it was taken between two steps: see
        `between_steps`. With a communicator all ranks call this; it does not depend on their number.
        """
        return self._state(self.meter.of_all_ranks(self.communicator))

    def _state(self, meter: Meter) -> dict[str, Any]:
        return {
            **self.learner.state_dict(),
            "position": {
                "epoch": len(self.history),
                "batch": self.batch,
                "seconds": self.seconds,
            },
            "history": self.history.state_dict(),
            "meter": meter.state_dict() if self.batch else None,
            "loader": None if self.loader is None else loader_state(self.loader),
            "random": self._streams().state_dict(),
            "callbacks": {
                name: callback.state_dict() for name, callback in self._named_callbacks()
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned, with arrays of any library.

        Raises
        ------
        StateError
            The state is invalid, or another training's. The trainer is unchanged then, as it is
            after any other exception.
        """
        before = self._snapshot()
        try:
            self._load(state)
        except BaseException as error:
            before.restore()
            if isinstance(error, StateError) or not isinstance(error, Exception):
                raise
            raise StateError(f"Its state cannot be loaded: {error!r}.") from error

    def _load(self, state: dict[str, Any]) -> None:
        self.learner.load_state_dict(state)
        position = mapping(state, "position")
        epoch = whole(position, "epoch")
        batch = whole(position, "batch")
        if state["loader"] is not None and self.loader is not None:
            load_loader_state(self.loader, mapping(state, "loader"), batch)
        self.history.load_state_dict(mapping(state, "history"))
        if len(self.history) != epoch:
            raise StateError(
                f"Its history has {counted(len(self.history), 'row')} for {counted(epoch, 'epoch')}."
            )
        if (state["meter"] is None) != (batch == 0):
            expected = "the sums of the loss and metrics" if batch else "no sums"
            raise StateError(
                f"Expected {expected} after batch {batch} of an epoch, got {state['meter']}."
            )
        self.meter = self._new_meter()
        if batch:
            self.meter.load_state_dict(mapping(state, "meter"))
        self._changing = False  # it is True after a step that Ctrl-C has interrupted
        self.batch = batch
        self.seconds = finite(position, "seconds", 0.0)
        self._streams().load_state_dict(mapping(state, "random"))
        saved = mapping(state, "callbacks")
        for name, callback in self._named_callbacks():
            if name in saved:
                callback.load_state_dict(mapping(saved, name))

    def _streams(self) -> Streams:
        return Streams(self.model, self.rng)

    def __getstate__(self) -> dict[str, Any]:
        return {
            **vars(self),
            "_resident": None,
            "_measured": None,
        }  # a copy makes its own records of its own arrays

    def _snapshot(self) -> Snapshot:
        """What a failed load would have to restore."""
        learner = self.learner
        parts: list[object] = [self, self.history, self.loader, *self.callbacks]
        parts += [learner, learner.progress, learner.optimizer, learner.average, learner.precision]
        return Snapshot(parts, self.model, self._streams())


_STEP = methods_of(Trainer, "step", "_learn")
_LEARNERS_STEP = methods_of(Learner, "step")


def _prefixed(prefix: str, figures: dict[str, float]) -> Row:
    return {f"{prefix}_{name}": value for name, value in figures.items()}
