"""What is faster on one library than the text that runs on all: optional, and tested equal to it.

The arrays choose, `kernels(x)`; there is no switch. NumPy and CuPy arrays have strides, so a window
over them can be a view, and memory that a result may be added into.
"""

from types import ModuleType
from typing import Any

import array_api_compat as compat

from xpnet.kernels import strided


def kernels(*xs: Any) -> ModuleType | None:
    """The module with the kernels for these arrays; None where there are none."""
    fast = all(compat.is_numpy_array(x) or compat.is_cupy_array(x) for x in xs)
    return strided if fast else None
