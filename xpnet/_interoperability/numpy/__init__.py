"""NumPy's own functions on Variables: `np.exp(v)`, `np.mean(v)`, `np.linalg.inv(v)`.

NumPy hands a call over to its arguments if they implement a protocol: `__array_ufunc__` for ufuncs
(NEP 13), `__array_function__` for all other functions (NEP 18). A Variable then calls the
differentiable function, on the library that holds its data. The modules of this package implement
NumPy's functions, with NumPy's names and parameters, by those of the standard:

    ufuncs        np.exp, np.add, np.add.reduce, ...: elementwise, and their methods
    reductions    np.sum, np.mean, np.cumsum, np.nanmax, ...
    shaping       np.reshape, np.concatenate, np.pad, ...
    choosing      np.where, np.take, np.sort, np.clip, np.unique, ...
    products      np.dot, np.einsum, np.linalg.*
    signals       np.fft.*, np.convolve, np.interp, np.gradient, ...
    writing       np.copyto, np.fill_diagonal, np.add.at, ...: they write into a Variable
    creation      np.zeros(3, like=v), np.array([v[0], 1.0], like=v), ...
    questions     np.shape, np.isclose, np.result_type, np.zeros_like, ...
    hints         what to write for F.pad, F.median, ...

A function that is not implemented raises an error with what to write instead. A Variable is never
converted to a NumPy array, which would lose the gradient.
"""

from xpnet._interoperability.numpy import (
    choosing as choosing,
    creation as creation,
    hints as hints,
    products as products,
    protocols as protocols,
    questions as questions,
    reductions as reductions,
    shaping as shaping,
    signals as signals,
    ufuncs as ufuncs,
    writing as writing,
)

__all__: list[str] = []
