"""The libraries that CuPy's wheel links to: emulated functions, and stubs that fail for the others.

In place of a library that CuPy loads, such as ``libcublas.so.13``, there is a small one that links to
``libhost_cuda.so``, which holds the emulated functions. For each of the others it has a stub, which
prints its own name and returns the library's status for "not supported".
"""

import re
import subprocess
from pathlib import Path

DEVICE = "libhost_cuda.so"
NOT_SUPPORTED = {  # the status of each library
    "libcublas.so.13": 15,
    "libcusolver.so.12": 9,
    "libcufft.so.12": 16,
    "libcurand.so.10": 999,  # cuRAND has no such status: an internal error
    "libcusparse.so.12": 10,
    "libnvrtc.so.13": 11,
    "libcudart.so.13": 801,
    "libcuda.so.1": 801,
}
LOOKED_FOR = ("libcublasLt.so.13", "libcudss.so", "libnvJitLink.so.13")  # loaded, never called


def symbols(kind: str, library: Path) -> str:
    """The dynamic symbols of a library, as ``nm`` lists them."""
    return subprocess.run(
        ["nm", "-D", kind, library], capture_output=True, text=True, check=True
    ).stdout


def needed(cupy: Path) -> dict[str, set[str]]:
    """The functions that CuPy's compiled modules import from each library."""
    names: dict[str, set[str]] = {library: set() for library in NOT_SUPPORTED}
    for module in (cupy / "site").glob("cupy*/**/*.so"):
        for name, version in re.findall(r" U (\w+)@(\S+)", symbols("--undefined-only", module)):
            if version in names:
                names[version].add(name)
    (runtime,) = (cupy / "site").glob("cupy_backends/cuda/api/runtime.*.so")
    unbound = re.findall(r" U (cuda\w+)\n", symbols("--undefined-only", runtime))
    names["libcudart.so.13"].update(unbound)
    suffixed = ("DevicePrimaryCtxRelease", "CtxCreate", "CtxDestroy", "ModuleGetGlobal")
    suffixed += ("LinkCreate", "LinkAddData", "LinkAddFile")
    for name in (cupy / "driver_names").read_text().split():
        names["libcuda.so.1"].add(f"cu{name}_v2" if name in suffixed else f"cu{name}")
    return names


def refusals(names: list[str], status: int) -> str:
    """C++ code in which each function prints its name and fails."""
    lines = [
        f'extern "C" int {name}() {{ '
        f'std::fprintf(stderr, "host_cuda: {name} is not emulated\\n"); return {status}; }}\n'
        for name in names
    ]
    return "#include <cstdio>\n" + "".join(lines)


def write_libraries(lib: Path, cupy: Path, compiler: str) -> None:
    """Write every library that CuPy loads into the folder ``lib``, beside the device's library."""
    emulated = set(re.findall(r" T (\w+)", symbols("--defined-only", lib / DEVICE)))
    source = lib / "stubs.cpp"
    missing = []
    for library, names in needed(cupy).items():
        refused = sorted(names - emulated)
        missing += [f"{library} {name}" for name in refused]
        source.write_text(refusals(refused, NOT_SUPPORTED[library]))
        link(compiler, source, lib / library, uses_device=True)
    for library in LOOKED_FOR:
        source.write_text(refusals([], 0))
        link(compiler, source, lib / library, uses_device=False)
    source.unlink()
    (lib / "not_emulated").write_text("\n".join(missing) + "\n")


def link(compiler: str, source: Path, library: Path, *, uses_device: bool) -> None:
    """Compile and link one of these libraries."""
    device = ["-Wl,--no-as-needed", f"-L{library.parent}", "-lhost_cuda", "-Wl,-rpath,$ORIGIN"]
    command = [compiler, "-w", "-shared", "-fPIC", str(source), "-o", str(library)]
    command += [f"-Wl,-soname,{library.name}", *(device if uses_device else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
