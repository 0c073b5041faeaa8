"""The structure that the C functions for windows take, as ctypes. It mirrors window.h."""

import ctypes
from collections.abc import Sequence

from xpnet.errors import CompileError
from xpnet.kernels.window import Window

__all__ = ["WindowStructure", "window_structure"]

_Pair = ctypes.c_int64 * 2


class WindowStructure(ctypes.Structure):
    """A window over the height and width of images, their batch, channels and groups."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "channels", "outputs", "groups")),
        *((name, _Pair) for name in ("size", "places", "kernel", "stride", "before", "dilation")),
    ]


def window_structure(
    window: Window, batch: int, channels: int, outputs: int | None = None, groups: int = 1
) -> WindowStructure:
    """The structure for a window that slides over images or signals.

    Parameters
    ----------
    window : Window
        Over one or two axes.
    batch, channels : int
        Of the array that it slides over.
    outputs : int, optional
        The channels of the result: for pooling they are those of the array, the default.
    groups : int

    Raises
    ------
    CompileError
        The window slides over three or more axes, which no C function does.
    """
    axes = len(window.size)
    if axes > 2:
        raise CompileError(f"The C library expected a window over one or two axes, got {axes}.")
    return WindowStructure(
        batch,
        channels,
        channels if outputs is None else outputs,
        groups,
        _pair(window.size, 1),
        _pair(window.out, 1),
        _pair(window.kernel, 1),
        _pair(window.stride, 1),
        _pair([before for before, _ in window.padding], 0),
        _pair(window.dilation, 1),
    )


def _pair(values: Sequence[int], missing: int) -> "ctypes.Array[ctypes.c_int64]":
    """One value for each of two axes; a signal is an image whose height is 1."""
    return _Pair(*[missing] * (2 - len(values)), *values)
