"""Tables with decimal commas, 5,1: `decimal=","`."""

import json
from dataclasses import asdict
from itertools import count

import numpy as np
import pytest

from xpnet.data import Schema, load_table
from xpnet.data._csv_reader import read_csv
from xpnet.errors import ArgumentError, DataError, StateError

ROWS = [  # as with decimal points
    {"a": 5.1, "b": -0.25, "n": 3, "day": "2021-03-04", "t": "x"},
    {"a": 4.0, "b": 1500.0, "n": 4, "day": "2021-03-05", "t": "y"},
    {"a": -2.5, "b": 0.75, "n": 7, "day": "2021-04-05", "t": "x"},
] * 6
WRITTEN = {5.1: "5,1", -0.25: "-0,25", 4.0: "4", 1500.0: "1,5e3", -2.5: "-2,5", 0.75: ",75"}


@pytest.fixture
def write(tmp_path):
    """Write a table to a new file, and return its path."""
    numbers = count()

    def write(text):
        path = tmp_path / f"t{next(numbers)}.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def table(delimiter, decimal, quote=""):
    """The text of the table; in some cells of column a there is no comma."""
    lines = [delimiter.join(ROWS[0])]
    for row in ROWS:
        cells = [WRITTEN.get(value, str(value)) for value in row.values()]
        if decimal == ".":
            cells = [str(value) for value in row.values()]
        lines.append(
            delimiter.join(f"{quote}{cell}{quote}" if "," in cell else cell for cell in cells)
        )
    return "\n".join(lines) + "\n"


def refusal(source, **options):
    with pytest.raises(DataError) as refused:
        read_csv(source, **{"decimal": ",", **options})
    return str(refused.value)


@pytest.mark.parametrize(
    ("delimiter", "quote"), [(";", ""), (",", '"'), ("\t", ""), ("|", ""), (" ", "")]
)
def test_the_samples_are_those_of_a_table_with_points(write, delimiter, quote):
    train, test, schema = load_table(write(table(delimiter, ",", quote)), decimal=",")
    expected, expected_test, point = load_table(write(table(",", ".")))
    for found, wanted in zip([*train, *test], [*expected, *expected_test], strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert [column.kind for column in schema.columns] == ["number", "number", "number", "date"]
    assert asdict(schema) == {**asdict(point), "decimal": ","}


@pytest.mark.parametrize(
    "text", ["5,1;3;x\n2,5;1;y\n", "5,1\t3\tx\n2,5\t1\ty\n", "5,1 3 x\n2,5 1 y\n"]
)
def test_the_delimiter_is_detected_without_a_header(write, text):
    cells = read_csv(write(text), decimal=",")
    assert cells.x.tolist() == [[5.1, 3.0], [2.5, 1.0]]
    assert not cells.header


def test_commas_separate_whole_numbers_below_names(write):
    assert read_csv(write("a,b,t\n5,1,x\n2,5,y\n"), decimal=",").x.tolist() == [[5, 1], [2, 5]]


def test_a_single_column_of_another_table_is_no_two_columns(write):
    for text in "a\n5,1\n2,5\n", 'a\n"5,1"\n"2,5"\n':
        cells = read_csv(write(text), "t", features=["a"], is_known=True, decimal=",")
        assert cells.x.tolist() == [[5.1], [2.5]]
    bare = write("5,1\n2,5\n")
    cells = read_csv(
        bare, "column 2", None, False, features=["column 1"], is_known=True, decimal=","
    )
    assert cells.x.tolist() == [[5.1], [2.5]]


def test_where_both_fit_the_delimiter_is_asked_for(write):
    message = refusal(write('a,"p;t"\n5,"x;y"\n2,"y;z"\n'))
    assert "but several of them fit" in message
    message = refusal(write("5,1;3,2\n2,5;1,5\n"), decimal=".")
    assert message.endswith(
        "If the commas are decimal commas: --decimal , (in Python, decimal=',')"
    )


@pytest.mark.parametrize("cell", ["5.1", "1.234", "1.234,5", "1,234.5", "1.234.567"])
@pytest.mark.parametrize("row", [0, 5])
def test_points_are_refused_with_line_and_column(write, cell, row):
    lines = ["a;b;t", *["5,1;2;x"] * 7]
    lines[row + 1] = f"5,1;{cell};y"
    message = refusal(write("\n".join(lines)))
    assert f", line {row + 2}, column 'b': expected a number, found the text '{cell}'. " in message
    with pytest.raises(DataError, match=f"line {row + 2}, column 'b'"):
        load_table(write("\n".join(lines)), task="classify", decimal=",")


def test_a_column_of_points_is_not_taken_for_categories(write):
    path = write("a;b;t\n" + "5,1;2.5;x\n4;3.5;y\n" * 5)
    with pytest.raises(DataError, match=r"column 'b': .*'2\.5'.*--decimal \. "):
        load_table(path, decimal=",")
    path = write("a;b;t\n" + "5.1;2,5;x\n4;3,5;y\n" * 5)
    with pytest.raises(DataError, match=r"column 'b': .*'2,5'.*--decimal , "):
        load_table(path)


def test_targets_are_numbers_or_whole_classes(write):
    path = write("a;t\n" + "5,1;1,5\n4,2;-2,5e1\n" * 5)
    (_, t), _, schema = load_table(path, task="regress", decimal=",")
    assert set(t[:, 0].tolist()) == {1.5, -25.0}
    with pytest.raises(DataError, match=r"line 2, column 't': 1,5 is not a class"):
        load_table(path, decimal=",")
    (_, t), _, schema = load_table(write("a;t\n" + "5,1;1\n4,2;2,0\n3;2\n" * 5), decimal=",")
    assert schema.classes == ("1", "2")
    with pytest.raises(DataError, match=r"line 3, column 't': expected a number, .*'2\.5'"):
        load_table(write("a;t\n" + "5,1;1\n4,2;2.5\n" * 5), task="regress", decimal=",")


def test_texts_are_left_as_they_are(write):
    """Identifiers, categories, dates and names are no numbers."""
    lines = "1.500;4.5;2021.03.04;v1.2;5,1;x\n1,500;4.6;2021.04.04;w, 2;4,2;y\n" * 6
    path = write("id;code;day;text;1,5;t\n" + lines)
    _, _, schema = load_table(path, header=True, ids=["id"], categories=["code"], decimal=",")
    kinds = {column.name: column.kind for column in schema.columns}
    assert kinds == {
        "code": "category", "day": "date", "text": "category", "1,5": "number", "id": "identifier",
    }  # fmt: skip
    assert set(schema.columns[0].categories) == {"4.5", "4.6"}
    assert set(schema.columns[2].categories) == {"v1.2", "w, 2"}
    cells = schema.cells(write("id;code;day;text;1,5\n1.5;4.6;2021.03.04;v1.2;3\n"))
    assert cells.ids == {"id": ["1.5"]}
    assert schema.unlike(cells) == []


def test_whole_numbers_are_one_category_however_they_are_written(write):
    path = write("code;a;t\n" + "1,0;5,1;x\n1;4,2;y\n2;4,1;x\n" * 5)
    _, _, schema = load_table(path, categories=["code"], decimal=",")
    assert schema.columns[0].categories == ("1", "2")


def test_a_column_that_begins_with_gaps_is_a_column_of_numbers(write):
    """Of which the first rows, by which its kind is decided, have none."""
    path = write("a;b;t\n" + ";1;x\n" * 120 + "5,1;2;y\n2,5;3;y\n" * 40)
    _, _, schema = load_table(path, decimal=",")
    assert (schema.columns[0].kind, schema.columns[0].low) == ("number", "2.5")


def test_an_index_is_whole_or_text(write):
    assert read_csv(write(";a;t\n0;5,1;x\n1;4,2;y\n"), decimal=",").index_name == "column 1"
    assert "its values are not those of an index" in refusal(write(";a;t\n0,5;5,1;x\n1,5;4,2;y\n"))


def test_numbers_that_stand_for_a_gap_have_either_mark(write):
    rows = "-9,5;1;x\n4,5;2;y\n" * 5
    _, _, schema = load_table(write("a;b;t\n" + rows), missing=["-9,5"], decimal=",")
    assert schema.columns[0].missing == 4
    assert schema.missing == ("-9,5", "-9.5")
    for text, decimal in ("a;b\n-9,50;1\n", ","), ("a;b\n-9.50;1\n", "."):
        cells = schema.cells(write(text), decimal=decimal)
        assert np.isnan(cells.x[0, 0])


def test_the_schema_reads_other_tables_with_its_mark_or_with_another(write):
    _, _, schema = load_table(write(table(";", ",")), decimal=",")
    schema = Schema.from_dict(json.loads(json.dumps(schema.to_dict())))
    with_points = write(table(",", "."))
    x, t = schema.read(write(table(";", ",")))
    y, u = schema.read(with_points, decimal=".")
    np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(t, u)
    with pytest.raises(
        DataError, match=r"line 2, column 'a': .*If it has decimal points: --decimal \."
    ):
        schema.read(with_points)


def test_a_stored_schema_without_a_mark_has_points_and_an_invalid_one_is_refused(write):
    _, _, schema = load_table(write(table(",", ".")))
    stored = schema.to_dict()
    assert Schema.from_dict({k: v for k, v in stored.items() if k != "decimal"}) == schema
    for wrong in ";", "", ".,", 1, None:
        with pytest.raises(StateError, match="decimal is"):
            Schema.from_dict({**stored, "decimal": wrong})


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_numbers_of_a_frame_are_numbers_already(library, write):
    frames = pytest.importorskip(library)
    frame = frames.DataFrame({name: [row[name] for row in ROWS] for name in ROWS[0]})
    found, _, schema = load_table(frame, decimal=",")
    expected, _, _ = load_table(frame)
    np.testing.assert_array_equal(found[0], expected[0])
    texts = frames.DataFrame({
        name: [WRITTEN.get(row[name], row[name]) if name == "a" else row[name] for row in ROWS]
        for name in ROWS[0]
    })  # fmt: skip
    found, _, schema = load_table(texts, decimal=",")  # as a spreadsheet may hold them
    np.testing.assert_array_equal(found[0], expected[0])
    path = write("").with_suffix(".parquet")
    writer = "to_parquet" if library == "pandas" else "write_parquet"
    getattr(frame, writer)(path)
    x, _ = schema.read(path)
    y, _ = schema.read(frame)
    np.testing.assert_array_equal(x, y)


def test_the_numbers_of_numpy_in_a_frame_of_objects_are_numbers_already():
    pandas = pytest.importorskip("pandas")
    values = [np.float32(1.5), np.float64(2.5)] * 20
    frame = pandas.DataFrame({"a": pandas.Series(values, dtype=object), "t": ["x", "y"] * 20})
    _, _, schema = load_table(frame, decimal=",")
    assert (schema.columns[0].kind, schema.columns[0].low) == ("number", "1.5")


@pytest.mark.parametrize("decimal", [";", "", "\u066b", None])
def test_other_marks_are_refused(write, decimal):
    with pytest.raises(ArgumentError, match=r"Expected a decimal mark, '\.' or ',', got"):
        load_table(write(table(",", ".")), decimal=decimal)
