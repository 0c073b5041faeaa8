"""Embedding: a learned vector for each word, item or class."""

from xpnet import functions as F
from xpnet._libraries import library_of
from xpnet._typing import Array, Rng
from xpnet.autodiff.namespace import has_dtype
from xpnet.autodiff.variable import Parameter
from xpnet.errors import ArgumentError
from xpnet.layers._input_checks import misfit, require_whole
from xpnet.layers._repr import non_default
from xpnet.layers.base import Layer
from xpnet.layers.initializers import normal


class Embedding(Layer):
    """y = weight[x]: a row of learned numbers for each integer.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        The number of rows, and their length.
    padding_idx : int, optional
        The index of a row of zeros that does not learn, for the places after the end of a short
        sequence. A negative index counts from the end.
    rng : int, numpy.random.Generator or None
        The source of the initial weight; None: the generator of `xpnet.manual_seed`.

    Attributes
    ----------
    weight : Parameter, shape (num_embeddings, embedding_dim)
        Initially normally distributed numbers of mean 0 and standard deviation 1.

    Raises
    ------
    IndexError
        A number of x is outside 0 .. num_embeddings - 1. On CuPy the error is raised later: see
        `xpnet.functions.embedding`.

    Notes
    -----
    x : integers of any shape; y : shape (*x.shape, embedding_dim). Source: Bengio, Ducharme,
    Vincent and Jauvin, "A neural probabilistic language model", 2003.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> words = xpnet.Embedding(1000, 16, rng=0)
    >>> words(F.asarray([[4, 7, 7], [0, 1, 2]])).shape
    (2, 3, 16)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        rng: Rng = None,
    ) -> None:
        require_whole(self, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ArgumentError(
                    f"Embedding expected a padding_idx from {-num_embeddings} to "
                    f"{num_embeddings - 1}, got {padding_idx}."
                )
            padding_idx %= num_embeddings
        self.padding_idx = padding_idx
        weight = normal((num_embeddings, embedding_dim), rng, std=1.0)
        if padding_idx is not None:
            weight = library_of(weight).set_item(weight, (padding_idx, ...), 0.0)
        self.weight = Parameter(weight)

    def forward(self, x: Array) -> Array:
        if not hasattr(x, "shape") or not has_dtype(x, "integral"):
            raise misfit(self, x, ("...",), "int64")
        return F.embedding(x, self.weight, self.padding_idx)

    def __repr__(self) -> str:
        sizes = f"{self.num_embeddings} -> {self.embedding_dim}"
        return f"Embedding({sizes}{non_default(padding_idx=(self.padding_idx, None))})"
