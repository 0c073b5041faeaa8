"""ExponentialMovingAverage: parameters averaged over the steps, which often predict better."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from threading import Lock
from types import MappingProxyType
from typing import Any

from xpnet._libraries.devices import follow, stays
from xpnet._saved import whole
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_types
from xpnet.autodiff.variable import Parameter, Variable
from xpnet.backend import array_like
from xpnet.errors import ArgumentError
from xpnet.kernels.lookup import kernel
from xpnet.optimizers.base import require_like


class _StandIn:
    """What a parameter's data are in a block of `applied`."""

    def __init__(self, parameter: Variable, data: Any) -> None:
        self.parameter = parameter  # kept, so that no other has its id
        self.data = data


_stand_ins: ContextVar[Mapping[int, _StandIn]] = ContextVar(
    "xpnet_averages", default=MappingProxyType({})
)
_data: Any = Variable.__dict__["data"]


class _Averaged:
    """What is added to the class of a parameter that has an average: data by the block.

    However the parameter is reached, by its layer, a closure or a list, in a block of `applied` its
    data are the average. A parameter without an average pays nothing for it.
    """

    __slots__ = ()

    @property
    def data(self) -> Any:
        own = _stand_ins.get().get(id(self))
        return _data.__get__(self) if own is None else own.data

    @data.setter
    def data(self, x: Array) -> None:
        own = _stand_ins.get().get(id(self))
        if own is None:
            _data.__set__(self, x)
        else:
            own.data = x


@cache
def _averaged(kind: Any) -> Any:
    """A class of parameters as one of parameters that have an average."""
    if issubclass(kind, _Averaged):
        return kind
    attributes = {"__slots__": (), "__module__": kind.__module__, "alone": kind}
    made = type(kind.__name__, (_Averaged, kind), attributes)  # copies are of the plain class
    array_types.add(made)
    return made


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
        self._lock = Lock()  # no block begins with averages that are half updated
        self._mark()

    @stays
    def update(self) -> None:
        """Take the parameters as they are now into the average; call it after each step."""
        with self._lock:
            self._update()

    def _update(self) -> None:
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

        They are so for what is computed in this block, by this thread: in another, which may be
        training the model, `data` are the parameters' own.

        What is set within it is lost: afterwards the parameters are what they were. A graph keeps
        the numbers that it was recorded with, wherever `backward` is called. For the
        averages to stay, copy them out: `model.state_dict()` in the block.
        """
        with self._lock:
            copies = [array_like(a, a) for a in self.averages]
        mine = {id(p): _StandIn(p, x) for p, x in zip(self.parameters, copies, strict=True)}
        token = _stand_ins.set({**_stand_ins.get(), **mine})
        try:
            yield
        finally:
            _stand_ins.reset(token)

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

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=Lock())
        self._mark()  # copies of parameters are of the plain class

    def _mark(self) -> None:
        """Give each parameter a class whose data depend on the block."""
        for p in self.parameters:
            kind: Any = type(p)
            p.__class__ = _averaged(kind)

    def __repr__(self) -> str:
        return f"ExponentialMovingAverage(decay={self.decay:g})"
