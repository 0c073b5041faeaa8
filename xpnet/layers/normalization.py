"""Layers that normalize: what comes out has mean 0 and variance 1, then a learned scale and shift.

BatchNorm remembers, in buffers, what the mean and the variance of its inputs usually are, and uses
that in evaluation. LayerNorm and GroupNorm treat each sample by itself, in both.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from xpnet import functions as F
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Parameter
from xpnet.backend import current
from xpnet.errors import ShapeError
from xpnet.functions.normalization import RunningStatistics
from xpnet.layers._contents import Buffer
from xpnet.layers._input_checks import (
    misfit,
    require,
    require_dtype,
    require_floating,
    require_whole,
)
from xpnet.layers._repr import non_default
from xpnet.layers.base import Layer
from xpnet.layers.initializers import require_room, zeros


class _BatchNorm(Layer):
    """What BatchNorm1d and BatchNorm2d share: all but the shapes that they take."""

    places: ClassVar[tuple[tuple[str, ...], ...]]  # the axes after batch and channels

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        require_whole(self, num_features=num_features)
        self.num_features, self.eps = num_features, eps
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.momentum = None if momentum is None else float(momentum)
        shape = (num_features,)
        self.weight = Parameter(_ones(shape)) if affine else None
        self.bias = Parameter(zeros(shape)) if affine else None
        self.running_mean = Buffer(zeros(shape)) if track_running_stats else None
        self.running_var = Buffer(_ones(shape)) if track_running_stats else None
        self.num_batches_tracked = Buffer(current().asarray(0)) if track_running_stats else None

    def forward(self, x: Array) -> Array:
        ndim = len(getattr(x, "shape", ()))
        rest = next((p for p in self.places if len(p) + 2 == ndim), self.places[0])
        sizes: tuple[int | str, ...] = ("batch", self.num_features, *rest)
        require(self, x, sizes, self.weight)
        if self.weight is None:
            self._require_width(x, sizes)
        mean, var = (b and b.data for b in (self.running_mean, self.running_var))
        if not self.training and mean is not None:
            return F.batch_norm(x, mean, var, self.weight, self.bias, self.eps)[0]
        count = math.prod(x.shape) // max(self.num_features, 1)
        if count < 2:
            raise ShapeError(
                f"{self!r} expected more than one number a channel, to take their variance, got x "
                f"of shape {tuple(x.shape)}. Use a larger batch, or model.eval()."
            )
        if self.training and mean is not None:
            return self._tracked(x)
        return F.batch_norm(x, None, None, self.weight, self.bias, self.eps)[0]

    def _tracked(self, x: Array) -> Any:
        """Normalize x, and update the running statistics on their device, unrecorded."""
        mean: Any = self.running_mean
        var: Any = self.running_var
        seen: Any = self.num_batches_tracked
        running = RunningStatistics(mean.data, var.data, seen.data, self.momentum)
        y, moved = running.batch_norm(x, self.weight, self.bias, self.eps)
        mean.data = moved.mean
        var.data = moved.var
        seen.data = moved.seen
        return y

    def _require_width(self, x: Array, sizes: tuple[int | str, ...]) -> None:
        """Without a weight: numbers as wide as those of the running mean, or of 16 bits."""
        require_floating(self, x, sizes)
        narrow = array_namespace(x).finfo(x.dtype).bits < 32  # averages of these are in float32
        if self.running_mean is not None and not narrow:
            require_dtype(self, x, sizes, self.running_mean.data)

    def __repr__(self) -> str:
        options = non_default(
            eps=(self.eps, 1e-5),
            momentum=(self.momentum, 0.1),
            affine=(self.weight is not None, True),
            track_running_stats=(self.running_mean is not None, True),
        )
        return f"{type(self).__name__}({self.num_features}{options})"


class BatchNorm1d(_BatchNorm):
    """Each feature normalized over the batch (and over the places of a sequence).

    y = (x - mean) / sqrt(var + eps) * weight + bias. In training mean and variance are the batch's
    own, in evaluation (`model.eval()`) their running averages.

    Parameters
    ----------
    num_features : int
    eps : float
        Added to the variance: nothing is divided by 0.
    momentum : float or None
        How far each batch moves the running averages; None: they are the plain averages of all
        batches so far.
    affine : bool
        Whether there are `weight` and `bias`.
    track_running_stats : bool
        Whether there are running averages; without them the batch's own statistics are used in
        evaluation too.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,), or None
        Begin with ones and zeros.
    running_mean, running_var : Buffer, shape (num_features,), or None
        Begin with zeros and ones. The running variance is of the unbiased one, over n - 1.
    num_batches_tracked : Buffer, shape (), or None
        How many batches there were.

    Raises
    ------
    ShapeError
        In training, for one number a feature: the variance of one number is 0, and y is `bias`.

    Notes
    -----
    x and y : shape (batch, num_features) or (batch, num_features, length). The running averages
    stay on the device, and are not recorded. A `checkpoint` runs a layer twice, and counts a batch
    twice. Source: Ioffe and Szegedy, "Batch normalization: accelerating deep network training by
    reducing internal covariate shift", 2015.
    """

    places = ((), ("length",))


class BatchNorm2d(_BatchNorm):
    """Each channel of images normalized over the batch and all pixels.

    Parameters, attributes and errors are those of `BatchNorm1d`.

    Notes
    -----
    x and y : shape (batch, num_features, height, width).
    """

    places = (("height", "width"),)


class LayerNorm(Layer):
    """Each sample normalized over its last axes: y = (x - mean) / sqrt(var + eps) * weight + bias.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The sizes of the axes that are normalized together: of a sequence of vectors, the vector's.
    eps : float
        Added to the variance: nothing is divided by 0.
    elementwise_affine : bool
        Whether there are `weight` and `bias`.
    bias : bool
        Whether there is a `bias`, where there is a `weight`.

    Attributes
    ----------
    weight, bias : Parameter, shape normalized_shape, or None
        Begin with ones and zeros.

    Notes
    -----
    x and y : shape (..., *normalized_shape). Source: Ba, Kiros and Hinton, "Layer normalization",
    2016.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        if isinstance(normalized_shape, Iterable):
            shape = tuple(normalized_shape)
        else:
            shape = (normalized_shape,)
        for size in shape:
            require_whole(self, normalized_shape=size)
        self.normalized_shape, self.eps = tuple(map(int, shape)), eps
        self.elementwise_affine = elementwise_affine
        if not self.normalized_shape:
            raise ShapeError(f"LayerNorm expected the size of an axis, got {normalized_shape}.")
        self.weight = Parameter(_ones(self.normalized_shape)) if elementwise_affine else None
        self.bias = Parameter(zeros(self.normalized_shape)) if elementwise_affine and bias else None

    def forward(self, x: Array) -> Array:
        shape, given = self.normalized_shape, tuple(getattr(x, "shape", ()))
        if given[-len(shape) :] != shape:
            raise misfit(self, x, ("...", *shape))
        if self.weight is None:
            require_floating(self, x, given)
        else:
            require(self, x, given, self.weight)
        return F.layer_norm(x, shape, self.weight, self.bias, self.eps)

    def __repr__(self) -> str:
        affine, bias = self.weight is not None, self.bias is not None
        options = non_default(
            eps=(self.eps, 1e-5), elementwise_affine=(affine, True), bias=(bias, affine)
        )
        shape = self.normalized_shape
        return f"LayerNorm({shape[0] if len(shape) == 1 else shape}{options})"


class GroupNorm(Layer):
    """Each group of channels of each sample normalized, over all its places.

    y = (x - mean) / sqrt(var + eps) * weight + bias; as good for one sample as for many.

    Parameters
    ----------
    num_groups, num_channels : int
        The groups divide the channels. One group: LayerNorm of the whole sample; as many as
        channels: instance normalization.
    eps : float
        Added to the variance: nothing is divided by 0.
    affine : bool
        Whether there are `weight` and `bias`.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_channels,), or None
        Begin with ones and zeros.

    Notes
    -----
    x and y : shape (batch, num_channels, ...). Source: Wu and He, "Group normalization", 2018.
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True
    ) -> None:
        require_whole(self, num_groups=num_groups, num_channels=num_channels)
        if num_groups < 1 or num_channels % num_groups:
            raise ShapeError(
                f"GroupNorm expected groups that divide the channels, got {num_groups} groups of "
                f"{num_channels} channels."
            )
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.affine = affine
        self.weight = Parameter(_ones((num_channels,))) if affine else None
        self.bias = Parameter(zeros((num_channels,))) if affine else None

    def forward(self, x: Array) -> Array:
        given = tuple(getattr(x, "shape", ()))
        if len(given) < 2 or given[1] != self.num_channels:
            raise misfit(self, x, ("batch", self.num_channels, "..."))
        if self.weight is None:
            require_floating(self, x, given)
        else:
            require(self, x, given, self.weight)
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def __repr__(self) -> str:
        options = non_default(eps=(self.eps, 1e-5), affine=(self.weight is not None, True))
        return f"GroupNorm({self.num_groups}, {self.num_channels}{options})"


def _ones(shape: tuple[int, ...]) -> Any:
    require_room(shape)
    backend = current()
    with backend.selected():
        return backend.xp.ones(shape, dtype=backend.dtype, device=backend.device)
