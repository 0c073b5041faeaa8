"""Interrupts: Ctrl-C, when it comes too late, and requests to end that come from outside."""

import math
import os
import signal
import threading
import time
from types import FrameType
from typing import Any, Self

IMPATIENT = 1.0  # seconds in which a second signal is still the first


class Interrupts:
    """A block in which Ctrl-C raises KeyboardInterrupt, as ever, until `hold()`; then it does nothing.

    So what is written at the end of a training is written whole, however often the key is pressed.
    Blocks may be nested; each ends as it found things.

    Outside the main thread, or where the program has a handler of its own, or ignores the signal,
    there is nothing to hold.

    Examples
    --------
    >>> with Interrupts() as interrupts:
    ...     interrupts.hold()
    ...     signal.raise_signal(signal.SIGINT)
    """

    def __init__(self) -> None:
        self.before: Any = None
        self.held, self.pressed = False, -math.inf
        self.busy, self.came = False, False

    def listen(self) -> Self:
        """Begin the block; for good, if nothing ends it."""
        if threading.current_thread() is threading.main_thread():
            now = signal.getsignal(signal.SIGINT)
            if now is signal.default_int_handler or isinstance(now, Interrupts):
                self.before = now
                signal.signal(signal.SIGINT, self)
            _blocks.append(self)
        return self

    def __call__(self, number: int, frame: FrameType | None) -> None:
        # Not SIG_IGN for what is held: processes started meanwhile would inherit that.
        before, self.pressed = self.pressed, time.monotonic()
        if self.held or self.pressed - before <= IMPATIENT:
            return
        if self.busy and not self.came:
            self.came = True
            return
        raise KeyboardInterrupt

    def later(self) -> "_Later":
        """A block within this one that Ctrl-C does not break off: it comes at the block's end.

        So a step is done whole or not at all. Whoever presses again, a second later, breaks it off.
        """
        return _Later(self)

    def hold(self) -> None:
        """From here to the end of the block, Ctrl-C does nothing."""
        self.held = True

    def __enter__(self) -> Self:
        return self.listen()

    def __exit__(self, *error: object) -> None:
        if self in _blocks and threading.current_thread() is threading.main_thread():
            _blocks.remove(self)
        before = self.before
        if before is not None and signal.getsignal(signal.SIGINT) is self:
            signal.signal(signal.SIGINT, before)


_blocks: list[Interrupts] = []  # that the main thread is in, the innermost last


class _Later:
    """What `later` gives: no generator, since there is one a step."""

    __slots__ = ("interrupts",)

    def __init__(self, interrupts: Interrupts) -> None:
        self.interrupts = interrupts

    def __enter__(self) -> None:
        self.interrupts.busy, self.interrupts.came = True, False

    def __exit__(self, kind: object, *error: object) -> None:
        self.interrupts.busy = False
        if self.interrupts.came and kind is None:
            raise KeyboardInterrupt


def hold() -> None:
    """`hold()` of all blocks that this is in."""
    for block in _blocks:
        block.hold()


class Termination:
    """A block in which SIGTERM and SIGHUP are Ctrl-C: what is due is written, and the cursor shown.

    SIGTERM is sent by `kill`, `timeout`, `docker stop` and job schedulers, which wait for some
    seconds before they kill; SIGHUP comes when the terminal is closed. A second signal, after more
    than a second, ends the process at once. (Within it, it is the same request: `timeout` sends two.)

    For a program that has the process for itself: the command line, no library. A signal that the
    program ignores, as under `nohup`, or for which it has a handler of its own, is left alone.

    Attributes
    ----------
    received : int or None
        The number of the signal that came first.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.when = -math.inf
        self.before: dict[int, Any] = {}
        self.terminals: list[int] = []

    def __enter__(self) -> Self:
        self.terminals = [fd for fd in (1, 2) if os.isatty(fd)]
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            main = threading.current_thread() is threading.main_thread()
            if main and number and signal.getsignal(number) is signal.SIG_DFL:
                self.before[number] = signal.signal(number, self)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            if signal.getsignal(number) is self:
                signal.signal(number, handler)
        self.before = {}

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
                os.write(fd, b"\x1b[?25h")  # the cursor
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _open_terminals(self) -> list[int]:
        return [fd for fd in self.terminals if os.isatty(fd)]

    def _leave_closed_terminals(self) -> None:
        """Print nowhere where a terminal has gone: to write to it is an error, in place of the rest."""
        for fd in set(self.terminals) - set(self._open_terminals()):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, fd)
            os.close(null)
