"""Labels: classes of any kind as numbers that a network learns, and back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from xpnet.errors import ArgumentError
from xpnet.estimators._arrays import dense

__all__ = ["Labels"]


class Labels:
    """The classes that a classifier distinguishes.

    Parameters
    ----------
    classes : array, shape (n_classes,)
        Sorted. For several labels per sample, the numbers of the labels.
    kind : {"binary", "multiclass", "multilabel"}

    Attributes
    ----------
    classes, kind
        As given.
    """

    def __init__(self, classes: NDArray[Any], kind: str) -> None:
        self.classes = classes
        self.kind = kind

    @classmethod
    def of(cls, y: NDArray[Any]) -> "Labels":
        """The labels of targets, of which there is at least one.

        Raises
        ------
        ArgumentError
            Each sample has several labels of several classes.
        ValueError
            scikit-learn's error for numbers that are no labels, such as 0.5.
        """
        check_classification_targets(y)
        found = type_of_target(y, input_name="y")
        if found == "multilabel-indicator":
            return cls(np.arange(y.shape[1]), "multilabel")
        if found.endswith("multioutput"):
            raise ArgumentError(
                f"Expected one label per sample, or a matrix of zeros and ones, got {found} targets of "
                f"shape {np.shape(y)}. Use sklearn.multioutput.MultiOutputClassifier."
            )
        return cls.named(unique_labels(y))

    @classmethod
    def named(cls, classes: NDArray[Any]) -> "Labels":
        """The labels of one class per sample."""
        return cls(classes, "multiclass" if len(classes) > 2 else "binary")

    def require_same(self, y: NDArray[Any], all_of_them: bool) -> None:
        """Raise an error if y has other classes; or, with `all_of_them`, not all of these."""
        if self.kind == "multilabel":
            if np.ndim(y) != 2 or y.shape[1] != len(self.classes):
                raise ArgumentError(
                    f"Expected targets of shape (n, {len(self.classes)}), as before, got {np.shape(y)}."
                )
            return
        if np.ndim(y) != 1:
            raise ArgumentError(
                f"Expected one label per sample, as before, got targets of shape {np.shape(y)}."
            )
        given = unique_labels(y)
        if all_of_them and not np.array_equal(given, self.classes):
            raise ArgumentError(
                "warm_start can only be used where `y` has the same classes as in the previous call to "
                f"fit: expected {self.classes}, got {given}."
            )
        others = np.setdiff1d(given, self.classes)
        if len(others):
            raise ArgumentError(
                f"`y` has classes not in `self.classes_`: expected {self.classes}, got {others} too."
            )

    def encoded(self, y: NDArray[Any]) -> NDArray[Any]:
        """The number of each sample's class, shape (n,); for several labels, y itself."""
        if self.kind == "multilabel":
            matrix: NDArray[Any] = np.asarray(dense(y))
            return matrix
        return np.searchsorted(self.classes, y)

    def decoded(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """The inverse of `encoded`."""
        if self.kind == "multilabel":
            return numbers.astype(np.int64)
        decoded: NDArray[Any] = self.classes[numbers]
        return decoded
