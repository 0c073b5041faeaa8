"""Embeddings: what hours and stations have in common.

A table says *station 17, Tuesday, 8 o'clock*, and asks how many bicycles will be taken. These are names, not amounts. An
*embedding* gives each name a point, and learns where: names that behave alike come to lie close together, so that what
is learned of one helps with the other, and the points can be looked at.

The table is simulated, so that it is known what is to be found: each of forty stations is in a district of homes, of
offices or of parks. The network is not told which. Rush hours depend on the district, and on the weekend.

Source: Guo and Berkhahn, "Entity embeddings of categorical variables", 2016.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F

xpnet.use("numpy")
rng = np.random.default_rng(0)
kind = rng.integers(3, size=40)  # of each station, homes, offices or parks: hidden
size = rng.uniform(0.7, 1.4, size=40)  # how many people live there: hidden


def table(n):
    """Station, weekday (0 is Monday), hour, and the number of bicycles taken."""
    station, day, hour = (rng.integers(k, size=n) for k in (40, 7, 24))
    weekend = day >= 5
    at, width = np.array([[8.0, 15.0, 17.0], [1.2, 4.0, 1.8]])[:, :, None]
    morning, afternoon, evening = np.exp(-(((hour - at) / width) ** 2))
    leisure = 12.0 * afternoon * np.where(weekend, 2.0, 0.7)
    work = np.where(weekend, 3.0, 30.0)
    homes, offices = work * morning + 0.3 * leisure, work * evening + 0.1 * leisure
    mean = size[station] * np.choose(kind[station], [homes, offices, leisure]) + 1.0
    return np.stack([station, day, hour], axis=1), rng.poisson(mean).astype(np.float32), mean


class Demand(xpnet.Layer):
    """The logarithm of the expected number, from the points of station, weekday and hour."""

    def __init__(self):
        self.embeddings = [xpnet.Embedding(k, 2, rng=k) for k in (40, 7, 24)]
        for embed in self.embeddings:
            embed.weight.data *= 0.1  # at first, all names are nearly the same
        self.network = xpnet.MLP(6, [64, 64], 1, rng=0)

    def forward(self, names):
        points = [embed(names[:, k]) for k, embed in enumerate(self.embeddings)]
        return self.network(F.concat(points, axis=1))[:, 0]


# %% [markdown]
# Counts have a Poisson distribution. The negative logarithm of the likelihood is `mean - count log mean`, and a constant.

# %%
names, counts, _ = table(40_000)
model = Demand()
optimizer = xpnet.Adam(model.parameters(), lr=0.005)


@xpnet.compile
def step(names, counts):
    """One step of Adam."""
    log_mean = model(names)
    loss = F.mean(F.exp(log_mean) - counts * log_mean)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


test, _, mean = table(5000)
for epoch in range(20):
    for some in np.split(rng.permutation(40_000), 200):
        step(names[some], counts[some])
    if epoch % 5 == 4:
        error = np.mean(np.abs(np.exp(xpnet.to_numpy(model(test))) - mean))
        print(f"epoch {epoch + 1:2}   error of the mean {error:.2f} bicycles, of {mean.mean():.1f}")

# %%
stations, days, hours = (xpnet.to_numpy(embed.weight) for embed in model.embeddings)
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10.0, 3.4), layout="constrained")
districts = {"homes": "#0072b2", "offices": "#d55e00", "parks": "#009e73"}
for k, (name, colour) in enumerate(districts.items()):
    left.scatter(*stations[kind == k].T, s=40 * size[kind == k] ** 2, color=colour, label=name)
left.legend(frameon=False)
for name, some, colour in (("Mon to Fri", days[:5], "#0072b2"), ("Sat, Sun", days[5:], "#d55e00")):
    middle.plot(*some.T, "o", color=colour, label=name)
middle.legend(frameon=False, loc="center")
right.plot(*hours.T, color="0.85")
right.scatter(*hours.T, c=np.arange(24), cmap="viridis", s=150)
for k, colour in enumerate(["white"] * 16 + ["black"] * 8):
    right.annotate(k, hours[k], ha="center", va="center", fontsize=7, color=colour)
for ax, title in ((left, "stations"), (middle, "weekdays"), (right, "hours")):
    ax.set(title=title, xticks=[], yticks=[])
    ax.margins(0.12)
# Picture: Three planes of points. Stations form three lines, which are the hidden districts, along which they are ordered by
# size; Monday to Friday lie together, apart from Saturday and Sunday; the hours of the night lie in the middle.
plt.show()
