"""The C functions of xpnet/compiler/c, compiled and loaded, to be called on their own.

`library("chain")` compiles chain.c for the processor at hand, once per session, and returns it as a
ctypes library; `library("chain", "reduce")` links two files. A file that uses NAME() of vector.h is
compiled twice, for float32 and for float64.

XPNET_TEST_MARCH=x86-64-v2 compiles for another processor than the one at hand.
XPNET_TEST_EXAMPLES=1000 draws more examples than 60 for each test.
XPNET_TEST_SANITIZE=1 compiles with the address and the undefined-behavior sanitizer. The process must
then have been started with the sanitizer's library preloaded: test_sanitized.py does so.
"""

import ctypes
import functools
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from xpnet.compiler.c import build
from xpnet.compiler.c.load import Library

SOURCES = build.SOURCES
FLAGS = [*build.FLAGS, f"-march={os.environ.get('XPNET_TEST_MARCH', 'native')}", "-Werror"]
SANITIZE = [
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
    *("-g", "-O1"),
]
SUFFIXES = {"f32": np.float32, "f64": np.float64}
EXAMPLES = hypothesis.settings(
    deadline=None, max_examples=int(os.environ.get("XPNET_TEST_EXAMPLES", "60"))
)
COMPILER = shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")


def sanitized():
    """Whether this process compiles with sanitizers."""
    return os.environ.get("XPNET_TEST_SANITIZE") == "1"


def flags():
    """The compiler's flags in this session."""
    return FLAGS + (SANITIZE if sanitized() else [])


def commands(names, folder, more=()):
    """The commands that compile files, for each size of numbers if they depend on it; by the objects."""
    found = {}
    for name in names:
        source = SOURCES / f"{name}.c"
        by_size = "NAME(" in source.read_text(encoding="utf-8")
        for bits in build.SIZES if by_size else build.SIZES[:1]:
            target = folder / f"{name}-{bits}.o"
            optimized = [] if sanitized() else [build.optimization(source)]
            chosen = [*optimized, *more, f"-DREAL_BITS={bits}"]
            found[target] = [COMPILER, *flags(), *chosen, "-c", str(source), "-o", str(target)]
    return found


def call(command):
    """Run the compiler; the sanitizer's library, which this process may have loaded, is not for it."""
    environment = {name: x for name, x in os.environ.items() if name != "LD_PRELOAD"}
    subprocess.run(command, check=True, env=environment)


def compiled(names, folder, more=()):
    """Compile files that are not compiled yet, several at a time, and link them to a library."""
    wanted = commands(names, folder, more)
    missing = [command for target, command in wanted.items() if not target.exists()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(call, missing))
    target = folder / ("-".join(names) + ".so")
    link = [COMPILER, *flags(), "-shared", "-pthread", "-Wl,-Bsymbolic", *map(str, wanted)]
    call([*link, "-o", str(target), "-lm"])
    return ctypes.CDLL(str(target))


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """A function that compiles files of xpnet/compiler/c by their names, and loads them."""
    if COMPILER is None:
        pytest.skip("no C compiler: gcc, clang or cc is needed to test the C sources on their own")
    folder = tmp_path_factory.mktemp("c")

    @functools.cache
    def load(*names):
        return compiled(names, folder)

    return load


@pytest.fixture(scope="module")
def plans(library):
    """The whole C library, as it runs plans, compiled for the tests of C."""
    compiled = library(*sorted(x.stem for x in SOURCES.glob("*.c")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "sources_digest", lambda: "")
        yield Library(Path(compiled._name), "compiled", "tests")


@pytest.fixture(params=SUFFIXES)
def suffix(request):
    """The end of the names of the functions for one size of numbers: f32 or f64."""
    return request.param


@pytest.fixture
def dtype(suffix):
    """The dtype of the functions whose names end in `suffix`."""
    return np.dtype(SUFFIXES[suffix])
