"""The C functions for windows, called with NumPy arrays in the layout (batch, channels, *spatial)."""

import ctypes

import numpy as np

from tests.compiler.c.chains import aligned
from xpnet.compiler.c.windows import window_structure


def address(array):
    """The address of an array's first number, NULL for None."""
    return None if array is None else ctypes.c_void_p(array.ctypes.data)


def inward(x):
    """An array of shape (batch, ...) as a contiguous one of shape (..., batch)."""
    return np.ascontiguousarray(np.moveaxis(x, 0, -1))


def outward(x):
    """The other way round, as a view."""
    return np.moveaxis(x, -1, 0)


class Windows:
    """The functions of window.c, weigh.c and pool.c for one window and one size of numbers."""

    def __init__(self, library, suffix, window, groups=1, pool=None):
        self.library = library
        self.suffix = suffix
        self.dtype = np.dtype({"f32": np.float32, "f64": np.float64}[suffix])
        self.window = window
        self.groups = groups
        self.pool = pool

    def call(self, name, structures, *arguments):
        """Call a function; results are filled with NaN before, so that a number left out is noticed."""
        getattr(self.library, f"{name}_{self.suffix}")(
            *(ctypes.byref(structure) for structure in structures), *arguments
        )

    def scratch(self, name, *structures):
        """Scratch memory, exactly as much as the function asks for."""
        function = getattr(self.library, f"{name}_scratch_{self.suffix}")
        function.restype = ctypes.c_int64
        return aligned(function(*(ctypes.byref(structure) for structure in structures)))

    def empty(self, channels, spatial, batch):
        return np.full((channels, *spatial, batch), np.nan, self.dtype)

    def correlate(self, x, W, b=None, rectified=False):
        w = window_structure(self.window, x.shape[0], x.shape[1], W.shape[0], self.groups)
        y = self.empty(W.shape[0], self.window.out, x.shape[0])
        scratch = self.scratch("correlate", w)
        given = inward(x)
        self.call(
            "correlate",
            [w],
            *map(address, (given, W, b)),
            ctypes.c_int64(rectified),
            *map(address, (y, scratch)),
        )
        return outward(y)

    def spread(self, gy, W, b=None):
        channels = W.shape[1] * self.groups
        w = window_structure(self.window, gy.shape[0], channels, W.shape[0], self.groups)
        gx = self.empty(channels, self.window.size, gy.shape[0])
        scratch = self.scratch("spread", w)
        given = inward(gy)
        self.call("spread", [w], *map(address, (given, W, b, gx, scratch)))
        return outward(gx)

    def weigh(self, x, gy):
        w = window_structure(self.window, x.shape[0], x.shape[1], gy.shape[1], self.groups)
        gW = np.full((gy.shape[1], x.shape[1] // self.groups, *self.window.kernel), np.nan)
        gW = gW.astype(self.dtype)
        gb = np.full(gy.shape[1], np.nan, self.dtype)
        scratch = self.scratch("weigh", w)
        images = inward(x)
        gradients = inward(gy)
        self.call("weigh", [w], *map(address, (images, gradients, gW, gb, scratch)))
        return gW, gb

    def correlate_maxima(self, x, W, b, rectified):
        w = window_structure(self.window, x.shape[0], x.shape[1], W.shape[0], self.groups)
        pool = window_structure(self.pool, x.shape[0], W.shape[0])
        y = self.empty(W.shape[0], self.pool.out, x.shape[0])
        index = np.full(y.shape, -99, np.int8)
        scratch = self.scratch("correlate_maxima", w, pool)
        given = inward(x)
        self.call(
            "correlate_maxima",
            [w, pool],
            *map(address, (given, W, b)),
            ctypes.c_int64(rectified),
            *map(address, (y, index, scratch)),
        )
        return outward(y), outward(index)

    def maxima(self, x, with_index=True):
        w = window_structure(self.window, x.shape[0], x.shape[1])
        y = self.empty(x.shape[1], self.window.out, x.shape[0])
        index = np.full(y.shape, -99, np.int8) if with_index else None
        given = inward(x)
        self.call("maxima", [w], *map(address, (given, y, index)))
        return outward(y), outward(index) if with_index else None

    def place(self, gy, index):
        w = window_structure(self.window, gy.shape[0], gy.shape[1])
        gx = self.empty(gy.shape[1], self.window.size, gy.shape[0])
        total = np.full(gy.shape[1], np.nan, self.dtype)
        gradients = inward(gy)
        numbers = inward(index)
        self.call("place", [w], *map(address, (gradients, numbers, gx, total)))
        return outward(gx), total

    def place_by_values(self, gy, x, y):
        w = window_structure(self.window, gy.shape[0], gy.shape[1])
        gx = self.empty(gy.shape[1], self.window.size, gy.shape[0])
        given = [inward(a) for a in (gy, x, y)]
        self.call("place_by_values", [w], *map(address, (*given, gx)))
        return outward(gx)

    def sums(self, x):
        w = window_structure(self.window, x.shape[0], x.shape[1])
        y = self.empty(x.shape[1], self.window.out, x.shape[0])
        given = inward(x)
        self.call("sums", [w], *map(address, (given, y)))
        return outward(y)

    def shares(self, gy):
        w = window_structure(self.window, gy.shape[0], gy.shape[1])
        gx = self.empty(gy.shape[1], self.window.size, gy.shape[0])
        given = inward(gy)
        self.call("shares", [w], *map(address, (given, gx)))
        return outward(gx)
