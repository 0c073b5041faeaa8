"""Mixed precision: compute in 16 bits, update the weights in 32.

    precision = MixedPrecision(model, "float16")
    loss = F.softmax_cross_entropy(precision(x), t)
    optimizer.zero_grad()
    precision.backward(loss)
    if precision.unscale():
        optimizer.step()

The weights stay float32. The model computes with a 16-bit copy of each. The cast that makes the copy
is recorded, so the gradients reach the weights, in float32. Inputs are cast too, and outputs are cast
back, so that losses are float32; normalization always computes its means in float32.

Numbers below 3e-8 become 0 in float16, and many gradients are that small. So the loss is multiplied
by a scale before the backward pass, and the gradients are divided by it afterwards. If one of them is
infinite or NaN, the step is skipped and the scale is halved; after many good steps, with finite
gradients, it is doubled. bfloat16 has float32's range, and needs no scale.

Micikevicius et al., "Mixed precision training", ICLR 2018.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Self

import array_api_compat as compat

from xpnet import functions as F
from xpnet._each_step import each_step
from xpnet._libraries.devices import follows, settle, stays
from xpnet._saved import finite, whole
from xpnet._typing import Array, DType
from xpnet.autodiff import tree
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import Parameter, Variable, data_of
from xpnet.errors import ArgumentError, BackendError, StateError, TrainingError
from xpnet.layers import Layer
from xpnet.layers._stand_ins import StandIns, is_replaced, original
from xpnet.layers.hooks import add_hook, hooked, remove_hook

__all__ = [
    "MixedPrecision",
]

DTYPES = ("float16", "bfloat16")
LEAST = 2.0**-24  # a smaller scale cannot be what makes gradients infinite


class MixedPrecision:
    """A model that computes in 16 bits, and the scale of its loss.

    Parameters
    ----------
    model : Layer
        Usually with float32 weights; they are not changed.
    dtype : {"float16", "bfloat16"}
    scale : float, optional
        The initial factor of the loss. By default 65536 for float16, and 1 for bfloat16, where it
        does not grow.
    growth_interval : int
        The number of good steps in a row after which the scale is doubled.

    Attributes
    ----------
    scale : float
    good : int
        The number of good steps, with finite gradients, since the scale last changed.

    Raises
    ------
    BackendError
        The library of the model's weights does not have the dtype, or cannot compute in it.
    ValueError
        The dtype is unknown, the scale is not above 0, or the model has no parameters.

    Notes
    -----
    In a block `with precision:` the model computes in 16 bits when it is called, `model(x)`;
    `precision(x)` does so for one call. The casts are part of the graph, so `backward` may come
    after the block. Only the model's parameters and inputs are cast, and only while the model is
    called: a layer within it, called by itself, computes in float32. A layer must cast anything
    else, such as a `Buffer`, itself: `F.astype(b, x.dtype)`. What a closure reads from the layer
    around it is not cast. Other threads that call the model at the same time compute in float32. A
    `gradient_checkpoint` in the model, or around it, computes the second time as it did the first.

    It is for devices that compute faster in 16 bits, as GPUs do. On CPUs, PyTorch is about as fast
    in bfloat16 as in float32; NumPy computes float16 number by number, some fifty times slower.

    Examples
    --------
    A `Trainer` does so if it is given `precision="float16"`:

    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.training import MixedPrecision
    >>> model = xpnet.MLP(4, 3, 2, rng=0)
    >>> optimizer = xpnet.SGD(model.parameters(), lr=0.1)
    >>> precision = MixedPrecision(model, "float16")
    >>> loss = F.softmax_cross_entropy(precision(F.ones((2, 4))), F.asarray([0, 1]))
    >>> precision.backward(loss)  # of 65536 times the loss
    >>> if precision.unscale():  # the gradients, divided by 65536, are finite
    ...     optimizer.step()
    >>> precision.scale, precision.good
    (65536.0, 1)
    """

    # A compiled step reads these numbers anew each time: see `each_step`.
    numbers_of_each_step: ClassVar[tuple[str, ...]] = ("scale", "good", "growth_interval", "_most")

    def __init__(
        self,
        model: Layer,
        dtype: str = "float16",
        *,
        scale: float | None = None,
        growth_interval: int = 2000,
    ) -> None:
        if dtype not in DTYPES:
            raise ArgumentError(f"Expected dtype {' or '.join(DTYPES)}, got {dtype!r}.")
        if scale is None:
            scale = 2.0**16 if dtype == "float16" else 1.0
        if not 0.0 < scale < math.inf:
            raise ArgumentError(f"Expected scale > 0, got {scale}.")
        if growth_interval < 1:
            raise ArgumentError(f"Expected growth_interval >= 1, got {growth_interval}.")
        weights = next(model.parameters(), None)
        if weights is None:
            raise ArgumentError(f"{model!r} has no parameters to compute with.")
        usable_dtype(weights.data, dtype)
        self.model = model
        self.dtype = dtype
        self.growth_interval = growth_interval
        self.scale = float(scale)
        self.good = 0
        self._most = math.inf if dtype == "float16" else self.scale

    def __call__(self, *xs: Any, **options: Any) -> Any:
        """The model's output, computed in 16 bits and returned in the dtype of the weights."""
        with self:
            return self.model(*xs, **options)

    def __enter__(self) -> Self:
        add_hook(self._in_16_bits, innermost=True)
        return self

    def __exit__(self, *exception: object) -> None:
        remove_hook(self._in_16_bits)

    def _in_16_bits(self, call: Callable[..., Any], layer: Layer, *xs: Any, **options: Any) -> Any:
        """A hook: the model's calls take casts of weights and inputs, and cast the output back."""
        if original(layer) is not self.model:
            return call(layer, *xs, **options)
        weight = next(self.model.parameters(), None)
        if weight is None or is_replaced(weight):  # an outer block has cast it
            return call(layer, *xs, **options)
        low = usable_dtype(weight.data, self.dtype)
        full = weight.dtype
        with _without_warnings(weight.data):
            casts = StandIns(layer, [(p, F.astype(p, low)) for p in layer.parameters()])
            xs, options = tree.map(lambda x: _cast(x, low), (xs, options))
            with hooked(casts, innermost=True):
                y = casts(call, layer, *xs, **options)
            return tree.map(lambda leaf: _cast(leaf, full), y)

    # --- the scale --------------------------------------------------------------------------

    def scaled(self, loss: Variable) -> Variable:
        """The loss times the scale, for a backward pass other than `self.backward(loss)`."""
        scaled: Variable = loss * each_step(lambda: self.scale)
        return scaled

    def backward(
        self, loss: Variable, *, on_gradient: Callable[[Variable], None] | None = None
    ) -> None:
        """Add the gradients of the loss, times the scale, to the `grad` of the parameters.

        To add up the gradients of several losses, call it several times before `unscale`. For
        `on_gradient` see `Variable.backward`.
        """
        with _without_warnings(loss.data):
            self.scaled(loss).backward(on_gradient=on_gradient)

    @stays
    def unscale(self, parameters: Iterable[Parameter] | None = None) -> bool:
        """Divide the gradients by the scale, and return whether all of them are finite.

        If they are not, skip the step; the scale has been halved. This copies one truth value to the
        host, the only one that a step needs.

        Parameters
        ----------
        parameters : iterable of Parameter, optional
            The parameters of the optimizer; by default the model's.

        Raises
        ------
        TrainingError
            The scale has become so small that it cannot be what makes the gradients infinite.
        """
        if parameters is None:
            parameters = self.model.parameters()
        finite = self.divided(parameters)
        return finite is None or self.adjusted(bool(finite))

    @stays
    def divided(self, parameters: Iterable[Parameter]) -> Array | None:
        """Divide the gradients by the scale, and return whether all are finite: an array, shape ().

        It is None if there are no gradients; the optimizer's step raises an error for that.
        """
        with_gradient = [p for p in parameters if p.raw_grad is not None]
        if not with_gradient:
            return None
        xp = array_namespace(*(p.data for p in with_gradient))
        settle("unscale", [p.raw_grad for p in with_gradient])
        share = each_step(lambda: 1.0 / self.scale)
        checks = []
        for p in with_gradient:
            g = data_of(p.raw_grad) * share
            p.raw_grad = g
            checks.append(xp.all(xp.isfinite(g)))
        finite: Array = xp.all(xp.stack(checks))
        return finite

    def adjusted(self, finite: bool) -> bool:
        """Adapt the scale to whether the gradients of a step were finite; returns `finite`.

        Raises
        ------
        TrainingError
            As from `unscale`.
        """
        if not finite:
            self.scale /= 2.0
            self.good = 0
            if self.scale < LEAST:
                raise TrainingError(
                    f"Gradients are infinite or NaN in {self.dtype}, however small the loss is "
                    f"scaled. Try bfloat16, a smaller learning rate, or float32."
                )
            return False
        self.good += 1
        if self.good >= self.growth_interval:
            self.scale = min(2.0 * self.scale, self._most)
            self.good = 0
        return True

    def without_warnings(self) -> AbstractContextManager[None]:
        """A block without NumPy's warnings of overflow, which is expected, and handled."""
        weight = next(self.model.parameters(), None)
        return nullcontext() if weight is None else _without_warnings(weight.data)

    def state_dict(self) -> dict[str, Any]:
        """The scale and the count of good steps, as numbers that JSON can hold."""
        return {"scale": self.scale, "good": self.good}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume with the scale of a state; StateError if it is invalid. Then nothing is changed."""
        message = f"{self!r} expected a scale and a count of good steps, got {state}."
        if state.keys() != self.state_dict().keys():
            raise StateError(message)
        try:
            scale = finite(state, "scale", LEAST)
            good = whole(state, "good")
        except StateError as error:
            raise StateError(f"{message} {error}") from None
        self.scale = scale
        self.good = good

    def __repr__(self) -> str:
        return f"MixedPrecision({self.model!r}, {self.dtype}, scale={self.scale:g})"


@follows
def usable_dtype(x: Array, name: str) -> DType:
    """The dtype of that name in x's library; BackendError if it cannot compute in it."""
    xp = array_namespace(x)
    library = xp.__name__.rpartition(".")[2]
    dtype = getattr(xp, name, None)
    if dtype is None:
        message = f"{library} has no {name}; torch and jax have it."
        if name == "bfloat16" and hasattr(xp, "float16"):
            message += " It has float16."
        raise BackendError(message)
    if (xp.__name__, name) not in _usable:
        try:
            one = xp.ones((2, 2), dtype=dtype, device=compat.device(x))
            float(xp.sum(xp.matmul(one, one)))
        except Exception as error:  # each library fails in its own way
            raise BackendError(f"{library} cannot compute in {name} here: {error}") from error
        _usable.add((xp.__name__, name))
    return dtype


_usable: set[tuple[str, str]] = set()  # by the library's name: a recording has its own namespace


def _cast(x: Any, dtype: DType) -> Any:
    """An array or Variable of real floating-point numbers in `dtype`; anything else as it is."""
    is_array = isinstance(x, Variable) or compat.is_array_api_obj(x)
    if is_array and has_dtype(x, "real floating"):
        return F.astype(x, dtype, copy=False)
    return x


def _without_warnings(x: Array) -> AbstractContextManager[None]:
    """A block without NumPy's warnings of overflow, which is expected here, and handled."""
    errstate = getattr(array_namespace(x), "errstate", None)
    if errstate is None:
        return nullcontext()
    block: AbstractContextManager[None] = errstate(over="ignore", invalid="ignore")
    return block
