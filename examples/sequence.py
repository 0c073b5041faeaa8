"""A Transformer learns to say a sequence backwards, and shows where it looked.

Sixteen random digits go in; the same digits, last one first, are to come out, all at once. One
encoder layer is enough: each place has to look at the place opposite. That it can only if it knows
the places, which the positional encoding tells. The picture is what it attends to once it has
learned: a line from corner to corner, which nobody has told it of.

    python examples/sequence.py
    python examples/sequence.py --backend torch --length 24 --steps 600
"""

from common import begin, canvas, positive, save

import xpnet
from xpnet import functions as F

DIGITS, WIDTH = 10, 32


class Reverser(xpnet.Layer):
    """A digit for each place, from all digits."""

    def __init__(self):
        self.embed = xpnet.Embedding(DIGITS, WIDTH)
        self.places = xpnet.PositionalEncoding(WIDTH, batch_first=True)
        self.encoder = xpnet.TransformerEncoderLayer(
            WIDTH, nhead=4, dim_feedforward=64, dropout=0.0, norm_first=True, batch_first=True
        )
        self.scores = xpnet.Affine(WIDTH, DIGITS)

    def forward(self, x):
        return self.scores(self.encoder(self.places(self.embed(x))))

    def attention(self, x):
        """How much each place takes of each, the mean over the heads: (batch, length, length)."""
        x = self.encoder.norm1(self.places(self.embed(x)))
        return self.encoder.self_attn(x, need_weights=True)[1]


args, backend, rng = begin(
    __doc__,
    length=(positive, 16, "digits in a sequence"),
    steps=(positive, 300, "steps of Adam, each on 64 new sequences"),
)


def drawn(size):
    """Digits, and the same digits backwards."""
    x = rng.integers(0, DIGITS, (size, args.length))
    return backend.asarray(x), backend.asarray(x[:, ::-1].copy())


model = Reverser()
optimizer = xpnet.Adam(model.parameters(), lr=0.003)
test_x, test_t = drawn(200)
steps, rates = [], []
for step in range(args.steps + 1):
    if step % 20 == 0 or step == args.steps:
        found = F.argmax(model.forward(test_x), axis=-1)
        rates.append(float(F.mean(F.astype(found == test_t, backend.dtype))))
        steps.append(step)
        if step % 100 == 0 or step == args.steps:
            print(f"step {step:4}   digits right {rates[-1]:.3f}   (by chance 0.100)")
    x, t = drawn(64)
    loss = F.softmax_cross_entropy(model(x), t)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

said = F.argmax(model.forward(test_x[:1, :]), axis=-1)
for name, digits in (("in", test_x), ("out", said)):
    print(f"{name:4}", *xpnet.to_numpy(digits)[0])

figure, (curve, looked) = canvas(columns=2, width=9.0)
curve.plot(steps, rates)
curve.set(xlabel="step", ylabel="digits right", title="A sequence backwards", ylim=(0.0, 1.05))
weights = xpnet.to_numpy(F.mean(model.attention(test_x), axis=0))
shown = looked.imshow(weights, cmap="Blues", vmin=0.0, zorder=1)
figure.colorbar(shown, ax=looked, label="share")
looked.set(xlabel="place looked at", ylabel="place of the answer", title="What each looks at")
save(figure, args.out / "sequence.png")
