"""Fixtures that run a test on every backend.

`backend` runs a test once on each array library, with arrays created in float32 on

* NumPy, whose arrays `array` makes read-only: writing into an input is an error;
* array-api-strict, on a simulated device: mixing devices, a hidden transfer to the host, a call
  that the standard does not have, or an unexpected float64 is an error;
* PyTorch and JAX on the CPU;
* CuPy on a GPU if there is one, else on the emulated CUDA device of tests/host_cuda, in whose
  environment `nox -s "tests(cupy)"` starts pytest: then the tests are named `[cupy (emulated)]`.

`backend64` is the same in float64, for comparisons with differences and formulas, and for tests that
need both widths.

XPNET_TEST_BACKENDS=numpy,torch chooses libraries, which must then be installed. Without it, tests on
a library that is missing are skipped, with the reason. XPNET_REQUIRE_GPU=1 makes a missing GPU an
error, and refuses the emulation.
"""

import os
import signal
from zlib import crc32

import pytest

import xpnet
from tests.host_cuda import device as host_cuda
from tests.selection import is_for_chosen, missing_packages
from xpnet import backend as switch
from xpnet._libraries import LIBRARIES
from xpnet.functions import fft, linalg, special  # noqa: F401 - they declare their functions

collect_ignore = ["cupy_names.py"]  # a program that imports CuPy, without doctests

SPECS = {  # by dtype and library
    dtype: {name: name for name in LIBRARIES} | {"array_api_strict": f"array_api_strict:{device}"}
    for dtype, device in (("float32", "no_float64"), ("float64", "device1"))
}
ORDERS = dict.fromkeys(LIBRARIES, (1, 2)) | {"jax": (1,)}  # the orders of derivatives to check
CHOSEN = [name for name in os.environ.get("XPNET_TEST_BACKENDS", "").split(",") if name]
if unknown := set(CHOSEN) - set(LIBRARIES):
    raise pytest.UsageError(
        f"XPNET_TEST_BACKENDS expected some of {list(LIBRARIES)}, got {sorted(unknown)}"
    )
GPU_IS_REQUIRED = os.environ.get("XPNET_REQUIRE_GPU") == "1"
if GPU_IS_REQUIRED and host_cuda.emulated():
    raise pytest.UsageError("XPNET_REQUIRE_GPU=1, but the CUDA of this process is the emulation")


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory):
    """A folder for what xpnet stores about its user, in place of the user's own."""
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
    if "cupy" not in (CHOSEN or LIBRARIES):
        return None
    try:
        return f"CuPy: {switch.resolve('cupy').describe()}"
    except xpnet.BackendError as error:
        return f"CuPy: {error}"


def _named(spec):
    """The spec as it appears in test names, which show whether the device is emulated."""
    return f"{spec} (emulated)" if spec == "cupy" and host_cuda.emulated() else spec


def _is_required(library):
    """Whether a library that cannot be used here is an error; otherwise its tests are skipped."""
    return library in CHOSEN or (library == "cupy" and GPU_IS_REQUIRED)


def _specs(dtype):
    """The specs to run on; those that cannot run here are marked as skipped, with the reason."""
    for library in CHOSEN or LIBRARIES:
        spec = SPECS[dtype][library]
        marks = []
        if not _is_required(library):
            try:
                switch.resolve(spec)
            except xpnet.BackendError as error:
                marks = [pytest.mark.skip(reason=str(error))]
        yield pytest.param(spec, marks=marks, id=_named(spec))


@pytest.fixture(params=_specs("float32"))
def backend(request):
    """The current backend of the test, in float32."""
    with xpnet.using(request.param) as backend:
        yield backend


@pytest.fixture(params=_specs("float64"))
def backend64(request):
    """The current backend of the test, in float64."""
    with xpnet.using(request.param, dtype="float64") as backend:
        yield backend


@pytest.fixture
def cupy_backend():
    """CuPy, as the current backend in float32, for features that only CuPy has."""
    try:
        switch.resolve("cupy")
    except xpnet.BackendError as error:
        if _is_required("cupy"):
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
    """For tests that do not depend on the library: skip JAX, which compiles each shape."""
    name = "backend64" if "backend64" in request.fixturenames else "backend"
    if request.getfixturevalue(name).name.startswith("jax"):
        pytest.skip("JAX compiles each function for each shape; this is shown on other libraries")


@pytest.fixture
def sampled(request):
    """For tests of many cases that hardly depend on the library: on JAX run every eighth of them.

    JAX compiles each function for each shape. All cases run on the other libraries, and on JAX each
    function runs in tests/functions: its values, and its derivatives of the first order.
    """
    case = request.node.callspec
    name = case.params["backend64" if "backend64" in case.params else "backend"]
    if name.startswith("jax") and crc32(case.id.encode()) % 8:
        pytest.skip("JAX compiles each function for each shape; there, every eighth case is run")


@pytest.fixture
def traced(backend):
    """A function `(f, *arrays) -> f(*arrays)`, for tests of dtypes and of what stays on a device.

    On JAX it computes shapes and dtypes only: nothing is compiled, and reading a number is an error.
    """
    if not backend.name.startswith("jax"):
        return lambda f, *arrays: f(*arrays)
    import jax

    return jax.eval_shape


@pytest.fixture
def order(request):
    """The highest order of derivatives to check: 2, but 1 on JAX, which compiles each shape."""
    return max(ORDERS[request.getfixturevalue("backend64").name.partition(":")[0]])


def pytest_collection_modifyitems(config, items):
    """Leave out tests that are not about the chosen libraries; skip examples whose packages are missing."""
    for item in items:
        for name in missing_packages(item):
            item.add_marker(pytest.mark.skip(reason=f"the example needs {name}"))
    if not CHOSEN:
        return
    chosen = []
    others = []
    for item in items:
        if is_for_chosen(item, CHOSEN):
            chosen.append(item)
        else:
            others.append(item)
    config.hook.pytest_deselected(items=others)
    items[:] = chosen


@pytest.fixture(autouse=True, scope="session")
def interruptible():
    """Ctrl-C works in the programs that tests start, even if the tests run in a shell's background.

    A shell has its background jobs ignore SIGINT, and child processes inherit that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def no_state_leaks():
    """A test fails that changes the switch for the run, or leaves recording off."""
    switch.current()  # the first call sets the default
    before = switch._run, switch._block.get()
    yield
    assert (switch._run, switch._block.get()) == before
    assert xpnet.autodiff.tape.recording.get()
