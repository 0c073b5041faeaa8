"""Install CuPy's wheel so that it uses the emulated CUDA."""

import re
import shutil
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

from steps import HERE, compiler, compiler_version, digest, pip, run

CUPY = "14.2.0"
CYTHON = "cython>=3.2,<3.3"  # what CuPy's pyproject.toml asks for

# The modules of CuPy that hold compiled device code, and what takes their place.
REPLACED = {
    "cupy/cuda/thrust": "thrust.py",
    "cupy/random/_bit_generator": "bit_generator.py",
}


def key_of_cupy(toolkit: Path) -> str:
    """What CuPy's folder depends on."""
    return digest(
        CUPY,
        CYTHON,
        sysconfig.get_config_var("SOABI") or sys.version,
        compiler_version(),
        (toolkit / "include" / "cuda.h").read_bytes(),
        *((HERE / replacement).read_bytes() for replacement in REPLACED.values()),
        Path(__file__).read_bytes(),
    )


def build_cupy(folder: Path, toolkit: Path) -> None:
    """Install CuPy's wheel, and put in place of some of its modules what uses the emulation.

    The wheel's binding of the CUDA runtime has NVIDIA's runtime linked into it. It is compiled anew
    from CuPy's source distribution, to use the emulated one. The modules ``REPLACED`` hold compiled
    device code.
    """
    site = folder / "site"
    pip("install", "--no-deps", "--target", site, f"cupy-cuda13x=={CUPY}", "cuda-pathfinder")
    source = fetch_source(folder)
    binding = translate_runtime(folder, source)
    target = one(site.glob("cupy_backends/cuda/api/runtime.*.so"))
    cudart = empty_library(folder / "libcudart.so.13")  # the device's folder has the real one
    run(
        *(compiler(), "-w", "-O1", "-fPIC", "-shared", binding, "-o", target),
        *("-DCUPY_CACHE_KEY=host_cuda", "-D_FORCE_INLINES=1", '-DCYTHON_EXTERN_C=extern "C"'),
        f"-I{sysconfig.get_path('include')}",
        *(f"-I{toolkit / 'include'}", "-Wl,--no-as-needed", cudart),
    )
    cudart.unlink()
    for module, replacement in REPLACED.items():
        one(site.glob(f"{module}.*.so")).unlink()
        shutil.copy(HERE / replacement, site / f"{module}.py")
    names = sorted(set(re.findall(r"_L\.get\(f?'(\w+)", driver_names(source))))
    (folder / "driver_names").write_text("\n".join(names) + "\n")
    shutil.rmtree(source)
    shutil.rmtree(folder / "tools")


def empty_library(path: Path) -> Path:
    """A library without functions, to link to another of its name."""
    source = path.with_suffix(".cpp")
    source.write_text("")
    run(compiler(), "-shared", "-fPIC", source, "-o", path, f"-Wl,-soname,{path.name}")
    source.unlink()
    return path


def one(found: Iterator[Path]) -> Path:
    """The only path."""
    (path,) = found
    return path


def driver_names(source: Path) -> str:
    """The text in which CuPy names the driver's functions that it looks up."""
    return (source / "cupy_backends/cuda/api/_driver_extern.pxi").read_text()


def fetch_source(folder: Path) -> Path:
    """CuPy's source distribution, unpacked."""
    archive = folder / "source.tar.gz"
    run(sys.executable, HERE / "sdist.py", "cupy", CUPY, archive)
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    archive.unlink()
    return folder / f"cupy-{CUPY}"


def translate_runtime(folder: Path, source: Path) -> Path:
    """CuPy's binding of the CUDA runtime as C++."""
    tools = folder / "tools"
    pip("install", "--target", tools, CYTHON)
    values = {
        "CUPY_CUDA_VERSION": 13000,
        "CUPY_HIP_VERSION": 0,
        "CUPY_USE_CUDA_PYTHON": False,
        "CUPY_CUFFT_STATIC": False,
        "CUPY_CYTHON_VERSION": "3",
    }
    binding = "cupy_backends/cuda/api/runtime.pyx"
    run(
        *(sys.executable, "-m", "cython", "-3", "--cplus", binding),
        *("-X", "embedsignature=True", "-X", "binding=False"),
        *("-E", ",".join(f"{name}={value}" for name, value in values.items())),
        cwd=source,
        env={"PYTHONPATH": str(tools)},
    )
    return (source / binding).with_suffix(".cpp")
