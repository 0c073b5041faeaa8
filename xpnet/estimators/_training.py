"""Training as scikit-learn does it: the order of the samples, when to stop, what is reported.

With the same `random_state`, the same weights and batches follow as in scikit-learn's MLP, and the same
losses, up to rounding.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from xpnet import random
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.data import DataLoader
from xpnet.layers import Layer
from xpnet.training import Callback, Trainer

__all__ = ["InOrder", "Progress", "Shuffled", "Streamed", "copied_state", "seeded"]


@contextmanager
def seeded(source: np.random.RandomState, is_needed: bool, samples: int) -> Iterator[None]:
    """A block in which xpnet's own random numbers follow from `source`, and outside of it do not change.

    Parameters
    ----------
    source : numpy.random.RandomState
    is_needed : bool
        If not, nothing is drawn from `source`: scikit-learn, which has no dropout, draws nothing for it.
    samples : int
        How many have been learned from: with one seed, masks differ from one `partial_fit` to the next.
    """
    with random.aside():
        if is_needed:
            seed = int(source.randint(np.iinfo(np.int32).max))
            random.set_state(random.state(np.random.default_rng([seed, samples])))
        yield


class InOrder(DataLoader):
    """Batches of arrays that are on the device, in the order of the rows.

    Parameters
    ----------
    x : array, shape (n, ...)
    t : array, or tuple of arrays, shapes (n, ...)
    batch_size : int
    """

    is_shuffled = False

    def __init__(self, x: Array, t: Any, batch_size: int) -> None:
        n = int(x.shape[0])
        # What the base class copies to the device are row numbers: the data are there.
        super().__init__(
            np.arange(n), batch_size=batch_size, shuffle=self.is_shuffled, seed=0, resident=True
        )
        self._resident_data = (x, t)


class Shuffled(InOrder):
    """The same in a new order in each epoch, made of the last one as by `sklearn.utils.shuffle`.

    Parameters
    ----------
    source : numpy.random.RandomState
    """

    is_shuffled = True

    def __init__(self, x: Array, t: Any, batch_size: int, source: np.random.RandomState) -> None:
        super().__init__(x, t, batch_size)
        self._source = source
        self._rows = np.arange(int(x.shape[0]))
        self._epoch = 0  # of these rows

    def order(self, epoch: int) -> NDArray[np.int64]:
        while self._epoch < epoch:
            change = np.arange(len(self._rows))
            self._source.shuffle(change)
            self._rows = self._rows[change]
            self._epoch += 1
        return self._rows


class Streamed:
    """A loader whose batches a `Trainer` takes as they come, so that a record outlasts the data.

    A step that takes its rows by itself is recorded anew for each data set: this is for `partial_fit`.

    Parameters
    ----------
    loader : DataLoader
    """

    def __init__(self, loader: DataLoader) -> None:
        self.loader = loader
        self.samples = loader.samples
        self.batch_size = loader.batch_size
        self.seed = 0

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches of an epoch from number `start` on."""
        return self.loader.epoch(epoch, start)


class Progress(Callback):
    """Notes the loss of each epoch in an estimator, and ends the training as scikit-learn does.

    Parameters
    ----------
    estimator : estimator
        It has the parameters `tol`, `n_iter_no_change`, `verbose`; it is given `loss_`, `loss_curve_`,
        `best_loss_`, `n_iter_`, `t_`, and with a validation `validation_scores_` and
        `best_validation_score_`.
    samples : int
        Per epoch.
    score : function of no arguments, optional
        The score of the validation data, at the end of an epoch.
    idle_epochs : int
        How many epochs in a row have brought no improvement, in an earlier training; it is counted on.
    reduce_rate : function of the trainer, optional
        Called at the end of an epoch that has brought nothing, after many of them; it returns whether the
        training is to go on.
    after_epoch : function of the trainer, optional
        Called at the end of each epoch, to set the learning rate.
    is_partial : bool
        Whether this is one of many calls, after which nothing need have converged.
    """

    order = -1
    reads_gradients = False

    def __init__(
        self,
        estimator: Any,
        samples: int,
        score: Callable[[], float] | None,
        idle_epochs: int = 0,
        *,
        reduce_rate: Callable[[Trainer], bool] | None = None,
        after_epoch: Callable[[Trainer], None] | None = None,
        is_partial: bool = False,
    ) -> None:
        self.estimator = estimator
        self.samples = samples
        self.score = score
        self.idle_epochs = idle_epochs
        self.reduce_rate = reduce_rate
        self.after_epoch = after_epoch
        self.is_partial = is_partial
        self.best: dict[str, Array] | None = None  # the weights of the best validation score

    def on_epoch(self, trainer: Trainer) -> None:
        estimator = self.estimator
        estimator.loss_ = _reported(trainer)
        estimator.loss_curve_.append(estimator.loss_)
        estimator.n_iter_ += 1
        estimator.t_ += self.samples
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")  # noqa: T201
        if self.score is None:
            is_better = self._has_lower_loss()
        else:
            is_better = self._has_higher_score(trainer.model, self.score())
        self.idle_epochs = 0 if is_better else self.idle_epochs + 1
        if self.after_epoch is not None:
            self.after_epoch(trainer)
        if self.idle_epochs > estimator.n_iter_no_change:
            self._end(trainer)

    def _has_lower_loss(self) -> bool:
        """Whether the loss is lower than the best one by more than `tol`."""
        estimator = self.estimator
        best = estimator.best_loss_
        estimator.best_loss_ = min(best, estimator.loss_)
        return bool(estimator.loss_ <= best - estimator.tol)

    def _has_higher_score(self, model: Layer, score: float) -> bool:
        """The same for the score, which is NaN if a prediction is not finite."""
        estimator = self.estimator
        best = estimator.best_validation_score_
        estimator.validation_scores_.append(score)
        if estimator.verbose:
            print(f"Validation score: {score:f}")  # noqa: T201
        if score > best:
            estimator.best_validation_score_ = score
            self.best = copied_state(model)
        return not score < best + estimator.tol

    def _end(self, trainer: Trainer) -> None:
        """Stop; or, with an adaptive rate, go on with a lower one."""
        estimator = self.estimator
        what = "Training loss" if self.score is None else "Validation score"
        reason = (
            f"{what} did not improve more than tol={estimator.tol:f} for "
            f"{estimator.n_iter_no_change} consecutive epochs."
        )
        if self.reduce_rate is not None and self.reduce_rate(trainer):
            self.idle_epochs = 0
            if estimator.verbose:
                print(f"{reason} Setting learning rate to {trainer.optimizer.lr:f}")  # noqa: T201
            return
        trainer.stop(reason)
        if estimator.verbose:
            print(f"{reason} Stopping.")  # noqa: T201

    def on_end(self, trainer: Trainer) -> None:
        if self.best is not None:
            trainer.model.load_state_dict(self.best)

    def warn(self, trainer: Trainer) -> None:
        """Warn if the training was cut short."""
        if trainer.history.interrupted:
            depth = 5 if self.is_partial else 6  # of the line that calls `fit` or `partial_fit`
            warnings.warn("Training interrupted by user.", stacklevel=depth)
        elif not (trainer.stopped or self.is_partial):
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({trainer.epochs}) reached and the "
                "optimization hasn't converged yet. Try a larger max_iter, or n_iter_no_change=math.inf "
                "with the number of epochs that you want.",
                ConvergenceWarning,
                stacklevel=6,  # the line that calls `fit`
            )


def _reported(trainer: Trainer) -> float:
    """The loss of the last epoch, as scikit-learn reports it."""
    row = trainer.history.rows[-1]
    objective: Any = trainer.loss
    if "train_of_data" not in row:
        return row["train_loss"]
    return float(objective.reported(row["train_loss"], row["train_of_data"]))


def copied_state(model: Layer) -> dict[str, Array]:
    """The weights and buffers of a model, copied."""
    return {
        name: array_namespace(x).asarray(x, copy=True) for name, x in model.state_dict().items()
    }
