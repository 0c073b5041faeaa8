"""Flags that several commands share, and what their values may be."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer


def folder(text: str) -> Path:
    """`text` as a path. An empty one, perhaps of an unset variable, would be the current folder."""
    if not text:
        raise typer.BadParameter("expected a folder, got ''.")
    return Path(text)


Backend = Annotated[
    str,
    typer.Option(
        envvar="XPNET_BACKEND",
        metavar="LIBRARY[:DEVICE]",
        help="Library and device to compute on: numpy, cupy, cupy:1, torch:cuda, jax, auto; see "
        "xpnet doctor.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        parser=folder,
        help="Folder of four IDX files (plain, .gz or .xz), in place of the built-in MNIST.",
    ),
]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", parser=folder, help="Run folder, as xpnet train makes.")
]


WIDEST = 10**12  # a layer so wide fits into no memory; NumPy says that of it, but of no wider one


def one_of(flag: str, value: str, known: Iterable[str], hint: str = "") -> str:
    """The known name that `value` is, in small or capital letters."""
    names = list(known)
    if value.lower() not in names:
        raise typer.BadParameter(
            f"expected one of {', '.join(names)}; got {value!r}. {hint}".rstrip(), param_hint=flag
        )
    return value.lower()


def widths(text: str) -> list[int]:
    """The widths of hidden layers: "80" is [80] and "256,128" is [256, 128]."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not 1 <= min(numbers) <= max(numbers) <= WIDEST:
        raise typer.BadParameter(
            f"expected a width, or widths with commas between them, as in 80 or 256,128; each "
            f"from 1 to 10^12; got {text!r}.",
            param_hint="--hidden",
        )
    return numbers
