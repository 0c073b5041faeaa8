"""Layers: what has parameters, or stands between layers that do."""

from xpnet.layers.activation import (
    ReLU as ReLU,
    Sigmoid as Sigmoid,
    Softmax as Softmax,
    Tanh as Tanh,
)
from xpnet.layers.affine import Affine as Affine
from xpnet.layers.arithmetic import Add as Add, Multiply as Multiply
from xpnet.layers.base import Buffer as Buffer, Layer as Layer
from xpnet.layers.container import MLP as MLP, Sequential as Sequential
from xpnet.layers.reshaping import Flatten as Flatten
