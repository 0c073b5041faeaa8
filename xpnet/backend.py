"""The switch: the library, device and floating-point type of the arrays that xpnet creates.

The switch decides where xpnet *creates* arrays: parameters, data, random numbers. What xpnet
*computes* follows the arrays that it is given.

    xpnet.use("cupy")                  for the whole run
    with xpnet.using("numpy"): ...     for a block
    XPNET_BACKEND=torch:cpu            for a process, from outside

A spec is `library[:device]`:

    numpy                              the CPU; also "cpu"
    cupy, cupy:1                       an NVIDIA GPU; also "gpu", "cuda", "cuda:1"
    torch, torch:cuda:0, torch:mps     PyTorch
    jax, jax:gpu, jax:cpu:0            JAX
    array_api_strict:device1           the strict reference library and its simulated devices
    auto                               the first of cupy, torch:cuda, torch:mps, numpy that works

A backend that cannot be used raises a BackendError that names what is missing and what to install.
xpnet never falls back to another device. What is specific to each library is in `_libraries/`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cache, singledispatch, wraps
from typing import Any, NamedTuple, TypeVar

import array_api_compat as compat

from xpnet._libraries import AUTO, LIBRARIES, Library, library_named, library_of
from xpnet._libraries.numpy import require_unmasked
from xpnet._typing import Array, Device, DType, Namespace
from xpnet.errors import BackendError

Callee = TypeVar("Callee", bound=Callable[..., Any])


class Backend(NamedTuple):
    """Where arrays are created: a library, one of its devices, a floating-point type. Immutable.

    Attributes
    ----------
    name : str
        The spec that names it, without aliases: "numpy", "cupy:0", "torch:cpu".
    xp : namespace
        The library's array API namespace.
    device : object
        The library's own device object.
    dtype : object or None
        The library's own floating-point type, for parameters, data and random numbers; None is
        the library's default.

    Examples
    --------
    >>> import xpnet
    >>> with xpnet.using("numpy", dtype="float64") as backend:
    ...     x = backend.asarray([1.0, 2.0])
    >>> backend.name, backend.device, x.dtype == backend.xp.float64
    ('numpy', 'cpu', True)
    """

    name: str
    xp: Namespace
    device: Device
    dtype: DType | None

    def __hash__(self) -> int:
        return hash((self.name, str(self.dtype)))  # CuPy's devices have no `__hash__`

    def __reduce__(self) -> tuple[Callable[..., "Backend"], tuple[str, str | None]]:
        """Copies and pickles hold the spec and the dtype's name, as a module cannot be pickled."""
        return _unpickled, (self.name, self._dtype_name())

    def __repr__(self) -> str:
        dtype = self._dtype_name()
        return f"Backend({self.name!r})" if dtype is None else f"Backend({self.name!r}, {dtype!r})"

    def _dtype_name(self) -> str | None:
        """The name of the dtype, without that of the library; None if it is the library's default."""
        if self.dtype is None:
            return None
        dtype = str(self.xp.finfo(self.dtype).dtype)  # "float32", or "torch.float32"
        return dtype.rpartition(".")[2]

    @property
    def library(self) -> Library:
        """The object with what the array API standard leaves open for this library."""
        return library_named(self.name)

    def asarray(self, x: object, dtype: DType | None = None) -> Array:
        """`x` as an array of this library, on this device.

        Parameters
        ----------
        x : array of any library, Variable, scalar or nested list
            An array keeps its dtype (but JAX narrows 64 bits to 32 by default); Python floats
            get the backend's dtype. Of a Variable it takes the numbers, without the gradient, as
            `xpnet.to_numpy` does; `xpnet.functions.asarray` keeps it.
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
        if self.library.needs_writable_memory and not host.flags.writeable:
            host = host.copy()
        with self.selected():
            return self.xp.asarray(host, dtype=dtype, device=self.device)

    def selected(self) -> AbstractContextManager[Any]:
        """A context manager that makes this device the calling thread's current one in its block.

        CuPy creates arrays on the current device; the other libraries have no such state.
        """
        return self.library.selected(self.device)

    def details(self) -> str:
        """The device's name, its memory and its CUDA version; empty for a CPU.

        For an NVIDIA GPU on CuPy: "NVIDIA H200, 139.8 GiB, CUDA runtime 13.0, CUDA driver 13.0". If
        a device can compute but cannot be queried, the reason is returned instead.
        """
        try:
            return ", ".join(self.library.details(self.device))
        except RuntimeError as error:  # the base class of each library's CUDA errors
            return f"details unknown: {error}"

    def describe(self) -> str:
        """The spec; for a GPU, also its details and the version of the library.

        For example "numpy", or "cupy:0 (NVIDIA H200, 139.8 GiB, CUDA runtime 13.0, CUDA driver
        13.0, cupy 14.2.0)".
        """
        details = self.details()
        if not details:
            return self.name
        return f"{self.name} ({details}, {self.library.name} {self.library.version()})"


# --- the switch -----------------------------------------------------------------------------

_run: Backend | None = None  # use(): for every thread
_block: ContextVar[Backend | None] = ContextVar("xpnet_backend", default=None)  # using()


def use(spec: str | Backend, dtype: str = "float32") -> Backend:
    """Make `spec` the backend of the whole run; inside a `using` block, of the rest of the block.

    It decides where xpnet *creates* arrays: parameters, data that are loaded, random numbers, and
    Variables of Python numbers and lists. It moves nothing: a Variable of a NumPy array computes on
    NumPy, also after `use("torch")`, and combining it with a parameter on PyTorch raises an error.
    Move an array with `xpnet.current().asarray(x)`.

    Parameters
    ----------
    spec : str or Backend
        `library[:device]`, see the docstring of this module.
    dtype : {"float32", "float64"}
        The type of the parameters and data that are created. It is ignored for a `Backend`, which
        has its own.

    Raises
    ------
    BackendError
        The spec is unknown, or cannot be used on this machine; the message contains the reason.

    Examples
    --------
    >>> import xpnet
    >>> backend = xpnet.use("numpy")
    >>> backend.name, backend.device
    ('numpy', 'cpu')
    """
    global _run
    backend = resolve(spec, dtype)
    if _block.get() is None:
        _run = backend
    else:
        _block.set(backend)
    backend.library.make_current(backend.device)
    return backend


@contextmanager
def using(spec: str | Backend, dtype: str = "float32") -> Iterator[Backend]:
    """`use` for a block, in this thread and task only.

    One thing outlasts the block: once float64 was requested, JAX keeps 64 bits for the process.

    Parameters
    ----------
    spec : str or Backend
    dtype : {"float32", "float64"}, default "float32"
        These are as for `use`.

    Yields
    ------
    Backend

    Raises
    ------
    BackendError
        As for `use`.

    Examples
    --------
    >>> from xpnet import using
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
    """Decorator: while the function runs, the backend's device is the thread's current one."""

    @wraps(function)
    def on_device(*args: Any, **options: Any) -> Any:
        with current().selected():
            return function(*args, **options)

    return on_device  # type: ignore[return-value]


def current() -> Backend:
    """The current backend: the block's, else the run's, else XPNET_BACKEND's, else NumPy.

    Examples
    --------
    >>> import xpnet
    >>> with xpnet.using("numpy"):
    ...     xpnet.current().name
    'numpy'
    """
    return _block.get() or _run or _from_environment()


def _from_environment() -> Backend:
    """The backend that XPNET_BACKEND names, or NumPy; it becomes the backend of the run."""
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
    name, _, device = spec.partition(":")
    aliases = {alias: library.name for library in LIBRARIES.values() for alias in library.aliases}
    name = aliases.get(name, name)
    if name not in LIBRARIES:
        known = ", ".join([*LIBRARIES, *aliases, "auto"])
        raise BackendError(
            f"Unknown backend {spec!r}. Expected library[:device] with one of: {known}."
        )
    return _opened(name, device, dtype)


def _unpickled(name: str, dtype: str | None) -> Backend:
    """The `Backend` of a pickle; its dtype may be one that `resolve` does not accept."""
    if dtype == "float64":
        return resolve(name, dtype)
    backend = resolve(name)
    if dtype is None:
        return backend._replace(dtype=None)
    return backend._replace(dtype=getattr(backend.xp, dtype))


def _first_usable(dtype: str) -> Backend:
    """The first of the backends in `AUTO` that can be used here."""
    for spec in AUTO[:-1]:
        try:
            return resolve(spec, dtype)
        except BackendError:
            continue  # which is what "auto" is for; `xpnet doctor` prints the reasons
    return resolve(AUTO[-1], dtype)


@cache
def _opened(name: str, device: str, dtype: str) -> Backend:
    """A library on one of its devices, tried by a small computation."""
    library = LIBRARIES[name]
    try:
        xp, handle, resolved = library.open(device, dtype)
        backend = Backend(resolved, xp, handle, getattr(xp, dtype))
        _probe(backend)
    except Exception as error:  # each library fails in its own way
        spec = f"{name}:{device}" if device else name
        reason = library.why_unusable(error, device)
        raise BackendError(f"The backend {spec!r} cannot be used: {reason}") from error
    return backend


def _probe(backend: Backend) -> None:
    """Run a kernel and a matrix product, as a library that can be imported may fail to compute."""
    xp = backend.xp
    x = backend.asarray([[1.0, 2.0], [3.0, 4.0]])
    with backend.selected():
        total = float(to_numpy(xp.sum(xp.exp(0.0 * x) + xp.matmul(x, x))))
    if total != 58.0:  # four times exp(0), and 7 + 10 + 15 + 22
        raise BackendError(f"a test computation returned {total}, not 58.0")


# --- to the host and back -------------------------------------------------------------------


@singledispatch
def to_numpy(x: Array) -> Array:
    """`x` as a NumPy array: the one way from any device to the host.

    Parameters
    ----------
    x : array of any library, Variable, scalar or nested list

    Returns
    -------
    numpy.ndarray
        Same shape and dtype. It may share memory with `x` where `x` is on the host, so do not write
        to it.

    Raises
    ------
    ArgumentError
        `x` is a masked array, or a list with one, and some of its numbers are masked.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.to_numpy(xpnet.Variable([1.0, 2.0]))
    array([1., 2.], dtype=float32)
    """
    require_unmasked(x)
    return library_of(x).to_host(x)


def array_like(x: Array, model: Array) -> Array:
    """A copy of `x` with the library, device and dtype of `model`.

    Parameters
    ----------
    x : array of any library, scalar or nested list
    model : array
    """
    if hasattr(model, "created_like"):  # a recording array
        return model.created_like(x)
    xp = compat.array_namespace(model)
    device = compat.device(model)
    on_same_device = type(x) is type(model) and compat.device(x) == device
    with library_of(model).selected(device):
        if on_same_device:  # no detour through the host
            return xp.asarray(x, dtype=model.dtype, device=device, copy=True)
        # Copied on the host, as PyTorch cannot copy and cast a 0-d array in one call.
        return xp.asarray(to_numpy(x).copy(), dtype=model.dtype, device=device)


def maker_like(model: Array) -> Callable[[Array], Array]:
    """A function from NumPy's arrays to arrays with the library, device and dtype of `model`.

    It does not keep `model` alive. Its results may share memory with what it is given.
    """
    xp = compat.array_namespace(model)
    device = compat.device(model)
    dtype = model.dtype
    library = library_of(model)

    def made(host: Array) -> Array:
        with library.selected(device):
            return xp.asarray(host, dtype=dtype, device=device)

    return made
