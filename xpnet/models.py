"""Whole networks by name: from the shape of one sample and the number of outputs.

    mlp            rows of numbers; images are flattened
    lenet          images (channels, height, width): LeCun et al. 1998, with later improvements
    resnet         images (channels, height, width): He et al. 2016, for small images
    lstm           sequences (length, features), images row by row: Hochreiter and Schmidhuber 1997
    transformer    the same inputs as lstm: Vaswani et al. 2017

Each ends with an Affine, whose scores go into a loss. They are short: read one, and write your own.

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
    """A perceptron: an `MLP` for samples of any shape.

    Parameters
    ----------
    input_shape : tuple of int
        The shape of one sample.
    outputs : int
    hidden, activation
        As for `MLP`.
    rng : int, numpy.random.Generator or None
        The source of the initial weights; None: the generator of `xpnet.manual_seed`.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.models.mlp((28, 28), 10, rng=0)
    Sequential(
      Flatten()
      Affine(784 -> 256)
      ReLU()
      Affine(256 -> 128)
      ReLU()
      Affine(128 -> 10)
    )
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
        The numbers of kernels of the two convolutions; in 1998 they were 6 and 16.
    hidden : int
        The number of units before the last layer.
    dropout : float
        In training, the probability that an input of an affine layer is left out.
    rng : int, numpy.random.Generator or None
        The source of the initial weights and of dropout's masks; None: the generator of
        `xpnet.manual_seed`.

    Raises
    ------
    ShapeError
        The samples are not images, or too small.

    Notes
    -----
    ReLU and max pooling replace LeNet-5's tanh and average pooling: they have proved better since.
    Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
    recognition", 1998; dropout: Srivastava et al., 2014.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> model = xpnet.models.lenet((1, 28, 28), 10, rng=0)
    >>> model(F.ones((2, 1, 28, 28))).shape
    (2, 10)
    """
    colours, height, width = _image("lenet", input_shape, 12)
    rng = _one_generator(rng)
    first, second = channels
    # Pooling halves a length, and the convolution without padding shortens it by 4.
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
        The number of channels of each stage. From one stage to the next, height and width are halved.
    blocks : int
        The number of blocks of a stage. There are 2 + 2 * blocks * stages layers with weights.
    rng : int, numpy.random.Generator or None
        The source of the initial weights; None: the generator of `xpnet.manual_seed`.

    Raises
    ------
    ShapeError
        The samples are not images.

    Notes
    -----
    Each convolution is followed by batch normalization, and therefore has no bias. The shortcut of a
    block that halves height and width is a 1 x 1 convolution ("option B"). Source: He, Zhang, Ren
    and Sun, "Deep residual learning for image recognition", 2016, section 4.2.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> model = xpnet.models.resnet((3, 32, 32), 10, channels=(8, 16), rng=0)
    >>> tuple(model(F.ones((2, 3, 32, 32))).shape)
    (2, 10)
    >>> sum(p.ndim > 1 for p in model.parameters())  # weights: 2 + 2 * 1 * 2, and a shortcut's
    7
    """
    colours, *_ = _image("resnet", input_shape, 1)
    rng = _one_generator(rng)
    layers: list[Layer] = [*_convolved(colours, channels[0], 3, 1, rng), ReLU()]
    before = channels[0]
    for stage, width in enumerate(channels):
        for block in range(blocks):
            halves = stage > 0 and block == 0
            stride = 2 if halves else 1
            layers += [_block(before, width, stride, rng), ReLU()]
            before = width
    return Sequential(*layers, GlobalAvgPool2d(), Affine(before, outputs, rng=rng))


def _block(before: int, width: int, stride: int, rng: Rng) -> Residual:
    """Two 3 x 3 convolutions from `before` to `width` channels, beside a shortcut."""
    inner = _convolved(before, width, 3, stride, rng)
    inner += [ReLU(), *_convolved(width, width, 3, 1, rng)]
    if before == width and stride == 1:
        return Residual(*inner)
    return Residual(*inner, shortcut=Sequential(*_convolved(before, width, 1, stride, rng)))


def _convolved(before: int, width: int, kernel: int, stride: int, rng: Rng) -> list[Layer]:
    """A convolution from `before` to `width` channels, and batch normalization."""
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
    """An LSTM that reads the whole sequence, and an affine layer on its last state.

    Parameters
    ----------
    input_shape : (length, features), or a shape that `Rows` converts to that
    outputs : int
    hidden : int
        The size of the state.
    layers : int
        The number of LSTM layers, one on top of the other.
    bidirectional : bool
        Whether it also reads backwards; then the affine layer gets both last states.
    dropout : float
        In training, the probability that an output is left out, between one layer and the next.
    rng : int, numpy.random.Generator or None
        The source of the initial weights and of dropout's masks; None: the generator of
        `xpnet.manual_seed`.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> model = xpnet.models.lstm((28, 28), 10, rng=0)
    >>> model(F.ones((2, 28, 28))).shape
    (2, 10)
    """
    _, features = Rows.of(input_shape)
    rng = _one_generator(rng)
    reader = LSTM(
        features,
        hidden,
        layers,
        batch_first=True,
        dropout=dropout,
        bidirectional=bidirectional,
        rng=rng,
    )
    width = 2 * hidden if bidirectional else hidden
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
    """A Transformer's encoder over the sequence, and an affine layer on the mean over its steps.

    Parameters
    ----------
    input_shape : (length, features), or a shape that `Rows` converts to that
    outputs : int
    width : int
        The size of a step's representation, a multiple of `heads`.
    heads : int
        The number of heads of each attention.
    layers : int
        The number of encoder layers.
    hidden : int
        The number of hidden units of the perceptron in each layer.
    dropout : float
        As for `TransformerEncoderLayer`, and for the sum of inputs and positional encoding.
    rng : int, numpy.random.Generator or None
        The source of the initial weights and of dropout's masks; None: the generator of
        `xpnet.manual_seed`.

    Notes
    -----
    The layers normalize their inputs ("pre-norm"), so that no warm-up of the learning rate is
    needed: Xiong et al., 2020.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> model = xpnet.models.transformer((28, 28), 10, rng=0)
    >>> model(F.ones((2, 28, 28))).shape
    (2, 10)
    """
    _, features = Rows.of(input_shape)
    rng = _one_generator(rng)
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


# --- layers of these networks ---------------------------------------------------------------------


class Rows(Layer):
    """Samples as sequences, (batch, length, features).

    Images (batch, height, width) and (batch, channels, height, width) become sequences of their
    rows; rows of numbers (batch, n) become sequences of numbers; sequences stay as they are.

    Raises
    ------
    ShapeError
        Raised by `forward`: samples have more than three axes, or none.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> from xpnet.models import Rows
    >>> images = F.ones((5, 3, 32, 28))  # in colour: 32 rows of 28 pixels
    >>> tuple(Rows()(images).shape)
    (5, 32, 84)
    """

    def forward(self, x: Array) -> Array:
        shape = self.of(tuple(x.shape[1:]))
        if x.ndim == 4:
            x = F.permute_dims(x, (0, 2, 1, 3))
        return F.reshape(x, (x.shape[0], *shape))

    @staticmethod
    def of(shape: Shape) -> tuple[int, int]:
        """The length and the features of the sequence that a sample of this shape becomes."""
        if len(shape) == 1:
            return shape[0], 1
        if len(shape) == 2:
            return shape
        if len(shape) == 3:
            channels, height, width = shape
            return height, channels * width
        raise ShapeError(
            "Expected samples of shape (length, features), (channels, height, width) or (length,), "
            f"got {tuple(shape)}."
        )


class LastState(Layer):
    """The last state of a recurrent layer: (batch, n), or (batch, 2 n) for two directions.

    Parameters
    ----------
    recurrent : Layer
        A layer such as `LSTM`; if it consists of several, the last one counts.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.models import LastState
    >>> lstm = xpnet.LSTM(4, 8, batch_first=True, rng=0)
    >>> x = F.ones((2, 10, 4))
    >>> states, *_ = lstm(x)
    >>> tuple(states.shape), tuple(LastState(lstm)(x).shape)
    ((2, 10, 8), (2, 8))
    """

    def __init__(self, recurrent: Layer) -> None:
        self.recurrent = recurrent

    def forward(self, x: Array) -> Array:
        _, h, *_ = self.recurrent(x)
        if not getattr(self.recurrent, "bidirectional", False):
            return h[-1, ...]
        return F.concat([h[-2, ...], h[-1, ...]], axis=-1)

    def __repr__(self) -> str:
        return f"LastState({self.recurrent!r})"


class MeanOverSteps(Layer):
    """The mean over a sequence: (batch, length, features) to (batch, features).

    Examples
    --------
    >>> from xpnet import Variable, to_numpy
    >>> from xpnet.models import MeanOverSteps
    >>> sequence = Variable([[[1.0, 10.0], [3.0, 30.0]]])  # a batch of 1, of 2 steps
    >>> to_numpy(MeanOverSteps()(sequence)).tolist()
    [[2.0, 20.0]]
    """

    def forward(self, x: Array) -> Array:
        return F.mean(x, axis=1)


def _image(name: str, shape: Shape, least: int) -> Shape:
    """The shape, if it is that of an image of at least `least` x `least` pixels; else ShapeError."""
    if len(shape) != 3 or min(shape[1:]) < least:
        expected = "(channels, height, width)"
        if least > 1:
            expected += f", at least {least} x {least}"
        raise ShapeError(f"{name} expected images of shape {expected}, got {tuple(shape)}.")
    return shape


def _one_generator(rng: Rng) -> Rng:
    """One generator for all layers, which draw from it in turn; None for xpnet's own."""
    return None if rng is None else default_rng(rng)


BY_NAME: dict[str, Callable[..., Layer]] = {
    f.__name__: f for f in (mlp, lenet, resnet, lstm, transformer)
}


def build(name: str, input_shape: Shape, outputs: int, **options: Any) -> Layer:
    """Create the network of that name, with new weights.

    Parameters
    ----------
    name : {"mlp", "lenet", "resnet", "lstm", "transformer"}
    input_shape : tuple of int
        The shape of one sample: (channels, height, width) for an image.
    outputs : int
        The number of outputs: for classes, one for each.
    **options
        The options of the function of that name.

    Raises
    ------
    ValueError
        No network has that name; the message lists the known ones.
    ShapeError
        The network does not take samples of that shape.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> model = xpnet.models.build("lenet", (1, 28, 28), 10, rng=0)
    >>> model(F.ones((2, 1, 28, 28))).shape
    (2, 10)
    """
    return choose("model", name, BY_NAME)(tuple(input_shape), outputs, **options)
