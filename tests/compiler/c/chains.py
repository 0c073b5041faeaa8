"""Chains of the C library, called with NumPy arrays."""

import ctypes

import numpy as np

from xpnet.compiler.c import structures


def strides_in(array, shape):
    """The strides in elements of an array that is broadcast to a shape."""
    return [stride // array.itemsize for stride in np.broadcast_to(array, shape).strides]


def aligned(size):
    """A writable array of `size` bytes at a multiple of 64."""
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]


class Chain:
    """A chain that is prepared for certain arrays.

    steps holds (name, value, ...) and results (value, array), where a value is an input's position, then
    a number's, then a step's.
    """

    def __init__(self, library, suffix, shape, inputs, numbers, steps, results):
        library.chain_operation.argtypes = [ctypes.c_char_p]
        codes = [library.chain_operation(name.encode()) for name, *_ in steps]
        assert min(codes, default=0) >= 0, f"an unknown operation in {steps}"
        self.chain = structures.chain(
            shape,
            [(str(x.dtype), strides_in(x, shape)) for x in inputs],
            len(numbers),
            [(code, *values) for code, (_, *values) in zip(codes, steps, strict=True)],
            [(str(x.dtype), strides_in(x, shape), value) for value, x in results],
        )
        problem = getattr(library, f"chain_prepare_{suffix}")(ctypes.byref(self.chain))
        assert problem == 0, f"chain_prepare returned {problem}"
        arrays = [*inputs, *(x for _, x in results)]
        self.arrays = arrays  # kept alive
        self.addresses = (ctypes.c_void_p * len(arrays))(*(x.ctypes.data for x in arrays))
        self.numbers = (ctypes.c_double * max(1, len(numbers)))(*numbers)
        self.scratch = aligned(self.chain.scratch_bytes)
        function = getattr(library, f"chain_run_{suffix}")
        self.arguments = (
            ctypes.byref(self.chain),
            self.addresses,
            self.numbers,
            ctypes.c_void_p(self.scratch.ctypes.data),
        )
        self.run = lambda: function(*self.arguments)


def apply(library, suffix, name, *inputs, dtype=None):
    """One operation on arrays that broadcast together."""
    shape = np.broadcast_shapes(*(x.shape for x in inputs))
    result = np.empty(shape, dtype or ("float32" if suffix == "f32" else "float64"))
    step = (name, *range(len(inputs)))
    Chain(library, suffix, shape, inputs, (), [step], [(len(inputs), result)]).run()
    return result
