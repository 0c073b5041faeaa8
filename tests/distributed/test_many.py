"""Many ranks on one machine: 64 threads, some of which are slow at random."""

import random
import time

import numpy as np
import pytest

import xpnet
from xpnet import distributed, functions as F
from xpnet.training import Trainer

RANKS = 64
STEPS = 1000


@pytest.mark.slow
def test_ranks_that_are_slow_at_random_have_equal_weights_at_the_end():
    """1,000 steps of a tiny network; a batch has fewer samples than there are ranks."""
    numbers = np.random.default_rng(0)
    x = numbers.standard_normal((480, 3))
    t = (x.sum(axis=1) > 0).astype(np.int64)

    def train(communicator):
        delays = random.Random(communicator.rank)
        with xpnet.using("numpy", dtype="float64"):
            model = xpnet.MLP(3, 4, 2, rng=0)
            optimizer = xpnet.Adam(model.parameters(), lr=0.01)
            trainer = Trainer(
                model,
                F.softmax_cross_entropy,
                optimizer,
                rng=0,
                communicator=communicator,
                compile=False,
            )
            step = trainer.learner.step

            def slow_step(*batch):
                if delays.random() < 0.02:
                    time.sleep(delays.uniform(0.0, 0.01))
                return step(*batch)

            trainer.learner.step = slow_step
            trainer.fit((x, t), epochs=STEPS // 10, batch_size=48)
            assert trainer.steps == STEPS
            return {name: np.array(p) for name, p in model.state_dict().items()}

    everyone = distributed.run(RANKS, train, timeout=300.0)
    alone = train(distributed.SingleProcess())
    for found in everyone:
        for name, expected in everyone[0].items():
            np.testing.assert_array_equal(found[name], expected)
    for name, expected in alone.items():
        np.testing.assert_allclose(everyone[0][name], expected, rtol=1e-6, atol=1e-9)
