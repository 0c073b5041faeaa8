"""Each layer of cases.py, compared with PyTorch's layer of that name, with the same weights."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.layers.cases import LAYERS, NO_COUNTERPART
from xpnet import Layer, Variable, functions as F, using
from xpnet.testing import assert_close

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

TOLERANCES = {"float32": 1e-5, "float64": 1e-10}
COMPARED = [
    (name, mode) for name, case in LAYERS.items() if case.torch is not None for mode in case.modes
]
HURRIED = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_layers_without_a_counterpart_in_pytorch_are_listed():
    """All others are compared."""
    compared = {type(LAYERS[name].layer()).__name__ for name, _ in COMPARED}
    assert {type(case.layer()).__name__ for case in LAYERS.values()} - compared == set(
        NO_COUNTERPART
    )


def randomized(layer, rng):
    """The layer with random parameters: initial ones and zeros would hide errors."""
    for p in layer.parameters():
        p.data = p.data + rng.normal(size=p.shape).astype(p.data.dtype) * 0.3
    return layer


def in_torch(layer, case, s, dtype):
    """PyTorch's layer with the same state, so that names and shapes are compared too."""
    module = case.torch(torch.nn, s).to(getattr(torch, dtype))
    state = {
        name: torch.from_numpy(x.copy()) for name, x in case.rename(layer.state_dict()).items()
    }
    module.load_state_dict(state)
    return module.train(layer.training)


def flat(y):
    """The outputs in one tuple: PyTorch nests those of an LSTM."""
    return [z for part in y for z in flat(part)] if isinstance(y, tuple) else [y]


def largest(x):
    return float(np.max(np.abs(x), initial=0.0))


def compare(ours, theirs, dtype):
    """Relative to the largest number: what cancels within an array cannot be better.

    Nor can an array of which all cancels, such as the gradient of a sum to 1: the numbers that go
    in are about 1, and what is smaller than a fifth of them is held to that.
    """
    theirs = theirs.detach().numpy()
    assert ours.dtype == theirs.dtype
    assert_close(ours, theirs, rtol=0.0, atol=TOLERANCES[dtype] * max(0.2, largest(theirs)))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "mode"), COMPARED)
@HURRIED
@given(data=st.data())
def test_layer_agrees_with_torch(name, mode, dtype, data):
    """Value, input gradients, parameter gradients, and the buffers afterwards.

    Drawn are the sizes of inputs and layers, and of windows their kernels, strides, paddings,
    dilations and groups.
    """
    case = LAYERS[name]
    drawn = {key: data.draw(st.integers(*bounds), key) for key, bounds in case.sizes.items()}
    s, seed = case.at(**drawn), data.draw(st.integers(0, 2**16), "seed")
    rng = np.random.default_rng(seed)
    with using("numpy", dtype=dtype) as backend:
        layer: Layer = randomized(case.build(s), rng).train(mode == "train")
        if mode == "eval" and list(layer.named_buffers()):
            layer.train()(*(backend.asarray(x.tolist()) for x in case.hosts(seed + 1, s)))
            layer.eval()
        module = in_torch(layer, case, s, dtype)
        xs = [Variable(backend.asarray(x.tolist())) for x in case.hosts(seed, s)]
        tensors = [torch.tensor(x.data, requires_grad=x.requires_grad) for x in xs]

        ours, call = flat(layer(*xs)), case.call or (lambda module, *xs: module(*xs))
        theirs = flat(call(module, *tensors))
        weights = [rng.uniform(0.5, 1.5, y.shape).astype(dtype) for y in ours]
        sum(F.sum(y * w) for y, w in zip(ours, weights, strict=True)).backward()
        sum(
            (y * torch.from_numpy(w)).sum() for y, w in zip(theirs, weights, strict=True)
        ).backward()
        for y, expected in zip(ours, theirs, strict=True):
            compare(y.data, expected, dtype)
        for x, tensor in zip(xs, tensors, strict=True):
            if x.requires_grad:
                compare(x.grad, tensor.grad, dtype)
        gradients = case.rename({key: p.grad for key, p in layer.named_parameters()})
        for key, p in module.named_parameters():
            compare(gradients[key], p.grad, dtype)
        buffers = case.rename({key: b.data for key, b in layer.named_buffers()})
        assert buffers.keys() == dict(module.named_buffers()).keys()
        for key, buffer in module.named_buffers():
            compare(buffers[key], buffer, dtype)
