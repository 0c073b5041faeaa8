"""The names that annotations share.

The array libraries have no common base class, so to a type checker an array, a data type, a device
and a namespace are Any; to a reader the names show what is expected.
"""

import os
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from xpnet.random import DeviceGenerator, Generator

Array: TypeAlias = Any
"""An array as the standard describes it: of any library, or a `Variable`."""

DType: TypeAlias = Any
"""A library's own data type: `numpy.dtype('float32')`, `torch.float32`."""

Device: TypeAlias = Any
"""A library's own device: "cpu", `cupy.cuda.Device(0)`, `torch.device('cuda')`."""

Namespace: TypeAlias = Any
"""What `array_namespace(x)` returns: the functions of a library, or those of Variables."""

Rng: TypeAlias = "int | Generator | DeviceGenerator | None"
"""A source of random numbers: a seed, a generator, or None for the one of `xpnet.manual_seed`."""

PathLike: TypeAlias = str | os.PathLike[str]
"""The path of a file or folder."""
