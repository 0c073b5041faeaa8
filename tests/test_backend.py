"""The switch: which backends, devices and dtypes it accepts, and the errors for all others."""

import os
import re
import subprocess
import sys
import threading

import array_api_compat as compat
import numpy as np
import pytest

import xpnet
from xpnet import (
    BackendError,
    Variable,
    backend as switch,
    current,
    functions as F,
    to_numpy,
    use,
    using,
)
from xpnet._libraries import LIBRARIES, library_of
from xpnet._libraries.devices import device_key
from xpnet.backend import array_like, resolve
from xpnet.testing import assert_close


@pytest.fixture
def fresh_switch(monkeypatch):
    """The switch before its first use; it is restored after the test."""
    monkeypatch.setattr(switch, "_run", None)
    monkeypatch.delenv("XPNET_BACKEND", raising=False)


def test_numpy_is_the_default(fresh_switch):
    """Without use, using or XPNET_BACKEND, the backend is NumPy, on the CPU, in float32."""
    backend = current()
    assert (backend.name, backend.device, backend.dtype) == ("numpy", "cpu", np.float32)


def test_the_environment_selects_the_backend(fresh_switch, monkeypatch):
    """XPNET_BACKEND decides if neither use nor using was called."""
    monkeypatch.setenv("XPNET_BACKEND", "array_api_strict:device2")
    assert current().name == "array_api_strict:device2"


def test_an_unknown_backend_in_the_environment_raises(fresh_switch, monkeypatch):
    """A misspelt name does not fall back to NumPy."""
    monkeypatch.setenv("XPNET_BACKEND", "nunpy")
    with pytest.raises(BackendError, match="Unknown backend 'nunpy'"):
        current()


def test_use_holds_for_every_thread(fresh_switch):
    """use holds in threads that start later; using holds only in its own thread."""
    seen = []
    use("array_api_strict")
    with using("numpy"):
        thread = threading.Thread(target=lambda: seen.append(current().name))
        thread.start()
        thread.join()
        assert current().name == "numpy"
    assert seen == ["array_api_strict:CPU_DEVICE"]


def test_using_is_undone_after_an_error(fresh_switch):
    """After the block, the previous backend is the current one again."""
    use("numpy")
    with pytest.raises(ZeroDivisionError), using("array_api_strict", dtype="float64"):
        len(current().name) / 0
    assert current().name == "numpy"


def test_use_within_using_ends_with_the_block(fresh_switch):
    """`use` inside of a block holds for the rest of the block."""
    use("numpy")
    with using("numpy", dtype="float64"):
        use("array_api_strict")
        assert current().name == "array_api_strict:CPU_DEVICE"
    assert current() == resolve("numpy")


@pytest.mark.parametrize("device", ["99", "first", "-1", "1.0"])
def test_a_missing_device_of_cupy_raises(cupy_backend, device):
    """The error is about the device; it does not advise installing anything."""
    with pytest.raises(BackendError) as raised:
        resolve(f"cupy:{device}")
    assert re.search(
        r"there is no GPU (99|-1); this machine has \d+, numbered from 0\.$"
        rf"|expected the number of a device, from 0, got '{re.escape(device)}'\.$",
        str(raised.value),
    )


def test_cpu_gpu_and_cuda_are_aliases():
    """cpu is numpy; gpu and cuda are cupy, with or without a device number."""
    assert resolve("cpu") == resolve("numpy")
    for spec in ("gpu", "cuda", "cuda:99"):
        try:
            name = resolve(spec).name
        except BackendError as error:
            name = str(error).split("'")[1]
        assert name.startswith("cupy")


def test_auto_is_the_first_backend_that_can_be_used(monkeypatch):
    """auto tries the libraries in order; NumPy is the last."""
    monkeypatch.setattr(switch, "AUTO", ("no_such_library", "array_api_strict", "numpy"))
    assert resolve("auto").name == "array_api_strict:CPU_DEVICE"
    monkeypatch.setattr(switch, "AUTO", ("no_such_library", "numpy"))
    assert resolve("auto").name == "numpy"


def test_a_backend_is_its_own_spec(backend):
    """resolve, use and using accept a backend that they returned."""
    assert resolve(backend) is backend
    with using(backend) as again:
        assert again is backend


def test_a_backend_is_immutable(backend):
    """It holds no state."""
    with pytest.raises(AttributeError):
        backend.device = "elsewhere"


def test_backends_and_device_keys_are_hashable(backend):
    """device_key makes a hashable key of a device, because CuPy's devices have no hash."""
    other = backend._replace(dtype=None)
    assert {backend: 1, other: 2}[resolve(backend.name)] == 1
    key = device_key(backend.device)
    assert {key: 3}[device_key(compat.device(backend.asarray(1.0)))] == 3


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "tensorflow",
            r"Unknown backend 'tensorflow'. Expected library\[:device\] with one of: numpy",
        ),
        ("", "Unknown backend ''"),
        ("numpy:gpu", "'numpy:gpu' cannot be used: NumPy has the device 'cpu' only, got 'gpu'"),
        ("array_api_strict:device9", "'array_api_strict:device9' cannot be used: .*device9"),
    ],
)
def test_unknown_libraries_and_devices_raise(spec, message):
    """The message names the library or the device."""
    with pytest.raises(BackendError, match=message):
        resolve(spec)


def test_a_dtype_other_than_float32_or_float64_raises():
    """Every library has these two."""
    with pytest.raises(BackendError, match="Expected dtype float32 or float64, got 'int32'"):
        resolve("numpy", "int32")


@pytest.fixture
def uncached():
    """A switch that has opened no library yet."""
    switch._opened.cache_clear()
    yield
    switch._opened.cache_clear()


@pytest.mark.parametrize(
    ("spec", "command"),
    [
        ("torch", "pip install torch"),
        ("jax", "pip install jax"),
        ("array_api_strict", "pip install array-api-strict"),
    ],
)
def test_the_error_for_a_missing_package_names_the_command_that_installs_it(
    uncached, monkeypatch, spec, command
):
    """The message also names the package."""
    monkeypatch.setitem(sys.modules, spec, None)
    with pytest.raises(
        BackendError, match=f"cannot be used: the package {spec} is not installed. .*: {command}$"
    ):
        resolve(spec)


def test_cupy_without_a_gpu_never_falls_back(uncached):
    """Either there is a GPU and the arrays are CuPy's, or an error is raised."""
    try:
        kind = type(resolve("cupy").asarray(1.0)).__module__
    except BackendError as error:
        kind = str(error)
    assert kind.startswith("cupy") or re.search("cannot be used.*(driver|pip install)", kind)


def test_a_library_with_wrong_results_cannot_be_used(uncached, monkeypatch):
    """Before a library is used, the result of a test computation is checked."""
    strict = pytest.importorskip("array_api_strict", reason="its matmul is replaced")
    monkeypatch.setattr(strict, "matmul", lambda a, _: a)
    with pytest.raises(BackendError, match=r"a test computation returned .*, not 58\.0"):
        resolve("array_api_strict")


def test_asarray_keeps_the_dtype_of_an_array(backend, xp):
    """Python's floats get the backend's dtype; a dtype may be passed."""
    assert backend.asarray([1.0, 2.0]).dtype == backend.dtype
    assert backend.asarray(np.asarray([1, 2], "int32")).dtype == xp.int32
    assert backend.asarray([True]).dtype == xp.bool
    assert backend.asarray([1, 2], dtype="float32").dtype == xp.float32
    assert backend.asarray([1, 2], dtype=xp.float32).dtype == xp.float32
    assert backend.asarray(Variable([1.0, 2.0])).dtype == backend.dtype


def test_asarray_accepts_read_only_memory(backend):
    """PyTorch warns about read-only arrays, and warnings are errors in these tests."""
    host = np.asarray([1.0, 2.0], "float32")
    host.flags.writeable = False
    assert to_numpy(backend.asarray(host)).tolist() == [1.0, 2.0]


def test_to_numpy_is_the_inverse_of_asarray(backend):
    """For arrays, Variables, scalars and lists."""
    x = backend.asarray([[1.0, 2.0], [3.0, 4.0]])
    for value in (x, Variable(x), [[1.0, 2.0], [3.0, 4.0]]):
        host = to_numpy(value)
        assert isinstance(host, np.ndarray)
        assert host.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert to_numpy(2.5).shape == ()


def test_array_like_follows_the_given_array(backend):
    """The result has its library, device and dtype, and is always a copy."""
    host = np.asarray([1.0, 2.0])
    x = array_like(host, backend.asarray([0.0]))
    host[:] = 0.0
    assert x.dtype == backend.dtype
    assert type(x) is type(backend.asarray(0.0))
    assert to_numpy(x).tolist() == [1.0, 2.0]


def test_scatter_add_to_rows_that_are_not_contiguous(backend, array):
    """A transposed array, for which NumPy adds differently; and negative indices."""
    values = array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    indices = array([1, -2, 0])
    expected = [[4.0, 40.0], [3.0, 30.0], [0.0, 0.0]]
    zeros = backend.asarray(np.zeros((2, 3), "float32"))
    for x in (backend.asarray(np.zeros((3, 2), "float32")), backend.xp.matrix_transpose(zeros)):
        assert_close(library_of(x).scatter_add(x, indices, values), expected)


def test_set_item_assigns_in_place_or_in_a_copy(backend):
    """The result of x[key] = value is returned."""
    x = backend.asarray([[1.0, 2.0], [3.0, 4.0]])
    y = backend.library.set_item(x, (slice(None), 1), backend.asarray([7.0, 8.0]))
    assert to_numpy(y).tolist() == [[1.0, 7.0], [3.0, 8.0]]
    assert (y is x) == backend.library.mutable


def test_with_item_leaves_its_argument_as_it_is(backend):
    x = backend.asarray([1.0, 2.0])
    y = backend.library.with_item(x, 1, 3.0)
    assert to_numpy(x).tolist() == [1.0, 2.0]
    assert to_numpy(y).tolist() == [1.0, 3.0]


def test_a_new_process_follows_the_environment():
    """The variable XPNET_BACKEND is set for a new process of Python."""
    code = "import xpnet; print(xpnet.current().name, xpnet.Variable(1.0).dtype)"
    environment = {**os.environ, "XPNET_BACKEND": "array_api_strict:device1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["array_api_strict:device1", "array_api_strict.float32"]


def test_the_error_for_an_unknown_backend_names_the_environment_variable(monkeypatch):
    monkeypatch.setattr(switch, "_run", None)
    monkeypatch.setenv("XPNET_BACKEND", "abacus")
    with pytest.raises(BackendError, match="XPNET_BACKEND=abacus: Unknown backend"):
        switch.current()
    monkeypatch.delenv("XPNET_BACKEND")


def test_a_spec_that_is_not_a_string_raises():
    with pytest.raises(BackendError, match="Expected a backend such as 'numpy'"):
        switch.resolve(None)


@pytest.mark.parametrize("device", ["cpu:7", "cpu:-1"])
def test_a_missing_device_of_jax_raises(device):
    pytest.importorskip("jax", reason="its devices are numbered")
    with pytest.raises(BackendError, match="there is no device .* JAX has 1, numbered from 0"):
        switch.resolve(f"jax:{device}")


@pytest.mark.parametrize(("library", "device"), [("torch", "cuda"), ("jax", "gpu")])
def test_the_error_for_a_missing_gpu_names_the_command_that_installs_its_package(library, device):
    pytest.importorskip(library, reason="only the GPU should be missing, and not the package")
    try:
        switch.resolve(f"{library}:{device}")
    except BackendError as error:
        message = str(error)
    else:
        pytest.skip("this machine has such a GPU")
    assert f"install: pip install {LIBRARIES[library].gpu_package}" in message


# --- which library a Variable computes with -------------------------------------------------------


def test_an_array_keeps_its_library_and_numbers_follow_the_switch(backend, array):
    """`use` does not move existing arrays to another library."""
    kept = xpnet.Variable(np.zeros(3))
    made = xpnet.Variable([1.0, 2.0])
    assert isinstance(kept.data, np.ndarray)
    assert type(made.data) is type(array([1.0]))
    moved = xpnet.Variable(xpnet.current().asarray(np.zeros(3, np.float32)))
    assert type(moved.data) is type(made.data)


MIXES = {
    "a layer": lambda x: xpnet.Affine(3, 2, rng=0)(x),
    "a network": lambda x: xpnet.MLP(3, 4, 2, rng=0)(x),
    "a convolution": lambda x: xpnet.Conv1d(3, 2, 1, rng=0)(x[:, :, None]),
    "a normalization": lambda x: xpnet.LayerNorm(3)(x),
    "an operator": lambda x: x * xpnet.Variable([1.0, 2.0, 3.0]),
    "a product": lambda x: F.matmul(x, xpnet.Parameter([[1.0], [2.0], [3.0]])),
    "a loss": lambda x: F.mean_squared_error(xpnet.Variable([[1.0, 2.0, 3.0]] * 2), x),
    "NumPy's function": lambda x: np.dot(x, xpnet.Variable([1.0, 2.0, 3.0])),
}


@pytest.mark.parametrize("lifted", [True, False], ids=["Variable", "array"])
@pytest.mark.parametrize("name", MIXES)
def test_arrays_of_another_library_than_the_parameters_raise(backend, array, name, lifted):
    """The error says how to move the array."""
    if backend.name == "numpy":
        pytest.skip("the other library is NumPy")
    x = np.ones((2, 3), dtype=np.float32)
    x = xpnet.Variable(x, requires_grad=False) if lifted else x
    with pytest.raises(xpnet.XpnetError, match=r"xpnet\.current\(\)\.asarray\(x\)") as caught:
        MIXES[name](x)
    assert isinstance(caught.value, TypeError)


def test_the_repr_of_a_backend_names_library_and_dtype(backend):
    """A notebook displays it below a cell that ends with xpnet.use(...): no path of a module."""
    assert re.fullmatch(r"Backend\('[\w:]+', 'float32'\)", repr(backend))
    assert repr(backend._replace(dtype=None)) == f"Backend({backend.name!r})"
