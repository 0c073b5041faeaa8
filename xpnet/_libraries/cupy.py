"""CuPy: arrays on NVIDIA GPUs.

CuPy differs from the other libraries in three ways. It creates arrays on the calling thread's current
device, and ignores `device=` (array-api-compat, issue 337). It copies only contiguous arrays between
devices. An index that is out of range wraps around without an error.
"""

from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any

import array_api_compat as compat
import numpy as np

from xpnet._libraries._base import Library, device_number, gibibytes
from xpnet._libraries.cupy_installation import cuda_version, cupy_conflict, why_not_cupy
from xpnet._libraries.devices import arrived, follows
from xpnet._typing import Array, Device, Namespace
from xpnet.errors import ArgumentError


class CuPy(Library):
    """CuPy, on an NVIDIA GPU."""

    name = "cupy"
    aliases = ("gpu", "cuda")
    wraps_indices = True
    has_copy_stream = True

    def open(self, device: str, dtype: str) -> tuple[Namespace, Device, str]:
        cupy = import_module("cupy")
        # This comes first: without a driver, it raises the error that should be reported.
        count = cupy.cuda.runtime.getDeviceCount()
        index = device_number(device)
        if not 0 <= index < count:
            raise ArgumentError(
                f"there is no GPU {index}; this machine has {count}, numbered from 0."
            )
        return import_module("array_api_compat.cupy"), cupy.cuda.Device(index), f"cupy:{index}"

    def device_count(self) -> int:
        return int(import_module("cupy").cuda.runtime.getDeviceCount())

    def why_unusable(self, error: Exception, device: str) -> str:
        if isinstance(error, ValueError):  # the spec is wrong, and CuPy works
            return str(error)
        return why_not_cupy(error)

    def conflict(self) -> str | None:
        return cupy_conflict()

    def details(self, device: Device) -> list[str]:
        runtime = import_module("cupy").cuda.runtime
        properties = runtime.getDeviceProperties(device.id)
        return [
            properties["name"].decode(),
            gibibytes(properties["totalGlobalMem"]),
            f"CUDA runtime {cuda_version(runtime.runtimeGetVersion())}",
            f"CUDA driver {cuda_version(runtime.driverGetVersion())}",
        ]

    def selected(self, device: Device) -> AbstractContextManager[Any]:
        block: AbstractContextManager[Any] = device
        return block

    def make_current(self, device: Device) -> None:
        device.use()

    def owns(self, x: object) -> bool:
        return bool(compat.is_cupy_array(x))

    @follows
    def to_host(self, x: Array) -> np.ndarray:
        host: np.ndarray = x.get()  # on the current stream of its own device
        arrived()  # the GPU has finished, so what its kernels noted can be read
        return host

    @follows
    def copied_to_host(self, x: Array) -> np.ndarray:
        """As in the base class, in pinned memory: the GPU copies to and from it without a detour."""
        cupy = import_module("cupy")
        x = cupy.ascontiguousarray(x)
        pinned = cupy.cuda.alloc_pinned_memory(max(x.nbytes, 1))
        host: np.ndarray = np.ndarray(x.shape, x.dtype, buffer=pinned)
        x.get(out=host)
        arrived()
        return host

    def is_cuda_memory(self, x: Array) -> bool:
        return bool(x.flags.c_contiguous)

    @follows
    def synchronize(self, x: Array) -> None:
        import_module("cupy").cuda.get_current_stream().synchronize()

    def to_device(self, x: Array, device: Device, stream: Any = None) -> Array:
        x = import_module("cupy").ascontiguousarray(x)
        return compat.to_device(x, device, stream=stream)

    def from_dlpack(
        self, xp: Namespace, x: object, device: Device | None, copy: bool | None
    ) -> Array:
        """As in the base class; CuPy's own function takes neither `device` nor `copy`."""
        y = xp.from_dlpack(x)
        if copy is False and device is not None and y.device != device:
            raise ArgumentError(
                f"from_dlpack expected an array on {device} for copy=False, got one on {y.device}. "
                "Leave copy out to have it copied there."
            )
        if device is not None:
            y = self.to_device(y, device)
        return _copied(y) if copy else y

    @follows
    def set_item(self, x: Array, key: Any, value: Array | complex) -> Array:
        return super().set_item(x, key, value)

    def assigns_by_arrays(self, may_repeat: bool, one_value: bool) -> bool:
        return one_value or not may_repeat

    @follows
    def last_at(self, places: Array, size: int) -> Array:
        cupy = import_module("cupy")
        # `maximum.at` does not support int64. In uint64, i + 1 stands for i, and 0 for "there is none".
        found = cupy.zeros((size,), dtype=cupy.uint64)
        following = cupy.arange(1, places.shape[0] + 1, dtype=cupy.uint64)
        cupy.maximum.at(found, places, following)
        return found.astype(cupy.int64) - 1


@follows
def _copied(x: Array) -> Array:
    return import_module("cupy").array(x, copy=True)


library = CuPy()
