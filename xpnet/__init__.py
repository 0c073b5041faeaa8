"""xpnet: neural networks written once against the Python array API standard.

The same text runs on NumPy, on CuPy, and on any other conforming array library:

>>> import xpnet
>>> from xpnet import functions as F
>>> backend = xpnet.use("numpy")  # or "cupy": the default of the whole run
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

from xpnet import _interoperability as _interoperability, functions as functions
from xpnet._hints import PACKAGE, missing
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
from xpnet.errors import (
    ArgumentError as ArgumentError,
    ArgumentTypeError as ArgumentTypeError,
    BackendError as BackendError,
    CheckError as CheckError,
    DataError as DataError,
    ExportError as ExportError,
    GradientError as GradientError,
    IndexingError as IndexingError,
    MissingAttributeError as MissingAttributeError,
    MissingKeyError as MissingKeyError,
    MissingMethodError as MissingMethodError,
    MissingPackageError as MissingPackageError,
    ShapeError as ShapeError,
    StateError as StateError,
    TrainingError as TrainingError,
    XpnetError as XpnetError,
)
from xpnet.layers import (
    ELU as ELU,
    GELU as GELU,
    GRU as GRU,
    LSTM as LSTM,
    MLP as MLP,
    RNN as RNN,
    Add as Add,
    Affine as Affine,
    AvgPool1d as AvgPool1d,
    AvgPool2d as AvgPool2d,
    BatchNorm1d as BatchNorm1d,
    BatchNorm2d as BatchNorm2d,
    Buffer as Buffer,
    Conv1d as Conv1d,
    Conv2d as Conv2d,
    ConvTranspose1d as ConvTranspose1d,
    ConvTranspose2d as ConvTranspose2d,
    Dropout as Dropout,
    Embedding as Embedding,
    Flatten as Flatten,
    GlobalAvgPool2d as GlobalAvgPool2d,
    GlobalMaxPool2d as GlobalMaxPool2d,
    GroupNorm as GroupNorm,
    Layer as Layer,
    LayerNorm as LayerNorm,
    LeakyReLU as LeakyReLU,
    LogSoftmax as LogSoftmax,
    MaxPool1d as MaxPool1d,
    MaxPool2d as MaxPool2d,
    MultiheadAttention as MultiheadAttention,
    Multiply as Multiply,
    PositionalEncoding as PositionalEncoding,
    ReLU as ReLU,
    Reshape as Reshape,
    Residual as Residual,
    Sequential as Sequential,
    Sigmoid as Sigmoid,
    SiLU as SiLU,
    Softmax as Softmax,
    Softplus as Softplus,
    Tanh as Tanh,
    TransformerEncoder as TransformerEncoder,
    TransformerEncoderLayer as TransformerEncoderLayer,
)
from xpnet.optimizers import (
    LAMB as LAMB,
    SGD as SGD,
    Adadelta as Adadelta,
    AdaGrad as AdaGrad,
    Adam as Adam,
    AdamW as AdamW,
    Lion as Lion,
    Momentum as Momentum,
    NAdam as NAdam,
    Nesterov as Nesterov,
    RAdam as RAdam,
    RMSProp as RMSProp,
)
from xpnet.random import manual_seed as manual_seed

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LAMB",
    "LSTM",
    "MLP",
    "RNN",
    "SGD",
    "AdaGrad",
    "Adadelta",
    "Adam",
    "AdamW",
    "Add",
    "Affine",
    "ArgumentError",
    "ArgumentTypeError",
    "AvgPool1d",
    "AvgPool2d",
    "Backend",
    "BackendError",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "CheckError",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "DataError",
    "Dropout",
    "Embedding",
    "ExportError",
    "Flatten",
    "Function",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "GradientError",
    "GroupNorm",
    "IndexingError",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Lion",
    "LogSoftmax",
    "MaxPool1d",
    "MaxPool2d",
    "MissingAttributeError",
    "MissingKeyError",
    "MissingMethodError",
    "MissingPackageError",
    "Momentum",
    "MultiheadAttention",
    "Multiply",
    "NAdam",
    "Nesterov",
    "Parameter",
    "PositionalEncoding",
    "RAdam",
    "RMSProp",
    "ReLU",
    "Reshape",
    "Residual",
    "Sequential",
    "ShapeError",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "StateError",
    "Tanh",
    "TrainingError",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "Variable",
    "XpnetError",
    "array_namespace",
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

__version__ = "0.1.0"

MODULES = (
    "autodiff",
    "data",
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
"""The public modules; `xpnet.plots` is imported when it is first asked for."""


def __getattr__(name: str) -> Any:
    """A public module; for a name that another library has, an error that says what to write."""
    if name in MODULES:
        return import_module(f"xpnet.{name}")
    if name.startswith("__"):  # Python itself asks
        raise MissingAttributeError(f"module {__name__!r} has no attribute {name!r}")
    there = {name: f"xpnet.functions.{name}" for name in functions.__all__}
    raise missing(__name__, name, __dir__(), there | PACKAGE)


def __dir__() -> list[str]:
    return sorted({*__all__, *MODULES, "__all__", "__doc__", "__name__", "__version__"})
