"""Views: Variables that show numbers of another Variable, so that a write into either is in both.

    row = x[0]              a View of x: it computes and is differentiated like any Variable
    row[1] = 5.0            x[0, 1] is 5.0 now, as in NumPy, on every library
    x[0, 2] = 7.0           and row[2] is 7.0

A view of a view leads, from base to base, to a Variable that is not a view: the *root*. No memory is
overwritten. A write creates a new array and a new node for the root. When a View is read and its root
has another array than before, the View is computed again. So what was recorded before a write keeps
the old numbers, and what is recorded after it is differentiated through the write.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_types
from xpnet.autodiff.tape import Node, recorded, recording
from xpnet.autodiff.variable import Variable
from xpnet.errors import ArgumentError, GradientError

How: TypeAlias = Any
"""What selects the view from its base: a key, a shape, axes."""
Get: TypeAlias = Callable[[Variable, How], Variable]
"""get(base, how) computes the view."""
Put: TypeAlias = Callable[[Variable, How, Variable], Variable]
"""put(base, how, y) computes what the base becomes if y is written into the view."""


class _NoRoot:
    """The root of a View that was detached, and has data of its own.

    Its `data` is None, as is `seen` of such a View: so the View is never computed again.
    """

    data = None


class View(Variable):
    """A Variable whose numbers are those of another one: what is written into either is in both."""

    __slots__ = (
        *("base", "_data", "get", "how", "_node", "put", "recording_then", "_requires_grad"),
        *("repeats", "root", "seen"),
    )
    class_of_copies = Variable  # a copy is not a view

    def attach(self, base: Variable, how: How, get: Get, put: Put | None) -> None:
        """Make this Variable the view `get(base, how)`."""
        self.raw_grad = None
        self.created = self.changed = 0
        self.base = base
        self.how = how
        self.get = get
        self.put = put
        self.repeats = put is None or is_repeated(base)
        self.root: Any = root_of(base)
        self.recording_then = recording.get()

    def show(self, y: Variable) -> None:
        """Take over the data and the node of y, which was computed from the base as it is now."""
        self._data = y.data
        self._node = y.node
        self._requires_grad = y.requires_grad
        self.seen = self.root.data

    def is_attached(self) -> bool:
        """Whether this is still a view."""
        return self.root is not _NoRoot

    def _refresh(self) -> None:
        """Compute this view again, and before it the views that it is a view of."""
        outdated: list[View] = []
        v: Any = self
        while isinstance(v, View) and v.is_attached() and v.seen is not self.root.data:
            outdated.append(v)
            v = v.base
        for view in reversed(outdated):
            with recorded(on=view.recording_then):
                view.show(view.get(view.base, view.how))

    def _detach(self) -> None:
        """Make this an ordinary Variable, because it is about to be given data of its own."""
        if self.seen is not self.root.data:
            self._refresh()
        self.root = _NoRoot
        self.seen = self.base = self.get = self.put = None  # type: ignore[assignment]

    @property
    def data(self) -> Array:
        if self.seen is not self.root.data:
            self._refresh()
        return self._data

    @data.setter
    def data(self, data: Array) -> None:
        self._detach()
        self._data = data

    @property
    def node(self) -> Node:
        if self.seen is not self.root.data:
            self._refresh()
        return self._node

    @node.setter
    def node(self, node: Node) -> None:
        self._detach()
        self._node = node

    @property
    def requires_grad(self) -> bool:
        if self.seen is not self.root.data:
            self._refresh()
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        self._detach()
        self._requires_grad = requires_grad


array_types.add(View)
View.__name__ = "Variable"  # in messages, it is a Variable like others


def view(y: Array, base: Array, how: How, get: Get, put: Put | None) -> Array:
    """`y`, which is get(base, how), as a View of base; an array as it is.

    Parameters
    ----------
    y, base : arrays or Variables
    how : anything
        An argument of `get` and `put`.
    get : callable
        get(base, how) computes y, as a Variable that is not a View.
    put : callable, optional
        put(base, how, y) computes what base becomes if y is written into its view. Without it,
        nothing can be written, because y shows numbers of the base more than once.
    """
    if not isinstance(y, Variable) or not isinstance(base, Variable):
        return y
    v = View.__new__(View)
    v.attach(base, how, get, put)
    v.show(y)
    return v


def is_view_of(v: Array, base: Variable, get: Get, how: How) -> bool:
    """Whether v is the view get(base, how), and not only equal to it."""
    same = isinstance(v, View) and v.is_attached() and v.base is base and v.get is get
    return same and bool(v.how == how)


def is_repeated(x: Array) -> bool:
    """Whether x is a view that shows a number of its root more than once, as from `broadcast_to`."""
    return isinstance(x, View) and x.is_attached() and x.repeats


def root_of(x: Variable) -> Variable:
    """The Variable whose array a write into x replaces: the root of a view, otherwise x itself."""
    if isinstance(x, View) and x.is_attached():
        root: Variable = x.root
        return root
    return x


def require_writable(x: Variable, what: str) -> None:
    """Raise an error if x must not be written into.

    Raises
    ------
    ArgumentError
        x was broadcast.
    GradientError
        x is a leaf that requires a gradient, or a view of one.
    """
    if is_repeated(x):
        raise ArgumentError(
            f"{what} expected a Variable that holds each number once; this one of shape "
            f"{tuple(x.shape)} was broadcast, so it shows some number of its base several times. "
            "Write into a copy: y = xp.asarray(x, copy=True)."
        )
    root = root_of(x)
    if root.requires_grad and root.node is None and recording.get():
        kind = type(root).__name__
        given = f"this {kind} is" if root is x else f"it is a view of a {kind} that is"
        raise GradientError(
            f"{what} expected a Variable that was computed, or one without a gradient; {given} a "
            "leaf that requires one, and a write would separate it from its gradient. Write into a "
            "copy, y = xp.asarray(x, copy=True), or create a new array with F.where or F.concat. To "
            "change it permanently, as an optimizer does, write in a block `with no_grad():`."
        )


def write(x: Variable, y: Variable) -> None:
    """Write y into x: the root of x is given a new array, computed through each view on the way.

    In a block without recording the root keeps its node: the write is not differentiated.
    """
    while isinstance(x, View) and x.is_attached():
        y = x.put(x.base, x.how, y)  # type: ignore[misc] # None only for what `is_repeated`
        x = x.base
    if recording.get():
        x.node = y.node
        x.requires_grad = y.requires_grad
    x.data = y.data
