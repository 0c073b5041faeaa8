"""A picture as a network: why coordinates need sines.

A network from the coordinates of a pixel to its colour *is* the picture, at any resolution. Scenes in three dimensions
and sounds are kept in the same way. But a plain network of x and y draws a blur: it learns slow changes first, and fast
ones hardly at all, which is known as its *spectral bias*. The remedy is one line. Before the network, the coordinates
are mapped to sines and cosines of many random frequencies,

    x → sin(2π B x), cos(2π B x)

with a fixed matrix B of normal numbers. Their deviation sets how fine the details may be: if it is too small, the
picture is blurred, and if it is too large, it is grainy.

Source: Tancik et al., "Fourier features let networks learn high frequency functions in low dimensional domains", 2020.
"""

# %%
import matplotlib.cbook
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import xpnet
from xpnet import functions as F, schedules

xpnet.use("numpy")
with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:  # it comes with matplotlib
    portrait = Image.open(file).crop((96, 0, 416, 384)).resize((100, 120))
picture = np.asarray(portrait, dtype=np.float32) / 255.0
y, x = np.mgrid[0.0:1.2:120j, 0.0:1.0:100j]
places = np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)
colours = picture.reshape(-1, 3)
print(f"{len(places)} pixels")


def mapped(places, deviation):
    """The coordinates, or 128 sines and cosines of them."""
    if deviation == 0.0:
        return 2.0 * places - 1.0
    B = deviation * np.random.default_rng(0).normal(size=(2, 64))
    phase = 2.0 * np.pi * places @ B
    return np.concatenate([np.sin(phase), np.cos(phase)], axis=1).astype(np.float32)


# %% [markdown]
# Every second pixel of a chessboard is learned; the others are what the network has to guess. The quality is the peak
# signal-to-noise ratio, -10 log₁₀ of the mean squared error: the higher, the better.


# %%
def drawn(deviation, steps=800):
    """The picture that a network has learned, and its quality at the pixels that it has not seen."""
    inputs = mapped(places, deviation)
    learned = np.indices((120, 100)).sum(axis=0).ravel() % 2 == 0
    given, wanted = inputs[learned], colours[learned]
    model = xpnet.MLP(inputs.shape[1], [128, 128], 3, rng=0)
    optimizer = xpnet.Adam(model.parameters())
    rate = schedules.cosine(steps)
    rng = np.random.default_rng(0)

    @xpnet.compile
    def step(x, t):
        loss = F.mean_squared_error(F.sigmoid(model(x)), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for i in range(steps):
        optimizer.lr = 0.005 * rate(i)
        some = rng.integers(len(given), size=1000)
        step(given[some], wanted[some])
    found = xpnet.to_numpy(F.sigmoid(model(inputs)))
    quality = -10.0 * np.log10(np.mean((found - colours)[~learned] ** 2))
    return found.reshape(120, 100, 3), quality


figure, axes = plt.subplots(1, 5, figsize=(8.0, 2.05), layout="constrained")
axes[0].imshow(picture)
axes[0].set_title("picture", fontsize=8)
for ax, deviation in zip(axes[1:], (0.0, 1.0, 4.0, 20.0), strict=True):
    found, quality = drawn(deviation)
    name = f"frequencies {deviation:g}" if deviation else "coordinates"
    print(f"{name:16} {quality:.1f} dB at pixels that it has not seen")
    ax.imshow(found)
    ax.set_title(f"{name}: {quality:.1f} dB", fontsize=8)
for ax in axes:
    ax.axis("off")
# Picture: A portrait of Grace Hopper in uniform, and four networks that have learned it: from the coordinates alone, a
# smear; with low frequencies, a blur; with medium ones, a face with its details; with high ones, grain.
plt.show()
