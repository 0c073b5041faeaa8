"""A user's own model: a function in a Python file, given as `--model path/to/file.py:function`.

    def net(input_shape, outputs):
        return Sequential(Flatten(), Affine(math.prod(input_shape), outputs))

The run folder keeps a copy of the file, `model.py`, from which the model is built again. So the file
must be self-contained: it may import installed packages, but not the files beside it.

Building such a model executes the file. A run folder may come from somebody else, so its `model.py`
is executed only if its content is trusted. The models that this user has trained on this machine, or
has decided to trust, are remembered: each line of `$XDG_STATE_HOME/xpnet/trusted` is the SHA-256
digest of a function's name and its file's content.
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

from xpnet._printable import counted
from xpnet.errors import StateError
from xpnet.layers import Layer

COPY = "model.py"  # in the run folder


class Source(NamedTuple):
    """A function in a Python file. The code is executed as it was when the file was read.

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
        """Whether this user has trained the model on this machine, or has chosen to trust it."""
        try:
            return self.digest in _trusted().read_text(encoding="ascii").split()
        except (OSError, ValueError, RuntimeError):  # there may be no home folder
            return False

    def trust(self) -> None:
        """Remember that the code may be executed.

        If the file of digests cannot be written, nothing is raised: the user is asked next time.
        """
        if self.is_trusted():
            return
        with suppress(OSError, RuntimeError):
            file = _trusted()
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Only this user may read it; O_APPEND, because two processes may write at the same time.
            with os.fdopen(os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "a") as f:
                f.write(f"{self.digest}\n")

    def warning(self) -> str:
        """A description of the code that is about to be executed."""
        return (
            f"{self.path}: this model is Python code, which would be executed with all of your "
            f"permissions: {counted(len(self.code.splitlines()), 'line')}, with the function {self.function}, "
            f"SHA-256 digest {self.digest[:16]}. Read it first."
        )

    def require_trust(self, trust: bool) -> None:
        """Refuse to execute code that is not trusted.

        Raises
        ------
        StateError
            The code is not trusted, and `trust` is False.
        """
        if not (trust or self.is_trusted()):
            raise StateError(f"{self.warning()} If you trust it: open_run(path, trust=True).")

    def build(self, input_shape: tuple[int, ...], outputs: int) -> Layer:
        """The Layer that `function(input_shape, outputs)` returns.

        Raises
        ------
        StateError
            There is no such function, the file or the function raises an exception, or the result
            is not a Layer.
        """
        function = self._loaded()
        try:
            model = function(input_shape, outputs)
        except (Exception, SystemExit) as error:
            raise StateError(
                f"{self}: called as {self.function}({input_shape}, {outputs}), it fails: "
                f"{described(error, self.path)}"
            ) from error
        if not isinstance(model, Layer):
            raise StateError(
                f"{self}: expected it to return a Layer, for example a Sequential; it returned a "
                f"{type(model).__name__}."
            )
        return model

    def _loaded(self) -> Callable[..., Any]:
        """Execute the code as a module, and return its function."""
        path = self.path
        spec = spec_from_loader("xpnet_model", _Loader(path, self.code))
        if spec is None or spec.loader is None:
            raise StateError(f"{path}: expected a Python file.")
        module = module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            hint = ""
            if isinstance(error, ImportError):
                hint = " The file must be self-contained: the run folder keeps a copy of it."
            raise StateError(
                f"{path}: cannot be executed: {described(error, path)}{hint}"
            ) from error
        function: Callable[..., Any] | None = getattr(module, self.function, None)
        if not callable(function):
            functions = [
                name
                for name, value in vars(module).items()
                if callable(value)
                and not name.startswith("_")
                and getattr(value, "__module__", "") == module.__name__
            ]
            raise StateError(
                f"{path}: expected a function {self.function} in it, found: "
                f"{', '.join(functions) or 'none'}."
            )
        return function


class _Loader(SourceLoader):
    """A loader of code that was read before; it caches nothing."""

    def __init__(self, path: Path, code: bytes) -> None:
        self.path = path
        self.code = code

    def get_filename(self, fullname: str) -> str:
        return str(self.path)

    def get_data(self, path: str | bytes) -> bytes:
        return self.code


def split(model: str) -> tuple[Path, str] | None:
    """The file and the function of a user's own model; None for the name of one of xpnet's models."""
    path, colon, function = model.rpartition(":")
    return (Path(path), function) if colon else None


def read(path: Path, function: str) -> Source:
    """Read the code of a function without executing it.

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
    """The source of a run's model; None for one of xpnet's models.

    Parameters
    ----------
    file : Path
        The file of the run folder whose metadata name the model.
    model : object
        The name in the metadata: "lenet", or "model.py:function".

    Raises
    ------
    StateError
        The metadata name another file than `model.py` of the same folder, or that file is missing or
        a link.
    """
    if not isinstance(model, str):
        return None
    parts = split(model)
    if parts is None:
        return None
    name, function = parts
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
    """The file that remembers which code may be executed."""
    variable = "LOCALAPPDATA" if os.name == "nt" else "XDG_STATE_HOME"
    default = Path.home() / ".local" / "state"
    return Path(os.environ.get(variable) or default) / "xpnet" / "trusted"


def described(error: BaseException, path: Path) -> str:
    """An error as a sentence, with the number of the last line of the file that was executed."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    message = str(error)
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
        message = error.msg
    place = f"line {lines[-1]}: " if lines else ""
    return f"{place}{type(error).__name__}: {message.rstrip('.')}."
