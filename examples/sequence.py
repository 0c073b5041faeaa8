"""A Transformer learns to reverse a sequence, and shows what it attends to.

The input is sixteen random digits; the output is the same digits, last one first, all at once. One
encoder layer is enough: each place has to attend to the opposite place. For that it needs the
positional encoding. The picture shows the attention after training: a line from corner to corner,
which it has found by itself.

    python examples/sequence.py
    python examples/sequence.py --backend torch --length 24 --steps 600
"""

from common import begin, canvas, positive, save

import xpnet
from xpnet import functions as F

DIGITS = 10
WIDTH = 32


class Reverser(xpnet.Layer):
    """Scores of the digits at each place, computed from all digits."""

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
        """The weights of attention, averaged over the heads: (batch, length, length)."""
        x = self.encoder.norm1(self.places(self.embed(x)))
        return self.encoder.self_attn(x, need_weights=True)[1]


args, backend, rng = begin(
    __doc__,
    length=(positive, 16, "digits in a sequence"),
    steps=(positive, 300, "steps of Adam, each on 64 new sequences"),
)


def random_batch(size):
    """Random digits, and the same digits in reverse."""
    x = rng.integers(0, DIGITS, (size, args.length))
    return backend.asarray(x), backend.asarray(x[:, ::-1].copy())


model = Reverser()
optimizer = xpnet.Adam(model.parameters(), lr=0.003)
test_x, test_t = random_batch(200)
steps = []
rates = []
for step in range(args.steps + 1):
    if step % 20 == 0 or step == args.steps:
        found = F.argmax(model.forward(test_x), axis=-1)  # `forward` on arrays returns an array
        rates.append(float(F.mean(F.astype(found == test_t, backend.dtype))))
        steps.append(step)
        if step % 100 == 0 or step == args.steps:
            print(f"step {step:4}   digits right {rates[-1]:.3f}   (by chance 0.100)")
    x, t = random_batch(64)
    loss = F.softmax_cross_entropy(model(x), t)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

answer = F.argmax(model.forward(test_x[:1, :]), axis=-1)
for name, digits in (("in", test_x), ("out", answer)):
    print(f"{name:4}", *xpnet.to_numpy(digits)[0])

figure, (curve, heatmap) = canvas(columns=2, width=9.0)
curve.plot(steps, rates)
curve.set(xlabel="step", ylabel="digits right", title="A reversed sequence", ylim=(0.0, 1.05))
weights = xpnet.to_numpy(F.mean(model.attention(test_x), axis=0))
image = heatmap.imshow(weights, cmap="Blues", vmin=0.0, zorder=1)
figure.colorbar(image, ax=heatmap, label="share")
heatmap.set(xlabel="place in the input", ylabel="place in the output", title="Attention")
save(figure, args.out / "sequence.png")
