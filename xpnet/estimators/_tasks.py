"""What a network is to predict: classes or numbers. Each is mixed into two estimators."""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import Tags, column_or_1d, compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import type_of_target

from xpnet import functions as F
from xpnet._printable import counted
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.backend import Backend, to_numpy
from xpnet.errors import ArgumentError
from xpnet.estimators._arrays import like, on_host
from xpnet.estimators._labels import Labels
from xpnet.estimators._losses import (
    BY_NAME,
    Mean,
    binary_cross_entropy,
    softmax_cross_entropy,
    softmax_targets,
)

__all__ = ["Classifier", "Regressor"]

Weights = NDArray[Any] | None


class Classifier(ClassifierMixin):  # type: ignore[misc]
    """Predicts classes, one per sample, or which of several labels a sample has.

    Attributes
    ----------
    out_activation_ : {"softmax", "logistic"}
        What makes probabilities of the model's outputs.
    """

    _outputs_for_two: ClassVar[int] = 2  # the number of outputs for two classes: 1, or one for each

    def _learnable(self, y: NDArray[Any], is_first: bool, is_partial: bool) -> NDArray[Any]:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if is_first and not is_partial:  # `partial_fit` is given them
            self._announce(Labels.of(y))
        else:
            self._labels().require_same(y, all_of_them=self.warm_start)
        return self._labels().encoded(y)

    def _announce(self, labels: Labels) -> None:
        """Set the fitted attributes that depend on the classes."""
        self.classes_ = labels.classes
        self._kind = labels.kind
        self.out_activation_ = "softmax"
        self.n_outputs_ = len(labels.classes)
        if labels.kind == "binary":
            self.n_outputs_ = min(self.n_outputs_, self._outputs_for_two)
        if labels.kind == "multilabel" or (labels.kind == "binary" and self._outputs_for_two == 1):
            self.out_activation_ = "logistic"

    def _labels(self) -> Labels:
        return Labels(self.classes_, self._kind)

    def _weights(self, y: NDArray[Any], weight: Weights) -> Weights:
        if self.class_weight is None:
            return weight
        if self._kind == "multilabel":
            factors: NDArray[Any] = compute_sample_weight(self.class_weight, y)
        else:
            factors = self._class_weights(y, weight)[y]
        return factors if weight is None else factors * weight

    def _class_weights(self, y: NDArray[Any], weight: Weights) -> NDArray[Any]:
        """The weight of each class; "balanced" counts the samples with their weights."""
        if not isinstance(self.class_weight, str):
            given: NDArray[Any] = compute_class_weight(
                self.class_weight, classes=self.classes_, y=self.classes_[y]
            )
            return given
        counts = np.bincount(y, weights=weight, minlength=len(self.classes_))
        mean = counts.sum() / len(counts)
        return np.asarray(mean / np.where(counts > 0.0, counts, 1.0))

    def _strata(self, y: NDArray[Any]) -> NDArray[Any] | None:
        # As in scikit-learn, which does so for two classes only.
        return y if self._kind == "binary" else None

    def _mean_loss(self) -> Mean:
        return softmax_cross_entropy if self.out_activation_ == "softmax" else binary_cross_entropy

    def _divisor(self) -> float:
        return 1.0

    def _for_loss(self, y: NDArray[Any], weight: Weights, backend: Backend) -> Any:
        if self.out_activation_ == "logistic":
            y = y.reshape(len(y), -1)
            return _with_weight(backend.asarray(y, dtype=backend.dtype), weight, backend)
        if weight is None:
            return backend.asarray(y)
        rows = softmax_targets(y, weight.reshape(-1, 1), self.n_outputs_)
        return _with_weight(backend.asarray(rows, dtype=backend.dtype), weight, backend)

    def _score_of(self, z: NDArray[Any], y: NDArray[Any], weight: Weights) -> float:
        return float(accuracy_score(y, self._chosen(z), sample_weight=weight))

    def _chosen(self, z: NDArray[Any]) -> NDArray[Any]:
        """The number of the class of each sample; for several labels, zeros and ones."""
        if self.out_activation_ == "softmax":
            chosen: NDArray[Any] = np.argmax(z, axis=1)
            return chosen
        is_there = (z > 0.0).astype(np.int64)
        if self._kind == "multilabel":
            return is_there
        return is_there[:, 0] * (len(self.classes_) - 1)

    def predict(self, X: Any) -> Array:
        """The class of each sample.

        Parameters
        ----------
        X : array of any library, DataFrame, list or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        array, shape (n_samples,); for several labels per sample, shape (n_samples, n_labels)
            In X's library, on its device. Classes that are strings are in a NumPy array.
        """
        z, X = self._outputs(X)
        return like(self._labels().decoded(self._chosen(to_numpy(z))), X)

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : array of any library, DataFrame, list or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        array, shape (n_samples, n_classes)
            In X's library, on its device. For several labels per sample, these are the probabilities
            that a sample has a label, and do not sum to 1.
        """
        z, X = self._outputs(X)
        return like(self._probabilities(z), X)

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms of `predict_proba`: -inf where a probability is rounded to 0.

        Parameters
        ----------
        X : array of any library, DataFrame, list or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        array, shape (n_samples, n_classes)
            In X's library, on its device.
        """
        z, X = self._outputs(X)
        with np.errstate(divide="ignore"):
            return like(array_namespace(z).log(self._probabilities(z)), X)

    def _probabilities(self, z: Array) -> Array:
        """The probabilities of all classes, from the outputs."""
        xp = array_namespace(z)
        if self.out_activation_ == "softmax":
            return F.softmax(z)
        if self._kind == "multilabel":
            return F.sigmoid(z)
        if len(self.classes_) == 1:
            return xp.ones_like(z)
        return xp.concat([F.sigmoid(-z), F.sigmoid(z)], axis=1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy: the share of samples whose prediction is right.

        Parameters
        ----------
        X : array of any library, DataFrame, list or sparse matrix, shape (n_samples, n_features)
        y : array of any library or list, shape (n_samples,) or (n_samples, n_labels)
        sample_weight : array, shape (n_samples,), optional

        Returns
        -------
        float
            For several labels per sample, all of them must be right.
        """
        weight = None if sample_weight is None else on_host(sample_weight)
        return float(accuracy_score(on_host(y), on_host(self.predict(X)), sample_weight=weight))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _announce_first(self, y: Any, classes: Any) -> None:
        """Take the classes that the first `partial_fit` is given, and compare those of later ones."""
        if isinstance(self.class_weight, str):
            raise ArgumentError(
                f"partial_fit expected class_weight to be a dict or None, got {self.class_weight!r}: the "
                "frequencies of the classes in all data are not known. Give their weights, for example "
                "those of sklearn.utils.compute_class_weight for a sample of the data."
            )
        if hasattr(self, "classes_"):
            if classes is not None and not np.array_equal(
                self.classes_, np.unique(on_host(classes))
            ):
                raise ArgumentError(
                    f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                    f"{self.classes_!r}"
                )
            return
        if classes is None:
            raise ArgumentError("classes must be passed on the first call to partial_fit.")
        y = on_host(y)
        if type_of_target(y) == "multilabel-indicator":
            self._announce(Labels.of(y))
        else:
            self._announce(Labels.named(np.unique(on_host(classes))))

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Learn from the samples once more, or from others, in one epoch.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array, shape (n_classes,), optional
            All classes of all calls; the first call needs them.

        Returns
        -------
        self
        """
        self._announce_first(y, classes)
        fitted: Self = self._fit(X, y, sample_weight, is_partial=True)
        return fitted


class Regressor(RegressorMixin):  # type: ignore[misc]
    """Predicts a number, or several, of each sample.

    Attributes
    ----------
    out_activation_ : {"identity", "exp"}
        What makes predictions of the model's outputs.
    """

    n_outputs_: int

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "y_numeric": True}

    def _learnable(self, y: NDArray[Any], is_first: bool, is_partial: bool) -> NDArray[Any]:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and not (y >= 0).all():
            raise ArgumentError("Expected y >= 0 for loss='poisson', got negative numbers.")
        outputs = y.shape[1] if y.ndim == 2 else 1
        if not is_first and outputs != self.n_outputs_:
            raise ArgumentError(
                f"Expected {counted(self.n_outputs_, 'target')} per sample, as before, got {outputs}."
            )
        self.n_outputs_ = outputs
        self.out_activation_ = "exp" if self.loss == "poisson" else "identity"
        return y

    def _mean_loss(self) -> Mean:
        return BY_NAME[self.loss]

    def _divisor(self) -> float:
        # scikit-learn reports the mean over the outputs; but for "poisson", their sum.
        return 1.0 if self.loss == "poisson" else float(self.n_outputs_)

    def _for_loss(self, y: NDArray[Any], weight: Weights, backend: Backend) -> Any:
        t = backend.asarray(y.reshape(len(y), -1), dtype=backend.dtype)
        return _with_weight(t, weight, backend)

    def _score_of(self, z: NDArray[Any], y: NDArray[Any], weight: Weights) -> float:
        if self.out_activation_ == "exp":
            z = np.exp(z)
        return float(r2_score(y, z.reshape(y.shape), sample_weight=weight))

    def predict(self, X: Any) -> Array:
        """The prediction for each sample.

        Parameters
        ----------
        X : array of any library, DataFrame, list or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        array, shape (n_samples,) or (n_samples, n_outputs)
            In X's library, on its device.
        """
        z, X = self._outputs(X)
        xp = array_namespace(z)
        if self.out_activation_ == "exp":
            z = xp.exp(z)
        return like(z[:, 0] if self.n_outputs_ == 1 else z, X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R^2: 1 for perfect predictions, and 0 for those of a constant, the mean of y.

        Parameters
        ----------
        X : array of any library, DataFrame, list or sparse matrix, shape (n_samples, n_features)
        y : array of any library or list, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array, shape (n_samples,), optional

        Returns
        -------
        float
        """
        weight = None if sample_weight is None else on_host(sample_weight)
        return float(r2_score(on_host(y), on_host(self.predict(X)), sample_weight=weight))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from the samples once more, or from others, in one epoch.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        self
        """
        fitted: Self = self._fit(X, y, sample_weight, is_partial=True)
        return fitted


def _with_weight(t: Array, weight: Weights, backend: Backend) -> Any:
    """Targets, with the weights of their samples if there are any."""
    if weight is None:
        return t
    return t, backend.asarray(weight.reshape(-1, 1), dtype=backend.dtype)
