"""Settings: what the flags of `xpnet train` come to, once each that was left out has its value.

A flag that means nothing beside another one is an error: it would have been meant to do something.
"""

from pathlib import Path
from typing import Any

import typer

from xpnet.cli.config import ENVIRONMENT, FILE, absolute
from xpnet.cli.flags import RATES, TABLE_RATE
from xpnet.cli.kinds import PICTURES, kind_of
from xpnet.training import Run, model_file as source

WITH_RESUME = ("resume", "epochs", "backend", "quiet", "data_dir", "trust")
FILE_KEYS = (  # of the file that repeats a run, in its order
    "dataset", "data_dir", "target", "features", "index", "header", "delimiter", "encoding",
    "image_size", "test", "task", "augment",
    "model", "hidden", "activation",
    "epochs", "earlier_epochs", "batch_size", "optimizer", "lr", "schedule", "weight_decay", "clip", "seed",
    "backend", "dtype", "precision", "tensorboard",
)  # fmt: skip


def settled(ctx: typer.Context) -> dict[str, Any]:
    """Every flag's value, by name; the data set in absolute terms.

    Raises
    ------
    typer.BadParameter
        Two flags do not go together.
    """
    flags = dict(ctx.params)
    if flags["resume"]:
        _require_few(ctx)
    file = ctx.default_map or {}
    if _source(ctx, "backend") == "ENVIRONMENT" and "backend" in file:
        flags["backend"] = file["backend"]  # what a file says is said of this run; that, of all
    flags["environment"] = ctx.meta.get(ENVIRONMENT, {})
    flags["of_a_run"] = _source(ctx, "model") != "COMMANDLINE" and is_of_run(flags["config"])
    flags["dataset"] = _dataset(ctx, flags)
    _require_its_data(flags)
    _settle_model(flags)
    _settle_learning(flags)
    for name in ("data_dir", "out", "resume"):
        flags[name] = Path(flags[name]) if flags[name] else None
    if flags["data_dir"]:
        flags["data_dir"] = absolute(flags["data_dir"], "--data-dir")
    return flags


def is_of_run(config: Path | None) -> bool:
    """Whether a file of flags is that of a run folder, and not one that the user has written."""
    return config is not None and (config.name == FILE or (config.parent / Run.MODEL).exists())


def _source(ctx: typer.Context, name: str) -> str:
    found = ctx.get_parameter_source(name)
    return found.name if found else ""


def _require_few(ctx: typer.Context) -> None:
    """With --resume the run's own settings hold, but for a few."""
    for parameter in ctx.command.params:
        name = str(parameter.name)
        if name not in WITH_RESUME and _source(ctx, name) == "COMMANDLINE":
            flag = parameter.opts[0] if parameter.opts[0].startswith("--") else "DATASET"
            raise _bad(
                flag,
                "a run that goes on keeps its settings; with --resume only --epochs, --backend, "
                "--data-dir and --quiet may be given.",
            )


def _dataset(ctx: typer.Context, flags: dict[str, Any]) -> str:
    """The data set: the argument's, or the flag's, which may be a file's."""
    argument, flag = flags["dataset"], flags.pop("named")
    if argument and flag and argument != flag and _source(ctx, "named") == "COMMANDLINE":
        raise _bad("--dataset", f"{flag}, but DATASET is {argument}: give one of them.")
    chosen: str = argument or flag or "mnist"
    return chosen if kind_of(chosen) == "images" else absolute(chosen, "--dataset")


def _require_its_data(flags: dict[str, Any]) -> None:
    """Flags for data of another kind are errors."""
    name, kind = Path(flags["dataset"]).name, kind_of(flags["dataset"])
    for flag, kinds in _ONLY.items():
        given = flags[flag] if flag == "augment" else flags[flag] is not None
        if given and kind not in kinds:
            raise _bad(_flag(flag), f"it is for {_WORDS[kinds[0]]}; the data are {name}.")
    if flags["test"] is not None and kind == "images":
        raise _bad("--test", f"it is for tables; {name} has test images of its own.")
    if isinstance(flags["test"], str):
        if kind_of(flags["test"]) != kind or kind == "npz":
            what = {"csv": "another table", "folder": "another folder"}.get(
                kind, "a share, 0.2 say"
            )
            raise _bad("--test", f"{flags['test']}: for {name}, expected {what}.")
        flags["test"] = absolute(flags["test"], "--test")
    if flags["task"] == "regress" and kind in PICTURES:
        raise _bad("--task", f"regress is for numbers, of a table; {name} has classes.")


_ONLY = {  # flags, and the kinds of data that they are for
    "data_dir": ("images",),
    "augment": PICTURES,
    "image_size": ("folder",),
    **dict.fromkeys(("target", "features", "index", "header", "delimiter", "encoding"), ("csv",)),
}
_WORDS = {
    "images": "data sets of images",
    "folder": "folders of pictures",
    "csv": "CSV tables",
}


def _settle_model(flags: dict[str, Any]) -> None:
    """The flags of the mlp are its own; a file becomes an absolute path."""
    for name, default in (("hidden", [400]), ("activation", "relu")):
        if flags["model"] == "mlp":
            flags[name] = default if flags[name] is None else flags[name]
        elif flags[name] is not None:
            raise _bad(_flag(name), f"it is for the model mlp; the model is {flags['model']}.")
    if own := source.split(flags["model"]):
        flags["model"] = f"{absolute(own[0], '--model')}:{own[1]}"


def _settle_learning(flags: dict[str, Any]) -> None:
    """The optimizer that suits the model and the data, and its rate."""
    images = kind_of(flags["dataset"]) in PICTURES
    robust = images and flags["model"] in ("mlp", "resnet")
    chosen = flags["optimizer"] or ("momentum" if robust else "adam")
    plain = flags["optimizer"] is None and flags["model"] == "mlp" and flags["task"] == "classify"
    rate = TABLE_RATE if plain and not images else RATES[chosen]
    flags["optimizer"], flags["lr"] = chosen, rate if flags["lr"] is None else flags["lr"]
    if flags["precision"] and flags["dtype"] != "float32":
        raise _bad("--precision", f"{flags['precision']} goes with --dtype float32.")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _bad(flag: str, message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint=f"'{flag}'")
