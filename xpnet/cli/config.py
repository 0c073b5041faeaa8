"""Flags from a file: `xpnet train --config FILE.toml`, and the file that repeats a run.

A key is a flag's name without its dashes, and its value what the flag takes. Paths in the file are
relative to the file's folder, so that a folder with a configuration and its data can be moved; and
the file that a run folder holds can name the model's source, which lies beside it.
"""

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer

from xpnet.cli.kinds import is_path, kind_of
from xpnet.errors import StateError
from xpnet.saving.safetensors import replacing

FILE = "config.toml"  # in a run folder
PATHS = ("dataset", "test", "data-dir", "model", "out")  # where they are no names or numbers
NOT_THERE = ("config", "resume", "trust", "help")  # flags that make no sense in a file
ENVIRONMENT = "environment"  # in a context: that of the run that --config repeats
RESUMED = "resumed"  # in a context: the record of the run that --resume names
_LARGEST = 2**20  # bytes of a file; what a run writes has about 500
_LONGEST = 4096  # characters of a text in it, as of a path on Linux


def from_file(ctx: typer.Context, path: Path | None) -> Path | None:
    """`--config`: the file's values become the flags' defaults, so the command line wins."""
    if path is not None and not ctx.resilient_parsing:
        given = _loaded(path, "--config")
        ctx.meta[ENVIRONMENT] = _environment_of(path)
        ctx.default_map = {**(ctx.default_map or {}), **defaults(ctx, given, path, "--config")}
    return path


def from_run(ctx: typer.Context, path: Path | None) -> Path | None:
    """`--resume`: likewise, from the checkpoint that the run folder holds.

    What else lies there is for people to read: the checkpoint alone is of one piece, and checked.
    """
    if path is not None and not ctx.resilient_parsing:
        from xpnet.cli.run_files import papers_of
        from xpnet.training import Checkpoint, Run

        names = (Checkpoint.LAST, Run.MODEL, FILE)
        if not any((path / name).is_file() for name in names):
            raise _bad("--resume", f"{path}: expected a run folder, as xpnet train makes.")
        file = path / Checkpoint.LAST
        record = ctx.meta[RESUMED] = papers_of(file)
        require_unedited(path / FILE, record.settings, file)
        ctx.default_map = defaults(ctx, record.settings, file, "--resume")
    return path


def defaults(ctx: typer.Context, given: Mapping[str, Any], path: Path, flag: str) -> dict[str, Any]:
    """The values of a file, by the names of the command's parameters.

    Raises
    ------
    typer.BadParameter
        A key or a value is none of the command's. The message names the file and the key.
    """
    parameters = {name: p for p in ctx.command.params for name in _keys(p)}
    found = {}
    for key, value in given.items():
        if key not in parameters:
            raise _bad(flag, f"{path}: unknown key {_short_repr(key)}.{_hint(key, parameters)}")
        parameter: Any = parameters[key]
        try:
            value = _read(parameter, key, value, path.parent)
            parameter.process_value(ctx, value)
        except typer.BadParameter as error:
            raise _bad(flag, f"{path}: {key}: {error.message}") from error
        found[parameter.name] = value
    return found


def _loaded(path: Path, flag: str) -> dict[str, Any]:
    """What a TOML file holds; one that begins with a byte order mark, as Notepad writes it, too."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)  # a device may have no end
        if len(content) > _LARGEST:
            raise _bad(flag, f"{path}: expected a file of flags, of at most {_LARGEST} bytes.")
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise _bad(flag, f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        message = f"expected UTF-8: {error.reason} at byte {error.start}. Save it as UTF-8."
        raise _bad(flag, f"{path}: is no TOML: {message}") from error
    except ValueError as error:  # of TOML, or of a number with too many digits
        raise _bad(flag, f"{path}: is no TOML: {error}.") from error
    except RecursionError:
        raise _bad(flag, f"{path}: its brackets are nested too deeply.") from None


def _environment_of(path: Path) -> dict[str, Any]:
    """The environment of the run whose file this is, from its config.json; empty if there is none."""
    from xpnet.training import Run
    from xpnet.training.environment import recorded

    if path.name != FILE:
        return {}
    try:
        return recorded(json.loads(path.with_name(Run.CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return {}


def require_unedited(path: Path, settings: Mapping[str, Any], checkpoint: Path) -> None:
    """Refuse to resume a run whose file has other settings than the run: they would have no effect.

    A file that is missing, empty or no TOML is no edit: it is written anew.

    Raises
    ------
    StateError
        A setting was changed, added or removed.
    """
    try:
        given = _loaded(path, "--resume")
    except typer.BadParameter:
        return
    for key in {**settings, **given} if given else ():
        if given.get(key) != settings.get(key):
            raise StateError(
                f"{checkpoint}: it is a checkpoint of another training than {path} describes: its "
                f"{key} is {_short_repr(settings.get(key))}, not {_short_repr(given.get(key))}. A resumed run keeps its "
                f"settings: undo the change; or begin a new run: xpnet train --config {path}"
            )


def described(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The settings as a file of that folder has them: each that is not None, by its flag's name.

    Paths that lie in the folder are relative to it.
    """
    shorts = {
        key.replace("_", "-"): _short(key.replace("_", "-"), settings[key], folder)
        for key in settings
    }
    return {key: value for key, value in shorts.items() if value is not None}


def write(
    path: Path, settings: Mapping[str, Any], environments: Sequence[Mapping[str, Any]]
) -> None:
    """The file that repeats a run.

    Parameters
    ----------
    settings : mapping
        What `described` gave.
    environments : sequence of mappings
        The environment of each part of the run, with the step at which it began as "step".
    """
    from xpnet.training.environment import changes

    last = environments[-1]
    parts = ", ".join(f"{name} {value}" for name, value in last.items() if name != "step")
    lines = [
        f"# To repeat this run: xpnet train --config {FILE} --out FOLDER",
        f"# It is the same to the last bit with {parts}.",
    ]
    for old, new in pairwise(environments):
        changed = ", ".join(changes(old, {**new, "step": old["step"]}))
        lines.append(f"# What is not repeated: after step {new['step']} it went on with {changed}.")
    lines += [f"{key} = {_toml(value)}" for key, value in settings.items()]
    with replacing(path) as temporary:
        temporary.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _toml(value: str | float) -> str:
    """A text, a number, true or false, as TOML has it: Python itself reads TOML, and writes none."""
    text = json.dumps(value, ensure_ascii=False)  # JSON's texts and numbers are TOML's, but for one
    return text.replace("\x7f", "\\u007f")


def _keys(parameter: Any) -> list[str]:
    """The names that a flag has in a file; none for an argument."""
    names = [name[2:] for name in parameter.opts if name.startswith("--")]
    return [name for name in names if name not in NOT_THERE]


def _hint(key: str, known: Mapping[str, Any]) -> str:
    if key in NOT_THERE:
        return " It can be given on the command line alone."
    close = get_close_matches(key.replace("_", "-").lower(), known, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" There are: {', '.join(known)}."


def _read(parameter: Any, key: str, value: Any, folder: Path) -> Any:
    """A value of TOML as the flag takes it; BadParameter where it is of another type."""
    if key == "hidden" and type(value) in (int, list):  # 400, or [256, 128]
        numbers = value if isinstance(value, list) else [value]
        if any(type(n) is not int for n in numbers):
            given = _short_repr(value)
            raise typer.BadParameter(f"expected widths, as 80 or [256, 128], got {given}.")
        return ",".join(map(_digits, numbers))
    kind: Any = bool if parameter.is_flag else _KINDS.get(key, str)
    fits = type(value) is kind or (kind is float and type(value) is int)
    if not fits and not (key == "test" and type(value) is float):
        raise typer.BadParameter(f"expected {_WORDS[kind]}, got {_short_repr(value)}.")
    if kind is not bool and type(value) is int:
        _digits(value)
    if isinstance(value, str) and len(value) > _LONGEST:
        raise typer.BadParameter(f"expected a text of at most {_LONGEST} characters.")
    if "\0" in str(value):
        raise typer.BadParameter(f"expected a text without NUL, got {_short_repr(value)}.")
    if key not in PATHS or (key == "model" and ":" not in value):
        return value
    if key in ("dataset", "test") and not is_path(str(value), folder):
        return value
    found = os.path.normpath(folder / value) if value else value
    is_name = key == "dataset" and kind_of(found) == "images"
    return f".{os.sep}{found}" if is_name else found  # a folder that is called mnist


def _digits(number: int) -> str:
    """A whole number in decimal digits; Python refuses to write those of a very large one."""
    if abs(number) >= 10**400:  # in TOML it may be hexadecimal, which has no limit
        raise typer.BadParameter("expected a number of at most 400 digits.")
    return str(number)


def _short_repr(value: Any) -> str:
    """A value for a message, where one of a megabyte is no help."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python does not write numbers of thousands of digits
        return "what cannot be shown"
    return text if len(text) <= 80 else f"{text[:80]}..."


_KINDS = {
    **dict.fromkeys(("epochs", "batch-size", "seed"), int),
    **dict.fromkeys(("lr", "weight-decay", "clip"), float),
}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def absolute(path: str | Path, flag: str) -> str:
    """A path in absolute terms, if the file that repeats a run can hold it.

    Raises
    ------
    typer.BadParameter
        It is not in UTF-8, in which all of TOML is.
    """
    found = os.path.realpath(path)  # unlike Path.resolve it raises nothing where links form a loop
    try:
        found.encode()
    except UnicodeEncodeError:
        raise _bad(
            flag,
            f"{found}: expected a path in UTF-8, which {FILE} can hold, so that the run can be "
            "repeated. Rename the file or the folder.",
        ) from None
    return found


def _short(key: str, value: Any, folder: Path) -> Any:
    if isinstance(value, list):  # [256, 128], or [[3, 57]]
        return ",".join("@".join(map(str, n)) if isinstance(n, list) else str(n) for n in value)
    if key in PATHS and isinstance(value, str) and Path(value).is_absolute():
        path = Path(value)
        return path.name if path.parent == folder.resolve() else value
    return value


def _bad(flag: str, message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint=f"'{flag}'")
