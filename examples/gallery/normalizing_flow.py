"""A normalizing flow bends a normal distribution into two moons.

How dense are the points at a place, and how are new ones drawn? A *flow* answers both. It is an invertible network f
from the points to a space where they are normally distributed. The density `log p(x) = log N(f(x)) + log |det ∂f/∂x|` is
maximized for the points that are given. To draw a new point, draw from N, and go backwards. RealNVP's *coupling layer*
leaves one coordinate as it is, and scales and shifts the other by functions of the first: it is easily inverted, and
the logarithm of its determinant is that of the scale. The next layer swaps the roles.

Source: Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", 2017.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F

xpnet.use("numpy")
rng = np.random.default_rng(0)


def moons(n):
    """Points on two half circles that reach into each other: (n, 2)."""
    angle = np.pi * rng.uniform(size=n)
    upper = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], axis=1)
    points = np.where(rng.uniform(size=(n, 1)) < 0.5, upper, -upper)
    return (points + 0.07 * rng.normal(size=(n, 2))).astype(np.float32)


class Flow(xpnet.Layer):
    """Coupling layers, which change the first coordinate and the second in turn."""

    def __init__(self, layers):
        self.networks = [xpnet.MLP(1, [48, 48], 2, rng=k) for k in range(layers)]
        for network in self.networks:
            network[-1].weight.data *= 0.0  # at first, the flow leaves all points as they are

    def forward(self, x):
        """Where the points go in the normal space, z, and the logarithm of their density."""
        kept, changed = x[:, :1], x[:, 1:]
        log_det = -np.log(2.0 * np.pi)
        for network in self.networks:
            found = network(kept)
            log_scale = 2.0 * F.tanh(found[:, :1])  # a scale between 1/e² and e²
            kept, changed = changed * F.exp(log_scale) + found[:, 1:], kept
            log_det = log_det + log_scale[:, 0]
        z = F.concat([kept, changed], axis=1)
        return z, log_det - 0.5 * F.sum(z**2, axis=1)

    def inverse(self, z):
        """The points that go there."""
        kept, changed = z[:, :1], z[:, 1:]
        for network in reversed(self.networks):
            found = network(changed)
            kept, changed = changed, (kept - found[:, 1:]) * F.exp(-2.0 * F.tanh(found[:, :1]))
        return F.concat([kept, changed], axis=1)


flow = Flow(8)
optimizer = xpnet.Adam(flow.parameters(), lr=0.001)


@xpnet.compile
def step(x):
    """Make these points more likely."""
    loss = -F.mean(flow(x)[1])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


for k in range(4):
    losses = [float(step(moons(256))) for _ in range(1000)]
    print(f"step {1000 * (k + 1)}   mean log density {-np.mean(losses):.1f}")

# %% [markdown]
# The density integrates to 1 over the plane. A continuous map cannot tear a cloud in two: a thin bridge joins the moons.

# %%
side = np.linspace(-2.5, 2.5, 301, dtype=np.float32)
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
points = moons(2000)
z = flow.forward(points)[0]  # `forward` on arrays returns arrays
print(f"there and back: {np.abs(flow.inverse(z).data - points).max():.1e}")
density = np.exp(flow.forward(plane)[1]).reshape(301, 301)
print(f"the density integrates to {density.sum() * (side[1] - side[0]) ** 2:.3f}")
drawn = flow.inverse(rng.normal(size=(2000, 2)).astype(np.float32)).data

figure, axes = plt.subplots(1, 4, figsize=(11.0, 2.9), layout="constrained")
panels = {"points": points, "where they go": 0.5 * z, "drawn": drawn, "density": drawn}
for ax, title in zip(axes, panels, strict=True):
    ax.scatter(*panels[title].T, s=1.5, color="#d55e00" if title == "drawn" else "0.4")
    ax.set(title=title, xlim=(-1.8, 1.8), ylim=(-1.8, 1.8), xticks=[], yticks=[])
axes[3].imshow(density**0.5, origin="lower", extent=(-2.5, 2.5, -2.5, 2.5), zorder=2)
# Picture: Points on two half moons; the same points as a round cloud; new points, on moons too; the density, with a bridge.
plt.show()
