"""Products of vectors, of matrices, and of arrays with any number of axes.

Parameters are the standard's. Nothing is conjugated, except the first argument of `vecdot`. So the
rules for complex numbers are those for real ones: gradients are dL/dx - i dL/dy, as everywhere in
xpnet, and matrices in them are transposed, not conjugated.
"""

import math
from collections.abc import Sequence

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._views import view
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import DifferentiableNamespace, array_namespace
from xpnet.errors import ArgumentError, IndexingError, ShapeError
from xpnet.functions._registry import extension, from_front, standard
from xpnet.kernels.lookup import kernel


class MatrixTranspose(Function):
    def forward(self, x: Array) -> Array:
        return array_namespace(x).matrix_transpose(x)

    def backward(self, gy: Array) -> Array:
        return array_namespace(gy).matrix_transpose(gy)


class Matmul(Function):
    """The product of matrices or of stacks of them; a vector counts as a matrix of one row or column."""

    def forward(self, x1: Array, x2: Array) -> Array:
        return product(x1, x2)

    def backward(self, gy: Array, x1: Array, x2: Array) -> tuple[Array | None, Array | None]:
        xp = array_namespace(gy)
        gx1 = None
        gx2 = None
        is_row = x1.ndim == 1
        is_column = x2.ndim == 1
        if is_column:
            gy = xp.expand_dims(gy, axis=-1)
            x2 = xp.expand_dims(x2, axis=-1)
        if is_row:
            gy = xp.expand_dims(gy, axis=-2)
            x1 = xp.expand_dims(x1, axis=-2)
        if self.needs[0]:
            gx1 = product(gy, xp.matrix_transpose(x2))
            if is_row:
                gx1 = gx1[..., 0, :]
        if self.needs[1]:
            if x2.ndim == 2:  # one product, in which the sum over the stack is included
                gx2 = product(xp.matrix_transpose(rows_of(x1)), rows_of(gy))
            else:
                gx2 = product(xp.matrix_transpose(x1), gy)
            if is_column:
                gx2 = gx2[..., :, 0]
        return gx1, gx2


class Vecdot(Function, broadcasts=True):
    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x1: Array, x2: Array) -> Array:
        return array_namespace(x1, x2).vecdot(x1, x2, axis=self.axis)

    def backward(self, gy: Array, x1: Array, x2: Array) -> tuple[Array | None, Array | None]:
        xp = array_namespace(gy)
        gy = xp.expand_dims(gy, axis=self.axis)
        gx1 = xp.conj(gy * x2) if self.needs[0] else None
        gx2 = gy * xp.conj(x1) if self.needs[1] else None
        return gx1, gx2


class Cross(Function, broadcasts=True):
    """g . (a x b) = a . (b x g) = b . (g x a): the derivatives are cross products again."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x1: Array, x2: Array) -> Array:
        return array_namespace(x1, x2).linalg.cross(x1, x2, axis=self.axis)

    def backward(self, gy: Array, x1: Array, x2: Array) -> tuple[Array | None, Array | None]:
        cross = array_namespace(gy).linalg.cross
        gx1 = cross(x2, gy, axis=self.axis) if self.needs[0] else None
        gx2 = cross(gy, x1, axis=self.axis) if self.needs[1] else None
        return gx1, gx2


def product(x1: Array, x2: Array) -> Array:
    """x1 @ x2; a stack of matrices times one matrix is computed as one product of two matrices.

    For more than two dimensions CuPy copies transposed arrays, and widens float16 to float32 first;
    NumPy multiplies matrix by matrix. A column times a row is an outer product, for which NumPy has
    faster ways than matmul.
    """
    # Reading `ndim` of both raises an error if one is not an array: CuPy's product of an array and
    # None would end the process.
    if x1.ndim == x2.ndim == 2 and x1.shape[1] != 1:
        # The operator is the library's own product, without the wrappers of a namespace. Only for
        # equal dtypes, because PyTorch's operator does not promote them as the standard's does.
        if type(x1) is type(x2) and x1.dtype == x2.dtype:
            return x1 @ x2
    elif x1.shape[-1:] == (1,) and (outer := kernel("outer_product", x1, x2)):
        return outer(x1, x2)
    xp = array_namespace(x1, x2)
    one_matrix = x2.ndim == 2 and x1.ndim > 2 and x1.shape[-1] == x2.shape[0]
    if not one_matrix or isinstance(xp, DifferentiableNamespace):
        return xp.matmul(x1, x2)  # where the shapes do not fit, this is the library's own error
    return xp.reshape(xp.matmul(rows_of(x1), x2), (*x1.shape[:-1], x2.shape[1]))


def rows_of(x: Array) -> Array:
    """x as a matrix with the same last axis, all other axes flattened into one."""
    if x.ndim == 2:
        return x
    return array_namespace(x).reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def adjoint(x: Array) -> Array:
    """The conjugate transpose of each matrix."""
    xp = array_namespace(x)
    return xp.conj(xp.matrix_transpose(x))


@extension("linalg")
@standard
def matrix_transpose(x: Array, /) -> Array:
    """x with its last two axes exchanged.

    Parameters
    ----------
    x : array or Variable, shape (..., m, n)

    Returns
    -------
    array or Variable, shape (..., n, m)

    Raises
    ------
    ValueError
        x has fewer than two dimensions.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.matrix_transpose(F.ones((5, 2, 3))).shape
    (5, 3, 2)
    """
    return view(_transposed(x, None), x, None, _transposed, _with_transposed)


def _transposed(x: Array, how: None) -> Array:
    return MatrixTranspose()(x)


def _with_transposed(x: Array, how: None, y: Array) -> Array:
    return MatrixTranspose()(y)


@extension("linalg")
@standard
def matmul(x1: Array, x2: Array, /) -> Array:
    """The matrix product x1 @ x2.

    Parameters
    ----------
    x1 : array or Variable, shape (..., m, k) or (k,)
    x2 : array or Variable, shape (..., k, n) or (k,)
        Stacks of matrices broadcast.

    Returns
    -------
    array or Variable, shape (..., m, n)
        Without m or n where a vector is given.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.matmul(F.asarray([[1.0, 2.0]]), F.asarray([[3.0], [4.0]]))
    Variable(array([[11.]], dtype=float32))
    """
    return Matmul()(x1, x2)


@extension("linalg")
@standard
@follows
def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """The sum of conj(x1) * x2 along `axis`.

    Parameters
    ----------
    x1, x2 : arrays or Variables, shapes (..., k, ...)
        They have the same length along `axis`; the other axes broadcast.
    axis : int
        Counted from the end; it may be counted from the front if both have as many axes.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.vecdot(F.asarray([1.0, 2.0]), F.asarray([3.0, 4.0]))
    Variable(array(11., dtype=float32))
    """
    axis = _from_end(axis, x1, x2, "vecdot")
    if x1.shape[axis] != x2.shape[axis]:
        raise ShapeError(
            f"vecdot expected vectors of one length along axis {axis}, got shapes "
            f"{tuple(x1.shape)} and {tuple(x2.shape)}."
        )
    return Vecdot(axis)(x1, x2)


@extension("linalg")
@standard
@follows
def tensordot(
    x1: Array, x2: Array, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2
) -> Array:
    """The sum of products over some axes of x1 and as many of x2.

    Parameters
    ----------
    x1, x2 : arrays or Variables
    axes : int or two sequences of ints
        The axes of x1 and those of x2 to sum over, pair by pair; n means the last n of x1 and the
        first n of x2.

    Returns
    -------
    array or Variable
        Its axes are the other axes of x1, then those of x2.

    Notes
    -----
    It is one product of matrices: the other axes are the rows of x1 and the columns of x2.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.tensordot(F.ones((2, 3)), F.ones((3, 4)), axes=1).shape
    (2, 4)
    """
    xp = array_namespace(x1, x2)
    axes1, axes2 = _summed_axes(axes, x1.ndim, x2.ndim)
    lengths = tuple(x1.shape[a] for a in axes1)
    if lengths != tuple(x2.shape[a] for a in axes2):
        raise ShapeError(
            f"tensordot expected axes of equal lengths, got {axes1} of shape {tuple(x1.shape)} "
            f"and {axes2} of shape {tuple(x2.shape)}."
        )
    free1 = [i for i in range(x1.ndim) if i not in axes1]
    free2 = [i for i in range(x2.ndim) if i not in axes2]
    shape1 = tuple(x1.shape[i] for i in free1)
    shape2 = tuple(x2.shape[i] for i in free2)
    k = math.prod(lengths)
    rows = xp.reshape(xp.permute_dims(x1, (*free1, *axes1)), (math.prod(shape1), k))
    columns = xp.reshape(xp.permute_dims(x2, (*axes2, *free2)), (k, math.prod(shape2)))
    return xp.reshape(xp.matmul(rows, columns), shape1 + shape2)


def _summed_axes(
    axes: int | tuple[Sequence[int], Sequence[int]], ndim1: int, ndim2: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of both arrays that `tensordot` sums over, counted from the front."""
    if isinstance(axes, int):
        if not 0 <= axes <= min(ndim1, ndim2):
            raise ArgumentError(f"tensordot expected 0 to {min(ndim1, ndim2)} axes, got {axes}.")
        return tuple(range(ndim1 - axes, ndim1)), tuple(range(axes))
    given1, given2 = axes
    axes1 = tuple(from_front(a, ndim1, "tensordot") for a in given1)
    axes2 = tuple(from_front(a, ndim2, "tensordot") for a in given2)
    if not len(axes1) == len(axes2) == len(set(axes1)) == len(set(axes2)):
        raise ArgumentError(f"tensordot expected as many different axes of each, got {axes}.")
    return axes1, axes2


@extension("linalg")
def outer(x1: Array, x2: Array, /) -> Array:
    """The products of each number of the vector x1 with each of the vector x2.

    Parameters
    ----------
    x1 : array or Variable, shape (n,)
    x2 : array or Variable, shape (m,)

    Returns
    -------
    array or Variable, shape (n, m)

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.outer(F.asarray([1.0, 2.0]), F.asarray([3.0, 4.0]))
    Variable(array([[3., 4.],
           [6., 8.]], dtype=float32))
    """
    if x1.ndim != 1 or x2.ndim != 1:
        raise ShapeError(
            f"outer expected two vectors, got shapes {tuple(x1.shape)} and {tuple(x2.shape)}."
        )
    return array_namespace(x1, x2).multiply(x1[:, None], x2[None, :])


@extension("linalg")
def cross(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """The cross product of vectors of three components.

    Parameters
    ----------
    x1, x2 : arrays or Variables, shapes (..., 3, ...)
        The axes other than `axis` broadcast.
    axis : int
        Counted from the end; it may be counted from the front if both have as many axes.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.cross(F.asarray([1.0, 0.0, 0.0]), F.asarray([0.0, 1.0, 0.0]))
    Variable(array([0., 0., 1.], dtype=float32))
    """
    axis = _from_end(axis, x1, x2, "cross")
    if not x1.shape[axis] == x2.shape[axis] == 3:
        raise ShapeError(
            f"cross expected vectors of 3 components along axis {axis}, got shapes "
            f"{tuple(x1.shape)} and {tuple(x2.shape)}."
        )
    return Cross(axis)(x1, x2)


def _from_end(axis: int, x1: Array, x2: Array, name: str) -> int:
    """`axis` counted from the end, as for arrays that broadcast, where new axes come first.

    Raises
    ------
    IndexingError
        The axis is out of range, or counted from the front of arrays with different numbers of axes.
    """
    n: int = min(x1.ndim, x2.ndim)
    if x1.ndim == x2.ndim and 0 <= axis < n:
        return axis - n
    if not -n <= axis < 0:
        raise IndexingError(
            f"{name} expected an axis counted from the end, from {-n} to -1, got {axis}."
        )
    return axis
