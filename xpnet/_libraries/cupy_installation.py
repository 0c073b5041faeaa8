"""What an installation of CuPy lacks, checked from the driver upwards, and the command that fixes it."""

import ctypes
import os

OLDEST_DRIVER = 12000  # the oldest CUDA that CuPy 14 is built for: 12.0
DRIVERLESS = "no NVIDIA driver was found: a GPU and its driver (nvidia.com/drivers) are needed"


def cuda_version(version: int) -> str:
    """A version of CUDA as NVIDIA's documentation writes it: 13.0 for 13000."""
    return f"{version // 1000}.{version % 1000 // 10}"


def why_not_cupy(error: Exception) -> str:
    """Why CuPy cannot be used here, from the driver upwards, and the command that fixes it.

    Parameters
    ----------
    error : Exception
        What CuPy raised when it was imported, or when it first computed.
    """
    driver = cuda_driver_version()
    wheels = _cupy_wheels()
    if isinstance(error, ModuleNotFoundError) and not wheels:
        return _not_installed(driver)
    if conflict := cupy_conflict():
        return conflict
    if driver is None:
        return f"{DRIVERLESS}; CuPy itself is installed ({', '.join(wheels)})."
    return _wrong_version(error, driver, wheels)


def _not_installed(driver: int | None) -> str:
    """The reason where there is no CuPy: its package, and perhaps the driver too."""
    reason = f"the package cupy is not installed. Install it with: {_install_command(driver)}."
    if driver is None:
        reason += f" Also, {DRIVERLESS}."
    return reason


def _wrong_version(error: Exception, driver: int, wheels: list[str]) -> str:
    """The reason where both CuPy and a driver are installed, and CuPy still does not compute."""
    reason = f"{str(error).rstrip('.')}. The driver supports CUDA {cuda_version(driver)}"
    if driver < OLDEST_DRIVER:
        return (
            f"{reason}, and CuPy 14 needs {cuda_version(OLDEST_DRIVER)}. Install a newer driver "
            "(nvidia.com/drivers)."
        )
    command = _install_command(driver)
    others = [name for name in wheels if name != _fitting_wheel(driver)]
    if others:  # all wheels of CuPy install into one folder, so remove the others first
        command = f"pip uninstall -y {' '.join(others)} && {command}"
    return f"{reason}; the CuPy that fits it, toolkit included: {command}"


def cupy_conflict() -> str | None:
    """The conflict, and the command that fixes it, if two distributions of CuPy are installed, else None.

    CuPy itself only warns, and may then compute with a mixture of their files.
    """
    wheels = _cupy_wheels()
    if len(wheels) < 2:
        return None
    return (
        f"{' and '.join(wheels)} are installed and overwrite each other. Fix it with: "
        f"pip uninstall -y {' '.join(wheels)} && {_install_command(cuda_driver_version())}"
    )


def _install_command(driver: int | None) -> str:
    """The command that installs CuPy for a driver; `ctk` adds the libraries of the CUDA toolkit."""
    return f'pip install "{_fitting_wheel(driver)}[ctk]"'


def _cupy_wheels() -> list[str]:
    """The names of the installed distributions of CuPy, such as "cupy-cuda13x"."""
    from importlib.metadata import distributions

    names = {(d.name or "").lower() for d in distributions()}  # None if its files are damaged
    return sorted(name for name in names if name == "cupy" or name.startswith("cupy-cuda"))


def _fitting_wheel(driver: int | None) -> str:
    """The distribution of CuPy for a driver's CUDA; without a driver, the one for the newest CUDA."""
    if driver is not None and driver < 13000:
        return "cupy-cuda12x"
    return "cupy-cuda13x"


def cuda_driver_version() -> int | None:
    """The newest CUDA that the NVIDIA driver supports, 13000 for 13.0; None without a driver."""
    library = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return None
    version = ctypes.c_int(0)
    status = driver.cuDriverGetVersion(ctypes.byref(version))
    if status != 0:
        return None
    return version.value
