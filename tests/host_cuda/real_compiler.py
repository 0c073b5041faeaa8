"""Check that xpnet's kernels compile with NVIDIA's own compiler, which needs no GPU either.

    python -m tests.host_cuda.real_compiler          in the environment that build.py prints

The emulated device compiles kernels with g++, which accepts more of C++ and of the host's headers than
a device's compiler does. So the tests of kernels run once, the sources that CuPy passes to NVRTC are
kept, and NVIDIA's NVRTC compiles those that belong to xpnet. Its wheel is installed into the cache of
the emulated device: beside CuPy, it would be loaded in place of the emulation's. Exit code 1: a kernel
does not compile, or there was none.
"""

import ctypes
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.host_cuda.steps import CUDA, pip, published

TESTS = [
    "tests/kernels",
    "tests/compiler/test_cupy_executor.py",
    "tests/compiler/test_cupy_graph.py",
]
GRAPHICS = "-arch=compute_90"  # a Hopper GPU
Source = tuple[str, tuple[str, ...]]


def main() -> int:
    """Keep the sources; or, in a process without the emulation, compile the sources in a file."""
    if len(sys.argv) == 3:
        library, file = sys.argv[1:]
        return compile_all(ctypes.CDLL(library), json.loads(Path(file).read_text("utf-8")))
    cache = Path(os.environ["HOST_CUDA"]).parent
    library = downloaded(cache)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "sources.json")
        file.write_text(json.dumps(kept_sources()), "utf-8")
        command = [sys.executable, "-m", "tests.host_cuda.real_compiler", library, file]
        env = {**os.environ, "LD_LIBRARY_PATH": str(library.parent)}
        return subprocess.run(command, env=env, check=False).returncode


def downloaded(cache: Path) -> Path:
    """The path of NVIDIA's library, from its wheel."""
    wheel = f"nvidia-cuda-nvrtc=={CUDA}.*"
    folder = published(
        cache / f"nvrtc-{CUDA}",
        lambda part: pip("install", "--no-deps", "--target", part, wheel),
    )
    (library,) = folder.glob("nvidia/*/lib/libnvrtc.so.*[0-9]")
    return library


def kept_sources() -> list[Source]:
    """The sources with a kernel of xpnet's that CuPy compiles in the tests, and their options.

    Raises
    ------
    SystemExit
        The tests failed.
    """
    program = importlib.import_module("cupy.cuda.compiler")._NVRTCProgram
    kept: dict[Source, None] = {}
    source_of = {}
    create = program.__init__
    compiled = program.compile

    def keep_source(self, source, *rest, **options):
        source_of[self] = source
        create(self, source, *rest, **options)

    def keep_options(self, options=(), *rest, **more):
        source = source_of.pop(self)
        if is_ours(source):
            kept[source, tuple(options)] = None
        return compiled(self, options, *rest, **more)

    program.__init__ = keep_source
    program.compile = keep_options
    code = pytest.main(["-q", "-p", "no:cacheprovider", *TESTS])
    program.__init__ = create
    program.compile = compiled
    if code:
        raise SystemExit("expected the tests of the kernels to pass, before NVRTC compiles these")
    return list(kept)


def is_ours(source: str) -> bool:
    """Whether the source holds one of xpnet's kernels, not one of CuPy's own."""
    return "cupy_" not in source.partition("__global__")[2].partition("(")[0]


def compile_all(library: ctypes.CDLL, sources: list[Source]) -> int:
    """Compile each source, print those that fail, and return the exit code."""
    failed = 0
    for source, options in sources:
        flags = [flag for flag in options if not flag.startswith("-arch")]
        log = compile_one(library, source, [*flags, GRAPHICS])
        if log:
            failed += 1
            print(f"{source}\n{log}\n{'-' * 80}")
    print(f"NVRTC compiled {len(sources) - failed} of {len(sources)} sources of xpnet's kernels")
    return int(failed > 0 or not sources)


def compile_one(library: ctypes.CDLL, source: str, flags: list[str]) -> str:
    """Compile a source; the compiler's messages if that fails, else an empty string."""
    program = ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), None, 0, None, None)
    words = (ctypes.c_char_p * len(flags))(*[flag.encode() for flag in flags])
    code = library.nvrtcCompileProgram(program, len(flags), words)
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value + 1)
    library.nvrtcGetProgramLog(program, log)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return f"error {code}: {log.value.decode()}" if code else ""


if __name__ == "__main__":
    sys.exit(main())
