"""An optimizer's update for CuPy: one launch for all parameters with the same coefficients.

The addresses of the arrays are an argument of the launch, a structure passed by value: no table of them
is copied to the device. Each product and sum is rounded, as in the portable code: the two agree bit for
bit. A *move* is the update of one parameter: its array, its gradient, and the arrays of its state, whose
names are the *slots*.
"""

import ctypes
import threading
from collections.abc import Mapping
from functools import cache
from importlib import resources
from struct import Struct
from typing import Any, NamedTuple

import numpy as np

from xpnet._typing import Array, DType
from xpnet.kernels.cuda import FLOATS
from xpnet.kernels.cuda_source import THREADS, cupy, current_device, type_definitions
from xpnet.kernels.lookup import Kernel

FLOAT32 = np.dtype("float32")
WORDS = 511  # 8-byte words that a launch may take as its argument: CUDA's limit is 4 kB
SHARE = 2048  # numbers of a parameter that a block of threads computes
BY_VALUE = ""
IN_MEMORY = "*(const double*)__double_as_longlong"  # the word is an address

Move = tuple[Array, Array, list[Array]]  # a parameter's array, its gradient, and its state


class _Built(NamedTuple):
    """A kernel for one formula and dtype."""

    run: Any
    room: int  # how many parameters one launch can take
    kinds: str  # of the coefficients, for `struct`: "d" for a number, "q" for its address


def _takes(p: Array) -> bool:
    """Whether p is real, in 16, 32 or 64 bits; `update` itself decides which moves fit."""
    return p.dtype.char in FLOATS


def update(
    formula: str,
    numbers: Mapping[str, float],
    slots: tuple[str, ...],
    moves: list[Move],
    in_memory: tuple[str, ...] = (),
) -> list[int]:
    """Change parameters and their state in place.

    Parameters
    ----------
    formula : str
        CUDA code that changes p and the slots, given g and the numbers, all by their names.
    numbers : mapping of str to float
        The coefficients of the step.
    slots : tuple of str
        The names of the state's arrays.
    moves : list of (array, gradient, list of the slots' arrays)
    in_memory : tuple of str
        The coefficients that the kernel reads from the device's memory: `numbers` has their addresses.
        In a CUDA graph, the numbers themselves would be those of the capture in each launch.

    Returns
    -------
    list of int
        The indices of the moves that were not made: their arrays do not lie on one device, are not
        contiguous, or have dtypes that do not belong together.
    """
    left: list[int] = []
    fitting: dict[tuple[Any, int], list[Move]] = {}
    for i, move in enumerate(moves):
        if _fits(*move):
            p = move[0]
            fitting.setdefault((p.dtype, p.data.device_id), []).append(move)
        else:
            left.append(i)
    for (dtype, device), alike in fitting.items():
        built = _built(formula, (*numbers,), slots, dtype, in_memory)
        for first in range(0, len(alike), built.room):
            part = alike[first : first + built.room]
            if device == current_device()():
                _launch(built, numbers, part)
            else:
                with cupy().cuda.Device(device):
                    _launch(built, numbers, part)
    return left


def _fits(p: Array, g: Array, state: list[Array]) -> bool:
    """Whether the kernel can move this parameter: contiguous memory, one device, dtypes that fit.

    The state of a float16 parameter is float32.
    """
    if not isinstance(p, cupy().ndarray) or p.dtype.char not in FLOATS:
        return False
    dtype = p.dtype
    device = p.data.device_id
    wide = FLOAT32 if dtype.char == "e" else dtype
    if not _belongs(g, dtype, device) or not p.flags.c_contiguous:
        return False
    return all(_belongs(x, wide, device) and x.flags.c_contiguous for x in state)


def _belongs(x: Array, dtype: DType, device: int) -> bool:
    """Whether x is a CuPy array with that dtype, on that device."""
    mine: bool = isinstance(x, cupy().ndarray) and x.dtype == dtype and x.data.device_id == device
    return mine


class _Arguments(threading.local):
    """Memory for the structure that is a launch's argument, and its address; each thread has one.

    The launch copies the structure, so the memory can be used again at once.
    """

    def __init__(self) -> None:
        self.memory = ctypes.create_string_buffer(8 * WORDS)
        self.pointer = cupy().cuda.function.CPointer(ctypes.addressof(self.memory))


@cache
def launch_arguments() -> _Arguments:
    """The one object with each thread's memory; created when there is a CuPy array."""
    return _Arguments()


def _launch(built: _Built, numbers: Mapping[str, float], moves: list[Move]) -> None:
    """One launch for moves of one dtype, on the current device."""
    words: list[int] = []
    blocks = 0
    copies = []  # contiguous copies of gradients, which must live until the launch
    for p, g, state in moves:
        if not g.flags.c_contiguous:
            g = cupy().ascontiguousarray(g)
            copies.append(g)
        size = p.size
        blocks += -(-size // SHARE)
        words += [p.data.ptr, g.data.ptr, *[x.data.ptr for x in state], size, blocks]
    if blocks:
        given = launch_arguments()
        layout = _layout(built.kinds, len(words))
        layout.pack_into(given.memory, 0, len(moves), *numbers.values(), *words)
        built.run((blocks,), (THREADS,), (given.pointer,))


@cache
def _layout(kinds: str, words: int) -> Struct:
    """The layout of `struct Moved` in update.cu: the count of parameters, the coefficients, the words."""
    return Struct(f"q{kinds}{words}q")


@cache
def _built(
    formula: str,
    numbers: tuple[str, ...],
    slots: tuple[str, ...],
    dtype: DType,
    in_memory: tuple[str, ...],
) -> _Built:
    """The kernel for a formula, and the number of parameters that one launch can take."""
    width = len(slots) + 4  # words of a parameter: p, g, the slots, its length, its last block + 1
    room = (WORDS - 1 - len(numbers)) // width
    named = [
        f"const A {name} = (A){IN_MEMORY if name in in_memory else BY_VALUE}(all.numbers[{i}]);"
        for i, name in enumerate(numbers)
    ]
    places = {slot: f"((A*)WORD({i}))[i]" for i, slot in enumerate(slots, 2)}
    definitions = {
        "COUNT": max(len(numbers), 1),
        "ROOM": room,
        "WIDTH": width,
        "SHARE": f"{SHARE}LL",
        "NUMBERS": " ".join(named),
        "LOAD": " ".join(f"A {slot} = {place};" for slot, place in places.items()),
        "STORE": " ".join(f"{place} = {slot};" for slot, place in places.items()),
        "FORMULA": " ".join(formula.split()),
    }
    head = type_definitions(dtype.name)
    head += [f"#define {name} {value}" for name, value in definitions.items()]
    source = (resources.files("xpnet.kernels") / "update.cu").read_text("utf-8")
    code = "\n".join([*head, source])
    kinds = "".join("q" if name in in_memory else "d" for name in numbers)
    return _Built(cupy().RawKernel(code, "xpnet_update", ("--fmad=false",)), room, kinds)


KERNELS = {"update": Kernel(update, _takes)}
