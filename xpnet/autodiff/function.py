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

from xpnet._libraries.devices import known, several, together
from xpnet._typing import Array
from xpnet.autodiff._messages import explain, outdated
from xpnet.autodiff._signatures import Rule, rule_of
from xpnet.autodiff.namespace import array_types, as_array, has_dtype
from xpnet.autodiff.tape import Node, Output, clock, completed, recording
from xpnet.autodiff.variable import FLOATING, Variable, as_constant, constant, made
from xpnet.errors import (
    GradientError,
    MissingAttributeError,
    MissingMethodError,
)


class _OfItsNode:
    """What a rule may ask the tape by an attribute; a Function that has its own has its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.read = attrgetter(name)

    def __get__(self, function: Any, owner: type) -> Any:
        try:
            return self.read(_node_of(function))
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

    __slots__: tuple[str, ...] = (
        "__dict__",
        "__weakref__",
        "__xpnet_called__",
        "__xpnet_node__",
    )
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

    def forward(self, *inputs: Array) -> Any:
        raise MissingMethodError(f"{type(self).__name__} defines no forward.")

    def backward(self, *gy_and_what_it_names: Any) -> Any:
        raise GradientError(f"{type(self).__name__} defines no backward: it has no derivative.")

    def __call__(self, *inputs: Array) -> Any:
        if getattr(self, "__xpnet_called__", None) is True:
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
            return tuple(map(constant, y)) if isinstance(y, tuple) else constant(y)
        call = FunctionNode(self, arrays, parents)
        _set_called(self, True)
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


# The slots are written past `__setattr__`, which a Function may define (a frozen dataclass does).
_set_called: Callable[[Function, bool], None] = vars(Function)["__xpnet_called__"].__set__
_set_node: Callable[[Function, Any], None] = vars(Function)["__xpnet_node__"].__set__
_node_of: Callable[[Function], Any] = vars(Function)["__xpnet_node__"].__get__

# `copy` and `pickle` take over the slots that are listed here: a copy of a Function was not called.
Function.__slots__ = ("__dict__", "__weakref__")


def call_of(function: Function) -> Any:
    """The node of a Function's call while its `backward` runs."""
    return _node_of(function)


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

    def __init__(self, function: Function, arrays: list[Any], parents: list[Node | None]) -> None:
        rule = function.__xpnet_rule__
        self.function = function
        self.parents = parents
        self.created = next(clock)
        # Arrays and not Variables: x[key] = value and an optimizer may give x other ones.
        self.kept = rule.pick(arrays) if rule.pick else rule.saved(arrays)

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

    @property
    def takes_number(self) -> bool:
        """Whether the rule accepts Python's 1.0 as the gradient to start from."""
        return self.function.__xpnet_takes_number__

    def inputs(self) -> dict[int, Any]:
        """The arrays and numbers that are kept for the rule, by their places among the inputs."""
        places = self.function.__xpnet_rule__.places(len(self.parents))
        return dict(zip(places, self.kept, strict=True))

    def pullback(self, gy: Array, create_graph: bool) -> Sequence[Any]:
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
        _set_node(function, self)  # for no longer than needed: it is a cycle of references
        try:
            if rule.names:
                by_position, by_name = rule.arguments(kept)
                gxs = function.backward(gy, *by_position, **by_name)
            else:
                gxs = function.backward(gy, *kept)
        finally:
            _set_node(function, None)
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
