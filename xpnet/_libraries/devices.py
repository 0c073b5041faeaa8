"""Computation follows its arrays: what this requires of CuPy on a machine with several GPUs.

CuPy computes on the calling thread's current device, wherever the arrays lie: for arrays on another
device it only warns, and puts the result on the wrong one. Each thread starts on device 0, whatever
`use` selected in another thread. So xpnet makes the device of the arrays current while it computes,
in every thread, and raises an error if the arrays lie on two devices. On a machine with one GPU, or
without CuPy, all of this is reduced to a check of `known`.

    @follows     a function of arrays: computed on their device; arrays on two devices are an error
    @stays       a function that moves from device to device by calling `follow(x)`
    there(f, x)  f(x), computed on the device of x
"""

from collections.abc import Callable, Hashable, Iterator
from functools import cache, wraps
from importlib import import_module
from sys import modules
from typing import Any, TypeVar

from xpnet._typing import Array, Device
from xpnet.errors import BackendError

Callee = TypeVar("Callee", bound=Callable[..., Any])


class Known:
    """Whether CuPy has several devices here; None until CuPy is imported."""

    several: bool | None = None


known = Known()


def several() -> bool:
    """Whether CuPy is imported and has several devices to compute on."""
    if known.several is None and "cupy" in modules:
        cupy = import_module("cupy")  # waits for a thread that is importing it
        try:
            known.several = cupy.cuda.runtime.getDeviceCount() > 1
        except cupy.cuda.runtime.CUDARuntimeError:  # there is no driver
            known.several = False
    return bool(known.several)


def device_key(device: Device) -> Hashable:
    """A dict key for a library's device: CuPy's devices define `__eq__` but no `__hash__`."""
    key: Hashable = device.id if type(device).__hash__ is None else device
    return key


def follows(function: Callee) -> Callee:
    """Decorator: the function is computed on the device of its arrays.

    Raises
    ------
    BackendError
        Raised by the decorated function if its arrays lie on two devices of CuPy.
    """
    if getattr(function, "follows", False):
        return function
    name = function.__name__

    @wraps(function)
    def on_device(*args: Any, **options: Any) -> Any:
        if "cupy" in modules and several():
            return together(name, function, args, options)
        return function(*args, **options)

    on_device.follows = True  # type: ignore[attr-defined]
    return on_device  # type: ignore[return-value]


def stays(function: Callee) -> Callee:
    """Decorator: after the function returns, the thread's current device is what it was before."""

    @wraps(function)
    def there_and_back(*args: Any, **options: Any) -> Any:
        if "cupy" in modules and several():
            return _on(None, function, args, options)
        return function(*args, **options)

    return there_and_back  # type: ignore[return-value]


def follow(x: Array) -> None:
    """Make the device of an array current, within a function that `stays`."""
    if known.several:
        for device in _devices(x):
            _runtime().setDevice(device)


def settle(name: str, xs: Any) -> None:
    """Make the one device of all these arrays current, within a function that `stays`.

    Raises
    ------
    BackendError
        The arrays lie on several devices; the message names `name`.
    """
    if known.several:
        device = _one(name, xs)
        if device is not None:
            _runtime().setDevice(device)


def there(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """function(*args, **options) on the device of the first array among its arguments."""
    if not known.several:
        return function(*args, **options)
    device = next(_devices((args, options)), None)
    return _on(device, function, args, options)


def together(
    name: Any, function: Callable[..., Any], args: Any, options: dict[str, Any] | None = None
) -> Any:
    """function(*args, **options) on the device of its arrays.

    Parameters
    ----------
    name : str or object
        What the error message names: a function's name, or an object whose type is named.

    Raises
    ------
    BackendError
        The arrays lie on several devices.
    """
    options = options or {}
    return _on(_one(name, (args, options)), function, args, options)


def _one(name: Any, xs: Any) -> int | None:
    """The number of the one device of all these arrays; None if none of them is CuPy's."""
    found = sorted(set(_devices(xs)))
    if len(found) > 1:
        name = name if isinstance(name, str) else type(name).__name__
        places = " and ".join(f"<CUDA Device {i}>" for i in found)
        raise BackendError(
            f"{name} expected its arrays on one device, got {places}. "
            "Move one of them with x.to_device(device)."
        )
    return found[0] if found else None


def _on(device: int | None, function: Callable[..., Any], args: Any, options: Any) -> Any:
    runtime = _runtime()
    before = runtime.getDevice()
    if device is not None and device != before:
        runtime.setDevice(device)
    try:
        return function(*args, **options)
    finally:
        runtime.setDevice(before)


def _devices(x: Array) -> Iterator[int]:
    """The number of the device of each CuPy array in x, which may be a Variable or a tree."""
    kind = _array()
    array = x if isinstance(x, kind) else getattr(x, "data", None)
    if isinstance(array, kind):
        yield array.data.device_id  # type: ignore[attr-defined]
    elif isinstance(x, (tuple, list)):
        for item in x:
            yield from _devices(item)
    elif isinstance(x, dict):
        for item in x.values():
            yield from _devices(item)


arrivals: list[Callable[[], None]] = []
"""Functions to call whenever CuPy's numbers have come to the host, that is, after a wait for the GPU."""


def arrived() -> None:
    """Call the functions in `arrivals`: what the GPU has noted in the meantime can now be read."""
    for look in arrivals:
        look()


@cache
def _runtime() -> Any:
    return import_module("cupy").cuda.runtime


@cache
def _array() -> type:
    kind: type = import_module("cupy").ndarray
    return kind
