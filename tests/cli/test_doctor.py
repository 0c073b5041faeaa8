"""`xpnet doctor`: which backends are usable, and the command that installs the others."""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
from xpnet import _libraries, backend as switch
from xpnet._libraries import cupy_installation
from xpnet.compiler.c import load

ROOT = Path(__file__).parents[2]
LIBRARIES = list(_libraries.NAMES)  # NumPy, which is always there, is the first
CUPY = _libraries.LIBRARIES["cupy"]


def rows_of(out):
    """The table of backends: name to (usable, version, device)."""
    found = re.findall(r"^(\w+) +(yes|no) +(\S+) +(.+)$", out, re.MULTILINE)
    return {name: rest for name, *rest in found}


def test_each_backend_is_listed_as_it_is(run_xpnet):
    answer = run_xpnet("doctor")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"xpnet {xpnet.__version__}, Python {sys.version.split()[0]}\n")
    rows = rows_of(answer.out)
    assert list(rows)[: len(LIBRARIES)] == LIBRARIES
    assert rows["numpy"] == ["yes", np.__version__, "cpu"]
    for library in LIBRARIES:
        try:
            switch.resolve(library)
        except xpnet.BackendError as error:
            assert rows[library][0] == "no"
            assert str(error) in answer.out
        else:
            backend = switch.resolve(library)
            assert rows[library][:2] == ["yes", sys.modules[library].__version__]
            assert rows[library][2] == (backend.details() or str(backend.device))


@pytest.mark.parametrize(
    ("executor", "found", "line"),
    [
        ("numpy", None, "not used, since XPNET_EXECUTOR is numpy"),
        (
            "",
            SimpleNamespace(origin="binary", variant="v9", path=Path("a.so")),
            "binary for v9 (a.so)",
        ),
        ("", None, "none, so NumPy computes: No compiler was found."),
    ],
)
def test_the_c_library_has_a_line_of_its_own(run_xpnet, monkeypatch, executor, found, line):
    """Which library runs compiled steps; or why NumPy does."""
    search = load._Search()
    search.thread = SimpleNamespace(join=lambda timeout: None, is_alive=lambda: False)
    search.library = found
    search.reasons = [] if found else ["No compiler was found."]
    search.ended = True
    search.looked.set()
    monkeypatch.setattr(load, "_search", search)
    monkeypatch.setenv("XPNET_EXECUTOR", executor)
    answer = run_xpnet("doctor")
    assert answer.code == 0, answer.err
    assert f"\nC library for compiled steps: {line}\n" in answer.out


class Nowhere:
    """A finder that reports the optional libraries as not installed."""

    def find_spec(self, name, path=None, target=None):
        if name in LIBRARIES[1:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_what_is_missing_comes_with_its_command(run_xpnet, monkeypatch):
    """As in an environment with NumPy only."""

    def missing(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(switch, "_opened", switch._opened.__wrapped__)
    monkeypatch.setattr("importlib.metadata.distributions", list)
    monkeypatch.setattr(sys.modules["xpnet.cli.doctor"], "version", missing)
    for library in LIBRARIES[1:]:
        monkeypatch.delitem(sys.modules, library, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Nowhere(), *sys.meta_path])
    answer = run_xpnet("doctor")
    assert answer.code == 0, answer.err
    rows = rows_of(answer.out)
    assert [rows[library][:2] for library in LIBRARIES[1:]] == [["no", "-"]] * (len(LIBRARIES) - 1)
    assert rows["matplotlib"][:2] == rows["pillow"][:2] == ["no", "-"]
    for package in ("torch", "jax", "array-api-strict"):
        assert re.search(rf"pip install {package}\.?$", answer.out, re.MULTILINE), package
    together = " ".join(sys.modules["xpnet.cli.doctor"].PACKAGES)
    assert f"To install what is missing: pip install {together}\n" in answer.out
    assert re.search(r'pip install "cupy-cuda1[23]x\[ctk\]"', answer.out)
    assert "--backend auto selects numpy." in answer.out


@pytest.mark.parametrize("there", [True, False])
def test_optional_packages_are_listed_with_their_purpose(run_xpnet, monkeypatch, there):
    versions = {"matplotlib": "3.9.9", "pillow": "11.1.1"} if there else {}

    def version(package):
        try:
            return versions[package]
        except KeyError:
            raise PackageNotFoundError(package) from None

    monkeypatch.setattr(sys.modules["xpnet.cli.doctor"], "version", version)
    rows = rows_of(run_xpnet("doctor").out)
    answer = "yes" if there else "no"
    purpose = "curves.png of xpnet train, the page of xpnet evaluate, and xpnet.plots"
    assert rows["matplotlib"] == [answer, versions.get("matplotlib", "-"), purpose]
    purpose = "pictures: folders of them, and xpnet predict"
    assert rows["pillow"] == [answer, versions.get("pillow", "-"), purpose]


def test_the_packages_of_all_extras_are_listed():
    """But for those of the backends, which have a table of their own, and MPICH, which is no package of Python."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = extras["project"]["optional-dependencies"]
    others = {"cuda12", "cuda13", "torch", "jax", "docs", "examples", "dev"}
    names = {
        re.match(r"[\w-]+", requirement)[0]
        for extra in extras.keys() - others
        for requirement in extras[extra]
    }
    assert names - {"mpich"} == set(sys.modules["xpnet.cli.doctor"].PACKAGES)


# --- installations of CuPy that are broken, each in its own way --------------------------------


@pytest.fixture
def pretend(monkeypatch):
    """A function that replaces CuPy by its arguments: an opener, a driver and the installed wheels."""

    def pretend(opener, driver, wheels):
        monkeypatch.setattr(CUPY, "open", opener)
        monkeypatch.setattr(switch, "_opened", switch._opened.__wrapped__)
        monkeypatch.setattr(cupy_installation, "cuda_driver_version", lambda: driver)
        found = [SimpleNamespace(name=name) for name in wheels]
        monkeypatch.setattr("importlib.metadata.distributions", lambda: found)

    return pretend


def failing(error):
    """An opener that fails as CuPy does."""

    def open_cupy(device, dtype):
        raise error

    return open_cupy


class Device(str):
    """NumPy's device, which can also be made the current one, as CuPy's can."""

    __slots__ = ()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def computing(device, dtype):
    """An opener for a CuPy that works: NumPy, under another name."""
    return np, Device("cpu"), "cupy:0"


NO_DRIVER = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime"


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        (None, "no NVIDIA driver was found: a GPU and its driver (nvidia.com/drivers) are needed"),
        (11040, f"{NO_DRIVER}. The driver supports CUDA 11.4, and CuPy 14 needs 12.0."),
        (12060, "pip uninstall -y cupy-cuda13x && pip install "),
    ],
    ids=["no driver", "a driver too old", "a driver too old for this wheel"],
)
def test_cupy_without_a_driver_that_fits(run_xpnet, pretend, driver, message):
    pretend(failing(RuntimeError(NO_DRIVER)), driver, ["cupy-cuda13x"])
    answer = run_xpnet("doctor")
    assert answer.code == 0
    assert rows_of(answer.out)["cupy"][0] == "no"
    assert message in answer.out


@pytest.mark.parametrize("works", [True, False])
def test_two_wheels_of_cupy_are_reported(run_xpnet, pretend, monkeypatch, works):
    """Also if CuPy works, which only warns about them."""
    monkeypatch.setattr(CUPY, "details", lambda device: ["NVIDIA H200"])
    opener = computing if works else failing(ImportError("undefined symbol: cublasGemmEx"))
    pretend(opener, 13000, ["cupy-cuda12x", "cupy-cuda13x"])
    answer = run_xpnet("doctor")
    assert rows_of(answer.out)["cupy"][0] == ("yes" if works else "no")
    message = "cupy-cuda12x and cupy-cuda13x are installed and overwrite each other"
    assert answer.out.count(message) == 1


def test_a_device_that_cannot_be_queried(run_xpnet, pretend, monkeypatch):
    """It computes, so it is usable; the details are the reason why it cannot be queried."""

    def lost(device):
        raise RuntimeError("cudaErrorUnknown: unknown error")

    monkeypatch.setattr(CUPY, "details", lost)
    pretend(computing, 13000, ["cupy-cuda13x"])
    answer = run_xpnet("doctor")
    assert answer.code == 0
    row = rows_of(answer.out)["cupy"]
    assert (row[0], row[2]) == ("yes", "details unknown: cudaErrorUnknown: unknown error")
