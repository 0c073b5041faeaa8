"""NumPy: the products alone, which are the unit of the table; and a step that is tuned by hand."""

import numpy as np

from benchmarks.peers.contender import Contender
from benchmarks.peers.processor import aligned
from benchmarks.peers.workloads import Weights, Workload, products

FLOAT = np.float32
BLOCK = 1 << 14  # numbers of a parameter that Adam updates at a time: they stay in the cache


class Products(Contender):
    """The matrix products that every implementation needs, into existing, aligned arrays."""

    def __init__(self, workload: Workload, x: np.ndarray, t: np.ndarray, weights: Weights) -> None:
        rng = np.random.default_rng(0)
        self.products = []
        for layer, (rows, inputs, outputs) in enumerate(products(workload)):
            h = aligned(rows, inputs)
            W = aligned(inputs, outputs)
            g = aligned(rows, outputs)
            for a in (h, W, g):
                a[...] = rng.standard_normal(a.shape)
            self.products.append((h, W, aligned(rows, outputs)))
            self.products.append((h.T, g, aligned(inputs, outputs)))
            if layer:  # nobody needs the gradient with respect to the data
                self.products.append((g, W.T, aligned(rows, inputs)))

    def run(self, indices: np.ndarray) -> None:
        for _ in indices:
            for a, b, c in self.products:
                np.matmul(a, b, out=c)

    def weights(self) -> Weights:
        return []


class Flat:
    """Weights, and their gradients, as views of one array each: one call updates all of them."""

    def __init__(self, workload: Workload, weights: Weights) -> None:
        self.workload = workload
        size = sum(w.size for w in weights)
        self.p = aligned(size)
        self.g = aligned(size)
        self.weights = self._views(self.p, weights)
        self.gradients = self._views(self.g, weights)
        for mine, given in zip(self.weights, weights, strict=True):
            mine[...] = given
        self.m = np.zeros_like(self.p)
        self.v = np.zeros_like(self.p)
        self.room = np.empty(min(BLOCK, size), FLOAT)
        self.t = 0

    @staticmethod
    def _views(flat: np.ndarray, weights: Weights) -> Weights:
        views = []
        start = 0
        for w in weights:
            views.append(flat[start : start + w.size].reshape(w.shape))
            start += w.size
        return views

    def update(self) -> None:
        """Move the weights along the gradients, which are overwritten."""
        lr = FLOAT(self.workload.lr)
        if self.workload.optimizer == "adam":
            self._adam()
            return
        step = self.g
        if self.workload.optimizer == "momentum":
            self.m *= FLOAT(0.9)
            self.m += self.g
            step = self.m
        np.multiply(step, lr, out=self.g)
        self.p -= self.g

    def _adam(self) -> None:
        self.t += 1
        correction = np.sqrt(1 - 0.999**self.t)
        rate = FLOAT(self.workload.lr * correction / (1 - 0.9**self.t))
        eps = FLOAT(1e-8 * correction)
        for start in range(0, self.p.size, BLOCK):
            part = slice(start, start + BLOCK)
            p, g, m, v = self.p[part], self.g[part], self.m[part], self.v[part]
            room = self.room[: p.size]
            m *= FLOAT(0.9)
            np.multiply(g, FLOAT(0.1), out=room)
            m += room
            v *= FLOAT(0.999)
            np.multiply(g, g, out=g)
            g *= FLOAT(0.001)
            v += g
            np.sqrt(v, out=room)
            room += eps
            np.divide(m, room, out=room)
            room *= rate
            p -= room


def cross_entropy_gradient(z: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(softmax(z) - one-hot(t)) / n, in the memory of z, for scores in columns: (classes, n)."""
    n = z.shape[1]
    z -= np.maximum.reduce(z, axis=0)
    np.exp(z, out=z)
    z *= FLOAT(1 / n) / np.add.reduce(z, axis=0)
    z[t, np.arange(n)] -= FLOAT(1 / n)
    return z


class Dense(Contender):
    """Dense layers, tuned by hand: nothing is allocated, and the scores are kept in columns."""

    def __init__(self, workload: Workload, x: np.ndarray, t: np.ndarray, weights: Weights) -> None:
        self.x = x
        self.t = t
        self.flat = Flat(workload, weights)
        self.W = self.flat.weights[::2]
        self.b = self.flat.weights[1::2]
        self.gW = self.flat.gradients[::2]
        self.gb = self.flat.gradients[1::2]
        batch = workload.batch
        self.h = [aligned(batch, width) for width in workload.widths[:-1]]
        self.d = [aligned(batch, width) for width in workload.widths[:-1]]
        self.z = aligned(workload.widths[-1], batch)
        self.ones = np.ones(batch, FLOAT)

    def run(self, indices: np.ndarray) -> None:
        for rows in indices:
            self._step(rows)

    def _step(self, rows: np.ndarray) -> None:
        h = self.h
        np.take(self.x, rows, axis=0, out=h[0], mode="clip")
        last = len(self.W) - 1
        for i in range(last):
            np.matmul(h[i], self.W[i], out=h[i + 1])
            h[i + 1] += self.b[i]
            np.maximum(h[i + 1], FLOAT(0), out=h[i + 1])
        np.matmul(self.W[last].T, h[last].T, out=self.z)
        self.z += self.b[last][:, None]
        d = cross_entropy_gradient(self.z, self.t[rows]).T
        for i in range(last, -1, -1):
            np.matmul(h[i].T, d, out=self.gW[i])
            np.matmul(self.ones, d, out=self.gb[i])
            if i:
                np.matmul(d, self.W[i].T, out=self.d[i])
                np.multiply(self.d[i], np.sign(h[i]), out=self.d[i])
                d = self.d[i]
        self.flat.update()

    def weights(self) -> Weights:
        return [w.copy() for w in self.flat.weights]


class LeNet(Contender):
    """LeNet, tuned by hand: the batch is the last axis, so that each operation is on long rows."""

    def __init__(self, workload: Workload, x: np.ndarray, t: np.ndarray, weights: Weights) -> None:
        self.x = x
        self.t = t
        self.flat = Flat(workload, weights)
        n = workload.batch
        self.padded = np.zeros((32, 32, n), FLOAT)
        self.columns1 = aligned(25, 28, 28, n)
        self.columns2 = aligned(6, 5, 5, 10, 10, n)

    def run(self, indices: np.ndarray) -> None:
        for rows in indices:
            self._step(rows)

    def _step(self, rows: np.ndarray) -> None:
        n = len(rows)
        W1, b1, W2, b2, W3, b3, W4, b4, W5, b5 = self.flat.weights
        self.padded[2:30, 2:30] = np.take(self.x, rows, axis=0).T.reshape(28, 28, n)
        for r in range(5):
            for c in range(5):
                self.columns1[5 * r + c] = self.padded[r : r + 28, c : c + 28]
        z1 = np.matmul(W1.reshape(6, 25), self.columns1.reshape(25, -1)).reshape(6, 28, 28, n)
        a1, h1 = _pooled(z1, b1)
        for r in range(5):
            for c in range(5):
                self.columns2[:, r, c] = h1[:, r : r + 10, c : c + 10]
        z2 = np.matmul(W2.reshape(16, 150), self.columns2.reshape(150, -1)).reshape(16, 10, 10, n)
        a2, h2 = _pooled(z2, b2)
        h = [h2.reshape(400, n)]
        for W, b in ((W3, b3), (W4, b4)):
            h.append(np.maximum(W.T @ h[-1] + b[:, None], FLOAT(0)))
        d = cross_entropy_gradient(W5.T @ h[-1] + b5[:, None], self.t[rows])
        d = self._dense_gradients(h, d, (W3, W4, W5))
        self._convolution_gradients(d.reshape(h2.shape), (z1, a1, h1), (z2, a2, h2), W2)
        self.flat.update()

    def _dense_gradients(self, h: Weights, d: np.ndarray, W: tuple[np.ndarray, ...]) -> np.ndarray:
        """Store the gradients of the dense layers; returns that by the input of the first."""
        g = self.flat.gradients[4:]
        for i in (2, 1, 0):
            np.matmul(h[i], d.T, out=g[2 * i])
            np.add.reduce(d, axis=1, out=g[2 * i + 1])
            d = W[i] @ d
            d *= np.sign(h[i])
        return d

    def _convolution_gradients(
        self, d: np.ndarray, first: tuple[np.ndarray, ...], second: tuple[np.ndarray, ...],
        W2: np.ndarray,
    ) -> None:  # fmt: skip
        """Store the gradients of both convolutions; d is that with respect to the second one's output."""
        gW1, gb1, gW2, gb2 = self.flat.gradients[:4]
        z1, a1, h1 = first
        z2, a2, h2 = second
        n = d.shape[-1]
        np.add.reduce(d.reshape(16, -1), axis=1, out=gb2)
        d = _unpooled(d, z2, a2, h2).reshape(16, -1)
        np.matmul(d, self.columns2.reshape(150, -1).T, out=gW2.reshape(16, 150))
        parts = np.matmul(W2.reshape(16, 150).T, d).reshape(6, 5, 5, 10, 10, n)
        d = np.zeros_like(h1)
        for r in range(5):
            for c in range(5):
                d[:, r : r + 10, c : c + 10] += parts[:, r, c]
        d *= np.sign(h1)
        np.add.reduce(d.reshape(6, -1), axis=1, out=gb1)
        d = _unpooled(d, z1, a1, h1).reshape(6, -1)
        np.matmul(d, self.columns1.reshape(25, -1).T, out=gW1.reshape(6, 25))

    def weights(self) -> Weights:
        return [w.copy() for w in self.flat.weights]


def _pooled(z: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The maxima of pairs of rows, and relu(b + those of squares); b and ReLU commute with maxima."""
    a = np.maximum(z[:, 0::2], z[:, 1::2])
    h = np.maximum(a[:, :, 0::2], a[:, :, 1::2])
    h += b.reshape(-1, 1, 1, 1)
    np.maximum(h, FLOAT(0), out=h)
    return a, h


def _unpooled(d: np.ndarray, z: np.ndarray, a: np.ndarray, h: np.ndarray) -> np.ndarray:
    """The gradient with respect to z, in the memory of z, from that of h: it goes to the first maximum."""
    da = np.empty_like(a)
    left = a[:, :, 0::2] >= a[:, :, 1::2]
    np.multiply(d, left, out=da[:, :, 0::2])
    np.subtract(d, da[:, :, 0::2], out=da[:, :, 1::2])
    upper = z[:, 0::2] >= z[:, 1::2]
    np.multiply(da, upper, out=z[:, 0::2])
    np.subtract(da, z[:, 0::2], out=z[:, 1::2])
    return z


def tuned(workload: Workload, x: np.ndarray, t: np.ndarray, weights: Weights) -> Contender:
    """The step that is tuned by hand."""
    kind = LeNet if workload.convolutional else Dense
    return kind(workload, x, t, weights)


CONTENDERS = {"products": Products, "numpy": tuned}
