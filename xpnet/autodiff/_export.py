"""The ways by which an array leaves the graph that recorded it, and what they say.

np.asarray(v), np.array([v, w])      an error, always: v may lie on a GPU
np.from_dlpack(v), torch.asarray(v)  an error if v has a history or asks for a gradient
copy.deepcopy(v), pickle.dumps(v)    an error if v was computed; a leaf is copied
copy.copy(v)                         the same history
v.data, xpnet.to_numpy(v), float(v)  the numbers alone: whoever writes this means it
"""

import copy
from typing import Any, ClassVar

from xpnet._typing import Array
from xpnet.errors import ArgumentTypeError, ExportError, GradientError


class Exported:
    """The methods by which other code asks an array object for its data."""

    __slots__ = ()

    alone: ClassVar[type | None] = None  # the class of a copy, where it is another one

    data: Any
    raw_grad: Any
    node: Any
    requires_grad: bool

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        name = type(self).__name__
        raise ArgumentTypeError(
            f"A {name} does not become a NumPy array on its own: it may lie on a GPU, and its "
            "gradient would be lost. Call NumPy's functions on it (np.mean(x)), or xpnet's "
            "(F.mean(x); F.stack([x, y]) for a list); they keep the gradient. For the numbers "
            "without the gradient, call xpnet.to_numpy(x)."
        )

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[Any, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """The data, for another library, of a Variable that requires no gradient.

        Raises
        ------
        ExportError
            It requires one, and the other library would not record what it computes.
        """
        if self.requires_grad:
            raise export_error(self)
        options = {"max_version": max_version, "dl_device": dl_device, "copy": copy}
        asked = {name: value for name, value in options.items() if value is not None}
        return self.data.__dlpack__(stream=stream, **asked)

    def __dlpack_device__(self) -> tuple[Any, int]:
        device: tuple[Any, int] = self.data.__dlpack_device__()
        return device

    def __copy__(self) -> Any:
        """The same data and history, in another object."""
        other = _restored(self.alone or type(self), self.data, self.raw_grad, self.requires_grad)
        other.node = self.node
        return _with_attributes(other, getattr(self, "__dict__", {}))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A leaf of its own, with a copy of the data and of the gradient."""
        self._require_leaf("copy.deepcopy")
        data = copy.deepcopy(self.data, memo)
        grad = copy.deepcopy(self.raw_grad, memo)
        other = memo[id(self)] = _restored(self.alone or type(self), data, grad, self.requires_grad)
        return _with_attributes(other, copy.deepcopy(getattr(self, "__dict__", {}), memo))

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For `pickle`: a leaf is written, what was computed is not."""
        self._require_leaf("pickle")
        state = (self.alone or type(self), self.data, self.raw_grad, self.requires_grad)
        return _restored, state, getattr(self, "__dict__", None) or None

    def _require_leaf(self, name: str) -> None:
        if self.node is not None:
            raise GradientError(
                f"{name} expected a leaf, got a {type(self).__name__} that was computed: a copy of "
                "it would lead to copies of the leaves, and give yours no gradient. Copy x.data."
            )


def export_error(x: Array) -> ExportError:
    """The error for a Variable with a gradient that is asked for by DLPack."""
    return ExportError(
        f"DLPack would hand out a {type(x).__name__} that requires a gradient, and what the other "
        "library computes is not recorded. Pass x.data to leave the gradient behind."
    )


def _restored(kind: type, data: Any, grad: Any, requires_grad: bool) -> Any:
    """A leaf of this data, which counts as older than all that is recorded."""
    x: Any = object.__new__(kind)
    x.data = data
    x.raw_grad = grad
    x.requires_grad = requires_grad
    x.node = None
    x.created = x.changed = 0
    return x


def _with_attributes(x: Array, attributes: dict[str, Any]) -> Any:
    """x with the attributes that a subclass without `__slots__` has."""
    for name, value in attributes.items():
        setattr(x, name, value)
    return x
