"""Settings: the values of the flags of `xpnet train`, after defaults and checks.

A flag that would have no effect beside another one is an error, since the user expects an effect.
"""

from inspect import signature
from pathlib import Path
from typing import Any

import typer

from xpnet.cli.config import ENVIRONMENT, FILE, absolute
from xpnet.cli.errors import bad_flag
from xpnet.cli.flags import RATES, TABLE_RATE
from xpnet.cli.kinds import PICTURES, kind_of
from xpnet.optimizers import BY_NAME as OPTIMIZERS
from xpnet.training import Run, model_file

WITH_RESUME = (
    *("resume", "epochs", "backend", "compile", "compression", "timeout", "quiet", "data_dir"),
    "trust",
)


def read_settings(ctx: typer.Context) -> dict[str, Any]:
    """Every flag's value, by name, with the data set as a name or an absolute path.

    Raises
    ------
    typer.BadParameter
        Two flags cannot be given together.
    """
    flags = dict(ctx.params)
    if flags["resume"]:
        _refuse_kept_settings(ctx)
    file = ctx.default_map or {}
    # A file's value is for this run, and takes precedence over the environment variable, which is for all.
    if _source(ctx, "backend") == "ENVIRONMENT" and "backend" in file:
        flags["backend"] = file["backend"]
    flags["environment"] = ctx.meta.get(ENVIRONMENT, {})
    flags["of_a_run"] = _source(ctx, "model") != "COMMANDLINE" and is_of_run(flags["config"])
    flags["dataset"] = _dataset(ctx, flags)
    _require_flags_of_data(flags)
    _settle_model(flags)
    _settle_learning(flags)
    for name in ("data_dir", "out", "resume"):
        flags[name] = Path(flags[name]) if flags[name] else None
    if flags["data_dir"]:
        flags["data_dir"] = absolute(flags["data_dir"], "--data-dir")
    return flags


def is_of_run(config: Path | None) -> bool:
    """Whether a file of flags belongs to a run folder, and was not written by the user."""
    return config is not None and (config.name == FILE or (config.parent / Run.MODEL).exists())


def _source(ctx: typer.Context, name: str) -> str:
    """Where a parameter's value comes from: "COMMANDLINE", "ENVIRONMENT", "DEFAULT_MAP" (a file), ..."""
    found = ctx.get_parameter_source(name)
    return found.name if found else ""


def _refuse_kept_settings(ctx: typer.Context) -> None:
    """Refuse the flags of settings that a resumed run keeps."""
    for parameter in ctx.command.params:
        name = str(parameter.name)
        if name not in WITH_RESUME and _source(ctx, name) == "COMMANDLINE":
            flag = parameter.opts[0]
            if not flag.startswith("--"):
                flag = "DATASET"
            raise bad_flag(
                flag,
                "a resumed run keeps its settings; with --resume only --epochs, --backend, "
                "--no-compile, --compression, --timeout, --data-dir, --trust and --quiet may be given.",
            )


def _dataset(ctx: typer.Context, flags: dict[str, Any]) -> str:
    """The data set that the argument names, or else the flag, perhaps in a file; by default mnist."""
    argument = flags["dataset"]
    flag = flags.pop("named")
    if argument and flag and argument != flag and _source(ctx, "named") == "COMMANDLINE":
        raise bad_flag("--dataset", f"{flag}, but DATASET is {argument}: give one of them.")
    chosen: str = argument or flag or "mnist"
    if kind_of(chosen) == "images":
        return chosen
    return absolute(chosen, "--dataset")


def _require_flags_of_data(flags: dict[str, Any]) -> None:
    """Refuse flags for data of another kind."""
    name = Path(flags["dataset"]).name
    kind = kind_of(flags["dataset"])
    for flag, kinds in _KINDS_OF_FLAGS.items():
        default = False if flag == "augment" else None
        if flags[flag] is not default and kind not in kinds:
            raise bad_flag(
                _name_of(flag), f"it is for {_KIND_NAMES[kinds[0]]}; the data are {name}."
            )
    if flags["test"] is not None and kind == "images":
        raise bad_flag("--test", f"it is for tables; {name} has its own test images.")
    if isinstance(flags["test"], str):
        if kind_of(flags["test"]) != kind or kind == "npz":
            expected = _OTHER_TESTS.get(kind, "a share, such as 0.2")
            raise bad_flag("--test", f"{flags['test']}: for {name}, expected {expected}.")
        flags["test"] = absolute(flags["test"], "--test")
    if flags["class_weight"] and flags["task"] == "regress":
        raise bad_flag("--class-weight", "it is for classes; --task regress predicts numbers.")
    if flags["task"] == "regress" and kind in PICTURES:
        raise bad_flag("--task", f"regress is for numbers in a table; {name} has classes.")


_KINDS_OF_FLAGS = {  # flags, and the kinds of data that they are for
    "data_dir": ("images",),
    "size": ("folder",),
    **dict.fromkeys(("augment", "crop", "rotate", "shift", "flip", "color_jitter"), PICTURES),
    **dict.fromkeys(("target", "features", "drop", "id", "categories", "missing"), ("csv",)),
    **dict.fromkeys(("drop_missing_target", "index", "header"), ("csv",)),
    **dict.fromkeys(("delimiter", "encoding", "decimal"), ("csv",)),
}
_KIND_NAMES = {
    "images": "data sets of images",
    "folder": "folders of pictures",
    "csv": "CSV tables",
}
_OTHER_TESTS = {"csv": "another table", "folder": "another folder"}


def _settle_model(flags: dict[str, Any]) -> None:
    """Set the defaults of the mlp's flags, or refuse them; make a model's file an absolute path."""
    is_table = kind_of(flags["dataset"]) not in PICTURES
    activation = "gelu" if is_table else "relu"  # smooth, which suits tables: see docs/tables.md
    for name, default in (("hidden", [400]), ("activation", activation)):
        if flags["model"] == "mlp":
            if flags[name] is None:
                flags[name] = default
        elif flags[name] is not None:
            raise bad_flag(
                _name_of(name), f"it is for the model mlp; the model is {flags['model']}."
            )
    own = model_file.split(flags["model"])
    if own is not None:
        path, function = own
        flags["model"] = f"{absolute(path, '--model')}:{function}"


def _own_rate(optimizer: str) -> float:
    """The learning rate that an optimizer has by default."""
    rate: float = signature(OPTIMIZERS[optimizer]).parameters["lr"].default
    return rate


def _settle_learning(flags: dict[str, Any]) -> None:
    """Choose the optimizer that suits the model and the data, and its learning rate."""
    images = kind_of(flags["dataset"]) in PICTURES
    default_optimizer = "adam"
    if images and flags["model"] in ("mlp", "resnet"):
        default_optimizer = "momentum"
    optimizer = flags["optimizer"] or default_optimizer
    rate = RATES.get(optimizer, _own_rate(optimizer))
    by_default = flags["optimizer"] is None and flags["model"] == "mlp"
    if by_default and flags["task"] == "classify" and not images:
        rate = TABLE_RATE
    flags["optimizer"] = optimizer
    if flags["lr"] is None:
        flags["lr"] = rate
    if flags["precision"] and flags["dtype"] != "float32":
        raise bad_flag("--precision", f"{flags['precision']} goes with --dtype float32.")


def _name_of(parameter: str) -> str:
    return f"--{parameter.replace('_', '-')}"
