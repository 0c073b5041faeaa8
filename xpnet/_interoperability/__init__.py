"""Variables in the functions of other libraries: NumPy, by its protocols, and einops.

Importing this package registers both. NumPy has hundreds of functions, and most programs call xpnet's: so
`xpnet._interoperability.numpy` is imported when NumPy first hands over a call (which takes 8 ms), or when an
error looks for hints.
"""

from collections.abc import Callable, Iterable
from functools import cache
from types import ModuleType
from typing import Any

from xpnet import _hints
from xpnet._interoperability import einops as einops
from xpnet._typing import Array
from xpnet.autodiff.variable import Variable
from xpnet.functions._registry import method


@cache
def _protocols() -> ModuleType:
    from xpnet._interoperability.numpy import protocols

    return protocols


@method("__array_function__")
def array_function(
    x: Variable,
    function: Callable[..., Any],
    types: Iterable[type],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """NEP 18; see `protocols.array_function`."""
    return _protocols().array_function(x, function, types, args, kwargs)


@method("__array_ufunc__")
def array_ufunc(ufunc: Any, how: str, *inputs: Any, **options: Any) -> Array | tuple[Array, ...]:
    """NEP 13; see `protocols.array_ufunc`."""
    return _protocols().array_ufunc(ufunc, how, *inputs, **options)


@_hints.SOURCES.append
def hints_of_numpy() -> dict[str, str]:
    """What to write for functions of NumPy that are not in `xpnet.functions`."""
    from xpnet._interoperability.numpy.hints import hints

    return hints()
