"""An optimizer's update for CuPy: one launch for all parameters that move by the same numbers.

Where the arrays lie goes into the launch itself, as a structure by value: nothing is copied to the
device. Products and sums are rounded one by one, as in the portable code: the two agree bit for bit.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module, resources
from struct import Struct
from typing import Any, NamedTuple

from xpnet.kernels.cuda import FLOATS
from xpnet.kernels.cuda_source import C_TYPES, THREADS, cupy
from xpnet.kernels.lookup import Kernel

np: Any = import_module("numpy")

WORDS = 511  # of 8 bytes, that a launch may be given: CUDA takes 4 kB
SHARE = 2048  # numbers that a block computes


Move = tuple[Any, Any, list[Any]]  # a parameter's array, its gradient, and its state


class _Built(NamedTuple):
    """A kernel for one formula and dtype."""

    run: Any
    room: int  # for how many parameters


def takes(p: Any) -> bool:
    """Real numbers of 16, 32 or 64 bits; whether a `Move` fits, `update` sees."""
    return p.dtype.char in FLOATS


def update(
    formula: str, numbers: Mapping[str, float], slots: tuple[str, ...], moves: list[Move]
) -> list[int]:
    """Change parameters and their state in place.

    Parameters
    ----------
    formula : str
        In CUDA: how p and the slots change by g and the numbers, all by their names.
    numbers : mapping of str to float
    slots : tuple of str
        The names of the state's arrays.
    moves : list of (array, gradient, list of the slots' arrays)

    Returns
    -------
    list of int
        Which of the moves were not made: their arrays do not lie on one device, have gaps, or have
        dtypes that do not belong together.
    """
    left: list[int] = []
    together: dict[tuple[Any, int], list[Move]] = {}
    for i, move in enumerate(moves):
        if _fits(*move):
            p = move[0]
            together.setdefault((p.dtype, p.data.device_id), []).append(move)
        else:
            left.append(i)
    for (dtype, device), alike in together.items():
        built = _built(formula, (*numbers,), slots, dtype)
        for first in range(0, len(alike), built.room):
            part = alike[first : first + built.room]
            if device == cupy().cuda.runtime.getDevice():
                _launch(built.run, numbers, part)
            else:
                with cupy().cuda.Device(device):
                    _launch(built.run, numbers, part)
    return left


def _fits(p: Any, g: Any, state: list[Any]) -> bool:
    """Whether the kernel's plain loop over memory is right for these arrays."""
    dtype, device = p.dtype, p.data.device_id
    wide = np.dtype("float32") if dtype.char == "e" else dtype
    return (
        dtype.char in FLOATS
        and type(g) is type(p)
        and g.dtype == dtype
        and g.data.device_id == device
        and p.flags.c_contiguous
        and all(
            x.dtype == wide and x.data.device_id == device and x.flags.c_contiguous for x in state
        )
    )


def _launch(run: Any, numbers: Mapping[str, float], moves: list[Move]) -> None:
    """One launch for moves of one dtype on the current device."""
    words: list[int] = []
    blocks = 0
    contiguous = cupy().ascontiguousarray
    gradients = [contiguous(g) for _, g, _ in moves]  # the copies of some live until the launch
    for (p, _, state), g in zip(moves, gradients, strict=True):
        blocks += -(-p.size // SHARE)
        words += [p.data.ptr, g.data.ptr, *[x.data.ptr for x in state], p.size, blocks]
    if blocks:
        given = np.empty((), f"V{8 * WORDS}")
        _layout(len(numbers), len(words)).pack_into(given, 0, len(moves), *numbers.values(), *words)
        run((blocks,), (THREADS,), (given,))


@cache
def _layout(numbers: int, words: int) -> Struct:
    return Struct(f"q{numbers}d{words}q")


@cache
def _built(formula: str, numbers: tuple[str, ...], slots: tuple[str, ...], dtype: Any) -> _Built:
    """The kernel for a formula; and for how many parameters a launch of it has room."""
    width = len(slots) + 4
    room = (WORDS - 1 - len(numbers)) // width
    named = [f"const A {name} = (A)all.numbers[{i}];" for i, name in enumerate(numbers)]
    places = {slot: f"((A*)of[{i}])[i]" for i, slot in enumerate(slots, 2)}
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
    half = dtype.char == "e"
    head = ["#include <cuda_fp16.h>"] if half else []
    head.append(f"typedef {C_TYPES[dtype.name]} T;")
    head.append(f"typedef {'float' if half else C_TYPES[dtype.name]} A;")
    head += [f"#define {name} {text}" for name, text in definitions.items()]
    text = (resources.files("xpnet.kernels") / "update.cu").read_text("utf-8")
    code = "\n".join([*head, text])
    return _Built(cupy().RawKernel(code, "xpnet_update", ("--fmad=false",)), room)


KERNELS = {"update": Kernel(update, takes)}
