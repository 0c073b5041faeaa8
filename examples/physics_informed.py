"""A physics-informed network: it learns a solution from the equation alone, without any data.

A weight on a spring is pulled up by 1 and released. Its height u at time t satisfies
u'' + 0.3 u' + u = 0, with u(0) = 1 and u'(0) = 0. The network's solution satisfies the two initial
conditions by construction. The loss is the mean square of the left side of the equation, its
residual. `grad` computes the first and second derivatives with respect to t in it, and `backward`
differentiates the loss, and so these derivatives, with respect to the network's parameters. The
formula for u is only used to check the result: the largest error is below 1e-3.

    python examples/physics_informed.py
    python examples/physics_informed.py --backend torch --steps 4000
"""

import math

import numpy as np
from common import begin, canvas, positive, save

import xpnet
from xpnet import functions as F
from xpnet.autodiff import grad

DAMPING = 0.3
END = 2.0 * math.pi

args, backend, _ = begin(__doc__, dtype="float64", steps=(positive, 2000, "steps of Adam"))
model = xpnet.MLP(1, [32, 32], 1, activation="tanh")


def u(t):
    """The network's solution for t of shape (points, 1). At t = 0 it is 1 with slope 0."""
    scaled = t * (2.0 / END) - 1.0  # from -1 to 1, where tanh is not yet flat
    return 1.0 + model(scaled) * F.tanh(0.5 * t**2)  # the last factor and its slope are 0 at t = 0


def derivative(f):
    """df/dt at each point: the gradient of the sum, since f(t) depends on t at that point only."""
    return grad(lambda t: F.sum(f(t)))


def exact(t):
    """The formula for u."""
    a = DAMPING / 2.0
    w = math.sqrt(1.0 - a**2)
    return np.exp(-a * t) * (np.cos(w * t) + a / w * np.sin(w * t))


velocity = derivative(u)
acceleration = derivative(velocity)

points = backend.asarray(np.linspace(0.0, END, 64)[:, None])
optimizer = xpnet.Adam(model.parameters())
losses = []
for step in range(args.steps):
    residual = acceleration(points) + DAMPING * velocity(points) + u(points)
    loss = F.mean(residual**2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.lr = 0.01 * (1.0 + math.cos(math.pi * step / args.steps))  # decreases smoothly to 0
    optimizer.step()
    losses.append(float(loss))
    if step % 200 == 0 or step == args.steps - 1:
        print(f"step {step:5}   mean squared residual {losses[-1]:.2e}")

fine = np.linspace(0.0, END, 1000)[:, None]
with xpnet.no_grad():
    found = xpnet.to_numpy(u(backend.asarray(fine)))
print(f"\nlargest error of u: {abs(found - exact(fine)).max():.1e}")

figure, (ax, ax2) = canvas(columns=2, width=9.0)
ax.plot(fine, exact(fine), color="0.7", linewidth=5.0, label="formula")
ax.plot(fine, found, label="network")
ax.set(xlabel="t", ylabel="u", title="u'' + 0.3 u' + u = 0")
ax2.semilogy(losses, marker="." if len(losses) == 1 else None)
ax2.set(xlabel="step", ylabel="mean squared residual", title="Residual of the equation")
save(figure, args.out / "physics_informed.png")
