"""Lesson 4: define by run. Computing builds the graph, and the graph is differentiated.

A network of 1, 10 and 1 units learns a noisy sine; it is trained twice from the same start. First
it is composed by hand from Variables: every operator creates a node, and `backward` visits the
nodes in reverse. Then it is composed of the library's functions: `F.linear` is the product and
the sum fused into one node, and `F.sigmoid` computes its derivative from its own output, y (1 -
y). The numbers are the same.

    python examples/t4_define_by_run.py
    python examples/t4_define_by_run.py --backend torch --iterations 3001
"""

import math

import numpy as np
from common import begin, canvas, positive, save

import xpnet
from xpnet import Variable, functions as F

args, backend, _ = begin(
    __doc__, dtype="float64", iterations=(positive, 10_000, "steps of training")
)

np.random.seed(0)  # noqa: NPY002 - the lesson's numbers come from this generator, in this order
rand = np.random.rand
randn = np.random.randn
points = rand(100, 1)
targets = np.sin(2.0 * math.pi * points) + rand(100, 1)
W1 = 0.01 * randn(1, 10)
W2 = 0.01 * randn(10, 1)

x = backend.asarray(points)
t = backend.asarray(targets)


def composed(x, W1, b1, W2, b2):
    """The network, one operator after another."""
    h = F.matmul(x, W1) + b1
    y = 1.0 / (1.0 + F.exp(-h))
    return F.matmul(y, W2) + b2


def composed_loss(y, t):
    """The mean squared error, one operator after another."""
    difference = y - t
    return F.sum(difference**2) / t.shape[0]


def fused(x, W1, b1, W2, b2):
    """The same network, composed of functions that have their own derivatives."""
    return F.linear(F.sigmoid(F.linear(x, W1, b1)), W2, b2)


def train(network, loss_of, lr=0.2):
    """Gradient descent on new Variables; prints a table, returns the Variables."""
    start = W1, np.zeros(10), W2, np.zeros(1)
    parameters = [Variable(backend.asarray(array.copy())) for array in start]
    for iteration in range(args.iterations):
        loss = loss_of(network(x, *parameters), t)
        for p in parameters:
            p.zero_grad()
        loss.backward()
        for p in parameters:
            p.data = p.data - lr * p.grad
        if iteration % 1000 == 0:
            print(f"{iteration:6} {float(loss):.5f}")
    return parameters


print("composed by hand")
train(composed, composed_loss)
print("\nfused")
parameters = train(fused, F.mean_squared_error)

# With create_graph the derivative of the fit is recorded, so it can be differentiated again.
line = Variable(backend.asarray(np.linspace(0.0, 1.0, 200)[:, None]))
fit = fused(line, *parameters)
(slope,) = xpnet.gradients(F.sum(fit), [line], create_graph=True)
(bend,) = xpnet.gradients(F.sum(slope), [line])

figure, (ax, ax2) = canvas(columns=2, width=9.0)
along = xpnet.to_numpy(line)
ax.plot(points, targets, ".", color="0.6", label="points")
ax.plot(along, xpnet.to_numpy(fit), label="fit")
ax.set(xlabel="x", ylabel="y", title="The network on sin(2πx) + noise")
ax2.plot(along, xpnet.to_numpy(slope), label="first derivative")
ax2.plot(along, xpnet.to_numpy(bend), label="second derivative")
ax2.set(xlabel="x", title="The fit's gradient, and the gradient of that")
save(figure, args.out / "t4_define_by_run.png")
