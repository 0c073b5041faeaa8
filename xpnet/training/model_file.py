"""A model of one's own: a function in a Python file, `--model path/to/file.py:function`.

    def net(input_shape, outputs):
        return Sequential(Flatten(), Affine(math.prod(input_shape), outputs))

The run folder keeps a copy of the file, `model.py`, from which the model is built again. So the file
stands alone: it may import what is installed, but not its neighbours.

To build such a model is to execute the file. A run folder may come from somebody else: its `model.py`
is executed only if it is trusted, which it is by its content. What this user has trained on this
machine, or has said to trust, is remembered: `$XDG_STATE_HOME/xpnet/trusted` has a SHA-256 digest a
line, of the function's name and the file's content.
"""

import hashlib
import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib.abc import SourceLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any, NamedTuple

from xpnet.errors import StateError
from xpnet.layers import Layer

COPY = "model.py"  # in the run folder


class Source(NamedTuple):
    """A function in a Python file, which is executed as it was when it was read.

    Attributes
    ----------
    path : Path
    function : str
    code : bytes
        The content of the file.
    """

    path: Path
    function: str
    code: bytes

    def __str__(self) -> str:
        return f"{self.path}:{self.function}"

    @property
    def digest(self) -> str:
        """The SHA-256 digest of the function's name and the code."""
        return hashlib.sha256(self.function.encode() + b"\0" + self.code).hexdigest()

    def is_trusted(self) -> bool:
        """Whether this user has trained it on this machine, or has said to trust it."""
        try:
            return self.digest in _trusted().read_text(encoding="ascii").split()
        except (OSError, ValueError, RuntimeError):  # there may be no home folder
            return False

    def trust(self) -> None:
        """Remember that it may be executed; where that cannot be written, it is asked again."""
        if self.is_trusted():
            return
        with suppress(OSError, RuntimeError):
            file = _trusted()
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "a") as f:
                f.write(f"{self.digest}\n")

    def warning(self) -> str:
        """What is about to be executed, in words."""
        return (
            f"{self.path}: this model is Python code, which would be executed with all your rights: "
            f"{len(self.code.splitlines())} lines, called by the function {self.function}, with the "
            f"SHA-256 digest {self.digest[:16]}. Read it first."
        )

    def require_trust(self, trust: bool) -> None:
        """Refuse to execute what is not trusted.

        Raises
        ------
        StateError
            It is not, and `trust` is False.
        """
        if not (trust or self.is_trusted()):
            raise StateError(f"{self.warning()} If you trust it: open_run(path, trust=True).")

    def build(self, input_shape: tuple[int, ...], outputs: int) -> Layer:
        """What `function(input_shape, outputs)` returns.

        Raises
        ------
        StateError
            There is no such function, the file or the function fails, or what it returns is no
            Layer.
        """
        made = self._loaded()
        try:
            model = made(input_shape, outputs)
        except (Exception, SystemExit) as error:
            raise StateError(
                f"{self}: called as {self.function}({input_shape}, {outputs}), it fails: "
                f"{told(error, self.path)}"
            ) from error
        if not isinstance(model, Layer):
            raise StateError(
                f"{self}: expected it to return a Layer, a Sequential say; it returned a "
                f"{type(model).__name__}."
            )
        return model

    def _loaded(self) -> Callable[..., Any]:
        """The function, of the code that is executed as a module."""
        path = self.path
        function = self.function
        spec = spec_from_loader("xpnet_model", _Loader(path, self.code))
        if spec is None or spec.loader is None:
            raise StateError(f"{path}: expected a Python file.")
        module = module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            alone = ""
            if isinstance(error, ImportError):
                alone = " The file must stand alone: the run folder keeps a copy of it."
            raise StateError(f"{path}: it cannot be run: {told(error, path)}{alone}") from error
        found: Any = getattr(module, function, None)
        if not callable(found):
            names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
            own = [
                n for n in names if getattr(vars(module)[n], "__module__", "") == module.__name__
            ]
            raise StateError(
                f"{path}: there is no function {function} in it; there "
                f"{'are' if len(own) > 1 else 'is'} {', '.join(own) or 'none'}."
            )
        chosen: Callable[..., Any] = found
        return chosen


class _Loader(SourceLoader):
    """Executes code that was read before, and caches nothing."""

    def __init__(self, path: Path, code: bytes) -> None:
        self.path = path
        self.code = code

    def get_filename(self, fullname: str) -> str:
        return str(self.path)

    def get_data(self, path: str | bytes) -> bytes:
        return self.code


def split(model: str) -> tuple[Path, str] | None:
    """The file and the function that a model is named by; None if it is one of xpnet's."""
    path, colon, function = model.rpartition(":")
    return (Path(path), function) if colon else None


def read(path: Path, function: str) -> Source:
    """The function of a file, of which nothing is executed yet.

    Raises
    ------
    StateError
        There is no such file, or it cannot be read.
    """
    if not path.is_file():
        what = "that is a folder" if path.is_dir() else "there is no such file"
        raise StateError(f"{path}: expected a Python file with the function {function}; {what}.")
    if path.suffix != ".py":
        raise StateError(f"{path}: expected a Python file, one that ends in .py.")
    try:
        return Source(path, function, path.read_bytes())
    except OSError as error:
        raise StateError(f"{path}: cannot be read: {error.strerror or error}.") from error


def of_run(file: Path, model: Any) -> Source | None:
    """The source of the model that the metadata of a run's file name; None for one of xpnet's.

    Parameters
    ----------
    file : Path
        The file whose metadata they are.
    model : object
        What they name: "lenet", or "model.py:function".

    Raises
    ------
    StateError
        They name another file than `model.py` of the same folder, or that is missing or a link.
    """
    own = split(model) if isinstance(model, str) else None
    if own is None:
        return None
    name, function = own
    if str(name) != COPY or not function.isidentifier():
        raise StateError(
            f"{file}: its metadata name the code {model!r}. Expected a function of {COPY} in the "
            "same folder: nothing else is executed."
        )
    path = file.with_name(COPY)
    if path.is_symlink():
        raise StateError(
            f"{path}: expected the model's own code, but it is a link to another file."
        )
    return read(path, function)


def _trusted() -> Path:
    """The file that remembers what may be executed."""
    home = Path.home() / ".local" / "state"
    place = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_STATE_HOME")
    return (Path(place) if place else home) / "xpnet" / "trusted"


def told(error: BaseException, path: Path) -> str:
    """An error as a sentence, with the last line of the file that it passed."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    place = f"line {lines[-1]}: " if lines else ""
    return f"{place}{type(error).__name__}: {said.rstrip('.')}."
