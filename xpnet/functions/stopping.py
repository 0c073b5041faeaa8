"""Where differentiation stops."""

from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.variable import Variable, as_constant


def stop_gradient(x: Array) -> Array:
    """x as it is, but constant: no gradient goes through it.

    Parameters
    ----------
    x : array, Variable, or a tree of them
        Nested dicts, lists and tuples; see `xpnet.autodiff.tree`.

    Returns
    -------
    array, Variable, or a tree of them
        Variables without history, which share memory with those of `x`. Arrays and anything else
        as they are.

    Notes
    -----
    It is `jax.lax.stop_gradient`, and what `x.detach()` is in PyTorch. Within a transform, such as
    `xpnet.grad`, it stops that derivative as well.

    Examples
    --------
    >>> x = Variable(3.0)
    >>> (x * stop_gradient(x)).backward()
    >>> float(x.grad)
    3.0
    """
    return tree.map(_constant, x)


def _constant(x: Array) -> Array:
    return as_constant(x.data) if isinstance(x, Variable) else x
