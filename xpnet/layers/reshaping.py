"""Layers that change shapes and nothing else."""

import math
from typing import Any

from xpnet import functions as F
from xpnet.layers.base import Layer


class Flatten(Layer):
    """(batch, ...) to (batch, product of the rest): images to rows of numbers."""

    def forward(self, x: Any) -> Any:
        return F.reshape(x, (x.shape[0], math.prod(x.shape[1:])))
