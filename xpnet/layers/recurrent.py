"""RNN, LSTM and GRU: layers that read a sequence step by step, with a state."""

import math
from numbers import Integral
from typing import ClassVar

import array_api_compat as compat

from xpnet import functions as F
from xpnet._own_init import own_init
from xpnet._typing import Array, Rng
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import Parameter, data_of
from xpnet.errors import ArgumentError, ArgumentTypeError, MissingMethodError, ShapeError
from xpnet.layers._input_checks import require, require_dtype, require_whole, sequence_axes
from xpnet.layers._repr import non_default
from xpnet.layers.base import Layer
from xpnet.layers.dropout import inner_dropout
from xpnet.layers.initializers import uniform
from xpnet.random import default_rng


class _Recurrent(Layer):
    """What RNN, LSTM and GRU have in common: layers, directions, padding, names of parameters."""

    gates: ClassVar[int] = 1  # rows of weights for each hidden unit
    states: ClassVar[tuple[str, ...]] = ("h_0",)  # the names of the initial states
    weight_ih_l0: Parameter  # like all parameters, set by `setattr`

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: Rng = None,
    ) -> None:
        require_whole(self, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if min(input_size, hidden_size, num_layers) < 1:
            raise ArgumentError(
                f"{type(self).__name__} expected sizes and layers of 1 or more, got "
                f"input_size={input_size}, hidden_size={hidden_size}, num_layers={num_layers}."
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        has_own_rng = rng is not None  # else there is no generator to save with the layer
        rng = default_rng(rng)
        self.dropout_layer = inner_dropout(dropout, rng if has_own_rng else None)
        rows = self.gates * hidden_size
        columns = input_size
        bound = 1.0 / math.sqrt(hidden_size)
        for layer in range(num_layers):
            for suffix in self._directions:
                shapes = [(rows, columns), (rows, hidden_size), (rows,), (rows,)]
                for name, shape in zip(self._names, shapes, strict=False):
                    parameter = Parameter(uniform(shape, rng, bound=bound))
                    setattr(self, f"{name}_l{layer}{suffix}", parameter)
            columns = len(self._directions) * hidden_size  # further layers read the states

    @property
    def _names(self) -> tuple[str, ...]:
        """The names of a layer's parameters, without its number."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return names if self.bias else names[:2]

    @property
    def _directions(self) -> tuple[str, ...]:
        """The ends of parameters' names: "" from start to end, and "_reverse" from end to start."""
        return ("", "_reverse") if self.bidirectional else ("",)

    def _run(
        self, x: Array, states: list[Array | None], mask: Array | None, *parameters: Array
    ) -> tuple[Array, ...]:
        """All steps of one layer in one direction.

        Parameters
        ----------
        x : shape (length, batch, features)
        states : list
            The initial states, of shape (batch, n); None for zeros.
        mask : shape (length, batch), or None
            False at padding.
        *parameters
            As in `_names`.

        Returns
        -------
        tuple of arrays, shape (length, batch, n)
            Each of the states after each step.
        """
        raise MissingMethodError(f"{type(self).__name__} defines no _run.")

    def forward(
        self, x: Array, lengths: Array | list[int] | None = None, *states: Array | None
    ) -> tuple[Array, ...]:
        axes = sequence_axes(self.batch_first)
        require(self, x, (*axes, self.input_size), self.weight_ih_l0)
        if x.shape[axes.index("length")] == 0:
            raise ShapeError(f"{self!r} expected at least one step, got x of {tuple(x.shape)}.")
        xp = array_namespace(x)
        if self.batch_first:
            x = xp.moveaxis(x, 1, 0)
        initial = self._initial_states(x, states)
        mask = None if lengths is None else self._mask(x, lengths)
        x = _zero_padding(x, mask)
        final: list[tuple[Array, ...]] = []  # the last states of each layer and direction
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = self.dropout_layer(x)
            x, ends = self._run_layer(layer, x, initial, mask)
            final += ends
        xp = array_namespace(x)  # x may be a Variable now, as the parameters are
        if self.batch_first:
            x = xp.moveaxis(x, 0, 1)
        return x, *(xp.stack(states_n) for states_n in zip(*final, strict=True))

    def _run_layer(
        self, layer: int, x: Array, initial: list[Array | None], mask: Array | None
    ) -> tuple[Array, list[tuple[Array, ...]]]:
        """The output of one layer, both directions together; and each direction's last states."""
        outputs = []
        final = []
        for direction, suffix in enumerate(self._directions):
            row = layer * len(self._directions) + direction
            first = [None if state is None else state[row, ...] for state in initial]
            parameters = [getattr(self, f"{name}_l{layer}{suffix}") for name in self._names]
            if suffix:
                ys = self._run_backwards(x, first, mask, *parameters)
                outputs.append(F.flip(ys[0], axis=0))
            else:
                ys = self._run(x, first, mask, *parameters)
                outputs.append(ys[0])
            final.append(tuple(y[-1, ...] for y in ys))
        y = outputs[0]
        if self.bidirectional:
            y = array_namespace(*outputs).concat(outputs, axis=2)
        return _zero_padding(y, mask), final

    def _run_backwards(
        self, x: Array, states: list[Array | None], mask: Array | None, *parameters: Array
    ) -> tuple[Array, ...]:
        """`_run` from the end of the sequences to their start; its states are in that order.

        Padding then comes first, and passes the initial state on to a sequence's own last step.
        """
        if mask is not None:
            mask = F.flip(mask, axis=0)
        return self._run(F.flip(x, axis=0), states, mask, *parameters)

    def _initial_states(self, x: Array, states: tuple[Array | None, ...]) -> list[Array | None]:
        """The initial states that were given, and None for each of the others."""
        if len(states) > len(self.states):
            raise ArgumentTypeError(
                f"{self!r} expected x, lengths and {' and '.join(self.states)}, "
                f"got {len(states) + 2} arguments."
            )
        shape = (len(self._directions) * self.num_layers, x.shape[1], self.hidden_size)
        for name, state in zip(self.states, states, strict=False):
            if state is None:
                continue
            given = tuple(getattr(state, "shape", ()))
            if given != shape:
                raise ShapeError(
                    f"{self!r} expected {name} of shape (layers, batch, n) = {shape}, got "
                    f"{given or type(state).__name__}."
                )
            if state.dtype is not self.weight_ih_l0.dtype:
                require_dtype(self, state, shape, self.weight_ih_l0, name)
        missing = len(self.states) - len(states)
        return [*states, *[None] * missing]

    def _mask(self, x: Array, lengths: Array | list[int]) -> Array:
        """Shape (length, batch): True at the steps of each sequence, False at padding."""
        x = data_of(x)  # a mask has no gradient
        lengths = data_of(lengths)
        xp = array_namespace(x)
        device = compat.device(x)
        if isinstance(lengths, (list, tuple)) and all(isinstance(n, Integral) for n in lengths):
            lengths = xp.asarray([int(n) for n in lengths], device=device)
        given = tuple(getattr(lengths, "shape", ())) or type(lengths).__name__
        if given != (x.shape[1],):
            raise ShapeError(
                f"{self!r} expected lengths of shape ({x.shape[1]},), got {given}. States come after "
                f"them, each as an argument: layer(x, None, {', '.join(self.states)})."
            )
        if not has_dtype(lengths, "integral"):
            raise ArgumentTypeError(f"{self!r} expected lengths of integers, got {lengths.dtype}.")
        steps = xp.arange(x.shape[0], device=device)
        return steps[:, None] < xp.astype(lengths, steps.dtype)[None, :]

    def _prepared(
        self, x: Array, states: list[Array | None], weight: Array, bias: Array | None
    ) -> list[Array]:
        """What the inputs contribute to all steps, computed in one product; and the initial states.

        For step t that is x_t @ weight.T + bias, of shape (batch, rows of weight).
        """
        length, batch, features = x.shape
        rows = array_namespace(x).reshape(x, (length * batch, features))
        z = F.linear(rows, F.matrix_transpose(weight), bias)
        zeros = array_namespace(z).zeros(
            (batch, self.hidden_size), dtype=z.dtype, device=compat.device(z)
        )
        z = F.reshape(z, (length, batch, z.shape[1]))
        return [z, *(zeros if state is None else state for state in states)]

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


def _sum(biases: tuple[Array, ...]) -> Array | None:
    """bias_ih + bias_hh, which PyTorch stores separately; None if there are none."""
    return biases[0] + biases[1] if biases else None


def _zero_padding(x: Array, mask: Array | None) -> Array:
    """x with zeros where the mask, of shape (length, batch), is False."""
    if mask is None:
        return x
    return array_namespace(x).where(mask[..., None], x, 0.0)


class RNN(_Recurrent):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh): PyTorch's RNN, Keras's SimpleRNN.

    Parameters
    ----------
    input_size : int
        The number of features of a step.
    hidden_size : int
        The size of the state: n below.
    num_layers : int
        The number of layers; each further one reads the states of the one before.
    nonlinearity : {"tanh", "relu"}
    bias : bool
        Whether there are b_ih and b_hh.
    batch_first : bool
        Whether x and the output are of shape (batch, length, ...), else (length, batch, ...), as
        in PyTorch. States are of shape (layers, batch, n) either way.
    dropout : float
        In training, the probability that an output is left out, between one layer and the next.
    bidirectional : bool
        Whether each layer also reads the sequence backwards; the outputs of both directions are
        concatenated.
    rng : int, numpy.random.Generator or None
        The source of the initial weights and of dropout's masks; None: the generator of
        `xpnet.manual_seed`.

    Attributes
    ----------
    weight_ih_l0 : Parameter, shape (n, input_size)
        W_ih of layer 0; `weight_ih_l1` is that of layer 1, of shape (n, n), or (n, 2 n) if
        bidirectional. For the backward direction `weight_ih_l0_reverse`.
    weight_hh_l0 : Parameter, shape (n, n)
    bias_ih_l0, bias_hh_l0 : Parameter, shape (n,)
        Names, shapes and initial values, uniform between -1 / sqrt(n) and 1 / sqrt(n), are
        PyTorch's.

    Notes
    -----
    `output, h_n = layer(x, lengths, h_0)`. Only x is required. Pass each by position. In the formula
    x_t is the input of step t, and h_t the state after it.

    x : shape (length, batch, input_size)
    lengths : integers, shape (batch,)
        The number of steps of each sequence; what follows is padding. Padding has no effect,
        whatever its values: the output there is 0, h_n is the state after a sequence's own last
        step, and the backward direction starts at that step. This is as with PyTorch's packed
        sequences, sorted or not. A length above that of x counts as that of x; with a length of 0
        the state stays the initial one.
    h_0, h_n : shape (layers * directions, batch, n)
        The initial and the last states; by default the initial ones are zeros. To continue a
        sequence where the last call stopped, pass its h_n as h_0.

    Source: Elman, "Finding structure in time", 1990; both directions: Schuster and Paliwal,
    "Bidirectional recurrent neural networks", 1997.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> layer = xpnet.RNN(8, 16, rng=0)
    >>> y, h_n = layer(F.ones((5, 2, 8)))
    >>> y.shape, h_n.shape
    ((5, 2, 16), (1, 2, 16))
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
        *,
        rng: Rng = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(
                f"RNN expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}."
            )
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            rng=rng,
        )
        self.nonlinearity = nonlinearity

    def _run(
        self,
        x: Array,
        states: list[Array | None],
        mask: Array | None,
        weight_ih: Array,
        weight_hh: Array,
        *biases: Array,
    ) -> tuple[Array, ...]:
        z, h = self._prepared(x, states, weight_ih, _sum(biases))
        return (F.rnn(z, h, weight_hh, mask, self.nonlinearity),)


@own_init
class LSTM(_Recurrent):
    """Long short-term memory: besides its state it has a cell, which gates write to, erase and read.

    Parameters
    ----------
    input_size, hidden_size, num_layers : int
    bias, batch_first, bidirectional : bool
    dropout : float
    rng : int, numpy.random.Generator or None
        These are as for `RNN`.

    Attributes
    ----------
    weight_ih_l0 : Parameter, shape (4 n, input_size)
    weight_hh_l0 : Parameter, shape (4 n, n)
    bias_ih_l0, bias_hh_l0 : Parameter, shape (4 n,)
        The gates in PyTorch's order: in, forget, cell, out.

    Notes
    -----
    `output, h_n, c_n = layer(x, lengths, h_0, c_0)`: as for `RNN`; cells have the shape of states.
    PyTorch returns (h_n, c_n) as a tuple of their own; here all outputs are in one tuple, so that
    `backward((gy, gh, gc))` can take their gradients. There are no projections (`proj_size`).

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997; see `xpnet.functions.lstm`.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> layer = xpnet.LSTM(8, 16, rng=0)
    >>> y, h_n, c_n = layer(F.ones((5, 2, 8)))
    >>> y.shape, h_n.shape, c_n.shape
    ((5, 2, 16), (1, 2, 16), (1, 2, 16))
    """

    gates = 4
    states = ("h_0", "c_0")

    def _run(
        self,
        x: Array,
        states: list[Array | None],
        mask: Array | None,
        weight_ih: Array,
        weight_hh: Array,
        *biases: Array,
    ) -> tuple[Array, ...]:
        z, h, c = self._prepared(x, states, weight_ih, _sum(biases))
        return F.lstm(z, h, c, weight_hh, mask)


class GRU(_Recurrent):
    """Gated recurrent unit: a gate keeps a part of the state. It has 3/4 of an LSTM's weights.

    Parameters
    ----------
    input_size, hidden_size, num_layers : int
    bias, batch_first, bidirectional : bool
    dropout : float
    rng : int, numpy.random.Generator or None
        These are as for `RNN`.
    reset_after : bool, by name
        Whether the reset gate is applied after the product with the state, as in PyTorch, cuDNN and
        Keras (ONNX's linear_before_reset=1), or before it, as in the paper (ONNX's default).

    Attributes
    ----------
    weight_ih_l0 : Parameter, shape (3 n, input_size)
    weight_hh_l0 : Parameter, shape (3 n, n)
    bias_ih_l0, bias_hh_l0 : Parameter, shape (3 n,)
        The gates in PyTorch's order: reset, update, new.

    Notes
    -----
    `output, h_n = layer(x, lengths, h_0)`: as for `RNN`.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014; see
    `xpnet.functions.gru`.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> layer = xpnet.GRU(8, 16, bidirectional=True, rng=0)
    >>> y, h_n = layer(F.ones((5, 2, 8)))
    >>> y.shape, h_n.shape
    ((5, 2, 32), (2, 2, 16))
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
        *,
        rng: Rng = None,
        reset_after: bool = True,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            rng=rng,
        )
        self.reset_after = reset_after

    def _run(
        self,
        x: Array,
        states: list[Array | None],
        mask: Array | None,
        weight_ih: Array,
        weight_hh: Array,
        bias_ih: Array | None = None,
        bias_hh: Array | None = None,
    ) -> tuple[Array, ...]:
        z, h = self._prepared(x, states, weight_ih, bias_ih)
        return (F.gru(z, h, weight_hh, bias_hh, mask, self.reset_after),)
