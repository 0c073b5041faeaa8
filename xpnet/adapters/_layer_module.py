"""The class of the modules that `torch_module` makes. Importing this file imports PyTorch."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, NamedTuple

import torch

from xpnet._typing import Array
from xpnet.adapters._links import (
    LinkedParameter,
    Place,
    is_tensor,
    link,
    link_buffer,
)
from xpnet.adapters._selected import replaced, selected
from xpnet.adapters._torch_layer import TorchLayer
from xpnet.autodiff.tape import recorded, walk
from xpnet.autodiff.variable import Parameter, Variable, data_of, node_of
from xpnet.errors import ArgumentTypeError
from xpnet.layers import Buffer, Layer
from xpnet.layers._contents import contents


class LayerModule(torch.nn.Module):  # type: ignore[misc]
    """A layer of xpnet as a PyTorch module; see `torch_module`."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        _register(self, layer)

    # A break in the graph of torch.compile. As in torch.optim: `torch.compiler.disable` would import the
    # compiler at once, which takes seconds.
    @torch._disable_dynamo  # type: ignore[untyped-decorator]
    def forward(self, *xs: Any, **options: Any) -> Any:
        if selected((xs, options), _is_variable):
            raise ArgumentTypeError(
                f"{self!r} expected PyTorch tensors, got a Variable: PyTorch does not differentiate through it. "
                "Call the layer, module.layer(x), or make a layer of the module, TorchLayer(module)."
            )
        given = selected((xs, options), is_tensor)
        parameters = [p for p in self.layer.parameters() if isinstance(p, LinkedParameter)]
        tensors = [*given, *(p.place.tensor for p in parameters)]
        is_recorded = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
        inputs = [
            Variable(x.detach(), requires_grad=is_recorded and x.requires_grad) for x in given
        ]
        args, kwargs = replaced((xs, options), is_tensor, inputs)
        with recorded(on=is_recorded), _without_autocast(tensors):
            y = self.layer(*args, **kwargs)
        outputs = selected(y, _is_variable)
        values: Sequence[Array] = [v.data for v in outputs]
        if any(v.requires_grad for v in outputs):
            values = _Recorded.apply(_Graph([*inputs, *parameters], outputs), *tensors)
        return replaced(y, _is_variable, values)

    def train(self, mode: bool = True) -> "LayerModule":
        self.layer.train(mode)
        super().train(mode)
        return self

    def __repr__(self) -> str:
        return f"torch_module({self.layer!r})"


def _without_autocast(tensors: Sequence[Array]) -> AbstractContextManager[Any]:
    """A block without `torch.autocast`: xpnet computes in the dtype of its parameters."""
    stack = ExitStack()
    for kind in {x.device.type for x in tensors}:
        if torch.is_autocast_enabled(kind):
            stack.enter_context(torch.autocast(kind, enabled=False))
    return stack


def _is_variable(x: Any) -> bool:
    return isinstance(x, Variable)


def _register(root: torch.nn.Module, layer: Layer) -> None:
    """Give a module the parameters and buffers of a layer, by their names, and link the layer's to them.

    A TorchLayer within the layer has a module already, which becomes a part of this one.
    """
    linked: dict[int, Any] = {}  # what is held in two places is one tensor
    inner: set[int] = set()  # what belongs to the modules of TorchLayers
    for path, _, value in contents(layer):
        if isinstance(value, TorchLayer):
            owner, _, name = path.rpartition(".")
            _part(root, owner)._modules[name] = value.module
            inner |= {id(x) for _, _, x in contents(value)}
        if id(value) in inner or not isinstance(value, (Parameter, Buffer)):
            continue
        owner, _, name = path.rpartition(".")
        module = _part(root, owner)
        if isinstance(value, Buffer):
            linked.setdefault(id(value), value.data)
            module._buffers[name] = linked[id(value)]
            link_buffer(value, Place(module, name, "_buffers"))
        elif id(value) in linked:
            module._parameters[name] = linked[id(value)]
        else:
            tensor = torch.nn.Parameter(value.data, requires_grad=value.requires_grad)
            tensor.grad = data_of(value.raw_grad)
            linked[id(value)] = module._parameters[name] = tensor
            link(value, Place(module, name))


def _part(root: torch.nn.Module, path: str) -> torch.nn.Module:
    """The module at a path of names below the root; modules that are missing are made."""
    module = root
    for name in path.split(".") if path else ():
        # Not by `add_module`, which refuses the name of any attribute that modules have.
        module = module._modules.setdefault(name, torch.nn.Module())
    return module


class _Graph(NamedTuple):
    """A part of xpnet's graph: outputs that were computed from inputs, all of them Variables."""

    inputs: Sequence[Variable]
    outputs: Sequence[Variable]


class _Recorded(torch.autograd.Function):  # type: ignore[misc]
    """A part of xpnet's graph as one node of PyTorch's.

    Where PyTorch records the derivative too, xpnet does, and the derivative is another such node.
    """

    @staticmethod
    def forward(ctx: Any, graph: _Graph, *tensors: Array) -> tuple[Array, ...]:
        ctx.graph = graph
        ctx.set_materialize_grads(False)
        # Other tensors than the graph's, with the same memory: these will refer to ctx, and ctx to the graph.
        ys = tuple(y.data.detach() for y in graph.outputs)
        ctx.count = len(tensors)
        # The graph may have saved any of them: PyTorch notices if one is changed in place.
        ctx.save_for_backward(*tensors, *ys)
        ctx.mark_non_differentiable(
            *[y for y, v in zip(ys, graph.outputs, strict=True) if not v.requires_grad]
        )
        return ys

    @staticmethod
    def backward(ctx: Any, *gys: Array | None) -> tuple[Array | None, ...]:
        graph: _Graph = ctx.graph
        tensors = ctx.saved_tensors[: ctx.count]
        wanted = [i for i, needed in enumerate(ctx.needs_input_grad[1:]) if needed]
        used = [i for i, g in enumerate(gys) if g is not None and graph.outputs[i].requires_grad]
        nodes = [node_of(graph.outputs[i]) for i in used]
        given: list[Array] = [gys[i] for i in used]
        gradients: list[Any] = [None] * len(tensors)
        ends = {id(node_of(graph.inputs[i])): i for i in wanted}
        leaves = [node_of(graph.inputs[i]) for i in wanted]
        if not torch.is_grad_enabled():
            with _without_autocast(tensors):
                for node, g in walk(list(zip(nodes, given, strict=True)), leaves, False):
                    gradients[ends[id(node)]] = g
            return (None, *gradients)
        variables = [Variable(g.detach()) for g in given]
        with recorded(), _without_autocast(tensors):
            found = walk(list(zip(nodes, variables, strict=True)), leaves, True)
        derivative = _Graph([*graph.inputs, *variables], [g for _, g in found])
        values = _Recorded.apply(derivative, *tensors, *given)
        for (node, _), g in zip(found, values, strict=True):
            gradients[ends[id(node)]] = g
        return (None, *gradients)
