"""Lesson 2: one layer, trained by gradient descent.

A hidden rule turns ten numbers into one: y = x @ ans_w + 3. From a hundred examples of x and y, a
multiply layer and an add layer find the rule. Only the `forward` of a layer is written: `backward`
follows from it, and sets the `grad` of each parameter to the exact derivative, replacing the last.

    python examples/t2_one_layer.py
    python examples/t2_one_layer.py --backend torch --lr 0.02 --epochs 500
"""

from common import begin, canvas, positive, save

import xpnet
from xpnet import functions as F


class Multiply(xpnet.Layer):
    """x @ w: each input has a weight."""

    def __init__(self, w):
        self.w = xpnet.Parameter(w)

    def forward(self, x):
        return F.matmul(x, self.w)


class Add(xpnet.Layer):
    """x + b: one number is added to all."""

    def __init__(self, b):
        self.b = xpnet.Parameter(b)

    def forward(self, x):
        return x + self.b


class MeanSquaredError(xpnet.Layer):
    """The mean of (y - t)^2: the layer holds the targets t."""

    def __init__(self, t):
        self.t = t

    def forward(self, y):
        return F.mean_squared_error(y, self.t)


args, backend, rng = begin(
    __doc__,
    lr=(float, 0.01, "learning rate"),
    epochs=(positive, 1000, "steps of gradient descent"),
)

ans_w = backend.asarray(rng.uniform(-5.0, 5.0, (10, 1)), dtype=backend.dtype)
x = backend.asarray(rng.uniform(-5.0, 5.0, (100, 10)), dtype=backend.dtype)
t = x @ ans_w + 3.0

layers = {
    "multiply": Multiply(backend.xp.zeros_like(ans_w)),
    "add": Add(0.0),
    "loss": MeanSquaredError(t),
}
names = list(layers)
w = layers["multiply"].w
b = layers["add"].b

errors = []
for epoch in range(args.epochs + 1):
    y = x
    for name in names:
        y = layers[name].forward(y)
    errors.append(y)

    dout = 1.0
    for name in reversed(names):
        dout = layers[name].backward(dout)

    if epoch % 100 == 0:
        print(f"epoch {epoch:5}   error {float(y):.3e}")
    for p in (w, b):
        p.data = p.data - args.lr * p.grad

found = xpnet.to_numpy(w)[:, 0]
true = xpnet.to_numpy(ans_w)[:, 0]
print("\n  true weight   found")
for pair in zip([*true, 3.0], [*found, float(b)], strict=True):
    print("{:12.4f}{:10.4f}".format(*pair))
print(f"\nlargest difference: {max(abs(true - found).max(), abs(float(b) - 3.0)):.1e}")

figure, ax = canvas()
ax.semilogy([float(error) for error in errors])
ax.set(xlabel="epoch", ylabel="mean squared error", title="One layer finds the rule")
save(figure, args.out / "t2_one_layer.png")
