"""Metrics that are not means over samples: gathered over batches, and computed at the end."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from xpnet._libraries.devices import follow, follows, stays
from xpnet._own_init import own_init
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.errors import ShapeError, StateError
from xpnet.metrics import classification, ranking, regression
from xpnet.metrics._labels import real_dtype

State = tuple[Array, ...]


class Accumulator:
    """A metric of many batches: statistics of each batch are merged, on the device of the batches.

    Parameters
    ----------
    name : str
        The name of the metric, for example of its column in a history.
    statistics : callable
        (y, t) -> a tuple of arrays, for a batch.
    merge : callable
        (arrays, arrays) -> the arrays of both batches together.
    result : callable
        (*arrays) -> the metric.

    Examples
    --------
    The largest error, which is not a mean:

    >>> from xpnet import current
    >>> largest = Accumulator(
    ...     "largest_error",
    ...     statistics=lambda y, t: (abs(y - t).max(),),
    ...     merge=lambda a, b: (max(a[0], b[0]),),
    ...     result=lambda error: error,
    ... )
    >>> for y, t in (([1.0, 2.0], [1.0, 2.5]), ([3.0], [0.0])):
    ...     largest.update(current().asarray(y), current().asarray(t))
    >>> float(largest.compute())
    3.0
    """

    def __init__(
        self,
        name: str,
        statistics: Callable[[Any, Any], State],
        merge: Callable[[State, State], State],
        result: Callable[..., Any],
    ) -> None:
        self.name = name
        self._statistics = statistics
        self._merge = merge
        self._result = result
        self._state: State = ()

    @follows
    def update(self, y: Array, t: Array) -> None:
        """Add a batch of scores and targets; nothing is copied to the host."""
        new = self._statistics(data_of(y), data_of(t))
        if self._state:
            new = self._merge(self._state, new)
        self._state = new

    @stays
    def compute(self) -> Array | float:
        """The metric of all batches since `reset`, an array on their device; NaN without batches."""
        follow(self._state[:1])
        if not self._state:
            return float("nan")
        return self._result(*self._state)

    def reset(self) -> None:
        """Forget all batches."""
        self._state = ()

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the batches of another metric like this one, given by its `state_dict`."""
        other = tuple(state[f"{i}"] for i in range(len(state)))
        if self._state and other:
            other = self._merge(self._state, other)
        self._state = other or self._state

    def state_dict(self) -> dict[str, Array]:
        """The gathered arrays by name: for a checkpoint."""
        return {f"{i}": array for i, array in enumerate(self._state)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from the result of `state_dict`, with arrays on the device of further batches.

        Raises
        ------
        StateError
            The state is invalid. Then nothing is changed.
        """
        arrays = [state.get(f"{i}") for i in range(len(state))]
        if not all(hasattr(array, "dtype") for array in arrays):
            raise StateError(f"{self!r} expected arrays named 0, 1 and so on, got {dict(state)!r}.")
        self._state = tuple(arrays)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class ConfusionMatrix(Accumulator):
    """`confusion_matrix` over batches: a table, so it is not for a history of numbers.

    Parameters
    ----------
    classes : int, optional
    threshold : float, default 0.5
        These are as for `confusion_matrix`.
    name : str, by default "confusion_matrix"
        Of the metric, for example of its column in a history.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.metrics import ConfusionMatrix
    >>> metric = ConfusionMatrix()
    >>> metric.update(F.asarray([[0.2, 0.8], [0.9, 0.1]]), F.asarray([1, 1]))
    >>> metric.compute().tolist()
    [[0, 0], [1, 1]]
    """

    def __init__(
        self, classes: int | None = None, threshold: float = 0.5, name: str = "confusion_matrix"
    ) -> None:
        def count(y: Array, t: Array) -> State:
            return (classification.confusion_matrix(y, t, classes, threshold),)

        super().__init__(name, count, _added, lambda counts: counts)


class _Rate(Accumulator):
    """A rate that is computed from counts, in the dtype of the scores.

    Counts are integers. So that the dtype survives in the state, an array of zeros of it is kept there.
    """

    rate: ClassVar[str]  # which one: its name in `classification.rate`

    def __init__(
        self,
        average: str | None = "binary",
        zero_division: float = 0.0,
        threshold: float = 0.5,
        classes: int | None = None,
        name: str | None = None,
    ) -> None:
        def count(y: Array, t: Array) -> State:
            counts = classification.confusion_matrix(y, t, classes, threshold)
            return counts, array_namespace(counts).zeros_like(counts, dtype=real_dtype(y))

        def result(counts: Array, like: Array) -> Array:
            return classification.rate(self.rate, counts, average, zero_division, like.dtype)

        super().__init__(name or self.rate, count, _added, result)


@own_init
class Precision(_Rate):
    """`precision` over batches, with its options.

    Parameters
    ----------
    average : {"binary", "macro", "micro", "weighted", None}
    zero_division : float, default 0.0
    threshold : float, default 0.5
    classes : int, optional
        These are as for `precision`.
    name : str, by default "precision"
        Of the metric, for example of its column in a history.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.metrics import Precision
    >>> metric = Precision()
    >>> metric.update(F.asarray([[0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]), F.asarray([1, 1, 0]))
    >>> float(metric.compute())
    0.5
    """

    rate = "precision"


@own_init
class Recall(_Rate):
    """`recall` over batches, with its options.

    Parameters
    ----------
    average : {"binary", "macro", "micro", "weighted", None}
    zero_division : float, default 0.0
    threshold : float, default 0.5
    classes : int, optional
        These are as for `recall`.
    name : str, by default "recall"
        Of the metric, for example of its column in a history.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.metrics import Recall
    >>> metric = Recall()
    >>> metric.update(F.asarray([[0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]), F.asarray([1, 1, 0]))
    >>> float(metric.compute())
    0.5
    """

    rate = "recall"


@own_init
class F1(_Rate):
    """`f1` over batches, with its options.

    Parameters
    ----------
    average : {"binary", "macro", "micro", "weighted", None}
    zero_division : float, default 0.0
    threshold : float, default 0.5
    classes : int, optional
        These are as for `f1`.
    name : str, by default "f1"
        Of the metric, for example of its column in a history.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.metrics import F1
    >>> metric = F1()
    >>> metric.update(F.asarray([[0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]), F.asarray([1, 1, 0]))
    >>> float(metric.compute())
    0.5
    """

    rate = "f1"


class R2(Accumulator):
    """`r2` over batches, from the moments of each batch, so that large targets lose no digits.

    Parameters
    ----------
    average : {"uniform", "variance", None}
        As for `r2`.
    name : str, by default "r2"
        Of the metric, for example of its column in a history.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.metrics import R2
    >>> metric = R2()
    >>> metric.update(F.asarray([1.0, 2.0, 4.0]), F.asarray([1.0, 2.0, 3.0]))
    >>> float(metric.compute())
    0.5
    """

    def __init__(self, average: str | None = "uniform", name: str = "r2") -> None:
        def result(n: Array, mean: Array, squares: Array, errors: Array) -> Array:
            return regression.r2_of_moments(n, mean, squares, errors, average)

        super().__init__(name, regression.moments, regression.merged, result)


class RocAuc(Accumulator):
    """`roc_auc` over batches, with its options. It keeps all scores, as it depends on their order.

    Parameters
    ----------
    average : {"macro", "micro", "weighted", None}
    multi_class : {"ovr", "ovo"}
        These are as for `roc_auc`.
    name : str, by default "roc_auc"
        Of the metric, for example of its column in a history.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.metrics import RocAuc
    >>> metric = RocAuc()
    >>> metric.update(F.asarray([0.1, 0.4, 0.35, 0.8]), F.asarray([0, 0, 1, 1]))
    >>> float(metric.compute())
    0.75
    """

    def __init__(
        self, average: str | None = "macro", multi_class: str = "ovr", name: str = "roc_auc"
    ) -> None:
        def result(y: Array, t: Array) -> Array:
            return ranking.roc_auc(y, t, average, multi_class)

        super().__init__(name, lambda y, t: (y, t), _concatenated, result)
        self._batches: list[State] = []

    def update(self, y: Array, t: Array) -> None:
        self._batches.append((data_of(y), data_of(t)))

    def compute(self) -> Array | float:
        self._concatenate()
        return super().compute()

    def reset(self) -> None:
        super().reset()
        self._batches = []

    def merge(self, state: Mapping[str, Any]) -> None:
        self._concatenate()
        super().merge(state)

    def state_dict(self) -> dict[str, Array]:
        self._concatenate()
        return super().state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._batches = []

    def _concatenate(self) -> None:
        """Concatenate all batches at once; doing so batch by batch would copy all each time."""
        parts = self._batches
        if self._state:
            parts = [self._state, *parts]
        if parts:
            self._state = _concatenated(*parts)
            self._batches = []


def _added(a: State, b: State) -> State:
    """Each count of one state plus that of the other; an error if they have different shapes."""
    if a[0].shape != b[0].shape:  # adding them might broadcast
        raise ShapeError(
            f"Batches of {a[0].shape[0]} and {b[0].shape[0]} classes cannot be added. For class "
            "numbers, pass the number of classes: classes=10."
        )
    return tuple(x + y for x, y in zip(a, b, strict=True))


@follows
def _concatenated(*states: State) -> State:
    """Each array of all states, one after the other along the first axis."""
    xp = array_namespace(states[0][0])
    return tuple(xp.concat(arrays, axis=0) for arrays in zip(*states, strict=True))
