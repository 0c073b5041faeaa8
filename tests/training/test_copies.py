"""A copied or pickled trainer continues exactly as the original does."""

import copy
import pickle

import pytest

import xpnet
from xpnet import functions as F, layers as L
from xpnet.training import Trainer


def of(trainer):
    """The weights, in bytes."""
    return {name: xpnet.to_numpy(x).tobytes() for name, x in trainer.model.state_dict().items()}


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("options", [{}, {"average": 0.9}, {"clip": 1.0, "accumulate": 2}])
@pytest.mark.parametrize("fitted", [False, True])
def test_a_copy_continues_as_the_trainer_does(backend, clusters, how, options, fitted):
    """Model, optimizer and average belong together; nothing is shared with the original."""
    if backend.name.startswith("jax") and (options or not fitted):
        pytest.skip("JAX compiles each function for each shape; this is shown without options")
    if how == "pickle" and backend.name.startswith("array_api_strict"):
        pytest.skip("array-api-strict's arrays are not pickled")
    model = L.Sequential(
        L.Affine(4, 8, rng=0), L.BatchNorm1d(8), L.Dropout(0.5, rng=1), L.Affine(8, 3, rng=2)
    )
    optimizer = xpnet.Adam(model.parameters(), lr=0.01)
    trainer = Trainer(model, F.softmax_cross_entropy, optimizer, rng=0, **options)
    if fitted:
        trainer.fit(clusters, epochs=1, batch_size=10)
    other = COPIES[how](trainer)
    before = of(trainer)
    assert of(other) == before
    other.fit(clusters, epochs=2, batch_size=10)
    assert of(trainer) == before
    trainer.fit(clusters, epochs=2, batch_size=10)
    assert of(trainer) == of(other) != before
    x = clusters[0]
    assert (
        xpnet.to_numpy(trainer.predict(x)).tobytes() == xpnet.to_numpy(other.predict(x)).tobytes()
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_backend_is_copied_by_name(backend64, dtype):
    """So what holds one, such as a loader of resident data, can be copied and pickled."""
    there = xpnet.backend.resolve(backend64.name, dtype)
    for copied in COPIES.values():
        again = copied(there)
        assert again == there
        assert again.xp is there.xp
        assert again.dtype == there.dtype
    assert COPIES["pickle"](there._replace(dtype=None)).dtype is None
