"""What a library cannot do for a network, and why: tested, and printed in the capability table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xpnet import BackendError, layers as L, to_numpy
from xpnet.functions import _windows
from xpnet.kernels import kernels
from xpnet.training.precision import MixedPrecision


@dataclass(frozen=True)
class Limit:
    """`able(backend)`: whether it can. `lacks`: the libraries that are known not to, and why."""

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


STANDARD = "it has only the standard's dtypes, not float16 or bfloat16; xpnet raises a BackendError"
PORTABLE = "it runs the portable code, to which the kernels are tested equal"
LIMITS = {
    "mixed precision in float16": Limit(computes_in("float16"), {"array_api_strict": STANDARD}),
    "mixed precision in bfloat16": Limit(
        computes_in("bfloat16"),
        {
            "numpy": "NumPy has no bfloat16; xpnet raises a BackendError",
            "cupy": "CuPy has no bfloat16; xpnet raises a BackendError",
            "array_api_strict": STANDARD,
        },
    ),
    "an IndexError for a number that an Embedding has no row for": Limit(
        lambda b: not passes(lambda: to_numpy(L.Embedding(2, 1)(b.asarray([2]))), IndexError),
        {},
    ),
    "kernels of its own for convolution and pooling": Limit(
        lambda b: kernels(_windows, b.asarray([0.0])) is not _windows,
        dict.fromkeys(("array_api_strict", "torch", "jax"), PORTABLE),
    ),
}
