"""Define-by-run differentiation: Variables remember the Functions that made them.

    x ───► Function ───► y        y.creator is the Function, y.node the tape's record of the call
    gx ◄── backward ◄── gy        the walk goes from node to node, youngest first

`Variable` is an array, of any library, with a `grad` and a `creator`. `Function` is one primitive:
`forward` on arrays, and `backward`, written once. For a first derivative `backward` is given
arrays; with `create_graph=True` it is given Variables, so that the same code records itself and
can be differentiated again.

A Function's attributes belong to its author. What the tape needs (which nodes went in, when, what
to keep for the rule) lies in a node of the tape's own. Nodes link to nodes, never to Variables that
were computed: so there are no reference cycles, and an intermediate array lives on only if some rule
has named it.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from sys import modules
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import array_api_compat as compat

from xpnet.array_object import ArrayObject
from xpnet.backend import Array, array_like, current, to_numpy, with_data, without_data
from xpnet.devices import arrived, follow, known, several, stays, together
from xpnet.errors import (
    ArgumentTypeError,
    GradientError,
    MissingAttributeError,
    MissingMethodError,
)
from xpnet.explain import explain, outdated
from xpnet.namespace import array_types, as_array, has_dtype, methods
from xpnet.signatures import Rule, rule_of
from xpnet.tape import Node, Output, clock, completed, recorded, recording, seed, walk

FLOATING = ("real floating", "complex floating")  # what has derivatives, as `isdtype` calls it


class Variable(ArrayObject):
    """An array that remembers how it was made.

    It has the standard's attributes and operators, and no method that repeats a function.

    Parameters
    ----------
    data : array of any library, scalar or nested list
        An array decides by itself: it is kept as it is, in its library and on its device, whatever
        `xpnet.use` has chosen. Python numbers and lists go to the current backend.
    requires_grad : bool, optional
        Whether `backward` gives it a gradient; by default, if its dtype is a floating-point one.

    Attributes
    ----------
    grad : array, Variable or None
        What `backward` added up: an array like `data`, so that a step of gradient descent is
        `x.data -= lr * x.grad` on every library. On NumPy, as on PyTorch, `x.grad.data` is the
        same numbers. A Variable after `backward(create_graph=True)`. It may share memory with
        others: do not write into it.
    raw_grad : array, Variable or None
        `grad` as the library made it, for optimizers.
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
    parents: ClassVar[tuple[()]] = ()  # to the tape, a leaf is a node that nothing went into

    def __init__(self, data: Any, *, requires_grad: bool | None = None) -> None:
        if isinstance(data, Variable):
            raise ArgumentTypeError(
                "Expected an array, got a Variable. Use it as it is, or its .data."
            )
        if getattr(data, "requires_grad", False):
            raise ArgumentTypeError("This tensor is recorded by its own library; pass x.detach().")
        if not compat.is_array_api_obj(data):
            data = current().asarray(data)
        if "einops" in modules:
            methods["meet_einops"]()
        self.data: Array = as_array(data)
        self.raw_grad: Any = None
        self.node: Any = None
        self.created = next(clock)
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
    def grad(self) -> Any:
        return with_data(self.raw_grad)

    @grad.setter
    def grad(self, g: Any) -> None:
        self.raw_grad = without_data(g)

    @property
    def creator(self) -> "Function | None":
        """The Function that computed it; None for a leaf."""
        return getattr(self.node, "function", None)

    @stays
    def backward(self, gy: Any = None, *, create_graph: bool = False) -> None:
        """Add the derivative of this Variable to the `grad` of every leaf it was computed from.

        Parameters
        ----------
        gy : array or Variable of this shape, nested list or scalar, optional
            The gradient to start from: the vector of the vector-Jacobian product. It may be left
            out for a single number; then it is 1.
        create_graph : bool
            Record the derivative too: each `grad` is a Variable that can be differentiated.

        Raises
        ------
        GradientError
            Nothing was recorded, a rule is missing, or `gy` is left out for more than a number.
        ShapeError
            `gy` has another shape.
        """
        for leaf, g in _walk(self, None, gy, create_graph):
            follow(g)
            leaf.raw_grad = g if leaf.raw_grad is None else leaf.raw_grad + g

    def cleargrad(self) -> None:
        """Forget the gradient."""
        self.raw_grad = None

    def __repr__(self) -> str:
        shown = f"{type(self).__name__}({self.data!r})"
        arrived()
        return shown


def _update(operator: str) -> Callable[[Any, Any], Any]:
    """`p op= value` for Parameters: without recording, as the value is a constant."""
    general: Callable[[Any, Any], Any] = getattr(Variable, operator)

    def update(p: "Parameter", value: Any) -> Any:
        if isinstance(value, Variable) and value.requires_grad and recording.get():
            raise GradientError(
                f"Parameter.{operator} expected an array, a number or a constant Variable, got one "
                "with a gradient: a Parameter is a leaf, and nothing that was computed. To update "
                "it, take value.data, or write in a block `with no_grad():`."
            )
        with recorded(on=False):
            return general(p, value)

    return update


def _give(p: "Parameter", data: Array) -> None:
    """`p.data = data`: an array, or the computed Variable would hide in it, neither leaf nor node."""
    if isinstance(data, Variable):
        raise ArgumentTypeError(
            "Parameter.data expected an array, got a Variable. Write p.data = value.data, or "
            "update the Parameter in place: p -= value.data."
        )
    p._array = data  # noqa: SLF001 - its own


class Parameter(Variable):
    """A Variable that a layer owns and an optimizer updates: a copy of floating-point data.

    `p -= 0.1 * g`, with an array or a number, updates it, and is not recorded: it is the same
    Parameter afterwards, for all who hold it. So is `params["W"] -= 0.1 * grads["W"]`. But
    `p = p - 0.1 * g` gives the name to a Variable that was computed.
    """

    __slots__ = ()
    _array: Any = vars(Variable)["data"]  # the same place under another name
    data: Any = property(attrgetter("_array"), _give)  # read without a call of Python's
    __iadd__ = _update("__iadd__")
    __isub__ = _update("__isub__")
    __imul__ = _update("__imul__")
    __itruediv__ = _update("__itruediv__")
    __ifloordiv__ = _update("__ifloordiv__")
    __imod__ = _update("__imod__")
    __ipow__ = _update("__ipow__")
    __imatmul__ = _update("__imatmul__")

    def __init__(self, data: Any) -> None:
        super().__init__(data, requires_grad=True)
        self.created = self.changed = 0  # it counts as older than whatever made it, see `edge`
        if has_dtype(self.data, "complex floating"):
            raise GradientError("A Parameter is real; make two, and of them 1j * b + a.")
        self.data = array_like(self.data, self.data)  # to be changed in place


to_numpy.register(Variable, lambda x: to_numpy(x.data))
array_types.update((Variable, Parameter))


class _OfItsNode:
    """What a rule may ask the tape by an attribute; a Function that has its own has its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.read = attrgetter(name)

    def __get__(self, function: Any, owner: type) -> Any:
        try:
            return self.read(_get(function))
        except (AttributeError, TypeError):
            if function is None:  # asked of the class
                return self
            raise MissingAttributeError(
                f"{owner.__name__}.{self.name} is known while a gradient is computed: ask for it "
                "in backward."
            ) from None


class Function:
    """One differentiable primitive. A subclass has two methods; a call makes one node of the tape.

    `forward(self, *inputs)` computes an array, or a tuple of arrays, from arrays and scalars.

    `backward(self, gy, ...)` gives the gradient of each input, as a tuple if there are several.
    After `gy` it is given what it *names*, and nothing else is kept for it: `y`, what `forward`
    returned, then inputs, called as `forward` calls them (`*xs` for all of its `*xs`). With several
    outputs, `gy` and `y` are tuples.

    All attributes are the author's: the tape reads none and writes none. It answers two questions
    of a rule, unless the Function has attributes of these names: where `self.needs[i]` is False,
    the gradient of input i may be None; where `self.used[i]` is False, output i has no gradient,
    and gy[i] is zeros.

    A rule is pure: it changes nothing in place, asks no types and calls no methods of arrays, for
    it runs on arrays and on Variables alike. It leaves broadcasting and promotion to the tape,
    which sums and casts each gradient to the shape and dtype of its input.

    Parameters
    ----------
    broadcasts : bool, a keyword of the class statement
        Whether the inputs must have shapes that broadcast: an error then says where they do not.
    takes_number : bool, likewise
        Whether the output is one real number and the rule accepts Python's 1.0 as gy: a walk that
        starts here then needs no array, which on a GPU would cost a launch.
    keeps : Rule, likewise
        What to keep for the rule, where its parameters do not name it.

    Examples
    --------
    >>> class Square(Function):
    ...     def forward(self, x):
    ...         return x * x
    ...     def backward(self, gy, x):
    ...         return gy * (2.0 * x)
    >>> Square()(Square()(Variable(3.0)))
    Variable(array(81., dtype=float32))
    """

    __slots__ = ("__dict__", "__node", "__weakref__")
    __xpnet_rule__: ClassVar[Rule] = Rule()
    __xpnet_broadcasts__: ClassVar[bool] = False
    __xpnet_takes_number__: ClassVar[bool] = False

    needs: Any = _OfItsNode("needs")
    used: Any = _OfItsNode("used")

    def __init_subclass__(
        cls,
        *,
        broadcasts: bool | None = None,
        takes_number: bool | None = None,
        keeps: Rule | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        if broadcasts is not None:
            cls.__xpnet_broadcasts__ = broadcasts
        if takes_number is not None:
            cls.__xpnet_takes_number__ = takes_number
        if keeps is not None:
            cls.__xpnet_rule__ = keeps
        elif cls.backward is not Function.backward and cls.__dict__.keys() & {
            "forward",
            "backward",
        }:
            cls.__xpnet_rule__ = rule_of(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise ArgumentTypeError(f"{cls.__name__}() takes no arguments: it has no __init__.")
        function = super().__new__(cls)
        _set(function, None)
        return function

    def forward(self, *inputs: Any) -> Any:
        raise MissingMethodError(f"{type(self).__name__} defines no forward.")

    def backward(self, *gy_and_what_it_names: Any) -> Any:
        raise GradientError(f"{type(self).__name__} defines no backward: it has no derivative.")

    def __call__(self, *inputs: Any) -> Any:
        if _called(self):
            raise GradientError(f"This {type(self).__name__} was called before; make a new one.")
        arrays: list[Any] = []
        parents: list[Node | None] = []
        lifted = False
        dtype = None
        for x in inputs:
            node = None
            if isinstance(x, Variable):
                lifted = True
                if x.requires_grad:
                    node = x.node
                    if node is None:
                        node = x
                    dtype = x.data.dtype
                x = x.data
            arrays.append(x)
            parents.append(node)
        try:
            apart = known.several if lifted else "cupy" in modules and several()
            y = together(self, self.forward, arrays) if apart else self.forward(*arrays)
        except Exception as error:
            explain(error, type(self).__name__, arrays, self.__xpnet_broadcasts__, self.forward)
            raise
        if not lifted:
            return y  # arrays in, arrays out
        if dtype is None or not recording.get():
            return tuple(map(_constant, y)) if isinstance(y, tuple) else _constant(y)
        call = FunctionNode(self, arrays, parents)
        _set(self, CALLED)
        if isinstance(y, tuple):
            return call.several(tuple(map(as_array, y)))
        if type(y) not in array_types:
            y = as_array(y)
        if y.dtype is not dtype and not has_dtype(y, *FLOATING):
            return made(y, None)
        call.shape = y.shape
        call.dtype = y.dtype
        call.y = None if self.__xpnet_rule__.y_at is None else y
        return made(y, call)


# The tape's slot in a Function has no name: none of its author's attributes is in its way.
_slot: Any = Function.__dict__["_Function__node"]
_get: Callable[[Function], Any] = _slot.__get__
_set: Callable[[Function, Any], None] = _slot.__set__
delattr(Function, "_Function__node")
CALLED = True


def _called(function: Function) -> Any:
    try:
        return _get(function)
    except AttributeError:  # its class has a __new__ that does not come here
        return None


def call_of(function: Function) -> Any:
    """The node of a Function's call while its `backward` runs."""
    return _get(function)


class FunctionNode:
    """One call of a Function that was recorded: a node of the tape."""

    __slots__ = (
        *("__weakref__", "created", "dtype", "function", "kept", "like", "needs", "outputs"),
        *("parents", "shape", "used", "y"),
    )
    changed: ClassVar[int] = 0
    needs: tuple[bool, ...]
    used: tuple[bool, ...]
    shape: tuple[int, ...]
    dtype: Any
    y: Any

    def __init__(
        self, function: Function, arrays: Sequence[Any], parents: Sequence[Node | None]
    ) -> None:
        rule = function.__xpnet_rule__
        self.function = function
        self.parents = parents
        self.created = next(clock)
        # Arrays and not Variables: x[key] = value and an optimizer may give x other ones.
        if rule.rest is None and not rule.defaults:
            self.kept = [arrays[i] for i in rule.takes]
        else:
            self.kept = rule.kept(arrays)

    def several(self, ys: tuple[Array, ...]) -> tuple["Variable", ...]:
        """The outputs as Variables: integers have no history."""
        self.like = [(y.shape, y.dtype) for y in ys]
        self.y = ys if self.function.__xpnet_rule__.y_at is not None else None
        self.outputs: WeakValueDictionary[int, Output] = WeakValueDictionary()
        return self._as_variables(ys)

    def _as_variables(self, ys: tuple[Array, ...]) -> tuple["Variable", ...]:
        outputs = [Output(self, i, y) for i, y in enumerate(ys) if has_dtype(y, *FLOATING)]
        made_by = {node.index: self.outputs.setdefault(node.index, node) for node in outputs}
        return tuple(made(y, made_by.get(i)) for i, y in enumerate(ys))

    def inputs(self) -> dict[int, Any]:
        """The arrays and numbers that are kept for the rule, by their places among the inputs."""
        places = self.function.__xpnet_rule__.taken(len(self.parents))
        return dict(zip(places, self.kept, strict=True))

    def pullback(self, gy: Any, create_graph: bool) -> Sequence[Any]:
        """The rule's answer for each input, computed on arrays or, to record it, on Variables."""
        function = self.function
        rule = function.__xpnet_rule__
        if isinstance(gy, dict):
            self.used = tuple([i in gy for i in range(len(self.like))])
            gy = completed(gy, self.like)
        for p in self.parents:
            if p is not None and p.changed > self.created:
                self._require_not_kept(p)
        kept = self._recorded() if create_graph else self.kept
        if rule.y_at is not None:
            kept = [*kept]
            kept.insert(rule.y_at, self._output() if create_graph else self.y)
        _set(function, self)  # for no longer than needed: it is a cycle of references
        try:
            if rule.names:
                by_position, by_name = rule.handed(kept)
                gxs = function.backward(gy, *by_position, **by_name)
            else:
                gxs = function.backward(gy, *kept)
        finally:
            _set(function, CALLED)
        return gxs if isinstance(gxs, (tuple, list)) else (gxs,)

    def _require_not_kept(self, leaf: Node) -> None:
        """Raise GradientError if the rule is to be given this leaf, which was changed since."""
        if any(self.parents[i] is leaf for i in self.inputs() if i < len(self.parents)):
            raise outdated(self.function, leaf)

    def _recorded(self) -> list[Any]:
        """The inputs that the rule names, as Variables of the history that they had."""
        parents = self.parents
        return [
            as_constant(x) if i >= len(parents) or parents[i] is None else made(x, parents[i])
            for i, x in self.inputs().items()
        ]

    def _output(self) -> Any:
        return self._as_variables(self.y) if isinstance(self.y, tuple) else made(self.y, self)


def gradients(
    y: Variable, xs: Sequence[Variable], gy: Any = None, *, create_graph: bool = False
) -> tuple[Any, ...]:
    """The gradient of `y` by each of `xs`; touches no `grad`, and computes nothing else.

    Parameters
    ----------
    y : Variable
    xs : sequence of Variables
        Leaves, or Variables on the way to `y`.
    gy, create_graph
        As for `Variable.backward`, which raises the same errors.

    Returns
    -------
    tuple of arrays (of Variables with `create_graph`)
        Each of the shape and dtype of its x; zeros where `y` does not depend on x.
    """
    if isinstance(xs, Variable):
        raise ArgumentTypeError(
            "Expected a sequence of Variables; for one, write gradients(y, [x])."
        )
    if not all(x.requires_grad for x in xs):
        raise GradientError("A gradient was asked for by a Variable that requires none.")
    nodes = [node_of(x) for x in xs]
    found = {id(node): g for node, g in _walk(y, nodes, gy, create_graph)}
    for x, node in zip(xs, nodes, strict=True):
        if id(node) not in found:
            found[id(node)] = (as_constant if create_graph else data_of)(seed(x.data, 0.0))
    return tuple(found[id(node)] for node in nodes)


def _walk(
    y: Variable, wanted: Sequence[Node] | None, gy: Any, create_graph: bool
) -> list[tuple[Node, Any]]:
    if not y.requires_grad:
        raise GradientError(
            "Nothing was recorded: it was made under no_grad, or of constants alone."
        )
    start = node_of(y)
    takes_number = isinstance(start, FunctionNode) and start.function.__xpnet_takes_number__
    if gy is None and takes_number and not _among(wanted, start):
        gy = 1.0
    else:
        gy = (as_constant if create_graph else data_of)(seed(y.data, gy))
    return walk([(start, gy)], wanted, create_graph)


def _among(nodes: Sequence[Node] | None, node: Node) -> bool:
    """Whether `node` is one of `nodes`; False if they are None."""
    return nodes is not None and any(n is node for n in nodes)


def made(data: Array, node: Node | None) -> Variable:
    """A Variable without `Variable.__init__`'s questions; a constant if there is no node."""
    v = Variable.__new__(Variable)
    v.data = data
    v.raw_grad = None
    v.node = node
    v.requires_grad = node is not None
    if node is None:
        v.created = v.changed = 0
    return v


def _constant(y: Any) -> Variable:
    return made(as_array(y), None)


def node_of(v: Variable) -> Node:
    """What stands for a Variable that requires a gradient in the graph."""
    return v if v.node is None else v.node


def data_of(x: Any) -> Any:
    """The array in a Variable; anything else as it is."""
    return x.data if isinstance(x, Variable) else x


def as_constant(x: Any) -> Any:
    """An array as a constant Variable; Variables and Python scalars as they are."""
    scalar = x is None or isinstance(x, (int, float, complex))
    return x if scalar or isinstance(x, Variable) else made(as_array(x), None)
