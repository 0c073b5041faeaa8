"""Placement: `place` copies an array from the host to a backend's device."""

from typing import Any

import numpy as np

from xpnet._typing import Array
from xpnet.backend import Backend
from xpnet.errors import DataError


def place(host: Any, backend: Backend) -> Array:
    """A host array on a backend's device; floating-point numbers become the backend's dtype.

    Raises
    ------
    DataError
        The array does not fit on the device.
    """
    host = np.asarray(host)
    host = host.astype(host.dtype.newbyteorder("="), copy=False)  # IDX files are big-endian
    dtype = backend.dtype if host.dtype.kind == "f" else None
    try:
        return backend.asarray(host, dtype=dtype)
    except (MemoryError, RuntimeError) as error:  # the libraries' own errors derive from these
        raise DataError(
            f"{host.nbytes / 1e6:,.0f} MB of data could not be placed on {backend.name}: {error}. "
            "Take fewer samples, smaller batches, a DataLoader without resident=True, which sends "
            "the data batch by batch, or a device with more memory."
        ) from error
