"""StandIns: a hook that lets other objects stand in for a model's parameters or buffers."""

from typing import Any

from xpnet.autodiff import tree
from xpnet.layers._context import Call, hooks
from xpnet.layers.base import Layer

_MISSING = object()


class StandIns:
    """A hook: in its block, some objects that a model holds are replaced by others.

    Instead of a layer that holds one of these objects, directly or in a layer within it, a view of
    it is called: an object of the same class with the same attributes, except for the replaced ones.
    The layers themselves are not changed, so other threads do not notice. Attributes that `forward`
    sets on a view are copied to the layer.

    Parameters
    ----------
    model : Layer
    pairs : list of (object, object)
        An object that the model holds, and what stands in for it. The objects are parameters,
        buffers or generators, in attributes of layers, or in lists, tuples and dicts there.
    copy_back : bool
        Whether the layers receive the attributes that `forward` sets. If False, every layer is
        called as a view, and what `forward` sets is discarded.

    Notes
    -----
    A function in an attribute that closes over the layer, or over one of the replaced objects, is
    called unchanged: it does not see the view.
    """

    def __init__(
        self, model: Layer, pairs: list[tuple[Any, Any]], *, copy_back: bool = True
    ) -> None:
        # The pairs are stored whole: while an object is alive, its id is not used again.
        self._pairs = {id(pair[0]): pair for pair in pairs}
        self._copy_back = copy_back
        self._views: dict[int, Layer] = {}  # by the id of the layer
        self._initial: dict[int, dict[str, Any]] = {}  # attributes before calls, by the view's id
        self.originals: dict[int, Layer] = {}  # by the id of the view
        self._view(model)

    def __contains__(self, x: object) -> bool:
        """Whether something stands in for x."""
        return id(x) in self._pairs

    def __call__(self, call: Call, layer: Layer, *xs: Any, **options: Any) -> Any:
        view = self._view(layer)
        try:
            return call(view, *xs, **options)
        finally:
            if self._copy_back and id(view) in self._initial:
                self._copy_changes(view)

    def _view(self, layer: Layer) -> Layer:
        """What is called in place of a layer; it may be the layer itself."""
        if id(layer) in self._views:
            return self._views[id(layer)]
        if id(layer) in self.originals:  # it is a view already
            return layer
        self._views[id(layer)] = layer  # for a layer that refers to itself
        own = vars(layer)
        attributes = {name: self._replaced(value) for name, value in own.items()}
        unchanged = all(attributes[name] is value for name, value in own.items())
        if self._copy_back and unchanged:
            return layer
        view: Layer = object.__new__(type(layer))
        vars(view).update(attributes)
        self._views[id(layer)] = view
        self._initial[id(view)] = attributes
        self.originals[id(view)] = layer
        return view

    def _replaced(self, value: Any) -> Any:
        """What stands in for a value; in a list, tuple or dict, for each of its items."""
        if isinstance(value, (list, tuple, dict)):
            items = tree.leaves(value)
            replaced = [self._replaced(item) for item in items]
            if all(new is item for new, item in zip(replaced, items, strict=True)):
                return value
            return tree.rebuild(value, replaced)
        if isinstance(value, Layer):
            return self._view(value)
        if id(value) in self._pairs:
            return self._pairs[id(value)][1]
        return value

    def _copy_changes(self, view: Layer) -> None:
        """Set on a layer the attributes that were set on its view; delete those deleted there."""
        own = vars(self.originals[id(view)])
        before = self._initial[id(view)]
        after = dict(vars(view))
        for name in before.keys() - after.keys():
            own.pop(name, None)
        for name, value in after.items():
            if before.get(name, _MISSING) is not value:
                own[name] = self.originals.get(id(value), value)
        self._initial[id(view)] = after


def is_replaced(x: object) -> bool:
    """Whether something stands in for x in the calls of this block."""
    return any(isinstance(hook, StandIns) and x in hook for hook in hooks.get())


def original(layer: Layer) -> Layer:
    """The layer that a view was made of; any other layer itself."""
    for hook in hooks.get():
        if isinstance(hook, StandIns) and id(layer) in hook.originals:
            return hook.originals[id(layer)]
    return layer
