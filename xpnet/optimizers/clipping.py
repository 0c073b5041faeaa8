"""Gradient clipping: reduce gradients that are too large, before a step.

    loss.backward()
    norm = clip_grad_norm(model.parameters(), 1.0)
    optimizer.step()

Nothing is copied to the host.
"""

from collections.abc import Iterable

from xpnet._libraries.devices import follow, settle, stays
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Variable, data_of
from xpnet.errors import ArgumentError, GradientError
from xpnet.functions._in_float32 import cast_like


@stays
def clip_grad_norm(
    parameters: Iterable[Variable] | Variable, max_norm: float, norm_type: float = 2.0
) -> Array:
    """Scale all gradients by one number, so that their common norm is at most `max_norm`.

    g *= min(1, max_norm / (norm + 1e-6)) for each gradient g, where norm is the norm of all
    of them as one vector: PyTorch's `clip_grad_norm_`.

    Parameters
    ----------
    parameters : iterable of Parameter, or one
        Those without a gradient are left out.
    max_norm : float
        Above 0.
    norm_type : float
        p of the norm sum(|g|^p)^(1/p), above 0; `math.inf` for the largest |g|.

    Returns
    -------
    array, shape ()
        The norm before clipping, on the device of the gradients; in float32 for gradients of 16 bits.
        It is infinite or NaN if a gradient is; then clipping does not help.

    Raises
    ------
    GradientError
        No parameter has a gradient.
    ValueError
        `max_norm` or `norm_type` is not above 0.

    Notes
    -----
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML
    2013.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> p = xpnet.Parameter([3.0, 4.0])
    >>> F.sum(p * p / 2.0).backward()
    >>> float(xpnet.clip_grad_norm([p], 1.0))
    5.0
    >>> p.grad.tolist()
    [0.6000, 0.8000]
    """
    if not (max_norm > 0.0 and norm_type > 0.0):
        raise ArgumentError(f"Expected max_norm and norm_type > 0, got {max_norm} and {norm_type}.")
    with_gradient = _with_gradient(parameters)
    xp = array_namespace(*(p.data for p in with_gradient))
    grads = [data_of(p.raw_grad) for p in with_gradient]
    settle("clip_grad_norm", grads)
    wide = [xp.astype(g, xp.result_type(g, xp.float32), copy=False) for g in grads]
    norms = [xp.linalg.vector_norm(g, ord=norm_type) for g in wide]
    norm = xp.linalg.vector_norm(xp.stack(norms), ord=norm_type)
    factor = xp.minimum(float(max_norm) / (norm + 1e-6), 1.0)
    for p, g in zip(with_gradient, grads, strict=True):
        p.raw_grad = cast_like(g * factor, g)  # a new array: gradients may share memory
    return norm


@stays
def clip_grad_value(parameters: Iterable[Variable] | Variable, clip_value: float) -> None:
    """Limit every number of every gradient to the range from -clip_value to clip_value.

    Parameters
    ----------
    parameters : iterable of Parameter, or one
        Those without a gradient are left out.
    clip_value : float
        Above 0.

    Raises
    ------
    GradientError
        No parameter has a gradient.
    ValueError
        `clip_value` is not above 0.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> p = xpnet.Parameter([3.0, -4.0])
    >>> F.sum(p * p / 2.0).backward()
    >>> xpnet.clip_grad_value([p], 3.5)
    >>> p.grad.tolist()
    [3.0, -3.5]
    """
    if not clip_value > 0.0:
        raise ArgumentError(f"Expected clip_value > 0, got {clip_value}.")
    limit = float(clip_value)
    for p in _with_gradient(parameters):
        g = data_of(p.raw_grad)
        follow(g)
        xp = array_namespace(g)
        p.raw_grad = xp.minimum(xp.maximum(g, -limit), limit)


def _with_gradient(parameters: Iterable[Variable] | Variable) -> list[Variable]:
    """The parameters that have a gradient; an error if there are none."""
    if isinstance(parameters, Variable):
        parameters = [parameters]
    found = [p for p in parameters if p.raw_grad is not None]
    if not found:
        raise GradientError("No parameter has a gradient to clip: call loss.backward() first.")
    return found
