"""Parameters and buffers of layers that are those of a PyTorch module.

There is one tensor, the module's. A `LinkedParameter` reads and writes it where the module has it, by its
name: so it stays the right one when PyTorch puts another tensor there, as `module.to(device)` does.
"""

import copy
from importlib import import_module
from typing import Any, Literal
from weakref import WeakValueDictionary

from xpnet._each_step import recorder
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_types
from xpnet.autodiff.variable import Parameter, Variable, data_of
from xpnet.errors import ArgumentTypeError, StateError
from xpnet.layers import Buffer

NOT_COMPILED = (
    "A PyTorch module expected tensors, got a RecordedArray: PyTorch's own operations are not recorded, so a "
    "step with such a module in it cannot be compiled. Run it as it is: Trainer(compile=False)."
)

LINKED = (
    "A layer that has its tensors in a PyTorch module expected them there, got a RecordedArray: a module's tensors "
    "are not recorded, so such a step cannot be compiled. Run it as it is: Trainer(compile=False)."
)


class Place:
    """Where a module has a tensor.

    Parameters
    ----------
    module : torch.nn.Module
        The innermost one, which owns the tensor.
    name : str
        The name that it has there.
    kind : {"_parameters", "_buffers"}
        The dict of the module that holds it.
    """

    __slots__ = ("kind", "module", "name")

    def __init__(
        self, module: Any, name: str, kind: Literal["_parameters", "_buffers"] = "_parameters"
    ) -> None:
        self.module = module
        self.name = name
        self.kind = kind

    @property
    def tensor(self) -> Any:
        """The tensor that the module has there now."""
        found = getattr(self.module, self.kind).get(self.name)
        if found is None:
            raise StateError(
                f"{type(self.module).__name__}.{self.name} is no longer a tensor of its module, where a layer of "
                "xpnet reads it. Make the TorchLayer after the module is complete; what torch_module returns "
                "cannot be given parametrizations, such as weight_norm."
            )
        return found

    @tensor.setter
    def tensor(self, x: Any) -> None:
        getattr(self.module, self.kind)[self.name] = x


class LinkedParameter(Parameter):
    """A parameter whose data, gradient and `requires_grad` are those of a `torch.nn.Parameter`."""

    __slots__ = ()
    stays_with = "torch"

    @property
    def place(self) -> Place:
        """Where the tensor is; ArgumentTypeError while a step is recorded."""
        _require_not_recorded()
        found: Place = _place_of_parameter.__get__(self)
        return found

    @property
    def data(self) -> Array:
        """The tensor without its history; it shares the memory."""
        return self.place.tensor.detach()

    @data.setter
    def data(self, x: Array) -> None:
        torch = import_module("torch")
        x = required_tensor("A parameter of a PyTorch module", x)
        tensor = self.place.tensor
        like = (x.shape, x.dtype, x.device) == (tensor.shape, tensor.dtype, tensor.device)
        if like and x.data_ptr() != tensor.data_ptr():
            with torch.no_grad():  # in place: PyTorch's graphs notice, and its flat weights stay so
                tensor.copy_(x)
        elif not like:
            tensor.data = x

    @property
    def raw_grad(self) -> Array | None:
        """The gradient: after `backward(create_graph=True)` a Variable, else the tensor's `grad`."""
        tensor = self.place.tensor
        recorded = _recorded_grad.__get__(self)
        if recorded is not None and tensor.grad is recorded[1]:
            return recorded[0]
        return tensor.grad

    @raw_grad.setter
    def raw_grad(self, g: Array | None) -> None:
        # A copy, as PyTorch adds to gradients and scales them in place, and g may be another's too.
        grad = None if g is None else data_of(g).detach().clone()
        self.place.tensor.grad = grad
        _recorded_grad.__set__(self, (g, grad) if isinstance(g, Variable) else None)

    @property
    def requires_grad(self) -> bool:
        """Whether the tensor requires a gradient."""
        return bool(self.place.tensor.requires_grad)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.place.tensor.requires_grad_(value)

    def __copy__(self) -> "LinkedParameter":
        return linked_parameter(self.place)

    def __deepcopy__(self, memo: dict[int, Any]) -> "LinkedParameter":
        other = memo[id(self)] = linked_parameter(copy.deepcopy(self.place, memo))
        return other

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return linked_parameter, (self.place,)


_place_of_parameter: Any = vars(Parameter)["_array"]
_recorded_grad: Any = vars(Variable)["raw_grad"]
array_types.add(LinkedParameter)


_by_tensor: WeakValueDictionary[int, LinkedParameter] = WeakValueDictionary()
"""The parameters of layers by the ids of the tensors that they were linked to."""


def shared_parameter(place: Place) -> LinkedParameter:
    """The parameter that is the tensor at a place: the same one for all layers of the module.

    So an optimizer of a model with two layers of one module has it once.
    """
    known = _by_tensor.get(id(place.tensor))
    if known is None or known.place.tensor is not place.tensor:
        known = linked_parameter(place)
        _by_tensor[id(place.tensor)] = known
    return known


def linked_parameter(place: Place) -> LinkedParameter:
    """A parameter that is the tensor at a place."""
    return _linked(object.__new__(LinkedParameter), place)


def link(p: Parameter, place: Place) -> None:
    """Make a parameter of a layer the tensor at a place; whoever holds it has the same object."""
    p.__class__ = LinkedParameter
    _by_tensor[id(place.tensor)] = _linked(p, place)


def _linked(p: Any, place: Place) -> LinkedParameter:
    """p with the attributes of a leaf; it is older than all that is recorded."""
    _place_of_parameter.__set__(p, place)
    _recorded_grad.__set__(p, None)
    p.node = None
    p.created = p.changed = 0
    linked: LinkedParameter = p
    return linked


class LinkedBuffer(Buffer):
    """A buffer whose data are a module's."""

    __slots__ = ()
    stays_with = "torch"

    @property
    def place(self) -> Place:
        """Where the tensor is; ArgumentTypeError while a step is recorded."""
        _require_not_recorded()
        found: Place = _place_of_buffer.__get__(self)
        return found

    @property
    def data(self) -> Array:
        """The tensor."""
        return self.place.tensor

    @data.setter
    def data(self, x: Array) -> None:
        self.place.tensor = required_tensor("A buffer of a PyTorch module", x)

    def __copy__(self) -> "LinkedBuffer":
        return linked_buffer(self.place)

    def __deepcopy__(self, memo: dict[int, Any]) -> "LinkedBuffer":
        other = memo[id(self)] = linked_buffer(copy.deepcopy(self.place, memo))
        return other

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return linked_buffer, (self.place,)


_place_of_buffer: Any = vars(Buffer)["data"]


def linked_buffer(place: Place) -> LinkedBuffer:
    """A buffer that is the tensor at a place."""
    buffer: LinkedBuffer = object.__new__(LinkedBuffer)
    _place_of_buffer.__set__(buffer, place)
    return buffer


def link_buffer(buffer: Buffer, place: Place) -> None:
    """Make a buffer of a layer the tensor at a place."""
    buffer.__class__ = LinkedBuffer
    _place_of_buffer.__set__(buffer, place)


def _require_not_recorded() -> None:
    """Raise ArgumentTypeError while a step is recorded: a module then has arrays that are no tensors."""
    if recorder.get() is not None:
        raise ArgumentTypeError(LINKED)


def is_tensor(x: object) -> bool:
    """Whether x is a tensor of PyTorch."""
    return isinstance(x, import_module("torch").Tensor)


def required_tensor(what: str, x: Any) -> Any:
    """x, if it is a tensor of PyTorch.

    Raises
    ------
    ArgumentTypeError
        It is anything else; or the step is being recorded, to be compiled.
    """
    if recorder.get() is not None:
        raise ArgumentTypeError(NOT_COMPILED)
    if is_tensor(x):
        return x
    raise ArgumentTypeError(
        f"{what} expected a PyTorch tensor, got a {type(x).__module__}.{type(x).__name__}. Choose PyTorch "
        'first: xpnet.use("torch"), and layer.to("torch") for layers that exist already.'
    )
