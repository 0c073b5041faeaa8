"""The CSV reader: what it accepts, and what it refuses with the line and the column."""

import tracemalloc

import numpy as np
import pytest

from xpnet import DataError
from xpnet.data._csv_reader import read_csv

TABLE = "length,width,kind\n1,2.5,a\n-3e-2,4,b\n.5,6.,a\n"


@pytest.fixture
def write(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return write


def refusal(path, **options):
    with pytest.raises(DataError) as caught:
        read_csv(path, **options)
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path))


def require_table(cells):
    assert cells.names == ["length", "width"]
    assert cells.target == "kind"
    assert cells.x.dtype == np.float64
    assert cells.x.tolist() == [[1, 2.5], [-0.03, 4], [0.5, 6]]
    assert cells.t == ["a", "b", "a"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_are_detected(write, delimiter, end):
    """The caller does not choose them."""
    require_table(read_csv(write(TABLE.replace(",", delimiter).replace("\n", end))))


@pytest.mark.parametrize(
    "text",
    [
        TABLE.rstrip(),
        "\n\n" + TABLE.replace("\n", "\n\n"),
        " \n" + TABLE.replace("\n", "\n  \t\n"),
        TABLE.replace("1,2.5", ' 1 , "2.5"'.replace(' "', '"')),
        TABLE.replace("length", '"length"'),
        TABLE.replace("kind", " kind "),
    ],
)
def test_spaces_quotes_and_empty_lines_are_ignored(write, text):
    require_table(read_csv(write(text)))


def test_a_byte_order_mark_is_not_part_of_a_name(write):
    """Spreadsheets write one."""
    require_table(read_csv(write(TABLE, "utf-8-sig")))


def test_the_target_is_chosen_by_name(write):
    cells = read_csv(write("a,b,c\n1,x,3\n4,y,6\n"), target="b")
    assert (cells.names, cells.target, cells.t) == (["a", "c"], "b", ["x", "y"])
    assert cells.x.tolist() == [[1, 3], [4, 6]]
    assert list(cells.lines) == [2, 3]
    assert cells.at(1).endswith("table.csv, line 3, column 'b'")


def test_lines_are_counted_in_the_file(write):
    """Quoted text may have several lines."""
    path = write('a,t\n1,"x\ny"\n\nbad,z\n')
    assert refusal(path).startswith(", line 5, column 'a'")


def test_a_table_without_a_header_is_read(write):
    """A first line that has numbers only is a row."""
    cells = read_csv(write("1,2,3\n4,5,6\n"))
    assert (cells.names, cells.target) == (["column 1", "column 2"], "column 3")
    assert cells.x.tolist() == [[1, 2], [4, 5]]
    assert list(cells.lines) == [1, 2]
    cells = read_csv(write("1,2,a\n4,5,b\n"), header=False)
    assert cells.t == ["a", "b"]
    cells = read_csv(write("2001,2002\n4,5\n"), header=True)
    assert cells.names == ["2001"]
    assert "both names and numbers: is it a header, or the first row?" in refusal(
        write("1,2,a\n4,5,b\n")
    )


def test_missing_and_duplicate_names_are_refused(write):
    assert read_csv(write("a,,t\n1,2,3\n")).names == ["a", "column 2"]
    assert "line 1: two columns are called 'a'" in refusal(write("a,b,a\n1,2,3\n"))
    message = refusal(write("a,b,t,\n1,2,x,\n3,4,y,\n"))  # with one comma too many
    assert message.startswith(", line 1: the last column has no name")


def test_all_kinds_of_white_space_are_stripped(write):
    """This includes the kinds that `str.strip` removes and `float` does not accept."""
    assert read_csv(write("a,b,t\n1,\x1c.5,x\n\xa02,3\u2003,y\n")).x.tolist() == [[1, 0.5], [2, 3]]


@pytest.mark.parametrize("value", ["", " ", "NA", "n/a", "NaN", "nan", "null", "?", "None", "-"])
def test_missing_values_are_refused(write, value):
    """The message names the line and the column, however the value is written."""
    message = refusal(write(f"a,b,t\n1,2,x\n1,{value},y\n"))
    assert message.startswith(", line 3, column 'b': the value is missing")


@pytest.mark.parametrize("value", ["inf", "-Infinity", "1e999", "1e39", "-4e38"])
def test_infinite_values_are_refused(write, value):
    """float32 holds numbers up to 3.4e38."""
    message = refusal(write(f"a,b,t\n1,2,x\n{value},2,y\n"))
    assert message.startswith(f", line 3, column 'a': {value} is infinite")


@pytest.mark.parametrize(
    "value", ["red", "1_000", "1 000", "0x10", "1.2.3", "1e", "true", "12:30", "\u0661", "\uff11"]
)
def test_text_in_a_feature_is_refused(write, value):
    """Only the target column may have text."""
    message = refusal(write(f"a,b,t\n1,2,x\n1,{value},y\n"))
    assert message.startswith(f", line 3, column 'b': expected a number, found the text {value!r}")


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        ("a;t\n1;x\n2,5;y\n", "If it has a decimal comma: --decimal , (in Python, decimal=',')."),
        ('a,t\n1,x\n"2,000.5",y\n', "Write numbers without thousands separators: 2000.5"),
    ],
)
def test_commas_in_numbers_are_refused(write, text, way_out):
    """They may be a decimal comma, or group thousands."""
    message = refusal(write(text))
    assert message.startswith(", line 3, column 'a': expected a number, found the text '2,")
    assert way_out in message


def test_a_missing_cell_in_a_single_column_is_not_an_empty_line(write):
    """Otherwise the rows of predictions would not be those of the file."""
    message = refusal(write('a\n1\n\n""\n2\n'), target="t", delimiter=",", is_known=True)
    assert message.startswith(", line 4, column 'a': the value is missing")


def test_long_text_is_shortened_in_the_message(write):
    assert len(refusal(write("a,t\n" + "x" * 10_000 + ",1\n"))) < 300


@pytest.mark.parametrize(("row", "found"), [("1,2", 2), ("1,2,3,4", 4)])
def test_rows_of_other_lengths_are_refused(write, row, found):
    message = refusal(write(f"a,b,t\n1,2,3\n{row}\n"))
    assert message == f", line 3: expected 3 cells, as in the first line; found {found}"


@pytest.mark.parametrize(
    ("text", "cells"), [("a;b\n1\n2\n", 2), ("x|y|z\n1\n", 3), ("a,b\n1\n2\n3\n", 2)]
)
def test_a_delimiter_that_only_the_header_has_is_detected(write, text, cells):
    """The error names the row that lacks a cell."""
    message = refusal(write(text))
    assert message == f", line 2: expected {cells} cells, as in the first line; found 1"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"a,b;c\n", "but several of them fit"),
        (b"", "empty; expected a CSV table"),
        (b"\n\n", "empty; expected a CSV table"),
        (b"a,b\n", "expected rows, but it has a header only"),
        (b"one\n1\n2\n", "two columns or more"),
        (b"1,5;2,5\n3,5;4,5\n", "but several of them fit"),
        (b"a,b\n1,\xff\xfe\n", "expected UTF-8 text"),
        (b'a,b\n1,"x\n', "damaged: unexpected end of data"),
        (b'a,b\n1,"x"y\n', "line 2: damaged"),
        (b"a,b\n1," + b"x" * 200_000 + b"\n", "damaged: field larger than field limit"),
    ],
)
def test_a_file_that_is_not_a_table_is_refused(write, text, match):
    path = write(text)
    with pytest.raises(DataError, match=match):
        read_csv(path)


def test_an_unreadable_file_is_an_error_that_names_it(tmp_path):
    assert refusal(tmp_path / "none.csv") == ": no such file; expected a CSV table"
    assert "unreadable: Is a directory" in refusal(tmp_path)


def test_a_missing_column_is_an_error_that_lists_the_others(write):
    message = refusal(write(TABLE), target="colour")
    assert message == ": no column 'colour'; its columns are length, width, kind"
    cells = read_csv(write("length,width\n1,2\n"), target="kind", is_known=True)
    assert (cells.target, cells.t, cells.x.tolist()) == (None, [], [[1, 2]])
    cells = read_csv(write("length\n1\n2\n"), target="kind", is_known=True)
    assert (cells.names, cells.t, cells.x.tolist()) == (["length"], [], [[1], [2]])


def test_a_given_delimiter_is_used(write):
    cells = read_csv(write("1,5;2,5\n3,5;4,5\n".replace(",", ".")), delimiter=";")
    assert cells.x.tolist() == [[1.5], [3.5]]
    for delimiter in ", ", "", "\n", '"', "\0":
        with pytest.raises(ValueError, match="one character"):
            read_csv(write(TABLE), delimiter=delimiter)


def test_a_table_takes_the_memory_of_its_numbers(write):
    """200,000 cells take 8 bytes each, and as much again while they are converted."""
    path = write("a,b,c,t\n" + "1,2,3,4\n" * 50_000)
    tracemalloc.start()
    try:
        read_csv(path)
        assert tracemalloc.get_traced_memory()[1] < 6e6
    finally:
        tracemalloc.stop()


# --- white space ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "  0.5  18.00   a\n  0.25  1e1\tb\n 12.5   7   a\n",  # housing.data of the UCI repository
        "0.5 18 a\n0.25 10 b\n12.5 7 a\n",  # numpy.savetxt
        "\t0.5   18 a  \n0.25 10 b\n\n12.5 7 a",
    ],
)
def test_columns_may_be_separated_by_white_space(write, text):
    cells = read_csv(write(text))
    assert cells.x.tolist() == [[0.5, 18], [0.25, 10], [12.5, 7]]
    assert cells.t == ["a", "b", "a"]
    assert cells.lines[0] == 1


def test_quotes_keep_white_space_in_a_cell(write):
    """The file auto-mpg.data of the UCI repository has such cells."""
    cells = read_csv(write('18.0   8   "chevrolet malibu"\n15.0   8   "buick skylark"\n'))
    assert cells.t == ["chevrolet malibu", "buick skylark"]


def test_a_comma_has_priority_over_white_space(write):
    cells = read_csv(write("petal length, petal width, kind\n1, 2, a\n3, 4, b\n"))
    assert cells.names == ["petal length", "petal width"]


# --- encodings ------------------------------------------------------------------------------------

KINDS = {"cp949": "버시컬러", "cp1252": "Œillet é", "latin-1": "caf\xe9", "utf-16": "鳶尾", "cp932": "あやめ",
         "utf-8": "été"}  # fmt: skip


@pytest.mark.parametrize("encoding", KINDS)
def test_a_given_encoding_is_used(write, encoding):
    path = write(f"a,{KINDS[encoding]}\n1,{KINDS[encoding]}\n2,b\n", encoding)
    cells = read_csv(path, encoding=encoding)
    assert (cells.target, cells.t) == (KINDS[encoding], [KINDS[encoding], "b"])


@pytest.mark.parametrize("encoding", ["cp949", "cp1252", "latin-1", "cp932"])
def test_a_line_in_another_encoding_is_reported(write, encoding):
    message = refusal(write(f"a,kind\n1,b\n2,{KINDS[encoding]}\n", encoding))
    assert message.startswith(", line 3: expected UTF-8 text, found the byte 0x")
    for word in (
        "Save the table as UTF-8",
        "--encoding cp1252",
        "cp949 (Korea)",
        "encoding='cp1252'",
    ):
        assert word in message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_recognised_and_refused(write, encoding):
    """Excel's "Unicode Text" and redirected output of PowerShell are UTF-16, with or without a mark."""
    message = refusal(write("a,kind\n1,b\n2,c\n", encoding))
    assert "UTF-16" in message
    assert "Save it as UTF-8 (in Excel: CSV UTF-8)" in message
    assert f"(in Python, encoding='{encoding}')" in message
    assert read_csv(write("a,kind\n1,b\n2,c\n", encoding), encoding=encoding).t == ["b", "c"]


def test_text_that_does_not_fit_the_encoding_is_refused(write):
    assert "expected text in the encoding cp949" in refusal(
        write(b"a,t\n1,\xff\xff\n"), encoding="cp949"
    )
    for name in "klingon", "base64", "rot13", "a\0", "":
        with pytest.raises(ValueError, match="Unknown encoding .* cp949"):
            read_csv(write(TABLE), encoding=name)
