"""The two optimizers of scikit-learn's MLP, where their formulas differ from those of `xpnet.optimizers`."""

from xpnet._typing import Array
from xpnet.optimizers import Adam, Optimizer
from xpnet.optimizers.base import Coefficients, Options, Parameters, State

__all__ = ["AdamByEpsilon", "MomentumOfSteps"]


class AdamByEpsilon(Adam):
    """Adam with epsilon beside the root of the uncorrected v.

        p -= lr sqrt(1 - b2^t) / (1 - b1^t)  m / (sqrt(v) + eps)

    Kingma and Ba, ICLR 2015, the remark at the end of section 2, where it is called epsilon hat.
    """

    def coefficients(self, s: State, o: Options) -> Coefficients:
        c = super().coefficients(s, o)
        # Adam divides by sqrt(v) / root + eps.
        return {**c, "eps": c["eps"] / c["root"]}


class MomentumOfSteps(Optimizer):
    """v = kept v - lr g;  p += v; or, with Nesterov's momentum, p += kept v - lr g.

    The velocity consists of steps, and not of gradients: a new learning rate does not change those that
    were made. While the rate is constant, this is `Momentum`, and `Nesterov`.

    Parameters
    ----------
    kept : float
        The share of the velocity that remains in the next step: the momentum.
    nesterov : bool
    """

    slots = ("v",)

    def __init__(self, parameters: Parameters, lr: float, kept: float, nesterov: bool) -> None:
        super().__init__(parameters, lr, kept=kept, nesterov=nesterov)

    def coefficients(self, s: State, o: Options) -> Coefficients:
        return {"lr": o["lr"], "share": o["kept"], "nesterov": o["nesterov"]}

    def update(self, p: Array, g: Array, s: State, c: Coefficients) -> Array:
        step = c["lr"] * g
        v = s["v"]
        v *= c["share"]
        v -= step
        if c["nesterov"]:
            p += c["share"] * v
            p -= step
        else:
            p += v
        s["v"] = v
        return p

    def formula(self, o: Options) -> str:
        move = "p += share * v; p -= lr * g;" if o["nesterov"] else "p += v;"
        return f"v *= share; v -= lr * g; {move}"
