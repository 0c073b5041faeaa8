"""Optimizers: how parameters change, given their gradients.

In each class, `coefficients` computes the numbers of a step from the options, and `update` applies
the formula. Arrays are changed in place where the library allows it (NumPy, CuPy, PyTorch), and
replaced where it does not (JAX), by the same code: `a -= b` does either. On CuPy, `formula`, which is
the same computation as CUDA code, updates all parameters in one launch.

Notation: p is the parameter, g its gradient, lr the learning rate, t the number of the step from 1.
Formulas are elementwise, so all arrays in them have the shape of p; those of LAMB also have norms.
In the code, s is the state of a parameter, o are the options of its group, and c the coefficients of
the step. Options have PyTorch's names, order and defaults; docs/pytorch.md lists the differences.
`Momentum` and `Nesterov` are the lessons' names of `SGD` with momentum, and with nesterov=True.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from xpnet._choices import choose
from xpnet._hints import for_modules, missing
from xpnet.optimizers.adam import (
    Adam as Adam,
    AdamW as AdamW,
    NAdam as NAdam,
    RAdam as RAdam,
)
from xpnet.optimizers.averaging import ExponentialMovingAverage as ExponentialMovingAverage
from xpnet.optimizers.base import (
    Optimizer as Optimizer,
    Parameters,
)
from xpnet.optimizers.clipping import (
    clip_grad_norm as clip_grad_norm,
    clip_grad_value as clip_grad_value,
)
from xpnet.optimizers.descent import (
    SGD as SGD,
    Momentum as Momentum,
    Nesterov as Nesterov,
)
from xpnet.optimizers.lamb import LAMB as LAMB
from xpnet.optimizers.lion import Lion as Lion
from xpnet.optimizers.scaled import (
    Adadelta as Adadelta,
    Adagrad as Adagrad,
    RMSprop as RMSprop,
)

__all__: list[str] = [
    "LAMB",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "ExponentialMovingAverage",
    "Lion",
    "Momentum",
    "NAdam",
    "Nesterov",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "clip_grad_norm",
    "clip_grad_value",
    "optimizer",
]

BY_NAME: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
    "radam": RAdam,
    "lion": Lion,
    "lamb": LAMB,
}


def optimizer(
    name: str, parameters: Parameters, lr: float | None = None, **options: Any
) -> Optimizer:
    """Create an optimizer by its name in lower case.

    Parameters
    ----------
    name : str
        "sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam",
        "radam", "lion" or "lamb".
    parameters : iterable of Parameter, or of dicts
        Parameters, or groups of them: see `Optimizer`.
    lr : float, optional
        The learning rate; by default that of the optimizer.
    **options
        The other parameters of the optimizer.

    Returns
    -------
    Optimizer

    Raises
    ------
    TypeError
        The optimizer has no such option.
    ValueError
        No optimizer has that name; the message lists the known ones. Or as for `Optimizer`.

    Examples
    --------
    >>> import xpnet
    >>> p = xpnet.Parameter([1.0])
    >>> xpnet.optimizers.optimizer("adam", [p], lr=0.01)
    Adam(lr=0.01)
    """
    kind: Callable[..., Optimizer] = choose("optimizer", name, BY_NAME)
    if lr is not None:
        options["lr"] = lr
    return kind(parameters, **options)


if not TYPE_CHECKING:  # mypy would take every name for one of the module

    def __getattr__(name: str) -> NoReturn:
        """For a name of another library, the error suggests xpnet's."""
        raise missing(__name__, name, __all__, for_modules())
