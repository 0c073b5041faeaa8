"""Columns as people have them: categories, gaps, booleans, dates, units, identifiers."""

import json
import warnings

import numpy as np
import pytest

from xpnet import DataError, StateError, XpnetError
from xpnet.data import Column, Schema, load_table
from xpnet.data._csv_dates import parsed
from xpnet.data.columns import MOST_CATEGORIES, same_text

ROWS = 40


@pytest.fixture
def write(tmp_path):
    """A function that writes columns of cells, repeated to 40 rows, and a target that alternates."""

    def write(name="table.csv", /, rows=ROWS, **columns):
        lines = [",".join([*columns, "t"])]
        for i in range(rows):
            cells = [str(cells[i % len(cells)]) for cells in columns.values()]
            lines.append(",".join([*cells, "ab"[i % 2]]))
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def fitted(path, **options):
    """The schema of a table, all rows of which are for training, and its inputs before they are scaled."""
    half = path.with_name("test.csv")
    half.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    _, _, schema = load_table(path, test=half, dtype="float64", **options)
    return schema, schema.encode(schema.cells(path))


def refusal(path, **options):
    with pytest.raises(DataError) as caught:
        fitted(path, **options)
    return str(caught.value)


# --- categories -----------------------------------------------------------------------------------


def test_categories_are_one_hot_and_equal_scikit_learns(write):
    """The most frequent first; and neither they nor the inputs of missing values are standardised."""
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    cells = ["red", "blue", "red", "green", "red", "blue", "green", "red"]
    schema, x = fitted(write(colour=cells, size=range(ROWS)))
    assert schema.inputs == ["colour=red", "colour=blue", "colour=green", "size"]
    order = [["red", "blue", "green"]]
    expected = preprocessing.OneHotEncoder(categories=order, sparse_output=False)
    table = np.asarray([[cells[i % 8]] for i in range(ROWS)])
    np.testing.assert_array_equal(x[:, :3], expected.fit_transform(table))
    assert schema.standardizer.mean == (0, 0, 0, 19.5)
    assert schema.standardizer.scale[:3] == (1, 1, 1)


def test_rare_categories_share_an_input_also_with_new_ones(write):
    cells = [f"c{i // 2}" for i in range(72)] + ["once"]
    path = write(rows=73, c=cells)
    schema, x = fitted(path)
    assert len(schema.columns[0].categories) == MOST_CATEGORIES
    assert schema.inputs[-1] == "c=(other)"
    assert schema.unlike(schema.cells(path)) == []
    assert (x.sum(axis=1) == 1).all()
    assert x[:, -1].sum() == 2 * 6 + 1
    new = schema.cells(write("new.csv", c=["c0", "never"], rows=4))
    assert schema.encode(new)[:, -1].tolist() == [0, 1, 0, 1]
    assert schema.unlike(new) == [
        "column 'c': 2 values are not among the categories of the training ('never'); taken as a rare category"
    ]


def test_a_new_category_is_no_category_if_none_was_rare(write):
    """And the difference is told, with counts."""
    schema, _ = fitted(write(c=["u", "v"], d=["x", "y", "z"]))
    new = schema.cells(write("new.csv", c=["w", "u", "q", "w"], d=["x"], extra=[1]))
    assert schema.encode(new)[:4, :2].tolist() == [[0, 0], [1, 0], [0, 0], [0, 0]]
    assert schema.unlike(new) == [
        "ignored, as the training did not have them: columns extra",
        "column 'c': 30 values are not among the categories of the training ('w', 'q'); taken as no category",
    ]
    assert schema.unlike(schema.cells(write("same.csv", d=["x", "z"], c=["v", "u"]))) == []


def test_numbers_are_categories_if_the_caller_says_so(write):
    """1, 1.0 and 1 are one code, as pandas writes them in a column with gaps."""
    path = write(zip=["10", "20.0", "10.0", "007"])
    schema, x = fitted(path, categories=["zip"])
    assert schema.inputs == ["zip=10", "zip=007", "zip=20"]
    assert x[:4].tolist() == [[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert fitted(path)[0].inputs == ["zip"]
    assert "no column 'zap'" in refusal(path, categories=["zap"])
    assert same_text("1e1") == "10"


def test_a_column_that_identifies_the_rows_is_refused_with_a_way_out(write):
    path = write(name=[f"p{i}" for i in range(ROWS)], x=range(7), note=[f"words {i}" for i in range(ROWS)])  # fmt: skip
    message = refusal(path)
    assert message.startswith(f"{path}: nearly all texts differ in 'name', 'note' (40 different")
    assert "--drop name,note; or keep them beside the predictions: --id name,note" in message
    schema, _ = fitted(path, drop=["note"], ids=["name"])
    assert schema.inputs == ["x"]
    assert schema.cells(path).ids == {"name": [f"p{i}" for i in range(ROWS)]}
    assert "no column 'nome'" in refusal(path, drop=["nome"])
    assert "'t' is both left out and the target" in refusal(path, target="t", drop=["t"])


# --- missing values -------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", ["", "NA", "n/a", "NaN", "null", "None", "?", "-", "#N/A", "-999"])
def test_a_missing_number_becomes_the_median_and_an_input_marks_it(write, gap):
    """As scikit-learn's SimpleImputer does."""
    impute = pytest.importorskip("sklearn.impute")
    cells = [3, gap, 10, 5]
    schema, x = fitted(write(a=cells, b=[1, 2]), missing=["-999"])
    assert schema.inputs == ["a", "a=(missing)", "b"]
    table = np.asarray([[3, np.nan, 10, 5][i % 4] for i in range(ROWS)], float)[:, None]
    theirs = impute.SimpleImputer(strategy="median", add_indicator=True).fit_transform(table)
    np.testing.assert_array_equal(x[:, :2], theirs)
    assert schema.columns[0].missing == 10


def test_numbers_that_mean_a_missing_value_are_compared_as_numbers(write):
    schema, x = fitted(write(a=["-999.0", 2, 4]), missing=["-999"])
    assert schema.columns[0].low == "2"
    assert x[0].tolist() == [3, 1]


def test_a_gap_that_the_training_did_not_have_becomes_the_median(write):
    """It is told; a missing category is then no category."""
    schema, _ = fitted(write(a=[1, 2, 6], c=["u", "v"]))
    new = schema.cells(write("new.csv", a=["", 1], c=["v", "?"]))
    assert schema.encode(new)[:2].tolist() == [[2, 0, 1], [1, 0, 0]]
    assert schema.unlike(new) == [
        "column 'a': 20 values are missing, as none was in training; taken as the median",
        "column 'c': 20 values are missing, as none was in training; taken as no category",
    ]


def test_read_warns_of_what_the_training_did_not_have(write):
    """Also where the other table is the test; further columns are ignored as documented."""
    path = write(c=["u", "v"], a=[1, 2])
    schema, _ = fitted(path)
    new = write("new.csv", c=["w", "u"], a=[1], extra=[2])
    with pytest.warns(UserWarning, match=r"new.csv: column 'c': 20 values are not among") as caught:
        schema.read(new)
    assert len(caught) == 1
    with pytest.warns(UserWarning, match="column 'c'"):
        load_table(path, test=new)


def test_a_missing_category_is_a_category(write):
    schema, x = fitted(write(c=["u", "", "v", "u"]))
    assert schema.inputs == ["c=u", "c=v", "c=(missing)"]
    assert x[:4].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_only_the_training_rows_decide(write, tmp_path):
    """Median, categories, mean and scale do not change with the test rows."""
    path = write(a=[1, 2, ""], c=["u", "v"])
    tests = [write(f"test{i}.csv", a=[i * 100, 5], c=["v"]) for i in (1, 2)]
    schemas = [load_table(path, test=test)[2] for test in tests]
    assert schemas[0] == schemas[1]
    _, _, schema = load_table(path, test=0.5, seed=3)
    assert schema.rows == 20
    assert sum(schema.columns[1].counts) == 20


def test_missing_targets_are_refused_or_left_out(write):
    path = write(a=range(ROWS))
    lines = path.read_text().splitlines()
    lines[2] = "7,"
    lines[5] = "8,NA"
    path.write_text("\n".join(lines))
    message = refusal(path)
    assert message.startswith(f"{path}, line 3, column 't': the value is missing ('')")
    assert "2 of the 40 rows have no target (lines 3, 6)" in message
    assert "--drop-missing-target" in message
    (x, t), _, schema = load_table(path, drop_missing_target=True, test=0.5)
    assert len(t) == 19
    assert len(schema.read(path)[0]) == 38
    again = Schema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert len(again.read(path)[1]) == 38
    assert len(x) == 19


def test_none_is_a_class_unless_it_is_named(write, tmp_path):
    path = write(a=range(ROWS))
    path.write_text(path.read_text().replace(",b\n", ",None\n"))
    assert load_table(path)[2].classes == ("None", "a")
    with pytest.raises(DataError, match="20 of the 40 rows have no target"):
        load_table(path, missing=["None"])


# --- booleans, dates, units, constants ------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [("false", "true"), ("No", "YES"), ("0", "1"), ("n", "y"), ("F", "T")]
)
def test_booleans_are_one_number(write, words):
    no, yes = words
    schema, x = fitted(write(a=[yes, no, no, ""]))
    assert schema.columns[0].kind == "boolean"
    assert schema.inputs == ["a", "a=(missing)"]
    assert x[:4].tolist() == [[1, 0], [0, 0], [0, 0], [0, 1]]
    assert schema.columns[0].counts == (20, 10)
    if yes != "1":
        with pytest.raises(DataError, match="line 2, column 'a': expected true or false.*'maybe'"):
            schema.read(write("new.csv", a=["maybe"]))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2021-03-04", "2021-03-04T00:00:00+00:00"),
        ("2021/3/4", "2021-03-04T00:00:00+00:00"),
        ("2021-03", "2021-03-01T00:00:00+00:00"),
        ("2021-03-04T17:30:05.25Z", "2021-03-04T17:30:05.250000+00:00"),
        ("2021-03-04 17:30+09:00", "2021-03-04T08:30:00+00:00"),
        ("2021-03-04 17:30-0330", "2021-03-04T21:00:00+00:00"),
        ("4 Mar 2021", "2021-03-04T00:00:00+00:00"),
        ("04-SEP-2021", "2021-09-04T00:00:00+00:00"),
        ("Sept. 4, 2021", "2021-09-04T00:00:00+00:00"),
        ("December 31 1999 11:59 PM", "1999-12-31T23:59:00+00:00"),
        ("17:30", "1970-01-01T17:30:00+00:00"),
        ("12:05 am", "1970-01-01T00:05:00+00:00"),
    ],
)
def test_dates_of_one_meaning_are_read(cell, expected):
    assert parsed(cell).isoformat() == expected


@pytest.mark.parametrize(
    "cell",
    ["03/04/2021", "3.4.21", "2021-02-30", "25:00", "13:00 PM", "4 Foo 2021", "2021", "2021.03", "x",
     "9999-12-31 23:00-05:00"],
)  # fmt: skip
def test_other_texts_are_no_dates(cell):
    assert parsed(cell) is None


def test_a_date_becomes_the_parts_that_vary(write):
    """As pandas computes them; the hour is left out, since all dates are at midnight."""
    pandas = pytest.importorskip("pandas")
    cells = ["2021-03-04", "2020-12-31", "", "2021-07-02"]
    schema, x = fitted(write(d=cells))
    assert schema.inputs == ["d seconds", "d year", "d month", "d weekday", "d=(missing)"]
    dates = pandas.Series(pandas.to_datetime([c for c in cells if c]))
    seconds = [date.timestamp() for date in dates]
    parts = [seconds, dates.dt.year, dates.dt.month, [date.weekday() for date in dates]]
    expected = np.stack(parts, axis=1)
    np.testing.assert_array_equal(x[[0, 1, 3], :4], expected)
    np.testing.assert_array_equal(x[2, :4], np.median(expected, axis=0))
    assert (schema.columns[0].low, schema.columns[0].high) == ("2020-12-31", "2021-07-02")
    schema, x = fitted(write(d=["10:30", "09:00"]))
    assert schema.inputs == ["d seconds", "d hour"]
    assert x[0].tolist() == [37800, 10.5]


def test_dates_with_two_meanings_are_refused(write):
    message = refusal(write(d=["03/04/2021", "05/06/2021"]))
    assert (
        "line 2, column 'd': dates of the form 03/04/2021 have two meanings: which number is the month?"
        in message
    )
    assert "--drop" in message
    message = refusal(write(d=["2021-01-02", "2021-01-03", "soon", "2021-04-05"]))
    assert "line 4, column 'd': expected a date or time" in message
    assert "found 'soon'" in message


@pytest.mark.parametrize(
    ("cells", "advice"),
    [
        (["$5.1", "$4.9", "$3"], "'$5.1'. Remove $: 5.1"),
        (["12%", "3%", "4"], "'12%'. Remove %: 12"),
        (["4", "₩5", "₩6"], "'₩5'. Remove ₩: 5"),
    ],
)
def test_numbers_with_units_are_refused(write, cells, advice):
    message = refusal(write(price=cells))
    line = 2 if advice.startswith(f"'{cells[0]}") else 3
    assert f"line {line}, column 'price': expected a number, found the text {advice}" in message
    assert message.endswith("or leave the column out (--drop)")


def test_thousands_separators_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("p,t\n" + '"1,234",a\n"2,345",b\n' * 9)
    assert "If the comma separates thousands, remove it; or leave" in refusal(path)


def test_constant_and_empty_columns_are_no_inputs(write):
    schema, x = fitted(write(a=["k"], b=[""], c=range(7), d=[5]))
    assert schema.inputs == ["c", "d"]  # a number may differ in another table
    assert [column.kind for column in schema.columns] == [
        "constant",
        "constant",
        "number",
        "constant",
    ]
    assert x.shape == (ROWS, 2)
    assert len(schema.read(write("new.csv", c=[1], d=[5]))[0]) == ROWS
    assert "every column is constant or empty" in refusal(write(a=["k"], b=[""]))


# --- the dictionary -------------------------------------------------------------------------------


def test_the_dictionary_is_a_table_for_people(write):
    schema, _ = fitted(
        write(
            나이=[18, 30, ""],
            city=["Rome", "Oslo", "Rome", "Bonn", "Rome"],
            d=["2021-03-04", "2021-04-04"],
        )
    )
    lines = str(schema).splitlines()
    assert lines[0].split() == ["column", "kind", "missing", "values"]
    assert lines[1] == "나이    number    13       18 to 30, median 18"
    assert lines[2] == "city    category           Rome 60%, Bonn 20%, Oslo 20%"
    assert lines[3] == "d       date               2021-03-04 to 2021-04-04"
    assert lines[4] == "t       class              the target: a 50%, b 50%"
    assert lines[5].startswith(
        "3 features become 8 inputs. A missing number or date becomes the median"
    )


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["u", "v"], "u 50%, v 50%"),
        (["u", "v", "w", "x"], "u 25%, v 25%, w 25%; 4 categories"),
        ([*["u"] * 38, "v", "w"], "u 95%; 3 categories, 2 of them rare"),
        ([*[""] * 39, "v"], "1 category, rare"),
        ([*[""] * 38, "v", "v"], "v 5%"),
        ([""], "empty, not an input"),
        ([5], "always 5"),
        (["k"], "always k, not an input"),
    ],
)
def test_the_values_of_a_column_are_described(write, cells, expected):
    schema, _ = fitted(write(c=cells, a=[1, 2]))
    assert schema.columns[0].described(schema.rows) == expected


def test_long_names_are_cut(write):
    schema, _ = fitted(write(**{"n" * 200: [1, 2], "c": ["u" * 100, "v"]}))
    assert max(map(len, str(schema).splitlines()[:4])) < 100


def test_a_long_dictionary_is_cut(write):
    schema, _ = fitted(write(**{f"x{i}": [i, i + 1] for i in range(60)}))
    lines = str(schema).splitlines()
    assert len(lines) == 1 + 29 + 1 + 1 + 1
    assert lines[30] == "... and 31 more"


def test_a_schema_survives_json_and_reads_in_the_same_way(write):
    path = write(
        a=[1, "", 4], c=["u", "v", "w", "u"], d=["2021-03-04", "2021-04-04"], e=["yes", "no"]
    )
    schema, x = fitted(path)
    again = Schema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert again == schema
    np.testing.assert_array_equal(again.encode(again.cells(path)), x)
    assert again.to_dict()["version"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "colour"},
        {"fill": [float("nan")]},
        {"fill": []},
        {"parts": ["seconds"]},
        {"categories": ["a"]},
        {"missing": "3"},
        {"name": None},
        {"more": 1},
    ],
)
def test_an_invalid_dictionary_is_refused(write, change):
    """Somebody may have edited the file of a run."""
    stored = fitted(write(a=[1, 2]))[0].to_dict()
    stored["columns"] = [stored["columns"][0] | change]
    with pytest.raises(StateError, match="schema of a table"):
        Schema.from_dict(stored)


def test_fuzz_of_a_stored_schema(write):
    """Whatever is changed in it, it is refused, or reads a table, or refuses that."""
    path = write(a=[1, "", 2], c=["u", "v", ""], d=["2021-03-04", "2021-04-04"], e=["yes", "no"])
    stored = fitted(path)[0].to_dict()
    rng = np.random.default_rng(0)
    values = [None, True, -1, 2.5, float("nan"), "", "x", [], ["x"], [1.0], {}, {"x": 1}, 10**400]
    refused = 0
    for _ in range(500):
        forged = json.loads(json.dumps(stored))
        place = forged
        while True:
            key = (
                rng.choice(list(place))
                if isinstance(place, dict)
                else int(rng.integers(len(place)))
            )
            if not isinstance(place[key], dict | list) or not place[key] or rng.random() < 0.3:
                break
            place = place[key]
        place[key] = values[rng.integers(len(values))]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # identifiers that the table lacks are a warning
                schema = Schema.from_dict(forged)
                schema.read(path)
            str(schema)
        except XpnetError:
            refused += 1
    assert 250 < refused < 500
    for other in (None, [], "x", 3):
        with pytest.raises(StateError):
            Schema.from_dict(other)


def test_a_schema_of_another_version_is_refused(write):
    """One without a version has numbers only, and reads as before: a gap is an error."""
    stored = fitted(write(a=[1, 2]))[0].to_dict()
    with pytest.raises(StateError, match="version 2; this xpnet reads 1: upgrade xpnet"):
        Schema.from_dict(stored | {"version": 2})
    for key in ("version", "columns", "rows", "ids", "missing", "drop_missing_target", "unused"):
        del stored[key]
    old = Schema.from_dict(stored | {"encoding": "utf-8"})
    assert old.columns == (Column("a"),)
    assert len(old.read(write("new.csv", a=[7]))[0]) == ROWS
    with pytest.raises(DataError, match="line 2, column 'a': the value is missing"):
        old.read(write("new.csv", a=["", 1]))
