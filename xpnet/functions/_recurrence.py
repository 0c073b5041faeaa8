"""The primitives of `recurrent`: a whole sequence as one node, and the walk back through its steps.

What a rule needs of the steps it finds in the outputs, the gates among them: so it can itself be
differentiated. In a rule, g-names are gradients (gc: of the cell), t is for one step.

Few large arrays are made: for a network of common size, memory that the system has to hand out
anew costs more than the arithmetic, and what a step makes is still in the cache in the next.

Source: Werbos, "Backpropagation through time: what it does and how to do it", 1990.
"""

import math
from typing import Any

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.functions._masks import zero_unless
from xpnet.kernels.lookup import kernel


class RNN(Function):
    def __init__(self, nonlinearity: str) -> None:
        self.tanh = nonlinearity == "tanh"

    def forward(self, z: Array, h: Array, W: Array, mask: Array) -> Array:
        xp, U, hs = array_namespace(z, h, W), _transposed(W), []
        for zt, m in zip(xp.unstack(z), _each(mask, z), strict=True):
            a = zt + xp.matmul(h, U)
            new = xp.tanh(a) if self.tanh else xp.maximum(a, 0.0)
            h = new if m is None else xp.where(m, new, h)
            hs.append(h)
        return _stacked(hs)

    def backward(self, gy: Array, y: Array, h: Array, W: Array, mask: Array) -> Any:
        xp, gzs, gh = array_namespace(gy), [], 0.0
        for g, new, m in _backwards(mask, gy, y):
            gh, kept = _parted(m, gh + g)
            gzs.append(gh * (1.0 - new * new) if self.tanh else zero_unless(new > 0.0, gh))
            gh = xp.matmul(gzs[-1], W) + kept
        gz = _stacked(gzs[::-1])
        gW = _product(gz, h, y) if self.needs[2] else None
        return gz, gh, gW, None


class LSTM(Function):
    """The outputs: the states h, the cells c, and the gates i, f, g, o side by side."""

    def forward(self, z: Array, h: Array, c: Array, W: Array, mask: Array) -> Any:
        if fast := kernel("lstm", z, h, c, W, mask):
            return fast(z, h, c, W, mask)
        xp, n, (scale, shift) = array_namespace(z, h, c, W), h.shape[1], _by_tanh(h)
        U = _transposed(W)
        hs, cs, gates = [], [], []
        for zt, m in zip(xp.unstack(z), _each(mask, z), strict=True):
            a = xp.tanh((zt + xp.matmul(h, U)) * scale) * scale + shift
            i, f, g, o = _parts(a, n)
            new = f * c + i * g
            out = o * xp.tanh(new)
            h = out if m is None else xp.where(m, out, h)
            c = new if m is None else xp.where(m, new, c)
            hs.append(h)
            cs.append(c)
            gates.append(a)
        return _stacked(hs), _stacked(cs), _stacked(gates)

    def backward(self, gy: Array, y: Array, h: Array, c: Array, W: Array, mask: Array) -> Any:
        if fast := kernel("lstm_gradients", gy[0], h, c, W, mask):
            gz, gh, gc = fast(gy, y, c, W, mask, self.used[2])
            return gz, gh, gc, _product(gz, h, y[0]) if self.needs[3] else None, None
        xp, n, (scale, shift) = array_namespace(y[0]), h.shape[1], _by_tanh(h)
        squared, gzs = scale * scale, []
        gh = gc = 0.0
        for ght, gct, gat, now, before, a, m in _backwards(mask, *gy, y[1], _before(c, y[1]), y[2]):
            i, f, g, o = _parts(a, n)
            tanh, centred = xp.tanh(now), a - shift
            gh, kept = _parted(m, gh + ght)
            gc, kept_c = _parted(m, gc + gct)
            gc = gc + gh * (o * (1.0 - tanh * tanh))
            ga = xp.concat([gc * g, gc * before, gc * i, gh * tanh], axis=1)
            ga = ga + gat if self.used[2] else ga
            gzs.append(ga * (squared - centred * centred))  # a (1 - a), and 1 - a^2 for g
            gh, gc = xp.matmul(gzs[-1], W) + kept, gc * f + kept_c
        gz = _stacked(gzs[::-1])
        gW = _product(gz, h, y[0]) if self.needs[3] else None
        return gz, gh, gc, gW, None


class GRU(Function):
    """The outputs: the states h; r, u and n side by side; and n's share of W h + b."""

    def forward(self, z: Array, h: Array, W: Array, b: Array, mask: Array) -> Any:
        xp, n, U = array_namespace(z, h, W, b), h.shape[1], _transposed(W)
        hs, gates, shares = [], [], []
        for zt, m in zip(xp.unstack(z), _each(mask, z), strict=True):
            a = xp.matmul(h, U)
            a = a if b is None else a + b
            ru = xp.tanh((zt[:, : 2 * n] + a[:, : 2 * n]) * 0.5) * 0.5 + 0.5
            r, u, share = ru[:, :n], ru[:, n:], a[:, 2 * n :]
            new = xp.tanh(zt[:, 2 * n :] + r * share)
            out = new + u * (h - new)
            h = out if m is None else xp.where(m, out, h)
            hs.append(h)
            gates.append(xp.concat([ru, new], axis=1))
            shares.append(share)
        return _stacked(hs), _stacked(gates), _stacked(shares)

    def backward(self, gy: Array, y: Array, h: Array, W: Array, b: Array, mask: Array) -> Any:
        xp, n, gzs, gas, gh = array_namespace(y[0]), h.shape[1], [], [], 0.0
        for ght, gat, gst, before, a, share, m in _backwards(
            mask, *gy, _before(h, y[0]), y[1], y[2]
        ):
            r, u, new = _parts(a, n)
            gh, kept = _parted(m, gh + ght)
            gr, gu, gn = _parts(gat, n) if self.used[1] else (0.0, 0.0, 0.0)
            gn = (gn + gh * (1.0 - u)) * (1.0 - new * new)
            gu = (gu + gh * (before - new)) * (u * (1.0 - u))
            gr = (gr + gn * share) * (r * (1.0 - r))
            gs = gn * r + gst if self.used[2] else gn * r
            gzs.append(xp.concat([gr, gu, gn], axis=1))
            gas.append(xp.concat([gr, gu, gs], axis=1))
            gh = xp.matmul(gas[-1], W) + gh * u + kept
        ga = _stacked(gas[::-1])
        gW = _product(ga, h, y[0]) if self.needs[2] else None
        return _stacked(gzs[::-1]), gh, gW, ga, None


class GRUResetBefore(Function):
    """A GRU whose gate r weighs the state before the product: two products a step.

    The outputs: the states h; r, u and n side by side; and r h, of which n's share is a product.
    """

    def forward(self, z: Array, h: Array, W: Array, b: Array, mask: Array) -> Any:
        xp, n, U = array_namespace(z, h, W, b), h.shape[1], _transposed(W)
        U_gates, U_new = U[:, : 2 * n], U[:, 2 * n :]
        b_gates, b_new = (0.0, 0.0) if b is None else (b[: 2 * n], b[2 * n :])
        hs = []
        gates = []
        weighed = []
        for zt, m in zip(xp.unstack(z), _each(mask, z), strict=True):
            a = zt[:, : 2 * n] + xp.matmul(h, U_gates) + b_gates
            ru = xp.tanh(a * 0.5) * 0.5 + 0.5
            r = ru[:, :n]
            u = ru[:, n:]
            rh = r * h
            new = xp.tanh(zt[:, 2 * n :] + xp.matmul(rh, U_new) + b_new)
            out = new + u * (h - new)
            h = out if m is None else xp.where(m, out, h)
            hs.append(h)
            gates.append(xp.concat([ru, new], axis=1))
            weighed.append(rh)
        return _stacked(hs), _stacked(gates), _stacked(weighed)

    def backward(self, gy: Array, y: Array, h: Array, W: Array, b: Array, mask: Array) -> Any:
        xp, n, gzs, gh = array_namespace(y[0]), h.shape[1], [], 0.0
        W_gates, W_new = W[: 2 * n, :], W[2 * n :, :]
        for ght, gat, grht, before, a, m in _backwards(mask, *gy, _before(h, y[0]), y[1]):
            r, u, new = _parts(a, n)
            gh, kept = _parted(m, gh + ght)
            gr, gu, gn = _parts(gat, n) if self.used[1] else (0.0, 0.0, 0.0)
            gn = (gn + gh * (1.0 - u)) * (1.0 - new * new)
            grh = xp.matmul(gn, W_new) + (grht if self.used[2] else 0.0)
            gu = (gu + gh * (before - new)) * (u * (1.0 - u))
            gr = (gr + grh * before) * (r * (1.0 - r))
            gates = xp.concat([gr, gu], axis=1)
            gzs.append(xp.concat([gates, gn], axis=1))
            gh = xp.matmul(gates, W_gates) + grh * r + gh * u + kept
        gz = _stacked(gzs[::-1])
        gW = None
        if self.needs[2]:
            gates_W = _product(gz[..., : 2 * n], h, y[0])
            new_W = _rows(gz[..., 2 * n :]).T @ _rows(y[2])
            gW = xp.concat([gates_W, new_W], axis=0)
        return gz, gh, gW, gz, None


def _by_tanh(h: Array) -> tuple[Any, Any]:
    """(scale, shift) of an LSTM's gates: a sigmoid is tanh(a / 2) / 2 + 1 / 2, so one tanh does."""
    xp = array_namespace(h)
    half = xp.full(h.shape, 0.5, dtype=h.dtype, device=compat.device(h))
    scale = xp.concat([half, half, half + 0.5, half], axis=1)  # for each row: twice as fast as one
    return scale, 1.0 - scale


def _parts(a: Array, n: int) -> list[Any]:
    """What stands side by side in the rows of a."""
    return [a[:, k : k + n] for k in range(0, a.shape[1], n)]


def _transposed(W: Array) -> Array:
    """W.T as an array of its own, row after row: the product of every step is twice as fast."""
    xp = array_namespace(W)
    return xp.reshape(xp.reshape(W.T, (-1,)), W.shape[::-1])


def _stacked(steps: list[Any]) -> Any:
    """The steps as one array, along a new first axis."""
    if fast := kernel("stack", *steps):
        return fast(steps)
    return array_namespace(steps[0]).stack(steps)


def _each(mask: Array, steps: Any) -> Array:
    """The mask of each step; None for each if there is none."""
    return [None] * steps.shape[0] if mask is None else array_namespace(mask).unstack(mask)


def _backwards(mask: Array, *arrays: Array) -> Array:
    """The steps of the arrays and of the mask, last one first."""
    steps = [array_namespace(a).unstack(a)[::-1] for a in arrays]
    return zip(*steps, _each(mask, arrays[0])[::-1], strict=True)


def _parted(m: Array, g: Array) -> tuple[Any, Any]:
    """A step's gradient: to what it computed; and past it, where it is padding."""
    where = array_namespace(g).where
    return (g, 0.0) if m is None else (where(m, g, 0.0), where(m, 0.0, g))


def _before(first: Any, states: Any) -> Any:
    """The state before each step."""
    xp = array_namespace(first, states)
    return xp.concat([xp.expand_dims(first, axis=0), states[:-1, ...]])


def _product(gz: Any, h: Array, states: Any) -> Array:
    """The gradient of W: of all steps in one product."""
    return array_namespace(gz).matmul(_rows(gz).T, _rows(_before(h, states)))


def _rows(steps: Any) -> Any:
    """All steps of all sequences as the rows of one matrix."""
    rows = math.prod(steps.shape[:2])
    return array_namespace(steps).reshape(steps, (rows, steps.shape[2]))
