"""A diffusion model turns noise into a spiral.

It is easy to destroy a picture: add a little noise to it, again and again, until nothing else is left. A *diffusion
model* learns to go back. A network sees a noisy point and how noisy it is, and says which noise was added; its loss is
no more than a mean squared error. To draw a new point, begin with noise, and take away a part of what the network
believes to be noise, from step to step.

Here points are in the plane. Generators of pictures do the same with a million coordinates.

Source: Ho, Jain and Abbeel, "Denoising diffusion probabilistic models", 2020.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F, schedules

xpnet.use("numpy")
rng = np.random.default_rng(0)
STEPS = 100
beta = np.linspace(1e-4, 0.1, STEPS)  # the noise that each step adds
kept = np.cumprod(1.0 - beta)  # what is left of the point's variance after all steps so far
print(f"left of the point after {STEPS} steps: {kept[-1]:.1%}")


def normal(*shape):
    """Normal numbers in float32."""
    return rng.normal(size=shape).astype(np.float32)


def spiral(n):
    """Points on a spiral: (n, 2)."""
    angle = 1.5 * np.pi * (1.0 + 2.0 * rng.uniform(size=n))
    points = np.stack([angle * np.cos(angle), angle * np.sin(angle)], axis=1) / 8.0
    return points.astype(np.float32) + 0.03 * normal(n, 2)


# %% [markdown]
# All steps up to one add up to a single one: `√kept * point + √(1 - kept) * noise`. So each sample of a batch gets a
# step of its own, drawn at random. The network is given the step as sines and cosines of it.


# %%
def seen(x, step):
    """What the network sees: a noisy point, and its step as sines and cosines."""
    phase = step[:, None] / STEPS * np.pi * 2.0 ** np.arange(-1, 4)
    return np.concatenate([x, np.sin(phase), np.cos(phase)], axis=1).astype(np.float32)


model = xpnet.MLP(12, [128, 128, 128], 2, activation="silu", rng=0)
optimizer = xpnet.Adam(model.parameters())


@xpnet.compile
def step(x, noise):
    """One step of Adam, against the error of the noise."""
    loss = F.mean_squared_error(model(x), noise)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


TRAINING = 8000
decay = schedules.cosine(TRAINING)
losses = []
for i in range(TRAINING):
    optimizer.lr = 0.003 * decay(i)
    k = rng.integers(STEPS, size=256)
    noise = normal(256, 2)
    share = kept[k, None]
    x = np.sqrt(share) * spiral(256) + np.sqrt(1.0 - share) * noise
    losses.append(float(step(seen(x, k), noise)))
    if (i + 1) % 2000 == 0:
        print(f"step {i + 1}   mean squared error of the noise {np.mean(losses[-1000:]):.3f}")

# %% [markdown]
# Back from noise: each step takes away the noise that the network sees, and adds a little of new noise.

# %%
x = normal(1500, 2)
states = {STEPS: x}
for k in reversed(range(STEPS)):
    noise = model.forward(seen(x, np.full(len(x), k)))
    x = (x - beta[k] / np.sqrt(1.0 - kept[k]) * noise) / np.sqrt(1.0 - beta[k])
    x = x + (k > 0) * np.sqrt(beta[k]) * normal(*x.shape)
    states[k] = x

figure, axes = plt.subplots(1, 5, figsize=(11.0, 2.5), layout="constrained")
for ax, k in zip(axes, (100, 40, 20, 8, 0), strict=True):
    ax.scatter(*states[k].T, s=1.5, color=plt.cm.viridis(0.85 * (1.0 - k / STEPS)))
    ax.set(title=f"{k} steps to go", xlim=(-2.3, 2.3), ylim=(-2.3, 2.3), xticks=[], yticks=[])
# Picture: Five moments on the way back: first a round cloud of points, then a denser one, in which the arms of a spiral
# appear, and in the end the points lie on the spiral.
plt.show()
