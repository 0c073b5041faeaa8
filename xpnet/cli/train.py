"""`xpnet train`: a network learns a data set, and leaves a run folder."""

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from xpnet.cli import flags as f
from xpnet.cli.kinds import PICTURES
from xpnet.cli.screen import echo

if TYPE_CHECKING:
    from xpnet.training import History


def train(
    ctx: typer.Context,
    dataset: f.DatasetArgument = None,
    named: f.Dataset = None,
    data_dir: f.TrainDataDir = None,
    target: f.Target = None,
    features: f.Features = None,
    index: f.Index = None,
    header: f.Header = None,
    delimiter: f.Delimiter = None,
    encoding: f.Encoding = None,
    image_size: f.ImageSize = None,
    test: f.Test = None,
    task: f.Task = "classify",
    augment: f.Augment = False,
    model: f.Model = "mlp",
    hidden: f.Hidden = None,
    activation: f.Activation = None,
    epochs: f.Epochs = None,
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
    out: f.Out = None,
    resume: f.Resume = None,
    config: f.Config = None,
    tensorboard: f.TensorBoard = False,
    quiet: f.Quiet = False,
) -> None:
    """Train a network on images, pictures or a table, and write a run folder.

    The folder holds the weights (model.safetensors), history.csv, curves.png,
    config.json, and config.toml, which repeats the run. Ctrl-C ends the
    training early and keeps what was learned; --resume RUN goes on.
    """
    from xpnet.cli.settings import settled
    from xpnet.training.claim import Claim
    from xpnet.training.run import claim_path

    settings = settled(ctx)
    begin = time.perf_counter()
    if resumed := settings["resume"]:
        claim = Claim(resumed).acquire()
    else:
        claim = claim_path(settings["out"], Path(settings["dataset"]).stem)
    with claim:
        settings["out"] = str(claim.folder)
        if resumed and _is_done(resumed, settings["epochs"]):
            return
        _learn(settings, claim.folder, begin)


def _learn(settings: dict[str, Any], path: Path, begin: float) -> None:
    """Train in a folder that is claimed, and print the result."""
    from xpnet.backend import using
    from xpnet.cli.task import told

    with using(settings["backend"], settings["dtype"]) as where, _what_is_left_told(path):
        settings["backend"] = where.name
        history = _train(settings, where.describe())
        _draw(history, path)
    if history.interrupted:
        echo(
            f"Interrupted in epoch {len(history) + 1} of {settings['epochs']}. What was learned so far is in "
            f"{path}\nTo go on: xpnet train --resume {shlex.quote(str(path))}"
        )
        raise typer.Exit(130)
    figures = {name.removeprefix("test_"): value for name, value in history.rows[-1].items()}
    seconds = time.perf_counter() - begin
    said = told(settings["task"], figures)
    echo(f"Test {said}, after {seconds:.1f} s. Run folder: {path}")


def _is_done(path: Path, epochs: int) -> bool:
    """Whether a run has nothing left to do; it says so."""
    from xpnet.training.checkpoint import read

    done = read(path / "last.safetensors")["position"]["epoch"]
    if done >= epochs:
        echo(
            f"{path} is finished: {done} epoch{'s are' if done > 1 else ' is'} done. To go further, "
            f"ask for more of them: --epochs {2 * done}"
        )
    return bool(done >= epochs)


@contextmanager
def _what_is_left_told(path: Path) -> Iterator[None]:
    """A block whose errors get a note: which weights are in the run folder, or that none are."""
    from xpnet.errors import StateError
    from xpnet.training import open_run

    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        try:
            n = open_run(path).epochs_finished
            error.add_note(
                f"The weights {f'after epoch {n}' if n else 'of the start'} are in {path}"
            )
        except StateError:
            if isinstance(error, KeyboardInterrupt):
                error.add_note("Nothing was saved.")
        raise


def _train(settings: dict[str, Any], device: str) -> "History":
    """The work itself, on the backend in force, which `device` describes."""
    from xpnet import schedules
    from xpnet.cli import learner
    from xpnet.cli.dataset import learned
    from xpnet.cli.task import loss_of, metrics_of
    from xpnet.optimizers import optimizer
    from xpnet.random import default_rng, manual_seed
    from xpnet.training import ProgressBar, StopOnNaN, Trainer

    samples = learned(settings)
    images = samples.input_shape
    manual_seed(settings["seed"])  # of whatever draws by itself: dropout, a model of one's own
    rng = default_rng(settings["seed"])
    architecture, samples = learner.described(settings, samples)
    model = learner.built(architecture, settings["model"], rng, rows=len(images) == 1)
    learner.require_outputs(model, settings["model"], samples)
    learner.settle_steps(settings, len(samples.train[0]), rows=len(images) == 1)
    resume, path, epochs = settings["resume"], Path(settings["out"]), settings["epochs"]
    kept = {name: value for name, value in settings.items() if name not in _NOT_KEPT}
    if resume:
        learner.require_same(path, samples)
    run = learner.SeldomRun(
        path,
        {**kept, "architecture": architecture, "reading": samples.reading},
        again=bool(resume),
    )
    checkpoint = learner.SeldomCheckpoint(path, every_seconds=30.0, best=False)
    size = settings["batch_size"]
    steps = epochs * -(-len(samples.train[0]) // size)
    callbacks = [learner.End(), learner.Papers(path, settings), StopOnNaN(), run, checkpoint]
    if settings["tensorboard"]:
        callbacks.append(learner.tensorboard(path))
    if not settings["quiet"]:
        callbacks.append(ProgressBar())
    decay = settings["weight_decay"]
    options = {} if decay is None else {"weight_decay": decay}
    trainer = Trainer(
        model,
        loss_of(settings["task"]),
        optimizer(settings["optimizer"], model.parameters(), settings["lr"], **options),
        metrics=metrics_of(settings["task"], samples.reading),
        callbacks=callbacks,
        rng=rng,
        schedule=schedules.schedule(settings["schedule"], steps, epochs),
        clip=settings["clip"],
        precision=None if settings["precision"] in (None, "float32") else settings["precision"],
    )
    data = learner.fed(settings, samples, images, model, rng)
    if not settings["quiet"]:
        echo(_begun(settings, device, samples, model))
    last = checkpoint.last if resume else None
    return trainer.fit(data, samples.test, epochs, size, resume=last)


_NOT_KEPT = ("resume", "config", "quiet")


def _begun(settings: dict[str, Any], device: str, samples: Any, model: Any) -> str:
    """What is about to happen: the data, the numbers, the network."""
    what = "images" if samples.reading["kind"] in PICTURES else "samples"
    precision = settings["precision"] or settings["dtype"]
    return (
        f"{len(samples.train[0])} training and {len(samples.test[0])} test {what}, on "
        f"{device} in {precision}, {settings['optimizer']} from lr "
        f"{settings['lr']:g}\n{model!r}\n"
    )


def _draw(history: "History", folder: Path) -> None:
    """The curves, where there is matplotlib; it is an extra, and the rest does without it."""
    from xpnet import plots
    from xpnet.training import Run

    if not len(history):
        return
    try:
        plots.curves(history, folder / Run.CURVES)
    except ModuleNotFoundError as error:
        echo(
            f"{Run.CURVES} was skipped: {error.name} is not installed. "
            "To have it next time: pip install matplotlib"
        )
