"""Double descent: the worst network is the one that just fits.

Statistics teaches that a model with too many parameters learns the noise. Large networks have far more parameters than
samples, and yet they work. The two are halves of one curve. As a model grows, its error on new data falls, then rises,
and is largest where there are as many parameters as samples: there is exactly one solution that meets every point, however
wildly it has to bend. Beyond, there are many, and the shortest of them is chosen, which bends less. So the error falls a
second time.

The network has one hidden layer, whose weights stay as they are drawn; only the last layer is fitted. That is a problem
of least squares, which the pseudoinverse solves, with the shortest solution where there are several.

Source: Belkin et al., "Reconciling modern machine-learning practice and the classical bias-variance trade-off", 2019.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F
from xpnet.data import load_mnist

xpnet.use("numpy", "float64")
(images, labels), (test_images, test_labels) = load_mnist()
SAMPLES = 300
x, test_x = images[:SAMPLES].astype(float), test_images[:2000].astype(float)
t, test_t = np.eye(10)[labels[:SAMPLES]], np.eye(10)[test_labels[:2000]]


def fitted(width, seed):
    """The mean squared error on the samples and on new pictures, the rate of errors, the weights' length."""
    hidden = xpnet.Sequential(xpnet.Affine(784, width, rng=seed), xpnet.ReLU())
    weight = F.linalg.pinv(hidden.forward(x)) @ t
    found, answers = hidden.forward(x) @ weight, hidden.forward(test_x) @ weight
    wrong = np.mean(np.argmax(answers, axis=1) != test_labels[:2000])
    length = np.linalg.norm(weight)
    return np.mean((found - t) ** 2), np.mean((answers - test_t) ** 2), wrong, length


# %% [markdown]
# Each width is drawn three times; the median is shown.

# %%
widths = [10, 20, 40, 80, 150, 220, 260, 280, 300, 320, 340, 400, 500, 700, 1000, 1600]
results = np.array([np.median([fitted(w, seed) for seed in range(3)], axis=0) for w in widths])
print("hidden units   error on samples   on new pictures   wrong   length of the weights")
for width, (error, new, wrong, length) in zip(widths, results, strict=True):
    print(f"{width:12}{error:19.1e}{new:18.3f}{wrong:8.1%}{length:16.2f}")

# %%
figure, axes = plt.subplots(1, 3, figsize=(10.4, 3.2), layout="constrained")
error, new, wrong, length = results.T
axes[0].loglog(widths, np.maximum(error, 1e-8), ".-", color="#8a8a8a", label="300 samples")
axes[0].loglog(widths, new, ".-", color="#d55e00", label="new pictures")
axes[0].set(title="mean squared error", ylim=(1e-5, 200.0))
axes[0].legend(frameon=False)
axes[1].semilogx(widths, wrong, ".-", color="#d55e00")
axes[1].set(title="new pictures read wrong", ylim=(0.0, 1.0))
axes[2].loglog(widths, length, ".-", color="#0072b2")
axes[2].set(title="length of the weights")
for ax in axes:
    ax.axvline(SAMPLES, color="0.75", linestyle="--", linewidth=1.0, zorder=0)
    ax.set(xlabel="hidden units")
    ax.spines[["top", "right"]].set_visible(False)
# Picture: Three curves by the number of hidden units. The error on new pictures falls, rises to a peak at 300, the
# number of samples, and falls again, below its first minimum; so does the share of wrong answers. The length of the
# weights rises to a peak at 300, too, and falls.
plt.show()
