"""A variational autoencoder writes digits between digits.

An *encoder* turns a picture into two numbers z, and a *decoder* turns z into a picture again. A plain autoencoder learns
both by asking for the same picture, but leaves holes between its codes: what is decoded there is no digit. A
*variational* one encodes a picture as a normal distribution of z, draws from it, and is charged for the distance of
that distribution from the standard normal one. So all codes lie around 0, close together, and every z decodes to
something like a digit. The loss, reconstruction plus distance, bounds the negative logarithm of the picture's density.

A draw from a distribution has no derivative with respect to its mean and its deviation; but
`z = mean + deviation * noise`, with noise drawn elsewhere, has.

Source: Kingma and Welling, "Auto-encoding variational Bayes", 2014.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F
from xpnet.data import load_mnist

xpnet.use("numpy")
rng = np.random.default_rng(0)
(images, _), (test_images, test_labels) = load_mnist()
images = images[:20_000]
print(images.shape, images.dtype, images.min(), images.max())

# %% [markdown]
# The distance of a normal distribution with mean m and deviation s from the standard one, the Kullback-Leibler
# divergence, has a formula: `½ (m² + s² - 1 - log s²)`, summed over the two numbers.


# %%
class Autoencoder(xpnet.Layer):
    """An encoder to the mean and the logarithm of the variance, and a decoder to logits of pixels."""

    def __init__(self):
        self.encoder = xpnet.MLP(784, [256, 128], 4, rng=0)
        self.decoder = xpnet.MLP(2, [128, 256], 784, rng=1)

    def encode(self, x):
        found = self.encoder(x)
        return found[:, :2], found[:, 2:]

    def forward(self, x, noise):
        """The two parts of the loss, per picture: reconstruction and distance, in nats."""
        mean, log_variance = self.encode(x)
        z = mean + F.exp(0.5 * log_variance) * noise
        pixels = 784 * F.binary_cross_entropy_with_logits(self.decoder(z), x)
        distance = 0.5 * F.sum(mean**2 + F.exp(log_variance) - 1.0 - log_variance, axis=1)
        return pixels, F.mean(distance)


model = Autoencoder()
optimizer = xpnet.Adam(model.parameters(), lr=0.002)


@xpnet.compile
def step(x, noise):
    """One step of Adam."""
    pixels, distance = model(x, noise)
    loss = pixels + distance
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return pixels, distance


for epoch in range(15):
    order = rng.permutation(len(images))
    parts = []
    for batch in np.split(order, len(images) // 100):
        noise = rng.normal(size=(100, 2)).astype(np.float32)
        parts.append([float(part) for part in step(images[batch], noise)])
    if epoch % 2 == 0:
        pixels, distance = np.mean(parts, axis=0)
        print(f"epoch {epoch + 1:2}   pixels {pixels:6.1f}   distance {distance:.2f}")

# %% [markdown]
# On the left, pictures of the test set, at the means of their codes, whose labels the encoder was never told. On
# the right, what the decoder makes of a grid of codes: from each digit a smooth path leads to its neighbours.

# %%
with xpnet.no_grad():
    codes = xpnet.to_numpy(model.encode(test_images[:3000])[0])
    side = np.linspace(-2.2, 2.2, 15, dtype=np.float32)
    grid = np.stack(np.meshgrid(side, -side), axis=-1).reshape(-1, 2)
    drawn = xpnet.to_numpy(F.sigmoid(model.decoder(grid)))
figure, (left, right) = plt.subplots(1, 2, figsize=(8.0, 3.6), layout="constrained")
dots = left.scatter(*codes.T, c=test_labels[:3000], s=3, cmap="tab10", vmin=-0.5, vmax=9.5)
figure.colorbar(dots, ax=left, ticks=range(10))
left.set(xlabel="z₁", ylabel="z₂", xlim=(-4, 4), ylim=(-4, 4), title="codes of test pictures")
picture = drawn.reshape(15, 15, 28, 28).transpose(0, 2, 1, 3).reshape(420, 420)
right.imshow(picture, cmap="gray", extent=(-2.35, 2.35, -2.35, 2.35))
right.set(xlabel="z₁", ylabel="z₂", title="what codes decode to")
# Picture: On the left, codes as points in the plane, in ten colours: each digit has a region of its own, and some
# overlap. On the right, a grid of 15 by 15 decoded pictures, in which digits turn into each other.
plt.show()
