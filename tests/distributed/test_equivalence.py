"""N ranks with a share of each batch learn what one rank learns from the whole batch."""

import time

import numpy as np
import pytest

import xpnet
from tests.distributed.trainings import (
    arrays_of,
    assert_same,
    clusters,
    mlp,
    on_ranks,
    train,
)
from xpnet import distributed, functions as F
from xpnet.compiler.replay import Replay
from xpnet.data import DataLoader
from xpnet.metrics import F1, RocAuc, accuracy
from xpnet.optimizers import BY_NAME, clip_grad_value
from xpnet.training import Callback, EarlyStopping, ReduceOnPlateau, StopOnNaN, Trainer
from xpnet.training.precision import MixedPrecision


@pytest.mark.parametrize("kind", BY_NAME)
def test_each_optimizer_makes_the_steps_of_one_rank(kind):
    """102 steps, of which each sixth has 10 samples: 4, 3 and 3 of them on the three ranks."""
    options = {"kind": kind, "epochs": 17, "compile": False}
    alone = train(None, **options)
    assert alone.steps == 102
    assert_same(alone, on_ranks(3, **options))


@pytest.mark.parametrize("kind", BY_NAME)
def test_compiled_steps_are_cut_where_gradients_are_added_up(kind):
    options = {"kind": kind, "epochs": 17, "metrics": []}
    together = on_ranks(3, **options)
    assert_same(train(None, **options), together)
    # `step` takes the rows of a batch and computes the gradients; `prepared` is for the short batches.
    assert together.replayed == ["step", "prepared", "move"]


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_compiled_update_finds_the_same_gradient_arrays_in_each_step(monkeypatch, clip):
    """Plans look for the arrays of the state anew, which takes longer than a step, in epoch 1 only."""
    looked = []
    bind = Replay.bind

    def noted(self):
        looked.append(self)
        return bind(self)

    class Forget(Callback):
        reads_gradients = False

        def on_epoch(self, trainer):
            if len(trainer.history) == 1:
                assert looked  # the attribute is still what a replay calls
                looked.clear()

    monkeypatch.setattr(Replay, "bind", noted)
    train(Doubled(), data=clusters(120), metrics=[], callbacks=[Forget()], clip=clip)
    assert looked == []


class Doubled(distributed.SingleProcess):
    """A rank of two, which takes its own arrays for those of the other one, too."""

    size = 2

    def allgather(self, value):
        return [value, value]

    def allreduce_start(self, x, op="sum", compression=None):
        x *= 2
        return distributed.Pending(None, lambda: x)


@pytest.mark.parametrize("compile", [None, False])
def test_each_library_makes_the_steps_of_one_rank(backend64, compile):
    options = {"spec": backend64.name, "compile": compile, "data": clusters(41)}
    options |= {"metrics": [accuracy, F1("macro")], "test": clusters(22)}
    assert_same(train(None, **options), on_ranks(3, **options))


def test_a_rank_without_samples_takes_part():
    """The last batch has one sample."""
    data = clusters(41)
    assert_same(train(None, data=data), on_ranks(3, data=data))


def test_figures_of_the_test_data_are_those_of_the_whole():
    """22 samples: 8, 7 and 7 of them on the three ranks."""
    options = {"test": clusters(22), "metrics": [accuracy, F1(average="macro"), RocAuc()]}
    assert_same(train(None, **options), on_ranks(3, **options))


def test_test_data_may_be_fewer_than_ranks():
    assert_same(train(None, test=clusters(2)), on_ranks(3, test=clusters(2)))


@pytest.mark.parametrize("compile", [None, False])
def test_batches_of_test_data_may_be_fewer_than_ranks(compile):
    """The last batch of a loader, and each one of an iterable, leaves ranks without samples."""
    x, t = clusters(41)
    pairs = [(x[i : i + 2], t[i : i + 2]) for i in range(0, 12, 2)]

    def loader():
        with xpnet.using("numpy", dtype="float64"):
            return DataLoader(x, t, batch_size=20)

    for test in (loader, lambda: pairs):
        options = {"metrics": [accuracy, F1("macro")], "compile": compile}
        assert_same(train(None, test=test(), **options), on_ranks(3, test=test(), **options))


def test_accumulated_gradients_are_added_up_once_for_each_step(monkeypatch):
    sums = []
    finish = distributed.GradientSum.finish

    def counted(self, samples, signals=()):
        sums.append(samples)
        return finish(self, samples, signals)

    monkeypatch.setattr(distributed.GradientSum, "finish", counted)
    options = {"accumulate": 4, "epochs": 2, "data": clusters(103)}
    together = on_ranks(2, **options)
    assert_same(train(None, **options), together)
    assert together.steps == 4
    assert sorted(sums) == sorted(2 * [40, 40, 12, 11])


@pytest.mark.parametrize("compile", [None, False])
def test_accumulation_with_shares_that_are_empty(compile):
    """Batches of 2 samples on three ranks: one rank never has a sample."""
    options = {"accumulate": 3, "epochs": 2, "batch_size": 2, "data": clusters(25)}
    options["compile"] = compile
    assert_same(train(None, **options), on_ranks(3, **options))


def stepped(communicator, before_step, **options):
    """The weights after twelve steps of ten samples, without `fit`, and what was done before each of them."""
    x, t = clusters(80)
    rank = 0 if communicator is None else communicator.rank
    size = 1 if communicator is None else communicator.size
    part = distributed.share_of(10, rank, size)
    with xpnet.using("numpy", dtype="float64"):
        model = mlp()
        optimizer = xpnet.SGD(model.parameters(), 0.1)
        trainer = Trainer(
            model, F.softmax_cross_entropy, optimizer, communicator=communicator, **options
        )
        for i in range(12):
            before_step(model, i)
            batch = slice(5 * i, 5 * i + 10)
            trainer.step(x[batch][part], t[batch][part])
        return arrays_of(trainer)


@pytest.mark.parametrize("compile", [None, False])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("at", [3, 4, 5])
def test_parameters_may_be_frozen_between_batches(compile, accumulate, at):
    """With three batches in a step, 3 is before the second step, and the others are within it."""
    kept = {}

    def freeze(model, i):
        w = model.layers[2].weight
        if i in (at, at + 4):
            w.requires_grad = i != at
        if i == at:
            kept[id(model)] = w.data.copy()
        if at < i <= at + 3:
            np.testing.assert_array_equal(w.data, kept[id(model)])

    options = {"accumulate": accumulate, "compile": compile}
    alone = stepped(None, freeze, **options)
    for together in distributed.run(3, lambda c: stepped(c, freeze, **options)):
        for name, x in alone.items():
            np.testing.assert_allclose(together[name], x, rtol=1e-9, atol=1e-12, err_msg=name)


def test_two_trainers_may_share_a_communicator():
    """Their steps alternate."""

    def both(communicator):
        with xpnet.using("numpy", dtype="float64"):
            others = [xpnet.MLP(4, 5, 3, activation="tanh", rng=3)]
            other = Trainer(
                others[0],
                F.softmax_cross_entropy,
                xpnet.SGD(others[0].parameters(), 0.1),
                communicator=communicator,
            )
        x, t = clusters(12)
        part = slice(None)
        if communicator is not None:
            part = distributed.share_of(12, communicator.rank, communicator.size)
        own = stepped(communicator, lambda model, i: other.step(x[part], t[part]))
        return [*own.values(), *arrays_of(other).values()]

    alone = both(None)
    for together in distributed.run(2, both):
        for x, y in zip(alone, together, strict=True):
            np.testing.assert_allclose(y, x, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("clip", [0.05, lambda parameters: clip_grad_value(parameters, 0.01)])
def test_what_clips_sees_the_gradient_of_the_whole(clip):
    options = {"clip": clip, "kind": "sgd", "lr": 0.5}
    alone = train(None, **options)
    assert_same(alone, on_ranks(2, **options))
    unclipped = train(None, kind="sgd", lr=0.5)
    assert not np.allclose(
        alone.state["model.layers.0.weight"], unclipped.state["model.layers.0.weight"], rtol=1e-3
    )


def test_schedule_and_average():
    options = {"schedule": lambda step: 1.0 / (1.0 + step), "average": 0.9, "test": clusters(30)}
    assert_same(train(None, **options), on_ranks(2, **options))


def test_early_stopping_and_the_plateau_are_decided_for_the_whole():
    def callbacks():
        return [
            EarlyStopping(patience=5, min_delta=0.2),
            ReduceOnPlateau("test_accuracy", patience=1),
        ]

    options = {"test": clusters(30), "epochs": 12, "lr": 0.05}
    alone = train(None, callbacks=callbacks(), **options)
    assert len(alone.history) < 12
    assert alone.history[-1]["lr"] < 0.05
    together = distributed.run(2, lambda c: train(c, callbacks=callbacks(), **options))
    for outcome in together:
        assert_same(alone, outcome)


def test_log_lines_are_of_all_ranks():
    """The progress bar shows them: samples, losses and metrics after each step."""

    def logged(communicator):
        lines = []

        class Log(Callback):
            def on_log(self, trainer, progress):
                lines.append([progress.seen, progress.samples, *progress.figures.values()])

        train(communicator, callbacks=[Log()], log_every=0.0, data=clusters(41), epochs=2)
        return lines

    alone = logged(None)
    assert [line[:2] for line in alone] == 2 * [[20, 41], [40, 41], [41, 41]]
    for lines in distributed.run(3, logged):
        np.testing.assert_allclose(lines, alone, rtol=1e-9)


def test_a_callback_of_one_rank_stops_all():
    class Stop(Callback):
        def on_epoch(self, trainer):
            if trainer.communicator.rank == 1:
                trainer.stop("rank 1 has had enough")

    outcomes = distributed.run(2, lambda c: train(c, callbacks=[Stop()], epochs=5))
    assert [len(outcome.history) for outcome in outcomes] == [1, 1]


def test_loaders_and_iterables_give_each_rank_its_part():
    x, t = clusters(50)
    parts = [(x[i : i + 7], t[i : i + 7]) for i in range(0, 50, 7)]

    def shuffled():
        return DataLoader(x, t, batch_size=12, shuffle=True, seed=3)

    for data in (
        shuffled,
        lambda: parts,
        lambda: DataLoader(lambda: zip(x, t, strict=True), batch_size=12),
    ):
        assert_same(train(None, data=data()), on_ranks(3, data=data()))


@pytest.mark.parametrize("options", [{}, {"last": "fill"}, {"last": "drop"}, {"resident": True}])
def test_shares_of_all_ranks_are_the_batches(options):
    x, t = clusters(23)
    with xpnet.using("numpy", dtype="float64"):
        loader = DataLoader(x, t, batch_size=5, shuffle=True, seed=1, **options)
        shares = [loader.share(rank, 3) for rank in range(3)]
        for start in (0, 2):
            batches = list(loader.epoch(2, start))
            parts = list(zip(*[share.epoch(2, start) for share in shares], strict=True))
            assert len(parts) == len(batches) == len(loader) - start
            for (xb, tb), ranks in zip(batches, parts, strict=True):
                np.testing.assert_array_equal(np.concatenate([part[0] for part in ranks]), xb)
                np.testing.assert_array_equal(np.concatenate([part[1] for part in ranks]), tb)
        rows = np.concatenate([share.rows(2, 1) for share in shares])
        np.testing.assert_array_equal(rows, loader.rows(2, 1))


def test_a_transform_draws_other_numbers_on_each_rank():
    x = np.zeros((8, 1))

    def noise(batch, rng):
        return batch + rng.normal(size=batch.shape)

    with xpnet.using("numpy", dtype="float64"):
        loader = DataLoader(x, batch_size=4, transform=noise, seed=1)
        first, second = ([*loader.share(rank, 2).epoch(1)] for rank in range(2))
        again = [*loader.share(1, 2).epoch(1)]
    assert not np.isin(first, second).any()
    np.testing.assert_array_equal(second, again)


# --- mixed precision and compression --------------------------------------------------------------


def test_an_overflow_on_one_rank_skips_the_step_on_all():
    scales = {}

    def fit(communicator):
        with xpnet.using("numpy"):
            model = mlp()
            precision = MixedPrecision(model, "float16", scale=1024.0)
            seen = scales.setdefault(communicator.rank, [])

            class Look(Callback):
                def on_step(self, trainer):
                    w = model.state_dict()["layers.0.weight"].copy()
                    seen.append((precision.scale, precision.good, w))

            optimizer = xpnet.SGD(model.parameters(), 0.1)
            trainer = Trainer(
                model,
                overflowing_on(communicator),
                optimizer,
                callbacks=[Look()],
                rng=0,
                precision=precision,
                communicator=communicator,
            )
            x, t = clusters(60)
            trainer.fit((x.astype("float32"), t), None, 1, 20)
            return arrays_of(trainer)

    first, second = distributed.run(2, fit)
    for name, x in first.items():
        np.testing.assert_array_equal(second[name], x)
    for rank in (0, 1):
        numbers = [(scale, good) for scale, good, _ in scales[rank]]
        assert numbers == [(1024.0, 1), (512.0, 0), (512.0, 1)]
        weights = [w for _, _, w in scales[rank]]
        np.testing.assert_array_equal(weights[0], weights[1])
        assert not np.array_equal(weights[1], weights[2])


def overflowing_on(communicator):
    """A loss whose value is as usual, and whose gradient is too large for float16 on rank 1 in step 2."""
    rank = communicator.rank  # the loss must not hold the communicator, which the ranks share
    steps = []

    def loss(y, t):
        steps.append(None)
        mean = F.softmax_cross_entropy(y, t)
        if rank == 0 or len(steps) != 2:
            return mean
        return mean + (mean - mean.data) * 1e30

    return loss


def test_mixed_precision_makes_the_steps_of_one_rank():
    options = {"precision": "float16", "dtype": "float32", "data": tuple_of_float32(80)}
    assert_same(train(None, **options), on_ranks(2, **options), rtol=5e-3)


def tuple_of_float32(n):
    x, t = clusters(n)
    return x.astype("float32"), t


@pytest.mark.parametrize(("compression", "digits"), [("float16", 2e-3), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("compile", [None, False])
def test_compressed_gradients_make_nearly_the_same_steps(compression, digits, compile):
    options = {"kind": "sgd", "lr": 0.1, "compile": compile}
    alone = train(None, **options)
    together = on_ranks(2, compression=compression, **options)
    assert_same(alone, together, rtol=digits)
    name = "model.layers.0.weight"
    assert not np.allclose(alone.state[name], together.state[name], rtol=1e-9, atol=0)


def test_a_step_that_was_interrupted_leaves_nothing_behind():
    """The walk back raises after some gradients were on their way on both ranks."""

    class Raises(xpnet.Layer):
        armed = True

        def forward(self, x):
            return Failing(self)(x)

    class Failing(xpnet.Function):
        def __init__(self, layer):
            self.layer = layer

        def forward(self, x):
            return x

        def backward(self, gy):
            if self.layer.armed:
                raise xpnet.DataError("in the middle of the walk back")
            return gy

    def fit(communicator):
        with xpnet.using("numpy", dtype="float64"):
            raises = Raises()
            model = xpnet.Sequential(xpnet.Affine(4, 8, rng=0), raises, xpnet.Affine(8, 3, rng=1))
            trainer = Trainer(
                model,
                F.softmax_cross_entropy,
                xpnet.SGD(model.parameters(), 0.1),
                rng=0,
                communicator=communicator,
                compile=False,
            )
            data = clusters(40)
            with pytest.raises(xpnet.DataError, match="in the middle"):
                trainer.fit(data, None, 1, 20)
            raises.armed = False
            trainer.fit(data, None, 2, 20)
            return arrays_of(trainer)

    alone = fit(None)
    for outcome in distributed.run(2, fit):
        for name, x in alone.items():
            np.testing.assert_allclose(outcome[name], x, rtol=1e-6, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("compile", [None, False])
def test_a_rank_whose_step_has_failed_makes_no_other_one(compile):
    """Rank 1 catches the error; the gradients of its next batch are not added to those of the last one."""
    found = {}

    def fit(communicator):
        rank = communicator.rank
        batches = []

        def loss(y, t):
            if rank == 1 and len(batches) == 3:
                raise xpnet.DataError("on rank 1 only")
            return F.softmax_cross_entropy(y, t)

        x, t = clusters(10)
        with xpnet.using("numpy", dtype="float64"):
            model = mlp()
            optimizer = xpnet.SGD(model.parameters(), 0.1)
            trainer = Trainer(model, loss, optimizer, communicator=communicator, compile=compile)
            found[rank] = []
            for _ in range(5):
                batches.append(None)
                try:
                    trainer.step(x[5 * rank : 5 * rank + 5], t[5 * rank : 5 * rank + 5])
                except xpnet.XpnetError as error:
                    found[rank].append(type(error))
            return trainer.steps

    assert distributed.run(2, fit, timeout=0.5) == [2, 2]
    assert found[0] == [xpnet.DistributedError, xpnet.StateError, xpnet.StateError]
    assert found[1] == [xpnet.DataError, xpnet.StateError, xpnet.StateError]


# --- values that are not finite -------------------------------------------------------------------


@pytest.mark.parametrize("callbacks", [list, lambda: [StopOnNaN()]])
def test_a_nan_in_the_share_of_one_rank_ends_all(callbacks):
    """Sample 7 of the data; the rank that has it names it, with or without StopOnNaN."""
    x, t = clusters(30)
    x[7, 2] = np.nan
    messages = {}

    def fit(communicator):
        with xpnet.using("numpy", dtype="float64"):
            data = DataLoader(x, t, batch_size=10)
            with pytest.raises((xpnet.DataError, xpnet.TrainingError)) as raised:
                train(communicator, data=data, callbacks=callbacks(), log_every=0.0)
            messages[communicator.rank] = str(raised.value)

    distributed.run(2, fit)
    assert "nan at [7, 2], of sample 7" in messages[1]
    assert "in epoch 1" in messages[0]


# --- what makes ranks equal -----------------------------------------------------------------------


def test_ranks_begin_with_the_weights_and_the_order_of_rank_0():
    def fit(communicator):
        def build():
            return xpnet.MLP(4, 8, 3, activation="tanh", rng=communicator.rank)

        return train(communicator, build=build, rng=communicator.rank)

    first, second = distributed.run(2, fit)
    assert_same(train(None), first)
    assert_same(first, second, rtol=0)


def test_ranks_that_diverge_are_named_with_the_first_parameter():
    class Change(Callback):
        def on_step(self, trainer):
            if trainer.communicator.rank == 2 and trainer.batch == 4:
                trainer.model.layers[2].bias.data[0] += 1e-12

    message = "The ranks differ after epoch 1: model.layers.2.bias on rank 2 is not that on rank 0"
    with pytest.raises(xpnet.DistributedError, match=message):
        distributed.run(3, lambda c: train(c, callbacks=[Change()]))


def own_part(data, communicator):
    """The part of the data that a rank would be given elsewhere."""
    part = distributed.share_of(len(data[1]), communicator.rank, communicator.size)
    return data[0][part], data[1][part]


@pytest.mark.parametrize("n", [60, 61])
@pytest.mark.parametrize("name", ["data", "test"])
def test_ranks_with_different_data_are_an_error_at_the_start(n, name):
    """Each rank is given its part only: of equal or of unequal size."""
    raised = []

    def fit(communicator):
        with pytest.raises(xpnet.DataError, match="Give each rank the whole data") as error:
            train(communicator, **{name: own_part(clusters(n), communicator)})
        raised.append(str(error.value))

    distributed.run(2, fit)
    first, second = raised
    assert first == second
    assert f"the same {'train' if name == 'data' else 'test'} data" in first
    assert ("'samples': 30" in first) == (n == 61)


def test_loaders_of_different_batches_are_an_error_at_the_start():
    x, t = clusters(60)

    def fit(communicator):
        data = DataLoader(x, t, batch_size=10 + communicator.rank)
        with pytest.raises(xpnet.DataError, match="'batch_size': 11"):
            train(communicator, data=data)

    distributed.run(2, fit)


def test_models_of_different_shapes_are_an_error_at_the_start():
    def build_on(communicator):
        return lambda: xpnet.MLP(4, 8 + communicator.rank, 3, rng=0)

    with pytest.raises((xpnet.StateError, xpnet.DistributedError), match="shape"):
        distributed.run(2, lambda c: train(c, build=build_on(c)))


def test_metrics_that_cannot_be_merged_are_an_error_at_the_start():
    class Count:
        name = "count"

        def update(self, y, t): ...

        def compute(self):
            return 0.0

        def reset(self): ...

    with pytest.raises(xpnet.ArgumentError, match="merge"):
        distributed.run(2, lambda c: train(c, metrics=[Count()]))


class Dropped(xpnet.Layer):
    """An MLP with dropout, which notes its masks."""

    def __init__(self, rng):
        self.first = xpnet.Affine(4, 8, rng=0)
        self.dropout = xpnet.Dropout(0.5, rng=rng)
        self.last = xpnet.Affine(8, 3, rng=1)
        self.masks = []

    def forward(self, x):
        y = self.dropout(F.exp(self.first(x)))
        if self.training:
            self.masks.append(xpnet.to_numpy(y) == 0.0)
        return self.last(y)


@pytest.mark.parametrize("rng", [None, 5])
def test_dropout_masks_differ_between_ranks_and_are_reproducible(rng):
    def fit(communicator):
        model = None

        def build():
            nonlocal model
            model = Dropped(rng)
            return model

        train(communicator, build=build, compile=False, epochs=2)
        return np.concatenate(model.masks)

    xpnet.manual_seed(3)
    first, second = distributed.run(2, fit)
    assert first.shape == second.shape == (110, 8)
    assert 0.3 < np.mean(first != second) < 0.7
    xpnet.manual_seed(3)
    again = distributed.run(2, fit)
    np.testing.assert_array_equal(first, again[0])
    np.testing.assert_array_equal(second, again[1])


def test_parameters_without_a_gradient_stay_as_they_are():
    """The second branch gets a gradient on rank 1 only, the third one on none."""

    class Branches(xpnet.Layer):
        def __init__(self):
            self.branches = [xpnet.Affine(4, 3, rng=i) for i in range(3)]

        def forward(self, x):
            y = self.branches[0](x)
            return y + self.branches[1](x) if distributed.current().rank == 1 else y

    options = {"build": Branches, "kind": "adamw", "compile": False, "epochs": 1}
    before = xpnet.to_numpy(Branches().branches[2].weight.data)
    together = on_ranks(2, **options)
    np.testing.assert_allclose(together.state["model.branches.2.weight"], before, rtol=1e-6)
    assert together.state["optimizer.4.m"].any() or together.state["optimizer.2.m"].any()


class SlowAtRandom(Callback):
    """Ranks fall behind and catch up."""

    def __init__(self, rank):
        self.rng = np.random.default_rng(rank)

    def on_step(self, trainer):
        if self.rng.random() < 0.02:
            time.sleep(self.rng.random() / 100)


@pytest.mark.parametrize(
    ("ranks", "steps"), [(8, 50), pytest.param(64, 1000, marks=pytest.mark.slow)]
)
def test_many_ranks_that_are_slow_at_random_end_with_equal_weights(ranks, steps):
    """Batches of 64 samples; the last one of each of ten epochs has 16. 64 ranks take half a minute: slow."""
    batches = steps // 10  # in each of ten epochs
    data = clusters((batches - 1) * 64 + 16)
    options = {"data": data, "batch_size": 64, "epochs": 10, "compile": False}
    outcomes = distributed.run(
        ranks, lambda c: train(c, callbacks=[SlowAtRandom(c.rank)], **options), timeout=300.0
    )
    for other in outcomes[1:]:
        for name, x in outcomes[0].state.items():
            np.testing.assert_array_equal(other.state[name], x)
    assert outcomes[0].steps == steps
    assert_same(train(None, **options), outcomes[0])


# --- resuming -------------------------------------------------------------------------------------


class StopAfter(Callback):
    """Saves the training in the middle of an epoch, as Ctrl-C does."""

    def __init__(self, path, epoch, batch):
        self.path, self.where = path, (epoch, batch)

    def on_step(self, trainer):
        if (len(trainer.history) + 1, trainer.batch) == self.where:
            trainer.save(self.path)


@pytest.mark.parametrize("ranks", [(2, 1, 3), (1, 3, 2), (2, 2, 2)])
def test_a_training_is_resumed_on_another_number_of_ranks(tmp_path, ranks):
    def run(number, size, resume, save):
        options = {"epochs": 2 + number, "test": clusters(30), "metrics": [accuracy, F1("macro")]}
        options["callbacks"] = [StopAfter(tmp_path / "state", number + 2, 4)] if save else []
        options |= {"resume": tmp_path / "state" if resume else None}
        if size == 1:
            return train(None, **options)
        return on_ranks(size, **options)

    for number, size in enumerate(ranks):
        last = run(number, size, number > 0, number < 2)
    alone = train(None, epochs=4, test=clusters(30), metrics=[accuracy, F1("macro")])
    assert_same(alone, last)


def test_a_resumed_training_with_dropout_repeats_the_bits(tmp_path):
    path = tmp_path / "state"

    class Save(Callback):
        order = 1

        def on_epoch(self, trainer):
            if len(trainer.history) == 2:
                trainer.save(path)

    def build():
        return xpnet.Sequential(
            xpnet.Affine(4, 8, rng=0), xpnet.ReLU(), xpnet.Dropout(0.5), xpnet.Affine(8, 3, rng=1)
        )

    whole = distributed.run(2, lambda c: train(c, build=build, epochs=4, callbacks=[Save()]))
    resumed = distributed.run(2, lambda c: train(c, build=build, epochs=4, resume=path))
    for a, b in zip(whole, resumed, strict=True):
        for name, x in a.state.items():
            np.testing.assert_array_equal(b.state[name], x)


def test_a_checkpoint_that_is_missing_is_an_error_on_all_ranks(tmp_path):
    def fit(communicator):
        with pytest.raises((xpnet.StateError, xpnet.DistributedError), match="no-such-file"):
            train(communicator, resume=tmp_path / "no-such-file")

    distributed.run(2, fit)


def test_only_rank_0_writes(tmp_path):
    from xpnet.training import Checkpoint, CSVLogger

    def fit(communicator):
        folder = tmp_path / str(communicator.rank)
        folder.mkdir()
        callbacks = [Checkpoint(folder, every_seconds=1e-6), CSVLogger(folder / "history.csv")]
        return train(communicator, callbacks=callbacks, epochs=2)

    distributed.run(2, fit)
    written = {path.name for path in (tmp_path / "0").iterdir()}
    assert {"last.safetensors", "best.safetensors", "history.csv"} <= written
    assert list((tmp_path / "1").iterdir()) == []
