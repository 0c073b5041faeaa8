"""Meter: means over many batches, added up where the batches are."""

import math
from collections.abc import Sequence
from copy import deepcopy
from numbers import Real
from typing import Any

from xpnet._libraries.devices import follow, follows, stays
from xpnet._saved import finite, mapping, whole
from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.backend import current, to_numpy
from xpnet.errors import ArgumentError, ArgumentTypeError, ShapeError, StateError

Metric = Any  # a function (y, t) -> mean, or an object with update, compute, reset and name


class Meter:
    """Adds up the loss and the metrics of batches on their device, and asks for them seldom.

    A number that is brought to the host makes the host wait for the device: once a log line is
    seldom enough, once a step is not.

    Parameters
    ----------
    metrics : sequence of metrics
        Functions `(y, t) -> mean over the batch`, each figure called like its function; and objects
        with `update(y, t)`, `compute()`, `reset()` and `name`, as those of `xpnet.metrics` that
        are no means. The meter has objects of its own, copies of these.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        if not isinstance(metrics, (list, tuple)) or not all(map(_is_metric, metrics)):
            raise ArgumentTypeError(
                f"Expected metrics in a list, as [accuracy, F1()], got {metrics!r}."
            )
        self.means = [metric for metric in metrics if not hasattr(metric, "compute")]
        self.wholes = [deepcopy(metric) for metric in metrics if hasattr(metric, "compute")]
        for metric in self.wholes:
            metric.reset()
        self.order = ["loss", *map(name_of, metrics)]
        if twice := {name for name in self.order if self.order.count(name) > 1}:
            raise ArgumentError(
                f"Expected metrics of different names, none of them 'loss'; got {sorted(twice)} "
                'twice. Objects can be named: F1(average="macro", name="macro_f1").'
            )
        self.names = ["loss", *map(name_of, self.means)]
        self.sums: list[Any] = []
        self.seen = 0

    @follows
    def add(self, loss: Any, y: Array, t: Array) -> None:
        """Count a batch: its loss, a mean over its samples, and its metrics."""
        n = samples(t)
        y = tree.map(data_of, y)
        means = [data_of(loss), *(metric(y, t) for metric in self.means)]
        news = [mean * float(n) for mean in means]
        if old := self.sums:
            self.sums = [a + b for a, b in zip(old, news, strict=True)]
        else:
            for name, mean in zip(self.names, means, strict=True):
                _require_number(name, getattr(mean, "shape", ()))
            self.sums = news
        for metric in self.wholes:
            metric.update(y, t)
        self.seen += n

    @stays
    def read(self) -> dict[str, float]:
        """The means over all samples seen, by name, in one transfer; NaN before the first."""
        if not self.sums:
            return dict.fromkeys(self.names, math.nan)
        arrays = [s for s in self.sums if not self._by_hand(s)]
        follow(arrays[:1])
        there = iter(to_numpy(array_namespace(*arrays).stack(arrays)).tolist() if arrays else ())
        sums = [s if self._by_hand(s) else next(there) for s in self.sums]
        return {name: float(s) / self.seen for name, s in zip(self.names, sums, strict=True)}

    def _by_hand(self, s: Any) -> bool:
        """Whether a sum is on the host: a Python number, or NumPy's unlike the loss."""
        return isinstance(s, float) or (isinstance(s, Real) and type(s) is not type(self.sums[0]))

    def result(self, means: dict[str, float] | None = None) -> dict[str, float]:
        """The means, and what is no mean: a transfer for each of these. For an epoch's end.

        `means` is what `read` just gave, if it was asked.

        Raises
        ------
        ShapeError
            A metric is no number.
        """
        figures = dict(means or self.read())
        for metric in self.wholes:
            value = to_numpy(metric.compute())
            _require_number(name_of(metric), value.shape)
            figures[name_of(metric)] = float(value)
        return {name: figures[name] for name in self.order}

    def state_dict(self) -> dict[str, Any]:
        """What was added up so far: the arrays themselves."""
        sums = [float(s) if self._by_hand(s) else s for s in self.sums]
        return {
            "seen": self.seen,
            "sums": dict(zip(self.names, sums, strict=False)),
            "metrics": {name_of(metric): metric.state_dict() for metric in self.wholes},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave, with arrays of any library.

        Raises
        ------
        StateError
            It is of other metrics, or its numbers are invalid.
        """
        there = current()
        given, own = mapping(state, "sums"), mapping(state, "metrics")
        seen = whole(state, "seen")
        names = [name_of(metric) for metric in self.wholes]
        if sorted(given) != sorted(self.names if seen else []) or sorted(own) != sorted(names):
            raise StateError(f"Expected the sums of {self.names} and {names}, got another state.")
        sums = []
        for name in given and self.names:
            if not hasattr(given[name], "shape"):
                finite(given, name)
            elif tuple(given[name].shape):
                raise StateError(f"Expected the sum of {name} to be a number, got an array.")
            s = given[name]
            sums.append(s if isinstance(s, Real) else there.asarray(s))
        for metric in self.wholes:
            found = mapping(own, name_of(metric))
            metric.load_state_dict(
                tree.map(lambda x: there.asarray(x) if hasattr(x, "dtype") else x, found)
            )
        self.seen = seen
        self.sums = sums


def _is_metric(metric: Metric) -> bool:
    return not isinstance(metric, type) and (callable(metric) or hasattr(metric, "compute"))


def _require_number(name: str, shape: tuple[int, ...]) -> None:
    if shape := tuple(shape):
        raise ShapeError(
            f"The metric {name} is no number, but an array of shape {shape}: a history has no place "
            'for it. Compute it after the training, or take a mean, as average="macro".'
        )


def name_of(metric: Metric) -> str:
    """What a metric's column is called."""
    name = getattr(metric, "name", None) or getattr(metric, "__name__", None)
    return str(name or type(metric).__name__)


def samples(batch: Any) -> int:
    """How many samples a batch has: an array, or a tuple or dict of these."""
    array = batch if hasattr(batch, "shape") else tree.leaves(batch)[0]
    return int(array.shape[0])
