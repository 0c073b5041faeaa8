"""An LSTM's steps for CuPy: one product and one launch each, forward and backward.

A step writes its results into the arrays of all steps, so nothing has to be stacked afterwards.
"""

from xpnet._typing import Array
from xpnet.kernels.cuda import Raw, floating, on_one_device
from xpnet.kernels.cuda_source import cupy, one_thread_each
from xpnet.kernels.lookup import Kernel
from xpnet.kernels.products import product

_step = Raw("lstm.cu", "lstm_step")
_step_back = Raw("lstm.cu", "lstm_step_back")


def lstm(z: Array, h: Array, c: Array, W: Array, mask: Array | None) -> tuple[Array, Array, Array]:
    """The states, the cells and the gates of all steps, as in `xpnet.functions._recurrence.LSTM`.

    Parameters
    ----------
    z : array, shape (steps, n, 4 units)
        The inputs' share of the gates.
    h, c : arrays, shape (n, units)
        The state and the cell before the first step.
    W : array, shape (4 units, units)
        It multiplies the state.
    mask : array of booleans, shape (steps, n, 1), or None
        False where a step is padding.

    Returns
    -------
    states, cells : arrays, shape (steps, n, units)
    gates : array, shape (steps, n, 4 units)
    """
    z, h, c, mask = _contiguous(z, h, c, mask)
    steps = z.shape[0]
    rows, units = h.shape
    states, cells = (cupy().ndarray((steps, rows, units), z.dtype) for _ in range(2))
    gates = cupy().ndarray(z.shape, z.dtype)
    step = _step.of(z.dtype)
    grid = one_thread_each(h.size)
    U = W.T
    state = h
    for t in range(steps):
        recurrent = product(state, U)
        step(*grid, (z, recurrent, h, c, mask, states, cells, gates, t, rows, units))
        state = states[t]
    return states, cells, gates


def lstm_gradients(
    gy: tuple[Array, Array, Array],
    y: tuple[Array, Array, Array],
    c: Array,
    W: Array,
    mask: Array | None,
    of_gates: bool,
) -> tuple[Array, Array, Array]:
    """The gradients with respect to z, h and c: the inputs, and the state and the cell before the first step.

    Parameters
    ----------
    gy, y : tuples of arrays
        The gradients of the three outputs, and the outputs.
    c, W, mask : arrays
        The inputs of `lstm`; the mask may be None.
    of_gates : bool
        Whether the gradient of the gates is anything but zeros.
    """
    gh, g_cells, g_gates, c, mask = _contiguous(*gy, c, mask)
    _, cells, gates = y
    steps, rows, units = cells.shape
    gz = cupy().ndarray(gates.shape, gates.dtype)
    gc = cupy().ndarray(c.shape, c.dtype)
    kept = None  # the gradient of the state that passes through a masked step
    if mask is not None:
        kept = cupy().ndarray(c.shape, c.dtype)
    step = _step_back.of(gates.dtype)
    grid = one_thread_each(c.size)
    recurrent = None
    given = (gh, g_cells, g_gates if of_gates else None)
    for t in reversed(range(steps)):
        arrays = (*given, recurrent, kept, gc, c, cells, gates, mask, gz)
        step(*grid, (*arrays, t, steps, rows, units))
        recurrent = product(gz[t], W)
    gh = recurrent if kept is None else recurrent + kept
    return gz, gh, gc


def _contiguous(*arrays: Array | None) -> list[Array | None]:
    """The arrays, C-contiguous; None stays None."""
    return [x if x is None else cupy().ascontiguousarray(x) for x in arrays]


def _takes(z: Array, h: Array, c: Array, W: Array, mask: Array | None) -> bool:
    """Whether these are non-empty arrays of one floating-point dtype, on the current device."""
    if mask is not None and (type(mask) is not type(z) or not on_one_device(mask, z)):
        return False
    return floating(z, h, c, W) and z.size > 0


KERNELS = {
    "lstm": Kernel(lstm, _takes),
    "lstm_gradients": Kernel(lstm_gradients, _takes),
}
