"""Layers: functions with parameters, the functions between them, and containers."""

from typing import TYPE_CHECKING, NoReturn

from xpnet._hints import for_modules, missing
from xpnet.layers import initializers as initializers
from xpnet.layers._contents import Buffer as Buffer
from xpnet.layers.activation import (
    ELU as ELU,
    GELU as GELU,
    LeakyReLU as LeakyReLU,
    LogSoftmax as LogSoftmax,
    ReLU as ReLU,
    Sigmoid as Sigmoid,
    SiLU as SiLU,
    Softmax as Softmax,
    Softplus as Softplus,
    Tanh as Tanh,
)
from xpnet.layers.affine import Affine as Affine
from xpnet.layers.arithmetic import Add as Add, Multiply as Multiply
from xpnet.layers.attention import MultiheadAttention as MultiheadAttention
from xpnet.layers.base import Layer as Layer
from xpnet.layers.container import MLP as MLP, Residual as Residual, Sequential as Sequential
from xpnet.layers.convolution import (
    Conv1d as Conv1d,
    Conv2d as Conv2d,
    ConvTranspose1d as ConvTranspose1d,
    ConvTranspose2d as ConvTranspose2d,
)
from xpnet.layers.dropout import Dropout as Dropout
from xpnet.layers.embedding import Embedding as Embedding
from xpnet.layers.functional import functional_call as functional_call
from xpnet.layers.hooks import watching as watching
from xpnet.layers.normalization import (
    BatchNorm1d as BatchNorm1d,
    BatchNorm2d as BatchNorm2d,
    GroupNorm as GroupNorm,
    LayerNorm as LayerNorm,
)
from xpnet.layers.pooling import (
    AvgPool1d as AvgPool1d,
    AvgPool2d as AvgPool2d,
    GlobalAvgPool2d as GlobalAvgPool2d,
    GlobalMaxPool2d as GlobalMaxPool2d,
    MaxPool1d as MaxPool1d,
    MaxPool2d as MaxPool2d,
)
from xpnet.layers.recurrent import GRU as GRU, LSTM as LSTM, RNN as RNN
from xpnet.layers.reshaping import Flatten as Flatten, Reshape as Reshape
from xpnet.layers.transformer import (
    PositionalEncoding as PositionalEncoding,
    TransformerEncoder as TransformerEncoder,
    TransformerEncoderLayer as TransformerEncoderLayer,
)

__all__: list[str] = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "MLP",
    "RNN",
    "Add",
    "Affine",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "GroupNorm",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LogSoftmax",
    "MaxPool1d",
    "MaxPool2d",
    "MultiheadAttention",
    "Multiply",
    "PositionalEncoding",
    "ReLU",
    "Reshape",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "functional_call",
    "initializers",
    "watching",
]

if not TYPE_CHECKING:  # mypy would take every name for one of the module

    def __getattr__(name: str) -> NoReturn:
        """For a name of another library, the error suggests xpnet's."""
        raise missing(__name__, name, __all__, for_modules())
