"""The files that a run needs to be resumed and to be repeated.

To resume it: its settings, how it reads its data, and the digest of the code of the user's own model
are part of the checkpoint, which has checksums. To repeat it: `config.toml`, and `model.py` if the
model is one of the user's own.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from xpnet.cli.config import FILE, PATHS
from xpnet.saving.safetensors import replacing
from xpnet.training import Callback
from xpnet.training._claim import Claim
from xpnet.training.environment import CANNOT, changes, environment
from xpnet.training.model_file import COPY, Source

if TYPE_CHECKING:
    from xpnet.training import Trainer

KEYS = (  # the settings that repeat a run, in the order of the file
    "dataset", "data_dir", "target", "features", "drop", "id", "categories", "missing",
    "drop_missing_target", "index", "header", "delimiter", "encoding", "decimal",
    "size", "test", "validation", "task", "class_weight",
    "augment", "crop", "rotate", "shift", "flip", "color_jitter",
    "model", "hidden", "activation",
    "epochs", "patience", "earlier_epochs", "batch_size", "optimizer", "lr", "schedule", "weight_decay", "clip", "seed",
    "backend", "dtype", "precision", "compile", "compression", "tensorboard",
)  # fmt: skip


class RunFiles(Callback):
    """Writes the files that repeat the run, and adds to the checkpoint what resumes it.

    Parameters
    ----------
    folder : Path
    settings : mapping
        The value of each flag.
    reading : dict
        How the data are read: see `xpnet.cli.dataset`.
    source : Source or None
        The code of the model, if it is the user's own.
    environments : sequence of mapping
        For a resumed run, the environments of its earlier parts, each with the step at which it began
        as "step".
    """

    order: ClassVar[int] = -1  # before the weights: a folder that has weights can be resumed
    only_on_root: ClassVar[bool] = True
    reads_gradients: ClassVar[bool] = False

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        reading: dict[str, Any],
        source: Source | None = None,
        environments: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        kept = {name: settings[name] for name in KEYS}
        if source is not None:
            kept["model"] = f"{COPY}:{source.function}"
        self.folder = folder
        self.settings = as_toml_values(kept, folder)
        self.reading = reading
        self.source = source
        self.compiled = bool(settings["compile"])
        self.earlier = [dict(found) for found in environments]
        self.environments = self.earlier
        self.began = 0  # the step
        self.possible = True  # whether steps can be compiled, as far as is known
        self.claim = Claim(folder)

    def on_start(self, trainer: "Trainer") -> None:
        """Claim the folder, and write the files."""
        self.claim.acquire()
        try:
            self.began = trainer.steps
            could_not = bool(self.earlier) and self.earlier[-1].get("steps") == CANNOT
            self._set_environment(possible=not could_not)
            if self.source is not None:
                self.source.trust()  # this training executes it
                with replacing(self.folder / COPY) as temporary:
                    temporary.write_bytes(self.source.code)
            write_settings(self.folder / FILE, self.settings, self.environments)
        except BaseException:
            self.claim.release()
            raise

    def _set_environment(self, possible: bool) -> None:
        """Add the current environment, unless it is that of the previous part of the run."""
        self.possible = possible
        now = environment(self.compiled, possible)
        before = self.earlier[-1] if self.earlier else {}
        self.environments = list(self.earlier)
        if {**now, "step": 0} != {**before, "step": 0}:
            self.environments.append({"step": self.began, **now})

    def on_epoch(self, trainer: "Trainer") -> None:
        """Write whether the steps are compiled, if it has turned out otherwise."""
        possible = trainer.learner.is_compiling
        if self.compiled and possible != self.possible:
            self._set_environment(possible)
            write_settings(self.folder / FILE, self.settings, self.environments)

    def on_end(self, trainer: "Trainer") -> None:
        self.claim.release()

    def on_error(self, trainer: "Trainer", error: BaseException) -> None:
        self.claim.release()

    def state_dict(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "reading": self.reading,
            "source": None if self.source is None else self.source.digest,
            "environments": self.environments,
        }


def as_toml_values(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The settings by their flags' names, without those that are None, as a file holds them.

    Paths in `folder`, where the file is, are relative to it.
    """
    found = {}
    for name, value in settings.items():
        key = name.replace("_", "-")
        if value is not None:
            found[key] = _toml_value(key, value, folder)
    return found


def _toml_value(key: str, value: Any, folder: Path) -> Any:
    if isinstance(value, list):  # [256, 128], or [[3, 57]], which is 3@57
        return ",".join("@".join(map(str, n)) if isinstance(n, list) else str(n) for n in value)
    if key in PATHS and isinstance(value, str) and Path(value).is_absolute():
        path = Path(value)
        if path.parent == folder.resolve():
            return path.name
    return value


def write_settings(
    path: Path, settings: Mapping[str, Any], environments: Sequence[Mapping[str, Any]]
) -> None:
    """Write the file that repeats a run.

    Parameters
    ----------
    path : Path
    settings : mapping
        What `as_toml_values` returned.
    environments : sequence of mapping
        The environment of each part of the run, with the step at which it began as "step".
    """
    last = environments[-1]
    parts = ", ".join(f"{name} {value}" for name, value in last.items() if name != "step")
    lines = [
        f"# To repeat this run: xpnet train --config {FILE} --out FOLDER",
        f"# It is the same to the last bit with {parts}.",
    ]
    for old, new in pairwise(environments):
        changed = ", ".join(changes(old, {**new, "step": old["step"]}))
        lines.append(f"# Not repeated: after step {new['step']} it was resumed with {changed}.")
    for key, value in settings.items():
        lines.append(f"{key} = {_toml(value)}")
    with replacing(path) as temporary:
        temporary.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _toml(value: str | float) -> str:
    """A string, a number or a bool in TOML, which Python's standard library reads but cannot write."""
    # JSON's strings and numbers are valid TOML, except for the character DEL.
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")
