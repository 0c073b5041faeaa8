"""Headers and indices, as pandas, R and spreadsheets write them."""

import io

import numpy as np
import pytest

from xpnet import DataError
from xpnet.data import load_table
from xpnet.data._csv_reader import read_csv

IRIS = ["5.1,3.5,1.4,0.2,setosa", "7.0,3.2,4.7,1.4,versicolor", "6.3,3.3,6.0,2.5,virginica",
        "4.9,3.0,1.4,0.2,setosa", "6.4,3.2,4.5,1.5,versicolor"]  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def write(*lines):
        path = tmp_path / "table.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def refusal(path, **options):
    with pytest.raises(DataError) as caught:
        read_csv(path, **options)
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path))


def numbers(*rows):
    return [",".join(map(str, row)) for row in rows]


# --- headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "rows"),
    [
        ("0,1,2,3,4", IRIS),  # pd.DataFrame(array).to_csv(index=False)
        ("0,1,2,3,4", numbers([5.1, 3.5, 1.4, 0.2, 0], [7.0, 3.2, 4.7, 1.4, 1])),
        ("0,1,2,3,4", numbers([5, 3, 1, 0, 0], [7, 3, 4, 1, 1])),
        ("0,1,2,3,species", IRIS),  # with a column added to it
        ("0,1", ["5.1,0", "4.9,1"]),
        ("0,1", ["5,low", "4,high"]),
        ("1990,1991,1992,1993,1994", numbers([5.1, 3.5, 1.4, 0.2, 1.5], [7.0, 3.2, 4.7, 1.4, 1.5])),
        ("1990,2000,2010,2020,country", ["5.1,3.5,1.4,0.2,Chad", "7.0,3.2,4.7,1.4,Mali"]),
        ("1,2,3,4,5", IRIS),
    ],
)
def test_numbers_in_the_first_row_may_be_names(write, first, rows):
    """They name the columns, and are not a row of the table."""
    cells = read_csv(write(first, *rows))
    *names, target = first.split(",")
    assert (cells.names, cells.target, cells.header) == (names, target, True)
    assert len(cells.x) == len(rows)
    assert list(cells.lines) == list(range(2, len(rows) + 2))
    assert cells.x[0].tolist() == [float(cell) for cell in rows[0].split(",")[:-1]]


@pytest.mark.parametrize(
    "rows",
    [
        IRIS,  # iris.data of the UCI repository
        IRIS[1:],
        numbers([5.1, 3.5, 0], [4.9, 3.0, 1]),
        numbers([1, 2, 3], [4, 5, 6]),
        numbers([0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]),
        numbers([5, 0, 0, 0, 255], [0, 0, 12, 0, 7]),
        numbers([6, 148, 72, 33.6, 1], [1, 85, 66, 26.6, 0]),
        numbers([6, 148, "yes"], [1, 85, "no"], [3, 12, "yes"]),
        numbers([-1, 2, 5], [4.5, 5.5, 6.5]),
        numbers([0.1, 0.2, 0.3], [4.5, 5.5, 6.5]),
        numbers([1990, 1991, 1992], [1993, 1994, 1995], [1990, 1995, 2000]),
    ],
)
def test_a_first_row_of_numbers_is_a_row_of_the_table(write, rows):
    """This also holds if the last column has the names of classes."""
    cells = read_csv(write(*rows))
    assert (len(cells.x), cells.header) == (len(rows), False)
    assert cells.names[0] == "column 1"
    assert list(cells.lines) == list(range(1, len(rows) + 1))


@pytest.mark.parametrize(
    "rows",
    [
        numbers([0, 1], [1, 0], [2, 1]),
        numbers([0, 1, 2], [3, 4, 5], [6, 7, 8]),  # the rows count on
        numbers([5, 3, 1], [5.1, 3.5, 1.4], [4.9, 3.0, 1.2]),  # a spreadsheet writes 5.0 as 5
        numbers([1, 2, 3], [5.1, 3.5, 0], [4.9, 3.0, 1]),
        numbers([400.0, 400.5, 401.0, 401.5, 402.0], [0.1, 0.2, 0.1, 0.2, 0.7]),
        numbers([1, 2, "a"], [4, 5, "b"]),
        numbers([2019, 2020, 2021], [5, 3, 0], [4, 7, 1]),
        numbers([2019, 2020, 2021, "t"], [5, 3, 0, "x"], [4, 7, 1, "x"]),
        numbers([0.0, 1.0, 2.0], [0.5, 3.0, 1.0], [1.5, 2.0, 0.0]),
    ],
)
def test_a_first_row_that_may_be_names_or_numbers_is_refused(write, rows):
    """The message names the flag and the argument, with which both readings are possible."""
    path = write(*rows)
    message = refusal(path)
    assert message.startswith(", line 1: ")
    assert "is it a header, or the first row? Choose with --header or --no-header" in message
    assert "header=True or header=False" in message
    assert len(read_csv(path, header=True).x) == len(rows) - 1
    assert len(read_csv(path, header=False).x) == len(rows)


def test_a_header_of_numbers_without_rows_is_a_header(write):
    assert refusal(write("0,1,2,3")) == ": expected rows, but it has a header only"


def test_the_schema_stores_whether_there_is_a_header(write, tmp_path):
    """Other files are read in the same way, whatever their first row looks like."""
    path = write("0,1,2", *numbers(*((i + 0.5, i, i % 2) for i in range(10))))
    _, _, schema = load_table(path)
    new = tmp_path / "new.csv"
    new.write_text("0,1\n7.5,3\n8.5,4\n", encoding="utf-8")  # without the target
    x, t = schema.read(new)
    assert (len(x), t) == (2, None)
    path = write(*numbers(*((5 + i, 3 - i, i % 2) for i in range(10))))
    _, _, schema = load_table(path, header=False)
    new.write_text("0,1\n7,3\n", encoding="utf-8")
    assert len(schema.read(new)[0]) == 2


# --- the index ------------------------------------------------------------------------------------


def species(index, head="", name="{}"):
    """A table with an index, as pandas writes it."""
    rows = [f"{name.format(i)},{i % 7}.5,{i % 3},{'ab'[i % 2]}" for i in index]
    return [f"{head},length,width,species", *rows]


@pytest.mark.parametrize("head", ["", '""', "Unnamed: 0", " "])
@pytest.mark.parametrize(
    "index",
    [range(10), [3, 1, 4, 15, 9, 2, 6], [*range(5), *range(5)]],
    ids=["0..n", "shuffled", "twice"],
)
def test_a_first_column_without_a_name_is_the_index(write, head, index):
    """It is not a feature, since it only says where in the file a row is."""
    cells = read_csv(write(*species(index, head)))
    assert cells.names == ["length", "width"]
    assert cells.x[:, 1].tolist() == [i % 3 for i in index]
    assert cells.row_names == [str(i) for i in index]


def test_an_index_may_be_text_or_have_been_saved_repeatedly(write):
    cells = read_csv(write(*species(range(5), name="row{}")))
    assert (cells.names, cells.row_names[2]) == (["length", "width"], "row2")
    head, *rows = species(range(5), "Unnamed: 0.1,Unnamed: 0")
    cells = read_csv(write("," + head, *(f"{i},{9 - i},{row}" for i, row in enumerate(rows))))
    assert cells.names == ["length", "width"]
    assert cells.row_names == ["0", "1", "2", "3", "4"]


def test_a_header_of_numbers_may_stand_above_an_index(write):
    """This is what pd.DataFrame(array).to_csv() writes."""
    cells = read_csv(write(",0,1,2", "0,5.1,3.5,0", "1,4.9,3.0,1"))
    assert (cells.names, cells.target) == (["0", "1"], "2")
    assert cells.x.tolist() == [[5.1, 3.5], [4.9, 3.0]]


def test_a_header_without_a_name_for_the_index_is_completed(write):
    """R's write.table writes such headers. A delimiter at the end of each row is different."""
    cells = read_csv(write('"length","kind"', '"1",5.1,"a"', '"2",4.9,"b"'))
    assert (cells.names, cells.target, cells.row_names) == (["length"], "kind", ["1", "2"])
    message = refusal(write("length,kind", "5.1,a,", "4.9,b,"))
    assert message.startswith(", line 2: the rows end with a delimiter")


@pytest.mark.parametrize("values", [[0.5, 1.5, 0.5], [0.5, 1.5, 2.5], ["x", "y", "x"]])
def test_a_column_without_a_name_that_is_not_an_index_is_refused(write, values):
    """The message names the flag that decides."""
    path = write(",length,kind", *(f"{v},{i},{'ab'[i % 2]}" for i, v in enumerate(values)))
    message = refusal(path)
    assert message.startswith(": column 1 has no name, and its values are not those of an index")
    assert "--index none if the column is a feature" in message
    assert read_csv(path, index_col=0).names == ["length"]
    if values[0] == 0.5:
        cells = read_csv(path, index_col=False)
        assert cells.names == ["column 1", "length"]
        assert cells.x[:, 0].tolist() == values


@pytest.mark.parametrize("index_col", ["id", 1, "1"])
def test_an_index_is_chosen_by_name_or_number(write, index_col):
    cells = read_csv(write("a,id,t", "1,p7,x", "2,p7,y"), index_col=index_col)
    assert (cells.names, cells.index_name, cells.row_names) == (["a"], "id", ["p7", "p7"])


def test_a_column_whose_name_is_a_number_has_priority(write):
    cells = read_csv(write("1,0,2", "5.5,7,x", "6.5,8,y"), header=True, index_col="0")
    assert cells.row_names == ["7", "8"]


def test_an_index_that_is_missing_or_the_target_is_refused(write):
    path = write("a,b,t", "1,2,x")
    assert refusal(path, index_col="id") == ": no column 'id'; its columns are a, b, t"
    for number in 3, -1, "9" * 5000:
        assert "no column '" in refusal(path, index_col=number)
    assert "'t' is both the index and the target" in refusal(path, index_col="t", target="t")
    assert read_csv(path, index_col="t").target == "b"


def test_columns_called_id_or_index_are_features(write):
    """Nothing is guessed from a name."""
    assert read_csv(write("id,index,t", "1,2,x")).names == ["id", "index"]


def test_an_unnamed_column_that_is_the_target_is_not_the_index(write):
    """The caller's choice has priority."""
    cells = read_csv(write(",a", "0,1.5", "1,2.5"), target="column 1")
    assert (cells.names, cells.t) == (["a"], ["0", "1"])


def test_a_later_file_may_lack_the_index(write, tmp_path):
    _, _, schema = load_table(write(*species(range(20))))
    new = tmp_path / "new.csv"
    new.write_text("width,length\n1,2.5\n", encoding="utf-8")
    cells = schema.cells(new)
    assert (cells.x.tolist(), cells.index_name) == ([[2.5, 1]], None)
    new.write_text("\n".join(species([5, 4], "Unnamed: 0")), encoding="utf-8")
    assert schema.cells(new).row_names == ["5", "4"]
    new.write_text(
        ",width,length\n0.5,1,2.5\n0.5,1,2.5\n", encoding="utf-8"
    )  # there is no index, but that is not checked
    assert schema.cells(new).x.tolist() == [[2.5, 1], [2.5, 1]]


# --- what pandas itself makes of it ---------------------------------------------------------------


@pytest.mark.parametrize("names", [None, "abcde", [1990, 1991, 1992, 1993, 1994]])
@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_a_table_that_pandas_writes_is_read_back(tmp_path, names, index, again):
    """The columns have any names; there may be an index, and the table may be saved twice."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal((40, 4)), rng.integers(0, 3, (40, 1)) + 0.0], axis=1)
    frame = pandas.DataFrame(x, columns=None if names is None else list(names)).sample(
        frac=1, random_state=0
    )
    text = frame.to_csv(index=index)
    if again:
        text = pandas.read_csv(io.StringIO(text)).to_csv(index=index)
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    cells = read_csv(path)
    assert [*cells.names, cells.target] == [str(name) for name in frame.columns]
    np.testing.assert_array_equal(cells.x, frame.to_numpy()[:, :4])
    assert [float(label) for label in cells.t] == frame.to_numpy()[:, 4].tolist()


# --- lines above the table ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "above", [["Flowers of 2024"], ["# made by hand", "# do not edit"], ["Flowers; all"], ["a,b"]]
)
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_a_title_or_comments_above_the_table_are_refused(write, above, delimiter):
    """The message shows them, and does not complain about missing commas instead."""
    path = write(*above, *(line.replace(",", delimiter) for line in ["l,w,a,b,kind", *IRIS]))
    message = refusal(path)
    assert message.startswith(", line 1: the number of cells is ")
    assert "perhaps a title or a comment" in message
    assert above[0].split(",")[0][:8] in message


# --- features -------------------------------------------------------------------------------------


def test_only_chosen_features_are_read(write):
    """Other columns may hold anything."""
    path = write("name,a,when,b,t", "p0,1,2024-01-01,3,x", "p1,,?,4,y")
    cells = read_csv(path, features=["b"])
    assert (cells.names, cells.target, cells.x.tolist()) == (["b"], "t", [[3], [4]])
    cells = read_csv(path, features=["b"], target="name")
    assert cells.t == ["p0", "p1"]
    assert "column 'a': the value is missing" in refusal(path, features=["b", "a"])
    assert refusal(path, features=["c"]).startswith(
        ": no column 'c'; its columns are name, a, when"
    )
    cells = read_csv(path, features=["b"], target=False)
    assert (cells.target, cells.t) == (None, [])
    assert "expected features" in refusal(path, features=[])
