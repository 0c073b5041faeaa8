"""Splitting samples into training and test, and scaling their features.

>>> train, test = split(np.asarray([0, 0, 0, 0, 1, 1]), 0.5, seed=0)
>>> len(train), len(test)
(3, 3)
>>> scale = Standardizer.of(np.asarray([[1.0, 5.0], [3.0, 5.0]]))
>>> scale(np.asarray([[2.0, 6.0]]))
array([[0., 1.]])
"""

import math
import operator
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet._printable import counted
from xpnet.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError, StateError

Rows = NDArray[np.int64]


def split(t: ArrayLike, fraction: float = 0.2, seed: int = 0) -> tuple[Rows, Rows]:
    """Draw the rows for training and those for the test, each in ascending order.

    So that scores can be compared, they are the rows of scikit-learn's `train_test_split` with
    `test_size=fraction`, `random_state=seed`, and for classes `stratify=t`. Where that fails or leaves
    no sample of a class for training, one of the class stays there.

    Parameters
    ----------
    t : array-like, shape (n,) or (n, ...)
        The targets. Integers, booleans and strings of shape (n,) are classes: each is split in the
        same proportion, as nearly as possible, and keeps at least one sample for training.
    fraction : float
        The test's share, above 0 and below 1; of n samples, ceil(fraction n) are for the test.
    seed : int
        The same seed, from 0, draws the same rows.

    Returns
    -------
    train, test : ndarray of int64

    Raises
    ------
    ArgumentError
        The fraction or the seed is out of range.
    ArgumentTypeError
        The seed is not a whole number; or the targets are objects other than strings, such as None.
    ShapeError
        There is no axis of samples.
    DataError
        There are too few samples: one of the two parts would be empty.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet.data import split
    >>> train, test = split(["a", "a", "a", "a", "b", "b", "b", "b"], fraction=0.25)
    >>> len(train), len(test)
    (6, 2)
    """
    if not 0 < fraction < 1:
        raise ArgumentError(f"Expected a fraction between 0 and 1, got {fraction}.")
    t = _checked_targets(np.asarray(t))
    rng = _legacy_generator(seed)
    tested = math.ceil(fraction * len(t))
    if t.ndim == 1 and t.dtype.kind in "biuSUT":
        test = _draw_by_class(t, tested, rng)
    else:
        test = rng.permutation(len(t))[:tested]
    test = np.sort(test).astype(np.int64)
    train = np.setdiff1d(np.arange(len(t)), test, assume_unique=True)
    if not len(test) or not len(train):
        raise DataError(
            f"{counted(len(t), 'sample')} {'is' if len(t) == 1 else 'are'} too few to hold out "
            f"{fraction:g} of them for the test. Give more, or separate test data. (One sample of each class stays for training.)"
        )
    return train, test


def _checked_targets(t: NDArray[Any]) -> NDArray[Any]:
    """The targets; strings that are held as objects, as in pandas, become NumPy's strings."""
    if t.ndim == 0:
        raise ShapeError(
            "Expected the targets of samples, of shape (n,) or (n, ...), got shape ()."
        )
    if t.dtype.kind != "O":
        return t
    others = [x for x in t.flat if not isinstance(x, str)]
    if others:
        raise ArgumentTypeError(
            f"Expected numbers or strings as targets, got objects such as {others[0]!r}."
        )
    return t.astype(str)


def _legacy_generator(seed: int) -> np.random.RandomState:
    """NumPy's older generator, which scikit-learn uses, and whose numbers NumPy will not change."""
    try:
        seed = operator.index(seed)
    except TypeError:
        raise ArgumentTypeError(f"Expected a whole number as the seed, got {seed!r}.") from None
    if seed < 0:
        raise ArgumentError(f"Expected a seed of at least 0, got {seed}.")
    if seed >= 2**32:  # which only the newer generators take
        return np.random.RandomState(np.random.MT19937(seed))
    return np.random.RandomState(seed)


def _draw_by_class(t: NDArray[Any], tested: int, rng: np.random.RandomState) -> Rows:
    """Draw so many rows for the test, from each class in proportion to its samples."""
    if not len(t):
        return np.zeros(0, np.int64)
    _, label, sizes = np.unique(t, return_inverse=True, return_counts=True)
    kept = _in_proportion(sizes, len(t) - tested, rng)
    # These are what is left. They are computed as in scikit-learn, since the generator is used where
    # rounding makes fractions of them.
    counts = _in_proportion(sizes - kept, tested, rng)
    drawn: list[Rows] = []
    groups = np.split(np.argsort(label, kind="stable"), np.cumsum(sizes)[:-1])
    for rows, start, count in zip(groups, kept, counts, strict=True):
        shuffled = rng.permutation(rows)
        drawn.append(shuffled[max(start, 1) : start + count])
    return np.concatenate(drawn)


def _in_proportion(sizes: Rows, total: int, rng: np.random.RandomState) -> Rows:
    """Whole numbers in proportion to the sizes, whose sum is the total.

    All are rounded down. What is left of the total goes to those with the largest remainders, one
    each; among equal remainders the generator chooses.
    """
    exact = sizes / sizes.sum() * total
    shares = np.floor(exact)
    remainders = exact - shares
    left = int(total - shares.sum())
    for remainder in np.unique(remainders)[::-1]:
        if left <= 0:
            break
        (equal,) = np.nonzero(remainders == remainder)
        chosen = rng.choice(equal, size=min(len(equal), left), replace=False)
        shares[chosen] += 1
        left -= len(chosen)
    whole: Rows = shares.astype(np.int64)
    return whole


class Standardizer(NamedTuple):
    """(x - mean) / scale, feature by feature, with the mean and the scale of the training data.

    Attributes
    ----------
    mean, scale : tuple of float
        One number for each feature; Python floats, which JSON stores exactly.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet.data import Standardizer
    >>> scaled = Standardizer.of([[1.0, 10.0], [3.0, 30.0]])
    >>> scaled.mean, scaled.scale
    ((2.0, 20.0), (1.0, 10.0))
    >>> scaled([[3.0, 20.0]]).tolist()
    [[1.0, 0.0]]
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def of(cls, x: ArrayLike) -> Self:
        """The standardizer for training data of shape (n, features).

        The scale is the standard deviation. For a constant feature it is 1, and the feature becomes 0.
        """
        x = np.asarray(x, np.float64)
        if x.ndim != 2 or not len(x):
            raise ShapeError(f"Expected x of shape (n, features), n >= 1, got {x.shape}.")
        mean = x.mean(axis=0)
        scale = x.std(axis=0)
        # Rounding moves the mean of equal numbers, so their deviation is not exactly 0.
        scale = np.where(scale > 1e-12 * np.abs(mean), scale, 1.0)
        return cls(tuple(mean.tolist()), tuple(scale.tolist()))

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """The standardizer from the dict that `_asdict` returned.

        Raises
        ------
        StateError
            Mean or scale is missing or invalid.
        """
        try:
            mean, scale = (tuple(map(float, stored[name])) for name in ("mean", "scale"))
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise StateError(f"Expected the mean and scale of numbers: {error!r}.") from error
        return cls(mean, scale)

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """x, shape (n, features), standardised."""
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != len(self.mean):
            raise ShapeError(f"Expected x of shape (n, {len(self.mean)}), got {x.shape}.")
        y: NDArray[Any] = (x - np.asarray(self.mean)) / np.asarray(self.scale)
        return y
