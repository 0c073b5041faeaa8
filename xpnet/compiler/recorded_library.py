"""The library of recording arrays, and the backend that is current during a recording."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import array_api_compat as compat

from xpnet._libraries._base import Library
from xpnet._typing import Array, Device
from xpnet.backend import Backend, current, to_numpy, using
from xpnet.compiler.calls import called, copied, recorded, unwrapped
from xpnet.compiler.recorded_array import RecordedArray
from xpnet.compiler.recording_namespace import recording_namespace

__all__ = ["RecordedLibrary", "RecordingBackend", "recording_backend"]


class RecordedLibrary(Library):
    """The library of recording arrays: what the library of their arrays does, recorded."""

    def __init__(self, library: Library) -> None:
        self.inner = library
        for name in ("name", "aliases", "package", "gpu_package", "mutable", "wraps_indices"):
            setattr(self, name, getattr(library, name))
        self.needs_writable_memory = library.needs_writable_memory
        self.slices_backwards = library.slices_backwards

    def selected(self, device: Device) -> Any:
        return self.inner.selected(device)

    def owns(self, x: object) -> bool:
        return False  # found by the type of the array

    def has_values(self, x: Array) -> bool:
        return False  # code that would check them on the host does not

    def to_host(self, x: Array) -> Any:
        return to_numpy(x.recorder.read("np.asarray", x))

    def to_device(self, x: Array, device: Device, stream: Any = None) -> Array:
        return called("to_device", self.inner.to_device, (x, device), {"stream": stream})

    def assigns_by_arrays(self, may_repeat: bool, one_value: bool) -> bool:
        return self.inner.assigns_by_arrays(may_repeat, one_value)

    def set_item(self, x: Array, key: Any, value: Array | complex) -> Array:
        if not self.mutable:
            return called("set_item", self.inner.set_item, (x, key, value), {})
        x[key] = value
        return x

    def with_item(self, x: Array, key: Any, value: Array | complex) -> Array:
        return called("set_item", self.inner.with_item, (x, key, value), {})

    def last_at(self, places: Array, size: int) -> Array:
        return called("last_at", self.inner.last_at, (places, size), {})

    def scatter_add(self, x: Array, indices: Array, values: Array) -> Array:
        args = (x, indices, values)
        x.recorder.about_to_change(x.array)
        found = self.inner.scatter_add(*map(unwrapped, args))
        if found is not unwrapped(x):
            return recorded("scatter_add", self._scattered, args, {}, found)
        return x.recorder.changed_in_place(x, "scatter_add", self._scattered, args)

    def _scattered(self, x: Array, indices: Array, values: Array) -> Array:
        """A new array: x after x[indices[i], ...] += values[i, ...] for each i."""
        return self.inner.scatter_add(copied(x), indices, values)


class RecordingBackend(Backend):
    """The backend that is current during a recording: arrays that are created are recorded."""

    __slots__ = ()

    def asarray(self, x: object, dtype: Any = None) -> Array:
        plain = Backend(self.name, getattr(self.xp, "_xp", self.xp), self.device, self.dtype)
        if isinstance(x, RecordedArray):
            # the pass for identities removes an "asarray" that changes no dtype
            stays = compat.device(x.array) == self.device
            return called(
                "asarray" if stays else "to_device", plain.asarray, (x,), {"dtype": dtype}
            )
        if hasattr(x, "dtype"):  # an array of somebody else's: it is noted where it is used
            return plain.asarray(x, dtype)
        return called("asarray", plain.asarray, (x,), {"dtype": dtype})


@contextmanager
def recording_backend() -> Iterator[None]:
    """A block in which `current()` records what it creates."""
    backend = current()
    if isinstance(backend, RecordingBackend):
        yield
        return
    xp = recording_namespace(backend.xp)
    with using(RecordingBackend(backend.name, xp, backend.device, backend.dtype)):
        yield
