"""Run: the folder that a training leaves behind."""

import json
import math
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.backend import current, on_current_device
from xpnet.errors import StateError
from xpnet.layers import MLP, Layer
from xpnet.layers._size_limit import size_limit
from xpnet.saving.safetensors import load_file, replacing, save, set_state, sweep
from xpnet.training._claim import Claim, is_empty, require_new
from xpnet.training.callback import Callback
from xpnet.training.callbacks.checkpoint import Checkpoint
from xpnet.training.environment import threads, versions
from xpnet.training.evaluation import predict
from xpnet.training.model_file import Source, of_run

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class Run(Callback):
    """A folder, written while the training goes, so that whatever ends it leaves a whole one.

        model.safetensors    the weights; in the metadata, all that config.json holds
        history.csv          a row an epoch: see `History`
        config.json          every setting, the device, the versions, the threads, and the result;
                             in paths, ~ is the user's home folder: nobody else learns its name
        curves.png           drawn by the caller at the end, since that needs matplotlib

    and, of a training that has a callback `Checkpoint(path)`,

        last.safetensors     the training itself, to go on from
        best.safetensors     and as it was after its best epoch

    The weights are those that were tested: the averaged ones, if there is an average; and those of
    the best epoch, once `EarlyStopping` has given them back.

    Parameters
    ----------
    path : str or path-like
        The folder; it is made when the training starts. One that is there must be empty.
    config : dict
        The settings to write down. Needed are "architecture", what the model is built from again,
        "dtype", "dataset", "data_dir". An architecture is {"model": name, ...} with the arguments
        of `xpnet.models.build` (input_shape, outputs, and the model's own options); or, without
        "model", the arguments of an `MLP` (in_features, hidden, out_features, activation).
    again : bool
        Whether the folder is that of a training that goes on, with its files; they are replaced.

    Raises
    ------
    StateError
        There is a file of that name, or a folder that is not empty; or none can be made there.
    """

    MODEL, HISTORY, CONFIG, CURVES = "model.safetensors", "history.csv", "config.json", "curves.png"

    def __init__(
        self, path: str | os.PathLike[str], config: dict[str, Any], again: bool = False
    ) -> None:
        self.path, self.config = Path(path), config
        self.claim = Claim(self.path)
        if not again:
            require_free(self.path)
        elif not any((self.path / name).is_file() for name in (self.MODEL, Checkpoint.LAST)):
            raise StateError(f"{self.path}: expected the folder of a run, with {self.MODEL}.")

    def on_start(self, trainer: "Trainer") -> None:
        """Claim the folder and write to it: a disk that is full or read-only is found out now."""
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
        history = trainer.history
        # The test is told of the weights in the folder: those of a broken-off epoch had none.
        tested = history.rows[(history.kept or 0) - 1] if len(history) else {}
        tested = {} if history.interrupted else tested
        result = {
            "finished": len(history) == trainer.epochs or trainer.stopped,
            "interrupted": history.interrupted,
            "epochs": trainer.epochs,
            "epochs_finished": len(history),
            "seconds": round(sum(history["seconds"]), 3),
            "test_loss": tested.get("test_loss"),
            "test_accuracy": tested.get("test_accuracy"),
        }
        where = {"device": current().describe(), "versions": versions(), **threads()}
        everything = {**self.config, **result, **where}
        shared = {name: _shared(value) for name, value in everything.items()}
        text = json.dumps(shared, indent=2, allow_nan=False)
        with trainer.averaged():
            save(trainer.model, self.path / self.MODEL, {"xpnet": text})
        history.write_csv(self.path / self.HISTORY)
        with replacing(self.path / self.CONFIG) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


class TrainedModel(NamedTuple):
    """What `model.safetensors` of a run folder holds.

    Attributes
    ----------
    file : Path
    state : dict of str to numpy.ndarray
        The weights.
    architecture : dict
        What they are the weights of: see `Run`.
    dtype : str
        The type that it was trained in.
    dataset : str
    data_dir : str or None
        The data of its training: a built-in data set, unless a folder is named.
    epochs, epochs_finished : int
        How many there were to be, and how many there were.
    trust : bool
        Whether `model.py` of the folder may be executed, if the model is built by it.
    """

    file: Path
    state: dict[str, Any]
    architecture: dict[str, Any]
    dtype: str
    dataset: str
    data_dir: str | None
    epochs: int
    epochs_finished: int
    trust: bool = False

    @property
    def source(self) -> Source | None:
        """The Python code that builds the model; None for a model of xpnet's.

        Raises
        ------
        StateError
            The metadata name other code than `model.py` of the folder, or that is missing.
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
        architecture = self.architecture
        if source is not None:
            source.require_trust(self.trust)
            model = source.build(*_shape(self.file, architecture))
        else:
            size = sum(max(1, math.prod(x.shape)) for x in self.state.values())
            try:
                with size_limit(size):  # a model that needs more is not the one that was saved
                    model = _built(architecture)
            except _INVALID as error:
                raise _no_model(self.file, repr(error)) from error
        set_state(model, self.state, self.file)
        return model

    @on_current_device
    def scores(self, model: Layer, x: Array) -> Array:
        """`predict(model, x)`, of the model that `build` gave.

        Raises
        ------
        StateError
            The scores are not finite, as those of a training that diverged.
        """
        y = predict(model, x)
        xp = array_namespace(y)
        if not bool(xp.all(xp.isfinite(y))):
            raise StateError(
                f"{self.file}: the network's scores are not finite: its weights are not, or they "
                "are too large. Train it again, with a smaller learning rate."
            )
        return y


def open_run(path: str | os.PathLike[str], trust: bool = False) -> TrainedModel:
    """Read the trained model of a run folder.

    Parameters
    ----------
    path : str or path-like
    trust : bool
        Whether Python code of the folder may be executed: the `model.py` of a run that was trained
        with a model of one's own. That of a run that this user has trained on this machine may be
        in any case.

    Raises
    ------
    StateError
        The folder, its model or the model's description is missing or damaged.
    """
    file = Path(path) / Run.MODEL
    if not file.is_file():
        hint = f" Give its folder, {Path(path).parent}." if Path(path).is_file() else ""
        raise StateError(
            f"{path}: expected a run folder with {Run.MODEL}, as xpnet train makes.{hint}"
        )
    state, metadata = load_file(file)
    try:
        config = json.loads(metadata["xpnet"])
        config = here(config)
        found = {name: config[name] for name in _KINDS}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _no_model(file, repr(error)) from error
    for name, kind in _KINDS.items():
        if not isinstance(found[name], kind):
            raise _no_model(file, f"its {name} is of type {type(found[name]).__name__}")
    if found["dtype"] not in ("float32", "float64"):
        raise _no_model(file, f"its dtype is {found['dtype']!r}")
    return TrainedModel(file, state, **found, trust=trust)


def here(config: Any) -> dict[str, Any]:
    """The settings of a run as they are on this machine: paths begin with the home folder again."""
    found = dict(config)
    for name in ("dataset", "test", "data_dir"):
        value = found.get(name)
        if isinstance(value, str) and value.startswith("~/"):
            with suppress(RuntimeError):  # there may be no home folder
                found[name] = str(Path(value).expanduser())
    return found


_KINDS = {  # what the metadata say of a model, and as what
    "architecture": dict,
    "dtype": str,
    "dataset": str,
    "data_dir": str | None,
    "epochs": int,
    "epochs_finished": int,
}


_INVALID = (  # what invalid numbers, texts and lists in a description lead to
    ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


def _built(architecture: dict[str, Any]) -> Layer:
    """The model that an architecture describes; its weights are to be replaced."""
    if "model" not in architecture:
        return MLP(**architecture, weight="zeros")
    from xpnet import models

    options = {"rng": 0} | architecture
    name, shape = options.pop("model"), options.pop("input_shape")
    return models.build(name, tuple(shape), options.pop("outputs"), **options)


def _shape(file: Path, architecture: dict[str, Any]) -> tuple[tuple[int, ...], int]:
    """What the function of a model of one's own is called with: positive numbers, and no others."""
    shape, outputs = architecture.get("input_shape"), architecture.get("outputs")
    numbers: list[Any] = [*shape, outputs] if isinstance(shape, list) else [None]
    if not all(type(n) is int and n > 0 for n in numbers):
        raise _no_model(file, f"its input_shape is {shape!r} and its outputs are {outputs!r}")
    return tuple(numbers[:-1]), numbers[-1]


def _shared(value: Any) -> Any:
    """A setting as others may read it: ~ stands for the home folder, whose name is that of the user."""
    if not isinstance(value, str) or not Path(value).is_absolute():
        return value
    try:
        return f"~/{Path(value).relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):  # it lies elsewhere, or there is none
        return value


def _no_model(file: Path, reason: str) -> StateError:
    return StateError(
        f"{file}: its metadata do not describe the model: {reason}. Was it written by xpnet train?"
    )


def claim_path(out: Path | None, dataset: str) -> Claim:
    """Claim `out`, if nothing is there; or `runs/<dataset>-<local time>`, numbered if that is taken.

    Raises
    ------
    StateError
        There is something in `out`, or no folder can be created there, or another training has
        claimed it.
    """
    if out is not None:
        claim = Claim(require_free(out)).acquire()
        try:
            require_free(out)  # now that nobody else writes there
        except BaseException:
            claim.release()
            raise
        return claim
    stem = Path("runs") / f"{dataset}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    require_free(stem.parent / "new")
    number = 1
    while True:
        path = stem if number == 1 else stem.with_name(f"{stem.name}-{number}")
        try:
            return Claim(path).acquire(new=True)
        except StateError:  # another training has it
            number += 1


def require_free(path: Path) -> Path:
    """`path`, if a run can be written there, and nothing is there that may be another run."""
    if path.exists() and (not path.is_dir() or not is_empty(path)):
        what = "a folder that is not empty" if path.is_dir() else "a file"
        raise StateError(f"{path} is {what}. Name another folder, or remove it first.")
    above = next(folder for folder in (path, *path.parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        what = "cannot be written to" if above.is_dir() else "is a file"
        raise StateError(
            f"{path} cannot be made: {above} {what}. Name another folder, as with --out."
        )
    return path
