"""LAMB: steps in Adam's direction, proportional to the size of the parameter."""

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.optimizers.adam import moment_coefficients, moments
from xpnet.optimizers.base import Coefficients, Optimizer, Options, Parameters, State


class LAMB(Optimizer):
    """Steps in Adam's direction, proportional to the size of the parameter, for large batches.

        d = (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) + weight_decay p
        p -= lr |p| / |d| d

    m and v are those of `Adam`; |p| is the square root of the sum of p^2 over the whole parameter.
    Where |p| or |d| is 0, p -= lr d.

    You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR
    2020, algorithm 2.

    Parameters
    ----------
    parameters : iterable of Parameter, or of dicts
        Parameters, or groups of them with options of their own: see `Optimizer`.
    lr : float, default 0.001
        The learning rate, above 0.
    betas : (float, float), default (0.9, 0.999)
        b1 and b2: the shares of m and of v that remain in the next step, from 0 to below 1.
    eps : float, default 1e-6
        It is added to the divisor, which otherwise might be 0.
    weight_decay : float, default 0.0
        weight_decay p is added to the direction d.

    Raises
    ------
    TypeError, ValueError
        As for `Optimizer`.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> p = xpnet.Parameter([3.0, -4.0])
    >>> optimizer = xpnet.LAMB([p], lr=0.25)
    >>> F.sum(p * p).backward()
    >>> optimizer.step()
    >>> p.data.tolist()
    [2.1161, -3.1161]
    """

    slots = ("m", "v")

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay,
            decoupled_weight_decay=False,
        )  # fmt: skip

    def decayed(self, p: Array, g: Array, c: Coefficients) -> tuple[Array, Array]:
        return p, g  # the decay is part of the direction: `update` uses "pull"

    def coefficients(self, s: State, o: Options) -> Coefficients:
        b1, b2 = o["betas"]
        t = s["t"]
        corrections = {"correction1": 1.0 - b1**t, "correction2": 1.0 - b2**t}
        return {**moment_coefficients(o), **corrections}

    def update(self, p: Array, g: Array, s: State, c: Coefficients) -> Array:
        xp = array_namespace(p)
        m, v = moments(g, s, c)
        d = m / c["correction1"] / (xp.sqrt(v / c["correction2"]) + c["eps"])
        if "pull" in c:
            d += c["pull"] * p
        norm_p = xp.sqrt(xp.sum(p * p))
        norm_d = xp.sqrt(xp.sum(d * d))
        is_zero = (norm_p == 0.0) | (norm_d == 0.0)
        trust = xp.where(is_zero, 1.0, norm_p / xp.where(is_zero, 1.0, norm_d))
        p -= c["lr"] * (trust * d)
        return p
