"""Define-by-run differentiation: Variables remember the Functions that made them.

    x ───► Function ───► y        y.creator is the Function; its parents are where x came from
    gx ◄── backward ◄── gy        the walk goes from Function to Function, youngest first

`Variable` is an array, of any library, with a `grad` and a `creator`. `Function` is one primitive:
`forward` on arrays, and `backward`, written once. For a first derivative `backward` is given
arrays; with `create_graph=True` it is given Variables, so that the same text records itself and
can be differentiated again.

The tape links Functions to Functions, never to their outputs: so it makes no reference cycles, and
an intermediate array lives on only if some rule has named it.
"""

from collections.abc import Sequence
from sys import modules
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import array_api_compat as compat

from xpnet.array_object import ArrayObject
from xpnet.backend import Array, array_like, current, to_numpy
from xpnet.devices import arrived, follow, known, several, stays, together
from xpnet.errors import ArgumentTypeError, GradientError, MissingMethodError
from xpnet.explain import explain, outdated
from xpnet.namespace import array_types, as_array, has_dtype
from xpnet.tape import Node, Output, arguments, clock, completed, recording, seed, walk

FLOATING = ("real floating", "complex floating")  # what has derivatives, as `isdtype` calls it


class Variable(ArrayObject):
    """An array that remembers how it was made.

    It has the standard's attributes and operators, and no method that repeats a function.

    Parameters
    ----------
    data : array of any library, scalar or nested list
        An array is kept as it is, on its device; anything else goes to the current backend.
    requires_grad : bool, optional
        Whether `backward` gives it a gradient; by default, if its dtype is a floating-point one.

    Attributes
    ----------
    grad : array, Variable or None
        What `backward` added up. It may share memory with others: do not write into it.
    creator : Function or None
        What computed it; None for a leaf.

    Examples
    --------
    >>> x = Variable(3.0)
    >>> (x * x + 1.0).backward()
    >>> float(x.grad)
    6.0
    """

    __slots__ = ("__weakref__", "born", "changed", "creator", "data", "grad", "requires_grad")
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
        self.data: Array = as_array(data)
        self.grad: Any = None
        self.creator: Any = None
        self.born = next(clock)
        floating = has_dtype(self.data, *FLOATING)
        if requires_grad and not floating:
            raise GradientError(f"Only floating-point data have gradients, not {self.dtype}.")
        self.requires_grad: bool = floating if requires_grad is None else requires_grad

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
            leaf.grad = g if leaf.grad is None else leaf.grad + g

    def cleargrad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def __repr__(self) -> str:
        shown = f"{type(self).__name__}({self.data!r})"
        arrived()
        return shown


class Parameter(Variable):
    """A Variable that a layer owns and an optimizer updates: a copy of floating-point data."""

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(data, requires_grad=True)
        self.born = self.changed = 0  # it counts as older than whatever made it, see `edge`
        if has_dtype(self.data, "complex floating"):
            raise GradientError("A Parameter is real; make two, and of them 1j * b + a.")
        self.data = array_like(self.data, self.data)  # to be changed in place


to_numpy.register(Variable, lambda x: to_numpy(x.data))
array_types.update((Variable, Parameter))


class Function:
    """One differentiable primitive. A subclass has two methods; a call makes one node of the tape.

    `forward(self, *inputs)` computes an array, or a tuple of arrays, from arrays and scalars.

    `backward(self, gy, ...)` gives the gradient of each input, as a tuple if there are several.
    After `gy` it is given what it *names*, and nothing else is kept for it: `y`, what `forward`
    returned, then inputs, called as `forward` calls them. With several outputs, `gy` and `y`
    are tuples. Where `self.needs[i]` is False, the gradient of input i may be None.

    A rule is pure: it changes nothing in place, asks no types and calls no methods of arrays, for
    it runs on arrays and on Variables alike. It leaves broadcasting and promotion to the tape,
    which sums and casts each gradient to the shape and dtype of its input.

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

    broadcasts: ClassVar[bool] = False  # whether the inputs must have shapes that broadcast
    # Whether the output is one real number and the rule accepts Python's 1.0 as gy: then a walk that
    # starts here needs no array, which on a GPU would cost a launch.
    takes_number: ClassVar[bool] = False
    takes_y: ClassVar[bool] = False
    takes: tuple[int, ...] = ()  # the inputs that backward names

    parents: tuple[Node | None, ...]  # for each input: what computed it, the leaf itself, or None
    born: int = 0  # when it was recorded: after all its parents
    needs: tuple[bool, ...]  # for each input: is its gradient asked for?
    used: tuple[bool, ...]  # for each of several outputs: has it a gradient, or only zeros?
    shape: tuple[int, ...]
    dtype: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__dict__.keys() & {"forward", "backward"}:
            inputs = arguments(cls.forward)
            named = arguments(cls.backward)[1:]
            cls.takes_y = named[:1] == ("y",)
            if (cls.takes_y and "y" in inputs) or not set(named[cls.takes_y :]) <= set(inputs):
                raise ArgumentTypeError(
                    f"{cls.__name__}: y is the output, {inputs} go in; not {named}."
                )
            cls.takes = tuple(inputs.index(name) for name in named[cls.takes_y :])

    def forward(self, *inputs: Any) -> Any:
        raise MissingMethodError(f"{type(self).__name__} defines no forward.")

    def backward(self, *gy_and_what_it_names: Any) -> Any:
        raise GradientError(f"{type(self).__name__} defines no backward: it has no derivative.")

    def __call__(self, *inputs: Any) -> Any:
        if self.born:
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
                    node = x.creator or x
                    dtype = x.data.dtype
                x = x.data
            arrays.append(x)
            parents.append(node)
        try:
            apart = known.several if lifted else "cupy" in modules and several()
            y = together(self, self.forward, arrays) if apart else self.forward(*arrays)
        except Exception as error:
            explain(error, type(self).__name__, arrays, self.broadcasts)
            raise
        if not lifted:
            return y  # arrays in, arrays out
        recorded = dtype is not None and recording.get()
        if recorded:  # constants as they are now: x[key] = value makes another array
            self.parents, self.born = tuple(parents), next(clock)
            self._inputs = [arrays[i] if parents[i] is None else inputs[i] for i in self.takes]
        if isinstance(y, tuple):
            return self._outputs(tuple(map(as_array, y)), recorded)
        y = as_array(y)
        if not recorded or (y.dtype is not dtype and not has_dtype(y, *FLOATING)):
            return _made(y, None)
        self.shape, self.dtype = y.shape, y.dtype
        if self.takes_y:
            self._y = y
        return _made(y, self)

    def _outputs(self, y: Any, recorded: bool = True) -> Any:
        """y as Variables that this Function made: one of several by an Output, integers by none."""
        if not isinstance(y, tuple):
            return _made(y, self)
        if recorded and not hasattr(self, "_like"):
            self._y, self._like = y if self.takes_y else None, [(a.shape, a.dtype) for a in y]
            self._nodes: Any = WeakValueDictionary()
        outputs = [
            Output(self, i, a) for i, a in enumerate(y) if recorded and has_dtype(a, *FLOATING)
        ]
        made_by = {node.index: self._nodes.setdefault(node.index, node) for node in outputs}
        return tuple(_made(a, made_by.get(i)) for i, a in enumerate(y))

    def pullback(self, gy: Any, create_graph: bool) -> tuple[Any, ...]:
        """The rule's answer for each input, computed on arrays or, to record it, on Variables."""
        if isinstance(gy, dict):
            self.used = tuple([i in gy for i in range(len(self._like))])
            gy = completed(gy, self._like)
        kept = []
        if self.takes_y:
            kept.append(self._outputs(self._y) if create_graph else self._y)
        for x in self._inputs:
            if isinstance(x, Variable):
                if getattr(x, "changed", 0) > self.born:  # by an optimizer's step
                    raise outdated(self, x)
                kept.append(x if create_graph else x.data)
            else:
                kept.append(as_constant(x) if create_graph else x)
        gxs = self.backward(gy, *kept)
        return gxs if isinstance(gxs, tuple) else (gxs,)


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
    nodes = [x.creator or x for x in xs]
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
    start = y.creator or y
    if gy is None and getattr(start, "takes_number", False) and not _among(wanted, start):
        gy = 1.0
    else:
        gy = (as_constant if create_graph else data_of)(seed(y.data, gy))
    return walk([(start, gy)], wanted, create_graph)


def _among(nodes: Sequence[Node] | None, node: Node) -> bool:
    """Whether `node` is one of `nodes`; False if they are None."""
    return nodes is not None and any(n is node for n in nodes)


def _made(data: Array, creator: Node | None) -> Variable:
    """A Variable without `Variable.__init__`'s questions; a constant if there is no creator."""
    v = Variable.__new__(Variable)
    v.data, v.grad, v.creator, v.requires_grad = data, None, creator, creator is not None
    v.born = 0
    return v


def data_of(x: Any) -> Any:
    """The array in a Variable; anything else as it is."""
    return x.data if isinstance(x, Variable) else x


def as_constant(x: Any) -> Any:
    """An array as a constant Variable; Variables and Python scalars as they are."""
    scalar = x is None or isinstance(x, (int, float, complex))
    return x if scalar or isinstance(x, Variable) else _made(as_array(x), None)
