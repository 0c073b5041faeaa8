"""The primitives of `recurrent`: a whole sequence as one node, and the walk back through its steps.

`backward` reads everything that it needs about the steps from the outputs, the gates included. The
rules are therefore made of differentiable operations, and can themselves be differentiated.

Names: h is the state, of n numbers per sequence; c is the cell; z is the input's share of the steps.
W multiplies the state, and U is its transpose. Names that begin with g are gradients (gc is that of
the cell), except the gate g; a trailing _t marks one step.

Shapes: h and c are (batch, n); z is (length, batch, k n), and W is (k n, n), for k blocks: 1 in an
RNN, 3 in a GRU, 4 in an LSTM. The mask is (length, batch, 1); outputs are (length, batch, ...).

Few large arrays are created. For a network of common size, newly allocated memory costs more than
the arithmetic, and the results of one step are still in the cache in the next.

Source: Werbos, "Backpropagation through time: what it does and how to do it", 1990.
"""

import math
from collections.abc import Iterator, Sequence

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.functions._masks import zero_unless
from xpnet.kernels.lookup import kernel

# The gradients of three gates that nothing used: numbers, instead of arrays of zeros.
NO_GRADIENTS: Sequence[Array | float] = (0.0, 0.0, 0.0)


class RNN(Function):
    """The simple recurrent network. The output: the states h."""

    def __init__(self, nonlinearity: str) -> None:
        self.tanh = nonlinearity == "tanh"

    def forward(self, z: Array, h: Array, W: Array, mask: Array | None) -> Array:
        xp = array_namespace(z, h, W)
        U = _transposed(W)
        states = []
        for z_t, mask_t in zip(xp.unstack(z), _steps_of(mask, z), strict=True):
            a = z_t + xp.matmul(h, U)
            new = xp.tanh(a) if self.tanh else xp.maximum(a, 0.0)
            h = new if mask_t is None else xp.where(mask_t, new, h)
            states.append(h)
        return _stacked(states)

    def backward(
        self, gy: Array, y: Array, h: Array, W: Array, mask: Array | None
    ) -> tuple[Array, Array, Array | None, None]:
        xp = array_namespace(gy)
        gzs = []
        gh: Array | float = 0.0
        for gy_t, new, mask_t in _backwards(mask, gy, y):
            gh, gh_past = _split_by_mask(mask_t, gh + gy_t)
            gz_t = gh * (1.0 - new * new) if self.tanh else zero_unless(new > 0.0, gh)
            gzs.append(gz_t)
            gh = xp.matmul(gz_t, W) + gh_past
        gz = _stacked(gzs[::-1])
        gW = None
        if self.needs[2]:
            gW = _gradient_of_weight(gz, h, y)
        return gz, gh, gW, None


class LSTM(Function):
    """Long short-term memory; `lstm` has its formulas.

    The outputs: the states h; the cells c; and the gates i, f, g and o side by side.
    """

    def forward(
        self, z: Array, h: Array, c: Array, W: Array, mask: Array | None
    ) -> tuple[Array, Array, Array]:
        if fast := kernel("lstm", z, h, c, W, mask):
            states, cells, gates = fast(z, h, c, W, mask)
            return states, cells, gates
        xp = array_namespace(z, h, c, W)
        n = h.shape[1]
        scale, shift = _sigmoid_by_tanh(h)
        U = _transposed(W)
        states = []
        cells = []
        gates = []
        for z_t, mask_t in zip(xp.unstack(z), _steps_of(mask, z), strict=True):
            gates_t = xp.tanh((z_t + xp.matmul(h, U)) * scale) * scale + shift
            i, f, g, o = _parts(gates_t, n)
            new_c = f * c + i * g
            new_h = o * xp.tanh(new_c)
            h = new_h if mask_t is None else xp.where(mask_t, new_h, h)
            c = new_c if mask_t is None else xp.where(mask_t, new_c, c)
            states.append(h)
            cells.append(c)
            gates.append(gates_t)
        return _stacked(states), _stacked(cells), _stacked(gates)

    def backward(
        self,
        gy: tuple[Array, Array, Array],
        y: tuple[Array, Array, Array],
        h: Array,
        c: Array,
        W: Array,
        mask: Array | None,
    ) -> tuple[Array, Array, Array, Array | None, None]:
        states, cells, gates = y
        if fast := kernel("lstm_gradients", gy[0], h, c, W, mask):
            gz, gh, gc = fast(gy, y, c, W, mask, self.used[2])
            gW = None
            if self.needs[3]:
                gW = _gradient_of_weight(gz, h, states)
            return gz, gh, gc, gW, None
        xp = array_namespace(states)
        n = h.shape[1]
        scale, shift = _sigmoid_by_tanh(h)
        squared = scale * scale
        gzs = []
        gh = 0.0
        gc = 0.0
        steps = _backwards(mask, *gy, cells, _before(c, cells), gates)
        for gh_t, gc_t, ggates_t, cell, cell_before, gates_t, mask_t in steps:
            i, f, g, o = _parts(gates_t, n)
            tanh = xp.tanh(cell)
            centred = gates_t - shift
            gh, gh_past = _split_by_mask(mask_t, gh + gh_t)
            gc, gc_past = _split_by_mask(mask_t, gc + gc_t)
            gc = gc + gh * (o * (1.0 - tanh * tanh))
            ggates = xp.concat([gc * g, gc * cell_before, gc * i, gh * tanh], axis=1)
            if self.used[2]:
                ggates = ggates + ggates_t
            # The derivative is y (1 - y) for a sigmoid y, and 1 - y^2 for a tanh y.
            gz_t = ggates * (squared - centred * centred)
            gzs.append(gz_t)
            gh = xp.matmul(gz_t, W) + gh_past
            gc = gc * f + gc_past
        gz = _stacked(gzs[::-1])
        gW = None
        if self.needs[3]:
            gW = _gradient_of_weight(gz, h, states)
        return gz, gh, gc, gW, None


class GRU(Function):
    """A gated recurrent unit; `gru` has its formulas.

    The outputs: the states h; the gates r and u and the proposed state `new` side by side; and the
    part of W h + b that `new` is computed from. In the formulas, `new` is called n.
    """

    def forward(
        self, z: Array, h: Array, W: Array, b: Array | None, mask: Array | None
    ) -> tuple[Array, Array, Array]:
        xp = array_namespace(z, h, W, b)
        n = h.shape[1]
        U = _transposed(W)
        states = []
        gates = []
        shares = []
        for z_t, mask_t in zip(xp.unstack(z), _steps_of(mask, z), strict=True):
            a = xp.matmul(h, U)
            if b is not None:
                a = a + b
            ru = xp.tanh((z_t[:, : 2 * n] + a[:, : 2 * n]) * 0.5) * 0.5 + 0.5
            r = ru[:, :n]
            u = ru[:, n:]
            share = a[:, 2 * n :]
            new = xp.tanh(z_t[:, 2 * n :] + r * share)
            new_h = new + u * (h - new)
            h = new_h if mask_t is None else xp.where(mask_t, new_h, h)
            states.append(h)
            gates.append(xp.concat([ru, new], axis=1))
            shares.append(share)
        return _stacked(states), _stacked(gates), _stacked(shares)

    def backward(
        self,
        gy: tuple[Array, Array, Array],
        y: tuple[Array, Array, Array],
        h: Array,
        W: Array,
        b: Array | None,
        mask: Array | None,
    ) -> tuple[Array, Array, Array | None, Array, None]:
        states, gates, shares = y
        xp = array_namespace(states)
        n = h.shape[1]
        gzs = []
        gas = []
        gh: Array | float = 0.0
        steps = _backwards(mask, *gy, _before(h, states), gates, shares)
        for gh_t, ggates_t, gshare_t, h_before, gates_t, share, mask_t in steps:
            r, u, new = _parts(gates_t, n)
            gh, gh_past = _split_by_mask(mask_t, gh + gh_t)
            gr, gu, gn = NO_GRADIENTS
            if self.used[1]:
                gr, gu, gn = _parts(ggates_t, n)
            gn = (gn + gh * (1.0 - u)) * (1.0 - new * new)
            gu = (gu + gh * (h_before - new)) * (u * (1.0 - u))
            gr = (gr + gn * share) * (r * (1.0 - r))
            gshare = gn * r
            if self.used[2]:
                gshare = gshare + gshare_t
            ga_t = xp.concat([gr, gu, gshare], axis=1)
            gzs.append(xp.concat([gr, gu, gn], axis=1))
            gas.append(ga_t)
            gh = xp.matmul(ga_t, W) + gh * u + gh_past
        ga = _stacked(gas[::-1])
        gW = None
        if self.needs[2]:
            gW = _gradient_of_weight(ga, h, states)
        return _stacked(gzs[::-1]), gh, gW, ga, None


class GRUResetBefore(Function):
    """A GRU whose gate r weighs the state before the product: two products per step.

    The outputs: the states h; r, u and `new` side by side; and r h, a factor of the second product.
    """

    def forward(
        self, z: Array, h: Array, W: Array, b: Array | None, mask: Array | None
    ) -> tuple[Array, Array, Array]:
        xp = array_namespace(z, h, W, b)
        n = h.shape[1]
        U = _transposed(W)
        U_gates = U[:, : 2 * n]
        U_new = U[:, 2 * n :]
        b_gates: Array | float = 0.0
        b_new: Array | float = 0.0
        if b is not None:
            b_gates = b[: 2 * n]
            b_new = b[2 * n :]
        states = []
        gates = []
        weighed = []
        for z_t, mask_t in zip(xp.unstack(z), _steps_of(mask, z), strict=True):
            a = z_t[:, : 2 * n] + xp.matmul(h, U_gates) + b_gates
            ru = xp.tanh(a * 0.5) * 0.5 + 0.5
            r = ru[:, :n]
            u = ru[:, n:]
            rh = r * h
            new = xp.tanh(z_t[:, 2 * n :] + xp.matmul(rh, U_new) + b_new)
            new_h = new + u * (h - new)
            h = new_h if mask_t is None else xp.where(mask_t, new_h, h)
            states.append(h)
            gates.append(xp.concat([ru, new], axis=1))
            weighed.append(rh)
        return _stacked(states), _stacked(gates), _stacked(weighed)

    def backward(
        self,
        gy: tuple[Array, Array, Array],
        y: tuple[Array, Array, Array],
        h: Array,
        W: Array,
        b: Array | None,
        mask: Array | None,
    ) -> tuple[Array, Array, Array | None, Array, None]:
        states, gates, weighed = y
        xp = array_namespace(states)
        n = h.shape[1]
        W_gates = W[: 2 * n, :]
        W_new = W[2 * n :, :]
        gzs = []
        gh: Array | float = 0.0
        steps = _backwards(mask, *gy, _before(h, states), gates)
        for gh_t, ggates_t, grh_t, h_before, gates_t, mask_t in steps:
            r, u, new = _parts(gates_t, n)
            gh, gh_past = _split_by_mask(mask_t, gh + gh_t)
            gr, gu, gn = NO_GRADIENTS
            if self.used[1]:
                gr, gu, gn = _parts(ggates_t, n)
            gn = (gn + gh * (1.0 - u)) * (1.0 - new * new)
            grh = xp.matmul(gn, W_new)
            if self.used[2]:
                grh = grh + grh_t
            gu = (gu + gh * (h_before - new)) * (u * (1.0 - u))
            gr = (gr + grh * h_before) * (r * (1.0 - r))
            gru = xp.concat([gr, gu], axis=1)
            gzs.append(xp.concat([gru, gn], axis=1))
            gh = xp.matmul(gru, W_gates) + grh * r + gh * u + gh_past
        gz = _stacked(gzs[::-1])
        gW = None
        if self.needs[2]:
            gW_gates = _gradient_of_weight(gz[..., : 2 * n], h, states)
            gW_new = _rows(gz[..., 2 * n :]).T @ _rows(weighed)
            gW = xp.concat([gW_gates, gW_new], axis=0)
        return gz, gh, gW, gz, None


def _sigmoid_by_tanh(h: Array) -> tuple[Array, Array]:
    """(scale, shift) with which tanh(a scale) scale + shift computes all four gates of an LSTM.

    For i, f and o it is the sigmoid, tanh(a / 2) / 2 + 1 / 2; for g it is tanh(a).
    """
    xp = array_namespace(h)
    half = xp.full(h.shape, 0.5, dtype=h.dtype, device=compat.device(h))
    # One row per sample: a product of two full matrices is twice as fast as one that broadcasts.
    scale = xp.concat([half, half, half + 0.5, half], axis=1)
    return scale, 1.0 - scale


def _parts(a: Array, n: int) -> Sequence[Array]:
    """The blocks of n columns that stand side by side in a."""
    return [a[:, k : k + n] for k in range(0, a.shape[1], n)]


def _transposed(W: Array) -> Array:
    """W.T, copied row after row: the product of every step is then twice as fast."""
    xp = array_namespace(W)
    return xp.reshape(xp.reshape(W.T, (-1,)), W.shape[::-1])


def _stacked(steps: list[Array]) -> Array:
    """The steps as one array, along a new first axis."""
    if fast := kernel("stack", *steps):
        return fast(steps)
    return array_namespace(steps[0]).stack(steps)


def _steps_of(mask: Array | None, steps: Array) -> Sequence[Array | None]:
    """The mask of each step; without a mask, None for each step."""
    if mask is None:
        return [None] * steps.shape[0]
    masks: Sequence[Array] = array_namespace(mask).unstack(mask)
    return masks


def _backwards(mask: Array | None, *arrays: Array) -> Iterator[tuple[Array, ...]]:
    """The steps of the arrays and of the mask, the last step first."""
    steps = [array_namespace(a).unstack(a)[::-1] for a in arrays]
    return zip(*steps, _steps_of(mask, arrays[0])[::-1], strict=True)


def _split_by_mask(mask: Array | None, g: Array) -> tuple[Array, Array | float]:
    """A step's gradient in two parts: through what the step computed, and past it in padding."""
    if mask is None:
        return g, 0.0
    where = array_namespace(g).where
    return where(mask, g, 0.0), where(mask, 0.0, g)


def _before(first: Array, states: Array) -> Array:
    """The state before each step."""
    xp = array_namespace(first, states)
    return xp.concat([xp.expand_dims(first, axis=0), states[:-1, ...]])


def _gradient_of_weight(gz: Array, h: Array, states: Array) -> Array:
    """The gradient of W: one product over all steps."""
    return array_namespace(gz).matmul(_rows(gz).T, _rows(_before(h, states)))


def _rows(steps: Array) -> Array:
    """All steps of all sequences as the rows of one matrix."""
    rows = math.prod(steps.shape[:2])
    return array_namespace(steps).reshape(steps, (rows, steps.shape[2]))
