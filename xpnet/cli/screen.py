"""Output of the commands: every line that they print passes through `echo`."""

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xpnet._printable import printable


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text on standard output or standard error, with control characters escaped.

    They may come from names of files, classes or columns.
    """
    stream = sys.stderr if err else sys.stdout
    stream.write(printable(text, keep="\n\t") + "\n" * nl)
    stream.flush()


@contextmanager
def user_warnings() -> Iterator[list[str]]:
    """A block whose user warnings are kept as texts, and not shown.

    Other warnings, and those of other threads, such as of one that loads data, are shown as before.
    """
    kept: list[str] = []
    thread = threading.get_ident()
    with warnings.catch_warnings(action="always", category=UserWarning):
        show = warnings.showwarning

        def keep(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if issubclass(category, UserWarning) and threading.get_ident() == thread:
                kept.append(str(message))
            else:
                show(message, category, *place)

        warnings.showwarning = keep
        yield kept
