"""Pooling: layers that reduce the size of signals and images. They have no parameters."""

from typing import Any, ClassVar

from xpnet import functions as F
from xpnet._own_init import own_init
from xpnet._typing import Array
from xpnet.kernels.window import Lengths
from xpnet.layers._input_checks import require
from xpnet.layers._repr import non_default
from xpnet.layers.base import Layer


class _Pooling(Layer):
    """What the layers of this file have in common: the number of axes, and the check of x."""

    axes: ClassVar[tuple[str, ...]]

    def _checked(self, x: Array) -> Array:
        require(self, x, ("batch", "channels", *self.axes))
        return x


class _SlidingWindow(_Pooling):
    """Pooling with a window that slides over x."""

    kernel_size: Lengths
    names: ClassVar[tuple[str, ...]]  # of the attributes that are passed to the function as options

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.names}

    def __repr__(self) -> str:
        defaults = {
            "stride": self.kernel_size,
            "padding": 0,
            "dilation": 1,
            "ceil_mode": False,
            "count_include_pad": True,
        }
        options = non_default(
            **{name: (value, defaults[name]) for name, value in self._options().items()}
        )
        return f"{type(self).__name__}(kernel_size={self.kernel_size}{options})"


class MaxPool1d(_SlidingWindow):
    """The largest number under a sliding window: `F.max_pool` of signals.

    Parameters
    ----------
    kernel_size : int, or a tuple of one
    stride : int, or a tuple of one, optional
        How far the window moves; by default, by its own length.
    padding : int, or a tuple of one
        How many places are added at each end; they are never the maximum.
    dilation : int, or a tuple of one
        The distance between the window's numbers.
    ceil_mode : bool
        Whether a window that starts inside and extends beyond the end is used too.

    Notes
    -----
    x : shape (batch, channels, length); y : shape (batch, channels, places). The gradient goes to
    the first of equal maxima. Source: Riesenhuber and Poggio, "Hierarchical models of object
    recognition in cortex", 1999.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.MaxPool1d(2)(xpnet.Variable([[[1.0, 3.0, 5.0, 7.0]]]))
    Variable(array([[[3., 7.]]], dtype=float32))
    """

    axes: ClassVar[tuple[str, ...]] = ("length",)
    names = ("stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Lengths,
        stride: Lengths | None = None,
        padding: Lengths = 0,
        dilation: Lengths = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = kernel_size
        self.padding = padding
        self.stride = stride
        if stride is None:
            self.stride = kernel_size
        self.dilation = dilation
        self.ceil_mode = ceil_mode

    def forward(self, x: Array) -> Array:
        return F.max_pool(self._checked(x), self.kernel_size, **self._options())


@own_init
class MaxPool2d(MaxPool1d):
    """The largest number under a sliding window: `F.max_pool` of images.

    Parameters
    ----------
    kernel_size : int, or (vertical, horizontal)
    stride : int, or (vertical, horizontal), optional
        How far the window moves; by default, by its own lengths.
    padding : int, or (vertical, horizontal)
        How many places are added on each side; they are never the maximum.
    dilation : int, or (vertical, horizontal)
        The distance between the window's numbers.
    ceil_mode : bool
        Whether a window that starts inside and extends beyond the end is used too.

    Notes
    -----
    x : shape (batch, channels, height, width); y : shape (batch, channels, rows, columns). The
    gradient goes to the first of equal maxima. Source: Riesenhuber and Poggio, "Hierarchical models
    of object recognition in cortex", 1999.

    Examples
    --------
    >>> MaxPool2d(3, stride=2, padding=1)
    MaxPool2d(kernel_size=3, stride=2, padding=1)
    """

    axes = ("height", "width")


class AvgPool1d(_SlidingWindow):
    """The mean of the numbers under a sliding window: `F.avg_pool` of signals.

    Parameters
    ----------
    kernel_size : int, or a tuple of one
    stride : int, or a tuple of one, optional
        How far the window moves; by default, by its own length.
    padding : int, or a tuple of one
        How many places are added at each end.
    ceil_mode : bool
        Whether a window that starts inside and extends beyond the end is used too.
    count_include_pad : bool
        Whether padding counts as zeros in the mean, or is left out of it.
    dilation : int, or a tuple of one, by name
        The distance between the window's numbers, as in ONNX; PyTorch's layer has no dilation.

    Notes
    -----
    x : shape (batch, channels, length); y : shape (batch, channels, places). Source: LeCun et al.,
    "Gradient-based learning applied to document recognition", 1998.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.AvgPool1d(2)(xpnet.Variable([[[1.0, 3.0, 5.0, 7.0]]]))
    Variable(array([[[2., 6.]]], dtype=float32))
    """

    axes: ClassVar[tuple[str, ...]] = ("length",)
    names = ("stride", "padding", "ceil_mode", "count_include_pad", "dilation")

    def __init__(
        self,
        kernel_size: Lengths,
        stride: Lengths | None = None,
        padding: Lengths = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        *,
        dilation: Lengths = 1,
    ) -> None:
        self.kernel_size = kernel_size
        self.padding = padding
        self.stride = stride
        if stride is None:
            self.stride = kernel_size
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.dilation = dilation

    def forward(self, x: Array) -> Array:
        return F.avg_pool(self._checked(x), self.kernel_size, **self._options())


@own_init
class AvgPool2d(AvgPool1d):
    """The mean of the numbers under a sliding window: `F.avg_pool` of images.

    Parameters
    ----------
    kernel_size : int, or (vertical, horizontal)
    stride : int, or (vertical, horizontal), optional
        How far the window moves; by default, by its own lengths.
    padding : int, or (vertical, horizontal)
        How many places are added on each side.
    ceil_mode : bool
        Whether a window that starts inside and extends beyond the end is used too.
    count_include_pad : bool
        Whether padding counts as zeros in the mean, or is left out of it.
    dilation : int, or (vertical, horizontal), by name
        The distance between the window's numbers, as in ONNX; PyTorch's layer has no dilation.

    Notes
    -----
    x : shape (batch, channels, height, width); y : shape (batch, channels, rows, columns). Source:
    LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> xpnet.AvgPool2d(2)(F.ones((1, 3, 8, 8))).shape
    (1, 3, 4, 4)
    """

    axes = ("height", "width")


class GlobalAvgPool2d(_Pooling):
    """The mean of each channel: (batch, channels, height, width) to (batch, channels).

    PyTorch's AdaptiveAvgPool2d(1), flattened. Source: Lin, Chen and Yan, "Network in network", 2014.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> xpnet.GlobalAvgPool2d()(F.ones((2, 3, 8, 8))).shape
    (2, 3)
    """

    axes = ("height", "width")

    def forward(self, x: Array) -> Array:
        return F.global_avg_pool(self._checked(x))


class GlobalMaxPool2d(_Pooling):
    """The largest number of each channel: (batch, channels, height, width) to (batch, channels).

    PyTorch's AdaptiveMaxPool2d(1), flattened. The gradient goes to the first of equal maxima.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> xpnet.GlobalMaxPool2d()(F.ones((2, 3, 8, 8))).shape
    (2, 3)
    """

    axes = ("height", "width")

    def forward(self, x: Array) -> Array:
        return F.global_max_pool(self._checked(x))
