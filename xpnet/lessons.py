"""The names of the lessons that xpnet grew from: only the imports in their code must be changed.

    lesson 1    AddLayer(), MulLayer()                      the nodes of a computational graph
    lesson 2    MulLayer(w), AddLayer(b), MSELayer(t)       one layer by gradient descent
    lesson 4    Variable, Function, matmul, sum_to, ...     define by run
    lesson 5    Affine(W, b), Relu(), Sigmoid(), SoftmaxWithLoss(), numerical_gradient, load_mnist

(Lesson 3 needs no other names than NumPy's.)

A layer here stores the arrays that it is given without copying them, so the lessons' line
`params[key] -= learning_rate * grad[key]` changes the layer. `forward` computes, and remembers what
`backward` needs; `backward(dout)` returns the gradient of the input, and sets the gradients of the
layer's own arrays. They are the exact derivatives. Where a lesson takes a short cut (lesson 2 omits
the 2 / N of the mean squared error, and averages the gradient of the bias), the learning rate differs
by a factor.

The lessons compute in float64: `xpnet.use("numpy", "float64")`. For layers that train in float32, on
any device, and that can be saved, see `xpnet.layers`.

Examples
--------
>>> node = MulLayer()
>>> float(node.forward(100, 4))
400.0
>>> dx, dy = node.backward(1.1)
>>> round(float(dx), 5), round(float(dy), 5)
(4.4, 110.0)
"""

from collections.abc import Callable
from functools import partial, wraps
from itertools import product
from typing import TYPE_CHECKING, Any, NoReturn

import array_api_compat as compat

from xpnet import autodiff, data, functions as F
from xpnet._hints import for_modules, missing
from xpnet._libraries import library_of
from xpnet._typing import Array
from xpnet.autodiff._signatures import Rule
from xpnet.autodiff.derivatives import vjp
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Variable, as_constant, data_of
from xpnet.backend import current
from xpnet.errors import ArgumentTypeError, GradientError
from xpnet.functions import linear, matmul, mean_squared_error, sigmoid

__all__ = [
    "AddLayer",
    "Affine",
    "Function",
    "MSELayer",
    "MulLayer",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "Variable",
    "linear",
    "load_mnist",
    "matmul",
    "mean_squared_error",
    "numerical_gradient",
    "sigmoid",
    "sum_to",
]


class _Layer:
    """A function of arrays that is differentiated step by step."""

    _pull: Callable[[Any], tuple[Array, ...]] | None = None  # see `xpnet.autodiff.vjp`

    def _compute(self, f: Callable[..., Any], *xs: Any) -> Array:
        """f(*xs); what `_gradients` needs is remembered."""
        y, self._pull = vjp(f, *map(_floating, xs))
        return y

    def _gradients(self, dout: Array) -> tuple[Array, ...]:
        """The gradients of the last xs, given the gradient `dout` of the result."""
        if self._pull is None:
            name = type(self).__name__
            raise GradientError(f"{name}.backward: call {name}.forward(...) first.")
        return self._pull(dout)

    def backward(self, dout: Array = 1) -> Array:
        """The gradient of x, given the gradient `dout` of the output of `forward`."""
        (dx,) = self._gradients(dout)
        return dx


def _floating(x: Array | int) -> Array:
    """The data of x; a Python integer, such as a price or a count, becomes a float."""
    if isinstance(x, int):
        return float(x)
    return data_of(x)


def _changeable(x: Array) -> Array:
    """x as an array that `x -= ...` changes in place, and with it the layer that stores it."""
    if not compat.is_array_api_obj(data_of(x)):
        x = current().asarray(x)
    if not library_of(data_of(x)).mutable:
        raise ArgumentTypeError(
            "The lessons change their arrays in place, which JAX's arrays do not allow: expected "
            "arrays of NumPy, CuPy or PyTorch. xpnet's layers and optimizers run on JAX."
        )
    return x


# --- lessons 1 and 2: nodes, and one layer -------------------------------------------------------


class AddLayer(_Layer):
    """Lesson 1: x + y. Lesson 2: x + b, with an array b of its own.

    Parameters
    ----------
    b : array, optional
        The array to add; without it, `forward` takes both numbers.

    Attributes
    ----------
    grad : array or None
        The gradient of b, set by `backward`.

    Raises
    ------
    ArgumentTypeError
        b is an array of JAX, which cannot be changed in place.
    GradientError
        Raised by `backward`: `forward` has not been called; or x and y, which have one gradient, have
        different shapes.

    Examples
    --------
    >>> from xpnet.lessons import AddLayer
    >>> node = AddLayer()
    >>> float(node.forward(200, 450)), float(node.backward(1.1))
    (650.0, 1.1)
    """

    def __init__(self, b: Array | None = None) -> None:
        self.b = None if b is None else _changeable(b)
        self.grad: Array | None = None

    def forward(self, x: Array, y: Array | None = None) -> Array:
        if self.b is not None:
            y = self.b
        return self._compute(F.add, x, y)

    def backward(self, dout: Array = 1) -> Array:
        """The gradient of x, which is also that of y: `dout`. Both have the same shape."""
        dx, dy = self._gradients(dout)
        if self.b is not None:
            self.grad = dy
        elif dx.shape != dy.shape:
            raise GradientError(
                "AddLayer.backward returns one gradient for both: expected numbers of one shape, got "
                f"{tuple(dx.shape)} and {tuple(dy.shape)}. xpnet.Add returns one for each."
            )
        return dx


class MulLayer(_Layer):
    """Lesson 1: x * y. Lesson 2: x @ w, with a matrix w of its own.

    Parameters
    ----------
    w : array, shape (in, out), optional
        The weights; without them `forward` takes two numbers.

    Attributes
    ----------
    grad : array or None
        The gradient of w, set by `backward`.

    Raises
    ------
    ArgumentTypeError
        w is an array of JAX, which cannot be changed in place.
    GradientError
        Raised by `backward`: `forward` has not been called.

    Examples
    --------
    Two apples at 100 each; the gradient of the price is the number, and the other way round:

    >>> from xpnet.lessons import MulLayer
    >>> node = MulLayer()
    >>> float(node.forward(100, 2))
    200.0
    >>> [float(dx) for dx in node.backward()]
    [2.0, 100.0]
    """

    def __init__(self, w: Array | None = None) -> None:
        self.w = None if w is None else _changeable(w)
        self.grad: Array | None = None

    def forward(self, x: Array, y: Array | None = None) -> Array:
        if self.w is None:
            return self._compute(F.multiply, x, y)
        return self._compute(F.matmul, x, self.w)

    def backward(self, dout: Array = 1) -> Array | tuple[Array, Array]:
        """The gradients of x and y; of x only, if the layer has weights of its own."""
        dx, dy = self._gradients(dout)
        if self.w is None:
            return dx, dy
        self.grad = dy
        return dx


class MSELayer(_Layer):
    """Lesson 2: the mean of (x - t)^2, with targets t of its own; its gradient is 2 (x - t) / N.

    Parameters
    ----------
    t : array
        The targets, of the shape of x: N numbers in all.

    Attributes
    ----------
    loss : array or None
        The last result of `forward`.

    Raises
    ------
    GradientError
        Raised by `backward`: `forward` has not been called.

    Examples
    --------
    >>> from xpnet import current, to_numpy
    >>> from xpnet.lessons import MSELayer
    >>> layer = MSELayer(current().asarray([1.0, 2.0]))
    >>> float(layer.forward(current().asarray([1.0, 5.0])))  # (0 + 9) / 2
    4.5
    >>> to_numpy(layer.backward()).tolist()  # 2 (x - t) / 2
    [0.0, 3.0]
    """

    def __init__(self, t: Array) -> None:
        self.t = t
        self.loss: Array | None = None

    def forward(self, x: Array) -> Array:
        self.loss = self._compute(lambda x: F.mean((x - as_constant(self.t)) ** 2), x)
        return self.loss


# --- lesson 4: define by run -----------------------------------------------------------------------


class Function(autodiff.Function):
    """A Function whose rule reads its inputs and outputs from attributes, as in DeZero.

    `backward(self, gy)` reads `self.inputs`, a tuple of Variables, and `self.outputs`, a tuple of
    functions that return a Variable each (DeZero's weak references). For an input of None, `data` is
    None. All inputs and outputs stay in memory, whereas `xpnet.Function` keeps only those that the
    rule names.

    Examples
    --------
    >>> class Square(Function):
    ...     def forward(self, x):
    ...         return x * x
    ...     def backward(self, gy):
    ...         (x,) = self.inputs
    ...         return gy * 2.0 * x
    >>> x = Variable(3.0)
    >>> Square()(x).backward()
    >>> float(x.grad)
    6.0
    """

    inputs: tuple[Any, ...]
    outputs: tuple[Callable[[], Any], ...]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "backward" in cls.__dict__:
            cls.backward = _with_inputs(cls.backward)  # type: ignore[method-assign]
        rule = Rule(rest=0, y_at=0)  # backward(gy, y, *xs), the rule that `_with_inputs` returns
        super().__init_subclass__(rule=rule, **kwargs)


class _Nothing:
    """What a rule gets for an input of None: an object whose `data` is None, too."""

    data = None


def _with_inputs(rule: Callable[..., Any]) -> Callable[..., Any]:
    """`backward` as the tape calls it, around one that reads `self.inputs` and `self.outputs`."""

    @wraps(rule)
    def backward(self: Function, gy: Array, y: Array, *xs: Any) -> Any:
        gys = _as_tuple(gy)
        ys = [as_constant(output) for output in _as_tuple(y)]
        self.inputs = tuple(_Nothing() if x is None else as_constant(x) for x in xs)
        self.outputs = tuple(partial(as_constant, output) for output in ys)
        gxs = _as_tuple(rule(self, *map(as_constant, gys)))
        if any(isinstance(g, Variable) for g in gys):  # the rule itself is being recorded
            return gxs
        return tuple(map(data_of, gxs))

    return backward


def _as_tuple(x: Any) -> tuple[Any, ...]:
    """A tuple as it is; anything else as a tuple of one."""
    return x if isinstance(x, tuple) else (x,)


def sum_to(x: Array, shape: tuple[int, ...]) -> Array:
    """The sum of x over the axes along which an array of that shape is repeated by broadcasting.

    Parameters
    ----------
    x : array or Variable
    shape : tuple of int
        A shape that broadcasts to that of x.

    Returns
    -------
    array or Variable, of that shape

    Examples
    --------
    A bias that is added to each row gets the sum of the rows of the gradient:

    >>> from xpnet import Variable, to_numpy
    >>> from xpnet.lessons import sum_to
    >>> to_numpy(sum_to(Variable([[1.0, 2.0], [3.0, 4.0]]), (2,))).tolist()
    [4.0, 6.0]
    """
    added = x.ndim - len(shape)  # axes in front
    repeated = [added + i for i, n in enumerate(shape) if n == 1 and x.shape[added + i] != 1]
    return F.reshape(F.sum(x, axis=(*range(added), *repeated)), shape)


# --- lesson 5: two layers on MNIST -----------------------------------------------------------------


class Affine(_Layer):
    """x @ W + b, with the caller's arrays W and b.

    Parameters
    ----------
    W : array, shape (in, out)
    b : array, shape (out,)

    Attributes
    ----------
    dW, db : array or None
        The gradients of W and b, set by `backward`.

    Raises
    ------
    ArgumentTypeError
        W or b is an array of JAX, which cannot be changed in place.
    GradientError
        Raised by `backward`: `forward` has not been called.

    Examples
    --------
    >>> from xpnet import current, to_numpy
    >>> from xpnet.lessons import Affine
    >>> layer = Affine([[2.0], [3.0]], [0.5])
    >>> y = layer.forward(current().asarray([[1.0, 10.0]]))
    >>> float(y[0, 0])  # 1 * 2 + 10 * 3 + 0.5
    32.5
    >>> dx = layer.backward(current().asarray([[1.0]]))
    >>> to_numpy(dx).tolist(), to_numpy(layer.dW).tolist()
    ([[2.0, 3.0]], [[1.0], [10.0]])
    """

    def __init__(self, W: Array, b: Array) -> None:
        self.W = _changeable(W)
        self.b = _changeable(b)
        self.dW: Array | None = None
        self.db: Array | None = None

    def forward(self, x: Array) -> Array:
        """x has the shape (batch, ...); each sample is used as a row of `in` numbers."""
        return self._compute(_affine, x, self.W, self.b)

    def backward(self, dout: Array = 1) -> Array:
        """The gradient of x; those of W and b are in `dW` and `db`."""
        dx, self.dW, self.db = self._gradients(dout)
        return dx


def _affine(x: Array, W: Array, b: Array) -> Array:
    return F.linear(F.reshape(x, (x.shape[0], -1)), W, b)


class Relu(_Layer):
    """max(x, 0); the gradient passes where x is positive, and is 0 elsewhere.

    Raises
    ------
    GradientError
        Raised by `backward`: `forward` has not been called.

    Examples
    --------
    >>> from xpnet import current, to_numpy
    >>> from xpnet.lessons import Relu
    >>> layer = Relu()
    >>> to_numpy(layer.forward(current().asarray([-1.0, 2.0]))).tolist()
    [0.0, 2.0]
    >>> to_numpy(layer.backward(current().asarray([10.0, 10.0]))).tolist()
    [0.0, 10.0]
    """

    def forward(self, x: Array) -> Array:
        return self._compute(F.relu, x)


class Sigmoid(_Layer):
    """y = 1 / (1 + exp(-x)); the gradient of x is y (1 - y) times that of y.

    Raises
    ------
    GradientError
        Raised by `backward`: `forward` has not been called.

    Examples
    --------
    >>> from xpnet.lessons import Sigmoid
    >>> layer = Sigmoid()
    >>> float(layer.forward(0.0)), float(layer.backward(1.0))
    (0.5, 0.25)
    """

    def forward(self, x: Array) -> Array:
        return self._compute(F.sigmoid, x)


class SoftmaxWithLoss(_Layer):
    """The mean cross entropy of y = softmax(x) and targets t: class numbers, or one-hot rows.

    x has the shape (batch, classes), and t the shape (batch,) or that of x. The gradient of x is
    (y - t) / batch, with t in one-hot rows; the targets have none.

    Attributes
    ----------
    y, t : array or None
        The probabilities softmax(x), and the targets, of the last `forward`.
    loss : array or None
        The last result of `forward`.

    Raises
    ------
    GradientError
        Raised by `backward`: `forward` has not been called.

    Examples
    --------
    >>> from xpnet import current, to_numpy
    >>> from xpnet.lessons import SoftmaxWithLoss
    >>> layer = SoftmaxWithLoss()
    >>> loss = layer.forward(current().asarray([[0.0, 0.0]]), current().asarray([1]))
    >>> float(loss)  # -log(1/2)
    0.6931
    >>> to_numpy(layer.backward()).tolist()  # softmax(x) less the one-hot target
    [[0.5, -0.5]]
    """

    def __init__(self) -> None:
        self.y: Array | None = None
        self.t: Array | None = None
        self.loss: Array | None = None

    def forward(self, x: Array, t: Array) -> Array:
        self.t = data_of(t)
        self.y = data_of(F.softmax(x))
        self.loss = self._compute(lambda x: F.softmax_cross_entropy(x, self.t), x)
        return self.loss


def numerical_gradient(f: Callable[[Array], Any], x: Array, h: float = 1e-4) -> Array:
    """The gradient of f by central differences, (f(x + h e_i) - f(x - h e_i)) / (2 h).

    Parameters
    ----------
    f : callable
        A function that returns one number. It may ignore its argument: x itself is changed, number
        by number, and restored at the end.
    x : array
        A NumPy, CuPy or PyTorch array of float64; in float32 the differences are mostly rounding.
    h : float

    Returns
    -------
    array, of the shape of x

    Raises
    ------
    ArgumentTypeError
        x is an array of JAX, which cannot be changed in place.

    See Also
    --------
    xpnet.testing.numerical_gradient : The same without changing x.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet.lessons import numerical_gradient
    >>> with xpnet.using("numpy", dtype="float64") as backend:
    ...     x = backend.asarray([3.0, 4.0])
    ...     numerical_gradient(lambda x: (x**2).sum(), x).tolist()  # 2 x
    [6.0000, 8.0000]
    """
    x = data_of(_changeable(x))
    gradient = array_namespace(x).zeros_like(x)
    for place in product(*map(range, x.shape)):
        before = float(x[place])
        try:
            x[place] = before + h
            above = float(data_of(f(x)))
            x[place] = before - h
            below = float(data_of(f(x)))
        finally:
            x[place] = before
        gradient[place] = (above - below) / (2.0 * h)
    return gradient


def load_mnist(
    normalize: bool = True, flatten: bool = True, one_hot_label: bool = False
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """MNIST as (x_train, t_train), (x_test, t_test): arrays of the current backend and dtype.

    Parameters
    ----------
    normalize : bool
        Grey levels from 0 to 1; otherwise from 0 to 255.
    flatten : bool
        Each image as a row of 784 numbers; otherwise of shape (1, 28, 28).
    one_hot_label : bool
        Each label as a row with a single 1; otherwise as its class number.

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        60,000 samples and 10,000 samples. Labels are integers.

    Examples
    --------
    >>> from xpnet.lessons import load_mnist
    >>> (x, t), (x_test, t_test) = load_mnist(one_hot_label=True)
    >>> tuple(x.shape), tuple(t.shape), tuple(x_test.shape)
    ((60000, 784), (60000, 10), (10000, 784))
    """
    backend = current()
    (x_train, t_train), (x_test, t_test) = data.load_mnist(normalize, flatten, one_hot_label)

    def converted(x: Array) -> Array:
        if x.dtype.kind == "f":
            return backend.asarray(x, backend.dtype)
        return backend.asarray(x)

    return (converted(x_train), converted(t_train)), (converted(x_test), converted(t_test))


if not TYPE_CHECKING:  # mypy would take every name for one of the module

    def __getattr__(name: str) -> NoReturn:
        """For a name of another library, the error suggests xpnet's."""
        raise missing(__name__, name, __all__, for_modules())
