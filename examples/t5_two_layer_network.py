"""Lesson 5: backpropagation in a network of two layers, on MNIST; and why ReLU.

`gradient` is computed by the layers, `numerical_gradient` by differences of the loss; they agree.
In a deep stack of sigmoids, whose slope is at most 1/4, the gradient vanishes on its way back.

    python examples/t5_two_layer_network.py --backend numpy
"""

from functools import partial

from common import begin, canvas, positive, save

import xpnet
from xpnet import functions as F
from xpnet.data import load_mnist
from xpnet.testing import numerical_gradient


class SoftmaxWithLoss(xpnet.Layer):
    """The mean cross entropy of softmax(x) against class numbers t."""

    def forward(self, x, t):
        return F.softmax_cross_entropy(x, t)


class TwoLayerNet:
    """Affine, ReLU, Affine, and the loss; targets are class numbers or one-hot rows."""

    def __init__(self, input_size, hidden_size, output_size, weight_init_std=0.01):
        weight = partial(xpnet.layers.initializers.normal, std=weight_init_std)
        one = xpnet.Affine(input_size, hidden_size, weight=weight)
        two = xpnet.Affine(hidden_size, output_size, weight=weight)
        self.params = {"W1": one.weight, "b1": one.bias, "W2": two.weight, "b2": two.bias}
        self.layers = {"Affine1": one, "Relu1": xpnet.ReLU(), "Affine2": two}
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        t = F.argmax(t, axis=1) if t.ndim == 2 else t
        return self.last_layer.forward(self.predict(x), t)

    def accuracy(self, x, t):
        t = F.argmax(t, axis=1) if t.ndim == 2 else t
        return float(F.mean(F.astype(F.argmax(self.predict(x), axis=1) == t, x.dtype)))

    def numerical_gradient(self, x, t):
        def loss_at(p, array):
            before, p.data = p.data, array
            loss, p.data = self.loss(x, t), before
            return loss

        return {k: numerical_gradient(partial(loss_at, p), p.data) for k, p in self.params.items()}

    def gradient(self, x, t):
        self.last_loss = self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return {name: p.grad for name, p in self.params.items()}


args, backend, rng = begin(__doc__, iterations=(positive, 20_000, "batches of 200 images"))
train, test = [[backend.asarray(array) for array in pair] for pair in load_mnist()]

with xpnet.using(args.backend, "float64") as double:  # differences lose digits
    x = double.asarray(train[0][:5, 300:400], "float64")  # five images, 100 pixels of each
    t = double.asarray(train[1][:5])
    net = TwoLayerNet(input_size=100, hidden_size=8, output_size=10, weight_init_std=0.5)
    slow, fast = net.numerical_gradient(x, t), net.gradient(x, t)  # slow: 1,800 losses
    difference = max(float(F.max(F.abs(slow[name] - fast[name]))) for name in fast)
print(f"numerical and backpropagated gradients differ by at most {difference:.1e}\n")

net = TwoLayerNet(input_size=784, hidden_size=80, output_size=10)
lr, losses, history = 0.1, [], []
for iteration in range(1, args.iterations + 1):
    rows = backend.asarray(rng.integers(0, 60_000, 200))
    x, t = (backend.xp.take(array, rows, axis=0) for array in train)
    for name, g in net.gradient(x, t).items():
        net.params[name].data -= lr * g
    losses.append(net.last_loss)
    if iteration % 300 == 0 or iteration == args.iterations:  # an epoch has 300 batches
        history.append((net.accuracy(*train), net.accuracy(*test)))
        row = (len(history), float(F.mean(F.stack(losses[-300:]))), *history[-1])
        print("epoch {:2}   loss {:.4f}   train {:.4f}   test {:.4f}".format(*row))

figure, (ax, ax2) = canvas(columns=2, width=10.0)
ax.plot(range(1, len(history) + 1), history, label=("train", "test"))
ax.set(xlabel="epoch", title="Accuracy on MNIST", xticks=range(0, len(history) + 1, 5))
for activation in ("sigmoid", "relu"):  # ten layers deep, before any training
    stack = xpnet.MLP(784, [80] * 9, 10, activation=activation, rng=0)
    F.softmax_cross_entropy(stack(x), t).backward()
    norms = [float(F.sum(layer.weight.grad**2)) ** 0.5 for layer in stack.layers[::2]]
    ax2.semilogy(range(1, 11), norms, "o-", label=activation)
ax2.set(xlabel="layer, from data to loss", xticks=range(1, 11), title="Norms of the gradients")
save(figure, args.out / "t5_two_layer_network.png")
