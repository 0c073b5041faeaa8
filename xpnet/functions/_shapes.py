"""Axes, slices along one of them, and whether shapes broadcast."""

from collections.abc import Sequence

from xpnet._typing import Array

Axis = int | tuple[int, ...] | None
"""One axis, several, or None for all of them; negative ones count from the end."""


def slice_along(x: Array, axis: int, start: int | None, stop: int | None) -> Array:
    """x[start:stop] along an axis that is counted from the front."""
    before = (slice(None),) * axis
    return x[(*before, slice(start, stop), ...)]


def broadcasts_to(shape: Sequence[int], target: Sequence[int]) -> bool:
    """Whether an array of that shape broadcasts to the target, which itself does not change."""
    if len(shape) > len(target):
        return False
    pairs = zip(reversed(shape), reversed(target), strict=False)
    return all(n in (1, m) for n, m in pairs)
