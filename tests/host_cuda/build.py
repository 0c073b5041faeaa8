"""Build the emulated CUDA device, and the real CuPy on top of it.

    python tests/host_cuda/build.py             print the environment to use it by, as JSON
    eval "$(python tests/host_cuda/build.py --shell)"; python -c "import cupy; print(cupy.arange(3))"

It needs g++ and pip. CUDA's headers are those of ``$CUDA_PATH`` or ``/usr/local/cuda``, or, where there
is no toolkit, of NVIDIA's wheels. What is built lies in a cache, in folders named by a hash of all that
goes into them; so a second call returns at once, and a changed source file is a new build. A folder
gets its name when it is complete, under a lock: two processes that build at once build once, and one
that is killed leaves nothing that another would use.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import stubs

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "src"
DEVICE = SOURCE / "device"  # headers that kernels are compiled with

CUPY = "14.2.0"
CUDA = "13.0"  # whose interface src/ implements
CYTHON = "cython>=3.2,<3.3"  # what CuPy's pyproject.toml asks for
TOOLKIT_WHEELS = ("nvidia-cuda-runtime", "nvidia-cuda-crt", "nvidia-cuda-cccl")

WARNINGS = ["-Wall", "-Wextra"]
KERNEL_FLAGS = [
    *("-w", "-x", "c++", "-std=c++17", "-O1", "-pipe", "-fPIC", "-shared"),
    *("-fno-exceptions", "-fno-rtti", "-fno-asynchronous-unwind-tables"),
    *("-fno-threadsafe-statics", "-fno-gnu-unique", "-fno-semantic-interposition"),
    *("-fno-strict-aliasing", "-ffp-contract=off", "-fwrapv"),
]


def main() -> None:
    """Build what is missing, and print the environment."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), help="where to build; by default %(default)s"
    )
    parser.add_argument("--shell", action="store_true", help="print export lines for a shell")
    options = parser.parse_args()
    environment = build(options.cache)
    if options.shell:
        for name, value in environment.items():
            print(f"export {name}={shlex.quote(value)}")
    else:
        print(json.dumps(environment, indent=2))


def default_cache() -> Path:
    """``$HOST_CUDA_CACHE``, else a folder in the user's cache."""
    if os.environ.get("HOST_CUDA_CACHE"):
        return Path(os.environ["HOST_CUDA_CACHE"]).absolute()
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user) / "host_cuda"


def build(cache: Path) -> dict[str, str]:
    """Build what the cache lacks.

    Returns
    -------
    dict
        The environment variables under which Python finds CuPy and the emulated device.
    """
    cache = cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    toolkit = find_toolkit(cache)
    cupy = published(
        cache / f"cupy-{key_of_cupy(toolkit)}",
        lambda folder: build_cupy(folder, toolkit),
    )
    device = published(
        cache / f"device-{key_of_device(cupy)}",
        lambda folder: build_device(folder, cupy, toolkit),
    )
    kernels = cache / "kernels"
    kernels.mkdir(exist_ok=True)
    return {
        "HOST_CUDA": str(device),
        "HOST_CUDA_KERNELS": str(kernels),
        "PYTHONPATH": str(cupy / "site"),
        "LD_LIBRARY_PATH": str(device / "lib"),
        "CUDA_PATH": str(toolkit),
        "CUPY_ACCELERATORS": "",  # CUB and cuTENSOR are not emulated
        "CUPY_CACHE_IN_MEMORY": "1",  # compiled kernels are kept by the emulation itself
    }


# --- folders that are complete or not there -------------------------------------------------------


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes wait for; the system opens it when this process ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def published(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder, made by ``make(part)`` and renamed, unless it is there."""
    if folder.exists():
        return folder
    with locked(folder.with_name(folder.name + ".lock")):
        if folder.exists():  # another process has built it while this one waited
            return folder
        for left_over in folder.parent.glob(folder.name + ".part-*"):  # of a process killed
            shutil.rmtree(left_over)
        part = Path(tempfile.mkdtemp(prefix=folder.name + ".part-", dir=folder.parent))
        make(part)
        part.chmod(0o755)
        part.rename(folder)
    return folder


def digest(*parts: str | bytes) -> str:
    """Twelve hexadecimal digits that stand for the parts."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()[:12]


def contents(paths: list[Path]) -> bytes:
    """The names and contents of files, for a hash."""
    return b"".join(
        str(path.relative_to(HERE)).encode() + b"\0" + path.read_bytes() + b"\0"
        for path in sorted(paths)
    )


# --- tools ----------------------------------------------------------------------------------------


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command; its output, or an error that shows what it printed."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{shlex.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout


def compiler() -> str:
    """The C++ compiler: ``$CXX``, else g++. Its precompiled headers are g++'s."""
    name = os.environ.get("CXX", "g++")
    if shutil.which(name) is None:
        raise SystemExit(f"expected a C++ compiler, g++ or what CXX names, but there is no {name}")
    return name


def compiler_version() -> str:
    """What the compiler says of itself."""
    return run(compiler(), "--version").splitlines()[0]


def pip(*arguments: str | Path) -> None:
    """Run the pip of this Python."""
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def find_toolkit(cache: Path) -> Path:
    """A folder with ``include/cuda_runtime_api.h``: a toolkit's, or one made from wheels."""
    for place in (os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        header = Path(place or "", "include", "cuda.h")
        if place and header.is_file() and major_version(header) == int(CUDA.split(".")[0]):
            return Path(place)
    name = digest(CUDA, *TOOLKIT_WHEELS)
    return published(cache / f"toolkit-{name}", download_toolkit)


def major_version(header: Path) -> int:
    """The major version of CUDA that ``cuda.h`` is of."""
    found = re.search(r"#define CUDA_VERSION (\d+)", header.read_text(errors="replace"))
    return int(found[1]) // 1000 if found else 0


def download_toolkit(folder: Path) -> None:
    """Take the headers from NVIDIA's wheels."""
    wheels = [f"{name}=={CUDA}.*" for name in TOOLKIT_WHEELS]
    pip("install", "--no-deps", "--target", folder / "wheels", *wheels)
    found = list(folder.glob("wheels/**/cuda_runtime_api.h"))
    if not found:
        raise SystemExit(f"expected cuda_runtime_api.h in the wheels {', '.join(wheels)}")
    shutil.copytree(found[0].parent, folder / "include")
    shutil.rmtree(folder / "wheels")


# --- CuPy -----------------------------------------------------------------------------------------


def key_of_cupy(toolkit: Path) -> str:
    """What CuPy's folder depends on."""
    return digest(
        CUPY,
        CYTHON,
        sysconfig.get_config_var("SOABI") or sys.version,
        compiler_version(),
        (toolkit / "include" / "cuda.h").read_bytes(),
        (HERE / "thrust.py").read_bytes(),
        Path(__file__).read_bytes(),
    )


def build_cupy(folder: Path, toolkit: Path) -> None:
    """Install CuPy's wheel, and put in place of two of its modules what uses the emulation.

    The wheel's binding of the CUDA runtime has NVIDIA's runtime linked into it. It is compiled anew
    from CuPy's source distribution, to use the emulated one. The module ``thrust``, which sorts, holds
    compiled device code, so ``thrust.py`` replaces it.
    """
    site = folder / "site"
    pip("install", "--no-deps", "--target", site, f"cupy-cuda13x=={CUPY}", "cuda-pathfinder")
    source = fetch_source(folder)
    binding = translate_runtime(folder, source)
    target = one(site.glob("cupy_backends/cuda/api/runtime.*.so"))
    run(
        *(compiler(), "-w", "-O1", "-fPIC", "-shared", binding, "-o", target),
        *("-DCUPY_CACHE_KEY=host_cuda", "-D_FORCE_INLINES=1", '-DCYTHON_EXTERN_C=extern "C"'),
        f"-I{sysconfig.get_path('include')}",
        f"-I{toolkit / 'include'}",
    )
    one(site.glob("cupy/cuda/thrust.*.so")).unlink()
    shutil.copy(HERE / "thrust.py", site / "cupy" / "cuda" / "thrust.py")
    names = sorted(set(re.findall(r"_L\.get\(f?'(\w+)", driver_names(source))))
    (folder / "driver_names").write_text("\n".join(names) + "\n")
    shutil.rmtree(source)
    shutil.rmtree(folder / "tools")


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


# --- the device -----------------------------------------------------------------------------------


def key_of_device(cupy: Path) -> str:
    """What the device's folder depends on."""
    files = [path for path in SOURCE.rglob("*") if path.is_file()]
    return digest(contents([*files, HERE / "build.py", HERE / "stubs.py"]), cupy.name)


def build_device(folder: Path, cupy: Path, toolkit: Path) -> None:
    """Compile the library, those that stand in for NVIDIA's, and what kernels are compiled with."""
    lib = folder / "lib"
    lib.mkdir()
    compile_library(folder, lib / "libhost_cuda.so", toolkit)
    stubs.write_libraries(lib, cupy, compiler())
    prepare_kernels(folder, cupy, toolkit)


def compile_library(folder: Path, library: Path, toolkit: Path) -> None:
    """All of ``src/*.cpp`` in one shared library."""
    objects = folder / "objects"
    objects.mkdir()
    sources = sorted(SOURCE.glob("*.cpp"))

    def compile_one(source: Path) -> Path:
        target = objects / (source.stem + ".o")
        flags = ["-std=c++17", "-O2", "-g1", "-fPIC", "-fvisibility=hidden", "-U_FORTIFY_SOURCE"]
        include = f"-I{toolkit / 'include'}"
        run(compiler(), *WARNINGS, *flags, include, "-c", source, "-o", target)
        return target

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        compiled = list(pool.map(compile_one, sources))
    run(compiler(), "-shared", *compiled, "-o", library, "-ldl", "-lpthread")
    shutil.rmtree(objects)


def prepare_kernels(folder: Path, cupy: Path, toolkit: Path) -> None:
    """Precompile the headers of kernels; write down the compiler's command and its fingerprint."""
    include = folder / "include"
    shutil.copytree(DEVICE, include)
    headers = [f"-I{include}", f"-I{cupy / 'site/cupy/_core/include'}", f"-I{toolkit / 'include'}"]
    flags = [flag for flag in KERNEL_FLAGS if flag != "-shared"]
    source = include / "precompiled.h"
    as_header = ["c++-header" if flag == "c++" else flag for flag in flags]
    final = Path(re.sub(r"\.part-\w+$", "", str(folder)))
    run(compiler(), *as_header, *headers, source, "-o", source.with_suffix(".h.gch"))
    words = [compiler(), *KERNEL_FLAGS, "-include", str(source), *headers]
    words = [word.replace(str(folder), str(final)) for word in words]
    (folder / "compiler").write_text("\n".join(words) + "\n")
    text = digest(
        contents([path for path in DEVICE.rglob("*") if path.is_file()]),
        cupy.name,
        compiler_version(),
        *KERNEL_FLAGS,
    )
    (folder / "fingerprint").write_text(text)


if __name__ == "__main__":
    main()
