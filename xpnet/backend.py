"""The switch: where arrays are born, and the one way back to the host.

This is the only file that knows one array library from another (`data/` reads files with NumPy;
`devices.py` makes CuPy's devices current; `diagnosis.py` reports devices and faults of installation).
The switch decides the library, the device and the floating-point type of what xpnet *creates*:
parameters, data, random numbers. What xpnet *computes* follows the arrays it is given.

    xpnet.use("cupy")                  for the whole run
    with xpnet.using("numpy"): ...     for a block
    XPNET_BACKEND=torch:cpu            for a process, from outside

A spec is `library[:device]`:

    numpy                              the CPU; also "cpu"
    cupy, cupy:1                       an NVIDIA GPU; also "gpu", "cuda", "cuda:1"
    torch, torch:cuda:0, torch:mps     PyTorch
    jax, jax:gpu, jax:cpu:0            JAX
    array_api_strict:device1           the strict reference library and its pretended devices
    auto                               the first of cupy, torch:cuda, torch:mps, numpy that works

A backend that cannot be used raises BackendError, which says what is missing and what to install.
Nothing falls back to another device.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache, singledispatch, wraps
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

import array_api_compat as compat
import numpy as np

from xpnet._libraries.devices import fetched, follows, selected
from xpnet._libraries.diagnosis import details_of, why_not_cupy
from xpnet._typing import Array, DType
from xpnet.errors import ArgumentError, BackendError

Callee = TypeVar("Callee", bound=Callable[..., Any])

ALIASES = {"cpu": "numpy", "gpu": "cupy", "cuda": "cupy"}
AUTO = ("cupy", "torch:cuda", "torch:mps", "numpy")


class Backend(NamedTuple):
    """Where arrays are born: a library, one of its devices, a floating-point type. Immutable.

    Attributes
    ----------
    name : str
        The spec that names it, aliases resolved: "numpy", "cupy:0", "torch:cpu".
    xp : namespace
        The library's array API namespace.
    device : object
        The library's own device object.
    dtype : object or None
        The library's own floating-point type, for parameters, data and random numbers; None is
        the one that the library itself prefers.
    """

    name: str
    xp: Any
    device: Any
    dtype: Any

    def __hash__(self) -> int:
        return hash((self.name, str(self.dtype)))  # CuPy's devices have no `__hash__`

    def __reduce__(self) -> Any:
        """Copies and pickles are by name: a module is in no pickle."""
        dtype = None if self.dtype is None else f"{self.xp.finfo(self.dtype).dtype}"
        return _by_name, (self.name, dtype and dtype.rpartition(".")[2])

    def asarray(self, x: object, dtype: DType | None = None) -> Array:
        """`x` as an array of this library, on this device.

        Parameters
        ----------
        x : array of any library, Variable, scalar or nested list
            An array keeps its dtype (JAX narrows 64 bits unless told otherwise); bare Python
            floats get the backend's own.
        dtype : dtype of this library, or its name, optional

        Notes
        -----
        The result may share memory with `x` where both lie on the CPU.
        """
        host = to_numpy(x)
        if isinstance(dtype, str):
            dtype = getattr(self.xp, dtype)
        elif dtype is None and host.dtype.kind == "f" and not hasattr(x, "dtype"):
            dtype = self.dtype
        if self.name.startswith("torch") and not host.flags.writeable:
            host = host.copy()  # PyTorch has no read-only memory, and warns of writes to come
        with self.selected():
            return self.xp.asarray(host, dtype=dtype, device=self.device)

    def selected(self) -> AbstractContextManager[Any]:
        """A block in which this device is the calling thread's current one.

        CuPy puts new arrays on the current device, whatever `device=` says (array-api-compat,
        issue 337); the other libraries have no such state.
        """
        return self.device if self.name.startswith("cupy") else nullcontext()

    def details(self) -> str:
        """The device's name, its memory and its CUDA version; empty for a CPU.

        For an NVIDIA GPU on CuPy: "NVIDIA H200, 139.8 GiB, CUDA runtime 13.0, CUDA driver 13.0". If
        a device can compute but cannot be queried, the reason is given instead.
        """
        return details_of(self.name.partition(":")[0], self.device)

    def describe(self) -> str:
        """The spec; for a GPU, also its details and the version of the library.

        For example "numpy", or "cupy:0 (NVIDIA H200, 139.8 GiB, CUDA runtime 13.0, CUDA driver
        13.0, cupy 14.2.0)".
        """
        details = self.details()
        if not details:
            return self.name
        library = self.name.partition(":")[0]
        return f"{self.name} ({details}, {library} {import_module(library).__version__})"


# --- the switch -----------------------------------------------------------------------------

_run: Backend | None = None  # use(): for every thread
_block: ContextVar[Backend | None] = ContextVar("xpnet_backend", default=None)  # using()


def use(spec: str | Backend, dtype: str = "float32") -> Backend:
    """Make `spec` the backend of the whole run (or of the `using` block that this stands in).

    It decides where xpnet *creates* arrays: parameters, data that are loaded, random numbers, and
    Variables of Python numbers and lists. It moves nothing: a Variable of a NumPy array computes on
    NumPy, also after `use("torch")`, and beside a parameter on PyTorch it is an error. Move an array
    with `xpnet.current().asarray(x)`.

    Parameters
    ----------
    spec : str or Backend
        `library[:device]`, see the head of this module.
    dtype : {"float32", "float64"}
        The type that parameters and data are born with. A `Backend` brings its own.

    Raises
    ------
    BackendError
        The spec is unknown, or cannot be used on this machine; the message says why.
    """
    global _run
    backend = resolve(spec, dtype)
    if _block.get() is None:
        _run = backend
    else:
        _block.set(backend)
    if backend.name.startswith("cupy"):
        backend.device.use()
    return backend


@contextmanager
def using(spec: str | Backend, dtype: str = "float32") -> Iterator[Backend]:
    """`use` for a block, in this thread and task alone.

    One thing outlasts it: JAX, once told of float64, keeps its 64 bits for the process.

    >>> with using("numpy", dtype="float64") as backend:
    ...     backend.asarray([1.0]).dtype
    dtype('float64')
    """
    backend = resolve(spec, dtype)
    token = _block.set(backend)
    try:
        with backend.selected():
            yield backend
    finally:
        _block.reset(token)


def on_current_device(function: Callee) -> Callee:
    """Decorator: the function, and everything it calls, runs with the backend's device current."""

    @wraps(function)
    def there(*args: Any, **options: Any) -> Any:
        with current().selected():
            return function(*args, **options)

    return there  # type: ignore[return-value]


def current() -> Backend:
    """The backend in force: the block's, else the run's, else XPNET_BACKEND's, else NumPy."""
    return _block.get() or _run or _from_environment()


def _from_environment() -> Backend:
    spec = os.environ.get("XPNET_BACKEND") or "numpy"
    try:
        return use(spec)
    except BackendError as error:
        raise BackendError(f"XPNET_BACKEND={spec}: {error}") from error


def resolve(spec: str | Backend, dtype: str = "float32") -> Backend:
    """The `Backend` that a spec names, after it has run a small kernel and a small product.

    Raises
    ------
    BackendError
        The spec is unknown or unusable.
    """
    if isinstance(spec, Backend):
        return spec
    if not isinstance(spec, str):
        raise BackendError(f"Expected a backend such as 'numpy' or 'cupy:0', got {spec!r}.")
    if dtype not in ("float32", "float64"):
        raise BackendError(f"Expected dtype float32 or float64, got {dtype!r}.")
    if spec == "auto":
        return _first_usable(dtype)
    library, _, device = spec.partition(":")
    library = ALIASES.get(library, library)
    if library not in _OPENERS:
        known = ", ".join([*_OPENERS, *ALIASES, "auto"])
        raise BackendError(
            f"Unknown backend {spec!r}. Expected library[:device] with one of: {known}."
        )
    return _opened(library, device, dtype)


def _by_name(name: str, dtype: str | None) -> Backend:
    """A `Backend` that was pickled."""
    backend = resolve(name, "float64" if dtype == "float64" else "float32")
    return backend._replace(dtype=None if dtype is None else getattr(backend.xp, dtype))


def _first_usable(dtype: str) -> Backend:
    for spec in AUTO[:-1]:
        try:
            return resolve(spec, dtype)
        except BackendError:
            continue  # "auto" asks for just this; `xpnet doctor` tells the reasons
    return resolve(AUTO[-1], dtype)


@cache
def _opened(library: str, device: str, dtype: str) -> Backend:
    spec = f"{library}:{device}" if device else library
    package = INSTALL.get(library, library)
    try:
        xp, handle, name = _OPENERS[library](device, dtype)
        backend = Backend(name, xp, handle, getattr(xp, dtype))
        _probe(backend)
    except ModuleNotFoundError as error:
        reason = (
            f"the package {error.name} is not installed. Install it with: pip install {package}"
        )
        if library == "cupy":
            reason = why_not_cupy(error)
        raise BackendError(f"The backend {spec!r} cannot be used: {reason}") from error
    except Exception as error:  # each library fails in its own way; the reason is passed on
        reason = f"{error}"
        if library == "cupy" and not isinstance(error, ValueError):  # that is of the spec alone
            reason = why_not_cupy(error)
        if library in INSTALL_GPU and device.startswith(("cuda", "gpu")):
            reason += f". On a machine with an NVIDIA GPU, install: {INSTALL_GPU[library]}"
        raise BackendError(f"The backend {spec!r} cannot be used: {reason}") from error
    return backend


def _probe(backend: Backend) -> None:
    """Run a kernel and a matrix product: a library that imports may still compute nothing."""
    xp, x = backend.xp, backend.asarray([[1.0, 2.0], [3.0, 4.0]])
    with backend.selected():
        total = float(to_numpy(xp.sum(xp.exp(0.0 * x) + xp.matmul(x, x))))
    if total != 58.0:
        raise BackendError(f"a test computation gave {total}, not 58.0")


# --- the libraries: each opener gives (namespace, device, resolved name) -----------------------

INSTALL = {"array_api_strict": "array-api-strict"}  # where it is not called like the library
INSTALL_GPU = {"torch": "pip install torch", "jax": 'pip install "jax[cuda13]"'}


def _open_numpy(device: str, dtype: str) -> tuple[Any, Any, str]:
    if device not in ("", "cpu"):
        raise ArgumentError(f"NumPy knows the device 'cpu' alone, got {device!r}.")
    return import_module("array_api_compat.numpy"), "cpu", "numpy"


def _number(device: str) -> int:
    """The number of a device; the first one is 0, and need not be named."""
    try:
        return int(device or 0)
    except ValueError:
        message = f"expected the number of a device, from 0, got {device!r}."
        raise ArgumentError(message) from None


def _open_cupy(device: str, dtype: str) -> tuple[Any, Any, str]:
    cupy = import_module("cupy")
    count = (
        cupy.cuda.runtime.getDeviceCount()
    )  # the error of a machine without a driver comes first
    index = _number(device)
    if not 0 <= index < count:
        raise ArgumentError(f"there is no GPU {index}; this machine has {count}, numbered from 0.")
    return import_module("array_api_compat.cupy"), cupy.cuda.Device(index), f"cupy:{index}"


def _open_torch(device: str, dtype: str) -> tuple[Any, Any, str]:
    handle = import_module("torch").device(device or "cpu")
    return import_module("array_api_compat.torch"), handle, f"torch:{handle}"


def _open_jax(device: str, dtype: str) -> tuple[Any, Any, str]:
    jax = import_module("jax")
    if dtype == "float64":  # JAX has no 64 bits until told; to ask for float64 is to tell it
        jax.config.update("jax_enable_x64", True)
    platform, _, index = device.partition(":")
    handles = jax.devices(platform or None)
    number = _number(index)
    if not 0 <= number < len(handles):
        raise ArgumentError(
            f"there is no device {number}; JAX has {len(handles)}, numbered from 0."
        )
    handle = handles[number]
    return import_module("jax.numpy"), handle, f"jax:{handle.platform}:{handle.id}"


def _open_strict(device: str, dtype: str) -> tuple[Any, Any, str]:
    xp = import_module("array_api_strict")
    return xp, xp.Device(device or "CPU_DEVICE"), f"array_api_strict:{device or 'CPU_DEVICE'}"


_OPENERS = {
    "numpy": _open_numpy,
    "cupy": _open_cupy,
    "torch": _open_torch,
    "jax": _open_jax,
    "array_api_strict": _open_strict,
}


# --- to the host and back -------------------------------------------------------------------


@singledispatch
def to_numpy(x: Array) -> Any:
    """`x` as a NumPy array: the one way from any device to the host.

    Parameters
    ----------
    x : array of any library, Variable, scalar or nested list

    Returns
    -------
    numpy.ndarray
        Same shape and dtype. Without a copy where `x` is on the host, so do not write to it.
    """
    if compat.is_cupy_array(x):
        return fetched(x)
    if compat.is_torch_array(x):
        return x.numpy(force=True)
    if type(x).__module__.startswith("array_api_strict"):
        x = x.to_device(import_module("array_api_strict").Device("CPU_DEVICE"))
    return np.asarray(x)


@follows
def with_item(x: Array, key: Any, value: Array) -> Array:
    """`x` after x[key] = value: in place, or a new array where the library's cannot change."""
    if compat.is_jax_array(x):
        return x.at[key].set(value)
    x[key] = value
    return x


def item_set(x: Array, key: Any, value: Array) -> Array:
    """What x would be after x[key] = value: a new array, on every library."""
    if compat.is_jax_array(x):
        return x.at[key].set(value)
    return with_item(compat.array_namespace(x).asarray(x, copy=True), key, value)


@follows
def last_at(places: Array, size: int) -> Array:
    """For each of `size` places the last i with places[i] there, or -1 where there is none."""
    xp, device = compat.array_namespace(places), compat.device(places)
    if compat.is_cupy_array(places):  # it has no maximum of signed 64 bits
        found = xp.zeros((size,), dtype=xp.uint64)
        following = xp.arange(1, places.shape[0] + 1, dtype=xp.uint64)
        xp.maximum.at(found, places, following)
        return xp.astype(found, xp.int64) - 1
    last = xp.full((size,), -1, device=device)
    order = xp.arange(places.shape[0], dtype=last.dtype, device=device)
    if compat.is_jax_array(places):
        return last.at[places].max(order)
    if compat.is_torch_array(places):
        return last.scatter_reduce(0, places, order, "amax")
    if compat.is_numpy_array(places):
        last[places] = order  # NumPy says that the last one wins
    else:  # the standard has no such function: one after another
        for i in range(places.shape[0]):
            last[int(places[i])] = i
    return last


def array_like(x: Array, model: Array) -> Array:
    """A copy of `x`, an array of any library, with the library, device and dtype of `model`."""
    xp, device = compat.array_namespace(model), compat.device(model)
    near = type(x) is type(model) and compat.device(x) == device  # no detour through the host
    with selected(model, device):
        if near:
            return xp.asarray(x, dtype=model.dtype, device=device, copy=True)
        # Copied on the host: PyTorch will not copy and cast an array of no dimensions at once.
        return xp.asarray(to_numpy(x).copy(), dtype=model.dtype, device=device)


def scatter_add(x: Array, indices: Array, values: Array) -> Array:
    """`x` after x[indices[i], ...] += values[i, ...] for each i: equal indices add up."""
    if compat.is_jax_array(x):
        return x.at[indices].add(values)
    if compat.is_torch_array(x):
        return x.index_add(0, indices % max(x.shape[0], 1), values)  # negative ones too
    if compat.is_numpy_array(x) and x.flags.c_contiguous:  # single numbers are added ten times
        rows, width = np.arange(x.shape[0])[indices], x[:1].size  # as fast as rows
        places = rows[:, None] * width + np.arange(width)
        np.add.at(x.reshape(-1), places.reshape(-1), values.reshape(-1))
    elif compat.is_numpy_array(x):
        np.add.at(x, indices, values)
    else:  # the standard has no such function: one after another
        for i in range(indices.shape[0]):
            k = int(indices[i])
            x[k, ...] = x[k, ...] + values[i, ...]
    return x


# --- NumPy's protocols ----------------------------------------------------------------------


def name_in_numpy(function: Any) -> str:
    """The name of a function or ufunc in NumPy: "mean", "linalg.inv"; "" for another package's."""
    name: str = function.__name__
    if isinstance(function, np.ufunc):
        return name if getattr(np, name, None) is function else ""
    package, _, module = function.__module__.partition(".")
    if package != "numpy":
        return ""
    return f"{module}.{name}" if module in ("linalg", "fft") else name


def dtype_name(dtype: DType) -> str | None:
    """The name of a dtype that NumPy understands, such as `float` or "f4"; None for another."""
    try:
        name: str = np.dtype(dtype).name
    except TypeError:
        return None
    return name


def is_array_type(kind: type) -> bool:
    """Whether a type is NumPy's array, and not another package's that derives from it."""
    return kind is np.ndarray or kind.__module__ == "numpy"


# --- gradients ------------------------------------------------------------------------------


class _Gradient(np.ndarray):
    """A NumPy array whose `data` is an array, as that of a gradient is in PyTorch and DeZero.

    NumPy's own `data` is a buffer, and `W.data -= lr * W.grad.data` would be a TypeError. What is
    computed from it is an ordinary array.
    """

    @property
    def data(self) -> Any:
        return self.view(np.ndarray)

    def __repr__(self) -> str:
        return repr(self.data)

    def __array_wrap__(self, array: Array, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else array.view(np.ndarray)


def with_data(g: Array) -> Any:
    """A gradient whose `data` is an array; those of other libraries as they are, and None."""
    return g.view(_Gradient) if type(g) is np.ndarray else g


def without_data(g: Array) -> Any:
    """The array that `with_data` shows."""
    return g.data if type(g) is _Gradient else g
