"""Optimizers: how a parameter moves, once its gradient is known.

Each class's `update` is its formula. Arrays are changed in place where the library can (NumPy,
CuPy, PyTorch) and replaced where it cannot (JAX), by one text: `a -= b` does either.

Notation: p the parameter, g its gradient, lr the learning rate, t the number of the step from 1.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

from xpnet.autodiff import Parameter, Variable, data_of
from xpnet.backend import Array
from xpnet.errors import GradientError, StateError
from xpnet.namespace import array_namespace
from xpnet.tape import clock


class Optimizer:
    """The base: it holds the parameters and, for each, a dict of what `update` keeps.

    Parameters
    ----------
    parameters : iterable of Parameter
        Or of other Variables that require a gradient; each once.
    lr : float
        The learning rate, greater than 0. It may be changed between steps.
    """

    slots: ClassVar[tuple[str, ...]] = ()  # what update keeps for each parameter, zeros at first

    def __init__(self, parameters: Iterable[Parameter], lr: float) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError(f"{type(self).__name__} was given no parameters.")
        leaves: list[Any] = self.parameters
        if not all(isinstance(p, Variable) and p.creator is None for p in leaves):
            given = ", ".join(sorted({type(p).__name__ for p in leaves}))
            raise TypeError(
                f"{type(self).__name__} expected Parameters, as model.parameters() gives them, got "
                f"{given} that are none, or that were computed."
            )
        if len({id(p) for p in self.parameters}) < len(self.parameters):
            raise ValueError(f"{type(self).__name__} was given a parameter twice.")
        if not lr > 0:
            raise ValueError(f"{type(self).__name__} expected lr > 0, got {lr}.")
        self.lr = float(lr)  # a NumPy scalar would turn float32 into float64
        self.state: list[dict[str, Any]] = [
            {"t": 0} | {slot: array_namespace(p.data).zeros_like(p.data) for slot in self.slots}
            for p in self.parameters
        ]

    def step(self) -> None:
        """Move every parameter that has a gradient.

        Raises
        ------
        GradientError
            None has: `backward` was not called.
        StateError
            The parameters were moved to another library since this optimizer was made.
        """
        moved = False
        for p, state in zip(self.parameters, self.state, strict=True):
            if p.grad is not None:
                if self.slots and type(state[self.slots[0]]) is not type(p.data):
                    raise StateError(f"{self!r}: make the optimizer after model.to(...).")
                state["t"] += 1
                p.data = self.update(p.data, data_of(p.grad), state)
                p.changed = next(clock)  # a graph that has kept it as it was is out of date
                moved = True
        if not moved:
            raise GradientError("No parameter has a gradient: call loss.backward() before step().")

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters; call it before each `backward`."""
        for p in self.parameters:
            p.grad = None

    def update(self, p: Array, g: Array, state: dict[str, Any]) -> Array:
        """The new value of `p`; it may be `p` itself, changed. `g` is not to be changed.

        `state` holds the parameter's arrays by name, and "t", the number of its step from 1.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}(lr={self.lr:g})"


class SGD(Optimizer):
    """p -= lr g;  g has the shape of p.

    Robbins and Monro, "A stochastic approximation method", Annals of Mathematical Statistics 22,
    1951.
    """

    def __init__(self, parameters: Iterable[Parameter], lr: float = 0.1) -> None:
        super().__init__(parameters, lr)

    def update(self, p: Array, g: Array, state: dict[str, Any]) -> Array:
        p -= self.lr * g
        return p


class Momentum(Optimizer):
    """v = momentum v + g;  p -= lr v;  v has the shape of p, as in PyTorch's SGD with momentum.

    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.

    Parameters
    ----------
    momentum : float
        How much of the velocity v lasts to the next step, from 0 to below 1.
    """

    slots = ("v",)

    def __init__(
        self, parameters: Iterable[Parameter], lr: float = 0.01, momentum: float = 0.9
    ) -> None:
        super().__init__(parameters, lr)
        self.momentum = float(momentum)

    def update(self, p: Array, g: Array, state: dict[str, Any]) -> Array:
        v = state["v"]
        v *= self.momentum
        v += g
        p -= self.lr * v
        state["v"] = v
        return p


class AdaGrad(Optimizer):
    """s += g^2;  p -= lr g / (sqrt(s) + eps), elementwise;  s has the shape of p.

    Duchi, Hazan and Singer, "Adaptive subgradient methods", JMLR 12, 2011.
    """

    slots = ("s",)

    def __init__(
        self, parameters: Iterable[Parameter], lr: float = 0.01, eps: float = 1e-10
    ) -> None:
        super().__init__(parameters, lr)
        self.eps = float(eps)

    def update(self, p: Array, g: Array, state: dict[str, Any]) -> Array:
        s = state["s"]
        s += g * g
        p -= self.lr * g / (array_namespace(s).sqrt(s) + self.eps)
        state["s"] = s
        return p


class RMSProp(Optimizer):
    """s = alpha s + (1 - alpha) g^2;  p -= lr g / (sqrt(s) + eps), elementwise;  s is shaped like p.

    Tieleman and Hinton, "Lecture 6.5: RMSProp", Coursera, 2012.

    Parameters
    ----------
    alpha : float
        How much of the mean square s lasts to the next step.
    """

    slots = ("s",)

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr)
        self.alpha, self.eps = float(alpha), float(eps)

    def update(self, p: Array, g: Array, state: dict[str, Any]) -> Array:
        s = state["s"]
        s *= self.alpha
        s += (1.0 - self.alpha) * (g * g)
        p -= self.lr * g / (array_namespace(s).sqrt(s) + self.eps)
        state["s"] = s
        return p


class Adam(Optimizer):
    """Momentum and RMSProp together, each corrected for its start from zero.

        m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2
        p -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

    Elementwise: m and v have the shape of p; t counts the steps of p.

    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.

    Parameters
    ----------
    betas : (float, float)
        b1 and b2: how much of m and of v lasts to the next step.
    """

    slots = ("m", "v")

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr)
        self.betas, self.eps = (float(betas[0]), float(betas[1])), float(eps)

    def update(self, p: Array, g: Array, state: dict[str, Any]) -> Array:
        (b1, b2), m, v = self.betas, state["m"], state["v"]
        m *= b1
        m += (1.0 - b1) * g
        v *= b2
        v += (1.0 - b2) * (g * g)
        scale = array_namespace(v).sqrt(v)
        scale /= (1.0 - b2 ** state["t"]) ** 0.5
        scale += self.eps
        p -= (self.lr / (1.0 - b1 ** state["t"])) * m / scale
        state["m"], state["v"] = m, v
        return p


class AdamW(Adam):
    """Adam after p -= lr weight_decay p: decay that the gradient's scale does not touch.

    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.

    Parameters
    ----------
    weight_decay : float
        The share of p, times lr, that is lost in each step.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, lr, betas, eps)
        self.weight_decay = float(weight_decay)

    def update(self, p: Array, g: Array, state: dict[str, Any]) -> Array:
        p *= 1.0 - self.lr * self.weight_decay
        return super().update(p, g, state)


BY_NAME: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "adagrad": AdaGrad,
    "rmsprop": RMSProp,
    "adam": Adam,
    "adamw": AdamW,
}


def optimizer(name: str, parameters: Iterable[Parameter], lr: float | None = None) -> Optimizer:
    """The optimizer of that name, in lower case; with its own default learning rate if None.

    Raises
    ------
    ValueError
        No optimizer has that name; the message lists those there are.
    """
    if name not in BY_NAME:
        raise ValueError(f"Unknown optimizer {name!r}. Expected one of: {', '.join(BY_NAME)}.")
    return BY_NAME[name](parameters, **({} if lr is None else {"lr": lr}))
