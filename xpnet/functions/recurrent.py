"""Recurrences: a state that goes from step to step through a sequence, whole sequences at a time.

Time is the first axis. `z` is the input's share of every step, all of them computed in one product
beforehand; what is left for a step is the product with the state. Each has a text of single steps
beside it, `rnn_simple` and so on.
"""

from typing import Any

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._messages import named
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.errors import ArgumentError, ArgumentTypeError, ShapeError
from xpnet.functions._recurrence import GRU, LSTM, RNN, GRUResetBefore
from xpnet.functions.activation import relu, sigmoid
from xpnet.functions.linear import linear


@named
@follows
def rnn(
    z: Array, h: Array, weight: Array, mask: Array | None = None, nonlinearity: str = "tanh"
) -> Array:
    """h_t = tanh(z_t + W h_(t-1)) with W the weight, the simple recurrent network.

    Parameters
    ----------
    z : array or Variable, shape (length, batch, n)
        The input's share of each step, at least one: x_t @ W_in + b.
    h : array or Variable, shape (batch, n)
        The state before the first step.
    weight : array or Variable, shape (n, n)
        Multiplied as h @ W.T: PyTorch's `weight_hh`.
    mask : array of booleans, shape (length, batch), optional
        Where it is False, the step is padding: the state goes past it, unchanged.
    nonlinearity : {"tanh", "relu"}

    Returns
    -------
    array or Variable, shape (length, batch, n)
        The state after each step.

    Raises
    ------
    ShapeError
        The shapes do not fit, or there is no step.
    TypeError
        The mask is not of booleans.

    Notes
    -----
    Source: Elman, "Finding structure in time", 1990.
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ArgumentError(f"Unknown nonlinearity {nonlinearity!r}. Expected 'tanh' or 'relu'.")
    mask = _column("rnn", 1, mask, z, weight, h)
    return RNN(nonlinearity)(_without_padding(z, mask), h, weight, mask)


@named
@follows
def lstm(z: Array, h: Array, c: Array, weight: Array, mask: Array | None = None) -> tuple[Any, Any]:
    """Long short-term memory: a cell that gates write to, erase and read.

        i, f, g, o = the quarters of z_t + W h_(t-1)
        c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g)
        h_t = sigmoid(o) tanh(c_t)

    Parameters
    ----------
    z : array or Variable, shape (length, batch, 4 n)
        The input's share of each step, at least one: x_t @ W_in + b.
    h, c : arrays or Variables, shape (batch, n)
        The state and the cell before the first step.
    weight : array or Variable, shape (4 n, n)
        Multiplied as h @ W.T: PyTorch's `weight_hh`, gates in its order.
    mask : array of booleans, shape (length, batch), optional
        Where it is False, the step is padding: state and cell go past it, unchanged.

    Returns
    -------
    states, cells : arrays or Variables, shape (length, batch, n)
        After each step.

    Raises
    ------
    ShapeError
        The shapes do not fit, or there is no step.
    TypeError
        The mask is not of booleans.

    Notes
    -----
    Sigmoids are computed as (1 + tanh(x / 2)) / 2: all gates of a step by one tanh.

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997; the gate f: Gers,
    Schmidhuber and Cummins, "Learning to forget", 2000.
    """
    mask = _column("lstm", 4, mask, z, weight, h, c)
    states, cells, _ = LSTM()(_without_padding(z, mask), h, c, weight, mask)
    return states, cells


@named
@follows
def gru(
    z: Array,
    h: Array,
    weight: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    reset_after: bool = True,
) -> Array:
    """Gated recurrent unit: one state, of which a gate keeps a part.

        z_r, z_u, z_n = the thirds of z_t;  a_r, a_u, a_n = those of W h_(t-1) + b
        r = sigmoid(z_r + a_r),  u = sigmoid(z_u + a_u),  n = tanh(z_n + r a_n)
        h_t = (1 - u) n + u h_(t-1)

    Parameters
    ----------
    z : array or Variable, shape (length, batch, 3 n)
        The input's share of each step, at least one: x_t @ W_in + b_in.
    h : array or Variable, shape (batch, n)
        The state before the first step.
    weight : array or Variable, shape (3 n, n)
        Multiplied as h @ W.T: PyTorch's `weight_hh`, gates in its order.
    bias : array or Variable, shape (3 n,), optional
        PyTorch's `bias_hh`. It has a place of its own, for r also weighs the bias.
    mask : array of booleans, shape (length, batch), optional
        Where it is False, the step is padding: the state goes past it, unchanged.
    reset_after : bool
        Whether the gate r weighs the product of the state, as in cuDNN, PyTorch and Keras (ONNX's
        linear_before_reset=1). If False it weighs the state itself, as in the paper (ONNX's 0):
        n = tanh(z_n + W_n (r h_(t-1)) + b_n).

    Returns
    -------
    array or Variable, shape (length, batch, n)
        The state after each step.

    Raises
    ------
    ShapeError
        The shapes do not fit, or there is no step.
    TypeError
        The mask is not of booleans.

    Notes
    -----
    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.
    """
    mask = _column("gru", 3, mask, z, weight, h)
    z = _without_padding(z, mask)
    if reset_after:
        states, _, _ = GRU()(z, h, weight, bias, mask)
    else:
        states, _, _ = GRUResetBefore()(z, h, weight, bias, mask)
    return states


def _column(name: str, gates: int, mask: Array, z: Array, weight: Array, *states: Any) -> Any:
    """The mask as a column for each step, once all shapes have been found to fit."""
    n = weight.shape[-1]
    steps, fits = tuple(z.shape[:2]), z.ndim == 3 and z.shape[0] > 0
    fits = fits and (z.shape[2], tuple(weight.shape)) == (gates * n, (gates * n, n))
    if not fits or any(tuple(s.shape) != (steps[1], n) for s in states):
        rows = f"{gates} n" if gates > 1 else "n"
        given = ", ".join(str(tuple(a.shape)) for a in (z, *states, weight))
        raise ShapeError(
            f"{name} expected z of shape (length, batch, {rows}) with a length of 1 or more, states "
            f"of shape (batch, n) and weight of shape ({rows}, n), got {given}."
        )
    if mask is None:
        return None
    if tuple(mask.shape) != steps:
        raise ShapeError(f"{name} expected a mask of shape {steps}, got {tuple(mask.shape)}.")
    if not has_dtype(mask, "bool"):
        raise ArgumentTypeError(f"{name} expected a mask of booleans, got {mask.dtype}.")
    return mask[..., None]


def _without_padding(z: Array, mask: Array) -> Array:
    """z with zeros at the steps that are padding, whatever stands there: 0 times NaN is NaN."""
    return z if mask is None else array_namespace(z, mask).where(mask, z, 0.0)


@named
@follows
def rnn_simple(z: Array, h: Array, weight: Array, nonlinearity: str = "tanh") -> Array:
    """`rnn`, step by step: the text that teaches the fused one, and that tests it."""
    xp, hs = array_namespace(z, h, weight), []
    for t in range(z.shape[0]):
        a = xp.add(z[t, ...], xp.matmul(h, xp.matrix_transpose(weight)))
        h = xp.tanh(a) if nonlinearity == "tanh" else relu(a)
        hs.append(h)
    return xp.stack(hs)


@named
@follows
def lstm_simple(z: Array, h: Array, c: Array, weight: Array) -> tuple[Any, Any]:
    """`lstm`, step by step: the text that teaches the fused one, and that tests it."""
    xp, n, hs, cs = array_namespace(z, h, c, weight), h.shape[-1], [], []
    for t in range(z.shape[0]):
        a = xp.add(z[t, ...], xp.matmul(h, xp.matrix_transpose(weight)))
        i, f, g, o = (a[:, k * n : (k + 1) * n] for k in range(4))
        c = xp.multiply(sigmoid(f), c) + sigmoid(i) * xp.tanh(g)
        h = xp.multiply(sigmoid(o), xp.tanh(c))
        hs.append(h)
        cs.append(c)
    return xp.stack(hs), xp.stack(cs)


@named
@follows
def gru_simple(
    z: Array, h: Array, weight: Array, bias: Array | None = None, reset_after: bool = True
) -> Array:
    """`gru`, step by step: the text that teaches the fused one, and that tests it."""
    xp, n, hs = array_namespace(z, h, weight, bias), h.shape[-1], []
    for t in range(z.shape[0]):
        a = linear(h, xp.matrix_transpose(weight), bias)
        r = sigmoid(xp.add(z[t, :, :n], a[:, :n]))
        u = sigmoid(xp.add(z[t, :, n : 2 * n], a[:, n : 2 * n]))
        if reset_after:
            share = r * a[:, 2 * n :]
        else:
            last = None if bias is None else bias[2 * n :]
            share = linear(r * h, xp.matrix_transpose(weight[2 * n :, :]), last)
        new = xp.tanh(xp.add(z[t, :, 2 * n :], share))
        h = (1.0 - u) * new + u * h
        hs.append(h)
    return xp.stack(hs)
