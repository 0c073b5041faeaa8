"""The commands together, and their one answer to what can go wrong in each."""

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
from xpnet.cli.predict import predict
from xpnet.cli.screen import echo
from xpnet.cli.train import train
from xpnet.errors import XpnetError

_UsageError: Any = typer.BadParameter.__base__  # Click's own or typer's copy, by typer's version


class Commands(TyperGroup):
    """The commands, with one answer to what can go wrong in each: a sentence, no traceback."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the command line."""
        with _answered():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _answered(), warnings.catch_warnings():
            # Numbers that overflow end in an error, which says so once and in words.
            warnings.simplefilter("ignore", RuntimeWarning)
            return super().invoke(ctx)


@contextmanager
def _answered() -> Iterator[None]:
    """A block whose errors, where they are no bugs of xpnet's, become their message."""
    try:
        yield
    except BrokenPipeError:
        raise  # `xpnet doctor | head`: typer ends quietly
    except _UsageError as error:
        error.message = printable(error.message)  # typer prints it, in a frame
        raise
    except (XpnetError, OSError, MemoryError) as error:
        _say(f"Error: {error}" if str(error) else "Error: there is not enough memory.", error)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as interrupt:
        from xpnet.training.interrupt import ignore_in_all_blocks

        ignore_in_all_blocks()
        _say("Interrupted.", interrupt)
        raise typer.Exit(130) from None


def _say(sentence: str, error: BaseException) -> None:
    """Print a sentence and the error's notes (`BaseException.add_note`) in one line."""
    if notes := getattr(error, "__notes__", []):
        end = "" if sentence.endswith((".", ".)")) else "."
        sentence = " ".join([sentence + end, ". ".join(notes)])
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


for command in (train, evaluate, predict, doctor):
    app.command()(command)
