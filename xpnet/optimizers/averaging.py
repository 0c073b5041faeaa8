"""ExponentialMovingAverage: parameters averaged over the steps, which often predict better."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cache
from threading import RLock
from types import MappingProxyType
from typing import Any, ClassVar

from xpnet._each_step import each_step
from xpnet._libraries.devices import follow, stays
from xpnet._saved import whole
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_types
from xpnet.autodiff.variable import Parameter, Variable
from xpnet.backend import array_like
from xpnet.errors import ArgumentError
from xpnet.kernels.lookup import kernel
from xpnet.optimizers.base import require_like


class _Applied:
    """A parameter's average, in a block of `applied`."""

    def __init__(self, parameter: Variable, data: Array) -> None:
        self.parameter = parameter  # kept alive, so that no other object gets its id
        self.data = data


_NONE: Mapping[int, _Applied] = MappingProxyType({})

_applied: ContextVar[Mapping[int, _Applied]] = ContextVar("xpnet_averages", default=_NONE)
"""The averages of this block, by the ids of their parameters."""

_slot_of_data: Any = Variable.__dict__["data"]  # past the property of Parameter
_checked_data: Any = Parameter.__dict__["data"]  # the property, which refuses a Variable


class _Averaged:
    """A base class, added to the class of each parameter with an average: `data` depends on the block.

    In a block of `applied`, `data` is the average, whether the parameter is reached by its layer, a
    closure or a list. For a parameter without an average, `data` takes no longer than before.
    """

    __slots__ = ()
    own_data: ClassVar[Any]  # where the parameter has its data: `data` of the class that it had

    @property
    def data(self) -> Any:
        average = _applied.get().get(id(self))
        if average is None:
            return type(self).own_data.__get__(self)
        return average.data

    @data.setter
    def data(self, x: Array) -> None:
        if isinstance(x, Variable):
            _checked_data.__set__(self, x)  # raises an error, which names what to write
        average = _applied.get().get(id(self))
        if average is None:
            type(self).own_data.__set__(self, x)
        else:
            average.data = x


@cache
def _averaged(kind: Any) -> Any:
    """The subclass of a class of parameters whose `data` depends on the block."""
    if issubclass(kind, _Averaged):
        return kind
    # A copy of the parameter has no average, so it has the plain class.
    attributes = {"__slots__": (), "__module__": kind.__module__, "class_of_copies": kind}
    attributes["own_data"] = _slot_of_data if kind.data is _checked_data else kind.data
    subclass = type(kind.__name__, (_Averaged, kind), attributes)
    array_types.add(subclass)
    return subclass


@contextmanager
def standing_in(parameters: Iterable[Parameter], arrays: Iterable[Array]) -> Iterator[None]:
    """A block in which the parameters' data are these arrays, in this thread.

    The parameters are those of an `ExponentialMovingAverage`.
    """
    applied = {id(p): _Applied(p, x) for p, x in zip(parameters, arrays, strict=True)}
    token = _applied.set({**_applied.get(), **applied})
    try:
        yield
    finally:
        _applied.reset(token)


class ExponentialMovingAverage:
    """Averages of parameters: a = decay a + (1 - decay) p after each step; initially, a is p.

    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control
    and Optimization 30, 1992; in this form Tarvainen and Valpola, "Mean teachers are better role
    models", NeurIPS 2017.

    Parameters
    ----------
    parameters : iterable of Parameter
    decay : float
        The share of the average that remains in the next step, from 0 to below 1: it averages over
        about the last 1 / (1 - decay) steps.
    warmup : bool
        Start with a smaller decay, min(decay, (1 + t) / (10 + t)) in update t from 1, so that the
        initial parameters lose their weight sooner.

    Attributes
    ----------
    averages : list of arrays
        In the order of the parameters.
    updates : int
        How often `update` was called.

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

    # A compiled step reads these numbers anew each time: see `each_step`.
    numbers_of_each_step: ClassVar[tuple[str, ...]] = ("decay", "updates", "warmup")

    def __init__(
        self, parameters: Iterable[Parameter], decay: float = 0.999, warmup: bool = False
    ) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ArgumentError("ExponentialMovingAverage was given no parameters.")
        if not 0.0 <= decay < 1.0:
            raise ArgumentError(f"ExponentialMovingAverage expected 0 <= decay < 1, got {decay}.")
        self.decay = float(decay)
        self.warmup = warmup
        self.updates = 0
        self.averages = [array_like(p.data, p.data) for p in self.parameters]
        self._lock = RLock()  # so that no block starts with averages that are half updated
        self._change_classes()

    @stays
    def update(self) -> None:
        """Include the current parameters in the averages; call it after each step."""
        with self._lock:
            self._update()

    def _update(self) -> None:
        """`update`, with the lock held."""
        numbers = each_step(self._advanced)
        for i in self._left_by_kernel(numbers):
            a = self.averages[i]
            follow(a)
            a *= numbers["decay"]
            a += numbers["rest"] * self.parameters[i].data
            self.averages[i] = a

    def _advanced(self) -> dict[str, float]:
        """Count an update, and return its numbers: a = decay a + rest p."""
        self.updates += 1
        decay = self.decay
        if self.warmup:
            decay = min(decay, (1.0 + self.updates) / (10.0 + self.updates))
        return {"decay": decay, "rest": 1.0 - decay}

    def _left_by_kernel(self, numbers: dict[str, float]) -> Iterable[int]:
        """Update all averages for which there is a kernel; return the indices of the others."""
        indices = range(len(self.averages))
        fast = kernel("update", self.averages[0])
        if fast is None:
            return indices
        moves: list[Any] = [(self.averages[i], self.parameters[i].data, []) for i in indices]
        left: list[int] = fast("p *= decay; p += rest * g;", numbers, (), moves)
        return left

    def updating(self) -> AbstractContextManager[Any]:
        """A block in which no other thread begins to use the averages."""
        return self._lock

    @contextmanager
    def applied(self) -> Iterator[None]:
        """A context manager: in its block the parameters' data are the averages.

        It is for evaluating or saving a model with its averages, and affects this thread only. In another
        thread, which may be training the model, `data` are still the parameters' own.

        Changes to the parameters in the block are lost: afterwards they are as before. A graph keeps
        the numbers with which it was recorded, wherever `backward` is called. To keep the averages,
        copy them: `model.state_dict()` in the block returns them.
        """
        with self._lock:
            copies = [array_like(a, a) for a in self.averages]
        with standing_in(self.parameters, copies):
            yield

    @contextmanager
    def as_arrays(self) -> Iterator[list[Array]]:
        """In a block of `applied`: a block that undoes it, and is given the averages.

        A compiled function takes them as an argument, and applies them by `standing_in`.
        """
        own = {id(p) for p in self.parameters}
        others = {key: x for key, x in _applied.get().items() if key not in own}
        arrays = [p.data for p in self.parameters]
        token = _applied.set(others or _NONE)
        try:
            yield arrays
        finally:
            _applied.reset(token)

    def state_dict(self) -> dict[str, Any]:
        """The averages, named "0", "1" and so on in the order of the parameters, and "updates"."""
        state: dict[str, Any] = {f"{i}": a for i, a in enumerate(self.averages)}
        state["updates"] = self.updates
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a state, with arrays of any library.

        Raises
        ------
        StateError
            The state is of other parameters. Then nothing is changed.
        """
        require_like(self, self.state_dict(), state)
        updates = whole(state, "updates")
        averages = [array_like(state[f"{i}"], a) for i, a in enumerate(self.averages)]
        self.updates = updates
        self.averages = averages

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=RLock())
        self._change_classes()  # copies of the parameters have the plain class

    def _change_classes(self) -> None:
        """Give each parameter a class whose `data` depends on the block."""
        for p in self.parameters:
            kind: Any = type(p)
            p.__class__ = _averaged(kind)

    def __repr__(self) -> str:
        return f"ExponentialMovingAverage(decay={self.decay:g})"
