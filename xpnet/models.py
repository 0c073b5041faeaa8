"""Whole networks by name: from the shape of one sample and the number of outputs.

    mlp            rows of numbers; images are flattened
    lenet          images (channels, height, width): LeCun et al. 1998, with what was learned since
    resnet         images (channels, height, width): He et al. 2016, for small images
    lstm           sequences (length, features), images row by row: Hochreiter and Schmidhuber 1997
    transformer    likewise: Vaswani et al. 2017

Each ends with an Affine: its scores go into a loss. They are short: read one, and write your own.

>>> from xpnet import models
>>> model = models.build("lenet", (1, 28, 28), 10)
>>> sum(p.data.size for p in model.parameters())
117066
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from xpnet import functions as F
from xpnet._choices import choose
from xpnet._typing import Array, Rng
from xpnet.errors import ShapeError
from xpnet.layers import (
    LSTM,
    MLP,
    Affine,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    LayerNorm,
    MaxPool2d,
    PositionalEncoding,
    ReLU,
    Residual,
    Sequential,
    TransformerEncoder,
    TransformerEncoderLayer,
)
from xpnet.random import default_rng

__all__ = [
    "LastState",
    "MeanOverSteps",
    "Rows",
    "build",
    "lenet",
    "lstm",
    "mlp",
    "resnet",
    "transformer",
]

Shape = tuple[int, ...]


def mlp(
    input_shape: Shape,
    outputs: int,
    *,
    hidden: int | Sequence[int] = (256, 128),
    activation: str = "relu",
    rng: Rng = None,
) -> Sequential:
    """A perceptron: what an `MLP` is, for samples of any shape.

    Parameters
    ----------
    input_shape : tuple of int
        The shape of one sample.
    outputs : int
    hidden, activation
        As of `MLP`.
    rng : int, numpy.random.Generator or None
        Where the weights' numbers come from; None: the generator of `xpnet.manual_seed`.
    """
    inner = MLP(math.prod(input_shape), hidden, outputs, activation=activation, rng=rng)
    return Sequential(Flatten(), *inner)


def lenet(
    input_shape: Shape,
    outputs: int,
    *,
    channels: tuple[int, int] = (16, 32),
    hidden: int = 128,
    dropout: float = 0.25,
    rng: Rng = None,
) -> Sequential:
    """Two convolutions of 5 x 5, each followed by pooling, and two affine layers.

    Parameters
    ----------
    input_shape : (channels, height, width)
        At least 12 x 12 pixels.
    outputs : int
    channels : (int, int)
        How many kernels the two convolutions have; of 1998's they had 6 and 16.
    hidden : int
        Units before the last layer.
    dropout : float
        In training, the probability that an input of an affine layer is left out.
    rng : int, numpy.random.Generator or None
        Where the weights' numbers, and dropout's, come from; None: the generator of
        `xpnet.manual_seed`.

    Raises
    ------
    ShapeError
        The samples are no images, or too small.

    Notes
    -----
    ReLU and the largest number stand where LeNet-5 had tanh and the mean: what has proved better
    since. Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
    recognition", 1998; dropout: Srivastava et al., 2014.
    """
    colours, height, width = _image("lenet", input_shape, 12)
    rng = _one(rng)
    first, second = channels
    places = ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
    return Sequential(
        Conv2d(colours, first, 5, padding=2, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Conv2d(first, second, 5, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Dropout(dropout, rng=rng),
        Affine(second * places, hidden, rng=rng),
        ReLU(),
        Dropout(dropout, rng=rng),
        Affine(hidden, outputs, rng=rng),
    )


def resnet(
    input_shape: Shape,
    outputs: int,
    *,
    channels: Sequence[int] = (16, 32, 64),
    blocks: int = 1,
    rng: Rng = None,
) -> Sequential:
    """A residual network for small images: stages of blocks of two 3 x 3 convolutions.

    Parameters
    ----------
    input_shape : (channels, height, width)
    outputs : int
    channels : sequence of int
        Of each stage. From one stage to the next, height and width are halved.
    blocks : int
        How many there are in a stage. Layers with weights: 2 + 2 * blocks * stages.
    rng : int, numpy.random.Generator or None
        Where the weights' numbers come from; None: the generator of `xpnet.manual_seed`.

    Raises
    ------
    ShapeError
        The samples are no images.

    Notes
    -----
    Batch normalization follows each convolution, which has no bias then; the way around a block
    that halves is a 1 x 1 convolution ("option B"). Source: He, Zhang, Ren and Sun, "Deep residual
    learning for image recognition", 2016, section 4.2.
    """
    colours, *_ = _image("resnet", input_shape, 1)
    rng = _one(rng)
    layers: list[Layer] = [*_convolved(colours, channels[0], 3, 1, rng), ReLU()]
    before = channels[0]
    for stage, width in enumerate(channels):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            layers += [_block(before, width, stride, rng), ReLU()]
            before = width
    return Sequential(*layers, GlobalAvgPool2d(), Affine(before, outputs, rng=rng))


def _block(before: int, width: int, stride: int, rng: Rng) -> Residual:
    inner = _convolved(before, width, 3, stride, rng)
    inner += [ReLU(), *_convolved(width, width, 3, 1, rng)]
    if before == width and stride == 1:
        return Residual(*inner)
    return Residual(*inner, shortcut=Sequential(*_convolved(before, width, 1, stride, rng)))


def _convolved(before: int, width: int, kernel: int, stride: int, rng: Rng) -> list[Layer]:
    convolution = Conv2d(before, width, kernel, stride, kernel // 2, bias=False, rng=rng)
    return [convolution, BatchNorm2d(width)]


def lstm(
    input_shape: Shape,
    outputs: int,
    *,
    hidden: int = 128,
    layers: int = 1,
    bidirectional: bool = False,
    dropout: float = 0.0,
    rng: Rng = None,
) -> Sequential:
    """An LSTM that reads the whole sequence, and an affine layer that sees its last state.

    Parameters
    ----------
    input_shape : (length, features), or what `Rows` makes that of
    outputs : int
    hidden : int
        How many numbers the state has.
    layers : int
    bidirectional : bool
        Whether it also reads from the end; then the affine layer sees both last states.
    dropout : float
        In training, the probability that an output is left out, between one layer and the next.
    rng : int, numpy.random.Generator or None
        Where the weights' numbers, and dropout's, come from; None: the generator of
        `xpnet.manual_seed`.
    """
    _, features = Rows.of(input_shape)
    rng = _one(rng)
    reader = LSTM(
        features,
        hidden,
        layers,
        batch_first=True,
        dropout=dropout,
        bidirectional=bidirectional,
        rng=rng,
    )
    width = hidden * (2 if bidirectional else 1)
    return Sequential(Rows(), LastState(reader), Affine(width, outputs, rng=rng))


def transformer(
    input_shape: Shape,
    outputs: int,
    *,
    width: int = 64,
    heads: int = 4,
    layers: int = 2,
    hidden: int = 128,
    dropout: float = 0.1,
    rng: Rng = None,
) -> Sequential:
    """A Transformer's encoder over the sequence, and an affine layer that sees the mean.

    Parameters
    ----------
    input_shape : (length, features), or what `Rows` makes that of
    outputs : int
    width : int
        How many numbers stand for a step, a multiple of `heads`.
    heads, layers : int
    hidden : int
        Units of the perceptron in each layer.
    dropout : float
    rng : int, numpy.random.Generator or None
        Where the weights' numbers, and dropout's, come from; None: the generator of
        `xpnet.manual_seed`.

    Notes
    -----
    Layers normalize what they read ("pre-norm"), which needs no warm-up of the learning rate:
    Xiong et al., 2020.
    """
    _, features = Rows.of(input_shape)
    rng = _one(rng)
    encoders = [
        TransformerEncoderLayer(
            width, heads, hidden, dropout, "gelu", batch_first=True, norm_first=True, rng=rng
        )
        for _ in range(layers)
    ]
    return Sequential(
        Rows(),
        Affine(features, width, weight="glorot_uniform", rng=rng),
        PositionalEncoding(width, dropout, batch_first=True, rng=rng),
        TransformerEncoder(encoders, norm=LayerNorm(width)),
        MeanOverSteps(),
        Affine(width, outputs, weight="glorot_uniform", rng=rng),
    )


# --- what stands between ---------------------------------------------------------------------------


class Rows(Layer):
    """Samples as sequences, (batch, length, features).

    Images (batch, height, width) and (batch, channels, height, width) row by row, rows of numbers
    (batch, n) number by number; sequences are what they are.
    """

    def forward(self, x: Array) -> Any:
        if x.ndim == 4:
            x = F.permute_dims(x, (0, 2, 1, 3))
        return F.reshape(x, (x.shape[0], *self.of(tuple(x.shape[1:]), rows_first=True)))

    @staticmethod
    def of(shape: Shape, rows_first: bool = False) -> tuple[int, int]:
        """The length and the features of a sample of this shape."""
        if len(shape) == 1:
            return shape[0], 1
        if len(shape) == 2:
            return shape
        if len(shape) == 3:
            length, other = (0, 1) if rows_first else (1, 0)
            return shape[length], shape[other] * shape[2]
        raise ShapeError(
            "Expected samples of shape (length, features), (channels, height, width) or (length,), "
            f"got {tuple(shape)}."
        )


class LastState(Layer):
    """The states of a recurrent layer after the last step: (batch, n), or both directions' 2 n."""

    def __init__(self, recurrent: Layer) -> None:
        self.recurrent = recurrent

    def forward(self, x: Array) -> Any:
        _, h, *_ = self.recurrent(x)
        if not getattr(self.recurrent, "bidirectional", False):
            return h[-1, ...]
        return F.concat([h[-2, ...], h[-1, ...]], axis=-1)

    def __repr__(self) -> str:
        return f"LastState({self.recurrent!r})"


class MeanOverSteps(Layer):
    """The mean over a sequence: (batch, length, features) to (batch, features)."""

    def forward(self, x: Array) -> Any:
        return F.mean(x, axis=1)


def _image(name: str, shape: Shape, least: int) -> Shape:
    if len(shape) != 3 or min(shape[1:]) < least:
        size = f", at least {least} x {least}" if least > 1 else ""
        raise ShapeError(
            f"{name} expected images of shape (channels, height, width){size}, got {tuple(shape)}."
        )
    return shape


def _one(rng: Rng) -> Any:
    """One generator for all layers, to draw from in turn; or None, which is the common one."""
    return None if rng is None else default_rng(rng)


BY_NAME: dict[str, Callable[..., Layer]] = {
    f.__name__: f for f in (mlp, lenet, resnet, lstm, transformer)
}


def build(name: str, input_shape: Shape, outputs: int, **options: Any) -> Layer:
    """The network of that name, with new weights.

    Parameters
    ----------
    name : {"mlp", "lenet", "resnet", "lstm", "transformer"}
    input_shape : tuple of int
        The shape of one sample: of an image, (channels, height, width).
    outputs : int
        How many numbers come out: one for each class.
    **options
        Those of the function of that name.

    Raises
    ------
    ValueError
        No network has that name; the message lists those there are.
    ShapeError
        It is not made for samples of that shape.
    """
    return choose("model", name, BY_NAME)(tuple(input_shape), outputs, **options)
