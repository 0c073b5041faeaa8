"""A Gaussian process chooses its own length scale.

A Gaussian process is a distribution over functions. Two values of a function are correlated by a *kernel*, here
`k(x, x') = a² exp(-(x - x')² / 2 l²)`, and each measurement adds noise of variance `s²`. How smooth and how large the
function is, and how noisy the measurements are, is not known beforehand. The *marginal likelihood* decides. It is the
density that the process gives to all measurements y at once, where `K = k(x, x) + s² I`:

    log p(y) = -½ yᵀ K⁻¹ y - ½ log det K - ½ n log 2π

The first term asks for a good fit, the second for a process that does not allow everything. So neither the function that meets
every point wins, nor the flat one, and no measurement is held back to decide between them.

Source: Rasmussen and Williams, *Gaussian Processes for Machine Learning*, 2006, chapter 5.
"""

# %%
import math

import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F

xpnet.use("numpy", "float64")
rng = np.random.default_rng(0)
x = np.sort(np.concatenate([rng.uniform(0.0, 4.0, 25), rng.uniform(6.0, 10.0, 25)]))
y = np.sin(1.5 * x) + 0.2 * rng.normal(size=x.size)  # the noise that it is to find: 0.2

# %% [markdown]
# A Cholesky factor L of `K = L Lᵀ` gives both terms: `log det K` is twice the sum of the logarithms on its diagonal,
# and `yᵀ K⁻¹ y` is the squared length of `L⁻¹ y`. The three unknowns are positive, so their logarithms are learned.


# %%
def kernel(x1, x2, log_size, log_length):
    """The covariance of the function's values at x1 with those at x2."""
    distance = (x1[:, None] - x2[None, :]) / F.exp(log_length)
    return F.exp(2.0 * log_size - 0.5 * distance**2)


def log_likelihood(theta):
    """The logarithm of the density of the measurements, given log a, log l and log s."""
    K = kernel(x, x, theta[0], theta[1]) + F.exp(2.0 * theta[2]) * np.eye(x.size)
    L = F.linalg.cholesky(K)
    z = F.linalg.solve(L, y[:, None])
    log_det = 2.0 * F.sum(F.log(F.linalg.diagonal(L)))
    return -0.5 * (F.sum(z**2) + log_det + x.size * math.log(2.0 * math.pi))


theta = xpnet.Parameter(np.zeros(3))
optimizer = xpnet.Adam([theta], lr=0.05)
for step in range(301):
    loss = -log_likelihood(theta)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        print(f"step {step:3}   log likelihood {-float(loss):8.3f}")
a, length, noise = np.exp(xpnet.to_numpy(theta))
print(f"\nsize {a:.2f}, length scale {length:.2f}, noise {noise:.3f}")

# %% [markdown]
# Given the measurements, the function's values at other places are normally distributed, too. Between 4 and 6, where
# nothing was measured, the process is sure of little, and says so. A length scale that is chosen badly shows what the
# likelihood protects from: with a fifth of it the process follows the noise, and with
# three times as much it misses the bends.


# %%
def posterior(theta, at):
    """The mean and the standard deviation of the function's values at these places."""
    K = kernel(x, x, theta[0], theta[1]) + np.exp(2.0 * theta[2]) * np.eye(x.size)
    across = kernel(at, x, theta[0], theta[1])
    variance = np.exp(2.0 * theta[0]) - np.sum(across * np.linalg.solve(K, across.T).T, axis=1)
    return across @ np.linalg.solve(K, y), np.sqrt(variance)


best = xpnet.to_numpy(theta)
at = np.linspace(-0.5, 10.5, 400)
figure, axes = plt.subplots(1, 3, figsize=(10.0, 3.2), sharey=True, layout="constrained")
for ax, factor in zip(axes, (0.2, 1.0, 3.0), strict=True):
    chosen = best + np.log([1.0, factor, 1.0])
    value = float(log_likelihood(chosen))
    print(f"length scale {math.exp(chosen[1]):.2f}   log likelihood {value:9.2f}")
    mean, deviation = posterior(chosen, at)
    ax.fill_between(at, mean - 2 * deviation, mean + 2 * deviation, color="#0072b2", alpha=0.2)
    ax.plot(at, mean, color="#0072b2")
    ax.plot(x, y, ".", color="#d55e00", markersize=5)
    ax.set_title(f"length scale {math.exp(chosen[1]):.2f}, log likelihood {value:.1f}", fontsize=9)
    ax.set_xlabel("x")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("y")
# Picture: Three fits of the same points. With a short length scale the curve follows the noise; with the one of the
# greatest likelihood it is a smooth wave, with a wide band where nothing was measured; with a long one it misses
# the points.
plt.show()
