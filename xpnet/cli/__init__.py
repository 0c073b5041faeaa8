"""The command line: `xpnet train | evaluate | predict | doctor`.

A command reads its flags, calls the library, and prints; a file a command. Exit codes: 0 done,
2 the fault is in the flags, the data or the machine (the message says which), 130 Ctrl-C.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from xpnet import __version__
from xpnet.cli.doctor import doctor
from xpnet.cli.evaluate import evaluate
from xpnet.cli.predict import predict
from xpnet.cli.train import train
from xpnet.errors import XpnetError


class Commands(TyperGroup):
    """The commands, with one answer to what can go wrong in each: a sentence, no traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error that is not a bug of xpnet's becomes its message."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # `xpnet doctor | head`: typer ends quietly
        except (XpnetError, OSError, MemoryError) as error:
            text = " ".join(str(error).split()) or "there is not enough memory."
            typer.echo(f"Error: {text}", err=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt:
            typer.echo("Interrupted: nothing was saved.", err=True)
            raise typer.Exit(130) from None


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
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="And exit.")
    ] = False,
) -> None:
    pass


for command in (train, evaluate, predict, doctor):
    app.command()(command)


def main() -> None:
    """Run the command that the process was started with, and exit with its code."""
    app(prog_name="xpnet")
