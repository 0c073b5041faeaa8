"""Interrupts: Ctrl-C when it must wait or comes too late, and requests from outside to end."""

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
    """A block in which Ctrl-C raises KeyboardInterrupt as usual, until `ignore()`; then nothing.

    So the files of a training's end are written completely, however often the key is pressed.
    Blocks may be nested; each restores the handler that it found.

    Outside the main thread, or if the program has its own handler or ignores the signal, a block has
    no effect.

    Examples
    --------
    >>> with Interrupts() as interrupts:
    ...     interrupts.ignore()
    ...     signal.raise_signal(signal.SIGINT)
    """

    def __init__(self) -> None:
        self.previous: Any = None  # the handler before this block
        self.ignoring = False
        self.pressed = -math.inf  # when the signal last came
        self.deferring = False
        self.pending = False  # whether the signal came in a `deferred` block

    def listen(self) -> Self:
        """Begin the block, which lasts until the end of the process if it is not exited."""
        if threading.current_thread() is threading.main_thread():
            now = signal.getsignal(signal.SIGINT)
            if now is signal.default_int_handler or isinstance(now, Interrupts):
                self.previous = now
                signal.signal(signal.SIGINT, self)
            _blocks.append(self)
        return self

    def __call__(self, number: int, frame: FrameType | None) -> None:
        # The handler stays set while the signal is ignored: processes that are started meanwhile
        # would inherit SIG_IGN.
        elapsed = time.monotonic() - self.pressed
        self.pressed = time.monotonic()
        if self.ignoring or elapsed <= IMPATIENT:
            return
        if self.deferring and not self.pending:
            self.pending = True
            return
        raise KeyboardInterrupt

    def deferred(self) -> "_Deferred":
        """A block at whose end a Ctrl-C that comes within it is raised, so a step is done completely.

        A second Ctrl-C, more than a second later, is raised at once.
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
        self.interrupts.pending = False

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.interrupts.deferring = False
        if self.interrupts.pending and kind is None:
            raise KeyboardInterrupt


def ignore_in_all_blocks() -> None:
    """Call `ignore()` of every block that the main thread is in."""
    for block in _blocks:
        block.ignore()


class Termination:
    """A block in which SIGTERM and SIGHUP act as Ctrl-C: files are written, the cursor is shown.

    `kill`, `timeout`, `docker stop` and job schedulers send SIGTERM, and wait for some seconds before
    they kill the process; SIGHUP comes when the terminal is closed. A second signal more than a
    second later ends the process at once. (Within a second it is the same request: `timeout` sends
    two.)

    It is for a program that has the process for itself, as the command line has, not for a library.
    A signal that the program ignores, as under `nohup`, or handles itself, is left alone.

    Attributes
    ----------
    received : int or None
        The number of the signal that came first.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.when = -math.inf
        self.previous: dict[int, Any] = {}  # the handlers before this block
        self.terminals: list[int] = []

    def __enter__(self) -> Self:
        self.terminals = [fd for fd in (1, 2) if os.isatty(fd)]
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
        now = time.monotonic()
        if self.received is None:
            self.received = number
            self.when = now
            self._leave_closed_terminals()
            if not _blocks:
                raise KeyboardInterrupt
            _blocks[-1](signal.SIGINT, frame)
        elif now - self.when > IMPATIENT:
            for fd in self._open_terminals():
                os.write(fd, b"\x1b[?25h")  # show the cursor
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _open_terminals(self) -> list[int]:
        return [fd for fd in self.terminals if os.isatty(fd)]

    def _leave_closed_terminals(self) -> None:
        """Redirect streams of a terminal that is gone: an error of printing would end the rest."""
        for fd in set(self.terminals) - set(self._open_terminals()):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, fd)
            os.close(null)
