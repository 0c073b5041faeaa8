"""`TorchLayer`: a PyTorch module as a layer of xpnet."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from xpnet._each_step import recorder
from xpnet._typing import Array
from xpnet.adapters._links import (
    NOT_COMPILED,
    Place,
    is_tensor,
    linked_buffer,
    required_tensor,
    shared_parameter,
)
from xpnet.adapters._selected import replaced, selected
from xpnet.autodiff import tree
from xpnet.autodiff.function import Function
from xpnet.autodiff.tape import recording
from xpnet.autodiff.variable import Variable, constant, data_of
from xpnet.errors import ArgumentError, ArgumentTypeError, GradientError, StateError
from xpnet.layers import Buffer, Layer
from xpnet.layers._context import training_mode

_lock = threading.RLock()
"""A call of a module with given parameters puts them into the module meanwhile: one call at a time."""


class TorchLayer(Layer):
    """A PyTorch module as a layer: it computes and differentiates with PyTorch, within xpnet's graph.

    Parameters
    ----------
    module : torch.nn.Module
        It is not copied: the layer's parameters are the module's, with one memory and one gradient.

    Attributes
    ----------
    module : torch.nn.Module
    training : bool
        `module.training`.

    Raises
    ------
    ArgumentTypeError
        `module` is not a module; or, from a call, an input is not a PyTorch tensor, or the module returns
        tensors within an object that is no tree. A step that is being compiled has no tensors: `Trainer`
        then runs its steps as they are, and `xpnet.compile` raises CompileError.
    ArgumentError
        A parameter of the module has no shape yet, as in a lazy one, or a name of the layer; or the module is
        a `torch.nn.DataParallel`.
    StateError
        From a call: the module has other parameters than when the layer was made.

    Notes
    -----
    Inputs and outputs may be trees of tensors (see `xpnet.autodiff.tree`), such as the (y, (h, c)) of
    `torch.nn.LSTM`; tensors become Variables. The names of parameters and buffers are those of
    `module.state_dict()`, so `torch_state_dict(layer)` has them too. Derivatives of any order are
    PyTorch's, so far as PyTorch has them.

    After `loss.backward()` the gradients are in `grad` of the module's parameters too: an optimizer of
    xpnet or of PyTorch may do the step. Frozen parameters (`requires_grad_(False)`) are frozen here.
    A module that changes its input in place, as `torch.nn.ReLU(inplace=True)` does, is an error of PyTorch's
    where the input requires a gradient.

    Examples
    --------
    A network of both, and a step of xpnet's optimizer:

    >>> import torch
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.adapters import TorchLayer
    >>> module = torch.nn.Linear(2, 1, bias=False)
    >>> module.weight.data = torch.asarray([[1.0, 2.0]])
    >>> model = xpnet.Sequential(TorchLayer(module), xpnet.ReLU())
    >>> F.sum(model(torch.asarray([[3.0, 5.0]]))).backward()
    >>> xpnet.SGD(model.parameters(), lr=0.25).step()
    >>> module.weight.tolist()
    [[0.25, 0.75]]
    """

    def __init__(self, module: Any) -> None:
        torch = import_module("torch")
        if not isinstance(module, torch.nn.Module):
            raise ArgumentTypeError(
                f"TorchLayer expected a torch.nn.Module, got a {type(module).__name__}."
            )
        if isinstance(module, torch.nn.DataParallel):
            raise ArgumentError(
                "TorchLayer: the replicas of a DataParallel cannot be given parameters. Pass what is in it: "
                "TorchLayer(module.module)."
            )
        self.module = module
        shared: dict[int, Any] = {}  # a tensor in two places is one parameter
        for name, tensor in module.named_parameters(remove_duplicate=False):
            self._require_usable(name, tensor)
            if id(tensor) not in shared:
                shared[id(tensor)] = shared_parameter(_place(module, name, "_parameters"))
            vars(self)[name] = shared[id(tensor)]
        for name, tensor in module.named_buffers(remove_duplicate=False):
            self._require_usable(name, tensor)
            if id(tensor) not in shared:
                shared[id(tensor)] = linked_buffer(_place(module, name, "_buffers"))
            vars(self)[name] = shared[id(tensor)]

    def _require_usable(self, name: str, tensor: Any) -> None:
        """Raise an error if a tensor of the module cannot be one of the layer."""
        torch = import_module("torch")
        if isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
            raise ArgumentError(
                f"TorchLayer: {name} has no shape yet. Call the module with an input first."
            )
        if isinstance(tensor, torch.nn.Parameter) and not tensor.is_floating_point():
            raise GradientError(f"TorchLayer expected real parameters, got {name}, {tensor.dtype}.")
        if hasattr(type(self), name) or name in vars(self):
            raise ArgumentError(
                f"TorchLayer: a tensor of the module is called {name}, which is a name of the layer. "
                "Put the module into another one: torch.nn.Sequential(module)."
            )

    @property
    def training(self) -> bool:
        """Whether the module is in training; in `predict` and `evaluate` it is not."""
        mode = training_mode.get()
        return bool(self.module.training) if mode is None else mode

    @training.setter
    def training(self, mode: bool) -> None:
        if mode != self.module.training:
            self.module.train(mode)

    def forward(self, *xs: Any, **options: Any) -> Any:
        if recorder.get() is not None:
            raise ArgumentTypeError(NOT_COMPILED)
        parameters = self._parameters()
        self._require_same(parameters)
        inputs = selected((xs, options), _is_array)
        given = [*inputs, *parameters.values()]
        tensors = [required_tensor(f"{self!r}", data_of(x)) for x in given]

        def call(tensors: Sequence[Any]) -> Any:
            return self._call(
                xs, options, tensors[: len(inputs)], tensors[len(inputs) :], parameters
            )

        if recording.get() and any(isinstance(x, Variable) and x.requires_grad for x in given):
            return recorded_call(call, given, tensors)
        y = call(tensors)
        if any(isinstance(x, Variable) for x in given):
            y = replaced(y, is_tensor, map(constant, selected(y, is_tensor)))
        return y

    def _parameters(self) -> dict[str, Variable]:
        """The parameters, each under its first name; in a copy for `functional_call`, other Variables."""
        named = {name: x for name, x in vars(self).items() if isinstance(x, Variable)}
        first = {id(x): name for name, x in reversed(named.items())}
        return {name: x for name, x in named.items() if first[id(x)] == name}

    def _require_same(self, parameters: dict[str, Any]) -> None:
        """Raise StateError unless the module has the parameters that it had at first."""
        names = {name for name, _ in self.module.named_parameters()}
        if names != parameters.keys():
            raise StateError(
                f"{self!r}: parameters of the module were added or removed, "
                f"{sorted(names ^ parameters.keys())}. Make a new TorchLayer of it."
            )

    def _call(
        self,
        xs: tuple[Any, ...],
        options: dict[str, Any],
        inputs: Sequence[Any],
        values: Sequence[Any],
        parameters: dict[str, Any],
    ) -> Any:
        """What the module returns for these tensors in place of its inputs and parameters."""
        torch = import_module("torch")
        args, kwargs = replaced((xs, options), _is_array, inputs)
        state = dict(zip(parameters, values, strict=True))
        # In a copy that `functional_call` makes, buffers are not the module's: they must not change.
        own = {name: b for name, b in vars(self).items() if type(b) is Buffer}
        state |= {name: b.data.clone() for name, b in own.items()}
        with _lock, _in_mode(self.module, self.training):
            y = torch.func.functional_call(self.module, state, args, kwargs)
        self._require_tree(y)
        for name, buffer in own.items():
            if _differ(state[name], buffer.data):
                buffer.data = state[name]
        return y

    def _require_tree(self, y: Any) -> None:
        """Raise an error if tensors are within an object: they would be cut off from xpnet's graph."""
        for leaf in tree.leaves(y):
            if is_tensor(leaf) or not hasattr(leaf, "__dict__"):
                continue
            if any(map(is_tensor, tree.leaves(list(vars(leaf).values())))):
                raise ArgumentTypeError(
                    f"{self!r}: expected tensors, or tuples, lists and dicts of them, got a "
                    f"{type(leaf).__name__} with tensors in it, which would have no gradients. Put the module "
                    "into one that returns these tensors."
                )

    def __repr__(self) -> str:
        return f"TorchLayer({self.module!r})"


def _differ(x: Any, y: Any) -> bool:
    """Whether two tensors have different numbers; True for those that cannot be read, as in `vmap`."""
    try:
        return not import_module("torch").equal(x, y)
    except RuntimeError:
        return True


def _is_array(x: Any) -> bool:
    """Whether an argument is a tensor, a Variable, or an array of another library, which is an error."""
    return isinstance(x, Variable) or hasattr(x, "shape")


def _place(module: Any, name: str, kind: Any) -> Place:
    """Where a module has the tensor of a dotted name."""
    owner, _, last = name.rpartition(".")
    return Place(module.get_submodule(owner), last, kind)


@contextmanager
def _in_mode(module: Any, training: bool) -> Iterator[None]:
    """A block in which a module is in training or in evaluation."""
    if module.training == training:
        yield
        return
    before = [(m, m.training) for m in module.modules()]
    module.train(training)
    try:
        yield
    finally:
        for m, mode in before:
            m.training = mode


def recorded_call(
    call: Callable[[Sequence[Any]], Any], given: Sequence[Array], tensors: Sequence[Any]
) -> Any:
    """call(tensors), recorded by PyTorch, as one node of xpnet's graph.

    Parameters
    ----------
    call : callable
        From a list of tensors to a tree of tensors and other objects.
    given : sequence of Variable or tensor
        What the tensors are the data of.
    tensors : sequence of tensor
    """
    torch = import_module("torch")
    leaves = []
    for x, tensor in zip(given, tensors, strict=True):
        needed = isinstance(x, Variable) and x.requires_grad
        leaves.append(tensor.detach().requires_grad_(needed))
    with torch.enable_grad():
        y = call(leaves)
    outputs = selected(y, is_tensor)
    return replaced(y, is_tensor, _Recorded(leaves, outputs)(*given))


class _Recorded(Function):
    """What PyTorch has recorded: outputs that it computed from leaves.

    The rule has to know whether it is recorded itself: then PyTorch records it too, and what it computes
    is another such node. So derivatives of any order are PyTorch's, and nothing is computed twice.
    """

    def __init__(self, leaves: Sequence[Any], outputs: Sequence[Any]) -> None:
        self.leaves = leaves
        self.outputs = outputs

    def forward(self, *xs: Array) -> tuple[Array, ...]:
        return tuple([y.detach() for y in self.outputs])

    def backward(self, gys: tuple[Array, ...], *xs: Array) -> list[Array | None]:
        used = [i for i, y in enumerate(self.outputs) if self.used[i] and y.requires_grad]
        wanted = [i for i, x in enumerate(self.leaves) if self.needs[i] and x.requires_grad]
        outputs = [self.outputs[i] for i in used]
        leaves = [self.leaves[i] for i in wanted]
        found = self._derivative(outputs, leaves, [gys[i] for i in used], xs)
        gradients: list[Array | None] = [None] * len(self.leaves)
        for i, g in zip(wanted, found, strict=True):
            gradients[i] = g
        return gradients

    def _derivative(
        self,
        outputs: Sequence[Any],
        leaves: Sequence[Any],
        gys: Sequence[Array],
        xs: Sequence[Array],
    ) -> Sequence[Array]:
        """The gradients of some leaves, from those of some outputs; recorded if these are Variables."""
        torch = import_module("torch")
        is_recorded = any(isinstance(x, Variable) for x in (*gys, *xs))
        tensors = [data_of(gy) for gy in gys]
        if is_recorded:
            tensors = [t.detach().requires_grad_() for t in tensors]
        with torch.set_grad_enabled(is_recorded):
            found: Sequence[Array] = torch.autograd.grad(
                outputs,
                leaves,
                tensors,
                retain_graph=True,  # as xpnet's graph, it may be walked again
                create_graph=is_recorded,
                materialize_grads=True,
            )
        if not is_recorded:
            return found
        recorded: Sequence[Array] = _Recorded([*self.leaves, *tensors], found)(*xs, *gys)
        return recorded
