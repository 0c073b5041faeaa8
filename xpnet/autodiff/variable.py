"""Variables: arrays with a record of how they were computed, and two ways to compute gradients.

`Variable` is an array, of any library, with a `grad` and a `creator`, the `Function` that computed
it. `Variable.backward` adds to the `grad` of every leaf; `gradients` returns the gradients with
respect to given Variables and changes nothing.
"""

from collections.abc import Callable, Sequence
from operator import add, attrgetter
from sys import modules
from typing import TYPE_CHECKING, ClassVar

import array_api_compat as compat

from xpnet._libraries.devices import arrived, call_on_their_device, known
from xpnet._libraries.numpy import with_data, without_data
from xpnet._typing import Array
from xpnet.autodiff._array_object import ArrayObject
from xpnet.autodiff.namespace import array_types, as_array, has_dtype, methods
from xpnet.autodiff.tape import Node, creation_order, recorded, recording, seed, walk
from xpnet.backend import array_like, current, to_numpy
from xpnet.errors import ArgumentTypeError, GradientError

if TYPE_CHECKING:
    from xpnet.autodiff.function import Function

FLOATING = ("real floating", "complex floating")
"""The kinds of dtypes that have derivatives, by their names in `isdtype`."""


class Variable(ArrayObject):
    """An array with a record of how it was computed.

    It has the standard's attributes and operators, and no methods that repeat functions.

    Parameters
    ----------
    data : array of any library, scalar or nested list
        An array is kept as it is, in its library and on its device, whatever `xpnet.use` has
        chosen. Python numbers and lists become arrays of the current backend.
    requires_grad : bool, optional
        Whether `backward` gives it a gradient. By default, it does if the dtype is a floating-point
        one.

    Attributes
    ----------
    grad : array, Variable or None
        The sum of the gradients that `backward` computed: an array like `data`, so that a step of
        gradient descent is `x.data -= lr * x.grad` on every library. With NumPy, as with PyTorch,
        `x.grad.data` is an array with the same numbers. After `backward(create_graph=True)` it is a
        Variable. It may share memory with other arrays: do not write into it.
    raw_grad : array, Variable or None
        `grad` as an ordinary array of the library, for optimizers.
    creator : Function or None
        The Function that computed it; None for a leaf.

    Examples
    --------
    >>> x = Variable(3.0)
    >>> (x * x + 1.0).backward()
    >>> float(x.grad)
    6.0
    """

    __slots__ = ("__weakref__", "changed", "created", "data", "node", "raw_grad", "requires_grad")
    parents: ClassVar[tuple[()]] = ()  # on the tape, a leaf is a node without inputs

    def __init__(self, data: Array, *, requires_grad: bool | None = None) -> None:
        if isinstance(data, Variable):
            raise ArgumentTypeError(
                "Expected an array, got a Variable. Use it as it is, or its .data."
            )
        if getattr(data, "requires_grad", False):
            raise ArgumentTypeError(
                "Expected a tensor that its own library does not record; pass x.detach()."
            )
        if not compat.is_array_api_obj(data):
            data = current().asarray(data)
        if "einops" in modules:  # it may have been imported since the last Variable was created
            methods["meet_einops"]()
        self.data: Array = as_array(data)
        self.raw_grad: Array | None = None
        self.node: Node = None
        self.created = next(creation_order)
        self.changed = 0
        floating = has_dtype(self.data, *FLOATING)
        if not floating and not has_dtype(self.data, "integral", "bool"):
            raise ArgumentTypeError(
                f"Variable expected numbers, got an array of dtype {self.data.dtype}."
            )
        if requires_grad and not floating:
            raise GradientError(f"Only floating-point data have gradients, not {self.dtype}.")
        self.requires_grad: bool = floating if requires_grad is None else requires_grad

    @property
    def grad(self) -> Array | None:
        # NumPy's own `data` is a memoryview, with which one cannot compute.
        return with_data(self.raw_grad)

    @grad.setter
    def grad(self, g: Array | None) -> None:
        self.raw_grad = without_data(g)

    @property
    def creator(self) -> "Function | None":
        """The Function that computed it; None for a leaf."""
        return getattr(self.node, "function", None)

    def backward(
        self,
        gy: Array | None = None,
        *,
        create_graph: bool = False,
        on_gradient: "Callable[[Variable], None] | None" = None,
    ) -> None:
        """Add the derivative of this Variable to the `grad` of every leaf it was computed from.

        Parameters
        ----------
        gy : array or Variable of this shape, nested list or scalar, optional
            The gradient to start from: the vector of the vector-Jacobian product. For a single
            number, it is 1 by default.
        create_graph : bool
            Whether to record the derivative too: each `grad` is then a Variable that can be
            differentiated.
        on_gradient : function of a leaf, optional
            It is called with each leaf as soon as its `grad` is final, while the gradients of others
            are still computed: the last layers' parameters come first.

        Raises
        ------
        GradientError
            Nothing was recorded, a rule is missing, or `gy` is missing for more than one number.
        ShapeError
            `gy` has another shape.
        """
        if on_gradient is None:
            for leaf, g in _walk(self, None, gy, create_graph):
                if leaf.raw_grad is None:  # as usual: without another Python frame for each leaf
                    leaf.raw_grad = g
                else:
                    _add_to_grad(leaf, g)
            return

        def arrived(leaf: Variable, g: Array) -> None:
            _add_to_grad(leaf, g)
            on_gradient(leaf)

        _walk(self, None, gy, create_graph, arrived)

    def zero_grad(self) -> None:
        """Forget the gradient: `grad` is None afterwards."""
        self.raw_grad = None

    def cleargrad(self) -> None:
        """An alias of `zero_grad`: its name in DeZero, which the lessons use."""
        self.zero_grad()

    def __repr__(self) -> str:
        shown = f"{type(self).__name__}({self.data!r})"
        arrived()
        return shown


def _update(operator: str) -> Callable[["Parameter", Array], "Parameter"]:
    """`p op= value` for Parameters, which is not recorded, because the value is a constant."""
    general: Callable[[Parameter, Array], Parameter] = getattr(Variable, operator)

    def update(p: "Parameter", value: Array) -> "Parameter":
        if isinstance(value, Variable) and value.requires_grad and recording.get():
            raise GradientError(
                f"Parameter.{operator} expected an array, a number or a constant Variable, got one "
                "with a gradient: a Parameter is a leaf and cannot be the result of a computation. "
                "To update it, use value.data, or write in a block `with no_grad():`."
            )
        with recorded(on=False):
            return general(p, value)

    return update


def _set_data(p: "Parameter", data: Array) -> None:
    """`p.data = data`, for an array: a Variable inside a Parameter would belong to no graph."""
    if isinstance(data, Variable):
        raise ArgumentTypeError(
            "Parameter.data expected an array, got a Variable. Write p.data = value.data, or "
            "update the Parameter in place: p -= value.data."
        )
    p._array = data  # noqa: SLF001 - its own


class Parameter(Variable):
    """A Variable that a layer owns and an optimizer updates: a copy of floating-point data.

    `p -= 0.1 * g`, with an array or a number, updates it, and is not recorded: every other reference
    to the Parameter sees the update. The same holds for `params["W"] -= 0.1 * grads["W"]`. But
    `p = p - 0.1 * g` binds the name to a computed Variable.

    Parameters
    ----------
    data : array, scalar or nested list, of real floating-point numbers

    Raises
    ------
    GradientError
        The data are complex, or not floating-point.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> weight = xpnet.Parameter([[1.0, 2.0]])
    >>> F.sum(weight * 3.0).backward()
    >>> weight.grad.tolist()
    [[3.0, 3.0]]
    """

    __slots__ = ()
    stays_with: ClassVar[str | None] = None  # the library that it cannot leave
    _array: Array = vars(Variable)["data"]  # the same slot under another name
    data: Array = property(attrgetter("_array"), _set_data)  # reading it takes no Python frame
    __iadd__ = _update("__iadd__")
    __isub__ = _update("__isub__")
    __imul__ = _update("__imul__")
    __itruediv__ = _update("__itruediv__")
    __ifloordiv__ = _update("__ifloordiv__")
    __imod__ = _update("__imod__")
    __ipow__ = _update("__ipow__")
    __imatmul__ = _update("__imatmul__")

    def __init__(self, data: Array) -> None:
        super().__init__(data, requires_grad=True)
        # As if it were created before everything else, even before the call that creates it.
        self.created = self.changed = 0
        if has_dtype(self.data, "complex floating"):
            raise GradientError("A Parameter is real; use two, a and b, and compute a + 1j * b.")
        self.data = array_like(self.data, self.data)  # a copy, since optimizers change it in place


to_numpy.register(Variable, lambda x: to_numpy(x.data))
array_types.update((Variable, Parameter))


def gradients(
    y: Variable, xs: Sequence[Variable], gy: Array | None = None, *, create_graph: bool = False
) -> tuple[Array, ...]:
    """The gradients of `y` with respect to each of `xs`, without changing any `grad`.

    Parameters
    ----------
    y : Variable
    xs : sequence of Variables
        Leaves, or Variables on the way to `y`.
    gy, create_graph
        As for `Variable.backward`.

    Returns
    -------
    tuple of arrays (of Variables with `create_graph`)
        Each has the shape and dtype of its x; zeros where `y` does not depend on x.

    Raises
    ------
    GradientError, ShapeError
        As from `Variable.backward`; or one of `xs` requires no gradient.
    ArgumentTypeError
        `xs` is a Variable.

    Examples
    --------
    >>> import xpnet
    >>> x = xpnet.Variable(3.0)
    >>> y = x * x
    >>> float(xpnet.gradients(y, [x])[0]), x.grad
    (6.0, None)
    """
    if isinstance(xs, Variable):
        raise ArgumentTypeError(
            "Expected a sequence of Variables; for one, write gradients(y, [x])."
        )
    if not all(x.requires_grad for x in xs):
        raise GradientError("Expected Variables that require a gradient; one of xs does not.")
    nodes = [node_of(x) for x in xs]
    found = {id(node): g for node, g in _walk(y, nodes, gy, create_graph)}
    for x, node in zip(xs, nodes, strict=True):
        if id(node) not in found:
            zeros = seed(x.data, 0.0)
            if create_graph:
                zeros = as_constant(zeros)
            found[id(node)] = zeros
    return tuple(found[id(node)] for node in nodes)


def _add_to_grad(leaf: Variable, g: Array) -> None:
    """Add a gradient to those that a leaf has."""
    if leaf.raw_grad is None:
        leaf.raw_grad = g
    elif known.several:  # on a machine with several GPUs
        leaf.raw_grad = call_on_their_device(add, leaf.raw_grad, g)
    else:  # never in place: others may hold the array
        leaf.raw_grad = leaf.raw_grad + g


def _walk(
    y: Variable,
    wanted: Sequence[Node] | None,
    gy: Array | None,
    create_graph: bool,
    arrived: Callable[[Node, Array], None] | None = None,
) -> list[tuple[Node, Array]]:
    """`tape.walk` from y, which starts with the gradient gy."""
    if not y.requires_grad:
        raise GradientError(
            "Nothing was recorded: it was computed under no_grad; or only from constants, such as float(x) or "
            "an array in which x was stored by array[i] = x; or integers, such as Variable(2) for "
            "Variable(2.0); or by a function of xpnet.compile. Call backward within that function."
        )
    start = node_of(y)
    takes_number = getattr(start, "takes_number", False) and not _among(wanted, start)
    # With several GPUs the walk follows its gradients to their devices, and a number is on none.
    if gy is None and takes_number and not known.several:
        gy = 1.0
    else:
        gy = seed(y.data, gy)
        if create_graph:
            gy = as_constant(gy)
        elif isinstance(gy, Variable):
            gy = gy.data
    return walk([(start, gy)], wanted, create_graph, arrived=arrived)


def _among(nodes: Sequence[Node] | None, node: Node) -> bool:
    """Whether `node` is one of `nodes`; False if they are None."""
    return nodes is not None and any(n is node for n in nodes)


def variable_of(data: Array, node: Node) -> Variable:
    """A Variable with this node, without the checks of `Variable()`; a constant if it is None."""
    v = Variable.__new__(Variable)
    v.data = data
    v.raw_grad = None
    v.node = node
    v.requires_grad = node is not None
    if node is None:
        v.created = v.changed = 0
    return v


def constant(y: Array) -> Variable:
    """An array as a Variable without history."""
    return variable_of(as_array(y), None)


def node_of(v: Variable) -> Node:
    """The node of a Variable that requires a gradient: for a leaf, the Variable itself."""
    return v if v.node is None else v.node


def data_of(x: Array) -> Array:
    """The array in a Variable; anything else as it is."""
    return x.data if isinstance(x, Variable) else x


def as_constant(x: Array) -> Array:
    """An array as a constant Variable; Variables, Python scalars and None as they are."""
    if x is None or isinstance(x, (Variable, int, float, complex)):
        return x
    return constant(x)
