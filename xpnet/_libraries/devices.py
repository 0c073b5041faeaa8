"""Computation follows its arrays: what this requires of CuPy on a machine with several GPUs.

CuPy computes on the calling thread's current device, not on that of the arrays: for arrays on another
device it only warns, and puts the result on the current one. Each thread starts on device 0, even if
`use` selected another one in another thread. So xpnet makes the device of the arrays current while it
computes, in every thread, and raises an error if the arrays lie on two devices. On a machine with one
GPU, or without CuPy, all of this is reduced to a check of `known`.

    @follows                    a function of arrays runs on their device; two devices are an error
    call_on_one_device          the same for one call of a function
    call_on_their_device(f, x)  f(x), computed on the device of x
    @stays                      a function that changes devices: the previous one is restored
    follow(x)                   within such a function: change to the device of x
    settle(name, xs)            the same for the one device of all xs; two devices are an error
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cache, wraps
from importlib import import_module
from sys import modules
from typing import Any, TypeVar

from xpnet._typing import Array, Device
from xpnet.errors import BackendError

Callee = TypeVar("Callee", bound=Callable[..., Any])
Result = TypeVar("Result")


class Known:
    """What is known of this machine: an object, so that every module that imports it sees its changes."""

    several: bool | None = None
    """Whether CuPy has several devices; None until CuPy is imported."""


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
    key: Hashable = device
    if type(device).__hash__ is None:
        key = device.id
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
        if "cupy" in modules and several():  # the first test saves a call where there is no CuPy
            return call_on_one_device(name, function, args, options)
        return function(*args, **options)

    on_device.follows = True  # type: ignore[attr-defined]
    return on_device  # type: ignore[return-value]


def stays(function: Callee) -> Callee:
    """Decorator: after the function returns, the thread's current device is what it was before."""

    @wraps(function)
    def there_and_back(*args: Any, **options: Any) -> Any:
        if "cupy" in modules and several():
            return _call_on(None, function, args, options)
        return function(*args, **options)

    return there_and_back  # type: ignore[return-value]


def follow(x: Array) -> None:
    """Make the device of an array, or of a tree of arrays, current, within a function that `stays`."""
    if known.several:
        for device in _device_numbers(x):
            _runtime().setDevice(device)


def settle(name: str, xs: Sequence[Array]) -> None:
    """Make the one device of all these arrays current, within a function that `stays`.

    Raises
    ------
    BackendError
        The arrays lie on several devices; the message names `name`.
    """
    if known.several:
        device = _single_device(name, xs)
        if device is not None:
            _runtime().setDevice(device)


def call_on_their_device(function: Callable[..., Result], *args: Any, **options: Any) -> Result:
    """function(*args, **options) on the device of the first array among its arguments."""
    if not known.several:
        return function(*args, **options)
    device = next(_device_numbers((args, options)), None)
    return _call_on(device, function, args, options)


def call_on_one_device(
    name: str | object,
    function: Callable[..., Result],
    args: Sequence[Any],
    options: dict[str, Any] | None = None,
) -> Result:
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
    return _call_on(_single_device(name, (args, options)), function, args, options)


def _single_device(name: str | object, xs: Sequence[Any]) -> int | None:
    """The number of the one device of all these arrays; None if none of them is CuPy's."""
    found = sorted(set(_device_numbers(xs)))
    if not found:
        return None
    if len(found) > 1:
        if not isinstance(name, str):
            name = type(name).__name__
        places = " and ".join(f"<CUDA Device {i}>" for i in found)
        raise BackendError(
            f"{name} expected its arrays on one device, got {places}. "
            "Move one of them with x.to_device(device)."
        )
    return found[0]


def _call_on(
    device: int | None,
    function: Callable[..., Result],
    args: Sequence[Any],
    options: dict[str, Any],
) -> Result:
    """function(*args, **options) on a device; afterwards the current device is what it was before.

    With None as the device, the function changes devices itself.
    """
    runtime = _runtime()
    before = runtime.getDevice()
    if device is not None and device != before:
        runtime.setDevice(device)
    try:
        return function(*args, **options)
    finally:
        runtime.setDevice(before)


def _device_numbers(x: Any) -> Iterator[int]:
    """The number of the device of each CuPy array in x, which may be a Variable or a tree."""
    kind = _array_type()
    array: Any = x
    if not isinstance(array, kind):  # a Variable, perhaps
        array = getattr(x, "data", x)
    if not isinstance(array, kind):  # a recording array, perhaps
        array = getattr(array, "array", None)
    if isinstance(array, kind):
        yield array.data.device_id  # type: ignore[attr-defined]
    elif isinstance(x, (tuple, list)):
        for item in x:
            yield from _device_numbers(item)
    elif isinstance(x, dict):
        for item in x.values():
            yield from _device_numbers(item)


arrivals: list[Callable[[], None]] = []
"""Functions to call whenever numbers have come from CuPy to the host: the GPU has finished by then.

`xpnet.kernels.bounds`, for example, then reads what its kernels have found.
"""


def arrived() -> None:
    """Call the functions in `arrivals`."""
    for function in arrivals:
        function()


@cache
def _runtime() -> Any:
    return import_module("cupy").cuda.runtime


@cache
def _array_type() -> type:
    kind: type = import_module("cupy").ndarray
    return kind
