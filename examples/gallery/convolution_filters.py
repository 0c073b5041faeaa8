"""What the filters of a convolutional network look for.

A convolutional network is often called a black box, but the first layer can be looked at as it is: each of its filters
is a picture of 5 × 5 pixels, and its output says where the digit resembles it. Filters further inside look at outputs of
others, and cannot be drawn. But they can be asked: which picture excites this filter most? The gradient is taken with
respect to the pixels, not to the parameters, and the picture climbs from noise. The second layer looks for strokes at a
slant, ends and bends. What excites an answer is not a digit as people write it, but the strokes that count for the network.

Sources: Erhan et al., "Visualizing higher-layer features of a deep network", 2009; Zeiler and Fergus, "Visualizing and
understanding convolutional networks", 2014.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F
from xpnet.data import load_dataset
from xpnet.metrics import accuracy
from xpnet.training import Trainer

xpnet.use("numpy")
(images, labels), (test_images, test_labels) = load_dataset("mnist")
first = xpnet.Sequential(xpnet.Conv2d(1, 8, 5, rng=0), xpnet.ReLU(), xpnet.MaxPool2d(2))
second = xpnet.Sequential(xpnet.Conv2d(8, 16, 5, rng=1), xpnet.ReLU(), xpnet.MaxPool2d(2))
model = xpnet.Sequential(first, second, xpnet.Flatten(), xpnet.Affine(256, 10, rng=2))
optimizer = xpnet.AdamW(model.parameters(), lr=0.003, weight_decay=0.05)
trainer = Trainer(model, F.softmax_cross_entropy, optimizer, [accuracy], rng=0)
history = trainer.fit((images[:20_000], labels[:20_000]), (test_images, test_labels), epochs=3)
for epoch, right in enumerate(history["test_accuracy"], start=1):
    print(f"epoch {epoch}   test accuracy {right:.1%}")

# %% [markdown]
# To climb, the gradient is divided by its length, and the picture is kept small and smooth by two penalties, without
# which it would become a pattern of single pixels that no digit contains.


# %%
def exciting(score, n, size, steps=150):
    """Pictures (n, 1, size, size), the k-th of which makes the k-th column of its scores large."""
    rng = np.random.default_rng(0)
    x = 0.1 * rng.normal(size=(n, 1, size, size)).astype(np.float32)

    def aim(x):
        rough = F.sum((x[..., 1:] - x[..., :-1]) ** 2) + F.sum(
            (x[..., 1:, :] - x[..., :-1, :]) ** 2
        )
        return F.sum(F.linalg.diagonal(score(x))) - 0.5 * rough - 0.2 * F.sum(x**2)

    slope = xpnet.grad(aim)
    for _ in range(steps):
        direction = xpnet.to_numpy(slope(x))
        length = np.sqrt(np.sum(direction**2, axis=(1, 2, 3), keepdims=True)) + 1e-6
        x = np.clip(x + 0.5 * direction / length, 0.0, 1.0)
    return x[:, 0]


inner = exciting(lambda x: second[0](first(x))[:, :, 0, 0], 16, 14)  # all that one output sees
digits = exciting(model, 10, 28)
print(f"the network reads its own digits as {np.argmax(model.forward(digits[:, None]), axis=1)}")

# %%
filters = xpnet.to_numpy(first[0].weight)[:, 0]
answers = xpnet.to_numpy(first[1](first[0](test_images[:1])))[0]
rows = {
    "filters of the first layer": (filters, "RdBu_r"),
    "where they find a seven": (answers, "cividis"),
    "what excites the second layer": (inner[:8], "gray"),
    "what excites the answers 0 to 7": (digits[:8], "gray"),
}
figure = plt.figure(figsize=(7.0, 4.9), layout="constrained")
for part, (title, (pictures, colours)) in zip(figure.subfigures(4, 1), rows.items(), strict=True):
    part.suptitle(title, x=0.01, ha="left", fontsize=10)
    for ax, picture in zip(part.subplots(1, 8), pictures, strict=True):
        reach = np.max(np.abs(picture))
        ax.imshow(picture, cmap=colours, vmin=-reach if colours == "RdBu_r" else 0.0, vmax=reach)
        ax.axis("off")
# Picture: Four rows of eight small pictures: the filters, in blue and red; a seven as each of them sees it, its upper
# edges, its lower edges, its stroke; strokes and bends that excite the second layer; and what excites each answer.
plt.show()
