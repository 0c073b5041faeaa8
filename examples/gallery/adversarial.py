"""Adversarial examples: faint noise turns a seven into a three.

A network reads 97 % of the digits right. Now each pixel is changed by at most ε, in the direction that raises the loss:

    x' = x + ε sign(∂loss/∂x)

This is the *fast gradient sign method*. It takes one gradient, with respect to the picture and not to the
parameters. A random change of the same size hardly matters, but this one is aligned with the weights: over 784 pixels,
small changes of the loss add up. A network can be trained against it, if half of each batch is attacked as it is now.

Source: Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples", 2015.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F
from xpnet.data import load_mnist
from xpnet.metrics import accuracy

xpnet.use("numpy")
(images, labels), (test_images, test_labels) = load_mnist()


def attacked(model, x, t, epsilon=0.1):
    """The pictures, each pixel moved by epsilon so that the loss rises, and kept between 0 and 1."""
    slope = xpnet.grad(lambda x: F.softmax_cross_entropy(model(x), t))(x)
    return F.clip(x + epsilon * F.sign(slope), 0.0, 1.0)


# %%
def trained(against):
    """A network after five epochs; `against` says whether it is trained against the attack."""
    model = xpnet.MLP(784, [200], 10, rng=0)
    optimizer = xpnet.Adam(model.parameters(), lr=0.002)
    rng = np.random.default_rng(0)

    @xpnet.compile
    def step(x, t):
        if against:
            x = F.concat([x[:50], attacked(model, x[50:], t[50:])])
        loss = F.softmax_cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for _ in range(5):
        for batch in np.split(rng.permutation(len(images)), 600):
            step(images[batch], labels[batch])
    return model


models = {"usual": trained(False), "robust": trained(True)}

# %%
sizes = np.array([0.0, 0.02, 0.05, 0.1, 0.15])
x, t = test_images[:3000], test_labels[:3000]
noise = np.random.default_rng(1).choice([-1.0, 1.0], size=x.shape).astype(np.float32)
print("accuracy by the size of the change", *(f"{size:6.2f}" for size in sizes))
curves = {}
for name, model in models.items():
    for kind in ("random", "attacked"):
        changed = [
            attacked(model, x, t, size)
            if kind == "attacked"
            else F.clip(x + size * noise, 0.0, 1.0)
            for size in sizes.tolist()
        ]
        curves[name, kind] = [float(accuracy(model(one), t)) for one in changed]
        print(f"{name:20} {kind:13}", *(f"{rate:6.2f}" for rate in curves[name, kind]))

# %%
model = models["usual"]
wrong = xpnet.to_numpy(attacked(model, x, t))
before, after = (np.argmax(xpnet.to_numpy(model(one)), axis=1) for one in (x, wrong))
fooled = np.flatnonzero((before == t) & (after != t))[:6]
figure = plt.figure(figsize=(10.0, 2.7), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(1.0, 1.6))
ax = left.subplots()
for (name, kind), rates in curves.items():
    colour = "#0072b2" if name == "usual" else "#d55e00"
    ax.plot(sizes, rates, "--" if kind == "random" else "-", color=colour, label=f"{name}, {kind}")
ax.set(xlabel="size of the change", ylabel="accuracy", ylim=(0.0, 1.02), xticks=sizes[[0, 2, 3, 4]])
ax.legend(frameon=False, fontsize=7, loc=(0.62, 0.18))
ax.spines[["top", "right"]].set_visible(False)
for axes, shown, read in zip(right.subplots(2, 6), (x, wrong), (before, after), strict=True):
    for ax, k in zip(axes, fooled, strict=True):
        ax.imshow(shown[k].reshape(28, 28), cmap="gray", vmin=0.0, vmax=1.0)
        ax.set_title(f"read as {read[k]}", fontsize=9)
        ax.axis("off")
# Picture: On the left, accuracy by the size of the change: random changes matter little; the attack brings the usual network
# close to 0; the one that was trained against it still reads most digits that are changed by 0.1, as in its training.
# On the right, six digits that are read rightly, and below them the same with a faint pattern, read as others.
plt.show()
