"""Activations as layers. They have no parameters; the mathematics is in `xpnet.functions`."""

from xpnet import functions as F
from xpnet._choices import choose
from xpnet._typing import Array
from xpnet.errors import ArgumentError
from xpnet.layers.base import Layer


class ReLU(Layer):
    """max(x, 0), elementwise: Nair and Hinton, ICML 2010. Any shape.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.ReLU()(xpnet.Variable([-1.0, 0.0, 2.0]))
    Variable(array([0., 0., 2.], dtype=float32))
    """

    def forward(self, x: Array) -> Array:
        return F.relu(x)


class LeakyReLU(Layer):
    """x where x > 0, else `negative_slope` * x, elementwise. Any shape. See `F.leaky_relu`.

    Parameters
    ----------
    negative_slope : float
        The slope where x < 0.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.LeakyReLU(0.25)(xpnet.Variable([-1.0, 0.0, 2.0]))
    Variable(array([-0.25,  0.  ,  2.  ], dtype=float32))
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Array) -> Array:
        return F.leaky_relu(x, self.negative_slope)

    def __repr__(self) -> str:
        return f"LeakyReLU({self.negative_slope})"


class ELU(Layer):
    """x where x > 0, else `alpha` * (exp(x) - 1), elementwise. Any shape. See `F.elu`.

    Parameters
    ----------
    alpha : float
        For large negative x, y approaches -alpha.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.ELU()(xpnet.Variable([-1.0, 0.0, 2.0]))
    Variable(array([-0.6321,  0.    ,  2.    ], dtype=float32))
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Array) -> Array:
        return F.elu(x, self.alpha)

    def __repr__(self) -> str:
        return f"ELU(alpha={self.alpha})"


class GELU(Layer):
    """x Phi(x), elementwise. Any shape. See `F.gelu`.

    Phi is the distribution function of the standard normal distribution.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        Whether Phi is exact, or approximated with a tanh.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.to_numpy(xpnet.GELU()(xpnet.Variable([-1.0, 0.0, 2.0]))).tolist()
    [-0.1587, 0.0, 1.9545]
    """

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ArgumentError(f"GELU expected approximate='none' or 'tanh', got {approximate!r}.")
        self.approximate = approximate

    def forward(self, x: Array) -> Array:
        return F.gelu(x, self.approximate)

    def __repr__(self) -> str:
        if self.approximate == "none":
            return "GELU()"
        return f"GELU({self.approximate!r})"


class SiLU(Layer):
    """x sigmoid(x), elementwise; also called swish. Any shape. See `F.silu`.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.to_numpy(xpnet.SiLU()(xpnet.Variable([-1.0, 0.0, 2.0]))).tolist()
    [-0.2689, 0.0, 1.7616]
    """

    def forward(self, x: Array) -> Array:
        return F.silu(x)


class Softplus(Layer):
    """log(1 + exp(beta x)) / beta, elementwise: a smooth ReLU. Any shape. See `F.softplus`.

    Parameters
    ----------
    beta : float
        With a larger beta, y is closer to ReLU.
    threshold : float
        Where beta x is greater, y is x itself.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.to_numpy(xpnet.Softplus()(xpnet.Variable([-1.0, 0.0, 2.0]))).tolist()
    [0.3133, 0.6931, 2.1269]
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta = beta
        self.threshold = threshold

    def forward(self, x: Array) -> Array:
        return F.softplus(x, self.beta, self.threshold)

    def __repr__(self) -> str:
        return f"Softplus(beta={self.beta}, threshold={self.threshold})"


class Sigmoid(Layer):
    """1 / (1 + exp(-x)), elementwise. Any shape.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.to_numpy(xpnet.Sigmoid()(xpnet.Variable([-1.0, 0.0, 2.0]))).tolist()
    [0.2689, 0.5, 0.8808]
    """

    def forward(self, x: Array) -> Array:
        return F.sigmoid(x)


class Tanh(Layer):
    """tanh(x), elementwise. Any shape.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.to_numpy(xpnet.Tanh()(xpnet.Variable([-1.0, 0.0, 2.0]))).tolist()
    [-0.7616, 0.0, 0.9640]
    """

    def forward(self, x: Array) -> Array:
        return F.tanh(x)


class Softmax(Layer):
    """exp(x) / sum(exp(x)) along `dim`: probabilities.

    Do not put it before `F.softmax_cross_entropy`: that loss contains a softmax.

    Parameters
    ----------
    dim : int
        The axis of the classes.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.to_numpy(xpnet.Softmax()(xpnet.Variable([[0.0, 0.0], [0.0, 2.0]]))).tolist()
    [[0.5, 0.5], [0.1192, 0.8808]]
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Array) -> Array:
        return F.softmax(x, axis=self.dim)

    def __repr__(self) -> str:
        return f"Softmax(dim={self.dim})"


class LogSoftmax(Layer):
    """log(softmax(x)) along `dim`, finite where the softmax itself would underflow to 0.

    Parameters
    ----------
    dim : int
        The axis of the classes.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.LogSoftmax()(xpnet.Variable([[0.0, 0.0]]))
    Variable(array([[-0.6931, -0.6931]], dtype=float32))
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Array) -> Array:
        return F.log_softmax(x, axis=self.dim)

    def __repr__(self) -> str:
        return f"LogSoftmax(dim={self.dim})"


BY_NAME: dict[str, type[Layer]] = {  # the activations of hidden layers, each with its defaults
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "gelu": GELU,
    "silu": SiLU,
    "softplus": Softplus,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
}


def activation(name: str) -> Layer:
    """A new activation layer, by its name in lower case.

    Raises
    ------
    ValueError
        No activation has that name; the message lists the known ones.
    """
    return choose("activation", name, BY_NAME)()
