"""The learning rate is found in one short run.

No other number decides as much about a training, and there is a quick way to a good one. Let the rate grow with each
step, from far too small to far too large, and watch the loss: it stays, it falls, and it explodes. A good rate is a
few times below the explosion. The *range test* costs as much as a fraction of an epoch.

The rate need not be constant either. *One cycle* begins low, rises to the largest rate that is safe, and falls to
almost 0: in the middle it moves fast, and in the end it settles. The test shows what this is worth here.

Source: Smith and Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F, schedules
from xpnet.data import load_mnist
from xpnet.metrics import accuracy

xpnet.use("numpy")
(images, labels), (test_images, test_labels) = load_mnist()
images, labels = images[:20_000], labels[:20_000]


def training(rates):
    """Train a new network with this rate at each step; return it, and the losses."""
    model = xpnet.MLP(784, [100, 100], 10, rng=0)
    optimizer = xpnet.Nesterov(model.parameters(), lr=0.1, momentum=0.9)
    rng = np.random.default_rng(0)

    @xpnet.compile
    def step(x, t):
        loss = F.softmax_cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    losses = []
    for rate in rates:
        optimizer.lr = float(rate)
        some = rng.integers(len(images), size=100)
        losses.append(float(step(images[some], labels[some])))
        if not losses[-1] < 10.0:
            break
    return model, losses


# %% [markdown]
# The test: 300 steps, in which the rate grows from 10⁻⁴ to 10.

# %%
grown = np.geomspace(1e-4, 10.0, 300)
_, losses = training(grown)
smooth = np.convolve(losses, np.ones(15) / 15, mode="valid")
lowest = int(np.argmin(smooth))
explodes = grown[7 + lowest + int(np.argmax(smooth[lowest:] > 2.0 * smooth[lowest]))]
good = explodes / 3.0
print(
    f"the loss is lowest at the rate {grown[7 + lowest]:.3f}, and twice as high at {explodes:.3f}"
)
print(f"a third of that: {good:.3f}")

# %% [markdown]
# Then trainings of 1000 steps: with constant rates, and with one cycle up to the rate that the test suggests.

# %%
STEPS = 1000
cycle = schedules.one_cycle(STEPS)
plans = {f"constant {rate:g}": np.full(STEPS, rate) for rate in (0.001, 0.01, 0.1, 0.5)}
plans["one cycle"] = good * np.array([cycle(i) for i in range(STEPS)])
ran = {}
for name, rates in plans.items():
    model, ran[name] = training(rates)
    right = float(accuracy(model.forward(test_images), test_labels))
    done = len(ran[name]) == STEPS
    print(f"{name:17}", f"test accuracy {right:.1%}" if done else "explodes")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.4), layout="constrained")
left.semilogx(grown[: len(losses)], losses, color="0.8")
left.semilogx(grown[7 : 7 + len(smooth)], smooth, color="#0072b2")
left.axvline(good, color="#d55e00", linestyle="--")
left.annotate("a third of the rate at which\nthe loss has doubled", (0.9 * good, 2.6), ha="right")
left.set(xlabel="learning rate", ylabel="training loss", ylim=(0.0, 3.0), title="range test")
palette = ("#56b4e9", "#0072b2", "#009e73", "#cc79a7", "#d55e00")
for (name, losses), colour in zip(ran.items(), palette, strict=True):
    if len(losses) == STEPS:
        smooth = np.convolve(losses, np.ones(40) / 40, mode="valid")
        right.semilogy(smooth, color=colour, label=name)
right.set(xlabel="step", ylabel="training loss", title="trainings")
right.legend(frameon=False, fontsize=8)
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
# Picture: On the left, the loss by a rate that grows: flat, falling, then exploding, with a mark before the explosion. On
# the right, the loss by step of four trainings; one cycle ends lowest.
plt.show()
