"""The networks' own functions, one row each: a call, its arguments, and PyTorch's equivalent.

test_networks.py checks for each row the derivatives and the comparison that the capability table
states; each function's own test draws shapes and options with hypothesis.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnet import functions as F
from xpnet.autodiff.namespace import functions


def owned():
    """What `xpnet.functions` has beyond the standard, by name."""
    return {
        name: value
        for name, value in vars(F).items()
        if callable(value)
        and name not in functions
        and not name.startswith("_")
        and getattr(value, "__module__", "").startswith("xpnet.functions.")
    }


@dataclass(frozen=True)
class Row:
    """`call` takes arrays of these shapes; `constant` ones, after them, are not differentiated."""

    call: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    torch: Callable[..., Any] | None = None  # (torch.nn.functional, *tensors)
    oracle: str = ""  # what it is compared with otherwise
    constant: tuple[Any, ...] = ()
    positive: bool = False

    def hosts(self):
        """Numbers in float64: normal ones, or from 0.1 to 0.9."""
        rng = np.random.default_rng(3)
        if self.positive:
            return [rng.uniform(0.1, 0.9, shape) for shape in self.shapes]
        return [rng.normal(size=shape) for shape in self.shapes]


X = ((2, 3),)
XT = ((2, 3), (2, 3))
IMAGE = (1, 2, 3, 3)
CLASSES = (np.asarray([2, 0]),)
STEP_BY_STEP = "its formula in Python, and a composite step by step"
ROWS: dict[str, Row] = {
    # --- activation -----------------------------------------------------------------------------
    "relu": Row(F.relu, X, lambda T, x: T.relu(x)),
    "leaky_relu": Row(F.leaky_relu, X, lambda T, x: T.leaky_relu(x)),
    "elu": Row(F.elu, X, lambda T, x: T.elu(x)),
    "gelu": Row(F.gelu, X, lambda T, x: T.gelu(x)),
    "silu": Row(F.silu, X, lambda T, x: T.silu(x)),
    "softplus": Row(F.softplus, X, lambda T, x: T.softplus(x)),
    "sigmoid": Row(F.sigmoid, X, lambda T, x: T.sigmoid(x)),
    "softmax": Row(F.softmax, X, lambda T, x: T.softmax(x, -1)),
    "log_softmax": Row(F.log_softmax, X, lambda T, x: T.log_softmax(x, -1)),
    "logsumexp": Row(
        lambda x: F.logsumexp(x, axis=-1), X, lambda T, x: x.logsumexp(-1), oracle="SciPy's"
    ),
    "normal_cdf": Row(F.normal_cdf, X, oracle="`math.erfc`"),
    # --- losses ---------------------------------------------------------------------------------
    "mean_squared_error": Row(F.mean_squared_error, XT, lambda T, y, t: T.mse_loss(y, t)),
    "l1_loss": Row(F.l1_loss, XT, lambda T, y, t: T.l1_loss(y, t)),
    "huber_loss": Row(F.huber_loss, XT, lambda T, y, t: T.huber_loss(y, t)),
    "hinge_loss": Row(F.hinge_loss, X, lambda T, x, t: T.multi_margin_loss(x, t), constant=CLASSES),
    "softmax_cross_entropy": Row(
        F.softmax_cross_entropy, X, lambda T, x, t: T.cross_entropy(x, t), constant=CLASSES
    ),
    "binary_cross_entropy": Row(
        F.binary_cross_entropy, XT, lambda T, y, t: T.binary_cross_entropy(y, t), positive=True
    ),
    "binary_cross_entropy_with_logits": Row(
        F.binary_cross_entropy_with_logits,
        XT,
        lambda T, x, t: T.binary_cross_entropy_with_logits(x, t),
    ),
    "kl_divergence": Row(
        F.kl_divergence,
        XT,
        lambda T, y, t: T.kl_div(y, t, reduction="batchmean"),
        positive=True,
    ),
    # --- with weights ---------------------------------------------------------------------------
    "linear": Row(F.linear, ((2, 3), (3, 2), (2,)), lambda T, x, W, b: T.linear(x, W.T, b)),
    "embedding": Row(
        lambda W, x: F.embedding(x, W),
        ((3, 2),),
        lambda T, W, x: T.embedding(x, W),
        constant=CLASSES,
    ),
    "conv": Row(F.conv, (IMAGE, (2, 2, 2, 2), (2,)), lambda T, *xs: T.conv2d(*xs)),
    "conv_transpose": Row(
        F.conv_transpose, (IMAGE, (2, 2, 2, 2), (2,)), lambda T, *xs: T.conv_transpose2d(*xs)
    ),
    "max_pool": Row(
        lambda x: F.max_pool(x, 2, stride=1), (IMAGE,), lambda T, x: T.max_pool2d(x, 2, 1)
    ),
    "avg_pool": Row(
        lambda x: F.avg_pool(x, 2, stride=1), (IMAGE,), lambda T, x: T.avg_pool2d(x, 2, 1)
    ),
    "global_avg_pool": Row(
        F.global_avg_pool, (IMAGE,), lambda T, x: T.adaptive_avg_pool2d(x, 1)[:, :, 0, 0]
    ),
    "global_max_pool": Row(
        F.global_max_pool, (IMAGE,), lambda T, x: T.adaptive_max_pool2d(x, 1)[:, :, 0, 0]
    ),
    "einsum": Row(
        lambda *xs: F.einsum("ij,kj,k->ik", *xs),
        ((2, 3), (4, 3), (4,)),
        lambda T, x, W, b: T.linear(x, W) * b,
    ),
    # --- normalization, dropout -----------------------------------------------------------------
    "batch_norm": Row(
        lambda x, w, b: F.batch_norm(x, None, None, w, b)[0],
        ((3, 2), (2,), (2,)),
        lambda T, x, w, b: T.batch_norm(x, None, None, w, b, training=True),
    ),
    "layer_norm": Row(
        lambda x, w, b: F.layer_norm(x, 3, w, b),
        ((2, 3), (3,), (3,)),
        lambda T, x, w, b: T.layer_norm(x, (3,), w, b),
    ),
    "group_norm": Row(
        lambda x, w, b: F.group_norm(x, 1, w, b),
        ((2, 3), (3,), (3,)),
        lambda T, x, w, b: T.group_norm(x, 1, w, b),
    ),
    "dropout": Row(
        lambda x, mask: F.dropout(x * x, 0.75, mask=mask),
        X,
        oracle="its formula, of NumPy's random numbers",
        constant=(np.asarray([[True, False, True], [False, False, True]]),),
    ),
    # --- sequences ------------------------------------------------------------------------------
    "attention_weights": Row(
        F.attention_weights,
        ((2, 3), (4, 3)),
        lambda T, q, k: T.softmax(q @ k.mT / 3**0.5, -1),
    ),
    "scaled_dot_product_attention": Row(
        F.scaled_dot_product_attention,
        ((2, 3), (4, 3), (4, 2)),
        lambda T, *xs: T.scaled_dot_product_attention(*xs),
    ),
    "rnn": Row(F.rnn, ((2, 1, 2), (1, 2), (2, 2)), oracle=STEP_BY_STEP),
    "lstm": Row(
        lambda *xs: F.concat(F.lstm(*xs)),
        ((2, 1, 8), (1, 2), (1, 2), (8, 2)),
        oracle=STEP_BY_STEP,
    ),
    "gru": Row(F.gru, ((2, 1, 6), (1, 2), (6, 2), (6,)), oracle=STEP_BY_STEP),
}
BESIDES = {"getitem", "stop_gradient"}
"""Not in the table: `getitem`, which is x[i], and `stop_gradient`, which has no derivative."""
