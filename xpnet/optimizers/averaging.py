"""ExponentialMovingAverage: parameters averaged over the steps, which often predict better."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from xpnet.autodiff import Parameter
from xpnet.backend import array_like
from xpnet.devices import follow, stays
from xpnet.errors import ArgumentError
from xpnet.kernels.lookup import kernel
from xpnet.optimizers.base import require_like
from xpnet.saved import whole
from xpnet.tape import clock


class ExponentialMovingAverage:
    """a = decay a + (1 - decay) p, after each step; a begins as p.

    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control
    and Optimization 30, 1992; in this form Tarvainen and Valpola, "Mean teachers are better role
    models", NeurIPS 2017.

    Parameters
    ----------
    parameters : iterable of Parameter
    decay : float
        How much of the average lasts to the next step, from 0 to below 1: the average is about
        one over the last 1 / (1 - decay) steps.
    warmup : bool
        Begin with a smaller decay, min(decay, (1 + t) / (10 + t)) in update t from 1, so that the
        start is forgotten sooner.

    Attributes
    ----------
    averages : list of arrays
        In the order of the parameters.
    updates : int

    Examples
    --------
    >>> p = Parameter([1.0])
    >>> average = ExponentialMovingAverage([p], decay=0.75)
    >>> p.data = 0.0 * p.data
    >>> average.update()
    >>> with average.applied():
    ...     float(p.data[0])
    0.75
    >>> float(p.data[0])
    0.0
    """

    def __init__(
        self, parameters: Iterable[Parameter], decay: float = 0.999, warmup: bool = False
    ) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ArgumentError("ExponentialMovingAverage was given no parameters.")
        if not 0.0 <= decay < 1.0:
            raise ArgumentError(f"ExponentialMovingAverage expected 0 <= decay < 1, got {decay}.")
        self.decay, self.warmup, self.updates = float(decay), warmup, 0
        self.averages = [array_like(p.data, p.data) for p in self.parameters]

    @stays
    def update(self) -> None:
        """Take the parameters as they are now into the average; call it after each step."""
        self.updates += 1
        t, decay = self.updates, self.decay
        if self.warmup:
            decay = min(decay, (1.0 + t) / (10.0 + t))
        for i in self._left_by_kernel(decay):
            a = self.averages[i]
            follow(a)
            a *= decay
            a += (1.0 - decay) * self.parameters[i].data
            self.averages[i] = a

    def _left_by_kernel(self, decay: float) -> Iterable[int]:
        """Update the averages for which there is a kernel, all at once; the indices of the rest."""
        every = range(len(self.averages))
        fast = kernel("update", self.averages[0])
        if fast is None:
            return every
        numbers = {"decay": decay, "rest": 1.0 - decay}
        moves: list[Any] = [(self.averages[i], self.parameters[i].data, []) for i in every]
        left: list[int] = fast("p *= decay; p += rest * g;", numbers, (), moves)
        return left

    @contextmanager
    def applied(self) -> Iterator[None]:
        """A block in which the parameters are their averages: to evaluate, or to save a model.

        What is set within it is lost: afterwards the parameters are what they were. For the
        averages to stay, copy them out: `model.state_dict()` in the block.
        """
        own = [p.data for p in self.parameters]
        self._set([array_like(a, a) for a in self.averages])
        try:
            yield
        finally:
            self._set(own)

    def _set(self, arrays: list[Any]) -> None:
        for p, x in zip(self.parameters, arrays, strict=True):
            p.data, p.changed = x, next(clock)  # a graph that has kept p is out of date

    def state_dict(self) -> dict[str, Any]:
        """The averages, as "0", "1" and so on, in the order of the parameters, and "updates"."""
        return {**{f"{i}": a for i, a in enumerate(self.averages)}, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, with arrays of any library.

        Raises
        ------
        StateError
            It is of other parameters. Then nothing is changed.
        """
        require_like(self, self.state_dict(), state)
        updates = whole(state, "updates")
        averages = [array_like(state[f"{i}"], a) for i, a in enumerate(self.averages)]
        self.updates = updates
        self.averages = averages

    def __repr__(self) -> str:
        return f"ExponentialMovingAverage(decay={self.decay:g})"
