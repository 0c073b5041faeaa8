"""Steps along the gradient, without or with momentum: SGD, Momentum, Nesterov."""

from xpnet._typing import Array
from xpnet.optimizers.base import Coefficients, Optimizer, Options, Parameters, State


class SGD(Optimizer):
    """p -= lr g.

    Robbins and Monro, "A stochastic approximation method", Annals of Mathematical Statistics 22,
    1951.

    Parameters
    ----------
    parameters : iterable of Parameter, or of dicts
        Parameters, or groups of them with options of their own: see `Optimizer`.
    lr : float, default 0.1
        The learning rate, above 0.
    weight_decay : float, default 0.0
        The strength of the pull towards 0: weight_decay p is added to the gradient.
    decoupled_weight_decay : bool, default False
        Subtract lr weight_decay p from p instead, before the step.

    Raises
    ------
    TypeError, ValueError
        As for `Optimizer`.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> p = xpnet.Parameter([1.0, -2.0])
    >>> optimizer = xpnet.SGD([p], lr=0.25)
    >>> F.sum(p * p).backward()
    >>> optimizer.step()
    >>> p.data.tolist()
    [0.5, -1.0]
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.1,
        *,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            parameters, lr, weight_decay=weight_decay, decoupled_weight_decay=decoupled_weight_decay
        )

    def coefficients(self, s: State, o: Options) -> Coefficients:
        return {"lr": o["lr"]}

    def update(self, p: Array, g: Array, s: State, c: Coefficients) -> Array:
        p -= c["lr"] * g
        return p

    def formula(self, o: Options) -> str:
        return "p -= lr * g;"


class Momentum(Optimizer):
    """v = momentum v + (1 - dampening) g;  p -= lr v. PyTorch's SGD with momentum.

    In the first step v = g, as in PyTorch.

    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.

    Parameters
    ----------
    parameters : iterable of Parameter, or of dicts
        Parameters, or groups of them with options of their own: see `Optimizer`.
    lr : float, default 0.01
        The learning rate, above 0.
    momentum : float, default 0.9
        The share of the velocity v that remains in the next step, from 0 to below 1.
    dampening : float, default 0.0
        The share of the gradient that is left out of the velocity.
    weight_decay : float, default 0.0
        The strength of the pull towards 0: weight_decay p is added to the gradient.
    decoupled_weight_decay : bool, default False
        Subtract lr weight_decay p from p instead, before the step.

    Raises
    ------
    TypeError, ValueError
        As for `Optimizer`.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> p = xpnet.Parameter([1.0, -2.0])
    >>> optimizer = xpnet.Momentum([p], lr=0.25, momentum=0.5)
    >>> F.sum(p).backward()
    >>> optimizer.step()
    >>> optimizer.step()
    >>> p.data.tolist()
    [0.375, -2.625]
    """

    slots = ("v",)

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.01,
        momentum: float = 0.9,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        *,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            parameters, lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
        )  # fmt: skip

    def coefficients(self, s: State, o: Options) -> Coefficients:
        c = {"lr": o["lr"], "momentum": o["momentum"]}
        if o["dampening"]:
            c["share"] = 1.0 - o["dampening"] * (s["t"] > 1)  # of g in the velocity
        return c

    def update(self, p: Array, g: Array, s: State, c: Coefficients) -> Array:
        v = s["v"]
        v *= c["momentum"]
        v += c["share"] * g if "share" in c else g
        p -= c["lr"] * v
        s["v"] = v
        return p

    def formula(self, o: Options) -> str:
        gradient = "share * g" if o["dampening"] else "g"
        return f"v *= momentum; v += {gradient}; p -= lr * v;"


class Nesterov(Momentum):
    """v = momentum v + g;  p -= lr (g + momentum v).

    In effect, the gradient is taken at the point to which the momentum leads. PyTorch's SGD with
    nesterov=True.

    Nesterov, "A method for solving the convex programming problem with convergence rate O(1/k^2)",
    1983; in this form Sutskever et al., "On the importance of initialization and momentum in deep
    learning", ICML 2013.

    Parameters
    ----------
    parameters : iterable of Parameter, or of dicts
        Parameters, or groups of them with options of their own: see `Optimizer`.
    lr : float, default 0.01
        The learning rate, above 0.
    momentum : float, default 0.9
        The share of the velocity v that remains in the next step, from 0 to below 1.
    weight_decay : float, default 0.0
        The strength of the pull towards 0: weight_decay p is added to the gradient.
    decoupled_weight_decay : bool, default False
        Subtract lr weight_decay p from p instead, before the step.

    Raises
    ------
    TypeError, ValueError
        As for `Optimizer`.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> p = xpnet.Parameter([1.0, -2.0])
    >>> optimizer = xpnet.Nesterov([p], lr=0.25, momentum=0.5)
    >>> F.sum(p).backward()
    >>> optimizer.step()
    >>> p.data.tolist()
    [0.625, -2.375]
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.01,
        momentum: float = 0.9,
        *,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            parameters, lr, momentum, weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
        )  # fmt: skip

    def update(self, p: Array, g: Array, s: State, c: Coefficients) -> Array:
        v = s["v"]
        v *= c["momentum"]
        v += g
        p -= c["lr"] * (g + c["momentum"] * v)
        s["v"] = v
        return p

    def formula(self, o: Options) -> str:
        return """
            v *= momentum;
            v += g;
            p -= lr * (g + momentum * v);
        """
