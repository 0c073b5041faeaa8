"""Adam and its relatives: Adam, AdamW, NAdam, RAdam."""

from collections.abc import Iterable
from typing import Any, ClassVar

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, as_array
from xpnet.optimizers.base import Coefficients, Optimizer, Options, Parameters, State


class Adam(Optimizer):
    """Momentum (m) and RMSProp (v) together, each corrected for starting at zero.

        m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2
        p -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

    t counts the steps of p. With `amsgrad`, v is replaced by the largest v so far.

    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1; amsgrad:
    Reddi, Kale and Kumar, "On the convergence of Adam and beyond", ICLR 2018.

    Parameters
    ----------
    parameters : iterable of Parameter, or of dicts
        Parameters, or groups of them with options of their own: see `Optimizer`.
    lr : float, default 0.001
        The learning rate, above 0.
    betas : (float, float), default (0.9, 0.999)
        b1 and b2: the shares of m and of v that remain in the next step, from 0 to below 1.
    eps : float, default 1e-8
        It is added to the divisor, which otherwise might be 0.
    weight_decay : float, default 0.0
        The strength of the pull towards 0: weight_decay p is added to the gradient.
    amsgrad : bool, default False
        Whether to divide by the largest v so far.
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
    >>> optimizer = xpnet.Adam([p], lr=0.25)
    >>> F.sum(p * p).backward()
    >>> optimizer.step()
    >>> p.data.tolist()
    [0.75, -1.75]
    """

    slots = ("m", "v")
    slots_of_options: ClassVar[dict[str, str]] = {"amsgrad": "largest"}

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad,
            decoupled_weight_decay=decoupled_weight_decay,
        )  # fmt: skip

    def coefficients(self, s: State, o: Options) -> Coefficients:
        b1, b2 = o["betas"]
        t = s["t"]
        rate = o["lr"] / (1.0 - b1**t)
        root = (1.0 - b2**t) ** 0.5
        return {**moment_coefficients(o), "rate": rate, "root": root, "amsgrad": o["amsgrad"]}

    def update(self, p: Array, g: Array, s: State, c: Coefficients) -> Array:
        m, v = moments(g, s, c)
        if c["amsgrad"]:
            s["largest"] = v = as_array(array_namespace(v).maximum(s["largest"], v))
        scale = array_namespace(v).sqrt(v)
        scale /= c["root"]
        scale += c["eps"]
        p -= c["rate"] * m / scale
        return p

    def formula(self, o: Options) -> str:
        square = "v"
        keep_largest = ""
        if o["amsgrad"]:
            square = "largest"
            keep_largest = "if (v > largest || v != v) largest = v;"  # NaN too
        return f"{MOMENTS} {keep_largest} p -= rate * m / (sqrt({square}) / root + eps);"


class AdamW(Adam):
    """Adam, after p -= lr weight_decay p: the decay does not depend on the scale of the gradient.

    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.

    Parameters
    ----------
    parameters : iterable of Parameter, or of dicts
        Parameters, or groups of them with options of their own: see `Optimizer`.
    lr : float, default 0.001
        The learning rate, above 0.
    betas : (float, float), default (0.9, 0.999)
        b1 and b2: the shares of m and of v that remain in the next step, from 0 to below 1.
    eps : float, default 1e-8
        It is added to the divisor, which otherwise might be 0.
    weight_decay : float, default 0.01
        lr times weight_decay is the share of p that is subtracted in each step.
    amsgrad : bool, default False
        Whether to divide by the largest v so far.

    Raises
    ------
    TypeError, ValueError
        As for `Optimizer`.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> p = xpnet.Parameter([1.0, -2.0])
    >>> optimizer = xpnet.AdamW([p], lr=0.25, weight_decay=0.5)
    >>> F.sum(p * p).backward()
    >>> optimizer.step()
    >>> p.data.tolist()
    [0.625, -1.5]
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(
            parameters, lr, betas, eps, weight_decay, amsgrad, decoupled_weight_decay=True
        )


class NAdam(Optimizer):
    """Adam with Nesterov's momentum: a part of the step is along the gradient itself.

        c(t) = b1 (1 - 0.96^(t momentum_decay) / 2)        C = c(1) c(2) ... c(t)
        p -= lr ((1 - c(t)) / (1 - C) g + c(t+1) / (1 - C c(t+1)) m) / (sqrt(v / (1 - b2^t)) + eps)

    m and v are those of `Adam`.

    Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.

    Parameters
    ----------
    parameters : iterable of Parameter, or of dicts
        Parameters, or groups of them with options of their own: see `Optimizer`.
    lr : float, default 0.002
        The learning rate, above 0.
    betas : (float, float), default (0.9, 0.999)
        b1 and b2: the shares of m and of v that remain in the next step, from 0 to below 1.
    eps : float, default 1e-8
        It is added to the divisor, which otherwise might be 0.
    weight_decay : float, default 0.0
        The strength of the pull towards 0: weight_decay p is added to the gradient.
    momentum_decay : float, default 0.004
        The rate at which c grows from b1 / 2 to b1.
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
    >>> optimizer = xpnet.NAdam([p], lr=0.25)
    >>> F.sum(p * p).backward()
    >>> optimizer.step()
    >>> p.data.tolist()
    [0.7359, -1.7359]
    """

    slots = ("m", "v")
    counts = ("t", "product")

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.002,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 0.004,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay,
            momentum_decay=momentum_decay, decoupled_weight_decay=decoupled_weight_decay,
        )  # fmt: skip

    def initial(self, p: Array, o: Options) -> State:
        return super().initial(p, o) | {"product": 1.0}

    def advance(self, states: Iterable[State], o: Options) -> None:
        super().advance(states, o)
        for s in states:
            s["product"] *= self._share(s["t"], o)

    def _share(self, t: int, o: Options) -> float:
        """c(t): the share of the momentum in step t."""
        share: float = o["betas"][0] * (1.0 - 0.5 * 0.96 ** (t * o["momentum_decay"]))
        return share

    def coefficients(self, s: State, o: Options) -> Coefficients:
        lr = o["lr"]
        product = s["product"]
        t = s["t"]
        now = self._share(t, o)
        after = self._share(t + 1, o)
        root = (1.0 - o["betas"][1] ** t) ** 0.5
        rates = {
            "of_g": lr * (1.0 - now) / (1.0 - product),
            "of_m": lr * after / (1.0 - product * after),
        }
        return {**moment_coefficients(o), **rates, "root": root}

    def update(self, p: Array, g: Array, s: State, c: Coefficients) -> Array:
        m, v = moments(g, s, c)
        scale = array_namespace(v).sqrt(v)
        scale /= c["root"]
        scale += c["eps"]
        step = c["of_g"] * g
        step += c["of_m"] * m
        p -= step / scale
        return p

    def formula(self, o: Options) -> str:
        return f"{MOMENTS} p -= (of_g * g + of_m * m) / (sqrt(v) / root + eps);"


class RAdam(Optimizer):
    """Adam that scales its steps by the gradients' size only once it has seen enough gradients.

        r = 2 / (1 - b2) - 1        r(t) = r - 2 t b2^t / (1 - b2^t)
        p -= lr k m / (1 - b1^t)

    with k = 1 while r(t) <= 5, and from then on

        k = sqrt((r(t) - 4) (r(t) - 2) r / ((r - 4) (r - 2) r(t))) sqrt(1 - b2^t) / (sqrt(v) + eps)

    m and v are those of `Adam`. r(t) is the number of gradients that v effectively averages in step t,
    and r is its limit.

    Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020, algorithm 2.

    Parameters
    ----------
    parameters : iterable of Parameter, or of dicts
        Parameters, or groups of them with options of their own: see `Optimizer`.
    lr : float, default 0.001
        The learning rate, above 0.
    betas : (float, float), default (0.9, 0.999)
        b1 and b2: the shares of m and of v that remain in the next step, from 0 to below 1.
    eps : float, default 1e-8
        It is added to the divisor, which otherwise might be 0.
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
    >>> optimizer = xpnet.RAdam([p], lr=0.25)
    >>> F.sum(p * p).backward()
    >>> optimizer.step()
    >>> p.data.tolist()
    [0.5, -1.0]
    """

    slots = ("m", "v")

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
        )  # fmt: skip

    def coefficients(self, s: State, o: Options) -> Coefficients:
        b1, b2 = o["betas"]
        t = s["t"]
        lr = o["lr"] / (1.0 - b1**t)
        correction = 1.0 - b2**t
        r = 2.0 / (1.0 - b2) - 1.0
        r_t = r - 2.0 * t * b2**t / correction
        scaled: Any = False
        root: Any = 1.0
        if r > 5.0:  # else r(t), which is smaller, never exceeds 5
            scaled = r_t > 5.0
            square = abs((r_t - 4.0) * (r_t - 2.0)) * r / ((r - 4.0) * (r - 2.0) * r_t)
            root = (square * correction) ** 0.5
        # 0 and 1 as factors, not as a choice: a step that is recorded computes the same each time.
        return {
            **moment_coefficients(o),
            "rate": lr * (scaled * root + (1.0 - scaled)),
            "share": 1.0 * scaled,  # of sqrt(v) in the divisor
            "rest": scaled * o["eps"] + (1.0 - scaled),
        }

    def update(self, p: Array, g: Array, s: State, c: Coefficients) -> Array:
        m, v = moments(g, s, c)
        p -= c["rate"] * m / (c["share"] * array_namespace(v).sqrt(v) + c["rest"])
        return p

    def formula(self, o: Options) -> str:
        return f"{MOMENTS} p -= rate * m / (share * sqrt(v) + rest);"


MOMENTS = "m *= b1; m += rest1 * g; v *= b2; v += rest2 * (g * g);"  # `moments` in CUDA


def moment_coefficients(o: Options) -> dict[str, Any]:
    """The coefficients of `moments`, and lr and eps, which most formulas with moments use."""
    b1, b2 = o["betas"]
    rest = {"rest1": 1.0 - b1, "rest2": 1.0 - b2}
    return {"lr": o["lr"], "eps": o["eps"], "b1": b1, "b2": b2, **rest}


def moments(g: Array, s: State, c: Coefficients) -> tuple[Array, Array]:
    """m = b1 m + (1 - b1) g and v = b2 v + (1 - b2) g^2: running means of g and of g^2."""
    m = s["m"]
    v = s["v"]
    m *= c["b1"]
    m += c["rest1"] * g
    v *= c["b2"]
    v += c["rest2"] * (g * g)
    s["m"] = m  # on JAX the arrays are new ones
    s["v"] = v
    return m, v
