"""Random numbers: drawn on the host, so that one seed means one thing on every backend.

NumPy draws them (PCG64), in float64 unless told otherwise; they are then cast and sent to the
device: the same initial weights, shuffles and dropout masks, bit for bit, on every library.

    manual_seed(0)                    start xpnet's own stream anew
    default_rng()                     that stream; default_rng(7), one of its own
    state(); set_state(numbers)       where the stream is, as JSON can hold it
"""

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet import tree
from xpnet.errors import StateError

if TYPE_CHECKING:  # NumPy itself loads numpy.random when it is first asked for
    Generator = np.random.Generator

_generator: "Generator | None" = None

notes: ContextVar[tuple[dict[Any, Any], ...]] = ContextVar("xpnet_notes", default=())
"""Where each generator stood (None: xpnet's own) when `default_rng` was first asked for it."""


def manual_seed(seed: int) -> None:
    """Start xpnet's random numbers anew from `seed`, for the whole process."""
    global _generator
    _generator = np.random.default_rng(seed)


def default_rng(rng: "int | Generator | None" = None) -> "Generator":
    """`rng` itself, a generator seeded by it, or (None) the one that `manual_seed` started."""
    global _generator
    if rng is None and _generator is None:
        _generator = np.random.default_rng()
    generator = np.random.default_rng(_generator if rng is None else rng)
    if rng is None or rng is generator:
        for noted in notes.get():
            noted.setdefault(rng, generator.bit_generator.state)
    return generator


def state(rng: "Generator | None" = None) -> dict[str, Any]:
    """Where a generator is in its stream: plain numbers and names, of which JSON keeps every bit.

    >>> manual_seed(0)
    >>> here = state()
    >>> first = default_rng().random()
    >>> set_state(here)
    >>> default_rng().random() == first
    True
    """
    numbers = default_rng(rng).bit_generator.state
    return dict(tree.map(lambda x: x.tolist() if hasattr(x, "tolist") else x, numbers))


def set_state(numbers: dict[str, Any], rng: "Generator | None" = None) -> None:
    """Bring a generator, in place, to where `state` found one.

    Raises
    ------
    StateError
        These are no numbers of such a generator.
    """
    generator = default_rng(rng).bit_generator
    try:
        generator.state = numbers
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        name = type(generator).__name__
        raise StateError(f"Expected the state of a {name} generator: {error!r}.") from error
