"""Views: Variables that show numbers of another one, and writes that reach them all.

    row = x[0]              a View of x: it computes and is differentiated like any Variable
    row[1] = 5.0            x[0, 1] is 5.0 now, as in NumPy, on every library
    x[0, 2] = 7.0           and row[2] is 7.0

No memory is written to. A write makes a new array and a new node for the *root*, the Variable that is
no view; a View finds out that its root has another array by now, and is computed anew when it is
asked for. So what was recorded before a write keeps the old numbers, and what is recorded after it is
differentiated through the write.
"""

from collections.abc import Callable
from typing import Any

from xpnet._libraries.devices import arrived
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_types
from xpnet.autodiff.tape import recorded, recording
from xpnet.autodiff.variable import Variable
from xpnet.errors import ArgumentError, GradientError

Get = Callable[[Any, Any], Any]
Put = Callable[[Any, Any, Any], Any]


class _Nothing:
    """The root of a View that was given numbers of its own."""

    data = None


class View(Variable):
    """A Variable whose numbers are those of another one: what is written into either is in both."""

    __slots__ = (
        *("base", "_data", "get", "how", "_node", "put", "recording_then", "_requires_grad"),
        *("repeats", "root", "seen"),
    )
    alone = Variable  # a copy is no view

    def of(self, base: Variable, how: Any, get: Get, put: Put | None) -> None:
        """Make this the view `get(base, how)`; put(base, how, y) is what base is if this is y."""
        self.raw_grad = None
        self.created = self.changed = 0
        self.base = base
        self.how = how
        self.get = get
        self.put = put
        self.repeats = put is None or is_repeated(base)
        self.root: Any = base.root if isinstance(base, View) and base.is_attached() else base
        self.recording_then = recording.get()

    def shows(self, y: Variable) -> None:
        """Take over the numbers and the node of y, which are those of the base as it is now."""
        self._data = y.data
        self._node = y.node
        self._requires_grad = y.requires_grad
        self.seen = self.root.data

    def is_attached(self) -> bool:
        return self.root is not _Nothing

    def _refresh(self) -> None:
        """Compute this view anew, and before it what it is a view of."""
        outdated: list[View] = []
        v: Any = self
        while isinstance(v, View) and v.is_attached() and v.seen is not self.root.data:
            outdated.append(v)
            v = v.base
        for view in reversed(outdated):
            with recorded(on=view.recording_then):
                view.shows(view.get(view.base, view.how))

    def _be_alone(self) -> None:
        """Be no view any more: somebody gives it numbers of its own."""
        if self.seen is not self.root.data:
            self._refresh()
        self.root = _Nothing
        self.seen = self.base = self.get = self.put = None  # type: ignore[assignment]

    @property
    def data(self) -> Any:
        if self.seen is not self.root.data:
            self._refresh()
        return self._data

    @data.setter
    def data(self, data: Any) -> None:
        self._be_alone()
        self._data = data

    @property
    def node(self) -> Any:
        if self.seen is not self.root.data:
            self._refresh()
        return self._node

    @node.setter
    def node(self, node: Any) -> None:
        self._be_alone()
        self._node = node

    @property
    def requires_grad(self) -> bool:
        if self.seen is not self.root.data:
            self._refresh()
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        self._be_alone()
        self._requires_grad = requires_grad

    def __repr__(self) -> str:
        shown = f"Variable({self.data!r})"
        arrived()
        return shown


array_types.add(View)


View.__name__ = "Variable"  # for messages: it is one like the others


def view(y: Array, base: Any, how: Any, get: Get, put: Put | None) -> Any:
    """`y`, which is get(base, how), as a View of base; an array as it is.

    Parameters
    ----------
    y, base : arrays or Variables
    how : anything
        What `get` and `put` are given.
    get : callable
        get(base, how) computes y, as a Variable that is no View.
    put : callable, optional
        put(base, how, y) is what base becomes if y is written into its view. Without it, nothing
        can be written: y holds numbers of the base more than once.
    """
    if not isinstance(y, Variable) or not isinstance(base, Variable):
        return y
    v = View.__new__(View)
    v.of(base, how, get, put)
    v.shows(y)
    return v


def is_view_of(v: Array, base: Variable, get: Get, how: Any) -> bool:
    """Whether v is the view get(base, how), and not merely equal to it."""
    same = isinstance(v, View) and v.is_attached() and v.base is base and v.get is get
    return same and bool(v.how == how)


def is_repeated(x: Array) -> bool:
    """Whether x is a view that holds a number of its root more than once, as `broadcast_to` gives."""
    return isinstance(x, View) and x.is_attached() and x.repeats


def root_of(x: Variable) -> Variable:
    """x, or what it is a view of: the Variable that a write gives a new array."""
    return x.root if isinstance(x, View) and x.is_attached() else x


def require_writable(x: Variable, what: str) -> None:
    """Raise an error if nothing may be written into x.

    Raises
    ------
    ArgumentError
        It was broadcast.
    GradientError
        It is a leaf that a gradient is wanted of, or a view of one.
    """
    if is_repeated(x):
        raise ArgumentError(
            f"{what} expected a Variable that holds each number once; this one of shape "
            f"{tuple(x.shape)} was broadcast, so that several of its numbers are one. Write into a "
            "copy: y = xp.asarray(x, copy=True)."
        )
    root = root_of(x)
    if root.requires_grad and root.node is None and recording.get():
        kind = type(root).__name__
        given = f"this {kind} is" if root is x else f"it is a view of a {kind} that is"
        raise GradientError(
            f"{what} expected a Variable that was computed, or one without a gradient; {given} a "
            "leaf that requires one, and would no longer be what its gradient is for. Write into a "
            "copy, y = xp.asarray(x, copy=True), or make a new array by F.where or F.concat. To "
            "change it for good, as an optimizer does, write in a block `with no_grad():`."
        )


def write(x: Variable, y: Variable) -> None:
    """Make x what y is: through all that x is a view of, down to the root, which is given an array.

    In a block without recording the root keeps its node: the write is no part of what is
    differentiated.
    """
    while isinstance(x, View) and x.is_attached():
        y = x.put(x.base, x.how, y)  # type: ignore[misc] # what repeats was refused
        x = x.base
    if recording.get():
        x.node = y.node
        x.requires_grad = y.requires_grad
    x.data = y.data
