"""Computation follows its arrays: CuPy on two GPUs, real or emulated, with either one current.

Each test runs where another device than that of its arrays is current: CuPy by itself would compute
there, and warn. Warnings are errors here, in every thread.
"""

import contextvars
import os
import subprocess
import sys
import threading

import array_api_compat as compat
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import xpnet
from tests.functions.cases import CASES, CONSTANT, LACKS, STRUCTURAL, of
from tests.functions.networks import ROWS
from tests.layers.cases import LAYERS
from tests.processes import ROOT
from xpnet import BackendError, Variable, functions as F, gradients, metrics, to_numpy
from xpnet._libraries.devices import known
from xpnet.autodiff import tree
from xpnet.autodiff.namespace import EXTENSIONS
from xpnet.autodiff.variable import as_constant, data_of
from xpnet.plots._graph import dot
from xpnet.summary import summary
from xpnet.testing import assert_close
from xpnet.training import Trainer, predict

ONCE = settings(
    max_examples=1,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Elsewhere:
    """Arrays on one device, and calls while the other one is current."""

    def __init__(self, home, begins_at_0):
        self.backend = xpnet.backend.resolve(home)
        self.begins_at_0 = begins_at_0

    def array(self, host, dtype=None):
        return self.backend.asarray(np.asarray(host), dtype)

    def __call__(self, function, *args):
        """The result of a call, in a new thread or under the other device."""
        if not self.begins_at_0:
            with xpnet.backend.resolve("cupy:1").device:
                return function(*args)
        found = []

        def work():
            try:
                found.append(function(*args))
            except BaseException as error:  # noqa: BLE001 - raised in the test's thread
                found.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]

    def at_home(self, result):
        """Whether all arrays of a tree lie at home, and there are any."""
        arrays = [data_of(x) for x in tree.leaves(result) if hasattr(x, "shape")]
        return bool(arrays) and all(compat.device(x) == self.backend.device for x in arrays)


@pytest.fixture(params=["a thread that begins at 0", "another device is current"])
def elsewhere(request, cupy_backend):
    if not known.several:
        pytest.skip("it takes two GPUs; HOST_CUDA_DEVICES=2 emulates them")
    thread = request.param.startswith("a thread")
    return Elsewhere("cupy:1" if thread else "cupy:0", thread)


def backward(ys, xs):
    """The gradients of the sum of all numbers of the ys, recorded so that they are Variables."""
    ys = [y for y in tree.leaves(ys) if isinstance(y, Variable) and y.requires_grad]
    total = sum(F.sum(F.real(y * y)) for y in ys)
    return gradients(total, xs), gradients(total, xs, create_graph=True)


class OnArrays:
    """A namespace whose functions take plain arrays; operators are CuPy's own, and not tested."""

    def __init__(self, xp):
        self.xp = xp

    def __getattr__(self, name):
        found = getattr(self.xp, name)
        if name in EXTENSIONS and not callable(found):  # fft.fft is a function
            return OnArrays(found)
        if not callable(found) or isinstance(found, type):
            return found

        def call(*args, **options):
            y = found(*unwrapped(args), **unwrapped(options))
            if isinstance(y, tuple) and hasattr(y, "_fields"):
                return type(y)(*map(as_constant, y))
            return tuple(map(as_constant, y)) if isinstance(y, tuple) else as_constant(y)

        return call


def unwrapped(x):
    if isinstance(x, (list, tuple)):
        return type(x)(map(unwrapped, x))
    return {k: unwrapped(v) for k, v in x.items()} if isinstance(x, dict) else data_of(x)


@pytest.mark.parametrize(
    ("name", "number"), [(name, i) for name in sorted(CASES) for i in range(len(CASES[name]))]
)
@ONCE
@given(data=st.data())
def test_differentiable_functions(elsewhere, name, number, data):
    """On arrays and on Variables, and their gradients, recorded or not."""
    if (name, "cupy") in LACKS:
        pytest.skip(LACKS[name, "cupy"])
    call, hosts = data.draw(CASES[name][number])
    arrays = [elsewhere.array(host) for host in hosts]
    xs = [Variable(x) for x in arrays]
    xp = xpnet.array_namespace(*xs)
    constants = [as_constant(x) for x in arrays]
    assert elsewhere.at_home(elsewhere(lambda: call(OnArrays(xp), *constants)))
    y = elsewhere(lambda: call(xp, *xs))
    assert elsewhere.at_home(y)
    assert elsewhere.at_home(elsewhere(backward, y, xs))


@pytest.mark.parametrize("name", sorted(CONSTANT))
def test_functions_without_a_derivative(elsewhere, name):
    hosts, options = CONSTANT[name]
    arrays = [elsewhere.array(host) for host in hosts]
    for xs in (arrays, [Variable(x) for x in arrays]):
        assert elsewhere.at_home(elsewhere(lambda xs=xs: of(name)(F, *xs, **options)))


@pytest.mark.parametrize("name", sorted(STRUCTURAL))
def test_functions_that_create(elsewhere, name):
    """With `device=`, or like a Variable on that device."""
    x = as_constant(elsewhere.array(np.ones((2, 3))))
    y = elsewhere(lambda: STRUCTURAL[name](xpnet.array_namespace(x), x))
    if isinstance(y, Variable):
        assert elsewhere.at_home(y)


@pytest.mark.parametrize("name", ROWS)
def test_functions_of_networks(elsewhere, name):
    row = ROWS[name]
    constant = [elsewhere.array(c) for c in row.constant]
    arrays = [elsewhere.array(x) for x in row.hosts()]
    xs = [Variable(x) for x in arrays]
    if name != "dropout":  # its row has an operator, which is CuPy's own on plain arrays
        assert elsewhere.at_home(elsewhere(lambda: row.call(*arrays, *constant)))
    y = elsewhere(lambda: row.call(*xs, *constant))
    assert elsewhere.at_home(y)
    assert elsewhere.at_home(elsewhere(backward, y, xs))


@pytest.mark.parametrize("name", LAYERS)
def test_layers(elsewhere, name):
    """Called, and step by step, in training and in evaluation."""
    case = LAYERS[name]
    with xpnet.using(elsewhere.backend):
        layer = case.layer()
        inputs = [
            elsewhere.array(x, "float32" if x.dtype.kind == "f" else None) for x in case.hosts()
        ]

    def step():
        ys = layer.forward(*inputs)
        parts = ys if isinstance(ys, tuple) else (ys,)
        douts = tuple(data_of(F.ones_like(y)) for y in parts)
        return ys, layer.backward(douts if isinstance(ys, tuple) else douts[0])

    ys, dxs = elsewhere(step)
    assert elsewhere.at_home(ys)
    assert dxs is None or elsewhere.at_home(dxs)
    assert all(p.grad is None or elsewhere.at_home(p.grad) for p in layer.parameters())
    assert elsewhere.at_home(elsewhere(layer.eval(), *inputs))


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_created_where_the_run_is(elsewhere, name, monkeypatch):
    """In a thread that began after `use`, and where another device is current."""
    monkeypatch.setattr(xpnet.backend, "_run", elsewhere.backend)
    monkeypatch.setattr(xpnet.backend, "_block", contextvars.ContextVar("no block", default=None))
    layer = elsewhere(LAYERS[name].layer)
    arrays = [*layer.parameters(), *(buffer for _, buffer in layer.named_buffers())]
    assert not arrays or elsewhere.at_home(arrays)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "Adagrad", "RMSprop", "Adadelta", "Lion"])
def test_optimizers_move_parameters_where_they_lie(elsewhere, optimizer):
    """Creation, steps, clipping and averages, while another device is current."""
    with xpnet.using(elsewhere.backend):
        p = xpnet.Parameter([1.0, 2.0])

    def step():
        steps = getattr(xpnet.optimizers, optimizer)([p], lr=0.1, weight_decay=0.1)
        average = xpnet.optimizers.ExponentialMovingAverage([p])
        for _ in range(2):
            F.sum(p * p).backward()
            norm = xpnet.optimizers.clip_grad_norm([p], 1.0)
            xpnet.optimizers.clip_grad_value([p], 0.5)
            steps.step()
            average.update()
        return [norm, p, p.grad, *average.averages, *steps.state_dict().values()]

    assert elsewhere.at_home(elsewhere(step))


def test_transforms(elsewhere):
    x = elsewhere.array([1.0, 2.0])

    def f(x):
        return F.sum(x * x * x)

    def derivatives():
        y, pull = xpnet.vjp(lambda x: x * x, x)
        return [
            xpnet.grad(f)(x),
            xpnet.hessian(f)(x),
            xpnet.hvp(f)(x, x),
            xpnet.jvp(lambda x: x * x, (x,), (x,)),
            xpnet.jacobian(lambda x: x * x)(x),
            xpnet.grad(xpnet.gradient_checkpoint(f))(x),
            [y, pull(x)],
        ]

    assert elsewhere.at_home(elsewhere(derivatives))


def test_a_training_and_its_metrics(elsewhere):
    """The backend of the whole run applies to every thread."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(24, 3)), rng.integers(0, 2, 24)
    before = xpnet.backend._run

    def train():
        model = xpnet.MLP(3, [4], 2, rng=0)
        trainer = Trainer(
            model,
            F.softmax_cross_entropy,
            xpnet.Adam(model.parameters()),
            metrics=[metrics.accuracy, metrics.F1()],
            clip=1.0,
            average=0.9,
        )
        loader = xpnet.data.DataLoader((x, t), batch_size=8, shuffle=True, prefetch=2)
        trainer.fit(loader, (x, t), epochs=2)
        return [p.data for p in model.parameters()], predict(model, x)

    try:
        with elsewhere.backend.device:
            xpnet.backend._run = elsewhere.backend
        assert elsewhere.at_home(elsewhere(in_no_block(train)))
    finally:
        xpnet.backend._run = before


def in_no_block(function):
    """The function, run in a context without the `using` block of the test's fixture."""
    return lambda: contextvars.Context().run(function)


def test_assignment_and_copies_to_the_host(elsewhere):
    x = Variable(elsewhere.array([1.0, 2.0]), requires_grad=False)

    def assign():
        x[0] = 3.0
        x[elsewhere.array([1])] = 4.0
        return float(x[0]), to_numpy(x).tolist()

    assert elsewhere(assign) == (3.0, [3.0, 4.0])
    assert elsewhere.at_home(x)


@pytest.mark.parametrize("pick", [lambda x, i: x[i], lambda x, i: x[i, i], lambda x, i: x[..., i]])
def test_picking_by_arrays(elsewhere, pick):
    """The kernel that checks the indices runs on their device."""
    X = np.arange(6.0).reshape(2, 3)
    x = Variable(elsewhere.array(X), requires_grad=True)
    good, bad = elsewhere.array([0, -1]), elsewhere.array([0, 7])

    def picked():
        y = pick(x, good)
        F.sum(y).backward()
        return y, to_numpy(y).tolist()

    y, numbers = elsewhere(picked)
    assert numbers == to_numpy(pick(Variable(X), np.asarray([0, -1]))).tolist()
    assert elsewhere.at_home(y)
    assert elsewhere.at_home(x.grad)
    with pytest.raises(IndexError, match=r"x\[key\] expected indices from -\d to \d, got 7"):
        elsewhere(lambda: repr(pick(x, bad)))


def test_arrays_of_two_devices_are_an_error(elsewhere):
    """CuPy by itself computes on one of them, and warns."""
    a = elsewhere.array([1.0, 2.0])
    b = Variable(a).to_device(xpnet.backend.resolve("cupy:0" if a.device.id else "cupy:1").device)
    message = r"expected its arrays on one device, got <CUDA Device \d> and <CUDA Device \d>"
    calls = [
        lambda: Variable(a) + b,
        lambda: F.softmax_cross_entropy(a, b),
        lambda: F.concat([a, b.data]),
        lambda: F.equal(a, b.data),
        lambda: F.take(a, data_of(F.astype(b, elsewhere.backend.xp.int64))),
        lambda: Variable(a)[data_of(F.astype(b, elsewhere.backend.xp.int64))],
        lambda: metrics.mean_absolute_error(a, b.data),
    ]
    for call in calls:
        with pytest.raises(BackendError, match=message):
            elsewhere(call)


def test_a_network_on_two_devices(elsewhere):
    """Gradients move from one device to the other."""
    other = xpnet.backend.resolve("cupy:0" if elsewhere.begins_at_0 else "cupy:1")
    with xpnet.using(elsewhere.backend):
        p = xpnet.Parameter([1.0, 2.0])
    with xpnet.using(other):
        q = xpnet.Parameter([3.0, 4.0])

    def step():
        y = (p * p).to_device(other.device) * q + p.to_device(other.device)
        F.sum(y).backward()
        xpnet.SGD([p, q], lr=1.0).step()
        return p, p.grad

    assert elsewhere.at_home(elsewhere(step))
    assert to_numpy(p.grad).tolist() == [7.0, 17.0]
    assert compat.device(q.data) == compat.device(q.grad) == other.device
    assert to_numpy(q).tolist() == [2.0, 0.0]


def test_an_optimizer_of_parameters_that_were_moved_to_another_device_raises(elsewhere):
    with xpnet.using(elsewhere.backend):
        layer = xpnet.Affine(2, 3, rng=0)
        optimizer = xpnet.Adam(layer.parameters())
    other = xpnet.backend.resolve("cupy:0" if elsewhere.begins_at_0 else "cupy:1")
    layer.to(other)
    F.sum(layer.weight * layer.weight).backward()
    before = to_numpy(layer.weight).copy()
    with pytest.raises(xpnet.StateError, match="moved to another library or device"):
        elsewhere(optimizer.step)
    assert to_numpy(layer.weight).tolist() == before.tolist()


def test_summary_and_graph_of_a_model(elsewhere):
    """Both of them compute on the model's device."""
    with xpnet.using(elsewhere.backend):
        model = xpnet.MLP(3, [4], 2, rng=0)
        x = elsewhere.array(np.ones((2, 3)), "float32")
    assert "26" in str(elsewhere(summary, model, (3,)))
    total = elsewhere(lambda: F.sum(model(x)))
    assert elsewhere(dot, total, {}).startswith("digraph")


def test_a_threads_current_device_is_its_own(elsewhere):
    """After a computation the current device is what it was before, even after an error."""
    import cupy

    x = Variable(elsewhere.array([1.0, 2.0]))

    def watched():
        before = cupy.cuda.runtime.getDevice()
        F.sum(F.softmax(x * x)).backward()
        with pytest.raises(xpnet.ShapeError):
            F.add(x, elsewhere.array([1.0, 2.0, 3.0]))
        return cupy.cuda.runtime.getDevice() - before

    assert elsewhere(watched) == 0


def test_nested_blocks_in_threads(elsewhere):
    """`using` within `using`: the innermost block decides where arrays are created."""

    def nested():
        with xpnet.using("cupy:0"), xpnet.using("cupy:1"):
            y = F.zeros(3), Variable([1.0]), xpnet.Affine(2, 3, rng=0).weight
        with xpnet.using("cupy:1"), xpnet.using("cupy:0"):
            z = F.zeros(3), F.ones(3, device=y[0].device)
        return [x.device.id for x in (*y, *z)]

    assert elsewhere(nested) == [1, 1, 1, 0, 1]


def test_the_cross_entropy_is_differentiated_where_it_was_computed(elsewhere):
    """The walk starts there with a number, which is on no device."""

    def step():
        x = Variable(elsewhere.array(np.eye(3, 4)))
        t = elsewhere.array(np.asarray([2, 0, 1]))
        F.softmax_cross_entropy(x, t).backward()
        return x.grad

    row = np.exp([1.0, 0.0, 0.0, 0.0])
    gx = elsewhere(step)
    assert elsewhere.at_home(gx)
    assert_close(gx[0, :], (row / row.sum() - [0.0, 0.0, 1.0, 0.0]) / 3.0, rtol=1e-5)


def test_a_closure_may_be_on_another_device_than_a_derivative(elsewhere):
    x = elsewhere.array([1.0, 2.0])
    other = xpnet.backend.resolve("cupy:0" if elsewhere.begins_at_0 else "cupy:1")
    w = xpnet.Parameter(other.asarray([3.0]))

    def constant_gradient():
        g = xpnet.grad(lambda x: F.sum(x) + F.sum(w * w).to_device(x.device))(x)
        F.sum(g).backward()
        return g, w.grad

    def checkpointed():
        v = Variable(x)
        scaled = w.to_device(v.device) * 2.0
        xpnet.gradient_checkpoint(lambda v: F.sum(v * scaled))(v).backward()
        return v.grad, w.grad

    g, gw = elsewhere(constant_gradient)
    assert elsewhere.at_home(g)
    assert gw.device == w.device
    assert_close(g, [1.0, 1.0])
    assert_close(gw, [0.0])
    w.zero_grad()
    g, gw = elsewhere(checkpointed)
    assert elsewhere.at_home(g)
    assert gw.device == w.device
    assert_close(g, [6.0, 6.0])
    assert_close(gw, [6.0])


def test_an_input_that_a_checkpoint_does_not_use_has_a_gradient_on_its_own_device(elsewhere):
    """The result, and so the gradient to start from, is on the other device."""
    other = xpnet.backend.resolve("cupy:0" if elsewhere.begins_at_0 else "cupy:1")
    x = Variable(elsewhere.array([1.0, 2.0]))
    unused = Variable(elsewhere.array([3.0, 4.0]))

    def step():
        f = xpnet.gradient_checkpoint(lambda x, unused: F.sum((x * x).to_device(other.device)))
        f(x, unused).backward()
        return x.grad, unused.grad

    assert elsewhere.at_home(elsewhere(step))
    assert_close(x.grad, [2.0, 4.0])
    assert_close(unused.grad, [0.0, 0.0])


@pytest.mark.skipif(bool(os.environ.get("XPNET_TWO_DEVICES")), reason="it starts this file anew")
def test_on_two_emulated_devices(cupy_backend):
    """This file once more, in a process that has two emulated devices."""
    import cupy

    if "mulated" not in str(cupy.cuda.runtime.getDeviceProperties(0)["name"]):
        pytest.skip("the GPUs of this machine are not emulated, so their number is fixed")
    if known.several:
        pytest.skip("there are two already")
    options = {"HOST_CUDA_DEVICES": "2", "XPNET_TWO_DEVICES": "1", "XPNET_TEST_BACKENDS": "cupy"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | options,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout.splitlines()[-1]
