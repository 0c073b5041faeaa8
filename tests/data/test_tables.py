"""Tables for training and test: classes, standardisation, and the schema."""

import json

import numpy as np
import pytest

from xpnet import ArgumentError, ArgumentTypeError, DataError, ShapeError, StateError
from xpnet.data import Schema, Standardizer, load_table, tables

ROWS = [(i, 10 - 3 * i, ["cat", "dog", "eel"][i % 3]) for i in range(30)]


def table(rows=ROWS, head="a,b,kind"):
    return "\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n"


@pytest.fixture
def write(tmp_path):
    def write(text, name="table.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def refusal(*arguments, **options):
    with pytest.raises(DataError) as caught:
        load_table(*arguments, **options)
    return str(caught.value)


def test_classes_are_numbered_in_alphabetical_order(write):
    """Each class occurs in both parts."""
    (x, t), (x_test, t_test), schema = load_table(write(table()), test=0.2, seed=1)
    assert (x.shape, x.dtype, t.shape, t.dtype) == ((24, 2), np.float32, (24,), np.int64)
    assert (x_test.shape, t_test.shape) == ((6, 2), (6,))
    assert schema.classes == ("cat", "dog", "eel")
    assert schema.features == ("a", "b")
    assert schema.target == "kind"
    assert np.bincount(t_test).tolist() == [2, 2, 2]
    # Without the scaling of the training rows, these are the numbers of the file.
    mean, scale = map(np.asarray, schema.standardizer)
    a = np.rint(x * scale + mean)[:, 0]
    assert np.array_equal(a.astype(int) % 3, t)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(axis=0), 1, atol=1e-6)


def test_the_split_depends_on_the_seed(write):
    path = write(table())
    first, again = load_table(path, seed=1), load_table(path, seed=1)
    assert np.array_equal(first[1][0], again[1][0])
    assert not np.array_equal(first[1][0], load_table(path, seed=2)[1][0])


def test_classes_that_are_numbers_are_in_ascending_order(write):
    """1, 01 and 1.0 are one class."""
    rows = [(i, ["10", "9", "-1", "09", "9.0", "1e1"][i % 6]) for i in range(60)]
    _, _, schema = load_table(write(table(rows, "a,t")))
    assert schema.classes == ("-1", "9", "10")


def test_classes_that_are_equal_as_floats_are_distinguished(write):
    """They may be identifiers beyond 2 ** 53."""
    rows = [(i, 9007199254740992 + i % 2) for i in range(20)]
    (_, t), _, schema = load_table(write(table(rows, "a,t")))
    assert schema.classes == ("9007199254740992", "9007199254740993")
    assert np.bincount(t).tolist() == [8, 8]


def test_targets_of_a_regression_are_not_scaled(write):
    """They have shape (n, 1)."""
    rows = [(i, i * i, i / 4) for i in range(20)]
    (x, t), (_, t_test), schema = load_table(write(table(rows)), task="regress", dtype="float64")
    assert (t.shape, t.dtype, x.dtype) == ((16, 1), np.float64, np.float64)
    assert sorted([*t[:, 0], *t_test[:, 0]]) == [i / 4 for i in range(20)]
    assert schema.classes == ()


def test_a_test_file_is_scaled_like_the_training(write):
    """All rows of the first file are for training."""
    path = write(table())
    other = write(table([(100, 1, "eel"), (1, 2, "cat")]), "test.csv")
    (x, t), (x_test, t_test), schema = load_table(path, test=other)
    assert (len(x), len(t)) == (30, 30)
    assert t_test.tolist() == [2, 0]
    expected = (np.asarray([[100, 1], [1, 2]]) - schema.standardizer.mean) / np.asarray(
        schema.standardizer.scale
    )
    np.testing.assert_allclose(x_test, expected, rtol=1e-6)


def test_an_unknown_class_is_refused(write):
    """The message names its line, and the classes that are known."""
    path = write(table())
    other = write(table([(1, 1, "cat"), (100, 1, "fox")]), "test.csv")
    message = refusal(path, test=other)
    assert message.startswith(f"{other}, line 3, column 'kind': the class 'fox' was not seen")
    assert message.endswith("which had cat, dog, eel")


def test_a_schema_reads_other_files_in_the_same_way(write):
    """It survives JSON. Columns may be in another order, and the target may be missing."""
    (_, _), (x_test, _t_test), schema = load_table(write(table()))
    schema = Schema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert isinstance(schema.standardizer, Standardizer)
    swapped = write(table([(k, b, a) for a, b, k in ROWS], "kind,b,a"), "other.csv")
    x, t = schema.read(swapped)
    assert t.tolist() == [i % 3 for i in range(30)]
    expected, _ = schema.read(write(table()))
    assert np.array_equal(x, expected)
    assert all(row in x.tolist() for row in x_test.tolist())
    x, t = schema.read(write("b,extra,a\n10,5,0\n", "features.csv"))
    assert t is None
    assert np.array_equal(x, expected[:1])
    with pytest.raises(
        DataError,
        match="no column 'b', which the model needs; of its 2 features, the table lacks b. Add",
    ):
        schema.read(write("a,kind\n1,cat\n", "few.csv"))
    with pytest.raises(DataError, match="lacks a, b. Add .* or rename 'A' to 'a', 'B_' to 'b'$"):
        schema.read(write("A,B_,c\n1,2,3\n", "renamed.csv"))


@pytest.mark.parametrize("name", ["features", "drop", "ids", "categories", "missing"])
def test_a_string_in_place_of_several_is_refused(write, name):
    """Otherwise it would be taken as its characters."""
    with pytest.raises(ArgumentTypeError, match=rf"Expected {name} as .* Write {name}=\['b'\]\."):
        load_table(write(table()), **{name: "b"})


def test_each_name_of_a_class_is_examined_once(write, monkeypatch):
    """Not in each row: that would take half of the time in which a large table is read."""
    examined = []

    def canonical(label, decimal):
        examined.append(label)
        return original(label, decimal)

    original = tables._canonical
    monkeypatch.setattr(tables, "_canonical", canonical)
    labels = ("1", "1.0", "2", "02")
    rows = [(i, labels[i % 4]) for i in range(400)]
    train, test, schema = load_table(write(table(rows, "a,kind")))
    assert schema.classes == ("1", "2")
    assert np.bincount(np.concatenate([train[1], test[1]])).tolist() == [200, 200]
    assert len(examined) < 20


def test_an_infinite_number_is_refused_with_a_way_out(write):
    rows = [*ROWS[:9], ("-inf", 1, "cat"), *ROWS[9:]]
    message = refusal(write(table(rows)))
    assert "line 11, column 'a': -inf is infinite" in message
    assert (
        "Correct or empty this cell. To train with it as a missing value: --missing=-inf" in message
    )
    rows += [("-inf", 1, "cat")] * 5  # so that some are for training
    _, _, schema = load_table(write(table(rows)), missing=["-inf"])
    assert schema.inputs == ["a", "a=(missing)", "b"]


def test_a_schema_without_names_reads_files_without_names(write):
    """Their columns are found by position."""
    rows = [(i, i % 2) for i in range(20)]
    path = write("\n".join(f"{a},{t}" for a, t in rows))
    _, _, schema = load_table(path)
    assert schema.features == ("column 1",)
    x, t = schema.read(path)
    assert t.tolist() == [i % 2 for i in range(20)]
    x, t = schema.read(write("3\n4\n", "new.csv"), delimiter=",")
    assert t is None
    assert x.shape == (2, 1)


def test_names_like_those_that_xpnet_assigns_are_names(write):
    """The schema stores that there is a header."""
    path = write(table([(i, i % 2) for i in range(20)], "column 1,t"))
    _, _, schema = load_table(path)
    assert schema.header
    assert schema.read(path)[1].tolist() == [i % 2 for i in range(20)]


@pytest.mark.parametrize(
    ("rows", "options", "match"),
    [
        ([(1, 2, "a"), (3, 4, "")], {}, "line 3, column 'kind': the value is missing"),
        ([(1, 2, "a"), (3, 4, "?")], {}, "line 3, column 'kind': the value is missing"),
        ([(1, 2, "a"), (3, 4, "a")], {}, "column 'kind': the only class is 'a'"),
        ([(1, 2, 0.5), (3, 4, 2)], {}, "line 2, column 'kind': 0.5 is not a class.*'regress'"),
        ([(1, 2, "a"), (3, 4, "b")], {}, "table.csv: 2 samples are too few"),
        ([(1, 2, 5), (3, 4, "b")], {"task": "regress"}, "line 3, column 'kind': expected a number"),
        (
            [(1, 2, 5), (3, 4, "nan")],
            {"task": "regress"},
            "line 3, column 'kind': the value is mis",
        ),
    ],
)
def test_tables_that_cannot_be_learned_are_refused(write, rows, options, match):
    with pytest.raises(DataError, match=match):
        load_table(write(table(rows)), **options)


def test_a_test_file_without_targets_is_refused(write):
    assert "no column 'kind', the target" in refusal(
        write(table()), test=write("a,b\n1,2\n", "test.csv")
    )


def test_invalid_arguments_are_refused(write):
    with pytest.raises(ValueError, match="'classify' or 'regress', got 'cluster'"):
        load_table(write(table()), task="cluster")
    with pytest.raises(ValueError, match="between 0 and 1"):
        load_table(write(table()), test=1)


@pytest.mark.parametrize(
    "change",
    [
        {"task": "cluster"},
        {"features": ["a"]},
        {"features": None},
        {"standardizer": {"mean": [0, "x"], "scale": [1, 1]}},
        {"standardizer": {"mean": [0, 0], "scale": [1]}},
        {"dtype": "floaty"},
    ],
)
def test_an_invalid_schema_is_refused(write, change):
    """Somebody may have edited the file of a run."""
    _, _, schema = load_table(write(table()))
    with pytest.raises(StateError, match="schema of a table"):
        Schema.from_dict(schema.to_dict() | change)
    numbers = schema.to_dict()
    del numbers["target"]
    with pytest.raises(StateError, match="target"):
        Schema.from_dict(numbers)


def test_the_labels_of_scores_are_the_names_of_the_classes(backend, write):
    """On any backend; a schema of a regression has none."""
    path = write(table())
    schema = load_table(path)[2]
    scores = backend.asarray([[0.1, 0.3, 0.2], [5.0, -1.0, 2.0], [-3.0, -2.0, -1.0]])
    assert schema.labels(scores) == ["dog", "cat", "eel"]
    for wrong in (scores[0, ...], scores[:, :2]):
        with pytest.raises(ShapeError, match=r"Expected scores of shape \(n, 3\)"):
            schema.labels(wrong)
    numbers = load_table(path, target="b", task="regress", drop=["kind"])[2]
    with pytest.raises(ArgumentError, match="this one is of a regression"):
        numbers.labels(scores)


def test_the_dictionary_has_the_shares_of_the_classes_and_the_range_of_numbers(write):
    """Of the training rows; a rare class is not rounded to none. They are stored with the schema."""
    rows = [(i, i % 5, "rare" if i % 250 == 0 else "usual") for i in range(1000)]
    path = write(table(rows))
    schema = load_table(path)[2]
    assert "the target: usual >99%, rare <1%" in str(schema)
    stored = Schema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert str(stored) == str(schema)
    numbers = load_table(path, target="b", task="regress", drop=["kind"])[2]
    assert "the target: 0 to 4, median 2" in str(numbers)
    forged = schema.to_dict()
    forged["answers"]["categories"] = ["usual"]
    with pytest.raises(StateError, match="counts|answers|kind"):
        Schema.from_dict(forged)


def test_the_wine_of_scikit_learn_is_read(tmp_path):
    """It is written to a file, and read back standardised."""
    datasets = pytest.importorskip("sklearn.datasets")
    wine = datasets.load_wine()
    rows = [(*x, wine.target_names[t]) for x, t in zip(wine.data, wine.target, strict=True)]
    path = tmp_path / "wine.csv"
    path.write_text(table(rows, ",".join([*wine.feature_names, "cultivar"])), encoding="utf-8")
    (x, t), (x_test, t_test), schema = load_table(path, target="cultivar", dtype="float64")
    assert len(t) + len(t_test) == 178
    mean, scale = map(np.asarray, schema.standardizer)
    both = np.concatenate([x, x_test]) * scale + mean
    assert sorted(both[:, 0].round(6)) == sorted(wine.data[:, 0].round(6))
    assert list(schema.classes) == list(wine.target_names)
    assert abs(np.bincount(t_test) / np.bincount(wine.target) - 0.2).max() < 0.02
