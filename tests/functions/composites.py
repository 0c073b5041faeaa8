"""The fused functions composed of simpler ones: each teaches a formula, and tests the fused node.

They take the arguments of the function of the same name in `xpnet.functions`, without a mask.
"""

from xpnet import functions as F
from xpnet.autodiff.namespace import array_namespace


def linear(x, weight, bias=None):
    """x weight + bias, by two nodes."""
    y = F.matmul(x, weight)
    return y if bias is None else array_namespace(y, bias).add(y, bias)


def rnn(z, h, weight, nonlinearity="tanh"):
    """`F.rnn`, step by step."""
    xp = array_namespace(z, h, weight)
    states = []
    for t in range(z.shape[0]):
        a = xp.add(z[t, ...], xp.matmul(h, xp.matrix_transpose(weight)))
        h = xp.tanh(a) if nonlinearity == "tanh" else F.relu(a)
        states.append(h)
    return xp.stack(states)


def lstm(z, h, c, weight):
    """`F.lstm`, step by step."""
    xp = array_namespace(z, h, c, weight)
    n = h.shape[-1]
    states = []
    cells = []
    for t in range(z.shape[0]):
        a = xp.add(z[t, ...], xp.matmul(h, xp.matrix_transpose(weight)))
        i, f, g, o = (a[:, k * n : (k + 1) * n] for k in range(4))
        c = xp.multiply(F.sigmoid(f), c) + F.sigmoid(i) * xp.tanh(g)
        h = xp.multiply(F.sigmoid(o), xp.tanh(c))
        states.append(h)
        cells.append(c)
    return xp.stack(states), xp.stack(cells)


def gru(z, h, weight, bias=None, reset_after=True):
    """`F.gru`, step by step."""
    xp = array_namespace(z, h, weight, bias)
    n = h.shape[-1]
    states = []
    for t in range(z.shape[0]):
        a = linear(h, xp.matrix_transpose(weight), bias)
        r = F.sigmoid(xp.add(z[t, :, :n], a[:, :n]))
        u = F.sigmoid(xp.add(z[t, :, n : 2 * n], a[:, n : 2 * n]))
        if reset_after:
            share = r * a[:, 2 * n :]
        else:
            bias_new = None if bias is None else bias[2 * n :]
            share = linear(r * h, xp.matrix_transpose(weight[2 * n :, :]), bias_new)
        new = xp.tanh(xp.add(z[t, :, 2 * n :], share))
        h = (1.0 - u) * new + u * h
        states.append(h)
    return xp.stack(states)
