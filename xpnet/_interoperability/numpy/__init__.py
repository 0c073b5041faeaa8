"""NumPy's own functions on Variables: `np.exp(v)`, `np.mean(v)`, `np.linalg.inv(v)`.

NumPy asks its arguments whether they answer for it: ufuncs by `__array_ufunc__` (NEP 13), all other
functions by `__array_function__` (NEP 18). A Variable answers with the differentiable function,
on whatever library holds its data. The table from NumPy's names and parameters to the standard's
is what the modules of this package define:

    ufuncs        np.exp, np.add, np.add.reduce, ...: elementwise, and their methods
    reductions    np.sum, np.mean, np.cumsum, np.nanmax, ...
    shaping       np.reshape, np.concatenate, np.pad, ...
    choosing      np.where, np.take, np.sort, np.clip, np.unique, ...
    products      np.dot, np.einsum, np.linalg.*
    signals       np.fft.*, np.convolve, np.interp, np.gradient, ...
    questions     np.shape, np.isclose, np.result_type, np.zeros_like, ...

What the table does not have raises an error that says what to write. Nothing is converted to
NumPy, which would lose the gradient.
"""

from xpnet._interoperability.numpy import (
    choosing as choosing,
    products as products,
    protocols as protocols,
    questions as questions,
    reductions as reductions,
    shaping as shaping,
    signals as signals,
    ufuncs as ufuncs,
)

__all__: list[str] = []
