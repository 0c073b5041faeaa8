"""What a layer consists of: parameters, buffers, random number generators, and other layers."""

from collections.abc import Iterator
from typing import Any, ClassVar

from xpnet._typing import Array
from xpnet.autodiff.variable import Parameter, Variable
from xpnet.errors import ArgumentTypeError


class Holder:
    """An object whose attributes may hold parameters: the base class of `Layer` only.

    This module recognizes layers by it: it cannot import `Layer`, whose own module imports it.
    """

    __slots__ = ()


class Buffer:
    """An array that is part of a layer's state, but not a parameter: optimizers do not change it.

    It is saved and moved with the layer. An example is the running mean of a `BatchNorm2d`. The
    layer assigns a new array to `data`, or changes the array in place.

    Parameters
    ----------
    data : array

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> class Count(xpnet.Layer):
    ...     def __init__(self):
    ...         self.calls = xpnet.Buffer(F.zeros(()).data)
    ...     def forward(self, x):
    ...         self.calls.data = self.calls.data + 1.0
    ...         return x
    >>> layer = Count()
    >>> x = layer(layer(xpnet.Variable([1.0])))
    >>> {name: float(value) for name, value in layer.state_dict().items()}, list(layer.parameters())
    ({'calls': 2.0}, [])
    """

    __slots__ = ("data",)
    stays_with: ClassVar[str | None] = None  # the library that it cannot leave

    def __init__(self, data: Array) -> None:
        self.data = data

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled, also by libraries that look for `__dict__` otherwise, such as skops."""
        return {**getattr(self, "__dict__", {}), "data": self.data}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, x in state.items():
            setattr(self, name, x)

    def __repr__(self) -> str:
        return f"Buffer({self.data!r})"


def contents(root: Any) -> Iterator[tuple[str, Holder | None, Any]]:
    """What a layer consists of: each Variable, Buffer, random number generator and Layer in it.

    They may be attributes, or items of lists, tuples and dicts that are attributes. Whatever saves,
    moves, converts or counts the contents of a layer walks through them here.

    Parameters
    ----------
    root : Layer, list, tuple or dict

    Yields
    ------
    path : str
        The names of attributes, keys and places that lead to the value: "hidden.0.weight".
    owner : Layer or None
        The innermost layer that holds the value; None outside of layers.
    value : Variable, Buffer, Generator or Layer
        A layer comes before what it holds. A value that is held in two places is yielded twice; a
        layer within itself, as by an attribute for its parent, is yielded without what it holds.
    """
    return _contents(root, "", ())


def _contents(
    root: Any, path: str, owners: tuple[Holder, ...]
) -> Iterator[tuple[str, Holder | None, Any]]:
    items: dict[Any, Any]
    if isinstance(root, Holder):
        if any(root is owner for owner in owners):
            return
        items = vars(root)
        owners = (*owners, root)
    elif isinstance(root, dict):
        items = root
    elif isinstance(root, (list, tuple)):
        items = dict(enumerate(root))
    else:
        return
    owner = owners[-1] if owners else None
    for name, value in items.items():
        place = f"{path}.{name}" if path else f"{name}"
        if isinstance(value, (Variable, Buffer, Holder)) or is_generator(value):
            yield place, owner, value
        yield from _contents(value, place, owners)


def is_generator(value: Any) -> bool:
    """Whether a value is a NumPy random number generator."""
    # Not isinstance: the class's name would import numpy.random, which takes time.
    return hasattr(value, "bit_generator")


class ParameterIterator(Iterator[Parameter]):
    """The parameters of a layer. An optimizer may ask whether these are all that should learn."""

    def __init__(self, named: Iterator[tuple[str, Parameter]], layer: Holder) -> None:
        self._rest = named
        self._layer = layer

    def __next__(self) -> Parameter:
        return next(self._rest)[1]

    def require_all(self) -> None:
        """Raise ArgumentTypeError if the layer holds a Variable that should be a Parameter."""
        require_no_loose_variables(self._layer)


def require_no_loose_variables(layer: Holder) -> None:
    """Raise ArgumentTypeError if a layer holds a leaf Variable that should be a Parameter.

    It requires a gradient, but optimizers would not update it and files would not contain it.
    """
    for path, _, value in contents(layer):
        is_plain = isinstance(value, Variable) and not isinstance(value, Parameter)
        if is_plain and value.requires_grad and value.node is None:
            raise ArgumentTypeError(
                f"{type(layer).__name__}.{path} is a Variable that requires a gradient, but not a "
                "Parameter: it would be neither learned nor saved. Make it Parameter(array), or "
                "Variable(array, requires_grad=False) if it is a constant."
            )


def require_kept(layer: Holder, name: str, held: Any, value: Any) -> None:
    """Raise ArgumentTypeError if assigning `value` would lose a parameter, buffer or layer."""
    where = f"{type(layer).__name__}.{name}"
    if isinstance(held, (list, tuple, dict)):
        state = [v for _, _, v in contents(held) if isinstance(v, (Parameter, Buffer))]
        variables = [v for _, _, v in contents([value]) if isinstance(v, Variable)]
        if state and any(not isinstance(v, Parameter) for v in variables):
            raise ArgumentTypeError(
                f"{where} holds parameters, and would hold a Variable that is not a Parameter: it would "
                "be neither learned nor saved. Write p.data = ... for each p of them, or p -= ..."
            )
        return
    if value is None or isinstance(value, (Parameter, Buffer, Holder)):
        return
    given = type(value).__name__
    if isinstance(held, Parameter):
        raise ArgumentTypeError(
            f"{where} is a Parameter: expected a Parameter or None, got {given}, which would be "
            f"neither learned nor saved. Write {name}.data = array to change its values, or "
            f"{name} = Parameter(array) before the optimizer is created."
        )
    if isinstance(held, Buffer):
        raise ArgumentTypeError(
            f"{where} is a Buffer: expected a Buffer or None, got {given}, which would not be "
            f"saved. Write {name}.data = array to change its values."
        )
    if isinstance(held, Holder):
        raise ArgumentTypeError(
            f"{where} is a layer: expected a layer or None, got {given}; its parameters would be "
            f"lost. Write del {name} first if that is what you want."
        )
