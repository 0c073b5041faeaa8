"""Layer: parameters, and a `forward` in terms of functions."""

import inspect
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Self

import array_api_compat as compat

from xpnet import functions as F
from xpnet._hints import LAYERS, hinted
from xpnet._libraries.devices import follow, known, stays, there
from xpnet._typing import Array
from xpnet.autodiff.tape import seed
from xpnet.autodiff.variable import Parameter, Variable, as_constant, data_of, gradients
from xpnet.backend import Backend, array_like, resolve, to_numpy
from xpnet.errors import ArgumentTypeError, GradientError, MissingMethodError, StateError
from xpnet.layers._scope import around, mode as mode_of_call, through

if TYPE_CHECKING:
    from xpnet.random import Generator


class Buffer:
    """An array that is a layer's state but no parameter: it is saved and moved, and never learns.

    Such as the running mean of a `BatchNorm2d`. The layer sets `data` anew, or changes it.
    """

    __slots__ = ("data",)

    def __init__(self, data: Array) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"Buffer({self.data!r})"


_inside: ContextVar[bool] = ContextVar("xpnet_inside_a_layer", default=False)


@hinted(LAYERS)
class Layer:
    """The base of all layers. A subclass sets its parameters in `__init__` and writes `forward`.

    There are two ways to use a layer, and they give the same numbers.

    *Call it*, and let the tape remember: `loss = F.softmax_cross_entropy(model(x), t)`, then
    `loss.backward()`. The result is a Variable wherever a parameter took part.

    *Step by step*, as the lessons do: `y = layer.forward(x)` of arrays gives an array, and the
    layer remembers; then `dx = layer.backward(dout)` gives the gradient of `x` and sets `grad` of
    the parameters. As in the lessons, it replaces the gradients of the step before, so `zero_grad`
    is not needed; `loss.backward()` adds to them. Where layers share a parameter, what another one
    has given it since this layer's `forward` is of the same step, and is added to. An argument of
    `forward` that is called `t` is a target, as a loss takes it: it has no gradient.

    Parameters, and layers with parameters of their own, may be attributes, or stand in lists,
    tuples and dicts that are. A name that holds a parameter can be given another one, or None, and
    nothing that would be lost to the optimizer: `self.weight = 0.5 * self.weight` raises, and
    `self.weight.data = 0.5 * self.weight.data` or `self.weight *= 0.5` change it.

    Examples
    --------
    >>> class Scale(Layer):
    ...     def __init__(self):
    ...         self.factor = Parameter(2.0)
    ...
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> scale = Scale()
    >>> y = scale.forward(Variable([1.0, 2.0]).data)
    >>> dx = scale.backward(y)
    >>> float(scale.factor.grad)
    10.0
    """

    _training: ClassVar[bool] = True  # of a layer that was not told
    _last: "_Step"

    def forward(self, *xs: Array, **options: Any) -> Any:
        """The layer's value. A subclass writes it; called by itself it remembers for `backward`."""
        raise MissingMethodError(f"{type(self).__name__} defines no forward.")

    _text: ClassVar[Callable[..., Any]] = forward  # as the subclass wrote it

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if isinstance(cls.__dict__.get("training"), bool):  # it would hide the property
            cls._training = cls.__dict__["training"]
            del cls.training
        text = cls.forward  # its own or, of several bases, that of one which is no Layer
        if text is not Layer.forward and getattr(text, "__wrapped__", None) is not cls._text:
            cls._text = text
            cls.forward = _step_by_step(text)  # type: ignore[method-assign]

    def __call__(self, *xs: Array, **options: Any) -> Any:
        token = None if _inside.get() else _inside.set(True)
        try:
            run = type(self)._text  # noqa: SLF001 - its own
            if arounds := around.get():
                run = through(arounds, run)
            if known.several:
                return there(run, self, *xs, **options)
            return run(self, *xs, **options)
        except Exception as error:
            notes = getattr(error, "__notes__", ())
            if not any(note.startswith("in ") for note in notes):  # else a layer within has told
                error.add_note(f"in {self!r}")
            raise
        finally:
            if token is not None:
                _inside.reset(token)

    def __setattr__(self, name: str, value: Any) -> None:
        held = self.__dict__.get(name)
        if held is not None and value is not held:
            require_kept(self, name, held, value)
        object.__setattr__(self, name, value)

    @stays
    def backward(self, dout: Array) -> Any:
        """The gradients of the last `forward`, which was given arrays.

        Parameters
        ----------
        dout : array or scalar, of the shape of what `forward` returned
            The gradient of the output; of several outputs, a tuple, with None for those that
            do not count.

        Returns
        -------
        array, or tuple of arrays
            The gradient of each input that has one (integers and targets have none). Those of the
            parameters are their `grad`; see above.

        Raises
        ------
        GradientError
            There was no such `forward`; or `dout` is a tuple, for a single output.
        """
        if "_last" not in self.__dict__:
            raise GradientError(f"{self!r}.backward: call {type(self).__name__}.forward(x) first.")
        inputs = self._last.inputs
        y = self._last.output
        earlier = self._last.earlier
        if isinstance(y, tuple):  # the same gradients as those of one number
            several = dout if isinstance(dout, (tuple, list)) else ()
            pairs = [(yi, g) for yi, g in zip(y, several, strict=False) if g is not None]
            if len(several) != len(y) or not pairs:
                raise GradientError(
                    f"{self!r}.backward expected a tuple of {len(y)} gradients, one for each "
                    "output; None for those that do not count."
                )
            y, dout = sum(F.sum(yi * seed(data_of(yi), g)) for yi, g in pairs), 1.0
        elif isinstance(dout, tuple):
            raise GradientError(
                f"{self!r}.backward expected one gradient, got a tuple of {len(dout)}: what "
                "`backward` of a layer with several inputs gives, one for each. Pass one of them."
            )
        parameters = [p for p in self.parameters() if p.requires_grad]
        found = gradients(as_constant(y), [*inputs, *parameters], dout)
        for p, g in zip(parameters, found[len(inputs) :], strict=True):
            follow(g)
            if p.raw_grad is not None and p.raw_grad is not earlier.get(id(p)):
                g = p.raw_grad + g  # with that of another layer, in this step
            p.raw_grad = earlier[id(p)] = g
        return found[: len(inputs)] if len(inputs) > 1 else found[0] if inputs else None

    # --- parameters -------------------------------------------------------------------------

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Each parameter once, with its name: the path of attributes to it, "hidden.0.weight"."""
        return self._named(lambda value: isinstance(value, Parameter))

    def parameters(self) -> Iterator[Parameter]:
        """Each parameter once."""
        return _Parameters(self)

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Each buffer once, with its name: "hidden.1.running_mean"."""
        return self._named(lambda value: isinstance(value, Buffer))

    def named_generators(self) -> Iterator[tuple[str, "Generator"]]:
        """Each random number generator of a layer's own once, with its name: "hidden.2.rng"."""
        return self._named(_is_generator)

    def _named(self, wanted: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for name, value in _inventory(vars(self), ""):
            if wanted(value) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def sublayers(self) -> Iterator["Layer"]:
        """The layer itself and every layer in it; one that stands in two places, twice."""
        yield self
        yield from (v for _, v in _inventory(vars(self), "") if isinstance(v, Layer))

    def named_layers(self) -> Iterator[tuple[str, "Layer"]]:
        """The layer itself, named "", and each layer in it once: "hidden", "hidden.0"."""
        yield "", self
        yield from self._named(lambda value: isinstance(value, Layer) and value is not self)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters: each `grad` is None afterwards."""
        for p in self.parameters():
            p.zero_grad()

    def cleargrads(self) -> None:
        """An alias of `zero_grad`: its name in DeZero, which the lessons use."""
        self.zero_grad()

    def state_dict(self) -> dict[str, Array]:
        """The arrays of parameters and buffers by name: the arrays themselves, not copies."""
        return {name: p.data for name, p in self._state()}

    def _state(self) -> Iterator[tuple[str, Any]]:
        yield from self.named_parameters()
        yield from self.named_buffers()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set parameters and buffers from arrays of any library; they keep dtype and device.

        Raises
        ------
        StateError
            A name is missing or unknown, or a shape differs. Then nothing is changed.
        """
        parameters = dict(self._state())
        if parameters.keys() != state.keys():
            missing = sorted(parameters.keys() - state.keys())
            unknown = sorted(state.keys() - parameters.keys())
            theirs = any(name.rpartition(".")[2] in ("weight", "bias") for name in unknown)
            hint = " For PyTorch's names see xpnet.saving.pytorch." if theirs else ""
            raise StateError(
                f"{self!r}: the state lacks {missing} and has unknown {unknown}.{hint}"
            )
        for name, p in parameters.items():
            expected = tuple(p.data.shape)
            if not hasattr(state[name], "shape"):
                raise StateError(f"{self!r}: expected {name} to be an array, got {state[name]!r}.")
            given = tuple(state[name].shape)
            if expected != given:
                transposed = len(given) == 2 and expected == given[::-1]
                hint = " For weights from PyTorch see xpnet.saving.pytorch." if transposed else ""
                raise StateError(
                    f"{self!r}: expected {name} of shape {expected}, got {given}.{hint}"
                )
        arrays = {name: array_like(state[name], p.data) for name, p in parameters.items()}
        for name, p in parameters.items():  # nothing can fail any more
            p.data = arrays[name]

    def to(self, backend: str | Backend) -> Self:
        """Move parameters and buffers to another library or device; gradients are forgotten.

        Make the optimizer afterwards: what it keeps does not move.
        """
        backend = resolve(backend)
        for p in self.parameters():
            p.data, p.raw_grad = backend.asarray(to_numpy(p.data).copy()), None
        for _, b in self.named_buffers():
            b.data = backend.asarray(to_numpy(b.data).copy())
        return self

    @property
    def training(self) -> bool:
        """Whether the layer is in training: what dropout and the like look at.

        Each layer has a setting of its own, True by default, that `train` and `eval` change. In a
        call by `predict` or `evaluate` it is False for all layers, in that thread alone; the
        settings stay as they are.
        """
        of_call = mode_of_call.get()
        if of_call is not None:
            return of_call
        own: bool = self.__dict__.get("training", self._training)
        return own

    @training.setter
    def training(self, mode: bool) -> None:
        self.__dict__["training"] = mode

    def train(self, mode: bool = True) -> Self:
        """Switch to training: layers that behave differently in it (dropout) look at `training`."""
        for layer in self.sublayers():
            layer.training = mode
        return self

    def eval(self) -> Self:
        """Switch to evaluation: `train(False)`."""
        return self.train(False)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in LAYERS or hasattr(self, name)]

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles are of what the layer has learned, not of the last step's tape.
        return {name: value for name, value in vars(self).items() if name != "_last"}

    def __repr__(self) -> str:
        lines = "".join(f"\n{line}" for line in self._lines()).replace("\n", "\n  ")
        end = "\n" if lines else ""
        return f"{type(self).__name__}({lines}{end})"

    def _lines(self) -> list[str]:
        """What a `repr` shows of the layers within; theirs show what is within them."""
        found: dict[str, str] = {}
        for name, value in _inventory(vars(self), ""):
            if isinstance(value, Layer) and not any(name.startswith(f"{at}.") for at in found):
                found[name] = f"{name}={value!r}"
        return list(found.values())


class _Parameters(Iterator[Parameter]):
    """The parameters of a layer, which an optimizer may ask whether they are all that learns."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self._rest = layer.named_parameters()

    def __next__(self) -> Parameter:
        return next(self._rest)[1]

    def require_all(self) -> None:
        """Raise ArgumentTypeError if the layer holds a Variable that should be a Parameter."""
        require_learned(self.layer)


class _Step:
    """What a layer remembers of `forward`, for `backward`."""

    __slots__ = ("earlier", "inputs", "output")

    def __init__(self, inputs: list[Variable], output: Any, earlier: dict[int, Any]) -> None:
        self.inputs = inputs  # those that have a gradient
        self.output = output
        self.earlier = earlier  # the gradients of the step before, by the parameter's id


def require_learned(layer: Layer) -> None:
    """Raise ArgumentTypeError if a layer holds a Variable that asks for gradients in vain.

    It is not a Parameter, so optimizers do not move it and files do not hold it.
    """
    for name, value in _inventory(vars(layer), ""):
        plain = isinstance(value, Variable) and not isinstance(value, Parameter)
        if plain and value.requires_grad and value.node is None:
            raise ArgumentTypeError(
                f"{type(layer).__name__}.{name} is a Variable that requires a gradient and no "
                "Parameter: it would be neither learned nor saved. Make it Parameter(array), or "
                "Variable(array, requires_grad=False) if it is a constant."
            )


def require_kept(layer: Layer, name: str, held: Any, value: Any) -> None:
    """Raise ArgumentTypeError if an attribute's parameter, buffer or layer would be lost by `value`."""
    where = f"{type(layer).__name__}.{name}"
    if isinstance(held, (list, tuple, dict)):
        state = [v for _, v in _inventory(held, "") if isinstance(v, (Parameter, Buffer))]
        lost = [v for _, v in _inventory(value, "") if isinstance(v, Variable)]
        if state and any(not isinstance(v, Parameter) for v in lost):
            raise ArgumentTypeError(
                f"{where} holds parameters, and would hold a Variable that is no Parameter: it would be "
                "neither learned nor saved. Write p.data = ... for each p of them, or p -= ..."
            )
        return
    if value is None or isinstance(value, (Parameter, Buffer, Layer)):
        return
    given = type(value).__name__
    if isinstance(held, Parameter):
        raise ArgumentTypeError(
            f"{where} is a Parameter, and expected one or None, got {given}: it would be neither "
            f"learned nor saved. Write {name}.data = array to give it other numbers, or "
            f"{name} = Parameter(array) before the optimizer is made."
        )
    if isinstance(held, Buffer):
        raise ArgumentTypeError(
            f"{where} is a Buffer, and expected one or None, got {given}: it would not be saved. "
            f"Write {name}.data = array to give it other numbers."
        )
    if isinstance(held, Layer):
        raise ArgumentTypeError(
            f"{where} is a layer, and expected one or None, got {given}: its parameters would be "
            f"lost. Write del {name} first if they are to be."
        )


def unusual(**options: tuple[Any, Any]) -> str:
    """Options as a `repr` shows them: name=(value, usual value), those that are not as usual.

    >>> unusual(bias=(True, True), groups=(2, 1))
    ', groups=2'
    """
    return "".join(f", {n}={value}" for n, (value, usual) in options.items() if value != usual)


def _step_by_step(text: Callable[..., Any]) -> Callable[..., Any]:
    """`forward` as the lessons use it, around the text that the subclass wrote.

    From outside, arrays in are arrays out, and what `backward` needs is remembered. Inside
    another layer, or given Variables, it is the subclass's text and no more.
    """
    names = list(inspect.signature(text).parameters)[1:]
    target = names.index("t") if "t" in names else None

    @wraps(text)
    def forward(self: Layer, *xs: Array, **options: Any) -> Array:
        if _inside.get():
            if type(self)._text is text and around.get():  # noqa: SLF001 - a Layer's
                return self(*xs, **options)  # else the class above is asked
            return text(self, *xs, **options)
        self.__dict__.pop("_last", None)
        if any(isinstance(x, Variable) for x in xs):
            return self(*xs, **options)
        for name, option in options.items():
            if isinstance(option, Variable) or compat.is_array_api_obj(option):
                raise ArgumentTypeError(
                    f"{self!r}.forward: pass {name} by position; backward knows no array by name."
                )
        variables = [x if x is None else _lifted(x, i == target) for i, x in enumerate(xs)]
        y = self(*variables, **options)
        inputs = [v for v in variables if v is not None and v.requires_grad]
        self.__dict__["_last"] = _Step(inputs, y, {id(p): p.raw_grad for p in self.parameters()})
        return tuple(map(data_of, y)) if isinstance(y, tuple) else data_of(y)

    return forward


def _lifted(x: Array, is_target: bool) -> Variable:
    """An input of `forward` as a Variable: a Python integer, such as a count, is one of floats."""
    return Variable(
        float(x) if isinstance(x, int) else x, requires_grad=False if is_target else None
    )


def _is_generator(value: Any) -> bool:
    return hasattr(value, "bit_generator")  # not by its class: to name that is to load numpy.random


def _inventory(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What a state is made of, in attributes, lists, tuples and dicts, with the path to it."""
    if isinstance(value, (Variable, Buffer, Layer)) or _is_generator(value):
        yield path, value
    if isinstance(value, Layer):
        value = vars(value)
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _inventory(item, f"{path}.{name}" if path else f"{name}")
