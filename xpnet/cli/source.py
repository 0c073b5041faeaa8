"""A model from a file of one's own: `--model path/to/file.py:function`.

    def net(input_shape, outputs):
        return Sequential(Flatten(), Affine(math.prod(input_shape), outputs))

The run folder keeps a copy of the file, from which the model is made again. So the file stands
alone: it may import what is installed, but not its neighbours.
"""

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xpnet.errors import StateError
from xpnet.layers import Layer

COPY = "model.py"  # in the run folder


def split(model: str) -> tuple[Path, str] | None:
    """The file and the function that a model is told by; None if it is told by name."""
    path, colon, function = model.rpartition(":")
    return (Path(path), function) if colon else None


def build(path: Path, function: str, input_shape: tuple[int, ...], outputs: int) -> Layer:
    """What `function(input_shape, outputs)` of a file makes.

    Raises
    ------
    StateError
        There is no such file or function, one of them fails, or what it makes is no Layer.
    """
    made = _loaded(path, function)
    where = f"{path}:{function}"
    try:
        model = made(input_shape, outputs)
    except (Exception, SystemExit) as error:
        raise StateError(
            f"{where}: called as {function}({input_shape}, {outputs}), it fails: "
            f"{told(error, path)}"
        ) from error
    if not isinstance(model, Layer):
        raise StateError(
            f"{where}: expected it to return a Layer, a Sequential say; it returned a "
            f"{type(model).__name__}."
        )
    return model


def _loaded(path: Path, function: str) -> Callable[..., Any]:
    """The function of a file that is run as a module."""
    if not path.is_file():
        what = "that is a folder" if path.is_dir() else "there is no such file"
        raise StateError(f"{path}: expected a Python file with the function {function}; {what}.")
    spec = importlib.util.spec_from_file_location("xpnet_model", path)
    if spec is None or spec.loader is None:
        raise StateError(f"{path}: expected a Python file, one that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # no __pycache__ in a run
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        alone = (
            " The file must stand alone: the run folder keeps a copy of it."
            if isinstance(error, ImportError)
            else ""
        )
        raise StateError(f"{path}: it cannot be run: {told(error, path)}{alone}") from error
    finally:
        sys.dont_write_bytecode = writes
    found: Any = getattr(module, function, None)
    if not callable(found):
        names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        own = [n for n in names if getattr(vars(module)[n], "__module__", "") == module.__name__]
        raise StateError(
            f"{path}: there is no function {function} in it; there "
            f"{'are' if len(own) > 1 else 'is'} {', '.join(own) or 'none'}."
        )
    chosen: Callable[..., Any] = found
    return chosen


def told(error: BaseException, path: Path) -> str:
    """An error as a sentence, with the last line of the file that it passed."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    place = f"line {lines[-1]}: " if lines else ""
    return f"{place}{type(error).__name__}: {said.rstrip('.')}."
