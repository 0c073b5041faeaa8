"""Logistic regression in a few steps of Newton's method.

Gradient descent knows in which direction the loss falls, but not how far to go. Newton's method also asks how the slope
changes: it goes to the minimum of the parabola that has the loss's value, gradient and second derivatives here,

    w ← w - H⁻¹ g

where H is the matrix of second derivatives, the Hessian. Near the minimum each step doubles the number of correct
digits. For logistic regression, statisticians know the method as *iteratively reweighted least squares*, with a Hessian
derived by hand; here `xpnet.hessian` derives it from the loss as it stands. H has a row and a column for each parameter,
so that the method is for tens to thousands of them, not for a large network. But there, too, H times a vector costs
about as much as two gradients: see `xpnet.hvp`.

At the minimum, H⁻¹ also estimates the covariance of the parameters: how uncertain they are.

Source: Nocedal and Wright, *Numerical Optimization*, 2006, chapter 3.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F

xpnet.use("numpy", "float64")
rng = np.random.default_rng(0)
n = 200
features = rng.normal(size=(n, 2)) * [1.0, 0.25]  # of unequal size, as they often are
x = np.concatenate([features, np.ones((n, 1))], axis=1)  # the last parameter is the bias
t = (x @ [1.5, -4.0, 0.5] + rng.logistic(size=n) > 0.0) * 1.0  # logistic noise: the model is true


def loss(w):
    """The negative logarithm of the likelihood of all labels."""
    return n * F.binary_cross_entropy_with_logits(F.matmul(x, w), t)


gradient = xpnet.grad(loss)
hessian = xpnet.hessian(loss)

# %% [markdown]
# The same start for both methods. Gradient descent has a fixed rate with which the loss always falls: one over the largest
# curvature that the loss can have anywhere, which is a quarter of the largest eigenvalue of `xᵀ x`.

# %%
w = np.zeros(3)
newton = [w]
for step in range(8):
    print(f"step {step}   loss {float(loss(w)):.12f}   slope {np.linalg.norm(gradient(w)):.1e}")
    w = w - np.linalg.solve(hessian(w), gradient(w))
    newton.append(w)

rate = 4.0 / np.linalg.eigvalsh(x.T @ x).max()
descent = [np.zeros(3)]
for _ in range(200):
    descent.append(descent[-1] - rate * gradient(descent[-1]))
lowest = float(loss(w))
print(
    f"\nafter 200 steps of gradient descent: {float(loss(descent[-1])) - lowest:.1e} above the lowest loss"
)

# %%
deviation = np.sqrt(np.diag(np.linalg.inv(hessian(w))))
for name, value, error, true in zip("abc", w, deviation, (1.5, -4.0, 0.5), strict=True):
    print(f"{name} = {value:5.2f} ± {error:.2f}   (the labels were drawn with {true})")

# %% [markdown]
# The right picture shows the loss by the first two parameters, with the third one at its best.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.6), layout="constrained")
for name, path, colour in (("gradient descent", descent, "#0072b2"), ("Newton", newton, "#d55e00")):
    above = [max(float(loss(v)) - lowest, 1e-14) for v in path]
    left.semilogy(above, ".-", color=colour, label=name, markersize=4)
    right.plot(*np.array(path)[:, :2].T, ".-", color=colour, markersize=6, linewidth=1.0)
left.set(xlabel="step", ylabel="loss above the lowest", xlim=(-1, 60), ylim=(1e-14, 1e3))
left.legend(frameon=False)
a, b = np.meshgrid(np.linspace(-0.3, 2.6, 60), np.linspace(-6.5, 0.5, 60))
grid = np.stack([a.ravel(), b.ravel(), np.full(a.size, w[2])], axis=1)
values = np.array([float(loss(v)) for v in grid]).reshape(a.shape)
right.contour(
    a, b, values, levels=lowest + 0.5 * 1.7 ** np.arange(10), colors="0.75", linewidths=0.8
)
right.set(xlabel="a", ylabel="b")
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
# Picture: On the left, the loss by step: Newton's method reaches the limit of rounding after five steps, gradient descent
# goes down a straight line. On the right, both paths on the contour lines of the loss: many short steps, and few long
# ones.
plt.show()
