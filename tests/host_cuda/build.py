"""Build the emulated CUDA device, and the real CuPy on top of it.

    python tests/host_cuda/build.py             print the environment in which to use it, as JSON
    eval "$(python tests/host_cuda/build.py --shell)"; python -c "import cupy; print(cupy.arange(3))"

It needs g++ and pip. CUDA's headers come from ``$CUDA_PATH`` or ``/usr/local/cuda``, or, if there is no
toolkit, from NVIDIA's wheels. The results lie in a cache, in folders named by a hash of everything that
goes into them; so a second call returns at once, and a changed source file is built anew. A folder gets
its name when it is complete, under a lock: processes that start at the same time build once, and a
process that is killed leaves nothing that another would use.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import stubs
from cupy_wheel import build_cupy, key_of_cupy
from steps import CUDA, HERE, compiler, compiler_version, contents, digest, pip, published, run

SOURCE = HERE / "src"
DEVICE = SOURCE / "device"  # headers that kernels are compiled with

TOOLKIT_WHEELS = (  # the wheels with the headers that src/ and CuPy's binding of the runtime include
    "nvidia-cuda-runtime",
    "nvidia-cuda-crt",
    "nvidia-cuda-cccl",
    "nvidia-cuda-profiler-api",
)

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
    parser.add_argument(
        "--wheels", action="store_true", help="take CUDA's headers from wheels despite a toolkit"
    )
    options = parser.parse_args()
    environment = build(options.cache, wheels=options.wheels)
    sys.stdout.write(exports(environment) if options.shell else json.dumps(environment, indent=2))
    sys.stdout.write("\n")


def exports(environment: dict[str, str]) -> str:
    """The environment as lines for a shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())


def default_cache() -> Path:
    """``$HOST_CUDA_CACHE``, else a folder in the user's cache."""
    if os.environ.get("HOST_CUDA_CACHE"):
        return Path(os.environ["HOST_CUDA_CACHE"]).absolute()
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user) / "host_cuda"


def build(cache: Path, *, wheels: bool = False) -> dict[str, str]:
    """Build what the cache lacks.

    Parameters
    ----------
    cache : Path
        The folder to build in.
    wheels : bool
        Take CUDA's headers from NVIDIA's wheels even if there is a toolkit.

    Returns
    -------
    dict
        The environment variables under which Python finds CuPy and the emulated device.
    """
    cache = cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    toolkit = None if wheels else find_toolkit()
    if toolkit is None:
        name = digest(CUDA, *TOOLKIT_WHEELS)
        toolkit = published(cache / f"toolkit-{name}", download_toolkit)
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
        "CUPY_CACHE_IN_MEMORY": "1",  # the emulation has its own cache of compiled kernels
    }


# --- CUDA's headers -------------------------------------------------------------------------------


def find_toolkit() -> Path | None:
    """The toolkit in ``$CUDA_PATH`` or ``/usr/local/cuda``, if its major version is the right one."""
    for place in (os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        header = Path(place or "", "include", "cuda.h")
        if place and header.is_file() and major_version(header) == int(CUDA.split(".")[0]):
            return Path(place)
    return None


def major_version(header: Path) -> int:
    """The major version of CUDA to which ``cuda.h`` belongs."""
    found = re.search(r"#define CUDA_VERSION (\d+)", header.read_text(errors="replace"))
    return int(found[1]) // 1000 if found else 0


def download_toolkit(folder: Path) -> None:
    """Take the headers from NVIDIA's wheels."""
    wheels = [f"{name}=={CUDA}.*" for name in TOOLKIT_WHEELS]
    pip("install", "--no-deps", "--target", folder / "wheels", *wheels)
    found = list(folder.glob("wheels/**/cuda_runtime_api.h"))
    if not found:
        raise SystemExit(
            f"expected cuda_runtime_api.h in the wheels {', '.join(wheels)}, but found none: install "
            "a CUDA toolkit, and set CUDA_PATH"
        )
    shutil.copytree(found[0].parent, folder / "include")
    shutil.rmtree(folder / "wheels")


# --- the device -----------------------------------------------------------------------------------


def key_of_device(cupy: Path) -> str:
    """A hash of everything that the device's folder depends on."""
    files = [path for path in SOURCE.rglob("*") if path.is_file()]
    return digest(contents([*files, HERE / "build.py", HERE / "stubs.py"]), cupy.name)


def build_device(folder: Path, cupy: Path, toolkit: Path) -> None:
    """Compile the device's library, the stand-ins for NVIDIA's, and the headers of kernels."""
    lib = folder / "lib"
    lib.mkdir()
    compile_library(folder, lib / "libhost_cuda.so", toolkit)
    stubs.write_libraries(lib, cupy, compiler())
    prepare_kernels(folder, cupy, toolkit)


def compile_library(folder: Path, library: Path, toolkit: Path) -> None:
    """Compile ``src/*.cpp`` into one shared library."""
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
    """Precompile the headers of kernels; save the compiler's command and its fingerprint."""
    include = folder / "include"
    shutil.copytree(DEVICE, include)
    headers = [f"-I{include}", f"-I{cupy / 'site/cupy/_core/include'}", f"-I{toolkit / 'include'}"]
    flags = [flag for flag in KERNEL_FLAGS if flag != "-shared"]
    source = include / "prelude.h"
    as_header = ["c++-header" if flag == "c++" else flag for flag in flags]
    final = Path(re.sub(r"\.part-\w+$", "", str(folder)))
    run(compiler(), *as_header, *headers, source, "-o", source.with_suffix(".h.gch"))
    linker = ["-fuse-ld=gold"] if shutil.which("ld.gold") else []  # starts faster than the default
    words = [compiler(), *KERNEL_FLAGS, *linker, "-include", str(source), *headers]
    words = [word.replace(str(folder), str(final)) for word in words]
    (folder / "compiler").write_text("\n".join(words) + "\n")
    fingerprint = digest(
        contents([path for path in DEVICE.rglob("*") if path.is_file()]),
        cupy.name,
        compiler_version(),
        *KERNEL_FLAGS,
    )
    (folder / "fingerprint").write_text(fingerprint)


if __name__ == "__main__":
    main()
