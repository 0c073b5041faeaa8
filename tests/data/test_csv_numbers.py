"""Cells that are not numbers: the message names the cell and says what to do about it."""

import numpy as np
import pytest

from xpnet import DataError
from xpnet.data import load_table
from xpnet.data._csv_numbers import (
    advice_on_signs,
    missing_numbers,
    missing_texts,
    numbers_of,
    require_number,
)
from xpnet.data._csv_reader import read_csv


def advice(tmp_path, *cells):
    """The error for a column with these cells, the first of which is not a number."""
    path = tmp_path / "table.csv"
    rows = [f"{i},{cell},{'ab'[i % 2]}" for i, cell in enumerate(cells)]
    path.write_text("\n".join(["n,value,kind", *rows]) + "\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_csv(path)
    return str(caught.value).removeprefix(f"{path}, ")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["$5.1", "$4.9"], "Remove $: 5.1"),
        (["5.1 €", "4.9 €"], "Remove €: 5.1"),
        (["₩5000", "₩1"], "Remove ₩: 5000"),
        (["5.1%", "4%"], "Remove %: 5.1"),
        (["5.1 %", "4 %"], "Remove %: 5.1"),
        (["2024-01-01", "2024-01-02"], "A date or time is not a number"),
        (["01/02/2024", "01/03/2024"], "A date or time is not a number"),
        (["1.2.2024", "1.3.2024"], "A date or time is not a number"),
        (["2024-01-01T10:00:00Z", "2024-01-02T10:00:00Z"], "A date or time is not a number"),
        (["12:30", "12:31"], "A date or time is not a number"),
        (["red", "blue", "red", "red"], "as a category: --categories COLUMN"),
        (
            ["-999x", "1"],
            "To train with it as a missing value: --missing TEXT",
        ),
    ],
)
def test_the_advice_fits_the_cells(tmp_path, cells, expected):
    message = advice(tmp_path, *cells)
    assert message.startswith(
        f"line 2, column 'value': expected a number, found the text {cells[0]!r}. "
    )
    assert expected in message
    if "--" not in expected:
        assert "--missing" not in message


@pytest.mark.parametrize("cell", ["Total", "5.1x", "p9"])
@pytest.mark.parametrize("rows", [1, 3, 150])
def test_a_text_below_numbers_is_refused_with_its_line(tmp_path, cell, rows):
    """It may be a line of totals, or a typing error."""
    message = advice(tmp_path, *range(rows), cell)
    assert message.startswith(f"line {rows + 2}, column 'value': expected a number, found the text")
    assert (
        "have numbers in this column: correct or empty this cell, or delete this row. To" in message
    )
    assert "without this column: --drop COLUMN" in message


def test_a_nul_character_is_reported(tmp_path):
    """It is far down in the file; at the beginning it would indicate UTF-16."""
    message = advice(tmp_path, *range(2000), "5.1\x00")
    assert "found the text '5.1\\x00'. It has a NUL character: the file is damaged" in message


POINT, COMMA = "If it has decimal points: --decimal .", "If it has a decimal comma: --decimal ,"


@pytest.mark.parametrize(
    ("cell", "decimal", "way_out"),
    [
        ("1,234", ".", f"{COMMA} (in Python, decimal=','). If the comma separates thousands, remove"),
        ("0,5", ".", COMMA),
        ("1,5e3", ".", COMMA),
        ("1,234.5", ".", "without thousands separators: 1234.5"),
        ("-1,234,567", ".", "without thousands separators: -1234567"),
        ("1.234,5", ".", "1234,5; and choose their decimal mark: --decimal , (in Python, decimal=',')"),
        ("$1,234.50", ".", "Remove $: 1,234.50. Write numbers without thousands separators: 1234.50"),
        ("5,1 €", ".", f"Remove €: 5,1. {COMMA}"),
        ("5,1 €", ",", "Remove €: 5,1"),
        ("5.1", ",", f"The table is read with decimal commas. {POINT} (in Python, decimal='.')."),
        ("1.234", ",", "If the point separates thousands, remove it"),
        ("1.234,5", ",", "without thousands separators: 1234,5"),
        ("1.234.567", ",", "without thousands separators: 1234567"),
        ("1,234.5", ",", "1234.5; and choose their decimal mark: --decimal . (in Python, decimal='.')"),
    ],
)  # fmt: skip
def test_other_marks_in_a_number_are_refused_with_the_way_out(cell, decimal, way_out):
    with pytest.raises(DataError) as refused:
        require_number(cell, "here", decimal=decimal)
    assert str(refused.value).startswith(f"here: expected a number, found the text '{cell}'. ")
    assert way_out in str(refused.value)


@pytest.mark.parametrize("cell", ["1.2.3", "1,2,3", "2021.03.04", "1,,5", "192.168.0.1", "$"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_texts_of_digits_and_marks_are_no_numbers_with_other_marks(cell, decimal):
    assert advice_on_signs(cell, decimal) == ""


@pytest.mark.parametrize(
    ("cell", "number"),
    [("5,1", 5.1), ("-5,1", -5.1), ("1,5e3", 1500.0), ("+,5E-1", 0.05), ("7", 7.0), ("7,", 7.0)],
)
def test_numbers_with_decimal_commas_are_read(cell, number):
    assert require_number(cell, "here", decimal=",") == number
    assert numbers_of([cell, "2"], decimal=",") == [number, 2.0]
    assert numbers_of([cell.replace(",", "."), "2,5"]) is None


@pytest.mark.parametrize("cell", ["5", " -.5 ", "+1e-3", "3.4e38", "05."])
def test_numbers_are_read(cell):
    assert require_number(cell, "here") == float(cell)


def test_the_target_of_a_regression_gets_the_same_advice(tmp_path):
    """It is read as a number, too."""
    path = tmp_path / "table.csv"
    path.write_text("a,price\n1,$5\n2,$6\n3,$7\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 2, column 'price': .* '\$5'. Remove \$: 5"):
        load_table(path, task="regress")


@pytest.mark.parametrize(
    ("row", "numbers"),
    [
        (["1", " -2.5 ", "3e2"], [1.0, -2.5, 300.0]),
        (["1", "two"], None),
        (["1", ""], None),
        (["1_000", "2"], None),  # Python's own notation
        (["\u0661", "2"], None),  # an Arabic digit
        (["nan", "2"], None),
        (["inf", "2"], None),
        (["1e39", "2"], None),  # beyond float32
    ],
)
def test_a_row_is_numbers_only_if_all_cells_are(row, numbers):
    assert numbers_of(row) == numbers


def test_missing_values_in_a_row_of_numbers_are_nan():
    """Only if the caller names what means a missing value."""
    row = ["1", "", " NA ", "-999", "2"]
    assert numbers_of(row) is None
    found = numbers_of(row, missing_texts(["-999"]))
    np.testing.assert_array_equal(found, [1, np.nan, np.nan, np.nan, 2])
    assert numbers_of([*row, "two"], missing_texts(["-999"])) is None
    assert missing_numbers(missing_texts(["-999", "unknown"])) == [-999.0]
