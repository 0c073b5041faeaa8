"""Flags from a file: `xpnet train --config FILE.toml`, and the settings of a run that is resumed.

A key is a flag's name without the leading dashes, and its value is what the flag takes. Paths in the
file are relative to the file's folder, so that a folder with a configuration and its data can be moved,
and the file of a run folder can name the model's source beside it.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer

from xpnet.cli.errors import bad_flag
from xpnet.cli.kinds import is_path, kind_of
from xpnet.errors import StateError

FILE = "config.toml"  # in a run folder
PATHS = ("dataset", "test", "data-dir", "model", "out")  # keys whose values may be paths
COMMAND_LINE_ONLY = ("config", "resume", "trust", "help")
ENVIRONMENT = "environment"  # a key of ctx.meta: the environment of the run that --config repeats
RESUMED = "resumed"  # a key of ctx.meta: the record of the run that --resume names
_LARGEST = 2**20  # bytes in a file; the file of a run has about 500
_LONGEST = 4096  # characters of a string in it: as many as a path may have on Linux


def from_file(ctx: typer.Context, path: Path | None) -> Path | None:
    """The callback of `--config`: the file's values become defaults, so the command line wins."""
    if path is not None and not ctx.resilient_parsing:
        given = _loaded(path, "--config")
        ctx.meta[ENVIRONMENT] = _environment_of(path)
        ctx.default_map = {**(ctx.default_map or {}), **defaults(ctx, given, path, "--config")}
    return path


def from_run(ctx: typer.Context, path: Path | None) -> Path | None:
    """The callback of `--resume`: the settings in the run folder's checkpoint become defaults.

    They are read from the checkpoint because it is written in one piece, with checksums. The other
    files are for people to read.
    """
    if path is not None and not ctx.resilient_parsing:
        from xpnet.cli.run_folder import RunFolder

        run = RunFolder(path)
        if not any(file.is_file() for file in (run.checkpoint, run.model, run.settings)):
            raise bad_flag("--resume", f"{path}: expected a run folder, as xpnet train writes it.")
        record = run.record()
        ctx.meta[RESUMED] = record
        require_unedited(run.settings, record.settings, run.checkpoint)
        ctx.default_map = defaults(ctx, record.settings, run.checkpoint, "--resume")
    return path


def defaults(ctx: typer.Context, given: Mapping[str, Any], path: Path, flag: str) -> dict[str, Any]:
    """The values of a file, by the names of the command's parameters.

    Raises
    ------
    typer.BadParameter
        A key or a value is not one of the command's. The message names the file and the key.
    """
    parameters = {name: p for p in ctx.command.params for name in _keys(p)}
    found = {}
    for key, value in given.items():
        if key not in parameters:
            raise bad_flag(flag, f"{path}: unknown key {_short_repr(key)}.{_hint(key, parameters)}")
        parameter: Any = parameters[key]
        try:
            value = _as_flag(parameter, key, value, path.parent)
            parameter.process_value(ctx, value)
        except typer.BadParameter as error:
            raise bad_flag(flag, f"{path}: {key}: {error.message}") from error
        found[parameter.name] = value
    return found


def _loaded(path: Path, flag: str) -> dict[str, Any]:
    """The content of a TOML file, which may begin with a byte order mark, as Notepad writes it."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)  # a device may have no end
        if len(content) > _LARGEST:
            raise bad_flag(flag, f"{path}: expected a file of flags, of at most {_LARGEST} bytes.")
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise bad_flag(flag, f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        message = f"expected UTF-8: {error.reason} at byte {error.start}. Save it as UTF-8."
        raise bad_flag(flag, f"{path}: is not valid TOML: {message}") from error
    except ValueError as error:  # invalid TOML, or a number with too many digits
        raise bad_flag(flag, f"{path}: is not valid TOML: {error}.") from error
    except RecursionError:
        raise bad_flag(flag, f"{path}: its brackets are nested too deeply.") from None


def _environment_of(path: Path) -> dict[str, Any]:
    """The environment in the config.json beside a run's file; empty if there is none."""
    from xpnet.training import Run
    from xpnet.training.environment import recorded

    if path.name != FILE:
        return {}
    try:
        return recorded(json.loads(path.with_name(Run.CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return {}


def require_unedited(path: Path, settings: Mapping[str, Any], checkpoint: Path) -> None:
    """Refuse to resume a run whose file was edited: the new settings would have no effect.

    A file that is missing, empty or not valid TOML does not count as edited; it is written again.

    Raises
    ------
    StateError
        A setting was changed, added or removed.
    """
    try:
        given = _loaded(path, "--resume")
    except typer.BadParameter:
        return
    if not given:
        return
    for key in {**settings, **given}:
        if given.get(key) != settings.get(key):
            was = _short_repr(settings.get(key))
            now = _short_repr(given.get(key))
            raise StateError(
                f"{checkpoint}: it is a checkpoint of another training than {path} describes: its "
                f"{key} is {was}, not {now}. A resumed run keeps its settings: undo the change; or "
                f"begin a new run: xpnet train --config {path}"
            )


def _keys(parameter: Any) -> list[str]:
    """The names of a flag in a file; empty for an argument."""
    names = [name[2:] for name in parameter.opts if name.startswith("--")]
    return [name for name in names if name not in COMMAND_LINE_ONLY]


def _hint(key: str, known: Mapping[str, Any]) -> str:
    if key in COMMAND_LINE_ONLY:
        return " It can be given on the command line only."
    close = get_close_matches(key.replace("_", "-").lower(), known, n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" There are: {', '.join(known)}."


_KINDS: dict[str, type] = {
    "epochs": int,
    "patience": int,
    "batch-size": int,
    "seed": int,
    "validation": float,
    "lr": float,
    "weight-decay": float,
    "clip": float,
    "crop": float,
    "rotate": float,
    "shift": int,
    "color-jitter": float,
}
_KIND_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}


def _as_flag(parameter: Any, key: str, value: Any, folder: Path) -> Any:
    """A value of TOML as the flag takes it.

    Raises
    ------
    typer.BadParameter
        The value is of another type, or too long.
    """
    if key == "hidden" and type(value) in (int, list):
        return _widths(value)
    _require_kind(parameter, key, value)
    if type(value) is int:
        _digits(value)  # refuses a number that is too long to print
    if isinstance(value, str):
        _require_short(value)
        if key in PATHS:
            return _relative_to(folder, key, value)
    return value


def _widths(value: int | list[Any]) -> str:
    """Widths of layers, 400 or [256, 128], as the flag takes them: "400" or "256,128"."""
    numbers = value if isinstance(value, list) else [value]
    if any(type(n) is not int for n in numbers):
        raise typer.BadParameter(f"expected widths, as 80 or [256, 128], got {_short_repr(value)}.")
    return ",".join(map(_digits, numbers))


def _require_kind(parameter: Any, key: str, value: Any) -> None:
    kind = bool if parameter.is_flag else _KINDS.get(key, str)
    if type(value) is kind:
        return
    if kind is float and type(value) is int:
        return
    if key == "test" and type(value) is float:  # a share, or the path of a file
        return
    raise typer.BadParameter(f"expected {_KIND_NAMES[kind]}, got {_short_repr(value)}.")


def _require_short(value: str) -> None:
    if len(value) > _LONGEST:
        raise typer.BadParameter(f"expected a string of at most {_LONGEST} characters.")
    if "\0" in value:
        raise typer.BadParameter(f"expected a string without NUL, got {_short_repr(value)}.")


def _relative_to(folder: Path, key: str, value: str) -> str:
    """A path in the file, seen from the current folder; a name that is not a path is returned unchanged."""
    if key == "model" and ":" not in value:
        return value
    if key in ("dataset", "test") and not is_path(value, folder):
        return value
    if not value:
        return value
    path = os.path.normpath(folder / value)
    if key == "dataset" and kind_of(path) == "images":
        return f".{os.sep}{path}"  # a folder with the name of a data set, such as mnist
    return path


def _digits(number: int) -> str:
    """A whole number in decimal digits; Python refuses to write more than a few thousand of them."""
    if abs(number) >= 10**400:  # a hexadecimal number in TOML has no limit
        raise typer.BadParameter("expected a number of at most 400 digits.")
    return str(number)


def _short_repr(value: Any) -> str:
    """The repr of a value for a message, cut off after 80 characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python does not write numbers of thousands of digits
        return "a value that cannot be shown"
    return text if len(text) <= 80 else f"{text[:80]}..."


def absolute(path: str | Path, flag: str) -> str:
    """The absolute path, if the file that repeats a run can hold it.

    Raises
    ------
    typer.BadParameter
        It is not in UTF-8, the encoding of TOML.
    """
    found = os.path.realpath(path)  # unlike Path.resolve it does not raise if links form a loop
    try:
        found.encode()
    except UnicodeEncodeError:
        raise bad_flag(
            flag,
            f"{found}: expected a path in UTF-8, which {FILE} can hold, so that the run can be "
            "repeated. Rename the file or the folder.",
        ) from None
    return found
