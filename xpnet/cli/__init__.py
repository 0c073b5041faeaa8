"""The command line: `xpnet train | evaluate | predict | doctor`.

A command reads its flags, calls the library, and prints; a file a command. Exit codes: 0 done,
2 the fault is in the flags, the data or the machine (the message says which), 130 Ctrl-C, 143 and
129 likewise for SIGTERM and SIGHUP.
"""

import io
import sys

INTERRUPTED = 130  # 128 and the number of SIGINT


def main() -> None:
    """Run the command that the process was started with, and exit with its code."""
    _prepare("stdout")
    _prepare("stderr")
    try:
        # Here and not above, since it takes a moment, and Ctrl-C may come in it.
        from xpnet.cli.commands import app
        from xpnet.training.interrupt import Interrupts, Termination

        Interrupts().listen()
        with Termination() as termination:
            try:
                app(prog_name="xpnet")
            except SystemExit as end:
                if end.code == INTERRUPTED and termination.received:
                    end.code = 128 + termination.received  # as a shell has it
                raise
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(INTERRUPTED)


def _prepare(name: str) -> None:
    """Make a standard stream take every text: what its encoding lacks, and where it is closed."""
    stream = getattr(sys, name)
    if stream is None:  # xpnet train >&-
        setattr(sys, name, io.StringIO())
    elif isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
