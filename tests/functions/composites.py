"""The fused functions composed of simpler ones: each teaches a formula, and tests the fused node.

They take the arguments of the function of the same name in `xpnet.functions`, without a mask.
"""

from xpnet import functions as F
from xpnet.autodiff.namespace import array_namespace


def linear(x, W, b=None):
    """x W + b, by two nodes."""
    y = F.matmul(x, W)
    return y if b is None else array_namespace(y, b).add(y, b)


def rnn(z, h, W, nonlinearity="tanh"):
    """`F.rnn`, step by step."""
    xp = array_namespace(z, h, W)
    states = []
    for t in range(z.shape[0]):
        a = xp.add(z[t, ...], xp.matmul(h, xp.matrix_transpose(W)))
        h = xp.tanh(a) if nonlinearity == "tanh" else F.relu(a)
        states.append(h)
    return xp.stack(states)


def lstm(z, h, c, W):
    """`F.lstm`, step by step."""
    xp = array_namespace(z, h, c, W)
    n = h.shape[-1]
    states = []
    cells = []
    for t in range(z.shape[0]):
        a = xp.add(z[t, ...], xp.matmul(h, xp.matrix_transpose(W)))
        i, f, g, o = (a[:, k * n : (k + 1) * n] for k in range(4))
        c = xp.multiply(F.sigmoid(f), c) + F.sigmoid(i) * xp.tanh(g)
        h = xp.multiply(F.sigmoid(o), xp.tanh(c))
        states.append(h)
        cells.append(c)
    return xp.stack(states), xp.stack(cells)


def gru(z, h, W, b=None, reset_after=True):
    """`F.gru`, step by step."""
    xp = array_namespace(z, h, W, b)
    n = h.shape[-1]
    states = []
    for t in range(z.shape[0]):
        a = linear(h, xp.matrix_transpose(W), b)
        r = F.sigmoid(xp.add(z[t, :, :n], a[:, :n]))
        u = F.sigmoid(xp.add(z[t, :, n : 2 * n], a[:, n : 2 * n]))
        if reset_after:
            share = r * a[:, 2 * n :]
        else:
            b_new = None if b is None else b[2 * n :]
            share = linear(r * h, xp.matrix_transpose(W[2 * n :, :]), b_new)
        new = xp.tanh(xp.add(z[t, :, 2 * n :], share))
        h = (1.0 - u) * new + u * h
        states.append(h)
    return xp.stack(states)
