"""The rates of hares and lynxes, found through the solver of their equation.

Prey x multiply and are eaten; predators y starve and are fed:

    x' = a x - b x y
    y' = -c y + d x y

Only noisy counts are known, not the four rates. No formula leads from the counts to the rates, but a program leads from
the rates to the counts: a Runge-Kutta solver. It consists of sums and products, so gradient descent through all of its
steps finds the rates. If a term of the equation is unknown, too, a small network may take its place: see the source.

Source: Rackauckas et al., "Universal differential equations for scientific machine learning", 2020.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F

xpnet.use("numpy", "float64")
np.set_printoptions(precision=3, floatmode="fixed")
rng = np.random.default_rng(0)
H = 0.25
EVERY = 2  # steps of the solver from one count to the next
TRUE = np.array([1.1, 0.4, 0.4, 0.1])  # a, c, b, d

# %% [markdown]
# Both equations are `state * (growth + A state)`, where growth is (a, -c), and A holds -b and d.

# %%
SIGNS = np.array([1.0, -1.0])  # a and c; then those of b and d, which cross over
CROSS = np.array([[0.0, -1.0], [1.0, 0.0]])


def solve(start, rates, steps):
    """The states after 0, 1, ... steps, by Runge and Kutta's method of order four: (steps + 1, 2)."""
    growth, A = SIGNS * rates[:2], CROSS * rates[2:, None]

    def derivative(state):
        return state * (growth + F.matmul(A, state))

    states = [start]
    for _ in range(steps):
        state = states[-1]
        k1 = derivative(state)
        k2 = derivative(state + 0.5 * H * k1)
        k3 = derivative(state + 0.5 * H * k2)
        k4 = derivative(state + H * k3)
        states.append(state + H / 6.0 * (k1 + 2.0 * (k2 + k3) + k4))
    return F.stack(states)


start, steps = np.array([6.0, 2.0]), 60
counts = solve(start, TRUE, steps)[::EVERY] * np.exp(0.08 * rng.normal(size=(31, 2)))

# %% [markdown]
# Over several periods the loss has local minima, as curves of a wrong rhythm meet points here and there. So the fit
# begins with the first third of the counts. Rates are positive: their logarithms are learned. The step is compiled,
# which takes the solver's loop out of Python.

# %%
log_rates = xpnet.Parameter(np.log([0.6, 0.6, 0.6, 0.2]))
optimizer = xpnet.Adam([log_rates], lr=0.04)
fits = [("first guess", solve(start, np.exp(log_rates.data), steps))]
for counted, times in ((10, 200), (30, 1000)):

    @xpnet.compile
    def step(seen, counted=counted):
        """Fit the first counts; the error is relative, so that small counts matter as much."""
        states = solve(start, F.exp(log_rates), counted * EVERY)[::EVERY]
        loss = F.mean((F.log(states) - F.log(seen)) ** 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for i in range(times):
        loss = step(counts[: counted + 1])
        if i % 250 == 0 or i == times - 1:
            rates = np.exp(xpnet.to_numpy(log_rates))
            print(f"{counted} counts, step {i:3}   loss {float(loss):.4f}   rates {rates}")
    fits.append((f"fitted to {counted} counts", solve(start, rates, steps)))
print(f"the rates behind the counts               {TRUE}")

# %%
figure, axes = plt.subplots(1, 3, figsize=(10.0, 3.0), sharey=True, layout="constrained")
t = np.arange(steps + 1) * H
for ax, (title, states) in zip(axes, fits, strict=True):
    for k, name, colour in ((0, "prey", "#0072b2"), (1, "predators", "#d55e00")):
        ax.plot(t, states[:, k], color=colour, label=name)
        ax.plot(t[::EVERY], counts[:, k], "o", color=colour, markersize=3, alpha=0.6)
    ax.set(title=title, xlabel="time", ylim=(0.0, 10.0))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].legend(frameon=False, ncols=2, loc="upper center")
# Picture: Prey and predators by time, counted and computed. The first guess misses the points; fitted to 10 counts, the
# curves are close to all points; fitted to 30, they pass through them.
plt.show()
