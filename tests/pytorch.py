"""What xpnet has of PyTorch, and every deliberate difference with its reason: docs/pytorch.md.

    python -m tests.pytorch > docs/pytorch.md

`tests/test_pytorch.py` compares names, order and defaults of all parameters, and computes each pair once
with its defaults. What differs there and not here, or here and not there, is an error.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xpnet import schedules as S

# --- the pairs ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """One thing in both libraries.

    Attributes
    ----------
    ours, theirs : str
        Paths from `xpnet` and from `torch`.
    arguments : tuple
        The options that have no default; all others have theirs when the numbers are compared.
    inputs : tuple of arrays
    renamed : tuple of (str, str)
        The parameters that have another name: ours, and PyTorch's.
    """

    ours: str
    theirs: str
    arguments: tuple[Any, ...] = ()
    inputs: tuple[Any, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.ours


def grid(*shape: int) -> Any:
    """Numbers between -1 and 1, no two of which are equal."""
    return np.sin(1.7 * np.arange(1, np.prod(shape) + 1)).reshape(shape).astype("float32")


def shares(*shape: int) -> Any:
    """Rows of probabilities."""
    e = np.exp(grid(*shape))
    return (e / e.sum(axis=-1, keepdims=True)).astype("float32")


CLASSES = np.asarray([2, 0, 1])
ROWS = grid(3, 4)
SEQUENCE = grid(5, 2, 4)

LAYERS = [
    Pair("Affine", "nn.Linear", (4, 3), (ROWS,)),
    Pair("Conv1d", "nn.Conv1d", (2, 4, 3), (grid(2, 2, 7),)),
    Pair("Conv2d", "nn.Conv2d", (2, 4, 3), (grid(2, 2, 6, 5),)),
    Pair("ConvTranspose1d", "nn.ConvTranspose1d", (2, 4, 3), (grid(2, 2, 7),)),
    Pair("ConvTranspose2d", "nn.ConvTranspose2d", (2, 4, 3), (grid(2, 2, 6, 5),)),
    Pair("AvgPool1d", "nn.AvgPool1d", (2,), (grid(2, 2, 7),)),
    Pair("AvgPool2d", "nn.AvgPool2d", (2,), (grid(2, 2, 6, 5),)),
    Pair("MaxPool1d", "nn.MaxPool1d", (2,), (grid(2, 2, 7),)),
    Pair("MaxPool2d", "nn.MaxPool2d", (2,), (grid(2, 2, 6, 5),)),
    Pair("BatchNorm1d", "nn.BatchNorm1d", (4,), (ROWS,)),
    Pair("BatchNorm2d", "nn.BatchNorm2d", (2,), (grid(2, 2, 6, 5),)),
    Pair("GroupNorm", "nn.GroupNorm", (2, 4), (grid(2, 4, 3),)),
    Pair("LayerNorm", "nn.LayerNorm", (4,), (ROWS,)),
    Pair("Embedding", "nn.Embedding", (5, 3), (CLASSES,)),
    Pair("Dropout", "nn.Dropout", (), (ROWS,)),
    Pair("Flatten", "nn.Flatten", (), (grid(2, 2, 6, 5),)),
    Pair("RNN", "nn.RNN", (4, 3), (SEQUENCE,)),
    Pair("LSTM", "nn.LSTM", (4, 3), (SEQUENCE,)),
    Pair("GRU", "nn.GRU", (4, 3), (SEQUENCE,)),
    Pair("MultiheadAttention", "nn.MultiheadAttention", (4, 2), (SEQUENCE,) * 3),
    Pair("TransformerEncoderLayer", "nn.TransformerEncoderLayer", (4, 2), (SEQUENCE,)),
    Pair("ELU", "nn.ELU", (), (ROWS,)),
    Pair("GELU", "nn.GELU", (), (ROWS,)),
    Pair("LeakyReLU", "nn.LeakyReLU", (), (ROWS,)),
    Pair("LogSoftmax", "nn.LogSoftmax", (-1,), (ROWS,)),
    Pair("ReLU", "nn.ReLU", (), (ROWS,)),
    Pair("SiLU", "nn.SiLU", (), (ROWS,)),
    Pair("Sigmoid", "nn.Sigmoid", (), (ROWS,)),
    Pair("Softmax", "nn.Softmax", (-1,), (ROWS,)),
    Pair("Softplus", "nn.Softplus", (), (ROWS,)),
    Pair("Tanh", "nn.Tanh", (), (ROWS,)),
]

X = ("x", "input")
LOSS = (("y", "input"), ("t", "target"))
SCORES = (X, ("t", "target"))
MEAN_AND_VAR = (X, ("mean", "running_mean"), ("var", "running_var"))

FUNCTIONS = [
    Pair("F.relu", "nn.functional.relu", (), (ROWS,), (X,)),
    Pair("F.leaky_relu", "nn.functional.leaky_relu", (), (ROWS,), (X,)),
    Pair("F.elu", "nn.functional.elu", (), (ROWS,), (X,)),
    Pair("F.gelu", "nn.functional.gelu", (), (ROWS,), (X,)),
    Pair("F.silu", "nn.functional.silu", (), (ROWS,), (X,)),
    Pair("F.softplus", "nn.functional.softplus", (), (ROWS,), (X,)),
    Pair("F.sigmoid", "nn.functional.sigmoid", (), (ROWS,), (X,)),
    Pair("F.tanh", "nn.functional.tanh", (), (ROWS,), (X,)),
    Pair("F.softmax", "nn.functional.softmax", (-1,), (ROWS,), (X, ("axis", "dim"))),
    Pair("F.log_softmax", "nn.functional.log_softmax", (-1,), (ROWS,), (X, ("axis", "dim"))),
    Pair("F.linear", "nn.functional.linear", (), (ROWS, grid(4, 3)), (X,)),
    Pair("F.conv", "nn.functional.conv2d", (), (grid(2, 2, 6, 5), grid(4, 2, 3, 3)), (X,)),
    Pair(
        "F.conv_transpose",
        "nn.functional.conv_transpose2d",
        (),
        (grid(2, 2, 6, 5), grid(2, 4, 3, 3)),
        (X,),
    ),
    Pair("F.avg_pool", "nn.functional.avg_pool2d", (2,), (grid(2, 2, 6, 5),), (X,)),
    Pair("F.max_pool", "nn.functional.max_pool2d", (2,), (grid(2, 2, 6, 5),), (X,)),
    Pair(
        "F.batch_norm",
        "nn.functional.batch_norm",
        (),
        (ROWS, grid(4), shares(4)),
        MEAN_AND_VAR,
    ),
    Pair("F.group_norm", "nn.functional.group_norm", (2,), (grid(2, 4, 3),), (X,)),
    Pair("F.layer_norm", "nn.functional.layer_norm", ((4,),), (ROWS,), (X,)),
    Pair("F.embedding", "nn.functional.embedding", (), (CLASSES, ROWS), (X,)),
    Pair("F.dropout", "nn.functional.dropout", (0.0,), (ROWS,), (X,)),
    Pair(
        "F.scaled_dot_product_attention",
        "nn.functional.scaled_dot_product_attention",
        (),
        (grid(2, 5, 4),) * 3,
    ),
    Pair("F.logsumexp", "logsumexp", (-1,), (ROWS,), (X, ("axis", "dim"), ("keepdims", "keepdim"))),
    Pair("F.mean_squared_error", "nn.functional.mse_loss", (), (ROWS, shares(3, 4)), LOSS),
    Pair("F.l1_loss", "nn.functional.l1_loss", (), (ROWS, shares(3, 4)), LOSS),
    Pair("F.huber_loss", "nn.functional.huber_loss", (), (3 * ROWS, shares(3, 4)), LOSS),
    Pair(
        "F.binary_cross_entropy",
        "nn.functional.binary_cross_entropy",
        (),
        (shares(3, 4), abs(ROWS)),
        LOSS,
    ),
    Pair(
        "F.binary_cross_entropy_with_logits",
        "nn.functional.binary_cross_entropy_with_logits",
        (),
        (ROWS, abs(ROWS)),
        SCORES,
    ),
    Pair("F.softmax_cross_entropy", "nn.functional.cross_entropy", (), (ROWS, CLASSES), SCORES),
    Pair("F.hinge_loss", "nn.functional.multi_margin_loss", (), (ROWS, CLASSES), SCORES),
    Pair("F.kl_divergence", "nn.functional.kl_div", (), (ROWS, shares(3, 4)), LOSS),
]

PARAMETERS = (("parameters", "params"),)

OPTIMIZERS = [
    Pair("SGD", "optim.SGD", renamed=PARAMETERS),
    Pair("Momentum", "optim.SGD", renamed=PARAMETERS),
    Pair("Nesterov", "optim.SGD", renamed=PARAMETERS),
    Pair("Adagrad", "optim.Adagrad", renamed=PARAMETERS),
    Pair("Adadelta", "optim.Adadelta", renamed=PARAMETERS),
    Pair("RMSprop", "optim.RMSprop", renamed=PARAMETERS),
    Pair("Adam", "optim.Adam", renamed=PARAMETERS),
    Pair("AdamW", "optim.AdamW", renamed=PARAMETERS),
    Pair("NAdam", "optim.NAdam", renamed=PARAMETERS),
    Pair("RAdam", "optim.RAdam", renamed=PARAMETERS),
    Pair("clip_grad_norm", "nn.utils.clip_grad_norm_"),
    Pair("clip_grad_value", "nn.utils.clip_grad_value_"),
]


class Formula(NamedTuple):
    """A schedule or an initializer: the numbers of PyTorch's, by arguments of its own."""

    ours: str
    theirs: str
    our_call: Callable[..., Any]
    their_call: Callable[
        ..., Any
    ]  # of the module and the optimizer, or of the module and the tensor


SCHEDULES = [
    Formula("step_decay(3)", "StepLR(o, 3)", S.step_decay(3), lambda T, o: T.StepLR(o, 3)),
    Formula(
        "multi_step([2, 5])",
        "MultiStepLR(o, [2, 5])",
        S.multi_step([2, 5]),
        lambda T, o: T.MultiStepLR(o, [2, 5]),
    ),
    Formula(
        "exponential(0.9)",
        "ExponentialLR(o, 0.9)",
        S.exponential(0.9),
        lambda T, o: T.ExponentialLR(o, 0.9),
    ),
    Formula(
        "linear(8)",
        "LinearLR(o, 1.0, 0.0, 8)",
        S.linear(8),
        lambda T, o: T.LinearLR(o, 1.0, 0.0, 8),
    ),
    Formula(
        "cosine(8)",
        "CosineAnnealingLR(o, 8)",
        S.cosine(8),
        lambda T, o: T.CosineAnnealingLR(o, 8),
    ),
    Formula(
        "cosine_restarts(3)",
        "CosineAnnealingWarmRestarts(o, 3)",
        S.cosine_restarts(3),
        lambda T, o: T.CosineAnnealingWarmRestarts(o, 3),
    ),
    Formula(
        "one_cycle(8)",
        "OneCycleLR(o, lr, 8)",
        S.one_cycle(8),
        lambda T, o: T.OneCycleLR(o, 1.0, 8, cycle_momentum=False),
    ),
]

INITIALIZERS = [
    ("glorot_normal", "xavier_normal_(w)", lambda T, w: T.xavier_normal_(w)),
    ("glorot_uniform", "xavier_uniform_(w)", lambda T, w: T.xavier_uniform_(w)),
    (
        "he_normal",
        'kaiming_normal_(w, nonlinearity="relu")',
        lambda T, w: T.kaiming_normal_(w, nonlinearity="relu"),
    ),
    (
        "he_uniform",
        'kaiming_uniform_(w, nonlinearity="relu")',
        lambda T, w: T.kaiming_uniform_(w, nonlinearity="relu"),
    ),
    (
        "lecun_normal",
        'kaiming_normal_(w, nonlinearity="linear")',
        lambda T, w: T.kaiming_normal_(w, nonlinearity="linear"),
    ),
    (
        "lecun_uniform",
        'kaiming_uniform_(w, nonlinearity="linear")',
        lambda T, w: T.kaiming_uniform_(w, nonlinearity="linear"),
    ),
    ("normal", "normal_(w, std=0.01)", lambda T, w: T.normal_(w, std=0.01)),
    (
        "uniform(bound=0.1)",
        "uniform_(w, -0.1, 0.1)",
        lambda T, w: T.uniform_(w, -0.1, 0.1),
    ),
]

# --- the differences ------------------------------------------------------------------------------

ALL_LAYERS = tuple(pair.ours for pair in LAYERS)
ALL_FUNCTIONS = tuple(pair.ours for pair in FUNCTIONS)
ALL_OPTIMIZERS = tuple(pair.ours for pair in OPTIMIZERS)
WINDOWS = ("Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d")
RECURRENT = ("RNN", "LSTM", "GRU")


class Difference(NamedTuple):
    """Parameters of a few pairs that differ in one way, for one reason."""

    where: tuple[str, ...]  # ours; several with one reason
    parameters: tuple[str, ...]
    why: str


class Default(NamedTuple):
    """A parameter that has another default."""

    where: tuple[str, ...]
    parameter: str
    ours: Any
    theirs: Any
    why: str


class Call(NamedTuple):
    """Layers that are called with other arguments."""

    where: tuple[str, ...]
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    why: str


REQUIRED = "no default"

NAMES = {
    "Affine": "the name in the lessons of the book, and that of the transformation",
    "Momentum": "`SGD` with momentum, by its name in the lessons of the book",
    "Nesterov": "`SGD` with `nesterov=True`, likewise",
    "clip_grad_norm": "PyTorch's underscore marks functions that change tensors in place; no name here has one",
    "clip_grad_value": "likewise",
    "F.conv": "one function for signals, images and volumes: the shape of the kernel says which",
    "F.conv_transpose": "likewise",
    "F.avg_pool": "likewise: the shape of x says which",
    "F.max_pool": "likewise",
    "F.mean_squared_error": "in words, as in Keras and scikit-learn",
    "F.softmax_cross_entropy": "it contains the softmax, which the name says",
    "F.hinge_loss": "with the targets -1 and 1 it is the loss of a support vector machine too",
    "F.kl_divergence": "in words; `F.special.kl_div` is another function, that of SciPy",
}
"""Why the last part of the name is another one."""

LEFT_OUT = [
    Difference(
        ALL_LAYERS,
        ("device", "dtype"),
        "parameters are created where `xpnet.use(library, dtype)` says; `layer.to(device)` moves them",
    ),
    Difference(
        (*ALL_LAYERS, *ALL_FUNCTIONS),
        ("inplace",),
        "a derivative may need the old numbers: layers and functions compute new arrays",
    ),
    Difference(
        ALL_OPTIMIZERS,
        ("foreach", "fused", "capturable", "differentiable"),
        "how PyTorch computes the step, not what the step is",
    ),
    Difference(ALL_OPTIMIZERS, ("maximize",), "minimize the negative: `(-gain).backward()`"),
    Difference(("Momentum", "Nesterov"), ("nesterov",), "the name says it; `SGD` has it"),
    Difference(("Nesterov",), ("dampening",), "Nesterov's momentum is defined without dampening"),
    Difference(
        ("clip_grad_norm",),
        ("error_if_nonfinite",),
        "check the norm that is returned: it is then infinite or NaN",
    ),
    Difference(WINDOWS, ("padding_mode",), "zeros only; pad before with `np.pad` for others"),
    Difference(("AvgPool2d", "F.avg_pool"), ("divisor_override",), "multiply the result instead"),
    Difference(
        ("MaxPool1d", "MaxPool2d", "F.max_pool"), ("return_indices",), "a layer returns one array"
    ),
    Difference(
        ("BatchNorm1d", "BatchNorm2d", "GroupNorm"),
        ("bias",),
        "`affine=False` leaves out both weight and bias",
    ),
    Difference(
        ("Embedding", "F.embedding"),
        ("max_norm", "norm_type", "scale_grad_by_freq", "sparse"),
        "rarely used; they change the weight, or its gradient, behind the optimizer",
    ),
    Difference(("Embedding",), ("_weight", "_freeze"), "private in PyTorch"),
    Difference(("LSTM",), ("proj_size",), "no smaller state than the output: ONNX has none either"),
    Difference(
        ("MultiheadAttention",),
        ("add_bias_kv", "add_zero_attn"),
        "not in the paper, and rarely used",
    ),
    Difference(
        ALL_FUNCTIONS,
        ("size_average", "reduce", "reduction"),
        "a loss is the mean; for another, write its formula",
    ),
    Difference(
        (
            "F.binary_cross_entropy",
            "F.huber_loss",
            "F.l1_loss",
            "F.mean_squared_error",
            "F.hinge_loss",
        ),
        ("weight",),
        "a weighted mean is a formula of one line",
    ),
    Difference(("F.hinge_loss",), ("p",), "the power is 1, as in the definition"),
    Difference(
        ("F.softmax", "F.log_softmax"), ("dtype", "_stacklevel"), "`F.astype(x, dtype)` before"
    ),
    Difference(
        ("F.batch_norm",),
        ("training", "momentum"),
        "a function changes no arrays: `BatchNorm2d` keeps the averages",
    ),
    Difference(("F.dropout",), ("training",), "`Dropout` knows whether it is in training"),
    Difference(
        ("F.scaled_dot_product_attention",),
        ("enable_gqa",),
        "repeat the keys: `F.repeat(key, n, axis=1)`",
    ),
    Difference(("F.logsumexp",), ("out",), "functions compute new arrays"),
]
"""Parameters that PyTorch has, and xpnet does not."""

ADDED = [
    Difference(
        ("Affine", *WINDOWS),
        ("weight",),
        'the initializer of the weight: "he_normal", or another of `xpnet.layers.initializers`',
    ),
    Difference(
        (
            *("Affine", *WINDOWS, "Embedding", "Dropout", *RECURRENT, "MultiheadAttention"),
            *("TransformerEncoderLayer", "F.dropout", "F.scaled_dot_product_attention"),
        ),
        ("rng",),
        "a seed, or a generator of NumPy's, for this layer or call only",
    ),
    Difference(("BatchNorm1d", "BatchNorm2d"), ("sync",), "the mean over all machines"),
    Difference(
        ("AvgPool1d", "AvgPool2d", "F.avg_pool"), ("dilation",), "as for maxima, and as in ONNX"
    ),
    Difference(("GRU",), ("reset_after",), "False: the formula of the paper"),
    Difference(
        ("SGD", "Momentum", "Nesterov", "Adagrad", "Adadelta", "RMSprop"),
        ("decoupled_weight_decay",),
        "as PyTorch's Adam has it: the decay of AdamW",
    ),
    Difference(("F.dropout",), ("mask",), "the elements that remain, if they are drawn elsewhere"),
    Difference(
        ("F.scaled_dot_product_attention",),
        ("softcap", "window"),
        "as in Gemma 2 and in sliding-window attention",
    ),
]
"""Parameters that only xpnet has: they are passed by name."""

DEFAULTS = [
    Default(("Momentum", "Nesterov"), "lr", 0.01, 0.001, "as in the book, and in Keras"),
    Default(("Momentum", "Nesterov"), "momentum", 0.9, 0, "without momentum it would be `SGD`"),
    Default(
        ("Softmax", "LogSoftmax", "F.softmax", "F.log_softmax"),
        "dim",
        -1,
        None,
        "PyTorch's guesses an axis by the number of axes, and warns",
    ),
    Default(("F.logsumexp",), "dim", None, REQUIRED, "all axes, as in SciPy"),
    Default(
        ("F.softmax_cross_entropy",),
        "ignore_index",
        None,
        -100,
        "no class is ignored that the caller has not named",
    ),
    Default(("F.batch_norm",), "running_mean", None, REQUIRED, "those of x itself, as in training"),
    Default(("F.batch_norm",), "running_var", None, REQUIRED, "likewise"),
    Default(
        ("TransformerEncoderLayer",),
        "activation",
        "relu",
        "the function",
        "a name can be printed and saved",
    ),
]
"""Parameters, by PyTorch's names, that have another default."""

RENAMED = {
    "input": "the word of the array API standard is x; a loss has estimates y, or scores x",
    "target": "t, as in the book",
    "dim": "axis, in functions: the word of the standard. Layers have PyTorch's, dim",
    "keepdim": "keepdims: the word of the standard",
    "running_mean": "a function does not know where a mean comes from",
    "running_var": "likewise",
    "params": "a word in full; it comes first in both",
}
"""Parameters, by PyTorch's names, that have another name."""

CALLS = [
    Call(
        ("RNN", "LSTM", "GRU"),
        ("x", "lengths", "*states"),
        ("input", "hx"),
        "lengths are given more often than states, and replace a packed sequence; each state is an argument",
    ),
    Call(
        ("MultiheadAttention",),
        ("query", "key", "value", "mask"),
        (
            *("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask"),
            *("average_attn_weights", "is_causal"),
        ),
        "one mask, which broadcasts; the other options are passed by name",
    ),
    Call(
        ("TransformerEncoderLayer",),
        ("x", "mask"),
        ("src", "src_mask", "src_key_padding_mask", "is_causal"),
        "likewise",
    ),
    Call(
        ("ConvTranspose1d", "ConvTranspose2d"),
        ("x",),
        ("input", "output_size"),
        "the size follows from `output_padding`, an option of the layer",
    ),
]
"""Layers that are called with other arguments by position."""

VALUES = {
    "Initial weights.": "`Affine` and the convolutions start with He's normal numbers and a bias of 0, which keep the size of "
    "signals through ReLU. PyTorch's start uniform in plus or minus 1 / sqrt(fan_in), weight and bias. "
    "`Embedding`, `RNN`, `LSTM`, `GRU` and the projections of `MultiheadAttention` start as PyTorch's, except the last "
    "projection, which is Glorot's like the others.",
    "The weight of `Affine` and `F.linear`": "has the shape (in_features, out_features), as in the book: `x @ weight`. "
    "[Hand over](hand-over.md) transposes it in both directions.",
    "`F.kl_divergence`": 'is PyTorch\'s with `reduction="batchmean"`, which is the mathematical definition.',
    "`F.binary_cross_entropy`": "clips probabilities to 1e-7 away from 0 and 1; PyTorch clips the logarithms to -100.",
    "`F.hinge_loss`": "with targets -1 and 1 has no equal in PyTorch; with class numbers it is `multi_margin_loss`.",
    "`MultiheadAttention`": "takes True where a key is seen, as PyTorch's function does, and so does `TransformerEncoderLayer`. In "
    "PyTorch's layers True means that it is not. It returns the output alone, and with `need_weights=True` the weights too.",
    "`LSTM`": "returns `output, h_n, c_n`; PyTorch's returns `output, (h_n, c_n)`.",
    "Optimizers": "have `groups`, `add_group` and `lr`; PyTorch's have `param_groups` and `add_param_group`. `zero_grad()` always "
    "sets the gradients to None, and `step()` takes no closure.",
    "`TransformerEncoder`": "is given its layers; PyTorch's copies one.",
    "`Reshape`": "is Keras's; PyTorch has `Unflatten`.",
}
"""What differs in numbers, shapes or use."""


# --- the page -------------------------------------------------------------------------------------

HEAD = """\
# xpnet for people who know PyTorch

Layers, optimizers and losses have PyTorch's names, parameters and defaults, in PyTorch's order. Everything that differs is on this page, with
its reason. The page is generated by `python -m tests.pytorch`; a test compares the signatures of both libraries, computes each pair
with its defaults, and fails where a difference is not listed here, or is listed but gone.

Weights go from one library to the other: [Hand over](hand-over.md). A name of PyTorch's that xpnet does not have raises an error with what to
write: `xpnet.Linear`, `F.cross_entropy`, `x.view`.

What only xpnet has is passed by name, so an argument by position means what it means in PyTorch.
"""


def table(head: str, rows: list[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    titles = head.split(" | ")
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def code(names: tuple[str, ...]) -> str:
    """The names as code, for a cell."""
    groups = {
        ALL_LAYERS: "all layers",
        ALL_FUNCTIONS: "functions",
        ALL_OPTIMIZERS: "optimizers",
        (*ALL_LAYERS, *ALL_FUNCTIONS): "all layers and functions",
    }
    if names in groups:
        return groups[names]
    return ", ".join(f"`{name}`" for name in names)


def sections() -> Iterator[str]:
    """The sections of the page."""
    theirs = {pair.ours: pair.theirs for pair in [*LAYERS, *FUNCTIONS, *OPTIMIZERS]}
    yield "## Other names\n"
    names = [(f"`{ours}`", f"`{theirs[ours]}`", why) for ours, why in NAMES.items()]
    yield table("xpnet | PyTorch | why", names)
    yield "## Parameters with another name\n"
    names = [
        (f"`{name}`", f"`{theirs}`", RENAMED[theirs])
        for theirs in RENAMED
        for name in sorted(
            {a for pair in [*FUNCTIONS, *OPTIMIZERS] for a, b in pair.renamed if b == theirs}
        )
    ]
    yield table("xpnet | PyTorch | why", names)
    yield "## Other defaults\n"
    rows = [
        (f"`{x.parameter}`", code(x.where), str(x.ours), str(x.theirs), x.why) for x in DEFAULTS
    ]
    yield table("parameter | of | xpnet | PyTorch | why", rows)
    for title, differences in (
        ("What PyTorch has, and xpnet does not", LEFT_OUT),
        ("What only xpnet has", ADDED),
    ):
        yield f"## {title}\n"
        rows = [(code(x.parameters), code(x.where), x.why) for x in differences]
        yield table("parameter | of | why", rows)
    yield "## Calls of layers\n"
    calls = [
        (code(x.where), *(f"`layer({', '.join(names)})`" for names in (x.ours, x.theirs)), x.why)
        for x in CALLS
    ]
    yield table("layer | xpnet | PyTorch | why", calls)
    yield "## Values, shapes and use\n"
    yield "\n".join(f"- **{what}** {text}" for what, text in VALUES.items()) + "\n"
    yield "## Schedules\n"
    yield (
        "A schedule is a function of the step that returns the factor of the learning rate. It has its own words (`steps`, `start`,\n"
        "`end`) and the values of PyTorch's schedulers, with `o` for the optimizer:\n"
    )
    yield table("xpnet | PyTorch", [(f"`{x.ours}`", f"`{x.theirs}`") for x in SCHEDULES])
    yield (
        "`reduce_on_plateau(losses)`, a function of the history, has the options and defaults of `ReduceLROnPlateau`, apart from `eps`, by name; its `least` is\n"
        "a factor, where PyTorch's `min_lr` is a rate.\n"
    )
    yield "## Initializers\n"
    yield (
        "An initializer is a function of the shape that returns an array, by the names of Keras and JAX; the numbers have the distribution of\n"
        "PyTorch's. `zeros` and `ones` are `zeros_` and `ones_`; `uniform` has no default, where PyTorch's are 0 and 1.\n"
    )
    yield table(
        "xpnet | PyTorch", [(f"`{ours}`", f"`{theirs}`") for ours, theirs, _ in INITIALIZERS]
    )


def page() -> str:
    """docs/pytorch.md."""
    return "\n".join([HEAD, *sections()])


if __name__ == "__main__":
    sys.stdout.write(page())
