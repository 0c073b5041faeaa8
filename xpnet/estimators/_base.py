"""What all estimators have in common: checks of the data, and a training as scikit-learn makes it."""

import warnings
from collections.abc import Callable
from typing import Any, ClassVar, Self

import array_api_compat as compat
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from xpnet._typing import Array
from xpnet.autodiff import no_grad
from xpnet.autodiff.variable import data_of
from xpnet.backend import Backend, current, to_numpy, using
from xpnet.errors import ArgumentError, MissingMethodError
from xpnet.estimators._arrays import (
    backend_for,
    checked,
    checked_pair,
    dtype_for,
    on_host,
    placed,
)
from xpnet.estimators._losses import Objective
from xpnet.estimators._parameters import Check, require_valid
from xpnet.estimators._training import InOrder, Progress, Shuffled, Streamed, seeded
from xpnet.layers import Layer
from xpnet.layers.hooks import evaluating
from xpnet.optimizers import Optimizer
from xpnet.training import Trainer
from xpnet.training.batches import slices
from xpnet.training.evaluation import BATCH

__all__ = ["NetworkEstimator", "Seeds", "Weights", "evaluated", "is_on"]

Weights = NDArray[Any] | None  # of the samples
Seeds = np.random.RandomState


class NetworkEstimator(BaseEstimator):  # type: ignore[misc]
    """The part of an estimator that depends neither on what it predicts nor on its model.

    What it predicts is for `Classifier` and `Regressor`; the model is for `_mlp` and `_network`. The
    methods that they define raise MissingMethodError here.
    """

    _checks: ClassVar[dict[str, Check]] = {}  # of parameters whose values depend on the class
    _fitted: ClassVar[str]  # the name of the attribute with the weights
    _takes_images: ClassVar[bool] = False  # whether X may have more than two axes
    _trainer: Trainer | None  # of the last `partial_fit`, and the parameters that it was made with
    _parameters: dict[str, Any]

    # --- the model ------------------------------------------------------------------------------

    def _new_model(self, input_shape: tuple[int, ...], source: Seeds) -> Layer:
        """A model with initial weights, on the current backend."""
        raise MissingMethodError(f"{type(self).__name__} defines no _new_model.")

    def _fitted_model(self) -> Layer:
        """A model with the weights of the last fit, on the current backend."""
        raise MissingMethodError(f"{type(self).__name__} defines no _fitted_model.")

    def _shaped(self, x: Array) -> Array:
        """Samples in the shape that the model takes."""
        return x

    def _require_fitting(self, model: Layer, x: Array) -> None:
        """Raise an error if a model does not return outputs of the right shape."""

    def _keep(self, model: Layer) -> None:
        """Keep the weights of a trained model in the fitted attributes."""
        raise MissingMethodError(f"{type(self).__name__} defines no _keep.")

    def _dtype_of_model(self) -> str:
        """The dtype of the fitted weights."""
        raise MissingMethodError(f"{type(self).__name__} defines no _dtype_of_model.")

    def _new_optimizer(self, model: Layer) -> Optimizer:
        raise MissingMethodError(f"{type(self).__name__} defines no _new_optimizer.")

    def _objective(self, model: Layer) -> Objective:
        raise MissingMethodError(f"{type(self).__name__} defines no _objective.")

    def _rate_policy(self) -> dict[str, Any]:
        """What sets the learning rate after an epoch: arguments of `Progress`."""
        return {}

    def _solve(
        self, model: Layer, x: Array, y: NDArray[Any], weight: Weights, source: Seeds
    ) -> None:
        """Train a model; here by batches."""
        self._train(model, x, y, weight, source)

    # --- what it predicts -----------------------------------------------------------------------

    def _learnable(self, y: NDArray[Any], is_first: bool, is_partial: bool) -> NDArray[Any]:
        """Targets as numbers; with `is_first`, what they are is kept in fitted attributes."""
        raise MissingMethodError(f"{type(self).__name__} defines no _learnable.")

    def _weights(self, y: NDArray[Any], weight: Weights) -> Weights:
        """The weights of samples with these targets, as `_learnable` returns them."""
        return weight

    def _for_loss(self, y: NDArray[Any], weight: Weights, backend: Backend) -> Any:
        """Targets in the form that the loss takes, on the device."""
        raise MissingMethodError(f"{type(self).__name__} defines no _for_loss.")

    def _strata(self, y: NDArray[Any]) -> NDArray[Any] | None:
        """The groups of which validation data have the same shares."""
        return None

    def _score_of(self, z: NDArray[Any], y: NDArray[Any], weight: Weights) -> float:
        """The score of the model's outputs for validation data; NaN if they are not finite."""
        raise MissingMethodError(f"{type(self).__name__} defines no _score_of.")

    # --- fit ------------------------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sample_weight: Any, is_partial: bool = False) -> Self:
        require_valid(self, self._checks)
        if is_partial and self.early_stopping:
            raise ArgumentError("partial_fit does not support early_stopping=True")
        is_first = not (self.__sklearn_is_fitted__() and (self.warm_start or is_partial))
        X, y = self._checked_pair(X, y, reset=is_first)
        weight = self._checked_weight(X, sample_weight)
        y = self._learnable(y, is_first, is_partial)
        if is_first:  # the weights of an earlier fit do not belong to these targets
            self.__dict__.pop(self._fitted, None)
        weight = self._weights(y, weight)
        if callable(self.loss) and weight is not None:
            raise ArgumentError(
                f"{type(self).__name__} expected no weights of samples or classes if the loss is a "
                f"function, (y, t) -> mean over the batch, got loss={self.loss!r}."
            )
        source = check_random_state(self.random_state)
        dtype = dtype_for(X) if is_first else self._dtype_of_model()
        backend = backend_for(X, self.backend, dtype)
        with using(backend), seeded(source, self._draws_more(), 0 if is_first else self.t_):
            x = self._shaped(placed(X, backend))
            if is_first:
                model = self._new_model(tuple(x.shape[1:]), source)
                self._require_fitting(model, x)
                self._forget()
            else:
                self._resume()
                model = self._fitted_model()
            self.n_iter_ = 0
            if is_partial:
                model = self._train_on(model, x, y, weight, source)
            else:
                self._trainer = None
                self._solve(model, x, y, weight, source)
            self._keep(model)
        return self

    def _checked_pair(self, X: Any, y: Any, reset: bool) -> tuple[Array, NDArray[Any]]:
        """X and y after scikit-learn's checks: X in its own library, y in NumPy."""
        return checked_pair(self, X, y, reset=reset, **self._options())

    def _options(self) -> dict[str, Any]:
        """The options of scikit-learn's `validate_data` for X."""
        return {"dtype": (np.float64, np.float32), "allow_nd": self._takes_images}

    @staticmethod
    def _checked_weight(X: Array, weight: Any) -> Weights:
        if weight is None:
            return None
        rows = np.broadcast_to(0.0, (int(X.shape[0]), 1))  # of which only the number counts
        checked_weight: NDArray[Any] = _check_sample_weight(on_host(weight), rows)
        return checked_weight

    def _draws_more(self) -> bool:
        """Whether the training draws more random numbers than initial weights and shuffles."""
        return False

    def _forget(self) -> None:
        """Begin the figures of a training anew."""
        self.t_ = 0
        self.loss_curve_: list[float] = []
        self._forget_best()
        self._idle_epochs = 0
        self._steps = 0
        self._trainer = None
        self._parameters = {}
        self._saved_optimizer: dict[str, Any] | None = None

    def _forget_best(self) -> None:
        """Begin the figures that decide when to stop anew."""
        self.best_loss_: float | None = np.inf
        self.validation_scores_: list[float] | None = None
        self.best_validation_score_: float | None = None
        if self.early_stopping:
            self.best_loss_ = None
            self.validation_scores_ = []
            self.best_validation_score_ = -np.inf

    def _resume(self) -> None:
        """Go on with the figures of the last training, as far as it had those of this one."""
        if not hasattr(self, "loss_curve_"):
            self.loss_curve_ = []
            self._forget_best()
        elif bool(self.early_stopping) != (self.best_loss_ is None):
            self._forget_best()

    # --- training -------------------------------------------------------------------------------

    def _train(
        self, model: Layer, x: Array, y: NDArray[Any], weight: Weights, source: Seeds
    ) -> None:
        """Train a model until the loss, or the score of validation data, no longer improves."""
        score = None
        if self.early_stopping:
            kept, left_out = self._split(y, source)
            score = self._scorer(model, x, y, weight, left_out)
            x = _rows(x, kept)
            y = y[kept]
            weight = None if weight is None else weight[kept]
        trainer = self._new_trainer(model)
        progress = self._progress(trainer, x, score)
        trainer.callbacks = [*trainer.callbacks, progress]
        trainer.fit(self._loader(x, y, weight, source), epochs=self.max_iter)
        self._idle_epochs = progress.idle_epochs
        self._saved_optimizer = _copied(trainer.optimizer.state_dict())
        self._steps = trainer.steps
        progress.warn(trainer)

    def _train_on(
        self, model: Layer, x: Array, y: NDArray[Any], weight: Weights, source: Seeds
    ) -> Layer:
        """Train for one epoch, with the state of the optimizer so far; returns the model."""
        trainer = self._continued(model)
        done = self._steps
        schedule = self.schedule
        if schedule is not None:  # a trainer counts the steps of each `fit` from 0
            trainer.learner.schedule = lambda step: schedule(done + step)
        progress = self._progress(trainer, x, None, is_partial=True)
        trainer.callbacks = [*(self.callbacks or ()), progress]
        trainer.fit(Streamed(self._loader(x, y, weight, source)), epochs=1)
        trainer.callbacks = []
        trainer.loader = None  # which has the data
        self._idle_epochs = progress.idle_epochs
        self._steps = done + trainer.steps
        progress.warn(trainer)
        return trainer.model

    def _continued(self, model: Layer) -> Trainer:
        """The trainer of the last `partial_fit`, whose steps are recorded; or a new one in its state."""
        parameters = self.get_params(deep=False)
        trainer = self._trainer
        if trainer is not None:
            is_same = all(parameters[name] is x for name, x in self._parameters.items())
            if is_same and is_on(trainer.model, current()):
                if trainer.model is not model:
                    trainer.model.load_state_dict(model.state_dict())
                return trainer
            self._saved_optimizer = _copied(trainer.optimizer.state_dict())
        trainer = self._new_trainer(model)
        saved = self._saved_optimizer or {}
        # Otherwise it is another kind of optimizer, whose state would not fit.
        if f"{type(trainer.optimizer).__name__}.parameters" in saved:
            trainer.optimizer.load_state_dict(saved)
        self._trainer = trainer
        self._parameters = parameters
        return trainer

    def _new_trainer(self, model: Layer) -> Trainer:
        objective = self._objective(model)
        return Trainer(
            model,
            objective,
            self._new_optimizer(model),
            [objective.of_data] if objective.divisor != 1.0 else [],
            list(self.callbacks or ()),
            schedule=self.schedule,
            compile=self.compile,
        )

    def _progress(
        self,
        trainer: Trainer,
        x: Array,
        score: Callable[[], float] | None,
        is_partial: bool = False,
    ) -> Progress:
        """What notes the figures of each epoch."""
        return Progress(
            self,
            int(x.shape[0]),
            score,
            self._idle_epochs,
            is_partial=is_partial,
            **self._rate_policy(),
        )

    def _loader(self, x: Array, y: NDArray[Any], weight: Weights, source: Seeds) -> InOrder:
        """The batches of an epoch."""
        n = int(x.shape[0])
        size = min(200, n)
        if self.batch_size != "auto":
            if self.batch_size > n:
                warnings.warn(
                    f"Got `batch_size` less than 1 or larger than sample size: expected at most {n}, "
                    f"got {self.batch_size}. It is going to be clipped.",
                    stacklevel=2,
                )
            size = min(int(self.batch_size), n)
        t = self._for_loss(y, weight, current())
        return Shuffled(x, t, size, source) if self.shuffle else InOrder(x, t, size)

    def _split(self, y: NDArray[Any], source: Seeds) -> tuple[NDArray[Any], NDArray[Any]]:
        """The rows to learn from, and those whose score is observed, as scikit-learn draws them."""
        kept, left_out = train_test_split(
            np.arange(len(y)),
            random_state=source,
            test_size=self.validation_fraction,
            stratify=self._strata(y),
        )
        if len(left_out) < 2:
            raise ArgumentError(
                f"The validation set is too small: expected at least 2 samples, got {len(left_out)}. "
                "Increase 'validation_fraction' or the size of your dataset."
            )
        return kept, left_out

    def _scorer(
        self, model: Layer, x: Array, y: NDArray[Any], weight: Weights, rows: NDArray[Any]
    ) -> Callable[[], float]:
        """A function that returns the score of the model for these rows."""
        x = _rows(x, rows)
        y = y[rows]
        weight = None if weight is None else weight[rows]

        def score() -> float:
            z = to_numpy(evaluated(model, x))
            return self._score_of(z, y, weight) if np.isfinite(z).all() else np.nan

        return score

    # --- prediction -----------------------------------------------------------------------------

    def _outputs(self, X: Any) -> tuple[Array, Array]:
        """The model's outputs for X, before the last activation, and X as an array."""
        check_is_fitted(self)
        X = checked(self, X, reset=False, allow_nd=self._takes_images)
        backend = backend_for(X, self.backend, self._dtype_of_model())
        with using(backend):
            x = self._shaped(placed(X, backend))
            return evaluated(self._fitted_model(), x), X

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, self._fitted)  # the last attribute that a fit sets

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = bool(self.densify)
        tags.input_tags.three_d_array = self._takes_images
        return tags

    # --- copies ---------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Parameters, weights as NumPy's arrays, and the state of the optimizer after `partial_fit`."""
        state: dict[str, Any] = dict(super().__getstate__())  # which is the estimator's own
        trainer = state.get("_trainer")
        if trainer is not None:
            state["_saved_optimizer"] = _copied(trainer.optimizer.state_dict())
            state["_trainer"] = None
            state["_parameters"] = {}
        return state


def evaluated(model: Layer, x: Array) -> Array:
    """The output of a model in evaluation, without a tape, for a part of x at a time."""
    with no_grad(), evaluating():
        parts = [data_of(model(x[part, ...])) for part in slices(int(x.shape[0]), BATCH)]
    return parts[0] if len(parts) == 1 else current().xp.concat(parts, axis=0)


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    """The state of an optimizer on the host: not the arrays themselves, which a record moves."""
    return {name: to_numpy(x).copy() if hasattr(x, "shape") else x for name, x in state.items()}


def _rows(x: Array, rows: NDArray[Any]) -> Array:
    """Rows of an array, in this order."""
    backend = current()
    return backend.xp.take(x, backend.asarray(rows), axis=0)


def is_on(model: Layer, backend: Backend) -> bool:
    """Whether a model's weights are on a backend, in its dtype."""
    x = next(model.parameters()).data
    return (
        compat.array_namespace(x) is backend.xp
        and compat.device(x) == backend.device
        and x.dtype == backend.dtype
    )
