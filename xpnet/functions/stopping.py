"""`stop_gradient`: a value that is constant for derivatives."""

import array_api_compat as compat

from xpnet._libraries import library_of
from xpnet.autodiff import tree
from xpnet.autodiff.tree import Leaf, Tree
from xpnet.autodiff.variable import Variable, as_constant


def stop_gradient(x: Tree) -> Tree:
    """x as a constant: derivatives do not pass through it.

    Parameters
    ----------
    x : array, Variable, or a tree of them
        Nested dicts, lists and tuples; see `xpnet.autodiff.tree`.

    Returns
    -------
    array, Variable, or a tree of them
        Variables are replaced by Variables without history, which share memory with those of `x`.
        Arrays and other objects are returned unchanged, except for an array with respect to which
        JAX or PyTorch is differentiating: it becomes a constant for that library.

    Notes
    -----
    It is `jax.lax.stop_gradient`, and `x.detach()` in PyTorch. It also stops the derivatives of
    `xpnet.grad` and the like.

    Examples
    --------
    >>> x = Variable(3.0)
    >>> (x * stop_gradient(x)).backward()
    >>> float(x.grad)
    3.0
    """
    return tree.map(_constant, x)


def _constant(x: Leaf) -> Leaf:
    if isinstance(x, Variable):
        return as_constant(library_of(x.data).without_gradient(x.data))
    if compat.is_array_api_obj(x):
        return library_of(x).without_gradient(x)
    return x
