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
from typing import Any

from xpnet import (
    _interoperability as _interoperability,
    errors,
    functions as functions,
    layers,
    optimizers,
)
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
from xpnet.layers import *
from xpnet.optimizers import *
from xpnet.random import manual_seed as manual_seed

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
__all__ += layers.__all__
__all__ += optimizers.__all__


def __getattr__(name: str) -> Any:
    """A public module. For a name of another library, the error suggests xpnet's."""
    if name in MODULES:
        return import_module(f"xpnet.{name}")
    if name == "compile":  # imported when it is first used, like the modules
        return import_module("xpnet.compiler").compile
    if name.startswith("__"):  # looked up by Python itself
        raise MissingAttributeError(f"module {__name__!r} has no attribute {name!r}")
    in_functions = {name: f"xpnet.functions.{name}" for name in functions.__all__}
    raise missing(__name__, name, __dir__(), in_package(in_functions))


def __dir__() -> list[str]:
    return sorted({*__all__, *MODULES, "__all__", "__doc__", "__name__", "__version__"})
