"""Neural style: a portrait in strokes, and as a mosaic.

What makes the style of a picture? Gatys, Ecker and Bethge answer by the first layers of a network: by how its features
are distributed, wherever in the picture they are. They change the *pixels* of a photograph by gradient descent, until
its features are distributed as those of a painting.

Their network has 80 MB of weights, trained on photographs. But weights need not be trained: here the features are those
of one convolution with *random* weights, drawn anew in each step. As such a layer knows little, more is asked of it: not
only the products of its features, the Gram matrix, but the whole distribution of each feature must be that of the style.
Sorted, its values in both pictures are the same. If this holds for all weights, the patches of 7 × 7 pixels are
distributed as in the style. Nothing says what to keep of the photograph: the descent begins there, and ends nearby.

Sources: Gatys, Ecker and Bethge, "Image style transfer using convolutional neural networks", 2016; for random weights,
Ustyuzhaninov et al., "What does it take to generate natural textures?", 2017; for sorted values, Elnekave and Weiss,
"Generating natural images with direct patch distributions matching", 2022.
"""

# %%
import matplotlib.cbook
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import xpnet
from xpnet import functions as F

xpnet.use("numpy")
rng = np.random.default_rng(0)
with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:  # it comes with matplotlib
    portrait = Image.open(file).crop((96, 0, 416, 384)).resize((100, 120))
photograph = np.asarray(portrait) / 255.0
y, x = np.mgrid[0.0:120.0, 0.0:100.0]


# %%
def strokes():
    """Noise that is smeared along whirls, in the colours of the night."""
    hills = Image.fromarray(rng.normal(size=(6, 5)).astype(np.float32)).resize((100, 120))
    down, right = np.gradient(np.asarray(hills))
    flow = np.stack([-right, down]) / np.hypot(down, right)  # along the contours of the hills
    noise = rng.uniform(size=(60, 50)).repeat(2, 0).repeat(2, 1)
    smeared = np.zeros_like(noise)
    place = np.stack([y, x])
    for _ in range(28):
        i, j = np.rint(place).astype(int) % [[[120]], [[100]]]
        smeared += noise[i, j]
        place += flow[:, i, j]
    rank = smeared.argsort(axis=None).argsort().reshape(120, 100) / 12_000
    night = np.array([[8, 18, 56], [25, 56, 128], [64, 128, 184], [190, 210, 184], [247, 217, 90]])
    return np.stack([np.interp(rank, (0, 0.35, 0.65, 0.9, 1), c) for c in night.T], 2) / 255.0


def mosaic():
    """The cells nearest to each of 180 points, in six colours, with dark joints."""
    points = rng.uniform(0, (120, 100), (180, 2))
    distance = np.hypot(y[..., None] - points[:, 0], x[..., None] - points[:, 1])
    first, second = np.moveaxis(np.sort(distance, axis=2)[..., :2], 2, 0)
    colours = np.array([[2, 4, 9], [4, 9, 19], [20, 6, 4], [5, 14, 15], [24, 17, 6], [25, 24, 20]])
    cells = colours[rng.integers(0, 6, 180)][distance.argmin(axis=2)] / 25.0
    return cells * np.clip((second - first) / 2, 0.05, 1.0)[..., None]


# %%
def transferred(style, steps=220):
    """The photograph in the colours of the same rank in brightness, and then with the patches of the style."""
    ours, theirs = (np.argsort(a @ [0.3, 0.6, 0.1], axis=None) for a in (photograph, style))
    start = np.empty((12_000, 3), np.float32)
    start[ours] = style.reshape(-1, 3)[theirs]
    pixels = xpnet.Parameter(start.T.reshape(1, 3, 120, 100))
    model = style.astype(np.float32).transpose(2, 0, 1)[None]
    optimizer = xpnet.Adam([pixels])

    @xpnet.compile
    def step(weight):
        found, wanted = (F.sort(F.reshape(F.conv(a, weight), (32, -1))) for a in (pixels, model))
        loss = F.mean(abs(found - wanted))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for i in range(steps):
        optimizer.lr = 0.03 * (1.0 - i / steps)
        loss = float(step(rng.normal(size=(32, 3, 7, 7)).astype(np.float32) / 12.0))
        if i in (0, steps - 1):
            print(f"step {i:3}: the distributions differ by {loss:.4f}")
    return np.clip(xpnet.to_numpy(pixels.data)[0].transpose(1, 2, 0), 0.0, 1.0)


figure, (ax, *others) = plt.subplots(1, 3, figsize=(7.2, 2.95), layout="constrained")
ax.imshow(photograph)
for ax, style in zip(others, (strokes(), mosaic()), strict=True):
    ax.imshow(transferred(style))
    ax.inset_axes((0.69, 0.02, 0.3, 0.3)).imshow(style)
plt.setp(figure.findobj(plt.Axes), xticks=[], yticks=[])
# Picture: A photograph of an admiral with glasses; the same in blue and yellow strokes that follow the lines of the face;
# and as a mosaic of coloured stones with dark joints. In the corners are the two styles, in which there is no face.
plt.show()
