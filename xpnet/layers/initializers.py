"""How parameters begin: random enough to differ, scaled so that signals keep their size.

An initializer is a function `(shape, rng) -> array`. It draws on the host in float64, a block at a
time, casts to the backend's dtype, and sends the result to the backend's device: one seed gives the
same numbers, bit for bit, on every library.

For a weight of shape (in_features, out_features), fan_in = in_features, fan_out = out_features.
For the kernel of a convolution, of shape (outputs, channels, *lengths), fan_in is the product of
channels and lengths, and fan_out that of outputs and lengths.

    glorot_normal, glorot_uniform    variance 2 / (fan_in + fan_out)    sigmoid, tanh, softmax
    he_normal, he_uniform            variance 2 / fan_in                ReLU
    lecun_normal, lecun_uniform      variance 1 / fan_in                linear, SELU
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from xpnet._typing import Array
from xpnet.backend import current
from xpnet.errors import ArgumentError, ShapeError
from xpnet.random import default_rng, in_blocks

__all__ = [
    "at_most",
    "drawn",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "initializer",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "require_room",
    "uniform",
    "zeros",
]

Shape = tuple[int, ...]
Initializer = Callable[..., Array]


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """A block in which the parameters that are created have at most so many numbers in all.

    A model that needs more is refused before memory is taken for it: as that of a file that asks
    for a larger one than it has weights for.

    Raises
    ------
    ValueError
        At the first parameter that is too large.
    """
    token = _left.set([size])
    try:
        yield
    finally:
        _left.reset(token)


_left: ContextVar[list[int] | None] = ContextVar("xpnet_initializers_left", default=None)


def require_room(shape: Shape) -> None:
    """Count a parameter of this shape; an error if an enclosing `at_most` does not allow it."""
    left = _left.get()
    if left is None:
        return
    left[0] -= max(1, math.prod(shape))  # an empty one counts too: layers without end have end
    if left[0] < 0:
        raise ArgumentError(f"A parameter of shape {shape} is larger than what is left.")


def zeros(shape: Shape, rng: Any = None) -> Array:
    """Zeros; for biases. A weight of zeros never learns: its hidden units stay alike."""
    require_room(shape)
    backend = current()
    with backend.selected():
        return backend.xp.zeros(shape, dtype=backend.dtype, device=backend.device)


def normal(shape: Shape, rng: Any = None, *, std: float = 0.01) -> Array:
    """Normal numbers, mean 0, standard deviation `std`."""
    rng = default_rng(rng)
    return drawn(shape, lambda n: rng.standard_normal(n) * std)


def glorot_normal(shape: Shape, rng: Any = None) -> Array:
    """Normal, variance 2 / (fan_in + fan_out): Glorot and Bengio, AISTATS 2010, section 4.2.1."""
    return normal(shape, rng, std=math.sqrt(2.0 / sum(_fans(shape))))


def glorot_uniform(shape: Shape, rng: Any = None) -> Array:
    """Uniform, variance 2 / (fan_in + fan_out): Glorot and Bengio, AISTATS 2010, eq. 16."""
    return _uniform(shape, rng, 2.0 / sum(_fans(shape)))


def he_normal(shape: Shape, rng: Any = None) -> Array:
    """Normal, variance 2 / fan_in: He, Zhang, Ren and Sun, ICCV 2015, eq. 10."""
    return normal(shape, rng, std=math.sqrt(2.0 / _fans(shape)[0]))


def he_uniform(shape: Shape, rng: Any = None) -> Array:
    """Uniform, variance 2 / fan_in: He, Zhang, Ren and Sun, ICCV 2015, eq. 10."""
    return _uniform(shape, rng, 2.0 / _fans(shape)[0])


def lecun_normal(shape: Shape, rng: Any = None) -> Array:
    """Normal, variance 1 / fan_in: LeCun, Bottou, Orr and Mueller, "Efficient BackProp", 1998."""
    return normal(shape, rng, std=math.sqrt(1.0 / _fans(shape)[0]))


def lecun_uniform(shape: Shape, rng: Any = None) -> Array:
    """Uniform, variance 1 / fan_in: LeCun, Bottou, Orr and Mueller, "Efficient BackProp", 1998."""
    return _uniform(shape, rng, 1.0 / _fans(shape)[0])


BY_NAME: dict[str, Initializer] = {
    f.__name__: f
    for f in (
        zeros,
        normal,
        glorot_normal,
        glorot_uniform,
        he_normal,
        he_uniform,
        lecun_normal,
        lecun_uniform,
    )
}


def initializer(which: str | Initializer) -> Initializer:
    """The initializer of that name; a function is its own.

    Raises
    ------
    ValueError
        No initializer has that name; the message lists those there are.
    """
    if callable(which):
        return which
    if which not in BY_NAME:
        raise ArgumentError(
            f"Unknown initializer {which!r}. Expected one of: {', '.join(BY_NAME)}."
        )
    return BY_NAME[which]


def uniform(shape: Shape, rng: Any, bound: float) -> Array:
    """Numbers from -bound to bound, all alike."""
    rng = default_rng(rng)
    return drawn(shape, lambda n: rng.uniform(-bound, bound, n))


def _uniform(shape: Shape, rng: Any, variance: float) -> Array:
    return uniform(shape, rng, math.sqrt(3.0 * variance))  # U(-a, a) has variance a^2 / 3


def drawn(shape: Shape, draw: Callable[[int], Any]) -> Array:
    """Numbers that `draw` makes on the host in float64, where the switch points and in its dtype."""
    require_room(shape)
    backend = current()
    name = str(backend.dtype).rpartition(".")[2]
    name = "float64" if "float64" in name else "float32"
    return backend.asarray(in_blocks(shape, name, draw), dtype=backend.dtype)


def _fans(shape: Shape) -> tuple[int, int]:
    """How many numbers go into an output, and how many outputs an input goes into."""
    if len(shape) < 2 or min(shape) < 1:
        raise ShapeError(
            f"Expected a weight of shape (in_features, out_features), or a kernel of shape "
            f"(outputs, channels, *lengths), all of them 1 or more, got {shape}."
        )
    if len(shape) == 2:
        return shape
    lengths = math.prod(shape[2:])
    return shape[1] * lengths, shape[0] * lengths
