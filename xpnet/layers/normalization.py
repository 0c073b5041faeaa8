"""Normalization layers: scale to mean 0 and variance 1, then apply a learned scale and shift.

BatchNorm keeps running averages of its inputs' mean and variance, in buffers, and uses these in
evaluation. LayerNorm and GroupNorm treat each sample by itself, in training and in evaluation.
"""

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar

from xpnet import functions as F
from xpnet._own_init import own_init
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
from xpnet.layers.initializers import ones, zeros


class _BatchNorm(Layer):
    """What BatchNorm1d and BatchNorm2d have in common: everything except the shapes of x."""

    places: ClassVar[tuple[tuple[str, ...], ...]]  # the axes after batch and channels, if any

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        sync: bool = False,
    ) -> None:
        require_whole(self, num_features=num_features)
        self.num_features = num_features
        self.eps = eps
        self.momentum = None if momentum is None else float(momentum)
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.sync = sync
        self.weight: Parameter | None = None
        self.bias: Parameter | None = None
        self.running_mean: Buffer | None = None
        self.running_var: Buffer | None = None
        self.num_batches_tracked: Buffer | None = None
        shape = (num_features,)
        if affine:
            self.weight = Parameter(ones(shape))
            self.bias = Parameter(zeros(shape))
        if track_running_stats:
            self.running_mean = Buffer(zeros(shape))
            self.running_var = Buffer(ones(shape))
            self.num_batches_tracked = Buffer(current().asarray(0))

    def forward(self, x: Array) -> Array:
        ndim = len(getattr(x, "shape", ()))
        rest = next((p for p in self.places if len(p) + 2 == ndim), self.places[0])
        sizes: tuple[int | str, ...] = ("batch", self.num_features, *rest)
        require(self, x, sizes, self.weight)
        if self.weight is None:
            self._require_dtype_of_statistics(x, sizes)
        mean = self.running_mean
        var = self.running_var
        if not self.training and mean is not None and var is not None:
            return F.batch_norm(x, mean.data, var.data, self.weight, self.bias, eps=self.eps)[0]
        running = self._running()
        if self._is_over_ranks():
            from xpnet.layers._synchronized import batch_norm_over_ranks

            y, running = batch_norm_over_ranks(x, self.weight, self.bias, self.eps, running)
        else:
            self._require_variance(x)
            if running is None:
                return F.batch_norm(x, None, None, self.weight, self.bias, eps=self.eps)[0]
            y, running = running.batch_norm(x, self.weight, self.bias, self.eps)
        if running is not None:
            self._keep(running)
        return y

    def _is_over_ranks(self) -> bool:
        """Whether the mean and variance are those of the samples of several ranks."""
        if not (self.training and self.sync):
            return False
        from xpnet import distributed  # which `import xpnet` does without

        return distributed.current().size > 1

    def _running(self) -> RunningStatistics | None:
        """The running statistics, if there are any."""
        mean = self.running_mean
        var = self.running_var
        count = self.num_batches_tracked
        if mean is None or var is None or count is None:
            return None
        return RunningStatistics(mean.data, var.data, count.data, self.momentum)

    def _keep(self, running: RunningStatistics) -> None:
        """Put running statistics into the buffers: on their device, and not recorded."""
        for buffer, x in (
            (self.running_mean, running.mean),
            (self.running_var, running.var),
            (self.num_batches_tracked, running.seen),
        ):
            if buffer is not None:
                buffer.data = x

    def _require_variance(self, x: Array) -> None:
        """Raise ShapeError unless each channel has more than one number."""
        if math.prod(x.shape) // max(self.num_features, 1) < 2:
            raise ShapeError(
                f"{self!r} expected more than one number per channel, to compute their variance, "
                f"got x of shape {tuple(x.shape)}. Use a larger batch, or model.eval()."
            )

    def _require_dtype_of_statistics(self, x: Array, sizes: tuple[int | str, ...]) -> None:
        """For a layer without a weight: x has the dtype of the running mean, or 16 bits."""
        require_floating(self, x, sizes)
        # The running averages of 16-bit inputs are in float32.
        is_half = array_namespace(x).finfo(x.dtype).bits < 32
        if self.running_mean is not None and not is_half:
            require_dtype(self, x, sizes, self.running_mean.data)

    def __repr__(self) -> str:
        options = non_default(
            eps=(self.eps, 1e-5),
            momentum=(self.momentum, 0.1),
            affine=(self.weight is not None, True),
            track_running_stats=(self.running_mean is not None, True),
            sync=(self.sync, False),
        )
        return f"{type(self).__name__}({self.num_features}{options})"


@own_init
class BatchNorm1d(_BatchNorm):
    """Normalizes each feature over the batch (and over the places of a sequence).

    y = (x - mean) / sqrt(var + eps) * weight + bias. In training, mean and variance are those of the
    batch; in evaluation (`model.eval()`) they are running averages.

    Parameters
    ----------
    num_features : int
    eps : float
        Added to the variance, so that nothing is divided by 0.
    momentum : float or None
        The weight of a new batch in the running averages; None: they are the plain averages of all
        batches so far.
    affine : bool
        Whether there are `weight` and `bias`.
    track_running_stats : bool
        Whether there are running averages; without them the statistics of the batch are used in
        evaluation too.
    sync : bool
        Whether, in a distributed training, mean and variance are those of the samples of all ranks, as
        if one rank had the whole batch. The ranks then communicate in each such layer, forward and
        back, and the steps are not compiled. By default each rank normalizes its share by itself, and
        the running averages are those of rank 0.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,), or None
        Initially ones and zeros.
    running_mean, running_var : Buffer, shape (num_features,), or None
        Initially zeros and ones. The running variance averages the unbiased one, over n - 1.
    num_batches_tracked : Buffer, shape (), or None
        The number of batches so far.

    Raises
    ------
    ShapeError
        In training, if there is one number per feature: its variance is 0, and y would be `bias`.

    Notes
    -----
    x and y : shape (batch, num_features) or (batch, num_features, length). The running averages
    stay on the device, and are not recorded. `gradient_checkpoint` runs a layer twice, and so counts
    a batch twice. Source: Ioffe and Szegedy, "Batch normalization: accelerating deep network
    training by reducing internal covariate shift", 2015.

    Examples
    --------
    >>> import xpnet
    >>> layer = xpnet.BatchNorm1d(1)
    >>> x = xpnet.Variable([[1.0], [3.0]])
    >>> layer(x)
    Variable(array([[-1.],
           [ 1.]], dtype=float32))
    >>> layer.running_mean
    Buffer(array([0.2], dtype=float32))
    """

    places = ((), ("length",))


@own_init
class BatchNorm2d(_BatchNorm):
    """Normalizes each channel of images over the batch and all pixels.

    Attributes and errors are those of `BatchNorm1d`.

    Parameters
    ----------
    num_features : int
        The number of channels.
    eps, momentum : float
    affine, track_running_stats, sync : bool
        These are as for `BatchNorm1d`.

    Notes
    -----
    x and y : shape (batch, num_features, height, width).

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> layer = xpnet.BatchNorm2d(3)
    >>> layer(F.ones((2, 3, 8, 8))).shape
    (2, 3, 8, 8)
    >>> layer.weight.shape
    (3,)
    """

    places = (("height", "width"),)


class LayerNorm(Layer):
    """Normalizes each sample over its last axes: y = (x - mean) / sqrt(var + eps) * weight + bias.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The sizes of the axes that are normalized together: for a sequence of vectors, the size of a
        vector.
    eps : float
        Added to the variance, so that nothing is divided by 0.
    elementwise_affine : bool
        Whether there are `weight` and `bias`.
    bias : bool
        Whether there is a `bias`; without a `weight` there is none.

    Attributes
    ----------
    weight, bias : Parameter, shape normalized_shape, or None
        Initially ones and zeros.

    Notes
    -----
    x and y : shape (..., *normalized_shape). Source: Ba, Kiros and Hinton, "Layer normalization",
    2016.

    Examples
    --------
    >>> import xpnet
    >>> layer = xpnet.LayerNorm(2)
    >>> xpnet.to_numpy(layer(xpnet.Variable([[1.0, 3.0], [10.0, 30.0]]))).tolist()
    [[-1.0000, 1.0000], [-1.0, 1.0]]
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
        self.normalized_shape = tuple(map(int, shape))
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        if not self.normalized_shape:
            raise ShapeError(f"LayerNorm expected the size of an axis, got {normalized_shape}.")
        self.weight: Parameter | None = None
        self.bias: Parameter | None = None
        if elementwise_affine:
            self.weight = Parameter(ones(self.normalized_shape))
        if elementwise_affine and bias:
            self.bias = Parameter(zeros(self.normalized_shape))

    def forward(self, x: Array) -> Array:
        shape = self.normalized_shape
        given = tuple(getattr(x, "shape", ()))
        if given[-len(shape) :] != shape:
            raise misfit(self, x, ("...", *shape))
        if self.weight is None:
            require_floating(self, x, given)
        else:
            require(self, x, given, self.weight)
        return F.layer_norm(x, shape, self.weight, self.bias, self.eps)

    def __repr__(self) -> str:
        has_weight = self.weight is not None
        has_bias = self.bias is not None
        options = non_default(
            eps=(self.eps, 1e-5),
            elementwise_affine=(has_weight, True),
            bias=(has_bias, has_weight),
        )
        shape = self.normalized_shape
        size = shape[0] if len(shape) == 1 else shape
        return f"LayerNorm({size}{options})"


class GroupNorm(Layer):
    """Normalizes each group of channels of each sample, over all places.

    y = (x - mean) / sqrt(var + eps) * weight + bias. It does not depend on the size of the batch.

    Parameters
    ----------
    num_groups, num_channels : int
        The number of channels is a multiple of the number of groups. One group is LayerNorm of the
        whole sample; as many groups as channels is instance normalization.
    eps : float
        Added to the variance, so that nothing is divided by 0.
    affine : bool
        Whether there are `weight` and `bias`.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_channels,), or None
        Initially ones and zeros.

    Notes
    -----
    x and y : shape (batch, num_channels, ...). Source: Wu and He, "Group normalization", 2018.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> layer = xpnet.GroupNorm(2, 4)
    >>> layer(F.ones((2, 4, 8, 8))).shape
    (2, 4, 8, 8)
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
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self.weight: Parameter | None = None
        self.bias: Parameter | None = None
        if affine:
            self.weight = Parameter(ones((num_channels,)))
            self.bias = Parameter(zeros((num_channels,)))

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
