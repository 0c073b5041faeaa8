"""A layer that is watched computes the same, and forgets that it was."""

import copy

import pytest

import xpnet
from xpnet.layers._context import hooks
from xpnet.layers.hooks import untouched, watching


def test_each_call_is_observed_and_gradients_flow(backend, array):
    """By call and by forward, on arrays and Variables."""
    model, seen = xpnet.MLP(2, 3, 1, rng=0), []
    plain = model(array([[1.0, 2.0]]))
    with watching(
        model.sublayers(), lambda layer, xs, y: seen.append((layer, xs[0].shape, y.shape))
    ):
        y = model(array([[1.0, 2.0]]))
        model.layers[0].forward(array([[3.0, 4.0]]))
    assert [layer for layer, _, _ in seen] == [*model.layers, model, model.layers[0]]
    assert seen[0][1:] == ((1, 2), (1, 3))
    assert xpnet.to_numpy(y.data).tolist() == xpnet.to_numpy(plain.data).tolist()
    y.backward()
    assert all(p.grad is not None for p in model.parameters())
    model(array([[1.0, 2.0]]))
    assert len(seen) == 5


def test_gradients_flow_through_the_forward_of_a_watched_layer(backend, array):
    """This includes a forward that calls the forward of its base class."""
    model = xpnet.Residual(xpnet.Affine(2, 2, rng=0))
    with watching(model.sublayers(), lambda *_: None):
        y = model.forward(array([[1.0, 2.0]]))
    assert model.backward(y).shape == (1, 2)
    assert all(p.grad is not None for p in model.parameters())


def test_a_copy_of_a_watched_layer_is_not_watched(backend, array):
    """What a callback copies is what was learned."""
    model, seen = xpnet.MLP(2, 3, 1, rng=0), []
    with watching(model.sublayers(), lambda *_: seen.append(1)):
        again = copy.deepcopy(model)
    assert again(array([[1.0, 2.0]])).shape == (1, 1)
    assert again.forward(array([[1.0, 2.0]])).shape == (1, 1)
    assert not seen


def test_an_error_leaves_no_watcher(array, backend):
    model = xpnet.Sequential(xpnet.Affine(2, 2))
    before = dict(vars(model[0]))
    with pytest.raises(xpnet.ShapeError), untouched(model), watching(model, print):
        model(array([[1.0]]))
    assert vars(model[0]) == before
    assert hooks.get() == ()
    assert model.training


def test_watching_can_be_nested(array, backend):
    """The inner block sees and may change the output; afterwards the outer one is still active."""
    layer, seen = xpnet.ReLU(), []

    def doubled(layer, xs, y):
        seen.append("inner")
        return 2.0 * y

    x = array([[3.0]])
    with watching([layer], lambda layer, xs, y: seen.append(float(y[0, 0]))):
        with watching([layer], doubled):
            assert float(layer(x)[0, 0]) == 6.0
        assert float(layer(x)[0, 0]) == 3.0
    assert float(layer(x)[0, 0]) == 3.0
    assert seen == [3.0, "inner", 3.0]
