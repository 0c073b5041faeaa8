"""xpnet: neural networks written once against the Python array API standard.

The same code runs on NumPy, CuPy, PyTorch, JAX and any other array library that follows the standard:

>>> import xpnet
>>> from xpnet import functions as F
>>> backend = xpnet.use("numpy")  # or "cupy": the default of the whole process
>>> xpnet.manual_seed(0)
>>> model = xpnet.MLP(2, 16, 1, activation="tanh")
>>> optimizer = xpnet.Adam(model.parameters(), lr=0.03)
>>> x = backend.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
>>> t = backend.asarray([[0.0], [1.0], [1.0], [0.0]])
>>> for _ in range(300):
...     loss = F.mean_squared_error(model(x), t)
...     optimizer.zero_grad()
...     loss.backward()
...     optimizer.step()
>>> float(loss) < 0.01
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xpnet import _interoperability as _interoperability, errors, functions as functions
from xpnet._hints import in_package, missing
from xpnet.autodiff import (
    Function as Function,
    Parameter as Parameter,
    Variable as Variable,
    array_namespace as array_namespace,
    custom_rule as custom_rule,
    grad as grad,
    gradient_checkpoint as gradient_checkpoint,
    gradients as gradients,
    hessian as hessian,
    hvp as hvp,
    jacobian as jacobian,
    jvp as jvp,
    no_grad as no_grad,
    value_and_grad as value_and_grad,
    vjp as vjp,
)
from xpnet.backend import (
    Backend as Backend,
    current as current,
    to_numpy as to_numpy,
    use as use,
    using as using,
)
from xpnet.errors import *
from xpnet.random import manual_seed as manual_seed

if TYPE_CHECKING:  # imported when one of their names is first used: see `_load_networks`
    from xpnet import layers, optimizers
    from xpnet.layers import *
    from xpnet.optimizers import *

__version__ = "0.1.0"

MODULES = (
    "adapters",
    "autodiff",
    "compiler",
    "data",
    "distributed",
    "errors",
    "estimators",
    "functions",
    "layers",
    "lessons",
    "metrics",
    "models",
    "optimizers",
    "plots",
    "random",
    "report",
    "saving",
    "schedules",
    "summary",
    "testing",
    "training",
)
"""The public modules; those that are not needed by `import xpnet` are imported when first used."""

__all__ = [
    "Backend",
    "Function",
    "Parameter",
    "Variable",
    "array_namespace",
    "compile",
    "current",
    "custom_rule",
    "functions",
    "grad",
    "gradient_checkpoint",
    "gradients",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "manual_seed",
    "no_grad",
    "to_numpy",
    "use",
    "using",
    "value_and_grad",
    "vjp",
]
# A new error, layer or optimizer is named once, in its own package.
__all__ += errors.__all__
_core_names = __all__  # without layers and optimizers
if TYPE_CHECKING:
    __all__ += layers.__all__
    __all__ += optimizers.__all__
else:
    del __all__  # `from xpnet import *` then asks `__getattr__` for it, which adds them


def _load_networks() -> list[str]:
    """Import what `import xpnet` leaves out, the names of layers and optimizers; return `__all__`.

    They are a third of what there is to import, and the derivative of a function needs none of them.
    """
    names = [*_core_names]
    for package in (import_module("xpnet.layers"), import_module("xpnet.optimizers")):
        names += package.__all__
        for name in package.__all__:
            globals().setdefault(name, getattr(package, name))  # what a caller has replaced stays
    globals()["__all__"] = names  # from now on, all of them are found without `__getattr__`
    return names


def __getattr__(name: str) -> Any:
    """What is imported when it is first used. For a name of another library, the error suggests xpnet's."""
    if name in MODULES:
        return import_module(f"xpnet.{name}")
    if name == "compile":
        return import_module("xpnet.compiler").compile
    if name.startswith("__") and name != "__all__":  # looked up by Python itself
        raise MissingAttributeError(f"module {__name__!r} has no attribute {name!r}")
    _load_networks()
    if name in globals():
        return globals()[name]
    in_functions = {name: f"xpnet.functions.{name}" for name in functions.__all__}
    raise missing(__name__, name, __dir__(), in_package(in_functions))


def __dir__() -> list[str]:
    return sorted({*_load_networks(), *MODULES, "__all__", "__doc__", "__name__", "__version__"})
