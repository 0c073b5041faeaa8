"""Setup: the model, the training data, the schedule and the callbacks that the flags describe."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from xpnet._printable import counted
from xpnet._typing import Array
from xpnet.cli.dataset import Samples, describe_changes
from xpnet.cli.errors import bad_flag
from xpnet.cli.screen import echo, user_warnings
from xpnet.errors import DataError, ShapeError, StateError
from xpnet.training import Callback, Checkpoint, Run, model_file

if TYPE_CHECKING:
    from xpnet.cli.run_folder import Record
    from xpnet.data import DataLoader
    from xpnet.data.transforms import Compose
    from xpnet.layers import Layer
    from xpnet.random import Generator
    from xpnet.schedules.curves import Schedule
    from xpnet.training import Trainer

Settings = Mapping[str, Any]


# --- the model ------------------------------------------------------------------------------------


def architecture_of(settings: Settings, samples: Samples) -> tuple[dict[str, Any], Samples]:
    """The description from which the model is built, and the samples in the shape that it takes."""
    shape = samples.input_shape
    name = settings["model"]
    if name == "mlp":
        samples = reshaped(samples, (math.prod(shape),))
        return {
            "in_features": math.prod(shape),
            "hidden": settings["hidden"],
            "out_features": samples.outputs,
            "activation": settings["activation"],
        }, samples
    if name in ("lenet", "resnet") and len(shape) == 2:  # images of one channel
        samples = reshaped(samples, (1, *shape))
    own = model_file.split(name)
    if own is not None:
        _, function = own
        name = f"{model_file.COPY}:{function}"
    return {
        "model": name,
        "input_shape": list(samples.input_shape),
        "outputs": samples.outputs,
    }, samples


def reshaped(samples: Samples, shape: tuple[int, ...]) -> Samples:
    """The samples, each in another shape."""
    x, t = samples.train
    x_test, t_test = samples.test
    return samples._replace(
        train=(x.reshape(-1, *shape), t),
        test=(x_test.reshape(-1, *shape), t_test),
        input_shape=shape,
    )


def build_model(
    architecture: dict[str, Any],
    own: model_file.Source | None,
    rng: "Generator",
    rows: bool = False,
) -> "Layer":
    """The model, with new weights.

    Parameters
    ----------
    architecture : dict
        What `architecture_of` returned.
    own : Source or None
        The code of a model of the user's own.
    rng : numpy.random.Generator
    rows : bool
        Whether the samples are rows of a table. Then an mlp is initialised with Glorot's numbers,
        which are smaller than He's: a network whose initial outputs are as large as the targets first
        has to unlearn them, and on the few rows of a table it fits the noise while it does.
    """
    if "model" not in architecture:
        from xpnet.layers import MLP

        return MLP(**architecture, weight="glorot_uniform" if rows else None, rng=rng)
    shape = tuple(architecture["input_shape"])
    outputs = architecture["outputs"]
    if own is not None:
        return own.build(shape, outputs)
    from xpnet import models

    return models.build(architecture["model"], shape, outputs, rng=rng)


def source_of(settings: Settings, record: "Record | None") -> model_file.Source | None:
    """The code of a model of the user's own; None for a model of xpnet's.

    A file that the user names on the command line, or in a file of flags, is executed. The code of a
    run folder is executed only if it is trusted.

    Raises
    ------
    StateError
        The code is missing or not trusted, or not what the run was trained with.
    """
    named = model_file.split(settings["model"])
    if named is None:
        return None
    path, function = named
    if record is None and not settings["of_a_run"]:
        return model_file.read(path, function)
    from xpnet.cli.consent import require_consent

    file = settings["resume"] / Checkpoint.LAST if record else settings["config"]
    name = path.name if path.parent == file.parent.resolve() else path
    found = model_file.of_run(file, f"{name}:{function}")
    if found is not None and record is not None and found.digest != record.source:
        raise StateError(
            f"{found.path}: it is not the code that the run was trained with. Restore that, or begin "
            "a new run."
        )
    if found is not None:
        require_consent(found, settings["trust"])
    return found


def require_outputs(model: "Layer", name: str, samples: Samples) -> None:
    """Refuse a model whose output does not fit the targets, such as one of the user's own.

    Parameters
    ----------
    model : Layer
    name : str
        The model's name, or a file and a function.
    samples : Samples
    """
    from xpnet.training import predict

    own = model_file.split(name)
    try:
        y = predict(model, samples.train[0][:2])
    except Exception as error:
        if own is None:
            raise
        raise StateError(
            f"{name}: the model fails on 2 samples of shape {samples.input_shape}: "
            f"{model_file.described(error, own[0])}"
        ) from error
    if tuple(y.shape) != (min(2, len(samples.train[0])), samples.outputs):
        prefix = f"{name}: " if own else ""
        raise ShapeError(
            f"{prefix}{type(model).__name__} expected to return an output of shape (batch, "
            f"{samples.outputs}), returned {tuple(y.shape)} for a batch of 2 samples of shape "
            f"{samples.input_shape}."
        )


# --- the data -------------------------------------------------------------------------------------

MIRRORED = ("fashion-mnist", "cifar10")  # a mirrored digit or letter is another sign


def training_data(
    settings: Settings,
    samples: Samples,
    images: tuple[int, ...],
    model: "Layer",
    rng: "Generator",
) -> "tuple[Array, Array] | DataLoader":
    """The training data for `Trainer.fit`: arrays, or a loader that changes images at random.

    Parameters
    ----------
    settings : mapping
    samples : Samples
    images : tuple of int
        The shape of an image, also if the model takes it as a row of pixels.
    model : Layer
    rng : numpy.random.Generator
        Draws the loader's seed.
    """
    change = augmentation(settings)
    if change is None:
        return samples.train
    if (settings["shift"] or 0) >= min(images[-2:]):
        raise bad_flag(
            "--shift",
            f"expected less than the smaller side of the images, {min(images[-2:])} pixels, got {settings['shift']}.",
        )
    from xpnet.data import DataLoader
    from xpnet.training._checks import checked

    x, t = checked(model, samples.train)
    return DataLoader(
        x,
        t,
        batch_size=settings["batch_size"],
        shuffle=True,
        seed=int(rng.integers(2**63)),
        prefetch=2,
        # A model may take an image as a row of pixels.
        transform=lambda x, rng: change(x.reshape(-1, *images), rng).reshape(x.shape),
    )


def augmentation(settings: Settings) -> "Compose | None":
    """The random changes to images that the flags describe; None if there are none."""
    from xpnet.data import transforms

    shift = settings["shift"]
    flip = settings["flip"]
    if settings["augment"]:
        shift = shift or (4 if settings["dataset"] == "cifar10" else 2)
        flip = flip or ("horizontal" if settings["dataset"] in MIRRORED else None)
    amount = settings["color_jitter"]
    changes: list[Any] = []
    if amount:
        changes.append(transforms.ColorJitter(amount, amount, amount))
    if settings["crop"]:
        changes.append(transforms.RandomResizedCrop((settings["crop"], 1.0)))
    if settings["rotate"]:
        changes.append(transforms.RandomRotation(settings["rotate"]))
    if shift:
        changes.append(transforms.RandomShift(shift))
    if flip in ("horizontal", "both"):
        changes.append(transforms.RandomHorizontalFlip())
    if flip in ("vertical", "both"):
        changes.append(transforms.RandomVerticalFlip())
    return transforms.Compose(changes) if changes else None


PATIENCE = 10  # epochs, by default, for a table
FEW = 100  # rows: of fewer, the tenth for the validation would decide by chance
VALIDATION_SHARE = 0.1  # of the training samples, by default


def settle_validation(
    settings: dict[str, Any], record: "Record | None", samples: int, rows: bool
) -> None:
    """Set the default patience, and the share of the training samples for the validation."""
    if settings["patience"] is None:
        is_older = record is not None  # than this setting, which the records of other runs have
        settings["patience"] = PATIENCE if rows and samples >= FEW and not is_older else 0
    if settings["patience"] and settings["validation"] is None:
        settings["validation"] = VALIDATION_SHARE


def with_validation(settings: Settings, samples: Samples) -> Samples:
    """The samples, of which a share of the training ones is kept apart for the validation.

    Raises
    ------
    DataError
        There are too few for that.
    """
    from xpnet.data import split

    if settings["validation"] is None:
        return samples
    x, t = samples.train
    groups = t if settings["task"] == "classify" else t[:, 0]
    learned, kept = split(groups, settings["validation"], settings["seed"])
    return samples._replace(train=(x[learned], t[learned]), validation=(x[kept], t[kept]))


def class_weights(settings: Settings, samples: Samples) -> list[float] | None:
    """The weight of each class in the loss, n / (classes times its samples); None if they are equal."""
    if settings["class_weight"] is None:
        return None
    t = samples.train[1]
    counts = [int((t == c).sum()) for c in range(samples.outputs)]
    return [len(t) / (samples.outputs * max(count, 1)) for count in counts]


def settle_steps(settings: dict[str, Any], samples: int, rows: bool) -> None:
    """Set the default number of epochs and batch size; a table has few rows, so more epochs."""
    epochs = 10
    size = 100
    if rows:
        epochs = 100
        size = 32
    settings["epochs"] = settings["epochs"] or epochs
    size = settings["batch_size"] or min(size, samples)
    if size > samples:
        raise DataError(
            f"A batch of {size} is larger than the data, {counted(samples, 'sample')}. Take --batch-size "
            f"{samples} or less."
        )
    settings["batch_size"] = size


def require_same(settings: Settings, record: "Record", samples: Samples) -> None:
    """Refuse data that are not those with which a run began.

    Raises
    ------
    DataError
        Their samples, classes, columns or units are different.
    """
    if record.reading != samples.reading:
        raise DataError(
            f"{settings['data_dir'] or settings['dataset']}: it is not what the run was trained on: it has "
            f"{describe_changes(record.reading, samples.reading)}. Restore the old data, or begin a new run."
        )


# --- the schedule ---------------------------------------------------------------------------------


def build_schedule(settings: Settings, per_epoch: int) -> "Schedule":
    """The schedule of the learning rate.

    A run that was resumed for another number of epochs follows the schedule of its earlier plan until
    the step at which it was resumed.

    Parameters
    ----------
    settings : mapping
    per_epoch : int
        The number of steps in an epoch.
    """
    from xpnet.schedules import schedule

    def planned(epochs: int) -> "Schedule":
        return schedule(settings["schedule"], epochs * per_epoch, epochs)

    last = planned(settings["epochs"])
    earlier = [(end, planned(epochs)) for epochs, end in settings["earlier_epochs"] or ()]
    if not earlier:
        return last

    def factor(step: int) -> float:
        for end, rate in earlier:
            if step < end:
                return rate(step)
        return last(step)

    return factor


def remember_plan(settings: dict[str, Any], record: "Record") -> None:
    """Add to the settings the earlier number of epochs, with the step until which it was planned."""
    plans = [list(plan) for plan in settings["earlier_epochs"] or ()]
    before = record.settings["epochs"]
    last_step = plans[-1][1] if plans else 0
    if before != settings["epochs"] and last_step < record.steps:
        plans.append([before, record.steps])
    if plans and plans[-1] == [settings["epochs"], record.steps]:
        plans.pop()  # the plan is again what it was before
    settings["earlier_epochs"] = plans or None


def await_c_library(quiet: bool = False) -> None:
    """Wait until the C library is compiled, for some minutes at most; say so unless `quiet`.

    A run that begins without it computes all its steps with NumPy, which rounds otherwise.
    """
    from xpnet.compiler.c import load

    load.find(waiting=_say_nothing if quiet else tell_about_compiler)


def _say_nothing() -> None:
    """Another rank prints what the command waits for."""


def tell_about_compiler() -> None:
    """Print on standard error what the command waits for, and how to do without it."""
    echo(
        "Compiling xpnet's C library for this processor. This is done only once. To run without the "
        "library, set XPNET_EXECUTOR=numpy.",
        err=True,
    )


def differences(settings: Settings, record: "Record | None", trainer: "Trainer") -> list[str]:
    """What is different from the run that is resumed, or that a file of flags repeats."""
    from xpnet.training.environment import CANNOT, changes, environment

    there = settings["environment"] if record is None else record.environments[-1]
    # What could not be compiled there is not compiled here either.
    here = environment(bool(settings["compile"]), there.get("steps") != CANNOT)
    changed = changes(there, here)
    if record is None:
        if not changed:
            return []
        return [
            f"{settings['config']}: {', '.join(changed)}. The last bits of a run depend on these."
        ]
    lines = []
    if changed and settings["backend"] == record.settings["backend"]:
        lines.append(
            f"Resumed with {', '.join(changed)}. The last bits may differ from those of a run that "
            "was not interrupted."
        )
    if there.get("ranks", 1) != here.get("ranks", 1):
        lines.append("With another number of ranks, dropout draws other numbers.")
    before = record.settings["epochs"]
    now = settings["epochs"]
    schedule = trainer.learner.schedule
    if before != now and schedule is not None and record.steps:
        lr = trainer.optimizer.lr
        old = lr * schedule(record.steps - 1)
        new = lr * schedule(record.steps)
        lines.append(
            f"Resumed after step {record.steps} for {counted(now, 'epoch')}, not {before}: the learning rate "
            f"goes from {old:.6g} to {new:.6g}."
        )
    return lines


# --- the callbacks --------------------------------------------------------------------------------


class Throttled(Callback):
    """Calls another class's `on_epoch` at most five times per second, and after the last epoch.

    An epoch of a small table takes a millisecond or two, and writing a file takes ten.
    """

    INTERVAL: ClassVar[float] = 0.2
    last_call: float = -math.inf  # in seconds, as of time.monotonic

    def on_epoch(self, trainer: "Trainer") -> None:
        is_last = len(trainer.history) >= trainer.epochs or trainer.stopped
        is_due = is_last or time.monotonic() - self.last_call >= self.INTERVAL
        if not self.only_on_root:  # all ranks go by the clock of rank 0
            is_due = bool(trainer.communicator.allgather(is_due)[0])
        if is_due:
            super().on_epoch(trainer)
            self.last_call = time.monotonic()


class ThrottledRun(Throttled, Run):
    """A `Run` that writes at most five times per second."""

    reads_gradients: ClassVar[bool] = False


class ThrottledCheckpoint(Throttled, Checkpoint):
    """A `Checkpoint` that writes at most five times per second."""

    reads_gradients: ClassVar[bool] = False


class SamplePicture(Callback):
    """Draws images of each class as the network sees them: resized, and changed at random.

    Parameters
    ----------
    path : Path
        The picture, which is written when the training starts.
    settings : mapping
    samples : Samples
    """

    only_on_root: ClassVar[bool] = True
    reads_gradients: ClassVar[bool] = False

    def __init__(self, path: Path, settings: Settings, samples: Samples) -> None:
        self.path = path
        self.settings = settings
        self.samples = samples

    def on_start(self, trainer: "Trainer") -> None:
        from xpnet import plots

        x, t = self.samples.train
        reading = self.samples.reading
        with plots_or_notice(self.path):
            plots.samples(
                x.reshape(-1, *reading["shape"]),  # a model may take an image as a row of pixels
                t,
                reading["classes"],
                transform=augmentation(self.settings),
                path=self.path,
            )
            if not self.settings["quiet"]:
                echo(f"Training images, as the network sees them: {self.path}\n")


@contextmanager
def plots_or_notice(path: Path) -> Iterator[None]:
    """A block that draws a picture; a line says why it was skipped, or what it lacks, such as a font."""
    try:
        with user_warnings() as noted:
            yield
        for warning in noted:
            echo(f"{path.name}: {warning}")
    except ModuleNotFoundError as error:
        echo(
            f"{path.name} was skipped: {error.name} is not installed. "
            "To have it next time: pip install matplotlib"
        )


class IgnoreInterruptsAtEnd(Callback):
    """Ignores Ctrl-C once the training has ended: what remains is short, and must be complete."""

    reads_gradients: ClassVar[bool] = False

    def on_end(self, trainer: "Trainer") -> None:
        from xpnet.training.interrupt import ignore_in_all_blocks

        ignore_in_all_blocks()


def tensorboard(folder: Path) -> Callback:
    """The callback that writes event files into a run folder."""
    from xpnet.training import TensorBoard

    try:
        return TensorBoard(folder / "tensorboard")
    except ModuleNotFoundError as error:
        raise bad_flag(
            "--tensorboard",
            f"{error.name} is not installed. Install it with: pip install tensorboard",
        ) from error
