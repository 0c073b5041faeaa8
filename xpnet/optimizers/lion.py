"""Lion: every number of a parameter takes a step of one size."""

from xpnet.backend import Array
from xpnet.namespace import array_namespace
from xpnet.optimizers.base import Optimizer, Options, Parameters, State


class Lion(Optimizer):
    """p -= lr sign(b1 m + (1 - b1) g);  m = b2 m + (1 - b2) g.

    Before that, p -= lr weight_decay p. Rates are 3 to 10 times smaller than Adam's, and the
    decay that much larger.

    Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, program 1.

    Parameters
    ----------
    betas : (float, float)
        b1: the momentum's share in the step; b2: how much of it lasts to the next.
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

    def update(self, p: Array, g: Array, s: State, o: Options) -> Array:
        (b1, b2), m = o["betas"], s["m"]
        p -= o["lr"] * array_namespace(p).sign(b1 * m + (1.0 - b1) * g)
        m *= b2
        m += (1.0 - b2) * g
        s["m"] = m
        return p
