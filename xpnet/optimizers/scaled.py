"""Steps scaled by the size of past gradients: Adagrad, RMSprop, Adadelta."""

from typing import ClassVar

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.optimizers.base import Coefficients, Optimizer, Options, Parameters, State


class Adagrad(Optimizer):
    """s += g^2;  p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps).

    Duchi, Hazan and Singer, "Adaptive subgradient methods", JMLR 12, 2011.

    Parameters
    ----------
    parameters : iterable of Parameter, or of dicts
        Parameters, or groups of them with options of their own: see `Optimizer`.
    lr : float, default 0.01
        The learning rate, above 0.
    eps : float, default 1e-10
        It is added to the divisor, which otherwise might be 0.
    lr_decay : float, default 0.0
        How fast the learning rate falls: in step t it is lr / (1 + (t - 1) lr_decay).
    initial_accumulator_value : float, default 0.0
        The initial value of s, the sum of all squared gradients.
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
    >>> optimizer = xpnet.Adagrad([p], lr=0.25)
    >>> F.sum(p * p).backward()
    >>> optimizer.step()
    >>> p.data.tolist()
    [0.75, -1.75]
    """

    slots = ("s",)

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.01,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            parameters, lr, lr_decay=lr_decay, weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value, eps=eps,
            decoupled_weight_decay=decoupled_weight_decay,
        )  # fmt: skip

    def initial(self, p: Array, o: Options) -> State:
        return {"s": array_namespace(p).full_like(p, o["initial_accumulator_value"])}

    def coefficients(self, s: State, o: Options) -> Coefficients:
        rate = o["lr"] / (1.0 + (s["t"] - 1) * o["lr_decay"])
        return {"rate": rate, "eps": o["eps"]}

    def update(self, p: Array, g: Array, s: State, c: Coefficients) -> Array:
        squares = s["s"]
        squares += g * g
        p -= c["rate"] * g / (array_namespace(squares).sqrt(squares) + c["eps"])
        s["s"] = squares
        return p

    def formula(self, o: Options) -> str:
        return """
            s += g * g;
            p -= rate * g / (sqrt(s) + eps);
        """


class RMSprop(Optimizer):
    """s = alpha s + (1 - alpha) g^2;  p -= lr g / (sqrt(s) + eps).

    With `centered`, m = alpha m + (1 - alpha) g, and s is replaced by the variance s - m^2. With
    `momentum`, v = momentum v + g / (sqrt(s) + eps), and p -= lr v.

    Tieleman and Hinton, "Lecture 6.5: RMSProp", Coursera, 2012; centered: Graves, "Generating
    sequences with recurrent neural networks", 2013.

    Parameters
    ----------
    parameters : iterable of Parameter, or of dicts
        Parameters, or groups of them with options of their own: see `Optimizer`.
    lr : float, default 0.01
        The learning rate, above 0.
    alpha : float, default 0.99
        The share of the mean square s that remains in the next step, from 0 to below 1.
    eps : float, default 1e-8
        It is added to the divisor, which otherwise might be 0.
    weight_decay : float, default 0.0
        The strength of the pull towards 0: weight_decay p is added to the gradient.
    momentum : float, default 0.0
        The share of the velocity v that remains in the next step, from 0 to below 1; 0 is without a velocity.
    centered : bool, default False
        Whether to divide by the standard deviation of the gradients instead of their root mean square.
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
    >>> optimizer = xpnet.RMSprop([p], lr=0.25, alpha=0.75)
    >>> F.sum(p * p).backward()
    >>> optimizer.step()
    >>> p.data.tolist()
    [0.5, -1.5]
    """

    slots = ("s",)
    slots_of_options: ClassVar[dict[str, str]] = {"centered": "m", "momentum": "v"}

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            parameters, lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum,
            centered=centered, decoupled_weight_decay=decoupled_weight_decay,
        )  # fmt: skip

    def coefficients(self, s: State, o: Options) -> Coefficients:
        c = {name: o[name] for name in ("lr", "alpha", "eps", "centered")}
        if o["momentum"]:
            c["momentum"] = o["momentum"]
        return {**c, "rest": 1.0 - o["alpha"]}

    def update(self, p: Array, g: Array, s: State, c: Coefficients) -> Array:
        xp = array_namespace(p)
        alpha = c["alpha"]
        rest = c["rest"]
        square = s["s"]
        square *= alpha
        square += rest * (g * g)
        s["s"] = variance = square
        if c["centered"]:
            mean = s["m"]
            mean *= alpha
            mean += rest * g
            s["m"] = mean
            variance = xp.maximum(square - mean * mean, 0.0)
        if "momentum" not in c:
            p -= c["lr"] * g / (xp.sqrt(variance) + c["eps"])
            return p
        v = s["v"]
        v *= c["momentum"]
        v += g / (xp.sqrt(variance) + c["eps"])
        p -= c["lr"] * v
        s["v"] = v
        return p

    def formula(self, o: Options) -> str:
        variance = """
            s *= alpha;
            s += rest * (g * g);
            A variance = s;
        """
        if o["centered"]:
            variance += """
            m *= alpha;
            m += rest * g;
            variance = s - m * m;
            if (variance < 0) variance = 0;
            """
        if not o["momentum"]:
            return f"{variance} p -= lr * g / (sqrt(variance) + eps);"
        return f"""{variance}
            v *= momentum;
            v += g / (sqrt(variance) + eps);
            p -= lr * v;
        """


class Adadelta(Optimizer):
    """Steps that have the units of the parameter, so that the learning rate is 1 by default.

        s = rho s + (1 - rho) g^2        d = g sqrt(u + eps) / sqrt(s + eps)
        u = rho u + (1 - rho) d^2        p -= lr d

    Zeiler, "ADADELTA: an adaptive learning rate method", 2012, algorithm 1.

    Parameters
    ----------
    parameters : iterable of Parameter, or of dicts
        Parameters, or groups of them with options of their own: see `Optimizer`.
    lr : float, default 1.0
        The learning rate, above 0.
    rho : float, default 0.9
        The share of the mean squares, s of gradients and u of steps, that remains in the next step, from 0 to
        below 1.
    eps : float, default 1e-6
        It is added to both mean squares: it sets the size of the first steps.
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
    >>> optimizer = xpnet.Adadelta([p], lr=1.0, eps=1e-2)
    >>> F.sum(p * p).backward()
    >>> optimizer.step()
    >>> p.data.tolist()
    [0.6877, -1.6848]
    """

    slots = ("s", "u")

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            parameters, lr, rho=rho, eps=eps, weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
        )  # fmt: skip

    def coefficients(self, s: State, o: Options) -> Coefficients:
        return {"lr": o["lr"], "rho": o["rho"], "rest": 1.0 - o["rho"], "eps": o["eps"]}

    def update(self, p: Array, g: Array, s: State, c: Coefficients) -> Array:
        sqrt = array_namespace(p).sqrt
        rho = c["rho"]
        rest = c["rest"]
        eps = c["eps"]
        square = s["s"]
        u = s["u"]
        square *= rho
        square += rest * (g * g)
        d = sqrt(u + eps) / sqrt(square + eps) * g
        u *= rho
        u += rest * (d * d)
        p -= c["lr"] * d
        s["s"] = square
        s["u"] = u
        return p

    def formula(self, o: Options) -> str:
        return """
            s *= rho;
            s += rest * (g * g);
            const A d = sqrt(u + eps) / sqrt(s + eps) * g;
            u *= rho;
            u += rest * (d * d);
            p -= lr * d;
        """
