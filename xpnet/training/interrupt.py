"""Interrupts: Ctrl-C and requests to terminate, which wait until a step or a file is complete.

`Interrupts` defers or ignores Ctrl-C (SIGINT). `Termination` makes SIGTERM and SIGHUP act like Ctrl-C.
"""

import math
import os
import signal
import threading
import time
from types import FrameType
from typing import Any, Self

IMPATIENT = 1.0  # seconds in which a second signal counts as the first one

_blocks: list["Interrupts"] = []  # the blocks that the main thread is in, the innermost last


class Interrupts:
    """A block in which Ctrl-C raises KeyboardInterrupt as usual, until `ignore()` is called.

    After that Ctrl-C has no effect, so the files at the end of a training are written completely,
    however often the key is pressed. Blocks may be nested; each restores the handler that it found.

    Outside the main thread, or if the program has its own handler or ignores the signal, a block has
    no effect: Python runs signal handlers only in the main thread.

    Examples
    --------
    >>> with Interrupts() as interrupts:
    ...     interrupts.ignore()
    ...     signal.raise_signal(signal.SIGINT)
    """

    def __init__(self) -> None:
        self.previous: Any = None  # the handler before this block
        self.holding = False  # whether a signal only sets `pending`
        self.ignoring = False
        self.pressed = -math.inf  # the time of the last signal, by time.monotonic
        self.deferring = False
        self.pending = False  # whether the signal came in a `deferred` block

    def listen(self) -> Self:
        """Begin the block, which lasts until the end of the process if it is not exited."""
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if handler is signal.default_int_handler or isinstance(handler, Interrupts):
                self.previous = handler
                signal.signal(signal.SIGINT, self)
            _blocks.append(self)
        return self

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        # Ignored signals come here too, instead of SIG_IGN being set: processes that are started
        # in the block would inherit SIG_IGN.
        elapsed = time.monotonic() - self.pressed
        self.pressed = time.monotonic()
        if self.ignoring or elapsed <= IMPATIENT:
            return
        if (self.deferring or self.holding) and not self.pending:
            self.pending = True
            return
        raise KeyboardInterrupt

    def hold(self) -> None:
        """From here on a first Ctrl-C only sets `pending`: somebody else asks for it and raises.

        So all ranks of a distributed training are interrupted after the same step.
        """
        self.holding = True
        self.pending = False

    def deferred(self) -> "_Deferred":
        """A block that delays Ctrl-C: KeyboardInterrupt is raised at its end, so a step is completed.

        A second Ctrl-C, more than a second after the first, is raised at once.
        """
        return _Deferred(self)

    def ignore(self) -> None:
        """From here to the end of the block, Ctrl-C has no effect."""
        self.ignoring = True

    def __enter__(self) -> Self:
        return self.listen()

    def __exit__(self, *error: object) -> None:
        if self in _blocks and threading.current_thread() is threading.main_thread():
            _blocks.remove(self)
        previous = self.previous
        if previous is not None and signal.getsignal(signal.SIGINT) is self:
            signal.signal(signal.SIGINT, previous)


class _Deferred:
    """The block of `Interrupts.deferred`; a class, because a generator would be slower per step."""

    __slots__ = ("interrupts",)

    def __init__(self, interrupts: Interrupts) -> None:
        self.interrupts = interrupts

    def __enter__(self) -> None:
        self.interrupts.deferring = True
        if not self.interrupts.holding:
            self.interrupts.pending = False

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.interrupts.deferring = False
        if self.interrupts.pending and not self.interrupts.holding and kind is None:
            raise KeyboardInterrupt


def ignore_in_all_blocks() -> None:
    """Call `ignore()` of every block that the main thread is in."""
    for block in _blocks:
        block.ignore()


class Termination:
    """A block in which SIGTERM and SIGHUP act like Ctrl-C: files are written, the cursor is shown.

    `kill`, `timeout`, `docker stop` and job schedulers send SIGTERM, and wait for some seconds before
    they kill the process; SIGHUP comes when the terminal is closed. A second signal more than a
    second later ends the process at once. (Within a second it is the same request: `timeout` sends
    two.)

    It is meant for a program that owns its process, such as the command line, not for a library. A
    signal that the program ignores, as under `nohup`, or handles itself, is left as it is.

    Attributes
    ----------
    received : int or None
        The number of the signal that came first.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.when = -math.inf  # the time of that signal, by time.monotonic
        self.previous: dict[int, Any] = {}  # the handlers before this block
        self.terminals: list[int] = []  # the file descriptors that were terminals at the start

    def __enter__(self) -> Self:
        self.terminals = [fd for fd in (1, 2) if os.isatty(fd)]  # standard output, standard error
        is_main = threading.current_thread() is threading.main_thread()
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if is_main and number and signal.getsignal(number) is signal.SIG_DFL:
                self.previous[number] = signal.signal(number, self)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.previous.items():
            if signal.getsignal(number) is self:
                signal.signal(number, handler)
        self.previous = {}

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: pass the first one to the innermost block of `Interrupts`, if any."""
        now = time.monotonic()
        if self.received is None:
            self.received = number
            self.when = now
            self._redirect_closed_terminals()
            if not _blocks:
                raise KeyboardInterrupt
            _blocks[-1](signal.SIGINT, frame)
        elif now - self.when > IMPATIENT:
            for fd in self._open_terminals():
                os.write(fd, b"\x1b[?25h")  # show the cursor
            # The default handler ends the process, with the exit status of this signal.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _open_terminals(self) -> list[int]:
        return [fd for fd in self.terminals if os.isatty(fd)]

    def _redirect_closed_terminals(self) -> None:
        """Redirect the streams of a closed terminal to the null device.

        Otherwise the next print would raise an error, and the files would not be written.
        """
        for fd in set(self.terminals) - set(self._open_terminals()):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, fd)
            os.close(null)
