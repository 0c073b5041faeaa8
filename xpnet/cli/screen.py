"""What a command shows: lines, and on a terminal a bar that moves."""

import sys

from rich.console import Console

from xpnet.training.callbacks import ProgressBar as Screen

__all__ = ["Screen", "console"]


def console() -> Console:
    """Lines to standard output; no control characters in them unless it is a terminal."""
    terminal = sys.stdout.isatty()
    return Console(force_terminal=terminal, highlight=False, markup=False, soft_wrap=True)
