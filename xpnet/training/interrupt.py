"""Interrupts: Ctrl-C, and when it comes too late."""

import math
import signal
import threading
import time
from types import FrameType
from typing import Any, Self


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
        now = signal.getsignal(signal.SIGINT)
        ours = now is signal.default_int_handler or isinstance(now, Interrupts)
        if ours and threading.current_thread() is threading.main_thread():
            self.before = now
            signal.signal(signal.SIGINT, self)
        return self

    def __call__(self, number: int, frame: FrameType | None) -> None:
        # Not SIG_IGN for what is held: processes started meanwhile would inherit that.
        before, self.pressed = self.pressed, time.monotonic()
        if self.held or self.pressed - before <= 1.0:  # an impatient second is the first still
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
        before = self.before
        if before is not None and signal.getsignal(signal.SIGINT) is self:
            signal.signal(signal.SIGINT, before)


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
    handler: Any = signal.getsignal(signal.SIGINT)
    while isinstance(handler, Interrupts):
        handler.hold()
        handler = handler.before
