"""Arrays and Variables among the arguments of one function, in every combination.

An array on the left of an operator has to leave the operation to the Variable on the right, and
array-api-strict's does not. xpnet's functions therefore call `xp.multiply(x, t)` instead of using
operators on their arguments.
"""

from itertools import product

import numpy as np
import pytest

from xpnet import Variable, functions as F, gradients
from xpnet.testing import assert_close

rng = np.random.default_rng(0)
P = rng.uniform(0.1, 0.9, (2, 3))
T = np.eye(3)[[1, 0]]


def drawn(*shape):
    return rng.normal(size=shape)


CALLS = {
    **{
        name: (getattr(F, name), P, T)
        for name in (
            "mean_squared_error", "l1_loss", "huber_loss", "binary_cross_entropy",
            "binary_cross_entropy_with_logits", "kl_divergence", "softmax_cross_entropy", "pow",
            "hypot", "logaddexp", "vecdot", "atan2", "maximum",
        )
    },
    "hinge_loss": (F.hinge_loss, P, 2.0 * T - 1.0),
    "linear": (F.linear, drawn(2, 3), drawn(3, 2), drawn(2)),
    "conv": (F.conv, drawn(1, 2, 4, 4), drawn(3, 2, 2, 2), drawn(3)),
    "conv_transpose": (F.conv_transpose, drawn(1, 2, 4, 4), drawn(2, 3, 2, 2), drawn(3)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (3,), w, b), drawn(2, 3), drawn(3), drawn(3)),
    "batch_norm": (
        lambda x, w, b, m, v: F.batch_norm(x, weight=w, bias=b, mean=m, var=v)[0],
        *(drawn(2, 3), drawn(3), drawn(3), drawn(3), P[0]),
    ),
    "group_norm": (lambda x, w, b: F.group_norm(x, 1, w, b), drawn(2, 4, 3), drawn(4), drawn(4)),
    "attention": (F.scaled_dot_product_attention, drawn(1, 2, 3), drawn(1, 2, 3), drawn(1, 2, 3)),
    "gru": (F.gru, drawn(1, 2, 6), drawn(2, 2), drawn(6, 2), drawn(6)),
    "gru, reset before": (
        lambda z, h, W, b: F.gru(z, h, W, b, reset_after=False),
        *(drawn(1, 2, 6), drawn(2, 2), drawn(6, 2), drawn(6)),
    ),
    "lstm": (lambda *x: F.lstm(*x)[0], drawn(1, 2, 8), drawn(2, 2), drawn(2, 2), drawn(8, 2)),
    "rnn": (F.rnn, drawn(1, 2, 2), drawn(2, 2), drawn(2, 2)),
    "tensordot": (lambda a, b: F.tensordot(a, b, axes=1), drawn(2, 3), drawn(3, 2)),
    "outer": (F.linalg.outer, drawn(2), drawn(3)),
    "cross": (F.linalg.cross, drawn(2, 3), drawn(2, 3)),
    "solve": (F.linalg.solve, np.eye(2) + 0.1, drawn(2, 3)),
    "clip": (F.clip, P, 0.1 * T, 0.5 + T),
    "concat": (lambda a, b: F.concat([a, b]), P, T),
    "stack": (lambda a, b: F.stack([a, b]), P, T),
    "diff": (lambda x, p: F.diff(x, axis=0, prepend=p), P, T),
    "einsum": (lambda a, b: F.einsum("ij,ij->i", a, b), P, T),
    "xlogy": (F.special.xlogy, P, P),
    "kl_div": (F.special.kl_div, P, P),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_every_argument_may_be_an_array_or_a_variable(backend64, array, eager, name):
    """The value is that for arrays, and each Variable has the gradient that it has among Variables."""
    call, *inputs = CALLS[name]
    arrays = [array(np.array(x)) for x in inputs]
    expected = call(*arrays)
    every = [Variable(x) for x in arrays]
    all_gradients = gradients(F.sum(call(*every)), every)
    for chosen in product((False, True), repeat=len(arrays)):
        if not any(chosen):
            continue
        given = [Variable(x) if yes else x for x, yes in zip(arrays, chosen, strict=True)]
        y = call(*given)
        assert isinstance(y, Variable)
        assert_close(y, expected, rtol=1e-12, atol=1e-14)
        leaves = [x for x in given if isinstance(x, Variable)]
        wanted = [g for g, yes in zip(all_gradients, chosen, strict=True) if yes]
        for g, w in zip(gradients(F.sum(y), leaves), wanted, strict=True):
            assert_close(g, w, rtol=1e-10, atol=1e-12)


def test_array_api_stricts_operators_refuse_variables():
    """The array refuses the Variable before Python can ask it; the function, or the other order,
    works.
    """
    pytest.importorskip("array_api_strict", reason="the library that refuses")
    import xpnet

    with xpnet.using("array_api_strict") as strict:
        t = strict.asarray([1.0, 2.0])
        v = Variable(strict.asarray([3.0, 4.0]))
        with pytest.raises(TypeError, match="Expected Array or Python scalar"):
            _ = t - v
        for y in (F.subtract(t, v), -(v - t), Variable(t) - v):
            assert_close(y, [-2.0, -2.0])
