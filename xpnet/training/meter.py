"""Meter: means over many batches, added up where the batches are."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from xpnet.autodiff import data_of
from xpnet.backend import to_numpy
from xpnet.namespace import array_namespace

Metric = Callable[[Any, Any], Any]


class Meter:
    """Adds up the loss and the metrics of batches on their device, and asks for them seldom.

    A number that is brought to the host makes the host wait for the device: once a log line is
    seldom enough, once a step is not.

    Parameters
    ----------
    metrics : sequence of functions `(y, t) -> mean over the batch`
        Each figure is called like its function.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.metrics = metrics
        self.names = ["loss", *(metric.__name__ for metric in metrics)]
        self.sums: list[Any] = []
        self.seen = 0

    def add(self, loss: Any, y: Any, t: Any) -> None:
        """Count a batch: its loss, a mean over its samples, and its metrics."""
        n, y = t.shape[0], data_of(y)
        means = [data_of(loss), *(metric(y, t) for metric in self.metrics)]
        news = [mean * float(n) for mean in means]
        old = self.sums
        self.sums = [a + b for a, b in zip(old, news, strict=True)] if old else news
        self.seen += n

    def read(self) -> dict[str, float]:
        """The means over all samples seen, by name, in one transfer; NaN before the first."""
        if not self.sums:
            return dict.fromkeys(self.names, math.nan)
        xp = array_namespace(*self.sums)
        sums = to_numpy(xp.stack(self.sums)).tolist()
        return {name: s / self.seen for name, s in zip(self.names, sums, strict=True)}
