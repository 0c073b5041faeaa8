"""Recurrences: a state that goes from step to step through a sequence, whole sequences at a time.

Time is the first axis. `z` is the input's share of every step, which a single product computes for
all steps beforehand; each step then needs only the product with the state.
"""

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._messages import named
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.errors import ArgumentError, ArgumentTypeError, ShapeError
from xpnet.functions._recurrence import GRU, LSTM, RNN, GRUResetBefore


@named
@follows
def rnn(
    z: Array, h: Array, weight: Array, mask: Array | None = None, nonlinearity: str = "tanh"
) -> Array:
    """The simple recurrent network: h_t = tanh(z_t + W h_(t-1)), or relu in place of tanh.

    Parameters
    ----------
    z : array or Variable, shape (length, batch, n)
        The input's share of each step, at least one: x_t @ W_in + b.
    h : array or Variable, shape (batch, n)
        The state before the first step.
    weight : array or Variable, shape (n, n)
        It multiplies the state as h @ weight.T: PyTorch's `weight_hh`.
    mask : array of booleans, shape (length, batch), optional
        Where it is False, the step is padding: the state does not change.
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
    ValueError
        The nonlinearity is neither "tanh" nor "relu".

    Notes
    -----
    Source: Elman, "Finding structure in time", 1990.

    Examples
    --------
    A state that keeps half of itself at each step, so that the first input fades:

    >>> from xpnet import functions as F, to_numpy
    >>> z = F.asarray([[[8.0]], [[0.0]], [[1.0]]])  # 3 steps, a batch of 1, a state of 1
    >>> states = F.rnn(z, F.zeros((1, 1)), F.asarray([[0.5]]), nonlinearity="relu")
    >>> to_numpy(states[:, 0, 0]).tolist()
    [8.0, 4.0, 3.0]
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ArgumentError(f"rnn expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}.")
    mask = _checked_mask("rnn", 1, mask, z, weight, h)
    return RNN(nonlinearity)(_with_zeros_as_padding(z, mask), h, weight, mask)


@named
@follows
def lstm(
    z: Array, h: Array, c: Array, weight: Array, mask: Array | None = None
) -> tuple[Array, Array]:
    """Long short-term memory: gates write to a cell, erase it and read it.

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
        It multiplies the state as h @ weight.T: PyTorch's `weight_hh`, gates in its order.
    mask : array of booleans, shape (length, batch), optional
        Where it is False, the step is padding: state and cell do not change.

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

    Examples
    --------
    Gates that are closed for -9 and open for 9: the first step writes tanh(1) into the cell, and the second
    keeps it.

    >>> from xpnet import functions as F, to_numpy
    >>> z = F.asarray([[[9.0, -9.0, 1.0, 9.0]], [[-9.0, 9.0, 1.0, 9.0]]])  # i, f, g, o
    >>> zero = F.zeros((1, 1))
    >>> states, cells = F.lstm(z, zero, zero, F.zeros((4, 1)))
    >>> to_numpy(cells[:, 0, 0]).tolist()
    [0.76, 0.76]
    """
    mask = _checked_mask("lstm", 4, mask, z, weight, h, c)
    states, cells, _ = LSTM()(_with_zeros_as_padding(z, mask), h, c, weight, mask)
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
    """Gated recurrent unit: a gate decides which part of the state to keep at each step.

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
        It multiplies the state as h @ weight.T: PyTorch's `weight_hh`, gates in its order.
    bias : array or Variable, shape (3 n,), optional
        PyTorch's `bias_hh`. It cannot be added to z, since r also weighs this bias.
    mask : array of booleans, shape (length, batch), optional
        Where it is False, the step is padding: the state does not change.
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

    Examples
    --------
    The second gate is closed in the first step, which replaces the state 0.5 by tanh(1), and open in the
    second, which keeps it.

    >>> from xpnet import functions as F, to_numpy
    >>> z = F.asarray([[[0.0, -9.0, 1.0]], [[0.0, 9.0, -1.0]]])  # r, u, n
    >>> states = F.gru(z, F.asarray([[0.5]]), F.zeros((3, 1)))
    >>> to_numpy(states[:, 0, 0]).tolist()
    [0.76, 0.76]
    """
    mask = _checked_mask("gru", 3, mask, z, weight, h)
    z = _with_zeros_as_padding(z, mask)
    if reset_after:
        states, _, _ = GRU()(z, h, weight, bias, mask)
    else:
        states, _, _ = GRUResetBefore()(z, h, weight, bias, mask)
    return states


def _checked_mask(
    name: str, gates: int, mask: Array | None, z: Array, weight: Array, *states: Array
) -> Array | None:
    """The mask with shape (length, batch, 1), or None, after a check that all shapes fit."""
    n = weight.shape[-1]
    steps = tuple(z.shape[:2])
    fits = (
        z.ndim == 3
        and z.shape[0] > 0
        and z.shape[2] == gates * n
        and tuple(weight.shape) == (gates * n, n)
        and all(tuple(state.shape) == (steps[1], n) for state in states)
    )
    if not fits:
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


def _with_zeros_as_padding(z: Array, mask: Array | None) -> Array:
    """z with zeros at the steps that are padding, which may hold NaN: 0 times NaN is NaN."""
    if mask is None:
        return z
    return array_namespace(z, mask).where(mask, z, 0.0)
