"""A run folder that is read again: to resume its training, or to use its model."""

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from xpnet._typing import Array
from xpnet.cli.config import FILE
from xpnet.cli.consent import require_consent
from xpnet.cli.errors import bad_flag
from xpnet.cli.kinds import KINDS, PICTURES
from xpnet.errors import StateError
from xpnet.layers import Layer
from xpnet.saving.safetensors import load_file
from xpnet.training import Checkpoint, History, Run, TrainedModel, open_run
from xpnet.training.checkpoint import read_text
from xpnet.training.run import invalid_metadata, with_home


class RunFolder:
    """What `xpnet train` has written to a folder; nothing is read before a method is called.

    Attributes
    ----------
    path : Path
    checkpoint, model, settings : Path
        The files of the checkpoint, of the weights, and of the settings that repeat the run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / Checkpoint.LAST
        self.model = path / Run.MODEL
        self.settings = path / FILE

    def record(self) -> "Record":
        """The part of the checkpoint that `RunFiles` wrote.

        Raises
        ------
        StateError
            The checkpoint is damaged, or was not written by `xpnet train`.
        """
        file = self.checkpoint
        state = read_text(file)
        try:
            found = state["callbacks"]["RunFiles.0"]
            record = Record(
                settings=found["settings"],
                reading=found["reading"],
                source=found["source"],
                environments=found["environments"],
                epochs=state["position"]["epoch"],
                steps=state["steps"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise _invalid_record(file, repr(error)) from error
        kinds = (dict, dict, str | None, list, int, int)
        for name, value, kind in zip(Record._fields, record, kinds, strict=True):
            if not isinstance(value, kind):
                raise _invalid_record(file, f"{name} is {value!r}")
        if not record.environments or not all(map(_is_environment, record.environments)):
            raise _invalid_record(file, "its environments are missing or invalid")
        if type(record.settings.get("epochs")) is not int:
            raise _invalid_record(file, "its number of epochs is missing")
        return record

    def trained(self, trust: bool = False) -> "Trained":
        """The trained model, with the description of its data.

        Parameters
        ----------
        trust : bool
            Whether `--trust` was given: see `require_consent`.

        Raises
        ------
        StateError
            The folder is not a run folder, or is damaged; or its model is Python code that is not trusted.
        """
        model = open_run(self.path)
        _, metadata = load_file(model.file, names=())
        config = with_home(json.loads(metadata["xpnet"]))
        try:
            input_shape, outputs = _shapes(model.architecture)
            is_valid = _is_description(config, input_shape, outputs)
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            raise invalid_metadata(model.file, repr(error)) from error
        if not is_valid:
            raise invalid_metadata(
                model.file, "its task or the description of its data is missing or invalid"
            )
        source = model.source
        if source is not None:
            require_consent(source, trust)
            model = model._replace(trust=True)
        return Trained(model, config, config["reading"], input_shape)


class Record(NamedTuple):
    """What a checkpoint holds so that the command line can resume the run.

    Attributes
    ----------
    settings : dict
        As `run_files.as_toml_values` returned them.
    reading : dict
        How the data are read.
    source : str or None
        The digest of the model's own code.
    environments : list of dict
    epochs, steps : int
        The numbers of finished epochs and steps.
    """

    settings: dict[str, Any]
    reading: dict[str, Any]
    source: str | None
    environments: list[dict[str, Any]]
    epochs: int
    steps: int


class Trained(NamedTuple):
    """A trained model, and the description of the data that it was trained on.

    Attributes
    ----------
    model : TrainedModel
    config : dict
        The content of config.json.
    reading : dict
        How its data are read: see `xpnet.cli.dataset`.
    input_shape : tuple of int
        The shape of a sample, as the model takes it.
    """

    model: TrainedModel
    config: dict[str, Any]
    reading: dict[str, Any]
    input_shape: tuple[int, ...]

    @property
    def task(self) -> str:
        """What the network was trained for: classify or regress."""
        return str(self.config["task"])

    @property
    def classes(self) -> list[str]:
        """The names of the classes, by number; empty for a regression."""
        return list(self.reading["classes"])

    @property
    def class_weights(self) -> list[float] | None:
        """The weight of each class in the loss; None if they are equal."""
        weights: list[float] | None = self.config.get("class_weights")
        return weights

    @property
    def has_pictures(self) -> bool:
        """Whether its samples are images."""
        return self.reading["kind"] in PICTURES

    def build(self) -> Layer:
        """The model with its weights, on the current backend."""
        return self.model.build()

    def history(self) -> History:
        """The content of history.csv; no rows if the file is missing, since the model does not need it.

        Raises
        ------
        StateError
            The file is not such a table.
        """
        path = self.model.file.with_name(Run.HISTORY)
        history = History()
        if not path.is_file():
            return history
        try:
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    history.append({name: float(cell) for name, cell in row.items() if cell})
        except (ValueError, TypeError, csv.Error) as error:
            raise StateError(f"{path}: expected the history of a training: {error}.") from error
        kept = self.config.get("kept_epoch")
        if type(kept) is int and 0 < kept <= len(history):
            history.kept = kept
        return history

    def fitting(self, x: Array) -> Array:
        """Samples in the shape that the model takes, if they have the number of values that it takes.

        Other samples are returned as rows if it takes rows, else unchanged; the model refuses them.
        """
        if math.prod(x.shape[1:]) == math.prod(self.input_shape):
            return x.reshape(-1, *self.input_shape)
        if len(self.input_shape) == 1:
            return x.reshape(len(x), -1)
        return x


def require_table(trained: Trained, decimal: str | None) -> None:
    """Refuse a decimal mark for a run that was not trained on a text table."""
    if decimal is not None and "schema" not in trained.reading:
        raise bad_flag("--decimal", "it is for tables; the run was trained on other data.")


def _shapes(architecture: Mapping[str, Any]) -> tuple[tuple[int, ...], int]:
    """The shape of a sample and the number of outputs."""
    if "model" not in architecture:  # an MLP
        return (architecture["in_features"],), int(architecture["out_features"])
    return tuple(map(int, architecture["input_shape"])), int(architecture["outputs"])


def _is_description(config: Mapping[str, Any], input_shape: tuple[int, ...], outputs: int) -> bool:
    """Whether task, classes, kind, split and image shape are valid, and fit the model."""
    reading = config["reading"]
    task = config["task"]
    if task not in ("classify", "regress") or reading["kind"] not in KINDS:
        return False
    if bool(reading["classes"]) != (task == "classify"):
        return False
    if not _are_classes(reading["classes"], outputs):
        return False
    if not _are_weights(config.get("class_weights"), reading["classes"]):
        return False
    if reading["kind"] in PICTURES and not _is_image_shape(reading["shape"], input_shape):
        return False
    return _is_split(config["test"], config["seed"])


def _are_classes(names: object, outputs: int) -> bool:
    """Whether these are the names of as many classes as there are outputs, or an empty list."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return False
    return len(names) in (0, outputs)


def _are_weights(weights: object, classes: list[str]) -> bool:
    """Whether this is None, or a positive number for each class."""
    if weights is None:
        return True
    if not isinstance(weights, list) or len(weights) != len(classes):
        return False
    return all(type(w) is float and 0.0 < w < math.inf for w in weights)


def _is_split(test: object, seed: object) -> bool:
    """Whether this names the rows that are the test: None, a share or a file, and a seed."""
    is_share = type(test) is float and 0.0 < test < 1.0
    if test is not None and not isinstance(test, str) and not is_share:
        return False
    return type(seed) is int and seed >= 0


def _is_image_shape(image: object, sample: tuple[int, ...]) -> bool:
    """Whether this is (channels, height, width) of as many numbers as a sample has."""
    if not isinstance(image, list) or len(image) != 3 or image[0] not in (1, 3):
        return False
    return all(type(n) is int for n in image) and math.prod(image) == math.prod(sample)


def _is_environment(value: object) -> bool:
    """Whether this is an environment that can be printed."""
    if not isinstance(value, dict) or not all(isinstance(x, (str, int)) for x in value.values()):
        return False
    return type(value.get("step")) is int and f"{value}".isprintable()


def _invalid_record(file: Path, reason: str) -> StateError:
    return StateError(
        f"{file}: it does not hold the settings of a run: {reason}. Was it written by xpnet train?"
    )
