"""Checks: what cannot be learned from, told with the first sample that is at fault.

They look at data on the host. `rows`, if given, has the numbers that the samples have in the data
that these are a batch of.
"""

from collections.abc import Sequence
from typing import Any

from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.errors import DataError, ShapeError
from xpnet.training.meter import samples

Rows = Sequence[int]


def require_classes(t: Array, classes: int, rows: Rows | None = None) -> None:
    """Refuse integer targets that name no class.

    Raises
    ------
    DataError
        With the range of the labels, and the first row that has such a one.
    """
    xp = array_namespace(t)
    if not has_dtype(t, "integral"):
        return
    low, high = int(xp.min(t)), int(xp.max(t))
    if low < 0 or high >= classes:
        row = int(xp.argmax(xp.astype(xp.reshape((t < 0) | (t >= classes), (-1,)), xp.int32)))
        row //= max(t.size // t.shape[0], 1)
        row = row if rows is None else int(rows[row])
        raise DataError(
            f"The labels go from {low} to {high}, but the model has {classes} outputs, for "
            f"the classes 0 to {classes - 1}. The first that is outside is that of sample {row}."
        )


def require_numbers(name: str, data: Any, rows: Rows | None = None) -> None:
    """Refuse NaN and infinity: of one such number in x, all weights would soon be none.

    Raises
    ------
    DataError
        With the first place that has one.
    """
    for path, x in tree.matched(data, data):
        if x.dtype.kind in "USOMm":
            raise DataError(
                f"Expected numbers in {name}{path}, got {x.dtype}: of texts, give each a number."
            )
        xp = array_namespace(x)
        # The sum tells of NaN in one quick pass; it may also overflow: then the long way.
        if not has_dtype(x, "real floating") or bool(xp.isfinite(xp.sum(x))):
            continue
        bad = ~xp.isfinite(x)
        if not bool(xp.any(bad)):
            continue
        flat = int(xp.argmax(xp.astype(xp.reshape(bad, (-1,)), xp.int32)))
        place: list[int] = []
        for length in reversed(x.shape):
            flat, i = divmod(flat, length)
            place.insert(0, i)
        value = float(x[tuple(place)])
        place[0] = place[0] if rows is None else int(rows[place[0]])
        count = int(xp.sum(xp.astype(bad, xp.int64)))
        raise DataError(
            f"Expected numbers in {name}{path}, got {value} at {place}, of sample {place[0]}"
            f"{f', and {count - 1} more' if count > 1 else ''}. Leave such samples out, or fill "
            "them with the column's mean."
        )


def require_samples(x: Array) -> int:
    """How many samples there are; refuse what is no batch of samples, or an empty one."""
    for a in tree.leaves(x):
        if a.ndim == 0 or a.shape[0] == 0:
            raise ShapeError(f"Expected samples, x of shape (n, ...), got shape {tuple(a.shape)}.")
    return samples(x)
