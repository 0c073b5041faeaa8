"""What went wrong in a function: what it expected, what it was given, and where.

Libraries differ in what they say of a mistake. Here it is said once, after the fact: a call that
succeeds pays nothing for it.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import array_api_compat as compat

from xpnet.errors import BackendError, GradientError, ShapeError


def explain(error: Exception, name: str, inputs: Sequence[Any], broadcasts: bool) -> None:
    """Raise what explains `error` better, or add to it a note of what the function was given.

    Parameters
    ----------
    error : Exception
        What a library's function raised.
    name : str
        Of the function.
    inputs : sequence of arrays and scalars
    broadcasts : bool
        Whether the inputs were to have shapes that broadcast.

    Raises
    ------
    BackendError
        The arrays lie on several devices.
    ShapeError
        Their shapes do not broadcast.
    """
    arrays = [x for x in inputs if hasattr(x, "shape")]
    devices = list(dict.fromkeys(str(compat.device(x)) for x in arrays))
    if len(devices) > 1 and len(set(map(type, arrays))) == 1:
        raise BackendError(
            f"{name} expected its arrays on one device, got {' and '.join(devices)}. "
            "Move one of them with x.to_device(device)."
        ) from error
    shapes = [tuple(x.shape) for x in arrays]
    if broadcasts and (clash := _clash(shapes)):
        given = " and ".join(map(str, shapes))
        raise ShapeError(
            f"{name} expected shapes that broadcast, got {given}: counted from the end, axis "
            f"{clash[0]} has lengths {' and '.join(map(str, clash[1:]))}."
        ) from error
    error.add_note(f"{name} was given {', '.join(map(_said, inputs))}")


def outdated(function: Any, x: Any) -> GradientError:
    """The error for a Variable that was changed after a function has kept it for its rule."""
    return GradientError(
        f"{type(function).__name__} has kept a {type(x).__name__} of shape {tuple(x.shape)} for its "
        "derivative, and an optimizer's step changed it since: compute the loss anew."
    )


def _clash(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """The last axis, and its lengths, along which the shapes do not broadcast."""
    for i, lengths in enumerate(zip_longest(*(s[::-1] for s in shapes), fillvalue=1), 1):
        if len(different := dict.fromkeys(n for n in lengths if n != 1)) > 1:
            return (-i, *different)
    return None


def _said(x: Any) -> str:
    """An array as its dtype, shape and device; a scalar as itself."""
    if hasattr(x, "shape"):
        dtype = str(x.dtype).rpartition(".")[2]  # torch.float32, array_api_strict.float32
        return f"{dtype} {tuple(x.shape)} on {compat.device(x)}"
    return repr(x)
