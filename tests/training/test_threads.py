"""Several threads use one model at the same time: each gets the result of a single thread."""

import copy
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import numpy as np
import pytest

import xpnet
from xpnet import Layer, Parameter, functions as F
from xpnet.layers import Buffer
from xpnet.metrics import accuracy
from xpnet.optimizers import ExponentialMovingAverage
from xpnet.summary import summary
from xpnet.training import Trainer, evaluate, predict
from xpnet.training.precision import MixedPrecision

L = xpnet.layers
THREADS, CALLS = 8, 12


@pytest.fixture(autouse=True)
def often():
    """Threads take turns a thousand times as often, so that what can meet does."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(usual)


class Moody(Layer):
    """A user's layer: noise, a count and another branch in training, and a closure over itself."""

    def __init__(self, n):
        self.scale = Parameter([1.0] * n)
        self.calls = Buffer(xpnet.current().asarray(0.0))
        self.scaled = lambda x: x * self.scale  # hides the method

    def forward(self, x):
        if self.training:
            self.calls.data = self.calls.data + 1.0
            return self.scaled(x) + 0.5
        return self.scaled(x)

    def scaled(self, x):
        return x * self.scale


def network(seed=0):
    """Everything that behaves differently in training, and layers that share a weight."""
    first, second = L.Affine(8, 8, rng=seed + 1), L.Affine(8, 8, rng=seed + 2)
    second.weight = first.weight
    return xpnet.Sequential(
        L.Affine(4, 8, rng=seed), L.BatchNorm1d(8), first, Moody(8), L.Dropout(0.5, rng=seed),
        second, L.Dropout(0.5), L.Affine(8, 3, rng=seed + 3),
    )  # fmt: skip


def fitted(clusters, seed=0, **options):
    """A trainer after two epochs."""
    xpnet.manual_seed(seed)  # one of the layers draws from this stream
    model = network(seed)
    optimizer = xpnet.Adam(model.parameters(), lr=0.01)
    trainer = Trainer(model, F.softmax_cross_entropy, optimizer, [accuracy], rng=seed, **options)
    trainer.fit(clusters, epochs=2, batch_size=10)
    return trainer


def image(model):
    """All that a model is, in bytes and settings."""
    state = {name: xpnet.to_numpy(x).tobytes() for name, x in model.state_dict().items()}
    own = [(dict(vars(layer)), type(layer), layer.training) for layer in model.sublayers()]
    attributes = [({name: id(v) for name, v in held.items()}, *rest) for held, *rest in own]
    generators = [g.bit_generator.state for _, g in model.named_generators()]
    return state, attributes, generators, [id(p) for p in model.parameters()]


def in_threads(tasks):
    """What each task returns, called CALLS times in a thread of its own, all threads at once."""
    gate = threading.Barrier(len(tasks))

    def repeated(task):
        gate.wait()
        return [task() for _ in range(CALLS)]

    with ThreadPoolExecutor(len(tasks)) as pool:
        futures = [pool.submit(copy_context().run, repeated, task) for task in tasks]
        return [future.result() for future in futures]


@pytest.mark.parametrize("average", [None, 0.9])
@pytest.mark.parametrize("mode", [True, False])
def test_eight_threads_predict_while_a_ninth_trains_another_model(backend, clusters, average, mode):
    """Each prediction is, bit for bit, that of a single thread; the model is unchanged."""
    if backend.name.startswith("jax") and not (average and mode):
        pytest.skip("JAX compiles each function for each shape; there, the fullest case is enough")
    trainer = fitted(clusters, average=average)
    trainer.model.train(mode)
    trainer.model[1].training = not mode  # one layer apart
    parts = [clusters[0][i * 13 : i * 13 + 13] for i in range(THREADS)]
    alone = [xpnet.to_numpy(trainer.predict(part)).tobytes() for part in parts]
    before = image(trainer.model)

    other, apart = fitted(clusters, seed=5, average=0.5), fitted(clusters, seed=5, average=0.5)
    xpnet.manual_seed(3)
    apart.fit(clusters, epochs=3, batch_size=10)
    xpnet.manual_seed(3)

    def asked(part):
        return lambda: xpnet.to_numpy(trainer.predict(part, batch_size=5)).tobytes()

    once = threading.Lock()  # the first call trains, the others have nothing to do

    def train():
        if once.acquire(blocking=False):
            other.fit(clusters, epochs=3, batch_size=10)

    whole = [xpnet.to_numpy(trainer.predict(part, batch_size=5)).tobytes() for part in parts]
    *found, _ = in_threads([*map(asked, parts), train])
    assert found == [[answer] * CALLS for answer in whole]
    assert image(trainer.model) == before
    assert [xpnet.to_numpy(trainer.predict(part)).tobytes() for part in parts] == alone
    assert {k: xpnet.to_numpy(x).tobytes() for k, x in other.model.state_dict().items()} == {
        k: xpnet.to_numpy(x).tobytes() for k, x in apart.model.state_dict().items()
    }


@pytest.mark.parametrize("average", [None, 0.9])
def test_threads_that_evaluate_do_not_disturb_each_other(backend, clusters, average):
    """Loss and metrics, by the trainer and by the function, are those of a single thread."""
    trainer = fitted(clusters, average=average)
    before = image(trainer.model)
    expected = trainer.evaluate(clusters)
    plain = evaluate(trainer.model, F.softmax_cross_entropy, clusters, [accuracy])
    assert (plain == expected) == (average is None)  # the average is another model
    tasks = [lambda: trainer.evaluate(clusters)] * (THREADS // 2)
    tasks += [lambda: evaluate(trainer.model, F.softmax_cross_entropy, clusters, [accuracy])] * 4
    found = in_threads(tasks)
    assert found == [[expected] * CALLS] * 4 + [[plain] * CALLS] * 4
    assert image(trainer.model) == before


@pytest.mark.parametrize("average", [None, 0.9])
def test_a_prediction_that_fails_changes_no_mode(backend, clusters, average):
    """After an error in the middle of a prediction, neither its thread nor others are affected."""
    trainer = fitted(clusters, average=average)
    before, x = image(trainer.model), clusters[0]
    expected = xpnet.to_numpy(trainer.predict(x)).tobytes()

    def good():
        return xpnet.to_numpy(trainer.predict(x)).tobytes()

    def bad():
        with pytest.raises(xpnet.ShapeError):
            trainer.predict(x[:, :3])
        with pytest.raises(xpnet.DataError):
            trainer.evaluate((x, np.full(110, 7)))
        assert trainer.model.training
        return good()

    assert in_threads([good, bad] * (THREADS // 2)) == [[expected] * CALLS] * THREADS
    assert image(trainer.model) == before


def test_a_prediction_does_not_disturb_the_training_of_the_same_model(backend, clusters):
    """Weights and running statistics are those of a training without predictions."""
    watched, alone = (fitted(clusters, average=0.9) for _ in range(2))
    stop, failures = threading.Event(), []

    def look():
        while not stop.is_set():
            try:
                y = xpnet.to_numpy(watched.predict(clusters[0]))
                assert np.all(np.isfinite(y))
                summary(watched.model, (4,))
            except BaseException as error:  # noqa: BLE001 - to be shown by the test
                failures.append(error)
                return

    xpnet.manual_seed(1)
    alone.fit(clusters, epochs=3, batch_size=10)
    threads = [threading.Thread(target=copy_context().run, args=(look,)) for _ in range(2)]
    xpnet.manual_seed(1)
    for thread in threads:
        thread.start()
    try:
        watched.fit(clusters, epochs=3, batch_size=10)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert image(watched.model)[0] == image(alone.model)[0]
    for a, b in zip(watched.learner.average.averages, alone.learner.average.averages, strict=True):
        assert xpnet.to_numpy(a).tobytes() == xpnet.to_numpy(b).tobytes()


def test_threads_compute_in_different_precision(backend, clusters):
    """Casts replace the parameters during a call; the layers keep their parameters."""
    model = network().eval()
    del model[3].scaled  # of a closure the parameters are the layer's own, of 32 bits
    try:
        precision = MixedPrecision(model, "float16")
    except xpnet.BackendError as error:
        pytest.skip(str(error))
    x = backend.asarray(clusters[0][:20])
    with xpnet.no_grad():
        low, full = xpnet.to_numpy(precision(x)).tobytes(), xpnet.to_numpy(model(x)).tobytes()
    assert low != full
    before = image(model)

    def in_16_bits():
        with xpnet.no_grad():
            return xpnet.to_numpy(precision(x)).tobytes()

    def in_32_bits():
        return xpnet.to_numpy(predict(model, x)).tobytes()

    found = in_threads([in_16_bits, in_32_bits] * 4)
    assert found == [[low] * CALLS, [full] * CALLS] * 4
    assert image(model) == before


def test_threads_that_summarize_do_not_see_each_other(backend):
    """A hook is called for its own thread only."""
    model = network()
    before, expected = image(model), str(summary(model, (4,)))
    x = np.ones((5, 4), "float32")
    y = xpnet.to_numpy(predict(model, x)).tobytes()
    tasks = [lambda: str(summary(model, (4,)))] * 4
    tasks += [lambda: xpnet.to_numpy(predict(model, x)).tobytes()] * 4
    assert in_threads(tasks) == [[expected] * CALLS] * 4 + [[y] * CALLS] * 4
    assert image(model) == before


def test_a_loader_is_not_in_evaluation_mode(clusters):
    """It makes the batches outside of the model: it may record and train between the calls."""
    seen = []

    class Noisy:
        """A loader that hides half of each batch."""

        def epoch(self, epoch, start=0):
            noise = L.Dropout(0.5, rng=0)
            for rows in (slice(0, 50), slice(50, 110)):
                y = noise(xpnet.Variable(clusters[0][rows]))
                seen.append((noise.training, y.requires_grad))
                yield y.data

    assert predict(network(), Noisy()).shape == (110, 3)
    assert seen == [(True, True)] * 2


def test_the_mode_of_a_call_overrides_that_of_a_class(clusters):
    """`training = False` in the body of a class is the initial mode of its layers."""

    class Frozen(Layer):
        training = False

        def forward(self, x):
            seen.append(self.training)
            return x

    class Noisy(L.Dropout):
        """Dropout in evaluation too, as for Monte Carlo: a property of its own decides."""

        training = property(lambda self: True)

    seen: list[bool] = []
    layer = Frozen()
    assert not layer.training
    layer.train()
    assert layer.training
    predict(layer, clusters[0])
    assert seen == [False]
    assert layer.training
    y = xpnet.to_numpy(predict(Noisy(0.5, rng=0), clusters[0]))
    assert 0 < (y == 0.0).sum() < y.size


def test_a_model_with_averages_can_be_copied_and_pickled(backend, clusters):
    """Its parameters keep their class in repr, in copies and in pickles."""
    trainer = fitted(clusters, average=0.9)
    p = next(trainer.model.parameters())
    assert type(p).__name__ == "Parameter"
    model = xpnet.Sequential(*(layer for layer in trainer.model if not isinstance(layer, Moody)))
    assert type(next(copy.deepcopy(model).parameters())) is Parameter
    if backend.name.startswith("array_api_strict"):
        return  # its arrays are not pickled
    again = pickle.loads(pickle.dumps(model))
    for name, x in model.state_dict().items():
        assert xpnet.to_numpy(again.state_dict()[name]).tobytes() == xpnet.to_numpy(x).tobytes()
    assert type(next(again.parameters())) is Parameter
    with trainer.averaged():
        inside = copy.deepcopy(model)
        expected = {name: xpnet.to_numpy(x).tobytes() for name, x in model.state_dict().items()}
    assert {k: xpnet.to_numpy(x).tobytes() for k, x in inside.state_dict().items()} == expected
    assert expected != {k: xpnet.to_numpy(x).tobytes() for k, x in model.state_dict().items()}


def test_averages_are_used_however_a_parameter_is_reached(backend):
    """By a closure, by a list, and by the parameter itself; and in this thread only."""
    p = Parameter(backend.asarray([1.0, 2.0]))
    average = ExponentialMovingAverage([p], 0.5)
    held, double = [p], lambda: p * 2.0
    p.data = backend.asarray([3.0, 6.0])
    average.update()
    with average.applied():
        assert xpnet.to_numpy(double()).tolist() == [4.0, 8.0]
        assert xpnet.to_numpy(held[0]).tolist() == [2.0, 4.0]
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: xpnet.to_numpy(p).tolist()).result() == [3.0, 6.0]
        loss = F.sum(p * p)
        loss.backward()
        assert xpnet.to_numpy(p.grad).tolist() == [4.0, 8.0]
    assert xpnet.to_numpy(double()).tolist() == [6.0, 12.0]


def test_a_prediction_does_not_invalidate_the_graph_of_a_training(backend):
    """Another thread predicts with the averages between forward and backward: the gradient is right."""
    model = xpnet.Affine(2, 1, rng=0)
    trainer = Trainer(model, F.mean_squared_error, xpnet.SGD(model.parameters()), average=0.9)
    x, t = backend.asarray([[1.0, 2.0], [0.5, 1.0]]), backend.asarray([[1.0], [2.0]])
    loss = F.mean_squared_error(model(x), t)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(copy_context().run, trainer.predict, x).result()
    loss.backward()
    expected = model.weight.grad
    model.zero_grad()
    F.mean_squared_error(model(x), t).backward()
    assert xpnet.to_numpy(model.weight.grad).tobytes() == xpnet.to_numpy(expected).tobytes()
