"""Names that the annotations of this package share."""

from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

Pair: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
"""Samples and their targets, on the host."""

Task: TypeAlias = Literal["classify", "regress"]

DataFrame: TypeAlias = Any
"""A data frame of pandas or of polars, neither of which xpnet needs."""
