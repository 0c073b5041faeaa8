"""Why a step cannot be replayed: what is reported, where, and what to do instead."""

import sys
from traceback import walk_tb
from types import FrameType
from typing import NamedTuple

from xpnet.compiler.origins import is_users_file

__all__ = [
    "ACTION",
    "ADVICE",
    "CAUGHT",
    "DETACH",
    "DRAW",
    "ERRORS",
    "INDEX",
    "METHOD",
    "NUMBER",
    "OUTSIDE",
    "READ",
    "SHAPE",
    "STALE",
    "THREAD",
    "TUPLE",
    "Failure",
    "line_of",
    "where",
]

BRANCH = "Choose between arrays with F.where, or decide where the step is called."
READ = "Return the array, and read it where the step is called."
CONVERSION = (
    "Return the array, and convert it where the step is called. To write it into an array, create that "
    "with np.zeros(n, like=x)."
)
INDEX = "Index with the array itself, by F.take, or pass the number as an argument of the step."
OUTSIDE = "Write into an array that the function can reach by its attributes, or return a new one."
NUMBER = (
    "Compute with the number, or use it in the action of xpnet.compiler.each_step that returns it."
)
METHOD = "Use a function of the array API standard or of xpnet.functions, which change no array."
ACTION = (
    "A replay calls its actions before it computes arrays: return the array, and read it outside."
)
CAUGHT = "A replay would run the code after it always: catch it where the step is called."
DETACH = "Pass x.detach(), or make it an xpnet.Parameter: PyTorch's own gradients are not recorded."
ERRORS = (
    "Call the compiled function within np.errstate, or look for NaN and infinity with F.isfinite."
)
TUPLE = "Keep the arrays in an attribute, a list or a dict, where the step can put new ones."
THREAD = "Compute in the thread of the step."
STALE = (
    "Both are parts of the same memory: copy one of them, or change the array itself by x[key] = y."
)
SHAPE = "Keep all elements, and set those that do not count to 0 with F.where."
DRAW = "Draw them in an action of xpnet.compiler.each_step, or by a layer of xpnet such as Dropout."
ADVICE = {"bool": BRANCH, "int": INDEX, "index": INDEX, "np.asarray": CONVERSION}


class Failure(NamedTuple):
    """Why a step cannot be replayed.

    Attributes
    ----------
    where : str
        "file:line" of the user's code; in a notebook, "Cell In[3]:line".
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


def where(thread: int | None = None) -> str:
    """The innermost call that is the user's, as "file:line"; of another thread if it has none."""
    return _line(sys._getframe(1)) or _line(sys._current_frames().get(thread or 0))  # noqa: SLF001


def _line(frame: FrameType | None) -> str:
    """The first line of the user's among a frame and its callers."""
    seen = ""  # many frames in a row are of one file
    while frame is not None:
        filename = frame.f_code.co_filename
        if filename != seen and is_users_file(filename):
            break
        seen = filename
        frame = frame.f_back
    if frame is None:
        return ""
    return f"{_shown(frame.f_code.co_filename)}:{frame.f_lineno}"


def _shown(filename: str) -> str:
    """The file as its author knows it: a cell of a notebook, which is a temporary file, as "Cell In[3]"."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if get_shell is None else get_shell()
    format_name = getattr(getattr(shell, "compile", None), "format_code_name", None)
    cell = None if format_name is None else format_name(filename)  # ("Cell", "In[3]")
    return " ".join(cell) if cell else filename


def line_of(error: BaseException) -> str:
    """The innermost line of the user's that an error passed through, as "file:line"."""
    lines = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    for filename, line in reversed(lines):
        if is_users_file(filename):
            return f"{_shown(filename)}:{line}"
    return ""
