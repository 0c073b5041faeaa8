"""Everything that xpnet raises of its own.

    XpnetError
    ├── BackendError      a backend is unknown or cannot be used here    (also a RuntimeError)
    ├── DataError         a file of data is missing, cut or corrupt      (also a ValueError)
    ├── ShapeError        an array does not fit where it was given       (also a ValueError)
    ├── GradientError     a derivative is asked for that does not exist  (also a RuntimeError)
    ├── StateError        weights that do not fit their model or file    (also a ValueError)
    └── TrainingError     the loss is no number any more                 (also an ArithmeticError)

Each message says what was expected, what was given, where, and what to try. Each class is also
the built-in error that a caller without knowledge of xpnet would catch.
"""


class XpnetError(Exception):
    """The root: catch it to catch all that xpnet raises of its own."""


class BackendError(XpnetError, RuntimeError):
    """A backend is unknown, or this machine cannot run it; the message says what is missing."""


class DataError(XpnetError, ValueError):
    """A data file is missing, cut, corrupt or inconsistent; the message names the file."""


class ShapeError(XpnetError, ValueError):
    """An array's shape does not fit; the message gives the expected and the given one."""


class GradientError(XpnetError, RuntimeError):
    """A gradient is asked for where none exists."""


class StateError(XpnetError, ValueError):
    """Saved weights do not fit the model they are loaded into, or the file is not readable."""


class TrainingError(XpnetError, ArithmeticError):
    """A training's loss became infinite or NaN."""
