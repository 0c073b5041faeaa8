"""Data frames of pandas and polars, and files of Parquet and Excel: prepared like the CSV file of the same rows."""

import datetime as dt
import math

import numpy as np
import pytest

from xpnet import ArgumentTypeError, DataError, MissingPackageError
from xpnet.data import load_table
from xpnet.data._frames import is_frame

ROWS = 60
COLUMNS = {
    "age": [None if i % 7 == 3 else 20.5 + i for i in range(ROWS)],
    "count": list(range(ROWS)),
    "city": [None if i % 11 == 5 else ["Rome", "Oslo", "Bonn"][i % 3] for i in range(ROWS)],
    "member": [i % 4 == 0 for i in range(ROWS)],
    "since": [dt.datetime(2020, 1 + i % 12, 1 + i % 28, i % 24) for i in range(ROWS)],  # noqa: DTZ001 # a time of no zone
    "born": [dt.date(1960 + i % 30, 1 + i % 12, 1 + i % 28) for i in range(ROWS)],
    "t": ["ab"[i // 2 % 2] for i in range(ROWS)],
}


@pytest.fixture
def text(tmp_path):
    """The table as a CSV file."""
    path = tmp_path / "table.csv"
    rows = [
        ",".join("" if value is None else str(value) for value in row)
        for row in zip(*COLUMNS.values(), strict=True)
    ]
    path.write_text("\n".join([",".join(COLUMNS), *rows]), encoding="utf-8")
    return path


@pytest.fixture(params=["pandas", "polars"])
def frame(request):
    return pytest.importorskip(request.param).DataFrame(COLUMNS)


def require_equal(found, expected):
    """The same samples, and the same preparation; only a date's text may be in another form."""
    for (x, t), (x0, t0) in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_array_equal(x, x0)
        np.testing.assert_array_equal(t, t0)
    assert found[2].inputs == expected[2].inputs
    assert found[2].classes == expected[2].classes
    assert found[2].standardizer == expected[2].standardizer


def test_a_frame_is_prepared_like_its_file(frame, text):
    assert is_frame(frame)
    require_equal(load_table(frame, target="t"), load_table(text, target="t"))


def test_dates_that_a_frame_holds_as_times_are_dates_in_the_dictionary():
    """As pandas.to_datetime makes them; with hours, the times are shown."""
    pandas = pytest.importorskip("pandas")
    days = pandas.date_range("2020-01-01", periods=40)
    frame = pandas.DataFrame({"day": days, "t": ["a", "b"] * 20})
    assert "2020-01-01 to 2020-02-09\n" in str(load_table(frame, target="t", test=frame)[2])
    frame["day"] = days + pandas.Timedelta(hours=6)
    dictionary = str(load_table(frame, target="t", test=frame)[2])
    assert "2020-01-01T06:00:00 to 2020-02-09T06:00:00\n" in dictionary


def test_a_schema_of_a_file_reads_a_frame(frame, text):
    _, _, schema = load_table(text)
    x, t = schema.read(frame)
    expected_x, expected_t = schema.read(text)
    np.testing.assert_array_equal(x, expected_x)
    np.testing.assert_array_equal(t, expected_t)


def test_a_frame_may_be_the_test(frame, text):
    train, test, _ = load_table(frame, test=frame[40:])
    assert (len(train[0]), len(test[0])) == (60, 20)


def test_an_error_names_the_row_of_the_frame(frame):
    _, _, schema = load_table(frame)
    rows = {name: list(values) for name, values in COLUMNS.items()}
    rows["city"][4] = "Rome"
    rows["count"] = [str(value) for value in rows["count"]]
    rows["count"][4] = "many"
    changed = type(frame)(rows)
    with pytest.raises(DataError, match="the data frame, row 4, column 'count': expected a number"):
        schema.read(changed)
    with pytest.raises(DataError, match="the data frame: no column 'colour'"):
        load_table(frame, target="colour")


def test_missing_values_of_pandas_are_missing():
    pandas = pytest.importorskip("pandas")
    whole = pandas.array([1, None, 3, 5] * 15, dtype="Int64")
    kinds = pandas.Categorical(["u", "v", None, "u"] * 15)
    days = pandas.to_datetime(["2020-01-01", None, "2020-03-05", "2020-04-04"] * 15)
    frame = pandas.DataFrame({"a": whole, "b": kinds, "c": days, "t": ["x", "y"] * 30})
    _, _, schema = load_table(frame, test=0.5)
    kinds = {column.name: (column.kind, column.missing) for column in schema.columns}
    assert [kind for kind, _ in kinds.values()] == ["number", "category", "date"]
    assert all(missing > 0 for _, missing in kinds.values())
    assert schema.columns[1].categories == ("u", "v")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_parquet_file_is_prepared_like_its_text(library, text, tmp_path):
    frames = pytest.importorskip(library)
    if library == "pandas":
        pytest.importorskip("pyarrow", reason="pandas writes and reads Parquet with it")
    frame = frames.DataFrame(COLUMNS)
    path = tmp_path / "table.parquet"
    if library == "pandas":
        frame.to_parquet(path)
    else:
        frame.write_parquet(path)
    require_equal(load_table(path), load_table(text))
    path.write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(DataError, match=r"table.parquet: unreadable"):
        load_table(path)


def test_an_excel_file_is_prepared_like_its_text(text, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("openpyxl", reason="pandas writes and reads Excel files with it")
    path = tmp_path / "table.xlsx"
    frame = pandas.DataFrame(COLUMNS)
    frame.to_excel(path, index=False)
    require_equal(load_table(path), load_table(text))
    frame.loc[3, "t"] = None
    frame.to_excel(path, index=False)
    with pytest.raises(DataError, match="row 5, column 't': the value is missing"):
        load_table(path)  # the row as the spreadsheet numbers it


def test_of_a_workbook_the_first_sheet_is_read(tmp_path):
    """The others are named in a warning."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("openpyxl", reason="pandas writes and reads Excel files with it")
    path = tmp_path / "table.xlsx"
    with pandas.ExcelWriter(path) as book:
        pandas.DataFrame(COLUMNS).to_excel(book, sheet_name="people", index=False)
        pandas.DataFrame({"a": [1]}).to_excel(book, sheet_name="notes")
    with pytest.warns(
        UserWarning, match="the first sheet, 'people', is read, and not 'notes'"
    ) as noted:
        found = load_table(path)
    assert [warning.filename for warning in noted] == [__file__]
    require_equal(found, load_table(pandas.DataFrame(COLUMNS)))
    with pytest.warns(UserWarning, match="and not 'notes'"):
        found[2].read(path)


def test_a_workbook_and_a_text_under_each_others_name_are_refused_with_the_right_one(
    text, tmp_path
):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("openpyxl", reason="pandas writes and reads Excel files with it")
    book = tmp_path / "book.xlsx"
    pandas.DataFrame(COLUMNS).to_excel(book, index=False)
    for path, wrong in (book, "book.csv"), (text, "table.xlsx"):
        with pytest.raises(DataError, match=f"{wrong}: .* call it {path.name}(;|$)"):
            load_table(path.rename(tmp_path / wrong))


def test_without_a_reader_the_error_names_what_to_install(monkeypatch, tmp_path):
    for name in ("pandas", "polars"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    path = tmp_path / "table.parquet"
    path.touch()
    with pytest.raises(MissingPackageError, match="pip install pandas pyarrow openpyxl"):
        load_table(path)
    with pytest.raises(DataError, match="no such file"):
        load_table(tmp_path / "none.parquet")


def test_a_frame_of_another_library_is_refused():
    """Such as a dict of columns; it is no path either."""
    with pytest.raises(ArgumentTypeError, match="a data frame of pandas or polars, got dict"):
        load_table({"a": [1.0, math.nan]})


def test_the_error_for_what_is_no_frame_says_how_to_make_one():
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    frame = pandas.DataFrame(COLUMNS)
    _, _, schema = load_table(frame)
    row = frame.iloc[0]
    for source, way, made in (
        (dict(row), r"One row: pandas.DataFrame\(\[row\]\)", pandas.DataFrame([dict(row)])),
        ([dict(row)], r"pandas.DataFrame\(rows\)", pandas.DataFrame([dict(row)])),
        (row, r"if it is a row, by to_frame\(\).T", row.to_frame().T),
        (polars.from_pandas(frame).lazy(), r"by collect\(\)", polars.from_pandas(frame)),
    ):
        with pytest.raises(ArgumentTypeError, match=way):
            schema.read(source)
        x, _ = schema.read(made)
        assert np.array_equal(x[0], schema.read(frame)[0][0])
