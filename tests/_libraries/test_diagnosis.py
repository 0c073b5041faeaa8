"""Details of each device, and what an installation of CuPy lacks."""

import importlib.metadata
import re
import sys
from types import SimpleNamespace

import pytest

from xpnet import to_numpy
from xpnet._libraries import diagnosis
from xpnet._libraries.diagnosis import cuda_driver_version, cupy_conflict, details_of, why_not_cupy
from xpnet.backend import Backend


class CUDAError(RuntimeError):
    """Like CuPy's CUDARuntimeError."""


class Distribution:
    def __init__(self, name):
        self.name = name


@pytest.fixture
def installed(monkeypatch):
    """A function that pretends that a driver for this CUDA and these wheels of CuPy are installed."""

    def install(driver, wheels):
        monkeypatch.setattr(diagnosis, "cuda_driver_version", lambda: driver)
        found = [Distribution(name) for name in ["numpy", "cupy-xarray", *wheels]]
        monkeypatch.setattr(importlib.metadata, "distributions", lambda: found)

    return install


def pretend_cupy(monkeypatch, properties):
    """Install a fake `cupy` whose device has these properties, for machines without the package."""
    runtime = SimpleNamespace(
        getDeviceProperties=properties,
        runtimeGetVersion=lambda: 12090,
        driverGetVersion=lambda: 13010,
    )
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime), __version__="14.2.0")
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return SimpleNamespace(id=1)


def test_a_device_of_cupy_is_described(monkeypatch):
    """The name and the memory of this device, not of the first; both versions of CUDA."""
    table = {1: {"name": b"NVIDIA H200", "totalGlobalMem": 150_754_820_096}}
    device = pretend_cupy(monkeypatch, lambda i: table[i])
    details = "NVIDIA H200, 140.4 GiB, CUDA runtime 12.9, CUDA driver 13.1"
    assert details_of("cupy", device) == details
    backend = Backend("cupy:1", None, device, None)
    assert backend.details() == details
    assert backend.describe() == f"cupy:1 ({details}, cupy 14.2.0)"


def test_a_device_that_cannot_be_queried_is_described_by_the_error(monkeypatch):
    def lost(index):
        raise CUDAError("cudaErrorDeviceUninitialized: invalid device context")

    device = pretend_cupy(monkeypatch, lost)
    said = "details unknown: cudaErrorDeviceUninitialized: invalid device context"
    assert details_of("cupy", device) == said
    described = Backend("cupy:1", None, device, None).describe()
    assert described == f"cupy:1 ({said}, cupy 14.2.0)"


@pytest.mark.parametrize(
    ("cuda", "hip", "platform"), [("12.8", None, "CUDA 12.8"), (None, "6.4", "HIP 6.4")]
)
def test_a_gpu_of_torch_is_described(monkeypatch, cuda, hip, platform):
    torch = pytest.importorskip("torch")
    card = SimpleNamespace(name="NVIDIA A100", total_memory=40 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", {torch.device("cuda:0"): card}.get)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", hip)
    details = f"NVIDIA A100, 40.0 GiB, {platform}"
    assert details_of("torch", torch.device("cuda:0")) == details
    assert details_of("torch", torch.device("mps")) == ""
    described = Backend("torch:cuda:0", None, torch.device("cuda:0"), None).describe()
    assert described == f"torch:cuda:0 ({details}, torch {torch.__version__})"


def test_a_gpu_of_jax_is_described():
    gpu = SimpleNamespace(platform="gpu", device_kind="NVIDIA H200")
    assert details_of("jax", gpu) == "NVIDIA H200"


def test_the_device_of_each_backend(backend):
    """A CPU has no details; the memory of a GPU is what CuPy reports elsewhere."""
    if not backend.name.startswith("cupy"):
        assert backend.details() == ""
        assert backend.describe() == backend.name
        return
    import cupy

    name, memory, runtime, driver = backend.details().split(", ")
    gibibytes = backend.device.mem_info[1] / 2**30  # the driver keeps a part of the memory
    assert name
    assert float(memory.removesuffix(" GiB")) == pytest.approx(gibibytes, rel=0.05, abs=0.05)
    assert re.fullmatch(r"CUDA runtime 1\d\.\d", runtime)
    assert re.fullmatch(r"CUDA driver 1\d\.\d", driver)
    assert backend.describe() == f"{backend.name} ({backend.details()}, cupy {cupy.__version__})"
    assert to_numpy(backend.asarray([1.0])).tolist() == [1.0]


# --- installations ----------------------------------------------------------------------------


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
        "cupy-cuda12x and cupy-cuda13x are installed and overwrite each other. Mend it with: "
        'pip uninstall -y cupy-cuda12x cupy-cuda13x && pip install "cupy-cuda12x[ctk]"'
    )


def test_driver_version_is_none_or_a_number():
    """12080 is CUDA 12.8."""
    version = cuda_driver_version()
    assert version is None or version >= 11000
