"""A training that can be killed and resumed, and a process that starts it quickly.

The process imports xpnet, and then for each line "FOLDER" that it reads it forks a child that
trains in that folder; it prints the child's number, and, when it has ended, how.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import xpnet
from xpnet import functions as F, layers
from xpnet.data import DataLoader
from xpnet.metrics import F1, accuracy
from xpnet.optimizers import optimizer
from xpnet.schedules import cosine
from xpnet.training import Checkpoint, EarlyStopping, ReduceOnPlateau, Trainer, checkpoint

EPOCHS, CLOCKS = 8, ("seconds", "samples_per_s")


def data():
    """Three clouds in four dimensions, in part the one in the other."""
    rng = np.random.default_rng(7)
    t = np.arange(130) % 3
    return (np.eye(3, 4)[t] + rng.normal(0, 0.6, (130, 4))).astype("float32"), t


def loader(seed=1):
    """The same in batches, in an order and with noise of the seed, by a thread."""

    def noisy(x, rng):
        return x + rng.normal(0, 0.1, x.shape).astype("float32")

    options = {"batch_size": 20, "shuffle": True, "last": "fill", "prefetch": 2}
    return DataLoader(*data(), seed=seed, transform=noisy, **options)


def make(folder, seed=1, every_steps=1, rule="adam", precision="float16"):
    """A trainer with everything that has a state; `seed` is not the same after a restart."""
    xpnet.manual_seed(seed)
    model = layers.Sequential(
        layers.Affine(4, 8, rng=seed), layers.BatchNorm1d(8), layers.ReLU(),
        layers.Dropout(0.2, rng=seed + 1), layers.Dropout(0.1), layers.Affine(8, 3, rng=seed + 2),
    )  # fmt: skip
    return Trainer(
        model, F.softmax_cross_entropy, optimizer(rule, model.parameters(), 0.02),
        [accuracy, F1(average="macro")],
        [
            Checkpoint(folder, every_steps=every_steps), EarlyStopping(patience=6),
            ReduceOnPlateau(patience=1, factor=0.7),
        ],
        rng=seed + 3, schedule=cosine(EPOCHS * 4), clip=1.0, average=0.9, log_every=0.01,
        accumulate=2, precision=precision,
    )  # fmt: skip


def fit(folder, seed=1, epochs=EPOCHS, train=None, **options):
    """Train from the beginning, or from where a process before was killed."""
    last = Path(folder) / Checkpoint.LAST
    seed = seed if last.exists() else 1
    trainer, train = make(folder, seed, **options), train or loader(seed)
    trainer.fit(train, data(), epochs, 20, resume=last if last.exists() else None)
    return trainer


def without_clocks(state):
    """The content of a checkpoint without measured times."""
    position = {**state["position"], "seconds": None}
    rows = [{k: v for k, v in row.items() if k not in CLOCKS} for row in state["history"]["rows"]]
    return {**state, "position": position, "history": {"rows": rows}}


def dump(trainer):
    """All that a trainer is, as a text and bytes that show every bit.

    For tests of what must not change it: two dumps are equal exactly if nothing has changed.
    """
    text, arrays = checkpoint.flattened(trainer.state_dict())
    own = {name: id(value) for name, value in vars(trainer).items()}
    own |= {f"learner.{name}": id(value) for name, value in vars(trainer.learner).items()}
    own["learner.updating"] = trainer.learner.updating
    held = [(id(p), id(p.data)) for p in trainer.model.parameters()]
    attributes = {name: repr(vars(c)) for name, c in trainer._named_callbacks()}
    options = [trainer.optimizer.defaults, *trainer.optimizer.groups]
    return text, {k: x.tobytes() for k, x in arrays.items()}, own, held, attributes, repr(options)


def serve():
    """Fork a training for each folder that is read; what they import is here before."""
    with TemporaryDirectory() as folder:
        fit(folder, epochs=1)
    for number, line in enumerate(sys.stdin, 1):
        if child := os.fork():
            _say(child)
            _say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            continue
        fit(line.strip(), seed=number)
        os._exit(0)


def _say(number):
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve()
