"""Kernels that are faster on one library than the portable code: optional, and tested equal to it.

The arrays decide which kernels run; there is no switch. `kernels(portable, x)` is the module for
convolution and pooling, and `kernel(name, x)` in `lookup` a single function. NumPy's arrays have
strides, so a window over them can be a view, and results can be added in place: `strided`. On a GPU
every call is a launch: the host starts a program on the device, which takes microseconds however small
the arrays. So the kernels for CuPy do in one launch what the portable code does in many: `gathered`.
"""

from importlib import import_module
from types import ModuleType

from xpnet._libraries import library_of
from xpnet._typing import Array

MODULES = {"numpy": "xpnet.kernels.strided", "cupy": "xpnet.kernels.gathered"}

_by_type: dict[type, ModuleType | None] = {}  # the module for each type of array


def kernels(portable: ModuleType, *xs: Array) -> ModuleType:
    """The module whose functions, of the same names as those of `portable`, are fastest for these arrays.

    It is `portable` itself if there is no other module for all of them.
    """
    first, *others = xs
    if hasattr(first, "recorded_windows"):  # a recording array
        recorded: ModuleType = first.recorded_windows(kernels(portable, *[x.array for x in xs]))
        return recorded
    module = _module_for(first)
    for x in others:
        if _module_for(x) is not module:
            return portable
    return portable if module is None else module


def _module_for(x: Array) -> ModuleType | None:
    """The module for arrays of the type of x, imported when it is first needed; None if none exists."""
    kind = type(x)
    if kind not in _by_type:
        name = MODULES.get(library_of(x).name)
        _by_type[kind] = import_module(name) if name else None
    return _by_type[kind]
