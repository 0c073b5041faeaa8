"""Activation functions, which stand between a network's layers, and the softmax at its end."""

import math

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._half_precision import in_full
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError
from xpnet.functions._in_float32 import as_number, cast_like
from xpnet.functions._logistic import LogisticDensity, Sigmoid
from xpnet.functions._masks import product_where_not_zero, zero_unless
from xpnet.functions.normal import normal_cdf
from xpnet.kernels.lookup import kernel

# The constants in the approximation of gelu.
CUBE = 0.044715
SLOPE = math.sqrt(2.0 / math.pi)
# Below this, x sigmoid(x) and x Phi(x) are 0 in every dtype. Gated functions replace smaller x by
# it: for an x of -inf the product would be NaN.
LOWEST = -1e4


class ReLU(Function):
    def forward(self, x: Array) -> Array:
        if fast := kernel("relu", x):
            return fast(x)
        return array_namespace(x).maximum(x, 0.0)

    def backward(self, gy: Array, y: Array) -> Array:
        if fast := kernel("relu_gradient", gy, y):
            return fast(gy, y)
        return zero_unless(y > 0.0, gy)


class LeakyReLU(Function):
    def __init__(self, slope: float) -> None:
        self.slope = as_number(slope)

    def forward(self, x: Array) -> Array:
        if fast := kernel("leaky_relu", x):
            return fast(x, self.slope)
        return array_namespace(x).where(x > 0.0, x, self.slope * x)

    def backward(self, gy: Array, x: Array) -> Array:
        if fast := kernel("leaky_relu_gradient", gy, x):
            return fast(gy, x, self.slope)
        below = self.slope * gy if self.slope else 0.0  # 0 times infinity would be NaN
        return array_namespace(gy, x).where(x > 0.0, gy, below)


class ELU(Function):
    def __init__(self, alpha: float) -> None:
        self.alpha = as_number(alpha)

    def forward(self, x: Array) -> Array:
        if fast := kernel("elu", x):
            return fast(x, self.alpha)
        xp = array_namespace(x)
        return xp.where(x > 0.0, x, self.alpha * xp.expm1(xp.minimum(x, 0.0)))

    def backward(self, gy: Array, x: Array) -> Array:
        if fast := kernel("elu_gradient", gy, x):
            return fast(gy, x, self.alpha)
        xp = array_namespace(gy, x)
        low = xp.where(x > 0.0, 0.0, x)  # not `minimum`, which halves the second derivative at 0
        below = gy * (self.alpha * xp.exp(low)) if self.alpha else 0.0  # 0 times infinity is NaN
        return xp.where(x > 0.0, gy, below)


class Softplus(Function):
    def __init__(self, beta: float, threshold: float) -> None:
        self.beta = as_number(beta)
        self.threshold = as_number(threshold)

    def forward(self, x: Array) -> Array:
        if fast := kernel("softplus", x):
            return fast(x, self.beta, self.threshold)
        xp = array_namespace(x)
        z = self.beta * x
        soft = xp.maximum(z, 0.0) + xp.log1p(xp.exp(-xp.abs(z)))
        return xp.where(z > self.threshold, x, soft / self.beta)

    def backward(self, gy: Array, x: Array) -> Array:
        if fast := kernel("softplus_gradient", gy, x):
            return fast(gy, x, self.beta, self.threshold)
        z = self.beta * x
        return gy * array_namespace(gy, x).where(z > self.threshold, 1.0, sigmoid(z))


def _clipped(x: Array, limit: float) -> Array:
    """x, limited to the range from -limit to limit."""
    xp = array_namespace(x)
    return xp.minimum(xp.maximum(x, -limit), limit)


class Gated(Function):
    """x times a gate from 0 to 1 that vanishes faster than x grows: 0 at -inf, not NaN."""

    def forward(self, x: Array, gate: Array) -> Array:
        return gate * array_namespace(x).maximum(x, LOWEST)

    def backward(self, gy: Array, x: Array, gate: Array) -> tuple[Array | None, Array | None]:
        gx = None
        ggate = None
        if self.needs[0]:
            gx = gy * gate
        if self.needs[1]:
            ggate = gy * _clipped(x, -LOWEST)
        return gx, ggate


class SiLU(Function):
    """x sigmoid(x) in one node, where a kernel computes it; see `silu`."""

    def forward(self, x: Array) -> Array:
        return kernel("silu", x)(x)  # type: ignore[misc]

    def backward(self, gy: Array, x: Array) -> Array:
        if fast := kernel("silu_gradient", gy, x):
            return fast(gy, x)
        near = _clipped(x, 1000.0)  # x sigmoid'(x) is 0 at these limits
        return gy * (sigmoid(x) + near * LogisticDensity()(near))


class GELU(Function):
    """x Phi(x) in one node, where a kernel computes it; see `gelu`."""

    def forward(self, x: Array) -> Array:
        return kernel("gelu", x)(x)  # type: ignore[misc]

    def backward(self, gy: Array, x: Array) -> Array:
        if fast := kernel("gelu_gradient", gy, x):
            return fast(gy, x)
        near = _clipped(x, 40.0)  # x phi(x) is 0 at these limits
        density = array_namespace(x).exp(-0.5 * (near * near)) / math.sqrt(2.0 * math.pi)
        return gy * (normal_cdf(x) + near * density)


class TanhGELU(Function):
    """The approximation of `GELU` in one node; see `gelu`."""

    def forward(self, x: Array) -> Array:
        if fast := kernel("tanh_gelu", x):
            return fast(x)
        xp = array_namespace(x)
        c = _clipped(x, 30.0)  # the gate is 0 or 1 at these limits, and the cube cannot overflow
        z = 2.0 * SLOPE * (c * (1.0 + CUBE * (c * c)))
        return xp.maximum(x, LOWEST) * sigmoid(z)  # (1 + tanh(z / 2)) / 2, but precise for z < 0

    def backward(self, gy: Array, x: Array) -> Array:
        if fast := kernel("tanh_gelu_gradient", gy, x):
            return fast(gy, x)
        c = _clipped(x, 30.0)
        z = 2.0 * SLOPE * (c * (1.0 + CUBE * (c * c)))
        slope_of_z = 2.0 * SLOPE * (1.0 + 3.0 * CUBE * (c * c))
        return gy * (sigmoid(z) + c * (LogisticDensity()(z) * slope_of_z))


class LogSoftmax(Function):
    """y = x - log(sum(exp(x))) over `axis`; gx = gy - exp(y) sum(gy).

    The maximum is subtracted from x first: this changes nothing in y, and exp cannot overflow.
    """

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        if 0 in x.shape:
            return xp.astype(x, x.dtype)  # an empty axis has no maximum
        x = x - xp.max(x, axis=self.axis, keepdims=True)
        return x - xp.log(xp.sum(xp.exp(x), axis=self.axis, keepdims=True))

    def backward(self, gy: Array, y: Array) -> Array:
        xp = array_namespace(gy)
        return gy - xp.exp(y) * xp.sum(gy, axis=self.axis, keepdims=True)


class Softmax(Function):
    """y = exp(x) / sum(exp(x)) over `axis`; gx = y (gy - sum(gy y)).

    The maximum is subtracted from x first: this changes nothing in y, and exp cannot overflow.
    """

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        if 0 in x.shape:
            return xp.astype(x, x.dtype)  # an empty axis has no maximum
        e = xp.exp(x - xp.max(x, axis=self.axis, keepdims=True))
        return e / xp.sum(e, axis=self.axis, keepdims=True)

    def backward(self, gy: Array, y: Array) -> Array:
        gy_y = product_where_not_zero(gy, y)
        return gy_y - y * array_namespace(gy).sum(gy_y, axis=self.axis, keepdims=True)


def relu(x: Array) -> Array:
    """max(x, 0), elementwise; its derivative is 1 where x > 0 and 0 elsewhere, at 0 too.

    Source: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.

    Parameters
    ----------
    x : array or Variable, any shape
        Of real numbers.

    Returns
    -------
    array or Variable, of the shape and dtype of x

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> F.relu(xpnet.Variable([-1.0, 0.0, 2.0]))
    Variable(array([0., 0., 2.], dtype=float32))
    """
    return ReLU()(x)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), elementwise, without overflow for any x.

    Parameters
    ----------
    x : array or Variable, any shape
        Of real floating-point numbers.

    Returns
    -------
    array or Variable, of the shape and dtype of x

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> xpnet.to_numpy(F.sigmoid(xpnet.Variable([-1.0, 0.0, 2.0]))).tolist()
    [0.2689, 0.5, 0.8808]
    """
    return Sigmoid()(x)


@follows
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """x where x > 0, else `negative_slope` * x, elementwise; the derivative at 0 is the slope.

    Source: Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models",
    2013.

    Parameters
    ----------
    x : array or Variable, any shape
        Of real floating-point numbers.
    negative_slope : float, default 0.01

    Returns
    -------
    array or Variable, of the shape and dtype of x

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> F.leaky_relu(xpnet.Variable([-1.0, 0.0, 2.0]), 0.25)
    Variable(array([-0.25,  0.  ,  2.  ], dtype=float32))
    """
    return LeakyReLU(negative_slope)(x)


@follows
def elu(x: Array, alpha: float = 1.0) -> Array:
    """x where x > 0, else `alpha` * (exp(x) - 1), elementwise: it levels off at -alpha.

    Source: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by
    exponential linear units (ELUs)", 2016.

    Parameters
    ----------
    x : array or Variable, any shape
        Of real floating-point numbers.
    alpha : float, default 1.0

    Returns
    -------
    array or Variable, of the shape and dtype of x

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> F.elu(xpnet.Variable([-1.0, 0.0, 2.0]))
    Variable(array([-0.6321,  0.    ,  2.    ], dtype=float32))
    """
    return ELU(alpha)(x)


@follows
def gelu(x: Array, approximate: str = "none") -> Array:
    """x Phi(x), elementwise, where Phi is the distribution function of the normal distribution.

    Parameters
    ----------
    x : array or Variable
    approximate : {"none", "tanh"}
        "tanh": x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, which differs by up to 5e-4; the
        first GPT and BERT models were trained with it.

    Returns
    -------
    array or Variable, of the shape and dtype of x

    Raises
    ------
    ValueError
        `approximate` is neither.

    Notes
    -----
    The relative error of Phi is small in the far negative tail too: see `xpnet.functions.normal`.
    Source: Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", 2016.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> xpnet.to_numpy(F.gelu(xpnet.Variable([-1.0, 0.0, 2.0]))).tolist()
    [-0.1587, 0.0, 1.9545]
    """
    if approximate == "tanh":
        return TanhGELU()(x)
    if approximate != "none":
        raise ArgumentError(f"gelu expected approximate='none' or 'tanh', got {approximate!r}.")
    if kernel("gelu", data_of(x)):
        return GELU()(x)
    return Gated()(x, normal_cdf(x))


@follows
def silu(x: Array) -> Array:
    """x sigmoid(x), elementwise; also called swish.

    Source: Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning", 2018.

    Parameters
    ----------
    x : array or Variable, any shape
        Of real floating-point numbers.

    Returns
    -------
    array or Variable, of the shape and dtype of x

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> xpnet.to_numpy(F.silu(xpnet.Variable([-1.0, 0.0, 2.0]))).tolist()
    [-0.2689, 0.0, 1.7616]
    """
    if kernel("silu", data_of(x)):
        return SiLU()(x)
    return Gated()(x, sigmoid(x))


@follows
def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + exp(beta x)) / beta, elementwise: a smooth `relu`, whose derivative is the sigmoid.

    Where beta x > `threshold` it is x itself, with derivative 1, as in PyTorch: for the default
    threshold, the error is below 2.1e-9 / beta.

    Source: Dugas, Bengio, Belisle, Nadeau and Garcia, "Incorporating second-order functional
    knowledge for better option pricing", 2001.

    Parameters
    ----------
    x : array or Variable, any shape
        Of real floating-point numbers.
    beta : float, default 1.0
    threshold : float, default 20.0

    Returns
    -------
    array or Variable, of the shape and dtype of x

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> xpnet.to_numpy(F.softplus(xpnet.Variable([-1.0, 0.0, 2.0]))).tolist()
    [0.3133, 0.6931, 2.1269]
    """
    return Softplus(beta, threshold)(x)


@follows
def softmax(x: Array, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)) over `axis`: positive numbers that sum to 1, without overflow.

    For float16 and bfloat16 inputs it is computed in float32, and rounded once.

    Parameters
    ----------
    x : array or Variable, any shape
        Of real floating-point numbers.
    axis : int, default -1
        That of the classes.

    Returns
    -------
    array or Variable, of the shape and dtype of x

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> xpnet.to_numpy(F.softmax(xpnet.Variable([[0.0, 0.0], [0.0, 2.0]]))).tolist()
    [[0.5, 0.5], [0.1192, 0.8808]]
    """
    full = in_full(x)
    y = Softmax(axis)(full)
    if full is x:
        return y
    return cast_like(y, x)


@follows
def log_softmax(x: Array, axis: int = -1) -> Array:
    """log(softmax(x)) over `axis`, finite where the softmax itself would underflow to 0.

    For float16 and bfloat16 inputs it is computed in float32, and rounded once.

    Parameters
    ----------
    x : array or Variable, any shape
        Of real floating-point numbers.
    axis : int, default -1
        That of the classes.

    Returns
    -------
    array or Variable, of the shape and dtype of x

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> F.log_softmax(xpnet.Variable([[0.0, 0.0]]))
    Variable(array([[-0.6931, -0.6931]], dtype=float32))
    """
    full = in_full(x)
    y = LogSoftmax(axis)(full)
    if full is x:
        return y
    return cast_like(y, x)
