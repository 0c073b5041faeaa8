"""What a layer expects of its input, and the error that says so."""

from typing import Any

from xpnet.errors import ArgumentTypeError, ShapeError
from xpnet.namespace import has_dtype

_Sizes = tuple[int | str, ...]  # a number is asked for; a name stands for any size


def require(layer: object, x: Any, sizes: _Sizes, dtype: Any = None) -> None:
    """Raise `misfit` unless x has these sizes and, where a dtype is given, floating-point numbers.

    >>> import xpnet
    >>> require(xpnet.ReLU(), xpnet.Variable([[1.0, 2.0]]), ("batch", 3))
    Traceback (most recent call last):
        ...
    xpnet.errors.ShapeError: ReLU() expected x of shape (batch, 3), got (1, 2).
    """
    if not _fits(getattr(x, "shape", None), sizes):
        raise misfit(layer, x, sizes)
    if dtype is not None and x.dtype != dtype and not has_dtype(x, "real floating"):
        raise misfit(layer, x, sizes, dtype)


def misfit(layer: object, x: Any, sizes: _Sizes, dtype: Any = None) -> Exception:
    """The error: what was expected and given, where, and what to try.

    With a dtype, that is what does not fit; else it is the shape, or that x is no array.
    """
    wanted = f"{layer!r} expected x of shape ({', '.join(map(str, sizes))})"
    if not hasattr(x, "shape"):
        hint = "xpnet.current().asarray(x) makes an array"
        if isinstance(x, tuple):  # as an LSTM gives them
            hint = "of the outputs of a layer that has several, take one: y, *_ = layer(x)"
        return ArgumentTypeError(f"{wanted}, got a {type(x).__name__}; {hint}.")
    shape = tuple(x.shape)
    if dtype is not None:
        return ArgumentTypeError(
            f"{wanted} and dtype {dtype}, got {x.dtype}. Use F.astype(x, dtype)."
        )
    return ShapeError(f"{wanted}, got {shape}.{_one_sample(shape, sizes)}")


def _one_sample(shape: tuple[int, ...], sizes: _Sizes) -> str:
    """Where the axis of the batch is all that lacks: how to make a batch of one."""
    if "batch" not in sizes:
        return ""
    at = sizes.index("batch")
    if not _fits((*shape[:at], 1, *shape[at:]), sizes):
        return ""
    rest = ":" if len(shape) == 1 else "..."
    return f" For one sample use x[{':, ' * at}None, {rest}]."


def _fits(shape: tuple[int, ...] | None, sizes: _Sizes) -> bool:
    if shape is None or len(shape) != len(sizes):
        return False
    return all(
        size == given or isinstance(size, str) for size, given in zip(sizes, shape, strict=True)
    )
