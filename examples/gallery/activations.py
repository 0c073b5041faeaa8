"""Activations and their derivatives.

The functions that stand between the layers of a network, with their first and second derivatives. The derivatives are
functions like any other: `xpnet.grad` of a function is a function, and so is its own gradient.

Where the slope is much less than 1, a gradient shrinks in each layer that it passes: it vanishes. That of the sigmoid is at
most a quarter; that of ReLU is 1 for every positive number.

Sources: Glorot, Bordes and Bengio, "Deep sparse rectifier neural networks", 2011; Hendrycks and Gimpel, "Gaussian error
linear units", 2016.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F

functions = {"sigmoid": F.sigmoid, "tanh": F.tanh, "ReLU": F.relu, "GELU": F.gelu}

# %% [markdown]
# Every point depends on its own x only, so the gradient of the sum is the derivative at each point.


# %%
def derivative(f):
    """df/dx at each point."""
    return xpnet.grad(lambda x: F.sum(f(x)))


x = np.linspace(-4.0, 4.0, 201)
for name, f in functions.items():
    print(f"the largest slope of {name:8} {derivative(f)(x).max():.2f}")

# %%
figure, panels = plt.subplots(1, 4, figsize=(10.0, 2.8), sharey=True, layout="constrained")
for axes, (name, f) in zip(panels, functions.items(), strict=True):
    axes.plot(x, np.asarray(f(x)), color="#222222", label="f")
    axes.plot(x, derivative(f)(x), color="#0072b2", label="f'")
    if name != "ReLU":  # its second derivative is 0 wherever it exists
        axes.plot(x, derivative(derivative(f))(x), color="#d55e00", label="f''")
    axes.set_title(name)
    axes.set_ylim(-1.2, 2.0)
    axes.grid(color="#e6e6e6")
panels[0].legend(frameon=False)
# Picture: Four functions, with their slopes and the slopes of their slopes: sigmoid and tanh are flat far from 0, where their
# slopes vanish; ReLU's slope is a step; GELU's is a soft one.
plt.show()
