"""What a layer expects of its input, and the error that says so."""

from numbers import Integral
from typing import Any

from xpnet._typing import Array, DType
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentTypeError, ShapeError

_Sizes = tuple[int | str, ...]  # a number is asked for; a name stands for any size


def require(layer: object, x: Array, sizes: _Sizes, parameter: Any = None) -> None:
    """Raise `misfit` unless x has these sizes and, where a parameter is given, its dtype.

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
    if x.dtype is not parameter.dtype or type(data_of(x)) is not type(data_of(parameter)):
        require_dtype(layer, x, sizes, parameter)


def require_whole(layer: object, **sizes: Any) -> None:
    """Raise ArgumentTypeError unless each of these sizes, by name, is a whole number."""
    for name, size in sizes.items():
        if not isinstance(size, Integral) or isinstance(size, bool):
            raise ArgumentTypeError(
                f"{type(layer).__name__} expected {name} to be a whole number, got {size!r}."
            )


def require_dtype(layer: object, x: Array, sizes: _Sizes, parameter: Any, name: str = "x") -> None:
    """Raise `misfit` unless x is of the parameter's library, and of its dtype in any byte order.

    A product with float64 would be float64, and so would all that comes after it: that is never
    done without being asked for.
    """
    xp = array_namespace(x, parameter)  # of one library, or an error that says what to write
    if x.dtype == parameter.dtype:
        return
    if (
        not has_dtype(x, "real floating")
        or xp.finfo(x.dtype).dtype != xp.finfo(parameter.dtype).dtype
    ):
        raise misfit(layer, x, sizes, parameter.dtype, name)


def require_floating(layer: object, x: Array, sizes: _Sizes, asked: str = "real floating") -> None:
    """Raise `misfit` unless x has real floating-point numbers, of any width; `asked` is what the error names."""
    if not has_dtype(x, "real floating"):
        raise misfit(layer, x, sizes, asked)


def misfit(
    layer: object, x: Array, sizes: _Sizes, dtype: DType | None = None, name: str = "x"
) -> Exception:
    """The error: what was expected and given, where, and what to try.

    With a dtype, that is what does not fit; else it is the shape, or that x is no array.
    """
    wanted = f"{layer!r} expected {name} of shape ({', '.join(map(str, sizes))})"
    if not hasattr(x, "shape"):
        hint = "xpnet.current().asarray(x) makes an array"
        if isinstance(x, tuple):  # as an LSTM gives them
            hint = "of the outputs of a layer that has several, take one: y, *_ = layer(x)"
        return ArgumentTypeError(f"{wanted}, got a {type(x).__name__}; {hint}.")
    shape = tuple(x.shape)
    if dtype is not None:
        named = str(dtype).rpartition(".")[2]
        return ArgumentTypeError(f"{wanted} and dtype {named}, got {_advice(x, named, name)}")
    return ShapeError(f"{wanted}, got {shape}.{_one_sample(shape, sizes)}")


def _advice(x: Array, dtype: str, name: str) -> str:
    """The dtype that was given, and how to give the one that is expected."""
    given = str(x.dtype).rpartition(".")[2]
    dtype = "float32" if dtype == "real floating" else dtype
    library = array_namespace(x).__name__.rpartition(" ")[2].removeprefix("array_api_compat.")
    advice = f"{given}. Use F.astype({name}, {library}.{dtype})"
    if given == "float64":
        advice += ', or create the layer in float64, after xpnet.use(..., dtype="float64")'
    return f"{advice}."


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
