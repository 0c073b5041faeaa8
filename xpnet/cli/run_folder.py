"""A run that is read again: its model, how it read its data, and what its outputs are called."""

import csv
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from xpnet.cli.consent import require_consent
from xpnet.cli.kinds import PICTURES
from xpnet.errors import StateError
from xpnet.saving.safetensors import load_file
from xpnet.training import Run, TrainedModel, open_run
from xpnet.training.run import here


class Trained(NamedTuple):
    """What `xpnet train` left in a run folder.

    Attributes
    ----------
    model : TrainedModel
    config : dict
        All that config.json holds.
    reading : dict
        How its data are read: see `xpnet.cli.dataset`.
    input_shape : tuple of int
        Of a sample, as the model takes it.
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
        """The names of the classes, by number; none in a regression."""
        return list(self.reading["classes"])

    def build(self) -> Any:
        """The model with its weights, on the current backend."""
        return self.model.build()

    def history(self) -> list[dict[str, float]]:
        """The rows of history.csv; none where it is gone, since what else is there is as good.

        Raises
        ------
        StateError
            It is no such table.
        """
        path = self.model.file.with_name(Run.HISTORY)
        if not path.is_file():
            return []
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            return [{name: float(cell) for name, cell in row.items() if cell} for row in rows]
        except (ValueError, TypeError, csv.Error) as error:
            raise StateError(f"{path}: expected the table of a training: {error}.") from error

    def fitting(self, x: Any) -> Any:
        """Samples in the shape that the model takes; as they are, if they are of another size."""
        if math.prod(x.shape[1:]) == math.prod(self.input_shape):
            return x.reshape(-1, *self.input_shape)
        return x.reshape(len(x), -1) if len(self.input_shape) == 1 else x


def open_trained(run: Path, trust: bool = False) -> Trained:
    """Read a run folder.

    Parameters
    ----------
    trust : bool
        Whether `--trust` was given: see `require_consent`.

    Raises
    ------
    StateError
        It is none, or damaged; or its model is Python code that is not trusted.
    """
    trained = open_run(run)
    _, metadata = load_file(trained.file, names=())
    config: dict[str, Any] = here(json.loads(metadata["xpnet"]))
    a = trained.architecture
    try:
        flat = "model" not in a
        shape = (a["in_features"],) if flat else tuple(map(int, a["input_shape"]))
        outputs = int(a["out_features"] if flat else a["outputs"])
        reading = config["reading"]
        known = [config["task"] in ("classify", "regress"), _are_classes(reading["classes"], outputs),
                 bool(reading["classes"]) == (config["task"] == "classify"),
                 reading["kind"] in ("images", "folder", "csv", "npz"), _is_split(config["test"], config["seed"]),
                 reading["kind"] not in PICTURES or _is_shape(reading["shape"], shape)]  # fmt: skip
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise _no_run(trained.file, repr(error)) from error
    if not all(known):
        raise _no_run(trained.file, "its task or reading is none")
    if trained.source is not None:
        require_consent(trained.source, trust)
        trained = trained._replace(trust=True)
    return Trained(trained, config, reading, shape)


def _are_classes(names: Any, outputs: int) -> bool:
    """Whether these are the names of as many classes; or of none, in a regression."""
    texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return texts and len(names) in (0, outputs)


def _is_split(test: Any, seed: Any) -> bool:
    """Whether that tells which rows of a table were the test: by default, a share, or a file."""
    share = type(test) is float and 0.0 < test < 1.0
    return (test is None or isinstance(test, str) or share) and type(seed) is int and seed >= 0


def _is_shape(image: Any, sample: tuple[int, ...]) -> bool:
    """Whether that is the shape of an image, of as many numbers as a sample has."""
    whole = isinstance(image, list) and all(type(n) is int for n in image)
    return (
        whole and len(image) == 3 and image[0] in (1, 3) and math.prod(image) == math.prod(sample)
    )


def _no_run(file: Path, reason: str) -> StateError:
    return StateError(
        f"{file}: its metadata do not describe the model: {reason}. Was it written by xpnet train?"
    )
