"""The commands, and how their errors are reported."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from xpnet import __version__
from xpnet._printable import printable
from xpnet.cli.doctor import doctor
from xpnet.cli.evaluate import evaluate
from xpnet.cli.export import export
from xpnet.cli.predict import predict
from xpnet.cli.ranks import CommandOfRanks
from xpnet.cli.screen import echo
from xpnet.cli.train import train
from xpnet.errors import XpnetError

# Click's class of errors in the command line; newer versions of typer contain a copy of Click.
_UsageError: Any = typer.BadParameter.__base__


class Commands(TyperGroup):
    """The commands; errors of the user, the data or the machine are printed without a traceback."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the command line."""
        with _reported():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _reported(), warnings.catch_warnings():
            # A loss that overflows ends in an error, which names the reason once.
            warnings.simplefilter("ignore", RuntimeWarning)
            return super().invoke(ctx)


@contextmanager
def _reported() -> Iterator[None]:
    """A block whose errors are printed and become an exit code, unless they are bugs of xpnet."""
    try:
        yield
    except BrokenPipeError:
        raise  # as in `xpnet doctor | head`; typer exits without a message
    except _UsageError as error:
        error.message = printable(error.message)  # typer prints the error, in a frame
        _remove_hidden_suggestions(error)
        raise
    except (XpnetError, OSError, MemoryError) as error:
        message = str(error) or "there is not enough memory."  # a MemoryError has no message
        _print_with_notes(f"Error: {message}", error)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as interrupt:
        from xpnet.training.interrupt import ignore_in_all_blocks

        ignore_in_all_blocks()
        _print_with_notes("Interrupted.", interrupt)
        raise typer.Exit(130) from None


def _remove_hidden_suggestions(error: Any) -> None:
    """Remove the flags that the help does not show from the suggestions for an unknown flag."""
    if getattr(error, "possibilities", None) and error.ctx is not None:
        parameters = error.ctx.command.params
        hidden = {name for p in parameters if getattr(p, "hidden", False) for name in p.opts}
        error.possibilities = [name for name in error.possibilities if name not in hidden]


def _print_with_notes(sentence: str, error: BaseException) -> None:
    """Print a sentence and the error's notes (`BaseException.add_note`) on one line."""
    notes = getattr(error, "__notes__", [])
    if notes:
        if not sentence.endswith((".", ".)")):
            sentence += "."
        sentence = f"{sentence} {'. '.join(notes)}"
    echo(" ".join(sentence.split()), err=True)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Neural networks on NumPy, CuPy and other array libraries.",
    epilog="Begin with: xpnet train",
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"xpnet {__version__}")
        raise typer.Exit


@app.callback()
def _xpnet(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


app.command(cls=CommandOfRanks)(train)
for command in (evaluate, predict, export, doctor):
    app.command()(command)
