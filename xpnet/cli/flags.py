"""Flags: the name, the valid values and the help text of each.

The flags of `xpnet train` are grouped in panels, since there are many. Values are checked here, so
that an invalid one is refused in the same way on the command line and in a file.
"""

import math
import os
import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from xpnet.cli import config
from xpnet.cli.kinds import TABLES, columns, is_path, kind_of
from xpnet.layers import activation as activations
from xpnet.models import BY_NAME as MODELS
from xpnet.optimizers import BY_NAME as OPTIMIZERS
from xpnet.schedules import BY_NAME as SCHEDULES

RATES = {  # learning rates at which these learn MNIST well; the others do at their own defaults
    "sgd": 0.5,
    "momentum": 0.1,
    "nesterov": 0.1,
    "adagrad": 0.02,
    "rmsprop": 0.001,
    "nadam": 0.001,
    "lamb": 0.01,
}
TABLE_RATE = 0.003  # of adam, for an mlp that classifies rows: a table has few, so few steps
MOST = 10**9  # the largest number of epochs, or of samples per step
WIDEST = 10**12  # the largest width of a layer: no memory holds it, and NumPy raises MemoryError


# --- values ---------------------------------------------------------------------------------------


def folder(text: str) -> Path:
    """The path of a folder. An empty string, perhaps an unset variable, would mean the current folder."""
    return _path(text, "a folder")


def file(text: str) -> Path:
    """The path of a file, which is not empty either."""
    return _path(text, "a file")


def _path(text: str | os.PathLike[str], what: str) -> Path:
    try:
        possible = bool(str(text)) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # a lone surrogate, which no path can hold
        possible = False
    if not possible:
        raise typer.BadParameter(f"expected {what}, got {str(text)!r}.")
    return Path(text)


def one_of(known: Callable[[], Iterable[str]]) -> Callable[[str], str]:
    """A parser of names in lower or upper case; `known` is called when a name is parsed."""

    def name(text: str) -> str:
        names = list(known())
        if text.lower() not in names:
            raise typer.BadParameter(f"expected one of {', '.join(names)}; got {text!r}.")
        return text.lower()

    return name


FILES = f"a table, FILE{', FILE'.join(TABLES[:-1])} or FILE{TABLES[-1]}; an archive, FILE.npz"


def dataset(text: str) -> str:
    """The name of a data set, or the path of a table or of a folder of pictures."""
    from xpnet.data import DATASETS

    if is_path(text):
        file(text)
        return text  # unchanged: ./mnist is a folder, and mnist is a name
    if text.lower() not in DATASETS:
        raise typer.BadParameter(
            f"expected one of {', '.join(DATASETS)}; {FILES}; or an existing folder that has a folder of "
            f"pictures for each class; got {text!r}. Other images, in files like MNIST's, are read from a "
            "folder: --data-dir FOLDER."
        )
    return text.lower()


def table(text: str) -> str:
    """The path of a table or of a folder of pictures."""
    if text and (kind_of(text) in ("csv", "npz") or Path(text).is_dir()):
        return str(file(text))
    raise typer.BadParameter(f"expected {FILES}; or a folder of pictures; got {text!r}.")


def features(text: str) -> str:
    """Names of columns, separated by commas; a name that contains a comma is in quotes."""
    names = columns(text)
    if not names or not all(names) or len(set(names)) < len(names):
        raise typer.BadParameter(
            f"expected the names of columns, each once, separated by commas; got {text!r}."
        )
    return text


def delimiter(text: str) -> str:
    """One character, or the name of one that is hard to write in a shell."""
    names = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}
    found = names.get(text, text)
    if len(found) != 1 or found in '\r\n"\0':
        raise typer.BadParameter(f"expected one character, or tab or space; got {text!r}.")
    return found


def encoding(text: str) -> str:
    """The name of an encoding that Python has."""
    from xpnet.data._csv_encoding import codec_of

    try:
        codec_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


def decimal(text: str) -> str:
    """A decimal mark: a point or a comma."""
    found = {"point": ".", "comma": ","}.get(text, text)
    if found not in (".", ","):
        raise typer.BadParameter(f"expected . or ,; got {text!r}.")
    return found


def size(text: str) -> str:
    """A height and width: "64" or "48x64"."""
    if not _SIZE.fullmatch(text):
        raise typer.BadParameter(
            f"expected a height and width in pixels, as 64 or 48x64; got {text!r}."
        )
    return text


_SIZE = re.compile(r"[1-9]\d{0,4}(x[1-9]\d{0,4})?", re.ASCII)


def model(text: str) -> str:
    """The name of a model, or a file and a function that returns one."""
    path, colon, function = text.rpartition(":")
    if colon and path and function:
        return f"{file(path)}:{function}"
    if text.lower() not in MODELS:
        raise typer.BadParameter(
            f"expected one of {', '.join(MODELS)}, or path/to/file.py:function; got {text!r}."
        )
    return text.lower()


def widths(text: str) -> list[int]:
    """The widths of hidden layers: "80" is [80] and "256,128" is [256, 128]."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not 1 <= min(numbers) <= max(numbers) <= WIDEST:
        raise typer.BadParameter(
            f"expected a width, or widths separated by commas, as in 80 or 256,128; each from 1 to "
            f"10^12; got {text!r}."
        )
    return numbers


def positive(text: str) -> float:
    """A finite number greater than 0."""
    number = _number(text, "a number greater than 0")
    if not 0 < number < math.inf:
        raise typer.BadParameter(f"expected a number greater than 0, got {number:g}.")
    return number


def not_negative(text: str) -> float:
    """A finite number, 0 or more."""
    number = _number(text, "a number, 0 or more")
    if not 0 <= number < math.inf:
        raise typer.BadParameter(f"expected a number, 0 or more, got {number:g}.")
    return number


def share(text: str | float) -> float:
    """A number between 0 and 1."""
    number = _number(text, "a number between 0 and 1")
    if not 0 < number < 1:
        raise typer.BadParameter(f"expected a number between 0 and 1, got {number:g}.")
    return number


def degrees(text: str | float) -> float:
    """An angle, greater than 0 and at most 180."""
    number = _number(text, "an angle up to 180 degrees")
    if not 0 < number <= 180:
        raise typer.BadParameter(f"expected an angle up to 180 degrees, got {number:g}.")
    return number


def test(text: str | float) -> float | str:
    """A number between 0 and 1, or the path of a table or of a folder of pictures."""
    what = "a number between 0 and 1, or an existing table or folder of pictures"
    try:
        number = float(text)
    except ValueError:
        if is_path(str(text)):
            return str(file(str(text)))
        raise typer.BadParameter(f"expected {what}; got {text!r}.") from None
    if not 0 < number < 1:
        raise typer.BadParameter(f"expected {what}; got {number:g}.")
    return number


def plans(text: str) -> list[list[int]]:
    """The numbers of epochs for which a run was planned, each with the step at which the plan changed.

    >>> plans("3@57,6@80")
    [[3, 57], [6, 80]]
    """
    try:
        found = [[int(n) for n in part.split("@")] for part in text.split(",")]
        steps = [0, *(step for _, step in found)]
    except ValueError:
        found = []
        steps = [0]
    ordered = all(a < b for a, b in pairwise(steps))
    if not found or not ordered or min(epochs for epochs, _ in found) < 1:
        raise typer.BadParameter(
            f"expected EPOCHS@STEP, or several separated by commas, as 3@57,6@80; got {text!r}."
        )
    return found


def _number(text: str | float, what: str) -> float:
    try:
        return float(text)
    except (ValueError, OverflowError):  # a whole number above 1.8e308 overflows
        raise typer.BadParameter(f"expected {what}, got {text!r}.") from None


def schedule(text: str) -> str:
    """The name of a schedule, perhaps with options."""
    from xpnet.schedules import schedule as parsed

    try:  # with a length that every schedule fits in, since that of the training is not known yet
        parsed(text.lower(), steps=10**9, epochs=10**6)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text.lower()


# --- flags of several commands --------------------------------------------------------------------


def option(
    parser: Callable[[str], Any] | None, metavar: str, text: str, *names: str, **more: Any
) -> Any:
    """A flag whose values are parsed by `parser`."""
    return typer.Option(*names, parser=parser, metavar=metavar, help=text, **more)


BACKEND = "Library and device to compute on: numpy, cupy, cupy:1, torch:cuda, jax, auto; see xpnet doctor."
Backend = Annotated[str, typer.Option(
    envvar="XPNET_BACKEND", metavar="LIBRARY[:DEVICE]", help=BACKEND,
)]  # fmt: skip
IMAGES = "Folder with the data set's files, or with other images in files like MNIST's."
DataDir = Annotated[Path | None, option(folder, "FOLDER", IMAGES)]
RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", parser=folder, help="Run folder, as xpnet train writes it.")
]

OtherDecimal = Annotated[str | None, option(
    decimal, "MARK", "Decimal mark of the table's numbers, . or ,; by default that of the training.",
    "--decimal",
)]  # fmt: skip
TRUST = "Execute the Python code (model.py) in a run folder that somebody else wrote."
Trust = Annotated[bool, typer.Option("--trust", help=TRUST)]

# --- flags of `xpnet train` -----------------------------------------------------------------------


def _train(panel: str) -> Callable[..., Any]:
    """A function like `option`, for the flags in one panel of the help."""

    def make(*words: Any, **more: Any) -> Any:
        return option(*words, rich_help_panel=panel, **more)

    return make


DATA = "Data"
AUGMENTATION = "Augmentation of the training images"
MODEL = "Model"
LEARNING = "Learning"
MACHINE = "Device and precision"
RUN = "Run folder"

_data = _train(DATA)
_augmentation = _train(AUGMENTATION)
_model = _train(MODEL)
_learning = _train(LEARNING)
_machine = _train(MACHINE)
_run = _train(RUN)

DatasetArgument = Annotated[str | None, typer.Argument(
    parser=dataset, metavar="DATASET", show_default=False,
    help="The data set, as for --dataset; by default mnist, which comes with xpnet.",
)]  # fmt: skip
Dataset = Annotated[str | None, _data(
    dataset, "NAME|FILE|FOLDER", f"mnist, fashion-mnist, kmnist, cifar10; {FILES}; or a folder that "
    "has a folder of pictures for each class.",
    "--dataset",
)]  # fmt: skip
TrainDataDir = Annotated[Path | None, _data(folder, "FOLDER", IMAGES)]
Target = Annotated[str | None, _data(
    None, "COLUMN", "Column of the table to predict; by default the last.",
)]  # fmt: skip
Features = Annotated[str | None, _data(
    features, "COLUMNS", "Columns of the table to learn from, separated by commas; by default all "
    "others.",
)]  # fmt: skip
Drop = Annotated[str | None, _data(
    features, "COLUMNS", "Columns of the table to leave out, separated by commas.",
)]  # fmt: skip
Id = Annotated[str | None, _data(
    features, "COLUMNS", "Columns that identify the table's rows: not features, but printed by predict.",
)]  # fmt: skip
Categories = Annotated[str | None, _data(
    features, "COLUMNS", "Columns of numbers that are codes of categories, such as a postal code.",
)]  # fmt: skip
Missing = Annotated[str | None, _data(
    features, "TEXTS", "What stands for a missing value, separated by commas, as -999,unknown; besides an "
    "empty cell, NA, N/A, NaN, null, None, ?, - and #N/A.",
)]  # fmt: skip
DropMissingTarget = Annotated[bool | None, typer.Option(
    "--drop-missing-target", rich_help_panel=DATA, show_default=False,
    help="Leave out the rows of the table without a target.",
)]  # fmt: skip
Index = Annotated[str | None, _data(
    None, "COLUMN", "Column with the names of the table's rows, which is not a feature: give its name, "
    "its number from 0, or none. By default the first column if it has no name, as in files of pandas.",
)]  # fmt: skip
Header = Annotated[bool | None, typer.Option(
    "--header/--no-header", rich_help_panel=DATA, show_default=False,
    help="Whether the first row of the table has the columns' names; by default this is detected.",
)]  # fmt: skip
Delimiter = Annotated[str | None, _data(
    delimiter, "CHARACTER", "Separator of the table's columns: a character, tab, or space for any white "
    "space; by default this is detected.",
)]  # fmt: skip
Encoding = Annotated[str | None, _data(
    encoding, "NAME", "Encoding of the table: utf-8, cp1252, cp949, utf-16; by default it is guessed.",
)]  # fmt: skip
Decimal = Annotated[str | None, _data(
    decimal, "MARK", "Decimal mark of the table's numbers: a comma for 5,1; by default a point.",
)]  # fmt: skip
Size = Annotated[str | None, _data(
    size, "HEIGHTxWIDTH", "Size to which the pictures of a folder are resized, as 64 or 48x64; by "
    "default their own.",
)]  # fmt: skip
Test = Annotated[Any, _data(
    test, "SHARE|FILE", "Share of the samples that is kept for the test, or another table or folder; "
    "by default 0.2.",
)]  # fmt: skip
Validation = Annotated[float | None, _data(
    share, "SHARE", "Share of the training samples that is kept apart to decide when to stop: see --patience; "
    "by default 0.1.",
)]  # fmt: skip
Task = Annotated[str, _data(
    one_of(lambda: ("classify", "regress")), "NAME",
    "classify: predict a class; regress: predict one or several numbers.",
)]  # fmt: skip
ClassWeight = Annotated[str | None, _data(
    one_of(lambda: ("balanced",)), "balanced", "Make all classes count equally in the loss, however many samples each has.",
)]  # fmt: skip
Augment = Annotated[bool, typer.Option(
    "--augment", rich_help_panel=AUGMENTATION,
    help="What is usual for the data set: --shift 2; for fashion-mnist with --flip horizontal; for cifar10 "
    "--shift 4 --flip horizontal.",
)]  # fmt: skip
Crop = Annotated[float | None, _augmentation(
    share, "SHARE", "Cut out a random part, of at least this share of the image, and enlarge it.",
)]  # fmt: skip
Rotate = Annotated[float | None, _augmentation(
    degrees, "DEGREES", "Rotate by a random angle, up to so many degrees in both directions.",
)]  # fmt: skip
Shift = Annotated[int | None, typer.Option(
    metavar="PIXELS", min=1, max=MOST, rich_help_panel=AUGMENTATION,
    help="Shift at random, by up to so many pixels in all directions.",
)]  # fmt: skip
Flip = Annotated[str | None, _augmentation(
    one_of(lambda: ("horizontal", "vertical", "both")), "DIRECTION",
    "Mirror each image with a probability of one half: horizontal (left for right), vertical, or both.",
)]  # fmt: skip
ColorJitter = Annotated[float | None, _augmentation(
    share, "AMOUNT", "Change brightness, contrast and saturation at random, by up to this share.",
)]  # fmt: skip
Model = Annotated[str, _model(
    model, "NAME|FILE:FUNCTION",
    f"{', '.join(MODELS)}; or path/to/file.py:function, function(input_shape, outputs) -> Layer.",
)]  # fmt: skip
Hidden = Annotated[Any, _model(
    widths, "WIDTHS", "Widths of the mlp's hidden layers, as 256,128; by default 400.",
)]  # fmt: skip
Activation = Annotated[str | None, _model(
    one_of(lambda: activations.BY_NAME), "NAME",
    "Activation function of the mlp's hidden layers; by default relu for images, gelu for tables.",
)]  # fmt: skip
Epochs = Annotated[int | None, typer.Option(
    metavar="NUMBER", min=1, max=MOST, rich_help_panel=LEARNING,
    help="Passes through the data; by default 10 for images and 100 for a table.",
)]  # fmt: skip
Patience = Annotated[int | None, typer.Option(
    metavar="NUMBER", min=0, max=MOST, rich_help_panel=LEARNING,
    help="Stop after so many epochs in which the loss of the validation has not fallen, and keep the weights "
    "of the best epoch; 0 never stops. By default 10 for a table of 100 training rows or more, else 0.",
)]  # fmt: skip
EarlierEpochs = Annotated[Any, _learning(
    plans, "EPOCHS@STEP", "For a resumed run: the earlier --epochs, and the step until which it held.",
    hidden=True,
)]  # fmt: skip
BatchSize = Annotated[int | None, typer.Option(
    metavar="NUMBER", min=1, max=MOST, rich_help_panel=LEARNING,
    help="Samples per step; by default 100 images or 32 rows, or all if there are fewer.",
)]  # fmt: skip
Optimizer = Annotated[str | None, _learning(
    one_of(lambda: OPTIMIZERS), "NAME",
    f"{', '.join(OPTIMIZERS)}; by default one that suits the model and the data.",
)]  # fmt: skip
Lr = Annotated[float | None, _learning(
    positive, "NUMBER", "Learning rate; by default one that suits the optimizer.",
)]  # fmt: skip
Schedule = Annotated[str, _learning(
    schedule, "NAME",
    f"How the learning rate changes: {', '.join(SCHEDULES)} (linear falls to 0); with options, as "
    "step:size=5,gamma=0.5.",
)]  # fmt: skip
WeightDecay = Annotated[float | None, _learning(
    not_negative, "NUMBER",
    "Weight decay, which pulls weights towards 0; by default the optimizer's own: 0.01 for adamw, else 0.",
)]  # fmt: skip
Clip = Annotated[float | None, _learning(
    positive, "NORM", "Largest norm of all gradients together; larger gradients are scaled down to it.",
)]  # fmt: skip
Seed = Annotated[int, typer.Option(
    metavar="NUMBER", min=0, max=2**128 - 1, rich_help_panel=LEARNING, help="Seed of the initial weights, the batches, and the split into training and test.",
)]  # fmt: skip
TrainBackend = Annotated[str, typer.Option(
    envvar="XPNET_BACKEND", metavar="LIBRARY[:DEVICE]", help=BACKEND, rich_help_panel=MACHINE,
)]  # fmt: skip
Dtype = Annotated[str, _machine(
    one_of(lambda: ("float32", "float64")), "NAME", "Data type of the weights: float32 or float64.",
)]  # fmt: skip
Precision = Annotated[str | None, _machine(
    one_of(lambda: ("float32", "float16", "bfloat16")), "NAME",
    "Data type to compute in, while the weights stay float32: float32, float16 or bfloat16.",
)]  # fmt: skip
Compile = Annotated[bool, typer.Option(
    "--compile/--no-compile", rich_help_panel=MACHINE,
    help="Record the training step in its first calls, and replay it without Python.",
)]  # fmt: skip
Compression = Annotated[str | None, _machine(
    one_of(lambda: ("float16", "bfloat16")), "NAME",
    "With mpiexec: send gradients in 16 bits, as float16 or bfloat16.",
)]  # fmt: skip
Timeout = Annotated[float, _machine(
    positive, "SECONDS", "With mpiexec: how long a rank waits for another before all of them end.",
)]  # fmt: skip
Out = Annotated[Path | None, _run(
    folder, "FOLDER", "New or empty folder for the run; by default runs/<data>-<time>.",
)]  # fmt: skip
Resume = Annotated[Path | None, _run(
    folder, "RUN",
    "Resume this run as if it had not been interrupted; --epochs may ask for more epochs.",
    is_eager=True, callback=config.from_run,
)]  # fmt: skip
Config = Annotated[Path | None, _run(
    file, "FILE.toml", "Read flags from this file; those on the command line take precedence.",
    is_eager=True, callback=config.from_file,
)]  # fmt: skip
TrainTrust = Annotated[bool, typer.Option("--trust", help=TRUST, rich_help_panel=RUN)]
TensorBoard = Annotated[bool, typer.Option(
    "--tensorboard", help="Write event files for TensorBoard as well.", rich_help_panel=RUN,
)]  # fmt: skip
Quiet = Annotated[bool, typer.Option(
    "--quiet", help="Print the result only.", rich_help_panel=RUN,
)]  # fmt: skip
