"""Dropout as a measure of what a network does not know.

A network answers any question with the same confidence, also far away from everything it has seen. *Dropout* sets random
units to 0 during the training, so that the network is in fact many thinner ones which share their weights. Usually it is
switched off afterwards. If it is left on, the same input gives another answer each time; where there are data, the thin
networks agree, and elsewhere they need not. Their spread is a cheap estimate of the uncertainty of the mean, and an
approximation of Bayesian inference.

Source: Gal and Ghahramani, "Dropout as a Bayesian approximation", 2016.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F

xpnet.use("numpy")
xpnet.manual_seed(0)
rng = np.random.default_rng(0)
x = np.concatenate([rng.uniform(-4.0, -1.0, 60), rng.uniform(1.5, 4.0, 60)])
t = np.sin(1.5 * x) + 0.3 * x + 0.1 * rng.normal(size=x.size)
x = x[:, None].astype(np.float32)
t = t[:, None].astype(np.float32)

model = xpnet.Sequential(
    xpnet.Affine(1, 128, rng=0),
    xpnet.ReLU(),
    xpnet.Dropout(0.1),
    xpnet.Affine(128, 128, rng=1),
    xpnet.ReLU(),
    xpnet.Dropout(0.1),
    xpnet.Affine(128, 1, rng=2),
)
optimizer = xpnet.AdamW(model.parameters(), lr=0.003, weight_decay=0.01)


@xpnet.compile
def step(x, t):
    """One step of AdamW on all points; each has masks of its own."""
    loss = F.mean_squared_error(model(x), t)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


for i in range(4001):
    loss = step(x, t)
    if i % 1000 == 0:
        print(f"step {i:4}   mean squared error {float(loss):.3f}")

# %% [markdown]
# After `model.eval()` dropout is off, and the network gives one answer. In training mode it gives as many as are asked
# for: here 300 for each place, computed as one batch, as each sample has masks of its own.

# %%
places = np.linspace(-6.0, 6.0, 241, dtype=np.float32)[:, None]
model.train()
answers = model.forward(np.tile(places, (300, 1))).reshape(300, -1)
model.eval()
single = model.forward(places)[:, 0]
mean, deviation = answers.mean(axis=0), answers.std(axis=0)
for at in (-3.0, 0.0, 3.0, 6.0):
    k = int(np.argmin(np.abs(places[:, 0] - at)))
    print(
        f"at {at:4.1f}   the network says {single[k]:5.2f}, the thin ones {mean[k]:5.2f} ± {deviation[k]:.2f}"
    )

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.5), sharey=True, layout="constrained")
left.plot(places, answers[:60].T, ".", color="#0072b2", alpha=0.12, markersize=2)
left.set_title("60 answers at each place, with dropout left on")
for factor in (1.0, 2.0):
    low, high = mean - factor * deviation, mean + factor * deviation
    right.fill_between(places[:, 0], low, high, color="#0072b2", alpha=0.2, linewidth=0.0)
right.plot(places, single, color="#0072b2", label="dropout off")
right.plot(places, np.sin(1.5 * places) + 0.3 * places, "--", color="0.5", label="true function")
right.set_title("one and two deviations around the mean")
for ax in (left, right):
    ax.plot(x, t, ".", color="#d55e00", markersize=4)
    ax.set(xlabel="x", ylim=(-5.5, 5.5))
    ax.spines[["top", "right"]].set_visible(False)
right.legend(frameon=False)
# Picture: Points in two regions. On the left, the answers at each place as dots, which spread out between the regions
# and outside. On the right, the same as a band, which is thin at the points, and wide where there are none.
plt.show()
