"""What all executors have in common."""

from collections.abc import Sequence
from typing import ClassVar

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.compiler.record import Operation, Program
from xpnet.errors import CompileError, MissingMethodError

__all__ = ["Executor", "another_shape", "stacked"]


class Executor:
    """Runs a Program.

    Parameters
    ----------
    program : Program
        Cleaned: see `xpnet.compiler.passes`.

    Attributes
    ----------
    name : str
        "c", "numpy", "cupy", "jax", "torch" or "library".
    states : list of arrays
        The current state, in the order of `program.states`, once `bind` was called.
    in_place : bool
        Whether `run` changes the arrays in `states` themselves. If it does not, `states` holds new
        arrays after each run.
    reason : str
        Why it was chosen, for `print(plan)`.
    done : int
        How many steps were completed in a run that ended in an error: `states` is the state after them.
        The caller has set it to 0 before. Executors that are `in_place` count in other runs, too.
    last : list of arrays or None
        The outputs of the last one of these steps.
    """

    name: ClassVar[str] = ""
    in_place: ClassVar[bool] = False

    def __init__(self, program: Program) -> None:
        self.program = program
        self.states: list[Array] = []
        self.reason = ""
        self.done = 0
        self.last: list[Array] | None = None

    def bind(self, states: Sequence[Array]) -> list[Array]:
        """Take over the state.

        It is called before the first run, and again whenever an array of the state was replaced by
        another one, as `load_state_dict` does.

        Parameters
        ----------
        states : sequence of arrays
            In the order of `program.states`.

        Returns
        -------
        list of arrays
            `states` from now on: with the same numbers, perhaps in aligned memory. The caller stores
            them where the given ones were.
        """
        self.states = list(states)
        return self.states

    def run(self, arguments: Sequence[Array], hosts: Sequence[Array | float]) -> list[Array]:
        """Run one step.

        Parameters
        ----------
        arguments, hosts : sequences
            In the order of `program.arguments` and `program.hosts`.

        Returns
        -------
        list of arrays
            For `program.outputs`, in memory that later runs do not change.
        """
        raise MissingMethodError(f"{type(self).__name__} defines no run.")

    def run_steps(
        self, arguments: Sequence[Array], hosts: Sequence[Sequence[Array | float]]
    ) -> list[Array]:
        """Run several steps: step i with arguments[j][i] and hosts[i].

        Parameters
        ----------
        arguments : sequence of arrays
            (steps, ...): each argument, stacked along a new first axis.
        hosts : sequence of sequences
            The host values of each step, of which there is at least one.

        Returns
        -------
        list of arrays
            (steps, ...): each output, likewise.
        """
        steps: list[list[Array]] = []
        try:
            for i, host in enumerate(hosts):
                steps.append(self.run([x[i, ...] for x in arguments], host))
        except BaseException:
            if self.done <= len(steps):
                self.done = len(steps)
                self.last = steps[-1] if steps else None
            raise
        return stacked(steps)

    @property
    def runs_many_in_one(self) -> bool:
        """Whether `run_steps` runs any number of steps in one call, without Python in between."""
        return False

    def calls(self) -> list[Operation]:
        """The operations that are left to the library's own functions, in new memory.

        They are what `plan.explain()` names. An executor that does nothing else has none.
        """
        return []

    def notes(self) -> list[str]:
        """Lines for `plan.explain()`: what could run faster, and why it does not."""
        return []

    def describe(self) -> list[str]:
        """Lines for `print(plan)`: what runs where, and why."""
        return [f"executor: {self.name}"]


def stacked(steps: Sequence[Sequence[Array]]) -> list[Array]:
    """Each output of several steps, stacked along a new first axis.

    Parameters
    ----------
    steps : sequence of sequences of arrays
        The outputs of each step.
    """
    return [array_namespace(*column).stack(list(column)) for column in zip(*steps, strict=True)]


def another_shape(
    operation: Operation, shape: tuple[int, ...], expected: tuple[int, ...]
) -> CompileError:
    """The error that an operation returns an array of another shape than in the recording."""
    return CompileError(
        f"{operation.where}: {operation.name} returns an array of shape {shape} in a replay, and "
        f"{expected} in the recording: its shape depends on values. Call the function uncompiled."
    )
