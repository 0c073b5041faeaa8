"""A Transformer learns to look back: induction heads.

A round of letters is drawn at random, and then repeated. The first round cannot be guessed. In the second one, the next
letter is known to whoever finds where the present letter stood before, and looks one place further. As every sequence
is new, the network has to learn a *procedure*, which language models are thought to use on what is in their prompt.

Two layers of attention find it. The first one notes at each place which letter came before; the second looks for the
place with the note "after this letter". One layer alone is right less often.

Source: Olsson et al., "In-context learning and induction heads", 2022; for attention, Vaswani et al., 2017.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import xpnet
from xpnet import functions as F

xpnet.use("numpy")
rng = np.random.default_rng(0)
LETTERS, LENGTH, WIDTH = 20, 32, 64


def sequences(n):
    """Random rounds of 8 to 15 different letters, each repeated to the end; and the periods."""
    period = rng.integers(8, 16, size=n)
    rounds = rng.permuted(np.tile(np.arange(LETTERS), (n, 1)), axis=1)
    return np.take_along_axis(rounds, np.arange(LENGTH + 1) % period[:, None], axis=1), period


class Transformer(xpnet.Layer):
    """Layers of attention, each of which adds to what is known at a place."""

    def __init__(self, n):
        self.embed = xpnet.Embedding(LETTERS, WIDTH, rng=0)
        self.place = xpnet.Embedding(LENGTH, WIDTH, rng=1)
        self.looks = [xpnet.MultiheadAttention(WIDTH, 4, batch_first=True, rng=k) for k in range(n)]
        self.norms = [xpnet.LayerNorm(WIDTH) for _ in range(n + 1)]
        self.scores = xpnet.Affine(WIDTH, LETTERS, rng=2)

    def forward(self, x):
        """Scores of the next letter at each place, and each layer's attention, by head."""
        y = self.embed(x) + self.place.weight
        shares = []
        for norm, attention in zip(self.norms[1:], self.looks, strict=True):
            shown = {"need_weights": True, "average_attn_weights": False}
            found, share = attention(norm(y), is_causal=True, **shown)
            y = y + found
            shares.append(share)
        return self.scores(self.norms[0](y)), shares


# %%
def trained(layers, steps=1500):
    """A network with so many layers."""
    model = Transformer(layers)
    optimizer = xpnet.Adam(model.parameters(), lr=0.003)

    @xpnet.compile
    def step(x, t):
        loss = F.softmax_cross_entropy(model(x)[0], t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for i in range(steps):
        x, _ = sequences(32)
        loss = step(x[:, :-1], x[:, 1:])
        if (i + 1) % 500 == 0:
            print(f"layers: {layers}, step {i + 1}   loss {float(loss):.3f}")
    return model


x, period = sequences(500)
rates = {}
for layers in (1, 2):
    model = trained(layers)
    scores, shares = model(x[:, :-1])
    right = np.argmax(xpnet.to_numpy(scores), axis=-1) == x[:, 1:]
    later = np.arange(1, LENGTH + 1) - period[:, None]  # places since the second round began
    rates[layers] = [np.mean(right[later == k]) for k in range(-7, 17)]
    print(f"layers: {layers}, {np.mean(right[later > 0]):.1%} of the second round right")

# %%
figure, (left, *others) = plt.subplots(1, 3, figsize=(10.4, 3.4), layout="constrained")
for (layers, rate), colour in zip(rates.items(), ("#8a8a8a", "#d55e00"), strict=True):
    left.plot(range(-7, 17), rate, ".-", color=colour, label=f"layers: {layers}")
left.set(xlabel="places since the second round began", ylabel="letters right", ylim=(0.0, 1.02))
left.legend(frameon=False)
for k, ax in enumerate(others):
    ax.imshow(np.max(xpnet.to_numpy(shares[k])[0], axis=0), cmap="Blues", vmin=0.0)
    ax.set(
        title=f"attention of layer {k + 1}, period {period[0]}", xlabel="looks at", ylabel="place"
    )
# Picture: On the left, letters right by place: with two layers, all from the second letter of the second round on. In the
# middle, the first layer looks one place back. On the right, the second layer's lines are one period away.
plt.show()
