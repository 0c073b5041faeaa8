"""Steps along the gradient, without or with momentum: SGD, and its lessons' names Momentum and Nesterov."""

from typing import Any, ClassVar

from xpnet._typing import Array
from xpnet.errors import ArgumentError
from xpnet.optimizers.base import Coefficients, Optimizer, Options, Parameters, State


class SGD(Optimizer):
    """p -= lr g; with momentum, v = momentum v + (1 - dampening) g;  p -= lr v.

    With `nesterov`, p -= lr (g + momentum v): in effect, the gradient is taken at the point to which
    the momentum leads. In the first step v = g, as in PyTorch. Without momentum there is no v.

    Robbins and Monro, "A stochastic approximation method", Annals of Mathematical Statistics 22,
    1951; momentum: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964;
    nesterov: Sutskever et al., "On the importance of initialization and momentum in deep learning",
    ICML 2013.

    Parameters
    ----------
    parameters : iterable of Parameter, or of dicts
        Parameters, or groups of them with options of their own: see `Optimizer`.
    lr : float, default 0.001
        The learning rate, above 0.
    momentum : float, default 0.0
        The share of the velocity v that remains in the next step, from 0 to below 1.
    dampening : float, default 0.0
        The share of the gradient that is left out of the velocity.
    weight_decay : float, default 0.0
        The strength of the pull towards 0: weight_decay p is added to the gradient.
    nesterov : bool, default False
        Whether the momentum is Nesterov's, which needs momentum and no dampening.
    decoupled_weight_decay : bool, default False
        Subtract lr weight_decay p from p instead, before the step.

    Raises
    ------
    TypeError, ValueError
        As for `Optimizer`.
    ValueError
        `nesterov` without momentum, or with dampening.

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

    slots_of_options: ClassVar[dict[str, str]] = {"momentum": "v"}

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.001,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            parameters, lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay,
            nesterov=nesterov, decoupled_weight_decay=decoupled_weight_decay,
        )  # fmt: skip

    def _require_fit(self, o: Options) -> None:
        if o["nesterov"] and (o["momentum"] == 0.0 or o["dampening"] != 0.0):
            raise ArgumentError(
                f"{type(self).__name__} expected momentum > 0 and dampening = 0 for nesterov=True, got "
                f"momentum={o['momentum']} and dampening={o['dampening']}."
            )

    def coefficients(self, s: State, o: Options) -> Coefficients:
        c = {"lr": o["lr"]}
        if o["momentum"]:
            c |= {"momentum": o["momentum"], "nesterov": o["nesterov"]}
            if o["dampening"]:
                c["share"] = 1.0 - o["dampening"] * (s["t"] > 1)  # of g in the velocity
        return c

    def update(self, p: Array, g: Array, s: State, c: Coefficients) -> Array:
        if "momentum" not in c:
            p -= c["lr"] * g
            return p
        v = s["v"]
        v *= c["momentum"]
        v += c["share"] * g if "share" in c else g
        if c["nesterov"]:
            p -= c["lr"] * (g + c["momentum"] * v)
        else:
            p -= c["lr"] * v
        s["v"] = v
        return p

    def formula(self, o: Options) -> str:
        if not o["momentum"]:
            return "p -= lr * g;"
        gradient = "share * g" if o["dampening"] else "g"
        step = "(g + momentum * v)" if o["nesterov"] else "v"
        return f"v *= momentum; v += {gradient}; p -= lr * {step};"

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "nesterov" not in state:  # from before this class had the options of momentum
            own = {name: self.defaults[name] for name in ("momentum", "dampening", "nesterov")}
            state = own | state
        super().load_state_dict(state)


class Momentum(SGD):
    """v = momentum v + (1 - dampening) g;  p -= lr v: the lessons' name of `SGD` with momentum.

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
            parameters, lr, momentum, dampening, weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
        )  # fmt: skip


class Nesterov(SGD):
    """v = momentum v + g;  p -= lr (g + momentum v): the lessons' name of `SGD` with nesterov=True.

    In effect, the gradient is taken at the point to which the momentum leads.

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
            parameters, lr, momentum, weight_decay=weight_decay, nesterov=True,
            decoupled_weight_decay=decoupled_weight_decay,
        )  # fmt: skip
