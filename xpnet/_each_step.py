"""What a step does in Python each time, although its array operations are replayed from a record.

A recorded step (see `xpnet.compiler`) is replayed without its Python code. So that nothing is frozen
that changes from step to step, code that draws random numbers, counts, or computes an optimizer's
coefficients does so in a function that it passes to `each_step`:

    c = each_step(lambda: self.coefficients(state, options))

Without a recording this is a plain call. During a recording the function is called too, and kept:
each replay calls it again, in the order of the recording, before the array operations run.

`hand_over` is for what is done with arrays of the step while it goes on, such as to send them.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")


class Recorder(Protocol):
    """What `each_step`, and layers, need of a recording.

    Attributes
    ----------
    steps : dict or None
        What layers remember of a `forward` in this call, with each layer, by its id; None if only the
        actions are looked after, and nothing is recorded.
    """

    steps: dict[int, Any] | None

    def each_step(self, action: Callable[[], Any]) -> Any:
        """Call `action` now, and at each replay."""

    def hand_over(self, receiver: Callable[..., None], args: tuple[Any, ...]) -> None:
        """Let `receiver` have the arguments, at this place of each replay."""


recorder: ContextVar[Recorder | None] = ContextVar("xpnet_recorder", default=None)
"""The recording that this thread's calls belong to; None if there is none."""


def each_step(action: Callable[[], Result]) -> Result:
    """action(), now and in each replay of the step that is being recorded.

    Parameters
    ----------
    action : function without parameters
        Returns None, a number, an array, or a dict or tuple of these. In a recording the floats and
        arrays of the result become inputs of the step, which are read anew at each replay. What
        selects the code that runs (an integer, a bool, a string, None, the keys of a dict) may change
        too: then the call is recorded again, and the action is not called twice.

    Notes
    -----
    A replay requires that all numbers in attributes, lists and dicts are as they were, because they may
    select code. Those that only actions read are excepted: a class names the attributes that hold them
    in `numbers_of_each_step`, a tuple of str. What an action changes is excepted too. An action does
    not read or change arrays of the step: in a replay it runs before all operations.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet.compiler import each_step
    >>> rates = [0.125, 0.25, 0.5, 1.0]
    >>> step = xpnet.compile(lambda x: x * each_step(rates.pop))
    >>> x = xpnet.current().asarray([8.0])
    >>> [float(step(x)[0]) for _ in range(4)]  # the last call is a replay
    [8.0, 4.0, 2.0, 1.0]
    """
    active = recorder.get()
    if active is None:
        return action()
    result: Result = active.each_step(action)
    return result


def hand_over(receiver: Callable[..., None], *args: Any) -> None:
    """receiver(*args), now, and in each replay as soon as the arrays among the arguments are computed.

    Parameters
    ----------
    receiver : function
        The same one, or an equal bound method, in each call of the step. It copies what it needs of
        the arrays before it returns: in a replay they are memory of the plan, which later operations
        write over. It changes nothing that the step reads.
    *args : arrays, and what is the same in each step

    Notes
    -----
    Receivers may be called in another order than in the code: each as soon as its own arrays are there.
    While a call is rehearsed, they are not called. If the call is recorded, and not undone, they are
    called at its end.

    Plans for JAX and for CuPy call no Python while they run: a step on these that hands over arrays is not
    compiled.
    """
    active = recorder.get()
    if active is None:
        receiver(*args)
    else:
        active.hand_over(receiver, args)
