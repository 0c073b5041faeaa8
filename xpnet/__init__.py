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

from xpnet import functions as functions
from xpnet.autodiff import Function as Function
from xpnet.autodiff import Parameter as Parameter
from xpnet.autodiff import Variable as Variable
from xpnet.autodiff import gradients as gradients
from xpnet.autodiff import no_grad as no_grad
from xpnet.backend import Backend as Backend
from xpnet.backend import current as current
from xpnet.backend import manual_seed as manual_seed
from xpnet.backend import to_numpy as to_numpy
from xpnet.backend import use as use
from xpnet.backend import using as using
from xpnet.errors import BackendError as BackendError
from xpnet.errors import DataError as DataError
from xpnet.errors import GradientError as GradientError
from xpnet.errors import ShapeError as ShapeError
from xpnet.errors import StateError as StateError
from xpnet.errors import TrainingError as TrainingError
from xpnet.errors import XpnetError as XpnetError
from xpnet.layers import MLP as MLP
from xpnet.layers import Add as Add
from xpnet.layers import Affine as Affine
from xpnet.layers import Flatten as Flatten
from xpnet.layers import Layer as Layer
from xpnet.layers import Multiply as Multiply
from xpnet.layers import ReLU as ReLU
from xpnet.layers import Sequential as Sequential
from xpnet.layers import Sigmoid as Sigmoid
from xpnet.layers import Softmax as Softmax
from xpnet.layers import Tanh as Tanh
from xpnet.namespace import array_namespace as array_namespace
from xpnet.optimizers import SGD as SGD
from xpnet.optimizers import AdaGrad as AdaGrad
from xpnet.optimizers import Adam as Adam
from xpnet.optimizers import AdamW as AdamW
from xpnet.optimizers import Momentum as Momentum
from xpnet.optimizers import RMSProp as RMSProp

__version__ = "0.1.0"
