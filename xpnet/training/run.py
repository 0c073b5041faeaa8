"""Run: the folder that a training leaves behind."""

import json
import os
import platform
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xpnet.backend import current
from xpnet.errors import StateError
from xpnet.layers import MLP
from xpnet.serialization import load_file, replacing, save
from xpnet.training.callback import Callback

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class Run(Callback):
    """A folder, written while the training goes, so that whatever ends it leaves a whole one.

        model.safetensors    the weights; in the metadata, what rebuilds the model
        history.csv          a row an epoch: see `History`
        config.json          every setting, the versions, and the result
        curves.png           drawn by the caller at the end, since that needs matplotlib

    Parameters
    ----------
    path : str or path-like
        The folder; it is made when the training starts. One that is there must be empty.
    config : dict
        The settings to write down. Needed are "architecture", the arguments of the `MLP` to be
        rebuilt (in_features, hidden, out_features, activation), "dtype", "dataset", "data_dir".

    Raises
    ------
    StateError
        There is a file of that name, or a folder that is not empty.
    """

    MODEL, HISTORY, CONFIG, CURVES = "model.safetensors", "history.csv", "config.json", "curves.png"

    def __init__(self, path: str | os.PathLike[str], config: dict[str, Any]) -> None:
        self.path, self.config = Path(path), config
        require_free(self.path)

    def on_start(self, trainer: "Trainer") -> None:
        """Make the folder: a disk that is full or read-only is found out now."""
        self._write(trainer)

    def on_epoch(self, trainer: "Trainer") -> None:
        self._write(trainer)

    def on_end(self, trainer: "Trainer") -> None:
        self._write(trainer)

    def _write(self, trainer: "Trainer") -> None:
        history = trainer.history
        self.path.mkdir(parents=True, exist_ok=True)
        needed = ("architecture", "dtype", "dataset", "data_dir")
        description = {key: self.config[key] for key in needed}
        save(trainer.model, self.path / self.MODEL, {"xpnet": json.dumps(description)})
        history.write_csv(self.path / self.HISTORY)
        # The test is told of the weights in the folder: those of a broken-off epoch had none.
        tested = history.rows[-1] if len(history) and not history.interrupted else {}
        result = {
            "finished": len(history) == trainer.epochs,
            "interrupted": history.interrupted,
            "epochs_finished": len(history),
            "seconds": round(sum(history["seconds"]), 3),
            "test_loss": tested.get("test_loss"),
            "test_accuracy": tested.get("test_accuracy"),
        }
        with replacing(self.path / self.CONFIG) as temporary:
            text = json.dumps({**self.config, **result, "versions": versions()}, indent=2)
            temporary.write_text(text + "\n", encoding="utf-8")


class TrainedModel(NamedTuple):
    """What `model.safetensors` of a run folder holds.

    Attributes
    ----------
    file : Path
    state : dict of str to numpy.ndarray
        The weights.
    architecture : dict
        The arguments of the `MLP` that they are of.
    dtype : str
        The type that it was trained in.
    dataset : str
    data_dir : str or None
        The data of its training: a built-in data set, unless a folder is named.
    """

    file: Path
    state: dict[str, Any]
    architecture: dict[str, Any]
    dtype: str
    dataset: str
    data_dir: str | None

    def build(self) -> MLP:
        """The model with its weights, on the current backend.

        Raises
        ------
        StateError
            The description is no `MLP`'s, or the weights are another model's.
        """
        try:
            model = MLP(**self.architecture, weight="zeros")
        except (TypeError, ValueError) as error:
            raise _no_model(self.file, error) from error
        try:
            model.load_state_dict(self.state)
        except StateError as error:
            raise StateError(f"{self.file}: these are another model's weights. {error}") from None
        return model


def open_run(path: str | os.PathLike[str]) -> TrainedModel:
    """Read the trained model of a run folder.

    Raises
    ------
    StateError
        The folder, its model or the model's description is missing or damaged.
    """
    file = Path(path) / Run.MODEL
    if not file.is_file():
        raise StateError(f"{path}: expected a run folder with {Run.MODEL}, as xpnet train makes.")
    state, metadata = load_file(file)
    try:
        return TrainedModel(file, state, **json.loads(metadata["xpnet"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _no_model(file, error) from error


def _no_model(file: Path, error: Exception) -> StateError:
    return StateError(
        f"{file}: its metadata do not describe the model: {error!r}. Was it written by xpnet train?"
    )


def free_path(out: Path | None, dataset: str) -> Path:
    """`out`, if nothing is there; or `runs/<dataset>-<local time>`, numbered if that is taken."""
    if out is not None:
        require_free(out)
        return out
    stem = Path("runs") / f"{dataset}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    path, number = stem, 1
    while path.exists():
        number += 1
        path = stem.with_name(f"{stem.name}-{number}")
    return path


def require_free(path: Path) -> None:
    """Refuse to write a run where something is: it may be another run."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        what = "a folder that is not empty" if path.is_dir() else "a file"
        raise StateError(f"{path} is {what}. Name another folder, or remove it first.")


def versions() -> dict[str, str]:
    """The versions that a run depends on: xpnet, Python, NumPy and the backend's library."""
    from xpnet import __version__

    found = {"xpnet": __version__, "python": platform.python_version()}
    for library in dict.fromkeys(["numpy", current().name.partition(":")[0]]):
        found[library] = str(getattr(sys.modules.get(library), "__version__", "unknown"))
    return found
