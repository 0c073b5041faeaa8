"""A convolutional network learns MNIST: the training toolkit in one sitting.

The loader shifts images at random, in a thread of its own, while the network trains on the last
batch. The learning rate rises and falls once, and gradients are clipped. Four callbacks are called
during the training. The first shows the progress; the second stops at NaN and names the layer; the
third stops when the accuracy no longer improves; the fourth saves the best weights and a
checkpoint. After Ctrl-C, --resume continues from that checkpoint, with the same result as a
training that was not interrupted. The last lines write a page for a browser, with curves,
confusion matrix and mistakes.

    python examples/digits_convolution.py
    python examples/digits_convolution.py --samples 5000 --epochs 2
    python examples/digits_convolution.py --resume examples/out/last.safetensors
"""

from pathlib import Path

from common import begin, positive

import xpnet
from xpnet import functions as F, schedules
from xpnet.data import DataLoader, load_dataset, transforms
from xpnet.metrics import accuracy
from xpnet.report import report
from xpnet.summary import summary
from xpnet.training import Checkpoint, EarlyStopping, ProgressBar, StopOnNaN, Trainer

args, backend, rng = begin(
    __doc__,
    samples=(positive, 60000, "images to train on"),
    epochs=(positive, 4, "passes over them"),
    resume=(Path, None, "a checkpoint to resume from"),
)
(x, t), (x_test, t_test) = load_dataset("mnist")
x = x[: args.samples]
t = t[: args.samples]

model = xpnet.Sequential(
    xpnet.Conv2d(1, 16, 5, padding=2, rng=rng), xpnet.BatchNorm2d(16), xpnet.ReLU(),
    xpnet.MaxPool2d(2),
    xpnet.Conv2d(16, 32, 5, rng=rng), xpnet.BatchNorm2d(32), xpnet.ReLU(),
    xpnet.MaxPool2d(2),
    xpnet.Flatten(), xpnet.Dropout(0.25), xpnet.Affine(32 * 5 * 5, 10, rng=rng),
)  # fmt: skip
print(summary(model, (1, 28, 28)), "\n")

batches = DataLoader(
    x, t, batch_size=min(100, len(x)), shuffle=True, seed=0,
    transform=transforms.RandomShift(2), prefetch=2,
)  # fmt: skip
trainer = Trainer(
    model,
    F.softmax_cross_entropy,
    xpnet.AdamW(model.parameters(), lr=0.004, weight_decay=0.01),
    metrics=[accuracy],
    callbacks=[
        ProgressBar(),
        StopOnNaN(),
        EarlyStopping("test_accuracy", patience=3),
        Checkpoint(args.out, monitor="test_accuracy"),
    ],
    rng=rng,
    schedule=schedules.one_cycle(args.epochs * len(batches)),
    clip=5.0,
)
history = trainer.fit(batches, (x_test, t_test), args.epochs, resume=args.resume)
print(f"\ntest accuracy {history['test_accuracy'][-1]:.2%}")

page = args.out / "digits_convolution.html"
report(page, trainer.predict(x_test), t_test, images=x_test, history=history, title="A convolution")
print(f"page: {page}")
