"""What a library cannot do for a network, and why: tested, and printed in the capability table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xpnet import BackendError, layers as L, to_numpy
from xpnet.kernels import kernels
from xpnet.training.precision import MixedPrecision


@dataclass(frozen=True)
class Limit:
    """`able(backend)` says whether it can; `lacks` says of whom it is known that they cannot."""

    able: Callable[[Any], bool]
    lacks: dict[str, str]


def passes(call: Callable[[], Any], error: type[Exception]) -> bool:
    """Whether there is no such error."""
    try:
        call()
    except error:
        return False
    return True


def computes_in(dtype: str) -> Callable[[Any], bool]:
    return lambda backend: passes(lambda: MixedPrecision(L.Affine(1, 1), dtype), BackendError)


STANDARD = (
    "it keeps to the standard, which has neither float16 nor bfloat16; a BackendError says so"
)
PORTABLE = "it runs the text in the standard, to which the kernels are tested equal"
LOOK = (
    "to look at the numbers would stop a GPU in every step; the row is nan, and so is the loss "
    "(a class number that names no class makes the loss inf, on all of them)"
)
LIMITS = {
    "mixed precision in float16": Limit(computes_in("float16"), {"array_api_strict": STANDARD}),
    "mixed precision in bfloat16": Limit(
        computes_in("bfloat16"),
        {
            "numpy": "NumPy has no bfloat16; a BackendError says so",
            "cupy": "CuPy has no bfloat16; a BackendError says so",
            "array_api_strict": STANDARD,
        },
    ),
    "an IndexError for a number that an Embedding has no row for": Limit(
        lambda b: not passes(lambda: to_numpy(L.Embedding(2, 1)(b.asarray([2]))), IndexError),
        dict.fromkeys(("array_api_strict", "torch", "jax"), LOOK),
    ),
    "kernels of its own for convolution and pooling": Limit(
        lambda b: kernels(b.asarray([0.0])) is not None,
        dict.fromkeys(("array_api_strict", "torch", "jax"), PORTABLE),
    ),
}
