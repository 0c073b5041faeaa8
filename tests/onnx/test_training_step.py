"""Training steps in ONNX Runtime, against the same steps in xpnet: 50 of them, with batches of two sizes."""

import copy
import inspect
import itertools
import json
import sys

import numpy as np
import pytest

import xpnet
from tests.onnx.runtime import session_of
from xpnet import functions as F, models
from xpnet.compiler import each_step
from xpnet.errors import ArgumentError, ArgumentTypeError, CompileError, MissingPackageError
from xpnet.saving import export_training_step
from xpnet.saving.onnx.training_step import training_step_model

onnx = pytest.importorskip("onnx", reason="it writes the files: pip install onnx")
pytest.importorskip("onnxruntime", reason="it runs the files: pip install onnxruntime")

STEPS = 50
CLASSES = 10


def step_of(model, optimizer, clip=None, loss=F.softmax_cross_entropy):
    """A training step of a model and its optimizer."""

    def step(x, t):
        found = loss(model(x), t)
        optimizer.zero_grad()
        found.backward()
        if clip is not None:
            clip(model.parameters())
        optimizer.step()
        return found

    return step


def batches(shape, samples=(6, 5, 1)):
    """Three batches of images or rows, with class numbers; the last one has a single sample."""
    rng = np.random.default_rng(0)
    return [
        (rng.standard_normal((n, *shape)).astype("float32"), rng.integers(0, CLASSES, n))
        for n in samples
    ]


class Runtime:
    """A training step in ONNX Runtime, with its state."""

    def __init__(self, step, *arguments, **options):
        self.model, self.state = training_step_model(step, *arguments, **options)
        self.session = session_of(self.model)
        self.names = [output.name for output in self.session.get_outputs()]

    def __call__(self, **inputs):
        outputs = dict(
            zip(self.names, self.session.run(None, {**inputs, **self.state}), strict=True)
        )
        new = {name: y for name, y in outputs.items() if name.startswith("new.")}
        self.state |= {name.removeprefix("new."): y for name, y in new.items()}
        return {name: y for name, y in outputs.items() if name not in new}


def require_equal_training(model, step, data, steps=STEPS, tolerance=1e-5):
    """Assert that the steps have the same losses, and end with the same weights and buffers."""
    runtime = Runtime(step, *data[0])
    onnx.checker.check_model(runtime.model, full_check=True)
    for i in range(steps):
        x, t = data[i % len(data)]
        expected = float(step(x, t).data)
        np.testing.assert_allclose(runtime(x=x, t=t)["loss"], expected, rtol=tolerance, atol=0.0)
    state = {name: np.asarray(x) for name, x in model.state_dict().items()}
    for name, x in state.items():
        found = runtime.state[f"model.{name}"]
        assert found.dtype == x.dtype
        largest = float(np.max(np.abs(x)))
        # 1e-7: the rounding of a bias before a BatchNorm, whose gradient is 0 apart from rounding.
        assert np.max(np.abs(found - x)) <= tolerance * largest + 1e-7, name
    return runtime


def test_a_perceptron_and_adam_train_as_in_xpnet():
    model = models.mlp((20,), CLASSES, hidden=(16, 12), rng=0)
    step = step_of(model, xpnet.Adam(model.parameters(), lr=0.002))
    runtime = require_equal_training(model, step, batches((20,)))
    assert runtime.state["optimizer.t"] == STEPS


def test_lenet_and_momentum_train_as_in_xpnet():
    model = models.lenet((1, 12, 12), CLASSES, dropout=0.0, rng=0)
    step = step_of(model, xpnet.Momentum(model.parameters(), lr=0.0002))
    require_equal_training(model, step, batches((1, 12, 12)))


def test_an_lstm_and_rmsprop_with_clipping_train_as_in_xpnet():
    model = models.lstm((5, 6), CLASSES, hidden=12, rng=0)
    optimizer = xpnet.RMSprop(model.parameters(), lr=0.001, weight_decay=0.01)
    step = step_of(model, optimizer, lambda ps: xpnet.clip_grad_norm(ps, 0.5))
    require_equal_training(model, step, batches((5, 6)))


def test_a_network_with_batch_norm_and_its_averages_train_as_in_xpnet():
    model = models.resnet((3, 6, 6), CLASSES, channels=(4, 8), rng=0)
    step = step_of(model, xpnet.Nesterov(model.parameters(), lr=0.01, weight_decay=1e-4))
    require_equal_training(model, step, batches((3, 6, 6)))


def test_a_transformer_and_adamw_with_clipping_train_as_in_xpnet():
    """With a larger eps: Adam divides a gradient by its size, and that of the keys' bias is rounding only."""
    model = models.transformer((5, 6), CLASSES, dropout=0.0, width=16, heads=2, layers=1, rng=0)
    optimizer = xpnet.AdamW(model.parameters(), lr=0.001, eps=1e-3, weight_decay=0.1)
    step = step_of(model, optimizer, lambda ps: xpnet.clip_grad_value(ps, 0.1))
    require_equal_training(model, step, batches((5, 6)))


OPTIMIZERS = {
    "SGD with decay": lambda ps: xpnet.SGD(ps, lr=0.1, weight_decay=0.01),
    "decoupled decay": lambda ps: xpnet.SGD(
        ps, 0.1, weight_decay=0.01, decoupled_weight_decay=True
    ),
    "Adagrad": lambda ps: xpnet.Adagrad(ps, lr=0.05),
    "Adadelta": lambda ps: xpnet.Adadelta(ps),
    "Adam with amsgrad": lambda ps: xpnet.Adam(ps, lr=0.01, amsgrad=True),
    "NAdam": lambda ps: xpnet.NAdam(ps, lr=0.01),
    "LAMB": lambda ps: xpnet.LAMB(ps, lr=0.01),
    "Lion": lambda ps: xpnet.Lion(ps, lr=0.001),
    "RMSprop with momentum": lambda ps: xpnet.RMSprop(ps, lr=0.001, momentum=0.9),
    "dampened momentum": lambda ps: xpnet.Momentum(ps, lr=0.05, dampening=0.4),
    "RAdam": lambda ps: xpnet.RAdam(ps, lr=0.01),  # from the sixth step on with its divisor
    "RAdam that never divides": lambda ps: xpnet.RAdam(ps, lr=0.01, betas=(0.9, 0.6)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_trains_as_in_xpnet(name):
    model = xpnet.MLP(8, 6, CLASSES, activation="tanh", rng=0)
    step = step_of(model, OPTIMIZERS[name](model.parameters()))
    require_equal_training(model, step, batches((8,)))


class Sequence(xpnet.Layer):
    """All kinds of recurrent layers, one after another."""

    def __init__(self):
        self.first = xpnet.RNN(4, 5, batch_first=True, rng=0)
        self.second = xpnet.GRU(5, 5, batch_first=True, rng=1)
        self.third = xpnet.LSTM(5, 3, num_layers=2, bidirectional=True, batch_first=True, rng=2)

    def forward(self, x):
        for layer in (self.first, self.second, self.third):
            x = layer(x)[0]
        return x


class Attention(xpnet.Layer):
    """Self-attention of embedded words."""

    def __init__(self):
        self.words = xpnet.Sequential(xpnet.Embedding(7, 8, rng=0), xpnet.PositionalEncoding(8))
        self.attention = xpnet.MultiheadAttention(8, 2, rng=1)

    def forward(self, i):
        x = self.words(i)
        return self.attention(x, x, x)


def activations():
    kinds = (
        xpnet.ELU,
        xpnet.GELU,
        xpnet.LeakyReLU,
        xpnet.SiLU,
        xpnet.Sigmoid,
        xpnet.Softplus,
        xpnet.Softmax,
    )
    layers = [layer for kind in kinds for layer in (xpnet.Affine(4, 4, rng=0), kind())]
    return xpnet.Sequential(*layers, xpnet.LogSoftmax())


def lines():
    return xpnet.Sequential(
        *(
            xpnet.Conv1d(2, 3, 3, rng=0),
            xpnet.MaxPool1d(2),
            xpnet.ConvTranspose1d(3, 2, 3, stride=2, rng=1),
        ),
        *(
            xpnet.AvgPool1d(2),
            xpnet.Flatten(),
            xpnet.BatchNorm1d(6, momentum=None),
            xpnet.LayerNorm(6),
        ),
    )


def images():
    return xpnet.Sequential(
        *(xpnet.Conv2d(2, 4, 3, groups=2, dilation=2, rng=0), xpnet.GroupNorm(2, 4)),
        *(xpnet.ConvTranspose2d(4, 3, 3, stride=2, padding=1, rng=1), xpnet.AvgPool2d(2)),
        xpnet.Residual(xpnet.Conv2d(3, 3, 1, stride=1, rng=2)),
        xpnet.GlobalMaxPool2d(),
    )


LAYERS = {
    "activations": (activations, (4,)),
    "one dimension": (lines, (2, 9)),
    "two dimensions": (images, (2, 7, 7)),
    "recurrent": (Sequence, (3, 4)),
    "attention": (Attention, (5,)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_kind_of_layer_trains_as_in_xpnet(name):
    build, shape = LAYERS[name]
    model = build()
    rng = np.random.default_rng(3)
    x = rng.standard_normal((6, *shape)).astype("float32")
    if name == "attention":
        x = rng.integers(0, 7, (6, *shape))
    t = rng.standard_normal(model(x).shape).astype("float32")
    step = step_of(model, xpnet.SGD(model.parameters(), lr=0.1), loss=F.mean_squared_error)
    require_equal_training(model, step, [(x[:n], t[:n]) for n in (6, 3, 2)], steps=3)


LOSSES = {
    "l1": F.l1_loss,
    "huber": F.huber_loss,
    "hinge": lambda y, t: F.hinge_loss(y, F.where(t > 0.0, 1.0, -1.0)),
    "binary": lambda y, t: F.binary_cross_entropy_with_logits(y, F.sigmoid(t)),
    "kl": lambda y, t: F.kl_divergence(F.log_softmax(y), F.softmax(t)),
    "probabilities": lambda y, t: F.softmax_cross_entropy(y, F.softmax(t)),
    "smoothed": lambda y, t: F.softmax_cross_entropy(y, F.argmax(t, axis=1), label_smoothing=0.1),
    "ignored": lambda y, t: F.softmax_cross_entropy(y, F.argmax(t, axis=1), ignore_index=0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_trains_as_in_xpnet(name):
    model = xpnet.MLP(4, 5, 3, activation="tanh", rng=0)
    rng = np.random.default_rng(4)
    x = rng.standard_normal((6, 4)).astype("float32")
    t = rng.standard_normal((6, 3)).astype("float32")
    step = step_of(model, xpnet.SGD(model.parameters(), lr=0.1), loss=LOSSES[name])
    require_equal_training(model, step, [(x[:n], t[:n]) for n in (6, 3, 1)], steps=3)


# --- what is in a file --------------------------------------------------------------------------------


def small_step():
    """A step, its model and its optimizer, and a batch."""
    model = xpnet.MLP(4, 5, 3, rng=0)
    optimizer = xpnet.Adam(model.parameters(), lr=0.01)
    x = np.random.default_rng(1).standard_normal((6, 4)).astype("float32")
    t = np.asarray([0, 1, 2, 2, 1, 0])
    return step_of(model, optimizer), model, optimizer, (x, t)


def test_the_documented_loop_trains_from_the_file_and_the_weights_are_the_models_again(tmp_path):
    step, model, optimizer, (x, t) = small_step()
    path = tmp_path / "step.onnx"
    state = export_training_step(step, path, x, t)
    np.savez(tmp_path / "state.npz", **state)
    session = session_of(onnx.load(path))
    names = [output.name for output in session.get_outputs()]
    state = dict(np.load(tmp_path / "state.npz"))
    for i in range(10):
        state["optimizer.lr"] = np.asarray(0.01 * 0.9**i)
        outputs = dict(zip(names, session.run(None, {"x": x, "t": t, **state}), strict=True))
        loss = outputs.pop("loss")
        state |= {name.removeprefix("new."): y for name, y in outputs.items()}
        optimizer.lr = 0.01 * 0.9**i
        np.testing.assert_allclose(loss, step(x, t).data, rtol=1e-5)
    weights = {name: state[f"model.{name}"] for name in model.state_dict()}
    expected = {name: np.asarray(y) for name, y in model.state_dict().items()}
    model.load_state_dict(weights)
    for name, y in model.state_dict().items():
        np.testing.assert_allclose(y, expected[name], rtol=1e-5, atol=1e-7)


def test_the_export_leaves_the_model_the_optimizer_and_the_generator_as_they_were():
    step, model, optimizer, batch = small_step()
    model.train()
    step(*batch)

    def state():
        gradients = [p.raw_grad for p in model.parameters()]
        return model.state_dict(), optimizer.state_dict(), xpnet.random.state(), gradients

    before = copy.deepcopy(state())
    training_step_model(step, *batch)
    after = state()
    for x, y in zip(before, after, strict=True):
        np.testing.assert_equal(x, y)


def test_the_metadata_map_each_new_state_to_the_input_that_takes_it():
    step, _, _, batch = small_step()
    runtime = Runtime(step, *batch)
    metadata = {entry.key: entry.value for entry in runtime.model.metadata_props}
    mapping = json.loads(metadata["xpnet.states"])
    inputs = {x.name: (x.shape, x.type) for x in runtime.session.get_inputs()}
    outputs = {x.name: (x.shape, x.type) for x in runtime.session.get_outputs()}
    assert {*outputs} == {"loss", *mapping}
    assert all(inputs[mapping[name]] == outputs[name] for name in mapping)
    assert {*inputs} - {*mapping.values()} == {"x", "t", "optimizer.lr"}
    assert inputs["x"] == (["batch", 4], "tensor(float)")


def test_a_step_of_fixed_shapes_has_them():
    step, _, _, (x, t) = small_step()
    runtime = Runtime(xpnet.compile(step), x, t, dynamic_batch=False)
    assert runtime.session.get_inputs()[0].shape == [6, 4]
    np.testing.assert_allclose(runtime(x=x, t=t)["loss"], step(x, t).data, rtol=1e-5)


def test_a_batch_of_one_sample_is_enough_to_export_a_step_for_all_sizes():
    step, _, _, (x, t) = small_step()
    runtime = Runtime(step, x[:1], t[:1])
    np.testing.assert_allclose(runtime(x=x, t=t)["loss"], step(x, t).data, rtol=1e-5)


def test_groups_have_learning_rates_of_their_own_and_a_frozen_layer_is_constant():
    model = xpnet.MLP(4, 5, 3, rng=0)
    first, last = model.layers[0], model.layers[-1]
    first.bias.requires_grad = False
    groups = [{"params": [first.weight]}, {"params": last.parameters(), "lr": 0.5}]
    optimizer = xpnet.SGD(groups, lr=0.1)
    step = step_of(model, optimizer)
    x, t = small_step()[-1]
    runtime = Runtime(step, x, t)
    assert "model.layers.0.bias" not in runtime.state
    assert runtime.state["optimizer.groups.1.lr"] == 0.5
    for _ in range(3):
        np.testing.assert_allclose(runtime(x=x, t=t)["loss"], step(x, t).data, rtol=1e-5)


def test_an_average_of_the_weights_is_part_of_the_state():
    model = xpnet.MLP(4, 5, 3, rng=0)
    optimizer = xpnet.SGD(model.parameters(), lr=0.1)
    average = xpnet.ExponentialMovingAverage(model.parameters(), decay=0.9)
    inner = step_of(model, optimizer)

    def step(x, t):
        loss = inner(x, t)
        average.update()
        return loss

    x, t = small_step()[-1]
    runtime = Runtime(step, x, t)
    for _ in range(3):
        runtime(x=x, t=t)
        step(x, t)
    np.testing.assert_allclose(runtime.state["average.averages.0"], average.averages[0], rtol=1e-5)
    assert runtime.state["average.updates"] == 3


def test_arguments_in_a_dict_are_inputs_by_their_keys():
    inner, _, _, (x, t) = small_step()

    def step(batch):
        return inner(batch["image"], batch["label"])

    runtime = Runtime(step, {"image": x, "label": t})
    loss = runtime(**{"batch.image": x, "batch.label": t})["loss"]
    np.testing.assert_allclose(loss, step({"image": x, "label": t}).data, rtol=1e-5)


def test_what_a_step_returns_has_names():
    inner, model, _, (x, t) = small_step()

    def step(x, t):
        loss = inner(x, t)
        return {"loss": loss, "scores": model(x)}

    def pair(x, t):
        return inner(x, t), model(x)

    assert {*Runtime(step, x, t)(x=x, t=t)} == {"loss", "scores"}
    assert {*Runtime(pair, x, t)(x=x, t=t)} == {"output.0", "output.1"}
    found = Runtime(pair, x, t, output_names=["l", "y"])(x=x, t=t)
    assert found["y"].shape == (6, 3)
    with pytest.raises(ArgumentError, match="Expected 2 output_names"):
        training_step_model(pair, x, t, output_names=["l"])


def test_the_mask_of_a_dropout_is_an_input_if_that_is_asked_for():
    drop = xpnet.Dropout(0.5)
    model = xpnet.Sequential(xpnet.Affine(4, 5, rng=0), drop, xpnet.Affine(5, 3, rng=1))
    step = step_of(model, xpnet.SGD(model.parameters(), lr=0.1))
    x, t = small_step()[-1]
    with pytest.raises(CompileError, match="random_inputs=True") as error:
        training_step_model(step, x, t)
    assert "test_training_step.py" in str(error.value)
    runtime = Runtime(step, x, t, random_inputs=True)
    mask = (np.random.default_rng(2).random((6, 5)) >= 0.5).astype("float32")
    loss = runtime(x=x, t=t, random=mask)["loss"]
    hidden = model.layers[0](x).data * mask * 2.0
    expected = F.softmax_cross_entropy(model.layers[2](hidden), t)
    np.testing.assert_allclose(loss, expected.data, rtol=1e-5)


def test_fifty_steps_with_two_masks_which_are_numbered_in_the_order_in_which_they_are_drawn():
    layers = (xpnet.Dropout(0.25), xpnet.Affine(4, 5, rng=0), xpnet.Dropout(0.5))
    model = xpnet.Sequential(*layers, xpnet.Affine(5, 3, rng=1))
    optimizer = xpnet.AdamW(model.parameters(), lr=0.01)
    data = batches((4,))
    data = [(x, t % 3) for x, t in data]
    runtime = Runtime(step_of(model, optimizer), *data[0], random_inputs=True)
    rng = np.random.default_rng(2)
    for i in range(STEPS):
        x, t = data[i % len(data)]
        first = (rng.random((len(x), 4)) >= 0.25).astype("float32")
        second = (rng.random((len(x), 5)) >= 0.5).astype("float32")
        loss = runtime(x=x, t=t, random=first, random_2=second)["loss"]
        hidden = model.layers[1](x * first / 0.75) * second / 0.5
        expected = F.softmax_cross_entropy(model.layers[3](hidden), t)
        optimizer.zero_grad()
        expected.backward()
        optimizer.step()
        np.testing.assert_allclose(loss, expected.data, rtol=1e-5)
    for name, x in model.state_dict().items():
        np.testing.assert_allclose(runtime.state[f"model.{name}"], x, rtol=1e-5, atol=1e-6)


# --- errors -------------------------------------------------------------------------------------------


def test_layers_without_a_gradient_stay_as_they_are():
    """LAMB takes another step where the norm of a parameter or of its update is 0."""
    model = xpnet.MLP(4, 5, 3, activation="tanh", rng=0)
    initial = np.copy(model.layers[0].weight.data)
    step = step_of(model, xpnet.LAMB(model.parameters(), lr=0.01))
    x, _ = small_step()[-1]
    t = np.asarray([0, 0, 0, 0, 1, 2])
    runtime = require_equal_training(model, step, [(np.zeros_like(x), t)], steps=5)
    np.testing.assert_array_equal(runtime.state["model.layers.0.weight"], initial)


class Choosing(xpnet.SGD):
    """Its learning rate is chosen by a function of the count of its steps."""

    def __init__(self, parameters, chosen):
        super().__init__(parameters, lr=0.5)
        self.chosen = chosen

    def coefficients(self, s, o):
        return {"lr": o["lr"] * self.chosen(s["t"])}


def test_an_optimizer_may_compare_its_numbers():
    def chosen(t):
        return (t <= 1) + 0.5 * (t > 1) * (t < 3) + 0.25 * (t >= 3)

    model = xpnet.MLP(4, 5, 3, rng=0)
    step = step_of(model, Choosing(model.parameters(), chosen))
    require_equal_training(model, step, [small_step()[-1]], steps=5)


@pytest.mark.parametrize(
    "chosen", [lambda t: 0.5 if t > 1 else 1.0, lambda t: float(t), lambda t: 1.0 * (t == 1)]
)
def test_an_optimizer_that_chooses_what_it_computes_is_an_error(chosen):
    model = xpnet.MLP(4, 5, 3, rng=0)
    step = step_of(model, Choosing(model.parameters(), chosen))
    with pytest.raises(CompileError, match=r"test_training_step.py:\d+: .* as a factor of 0 or 1"):
        training_step_model(step, *small_step()[-1])


def test_gradients_that_add_up_are_an_error():
    model = xpnet.MLP(4, 5, 3, rng=0)
    optimizer = xpnet.SGD(model.parameters(), lr=0.1)

    def step(x, t):
        F.softmax_cross_entropy(model(x), t).backward()
        optimizer.step()

    x, t = small_step()[-1]
    step(x, t)
    with pytest.raises(CompileError, match="adds to the gradients of an earlier step"):
        training_step_model(step, x, t)


def test_a_step_that_fails_leaves_the_model_as_it_was():
    inner, model, optimizer, batch = small_step()
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))

    def step(x, t):
        inner(x, t)
        raise ValueError("of the step itself")

    with pytest.raises(ValueError, match="of the step itself"):
        training_step_model(step, *batch)
    np.testing.assert_equal((model.state_dict(), optimizer.state_dict()), before)


def test_an_array_in_a_new_place_each_time_is_an_error():
    inner, _, _, batch = small_step()
    kept = {}

    def step(x, t):
        kept.pop("loss", None)
        kept["loss"] = inner(x, t).data

    with pytest.raises(CompileError, match="The step cannot be exported"):
        training_step_model(step, *batch)


def test_numbers_of_another_action_are_an_error():
    inner, _, _, batch = small_step()

    def step(x, t):
        return inner(x * each_step(lambda: 2.0), t)

    with pytest.raises(
        CompileError, match=r"test_training_step.py:\d+: expected numbers that an opt"
    ):
        training_step_model(step, *batch)


def test_what_a_step_creates_once_is_part_of_its_state():
    inner, _, _, (x, t) = small_step()
    kept = {}

    def step(x, t):
        if "total" not in kept:
            kept["total"] = xpnet.current().asarray(0.0)
        loss = inner(x, t)
        kept["total"] = kept["total"] + loss.data
        return loss

    runtime = Runtime(step, x, t)
    losses = [runtime(x=x, t=t)["loss"] for _ in range(3)]
    np.testing.assert_allclose(runtime.state["kept.total"] - kept["total"], sum(losses), rtol=1e-5)


def test_an_array_that_is_kept_anew_each_time_is_an_error():
    inner, _, _, batch = small_step()
    kept = []

    def step(x, t):
        loss = inner(x, t)
        kept.append(loss)
        return loss

    with pytest.raises(CompileError, match="The step cannot be exported"):
        training_step_model(step, *batch)


def test_without_the_package_onnx_the_error_names_it(monkeypatch):
    step, _, _, batch = small_step()
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'xpnet\[onnx\]'"):
        training_step_model(step, *batch)


def test_what_is_no_step_is_an_error():
    _, _, optimizer, batch = small_step()
    with pytest.raises(ArgumentTypeError, match="a function of arrays; got Adam"):
        training_step_model(optimizer, *batch)


def test_a_step_without_a_result_is_an_error():
    with pytest.raises(CompileError, match="a graph with an output: return an array"):
        training_step_model(lambda x: None, np.ones(3))


def test_arguments_without_a_common_batch_are_an_error():
    step, _, _, (x, t) = small_step()
    with pytest.raises(
        ArgumentError, match=r"first axes of the lengths \[3, 6\].*dynamic_batch=False"
    ):
        training_step_model(step, x, t[:3])


@pytest.mark.parametrize("samples", [1, 4, 5, 6, 8])
def test_a_step_on_half_of_its_batch_is_an_error(samples):
    """With one sample less, the half of five samples would seem to be a number, 2."""
    inner, _, _, (x, t) = small_step()

    def step(x, t):
        half = x.shape[0] // 2
        return inner(x[:half, ...], t[:half])

    batch = [np.resize(array, (samples, *array.shape[1:])) for array in (x, t)]
    with pytest.raises(CompileError, match="in proportion to the batch"):
        training_step_model(step, *batch)


def test_a_step_that_reads_a_value_is_an_error_that_names_its_line():
    inner, _, _, batch = small_step()

    def step(x, t):
        loss = inner(x, t)
        return float(loss)

    line = inspect.getsourcelines(step)[1] + 2
    with pytest.raises(CompileError, match=f"test_training_step.py:{line}"):
        training_step_model(step, *batch)


def test_a_step_that_advances_an_iterator_is_an_error():
    inner, _, _, batch = small_step()
    numbers = itertools.count(1)

    def step(x, t):
        return inner(x * float(next(numbers)), t)

    with pytest.raises(CompileError, match="advances numbers, which is an iterator"):
        training_step_model(step, *batch)
