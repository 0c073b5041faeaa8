"""Random numbers: drawn on the host, so that one seed means one thing on every backend.

NumPy draws them (PCG64), in float64 by default; they are then cast and sent to the device: the
same initial weights, shuffles and dropout masks, bit for bit, on every library.

    manual_seed(0)                    start xpnet's own stream anew
    default_rng()                     that stream; default_rng(7), one of its own
    state(); set_state(numbers)       where the streams are, as JSON can hold it

A dropout mask has as many numbers as its input, drawn on the host and copied to the GPU in every
step. With CuPy masks can be drawn on the GPU:

    manual_seed(0, device=True)       all dropout masks come from a stream on the GPU
    Dropout(0.5, rng=DeviceGenerator(7))      only the masks of one layer

These numbers differ from the host's, but are the same on every device, and on the emulated one.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.errors import ArgumentError, MissingAttributeError, StateError

__all__ = [
    "DeviceGenerator",
    "aside",
    "default_rng",
    "in_blocks",
    "manual_seed",
    "mask_rng",
    "set_state",
    "state",
]

if TYPE_CHECKING:  # NumPy itself loads numpy.random when it is first asked for
    Generator = np.random.Generator

BLOCK = 1 << 16  # numbers that are drawn at a time: 512 KiB of float64, which a cache holds

_generator: "Generator | None" = None
_device: "DeviceGenerator | None" = None
_copies: "ContextVar[tuple[Generator, DeviceGenerator | None] | None]" = ContextVar(
    "xpnet_streams", default=None
)
_lock = threading.Lock()  # not the generators' own: they are copied and pickled

notes: ContextVar[tuple[dict[Any, Any], ...]] = ContextVar("xpnet_notes", default=())
"""Where each generator stood (None: xpnet's own) when `default_rng` was first asked for it."""


class DeviceGenerator:
    """A stream of random numbers that are computed where they are needed: on the GPU, with CuPy.

    Parameters
    ----------
    seed : int
        0 or more.

    Attributes
    ----------
    key, counter : int
        The number of the stream, and how many of its blocks are used up, in 64 bits each. They are
        the whole state.

    Notes
    -----
    Philox4x32-10: block number `counter` of a stream is four numbers of 32 bits, computed from the
    counter and the key alone. So there is no memory on the device that a checkpoint would have to
    save, and no order in which threads would have to draw. It draws dropout masks, and nothing
    else. Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2,
    3", SC 2011.
    """

    def __init__(self, seed: int) -> None:
        self.key = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
        self.counter = 0

    @property
    def bit_generator(self) -> "DeviceGenerator":
        """The object with the state, as in NumPy's generators: itself."""
        return self

    @property
    def state(self) -> dict[str, Any]:
        return {"bit_generator": "Philox4x32", "key": self.key, "counter": self.counter}

    @state.setter
    def state(self, numbers: dict[str, Any]) -> None:
        if numbers["bit_generator"] != "Philox4x32":
            raise ArgumentError(f"it is one of {numbers['bit_generator']}")
        key = int(numbers["key"])
        counter = int(numbers["counter"])
        if not (0 <= key < 1 << 64 and 0 <= counter < 1 << 64):
            raise ArgumentError(f"key and counter are from 0 to 2**64 - 1, got {key} and {counter}")
        self.key = key
        self.counter = counter

    def advance(self, blocks: int) -> int:
        """Use up `blocks` blocks of four numbers, and return the number of the first."""
        with _lock:
            first = self.counter
            self.counter = (first + blocks) % (1 << 64)
        return first

    def __getattr__(self, name: str) -> Any:
        raise MissingAttributeError(
            f"A DeviceGenerator draws only dropout masks, and has no {name!r}: for other random "
            "numbers use numpy.random.default_rng(seed)."
        )

    def __repr__(self) -> str:
        return f"DeviceGenerator(key={self.key:#x}, counter={self.counter})"


def manual_seed(seed: int, device: bool = False) -> None:
    """Start xpnet's random numbers anew from `seed`, for the whole process.

    Parameters
    ----------
    seed : int
    device : bool
        Draw dropout masks on the GPU, with CuPy: a launch in each step instead of a draw on the
        host and a copy. With other libraries dropout then raises BackendError.
    """
    global _generator, _device
    _generator = np.random.default_rng(seed)
    _device = DeviceGenerator(seed) if device else None


def mask_rng(rng: Any) -> Any:
    """The generator of a dropout mask: `rng`, or (None) the one that `manual_seed` chose for masks."""
    device = _own()[1]
    return default_rng(device if rng is None and device is not None else rng)


def default_rng(rng: "int | Generator | DeviceGenerator | None" = None) -> Any:
    """`rng` itself, a generator seeded by it, or (None) the one that `manual_seed` started."""
    if isinstance(rng, DeviceGenerator):
        generator: Any = rng
    else:
        generator = np.random.default_rng(_own()[0] if rng is None else rng)
    if rng is None or rng is generator:
        for noted in notes.get():
            noted.setdefault(rng, generator.bit_generator.state)
    return generator


@contextmanager
def aside() -> Iterator[None]:
    """A block that draws from copies of xpnet's own streams: afterwards these are where they were.

    Another thread, which draws from the streams themselves, does not notice.
    """
    token = _copies.set(deepcopy(_own()))
    try:
        yield
    finally:
        _copies.reset(token)


def _own() -> "tuple[Generator, DeviceGenerator | None]":
    """xpnet's own streams: the host's and, after `manual_seed(seed, device=True)`, that of masks."""
    global _generator
    copies = _copies.get()
    if copies is not None:
        return copies
    if _generator is None:
        _generator = np.random.default_rng()
    return _generator, _device


def in_blocks(shape: tuple[int, ...], dtype: str, draw: Callable[[int], Any]) -> Any:
    """An array on the host, filled by `draw(n)`, which draws the next n numbers, a block at a time.

    The numbers are those of one call for all of them, but there is no second array of that size in
    the wider dtype that they are drawn in.

    Parameters
    ----------
    shape : tuple of int
    dtype : str
    draw : callable
        From a number n to an array of shape (n,), which is cast to `dtype`.
    """
    numbers = np.empty(shape, dtype)
    flat = numbers.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        block[...] = draw(block.size)
    return numbers


def state(rng: "Generator | DeviceGenerator | None" = None) -> dict[str, Any]:
    """Where a generator is in its stream: plain numbers and names, of which JSON keeps every bit.

    Of xpnet's own streams there may be two: the host's and, under "device", that of dropout masks.

    >>> manual_seed(0)
    >>> here = state()
    >>> first = default_rng().random()
    >>> set_state(here)
    >>> default_rng().random() == first
    True
    """
    found = _plain(default_rng(rng).bit_generator.state)
    if rng is None and (device := _own()[1]) is not None:
        found["device"] = device.state
    return found


def set_state(numbers: dict[str, Any], rng: "Generator | DeviceGenerator | None" = None) -> None:
    """Bring a generator, in place, to where `state` found one.

    Dropout masks are then drawn where they were drawn before: on the GPU, or on the host.

    Raises
    ------
    StateError
        These are no numbers of such a generator. Then nothing is changed.
    """
    global _device
    generator = default_rng(rng).bit_generator
    try:
        device = None
        if rng is None and "device" in numbers:
            device = DeviceGenerator(0)
            device.state = numbers["device"]
            numbers = {name: x for name, x in numbers.items() if name != "device"}
        _assign(generator, numbers)
    except (AttributeError, TypeError, ValueError, KeyError, OverflowError) as error:
        name = type(generator).__name__
        raise StateError(f"Expected the state of a {name} generator: {error!r}.") from error
    if rng is not None:
        return
    if _copies.get() is None:
        _device = device
    else:
        _copies.set((_own()[0], device))


def _assign(generator: Any, numbers: dict[str, Any]) -> None:
    """Set the state of a bit generator; to what it was, if the numbers are not taken as they are."""
    before = generator.state
    try:
        generator.state = numbers
    except BaseException:
        generator.state = before
        raise
    if _plain(generator.state) != _plain(numbers):
        generator.state = before
        raise ArgumentError("its numbers are out of their range")


def _plain(numbers: dict[str, Any]) -> dict[str, Any]:
    """A generator's state with Python's numbers."""
    plain = {}
    for name, x in numbers.items():
        if isinstance(x, dict):
            plain[name] = _plain(x)
        else:
            plain[name] = x.tolist() if hasattr(x, "tolist") else x
    return plain
