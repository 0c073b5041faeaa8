"""The learner: the model that the flags name, the data as it is fed with them, and its papers."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import typer

from xpnet.cli.dataset import Samples, changed
from xpnet.errors import DataError, ShapeError, StateError
from xpnet.training import Callback, Checkpoint, Run, model_file as source

if TYPE_CHECKING:
    from xpnet.cli.run_files import Record
    from xpnet.layers import Layer
    from xpnet.schedules.curves import Schedule
    from xpnet.training import Trainer

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


def built(
    architecture: dict[str, Any], own: source.Source | None, rng: Any, rows: bool = False
) -> "Layer":
    """The model, with new weights.

    Parameters
    ----------
    architecture : dict
        What `described` gave.
    own : Source or None
        The code of a model of the user's own.
    rows : bool
        Whether the samples are rows of a table. An mlp then begins with Glorot's numbers, which
        are smaller than He's: a table has few rows, and a network that begins with outputs as large
        as the targets learns to undo them, and the noise with it.
    """
    if "model" not in architecture:
        from xpnet.layers import MLP

        return MLP(**architecture, weight="glorot_uniform" if rows else None, rng=rng)
    shape, outputs = tuple(architecture["input_shape"]), architecture["outputs"]
    if own is not None:
        return own.build(shape, outputs)
    from xpnet import models

    return models.build(architecture["model"], shape, outputs, rng=rng)


def source_of(settings: Settings, record: "Record | None") -> source.Source | None:
    """The code of a model of the user's own; None for a model of xpnet's.

    What the user names on the command line, or in a file of flags of their own, is executed; the
    code of a run folder only if it is trusted.

    Raises
    ------
    StateError
        It is missing or not trusted; or not what the run was trained with.
    """
    named = source.split(settings["model"])
    if named is None:
        return None
    path, function = named
    if record is None and not settings["of_a_run"]:
        return source.read(path, function)
    from xpnet.cli.consent import require_consent

    file = settings["resume"] / Checkpoint.LAST if record else settings["config"]
    name = path.name if path.parent == file.parent.resolve() else path
    found = source.of_run(file, f"{name}:{function}")
    if found is not None and record is not None and found.digest != record.source:
        raise StateError(
            f"{found.path}: it is not the code that the run was trained with. Bring that back, or "
            "begin a new run."
        )
    if found is not None:
        require_consent(found, settings["trust"])
    return found


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
    from xpnet.training._checks import checked

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


def scheduled(settings: Settings, per_epoch: int) -> "Schedule":
    """The schedule; of a run that was resumed for other epochs, until then that of the earlier ones.

    Parameters
    ----------
    per_epoch : int
        The steps of an epoch.
    """
    from xpnet.schedules import schedule

    def planned(epochs: int) -> "Schedule":
        return schedule(settings["schedule"], epochs * per_epoch, epochs)

    last = planned(settings["epochs"])
    earlier = [(step, planned(epochs)) for epochs, step in settings["earlier_epochs"] or ()]

    def factor(step: int) -> float:
        return next((rate for end, rate in earlier if step < end), last)(step)

    return factor if earlier else last


def further(settings: dict[str, Any], record: "Record") -> None:
    """Remember what the epochs were planned to be before, and until which step."""
    earlier = [list(plan) for plan in settings["earlier_epochs"] or ()]
    before = [record.settings["epochs"], record.steps]
    if before[0] != settings["epochs"] and (earlier[-1][1] if earlier else 0) < record.steps:
        earlier.append(before)
    if earlier and earlier[-1] == [settings["epochs"], record.steps]:
        earlier.pop()  # as it was planned before
    settings["earlier_epochs"] = earlier or None


def augmented(settings: Settings, images: tuple[int, ...]) -> Callable[[Any, Any], Any]:
    """The transform that suits the data set, of images or of rows of their pixels."""
    from xpnet.data.transforms import Compose, RandomHorizontalFlip, RandomShift

    name = settings["dataset"]
    steps = [RandomShift(4 if name == "cifar10" else 2)]
    change = Compose([*steps, *([RandomHorizontalFlip()] if name in MIRRORED else [])])
    return lambda x, rng: change(x.reshape(-1, *images), rng).reshape(x.shape)


def require_same(settings: Settings, record: "Record", samples: Samples) -> None:
    """Refuse data that are no longer those that a run has begun with.

    Raises
    ------
    DataError
        Their samples, classes, columns or units are others.
    """
    if record.reading != samples.reading:
        raise DataError(
            f"{settings['data_dir'] or settings['dataset']}: it is not what the run was trained on: it has "
            f"{changed(record.reading, samples.reading)}. Bring the old data back, or begin a new run."
        )


def differences(settings: Settings, record: "Record | None", trainer: "Trainer") -> list[str]:
    """What is not as it was: of a resumed run, or of one that a file of flags is to repeat."""
    from xpnet.training.environment import changes, environment

    if record is None:
        changed = changes(settings["environment"], environment())
        where = (
            f"{settings['config']}: {', '.join(changed)}. The last bits of a run depend on these."
        )
        return [where] if changed else []
    lines = []
    changed = changes(record.environments[-1], environment())
    if changed and settings["backend"] == record.settings["backend"]:
        lines.append(
            f"Resumed with {', '.join(changed)}. The last bits may differ from those of a run that "
            "was not broken off."
        )
    before = record.settings["epochs"]
    now = settings["epochs"]
    if before != now and trainer.learner.schedule is not None and record.steps:
        lr = trainer.optimizer.lr
        old, new = (lr * trainer.learner.schedule(record.steps - back) for back in (1, 0))
        lines.append(
            f"Resumed after step {record.steps} for {now} epochs, not {before}: the learning rate "
            f"goes from {old:.6g} to {new:.6g}."
        )
    return lines


# --- what is written of it ------------------------------------------------------------------------


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
        from xpnet.training.interrupt import ignore_in_all_blocks

        ignore_in_all_blocks()


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
