"""Splitting by a seed, class by class; and standardisation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from xpnet import ArgumentTypeError, DataError, ShapeError
from xpnet.data import Standardizer, split


@settings(max_examples=50, deadline=None)
@given(
    t=st.lists(st.integers(0, 4), min_size=8, max_size=60),
    fraction=st.sampled_from([0.1, 0.2, 0.5, 0.9]),
    seed=st.integers(0, 2**32),
)
def test_each_row_is_in_one_part_and_no_class_is_unseen(t, fraction, seed):
    """This holds for any classes; each has its share of the test to within one sample."""
    t = np.asarray(t)
    try:
        train, test = split(t, fraction, seed)
    except DataError as error:  # eight classes of one sample leave nothing for the test
        assert "too few" in str(error)
        return
    assert sorted([*train, *test]) == list(range(len(t)))
    assert set(t[test]) <= set(t[train])
    share = math.ceil(fraction * len(t)) / len(t)
    for c in np.unique(t):
        n = np.sum(t == c)
        tested = np.sum(t[test] == c)
        assert tested <= n - 1
        assert abs(tested - share * n) <= 1 or tested == n - 1


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.25, 0.5])
@pytest.mark.parametrize("kind", ["classes", "names", "flags", "numbers", "rows"])
def test_the_rows_are_those_of_scikit_learn(kind, fraction):
    """Seed by seed, for classes of any sizes, whose shares of the test are seldom whole numbers."""
    model_selection = pytest.importorskip("sklearn.model_selection")
    for seed in [*range(20), 2**32 - 1]:
        rng = np.random.default_rng(seed)
        n = int(rng.integers(40, 90))
        t = np.concatenate([np.repeat(np.arange(4), 3), rng.geometric(0.6, n) % 4])
        t = {
            "classes": t,
            "names": t.astype(str),
            "flags": t > 0,
            "numbers": rng.normal(size=n),
            "rows": t[:, None],
        }[kind]
        groups = None if kind in ("numbers", "rows") else t
        expected = model_selection.train_test_split(
            np.arange(len(t)), test_size=fraction, random_state=seed, stratify=groups
        )
        for rows, theirs in zip(split(t, fraction, seed), expected, strict=True):
            assert rows.dtype == np.int64
            assert rows.tolist() == sorted(theirs.tolist())


def test_the_rows_of_a_seed_do_not_change():
    """These are recorded, so that a run's test stays its test with any version of any library."""
    names = ["a"] * 5 + ["b"] * 4 + ["c"]
    assert split(names, 0.3, seed=7)[1].tolist() == [1, 4, 8]
    assert split(np.linspace(0, 1, 10), 0.3, seed=7)[1].tolist() == [0, 5, 8]
    assert split(names, 0.3, seed=2**32)[1].tolist() == [2, 4, 7]


def test_a_class_that_scikit_learn_refuses_stays_for_training():
    """One sample of it, however large the test's share is."""
    train, test = split([0, 0, 0, 0, 1, 2, 2], 0.6, seed=0)
    assert set(train.tolist()) >= {4}
    assert len(test) == 4


def test_the_test_has_its_share_of_all_samples():
    """Errors of rounding do not add up over the classes."""
    t = np.repeat(np.arange(100), 3)  # 0.6 of a sample each
    train, test = split(t, 0.2, seed=0)
    assert (len(train), len(test)) == (240, 60)


def test_a_seed_gives_the_same_rows():
    t = np.arange(1000) % 7
    assert np.array_equal(split(t, 0.3, 1)[1], split(t, 0.3, 1)[1])
    assert not np.array_equal(split(t, 0.3, 1)[1], split(t, 0.3, 2)[1])
    numbers = np.linspace(0, 1, 50)
    assert len(split(numbers, 0.2)[1]) == 10


@pytest.mark.parametrize("names", [[False, True], ["no", "yes"], [b"no", b"yes"]])
def test_classes_may_be_strings_booleans_or_lists(names):
    """They are split like their numbers."""
    t = [0] * 90 + [1] * 10
    expected = split(t, 0.2, seed=5)
    assert np.bincount(np.asarray(t)[expected[1]]).tolist() == [18, 2]
    for rows, same in zip(split([names[i] for i in t], 0.2, seed=5), expected, strict=True):
        assert np.array_equal(rows, same)


@pytest.mark.parametrize("dtype", [object, np.dtypes.StringDType()])
def test_strings_are_classes_however_numpy_holds_them(dtype):
    """A column of pandas becomes an array of objects."""
    t = ["yes", *["no"] * 9] * 10
    expected = split(t, 0.2, seed=5)
    for rows, same in zip(split(np.asarray(t, dtype), 0.2, seed=5), expected, strict=True):
        assert np.array_equal(rows, same)


@pytest.mark.parametrize("t", [[None] * 10, ["yes", None] * 5, np.asarray([[1.0, "a"]], object)])
def test_objects_other_than_strings_are_refused(t):
    with pytest.raises(ArgumentTypeError, match=r"got objects such as (None|1\.0)"):
        split(t)


def test_a_seed_is_a_whole_number():
    t = np.arange(20)
    for seed in np.int64(3), np.uint8(3):
        assert np.array_equal(split(t % 2, 0.3, seed)[1], split(t % 2, 0.3, 3)[1])
    for seed in None, 1.0, "1", [1]:
        with pytest.raises(ArgumentTypeError, match="Expected a whole number as the seed"):
            split(t % 2, 0.3, seed)


def test_too_few_samples_and_invalid_shares_are_refused():
    with pytest.raises(ShapeError, match=r"got shape \(\)"):
        split(3)
    with pytest.raises(DataError, match="1 sample is too few"):
        split(np.zeros(1))
    with pytest.raises(DataError, match="too few"):
        split(np.arange(5))
    for fraction in 0, 1, -0.5:
        with pytest.raises(ValueError, match="between 0 and 1"):
            split(np.zeros(10), fraction)
    with pytest.raises(ValueError, match="a seed of at least 0, got -1"):
        split(np.zeros(10), seed=-1)


def test_standardizer_equals_that_of_scikit_learn():
    """This includes a constant feature."""
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    x = np.random.default_rng(0).normal(3, 2, (50, 4))
    x[:, 1] = 0.1
    expected = preprocessing.StandardScaler().fit(x)
    found = Standardizer.of(x)
    np.testing.assert_allclose(found.mean, expected.mean_, rtol=1e-12)
    np.testing.assert_allclose(found.scale, expected.scale_, rtol=1e-12)
    np.testing.assert_allclose(found(x), expected.transform(x), rtol=1e-9, atol=1e-12)


def test_standardizer_refuses_another_number_of_features():
    assert Standardizer.of([[1, 2], [3, 2]])([[3, 4]]).tolist() == [[1, 2]]
    for x in np.zeros(3), np.zeros((0, 3)):
        with pytest.raises(ShapeError, match=r"\(n, features\), n >= 1, got"):
            Standardizer.of(x)
    with pytest.raises(ShapeError, match=r"\(n, 2\), got \(3,\)"):
        Standardizer((0.0, 0.0), (1.0, 1.0))(np.zeros(3))
