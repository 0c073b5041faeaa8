"""Checks of a layer's input, and the errors they raise."""

from numbers import Integral
from typing import Any

from xpnet._typing import Array, DType
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentTypeError, ShapeError

_Sizes = tuple[int | str, ...]  # a number is required; a name stands for any size


def require(layer: object, x: Array, sizes: _Sizes, parameter: Array | None = None) -> None:
    """Raise `misfit` unless x has these sizes and, if a parameter is given, its dtype.

    >>> import xpnet
    >>> require(xpnet.ReLU(), xpnet.Variable([[1.0, 2.0]]), ("batch", 3))
    Traceback (most recent call last):
        ...
    xpnet.errors.ShapeError: ReLU() expected x of shape (batch, 3), got (1, 2).
    """
    if not _fits(getattr(x, "shape", None), sizes):
        raise misfit(layer, x, sizes)
    if parameter is None:
        return
    # Usually both are identical, which is fast to see; `require_dtype` compares in full.
    if x.dtype is not parameter.dtype or type(data_of(x)) is not type(data_of(parameter)):
        require_dtype(layer, x, sizes, parameter)


def sequence_axes(batch_first: bool) -> tuple[str, str]:
    """The names of the first two axes of a batch of sequences."""
    if batch_first:
        return ("batch", "length")
    return ("length", "batch")


def require_whole(layer: object, **sizes: Any) -> None:
    """Raise ArgumentTypeError unless each of these sizes, by name, is a whole number."""
    for name, size in sizes.items():
        if not isinstance(size, Integral) or isinstance(size, bool):
            given = f"{size!r}."
            if getattr(size, "shape", ()):  # as in Affine(W, b) of the books
                given = (
                    f"an array of shape {tuple(size.shape)}. A layer creates its arrays; others are set "
                    "afterwards, as in layer.weight.data = array."
                )
            raise ArgumentTypeError(
                f"{type(layer).__name__} expected {name} to be a whole number, got {given}"
            )


def require_dtype(
    layer: object, x: Array, sizes: _Sizes, parameter: Array, name: str = "x"
) -> None:
    """Raise `misfit` unless x is of the parameter's library, and of its dtype in any byte order.

    The product of a float32 weight and a float64 input would be float64, and so would everything
    that is computed from it. xpnet does not do that silently.
    """
    xp = array_namespace(x, parameter)  # raises an error if they are of two libraries
    if x.dtype == parameter.dtype:
        return
    if not has_dtype(x, "real floating"):
        raise misfit(layer, x, sizes, parameter.dtype, name)
    # finfo's dtype is in native byte order, so a big-endian float32 is accepted.
    if xp.finfo(x.dtype).dtype != xp.finfo(parameter.dtype).dtype:
        raise misfit(layer, x, sizes, parameter.dtype, name)


def require_floating(
    layer: object, x: Array, sizes: _Sizes, expected: str = "real floating"
) -> None:
    """Raise `misfit` unless x has real floating-point numbers of any width.

    The error names the dtype `expected`.
    """
    if not has_dtype(x, "real floating"):
        raise misfit(layer, x, sizes, expected)


def misfit(
    layer: object, x: Array, sizes: _Sizes, dtype: DType | None = None, name: str = "x"
) -> Exception:
    """The error for an input: what was expected and given, where, and what to try.

    If x is not an array, the error is about its type; else about the dtype, if one is given, or about
    the shape.
    """
    wanted = f"{layer!r} expected {name} of shape ({', '.join(map(str, sizes))})"
    if not hasattr(x, "shape"):
        hint = "xpnet.current().asarray(x) makes an array"
        if isinstance(x, tuple):  # as an LSTM returns them
            hint = "if a layer has several outputs, take one of them: y, *_ = layer(x)"
        return ArgumentTypeError(f"{wanted}, got a {type(x).__name__}; {hint}.")
    shape = tuple(x.shape)
    if dtype is not None:
        dtype_name = str(dtype).rpartition(".")[2]
        given = _given_dtype(x, dtype_name, name)
        return ArgumentTypeError(f"{wanted} and dtype {dtype_name}, got {given}")
    return ShapeError(f"{wanted}, got {shape}.{_hint_for_one_sample(shape, sizes)}")


def _given_dtype(x: Array, dtype: str, name: str) -> str:
    """The dtype of x, and how to convert x to the expected one."""
    given = str(x.dtype).rpartition(".")[2]
    if dtype == "real floating":
        dtype = "float32"
    library = array_namespace(x).__name__.rpartition(" ")[2].removeprefix("array_api_compat.")
    advice = f"{given}. Use F.astype({name}, {library}.{dtype})"
    if given == "float64":
        advice += ', or create the layer in float64, after xpnet.use(..., dtype="float64")'
    return f"{advice}."


def _hint_for_one_sample(shape: tuple[int, ...], sizes: _Sizes) -> str:
    """If only the batch axis is missing, how to make a batch of one sample; else empty."""
    if "batch" not in sizes:
        return ""
    axis = sizes.index("batch")
    if not _fits((*shape[:axis], 1, *shape[axis:]), sizes):
        return ""
    rest = ":" if len(shape) == 1 else "..."
    return f" For one sample use x[{':, ' * axis}None, {rest}]."


def _fits(shape: tuple[int, ...] | None, sizes: _Sizes) -> bool:
    if shape is None or len(shape) != len(sizes):
        return False
    return all(
        size == given or isinstance(size, str) for size, given in zip(sizes, shape, strict=True)
    )
