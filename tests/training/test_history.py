"""The history of a training, and its file."""

import csv
import math
import re

import pytest
from rich.cells import cell_len

from xpnet.training import History


def test_the_file_has_the_rows_that_were_appended(tmp_path):
    """To six digits."""
    history = History()
    history.append({"epoch": 1, "train_loss": 0.123456789, "test_accuracy": 0.9812})
    history.append({"epoch": 2, "train_loss": 1e-9, "test_accuracy": 1.0})
    assert len(history) == 2
    assert "train_loss" in history
    assert "test_loss" not in history
    assert history["test_accuracy"] == [0.9812, 1.0]
    history.write_csv(tmp_path / "h.csv")
    with (tmp_path / "h.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[0]["train_loss"]) == pytest.approx(0.123456789, rel=1e-5)
    assert float(rows[1]["train_loss"]) == 1e-9


def test_an_empty_history_can_be_written(tmp_path):
    """As after a training that was interrupted at once."""
    History().write_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text() == "epoch\n"
    assert repr(History()) == "History(0 epochs)"


def test_rows_may_have_different_columns(tmp_path):
    """A callback may add a figure from time to time: a cell is empty without it."""
    history = History()
    history.append({"epoch": 1, "train_loss": 0.5})
    history.append({"epoch": 2, "train_loss": 0.25, "norm": 3.0})
    assert history.columns == ["epoch", "train_loss", "norm"]
    assert math.isnan(history["norm"][0])
    with pytest.raises(KeyError, match="'test_loss'; there are epoch, train_loss, norm"):
        history["test_loss"]
    history.write_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text() == "epoch,train_loss,norm\n1,0.5,\n2,0.25,3\n"


def test_a_history_is_printed_as_a_table():
    history = History()
    history.append({"epoch": 1, "train_loss": 0.123456, "samples_per_s": 123456.7})
    history.append({"epoch": 10, "train_loss": float("nan"), "norm": 3.5})
    assert str(history).splitlines() == [
        "epoch  train_loss  samples_per_s  norm",
        "    1      0.1235        123,457",
        "   10         nan                  3.5",
    ]
    assert str(History()) == "History(0 epochs)"


def test_a_notebook_displays_a_history_as_a_table():
    """As pandas' data frames: of more than 60 rows, the first five and the last five."""
    history = History()
    for epoch in range(1, 61):
        history.append({"epoch": epoch, "train_loss": 1 / epoch})
    rows = re.findall("<tr>(.*?)</tr>", history._repr_html_())
    cells = [re.findall(r"<t[hd] [^>]*>([^<]*)<", row) for row in rows]
    assert cells[:3] == [["epoch", "train_loss"], ["1", "1"], ["2", "0.5"]]
    assert len(cells) == 61
    history.append({"epoch": 61, "train_loss": 0.0})
    history.interrupted = True
    text = history._repr_html_()
    assert [line.split("<")[0] for line in re.findall(r"<tr><td [^>]*>(.*?)</tr>", text)] == [
        *("1", "2", "3", "4", "5", "..."),
        *("57", "58", "59", "60", "61"),
    ]
    assert text.endswith("<p>History(61 epochs, interrupted)</p>")


def test_names_of_columns_are_escaped_in_a_notebook():
    history = History()
    history.append({"<b>": 1.0})
    assert "&lt;b&gt;" in history._repr_html_()


def test_a_history_is_a_mapping_and_goes_to_a_data_frame():
    """Without pandas too, the mapping has a list for each column."""
    history = History()
    history.append({"epoch": 1, "train_loss": 0.5})
    history.append({"epoch": 2, "train_loss": 0.25})
    assert dict(history) == {"epoch": [1, 2], "train_loss": [0.5, 0.25]}
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    for frame in (
        pandas.DataFrame(history),
        pandas.DataFrame(history.rows),
        pandas.DataFrame(dict(history)),
    ):
        assert frame["train_loss"].tolist() == [0.5, 0.25]


def test_columns_with_hangul_are_aligned():
    """A letter of it takes two cells of a terminal."""
    history = History()
    history.append({"epoch": 1, "train_loss": 0.5, "test_정확도": 0.25})
    head, row = str(history).splitlines()
    assert head.endswith("test_정확도")
    assert row.endswith("0.25")
    assert cell_len(head) == cell_len(row) == len(head) + 3
