"""Mixed precision: compute in 16 bits, learn in 32.

    precision = MixedPrecision(model, "float16")
    loss = F.softmax_cross_entropy(precision(x), t)
    optimizer.zero_grad()
    precision.backward(loss)
    if precision.unscale():
        optimizer.step()

The weights stay float32; the model sees a cast of each, by way of which the gradients arrive at the
weights, in float32. Inputs are cast too, and outputs cast back, so that losses are of float32;
normalization takes its means in float32 of its own accord.

What is small in float32 is 0 in float16: gradients below 6e-8. So the loss is scaled up before the
walk back, and the gradients down after it. Is one infinite or NaN then, the step is left out and the
scale halved; after many good steps it is doubled. bfloat16 has float32's range, and needs no scale.

Micikevicius et al., "Mixed precision training", ICLR 2018.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import array_api_compat as compat

from xpnet import functions as F
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
    "require_dtype",
]

DTYPES = ("float16", "bfloat16")
LEAST = 2.0**-24  # a scale of less is no matter of scale any more


class MixedPrecision:
    """A model that computes in 16 bits, and the scale of its loss.

    Parameters
    ----------
    model : Layer
        With weights of float32, say; they are its own, and stay as they are.
    dtype : {"float16", "bfloat16"}
    scale : float, optional
        What the loss is multiplied by at first. Unless given, 65536 for float16; 1 for bfloat16,
        and there it does not grow.
    growth_interval : int
        After so many good steps in a row the scale is doubled.

    Attributes
    ----------
    scale : float
    good : int
        Steps since the scale last changed.

    Raises
    ------
    BackendError
        The library that the model's weights are of has no such dtype, or cannot compute in it.
    ValueError
        The dtype is another, the scale not above 0, or the model has no parameters.

    Notes
    -----
    `with precision:` is a block in which the model computes so when it is called, `model(x)`;
    `precision(x)` is that for one call. The casts are part of the graph, so `backward` may come
    after the block. Only what the model holds is cast, and only while it is called: layers within
    it, called by themselves, compute in float32. What a layer brings in of its own, say a `Buffer`,
    it casts itself: `F.astype(b, x.dtype)`; what a closure reads from the layer around it is not
    cast. Other threads that call the model meanwhile compute in float32. A `checkpoint` within the
    model, or around it, computes the second time as it did the first.

    It is for devices that compute faster in 16 bits, as GPUs do. Of CPUs, PyTorch is about as fast
    in bfloat16 as in float32; NumPy computes float16 number by number, some fifty times slower.
    """

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
        require_dtype(weights.data, dtype)
        self.model, self.dtype, self.growth_interval = model, dtype, growth_interval
        self.scale, self.good = float(scale), 0
        self._most = math.inf if dtype == "float16" else self.scale

    def __call__(self, *xs: Any, **options: Any) -> Any:
        """The model's output, computed in 16 bits and given in the dtype of the weights."""
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
        low = require_dtype(weight.data, self.dtype)
        full = weight.dtype
        with _without_warnings(weight.data):
            casts = StandIns(layer, [(p, F.astype(p, low)) for p in layer.parameters()])
            xs, options = tree.map(lambda x: _cast(x, low), (xs, options))
            with hooked(casts, innermost=True):
                y = casts(call, layer, *xs, **options)
            return tree.map(lambda leaf: _cast(leaf, full), y)

    # --- the scale --------------------------------------------------------------------------

    def scaled(self, loss: Variable) -> Variable:
        """The loss to start `backward` from, where `self.backward(loss)` will not do."""
        scaled: Variable = loss * self.scale
        return scaled

    def backward(self, loss: Variable) -> None:
        """Add the gradients of the loss, times the scale, to the `grad` of what it came from.

        Several times before `unscale`, where gradients are to add up.
        """
        with _without_warnings(loss.data):
            self.scaled(loss).backward()

    @stays
    def unscale(self, parameters: Iterable[Parameter] | None = None) -> bool:
        """Bring the gradients to their own size, and tell whether all of them are finite.

        If not, the step is to be left out; the scale is halved. This brings one truth value to the
        host: the only one that a step needs.

        Parameters
        ----------
        parameters : iterable of Parameter, optional
            What the optimizer moves; unless given, the model's.

        Raises
        ------
        TrainingError
            The scale has become so small that it cannot be what makes the gradients infinite.
        """
        given = self.model.parameters() if parameters is None else parameters
        moved = [p for p in given if p.raw_grad is not None]
        checks = []
        if not moved:
            return True  # the optimizer has words for that
        xp = array_namespace(*(p.data for p in moved))
        settle("unscale", [p.raw_grad for p in moved])
        for p in moved:
            p.raw_grad = g = data_of(p.raw_grad) * (1.0 / self.scale)
            checks.append(xp.all(xp.isfinite(g)))
        if not bool(xp.all(xp.stack(checks))):
            self.scale, self.good = self.scale / 2.0, 0
            if self.scale < LEAST:
                raise TrainingError(
                    f"Gradients are infinite or NaN in {self.dtype}, however small the loss is "
                    f"scaled. Try bfloat16, a smaller learning rate, or float32."
                )
            return False
        self.good += 1
        if self.good >= self.growth_interval:
            self.scale, self.good = min(2.0 * self.scale, self._most), 0
        return True

    def state_dict(self) -> dict[str, Any]:
        """The scale, and the count of good steps: numbers, which JSON can hold."""
        return {"scale": self.scale, "good": self.good}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume with the scale of a state; StateError if it is invalid. Then nothing is changed."""
        said = f"{self!r} expected a scale and a count of good steps, got {state}."
        if state.keys() != self.state_dict().keys():
            raise StateError(said)
        try:
            scale = finite(state, "scale", LEAST)
            good = whole(state, "good")
        except StateError as error:
            raise StateError(f"{said} {error}") from None
        self.scale = scale
        self.good = good

    def __repr__(self) -> str:
        return f"MixedPrecision({self.model!r}, {self.dtype}, scale={self.scale:g})"


@follows
def require_dtype(x: Array, name: str) -> Any:
    """The dtype of that name of x's library, which has to compute in it; or BackendError."""
    xp = array_namespace(x)
    library = xp.__name__.rpartition(".")[2]
    dtype = getattr(xp, name, None)
    if dtype is None:
        other = " It has float16." if name == "bfloat16" and hasattr(xp, "float16") else ""
        raise BackendError(f"{library} has no {name}; torch and jax have it.{other}")
    if (xp, name) not in _usable:
        try:
            one = xp.ones((2, 2), dtype=dtype, device=compat.device(x))
            float(xp.sum(xp.matmul(one, one)))
        except Exception as error:  # each library fails in its own way
            raise BackendError(f"{library} cannot compute in {name} here: {error}") from error
        _usable.add((xp, name))
    return dtype


_usable: set[tuple[Any, str]] = set()


def _cast(x: Array, dtype: DType) -> Any:
    """An array or Variable of real floating-point numbers in `dtype`; anything else as it is."""
    if not (isinstance(x, Variable) or compat.is_array_api_obj(x)):
        return x
    return F.astype(x, dtype, copy=False) if has_dtype(x, "real floating") else x


def _without_warnings(x: Array) -> AbstractContextManager[Any]:
    """A block without NumPy's warnings of overflow: here they are looked for, and dealt with."""
    errstate = getattr(array_namespace(x), "errstate", None)
    return nullcontext() if errstate is None else errstate(over="ignore", invalid="ignore")
