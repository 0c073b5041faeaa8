"""The ways by which an array leaves the graph that recorded it, and what they say.

np.asarray(v), np.array([v, w])      an error, always: v may lie on a GPU
np.from_dlpack(v), torch.asarray(v)  an error if v has a history or asks for a gradient
copy.deepcopy(v), pickle.dumps(v)    an error if v was computed; a leaf is copied
copy.copy(v)                         the same history
v.data, xpnet.to_numpy(v), float(v)  the numbers alone: whoever writes this means it
"""

import copy
from typing import Any, Self

from xpnet.errors import ArgumentTypeError, ExportError, GradientError

AGES = ("born", "changed")  # counted by a clock that each process has of its own


class Leaving:
    """The methods by which other code asks an array object for its data."""

    __slots__ = ()

    data: Any
    creator: Any
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
            raise ExportError(
                f"DLPack would hand out a {type(self).__name__} that requires a gradient, and what "
                "the other library computes is not recorded. Pass x.data to leave the gradient "
                "behind."
            )
        options = {"max_version": max_version, "dl_device": dl_device, "copy": copy}
        asked = {name: value for name, value in options.items() if value is not None}
        return self.data.__dlpack__(stream=stream, **asked)

    def __dlpack_device__(self) -> tuple[Any, int]:
        device: tuple[Any, int] = self.data.__dlpack_device__()
        return device

    def __copy__(self) -> Self:
        """The same data and history, in another object."""
        other = type(self).__new__(type(self))
        for name in self._slots():
            setattr(other, name, getattr(self, name))
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A leaf of its own, with a copy of the data and of the gradient."""
        self._require_leaf("copy.deepcopy")
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        for name in self._slots():
            setattr(other, name, copy.deepcopy(getattr(self, name), memo))
        return other

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For `pickle`: a leaf is written, what was computed is not."""
        self._require_leaf("pickle")
        state = {name: getattr(self, name) for name in self._slots()}
        return _restored, (type(self), state)

    def _require_leaf(self, name: str) -> None:
        if self.creator is not None:
            raise GradientError(
                f"{name} expected a leaf, got a {type(self).__name__} that "
                f"{type(self.creator).__name__} computed: a copy of it would lead to copies of the "
                "leaves, and give yours no gradient. Copy x.data."
            )

    def _slots(self) -> list[str]:
        """The names of the attributes that are set."""
        names = (name for kind in type(self).__mro__ for name in getattr(kind, "__slots__", ()))
        return [name for name in names if name != "__weakref__" and hasattr(self, name)]


def _restored(kind: type, state: dict[str, Any]) -> Any:
    """A Variable as it was pickled; in this process it counts as older than all that is recorded."""
    x = kind.__new__(kind)
    for name, value in state.items():
        setattr(x, name, 0 if name in AGES else value)
    return x
