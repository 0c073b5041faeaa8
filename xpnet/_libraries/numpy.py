"""NumPy: the library that is always installed, and through which all others reach the host."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from xpnet._libraries._base import Library
from xpnet._typing import Array, Device, DType, Namespace
from xpnet.errors import ArgumentError


class NumPy(Library):
    """NumPy, on the CPU."""

    name = "numpy"
    aliases = ("cpu",)
    package = "numpy"

    def open(self, device: str, dtype: str) -> tuple[Namespace, Device, str]:
        if device not in ("", "cpu"):
            raise ArgumentError(f"NumPy has the device 'cpu' only, got {device!r}.")
        return import_module("array_api_compat.numpy"), "cpu", "numpy"

    def owns(self, x: object) -> bool:
        # Not `compat.is_numpy_array`: it is False for JAX's arrays of dtype float0. These are NumPy
        # arrays too, and the answer, cached by type, would hold for all NumPy arrays.
        return isinstance(x, (np.ndarray, np.generic))

    def is_host_memory(self, x: Array) -> bool:
        return bool(x.flags.writeable)

    def assigns_by_arrays(self, may_repeat: bool, one_value: bool) -> bool:
        return True

    def _put_in_order(self, last: Array, places: Array, order: Array) -> Array:
        last[places] = order  # NumPy's documentation states that the last value wins
        return last

    def scatter_add(self, x: Array, indices: Array, values: Array) -> Array:
        if not x.flags.c_contiguous:
            np.add.at(x, indices, values)
            return x
        # `np.add.at` adds single numbers ten times as fast as rows, so the rows are flattened.
        width = x[:1].size  # numbers in a row
        rows = np.arange(x.shape[0])[indices]
        places = rows[:, None] * width + np.arange(width)
        np.add.at(x.reshape(-1), places.reshape(-1), values.reshape(-1))
        return x


library = NumPy()


# --- masked arrays --------------------------------------------------------------------------


def require_unmasked(x: Array) -> None:
    """Raise if x is an array of `np.ma` that hides some of its numbers: it would be taken without its mask.

    One that hides none, as netCDF4 returns, is an array like others. x may also be a nested list of arrays.

    Raises
    ------
    ArgumentError
        Some numbers are masked.
    """
    if isinstance(x, (list, tuple)):
        for part in x:
            if not isinstance(part, (float, int)):  # of which a list may have millions
                require_unmasked(part)
    if hasattr(x, "filled") and np.any(getattr(x, "mask", False)):
        raise ArgumentError(
            f"Expected numbers, got a masked array m, with {np.count_nonzero(x.mask)} of {x.size} "
            "masked. Take its parts, hidden = np.ma.getmaskarray(m) and values = m.filled(0.0), and "
            "choose: np.where(hidden, 0.0, x - values) leaves a difference out of a sum."
        )


# --- NumPy's protocols ----------------------------------------------------------------------


def name_in_numpy(function: Callable[..., Any]) -> str:
    """The name of a function or ufunc in NumPy: "mean", "linalg.inv"; "" for another package's."""
    name: str = function.__name__
    if isinstance(function, np.ufunc):
        return name if getattr(np, name, None) is function else ""
    package, _, module = function.__module__.partition(".")
    if package != "numpy":
        return ""
    if module in ("linalg", "fft", "lib.stride_tricks"):
        return f"{module}.{name}"
    return name


def dtype_name(dtype: DType) -> str | None:
    """NumPy's name for a dtype, such as "float32" for "f4"; None if NumPy does not know the dtype."""
    try:
        name: str = np.dtype(dtype).name
    except TypeError:
        return None
    return name


def is_array_type(kind: type) -> bool:
    """Whether a type of arrays is NumPy's own, and not a subclass from another package."""
    return kind is np.ndarray or kind.__module__ == "numpy"


# --- gradients ------------------------------------------------------------------------------


class _Gradient(np.ndarray):
    """A gradient on NumPy, whose `data` is an array, as in PyTorch and DeZero.

    An ordinary NumPy array's `data` is a buffer, and `W.data -= lr * W.grad.data` would raise a
    TypeError. Whatever is computed from a gradient is an ordinary array.
    """

    @property
    def data(self) -> np.ndarray:  # type: ignore[override]
        return self.view(np.ndarray)

    def __repr__(self) -> str:
        return repr(self.data)

    def __array_wrap__(
        self, array: np.ndarray, context: Any = None, return_scalar: bool = False
    ) -> Array:
        return array[()] if return_scalar else array.view(np.ndarray)


def with_data(g: Array | None) -> Array | None:
    """A gradient whose `data` is an array; gradients of other libraries, and None, are unchanged."""
    return g.view(_Gradient) if type(g) is np.ndarray else g


def without_data(g: Array | None) -> Array | None:
    """The opposite of `with_data`: the ordinary array."""
    return g.data if type(g) is _Gradient else g
