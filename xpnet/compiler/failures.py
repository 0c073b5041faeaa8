"""Why a step cannot be replayed: what is reported, where, and what to do instead."""

import sys
from functools import cache
from pathlib import Path
from sysconfig import get_paths
from types import FrameType
from typing import NamedTuple

__all__ = [
    "ADVICE",
    "DRAW",
    "INDEX",
    "METHOD",
    "NUMBER",
    "OUTSIDE",
    "READ",
    "SHAPE",
    "Failure",
    "where",
]

NOT_THE_USERS = (
    str(Path(__file__).parent.parent),
    *(get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    "<frozen ",
)
"""Where code is that an error is not in: xpnet, Python's own library, and packages."""


BRANCH = "Choose between arrays with F.where, or decide where the step is called."
READ = "Return the array, and read it where the step is called."
INDEX = "Index with the array itself, by F.take, or pass the number as an argument of the step."
OUTSIDE = "Write into an array that the function can reach by its attributes, or return a new one."
NUMBER = "Compute with the number, or use it in an action of xpnet.compiler.each_step."
METHOD = "Use a function of the array API standard or of xpnet.functions, which change no array."
SHAPE = "Keep all places, and set those that do not count to 0 with F.where."
DRAW = "Draw them in an action of xpnet.compiler.each_step, or by a layer of xpnet such as Dropout."
ADVICE = {"bool": BRANCH, "int": INDEX, "index": INDEX}


class Failure(NamedTuple):
    """Why a step cannot be replayed.

    Attributes
    ----------
    where : str
        "file:line" of the user's code.
    what : str
        What the step does there.
    advice : str
        What to do instead.
    """

    where: str
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.advice}".removeprefix(": ")


@cache
def _is_users(filename: str) -> bool:
    return not filename.startswith(NOT_THE_USERS)


def where() -> str:
    """The innermost call that is the user's, as "file:line"."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the one way to a caller
    while frame is not None and not _is_users(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return ""
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
