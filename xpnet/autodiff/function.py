"""Define-by-run differentiation: Variables remember the Functions that computed them.

    x ───► Function ───► y        y.creator is the Function, y.node the tape's record of the call
    gx ◄── backward ◄── gy        gy is the gradient of y; the walk visits the latest node first

`Variable` is an array, of any library, with a `grad` and a `creator`. `Function` is one primitive:
`forward` on arrays, and `backward`, written once. For a first derivative `backward` is given
arrays; with `create_graph=True` it is given Variables, so that the same code records itself and
can be differentiated again.

A Function's attributes belong to its author. What the tape needs (the nodes of the inputs, the
order of creation, what to save for the rule) is in a node of the tape's own. Nodes link to nodes,
never to Variables that were computed. So there are no reference cycles, and an intermediate array
stays in memory only if some rule names it.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from sys import modules
from typing import Any, ClassVar, TypeAlias
from weakref import WeakValueDictionary

from xpnet._hints import RULES, hinted
from xpnet._libraries.devices import call_on_one_device, known, several
from xpnet._typing import Array, DType
from xpnet.autodiff._messages import explain, outdated
from xpnet.autodiff._signatures import Rule, rule_of
from xpnet.autodiff.namespace import array_types, as_array, has_dtype
from xpnet.autodiff.tape import Node, Output, completed, creation_order, recording
from xpnet.autodiff.variable import FLOATING, Variable, as_constant, constant, variable_of
from xpnet.errors import (
    GradientError,
    MissingAttributeError,
    MissingMethodError,
)


class _NodeAttribute:
    """An attribute of a Function's node that a rule may read as if it were the Function's.

    It has no `__set__`, so an attribute of the same name that the author assigns hides it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.read = attrgetter(name)

    def __get__(self, function: "Function | None", owner: type) -> Any:
        try:
            return self.read(_get_node(function))  # type: ignore[arg-type]
        except (AttributeError, TypeError):
            if function is None:  # read from the class
                return self
            raise MissingAttributeError(
                f"{owner.__name__}.{self.name} is known only while a gradient is computed: read it "
                "in backward."
            ) from None


Arrays: TypeAlias = Array | tuple[Array, ...]
_METHODS = {"forward", "backward"}


@hinted(RULES)
class Function:
    """One differentiable primitive. A subclass defines two methods; each call is a node of the tape.

    `forward(self, *inputs)` computes an array, or a tuple of arrays, from arrays and scalars.

    `backward(self, gy, ...)` returns the gradient of each input, as a tuple if there are several.
    After `gy` it is given what it *names*, and nothing else is saved for it: `y`, what `forward`
    returned, then inputs, by the names that they have in `forward` (`*xs` for all of its `*xs`).
    With several outputs, `gy` and `y` are tuples.

    All attributes are the author's: the tape neither reads nor writes any of them. Two attributes
    can be read in `backward`, unless the Function has its own of these names. Where
    `self.needs[i]` is False, the gradient of input i may be None. Where `self.used[i]` is False,
    output i has no gradient, and gy[i] is zeros.

    A rule is pure: it changes nothing in place, tests no types and calls no methods of arrays,
    because it runs on arrays and on Variables alike. It leaves broadcasting and promotion to the
    tape, which sums and casts each gradient to the shape and dtype of its input.

    Parameters
    ----------
    broadcasts : bool, a keyword of the class statement
        Whether the inputs must have shapes that broadcast: an error then states where they do not.
    takes_number : bool, a keyword of the class statement
        Whether the output is one real number and the rule accepts Python's 1.0 as gy. A walk that
        starts here then needs no array, which on a GPU would cost a launch.
    rule : Rule, a keyword of the class statement
        What to save for `backward`, where its parameters do not name it.

    Raises
    ------
    GradientError
        From a call: this Function was called before, and that call was recorded.

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

    __slots__: tuple[str, ...] = (
        "__dict__",
        "__weakref__",
        "__xpnet_called__",
        "__xpnet_node__",
    )
    __xpnet_rule__: ClassVar[Rule] = Rule()
    __xpnet_broadcasts__: ClassVar[bool] = False
    __xpnet_takes_number__: ClassVar[bool] = False

    needs: Any = _NodeAttribute("needs")
    used: Any = _NodeAttribute("used")

    def __init_subclass__(
        cls,
        *,
        broadcasts: bool | None = None,
        takes_number: bool | None = None,
        rule: Rule | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        if broadcasts is not None:
            cls.__xpnet_broadcasts__ = broadcasts
        if takes_number is not None:
            cls.__xpnet_takes_number__ = takes_number
        if rule is not None:
            cls.__xpnet_rule__ = rule
        elif cls.backward is not Function.backward and not _METHODS.isdisjoint(vars(cls)):
            cls.__xpnet_rule__ = rule_of(cls)

    def __dir__(self) -> list[str]:
        """The attributes, without DeZero's names, which only raise an error with a hint."""
        return [name for name in super().__dir__() if name not in RULES or hasattr(self, name)]

    def __getstate__(self) -> Any:
        """For `copy` and `pickle`: all but the tape's slots, since a copy was not called."""
        state = super().__getstate__()
        if isinstance(state, tuple):
            _, slots = state
            slots.pop("__xpnet_called__", None)
            slots.pop("__xpnet_node__", None)
        return state

    def forward(self, *inputs: Array) -> Arrays:
        raise MissingMethodError(f"{type(self).__name__} defines no forward.")

    def backward(self, *gy_and_what_it_names: Array) -> Array | Sequence[Array | None]:
        raise GradientError(f"{type(self).__name__} defines no backward: it has no derivative.")

    def __call__(self, *inputs: Array) -> Array:
        # `is True`: for the unset slot, the `__getattr__` of a subclass may return anything.
        if getattr(self, "__xpnet_called__", None) is True:
            raise GradientError(f"This {type(self).__name__} was called before; make a new one.")
        arrays: list[Array] = []
        parents: list[Node] = []
        lifted = False  # whether any input is a Variable
        dtype = None  # of an input that requires a gradient
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
            # The arrays may lie apart, if there are several GPUs. Those were counted when the first
            # Variable was created: `known` is up to date if an input is one.
            apart = known.several if lifted else "cupy" in modules and several()
            if apart:
                y: Array = call_on_one_device(self, self.forward, arrays)
            else:
                y = self.forward(*arrays)
        except Exception as error:
            explain(error, type(self).__name__, arrays, self.__xpnet_broadcasts__, self.forward)
            raise
        if not lifted:
            return y
        if dtype is None or not recording.get():
            return _as_constants(y)
        _set_called(self, True)
        if type(y) in array_types and y.dtype is dtype:  # what nearly all calls return
            return variable_of(y, FunctionNode(self, arrays, parents, y))
        return _recorded(self, arrays, parents, y)


# The slots are written past `__setattr__`, which a Function may define (a frozen dataclass does).
_called: Any = vars(Function)["__xpnet_called__"]
_node: Any = vars(Function)["__xpnet_node__"]
_set_called: Callable[[Function, bool], None] = _called.__set__
_set_node: Callable[[Function, "FunctionNode | None"], None] = _node.__set__
_get_node: Callable[[Function], "FunctionNode"] = _node.__get__


def call_of(function: Function) -> "FunctionNode":
    """The node of a Function's call while its `backward` runs."""
    return _get_node(function)


def _as_constants(y: Arrays) -> Variable | tuple[Variable, ...]:
    """What `forward` returned, an array or a tuple of arrays, as Variables without history."""
    if isinstance(y, tuple):
        return tuple(map(constant, y))
    return constant(y)


def _recorded(
    function: Function, arrays: list[Array], parents: list[Node], y: Arrays
) -> Variable | tuple[Variable, ...]:
    """What `forward` returned as Variables with a node; integers and booleans have no history."""
    if isinstance(y, tuple):
        ys = tuple(map(as_array, y))
        return FunctionNode(function, arrays, parents, ys).variables_of(ys)
    y = as_array(y)
    if not has_dtype(y, *FLOATING):
        return constant(y)
    return variable_of(y, FunctionNode(function, arrays, parents, y))


class FunctionNode:
    """One call of a Function that was recorded: a node of the tape."""

    __slots__ = (
        *("__weakref__", "created", "dtype", "function", "needs", "outputs", "parents", "saved"),
        *("shape", "shapes_and_dtypes", "used", "y"),
    )
    changed: ClassVar[int] = 0
    needs: tuple[bool, ...]
    used: tuple[bool, ...]
    shape: tuple[int, ...]
    dtype: DType

    def __init__(
        self, function: Function, arrays: list[Array], parents: list[Node], y: Arrays
    ) -> None:
        rule = function.__xpnet_rule__
        self.function = function
        self.parents = parents
        self.created = next(creation_order)
        # Arrays, not Variables: a Variable's array is replaced by x[key] = value and by optimizers.
        self.saved = rule.pick(arrays) if rule.pick else rule.saved(arrays)
        self.y: Arrays | None = None if rule.y_at is None else y
        if isinstance(y, tuple):
            self.shapes_and_dtypes = [(yi.shape, yi.dtype) for yi in y]
            self.outputs: WeakValueDictionary[int, Output] = WeakValueDictionary()
        else:
            self.shape = y.shape
            self.dtype = y.dtype

    def variables_of(self, ys: tuple[Array, ...]) -> tuple[Variable, ...]:
        """The outputs as Variables, each with the node that it had before if that still exists."""
        nodes: dict[int, Output] = {}
        for i, y in enumerate(ys):
            if has_dtype(y, *FLOATING):  # integers have no history
                nodes[i] = self.outputs.setdefault(i, Output(self, i, y))
        return tuple(variable_of(y, nodes.get(i)) for i, y in enumerate(ys))

    @property
    def takes_number(self) -> bool:
        """Whether the rule accepts Python's 1.0 as the gradient to start from."""
        return self.function.__xpnet_takes_number__

    def inputs(self) -> dict[int, Array]:
        """The arrays and numbers that are saved for the rule, by their places among the inputs."""
        places = self.function.__xpnet_rule__.places(len(self.parents))
        return dict(zip(places, self.saved, strict=True))

    def pullback(self, gy: Array | dict[int, Array], create_graph: bool) -> Sequence[Array | None]:
        """The rule's gradient for each input, computed on arrays or, to record it, on Variables.

        If there are several outputs, `gy` is a dict: the gradients by place, where there is one.
        """
        function = self.function
        rule = function.__xpnet_rule__
        if isinstance(gy, dict):
            self.used = tuple([i in gy for i in range(len(self.shapes_and_dtypes))])
            gy = completed(gy, self.shapes_and_dtypes)
        for p in self.parents:
            if p is not None and p.changed > self.created:
                self._require_not_saved(p)
        saved = self.saved
        y = self.y
        if create_graph:
            saved = self._saved_as_variables()
            y = self._y_as_variable()
        if rule.y_at is not None:
            saved = [*saved]
            saved.insert(rule.y_at, y)
        _set_node(function, self)  # only while the rule runs: it is a cycle of references
        try:
            if rule.names:
                by_position, by_name = rule.arguments(saved)
                gxs = function.backward(gy, *by_position, **by_name)
            else:
                gxs = function.backward(gy, *saved)
        finally:
            _set_node(function, None)
        if isinstance(gxs, (tuple, list)):
            return gxs
        return (gxs,)

    def _require_not_saved(self, leaf: Node) -> None:
        """Raise GradientError if this leaf, which has changed since, is saved for the rule."""
        if any(self.parents[i] is leaf for i in self.inputs() if i < len(self.parents)):
            raise outdated(self.function, leaf)

    def _saved_as_variables(self) -> list[Array]:
        """The saved inputs as Variables, with the nodes that they had."""
        nodes = dict(enumerate(self.parents))
        variables = []
        for i, x in self.inputs().items():
            node = nodes.get(i)  # the default of an input that was left out has none
            variables.append(as_constant(x) if node is None else variable_of(x, node))
        return variables

    def _y_as_variable(self) -> Variable | tuple[Variable, ...] | None:
        """The output, or the tuple of outputs, with the nodes that they had; None if not saved."""
        if self.y is None:
            return None
        if isinstance(self.y, tuple):
            return self.variables_of(self.y)
        return variable_of(self.y, self)
