"""Random numbers: drawn on the host, so that one seed means one thing on every backend.

NumPy draws them, by its generator PCG64, in float64 by default. They are then cast and copied to the
device: initial weights, shuffles and dropout masks are the same, bit for bit, on every library.

    manual_seed(0)                    restart xpnet's own stream
    default_rng()                     that stream; default_rng(7) is a stream of its own
    state(); set_state(numbers)       the state of the streams, in a form that JSON can hold

A dropout mask has as many numbers as its input, drawn on the host and copied to the GPU in every
step. With CuPy, masks can be drawn on the GPU:

    manual_seed(0, device=True)       all dropout masks are drawn from a stream on the GPU
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

from xpnet._typing import Array
from xpnet.errors import ArgumentError, MissingAttributeError, StateError

__all__ = [
    "DeviceGenerator",
    "aside",
    "default_rng",
    "draws_on_device",
    "in_blocks",
    "leap",
    "manual_seed",
    "mask_rng",
    "set_state",
    "state",
]

if TYPE_CHECKING:  # NumPy loads numpy.random only when it is first used
    Generator = np.random.Generator

LEAP = (
    0x9E3779B97F4A7C15  # between the keys of a DeviceGenerator: odd, so that no two soon coincide
)
BLOCK = 1 << 16  # how many numbers are drawn at a time: 512 KiB of float64, which fit into a cache

# xpnet's own streams: on the host, and for masks on the GPU. In a block `aside`, copies of both.
_generator: "Generator | None" = None
_device: "DeviceGenerator | None" = None
_copies: "ContextVar[tuple[Generator, DeviceGenerator | None] | None]" = ContextVar(
    "xpnet_streams", default=None
)
_lock = threading.Lock()  # not an attribute of generators, which are copied and pickled

notes: ContextVar[tuple[dict[Any, Any], ...]] = ContextVar("xpnet_notes", default=())
"""Dicts in which `default_rng` notes the state of each generator (None: xpnet's own) at its first use.

A `gradient_checkpoint` adds one: with it, the second run draws the same numbers as the first.
"""


class DeviceGenerator:
    """A stream of random numbers that are computed on the GPU, with CuPy.

    Parameters
    ----------
    seed : int
        0 or more.

    Attributes
    ----------
    key, counter : int
        The number of the stream, and how many of its blocks have been used, in 64 bits each. They
        are the whole state.

    Raises
    ------
    ValueError
        The seed is negative.

    Notes
    -----
    The algorithm is Philox4x32-10: block number `counter` of a stream consists of four numbers of 32
    bits, which are computed only from the counter and the key. So a checkpoint has no memory on the
    device to save, and threads may draw in any order. Only dropout masks are drawn. Source: Salmon,
    Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

    Examples
    --------
    A generator that gets the state of another one continues its stream:

    >>> from xpnet.random import DeviceGenerator
    >>> generator = DeviceGenerator(7)
    >>> first = generator.advance(100)  # as a mask of 400 numbers does, on the GPU
    >>> resumed = DeviceGenerator(0)
    >>> resumed.state = generator.state
    >>> resumed.counter, resumed.key == generator.key
    (100, True)
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
            raise ArgumentError(f"expected the state of Philox4x32, got {numbers['bit_generator']}")
        key = int(numbers["key"])
        counter = int(numbers["counter"])
        if not (0 <= key < 1 << 64 and 0 <= counter < 1 << 64):
            raise ArgumentError(
                f"expected key and counter from 0 to 2**64 - 1, got {key} and {counter}"
            )
        self.key = key
        self.counter = counter

    def advance(self, blocks: int) -> int:
        """Mark `blocks` blocks of four numbers as used, and return the number of the first."""
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
    """Restart xpnet's random numbers from `seed`, for the whole process.

    Parameters
    ----------
    seed : int
    device : bool
        Whether to draw dropout masks on the GPU, with CuPy: by one launch in each step instead of
        on the host with a copy. With other libraries, dropout then raises BackendError.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> xpnet.manual_seed(0)
    >>> a = xpnet.Affine(2, 3)
    >>> xpnet.manual_seed(0)
    >>> b = xpnet.Affine(2, 3)
    >>> bool(F.all(a.weight == b.weight))
    True
    """
    global _generator, _device
    _generator = np.random.default_rng(seed)
    _device = DeviceGenerator(seed) if device else None


def mask_rng(rng: "int | Generator | DeviceGenerator | None") -> Any:
    """The generator of a dropout mask: `rng`, or (None) the one that `manual_seed` chose for masks.

    Parameters
    ----------
    rng : int, numpy.random.Generator, DeviceGenerator or None
        An int is the seed of a new generator.

    Returns
    -------
    numpy.random.Generator or DeviceGenerator

    Examples
    --------
    >>> from xpnet.random import default_rng, manual_seed, mask_rng
    >>> manual_seed(0)
    >>> mask_rng(None) is default_rng()  # masks are drawn from xpnet's own stream on the host
    True
    >>> manual_seed(0, device=True)
    >>> mask_rng(None).state["bit_generator"]
    'Philox4x32'
    >>> manual_seed(0)
    """
    if rng is None:
        _, rng = _own()
    return default_rng(rng)


def draws_on_device(rng: "int | Generator | DeviceGenerator | None") -> bool:
    """Whether `mask_rng(rng)` is a DeviceGenerator.

    Parameters
    ----------
    rng : int, numpy.random.Generator, DeviceGenerator or None

    Examples
    --------
    >>> from xpnet.random import DeviceGenerator, draws_on_device
    >>> draws_on_device(7), draws_on_device(DeviceGenerator(7))
    (False, True)
    """
    if rng is None:
        _, rng = _own()
    return isinstance(rng, DeviceGenerator)


def default_rng(rng: "int | Generator | DeviceGenerator | None" = None) -> Any:
    """A generator: `rng` itself if it is one; one seeded by an int; xpnet's own for None.

    xpnet's own stream begins at a random seed, unless `manual_seed` is called.

    Parameters
    ----------
    rng : int, numpy.random.Generator, DeviceGenerator or None

    Returns
    -------
    numpy.random.Generator or DeviceGenerator

    Examples
    --------
    What a layer does with its argument `rng`:

    >>> from xpnet.random import default_rng
    >>> default_rng(7).random() == default_rng(7).random()  # one seed, one stream
    True
    >>> rng = default_rng(7)
    >>> default_rng(rng) is rng  # so that several layers draw from it in turn
    True
    """
    generator: Generator | DeviceGenerator
    if isinstance(rng, DeviceGenerator):
        generator = rng
    else:
        generator = np.random.default_rng(_own()[0] if rng is None else rng)
    if rng is None or rng is generator:
        for noted in notes.get():
            noted.setdefault(rng, generator.bit_generator.state)
    return generator


@contextmanager
def aside() -> Iterator[None]:
    """A block that draws from copies of xpnet's own streams, whose state does not change.

    Other threads continue to draw from the streams themselves.

    Examples
    --------
    >>> from xpnet.random import aside, default_rng
    >>> with aside():
    ...     x = default_rng().random()
    >>> default_rng().random() == x  # the stream itself has not moved
    True
    """
    token = _copies.set(deepcopy(_own()))
    try:
        yield
    finally:
        _copies.reset(token)


def _own() -> "tuple[Generator, DeviceGenerator | None]":
    """xpnet's own streams: the host's and, after `manual_seed(seed, device=True)`, the masks'."""
    global _generator
    copies = _copies.get()
    if copies is not None:
        return copies
    if _generator is None:
        _generator = np.random.default_rng()
    return _generator, _device


def in_blocks(shape: tuple[int, ...], dtype: str, draw: Callable[[int], Array]) -> Array:
    """An array on the host, filled block by block by `draw(n)`, which draws the next n numbers.

    The numbers are the same as from one call for all of them, but that would take a second array of
    this size, in the wider dtype in which they are drawn.

    Parameters
    ----------
    shape : tuple of int
    dtype : str
    draw : callable
        draw(n) returns an array of shape (n,), which is cast to `dtype`.

    Returns
    -------
    numpy.ndarray

    Examples
    --------
    >>> from xpnet.random import default_rng, in_blocks
    >>> x = in_blocks((1000, 100), "float32", default_rng(0).random)
    >>> at_once = default_rng(0).random((1000, 100))  # in twice the memory
    >>> bool((x == at_once.astype("float32")).all())
    True
    """
    numbers = np.empty(shape, dtype)
    flat = numbers.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        block[...] = draw(block.size)
    return numbers


def state(rng: "Generator | DeviceGenerator | None" = None) -> dict[str, Any]:
    """The state of a generator: plain numbers and names, which JSON represents exactly.

    xpnet's own state may have that of two streams: the host's and, under "device", the masks'.

    Parameters
    ----------
    rng : numpy.random.Generator, DeviceGenerator or None
        None: xpnet's own streams.

    Examples
    --------
    >>> from xpnet.random import default_rng, set_state, state
    >>> here = state()
    >>> first = default_rng().random()
    >>> set_state(here)
    >>> default_rng().random() == first
    True
    """
    found = _plain(default_rng(rng).bit_generator.state)
    if rng is None:
        _, device = _own()
        if device is not None:
            found["device"] = device.state
    return found


def set_state(numbers: dict[str, Any], rng: "Generator | DeviceGenerator | None" = None) -> None:
    """Set the state of a generator, in place, to one that `state` returned.

    Dropout masks are then drawn where they were drawn before: on the GPU, or on the host.

    Parameters
    ----------
    numbers : dict
        The result of `state`, or what JSON made of it.
    rng : numpy.random.Generator, DeviceGenerator or None
        None: xpnet's own streams.

    Raises
    ------
    StateError
        It is not the state of such a generator. Then nothing is changed.

    Examples
    --------
    >>> import json
    >>> from xpnet.random import default_rng, set_state, state
    >>> rng = default_rng(7)
    >>> saved = json.dumps(state(rng))
    >>> x = rng.random()
    >>> set_state(json.loads(saved), rng)
    >>> rng.random() == x
    True
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


def leap(times: int, rng: "Generator | DeviceGenerator | None" = None) -> None:
    """Move a generator to another part of its stream, for one of many that must not draw the same.

    Each of `times` leaps is longer than any program draws: after them the numbers have nothing to do
    with those at another number of leaps. xpnet's own stream for masks leaps too, if there is one.

    Parameters
    ----------
    times : int
        0 or more; with 0 the generator stays where it is.
    rng : numpy.random.Generator, DeviceGenerator or None
        None: xpnet's own streams.

    Raises
    ------
    ArgumentError
        It is a generator of NumPy that cannot leap, such as SFC64.

    Examples
    --------
    >>> from xpnet.random import default_rng, leap
    >>> workers = [default_rng(0) for _ in range(3)]  # with the same seed
    >>> for number, rng in enumerate(workers):
    ...     leap(number, rng)
    >>> len({rng.random() for rng in workers})  # and different numbers
    3
    """
    if rng is None and _own()[1] is not None:
        leap(times, _own()[1])
    generator = default_rng(rng).bit_generator
    if isinstance(generator, DeviceGenerator):
        # Streams of different keys are independent.
        generator.key = (generator.key + times * LEAP) % (1 << 64)
        return
    if not hasattr(generator, "jumped"):
        raise ArgumentError(
            f"Expected a generator that can leap, such as numpy.random.default_rng(seed), got one of "
            f"{type(generator).__name__}."
        )
    if times:
        generator.state = generator.jumped(times).state


def _assign(generator: Any, numbers: dict[str, Any]) -> None:
    """Set the state of a bit generator, or leave it unchanged if it does not accept the numbers."""
    before = generator.state
    try:
        generator.state = numbers
    except BaseException:
        generator.state = before
        raise
    if _plain(generator.state) != _plain(numbers):
        generator.state = before
        raise ArgumentError("some of its numbers are out of range")


def _plain(numbers: dict[str, Any]) -> dict[str, Any]:
    """A generator's state with Python's numbers in place of NumPy's."""
    plain = {}
    for name, x in numbers.items():
        if isinstance(x, dict):
            plain[name] = _plain(x)
        elif hasattr(x, "tolist"):
            plain[name] = x.tolist()
        else:
            plain[name] = x
    return plain
