"""Resident: a compiled step that takes the rows of its batch from data on the device by itself.

A loader of resident data would take each batch in Python, and a meter would compute the metrics there.
As parts of the record they are replayed with the rest of the step.
"""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.compiler import Compiled
from xpnet.compiler.undo import Undone
from xpnet.data.loader import DataLoader
from xpnet.training._compiled import Parts, is_observed, is_watched, means_of, require_forced
from xpnet.training._own import has_own, methods_of
from xpnet.training.batches import Arrays, Loader

if TYPE_CHECKING:
    from xpnet.training.learner import Learner
    from xpnet.training.meter import Meter

__all__ = ["Resident", "has_rows"]


def has_rows(loader: Loader) -> TypeGuard[DataLoader]:
    """Whether a loader's batches are rows of pairs (x, t) that are on the device, and nothing else."""
    if not isinstance(loader, DataLoader) or not has_own(loader, _REPLACED):
        return False
    data = loader.resident_data
    return type(data) is tuple and len(data) == 2 and loader.in_rows


_REPLACED = methods_of(DataLoader, "epoch", "_resident_batches", "take", "taken", "resident_data")


class Resident:
    """Steps of a learner on rows of a loader's data, compiled.

    Parameters
    ----------
    learner : Learner
    loader : DataLoader
        With resident data.
    meter : Meter
        It has the metrics; each epoch has a meter of its own with the same ones.

    Raises
    ------
    CompileError
        XPNET_EXECUTOR=c asks for the C library, and there is none.

    Attributes
    ----------
    reason : str
        Why such a step cannot be compiled; empty if it can be.
    compiled : Compiled
    """

    def __init__(self, learner: "Learner", loader: DataLoader, meter: "Meter") -> None:
        require_forced(learner)
        self.reason = ""
        self._parts = Parts(learner)
        self._averages = self._parts.averages()
        self._loader = loader
        self._keeps = learner.keeps_gradients
        self._sums_gradients = learner.is_distributed
        self._meter = meter
        self._seconds_per_step = math.inf  # of the last steps
        self._recorded = _OnRows(self._parts, loader.resident_data, meter)
        self.compiled = Compiled(
            self._recorded.step,
            fallback=True,
            keep_grad=self._keeps or self._sums_gradients,
            rehearse=True,
            undo=True,
        )

    def is_of(self, learner: "Learner", meter: "Meter") -> bool:
        """Whether these are still the steps of the learner, and the metrics, which can be changed."""
        same = self._parts.is_of(learner) and self._keeps == learner.keeps_gradients
        return same and (meter is self._meter or self._has_metrics_of(meter))

    def _has_metrics_of(self, meter: "Meter") -> bool:
        found = self._recorded
        if found.means != meter.means or found.returns_outputs != bool(meter.accumulators):
            return False
        self._meter = meter  # that of this epoch
        return True

    def suits(self, learner: "Learner", meter: "Meter") -> bool:
        """Whether the next step of the learner can be one of these."""
        if self.reason or learner.compile is False or (is_watched() and not is_observed()):
            return False
        return learner.batch_is_step and self.is_of(learner, meter)

    def steps_within(self, seconds: float, learner: "Learner") -> int:
        """How many of the next steps can be made in one call that takes about this long; at least 1."""
        if learner.schedule is not None or self._sums_gradients or self._meter.accumulators:
            return 1  # between two steps, Python does something
        if is_observed() or not self.compiled.scans_in_one_call:
            return 1
        return max(1, int(seconds / self._seconds_per_step))

    def learn(self, learner: "Learner", batches: Sequence[Array], meter: "Meter") -> None:
        """Learn from the samples in the rows of each batch, and count them in the meter.

        Parameters
        ----------
        learner : Learner
        batches : sequence of arrays, shape (n,)
            One, or as many as `steps_within` allows.
        meter : Meter
        """
        began = time.perf_counter()
        if len(batches) == 1:
            self._learn_one(learner, batches[0], meter)
        else:
            self._learn_together(learner, batches, meter)
        self._seconds_per_step = (time.perf_counter() - began) / len(batches)
        self.reason = self.compiled.trouble

    def _learn_together(self, learner: "Learner", batches: Sequence[Array], meter: "Meter") -> None:
        """Make several steps in one call."""
        learner.forget_observed()
        rows = array_namespace(*batches).stack(list(batches))
        try:
            with self._averages:
                means, _, _ = self.compiled.scan(rows)
        except Undone:
            for batch in batches:
                self._learn_one(learner, batch, meter)
            return
        for of_step in zip(*means, strict=True):
            learner.end_update()
            meter.add_means(int(rows.shape[1]), of_step)

    def _learn_one(self, learner: "Learner", rows: Array, meter: "Meter") -> None:
        """Make one step."""
        if learner.observed_gradients:
            learner.forget_observed()
        if is_observed():
            with learner.observed(*self._loader.take(rows)):
                means, y, t = self._step(learner, rows, meter)
        else:
            means, y, t = self._step(learner, rows, meter)
        meter.add_means(int(rows.shape[0]), means)
        if meter.accumulators:
            meter.accumulate(y, t)

    def _step(self, learner: "Learner", rows: Array, meter: "Meter") -> Any:
        """Make a step; returns what the recorded one returns: the means, the output, the targets."""
        if self._sums_gradients:
            return self._step_with_others(learner, rows, meter)
        try:
            with self._averages:
                found = self.compiled(rows)
        except Undone:
            return self._by_learner(learner, rows, meter)
        learner.end_update()
        return found

    def _step_with_others(self, learner: "Learner", rows: Array, meter: "Meter") -> Any:
        """The same with other ranks: their gradients are added up before the update."""
        n = int(rows.shape[0])
        try:
            found = self.compiled(rows, learner.weight(n), learner.sends(is_compiled=True))
        except Undone:
            return self._by_learner(learner, rows, meter)
        learner.end_batch(n)
        return found

    def _by_learner(
        self, learner: "Learner", rows: Array, meter: "Meter"
    ) -> tuple[list[Any], Arrays, Arrays]:
        """The same by the learner, as it makes all steps if there is a reason."""
        x, t = self._loader.take(rows)
        y, loss = learner.step(x, t)
        y = tree.map(data_of, y)
        return means_of(loss, y, t, meter.means), y, t


class _OnRows:
    """What is recorded: the data, the parts of a step, and the metrics that are means."""

    def __init__(self, parts: Parts, data: Any, meter: "Meter") -> None:
        self.parts = parts
        self.x, self.t = tree.map(_read_only, data)
        self.means = meter.means
        self.returns_outputs = bool(meter.accumulators)

    def step(
        self, rows: Array, weight: float | None = None, sends: bool = False
    ) -> tuple[list[Any], Arrays, Arrays]:
        """Take the rows of a batch, learn from it, and return its means: the loss and the metrics.

        With a weight, only the gradients are computed, of the weight times the loss, and sent to other
        ranks if they are to be.
        """
        x, t = tree.map(lambda a: DataLoader.taken(a, rows), (self.x, self.t))
        if weight is None:
            y, loss = self.parts.whole(x, t)
        else:
            y, loss = self.parts.gradients(x, t, weight, True, sends)
        means = means_of(loss, y, t, self.means)
        if self.returns_outputs:
            return means, tree.map(data_of, y), t
        return means, None, None


def _read_only(x: Array) -> Array:
    """A view that cannot be written to, where the library has such: x and t may then share memory."""
    if not hasattr(x, "flags") or not hasattr(x.flags, "writeable"):
        return x
    view = x[...]
    view.flags.writeable = False
    return view
