"""NumPy's two protocols: `__array_ufunc__` (NEP 13) and `__array_function__` (NEP 18).

NEP 13: N. J. Smith et al., "A mechanism for overriding ufuncs", 2013.
NEP 18: S. Hoyer et al., "A dispatch mechanism for NumPy's high level array functions", 2018.
"""

from collections.abc import Callable, Iterable
from typing import Any

from xpnet._interoperability.numpy.creation import CREATIONS
from xpnet._interoperability.numpy.registry import ArrayLike, call_implementation, implementations
from xpnet._interoperability.numpy.ufuncs import (
    METHODS,
    Ufunc,
    elementwise_calls,
    foreign_ufunc,
    with_arrays,
    with_options,
)
from xpnet._libraries.numpy import is_array_type, name_in_numpy
from xpnet._typing import Array
from xpnet.autodiff.namespace import NoArrayError, ufuncs
from xpnet.autodiff.variable import Variable
from xpnet.errors import ArgumentTypeError

INSTEAD = {
    "array2string": "Write str(x).",
    "array_repr": "Write repr(x).",
    "array_str": "Write str(x).",
    "diag_indices_from": "Write np.diag_indices(x.shape[0]).",
    "histogram": "Write np.bincount(np.digitize(data, edges) - 1, weights), for the weights.",
    "i0": "Write xpnet.functions.special.i0(x).",
    "linalg.tensorinv": "Write np.linalg.inv of the reshaped matrix.",
    "linalg.tensorsolve": "Write np.linalg.solve of the reshaped matrix.",
    "lexsort": "Write np.argsort(x) for one key after another, the last key first.",
    "may_share_memory": "Write np.may_share_memory(x.data, y.data).",
    "put": "Write x[indices] = values.",
    "put_along_axis": "Write np.where, or x[key] = values.",
    "resize": "Write np.reshape or np.tile.",
    "save": "Write np.save(file, xpnet.to_numpy(x)).",
    "savetxt": "Write np.savetxt(file, xpnet.to_numpy(x)).",
    "savez": "Write np.savez(file, xpnet.to_numpy(x)).",
    "savez_compressed": "Write np.savez_compressed(file, xpnet.to_numpy(x)).",
    "shares_memory": "Write np.shares_memory(x.data, y.data).",
    "tril_indices_from": "Write np.tril_indices(x.shape[0]).",
    "triu_indices_from": "Write np.triu_indices(x.shape[0]).",
}
"""What to write instead of functions that are not implemented."""


def array_function(
    x: Variable,
    function: Callable[..., Any],
    types: Iterable[type],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """NEP 18: the result of `function(*args, **kwargs)`, where an argument, or `like=`, is x.

    Raises
    ------
    ArgumentTypeError
        The function, or one of its arguments, is not implemented.
    """
    of_data = type(x.data)  # CuPy's arrays have the protocol, too
    if not all(issubclass(kind, of_data) or _is_own(kind) for kind in types):
        return NotImplemented  # an array of another package, which may implement the function
    name = name_in_numpy(function)
    if name not in implementations:
        raise _missing(f"np.{name}" if name else function.__name__, name)
    return call_implementation(name, (x, *args) if name in CREATIONS else args, kwargs)


def array_ufunc(
    ufunc: Ufunc, how: str, *inputs: ArrayLike, **options: Any
) -> Array | tuple[Array, ...]:
    """NEP 13: the result of `ufunc(*inputs)`, or of one of its methods, such as "reduce".

    Raises
    ------
    ArgumentTypeError
        The ufunc, the method, or one of its arguments is not implemented.
    """
    try:
        if how == "__call__" and not options:
            return _function_for(ufunc)(*with_arrays(inputs))
        if how == "__call__":
            return with_options(ufunc, ufunc.__name__, _function_for(ufunc), inputs, options)
        if how not in METHODS:
            raise _no_method(ufunc.__name__, how)
        return METHODS[how](ufunc.__name__, _function_for(ufunc), *inputs, **options)
    except NoArrayError:
        if all(_has_no_other_protocol(x) for x in inputs):
            raise
        return NotImplemented  # an array of another package, which may implement the ufunc


def _function_for(ufunc: Ufunc) -> Callable[..., Any]:
    """The function that implements a ufunc for Variables."""
    function = ufuncs.get(ufunc)
    if function is None:
        function = _find_function(ufunc)
        ufuncs[ufunc] = function
    return function


def _find_function(ufunc: Ufunc) -> Callable[..., Any]:
    """`_function_for` a ufunc that is called for the first time."""
    name = name_in_numpy(ufunc)
    if not name:
        return foreign_ufunc(ufunc)
    if name in elementwise_calls:
        return elementwise_calls[name]
    raise _missing(f"np.{name}", name)


def _is_own(kind: type) -> bool:
    """Whether a type is that of Variables, of NumPy's arrays, or of those that record for `compile`."""
    return issubclass(kind, Variable) or is_array_type(kind) or hasattr(kind, "recorded_kernels")


def _has_no_other_protocol(x: ArrayLike) -> bool:
    """Whether x is a Variable, or does not implement NEP 13 itself."""
    return isinstance(x, Variable) or not hasattr(type(x), "__array_ufunc__")


def _missing(shown: str, name: str) -> ArgumentTypeError:
    """The error for a function that is not implemented."""
    instead = INSTEAD.get(name, "Write it with xpnet.functions.")
    return ArgumentTypeError(
        f"{shown} has no differentiable counterpart in xpnet. {instead} Where no gradient is "
        f"needed, call it on xpnet.to_numpy(x): the result has no gradient."
    )


def _no_method(name: str, how: str) -> ArgumentTypeError:
    """The error for a method of ufuncs that is not implemented."""
    return ArgumentTypeError(
        f"np.{name}.{how} of a Variable is not available. Write np.stack of the reductions of slices."
    )
