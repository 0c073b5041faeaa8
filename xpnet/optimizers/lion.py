"""Lion: every number of a parameter changes by the same amount in a step, up or down."""

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.optimizers.base import Coefficients, Optimizer, Options, Parameters, State


class Lion(Optimizer):
    """p -= lr sign(b1 m + (1 - b1) g);  m = b2 m + (1 - b2) g.

    Before that, p -= lr weight_decay p. Learning rates should be 3 to 10 times smaller than Adam's,
    and weight_decay larger by the same factor.

    Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, program 1.

    Parameters
    ----------
    parameters : iterable of Parameter, or of dicts
        Parameters, or groups of them with options of their own: see `Optimizer`.
    lr : float, default 0.0001
        The learning rate, above 0.
    betas : (float, float), default (0.9, 0.99)
        b1: the share of the momentum m in the step; b2: the share of m that remains in the next step; each
        from 0 to below 1.
    weight_decay : float, default 0.0
        lr times weight_decay is the share of p that is subtracted in each step.

    Raises
    ------
    TypeError, ValueError
        As for `Optimizer`.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> p = xpnet.Parameter([1.0, -2.0])
    >>> optimizer = xpnet.Lion([p], lr=0.25)
    >>> F.sum(p * p).backward()
    >>> optimizer.step()
    >>> p.data.tolist()
    [0.75, -1.75]
    """

    slots = ("m",)

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.0001,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            parameters, lr, betas=betas, weight_decay=weight_decay, decoupled_weight_decay=True
        )

    def coefficients(self, s: State, o: Options) -> Coefficients:
        b1, b2 = o["betas"]
        return {"lr": o["lr"], "b1": b1, "rest1": 1.0 - b1, "b2": b2, "rest2": 1.0 - b2}

    def update(self, p: Array, g: Array, s: State, c: Coefficients) -> Array:
        m = s["m"]
        p -= c["lr"] * array_namespace(p).sign(c["b1"] * m + c["rest1"] * g)
        m *= c["b2"]
        m += c["rest2"] * g
        s["m"] = m
        return p

    def formula(self, o: Options) -> str:
        return """
            const A d = b1 * m + rest1 * g;
            p -= lr * (d > 0 ? A(1) : d < 0 ? A(-1) : d);
            m *= b2;
            m += rest2 * g;
        """
