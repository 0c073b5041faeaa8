"""Interrupts: Ctrl-C, and when it comes too late."""

import signal
import threading
from types import FrameType
from typing import Self


class Interrupts:
    """A block in which Ctrl-C raises KeyboardInterrupt, as ever, until `hold()`; then it does nothing.

    So what is written at the end of a training is written whole, however often the key is pressed.
    Blocks may be nested: what one holds is held until the outermost ends.

    Outside the main thread, or where the program has a handler of its own, or ignores the signal,
    there is nothing to hold.

    Examples
    --------
    >>> with Interrupts() as interrupts:
    ...     interrupts.hold()
    ...     signal.raise_signal(signal.SIGINT)
    """

    def __init__(self) -> None:
        self.outermost = False

    def listen(self) -> Self:
        """Begin the block; for good, if nothing ends it."""
        if _in_main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self)
            self.outermost = True
        return self

    def __call__(self, number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def hold(self) -> None:
        """From here to the end of the outermost block, Ctrl-C does nothing."""
        if _in_main_thread() and isinstance(signal.getsignal(signal.SIGINT), Interrupts):
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __enter__(self) -> Self:
        return self.listen()

    def __exit__(self, *error: object) -> None:
        if self.outermost:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
