"""Distances that are learned, and hold for digits never seen.

A classifier knows its classes, and nothing else. *Metric learning* asks for less: pictures of the same kind are to lie
close together, and others apart. Such a network compares faces of people, or products, that came after its training.

It is trained on pairs. If the pictures show the same digit, their distance d in the plane is to be small; if not, it is
to be larger than a margin: `d²` and `max(0, 1 - d)²`. Here the digits 0 to 7 are learned, and 8 and 9 are never seen
until the end. Are they apart, too? Two dimensions can be drawn; in practice there are a hundred.

Source: Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping", 2006.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F
from xpnet.data import load_mnist

xpnet.use("numpy")
rng = np.random.default_rng(0)
(images, labels), (test_images, test_labels) = load_mnist()
images, labels = images[labels < 8], labels[labels < 8]
by_label = np.argsort(labels, kind="stable")  # first all zeros, then all ones, ...
counts = np.bincount(labels)
starts = np.cumsum(counts) - counts


def pairs(n):
    """n pairs of pictures, half of them of the same digit; and whether they are."""
    first = rng.integers(8, size=n)
    same = np.arange(n) % 2 == 0
    second = np.where(same, first, (first + rng.integers(1, 8, size=n)) % 8)
    a, b = (by_label[starts[k] + rng.integers(counts[k])] for k in (first, second))
    return images[a], images[b], same.astype(np.float32)


# %% [markdown]
# Both pictures go through one network. The small number keeps the slope of the root finite where two points are equal.

# %%
model = xpnet.MLP(784, [256, 128], 2, rng=0)
optimizer = xpnet.Adam(model.parameters())


@xpnet.compile
def step(a, b, same):
    """One step of Adam."""
    squared = F.sum((model(a) - model(b)) ** 2, axis=1)
    apart = F.relu(1.0 - F.sqrt(squared + 1e-6))
    loss = F.mean(same * squared + (1.0 - same) * apart**2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


losses = []
for i in range(3000):
    losses.append(float(step(*pairs(128))))
    if (i + 1) % 500 == 0:
        print(f"step {i + 1}   loss {np.mean(losses[-500:]):.3f}")

# %% [markdown]
# How good are the distances? Of three pictures, two of one digit and one of another, the two should be closer.

# %%
found = model.forward(test_images)


def rate(digits, trials=5000):
    """How often the two pictures of the same digit are closer than one of them and a picture of another."""
    right = 0
    for _ in range(trials):
        one, other = rng.choice(digits, size=2, replace=False)
        a, b = rng.choice(np.flatnonzero(test_labels == one), size=2, replace=False)
        c = rng.choice(np.flatnonzero(test_labels == other))
        right += np.linalg.norm(found[a] - found[b]) < np.linalg.norm(found[a] - found[c])
    return right / trials


print(f"new pictures of the digits 0 to 7: {rate(range(8)):.2f} of the triples are right")
print(f"8 and 9, never seen before:        {rate([8, 9]):.2f} (by chance 0.50)")
_, axes = plt.subplots(1, 2, figsize=(8.4, 4.0), sharex=True, sharey=True, layout="constrained")
colours = plt.cm.tab10(np.arange(10))
for ax, shown in zip(axes, (range(8), (8, 9)), strict=True):
    ax.plot(*found[test_labels < 8][:2500].T, ".", color="0.85", markersize=2)
    for digit in shown:
        points = found[test_labels == digit][:300]
        ax.plot(*points.T, ".", color=colours[digit], markersize=3)
        ax.annotate(str(digit), np.median(points, axis=0), fontsize=15, weight="bold")
    ax.set(xticks=[], yticks=[])
    ax.set_title(
        "new pictures of the digits 0 to 7" if len(shown) > 2 else "8 and 9, never seen before"
    )
# Picture: Points in the plane. On the left the digits 0 to 7 form eight groups, apart from each other. On the right, the
# eights and nines, which the network never saw, lie in two regions between the groups, with some overlap.
plt.show()
