"""The objects for the array libraries: the details of their devices, and how one is added."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
from xpnet import _libraries, to_numpy
from xpnet._libraries import ANY_OTHER, LIBRARIES, Library, library_of
from xpnet.backend import Backend


class CUDAError(RuntimeError):
    """Like CuPy's CUDARuntimeError."""


# --- which library an array belongs to ------------------------------------------------------------


def test_each_array_belongs_to_the_library_of_its_backend(backend):
    assert library_of(backend.asarray([1.0])) is backend.library
    assert backend.library is LIBRARIES[backend.name.partition(":")[0]]


def test_a_variables_namespace_creates_arrays_in_its_library(backend):
    home = xpnet.Variable(backend.asarray([1.0])).__array_namespace__()._home
    assert home.library is backend.library


@pytest.mark.parametrize("x", [1.0, [1.0], "a string", None])
def test_what_is_no_array_belongs_to_no_library(x):
    assert library_of(x) is ANY_OTHER


def test_zero_gradients_of_jax_belong_to_numpy(monkeypatch):
    """They are NumPy's arrays, with a dtype of JAX; the answer is cached for the type of an array."""
    jax = pytest.importorskip("jax")
    monkeypatch.setattr(_libraries, "_by_type", {})
    assert library_of(np.zeros(2, jax.dtypes.float0)) is LIBRARIES["numpy"]
    assert library_of(np.zeros(2)) is LIBRARIES["numpy"]


def test_an_array_of_an_unlisted_library_goes_by_the_standard(monkeypatch):
    """Rows can be added to its arrays by index, and the last of equal indices can be found."""
    strict = pytest.importorskip("array_api_strict")
    monkeypatch.setattr(_libraries, "_by_type", {})
    monkeypatch.delitem(LIBRARIES, "array_api_strict")
    x = strict.zeros(3)
    library = library_of(x)
    assert library is ANY_OTHER
    y = library.scatter_add(x, strict.asarray([0, 2, 0]), strict.asarray([1.0, 2.0, 4.0]))
    assert [float(y[i]) for i in range(3)] == [5.0, 0.0, 2.0]
    last = library.last_at(strict.asarray([2, 0, 2]), 3)
    assert [int(last[i]) for i in range(3)] == [1, -1, 2]


# --- one more library -----------------------------------------------------------------------------


class Abacus(Library):
    """A library that xpnet does not have: array-api-strict, under another name."""

    name = "abacus"
    aliases = ("beads",)
    package = "abacus-arrays"

    def open(self, device, dtype):
        if device:
            raise xpnet.ArgumentError(f"an abacus has one device, got {device!r}.")
        strict = pytest.importorskip("array_api_strict")
        return strict, strict.Device("CPU_DEVICE"), "abacus"

    def owns(self, x):
        return type(x).__module__.startswith("array_api_strict")

    def to_host(self, x):
        return LIBRARIES["numpy"].to_host(x) + 0


@pytest.fixture
def abacus(monkeypatch):
    """The library `abacus` in place of array-api-strict, listed as a new file would list it."""
    pytest.importorskip("array_api_strict")
    monkeypatch.setattr(_libraries, "_by_type", {})
    monkeypatch.delitem(LIBRARIES, "array_api_strict")
    monkeypatch.setitem(LIBRARIES, "abacus", Abacus())


@pytest.mark.parametrize("spec", ["abacus", "beads"])
def test_a_library_that_is_listed_can_be_used(abacus, spec):
    with xpnet.using(spec) as backend:
        assert backend.name == "abacus"
        layer = xpnet.Affine(3, 2, rng=0)
        y = layer(backend.asarray([[1.0, 2.0, 3.0]]))
        xpnet.functions.sum(y).backward()
    assert library_of(y.data) is LIBRARIES["abacus"]
    assert to_numpy(y).shape == (1, 2)
    assert to_numpy(next(layer.parameters()).grad).shape == (3, 2)


def test_the_errors_of_a_library_that_is_listed_are_reported(abacus):
    with pytest.raises(xpnet.BackendError, match="'abacus:7' cannot be used: an abacus has one"):
        xpnet.use("abacus:7")
    with pytest.raises(xpnet.BackendError, match="one of: numpy, .*abacus.*, beads, auto"):
        xpnet.use("slide_rule")


def test_a_library_that_is_listed_is_in_the_table_of_doctor(abacus, capsys):
    from xpnet.cli.doctor import doctor

    doctor()
    (row,) = re.findall("^abacus.*$", capsys.readouterr().out, re.MULTILINE)
    assert row.split() == ["abacus", "yes", "-", "array_api_strict.Device('CPU_DEVICE')"]


# --- details of devices ---------------------------------------------------------------------------


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
    assert ", ".join(LIBRARIES["cupy"].details(device)) == details
    backend = Backend("cupy:1", None, device, None)
    assert backend.details() == details
    assert backend.describe() == f"cupy:1 ({details}, cupy 14.2.0)"


def test_a_device_that_cannot_be_queried_is_described_by_the_error(monkeypatch):
    def lost(index):
        raise CUDAError("cudaErrorDeviceUninitialized: invalid device context")

    device = pretend_cupy(monkeypatch, lost)
    reason = "details unknown: cudaErrorDeviceUninitialized: invalid device context"
    backend = Backend("cupy:1", None, device, None)
    assert backend.details() == reason
    assert backend.describe() == f"cupy:1 ({reason}, cupy 14.2.0)"


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
    assert ", ".join(LIBRARIES["torch"].details(torch.device("cuda:0"))) == details
    assert LIBRARIES["torch"].details(torch.device("mps")) == []
    described = Backend("torch:cuda:0", None, torch.device("cuda:0"), None).describe()
    assert described == f"torch:cuda:0 ({details}, torch {torch.__version__})"


def test_a_gpu_of_jax_is_described():
    gpu = SimpleNamespace(platform="gpu", device_kind="NVIDIA H200")
    assert LIBRARIES["jax"].details(gpu) == ["NVIDIA H200"]


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
