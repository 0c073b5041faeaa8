"""Run: the folder that a training writes, and the trained model that is read from it."""

import json
import math
import os
import warnings
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from xpnet._typing import Array, PathLike
from xpnet.autodiff.namespace import array_namespace
from xpnet.backend import current, on_current_device, using
from xpnet.data import Schema, Standardizer
from xpnet.data._csv_reader import Cells
from xpnet.data._typing import DataFrame
from xpnet.errors import StateError
from xpnet.layers import MLP, Layer
from xpnet.layers._size_limit import size_limit
from xpnet.saving.safetensors import load_file, replacing, save, set_state, sweep
from xpnet.training._claim import Claim, is_empty, require_new
from xpnet.training.callback import Callback
from xpnet.training.callbacks.checkpoint import Checkpoint
from xpnet.training.environment import executor, threads, versions
from xpnet.training.evaluation import predict
from xpnet.training.model_file import Source, of_run
from xpnet.training.predictions import Predictions, classified, in_units

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


_METADATA_TYPES = {  # of the entries that the metadata must have
    "architecture": dict,
    "dtype": str,
    "dataset": str,
    "data_dir": str | None,
    "epochs": int,
    "epochs_finished": int,
    "finished": bool,
}

_DESCRIPTION_ERRORS = (  # what building a model from invalid values can raise
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Run(Callback):
    """A folder that is written after each epoch, so that it is complete whatever ends the training.

        model.safetensors    the weights; the metadata have the same content as config.json
        history.csv          a row per epoch: see `History`
        config.json          every setting, the device, the versions, the threads, and the result;
                             paths begin with ~ in place of the user's home folder, so that the file
                             can be shared without the user's name
        curves.png           drawn by the caller at the end, since that needs matplotlib
        samples.png          for pictures in folders, drawn by `xpnet train` at the start

    and, if the training has a callback `Checkpoint(path)`,

        last.safetensors     the state of the training, from which it is resumed
        best.safetensors     its state after its best epoch

    The weights are those that were tested: the averaged ones, if there is an average; and those of
    the best epoch, once `EarlyStopping` has restored them.

    Parameters
    ----------
    path : str or path-like
        The folder; it is created when the training starts. If it exists, it must be empty.
    config : dict
        The settings to write. It must have "architecture", from which the model is built again,
        "dtype", "dataset" and "data_dir". An architecture is {"model": name, ...} with the arguments
        of `xpnet.models.build` (input_shape, outputs, and the model's own options); or, without
        "model", the arguments of an `MLP` (in_features, hidden, out_features, activation).
    again : bool
        Whether the folder is that of the training that is resumed; its files are replaced.

    Raises
    ------
    StateError
        There is a file of that name, or a folder that is not empty, or it cannot be created.

    Examples
    --------
    See `open_run` for how the model is read again.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.training import Run, Trainer
    >>> architecture = {"in_features": 1, "hidden": [], "out_features": 1}
    >>> model = xpnet.MLP(**architecture)
    >>> config = {"architecture": architecture, "dtype": "float32", "dataset": "", "data_dir": None}
    >>> optimizer = xpnet.SGD(model.parameters(), lr=0.125)
    >>> with TemporaryDirectory() as folder:
    ...     run = Run(folder, config)
    ...     trainer = Trainer(model, F.mean_squared_error, optimizer, callbacks=[run])
    ...     history = trainer.fit((F.ones((1, 1)), F.ones((1, 1))), batch_size=1)
    ...     sorted(file.name for file in Path(folder).iterdir())
    ['config.json', 'history.csv', 'model.safetensors']
    """

    reads_gradients: ClassVar[bool] = False
    only_on_root: ClassVar[bool] = True

    MODEL = "model.safetensors"
    HISTORY = "history.csv"
    CONFIG = "config.json"
    CURVES = "curves.png"
    SAMPLES = "samples.png"

    def __init__(
        self, path: str | os.PathLike[str], config: dict[str, Any], again: bool = False
    ) -> None:
        self.path = Path(path)
        self.config = config
        self.claim = Claim(self.path)
        if not again:
            require_free(self.path)
        elif not any((self.path / name).is_file() for name in (self.MODEL, Checkpoint.LAST)):
            raise StateError(f"{self.path}: expected the folder of a run, with {self.MODEL}.")

    def on_start(self, trainer: "Trainer") -> None:
        """Claim the folder and write to it, so that a full or read-only disk is noticed now."""
        files = [self.path / name for name in (self.MODEL, self.HISTORY, self.CONFIG)]
        self.claim.acquire()
        try:
            if not trainer.resumed:
                require_new(*files)
            sweep(self.path, *[file.name for file in files])
            self._write(trainer)
        except BaseException:
            self.claim.release()
            raise

    def on_epoch(self, trainer: "Trainer") -> None:
        self._write(trainer)

    def on_end(self, trainer: "Trainer") -> None:
        self._write(trainer)
        self.claim.release()

    def on_error(self, trainer: "Trainer", error: BaseException) -> None:
        self.claim.release()

    def _write(self, trainer: "Trainer") -> None:
        """Write all files anew."""
        history = trainer.history
        environment = {"device": current().describe(), "versions": versions(), **threads()}
        learner = trainer.learner
        environment |= executor(learner.compile is not False, learner.is_compiling)
        everything = {**self.config, **self._result(trainer), **environment}
        portable = {name: _without_home(value) for name, value in everything.items()}
        text = json.dumps(portable, indent=2, allow_nan=False)
        with trainer.averaged():
            save(trainer.model, self.path / self.MODEL, {"xpnet": text})
        history.write_csv(self.path / self.HISTORY)
        with replacing(self.path / self.CONFIG) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def _result(self, trainer: "Trainer") -> dict[str, Any]:
        """How far the training has come, and the test figures of the weights in the folder."""
        history = trainer.history
        tested: dict[str, float] = {}  # empty in an interrupted epoch, whose weights are not tested
        if len(history) and not history.interrupted:
            epoch = history.kept or len(history)
            tested = history.rows[epoch - 1]
        return {
            "finished": len(history) == trainer.epochs or trainer.stopped,
            "interrupted": history.interrupted,
            "epochs": trainer.epochs,
            "epochs_finished": len(history),
            "kept_epoch": history.kept,
            "seconds": round(sum(history["seconds"]), 3),
            "test_loss": tested.get("test_loss"),
            "test_accuracy": tested.get("test_accuracy"),
        }


class TrainedModel(NamedTuple):
    """The content of `model.safetensors` in a run folder.

    Attributes
    ----------
    file : Path
    state : dict of str to numpy.ndarray
        The weights.
    architecture : dict
        The description of the model: see `Run`.
    dtype : str
        The dtype that the model was trained in.
    dataset : str
        The name of the data set that the model was trained on.
    data_dir : str or None
        The folder of its data; None if the data set is built in.
    epochs, epochs_finished : int
        The number of epochs that were planned, and that were finished.
    finished : bool
        Whether the training came to its end, which may be an early one.
    trust : bool
        Whether `model.py` of the folder may be executed, if the model is a user's own.
    reading : dict
        How `xpnet train` reads the data; empty if the folder was written by other code.

    Examples
    --------
    As `open_run` reads it from a folder:

    >>> from pathlib import Path
    >>> import numpy as np
    >>> from xpnet import functions as F
    >>> from xpnet.training import TrainedModel
    >>> state = {"layers.0.weight": np.asarray([[2.0], [3.0]]), "layers.0.bias": np.asarray([0.5])}
    >>> architecture = {"in_features": 2, "hidden": [], "out_features": 1}
    >>> file = Path("run", "model.safetensors")
    >>> trained = TrainedModel(file, state, architecture, "float32", "sums", None, 5, 5, True)
    >>> model = trained.build()
    >>> float(trained.scores(model, F.asarray([[1.0, 10.0]]))[0, 0])  # 1 * 2 + 10 * 3 + 0.5
    32.5
    """

    file: Path
    state: dict[str, Any]
    architecture: dict[str, Any]
    dtype: str
    dataset: str
    data_dir: str | None
    epochs: int
    epochs_finished: int
    finished: bool
    trust: bool = False
    reading: dict[str, Any] = {}  # noqa: RUF012 - of a NamedTuple, whose default nothing changes

    def __repr__(self) -> str:
        """What was trained, and how far; the weights would fill pages."""
        weights = sum(math.prod(x.shape) for x in self.state.values())
        return (
            f"TrainedModel(file={str(self.file)!r}, dataset={self.dataset!r}, architecture={self.architecture!r}, "
            f"dtype={self.dtype!r}, {weights:,} weights, {self.epochs_finished} of {self.epochs} epochs)"
        )

    @property
    def schema(self) -> Schema:
        """How tables become samples of the network.

        Raises
        ------
        StateError
            The run was not trained on a table; or its schema is damaged.
        """
        if "schema" not in self.reading:
            raise StateError(
                f"{self.file}: expected a run of xpnet train on a table; this one was trained on "
                f"{self.dataset}. Predict its samples with xpnet.training.predict(run.build(), x)."
            )
        return Schema.from_dict(self.reading["schema"])

    @property
    def units(self) -> Standardizer | None:
        """How the targets of a regression were standardised; None for classes.

        Raises
        ------
        StateError
            Mean or scale is missing or invalid.
        """
        targets = self.reading.get("targets")
        return None if targets is None else Standardizer.from_dict(targets)

    @property
    def source(self) -> Source | None:
        """The Python code that builds the model; None for one of xpnet's models.

        Raises
        ------
        StateError
            The metadata name code other than `model.py` of the folder, or that file is missing.
        """
        return of_run(self.file, self.architecture.get("model"))

    def build(self) -> Layer:
        """The model with its weights, on the current backend.

        Raises
        ------
        StateError
            The description is invalid, or the weights are another model's; or the model is Python
            code that is not trusted.
        """
        source = self.source
        if source is not None:
            source.require_trust(self.trust)
            model = source.build(*_shape(self.file, self.architecture))
        else:
            size = sum(max(1, math.prod(x.shape)) for x in self.state.values())
            try:
                # A forged description cannot make a model that is larger than the weights.
                with size_limit(size):
                    model = _built(self.architecture)
            except _DESCRIPTION_ERRORS as error:
                raise invalid_metadata(self.file, repr(error)) from error
        set_state(model, self.state, self.file)
        return model

    def predict(self, table: PathLike | DataFrame, decimal: str | None = None) -> Predictions:
        """The classes, with probabilities, or the numbers of a table's rows.

        This is what `xpnet predict` prints. It is computed on the current backend.

        Parameters
        ----------
        table : str, path-like or DataFrame
            A file, or a data frame of pandas or polars, with the columns that the network was trained on. Its
            columns may be in any order, and it may have further ones. The target is not read.
        decimal : {".", ","}, optional
            The decimal mark of the table's numbers; by default that of the training data.

        Raises
        ------
        DataError
            The table cannot be read, or lacks a column: the message names the place.
        StateError
            The run was not trained on a table.

        Warns
        -----
        UserWarning
            The table differs from the training data, such as in a new category: see `xpnet.data.Schema.unlike`.
        """
        known = self.schema
        cells = known.cells(table, targets=False, decimal=decimal)
        for sentence in known.unlike(cells._replace(unused=[])):
            warnings.warn(f"{cells.path}: {sentence}.", stacklevel=2)
        with using(current().name, self.dtype):
            return self.predict_cells(self.build(), cells)

    def predict_cells(self, model: Layer, cells: Cells) -> Predictions:
        """`predict` for the model that `build` returned, and a table that `schema.cells` has read."""
        known = self.schema
        title, rows = cells.named
        ids = {name: cells.ids.get(name, [""] * len(rows)) for name in known.ids}
        classes = list(known.classes)
        units = self.units
        x, _ = known.samples(cells)
        y = self.scores(model, x)
        if units is not None:
            numbers = [row[0] for row in in_units(y, units)]
            return Predictions(title, rows, ids, numbers, classes, None)
        labels, probabilities = classified(y, classes)
        return Predictions(title, rows, ids, labels, classes, probabilities)

    @on_current_device
    def scores(self, model: Layer, x: Array) -> Array:
        """`predict(model, x)` for the model that `build` returned.

        Raises
        ------
        StateError
            The scores are not finite, as they are after a training that diverged.
        """
        y = predict(model, x)
        xp = array_namespace(y)
        if not bool(xp.all(xp.isfinite(y))):
            raise StateError(
                f"{self.file}: expected finite scores of the network, got NaN or infinity: its weights "
                "are not finite, or too large. Train it again, with a smaller learning rate."
            )
        return y


def open_run(path: str | os.PathLike[str], trust: bool = False) -> TrainedModel:
    """Read the trained model of a run folder.

    Parameters
    ----------
    path : str or path-like
    trust : bool
        Whether Python code of the folder may be executed: its `model.py`, if the model is a user's
        own. The code of a run that this user has trained on this machine is trusted anyway.

    Returns
    -------
    TrainedModel

    Raises
    ------
    StateError
        The folder, its model or the model's description is missing or damaged.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.training import Run, Trainer, open_run
    >>> architecture = {"in_features": 1, "hidden": [], "out_features": 1}
    >>> model = xpnet.MLP(**architecture)
    >>> config = {"architecture": architecture, "dtype": "float32", "dataset": "", "data_dir": None}
    >>> optimizer = xpnet.SGD(model.parameters(), lr=0.125)
    >>> x = F.ones((1, 1))
    >>> with TemporaryDirectory() as folder:
    ...     callbacks = [Run(folder, config)]
    ...     trainer = Trainer(model, F.mean_squared_error, optimizer, callbacks=callbacks)
    ...     history = trainer.fit((x, x), epochs=2, batch_size=1)
    ...     trained = open_run(folder)
    >>> trained.epochs_finished, bool(F.all(trained.build()(x) == model(x)))
    (2, True)
    """
    file = Path(path) / Run.MODEL
    if not file.is_file():
        hint = ""
        if Path(path).is_file():
            hint = f" Give its folder, {Path(path).parent}."
        raise StateError(
            f"{path}: expected a run folder with {Run.MODEL}, as xpnet train writes it.{hint}"
        )
    state, metadata = load_file(file)
    try:
        config = with_home(json.loads(metadata["xpnet"]))
        description = {name: config[name] for name in _METADATA_TYPES}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise invalid_metadata(file, repr(error)) from error
    for name, expected in _METADATA_TYPES.items():
        value = description[name]
        if not isinstance(value, expected):
            raise invalid_metadata(file, f"its {name} is of type {type(value).__name__}")
    if description["dtype"] not in ("float32", "float64"):
        raise invalid_metadata(file, f"its dtype is {description['dtype']!r}")
    reading = config.get("reading")
    if not isinstance(reading, dict):
        reading = {}
    return TrainedModel(file, state, **description, trust=trust, reading=reading)


def invalid_metadata(file: Path, reason: str) -> StateError:
    """The error for a file whose metadata are missing or invalid."""
    return StateError(
        f"{file}: its metadata do not describe the model: {reason}. Was it written by xpnet train?"
    )


def with_home(config: Any) -> dict[str, Any]:
    """The settings of a run with this user's home folder in place of the ~ at the start of paths."""
    settings = dict(config)
    for name in ("dataset", "test", "data_dir"):
        value = settings.get(name)
        if isinstance(value, str) and value.startswith("~/"):
            with suppress(RuntimeError):  # there may be no home folder
                settings[name] = str(Path(value).expanduser())
    return settings


def _built(architecture: dict[str, Any]) -> Layer:
    """The model that an architecture describes; the caller replaces its weights."""
    if "model" not in architecture:
        return MLP(**architecture, weight="zeros")
    from xpnet import models

    options = {"rng": 0} | architecture
    name = options.pop("model")
    shape = tuple(options.pop("input_shape"))
    outputs = options.pop("outputs")
    return models.build(name, shape, outputs, **options)


def _shape(file: Path, architecture: dict[str, Any]) -> tuple[tuple[int, ...], int]:
    """The `input_shape` and `outputs` of a user's own model function: positive integers."""
    shape: Any = architecture.get("input_shape")
    outputs: Any = architecture.get("outputs")
    is_list = isinstance(shape, list)
    if not is_list or not all(type(n) is int and n > 0 for n in [*shape, outputs]):
        raise invalid_metadata(
            file, f"its input_shape is {shape!r} and its outputs are {outputs!r}"
        )
    return tuple(shape), outputs


def _without_home(value: Any) -> Any:
    """A setting with ~ in place of the home folder, whose path has the user's name."""
    if not isinstance(value, str) or not Path(value).is_absolute():
        return value
    try:
        return f"~/{Path(value).relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):  # the path is elsewhere, or there is no home folder
        return value


def claim_path(out: Path | None, dataset: str) -> Claim:
    """Claim the folder of a new run.

    Parameters
    ----------
    out : Path or None
        The folder, which must be empty or not exist; by default `runs/<dataset>-<local time>`, with
        a number at the end if that exists.
    dataset : str

    Raises
    ------
    StateError
        `out` is a file or not empty, the folder cannot be created, or another training has claimed
        it.
    """
    if out is not None:
        claim = Claim(require_free(out)).acquire()
        try:
            require_free(out)  # again, now that nobody else writes there
        except BaseException:
            claim.release()
            raise
        return claim
    stem = Path("runs") / f"{dataset}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    require_free(stem.parent / "new")  # raises if folders cannot be created in runs/
    path = stem
    number = 1
    while True:
        try:
            return Claim(path).acquire(new=True)
        except StateError:  # another training has it
            number += 1
            path = stem.with_name(f"{stem.name}-{number}")


def require_free(path: Path) -> Path:
    """Return `path` if it can be created or is an empty folder.

    Raises
    ------
    StateError
        There is a file or a folder that is not empty at `path`, or it cannot be created.
    """
    if path.exists() and (not path.is_dir() or not is_empty(path)):
        what = "a folder that is not empty" if path.is_dir() else "a file"
        raise StateError(f"{path} is {what}. Name another folder, or remove it first.")
    parent = next(folder for folder in (path, *path.parents) if folder.exists())
    if not parent.is_dir():
        raise StateError(
            f"{path} cannot be created: {parent} is a file. Name another folder, as with --out."
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise StateError(
            f"{path} cannot be created: {parent} cannot be written to. Name another folder, as with "
            "--out."
        )
    return path
