"""Generators of random numbers: a step that draws from one outside of actions cannot be replayed.

A replay calls the actions of `each_step`, which draw anew each time. What a step draws elsewhere, perhaps to
decide which code it runs, would be what it was in the recording. So the generators that a step can reach
are looked at: none of them may be at another position after the step, apart from what actions draw.
"""

import sys
from collections.abc import Callable, Iterable
from functools import cache
from random import Random
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from xpnet import random

__all__ = ["Draws", "generator_of", "set_state_of", "state_of"]

_GLOBAL: dict[str, Callable[[Any], Any]] = {
    "random": lambda module: module.random.__self__,
    "numpy.random": lambda module: module.normal.__self__,
    "torch": lambda module: module.default_generator,
    "torch.random": lambda module: module.default_generator,
    random.__name__: lambda module: module,
}
"""The generator whose numbers a module's functions return, by the name of the module."""


@cache
def _kinds() -> tuple[type, ...]:
    """The classes of generators; NumPy imports its own only when they are first named."""
    kinds = (np.random.Generator, np.random.BitGenerator, np.random.RandomState)
    return (*kinds, Random, random.DeviceGenerator)


def generator_of(x: Any) -> Any:
    """The generator that x is, or that functions of a module draw from; None if there is none.

    Parameters
    ----------
    x : object
        A generator, one of its methods, a module, or a function of `xpnet.random`.
    """
    if isinstance(x, BuiltinFunctionType):
        x = x.__self__
    elif isinstance(x, FunctionType) and x.__module__ == random.__name__:
        return random
    if isinstance(x, ModuleType):
        found = _GLOBAL.get(x.__name__)
        return None if found is None else found(x)
    return x if isinstance(x, _kinds()) or _is_of_torch(x) else None


def _is_of_torch(x: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, getattr(torch, "Generator", ()))


class _Move(NamedTuple):
    """A generator that has moved, what a reader would call it, and its state before."""

    name: str
    generator: Any
    before: Any


class Draws:
    """Which generators a call draws from outside of actions.

    Parameters
    ----------
    generators : iterable of (name, generator)

    Attributes
    ----------
    moved : dict from int to _Move
        By the ids of the generators.
    by_actions : dict from int to generator
        Those that actions draw from, likewise; xpnet's own one is `xpnet.random`.
    """

    def __init__(self, generators: Iterable[tuple[str, Any]]) -> None:
        self.moved: dict[int, _Move] = {}
        self._generators: dict[int, tuple[str, Any]] = {}
        for name, x in generators:
            self._generators.setdefault(id(x), (name, x))  # the first name is the shortest one
        self._before: dict[int, Any] = {}
        self.by_actions: dict[int, Any] = {}
        self._paused: list[tuple[Any, Any]] = []  # generators, and their states before an action
        self.resume()

    def resume(self) -> None:
        """The call begins, or an action has ended."""
        for x, before in self._paused:
            if _comparable(state_of(x)) != _comparable(before):
                self.by_actions[id(x)] = x
        self._paused = []
        self._before = {key: state_of(x) for key, (_, x) in self._generators.items()}

    def pause(self) -> None:
        """The call has ended, or an action begins."""
        for key, (name, x) in self._generators.items():
            before = self._before[key]
            if key not in self.moved and _comparable(state_of(x)) != _comparable(before):
                self.moved[key] = _Move(name, x, before)
        streams = [random, *(x for _, x in self._generators.values())]
        self._paused = [(x, state_of(x)) for x in streams]

    def undo(self) -> None:
        """Set the generators back to where they were before the call first drew from them."""
        for _, generator, before in self.moved.values():
            set_state_of(generator, before)


def state_of(x: Any) -> Any:
    """The state of a generator: its position in its stream."""
    if x is random:
        return random.state()
    if isinstance(x, Random):
        try:
            return x.getstate()
        except NotImplementedError:  # of random.SystemRandom, which has no state
            return None
    if isinstance(x, np.random.RandomState):
        return x.get_state(legacy=False)
    if hasattr(x, "get_state"):  # PyTorch's
        return x.get_state()
    return getattr(x, "bit_generator", x).state


def set_state_of(x: Any, state: Any) -> None:
    """Set the state of a generator."""
    if x is random:
        random.set_state(state)
    elif isinstance(x, Random):
        x.setstate(state)
    elif hasattr(x, "set_state"):
        x.set_state(state)
    else:
        getattr(x, "bit_generator", x).state = state


def _comparable(state: Any) -> Any:
    """What is equal for two equal states."""
    if isinstance(state, dict):
        return tuple((name, _comparable(x)) for name, x in state.items())
    if hasattr(state, "dtype"):
        return np.asarray(state).tobytes()
    return state
