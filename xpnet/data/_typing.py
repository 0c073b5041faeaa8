"""Names that the annotations of this package share."""

import os
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

Pair: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
"""Samples and their targets, on the host."""

PathLike: TypeAlias = str | os.PathLike[str]

Task: TypeAlias = Literal["classify", "regress"]
