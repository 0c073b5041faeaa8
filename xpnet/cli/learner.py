"""The learner: the model that the flags name, the data as it is fed with them, and its papers."""

import math
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import typer

from xpnet.cli import config, source
from xpnet.cli.dataset import Samples
from xpnet.errors import DataError, ShapeError, StateError
from xpnet.training import Callback, Checkpoint, Run

if TYPE_CHECKING:
    from xpnet.layers import Layer
    from xpnet.training import TrainedModel, Trainer

Settings = Mapping[str, Any]


# --- the model ------------------------------------------------------------------------------------


def described(settings: Settings, samples: Samples) -> tuple[dict[str, Any], Samples]:
    """What the model is built from, also later; and the samples in the shape that it takes."""
    shape, name = samples.input_shape, settings["model"]
    if name == "mlp":
        samples = shaped(samples, (math.prod(shape),))
        return {
            "in_features": math.prod(shape),
            "hidden": settings["hidden"],
            "out_features": samples.outputs,
            "activation": settings["activation"],
        }, samples
    if name in ("lenet", "resnet") and len(shape) == 2:  # images of one colour
        samples = shaped(samples, (1, *shape))
    if own := source.split(name):
        name = f"{source.COPY}:{own[1]}"
    return {
        "model": name,
        "input_shape": list(samples.input_shape),
        "outputs": samples.outputs,
    }, samples


def shaped(samples: Samples, shape: tuple[int, ...]) -> Samples:
    """The samples, each in another shape."""
    (x, t), (x_test, t_test) = samples.train, samples.test
    return samples._replace(
        train=(x.reshape(-1, *shape), t), test=(x_test.reshape(-1, *shape), t_test),
        input_shape=shape,
    )  # fmt: skip


def built(architecture: dict[str, Any], model: str, rng: Any, rows: bool = False) -> "Layer":
    """The model, with new weights.

    Parameters
    ----------
    architecture : dict
        What `described` gave.
    model : str
        Its name, or the file that it is from and the function.
    rows : bool
        Whether the samples are rows of a table. An mlp then begins with Glorot's numbers, which
        are smaller than He's: a table has few rows, and a network that begins with outputs as large
        as the targets learns to undo them, and the noise with it.
    """
    if "model" not in architecture:
        from xpnet.layers import MLP

        return MLP(**architecture, weight="glorot_uniform" if rows else None, rng=rng)
    shape, outputs = tuple(architecture["input_shape"]), architecture["outputs"]
    if own := source.split(model):
        return source.build(*own, shape, outputs)
    from xpnet import models

    return models.build(architecture["model"], shape, outputs, rng=rng)


def rebuilt(trained: "TrainedModel") -> "Layer":
    """The model of a run, with its weights; one of a file, from the copy in the folder."""
    name = trained.architecture.get("model")
    own = source.split(name) if isinstance(name, str) else None
    if own is None:
        return trained.build()
    from xpnet.serialization import set_state

    try:
        shape, outputs = tuple(trained.architecture["input_shape"]), trained.architecture["outputs"]
    except (KeyError, TypeError) as error:
        raise StateError(f"{trained.file}: its metadata do not describe the model.") from error
    model = source.build(trained.file.parent / own[0], own[1], shape, outputs)
    set_state(model, trained.state, trained.file)
    return model


def require_outputs(model: "Layer", name: str, samples: Samples) -> None:
    """Refuse a model whose output is none for these targets: most of all, one of a file.

    Parameters
    ----------
    name : str
        What the model is called: a file and its function, perhaps.
    """
    from xpnet.training import predict

    own = source.split(name)
    try:
        y = predict(model, samples.train[0][:2])
    except Exception as error:
        if own is None:
            raise
        raise StateError(
            f"{name}: the model fails on 2 samples of shape {samples.input_shape}: "
            f"{source.told(error, own[0])}"
        ) from error
    if tuple(y.shape) != (min(2, len(samples.train[0])), samples.outputs):
        raise ShapeError(
            f"{f'{name}: ' if own else ''}{type(model).__name__} expected to give an output of shape (batch, "
            f"{samples.outputs}), gave {tuple(y.shape)} for a batch of 2 samples of shape "
            f"{samples.input_shape}."
        )


# --- the data -------------------------------------------------------------------------------------

MIRRORED = ("fashion-mnist", "cifar10")  # of the others a mirror image is another sign


def fed(
    settings: Settings, samples: Samples, images: tuple[int, ...], model: "Layer", rng: Any
) -> Any:
    """The training data as `Trainer.fit` takes them: as they are, or changed at random.

    Parameters
    ----------
    images : tuple of int
        The shape of an image, also where the model takes it as a row of pixels.
    """
    if not settings["augment"]:
        return samples.train
    from xpnet.data import DataLoader
    from xpnet.training.evaluation import checked

    x, t = checked(model, samples.train)
    size, seed = settings["batch_size"], int(rng.integers(2**63))
    return DataLoader(
        x, t, batch_size=size, shuffle=True, seed=seed, prefetch=2,
        transform=augmented(settings, images),
    )  # fmt: skip


def settle_steps(settings: dict[str, Any], samples: int, rows: bool) -> None:
    """Epochs and samples a step, unless given: a table has few rows, and each is soon computed."""
    settings["epochs"] = settings["epochs"] or (100 if rows else 10)
    size = settings["batch_size"] or min(32 if rows else 100, samples)
    if size > samples:
        raise DataError(
            f"A batch of {size} is larger than the data, {samples} samples. Take --batch-size "
            f"{samples} or less."
        )
    settings["batch_size"] = size


def augmented(settings: Settings, images: tuple[int, ...]) -> Callable[[Any, Any], Any]:
    """The transform that suits the data set, of images or of rows of their pixels."""
    from xpnet.data.transforms import Compose, RandomHorizontalFlip, RandomShift

    name = settings["dataset"]
    steps = [RandomShift(4 if name == "cifar10" else 2)]
    change = Compose([*steps, *([RandomHorizontalFlip()] if name in MIRRORED else [])])
    return lambda x, rng: change(x.reshape(-1, *images), rng).reshape(x.shape)


def require_same(run: Path, samples: Samples) -> None:
    """Refuse data that are no more those that a run has begun with.

    Raises
    ------
    DataError
        Their classes, columns or units are others.
    """
    from xpnet.cli.trained import open_trained

    trained = open_trained(run)
    if trained.reading != samples.reading:
        raise DataError(
            f"{trained.config['dataset']}: it is not what the run was trained on: its classes, "
            "columns or units are others. Bring the file back, or begin a new run."
        )


# --- its papers -----------------------------------------------------------------------------------


class Papers(Callback):
    """Writes what repeats the run: config.toml, and a copy of the model's own file."""

    order: ClassVar[int] = -1  # before the weights: whoever finds these can go on

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, dict(settings)

    def on_start(self, trainer: "Trainer") -> None:
        """Make the folder, and write into it."""
        from xpnet.cli.settings import FILE_KEYS

        self.folder.mkdir(parents=True, exist_ok=True)
        if own := source.split(self.settings["model"]):
            copy = self.folder.resolve() / source.COPY
            if own[0] != copy:
                shutil.copyfile(own[0], copy)
            self.settings["model"] = f"{copy}:{own[1]}"
        lines = {name.replace("_", "-"): self.settings[name] for name in FILE_KEYS}
        config.write(self.folder / config.FILE, lines)


class Seldom(Callback):
    """What a callback writes at an epoch's end, at most five times a second, and at the last one's.

    An epoch of a small table takes a millisecond or two, and a file on a disk ten.
    """

    INTERVAL: ClassVar[float] = 0.2
    since: float = -math.inf

    def on_epoch(self, trainer: "Trainer") -> None:
        over = len(trainer.history) >= trainer.epochs or trainer.stopped
        if over or time.monotonic() - self.since >= self.INTERVAL:
            super().on_epoch(trainer)
            self.since = time.monotonic()


class SeldomRun(Seldom, Run):
    """`Run`."""


class SeldomCheckpoint(Seldom, Checkpoint):
    """`Checkpoint`."""


class End(Callback):
    """What is left to do is short, and another Ctrl-C would only spoil it."""

    def on_end(self, trainer: "Trainer") -> None:
        from xpnet.training.interrupt import hold

        hold()


def tensorboard(folder: Path) -> Callback:
    """The callback that writes event files into a run folder."""
    from xpnet.training import TensorBoard

    try:
        return TensorBoard(folder / "tensorboard")
    except ModuleNotFoundError as error:
        raise typer.BadParameter(
            f"{error.name} is not installed. Install it with: pip install tensorboard",
            param_hint="'--tensorboard'",
        ) from error
