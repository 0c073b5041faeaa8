"""Metrics that are no means over samples: added up over batches, and computed at the end."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from xpnet._libraries.devices import follow, follows, stays
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.errors import ShapeError, StateError
from xpnet.metrics import classification, ranking, regression
from xpnet.metrics._labels import real_dtype

State = tuple[Any, ...]


class Accumulator:
    """A metric of many batches: what is to be known of them is gathered where they are.

    Parameters
    ----------
    name : str
        What the metric's column is called.
    statistics : callable
        (y, t) -> arrays of a batch.
    merge : callable
        (arrays, arrays) -> the arrays of both batches together.
    result : callable
        (*arrays) -> the metric.

    Examples
    --------
    The largest error of all, which is no mean:

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
        self._statistics, self._merge, self._result = statistics, merge, result
        self._state: State = ()

    @follows
    def update(self, y: Array, t: Array) -> None:
        """Count a batch of scores and targets; nothing comes to the host."""
        new = self._statistics(data_of(y), data_of(t))
        self._state = self._merge(self._state, new) if self._state else new

    @stays
    def compute(self) -> Any:
        """The metric of all batches since `reset`, an array on their device; nan of none."""
        follow(self._state[:1])
        return self._result(*self._state) if self._state else float("nan")

    def reset(self) -> None:
        """Forget all batches."""
        self._state = ()

    def state_dict(self) -> dict[str, Any]:
        """What was gathered, by name: for a checkpoint."""
        return {f"{i}": array for i, array in enumerate(self._state)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from what `state_dict` gave, arrays on the device of the batches to come.

        Raises
        ------
        StateError
            It is no such state. Then nothing is changed.
        """
        arrays = [state.get(f"{i}") for i in range(len(state))]
        if not all(hasattr(array, "dtype") for array in arrays):
            raise StateError(f"{self!r} expected arrays named 0, 1 and so on, got {dict(state)!r}.")
        self._state = tuple(arrays)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class ConfusionMatrix(Accumulator):
    """`confusion_matrix` over batches. A table: for `compute`, not for a history of numbers."""

    def __init__(
        self, classes: int | None = None, threshold: float = 0.5, name: str = "confusion_matrix"
    ) -> None:
        def count(y: Array, t: Array) -> State:
            return (classification.confusion_matrix(y, t, classes, threshold),)

        super().__init__(name, count, _added, lambda counts: counts)


class _Rate(Accumulator):
    """A rate of counts. Counts know no floating-point dtype, so that of the scores is kept too."""

    figure: ClassVar[str]

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

        def rate(counts: Any, like: Any) -> Any:
            return classification.rate(self.figure, counts, average, zero_division, like.dtype)

        super().__init__(name or self.figure, count, _added, rate)


class Precision(_Rate):
    """`precision` over batches, with its options."""

    figure = "precision"


class Recall(_Rate):
    """`recall` over batches, with its options."""

    figure = "recall"


class F1(_Rate):
    """`f1` over batches, with its options."""

    figure = "f1"


class R2(Accumulator):
    """`r2` over batches, by the moments of each, so that large targets lose no digits."""

    def __init__(self, average: str | None = "uniform", name: str = "r2") -> None:
        def result(n: Any, mean: Array, squares: Any, errors: Any) -> Array:
            return regression.of_moments(n, mean, squares, errors, average)

        super().__init__(name, regression.moments, regression.merged, result)


class RocAuc(Accumulator):
    """`roc_auc` over batches, with its options. It keeps all scores: order is known at the end."""

    def __init__(
        self, average: str | None = "macro", multi_class: str = "ovr", name: str = "roc_auc"
    ) -> None:
        def result(y: Array, t: Array) -> Array:
            return ranking.roc_auc(y, t, average, multi_class)

        super().__init__(name, lambda y, t: (y, t), _joined, result)
        self._batches: list[State] = []

    def update(self, y: Array, t: Array) -> None:
        self._batches.append((data_of(y), data_of(t)))

    def compute(self) -> Any:
        self._join()
        return super().compute()

    def reset(self) -> None:
        super().reset()
        self._batches = []

    def state_dict(self) -> dict[str, Any]:
        self._join()
        return super().state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._batches = []

    def _join(self) -> None:
        """Make one batch of all, at once: to join them one by one would copy them each time."""
        parts = [self._state, *self._batches] if self._state else self._batches
        if parts:
            self._state, self._batches = _joined(*parts), []


def _added(a: State, b: State) -> State:
    if a[0].shape != b[0].shape:  # they might broadcast
        raise ShapeError(
            f"Batches of {a[0].shape[0]} and {b[0].shape[0]} classes do not add up. Of class "
            "numbers, say how many there are: classes=10."
        )
    return tuple(x + y for x, y in zip(a, b, strict=True))


@follows
def _joined(*states: State) -> State:
    xp = array_namespace(states[0][0])
    return tuple(xp.concat(arrays, axis=0) for arrays in zip(*states, strict=True))
