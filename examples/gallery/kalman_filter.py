"""The noise of a Kalman filter, learned from what it measures.

A Kalman filter combines each measurement of where a car is with where it should be by now, given its speed. How much it
trusts either depends on two numbers, the noise of the measurements and that of the motion, often tuned by hand.

But the filter itself judges them. Before each measurement it predicts a normal distribution of it. The density of all
measurements under these predictions is the likelihood of the two numbers, and it is differentiable: a filter is a
program of sums and products.

Sources: Kalman, "A new approach to linear filtering and prediction problems", 1960; Harvey, *Forecasting, Structural
Time Series Models and the Kalman Filter*, 1989, section 3.4, for the likelihood.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F

xpnet.use("numpy", "float64")
rng = np.random.default_rng(1)
n = 150
speed = np.cumsum(0.3 * rng.normal(size=(n, 2)), axis=0)  # noise of the motion: 0.3 per second
place = np.cumsum(speed, axis=0)
measured = place + 8.0 * rng.normal(size=(n, 2))  # noise of the measurements: 8

# %% [markdown]
# The state is place and speed. The two directions have the same noises, so that they share the filter's covariance P
# and its gain; the mean has a column for each. A step predicts, compares with the measurement, and corrects.

# %%
MOVE = np.array([[1.0, 1.0], [0.0, 1.0]])  # place + speed, speed
BACK = MOVE.T.copy()
START = np.zeros((2, 2))
UNKNOWN = 1e3 * np.eye(2)  # the covariance at first
KICK = np.ones((2, 2))  # a change of speed moves the place as much


def filtered(log_noises, measured):
    """The filter's means, (n, 2, 2), and the logarithm of the density of the measurements."""
    of_motion = F.exp(2.0 * log_noises[0])
    of_measurement = F.exp(2.0 * log_noises[1])
    mean = START
    P = UNKNOWN
    means = []
    total = 0.0
    for k in range(measured.shape[0]):
        mean = F.matmul(MOVE, mean)
        P = F.matmul(F.matmul(MOVE, P), BACK) + of_motion * KICK
        error, variance = measured[k] - mean[0], P[0, 0] + of_measurement
        total = total - 0.5 * F.sum(error**2) / variance - F.log(2.0 * np.pi * variance)
        gain = P[:, 0] / variance
        mean = mean + gain[:, None] * error[None, :]
        P = P - gain[:, None] * P[0][None, :]
        means.append(mean)
    return F.stack(means), total


log_noises = xpnet.Parameter(np.log([3.0, 3.0]))
optimizer = xpnet.Adam([log_noises], lr=0.05)


@xpnet.compile
def step(measured):
    """Make the measurements more likely."""
    loss = -filtered(log_noises, measured)[1]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


for i in range(201):
    loss = float(step(measured))
    if i % 50 == 0:  # they were drawn with 0.3 and 8
        a, b = np.exp(xpnet.to_numpy(log_noises))
        print(f"step {i:3}   log likelihood {-loss:9.2f}   noises {a:.3f}, {b:.3f}")

# %%
tracks = {"measured": measured}
for name, log in (("guessed", np.log([3.0, 3.0])), ("learned", xpnet.to_numpy(log_noises))):
    tracks[f"{name} noises"] = filtered(log, measured)[0][:, 0]
for name, track in tracks.items():
    print(f"{name:16} error {np.sqrt(np.mean(np.sum((track - place) ** 2, axis=1))):5.2f} m")

figure, axes = plt.subplots(1, 2, figsize=(9.0, 4.0), layout="constrained")
for ax, name in zip(axes, ("guessed noises", "learned noises"), strict=True):
    ax.plot(*measured.T, ".", color="0.6", markersize=3, label="measured")
    ax.plot(*place.T, color="#0072b2", linewidth=4.0, alpha=0.35, label="true path")
    ax.plot(*tracks[name].T, color="#d55e00", linewidth=1.3, label="filter")
    ax.set(aspect="equal", xlabel="east, m", ylabel="north, m", title=name)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].legend(frameon=False)
# Picture: A path in the plane, and points scattered around it. With guessed noises the filter's path jumps from point
# to point; with learned ones it lies close to the true path.
plt.show()
