"""`xpnet train`: train a network on a data set, and write a run folder."""

import math
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from xpnet._printable import counted
from xpnet.cli import flags as f
from xpnet.cli.kinds import PICTURES
from xpnet.cli.screen import echo

if TYPE_CHECKING:
    from xpnet.cli.dataset import Samples
    from xpnet.cli.run_folder import Record
    from xpnet.distributed import Communicator
    from xpnet.layers import Layer
    from xpnet.random import Generator
    from xpnet.training import Callback, History, Trainer
    from xpnet.training._claim import Claim


def train(
    ctx: typer.Context,
    dataset: f.DatasetArgument = None,
    named: f.Dataset = None,
    data_dir: f.TrainDataDir = None,
    target: f.Target = None,
    features: f.Features = None,
    drop: f.Drop = None,
    id: f.Id = None,
    categories: f.Categories = None,
    missing: f.Missing = None,
    drop_missing_target: f.DropMissingTarget = None,
    index: f.Index = None,
    header: f.Header = None,
    delimiter: f.Delimiter = None,
    encoding: f.Encoding = None,
    decimal: f.Decimal = None,
    size: f.Size = None,
    test: f.Test = None,
    validation: f.Validation = None,
    task: f.Task = "classify",
    class_weight: f.ClassWeight = None,
    augment: f.Augment = False,
    crop: f.Crop = None,
    rotate: f.Rotate = None,
    shift: f.Shift = None,
    flip: f.Flip = None,
    color_jitter: f.ColorJitter = None,
    model: f.Model = "mlp",
    hidden: f.Hidden = None,
    activation: f.Activation = None,
    epochs: f.Epochs = None,
    patience: f.Patience = None,
    earlier_epochs: f.EarlierEpochs = None,
    batch_size: f.BatchSize = None,
    optimizer: f.Optimizer = None,
    lr: f.Lr = None,
    schedule: f.Schedule = "linear",
    weight_decay: f.WeightDecay = None,
    clip: f.Clip = None,
    seed: f.Seed = 0,
    backend: f.TrainBackend = "numpy",
    dtype: f.Dtype = "float32",
    precision: f.Precision = None,
    compile: f.Compile = True,
    compression: f.Compression = None,
    timeout: f.Timeout = 30.0,
    out: f.Out = None,
    resume: f.Resume = None,
    config: f.Config = None,
    trust: f.TrainTrust = False,
    tensorboard: f.TensorBoard = False,
    quiet: f.Quiet = False,
) -> None:
    """Train a network on images, pictures or a table, and write a run folder.

    The folder holds the weights (model.safetensors), history.csv, curves.png,
    config.json, and config.toml, which repeats the run; for pictures in
    folders, samples.png shows some of each class as the network sees them.
    Ctrl-C ends the training early and keeps what was learned; --resume RUN
    continues it.
    """
    from xpnet.cli.config import RESUMED
    from xpnet.cli.ranks import claimed, joined, not_joined
    from xpnet.cli.run_folder import RunFolder
    from xpnet.cli.settings import read_settings
    from xpnet.errors import StateError
    from xpnet.training._claim import Claim
    from xpnet.training.run import claim_path

    start = time.perf_counter()
    with not_joined():
        settings = read_settings(ctx)
    record = None
    run = settings["resume"]

    def claim() -> "Claim":
        if run:
            return Claim(run).acquire()
        return claim_path(settings["out"], Path(settings["dataset"]).stem)

    with joined(settings) as communicator, claimed(communicator, claim) as folder:
        settings["out"] = str(folder)
        if run:
            record = RunFolder(run).record()
            if record != ctx.meta[RESUMED]:  # which was read before the folder was claimed
                raise StateError(f"{run}: it was resumed meanwhile. Try again.")
            if record.epochs >= settings["epochs"]:
                if communicator.is_root:
                    _print_nothing_to_do(run, record, settings["epochs"])
                return
        _train_and_report(settings, record, start, communicator)


def _print_nothing_to_do(run: Path, record: "Record", epochs: int) -> None:
    """Print why a run is not resumed for so many epochs, of which it has had as many or more."""
    planned = record.settings["epochs"]
    if record.epochs < planned:
        echo(
            f"{run} was interrupted after {record.epochs} of {counted(planned, 'epoch')}, and --epochs {epochs} "
            f"asks for no more. To resume it for all {planned}: xpnet train --resume {shlex.quote(str(run))}"
        )
        return
    done = f"{counted(record.epochs, 'epoch')} {'is' if record.epochs == 1 else 'are'} done"
    echo(
        f"{run} is finished: {done}. To continue it, ask for more epochs: --epochs {2 * record.epochs}"
    )


def _train_and_report(
    settings: dict[str, Any], record: "Record | None", start: float, control: "Communicator"
) -> None:
    """Train in a folder that is claimed, and print the result.

    Parameters
    ----------
    control : Communicator
        For what is not on the backend's device.
    """
    from xpnet import distributed
    from xpnet.backend import using
    from xpnet.cli.ranks import own_backend
    from xpnet.cli.task import result_line, uncertainty

    path = Path(settings["out"])
    spec = own_backend(settings["backend"], control)
    with using(spec, settings["dtype"]) as where, _saved_weights_noted(path):
        if spec == settings["backend"]:  # otherwise it is for all ranks, and names no device
            settings["backend"] = where.name
        with distributed.using(distributed.for_backend(control)):
            history, tested = _train(settings, record, where.describe())
        if control.is_root:
            _draw(history, path)
    if history.interrupted:
        if control.is_root:
            _print_interrupted(history, settings)
        raise typer.Exit(130)
    if not control.is_root:
        return
    epoch = history.kept or len(history)
    figures = {name.removeprefix("test_"): x for name, x in history.rows[epoch - 1].items()}
    seconds = time.perf_counter() - start
    result = result_line(settings["task"], figures)
    if epoch < len(history):
        result += f", with the weights of epoch {epoch}"
    uncertain = uncertainty(settings["task"], figures, tested)
    if uncertain and not settings["quiet"]:
        echo(uncertain)
    echo(f"Test {result}, after {seconds:.1f} s. Run folder: {path}")


def _print_interrupted(history: "History", settings: dict[str, Any]) -> None:
    path = Path(settings["out"])
    echo(
        f"Interrupted in epoch {len(history) + 1} of {settings['epochs']}. What was learned so far is in "
        f"{path}\nTo resume: xpnet train --resume {shlex.quote(str(path))}"
    )


@contextmanager
def _saved_weights_noted(path: Path) -> Iterator[None]:
    """A block whose errors get a note that describes the weights in the run folder."""
    from xpnet.errors import StateError
    from xpnet.training import open_run

    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        try:
            epochs = open_run(path).epochs_finished
        except StateError:
            if isinstance(error, KeyboardInterrupt):
                error.add_note("Nothing was saved.")
        else:
            which = f"after epoch {epochs}" if epochs else "before the first epoch"
            error.add_note(f"The weights {which} are in {path}")
        raise


def _train(settings: dict[str, Any], record: "Record | None", device: str) -> "tuple[History, int]":
    """Train on the current backend, and return the history and the number of test samples.

    Parameters
    ----------
    settings : dict
    record : Record or None
        The record of the run that is resumed.
    device : str
        The description of the backend's device.
    """
    from xpnet.cli import setup
    from xpnet.cli.run_files import RunFiles
    from xpnet.random import default_rng, manual_seed
    from xpnet.training import Checkpoint

    source = setup.source_of(settings, record)
    samples = _samples(settings)
    images = samples.input_shape
    has_rows = len(images) == 1
    manual_seed(settings["seed"])  # for dropout, and for a model of the user's own
    rng = default_rng(settings["seed"])
    architecture, samples = setup.architecture_of(settings, samples)
    model = setup.build_model(architecture, source, rng, rows=has_rows)
    setup.require_outputs(model, settings["model"], samples)
    samples = _settled(settings, record, samples, has_rows)
    last = None
    environments: list[dict[str, Any]] = []
    if record is not None:
        setup.require_same(settings, record, samples)
        setup.remember_plan(settings, record)
        last = Path(settings["out"], Checkpoint.LAST)
        environments = record.environments
    files = RunFiles(Path(settings["out"]), settings, samples.reading, source, environments)
    callbacks = [files, *_callbacks(settings, architecture, samples, record)]
    trainer = _trainer(settings, model, samples, callbacks, rng)
    _await_c_library(settings)
    data = setup.training_data(settings, samples, images, model, rng)
    if trainer.communicator.is_root and not settings["quiet"]:
        echo(_first_lines(settings, device, samples, model))
        for line in setup.differences(settings, record, trainer):
            echo(line)
    history = trainer.fit(
        data,
        samples.test,
        settings["epochs"],
        settings["batch_size"],
        resume=last,
        validation=samples.validation,
    )
    return history, len(samples.test[1])


def _samples(settings: dict[str, Any]) -> "Samples":
    """The samples for training and test, which are the same on all ranks."""
    from xpnet.cli.dataset import read_samples
    from xpnet.cli.ranks import require_same_samples
    from xpnet.distributed import current

    samples = read_samples(settings)
    require_same_samples(current(), samples.reading)
    return samples


def _await_c_library(settings: dict[str, Any]) -> None:
    from xpnet.cli.setup import await_c_library
    from xpnet.distributed import current

    if settings["compile"] and settings["backend"] == "numpy":
        await_c_library(quiet=not current().is_root)


def _settled(
    settings: dict[str, Any], record: "Record | None", samples: "Samples", has_rows: bool
) -> "Samples":
    """The samples, some kept apart for the validation; sets what depends on how many there are."""
    from xpnet.cli import setup

    setup.settle_validation(settings, record, len(samples.train[0]), rows=has_rows)
    samples = setup.with_validation(settings, samples)
    setup.settle_steps(settings, len(samples.train[0]), rows=has_rows)
    return samples


def _trainer(
    settings: dict[str, Any],
    model: "Layer",
    samples: "Samples",
    callbacks: "list[Callback]",
    rng: "Generator",
) -> "Trainer":
    from xpnet.cli import setup
    from xpnet.cli.task import loss_of, metrics_of
    from xpnet.distributed import current
    from xpnet.optimizers import optimizer
    from xpnet.training import Trainer

    options = {}
    if settings["weight_decay"] is not None:
        options["weight_decay"] = settings["weight_decay"]
    precision = settings["precision"]
    if precision == "float32":
        precision = None
    steps_per_epoch = math.ceil(len(samples.train[0]) / settings["batch_size"])
    return Trainer(
        model,
        loss_of(settings["task"], setup.class_weights(settings, samples)),
        optimizer(settings["optimizer"], model.parameters(), settings["lr"], **options),
        metrics=metrics_of(settings["task"], samples.reading),
        callbacks=callbacks,
        rng=rng,
        schedule=setup.build_schedule(settings, steps_per_epoch),
        clip=settings["clip"],
        precision=precision,
        compile=None if settings["compile"] else False,
        communicator=current(),
        compression=settings["compression"],
    )


def _callbacks(
    settings: dict[str, Any],
    architecture: dict[str, Any],
    samples: "Samples",
    record: "Record | None",
) -> "list[Callback]":
    """The callbacks that write the run folder and report the progress."""
    from xpnet.cli import setup
    from xpnet.training import EarlyStopping, ProgressBar, Run, StopOnNaN

    path = Path(settings["out"])
    config = {name: value for name, value in settings.items() if name not in _NOT_IN_CONFIG}
    config["architecture"] = architecture
    config["reading"] = samples.reading
    # `xpnet evaluate` uses them too.
    config["class_weights"] = setup.class_weights(settings, samples)
    callbacks: list[Callback] = [
        setup.IgnoreInterruptsAtEnd(),
        StopOnNaN(),
        setup.ThrottledRun(path, config, again=record is not None),
        setup.ThrottledCheckpoint(path, every_seconds=30.0, best=False),
    ]
    if record is None and samples.reading["kind"] == "folder":
        callbacks.append(setup.SamplePicture(path / Run.SAMPLES, settings, samples))
    if settings["patience"]:
        callbacks.append(EarlyStopping(patience=settings["patience"]))
    if settings["tensorboard"]:
        callbacks.append(setup.tensorboard(path))
    if not settings["quiet"]:
        callbacks.append(ProgressBar())
    return callbacks


_NOT_IN_CONFIG = ("resume", "config", "quiet", "timeout", "trust", "of_a_run", "environment")


def _first_lines(settings: dict[str, Any], device: str, samples: "Samples", model: "Layer") -> str:
    """The lines printed before the training: the data, the device, how it computes, the network."""
    from xpnet import distributed
    from xpnet.backend import current
    from xpnet.training._compiled import executor_name

    what = "image" if samples.reading["kind"] in PICTURES else "sample"
    precision = settings["precision"] or settings["dtype"]
    how = "not compiled"
    if settings["compile"]:
        how = f"compiled ({executor_name(current().library.name)})"
    communicator = distributed.current()
    if communicator.size > 1:
        device = f"{communicator.size} ranks by {communicator.name}, each on {device}"
    counts = f"{len(samples.train[0])} training"
    if samples.validation is not None:
        counts += f", {len(samples.validation[0])} validation"
    return (
        f"{counts} and {counted(len(samples.test[0]), f'test {what}')}, on "
        f"{device} in {precision}, {settings['optimizer']} from lr "
        f"{settings['lr']:g}, {how}\n{_data_lines(settings, samples)}{model!r}\n"
    )


def _data_lines(settings: dict[str, Any], samples: "Samples") -> str:
    """What is special about the data: the columns of a table, and for pictures what is left out or changed."""
    from xpnet.cli.setup import augmentation
    from xpnet.cli.tables import dictionary
    from xpnet.data.image_folder import loose_pictures, other_files

    lines = dictionary(samples.reading)
    if samples.reading["kind"] == "folder":
        others = other_files(Path(settings["dataset"]))
        if others:
            lines += f"Left out: {counted(len(others), 'file')} without the suffix of a picture, such as {others[0]}\n"
        loose = loose_pictures(Path(settings["dataset"]))
        if loose:
            pictures = counted(len(loose), "picture")
            lines += f"Left out: {pictures} in no class's folder, such as {loose[0]}\n"
    changes = augmentation(settings)
    if changes is not None:
        listed = ", ".join(map(repr, changes.transforms))
        lines += f"Random changes to the training images: {listed}\n"
    return lines


def _draw(history: "History", folder: Path) -> None:
    """Draw the curves, if matplotlib is installed."""
    from xpnet import plots
    from xpnet.cli.setup import plots_or_notice
    from xpnet.training import Run

    if not len(history):
        return
    with plots_or_notice(folder / Run.CURVES):
        plots.curves(history, folder / Run.CURVES)
