"""The base class of the objects for array libraries."""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import array_api_compat as compat
import numpy as np

from xpnet._typing import Array, Device, Namespace
from xpnet.errors import ArgumentError, MissingMethodError

Rule: TypeAlias = Callable[[Any, Any, Sequence[Array]], Sequence[Array | None]]
"""`rule(gy, y, xs)`: the gradients of the inputs; see `Library.with_rule`."""


class Library:
    """What the array API standard leaves open, for one array library.

    The methods of this class use the standard only. They are correct for any library, and some are
    slow. A subclass overrides what its library does differently, or faster.

    Attributes
    ----------
    name : str
        The library's name in a backend's spec; Python imports the library by that name too.
    aliases : tuple of str
        Other names for it in a spec.
    package, gpu_package : str
        The packages for `pip install`. `gpu_package` is for a machine with an NVIDIA GPU; if it is
        empty, error messages do not mention it. (CuPy's package depends on the driver.)
    mutable : bool
        Whether x[key] = value changes the array x.
    needs_writable_memory : bool
        Whether an array cannot share the memory of a read-only NumPy array.
    slices_backwards : bool
        Whether x[::-1] is supported.
    wraps_indices : bool
        Whether an index that is out of range silently selects another number of the array.
    has_copy_stream : bool
        Whether `xpnet.data` can copy batches to the device while it computes.
    """

    name = ""
    aliases: tuple[str, ...] = ()
    package = ""
    gpu_package = ""
    mutable = True
    needs_writable_memory = False
    slices_backwards = True
    wraps_indices = False
    has_copy_stream = False

    # --- the library and its devices ----------------------------------------------------------

    def open(self, device: str, dtype: str) -> tuple[Namespace, Device, str]:
        """Import the library and find one of its devices.

        Parameters
        ----------
        device : str
            The part of a spec after the library's name and a colon; "" is the default device.
        dtype : {"float32", "float64"}
            The floating-point type that will be used.

        Returns
        -------
        (namespace, device, spec)
            The library's array API namespace, its own device object, and the spec that names both.

        Raises
        ------
        ArgumentError
            There is no such device.
        Exception
            The library is not installed, or fails in its own way.
        """
        raise MissingMethodError(f"{type(self).__name__} defines no open.")

    def device_count(self) -> int:
        """The number of GPUs among which the ranks of a machine can choose."""
        return 1

    def why_unusable(self, error: Exception, device: str) -> str:
        """The reason why `open` or the first computation failed, and the command that fixes it."""
        if isinstance(error, ModuleNotFoundError):
            return (
                f"the package {error.name} is not installed. "
                f"Install it with: pip install {self.package}"
            )
        reason = str(error)
        if self.gpu_package and device.startswith(("cuda", "gpu")):
            reason += ". On a machine with an NVIDIA GPU, install: pip install " + self.gpu_package
        return reason

    def conflict(self) -> str | None:
        """What is wrong with an installation that computes nevertheless, and the command that fixes it.

        None if nothing is wrong.
        """
        return None

    def version(self) -> str | None:
        """The version of the library; None if it has not been imported."""
        return getattr(sys.modules.get(self.name), "__version__", None)

    def details(self, device: Device) -> list[str]:
        """The name of a GPU, its memory, and its CUDA version; empty for a CPU.

        Raises
        ------
        RuntimeError
            The device cannot be queried.
        """
        return []

    def selected(self, device: Device) -> AbstractContextManager[Any]:
        """A context manager that makes `device` the calling thread's current one in its block.

        It does nothing where the library has no current device.
        """
        return nullcontext()

    def make_current(self, device: Device) -> None:
        """Make `device` the calling thread's current one, if the library has a current device."""

    # --- arrays -------------------------------------------------------------------------------

    def owns(self, x: object) -> bool:
        """Whether `x` is an array of this library. The answer is cached for the type of x."""
        return False

    def has_values(self, x: Array) -> bool:
        """Whether the numbers of an array can be read; they cannot while JAX traces a function."""
        return True

    def is_abstract(self, x: Array) -> bool:
        """Whether the numbers of an array are not known yet, as while `jax.jit` traces a function."""
        return False

    def without_gradient(self, x: Array) -> Array:
        """`x` as a constant, for a library that differentiates by itself what is computed from it."""
        return x

    def with_rule(self, f: Callable[..., Any], rule: Rule, arrays: Sequence[Array]) -> Any:
        """f(*arrays) with a derivative of its own, while the library itself differentiates.

        Parameters
        ----------
        f : callable
            From arrays to an array, or a tuple of them.
        rule : callable
            `rule(gy, y, arrays)` returns the gradient of each array, of its shape and dtype, or None.
            It is called with gy and y as f returns them.
        arrays : sequence of arrays

        Returns
        -------
        array, tuple of arrays, or None
            None if the library does not differentiate what is computed from these arrays.
        """
        return None

    def to_host(self, x: Array) -> np.ndarray:
        """`x` as a NumPy array, which may share its memory."""
        return np.asarray(x)

    def copied_to_host(self, x: Array) -> np.ndarray:
        """A copy of x as a contiguous NumPy array, which can be written to."""
        return np.array(self.to_host(x), order="C")

    def is_host_memory(self, x: Array) -> bool:
        """Whether `to_host` returns the memory of x itself, and it can be written to."""
        return False

    def is_cuda_memory(self, x: Array) -> bool:
        """Whether x lies on an NVIDIA GPU, in one piece, and its memory can be written to."""
        return False

    def synchronize(self, x: Array) -> None:
        """Wait until the numbers of x are computed, for a library that reads its memory."""

    def to_device(self, x: Array, device: Device, stream: Any = None) -> Array:
        """`x` on another device of this library."""
        return compat.to_device(x, device, stream=stream)

    def from_dlpack(
        self, xp: Namespace, x: object, device: Device | None, copy: bool | None
    ) -> Array:
        """An array of another library as an array of this library, by DLPack.

        Parameters
        ----------
        xp : namespace
            The array API namespace of this library.
        x : object with `__dlpack__` and `__dlpack_device__`
        device : device of this library, optional
        copy : bool, optional
            True: the result has memory of its own. False: an error is raised where that would be
            necessary.
        """
        options = {"device": device, "copy": copy}
        given = {name: value for name, value in options.items() if value is not None}
        return xp.from_dlpack(x, **given)

    def set_item(self, x: Array, key: Any, value: Array | complex) -> Array:
        """`x` after x[key] = value: x itself if the library is mutable, else a new array."""
        x[key] = value
        return x

    def with_item(self, x: Array, key: Any, value: Array | complex) -> Array:
        """A new array: what x would be after x[key] = value."""
        return self.set_item(compat.array_namespace(x).asarray(x, copy=True), key, value)

    def assigns_by_arrays(self, may_repeat: bool, one_value: bool) -> bool:
        """Whether x[key] = value with arrays in the key has the same result as on NumPy.

        On NumPy the last value wins if the key names a place twice. The standard has no assignment
        with arrays of integers in the key.

        Parameters
        ----------
        may_repeat : bool
            Whether an array in the key has integers, and so may name a place twice.
        one_value : bool
            Whether all places get the same number.
        """
        return False

    def last_at(self, places: Array, size: int) -> Array:
        """For each number k below `size`, the last i with places[i] == k, or -1 if there is none.

        It decides which value wins in x[key] = value where the key names a place twice.

        Parameters
        ----------
        places : array of integers, shape (n,)
            From 0 to size - 1.

        Returns
        -------
        array of integers, shape (size,)
        """
        xp = compat.array_namespace(places)
        device = compat.device(places)
        last = xp.full((size,), -1, device=device)
        order = xp.arange(places.shape[0], dtype=last.dtype, device=device)
        return self._put_in_order(last, places, order)

    def _put_in_order(self, last: Array, places: Array, order: Array) -> Array:
        """`last` after last[places[i]] = order[i] for each i in turn.

        `order` increases, so the last number for a place is also the largest.
        """
        for i in range(places.shape[0]):
            last[int(places[i])] = order[i]
        return last

    def scatter_add(self, x: Array, indices: Array, values: Array) -> Array:
        """`x` after x[indices[i], ...] += values[i, ...] for each i: equal indices add up.

        Parameters
        ----------
        x : array, shape (m, ...)
            It is changed where the library allows it.
        indices : array of integers, shape (n,)
            From -m to m - 1.
        values : array, shape (n, ...)
        """
        for i in range(indices.shape[0]):
            k = int(indices[i])
            x[k, ...] = x[k, ...] + values[i, ...]
        return x


def device_number(number: str) -> int:
    """The number of a device in a spec; "" is the first one.

    Raises
    ------
    ArgumentError
        It is not an integer.
    """
    try:
        return int(number or 0)
    except ValueError:
        message = f"expected the number of a device, from 0, got {number!r}."
        raise ArgumentError(message) from None


def gibibytes(count: int) -> str:
    """A number of bytes, formatted: "139.8 GiB"."""
    return f"{count / 2**30:.1f} GiB"
