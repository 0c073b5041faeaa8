"""`functional_call`: a layer as a pure function of its parameters and its inputs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from xpnet import random
from xpnet._libraries import library_of
from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.tape import recorded
from xpnet.autodiff.variable import Parameter, Variable, constant, data_of
from xpnet.errors import GradientError, StateError
from xpnet.layers._contents import Buffer, Holder
from xpnet.layers.base import Layer, require_shape


def functional_call(
    model: Layer,
    state: Mapping[str, Array],
    *xs: Any,
    return_buffers: bool = False,
    **options: Any,
) -> Any:
    """model(*xs, **options), computed with other parameters and buffers; the model does not change.

    What it returns depends on its arguments alone. So the transformations of a library that holds the
    arrays apply to it: `jax.grad`, `jax.jit` and `jax.vmap`, or those of `torch.func`, in any order.
    The parameters are a dict, which is a pytree.

    Parameters
    ----------
    model : Layer
    state : mapping of str to array or Variable
        Arrays by the names of `model.state_dict()`, in the same shapes. Parameters and buffers that
        it does not name are the model's own, as constants.
    *xs, **options
        The arguments of the model.
    return_buffers : bool
        Whether to return (y, buffers). The buffers are a dict of all of them after the call, by name:
        in training, batch normalization computes new running averages.

    Returns
    -------
    y, or (y, buffers)
        Arrays for arrays. Variables if a Variable is among the arguments: then xpnet records the call,
        and `xpnet.grad` differentiates it by the state.

    Raises
    ------
    StateError
        A name of `state` is unknown, or a shape differs; or the call changed buffers, which would be
        lost, without `return_buffers`.
    GradientError
        The call drew random numbers while another library traced it. They would be constants of the
        compiled function: the same in each of its calls.

    Notes
    -----
    The call sees a copy of the model's layers, lists and dicts, with other parameters in them. Several
    threads may call one model at the same time. What a layer assigns to its attributes is lost with the
    copy. A function that a layer keeps in an attribute, and that refers to the layer itself, refers to
    the original one.

    Under `jax.grad`, JAX differentiates what the functions compute; `custom_rule` and `stop_gradient`
    hold there too. At a corner, as that of ReLU at 0, JAX's derivative is that of JAX.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> model = xpnet.Affine(2, 1, rng=0)
    >>> parameters = {name: p.data for name, p in model.named_parameters()}
    >>> x = xpnet.Variable([[1.0, 2.0]]).data
    >>> gradient = xpnet.grad(lambda p: F.sum(functional_call(model, p, x)))(parameters)
    >>> {name: g.tolist() for name, g in gradient.items()}
    {'weight': [[1.0], [2.0]], 'bias': [1.0]}
    """
    tensors: dict[str, Parameter | Buffer] = {
        **dict(model.named_parameters()),
        **dict(model.named_buffers()),
    }
    new = {id(tensors[name]): x for name, x in _checked(model, tensors, state)}
    buffers = {name: _buffer(b, new) for name, b in model.named_buffers()}
    before = {name: buffer.data for name, buffer in buffers.items()}
    copies: dict[int, Any] = {id(tensors[name]): buffer for name, buffer in buffers.items()}
    for _, p in model.named_parameters():
        if id(p) in new:
            copies[id(p)] = _variable(new[id(p)])
    given = [*new.values(), *tree.leaves((xs, options))]
    lifted = any(isinstance(x, Variable) for x in given)
    with _without_draws(model, given):
        if lifted:
            y = _copy(model, copies)(*xs, **options)
        else:
            with recorded(on=False):
                y = tree.map(data_of, _copy(model, copies)(*xs, **options))
    if return_buffers:
        return y, {name: buffer.data for name, buffer in buffers.items()}
    changed = sorted(name for name, buffer in buffers.items() if buffer.data is not before[name])
    if changed:
        raise StateError(
            f"functional_call: {model!r} changed its buffers {changed}, which would be lost. Pass "
            "return_buffers=True, or switch to evaluation: model.eval()."
        )
    return y


def _checked(
    model: Layer, tensors: Mapping[str, Parameter | Buffer], state: Mapping[str, Array]
) -> Iterator[tuple[str, Array]]:
    """The names and arrays of a state; StateError if one of them is not of the model."""
    unknown = sorted(state.keys() - tensors.keys())
    if unknown:
        raise StateError(
            f"functional_call: {model!r} has no {unknown}. Its names are those of state_dict(): "
            f"{sorted(tensors)}."
        )
    for name, x in state.items():
        require_shape(model, name, tuple(tensors[name].data.shape), x)
        yield name, x


def _buffer(buffer: Buffer, new: Mapping[int, Array]) -> Buffer:
    """Another buffer, with the data that are given for this one, or with its own."""
    return Buffer(data_of(new.get(id(buffer), buffer.data)))


def _variable(x: Array) -> Variable:
    """An array as a Variable without history, since layers expect Variables; a Variable as it is."""
    return x if isinstance(x, Variable) else constant(x)


def _copy(value: Any, copies: dict[int, Any]) -> Any:
    """A layer with copies of what it holds; see `contents`, which walks in the same way.

    Parameters
    ----------
    value : object
        Anything but a layer, a list, a tuple, a dict or what is in `copies` is returned as it is.
    copies : dict of int to object
        Copies by the ids of the originals. Layers are added, so each is copied once.
    """
    if id(value) in copies:
        return copies[id(value)]
    if isinstance(value, Holder):
        layer = object.__new__(type(value))
        copies[id(value)] = layer  # before what it holds, which may refer to it
        for name, x in vars(value).items():
            vars(layer)[name] = _copy(x, copies)
        return layer
    if isinstance(value, dict):
        parts = {key: _copy(x, copies) for key, x in value.items()}
        same = all(parts[key] is x for key, x in value.items())
    elif isinstance(value, (list, tuple)):
        parts = dict(enumerate([_copy(x, copies) for x in value]))
        same = all(parts[i] is x for i, x in enumerate(value))
    else:
        return value
    if same:  # no parameter is in it
        return value
    return tree.with_parts(value, parts)


@contextmanager
def _without_draws(model: Layer, given: list[Any]) -> Iterator[None]:
    """A block in which random numbers may be drawn only if each of the given arrays has values."""
    if all(library_of(data_of(x)).has_values(data_of(x)) for x in given if hasattr(x, "shape")):
        yield
        return
    drawn: dict[Any, Any] = {}
    token = random.notes.set((*random.notes.get(), drawn))
    try:
        yield
    finally:
        random.notes.reset(token)
    if drawn:
        raise GradientError(
            f"functional_call: {model!r} drew random numbers while it was traced, and each call of the "
            "compiled function would use the same ones. Switch to evaluation, model.eval(), or draw "
            "a mask outside and pass it: F.dropout(x, p, mask=mask)."
        )
