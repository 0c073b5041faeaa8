"""Every layer, one row each (or several, for its options): the cases of the tests of all layers.

test_contract.py puts each row through what all layers have to do, on every backend;
test_against_torch.py compares each with PyTorch's layer of that name. A layer that is exported and
has no row fails a test.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from xpnet import layers as L


@dataclass(frozen=True)
class Integers:
    """An input of integers from 0 to below."""

    shape: tuple[int, ...]
    below: int


@dataclass(frozen=True)
class Case:
    """One row.

    `build(s)` makes the layer and `inputs(s)` the shapes of its inputs, from sizes `s`, each of
    them between the bounds in `sizes`; the contract takes the upper ones.
    """

    build: Callable[[Any], L.Layer]
    inputs: Callable[[Any], tuple[Any, ...]]
    sizes: dict[str, tuple[int, int]]
    torch: Callable[[Any, Any], Any] | None = None  # (torch.nn, sizes): PyTorch's counterpart
    call: Callable[..., Any] | None = None  # (module, *tensors), where it is called in another way
    rename: Callable[[dict[str, Any]], dict[str, Any]] = dict  # our state to PyTorch's
    # Shapes that are wrong, each with what the message says was expected.
    wrong: tuple[tuple[tuple[int, ...], str], ...] = ()
    modes: tuple[str, ...] = ("train", "eval")  # in which PyTorch's layer computes the same
    batch: int | None = 0  # the axis of the batch in inputs and outputs

    def at(self, **sizes: int) -> SimpleNamespace:
        """The sizes; for those that are not given, the upper bound."""
        return SimpleNamespace(**{name: high for name, (_, high) in self.sizes.items()} | sizes)

    def layer(self) -> L.Layer:
        return self.build(self.at())

    def hosts(self, seed: int = 0, s: Any = None, **sizes: int) -> list[Any]:
        """Inputs, on the host: normal numbers in float64, or integers."""
        rng = np.random.default_rng(seed)
        return [
            rng.integers(0, spec.below, spec.shape)
            if isinstance(spec, Integers)
            else rng.normal(size=spec)
            for spec in self.inputs(s or self.at(**sizes))
        ]


def transpose_weights(state: dict[str, Any]) -> dict[str, Any]:
    """The weight of PyTorch's Linear is the transpose of an Affine's."""
    transposed = {}
    for name, value in state.items():
        is_matrix = name.rpartition(".")[2] == "weight" and value.ndim == 2
        transposed[name] = value.T if is_matrix else value
    return transposed


def without_layers(state: dict[str, Any]) -> dict[str, Any]:
    """PyTorch's Sequential numbers its layers, and that is their name."""
    return {name.replace("layers.", ""): v for name, v in transpose_weights(state).items()}


ROWS = {"n": (1, 4), "d": (1, 5)}
# What is normalized to mean 0 and variance 1 is of six numbers or more: of two the gradient is 0
# but for rounding, and of few that happen to be near each other it is a small difference of large
# numbers, in float32 not good to 1e-5 in PyTorch either.
IMAGES = {"n": (6, 7), "c": (1, 4), "h": (1, 5), "w": (1, 4)}
SERIES = {"n": (6, 7), "c": (1, 4), "l": (1, 6)}
WIDE = {"n": (1, 3), "c": (1, 2), "h": (5, 7), "w": (5, 6)}
STEPS = {"l": (1, 4), "n": (1, 2), "d": (1, 3), "m": (1, 3)}
LONG = {"n": (1, 3), "c": (1, 2), "l": (5, 8)}
KERNELS = {"k": (1, 3), "stride": (1, 3), "g": (1, 2), "m": (1, 2)}
POOLS = {"k": (1, 3), "stride": (1, 3), "pad": (0, 1), "ceil": (0, 1)}
DEEP = {"layers": (1, 2), "both": (0, 1), "bias": (0, 1)}


def rows(s):
    return ((s.n, s.d),)


def images(s):
    return ((s.n, s.c, s.h, s.w),)


def series(s):
    return ((s.n, s.c, s.l),)


def steps(s):
    return ((s.l, s.n, s.d),)


def elementwise(ours, theirs=None):
    """A layer that takes any shape."""
    return Case(lambda s: ours(), rows, ROWS, torch=theirs and (lambda nn, s: theirs(nn)))


def windowed(name, given, inputs, sizes, **others):
    """A layer, created with the names of PyTorch's arguments."""
    own = {"rng": 0} if name.startswith("Conv") else {}
    return Case(
        lambda s: getattr(L, name)(**given(s), **own),
        inputs,
        sizes,
        torch=lambda nn, s: getattr(nn, name)(**given(s)),
        **others,
    )


def kernels(s, size):
    """What all convolutions take."""
    channels = {"in_channels": s.g * s.c, "out_channels": s.g * s.m}
    return channels | {"kernel_size": size, "stride": s.stride, "groups": s.g}


def pools(s, size):
    """The options of all poolings: padding is at most half of the kernel."""
    around = {"padding": min(s.pad, s.k // 2), "ceil_mode": bool(s.ceil)}
    return around | {"kernel_size": size, "stride": s.stride}


def deep(s):
    """What all recurrent layers take."""
    return {"num_layers": s.layers, "bidirectional": bool(s.both), "bias": bool(s.bias)}


def residual(nn):
    """What PyTorch has no layer for, in PyTorch."""

    class Residual(nn.Sequential):
        def forward(self, x):
            *inner, shortcut = self
            y = x
            for layer in inner:
                y = layer(y)
            return y + shortcut(x)

    return Residual


def residual_names(state):
    """The shortcut comes last there, after three layers."""
    return without_layers({k.replace("shortcut", "layers.3"): v for k, v in state.items()})


NO_COUNTERPART = {
    "Add": "numbers by hand",
    "Multiply": "numbers by hand",
    "PositionalEncoding": "its formula in Python",
}
"""Layers that PyTorch has not, and what they are compared with instead."""

LAYERS: dict[str, Case] = {
    # --- of the computational graph -------------------------------------------------------------
    "Add": Case(lambda s: L.Add(), lambda s: ((s.n, s.d), (s.n, s.d)), ROWS),
    "Multiply": Case(lambda s: L.Multiply(), lambda s: ((s.n, s.d), (s.n, s.d)), ROWS),
    # --- activations ----------------------------------------------------------------------------
    "ReLU": elementwise(L.ReLU, lambda nn: nn.ReLU()),
    "LeakyReLU": elementwise(L.LeakyReLU, lambda nn: nn.LeakyReLU()),
    "LeakyReLU, steeper": elementwise(lambda: L.LeakyReLU(0.3), lambda nn: nn.LeakyReLU(0.3)),
    "ELU": elementwise(L.ELU, lambda nn: nn.ELU()),
    "ELU, alpha": elementwise(lambda: L.ELU(alpha=0.5), lambda nn: nn.ELU(alpha=0.5)),
    "GELU": elementwise(L.GELU, lambda nn: nn.GELU()),
    "GELU, tanh": elementwise(lambda: L.GELU("tanh"), lambda nn: nn.GELU("tanh")),
    "SiLU": elementwise(L.SiLU, lambda nn: nn.SiLU()),
    "Softplus": elementwise(L.Softplus, lambda nn: nn.Softplus()),
    "Softplus, beta": elementwise(lambda: L.Softplus(3.0, 2.0), lambda nn: nn.Softplus(3.0, 2.0)),
    "Sigmoid": elementwise(L.Sigmoid, lambda nn: nn.Sigmoid()),
    "Tanh": elementwise(L.Tanh, lambda nn: nn.Tanh()),
    "Softmax": elementwise(L.Softmax, lambda nn: nn.Softmax(dim=-1)),
    "Softmax, axis": Case(
        lambda s: L.Softmax(dim=0), rows, ROWS, torch=lambda nn, s: nn.Softmax(dim=0), batch=None
    ),
    "LogSoftmax": elementwise(L.LogSoftmax, lambda nn: nn.LogSoftmax(dim=-1)),
    # --- with parameters ------------------------------------------------------------------------
    "Affine": Case(
        lambda s: L.Affine(s.d, s.m, rng=0),
        rows,
        ROWS | {"m": (1, 4)},
        torch=lambda nn, s: nn.Linear(s.d, s.m),
        rename=transpose_weights,
        wrong=(((5,), "(batch, 5)"), ((2, 4), "(batch, 5)")),
    ),
    "Affine, no bias": Case(
        lambda s: L.Affine(s.d, s.m, bias=False, rng=0),
        lambda s: ((s.n, 2, s.d),),
        ROWS | {"m": (1, 4)},
        torch=lambda nn, s: nn.Linear(s.d, s.m, bias=False),
        rename=transpose_weights,
        wrong=(((5,), "(batch, 5)"),),
    ),
    "Embedding": Case(
        lambda s: L.Embedding(s.m, s.d, rng=0),
        lambda s: (Integers((s.n, 3), s.m),),
        ROWS | {"m": (1, 6)},
        torch=lambda nn, s: nn.Embedding(s.m, s.d),
    ),
    "Embedding, padding": Case(
        lambda s: L.Embedding(s.m, s.d, padding_idx=-1, rng=0),
        lambda s: (Integers((s.n, 3), s.m),),
        ROWS | {"m": (1, 6)},
        torch=lambda nn, s: nn.Embedding(s.m, s.d, padding_idx=-1),
    ),
    # --- normalization --------------------------------------------------------------------------
    "BatchNorm1d": Case(
        lambda s: L.BatchNorm1d(s.c),
        lambda s: ((s.n, s.c),),
        SERIES,
        torch=lambda nn, s: nn.BatchNorm1d(s.c),
        wrong=(((4,), "(batch, 4)"), ((3, 5), "(batch, 4)"), ((3, 5, 6), "(batch, 4, length)")),
    ),
    "BatchNorm1d, of series": Case(
        lambda s: L.BatchNorm1d(s.c, momentum=None, eps=1e-3),
        series,
        SERIES,
        torch=lambda nn, s: nn.BatchNorm1d(s.c, momentum=None, eps=1e-3),
        wrong=(((3, 4, 5, 6), "(batch, 4)"),),
    ),
    "BatchNorm2d": Case(
        lambda s: L.BatchNorm2d(s.c),
        images,
        IMAGES,
        torch=lambda nn, s: nn.BatchNorm2d(s.c),
        wrong=(
            ((4, 5, 6), "(batch, 4, height, width)"),
            ((3, 5, 6, 4), "(batch, 4, height, width)"),
        ),
    ),
    "BatchNorm2d, plain": Case(
        lambda s: L.BatchNorm2d(s.c, affine=False, track_running_stats=False),
        images,
        IMAGES,
        torch=lambda nn, s: nn.BatchNorm2d(s.c, affine=False, track_running_stats=False),
        wrong=(((4, 5, 6), "(batch, 4, height, width)"),),
        batch=None,  # its statistics are of the batch, in evaluation too
    ),
    "LayerNorm": Case(
        lambda s: L.LayerNorm(s.c),
        lambda s: ((s.n, s.l, s.c),),
        SERIES | {"c": (6, 7)},
        torch=lambda nn, s: nn.LayerNorm(s.c),
        wrong=(((3, 5), "(..., 7)"), ((), "(..., 7)")),
    ),
    "LayerNorm, of two axes": Case(
        lambda s: L.LayerNorm((s.h, s.w), eps=1e-3, bias=False),
        images,
        IMAGES | {"h": (3, 5), "w": (2, 4)},
        torch=lambda nn, s: nn.LayerNorm((s.h, s.w), eps=1e-3, bias=False),
        wrong=(((3, 4), "(..., 5, 4)"), ((4,), "(..., 5, 4)")),
    ),
    "GroupNorm": Case(
        lambda s: L.GroupNorm(s.g, s.c * s.g),
        lambda s: ((s.n, s.c * s.g, s.l),),
        SERIES | {"g": (1, 3), "c": (1, 2), "l": (6, 7)},
        torch=lambda nn, s: nn.GroupNorm(s.g, s.c * s.g),
        wrong=(((6,), "(batch, 6, ...)"), ((2, 4, 5), "(batch, 6, ...)")),
    ),
    "GroupNorm, plain": Case(
        lambda s: L.GroupNorm(s.c, s.c, affine=False),
        images,
        IMAGES | {"h": (3, 5), "w": (2, 4)},
        torch=lambda nn, s: nn.GroupNorm(s.c, s.c, affine=False),
        wrong=(((2, 5, 3, 3), "(batch, 4, ...)"),),
    ),
    "Dropout": Case(
        lambda s: L.Dropout(0.5, rng=0),
        rows,
        ROWS,
        torch=lambda nn, s: nn.Dropout(0.5),
        modes=("eval",),
    ),
    "Dropout, of nothing": Case(
        lambda s: L.Dropout(0.0), rows, ROWS, torch=lambda nn, s: nn.Dropout(0.0)
    ),
    # --- shapes ---------------------------------------------------------------------------------
    "Flatten": Case(lambda s: L.Flatten(), images, IMAGES, torch=lambda nn, s: nn.Flatten()),
    "Flatten, some": Case(
        lambda s: L.Flatten(-3, 2),
        images,
        IMAGES,
        torch=lambda nn, s: nn.Flatten(-3, 2),
        wrong=(((3, 4), "more axes"),),
    ),
    "Reshape": Case(
        lambda s: L.Reshape(2, -1),
        lambda s: ((s.n, 2 * s.d),),
        ROWS,
        torch=lambda nn, s: nn.Unflatten(1, (2, -1)),
        wrong=(((2, 5), "(batch, ...), with a multiple of 2 numbers"), ((), "(batch, ...)")),
    ),
    # --- containers -----------------------------------------------------------------------------
    "Sequential": Case(
        lambda s: L.Sequential(
            L.Affine(s.d, 4, bias=False, rng=0), L.BatchNorm1d(4), L.ReLU(), L.Affine(4, s.m, rng=1)
        ),
        rows,
        # No bias, and two features or more: normalizing undoes it, and the scale of one feature.
        ROWS | {"n": (6, 7), "d": (2, 5), "m": (1, 3)},
        torch=lambda nn, s: nn.Sequential(
            nn.Linear(s.d, 4, bias=False), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, s.m)
        ),
        rename=without_layers,
    ),
    "MLP": Case(
        lambda s: L.MLP(s.d, [4, 3], s.m, activation="gelu", rng=0),
        rows,
        ROWS | {"m": (1, 3)},
        torch=lambda nn, s: nn.Sequential(
            nn.Linear(s.d, 4), nn.GELU(), nn.Linear(4, 3), nn.GELU(), nn.Linear(3, s.m)
        ),
        rename=without_layers,
    ),
    "Residual": Case(
        lambda s: L.Residual(
            L.Affine(s.d, 4, rng=0),
            L.Tanh(),
            L.Affine(4, s.m, rng=1),
            shortcut=L.Affine(s.d, s.m, bias=False, rng=2),
        ),
        rows,
        ROWS | {"m": (1, 3)},
        torch=lambda nn, s: residual(nn)(
            nn.Linear(s.d, 4), nn.Tanh(), nn.Linear(4, s.m), nn.Linear(s.d, s.m, bias=False)
        ),
        rename=residual_names,
    ),
    "Residual, as it is": Case(
        lambda s: L.Residual(L.Affine(s.d, s.d, rng=0), L.Sigmoid(), L.Affine(s.d, s.d, rng=1)),
        rows,
        ROWS,
        torch=lambda nn, s: residual(nn)(
            nn.Linear(s.d, s.d), nn.Sigmoid(), nn.Linear(s.d, s.d), nn.Identity()
        ),
        rename=without_layers,
    ),
    # --- convolution and pooling ----------------------------------------------------------------
    "Conv1d": windowed(
        "Conv1d",
        lambda s: kernels(s, s.k) | {"padding": s.pad, "dilation": s.dil},
        lambda s: ((s.n, s.g * s.c, s.l),),
        LONG | KERNELS | {"pad": (0, 2), "dil": (1, 2)},
        wrong=(((4, 8), "(batch, 4, length)"), ((3, 3, 8), "(batch, 4, length)")),
    ),
    "Conv2d": windowed(
        "Conv2d",
        lambda s: kernels(s, (s.k, 2)) | {"padding": (s.pad, 1), "dilation": (s.dil, 2)},
        lambda s: ((s.n, s.g * s.c, s.h, s.w),),
        WIDE | KERNELS | {"pad": (0, 2), "dil": (1, 2)},
        wrong=(
            ((4, 7, 6), "(batch, 4, height, width)"),
            ((2, 3, 7, 6), "(batch, 4, height, width)"),
        ),
    ),
    "Conv2d, same": windowed(
        "Conv2d",
        lambda s: kernels(s, (s.k, 3)) | {"stride": 1, "padding": "same", "bias": False},
        lambda s: ((s.n, s.g * s.c, s.h, s.w),),
        WIDE | KERNELS | {"k": (1, 4)},
        wrong=(((2, 7, 6), "(batch, 4, height, width)"),),
    ),
    "ConvTranspose1d": windowed(
        "ConvTranspose1d",
        lambda s: kernels(s, s.k) | {"dilation": s.dil, "output_padding": max(s.dil, s.stride) - 1},
        lambda s: ((s.n, s.g * s.c, s.l),),
        LONG | KERNELS | {"dil": (1, 2)},
        wrong=(((2, 8), "(batch, 4, length)"),),
    ),
    "ConvTranspose2d": windowed(
        "ConvTranspose2d",
        lambda s: kernels(s, (s.k, 3)) | {"padding": (s.pad, 1), "bias": False},
        lambda s: ((s.n, s.g * s.c, s.h, s.w),),
        WIDE | KERNELS | {"pad": (0, 2)},
        wrong=(((2, 7, 6), "(batch, 4, height, width)"),),
    ),
    "MaxPool1d": windowed(
        "MaxPool1d",
        lambda s: pools(s, s.k) | {"dilation": s.dil},
        series,
        LONG | POOLS | {"dil": (1, 2)},
        wrong=(((2, 8), "(batch, channels, length)"),),
    ),
    "MaxPool2d": windowed(
        "MaxPool2d",
        lambda s: pools(s, (s.k, 2)) | {"stride": None},
        images,
        WIDE | POOLS,
        wrong=(((2, 7, 6), "(batch, channels, height, width)"),),
    ),
    "AvgPool1d": windowed(
        "AvgPool1d",
        lambda s: pools(s, s.k) | {"count_include_pad": bool(s.counts)},
        series,
        LONG | POOLS | {"counts": (0, 1)},
        wrong=(((2, 8), "(batch, channels, length)"),),
    ),
    "AvgPool2d": windowed(
        "AvgPool2d",
        lambda s: pools(s, (s.k, 3)) | {"count_include_pad": bool(s.counts)},
        images,
        WIDE | POOLS | {"counts": (0, 1)},
        wrong=(((2, 7, 6), "(batch, channels, height, width)"),),
    ),
    "GlobalAvgPool2d": Case(
        lambda s: L.GlobalAvgPool2d(),
        images,
        WIDE,
        torch=lambda nn, s: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        wrong=(((2, 7, 6), "(batch, channels, height, width)"),),
    ),
    "GlobalMaxPool2d": Case(
        lambda s: L.GlobalMaxPool2d(),
        images,
        WIDE,
        torch=lambda nn, s: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()),
        wrong=(((2, 7, 6), "(batch, channels, height, width)"),),
    ),
    # --- sequences ------------------------------------------------------------------------------
    "RNN": Case(
        lambda s: L.RNN(s.d, s.m, rng=0),
        steps,
        STEPS,
        torch=lambda nn, s: nn.RNN(s.d, s.m),
        wrong=(((4, 3), "(length, batch, 3)"), ((4, 2, 5), "(length, batch, 3)")),
        batch=1,
    ),
    "RNN, relu": Case(
        lambda s: L.RNN(s.d, s.m, nonlinearity="relu", **deep(s), rng=0),
        steps,
        STEPS | DEEP,
        torch=lambda nn, s: nn.RNN(s.d, s.m, nonlinearity="relu", **deep(s)),
        wrong=(((4, 2, 5), "(length, batch, 3)"),),
        batch=1,
    ),
    "LSTM": Case(
        lambda s: L.LSTM(s.d, s.m, **deep(s), rng=0),
        steps,
        STEPS | DEEP,
        torch=lambda nn, s: nn.LSTM(s.d, s.m, **deep(s)),
        wrong=(((4, 3), "(length, batch, 3)"), ((4, 2, 5), "(length, batch, 3)")),
        batch=1,
    ),
    "GRU": Case(
        lambda s: L.GRU(s.d, s.m, batch_first=True, **deep(s), rng=0),
        steps,
        STEPS | DEEP | {"layers": (1, 1)},
        torch=lambda nn, s: nn.GRU(s.d, s.m, batch_first=True, **deep(s)),
        wrong=(((4, 3), "(batch, length, 3)"), ((4, 2, 5), "(batch, length, 3)")),
        batch=None,  # the first axis of the output, the second of the state
    ),
    "MultiheadAttention": Case(
        lambda s: L.MultiheadAttention(s.heads * s.m, s.heads, rng=0),
        lambda s: ((s.l, s.n, s.heads * s.m),),
        STEPS | {"heads": (1, 2)},
        torch=lambda nn, s: nn.MultiheadAttention(s.heads * s.m, s.heads),
        call=lambda module, x: module(x, x, x, need_weights=False)[0],
        rename=transpose_weights,
        wrong=(((4, 6), "(length, batch, 6)"), ((4, 2, 5), "(length, batch, 6)")),
        batch=1,
    ),
    "MultiheadAttention, of keys and values": Case(
        lambda s: L.MultiheadAttention(s.e, 1, kdim=s.d, vdim=s.m, batch_first=True, rng=0),
        lambda s: ((s.n, s.l, s.e), (s.n, s.k, s.d), (s.n, s.k, s.m)),
        STEPS | {"e": (1, 2), "k": (1, 3)},
        torch=lambda nn, s: nn.MultiheadAttention(s.e, 1, kdim=s.d, vdim=s.m, batch_first=True),
        call=lambda module, *xs: module(*xs, need_weights=False)[0],
        rename=transpose_weights,
    ),
    "TransformerEncoderLayer": Case(
        lambda s: L.TransformerEncoderLayer(2 * s.m, 2, s.f, dropout=0.0, rng=0),
        lambda s: ((s.l, s.n, 2 * s.m),),
        STEPS | {"m": (3, 4), "f": (1, 5)},
        torch=lambda nn, s: nn.TransformerEncoderLayer(2 * s.m, 2, s.f, dropout=0.0),
        rename=transpose_weights,
        wrong=(((4, 8), "(length, batch, 8)"), ((4, 2, 5), "(length, batch, 8)")),
        batch=1,
    ),
    "TransformerEncoderLayer, dropout": Case(
        lambda s: L.TransformerEncoderLayer(
            5 + s.d, 1, s.f, 0.5, "gelu", batch_first=True, norm_first=True, rng=0
        ),
        lambda s: ((s.n, s.l, 5 + s.d),),
        STEPS | {"f": (1, 5)},
        torch=lambda nn, s: nn.TransformerEncoderLayer(
            5 + s.d, 1, s.f, 0.5, "gelu", batch_first=True, norm_first=True
        ),
        rename=transpose_weights,
        wrong=(((3, 5), "(batch, length, 8)"),),
        modes=("eval",),
    ),
    "TransformerEncoder": Case(
        lambda s: L.TransformerEncoder(
            [L.TransformerEncoderLayer(6, 2, s.f, dropout=0.0, rng=i) for i in range(s.m)],
            norm=L.LayerNorm(6),
        ),
        lambda s: ((s.l, s.n, 6),),
        STEPS | {"m": (1, 2), "f": (1, 3)},
        torch=lambda nn, s: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(6, 2, s.f, dropout=0.0),
            num_layers=s.m,
            norm=nn.LayerNorm(6),
            enable_nested_tensor=False,
        ),
        rename=transpose_weights,
        batch=1,
    ),
    "PositionalEncoding": Case(
        lambda s: L.PositionalEncoding(s.d),
        steps,
        STEPS,
        wrong=(((4, 3), "(length, batch, 3)"), ((4, 2, 5), "(length, batch, 3)")),
        batch=1,
    ),
}
