"""Layers: what has parameters, or stands between layers that do."""

from xpnet.layers.activation import ReLU as ReLU
from xpnet.layers.activation import Sigmoid as Sigmoid
from xpnet.layers.activation import Softmax as Softmax
from xpnet.layers.activation import Tanh as Tanh
from xpnet.layers.affine import Affine as Affine
from xpnet.layers.arithmetic import Add as Add
from xpnet.layers.arithmetic import Multiply as Multiply
from xpnet.layers.base import Layer as Layer
from xpnet.layers.container import MLP as MLP
from xpnet.layers.container import Sequential as Sequential
from xpnet.layers.reshaping import Flatten as Flatten
