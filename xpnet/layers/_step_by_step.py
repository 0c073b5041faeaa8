"""Step by step, as in the lessons: `y = layer.forward(x)`, then `dx = layer.backward(dy)`.

A subclass of Layer writes a `forward` that computes. `Layer.__init_subclass__` puts `remembering`
around it, so that `forward`, called from outside on arrays, returns an array and remembers what
`backward` needs: the tape of this one layer.

A compiled step never meets that tape. What `forward` leaves there between two calls of the step is in a
`Memory`, into which the search for the arrays of a step does not look; and what it leaves within the
step is kept by the recording, and forgotten with it. So the `backward` of a step belongs to a `forward`
of the same step, and that of code outside of it to a `forward` outside.
"""

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ClassVar

import array_api_compat as compat

from xpnet import functions as F
from xpnet._each_step import each_step, recorder
from xpnet._libraries.devices import follow, stays
from xpnet.autodiff._signatures import parameter_names
from xpnet.autodiff.tape import seed
from xpnet.autodiff.variable import Variable, as_constant, data_of, gradients
from xpnet.errors import ArgumentTypeError, GradientError
from xpnet.layers._contents import Holder
from xpnet.layers._context import hooks

if TYPE_CHECKING:
    from xpnet.layers.base import Layer

MEMORY = "_Layer__memory"
"""The attribute of a layer that holds its `Memory`: as Python mangles `__memory` in the class `Layer`.

So it is not an attribute of a subclass, which may well have a `_memory` of its own.
"""

in_a_call: ContextVar[bool] = ContextVar("xpnet_in_a_call", default=False)
"""Whether a layer is being called: then `forward` of a layer within it only computes."""


class Memory:
    """Where a layer has its `Step`; the same object from the first `forward` on.

    Attributes
    ----------
    step : Step or None
        Of the last `forward` that was called on arrays. None if a compiled step has called it since.
    """

    __slots__ = ("step",)

    reached_by_steps: ClassVar[tuple[str, ...]] = ()  # a compiled step does not read or change it

    def __init__(self) -> None:
        self.step: Step | None = None


class Step:
    """What a layer remembers of `forward`, for `backward`."""

    __slots__ = ("inputs", "output", "previous_gradients")

    def __init__(self, inputs: list[Variable], output: Any, previous: dict[int, Any]) -> None:
        self.inputs = inputs  # those that have a gradient
        self.output = output
        self.previous_gradients = previous  # of the step before, by the parameter's id


def remembering(implementation: Callable[..., Any]) -> Callable[..., Any]:
    """`forward` as the lessons use it, around the one that a subclass wrote.

    Called from outside on arrays, it returns arrays and remembers what `backward` needs. Inside
    another layer's call, or on Variables, it is the subclass's own code and nothing else.
    """

    @wraps(implementation)
    def forward(self: "Layer", *xs: Any, **options: Any) -> Any:
        # A class of a notebook is sent to other processes by value, this function with it. So it names
        # nothing but a function that they import.
        return call_from_outside(self, forward, xs, options)

    # Like `__wrapped__` it is an attribute, and not in the closure, which a reload cannot replace.
    names = parameter_names(implementation)[1:]
    vars(forward)["place_of_t"] = names.index("t") if "t" in names else None
    return forward


def call_from_outside(
    layer: "Layer", forward: Any, xs: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """What a `forward` that `remembering` returned does."""
    if in_a_call.get():
        # A forward of a base class, called by super(), is a part of a call and not a call.
        is_whole = type(layer).forward is forward
        if is_whole and hooks.get():
            return layer(*xs, **options)
        return forward.__wrapped__(layer, *xs, **options)
    _forget(layer)
    if any(isinstance(x, Variable) for x in xs):
        return layer(*xs, **options)
    _refuse_arrays_by_name(layer, options)
    variables = [
        None if x is None else _variable(x, i == forward.place_of_t) for i, x in enumerate(xs)
    ]
    y = layer(*variables, **options)
    inputs = [v for v in variables if v is not None and v.requires_grad]
    gradients_before = {id(p): p.raw_grad for p in layer.parameters()}
    _remember(layer, Step(inputs, y, gradients_before))
    if isinstance(y, tuple):
        return tuple(map(data_of, y))
    return data_of(y)


def _forget(layer: "Layer") -> None:
    """Forget the last `forward`; in a compiled step, now and in each replay."""
    each_step(partial(_forget_outside, layer))
    steps = _steps_of_recording()
    if steps is None:
        _forget_outside(layer)  # the action may be one that ran already
    else:
        steps.pop(id(layer), None)


def _forget_outside(layer: "Layer") -> None:
    memory: Memory | None = vars(layer).get(MEMORY)
    if memory is not None:
        memory.step = None


def _remember(layer: "Layer", step: Step) -> None:
    steps = _steps_of_recording()
    if steps is None:
        # Past __setattr__, which is for attributes that hold parameters.
        vars(layer).setdefault(MEMORY, Memory()).step = step
    else:
        steps[id(layer)] = (layer, step)


def _remembered(layer: "Layer") -> Step:
    """What the layer remembers, of a `forward` in the same compiled step if there is one."""
    memory: Memory | None = vars(layer).get(MEMORY)
    outside = None if memory is None else memory.step
    steps = _steps_of_recording()
    if steps is None:
        step = outside
    else:
        _, step = steps.get(id(layer), (layer, None))
    if step is not None:
        return step
    message = f"{layer!r}.backward: call {type(layer).__name__}.forward(x) first."
    if outside is not None:
        message = (
            f"{layer!r}.backward: its forward was called before this compiled step. Call both in the "
            "step, or both outside of it."
        )
    raise GradientError(message)


def _steps_of_recording() -> dict[int, Any] | None:
    """What layers remember in the call that is being recorded; None if there is no recording."""
    active = recorder.get()
    return None if active is None else active.steps


REMEMBERING = remembering(lambda self: self).__code__  # of any function
"""The code of each `forward` that `remembering` returns."""


def written(kind: type["Layer"]) -> Callable[..., Any]:
    """`forward` as the author of a class wrote it, without what `remembering` puts around it.

    It is looked up in each call, since it may be replaced after the class was defined: by an assignment,
    `Net.forward = ...`, or by a reload of its module, as autoreload does, which puts other code into it.
    """
    forward: Any = kind.forward
    code = getattr(forward, "__code__", None)
    # Equal, but not the same, in a class that another process has sent.
    if code is REMEMBERING or code == REMEMBERING:
        return forward.__wrapped__  # type: ignore[no-any-return]
    return forward  # type: ignore[no-any-return]


def wrap(kind: type["Layer"]) -> bool:
    """Put `remembering` around the `forward` of a class; return False if it was there already."""
    forward = kind.forward
    if written(kind) is not forward:
        return False
    owner: Any = next(base for base in kind.__mro__ if "forward" in vars(base))
    if not issubclass(owner, Holder):  # not a layer: it stays as it is
        owner = kind
    owner.forward = remembering(forward)
    return True


def _refuse_arrays_by_name(layer: "Layer", options: dict[str, Any]) -> None:
    for name, option in options.items():
        if isinstance(option, Variable) or compat.is_array_api_obj(option):
            raise ArgumentTypeError(
                f"{layer!r}.forward: pass {name} by position; backward returns no gradient by name."
            )


def _variable(x: Any, is_target: bool) -> Variable:
    """An input of `forward` as a Variable; a Python integer becomes a float."""
    if isinstance(x, int):
        x = float(x)
    if is_target:
        return Variable(x, requires_grad=False)
    return Variable(x)


@stays
def backward(self: "Layer", dout: Any) -> Any:
    """Compute the gradients of the last `forward` that was called on arrays.

    Parameters
    ----------
    dout : array or scalar, of the shape of what `forward` returned
        The gradient of the output. For several outputs, a tuple, with None for those that do not
        count.

    Returns
    -------
    array, or tuple of arrays
        The gradient of each input that has one (integers and targets have none). The gradients of
        the parameters are their `grad`; see `Layer`.

    Raises
    ------
    GradientError
        `forward` was not called on arrays before, or in a compiled step whose `backward` this is
        not; an optimizer has changed a parameter since; or `dout` is a tuple, for a single output.
    """
    if wrap(type(self)):
        _forget(self)
        name = f"{type(self).__name__}.forward"
        raise GradientError(
            f"{self!r}.backward: {name} was replaced after its class was created, and what it computed "
            f"until now is not remembered: call {name}(x) again."
        )
    step = _remembered(self)
    inputs = step.inputs
    parameters = [p for p in self.parameters() if p.requires_grad]
    y, gy = _single_output(self, step.output, dout)
    found = gradients(as_constant(y), [*inputs, *parameters], gy)
    for p, g in zip(parameters, found[len(inputs) :], strict=True):
        follow(g)
        # If the gradient has changed since `forward`, another layer that shares p has set it, in
        # this same step: the two add up. Otherwise it is of the step before, and is replaced.
        if p.raw_grad is not None and p.raw_grad is not step.previous_gradients.get(id(p)):
            g = p.raw_grad + g
        p.raw_grad = g
        step.previous_gradients[id(p)] = p.raw_grad  # it may be a copy: see `LinkedParameter`
    return self._returned_by_backward(found[: len(inputs)])


def _single_output(layer: "Layer", y: Any, dout: Any) -> tuple[Any, Any]:
    """(y, gy), from which the gradients of the inputs follow; several outputs become one sum."""
    if not isinstance(y, tuple):
        if isinstance(dout, tuple):
            raise GradientError(
                f"{layer!r}.backward expected one gradient, got a tuple of {len(dout)}: what "
                "`backward` of a layer with several inputs returns, one for each. Pass one of them."
            )
        return y, dout
    given: tuple[Any, ...] = ()
    if isinstance(dout, (tuple, list)):
        given = tuple(dout)
    pairs = [(yi, g) for yi, g in zip(y, given, strict=False) if g is not None]
    if len(given) != len(y) or not pairs:
        raise GradientError(
            f"{layer!r}.backward expected a tuple of {len(y)} gradients, one for each "
            "output; None for those that do not count."
        )
    # The derivative of this sum is the vector-Jacobian product of all outputs together.
    return sum(F.sum(yi * seed(data_of(yi), g)) for yi, g in pairs), 1.0
