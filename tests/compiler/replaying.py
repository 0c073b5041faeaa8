"""An executor in place of Python, for tests of executors on their own: without keys, guards or plans."""

from typing import Any

from xpnet.compiler.compiled import recorded_call
from xpnet.compiler.record import leaves, replaced


class Replayed:
    """A step whose first call is recorded; later calls run on an executor.

    Parameters
    ----------
    step : function of arrays
    executor : class of an executor
    clean : function Program -> Program, optional
    """

    def __init__(self, step, executor, clean=lambda program: program):
        self.step = step
        self.make = executor
        self.clean = clean
        self.executor = None

    def __call__(self, *args: Any) -> Any:
        if self.executor is None:
            self.recording = recorded_call(self.step, args)
            self.executor = self.make(self.clean(self.recording.program))
            self._store(self.executor.bind(self._states()))
            return self.recording.result
        if any(x is not y for x, y in zip(self._states(), self.executor.states, strict=True)):
            self._store(self.executor.bind(self._states()))
        outputs = self.executor.run(args, self.hosts())
        self._store(self.executor.states)
        return outputs

    def many(self, arguments: list[Any], steps: int) -> list[list[Any]]:
        """Several steps in one call."""
        found = self.executor.run_steps(arguments, [self.hosts() for _ in range(steps)])
        self._store(self.executor.states)
        return found

    def hosts(self) -> list[Any]:
        """What the step computes in Python, computed anew."""
        results = [action() for action in self.recording.recorder.actions]
        return [x for x in leaves(results) if isinstance(x, float) or hasattr(x, "dtype")]

    def _states(self):
        return [holders[0].get() for holders in self.recording.cells]

    def _store(self, states):
        for x, holders in zip(states, self.recording.cells, strict=True):
            for cell in holders:
                cell.set(x)


__all__ = ["Replayed", "replaced"]
