"""What must hold before xpnet is released: one session per question.

    nox                          the sessions that need no large download, hours or idle machine
    nox -s "tests(numpy)"        one session;  -- -k loss  passes the rest to pytest
    nox -l                       the list, with what each session shows

Every session creates an environment of its own, with only the packages that it needs.
"""

import ast
import ctypes
import json
import os
import platform
import re
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "virtualenv"  # pip's settings apply in it: torch, below
nox.options.sessions = [
    "lint",
    "types",
    "tests(numpy)",
    "c",
    "distributed",
    "onnx",
    "page",
    "docs",
    "estimators(oldest)",
    "estimators(newest)",
    "tests(array_api_strict)",
    "tests(cupy)",
    "cupy_names",
    "cuda_compiler",
    "conformance",
    "examples",
    "build",
]

PROJECT = nox.project.load_toml("pyproject.toml")["project"]
EXTRAS = PROJECT["optional-dependencies"]
DEV = EXTRAS["dev"]

# The tests multiply small matrices, for which BLAS would start a thread on every core of a large
# machine. A value that the environment already has is kept.
THREADS = str(min(os.cpu_count() or 1, 4))
BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Where Python may not keep bytecode, each process that a test starts would compile xpnet, which is half of
# the time that it takes to start; and each session would compile the tests, which takes 10 s.
ENV: dict[str, str | None] = {
    "PYTHONDONTWRITEBYTECODE": None,
    **{name: os.environ.get(name, THREADS) for name in BLAS},
}


# C that people write: its format is that of the .clang-format beside it.
C_FILES = sorted(str(path) for path in Path("xpnet/compiler/c").glob("*.[ch]"))


def tools(*names: str) -> list[str]:
    """The requirements of these packages in the extra `dev` of pyproject.toml."""
    stated = {re.split(r"[^\w-]", requirement)[0]: requirement for requirement in DEV}
    return [stated[name] for name in names]


def run_module(session: nox.Session, *command: str, env: dict[str, str | None]) -> None:
    """Run `python -m` with these arguments; traced, where the session `coverage` asks for it.

    Tracing doubles the time. Each process writes a file of its own (`parallel` in pyproject.toml).
    """
    if os.environ.get("XPNET_TRACED"):
        session.install(*tools("coverage"))
        session.run("coverage", "run", "-m", *command, env=env)
    else:
        session.run("python", "-m", *command, env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Rules and format (ruff, clang-format), imports that run one way (import-linter), limits (radon, lizard)."""
    session.install(*tools("ruff", "import-linter", "radon", "clang-format", "lizard"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-cache")
    session.run("python", "tests/style.py")
    session.run("clang-format", "--dry-run", "-Werror", *C_FILES)
    # The limits of tests/style.py; a function's length includes its head.
    session.run("lizard", "--CCN", "15", "--length", "40", "--warnings_only", *C_FILES)


@nox.session
def types(session: nox.Session) -> None:
    """The annotations of xpnet/ are consistent: mypy, strict."""
    session.install("-e", ".", *tools("mypy"))
    session.run("mypy")


# --- tests, a session for each library ------------------------------------------------------------

INSTALLED = {  # what to install for a library: xpnet's extras, then packages
    # What is the same for all libraries is tested only here: metrics against scikit-learn, downloads, logs, files.
    "numpy": (
        "arrow,data,keras,plots,tensorboard,zarr",
        tools("nox", "openpyxl", "pandas", "polars", "radon", "scikit-learn", "wheel", "xarray"),
    ),
    # A fixed version, so that a failure is caused by a change of ours. Where the package index has a
    # CPU build, pip prefers it (2.13.0+cpu), and this is 200 MB. The default build for Linux downloads
    # gigabytes of CUDA, which is why this session runs only when it is named.
    # Its exporters write ONNX files, which are read.
    "torch": ("onnx,plots,torch", ["torch==2.13.0", *tools("onnxruntime", "onnxscript")]),
    "jax": ("plots,jax", []),
    # For a GPU. Without one, the emulated device brings its own CuPy: see `cuda_device`.
    "cupy": ("plots,cuda{major}", []),
}


def libraries() -> list[str]:
    """The names of xpnet's array libraries: `NAMES` in xpnet/_libraries/__init__.py.

    The file is read, not imported, since xpnet is not installed where nox runs.
    """
    source = Path("xpnet/_libraries/__init__.py").read_text(encoding="utf-8")
    stated = re.search(r"^NAMES = (.*)$", source, re.MULTILINE)
    return list(ast.literal_eval(stated[1]))


# By default, the package with the library's name.
BACKENDS = {name: INSTALLED.get(name, ("plots", [name.replace("_", "-")])) for name in libraries()}
# Tests that have a session of their own, and do not run in that of their library as well.
ELSEWHERE = {
    # `examples`, `c`, `distributed`, `docs`, `onnx`, `notebooks` and `page`
    "numpy": (
        *("tests/examples", "tests/compiler/c", "tests/distributed", "tests/docs", "tests/onnx"),
        *("tests/notebooks", "tests/report/drawing"),
    ),
    # `cuda_compiler`, on the emulated device, and `cupy_names`; on a GPU all of them run here.
    "cupy": (
        "tests/kernels",
        "tests/compiler/test_cupy_executor.py",
        "tests/compiler/test_cupy_graph.py",
        "tests/test_cupy_names.py",
    ),
}
# These need scikit-learn, also to be collected: they run in the sessions `estimators`, on NumPy.
ESTIMATORS = ("tests/estimators", "xpnet/estimators")
# That estimators follow the arrays they are given is tested on the libraries that have a device too.
FOLLOWING = ("torch", "jax", "cupy")


def estimators_left_out(backend: str) -> list[str]:
    """The tests of the estimators that do not run in a library's own session."""
    if backend not in FOLLOWING:
        return list(ESTIMATORS)
    files = sorted(Path("tests/estimators").glob("test_*.py"))
    return ["xpnet/estimators", *(str(x) for x in files if x.name != "test_arrays.py")]


@nox.session
@nox.parametrize("backend", [nox.param(name, id=name) for name in BACKENDS])
def tests(session: nox.Session, backend: str) -> None:
    """The tests, on one library; doctests too.

    Those on CuPy run on a GPU if there is one, else on the emulated CUDA device.
    """
    extras, packages = BACKENDS[backend]
    env = ENV | {"XPNET_TEST_BACKENDS": backend}
    if backend == "cupy":
        extras, more = cuda_device(session, extras)
        env |= more
    # The strict library is small, and also stands in as "another library" in tests of mixing.
    runner = tools(
        *("array-api-extra", "array-api-strict", "einops", "hypothesis", "mpmath"),
        *("pytest", "scipy"),
    )
    if backend in FOLLOWING:
        runner += tools("scikit-learn")
    session.install("-e", f".[{extras}]", *packages, *runner)
    if backend == "jax":
        env |= hurried(session)
    left_out = estimators_left_out(backend)
    on_a_gpu = "XPNET_REQUIRE_GPU" in env
    if not session.posargs and not on_a_gpu:
        left_out += ELSEWHERE.get(backend, ())
    # Slow tests run in the sessions `examples` and `mutants`; here they would run on every library.
    pytest = ["pytest", "-m", "not slow", *(f"--ignore={path}" for path in left_out)]
    pytest += session.posargs
    run_module(session, *pytest, env=env)


@nox.session
def c(session: nox.Session) -> None:
    """The C functions of compiled steps, one by one, against NumPy. It needs a C compiler."""
    require_compiler(session, "gcc", "clang", "cc")
    session.install("-e", ".", *tools("hypothesis", "mpmath", "pytest"))
    env = ENV | {"XPNET_TEST_BACKENDS": "numpy"}
    run_module(session, "pytest", "-m", "not slow", "tests/compiler/c", *session.posargs, env=env)


@nox.session
def distributed(session: nox.Session) -> None:
    """Trainings on 2 and on 4 ranks, by MPI and by threads: the results of one rank, and what happens if a rank fails.

    The slow tests are part of it: twenty kills of 2 ranks and of 4, and 1,000 steps of 64 ranks. MPICH comes
    from PyPI, and needs no network interface. Without a wheel for this system, the tests that start processes
    are skipped.
    """
    session.install("-e", ".[mpi]", *tools("array-api-strict", "hypothesis", "pytest"))
    env = ENV | {"XPNET_TEST_BACKENDS": "numpy"} | dict.fromkeys(BLAS, "1")  # ranks share the cores
    paths = ("tests/distributed", "xpnet/distributed")  # the latter has examples that need mpi4py
    run_module(session, "pytest", *paths, *session.posargs, env=env)


@nox.session
def onnx(session: nox.Session) -> None:
    """ONNX Runtime computes what networks do that were written to ONNX files, and the other way round."""
    needed = ("array-api-strict", "hypothesis", "onnxruntime", "pytest", "scikit-learn", "skl2onnx")
    session.install("-e", ".[onnx]", *tools(*needed))
    env = ENV | {"XPNET_TEST_BACKENDS": "numpy"}
    run_module(session, "pytest", "-m", "not slow", "tests/onnx", *session.posargs, env=env)


@nox.session
def page(session: nox.Session) -> None:
    """The page on which one draws a digit, in headless Chromium: strokes of known digits, keys, widths, colours.

    It needs Chromium or Chrome, and npm, which fetches onnxruntime-web once into the user's cache; without them
    the tests that open the page are skipped, with the reason.
    """
    session.install("-e", ".[onnx,plots]", *tools("onnxruntime", "pytest"))
    env = ENV | {"XPNET_TEST_BACKENDS": "numpy"}
    run_module(
        session, "pytest", "-m", "not slow", "tests/report/drawing", *session.posargs, env=env
    )


@nox.session
def keras(session: nox.Session) -> None:
    """Models of Keras and of xpnet with each other's weights compute the same; .keras files are read.

    Keras computes with JAX here. Plain nox does not run it: the layouts are tested without Keras too.
    """
    session.install("-e", ".[jax,keras]", "keras>=3.8", *tools("array-api-strict", "pytest"))
    env = ENV | {"XPNET_TEST_BACKENDS": "numpy", "KERAS_BACKEND": "jax"}
    files = ("tests/saving/test_keras.py", "tests/saving/test_keras_itself.py")
    session.run("python", "-m", "pytest", *files, *session.posargs, env=env)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, in English and Korean, is built without a warning, into docs/_build/html; then it is checked.

    Every public name is in the reference; code runs, and is the same in both languages; no link is dead; and in
    headless Chromium every page fits a screen and a phone, and axe-core finds nothing. Without Chromium, or without
    npm, which fetches axe-core once into the user's cache, these tests are skipped, with the reason.
    """
    session.install("-e", ".[docs,onnx,plots,sklearn]", *tools("pytest"))
    session.run("python", "-m", "docs.builder", env=ENV)
    env = ENV | {"XPNET_TEST_BACKENDS": "numpy"}
    session.run("python", "-m", "pytest", "tests/docs", *session.posargs, env=env)


@nox.session
def gallery(session: nox.Session) -> None:
    """Every program of the gallery runs, and prints what its page says; this takes about four minutes.

    The session `docs` runs those that take at most 10 s, which are most of them.
    """
    session.install("-e", ".[docs,plots]", *tools("pytest"))
    env = ENV | {"XPNET_GALLERY": "1", "XPNET_TEST_BACKENDS": "numpy"}
    session.run("python", "-m", "pytest", "tests/docs/test_gallery.py", *session.posargs, env=env)


@nox.session
def notebooks(session: nox.Session) -> None:
    """xpnet in notebooks: the README's blocks, the gallery, outputs, interrupts, reloads; then in JupyterLab.

    Plain nox does not run it: JupyterLab brings a hundred packages, and it takes some minutes. Most of what was found
    here has tests of its own in the other sessions. Without Chromium, the tests that open JupyterLab are skipped,
    with the reason.
    """
    needed = ("ipykernel", "jupyterlab", "nbclient", "nbformat", "pytest")
    session.install("-e", ".[plots,sklearn]", *tools(*needed))
    env = ENV | {"XPNET_TEST_BACKENDS": "numpy"}
    session.run("python", "-m", "pytest", "tests/notebooks", *session.posargs, env=env)


def require_compiler(session: nox.Session, *names: str) -> None:
    """End the session as failed if none of these C compilers is on the PATH: its tests would all be skipped."""
    if not any(map(shutil.which, names)):
        session.error(
            f"This session needs a C compiler: {' or '.join(names)}. Install one of them."
        )


def cuda_device(session: nox.Session, extras: str) -> tuple[str, dict[str, str]]:
    """The extras and the environment for CuPy: for this machine's GPU, else for the emulated device.

    The emulated device needs g++, and takes about a minute to build.
    """
    cuda, reason = cuda_of_driver()
    if not reason:
        session.log(f"CuPy runs on a GPU, whose driver supports CUDA up to {cuda / 1000:.1f}.")
        extras = extras.format(major=min(cuda // 1000, 13))
        return extras, {"XPNET_REQUIRE_GPU": "1"}  # from here on a skip would hide a failure
    if os.environ.get("XPNET_REQUIRE_GPU") == "1":
        session.error(f"XPNET_REQUIRE_GPU=1, but {reason}")
    session.log(f"CuPy runs on the EMULATED CUDA device of tests/host_cuda: {reason}.")
    return extras.replace(",cuda{major}", ""), emulated_device(session)


def emulated_device(session: nox.Session) -> dict[str, str]:
    """The environment of the emulated CUDA device, which is built first if necessary."""
    env: dict[str, str] = json.loads(session.run("python", "tests/host_cuda/build.py", silent=True))
    # The empty entry is the checkout, which tests import from.
    path = os.pathsep.join(["", env["PYTHONPATH"]])
    return env | {"PYTHONPATH": path}


def hurried(session: nox.Session) -> dict[str, str]:
    """XLA's flags to compile without optimizations: this halves JAX's time, as most code runs once.

    Empty if this version of JAX does not know one of them: the process would end.
    """
    flags = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    env = {"XLA_FLAGS": flags}
    printed = session.run(
        *("python", "-c", "import jax; print(jax.numpy.zeros(1).shape)"),
        env=env,
        silent=True,
        success_codes=range(-64, 256),
    )
    return env if "(1,)" in printed else {}


def cuda_of_driver() -> tuple[int, str]:
    """The newest CUDA of this machine's driver (13000 is 13.0), or the reason why it cannot be used.

    It queries the driver, not Python packages, so that CuPy's 2 GB are not installed in vain.
    """
    version, count = ctypes.c_int(0), ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return 0, "no NVIDIA driver is installed (libcuda cannot be loaded)"
    if hasattr(driver, "host_cuda_counts"):
        return 0, "no NVIDIA driver is loaded: libcuda is that of the emulated device"
    driver.cuDriverGetVersion(ctypes.byref(version))
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if count.value == 0:
        return 0, f"the NVIDIA driver finds no GPU (CUDA error {code})"
    if version.value < 12000:
        return 0, f"the NVIDIA driver supports CUDA {version.value / 1000:.1f}; CuPy 14 needs 12.0"
    return version.value, ""


# Only CuPy's wheels are downloaded, not CUDA: CuPy can be imported without it, and without a driver.
CUPY_VERSIONS = {"oldest": "cuda12", "newest": "cuda13"}


@nox.session
@nox.parametrize("version", [nox.param(name, id=name) for name in CUPY_VERSIONS])
def cupy_names(session: nox.Session, version: str) -> None:
    """The oldest CuPy allowed and the newest have every name and keyword that xpnet uses."""
    (requirement,) = EXTRAS[CUPY_VERSIONS[version]]
    requirement = requirement.replace("[ctk]", "")
    if version == "oldest":
        requirement = oldest_of(requirement)
    session.install("-e", ".", requirement, *tools("pytest"))
    session.run("python", "tests/cupy_names.py")
    env = ENV | {"XPNET_TEST_BACKENDS": "numpy"}
    session.run("python", "-m", "pytest", "tests/test_cupy_names.py", *session.posargs, env=env)


SKLEARN_VERSIONS = ("oldest", "newest")


@nox.session
@nox.parametrize("version", [nox.param(name, id=name) for name in SKLEARN_VERSIONS])
def estimators(session: nox.Session, version: str) -> None:
    """The estimators, with the oldest scikit-learn allowed and the newest: its own checks, and that results are equal.

    `-- -m slow` also compares scores on eight data sets.
    """
    (requirement,) = EXTRAS["sklearn"]
    if version == "oldest":
        requirement = oldest_of(requirement)
    runner = tools("array-api-strict", "hypothesis", "pandas", "polars", "pytest", "skops")
    session.install("-e", ".", requirement, *runner)
    env = ENV | {"XPNET_TEST_BACKENDS": "numpy,array_api_strict", "SCIPY_ARRAY_API": "1"}
    chosen = session.posargs or ("-m", "not slow")
    # scikit-learn 1.6 itself gives pytest a generator as parameters.
    quiet = ("-W", "ignore:Passing a non-Collection iterable")
    run_module(session, "pytest", *quiet, "tests/estimators", "xpnet/estimators", *chosen, env=env)


@nox.session
def sweeps(session: nox.Session) -> None:
    """The programs of docs/sweeps.md find good parameters, on local workers of Optuna, Dask and Ray Tune.

    Plain nox does not run it: Ray alone is 79 MB, and starts a cluster of its own.
    """
    searched = ("optuna", "dask[distributed]", "ray[tune]")
    session.install("-e", ".[sklearn]", *searched, *tools("pytest"))
    # No variables for threads: the tests set one for each worker.
    file = "tests/estimators/test_sweeps.py"
    env = {"XPNET_TEST_BACKENDS": "numpy"}
    session.run("python", "-m", "pytest", file, *session.posargs, env=env)


@nox.session
def oldest(session: nox.Session) -> None:
    """The tests on NumPy, with the oldest version of each dependency that pyproject.toml allows.

    Plain nox does not run it: a bound becomes wrong only if it changes, or the code that relies on it.
    """
    extras = ("arrow", "data", "plots", "tensorboard", "zarr")
    allowed = [*PROJECT["dependencies"], *(r for extra in extras for r in EXTRAS[extra])]
    # Without array-api-extra, which needs a newer array-api-compat; its tests skip.
    runner = tools(
        "array-api-strict", "einops", "hypothesis", "mpmath", "pytest", "scikit-learn", "scipy"
    )
    session.install("-e", ".", *map(oldest_of, allowed), *runner)
    env = ENV | {"XPNET_TEST_BACKENDS": "numpy"}
    left_out = [f"--ignore={path}" for path in ("tests/examples", *ESTIMATORS)]
    pytest = ("pytest", "-m", "not slow", *left_out, *session.posargs)
    session.run("python", "-m", *pytest, env=env)


def oldest_of(requirement: str) -> str:
    """A requirement for the oldest version that the given one allows: "a>=1.2,<3" is "a==1.2"."""
    return re.sub(r">=([\w.]+).*", r"==\1", requirement)


@nox.session
def mutants(session: nox.Session) -> None:
    """A test fails for almost every small fault in the lines that changed since a revision.

    Plain nox does not run it, as it takes hours. Its arguments choose the faults:
    nox -s mutants -- --since REV --count 200 --seed 1
    """
    tested_with = tools(
        *("array-api-extra", "array-api-strict", "einops", "hypothesis", "mpmath", "pytest"),
        *("scikit-learn", "scipy", "xarray"),
    )
    session.install("-e", ".[data,plots]", *tested_with)
    session.run("python", "-m", "pytest", "-q", "tests/test_mutation.py", env=ENV)
    session.run("python", "tests/mutation.py", *session.posargs, env=ENV)


@nox.session
def cuda_compiler(session: nox.Session) -> None:
    """xpnet's kernels for CuPy compile with NVIDIA's own compiler, which needs no GPU."""
    session.install("-e", ".", *tools("array-api-strict", "hypothesis", "pytest"))
    env = ENV | {"XPNET_TEST_BACKENDS": "cupy"} | emulated_device(session)
    # This program runs the tests of the kernels.
    run_module(session, "tests.host_cuda.real_compiler", env=env)


@nox.session
def conformance(session: nox.Session) -> None:
    """The standard's own suite on xpnet.functions: no failure that NumPy itself does not have.

    The suite is not on PyPI. ARRAY_API_TESTS names a checkout of data-apis/array-api-tests with
    its submodule; without one the session is skipped. `-- --library numpy array_api_strict torch`
    runs it on all three. The counts of the last such run are in docs/conformance.md.
    """
    checkout = os.environ.get("ARRAY_API_TESTS")
    if not checkout:
        session.skip(
            "ARRAY_API_TESTS is not set. The suite is not a package: clone data-apis/array-api-tests "
            "with --recurse-submodules, and set ARRAY_API_TESTS to its folder."
        )
    session.install("-e", ".", "-r", str(Path(checkout) / "requirements.txt"))
    packages = {"array_api_strict": tools("array-api-strict"), "torch": BACKENDS["torch"][1]}
    for library in packages.keys() & set(session.posargs):
        session.install(*packages[library])
    session.run("python", "tests/conformance.py", checkout, *session.posargs, env=ENV)


# Whose tests together run all code of xpnet but that of optional libraries: see [tool.coverage.run].
COVERED = (
    *("tests(numpy)", "cuda_compiler", "c", "distributed", "onnx", "page"),
    "estimators(newest)",
)


@nox.session
def coverage(session: nox.Session) -> None:
    """The tests on NumPy, with those of CuPy's kernels, cover 95 % of xpnet/, lines and branches.

    It runs the sessions in COVERED itself, traced, which takes most of an hour: plain nox does not.
    `-- -R` reuses their environments.
    """
    session.install(*tools("coverage"))
    session.run("coverage", "erase")
    sessions = (sys.executable, "-m", "nox", *session.posargs, "--sessions", *COVERED)
    session.run(*sessions, env={"XPNET_TRACED": "1"}, external=True)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


# --- what a user does with xpnet ------------------------------------------------------------------


@nox.session
def examples(session: nox.Session) -> None:
    """Every program in examples/ runs and prints its numbers, the slow ones too."""
    session.install("-e", ".[examples]", *tools("hypothesis", "pytest"))
    env = ENV | {"XPNET_TEST_BACKENDS": "numpy"}
    session.run("python", "-m", "pytest", "tests/examples", *session.posargs, env=env)


@nox.session
def build(session: nox.Session) -> None:
    """The wheel, in a clean environment and away from the sources, learns MNIST to 98 %.

    The wheel is made from the sdist, so both are complete. The size of the install is checked too.
    """
    session.install(*tools("build"))
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder)
    session.run("python", "-m", "build", "--outdir", str(folder / "dist"))
    session.run("python", "-m", "venv", str(folder / "clean"))
    commands = folder / "clean" / ("Scripts" if os.name == "nt" else "bin")
    (wheel,) = (folder / "dist").glob("*.whl")
    pip = (str(commands / "python"), "-m", "pip")
    session.run(*pip, "install", "--quiet", str(wheel), external=True)
    session.log(f"Wheel: {wheel.stat().st_size / 1e6:.1f} MB.")
    weigh(session, folder / "clean")

    env = ENV | {"PYTHONPATH": "", "XPNET_BACKEND": ""}
    with session.chdir(folder):
        xpnet = str(commands / "xpnet")
        session.run(xpnet, "--version", env=env, external=True)
        session.run(xpnet, "train", "mnist", "--out", "run", env=env, external=True)
    result = json.loads((folder / "run" / "config.json").read_text())
    accuracy = result["test_accuracy"]
    session.log(f"Test accuracy: {accuracy:.2%}, after {result['seconds']:.1f} s of training.")
    if accuracy < 0.98:
        session.error(f"xpnet train mnist reached {accuracy:.2%}; it should reach 98 %.")


def weigh(session: nox.Session, environment: Path) -> None:
    """The packages that xpnet needs take at most 83.6 MB (of 2^20 bytes), without pip; xpnet at most 9.4, without MNIST.

    Of xpnet's, 5.6 MB are the bytecode that pip writes, and 3.7 the sources; the compiler has 2.1 MB of both, ONNX
    0.8, the estimators, the adapters and `distributed` 0.5 together. The C libraries for the processors of a
    platform, which its wheel holds, take at most 1.25 MB more.
    """
    package = next(environment.rglob("xpnet/__init__.py")).parent
    binaries = package / "compiler" / "c" / "binaries"
    tools_of_venv = ("_distutils_hack", "distutils", "pip", "pkg_resources", "setuptools")
    files = [
        path
        for path in package.parent.rglob("*")
        if path.is_file()
        and not path.is_relative_to(package / "data" / "mnist")
        and not path.is_relative_to(binaries)
        and not path.relative_to(package.parent).parts[0].startswith(tools_of_venv)
    ]
    # Bytecode contains the path of its source. The length of this folder's name is subtracted, so
    # that the size does not depend on where the checkout is.
    name = len(str(package.parent))
    sizes = {path: path.stat().st_size - name * (path.suffix == ".pyc") for path in files}
    own = sum(size for path, size in sizes.items() if path.is_relative_to(package))
    others = sum(sizes.values()) - own
    session.log(
        f"xpnet without MNIST: {own / 2**20:.2f} MB; other packages: {others / 2**20:.2f} MB."
    )
    if others > 83.6 * 2**20:
        session.error("The packages take more than 83.6 MB; has one of them gained a dependency?")
    if own > 9.4 * 2**20:
        session.error("xpnet takes more than 9.4 MB without MNIST.")
    libraries = sum(path.stat().st_size for path in binaries.rglob("*") if path.is_file())
    session.log(f"The C libraries: {libraries / 2**20:.2f} MB.")
    if libraries > 1.25 * 2**20:
        session.error("The C libraries are larger than 1.25 MB.")


# The tag of the wheel for a system, by how the names of its libraries begin. Every other system installs the wheel
# without libraries: Linux with musl, Windows on ARM.
WHEELS = {
    "xpnet-linux-x86-64": "manylinux_2_17_x86_64",
    "xpnet-linux-aarch64": "manylinux_2_17_aarch64",
    "xpnet-macos": "macosx_11_0_universal2",
    "xpnet-windows-x86-64": "win_amd64",
}


@nox.session
def wheels(session: nox.Session) -> None:
    """Wheels for Linux, Windows and macOS, with the compiled library in them, and one for all others, without.

    On Linux, that for this machine is installed: it trains without a compiler, and its size is checked. Plain nox
    does not run this session, because it takes zig, a compiler of 400 MB that makes the libraries of all
    systems on one machine. Without such a wheel the library is compiled where a C compiler is found.
    """
    here = tag_of_this_machine()
    if here is None:
        session.warn(
            f"The wheels are made, but none is run: none of those for Linux is for this machine "
            f"({platform.system()}, {platform.machine()}, {platform.libc_ver()[0] or 'no glibc'})."
        )
    session.install("-e", ".", *tools("build", "wheel", "ziglang"))
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder)
    binaries = folder / "binaries"
    session.run("python", "-m", "xpnet.compiler.c.build", "--zig", "--out", str(binaries))
    session.run("python", "-m", "build", "--wheel", "--outdir", str(folder / "wheels"))
    (pure,) = (folder / "wheels").glob("*.whl")
    for start, tag in WHEELS.items():
        with_binaries(session, pure, sorted(binaries.glob(f"{start}*")), tag)

    if here is not None:
        (wheel,) = (folder / "wheels").glob(f"*{here}.whl")
        run_without_compiler(session, wheel, folder)


def tag_of_this_machine() -> str | None:
    """The tag of the wheel that this machine can run: only those for Linux, with glibc, are run."""
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return None
    return WHEELS.get(f"xpnet-linux-{platform.machine().replace('_', '-')}")


def run_without_compiler(session: nox.Session, wheel: Path, folder: Path) -> None:
    """Install a wheel, train with the compiled library that is in it, and check the size of the install."""
    session.run("python", "-m", "venv", str(folder / "clean"))
    commands = folder / "clean" / "bin"
    pip = (str(commands / "python"), "-m", "pip")
    session.run(*pip, "install", "--quiet", str(wheel), external=True)
    env = ENV | {"PYTHONPATH": "", "XPNET_BACKEND": "", "XPNET_EXECUTOR": "c"}
    # No compiler, and an empty cache.
    env |= {"PATH": str(commands), "CC": "", "XDG_CACHE_HOME": str(folder / "cache")}
    with session.chdir(folder):
        xpnet = str(commands / "xpnet")
        printed = session.run(xpnet, "doctor", env=env, external=True, silent=True)
        if "C library for compiled steps: binary for" not in printed:
            session.error(f"The C library of the wheel is not used:\n{printed}")
        train = ("train", "mnist", "--epochs", "1", "--out", "run")
        session.run(xpnet, *train, env=env, external=True)
    weigh(session, folder / "clean")


def with_binaries(session: nox.Session, pure: Path, libraries: list[Path], tag: str) -> None:
    """Write a copy of a wheel that has these libraries, and is for the platform of that tag."""
    unpacked = pure.parent / "unpacked"
    session.run("python", "-m", "wheel", "unpack", "--dest", str(unpacked), str(pure))
    (content,) = unpacked.iterdir()
    folder = content / "xpnet" / "compiler" / "c" / "binaries"
    folder.mkdir()
    for library in libraries:
        shutil.copy(library, folder)
    (metadata,) = content.glob("*.dist-info/WHEEL")
    text = metadata.read_text(encoding="utf-8")
    for general, particular in (("Purelib: true", "Purelib: false"), ("none-any", f"none-{tag}")):
        if text.count(general) != 1:
            session.error(f"Expected {general!r} once in the wheel's metadata, but got:\n{text}")
        text = text.replace(general, particular)
    metadata.write_text(text, encoding="utf-8")
    session.run("python", "-m", "wheel", "pack", "--dest-dir", str(pure.parent), str(content))
    shutil.rmtree(unpacked)
    (wheel,) = pure.parent.glob(f"*{tag}.whl")
    session.log(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB.")


@nox.session
def sanitized(session: nox.Session) -> None:
    """The C code reads and writes only its own memory, and computes nothing that C leaves undefined.

    The tests of the C functions run under the address and undefined-behavior sanitizers; then, without
    them, once more as compiled for older processors. Plain nox does not run it: it takes a quarter of an
    hour. It needs gcc, with its sanitizers.
    """
    require_compiler(session, "gcc")
    query = ("gcc", "-print-file-name=libasan.so")
    if not Path(session.run(*query, external=True, silent=True).strip()).is_absolute():
        session.error("This session needs gcc's address sanitizer, libasan. Install it.")
    session.install("-e", ".", *tools("hypothesis", "mpmath", "pytest", "ziglang"))
    env = ENV | {"XPNET_TEST_BACKENDS": "numpy"}
    command = ("python", "-m", "pytest", "tests/compiler/c", *session.posargs)
    session.run(*command, "-m", "slow", env=env)
    if platform.machine().lower() not in ("x86_64", "amd64"):
        session.log("Only those of x86-64 have older kinds that are compiled for.")
        return
    for march in ("x86-64-v3", "x86-64-v2"):
        older = env | {"XPNET_TEST_MARCH": march}
        # test_build.py calls no function of the library that is compiled so.
        session.run(
            *command, "-m", "not slow", "--ignore=tests/compiler/c/test_build.py", env=older
        )


# What bench runs, in this order. What the first ones measure goes to benchmarks/results, and from there
# into docs/performance.md.
RACES = {
    "table": ["table.py"],
    "threads": ["table.py", "--threads", "2", "--chunks", "5"],
    "scaling": ["scaling.py"],
    "sequences": ["sequences.py"],
    "end_to_end": ["end_to_end.py"],
}
PROGRAMS = RACES | {
    name: [f"{name}.py"]
    for name in ("gpu", "import_time", "overhead", "products", "step", "windows")
}


@nox.session
def bench(session: nox.Session) -> None:
    """The figures that we publish are within their limits: steps, scaling, an import, a node.

    It writes them into docs/performance.md. Plain nox does not run it: other load on the machine would
    decide the result. It takes about an hour, with PyTorch, JAX, MyGrad and Keras as peers, and needs a C
    compiler. `-- table step` runs only these programs.
    """
    session.install("-e", ".[plots]", *BACKENDS["torch"][1], "jax", "keras", "mygrad")
    # On some machines OPENBLAS_CORETYPE is set, to a kernel that halves NumPy's speed.
    env = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": None}
    session.run("python", "-m", "xpnet.compiler.c.build", env=env)  # now, not while time is taken
    failed = []
    for name, (program, *options) in PROGRAMS.items():
        if session.posargs and name not in session.posargs:
            continue
        command = ["python", f"benchmarks/{program}", *options, "--check"]
        if name in RACES:
            command += ["--out", f"benchmarks/results/{name}.json"]
        try:  # the others run even if one of them exceeds its limit
            session.run(*command, env=env)
        except nox.command.CommandFailed:
            failed.append(name)
    session.run("python", "benchmarks/report.py", env=env)
    if failed:
        session.error(f"A limit is exceeded, or a program failed: {', '.join(failed)}.")
