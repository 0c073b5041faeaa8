"""Executors: each runs a Program in its own way. `choose` finds the fastest one that there is."""

from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from xpnet.compiler.executors._base import Executor
from xpnet.compiler.passes import cleaned
from xpnet.compiler.record import Program
from xpnet.errors import ArgumentError, CompileError

__all__ = ["choose", "hands_over"]


class _Kind(NamedTuple):
    """Where the executor of a library is."""

    module: str
    executor: str
    passes: str  # for `cleaned`
    reason: str
    hands_over: bool = True  # whether it can call Python while a step goes on


KINDS = {
    "cupy": _Kind(
        "cupy", "CuPyExecutor", "cupy", "the arrays are CuPy's: few launches a step", False
    ),
    "jax": _Kind(
        "jax", "JAXExecutor", "jax", "the arrays are JAX's: jax.jit compiles the step", False
    ),
    "torch": _Kind("torch", "TorchExecutor", "torch", "the arrays are PyTorch's"),
}
"""The executors of libraries, by the library's name; NumPy's depends on whether there is a C library."""

ANY = _Kind("library", "LibraryExecutor", "library", "the library has no executor of its own")
NUMPY = _Kind("numpy", "NumPyExecutor", "numpy", "")
C = _Kind("c", "CExecutor", "c", "")


def hands_over(library: str) -> bool:
    """Whether plans of a library's arrays can hand over arrays while a step goes on: see `hand_over`."""
    return KINDS.get(library, ANY).hands_over


def choose(program: Program, library: str, forced: str | None = None) -> Executor:
    """The executor for a program; `reason` of the result says why it was chosen.

    Parameters
    ----------
    program : Program
        As recorded: it is cleaned here, for the executor.
    library : str
        The name of the library whose arrays were recorded: "numpy", "torch".
    forced : {"c", "numpy"}, optional
        The executor for arrays of NumPy. By default the environment variable XPNET_EXECUTOR names it;
        if that is not set, it is C where the C library is there, and NumPy elsewhere.

    Raises
    ------
    ArgumentError
        Another executor is forced.
    CompileError
        C is forced, and there is no C library. Or the step hands over arrays, which it cannot on this
        library.
    """
    if library != "numpy":
        return _made(KINDS.get(library, ANY), program)
    load = import_module("xpnet.compiler.c.load")
    if forced is None:
        forced = load.forced()
        origin = "XPNET_EXECUTOR names it"
    else:
        origin = "the caller names it"
    if forced not in (None, "c", "numpy"):
        raise ArgumentError(f'The executor is "c" or "numpy", but got {forced!r}.')
    if forced == "numpy":
        return _made(NUMPY, program, origin)
    if forced == "c":
        return _made(C, program, origin, load.wait())
    return _fastest_for_numpy(program, load)


def _fastest_for_numpy(program: Program, load: ModuleType) -> Executor:
    """C; NumPy where C cannot run the program, or where the process began without the library."""
    found = load.find()
    if found is None:
        return _made(NUMPY, program, f"C library: {load.status()}")
    try:
        reason = f"the fastest for NumPy's arrays ({load.status()})"
        return _made(C, program, reason, found)
    except CompileError as error:
        return _made(NUMPY, program, f"C cannot run this program: {error}")


def _made(kind: _Kind, program: Program, reason: str = "", *more: Any) -> Executor:
    silent = [x for x in program.operations if not x.outputs]
    if silent and not kind.hands_over:
        raise CompileError(
            f"{silent[0].where}: the step hands over arrays while it goes on, which a plan for "
            f"{kind.executor.removesuffix('Executor')} cannot. Return them instead."
        )
    module = import_module(f"xpnet.compiler.executors.{kind.module}")
    executor: Executor = getattr(module, kind.executor)(cleaned(program, kind.passes), *more)
    executor.reason = reason or kind.reason
    return executor
