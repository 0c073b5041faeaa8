"""Details of each array library's devices, and the reason why CuPy cannot reach one.

Nothing here decides where anything is computed; `backend.py` does.
"""

import ctypes
import os
from importlib import import_module

from xpnet._typing import Device

OLDEST_DRIVER = 12000  # the oldest CUDA that CuPy 14 is built for: 12.0


def details_of(library: str, device: Device) -> str:
    """The name of a GPU, its memory and its CUDA version, on one line; empty for a CPU.

    Parameters
    ----------
    library : str
        The name of the array library.
    device : object
        The library's own device object.

    Returns
    -------
    str
        For CuPy, "NVIDIA H200, 139.8 GiB, CUDA runtime 13.0, CUDA driver 13.0". If the device
        cannot be queried, the reason.
    """
    if library not in _DETAILS:
        return ""
    try:
        return ", ".join(_DETAILS[library](device))
    except RuntimeError as error:  # each library's CUDA errors derive from it
        return f"details unknown: {error}"


def _of_cupy(device: Device) -> list[str]:
    runtime = import_module("cupy").cuda.runtime
    properties = runtime.getDeviceProperties(device.id)
    return [
        properties["name"].decode(),
        _gibibytes(properties["totalGlobalMem"]),
        f"CUDA runtime {_cuda(runtime.runtimeGetVersion())}",
        f"CUDA driver {_cuda(runtime.driverGetVersion())}",
    ]


def _of_torch(device: Device) -> list[str]:
    if device.type != "cuda":  # a CPU, or Apple's GPU, for which PyTorch has no name
        return []
    torch = import_module("torch")
    properties = torch.cuda.get_device_properties(device)
    platform = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"HIP {torch.version.hip}"
    return [properties.name, _gibibytes(properties.total_memory), platform]


def _of_jax(device: Device) -> list[str]:
    return [] if device.platform == "cpu" else [device.device_kind]


_DETAILS = {"cupy": _of_cupy, "torch": _of_torch, "jax": _of_jax}


def _gibibytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _cuda(version: int) -> str:
    """A version of CUDA as NVIDIA's documentation writes it: 13.0 for 13000."""
    return f"{version // 1000}.{version % 1000 // 10}"


# --- an installation of CuPy that cannot compute ---------------------------------------------------


def why_not_cupy(error: Exception) -> str:
    """Why CuPy cannot be used here, from the driver upwards, and the command that fixes it."""
    driver = cuda_driver_version()
    wheel = _fitting_wheel(driver)
    wheels = _cupy_wheels()
    install = f'pip install "{wheel}[ctk]"'
    driverless = "no NVIDIA driver was found: a GPU and its driver (nvidia.com/drivers) are needed"
    if isinstance(error, ModuleNotFoundError) and not wheels:
        also = f" Also, {driverless}." if driver is None else ""
        return f"the package cupy is not installed. Install it with: {install}.{also}"
    if conflict := cupy_conflict():
        return conflict
    if driver is None:
        return f"{driverless}; CuPy itself is installed ({', '.join(wheels)})."
    reason = str(error).rstrip(".")
    supported = f"{reason}. The driver supports CUDA {_cuda(driver)}"
    if driver < OLDEST_DRIVER:
        return (
            f"{supported}, and CuPy 14 needs {_cuda(OLDEST_DRIVER)}. Install a newer driver "
            "(nvidia.com/drivers)."
        )
    others = [name for name in wheels if name != wheel]
    first = f"pip uninstall -y {' '.join(others)} && " if others else ""  # they share a folder
    return f"{supported}; the CuPy that fits it, toolkit included: {first}{install}"


def cupy_conflict() -> str | None:
    """The reason and the remedy if two distributions of CuPy are installed, else None.

    CuPy itself only warns, and may then compute with the files of either.
    """
    wheels = _cupy_wheels()
    if len(wheels) < 2:
        return None
    wheel = _fitting_wheel(cuda_driver_version())
    return (
        f"{' and '.join(wheels)} are installed and overwrite each other. Mend it with: "
        f'pip uninstall -y {" ".join(wheels)} && pip install "{wheel}[ctk]"'
    )


def _cupy_wheels() -> list[str]:
    """The installed distributions of CuPy; all of them put their files into the folder cupy/."""
    from importlib.metadata import distributions

    names = {d.name.lower() for d in distributions() if d.name.lower().startswith("cupy")}
    return sorted(name for name in names if name == "cupy" or name.startswith("cupy-cuda"))


def _fitting_wheel(driver: int | None) -> str:
    """The distribution of CuPy for a driver's CUDA; without a driver, that for the newest CUDA."""
    return "cupy-cuda12x" if driver is not None and driver < 13000 else "cupy-cuda13x"


def cuda_driver_version() -> int | None:
    """The newest CUDA that the NVIDIA driver supports, 13000 for 13.0; None without a driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return None
    version = ctypes.c_int(0)
    return version.value if driver.cuDriverGetVersion(ctypes.byref(version)) == 0 else None
