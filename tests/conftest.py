"""One test, every backend.

`backend` runs a test once on each array library, with its arrays born in float32 on

* NumPy, whose arrays `array` makes read-only: writing into an input is an error;
* array-api-strict, on pretended devices: mixing devices, a hidden transfer to the host, a call
  that the standard does not have, or (on `no_float64`) a float64 that crept in is an error;
* PyTorch and JAX on the CPU;
* CuPy on a GPU if there is one, else on the emulated CUDA device of tests/host_cuda, in whose
  environment `nox -s "tests(cupy)"` starts pytest: then the tests are named `[cupy (emulated)]`.

`backend64` is the same in float64, for comparisons with differences and formulas.

XPNET_TEST_BACKENDS=numpy,torch chooses libraries; what is chosen must be there. Without it, what
is missing is skipped, with the reason. XPNET_REQUIRE_GPU=1 makes a missing GPU an error, and
refuses the emulation.
"""

import os
import signal

import pytest

import xpnet
from tests.host_cuda import device as host_cuda
from xpnet import backend as switch
from xpnet._libraries import LIBRARIES

collect_ignore = ["cupy_names.py"]  # a program that imports CuPy; no doctests are in it

SPECS = {name: [name] for name in LIBRARIES} | {
    "array_api_strict": ["array_api_strict:device1", "array_api_strict:no_float64"],
}
NAMED_THERE = ("cli", "data")  # folders of tests in which the name of a library is a flag's value
ORDERS = {library: (1,) if library == "jax" else (1, 2) for library in SPECS}
CHOSEN = [name for name in os.environ.get("XPNET_TEST_BACKENDS", "").split(",") if name]
if unknown := set(CHOSEN) - set(SPECS):
    raise pytest.UsageError(f"XPNET_TEST_BACKENDS: unknown {sorted(unknown)}; of {list(SPECS)}")


if os.environ.get("XPNET_REQUIRE_GPU") == "1" and host_cuda.emulated():
    raise pytest.UsageError("XPNET_REQUIRE_GPU=1, but the CUDA of this process is the emulation")


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory):
    """What xpnet remembers of the user it remembers in a folder of the tests."""
    folder = tmp_path_factory.mktemp("state")
    names = ("XDG_STATE_HOME", "LOCALAPPDATA")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(folder)))
    yield folder
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


def pytest_report_header():
    """A line at the start of the run with the CUDA device that the tests on CuPy use."""
    if "cupy" not in (CHOSEN or SPECS):
        return None
    try:
        return f"CuPy: {switch.resolve('cupy').describe()}"
    except xpnet.BackendError as error:
        return f"CuPy: {error}"


def _named(spec):
    """The spec as it appears in test names, which show whether the device is emulated."""
    return f"{spec} (emulated)" if spec == "cupy" and host_cuda.emulated() else spec


def _specs(dtype):
    """The specs to run on, those that cannot run here marked as skipped for what they lack."""
    for library in CHOSEN or SPECS:
        for spec in SPECS[library]:
            if dtype == "float64" and spec.endswith("no_float64"):
                continue
            required = bool(CHOSEN) or (library == "cupy" and os.environ.get("XPNET_REQUIRE_GPU"))
            marks = []
            if not required:
                try:
                    switch.resolve(spec)
                except xpnet.BackendError as error:
                    marks = [pytest.mark.skip(reason=str(error))]
            yield pytest.param(spec, marks=marks, id=_named(spec))


@pytest.fixture(params=_specs("float32"))
def backend(request):
    """The backend in force for the test, in float32."""
    with xpnet.using(request.param) as backend:
        yield backend


@pytest.fixture(params=_specs("float64"))
def backend64(request):
    """The backend in force for the test, in float64."""
    with xpnet.using(request.param, dtype="float64") as backend:
        yield backend


@pytest.fixture
def cupy_backend():
    """CuPy, as the current backend in float32, for features that only CuPy has."""
    required = "cupy" in CHOSEN or os.environ.get("XPNET_REQUIRE_GPU")
    try:
        switch.resolve("cupy")
    except xpnet.BackendError as error:
        if required:
            raise
        pytest.skip(str(error))
    with xpnet.using("cupy") as backend:
        yield backend


@pytest.fixture
def xp(backend):
    """The namespace of `backend`."""
    return backend.xp


def read_only(x):
    """`x`, a NumPy array made read-only; other libraries' arrays as they are."""
    if hasattr(x, "flags") and hasattr(x.flags, "writeable"):
        x.flags.writeable = False
    return x


@pytest.fixture
def array(request):
    """A function that makes an array of the test's backend; on NumPy, a read-only one."""
    name = "backend64" if "backend64" in request.fixturenames else "backend"
    backend = request.getfixturevalue(name)
    return lambda values, dtype=None: read_only(backend.asarray(values, dtype))


@pytest.fixture
def eager(request):
    """For what has nothing to do with the library: not again on JAX, which compiles each shape."""
    name = "backend64" if "backend64" in request.fixturenames else "backend"
    if request.getfixturevalue(name).name.startswith("jax"):
        pytest.skip("JAX compiles each function for each shape; this is shown on other libraries")


@pytest.fixture
def traced(backend):
    """A function `(f, *arrays) -> f(*arrays)`, for tests of dtypes and of what stays on a device.

    On JAX it goes by shapes and dtypes alone: nothing is compiled, and what asks for a number is an
    error.
    """
    if not backend.name.startswith("jax"):
        return lambda f, *arrays: f(*arrays)
    import jax

    return jax.eval_shape


@pytest.fixture
def order(request):
    """Of the derivatives to check: 2, but 1 on JAX, which compiles each function for each shape."""
    return max(ORDERS[request.getfixturevalue("backend64").name.partition(":")[0]])


def pytest_collection_modifyitems(config, items):
    """Leave out what is not about the libraries that are chosen.

    What is the same whatever the library runs once: in the session of NumPy. Elsewhere there run the
    tests that take a `backend`, and files that name the library: tests that ask it by itself, or
    take it for the oracle. What only CuPy has runs in CuPy's session.
    """
    if not CHOSEN:
        return
    named = set() if "numpy" in CHOSEN else naming_a_chosen_library({item.path for item in items})
    left = {item: None for item in items if not is_for_chosen(item, named)}
    config.hook.pytest_deselected(items=list(left))
    items[:] = [item for item in items if item not in left]


def naming_a_chosen_library(paths):
    """The files whose text has the name of a chosen library, as a module or as a package.

    Not those of the command line and of the data, for which the name is a flag's value.
    """
    words = {*CHOSEN, *(name.replace("_", "-") for name in CHOSEN)}
    texts = {path: path.read_text("utf-8") for path in paths if path.parent.name not in NAMED_THERE}
    return {path for path, text in texts.items() if any(word in text for word in words)}


def is_for_chosen(item, named):
    """Whether a test is to run with the libraries that are chosen."""
    fixtures = getattr(item, "fixturenames", ())
    if "cupy_backend" in fixtures and "cupy" not in CHOSEN:
        return False
    return "numpy" in CHOSEN or "backend" in str(fixtures) or item.path in named


@pytest.fixture(autouse=True, scope="session")
def interruptible():
    """Ctrl-C works in the programs that tests start, even if these run in a shell's background.

    Such a shell has its jobs ignore it, and what is ignored is inherited.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def no_state_leaks():
    """A test that changes the switch for the run, or leaves recording off, fails."""
    switch.current()  # the first question sets the default
    before = switch._run, switch._block.get()
    yield
    assert (switch._run, switch._block.get()) == before
    assert xpnet.autodiff.tape.recording.get()
