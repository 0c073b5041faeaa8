"""Define-by-run differentiation: Variables remember the Functions that made them.

    x ───► Function ───► y        y.creator is the Function; its parents are where x came from
    gx ◄── backward ◄── gy        the walk goes from Function to Function, deepest first

* `Variable` is an array (of any library) with a `grad` and a `creator`.
* `Function` is one primitive: `forward` on arrays, and `backward`, written once. For a first
  derivative `backward` is given arrays. With `create_graph=True` it is given Variables, so that
  the same text records itself and can be differentiated again.
* `no_grad` turns the memory off.

The tape links Functions to Functions, never to their outputs: so there are no reference cycles,
and an intermediate array lives on only if some rule has named it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import array_api_compat as compat

from xpnet.backend import Array, current, to_numpy
from xpnet.errors import GradientError, ShapeError
from xpnet.namespace import Namespace, array_namespace, differentiable, namespace_over

_recording: ContextVar[bool] = ContextVar("xpnet_recording", default=True)


@contextmanager
def no_grad() -> Iterator[None]:
    """A block, or a decorated function, in which nothing is recorded: `with no_grad(): ...`."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


def _unary(name: str) -> Callable[[Any], Any]:
    return lambda x: differentiable[name](x)


def _binary(name: str) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    """The operators `x op other` and `other op x`."""
    return (lambda x, o: differentiable[name](x, o)), (lambda x, o: differentiable[name](o, x))


class Variable:
    """An array that remembers how it was made.

    It has the attributes and operators of the array API standard, and no method that repeats a
    function of `xpnet.functions`.

    Parameters
    ----------
    data : array of any library, scalar or nested list
        An array is kept as it is, on its device. Anything else becomes an array of the current
        backend.
    requires_grad : bool, optional
        Whether `backward` gives it a gradient; by default, if its dtype is floating or complex.

    Attributes
    ----------
    grad : array, Variable or None
        What `backward` added up, of the shape and dtype of `data`. It may share memory with
        other gradients: rebind it, do not write into it.
    creator : Function or None
        What computed it; None for a leaf.

    Examples
    --------
    >>> x = Variable(3.0)
    >>> y = x * x + 1.0
    >>> y.backward()
    >>> float(x.grad)
    6.0
    """

    __slots__ = ("__weakref__", "creator", "data", "grad", "requires_grad")
    __array_ufunc__ = None  # numpy_array * variable is ours to answer, in __rmul__
    __hash__ = object.__hash__  # == is elementwise; the tape needs identity

    parents: ClassVar[tuple[()]] = ()  # to the tape, a leaf is a node that nothing went into
    depth: ClassVar[int] = 0

    def __init__(self, data: Any, *, requires_grad: bool | None = None) -> None:
        if isinstance(data, Variable):
            raise TypeError("Expected an array, got a Variable. Use it as it is, or its .data.")
        self.data: Array = _as_array(
            data if compat.is_array_api_obj(data) else current().asarray(data)
        )
        self.grad: Any = None
        self.creator: Node | None = None
        continuous = array_namespace(self.data).isdtype(
            self.data.dtype, ("real floating", "complex floating")
        )
        if requires_grad and not continuous:
            raise GradientError(f"Only floating-point data have gradients, not {self.data.dtype}.")
        self.requires_grad: bool = continuous if requires_grad is None else requires_grad

    def backward(self, gy: Any = None, *, create_graph: bool = False) -> None:
        """Add the derivative of this Variable to the `grad` of every leaf it was computed from.

        Parameters
        ----------
        gy : array or Variable of this shape, or scalar, optional
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
            leaf.grad = g if leaf.grad is None else leaf.grad + g

    def cleargrad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def __array_namespace__(self, *, api_version: str | None = None) -> Namespace:
        return namespace_over(array_namespace(self.data))

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("A Variable may lie on a GPU; use xpnet.to_numpy(x) for a NumPy array.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.data!r})"

    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: compat.size(self.data))
    device = property(lambda self: compat.device(self.data))
    T = mT = property(_unary("matrix_transpose"))

    __len__ = lambda self: len(self.data)  # noqa: E731 - a table of delegations
    __bool__ = lambda self: bool(self.data)  # noqa: E731
    __int__ = lambda self: int(self.data)  # noqa: E731
    __float__ = lambda self: float(self.data)  # noqa: E731
    __complex__ = lambda self: complex(self.data)  # noqa: E731
    __index__ = lambda self: self.data.__index__()  # noqa: E731

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("subtract")
    __mul__, __rmul__ = _binary("multiply")
    __truediv__, __rtruediv__ = _binary("divide")
    __pow__, __rpow__ = _binary("pow")
    __matmul__, __rmatmul__ = _binary("matmul")
    __lt__, __gt__ = _binary("less")
    __le__, __ge__ = _binary("less_equal")
    __eq__, __ne__ = _binary("equal")[0], _binary("not_equal")[0]  # type: ignore[assignment]
    __neg__, __pos__, __abs__ = _unary("negative"), _unary("positive"), _unary("abs")
    __getitem__ = _binary("__getitem__")[0]


class Parameter(Variable):
    """A Variable that a layer owns and an optimizer updates."""

    __slots__ = ()


to_numpy.register(Variable, lambda x: to_numpy(x.data))


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
    >>> class Tanh(Function):
    ...     def forward(self, x):
    ...         return array_namespace(x).tanh(x)
    ...
    ...     def backward(self, gy, y):
    ...         return gy * (1.0 - y * y)
    >>> x = Variable(0.0)
    >>> Tanh()(x).backward()
    >>> float(x.grad)
    1.0
    """

    takes_y: ClassVar[bool] = False
    takes: ClassVar[tuple[int, ...]] = ()  # the inputs that backward names

    parents: tuple["Node | None", ...]  # for each input: what computed it, the leaf itself, or None
    depth: int  # one more than the deepest parent's
    needs: tuple[bool, ...]  # for each input: is its gradient asked for?
    shape: tuple[int, ...]
    dtype: Any

    def __init_subclass__(cls) -> None:
        if "backward" in cls.__dict__:
            names = _arguments(cls.backward)[1:]
            cls.takes_y = names[:1] == ("y",)
            cls.takes = tuple(_arguments(cls.forward).index(name) for name in names[cls.takes_y :])

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no forward.")

    def backward(self, *gy_and_what_it_names: Any) -> Any:
        raise GradientError(f"{type(self).__name__} defines no backward: it has no derivative.")

    def __call__(self, *inputs: Any) -> Any:
        arrays, parents, lifted, depth = [], [], False, 0
        for x in inputs:
            node = None
            if isinstance(x, Variable):
                lifted, node = True, x.creator or (x if x.requires_grad else None)
                if node is not None and node.depth >= depth:
                    depth = node.depth + 1
                x = x.data
            arrays.append(x)
            parents.append(node)
        y = self.forward(*arrays)
        if not lifted:
            return y  # arrays in, arrays out
        recorded = depth > 0 and _recording.get()
        if recorded:
            self.parents, self.depth = tuple(parents), depth
            self._inputs = [inputs[i] for i in self.takes]
        if isinstance(y, tuple):
            self._y = y = tuple(_as_array(yi) for yi in y)
            return tuple(
                _made(yi, Output(self, i, yi) if recorded else None) for i, yi in enumerate(y)
            )
        y = _as_array(y)
        if not recorded:
            return _made(y, None)
        self.shape, self.dtype = y.shape, y.dtype
        if self.takes_y:
            self._y = y
        return _made(y, self)

    def gradients(self, gy: Any, create_graph: bool) -> tuple[Any, ...]:
        """The rule's answer for each input, computed on arrays or, to record it, on Variables."""
        lift = as_constant if create_graph else data_of
        ys: Any = ()
        if isinstance(gy, dict):  # several outputs; one that nothing was made of has gradient 0
            xp = array_namespace(*self._y)
            gy = tuple(gy[i] if i in gy else lift(xp.zeros_like(y)) for i, y in enumerate(self._y))
            if self.takes_y:
                made = create_graph and tuple(
                    _made(y, Output(self, i, y)) for i, y in enumerate(self._y)
                )
                ys = (made or self._y,)
        elif self.takes_y:
            ys = (_made(self._y, self) if create_graph else self._y,)
        gxs = self.backward(gy, *ys, *map(lift, self._inputs))
        return gxs if isinstance(gxs, tuple) else (gxs,)


class Output:
    """A node for one of several outputs of a Function, which collects their gradients."""

    def __init__(self, function: Function, index: int, y: Array) -> None:
        self.parents, self.index, self.depth = (function,), index, function.depth + 1
        self.shape, self.dtype = y.shape, y.dtype


Node = Variable | Function | Output


def gradients(
    y: Variable, xs: Sequence[Variable], gy: Any = None, *, create_graph: bool = False
) -> tuple[Any, ...]:
    """The gradient of `y` with respect to each of `xs`; no `grad` is touched, nothing else computed.

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
        Each of the shape and dtype of its x; zeros where `y` does not depend on x.
    """
    found = {id(node): g for node, g in _walk(y, [x.creator or x for x in xs], gy, create_graph)}
    lift = as_constant if create_graph else data_of
    return tuple(
        found[id(x.creator or x)]
        if id(x.creator or x) in found
        else lift(array_namespace(x.data).zeros_like(x.data))
        for x in xs
    )


def _walk(
    y: Variable, wanted: Sequence[Node] | None, gy: Any, create_graph: bool
) -> list[tuple[Any, Any]]:
    """Go from `y` to the `wanted` nodes (None: to every leaf); give each with its gradient."""
    if not y.requires_grad:
        raise GradientError(
            "Nothing was recorded for this Variable: it was made under no_grad, or of nothing "
            "that requires a gradient."
        )
    root = y.creator or y
    nodes = _nodes_from(root)
    leaves = [node for node in nodes if not node.parents]
    useful = {id(node) for node in (leaves if wanted is None else wanted)}
    ends = useful.copy()
    for node in reversed(nodes):  # makers before consumers: what leads to an end?
        if any(id(p) in useful for p in node.parents):
            useful.add(id(node))
    grads: dict[int, Any] = {id(root): _start(y, gy, create_graph)}
    for node in nodes:
        key = id(node)
        g = grads.get(key) if key in ends else grads.pop(key, None)
        if g is None or not node.parents:
            continue
        if isinstance(node, Output):
            slots = grads.setdefault(id(node.parents[0]), {})
            slots[node.index] = slots[node.index] + g if node.index in slots else g
            continue
        node.needs = tuple([id(p) in useful for p in node.parents])
        if True not in node.needs:
            continue
        gxs = node.gradients(g, create_graph)
        for p, needed, gx in zip(node.parents, node.needs, gxs, strict=True):
            if needed:
                if gx is None:
                    raise GradientError(f"{type(node).__name__} lacks the derivative of an input.")
                gx, key = _fit(gx, p), id(p)
                grads[key] = grads[key] + gx if key in grads else gx
    keep = (lambda g: g) if create_graph else _as_array
    return [
        (n, keep(grads[id(n)])) for n in (leaves if wanted is None else wanted) if id(n) in grads
    ]


def _nodes_from(root: Node) -> list[Any]:
    """Every node that `root` came from, itself included, deepest first: consumers before makers."""
    seen, stack = {id(root): root}, [root]
    while stack:
        for p in stack.pop().parents:
            if p is not None and id(p) not in seen:
                seen[id(p)] = p
                stack.append(p)
    return sorted(seen.values(), key=lambda node: -node.depth)


def _start(y: Variable, gy: Any, create_graph: bool) -> Any:
    xp = array_namespace(y.data)
    if gy is None and y.size != 1:
        raise GradientError(
            f"backward() of shape {y.shape} needs the gradient to start from: pass gy of that "
            "shape, or reduce to a number first, say with F.sum."
        )
    if gy is None or isinstance(gy, (int, float, complex)):
        gy = xp.full_like(y.data, 1 if gy is None else gy)
    if gy.shape != y.shape:
        raise ShapeError(f"backward() expected gy of shape {y.shape}, got {gy.shape}.")
    return as_constant(gy) if create_graph else data_of(gy)


def _fit(g: Any, node: Any) -> Any:
    """Undo broadcasting and promotion: give `g` the shape and dtype of what it is the gradient of."""
    if g.shape != node.shape:
        xp, lead = array_namespace(g), g.ndim - len(node.shape)
        stretched = [
            i + lead for i, n in enumerate(node.shape) if n == 1 and g.shape[i + lead] != 1
        ]
        g = xp.sum(g, axis=(*range(lead), *stretched), keepdims=bool(stretched))
        g = xp.reshape(g, node.shape) if stretched and lead else g
    return g if g.dtype == node.dtype else array_namespace(g).astype(g, node.dtype)


def _made(data: Array, creator: Node | None) -> Variable:
    """A Variable without `Variable.__init__`'s questions; a constant if there is no creator."""
    v = Variable.__new__(Variable)
    v.data, v.grad, v.creator, v.requires_grad = data, None, creator, creator is not None
    return v


def data_of(x: Any) -> Any:
    return x.data if isinstance(x, Variable) else x


def as_constant(x: Any) -> Any:
    """An array as a constant Variable; Variables and Python scalars as they are."""
    if isinstance(x, (Variable, int, float, complex)) or x is None:
        return x
    return _made(_as_array(x), None)


def _as_array(y: Any) -> Array:
    """NumPy's scalars (what its reductions return) as 0-d arrays; an array as it is."""
    if type(y) not in _array_types:
        kind, y = type(y), array_namespace(y).asarray(y)
        if type(y) is kind:
            _array_types.add(kind)
    return y


_array_types: set[type] = set()


def _arguments(method: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a method's positional arguments after self."""
    return method.__code__.co_varnames[1 : method.__code__.co_argcount]
