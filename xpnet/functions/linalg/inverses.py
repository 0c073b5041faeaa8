"""Inverses and determinants: `inv`, `solve`, `pinv`, `det`, `slogdet`.

`inv`, `solve` and `det` are holomorphic, and so is log(det x), of which `slogdet` has the two parts.
So for complex numbers too their rules are those of real matrices, with transposes that do not
conjugate: the gradient with respect to z = x + iy is dL/dx - i dL/dy, as everywhere here.
"""

from typing import NamedTuple

from xpnet._typing import Array
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.functions._registry import extension
from xpnet.functions.manipulation import broadcast_shapes
from xpnet.functions.products import adjoint
from xpnet.kernels.solvers import linalg_of


class SlogdetResult(NamedTuple):
    """The result of `slogdet`."""

    sign: Array
    logabsdet: Array


class Inv(Function):
    """y = x^-1, and dy = -y dx y."""

    def forward(self, x: Array) -> Array:
        return linalg_of(array_namespace(x)).inv(x)

    def backward(self, gy: Array, y: Array) -> Array:
        yt = array_namespace(gy).matrix_transpose(y)
        return -(yt @ gy @ yt)


def solve_stacks(x1: Array, x2: Array) -> Array:
    """`linalg.solve` for matrices x2, with stacks that broadcast: CuPy does not broadcast them."""
    xp = array_namespace(x1, x2)
    stack = broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    x1 = xp.broadcast_to(x1, (*stack, *x1.shape[-2:]))
    x2 = xp.broadcast_to(x2, (*stack, *x2.shape[-2:]))
    return linalg_of(xp).solve(x1, x2)


class Solve(Function):
    """y = x1^-1 x2: gx2 = x1^-T gy, and gx1 = -gx2 y^T."""

    def forward(self, x1: Array, x2: Array) -> Array:
        self.of_vector = x2.ndim == 1
        if self.of_vector:
            return linalg_of(array_namespace(x1, x2)).solve(x1, x2)
        return solve_stacks(x1, x2)

    def backward(self, gy: Array, y: Array, x1: Array) -> tuple[Array | None, Array]:
        xp = array_namespace(gy)
        if self.of_vector:  # as a matrix with one column
            gy = gy[..., None]
            y = y[..., None]
        gx2 = solve_stacks(xp.matrix_transpose(x1), gy)
        gx1 = None
        if self.needs[0]:
            gx1 = -(gx2 @ xp.matrix_transpose(y))
        if self.of_vector:
            gx2 = gx2[..., 0]
        return gx1, gx2


class Det(Function):
    """d det(x) is the sum of all numbers of dx, each times its cofactor."""

    def forward(self, x: Array) -> Array:
        return linalg_of(array_namespace(x)).det(x)

    def backward(self, gy: Array, x: Array) -> Array:
        return gy[..., None, None] * Cofactors()(x)


class Cofactors(Function):
    """The derivative of det(x): det(x) x^-T if x has an inverse, but defined for any square x.

    The cofactors of a product are the product of the cofactors. For x = U diag(S) Vh they are

        det(U) conj(U) diag(the product of all S but S[i]) det(Vh) conj(Vh)

    Their own derivative uses the inverse, so a second derivative of det requires one.
    """

    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        U, S, Vh = linalg_of(xp).svd(x)
        before = xp.cumulative_prod(S, axis=-1, include_initial=True)[..., :-1]
        after = xp.cumulative_prod(xp.flip(S, axis=-1), axis=-1, include_initial=True)[..., :-1]
        others = before * xp.flip(after, axis=-1)
        turn = linalg_of(xp).det(U) * linalg_of(xp).det(Vh)
        return turn[..., None, None] * (xp.conj(U) * others[..., None, :]) @ xp.conj(Vh)

    def backward(self, gy: Array, x: Array) -> Array:
        xp = array_namespace(gy)
        B = xp.matrix_transpose(linalg_of(xp).inv(x))
        inner = xp.sum(gy * B, axis=(-2, -1), keepdims=True)
        det = linalg_of(xp).det(x)[..., None, None]
        return det * (inner * B - B @ xp.matrix_transpose(gy) @ B)


class Slogdet(Function):
    """d log(det x) = tr(x^-1 dx): its real part moves logabsdet, its imaginary part turns sign."""

    def forward(self, x: Array) -> tuple[Array, Array]:
        sign, logabsdet = linalg_of(array_namespace(x)).slogdet(x)
        return sign, logabsdet

    def backward(self, gy: tuple[Array, Array], y: tuple[Array, Array], x: Array) -> Array:
        gsign, glogabsdet = gy
        sign, _ = y
        xp = array_namespace(glogabsdet)
        turn = gsign * sign
        g = glogabsdet + (turn - xp.conj(turn)) / 2  # + i Im(turn), which is 0 for real numbers
        return g[..., None, None] * xp.matrix_transpose(linalg_of(xp).inv(x))


class Pinv(Function):
    """gA = (1 - A P) G P P^H + P^H P G (1 - P A) - (P G P)^H, where P = pinv(A) and G = gP^H.

    It holds where the rank does not change. Golub and Pereyra, "The differentiation of
    pseudo-inverses and nonlinear least squares problems whose variables separate", 1973.
    """

    def __init__(self, rtol: Array | float | None) -> None:
        self.options = {} if rtol is None else {"rtol": rtol}

    def forward(self, x: Array) -> Array:
        return linalg_of(array_namespace(x)).pinv(x, **self.options)

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        xp = array_namespace(gy)
        A = xp.conj(x)  # the formula is for conjugated gradients
        P = xp.conj(y)
        Ph = adjoint(P)
        G = adjoint(gy)
        left = G @ (P @ Ph)
        right = (Ph @ P) @ G
        return left - A @ (P @ left) + right - (right @ P) @ A - adjoint(P @ G @ P)


@extension("linalg")
def inv(x: Array, /) -> Array:
    """The inverse of each matrix.

    Parameters
    ----------
    x : array or Variable, shape (..., n, n)

    Returns
    -------
    array or Variable, shape (..., n, n)

    Raises
    ------
    numpy.linalg.LinAlgError
        A matrix has no inverse, on NumPy and CuPy; for CuPy the host waits for the GPU. PyTorch
        raises an error of its own; JAX returns numbers that are NaN or infinite.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.inv(F.asarray([[2.0, 0.0], [0.0, 4.0]]))
    Variable(array([[0.5 , 0.  ],
           [0.  , 0.25]], dtype=float32))
    """
    return Inv()(x)


@extension("linalg")
def solve(x1: Array, x2: Array, /) -> Array:
    """The solution y of x1 @ y = x2.

    Parameters
    ----------
    x1 : array or Variable, shape (..., n, n)
    x2 : array or Variable, shape (n,) or (..., n, k)
        Stacks of matrices broadcast; a stack of vectors is not supported, as in the standard.

    Returns
    -------
    array or Variable, shape (..., n) for a vector x2, else (..., n, k)

    Raises
    ------
    numpy.linalg.LinAlgError
        A matrix x1 has no inverse; see `inv`.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.solve(F.asarray([[2.0, 0.0], [0.0, 4.0]]), F.asarray([1.0, 1.0]))
    Variable(array([0.5 , 0.25], dtype=float32))
    """
    return Solve()(x1, x2)


@extension("linalg")
def det(x: Array, /) -> Array:
    """The determinant of each matrix. Its derivative is defined for singular matrices too.

    Parameters
    ----------
    x : array or Variable, shape (..., n, n)

    Returns
    -------
    array or Variable, shape (...)

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.det(F.asarray([[1.0, 2.0], [3.0, 5.0]]))
    Variable(array(-1., dtype=float32))
    """
    return Det()(x)


@extension("linalg")
def slogdet(x: Array, /) -> SlogdetResult:
    """The sign of the determinant of each matrix, and the logarithm of its absolute value.

    Parameters
    ----------
    x : array or Variable, shape (..., n, n)

    Returns
    -------
    sign : array or Variable, shape (...)
        A complex sign has the absolute value 1. The derivative of a real sign is 0.
    logabsdet : array or Variable, shape (...), real

    Examples
    --------
    >>> from xpnet import functions as F
    >>> sign, logabsdet = F.linalg.slogdet(F.asarray([[0.0, 1.0], [1.0, 0.0]]))
    >>> sign, logabsdet
    (Variable(array(-1., dtype=float32)), Variable(array(0., dtype=float32)))
    """
    return SlogdetResult(*Slogdet()(x))


@extension("linalg")
def pinv(x: Array, /, *, rtol: Array | float | None = None) -> Array:
    """The Moore-Penrose pseudo-inverse of each matrix.

    Parameters
    ----------
    x : array or Variable, shape (..., m, n)
    rtol : float or array, shape (...), optional
        Singular values up to rtol times the largest count as 0; by default, max(m, n) times the
        dtype's precision.

    Returns
    -------
    array or Variable, shape (..., n, m)

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.pinv(F.ones((3, 2))).shape
    (2, 3)
    """
    return Pinv(data_of(rtol))(x)
