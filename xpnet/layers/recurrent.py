"""RNN, LSTM and GRU: layers that read a sequence step by step, and carry a state along."""

import math
from numbers import Integral
from typing import Any, ClassVar

import array_api_compat as compat

from xpnet import functions as F
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import Parameter, data_of
from xpnet.errors import ArgumentError, ArgumentTypeError, MissingMethodError, ShapeError
from xpnet.layers._input_checks import require, require_dtype, require_whole
from xpnet.layers._repr import non_default
from xpnet.layers.base import Layer
from xpnet.layers.dropout import Dropout
from xpnet.layers.initializers import uniform
from xpnet.random import default_rng


class _Recurrent(Layer):
    """What RNN, LSTM and GRU have in common: layers, directions, padding, names of parameters."""

    gates: ClassVar[int] = 1  # rows of weights for each hidden unit
    states: ClassVar[tuple[str, ...]] = ("h_0",)
    weight_ih_l0: Parameter

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        rng: Any = None,
    ) -> None:
        require_whole(self, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if min(input_size, hidden_size, num_layers) < 1:
            raise ArgumentError(
                f"{type(self).__name__} expected sizes and layers of 1 or more, got "
                f"input_size={input_size}, hidden_size={hidden_size}, num_layers={num_layers}."
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        given, rng, rows = rng is not None, default_rng(rng), self.gates * hidden_size
        self.dropout = dropout
        self.dropout_layer = Dropout(dropout, rng=rng if given and dropout else None)
        for layer in range(num_layers):
            for end in self._directions:
                columns = len(self._directions) * hidden_size if layer else input_size
                shapes = [(rows, columns), (rows, hidden_size), (rows,), (rows,)]
                for name, shape in zip(self._names, shapes, strict=False):
                    setattr(self, f"{name}_l{layer}{end}", self._begin(shape, rng))

    @property
    def _names(self) -> tuple[str, ...]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return names if self.bias else names[:2]

    @property
    def _directions(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def _begin(self, shape: tuple[int, ...], rng: Any) -> Parameter:
        return Parameter(uniform(shape, rng, 1.0 / math.sqrt(self.hidden_size)))

    def _run(
        self, x: Array, states: Any, mask: Array, W: Array, U: Array, *b: Any
    ) -> tuple[Any, ...]:
        """All steps in one direction: what comes out of each state, of shape (length, batch, n)."""
        raise MissingMethodError(f"{type(self).__name__} defines no _run.")

    def forward(self, x: Array, lengths: Any = None, *states: Any) -> Any:
        axes = ("batch", "length") if self.batch_first else ("length", "batch")
        require(self, x, (*axes, self.input_size), self.weight_ih_l0)
        if x.shape[axes.index("length")] == 0:
            raise ShapeError(f"{self!r} expected at least one step, got x of {tuple(x.shape)}.")
        xp = array_namespace(x)
        x = xp.moveaxis(x, 1, 0) if self.batch_first else x
        first = self._states(x, states)
        mask = None if lengths is None else self._mask(x, lengths)
        padding = None if mask is None else mask[..., None]
        x = x if padding is None else xp.where(padding, x, 0.0)
        last: list[tuple[Any, ...]] = []
        for layer in range(self.num_layers):
            x = self.dropout_layer(x) if layer and self.dropout else x
            outputs = []
            for end in self._directions:
                place = [None if s is None else s[len(last), ...] for s in first]
                parameters = self._of(f"_l{layer}{end}")
                if end:  # padding, now in front, carries the first state to the last step
                    back = None if mask is None else F.flip(mask, axis=0)
                    ys = self._run(F.flip(x, axis=0), place, back, *parameters)
                    outputs.append(F.flip(ys[0], axis=0))
                else:
                    ys = self._run(x, place, mask, *parameters)
                    outputs.append(ys[0])
                last.append(tuple(y[-1, ...] for y in ys))
            xp = array_namespace(*outputs)
            x = xp.concat(outputs, axis=2) if self.bidirectional else outputs[0]
            x = x if padding is None else xp.where(padding, x, 0.0)
        y = xp.moveaxis(x, 0, 1) if self.batch_first else x
        return y, *(xp.stack(ends) for ends in zip(*last, strict=True))

    def _of(self, end: str) -> list[Any]:
        return [getattr(self, name + end) for name in self._names]

    def _states(self, x: Array, states: tuple[Any, ...]) -> list[Any]:
        """The first states as they were given, or for each of them None."""
        if len(states) > len(self.states):
            raise ArgumentTypeError(
                f"{self!r} expected x, lengths and {' and '.join(self.states)}, "
                f"got {len(states) + 2} arguments."
            )
        shape = (len(self._directions) * self.num_layers, x.shape[1], self.hidden_size)
        for name, state in zip(self.states, states, strict=False):
            if state is not None and tuple(getattr(state, "shape", ())) != shape:
                given = tuple(getattr(state, "shape", ())) or type(state).__name__
                raise ShapeError(
                    f"{self!r} expected {name} of shape (layers, batch, n) = {shape}, got {given}."
                )
            if state is not None and state.dtype is not self.weight_ih_l0.dtype:
                require_dtype(self, state, shape, self.weight_ih_l0, name)
        return [*states, *[None] * (len(self.states) - len(states))]

    def _mask(self, x: Array, lengths: Any) -> Any:
        """True at the steps that are no padding, (length, batch)."""
        x, lengths = data_of(x), data_of(lengths)  # it has no gradient
        xp = array_namespace(x)
        if isinstance(lengths, (list, tuple)) and all(isinstance(n, Integral) for n in lengths):
            lengths = xp.asarray([int(n) for n in lengths], device=compat.device(x))
        given = tuple(getattr(lengths, "shape", ())) or type(lengths).__name__
        if given != (x.shape[1],):
            raise ShapeError(
                f"{self!r} expected lengths of shape ({x.shape[1]},), got {given}. States come after "
                f"them, each by itself: layer(x, None, {', '.join(self.states)})."
            )
        if not has_dtype(lengths, "integral"):
            raise ArgumentTypeError(f"{self!r} expected lengths of integers, got {lengths.dtype}.")
        steps = xp.arange(x.shape[0], device=compat.device(x))
        return steps[:, None] < xp.astype(lengths, steps.dtype)[None, :]

    def _started(self, x: Array, states: Any, W: Array, b: Array | None = None) -> list[Any]:
        """The input's share of all steps, in one product; and the first states, zeros if None."""
        length, batch, _ = x.shape
        rows = array_namespace(x).reshape(x, (length * batch, x.shape[2]))
        z = F.linear(rows, F.matrix_transpose(W), b)
        shape, device = (batch, self.hidden_size), compat.device(z)
        zeros = array_namespace(z).zeros(shape, dtype=z.dtype, device=device)
        z = F.reshape(z, (length, batch, z.shape[1]))
        return [z, *(zeros if s is None else s for s in states)]

    def __repr__(self) -> str:
        options = non_default(
            num_layers=(self.num_layers, 1),
            bias=(self.bias, True),
            batch_first=(self.batch_first, False),
            dropout=(self.dropout, 0.0),
            bidirectional=(self.bidirectional, False),
            nonlinearity=(getattr(self, "nonlinearity", "tanh"), "tanh"),
            reset_after=(getattr(self, "reset_after", True), True),
        )
        return f"{type(self).__name__}({self.input_size} -> {self.hidden_size}{options})"


class RNN(_Recurrent):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh): PyTorch's RNN, Keras's SimpleRNN.

    Parameters
    ----------
    input_size : int
        How many features a step has.
    hidden_size : int
        How many numbers the state has: n below.
    num_layers : int
        Each further layer reads the states of the one before.
    nonlinearity : {"tanh", "relu"}
    bias : bool
        Whether there are b_ih and b_hh.
    batch_first : bool
        Whether x and the output are of shape (batch, length, ...), else (length, batch, ...), as
        in PyTorch. States are of shape (layers, batch, n) either way.
    dropout : float
        In training, the probability that an output is left out, between one layer and the next.
    bidirectional : bool
        Whether each layer reads the sequence from its end too; outputs stand side by side.
    rng : int, numpy.random.Generator or None
        Where the weights' numbers, and dropout's, come from; None: the generator of
        `xpnet.manual_seed`.

    Attributes
    ----------
    weight_ih_l0 : Parameter, shape (n, input_size)
        Of layer 0, and so on; of the direction from the end, `weight_ih_l0_reverse`.
    weight_hh_l0 : Parameter, shape (n, n)
    bias_ih_l0, bias_hh_l0 : Parameter, shape (n,)
        Names, shapes and the first values, uniform within 1 / sqrt(n), are PyTorch's.

    Notes
    -----
    `output, h_n = layer(x, lengths, h_0)`. Only x must be given, and each by position.

    x : shape (length, batch, input_size)
    lengths : integers, shape (batch,)
        How many steps of each sequence are no padding. Padding changes nothing, whatever stands
        there: the output at it is 0, h_n is the state after a sequence's own last step, and the
        direction from the end starts there; as of PyTorch's packed sequences, sorted or not. A
        length above that of x counts as that; one of 0 leaves the first state.
    h_0, h_n : shape (layers * directions, batch, n)
        The states before and after; zeros unless given. To take up a sequence where the last call
        has left it, pass h_n.

    Source: Elman, "Finding structure in time", 1990; both directions: Schuster and Paliwal,
    "Bidirectional recurrent neural networks", 1997.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        rng: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(
                f"Unknown nonlinearity {nonlinearity!r}. Expected 'tanh' or 'relu'."
            )
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, rng
        )
        self.nonlinearity = nonlinearity

    def _run(
        self, x: Array, states: Any, mask: Array, W: Array, U: Array, *b: Any
    ) -> tuple[Any, ...]:
        z, h = self._started(x, states, W, b[0] + b[1] if b else None)
        return (F.rnn(z, h, U, mask, self.nonlinearity),)


class LSTM(_Recurrent):
    """Long short-term memory: beside the state a cell, that gates write to, erase and read.

    Parameters are those of `RNN`, without the nonlinearity.

    Attributes
    ----------
    weight_ih_l0 : Parameter, shape (4 n, input_size)
    weight_hh_l0 : Parameter, shape (4 n, n)
    bias_ih_l0, bias_hh_l0 : Parameter, shape (4 n,)
        The gates in PyTorch's order: in, forget, cell, out.

    Notes
    -----
    `output, h_n, c_n = layer(x, lengths, h_0, c_0)`: all as of `RNN`, and the cells like the
    states. PyTorch has (h_n, c_n) in a tuple of their own; here all outputs stand in a row, so that
    `backward((gy, gh, gc))` can be given their gradients. There are no projections (`proj_size`).

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997; see `xpnet.functions.lstm`.
    """

    gates = 4
    states = ("h_0", "c_0")

    def _run(
        self, x: Array, states: Any, mask: Array, W: Array, U: Array, *b: Any
    ) -> tuple[Any, ...]:
        z, h, c = self._started(x, states, W, b[0] + b[1] if b else None)
        return F.lstm(z, h, c, U, mask)


class GRU(_Recurrent):
    """Gated recurrent unit: of its state a gate keeps a part; three quarters of an LSTM's weights.

    Parameters are those of `RNN`, without the nonlinearity, and one more.

    Parameters
    ----------
    reset_after : bool, by name
        Whether the reset gate comes after the product with the state, as in PyTorch, cuDNN and
        Keras (ONNX's linear_before_reset=1), or before it, as in the paper (ONNX's default).

    Attributes
    ----------
    weight_ih_l0 : Parameter, shape (3 n, input_size)
    weight_hh_l0 : Parameter, shape (3 n, n)
    bias_ih_l0, bias_hh_l0 : Parameter, shape (3 n,)
        The gates in PyTorch's order: reset, update, new.

    Notes
    -----
    `output, h_n = layer(x, lengths, h_0)`: all as of `RNN`.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014; see
    `xpnet.functions.gru`.
    """

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        rng: Any = None,
        *,
        reset_after: bool = True,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, rng
        )
        self.reset_after = reset_after

    def _run(
        self, x: Array, states: Any, mask: Array, W: Array, U: Array, *b: Any
    ) -> tuple[Any, ...]:
        z, h = self._started(x, states, W, *b[:1])
        return (F.gru(z, h, U, b[1] if b else None, mask, self.reset_after),)
