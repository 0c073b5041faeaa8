"""`xpnet train`: a network learns a data set, and leaves a run folder."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpnet.cli.flags import Backend, DataDir, folder, one_of, widths

if TYPE_CHECKING:
    from rich.console import Console

    from xpnet.training import History

LEARNING_RATES = {  # at which each learns MNIST well, at the other flags' defaults
    "sgd": 0.5,
    "momentum": 0.1,
    "adagrad": 0.02,
    "rmsprop": 0.001,
    "adam": 0.001,
    "adamw": 0.001,
}


def train(
    dataset: Annotated[
        str, typer.Argument(help="The data: mnist, which comes with xpnet.")
    ] = "mnist",
    backend: Backend = "numpy",
    hidden: Annotated[
        str, typer.Option(metavar="WIDTHS", help="Widths of the hidden layers: 80, or 256,128.")
    ] = "400",
    activation: Annotated[
        str,
        typer.Option(metavar="NAME", help="Function between the layers: relu, sigmoid or tanh."),
    ] = "relu",
    epochs: Annotated[int, typer.Option(min=1, help="Times through the data.")] = 10,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples a step.")] = 100,
    lr: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="The learning rate of the first epoch; it falls in equal steps to the last. "
            "Unless given, one that suits the optimizer.",
        ),
    ] = None,
    optimizer: Annotated[
        str, typer.Option(metavar="NAME", help=f"Rule of learning: {', '.join(LEARNING_RATES)}.")
    ] = "momentum",
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the first weights and of the order of the samples.")
    ] = 0,
    dtype: Annotated[
        str, typer.Option(metavar="NAME", help="Type of the numbers: float32 or float64.")
    ] = "float32",
    data_dir: DataDir = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            parser=folder,
            help="Run folder, new or empty; unless given, runs/mnist-<time>.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the result alone.")] = False,
) -> None:
    """Train a network on MNIST, and write a run folder.

    The folder holds the weights (model.safetensors), history.csv, curves.png
    and config.json. Ctrl-C ends the training early and keeps what was learned.
    """
    from xpnet.backend import using
    from xpnet.cli.screen import console
    from xpnet.layers.activation import BY_NAME as ACTIVATIONS
    from xpnet.optimizers import BY_NAME as OPTIMIZERS
    from xpnet.training.run import free_path

    others = "Other data, Fashion-MNIST say, are read from a folder: --data-dir FOLDER."
    dataset = one_of("DATASET", dataset, ["mnist"], others)
    activation = one_of("--activation", activation, ACTIVATIONS)
    optimizer = one_of("--optimizer", optimizer, OPTIMIZERS)
    dtype = one_of("--dtype", dtype, ["float32", "float64"])
    hidden_widths = widths(hidden)
    lr = LEARNING_RATES[optimizer] if lr is None else lr
    if not 0 < lr < math.inf:
        raise typer.BadParameter(f"expected a number greater than 0, got {lr}.", param_hint="--lr")
    begin, screen = time.perf_counter(), console()
    path = free_path(out, dataset)
    with using(backend, dtype) as where, _what_is_left_told(path):
        flags = {
            "dataset": dataset,
            "backend": where.name,
            "hidden": hidden_widths,
            "activation": activation,
            "epochs": epochs,
            "batch_size": batch_size,
            "lr": lr,
            "optimizer": optimizer,
            "seed": seed,
            "dtype": dtype,
            "data_dir": str(data_dir.resolve()) if data_dir else None,
            "out": str(path),
        }
        history = _train(flags, screen, quiet)
        _draw(history, path, screen)
    if history.interrupted:
        screen.print(
            f"Interrupted in epoch {len(history) + 1} of {epochs}. "
            f"What was learned so far is in {path}"
        )
        raise typer.Exit(130)
    accuracy, seconds = history["test_accuracy"][-1], time.perf_counter() - begin
    screen.print(f"Test accuracy {accuracy:.2%}, after {seconds:.1f} s. Run folder: {path}")


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


def _train(flags: dict[str, Any], screen: "Console", quiet: bool) -> "History":
    """The work itself, on the backend in force."""
    from xpnet import functions as F
    from xpnet.cli.screen import Screen
    from xpnet.data import count_classes, load_mnist
    from xpnet.layers import MLP
    from xpnet.metrics import accuracy
    from xpnet.optimizers import optimizer
    from xpnet.random import default_rng
    from xpnet.training import Callback, LinearDecay, Run, Trainer
    from xpnet.training.interrupt import hold

    class End(Callback):
        """What is left to do is short, and another Ctrl-C would only spoil it."""

        def on_end(self, trainer: Trainer) -> None:
            hold()

    train, test = load_mnist(data_dir=flags["data_dir"], dtype=flags["dtype"])
    rng = default_rng(flags["seed"])
    architecture = {
        "in_features": train[0].shape[1],
        "hidden": flags["hidden"],
        "out_features": count_classes(train[1]),
        "activation": flags["activation"],
    }
    model = MLP(**architecture, rng=rng)
    run = Run(flags["out"], {**flags, "architecture": architecture})
    with nullcontext() if quiet else Screen(screen) as looking_on:
        if not quiet:
            screen.print(
                f"{len(train[1])} training and {len(test[1])} test images, on {flags['backend']} "
                f"in {flags['dtype']}, {flags['optimizer']} from lr {flags['lr']:g}\n{model!r}\n"
            )
        trainer = Trainer(
            model,
            F.softmax_cross_entropy,
            optimizer(flags["optimizer"], model.parameters(), flags["lr"]),
            metrics=[accuracy],
            callbacks=[End(), LinearDecay(), run, *([looking_on] if looking_on else [])],
            rng=rng,
        )
        return trainer.fit(train, test, flags["epochs"], flags["batch_size"])


def _draw(history: "History", folder: Path, screen: "Console") -> None:
    """The curves, where there is matplotlib; it is an extra, and the rest does without it."""
    from xpnet import plots
    from xpnet.training import Run

    try:
        plots.curves(history, folder / Run.CURVES)
    except ModuleNotFoundError as error:
        screen.print(
            f"{Run.CURVES} was skipped: {error.name} is not installed. "
            "To have it next time: pip install matplotlib"
        )
