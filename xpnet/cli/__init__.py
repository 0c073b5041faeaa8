"""The command line: `xpnet train | evaluate | predict | doctor`.

Each command has a file: it reads its flags, calls the library, and prints. Exit codes: 0 for success,
2 for an error in the flags, the data or the machine, which the message names, 130 after Ctrl-C, 143
after SIGTERM and 129 after SIGHUP.
"""

import io
import sys

INTERRUPTED = 130  # 128 and the number of SIGINT


def main() -> None:
    """Run the command that the process was started with, and exit with its code."""
    _prepare("stdout")
    _prepare("stderr")
    try:
        # Imported here because it takes a moment, in which Ctrl-C may be pressed.
        from xpnet.cli.commands import app
        from xpnet.training.interrupt import Interrupts, Termination

        Interrupts().listen()
        with Termination() as termination:
            try:
                app(prog_name="xpnet")
            except SystemExit as end:
                if end.code == INTERRUPTED and termination.received:
                    end.code = 128 + termination.received  # as in a shell
                raise
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(INTERRUPTED)


def _prepare(name: str) -> None:
    """Make writing to a standard stream safe: it may be closed, or its encoding may lack a character."""
    stream = getattr(sys, name)
    if stream is None:  # closed, as by `xpnet train >&-`
        setattr(sys, name, io.StringIO())
    elif isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
