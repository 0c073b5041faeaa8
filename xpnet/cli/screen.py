"""What the commands print: every line of theirs passes through `echo`."""

import sys

from xpnet._printable import printable


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print lines, on standard output or standard error; names in them cannot act on a terminal."""
    stream = sys.stderr if err else sys.stdout
    stream.write(printable(text, keep="\n\t") + "\n" * nl)
    stream.flush()
