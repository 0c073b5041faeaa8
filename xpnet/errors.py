"""The errors that xpnet raises on purpose: `except XpnetError` catches them all.

    XpnetError
    ├── ArgumentError          an argument has a value that is not allowed       ValueError
    ├── ArgumentTypeError      an argument is of the wrong type                  TypeError
    ├── BackendError           a backend is unknown or cannot be used here       RuntimeError
    ├── CheckError             a check of `xpnet.testing` failed                 AssertionError
    ├── CompileError           a step cannot be recorded and replayed            RuntimeError
    ├── DataError              a data file is missing, truncated or corrupt      ValueError
    ├── DistributedError       another rank of a training is missing or differs  RuntimeError
    ├── GradientError          a derivative does not exist                       RuntimeError
    │   └── ExportError        an array with a gradient leaves its graph         BufferError
    ├── IndexingError          an index or an axis is invalid or out of range    IndexError
    ├── MissingAttributeError  an object or a module has no such attribute       AttributeError
    ├── MissingKeyError        a mapping has no such key                         KeyError
    ├── MissingMethodError     a subclass does not define a required method      NotImplementedError
    ├── MissingPackageError    an optional package is not installed              ModuleNotFoundError
    ├── ShapeError             an array has a shape that does not fit            ValueError
    ├── StateError             saved weights do not fit their model or file      ValueError
    └── TrainingError          the loss became NaN or infinite                   ArithmeticError

Each is also the built-in error on the right, which a caller who does not know xpnet would catch.
A message states what was expected, what was given, where, and what to try. It often contains a name
from a file, so `printable` escapes characters that would act on a terminal.
"""

from xpnet._printable import printable

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "BackendError",
    "CheckError",
    "CompileError",
    "DataError",
    "DistributedError",
    "ExportError",
    "GradientError",
    "IndexingError",
    "MissingAttributeError",
    "MissingKeyError",
    "MissingMethodError",
    "MissingPackageError",
    "ShapeError",
    "StateError",
    "TrainingError",
    "XpnetError",
]


class XpnetError(Exception):
    """The base class of all errors that xpnet raises on purpose."""

    def __str__(self) -> str:
        # The method of Exception, because KeyError would show the message in quotation marks.
        return printable(Exception.__str__(self), keep="\n\t")


class ArgumentError(XpnetError, ValueError):
    """An argument has a value that is not allowed."""


class ArgumentTypeError(XpnetError, TypeError):
    """An argument is of the wrong type, or is missing."""


class BackendError(XpnetError, RuntimeError):
    """A backend is unknown, or this machine cannot run it; the message names what is missing."""


class CheckError(XpnetError, AssertionError):
    """A check of `xpnet.testing` failed: two arrays differ, or a derivative is wrong."""


class CompileError(XpnetError, RuntimeError):
    """A step cannot be recorded and replayed; the message names the line, and what to do instead."""


class DataError(XpnetError, ValueError):
    """A data file is missing, truncated, corrupt or inconsistent; the message names the file."""


class DistributedError(XpnetError, RuntimeError):
    """Another rank of a distributed training failed, is missing, or has other weights.

    Attributes
    ----------
    is_told : bool
        Whether another rank has this error, and has told it.
    """

    is_told: bool = False


class GradientError(XpnetError, RuntimeError):
    """A derivative does not exist, or nothing was recorded for it."""


class ExportError(GradientError, BufferError):
    """Another library asks for an array that requires a gradient, and would not record its use."""


class IndexingError(XpnetError, IndexError):
    """An index or an axis is invalid or out of range."""


class MissingAttributeError(XpnetError, AttributeError):
    """An object or a module has no such attribute; the message names what to use instead."""


class MissingKeyError(XpnetError, KeyError):
    """A mapping has no such key; the message lists those that it has."""


class MissingMethodError(XpnetError, NotImplementedError):
    """A subclass does not define a method that its base class requires."""


class MissingPackageError(XpnetError, ModuleNotFoundError):
    """An optional package is not installed; the message has the command that installs it."""


class ShapeError(XpnetError, ValueError):
    """An array has a shape that does not fit; the message states the expected and the given one."""


class StateError(XpnetError, ValueError):
    """Saved weights do not fit the model they are loaded into, or the file cannot be read."""


class TrainingError(XpnetError, ArithmeticError):
    """The loss of a training became NaN or infinite."""
