"""The heat equation, solved by a network that sees no solution.

A rod of length 1 is as warm as `sin(πx) + ½ sin(3πx)`, and its ends are kept at 0. Heat flows by `u_t = α u_xx`. A
*physics-informed* network u(x, t) is trained to satisfy this: its loss is the mean square of `u_t - α u_xx` at points
drawn in the rectangle of x and t. Nobody gives it values of u, except at the beginning and at the ends, which it
satisfies by construction. The derivatives are those of the network with respect to its inputs, exact at every
point, and the loss is differentiated through them.

The solution is known here, so that the error can be measured: each sine decays by itself, the faster the shorter its
wave is. A network has no grid, and so the same program solves equations in several dimensions and in odd regions; on
a rod, finite differences are faster by far.

Source: Raissi, Perdikaris and Karniadakis, "Physics-informed neural networks", 2019.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F, schedules

xpnet.use("numpy", "float64")
ALPHA = 0.05
rng = np.random.default_rng(0)
model = xpnet.MLP(2, [32, 32, 32], 1, activation="tanh", rng=0)


def exact(x, t):
    """Two waves, each with its own decay."""
    first = np.sin(np.pi * x) * np.exp(-ALPHA * np.pi**2 * t)
    return first + 0.5 * np.sin(3 * np.pi * x) * np.exp(-ALPHA * (3 * np.pi) ** 2 * t)


# %% [markdown]
# At t = 0 the network's part is multiplied by 0, and also at both ends, whatever its parameters are.


# %%
def u(x, t):
    """The temperature at x and t, each of shape (points,)."""
    start = F.sin(np.pi * x) + 0.5 * F.sin(3 * np.pi * x)
    network = model(F.stack([2.0 * x - 1.0, 2.0 * t - 1.0], axis=1))[:, 0]
    return start + t * x * (1.0 - x) * network


def slope(f, by):
    """The derivative at each point: that of the sum, since f depends at a point on that point only."""
    return xpnet.grad(lambda x, t: F.sum(f(x, t)), argnums=by)


u_t = slope(u, 1)
u_xx = slope(slope(u, 0), 0)
optimizer = xpnet.Adam(model.parameters())


@xpnet.compile
def step(x, t):
    """One step of Adam, against the residual of the equation at these points."""
    loss = F.mean((u_t(x, t) - ALPHA * u_xx(x, t)) ** 2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


STEPS = 4000
decay = schedules.cosine(STEPS)
for i in range(STEPS):
    optimizer.lr = 0.005 * decay(i)
    loss = step(rng.uniform(size=256), rng.uniform(size=256))
    if i % 800 == 0 or i == STEPS - 1:
        print(f"step {i:4}   mean squared residual {float(loss):.2e}")

# %%
x, t = np.meshgrid(np.linspace(0.0, 1.0, 101), np.linspace(0.0, 1.0, 101))
with xpnet.no_grad():
    found = xpnet.to_numpy(u(x.ravel(), t.ravel())).reshape(x.shape)
error = np.abs(found - exact(x, t))
print(f"largest error of u: {error.max():.4f}, where u is between 0 and {found.max():.2f}")

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10.5, 3.2), layout="constrained")
image = left.imshow(found.T, origin="lower", extent=(0, 1, 0, 1), cmap="inferno", aspect="auto")
figure.colorbar(image, ax=left)
left.set(xlabel="t", ylabel="x", title="temperature u, by the network")
image = middle.imshow(error.T, origin="lower", extent=(0, 1, 0, 1), cmap="cividis", aspect="auto")
figure.colorbar(image, ax=middle)
middle.set(xlabel="t", ylabel="x", title="its error")
for row, colour in zip((0, 10, 30, 100), ("#d55e00", "#e69f00", "#56b4e9", "#0072b2"), strict=True):
    right.plot(x[row], exact(x, t)[row], color=colour, linewidth=5.0, alpha=0.3)
    right.plot(x[row], found[row], color=colour, label=f"t = {t[row, 0]:.1f}")
right.set(xlabel="x", ylabel="u", title="network, and formula (wide)")
right.legend(frameon=False)
right.spines[["top", "right"]].set_visible(False)
# Picture: The temperature of the rod by place and time, as the network has it; its error; and the temperature at four
# times, where the curves of the network lie on those of the formula.
plt.show()
