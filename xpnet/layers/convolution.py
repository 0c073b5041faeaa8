"""Convolutions: layers that apply a small learned kernel at every place of a signal or image."""

from typing import Any, ClassVar

from xpnet import functions as F
from xpnet._own_init import own_init
from xpnet._typing import Array, Rng
from xpnet.autodiff.variable import Parameter
from xpnet.errors import ShapeError
from xpnet.kernels.window import Lengths, lengths
from xpnet.layers._input_checks import require, require_whole
from xpnet.layers._repr import non_default
from xpnet.layers.base import Layer
from xpnet.layers.initializers import Initializer, initializer, zeros


class _Convolution(Layer):
    """What the layers of this file have in common: their parameters, names and checks."""

    axes: ClassVar[tuple[str, ...]]
    """The names of the axes after batch and channels."""
    transposed: ClassVar[bool] = False
    names: ClassVar[tuple[str, ...]] = ("stride", "padding", "dilation", "groups")
    """The attributes that are passed to the function as options."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Lengths,
        groups: int,
        bias: bool,
        weight: str | Initializer,
        rng: Rng,
    ) -> None:
        require_whole(self, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ShapeError(
                f"{type(self).__name__} expected groups that divide the channels, "
                f"{in_channels} -> {out_channels}, got groups={groups}."
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = lengths(kernel_size, len(self.axes))
        self.groups = groups
        if self.transposed:
            shape = (in_channels, out_channels // groups, *self.kernel_size)
        else:
            shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(initializer(weight)(shape, rng))
        self.bias = Parameter(zeros((out_channels,))) if bias else None

    def _set_steps(self, stride: Lengths, padding: Lengths | str, dilation: Lengths) -> None:
        """Store how the kernel moves: a number for each axis, or the name of a padding."""
        d = len(self.axes)
        self.stride = lengths(stride, d)
        self.padding: tuple[int, ...] | str
        if isinstance(padding, str):
            self.padding = padding
        else:
            self.padding = lengths(padding, d, least=0)
        self.dilation = lengths(dilation, d)

    def forward(self, x: Array) -> Array:
        require(self, x, ("batch", self.in_channels, *self.axes), self.weight)
        options = {name: getattr(self, name) for name in self.names}
        if self.transposed:
            return F.conv_transpose(x, self.weight, self.bias, **options)
        return F.conv(x, self.weight, self.bias, **options)

    def __repr__(self) -> str:
        defaults = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}
        values = {name: _as_given(getattr(self, name)) for name in self.names}
        options = non_default(
            kernel_size=(_as_given(self.kernel_size), None),
            **{name: (value, defaults[name]) for name, value in values.items()},
            bias=(self.bias is not None, True),
        )
        return f"{type(self).__name__}({self.in_channels} -> {self.out_channels}{options})"


def _as_given(value: Any) -> Any:
    """(3, 3) as 3, the shorter way to write it."""
    if isinstance(value, (tuple, list)) and len(set(value)) == 1:
        return value[0]
    return value


class Conv1d(_Convolution):
    """A convolution of signals: `F.conv` with a learned kernel and a learned bias.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int, or a tuple of one
    stride : int, or a tuple of one
        How far the kernel moves from one place to the next.
    padding : int, a tuple of one, "same" or "valid"
        How many zeros are added at each end. With "same", which needs a stride of 1, y is as long
        as x; with "valid" there is no padding.
    dilation : int, or a tuple of one
        The distance between the numbers of x that the kernel multiplies.
    groups : int
        A divisor of both numbers of channels; each group of outputs sees its own group of inputs.
    bias : bool
        Whether there is a bias.
    weight : str or callable
        The initial kernel: the name of an initializer, or a function like those in
        `xpnet.layers.initializers`. The bias starts at zero.
    rng : int, numpy.random.Generator or None
        The source of the initial kernel; None: the generator of `xpnet.manual_seed`.

    Attributes
    ----------
    in_channels, out_channels, groups : int
    kernel_size, stride, padding, dilation : tuple of int, a number for each axis
        `padding` may be a name.
    weight : Parameter, shape (out_channels, in_channels / groups, kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Notes
    -----
    x : shape (batch, in_channels, length); y : shape (batch, out_channels, places), with
    (length + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1 places. Source: Waibel et
    al., "Phoneme recognition using time-delay neural networks", 1989.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> layer = xpnet.Conv1d(3, 8, 5, padding="same")
    >>> layer(F.ones((2, 3, 100))).shape
    (2, 8, 100)
    """

    axes: ClassVar[tuple[str, ...]] = ("length",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Lengths,
        stride: Lengths = 1,
        padding: Lengths | str = 0,
        dilation: Lengths = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        weight: str | Initializer = "he_normal",
        rng: Rng = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, groups, bias, weight, rng)
        self._set_steps(stride, padding, dilation)


@own_init
class Conv2d(Conv1d):
    """A convolution of images: `F.conv` with a learned kernel and a learned bias.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int, or (vertical, horizontal)
    stride : int, or (vertical, horizontal)
        How far the kernel moves from one place to the next.
    padding : int, (vertical, horizontal), "same" or "valid"
        How many zeros are added on each side. With "same", which needs a stride of 1, y is as large
        as x; with "valid" there is no padding.
    dilation : int, or (vertical, horizontal)
        The distance between the pixels of x that the kernel multiplies.
    groups : int
        A divisor of both numbers of channels; each group of outputs sees its own group of inputs.
    bias : bool
        Whether there is a bias.
    weight : str or callable
        The initial kernel: the name of an initializer, or a function like those in
        `xpnet.layers.initializers`. The bias starts at zero.
    rng : int, numpy.random.Generator or None
        The source of the initial kernel; None: the generator of `xpnet.manual_seed`.

    Attributes
    ----------
    in_channels, out_channels, groups : int
    kernel_size, stride, padding, dilation : tuple of int, a number for each axis
        `padding` may be a name.
    weight : Parameter, shape (out_channels, in_channels / groups, *kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Notes
    -----
    x : shape (batch, in_channels, height, width); y : shape (batch, out_channels, rows, columns),
    with (height + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1 rows, and columns
    likewise. Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    Examples
    --------
    >>> Conv2d(1, 32, 3, padding=1)
    Conv2d(1 -> 32, kernel_size=3, padding=1)
    """

    axes = ("height", "width")


class ConvTranspose1d(_Convolution):
    """The transpose of a `Conv1d`: signals become longer. `F.conv_transpose`, with parameters.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int, or a tuple of one
    stride : int, or a tuple of one
        How far apart the kernels of neighbouring numbers of x are in y.
    padding, output_padding : int, or a tuple of one
        `padding` numbers are cut off at both ends; `output_padding` numbers are added at the end.
    groups : int
        A divisor of both numbers of channels; each group of outputs sees its own group of inputs.
    bias : bool
        Whether there is a bias.
    dilation : int, or a tuple of one
        The distance between the numbers of the kernel in y.
    weight : str or callable
        The initial kernel: the name of an initializer, or a function like those in
        `xpnet.layers.initializers`. The bias starts at zero.
    rng : int, numpy.random.Generator or None
        The source of the initial kernel; None: the generator of `xpnet.manual_seed`.

    Attributes
    ----------
    in_channels, out_channels, groups : int
    kernel_size, stride, padding, output_padding, dilation : tuple of int, a number for each axis
    weight : Parameter, shape (in_channels, out_channels / groups, kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Notes
    -----
    x : shape (batch, in_channels, length); y : shape (batch, out_channels, places), with
    (length - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1 places.
    Source: Zeiler, Krishnan, Taylor and Fergus, "Deconvolutional networks", 2010.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> layer = xpnet.ConvTranspose1d(8, 3, 4, stride=4)
    >>> layer(F.ones((2, 8, 25))).shape
    (2, 3, 100)
    """

    axes: ClassVar[tuple[str, ...]] = ("length",)
    transposed = True
    names = ("stride", "padding", "output_padding", "groups", "dilation")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Lengths,
        stride: Lengths = 1,
        padding: Lengths = 0,
        output_padding: Lengths = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Lengths = 1,
        *,
        weight: str | Initializer = "he_normal",
        rng: Rng = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, groups, bias, weight, rng)
        self._set_steps(stride, padding, dilation)
        self.output_padding = lengths(output_padding, len(self.axes), least=0)


@own_init
class ConvTranspose2d(ConvTranspose1d):
    """The transpose of a `Conv2d`: images become larger. `F.conv_transpose`, with parameters.

    Attributes are those of `ConvTranspose1d`.

    Parameters
    ----------
    in_channels, out_channels, groups : int
    kernel_size, stride, padding, output_padding, dilation : int, or (vertical, horizontal)
        `padding` is cut off on all sides; `output_padding` numbers are added below and right.
    bias : bool
    weight : str or callable
    rng : int, numpy.random.Generator or None
        The others are as for `ConvTranspose1d`.

    Notes
    -----
    x : shape (batch, in_channels, height, width); y : shape (batch, out_channels, rows, columns),
    with (height - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1 rows,
    and columns likewise. Source: Zeiler, Krishnan, Taylor and Fergus, "Deconvolutional networks",
    2010.

    Examples
    --------
    >>> ConvTranspose2d(8, 4, 2, stride=2)
    ConvTranspose2d(8 -> 4, kernel_size=2, stride=2)
    """

    axes = ("height", "width")
