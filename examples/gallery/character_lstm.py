"""An LSTM writes a manual, letter by letter.

The network reads a text one character at a time, and says at each place how probable each next character is. Nobody
tells it what a word is. To be surprised as little as possible, it must learn spelling, then words, then that brackets are
closed. Its state carries what it needs to know of the past. What it has learned is heard by letting it write: draw a
character from its answer, feed it back, and so on.

The text is the help of Python's own language, which every Python has. The loss in bits says how long the text would be
if the network's probabilities compressed it: 8 bits per character is the file as it is.

Sources: Hochreiter and Schmidhuber, "Long short-term memory", 1997; Graves, "Generating sequences with recurrent neural
networks", 2013.
"""

# %%
import math
from pydoc_data.topics import topics

import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F, schedules

xpnet.use("numpy")
rng = np.random.default_rng(0)
text = " ".join(" ".join(topics[key] for key in sorted(topics)).split())
text = "".join(c for c in text if c.isascii())[:300_000]
letters = sorted(set(text))
numbers = np.searchsorted(letters, list(text))
train, test = numbers[:-10_000], numbers[-10_000:]
counts = np.bincount(numbers) / len(numbers)
print(f"without any context: {-np.sum(counts * np.log2(counts + 1e-12)):.1f} bits per character")


class Writer(xpnet.Layer):
    """Scores of the next character at each place."""

    def __init__(self, width):
        self.embed = xpnet.Embedding(len(letters), 32, rng=0)
        self.lstm = xpnet.LSTM(32, width, batch_first=True, rng=1)
        self.scores = xpnet.Affine(width, len(letters), rng=2)

    def forward(self, x):
        states, *_ = self.lstm(self.embed(x))
        return self.scores(states)


model = Writer(160)
optimizer = xpnet.Adam(model.parameters())


@xpnet.compile
def step(x, t):
    """One step of Adam, with gradients that are clipped, as long products explode at times."""
    loss = F.softmax_cross_entropy(model(x), t)
    optimizer.zero_grad()
    loss.backward()
    xpnet.clip_grad_norm(model.parameters(), 1.0)
    optimizer.step()
    return loss


STEPS, LENGTH = 1000, 64
decay = schedules.cosine(STEPS)
losses = []
for i in range(STEPS):
    optimizer.lr = 0.01 * decay(i)
    rows = rng.integers(len(train) - LENGTH, size=(32, 1)) + np.arange(LENGTH + 1)
    losses.append(float(step(train[rows[:, :-1]], train[rows[:, 1:]])))
    if (i + 1) % 200 == 0:
        print(f"step {i + 1:4}   {np.mean(losses[-100:]) / math.log(2):.1f} bits per character")
rows = test[:9984].reshape(-1, 128)
unseen = F.softmax_cross_entropy(model.forward(rows[:, :-1]), rows[:, 1:])
print(f"text that it has not seen: {float(unseen) / math.log(2):.1f}")

# %% [markdown]
# It writes: the last 100 characters are its context. Each character is drawn from its answer, which is sharpened a
# little, as a few wrong letters spoil a word. The colour shows how sure it was.

# %%
written = list(np.searchsorted(letters, list("The value of the expression ")))
sure = [1.0] * len(written)
while len(written) < 560:
    scores = model.forward(np.array([written[-100:]]))[0, -1].astype(float) / 0.6
    share = np.exp(scores - scores.max())
    share /= share.sum()
    written.append(rng.choice(len(letters), p=share))
    sure.append(share[written[-1]])
figure = plt.figure(figsize=(8.6, 2.1))
for k, (number, share) in enumerate(zip(written, sure, strict=True)):
    place = 0.015 + 0.97 * (k % 80) / 80, 0.89 - 0.14 * (k // 80)
    box = {"facecolor": plt.cm.Oranges(0.6 * (1.0 - share)), "edgecolor": "none", "pad": 1.2}
    figure.text(*place, letters[number], family="monospace", fontsize=9, bbox=box)
# Picture: Seven lines of text that the network has written, about expressions and values, with a coloured ground behind
# each letter: pale where it was sure, and orange where it was not, which is mostly at the beginning of a word.
plt.show()
