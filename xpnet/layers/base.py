"""Layer, the base class of all layers: parameters, and a `forward` that computes with them."""

from collections.abc import Callable, Iterator
from functools import partial
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, ClassVar, Self

from xpnet._hints import LAYERS, hinted
from xpnet._libraries.devices import call_on_their_device, known
from xpnet._typing import Array
from xpnet.autodiff.variable import Parameter
from xpnet.backend import Backend, array_like, resolve, to_numpy
from xpnet.errors import ArgumentError, ArgumentTypeError, MissingMethodError, StateError
from xpnet.layers import _step_by_step
from xpnet.layers._contents import (
    Buffer,
    Holder,
    ParameterIterator,
    contents,
    is_generator,
    require_kept,
)
from xpnet.layers._context import hooks, training_mode
from xpnet.layers._step_by_step import MEMORY, REMEMBERING, in_a_call, written

if TYPE_CHECKING:
    from xpnet.random import Generator


@hinted(LAYERS)
class Layer(Holder):
    """The base class of all layers. A subclass sets its parameters in `__init__` and writes `forward`.

    There are two ways to use a layer, with the same results.

    *Call it*, and the tape records the computation: `loss = F.softmax_cross_entropy(model(x), t)`,
    then `loss.backward()`. The result is a Variable if a parameter took part in it.

    *Step by step*, as in the lessons: `y = layer.forward(x)` on arrays returns an array, and the
    layer remembers what it needs; then `dx = layer.backward(dout)` returns the gradient of `x` and
    sets `grad` of the parameters. As in the lessons, it replaces the gradients of the step before,
    so `zero_grad` is not needed, whereas `loss.backward()` adds to them. If layers share a
    parameter, a gradient that another one has set since this layer's `forward` belongs to the same
    step, and is added to. An argument of `forward` that is named `t` is a target, as for a loss: it
    has no gradient.

    In both ways the gradients follow from `forward`. A subclass that defines `backward`, which
    `loss.backward()` would not call, raises an `ArgumentTypeError`: a derivative of your own is a
    `Function`, which `forward` calls.

    Parameters, and layers with parameters of their own, may be attributes, or items of lists,
    tuples and dicts that are attributes. An attribute that holds a parameter can be set to another
    parameter or to None, but not to something that the optimizer would not find: `self.weight =
    0.5 * self.weight` raises an error; `self.weight.data = 0.5 * self.weight.data` or
    `self.weight *= 0.5` change it.

    Examples
    --------
    >>> from xpnet import Parameter, Variable
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

    _initially_training: ClassVar[bool] = True

    @_step_by_step.remembering
    def forward(self, *xs: Any, **options: Any) -> Any:
        """Compute the output. A subclass writes it; called directly, it remembers for `backward`."""
        raise MissingMethodError(f"{type(self).__name__} defines no forward.")

    backward = _step_by_step.backward

    def _returned_by_backward(self, gradients: tuple[Array, ...]) -> Any:
        """What `backward` returns, of the gradients of those inputs that have one."""
        if not gradients:
            return None
        return gradients[0] if len(gradients) == 1 else gradients

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.backward is not Layer.backward:
            raise ArgumentTypeError(
                f"{cls.__name__} expected no backward, got one, which loss.backward() would not call: the "
                "gradients of a Layer follow from its forward. For a derivative of your own, write "
                "forward and backward in a subclass of xpnet.Function, and call it in the layer's "
                "forward. For layers that are used step by step, as in the lessons, no base class is needed."
            )
        if isinstance(cls.__dict__.get("training"), bool):
            # `training = False` in a class body would hide the property of that name.
            cls._initially_training = cls.__dict__["training"]
            del cls.training
        _step_by_step.wrap(cls)  # its own forward, or that of a base class which is not a Layer

    def __call__(self, *xs: Any, **options: Any) -> Any:
        """The output of `forward`, by way of the hooks; an error gets a note that names the layer."""
        token = None if in_a_call.get() else in_a_call.set(True)
        try:
            # What `written` returns: for nearly all classes without a further call.
            call = type(self).forward
            if getattr(call, "__code__", None) is REMEMBERING:
                call = call.__wrapped__  # type: ignore[attr-defined]
            else:
                call = written(type(self))
            for hook in hooks.get():
                call = partial(hook, call)
            if known.several:  # GPUs, one of which may have to be selected
                return call_on_their_device(call, self, *xs, **options)
            return call(self, *xs, **options)
        except Exception as error:
            notes = getattr(error, "__notes__", ())
            if not any(note.startswith("in ") for note in notes):  # else an inner layer added one
                error.add_note(f"in {self!r}")
            raise
        finally:
            if token is not None:
                in_a_call.reset(token)

    # --- parameters -------------------------------------------------------------------------

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Each parameter once, with its name: the path of attributes to it, "hidden.0.weight"."""
        return self._named(lambda value: isinstance(value, Parameter))

    def parameters(self) -> Iterator[Parameter]:
        """Each parameter once."""
        return ParameterIterator(self.named_parameters(), self)

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Each buffer once, with its name: "hidden.1.running_mean"."""
        return self._named(lambda value: isinstance(value, Buffer))

    def named_generators(self) -> Iterator[tuple[str, "Generator"]]:
        """Each random number generator that a layer owns once, with its name: "hidden.2.rng"."""
        return self._named(is_generator)

    def named_layers(self) -> Iterator[tuple[str, "Layer"]]:
        """The layer itself, named "", and each layer in it once: "hidden", "hidden.0"."""
        yield "", self
        yield from self._named(lambda value: isinstance(value, Layer) and value is not self)

    def _named(self, wanted: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, _, value in contents(self):
            if wanted(value) and id(value) not in seen:
                seen.add(id(value))
                yield path, value

    def sublayers(self) -> Iterator["Layer"]:
        """The layer itself and every layer in it; one that is held in two places is yielded twice."""
        yield self
        yield from (value for _, _, value in contents(self) if isinstance(value, Layer))

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters: each `grad` is None afterwards."""
        for p in self.parameters():
            p.zero_grad()

    def cleargrads(self) -> None:
        """An alias of `zero_grad`: its name in DeZero, which the lessons use."""
        self.zero_grad()

    # --- state ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """The arrays of parameters and buffers by name: the arrays themselves, not copies."""
        return {name: holder.data for name, holder in self._state()}

    def _state(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        yield from self.named_parameters()
        yield from self.named_buffers()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set parameters and buffers from arrays of any library; they keep dtype and device.

        The names and shapes are those of `state_dict`. For the weights of a PyTorch model, whose
        matrices are transposed, see `xpnet.saving.pytorch`.

        Raises
        ------
        StateError
            A name is missing or unknown, a shape differs, or an array is complex, and the model's is
            not. Then nothing is changed.
        """
        holders = dict(self._state())
        if holders.keys() != state.keys():
            missing = sorted(holders.keys() - state.keys())
            unknown = sorted(state.keys() - holders.keys())
            # In a Sequential, "layers.0.weight" is "0.weight" in PyTorch.
            torch_names = {name.replace("layers.", "") for name in missing}
            message = f"{self!r}: the state lacks {missing} and has unknown {unknown}."
            if torch_names & set(unknown):
                message += " For PyTorch's names see xpnet.saving.pytorch."
            raise StateError(message)
        for name, holder in holders.items():
            require_shape(self, name, tuple(holder.data.shape), state[name])
            require_real(self, name, holder.data, state[name])
        arrays = {name: array_like(state[name], holder.data) for name, holder in holders.items()}
        for name, holder in holders.items():  # nothing can fail any more
            holder.data = arrays[name]

    def to(self, backend: str | Backend) -> Self:
        """Move parameters and buffers to another library or device; gradients are forgotten.

        Create the optimizer afterwards: its state does not move.

        Raises
        ------
        ArgumentError
            A parameter belongs to a PyTorch module, see `xpnet.adapters`, and `backend` is another
            library. Then nothing has moved.
        """
        backend = resolve(backend)
        for name, holder in self._state():
            if holder.stays_with not in (None, backend.library.name):
                raise ArgumentError(
                    f"{self!r}: {name} stays with {holder.stays_with}, as it is in a module of that "
                    f"library, got to({backend.name!r})."
                )
        for p in self.parameters():
            p.data = backend.asarray(to_numpy(p.data).copy())
            p.zero_grad()
        for _, buffer in self.named_buffers():
            buffer.data = backend.asarray(to_numpy(buffer.data).copy())
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "forward":
            kind = type(self).__name__
            raise ArgumentTypeError(
                f"Expected forward to be a method of the class {kind}, got an attribute of one layer, "
                f"which a call of the layer would not use. Define a subclass, or set {kind}.forward."
            )
        held = self.__dict__.get(name)
        if held is not None and value is not held:
            require_kept(self, name, held, value)
        object.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: all attributes, but not the tape of the last step."""
        return {name: value for name, value in vars(self).items() if name != MEMORY}

    # --- training or evaluation -------------------------------------------------------------

    @property
    def training(self) -> bool:
        """Whether the layer is in training; dropout and batch normalization depend on it.

        Each layer has a setting of its own, True by default, which `train` and `eval` change. In a
        call by `predict` or `evaluate` it is False for all layers, in that thread only, and the
        settings stay as they are.
        """
        of_this_call = training_mode.get()
        if of_this_call is not None:
            return of_this_call
        setting: bool = self.__dict__.get("training", self._initially_training)
        return setting

    @training.setter
    def training(self, mode: bool) -> None:
        self.__dict__["training"] = mode

    def train(self, mode: bool = True) -> Self:
        """Set `training` of this layer and of all layers in it."""
        for layer in self.sublayers():
            layer.training = mode
        return self

    def eval(self) -> Self:
        """Switch to evaluation: `train(False)`."""
        return self.train(False)

    # --- what is shown ----------------------------------------------------------------------

    def __dir__(self) -> list[str]:
        """The attributes, without other libraries' names, which only raise an error with a hint."""
        return [name for name in super().__dir__() if name not in LAYERS or hasattr(self, name)]

    @recursive_repr("...")
    def __repr__(self) -> str:
        layers = self._shown_layers()
        if not layers:
            return f"{type(self).__name__}()"
        lines = "".join(f"\n{layer}" for layer in layers).replace("\n", "\n  ")
        return f"{type(self).__name__}({lines}\n)"

    def _shown_layers(self) -> list[str]:
        """What a `repr` shows of each layer within; that layer's `repr` shows what it contains."""
        return [
            f"{path}={value!r}"
            for path, owner, value in contents(self)
            if owner is self and isinstance(value, Layer)
        ]


def require_real(layer: Layer, name: str, own: Array, x: Any) -> None:
    """Raise StateError if an array is complex where the model has real numbers: half of it would be lost."""
    # By its name: NumPy's `isdtype` does not take the bfloat16 of ml_dtypes.
    if "complex" in str(x.dtype) and "complex" not in str(own.dtype):
        raise StateError(f"{layer!r}: expected {name} to be real, as {own.dtype}, got {x.dtype}.")


def require_shape(layer: Layer, name: str, expected: tuple[int, ...], x: Any) -> None:
    """Raise StateError if x is not an array of the expected shape."""
    if not hasattr(x, "shape"):
        raise StateError(f"{layer!r}: expected {name} to be an array, got {x!r}.")
    given = tuple(x.shape)
    if given == expected:
        return
    message = f"{layer!r}: expected {name} of shape {expected}, got {given}."
    if len(given) == 2 and given == expected[::-1]:
        message += " For weights from PyTorch see xpnet.saving.pytorch."
    raise StateError(message)
