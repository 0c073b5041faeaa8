"""Small trainings that one rank or several make, in threads or in processes, and what comes of them."""

from typing import NamedTuple

import numpy as np

import xpnet
from xpnet import distributed, functions as F
from xpnet.metrics import accuracy
from xpnet.optimizers import optimizer
from xpnet.training import Trainer


class Outcome(NamedTuple):
    """What a rank has at the end of a training."""

    state: dict  # weights, buffers and the state of the optimizer, by name
    history: list
    steps: int
    replayed: list  # the names of the functions of which there are plans


def clusters(n=110):
    """(x, t) of n points in 4 dimensions around 3 centres; nothing is random."""
    rng = np.random.default_rng(7)
    t = np.arange(n) % 3
    centres = np.asarray([[3.0, 0, 0, 0], [0, 3.0, 0, 0], [0, 0, 3.0, 1.0]])
    return centres[t] + rng.normal(0, 0.8, (n, 4)), t


def mlp():
    return xpnet.MLP(4, 8, 3, activation="tanh", rng=0)


def arrays_of(trainer):
    """The arrays of the model and of the optimizer, copied to the host."""
    state = trainer.learner.state_dict()
    return {
        f"{part}.{name}": np.array(xpnet.to_numpy(x))
        for part in ("model", "optimizer")
        for name, x in state[part].items()
        if hasattr(x, "dtype")
    }


def train(
    communicator,
    *,
    kind="adam",
    lr=None,
    build=mlp,
    data=None,
    test=None,
    epochs=3,
    batch_size=20,
    resume=None,
    spec="numpy",
    dtype="float64",
    **options,
):
    """Train on a rank, or with `communicator=None` alone; returns the Outcome."""
    options = {"metrics": [accuracy], "rng": 0, **options}
    with xpnet.using(spec, dtype=dtype):
        xpnet.manual_seed(0) if communicator is None else None
        model = build()
        trainer = Trainer(
            model,
            F.softmax_cross_entropy,
            optimizer(kind, model.parameters(), lr),
            communicator=communicator,
            **options,
        )
        trainer.fit(clusters() if data is None else data, test, epochs, batch_size, resume)
    resident = [] if trainer._resident is None else [trainer._resident.compiled]
    replayed = [x.__name__ for x in [*resident, *trainer.learner.compiled] if x.replays]
    return Outcome(arrays_of(trainer), trainer.history.rows, trainer.steps, replayed)


def on_ranks(size, **options):
    """The outcomes of a training on that many threads, which are the same on all ranks."""
    outcomes = distributed.run(size, lambda communicator: train(communicator, **options))
    first = outcomes[0]
    for other in outcomes[1:]:
        assert other.steps == first.steps
        assert other.history == first.history
        for name, x in first.state.items():
            np.testing.assert_array_equal(other.state[name], x)
    return first


def assert_same(a, b, rtol=1e-6):
    """Two outcomes are the same up to rounding, apart from times."""
    assert a.steps == b.steps
    assert a.state.keys() == b.state.keys()
    for name, x in a.state.items():
        scale = np.max(np.abs(x), initial=1e-30)
        np.testing.assert_allclose(b.state[name], x, rtol=rtol, atol=rtol * scale, err_msg=name)
    assert len(a.history) == len(b.history)
    for row, other in zip(a.history, b.history, strict=True):
        assert row.keys() == other.keys()
        for name in row.keys() - {"seconds", "samples_per_s"}:
            np.testing.assert_allclose(other[name], row[name], rtol=rtol, err_msg=name)
