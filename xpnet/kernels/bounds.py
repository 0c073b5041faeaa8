"""Checks for indices that are out of range.

CuPy wraps such indices around silently. A check on the host would have to wait for the GPU at each
call. So a small kernel checks the indices on the device: it notes the first one that is out of range
in the device's memory, and the note is read when numbers come to the host anyway (`to_numpy`,
`float(loss)`, a log line). Each thread has its own notes, one per device. A note that is unread when
its thread ends is read by the next thread that reads its own. XPNET_DEBUG_INDICES=1 reads the note at
each call instead, so that the traceback leads to that call.

Indices on the host are checked there, at once.
"""

import os
import threading
from functools import cache
from typing import Any, NamedTuple

from xpnet._libraries import library_of
from xpnet._libraries.devices import arrivals, call_on_their_device
from xpnet._typing import Array
from xpnet.backend import to_numpy
from xpnet.errors import IndexingError
from xpnet.kernels.cuda_source import cupy

DEBUG = os.environ.get("XPNET_DEBUG_INDICES", "") not in ("", "0")

# A note is three numbers: that of the call, 0 if nothing was found; the index; whether it is negative.
BODY = """
    bool low = index < 0 && (long long)index < least;
    bool high = index >= 0 && (unsigned long long)index > (unsigned long long)most;
    if (low || high) {
        if (atomicCAS(&note[0], 0ull, (unsigned long long)call) == 0ull) {
            note[1] = (unsigned long long)(long long)index;
            note[2] = (unsigned long long)(index < 0);
        }
    }
"""


class Call(NamedTuple):
    """The function that a note refers to, and the range of its indices."""

    name: str
    least: int
    most: int


class _Notes(threading.local):
    """A thread's note on each device, and those of them that may hold something unread."""

    def __init__(self) -> None:
        self.of: dict[int, Array] = {}  # by the number of the device
        self.open: dict[int, Array] = {}  # by their addresses
        with _lock:
            _threads.append((threading.current_thread(), self.open))


_lock = threading.Lock()
_threads: list[tuple[threading.Thread, dict[int, Array]]] = []  # each with its open notes
_notes = _Notes()
_calls: list[Call] = []  # all that were ever checked; a note refers to one by its number
_numbers: dict[Call, int] = {}  # the number of each of them, from 1


@cache
def _kernel() -> Any:
    """The kernel that compares each index with `least` and `most`, and notes one that is outside."""
    return cupy().ElementwiseKernel(
        "I index, int64 least, int64 most, int64 call",
        "raw uint64 note",
        BODY,
        "xpnet_within_bounds",
        no_return=True,
    )


def require_within(name: str, indices: Array, least: int, most: int) -> None:
    """Check, on the device, that all indices are from `least` to `most`: one launch, no wait.

    Parameters
    ----------
    name : str
        The function that was given the indices.
    indices : CuPy array of integers
    least, most : int

    Raises
    ------
    IndexError
        An index is out of range. Raised here if XPNET_DEBUG_INDICES=1 is set or the axis has length
        0, otherwise when numbers next come to the host.
    """
    if not indices.size:
        return
    if most < 0:  # no index is in range
        raise IndexingError(_expected(Call(name, least, most)) + ".")
    if hasattr(indices, "recorded_check"):  # a recording array: each replay checks it too
        indices.recorded_check(checked, name, least, most)
        return
    note = note_on(indices.data.device_id)
    _kernel()(indices, least, most, _number(Call(name, least, most)), note)
    reopen(note)
    if DEBUG:
        read()
    elif read not in arrivals:
        arrivals.append(read)


def note_on(device: int) -> Array:
    """The note of this thread on a device, which is the current one."""
    note = _notes.of.get(device)
    if note is None:
        note = _notes.of[device] = cupy().zeros(3, "uint64")
    return note


def reopen(note: Array) -> None:
    """Read a note when numbers next come to this thread: a launch of a graph may write to it."""
    _notes.open[note.data.ptr] = note


def checked(indices: Array, name: str, least: int, most: int) -> Array:
    """`require_within`, as a function that returns the indices: an operation of a compiled step."""
    require_within(name, indices, least, most)
    return indices


def checked_on_host(indices: Array, name: str, least: int, most: int) -> Array:
    """`require_within_on_host`, likewise; while JAX traces a program there are no numbers to check."""
    if library_of(indices).has_values(indices):
        require_within_on_host(name, indices, least, most)
    return indices


def require_within_on_host(name: str, indices: Array, least: int, most: int) -> None:
    """Check at once that all indices are from `least` to `most`.

    Parameters
    ----------
    name : str
        The function that was given the indices.
    indices : array of integers of any library, or a list
        It is copied to the host. Numbers that are not integers are not checked.
    least, most : int

    Raises
    ------
    IndexError
        An index is out of range.
    """
    array = to_numpy(indices)
    if not array.size or array.dtype.kind not in "iu":
        return
    for index in (int(array.min()), int(array.max())):
        if not least <= index <= most:
            raise IndexingError(
                f"{_expected(Call(name, least, most))}, got {index}: it is out of range."
            )


def _number(call: Call) -> int:
    """The number of a call in the notes, from 1; in a note, 0 means that nothing was found."""
    number = _numbers.get(call)
    if number is None:
        with _lock:
            number = _numbers.get(call)
            if number is None:
                _calls.append(call)
                number = _numbers[call] = len(_calls)
    return number


def read() -> None:
    """Read the open notes of this thread, and of threads that have ended.

    It is called where the host waits for the GPU anyway.

    Raises
    ------
    IndexError
        An index was out of range.
    """
    for notes in (_notes.open, *_of_ended_threads()):
        while (note := _taken(notes)) is not None:
            _read(note)


def _of_ended_threads() -> list[dict[int, Array]]:
    """The open notes of threads that have ended; a thread without open notes is forgotten."""
    with _lock:
        ended = [(thread, notes) for thread, notes in _threads if not thread.is_alive()]
        for entry in ended:
            if not entry[1]:
                _threads.remove(entry)
    return [notes for _, notes in ended]


def _taken(notes: dict[int, Array]) -> Array | None:
    """Take one of the open notes, so that no other thread reads it; None if there are none."""
    with _lock:
        if not notes:
            return None
        return notes.popitem()[1]


def _read(note: Array) -> None:
    """Copy a note to the host; if it names an index, clear it and raise IndexingError."""
    number, index, negative = call_on_their_device(_get, note).tolist()
    if number:
        call_on_their_device(_clear, note)
        if negative:  # the note holds the bits of an int64 as a uint64
            index -= 1 << 64
        raise IndexingError(_message(_calls[number - 1], index))


def _get(note: Array) -> Any:
    return note.get()


def _clear(note: Array) -> None:
    note.fill(0)


def _expected(call: Call) -> str:
    if call.most < 0:
        return f"{call.name} expected no indices, along an axis of length 0"
    return f"{call.name} expected indices from {call.least} to {call.most}"


def _message(call: Call, index: int) -> str:
    found = f"{_expected(call)}, got {index}: it is out of range."
    if DEBUG:
        return found
    return (
        f"{found} CuPy's indices are checked on the GPU, and the result was read when numbers came "
        "to the host: XPNET_DEBUG_INDICES=1 raises at the call itself."
    )
