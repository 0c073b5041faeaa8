"""Kernels that are faster on one library than the portable code: optional, and tested equal to it.

The arrays choose, `kernels(x)`; there is no switch. NumPy arrays have strides, so a window over them
can be a view, and their memory can be changed, so a result can be added in place: `strided`. On a GPU
every call is a launch, so for CuPy there are kernels that do in one launch what the portable code
does in many: `gathered`.
"""

from importlib import import_module
from types import ModuleType

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.kernels import strided

_by_type: dict[type, ModuleType | None] = {}  # what `_module_for` found for each type of array


def kernels(*xs: Array) -> ModuleType | None:
    """The module with the kernels for these arrays; None if there are none, or the types differ."""
    found = {_by_type[type(x)] if type(x) in _by_type else _module_for(x) for x in xs}
    return found.pop() if len(found) == 1 else None


def _module_for(x: Array) -> ModuleType | None:
    """The module for arrays of the type of x."""
    module: ModuleType | None = None
    if compat.is_numpy_array(x):
        module = strided
    elif compat.is_cupy_array(x):
        module = import_module("xpnet.kernels.gathered")
    _by_type[type(x)] = module
    return module
