"""What an installation of CuPy lacks, and the command that fixes it."""

import importlib.metadata
import re

import pytest

from xpnet._libraries import cupy_installation
from xpnet._libraries.cupy_installation import cuda_driver_version, cupy_conflict, why_not_cupy


class Distribution:
    """An installed package; the name of a damaged one is None."""

    def __init__(self, name):
        self.name = name


@pytest.fixture
def installed(monkeypatch):
    """A function that pretends that a driver for this CUDA and these wheels of CuPy are installed."""

    def install(driver, wheels):
        monkeypatch.setattr(cupy_installation, "cuda_driver_version", lambda: driver)
        found = [Distribution(name) for name in ["numpy", "cupy-xarray", None, *wheels]]
        monkeypatch.setattr(importlib.metadata, "distributions", lambda: found)

    return install


@pytest.mark.parametrize(
    ("driver", "wheels", "error", "message"),
    [
        (None, [], ModuleNotFoundError, r"not installed.*cupy-cuda13x\[ctk\].*no NVIDIA driver"),
        (13000, [], ModuleNotFoundError, r'pip install "cupy-cuda13x\[ctk\]"\.$'),
        (12080, [], ModuleNotFoundError, r'pip install "cupy-cuda12x\[ctk\]"\.$'),
        (None, ["cupy-cuda13x"], RuntimeError, r"no NVIDIA driver was found.*is installed"),
        (13000, ["cupy-cuda12x", "cupy-cuda13x"], RuntimeError, r"overwrite each other.*uninstall"),
        (
            12080,
            ["cupy-cuda13x"],
            RuntimeError,
            r"boom.* supports CUDA 12.8.*: pip uninstall -y cupy-cuda13x && pip.*cuda12x\[ctk\]",
        ),
        (13000, ["cupy-cuda13x"], RuntimeError, r': pip install "cupy-cuda13x\[ctk\]"$'),
        (11080, ["cupy-cuda12x"], RuntimeError, r"CUDA 11.8, and CuPy 14 needs 12.0.*newer driver"),
    ],
)
def test_why_cupy_cannot_be_used(installed, driver, wheels, error, message):
    """From the driver upwards: what is missing, and the command that fixes it."""
    installed(driver, wheels)
    assert re.search(message, why_not_cupy(error("boom")))


def test_two_wheels_of_cupy_conflict(installed):
    """Even if CuPy computes, since its files may come from either. Other packages do not count."""
    installed(12080, ["cupy-cuda12x"])
    assert cupy_conflict() is None
    installed(12080, ["cupy-cuda13x", "cupy-cuda12x"])
    assert cupy_conflict() == (
        "cupy-cuda12x and cupy-cuda13x are installed and overwrite each other. Fix it with: "
        'pip uninstall -y cupy-cuda12x cupy-cuda13x && pip install "cupy-cuda12x[ctk]"'
    )


def test_driver_version_is_none_or_a_number():
    """12080 is CUDA 12.8."""
    version = cuda_driver_version()
    assert version is None or version >= 11000
