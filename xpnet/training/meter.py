"""Meter: means over many batches, added up on the device of the batches."""

import math
from collections.abc import Sequence
from copy import copy, deepcopy
from numbers import Real
from typing import Any

from xpnet._libraries.devices import follow, follows, stays
from xpnet._saved import finite, mapping, whole
from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Variable, data_of
from xpnet.backend import current, to_numpy
from xpnet.distributed import Communicator, broadcast_tree, total
from xpnet.errors import ArgumentError, ArgumentTypeError, ShapeError, StateError
from xpnet.training.batches import Arrays, samples

Metric = Any  # a function (y, t) -> mean over the batch, or an object: see `Meter`


class Meter:
    """Adds up the loss and the metrics of batches on their device, and transfers sums when asked.

    The host waits for the device whenever a number is transferred. Once per log line this does not
    matter; once per step it would. The mean over all samples is computed from the batches' means:

        sum over the batches of (samples in the batch * mean over the batch) / all samples

    Parameters
    ----------
    metrics : sequence of metrics
        Functions `(y, t) -> mean over the batch`, whose figures have the function's name; and
        objects with `update(y, t)`, `compute()`, `reset()` and `name`, such as `xpnet.metrics.F1()`,
        for figures that are not means over samples. The meter uses copies of these objects.

    Attributes
    ----------
    seen : int
        The number of samples that were added.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        if not isinstance(metrics, (list, tuple)) or not all(map(_is_metric, metrics)):
            raise ArgumentTypeError(
                f"Expected metrics in a list, such as [accuracy, F1()], got {metrics!r}."
            )
        self.means = [metric for metric in metrics if not hasattr(metric, "compute")]
        self.accumulators = [deepcopy(metric) for metric in metrics if hasattr(metric, "compute")]
        for metric in self.accumulators:
            metric.reset()
        self.columns = ["loss", *map(name_of, metrics)]
        twice = {name for name in self.columns if self.columns.count(name) > 1}
        if twice:
            raise ArgumentError(
                f"Expected metrics of different names, none of them 'loss'; got {sorted(twice)} "
                'twice. Objects can be named: F1(average="macro", name="macro_f1").'
            )
        self.names = ["loss", *map(name_of, self.means)]  # of the sums; the loss is the first
        self.sums: list[Array | float] = []
        self.seen = 0

    @follows
    def add(self, loss: Variable | Array | float, y: Arrays, t: Arrays) -> None:
        """Count a batch: its loss, a mean over its samples, and its metrics."""
        y = tree.map(data_of, y)
        self.add_means(samples(t), [data_of(loss), *(metric(y, t) for metric in self.means)])
        self.accumulate(y, t)

    @follows
    def add_means(self, n: int, means: Sequence[Array | float]) -> None:
        """Count a batch of n samples: its loss and those metrics that are means, in their order."""
        sums = [mean * float(n) for mean in means]
        if self.sums:
            self.sums = [a + b for a, b in zip(self.sums, sums, strict=True)]
        else:
            for name, mean in zip(self.names, means, strict=True):
                _require_number(name, getattr(mean, "shape", ()))
            self.sums = sums
        self.seen += n

    def accumulate(self, y: Arrays, t: Arrays) -> None:
        """Count a batch in the metrics that are objects."""
        for metric in self.accumulators:
            metric.update(y, t)

    def read(self) -> dict[str, float]:
        """The means over all samples seen, by name, in one transfer; NaN before the first batch."""
        if not self.sums:
            return dict.fromkeys(self.names, math.nan)
        means = [s / self.seen for s in self._sums_on_host()]
        return dict(zip(self.names, means, strict=True))

    def of_all_ranks(self, communicator: Communicator, complete: bool = True) -> "Meter":
        """A meter with the batches of all ranks; each rank calls this.

        Parameters
        ----------
        communicator : Communicator
        complete : bool
            Whether the metrics that are objects are merged; if not, they stay those of this rank.
        """
        if communicator.size == 1:
            return self
        own = self._sums_on_host() or [0.0] * len(self.names)
        seen, *sums = total(communicator, [self.seen, *own])
        whole = copy(self)
        whole.seen = int(seen)
        whole.sums = list(sums) if whole.seen else []
        if complete:
            whole.accumulators = [_merged(metric, communicator) for metric in self.accumulators]
        return whole

    @stays
    def _sums_on_host(self) -> list[float]:
        """The sums as Python's numbers, in one transfer."""
        arrays = [s for s in self.sums if not self._is_on_host(s)]
        follow(arrays[:1])
        transferred: list[float] = []
        if arrays:
            transferred = to_numpy(array_namespace(*arrays).stack(arrays)).tolist()
        remaining = iter(transferred)
        return [float(s if self._is_on_host(s) else next(remaining)) for s in self.sums]

    def _is_on_host(self, s: Array | float) -> bool:
        """Whether a sum is a Python number, or a NumPy scalar of another type than that of the loss.

        On NumPy the loss is a NumPy scalar itself, and sums of its type are stacked like arrays.
        """
        return isinstance(s, float) or (isinstance(s, Real) and type(s) is not type(self.sums[0]))

    def result(self, means: dict[str, float] | None = None) -> dict[str, float]:
        """All figures: the means, and those of metric objects, with one transfer for each object.

        Parameters
        ----------
        means : dict, optional
            What `read` has just returned, to save its transfer.

        Raises
        ------
        ShapeError
            A metric is an array, not a number.
        """
        figures = dict(means or self.read())
        for metric in self.accumulators:
            value = to_numpy(metric.compute())
            _require_number(name_of(metric), value.shape)
            figures[name_of(metric)] = float(value)
        return {name: figures[name] for name in self.columns}

    def state_dict(self) -> dict[str, Any]:
        """The sums so far; arrays are not copied."""
        sums = [float(s) if self._is_on_host(s) else s for s in self.sums]
        return {
            "seen": self.seen,
            "sums": dict(zip(self.names, sums, strict=False)),
            "metrics": {name_of(metric): metric.state_dict() for metric in self.accumulators},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned, with arrays of any library.

        Raises
        ------
        StateError
            The state has other metrics, or its numbers are invalid.
        """
        backend = current()
        seen = whole(state, "seen")
        saved_sums = mapping(state, "sums")
        saved_metrics = mapping(state, "metrics")
        expected = self.names if seen else []
        names = [name_of(metric) for metric in self.accumulators]
        if sorted(saved_sums) != sorted(expected) or sorted(saved_metrics) != sorted(names):
            raise StateError(f"Expected the sums of {self.names} and {names}, got another state.")
        sums = []
        for name in expected:
            s = saved_sums[name]
            if not hasattr(s, "shape"):
                finite(saved_sums, name)
            elif tuple(s.shape):
                raise StateError(f"Expected the sum of {name} to be a number, got an array.")
            sums.append(s if isinstance(s, Real) else backend.asarray(s))
        for metric in self.accumulators:
            saved = mapping(saved_metrics, name_of(metric))
            metric.load_state_dict(_on_device(saved))
        self.seen = seen
        self.sums = sums


def require_mergeable(metrics: Sequence[Metric]) -> None:
    """Raise ArgumentError if a metric object cannot be merged with that of another rank."""
    for metric in metrics:
        if not (hasattr(metric, "merge") and hasattr(metric, "state_dict")):
            raise ArgumentError(
                f"Expected metrics that can be merged over the ranks of a distributed training, got "
                f"{metric!r}: give it the methods state_dict() and merge(state)."
            )


def _merged(metric: Metric, communicator: Communicator) -> Metric:
    """A metric object with the batches of all ranks."""
    whole = deepcopy(metric)
    whole.reset()
    for rank in range(communicator.size):
        whole.merge(_on_device(broadcast_tree(communicator, metric.state_dict(), rank)))
    return whole


def _on_device(state: Any) -> Any:
    """A state with its arrays on the current backend's device."""
    backend = current()
    return tree.map(lambda x: backend.asarray(x) if hasattr(x, "dtype") else x, state)


def _is_metric(metric: Metric) -> bool:
    return not isinstance(metric, type) and (callable(metric) or hasattr(metric, "compute"))


def _require_number(name: str, shape: tuple[int, ...]) -> None:
    if tuple(shape):
        raise ShapeError(
            f"Expected the metric {name} to be a number, got an array of shape {tuple(shape)}, which "
            'a history cannot hold. Compute it after the training, or take a mean: average="macro".'
        )


def name_of(metric: Metric) -> str:
    """The name of a metric's column in the history."""
    name = getattr(metric, "name", None) or getattr(metric, "__name__", None)
    return str(name or type(metric).__name__)
