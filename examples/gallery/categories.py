"""Embeddings: what hours and stations have in common.

A table says *station 17, Tuesday, 8 o'clock*, and asks how many bicycles will be taken. These are names, not amounts:
station 17 is not the double of 8.5. One-hot columns treat every name as equally far from every other. An *embedding*
gives each name a point, and learns where: names that behave alike come to lie close together, so that what is learned of
one helps with the other, and the points can be looked at.

The table is simulated, so that it is known what is to be found: forty stations are in a district of homes, of offices or
of parks. The network is not told which. Rush hours depend on the district, and on the weekend.

Source: Guo and Berkhahn, "Entity embeddings of categorical variables", 2016.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F

xpnet.use("numpy")
rng = np.random.default_rng(0)
KINDS = ("homes", "offices", "parks")
kind = rng.integers(3, size=40)  # of each station: hidden
size = rng.uniform(0.7, 1.4, size=40)  # how many people live there: hidden


def peak(hour, at, width):
    """A bump of height 1 around an hour."""
    return np.exp(-(((hour - at) / width) ** 2))


def table(n):
    """Station, weekday (0 is Monday), hour, and the number of bicycles taken."""
    station, day, hour = (rng.integers(k, size=n) for k in (40, 7, 24))
    weekend = day >= 5
    leisure = 12.0 * peak(hour, 15, 4.0) * np.where(weekend, 2.0, 0.7)
    work = np.where(weekend, 0.1, 1.0)
    homes = 30.0 * work * peak(hour, 8, 1.2) + 0.3 * leisure
    offices = 30.0 * work * peak(hour, 17, 1.8) + 0.1 * leisure
    mean = size[station] * np.choose(kind[station], [homes, offices, leisure]) + 1.0
    return np.stack([station, day, hour], axis=1), rng.poisson(mean).astype(np.float32), mean


class Demand(xpnet.Layer):
    """The logarithm of the expected number, from the points of station, weekday and hour."""

    def __init__(self):
        self.embeddings = [xpnet.Embedding(k, 2, rng=k) for k in (40, 7, 24)]
        self.network = xpnet.MLP(6, [64, 64], 1, rng=0)

    def forward(self, names):
        points = [embed(names[:, k]) for k, embed in enumerate(self.embeddings)]
        return self.network(F.concat(points, axis=1))[:, 0]


# %% [markdown]
# Counts are distributed as Poisson found: the negative logarithm of the likelihood, without what does not depend on the
# network, is `mean - count log mean`.

# %%
names, counts, _ = table(40_000)
model = Demand()
optimizer = xpnet.AdamW(model.parameters(), lr=0.005, weight_decay=0.01)


@xpnet.compile
def step(names, counts):
    """One step of AdamW."""
    log_mean = model(names)
    loss = F.mean(F.exp(log_mean) - counts * log_mean)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


test, _, mean = table(5000)
for epoch in range(12):
    for some in np.split(rng.permutation(40_000), 200):
        step(names[some], counts[some])
    if epoch % 3 == 2:
        error = np.mean(np.abs(np.exp(model.forward(test)) - mean))
        print(f"epoch {epoch + 1:2}   error of the mean {error:.2f} bicycles, of {mean.mean():.1f}")

# %%
stations, days, hours = (xpnet.to_numpy(embed.weight) for embed in model.embeddings)
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10.0, 3.4), layout="constrained")
for k, colour in enumerate(("#0072b2", "#d55e00", "#009e73")):
    left.plot(*stations[kind == k].T, "o", color=colour, label=KINDS[k], markersize=5)
left.legend(frameon=False)
for k, name in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")):
    middle.plot(*days[k], "o", color="#d55e00" if k >= 5 else "#0072b2", markersize=4)
    middle.annotate(name, days[k], xytext=(4, 2), textcoords="offset points", fontsize=9)
right.plot(*hours.T, color="0.85")
right.scatter(*hours.T, c=np.arange(24), cmap="viridis", s=150)
for hour in range(24):
    colour = "white" if hour < 16 else "black"
    right.annotate(hour, hours[hour], ha="center", va="center", fontsize=7, color=colour)
for ax, title in ((left, "stations"), (middle, "weekdays"), (right, "hours")):
    ax.set(title=title, xticks=[], yticks=[])
    ax.margins(0.12)
# Picture: Three planes of points. Stations form three groups, which are the hidden districts; the weekdays from Monday to
# Friday lie together, apart from Saturday and Sunday; the hours of the morning and of the evening rush stand out.
plt.show()
