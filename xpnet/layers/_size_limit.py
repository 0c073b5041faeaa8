"""A limit on the size of the parameters that are created.

A saved run names a model and holds its weights. Before such a file's model is built, the limit is set
to what the weights need, so that a damaged or hostile file cannot make xpnet allocate more.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from xpnet.errors import ArgumentError


class _Budget:
    def __init__(self, size: int) -> None:
        self.remaining = size  # numbers


_budget: ContextVar[_Budget | None] = ContextVar("xpnet_parameter_budget", default=None)


@contextmanager
def size_limit(size: int) -> Iterator[None]:
    """A block in which the parameters that are created have at most `size` numbers in all.

    Raises
    ------
    ValueError
        At the first parameter that exceeds the limit, before memory is allocated for it.
    """
    token = _budget.set(_Budget(size))
    try:
        yield
    finally:
        _budget.reset(token)


def require_within_limit(shape: tuple[int, ...]) -> None:
    """Count a parameter of this shape; ArgumentError if an enclosing `size_limit` is exceeded."""
    budget = _budget.get()
    if budget is None:
        return
    # An empty parameter counts as one number; else a file could ask for any number of them.
    size = max(1, math.prod(shape))
    if size > budget.remaining:
        raise ArgumentError(
            f"Expected parameters of at most {budget.remaining} more numbers, as there are saved "
            f"weights, got one of shape {shape}."
        )
    budget.remaining -= size
