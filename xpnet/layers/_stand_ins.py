"""StandIns: other objects in the places of a model's parameters, for the calls of a block."""

from typing import Any

from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.layers._scope import Run, Views
from xpnet.layers.base import Layer

_MISSING = object()


class StandIns(Views):
    """In the calls of a block, objects that stand in for others that a model holds.

    A layer that holds one of the others, or a layer that does, is run as a view of itself: an object
    of its class, with its attributes but for these. The layers stay as they are, so that other
    threads do not notice. What `forward` sets on a view is set on the layer.

    Parameters
    ----------
    model : Layer
    pairs : list of (object, what stands in for it)
        Parameters, buffers or generators, in attributes of layers, or in lists, tuples and dicts
        that are.
    kept : bool
        Whether the layers are given what `forward` sets; else all are run as views, and it is lost.

    Notes
    -----
    A function in an attribute that closes over the layer, or over one of the others, is called as it
    is: it knows nothing of the view.
    """

    def __init__(self, model: Layer, pairs: list[tuple[Any, Any]], *, kept: bool = True) -> None:
        self._of = {id(one): (one, other) for one, other in pairs}  # kept: no id is used again
        self._kept = kept
        self._views: dict[int, Layer] = {}  # by the id of the layer
        self._given: dict[int, dict[str, Any]] = {}  # by the id of the view, its first attributes
        self.originals: dict[int, Layer] = {}
        self._view(model)

    def __contains__(self, x: object) -> bool:
        return id(x) in self._of

    def __call__(self, run: Run, layer: Layer, *xs: Array, **options: Any) -> Any:
        view = self._view(layer)
        try:
            return run(view, *xs, **options)
        finally:
            if self._kept and id(view) in self._given:
                self._hand_on(view)

    def _view(self, layer: Layer) -> Layer:
        """What is run for a layer; it may be itself."""
        if id(layer) in self._views or id(layer) in self.originals:
            return self._views.get(id(layer), layer)
        self._views[id(layer)] = layer
        seen = {name: self._seen(value) for name, value in vars(layer).items()}
        if self._kept and all(seen[name] is value for name, value in vars(layer).items()):
            return layer
        view: Layer = object.__new__(type(layer))
        vars(view).update(seen)
        self._views[id(layer)] = view
        self._given[id(view)] = seen
        self.originals[id(view)] = layer
        return view

    def _seen(self, value: Any) -> Any:
        """What stands in for a value; of a list, tuple or dict, for what it holds."""
        if isinstance(value, (list, tuple, dict)):
            held = tree.leaves(value)
            seen = [self._seen(leaf) for leaf in held]
            same = all(a is b for a, b in zip(held, seen, strict=True))
            return value if same else tree.rebuild(value, seen)
        if isinstance(value, Layer):
            return self._view(value)
        return self._of[id(value)][1] if id(value) in self._of else value

    def _hand_on(self, view: Layer) -> None:
        """Give a layer the attributes that were set on its view, and take those that were deleted."""
        own, given, now = vars(self.originals[id(view)]), self._given[id(view)], dict(vars(view))
        for name in given.keys() - now.keys():
            own.pop(name, None)
        for name, value in now.items():
            if given.get(name, _MISSING) is not value:
                own[name] = self.originals.get(id(value), value)
        self._given[id(view)] = now
