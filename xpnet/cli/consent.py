"""Consent: Python code of a run folder is executed only if the user trusts it."""

import sys
from typing import TYPE_CHECKING

import typer

from xpnet.cli.screen import echo
from xpnet.errors import StateError

if TYPE_CHECKING:
    from xpnet.training.model_file import Source


def require_consent(source: "Source", trust: bool) -> None:
    """Require that the user trusts the code: ask on a terminal, unless the answer is known already.

    A yes is remembered.

    Parameters
    ----------
    source : Source
    trust : bool
        Whether `--trust` was given.

    Raises
    ------
    StateError
        The code is not trusted, and the answer was no, or there is no terminal to ask on.
    """
    if source.is_trusted():
        return
    if not trust and sys.stdin.isatty() and sys.stderr.isatty():
        echo(source.warning(), err=True)
        trust = typer.confirm("Execute it?", err=True)
    if not trust:
        raise StateError(f"{source.warning()} If you trust it: --trust")
    source.trust()
