"""Output of the commands: every line that they print passes through `echo`."""

import sys

from xpnet._printable import printable


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text on standard output or standard error, with control characters escaped.

    They may come from names of files, classes or columns.
    """
    stream = sys.stderr if err else sys.stdout
    stream.write(printable(text, keep="\n\t") + "\n" * nl)
    stream.flush()
