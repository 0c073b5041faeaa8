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
    from xpnet.cli.run_files import Record
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
    out: f.Out = None,
    resume: f.Resume = None,
    config: f.Config = None,
    trust: f.TrainTrust = False,
    tensorboard: f.TensorBoard = False,
    quiet: f.Quiet = False,
) -> None:
    """Train a network on images, pictures or a table, and write a run folder.

    The folder holds the weights (model.safetensors), history.csv, curves.png,
    config.json, and config.toml, which repeats the run. Ctrl-C ends the
    training early and keeps what was learned; --resume RUN goes on.
    """
    from xpnet.cli.config import RESUMED
    from xpnet.cli.run_files import papers_of
    from xpnet.cli.settings import settled
    from xpnet.errors import StateError
    from xpnet.training import Checkpoint
    from xpnet.training._claim import Claim
    from xpnet.training.run import claim_path

    settings = settled(ctx)
    begin, record = time.perf_counter(), None
    if run := settings["resume"]:
        claim = Claim(run).acquire()
    else:
        claim = claim_path(settings["out"], Path(settings["dataset"]).stem)
    with claim:
        settings["out"] = str(claim.folder)
        if run:
            record = papers_of(run / Checkpoint.LAST)
            if record != ctx.meta[RESUMED]:  # it was read before the claim
                raise StateError(f"{run}: it was resumed meanwhile. Try again.")
            if _is_done(run, record, settings["epochs"]):
                return
        _learn(settings, record, begin)


def _learn(settings: dict[str, Any], record: "Record | None", begin: float) -> None:
    """Train in a folder that is claimed, and print the result."""
    from xpnet.backend import using
    from xpnet.cli.task import told

    path = Path(settings["out"])
    with using(settings["backend"], settings["dtype"]) as where, _what_is_left_told(path):
        settings["backend"] = where.name
        history = _train(settings, record, where.describe())
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


def _is_done(path: Path, record: "Record", epochs: int) -> bool:
    """Whether a run has nothing left to do; it says so."""
    done = record.epochs
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


def _train(settings: dict[str, Any], record: "Record | None", device: str) -> "History":
    """The work itself, on the backend in force, which `device` describes.

    Parameters
    ----------
    record : Record or None
        Of the run that is resumed.
    """
    from xpnet.cli import setup as learner
    from xpnet.cli.dataset import learned
    from xpnet.cli.run_files import Papers
    from xpnet.cli.task import loss_of, metrics_of
    from xpnet.optimizers import optimizer
    from xpnet.random import default_rng, manual_seed
    from xpnet.training import Checkpoint, Trainer

    source = learner.source_of(settings, record)
    samples = learned(settings)
    images = samples.input_shape
    manual_seed(settings["seed"])  # of whatever draws by itself: dropout, a model of one's own
    rng = default_rng(settings["seed"])
    architecture, samples = learner.described(settings, samples)
    model = learner.built(architecture, source, rng, rows=len(images) == 1)
    learner.require_outputs(model, settings["model"], samples)
    learner.settle_steps(settings, len(samples.train[0]), rows=len(images) == 1)
    path, epochs, size = Path(settings["out"]), settings["epochs"], settings["batch_size"]
    if record is not None:
        learner.require_same(settings, record, samples)
        learner.further(settings, record)
    papers = Papers(path, settings, samples.reading, source, record.environments if record else ())
    decay = settings["weight_decay"]
    options = {} if decay is None else {"weight_decay": decay}
    trainer = Trainer(
        model,
        loss_of(settings["task"]),
        optimizer(settings["optimizer"], model.parameters(), settings["lr"], **options),
        metrics=metrics_of(settings["task"], samples.reading),
        callbacks=[papers, *_callbacks(settings, architecture, samples, record)],
        rng=rng,
        schedule=learner.scheduled(settings, -(-len(samples.train[0]) // size)),
        clip=settings["clip"],
        precision=None if settings["precision"] in (None, "float32") else settings["precision"],
    )
    data = learner.fed(settings, samples, images, model, rng)
    if not settings["quiet"]:
        echo(_begun(settings, device, samples, model))
        for line in learner.differences(settings, record, trainer):
            echo(line)
    last = path / Checkpoint.LAST if record else None
    return trainer.fit(data, samples.test, epochs, size, resume=last)


def _callbacks(
    settings: dict[str, Any],
    architecture: dict[str, Any],
    samples: Any,
    record: "Record | None",
) -> list[Any]:
    """What looks on while it trains, and writes the run folder."""
    from xpnet.cli import setup as learner
    from xpnet.training import ProgressBar, StopOnNaN

    path = Path(settings["out"])
    kept = {name: value for name, value in settings.items() if name not in _NOT_KEPT}
    run = learner.SeldomRun(
        path,
        {**kept, "architecture": architecture, "reading": samples.reading},
        again=record is not None,
    )
    checkpoint = learner.SeldomCheckpoint(path, every_seconds=30.0, best=False)
    callbacks = [learner.End(), StopOnNaN(), run, checkpoint]
    if settings["tensorboard"]:
        callbacks.append(learner.tensorboard(path))
    if not settings["quiet"]:
        callbacks.append(ProgressBar())
    return callbacks


_NOT_KEPT = ("resume", "config", "quiet", "trust", "of_a_run", "environment")


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
