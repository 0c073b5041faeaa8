"""One question, several answers: a mixture density network.

A robot's arm of two parts reaches a point with its elbow up or down. Which angle of the elbow is right? A network that
is trained by the squared error answers with the mean of both, which reaches nothing. The mean is the right answer to
the wrong question: one has to ask for the *distribution* of the angle.

A mixture density network answers with three normal distributions, each with a weight, a mean and a deviation, which all
depend on the input. Its loss is the negative logarithm of the density of the answers that are given. It finds by itself
where there are three answers and where there is one.

Source: Bishop, "Mixture density networks", 1994, whose example this is.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F, schedules

xpnet.use("numpy")
rng = np.random.default_rng(0)


def samples(n):
    """Bishop's inverse problem: x is a function of t, with noise, but t is not one of x."""
    t = rng.uniform(0.0, 1.0, size=n)
    x = t + 0.3 * np.sin(2.0 * np.pi * t) + rng.uniform(-0.1, 0.1, size=n)
    return x.astype(np.float32)[:, None], t.astype(np.float32)[:, None]


def log_density(found, t):
    """The logarithm of the mixture's density at t, from the network's nine numbers: (n,)."""
    log_weight = F.log_softmax(found[:, :3], axis=1)
    mean, log_deviation = found[:, 3:6], found[:, 6:]
    z = (t - mean) / F.exp(log_deviation)
    return F.logsumexp(log_weight - 0.5 * z**2 - log_deviation - 0.5 * np.log(2.0 * np.pi), axis=1)


# %% [markdown]
# Two networks of the same size: one answers with a number, the other with a mixture.


# %%
def trained(outputs, loss_of, steps=8000):
    """A network, trained against this loss."""
    model = xpnet.MLP(1, [64, 64], outputs, activation="tanh", rng=0)
    optimizer = xpnet.Adam(model.parameters())

    @xpnet.compile
    def step(x, t):
        loss = loss_of(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    rate = schedules.one_cycle(steps)
    for i in range(steps):
        optimizer.lr = 0.01 * rate(i)
        step(*samples(256))
    return model


single = trained(1, F.mean_squared_error)
mixture = trained(9, lambda found, t: -F.mean(log_density(found, t)))
x, t = samples(5000)
error = float(np.sqrt(np.mean((single.forward(x) - t) ** 2)))
print(f"error of one answer: {error:.3f}")
of_one = -np.log(error) - 0.5 * np.log(2.0 * np.pi) - 0.5  # of a normal distribution around it
of_three = np.mean(log_density(mixture.forward(x), t))
print(f"mean log density of the answers: {of_one:.2f} with one, {of_three:.2f} with three")

# %%
side = np.linspace(-0.1, 1.1, 200, dtype=np.float32)
question, answer = np.meshgrid(side, side)
density = log_density(mixture.forward(question.reshape(-1, 1)), answer.reshape(-1, 1))
figure, axes = plt.subplots(1, 3, figsize=(10.4, 3.4), layout="constrained")
axes[0].plot(x[:1500], t[:1500], ".", color="0.75", markersize=2)
axes[0].plot(side, single.forward(side[:, None]), color="#d55e00", linewidth=2.0)
axes[0].set(title="one answer: the mean")
shown = np.minimum(np.exp(density), 8.0).reshape(200, 200)
axes[1].imshow(shown, origin="lower", extent=(-0.1, 1.1, -0.1, 1.1), cmap="viridis", aspect="auto")
axes[1].set(title="density of the answer")
weight = xpnet.to_numpy(F.softmax(mixture.forward(side[:, None])[:, :3], axis=1))
axes[2].stackplot(side, weight.T, colors=("#0072b2", "#d55e00", "#009e73"), alpha=0.8)
axes[2].set(title="weights of the three", ylim=(0.0, 1.0))
for ax in axes:
    ax.set(xlabel="x", xlim=(-0.1, 1.1))
# Picture: On the left, points on a curve shaped like an S, and a line through their middle, where there are no points. In
# the centre, the density of the mixture, which follows all three branches of the S. On the right, the weights of the three
# parts by x: one of them has nearly all at both ends, and three share it between.
plt.show()
