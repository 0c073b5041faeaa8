"""Initial values of parameters: random, so that units differ; scaled, so that signals keep their size.

An initializer is a function `(shape, rng) -> array`; `zeros` and `ones` ignore `rng`. It draws on
the host in float64, a block at a time, casts to the backend's dtype, and sends the result to the
backend's device. So the numbers of one seed are the same, bit for bit, on every library.

For a weight of shape (in_features, out_features), fan_in = in_features, fan_out = out_features.
For the kernel of a convolution, of shape (outputs, channels, *lengths), fan_in is the product of
channels and lengths, and fan_out that of outputs and lengths.

    initializer                      variance                  for layers before
    glorot_normal, glorot_uniform    2 / (fan_in + fan_out)    sigmoid, tanh, softmax
    he_normal, he_uniform            2 / fan_in                ReLU
    lecun_normal, lecun_uniform      1 / fan_in                no activation, SELU
"""

import math
from collections.abc import Callable

from xpnet._choices import choose
from xpnet._typing import Array, Rng
from xpnet.backend import current
from xpnet.errors import ShapeError
from xpnet.layers._size_limit import require_within_limit
from xpnet.random import default_rng, in_blocks

__all__ = [
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "initializer",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "uniform",
    "zeros",
]

Shape = tuple[int, ...]
Initializer = Callable[..., Array]


def zeros(shape: Shape, rng: Rng = None) -> Array:
    """Zeros, for biases. With a weight of zeros all hidden units would stay equal.

    Parameters
    ----------
    shape : tuple of int
    rng : any
        It is not used.

    Returns
    -------
    array of that shape, in the backend's dtype

    Examples
    --------
    >>> import xpnet
    >>> from xpnet.layers.initializers import zeros
    >>> zeros((2,))
    array([0., 0.], dtype=float32)
    """
    require_within_limit(shape)
    backend = current()
    with backend.selected():
        return backend.xp.zeros(shape, dtype=backend.dtype, device=backend.device)


def ones(shape: Shape, rng: Rng = None) -> Array:
    """Ones, for the scale of a normalization.

    Parameters
    ----------
    shape : tuple of int
    rng : any
        It is not used.

    Returns
    -------
    array of that shape, in the backend's dtype

    Examples
    --------
    >>> import xpnet
    >>> from xpnet.layers.initializers import ones
    >>> ones((2,))
    array([1., 1.], dtype=float32)
    """
    require_within_limit(shape)
    backend = current()
    with backend.selected():
        return backend.xp.ones(shape, dtype=backend.dtype, device=backend.device)


def normal(shape: Shape, rng: Rng = None, *, std: float = 0.01) -> Array:
    """Normally distributed numbers of mean 0 and standard deviation `std`.

    Parameters
    ----------
    shape : tuple of int
    rng : int, numpy.random.Generator or None
        The source of the numbers; None: the generator of `xpnet.manual_seed`.
    std : float, default 0.01

    Returns
    -------
    array of that shape, in the backend's dtype

    Examples
    --------
    >>> import xpnet
    >>> from xpnet.layers.initializers import normal
    >>> round(float(normal((1000, 10), 0, std=0.5).std()), 1)
    0.5
    """
    source = default_rng(rng)
    return _drawn(shape, lambda n: source.standard_normal(n) * std)


def glorot_normal(shape: Shape, rng: Rng = None) -> Array:
    """Normal, variance 2 / (fan_in + fan_out): Glorot and Bengio, AISTATS 2010, section 4.2.1.

    Parameters
    ----------
    shape : tuple of int
        That of a weight or a kernel: see the module's docstring.
    rng : int, numpy.random.Generator or None
        The source of the numbers; None: the generator of `xpnet.manual_seed`.

    Returns
    -------
    array of that shape, in the backend's dtype

    Raises
    ------
    ShapeError
        The shape is not that of a weight or a kernel: it has fewer than two axes, or an axis of length 0.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet.layers.initializers import glorot_normal
    >>> glorot_normal((100, 50), 0).shape
    (100, 50)
    """
    return normal(shape, rng, std=math.sqrt(2.0 / sum(_fans(shape))))


def glorot_uniform(shape: Shape, rng: Rng = None) -> Array:
    """Uniform, variance 2 / (fan_in + fan_out): Glorot and Bengio, AISTATS 2010, eq. 16.

    Parameters
    ----------
    shape : tuple of int
        That of a weight or a kernel: see the module's docstring.
    rng : int, numpy.random.Generator or None
        The source of the numbers; None: the generator of `xpnet.manual_seed`.

    Returns
    -------
    array of that shape, in the backend's dtype

    Raises
    ------
    ShapeError
        The shape is not that of a weight or a kernel: it has fewer than two axes, or an axis of length 0.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet.layers.initializers import glorot_uniform
    >>> bool((abs(glorot_uniform((100, 50), 0)) <= 0.2).all())
    True
    """
    return _uniform(shape, rng, 2.0 / sum(_fans(shape)))


def he_normal(shape: Shape, rng: Rng = None) -> Array:
    """Normal, variance 2 / fan_in: He, Zhang, Ren and Sun, ICCV 2015, eq. 10.

    Parameters
    ----------
    shape : tuple of int
        That of a weight or a kernel: see the module's docstring.
    rng : int, numpy.random.Generator or None
        The source of the numbers; None: the generator of `xpnet.manual_seed`.

    Returns
    -------
    array of that shape, in the backend's dtype

    Raises
    ------
    ShapeError
        The shape is not that of a weight or a kernel: it has fewer than two axes, or an axis of length 0.

    Examples
    --------
    >>> import xpnet
    >>> w = xpnet.layers.initializers.he_normal((100, 50), 0)
    >>> w.shape
    (100, 50)
    """
    return normal(shape, rng, std=math.sqrt(2.0 / _fans(shape)[0]))


def he_uniform(shape: Shape, rng: Rng = None) -> Array:
    """Uniform, variance 2 / fan_in: He, Zhang, Ren and Sun, ICCV 2015, eq. 10.

    Parameters
    ----------
    shape : tuple of int
        That of a weight or a kernel: see the module's docstring.
    rng : int, numpy.random.Generator or None
        The source of the numbers; None: the generator of `xpnet.manual_seed`.

    Returns
    -------
    array of that shape, in the backend's dtype

    Raises
    ------
    ShapeError
        The shape is not that of a weight or a kernel: it has fewer than two axes, or an axis of length 0.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet.layers.initializers import he_uniform
    >>> he_uniform((100, 50), 0).shape
    (100, 50)
    """
    return _uniform(shape, rng, 2.0 / _fans(shape)[0])


def lecun_normal(shape: Shape, rng: Rng = None) -> Array:
    """Normal, variance 1 / fan_in: LeCun, Bottou, Orr and Mueller, "Efficient BackProp", 1998.

    Parameters
    ----------
    shape : tuple of int
        That of a weight or a kernel: see the module's docstring.
    rng : int, numpy.random.Generator or None
        The source of the numbers; None: the generator of `xpnet.manual_seed`.

    Returns
    -------
    array of that shape, in the backend's dtype

    Raises
    ------
    ShapeError
        The shape is not that of a weight or a kernel: it has fewer than two axes, or an axis of length 0.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet.layers.initializers import lecun_normal
    >>> lecun_normal((100, 50), 0).shape
    (100, 50)
    """
    return normal(shape, rng, std=math.sqrt(1.0 / _fans(shape)[0]))


def lecun_uniform(shape: Shape, rng: Rng = None) -> Array:
    """Uniform, variance 1 / fan_in: LeCun, Bottou, Orr and Mueller, "Efficient BackProp", 1998.

    Parameters
    ----------
    shape : tuple of int
        That of a weight or a kernel: see the module's docstring.
    rng : int, numpy.random.Generator or None
        The source of the numbers; None: the generator of `xpnet.manual_seed`.

    Returns
    -------
    array of that shape, in the backend's dtype

    Raises
    ------
    ShapeError
        The shape is not that of a weight or a kernel: it has fewer than two axes, or an axis of length 0.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet.layers.initializers import lecun_uniform
    >>> lecun_uniform((100, 50), 0).shape
    (100, 50)
    """
    return _uniform(shape, rng, 1.0 / _fans(shape)[0])


BY_NAME: dict[str, Initializer] = {
    f.__name__: f
    for f in (
        zeros,
        normal,
        glorot_normal,
        glorot_uniform,
        he_normal,
        he_uniform,
        lecun_normal,
        lecun_uniform,
    )
}


def initializer(which: str | Initializer) -> Initializer:
    """The initializer of that name; a function is returned as it is.

    Parameters
    ----------
    which : str or function `(shape, rng) -> array`

    Returns
    -------
    function `(shape, rng) -> array`

    Raises
    ------
    ValueError
        No initializer has that name; the message lists the known ones.

    Examples
    --------
    A layer's `weight` may be given in either way:

    >>> from xpnet.layers.initializers import he_uniform, initializer
    >>> initializer("he_uniform") is initializer(he_uniform) is he_uniform
    True
    """
    if callable(which):
        return which
    return choose("initializer", which, BY_NAME)


def uniform(shape: Shape, rng: Rng = None, *, bound: float) -> Array:
    """Uniformly distributed numbers from -bound to bound.

    Parameters
    ----------
    shape : tuple of int
    rng : int, numpy.random.Generator or None
        The source of the numbers; None: the generator of `xpnet.manual_seed`.
    bound : float

    Returns
    -------
    array of that shape, in the backend's dtype

    Examples
    --------
    >>> import xpnet
    >>> from xpnet.layers.initializers import uniform
    >>> bool((abs(uniform((1000, 10), 0, bound=0.5)) <= 0.5).all())
    True
    """
    source = default_rng(rng)
    return _drawn(shape, lambda n: source.uniform(-bound, bound, n))


def _uniform(shape: Shape, rng: Rng, variance: float) -> Array:
    return uniform(shape, rng, bound=math.sqrt(3.0 * variance))  # U(-a, a) has variance a^2 / 3


def _drawn(shape: Shape, draw: Callable[[int], Array]) -> Array:
    """Numbers on the backend's device, in its dtype; `draw(n)` draws n of them on the host."""
    require_within_limit(shape)
    backend = current()
    name = "float32"  # on the host; it also holds narrower numbers, as NumPy has no bfloat16
    if "float64" in str(backend.dtype):
        name = "float64"
    return backend.asarray(in_blocks(shape, name, draw), dtype=backend.dtype)


def _fans(shape: Shape) -> tuple[int, int]:
    """fan_in, the numbers that an output depends on, and fan_out, the outputs that an input affects."""
    if len(shape) < 2 or min(shape) < 1:
        raise ShapeError(
            f"Expected a weight of shape (in_features, out_features), or a kernel of shape "
            f"(outputs, channels, *lengths), all of them 1 or more, got {shape}."
        )
    if len(shape) == 2:
        return shape
    lengths = math.prod(shape[2:])
    return shape[1] * lengths, shape[0] * lengths
