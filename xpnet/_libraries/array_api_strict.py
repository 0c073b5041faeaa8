"""array-api-strict: the reference library of the standard, with simulated devices."""

from importlib import import_module

import numpy as np

from xpnet._libraries._base import Library
from xpnet._typing import Array, Device, Namespace

HOST = "CPU_DEVICE"


class Strict(Library):
    """array-api-strict, on one of its simulated devices."""

    name = "array_api_strict"
    package = "array-api-strict"

    def open(self, device: str, dtype: str) -> tuple[Namespace, Device, str]:
        strict = import_module("array_api_strict")
        device = device or HOST
        return strict, strict.Device(device), f"array_api_strict:{device}"

    def owns(self, x: object) -> bool:
        return type(x).__module__.startswith("array_api_strict")

    def to_host(self, x: Array) -> np.ndarray:
        return np.asarray(x.to_device(import_module("array_api_strict").Device(HOST)))


library = Strict()
